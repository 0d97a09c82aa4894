"""Differences of weighted means, with standard errors."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import numpy as np

from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Floats

#: Effective size of a group below which its variance cannot be told from its own outcomes.
LEAST_SIZE = 2.0

#: Effective size of a group below which normal intervals are noticeably too short.
SMALL_SIZE = 10.0


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


@dataclasses.dataclass(frozen=True)
class EstimateRange:
    """The least and the greatest estimate over all weights within (1 + eta) of the best objective.

    Attributes
    ----------
    lower, upper : float
        Attained, up to the gap.
    eta : float
    gap : float
        How much wider the range could be, at most: proved by duality.
    best : str
        What the weights are compared with, in words.
    """

    lower: float
    upper: float
    eta: float
    gap: float
    best: str = dataclasses.field(default="the best", repr=False)

    def __str__(self) -> str:
        return f"{self.lower:.6g} to {self.upper:.6g} over all weights within {self.eta:.4g} of {self.best}"


def require_level(level: Any) -> None:
    """Raise `DataError` unless the level of an interval is a number between 0 and 1."""
    if not isinstance(level, numbers.Real) or not 0 < float(level) < 1:
        raise DataError(f"{argument('level')} is {level!r}; it must lie between 0 and 1, such as 0.95.")


def effective_size(weights: Floats) -> float:
    """Return (sum w)^2 / sum w^2: how many equally weighted units would give a mean as precise (Kish 1965)."""
    return float(weights.sum()) ** 2 / float(weights @ weights)


def normal_estimate(value: float, variance: float, level: float, method: str) -> Estimate:
    """Return an estimate with its normal interval and two-sided p-value."""
    from scipy.stats import norm

    require_level(level)
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
