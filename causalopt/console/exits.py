"""Exit codes, and errors as one message for people or one object for programs."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from causalopt.console.stopping import LastWords, ending_soon
from causalopt.console.wording import in_options
from causalopt.errors import (
    CausaloptError,
    InfeasibleError,
    LicenseError,
    SolverFailure,
    SolverNotAvailable,
    UnsupportedProblem,
    VerificationError,
)


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


def exit_code(error: CausaloptError) -> Exit:
    """Return the exit code of an error."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), Exit.INPUT)


#: The files that the running command has written.
_written: ContextVar[list[Path] | None] = ContextVar("written", default=None)


def remember_written(path: Path) -> None:
    """Keep the name of a file that is in its place, for the message of what may end the command after it."""
    files = _written.get()
    if files is not None:
        files.append(path)


@contextmanager
def failures(as_json: bool) -> Iterator[None]:
    """Turn errors into a message on standard error (or JSON on standard output) and an exit code.

    The message names the files that were written before. Ctrl-C ends the command within about a second.
    """
    files: list[Path] = []
    before = _written.set(files)
    words = LastWords(lambda: _tell_stopped(as_json, files))
    try:
        with ending_soon(words):
            try:
                yield
            except CausaloptError as error:
                raise typer.Exit(_tell_error(error, as_json, files, words)) from None
    except KeyboardInterrupt:
        raise typer.Exit(_tell_stopped(as_json, files)) from None
    finally:
        _written.reset(before)


def _tell_stopped(as_json: bool, files: list[Path]) -> int:
    """Say that Ctrl-C ended the command."""
    early = "Stopped before there was a solution to keep; nothing was written."
    message = _with_files("Stopped.", files) if files else early
    if as_json:
        return _print_json("KeyboardInterrupt", message, Exit.INTERRUPTED)
    return _print("Interrupted", message, Exit.INTERRUPTED)


def _tell_error(error: CausaloptError, as_json: bool, files: list[Path], words: LastWords) -> int:
    """Say what was wrong, and why; finding that may take solves of its own, without which Ctrl-C leaves the message."""
    from causalopt.console.running import sign_of_life

    name, code = type(error).__name__, exit_code(error)
    message = _with_files(in_options(str(error)), files)
    if as_json:
        words.say = partial(_print_json, name, message, code)
        return _print_json(name, message, code, _explanation(error))
    _print(name, message, code)
    words.say = lambda: int(code)
    with sign_of_life("finding what would do (Ctrl-C leaves it)"):
        explanation = _explanation(error)
    if hasattr(explanation, "columns"):
        from causalopt.console.showing import show_error_table

        show_error_table(explanation, Console(stderr=True))
    elif explanation is not None:
        Console(stderr=True).print(in_options(str(explanation)), markup=False, highlight=False)
    return int(code)


def _with_files(message: str, files: list[Path]) -> str:
    """Add to a message the files that were written."""
    names = ", ".join(map(str, files))
    return f"{message.rstrip('.')}. Written before that: {names}." if names else message


def _explanation(error: CausaloptError) -> Any:
    """Return why, or None where finding it, which may take solves of its own, fails or is stopped by Ctrl-C."""
    try:
        return getattr(error, "explanation", None)
    except (CausaloptError, KeyboardInterrupt):
        return None


def _print_json(name: str, message: str, code: Exit, explanation: Any = None) -> int:
    from causalopt.console.showing import as_json_value

    error = {"type": name, "message": message, "explanation": as_json_value(explanation)}
    print(json.dumps({"error": error, "exit_code": int(code)}, indent=1, allow_nan=False))
    return int(code)


def _print(name: str, message: str, code: Exit) -> int:
    Console(stderr=True).print(Text.assemble((f"{name}:", "bold red"), " ", message))
    return int(code)
