"""Worst-case copulas: the largest variance of an effect estimator that a randomized experiment's data allow.

Brennan, Lahaie, Javanmard, Doudchenko and Pouget-Abadie (2025), Integer programming for generalized causal bootstrap
designs, arXiv:2410.21464; cited as [COP]. Aronow, Green and Lee (2014), Sharp bounds on the variance in randomized
experiments, Annals of Statistics 42:850-871; cited as [AGL].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any, Self

import numpy as np
import pandas as pd

from causalopt import modeling
from causalopt.errors import DataError, InfeasibleError
from causalopt.messages import argument
from causalopt.modeling.program import Floats, Ints, Program
from causalopt.problems.copula.data import Experiment, Study
from causalopt.problems.copula.infeasible import too_small
from causalopt.problems.copula.model import FORMULATIONS, CopulaModel
from causalopt.problems.copula.paths.alternating import local_search
from causalopt.problems.copula.paths.search import alternate, obstacle, rearrange
from causalopt.problems.copula.result import CopulaResult
from causalopt.problems.copula.rows import connected
from causalopt.problems.copula.slack import validity_probability
from causalopt.solving.backend import installed_backends
from causalopt.solving.options import SolveOptions
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result
from causalopt.solving.trying.tangents import can_approximate
from causalopt.study.designs.design import Design
from causalopt.study.designs.estimators import Estimator, as_estimator
from causalopt.study.designs.simulated import SIMULATION_DRAWS
from causalopt.study.reading import require_position, row_position
from causalopt.verifying.claims import Solution


class CopulaProblem(CopulaModel, Problem):
    """Impute the missing potential outcomes so that the variance of an estimator is as large as the data allow.

    Each unit's missing outcome is one value of a support: X_ik = 1 where unit i takes value k. With a_i the factor of
    Z_i in the estimator and Sigma the covariance of the design,

        max  a' Sigma a   s.t.   sum_k X_ik = 1,   |sum_i X^(a)_ik (Z_i / P_i - (1 - Z_i) / (1 - P_i))| <= slack N

    for every arm a and value k ([COP] section 4): the imputed outcomes of an arm are distributed as its observed ones.
    For the difference in means the shares of a value among the observed and the imputed differ by at most the slack.
    Estimators that are not linear in treatment use  theta' H theta  instead, see `causalopt.study.designs.estimators`.

    Parameters
    ----------
    outcome : Series or (n,) array
        Observed outcomes.
    treatment : Series or (n,) array
        Two values; the larger number is treated.
    design : Design
        How treatment was assigned.
    estimator : str or Estimator
        "difference-in-means", "horvitz-thompson", "hajek", "doubly-robust", "residualised" or "least-squares".
    slack : float or {"smallest", "theory"}, optional
        How far marginals may differ. "smallest" (the default) is the smallest that is feasible; "theory" makes the true
        outcomes feasible with probability .95, by a bound that is of use for large experiments only.
    strata : (n,) labels, optional
        Marginals are compared within strata.
    support : array or mapping {0: array, 1: array}, optional
        Values that missing outcomes may take, by arm; those observed in the arm (and stratum) unless given. For the
        doubly robust estimator, of residuals.
    covariates : array, optional
        For "residualised" and "least-squares".
    predictions : array or pair of arrays, optional
        For "doubly-robust".
    treated : object, optional
        Which treatment value counts as treated.
    draws, seed : int
        Assignments simulated where the variance has no closed form and the design is too large to enumerate.

    Raises
    ------
    DataError
        For bad outcomes or treatments, treatments that the design cannot produce, and supports without an observed
        value.
    InfeasibleError
        For a slack below the smallest feasible one, which it names.

    Examples
    --------
    >>> import numpy as np, causalopt as co
    >>> y = np.array([1.0, 2.0, 4.0, 3.0, 5.0, 9.0])
    >>> z = np.array([1, 0, 1, 0, 0, 1])
    >>> problem = co.CopulaProblem(y, z, co.MatchedPairs([0, 0, 1, 1, 2, 2]))
    >>> result = co.solve(problem)
    >>> result.solver, round(result.variance, 4)
    ('rearrangement', 3.5556)
    """

    _formulations: Mapping[str, Formulation] = FORMULATIONS

    def __init__(
        self,
        outcome: Any,
        treatment: Any,
        design: Design,
        *,
        estimator: str | Estimator = "difference-in-means",
        slack: float | str | None = None,
        strata: Any = None,
        support: Any = None,
        covariates: Any = None,
        predictions: Any = None,
        treated: Any = None,
        draws: int = SIMULATION_DRAWS,
        seed: int = 0,
    ) -> None:
        began = perf_counter()
        if not isinstance(design, Design):
            raise DataError(
                f"{argument('design')} is {type(design).__name__}; give one of causalopt's designs, such as "
                "CompleteRandomization(n)."
            )
        chosen = as_estimator(estimator, covariates, predictions)
        experiment = Experiment.read(outcome, treatment, design, chosen, treated)
        self._take(Study.of(experiment, slack=slack, strata=strata, support=support, draws=draws, seed=seed))
        self.data_seconds = perf_counter() - began

    @classmethod
    def _of(cls, study: Study) -> Self:
        """Make the problem of a study that was read before."""
        problem = cls.__new__(cls)
        problem._take(study)
        return problem

    def _take(self, study: Study) -> None:
        self.study = study
        self.outcome, self.treated, self.levels = study.outcome, study.treated, study.levels
        self.design, self.estimator, self.residual = study.design, study.estimator, study.residual
        self.groups, self.slack, self.conditional = study.groups, study.slack, study.conditional
        self.draws, self.seed = study.draws, study.seed

    # ---- slack ----

    @property
    def smallest_slack(self) -> float:
        """The smallest slack that is feasible."""
        return self.study.smallest_slack

    def validity_probability(self, delta: float = 0.0) -> float:
        """Return a lower bound on the probability that the true outcomes satisfy the constraints at this slack.

        Of use for large experiments only: see `causalopt.problems.copula.slack.validity_probability`.

        Parameters
        ----------
        delta : float
            How far confounding may shift assignments, in the units of the slack.
        """
        return validity_probability(self.design, self.slack, len(self.outcome), delta=delta)

    def infeasible(self, result: Result) -> InfeasibleError:
        """Return the error that names the smallest slack."""
        return too_small(self.groups, self.slack)

    # ---- model ----

    def formulation_name(self, name: str | None) -> str:
        """Return the name of a formulation that exists; None stands for the one that suits this design.

        `rlt` where units interact in pairs at most (matched pairs, independent assignment), else `convex`.
        """
        if name is not None:
            return super().formulation_name(name)
        self._refuse_hopeless()
        return "rlt" if all(len(part) <= 2 for part in connected(self.objective.matrix)) else "convex"

    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        return self._write(block, formulation), modeling.pyo.maximize

    def local_search(self, options: SolveOptions, guides: tuple[Floats, ...] = ()) -> Ints:
        """Return a good imputation by `alternating`: each unit's value number.

        Parameters
        ----------
        options : SolveOptions
            What the user asks of the solve.
        guides : tuple of arrays
            Points to start from, beside random ones.
        """
        return local_search(self.columns, options, guides)

    def index(self, label: Any, value: float) -> int:
        """Return the position in the model's `choice` of a row label taking a value of its support.

        Parameters
        ----------
        label : label
            A label of the caller's data.
        value : float
            A value of the unit's support, in the outcome's units.

        Raises
        ------
        DataError
            Where the unit's missing outcome cannot take the value.
        """
        i = row_position(self.study.index, label)
        columns = self.columns
        own = columns.value[columns.start[i] : columns.start[i] + columns.size[i]] + self.objective.shift
        found = np.flatnonzero(np.isclose(own, value, rtol=1e-12, atol=0))
        if len(found) == 0:
            raise DataError(f"{value:g} is not in the support of row {label!r}: {own[:5].tolist()} ...")
        return int(columns.start[i] + found[0])

    def label(self, position: int) -> tuple[Any, float]:
        """Return the row label and value of an element of the model's `choice`.

        Parameters
        ----------
        position : int
            Position among the model's variables, from 0.

        Raises
        ------
        DataError
            Where there is no such variable.
        """
        columns = self.columns
        require_position(position, len(columns.unit), "choice")
        return self.study.index[columns.unit[position]], float(columns.value[position] + self.objective.shift)

    # ---- fast paths ----

    def fast_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return `rearrangement` where a closed form applies."""
        if obstacle(self.study) is not None:
            return {}
        return {"rearrangement": partial(rearrange, self, formulation)}

    def named_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return `alternating`, a heuristic with a bound, and `rearrangement`, which may refuse."""
        return {
            "alternating": partial(alternate, self, formulation),
            "rearrangement": partial(rearrange, self, formulation),
        }

    def solvers(self, formulation: str | None = None) -> pd.DataFrame:
        """Return what can solve the problem here; solvers of MILPs take `convex` by tangents."""
        table = super().solvers(formulation)
        name = self.formulation_name(formulation)
        if self.by_tangents(name):
            program = modeling.compile_model(self.build(name))
            for backend in installed_backends():
                if program.problem_class not in backend.classes and can_approximate(program, backend):
                    table.loc[backend.name] = [True, "by tangents"]
        return table

    # ---- answers ----

    def result(self, result: Result, program: Program) -> CopulaResult:
        """Return the imputed outcomes with their labels."""
        assert result.x is not None
        return CopulaResult.of(self, result, self.columns.chosen(result.x))
