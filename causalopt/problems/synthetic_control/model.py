"""The program of synthetic-control fits: Pyomo components, and the exact solution in the program's order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt import modeling
from causalopt.modeling.program import Floats, Program
from causalopt.problems.synthetic_control.fit import Fit, Point
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Result
from causalopt.verifying.claims import Reason, Solution, Termination
from causalopt.verifying.verify import verify

#: Beside the largest weight, a solver's weight below this is taken for zero when its answer is polished.
ZERO = 1e-5


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the fits lie in the program: columns weights, negative parts, intercepts, residuals; rows likewise.

    All fits of a problem have the same constraints and sizes.
    """

    n_fits: int
    n_donors: int
    n_times: int
    split: bool
    has_intercept: bool
    has_total: bool
    has_equal: bool

    @classmethod
    def of(cls, fits: Sequence[Fit]) -> Layout:
        """Return the layout of the program of some fits."""
        fit = fits[0]
        constraints = fit.constraints
        return cls(
            n_fits=len(fits),
            n_donors=fit.n_donors,
            n_times=len(fit.target),
            split=any(fit.split for fit in fits),
            has_intercept=not constraints.no_intercept,
            has_total=constraints.sum_to_one and not constraints.fixed,
            has_equal=constraints.equal and not constraints.fixed,
        )

    def _span(self, start: int, k: int, size: int) -> slice:
        return slice(start + k * size, start + (k + 1) * size)

    def weights(self, k: int) -> slice:
        """Return the columns of the weights (or their positive parts) of fit k."""
        return self._span(0, k, self.n_donors)

    def negative(self, k: int) -> slice:
        """Return the columns of the negative parts of fit k, an empty slice without."""
        return self._span(self.n_fits * self.n_donors, k, self.n_donors) if self.split else slice(0, 0)

    def intercept(self, k: int) -> slice:
        """Return the column of the intercept of fit k, an empty slice without."""
        start = self.n_fits * self.n_donors * (2 if self.split else 1)
        return self._span(start, k, 1) if self.has_intercept else slice(0, 0)

    def residual(self, k: int) -> slice:
        """Return the columns of the residuals of fit k."""
        start = self.n_fits * (self.n_donors * (2 if self.split else 1) + self.has_intercept)
        return self._span(start, k, self.n_times)

    def read(self, x: Floats, k: int) -> tuple[Floats, float]:
        """Return weights and (internal) intercept of fit k."""
        weights = x[self.weights(k)]
        if self.split:
            weights = weights - x[self.negative(k)]
        return weights, float(x[self.intercept(k)][0]) if self.has_intercept else 0.0

    def total_row(self, k: int) -> int:
        """Return the row that makes the weights of fit k sum to one."""
        return self.n_fits * self.n_times + k

    def equal_rows(self, k: int) -> slice:
        """Return the rows that make the weights of fit k equal."""
        return self._span(self.n_fits * (self.n_times + self.has_total), k, self.n_donors - 1)


def add_components(fits: Sequence[Fit], block: Any) -> tuple[dict[str, Any], Any]:
    """Add the variables and constraints of some fits to a Pyomo block; return the cost's arguments and the sense."""
    layout = Layout.of(fits)
    f, j, t = layout.n_fits, layout.n_donors, layout.n_times
    low, high = _bounds(fits[0], layout)
    block.weights = modeling.ArrayVar(low, high, n=f * j)
    weights = [block.weights]
    if layout.split:
        block.negative = modeling.ArrayVar(0.0, np.inf, n=f * j)
        weights.append(block.negative)
    variables = list(weights)
    if layout.has_intercept:
        block.intercept = modeling.ArrayVar(n=f)
        variables.append(block.intercept)
    block.residual = modeling.ArrayVar(n=f * t)
    variables.append(block.residual)
    for name, rows, target in _rows(fits, layout):
        own = variables if name == "fit" else weights
        matrix = _matrix([rows], sum(map(len, own)))
        setattr(block, name, modeling.ArrayConstraint(own, matrix, target, target))
    linear, quadratic = _costs(fits, layout)
    return {"x": variables, "linear": linear, "quadratic": quadratic, "convex": True}, modeling.pyo.minimize


