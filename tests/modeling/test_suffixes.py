"""The suffix `dual` of a model after a solve, against differences of the optimum."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import causalopt as co
from causalopt.modeling.components import ArrayConstraint, ArrayVar

H = 1e-3


def model(sense=pyo.minimize, quadratic=True, array_side=3.0, side=1.0):
    """Three array columns with one array row, an indexed variable, and rows that bind, with sides to be moved."""
    sign = 1.0 if sense == pyo.minimize else -1.0
    m = pyo.ConcreteModel()
    m.x = ArrayVar(np.zeros(3), np.full(3, 10.0))
    m.y = pyo.Var(["a", "b"], bounds=(0, 10))
    m.sum = ArrayConstraint(m.x, np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]), [array_side, -np.inf], [np.inf, 9.0])
    m.linked = pyo.Constraint(["a", "b"], rule=lambda m, k: m.y[k] - (m.x[0] if k == "a" else 0.0) >= side)
    m.loose = pyo.Constraint(expr=m.y["a"] + m.y["b"] <= 100)
    weights = {0: 1.0, 1: 2.0, 2: 3.0}
    cost = sum(w * (m.x[i] ** 2 if quadratic else m.x[i]) for i, w in weights.items()) + 2 * m.y["a"] + 5 * m.y["b"]
    m.cost = pyo.Objective(expr=sign * cost, sense=sense)
    m.dual = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    return m


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("quadratic", [True, False])
@pytest.mark.parametrize("solver", ["highs", "pyomo:highs"])
def test_the_suffix_holds_the_derivative_of_the_objective(sense, quadratic, solver):
    def optimum(**sides):
        return co.solve(model(sense, quadratic, **sides), "highs").objective

    m = model(sense, quadratic)
    result = co.solve(m, solver)
    assert result.is_optimal
    both = (optimum(side=1.0 + H) - optimum(side=1.0 - H)) / (2 * H)
    array = (optimum(array_side=3.0 + H) - optimum(array_side=3.0 - H)) / (2 * H)
    assert abs(array) > 0.5 < abs(both)
    assert m.dual[m.linked["a"]] + m.dual[m.linked["b"]] == pytest.approx(both, abs=1e-3)
    assert m.dual[m.sum[0]] == pytest.approx(array, abs=1e-3)
    assert m.dual[m.loose] == pytest.approx(0.0, abs=1e-6)
    assert len(m.dual) == 5


def test_the_suffix_is_emptied_where_there_are_no_multipliers():
    m = model(quadratic=False)
    co.solve(m, "highs")
    assert len(m.dual) == 5
    m.y["a"].domain = pyo.Integers
    m.whole = pyo.Constraint(expr=2 * m.y["a"] + m.x[1] >= 3.5)
    co.solve(m, "scip")
    assert len(m.dual) == 0


def test_a_suffix_that_only_exports_and_a_component_of_another_kind_are_left_alone():
    m = model()
    m.del_component(m.dual)
    m.dual = pyo.Suffix(direction=pyo.Suffix.EXPORT)
    co.solve(m, "highs")
    assert len(m.dual) == 0
    m.del_component(m.dual)
    m.dual = pyo.Param(initialize=3)
    assert co.solve(m, "highs").is_optimal
    assert m.dual.value == 3
