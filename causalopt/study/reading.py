"""Reading a study's data: covariates, treatment, weights; every complaint names column, rows or argument."""

from __future__ import annotations

import numbers
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from causalopt.basis import Column
from causalopt.errors import DataError
from causalopt.messages import Message, argument, in_python
from causalopt.modeling.program import Floats, Ints
from causalopt.solving.options import unknown_name
from causalopt.study.labels import plain, refuse_other_labels, row_labels

#: More distinct treatment values than this look like a continuous treatment.
MOST_GROUPS = 20

#: The estimand of a comparison of two arms.
TWO_ARMS = "two arms"


def require_columns(data: Any, names: Iterable[Any]) -> None:
    """Raise `DataError` unless `data` is a pandas DataFrame with these columns."""
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"The data must be a pandas DataFrame, not {type(data).__name__}: pd.DataFrame(...) makes one.")
    for name in names:
        if not isinstance(name, Hashable):
            raise DataError(f"Columns are named here, but a {type(name).__name__} was given: add it to the data first.")
        if name not in data.columns:
            raise DataError(unknown_name("column", str(name), map(str, data.columns)))


def shown_label(label: Any) -> str:
    """Write a row label for people: 0 rather than np.int64(0)."""
    return repr(plain(label))


def row_position(index: pd.Index, label: Any) -> int:
    """Return the position of a row label; raise `DataError` where the data has none."""
    if not isinstance(label, Hashable) or label not in index:
        shown = ", ".join(map(shown_label, index[:3])) + (", ..." if len(index) > 3 else ".")
        raise DataError(f"The data has no row {label!r}; its rows are {shown}")
    return int(index.get_loc(label))


def require_position(position: Any, count: int, what: str = "weight") -> None:
    """Raise `DataError` unless a number is the position of one of the model's variables."""
    if not isinstance(position, numbers.Integral) or not 0 <= int(position) < count:
        raise DataError(f"The model has no {what} number {position!r}: they are numbered from 0 to {count - 1}.")


def as_frame(covariates: Any) -> pd.DataFrame:
    """Return covariates (DataFrame, Series or two-dimensional array) as a DataFrame with distinct row labels."""
    if isinstance(covariates, pd.Series):
        covariates = covariates.to_frame()
    if not isinstance(covariates, pd.DataFrame):
        array = np.asarray(covariates)
        if array.ndim != 2:
            raise DataError(
                f"{argument('covariates')} must be a DataFrame or a two-dimensional array; its shape is {array.shape}."
            )
        covariates = pd.DataFrame(array, columns=[f"x{j}" for j in range(array.shape[1])])
    if len(covariates) == 0:
        raise DataError("The covariates have no rows.")
    refuse_repeated(covariates.index, ", so that weights could not be told apart. Use")
    return covariates


def refuse_repeated(index: pd.Index, consequence: str = "; use") -> None:
    """Raise `DataError` naming the first row label that occurs more than once."""
    repeated = index[index.duplicated()]
    if len(repeated):
        raise DataError(
            f"Row label {shown_label(repeated[0])} occurs more than once ({len(repeated)} repeated rows in "
            f"all){consequence} df.reset_index(drop=True) first."
        )


def refuse_negative(value: Any, what: str, finite: bool = False) -> None:
    """Raise `DataError` unless a value is a number, zero or positive, and finite where that is asked for."""
    usable = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (usable and value >= 0 and (np.isfinite(value) or not finite)):
        raise DataError(f"{what} is {value!r}; it must be a number, zero or positive.")


