"""Rows that are functions of a unit's cell times functions of its covariates, for `dual-newton`.

A matrix of m rows by n units with entries  c_r(cell of i) h_{s(r)}(i)  need not be formed: within one cell the rows are
combinations of the h_s, so a product with the matrix costs n times the number of functions, whatever m is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.algorithms.dual_newton import SeparableQP
from causalopt.modeling.program import Bools, Floats, Ints

#: Most cells of a row that is written cell by cell.
MOST_RANGES = 64


def group_by_cell(codes: Ints, cells: Ints) -> tuple[Ints, Ints]:
    """Return the rows of these cells, cell after cell, and where each cell begins (and the last one ends)."""
    position = np.searchsorted(cells, codes)
    inside = cells[np.minimum(position, len(cells) - 1)] == codes
    position = np.where(inside, position, len(cells))
    counts = np.bincount(position, minlength=len(cells) + 1)[: len(cells)]
    order = np.argsort(position, kind="stable")[: int(counts.sum())]
    return order.astype(np.int64), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


class CellRows:
    """The matrix with entries c_r(cell of i) h_{s(r)}(i), never formed.

    Parameters
    ----------
    row, cell, value : (k,) arrays
        The nonzeros of the cell functions c: c_row(cell) = value.
    function : (m,) int array
        s(r): which function each row takes.
    functions : (S + 1, n) array
        The values h_s, units sorted by cell.
    starts : (C + 1,) int array
        Where each cell's units begin.
    """

    __array_ufunc__ = None  # so that  array @ rows  comes here

    def __init__(self, row: Ints, cell: Ints, value: Floats, function: Ints, functions: Floats, starts: Ints) -> None:
        order = np.argsort(cell, kind="stable")
        self.row, self.cell, self.value = row[order], cell[order], value[order]
        self.function, self.functions, self.starts = function, functions, starts
        self.shape = (len(function), functions.shape[1])
        self._pointers = np.searchsorted(self.cell, np.arange(len(starts)))

    @classmethod
    def from_cell_functions(cls, c: Floats, function: Ints, functions: Floats, starts: Ints) -> CellRows:
        """Make the rows of an (m, C) array of cell functions."""
        row, cell = np.nonzero(c)
        return cls(row, cell, c[row, cell], function, functions, starts)

    def _cells(self) -> Iterator[tuple[int, slice, slice]]:
        """Yield each cell with units: its number, the slice of its units, the slice of its nonzeros."""
        for z in range(len(self.starts) - 1):
            units = slice(int(self.starts[z]), int(self.starts[z + 1]))
            if units.start < units.stop:
                yield z, units, slice(int(self._pointers[z]), int(self._pointers[z + 1]))

    def by_cell(self, y: Floats) -> Floats:
        """Return the coefficients of the functions, cell by cell, of a combination of the rows: an (S + 1, C) array."""
        n_cells = len(self.starts) - 1
        where = self.function[self.row] * n_cells + self.cell
        count = len(self.functions) * n_cells
        sums: Floats = np.bincount(where, self.value * y[self.row], minlength=count).astype(float)
        return sums.reshape(-1, n_cells)

    def __rmatmul__(self, y: Floats) -> Floats:
        theta = self.by_cell(y)
        out = np.empty(self.shape[1])
        for z, units, _ in self._cells():
            np.dot(theta[:, z], self.functions[:, units], out=out[units])
        return out

    def __matmul__(self, u: Floats) -> Floats:
        sums = np.zeros((len(self.functions), len(self.starts) - 1))
        for z, units, _ in self._cells():
            sums[:, z] = self.functions[:, units] @ u[units]
        terms = self.value * sums[self.function[self.row], self.cell]
        totals: Floats = np.bincount(self.row, terms, minlength=self.shape[0]).astype(float)
        return totals

    def gram(self, inside: Bools | None = None, weights: Floats | None = None) -> Floats:
        """Return the matrix of the rows' (weighted) inner products, over the units that are `inside`."""
        count = len(self.functions)
        moments = np.zeros((count, count, len(self.starts) - 1))
        for z, units, _ in self._cells():
            block = self.functions[:, units]
            if inside is not None and not inside[units].all():
                block = block[:, inside[units]]
            moments[:, :, z] = (block if weights is None else block * weights[units]) @ block.T
        total = np.empty((self.shape[0], self.shape[0]))
        for k, (s, rows, c) in enumerate(self._by_function):
            for t, others, d in self._by_function[: k + 1]:
                product = _weighted_product(c, moments[s, t], d)
                total[np.ix_(rows, others)] = product
                total[np.ix_(others, rows)] = product.T
        return total

    @cached_property
    def _by_function(self) -> list[tuple[int, Ints, Any]]:
        """Return each function's rows and their cell functions, sparse where they are nearly all zero."""
        whole = sp.csr_matrix((self.value, (self.row, self.cell)), shape=(self.shape[0], len(self.starts) - 1))
        parts = []
        for s in np.unique(self.function):
            rows = np.flatnonzero(self.function == s)
            c = whole[rows]
            parts.append((int(s), rows, c if c.nnz < 0.1 * c.shape[0] * c.shape[1] else c.toarray()))
        return parts

    def quadratic(self, matrix: Floats) -> Floats:
        """Return q'(matrix)q for each column q."""
        out = np.empty(self.shape[1])
        for _, units, own in self._cells():
            rows = self.row[own]
            spread = np.zeros((len(self.functions), len(rows)))
            spread[self.function[rows], np.arange(len(rows))] = self.value[own]
            local = spread @ matrix[np.ix_(rows, rows)] @ spread.T
            block = self.functions[:, units]
            out[units] = np.einsum("sn,sn->n", block, local @ block)
        return out

    def min(self, axis: int = 1) -> Floats:
        """Return each row's smallest entry (zero, or less, where cells are left out)."""
        return -self._largest(-1.0)

    def max(self, axis: int = 1) -> Floats:
        """Return each row's largest entry (zero, or more, where cells are left out)."""
        return self._largest(1.0)

    def _largest(self, sign: float) -> Floats:
        out = np.zeros(self.shape[0])
        for _, units, own in self._cells():
            high = self.functions[:, units].max(axis=1)[self.function[self.row[own]]]
            low = self.functions[:, units].min(axis=1)[self.function[self.row[own]]]
            value = sign * self.value[own]
            out[self.row[own]] = np.maximum(out[self.row[own]], np.maximum(value * high, value * low))
        return out

    def take(self, rows: Ints) -> CellRows:
        """Return some of the rows."""
        number = np.full(self.shape[0], -1)
        number[rows] = np.arange(len(rows))
        kept = number[self.row] >= 0
        return CellRows(
            number[self.row[kept]], self.cell[kept], self.value[kept], self.function[rows], self.functions, self.starts
        )

    def nonzeros(self) -> int:
        """Return how many entries the matrix has, those of the cells that a row leaves out not counted."""
        return int(np.diff(self.starts)[self.cell].sum())

    def csr(self) -> Any:
        """Return the matrix itself."""
        order = np.argsort(self.row, kind="stable")  # cells ascend within each row
        sizes = np.diff(self.starts)[self.cell]
        total = int(sizes.sum())
        data, indices = np.empty(total), np.empty(total, dtype=np.int32)
        filled = 0
        for r, own in enumerate(np.split(order, np.searchsorted(self.row[order], np.arange(1, self.shape[0])))):
            for values, chosen, units in self._pieces(own):
                part = slice(filled, filled + len(units))
                np.multiply(self.functions[self.function[r], chosen], values, out=data[part])
                indices[part] = units
                filled = part.stop
        lengths = np.bincount(self.row, sizes, minlength=self.shape[0]).astype(np.int64)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        matrix = sp.csr_matrix((data, indices, indptr.astype(np.int32)), shape=self.shape)
        matrix.has_canonical_format = True
        return matrix

    def _pieces(self, own: Ints) -> Iterator[tuple[Any, Any, Any]]:
        """Yield the coefficients of one row, given by its nonzeros, and their units: by cell, or all at once."""
        if len(own) > MOST_RANGES:
            by_cell = np.zeros(len(self.starts) - 1)
            by_cell[self.cell[own]] = self.value[own]
            by_unit = np.repeat(by_cell, np.diff(self.starts))
            units = np.flatnonzero(by_unit)
            yield by_unit[units], units, units
            return
        for k in own:
            start, stop = (int(self.starts[self.cell[k] + j]) for j in (0, 1))
            yield self.value[k], slice(start, stop), np.arange(start, stop, dtype=np.int32)


def _weighted_product(c: Any, weights: Floats, d: Any) -> Floats:
    """Return c diag(weights) d' for dense or sparse c and d."""
    if sp.issparse(c):
        product = (c.multiply(weights).tocsr()) @ d.T
        return np.asarray(product.toarray() if sp.issparse(product) else product)
    if sp.issparse(d):
        return _weighted_product(d, weights, c).T
    return np.asarray((c * weights) @ d.T)


@dataclasses.dataclass(frozen=True, eq=False)
class CellQP(SeparableQP):
    """A balance QP whose rows are `CellRows`.

    Attributes
    ----------
    absorbing_rows : (m,) array
        Multipliers whose combination of the rows is positive on every unit.
    """

    absorbing_rows: Floats | None = None

    def gram(self, u: Floats) -> Floats:
        """Return M M' over the columns that are strictly between their bounds."""
        total: Floats = self.rows.gram((u > self.lower) & (u < self.upper))  # type: ignore[attr-defined]
        return total

    def absorbing(self) -> Floats | None:
        """Return multipliers of a positive combination of the rows."""
        return self.absorbing_rows
