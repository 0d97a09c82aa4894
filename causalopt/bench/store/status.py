"""How a run of the harness ended, in words that keep apart what other benchmarks add together."""

from __future__ import annotations

import enum


class Status(enum.StrEnum):
    """How one run ended."""

    OK = "ok"
    """Claimed to be settled (optimal, infeasible or unbounded), and the claim survived verification."""
    UNPROVEN = "unproven"
    """Ended by itself with a verified solution that nobody says is optimal, as heuristics do."""
    LIMIT_WITH_INCUMBENT = "limit with incumbent"
    """A limit stopped it; the solution found by then is verified."""
    LIMIT_WITHOUT_INCUMBENT = "limit without incumbent"
    """A limit stopped it before it had a solution."""
    OUT_OF_MEMORY = "out of memory"
    """Killed at its memory limit, or refused memory by the system."""
    CRASHED = "crashed"
    """Its process died."""
    WRONG = "wrong"
    """A claim did not survive: verification, a known optimum, or another solver's verified solution refutes it."""
    ERROR = "error"
    """The solver reported an error of its own, or gave up without a solution."""
    UNSUPPORTED = "unsupported"
    """The solver does not take this class of problem."""
    LICENSE = "too large for the licence"
    """The solver's licence does not cover this size."""
    INSTANCE = "instance failed"
    """The instance could not be made; no solver was to blame."""


#: Runs that say nothing about a solver's skill: they are counted, but enter no rate and no mean.
NOT_ATTEMPTED = frozenset({Status.UNSUPPORTED, Status.LICENSE, Status.INSTANCE})
