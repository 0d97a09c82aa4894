"""Reading a panel for synthetic control: the outcome of every unit at every time."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Bools, Floats, Ints
from causalopt.solving.options import unknown_name
from causalopt.study.times import refuse_words, time_name

#: How many units, and how many times of each, a message names.
SHOWN = 5

#: What may hold several labels.
LISTS = (Sequence, pd.Index, pd.Series, np.ndarray)

#: The columns of a long panel, in messages.
LONG = f"{argument('unit', assigned=True)}, {argument('time', assigned=True)} and {argument('outcome', assigned=True)}"


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

    def has(self, label: Any) -> bool:
        """Return whether there is a unit of this label."""
        return isinstance(label, Hashable) and label in self.units

    def columns_of(self, units: Sequence[Any]) -> Ints:
        """Return the columns of some units."""
        places = {label: k for k, label in enumerate(self.units)}
        return np.array([places[label] for label in units], dtype=np.int64)


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
                f"A long DataFrame needs the names of three columns: {LONG}. A wide one (index: times, columns: units) "
                "needs none of them."
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
            f"{argument('outcomes')} must be a DataFrame: wide (index: times, columns: units), or long with {LONG}; or "
            f"a Series indexed by (unit, time). It is a {type(outcomes).__name__}."
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
    chosen = [treated] if panel.has(treated) or not isinstance(treated, LISTS) else list(treated)
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


def label_index(labels: Sequence[Any], name: str) -> pd.Index:
    """Return an index of labels as they are: tuples stay single labels."""
    return _index_of(tuple(labels), tuple(map(type, labels))).rename(name)


@lru_cache(maxsize=64)
def _index_of(labels: tuple[Any, ...], types: tuple[type, ...]) -> pd.Index:
    # Kept, since a study asks for the same labels again and again, and an index of words is slow to make.
    return pd.Index(labels, tupleize_cols=False)
