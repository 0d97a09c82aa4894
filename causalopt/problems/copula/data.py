"""Reading the data of a copula problem: outcomes, treatment, design, strata, support; and its objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError
from causalopt.modeling.program import Bools, Floats, Ints
from causalopt.problems.copula.slack import Group
from causalopt.study.designs.design import Design
from causalopt.study.designs.estimators import Estimator
from causalopt.study.labels import refuse_other_labels, row_labels
from causalopt.study.reading import TWO_ARMS, read_numbers, read_treatment, refuse_rows, treated_code

#: Values that differ by less than this, relative to the largest, are the same.
TIE = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """Variance of the estimator as a function of the missing values:  u'Mu + 2 g'u + constant, u = values - shift.

    Attributes
    ----------
    shift : float
        A constant that leaves the variance as it is when it is taken from every outcome; it keeps numbers small.
    matrix : (n, n) array
        M.
    linear : (n,) array
        g.
    constant : float
    exact : bool
        False where M was simulated.
    draws : int
        How many assignments it was simulated from, or 0.
    """

    shift: float
    matrix: Floats
    linear: Floats
    constant: float
    exact: bool
    draws: int

    def value(self, missing: Floats) -> float:
        """Return the variance for imputed missing values."""
        u = missing - self.shift
        return max(float(u @ self.matrix @ u + 2 * self.linear @ u) + self.constant, 0.0)


def read_study(outcome: Any, treatment: Any, treated: Any) -> tuple[Floats, Bools, pd.Index, list[Any]]:
    """Return outcomes, treatment, row labels and the treatment's values; complaints name rows."""
    name = "The outcome"
    if isinstance(outcome, pd.Series):
        index = outcome.index
        name = "The outcome" if outcome.name is None else f"Outcome {outcome.name!r}"
    else:
        index = pd.RangeIndex(len(outcome)) if np.ndim(outcome) == 1 else pd.RangeIndex(0)
    y = read_numbers(outcome, name)
    if y.ndim != 1 or len(y) < 2:
        raise DataError(f"{name} must hold one value a unit, of at least two units; its shape is {y.shape}.")
    refuse_rows(~np.isfinite(y), index, f"{name} has missing or infinite values")
    codes, levels = read_treatment(treatment, index, TWO_ARMS, other="the outcome")
    return y, codes == treated_code(levels, treated, "ATT"), index, levels


def refuse_labels(outcome: Any, design: Design, estimator: Estimator) -> None:
    """Raise `DataError` where design or estimator were given row labels, and the outcomes have others."""
    if isinstance(outcome, pd.Series):
        refuse_other_labels(design._labels, outcome.index, "The design", "the outcome")
        what = "The predictions" if estimator.name == "doubly-robust" else "The covariates"
        refuse_other_labels(estimator._labels, outcome.index, what, "the outcome")


def read_strata(strata: Any, index: pd.Index) -> tuple[Ints, list[Any]]:
    """Return each row's stratum number, and the strata."""
    if strata is None:
        return np.zeros(len(index), dtype=np.int64), [None]
    refuse_other_labels(row_labels(strata), index, "Strata", "outcome")
    array = np.asarray(strata)
    if array.shape != (len(index),):
        raise DataError(f"strata must hold {len(index)} labels; its shape is {array.shape}.")
    codes, levels = pd.factorize(array)
    refuse_rows(codes < 0, index, "The strata have missing values")
    return codes.astype(np.int64), [v.item() if isinstance(v, np.generic) else v for v in levels]


def _support(support: Any, arm: int) -> Floats | None:
    if isinstance(support, Mapping):
        unknown = [key for key in support if key not in (0, 1)]
        if unknown:
            raise DataError(f"support names arm {unknown[0]!r}; the arms are 0 and 1.")
        support = support.get(arm)
    if support is None:
        return None
    values = np.asarray(support, dtype=float)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise DataError(f"The support of Y({arm}) must be a list of finite values.")
    return np.unique(values)


def distinct(values: Floats, scale: float) -> tuple[Floats, Ints]:
    """Return the distinct values, ascending, and the number of each: those that differ by rounding alone are one.

    Examples
    --------
    >>> import numpy as np
    >>> distinct(np.array([2.0, 0.1 + 0.2, 0.3]), 2.0)
    (array([0.3, 2. ]), array([1, 0, 0]))
    """
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    new = np.append(True, np.diff(ascending) > TIE * scale)
    number = np.empty(len(values), dtype=np.int64)
    number[order] = np.cumsum(new) - 1
    return ascending[new], number


def make_groups(
    y: Floats, z: Bools, design: Design, estimator: Estimator, codes: Ints, levels: list[Any], support: Any
) -> tuple[Group, ...]:
    """Return the groups of units that lack the same outcome, with their supports and marginal targets."""
    if len(z) == 0 or z.all() or not z.any():
        raise DataError("The treated or the untreated group is empty: no outcome of it can be imputed.")
    p = design.probabilities(len(y))
    by_counts = estimator.counts
    scale = float(np.abs(y).max())
    groups = []
    for arm in (0, 1):
        given = _support(support, arm)
        for number, level in enumerate(levels):
            inside = codes == number
            seen, missing = np.flatnonzero(inside & (z == bool(arm))), np.flatnonzero(inside & (z != bool(arm)))
            if len(seen) == 0 or len(missing) == 0:
                which = "treated" if (len(seen) == 0) == bool(arm) else "untreated"
                raise DataError(f"Stratum {level!r} has no {which} unit: merge it with another.")
            observed, position = distinct(y[seen], scale)
            values = observed if given is None else given
            nearest = np.abs(values[None, :] - observed[:, None]).argmin(axis=1) if given is not None else None
            lacking = np.empty(0) if nearest is None else observed[np.abs(values[nearest] - observed) > TIE * scale]
            if len(lacking):
                raise DataError(
                    f"The support of Y({arm}) excludes {len(lacking)} observed value(s), such as {lacking[0]:g}: add "
                    "them, since the unit that showed it has it."
                )
            place = (np.arange(len(observed)) if nearest is None else nearest)[position]
            if by_counts:
                weights = np.ones(len(missing))
                target = np.asarray(np.bincount(place, minlength=len(values)) * (len(missing) / len(seen)))
                unit = float(len(missing))
            else:
                q = p if arm else 1 - p
                weights = 1.0 / (1.0 - q[missing])
                target = np.asarray(np.bincount(place, weights=1.0 / q[seen], minlength=len(values)))
                unit = float(inside.sum())
            groups.append(Group(arm, level, missing, values, target, weights, unit))
    return tuple(groups)


def make_objective(y: Floats, z: Bools, design: Design, estimator: Estimator, draws: int, seed: int) -> Objective:
    """Return the variance as a function of the missing values."""
    n = len(y)
    form = estimator.form(design, n, draws=draws, seed=seed)
    position = np.arange(n)
    missing, observed = np.where(z, n + position, position), np.where(z, position, n + position)
    h = form.matrix
    across = h[np.ix_(missing, observed)]
    m = h[np.ix_(missing, missing)]
    # Rounding must not make pairs of what has no covariance.
    scale = np.sqrt(np.maximum(np.diag(m), 0.0))
    m = np.where(np.abs(m) > 1e-13 * np.outer(scale, scale), m, 0.0)
    invariant = np.abs(h.sum(axis=1)).max() <= 1e-10 * np.abs(h).sum(axis=1).max()
    shift = float(y.mean()) if invariant else 0.0
    centred = y - shift
    constant = float(centred @ h[np.ix_(observed, observed)] @ centred)
    return Objective(shift, m, across @ centred, constant, form.exact, form.draws)
