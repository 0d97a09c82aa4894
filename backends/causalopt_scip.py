"""SCIP: every problem class, open source (Apache 2.0); quadratic costs by a scaled epigraph, no multipliers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from causalopt.errors import OptionError, SolverFailure
from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.solving.backend import Ability, Backend
from causalopt.solving.options import SolveOptions, unknown_name
from causalopt.verifying.claims import Limit, Reason, Solution, Termination
from causalopt.verifying.feasibility import is_feasible
from causalopt.verifying.polish import polished

_STOPPED = Termination(Reason.NO_SOLUTION)

#: "Unbounded" says that the objective has an improving ray; that there is a feasible point is settled by a solve
#: without objective.
_TERMINATIONS = {
    "unknown": _STOPPED,
    "userinterrupt": Termination(Reason.NO_SOLUTION, Limit.INTERRUPT),
    "terminate": Termination(Reason.NO_SOLUTION, Limit.INTERRUPT),
    "nodelimit": Termination(Reason.NO_SOLUTION, Limit.NODES),
    "totalnodelimit": Termination(Reason.NO_SOLUTION, Limit.NODES),
    "stallnodelimit": Termination(Reason.NO_SOLUTION, Limit.NODES),
    "timelimit": Termination(Reason.NO_SOLUTION, Limit.TIME),
    "memlimit": Termination(Reason.NO_SOLUTION, Limit.MEMORY),
    "gaplimit": Termination(Reason.OPTIMAL),
    "primallimit": _STOPPED,
    "duallimit": _STOPPED,
    "sollimit": Termination(Reason.NO_SOLUTION, Limit.NODES),
    "bestsollimit": Termination(Reason.NO_SOLUTION, Limit.NODES),
    "restartlimit": Termination(Reason.NO_SOLUTION, Limit.NODES),
    "optimal": Termination(Reason.OPTIMAL),
    "infeasible": Termination(Reason.INFEASIBLE),
    "unbounded": Termination(Reason.NO_SOLUTION, raw="unbounded if feasible"),
    "inforunbd": Termination(Reason.NO_SOLUTION, raw="infeasible or unbounded"),
}

#: The method that stops at the first point of the interior-point method inside SCIP. That point is the optimum of a
#: convex QP to nine digits, long before SCIP's cutting planes have proved it; multipliers found from it prove it.
_FIRST_POINT = "first interior point"

_METHOD_PARAMETERS: dict[str, dict[str, Any]] = {
    "": {},
    "tight": {"numerics/feastol": 1e-9},
    "without presolve": {"numerics/feastol": 1e-9, "presolving/maxrounds": 0},
    _FIRST_POINT: {"limits/bestsol": 1},
}
_LINEAR_METHODS = ("", "without presolve")
#: For convex QPs, whose values would otherwise be right to six digits only. SCIP's LPs then print a line to standard
#: error for each tolerance of 1e-12 that they cannot have, so that integer programs, which need it less, go without.
_CONVEX_QP = {"numerics/feastol": 1e-9, "numerics/dualfeastol": 1e-9}
_NONCONVEX = (ProblemClass.NONCONVEX_QP, ProblemClass.NONCONVEX_MIQP)


class ScipBackend(Backend):
    """SCIP through PySCIPOpt, which has no array loader: coefficients go in one by one."""

    name = "scip"
    package = "pyscipopt"
    distribution = "pyscipopt"
    classes = frozenset(ProblemClass)
    abilities = frozenset(
        {Ability.START, Ability.SEED, Ability.TIME_LIMIT, Ability.GAP, Ability.INCUMBENTS, Ability.LOG}
    )

    def option_names(self) -> frozenset[str]:
        """Return the names of SCIP's parameters."""
        import pyscipopt

        return frozenset(pyscipopt.Model().getParams())

    def methods(self, program: Program, options: SolveOptions) -> tuple[str, ...]:
        """Return SCIP's own choice first, but for convex QPs the interior-point method inside it."""
        if program.Q is None or program.Q.nnz == 0:
            return _LINEAR_METHODS
        if program.problem_class is ProblemClass.CONVEX_QP and not options.solver_options:
            return (_FIRST_POINT, "")
        return ("",) if program.problem_class in _NONCONVEX else ("", "tight")

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve a program; see `Backend.solve`."""
        import pyscipopt

        start = perf_counter()
        if method not in _METHOD_PARAMETERS:
            raise OptionError(unknown_name("SCIP method", method, _METHOD_PARAMETERS))
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "scip.log"
            model = pyscipopt.Model()
            try:
                model.hideOutput()
                if options.log:
                    model.setLogfile(str(log))
                _set_parameters(model, program, options, method)
                x, epigraph = _load(pyscipopt, model, program)
                _start(model, program, options, x, epigraph)
                if options.on_incumbent is not None and program.integer.any():
                    _report_incumbents(pyscipopt, model, program, x, options.on_incumbent)
                loaded = perf_counter()
                try:
                    model.optimize()
                except Exception as error:  # PySCIPOpt raises bare Exceptions
                    raise SolverFailure(f"SCIP failed: {error}") from error
                solved = perf_counter()
                solution = _extract(model, program, x, epigraph, method)
            finally:
                model.freeProb()
                del model
            text = log.read_text(errors="replace") if options.log and log.exists() else ""
        extracted = perf_counter()
        return solution.replace(
            log=text, seconds={"load": loaded - start, "solve": solved - loaded, "extract": extracted - solved}
        )


def _set_parameters(model: Any, program: Program, options: SolveOptions, method: str) -> None:
    chosen = {
        "numerics/feastol": 1e-7,
        **(_CONVEX_QP if program.problem_class is ProblemClass.CONVEX_QP else {}),
        "limits/gap": float(options.gap),
        "randomization/randomseedshift": options.seed,
        **({"limits/time": float(options.time_limit)} if options.time_limit else {}),
        **_METHOD_PARAMETERS[method],
        **options.solver_options,
    }
    if method == _FIRST_POINT:
        import pyscipopt

        model.setHeuristics(pyscipopt.SCIP_PARAMSETTING.OFF)
        chosen["heuristics/subnlp/freq"] = 1
    known = model.getParams() if options.solver_options else {}
    for name, value in chosen.items():
        if name in options.solver_options and name not in known:
            raise OptionError(unknown_name("SCIP parameter", str(name), known))
        try:
            model.setParam(name, value)
            kept = model.getParam(name) == value  # a fraction for a whole number is cut off without a word
        except (KeyError, ValueError, TypeError, OverflowError, AttributeError, LookupError):
            kept = False
        if not kept:
            raise OptionError(f"SCIP refuses {value!r} for its parameter {name!r}.")


def _load(pyscipopt: Any, model: Any, program: Program) -> tuple[list[Any], tuple[Any, float] | None]:
    """Return the variables, and for a quadratic cost the epigraph variable with its unit."""
    from pyscipopt.scip import Expr, ExprCons, Term

    def bounds(values: Floats) -> list[float | None]:
        return [value if finite else None for value, finite in zip(values.tolist(), np.isfinite(values), strict=True)]

    lower, upper = bounds(program.lower), bounds(program.upper)
    kinds = np.where(program.integer, "I", "C").tolist()
    x = [model.addVar(lb=a, ub=b, vtype=kind) for a, b, kind in zip(lower, upper, kinds, strict=True)]
    matrix, low, high = program.A, bounds(program.row_lower), bounds(program.row_upper)
    pointers, columns, values = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
    for i in range(program.n_rows):
        if low[i] is None and high[i] is None:
            continue
        row = model.addCons(ExprCons(Expr(), lhs=low[i], rhs=high[i]))
        for k in range(pointers[i], pointers[i + 1]):
            model.addConsCoeff(row, x[columns[k]], values[k])
    sign = -1.0 if program.maximize else 1.0
    cost = {Term(x[j]): value for j, value in enumerate((sign * program.c).tolist()) if value}
    cost[Term()] = sign * program.constant
    epigraph = None
    if program.Q is not None and program.Q.nnz:
        unit = _unit(program)
        z = model.addVar(lb=0.0 if program.problem_class not in _NONCONVEX else None)
        entries = program.Q.tocoo()
        halves = np.where(entries.row == entries.col, 0.5, 1.0) * entries.data * (sign / unit)
        terms = {
            Term(x[i], x[j]): value
            for i, j, value in zip(entries.row.tolist(), entries.col.tolist(), halves.tolist(), strict=True)
        }
        model.addCons(ExprCons(Expr({**terms, Term(z): -1.0}), rhs=0.0))
        cost[Term(z)] = unit
        epigraph = (z, unit)
    model.setObjective(Expr(cost), "minimize")
    return x, epigraph


def _unit(program: Program) -> float:
    """Return the power of two nearest to the size of the quadratic cost where columns are about one.

    SCIP holds z >= x'Qx/2 to an absolute tolerance, and its cutting planes stall where z is large.
    """
    return float(2.0 ** np.round(np.log2(max(1.0, 0.5 * float(np.abs(program.Q.data).sum())))))


def _start(model: Any, program: Program, options: SolveOptions, x: list[Any], epigraph: Any) -> None:
    values = options.check_start(program.n_columns)
    if values is None:
        return
    solution = model.createSol()
    for variable, value in zip(x, values.tolist(), strict=True):
        model.setSolVal(solution, variable, value)
    if epigraph is not None:
        model.setSolVal(solution, epigraph[0], _quadratic_cost(program, values) / epigraph[1])
    model.addSol(solution, free=True)


def _report_incumbents(
    pyscipopt: Any, model: Any, program: Program, x: list[Any], report: Callable[[Floats, float, float], None]
) -> None:
    better = pyscipopt.SCIP_EVENTTYPE.BESTSOLFOUND
    sign = -1.0 if program.maximize else 1.0

    class Listener(pyscipopt.Eventhdlr):  # type: ignore[misc]  # untyped
        def eventinit(self) -> None:
            self.model.catchEvent(better, self)

        def eventexit(self) -> None:
            self.model.dropEvent(better, self)

        def eventexec(self, event: Any) -> None:
            best = self.model.getBestSol()
            values = np.array([self.model.getSolVal(best, variable) for variable in x])
            report(values, program.objective(values), sign * self.model.getDualbound())

    model.includeEventhdlr(Listener(), "incumbents", "reports each better solution")


def _quadratic_cost(program: Program, x: Floats) -> float:
    """Return x'Qx/2, negated where the program is maximised."""
    return (-1.0 if program.maximize else 1.0) * (program.objective(x) - float(program.c @ x) - program.constant)


