"""Which vectors, given one after another, follow from those before them: the one rank elimination of the library.

Constraints that follow from others make solvers report false infeasibility, and multipliers that mean nothing. Which
of them are kept must not depend on their size: the first of those that say the same stays, so that there is no
pivoting. Each vector is split into its part in the span of those kept and the rest, by the Gram-Schmidt process done
twice where it has to be, after which the rest is orthogonal to the span up to rounding (Giraud, Langou and Rozloznik
2005, Computers and Mathematics with Applications 50:1069).

Rows that are too long to be worked on one by one are known by their inner products alone; a pivoted Cholesky
factor of these holds short vectors with the same inner products.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf

from causalopt.modeling.program import Floats, Ints

#: Length of what is left of a vector outside a span, relative to its own, up to which it counts as inside.
TOLERANCE = 1e-8

#: Square of what is left of a row, relative to its own, of which inner products know nothing.
ROUNDING = 1e-12


class Span:
    """The span of vectors that are added one after another.

    Parameters
    ----------
    length : int
        Of each vector.
    tolerance : float
        Length of what is left of a vector, relative to its own, up to which it is in the span.

    Examples
    --------
    >>> import numpy as np
    >>> span = Span(3)
    >>> span.add(np.array([1.0, 1.0, 0.0])), span.add(np.array([1.0, 0.0, 0.0])), span.add(np.array([0.0, 2.0, 0.0]))
    (True, True, False)
    >>> span.combination(np.array([0.0, 2.0, 0.0])).round(12)
    array([ 2., -2.])
    """

    def __init__(self, length: int, tolerance: float = TOLERANCE) -> None:
        self.size, self.tolerance = 0, tolerance
        self._basis = np.empty((8, length))  # orthonormal
        self._triangle = np.zeros((8, 8))  # row k: the k-th vector that was added, in the basis

    def add(self, vector: Floats) -> bool:
        """Add a vector, and return whether it was outside the span; one that was inside changes nothing."""
        inside, left = self._split(vector)
        if float(np.linalg.norm(left)) <= self.tolerance * float(np.linalg.norm(vector)):
            return False
        self._append(inside, left)
        return True

    def _append(self, inside: Floats, left: Floats) -> None:
        k, length = self.size, float(np.linalg.norm(left))
        if k == len(self._basis):
            self._basis = np.concatenate([self._basis, np.empty_like(self._basis)])
            self._triangle = np.pad(self._triangle, (0, k))
        self._basis[k] = left / length
        self._triangle[k, :k], self._triangle[k, k] = inside, length
        self.size += 1

    def residual(self, vector: Floats) -> Floats:
        """Return what is left of a vector outside the span."""
        return self._split(vector)[1]

    def holds(self, vector: Floats) -> bool:
        """Return whether a vector is in the span."""
        return float(np.linalg.norm(self.residual(vector))) <= self.tolerance * float(np.linalg.norm(vector))

    def combination(self, vector: Floats) -> Floats:
        """Return the coefficients of the vectors that were added in the combination nearest to a vector."""
        return self._coefficients(self._split(vector)[0])

    def _coefficients(self, inside: Floats) -> Floats:
        k = self.size
        return np.asarray(solve_triangular(self._triangle[:k, :k], inside, lower=True, trans="T"))

    def _split(self, vector: Floats) -> tuple[Floats, Floats]:
        """Return a vector's part in the span, in terms of the basis, and the rest."""
        basis = self._basis[: self.size]
        inside = basis @ vector
        left = vector - basis.T @ inside
        if left @ left < 0.5 * (vector @ vector):  # else once is enough: little was taken away, and little is lost
            more = basis @ left
            inside += more
            left -= basis.T @ more
        return inside, left


def with_products(gram: Floats) -> Floats:
    """Return vectors, one a row, whose inner products are a positive semidefinite matrix, up to rounding."""
    factor, order, rank, _ = dpstrf(gram, lower=1)
    vectors = np.zeros((len(gram), rank))
    vectors[order - 1] = np.tril(factor)[:, :rank]
    return vectors


def dependent_rows(
    gram: Floats, follows: Callable[[int, Ints, Floats], bool] | None = None, *, known: int = 0, tolerance: float = 1e-7
) -> Ints:
    """Return the rows that are combinations of those before them that are kept.

    Parameters
    ----------
    gram : (m, m) array
        Inner products of the rows.
    follows : callable, optional
        Asked of each row that seems to be dependent, since inner products know lengths to half the digits alone: given
        its number, the numbers of the rows kept so far and their coefficients in it, it returns whether it is.
        Otherwise the row is kept.
    known : int
        So many of the first rows are kept unseen.
    tolerance : float
        Square of what is left of a row, relative to its own, up to which it seems dependent.

    Returns
    -------
    (k,) int array

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0], [0.0, 1.0, 2.0]])
    >>> dependent_rows(rows @ rows.T)
    array([2])
    """
    size = np.sqrt(np.maximum(gram.diagonal(), 1e-300))
    vectors = with_products(gram / np.outer(size, size))
    span = Span(vectors.shape[1])
    kept: list[int] = []
    dependent: list[int] = []
    for p, vector in enumerate(vectors):
        inside, left = span._split(vector)
        share = float(left @ left) / max(float(vector @ vector), 1e-300)
        if p >= known and share <= tolerance:
            coefficients = span._coefficients(inside) * size[p] / size[kept]
            if follows is None or follows(p, np.array(kept, dtype=np.int64), coefficients):
                dependent.append(p)
                continue
        if share > ROUNDING:
            span._append(inside, left)
            kept.append(p)
    return np.array(dependent, dtype=np.int64)
