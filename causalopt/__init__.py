"""causalopt: solver-agnostic optimization for causal inference; every answer is verified from the data."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from causalopt.installation import warn_of_shared_name
from causalopt.version import __version__ as __version__

#: Public name -> the module that defines it. Names load on first use, so that `import causalopt` stays quick.
_PUBLIC = {
    "Answer": "causalopt.solving.answer",
    "ArrayConstraint": "causalopt.modeling.components",
    "ArrayCost": "causalopt.modeling.costs",
    "ArrayObjective": "causalopt.modeling.costs",
    "ArrayVar": "causalopt.modeling.components",
    "BalanceProblem": "causalopt.problems.balance.problem",
    "BalanceResult": "causalopt.problems.balance.result",
    "Bernoulli": "causalopt.study.designs.design",
    "BootstrapResult": "causalopt.problems.copula.bootstrap.result",
    "Capsule": "causalopt.solving.capsules.capsule",
    "CausaloptError": "causalopt.errors",
    "CausaloptWarning": "causalopt.errors",
    "Cluster": "causalopt.study.designs.grouped",
    "CompleteRandomization": "causalopt.study.designs.design",
    "CopulaProblem": "causalopt.problems.copula.problem",
    "CopulaResult": "causalopt.problems.copula.result",
    "DataError": "causalopt.errors",
    "FactorialBalanceProblem": "causalopt.problems.factorial.problem",
    "FactorialResult": "causalopt.problems.factorial.result",
    "Formulation": "causalopt.solving.problem",
    "Infeasibility": "causalopt.solving.infeasibility",
    "InfeasibleError": "causalopt.errors",
    "KnownCovariance": "causalopt.study.designs.simulated",
    "Lane": "causalopt.solving.lane",
    "LicenseError": "causalopt.errors",
    "MahalanobisBalance": "causalopt.study.designs.simulated",
    "MatchedPairs": "causalopt.study.designs.grouped",
    "OptionError": "causalopt.errors",
    "Problem": "causalopt.solving.problem",
    "ProblemClass": "causalopt.modeling.program",
    "Program": "causalopt.modeling.program",
    "Rerandomized": "causalopt.study.designs.simulated",
    "Result": "causalopt.solving.result",
    "SampledDesign": "causalopt.study.designs.simulated",
    "Session": "causalopt.solving.session",
    "SolverFailure": "causalopt.errors",
    "SolverNotAvailable": "causalopt.errors",
    "Stratified": "causalopt.study.designs.grouped",
    "SyntheticControlProblem": "causalopt.problems.synthetic_control.problem",
    "SyntheticControlResult": "causalopt.problems.synthetic_control.result",
    "TightestTolerance": "causalopt.problems.balance.tolerance",
    "Tolerances": "causalopt.verifying.claims",
    "UnsupportedProblem": "causalopt.errors",
    "VerificationError": "causalopt.errors",
    "balance": "causalopt.problems.balance.problem",
    "causal_bootstrap": "causalopt.problems.copula.bootstrap.bootstrap",
    "compile_model": "causalopt.modeling.compile",
    "draws": "causalopt.solving.answer",
    "explain_infeasibility": "causalopt.solving.dispatch",
    "explains": "causalopt.solving.answer",
    "factorial_balance": "causalopt.problems.factorial.problem",
    "session": "causalopt.solving.session",
    "solve": "causalopt.solving.dispatch",
    "solvers": "causalopt.solving.catalogue",
    "synthetic_control": "causalopt.problems.synthetic_control.problem",
    "tighten": "causalopt.problems.balance.tolerance",
    "tightening_prices": "causalopt.problems.balance.tolerance",
    "tightest_tolerance": "causalopt.problems.balance.tolerance",
    "AssignmentProblem": "causalopt.problems.assignment.problem",
    "AssignmentResult": "causalopt.problems.assignment.result",
    "MatchGraph": "causalopt.study.match_graph",
    "match_graph": "causalopt.study.match_graph",
    "RobustMcNemarProblem": "causalopt.problems.robust.mcnemar",
    "RobustMcNemarResult": "causalopt.problems.robust.mcnemar",
    "RobustZCurve": "causalopt.problems.robust.z.curve",
    "RobustZProblem": "causalopt.problems.robust.z.problem",
    "RobustZResult": "causalopt.problems.robust.z.result",
    "robust_z_test": "causalopt.problems.robust.z.curve",
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


warn_of_shared_name()
