"""Any Pyomo solver by name (`pyomo:cbc`, `pyomo:glpk`, `pyomo:ipopt`, ...), with the Pyomo model itself."""

from __future__ import annotations

import importlib.metadata
import io
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
from causalopt_pyomo_known import SOLVERS, Known

from causalopt import modeling
from causalopt.errors import OptionError, SolverFailure, SolverNotAvailable, UnsupportedProblem
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.backend import OPEN_SOURCE, Ability, Backend, License, backend_names, load_backend
from causalopt.solving.options import SolveOptions, unknown_name
from causalopt.verifying.claims import Limit, Reason, Solution, Termination
from causalopt.verifying.polish import polished

_STOPPED = Termination(Reason.NO_SOLUTION)

#: By Pyomo's termination condition. What a solver means by "unbounded" differs: it is settled by a second solve.
_TERMINATIONS = {
    "optimal": Termination(Reason.OPTIMAL),
    "globallyOptimal": Termination(Reason.OPTIMAL),
    "locallyOptimal": Termination(Reason.FEASIBLE),
    "feasible": Termination(Reason.FEASIBLE),
    "infeasible": Termination(Reason.INFEASIBLE),
    "unbounded": Termination(Reason.NO_SOLUTION, raw="if feasible"),
    "infeasibleOrUnbounded": _STOPPED,
    "maxTimeLimit": Termination(Reason.NO_SOLUTION, Limit.TIME),
    "maxIterations": Termination(Reason.NO_SOLUTION, Limit.ITERATIONS),
    "maxEvaluations": Termination(Reason.NO_SOLUTION, Limit.ITERATIONS),
    "minFunctionValue": _STOPPED,
    "minStepLength": _STOPPED,
    "other": _STOPPED,
    "noSolution": _STOPPED,
    "intermediateNonInteger": _STOPPED,
    "unknown": _STOPPED,
    "userInterrupt": Termination(Reason.NO_SOLUTION, Limit.INTERRUPT),
    "resourceInterrupt": Termination(Reason.NO_SOLUTION, Limit.MEMORY),
    "invalidProblem": Termination(Reason.ERROR),
    "solverFailure": Termination(Reason.ERROR),
    "internalSolverError": Termination(Reason.ERROR),
    "error": Termination(Reason.ERROR),
    "licensingProblems": Termination(Reason.ERROR),
}


_NO_TIME = {"load": 0.0, "solve": 0.0, "extract": 0.0}

#: What Pyomo's interfaces raise on a model that their solver cannot take.
_WRONG_CLASS = ("DegreeError", "IncompatibleModelError", "InvalidExpressionError")


