"""A solve written to one file, and replayed anywhere: the program's exact arrays, what was asked, and what was claimed.

`causalopt.solving.capsules.file` says what the file looks like.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalopt import modeling
from causalopt.errors import DataError, SolverNotAvailable
from causalopt.modeling.program import Program
from causalopt.solving.backend import backend_names
from causalopt.solving.capsules.fields import (
    OPTIONS,
    Claim,
    arrays_of,
    fields_of,
    platform_here,
    read_claim,
    read_options,
    read_program,
)
from causalopt.solving.capsules.file import SCHEMA, pack, unpack
from causalopt.solving.dispatch import solve
from causalopt.solving.lane import Lane
from causalopt.solving.options import SolveOptions
from causalopt.solving.problem import Problem
from causalopt.solving.result import Ledger, Result
from causalopt.verifying.claims import Reason, Solution, Tolerances, Verification
from causalopt.verifying.verify import objective_scale, verify

if TYPE_CHECKING:
    import pandas as pd

#: Fields that are words.
WORDS = ("solver", "solver_version", "method", "formulation", "problem")


@dataclasses.dataclass(frozen=True, eq=False)
class Capsule:
    """One solve: program, options, solver, platform and claim.

    Attributes
    ----------
    program : Program
        Without the way back to a Pyomo model.
    options : SolveOptions
    claim : Claim
    solver, solver_version, method, formulation, problem : str
        Who answered, by which algorithm; the formulation and the kind of problem, where it was one.
    tangents : bool
        Whether the formulation allows tangents to stand in for the squares of a convex MIQP.
    platform : mapping
        Versions of Python, NumPy, SciPy and causalopt, and the machine.
    note : str
        What whoever made it says of the data, such as which rows were left out.

    Examples
    --------
    >>> import causalopt as co
    >>> program = co.Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], row_lower=1.0)
    >>> capsule = co.Capsule.of(program, co.solve(program, "highs"))
    >>> replay = capsule.replay("scip")
    >>> replay.agrees, replay.result.solver
    (True, 'scip')
    """

    program: Program
    options: SolveOptions
    claim: Claim
    solver: str
    solver_version: str = ""
    method: str = ""
    formulation: str = ""
    problem: str = ""
    tangents: bool = False
    platform: Mapping[str, str] = dataclasses.field(default_factory=dict)
    note: str = ""

    @classmethod
    def of(
        cls, problem_or_model: Any, result: Result, options: SolveOptions | None = None, *, note: str = ""
    ) -> Capsule:
        """Make a capsule of an answer.

        Parameters
        ----------
        problem_or_model : Problem, pyomo.environ.ConcreteModel, Block or Program
            What was solved.
        result : Result
        options : SolveOptions, optional
            What was asked of the solver, for the replay; the defaults unless given.
        note : str
            What is to be known of the data.

        Raises
        ------
        DataError
            For an answer that takes several programs (a robust test), or one of another program.
        """
        program, formulation, tangents = _program_of(problem_or_model, result)
        if result.x is not None and result.x.shape != (program.n_columns,):
            raise DataError(
                f"The result has {result.x.size:,} values, the program {program.n_columns:,} columns: it is not an "
                "answer to this problem."
            )
        claim = Claim(
            result.status, result.objective, result.bound, result.x, result.row_dual, str(result.verification)
        )
        return cls(
            program=program.replace(columns=(), rows=()),
            options=(options or SolveOptions()).replace(on_incumbent=None, on_log=None),
            claim=claim,
            solver=result.solver,
            solver_version=result.solver_version,
            method=result.method,
            formulation=formulation,
            problem="" if isinstance(problem_or_model, Program) else type(problem_or_model).__name__,
            tangents=tangents,
            note=note,
            platform=platform_here(),
        )

    def save(self, path: str | Path) -> Path:
        """Write the capsule; a file of that name is replaced at once, and never left half-written.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Path
            Of the file.

        Raises
        ------
        OptionError
            For a solver option that is neither a finite number, a text nor a truth value.
        DataError
            Where the file cannot be written.
        """
        path = Path(path)
        content = self.to_bytes()
        temporary = path.with_name(f".{path.name}.part")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError as error:
            why = f"there is no folder {path.parent}" if not path.parent.is_dir() else error.strerror
            raise DataError(f"The capsule cannot be written to {path}: {why}. Name another file.") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        return path

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return pack(
            fields_of(self.program, self.options, self.claim)
            | {name: getattr(self, name) for name in WORDS}
            | {"tangents": self.tangents, "note": self.note, "platform": dict(self.platform)},
            arrays_of(self.program, self.options, self.claim),
        )

    @classmethod
    def load(cls, path: str | Path) -> Capsule:
        """Read a capsule.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Capsule

        Raises
        ------
        DataError
            For a file that is not there, not a capsule, cut short, changed since, or of a newer schema.
        """
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
        description, arrays = unpack(content, str(path))
        try:
            return cls(
                program=read_program(description["program"], arrays),
                options=read_options(description["options"], arrays),
                claim=read_claim(description["claim"], arrays),
                tangents=bool(description["tangents"]),
                note=str(description.get("note", "")),
                platform=description["platform"],
                **{word: str(description[word]) for word in WORDS},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is not a capsule of schema {SCHEMA}: {type(error).__name__}: {error}.") from None

    def check(self, tolerances: Tolerances | None = None) -> Verification:
        """Recompute the recorded claim from the recorded program.

        Parameters
        ----------
        tolerances : Tolerances, optional

        Returns
        -------
        Verification
        """
        claim = self.claim
        solution = Solution(
            claim.status, x=claim.x, objective=claim.objective, bound=claim.bound, row_dual=claim.row_dual
        )
        return verify(self.program, solution, gap=self.options.gap, tolerances=tolerances)[1]

    def replay(
        self,
        solver: str | None = None,
        *,
        time_limit: float | None = None,
        isolate: bool | None = None,
        tolerances: Tolerances | None = None,
    ) -> Replay:
        """Solve the program again, here, and compare with what is recorded.

        Parameters
        ----------
        solver : str, optional
            The recorded one unless given; for a fast path, which needs the problem and not its program alone, "auto".
        time_limit : float, optional
            Seconds, in place of the recorded limit.
        isolate : bool, optional
            In place of what is recorded.
        tolerances : Tolerances, optional

        Returns
        -------
        Replay
            The new result, and whether it agrees with what is recorded.

        Raises
        ------
        SolverNotAvailable
            Where the solver is not installed here; the message says which are.
        """
        fast = ":" not in self.solver and self.solver not in backend_names()
        if fast and solver == self.solver:
            raise SolverNotAvailable(
                f"{solver} is a fast path of a problem, and a capsule keeps its program only: leave solver out, or "
                "name a solver."
            )
        fast = fast and solver is None
        name = "auto" if fast else solver or self.solver
        options = self.options.replace(time_limit=time_limit or self.options.time_limit)
        if isolate is not None:
            options = options.replace(isolate=isolate, memory_limit=options.memory_limit if isolate else None)
        if name != self.solver:  # its options have names of their own
            options = options.replace(solver_options={})
        recorded = self.check(tolerances)
        return Replay(self, recorded, _solved(self, name, options, tolerances))


@dataclasses.dataclass(frozen=True, eq=False)
class Replay:
    """A capsule's claim beside the answer of today.

    Attributes
    ----------
    capsule : Capsule
    recorded : Verification
        The recorded claim, recomputed from the recorded arrays here.
    result : Result
        The new answer.
    """

    capsule: Capsule
    recorded: Verification
    result: Result

    @property
    def contradictions(self) -> tuple[str, ...]:
        """In words, what cannot be true at once; empty where nothing contradicts the record."""
        claim, result = self.capsule.claim, self.result
        found = [f"the recorded claim does not survive recomputation: {why}" for why in self.recorded.problems]
        then, now = claim.status.reason, result.status.reason
        settled = (Reason.INFEASIBLE, Reason.UNBOUNDED)
        if then in settled and (now.value != then.value and (result or now in settled)):
            found.append(f"the record says {then}, the replay {now}")
        elif claim.status.has_solution and now is Reason.INFEASIBLE:
            found.append(f"the record has a solution, the replay says {now}")
        elif then is Reason.OPTIMAL and now is Reason.UNBOUNDED:
            found.append(f"the record says {then}, the replay {now}")
        found += self._beaten("recorded", claim.bound, "new", result)
        found += self._beaten("new", result.bound, "recorded", claim)
        if then is Reason.OPTIMAL and claim.objective is not None and not _is_finite(claim.bound):
            direction = -1.0 if self.capsule.program.maximize else 1.0
            implied = claim.objective - direction * self._slack(claim)
            if self._beaten("recorded", implied, "new", result):
                found.append(
                    f"the new objective {result.objective:.10g} beats the recorded optimum {claim.objective:.10g}"
                )
        return tuple(found)

    def _beaten(self, whose: str, bound: float | None, other: str, answer: Claim | Result) -> list[str]:
        """Return the contradiction where an objective is better than a bound that nothing can beat."""
        if answer.objective is None or bound is None or not np.isfinite(bound):
            return []
        direction = -1.0 if self.capsule.program.maximize else 1.0
        if direction * (bound - answer.objective) <= self._slack(answer):
            return []
        return [f"the {other} objective {answer.objective:.10g} beats the {whose} bound {bound:.10g}"]

    def _slack(self, answer: Claim | Result) -> float:
        """Return how far two objectives or bounds near that of an answer may be apart, each within its gap."""
        program = self.capsule.program
        x = np.zeros(program.n_columns)
        if answer.x is not None and answer.x.shape == x.shape:
            x = answer.x
        scale, rounding = objective_scale(program, x, answer.objective or 0.0)
        return 2 * (max(self.capsule.options.gap, 1e-6) * scale + rounding)

    @property
    def agrees(self) -> bool:
        """Whether the replay reached what is recorded: the same status, and the same objective within the gap."""
        claim, result = self.capsule.claim, self.result
        if self.contradictions or claim.status.reason is not result.status.reason:
            return False
        if claim.objective is None or result.objective is None:
            return claim.objective is result.objective
        return abs(claim.objective - result.objective) <= self._slack(claim)

    @property
    def verdict(self) -> str:
        """What the replay says, in a sentence."""
        if self.contradictions:
            return f"contradicts the record: {'; '.join(self.contradictions)}"
        if self.agrees:
            return "agrees with the record"
        return "does not contradict the record, and did not reach the same"

    def to_frame(self) -> pd.DataFrame:
        """Return status, objective, bound, solver and verification, as recorded and now."""
        import pandas as pd

        capsule, claim, result = self.capsule, self.capsule.claim, self.result
        here = platform_here()
        rows: dict[str, tuple[Any, Any]] = {
            "status": (str(claim.status), str(result.status)),
            "objective": (claim.objective, result.objective),
            "bound": (claim.bound, result.bound),
            "solver": (
                " ".join((capsule.solver, capsule.solver_version)),
                " ".join((result.solver, result.solver_version)),
            ),
            "verification": (str(self.recorded), str(result.verification)),
            "causalopt": (capsule.platform.get("causalopt", ""), here["causalopt"]),
            "platform": (capsule.platform.get("machine", ""), here["machine"]),
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=["recorded", "now"]).rename_axis("fact")


def _program_of(subject: Any, result: Result) -> tuple[Program, str, bool]:
    """Return the program that was solved, its formulation, and whether tangents may stand in for its squares."""
    if isinstance(subject, Program):
        return subject, "", False
    if not isinstance(subject, Problem):
        return modeling.compile_model(subject), "", False
    name = subject.formulation_name(result.formulation or None)
    if subject.takes_several_programs(name):
        raise DataError(
            f"The answer to a {type(subject).__name__} takes several programs, and a capsule holds one: keep its pairs "
            "or its data instead, from which it is recomputed."
        )
    return subject.direct_program(name) or subject.program(name), name, subject.by_tangents(name)


def _solved(capsule: Capsule, solver: str, options: SolveOptions, tolerances: Tolerances | None) -> Result:
    if capsule.tangents and options.start is None:
        lane = Lane(solver, capsule.formulation, options, tolerances, Ledger())
        return lane.solve(capsule.program, tangents=True)
    arguments = {name: getattr(options, name) for name in OPTIONS if name != "solver_options"}
    answer: Result = solve(
        capsule.program, solver, start=options.start, options=options.solver_options, tolerances=tolerances, **arguments
    )
    return answer


def _is_finite(value: float | None) -> bool:
    return value is not None and bool(np.isfinite(value))
