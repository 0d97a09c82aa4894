"""Counts, names and numbers in sentences."""

from __future__ import annotations

import decimal
import math
import textwrap
from collections.abc import Iterable
from typing import Self

from causalopt.messages import Message

#: Columns of a line.
WIDTH = 80

#: A relative gap up to which bound and objective agree, but for rounding.
AGREE = 1e-9


class Paragraphs(str):
    """Paragraphs with an empty line between them, at most 80 columns wide.

    Attributes
    ----------
    texts : tuple of causalopt.messages.Message
        They, before lines were broken, with the parts that have names; for who words them otherwise.
    """

    texts: tuple[Message, ...]

    def __new__(cls, texts: Iterable[str]) -> Self:
        """Wrap texts; empty ones are left out."""
        messages = tuple(Message(text) for text in texts if text)
        made = super().__new__(
            cls, "\n\n".join(textwrap.fill(text, WIDTH, break_on_hyphens=False) for text in messages)
        )
        made.texts = messages
        return made

    def __reduce__(self) -> tuple[type[Self], tuple[tuple[Message, ...]]]:
        """Return what a copy is made from."""
        return type(self), (self.texts,)


def wrapped(paragraphs: Iterable[str]) -> Paragraphs:
    """Return paragraphs with an empty line between them, at most 80 columns wide."""
    return Paragraphs(paragraphs)


def listing(names: list[str], shown: int = 5) -> str:
    """Return names in a phrase, the first few of many."""
    if len(names) > shown:
        return f"{', '.join(names[:shown])} and {len(names) - shown:,} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def plural(count: int, noun: str, many: str = "") -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def rounded_up(value: float, digits: int) -> str:
    """Return a number of few digits that is not below a value, but for rounding of the value itself.

    Examples
    --------
    >>> rounded_up(1.3801, 3), rounded_up(1.38, 3), rounded_down(-0.0123456, 3)
    ('1.39', '1.38', '-0.0124')
    """
    nearest = f"{value:.{digits}g}"
    if not math.isfinite(value) or float(nearest) >= value - AGREE * abs(value):
        return nearest
    up = decimal.Context(prec=digits, rounding=decimal.ROUND_CEILING).create_decimal_from_float(value)
    return f"{float(up):.{digits}g}"


def rounded_down(value: float, digits: int) -> str:
    """Return a number of few digits that is not above a value, but for rounding of the value itself."""
    return f"{-float(rounded_up(-value, digits)) + 0.0:.{digits}g}"