def direct_program(fits: Sequence[Fit]) -> Program:
    """Return the program that `add_components` compiles to, number by number, without a Pyomo model."""
    layout = Layout.of(fits)
    linear, quadratic = _costs(fits, layout)
    n = len(linear)
    lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
    weights = slice(0, layout.n_fits * layout.n_donors)
    lower[weights], upper[weights] = _bounds(fits[0], layout)
    if layout.split:
        lower[weights.stop : 2 * weights.stop] = 0.0
    rows = list(_rows(fits, layout))
    targets = np.concatenate([target for _, _, target in rows])
    curved = np.flatnonzero(quadratic)
    pointers = np.zeros(n + 1, dtype=np.int32)
    np.cumsum(quadratic != 0, out=pointers[1:])
    return Program(
        c=linear,
        A=_matrix([own for _, own, _ in rows], n),
        row_lower=targets,
        row_upper=targets,
        lower=lower,
        upper=upper,
        integer=np.zeros(n, dtype=bool),
        Q=sp.csc_matrix((quadratic[curved], curved.astype(np.int32), pointers), shape=(n, n)),
        convex=True,
    )


def _bounds(fit: Fit, layout: Layout) -> tuple[float, float]:
    """Return the bounds of the weights (or of their positive parts)."""
    if fit.constraints.fixed:
        return 1.0 / layout.n_donors, 1.0 / layout.n_donors
    return (0.0 if fit.constraints.nonnegative or layout.split else -np.inf), np.inf


Rows = tuple[Any, Any]
"""Columns and coefficients of rows that all have equally many entries: two (rows, entries) arrays."""


def _rows(fits: Sequence[Fit], layout: Layout) -> Iterator[tuple[str, Rows, Floats]]:
    """Yield name, entries and right-hand side of each kind of row."""
    f, j, t = layout.n_fits, layout.n_donors, layout.n_times
    own = np.arange(f * j, dtype=np.int32).reshape(f, j)
    if layout.split:
        own = np.hstack([own, own + f * j])
    # residual + intercept + rows w = target
    weights = own.shape[1]
    width = weights + layout.has_intercept + 1
    data, columns = np.ones((f, t, width)), np.empty((f, t, width), dtype=np.int32)
    for k, fit in enumerate(fits):
        data[k, :, :j] = fit.rows
        if layout.split:
            data[k, :, j : 2 * j] = -fit.rows
        columns[k, :, weights:-1] = layout.intercept(k).start
    columns[:, :, :weights] = own[:, None]
    first = layout.residual(0).start
    columns[:, :, -1] = np.arange(first, first + f * t).reshape(f, t)
    targets = fits[0].target if f == 1 else np.concatenate([fit.target for fit in fits])
    yield "fit", (columns.reshape(f * t, width), data.reshape(f * t, width)), targets
    if layout.has_total:
        sides = np.ones(own.shape)
        sides[:, j:] = -1.0
        yield "total", (own, sides), np.ones(f)
    if layout.has_equal and j > 1:  # w_i - w_(i+1) = 0
        first = own.reshape(f, -1, j)[:, :, :-1].transpose(0, 2, 1).reshape(f * (j - 1), -1)
        signs = np.array([1.0, -1.0] if layout.split else [1.0])
        pairs = np.stack([first, first + 1], axis=2).reshape(len(first), -1)
        values = np.stack([signs, -signs], axis=1).ravel()
        yield "equal", (pairs, np.broadcast_to(values, pairs.shape)), np.zeros(f * (j - 1))


def _matrix(kinds: Sequence[Rows], n: int) -> Any:
    pointers = np.zeros(sum(len(columns) for columns, _ in kinds) + 1, dtype=np.int32)
    first = 1
    for columns, _ in kinds:
        pointers[first : first + len(columns)] = columns.shape[1]
        first += len(columns)
    np.cumsum(pointers, out=pointers)
    columns = np.concatenate([columns.ravel() for columns, _ in kinds])
    data = np.concatenate([data.ravel() for _, data in kinds])
    matrix = sp.csr_matrix((data, columns, pointers), shape=(len(pointers) - 1, n))
    matrix.has_canonical_format = True  # columns ascend within each row
    if not data.all():
        matrix.eliminate_zeros()
    return matrix


def _costs(fits: Sequence[Fit], layout: Layout) -> tuple[Floats, Floats]:
    n = layout.residual(layout.n_fits - 1).stop
    linear, quadratic = np.zeros(n), np.zeros(n)
    for k, fit in enumerate(fits):
        sides = [(layout.weights(k), 1.0)] + ([(layout.negative(k), -1.0)] if layout.split else [])
        for part, sign in sides:
            linear[part] = sign * fit.linear + _size_cost(fit)
            quadratic[part] = fit.l2
        quadratic[layout.residual(k)] = 1.0
    return linear, quadratic


