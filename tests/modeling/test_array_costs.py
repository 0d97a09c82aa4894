"""Array-backed costs inside the caller's own objective and constraints."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.contrib.solver.common.factory import SolverFactory

from causalopt.errors import DataError, UnsupportedProblem
from causalopt.modeling.compile import compile_model, load_values
from causalopt.modeling.components import ArrayConstraint, ArrayVar, is_untouched
from causalopt.modeling.costs import ArrayCost, ArrayObjective
from causalopt.modeling.program import ProblemClass

N = 3
C = np.array([1.0, -2.0, 0.5])
Q = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 0.25]])
K = 4.0
LINEAR = np.array([0.5, 1.5, 0.0, -1.0])  # the second cost, over (y, x)


def model():
    m = pyo.ConcreteModel()
    m.x = ArrayVar(-1.0, 2.0, n=N)
    m.y = ArrayVar(0.0, 3.0, n=1)
    m.z = pyo.Var(bounds=(0, 1))
    m.p = pyo.Param(initialize=1.5, mutable=True)
    m.b = pyo.Block()
    m.b.cost = ArrayCost(m.x, C, Q, K)
    m.other = ArrayCost((m.y, m.x), LINEAR, constant=-1.0)
    m.both = pyo.Expression(expr=m.b.cost + m.other)
    return m


def first(x):
    return 0.5 * x[:N] @ Q @ x[:N] + C @ x[:N] + K


def second(x):
    return LINEAR @ np.concatenate([x[N : N + 1], x[:N]]) - 1.0


EXPRESSIONS = {
    "alone": (lambda m: m.b.cost, first),
    "plus zero": (lambda m: m.b.cost + 0, first),
    "plus a constant": (lambda m: 3 + m.b.cost, lambda x: 3 + first(x)),
    "scaled": (lambda m: 2.5 * m.b.cost, lambda x: 2.5 * first(x)),
    "scaled from the right": (lambda m: m.b.cost * 2.5, lambda x: 2.5 * first(x)),
    "divided": (lambda m: m.b.cost / 4, lambda x: first(x) / 4),
    "divided by a parameter": (lambda m: m.b.cost / m.p, lambda x: first(x) / 1.5),
    "scaled by a parameter": (lambda m: m.p * m.b.cost, lambda x: 1.5 * first(x)),
    "scaled by an expression of parameters": (lambda m: (m.p**2 + 1) * m.b.cost, lambda x: 3.25 * first(x)),
    "scaled by zero": (lambda m: m.b.cost * 0 + m.other, second),
    "negated": (lambda m: -m.b.cost, lambda x: -first(x)),
    "summed": (lambda m: m.b.cost + m.other, lambda x: first(x) + second(x)),
    "subtracted": (lambda m: m.other - m.b.cost, lambda x: second(x) - first(x)),
    "twice": (lambda m: m.b.cost + 2 * m.b.cost, lambda x: 3 * first(x)),
    "by sum()": (lambda m: sum([m.b.cost, m.other]), lambda x: first(x) + second(x)),
    "by quicksum": (lambda m: pyo.quicksum([m.b.cost, 2 * m.other]), lambda x: first(x) + 2 * second(x)),
    "with ordinary terms": (
        lambda m: m.b.cost + 2 * m.z**2 - m.x[0] * m.z + 3 * m.y[0] + 1,
        lambda x: first(x) + 2 * x[4] ** 2 - x[0] * x[4] + 3 * x[3] + 1,
    ),
    "nested": (
        lambda m: -(2 * (3 * (m.b.cost - 1) - m.other + m.z) / 4),
        lambda x: -(3 * (first(x) - 1) - second(x) + x[4]) / 2,
    ),
    "in a named expression": (lambda m: m.both, lambda x: first(x) + second(x)),
    "in a scaled named expression": (
        lambda m: 2 * m.both - m.b.cost + m.z,
        lambda x: first(x) + 2 * second(x) + x[4],
    ),
}


@pytest.mark.parametrize("sense", [pyo.minimize, pyo.maximize])
@pytest.mark.parametrize("form", EXPRESSIONS)
def test_a_cost_in_an_objective_is_compiled_without_touching_it(form, sense):
    make, formula = EXPRESSIONS[form]
    m = model()
    m.o = pyo.Objective(expr=make(m), sense=sense)
    program = compile_model(m)
    assert all(is_untouched(component) for component in (m.x, m.y, m.b.cost, m.other))
    assert program.maximize == (sense == pyo.maximize)
    assert program.n_columns == 5
    points = np.random.default_rng(1).uniform(-1.0, 2.0, size=(4, 5))
    for x in points:
        assert program.objective(x) == pytest.approx(formula(x), abs=1e-12)
    load_values(program, points[0])
    assert pyo.value(m.o) == pytest.approx(formula(points[0]), abs=1e-12)  # touches
    again = compile_model(m)
    assert not is_untouched(m.other) or not is_untouched(m.b.cost)
    for x in points:
        assert again.objective(x) == pytest.approx(formula(x), abs=1e-12)


BEYOND = {  # what has no array form is still right, at the price of touching
    "squared": (lambda m: m.other**2, lambda x: second(x) ** 2),
    "times a variable": (lambda m: m.other * m.z, lambda x: second(x) * x[4]),
    "times another": (lambda m: m.other * m.other + m.b.cost, lambda x: second(x) ** 2 + first(x)),
    "times an expression": (lambda m: m.scale * m.b.cost, lambda x: 2 * first(x)),
}


@pytest.mark.parametrize("form", BEYOND)
def test_a_cost_used_in_another_way_is_compiled_by_touching_it(form):
    make, formula = BEYOND[form]
    m = model()
    m.scale = pyo.Expression(expr=2.0)
    m.o = pyo.Objective(expr=make(m))
    program = compile_model(m)
    for x in np.random.default_rng(2).uniform(-1.0, 2.0, size=(4, 5)):
        assert program.objective(x) == pytest.approx(formula(x), abs=1e-12)


def test_a_linear_cost_can_be_bounded_by_a_constraint():
    m = model()
    m.x[1].fix(0.5)
    m.rows = ArrayConstraint((m.x, m.y), np.ones((1, 4)), 1.0)
    m.budget = pyo.Constraint(expr=m.other <= 2 * m.z)
    m.o = pyo.Objective(expr=m.b.cost)
    program = compile_model(m)
    assert program.A.toarray().tolist() == [[1.0, 1.0, 1.0, 1.0, 0.0], [1.5, 0.0, -1.0, 0.5, -2.0]]
    assert program.row_upper.tolist() == [np.inf, 1.0]
    assert program.lower[1] == program.upper[1] == 0.5
    assert is_untouched(m.rows)
    again = compile_model(m)
    assert again.A.toarray().tolist() == program.A.toarray().tolist()
    assert again.c.tolist() == program.c.tolist()


def test_a_quadratic_cost_in_a_constraint_is_refused_by_name():
    m = model()
    m.budget = pyo.Constraint(expr=m.b.cost <= 1)
    m.o = pyo.Objective(expr=m.other)
    with pytest.raises(UnsupportedProblem, match="budget holds a quadratic term"):
        compile_model(m)


@pytest.mark.parametrize("divisor", ["zero", "missing"])
def test_a_factor_without_a_usable_value_is_an_error_that_names_the_objective(divisor):
    m = model()
    m.zero = pyo.Param(initialize=0.0, mutable=True)
    m.missing = pyo.Param(mutable=True)
    m.o = pyo.Objective(expr=m.b.cost / m.component(divisor))
    with pytest.raises(DataError, match=r"^o: "):
        compile_model(m)


@pytest.mark.parametrize(
    ("convex", "factor", "sense", "expected"),
    [
        (True, 2.0, pyo.minimize, True),
        (True, -2.0, pyo.maximize, True),
        (True, -2.0, pyo.minimize, None),
        (True, 2.0, pyo.maximize, None),
        (False, 2.0, pyo.minimize, None),
        (None, 2.0, pyo.minimize, None),
    ],
)
def test_a_proof_of_convexity_is_kept_where_the_sign_allows(convex, factor, sense, expected):
    m = model()
    m.cost = ArrayCost(m.x, C, Q, convex=convex)
    m.o = pyo.Objective(expr=factor * m.cost + m.other, sense=sense)
    program = compile_model(m)
    assert program.convex is expected
    bent = factor > 0 if sense == pyo.minimize else factor < 0
    assert program.problem_class is (ProblemClass.CONVEX_QP if bent else ProblemClass.NONCONVEX_QP)


def test_a_proof_of_convexity_is_lost_among_quadratic_terms_that_have_none():
    m = model()
    m.cost = ArrayCost(m.x, C, Q, convex=True)
    m.o = pyo.Objective(expr=m.cost - m.z**2)
    program = compile_model(m)
    assert program.convex is None
    assert program.problem_class is ProblemClass.NONCONVEX_QP


def test_an_objective_keeps_its_proof_of_convexity():
    m = model()
    m.o = ArrayObjective(m.x, C, Q, convex=True)
    assert compile_model(m).convex is True
    m.o.sense = pyo.maximize
    assert compile_model(m).convex is None


@pytest.mark.parametrize("interface", ["highs", "scip_direct", "gurobi_persistent"])
def test_an_objective_of_costs_solves_through_pyomos_interfaces(interface):
    if "gurobi" in interface:
        pytest.importorskip("gurobipy", reason="gurobipy is not installed")
    m = model()
    m.rows = ArrayConstraint((m.x, m.y), np.ones((1, 4)), 1.0, 1.0)
    m.o = pyo.Objective(expr=m.b.cost + 2 * m.other + m.z)
    result = SolverFactory(interface).solve(m)
    best = np.array([v.value for v in [*m.x.values(), *m.y.values(), m.z]])
    assert result.incumbent_objective == pytest.approx(first(best) + 2 * second(best) + best[4], abs=1e-5)
    assert best[4] == pytest.approx(0.0, abs=1e-5)
    gradient = np.concatenate([Q @ best[:N] + C + 2 * LINEAR[1:], 2 * LINEAR[:1]])
    lower, upper = np.array([-1.0, -1.0, -1.0, 0.0]), np.array([2.0, 2.0, 2.0, 3.0])
    assert best[:4].sum() == pytest.approx(1.0, abs=1e-6)
    # At the optimum no weight can move from one variable to another at a gain.
    can_rise, can_fall = best[:4] < upper - 1e-4, best[:4] > lower + 1e-4
    assert gradient[can_rise].min() >= gradient[can_fall].max() - 1e-3


def test_a_cost_prints_and_evaluates_as_an_ordinary_expression():
    m = model()
    load_values_of_ones(m)
    assert pyo.value(m.b.cost) == pytest.approx(first(np.ones(5)))
    assert type(m.b.cost) is type(m.both)
    assert m.b.cost.polynomial_degree() == 2
    assert m.other.polynomial_degree() == 1
    m.other.set_value(m.x[0])
    assert pyo.value(m.other) == 1.0


def load_values_of_ones(m):
    m.o = pyo.Objective(expr=m.b.cost + m.other)
    load_values(compile_model(m), np.ones(5))


def test_a_cost_that_is_given_another_expression_is_compiled_with_that():
    m = model()
    m.b.cost.set_value(m.x[2] + 5)
    assert not is_untouched(m.b.cost)
    m.o = pyo.Objective(expr=2 * m.b.cost)
    program = compile_model(m)
    assert program.c.tolist() == [0.0, 0.0, 2.0, 0.0, 0.0]
    assert program.constant == 10.0
    assert is_untouched(m.x)
