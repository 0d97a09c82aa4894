"""Worst-case copulas for design-based inference."""

from __future__ import annotations

from typing import Any

_PUBLIC = ("CopulaProblem",)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from causalopt.problems.copula import problem

    return getattr(problem, name)
