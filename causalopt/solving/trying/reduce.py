"""Small exact reformulations that make a program safer to hand to a solver, and the way back.

- Rows that are empty or open on both sides leave: HiPO answers wrongly, or crashes, on them.
- Rows with a single entry become bounds of their column: interior-point solvers give wrong answers on them.
- Bounds of integer columns become whole numbers: HiGHS answers wrongly where they are not.
- Bounds that cross by no more than rounding are made to meet: solvers refuse them.
- Fixed columns leave the quadratic form, where they would only look like negative curvature.
- Columns, rows and objectives in very large or small units are rescaled, see `causalopt.solving.trying.scaling`.
- A program whose rows fall into unconnected parts is split, and the parts are solved apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from causalopt.modeling.program import Bools, Floats, Ints, ProblemClass, Program
from causalopt.solving.trying.scaling import Scaling, Step, in_units_of
from causalopt.verifying.claims import Limit, Reason, Solution, Termination

#: Programs with more parts than this are solved whole: a solver call has a cost of its own.
MOST_PARTS = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Restore:
    """The way back from a reduced program: called with its solution, it returns that of the program itself.

    Attributes
    ----------
    steps : tuple of callables
        One for each reduction that changes solutions, in the order of the reductions.
    unit : (n,) array or None
        The units that the reduced program measures columns in.
    rescaled, opened : bool
        Whether columns, rows or the objective are in other units than before; whether far bounds or sides are out.
    """

    steps: tuple[Step, ...]
    unit: Floats | None = None
    rescaled: bool = False
    opened: bool = False

    @property
    def changed(self) -> bool:
        """Whether a solver's tolerances, or its numbers, are others than in the program itself."""
        return self.rescaled or self.opened

    def __call__(self, solution: Solution) -> Solution:
        """Map a solution back."""
        for step in reversed(self.steps):
            solution = step(solution)
        return solution

    def start(self, values: Floats | None) -> Floats | None:
        """Map a point of the program to the reduced one, the other way."""
        return values if values is None or self.unit is None else values / self.unit


def reduce(program: Program, scaling: Scaling | None = None) -> tuple[Program, Restore]:
    """Return an equivalent program, and what maps its solution back to `program`.

    Parameters
    ----------
    program : Program
        What a caller brought.
    scaling : Scaling, optional
        The first of `Scaling.order` by default.
    """
    steps: list[Step] = []
    scaling = scaling or Scaling.order(program.problem_class)[0]
    if program.problem_class in (ProblemClass.CONVEX_QP, ProblemClass.CONVEX_MIQP):
        program = program.replace(convex=True)  # as every program made from it will be
    for reduction in (_idle_rows_out, _singletons_to_bounds, _whole_bounds, _close_crossings, _fixed_out_of_quadratic):
        program, step = reduction(program)
        steps += [] if step is None else [step]
    scaled = in_units_of(program, scaling)
    return scaled.program, Restore((*steps, *scaled.steps), scaled.unit, scaled.rescaled, scaled.opened)


def has_crossed_bounds(program: Program) -> bool:
    """Return whether some lower bound exceeds its upper bound by more than rounding."""
    columns, rows = _rounding_crossings(program)
    return bool(
        ((program.lower > program.upper) & ~columns).any() or ((program.row_lower > program.row_upper) & ~rows).any()
    )


def _rounding_crossings(program: Program) -> tuple[Bools, Bools]:
    """Return which columns and rows have bounds that cross by so little that both mean the same number."""

    def by_rounding(lower: Floats, upper: Floats, unit: Floats | float) -> Bools:
        crossing = (lower > upper) & np.isfinite(lower) & np.isfinite(upper)
        low, high = np.where(crossing, lower, 0.0), np.where(crossing, upper, 0.0)
        return crossing & (low - high <= 1e-9 * np.maximum(unit, np.minimum(np.abs(low), np.abs(high))))

    rows = program.row_lower > program.row_upper
    if rows.any():
        largest = abs(program.A).max(axis=1).toarray().ravel() if program.A.nnz else 0.0
        rows = by_rounding(program.row_lower, program.row_upper, np.minimum(largest, 1.0))
    return by_rounding(program.lower, program.upper, 1.0), rows


def _close_crossings(program: Program) -> tuple[Program, Step | None]:
    columns, rows = _rounding_crossings(program)
    if not (columns.any() or rows.any()):
        return program, None
    closed = program.replace(
        upper=np.where(columns, program.lower, program.upper),
        row_upper=np.where(rows, program.row_lower, program.row_upper),
    )
    return closed, None


