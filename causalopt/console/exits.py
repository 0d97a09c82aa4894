"""Errors as one message for people or one object for programs, and an exit code."""

from __future__ import annotations

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

from causalopt.console.codes import Exit, code_of_error
from causalopt.console.showing import as_json_value, show_error_table
from causalopt.console.stopping import LastWords, ending_soon
from causalopt.console.waiting import sign_of_life
from causalopt.console.wording import in_options
from causalopt.errors import CausaloptError

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
    name, code = type(error).__name__, code_of_error(error)
    message = _with_files(in_options(error.message), files)
    if as_json:
        words.say = partial(_print_json, name, message, code)
        return _print_json(name, message, code, _explanation(error))
    _print(name, message, code)
    words.say = lambda: int(code)
    with sign_of_life("finding what would do (Ctrl-C leaves it)"):
        explanation = _explanation(error)
    if hasattr(explanation, "columns"):
        show_error_table(explanation, Console(stderr=True))
    elif explanation is not None:
        Console(stderr=True).print(in_options(explanation), markup=False, highlight=False)
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
    error = {"type": name, "message": message, "explanation": as_json_value(explanation)}
    print(json.dumps({"error": error, "exit_code": int(code)}, indent=1, allow_nan=False))
    return int(code)


def _print(name: str, message: str, code: Exit) -> int:
    Console(stderr=True).print(Text.assemble((f"{name}:", "bold red"), " ", message))
    return int(code)
