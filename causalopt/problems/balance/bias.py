"""What weights cost in variance, and how much bias imbalance can leave."""

from __future__ import annotations

from collections.abc import Mapping
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt

from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.problems.balance.result import BalanceResult
from causalopt.solving.options import unknown_name


def bias_bound(result: BalanceResult, coefficients: float | Mapping[str, float], *, achieved: bool = False) -> float:
    """Bound the bias of the weighted mean where the outcome is linear in the balanced functions.

    If E(Y | X) = constant + sum_p beta_p B_p(X), the bias is at most sum_p |beta_p| d_p, with d_p the tolerance in
    the function's own units ([SBW] proposition 4.1).

    Parameters
    ----------
    result : BalanceResult
        Of one weighted group; with several, the largest bound over the groups is returned.
    coefficients : float or mapping from function to float
        |beta_p|, outcome units per unit of the function. One number stands for all functions, per unit of `scale`.
    achieved : bool
        Use the imbalances that the weights leave, which are at most the tolerances.

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> rng = np.random.default_rng(0)
    >>> x = pd.DataFrame({"age": rng.normal(size=100)})
    >>> result = co.solve(co.BalanceProblem(x, np.arange(100) % 2, tolerance=0.1, scale="raw"))
    >>> round(bias_bound(result, {"age": 2.0}), 6)
    0.2
    """
    study = result.study
    table = result.balance_table()
    bounds = []
    for group in study.groups:
        own = table.loc[group.label] if len(study.groups) > 1 else table
        distance = own["smd after"].abs().to_numpy() if achieved else own["tolerance"].to_numpy()
        unit = group.unit * study.moments.spread
        if isinstance(coefficients, Mapping):
            for name in coefficients:
                if name not in study.names:
                    raise DataError(unknown_name("balanced function", str(name), study.names))
            beta = np.array([abs(float(coefficients.get(name, 0.0))) for name in study.names])
            bounds.append(float(beta @ (distance * unit)))
        else:
            bounds.append(abs(float(coefficients)) * float(distance.sum()))
    return max(bounds)


def smooth_bias_bound(linear_bound: float, derivative: npt.ArrayLike, width: npt.ArrayLike, degree: int = 1) -> float:
    """Bound the bias where the outcome is additive and smooth, and piecewise polynomials were balanced.

    On an interval of length h, a function whose derivative of order q + 1 is at most M differs from its Taylor
    polynomial of degree q by at most M h^(q+1) / (q+1)!. Weights that are not negative and sum to one average this
    remainder to no more, and so does the target; hence the bias is at most the bound for the polynomials' coefficients
    (`bias_bound` over the terms of `basis.piecewise`) plus twice the sum of the remainders ([SBW] proposition 4.2 is of
    this form; the constant here is that of Taylor's theorem about an end of the interval).

    Parameters
    ----------
    linear_bound : float
        `bias_bound` for the polynomials' coefficients.
    derivative : float or (k,) array
        Largest absolute derivative of order `degree + 1`, by covariate.
    width : float or (k,) array
        Length of the longest interval, by covariate.
    degree : int

    Examples
    --------
    >>> round(smooth_bias_bound(0.0, derivative=2.0, width=0.1, degree=1), 6)
    0.02
    """
    if degree < 0:
        raise DataError(f"{argument('degree')} is {degree}; it must be zero or positive.")
    m, h = np.broadcast_arrays(np.asarray(derivative, dtype=float), np.asarray(width, dtype=float))
    if (m < 0).any() or (h < 0).any():
        raise DataError(f"{argument('derivative')} and width must not be negative.")
    remainder = m * h ** (degree + 1) / factorial(degree + 1)
    return float(linear_bound) + 2.0 * float(np.sum(remainder))


def variance_of_weighted_mean(weights: Any, sigma: float) -> float:
    """Return sigma^2 (1 + CV^2) / r, the variance of a weighted mean of r outcomes of variance sigma^2 ([SBW] 2.1).

    Examples
    --------
    >>> float(variance_of_weighted_mean([1.0, 1.0, 1.0, 1.0], 2.0))
    1.0
    """
    w = np.asarray(weights, dtype=float)
    return float(sigma**2 * (w @ w) / w.sum() ** 2)
