"""One program, one solver: reduced, split into parts, tried by method after method until verification accepts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from time import perf_counter

import numpy as np

from causalopt.errors import CausaloptWarning, OptionError, SolverFailure, VerificationError
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving import reduce as reduction
from causalopt.solving.ask import ask
from causalopt.solving.backend import OPTION_ABILITIES, Backend
from causalopt.solving.options import NOT_ISOLATED, SolveOptions
from causalopt.solving.result import Ledger, Limit, Reason, Result, Solution, Termination
from causalopt.solving.settle import settle
from causalopt.solving.verify import Tolerances, Verification, verify

FastPath = Callable[[Program, SolveOptions], Solution]
"""An algorithm for one problem: it returns its claims in the order of the program's columns and rows."""


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
        raise OptionError(
            f"{name} takes no solver options: {', '.join(map(str, options.solver_options))}. "
            "They are for solvers: name one, such as solver='highs'."
        )
    if options.start is not None:
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
        notes.append(f"{name} {NOT_ISOLATED}")
        warnings.warn(notes[0], CausaloptWarning, stacklevel=5)
    return as_result(
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
        if solution.termination.limit is Limit.INTERRUPT and len(solutions) < len(pieces):
            raise KeyboardInterrupt  # without the parts that are left there is no solution to keep
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
            solution = settle(program, backend, options, ask(backend, program, options, method))
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
        if solution.termination.limit is Limit.INTERRUPT:
            raise KeyboardInterrupt  # what was found is refuted, and the user waits for no other method
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
    how = f"with a gap of {gap}" if termination.has_solution else "without a solution"
    return [f"{backend.name} stopped at its {termination.limit} limit {how}."]


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
    return as_result(
        solution,
        check,
        ledger,
        solver=backend.name,
        solver_version=backend.version(),
        license=str(backend.license()),
        reason=reason,
        notes=notes,
    )


def as_result(
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
    """Return a verified answer as a result."""
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
