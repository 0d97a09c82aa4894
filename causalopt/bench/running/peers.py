"""Peers: the same program solved without causalopt, as a careful user of each package would write it.

Each is a backend whose `solve` gets the arrays and returns the solver's claims; only the verification is ours. Options
are the same for all: threads, time limit, gap, and for HiGHS on convex QPs the interior-point method that causalopt
chooses as well, so that what differs is the way to the solver and not its algorithm.
"""

from __future__ import annotations

import importlib.util
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from causalopt.bench.running.cpsat import CpSat
from causalopt.errors import LicenseError, SolverFailure, UnsupportedProblem
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.backend import Ability, Backend
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Reason, Solution, Termination

_LINEAR = frozenset({ProblemClass.LP, ProblemClass.MILP})
_CONVEX = _LINEAR | {ProblemClass.CONVEX_QP}
_OPTIMAL = Termination(Reason.OPTIMAL)
_STOPPED = Termination(Reason.NO_SOLUTION, Limit.TIME)
HIPO = {"solver": "hipo", "ipm_optimality_tolerance": 1e-10, "run_crossover": "off"}


class Peer(Backend):
    """What peers share: `needs` names the further package that has to be there."""

    abilities: ClassVar[frozenset[Ability]] = frozenset({Ability.TIME_LIMIT, Ability.THREADS, Ability.GAP})
    needs: ClassVar[str] = ""

    def is_installed(self) -> bool:
        """Return whether the packages are there, without importing them."""
        return all(importlib.util.find_spec(name) for name in (self.package, self.needs) if name)


class RawHighs(Peer):
    """highspy, arrays passed at once."""

    name, package, distribution, classes = "raw:highs", "highspy", "highspy", _CONVEX

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import highspy

        start = perf_counter()
        h = highspy.Highs()
        h.setOptionValue("output_flag", False)
        for name, value in {**_highs_options(options), **(HIPO if program.Q is not None else {})}.items():
            h.setOptionValue(name, value)  # HiPO is refused, and the default stays, where the extras are missing
        none = np.zeros(0, dtype=np.int32)
        q = (none, none, np.zeros(0)) if program.Q is None else _hessian(program.Q)
        a = program.A
        sense = -1 if program.maximize else 1
        h.passModel(
            program.n_columns, program.n_rows, a.nnz, len(q[2]), 2, 1, sense, program.constant, program.c,
            program.lower, program.upper, program.row_lower, program.row_upper, a.indptr[:-1], a.indices, a.data, *q,
            program.integer.astype(np.int32),
        )  # fmt: skip
        loaded = perf_counter()
        h.run()
        solved = perf_counter()
        status = h.getModelStatus()
        seconds = {"load": loaded - start, "solve": solved - loaded}
        if status != highspy.HighsModelStatus.kOptimal:
            return _unsolved(h.modelStatusToString(status), seconds)
        answer = h.getSolution()
        mip = bool(program.integer.any())
        info = h.getInfo()
        return Solution(
            _OPTIMAL,
            x=np.array(answer.col_value),
            objective=float(info.objective_function_value),
            bound=float(info.mip_dual_bound) if mip else None,
            row_dual=None if mip else np.array(answer.row_dual),
            seconds={**seconds, "extract": perf_counter() - solved},
        )


class RawGurobi(Peer):
    """gurobipy with its matrix interface; ranges as two rows."""

    name, package, distribution = "raw:gurobi", "gurobipy", "gurobipy"
    classes = frozenset(ProblemClass)
    open_source = False

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import gurobipy as gp

        start = perf_counter()
        with gp.Env(params={"OutputFlag": 0}) as env, gp.Model(env=env) as m:
            for name, value in (("TimeLimit", options.time_limit), ("Threads", options.threads)):
                if value is not None:
                    m.setParam(name, value)
            m.setParam("MIPGap", options.gap)
            kinds = np.where(program.integer, "I", "C")
            x = m.addMVar(program.n_columns, lb=program.lower, ub=program.upper, vtype=kinds)
            low, high = program.row_lower, program.row_upper
            equal = low == high
            for rows, sense, right in (
                (equal, "=", low),
                (np.isfinite(low) & ~equal, ">", low),
                (np.isfinite(high) & ~equal, "<", high),
            ):
                if rows.any():
                    m.addMConstr(program.A[rows], x, sense, right[rows])
            quadratic: Any = None if program.Q is None else 0.5 * _both_triangles(program.Q)
            m.setMObjective(quadratic, program.c, program.constant, sense=-1 if program.maximize else 1)
            loaded = perf_counter()
            try:
                m.optimize()
            except gp.GurobiError as error:
                raise _refused(error, "size-limited") from error
            solved = perf_counter()
            seconds = {"load": loaded - start, "solve": solved - loaded}
            if m.Status != gp.GRB.OPTIMAL:
                return _unsolved(f"status {m.Status}", seconds, stopped=m.Status == gp.GRB.TIME_LIMIT)
            bound = float(m.ObjBound) if program.integer.any() else None
            return Solution(_OPTIMAL, x=np.array(x.X), objective=float(m.ObjVal), bound=bound,
                            seconds={**seconds, "extract": perf_counter() - solved})  # fmt: skip


