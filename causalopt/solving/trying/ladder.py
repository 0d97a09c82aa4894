"""One program, one solver: in one scaling after another, in parts, by method after method until an answer holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

import numpy as np

from causalopt.errors import SolverFailure
from causalopt.modeling.program import Ints, ProblemClass, Program
from causalopt.solving.backend import Backend
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Ledger
from causalopt.solving.trying import reduce as reduction
from causalopt.solving.trying.ask import ask
from causalopt.solving.trying.scaling import Scaling, Step
from causalopt.solving.trying.settle import settle
from causalopt.solving.trying.trials import LAST_DIGITS, Trial, better, usefulness, verified_or_polished
from causalopt.verifying.claims import Limit, Proof, Reason, Solution, Termination, Tolerances
from causalopt.verifying.verify import objective_scale, verify


def solve_in_any_units(
    program: Program, backend: Backend, options: SolveOptions, tolerances: Tolerances | None, ledger: Ledger
) -> Trial:
    """Solve in one scaling after another, until an answer holds in the program's own units."""
    notes: list[str] = []
    best: Trial | None = None
    failure: SolverFailure | None = None
    seen: set[tuple[bool, bool, bool, bytes]] = set()
    spread = _costs_are_spread(program)
    deadline = None if options.time_limit is None else perf_counter() + options.time_limit
    exact = partial(_with_exact_columns, program, backend, options, deadline, tolerances, ledger)
    for scaling in Scaling.order(program.problem_class):
        with ledger.phase("compile"):
            reduced, restore = reduction.reduce(program, scaling)
        units = b"" if restore.unit is None else restore.unit.tobytes()
        made = (restore.rescaled, restore.rescaled and scaling.only_shrinks, restore.opened, units)
        if made in seen:
            continue
        seen.add(made)
        if best is not None and deadline is not None and perf_counter() >= deadline:
            break
        options = _options_of_attempt(program, options, deadline, restore.opened, best)
        try:
            trial = _solve_in_parts(program, reduced, restore, backend, options, tolerances, ledger, exact)
        except SolverFailure as error:
            failure = failure or error
            notes.append(f"{backend.name}, {scaling}, failed: {error.message.marked}")
            continue
        trial = _without_hearsay(trial, scaling, restore)
        notes += [note for note in trial.notes if note not in notes]
        best = trial if best is None else better(best, trial)
        if trial.is_settled(changed=restore.changed, opened=restore.opened, spread=spread):
            break
    if best is None:
        assert failure is not None
        raise failure
    return dataclasses.replace(best, notes=tuple(notes))


def _options_of_attempt(
    program: Program, options: SolveOptions, deadline: float | None, opened: bool, best: Trial | None
) -> SolveOptions:
    if deadline is not None:
        left = deadline - perf_counter()
        # A relaxation may take for ever where the program itself does not.
        options = options.replace(time_limit=max(left / 2 if opened else left, 1e-3))
    if best is not None and program.integer.any() and best.check.passed and best.verified.x is not None:
        options = options.replace(start=best.verified.x)
    return options


def _costs_are_spread(program: Program) -> bool:
    """Whether the smallest cost of an LP or convex QP would be lost beside the largest in a solver's tolerances."""
    costs = np.abs(program.c[program.c != 0])
    certifiable = program.problem_class in (ProblemClass.LP, ProblemClass.CONVEX_QP)
    return certifiable and len(costs) > 0 and float(costs.min()) < 1e-6 * float(costs.max())


def _may_drift(program: Program, value: float) -> bool:
    """Whether a solver's tolerances may let the continuous columns of an integer program change its objective."""
    if not program.integer.any() or program.integer.all():
        return False
    dearest = float(np.abs(program.c[~program.integer]).max())
    return dearest > abs(value) or reduction.reduce(program, Scaling.MODERATE_OPEN)[1].changed


