"""One program, one solver: reduced, split into parts, tried by method after method until verification accepts."""

from __future__ import annotations

import dataclasses
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
from causalopt.solving.polish import polished_pair
from causalopt.solving.result import Ledger, Limit, Reason, Result, Solution, Termination
from causalopt.solving.settle import settle
from causalopt.solving.verify import Proof, Tolerances, Verification, verify

FastPath = Callable[[Program, SolveOptions], Solution]
"""An algorithm for one problem: it returns its claims in the order of the program's columns and rows."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A solver's answer, what verification made of it, and in words what was tried before."""

    solution: Solution
    verified: Solution
    check: Verification
    notes: tuple[str, ...] = ()

    @property
    def is_optimal(self) -> bool:
        """Whether the answer passed, and is optimal."""
        return self.check.passed and self.verified.termination.reason is Reason.OPTIMAL

    def is_settled(self, *, rescaled: bool) -> bool:
        """Whether nothing is to be gained from other units.

        A claim of infeasible or unbounded that no multipliers prove says nothing of the program in its own units.
        """
        termination = self.verified.termination
        if not self.check.passed:
            return False
        if termination.reason in (Reason.INFEASIBLE, Reason.UNBOUNDED):
            return self.check.proof is Proof.CERTIFIED or not rescaled
        return termination.reason is Reason.OPTIMAL or termination.limit is not Limit.NONE


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
        trial = solve_in_any_units(program, backend, options, tolerances, ledger)
        solution, verified, check, notes = trial.solution, trial.verified, trial.check, list(trial.notes)
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


def solve_in_any_units(
    program: Program, backend: Backend, options: SolveOptions, tolerances: Tolerances | None, ledger: Ledger
) -> Trial:
    """Solve in one scaling after another, until an answer holds in the program's own units."""
    notes: list[str] = []
    best: Trial | None = None
    failure: SolverFailure | None = None
    seen_plain = False
    deadline = None if options.time_limit is None else perf_counter() + options.time_limit
    for scaling in reduction.Scaling.order(program.problem_class):
        with ledger.phase("compile"):
            reduced, restore = reduction.reduce(program, scaling)
        if seen_plain and not restore.rescaled:
            continue
        seen_plain |= not restore.rescaled
        if deadline is not None and best is not None:
            if perf_counter() >= deadline:
                break
            options = options.replace(time_limit=deadline - perf_counter())
        try:
            trial = _solve_in_parts(program, reduced, restore, backend, options, tolerances, ledger)
        except SolverFailure as error:
            failure = failure or error
            notes.append(f"{backend.name}, {scaling}, failed: {error}")
            continue
        trial = _without_hearsay(trial, program, scaling, rescaled=restore.rescaled)
        notes += [note for note in trial.notes if note not in notes]
        best = trial if best is None else _better(best, trial)
        if trial.is_settled(rescaled=restore.rescaled):
            break
    if best is None:
        assert failure is not None
        raise failure
    return dataclasses.replace(best, notes=tuple(notes))


def _without_hearsay(trial: Trial, program: Program, scaling: reduction.Scaling, *, rescaled: bool) -> Trial:
    """Take no solver's word for a bound in units in which its tolerances may be larger than the caller's."""
    hearsay = rescaled and scaling is reduction.Scaling.FULL and trial.check.proof is Proof.CLAIMED
    if not hearsay or not trial.verified.termination.has_solution:
        return trial
    termination = dataclasses.replace(trial.verified.termination, reason=Reason.FEASIBLE)
    return dataclasses.replace(
        trial,
        verified=trial.verified.replace(termination=termination, bound=None),
        check=dataclasses.replace(trial.check, bound=None, gap=None, proof=Proof.NONE),
    )


