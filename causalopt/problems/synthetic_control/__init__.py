"""Synthetic control."""

from __future__ import annotations

import importlib
from typing import Any

_PUBLIC = ("SyntheticControlProblem", "synthetic_control")


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.problem"), name)
