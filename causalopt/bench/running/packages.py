"""Peers that are modelling packages: CVXPY and linopy."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from causalopt.bench.running.peer import (
    CONVEX,
    HIPO,
    OPTIMAL,
    Clock,
    Peer,
    both_triangles,
    highs_options,
    one_sided,
    unsolved,
)
from causalopt.errors import UnsupportedProblem
from causalopt.modeling.program import Program
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Solution


class Cvxpy(Peer):
    """CVXPY, with HiGHS for linear programs and Clarabel for convex QPs."""

    name, package, distribution, classes, needs = "cvxpy", "cvxpy", "cvxpy", CONVEX, "clarabel"

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import cvxpy as cp

        _refuse_mixed(program)
        clock = Clock()
        x = cp.Variable(program.n_columns, integer=bool(program.integer.any()))
        cost = program.c @ x + program.constant
        if program.Q is not None:
            full = both_triangles(program.Q)
            cost = cost + (-0.5 if program.maximize else 0.5) * cp.quad_form(
                x, cp.psd_wrap(-full if program.maximize else full)
            )
        relations = {"==": operator.eq, ">=": operator.ge, "<=": operator.le}
        constraints = [relations[sense](program.A[rows] @ x, right) for rows, sense, right in one_sided(program)]
        lower, upper = np.isfinite(program.lower), np.isfinite(program.upper)
        constraints += [x[lower] >= program.lower[lower]] if lower.any() else []
        constraints += [x[upper] <= program.upper[upper]] if upper.any() else []
        task = cp.Problem((cp.Maximize if program.maximize else cp.Minimize)(cost), constraints)
        clock.lap("build")
        linear = program.Q is None
        chosen = {"solver": cp.HIGHS, "threads": options.threads or 1} if linear else {"solver": cp.CLARABEL}
        task.solve(**chosen)
        seconds = clock.lap_inside(float(task.solver_stats.solve_time or 0.0) if task.solver_stats else 0.0)
        if task.status != "optimal":
            return unsolved(task.status, seconds)
        values = np.asarray(x.value, dtype=float)
        bound = float(task.value) if program.integer.any() else None
        return Solution(OPTIMAL, x=values, objective=program.objective(values), bound=bound, seconds=seconds)


class Linopy(Peer):
    """linopy with HiGHS, passed through its direct interface."""

    name, package, distribution, classes, needs = "linopy", "linopy", "linopy", CONVEX, "highspy"

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import linopy
        import xarray as xr

        _refuse_mixed(program)
        clock = Clock()
        m = linopy.Model()
        n = np.arange(program.n_columns)
        kind: dict[str, Any] = {"integer": True} if program.integer.any() else {}
        x = m.add_variables(
            lower=xr.DataArray(program.lower, coords=[("j", n)]),
            upper=xr.DataArray(program.upper, coords=[("j", n)]),
            name="x",
            **kind,
        )
        _add_linopy_rows(m, x, program)
        cost = (xr.DataArray(program.c, coords=[("j", n)]) * x).sum()
        if program.Q is not None:
            if not _is_diagonal(program.Q):
                raise UnsupportedProblem("linopy is asked for separable squares only")
            cost = cost + (xr.DataArray(0.5 * program.Q.diagonal(), coords=[("j", n)]) * x * x).sum()
        m.add_objective(cost, sense="max" if program.maximize else "min")
        clock.lap("build")
        more: dict[str, Any] = HIPO if program.Q is not None else {}
        status, condition = m.solve(
            solver_name="highs", io_api="direct", progress=False, **{**highs_options(options), **more}
        )
        seconds = clock.lap_inside(float(m.solver_model.getRunTime()) if m.solver_model is not None else 0.0)
        if condition != "optimal":
            return unsolved(f"{status}: {condition}", seconds)
        answer = x.solution.values.astype(float)
        bound = program.objective(answer) if program.integer.any() else None
        return Solution(OPTIMAL, x=answer, objective=program.objective(answer), bound=bound, seconds=seconds)


def _add_linopy_rows(m: Any, x: Any, program: Program) -> None:
    import linopy
    import xarray as xr

    a = program.A
    longest = int(np.diff(a.indptr).max(initial=1))
    place = np.arange(longest)[None, :] < np.diff(a.indptr)[:, None]  # rows padded to equal lengths
    columns, values = np.full(place.shape, -1), np.zeros(place.shape)
    columns[place], values[place] = a.indices, a.data
    dims = [("i", np.arange(program.n_rows)), ("_term", np.arange(longest))]
    terms = xr.Dataset(
        {
            "coeffs": xr.DataArray(values, coords=dims),
            "vars": xr.DataArray(np.where(columns >= 0, x.labels.values[columns], -1), coords=dims),
        }
    )
    body = linopy.LinearExpression(terms, m)
    for rows, sense, right in one_sided(program):
        m.add_constraints(body.isel(i=rows), sense, xr.DataArray(right, coords=[("i", rows)]))


def _refuse_mixed(program: Program) -> None:
    if program.integer.any() and not program.integer.all():
        raise UnsupportedProblem("this peer is asked for programs whose variables are all integer, or none")


def _is_diagonal(matrix: Any) -> bool:
    entries = matrix.tocoo()
    return bool((entries.row == entries.col).all())
