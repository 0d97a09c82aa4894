"""A Pyomo transformation: products with a binary variable as variables of their own (see `products`).

Importing this module registers it.
"""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo
from pyomo.core.base.transformation import Transformation, TransformationFactory
from pyomo.repn import generate_standard_repn

from causalopt.errors import DataError, UnsupportedProblem


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
