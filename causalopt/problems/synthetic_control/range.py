"""Which other weights fit as well: uniqueness of the weights, and ranges over the optimal face.

All optimal weights of a fit leave the same residuals, since the objective is strictly convex in them. With w optimal,
any other is w + d with  rows d = 0,  1'd = 0 where the weights sum to one, and d_j = 0 wherever the reduced cost of a
zero weight is positive. So the optimal weights are a polyhedron, often a single point; the extremes of a weight, or of
the effect, over it are two linear programs each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
from scipy.linalg import lapack

from causalopt.modeling.program import Floats, Ints, Program
from causalopt.problems.synthetic_control.data import Study
from causalopt.problems.synthetic_control.fit import Fit
from causalopt.problems.synthetic_control.model import Layout, direct_program, solve_active_set
from causalopt.solving.attempts import run_fast_path, solve_program
from causalopt.solving.backend import get_backend
from causalopt.solving.choice import choose_backend
from causalopt.solving.extremes import extremes
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Ledger, Result
from causalopt.verifying.claims import Reason

#: Directions along which standardised rows change by less than this leave the fit as it is.
NULL = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class OptimalFace:
    """All optimal weights of a fit.

    Attributes
    ----------
    fit : Fit
    x : array
        One solution, in the variables of the fit's least-squares problem.
    columns : int array
        The variables that are not zero on all of the face.
    changes, moves : (rank, k), (k - rank, k) arrays
        Rows over these variables, scaled by `norms`: what a move changes in the fit, and the moves that change nothing.
        Without any rows where the face is a point.
    norms : (k,) array
    bounded_below : bool
        Whether the variables are nonnegative.
    """

    fit: Fit
    x: Floats
    columns: Ints
    changes: Floats
    moves: Floats
    norms: Floats
    bounded_below: bool

    @property
    def is_point(self) -> bool:
        """Whether the weights are unique."""
        return len(self.moves) == 0

    def on_variables(self, cost: Floats) -> Floats:
        """Return a linear function of the weights as one of the free variables of the face."""
        cost = np.array([cost.sum()]) if self.fit.constraints.equal else cost
        return np.asarray((np.concatenate([cost, -cost]) if self.fit.split else cost)[self.columns])

    def range(self, cost: Floats) -> tuple[float, float]:
        """Return the least and the greatest cost'w over all optimal weights w."""
        own = self.on_variables(cost)
        value = float(own @ self.x[self.columns])
        scaled_cost = own / self.norms
        size = float(np.abs(scaled_cost).max(initial=0.0))
        if self.is_point or float(np.abs(self.moves @ scaled_cost).max()) <= 1e-10 * size:
            return value, value  # no move changes it
        if not self.bounded_below:
            return -np.inf, np.inf
        return self._extreme(own, 1.0), self._extreme(own, -1.0)

    def _extreme(self, cost: Floats, sign: float) -> float:
        # in y = norms * x, whose rows are orthonormal
        at = self.changes @ (self.norms * self.x[self.columns])
        scaled_cost = cost / self.norms
        size = float(np.abs(scaled_cost).max())
        program = Program.from_arrays(sign * scaled_cost / size, self.changes, at, at, 0.0, np.inf)
        backend, _ = choose_backend(program, "auto")
        result = solve_program(program, backend, SolveOptions())
        if result.status.reason is Reason.UNBOUNDED:
            return -sign * np.inf
        assert result.objective is not None
        return sign * result.objective * size

    @cached_property
    def support(self) -> Ints:
        """Donors whose weight can be other than zero."""
        if self.fit.constraints.equal:
            return np.arange(self.fit.n_donors)
        return np.unique(self.columns % self.fit.n_donors)


