"""What decides who may be paired: a treatment of two values, exact keys and calipers, read from a frame's columns."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Bools, Floats, Ints
from causalopt.study.labels import plain
from causalopt.study.reading import refuse_negative, refuse_repeated, refuse_rows, require_columns


def check_columns(df: pd.DataFrame, treatment: str, exact: Sequence[str], calipers: Mapping[str, Any]) -> None:
    """Raise `DataError` for columns that are not there or are the treatment, repeated row labels, and bad calipers."""
    require_columns(df, (treatment, *exact, *calipers))
    for name in (*exact, *calipers):
        if name == treatment:
            raise DataError(f"The treatment {treatment!r} is also a matching covariate; take it out of them.")
    refuse_repeated(df.index)
    for name, caliper in calipers.items():
        refuse_negative(caliper, f"The caliper for {name!r}")


def treated_and_control(column: pd.Series, treated: Any, control: Any) -> tuple[Bools, Bools]:
    """Return which rows are treated, and which are controls."""
    name = column.name
    refuse_rows(column.isna().to_numpy(), column.index, f"Treatment {name!r} has missing values")
    levels = [plain(value) for value in column.unique()]
    for what, value in (("treated", treated), ("control", control)):
        if value is not None and value not in levels:
            raise DataError(
                f"{argument(what, value)} is not a value of the treatment {name!r}, which takes {levels[:10]}."
            )
    if treated is not None and control is not None:
        if treated == control:
            both = f"{argument('treated', assigned=True)} and {argument('control', assigned=True)}"
            raise DataError(f"{both} are both {treated!r}.")
        return (column == treated).to_numpy(), (column == control).to_numpy()
    if len(levels) == 1:
        raise DataError(f"Treatment {name!r} is {levels[0]!r} in every row: the other group is empty.")
    if len(levels) != 2:
        raise DataError(
            f"Treatment {name!r} takes {len(levels)} values ({levels[:5]}); say which are compared: "
            f"{argument('treated', assigned=True)}, {argument('control', assigned=True)}."
        )
    if treated is None and control is None:
        if not all(isinstance(v, numbers.Real) for v in levels):
            first, second = sorted(levels, key=str)
            raise DataError(f"Which of {first!r} and {second!r} is treated? Say {argument('treated', second)}.")
        treated = max(levels)
    if treated is None:
        treated = next(v for v in levels if v != control)
    is_treated = (column == treated).to_numpy()
    return is_treated, ~is_treated


def strata(df: pd.DataFrame, exact: Sequence[str], used: Bools) -> Ints:
    """Return a number for each row, the same for those that agree on every exact key."""
    if not exact:
        return np.zeros(len(df), dtype=np.int64)
    for name in exact:
        refuse_rows(df[name].isna().to_numpy() & used, df.index, f"Exact key {name!r} has missing values")
    numbers: Ints = np.zeros(len(df), dtype=np.int64)
    for name in exact:
        codes, levels = pd.factorize(df[name])
        _, numbers = np.unique(numbers * max(len(levels), 1) + codes, return_inverse=True)
    return numbers.astype(np.int64)


def caliper_column(df: pd.DataFrame, name: str, rounding: Any, used: Bools) -> Floats:
    """Return a column that has a caliper, rounded where that is asked for."""
    column = df[name]
    if not pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype):
        raise DataError(
            f"Caliper column {name!r} is not numeric (its type is {column.dtype}); match it exactly: "
            f"{argument('exact', [name])}."
        )
    values: Floats = column.to_numpy(dtype=float, na_value=np.nan)
    refuse_rows(~np.isfinite(values) & used, df.index, f"Caliper column {name!r} has missing or infinite values")
    decimals = rounding.get(name) if isinstance(rounding, Mapping) else rounding
    if decimals is None:
        return values
    if not isinstance(decimals, numbers.Integral) or isinstance(decimals, bool):
        raise DataError(f"{argument('rounding')} for {name!r} is {decimals!r}; it must be a whole number of decimals.")
    rounded: Floats = np.round(values, int(decimals))
    return rounded
