"""solve(): choose a solver, build, compile, solve, verify; one lane for every problem and solver."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from causalopt.errors import (
    CausaloptWarning,
    DataError,
    LicenseError,
    OptionError,
    SolverFailure,
    SolverNotAvailable,
    UnsupportedProblem,
    VerificationError,
)
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving import reduce as reduction
from causalopt.solving.backend import (
    OPTION_ABILITIES,
    Backend,
    backend_names,
    get_backend,
    installed_backends,
)
from causalopt.solving.options import SolveOptions, unknown_name
from causalopt.solving.result import Ledger, Limit, Reason, Result, Solution, Termination
from causalopt.solving.settle import settle
from causalopt.solving.verify import Tolerances, Verification, verify

FastPath = Callable[[Program, SolveOptions], Solution]
"""An algorithm for one problem: it returns its claims in the order of the program's columns and rows."""


def solve(
    problem_or_model: Any,
    solver: str = "auto",
    *,
    formulation: str | None = None,
    time_limit: float | None = None,
    gap: float = 1e-6,
    threads: int | None = None,
    seed: int = 0,
    start: Any = None,
    isolate: bool = False,
    memory_limit: float | None = None,
    log: bool = False,
    options: Mapping[str, Any] | None = None,
    tolerances: Tolerances | None = None,
) -> Any:
    """Solve a problem, a Pyomo model or a program, and verify the answer from the data.

    Parameters
    ----------
    problem_or_model : Problem, pyomo.environ.ConcreteModel, Block or Program
    solver : str
        A backend ("highs", "scip", "gurobi", "cplex"), a fast path of the problem ("dual-newton", ...), or "auto":
        an exact fast path where one applies, else the first installed open-source backend that takes the program.
    formulation : str, optional
        One of `problem.formulations`; None takes the first.
    time_limit : float, optional
        Seconds for the solver. A limit returns the incumbent with its gap, and warns.
    gap : float
        Relative gap at which a mixed-integer solve may stop.
    threads : int, optional
    seed : int
    start : (n,) array, or True, optional
        A solution to start from; True takes the values that the Pyomo variables hold.
    isolate : bool
        Solve in a process of its own: limits are hard, a crash of the solver is an error rather than the end of this
        process, and incumbents survive both.
    memory_limit : float, optional
        GiB that the solver's process may hold; needs `isolate`.
    log : bool
        Keep the solver's log on the result.
    options : mapping, optional
        Options in the solver's own names.
    tolerances : Tolerances, optional
        What verification accepts.

    Returns
    -------
    Result
        For a `Problem`, its own kind of result. For a model, the values are also written into its variables. For
        models and programs, infeasible and unbounded are statuses of the result.

    Raises
    ------
    InfeasibleError
        For a `Problem` without solution, with an explanation in the study's terms.
    SolverNotAvailable, UnsupportedProblem, LicenseError
        Where the solver does not exist, cannot solve this class, or its licence is too small.
    VerificationError
        Where an answer did not survive recomputation.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> m = pyo.ConcreteModel()
    >>> m.x = pyo.Var(bounds=(0, 4))
    >>> m.o = pyo.Objective(expr=(m.x - 1) ** 2)
    >>> result = solve(m, "highs")
    >>> round(m.x.value, 6), result.status.reason
    (1.0, <Reason.OPTIMAL: 'optimal'>)
    """
    ledger = Ledger()
    chosen = SolveOptions(
        time_limit=time_limit,
        gap=gap,
        threads=threads,
        seed=seed,
        log=log,
        solver_options=dict(options or {}),
        isolate=isolate,
        memory_limit=memory_limit,
    )
    is_problem = hasattr(problem_or_model, "fast_paths")
    if formulation is not None and not is_problem:
        raise OptionError(f"formulation is {formulation!r}, but only problems have formulations.")
    if isinstance(problem_or_model, Program):
        return _solve_model(problem_or_model, None, solver, start, chosen, tolerances, ledger)
    if is_problem:
        return _solve_problem(problem_or_model, solver, formulation, start, chosen, tolerances, ledger)
    if not hasattr(problem_or_model, "component_objects"):
        raise DataError(
            f"solve() takes a causalopt problem, a Pyomo model or a Program, not {type(problem_or_model).__name__}."
        )
    from causalopt.modeling.compile import compile_model, start_values

    if ":" in solver and (backend := get_backend(solver)).takes_models:
        from causalopt.solving.models import solve_model

        return solve_model(problem_or_model, backend, start, chosen, tolerances, ledger, "it was asked for")
    with ledger.phase("compile"):
        program = compile_model(problem_or_model)
        if start is True:
            start = start_values(program)
    return _solve_model(program, problem_or_model, solver, start, chosen, tolerances, ledger)


