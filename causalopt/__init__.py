"""causalopt: solver-agnostic optimization for causal inference; every answer is verified from the data."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public name -> the module that defines it. Names load on first use, so that `import causalopt` stays quick.
_PUBLIC = {
    "ArrayConstraint": "causalopt.modeling.components",
    "ArrayCost": "causalopt.modeling.costs",
    "ArrayObjective": "causalopt.modeling.costs",
    "ArrayVar": "causalopt.modeling.components",
    "BalanceProblem": "causalopt.problems.balance",
    "BalanceResult": "causalopt.problems.balance_result",
    "Bernoulli": "causalopt.inference.designs",
    "BootstrapResult": "causalopt.inference.bootstrap_result",
    "Capsule": "causalopt.solving.capsule",
    "CausaloptError": "causalopt.errors",
    "CausaloptWarning": "causalopt.errors",
    "Cluster": "causalopt.inference.designs_grouped",
    "CompleteRandomization": "causalopt.inference.designs",
    "CopulaProblem": "causalopt.problems.copula",
    "CopulaResult": "causalopt.problems.copula_result",
    "DataError": "causalopt.errors",
    "FactorialBalanceProblem": "causalopt.problems.factorial",
    "FactorialResult": "causalopt.problems.factorial_result",
    "Infeasibility": "causalopt.solving.infeasibility",
    "InfeasibleError": "causalopt.errors",
    "KnownCovariance": "causalopt.inference.designs_simulated",
    "LicenseError": "causalopt.errors",
    "MahalanobisBalance": "causalopt.inference.designs_simulated",
    "MatchedPairs": "causalopt.inference.designs_grouped",
    "OptionError": "causalopt.errors",
    "ProblemClass": "causalopt.modeling.program",
    "Program": "causalopt.modeling.program",
    "Rerandomized": "causalopt.inference.designs_simulated",
    "Result": "causalopt.solving.result",
    "SampledDesign": "causalopt.inference.designs_simulated",
    "Session": "causalopt.solving.session",
    "SolverFailure": "causalopt.errors",
    "SolverNotAvailable": "causalopt.errors",
    "Stratified": "causalopt.inference.designs_grouped",
    "SyntheticControlProblem": "causalopt.problems.synthetic_control",
    "SyntheticControlResult": "causalopt.problems.synthetic_control_result",
    "TightestTolerance": "causalopt.problems.balance_tolerance",
    "Tolerances": "causalopt.solving.verify",
    "UnsupportedProblem": "causalopt.errors",
    "VerificationError": "causalopt.errors",
    "balance": "causalopt.problems.balance",
    "causal_bootstrap": "causalopt.inference.bootstrap",
    "compile_model": "causalopt.modeling.compile",
    "explain_infeasibility": "causalopt.solving.infeasibility",
    "factorial_balance": "causalopt.problems.factorial",
    "session": "causalopt.solving.session",
    "solve": "causalopt.solving.dispatch",
    "solvers": "causalopt.solving.catalogue",
    "synthetic_control": "causalopt.problems.synthetic_control",
    "tighten": "causalopt.problems.balance_tolerance",
    "tightening_prices": "causalopt.problems.balance_tolerance",
    "tightest_tolerance": "causalopt.problems.balance_tolerance",
    "AssignmentProblem": "causalopt.problems.assignment",
    "AssignmentResult": "causalopt.problems.assignment_result",
    "MatchGraph": "causalopt.problems.matching",
    "match_graph": "causalopt.problems.matching",
    "RobustMcNemarProblem": "causalopt.problems.mcnemar",
    "RobustMcNemarResult": "causalopt.problems.mcnemar",
    "RobustZCurve": "causalopt.problems.robust_z_curve",
    "RobustZProblem": "causalopt.problems.robust_z",
    "RobustZResult": "causalopt.problems.robust_z_result",
    "robust_z_test": "causalopt.problems.robust_z_curve",
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
