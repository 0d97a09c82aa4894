"""What the exit codes of commands mean."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from causalopt.errors import (
    CausaloptError,
    InfeasibleError,
    LicenseError,
    SolverFailure,
    SolverNotAvailable,
    UnsupportedProblem,
    VerificationError,
)
from causalopt.solving.result import Result
from causalopt.verifying.claims import Limit, Reason


class Exit(enum.IntEnum):
    """What an exit code means."""

    PROVEN = 0
    """An answer is here, proven within the gap asked for and verified."""
    INPUT = 1
    """Data, a column or an option is unusable."""
    USAGE = 2
    """The command line itself is wrong."""
    INFEASIBLE = 3
    """No solution exists."""
    UNPROVEN = 4
    """A verified answer is here, but no proof: a limit or Ctrl-C stopped the solve, or the method is a heuristic."""
    NO_SOLVER = 5
    """No solver: unknown, not installed, of another class, or its licence is too small."""
    REFUTED = 6
    """A claim did not survive recomputation, or a replay contradicts the record."""
    NO_ANSWER = 7
    """The solver failed, or stopped at a limit without a solution."""
    INTERRUPTED = 130
    """Ctrl-C, with nothing to keep."""


EPILOG = (
    "Exit codes: 0 proven answer; 1 bad data or option; 2 wrong usage; 3 infeasible; 4 answer without proof (a limit, "
    "Ctrl-C, a heuristic); 5 no solver or licence; 6 refuted by recomputation; 7 no answer; 130 interrupted."
)

_CODES = (
    (InfeasibleError, Exit.INFEASIBLE),
    ((SolverNotAvailable, LicenseError, UnsupportedProblem), Exit.NO_SOLVER),
    (VerificationError, Exit.REFUTED),
    (SolverFailure, Exit.NO_ANSWER),
)


def code_of_error(error: CausaloptError) -> Exit:
    """Return the exit code of an error."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), Exit.INPUT)


def code_of(result: Result, notes: Iterable[str] = ()) -> Exit:
    """Return the exit code of an answer with these notes."""
    reason = result.status.reason
    if reason is Reason.OPTIMAL:
        return Exit.UNPROVEN if left_out(notes) else Exit.PROVEN
    if reason is Reason.FEASIBLE:
        return Exit.UNPROVEN
    return Exit.INFEASIBLE if reason in (Reason.INFEASIBLE, Reason.UNBOUNDED) else Exit.NO_ANSWER


def left_out(notes: Iterable[str]) -> bool:
    """Return whether a note says that Ctrl-C left something out."""
    return any(getattr(note, "topic", "") == Limit.INTERRUPT for note in notes)
