"""Reading a panel for synthetic control: outcomes by time and unit, who is treated, who may be a donor, since when."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from causalopt.errors import DataError
from causalopt.modeling.program import Bools, Floats, Ints
from causalopt.solving.options import unknown_name

#: How many units, and how many times of each, a message names.
SHOWN = 5

#: What may hold several labels.
LISTS = (Sequence, pd.Index, pd.Series, np.ndarray)

#: A day and month, or a month, before the year, in digits alone.
YEAR_LAST = re.compile(r"(0[1-9]|[12]\d|3[01])?(0[1-9]|1[0-2])(19|20)\d\d")


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """A balanced panel.

    Attributes
    ----------
    values : (T, N) array
        One row per time in ascending order, one column per unit.
    units : list of N labels
    times : Index of T labels
    checked : bool
        Whether its donors have been looked at for copies and constants, in the longer panel that this one is a part of.
    """

    values: Floats
    units: list[Any]
    times: pd.Index
    checked: bool = False

    def of(self, unit: Any) -> int:
        """Return the column of a unit."""
        return self.units.index(unit)


def read_panel(outcomes: Any, unit: str | None, time: str | None, outcome: str | None, treated: Any = None) -> Panel:
    """Read a wide frame (index: times, columns: units), a long one (three column names) or a Series by unit and time.

    Raises
    ------
    DataError
        For missing columns, repeated or missing cells, values that are not finite numbers, and times in words whose
        order is not that of their letters; units and times are named. Of cells that are missing, those of treated
        units are named first, since such a unit cannot be left out.
    """
    if isinstance(outcomes, Panel):
        return outcomes
    names = {"unit": unit, "time": time, "outcome": outcome}
    given = [key for key, name in names.items() if name is not None]
    if given:
        if len(given) < 3 or not isinstance(outcomes, pd.DataFrame):
            raise DataError(
                "A long DataFrame needs the names of three columns: unit=, time= and outcome=. A wide one (index: "
                "times, columns: units) needs none of them."
            )
        for name in names.values():
            if name not in outcomes.columns:
                raise DataError(unknown_name("column", str(name), map(str, outcomes.columns)))
        return _long(outcomes[unit], outcomes[time], outcomes[outcome], treated)
    if isinstance(outcomes, pd.Series) and outcomes.index.nlevels == 2:
        levels = outcomes.index
        return _long(levels.get_level_values(0), levels.get_level_values(1), outcomes, treated)
    if not isinstance(outcomes, pd.DataFrame):
        raise DataError(
            "outcomes must be a DataFrame: wide (index: times, columns: units), or long with unit=, time= and "
            f"outcome=; or a Series indexed by (unit, time). It is a {type(outcomes).__name__}."
        )
    return _wide(outcomes, treated)


def _long(unit: Any, time: Any, outcome: pd.Series, treated: Any) -> Panel:
    what = "The outcome" if outcome.name is None else f"The outcome {outcome.name!r}"
    if (tidy := _in_order(unit, time)) is not None:
        labels, times = tidy
        by_unit = _numbers(outcome, what).reshape(len(labels), len(times))
        panel = Panel(np.ascontiguousarray(by_unit.T), labels, times)
        _refuse_holes(panel, treated)
        return panel
    codes, units = pd.factorize(unit)
    positions, times = _sorted_codes(time)
    for part, missing in (("unit", codes < 0), ("time", positions < 0)):
        if missing.any():
            raise DataError(f"The {part} is missing in {int(missing.sum())} row(s) of the panel; drop them first.")
    refuse_words(times, time.name)
    values = _numbers(outcome, what)
    n, t = len(units), len(times)
    cells = positions * n + codes
    count = np.bincount(cells, minlength=n * t)
    labels = units.tolist()
    if (count > 1).any():
        where = ", ".join(f"{labels[c % n]!r} in {time_name(times[c // n])}" for c in np.flatnonzero(count > 1)[:SHOWN])
        raise DataError(
            f"{int((count > 1).sum())} unit(s) and time(s) occur more than once in the panel: {where}. Keep one row of "
            "each, or their mean."
        )
    table = np.full(n * t, np.nan)
    table[cells] = values
    panel = Panel(table.reshape(t, n), labels, times)
    _refuse_holes(panel, treated, (count == 0).reshape(t, n))
    return panel


def _in_order(unit: Any, time: Any) -> tuple[list[Any], pd.Index] | None:
    """Return units and times of a panel that lists every time of one unit, then of the next, in ascending order.

    Most panels do, and nothing has to be sorted or looked up. None for any other.
    """
    if not isinstance(unit.dtype, pd.StringDtype) or not isinstance(time.dtype, np.dtype):
        return None
    names, times = unit.to_numpy(dtype=object, na_value=None), time.to_numpy()
    again = np.flatnonzero(times == times[:1])
    t = int(again[1]) if len(again) > 1 else len(times)
    if times.dtype.kind not in "iuf" or t == 0 or len(times) % t:
        return None
    names, times = names.reshape(-1, t), times.reshape(-1, t)
    labels = names[:, 0].tolist()
    distinct = len(set(labels)) == len(labels) and None not in labels
    if not distinct or not (names == names[:, :1]).all() or not (times == times[0]).all():
        return None
    return (labels, pd.Index(times[0])) if (times[0, 1:] > times[0, :-1]).all() else None


def _wide(frame: pd.DataFrame, treated: Any) -> Panel:
    for what, index, name in (("unit (column)", frame.columns, repr), ("time (row)", frame.index, time_name)):
        repeated = index[index.duplicated()]
        if len(repeated):
            raise DataError(f"The {what} {name(repeated.tolist()[0])} occurs more than once in the panel.")
    if frame.index.isna().any():
        raise DataError("The time is missing in a row of the panel; drop it first.")
    order, times = _sorted_codes(frame.index)
    refuse_words(times, None)
    values, together = np.empty(frame.shape), frame.to_numpy()
    if together.dtype.kind in "fiu":
        values[order] = together
    else:
        for j, label in enumerate(frame.columns):
            values[order, j] = _numbers(frame.iloc[:, j], f"The outcome of unit {label!r}")
    panel = Panel(values, frame.columns.tolist(), times)
    _refuse_holes(panel, treated)
    return panel


def _sorted_codes(time: Any) -> tuple[Ints, pd.Index]:
    values = time.to_numpy() if hasattr(time, "to_numpy") else time
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        times, codes = np.unique(values, return_inverse=True)
        return codes, pd.Index(times)
    try:
        codes, found = pd.factorize(time, sort=True)
        if found.dtype == object:
            sorted(found)  # pandas puts numbers before words, and says nothing
    except TypeError:
        raise DataError("The times of the panel cannot be put in order: give them one type.") from None
    return codes.astype(np.int64), pd.Index(found)


def _numbers(series: pd.Series, what: str) -> Floats:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "fiu":
        return np.asarray(series.to_numpy(), dtype=float)
    if not pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_complex_dtype(series.dtype):
        raise DataError(f"{what} is not numeric (its type is {series.dtype}, its first value {series.iloc[0]!r}).")
    return np.asarray(series.to_numpy(dtype=float, na_value=np.nan))


def _refuse_holes(panel: Panel, treated: Any, absent: Bools | None = None) -> None:
    if not panel.values.size:
        raise DataError("The panel has no rows.")
    if absent is not None and absent.any():
        cells, advice = _cells_and_advice(panel, treated, absent)
        raise DataError(
            f"The panel is unbalanced: {cells} missing. Synthetic control needs every unit at every time. {advice}"
        )
    bad = ~np.isfinite(panel.values)
    if bad.any():
        cells, advice = _cells_and_advice(panel, treated, bad)
        raise DataError(f"Outcomes are missing or infinite: {cells}. {advice}")


def _cells_and_advice(panel: Panel, treated: Any, bad: Bools) -> tuple[str, str]:
    """Name the bad cells and say what to do: those of treated units first, since these units cannot be dropped."""
    chosen = [treated] if _is_unit(panel, treated) or not isinstance(treated, LISTS) else list(treated)
    mine = bad & np.array([label in chosen for label in panel.units])
    if not mine.any():
        return _cells(panel, bad), "Drop these units or these times first."
    return _cells(panel, mine), (
        "A treated unit cannot be dropped: drop these times for all units, or choose another outcome."
    )


def _cells(panel: Panel, bad: Bools) -> str:
    columns = np.flatnonzero(bad.any(axis=0))
    parts = []
    for j in columns[:SHOWN]:
        times = panel.times[bad[:, j]]
        listed = ", ".join(map(time_name, times[:SHOWN])) + (
            f", ... ({len(times)} times)" if len(times) > SHOWN else ""
        )
        parts.append(f"{panel.units[j]!r} in {listed}")
    return "; ".join(parts) + (f"; ... ({len(columns)} units)" if len(columns) > SHOWN else "")


def time_name(time: Any) -> str:
    """Write a time for people: a day without its hour, a whole year without decimals."""
    if isinstance(time, pd.Timestamp) and time == time.normalize():
        return f"{time:%Y-%m-%d}"
    return f"{time:.0f}" if isinstance(time, float) and time.is_integer() else str(time)


def _typed(time: Any) -> str:
    """Write a time as one types it in Python."""
    if isinstance(time, pd.Timestamp):
        return repr(time_name(time))
    if isinstance(time, pd.Period):
        return f"pd.{time!r}"
    return time_name(time) if isinstance(time, int | float | np.number) else repr(time)


def _form(text: str) -> str:
    return re.sub(r"\d", "9", text)


def _are_words(times: Any) -> bool:
    if isinstance(times.dtype, pd.CategoricalDtype) or pd.api.types.is_numeric_dtype(times.dtype):
        return False
    return len(times) > 0 and all(isinstance(time, str) for time in times)


def refuse_words(times: Any, column: Any) -> None:
    """Raise `DataError` for times in words, unless the order of their letters is that of time.

    It is where all are written alike with the year first (2019-09, 2019-Q3), or with one number that has as many digits
    in each (q01). An ordered category has an order of its own.

    Parameters
    ----------
    times : Index or Series
        Distinct times, none of them missing.
    column : object
        The name of their column, or None.
    """
    if isinstance(times.dtype, pd.CategoricalDtype) and not times.dtype.ordered:
        times = pd.Index(times.astype(times.dtype.categories.dtype))
    if not _are_words(times):
        return
    words = list(times)
    form = _form(words[0])
    if all(_form(word) == form for word in words) and not all(map(YEAR_LAST.fullmatch, words)):
        one_number = len(re.findall("9+", form)) == 1 and not re.match(r"\D?[-\u2212]9", form)
        if form.startswith("9999") or one_number:
            return
    where = "of the panel" if column is None else f"in column {str(column)!r}"
    raise DataError(
        f"The times {where} are texts such as {words[0]!r} and {words[-1]!r}, whose order is not that of their "
        "letters. Write them with the year first and all alike, such as 2019-09-01 or 2019-Q3, as numbers, or as dates "
        "(pd.to_datetime)."
    )


def read_time(time: Any, times: Any, what: str = "treatment_time") -> Any:
    """Return a time that can be compared with those of a panel, or raise `DataError` that says how to write it.

    Parameters
    ----------
    time : object
    times : Index or Series
        Those of the panel, none of them missing.
    what : str
        What the time is called in a message.
    """
    times = pd.Index(times)
    if not len(times):
        return time
    example = times[len(times) // 2]
    if _are_words(times) and isinstance(time, str):
        # The first part of a date, such as its year, stands before all that begin with it.
        alike = _form(example).startswith(_form(time)) if len(time) >= 4 and _form(example)[:4] == "9999" else False
        if not alike and _form(time) != _form(example):
            raise DataError(f"{what} {time!r} is not written as the times are, such as {example!r}.")
        return time
    dated = pd.api.types.is_datetime64_any_dtype(times.dtype)
    given = time
    try:
        if dated and (isinstance(time, str) or type(time) is datetime.date):
            time = pd.Timestamp(time)
            time = time.tz_localize(times.tz) if time.tz is None else time
        values = times.to_numpy() if isinstance(times.dtype, np.dtype) and times.dtype.kind in "iuf" else times
        values < time  # noqa: B015
    except (TypeError, ValueError):
        kind = "dates" if dated else "times"
        shown = f"the date {time_name(pd.Timestamp(given))}" if isinstance(given, datetime.date) else _typed(given)
        raise DataError(
            f"{what} is {shown}, which cannot be compared with the panel's {kind}, {time_name(times[0])} to "
            f"{time_name(times[-1])}. Write it as one of them is written, such as {what}={_typed(example)}."
        ) from None
    return time


def label_index(labels: Sequence[Any], name: str) -> pd.Index:
    """Return an index of labels as they are: tuples stay single labels."""
    return _index_of(tuple(labels), tuple(map(type, labels))).rename(name)


@lru_cache(maxsize=64)
def _index_of(labels: tuple[Any, ...], types: tuple[type, ...]) -> pd.Index:
    # Kept, since a study asks for the same labels again and again, and an index of words is slow to make.
    return pd.Index(labels, tupleize_cols=False)


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """Who is treated since when, and who may be a donor.

    Attributes
    ----------
    panel : Panel
    treated, donors : lists of labels
    treated_columns, donor_columns : int arrays
        Their columns in the panel.
    n_pre : int
        Number of times before the treatment; they are the first.
    treatment_time : object
    """

    panel: Panel
    treated: list[Any]
    donors: list[Any]
    treated_columns: Ints
    donor_columns: Ints
    n_pre: int
    treatment_time: Any


def read_design(panel: Panel, treated: Any, treatment_time: Any, donors: Sequence[Any] | None) -> Design:
    """Check treated units, treatment time and donors against the panel.

    Raises
    ------
    DataError
        For a treated unit or donor that is not in the panel, a treatment time outside of it, fewer than two times
        before the treatment, no donors, a donor that is the treated unit or equals it at every time, and donors that
        never change.
    """
    chosen = _treated_units(panel, treated)
    pool = _donors(panel, chosen, donors)
    treatment_time = read_time(treatment_time, panel.times)
    n_pre = _periods_before(panel.times, treatment_time)
    columns = np.array([panel.of(label) for label in chosen], dtype=np.int64)
    places = {label: k for k, label in enumerate(panel.units)}
    donor_columns = np.array([places[label] for label in pool], dtype=np.int64)
    if not panel.checked:
        _refuse_copies_and_constants(panel, chosen, columns, pool, donor_columns)
    return Design(panel, chosen, pool, columns, donor_columns, n_pre, treatment_time)


def _refuse_copies_and_constants(
    panel: Panel, treated: list[Any], treated_columns: Ints, pool: list[Any], donor_columns: Ints
) -> None:
    values = panel.values[:, donor_columns]
    for label, column in zip(treated, treated_columns, strict=True):
        same = np.flatnonzero((values == panel.values[:, [column]]).all(axis=0))
        if len(same):
            raise DataError(
                f"Donor {pool[same[0]]!r} has the same outcome as treated unit {label!r} at every time: it is a copy. "
                "Leave it out (donors=)."
            )
    constant = np.flatnonzero((values == values[0]).all(axis=0))
    if len(constant):
        named = ", ".join(f"{pool[j]!r} ({values[0, j]:g})" for j in constant[:SHOWN])
        raise DataError(
            f"{len(constant)} donor(s) have the same outcome at every time: {named}. Such a series is usually a "
            "placeholder for missing data; leave it out (donors=)."
        )


def _is_unit(panel: Panel, label: Any) -> bool:
    return isinstance(label, Hashable) and label in panel.units


def _treated_units(panel: Panel, treated: Any) -> list[Any]:
    if _is_unit(panel, treated):
        return [treated]
    if isinstance(treated, str | bytes) or not isinstance(treated, LISTS):
        treated = [treated]
    labels = list(treated)
    if not labels:
        raise DataError("No treated unit is named (treated=).")
    for label in labels:
        if not _is_unit(panel, label):
            raise DataError(unknown_name("treated unit", str(label), map(str, panel.units)))
    if len(set(labels)) < len(labels):
        raise DataError("A treated unit is named twice (treated=).")
    return labels


def _donors(panel: Panel, treated: list[Any], donors: Sequence[Any] | None) -> list[Any]:
    apart = set(treated)
    if donors is None:
        pool = [label for label in panel.units if label not in apart]
    else:
        pool = list(donors)
        for label in pool:
            if not _is_unit(panel, label):
                raise DataError(unknown_name("donor", str(label), map(str, panel.units)))
            if label in apart:
                raise DataError(f"Unit {label!r} is treated, so it cannot be a donor too; take it out of donors=.")
        if len(set(pool)) < len(pool):
            raise DataError("A donor is named twice (donors=).")
    if not pool:
        raise DataError("There are no donors: the panel needs at least one unit that is not treated.")
    return pool


def _periods_before(times: pd.Index, treatment_time: Any) -> int:
    first, last = times[0], times[-1]
    values = times.to_numpy() if isinstance(times.dtype, np.dtype) and times.dtype.kind in "iuf" else times
    before: npt.NDArray[np.bool_] = np.asarray(values < treatment_time)
    n_pre = int(before.sum())
    span = f"the panel goes from {time_name(first)} to {time_name(last)}"
    if n_pre == len(times):
        raise DataError(f"treatment_time {time_name(treatment_time)} is after the last time: {span}.")
    if n_pre == 0:
        raise DataError(f"treatment_time {time_name(treatment_time)} leaves no time before the treatment: {span}.")
    if n_pre == 1:
        raise DataError(
            f"Only one time ({time_name(first)}) lies before treatment_time {time_name(treatment_time)}: weights need "
            f"at least two; {span}."
        )
    return n_pre
