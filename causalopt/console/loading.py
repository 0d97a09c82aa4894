"""Modules that a command needs once it runs: `causalopt --help` does not wait for them."""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """A module of ours that is loaded when something of it is first asked for.

    Parameters
    ----------
    name : str
        Of the module.

    Examples
    --------
    >>> words = Later("causalopt.solving.words")
    >>> words.plural(2, "row")
    '2 rows'
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)
