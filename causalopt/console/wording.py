"""The library's messages in the words of the command line: there `treated='yes'` is `--treated yes`.

A message names its arguments, and what one calls, as parts (`causalopt.messages`). An option of a command has the name
of the argument that it gives, so that its own declaration says how it is written; a command declares the few that are
named otherwise, and what its calls are called here. All else, such as names of the user's own, stays.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from causalopt.messages import Message, Part
from causalopt.solving.words import Paragraphs, wrapped


@dataclasses.dataclass(frozen=True)
class Option:
    """How an option is written.

    Attributes
    ----------
    name : str
        Such as "--tolerance".
    kind : {"value", "pairs", "flag", "yes or no"}
        "pairs" takes NAME=VALUE, "yes or no" has --no-NAME too.
    """

    name: str
    kind: str = "value"

    def __str__(self) -> str:
        return self.name

    def with_value(self, value: Any) -> str | None:
        """Return the option with a value, as one types it; None for a value that it cannot take."""
        if value is None:
            return f"no {self.name}"
        if isinstance(value, bool):
            if self.kind not in ("flag", "yes or no"):
                return None
            without = f"--no-{self.name[2:]}" if self.kind == "yes or no" else f"no {self.name}"
            return self.name if value else without
        if isinstance(value, Mapping):
            if self.kind != "pairs":
                return None
            return " ".join(f"{self.name} {typed(f'{name}={_plain(item)}')}" for name, item in value.items())
        return f"{self.name} {typed(_plain(value))}"


def typed(text: str) -> str:
    """Write a word as one types it in a shell: in quotes only where it needs them."""
    return text if re.fullmatch(r"[^\s'\"$`\\!*?<>|&;()#~]+", text) else shlex.quote(text)


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


#: The options of the running command, by the names of the arguments that they give, and what calls are here.
_words: ContextVar[tuple[Mapping[str, Option], Mapping[str, str]] | None] = ContextVar("words", default=None)


@contextmanager
def speaking_of(options: Mapping[str, Option], calls: Mapping[str, str] | None = None) -> Iterator[None]:
    """Say what is said in here in terms of these options; `calls` has what stands for a function here."""
    before = _words.set((options, calls or {}))
    try:
        yield
    finally:
        _words.reset(before)


def in_options(text: str) -> str:
    """Return a message, or an explanation of several paragraphs, in terms of the running command's options.

    Examples
    --------
    >>> from causalopt.messages import argument
    >>> with speaking_of({"treated": Option("--treated"), "scale": Option("--scale", "pairs")}):
    ...     in_options(Message(f"Which of 'no' and 'yes' is treated? Say {argument('treated', 'yes')}."))
    ...     in_options(Message(f"Use {argument('scale', {'age': 'raw'})}, or leave 'treated=' out."))
    "Which of 'no' and 'yes' is treated? Say --treated yes."
    "Use --scale age=raw, or leave 'treated=' out."
    """
    if isinstance(text, Paragraphs):
        return wrapped([in_options(each) for each in text.texts])
    message = Message(text)
    return str(message) if _words.get() is None else message.worded(_said)


def _said(part: Part) -> str:
    options, calls = _words.get() or ({}, {})
    if part.kind == "python":
        return part.name
    if part.kind == "call":
        return calls.get(part.name, part.text)
    option = options.get(part.name)
    if option is not None and not part.value:
        return str(option)
    written = None if option is None else option.with_value(_value(part.value))
    return written or (f"{part.text} (in Python)" if "=" in part.text else part.text)


def _value(text: str) -> Any:
    """Read a value that Python wrote; what is no literal, such as inf, stays as it is written."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