class RawScip(Peer):
    """PySCIPOpt by its expressions, for linear programs."""

    name, package, distribution, classes = "raw:scip", "pyscipopt", "PySCIPOpt", _LINEAR

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import pyscipopt

        start = perf_counter()
        m = pyscipopt.Model()
        m.hideOutput()
        m.setParam("limits/gap", options.gap)
        if options.time_limit is not None:
            m.setParam("limits/time", options.time_limit)

        def finite(value: float) -> float | None:
            return float(value) if np.isfinite(value) else None

        columns = zip(program.lower, program.upper, program.c, program.integer, strict=True)
        x = [m.addVar(vtype="I" if i else "C", lb=finite(low), ub=finite(up), obj=c) for low, up, c, i in columns]
        m.addObjoffset(program.constant)
        (m.setMaximize if program.maximize else m.setMinimize)()
        a = program.A
        for i in range(program.n_rows):
            own = slice(a.indptr[i], a.indptr[i + 1])
            body = pyscipopt.quicksum(v * x[j] for v, j in zip(a.data[own], a.indices[own], strict=True))
            low, high = finite(program.row_lower[i]), finite(program.row_upper[i])
            m.addCons(pyscipopt.scip.ExprCons(body, lhs=low, rhs=high))
        loaded = perf_counter()
        m.optimize()
        solved = perf_counter()
        seconds = {"load": loaded - start, "solve": solved - loaded}
        if m.getStatus() != "optimal":
            return _unsolved(m.getStatus(), seconds, stopped=m.getStatus() == "timelimit")
        best = m.getBestSol()
        values = np.array([m.getSolVal(best, v) for v in x])
        return Solution(_OPTIMAL, x=values, objective=float(m.getObjVal()), bound=float(m.getDualbound()),
                        seconds={**seconds, "extract": perf_counter() - solved})  # fmt: skip


class RawCplex(Peer):
    """CPLEX's own Python interface; ranges by its range rows."""

    name, package, distribution, classes = "raw:cplex", "cplex", "cplex", _LINEAR
    open_source = False

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import cplex

        start = perf_counter()
        with cplex.Cplex() as m:
            for stream in (m.set_log_stream, m.set_results_stream, m.set_warning_stream, m.set_error_stream):
                stream(None)
            m.parameters.mip.tolerances.mipgap.set(options.gap)
            m.parameters.threads.set(options.threads or 0)
            if options.time_limit is not None:
                m.parameters.timelimit.set(options.time_limit)
            kinds = {"types": ["I" if i else "C" for i in program.integer]} if program.integer.any() else {}
            bounds = {"lb": np.maximum(program.lower, -cplex.infinity).tolist(),
                      "ub": np.minimum(program.upper, cplex.infinity).tolist()}  # fmt: skip
            m.variables.add(obj=program.c.tolist(), **bounds, **kinds)
            m.objective.set_offset(program.constant)
            m.objective.set_sense(-1 if program.maximize else 1)
            _add_cplex_rows(m, program)
            loaded = perf_counter()
            try:
                m.solve()
            except cplex.exceptions.CplexError as error:
                raise _refused(error, "1016") from error
            solved = perf_counter()
            seconds = {"load": loaded - start, "solve": solved - loaded}
            answer = m.solution
            if answer.get_status_string() not in ("optimal", "integer optimal solution",
                                                  "integer optimal, tolerance"):  # fmt: skip
                return _unsolved(answer.get_status_string(), seconds)
            bound = float(answer.MIP.get_best_objective()) if program.integer.any() else None
            return Solution(_OPTIMAL, x=np.array(answer.get_values()), objective=float(answer.get_objective_value()),
                            bound=bound, seconds={**seconds, "extract": perf_counter() - solved})  # fmt: skip