def _solve_model(
    program: Program,
    model: Any,
    solver: str,
    start: Any,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
) -> Result:
    options = options.replace(start=None if start is True else start)
    backend, reason = choose_backend(program, solver)
    result = solve_program(program, backend, options, tolerances, ledger, reason)
    if model is not None and result.x is not None:
        from causalopt.modeling.compile import load_values

        load_values(program, result.x)
    return result


def _solve_problem(
    problem: Any,
    solver: str,
    formulation: str | None,
    start: Any,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
) -> Any:
    ledger.add("data", problem.data_seconds)
    name = problem.formulation_name(formulation)
    if (search := problem.search(name)) is not None:  # an answer that takes several programs
        from causalopt.solving.lane import Lane

        return search(Lane(solver, name, options.replace(start=start), tolerances, ledger))
    fast_paths = problem.fast_paths(name)
    program = None
    if solver in fast_paths or (solver == "auto" and fast_paths):
        with ledger.phase("build"):
            program = problem.direct_program(name)
    if program is None:
        program = _compiled(problem, name, ledger)
    options = options.replace(start=start)
    named_paths = problem.named_paths(name)
    result = None
    if solver in named_paths and solver not in fast_paths:
        result = run_fast_path(program, solver, named_paths[solver], options, tolerances, ledger, "it was asked for")
    elif solver in fast_paths or (solver == "auto" and fast_paths):
        path = solver if solver in fast_paths else next(iter(fast_paths))
        reason = "it was asked for" if solver == path else f"{path} is an exact algorithm for this problem"
        result = run_fast_path(program, path, fast_paths[path], options, tolerances, ledger, reason)
        if solver == "auto" and result.status.reason is Reason.NO_SOLUTION:
            result = None  # it ran out of steps: a solver is next
    if result is None:
        if solver not in backend_names() and ":" not in solver and solver != "auto":
            raise SolverNotAvailable(unknown_name("solver", solver, [*backend_names(), *fast_paths, *named_paths]))
        tangents = problem.by_tangents(name)
        backend, reason = choose_backend(program, solver, tangents=tangents)
        solve_it = _solve_by_tangents if tangents and _by_tangents(program, backend) else solve_program
        try:
            result = solve_it(program, backend, options, tolerances, ledger, reason)
        except LicenseError as error:
            raise LicenseError(f"{error} {_alternatives(problem, name, backend)}".strip()) from None
    result = dataclasses.replace(result, formulation=name)
    if result.status.reason is Reason.INFEASIBLE:
        raise problem.infeasible(result)
    if not result:
        raise SolverFailure(
            f"{result.solver} ended without a solution ({result.status}). "
            "Allow more time (time_limit=), or use another solver or formulation."
        )
    return problem.result(result, program)


def _alternatives(problem: Any, formulation: str, backend: Backend) -> str:
    """Return, in words, what of a problem fits a licence that its formulation does not: other ways to write it."""
    others = [name for name in problem.formulations.index if name != formulation and problem.search(name) is None]
    fitting = [name for name in others if backend.fits(_compiled(problem, name, Ledger()))]
    paths = list(problem.fast_paths(formulation))
    parts = [
        f"Formulations that fit {backend.name}: {', '.join(fitting)}." if fitting else "",
        f"Fast paths, which need no licence: {', '.join(paths)}." if paths else "",
    ]
    return " ".join(part for part in parts if part)


