"""Gurobi: every problem class, proprietary; the package to install brings a licence that is restricted in size."""

from __future__ import annotations

import dataclasses
import os
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.errors import LicenseError, OptionError, SolverFailure
from causalopt.modeling.program import Bools, Floats, ProblemClass, Program
from causalopt.solving.backend import Ability, Backend, License, LiveModel
from causalopt.solving.options import SolveOptions, unknown_name
from causalopt.verifying.claims import Limit, Reason, Solution, Termination
from causalopt.verifying.feasibility import is_feasible

#: Gurobi's "unbounded" says that the objective has an improving ray, not that there is a feasible point: whether
#: there is one is settled by a solve without objective.
_TERMINATIONS = {
    "LOADED": Termination(Reason.ERROR),
    "OPTIMAL": Termination(Reason.OPTIMAL),
    "INFEASIBLE": Termination(Reason.INFEASIBLE),
    "INF_OR_UNBD": Termination(Reason.NO_SOLUTION, raw="infeasible or unbounded"),
    "UNBOUNDED": Termination(Reason.NO_SOLUTION, raw="unbounded if feasible"),
    "CUTOFF": Termination(Reason.NO_SOLUTION),
    "ITERATION_LIMIT": Termination(Reason.NO_SOLUTION, Limit.ITERATIONS),
    "NODE_LIMIT": Termination(Reason.NO_SOLUTION, Limit.NODES),
    "TIME_LIMIT": Termination(Reason.NO_SOLUTION, Limit.TIME),
    "SOLUTION_LIMIT": Termination(Reason.NO_SOLUTION, Limit.NODES),
    "INTERRUPTED": Termination(Reason.NO_SOLUTION, Limit.INTERRUPT),
    "NUMERIC": Termination(Reason.NO_SOLUTION),
    "SUBOPTIMAL": Termination(Reason.NO_SOLUTION),
    "INPROGRESS": Termination(Reason.ERROR),
    "USER_OBJ_LIMIT": Termination(Reason.NO_SOLUTION),
    "WORK_LIMIT": Termination(Reason.NO_SOLUTION, Limit.TIME),
    "MEM_LIMIT": Termination(Reason.NO_SOLUTION, Limit.MEMORY),
    "LOCALLY_OPTIMAL": Termination(Reason.NO_SOLUTION),
    "LOCALLY_INFEASIBLE": Termination(Reason.NO_SOLUTION),
}

_NO_LICENSE, _TOO_LARGE = 10009, 10010

#: What the licence inside the package allows.
_LIMIT = 2000
_RESTRICTED = License(
    "restricted", max_columns=_LIMIT, max_rows=_LIMIT, max_quadratic_columns=200, detail="for non-production use only"
)

#: Gurobi writes a date of expiry as YYYYMMDD, and this where there is none.
_NEVER = 99999999

#: Tolerances under those that verification asks for.
_PARAMETERS = {"FeasibilityTol": 1e-9, "OptimalityTol": 1e-9, "IntFeasTol": 1e-9, "BarConvTol": 1e-10}
_METHOD_PARAMETERS: dict[str, dict[str, Any]] = {
    "": {},
    "careful": {"NumericFocus": 3, "Presolve": 0, "ScaleFlag": 2},
}


