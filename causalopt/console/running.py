"""Running a command that answers a question: its data, its solve, what follows, its files, and what it shows."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from causalopt.console import showing
from causalopt.console.arguments import Reading, Solving, Writing
from causalopt.console.codes import code_of
from causalopt.console.loading import Later
from causalopt.console.missing import Dropped, complete, fields_of
from causalopt.console.reading import read_data
from causalopt.console.waiting import sign_of_life
from causalopt.console.wording import in_options
from causalopt.console.writing import Files, write_model
from causalopt.errors import CausaloptWarning, warn
from causalopt.messages import Message
from causalopt.solving.options import NOT_ISOLATED, SolveOptions
from causalopt.solving.result import Result
from causalopt.verifying.claims import Limit

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

capsules = Later("causalopt.solving.capsules.capsule")
dispatch = Later("causalopt.solving.dispatch")


@contextmanager
def caught_warnings(notes: list[str]) -> Iterator[None]:
    """Add causalopt's warnings to notes, in terms of the command's options; others go their own way."""
    show = warnings.showwarning

    def keep(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, CausaloptWarning):
            show(message, category, *rest, **more)
            return
        said = message.message if isinstance(message, CausaloptWarning) else Message(str(message))
        note = Message(in_options(said), said.topic)
        if said.topic != NOT_ISOLATED and note not in notes:
            notes.append(note)

    with warnings.catch_warnings():
        warnings.simplefilter("always", CausaloptWarning)
        warnings.showwarning = keep
        yield


def arguments_of(solving: Solving) -> dict[str, Any]:
    """Return the arguments of `causalopt.solve`.

    A solver runs in a process of its own, so that Ctrl-C keeps its best solution, also where "auto" turns to it after
    a fast path. Fast paths run here.
    """
    given = {field.name: getattr(solving, field.name) for field in dataclasses.fields(solving)}
    del given["solver_option"]
    return given | {"options": solving.options, "isolate": True}


def solve_options(solving: Solving) -> SolveOptions:
    """Return what was asked of the solver, for a capsule."""
    shared = {name: getattr(solving, name) for name in ("time_limit", "gap", "threads", "seed", "memory_limit")}
    return SolveOptions(**shared, solver_options=solving.options, isolate=solving.memory_limit is not None)


def solve(problem: Any, solving: Solving) -> Any:
    """Solve a problem as the command line asks."""
    with sign_of_life("solving (Ctrl-C stops, and keeps what a solver has found)"):
        return as_asked(dispatch.solve(problem, **arguments_of(solving)), solving)


def as_asked(result: Any, solving: Solving) -> Any:
    """Return a result without the note that a fast path ran here: nobody asked for anything else, but for a limit."""
    others = tuple(note for note in result.warnings if note.topic != NOT_ISOLATED)
    if len(others) < len(result.warnings) and solving.memory_limit is not None:
        warn(f"{result.solver} ran without the limit of --memory-limit, which is for solvers.")
    return dataclasses.replace(result, warnings=others)


def program_of(problem: Any, answer: Any) -> Any:
    """Return the program that was solved."""
    return capsules.Capsule.of(problem, answer).program


class Run:
    """One run of a command: what is said, left out and written on the way to its answer.

    Parameters
    ----------
    command : str
        Its name.
    reading, solving, writing
        Its shared options.
    **more : Path or None
        Files beside the shared ones, by what they are for.

    Attributes
    ----------
    files : Files
    notes : list of str
        Warnings so far, in terms of the command's options.
    dropped : list of Dropped
        What was left out of the data.
    written : list of Path
    """

    def __init__(self, command: str, reading: Reading, solving: Solving, writing: Writing, **more: Path | None) -> None:
        self.command, self.reading, self.solving, self.writing = command, reading, solving, writing
        self.files = Files.of(writing, **more)
        self.notes: list[str] = []
        self.dropped: list[Dropped] = []
        self.written: list[Path] = []

    def noting(self) -> AbstractContextManager[None]:
        """Keep the warnings of what runs in here for the end."""
        return caught_warnings(self.notes)

    def read(self, path: str | None = None) -> pd.DataFrame:
        """Return the command's data, or that of another file, whose rows have no labels."""
        return read_data(self.reading if path is None else dataclasses.replace(self.reading, data=path, index=None))

    def complete(
        self, frame: pd.DataFrame, used: Iterable[str], groups: Sequence[str] = (), **more: Any
    ) -> pd.DataFrame:
        """Return the rows that have a value in every column used, as `console.missing.complete`; note the others."""
        return self.without(complete(frame, used, self.reading.missing, groups, **more))

    def without(self, left: tuple[pd.DataFrame, Dropped | None]) -> pd.DataFrame:
        """Return what is left of data, and note what was left out."""
        frame, dropped = left
        if dropped is not None:
            self.dropped.append(dropped)
            self.notes.append(str(dropped))
        return frame

    def solve(self, problem: Any, **changes: Any) -> Any:
        """Return the answer to a problem, with some fields changed."""
        answer = solve(problem, self.solving)
        return dataclasses.replace(answer, **changes) if changes else answer

    def unless_stopped(self, what: str, compute: Callable[[], T] | None, answer: Any) -> T | None:
        """Return what is computed after an answer; None, with a note, where Ctrl-C stops it or stopped the answer."""
        if compute is None:
            return None
        if answer.status.limit is not Limit.INTERRUPT:
            try:
                with sign_of_life(f"{what} (Ctrl-C leaves it out)"):
                    return compute()
            except KeyboardInterrupt:
                pass  # the answer itself is here, and is kept
        self.notes.append(Message(f"Interrupted by Ctrl-C: {what} was left out.", Limit.INTERRUPT))
        return None

    def write(self, problem: Any = None, answer: Any = None, **writers: Callable[[Path], Any]) -> None:
        """Write the files asked for; of an answer also its capsule and its model."""
        self.written = self.files.write(
            capsule=lambda path: self._save_capsule(problem, answer, path),
            export=write_model(lambda: program_of(problem, answer)),
            **writers,
        )

    def _save_capsule(self, problem: Any, answer: Any, path: Path) -> None:
        """Write what was solved, how, the answer, and what of the data was left out."""
        note = " ".join(map(str, self.dropped))
        capsules.Capsule.of(problem, answer, solve_options(self.solving), note=note).save(path)

    def show(
        self,
        answer: Any,
        fields: Callable[[], dict[str, Any]],
        show: Callable[[Console], Any],
        *,
        result: Result | None = None,
        code: int | None = None,
    ) -> int:
        """Print the answer, as JSON or for people, and return the exit code.

        Parameters
        ----------
        answer
            What explains itself.
        fields : callable
            Those of the JSON that are the command's own; a name that the shared ones have too replaces it.
        show : callable
            Prints the answer for people.
        result : Result, optional
            That which the shared fields are of, where the answer is none.
        code : int, optional
            The exit code, where it is not that of a result.
        """
        result = answer if isinstance(answer, Result) else result
        if code is None:
            code = code_of(answer, self.notes)
        if self.writing.json:
            shared = showing.result_json(self.command, result, self.notes)
            said = showing.explanation(answer, self.writing.explain)
            done = {"exit_code": code, "dropped": fields_of(*self.dropped), "written": self.written}
            showing.print_json(shared | said | fields() | done)
        else:
            show(Console())
            showing.show_explanation(answer, self.writing.explain)
            showing.show_notes(self.notes, self.written)
        return code
