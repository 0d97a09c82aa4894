"""Synthetic controls in plain words."""

from __future__ import annotations

from causalopt.messages import call
from causalopt.problems.synthetic_control.result import SyntheticControlResult
from causalopt.solving.answer import explains
from causalopt.solving.explain import Words, explanation
from causalopt.solving.words import listing, plural
from causalopt.study.times import time_name


@explains(SyntheticControlResult)
def words(result: SyntheticControlResult) -> str:
    """Return what a synthetic control says of itself."""
    study, penalty = result._study, result.problem.penalty
    after, donors = len(study.panel.times) - study.n_pre, plural(len(study.design.donors), "donor")
    goal = "the predictors" if study.known is not None else f"the {study.n_pre:,} outcomes before the treatment"
    solved = (
        f"Weights ({study.kind}) on {donors} were chosen so that their combination "
        f"follows {goal} of {listing([str(label) for label in study.labels])}, treated since "
        f"{time_name(study.design.treatment_time)}."
    )
    rmspe = listing([f"{value:.6g}" for value in result.fit["pre rmspe"]])
    answer = (
        f"The effect, as the mean gap over {plural(after, 'time')} since then, is {result.att:.6g}. Before the "
        f"treatment the root mean square gap is {rmspe}: a mean gap no larger than that says little."
    )
    heavy = result._heavy
    shown = [
        f"{label} ({' / '.join(f'{value:.3f}' for value in result.weight_table.loc[label])})"
        for label in heavy.index[:5]
    ]
    binds = f"{len(heavy):,} of {donors} have weight: {', '.join(shown)}" + (
        f" and {len(heavy) - 5:,} more." if len(heavy) > 5 else "."
    )
    if penalty.lam:
        chosen = " was chosen by predicting donors" if result.problem.penalty_choice is not None else " was given"
        binds += f" The penalty lam = {penalty.lam:.6g}{chosen}."
    unique = (
        "No other weights fit as well."
        if result.weights_are_unique
        else f"Other weights fit exactly as well: see {call('att_range', 'weight_ranges and att_range()')}."
    )
    silent = (
        f"What it does not say: how sure the effect is. There is no standard error; {call('placebo_in_space')}, "
        f"{call('placebo_in_time')} and {call('leave_one_out')} show how it compares with effects where there are "
        "none. It takes for granted that donors are not touched by the treatment, and that what followed the treated "
        "unit before would have followed it since."
    )
    return explanation(result, Words(solved, (answer,), (f"{binds} {unique}",), silent))
