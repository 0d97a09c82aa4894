"""Random convex programs whose optimum is known in closed form, because its multipliers are chosen first."""

from __future__ import annotations

import dataclasses

import numpy as np

from causalopt.modeling.program import Floats, Program

KINDS = ("linear", "diagonal", "dense")


@dataclasses.dataclass(frozen=True)
class Planted:
    """A program, an optimal point of it, and row multipliers that prove it (derivatives in the program's own sense)."""

    program: Program
    x: Floats
    row_dual: Floats

    @property
    def optimum(self) -> float:
        return self.program.objective(self.x)


def hessian(rng, n, kind):
    """A positive semidefinite matrix, singular as often as not; None for a linear objective."""
    if kind == "linear":
        return None
    if kind == "diagonal":
        return np.diag(rng.uniform(0.5, 3.0, n) * (rng.random(n) < 0.7))
    factor = rng.normal(size=(n, rng.integers(1, n + 1)))
    return factor @ factor.T


def side_by_side(value, side, distance):
    """Bounds that meet `value` on one side, on both, on neither, or are open."""
    lower = np.where(np.isin(side, ["lower", "both"]), value, value - distance)
    upper = np.where(np.isin(side, ["upper", "both"]), value, value + distance)
    lower = np.where(np.isin(side, ["open", "open below"]), -np.inf, lower)
    upper = np.where(np.isin(side, ["open", "open above"]), np.inf, upper)
    return lower, upper


def multipliers(rng, side):
    """Multipliers (of the minimising form) that complementarity allows; some active sides get zero: degeneracy."""
    size = rng.exponential(1.0, len(side)) * (rng.random(len(side)) < 0.8)
    either = rng.choice([-1.0, 1.0], len(side))
    sign = np.select([side == "lower", side == "upper", side == "both"], [1.0, -1.0, either])
    return sign * size


def planted(rng, kind, *, maximize=False, n=6, m=5, boxed=False, repeat=0):
    """Choose an optimal point with multipliers, and the costs that make it optimal.

    The rows are equalities, one-sided, ranges and free; the columns bounded, one-sided, fixed and (unless `boxed`)
    free. `repeat` adds multiples of earlier rows: redundant rows at a degenerate vertex.
    """
    A = rng.normal(size=(m, n)) * (rng.random((m, n)) < 0.7)
    row_side = rng.choice(["lower", "upper", "both", "inside", "open", "open below", "open above"], m)
    if repeat:
        again = rng.integers(0, m, repeat)
        A = np.vstack([A, A[again] * rng.uniform(0.5, 2.0, (repeat, 1))])
        row_side = np.concatenate([row_side, row_side[again]])
    sides = ["lower", "upper", "both", "inside"] + ([] if boxed else ["open", "open below", "open above"])
    column_side = rng.choice(sides, n)
    x = rng.normal(size=n)
    lower, upper = side_by_side(x, column_side, rng.uniform(0.5, 2.0, n))
    if not boxed:  # one-sided columns that sit on their bound
        upper = np.where((column_side == "lower") & (rng.random(n) < 0.5), np.inf, upper)
        lower = np.where((column_side == "upper") & (rng.random(n) < 0.5), -np.inf, lower)
    row_lower, row_upper = side_by_side(A @ x, row_side, rng.uniform(0.5, 2.0, len(row_side)))
    y, z = multipliers(rng, row_side), multipliers(rng, column_side)
    Q = hessian(rng, n, kind)
    c = A.T @ y + z - (0.0 if Q is None else Q @ x)
    sign = -1.0 if maximize else 1.0
    program = Program.from_arrays(
        sign * c,
        A,
        row_lower,
        row_upper,
        lower,
        upper,
        Q=None if Q is None else sign * Q,
        constant=rng.normal(),
        maximize=maximize,
    )
    return Planted(program, x, sign * y)


def feasible_point(rng, program, reach=10.0):
    """A vertex of the feasible set (cut off at `reach`), in a random direction; None where linprog finds none."""
    from scipy.optimize import linprog

    equal = program.row_lower == program.row_upper
    low, high = ~equal & np.isfinite(program.row_lower), ~equal & np.isfinite(program.row_upper)
    A = program.A.toarray()
    answer = linprog(
        rng.normal(size=program.n_columns),
        A_ub=np.vstack([-A[low], A[high]]),
        b_ub=np.concatenate([-program.row_lower[low], program.row_upper[high]]),
        A_eq=A[equal],
        b_eq=program.row_lower[equal],
        bounds=np.column_stack([np.maximum(program.lower, -reach), np.minimum(program.upper, reach)]),
    )
    return answer.x if answer.status == 0 else None


