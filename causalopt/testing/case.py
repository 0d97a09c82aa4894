"""What a conformance case is: a small program, what it needs of a solver, and the answer that is known beforehand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from causalopt.errors import CausaloptError
from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.solving.backend import Ability, Backend
from causalopt.verifying.claims import Limit, Reason

#: The families, in the order of the tables.
FAMILIES = (
    "linear programs",
    "degenerate",
    "unbounded",
    "infeasible",
    "free rows",
    "ranges",
    "equality systems",
    "duals",
    "mixed-integer",
    "big-M",
    "starts",
    "convex quadratic",
    "semidefinite quadratic",
    "mixed-integer quadratic",
    "nonconvex",
    "badly scaled",
    "wide numbers",
    "empty rows and columns",
    "fixed variables",
    "limits",
    "options",
    "maximise",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One program with a known answer.

    Attributes
    ----------
    name : str
        What `exclude` refers to.
    family : str
        One of `FAMILIES`.
    program : Program
    problem_class : ProblemClass
        What the solver must be able to take.
    why : str
        How the answer is known: by hand, from a closed form, or by construction.
    reason : Reason
        What has to come out.
    objective : float or None
    x : (n,) array or None
        The solution, where there is only one.
    row_dual : (m,) array or None
        The multipliers (derivatives of the objective by the right-hand sides), where there is only one set of them.
        Asked of the backend itself, since verification would find them without it.
    unit : float
        Objectives are compared relative to the larger of this and the objective.
    abilities : frozenset of Ability
        What the backend must be able to do beyond solving.
    options : mapping
        Fields of `SolveOptions`.
    limit : Limit
        For a program that cannot be solved in the time allowed: the limit that may stop it. Then the case passes
        with any honest answer: a feasible point that is not better than `objective` with a bound that is not worse,
        or none.
    raises : type or None
        The error that has to be raised, in place of an answer.
    words : str
        What the message of the error has to contain.
    misspell : bool
        Whether to pass an option whose name is one letter short of one that the backend has.
    """

    name: str
    family: str
    program: Program
    problem_class: ProblemClass
    why: str
    reason: Reason = Reason.OPTIMAL
    objective: float | None = None
    x: Floats | None = None
    row_dual: Floats | None = None
    unit: float = 1.0
    abilities: frozenset[Ability] = frozenset()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    limit: Limit = Limit.NONE
    raises: type[CausaloptError] | None = None
    words: str = ""
    misspell: bool = False

    @property
    def needs(self) -> str:
        """What the case needs, in words."""
        return ", ".join([str(self.problem_class), *sorted(self.abilities)])

    def obstacle(self, backend: Backend) -> str | None:
        """Return why the case does not apply to a backend, or None where it does.

        Parameters
        ----------
        backend : Backend
            The backend asked.
        """
        if self.problem_class not in backend.classes:
            return f"does not solve a {self.problem_class}"
        missing = sorted(self.abilities - backend.abilities)
        if missing:
            return f"has no {', '.join(missing)}"
        if self.misspell and backend.option_names() is None:
            return "cannot list its options"
        return backend.obstacle(self.program)


def optimal(name: str, program: Program, objective: float, why: str, **more: Any) -> dict[str, Any]:
    """Return the fields of a case with an optimum; `x` and `row_dual` may be lists."""
    for field in ("x", "row_dual"):
        if field in more:
            more[field] = np.asarray(more[field], dtype=float)
    return {"name": name, "program": program, "objective": float(objective), "why": why, **more}


def infeasible(name: str, program: Program, why: str, **more: Any) -> dict[str, Any]:
    """Return the fields of a case without solution."""
    return {"name": name, "program": program, "why": why, "reason": Reason.INFEASIBLE, **more}


def unbounded(name: str, program: Program, why: str, **more: Any) -> dict[str, Any]:
    """Return the fields of a case whose objective has no limit."""
    return {"name": name, "program": program, "why": why, "reason": Reason.UNBOUNDED, **more}


def family(name: str, problem_class: ProblemClass, *cases: dict[str, Any], **common: Any) -> list[Case]:
    """Return cases of one family and class; a case may state fields of its own."""
    return [Case(**{"family": name, "problem_class": problem_class, **common, **fields}) for fields in cases]
