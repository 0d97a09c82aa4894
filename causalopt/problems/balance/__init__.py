"""Stable balancing weights: the problem, its data and rows, its answer and what is drawn and said of it."""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = ("BalanceProblem", "balance")


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.problem"), name)
