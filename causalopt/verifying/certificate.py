"""Proofs by duality, recomputed from a program's arrays: bounds, multipliers and infeasibility.

In minimising form the program is  min x'Qx/2 + c'x  over  row_lower <= Ax <= row_upper,  lower <= x <= upper.  For
any multipliers y of the rows (y > 0 on lower sides, y < 0 on upper sides) weak duality gives the lower bound

    sum_i (y_i row_lower_i if y_i > 0 else y_i row_upper_i)  +  min over the box of  x'Qx/2 + (c - A'y)'x.

The inner minimum is taken exactly where Q is diagonal; else x'Qx/2 is replaced by its tangent at the given point,
which lies below it because Q is positive semidefinite. Whatever y is, the bound is valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.modeling.matrices import symmetric_product
from causalopt.modeling.program import Bools, Floats, ProblemClass, Program

#: A row or column within this (relative) distance of its bound counts as active when multipliers are recovered.
ACTIVITY_TOLERANCE = 1e-6

#: What rounding may leave of a zero, relative to the sum of the absolute terms.
ROUNDING = 2.0**-50

#: Largest number of nonzeros of the active rows for which multipliers are recovered.
RECOVERY_LIMIT = 3_000_000

#: Largest number of nonzeros for which a claim of infeasibility without multipliers is looked into, and for how long.
PHASE_ONE_LIMIT = 300_000
PHASE_ONE_SECONDS = 5.0


def _sign(program: Program) -> float:
    """Return what turns the program's objective into its minimising form."""
    return -1.0 if program.maximize else 1.0


def feasible_multipliers(program: Program, y: Floats) -> Floats:
    """Return minimising multipliers with those set to zero that lean on an open side of a row."""
    y = np.where((y > 0) & np.isneginf(program.row_lower), 0.0, y)
    return np.where((y < 0) & np.isposinf(program.row_upper), 0.0, y)


def _row_terms(program: Program, y: Floats) -> float:
    lower = np.where(y > 0, program.row_lower, 0.0)
    upper = np.where(y < 0, program.row_upper, 0.0)
    return float(y @ np.where(y > 0, lower, upper))


def dual_bound(program: Program, x: Floats, row_dual: Floats) -> tuple[float, float]:
    """Return the bound that multipliers prove on the objective of a convex program, and the dual residual.

    Parameters
    ----------
    program : Program
        An LP or convex QP (integrality is ignored: the bound holds for the relaxation).
    x : (n,) array
        The point at which a non-diagonal Q is linearised, and the scale for the residual.
    row_dual : (m,) array
        Multipliers in the program's own sense (derivative of the objective).

    Returns
    -------
    bound : float
        In the program's own sense. Exact weak duality, but for reduced costs of the wrong sign on columns without
        the bound that they would need: each of these is charged as if the column could move by 1 + |x_j|.
    residual : float
        The largest such reduced cost, relative to the size of the terms it is the sum of.

    Notes
    -----
    A reduced cost that is no larger than the rounding error of the sum it comes from is zero: a box of 1e9 would
    charge it with a billion times that error.
    """
    sign = _sign(program)
    c = sign * program.c
    y = feasible_multipliers(program, sign * row_dual)
    bound = _row_terms(program, y)
    reduced = program.transposed_product(y)
    np.subtract(c, reduced, out=reduced)
    at = np.where(reduced > 0, program.lower, program.upper)
    at[reduced == 0] = 0.0
    curvature = None if program.curvature is None else sign * program.curvature
    if curvature is not None and curvature.min(initial=0.0) >= 0:
        curved = curvature > 0
        best = np.divide(-reduced, curvature, out=np.zeros_like(reduced), where=curved)
        np.copyto(at, np.clip(best, program.lower, program.upper, out=best), where=curved)
        bound += 0.5 * float(curvature @ np.square(at, out=best, where=curved))
    elif program.Q is not None:
        qx = sign * program.hessian_product(x)
        reduced = reduced + qx
        bound -= 0.5 * float(x @ qx)
        at = np.where(reduced > 0, program.lower, program.upper)
        at[reduced == 0] = 0.0
    _forget_rounding(program, c, y, x, reduced, at)
    open_side = np.flatnonzero(~np.isfinite(at))
    at[open_side] = 0.0
    bound += float(reduced @ at)
    residual = 0.0
    if len(open_side):
        excess = np.abs(reduced[open_side])
        bound -= float(excess @ (1.0 + np.abs(x[open_side])))
        largest = float(np.abs(c).max(initial=0.0))
        # Without a cost of its own, a column is held to the size of the others'.
        floor = np.where(np.abs(c[open_side]) > 1e-12 * largest, 0.0, min(1.0, largest or 1.0))
        scale = np.maximum(np.maximum(_terms(program, c, y, x, open_side), excess), floor)
        residual = float((excess / scale).max())
    return sign * bound + program.constant, residual