def _compiled(problem: Any, formulation: str, ledger: Ledger) -> Program:
    from causalopt.modeling.compile import compile_model  # first, so that loading Pyomo is not charged to a phase

    with ledger.phase("build"):
        model = problem.build(formulation)
    with ledger.phase("compile"):
        return compile_model(model)


def _by_tangents(program: Program, backend: Backend) -> bool:
    from causalopt.solving.tangents import can_approximate

    return program.problem_class not in backend.classes and can_approximate(program, backend)


def _solve_by_tangents(
    program: Program,
    backend: Backend,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
    reason: str,
) -> Result:
    from causalopt.solving.tangents import solve_by_tangents

    options = options.replace(start=options.check_start(program.n_columns))
    start = perf_counter()
    solution = solve_by_tangents(program, options, backend=backend, tolerances=tolerances)
    ledger.add("solve", perf_counter() - start)
    with ledger.phase("verify"):
        verified, check = verify(program, solution, gap=options.gap, tolerances=tolerances)
    if not check.passed:
        raise refusal(f"{backend.name} {backend.version()} by tangents", solution, check)
    notes = limit_notes(backend, verified, check)
    for note in notes:
        warnings.warn(note, CausaloptWarning, stacklevel=5)
    return _result(
        verified,
        check,
        ledger,
        solver=backend.name,
        solver_version=backend.version(),
        license=str(backend.license()),
        reason=f"{reason}; it takes no {program.problem_class}, so that tangents stand in for the squares",
        notes=notes,
    )


def choose_backend(program: Program, solver: str, *, tangents: bool = False) -> tuple[Backend, str]:
    """Return the backend for a program, and in a sentence why.

    With `tangents` a solver of MILPs counts as one that takes convex MIQPs, see `causalopt.solving.tangents`.
    """
    if solver != "auto":
        return get_backend(solver), "it was asked for"
    problem_class = program.problem_class
    for backend in installed_backends():
        if backend.open_source and (backend.fits(program) or (tangents and _by_tangents(program, backend))):
            return backend, f"{backend.name} is the first installed open-source solver that takes a {problem_class}"
    able = [b.name for b in installed_backends() if problem_class in b.classes]
    raise SolverNotAvailable(
        f"No installed open-source solver takes this {problem_class}. "
        + (f"Ask by name for one of: {', '.join(able)}." if able else "pip install pyscipopt brings one.")
    )


def run_fast_path(
    program: Program,
    name: str,
    path: FastPath,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
    reason: str,
) -> Result:
    """Run a hand-written algorithm, and verify its answer against the same program as a solver's."""
    from causalopt import __version__

    if options.solver_options:
        raise OptionError(f"{name} takes no solver options: {', '.join(map(str, options.solver_options))}.")
    options = options.replace(start=options.check_start(program.n_columns))
    start = perf_counter()
    solution = path(program, options)
    ledger.add("solve", perf_counter() - start)
    with ledger.phase("verify"):
        verified, check = verify(program, solution, gap=options.gap, tolerances=tolerances)
    if not check.passed:
        raise refusal(name, solution, check)
    notes = []
    if options.isolate:
        notes.append(f"{name} ran in this process: isolate is for solvers, and had no effect.")
        warnings.warn(notes[0], CausaloptWarning, stacklevel=5)
    return _result(
        verified,
        check,
        ledger,
        solver=name,
        solver_version=__version__,
        license="open source",
        reason=reason,
        notes=notes,
    )


