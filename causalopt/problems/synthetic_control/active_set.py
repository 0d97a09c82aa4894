"""Least squares over nonnegative weights, with or without a fixed sum, by an exact active-set method.

The problem is  min ||M x - b||^2 / 2 + c'x  subject to  x >= 0  and, where a row is given,  row'x = total.  A set of
columns is free and all others are zero. On the free columns the minimiser is one least-squares solve (by QR, so that
the condition number is never squared); on the way to it the first weight that reaches zero leaves the set; and once
it is reached, a column with a negative reduced cost enters. The objective falls with every entry, so that no set comes
back and the method is finite. For  c = 0,  b = 0  and weights that sum to one it is the algorithm of Wolfe (1976),
Finding the nearest point in a polytope, Mathematical Programming 11:128-149; without the sum it is that of Lawson and
Hanson (1974), Solving Least Squares Problems, chapter 23. Lasso and elastic net are the same problem with split
columns and `with_ridge`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.linalg import lapack  # NumPy's own functions take most of their time to prepare a small system

from causalopt.modeling.program import Bools, Floats, Ints

#: A reduced cost above minus this, relative to the terms that it is the sum of, counts as nonnegative.
OPTIMALITY = 1e-13

#: Columns are dependent where what is left of one, after projection on the others, is this small beside it.
DEPENDENCE = 1e-11

#: Along dependent columns a slope of less than this, relative to its terms, is rounding.
LEVEL = 10 * DEPENDENCE

#: Up to this condition number of the free columns, scaled to length one, the solution is called unique.
UNIQUE = 1e8

#: Columns of work space for each column of a factorisation, so that large ones go by blocks.
WORK = 64

#: A column whose reduced cost is within this many times its rounding error can be positive at another solution.
UNDECIDED = 1e4


@dataclasses.dataclass(frozen=True, eq=False)
class LeastSquares:
    """The data of  min ||M x - b||^2 / 2 + c'x  s.t.  x >= 0 (or x free)  and, where `row` is given,  row'x = total.

    Attributes
    ----------
    matrix : (m, n) array
        M.
    target : (m,) array
        b.
    linear : (n,) array
        c.
    row : (n,) array or None
        Without zeros.
    total : float
    nonnegative : bool
    """

    matrix: Floats
    target: Floats
    linear: Floats
    row: Floats | None = None
    total: float = 1.0
    nonnegative: bool = True

    def with_ridge(self, ridge: float) -> LeastSquares:
        """Return the problem with  ridge ||x||^2 / 2  added, as rows of M."""
        if ridge == 0:
            return self
        n = self.matrix.shape[1]
        return dataclasses.replace(
            self,
            matrix=np.vstack([self.matrix, np.sqrt(ridge) * np.eye(n)]),
            target=np.concatenate([self.target, np.zeros(n)]),
        )

    def value(self, x: Floats) -> float:
        """Return the objective."""
        residual = self.matrix @ x - self.target
        return 0.5 * float(residual @ residual) + float(self.linear @ x)


@dataclasses.dataclass(frozen=True, eq=False)
class Minimum:
    """Where the method ended.

    Attributes
    ----------
    x : (n,) array
    optimal : bool
        Whether the optimality conditions hold to rounding.
    iterations : int
        Least-squares solves.
    active : int array or None
        Columns that can be positive at some solution, where that is known: those whose reduced cost is zero. At any
        other solution the residuals are the same (the objective is strictly convex in them), hence the reduced costs
        too; and a column with a positive one is zero (complementary slackness).
    ray : (n,) array or None
        A direction in which the objective falls without end; `x` is then a point to go from.
    unique : bool
        Whether it is certain that no other solution exists; False where that takes a closer look.
    """

    x: Floats
    optimal: bool
    iterations: int
    active: Ints | None = None
    ray: Floats | None = None
    unique: bool = False


def solve(problem: LeastSquares, *, start: Floats | None = None) -> Minimum:
    """Solve a least-squares problem exactly (up to rounding).

    Parameters
    ----------
    problem : LeastSquares
    start : (n,) array, optional
        Weights to start from, such as those of a neighbouring problem. What is negative in them is taken as zero.

    Returns
    -------
    Minimum

    Examples
    --------
    >>> import numpy as np
    >>> donors = np.array([[0.0, 4.0, 9.0], [0.0, 0.0, 9.0]])
    >>> problem = LeastSquares(donors, np.array([1.0, -1.0]), np.zeros(3), row=np.ones(3))
    >>> solve(problem).x
    array([0.75, 0.25, 0.  ])
    """
    return _ActiveSet(problem, start).run() if problem.nonnegative else _solve_free(problem)


@dataclasses.dataclass(frozen=True, eq=False)
class _Reduced:
    """The problem in some columns, of which a pivot makes up for what the others change in row'x.

    `others` are all but the pivot, `ratio` their entries of the row beside its own (None without a row), and `at` is
    the pivot's value where they are zero. `matrix`, `target`, `linear` and `size` (at least the columns' norms) are of
    the others alone.
    """

    matrix: Floats
    target: Floats
    linear: Floats
    size: Floats
    others: Bools
    ratio: Floats | None
    at: float

    def complete(self, values: Floats, at: float) -> Floats:
        """Return all values from those of the others; the pivot's is `at` where they are zero."""
        if self.ratio is None:
            return values
        whole = np.empty(len(self.others))
        whole[self.others] = values
        whole[~self.others] = at - float(self.ratio @ values)
        return whole

    def direction(self, x: Floats, r: Floats, k: int) -> Floats:
        """Return a direction that does not rise, by column k, which depends on those before it in the triangle r."""
        move = np.zeros(len(self.linear))
        move[k] = 1.0
        if k:
            move[:k] = -lapack.dtrtrs(r[:k, :k], r[:k, k])[0]
        residual = self.matrix @ x[self.others] - self.target
        slope = float(self.linear @ move) + float((self.matrix @ move) @ residual)
        size = float(np.linalg.norm(residual)) * float(self.size @ np.abs(move))
        terms = float(np.abs(self.linear) @ np.abs(move)) + size
        direction = self.complete(move, 0.0)
        if slope > 0:
            direction = -direction
        if not (direction < 0).any() and abs(slope) <= LEVEL * terms:
            direction = -direction  # level to rounding: the way that ends
        return direction