def _extract(model: Any, program: Program, x: list[Any], epigraph: Any, method: str) -> Solution:
    raw = model.getStatus()
    known = _TERMINATIONS.get(raw, Termination(Reason.ERROR))
    termination = Termination(known.reason, known.limit, f"{raw} {known.raw}".strip())
    if method == _FIRST_POINT and raw == "bestsollimit":  # our own limit, not the user's
        termination = Termination(Reason.NO_SOLUTION, raw="stopped at the first interior point")
    sign = -1.0 if program.maximize else 1.0
    bound = model.getDualbound()
    common: dict[str, Any] = {
        "method": method,
        "iterations": int(model.getNLPIterations()) if model.getStage() >= 4 else None,
        "nodes": int(model.getNTotalNodes()),
        "bound": None if model.isInfinity(abs(bound)) or method == _FIRST_POINT else sign * bound,
    }
    if model.getNSols() == 0 or raw in ("unbounded", "infeasible", "inforunbd"):
        return Solution(termination, **common)
    best = model.getBestSol()
    values = np.array([model.getSolVal(best, variable) for variable in x])
    if termination.reason is Reason.NO_SOLUTION and is_feasible(program, values):
        termination = Termination(Reason.FEASIBLE, termination.limit, termination.raw)
    if not termination.has_solution:
        return Solution(termination, **common)
    objective = float(sign * model.getSolObjVal(best))
    if epigraph is not None:  # z may lie above the cost of x, and leaves x off by the root of its tolerance
        values = polished(program, values)
        objective = program.objective(values)
    return Solution(termination, x=values, objective=objective, **common)