class GurobiBackend(Backend):
    """Gurobi through gurobipy, arrays in and arrays out, one environment a solve."""

    name = "gurobi"
    package = "gurobipy"
    distribution = "gurobipy"
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
        return _LiveGurobi(program, options)

    def license(self) -> License:
        """Return whether the licence is full or restricted, found out by solving a model that only a full one takes."""
        import gurobipy

        try:
            return _license(os.environ.get("GRB_LICENSE_FILE", ""))
        except gurobipy.GurobiError as error:
            return License("none", detail=str(error))

    def option_names(self) -> frozenset[str]:
        """Return the names of Gurobi's parameters."""
        import gurobipy

        return frozenset(name for name in dir(gurobipy.GRB.Param) if not name.startswith("_"))

    def methods(self, program: Program, options: SolveOptions) -> tuple[str, ...]:
        """Return Gurobi's own choice, and a careful run without presolve where that is refused."""
        return tuple(_METHOD_PARAMETERS)

    def size(self, program: Program) -> tuple[int, int]:
        """Count columns and rows as Gurobi does: a row with two different sides costs one row or one column more."""
        ranges = int(_ranges(program).sum())
        if _splits_ranges(program):
            return program.n_columns, program.n_rows + ranges
        return program.n_columns + ranges, program.n_rows

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve a program; see `Backend.solve`."""
        import gurobipy

        start = perf_counter()
        lines: list[str] = []
        try:
            with _environment(gurobipy, options.log) as env, gurobipy.Model(env=env) as model:
                _set_parameters(gurobipy, model, program, options, method)
                x, rows = _load(gurobipy, model, program, options)
                loaded = perf_counter()
                model.optimize(_listener(gurobipy, options, program.n_columns, lines))
                solved = perf_counter()
                solution = _extract(gurobipy, model, x, rows, program, method)
        except gurobipy.GurobiError as error:
            if error.errno in (_NO_LICENSE, _TOO_LARGE):
                raise LicenseError(f"Gurobi refuses this model ({program.describe()}): {error}.") from error
            raise SolverFailure(f"Gurobi failed: {error} (error {error.errno}).") from error
        extracted = perf_counter()
        return solution.replace(
            log="".join(lines),
            seconds={"load": loaded - start, "solve": solved - loaded, "extract": extracted - solved},
        )


class _LiveGurobi(LiveModel):
    """An LP whose rows are equalities with slack columns, so that any change of sides is one of bounds."""

    memory = "simplex basis"

    def __init__(self, program: Program, options: SolveOptions) -> None:
        import gurobipy

        self.gurobipy = gurobipy
        self.env = _environment(gurobipy, log=False)
        self.model: Any = gurobipy.Model(env=self.env)
        _set_parameters(gurobipy, self.model, program, options, "")
        self.x: Any = self.model.addMVar(program.n_columns, lb=program.lower, ub=program.upper)
        self.sides: Any = self.model.addMVar(program.n_rows, lb=program.row_lower, ub=program.row_upper)
        matrix = sp.hstack([program.A, -sp.eye_array(program.n_rows)], format="csr")
        right = np.zeros(program.n_rows)
        self.rows = self.model.addMConstr(matrix, gurobipy.concatenate([self.x, self.sides]), "=", right)
        sense = gurobipy.GRB.MAXIMIZE if program.maximize else gurobipy.GRB.MINIMIZE
        squares: Any = None
        self.model.setMObjective(squares, program.c, program.constant, None, None, self.x, sense)

    def change(self, program: Program, changed: frozenset[str]) -> None:
        if "c" in changed:
            self.x.Obj = program.c
        if changed & {"lower", "upper"}:
            self.x.LB, self.x.UB = program.lower, program.upper
        if changed & {"row_lower", "row_upper"}:
            self.sides.LB, self.sides.UB = program.row_lower, program.row_upper

    def solve(self, program: Program, options: SolveOptions) -> Solution:
        start = perf_counter()
        try:
            self.model.optimize()
        except self.gurobipy.GurobiError as error:
            raise SolverFailure(f"Gurobi failed: {error} (error {error.errno}).") from error
        solved = perf_counter()
        solution = _extract(self.gurobipy, self.model, self.x, self.rows, program, "")
        seconds = {"solve": solved - start, "extract": perf_counter() - solved}
        return solution.replace(farkas=None, seconds=seconds)  # the proof would speak of the equalities

    def close(self) -> None:
        self.model.dispose()
        self.env.dispose()


def _environment(gurobipy: Any, log: bool) -> Any:
    env = gurobipy.Env(empty=True)
    try:
        env.setParam("OutputFlag", int(log))
        env.setParam("LogToConsole", 0)
        env.start()
    except gurobipy.GurobiError:
        env.dispose()
        raise
    return env


@cache
def _license(path: str) -> License:
    """Read the licence; `path` is what it depends on."""
    import gurobipy

    with _environment(gurobipy, log=False) as env, gurobipy.Model(env=env) as model:
        date = int(model.LicenseExpiration)
        expires = None if date == _NEVER else f"{date // 10000:04d}-{date // 100 % 100:02d}-{date % 100:02d}"
        model.addMVar(_LIMIT + 1)
        try:
            model.optimize()
        except gurobipy.GurobiError as error:
            if error.errno != _TOO_LARGE:
                raise
            return dataclasses.replace(_RESTRICTED, expires=expires)
    return License("full", expires=expires)


def _listener(gurobipy: Any, options: SolveOptions, n: int, lines: list[str]) -> Any:
    codes, report, on_log = gurobipy.GRB.Callback, options.on_incumbent, options.on_log
    if not options.log and report is None:
        return None

    def listen(model: Any, where: int) -> None:
        if where == codes.MESSAGE and options.log:
            lines.append(model.cbGet(codes.MSG_STRING))
            if on_log is not None:
                on_log(lines[-1])
        elif where == codes.MIPSOL and report is not None:
            values = np.array(model.cbGetSolution(model.getVars()[:n]))
            report(values, model.cbGet(codes.MIPSOL_OBJ), model.cbGet(codes.MIPSOL_OBJBND))

    return listen


def _set_parameters(gurobipy: Any, model: Any, program: Program, options: SolveOptions, method: str) -> None:
    if method not in _METHOD_PARAMETERS:
        raise OptionError(unknown_name("Gurobi method", method, _METHOD_PARAMETERS))
    chosen = {
        **_PARAMETERS,
        "MIPGap": float(options.gap),
        "Seed": options.seed,
        **({"InfUnbdInfo": 1} if program.problem_class is ProblemClass.LP else {}),  # a proof of infeasibility
        **({"Threads": options.threads} if options.threads else {}),
        **({"TimeLimit": float(options.time_limit)} if options.time_limit else {}),
        **_METHOD_PARAMETERS[method],
        **options.solver_options,
    }
    known = GurobiBackend().option_names() if options.solver_options else frozenset()
    for name, value in chosen.items():
        if name in options.solver_options and name not in known:
            raise OptionError(unknown_name("Gurobi parameter", str(name), known))
        try:
            model.setParam(name, value)
            kept = model.getParamInfo(name)[2] == value  # a fraction for a whole number is cut off without a word
        except (gurobipy.GurobiError, TypeError, OverflowError):
            kept = False
        if not kept:
            raise OptionError(f"Gurobi refuses {value!r} for its parameter {name!r}.")


def _ranges(program: Program) -> Bools:
    return np.asarray(
        np.isfinite(program.row_lower) & np.isfinite(program.row_upper) & (program.row_lower < program.row_upper)
    )


def _splits_ranges(program: Program) -> bool:
    """Whether a row with two sides becomes two rows, or one row with a slack column: what a small licence allows."""
    if program.Q is not None and program.Q.nnz:
        return True
    ranges = int(_ranges(program).sum())
    return program.n_columns + ranges > _LIMIT and program.n_rows + ranges <= _LIMIT


def _load(gurobipy: Any, model: Any, program: Program, options: SolveOptions) -> tuple[Any, Any]:
    grb = gurobipy.GRB
    low, high, ranges = program.row_lower, program.row_upper, _ranges(program)
    sense = np.where(low == high, grb.EQUAL, np.where(np.isfinite(low), grb.GREATER_EQUAL, grb.LESS_EQUAL))
    right = np.where(sense == grb.LESS_EQUAL, high, low)
    matrix = program.A
    types = np.where(program.integer, grb.INTEGER, grb.CONTINUOUS) if program.integer.any() else grb.CONTINUOUS
    x = model.addMVar(program.n_columns, lb=program.lower, ub=program.upper, vtype=types)
    columns = x
    if ranges.any() and _splits_ranges(program):
        matrix = sp.vstack([matrix, matrix[ranges]], format="csr")
        sense = np.concatenate([sense, np.full(int(ranges.sum()), grb.LESS_EQUAL)])
        right = np.concatenate([right, high[ranges]])
    elif ranges.any():
        sense[ranges] = grb.EQUAL
        slack = sp.csr_matrix(sp.diags_array(-np.ones(program.n_rows)))[:, ranges]
        matrix = sp.hstack([matrix, slack], format="csr")
        columns = gurobipy.concatenate([x, model.addMVar(int(ranges.sum()), ub=(high - low)[ranges])])
    rows = model.addMConstr(matrix, columns, sense, right) if matrix.shape[0] else None
    direction = grb.MAXIMIZE if program.maximize else grb.MINIMIZE
    quadratic = None
    if program.Q is not None and program.Q.nnz:  # Gurobi's form is x'Qx, without the half
        quadratic = sp.csr_matrix(program.Q - 0.5 * sp.diags_array(program.Q.diagonal()))
    model.setMObjective(quadratic, program.c, program.constant, x, x, x, direction)
    values = options.check_start(program.n_columns)
    if values is not None and (program.integer.any() or not _is_convex(program)):
        x.Start = values
    elif values is not None:
        x.PStart = values
    return x, rows


def _is_convex(program: Program) -> bool:
    return program.problem_class not in (ProblemClass.NONCONVEX_QP, ProblemClass.NONCONVEX_MIQP)


def _extract(gurobipy: Any, model: Any, x: Any, rows: Any, program: Program, method: str) -> Solution:
    names = {getattr(gurobipy.GRB.Status, name): name for name in _TERMINATIONS}
    raw = names.get(model.Status, f"status {model.Status}")
    termination = _TERMINATIONS.get(raw, Termination(Reason.ERROR))
    termination = Termination(termination.reason, termination.limit, f"{raw} {termination.raw}".strip())
    searches = bool(program.integer.any()) or not _is_convex(program)
    common: dict[str, Any] = {
        "method": method,
        "iterations": int(model.IterCount) + int(model.BarIterCount),
        "nodes": int(model.NodeCount) if searches else None,
        "bound": _bound(gurobipy, model) if searches else None,
    }
    if termination.reason is Reason.INFEASIBLE and program.problem_class is ProblemClass.LP and rows is not None:
        return Solution(termination, farkas=_farkas(gurobipy, rows, program), **common)
    answer = np.asarray(x.X) if model.SolCount else None
    if raw == "UNBOUNDED" and answer is not None and is_feasible(program, answer):  # both halves of the claim
        return Solution(Termination(Reason.UNBOUNDED, raw=raw), **common)
    if termination.reason is Reason.NO_SOLUTION and answer is not None and is_feasible(program, answer):
        termination = Termination(Reason.FEASIBLE, termination.limit, termination.raw)
    if not termination.has_solution:
        return Solution(termination, **common)
    dual = None
    if not searches and rows is not None and termination.reason is Reason.OPTIMAL:
        dual = _joined(np.asarray(rows.Pi), program)  # the derivative of the objective, under either sense
    return Solution(termination, x=answer, objective=float(model.ObjVal), row_dual=dual, **common)


def _bound(gurobipy: Any, model: Any) -> float | None:
    try:
        bound = float(model.ObjBound)
    except (gurobipy.GurobiError, AttributeError):  # Gurobi saw that the program is unbounded before it searched
        return None
    return bound if abs(bound) < gurobipy.GRB.INFINITY else None


def _joined(multipliers: Floats, program: Program) -> Floats:
    """Return one multiplier a row where ranges were split into two rows."""
    whole = multipliers[: program.n_rows].copy()
    if len(multipliers) > program.n_rows:
        whole[_ranges(program)] += multipliers[program.n_rows :]
    return whole


def _farkas(gurobipy: Any, rows: Any, program: Program) -> Floats | None:
    try:
        return -_joined(np.asarray(rows.FarkasDual), program)
    except (gurobipy.GurobiError, AttributeError):  # there is none where the bounds alone contradict each other
        return None