def _forget_rounding(program: Program, c: Floats, y: Floats, x: Floats, reduced: Floats, at: Floats) -> None:
    """Set reduced costs that are a rounding error to zero, where the bound that they charge is far away."""
    far = np.flatnonzero((np.abs(at) > 1e3 * (1.0 + np.abs(x))) & (reduced != 0))
    if len(far):
        nothing = far[np.abs(reduced[far]) <= ROUNDING * _terms(program, c, y, x, far)]
        reduced[nothing] = at[nothing] = 0.0


def _terms(program: Program, c: Floats, y: Floats, x: Floats, columns: Any) -> Floats:
    """Return the sum of the absolute terms of some columns' reduced costs."""
    terms = np.abs(c[columns]) + np.asarray(abs(program.A[:, columns]).T @ np.abs(y))
    if program.Q is not None:
        terms += symmetric_product(abs(program.Q), np.abs(x))[columns]
    return np.asarray(terms, dtype=float)


def complementary(program: Program, x: Floats, row_dual: Floats) -> Floats:
    """Return multipliers without those of rows that are not at a side: next to a far side they cost dear.

    Parameters
    ----------
    program : Program
        An LP or convex QP.
    x : (n,) array
        A solution.
    row_dual : (m,) array
        Its multipliers, to some digits.
    """
    low, high, _, _ = active_sides(program, x)
    return np.where(low | high, row_dual, 0.0)


def active_sides(program: Program, x: Floats) -> tuple[Bools, Bools, Bools, Bools]:
    """Return which rows are at their lower and upper bounds, and which columns."""

    def near(value: Floats, bound: Floats, scale: Floats) -> Bools:
        finite = np.isfinite(bound)
        distance = np.abs(value - np.where(finite, bound, 0.0))
        return finite & (distance <= ACTIVITY_TOLERANCE * np.maximum(scale, np.abs(np.where(finite, bound, 0.0))))

    activity = program.A @ x
    row_scale = np.maximum(abs(program.A).max(axis=1).toarray().ravel() if program.A.nnz else 0.0, 1e-300)
    column_scale = np.minimum(1.0, np.maximum(np.abs(x).max(initial=0.0), 1e-300)) * np.ones_like(x)
    return (
        near(activity, program.row_lower, row_scale),
        near(activity, program.row_upper, row_scale),
        near(x, program.lower, column_scale),
        near(x, program.upper, column_scale),
    )


def recovered_multipliers(program: Program, x: Floats) -> Iterator[Floats]:
    """Find row multipliers that explain why x is optimal, from x alone: first quickly, then decisively.

    Yields
    ------
    (m,) array in the program's own sense
        First by bounded least squares on the active rows and columns. Then from the linear program that minimises
        the gradient at x over the constraints: x is optimal for a convex program exactly where it is optimal for
        that one (Frank and Wolfe 1956), so multipliers that still leave a gap show that x is not optimal. For an LP
        that linear program is the program itself, and alone: at a degenerate vertex least squares takes long and
        stays inexact. Nothing where the program is too large to try.
    """
    if program.A.nnz > RECOVERY_LIMIT:
        return
    if program.Q is not None:
        yield _least_squares_multipliers(program, x)
    linearised = _linear_program_multipliers(program, x)
    if linearised is not None:
        yield linearised
    elif program.Q is None:
        yield _least_squares_multipliers(program, x)


