"""How far constraints must give way until they can be met: one elastic program for all problems.

Given rows  l <= A x <= u  (and bounds, and whole numbers) that no point satisfies, and a matrix G >= 0 that says how
much each of some changes e >= 0 widens each row, the elastic program is

    min  cost'e   s.t.   l <= A x + s - t <= u,   s <= G e,   t <= G e,   s, t, e >= 0,   bounds on x and e.

Its optimum is the least change under which the rows can be met. A problem's own terms are a choice of G: one column a
row, a tolerance that several rows share, or one common tolerance for all. The objective of the original program plays
no part.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from causalopt.errors import CausaloptWarning, SolverNotAvailable, VerificationError
from causalopt.modeling.program import Floats, Program
from causalopt.solving.attempts import solve_program
from causalopt.solving.backend import Backend, get_backend
from causalopt.solving.choice import choose_backend
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Result
from causalopt.verifying.claims import Reason
from causalopt.verifying.feasibility import is_feasible, scaled_violations

#: What is named as the least that works is more by this part, so that it works where solvers round differently.
MARGIN = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Relaxation:
    """The least change that makes a program feasible.

    Attributes
    ----------
    extra : (g,) array
        The changes e.
    x : (n,) array
        A point of the program that is widened by them.
    total : float
        cost'e.
    without_integrality : float
        The least total where no variable need be whole; the same as `total` for a continuous program, NaN where a
        limit stopped its search.
    result : Result
        Of the elastic program: who solved it, and what is proven.
    """

    extra: Floats
    x: Floats
    total: float
    without_integrality: float
    result: Result

    @property
    def is_least(self) -> bool:
        """Whether no smaller total does, by a proof or the solver's word (see `result`)."""
        return self.result.is_optimal


def elastic_program(program: Program, give: Any, cost: Floats, upper: npt.ArrayLike = np.inf) -> Program:
    """Return the program of the least change.

    Parameters
    ----------
    program : Program
    give : (m, g) sparse matrix
        By how much each change widens each row, in the row's own unit; rows of zeros stay as they are.
    cost : (g,) array
    upper : (g,) array or float
        Bounds on the changes; zero for those that must not happen.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> program = Program.from_arrays([0.0], [[1.0], [1.0]], [3.0, -np.inf], [np.inf, 1.0])  # x >= 3 and x <= 1
    >>> elastic_program(program, sp.eye(2), np.ones(2)).describe()
    'LP, 5 columns, 4 rows, 8 nonzeros'
    """
    give = sp.csr_matrix(give, dtype=float)
    touched = np.diff(give.indptr) > 0
    low, high = (np.flatnonzero(touched & np.isfinite(bound)) for bound in (program.row_lower, program.row_upper))
    rows = np.concatenate([low, high])
    sign = np.concatenate([np.ones(len(low)), -np.ones(len(high))])
    k, g = len(rows), give.shape[1]
    slack = sp.csr_matrix((sign, (rows, np.arange(k))), shape=(program.n_rows, k))
    matrix = sp.block_array([[program.A, slack, None], [None, -sp.eye_array(k), give[rows]]], format="csr")
    n = program.n_columns
    return Program.from_arrays(
        np.concatenate([np.zeros(n + k), cost]),
        matrix,
        np.concatenate([program.row_lower, np.zeros(k)]),
        np.concatenate([program.row_upper, np.full(k, np.inf)]),
        np.concatenate([program.lower, np.zeros(k + g)]),
        np.concatenate([program.upper, np.full(k, np.inf), np.broadcast_to(upper, g)]),
        integer=np.concatenate([program.integer, np.zeros(k + g, dtype=bool)]),
    )


def widened(program: Program, give: Any, extra: Floats) -> Program:
    """Return a program whose rows give way by some changes."""
    width = give @ extra
    return program.replace(row_lower=program.row_lower - width, row_upper=program.row_upper + width)


def with_margin(least: float, unit: float = 0.0) -> float:
    """Return a little more than the least value that works: a millionth of its size, or of a unit if that is larger."""
    return least + MARGIN * max(abs(least), unit)


def least_relaxation(
    program: Program,
    give: Any,
    cost: Floats | None = None,
    *,
    upper: npt.ArrayLike = np.inf,
    solver: str = "auto",
    time_limit: float | None = None,
) -> Relaxation | None:
    """Return the least change that makes a program feasible; None where no change of this kind does, or none is found.

    Of a program with integers the continuous relaxation is solved first (what it cannot do without, nobody can), then
    the program itself. That the point found satisfies the widened rows is checked on the original arrays.

    Parameters
    ----------
    program, give, cost, upper
        As in `elastic_program`; the cost is one for each change unless given.
    solver : str
        As the user asked; where it is no backend or does not take the elastic program, an open-source one stands in.
    time_limit : float, optional
        Seconds for each of the (at most two) programs. Stopped there, the change found suffices, but is not proven
        least.

    Raises
    ------
    VerificationError
        Where the solver's point does not satisfy the widened rows.
    """
    give = sp.csr_matrix(give, dtype=float)
    weights = np.ones(give.shape[1]) if cost is None else np.asarray(cost, dtype=float)
    elastic = elastic_program(program, give, weights, upper)
    first = None
    if program.integer.any():
        relaxed = elastic.replace(integer=np.zeros(elastic.n_columns, dtype=bool))
        first = _solved(relaxed, solver, time_limit)
        if first.status.reason is Reason.INFEASIBLE:
            return None
    result = _solved(elastic, solver, time_limit)
    if result.x is None:
        return None
    n = program.n_columns
    x, extra = result.x[:n], np.maximum(result.x[len(result.x) - len(weights) :], 0.0)
    total = float(weights @ extra)
    again = widened(program, give, extra)
    if not is_feasible(again, x):
        raise VerificationError(
            f"{result.solver} found a change of {total:.6g}, but its point violates the widened rows by "
            f"{scaled_violations(again, x)[2]:.2g} of their terms.",
            str(result.status),
            result.verification,
        )
    without = total
    if first is not None:
        without = float(first.objective) if first.is_optimal and first.objective is not None else np.nan
    return Relaxation(extra, x, total, without, result)


def _solved(program: Program, solver: str, time_limit: float | None) -> Result:
    backend = elastic_backend(program, solver)
    with warnings.catch_warnings():  # what stopped it is on the relaxation
        warnings.simplefilter("ignore", CausaloptWarning)
        return solve_program(program, backend, SolveOptions(time_limit=time_limit))


def elastic_backend(program: Program, solver: str) -> Backend:
    """Return the backend asked for, or the open-source one that stands in for it."""
    if solver != "auto":
        try:
            backend = get_backend(solver)
        except SolverNotAvailable:  # a fast path's name: it has no program to relax
            backend = None
        if backend is not None and backend.fits(program):
            return backend
    return choose_backend(program, "auto")[0]
