"""Synthetic control."""

from __future__ import annotations

from typing import Any

_PUBLIC = ("SyntheticControlProblem", "synthetic_control")


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from causalopt.problems.synthetic_control import problem

    return getattr(problem, name)
