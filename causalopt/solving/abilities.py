"""What a solver can do, what its licence allows, and what it keeps from one solve to the next."""

from __future__ import annotations

import abc
import dataclasses
import enum
from typing import ClassVar

from causalopt.modeling.program import Program
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Solution


class Ability(enum.StrEnum):
    """What a backend can do beyond solving."""

    DUALS = "duals"
    """Returns row multipliers for LPs and convex QPs."""
    START = "start"
    """Uses a given solution to start from."""
    SEED = "seed"
    """Has a random seed."""
    THREADS = "threads"
    """Can be told how many threads to use."""
    TIME_LIMIT = "time limit"
    """Stops at a time limit, with its incumbent where it has one."""
    GAP = "gap"
    """Stops at a relative gap."""
    INCUMBENTS = "incumbents"
    """Reports each better solution while it runs."""
    LOG = "log"
    """Returns its log."""
    DETERMINISTIC = "deterministic"
    """Documents that repeated parallel runs take the same path."""
    SESSION = "session"
    """Keeps a live model for re-solves."""


#: Abilities that an option asks for: a backend without the ability says so, once.
OPTION_ABILITIES = {
    "start": Ability.START,
    "seed": Ability.SEED,
    "threads": Ability.THREADS,
    "time_limit": Ability.TIME_LIMIT,
}


@dataclasses.dataclass(frozen=True)
class License:
    """What a solver's licence allows.

    Attributes
    ----------
    kind : str
        "open source", "full", "restricted" (with size limits) or "none".
    max_columns, max_rows : int or None
        Size limits, None for no limit.
    max_quadratic_columns : int or None
        Limit on the number of columns once anything is quadratic.
    expires : str or None
        ISO date.
    detail : str
    """

    kind: str
    max_columns: int | None = None
    max_rows: int | None = None
    max_quadratic_columns: int | None = None
    expires: str | None = None
    detail: str = ""

    def obstacle(self, n_columns: int, n_rows: int, quadratic: bool) -> str | None:
        """Return which limit a model of this size breaks, in words, or None where it fits.

        Parameters
        ----------
        n_columns, n_rows : int
            Size of the model.
        quadratic : bool
            Whether anything in it is quadratic.
        """
        if self.kind == "none":
            return f"no usable licence ({self.detail})" if self.detail else "no usable licence"
        limits = [("variables", n_columns, self.max_columns), ("constraint rows", n_rows, self.max_rows)]
        if quadratic:
            limits.append(("variables once anything is quadratic", n_columns, self.max_quadratic_columns))
        for what, size, limit in limits:
            if limit is not None and size > limit:
                return f"the {self.kind} licence allows {limit:,} {what}, the model has {size:,}"
        return None

    def limits(self) -> str:
        """Return the size limits in words, empty for none."""
        named = (
            (self.max_columns, "variables"),
            (self.max_rows, "rows"),
            (self.max_quadratic_columns, "variables once quadratic"),
        )
        return ", ".join(f"{limit:,} {what}" for limit, what in named if limit is not None)

    def __str__(self) -> str:
        return self.kind


OPEN_SOURCE = License("open source")


#: What a session can change: the program's arrays of these names.
CHANGEABLE = ("c", "lower", "upper", "row_lower", "row_upper")


class LiveModel(abc.ABC):
    """A solver's model, kept between solves. Backends subclass it.

    Attributes
    ----------
    memory : str
        What the solver keeps from one solve to the next, in words; empty where it starts afresh.
    """

    memory: ClassVar[str] = ""

    @abc.abstractmethod
    def change(self, program: Program, changed: frozenset[str]) -> None:
        """Take over the arrays of `program` that are named in `changed` (of `CHANGEABLE`).

        Parameters
        ----------
        program : Program
            The program as it is now.
        changed : sequence of str
            Which of its arrays are new, of `CHANGEABLE`.
        """

    @abc.abstractmethod
    def solve(self, program: Program, options: SolveOptions) -> Solution:
        """Solve the model as it is now, and return a `Solution`.

        Parameters
        ----------
        program : Program
            The program as it is now.
        options : SolveOptions
            What the user asks of the solve.

        Returns
        -------
        Solution
            The solver's claims, as from `Backend.solve`.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Release the solver's model and licence."""
