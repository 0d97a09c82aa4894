"""Peers: the same program solved without causalopt, as a careful user of each package would write it.

Each is a backend whose `solve` gets the arrays and returns the solver's claims; only the verification is ours. Options
are the same for all: threads, time limit, gap, and for HiGHS on convex QPs the interior-point method that causalopt
chooses as well, so that what differs is the way to the solver and not its algorithm.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from causalopt.bench.running.cpsat import CpSat
from causalopt.bench.running.packages import Cvxpy, Linopy
from causalopt.bench.running.peer import (
    CONVEX,
    HIPO,
    LINEAR,
    OPTIMAL,
    Clock,
    Peer,
    both_triangles,
    highs_options,
    one_sided,
    unsolved,
)
from causalopt.errors import LicenseError, SolverFailure
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.backend import Backend
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Solution


class RawHighs(Peer):
    """highspy, arrays passed at once."""

    name, package, distribution, classes = "raw:highs", "highspy", "highspy", CONVEX

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import highspy

        clock = Clock()
        h = highspy.Highs()
        h.setOptionValue("output_flag", False)
        for name, value in {**highs_options(options), **(HIPO if program.Q is not None else {})}.items():
            h.setOptionValue(name, value)  # HiPO is refused, and the default stays, where the extras are missing
        none, q = np.zeros(0, dtype=np.int32), program.Q
        hessian = (none, none, np.zeros(0)) if q is None else (q.indptr[:-1], q.indices, q.data)
        a = program.A
        sense = -1 if program.maximize else 1
        h.passModel(
            program.n_columns, program.n_rows, a.nnz, len(hessian[2]), 2, 1, sense, program.constant, program.c,
            program.lower, program.upper, program.row_lower, program.row_upper, a.indptr[:-1], a.indices, a.data,
            *hessian, program.integer.astype(np.int32),
        )  # fmt: skip
        clock.lap("load")
        h.run()
        clock.lap("solve")
        status = h.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            return unsolved(h.modelStatusToString(status), clock.seconds)
        answer = h.getSolution()
        mip = bool(program.integer.any())
        info = h.getInfo()
        return Solution(
            OPTIMAL,
            x=np.array(answer.col_value),
            objective=float(info.objective_function_value),
            bound=float(info.mip_dual_bound) if mip else None,
            row_dual=None if mip else np.array(answer.row_dual),
            seconds=clock.lap("extract"),
        )


class RawGurobi(Peer):
    """gurobipy with its matrix interface; ranges as two rows."""

    name, package, distribution = "raw:gurobi", "gurobipy", "gurobipy"
    classes = frozenset(ProblemClass)
    open_source = False

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import gurobipy as gp

        clock = Clock()
        with gp.Env(params={"OutputFlag": 0}) as env, gp.Model(env=env) as m:
            for name, value in (("TimeLimit", options.time_limit), ("Threads", options.threads)):
                if value is not None:
                    m.setParam(name, value)
            m.setParam("MIPGap", options.gap)
            kinds = np.where(program.integer, "I", "C")
            x = m.addMVar(program.n_columns, lb=program.lower, ub=program.upper, vtype=kinds)
            for rows, sense, right in one_sided(program):
                m.addMConstr(program.A[rows], x, sense[0], right)
            quadratic: Any = None if program.Q is None else 0.5 * both_triangles(program.Q)
            m.setMObjective(quadratic, program.c, program.constant, sense=-1 if program.maximize else 1)
            clock.lap("load")
            try:
                m.optimize()
            except gp.GurobiError as error:
                raise _refused(error, "size-limited") from error
            clock.lap("solve")
            if m.Status != gp.GRB.OPTIMAL:
                return unsolved(f"status {m.Status}", clock.seconds, stopped=m.Status == gp.GRB.TIME_LIMIT)
            bound = float(m.ObjBound) if program.integer.any() else None
            values, objective = np.array(x.X), float(m.ObjVal)
            return Solution(OPTIMAL, x=values, objective=objective, bound=bound, seconds=clock.lap("extract"))


class RawScip(Peer):
    """PySCIPOpt by its expressions, for linear programs."""

    name, package, distribution, classes = "raw:scip", "pyscipopt", "PySCIPOpt", LINEAR

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import pyscipopt

        clock = Clock()
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
        clock.lap("load")
        m.optimize()
        clock.lap("solve")
        if m.getStatus() != "optimal":
            return unsolved(m.getStatus(), clock.seconds, stopped=m.getStatus() == "timelimit")
        best = m.getBestSol()
        values = np.array([m.getSolVal(best, v) for v in x])
        objective, bound = float(m.getObjVal()), float(m.getDualbound())
        return Solution(OPTIMAL, x=values, objective=objective, bound=bound, seconds=clock.lap("extract"))


class RawCplex(Peer):
    """CPLEX's own Python interface; ranges by its range rows."""

    name, package, distribution, classes = "raw:cplex", "cplex", "cplex", LINEAR
    open_source = False

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        import cplex

        clock = Clock()
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
            clock.lap("load")
            try:
                m.solve()
            except cplex.exceptions.CplexError as error:
                raise _refused(error, "1016") from error
            clock.lap("solve")
            answer = m.solution
            status = answer.get_status_string()
            if status not in ("optimal", "integer optimal solution", "integer optimal, tolerance"):
                return unsolved(status, clock.seconds)
            bound = float(answer.MIP.get_best_objective()) if program.integer.any() else None
            values, objective = np.array(answer.get_values()), float(answer.get_objective_value())
            return Solution(OPTIMAL, x=values, objective=objective, bound=bound, seconds=clock.lap("extract"))


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

    name, package, distribution, classes = "scipy", "scipy", "scipy", LINEAR

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        clock = Clock()
        sign = -1.0 if program.maximize else 1.0
        limits = {} if options.time_limit is None else {"time_limit": options.time_limit}
        answer = milp(
            sign * program.c,
            integrality=program.integer.astype(int),
            bounds=Bounds(program.lower, program.upper),
            constraints=LinearConstraint(program.A, program.row_lower, program.row_upper),
            options={"mip_rel_gap": options.gap, **limits},
        )
        seconds = clock.lap("solve")
        if answer.status != 0:
            return unsolved(answer.message, seconds, stopped=answer.status == 1)
        bound = sign * answer.mip_dual_bound + program.constant if program.integer.any() else None
        return Solution(OPTIMAL, x=answer.x, objective=program.objective(answer.x), bound=bound, seconds=seconds)


def _refused(error: Exception, mark: str) -> SolverFailure | LicenseError:
    """Return what a solver's own error is to us: a licence that is too small has its mark in the text."""
    return LicenseError(str(error)) if mark in str(error) else SolverFailure(str(error))


PEERS: dict[str, type[Backend]] = {
    peer.name: peer for peer in (RawHighs, RawGurobi, RawCplex, RawScip, ScipyHighs, Cvxpy, Linopy, CpSat)
}