def _idle_rows_out(program: Program) -> tuple[Program, Step | None]:
    free = np.isneginf(program.row_lower) & np.isposinf(program.row_upper)
    empty = np.diff(program.A.indptr) == 0
    kept = ~(free | (empty & (program.row_lower <= 1e-9) & (program.row_upper >= -1e-9)))
    if kept.all():
        return program, None
    reduced = program.replace(
        A=program.A[kept], row_lower=program.row_lower[kept], row_upper=program.row_upper[kept], rows=()
    )

    def restore(solution: Solution) -> Solution:
        def back(multipliers: Floats | None) -> Floats | None:
            if multipliers is None:
                return None
            whole = np.zeros(program.n_rows)
            whole[kept] = multipliers
            return whole

        return solution.replace(row_dual=back(solution.row_dual), farkas=back(solution.farkas))

    return reduced, restore


def _singletons_to_bounds(program: Program) -> tuple[Program, Step | None]:
    counts = np.diff(program.A.indptr)
    single = np.flatnonzero(counts == 1)
    if len(single) == 0:
        return program, None
    column = program.A.indices[program.A.indptr[single]]
    coefficient = program.A.data[program.A.indptr[single]]
    usable = np.abs(coefficient) > 1e-12
    single, column, coefficient = single[usable], column[usable], coefficient[usable]
    ends = np.vstack([program.row_lower[single] / coefficient, program.row_upper[single] / coefficient])
    low, high = ends.min(axis=0), ends.max(axis=0)
    lower, upper = program.lower.copy(), program.upper.copy()
    np.maximum.at(lower, column, low)
    np.minimum.at(upper, column, high)
    kept = np.ones(program.n_rows, dtype=bool)
    kept[single] = False
    reduced = program.replace(
        A=program.A[kept],
        row_lower=program.row_lower[kept],
        row_upper=program.row_upper[kept],
        lower=lower,
        upper=upper,
        rows=(),
    )

    makers = _makers(program, reduced, column, low, high)

    def restore(solution: Solution) -> Solution:
        if solution.row_dual is None or solution.x is None:
            return solution.replace(row_dual=None, farkas=None)
        dual = np.zeros(program.n_rows)
        dual[kept] = solution.row_dual
        remaining = program.gradient(solution.x) - reduced.A.T @ solution.row_dual
        maker = np.where(remaining < 0 if program.maximize else remaining > 0, *makers)
        charged = np.flatnonzero((maker >= 0) & (remaining != 0))
        dual[single[maker[charged]]] = remaining[charged] / coefficient[maker[charged]]
        return solution.replace(row_dual=dual, farkas=None)

    return reduced, restore


def _makers(program: Program, reduced: Program, column: Ints, low: Floats, high: Floats) -> tuple[Ints, Ints]:
    """Return which row with one entry made each lower and each upper bound: where several did, the last; else -1."""
    lower, upper = np.full(program.n_columns, -1), np.full(program.n_columns, -1)
    binds_low = (low == reduced.lower[column]) & (low > program.lower[column])
    binds_high = (high == reduced.upper[column]) & (high < program.upper[column])
    lower[column[binds_low]] = np.flatnonzero(binds_low)
    upper[column[binds_high]] = np.flatnonzero(binds_high)
    return lower, upper


def _whole_bounds(program: Program) -> tuple[Program, Step | None]:
    """Round the bounds of integer columns inwards, but for what may be a rounding error."""
    if not program.integer.any():
        return program, None

    def rounding(bound: Floats) -> Floats:
        return np.where(np.isfinite(bound), 1e-9 * np.maximum(1.0, np.abs(bound)), 0.0)

    lower, upper = program.lower, program.upper
    rounded = program.replace(
        lower=np.where(program.integer, np.ceil(lower - rounding(lower)), lower),
        upper=np.where(program.integer, np.floor(upper + rounding(upper)), upper),
    )
    return rounded, None


def _fixed_out_of_quadratic(program: Program) -> tuple[Program, Step | None]:
    fixed = program.lower == program.upper
    if program.Q is None or not fixed.any():
        return program, None
    strict = sp.tril(program.Q, -1)
    full = (program.Q + strict.T).tocsc()
    x = np.where(fixed, program.lower, 0.0)
    moved = full @ x
    keep = sp.diags_array((~fixed).astype(float))
    quadratic = sp.csc_matrix(keep @ program.Q @ keep)
    quadratic.eliminate_zeros()
    reduced = program.replace(
        c=program.c + np.where(fixed, 0.0, moved),
        Q=quadratic if quadratic.nnz else None,
        constant=program.constant + 0.5 * float(x @ moved),
    )
    return reduced, None  # x and the row multipliers are the same


