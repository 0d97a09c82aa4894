"""Assignment: pairs of least or largest total cost."""

from __future__ import annotations

from typing import Any

_PUBLIC = ("AssignmentProblem",)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from causalopt.problems.assignment import problem

    return getattr(problem, name)
