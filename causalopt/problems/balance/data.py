"""What a balance problem is given: covariates and targets over one basis, weights and tolerances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt.basis import Column, Term, expand
from causalopt.errors import DataError
from causalopt.modeling.program import Floats, Ints
from causalopt.solving.options import unknown_name
from causalopt.study.reading import read_covariates


def expand_with_target(
    frame: pd.DataFrame, basis: Sequence[Term], target: Any, estimand: str
) -> tuple[list[Column], Floats | list[Floats] | None]:
    """Expand the basis; on data and target rows together, where the target is a DataFrame, so that cut points agree."""
    if (target is not None) != (estimand == "population"):
        raise DataError(
            "estimand='population' needs target=: a mapping of means, or a DataFrame."
            if target is None
            else f"target= goes with estimand='population', not {estimand!r}."
        )
    if not isinstance(target, pd.DataFrame):
        columns = expand(read_covariates(frame), basis)
        return columns, None if target is None else _target_means(target, [c.name for c in columns])
    missing = [name for name in frame.columns if name not in target.columns]
    if missing:
        raise DataError(f"The target has no column {missing[0]!r}.")
    stacked = pd.concat([frame, target[list(frame.columns)]], ignore_index=True)
    read_covariates(target[list(frame.columns)], "target")  # errors with the target's own row labels
    n = len(frame)
    columns = expand(read_covariates(stacked), basis)
    rows = [Column(c.name, c.sources, c.values[:n], c.factor) for c in columns]
    return rows, [c.values[n:] for c in columns]


def _target_means(target: Any, names: Sequence[str]) -> Floats:
    means = {str(key): value for key, value in dict(target).items()}
    for name in means:
        if name not in names:
            raise DataError(unknown_name("covariate in the target", name, names))
    missing = [name for name in names if name not in means]
    if missing:
        raise DataError(f"The target gives no mean for {', '.join(map(repr, missing))}.")
    values = np.array([float(means[name]) for name in names])
    if not np.isfinite(values).all():
        raise DataError(f"The target mean of {names[int(np.flatnonzero(~np.isfinite(values))[0])]!r} is not finite.")
    return values


def mean_one(weights: Floats | None, members: Ints) -> Floats | float:
    """Return the weights of some rows divided by their mean; one where there are none."""
    if weights is None:
        return 1.0
    own = weights[members]
    return np.asarray(own / own.mean())


def read_tolerances(values: Sequence[Any], names: Sequence[str], may_be_infinite: bool) -> Floats:
    """Return tolerances as numbers; raise `DataError`, with the name, for one that is none."""
    for value, name in zip(values, names, strict=True):
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not (number and value >= 0 and (np.isfinite(value) or may_be_infinite)):
            raise DataError(f"The tolerance for {name!r} is {value!r}; it must be a number, zero or positive.")
    return np.array(values, dtype=float)
