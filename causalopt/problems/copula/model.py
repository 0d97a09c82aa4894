"""The copula problem's formulations: their sizes, what they add to a Pyomo block, and the point of an imputation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from causalopt import modeling
from causalopt.errors import UnsupportedProblem
from causalopt.messages import argument, call
from causalopt.modeling.program import Floats, Ints, ProblemClass
from causalopt.problems.copula.data import Objective, Study
from causalopt.problems.copula.diagonal import tuned_diagonal
from causalopt.problems.copula.paths.alternating import local_search
from causalopt.problems.copula.paths.relaxation import relax
from causalopt.problems.copula.products import Products
from causalopt.problems.copula.rows import (
    Columns,
    Projection,
    Size,
    connected,
    predicted_size,
    project,
    scaled_diagonal,
)
from causalopt.solving.options import SolveOptions
from causalopt.solving.problem import Formulation
from causalopt.study.designs.design import LARGEST_COVARIANCE

#: The diagonal of `convex` is tuned for problems of at most this many units.
MOST_TUNED = 150

#: [COP] is the source of `CopulaProblem`.
FORMULATIONS: Mapping[str, Formulation] = {
    "rlt": Formulation(ProblemClass.MILP, True, "products linked by sum_l y_kl = X_k; Sherali and Adams (1990)"),
    "convex": Formulation(
        ProblemClass.CONVEX_MIQP, True, "a' Sigma a = a'Da - a'(D - Sigma)a with a'Da linear in X", tangents=True
    ),
    "mccormick": Formulation(ProblemClass.MILP, True, "[COP] section 4.2: three inequalities a product"),
    "rlt-dense": Formulation(ProblemClass.MILP, True, "as rlt, products of all pairs, marginal rows multiplied"),
    "quadratic": Formulation(ProblemClass.NONCONVEX_MIQP, True, "[COP] section 4.1, as written"),
}


class CopulaModel:
    """A study written as arrays: what `CopulaProblem` adds to a model, and what its fast paths and results rest on.

    Attributes
    ----------
    study : Study
    """

    study: Study

    @property
    def objective(self) -> Objective:
        """The variance as a function of the missing outcomes."""
        return self.study.objective

    @cached_property
    def columns(self) -> Columns:
        """The one-hot columns."""
        self._refuse_hopeless()
        return Columns(self.study.groups, self.study.slack, self.objective)

    def _refuse_hopeless(self) -> None:
        n = len(self.study)
        smallest = predicted_size(self.study.groups, "convex", np.empty((0, 2), dtype=np.int64), 1)
        if n > LARGEST_COVARIANCE or not smallest.fits:
            raise UnsupportedProblem(
                f"No formulation fits {n:,} units: even 'convex' would have at least {smallest}. Give a coarser "
                f"{argument('support', assigned=True)} (such as quantiles), or use "
                f"{call('causal_bootstrap', 'causal_bootstrap')} with {argument('method', 'isotone')}, 'sampling' or "
                "'conservative'."
            )

    @cached_property
    def _rank(self) -> int:
        """Rank of D - M for the scaled diagonal: how many squares `convex` has, unless the diagonal is tuned."""
        m = self.objective.matrix
        values = np.concatenate(
            [np.linalg.eigvalsh((np.diag(scaled_diagonal(m)) - m)[np.ix_(part, part)]) for part in connected(m)]
        )
        return int((values > 1e-11 * max(float(np.abs(m).max()), 1e-300)).sum())

    def _size(self, formulation: str) -> Size:
        rank = self._rank if formulation == "convex" else 0
        return predicted_size(self.study.groups, formulation, self.columns.pairs, rank)

    def sizes(self) -> pd.DataFrame:
        """Return the predicted size of each formulation, and whether it would be built."""
        rows = {}
        for name in FORMULATIONS:
            size = self._size(name)
            rows[name] = dataclasses.asdict(size) | {"fits": size.fits}
        return pd.DataFrame(rows).T.rename_axis("formulation")

    @cached_property
    def projection(self) -> Projection:
        """The concave part of `convex`. Its diagonal is tuned where D - M would have a high rank.

        Tuning solves up to forty small relaxations, once.
        """
        columns, objective = self.columns, self.objective
        first = scaled_diagonal(objective.matrix)
        if 2 * self._rank > columns.n and columns.n <= MOST_TUNED:
            incumbent = objective.value(columns.missing(self.heuristic))
            first = tuned_diagonal(objective.matrix, first, partial(relax, columns), incumbent)
        return project(columns, first)

    @cached_property
    def heuristic(self) -> Ints:
        """A good imputation by local search from a fixed seed: each unit's value number."""
        return local_search(self.columns, SolveOptions())

    @cached_property
    def _products(self) -> Products:
        return self.columns.products(self.columns.pairs)

    @cached_property
    def _all_products(self) -> Products:
        return self.columns.products(self.columns.all_pairs)

    def point(self, formulation: str, choice: Ints) -> Floats:
        """Return the solution of a formulation's program in which unit i takes its value number choice[i].

        Parameters
        ----------
        formulation : str
            One of `formulations`.
        choice : (n,) int array
            The number of the value that each unit takes.
        """
        x = self.columns.one_hot(choice)
        if formulation == "convex":
            return np.append(x, self.projection.rows @ x)
        if formulation == "quadratic":
            return x
        products = self._all_products if formulation == "rlt-dense" else self._products
        return np.append(x, x[products.first] * x[products.second])

    def _write(self, block: Any, formulation: str) -> dict[str, Any]:
        """Add variables and constraints to a block; return the arguments of the cost, which is to be maximised."""
        columns = self.columns
        size = self._size(formulation)
        if not size.fits:
            sizes = {name: self._size(name) for name in FORMULATIONS}
            fitting = [f"{name!r} ({other.columns:,} columns)" for name, other in sizes.items() if other.fits]
            coarser = f"none; give a coarser {argument('support', assigned=True)}"
            raise UnsupportedProblem(
                f"The formulation {formulation!r} of {columns.n:,} units would have {size}: too large to build. "
                f"Formulations that fit: {', '.join(fitting) or coarser}."
            )
        lower, upper = columns.bounds
        block.choice = modeling.ArrayVar(0.0, 1.0, integer=True, n=columns.count)
        block.once = modeling.ArrayConstraint(block.choice, columns.once, 1.0, 1.0)
        block.marginals = modeling.ArrayConstraint(block.choice, columns.marginals, lower, upper)
        write = {"convex": self._convex, "quadratic": self._quadratic}.get(formulation)
        cost = self._linear(block, formulation) if write is None else write(block)
        return {"constant": self.objective.constant} | cost

    def _linear(self, block: Any, formulation: str) -> dict[str, Any]:
        """Write products as variables: linked by McCormick's inequalities, or by sums (`rlt`, `rlt-dense`)."""
        columns = self.columns
        products = self._all_products if formulation == "rlt-dense" else self._products
        if len(products) == 0:
            return {"x": block.choice, "linear": columns.linear}
        block.product = modeling.ArrayVar(0.0, 1.0, n=len(products))
        both = (block.choice, block.product)
        if formulation == "mccormick":
            matrix, upper = products.mccormick_rows(columns.count)
            block.mccormick = modeling.ArrayConstraint(both, matrix, -np.inf, upper)
        else:
            block.links = modeling.ArrayConstraint(both, products.linking_rows(columns.count), 0.0, 0.0)
        if formulation == "rlt-dense":
            block.multiplied = modeling.ArrayConstraint(both, *columns.multiplied_marginals(products))
        return {"x": both, "linear": np.concatenate([columns.linear, columns.product_cost(products)])}

    def _convex(self, block: Any) -> dict[str, Any]:
        columns, projection, objective = self.columns, self.projection, self.objective
        spread = projection.diagonal - np.diag(objective.matrix)
        linear = columns.linear + spread[columns.unit] * columns.value**2
        rank = projection.rows.shape[0]
        constant = objective.constant + projection.constant
        if rank == 0:
            return {"x": block.choice, "linear": linear, "constant": constant}
        block.projection = modeling.ArrayVar(projection.lower - 1e-6, projection.upper + 1e-6)
        both = (block.choice, block.projection)
        difference = sp.hstack([projection.rows, -sp.eye(rank)])
        block.projections = modeling.ArrayConstraint(both, difference, 0.0, 0.0)
        curvature = np.append(np.zeros(columns.count), np.full(rank, -2.0 * projection.scale))
        linear = np.append(linear, np.zeros(rank))
        return {"x": both, "linear": linear, "quadratic": curvature, "convex": None, "constant": constant}

    def _quadratic(self, block: Any) -> dict[str, Any]:
        columns = self.columns
        cost: dict[str, Any] = {"x": block.choice, "linear": columns.linear}
        products = columns.products(columns.pairs)
        if len(products):
            entries = (columns.product_cost(products), (products.first, products.second))
            half = sp.csc_matrix(entries, shape=(columns.count, columns.count))
            cost["quadratic"] = half + half.T
        return cost
