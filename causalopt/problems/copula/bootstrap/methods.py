"""The pieces of the causal bootstrap: imputations, redraws from the design, and the baselines it is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np

from causalopt.errors import DataError
from causalopt.modeling.program import Bools, Floats
from causalopt.study.designs.design import CompleteRandomization, Design
from causalopt.study.designs.estimators import Estimator, LeastSquares, Residualised
from causalopt.study.designs.grouped import MatchedPairs, Stratified

METHODS = ("optimal", "isotone", "sampling", "conservative")


def impute_isotone(y: Floats, z: Bools) -> tuple[Floats, Floats]:
    """Return both outcomes, the missing ones by rank: equal quantiles of both arms belong together.

    Aronow, Green and Lee (2014); Imbens and Menzel (2021). With arms of equal size the r-th smallest outcome of one arm
    is imputed to the unit with the r-th smallest outcome of the other.
    """
    both = [y.copy(), y.copy()]
    for arm, seen, other in ((0, ~z, z), (1, z, ~z)):
        values, who = np.sort(y[seen]), np.flatnonzero(other)
        rank = np.empty(len(who), dtype=np.int64)
        rank[np.argsort(y[who], kind="stable")] = np.arange(len(who))
        both[arm][who] = values[((rank + 0.5) / len(who) * len(values)).astype(np.int64)]
    return both[1], both[0]


def sampling_errors(estimator: Estimator, y: Floats, z: Bools, p: Floats, draws: int, seed: int) -> Floats:
    """Return bootstrap estimates minus the estimate, units being drawn with replacement, whatever the design.

    Draws with an empty arm are left out.
    """
    rng = np.random.default_rng(seed)
    n = len(y)
    picked = rng.integers(0, n, size=(draws, n))
    estimate = estimator.estimate(y, z, p)
    residual = estimator.residuals(y, z)
    if isinstance(estimator, Residualised):
        kind: type[Residualised] = LeastSquares if isinstance(estimator, LeastSquares) else Residualised
        values = np.full(draws, np.nan)
        for b, rows in enumerate(picked):
            covariates = estimator.covariates[rows]
            if (
                z[rows].all()
                or not z[rows].any()
                or np.linalg.matrix_rank(covariates - covariates.mean(axis=0)) < (covariates.shape[1])
            ):
                continue
            values[b] = kind(covariates).weights(z[rows][None, :], p[rows])[0] @ y[rows]
    else:
        predicted = estimator.prediction(n)
        shift = 0.0 if predicted is None else (predicted[0] - predicted[1])[picked].mean(axis=1)
        values = (estimator.weights(z[picked], p[picked]) * residual[picked]).sum(axis=1) + shift
    return np.asarray(values[np.isfinite(values)] - estimate)


def conservative_variance(design: Design, residual: Floats, z: Bools) -> Floats:
    """Return a variance estimate that is too large on average: Neyman's, by stratum or by pair.

    Complete randomization: s1^2/N1 + s0^2/N0. Strata with at least two units of each arm and equal treatment shares:
    these, weighted by squared shares. Matched pairs: the sample variance of the pairs' differences, over the pairs
    (Imai 2008).

    Parameters
    ----------
    design : Design
    residual : (n,) or (m, n) array
        Observed outcomes (minus predictions), one data set a row.
    z : (n,) or (m, n) bool array

    Returns
    -------
    array of shape () or (m,)

    Raises
    ------
    DataError
        Where the design has no such estimate.
    """
    if isinstance(design, MatchedPairs):
        pairs = design.positions
        sign = np.where(z[..., pairs[:, 0]], 1.0, -1.0)
        difference = sign * (residual[..., pairs[:, 0]] - residual[..., pairs[:, 1]])
        if len(pairs) < 2:
            raise DataError("The variance of one pair cannot be estimated.")
        return np.asarray(difference.var(axis=-1, ddof=1) / len(pairs))
    if isinstance(design, CompleteRandomization):
        return _neyman(residual, z)
    if isinstance(design, Stratified):
        p = design.probabilities()
        if np.ptp(p) > 1e-12:
            raise DataError("The conservative variance needs equal treatment shares in all strata.")
        total: Floats = np.zeros(z.shape[:-1])
        for members in design._members:
            total = total + (len(members) / len(p)) ** 2 * _neyman(residual[..., members], z[..., members])
        return np.asarray(total)
    raise DataError(
        f"No conservative variance is known for {design}: it is for complete randomization, strata and matched pairs."
    )


def _neyman(y: Floats, z: Bools) -> Floats:
    total: Any = 0.0
    for arm in (z, ~z):
        size = arm.sum(axis=-1)
        if (size < 2).any():
            raise DataError("The conservative variance needs two units in each arm (of each stratum).")
        mean = np.where(arm, y, 0.0).sum(axis=-1) / size
        squares = (np.where(arm, y - mean[..., None], 0.0) ** 2).sum(axis=-1)
        total = total + squares / (size - 1) / size
    return np.asarray(total)


def quantile_interval(estimate: float, errors: Floats, level: float) -> tuple[float, float]:
    """Return the interval that the quantiles of the estimation errors give: estimate minus the upper and lower one."""
    tail = (1 - level) / 2
    low, high = np.quantile(errors, [tail, 1 - tail])
    return float(estimate - high), float(estimate - low)
