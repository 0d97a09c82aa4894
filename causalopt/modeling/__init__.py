"""Array-backed Pyomo components, and their compilation to the arrays of one program: the one way to Pyomo.

Pyomo takes longer to load than most answers to find. It loads when one of the names here is first touched, so that
modules import this package at their top, `from causalopt import modeling`, and fast paths never wait for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causalopt.modeling.compile import compile_model as compile_model
    from causalopt.modeling.compile import load_values as load_values
    from causalopt.modeling.compile import start_values as start_values
    from causalopt.modeling.components import ArrayConstraint as ArrayConstraint
    from causalopt.modeling.components import ArrayVar as ArrayVar
    from causalopt.modeling.components import is_untouched as is_untouched
    from causalopt.modeling.costs import ArrayCost as ArrayCost
    from causalopt.modeling.costs import ArrayObjective as ArrayObjective
    from causalopt.modeling.files import as_model as as_model
    from causalopt.modeling.files import write_program as write_program
    from causalopt.modeling.suffixes import load_duals as load_duals

#: pyomo.environ.
pyo: Any

_LAZY = {
    "ArrayConstraint": "components",
    "ArrayCost": "costs",
    "ArrayObjective": "costs",
    "ArrayVar": "components",
    "as_model": "files",
    "compile_model": "compile",
    "is_untouched": "components",
    "load_duals": "suffixes",
    "load_values": "compile",
    "start_values": "compile",
    "write_program": "files",
}


def __getattr__(name: str) -> Any:
    if name == "pyo":
        value: Any = importlib.import_module("pyomo.environ")
    elif name in _LAZY:
        value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
