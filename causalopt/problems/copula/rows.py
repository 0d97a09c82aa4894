"""The formulations of the copula problem as arrays: columns, rows, cost, and the point of an imputation."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph

from causalopt.modeling.program import Floats, Ints
from causalopt.problems.copula.data import Objective
from causalopt.problems.copula.products import Products
from causalopt.problems.copula.slack import Group

#: Formulations with more nonzeros than this are refused: they would need more than about 4 GiB in a solver.
MOST_NONZEROS = 15_000_000

#: Coefficients of a projection smaller than this, relative to the largest, are left out: solvers drop them anyway.
SMALLEST_COEFFICIENT = 2e-9

#: Projections whose coefficients are all smaller than this, relative to the largest, are left out: their squares are
#: below rounding. Leaving out a square can only raise the objective, so that bounds stay valid.
SMALLEST_PROJECTION = 1e-6

#: Largest coefficient of a projection: solvers' tolerances are absolute, and these make them small ones.
PROJECTION_UNIT = 100.0


@dataclasses.dataclass(frozen=True)
class Size:
    """Predicted size of a formulation."""

    columns: int
    rows: int
    nonzeros: int

    @property
    def fits(self) -> bool:
        """Whether it would be built."""
        return self.nonzeros <= MOST_NONZEROS

    def __str__(self) -> str:
        return f"{self.columns:,} columns, {self.rows:,} rows, {self.nonzeros:,} nonzeros"


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """The one-hot columns  X_ik,  unit by unit within each group.

    Attributes
    ----------
    groups : tuple of Group
    slack : float
    objective : Objective
    """

    groups: tuple[Group, ...]
    slack: float
    objective: Objective

    @cached_property
    def size(self) -> Ints:
        """Number of values of each unit's support, by unit."""
        size = np.empty(self.n, dtype=np.int64)
        for group in self.groups:
            size[group.members] = len(group.values)
        return size

    @cached_property
    def start(self) -> Ints:
        """First column of each unit."""
        start = np.empty(self.n, dtype=np.int64)
        for group, span in self.spans:
            start[group.members] = np.arange(span.start, span.stop, len(group.values))
        return start

    @cached_property
    def spans(self) -> list[tuple[Group, slice]]:
        """Each group with its columns."""
        ends = np.cumsum([0] + [group.size * len(group.values) for group in self.groups]).tolist()
        return [(group, slice(*span)) for group, span in zip(self.groups, itertools.pairwise(ends), strict=True)]

    @property
    def n(self) -> int:
        """Number of units."""
        return sum(group.size for group in self.groups)

    @property
    def count(self) -> int:
        """Number of columns."""
        return int(self.size.sum())

    @cached_property
    def unit(self) -> Ints:
        """Unit of each column."""
        return np.concatenate([np.repeat(g.members, len(g.values)) for g in self.groups])

    @cached_property
    def value(self) -> Floats:
        """Value of each column, minus the objective's shift."""
        return np.concatenate([np.tile(g.values, g.size) for g in self.groups]) - self.objective.shift

    @cached_property
    def marginal(self) -> Ints:
        """Row of the marginal constraints that each column is in."""
        offsets = np.cumsum([0] + [len(g.values) for g in self.groups])
        return np.concatenate(
            [np.tile(o + np.arange(len(g.values)), g.size) for o, g in zip(offsets, self.groups, strict=False)]
        )

    @cached_property
    def weight(self) -> Floats:
        """Coefficient of each column in its marginal constraint."""
        return np.concatenate([np.repeat(g.weights, len(g.values)) for g in self.groups])

    @cached_property
    def bounds(self) -> tuple[Floats, Floats]:
        """Bounds of the marginal constraints."""
        both = [g.bounds(self.slack) for g in self.groups]
        return np.concatenate([low for low, _ in both]), np.concatenate([high for _, high in both])

    @cached_property
    def linear(self) -> Floats:
        """Cost of each column without products:  M_ii v^2 + 2 g_i v."""
        o = self.objective
        return np.asarray(np.diag(o.matrix)[self.unit] * self.value**2 + 2 * o.linear[self.unit] * self.value)

    @cached_property
    def pairs(self) -> Ints:
        """Pairs of units whose outcomes interact (M_ij nonzero), the first one lower."""
        i, j = np.nonzero(np.triu(self.objective.matrix, 1))
        return np.column_stack([i, j])

    @cached_property
    def all_pairs(self) -> Ints:
        """All pairs of units."""
        return np.column_stack(np.triu_indices(self.n, 1))

    @property
    def once(self) -> Any:
        """The rows  sum_k X_ik = 1."""
        return sp.csr_matrix((np.ones(self.count), (self.unit, np.arange(self.count))), shape=(self.n, self.count))

    @property
    def marginals(self) -> Any:
        """The rows  sum_i weight_i X_ik."""
        shape = (len(self.bounds[0]), self.count)
        return sp.csr_matrix((self.weight, (self.marginal, np.arange(self.count))), shape=shape)

    def products(self, pairs: Ints) -> Products:
        """Return the products of the columns of pairs of units."""
        return Products.of_blocks(self.start, self.size, pairs)

    def product_cost(self, products: Products) -> Floats:
        """Return the cost of products:  2 M_ij v w."""
        m = self.objective.matrix[self.unit[products.first], self.unit[products.second]]
        return np.asarray(2 * m * self.value[products.first] * self.value[products.second])

    def multiplied_marginals(self, products: Products) -> tuple[Any, Floats, Floats]:
        """Return the marginal rows multiplied by each X_ik: over (columns, products), with their bounds.

        X_ik (sum_j w_j X_jl - upper_l) <= 0, where X_ik X_ik = X_ik and X_ik X_ik' = 0 for the unit's own values.
        """
        nx, m = self.count, len(self.bounds[0])
        first, second = products.first, products.second
        k = np.arange(len(products))
        rows = np.concatenate([first * m + self.marginal[second], second * m + self.marginal[first]])
        weight = np.concatenate([self.weight[second], self.weight[first]])
        over_products = sp.csr_matrix((weight, (rows, np.tile(k, 2))), shape=(nx * m, len(products)))
        x = np.arange(nx)
        own = sp.csr_matrix((self.weight, (x * m + self.marginal, x)), shape=(nx * m, nx))
        parts, low, high = [], [], []
        lower, upper = self.bounds
        every, level = np.repeat(x, m), np.tile(np.arange(m), nx)
        equal = (lower == upper)[level]
        for bound, keep, side in ((upper, equal, "both"), (upper, ~equal, "upper"), (lower, ~equal, "lower")):
            number = np.flatnonzero(keep)
            if len(number) == 0:
                continue
            shift = sp.csr_matrix((bound[level[number]], (np.arange(len(number)), every[number])), (len(number), nx))
            difference = own[number] - shift
            difference.data[np.abs(difference.data) < 1e-7 * self.weight.min()] = 0.0  # rounding, not a coefficient
            difference.eliminate_zeros()
            parts.append(sp.hstack([difference, over_products[number]], format="csr"))
            low.append(np.full(len(number), -np.inf if side == "upper" else 0.0))
            high.append(np.full(len(number), np.inf if side == "lower" else 0.0))
        return sp.vstack(parts, format="csr"), np.concatenate(low), np.concatenate(high)

    def by_unit(self, values: Floats) -> Floats:
        """Add up values of columns by unit."""
        return np.asarray(np.bincount(self.unit, weights=values, minlength=self.n), dtype=float)

    def one_hot(self, choice: Ints) -> Floats:
        """Return X where unit i takes its value number choice[i]."""
        x = np.zeros(self.count)
        x[self.start + choice] = 1.0
        return x

    def chosen(self, x: Floats) -> Ints:
        """Return each unit's value number from X."""
        choice = np.empty(self.n, dtype=np.int64)
        for group, span in self.spans:
            choice[group.members] = x[span].reshape(group.size, -1).argmax(axis=1)
        return choice

    def missing(self, choice: Ints) -> Floats:
        """Return the imputed missing outcome of each unit."""
        return np.asarray(self.value[self.start + choice] + self.objective.shift)


