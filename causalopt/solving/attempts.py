"""From a program and a solver, or a fast path, to a verified result and what the user has to hear of it."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from causalopt.errors import OptionError, VerificationError, warn
from causalopt.messages import argument
from causalopt.modeling.program import INFINITE, Program
from causalopt.solving.backend import OPTION_ABILITIES, Backend
from causalopt.solving.isolate import IsolatedBackend
from causalopt.solving.options import SolveOptions, not_isolated
from causalopt.solving.result import Ledger, Result
from causalopt.solving.trying import reduce as reduction
from causalopt.solving.trying.ladder import solve_in_any_units
from causalopt.verifying.claims import Limit, Reason, Solution, Termination, Tolerances, Verification
from causalopt.verifying.verify import verify
from causalopt.version import __version__

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
    if options.solver_options:
        raise OptionError(
            f"{name} takes no solver options: {', '.join(map(str, options.solver_options))}. "
            f"They are for solvers: name one, such as {argument('solver', 'highs')}."
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
    notes: list[str] = []
    if options.isolate:
        notes.append(not_isolated(name))
        warn(notes[0])
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
    notes = [*far_number_notes(program), *notes]
    for note in shown:
        warn(note)
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


def far_number_notes(program: Program) -> list[str]:
    """Return, in words, that numbers were read as infinite, if some were."""
    if not program.far_numbers:
        return []
    return [f"{program.far_numbers:,} finite bounds or right sides of {INFINITE:g} or more were read as infinite."]


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