class PyomoBackend(Backend):
    """One of Pyomo's solvers; without a name it stands for all of them.

    Options that Pyomo's newer interfaces would take in silence are checked where causalopt has a backend of the same
    solver; for others the solver itself has to refuse a misspelled name.
    """

    package = "pyomo"
    distribution = "pyomo"
    name: str = "pyomo"  # type: ignore[misc]  # one object a solver
    classes: frozenset[ProblemClass] = frozenset(ProblemClass)  # type: ignore[misc]
    abilities: frozenset[Ability] = frozenset({Ability.TIME_LIMIT, Ability.LOG})  # type: ignore[misc]
    open_source = False  # never chosen by "auto"
    tested_variants: tuple[str, ...] = ("highs", "scip_direct")  # type: ignore[misc]
    takes_models: ClassVar[bool] = True
    exclude: Mapping[str, str] = {}  # type: ignore[misc]

    def __init__(self, solver: str = "") -> None:
        self.solver = solver
        self.known = SOLVERS.get(solver, Known())
        if solver:
            self.name, self.tested_variants = f"pyomo:{solver}", ()
            self.classes, self.exclude = self.known.classes, self.known.exclude
            named = (
                (self.known.gap, Ability.GAP),
                (self.known.threads, Ability.THREADS),
                (self.known.seed, Ability.SEED),
            )
            self.abilities |= {ability for name, ability in named if name}
            self.abilities -= set() if self.known.log else {Ability.LOG}

    def variant(self, name: str) -> Backend:
        """Return the backend of the Pyomo solver of this name.

        Raises
        ------
        SolverNotAvailable
            Where Pyomo knows no solver of this name.
        """
        known = {solver for solver in modeling.pyo.SolverFactory if not solver.startswith("_")} | set(SOLVERS)
        if name not in known:
            raise SolverNotAvailable(unknown_name("Pyomo solver", name, known))
        return PyomoBackend(name)

    def is_installed(self) -> bool:
        """Return whether Pyomo finds the solver; without a name, whether there is a Pyomo."""
        if not self.solver:
            return super().is_installed()
        with _quiet():
            return bool(self._make().available(exception_flag=False))

    def how_to_install(self) -> str:
        """Return what is missing, as the rest of a sentence."""
        return f"needs the solver {self.solver} where Pyomo finds it: on the PATH, or as a Python package."

    def version(self) -> str:
        """Return the version of the solver, as far as Pyomo knows it, and of Pyomo."""
        pyomo_version = f"pyomo {importlib.metadata.version('pyomo')}"
        if not self.solver:
            return pyomo_version
        with _quiet():
            version = self._make().version()
        return ", ".join([".".join(str(part) for part in version or ()), pyomo_version]).removeprefix(", ")

    def license(self) -> License:
        """Return the licence of the same solver's own backend, where there is one."""
        if self.known.open_source:
            return OPEN_SOURCE
        if self.known.engine in backend_names():
            return load_backend(self.known.engine).license()
        return License("unknown", detail="as the solver's own")

    def option_names(self) -> frozenset[str] | None:
        """Return the names of the solver's options where its own backend lists them."""
        if self.known.engine not in backend_names():
            return None
        names = load_backend(self.known.engine).option_names()
        separator = "_" if self.known.engine == "cplex" else "."
        return None if names is None else frozenset(name.replace(".", separator) for name in names)

    def methods(self, program: Program, options: SolveOptions) -> tuple[str, ...]:
        """Return the solver's own choice, but for HiGHS and convex QPs its interior-point method first."""
        convex = program.problem_class is ProblemClass.CONVEX_QP
        takes_hipo = self.known.engine == "highs" and "solver" not in options.solver_options
        if convex and takes_hipo and "hipo" in load_backend("highs").methods(program, options):
            return ("hipo", "")
        return ("",)

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Write the program as a Pyomo model and solve that; see `Backend.solve`."""
        as_model = modeling.as_model  # first, so that loading Pyomo is not charged to a phase
        start = perf_counter()
        empty = np.diff(program.A.indptr) == 0
        if (empty & ((program.row_lower > 0) | (program.row_upper < 0))).any():
            return Solution(
                Termination(Reason.INFEASIBLE, raw="a row without entries that zero violates"), seconds=_NO_TIME
            )
        if empty.all() and not program.c.any() and (program.Q is None or program.Q.nnz == 0):
            return _anywhere(program)  # Pyomo passes on only the variables that are used: here it would pass on none
        model = as_model(program, options.start)
        variables = list(model.x.values())
        built = perf_counter() - start
        solution = self.solve_model(model, variables, options, method)
        if solution.x is not None:
            x = polished(program, solution.x)
            solution = solution if x is solution.x else solution.replace(x=x, objective=program.objective(x))
        return solution.replace(seconds={**solution.seconds, "load": built + solution.seconds["load"]})

    def solve_model(self, model: Any, variables: Sequence[Any], options: SolveOptions, method: str = "") -> Solution:
        """Solve a Pyomo model and return the claims, `x` in the order of `variables`. The model is left as it was.

        Raises
        ------
        OptionError
            For an option that the solver does not have.
        SolverFailure
            Where Pyomo or the solver raises.
        """
        start = perf_counter()
        solver = self._make()
        chosen = self._options(options) | ({"solver": method, "run_crossover": "off"} if method else {})
        for name, value in chosen.items():
            solver.options[name] = value
        listens = options.log and self.known.log
        arguments: dict[str, Any] = {"load_solutions": False, "tee": listens}
        if options.time_limit is not None and not self.known.time:
            arguments["timelimit"] = options.time_limit
        if options.start is not None and solver.warm_start_capable():
            arguments["warmstart"] = True
        loaded = perf_counter()
        with ExitStack() as stack:
            stack.enter_context(_restored(variables))
            stack.enter_context(_quiet())
            log = stack.enter_context(_captured()) if listens else None
            if options.start is not None:
                for variable, value in zip(variables, options.start.tolist(), strict=True):
                    variable.set_value(value, skip_validation=True)
            try:
                answer = solver.solve(model, **arguments)
            except Exception as error:  # Pyomo's interfaces raise errors of every kind
                words = str(error).strip() or type(error).__name__
                if type(error).__name__ in _WRONG_CLASS:
                    raise UnsupportedProblem(f"{self.name} does not take this model: {words}.") from error
                raise SolverFailure(f"{self.name} failed: {words}") from error
            solved = perf_counter()
            solution = self._extract(model, variables, answer)
        return solution.replace(
            log="" if log is None else log.getvalue(),
            seconds={"load": loaded - start, "solve": solved - loaded, "extract": perf_counter() - solved},
        )

    def _make(self) -> Any:
        return modeling.pyo.SolverFactory(self.solver)

    def _options(self, options: SolveOptions) -> dict[str, Any]:
        names = self.option_names() if options.solver_options else None
        for name in options.solver_options:
            if names is not None and name not in names:
                raise OptionError(unknown_name(f"option of {self.name}", str(name), names))
        known = self.known
        return {
            **known.options,
            **({known.gap: float(options.gap)} if known.gap else {}),
            **({known.time: float(options.time_limit)} if known.time and options.time_limit else {}),
            **({known.seed: options.seed} if known.seed and options.seed else {}),
            **({known.threads: options.threads} if known.threads and options.threads else {}),
            **options.solver_options,
        }

    def _extract(self, model: Any, variables: Sequence[Any], answer: Any) -> Solution:
        from pyomo.opt import SolverStatus

        raw = str(answer.solver.termination_condition)
        known = _TERMINATIONS.get(raw, Termination(Reason.ERROR))
        reason = known.reason
        if self.known.local and reason in (Reason.OPTIMAL, Reason.INFEASIBLE):  # near a point only
            reason = Reason.FEASIBLE if reason is Reason.OPTIMAL else Reason.NO_SOLUTION
        raw = f"{raw} {known.raw}".strip()
        if reason in (Reason.INFEASIBLE, Reason.ERROR) or "nbounded" in raw or len(answer.solution) == 0:
            return Solution(Termination(Reason.NO_SOLUTION if known.has_solution else reason, known.limit, raw))
        answer.solver.status = SolverStatus.ok  # else Pyomo refuses to load the incumbent of a stopped solve
        model.model().solutions.load_from(answer, default_variable_value=None)
        objective = next(iter(model.component_data_objects(modeling.pyo.Objective, active=True)))
        ends = [_number(answer.problem.lower_bound), _number(answer.problem.upper_bound)]
        bound, value = ends if objective.sense == modeling.pyo.minimize else ends[::-1]
        x = np.array([_value(variable) for variable in variables])
        if reason is Reason.NO_SOLUTION:
            reason = Reason.FEASIBLE  # verification looks whether it is
        return Solution(
            Termination(reason, known.limit, raw), x=x, objective=value, bound=None if self.known.local else bound
        )


def _anywhere(program: Program) -> Solution:
    """Return the point of the bounds that is nearest to zero, for a program without rows and costs."""
    low = np.where(program.integer, np.ceil(program.lower), program.lower)
    high = np.where(program.integer, np.floor(program.upper), program.upper)
    if (low > high).any():
        return Solution(Termination(Reason.INFEASIBLE, raw="bounds contradict each other"), seconds=_NO_TIME)
    return Solution(
        Termination(Reason.OPTIMAL, raw="no constraint or cost uses a variable"),
        x=np.clip(np.zeros(program.n_columns), low, high),
        objective=program.constant,
        bound=program.constant,
        seconds=_NO_TIME,
    )


def _number(value: Any) -> float | None:
    """Read a bound of a results object, which may be a number, a ScalarData, None or infinite."""
    value = getattr(value, "value", value)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _value(variable: Any) -> float:
    """Return the value; a variable that no constraint or cost uses gets the one nearest to zero that it may have."""
    if variable.value is not None:
        return float(variable.value)
    low, high = variable.bounds
    value = min(max(0.0, -math.inf if low is None else low), math.inf if high is None else high)
    return float(math.ceil(value)) if variable.is_integer() else value


@contextmanager
def _restored(variables: Sequence[Any]) -> Iterator[None]:
    """Give the variables their values back: only a verified answer is written into a model."""
    before = [(variable.value, variable.stale) for variable in variables]
    try:
        yield
    finally:
        for variable, (value, stale) in zip(variables, before, strict=True):
            variable.set_value(value, skip_validation=True)
            variable.stale = stale


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pyomo from logging what the result says anyway."""
    logger = logging.getLogger("pyomo")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _captured() -> Iterator[io.StringIO]:
    from pyomo.common.tee import capture_output

    with capture_output(io.StringIO(), capture_fd=True) as log:
        yield log