def solve_program(
    program: Program,
    backend: Backend,
    options: SolveOptions,
    tolerances: Tolerances | None = None,
    ledger: Ledger | None = None,
    reason: str = "it was asked for",
) -> Result:
    """Solve a program on a backend and verify the answer; infeasible and unbounded are statuses of the result.

    A backend may offer several methods: where verification refuses an answer, the next method is tried, and the
    result's warnings say so.
    """
    ledger = ledger or Ledger()
    backend.check_can_solve(program)
    if options.isolate:
        from causalopt.solving.isolate import IsolatedBackend

        backend = IsolatedBackend(backend, options.memory_limit)
    options = options.replace(start=options.check_start(program.n_columns))
    shown = unused_options(backend, options)  # what the user must hear of; other notes stay on the result
    notes: list[str] = []
    solution = _trivial(program)
    if solution is not None:
        verified, check = verify(program, solution, gap=options.gap, tolerances=tolerances)
    else:
        solution, verified, check, notes = _solve_in_parts(program, backend, options, tolerances, ledger)
    if not check.passed:
        raise refusal(f"{backend.name} {backend.version()}", solution, check)
    shown += limit_notes(backend, verified, check)
    for note in shown:
        warnings.warn(note, CausaloptWarning, stacklevel=4)
    return verified_result(verified, check, ledger, backend, reason, shown + notes)


def unused_options(backend: Backend, options: SolveOptions) -> list[str]:
    """Return, in words, which options the backend cannot use."""
    asked = {
        "start": options.start is not None,
        "seed": options.seed != 0,
        "threads": options.threads not in (None, 1),
        "time_limit": options.time_limit is not None,
    }
    return [
        f"{backend.name} cannot use {name}; it had no effect."
        for name, ability in OPTION_ABILITIES.items()
        if asked[name] and ability not in backend.abilities
    ]


def _trivial(program: Program) -> Solution | None:
    if reduction.has_crossed_bounds(program):
        return Solution(Termination(Reason.INFEASIBLE, raw="a lower bound exceeds its upper bound"))
    if program.n_columns == 0:
        feasible = (program.row_lower <= 0).all() and (program.row_upper >= 0).all()
        if not feasible:
            return Solution(Termination(Reason.INFEASIBLE, raw="no variables, and a row that zero violates"))
        return Solution(
            Termination(Reason.OPTIMAL, raw="no variables"),
            x=np.empty(0),
            objective=program.constant,
            bound=program.constant,
            row_dual=np.zeros(program.n_rows),
        )
    return None


def _solve_in_parts(
    program: Program, backend: Backend, options: SolveOptions, tolerances: Tolerances | None, ledger: Ledger
) -> tuple[Solution, Solution, Verification, list[str]]:
    with ledger.phase("compile"):
        reduced, restore = reduction.reduce(program)
        options = options.replace(start=restore.start(options.start))
        if reduction.has_crossed_bounds(reduced):
            solution = Solution(
                Termination(Reason.INFEASIBLE, raw="rows or bounds of one variable contradict each other")
            )
            return solution, *verify(program, solution), []
        pieces = reduction.parts(reduced)
    if len(pieces) == 1:
        verdict = partial(_verified, program, restore, options, tolerances, ledger)
        return _try_methods(reduced, backend, options, ledger, verdict)
    notes: list[str] = []
    solutions = []
    deadline = None if options.time_limit is None else perf_counter() + options.time_limit
    for columns, rows in pieces:
        piece = reduction.part(reduced, columns, rows)
        remaining = options.replace(
            start=None if options.start is None else options.start[columns],
            time_limit=None if deadline is None else max(deadline - perf_counter(), 1e-3),
        )
        verdict = partial(_verified, piece, lambda s: s, remaining, tolerances, ledger)
        _, solution, check, more = _try_methods(piece, backend, remaining, ledger, verdict)
        notes += [note for note in more if note not in notes]
        # The whole can have a bound only where each part has one: that of a linear part comes from its multipliers.
        solutions.append(solution.replace(bound=solution.bound if check.bound is None else check.bound))
        if solution.termination.reason in (Reason.INFEASIBLE, Reason.ERROR):
            break
    if len(solutions) < len(pieces):
        solution = Solution(solutions[-1].termination)
    else:
        solution = reduction.join(reduced, pieces, solutions)
    return *_verified(program, restore, options, tolerances, ledger, solution), notes


