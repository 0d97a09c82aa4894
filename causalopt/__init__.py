"""causalopt: solver-agnostic optimization for causal inference; every answer is verified from the data."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public name -> the module that defines it. Names load on first use, so that `import causalopt` stays quick.
_PUBLIC = {
    "ArrayConstraint": "causalopt.modeling.components",
    "ArrayCost": "causalopt.modeling.components",
    "ArrayObjective": "causalopt.modeling.components",
    "ArrayVar": "causalopt.modeling.components",
    "BalanceProblem": "causalopt.problems.balance",
    "BalanceResult": "causalopt.problems.balance_result",
    "CausaloptError": "causalopt.errors",
    "CausaloptWarning": "causalopt.errors",
    "DataError": "causalopt.errors",
    "InfeasibleError": "causalopt.errors",
    "LicenseError": "causalopt.errors",
    "OptionError": "causalopt.errors",
    "ProblemClass": "causalopt.modeling.program",
    "Program": "causalopt.modeling.program",
    "Result": "causalopt.solving.result",
    "SolverFailure": "causalopt.errors",
    "SolverNotAvailable": "causalopt.errors",
    "Tolerances": "causalopt.solving.verify",
    "UnsupportedProblem": "causalopt.errors",
    "VerificationError": "causalopt.errors",
    "balance": "causalopt.problems.balance",
    "compile_model": "causalopt.modeling.compile",
    "Session": "causalopt.solving.session",
    "session": "causalopt.solving.session",
    "solve": "causalopt.solving.dispatch",
    "solvers": "causalopt.solving.catalogue",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from causalopt.errors import CausaloptError as CausaloptError


#: Modules that are part of the public interface.
_MODULES = ("basis", "datasets", "errors")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"causalopt.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'causalopt' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
