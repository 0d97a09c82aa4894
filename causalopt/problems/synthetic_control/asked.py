"""What `causalopt synth` is asked, in the terms of a panel: its times, donors and predictors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from causalopt.console.arguments import number
from causalopt.console.missing import Dropped, where_missing
from causalopt.console.reading import require, value_of
from causalopt.errors import DataError, OptionError
from causalopt.solving.words import listing
from causalopt.study.times import read_time, refuse_words, time_name


def read_time_option(text: str, column: pd.Series, option_name: str = "--treatment-time") -> Any:
    """Return a time in the type of the panel's times, which as texts must be in the order of their letters.

    Raises
    ------
    DataError
        For times in words or with the day first, and a time that is not written as those of the panel.
    """
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


def named_donors(
    units: pd.Series, donors: list[str] | None, without: list[str] | None, dropped: Iterable[Dropped]
) -> list[Any] | None:
    """Return the units that are named as donors, as far as they are left, or None for all that are not treated."""
    if donors and without:
        raise OptionError("Say --donors or --without, not both.")
    gone = {str(label) for each in dropped for label in each.labels}
    return [value_of(word, units) for word in donors if word not in gone] if donors else None


def read_predictor(word: str, frame: pd.DataFrame, time: str) -> Any:
    """Read name, name@time or name@from:to."""
    name, at, when = word.partition("@")
    require(frame, [name], "--predictors")
    if not at:
        return name
    first, colon, last = when.partition(":")
    low = read_time_option(first, frame[time], "--predictors")
    if not colon:
        return name, low
    high = read_time_option(last, frame[time], "--predictors")
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


def complete_donors(
    frame: pd.DataFrame,
    unit: str,
    time: str,
    outcome: str,
    treated: Sequence[Any],
    policy: str,
    predictors: Sequence[Any] = (),
    since: Any = None,
) -> tuple[pd.DataFrame, Dropped | None]:
    """Return a panel without the donors that lack a value at some time, and what was left out.

    Who may be a donor is the analyst's choice, and a donor without some values can be left out as any other. Times
    and treated units cannot: the fit and the effect would be of other times than asked for.

    `predictors` are as `read_predictor` returns them, and `since` is the first time under treatment.

    Raises
    ------
    DataError
        For rows without unit or time, where the policy is "error" and values are missing, for treated units that lack
        some, and where no donor would be left.
    """
    for name, label in ((unit, "--unit"), (time, "--time")):
        gaps = frame[name].isna()
        if gaps.any():
            where = where_missing(gaps)
            raise DataError(f"{label}: {where}. Such a row belongs nowhere: complete it or take it out first.")
    lacking = _lacking(frame, unit, time, outcome, [_used(item, frame[time], since) for item in predictors])
    if not lacking:
        return frame, None
    words = "; ".join(
        f"column {column!r} has missing values for {listing([f'{name!r} in {at}' for name, at in units.items()])}"
        for column, units in lacking.items()
    )
    if policy == "error":
        raise DataError(
            f"C{words[1:]}. Every unit is needed at every time that is used. --missing drop leaves donors with gaps "
            "out (never times, or treated units); or fill in the values first."
        )
    _refuse_treated(treated, lacking)
    names = tuple(dict.fromkeys(name for units in lacking.values() for name in units))
    donors = frame[unit].nunique() - len(treated)
    if len(names) >= donors:
        raise DataError(f"--missing drop leaves no donors: {words}. Fill in the values.")
    more = f": {listing(list(map(str, names)), 8)}"
    dropped = Dropped("donor", names, donors, {column: len(units) for column, units in lacking.items()}, {}, more)
    return frame[~frame[unit].isin(names)], dropped


def _lacking(
    frame: pd.DataFrame, unit: str, time: str, outcome: str, used: Sequence[tuple[str, pd.Series]]
) -> dict[str, dict[Any, str]]:
    """Return which unit lacks which column at which times, in words; a column is used in the rows beside it."""
    present = frame[outcome].notna().groupby([frame[unit], frame[time]], sort=False).any().unstack(fill_value=False)
    rows = present[~present.all(axis=1)].iterrows()
    lacking = {outcome: {name: _listed(row.index[~row]) for name, row in rows}}
    for column, mask in used:
        empty = frame[mask & frame[column].isna()]
        for name, times in empty.groupby(unit, sort=False)[time]:
            lacking.setdefault(column, {})[name] = _listed(times)
    return {column: units for column, units in lacking.items() if units}


def _refuse_treated(treated: Sequence[Any], lacking: Mapping[str, Mapping[Any, str]]) -> None:
    for column, units in lacking.items():
        for name in treated:
            if name in units:
                raise DataError(
                    f"Treated unit {name!r} has no value of {column!r} in {units[name]}, and --missing drop leaves "
                    "out donors only: fill in the values, or take these times out for all units."
                )


def _listed(times: Iterable[Any]) -> str:
    words = [time_name(time) for time in times]
    return ", ".join(words[:5]) + (f", ... ({len(words)} times)" if len(words) > 5 else "")


def gaps(answer: Any) -> pd.DataFrame:
    """Return a row per treated unit and time: actual and synthetic outcome, and their difference."""
    problem = answer.problem
    parts = {}
    for k, label in enumerate(problem.labels):
        columns = {"actual": problem.treated_values[:, k], "synthetic": answer._synthetic[:, k]}
        parts[str(label)] = pd.DataFrame(columns, index=problem.panel.times.rename("time"))
    table = pd.concat(parts, names=["treated"])
    return table.assign(gap=table["actual"] - table["synthetic"])