def _verified(
    program: Program,
    restore: reduction.Step,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
    solution: Solution,
) -> tuple[Solution, Solution, Verification]:
    with ledger.phase("verify"):
        solution = restore(solution)
        return solution, *verify(program, solution, gap=options.gap, tolerances=tolerances)


def _try_methods(
    program: Program,
    backend: Backend,
    options: SolveOptions,
    ledger: Ledger,
    verdict: Callable[[Solution], tuple[Solution, Solution, Verification]],
) -> tuple[Solution, Solution, Verification, list[str]]:
    """Try the backend's methods in turn until verification accepts an answer."""
    notes: list[str] = []
    failure: SolverFailure | None = None
    outcome = None
    methods = backend.methods(program, options)
    for method in methods:
        what_next = "; tried again." if method != methods[-1] else "."
        try:
            solution = settle(program, backend, options, backend.solve(program, options, method))
        except SolverFailure as error:
            failure = failure or error
            notes.append(f"{backend.name} ({method}) failed: {error}")
            continue
        for phase, value in solution.seconds.items():
            ledger.add(phase, value)
        trial = verdict(solution)
        check = trial[2]
        stopped = solution.termination.limit is not Limit.NONE
        found = trial[1].termination
        inconclusive = found.reason in (Reason.NO_SOLUTION, Reason.ERROR) or (
            found.reason is Reason.FEASIBLE and program.problem_class in (ProblemClass.LP, ProblemClass.CONVEX_QP)
        )
        if check.passed and (stopped or not inconclusive):
            return *trial, notes
        outcome = trial if outcome is None else max(outcome, trial, key=_usefulness)
        notes.append(f"{backend.name} ({method}): {solution.termination.raw if check.passed else check}{what_next}")
    if outcome is None:
        assert failure is not None
        raise failure
    return *outcome, notes


def _usefulness(trial: tuple[Solution, Solution, Verification]) -> tuple[bool, float]:
    _, verified, check = trial
    return check.passed and verified.termination.has_solution, -np.inf if check.gap is None else -check.gap


def limit_notes(backend: Backend, solution: Solution, check: Verification) -> list[str]:
    """Return, in words, the limit that stopped a solve before its answer was proven, if one did."""
    termination = solution.termination
    if termination.limit is Limit.NONE or termination.reason is Reason.OPTIMAL:
        return []
    gap = "unknown" if check.gap is None else f"{check.gap:.2g}"
    return [f"{backend.name} stopped at its {termination.limit} limit with a gap of {gap}."]


def refusal(solver: str, solution: Solution, check: Verification) -> VerificationError:
    """Return the error for an answer that did not survive recomputation."""
    claim = f"{solution.termination} with objective {solution.objective}"
    return VerificationError(
        f"{solver} claimed {claim}, but recomputed from the data: {'; '.join(check.problems)}. "
        "Do not use this answer; try another solver, or rescale the data.",
        claim,
        check,
    )


def verified_result(
    solution: Solution,
    check: Verification,
    ledger: Ledger,
    backend: Backend,
    reason: str,
    notes: list[str] | None = None,
) -> Result:
    """Return a backend's verified answer as a result."""
    return _result(
        solution,
        check,
        ledger,
        solver=backend.name,
        solver_version=backend.version(),
        license=str(backend.license()),
        reason=reason,
        notes=notes,
    )


def _result(
    solution: Solution,
    check: Verification,
    ledger: Ledger,
    *,
    solver: str,
    solver_version: str,
    license: str,
    reason: str,
    notes: list[str] | None = None,
) -> Result:
    return Result(
        status=solution.termination,
        objective=check.objective,
        bound=check.bound,
        gap=check.gap,
        x=solution.x,
        row_dual=solution.row_dual,
        verification=check,
        timing=ledger.close(),
        solver=solver,
        solver_version=solver_version,
        license=license,
        method=solution.method,
        solver_reason=reason,
        log=solution.log,
        peak_memory=solution.peak_memory,
        warnings=tuple(notes or ()),
    )


__all__ = ["ProblemClass", "UnsupportedProblem", "choose_backend", "solve", "solve_program"]