def _size_cost(fit: Fit) -> float:
    """Return the L1 penalty where it is a linear cost."""
    return fit.l1 if fit.split or fit.constraints.nonnegative else 0.0


def solve_active_set(
    fits: Sequence[Fit],
    program: Program,
    options: SolveOptions | None = None,
    starts: Sequence[Floats] | None = None,
) -> Solution:
    """Solve the program of some fits exactly, with the linear costs that the program has now.

    Its costs on weights and intercepts may differ from the fits' own: a search for extreme effects adds to them. Where
    they do not, the solution is known since the internal unit was found, and is handed on.
    """
    layout = Layout.of(fits)
    x, dual = np.zeros(program.n_columns), np.zeros(program.n_rows)
    iterations, optimal = 0, True
    for k, fit in enumerate(fits):
        linear = program.c[layout.weights(k)] - _size_cost(fit)
        on_intercept = float(program.c[layout.intercept(k)][0]) if layout.has_intercept else 0.0
        start = starts[k] if starts is not None else None if fit.best is None else fit.best.weights
        point = fit.minimise(linear, on_intercept, start=start)
        if point.ray is not None:
            return Solution(Termination(Reason.UNBOUNDED, raw="a direction of descent without end"))
        _place(layout, k, fit, point, linear, x, dual)
        iterations += point.iterations
        optimal &= point.optimal
    reason = Reason.OPTIMAL if optimal else Reason.FEASIBLE
    return Solution(
        Termination(reason), x=x, objective=program.objective(x), row_dual=dual, method="", iterations=iterations
    )


def polish(fits: Sequence[Fit], result: Result, program: Program) -> Result:
    """Return the exact solution next to a solver's answer, verified like any other; or the answer, if that is better.

    Weights within `ZERO` of zero are taken for zero, which leaves the solver's choice of donors; from there
    `active-set` goes on, so that a wrong choice is put right.
    """
    if result.x is None:
        return result
    layout = Layout.of(fits)
    near = []
    for k in range(len(fits)):
        weights = layout.read(result.x, k)[0]
        near.append(np.where(np.abs(weights) > ZERO * np.abs(weights).max(initial=0.0), weights, 0.0))
    solution = solve_active_set([dataclasses.replace(fit, best=None) for fit in fits], program, starts=near)
    if solution.x is None:
        return result
    verified, check = verify(program, solution)
    better = check.objective is not None and result.objective is not None and check.objective <= result.objective
    if not check.passed or not (better or (check.gap is not None and check.gap < (result.gap or 0.0))):
        return result
    return dataclasses.replace(
        result,
        status=dataclasses.replace(verified.termination, raw=result.status.raw),
        objective=check.objective,
        bound=check.bound,
        gap=check.gap,
        x=verified.x,
        row_dual=verified.row_dual,
        verification=check,
        method=", ".join(part for part in (result.method, "polished") if part),
    )


def _place(layout: Layout, k: int, fit: Fit, point: Point, linear: Floats, x: Floats, dual: Floats) -> None:
    """Write the solution of one fit, and the multipliers that prove it, into those of the program."""
    w, r = point.weights, point.residual
    if layout.split:
        x[layout.weights(k)], x[layout.negative(k)] = np.maximum(w, 0.0), np.maximum(-w, 0.0)
    else:
        x[layout.weights(k)] = w
    if layout.has_intercept:
        x[layout.intercept(k)] = point.intercept
    x[layout.residual(k)] = r
    dual[k * layout.n_times : (k + 1) * layout.n_times] = r  # by the residuals' own optimality condition
    slope = linear + fit.l2 * w - r @ fit.rows
    if layout.has_total:
        if fit.constraints.nonnegative:
            dual[layout.total_row(k)] = slope.min() + fit.l1
        else:
            largest = int(np.argmax(np.abs(w)))
            dual[layout.total_row(k)] = slope[largest] + _size_cost(fit) * np.sign(w[largest])
    if layout.has_equal and layout.n_donors > 1:
        dual[layout.equal_rows(k)] = np.cumsum(slope - slope.mean())[:-1]
