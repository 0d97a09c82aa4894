"""Synthetic controls in plain words."""

from __future__ import annotations

from causalopt.problems.synthetic_control.data import time_name
from causalopt.problems.synthetic_control.result import SyntheticControlResult
from causalopt.solving.answer import explains
from causalopt.solving.explain import Words, explanation
from causalopt.solving.words import listing, plural

#: A weight below this in absolute value is not listed.
COUNTS = 1e-6


@explains(SyntheticControlResult)
def words(result: SyntheticControlResult) -> str:
    """Return what a synthetic control says of itself."""
    problem, fit = result.problem, result.fit
    n_pre = problem.design.n_pre
    after = len(problem.panel.times) - n_pre
    goal = "the predictors" if problem.predictors is not None else f"the {n_pre:,} outcomes before the treatment"
    solved = (
        f"Weights ({problem.kind}) on {plural(len(problem.donors), 'donor')} were chosen so that their combination "
        f"follows {goal} of {listing([str(label) for label in problem.labels])}, treated since "
        f"{time_name(problem.design.treatment_time)}."
    )
    rmspe = listing([f"{value:.6g}" for value in fit["pre rmspe"]])
    answer = (
        f"The effect, as the mean gap over {plural(after, 'time')} since then, is {result.att:.6g}. Before the "
        f"treatment the root mean square gap is {rmspe}: a mean gap no larger than that says little."
    )
    heavy = result.weight_table.abs().max(axis=1).sort_values(ascending=False, kind="stable")
    heavy = heavy[heavy > COUNTS]
    shown = [
        f"{label} ({' / '.join(f'{value:.3f}' for value in result.weight_table.loc[label])})"
        for label in heavy.index[:5]
    ]
    binds = f"{len(heavy):,} of {plural(len(problem.donors), 'donor')} have weight: {', '.join(shown)}" + (
        f" and {len(heavy) - 5:,} more." if len(heavy) > 5 else "."
    )
    if problem.penalty.lam:
        chosen = " was chosen by predicting donors" if problem.penalty_choice is not None else " was given"
        binds += f" The penalty lam = {problem.penalty.lam:.6g}{chosen}."
    unique = (
        "No other weights fit as well."
        if result.weights_are_unique
        else "Other weights fit exactly as well: see weight_ranges and att_range()."
    )
    silent = (
        "What it does not say: how sure the effect is. There is no standard error; placebo_in_space(), "
        "placebo_in_time() and leave_one_out() show how it compares with effects where there are none. It takes for "
        "granted that donors are not touched by the treatment, and that what followed the treated unit before would "
        "have followed it since."
    )
    return explanation(result, Words(solved, (answer,), (f"{binds} {unique}",), silent))
