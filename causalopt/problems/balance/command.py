"""`causalopt balance`: balancing weights, and the effect they give."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console

from causalopt.console import showing
from causalopt.console.arguments import (
    ANSWER,
    STUDY,
    EffectOn,
    Functions,
    Level,
    Reading,
    Solving,
    Treated,
    Writing,
    names,
    number,
    option,
    value_or_mapping,
)
from causalopt.console.capsules import program_of, save_capsule
from causalopt.console.missing import Dropped, complete, fields_of
from causalopt.console.reading import read_data, require, value_of
from causalopt.console.running import caught_warnings, solve, unless_stopped
from causalopt.console.study import Study
from causalopt.console.writing import Files, check_choice, write_model, write_picture, write_table
from causalopt.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

    from causalopt.problems.balance.result import BalanceResult

VARIANCES = ("fixed", "regression", "bootstrap")


def balance(
    *,
    formula: Annotated[
        str | None,
        option("Treatment and covariates as a formula, such as 'treat ~ age + I(age**2) + C(race)'.", panel=STUDY),
    ] = None,
    treatment: Annotated[str | None, option("Column of the treatment.", panel=STUDY, metavar="COLUMN")] = None,
    functions: Functions,
    estimand: Annotated[
        str, option("Whom the weights make the groups resemble: ATT, ATC, ATE or population.", panel=STUDY)
    ] = "ATT",
    target: Annotated[
        str | None, option("For the estimand population: a file with its rows.", panel=STUDY, metavar="FILE")
    ] = None,
    treated: Treated = None,
    tolerance: Annotated[
        list[str] | None,
        option(
            "Largest imbalance, in units of --scale: a number for all, or age=0.01; repeated. 0.02 unless given.",
            panel=STUDY,
            metavar="[NAME=]NUMBER",
        ),
    ] = None,
    scale: Annotated[
        list[str] | None,
        option(
            "Unit of the tolerance: target, treated, group, pooled (standard deviations), raw; or age=raw. Target "
            "unless given.",
            panel=STUDY,
            metavar="[NAME=]SCALE",
        ),
    ] = None,
    sampling_weights: Annotated[str | None, option("Column of survey weights.", panel=STUDY, metavar="COLUMN")] = None,
    base_weights: Annotated[
        str | None, option("Column of weights to stay near.", panel=STUDY, metavar="COLUMN")
    ] = None,
    lower: Annotated[float, option("Least weight, in multiples of the average.", panel=STUDY)] = 0.0,
    upper: Annotated[float, option("Largest weight, in multiples of the average.", panel=STUDY)] = float("inf"),
    norm: Annotated[str, option("What is minimised of the weights: l2 (variance), l1 or linf.", panel=STUDY)] = "l2",
    between: Annotated[
        list[str] | None,
        option(
            "Largest difference between any two weighted groups, as --tolerance.",
            panel=STUDY,
            metavar="[NAME=]NUMBER",
        ),
    ] = None,
    outcome: EffectOn = None,
    level: Level = 0.95,
    variance: Annotated[str, option("Standard error: fixed, regression or bootstrap.", panel=ANSWER)] = "fixed",
    contrast: Annotated[str | None, option("Which two groups to compare, as first,second.", panel=ANSWER)] = None,
    reading: Reading,
    solving: Solving,
    writing: Writing,
) -> int:
    """Weigh the rows of DATA so that covariates are balanced between treatment groups.

    Example: causalopt balance study.csv --treatment treat --covariates age,educ --outcome wage
    """
    files = Files.of(writing)
    check_choice(variance, VARIANCES, "--variance")
    frame = read_data(reading)
    study = Study.read(frame, formula, [] if treatment is None else [treatment], functions, "--treatment")
    if len(study.chosen) > 1:
        left = ", ".join(study.chosen)
        raise OptionError(f"--formula: one treatment stands left of ~, not {len(study.chosen)} ({left}).")
    chosen = study.chosen[0] if study.chosen else None
    more = {"--outcome": outcome, "--sampling-weights": sampling_weights, "--base-weights": base_weights}
    for label, name in more.items():
        require(frame, [] if name is None else [name], label)
    used = [*study.chosen, *study.columns, *filter(None, more.values())]
    frame, dropped = complete(frame, used, reading.missing, study.chosen)
    columns = study.covariates(frame)
    pair = None if contrast is None else _contrast(contrast, frame[chosen] if chosen else None)
    others, dropped_others = (None, None) if target is None else _target(target, reading, study)
    _check_target(estimand, target, chosen)
    with caught_warnings(dropped, dropped_others) as notes:
        from causalopt.problems.balance.problem import BalanceProblem

        problem = BalanceProblem(
            columns,
            None if chosen is None else frame[chosen],
            estimand=estimand,
            tolerance=value_or_mapping(tolerance, "--tolerance", number, 0.02),
            scale=value_or_mapping(scale, "--scale", lambda text, _: text, "target"),
            target=others,
            basis=functions.basis,
            sampling_weights=None if sampling_weights is None else frame[sampling_weights],
            base_weights=None if base_weights is None else frame[base_weights],
            lower=lower,
            upper=upper,
            treated=None if chosen is None else value_of(treated, frame[chosen]),
            norm=norm,
            between=value_or_mapping(between, "--between", number, float("inf")) if between else None,
        )
        answer: BalanceResult = dataclasses.replace(solve(problem, solving), data=frame)
        estimate = None
        if outcome is not None:
            estimate = unless_stopped(
                "the estimate",
                lambda: answer.estimate(outcome, level, variance=variance, contrast=pair, seed=solving.seed),
                answer,
                notes,
            )
        written = files.write(
            output=write_table(_rows(answer, chosen)),
            plot=write_picture(answer.plot),
            capsule=lambda path: save_capsule(problem, answer, solving, path, dropped, dropped_others),
            export=write_model(lambda: program_of(problem, answer)),
        )
    if writing.json:
        showing.print_json(
            showing.result_json("balance", answer, notes)
            | showing.explanation(answer, writing.explain)
            | {
                "estimand": problem.estimand,
                "estimate": None if estimate is None else dataclasses.asdict(estimate),
                "effective_sample_size": answer.effective_sample_size.to_dict(),
                "cv": answer.cv.to_dict(),
                "balance": answer.balance_table(),
                "duals": answer.duals,
                "weights": [{"row": row, "weight": w} for row, w in answer.weights.items()],
                "dropped": fields_of(dropped, dropped_others),
                "written": written,
            }
        )
    else:
        _show(answer, estimate, outcome)
        showing.show_explanation(answer, writing.explain)
        showing.show_notes(notes, written)
    return showing.code_of(answer, notes)


def _check_target(estimand: str, target: str | None, treatment: str | None) -> None:
    if treatment is None and estimand != "population":
        raise OptionError("Name the column of the treatment, --treatment; only --estimand population needs none.")
    if estimand == "population" and target is None:
        raise OptionError("--estimand population needs --target, a file with rows of that population.")
    if estimand != "population" and target is not None:
        raise OptionError(f"--target goes with --estimand population, not {estimand}.")


def _target(path: str, reading: Reading, study: Study) -> tuple[pd.DataFrame, Dropped | None]:
    """Return the covariates of a target population, and what was left out of its rows."""
    frame = read_data(dataclasses.replace(reading, data=path, index=None))
    require(frame, study.columns, f"--target {path}")
    frame, dropped = complete(frame, study.columns, reading.missing, source=f"{path}: ")
    return study.covariates(frame), dropped


def _contrast(text: str, column: pd.Series | None) -> tuple[Any, Any]:
    words = names([text])
    if len(words) != 2 or column is None:
        raise OptionError(f"--contrast {text!r} must name two groups of the treatment, as first,second.")
    return value_of(words[0], column), value_of(words[1], column)


def _rows(answer: BalanceResult, treatment: str | None) -> pd.DataFrame:
    weights = answer.weights.to_frame()
    if treatment is not None and treatment != "weight" and treatment not in weights.index.names:
        weights.insert(0, treatment, answer.problem.treatment)
    return weights


def _show(answer: BalanceResult, estimate: Any, outcome: str | None) -> None:
    console = Console()
    showing.print_result(answer, console)
    table = answer.balance_table()
    wanted = ["target", "mean before", "mean after", "smd before", "smd after", "active"]
    showing.show_table(
        console, table[wanted].rename(columns={"mean before": "before", "mean after": "after"}), "Balance"
    )
    duals = answer.duals
    dear = duals[duals["dual"] > 0].head(5)
    if len(dear):
        dear = dear.assign(saves=[f"{100 * price:.2f}% of the variance" for price in dear["price of 0.01"]])
        columns = [name for name in ("group", "covariate", "side", "tolerance", "saves") if name in dear]
        showing.show_table(
            console, dear[columns].set_index(columns[0]), "Dearest covariates: what 0.01 more tolerance would save"
        )
    if estimate is not None:
        console.print()
        console.print(f"Effect on {outcome}: {estimate}", markup=False, highlight=False)