class _ActiveSet:
    """The state of a run: the weights, and the columns that are free, the newest last."""

    def __init__(self, problem: LeastSquares, start: Floats | None) -> None:
        self.problem = problem
        self.matrix = np.asfortranarray(problem.matrix)
        self.norms = np.sqrt(np.einsum("ij,ij->j", self.matrix, self.matrix))
        self.x = self._first_point(start)
        self.free = np.flatnonzero(self.x > 0)
        self.independent = not len(self.free)  # whether the free columns are, certainly
        self.iterations = 0

    def _first_point(self, start: Floats | None) -> Floats:
        problem, n = self.problem, self.matrix.shape[1]
        x = np.zeros(n) if start is None else np.maximum(start, 0.0)
        if problem.row is None:
            return x
        total = float(problem.row @ x)
        if total * problem.total > 0:
            return np.asarray(x * (problem.total / total))
        # the best vertex
        size = np.where(problem.row * problem.total > 0, problem.total / problem.row, np.nan)
        residual = self.matrix * size - problem.target[:, None]
        values = 0.5 * np.einsum("ij,ij->j", residual, residual) + problem.linear * size
        best = int(np.nanargmin(values))
        x = np.zeros(n)
        x[best] = size[best]
        return x

    def run(self) -> Minimum:
        problem, n = self.problem, len(self.x)
        refused: list[int] = []
        entered = -1
        for _ in range(20 * n + 100):
            if len(self.free):
                outcome = self._descend(entered)
                if outcome is not None:
                    return Minimum(self.x, False, self.iterations, ray=outcome)
                if entered >= 0 and self.x[entered] == 0:  # rounding: it came straight back
                    refused.append(entered)
                else:
                    refused.clear()
            gradient, noise = self._reduced_costs()
            gradient[self.free] = np.inf
            gradient[refused] = np.inf
            if not (gradient < -noise).any():
                undecided = gradient <= UNDECIDED * noise
                undecided[self.free] = undecided[refused] = True
                active = np.flatnonzero(undecided)
                optimal = not refused or self._nearly_optimal(refused)
                unique = optimal and len(active) == len(self.free) and self.independent
                return Minimum(self.x, optimal, self.iterations, active=active, unique=unique)
            scale = np.where(self.norms > 0, self.norms, 1.0)
            entered = int(np.argmin(np.where(gradient < -noise, gradient / scale, np.inf)))
            if problem.row is not None and problem.row[entered] * problem.total < 0 and not len(self.free):
                return Minimum(self.x, False, self.iterations)
            self.free = np.append(self.free, entered)
        return Minimum(self.x, False, self.iterations)

    def _descend(self, entered: int) -> Floats | None:
        """Go to the minimiser over the free columns, shrinking them where weights reach zero; return a ray if any."""
        while len(self.free):
            self.iterations += 1
            x = self.x[self.free]
            goal, direction = self._step(x)
            if direction is None:
                step = goal - x
                if (goal > 0).all():
                    self.x[self.free] = goal
                    return None
                falling = goal <= 0
                longest = 1.0
            else:
                step, falling, longest = direction, direction < 0, np.inf
                if not falling.any():
                    ray = np.zeros(len(self.x))
                    ray[self.free] = direction
                    return ray
            # A new column at zero that would have to go below leaves at once, without a step.
            room = np.divide(x, -step, out=np.full(len(x), np.inf), where=falling & (step < 0))
            room[falling & (step >= 0)] = 0.0
            length = min(float(room.min()), longest)
            moved = np.maximum(x + length * step, 0.0)
            leaves = falling & (room <= length * (1 + 1e-12))
            moved[leaves] = 0.0
            self.x[self.free] = moved
            self.free = self.free[~leaves]
        return None

    def _step(self, x: Floats) -> tuple[Floats, Floats | None]:
        """Return the minimiser over the free columns; or, where these are dependent, a direction that does not rise."""
        part = self._reduced(x)
        p = part.matrix.shape[1]
        if p == 0:
            self.independent = True
            return np.array([part.at]), None
        both = np.concatenate([part.matrix, part.target[:, None]], axis=1)
        triangle = lapack.dgeqrf(both, lwork=WORK * (p + 1))[0]
        r, goal = triangle[:p, :p], triangle[:p, p]  # below the diagonal of r are the reflections
        diagonal = np.zeros(p)
        diagonal[: len(r)] = np.abs(np.diagonal(r))
        dependent = np.flatnonzero(diagonal <= DEPENDENCE * part.size)
        if len(dependent):
            return x, part.direction(x, r, int(dependent[0]))
        if part.linear.any():
            goal = goal - lapack.dtrtrs(r, part.linear, trans=1)[0]
        goal = lapack.dtrtrs(r, goal)[0]
        # (dtrtrs with several right-hand sides would start threads, which takes ms where cores are busy.)
        # Scaled to columns of length one, r has no singular value below 1 / the norm of its inverse.
        inverse = np.triu(lapack.dtrtri(r)[0]) * part.size[:, None]
        self.independent = bool(np.sum(inverse * inverse) * p < UNIQUE**2)
        return part.complete(goal, part.at), None

    def _reduced(self, x: Floats) -> _Reduced:
        """Return the problem in the free columns; where a row is given, without the pivot among them."""
        problem, free = self.problem, self.free
        own, linear, size = self.matrix[:, free], problem.linear[free], self.norms[free]
        others = np.ones(len(free), dtype=bool)
        if problem.row is None:
            return _Reduced(own, problem.target, linear, size, others, None, 0.0)
        pivot = int(np.argmax(x))
        row = problem.row[free] / problem.row[free[pivot]]
        at = problem.total / problem.row[free[pivot]]
        others[pivot] = False
        ratio, column = row[others], own[:, pivot]
        return _Reduced(
            own[:, others] - column[:, None] * ratio,
            problem.target - at * column,
            linear[others] - linear[pivot] * ratio,
            np.maximum(size[others], size[pivot] * np.abs(ratio)),
            others,
            ratio,
            at,
        )

    def _reduced_costs(self) -> tuple[Floats, Floats]:
        """Return each column's reduced cost, and the size below which it is rounding."""
        problem, matrix = self.problem, self.matrix
        used = self.free
        residual = matrix[:, used] @ self.x[used] - problem.target
        gradient = residual @ matrix + problem.linear
        terms = float(np.linalg.norm(problem.target)) + float(self.norms[used] @ self.x[used])
        noise = OPTIMALITY * (self.norms * terms + np.abs(problem.linear))
        if problem.row is not None:
            heaviest = used[int(np.argmax(self.x[used] * np.abs(problem.row[used])))]
            multiplier = gradient[heaviest] / problem.row[heaviest]
            noise = noise + noise[heaviest] * np.abs(problem.row / problem.row[heaviest])
            gradient = gradient - multiplier * problem.row
        return gradient, noise

    def _nearly_optimal(self, refused: list[int]) -> bool:
        gradient, noise = self._reduced_costs()
        return bool((gradient[refused] >= -UNDECIDED * noise[refused]).all())


def _solve_free(problem: LeastSquares) -> Minimum:
    """Solve without signs: one least-squares system; of several solutions the shortest."""
    n = problem.matrix.shape[1]
    origin, basis = np.zeros(n), np.eye(n)
    if problem.row is not None:
        origin = problem.row * (problem.total / float(problem.row @ problem.row))
        basis = np.linalg.qr(problem.row[:, None], mode="complete")[0][:, 1:]
    left, singular, right = np.linalg.svd(problem.matrix @ basis, full_matrices=True)
    rank = int((singular > DEPENDENCE * max(float(singular.max(initial=0.0)), 1e-300)).sum())
    slope = right @ (basis.T @ problem.linear)
    level = slope[rank:]
    if len(level) and np.abs(level).max() > 1e-10 * float(np.abs(problem.linear).max()):
        return Minimum(origin, False, 1, ray=-basis @ (right[rank:].T @ level))
    goal = left.T[:rank] @ (problem.target - problem.matrix @ origin)
    z = right[:rank].T @ (goal / singular[:rank] - slope[:rank] / singular[:rank] ** 2)
    return Minimum(origin + basis @ z, True, 1, active=np.arange(n))
