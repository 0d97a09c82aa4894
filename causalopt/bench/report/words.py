"""Figures as people read them: durations with their unit, shares in per cent, and text that cannot do harm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from causalopt.solving.words import listing

#: From the longest unit to the shortest: the least duration that is written in it, seconds in it, its name.
DURATIONS = ((5400.0, 3600.0, "h"), (100.0, 60.0, "min"), (1.0, 1.0, "s"), (1e-3, 1e-3, "ms"), (0.0, 1e-6, "µs"))


def seconds(value: float) -> str:
    """Write a duration to three digits with the unit that suits it.

    Examples
    --------
    >>> [seconds(v) for v in (0.0, 0.00034, 0.04123, 2.5, 90, 7200)]
    ['0 s', '340 µs', '41.2 ms', '2.5 s', '90 s', '2 h']
    """
    if value < 0:
        return "-" + seconds(-value)
    if value < 5e-10:
        return "0 s"
    value = float(f"{value:.3g}")  # rounded first: 0.9999 ms is 1 ms
    _, size, unit = next(d for d in DURATIONS if value >= d[0])
    return f"{significant(value / size)} {unit}"


def significant(value: float, digits: int = 3) -> str:
    """Write a number to some digits, without an exponent where it would be longer, and without idle zeros."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if not 1e-4 <= abs(value) < 1e15:
        return f"{value:.{digits}g}"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def share(value: float) -> str:
    """Write a share in per cent; only all is 100%, and only none is 0%.

    Examples
    --------
    >>> [share(v) for v in (1.0, 0.9999, 0.123, 0.00001, 0.0)]
    ['100%', '>99.9%', '12.3%', '<0.1%', '0%']
    """
    if 0 < value < 0.0005:
        return "<0.1%"
    if 0.9995 <= value < 1:
        return ">99.9%"
    return f"{100 * value:.1f}".removesuffix(".0") + "%"


def count(value: float) -> str:
    """Write a whole number."""
    return f"{value:,.0f}"


#: How numbers of a unit are written.
WRITERS: dict[str, Callable[[float], str]] = {
    "seconds": seconds,
    "share": share,
    "count": count,
    "times": significant,
    "MiB": lambda value: f"{significant(value)} MiB",
    "number": lambda value: significant(value, 6),
    "difference": lambda value: "0" if value == 0 else f"{value:.1e}" if abs(value) < 1e-3 else significant(value),
}


def written(value: Any, unit: str = "") -> str:
    """Write one value: numbers by their unit, yes and no for truth, nothing for what is missing."""
    if isinstance(value, str):
        return printable(value)
    if value is None:
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "NO"
    number = float(value)
    if not math.isfinite(number):
        return "" if math.isnan(number) else f"{number:g}"
    return WRITERS[unit or "number"](number)


def printable(text: str) -> str:
    """Return text in which nothing moves the cursor, starts a colour, or turns the direction of writing."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def listed(names: Iterable[object], most: int = 8) -> str:
    """Write names with commas and an "and", the first few of many."""
    return listing([printable(str(name)) for name in names], most)
