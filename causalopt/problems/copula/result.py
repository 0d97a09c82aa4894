"""What a copula problem answers: the worst-case variance and the outcomes that attain it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import VerificationError
from causalopt.modeling.program import Floats, Ints
from causalopt.problems.copula.data import Experiment, Study
from causalopt.problems.copula.model import CopulaModel
from causalopt.solving.result import Result
from causalopt.study.estimates import Estimate, normal_estimate


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class CopulaResult(Result):
    """The largest variance of the estimator, and the potential outcomes that attain it.

    Attributes
    ----------
    problem : CopulaProblem
    imputed : DataFrame
        By row label: `treated`, `outcome 1` and `outcome 0` (observed or imputed), and `imputed`, the number of the arm
        whose outcome is imputed.
    variance : float
        V*, recomputed from the imputed outcomes. The variance of the estimate itself: it is not divided by N again.
    estimate : float
        The estimated effect.
    """

    problem: CopulaModel
    imputed: pd.DataFrame
    variance: float
    estimate: float

    @classmethod
    def of(cls, problem: CopulaModel, result: Result, choice: Ints) -> CopulaResult:
        """Make the result of an imputation: unit i takes its value number choice[i].

        Parameters
        ----------
        problem : CopulaProblem
            What was solved.
        result : Result
            The verified answer, in the program's order.
        choice : (n,) int array
            The number of the value that each unit takes.

        Raises
        ------
        VerificationError
            Where the imputed outcomes do not have the variance that was claimed.
        """
        study = problem.study
        missing = problem.columns.missing(choice)
        variance = study.objective.value(missing)
        _check(result, study, missing, variance)
        imputed = imputed_frame(study, *complete(study, missing))
        return cls(**result.fields(), problem=problem, imputed=imputed, variance=variance, estimate=study.estimate)

    @property
    def standard_error(self) -> float:
        """The square root of the worst-case variance."""
        return float(np.sqrt(self.variance))

    @property
    def variance_bound(self) -> float:
        """A variance that no imputation exceeds: the bound where there is one, else infinity."""
        return float("inf") if self.bound is None else max(float(self.bound), self.variance)

    def interval(self, level: float = 0.95) -> Estimate:
        """Return the estimate with its normal interval,  tau +- z sqrt(V*).

        Where the answer is not proven optimal, V* is the bound, so that the interval is never too short.

        Parameters
        ----------
        level : float
            Confidence level.
        """
        proven = self.is_optimal or not np.isfinite(self.variance_bound)
        variance = self.variance if proven else self.variance_bound
        what = "worst-case variance" if self.is_optimal else "bound on the worst-case variance"
        if not self.is_optimal and not np.isfinite(self.variance_bound):
            what = "variance of the worst copula found, with nothing to say how far the worst is"
        return normal_estimate(self.estimate, variance, level, f"{self.problem.study.estimator}; {what}")

    def copula(self) -> pd.DataFrame:
        """Return how often each pair of outcomes (rows: outcome 0, columns: outcome 1) occurs among the units."""
        return pd.crosstab(self.imputed["outcome 0"], self.imputed["outcome 1"])

    def facts(self) -> dict[str, str]:
        """Return the facts of the solve, with those of the variance first."""
        study = self.problem.study
        own = {
            "design": str(study.design),
            "estimator": str(study.estimator),
            "units": f"{len(study):,}, of which {int(study.treated.sum()):,} treated",
            "slack": f"{study.slack:.6g} (smallest feasible {study.smallest_slack:.6g})",
            "estimate": f"{self.estimate:.6g}",
            "largest variance": f"{self.variance:.6g} (standard error {self.standard_error:.6g})",
        }
        if not study.objective.exact:
            own["covariance"] = f"simulated from {study.objective.draws:,} assignments"
        return own | super().facts()


def _check(result: Result, study: Study, missing: Floats, variance: float) -> None:
    if result.objective is None:
        return
    # A variance that cancels to nearly nothing is known to the rounding of its terms.
    terms = float(np.diag(study.objective.matrix) @ (missing - study.objective.shift) ** 2)
    scale = max(abs(variance), 1e-3 * terms, 1e-300)
    if abs(result.objective - variance) > 1e-5 * scale:
        raise VerificationError(
            f"{result.solver} reports a variance of {result.objective:.10g}, but the outcomes it imputes have "
            f"{variance:.10g}. Try another solver or formulation.",
            str(result.status),
            result.verification,
        )


def complete(experiment: Experiment, missing: Floats) -> tuple[Floats, Floats]:
    """Return both potential outcomes, given the imputed missing ones (residuals, where outcomes are predicted)."""
    z = experiment.treated
    predicted: Any = experiment.estimator.prediction(len(z))
    whole = missing if predicted is None else missing + np.where(z, predicted[1], predicted[0])
    return np.where(z, experiment.outcome, whole), np.where(z, whole, experiment.outcome)


def imputed_frame(experiment: Experiment, y1: Floats, y0: Floats) -> pd.DataFrame:
    """Return both potential outcomes by row label, and which of them is imputed."""
    z = experiment.treated
    return pd.DataFrame(
        {"treated": z, "outcome 1": y1, "outcome 0": y0, "imputed": np.where(z, 0, 1)}, index=experiment.index
    )
