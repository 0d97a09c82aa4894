"""Two-level factors, as they are given: which of a column's two values is the high one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError
from causalopt.messages import argument, in_python
from causalopt.study.reading import as_frame, refuse_rows


def factors_frame(factors: Any) -> pd.DataFrame:
    """Return factors (DataFrame, Series or two-dimensional array) as a DataFrame."""
    if not isinstance(factors, pd.DataFrame | pd.Series):
        array = np.asarray(factors)
        if array.ndim != 2:
            raise DataError(
                f"{argument('factors')} must be a DataFrame or a two-dimensional array; its shape is {array.shape}."
            )
        factors = pd.DataFrame(array, columns=[f"z{k + 1}" for k in range(array.shape[1])])
    return as_frame(factors)


def read_factor(series: pd.Series, name: str, index: pd.Index, high: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the (low, high) values of a factor and which rows are high."""
    refuse_rows(series.isna().to_numpy(), index, f"Factor {name!r} has missing values")
    categorical = isinstance(series.dtype, pd.CategoricalDtype)
    found = list(series.cat.remove_unused_categories().cat.categories) if categorical else _sorted_values(series)
    found = [value.item() if isinstance(value, np.generic) else value for value in found]
    if len(found) == 1:
        raise DataError(
            f"Factor {name!r} is {found[0]!r} in every row: with one level it has no effect to estimate. Leave it out."
        )
    if len(found) != 2:
        shown = ", ".join(map(repr, found[:5])) + (", ..." if len(found) > 5 else "")
        numeric = all(isinstance(value, int | float) for value in found)
        two = f"up to {found[0]!r} and above" if numeric else f"{found[0]!r} and all others"
        raise DataError(
            f"Factor {name!r} must take two values; it takes {len(found)}: {shown}. Make two levels of them first, "
            f"such as {two}."
        )
    if name in high:
        if high[name] not in found:
            raise DataError(
                f"{argument('high')} names {high[name]!r} for factor {name!r}, which takes {found[0]!r} and "
                f"{found[1]!r}."
            )
        if high[name] == found[0]:
            found.reverse()
    elif not categorical and not all(isinstance(value, int | float) for value in found):
        raise DataError(
            f"Which of {found[0]!r} and {found[1]!r} is the high level of factor {name!r}? Say "
            f"{argument('high', {name: found[1]})}"
            f"{in_python(', or make it a category whose second level is the high one')}."
        )
    return (found[0], found[1]), (series == found[1]).to_numpy(dtype=bool)


def _sorted_values(series: pd.Series) -> list[Any]:
    """Return a column's distinct values in order; a few suffice to see that they are too many."""
    values = list(pd.unique(series))
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=str)