def _with_exact_columns(
    program: Program,
    backend: Backend,
    options: SolveOptions,
    deadline: float | None,
    tolerances: Tolerances | None,
    ledger: Ledger,
    trial: Trial,
) -> Trial:
    """Return an integer program's answer with the best continuous columns beside its whole ones, certified as an LP's.

    Where a price of 1e8 meets a tolerance of 1e-8, or a cost is smaller than a tolerance, a solver's objective is not
    that of its whole values; the bound that it claims for all others has to hold for these too.
    """
    x = trial.verified.x
    if not trial.check.passed or x is None or not _may_drift(program, trial.check.objective or 0.0):
        return trial
    whole = np.round(x)
    beside = program.replace(
        lower=np.where(program.integer, whole, program.lower),
        upper=np.where(program.integer, whole, program.upper),
        integer=np.zeros(program.n_columns, dtype=bool),
    )
    if beside.problem_class not in backend.classes or beside.problem_class not in (
        ProblemClass.LP,
        ProblemClass.CONVEX_QP,
    ):
        return trial
    left = None if deadline is None else max(deadline - perf_counter(), 1e-3)
    try:
        part = solve_in_any_units(beside, backend, options.replace(start=None, time_limit=left), tolerances, ledger)
    except SolverFailure:
        return trial
    if not part.is_optimal:
        if part.check.passed and part.check.proof is Proof.CERTIFIED and part.verified.x is None:
            problem = f"with its whole values the program is {part.verified.termination.reason}"
            return dataclasses.replace(trial, check=dataclasses.replace(trial.check, problems=(problem,)))
        return trial
    value, best = trial.check.objective or 0.0, part.check.objective or 0.0
    room = LAST_DIGITS * objective_scale(program, x, value)[0]
    if part.check.scaled_violation > max(trial.check.scaled_violation, 1e-12) and abs(best - value) <= room:
        return trial  # the difference is what the other point gains by being farther beyond a row
    solution = trial.solution.replace(x=part.verified.x, objective=part.check.objective)
    return Trial(solution, *verify(program, solution, gap=options.gap, tolerances=tolerances))


def _without_hearsay(trial: Trial, scaling: Scaling, restore: reduction.Restore) -> Trial:
    """Take no solver's word for a bound in units in which its tolerances may be larger than the caller's."""
    hearsay = restore.rescaled and scaling is Scaling.MODERATE and trial.check.proof is Proof.CLAIMED
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
    exact: Callable[[Trial], Trial],
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
        verdict = partial(_verified, program, restore, options, tolerances, ledger, exact)
        return _try_methods(reduced, backend, options, ledger, verdict)
    solution, notes = _joined(reduced, pieces, backend, options, tolerances, ledger)
    trial = _verified(program, restore, options, tolerances, ledger, exact, solution)
    return dataclasses.replace(trial, notes=tuple(notes))


def _joined(
    reduced: Program,
    pieces: Sequence[tuple[Ints, Ints]],
    backend: Backend,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
) -> tuple[Solution, list[str]]:
    """Solve the parts of a program one after the other; return them as one solution, with notes."""
    notes: list[str] = []
    solutions: list[Solution] = []
    deadline = None if options.time_limit is None else perf_counter() + options.time_limit
    for columns, rows in pieces:
        piece = reduction.part(reduced, columns, rows)
        remaining = options.replace(
            start=None if options.start is None else options.start[columns],
            time_limit=None if deadline is None else max(deadline - perf_counter(), 1e-3),
        )
        verdict = partial(_verified, piece, lambda s: s, remaining, tolerances, ledger, _as_it_is)
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
        return Solution(solutions[-1].termination), notes
    return reduction.join(reduced, pieces, solutions), notes


def _verified(
    program: Program,
    restore: Step,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
    exact: Callable[[Trial], Trial],
    solution: Solution,
) -> Trial:
    with ledger.phase("verify"):
        trial = verified_or_polished(program, restore(solution), options, tolerances)
    return exact(trial)


def _as_it_is(trial: Trial) -> Trial:
    """Return the answer to a part of a program: only that of the whole is looked at again."""
    return trial


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
            notes.append(f"{backend.name} ({method}) failed: {error.message.marked}")
            continue
        for phase, value in solution.seconds.items():
            ledger.add(phase, value)
        trial = verdict(solution)
        check = trial.check
        stopped = solution.termination.limit is not Limit.NONE
        found = trial.verified.termination
        inconclusive = found.reason in (Reason.NO_SOLUTION, Reason.ERROR) or (
            found.reason is Reason.FEASIBLE
            and program.problem_class not in (ProblemClass.NONCONVEX_QP, ProblemClass.NONCONVEX_MIQP)
        )
        if check.passed and (stopped or not inconclusive):
            return dataclasses.replace(trial, notes=tuple(notes))
        if solution.termination.limit is Limit.INTERRUPT:
            raise KeyboardInterrupt  # what was found is refuted, and the user waits for no other method
        outcome = trial if outcome is None else max(outcome, trial, key=usefulness)
        notes.append(f"{backend.name} ({method}): {solution.termination.raw if check.passed else check}{what_next}")
    if outcome is None:
        assert failure is not None
        raise failure
    return dataclasses.replace(outcome, notes=tuple(notes))
