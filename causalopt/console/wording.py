"""The library's messages in the words of the command line: there `treated='yes'` is `--treated yes`.

The library names an argument as Python writes it: `name=value`, `name=` without a value, the bare name where it holds
an underscore, or where a message begins with it. An option of a command has the name of the argument that it gives, so
that its own declaration says how it is written; a command declares the few that are named otherwise. What stands in
quotes is the user's, and stays.
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


#: What Python users call where commands lead to a message that says so, as one asks for it here.
CALLS = {
    "placebo_in_space()": "--placebo space",
    "placebo_in_time()": "--placebo time",
    "leave_one_out()": "--placebo leave-one-out",
    "weight_ranges and att_range()": "--eta 0",
    "att_range()": "--eta 0",
    "causal_bootstrap": "causalopt bootstrap",
}

#: Arguments that no option gives.
PYTHON_ONLY = ("support", "predictions", "isolate")

#: Turns of phrase that are of Python alone.
PHRASES = (
    (re.compile(r",? or None\b(?! to\b)"), ""),
    (re.compile(r"\bNone or "), ""),
    (re.compile(r"\bor None to\b"), "or leave it out to"),
    (re.compile(r", which is computed when you look at it,"), ""),
    (re.compile(r", or make it a category whose second level is the high one"), ""),
    (re.compile(r"leave it out \(donors=\)", re.IGNORECASE), "leave it out (--without)"),
    (re.compile(r", with pd\.to_numeric\b"), ""),
    (re.compile(r", as numbers, or as dates \(pd\.to_datetime\)"), ", or as numbers"),
    (re.compile(r"\bdf\[('[^']*'|\"[^\"]*\")\]"), r"\1"),
)

QUOTED = r"(?<![\w)\]])(?P<quote>['\"])(?:\\.|(?!(?P=quote)).)*(?P=quote)(?!\w)"
VALUE = (
    r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|\[[^\[\]]*\]|\([^()]*\)|\{[^{}]*\}|True\b|False\b|None\b"
    r"|-?(?:inf\b|\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?)"
)
TOKEN = re.compile(
    rf"(?<![\w.\-/='\"])(?P<name>[a-z][a-z0-9_]*)=(?!=)(?P<value>{VALUE})?"
    rf"|{QUOTED}"
    r"|(?P<start>\A[a-z][a-z0-9_]*\b)(?!=)"
    r"|(?<![\w.\-/=])(?P<bare>[a-z][a-z0-9]*(?:_[a-z0-9]+)+)\b(?![=(.])"
)

#: The options of the running command, by the names of the arguments that they give.
_options: ContextVar[Mapping[str, Option] | None] = ContextVar("options", default=None)


@contextmanager
def speaking_of(options: Mapping[str, Option]) -> Iterator[None]:
    """Say what is said in here in terms of these options."""
    before = _options.set(options)
    try:
        yield
    finally:
        _options.reset(before)


def in_options(text: str) -> str:
    """Return a message of the library in terms of the running command's options.

    Examples
    --------
    >>> with speaking_of({"treated": Option("--treated"), "scale": Option("--scale", "pairs")}):
    ...     in_options("Which of 'no' and 'yes' is treated? Say treated='yes'.")
    ...     in_options("Use scale={'age': 'raw'}, or leave 'treated=' out.")
    "Which of 'no' and 'yes' is treated? Say --treated yes."
    "Use --scale age=raw, or leave 'treated=' out."
    """
    options = _options.get()
    if not options:
        return text
    for call, said in CALLS.items():
        text = text.replace(call, said)
    for pattern, said in PHRASES:
        text = pattern.sub(said, text)
    return TOKEN.sub(lambda found: _said(found, options), text)


def _said(found: re.Match[str], options: Mapping[str, Option]) -> str:
    name = found["name"] or found["start"] or found["bare"]
    if name in options:
        if found["value"] is None:
            return str(options[name])
        written = options[name].with_value(_value(found["value"]))
        return f"{found[0]} (in Python)" if written is None else written
    if found["name"] in PYTHON_ONLY:
        return f"{found[0]} (in Python)"
    return found[0]


def _value(text: str) -> Any:
    """Read a value that Python would; of names in brackets, such as (first, second), a list of them."""
    try:
        return ast.literal_eval(text.replace(",", "") if text[0].isdigit() else text)
    except (ValueError, SyntaxError):
        return [word.strip() for word in text.strip("[](){}").split(",")]


def rewrapped(paragraphs: str) -> str:
    """Return an explanation of several wrapped paragraphs in terms of the running command's options."""
    from causalopt.solving.words import wrapped

    return wrapped([in_options(" ".join(lines.split("\n"))) for lines in paragraphs.split("\n\n")])
