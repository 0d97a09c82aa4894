"""Balancing weights for factorial studies."""

from __future__ import annotations

from typing import Any

_PUBLIC = ("FactorialBalanceProblem", "factorial_balance")


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from causalopt.problems.factorial import problem

    return getattr(problem, name)
