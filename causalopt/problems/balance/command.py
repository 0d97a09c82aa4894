"""`causalopt balance`: balancing weights, and the effect they give."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console

from causalopt.console import showing
from causalopt.console.arguments import (
    ANSWER,
    FUNCTIONS,
    STUDY,
    EffectOn,
    Functions,
    Level,
    Reading,
    Solving,
    Treated,
    Writing,
    check_choice,
    command,
    names,
    number,
    option,
    value_or_mapping,
)
from causalopt.console.loading import Later
from causalopt.console.reading import columns_named, require, value_of
from causalopt.console.running import Run
from causalopt.console.study import Study
from causalopt.console.writing import write_picture, write_table
from causalopt.errors import OptionError
from causalopt.problems.balance.demo import demo as demo

if TYPE_CHECKING:
    import pandas as pd

problems = Later("causalopt.problems.balance.problem")

VARIANCES = ("fixed", "regression", "bootstrap")


@dataclasses.dataclass(kw_only=True)
class Question:
    """What is balanced, and what is asked of the weights."""

    formula: Annotated[
        str | None,
        option("Treatment and covariates as a formula, such as 'treat ~ age + I(age**2) + C(race)'.", panel=STUDY),
    ] = None
    treatment: Annotated[str | None, option("Column of the treatment.", panel=STUDY, metavar="COLUMN")] = None
    functions: Functions
    estimand: Annotated[
        str, option("Whom the weights make the groups resemble: ATT, ATC, ATE or population.", panel=STUDY)
    ] = "ATT"
    target: Annotated[
        str | None, option("For the estimand population: a file with its rows.", panel=STUDY, metavar="FILE")
    ] = None
    treated: Treated = None
    tolerance: Annotated[
        list[str] | None,
        option(
            "Largest imbalance, in units of --scale: a number for all, or age=0.01; repeated. 0.02 unless given.",
            panel=STUDY,
            metavar="[NAME=]NUMBER",
        ),
    ] = None
    scale: Annotated[
        list[str] | None,
        option(
            "Unit of the tolerance: target, treated, group, pooled (standard deviations), raw; or age=raw. Target "
            "unless given.",
            panel=STUDY,
            metavar="[NAME=]SCALE",
        ),
    ] = None
    sampling_weights: Annotated[str | None, option("Column of survey weights.", panel=STUDY, metavar="COLUMN")] = None
    base_weights: Annotated[str | None, option("Column of weights to stay near.", panel=STUDY, metavar="COLUMN")] = None
    lower: Annotated[float, option("Least weight, in multiples of the average.", panel=STUDY)] = 0.0
    upper: Annotated[float, option("Largest weight, in multiples of the average.", panel=STUDY)] = float("inf")
    norm: Annotated[str, option("What is minimised of the weights: l2 (variance), l1 or linf.", panel=STUDY)] = "l2"
    between: Annotated[
        list[str] | None,
        option(
            "Largest difference between any two weighted groups, as --tolerance.",
            panel=STUDY,
            metavar="[NAME=]NUMBER",
        ),
    ] = None
    outcome: EffectOn = None
    level: Level = 0.95
    variance: Annotated[str, option("Standard error: fixed, regression or bootstrap.", panel=ANSWER)] = "fixed"
    contrast: Annotated[str | None, option("Which two groups to compare, as first,second.", panel=ANSWER)] = None


@command("balance", basis=FUNCTIONS)
def balance(*, asked: Question, reading: Reading, solving: Solving, writing: Writing) -> int:
    """Weigh the rows of DATA so that covariates are balanced between treatment groups.

    Example: causalopt balance study.csv --treatment treat --covariates age,educ --outcome wage
    """
    run = Run("balance", reading, solving, writing)
    check_choice(asked.variance, VARIANCES, "--variance")
    frame, study = _read(run, asked)
    chosen = study.chosen[0] if study.chosen else None
    columns = study.covariates(frame)
    pair = None if asked.contrast is None else _contrast(asked.contrast, frame[chosen] if chosen else None)
    target = None if asked.target is None else _target(asked.target, run, study)
    _check_target(asked, chosen)
    with run.noting():
        problem = _problem(asked, frame, columns, chosen, target)
        answer = run.solve(problem, data=frame)
        how = {"level": asked.level, "variance": asked.variance, "contrast": pair, "seed": solving.seed}
        ask = None if asked.outcome is None else lambda: answer.estimate(asked.outcome, **how)
        estimate = run.unless_stopped("the estimate", ask, answer)
        run.write(problem, answer, output=write_table(_rows(answer, chosen)), plot=write_picture(answer.plot))
    return run.show(
        answer, lambda: _fields(answer, estimate), lambda console: _show(console, answer, estimate, asked.outcome)
    )


def _read(run: Run, asked: Question) -> tuple[pd.DataFrame, Study]:
    """Return the rows that are used, and which columns are what."""
    frame = run.read()
    treatment = [] if asked.treatment is None else [asked.treatment]
    study = Study.read(frame, asked.formula, treatment, asked.functions, "--treatment")
    if len(study.chosen) > 1:
        left = ", ".join(study.chosen)
        raise OptionError(f"--formula: one treatment stands left of ~, not {len(study.chosen)} ({left}).")
    more = columns_named(frame, asked, "outcome", "sampling_weights", "base_weights")
    return run.complete(frame, [*study.chosen, *study.columns, *more], study.chosen), study


def _problem(asked: Question, frame: pd.DataFrame, columns: Any, chosen: str | None, target: Any) -> Any:
    tolerance, between = asked.tolerance, asked.between
    return problems.BalanceProblem(
        columns,
        None if chosen is None else frame[chosen],
        estimand=asked.estimand,
        tolerance=value_or_mapping(tolerance, "--tolerance", number, 0.02),
        scale=value_or_mapping(asked.scale, "--scale", lambda text, _: text, "target"),
        target=target,
        basis=asked.functions.basis,
        sampling_weights=None if asked.sampling_weights is None else frame[asked.sampling_weights],
        base_weights=None if asked.base_weights is None else frame[asked.base_weights],
        lower=asked.lower,
        upper=asked.upper,
        treated=None if chosen is None else value_of(asked.treated, frame[chosen]),
        norm=asked.norm,
        between=value_or_mapping(between, "--between", number, float("inf")) if between else None,
    )


def _check_target(asked: Question, treatment: str | None) -> None:
    if treatment is None and asked.estimand != "population":
        raise OptionError("Name the column of the treatment, --treatment; only --estimand population needs none.")
    if asked.estimand == "population" and asked.target is None:
        raise OptionError("--estimand population needs --target, a file with rows of that population.")
    if asked.estimand != "population" and asked.target is not None:
        raise OptionError(f"--target goes with --estimand population, not {asked.estimand}.")


def _target(path: str, run: Run, study: Study) -> pd.DataFrame:
    """Return the covariates of a target population."""
    frame = run.read(path)
    require(frame, study.columns, f"--target {path}")
    return study.covariates(run.complete(frame, study.columns, source=f"{path}: "))


def _contrast(text: str, column: pd.Series | None) -> tuple[Any, Any]:
    words = names([text])
    if len(words) != 2 or column is None:
        raise OptionError(f"--contrast {text!r} must name two groups of the treatment, as first,second.")
    return value_of(words[0], column), value_of(words[1], column)


def _rows(answer: Any, treatment: str | None) -> pd.DataFrame:
    weights: pd.DataFrame = answer.weights.to_frame()
    if treatment is not None and treatment != "weight" and treatment not in weights.index.names:
        weights.insert(0, treatment, answer.problem.treatment)
    return weights


def _fields(answer: Any, estimate: Any) -> dict[str, Any]:
    return {
        "estimand": answer.problem.estimand,
        "estimate": None if estimate is None else dataclasses.asdict(estimate),
        "effective_sample_size": answer.effective_sample_size.to_dict(),
        "cv": answer.cv.to_dict(),
        "balance": answer.balance_table(),
        "duals": answer.duals,
        "weights": [{"row": row, "weight": w} for row, w in answer.weights.items()],
    }


def _show(console: Console, answer: Any, estimate: Any, outcome: str | None) -> None:
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
