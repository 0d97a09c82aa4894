"""Products of binary variables as variables of their own: the rows for one-hot blocks.

For binary x and y the product w = xy is exactly what  w <= x,  w <= y,  w >= x + y - 1,  w >= 0  leave (McCormick 1976;
Glover and Woolsey 1974). Where x = (x_1, ..., x_K) and y = (y_1, ..., y_L) are one-hot (each sums to one), the products
also satisfy  sum_l w_kl = x_k  and  sum_k w_kl = y_l  (reformulation-linearization, Sherali and Adams 1990), which is
far tighter and needs fewer rows.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.modeling.program import Floats, Ints


@dataclasses.dataclass(frozen=True, eq=False)
class Products:
    """All products of the members of pairs of blocks of columns, pair by pair, the first block's index moving slowest.

    Attributes
    ----------
    first, second : (m,) int arrays
        The two columns of each product.
    pair : (m,) int array
        Which pair of blocks it belongs to.
    first_rows, second_rows : (m,) int arrays
        A number for (pair, member of the first block), and for (pair, member of the second block).
    n_first, n_second : int
        How many such numbers there are.
    """

    first: Ints
    second: Ints
    pair: Ints
    first_rows: Ints
    second_rows: Ints
    n_first: int
    n_second: int

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def of_blocks(cls, start: Ints, size: Ints, pairs: Ints) -> Products:
        """Make the products of pairs of blocks.

        Parameters
        ----------
        start, size : (B,) int arrays
            First column and number of columns of each block.
        pairs : (P, 2) int array
            Which blocks are multiplied.

        Examples
        --------
        >>> import numpy as np
        >>> products = Products.of_blocks(np.array([0, 2]), np.array([2, 3]), np.array([[0, 1]]))
        >>> products.first, products.second
        (array([0, 0, 0, 1, 1, 1]), array([2, 3, 4, 2, 3, 4]))
        """
        rows, columns = size[pairs[:, 0]], size[pairs[:, 1]]
        count = rows * columns
        pair = np.repeat(np.arange(len(pairs)), count)
        local = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        k, l = np.divmod(local, columns[pair])  # noqa: E741 - the index of a sum over l
        return cls(
            first=start[pairs[pair, 0]] + k,
            second=start[pairs[pair, 1]] + l,
            pair=pair,
            first_rows=(np.cumsum(rows) - rows)[pair] + k,
            second_rows=(np.cumsum(columns) - columns)[pair] + l,
            n_first=int(rows.sum()),
            n_second=int(columns.sum()),
        )

    def linking_rows(self, n_columns: int) -> Any:
        """Return the rows  sum_l w_kl - x_k = 0  and  sum_k w_kl - y_l = 0,  over (columns, products)."""
        m = len(self)
        products = np.arange(m)
        one = np.ones(m)
        parts = []
        for row, count, column in (
            (self.first_rows, self.n_first, self.first),
            (self.second_rows, self.n_second, self.second),
        ):
            owner = np.zeros(count, dtype=np.int64)
            owner[row] = column
            sums = sp.csr_matrix((one, (row, products)), shape=(count, m))
            owners = sp.csr_matrix((-np.ones(count), (np.arange(count), owner)), shape=(count, n_columns))
            parts.append(sp.hstack([owners, sums], format="csr"))
        return sp.vstack(parts, format="csr")

    def mccormick_rows(self, n_columns: int) -> tuple[Any, Floats]:
        """Return the rows  w - x <= 0,  w - y <= 0,  x + y - w <= 1  over (columns, products), and upper bounds."""
        m = len(self)
        first = sp.csr_matrix((np.ones(m), (np.arange(m), self.first)), shape=(m, n_columns))
        second = sp.csr_matrix((np.ones(m), (np.arange(m), self.second)), shape=(m, n_columns))
        own = sp.eye(m, format="csr")
        matrix = sp.vstack([sp.hstack([-first, own]), sp.hstack([-second, own]), sp.hstack([first + second, -own])])
        return matrix.tocsr(), np.concatenate([np.zeros(2 * m), np.ones(m)])
