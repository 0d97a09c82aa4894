"""Where real data lies, and the way to leave out what is not there."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from causalopt.bench.running.suite import SkipInstance


def data_file(*parts: str) -> Path:
    """Return the path of a file of real data: in CAUSALOPT_DATA, or in the folder beside the source tree.

    Raises
    ------
    SkipInstance
        Where there is no such file.
    """
    beside = Path(__file__).resolve().parents[4] / "shared" / "data"
    path = Path(os.environ.get("CAUSALOPT_DATA", beside)).joinpath(*parts)
    if not path.is_file():
        raise SkipInstance(f"{'/'.join(parts)} is not there: set CAUSALOPT_DATA to the folder of real data")
    return path


def part_of_causalopt(module: str, name: str) -> Any:
    """Return a class or function of causalopt that this version may not have.

    Raises
    ------
    SkipInstance
        Where it has not.
    """
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise SkipInstance(f"this version of causalopt has no {name}") from None
