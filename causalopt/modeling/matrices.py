"""Sparse matrices of programs: their form, products with a triangle, and convexity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from causalopt.errors import DataError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

#: Q counts as positive semidefinite when its smallest eigenvalue is at least minus this times its largest entry.
CONVEXITY_TOLERANCE = 1e-9


def canonical(matrix: Any) -> Any:
    """Return a CSR matrix with sorted column indices and no duplicates: a copy, unless it is like that already."""
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    return matrix


def lower_triangle(quadratic: Any, n: int, name: str) -> Any:
    """Return the lower triangle (CSC) of a symmetric matrix, which may be asymmetric by rounding.

    Raises
    ------
    DataError
        For a wrong shape, values that are not finite, or an asymmetry of more than 1e-12 of the largest entry.
    """
    matrix = sp.csc_matrix(quadratic, dtype=float)
    if matrix.shape != (n, n):
        raise DataError(f"{name} has shape {matrix.shape}; ({n}, {n}) is needed.")
    bad = np.flatnonzero(~np.isfinite(matrix.data))
    if len(bad):
        entries = matrix.tocoo()
        row, column, value = entries.row[bad[0]], entries.col[bad[0]], entries.data[bad[0]]
        what = "NaN" if np.isnan(value) else "a value that is not finite"
        raise DataError(f"{name} holds {what} in row {row}, column {column}.")
    asymmetry = abs(matrix - matrix.T)
    if asymmetry.nnz and asymmetry.max() > 1e-12 * abs(matrix).max():
        raise DataError(f"{name} must be symmetric: the cost is x'Qx/2.")
    if asymmetry.nnz:
        matrix = (matrix + matrix.T) / 2
    triangle = sp.tril(matrix, format="csc")
    triangle.eliminate_zeros()
    return triangle


def symmetric_product(lower_triangle: Any, x: Floats) -> Floats:
    """Return Qx where Q is given by its lower triangle."""
    return np.asarray(lower_triangle @ x + lower_triangle.T @ x - lower_triangle.diagonal() * x)


def is_positive_semidefinite(lower_triangle: Any, tolerance: float = CONVEXITY_TOLERANCE) -> bool:
    """Check whether the symmetric matrix with this lower triangle is positive semidefinite.

    The smallest eigenvalue may be as low as minus `tolerance` times the largest entry. Diagonal and diagonally
    dominant matrices are recognised at once; others are checked by connected component, small components by their
    eigenvalues and large ones by a factorisation of the shifted matrix without pivoting.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> is_positive_semidefinite(sp.csc_matrix([[1.0, 0.0], [1.0, 1.0]]))
    True
    >>> is_positive_semidefinite(sp.csc_matrix([[0.0, 0.0], [1.0, 0.0]]))
    False
    """
    q = lower_triangle.tocsc()
    diagonal = q.diagonal()
    if q.nnz == 0:
        return True
    shift = tolerance * float(np.abs(q.data).max())
    if diagonal.min() < -shift:
        return False
    strict = sp.tril(q, -1, format="csc")
    if strict.nnz == 0:
        return True
    off_diagonal = np.asarray(abs(strict).sum(axis=0)).ravel() + np.asarray(abs(strict).sum(axis=1)).ravel()
    if (diagonal + shift >= off_diagonal).all():
        return True
    full = (strict + strict.T + sp.diags_array(diagonal + shift)).tocsc()
    return all(_is_positive_definite(full[block][:, block]) for block in _blocks(strict))


def _blocks(graph: Any) -> Sequence[Ints]:
    from scipy.sparse import csgraph

    count, labels = csgraph.connected_components(graph, directed=False)
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.cumsum(np.bincount(labels, minlength=count))[:-1])


def _is_positive_definite(matrix: Any) -> bool:
    from scipy.sparse import linalg

    n = matrix.shape[0]
    if n <= 1000:
        return bool(np.linalg.eigvalsh(matrix.toarray())[0] >= 0)
    try:
        factors = linalg.splu(matrix, diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    except RuntimeError:  # exactly singular
        return False
    unpivoted = bool((factors.perm_r == factors.perm_c).all())
    if unpivoted:  # by Sylvester's law of inertia the signs of the pivots are those of the eigenvalues
        return bool((factors.U.diagonal() > 0).all())
    smallest = linalg.eigsh(matrix, k=1, which="SA", return_eigenvectors=False, tol=1e-12)
    return bool(smallest[0] >= 0)
