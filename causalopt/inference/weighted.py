"""Differences of weighted means, with standard errors."""

from __future__ import annotations

import dataclasses

import numpy as np

from causalopt.errors import DataError
from causalopt.modeling.program import Floats


@dataclasses.dataclass(frozen=True)
class Estimate:
    """An estimate with its uncertainty.

    Attributes
    ----------
    estimate, standard_error : float
    lower, upper : float
        Normal interval at `level`.
    level : float
    p_value : float
        Two-sided, against no effect.
    method : str
        What is estimated, and where the standard error comes from.
    """

    estimate: float
    standard_error: float
    lower: float
    upper: float
    level: float
    p_value: float
    method: str

    def __str__(self) -> str:
        return (
            f"{self.estimate:.6g} (standard error {self.standard_error:.4g}, {self.level:.0%} interval "
            f"{self.lower:.6g} to {self.upper:.6g}, p = {self.p_value:.3g}; {self.method})"
        )


def normal_estimate(value: float, variance: float, level: float, method: str) -> Estimate:
    """Return an estimate with its normal interval and two-sided p-value."""
    from scipy.stats import norm

    if not 0 < level < 1:
        raise DataError(f"level is {level}; it must lie between 0 and 1, such as 0.95.")
    error = float(np.sqrt(variance))
    half = float(norm.ppf(0.5 + level / 2)) * error
    p = float(2 * norm.sf(abs(value) / error)) if error > 0 else (1.0 if value == 0 else 0.0)
    return Estimate(float(value), error, float(value - half), float(value + half), level, p, method)


def weighted_mean(outcome: Floats, weights: Floats) -> tuple[float, float]:
    """Return a weighted mean and its linearised variance, sum w^2 (y - mean)^2 / (sum w)^2.

    This is the variance of a ratio estimator by Taylor linearisation (Lumley 2010, Complex Surveys, section 2.2), which
    is also the heteroskedasticity-robust (HC0) one of weighted least squares on a constant.
    """
    total = float(weights.sum())
    mean = float(weights @ outcome) / total
    residual = weights * (outcome - mean)
    return mean, float(residual @ residual) / total**2
