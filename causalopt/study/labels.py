"""Row labels of what is given side by side: arrays go by position; what has labels must have the same, in one order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from causalopt.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def plain(value: Any) -> Any:
    """Return a value, a NumPy scalar as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def listed(labels: Iterable[Any], shown: int = 6) -> str:
    """Return labels in a phrase, the first few of many."""
    names = [str(label) for label in labels]
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")


def row_labels(values: Any) -> pd.Index | None:
    """Return the row labels of a Series or DataFrame; None for an array, a list, and anything else.

    Examples
    --------
    >>> import pandas as pd
    >>> row_labels(pd.Series([1.0, 2.0], index=["a", "b"])).tolist()
    ['a', 'b']
    >>> row_labels([1.0, 2.0]) is None
    True
    """
    import pandas as pd

    return values.index if isinstance(values, pd.Series | pd.DataFrame) else None


def refuse_other_labels(labels: pd.Index | None, index: pd.Index, what: str, other: str) -> None:
    """Raise `DataError` where there are labels, and they are not those of the index in its order.

    Parameters
    ----------
    labels : Index or None
        Those of what is called `what`.
    index : Index
        Those of what is called `other`.
    what, other : str

    Examples
    --------
    >>> import pandas as pd
    >>> refuse_other_labels(pd.Index(["b", "a"]), pd.Index(["a", "b"]), "Design", "outcome")
    Traceback (most recent call last):
    causalopt.errors.DataError: Design and outcome have the same row labels in another order: use .loc[...] to put ...
    """
    if labels is None or labels.equals(index):
        return
    if len(labels) == len(index) and Counter(labels) == Counter(index):
        raise DataError(
            f"{what} and {other} have the same row labels in another order: use .loc[...] to put one in the order of "
            "the other."
        )
    known = set(labels)
    lacking = next((label for label in index if label not in known), None)
    example = ""
    if lacking is not None:
        example = f" ({plain(lacking)!r} is among those of {other} alone)"
    raise DataError(
        f"{what} and {other} have different row labels{example}; align them first, with .loc[...] or .reindex(...)."
    )