def read_covariates(frame: Any, what: str = "covariates") -> list[Column]:
    """Read a DataFrame's columns as numbers; a categorical column becomes one indicator per level.

    Raises
    ------
    DataError
        For text, missing or infinite values (column and rows named), or duplicated column names.
    """
    if not len(frame.columns):
        raise DataError(f"The {what} have no columns: name at least one covariate to balance.")
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise DataError(f"The {what} name column {repeated[0]!r} more than once.")
    columns: list[Column] = []
    for label in frame.columns:
        series = frame[label]
        name = str(label)
        if isinstance(series.dtype, pd.CategoricalDtype):
            refuse_rows(series.isna().to_numpy(), frame.index, f"Column {name!r} of the {what} has missing values")
            for level in series.cat.remove_unused_categories().cat.categories:
                indicator = (series == level).to_numpy(dtype=float)
                columns.append(Column(f"{name}[{level}]", (name,), indicator, factor=name))
            continue
        if not pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_complex_dtype(series.dtype):
            column = in_python(f"df[{name!r}]", repr(name))
            raise DataError(
                f"Column {name!r} of the {what} is not numeric (its type is {series.dtype}, its first value "
                f"{series.iloc[0]!r}). Convert it to numbers, pd.to_numeric({column}), or to a category, "
                f"{column}.astype('category')."
            )
        extension = not isinstance(series.dtype, np.dtype)
        values = series.to_numpy(dtype=float, na_value=np.nan) if extension else series.to_numpy(dtype=float)
        if not np.isfinite(values.sum()):
            refuse_rows(np.isnan(values), frame.index, f"Column {name!r} of the {what} has missing values")
            refuse_rows(np.isinf(values), frame.index, f"Column {name!r} of the {what} has infinite values")
        columns.append(Column(name, (name,), values))
    return columns


def refuse_rows(
    bad: npt.NDArray[np.bool_], index: Any, message: str, advice: str = "Drop or impute them first."
) -> None:
    """Raise `DataError` naming the first few rows where `bad` holds, if there are any, and what to do next."""
    rows = np.flatnonzero(bad)
    if len(rows):
        shown = ", ".join(shown_label(index[i]) for i in rows[:5]) + (", ..." if len(rows) > 5 else "")
        raise DataError(f"{message} in {len(rows)} row(s): {shown}. {advice}")


def read_treatment(
    treatment: Any, index: pd.Index, estimand: str, treated: Any = None, other: str = "covariates"
) -> tuple[Ints, list[Any]]:
    """Return each row's group number and the groups' labels, in order.

    `estimand` may be `TWO_ARMS`, for a comparison of two groups that is not named; `other` is what the index is of.
    """
    if treatment is None:
        if estimand == TWO_ARMS:
            raise DataError("A treatment is needed: one value a unit.")
        if estimand != "population":
            raise DataError(f"{argument('estimand', estimand)} needs a treatment.")
        return np.zeros(len(index), dtype=np.int64), ["all"]
    series = treatment if isinstance(treatment, pd.Series) else pd.Series(np.asarray(treatment))
    if len(series) != len(index):
        raise DataError(f"The treatment has {len(series)} values for {len(index)} rows of {other}.")
    refuse_other_labels(row_labels(treatment), index, "Treatment", other)
    name = "The treatment" if series.name is None else f"Treatment {series.name!r}"
    refuse_rows(series.isna().to_numpy(), index, f"{name} has missing values")
    codes, levels = pd.factorize(series, sort=True)
    found = [plain(level) for level in levels]
    if len(found) == 1:
        raise DataError(f"{name} is {found[0]!r} in every row: the other group is empty.")
    shown = ", ".join(map(repr, found[:5])) + (", ..." if len(found) > 5 else "")
    if estimand == TWO_ARMS and len(found) != 2:
        raise DataError(
            f"{name} must take two values; it takes {len(found)}: {shown}. Keep the rows of two arms, such as those of "
            f"{found[0]!r} and {found[1]!r}, in a design of these units."
        )
    if estimand in ("ATT", "ATC") and len(found) != 2 and not (estimand == "ATT" and treated is not None):
        several = f" For the ATT of one of several groups, name it: {argument('treated', assigned=True)}."
        advice = several if estimand == "ATT" else ""
        raise DataError(f"{name} must take two values for {estimand}; it takes {len(found)}: {shown}.{advice}")
    if len(found) > MOST_GROUPS:
        raise DataError(f"{name} takes {len(found)} values; a treatment with at most {MOST_GROUPS} groups is needed.")
    return codes.astype(np.int64), found


