"""Newton steps on the active constraints: from an optimum to a few digits to one to all digits, and multipliers."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from causalopt.modeling.program import Bools, Floats, ProblemClass, Program
from causalopt.verifying.feasibility import is_feasible

#: A row or column within this distance of a bound, relative to the size of its terms, counts as active.
NEAR = 1e-5

#: How often the guess of the active constraints is mended.
MOST_GUESSES = 10

#: Programs with more entries than this are left alone: their factors may take more memory than the program.
MOST_ENTRIES = 300_000


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
    found = _Guess(program, x).step()
    if found is None:
        return x
    point, _ = found
    sign = -1.0 if program.maximize else 1.0
    better = np.isfinite(point).all() and sign * (program.objective(point) - program.objective(x)) <= 1e-9 * max(
        1.0, abs(program.objective(x))
    )
    return point if better and is_feasible(program, point) else x


def polished_pair(program: Program, x: Floats) -> tuple[Floats, Floats] | None:
    """Return a point and row multipliers that meet the conditions of optimality to rounding, or None.

    The guess of the active constraints that `x` gives is mended where the point it leads to is beyond a constraint, or
    a multiplier has the wrong sign. Whether the pair is any good is for verification to say.

    Parameters
    ----------
    program : Program
        An LP or a convex QP.
    x : (n,) array
        A point near the optimum.

    Examples
    --------
    >>> import numpy as np
    >>> program = Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], row_lower=1.0)
    >>> polished_pair(program, np.array([1.000001, 1e-7]))
    (array([1., 0.]), array([1.]))
    """
    size = program.A.nnz + (0 if program.Q is None else program.Q.nnz)
    if size > MOST_ENTRIES or program.problem_class not in (ProblemClass.LP, ProblemClass.CONVEX_QP):
        return None
    guess = _Guess(program, x)
    found = None
    for _ in range(MOST_GUESSES):
        found = guess.step()
        if found is None or not np.isfinite(found[0]).all() or guess.mended(*found):
            break
    if found is None or not (np.isfinite(found[0]).all() and np.isfinite(found[1]).all()):
        return None
    return found


class _Guess:
    """Which rows and columns are at a bound: `row` and `column` hold that bound, NaN for none."""

    def __init__(self, program: Program, x: Floats) -> None:
        self.program, self.x = program, x
        self.sign = -1.0 if program.maximize else 1.0
        self.row = _nearest(program.A @ x, program.row_lower, program.row_upper, abs(program.A) @ np.abs(x))
        self.column = _nearest(x, program.lower, program.upper, np.abs(x))
        if program.Q is None:
            self.hessian = sp.csr_matrix((program.n_columns, program.n_columns))
        else:
            self.hessian = sp.csr_matrix(self.sign * (program.Q + sp.tril(program.Q, -1).T))

    def step(self) -> tuple[Floats, Floats] | None:
        """Return the point and the row multipliers that this guess leads to, in the program's own sense."""
        program, sign = self.program, self.sign
        free, rows = np.flatnonzero(np.isnan(self.column)), np.flatnonzero(~np.isnan(self.row))
        base = np.where(np.isnan(self.column), self.x, self.column)
        hessian, active = self.hessian[free][:, free], program.A[rows][:, free]
        n, m = len(free), len(rows)
        if n + m == 0:
            return base, np.zeros(program.n_rows)
        kkt = sp.block_array([[hessian, active.T], [active, sp.csr_matrix((m, m))]], format="csc")
        # Too little to matter: where rows depend on each other or nothing curves, refinement finds one of the answers.
        shift = 1e-11 * max(1.0, float(np.abs(hessian.data).max(initial=0.0)))
        diagonal = np.concatenate([np.full(n, shift), np.full(m, -shift)])
        right = np.concatenate([-sign * program.gradient(base)[free], self.row[rows] - program.A[rows] @ base])
        try:
            factors = splu(sp.csc_matrix(kkt + sp.diags_array(diagonal)))
        except RuntimeError:  # singular even so
            return None
        step = factors.solve(right)
        error = np.inf
        for _ in range(5):
            rest = right - kkt @ step
            if not np.abs(rest).max() < error:
                break
            error = float(np.abs(rest).max())
            step = step + factors.solve(rest)
        point = base.copy()
        point[free] += step[:n]
        multipliers = np.zeros(program.n_rows)
        multipliers[rows] = -sign * step[n:]
        return point, multipliers

    def mended(self, point: Floats, multipliers: Floats) -> bool:
        """Mend the guess by a point and its multipliers, and return whether there was nothing to mend."""
        program, y = self.program, self.sign * multipliers
        reduced = self.sign * program.gradient(point) - program.transposed_product(y)
        terms = np.abs(program.gradient(point)) + abs(program.A).T @ np.abs(y)
        row = self._mended(self.row, program.A @ point, y, program.row_lower, program.row_upper, 0.0)
        column = self._mended(self.column, point, reduced, program.lower, program.upper, 1e-14 * terms)
        same = _equal(row, self.row) and _equal(column, self.column)
        self.row, self.column, self.x = row, column, np.clip(point, program.lower, program.upper)
        return same

    @staticmethod
    def _mended(
        at: Floats, value: Floats, price: Floats, lower: Floats, upper: Floats, rounding: Floats | float
    ) -> Floats:
        """Let go of bounds whose price has the wrong sign, and hold what is beyond one."""
        held = ~np.isnan(at) & (lower < upper)
        wrong = held & np.where(at == lower, price < -rounding, price > rounding)
        at = np.where(wrong, np.nan, at)
        room = 1e-9 * np.maximum(1.0, np.abs(value))
        free = np.isnan(at) & ~wrong
        at = np.where(free & (value < lower - room), lower, at)
        return np.where(free & (value > upper + room), upper, at)


def _equal(a: Floats, b: Floats) -> bool:
    same: Bools = (a == b) | (np.isnan(a) & np.isnan(b))
    return bool(same.all())


def _nearest(value: Floats, lower: Floats, upper: Floats, size: Floats) -> Floats:
    """Return the bound that each value is at, NaN for none."""
    reach = NEAR * np.maximum(1.0, size)
    at = np.where(np.abs(value - lower) <= reach, lower, np.nan)
    return np.where(np.isnan(at) & (np.abs(value - upper) <= reach), upper, at)
