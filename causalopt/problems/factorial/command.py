"""`causalopt factorial`: balancing weights for the effects of several two-level factors."""

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
    Writing,
    any_value,
    mapping,
    names,
    number,
    option,
    value_or_mapping,
)
from causalopt.console.capsules import program_of, save_capsule
from causalopt.console.missing import complete, fields_of
from causalopt.console.reading import read_data, require, value_of
from causalopt.console.running import caught_warnings, solve, unless_stopped
from causalopt.console.study import Study
from causalopt.console.writing import Files, check_choice, write_model, write_picture, write_table
from causalopt.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

    from causalopt.problems.factorial.result import FactorialResult


def factorial(
    *,
    formula: Annotated[
        str | None, option("Factors and covariates as a formula, such as 'quit + active ~ age + C(race)'.", panel=STUDY)
    ] = None,
    factors: Annotated[
        list[str] | None,
        option("Two-level columns whose effects are asked for; with commas, or repeated.", panel=STUDY),
    ] = None,
    functions: Functions,
    effects: Annotated[
        str, option("Which effects: main, all up to an order such as 2, or a list such as a,b,a:b.", panel=STUDY)
    ] = "main",
    outcome_model: Annotated[
        str, option("additive, heterogeneous, or a list of terms such as a,b,a:b,a:age.", panel=STUDY)
    ] = "additive",
    model_order: Annotated[
        int | None, option("Highest order of interactions of factors in the outcome model.", panel=STUDY)
    ] = None,
    high: Annotated[
        list[str] | None,
        option(
            "Which value of a factor counts as high, as name=value; may be repeated.", panel=STUDY, metavar="NAME=VALUE"
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        option(
            "Largest imbalance in standard deviations: a number for all, or age=0.01; repeated. 0 unless given.",
            panel=STUDY,
            metavar="[NAME=]NUMBER",
        ),
    ] = None,
    separate: Annotated[
        bool, option("One set of weights for each effect, not one for all.", "--separate", panel=STUDY)
    ] = False,
    outcome: EffectOn = None,
    level: Level = 0.95,
    variance: Annotated[str, option("Standard error: adjusted, plain or bootstrap.", panel=ANSWER)] = "adjusted",
    draws: Annotated[int, option("Draws of the bootstrap.", panel=ANSWER)] = 400,
    reading: Reading,
    solving: Solving,
    writing: Writing,
) -> int:
    """Weigh the rows of DATA as if several two-level factors had been randomized together.

    Example: causalopt factorial study.csv --factors quit,active --covariates age,sex --effects 2 --outcome weight
    """
    from causalopt.problems.factorial.result import VARIANCES

    files = Files.of(writing)
    check_choice(variance, VARIANCES, "--variance")
    frame = read_data(reading)
    study = Study.read(frame, formula, names(factors, frame.columns), functions, "--factors")
    if not study.chosen:
        raise OptionError("Name the factors, --factors quit,active, or give a --formula.")
    require(frame, [] if outcome is None else [outcome], "--outcome")
    used = [*study.chosen, *study.columns, *filter(None, [outcome])]
    frame, dropped = complete(frame, used, reading.missing, study.chosen)
    columns = study.covariates(frame)
    with caught_warnings(dropped) as notes:
        from causalopt.problems.factorial.problem import FactorialBalanceProblem

        problem = FactorialBalanceProblem(
            columns,
            frame[list(study.chosen)],
            effects=_effects(effects),
            outcome_model=outcome_model if outcome_model in ("additive", "heterogeneous") else names([outcome_model]),
            model_order=model_order,
            basis=functions.basis,
            tolerance=value_or_mapping(tolerance, "--tolerance", number, 0.0),
            separate=separate,
            high=_high(high, frame),
        )
        answer: FactorialResult = dataclasses.replace(solve(problem, solving), data=frame)
        estimate = None
        if outcome is not None:
            estimate = unless_stopped(
                "the estimate",
                lambda: answer.estimate(outcome, level=level, variance=variance, draws=draws, seed=solving.seed),
                answer,
                notes,
            )
        written = files.write(
            output=write_table(_weights(answer)),
            plot=write_picture(lambda: _draw(answer, outcome, level)),
            capsule=lambda path: save_capsule(problem, answer, solving, path, dropped),
            export=write_model(lambda: program_of(problem, answer)),
        )
    if writing.json:
        showing.print_json(
            showing.result_json("factorial", answer, notes)
            | showing.explanation(answer, writing.explain)
            | {
                "estimates": estimate,
                "identification": problem.identification(),
                "cells": answer.cells(),
                "balance": answer.balance_table(),
                "weights": _weights(answer),
                "dropped": fields_of(dropped),
                "written": written,
            }
        )
    else:
        _show(answer, estimate, outcome)
        showing.show_explanation(answer, writing.explain)
        showing.show_notes(notes, written)
    return showing.code_of(answer, notes)


def _effects(text: str) -> Any:
    if text == "main":
        return text
    order = any_value(text)
    return order if isinstance(order, int) else names([text])


def _high(given: list[str] | None, frame: pd.DataFrame) -> dict[str, Any] | None:
    words = mapping(given, "--high", lambda text, _: text)
    require(frame, words, "--high")
    return {name: value_of(text, frame[name]) for name, text in words.items()} or None


def _weights(answer: FactorialResult) -> pd.DataFrame:
    weights = answer.weights
    if answer.problem.separate:
        renamed: pd.DataFrame = weights.rename(columns=lambda effect: f"weight of {effect}").rename_axis(columns=None)
        return renamed
    frame: pd.DataFrame = weights.to_frame()
    return frame


def _draw(answer: FactorialResult, outcome: str | None, level: float) -> Any:
    return answer.plot("balance") if outcome is None else answer.plot("effects", outcome=outcome, level=level)


def _show(answer: FactorialResult, estimate: Any, outcome: str | None) -> None:
    console = Console()
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
