"""solve(): choose a solver, build, compile, solve, verify; one lane for every problem and solver."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from causalopt.errors import DataError, LicenseError, OptionError, SolverFailure, SolverNotAvailable
from causalopt.modeling.program import Program
from causalopt.solving.attempts import run_fast_path, solve_program
from causalopt.solving.backend import Backend, backend_names, get_backend, installed_backends, unknown_solver
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Ledger, Result
from causalopt.verifying.claims import Reason, Tolerances


def solve(
    problem_or_model: Any,
    solver: str | Backend = "auto",
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
    solver : str or Backend
        A backend ("highs", "scip", "gurobi", "cplex"), a fast path of the problem ("dual-newton", ...), or "auto":
        an exact fast path where one applies, else the first installed open-source backend that takes the program.
        A backend of your own need not be registered: give the object.
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
        For a `Problem`, its own kind of result. For a model, the values are also written into its variables, and the
        multipliers into a suffix `dual` that imports, where it declares one. For models and
        programs, infeasible and unbounded are statuses of the result.

    Raises
    ------
    OptionError, DataError
        For a name or value that does not exist, or what is neither problem, model nor program.
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
    if not isinstance(solver, str):
        solver = get_backend(solver)
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

    if (isinstance(solver, Backend) or ":" in solver) and (backend := get_backend(solver)).takes_models:
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
    solver: str | Backend,
    start: Any,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
) -> Result:
    options = options.replace(start=None if start is True else start)
    backend, reason = choose_backend(program, solver)
    result = solve_program(program, backend, options, tolerances, ledger, reason)
    if model is not None:
        from causalopt.modeling.compile import load_values
        from causalopt.modeling.suffixes import load_duals

        if result.x is not None:
            load_values(program, result.x)
        load_duals(model, program, result.row_dual)
    return result


def _solve_problem(
    problem: Any,
    solver: str | Backend,
    formulation: str | None,
    start: Any,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
) -> Any:
    from causalopt.solving.tangents import needs_tangents, solve_program_by_tangents

    ledger.add("data", problem.data_seconds)
    name = problem.formulation_name(formulation)
    if (search := problem.search(name)) is not None:  # an answer that takes several programs
        from causalopt.solving.several import Lane

        if isinstance(solver, Backend):
            raise OptionError("This answer takes several programs: name a registered solver, not a backend object.")
        return search(Lane(solver, name, options.replace(start=start), tolerances, ledger))
    fast_paths = problem.fast_paths(name)
    asked = solver if isinstance(solver, str) else ""
    program = None
    if asked in fast_paths or (solver == "auto" and fast_paths):
        with ledger.phase("build"):
            program = problem.direct_program(name)
    if program is None:
        program = _compiled(problem, name, ledger)
    options = options if start is None else options.replace(start=start)
    named_paths = problem.named_paths(name)
    result = None
    if asked in named_paths and asked not in fast_paths:
        result = run_fast_path(program, asked, named_paths[asked], options, tolerances, ledger, "it was asked for")
    elif asked in fast_paths or (asked == "auto" and fast_paths):
        path = asked if asked in fast_paths else next(iter(fast_paths))
        reason = "it was asked for" if asked == path else f"{path} is an exact algorithm for this problem"
        result = run_fast_path(program, path, fast_paths[path], options, tolerances, ledger, reason)
        if solver == "auto" and result.status.reason is Reason.NO_SOLUTION:
            result = None  # it ran out of steps: a solver is next
    if result is None:
        if asked and asked not in (*backend_names(), "auto") and ":" not in asked:
            raise unknown_solver(asked, [*backend_names(), *fast_paths, *named_paths])
        tangents = problem.by_tangents(name)
        backend, reason = choose_backend(program, solver, tangents=tangents)
        solve_it = solve_program_by_tangents if tangents and needs_tangents(program, backend) else solve_program
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


def choose_backend(program: Program, solver: str | Backend, *, tangents: bool = False) -> tuple[Backend, str]:
    """Return the backend for a program, and in a sentence why.

    With `tangents` a solver of MILPs counts as one that takes convex MIQPs, see `causalopt.solving.tangents`.
    """
    if solver != "auto":
        return get_backend(solver), "it was asked for"
    from causalopt.solving.tangents import needs_tangents

    problem_class = program.problem_class
    for backend in installed_backends():
        if backend.open_source and (backend.fits(program) or (tangents and needs_tangents(program, backend))):
            return backend, f"{backend.name} is the first installed open-source solver that takes a {problem_class}"
    able = [b.name for b in installed_backends() if problem_class in b.classes]
    raise SolverNotAvailable(
        f"No installed open-source solver takes this {problem_class}. "
        + (f"Ask by name for one of: {', '.join(able)}." if able else "pip install pyscipopt brings one.")
    )
