"""Why tolerances cannot be met, and the smallest that can: linear programs with elastic tolerances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from causalopt.errors import CausaloptError, InfeasibleError
from causalopt.modeling.program import Floats, Program

if TYPE_CHECKING:
    from causalopt.problems.balance import BalanceProblem, Group

#: Entries of the covariate matrix above which only the joint explanation is computed.
MOST_ENTRIES = 3_000_000


def elastic_program(problem: BalanceProblem, group: Group, elastic: Any) -> Program:
    """Return the LP of least total extra tolerance for one group.

    Columns are the weights u and, for each covariate, its extra tolerance e_p in its own unit; only those flagged in
    `elastic` (all, or one) may be positive.
    """
    r, p = group.size, len(problem.names)
    unit = problem._unit_of(group) / problem._moments.spread
    half = problem._internal_tolerance(group) * r
    matrix = sp.csr_matrix(group.rows[:-1])
    slack = sp.diags_array(unit * r)
    rows = sp.block_array([[matrix, -slack], [matrix, slack], [sp.csr_matrix(np.ones((1, r))), None]], format="csr")
    none = np.full(p, np.inf)
    return Program.from_arrays(
        np.concatenate([np.zeros(r), np.ones(p)]),
        rows,
        np.concatenate([-none, -half, [r]]),
        np.concatenate([half, none, [r]]),
        np.concatenate([np.full(r, problem.lower), np.zeros(p)]),
        np.concatenate([np.full(r, problem.upper), np.where(elastic, np.inf, 0.0)]),
    )


def _extra_tolerance(problem: BalanceProblem, group: Group, elastic: Any) -> Floats | None:
    from causalopt.solving.dispatch import choose_backend, solve_program
    from causalopt.solving.options import SolveOptions

    program = elastic_program(problem, group, elastic)
    backend, _ = choose_backend(program, "auto")
    result = solve_program(program, backend, SolveOptions())
    return None if result.x is None else result.x[group.size :]


def explain_infeasible(problem: BalanceProblem) -> InfeasibleError:
    """Return the error for tolerances that cannot be met, with a table of those that can.

    Its `explanation` has, by group and covariate: `tolerance` (asked for), `smallest alone` (the smallest that works
    with all others as asked; infinite where no value does), and `smallest jointly` (a set that works together, of
    the least total increase).
    """
    parts = []
    for group in problem.groups:
        try:
            part = _explain_group(problem, group)
        except CausaloptError as error:
            return InfeasibleError(f"The tolerances cannot be met, and no solver could explain why: {error}")
        if part is not None:
            parts.append(part)
    if not parts:
        return InfeasibleError("The tolerances cannot be met, by a margin too small to explain: loosen them slightly.")
    table = pd.concat(parts)
    short = table[table["smallest jointly"] > table["tolerance"] * (1 + 1e-9) + 1e-9]
    listed = "; ".join(
        f"{covariate} {row['tolerance']:.4g} -> {row['smallest jointly']:.4g}"
        for (_, covariate), row in short.head(6).iterrows()
    )
    return InfeasibleError(
        f"No weights meet these tolerances. The least total increase that works: {listed}"
        f"{', ...' if len(short) > 6 else ''}. See the error's explanation for each covariate alone; or drop bounds on "
        "the weights, leave out units without overlap, or coarsen the basis.",
        table.droplevel("group") if len(problem.groups) == 1 else table,
    )


def _explain_group(problem: BalanceProblem, group: Group) -> pd.DataFrame | None:
    p = len(problem.names)
    extra = _extra_tolerance(problem, group, np.ones(p, dtype=bool))
    if extra is None or extra.max() <= 1e-9:
        return None
    alone = np.full(p, np.nan)
    if group.rows.size <= MOST_ENTRIES:
        for k in range(p):
            only = np.arange(p) == k
            own = _extra_tolerance(problem, group, only)
            alone[k] = np.inf if own is None else problem.tolerance[k] + own[k]
    return pd.DataFrame(
        {
            "tolerance": problem.tolerance,
            "smallest alone": alone,
            "smallest jointly": problem.tolerance + extra,
        },
        index=pd.MultiIndex.from_product([[group.label], problem.names], names=["group", "covariate"]),
    )
