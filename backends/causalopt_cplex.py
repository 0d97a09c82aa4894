"""CPLEX: every problem class, proprietary; the package to install is the Community Edition, restricted in size."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.errors import LicenseError, OptionError, SolverFailure
from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.solving.backend import Ability, Backend, License, LiveModel
from causalopt.solving.options import SolveOptions, unknown_name
from causalopt.verifying.claims import Limit, Reason, Solution, Termination
from causalopt.verifying.feasibility import is_feasible

_STOPPED = Termination(Reason.NO_SOLUTION)
_OPTIMAL = Termination(Reason.OPTIMAL)
_INFEASIBLE = Termination(Reason.INFEASIBLE)
_RAY = Termination(Reason.NO_SOLUTION, raw="unbounded if feasible")


def _limit(limit: Limit) -> Termination:
    return Termination(Reason.NO_SOLUTION, limit)


#: By CPLEX's status number; its own words are kept as the raw status. "Unbounded" says that the objective has an
#: improving ray, not that there is a feasible point: that is settled by a solve without objective.
_TERMINATIONS = {
    1: _OPTIMAL,
    2: _RAY,
    3: _INFEASIBLE,
    4: Termination(Reason.NO_SOLUTION, raw="infeasible or unbounded"),
    5: _STOPPED,  # optimal, but infeasible once unscaled
    6: _STOPPED,  # best that the arithmetic allows
    10: _limit(Limit.ITERATIONS),
    11: _limit(Limit.TIME),
    12: _STOPPED,  # objective limit
    13: _limit(Limit.INTERRUPT),
    20: _STOPPED,  # the optimal face is unbounded
    21: _RAY,  # the objective passed 1e75 in absolute value
    22: _STOPPED,  # the same of the dual
    23: _STOPPED,  # feasible
    24: _STOPPED,  # first-order optimal
    25: _limit(Limit.TIME),
    101: _OPTIMAL,
    102: _OPTIMAL,
    103: _INFEASIBLE,
    104: _limit(Limit.NODES),
    105: _limit(Limit.NODES),
    106: _limit(Limit.NODES),
    107: _limit(Limit.TIME),
    108: _limit(Limit.TIME),
    109: _STOPPED,  # failed
    110: _STOPPED,
    111: _limit(Limit.MEMORY),
    112: _limit(Limit.MEMORY),
    113: _limit(Limit.INTERRUPT),
    114: _limit(Limit.INTERRUPT),
    115: _STOPPED,  # optimal, but infeasible once unscaled
    116: _limit(Limit.MEMORY),
    117: _limit(Limit.MEMORY),
    118: _RAY,
    119: Termination(Reason.NO_SOLUTION, raw="infeasible or unbounded"),
    127: _STOPPED,  # feasible
    131: _limit(Limit.TIME),
    132: _limit(Limit.TIME),
    133: _STOPPED,  # only a relaxation is unbounded
}

_NOT_CONVEX, _TOO_LARGE, _NO_LICENSE = 5002, 1016, range(32000, 33000)

_COMMUNITY = License(
    "restricted", max_columns=1000, max_rows=1000, detail="Community Edition, which names no date of expiry"
)

_INFINITY = 1e20

#: Tolerances under those that verification asks for.
_PARAMETERS = {
    "simplex.tolerances.feasibility": 1e-9,
    "simplex.tolerances.optimality": 1e-9,
    "mip.tolerances.integrality": 1e-9,
    "mip.tolerances.absmipgap": 1e-10,
    "barrier.convergetol": 1e-10,
}
_METHOD_PARAMETERS: dict[str, dict[str, Any]] = {
    "": {},
    "careful": {"emphasis.numerical": 1, "preprocessing.presolve": 0},
    "global": {
        "optimalitytarget": 3,
        "preprocessing.qtolin": 1,
    },  # left to itself, 22.2 has called wrong optima optimal
}
_NONCONVEX = (ProblemClass.NONCONVEX_QP, ProblemClass.NONCONVEX_MIQP)


class CplexBackend(Backend):
    """CPLEX through its own Python package, batched, one environment a solve."""

    name = "cplex"
    package = "cplex"
    distribution = "cplex"
    open_source = False
    classes = frozenset(ProblemClass)
    abilities = frozenset(
        {
            Ability.DUALS,
            Ability.START,
            Ability.SEED,
            Ability.THREADS,
            Ability.TIME_LIMIT,
            Ability.GAP,
            Ability.INCUMBENTS,
            Ability.LOG,
            Ability.DETERMINISTIC,
            Ability.SESSION,
        }
    )

    def session(self, program: Program, options: SolveOptions) -> LiveModel | None:
        """Return a live LP, which keeps its simplex basis; its slack columns must fit the licence too."""
        columns = program.n_columns + program.n_rows
        if program.problem_class is not ProblemClass.LP or self.license().obstacle(columns, program.n_rows, False):
            return None
        return _LiveCplex(program, options)

    def license(self) -> License:
        """Return whether this is the Community Edition, found out by solving a model that only a full one takes."""
        import cplex

        try:
            return _license()
        except cplex.exceptions.CplexError as error:
            return License("none", detail=_words(error))

    def option_names(self) -> frozenset[str]:
        """Return the names of CPLEX's parameters, as its Python package writes them (mip.tolerances.mipgap)."""
        import cplex

        with cplex.Cplex() as model:
            return frozenset(_parameters(model))

    def methods(self, program: Program, options: SolveOptions) -> tuple[str, ...]:
        """Return CPLEX's own choice, a careful run, and the global solver where curvature is or may be negative."""
        if program.problem_class in _NONCONVEX:
            return ("global",)
        if program.problem_class in (ProblemClass.CONVEX_QP, ProblemClass.CONVEX_MIQP):
            return ("", "careful", "global")  # the last where CPLEX takes the rounding of a zero for curvature
        return ("", "careful")

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve a program; see `Backend.solve`."""
        import cplex

        start = perf_counter()
        log = _Log(options.on_log) if options.log else None
        try:
            with cplex.Cplex() as model:
                for listen in ("set_log_stream", "set_results_stream", "set_warning_stream", "set_error_stream"):
                    getattr(model, listen)(log)
                _set_parameters(cplex, model, options, method)
                _load(model, program, options)
                if options.on_incumbent is not None and program.integer.any():
                    _report_incumbents(cplex, model, options.on_incumbent)
                loaded = perf_counter()
                model.solve()
                solved = perf_counter()
                solution = _extract(model, program, method)
        except cplex.exceptions.CplexSolverError as error:
            number = error.args[2] if len(error.args) > 2 else 0
            if number == _TOO_LARGE or number in _NO_LICENSE:
                raise LicenseError(f"CPLEX refuses this model ({program.describe()}): {_words(error)}") from error
            hint = " Its objective has a direction of negative curvature." if number == _NOT_CONVEX else ""
            raise SolverFailure(f"CPLEX failed: {_words(error)}{hint}") from error
        extracted = perf_counter()
        return solution.replace(
            log="" if log is None else log.getvalue(),
            seconds={"load": loaded - start, "solve": solved - loaded, "extract": extracted - solved},
        )


class _LiveCplex(LiveModel):
    """An LP whose rows are equalities with slack columns, so that any change of sides is one of bounds."""

    memory = "simplex basis"

    def __init__(self, program: Program, options: SolveOptions) -> None:
        import cplex

        n, m = program.n_columns, program.n_rows
        self.cplex, self.model = cplex, cplex.Cplex()
        for listen in ("set_log_stream", "set_results_stream", "set_warning_stream", "set_error_stream"):
            getattr(self.model, listen)(None)
        _set_parameters(cplex, self.model, options, "")
        zeros = np.zeros(m)
        equalities = program.replace(
            c=np.concatenate([program.c, zeros]),
            A=sp.hstack([program.A, -sp.eye_array(m)], format="csr"),
            row_lower=zeros,
            row_upper=zeros,
            lower=np.concatenate([program.lower, program.row_lower]),
            upper=np.concatenate([program.upper, program.row_upper]),
            integer=np.zeros(n + m, dtype=bool),
        )
        _load(self.model, equalities, options)

    def change(self, program: Program, changed: frozenset[str]) -> None:
        n = program.n_columns
        if "c" in changed:
            self.model.objective.set_linear(list(enumerate(program.c.tolist())))
        for names, first in ((("lower", "upper"), 0), (("row_lower", "row_upper"), n)):
            if changed & set(names):
                variables = self.model.variables
                for name, setter in zip(names, (variables.set_lower_bounds, variables.set_upper_bounds), strict=True):
                    values = np.clip(getattr(program, name), -_INFINITY, _INFINITY).tolist()
                    setter(list(enumerate(values, start=first)))

    def solve(self, program: Program, options: SolveOptions) -> Solution:
        start = perf_counter()
        try:
            self.model.solve()
            solved = perf_counter()
            solution = _extract(self.model, program, "")
        except self.cplex.exceptions.CplexSolverError as error:
            raise SolverFailure(f"CPLEX failed: {_words(error)}") from error
        x = None if solution.x is None else solution.x[: program.n_columns]
        return solution.replace(x=x, seconds={"solve": solved - start, "extract": perf_counter() - solved})

    def close(self) -> None:
        self.model.end()


class _Log(io.StringIO):
    def __init__(self, on_log: Callable[[str], None] | None) -> None:
        super().__init__()
        self.on_log = on_log

    def write(self, text: str) -> int:
        if self.on_log is not None:
            self.on_log(text)
        return super().write(text)


def _report_incumbents(cplex: Any, model: Any, report: Callable[[Floats, float, float], None]) -> None:
    class Listener(cplex.callbacks.MIPInfoCallback):  # type: ignore[misc]  # untyped
        best: float | None = None

        def __call__(self) -> None:
            if self.has_incumbent() and self.get_incumbent_objective_value() != self.best:
                self.best = self.get_incumbent_objective_value()
                report(np.array(self.get_incumbent_values()), self.best, self.get_best_objective_value())

    model.register_callback(Listener)


def _words(error: Exception) -> str:
    return str(error.args[0]) if error.args else str(error)


@cache
def _license() -> License:
    import cplex

    with cplex.Cplex() as model:
        for listen in (model.set_log_stream, model.set_results_stream, model.set_warning_stream):
            listen(None)
        model.set_error_stream(None)
        model.variables.add(ub=[1.0] * 1001)  # one more than the Community Edition takes
        try:
            model.solve()
        except cplex.exceptions.CplexSolverError as error:
            if error.args[2] != _TOO_LARGE:
                raise
            return _COMMUNITY
    return License("full", detail="CPLEX does not tell its date of expiry")


def _parameters(model: Any) -> dict[str, Any]:
    return {repr(parameter).removeprefix("parameters."): parameter for parameter, _ in model.parameters.get_all()}


def _set_parameters(cplex: Any, model: Any, options: SolveOptions, method: str) -> None:
    if method not in _METHOD_PARAMETERS:
        raise OptionError(unknown_name("CPLEX method", method, _METHOD_PARAMETERS))
    chosen = {
        **_PARAMETERS,
        "mip.tolerances.mipgap": min(float(options.gap), 1.0),
        "randomseed": options.seed,
        **({"threads": options.threads} if options.threads else {}),
        **({"timelimit": float(options.time_limit)} if options.time_limit else {}),
        **_METHOD_PARAMETERS[method],
        **options.solver_options,
    }
    known = _parameters(model) if options.solver_options else {}
    for name, value in chosen.items():
        if name in options.solver_options and name not in known:
            raise OptionError(unknown_name("CPLEX parameter", str(name), known))
        parameter = known.get(name) or _parameter(model, name)
        try:
            parameter.set(value)
            kept = parameter.get() == value  # a fraction for a whole number is cut off without a word
        except (cplex.exceptions.CplexError, TypeError, ValueError, OverflowError):
            kept = False
        if not kept:
            raise OptionError(f"CPLEX refuses {value!r} for its parameter {name!r}.")


def _parameter(model: Any, name: str) -> Any:
    parameter = model.parameters
    for part in name.split("."):
        parameter = getattr(parameter, part)
    return parameter


def _load(model: Any, program: Program, options: SolveOptions) -> None:
    n, m = program.n_columns, program.n_rows
    types = {}
    if program.integer.any():
        types["types"] = "".join(np.where(program.integer, "I", "C"))
    model.variables.add(
        obj=program.c.tolist(),
        lb=np.clip(program.lower, -_INFINITY, _INFINITY).tolist(),
        ub=np.clip(program.upper, -_INFINITY, _INFINITY).tolist(),
        **types,
    )
    low, high = program.row_lower, program.row_upper
    bounded = np.isfinite(low) & np.isfinite(high)
    sense = np.where(low == high, "E", np.where(bounded, "R", np.where(np.isfinite(high), "L", "G")))
    right = np.clip(np.where(sense == "L", high, low), -_INFINITY, _INFINITY)
    if m:
        model.linear_constraints.add(
            lin_expr=_sparse_rows(program.A),
            senses="".join(sense),
            rhs=right.tolist(),
            range_values=np.where(sense == "R", high - np.where(bounded, low, 0.0), 0.0).tolist(),
        )
    if program.Q is not None and program.Q.nnz:
        diagonal = program.Q.diagonal()
        if np.count_nonzero(diagonal) == program.Q.nnz:
            model.objective.set_quadratic(diagonal.tolist())
        else:
            full = program.Q + sp.tril(program.Q, -1).T
            model.objective.set_quadratic(_sparse_rows(sp.csr_matrix(full)))
    model.objective.set_offset(program.constant)
    if program.maximize:
        model.objective.set_sense(model.objective.sense.maximize)
    start = options.check_start(n)
    if start is not None and program.integer.any():
        model.MIP_starts.add((list(range(n)), start.tolist()), model.MIP_starts.effort_level.repair)
    elif start is not None and program.problem_class is ProblemClass.LP:
        model.start.set_start([], [], start.tolist(), [], [], [])


def _sparse_rows(matrix: Any) -> list[tuple[list[int], list[float]]]:
    pointers, columns, values = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
    return [(columns[a:b], values[a:b]) for a, b in pairwise(pointers)]


def _extract(model: Any, program: Program, method: str) -> Solution:
    answer, number = model.solution, model.solution.get_status()
    known = _TERMINATIONS.get(number, Termination(Reason.ERROR))
    raw = ", ".join(part for part in (f"{number} {answer.get_status_string()}", known.raw) if part)
    termination = Termination(known.reason, known.limit, raw)
    searches = number >= 100  # also of a convex QP, by the global method
    progress = answer.progress
    common: dict[str, Any] = {
        "method": method,
        "iterations": int(progress.get_num_iterations() + progress.get_num_barrier_iterations()),
        "nodes": int(progress.get_num_nodes_processed()) if searches else None,
    }
    if searches and termination.reason is not Reason.INFEASIBLE:
        bound = float(answer.MIP.get_best_objective())
        if abs(bound) < _INFINITY:
            common["bound"] = bound
        elif termination.reason is Reason.OPTIMAL:  # CPLEX says this of unbounded nonconvex programs
            termination = Termination(Reason.NO_SOLUTION, raw=f"{raw}, but without a bound")
    x = np.array(answer.get_values()) if _has_point(model, number) else None
    if termination.reason is Reason.NO_SOLUTION and x is not None and is_feasible(program, x):
        termination = Termination(Reason.FEASIBLE, termination.limit, termination.raw)
    if not termination.has_solution:
        return Solution(termination, **common)
    dual = None
    if not searches and program.n_rows:
        dual = np.array(answer.get_dual_values())  # the derivative of the objective, under either sense
    return Solution(termination, x=x, objective=float(answer.get_objective_value()), row_dual=dual, **common)


def _has_point(model: Any, number: int) -> bool:
    kind = model.solution.get_solution_type()
    return bool(kind != model.solution.type.none and number not in (2, 21, 118))  # a point far out is no incumbent
