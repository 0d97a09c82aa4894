"""`causalopt factorial`: balancing weights for the effects of several two-level factors."""

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
    Writing,
    any_value,
    check_choice,
    command,
    mapping,
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

if TYPE_CHECKING:
    import pandas as pd

problems = Later("causalopt.problems.factorial.problem")
results = Later("causalopt.problems.factorial.result")


@dataclasses.dataclass(kw_only=True)
class Question:
    """Whose effects are asked for, and what is balanced."""

    formula: Annotated[
        str | None, option("Factors and covariates as a formula, such as 'quit + active ~ age + C(race)'.", panel=STUDY)
    ] = None
    factors: Annotated[
        list[str] | None,
        option("Two-level columns whose effects are asked for; with commas, or repeated.", panel=STUDY),
    ] = None
    functions: Functions
    effects: Annotated[
        str, option("Which effects: main, all up to an order such as 2, or a list such as a,b,a:b.", panel=STUDY)
    ] = "main"
    outcome_model: Annotated[
        str, option("additive, heterogeneous, or a list of terms such as a,b,a:b,a:age.", panel=STUDY)
    ] = "additive"
    model_order: Annotated[
        int | None, option("Highest order of interactions of factors in the outcome model.", panel=STUDY)
    ] = None
    high: Annotated[
        list[str] | None,
        option(
            "Which value of a factor counts as high, as name=value; may be repeated.", panel=STUDY, metavar="NAME=VALUE"
        ),
    ] = None
    tolerance: Annotated[
        list[str] | None,
        option(
            "Largest imbalance in standard deviations: a number for all, or age=0.01; repeated. 0 unless given.",
            panel=STUDY,
            metavar="[NAME=]NUMBER",
        ),
    ] = None
    separate: Annotated[
        bool, option("One set of weights for each effect, not one for all.", "--separate", panel=STUDY)
    ] = False
    outcome: EffectOn = None
    level: Level = 0.95
    variance: Annotated[str, option("Standard error: adjusted, plain or bootstrap.", panel=ANSWER)] = "adjusted"
    draws: Annotated[int, option("Draws of the bootstrap.", panel=ANSWER)] = 400


@command("factorial", basis=FUNCTIONS)
def factorial(*, asked: Question, reading: Reading, solving: Solving, writing: Writing) -> int:
    """Weigh the rows of DATA as if several two-level factors had been randomized together.

    Example: causalopt factorial study.csv --factors quit,active --covariates age,sex --effects 2 --outcome weight
    """
    run = Run("factorial", reading, solving, writing)
    check_choice(asked.variance, results.VARIANCES, "--variance")
    outcome, level = asked.outcome, asked.level
    frame = run.read()
    study = Study.read(frame, asked.formula, names(asked.factors, frame.columns), asked.functions, "--factors")
    if not study.chosen:
        raise OptionError("Name the factors, --factors quit,active, or give a --formula.")
    used = [*study.chosen, *study.columns, *columns_named(frame, asked, "outcome")]
    frame = run.complete(frame, used, study.chosen)
    columns = study.covariates(frame)
    with run.noting():
        problem = _problem(asked, frame, columns, list(study.chosen))
        answer = run.solve(problem, data=frame)
        how = {"level": level, "variance": asked.variance, "draws": asked.draws, "seed": solving.seed}
        ask = None if outcome is None else lambda: answer.estimate(outcome, **how)
        estimate = run.unless_stopped("the estimate", ask, answer)
        picture = write_picture(lambda: _draw(answer, outcome, level))
        run.write(problem, answer, output=write_table(_weights(answer)), plot=picture)
    return run.show(
        answer, lambda: _fields(answer, estimate), lambda console: _show(console, answer, estimate, outcome)
    )


def _problem(asked: Question, frame: pd.DataFrame, columns: Any, factors: list[str]) -> Any:
    model = asked.outcome_model
    return problems.FactorialBalanceProblem(
        columns,
        frame[factors],
        effects=_effects(asked.effects),
        outcome_model=model if model in ("additive", "heterogeneous") else names([model]),
        model_order=asked.model_order,
        basis=asked.functions.basis,
        tolerance=value_or_mapping(asked.tolerance, "--tolerance", number, 0.0),
        separate=asked.separate,
        high=_high(asked.high, frame),
    )


def _effects(text: str) -> Any:
    if text == "main":
        return text
    order = any_value(text)
    return order if isinstance(order, int) else names([text])


def _high(given: list[str] | None, frame: pd.DataFrame) -> dict[str, Any] | None:
    words = mapping(given, "--high", lambda text, _: text)
    require(frame, words, "--high")
    return {name: value_of(text, frame[name]) for name, text in words.items()} or None


def _weights(answer: Any) -> pd.DataFrame:
    weights = answer.weights
    if answer.problem.separate:
        renamed: pd.DataFrame = weights.rename(columns=lambda effect: f"weight of {effect}").rename_axis(columns=None)
        return renamed
    frame: pd.DataFrame = weights.to_frame()
    return frame


def _draw(answer: Any, outcome: str | None, level: float) -> Any:
    return answer.plot("balance") if outcome is None else answer.plot("effects", outcome=outcome, level=level)


def _fields(answer: Any, estimate: Any) -> dict[str, Any]:
    return {
        "estimates": estimate,
        "identification": answer.problem.identification(),
        "cells": answer.cells(),
        "balance": answer.balance_table(),
        "weights": _weights(answer),
    }


def _show(console: Console, answer: Any, estimate: Any, outcome: str | None) -> None:
    showing.print_result(answer, console)
    showing.show_table(console, answer.cells()[["rows", "weight", "effective sample size"]], "Treatment cells")
    table = answer.balance_table()
    if len(table):
        worst = table.assign(before=table["smd before"].abs(), after=table["smd after"].abs())
        worst = worst.groupby("function", sort=False)[["before", "after"]].max()
        showing.show_table(console, worst, "Balance: largest difference over the sides of all effects")
    if estimate is not None:
        showing.show_table(console, estimate, f"Effects on {outcome}")
        console.print(f"({estimate.attrs['method']})", markup=False, highlight=False)
