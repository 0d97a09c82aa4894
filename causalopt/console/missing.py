"""Rows with missing values: refused by column, or left out and counted, as `--missing` says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from causalopt.console.loading import Later
from causalopt.errors import DataError
from causalopt.solving.words import listing, plural

if TYPE_CHECKING:
    import pandas as pd

labels = Later("causalopt.study.reading")

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
        where = "; ".join(where_missing(gaps[name]) for name in gaps)
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


def where_missing(gap: pd.Series) -> str:
    """Return in words in which rows a column has missing values."""
    rows = gap.index[gap]
    shown = ", ".join(map(labels.shown_label, rows[:5])) + (", ..." if len(rows) > 5 else "")
    return f"column {str(gap.name)!r} has missing values in {plural(len(rows), 'row')}: {shown}"


def _advice(lacking: int, frame: pd.DataFrame) -> str:
    return f"--missing drop leaves such rows out ({lacking:,} of {len(frame):,}); or fill in the values first."


def _by_group(frame: pd.DataFrame, bad: pd.Series, groups: Sequence[str]) -> dict[str, int]:
    if not groups:
        return {}
    counts = frame[bad].groupby(list(groups), dropna=False, observed=True).size()
    keys = [key if isinstance(key, tuple) else (key,) for key in counts.index]
    words = [", ".join(f"{name} {_named(value)}" for name, value in zip(groups, key, strict=True)) for key in keys]
    return {label: int(count) for label, count in zip(words, counts, strict=True)}


def _named(value: Any) -> str:
    """Write a value for people: a whole number without decimals, which only gaps gave it."""
    if isinstance(value, float):
        return "missing" if value != value else f"{value:.0f}" if value.is_integer() else str(value)
    return "missing" if value is None or value != value else str(value)
