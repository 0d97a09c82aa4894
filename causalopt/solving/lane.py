"""What a problem is given to be answered with: a solver, options, one clock and one ledger for all its programs."""

from __future__ import annotations

import dataclasses
from time import perf_counter

from causalopt.errors import OptionError, warn
from causalopt.messages import Message
from causalopt.modeling.program import Program
from causalopt.solving.attempts import solve_program
from causalopt.solving.backend import Backend
from causalopt.solving.choice import choose_backend
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Ledger, Result
from causalopt.solving.trying.tangents import solve_program_by_tangents
from causalopt.verifying.claims import Limit, Tolerances


@dataclasses.dataclass(eq=False)
class Lane:
    """What a problem is given to be answered with.

    Attributes
    ----------
    solver : str or Backend
        As the user asked: "auto", a backend, or a fast path of the problem.
    formulation : str
    options : SolveOptions
        Its time limit is for all programs together.
    tolerances : Tolerances or None
    ledger : Ledger
    programs : int
        How many were solved so far.
    warnings, log : list of str, str
        Of all programs.
    last : Result or None
        Of the last one.
    interrupted : bool
        Whether the user stopped one of them, so that no other is begun.

    Examples
    --------
    >>> import causalopt as co
    >>> lane = Lane("highs", "", SolveOptions(time_limit=60.0), None, Ledger())
    >>> lane.solve(co.Program.from_arrays([1.0], lower=2.0)).objective, lane.programs
    (2.0, 1)
    """

    solver: str | Backend
    formulation: str
    options: SolveOptions
    tolerances: Tolerances | None
    ledger: Ledger

    def __post_init__(self) -> None:
        self.programs = 0
        self.warnings: list[str] = []
        self.log = ""
        self.last: Result | None = None
        self.interrupted = False
        limit = self.options.time_limit
        self.deadline = float("inf") if limit is None else perf_counter() + limit

    def for_several_programs(self) -> str:
        """Return the name of the solver for an answer that takes several programs.

        Raises
        ------
        OptionError
            For a start, which is one program's, and for a backend that is not registered.
        """
        if not isinstance(self.solver, str):
            raise OptionError("This answer takes several programs: name a registered solver, not a backend object.")
        if self.options.start is not None:
            raise OptionError("start has no meaning for an answer that takes several programs; leave it out.")
        return self.solver

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the time limit, at least a millisecond; None without a limit."""
        return None if self.options.time_limit is None else max(self.deadline - perf_counter(), 1e-3)

    def solve(
        self, program: Program, *, tangents: bool = False, always: bool = False, gap: float | None = None
    ) -> Result:
        """Return the verified answer of the backend asked for to a program.

        Parameters
        ----------
        program : Program
        tangents : bool
            Let tangents stand in for the squares of a convex MIQP, on a solver that takes only MILPs, or whose licence
            is too small for squares.
        always : bool
            Let them do so on every solver.
        gap : float, optional
            Instead of the option's.

        Raises
        ------
        KeyboardInterrupt
            Where the user stopped an earlier one.
        """
        if self.interrupted:
            raise KeyboardInterrupt
        options = self.options.replace(time_limit=self.seconds_left, gap=self.options.gap if gap is None else gap)
        backend, reason = choose_backend(program, self.solver, tangents=tangents)
        if tangents and (always or not backend.fits(program)):
            result = solve_program_by_tangents(program, backend, options, self.tolerances, self.ledger, reason)
        else:
            result = solve_program(program, backend, options, self.tolerances, self.ledger, reason)
        self.programs += 1
        self.warnings += [note for note in result.warnings if note not in self.warnings]
        self.log += result.log
        self.last = result
        self.interrupted = result.status.limit is Limit.INTERRUPT
        return result

    def warn(self, note: str) -> None:
        """Warn the user, and keep the note for the result.

        Parameters
        ----------
        note : str
            What is less than was asked for.
        """
        self.warnings.append(Message(note))
        warn(note)