def _add_cplex_rows(m: Any, program: Program) -> None:
    a, low, high = program.A, program.row_lower, program.row_upper
    indices, data = a.indices.tolist(), a.data.tolist()
    pointers = a.indptr.tolist()
    rows, senses, right, ranges = [], "", [], []
    for i in range(program.n_rows):
        if not np.isfinite(low[i]) and not np.isfinite(high[i]):
            continue
        rows.append((indices[pointers[i] : pointers[i + 1]], data[pointers[i] : pointers[i + 1]]))
        both = np.isfinite(low[i]) and np.isfinite(high[i])
        senses += "E" if low[i] == high[i] else "R" if both else "G" if np.isfinite(low[i]) else "L"
        right.append(float(low[i] if np.isfinite(low[i]) else high[i]))
        ranges.append(float(high[i] - low[i]) if both else 0.0)
    m.linear_constraints.add(lin_expr=rows, senses=senses, rhs=right, range_values=ranges)


class ScipyHighs(Peer):
    """`scipy.optimize.milp`, which is HiGHS inside SciPy."""

    name, package, distribution, classes = "scipy", "scipy", "scipy", _LINEAR

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        start = perf_counter()
        sign = -1.0 if program.maximize else 1.0
        limits = {} if options.time_limit is None else {"time_limit": options.time_limit}
        answer = milp(
            sign * program.c,
            integrality=program.integer.astype(int),
            bounds=Bounds(program.lower, program.upper),
            constraints=LinearConstraint(program.A, program.row_lower, program.row_upper),
            options={"mip_rel_gap": options.gap, **limits},
        )
        seconds = {"solve": perf_counter() - start}
        if answer.status != 0:
            return _unsolved(answer.message, seconds, stopped=answer.status == 1)
        bound = sign * answer.mip_dual_bound + program.constant if program.integer.any() else None
        return Solution(_OPTIMAL, x=answer.x, objective=program.objective(answer.x), bound=bound, seconds=seconds)


class Cvxpy(Peer):
    """CVXPY, with HiGHS for linear programs and Clarabel for convex QPs."""

    name, package, distribution, classes, needs = "cvxpy", "cvxpy", "cvxpy", _CONVEX, "clarabel"

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import cvxpy as cp

        _refuse_mixed(program)
        start = perf_counter()
        x = cp.Variable(program.n_columns, integer=bool(program.integer.any()))
        cost = program.c @ x + program.constant
        if program.Q is not None:
            full = _both_triangles(program.Q)
            cost = cost + (-0.5 if program.maximize else 0.5) * cp.quad_form(
                x, cp.psd_wrap(-full if program.maximize else full)
            )
        a, low, high = program.A, program.row_lower, program.row_upper
        equal = low == high
        constraints: list[Any] = []
        above, below = np.isfinite(low) & ~equal, np.isfinite(high) & ~equal
        constraints += [a[equal] @ x == low[equal]] if equal.any() else []
        constraints += [a[above] @ x >= low[above]] if above.any() else []
        constraints += [a[below] @ x <= high[below]] if below.any() else []
        lower, upper = np.isfinite(program.lower), np.isfinite(program.upper)
        constraints += [x[lower] >= program.lower[lower]] if lower.any() else []
        constraints += [x[upper] <= program.upper[upper]] if upper.any() else []
        task = cp.Problem((cp.Maximize if program.maximize else cp.Minimize)(cost), constraints)
        built = perf_counter()
        linear = program.Q is None
        chosen = {"solver": cp.HIGHS, "threads": options.threads or 1} if linear else {"solver": cp.CLARABEL}
        task.solve(**chosen)
        solved = perf_counter()
        inside = float(task.solver_stats.solve_time or 0.0) if task.solver_stats else 0.0
        seconds = {"build": built - start, "load": max(solved - built - inside, 0.0), "solve": inside}
        if task.status != "optimal":
            return _unsolved(task.status, seconds)
        values = np.asarray(x.value, dtype=float)
        bound = float(task.value) if program.integer.any() else None
        return Solution(_OPTIMAL, x=values, objective=program.objective(values), bound=bound, seconds=seconds)


