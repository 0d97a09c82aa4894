"""HiGHS: LP, MILP and convex QP, open source (MIT)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np

from causalopt.errors import OptionError, SolverFailure
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.backend import Ability, Backend, LiveModel
from causalopt.solving.options import SolveOptions, unknown_name
from causalopt.verifying.claims import Limit, Reason, Solution, Termination
from causalopt.verifying.feasibility import is_feasible

_OPTIMAL = Termination(Reason.OPTIMAL)
_TERMINATIONS = {
    "kOptimal": _OPTIMAL,
    "kModelEmpty": _OPTIMAL,
    "kInfeasible": Termination(Reason.INFEASIBLE),
    "kUnbounded": Termination(Reason.UNBOUNDED),
    "kUnboundedOrInfeasible": Termination(Reason.NO_SOLUTION),
    "kTimeLimit": Termination(Reason.NO_SOLUTION, Limit.TIME),
    "kIterationLimit": Termination(Reason.NO_SOLUTION, Limit.ITERATIONS),
    "kSolutionLimit": Termination(Reason.NO_SOLUTION, Limit.NODES),
    "kMemoryLimit": Termination(Reason.NO_SOLUTION, Limit.MEMORY),
    "kInterrupt": Termination(Reason.NO_SOLUTION, Limit.INTERRUPT),
    "kHighsInterrupt": Termination(Reason.NO_SOLUTION, Limit.INTERRUPT),
    "kObjectiveBound": Termination(Reason.NO_SOLUTION),
    "kObjectiveTarget": Termination(Reason.NO_SOLUTION),
    "kUnknown": Termination(Reason.NO_SOLUTION),
}

#: The algorithms by problem class, in the order in which they are tried. The interior-point method HiPO is two
#: orders of magnitude faster on balance QPs than the active-set method, which is also the less reliable one.
_QP_METHODS = ("hipo", "hipo tight", "active set")
_METHOD_OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    "simplex": {"solver": "simplex"},
    "ipx": {"solver": "ipx"},
    "mip": {},
    "mip tight": {"mip_feasibility_tolerance": 1e-9},
    "mip without presolve": {"mip_feasibility_tolerance": 1e-9, "presolve": "off"},
    "hipo": {"solver": "hipo", "ipm_optimality_tolerance": 1e-10, "run_crossover": "off"},
    "hipo tight": {"solver": "hipo", "ipm_optimality_tolerance": 1e-12, "kkt_tolerance": 1e-10, "run_crossover": "off"},
    "hipo without crossover": {"solver": "hipo", "ipm_optimality_tolerance": 1e-9, "run_crossover": "off"},
    "active set": {"solver": "qpasm", "qp_iteration_limit": 100_000},  # it can run in circles for ever
}


@cache
def has_hipo() -> bool:
    """Return whether this HiGHS takes the solver "hipo": highspy 1.16.0 refuses the extras of 1.15, for one."""
    if importlib.util.find_spec("highspy_extras") is None:
        return False
    import highspy

    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    return bool(highs.setOptionValue("solver", "hipo") == highspy.HighsStatus.kOk)


class HighsBackend(Backend):
    """HiGHS through highspy, arrays in and arrays out."""

    name = "highs"
    package = "highspy"
    distribution = "highspy"
    classes = frozenset({ProblemClass.LP, ProblemClass.MILP, ProblemClass.CONVEX_QP})
    abilities = frozenset(
        {
            Ability.SESSION,
            Ability.DUALS,
            Ability.START,
            Ability.SEED,
            Ability.THREADS,
            Ability.TIME_LIMIT,
            Ability.GAP,
            Ability.LOG,
            Ability.INCUMBENTS,
        }
    )

    def option_names(self) -> frozenset[str]:
        """Return the names of HiGHS's options."""
        import highspy

        return frozenset(name for name in dir(highspy.HighsOptions()) if not name.startswith("_"))

    def advisories(self) -> list[str]:
        """Say where HiPO's package is missing or of another series, from the versions alone."""
        try:
            extras = importlib.metadata.version("highspy-extras")
        except importlib.metadata.PackageNotFoundError:
            extras = "missing"
        if extras.split(".")[:2] == self.version().split(".")[:2]:
            return []
        return [
            f"highspy-extras is {extras}: without HiPO, convex QPs are slow and less reliable "
            '(pip install "highspy~=1.15.1" "highspy-extras~=1.15.1")'
        ]

    def methods(self, program: Program, options: SolveOptions) -> tuple[str, ...]:
        """Return the algorithms to try: HiPO needs the package highspy-extras, of the same series as highspy."""
        if "solver" in options.solver_options:
            return ("",)
        problem_class = program.problem_class
        if problem_class is ProblemClass.CONVEX_QP:
            return _QP_METHODS if has_hipo() else _QP_METHODS[2:]
        if problem_class is ProblemClass.LP:
            return ("simplex", "ipx") if options.crossover or not has_hipo() else ("hipo without crossover", "simplex")
        return ("mip", "mip tight", "mip without presolve")

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve a program; see `Backend.solve`."""
        import highspy

        negated = program.maximize and (program.Q is not None or method == "hipo without crossover")
        if negated:
            program = _as_minimisation(program)
        start = perf_counter()
        highs, lines = _load(highspy, program, options, method)
        values = options.check_start(program.n_columns)
        if values is not None:
            highs.setSolution(len(values), np.arange(len(values), dtype=np.int32), values)
        loaded = perf_counter() - start
        solution = _run(highspy, highs, program, method, lines)
        solution = solution.replace(seconds={"load": loaded, **solution.seconds})
        return _negated(solution) if negated else solution

    def session(self, program: Program, options: SolveOptions) -> LiveModel | None:
        """Return a live LP, which keeps its simplex basis; MILPs and QPs keep nothing worth having in HiGHS."""
        return _LiveHighs(program, options) if program.problem_class is ProblemClass.LP else None


class _LiveHighs(LiveModel):
    memory = "simplex basis"

    def __init__(self, program: Program, options: SolveOptions) -> None:
        import highspy

        self.highspy = highspy
        self.highs, self.lines = _load(highspy, program, options, "simplex")

    def change(self, program: Program, changed: frozenset[str]) -> None:
        columns = np.arange(program.n_columns, dtype=np.int32)
        if "c" in changed:
            self.highs.changeColsCost(len(columns), columns, program.c)
        if changed & {"lower", "upper"}:
            self.highs.changeColsBounds(len(columns), columns, program.lower, program.upper)
        if changed & {"row_lower", "row_upper"}:
            rows = np.arange(program.n_rows, dtype=np.int32)
            self.highs.changeRowsBounds(len(rows), rows, program.row_lower, program.row_upper)

    def solve(self, program: Program, options: SolveOptions) -> Solution:
        if self.lines:
            self.lines.clear()
        if options.time_limit:  # HiGHS counts the time of all runs of a model
            self.highs.setOptionValue("time_limit", self.highs.getRunTime() + options.time_limit)
        return _run(self.highspy, self.highs, program, "simplex", self.lines)

    def close(self) -> None:
        self.highs.clear()


def _load(highspy: Any, program: Program, options: SolveOptions, method: str) -> tuple[Any, list[str] | None]:
    highs = highspy.Highs()
    lines = _listen(highs, options) if options.log else None
    if options.on_incumbent is not None and program.integer.any():
        _report_incumbents(highs, options.on_incumbent)
    if lines is None:
        highs.setOptionValue("output_flag", False)
    else:
        highs.setOptionValue("log_to_console", False)
    highs.resetGlobalScheduler(True)  # else a new number of threads is refused
    _set_options(highspy, highs, options, method)
    _pass_model(highspy, highs, program)
    return highs, lines


def _run(highspy: Any, highs: Any, program: Program, method: str, lines: list[str] | None) -> Solution:
    start = perf_counter()
    with _interruptible(highs, is_mip=bool(program.integer.any())) as interrupted:
        status = highs.run()
    solved = perf_counter()
    solution = _extract(highspy, highs, program, method)
    if status == highspy.HighsStatus.kError and solution.termination.reason is Reason.ERROR:
        raise SolverFailure(f"HiGHS failed ({solution.termination.raw}) with {method or 'its default method'}.")
    stopped = solution.termination.limit is Limit.INTERRUPT and solution.termination.has_solution
    if interrupted and not (stopped and program.integer.any()):
        raise KeyboardInterrupt  # there is no incumbent worth keeping, or the solve ended before it heard
    seconds = {"solve": solved - start, "extract": perf_counter() - solved}
    return solution.replace(log="".join(lines or ()), seconds=seconds)


@contextmanager
def _interruptible(highs: Any, *, is_mip: bool) -> Iterator[list[int]]:
    """Let Ctrl-C stop the run inside, and yield a list that is not empty once it was pressed.

    Python hears signals only when it runs Python, in the main thread: HiGHS calls it now and then for that. An
    exception may not pass through HiGHS, so that the signal is noted, and HiGHS asked to stop.
    """
    pressed: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pressed  # whoever has a handler of their own decides what Ctrl-C does
        return

    def look(event: Any) -> None:
        if pressed:
            event.interrupt()

    events = [highs.cbMipInterrupt] if is_mip else [highs.cbSimplexInterrupt, highs.cbIpmInterrupt]
    for event in events:
        event.subscribe(look)
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for event in events:
            event.unsubscribe(look)


def _as_minimisation(program: Program) -> Program:
    """Negate the objective: of a maximum HiPO 1.15.1 gets off-diagonals, and signs of multipliers, wrong."""
    quadratic = None if program.Q is None else -program.Q
    return program.replace(c=-program.c, Q=quadratic, constant=-program.constant, maximize=False)


def _negated(solution: Solution) -> Solution:
    return solution.replace(
        objective=None if solution.objective is None else -solution.objective,
        bound=None if solution.bound is None else -solution.bound,
        row_dual=None if solution.row_dual is None else -solution.row_dual,
    )


def _listen(highs: Any, options: SolveOptions) -> list[str]:
    lines: list[str] = []

    def hear(event: Any) -> None:
        lines.append(event.message)
        if options.on_log is not None:
            options.on_log(event.message)

    highs.cbLogging.subscribe(hear)
    return lines


def _report_incumbents(highs: Any, report: Callable[[Any, float, float], None]) -> None:
    def improved(event: Any) -> None:
        out = event.data_out
        report(np.array(out.mip_solution), float(out.objective_function_value), float(out.mip_dual_bound))

    highs.cbMipImprovingSolution.subscribe(improved)


def _set_options(highspy: Any, highs: Any, options: SolveOptions, method: str) -> None:
    if method not in _METHOD_OPTIONS:
        raise OptionError(unknown_name("HiGHS method", method, _METHOD_OPTIONS))
    chosen: dict[str, Any] = {
        "mip_rel_gap": float(options.gap),
        "mip_abs_gap": 0.0,
        "random_seed": options.seed,
        "small_matrix_value": 1e-12,  # smaller Hessian entries are dropped without a word; 1e-9 by default
        **({"threads": options.threads} if options.threads else {}),
        **({"time_limit": float(options.time_limit)} if options.time_limit else {}),
        **_METHOD_OPTIONS[method],
        **options.solver_options,
    }
    for name, value in chosen.items():
        try:
            accepted = highs.setOptionValue(name, value) == highspy.HighsStatus.kOk
        except TypeError:  # neither a number nor a word
            accepted = False
        if not accepted:
            known = HighsBackend().option_names()
            if name in known:
                raise OptionError(f"HiGHS refuses {value!r} for its option {name!r}.")
            raise OptionError(unknown_name("HiGHS option", str(name), known))


def _pass_model(highspy: Any, highs: Any, program: Program) -> None:
    n, m = program.n_columns, program.n_rows
    matrix = program.A
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    empty_int, empty = np.zeros(0, dtype=np.int32), np.zeros(0)
    quadratic = program.Q
    hessian: tuple[Any, ...] = (empty_int, empty_int, empty)
    if quadratic is not None:
        quadratic.sum_duplicates()
        hessian = (quadratic.indptr[:-1], quadratic.indices, quadratic.data)
    sense = highspy.ObjSense.kMaximize if program.maximize else highspy.ObjSense.kMinimize
    status = highs.passModel(
        n,
        m,
        matrix.nnz,
        0 if quadratic is None else quadratic.nnz,
        int(highspy.MatrixFormat.kRowwise),
        int(highspy.HessianFormat.kTriangular),
        int(sense),
        program.constant,
        program.c,
        program.lower,
        program.upper,
        program.row_lower,
        program.row_upper,
        matrix.indptr[:-1],
        matrix.indices,
        matrix.data,
        *hessian,
        program.integer.astype(np.int32),  # needed in full even where nothing is integer
    )
    if status != highspy.HighsStatus.kOk:
        raise SolverFailure(
            "HiGHS changed or refused the model while loading it (coefficients of less than 1e-9 or more than 1e15 in "
            "absolute value are the usual cause). Rescale the columns, or use another solver."
        )


def _extract(highspy: Any, highs: Any, program: Program, method: str) -> Solution:
    raw = highs.getModelStatus()
    termination = _TERMINATIONS.get(raw.name, Termination(Reason.ERROR))
    termination = Termination(termination.reason, termination.limit, highs.modelStatusToString(raw))
    info = highs.getInfo()
    answer = highs.getSolution()
    if method.startswith("hipo") and (info.ipm_iteration_count <= 0 or info.qp_iteration_count != 0):
        method = ""  # HiGHS took another algorithm: do not claim HiPO
    has_point = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    diverged = raw == highspy.HighsModelStatus.kUnboundedOrInfeasible  # a point far out on a ray is no incumbent
    # HiGHS reports x = 0 as feasible when a limit stops it before the first iteration: look for ourselves.
    if (
        termination.reason is Reason.NO_SOLUTION
        and has_point
        and not diverged
        and is_feasible(program, np.array(answer.col_value))
    ):
        termination = Termination(Reason.FEASIBLE, termination.limit, termination.raw)
    is_mip = bool(program.integer.any())
    iterations = sum(max(getattr(info, f"{kind}_iteration_count"), 0) for kind in ("simplex", "ipm", "qp"))
    common: dict[str, Any] = {
        "method": method,
        "iterations": iterations,
        "nodes": int(info.mip_node_count) if is_mip else None,
        "bound": float(info.mip_dual_bound) if is_mip and np.isfinite(info.mip_dual_bound) else None,
    }
    if not termination.has_solution:
        return Solution(termination, **common)
    dual = None
    if answer.dual_valid and not is_mip:
        dual = np.array(answer.row_dual)  # the derivative of the objective, under either sense
    return Solution(
        termination,
        x=np.array(answer.col_value),
        objective=float(info.objective_function_value),
        row_dual=dual,
        **common,
    )
