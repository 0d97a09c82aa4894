"""Worst-case copulas: the largest variance of an effect estimator that a randomized experiment's data allow.

Brennan, Lahaie, Javanmard, Doudchenko and Pouget-Abadie (2025), Integer programming for generalized causal bootstrap
designs, arXiv:2410.21464; cited as [COP]. Aronow, Green and Lee (2014), Sharp bounds on the variance in randomized
experiments, Annals of Statistics 42:850-871; cited as [AGL].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, InfeasibleError, UnsupportedProblem
from causalopt.modeling.program import Floats, Ints, ProblemClass, Program
from causalopt.problems.copula.data import (
    Objective,
    make_groups,
    make_objective,
    read_strata,
    read_study,
    refuse_labels,
)
from causalopt.problems.copula.diagonal import tuned_diagonal
from causalopt.problems.copula.paths import search as copula_paths
from causalopt.problems.copula.products import Products
from causalopt.problems.copula.result import CopulaResult
from causalopt.problems.copula.rows import Columns, Projection, connected, predicted_size, project, scaled_diagonal
from causalopt.problems.copula.slack import theory_slack, validity_probability
from causalopt.solving.options import SolveOptions
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result
from causalopt.study.designs.design import LARGEST_COVARIANCE, Design
from causalopt.study.designs.estimators import Estimator, as_estimator
from causalopt.study.designs.simulated import SIMULATION_DRAWS
from causalopt.study.reading import require_position, row_position
from causalopt.verifying.claims import Solution

#: The diagonal of `convex` is tuned for problems of at most this many units.
MOST_TUNED = 150


class CopulaProblem(Problem):
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

    _formulations: Mapping[str, Formulation] = {
        "rlt": Formulation(ProblemClass.MILP, True, "products linked by sum_l y_kl = X_k; Sherali and Adams (1990)"),
        "convex": Formulation(
            ProblemClass.CONVEX_MIQP, True, "a' Sigma a = a'Da - a'(D - Sigma)a with a'Da linear in X", tangents=True
        ),
        "mccormick": Formulation(ProblemClass.MILP, True, "[COP] section 4.2: three inequalities a product"),
        "rlt-dense": Formulation(ProblemClass.MILP, True, "as rlt, products of all pairs, marginal rows multiplied"),
        "quadratic": Formulation(ProblemClass.NONCONVEX_MIQP, True, "[COP] section 4.1, as written"),
    }

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
                f"design is {type(design).__name__}; give one of causalopt's designs, such as CompleteRandomization(n)."
            )
        self.outcome, self.treated, self._index, self.levels = read_study(outcome, treatment, treated)
        self.design = design
        self.estimator = as_estimator(estimator, covariates, predictions)
        self.draws, self.seed = draws, seed
        refuse_labels(outcome, design, self.estimator)
        design.units(len(self.outcome))
        design.refuse(self.treated)
        codes, strata_levels = read_strata(strata, self._index)
        self.conditional = strata is not None
        self.residual = self.estimator.residuals(self.outcome, self.treated)
        self.groups = make_groups(self.residual, self.treated, design, self.estimator, codes, strata_levels, support)
        self.slack = self._read_slack(slack)
        self._projection: Projection | None = None
        self._products: dict[str, Products] = {}
        self.data_seconds = perf_counter() - began

    # ---- slack ----

    @cached_property
    def smallest_slack(self) -> float:
        """The smallest slack that is feasible."""
        return max(group.smallest_slack()[0] for group in self.groups)

    def validity_probability(self, delta: float = 0.0) -> float:
        """Return a lower bound on the probability that the true outcomes satisfy the constraints at this slack.

        Of use for large experiments only: see `causalopt.problems.copula.slack.validity_probability`.

        Parameters
        ----------
        delta : float
            How far confounding may shift assignments, in the units of the slack.
        """
        return validity_probability(self.design, self.slack, len(self.outcome), delta=delta)

    def _read_slack(self, slack: float | str | None) -> float:
        if slack is None or slack == "smallest":
            return self.smallest_slack
        if slack == "theory":
            return max(theory_slack(self.design, len(self.outcome)), self.smallest_slack)
        if isinstance(slack, str | bool) or not (isinstance(slack, int | float | np.number) and 0 <= slack < np.inf):
            raise DataError(f"slack is {slack!r}; it must be zero, a positive number, 'smallest' or 'theory'.")
        if not all(group.feasible(float(slack)) for group in self.groups):
            raise self._too_small(float(slack))
        return float(slack)

    def _too_small(self, slack: float) -> InfeasibleError:
        from causalopt.problems.copula.infeasible import too_small

        return too_small(self, slack)

    def infeasible(self, result: Result) -> InfeasibleError:
        """Return the error that names the smallest slack."""
        return self._too_small(self.slack)

    # ---- model ----

    @cached_property
    def objective(self) -> Objective:
        """The variance as a function of the missing outcomes."""
        return make_objective(self.residual, self.treated, self.design, self.estimator, self.draws, self.seed)

    @cached_property
    def columns(self) -> Columns:
        """The one-hot columns."""
        self._refuse_hopeless()
        return Columns(self.groups, self.slack, self.objective)

    def _refuse_hopeless(self) -> None:
        n = len(self.outcome)
        smallest = predicted_size(self.groups, "convex", np.empty((0, 2), dtype=np.int64), 1)
        if n > LARGEST_COVARIANCE or not smallest.fits:
            raise UnsupportedProblem(
                f"No formulation fits {n:,} units: even 'convex' would have at least {smallest}. Give a coarser "
                "support= (such as quantiles), or use causal_bootstrap with method='isotone', 'sampling' or "
                "'conservative'."
            )

    def sizes(self) -> pd.DataFrame:
        """Return the predicted size of each formulation, and whether it would be built."""
        self._refuse_hopeless()
        rows = {name: self.columns.predict(name, self._rank if name == "convex" else 0) for name in self._formulations}
        return pd.DataFrame(
            {
                name: {"columns": s.columns, "rows": s.rows, "nonzeros": s.nonzeros, "fits": s.fits}
                for name, s in rows.items()
            }
        ).T.rename_axis("formulation")

    @cached_property
    def _rank(self) -> int:
        """Rank of D - M for the scaled diagonal: how many squares `convex` has, unless the diagonal is tuned."""
        m = self.objective.matrix
        values = np.concatenate(
            [np.linalg.eigvalsh((np.diag(scaled_diagonal(m)) - m)[np.ix_(part, part)]) for part in connected(m)]
        )
        return int((values > 1e-11 * max(float(np.abs(m).max()), 1e-300)).sum())

    def formulation_name(self, name: str | None) -> str:
        """Return the name of a formulation that exists; None stands for the one that suits this design.

        `rlt` where units interact in pairs at most (matched pairs, independent assignment), else `convex`.
        """
        if name is not None:
            return super().formulation_name(name)
        self._refuse_hopeless()
        return "rlt" if all(len(part) <= 2 for part in connected(self.objective.matrix)) else "convex"

    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        import pyomo.environ as pyo

        from causalopt.modeling.components import ArrayConstraint, ArrayVar

        columns = self.columns
        size = columns.predict(formulation, self._rank if formulation == "convex" else 0)
        if not size.fits:
            table = self.sizes()
            fitting = [f"{name!r} ({table.loc[name, 'columns']:,} columns)" for name in table.index[table["fits"]]]
            raise UnsupportedProblem(
                f"The formulation {formulation!r} of {columns.n:,} units would have {size}: too large to build. "
                f"Formulations that fit: {', '.join(fitting) or 'none; give a coarser support='}."
            )
        lower, upper = columns.bounds
        block.choice = ArrayVar(0.0, 1.0, integer=True, n=columns.count)
        block.once = ArrayConstraint(block.choice, columns.once, 1.0, 1.0)
        block.marginals = ArrayConstraint(block.choice, columns.marginals, lower, upper)
        cost = getattr(self, f"_{formulation.replace('-', '_')}")(block, ArrayVar, ArrayConstraint)
        return {"constant": self.objective.constant} | cost, pyo.maximize

    def _with_products(self, block: Any, formulation: str, pairs: Ints, variable: Any) -> tuple[dict[str, Any], Any]:
        columns = self.columns
        products = self._products.setdefault(formulation, columns.products(pairs))
        if len(products) == 0:
            return {"x": block.choice, "linear": columns.linear}, None
        block.product = variable(0.0, 1.0, n=len(products))
        linear = np.concatenate([columns.linear, columns.product_cost(products)])
        return {"x": (block.choice, block.product), "linear": linear}, products

    def _mccormick(self, block: Any, variable: Any, constraint: Any) -> dict[str, Any]:
        cost, products = self._with_products(block, "mccormick", self.columns.pairs, variable)
        if products is not None:
            matrix, upper = products.mccormick_rows(self.columns.count)
            block.mccormick = constraint((block.choice, block.product), matrix, -np.inf, upper)
        return cost

    def _rlt(self, block: Any, variable: Any, constraint: Any) -> dict[str, Any]:
        cost, products = self._with_products(block, "rlt", self.columns.pairs, variable)
        if products is not None:
            matrix = products.linking_rows(self.columns.count)
            block.links = constraint((block.choice, block.product), matrix, 0.0, 0.0)
        return cost

    def _rlt_dense(self, block: Any, variable: Any, constraint: Any) -> dict[str, Any]:
        cost, products = self._with_products(block, "rlt-dense", self.columns.all_pairs, variable)
        both = (block.choice, block.product)
        block.links = constraint(both, products.linking_rows(self.columns.count), 0.0, 0.0)
        block.multiplied = constraint(both, *self.columns.multiplied_marginals(products))
        return cost

    def _convex(self, block: Any, variable: Any, constraint: Any) -> dict[str, Any]:
        import scipy.sparse as sp

        columns, projection = self.columns, self.projection
        spread = projection.diagonal - np.diag(self.objective.matrix)
        linear = columns.linear + spread[columns.unit] * columns.value**2
        rank = projection.rows.shape[0]
        constant = self.objective.constant + projection.constant
        if rank == 0:
            return {"x": block.choice, "linear": linear, "constant": constant}
        block.projection = variable(projection.lower - 1e-6, projection.upper + 1e-6)
        both = (block.choice, block.projection)
        block.projections = constraint(both, sp.hstack([projection.rows, -sp.eye(rank)]), 0.0, 0.0)
        curvature = np.append(np.zeros(columns.count), np.full(rank, -2.0 * projection.scale))
        linear = np.append(linear, np.zeros(rank))
        return {"x": both, "linear": linear, "quadratic": curvature, "convex": None, "constant": constant}

    def _quadratic(self, block: Any, variable: Any, constraint: Any) -> dict[str, Any]:
        import scipy.sparse as sp

        columns = self.columns
        cost: dict[str, Any] = {"x": block.choice, "linear": columns.linear}
        products = columns.products(columns.pairs)
        if len(products):
            entries = (columns.product_cost(products), (products.first, products.second))
            half = sp.csc_matrix(entries, shape=(columns.count, columns.count))
            cost["quadratic"] = half + half.T
        return cost

    @property
    def projection(self) -> Projection:
        """The concave part of `convex`. Its diagonal is tuned where D - M would have a high rank.

        Tuning solves up to forty small relaxations, once.
        """
        if self._projection is None:
            columns = self.columns
            first = scaled_diagonal(self.objective.matrix)
            if 2 * self._rank > columns.n and columns.n <= MOST_TUNED:
                relax = partial(copula_paths.relax, columns)
                incumbent = self.objective.value(columns.missing(self.heuristic))
                first = tuned_diagonal(self.objective.matrix, first, relax, incumbent)
            self._projection = project(columns, first)
        return self._projection

    @cached_property
    def heuristic(self) -> Ints:
        """A good imputation by local search from a fixed seed: each unit's value number."""
        return self.local_search(SolveOptions())

    def local_search(self, options: SolveOptions, guides: tuple[Floats, ...] = ()) -> Ints:
        """Return a good imputation by `alternating`: each unit's value number.

        Parameters
        ----------
        options : SolveOptions
            What the user asks of the solve.
        guides : tuple of arrays
            Points to start from, beside random ones.
        """
        try:
            return copula_paths.local_search(self.columns, options, guides)
        except InfeasibleError:
            raise self._too_small(self.slack) from None

    def point(self, formulation: str, choice: Ints) -> Floats:
        """Return the solution of a formulation's program in which unit i takes its value number choice[i].

        Parameters
        ----------
        formulation : str
            One of `formulations`.
        choice : (n,) int array
            The number of the value that each unit takes.
        """
        columns = self.columns
        x = columns.one_hot(choice)
        if formulation == "convex":
            return np.append(x, self.projection.rows @ x)
        if formulation == "quadratic":
            return x
        products = self._products[formulation]
        return np.append(x, x[products.first] * x[products.second])

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
        i = row_position(self._index, label)
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
        return self._index[columns.unit[position]], float(columns.value[position] + self.objective.shift)

    # ---- fast paths ----

    def fast_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return `rearrangement` where a closed form applies."""
        if copula_paths.obstacle(self) is not None:
            return {}
        return {"rearrangement": partial(copula_paths.rearrange, self, formulation)}

    def named_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return `alternating`, a heuristic with a bound, and `rearrangement`, which may refuse."""
        return {
            "alternating": partial(copula_paths.alternate, self, formulation),
            "rearrangement": partial(copula_paths.rearrange, self, formulation),
        }

    def solvers(self, formulation: str | None = None) -> pd.DataFrame:
        """Return what can solve the problem here; solvers of MILPs take `convex` by tangents."""
        from causalopt.modeling.compile import compile_model
        from causalopt.solving.backend import installed_backends
        from causalopt.solving.tangents import can_approximate

        table = super().solvers(formulation)
        name = self.formulation_name(formulation)
        if self.by_tangents(name):
            program = compile_model(self.build(name))
            for backend in installed_backends():
                if program.problem_class not in backend.classes and can_approximate(program, backend):
                    table.loc[backend.name] = [True, "by tangents"]
        return table

    # ---- answers ----

    def result(self, result: Result, program: Program) -> CopulaResult:
        """Return the imputed outcomes with their labels."""
        assert result.x is not None
        return CopulaResult.of(self, result, self.columns.chosen(result.x))
