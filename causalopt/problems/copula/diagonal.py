"""The diagonal D of the `convex` formulation that makes its relaxation tightest.

The relaxation's value  b(D) = max over X of  sum_i D_i (E_X[v_i^2] - E_X[v_i]^2) + (terms without D)  is convex in D,
as a maximum of linear functions, and D ranges over  D - M positive semidefinite:  a semidefinite program, solved here
by cutting planes from relaxations and Newton steps on a logarithmic barrier. Whatever D comes out, D - M is positive
semidefinite, so that the formulation is exact: only its speed depends on how well this went.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from causalopt.modeling.program import Floats

#: Largest entry of D, relative to that of the scaled diagonal.
LARGEST = 6.0

#: Relaxations solved at most, seconds after which no other is begun, and gap to a known imputation at which they stop.
MOST_ROUNDS = 40
MOST_SECONDS = 60.0
GOOD_ENOUGH = 1e-8


def tuned_diagonal(
    matrix: Floats, first: Floats, relax: Callable[[Floats], tuple[float, Floats, Floats] | None], incumbent: float
) -> Floats:
    """Return a diagonal D with D - M positive semidefinite whose relaxation is as tight as can be.

    Parameters
    ----------
    matrix : (n, n) array
        M.
    first : (n,) array
        A diagonal to start from, with first - M positive semidefinite.
    relax : callable
        For a diagonal: the relaxation's value, and the means of v and v^2 over its solution, by unit; None where it
        could not be solved, which ends the search.
    incumbent : float
        The objective of a known imputation: no relaxation is below it.
    """
    size = np.maximum(np.diag(matrix), 1e-12 * np.diag(matrix).max())
    correlation = matrix / np.sqrt(np.outer(size, size))
    unit = 0.0
    best, best_value = first, np.inf
    d = 1.05 * first / size
    largest = LARGEST * d.max()
    mu = 1e-2
    offsets: list[float] = []
    slopes: list[Floats] = []
    last_gain = 0
    began = perf_counter()
    for round_number in range(MOST_ROUNDS):
        trial = first if round_number == 0 else d * size
        relaxed = relax(trial)
        if relaxed is None:
            break
        value, mean, square = relaxed
        unit = unit or max(abs(incumbent), 1e-3 * abs(value), 1e-300)
        if value < best_value:
            if best_value - value > 1e-3 * max(best_value - incumbent, 0.0) or not np.isfinite(best_value):
                last_gain = round_number
            best, best_value = trial, value
        if best_value - incumbent <= GOOD_ENOUGH * unit or round_number - last_gain >= 12:
            break
        if perf_counter() - began > MOST_SECONDS:
            break
        slope = np.maximum(square - mean**2, 0.0) * size / unit
        slopes.append(slope)
        offsets.append(value / unit - float(slope @ (trial / size)))
        d = _centre(correlation, np.array(slopes), np.array(offsets), d, largest, mu)
        mu = max(0.6 * mu, 1e-9)
    return best


def _centre(correlation: Floats, slopes: Floats, offsets: Floats, d: Floats, largest: float, mu: float) -> Floats:
    """Minimise  theta - mu [log det(D - M) + sum log(theta - cut) + sum log(largest - d)]  by Newton's method."""
    n = len(d)
    theta = float((offsets + slopes @ d).max()) + mu
    for _ in range(60):
        try:
            inverse = np.linalg.inv(np.diag(d) - correlation)
        except np.linalg.LinAlgError:  # at the edge, to rounding
            return d
        room = theta - offsets - slopes @ d
        if room.min() <= 0:  # rounding: the cuts are as close as they get
            return d
        top = 1.0 / (largest - d)
        gradient = np.append(mu * (top - np.diag(inverse) + slopes.T @ (1 / room)), 1 - mu * (1 / room).sum())
        hessian = np.empty((n + 1, n + 1))
        hessian[:n, :n] = mu * (np.diag(top**2) + inverse**2 + (slopes.T / room**2) @ slopes)
        hessian[:n, n] = hessian[n, :n] = -mu * slopes.T @ (1 / room**2)
        hessian[n, n] = mu * (1 / room**2).sum()
        try:
            step = -np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            return d
        decrement = float(-gradient @ step)
        if not decrement >= 0.01 * mu:
            return d
        length = 1.0
        while not _inside(correlation, slopes, offsets, d + length * step[:n], theta + length * step[n], largest):
            length *= 0.5
            if length < 1e-8:
                return d
        if length < 1.0:
            length *= 0.9
        d = d + length * step[:n]
        theta += length * float(step[n])
    return d


def _inside(correlation: Floats, slopes: Floats, offsets: Floats, d: Floats, theta: float, largest: float) -> bool:
    if d.max() >= largest or (theta - offsets - slopes @ d).min() <= 0:
        return False
    try:
        np.linalg.cholesky(np.diag(d) - correlation)
    except np.linalg.LinAlgError:
        return False
    return True
