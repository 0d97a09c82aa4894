"""Worst-case copulas for design-based inference."""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = ("CopulaProblem",)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.problem"), name)
