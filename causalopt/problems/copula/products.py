"""Products of binary variables as variables of their own: rows for one-hot blocks, and a Pyomo transformation.

For binary x and y the product w = xy is exactly what  w <= x,  w <= y,  w >= x + y - 1,  w >= 0  leave (McCormick 1976;
Glover and Woolsey 1974). Where x = (x_1, ..., x_K) and y = (y_1, ..., y_L) are one-hot (each sums to one), the products
also satisfy  sum_l w_kl = x_k  and  sum_k w_kl = y_l  (reformulation-linearization, Sherali and Adams 1990), which is
far tighter and needs fewer rows.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.core.base.transformation import Transformation, TransformationFactory
from pyomo.repn import generate_standard_repn

from causalopt.errors import DataError, UnsupportedProblem
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


@TransformationFactory.register(
    "causalopt.linearize_products", doc="Replace products with a binary variable in the objective by variables."
)
class LinearizeProducts(Transformation):  # type: ignore[misc]
    """Replace each product of variables in the objective, at least one of them binary, by a variable of its own.

    Source: a model whose objective holds products of two variables (a square of a binary is the binary itself).
    Target: the same model with a linear objective and, on a block `linearized_products`, one variable and up to four
    McCormick rows a product. Exact where each product has a binary factor and the other factor is bounded.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> m = pyo.ConcreteModel()
    >>> m.x = pyo.Var([1, 2], domain=pyo.Binary)
    >>> m.o = pyo.Objective(expr=3 * m.x[1] * m.x[2] - m.x[1] - m.x[2] ** 2, sense=pyo.minimize)
    >>> linear = pyo.TransformationFactory("causalopt.linearize_products").create_using(m)
    >>> len(linear.linearized_products.product), linear.o.expr.polynomial_degree()
    (1, 1)
    """

    def _apply_to(self, model: Any, **options: Any) -> None:
        if options:
            raise DataError(f"causalopt.linearize_products takes no options: {', '.join(options)}.")
        objectives = list(model.component_data_objects(pyo.Objective, active=True, descend_into=True))
        if len(objectives) != 1:
            raise DataError(f"The model has {len(objectives)} active objectives; one is needed.")
        objective = objectives[0]
        representation = generate_standard_repn(objective.expr, quadratic=True)
        if representation.nonlinear_expr is not None:
            raise UnsupportedProblem(f"{objective.name} has terms beyond products of two variables.")
        linear = representation.constant + pyo.quicksum(
            a * v for a, v in zip(representation.linear_coefs, representation.linear_vars, strict=True)
        )
        products = []
        for coefficient, (x, y) in zip(representation.quadratic_coefs, representation.quadratic_vars, strict=True):
            if x is y and x.is_binary():
                linear += coefficient * x
                continue
            binary, other = (x, y) if x.is_binary() else (y, x)
            if not binary.is_binary() or x is y:
                raise UnsupportedProblem(f"The product {x.name} * {y.name} has no binary factor: it cannot be linear.")
            if other.lb is None or other.ub is None:
                raise UnsupportedProblem(f"{other.name} needs bounds for its product with {binary.name} to be linear.")
            products.append((coefficient, binary, other))
        block = model.linearized_products = pyo.Block()
        block.product = pyo.Var(range(len(products)))
        block.rows = pyo.ConstraintList()
        for k, (coefficient, x, y) in enumerate(products):
            w, low, high = block.product[k], y.lb, y.ub
            block.rows.add(w <= high * x)
            block.rows.add(w >= low * x)
            block.rows.add(w <= y - low * (1 - x))
            block.rows.add(w >= y - high * (1 - x))
            w.setlb(min(low, 0))
            w.setub(max(high, 0))
            linear += coefficient * w
        objective.set_value(linear)
