"""`causalopt synth`: synthetic control from a long table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console

from causalopt.console import showing
from causalopt.console.arguments import (
    STUDY,
    Outcome,
    Reading,
    Solving,
    Writing,
    check_choice,
    command,
    mapping,
    names,
    number,
    option,
)
from causalopt.console.loading import Later
from causalopt.console.reading import columns_named, refuse_text, value_of
from causalopt.console.running import Run
from causalopt.console.waiting import sign_of_life
from causalopt.console.writing import write_picture, write_table
from causalopt.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

problems = Later("causalopt.problems.synthetic_control.problem")
averages = Later("causalopt.problems.synthetic_control.predictors")
panels = Later("causalopt.problems.synthetic_control.asked")

PLACEBOS = ("none", "space", "time", "leave-one-out")
KINDS = ("path", "gap", "placebo", "weights", "range")
WEIGHTS = ("simplex", "elastic-net", "penalized", "ridge", "did")

#: What the library's messages lead to, as one asks for it here.
CALLS = {
    "placebo_in_space": "--placebo space",
    "placebo_in_time": "--placebo time",
    "leave_one_out": "--placebo leave-one-out",
    "weight_ranges": "--eta 0",
    "att_range": "--eta 0",
    "without": "--without",
}


@dataclasses.dataclass(kw_only=True)
class Question:
    """Which panel, which weights, and what is asked of them."""

    unit: Annotated[str, option("Column of the units.", panel=STUDY, metavar="COLUMN")]
    time: Annotated[str, option("Column of the times.", panel=STUDY, metavar="COLUMN")]
    outcome: Outcome
    treated: Annotated[list[str], option("The treated unit; may be repeated for several.", panel=STUDY)]
    treatment_time: Annotated[str, option("The first time under treatment.", panel=STUDY)]
    weights: Annotated[str, option("Kind of weights: simplex, elastic-net, penalized, ridge or did.", panel=STUDY)] = (
        "simplex"
    )
    intercept: Annotated[
        bool | None, option("Whether there is an intercept, in place of what the kind has.", panel=STUDY)
    ] = None
    donors: Annotated[
        list[str] | None,
        option("Units that may get weight: all that are not treated, unless named; repeated.", panel=STUDY),
    ] = None
    without: Annotated[list[str] | None, option("Units that may not get weight; may be repeated.", panel=STUDY)] = None
    lam: Annotated[str | None, option("The penalty; several with commas are chosen from.", panel=STUDY)] = None
    alpha: Annotated[str | None, option("Share of the L1 penalty; several with commas.", panel=STUDY)] = None
    predictors: Annotated[
        list[str] | None,
        option(
            "Columns whose averages before the treatment are fitted instead, or name@time or name@from:to; with "
            "commas, or repeated.",
            panel=STUDY,
            metavar="COLUMNS",
        ),
    ] = None
    importance: Annotated[
        list[str] | None,
        option(
            "Importance of predictors: search, or name=number for each; repeated.",
            panel=STUDY,
            metavar="[NAME=]NUMBER",
        ),
    ] = None
    pooled: Annotated[bool, option("Fit the average of several treated units, not each.", "--pooled", panel=STUDY)] = (
        False
    )
    placebo: Annotated[
        str, option("Also refit with each donor as treated (space), earlier (time), or leave-one-out.", panel=STUDY)
    ] = "none"
    eta: Annotated[
        float | None,
        option("Also the range of effects over weights whose error is within 1 + eta of the best.", panel=STUDY),
    ] = None
    weights_output: Annotated[
        Path | None, option("Write the donors' weights to a .csv or .parquet file.", panel="Output", metavar="FILE")
    ] = None
    picture: Annotated[str, option("What --plot draws: path, gap, placebo, weights or range.", panel="Output")] = "path"


@command("synth", v="--importance", calls=CALLS)
def synth(*, asked: Question, reading: Reading, solving: Solving, writing: Writing) -> int:
    """Compare a treated unit of DATA (a row per unit and time) with a weighted average of others.

    Example: causalopt synth sales.csv --unit state --time year --outcome sales --treated Utah --treatment-time 1989
    """
    run = Run("synth", reading, solving, writing, weights_output=asked.weights_output)
    check_choice(asked.placebo, PLACEBOS, "--placebo")
    check_choice(asked.picture, KINDS, "--picture")
    check_choice(asked.weights, WEIGHTS, "--weights")
    frame, study = _read(run, asked)
    with run.noting():
        problem = _problem(asked, frame, study)
        answer = run.solve(problem)
        refits = {
            "space": answer.placebo_in_space,
            "time": answer.placebo_in_time,
            "leave-one-out": answer.leave_one_out,
        }
        tested = run.unless_stopped("the placebo run", refits.get(asked.placebo), answer)
        look = None if asked.eta is None else lambda: answer.att_range(asked.eta)
        span = run.unless_stopped("the range of effects", look, answer)
        run.write(
            problem,
            answer,
            output=write_table(panels.gaps(answer)),
            weights_output=write_table(answer.weight_table.rename(columns=str)),
            plot=write_picture(lambda: answer.plot(asked.picture)),
        )
    return run.show(
        answer,
        lambda: _fields(answer, tested, span, asked.placebo),
        lambda console: _show(console, answer, tested, span, asked.placebo),
    )


def _read(run: Run, asked: Question) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the panel without what is left out, and what the options name in it."""
    frame = run.read()
    unit, time, outcome = columns_named(frame, asked, "unit", "time", "outcome")
    if len({unit, time, outcome}) < 3:
        raise OptionError("--unit, --time and --outcome must name three different columns.")
    chosen = [value_of(word, frame[unit]) for word in asked.treated]
    left_out = [value_of(word, frame[unit]) for word in asked.without or ()]
    if set(chosen) & set(left_out):
        raise OptionError("--without names a treated unit; take it out of one of the two.")
    since = panels.read_time_option(asked.treatment_time, frame[time])
    refuse_text(frame, [outcome], categories=False)
    frame = frame[~frame[unit].isin(left_out)]
    wanted = [panels.read_predictor(word, frame, time) for word in names(asked.predictors, frame.columns)]
    policy = run.reading.missing
    frame = run.without(panels.complete_donors(frame, unit, time, outcome, chosen, policy, wanted, since))
    donors = panels.named_donors(frame[unit], asked.donors, asked.without, run.dropped)
    one_or_all = chosen[0] if len(chosen) == 1 else chosen
    return frame, {"treated": one_or_all, "treatment_time": since, "donors": donors, "predictors": wanted}