def _linear_program_multipliers(program: Program, x: Floats) -> Floats | None:
    from scipy.optimize import linprog

    sign = _sign(program)
    equal = program.row_lower == program.row_upper
    low, high = ~equal & np.isfinite(program.row_lower), ~equal & np.isfinite(program.row_upper)
    answer = linprog(
        sign * program.gradient(x),
        A_ub=sp.vstack([-program.A[low], program.A[high]]) if low.any() or high.any() else None,
        b_ub=np.concatenate([-program.row_lower[low], program.row_upper[high]]) if low.any() or high.any() else None,
        A_eq=program.A[equal] if equal.any() else None,
        b_eq=program.row_lower[equal] if equal.any() else None,
        bounds=np.column_stack([program.lower, program.upper]),
        method="highs",
    )
    if answer.status != 0:
        return None
    y = np.zeros(program.n_rows)
    if equal.any():
        y[equal] = answer.eqlin.marginals
    if low.any() or high.any():
        y[low] -= answer.ineqlin.marginals[: low.sum()]
        y[high] += answer.ineqlin.marginals[low.sum() :]
    return sign * y


def _least_squares_multipliers(program: Program, x: Floats) -> Floats:
    """Find y and z, of the signs that the active sides allow, with  Qx + c = A'y + z  as nearly as possible."""
    from scipy.optimize import lsq_linear

    sign = _sign(program)
    low_row, high_row, low_column, high_column = active_sides(program, x)
    rows = np.flatnonzero(low_row | high_row)
    columns = np.flatnonzero(low_column | high_column)
    active = program.A[rows]
    y = np.zeros(program.n_rows)
    if len(rows) == 0:
        return y
    gradient = sign * program.gradient(x)
    n = program.n_columns
    unit = sp.csr_matrix((np.ones(len(columns)), (columns, np.arange(len(columns)))), shape=(n, len(columns)))
    matrix = sp.hstack([active.T, unit], format="csr")
    allowed_low = np.concatenate([high_row[rows], high_column[columns]])
    allowed_high = np.concatenate([low_row[rows], low_column[columns]])
    bounds = (np.where(allowed_low, -np.inf, -1e-300), np.where(allowed_high, np.inf, 1e-300))
    scale = np.maximum(np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel()), 1e-300)
    scaled = matrix @ sp.diags_array(1.0 / scale)
    with np.errstate(all="ignore"):  # a step of zero inside is no concern: the bound is what judges the fit
        if matrix.shape[0] * matrix.shape[1] <= 2_000_000:
            fit = lsq_linear(scaled.toarray(), gradient, bounds, method="trf", lsq_solver="exact", tol=1e-14)
        else:
            fit = lsq_linear(scaled.tocsr(), gradient, bounds, lsmr_tol=1e-14, tol=1e-14, max_iter=100)
        found = (fit.x / scale)[: len(rows)]
    y[rows] = np.where(np.isfinite(found), found, 0.0)
    return sign * y


def farkas_margin(program: Program, multipliers: Floats) -> float:
    """Return by how much row multipliers prove infeasibility: positive is a proof.

    Every x in the box has y'Ax at most `largest`; every x that satisfies the rows has y'Ax at least `needed`. The
    margin is needed - largest, relative to the size of the terms.
    """
    y = feasible_multipliers(program, multipliers)
    needed = _row_terms(program, y)
    weights = program.transposed_product(y)
    terms = np.abs(program.A.T).dot(np.abs(y))
    at = np.where(weights > 0, program.upper, program.lower)
    nothing = np.abs(weights) <= np.where(np.isfinite(at), ROUNDING, 1e-12) * terms
    weights[nothing] = at[nothing] = 0.0
    if not np.isfinite(at).all():
        return -np.inf
    largest = float(weights @ at)
    scale = max(abs(needed), float(np.abs(weights) @ np.abs(at)), 1e-300)
    return (needed - largest) / scale


