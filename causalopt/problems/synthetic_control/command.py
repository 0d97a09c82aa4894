"""`causalopt synth`: synthetic control from a long table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console

from causalopt.console import showing
from causalopt.console.arguments import STUDY, Outcome, Reading, Solving, Writing, mapping, names, number, option
from causalopt.console.capsules import program_of, save_capsule
from causalopt.console.missing import Dropped, complete_donors, fields_of
from causalopt.console.reading import read_data, refuse_text, require, value_of
from causalopt.console.running import caught_warnings, sign_of_life, solve, unless_stopped
from causalopt.console.writing import Files, check_choice, write_model, write_picture, write_table
from causalopt.errors import DataError, OptionError

if TYPE_CHECKING:
    import pandas as pd

    from causalopt.problems.synthetic_control.result import SyntheticControlResult

PLACEBOS = ("none", "space", "time", "leave-one-out")
KINDS = ("path", "gap", "placebo", "weights", "range")
WEIGHTS = ("simplex", "elastic-net", "penalized", "ridge", "did")


def synth(
    *,
    unit: Annotated[str, option("Column of the units.", panel=STUDY, metavar="COLUMN")],
    time: Annotated[str, option("Column of the times.", panel=STUDY, metavar="COLUMN")],
    outcome: Outcome,
    treated: Annotated[list[str], option("The treated unit; may be repeated for several.", panel=STUDY)],
    treatment_time: Annotated[str, option("The first time under treatment.", panel=STUDY)],
    weights: Annotated[
        str, option("Kind of weights: simplex, elastic-net, penalized, ridge or did.", panel=STUDY)
    ] = "simplex",
    intercept: Annotated[
        bool | None, option("Whether there is an intercept, in place of what the kind has.", panel=STUDY)
    ] = None,
    donors: Annotated[
        list[str] | None,
        option("Units that may get weight: all that are not treated, unless named; repeated.", panel=STUDY),
    ] = None,
    without: Annotated[list[str] | None, option("Units that may not get weight; may be repeated.", panel=STUDY)] = None,
    lam: Annotated[str | None, option("The penalty; several with commas are chosen from.", panel=STUDY)] = None,
    alpha: Annotated[str | None, option("Share of the L1 penalty; several with commas.", panel=STUDY)] = None,
    predictors: Annotated[
        list[str] | None,
        option(
            "Columns whose averages before the treatment are fitted instead, or name@time or name@from:to; with "
            "commas, or repeated.",
            panel=STUDY,
            metavar="COLUMNS",
        ),
    ] = None,
    importance: Annotated[
        list[str] | None,
        option(
            "Importance of predictors: search, or name=number for each; repeated.",
            panel=STUDY,
            metavar="[NAME=]NUMBER",
        ),
    ] = None,
    pooled: Annotated[
        bool, option("Fit the average of several treated units, not each.", "--pooled", panel=STUDY)
    ] = False,
    placebo: Annotated[
        str, option("Also refit with each donor as treated (space), earlier (time), or leave-one-out.", panel=STUDY)
    ] = "none",
    eta: Annotated[
        float | None,
        option("Also the range of effects over weights whose error is within 1 + eta of the best.", panel=STUDY),
    ] = None,
    weights_output: Annotated[
        Path | None, option("Write the donors' weights to a .csv or .parquet file.", panel="Output", metavar="FILE")
    ] = None,
    picture: Annotated[
        str, option("What --plot draws: path, gap, placebo, weights or range.", panel="Output")
    ] = "path",
    reading: Reading,
    solving: Solving,
    writing: Writing,
) -> int:
    """Compare a treated unit of DATA (a row per unit and time) with a weighted average of others.

    Example: causalopt synth sales.csv --unit state --time year --outcome sales --treated Utah --treatment-time 1989
    """
    files = Files.of(writing, weights_output=weights_output)
    check_choice(placebo, PLACEBOS, "--placebo")
    check_choice(picture, KINDS, "--picture")
    check_choice(weights, WEIGHTS, "--weights")
    frame = read_data(reading)
    for name, label in ((unit, "--unit"), (time, "--time"), (outcome, "--outcome")):
        require(frame, [name], label)
    if len({unit, time, outcome}) < 3:
        raise OptionError("--unit, --time and --outcome must name three different columns.")
    chosen = [value_of(word, frame[unit]) for word in treated]
    left_out = [value_of(word, frame[unit]) for word in without or ()]
    if set(chosen) & set(left_out):
        raise OptionError("--without names a treated unit; take it out of one of the two.")
    since = _time(treatment_time, frame[time])
    refuse_text(frame, [outcome], categories=False)
    frame = frame[~frame[unit].isin(left_out)]
    wanted = [_predictor(word, frame, time) for word in names(predictors, frame.columns)]
    used = [_used(item, frame[time], since) for item in wanted]
    frame, dropped = complete_donors(frame, unit, time, outcome, chosen, reading.missing, used)
    pool = _donors(frame[unit], donors, without, dropped)
    with caught_warnings(dropped) as notes:
        from causalopt.problems.synthetic_control.predictors import predictors_from_columns
        from causalopt.problems.synthetic_control.problem import SyntheticControlProblem

        averages = None
        if wanted:
            averages = predictors_from_columns(frame, unit, time, since, wanted)
        with sign_of_life("reading the panel"):
            problem = SyntheticControlProblem(
                frame,
                chosen[0] if len(chosen) == 1 else chosen,
                since,
                unit=unit,
                time=time,
                outcome=outcome,
                weights=weights,
                intercept=intercept,
                donors=pool,
                lam=_numbers(lam, "--lam"),
                alpha=_numbers(alpha, "--alpha"),
                predictors=averages,
                v=_importance(importance),
                pooled=pooled,
            )
        answer: SyntheticControlResult = solve(problem, solving)
        run_placebo: Any = {
            "space": answer.placebo_in_space,
            "time": answer.placebo_in_time,
            "leave-one-out": answer.leave_one_out,
        }.get(placebo)
        tested: Any = unless_stopped("the placebo run", run_placebo, answer, notes) if run_placebo else None
        span = None
        if eta is not None:
            span = unless_stopped("the range of effects", lambda: answer.att_range(eta), answer, notes)
        written = files.write(
            output=write_table(_gaps(answer)),
            weights_output=write_table(answer.weight_table.rename(columns=str)),
            plot=write_picture(lambda: answer.plot(picture)),
            capsule=lambda path: save_capsule(problem, answer, solving, path, dropped),
            export=write_model(lambda: program_of(problem, answer)),
        )
    if writing.json:
        showing.print_json(
            showing.result_json("synth", answer, notes)
            | showing.explanation(answer, writing.explain)
            | {
                "att": answer.att,
                "att_by_unit": answer.att_by_unit,
                "weights": answer.weight_table.rename(columns=str),
                "intercepts": answer.intercepts,
                "unique": answer.weights_are_unique,
                "fit": answer.fit,
                "gaps": _gaps(answer),
                "att_range": None if span is None else [span.lower, span.upper],
                "placebo": None if tested is None else tested.table,
                "placebo_p": getattr(tested, "p_value", None) if placebo == "space" else None,
                "dropped": fields_of(dropped),
                "written": written,
            }
        )
    else:
        _show(answer, tested, span, placebo)
        showing.show_explanation(answer, writing.explain)
        showing.show_notes(notes, written)
    return showing.code_of(answer, notes)


def _time(text: str, column: pd.Series, option_name: str = "--treatment-time") -> Any:
    """Return a time in the type of the panel's times, which as texts must be in the order of their letters.

    Raises
    ------
    DataError
        For times in words or with the day first, and a time that is not written as those of the panel.
    """
    import pandas as pd

    from causalopt.problems.synthetic_control.data import read_time, refuse_words

    if pd.api.types.is_numeric_dtype(column.dtype):
        value = number(text, option_name)
        return int(value) if value.is_integer() else value
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        try:
            return pd.Timestamp(text)
        except ValueError:
            raise DataError(f"{option_name} {text!r} is no date; write it as 2019-09-01.") from None
    known = pd.Index(column.dropna().astype(str).unique())
    refuse_words(known, column.name)
    return read_time(text, known, option_name)


def _donors(units: pd.Series, donors: list[str] | None, without: list[str] | None, dropped: Dropped | None) -> Any:
    """Return the units that are named as donors, as far as they are left, or None for all that are not treated."""
    if donors and without:
        raise OptionError("Say --donors or --without, not both.")
    gone = set(map(str, () if dropped is None else dropped.labels))
    return [value_of(word, units) for word in donors if word not in gone] if donors else None


def _numbers(text: str | None, option_name: str) -> Any:
    if text is None:
        return None
    values = [number(word, option_name) for word in names([text])]
    return values[0] if len(values) == 1 else values


def _predictor(word: str, frame: pd.DataFrame, time: str) -> Any:
    """Read name, name@time or name@from:to."""
    name, at, when = word.partition("@")
    require(frame, [name], "--predictors")
    if not at:
        return name
    first, colon, last = when.partition(":")
    if not colon:
        return name, _time(first, frame[time], "--predictors")
    low, high = _time(first, frame[time], "--predictors"), _time(last, frame[time], "--predictors")
    times = sorted(frame.loc[frame[time].between(low, high), time].drop_duplicates())
    if not times:
        raise OptionError(f"--predictors {word}: there is no time from {first} to {last}.")
    return name, times


def _used(predictor: Any, times: pd.Series, since: Any) -> tuple[str, pd.Series]:
    """Return the column of a predictor, and which rows its average is of."""
    if isinstance(predictor, str):
        return predictor, times < since
    name, when = predictor
    return name, times.isin(when if isinstance(when, list) else [when])


def _importance(given: list[str] | None) -> Any:
    if not given:
        return None
    return "search" if given == ["search"] else mapping(given, "--importance", number)


def _gaps(answer: SyntheticControlResult) -> pd.DataFrame:
    """Return a row per treated unit and time: actual and synthetic outcome, and their difference."""
    import pandas as pd

    problem = answer.problem
    parts = {}
    for k, label in enumerate(problem.labels):
        columns = {"actual": problem.treated_values[:, k], "synthetic": answer._synthetic[:, k]}
        parts[str(label)] = pd.DataFrame(columns, index=problem.panel.times.rename("time"))
    table = pd.concat(parts, names=["treated"])
    return table.assign(gap=table["actual"] - table["synthetic"])


def _show(answer: SyntheticControlResult, tested: Any, span: Any, placebo: str) -> None:
    console = Console()
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