class Linopy(Peer):
    """linopy with HiGHS, passed through its direct interface."""

    name, package, distribution, classes, needs = "linopy", "linopy", "linopy", _CONVEX, "highspy"

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import linopy
        import xarray as xr

        _refuse_mixed(program)
        start = perf_counter()
        m = linopy.Model()
        n = np.arange(program.n_columns)
        kind: dict[str, Any] = {"integer": True} if program.integer.any() else {}
        x = m.add_variables(
            lower=xr.DataArray(program.lower, coords=[("j", n)]),
            upper=xr.DataArray(program.upper, coords=[("j", n)]),
            name="x",
            **kind,
        )
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
        low, high = program.row_lower, program.row_upper
        equal = low == high
        for rows, sense, right in (
            (equal, "==", low),
            (np.isfinite(low) & ~equal, ">=", low),
            (np.isfinite(high) & ~equal, "<=", high),
        ):
            own = np.flatnonzero(rows)
            if len(own):
                m.add_constraints(body.isel(i=own), sense, xr.DataArray(right[own], coords=[("i", own)]))
        cost = (xr.DataArray(program.c, coords=[("j", n)]) * x).sum()
        if program.Q is not None:
            if not _is_diagonal(program.Q):
                raise UnsupportedProblem("linopy is asked for separable squares only")
            cost = cost + (xr.DataArray(0.5 * program.Q.diagonal(), coords=[("j", n)]) * x * x).sum()
        m.add_objective(cost, sense="max" if program.maximize else "min")
        built = perf_counter()
        more: dict[str, Any] = HIPO if program.Q is not None else {}
        status, condition = m.solve(
            solver_name="highs", io_api="direct", progress=False, **{**_highs_options(options), **more}
        )
        solved = perf_counter()
        inside = float(m.solver_model.getRunTime()) if m.solver_model is not None else 0.0
        seconds = {"build": built - start, "load": max(solved - built - inside, 0.0), "solve": inside}
        if condition != "optimal":
            return _unsolved(f"{status}: {condition}", seconds)
        answer = x.solution.values.astype(float)
        bound = program.objective(answer) if program.integer.any() else None
        return Solution(_OPTIMAL, x=answer, objective=program.objective(answer), bound=bound, seconds=seconds)


def _refuse_mixed(program: Program) -> None:
    if program.integer.any() and not program.integer.all():
        raise UnsupportedProblem("this peer is asked for programs whose variables are all integer, or none")


def _refused(error: Exception, mark: str) -> SolverFailure | LicenseError:
    """Return what a solver's own error is to us: a licence that is too small has its mark in the text."""
    return LicenseError(str(error)) if mark in str(error) else SolverFailure(str(error))


def _is_diagonal(matrix: Any) -> bool:
    entries = matrix.tocoo()
    return bool((entries.row == entries.col).all())


def _highs_options(options: SolveOptions) -> dict[str, Any]:
    limit = {} if options.time_limit is None else {"time_limit": float(options.time_limit)}
    return {"threads": options.threads or 0, "mip_rel_gap": float(options.gap), **limit}


def _hessian(q: Any) -> tuple[Any, Any, Any]:
    return q.indptr[:-1], q.indices, q.data


def _both_triangles(q: Any) -> Any:
    import scipy.sparse as sp

    return (q + sp.tril(q, -1).T).tocsc()


def _unsolved(raw: str, seconds: dict[str, float], stopped: bool | None = None) -> Solution:
    stopped = "ime limit" in raw if stopped is None else stopped
    termination = _STOPPED if stopped else Termination(Reason.NO_SOLUTION)
    return Solution(Termination(termination.reason, termination.limit, raw), seconds=seconds)


PEERS: dict[str, type[Backend]] = {
    peer.name: peer for peer in (RawHighs, RawGurobi, RawCplex, RawScip, ScipyHighs, Cvxpy, Linopy, CpSat)
}
