"""Rows with missing values: refused by column, or left out and counted, as `--missing` says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from causalopt.errors import DataError
from causalopt.solving.words import listing, plural

if TYPE_CHECKING:
    import pandas as pd

POLICIES = ("error", "drop")

#: What leaving them out means.
MEANING = {
    "row": "The answer is about the rows that are left; it speaks for all only where values are missing by chance.",
    "donor": "The treated units are compared with the donors that are left.",
}


@dataclasses.dataclass(frozen=True)
class Dropped:
    """What was left out of the data for missing values.

    Attributes
    ----------
    what : str
        "row", or "donor" of a panel.
    labels : tuple
        Of all that was left out.
    total : int
        How many there were before.
    by_column : mapping
        How many have no value in which column; some may lack several.
    by_group : mapping
        How many were left out of which group.
    more : str
        What went with them, in words.
    """

    what: str
    labels: tuple[Any, ...]
    total: int
    by_column: Mapping[str, int]
    by_group: Mapping[str, int]
    more: str = ""

    def __str__(self) -> str:
        columns = listing([f"{name!r} ({count:,})" for name, count in self.by_column.items()], 8)
        groups = listing([f"{count:,} with {name}" for name, count in self.by_group.items()], 8)
        text = f"{len(self.labels):,} of {plural(self.total, self.what)} left out for missing values in {columns}"
        return f"{text}{f': {groups}' if groups else ''}{self.more}. {MEANING[self.what]}"


def fields_of(*dropped: Dropped | None) -> list[dict[str, Any]]:
    """Return what the JSON of a command says of all that was left out."""
    return [dataclasses.asdict(each) | {"words": str(each)} for each in dropped if each is not None]


def complete(
    frame: pd.DataFrame,
    used: Iterable[str],
    policy: str,
    groups: Sequence[str] = (),
    *,
    together: str | None = None,
    source: str = "",
) -> tuple[pd.DataFrame, Dropped | None]:
    """Return the rows that have a value in every column used, and what was left out.

    Parameters
    ----------
    frame : DataFrame
    used : iterable of str
        Names of columns.
    policy : {"error", "drop"}
    groups : sequence of str
        Columns by whose values rows are counted.
    together : str, optional
        A column whose rows stay or go together: the pairs of an experiment.
    source : str
        Name of the file, where it is not the command's data.

    Raises
    ------
    DataError
        Where the policy is "error" and values are missing, or nothing would be left; columns and counts are named.
    """
    used = list(dict.fromkeys(used))
    gaps = frame[used].isna()
    gaps = gaps.loc[:, gaps.any()]
    if not len(gaps.columns):
        return frame, None
    bad = gaps.any(axis=1)
    by_column = {str(name): int(count) for name, count in gaps.sum().items()}
    if policy == "error":
        where = "; ".join(_where(gaps[name]) for name in gaps)
        raise DataError(f"{source}C{where[1:]}. {_advice(int(bad.sum()), frame)}")
    more, lacking = "", int(bad.sum())
    if together is not None:
        broken = frame[together].isin(frame.loc[bad, together].dropna().unique())
        bad |= broken
        alone = int(bad.sum()) - lacking
        more = f" ({plural(alone, 'row')} without a gap went with the other of the pair)" if alone else ""
    if bad.all():
        most = max(by_column, key=by_column.__getitem__)
        raise DataError(
            f"{source}--missing drop leaves no rows: each has a missing value; column {most!r} alone in "
            f"{by_column[most]:,} of {len(frame):,}. Leave that column out, or fill its values in."
        )
    dropped = Dropped("row", tuple(frame.index[bad]), len(frame), by_column, _by_group(frame, bad, groups), more)
    left = frame[~bad].copy()
    for name in groups:  # numbers that only the gaps made decimals
        if left[name].dtype.kind == "f" and (left[name] % 1 == 0).all():
            left[name] = left[name].astype("int64")
    return left, dropped


def _where(gap: pd.Series) -> str:
    from causalopt.study.reading import shown_label

    rows = gap.index[gap]
    shown = ", ".join(map(shown_label, rows[:5])) + (", ..." if len(rows) > 5 else "")
    return f"column {str(gap.name)!r} has missing values in {plural(len(rows), 'row')}: {shown}"


def _advice(lacking: int, frame: pd.DataFrame) -> str:
    return f"--missing drop leaves such rows out ({lacking:,} of {len(frame):,}); or fill in the values first."


def _by_group(frame: pd.DataFrame, bad: pd.Series, groups: Sequence[str]) -> dict[str, int]:
    import pandas as pd

    from causalopt.problems.synthetic_control.data import time_name

    if not groups:
        return {}
    counts = frame[bad].groupby(list(groups), dropna=False, observed=True).size()
    labels = [key if isinstance(key, tuple) else (key,) for key in counts.index]
    words = [
        ", ".join(
            f"{name} {'missing' if pd.isna(value) else time_name(value)}"
            for name, value in zip(groups, key, strict=True)
        )
        for key in labels
    ]
    return {label: int(count) for label, count in zip(words, counts, strict=True)}


def complete_donors(
    frame: pd.DataFrame,
    unit: str,
    time: str,
    outcome: str,
    treated: Sequence[Any],
    policy: str,
    predictors: Sequence[tuple[str, pd.Series]] = (),
) -> tuple[pd.DataFrame, Dropped | None]:
    """Return a panel without the donors that lack a value at some time, and what was left out.

    Who may be a donor is the analyst's choice, and a donor without some values can be left out as any other. Times
    and treated units cannot: the fit and the effect would be of other times than asked for.

    Parameters
    ----------
    frame : DataFrame
        A row a unit and time.
    unit, time, outcome : str
    treated : sequence of labels
    policy : {"error", "drop"}
    predictors : sequence of column and mask
        Which rows of which other columns are used.

    Raises
    ------
    DataError
        For rows without unit or time, where the policy is "error" and values are missing, for treated units that lack
        some, and where no donor would be left.
    """
    for name, label in ((unit, "--unit"), (time, "--time")):
        gaps = frame[name].isna()
        if gaps.any():
            raise DataError(f"{label}: {_where(gaps)}. Such a row belongs nowhere: complete it or take it out first.")
    present = frame[outcome].notna().groupby([frame[unit], frame[time]], sort=False).any().unstack(fill_value=False)
    lacking = {outcome: {name: _times(row) for name, row in (~present[~present.all(axis=1)]).iterrows()}}
    for column, rows in predictors:
        empty = frame[rows & frame[column].isna()]
        for name, times in empty.groupby(unit, sort=False)[time]:
            lacking.setdefault(column, {})[name] = _listed(times)
    lacking = {column: units for column, units in lacking.items() if units}
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
    for column, units in lacking.items():
        mine = [name for name in treated if name in units]
        if mine:
            raise DataError(
                f"Treated unit {mine[0]!r} has no value of {column!r} in {units[mine[0]]}, and --missing drop leaves "
                "out donors only: fill in the values, or take these times out for all units."
            )
    names = tuple(dict.fromkeys(name for units in lacking.values() for name in units))
    donors = frame[unit].nunique() - len(treated)
    if len(names) >= donors:
        raise DataError(f"--missing drop leaves no donors: {words}. Fill in the values.")
    more = f": {listing(list(map(str, names)), 8)}"
    dropped = Dropped("donor", names, donors, {column: len(units) for column, units in lacking.items()}, {}, more)
    return frame[~frame[unit].isin(names)], dropped


def _times(lacking: pd.Series) -> str:
    return _listed(lacking.index[lacking])


def _listed(times: Iterable[Any]) -> str:
    from causalopt.problems.synthetic_control.data import time_name

    words = [time_name(time) for time in times]
    return ", ".join(words[:5]) + (f", ... ({len(words)} times)" if len(words) > 5 else "")
