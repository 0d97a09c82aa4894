"""The constraint rows of balance problems: dense over groups of units, linearly independent where exact."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.algorithms.rank import dependent_rows
from causalopt.modeling.program import Floats, Ints


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """The rows of one treatment group, to be weighted to the target.

    Attributes
    ----------
    label : object
        Treatment value.
    members : (r,) int array
        Positions of its rows in the data.
    rows : (P + 1, r) array
        The covariate functions minus their targets, in internal units (one standard deviation of the whole sample),
        and a last row of ones.
    base, spread : (r,) arrays or float
        Base weights and sampling weights, both of mean one.
    unit : (P,) array
        The unit of the tolerances, in internal units.
    start : int
        First column of the group in the program.
    """

    label: Any
    members: Ints
    rows: Floats
    base: Floats | float
    spread: Floats | float
    unit: Floats
    start: int

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.members)

    @property
    def stop(self) -> int:
        """Return the column after the group's last."""
        return self.start + self.size


@dataclasses.dataclass(frozen=True, eq=False)
class RowBlock:
    """Consecutive rows of the program: the balance of one group, or the differences between two.

    Attributes
    ----------
    label : object
        The group's treatment value, or a pair of them.
    data : (m, width) array
        Coefficients, dense over `width` consecutive columns from `start`.
    kept : (m,) int array
        Which covariate function each row is; their number stands for the sum of weights.
    lower, upper : (m,) arrays
    factor : (P,) array
        Change of a row's bound per unit of its tolerance.
    tolerance : (P,) array
        In the user's unit.
    """

    label: Any
    data: Floats
    start: int
    kept: Ints
    lower: Floats
    upper: Floats
    factor: Floats
    tolerance: Floats


def group_block(group: Group, tolerance: Floats, *, dependent: bool = False) -> RowBlock:
    """Return the rows that balance one group: sums over its units, within tolerances, and the sum of weights.

    Exact rows that follow from others are left out, but for where they are asked for.
    """
    factor = group.unit * group.size
    half = np.append(tolerance * factor, 0.0)
    centre = np.append(np.zeros(len(tolerance)), float(group.size))
    kept = np.arange(len(group.rows)) if dependent else independent_rows(group.rows, tolerance)
    kept = kept[np.isfinite(half[kept])]
    data = group.rows if len(kept) == len(group.rows) else group.rows[kept]
    half, centre = half[kept], centre[kept]
    return RowBlock(group.label, data, group.start, kept, centre - half, centre + half, factor, tolerance)


def between_blocks(groups: Sequence[Group], tolerance: Floats) -> list[RowBlock]:
    """Return the rows that hold each pair of groups within a tolerance of each other."""
    blocks = []
    kept = np.flatnonzero(np.isfinite(tolerance))
    for first, second in combinations(groups, 2):
        size = min(first.size, second.size)
        low, high = sorted((first, second), key=lambda g: g.start)
        data = np.zeros((len(kept), high.stop - low.start))
        data[:, first.start - low.start : first.stop - low.start] = first.rows[kept] * (size / first.size)
        data[:, second.start - low.start : second.stop - low.start] = second.rows[kept] * (-size / second.size)
        factor = 0.5 * (first.unit + second.unit) * size
        half = (tolerance * factor)[kept]
        blocks.append(RowBlock((first.label, second.label), data, low.start, kept, -half, half, factor, tolerance))
    return blocks


def independent_rows(rows: Floats, tolerance: Floats) -> Ints:
    """Return the rows to keep: all with a tolerance, and a linearly independent subset of the exact ones.

    Exact rows that depend on others make solvers report false infeasibility. They are found by their inner products,
    and confirmed by their residual. Rows hold deviations from the target, so a combination of exact rows is zero like
    them and can be dropped, unless it involves the row of ones (the last), whose sum is not zero.
    """
    exact = np.flatnonzero(tolerance == 0)
    if len(exact) == 0:
        return np.arange(len(rows))
    order = np.append(len(rows) - 1, exact)
    gram = (rows @ rows.T)[np.ix_(order, order)] / rows.shape[1]

    def follows(k: int, kept: Ints, coefficients: Floats) -> bool:
        residual = rows[order[k]] - coefficients @ rows[order[kept]]
        size = np.sqrt(max(float(gram[k, k]), 1e-300))
        needs_ones = abs(float(coefficients[0])) > 1e-7
        return not needs_ones and bool(np.sqrt(residual @ residual / len(residual)) <= 1e-9 * size)

    return np.setdiff1d(np.arange(len(rows)), order[dependent_rows(gram, follows, known=1)])


def dense_rows(blocks: Iterable[RowBlock], n: int) -> Any:
    """Return a CSR matrix of the blocks' rows, sharing the data of a single block."""
    blocks = list(blocks)
    data = blocks[0].data.ravel() if len(blocks) == 1 else np.concatenate([b.data.ravel() for b in blocks])
    indices = np.empty(len(data), dtype=np.int32)
    filled = 0
    for block in blocks:
        own = indices[filled : filled + block.data.size].reshape(block.data.shape)
        own[:] = np.arange(block.start, block.start + block.data.shape[1], dtype=np.int32)
        filled += block.data.size
    lengths = np.concatenate([np.full(b.data.shape[0], b.data.shape[1]) for b in blocks])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    matrix = sp.csr_matrix((data, indices, indptr.astype(np.int32)), shape=(len(lengths), n))
    matrix.has_canonical_format = True
    return matrix