def _solve_in_parts(
    program: Program,
    reduced: Program,
    restore: reduction.Restore,
    backend: Backend,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
) -> Trial:
    with ledger.phase("compile"):
        options = options.replace(start=restore.start(options.start))
        if reduction.has_crossed_bounds(reduced):
            solution = Solution(
                Termination(Reason.INFEASIBLE, raw="rows or bounds of one variable contradict each other")
            )
            return Trial(solution, *verify(program, solution))
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
        trial = _try_methods(piece, backend, remaining, ledger, verdict)
        solution, check = trial.verified, trial.check
        notes += [note for note in trial.notes if note not in notes]
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
    trial = _verified(program, restore, options, tolerances, ledger, solution)
    return dataclasses.replace(trial, notes=tuple(notes))


def _verified(
    program: Program,
    restore: reduction.Step,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
    solution: Solution,
) -> Trial:
    with ledger.phase("verify"):
        return verified_or_polished(program, restore(solution), options, tolerances)


def verified_or_polished(
    program: Program, solution: Solution, options: SolveOptions, tolerances: Tolerances | None
) -> Trial:
    """Verify an answer; where it is not proven optimal, polish it and look whether that is."""
    trial = Trial(solution, *verify(program, solution, gap=options.gap, tolerances=tolerances))
    if trial.is_optimal or not solution.termination.has_solution:
        return trial
    closer = closer_to_optimal(program, solution)
    if closer is None:
        return trial
    again = Trial(closer, *verify(program, closer, gap=options.gap, tolerances=tolerances))
    return again if again.is_optimal else trial


def closer_to_optimal(program: Program, solution: Solution) -> Solution | None:
    """Return an LP's or convex QP's solution polished in moderate units, with its multipliers; None where that fails."""
    if program.problem_class not in (ProblemClass.LP, ProblemClass.CONVEX_QP):
        return None
    if solution.x is None or solution.x.shape != (program.n_columns,) or not np.isfinite(solution.x).all():
        return None
    reduced, restore = reduction.reduce(program, reduction.Scaling.FULL)
    near = restore.start(solution.x)
    found = None if near is None else polished_pair(reduced, near)
    if found is None:
        return None
    x, row_dual = found
    closer = restore(solution.replace(x=x, row_dual=row_dual, objective=reduced.objective(x), bound=None))
    return closer.replace(termination=Termination(Reason.FEASIBLE, solution.termination.limit, solution.termination.raw))


def _try_methods(
    program: Program,
    backend: Backend,
    options: SolveOptions,
    ledger: Ledger,
    verdict: Callable[[Solution], Trial],
) -> Trial:
    """Try the backend's methods in turn until verification accepts an answer."""
    notes: list[str] = []
    failure: SolverFailure | None = None
    outcome: Trial | None = None
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
        check = trial.check
        stopped = solution.termination.limit is not Limit.NONE
        found = trial.verified.termination
        inconclusive = found.reason in (Reason.NO_SOLUTION, Reason.ERROR) or (
            found.reason is Reason.FEASIBLE and program.problem_class in (ProblemClass.LP, ProblemClass.CONVEX_QP)
        )
        if check.passed and (stopped or not inconclusive):
            return dataclasses.replace(trial, notes=tuple(notes))
        if solution.termination.limit is Limit.INTERRUPT:
            raise KeyboardInterrupt  # what was found is refuted, and the user waits for no other method
        outcome = trial if outcome is None else max(outcome, trial, key=_usefulness)
        notes.append(f"{backend.name} ({method}): {solution.termination.raw if check.passed else check}{what_next}")
    if outcome is None:
        assert failure is not None
        raise failure
    return dataclasses.replace(outcome, notes=tuple(notes))


def _usefulness(trial: Trial) -> tuple[bool, float]:
    gap = trial.check.gap
    return trial.check.passed and trial.verified.termination.has_solution, -np.inf if gap is None else -gap


def _better(first: Trial, second: Trial) -> Trial:
    """Return the more useful of two answers; of a solution that was refused and the claim of none, the refusal."""
    useful = max(first, second, key=_usefulness)
    if useful.check.passed and not useful.verified.termination.has_solution:
        return next((t for t in (first, second) if t.solution.termination.has_solution), second)
    return useful


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
