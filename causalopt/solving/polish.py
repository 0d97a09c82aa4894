"""One Newton step on the active constraints: from an optimum of a convex QP to a few digits to one to all digits."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.solving.verify import is_feasible

#: A row or column within this distance of a bound, relative to the size of its terms, counts as active.
NEAR = 1e-5


def polished(program: Program, x: Floats) -> Floats:
    """Return a point with a smaller gradient along the active constraints, or `x` itself where that fails.

    A solver that sees the cost through an epigraph held to 1e-9 cannot place x better than to the root of that. With
    the right guess of the active constraints the optimality conditions are linear and one solve gives all digits. The
    point is taken only where it is feasible and not worse.

    Parameters
    ----------
    program : Program
        Any but a convex QP is left alone.
    x : (n,) array

    Examples
    --------
    >>> import numpy as np
    >>> program = Program.from_arrays([-1.0, 0.0], Q=[[2.0, 1.0], [1.0, 2.0]], lower=-np.inf)
    >>> polished(program, np.array([0.6667, -0.3333])).round(9)
    array([ 0.66666667, -0.33333333])
    """
    if program.problem_class is not ProblemClass.CONVEX_QP:
        return x
    activity = program.A @ x
    row = _nearest(activity, program.row_lower, program.row_upper, abs(program.A) @ np.abs(x))
    column = _nearest(x, program.lower, program.upper, np.abs(x))
    free, rows = np.flatnonzero(np.isnan(column)), np.flatnonzero(~np.isnan(row))
    base = np.where(np.isnan(column), x, column)
    sign = -1.0 if program.maximize else 1.0
    strict = sp.tril(program.Q, -1)
    hessian = sp.csr_matrix(sign * (program.Q + strict.T))[free][:, free]
    active = program.A[rows][:, free]
    shift = 1e-12 * max(1.0, float(np.abs(program.Q.data).max()))
    kkt = sp.block_array(
        [[hessian + shift * sp.eye_array(len(free)), active.T], [active, -shift * sp.eye_array(len(rows))]],
        format="csc",
    )
    right = np.concatenate([-sign * program.gradient(base)[free], row[rows] - program.A[rows] @ base])
    if len(right) == 0:
        return x
    try:
        factors = splu(kkt)
    except RuntimeError:  # singular: active rows that depend on each other, or no curvature
        return x
    step = factors.solve(right)
    step += factors.solve(right - kkt @ step)
    point = base.copy()
    point[free] += step[: len(free)]
    better = np.isfinite(point).all() and sign * (program.objective(point) - program.objective(x)) <= 1e-9 * max(
        1.0, abs(program.objective(x))
    )
    return point if better and is_feasible(program, point) else x


def _nearest(value: Floats, lower: Floats, upper: Floats, size: Floats) -> Floats:
    """Return the bound that each value is at, NaN for none."""
    reach = NEAR * np.maximum(1.0, size)
    at = np.where(np.abs(value - lower) <= reach, lower, np.nan)
    return np.where(np.isnan(at) & (np.abs(value - upper) <= reach), upper, at)
