"""Balance QPs by a proximal semismooth Newton method on their small dual.

The problem is  min sum_i (u_i - b_i)^2 / (2 s_i)  subject to  |M u - t| <= d  and  lower <= u <= upper,  with few
rows M and many columns. Given multipliers lam of the rows, the best u is  clip(b + s M'lam, lower, upper), and the
dual

    min over lam of   phi(lam) - t'lam + d'|lam|,     phi'(lam) = M u(lam),

is piecewise quadratic with as many variables as rows. Each Newton step minimises a quadratic model (Hessian: the
weighted Gram matrix of the columns that are not at a bound) plus the L1 term. It takes a handful of steps, and every
step is one pass over M.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
from scipy.optimize import lsq_linear

from causalopt.modeling.program import Floats
from causalopt.verifying.claims import Limit, Reason, Solution, Termination

#: Columns handled at once when a Gram matrix is formed: bounds the extra memory.
CHUNK = 1 << 15

#: Steps after which a certificate of infeasibility is looked for.
PATIENCE = 5

#: Smallest multiple of the identity added to a Gram matrix, relative to its mean diagonal.
LEAST_DAMPING = 1e-11


@dataclasses.dataclass(frozen=True, eq=False)
class SeparableQP:
    """The data of  min sum (u - base)^2 / (2 spread)  s.t.  |M u - target| <= tolerance,  lower <= u <= upper.

    Attributes
    ----------
    rows : (m, r) array, C-contiguous
        M.
    target, tolerance : (m,) arrays
    base, spread : (r,) arrays or float
    lower, upper : (r,) arrays or float
    """

    rows: Floats
    target: Floats
    tolerance: Floats
    base: Floats | float = 1.0
    spread: Floats | float = 1.0
    lower: Floats | float = 0.0
    upper: Floats | float = np.inf

    def primal(self, multipliers: Floats) -> Floats:
        """Return the best u for given multipliers."""
        u = multipliers @ self.rows
        u *= self.spread
        u += self.base
        return np.clip(u, self.lower, self.upper, out=u)

    def gram(self, u: Floats) -> Floats:
        """Return M diag(spread) M' over the columns that are strictly between their bounds."""
        m, r = self.rows.shape
        total = np.zeros((m, m))
        weighted = not np.isscalar(self.spread)
        spread = np.broadcast_to(self.spread, r)
        free = (u > self.lower) & (u < self.upper)
        for start in range(0, r, CHUNK):
            part = slice(start, min(start + CHUNK, r))
            block = self.rows[:, part]
            inside = free[part]
            if not inside.all():
                block = block[:, inside]
            right = block * spread[part][inside] if weighted else block
            total += right @ block.T
        return total if weighted else total * float(np.asarray(self.spread))

    def absorbing(self) -> Floats | None:
        """Return multipliers of the exact rows whose combination is positive on every column, or None."""
        positive = np.flatnonzero((self.rows.min(axis=1) > 0) & (self.tolerance == 0))
        if len(positive) == 0:
            return None
        multipliers = np.zeros(len(self.rows))
        multipliers[positive[-1]] = 1.0
        return multipliers

    def cost(self, u: Floats) -> float:
        """Return sum (u - base)^2 / (2 spread)."""
        d = u - self.base
        d *= d
        if np.isscalar(self.spread):
            return 0.5 * float(d.sum()) / float(np.asarray(self.spread))
        d /= self.spread
        return 0.5 * float(d.sum())


class Gram:
    """The Gram matrix for a sequence of nearby u: where few columns have reached or left a bound, only those count.

    Parameters
    ----------
    problem : SeparableQP
    """

    #: Updates before the matrix is computed afresh, so that rounding does not add up.
    MOST_UPDATES = 50

    def __init__(self, problem: SeparableQP) -> None:
        self.problem = problem
        self.free = np.zeros(0, dtype=bool)
        self.total = np.zeros((0, 0))
        self.updates = self.MOST_UPDATES

    def at(self, u: Floats) -> Floats:
        """Return the matrix at u."""
        free = (u > self.problem.lower) & (u < self.problem.upper)
        if self.updates < self.MOST_UPDATES and isinstance(self.problem.rows, np.ndarray):
            entered, left = np.flatnonzero(free & ~self.free), np.flatnonzero(self.free & ~free)
            if len(entered) + len(left) < 0.2 * len(u):
                self.total = self.total + self._over(entered) - self._over(left)
                self.free, self.updates = free, self.updates + 1
                return self.total
        self.free, self.updates = free, 0
        self.total = self.problem.gram(u)
        return self.total

    def _over(self, columns: npt.NDArray[np.intp]) -> Floats:
        block = self.problem.rows[:, columns]
        return np.asarray((block * np.broadcast_to(self.problem.spread, len(self.free))[columns]) @ block.T)


