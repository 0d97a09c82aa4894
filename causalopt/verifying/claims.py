"""How a solve ended, what a backend claims, and what recomputation found beside it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from causalopt.modeling.program import Floats
from causalopt.verifying.tree import BranchProof


class Reason(enum.StrEnum):
    """What is known about the program when a solve ends."""

    OPTIMAL = "optimal"
    """A solution is here, and no other is better by more than the gap asked for."""
    FEASIBLE = "feasible"
    """A solution (an incumbent) is here; that it is the best is not proven."""
    INFEASIBLE = "infeasible"
    """No solution exists."""
    UNBOUNDED = "unbounded"
    """Solutions exist, and their objective has no limit."""
    NO_SOLUTION = "no solution"
    """The solve ended before a solution was found; whether one exists is not known."""
    ERROR = "error"
    """The solver failed."""


class Limit(enum.StrEnum):
    """Which limit stopped a solve."""

    NONE = "none"
    TIME = "time"
    MEMORY = "memory"
    NODES = "nodes"
    ITERATIONS = "iterations"
    INTERRUPT = "interrupt"


@dataclasses.dataclass(frozen=True)
class Termination:
    """How a solve ended: what is known, which limit stopped it, and the solver's own word for it.

    Attributes
    ----------
    reason : Reason
    limit : Limit
    raw : str
        The solver's own word.
    """

    reason: Reason
    limit: Limit = Limit.NONE
    raw: str = ""

    def __str__(self) -> str:
        limit = "" if self.limit is Limit.NONE else f" ({self.limit} limit)"
        return f"{self.reason}{limit}"

    @property
    def has_solution(self) -> bool:
        """Whether the reason is one that comes with a solution."""
        return self.reason in (Reason.OPTIMAL, Reason.FEASIBLE)


@dataclasses.dataclass(frozen=True, eq=False)
class Solution:
    """What a backend or fast path returns: its claims, as arrays in the program's order. Nothing here is verified.

    Attributes
    ----------
    termination : Termination
    x : (n,) array or None
    objective, bound : float or None
        As claimed by the solver; `bound` is a limit that no solution can beat.
    row_dual : (m,) array or None
        Derivative of the optimal objective, in the program's own sense, with respect to the row's right-hand side.
    farkas : (m,) array or None
        Row multipliers that prove infeasibility.
    proof : BranchProof or None
        A tree of multipliers that proves the bound by branching, see `causalopt.verifying.tree`.
    method : str
        The algorithm that answered, for solvers with several.
    seconds : mapping
        Wall clock of `load`, `solve` and `extract`.
    iterations, nodes : int or None
    log : str
    peak_memory : int or None
        Bytes, where the solve ran in a process of its own.
    """

    termination: Termination
    x: Floats | None = None
    objective: float | None = None
    bound: float | None = None
    row_dual: Floats | None = None
    farkas: Floats | None = None
    proof: BranchProof | None = None
    method: str = ""
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    iterations: int | None = None
    nodes: int | None = None
    log: str = ""
    peak_memory: int | None = None

    def replace(self, **changes: Any) -> Solution:
        """Return a copy with some fields changed.

        Parameters
        ----------
        **changes : keyword arguments
            Fields by name, with their new values.
        """
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class Tolerances:
    """How far a claim may be from its recomputation. All are relative to the size of the terms compared.

    Attributes
    ----------
    feasibility : float
        Largest violation of a row or bound, relative to its terms.
    integrality : float
        Largest distance of an integer variable from a whole number (absolute).
    objective : float
        Difference between claimed and recomputed objective, or bound and objective on the wrong side.
    optimality : float
        Duality gap and dual residual up to which an LP or convex QP counts as solved, if `gap` asks for no less.

    Examples
    --------
    >>> import causalopt as co
    >>> program = co.Program.from_arrays([1.0], lower=2.0)
    >>> co.solve(program, "highs", tolerances=Tolerances(feasibility=1e-9)).objective
    2.0
    """

    feasibility: float = 1e-6
    integrality: float = 1e-5
    objective: float = 1e-6
    optimality: float = 1e-6


class Proof(enum.StrEnum):
    """What stands behind a bound or a claim of infeasibility."""

    CERTIFIED = "certified by causalopt"
    """Recomputed here from multipliers, by weak duality."""
    CLAIMED = "claimed by the solver"
    """The solver's word; a branch-and-bound tree cannot be recomputed from its answer."""
    NONE = "not proven"
    """Nobody claims a bound."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """What recomputation found, beside what was claimed.

    Attributes
    ----------
    row_violation, bound_violation : float
        Largest violation of a row, of a column's bounds (absolute).
    scaled_violation : float
        The larger of both, relative to the size of the terms.
    integrality_violation : float
    objective, claimed_objective : float or None
    bound, claimed_bound : float or None
        `bound` is certified where `proof` says so.
    gap : float or None
        |objective - bound| relative to the objective.
    dual_residual : float or None
    proof : Proof
    problems : tuple of str
        In words, every claim that did not survive. Empty for a verified answer.
    """

    row_violation: float = 0.0
    bound_violation: float = 0.0
    scaled_violation: float = 0.0
    integrality_violation: float = 0.0
    objective: float | None = None
    claimed_objective: float | None = None
    bound: float | None = None
    claimed_bound: float | None = None
    gap: float | None = None
    dual_residual: float | None = None
    proof: Proof = Proof.NONE
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every claim survived."""
        return not self.problems

    def __str__(self) -> str:
        if self.problems:
            return "REFUSED: " + "; ".join(self.problems)
        if self.objective is None:
            return f"no solution to check; the status is {self.proof}"
        gap = "" if self.gap is None else f", gap {self.gap:.1e}"
        integrality = "" if self.integrality_violation == 0 else f", integrality {self.integrality_violation:.1e}"
        return f"feasible to {self.scaled_violation:.1e}{integrality}, objective recomputed, bound {self.proof}{gap}"
