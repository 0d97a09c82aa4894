"""Propensity-score weights, as baselines for balancing weights: logit, trimmed logit, covariate-balancing scores.

Everything here is about a mean of n units of which some respond (or of which some are treated): weights are inverse
probabilities of responding.
"""

from __future__ import annotations

import numpy as np

from causalopt.errors import DataError
from causalopt.modeling.program import Floats


def _design(x: Floats) -> Floats:
    """Return a constant and the standardised covariates: the scores do not depend on their units, the numerics do."""
    spread = x.std(axis=0)
    return np.column_stack([np.ones(len(x)), (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)])


def logit_scores(x: Floats, responds: Floats, iterations: int = 100) -> Floats:
    """Return maximum-likelihood probabilities of responding, by Newton's method.

    Parameters
    ----------
    x : (n, p) array
    responds : (n,) array of 0 and 1

    Raises
    ------
    DataError
        Where the covariates separate the groups, so that no maximum exists.
    """
    design, r = _design(x), np.asarray(responds, dtype=float)
    beta = np.zeros(design.shape[1])
    for _ in range(iterations):
        eta = design @ beta
        p = 1.0 / (1.0 + np.exp(-eta))
        if np.abs(r - p).max() < 1e-5:
            break
        score = design.T @ (r - p)
        if np.abs(score).max() <= 1e-10 * len(r):
            return np.asarray(p)
        step = np.linalg.lstsq((design * (p * (1 - p))[:, None]).T @ design, score, rcond=None)[0]
        beta = beta + step / max(1.0, float(np.abs(design @ step).max()) / 5.0)
        if np.abs(beta @ design.T).max() > 500:
            break
    raise DataError("The covariates separate those who respond from those who do not: the logit has no maximum.")


def cbps_scores(x: Floats, responds: Floats, iterations: int = 200) -> Floats:
    """Return just-identified covariate-balancing propensity scores (Imai and Ratkovic 2014, JRSS B 76:243).

    The logit whose inverse probabilities balance the covariates exactly: sum (R_i / p_i - 1) (1, X_i) = 0. This is the
    optimality condition of the convex function sum (1 - R_i) eta_i + R_i exp(-eta_i), minimised by Newton's method.
    Where no scores balance exactly, those of least squared imbalance are returned.
    """
    design, r = _design(x), np.asarray(responds, dtype=float)
    beta = np.zeros(design.shape[1])
    total = design.sum(axis=0)

    def value(b: Floats) -> float:
        # d/db of this is  sum (1 - R / p) X  with 1 / p = 1 + exp(-eta)
        eta = design @ b
        return float(((1 - r) * eta).sum() + (r * np.exp(-np.clip(eta, -500, 500))).sum())

    current, stalled = value(beta), False
    for _ in range(iterations):
        odds = np.exp(-np.clip(design @ beta, -500, 500))
        gradient = total - design.T @ (r * (1 + odds))
        worst = float(np.abs(gradient).max()) / len(r)
        if worst <= 1e-10 or (stalled and worst <= 1e-7):
            return np.asarray(1.0 / (1.0 + odds))
        if stalled:
            break
        hessian = (design * (r * odds)[:, None]).T @ design
        step = -np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        length = 1.0
        while value(beta + length * step) > current + 1e-4 * length * float(gradient @ step) and length > 1e-12:
            length /= 2
        stalled = length <= 1e-12
        beta = beta + length * step
        current = value(beta)
    # Inverse probabilities are at least one, so exact balance may be out of reach.
    from scipy.optimize import least_squares

    def imbalance(b: Floats) -> Floats:
        weights = 1.0 + np.exp(-np.clip(design[r == 1] @ b, -500, 500))
        return np.asarray((design[r == 1].T @ weights - total) / len(r))

    nearest = least_squares(imbalance, np.zeros(design.shape[1]), xtol=1e-12, ftol=1e-12, gtol=1e-12)
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(design @ nearest.x, -500, 500))))


def trimmed(weights: Floats, quantile: float = 0.95) -> Floats:
    """Return weights with those above their quantile set to it."""
    return np.minimum(weights, np.quantile(weights, quantile))


def horvitz_thompson(y: Floats, weights: Floats, n: int) -> float:
    """Return sum w y / n over those who respond (Horvitz and Thompson 1952)."""
    return float(weights @ y) / n


def ratio(y: Floats, weights: Floats) -> float:
    """Return the weighted mean sum w y / sum w (Hajek 1971)."""
    return float(weights @ y / weights.sum())


def weighted_least_squares(x: Floats, responds: Floats, y: Floats, weights: Floats) -> float:
    """Return the mean prediction over all units from weighted least squares on those who respond."""
    design, one = _design(x), np.asarray(responds) == 1
    root = np.sqrt(weights)
    beta = np.linalg.lstsq(design[one] * root[:, None], y * root, rcond=None)[0]
    return float((design @ beta).mean())


def doubly_robust(x: Floats, responds: Floats, y: Floats, weights: Floats) -> float:
    """Return the augmented estimator: least-squares predictions, plus weighted residuals (Robins and others 1994).

    `weights` are on the scale of inverse probabilities (their sum is near the number of units).
    """
    design, one = _design(x), np.asarray(responds) == 1
    beta = np.linalg.lstsq(design[one], y, rcond=None)[0]
    return float((design @ beta).mean()) + float(weights @ (y - design[one] @ beta)) / len(x)