def treated_code(levels: Sequence[Any], treated: Any, estimand: str) -> int | None:
    """Return the number of the treated group, or None; of 0 and 1, or false and true, the latter is treated."""
    if treated is not None:
        if treated not in levels:
            raise DataError(
                f"{argument('treated', treated)} is not a value of the treatment, which takes {list(levels)}."
            )
        return levels.index(treated)
    if len(levels) != 2:
        return None
    if list(levels) != [0, 1]:
        if estimand in ("ATT", "ATC"):
            raise DataError(
                f"Which of {levels[0]!r} and {levels[1]!r} is treated? Say {argument('treated', levels[1])}."
            )
        return None
    return 1


def read_weights(weights: Any, index: pd.Index, name: str) -> Floats | None:
    """Return positive weights by row, or None; `name` is that of the argument."""
    if weights is None:
        return None
    name = argument(Message(name))
    refuse_other_labels(row_labels(weights), index, name, "covariates")
    values = np.asarray(weights, dtype=float)
    if values.shape != (len(index),):
        raise DataError(f"{name} must hold {len(index)} values; its shape is {values.shape}.")
    refuse_rows(~(np.isfinite(values) & (values > 0)), index, f"{name} must be positive; they are not")
    return values


def spread_by_name(given: Any, columns: Sequence[Column], what: str, default: Any = None) -> list[Any]:
    """Spread a single value, or a mapping by covariate, column, or factor name, over all columns.

    `what` is the name of the argument.
    """
    if not isinstance(given, Mapping):
        return [given] * len(columns)
    known = {c.name for c in columns} | {s for c in columns for s in c.sources} | {"default"}
    for name in given:
        if name not in known:
            raise DataError(unknown_name(f"covariate in {what}", str(name), known))
    values = []
    for column in columns:
        single = column.sources[0] if len(column.sources) == 1 else column.name
        key = next((key for key in (column.name, single, "default") if key in given), None)
        if key is None and default is None:
            raise DataError(f"{argument(Message(what))} names no value for {column.name!r}; add it, or a 'default'.")
        values.append(default if key is None else given[key])
    return values


def read_numbers(values: Any, name: str) -> Floats:
    """Return values as an array of numbers, or raise `DataError` where they are text, even of digits, or dates."""
    array = values.to_numpy() if isinstance(values, pd.Series) else np.asarray(values)
    words = next((value for value in array.flat if isinstance(value, str)), None) if array.dtype.kind in "OUS" else None
    if words is None and array.size and array.dtype.kind in "SMm":
        words = array.flat[0]
    if words is not None:
        raise DataError(
            f"{name} is not numeric (it holds {str(words)!r}). Convert it to numbers "
            f"first{in_python(', with pd.to_numeric')}."
        )
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"{name} is not numeric.") from None


def read_outcome(outcome: Any, index: pd.Index, data: pd.DataFrame | None = None) -> Floats:
    """Return an outcome, the name of a column of `data` or values by row, as finite numbers.

    Raises
    ------
    DataError
        For an unknown column, other row labels, a wrong number of values, text, and missing or infinite values.
    """
    name = "The outcome"
    if isinstance(outcome, str):
        if data is None:
            raise DataError(f"No data is attached to this result: give the values of {outcome!r} instead.")
        require_columns(data, [outcome])
        name, outcome = f"The outcome {outcome!r}", data[outcome]
    refuse_other_labels(row_labels(outcome), index, name, "the weights")
    y = read_numbers(outcome, name)
    if y.shape != (len(index),):
        raise DataError(f"{name} must hold {len(index)} values; its shape is {y.shape}.")
    advice = "Impute them, or drop these rows and balance again: weights balance the rows that they were chosen for."
    refuse_rows(~np.isfinite(y), index, f"{name} has missing or infinite values", advice)
    return y