def optimal_face(fit: Fit) -> OptimalFace | None:
    """Return the optimal weights of a fit, or None where there is no choice.

    There is none where weights are fixed, with an L2 penalty, and where the fit's own solution is certainly unique.
    """
    if fit.l2 > 0:
        return None
    best = fit.minimise()
    problem = None if best.unique else fit.least_squares()
    if problem is None:
        return None
    x = fit.variables_of(best.weights)
    columns = np.arange(len(x)) if best.active is None else best.active
    matrix = problem.matrix[:, columns]
    if problem.row is not None:
        matrix = np.vstack([matrix, problem.row[columns]])
    norms = np.sqrt(np.einsum("ij,ij->j", matrix, matrix))
    norms[norms <= NULL * norms.max(initial=0.0)] = 1.0
    matrix /= norms
    singular = lapack.dgesdd(matrix, compute_uv=0)[1] if matrix.size else np.empty(0)
    if np.count_nonzero(singular > NULL * singular.max(initial=0.0)) == len(columns):
        nothing = np.empty((0, len(columns)))
        return OptimalFace(fit, x, columns, nothing, nothing, norms, problem.nonnegative)
    triangle = np.linalg.qr(matrix, mode="r")
    _, singular, right = np.linalg.svd(triangle, full_matrices=True)
    rank = int((singular > NULL * max(float(singular.max(initial=0.0)), 1e-300)).sum())
    return OptimalFace(fit, x, columns, right[:rank], right[rank:], norms, problem.nonnegative)


@dataclasses.dataclass(frozen=True, eq=False)
class Effect:
    """The effect (mean gap since the treatment) as a function of the weights of one fit.

    Attributes
    ----------
    study : Study
    k : int
        Which of its fits.
    fit : Fit
    face : OptimalFace or None
    weights : (J,) array
        Those found.
    """

    study: Study
    k: int
    fit: Fit
    face: OptimalFace | None
    weights: Floats

    @cached_property
    def after(self) -> Floats:
        """Mean outcomes of the donors since the treatment."""
        return np.asarray(self.study.donor_values[self.study.n_pre :].mean(axis=0))

    @cached_property
    def constant(self) -> float:
        """The effect of weights that are all zero."""
        return float(self.study.treated_values[self.study.n_pre :, self.k].mean()) - self.fit.target_shift

    def over_optimal(self) -> tuple[float, float]:
        """Return the range over the optimal weights, each at its best intercept."""
        constant, slope = self.constant, self.fit.row_shift - self.after
        found = float(slope @ self.weights)
        low, high = (found, found) if self.face is None else self.face.range(slope)
        # rounding may leave the weights found just outside
        return constant + min(low, found), constant + max(high, found)

    def over_near_optimal(self, eta: float, solver: str) -> tuple[float, float, float]:
        """Return the range over all weights whose objective is within (1 + eta) of the best, and its gap."""
        low, high = self.over_optimal()
        if np.isinf(low) or np.isinf(high):
            return -np.inf, np.inf, 0.0
        program = direct_program([self.fit])
        cost = self._cost(program)
        # In a unit near one, so that the search starts where it should.
        size = float(np.abs(cost).max())
        if size == 0:  # donors whose mean outcome is zero since the treatment: no weights move the effect
            return low, high, 0.0
        step = _step_solver(self.fit, solver)
        best = step(program).x
        assert best is not None
        if program.objective(best) <= 1e-12 * len(self.fit.target):  # a perfect fit: nothing else is near it
            return low, high, 0.0
        ends = extremes(program, cost / size, best, eta, step)
        values = [self.constant + size * end.value for end in ends]
        return values[0], values[1], max(abs(end.value - end.limit) for end in ends) * size

    def _cost(self, program: Program) -> Floats:
        """Return the effect, less its constant, at any intercept: near-optimal intercepts differ too."""
        layout, cost = Layout.of([self.fit]), np.zeros(program.n_columns)
        on_weights = self.fit.row_shift - self.after if layout.has_intercept else -self.after
        cost[layout.weights(0)] = on_weights
        if layout.split:
            cost[layout.negative(0)] = -on_weights
        cost[layout.intercept(0)] = -self.fit.unit
        return cost


def _step_solver(fit: Fit, solver: str) -> Callable[[Program], Result]:
    """Return what solves the program of a fit with other linear costs, and verifies."""
    if solver == "active-set":
        path, options = partial(solve_active_set, [fit]), SolveOptions(gap=1e-9)
        return lambda program: run_fast_path(program, solver, path, options, None, Ledger(), "it was asked for")
    backend = get_backend(solver)
    return lambda program: solve_program(program, backend, SolveOptions())