def solve(
    problem: SeparableQP,
    *,
    start: Floats | None = None,
    gram: Gram | None = None,
    tolerance: float = 1e-11,
    max_iterations: int = 200,
) -> Solution:
    """Solve a separable QP; the claims are exact up to rounding, and infeasibility comes with a certificate.

    Parameters
    ----------
    problem : SeparableQP
    start : (m,) array, optional
        Multipliers to start from, such as those of a neighbouring problem.
    gram : Gram, optional
        Of a problem with the same rows and spread, whose work is to be used again.
    tolerance : float
        Largest violation of the optimality conditions, per column.

    Returns
    -------
    Solution
        `row_dual` holds the multipliers. INFEASIBLE comes with `farkas`; NO_SOLUTION where the steps ran out.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[-1.0, 0.0, 2.0], [1.0, 1.0, 1.0]])
    >>> solution = solve(SeparableQP(rows, np.array([0.0, 3.0]), np.zeros(2)))
    >>> solution.x.round(6)
    array([1.285714, 1.071429, 0.642857])
    """
    m, r = problem.rows.shape
    unit = 1.0 / r  # sums over columns are reported per column, so that tolerances do not depend on r
    lam = np.zeros(m) if start is None else np.array(start, dtype=float)
    u = problem.primal(lam)
    value = _dual(problem, lam, u)
    gram = gram or Gram(problem)
    damping = LEAST_DAMPING
    for iteration in range(max_iterations):
        gradient = problem.rows @ u - problem.target
        violation = _violation(gradient, lam, problem.tolerance) * unit
        if violation <= tolerance:
            return _optimal(problem, lam, u, value, iteration)
        better = _newton_step(problem, lam, value, gradient, gram.at(u), violation, damping)
        if better is None:
            break
        before = lam
        lam, u, value, damping = better
        certificate = None
        if iteration >= PATIENCE:  # multipliers that go on growing may be the proof that there is no solution
            certificate = _farkas(problem, lam)
            if certificate is None:
                certificate = _farkas(problem, lam - before)
        if certificate is not None:
            return Solution(Termination(Reason.INFEASIBLE), farkas=certificate, method="", iterations=iteration + 1)
        if np.array_equal(lam, before):
            break
    gradient = problem.rows @ u - problem.target
    if _violation(gradient, lam, problem.tolerance) * unit <= 1e-8:
        return _optimal(problem, lam, u, value, iteration + 1)
    return Solution(Termination(Reason.NO_SOLUTION, Limit.ITERATIONS), iterations=iteration + 1)


def _newton_step(
    problem: SeparableQP, lam: Floats, value: float, gradient: Floats, hessian: Floats, violation: float, damping: float
) -> tuple[Floats, Floats, float, float] | None:
    """Return better multipliers, their u and dual objective, and the damping for the next step; None where none are."""
    scale = max(float(np.trace(hessian)) / len(lam), 1e-300)
    for _ in range(12):  # more damping until the step makes progress
        proximal = max(damping, 1e-3 * min(violation, 0.1)) * max(scale, problem.rows.shape[1] * 1e-8)
        step = _newton_point(hessian, gradient, lam, problem.tolerance, proximal) - lam
        length = 1.0
        slope = float(gradient @ step) + float(problem.tolerance @ (np.abs(lam + step) - np.abs(lam)))
        while length > 1e-10:
            trial = lam + length * step
            u = problem.primal(trial)
            reached = _dual(problem, trial, u)
            if reached <= value + 1e-4 * length * min(slope, 0.0) + 1e-15 * abs(value):
                return trial, u, reached, max(damping / 10, LEAST_DAMPING)
            length /= 2
        damping *= 100
    return None


