"""Why tolerances cannot be met, and the smallest that can: linear programs with elastic tolerances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from causalopt.errors import CausaloptError, InfeasibleError
from causalopt.modeling.program import Floats, Program
from causalopt.problems.balance_rows import RowBlock, dense_rows

if TYPE_CHECKING:
    from causalopt.problems.balance import BalanceProblem

#: Entries of the covariate matrix above which only the joint explanation is computed.
MOST_ENTRIES = 3_000_000


def elastic_program(problem: BalanceProblem, blocks: Sequence[RowBlock], elastic: Any) -> Program:
    """Return the LP of least total extra tolerance for the rows of some blocks.

    Columns are all weights and, for each block and covariate function, its extra tolerance in its own unit; only
    those flagged in `elastic` may be positive.
    """
    n, p = problem.n_weights, len(problem.names)
    matrix = dense_rows(blocks, n)
    lower, upper = np.concatenate([b.lower for b in blocks]), np.concatenate([b.upper for b in blocks])
    factor = np.concatenate([np.append(b.factor, 0.0)[b.kept] for b in blocks])  # the sum of weights stays exact
    which = np.concatenate([np.where(b.kept < p, b.kept, 0) + k * p for k, b in enumerate(blocks)])
    extra = sp.csr_array((factor, (np.arange(len(which)), which)), shape=(len(which), len(blocks) * p))
    open_side = np.full(len(which), np.inf)
    return Program.from_arrays(
        np.concatenate([np.zeros(n), np.ones(len(blocks) * p)]),
        sp.block_array([[matrix, -extra], [matrix, extra]], format="csr"),
        np.concatenate([-open_side, lower]),
        np.concatenate([upper, open_side]),
        np.concatenate([np.full(n, problem.lower), np.zeros(len(blocks) * p)]),
        np.concatenate([np.full(n, problem.upper), np.where(elastic, np.inf, 0.0)]),
    )


def _extra_tolerance(problem: BalanceProblem, blocks: Sequence[RowBlock], elastic: Any) -> Floats | None:
    from causalopt.solving.attempts import solve_program
    from causalopt.solving.dispatch import choose_backend
    from causalopt.solving.options import SolveOptions

    program = elastic_program(problem, blocks, elastic)
    backend, _ = choose_backend(program, "auto")
    result = solve_program(program, backend, SolveOptions())
    return None if result.x is None else result.x[problem.n_weights :]


def explain_infeasible(problem: BalanceProblem) -> InfeasibleError:
    """Return the error for tolerances that cannot be met, with a table of those that can.

    Its `explanation` has, by group and covariate: `tolerance` (asked for), `smallest alone` (the smallest that works
    with all others as asked; infinite where no value does), and `smallest jointly` (a set that works together, of
    the least total increase).
    """
    separate = problem.between is None
    parts = [[block] for block in problem.blocks] if separate else [list(problem.blocks)]
    tables = []
    for blocks in parts:
        try:
            table = _explain(problem, blocks)
        except CausaloptError as error:
            return InfeasibleError(f"The tolerances cannot be met, and no solver could explain why: {error}")
        if table is not None:
            tables.append(table)
    if not tables:
        return InfeasibleError("The tolerances cannot be met, by a margin too small to explain: loosen them slightly.")
    table = pd.concat(tables)
    short = table[table["smallest jointly"] > table["tolerance"] * (1 + 1e-9) + 1e-9]
    listed = "; ".join(
        f"{covariate} {row['tolerance']:.4g} -> {row['smallest jointly']:.4g}"
        for (_, covariate), row in short.head(6).iterrows()
    )
    return InfeasibleError(
        f"No weights meet these tolerances. The least total increase that works: {listed}"
        f"{', ...' if len(short) > 6 else ''}. See the error's explanation for each covariate alone; or drop bounds on "
        "the weights, leave out units without overlap, or coarsen the basis.",
        table.droplevel("group") if len(problem.blocks) == 1 else table,
    )


def _explain(problem: BalanceProblem, blocks: Sequence[RowBlock]) -> pd.DataFrame | None:
    p = len(problem.names)
    tolerance = np.concatenate([block.tolerance for block in blocks])
    elastic = np.isfinite(tolerance)
    extra = _extra_tolerance(problem, blocks, elastic)
    if extra is None or extra.max() <= 1e-9:
        return None
    alone = np.full(len(tolerance), np.nan)
    if sum(block.data.size for block in blocks) <= MOST_ENTRIES:
        for k in np.flatnonzero(elastic):
            own = _extra_tolerance(problem, blocks, np.arange(len(tolerance)) == k)
            alone[k] = np.inf if own is None else tolerance[k] + own[k]
    labels = [(block.label, name) for block in blocks for name in problem.names]
    assert len(labels) == len(blocks) * p
    return pd.DataFrame(
        {"tolerance": tolerance, "smallest alone": alone, "smallest jointly": tolerance + extra},
        index=pd.MultiIndex.from_tuples(labels, names=["group", "covariate"]),
    )
