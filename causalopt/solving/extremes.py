"""The range of a linear function over all solutions whose objective is near the best.

For a convex program min f(x) and a linear e(x) = a'x, the smallest e over {x feasible: f(x) <= B} is a Lagrangian
dual of one variable: for every lam > 0

    e(x)  >=  (phi(lam) - B) / lam      where   phi(lam) = min over feasible x of  f(x) + lam e(x),

with equality at the best lam (Slater's condition holds where B exceeds the optimum). phi is the same program with
another linear cost, so every solver and fast path takes it, and its certified bound makes the limit on e certified
too. Its solution moves along straight pieces as lam grows (Best 1996, critical lines), so that a secant step in lam
that starts and ends on one piece lands exactly on f = B. Where f is linear, the set is a polyhedron and two linear
programs are the answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp

from causalopt.errors import SolverFailure, VerificationError
from causalopt.modeling.program import Floats, Program
from causalopt.solving.attempts import solve_program
from causalopt.solving.choice import choose_backend
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Result
from causalopt.verifying.claims import Reason

#: Steps of growth in lam after which the program is tried without its quadratic cost; and after which growth ends.
PATIENCE, MOST_GROWTH = 4, 20

Solver = Callable[[Program], Result]
"""Solves a program; the result is verified, and its bound certified where the program is an LP or convex QP."""


@dataclasses.dataclass(frozen=True, eq=False)
class Extreme:
    """The least or greatest value found of a linear function, and the limit that is proved.

    Attributes
    ----------
    value : float
        Attained at `x`, whose objective is within the budget.
    limit : float
        No solution within the budget goes beyond; the difference from `value` is what is not proved.
    x : (n,) array or None
        None where the function is unbounded.
    solves : int
    """

    value: float
    limit: float
    x: Floats | None
    solves: int


def extremes(
    program: Program, cost: Floats, best: Floats, eta: float, solve: Solver, tolerance: float = 1e-7
) -> tuple[Extreme, Extreme]:
    """Return the least and the greatest cost'x over all solutions with objective at most (1 + eta) times the best.

    Parameters
    ----------
    program : Program
        A minimisation: an LP, or a convex QP whose objective is positive at `best`.
    cost : (n,) array
    best : (n,) array
        Its solution.
    eta : float
        Positive for a QP; zero or positive for an LP.
    solve : callable
        Solves programs that differ from `program` in their linear cost (and for an LP by one row).
    tolerance : float
        The search ends when value and limit are this near, relative to their distance from `best`.

    Examples
    --------
    >>> import numpy as np
    >>> from causalopt.solving.backend import get_backend
    >>> from causalopt.solving.attempts import solve_program
    >>> from causalopt.solving.options import SolveOptions
    >>> program = Program.from_arrays([0.0, 0.0], [[1.0, 1.0]], 2.0, 2.0, Q=np.eye(2))
    >>> solve = lambda p: solve_program(p, get_backend("highs"), SolveOptions())
    >>> low, high = extremes(program, np.array([1.0, 0.0]), np.ones(2), 0.25, solve)
    >>> round(low.value, 5), round(high.value, 5)
    (0.5, 1.5)
    """
    if program.Q is None:
        return _linear_extremes(program, cost, best, eta, solve)
    low = _least(program, cost, best, eta, solve, tolerance)
    high = _least(program, -cost, best, eta, solve, tolerance)
    return low, Extreme(-high.value, -high.limit, high.x, high.solves)


def _linear_extremes(
    program: Program, cost: Floats, best: Floats, eta: float, solve: Solver
) -> tuple[Extreme, Extreme]:
    value = program.objective(best)
    within = program.replace(constant=0.0)
    if np.isfinite(eta):
        within = within.replace(
            A=sp.csr_matrix(sp.vstack([program.A, sp.csr_matrix(program.c)])),
            row_lower=np.append(program.row_lower, -np.inf),
            row_upper=np.append(program.row_upper, value + eta * abs(value) - program.constant),
            rows=(),
        )
    ends = []
    for sign in (1.0, -1.0):
        result = solve(within.replace(c=sign * cost))
        if result.status.reason is Reason.UNBOUNDED:
            ends.append(Extreme(-sign * np.inf, -sign * np.inf, None, 1))
            continue
        if result.x is None or result.objective is None:
            raise SolverFailure(f"{result.solver} could not solve the linear program of the range: {result.status}.")
        bound = -np.inf if result.bound is None else result.bound
        ends.append(Extreme(sign * result.objective, sign * bound, result.x, 1))
    return ends[0], ends[1]


def _least(program: Program, cost: Floats, best: Floats, eta: float, solve: Solver, tolerance: float) -> Extreme:
    value = program.objective(best)
    budget = value + eta * abs(value)
    unit = float(np.abs(cost) @ np.abs(best)) or float(np.abs(cost).max(initial=0.0))
    if unit == 0 or budget <= value:
        origin = float(cost @ best)
        return Extreme(origin, origin if unit == 0 else -np.inf, best, 0)
    return _Search(program, cost, best, budget, unit, solve, tolerance).run()


class _Search:
    """The search in lam: the largest whose solution is within the budget, the smallest beyond, and what was found."""

    def __init__(
        self, program: Program, cost: Floats, best: Floats, budget: float, unit: float, solve: Solver, tolerance: float
    ) -> None:
        self.program, self.cost, self.budget, self.solve = program, cost, budget, solve
        value, self.origin = program.objective(best), float(cost @ best)
        # Small steps first: a cost that drowns the rest is hard on solvers.
        self.lam = min(budget - value, abs(value)) / unit
        self.tolerance, self.rounding = tolerance, 1e-12 * unit
        self.inside: tuple[float, Floats] = (0.0, best)
        self.outside: tuple[float, Floats | None] | None = None
        self.found, self.at, self.limit, self.solves = self.origin, best, -np.inf, 0

    def run(self) -> Extreme:
        for self.solves in range(1, 101):
            share = self._look()
            if self.found - self.limit <= self.tolerance * (self.origin - self.found) + self.rounding:
                break
            if self.outside is None:
                if self.solves % PATIENCE == 0 and (anywhere := self._without_budget()) is not None:
                    return anywhere
                if self.solves >= MOST_GROWTH:
                    break
                self.lam *= 8.0
            elif not self._narrow(share):
                break
        return Extreme(self.found, self.limit, self.at, self.solves)

    def _look(self) -> float:
        """Solve at lam; return how far the budget reaches from the point inside to that outside."""
        result = self.solve(self.program.replace(c=self.program.c + self.lam * self.cost))
        if result.status.reason is Reason.UNBOUNDED:
            self.outside = (self.lam, None)
        elif result.x is None or result.bound is None:
            raise SolverFailure(f"{result.solver} could not solve a step of the search for the range: {result.status}.")
        else:
            self.limit = max(self.limit, (result.bound - self.budget) / self.lam)
            if self.program.objective(result.x) <= self.budget:
                self.inside = (self.lam, result.x)
            else:
                self.outside = (self.lam, result.x)
        share, candidate = 0.0, self.inside[1]
        if self.outside is not None and self.outside[1] is not None:
            share = _share(self.program, self.inside[1], self.outside[1], self.budget)
            candidate = self.inside[1] + share * (self.outside[1] - self.inside[1])
        if float(self.cost @ candidate) < self.found:
            self.found, self.at = float(self.cost @ candidate), candidate
        return share

    def _without_budget(self) -> Extreme | None:
        """Return the least anywhere where the budget does not bind at all; else None."""
        anywhere = _least_anywhere(self.program, self.cost, self.inside[1])
        if anywhere is None or anywhere.x is None or self.program.objective(anywhere.x) > self.budget:
            return None
        return dataclasses.replace(anywhere, solves=self.solves + 1)

    def _narrow(self, share: float) -> bool:
        """Set lam between inside and outside; return whether there is anything in between."""
        assert self.outside is not None
        narrow = self.outside[0] - self.inside[0]
        secant = self.outside[1] is not None and self.solves % 3
        self.lam = self.inside[0] + (share if secant else 0.5) * narrow
        return self.inside[0] < self.lam < self.outside[0]


def _least_anywhere(program: Program, cost: Floats, best: Floats) -> Extreme | None:
    """Return the least cost'x over all feasible x, by a linear program; None where no solver can say."""
    try:
        return _linear_extremes(program.replace(Q=None), cost, best, np.inf, _any_lp)[0]
    except (SolverFailure, VerificationError):  # the search goes on without it
        return None


def _any_lp(program: Program) -> Result:
    return solve_program(program, choose_backend(program, "auto")[0], SolveOptions())


def _share(program: Program, inner: Floats, outer: Floats, budget: float) -> float:
    """Return how far from `inner` to `outer` the objective, a parabola in between, reaches the budget."""
    move = outer - inner
    slope = float(program.gradient(inner) @ move)
    at_outer = program.objective(outer) - program.objective(inner)
    curvature = at_outer - slope  # f(t) = f(0) + slope t + curvature t^2
    room = budget - program.objective(inner)
    root = np.sqrt(max(slope**2 + 4 * curvature * room, 0.0))
    denominator = slope + root
    return float(np.clip(2 * room / denominator, 0.0, 1.0)) if denominator > 0 else 0.0
