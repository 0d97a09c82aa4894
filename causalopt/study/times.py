"""The times of a panel: how they are written for people, in which order they stand, and what compares with them."""

from __future__ import annotations

import datetime
import re
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError
from causalopt.messages import argument, in_python

#: A day and month, or a month, before the year, in digits alone.
YEAR_LAST = re.compile(r"(0[1-9]|[12]\d|3[01])?(0[1-9]|1[0-2])(19|20)\d\d")


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


def _named(what: str, time: Any) -> str:
    """Write an argument of a time, or what else it is called, with such a time."""
    if not what.isidentifier() or isinstance(time, pd.Period):
        return f"{_called(what)}={_typed(time)}"
    whole = isinstance(time, float) and time.is_integer()
    return argument(what, int(time) if whole else time_name(time) if isinstance(time, pd.Timestamp) else time)


def _called(what: str) -> str:
    return argument(what) if what.isidentifier() else what


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
        "letters. Write them with the year first and all alike, such as 2019-09-01 or 2019-Q3"
        f"{in_python(', as numbers, or as dates (pd.to_datetime)', ', or as numbers')}."
    )


def read_time(time: Any, times: Any, what: str = "treatment_time") -> Any:
    """Return a time that can be compared with those of a panel, or raise `DataError` that says how to write it.

    Parameters
    ----------
    time : object
    times : Index or Series
        Those of the panel, none of them missing.
    what : str
        The argument, or what else the time is called in a message.
    """
    times = pd.Index(times)
    if not len(times):
        return time
    example = times[len(times) // 2]
    if _are_words(times) and isinstance(time, str):
        # The first part of a date, such as its year, stands before all that begin with it.
        alike = _form(example).startswith(_form(time)) if len(time) >= 4 and _form(example)[:4] == "9999" else False
        if not alike and _form(time) != _form(example):
            raise DataError(f"{_called(what)} {time!r} is not written as the times are, such as {example!r}.")
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
            f"{_called(what)} is {shown}, which cannot be compared with the panel's {kind}, {time_name(times[0])} to "
            f"{time_name(times[-1])}. Write it as one of them is written, such as {_named(what, example)}."
        ) from None
    return time