def predicted_size(groups: Sequence[Group], formulation: str, pairs: Ints | None, rank: int = 0) -> Size:
    """Return the size of a formulation from the sizes of the groups, and the pairs that interact (None: all)."""
    n = sum(g.size for g in groups)
    size = np.concatenate([np.full(g.size, len(g.values), dtype=np.int64) for g in groups])
    order = np.concatenate([g.members for g in groups])
    by_unit = np.empty(n, dtype=np.int64)
    by_unit[order] = size
    nx = int(size.sum())
    m = sum(len(g.values) for g in groups)
    columns, rows, nonzeros = nx, n + m, 2 * nx
    if formulation == "convex":
        rank = rank or n
        return Size(columns + rank, rows + rank, nonzeros + rank * (nx + 1))
    if pairs is None or formulation == "rlt-dense":
        total, squares = int(by_unit.sum()), int((by_unit**2).sum())
        products, links = (total * total - squares) // 2, (n - 1) * total
    else:
        first, second = by_unit[pairs[:, 0]], by_unit[pairs[:, 1]]
        products, links = int((first * second).sum()), int((first + second).sum())
    if formulation == "quadratic":
        return Size(columns, rows, nonzeros + products)
    if formulation == "mccormick":
        return Size(columns + products, rows + 3 * products, nonzeros + 7 * products)
    if formulation == "rlt-dense":
        return Size(columns + products, rows + links + nx * m, nonzeros + 4 * products + links + nx * m + nx)
    return Size(columns + products, rows + links, nonzeros + 2 * products + links)