def roughened(rng, instance):
    """The same feasible set and optimum, written so that it hurts: in units from 1e-6 to 1e6, bounds as rows.

    Half of the columns trade their bounds for rows of one entry, some with negative coefficients, some redundant;
    empty and open rows come in between, columns without rows at the end.
    """
    program, x = instance.program, instance.x
    n = program.n_columns
    lower, upper = program.lower.copy(), program.upper.copy()
    rows, ends = [np.zeros(n), np.zeros(n), rng.normal(size=n)], [(-1.0, 0.0), (-1.0, np.inf), (-np.inf, np.inf)]
    for j in np.flatnonzero(rng.random(n) < 0.5):
        slack = rng.choice([0.3, 3.0], 2)
        for low, high in ((lower[j], np.inf), (-np.inf, upper[j]), (x[j] - slack[0], x[j] + slack[1])):
            coefficient = rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(-3, 3)
            rows.append(coefficient * np.eye(n)[j])
            ends.append(tuple(sorted((coefficient * low, coefficient * high))))
        lower[j], upper[j] = -np.inf, np.inf
    order = rng.permutation(program.n_rows + len(rows))
    unit = 10.0 ** rng.uniform(-6, 6, len(order))
    A = unit[:, None] * np.vstack([program.A.toarray(), *rows])[order]
    row_lower = unit * np.concatenate([program.row_lower, [low for low, _ in ends]])[order]
    row_upper = unit * np.concatenate([program.row_upper, [high for _, high in ends]])[order]
    money = 10.0 ** rng.uniform(-6, 6)
    rough = Program.from_arrays(
        money * np.concatenate([program.c, [0.0, -1.0 if program.maximize else 1.0]]),
        np.hstack([A, np.zeros((len(order), 2))]),
        row_lower,
        row_upper,
        np.concatenate([lower, [-1.0, 2.0]]),
        np.concatenate([upper, [1.0, np.inf]]),
        Q=None if program.Q is None else money * np.pad(full_hessian(program), (0, 2)),
        constant=money * program.constant,
        maximize=program.maximize,
    )
    return Planted(rough, np.concatenate([x, [0.0, 2.0]]), np.full(len(order), np.nan))


def full_hessian(program):
    lower_triangle = program.Q.toarray()
    return lower_triangle + np.tril(lower_triangle, -1).T


def side_by_side_programs(first, second):
    """Two programs as one whose parts do not touch, their rows and columns shuffled together."""
    a, b = first.program, second.program
    assert a.maximize == b.maximize
    n, m = a.n_columns, a.n_rows
    columns = np.argsort(np.concatenate([np.arange(n) + 0.5, np.arange(b.n_columns)]), kind="stable")
    rows = np.argsort(np.concatenate([np.arange(m) + 0.5, np.arange(b.n_rows)]), kind="stable")

    def both(name):
        return np.concatenate([getattr(a, name), getattr(b, name)])

    A, Q = block_diagonal(a.A, b.A), None
    if a.Q is not None or b.Q is not None:
        Q = block_diagonal(*(np.zeros((p.n_columns,) * 2) if p.Q is None else full_hessian(p) for p in (a, b)))
        Q = Q[columns][:, columns]
    program = Program.from_arrays(
        both("c")[columns],
        A[rows][:, columns],
        both("row_lower")[rows],
        both("row_upper")[rows],
        both("lower")[columns],
        both("upper")[columns],
        integer=both("integer")[columns],
        Q=Q,
        constant=a.constant + b.constant,
        maximize=a.maximize,
    )
    dual = np.concatenate([first.row_dual, second.row_dual])[rows]
    return Planted(program, np.concatenate([first.x, second.x])[columns], dual)


def block_diagonal(a, b):
    from scipy.sparse import block_diag

    return block_diag([a, b]).toarray()


def best_by_enumeration(program):
    """The best value over the whole numbers of an integer program in a finite box, or None where none is feasible."""
    grids = [
        np.arange(np.ceil(low), np.floor(high) + 1) for low, high in zip(program.lower, program.upper, strict=True)
    ]
    points = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, program.n_columns)
    activity = points @ program.A.toarray().T
    slack = 1e-9 * np.maximum(1e-6, np.abs(activity))
    feasible = ((activity >= program.row_lower - slack) & (activity <= program.row_upper + slack)).all(axis=1)
    if not feasible.any():
        return None
    values = points[feasible] @ program.c + program.constant
    return values.max() if program.maximize else values.min()
