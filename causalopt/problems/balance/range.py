"""The range of an estimate over all balancing weights that are nearly as good as the best.

Weights of minimum variance are one choice among many that balance the covariates; where the outcome varies among units
that balance does not tell apart, weights of hardly more variance can give another estimate. The range over all weights
whose objective is within (1 + eta) of the best says how much of the estimate is due to that choice.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from causalopt import modeling
from causalopt.algorithms import dual_newton
from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Floats, Program
from causalopt.solving.attempts import run_fast_path, solve_program
from causalopt.solving.backend import get_backend
from causalopt.solving.choice import choose_backend
from causalopt.solving.extremes import Solver, extremes
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Ledger, Result
from causalopt.study.estimates import EstimateRange as EstimateRange
from causalopt.verifying.claims import Reason, Solution, Termination


def estimate_range(
    result: Any,
    outcome: Any,
    eta: float,
    *,
    contrast: tuple[Any, Any] | None = None,
    solver: str | None = None,
) -> EstimateRange:
    """Return the range of the estimate over all balanced weights whose objective is within (1 + eta) of the best.

    Under the L2 norm the objective is the (squared) distance from the base weights, hence the variance of the weights,
    and the range is found by a Lagrangian search with a certified gap (`causalopt.solving.extremes`); at eta = 0
    it is a point, since the objective is strictly convex. Under the L1 and Linf norms it is a pair of linear programs,
    and at eta = 0 it is the range over all optimal weights.

    Parameters
    ----------
    result : BalanceResult
    outcome : str, Series or array
        As in `BalanceResult.estimate`.
    eta : float
        Zero or positive.
    contrast : pair of treatment values, optional
        As in `BalanceResult.estimate`.
    solver : str, optional
        That of the result, unless given.

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> rng = np.random.default_rng(1)
    >>> df = pd.DataFrame({"t": np.repeat([0, 1], [300, 100]), "x": rng.normal(size=400)})
    >>> df["y"] = df["x"] ** 2 + 2 * df["t"]
    >>> result = co.balance(df, treatment="t", covariates=["x"], tolerance=0)
    >>> span = estimate_range(result, "y", 0.1)
    >>> span.lower < result.estimate("y").estimate < span.upper
    True
    """
    if isinstance(eta, bool) or not isinstance(eta, int | float | np.number) or not 0 <= eta < np.inf:
        raise DataError(f"{argument('eta')} is {eta!r}; it must be a number, zero or positive.")
    problem = result.problem
    y = result._outcome(outcome)
    constant, cost = _estimate_of_weights(result, y, contrast)
    program = modeling.compile_model(problem.build(result.formulation or None))
    on_columns = np.zeros(program.n_columns)
    on_columns[: len(cost)] = cost
    value = result._difference(y, contrast)
    assert result.x is not None
    best = result.x
    nothing_near = program.Q is not None and (eta == 0 or program.objective(best) <= 1e-12 * program.n_columns)
    size = float(np.abs(cost).max(initial=0.0))
    if nothing_near or size == 0:
        return EstimateRange(value, value, float(eta), 0.0)
    ends = extremes(
        program, on_columns / size, best, float(eta), _step_solver(problem, program, solver or result.solver)
    )
    low, high = (constant + size * end.value for end in ends)
    gaps = [0.0 if np.isinf(end.value) else abs(end.value - end.limit) for end in ends]
    return EstimateRange(float(low), float(high), float(eta), float(max(gaps) * size))


def _estimate_of_weights(result: Any, y: Floats, contrast: tuple[Any, Any] | None) -> tuple[float, Floats]:
    """Return the estimate as constant + cost'u in the weights u of the model, of mean one within each group."""
    problem = result.problem
    weights = result.weights.to_numpy()
    cost, constant = np.zeros(problem.n_weights), 0.0
    groups = {problem.levels.index(group.label): group for group in problem.groups}
    for sign, code in zip((1.0, -1.0), result._contrast(contrast), strict=True):
        if code is None:
            continue
        if code in groups:
            group = groups[code]
            cost[group.start : group.start + group.size] = sign * y[group.members] / group.size
        else:
            members = problem.study.codes == code
            constant += sign * float(np.average(y[members], weights=weights[members]))
    return constant, cost


def _step_solver(problem: Any, program: Program, solver: str) -> Solver:
    if solver != "dual-newton":
        backend = get_backend(solver)
        return lambda changed: solve_program(changed, backend, SolveOptions())

    def step(changed: Program) -> Result:
        moved = changed.c - program.c
        answer = _moved_dual_newton(problem, changed, moved)
        if answer.termination.reason is Reason.OPTIMAL:
            return run_fast_path(changed, solver, lambda *_: answer, SolveOptions(), None, Ledger(), "it was asked for")
        return solve_program(changed, choose_backend(changed, "auto")[0], SolveOptions())

    return step


def _moved_dual_newton(problem: Any, changed: Program, moved: Floats) -> Solution:
    """Solve with a linear cost added: sum (u - b)^2 / 2s + a'u is sum (u - (b - s a))^2 / 2s plus a constant."""
    x, dual = np.empty(changed.n_columns), np.empty(changed.n_rows)
    row = 0
    for columns, qp in problem.separable():
        own = dataclasses.replace(qp, base=qp.base - qp.spread * moved[columns])
        part = dual_newton.solve(own)
        if part.termination.reason is not Reason.OPTIMAL or part.x is None or part.row_dual is None:
            return part
        x[columns] = part.x
        dual[row : row + len(part.row_dual)] = part.row_dual
        row += len(part.row_dual)
    return Solution(Termination(Reason.OPTIMAL), x=x, objective=changed.objective(x), row_dual=dual)