@dataclasses.dataclass(frozen=True, eq=False)
class Projection:
    """The concave part of the `convex` formulation:  constant - scale * sum_r s_r^2  with  s = rows @ X.

    Attributes
    ----------
    diagonal : (n,) array
        D, with D - M positive semidefinite.
    rows : (r, columns) CSR matrix
    scale : float
    lower, upper : (r,) arrays
        Range of each s_r.
    constant : float
        Of projections that are the same for every imputation.
    """

    diagonal: Floats
    rows: Any
    scale: float
    lower: Floats
    upper: Floats
    constant: float = 0.0


def connected(matrix: Floats) -> list[Ints]:
    """Return the connected components of the units that interact."""
    count, labels = csgraph.connected_components(sp.csr_matrix(matrix), directed=False)
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.cumsum(np.bincount(labels, minlength=count))[:-1])


def scaled_diagonal(matrix: Floats) -> Floats:
    """Return D = lambda diag(M) by component, lambda the largest eigenvalue of the component's correlation matrix.

    Then D - M is positive semidefinite. Under complete randomization it has rank one.
    """
    diagonal = np.diag(matrix).copy()
    for part in connected(matrix):
        spread = np.sqrt(diagonal[part])
        used = spread > 0
        if used.any():
            correlation = matrix[np.ix_(part, part)][np.ix_(used, used)] / np.outer(spread[used], spread[used])
            diagonal[part] *= float(np.linalg.eigvalsh(correlation)[-1])
    return diagonal


def factor(matrix: Floats, diagonal: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues and eigenvectors of D - M that are not zero, component by component.

    An eigenvalue that rounding made negative is left out, which can only raise the objective: bounds stay valid.
    """
    n = len(matrix)
    values, vectors = [], []
    largest = float(np.abs(diagonal).max(initial=0.0))
    for part in connected(matrix):
        own, basis = np.linalg.eigh(np.diag(diagonal[part]) - matrix[np.ix_(part, part)])
        keep = own > 1e-11 * largest
        whole = np.zeros((n, int(keep.sum())))
        whole[part] = basis[:, keep]
        values.append(own[keep])
        vectors.append(whole)
    return np.concatenate(values), np.concatenate(vectors, axis=1)


def project(columns: Columns, diagonal: Floats) -> Projection:
    """Return the concave part for a diagonal."""
    eigenvalues, vectors = factor(columns.objective.matrix, diagonal)
    dense = vectors.T[:, columns.unit] * columns.value * np.sqrt(eigenvalues)[:, None]
    scale = (float((dense**2).max(initial=0.0)) or 1.0) / PROJECTION_UNIT**2
    dense /= np.sqrt(scale)
    dense = dense[np.abs(dense).max(axis=1, initial=0.0) > SMALLEST_PROJECTION * PROJECTION_UNIT]
    dense[np.abs(dense) < SMALLEST_COEFFICIENT * PROJECTION_UNIT] = 0.0
    low, high = np.zeros(len(dense)), np.zeros(len(dense))
    for group, span in columns.spans:
        block = dense[:, span].reshape(len(dense), group.size, len(group.values))
        low += block.min(axis=2).sum(axis=1)
        high += block.max(axis=2).sum(axis=1)
    varies = high - low > SMALLEST_COEFFICIENT * PROJECTION_UNIT
    constant = -scale * float(((low + high)[~varies] ** 2).sum()) / 4
    return Projection(diagonal, sp.csr_matrix(dense[varies]), scale, low[varies], high[varies], constant)