def directions(program: Program) -> Program:
    """Return the program of the best direction in which one can go for ever without leaving the constraints.

    Where the program is convex that is the LP of directions without curvature, else the steepest curve downwards.

    Parameters
    ----------
    program : Program
        Its integrality is kept, and means nothing for a direction.
    """
    A, c, q = program.A, program.c, None
    low, high = np.isfinite(program.row_lower), np.isfinite(program.row_upper)
    row_lower, row_upper = np.where(low, 0.0, -np.inf), np.where(high, 0.0, np.inf)
    if program.problem_class is ProblemClass.NONCONVEX_QP:
        c, q = np.zeros(program.n_columns), program.Q
    elif program.Q is not None:
        A = sp.vstack([A, program.Q + sp.tril(program.Q, -1).T], format="csr")
        flat = np.zeros(program.n_columns)
        row_lower, row_upper = np.concatenate([row_lower, flat]), np.concatenate([row_upper, flat])
    return program.replace(
        c=c,
        A=A,
        row_lower=row_lower,
        row_upper=row_upper,
        lower=np.where(np.isfinite(program.lower), 0.0, -1.0),
        upper=np.where(np.isfinite(program.upper), 0.0, 1.0),
        Q=q,
        constant=0.0,
        rows=(),
    )


def improving_ray(program: Program) -> Floats | None:
    """Return a direction in which an LP or convex QP improves for ever, or zero where there is none.

    None where the program is too large to try, or the search fails.

    Parameters
    ----------
    program : Program
        Taken in the units that it is in.
    """
    from scipy.optimize import linprog

    if program.A.nnz > PHASE_ONE_LIMIT:
        return None
    ways = directions(program)
    cost = _sign(program) * ways.c
    sizes = np.abs(cost[cost != 0])
    if len(sizes) == 0:
        return np.zeros(program.n_columns)
    sure = True
    equal = ways.row_lower == ways.row_upper
    low, high = ~equal & np.isfinite(ways.row_lower), ~equal & np.isfinite(ways.row_upper)
    sides = sp.vstack([-ways.A[low], ways.A[high]], format="csr")
    for unit in {float(sizes.max()), max(float(sizes.min()), 1e-9 * float(sizes.max()))}:  # a small cost is one too
        answer = linprog(
            cost / unit,
            A_ub=sides if sides.shape[0] else None,
            b_ub=np.zeros(sides.shape[0]) if sides.shape[0] else None,
            A_eq=ways.A[equal] if equal.any() else None,
            b_eq=np.zeros(int(equal.sum())) if equal.any() else None,
            bounds=np.column_stack([ways.lower, ways.upper]),
            method="highs",
            options={"time_limit": PHASE_ONE_SECONDS},
        )
        if answer.status == 0 and answer.fun < 0:
            return np.asarray(answer.x, dtype=float)
        sure &= answer.status == 0
    return np.zeros(program.n_columns) if sure else None


def phase_one(program: Program) -> tuple[Floats, Floats] | None:
    """Look for a point within all rows and bounds, integrality aside, and for the reason where there is none.

    Returns
    -------
    x : (n,) array
        The point that violates the rows least, each relative to its largest entry.
    farkas : (m,) array
        Row multipliers that prove infeasibility where x is not feasible (see `farkas_margin`).
    None where the program is too large to try, or the search fails or takes too long.
    """
    from scipy.optimize import linprog

    if program.A.nnz > PHASE_ONE_LIMIT or program.n_rows == 0 or program.n_columns == 0:
        return None
    largest = abs(program.A).max(axis=1).toarray().ravel()
    size = np.where(largest > 0, largest, 1.0)
    low, high = np.isfinite(program.row_lower), np.isfinite(program.row_upper)
    rows = sp.csr_matrix(sp.diags_array(1.0 / size) @ program.A)
    sides = sp.vstack([-rows[low], rows[high]], format="csr")
    slack = sp.eye_array(sides.shape[0], format="csr")
    answer = linprog(
        np.concatenate([np.zeros(program.n_columns), np.ones(sides.shape[0])]),
        A_ub=sp.hstack([sides, -slack], format="csr"),
        b_ub=np.concatenate([-(program.row_lower / size)[low], (program.row_upper / size)[high]]),
        bounds=np.vstack(
            [np.column_stack([program.lower, program.upper]), np.tile([0.0, np.inf], (sides.shape[0], 1))]
        ),
        method="highs",
        options={"time_limit": PHASE_ONE_SECONDS},
    )
    if answer.status != 0:
        return None
    y = np.zeros(program.n_rows)
    y[low] -= answer.ineqlin.marginals[: low.sum()]
    y[high] += answer.ineqlin.marginals[low.sum() :]
    return answer.x[: program.n_columns], y / size
