"""Messages with named parts, so that who shows one can word it: Python says `treated='yes'`, a command `--treated yes`.

A part is put into an f-string by `argument`, `call` or `in_python`, and `Message` reads it back. What else stands in
the text, such as names of the user's own, is nobody's to reword.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any, Self

#: Marks around and between the fields of a part; of Unicode's private use, and no part of anybody's text.
_BEGIN, _NEXT, _END = "\ue000", "\ue001", "\ue002"
_FIELD = f"([^{_BEGIN}{_NEXT}{_END}]*)"
_PART = re.compile(f"{_BEGIN}{_NEXT.join([_FIELD] * 4)}{_END}")
_MARKS = re.compile(f"[{_BEGIN}{_NEXT}{_END}]")


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a message that has a name.

    Attributes
    ----------
    kind : {"argument", "call", "python"}
    name : str
        Of the argument or the function; of what only Python says, what others say in its place.
    value : str
        The argument's value as Python writes it, "" where none is named.
    text : str
        What Python says.
    """

    kind: str
    name: str
    value: str
    text: str


class Message(str):
    """A text of which some parts are known by name.

    Parameters
    ----------
    marked : str
        An f-string with parts.
    topic : str
        What the message is about, for those who decide by it.

    Examples
    --------
    >>> message = Message(f"Which of 'no' and 'yes' is treated? Say {argument('treated', 'yes')}.")
    >>> print(message)
    Which of 'no' and 'yes' is treated? Say treated='yes'.
    >>> message.worded(lambda part: f"--{part.name} yes")
    "Which of 'no' and 'yes' is treated? Say --treated yes."
    """

    marked: str
    topic: str

    def __new__(cls, marked: str, topic: str = "") -> Self:
        """Read the parts of a marked text; a message keeps its own."""
        text = marked.marked if isinstance(marked, Message) else str(marked)
        made = super().__new__(cls, _PART.sub(lambda found: found[4], text))
        made.marked = text
        made.topic = topic or getattr(marked, "topic", "")
        return made

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        """Return what a copy is made from."""
        return type(self), (self.marked, self.topic)

    def worded(self, word: Callable[[Part], str]) -> str:
        """Return the message with its parts in other words.

        Parameters
        ----------
        word : callable
            Of a part.
        """
        return _PART.sub(lambda found: word(Part(*found.groups())), self.marked)


def _part(kind: str, name: str, value: str, text: str) -> str:
    return f"{_BEGIN}{_NEXT.join(_MARKS.sub('', field) for field in (kind, name, value, text))}{_END}"


def argument(name: str, *value: Any, assigned: bool = False) -> str:
    """Return an argument as a part of a message.

    Parameters
    ----------
    name : str
        Of the argument.
    *value : object, optional
        Its value; Python says `name=value`.
    assigned : bool
        Without a value, whether Python says `name=` rather than `name`.
    """
    if not value:
        return _part("argument", name, "", f"{name}=" if assigned else name)
    plain = value[0].item() if hasattr(value[0], "item") and not getattr(value[0], "shape", ()) else value[0]
    return _part("argument", name, repr(plain), f"{name}={plain!r}")


def call(name: str, text: str = "") -> str:
    """Return a function or method that the user may call as a part of a message.

    Parameters
    ----------
    name : str
        By which others know it.
    text : str
        What Python says; `name()` unless given.
    """
    return _part("call", name, "", text or f"{name}()")


def in_python(text: str, elsewhere: str = "") -> str:
    """Return what is said in Python alone as a part of a message.

    Parameters
    ----------
    text : str
        What Python says.
    elsewhere : str
        What others say.
    """
    return _part("python", elsewhere, "", text)