def _optimal(problem: SeparableQP, lam: Floats, u: Floats, value: float, iterations: int) -> Solution:
    return Solution(
        Termination(Reason.OPTIMAL),
        x=u,
        objective=problem.cost(u),
        bound=-value,
        row_dual=lam,
        iterations=iterations,
    )


def _dual(problem: SeparableQP, lam: Floats, u: Floats) -> float:
    """Return the dual objective, to be minimised: minus it is a lower bound on the cost."""
    product = float(lam @ (problem.rows @ u))
    return product - problem.cost(u) - float(problem.target @ lam) + float(problem.tolerance @ np.abs(lam))


def _violation(gradient: Floats, lam: Floats, tolerance: Floats) -> float:
    at_zero = np.maximum(np.abs(gradient) - tolerance, 0.0)
    return float(np.where(lam != 0, np.abs(gradient + tolerance * np.sign(lam)), at_zero).max())


def _newton_point(hessian: Floats, gradient: Floats, lam: Floats, tolerance: Floats, damping: float) -> Floats:
    """Minimise  (x - lam)'H(x - lam)/2 + gradient'(x - lam) + tolerance'|x|.

    Guess which coordinates are zero and the signs of the others, solve for the minimiser under the guess, and read the
    next guess off it (a primal-dual active-set method); a guess that repeats itself is the answer. It nearly always
    does within a few rounds; where it does not, the small dual is solved by a finite method.
    """
    h = hessian + damping * np.eye(len(lam))
    linear = gradient - h @ lam  # the slope of the smooth part at x is  h x + linear
    free = tolerance == 0
    x, slope = lam, gradient
    previous = None
    for _ in range(50):
        moved = x - slope / h.diagonal()
        signs = np.where(np.abs(moved) > tolerance / h.diagonal(), np.sign(moved), 0.0)
        signs[free] = 1.0
        if previous is not None and np.array_equal(signs, previous):
            return x
        previous = signs
        support = np.flatnonzero(signs)
        x = np.zeros(len(lam))
        x[support] = np.linalg.solve(h[np.ix_(support, support)], -(linear + tolerance * signs)[support])
        slope = h @ x + linear
    return _box_dual_point(h, linear, tolerance)


def _box_dual_point(h: Floats, linear: Floats, tolerance: Floats) -> Floats:
    """Minimise  x'Hx/2 + linear'x + tolerance'|x|  through its dual, least squares in a box, by a finite method."""
    inverse = np.linalg.inv(np.linalg.cholesky(h))
    loose = tolerance > 0  # the others are no variables: boxes of no width would end the method early
    bounds = tolerance[loose]
    fit = lsq_linear(inverse[:, loose], -inverse @ linear, (-bounds, bounds), method="bvls", tol=1e-15)
    slope = linear.copy()
    slope[loose] += fit.x
    x: Floats = -inverse.T @ (inverse @ slope)
    x[np.flatnonzero(loose)[np.abs(fit.x) < bounds * (1 - 1e-9)]] = 0.0
    return x


def _farkas(problem: SeparableQP, direction: Floats) -> Floats | None:
    """Return multipliers that prove infeasibility, if `direction` is near some: more is needed than any u can give.

    Where u has no upper bound, a row, or combination of rows, with positive entries (the sum of the weights) absorbs
    what is left positive.
    """
    largest = np.abs(direction).max()
    if largest == 0:
        return None
    y = direction / largest
    weights = y @ problem.rows
    if not np.isfinite(problem.upper).all():
        absorbing = problem.absorbing()
        if absorbing is not None:
            excess = max(float((weights / (absorbing @ problem.rows)).max()), 0.0)
            y -= excess * absorbing
            weights = y @ problem.rows
            np.minimum(weights, 0.0, out=weights)  # what rounding leaves above zero
    weights[
        np.abs(weights) < 1e-12 * float(np.abs(y) @ np.maximum(problem.rows.max(axis=1), -problem.rows.min(axis=1)))
    ] = 0.0
    needed = float(problem.target @ y) - float(problem.tolerance @ np.abs(y))
    at = np.where(weights > 0, problem.upper, problem.lower)
    with np.errstate(invalid="ignore"):
        reach = np.where(weights == 0, 0.0, weights * at)
    if not np.isfinite(reach).all():
        return None
    return y if needed - float(reach.sum()) > 1e-8 * max(abs(needed), float(np.abs(reach).sum())) else None