def parts(program: Program) -> list[tuple[Ints, Ints]]:
    """Return the (columns, rows) of each unconnected part worth solving apart; one part where there is nothing to gain.

    LPs stay whole: simplex gains nothing. Columns in no row and no quadratic term form one part together, and rows
    without entries go to the first.
    """
    whole = [(np.arange(program.n_columns), np.arange(program.n_rows))]
    if program.problem_class is ProblemClass.LP:
        return whole
    labels = program.components()
    sizes = np.bincount(labels)
    touched = np.zeros(program.n_columns, dtype=bool)
    touched[program.A.indices] = True
    alone = (sizes[labels] == 1) & ~touched
    if alone.any():
        labels = np.where(alone, len(sizes), labels)
        labels = np.unique(labels, return_inverse=True)[1]
    count = int(labels.max()) + 1
    if count == 1 or count > MOST_PARTS:
        return whole
    row_label = np.zeros(program.n_rows, dtype=np.int64)
    filled = np.diff(program.A.indptr) > 0
    row_label[filled] = labels[program.A.indices[program.A.indptr[:-1][filled]]]
    return [(np.flatnonzero(labels == k), np.flatnonzero(row_label == k)) for k in range(count)]


def part(program: Program, columns: Ints, rows: Ints) -> Program:
    """Return the program over some columns and rows that are unconnected with the others, without its constant."""
    return program.replace(
        c=program.c[columns],
        A=program.A[rows][:, columns],
        row_lower=program.row_lower[rows],
        row_upper=program.row_upper[rows],
        lower=program.lower[columns],
        upper=program.upper[columns],
        integer=program.integer[columns],
        Q=None if program.Q is None else program.Q[columns][:, columns].tocsc(),
        constant=0.0,
        columns=(),
        rows=(),
    )


_WORST_FIRST = (
    Reason.ERROR,
    Reason.INFEASIBLE,
    Reason.NO_SOLUTION,
    Reason.UNBOUNDED,
    Reason.FEASIBLE,
    Reason.OPTIMAL,
)


def join(program: Program, pieces: Sequence[tuple[Ints, Ints]], solutions: Sequence[Solution]) -> Solution:
    """Put the solutions of the parts together; the worst termination is that of the whole."""
    worst = min(solutions, key=lambda s: _WORST_FIRST.index(s.termination.reason))
    limit = next((s.termination.limit for s in solutions if s.termination.limit is not Limit.NONE), Limit.NONE)
    termination = Termination(worst.termination.reason, limit, worst.termination.raw)
    seconds: dict[str, float] = {}
    for solution in solutions:
        for phase, value in solution.seconds.items():
            seconds[phase] = seconds.get(phase, 0.0) + value

    def total(values: Sequence[float | None]) -> float | None:
        known = [v for v in values if v is not None]
        return sum(known) + program.constant if len(known) == len(values) else None

    def scatter(arrays: Sequence[Floats | None], positions: Sequence[Ints], size: int) -> Floats | None:
        whole = np.zeros(size)
        for array, position in zip(arrays, positions, strict=True):
            if array is None:
                return None
            whole[position] = array
        return whole

    proof = None
    for solution, (_, rows) in zip(solutions, pieces, strict=True):
        if solution.termination.reason is Reason.INFEASIBLE and solution.farkas is not None:
            proof = scatter([solution.farkas], [rows], program.n_rows)  # one impossible part is enough
    solved = termination.has_solution
    return Solution(
        termination,
        x=scatter([s.x for s in solutions], [c for c, _ in pieces], program.n_columns) if solved else None,
        objective=total([s.objective for s in solutions]) if solved else None,
        bound=total([s.bound for s in solutions]),
        row_dual=scatter([s.row_dual for s in solutions], [r for _, r in pieces], program.n_rows) if solved else None,
        farkas=proof,
        method=worst.method,
        seconds=seconds,
        iterations=sum(s.iterations or 0 for s in solutions),
        nodes=sum(s.nodes or 0 for s in solutions),
        log="\n".join(s.log for s in solutions if s.log),
        peak_memory=max((s.peak_memory for s in solutions if s.peak_memory is not None), default=None),
    )
