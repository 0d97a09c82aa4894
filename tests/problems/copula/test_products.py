import itertools

import numpy as np
import pyomo.environ as pyo
import pytest

import causalopt as co
from causalopt.problems.copula import linearize as linearize
from causalopt.problems.copula.products import Products


def model(seed):
    rng = np.random.default_rng(seed)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(4), domain=pyo.Binary)
    m.z = pyo.Var(bounds=(-2, 3))
    m.limit = pyo.Constraint(expr=sum(m.x.values()) + m.z <= 4)
    a = rng.normal(size=(4, 4))
    m.cost = pyo.Objective(
        expr=sum(a[i, j] * m.x[i] * m.x[j] for i in range(4) for j in range(i + 1))
        + sum(a[0, i] * m.x[i] * m.z for i in range(4))
        + a[3, 3] * m.z
        + 7
    )
    return m


def enumerated(m):
    best = np.inf
    for bits in itertools.product((0, 1), repeat=4):
        for z in (-2.0, min(3.0, 4.0 - sum(bits))):  # linear in z once x is fixed
            for i, bit in enumerate(bits):
                m.x[i].set_value(bit)
            m.z.set_value(z)
            best = min(best, pyo.value(m.cost))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_the_linear_model_has_the_same_optimum(seed):
    m = model(seed)
    best = enumerated(m)
    linear = pyo.TransformationFactory("causalopt.linearize_products").create_using(m)
    assert co.compile_model(linear).problem_class is co.ProblemClass.MILP
    assert co.compile_model(m).Q is not None  # the caller's model is as it was
    result = co.solve(linear, "highs")
    assert result.objective == pytest.approx(best, abs=1e-7)


def test_what_cannot_be_linear_is_named():
    transform = pyo.TransformationFactory("causalopt.linearize_products")
    m = pyo.ConcreteModel()
    m.x, m.u, m.b = pyo.Var(bounds=(0, 1)), pyo.Var(), pyo.Var(domain=pyo.Binary)
    m.cost = pyo.Objective(expr=m.x * m.u)
    with pytest.raises(co.UnsupportedProblem, match=r"x \* u has no binary factor|u \* x has no binary factor"):
        transform.create_using(m)
    m.cost.set_value(m.b * m.u)
    with pytest.raises(co.UnsupportedProblem, match="u needs bounds"):
        transform.create_using(m)
    m.cost.set_value(m.b * m.x**3)
    with pytest.raises(co.UnsupportedProblem, match="beyond products of two variables"):
        transform.create_using(m)
    m.cost.deactivate()
    with pytest.raises(co.DataError, match="0 active objectives"):
        transform.create_using(m)
    with pytest.raises(co.DataError, match="takes no options: tight"):
        transform.create_using(m, tight=True)


def test_rows_of_products_admit_exactly_the_products():
    start, size = np.array([0, 2, 5]), np.array([2, 3, 2])
    products = Products.of_blocks(start, size, np.array([[0, 1], [1, 2]]))
    assert len(products) == 12
    links, (limits, upper) = products.linking_rows(7), products.mccormick_rows(7)
    for choice in itertools.product(range(2), range(3), range(2)):
        x = np.zeros(7)
        x[start + np.array(choice)] = 1
        w = x[products.first] * x[products.second]
        both = np.append(x, w)
        assert np.abs(links @ both).max() == 0 and (limits @ both <= upper).all()
        for k in range(12):  # any other 0/1 products break a row of both kinds
            other = w.copy()
            other[k] = 1 - other[k]
            assert np.abs(links @ np.append(x, other)).max() > 0 and (limits @ np.append(x, other) > upper).any()
