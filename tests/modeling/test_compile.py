"""Untouched, half-touched and plain Pyomo builds of one model compile to the same program, number by number."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as numpy_arrays
from pyomo.contrib.solver.common.factory import SolverFactory
from pyomo.contrib.solver.common.results import TerminationCondition
from pyomo.core.expr import LinearExpression
from scipy.optimize import Bounds, LinearConstraint, milp

import causalopt as co
from causalopt.modeling.compile import compile_model, load_values
from causalopt.modeling.components import ArrayConstraint, ArrayVar, is_untouched
from causalopt.modeling.costs import ArrayCost, ArrayObjective

COMPONENTS = ("x", "b.z", "rows", "b.rows", "o", "b.cost")


@dataclasses.dataclass
class Spec:
    """The numbers of one model: `x` on the model and `z` in a block as arrays, `y` and `w` ordinary variables."""

    lower: Any  # of x and z together
    upper: Any
    integer: Any
    n: int  # of them belong to x
    swapped: bool  # whether `rows` and the cost hold z before x
    matrix: Any  # of `rows`, over x and z as they are held there
    row_bounds: Any
    inner_matrix: Any  # of `b.rows`, over z
    inner_row_bounds: Any
    ordinary: Any  # rows over (y, w[1], w[2], first of x)
    linear: Any
    quadratic: Any  # symmetric, or a diagonal, or None
    constant: float
    maximize: bool
    form: str  # how the cost enters the objective
    changes: list[tuple[str, int, float]]


def _halves(low: int, high: int) -> Any:
    return st.integers(2 * low, 2 * high).map(lambda i: i / 2)


def _array(shape: Any, low: int, high: int) -> Any:
    return numpy_arrays(float, shape, elements=_halves(low, high), fill=st.just(0.0))


@st.composite
def _row_bounds(draw: Any, m: int) -> Any:
    bounds = []
    for _ in range(m):
        low, width = draw(_halves(-4, 4)), draw(_halves(0, 3))
        kind = draw(st.sampled_from(["range", "equality", "below", "above", "free"]))
        bounds.append(
            {
                "range": (low, low + width),
                "equality": (low, low),
                "below": (-np.inf, low + width),
                "above": (low - width, np.inf),
                "free": (-np.inf, np.inf),
            }[kind]
        )
    return np.array(bounds).reshape(m, 2)


CHANGES = ["fix", "fix early", "lower", "upper", "integer", "row off", "inner row off", "block off", "rows off"]


@st.composite
def specs(draw: Any, *, bounded: bool = False, linear: bool = False) -> Spec:
    n, k = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    lower = draw(_array(n + k, -3, 1))
    upper = lower + draw(_array(n + k, 0, 4))
    if not bounded:
        lower = np.where(draw(numpy_arrays(bool, n + k)), -np.inf, lower)
        upper = np.where(draw(numpy_arrays(bool, n + k)), np.inf, upper)
    m, inner = draw(st.integers(0, 4)), draw(st.integers(0, 2))
    kind = "none" if linear else draw(st.sampled_from(["none", "diagonal", "full"]))
    quadratic = None
    if kind == "diagonal":
        quadratic = draw(_array(n + k, -2, 2))
    elif kind == "full":
        half = np.tril(draw(_array((n + k, n + k), -2, 2)))
        quadratic = half + np.tril(half, -1).T
    change = st.tuples(st.sampled_from(CHANGES), st.integers(0, 30), _halves(-2, 2))
    return Spec(
        lower=lower,
        upper=upper,
        integer=draw(numpy_arrays(bool, n + k)) & draw(st.booleans()),
        n=n,
        swapped=draw(st.booleans()),
        matrix=draw(_array((m, n + k), -3, 3)),
        row_bounds=draw(_row_bounds(m)),
        inner_matrix=draw(_array((inner, k), -3, 3)),
        inner_row_bounds=draw(_row_bounds(inner)),
        ordinary=draw(_array((draw(st.integers(0, 2)), 4), -3, 3)),
        linear=draw(_array(n + k, -3, 3)),
        quadratic=quadratic,
        constant=draw(_halves(-3, 3)),
        maximize=draw(st.booleans()),
        form=draw(st.sampled_from(["alone", "cost"] if linear else ["alone", "cost", "cost with products"])),
        changes=draw(st.lists(change, max_size=4)),
    )


def _order(spec: Spec, x: Any, z: Any) -> tuple[Any, Any]:
    return (z, x) if spec.swapped else (x, z)


def _data(spec: Spec, m: Any) -> list[Any]:
    first, second = _order(spec, m.x, m.b.z)
    return [*first.values(), *second.values()]


def _body(coefficients: Any, variables: list[Any]) -> Any:
    # Pyomo refuses a row whose body it can see to be constant, such as one without entries.
    return LinearExpression(linear_coefs=[float(a) for a in coefficients], linear_vars=variables)


def _plain_rows(block: Any, matrix: Any, bounds: Any, variables: list[Any]) -> None:
    block.rows = pyo.Constraint(pyo.RangeSet(0, len(matrix) - 1))
    for i, (row, (low, high)) in enumerate(zip(matrix, bounds.tolist(), strict=True)):
        body = _body(row, variables)
        block.rows[i] = (low, body) if low == high else (low, body, high)


def _plain_cost(spec: Spec, m: Any) -> Any:
    v = _data(spec, m)
    cost = spec.constant + sum(float(c) * v[j] for j, c in enumerate(spec.linear))
    q = spec.quadratic
    if q is not None and q.ndim == 1:
        cost += sum(0.5 * float(a) * v[j] ** 2 for j, a in enumerate(q))
    elif q is not None:
        cost += sum(0.5 * float(q[i, j]) * v[i] * v[j] for i in range(len(v)) for j in range(len(v)))
    return cost


def build(spec: Spec, way: str, touched: tuple[str, ...] = ()) -> Any:
    """Build the model plainly or from arrays, touching some components before the changes are made."""
    n, k = spec.n, len(spec.lower) - spec.n
    m = pyo.ConcreteModel()
    m.y = pyo.Var(bounds=(-2, 2))
    m.b = pyo.Block()
    m.b.w = pyo.Var(["b", "a"], bounds=(-1, 1), domain=pyo.Integers)
    x_part, z_part = slice(0, n), slice(n, n + k)
    if way == "plain":
        for block, name, part in ((m, "x", x_part), (m.b, "z", z_part)):
            variable = pyo.Var(pyo.RangeSet(0, part.stop - part.start - 1))
            block.add_component(name, variable)
            bounds = zip(spec.lower[part].tolist(), spec.upper[part].tolist(), spec.integer[part], strict=True)
            for item, (low, high, integer) in zip(variable.values(), bounds, strict=True):
                item.setlb(None if low == -np.inf else low)
                item.setub(None if high == np.inf else high)
                binary = integer and (low, high) == (0, 1)
                item.domain = pyo.Binary if binary else pyo.Integers if integer else pyo.Reals
    else:
        m.x = ArrayVar(spec.lower[x_part], spec.upper[x_part], integer=spec.integer[x_part])
        m.b.z = ArrayVar(spec.lower[z_part], spec.upper[z_part], integer=spec.integer[z_part])
    _change(m, spec, early=True)
    if way == "plain":
        _plain_rows(m, spec.matrix, spec.row_bounds, _data(spec, m))
        _plain_rows(m.b, spec.inner_matrix, spec.inner_row_bounds, list(m.b.z.values()))
        cost = _plain_cost(spec, m)
    else:
        held = _order(spec, m.x, m.b.z)
        m.rows = ArrayConstraint(held, spec.matrix, *spec.row_bounds.T)
        m.b.rows = ArrayConstraint(m.b.z, spec.inner_matrix, *spec.inner_row_bounds.T)
        m.b.cost = cost = ArrayCost(held, spec.linear, spec.quadratic, spec.constant)
    ordinary = [m.y, m.b.w["b"], m.b.w["a"], m.x[0]]
    m.more = pyo.ConstraintList()
    for row in spec.ordinary:
        m.more.add((None, _body(row, ordinary), 2.5))
    sense = pyo.maximize if spec.maximize else pyo.minimize
    if spec.form == "alone" and way != "plain":
        m.o = ArrayObjective(held, spec.linear, spec.quadratic, spec.constant, sense=sense)
    elif spec.form == "alone":
        m.o = pyo.Objective(expr=cost, sense=sense)
    else:
        m.shared = pyo.Expression(expr=2 * m.y - 1)
        m.factor = pyo.Param(initialize=-0.5, mutable=True)
        expression = 3 * cost - m.shared + m.factor * (cost + m.x[0])
        if spec.form == "cost with products":
            expression += m.y * m.x[0] + (m.b.w["a"] - 1) ** 2
        m.o = pyo.Objective(expr=expression, sense=sense)
    for name in touched:
        list(m.find_component(name).values())
    _change(m, spec, early=False)
    return m


def _change(m: Any, spec: Spec, early: bool) -> None:
    for kind, index, value in spec.changes:
        if (kind == "fix early") != early:
            continue
        variable, position = (m.x, index) if index % 2 else (m.b.z, index // 2)
        item = variable[position % len(variable)]
        if kind.startswith("fix"):
            item.fix(value, skip_validation=True)
        elif kind == "lower":
            item.setlb(value)
            item.setub(None if item.ub is None else max(item.ub, value))
        elif kind == "upper":
            item.setub(value)
            item.setlb(None if item.lb is None else min(item.lb, value))
        elif kind == "integer":
            item.domain = pyo.Integers
        elif kind == "row off" and len(spec.matrix):
            m.rows[index % len(spec.matrix)].deactivate()
        elif kind == "inner row off" and len(spec.inner_matrix):
            m.b.rows[index % len(spec.inner_matrix)].deactivate()
        elif kind == "block off":
            m.b.deactivate()
        elif kind == "rows off":
            m.rows.deactivate()


def column_names(program: Any) -> list[str]:
    return [f"{v.name}/{i}" for v, _, size in program.columns for i in range(size)]


def assert_same_program(actual: Any, expected: Any) -> None:
    """Compare number by number; a column that only one program has must be empty (a block that is switched off)."""
    ours, theirs = column_names(actual), column_names(expected)
    common = [name for name in theirs if name in set(ours)]
    parts = []
    for program, own in ((actual, ours), (expected, theirs)):
        q = np.zeros((len(own),) * 2) if program.Q is None else program.Q.toarray()
        q = q + np.tril(q, -1).T
        order = [own.index(name) for name in common]
        rest = sorted(set(range(len(own))) - set(order))
        matrix = program.A.toarray()
        assert not matrix[:, rest].any()
        assert not program.c[rest].any()
        assert not q[rest].any()
        columns = matrix[:, order], program.c[order], q[np.ix_(order, order)]
        bounds = program.lower[order], program.upper[order], program.integer[order]
        parts.append([*columns, *bounds, program.row_lower, program.row_upper, program.constant, program.maximize])
    for a, b in zip(*parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# Hypothesis would otherwise count the import of solvers and Pyomo's first model against the first example.
quick = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@given(spec=specs(), touched=st.sets(st.sampled_from(COMPONENTS)))
@settings(quick, max_examples=250)
def test_every_way_to_build_a_model_compiles_to_the_same_program(spec, touched):
    p, m, t = build(spec, "plain"), build(spec, "arrays"), build(spec, "arrays", tuple(touched))
    expected = compile_model(p)
    before = {name for name in COMPONENTS if is_untouched(m.find_component(name))}
    program = compile_model(m)
    assert {name for name in COMPONENTS if is_untouched(m.find_component(name))} == before
    assert_same_program(program, expected)
    assert_same_program(compile_model(t), expected)
    assert program.problem_class is expected.problem_class
    if all(kind != "block off" for kind, _, _ in spec.changes):
        assert column_names(program) == column_names(expected)
    assert program.A.has_canonical_format
    assert program.Q is None or (program.Q.toarray() == np.tril(program.Q.toarray())).all()
    event(str(program.problem_class))


@given(spec=specs(), way=st.sampled_from(["plain", "arrays"]), seed=st.integers(0, 100))
@settings(quick, max_examples=100)
def test_the_program_takes_pyomos_own_values_at_random_points(spec, way, seed):
    m = build(spec, way, ("b.rows",))
    program = compile_model(m)
    x = np.random.default_rng(seed).uniform(-2, 2, program.n_columns)
    x = np.where(program.lower == program.upper, program.lower, x)
    for variable, value in ((m.y, 0.5), (m.b.w["a"], 1.0), (m.b.w["b"], -1.0), *((v, 0.25) for v in m.b.z.values())):
        if not variable.fixed:
            variable.set_value(value, skip_validation=True)  # in case the block is off and they are no columns
    load_values(program, x)
    assert pyo.value(m.o) == pytest.approx(program.objective(x), rel=1e-9, abs=1e-9)
    activity = program.A @ x
    for group, start, size in program.rows:
        for i, row in enumerate(group.values() if size > 1 or group.is_indexed() else [group]):
            body = pyo.value(row.body)
            low = -np.inf if row.lb is None else row.lb - body
            high = np.inf if row.ub is None else row.ub - body
            assert program.row_lower[start + i] - activity[start + i] == pytest.approx(low, abs=1e-9)
            assert program.row_upper[start + i] - activity[start + i] == pytest.approx(high, abs=1e-9)


@given(spec=specs(bounded=True, linear=True))
@settings(quick, max_examples=60)
def test_the_program_has_the_optimum_that_pyomo_finds_for_the_plain_model(spec):
    spec.changes = [change for change in spec.changes if not change[0].startswith("fix") or change[2] == int(change[2])]
    program = compile_model(build(spec, "arrays"))
    sign = -1.0 if program.maximize else 1.0
    found = milp(
        sign * program.c,
        integrality=program.integer,
        bounds=Bounds(program.lower, program.upper),
        constraints=LinearConstraint(program.A, program.row_lower, program.row_upper),
    )
    assume(found.status != 4)  # SciPy's copy of HiGHS stops with a "solve error" on some degenerate programs
    m = build(spec, "plain")
    result = SolverFactory("highs").solve(m, raise_exception_on_nonoptimal_result=False, load_solutions=False)
    event(result.termination_condition.name)
    if result.termination_condition == TerminationCondition.convergenceCriteriaSatisfied:
        assert found.success
        assert sign * found.fun + program.constant == pytest.approx(result.incumbent_objective, rel=1e-6, abs=1e-6)
    else:
        assert found.status == 2
        assert result.termination_condition in {
            TerminationCondition.provenInfeasible,
            TerminationCondition.infeasibleOrUnbounded,
        }


def test_without_objective_the_rows_are_the_same_and_every_cost_is_zero():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2], bounds=(0, 1))
    m.c = pyo.Constraint(expr=m.x[1] + 2 * m.x[2] <= 2)
    with pytest.raises(co.DataError, match="exactly one active objective"):
        compile_model(m)
    bare = compile_model(m, objective=False)
    m.o = pyo.Objective(expr=m.x[1] ** 2 - m.x[2], sense=pyo.maximize)
    whole = compile_model(m)
    assert (bare.A != whole.A).nnz == 0 and (bare.row_upper == whole.row_upper).all()
    assert not bare.c.any() and bare.Q is None and not bare.maximize and bare.problem_class is co.ProblemClass.LP
