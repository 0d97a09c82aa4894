"""The constraint rows of balance problems: dense over each group, linearly independent where exact."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.modeling.program import Floats, Ints


def independent_rows(rows: Floats, tolerance: Floats) -> Ints:
    """Return the rows to keep: all with a tolerance, and a linearly independent subset of the exact ones.

    Exact rows that depend on others make solvers report false infeasibility. They are found by pivoted elimination of
    the Gram matrix, and confirmed by their residual. A dependent row is dropped only where it is consistent: since
    rows hold deviations from the target, every exact row must be zero, and so is any combination of them.
    """
    exact = np.flatnonzero(tolerance == 0)
    if len(exact) == 0:
        return np.arange(len(rows))
    chosen = [len(rows) - 1]
    dependent = []
    gram = rows @ rows.T / rows.shape[1]
    for p in exact:
        own = gram[p, p]
        coefficients = np.linalg.lstsq(gram[np.ix_(chosen, chosen)], gram[chosen, p], rcond=None)[0]
        left = own - coefficients @ gram[chosen, p]
        if left <= 1e-7 * max(own, 1e-300):
            residual = rows[p] - coefficients @ rows[chosen]
            constant_only = abs(float(coefficients[0])) > 1e-7  # the row of ones needs sum r, not zero
            if np.sqrt(residual @ residual / rows.shape[1]) <= 1e-9 * np.sqrt(max(own, 1e-300)) and not constant_only:
                dependent.append(p)
                continue
        chosen.append(int(p))
    return np.setdiff1d(np.arange(len(rows)), np.array(dependent, dtype=int))


def dense_rows(blocks: Iterable[tuple[Floats, int]], n: int) -> Any:
    """Return a CSR matrix whose rows are dense over consecutive columns, sharing the data of a single block."""
    blocks = list(blocks)
    data = blocks[0][0].ravel() if len(blocks) == 1 else np.concatenate([b.ravel() for b, _ in blocks])
    indices = np.empty(len(data), dtype=np.int32)
    filled = 0
    for block, start in blocks:
        own = indices[filled : filled + block.size].reshape(block.shape)
        own[:] = np.arange(start, start + block.shape[1], dtype=np.int32)
        filled += block.size
    lengths = np.concatenate([np.full(b.shape[0], b.shape[1]) for b, _ in blocks])
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    matrix = sp.csr_matrix((data, indices, indptr.astype(np.int32)), shape=(len(lengths), n))
    matrix.has_canonical_format = True
    return matrix