def _problem(asked: Question, frame: pd.DataFrame, study: dict[str, Any]) -> Any:
    wanted, columns = study.pop("predictors"), {"unit": asked.unit, "time": asked.time}
    fitted = None
    with sign_of_life("reading the panel"):
        if wanted:
            fitted = averages.predictors_from_columns(frame, *columns.values(), study["treatment_time"], wanted)
        return problems.SyntheticControlProblem(
            frame,
            **study,
            **columns,
            outcome=asked.outcome,
            weights=asked.weights,
            intercept=asked.intercept,
            lam=_numbers(asked.lam, "--lam"),
            alpha=_numbers(asked.alpha, "--alpha"),
            predictors=fitted,
            v=_importance(asked.importance),
            pooled=asked.pooled,
        )


def _numbers(text: str | None, option_name: str) -> Any:
    if text is None:
        return None
    values = [number(word, option_name) for word in names([text])]
    return values[0] if len(values) == 1 else values


def _importance(given: list[str] | None) -> Any:
    if not given:
        return None
    return "search" if given == ["search"] else mapping(given, "--importance", number)


def _fields(answer: Any, tested: Any, span: Any, placebo: str) -> dict[str, Any]:
    return {
        "att": answer.att,
        "att_by_unit": answer.att_by_unit,
        "weights": answer.weight_table.rename(columns=str),
        "intercepts": answer.intercepts,
        "unique": answer.weights_are_unique,
        "fit": answer.fit,
        "gaps": panels.gaps(answer),
        "att_range": None if span is None else [span.lower, span.upper],
        "placebo": None if tested is None else tested.table,
        "placebo_p": getattr(tested, "p_value", None) if placebo == "space" else None,
    }


def _show(console: Console, answer: Any, tested: Any, span: Any, placebo: str) -> None:
    showing.print_result(answer, console)
    table = answer.weight_table.rename(columns=str)
    heavy = table[table.abs().max(axis=1) > 1e-6]
    order = heavy.abs().max(axis=1).sort_values(ascending=False, kind="stable").index
    showing.show_table(console, heavy.loc[order], "Weights")
    fit = answer.fit[["pre rmspe", "post rmspe", "rmspe ratio"]].assign(effect=answer.att_by_unit)
    showing.show_table(console, fit, "Fit, and effect (mean gap since the treatment)")
    if span is not None:
        console.print(f"\nEffects: {span}", markup=False, highlight=False)
    if tested is not None:
        console.print(f"\nPlacebo ({placebo}): {tested}", markup=False, highlight=False)
        table = tested.table
        if "rmspe ratio" in table:
            table = table.sort_values("rmspe ratio", ascending=False, kind="stable")
        showing.show_table(console, table, "Refits")
