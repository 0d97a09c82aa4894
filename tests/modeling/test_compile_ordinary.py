"""What ordinary Pyomo things become in a program, and which of them are refused."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.gdp import Disjunct, Disjunction

from causalopt.errors import DataError, UnsupportedProblem
from causalopt.modeling.compile import compile_model, load_values, start_values
from causalopt.modeling.components import ArrayConstraint, ArrayVar, is_untouched
from causalopt.modeling.costs import ArrayCost, ArrayObjective
from causalopt.modeling.program import ProblemClass

INF = np.inf


def model():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([0, 1, 2], bounds=(0, 4))
    m.o = pyo.Objective(expr=m.x[0])
    return m


def array_model():
    m = pyo.ConcreteModel()
    m.x = ArrayVar(0.0, 4.0, n=3)
    m.o = ArrayObjective(m.x, [1.0, 0.0, 0.0])
    return m


BOTH = pytest.mark.parametrize("build", [model, array_model])


def groups(program):
    return [(v.name, start, size) for v, start, size in program.columns]


# --- what is beyond a program


def _sos(m):
    m.s = pyo.SOSConstraint(var=m.x, sos=1)


def _disjunction(m):
    m.either = Disjunction(expr=[[m.x[0] <= 1], [m.x[0] >= 3]])


def _disjunct(m):
    m.option = Disjunct()


def _logical(m):
    m.flag = pyo.BooleanVar()
    m.rule = pyo.LogicalConstraint(expr=m.flag.implies(m.flag))


def _quadratic_constraint(m):
    m.ball = pyo.Constraint([1, 2], rule=lambda m, i: m.x[0] ** 2 + m.x[i] <= 1)


def _bilinear_constraint(m):
    m.product = pyo.Constraint(expr=m.x[0] * m.x[1] >= 1)


def _nonlinear_constraint(m):
    m.wave = pyo.Constraint(expr=pyo.sin(m.x[0]) <= 0.5)


def _nonlinear_objective(m):
    m.o.set_value(m.x[1] + pyo.sin(m.x[0]))


def _cubic_objective(m):
    m.o.set_value(m.x[0] * m.x[1] * m.x[2])


def _sum_of_cost_and_nonlinear(m):
    m.o.deactivate()
    m.cost = ArrayCost(m.x, 1.0)
    m.p = pyo.Objective(expr=m.cost + pyo.exp(m.x[0]))


def _domain(m):
    m.x[1].domain = pyo.RangeSet(0, 10, 2)


def _piecewise_by_sos(m):
    m.y = pyo.Var()
    m.curve = pyo.Piecewise(m.y, m.x[0], pw_pts=[0, 1, 4], f_rule=[0, 1, 0], pw_repn="SOS2", pw_constr_type="EQ")


UNSUPPORTED = {
    "SOS constraint": (_sos, "s is a SOSConstraint"),
    "disjunction": (_disjunction, "either_disjuncts.* is a Disjunct|either is a Disjunction"),
    "disjunct": (_disjunct, "option is a Disjunct"),
    "logical constraint": (_logical, "rule is a LogicalConstraint"),
    "piecewise by SOS": (_piecewise_by_sos, "curve.* is a SOSConstraint"),
    "quadratic constraint": (_quadratic_constraint, r"ball\[1\] holds a quadratic term"),
    "bilinear constraint": (_bilinear_constraint, "product holds a quadratic term"),
    "nonlinear constraint": (_nonlinear_constraint, "wave holds a nonlinear term"),
    "nonlinear objective": (_nonlinear_objective, "o holds a nonlinear term"),
    "cubic objective": (_cubic_objective, "o holds a nonlinear term"),
    "cost and nonlinear": (_sum_of_cost_and_nonlinear, "p holds a nonlinear term"),
    "discrete domain": (_domain, r"x\[1\] has domain"),
}


@BOTH
@pytest.mark.parametrize("case", UNSUPPORTED)
def test_what_a_program_cannot_hold_is_refused_by_name(case, build):
    add, message = UNSUPPORTED[case]
    m = build()
    add(m)
    with pytest.raises(UnsupportedProblem, match=message):
        compile_model(m)


@pytest.mark.parametrize("case", ["SOS constraint", "disjunction", "logical constraint", "quadratic constraint"])
def test_what_is_deactivated_is_not_refused(case):
    m = model()
    before = {c.name for c in m.component_objects()}
    UNSUPPORTED[case][0](m)
    for component in list(m.component_objects(descend_into=True)):
        if component.name not in before and hasattr(component, "deactivate"):
            component.deactivate()
    assert compile_model(m).c.tolist() == [1.0, 0.0, 0.0]


def test_a_refusal_names_the_component_within_its_blocks():
    m = model()
    m.b = pyo.Block([1])
    m.b[1].k = pyo.Constraint(expr=m.x[0] ** 2 <= 1)
    with pytest.raises(UnsupportedProblem, match=r"b\[1\].k holds a quadratic term, which a constraint"):
        compile_model(m)


@pytest.mark.parametrize("how", ["gdp.bigm", "gdp.hull"])
def test_a_disjunction_that_is_transformed_becomes_a_mixed_integer_program(how):
    m = model()
    _disjunction(m)
    pyo.TransformationFactory(how).apply_to(m)
    program = compile_model(m)
    assert program.problem_class is ProblemClass.MILP
    assert program.integer.sum() == 2
    assert program.n_rows >= 3


def test_a_piecewise_function_that_is_written_with_binaries_is_compiled():
    m = model()
    m.y = pyo.Var()
    m.curve = pyo.Piecewise(m.y, m.x[0], pw_pts=[0, 1, 4], f_rule=[0, 1, 0], pw_repn="MC", pw_constr_type="EQ")
    assert compile_model(m).problem_class is ProblemClass.MILP


# --- the objective


@BOTH
def test_a_model_without_active_objective_is_an_error(build):
    m = build()
    m.o.deactivate()
    with pytest.raises(DataError, match=r"exactly one active objective; this one has 0 \(none\)"):
        compile_model(m)


@BOTH
def test_a_model_with_two_active_objectives_is_an_error_that_names_both(build):
    m = build()
    m.b = pyo.Block()
    m.b.p = ArrayObjective(m.x, 1.0)
    with pytest.raises(DataError, match=r"this one has 2 \(o, b.p\)"):
        compile_model(m)
    m.b.deactivate()
    assert compile_model(m).c.tolist() == [1.0, 0.0, 0.0]


def test_the_active_one_of_several_objectives_counts():
    m = model()
    m.o.deactivate()
    m.several = pyo.ObjectiveList()
    m.several.add(m.x[1])
    m.several.add(m.x[2] + 1, sense=pyo.maximize)
    m.several[1].deactivate()
    program = compile_model(m)
    assert (program.c.tolist(), program.constant, program.maximize) == ([0.0, 0.0, 1.0], 1.0, True)


def test_an_objective_without_variables_is_a_constant():
    m = model()
    m.o.set_value(3.0)
    program = compile_model(m)
    assert (program.c.tolist(), program.constant, program.Q) == ([0.0, 0.0, 0.0], 3.0, None)


def test_quadratic_terms_that_cancel_leave_a_linear_program():
    m = model()
    m.p = pyo.Param(initialize=0, mutable=True)
    m.o.set_value(m.x[0] ** 2 - m.x[0] ** 2 + m.p * m.x[1] ** 2 + m.x[2])
    m.k = pyo.Constraint(expr=m.x[0] ** 2 - m.x[0] ** 2 + m.x[1] <= 1)
    program = compile_model(m)
    assert program.Q is None
    assert program.problem_class is ProblemClass.LP
    assert program.A.toarray().tolist() == [[0.0, 1.0, 0.0]]


def test_costs_whose_quadratic_terms_cancel_leave_a_linear_program():
    m = array_model()
    m.o.deactivate()
    m.cost, m.other = ArrayCost(m.x, 1.0, np.eye(3)), ArrayCost(m.x, 2.0, np.ones(3))
    m.p = pyo.Objective(expr=m.cost - m.other)
    program = compile_model(m)
    assert program.Q is None
    assert program.c.tolist() == [-1.0, -1.0, -1.0]


def test_the_lower_triangle_of_q_holds_each_product_once():
    m = model()
    m.o.set_value(m.x[0] * m.x[2] + 2 * m.x[2] * m.x[0] + 3 * m.x[1] ** 2 + (m.x[0] + 1) ** 2)
    program = compile_model(m)
    assert program.Q.toarray().tolist() == [[2.0, 0.0, 0.0], [0.0, 6.0, 0.0], [3.0, 0.0, 0.0]]
    assert (program.c.tolist(), program.constant) == ([2.0, 0.0, 0.0], 1.0)


# --- expressions and parameters


def test_named_expressions_are_read_through():
    m = model()
    m.e = pyo.Expression([0, 1], rule=lambda m, i: m.x[i] + 2 * m.x[2])
    m.f = pyo.Expression(expr=m.e[0] - m.e[1])
    m.k = pyo.Constraint(expr=m.f + m.e[1] <= 3)
    m.o.set_value(m.f + m.e[0] * m.e[1])
    program = compile_model(m)
    assert program.A.toarray().tolist() == [[1.0, 0.0, 2.0]]
    assert program.c.tolist() == [1.0, -1.0, 0.0]
    assert program.Q.toarray().tolist() == [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 2.0, 8.0]]


def test_mutable_parameters_are_read_at_their_values_of_now():
    m = model()
    m.p = pyo.Param([0, 1], initialize={0: 2.0, 1: 3.0}, mutable=True)
    m.x[1].setub(m.p[1])
    m.k = pyo.Constraint(expr=(m.p[0], m.p[1] * m.x[0] + m.x[1], m.p[0] + m.p[1]))
    m.o.set_value(m.p[0] * m.x[1] + m.p[1])
    first = compile_model(m)
    m.p[1] = 7.0
    second = compile_model(m)
    for program, p in ((first, 3.0), (second, 7.0)):
        assert program.A.toarray().tolist() == [[p, 1.0, 0.0]]
        assert (program.row_lower.tolist(), program.row_upper.tolist()) == ([2.0], [2.0 + p])
        assert (program.c.tolist(), program.constant, program.upper[1]) == ([0.0, 2.0, 0.0], p, p)


def test_constants_of_a_row_move_into_its_bounds():
    m = model()
    m.k = pyo.Constraint(expr=m.x[0] + 3 <= m.x[1] - 1)
    m.e = pyo.Constraint(expr=2 * (m.x[0] + 1) == 5)
    program = compile_model(m)
    assert program.A.toarray().tolist() == [[1.0, -1.0, 0.0], [2.0, 0.0, 0.0]]
    assert (program.row_lower.tolist(), program.row_upper.tolist()) == ([-INF, 3.0], [-4.0, 3.0])


def test_rows_are_mapped_back_to_what_they_came_from():
    m = array_model()
    m.c = ArrayConstraint(m.x, np.ones((2, 3)), 0.0)
    m.k = pyo.Constraint([5, 6, 7], rule=lambda m, i: m.x[0] <= i)
    m.k[6].deactivate()
    program = compile_model(m)
    assert [(c.name, start, size) for c, start, size in program.rows] == [("c", 0, 2), ("k[5]", 2, 1), ("k[7]", 3, 1)]
    assert program.row_upper.tolist() == [INF, INF, 5.0, 7.0]
    assert groups(program) == [("x", 0, 3)]


MISSING = {
    "a fixed variable": lambda m: m.x[1].fix(None),
    "a fixed variable in a product": lambda m: [
        m.x[1].fix(None),
        m.add_component("k", pyo.Constraint(expr=m.x[0] * m.x[1] <= 1)),
    ],
    "a fixed variable within a function": lambda m: [m.x[1].fix(None), m.o.set_value(m.x[0] * pyo.sin(m.x[1]))],
    "a parameter of a row": lambda m: m.add_component("k", pyo.Constraint(expr=m.p * m.x[0] <= 1)),
    "a parameter of a bound": lambda m: m.add_component("k", pyo.Constraint(expr=m.x[0] <= m.p)),
    "a parameter of the objective": lambda m: m.o.set_value(m.p * m.x[0]),
}


@BOTH
@pytest.mark.parametrize("case", MISSING)
def test_a_missing_value_is_an_error_that_names_what_lacks_it(case, build):
    m = build()
    m.p = pyo.Param(mutable=True)
    MISSING[case](m)
    with pytest.raises(DataError, match=r"x\[1\]" if "variable" in case else r"\bp\b"):
        compile_model(m)


@pytest.mark.parametrize("case", ["a parameter of a row", "a parameter of a bound", "a parameter of the objective"])
def test_a_parameter_that_is_nan_is_an_error(case):
    m = model()
    m.p = pyo.Param(initialize=float("nan"), mutable=True)
    MISSING[case](m)
    with pytest.raises(DataError, match="nan"):
        compile_model(m)


# --- fixed variables


@BOTH
def test_a_fixed_variable_stays_a_column_with_equal_bounds(build):
    m = build()
    m.x[1].fix(1.5)
    m.k = pyo.Constraint(expr=m.x[0] + 2 * m.x[1] <= 3)
    m.o.expr += m.x[1] ** 2 + m.x[0] * m.x[1] + 5 * m.x[1]
    program = compile_model(m)
    assert program.A.toarray().tolist() == [[1.0, 2.0, 0.0]]
    assert program.row_upper.tolist() == [3.0]
    assert program.c.tolist() == [1.0, 5.0, 0.0]
    assert program.Q.toarray().tolist() == [[0.0, 0.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]]
    assert (program.lower.tolist(), program.upper.tolist()) == ([0.0, 1.5, 0.0], [4.0, 1.5, 4.0])
    assert program.problem_class is ProblemClass.LP
    assert m.x[1].fixed
    m.x[1].unfix()
    assert compile_model(m).upper.tolist() == [4.0, 4.0, 4.0]


@BOTH
def test_terms_that_fixed_variables_make_linear_are_compiled(build):
    m = build()
    m.x[1].fix(1.5)
    m.x[2].fix(2.0)
    m.k = pyo.Constraint(expr=m.x[0] * m.x[1] + m.x[2] ** 2 <= 10)
    m.l = pyo.Constraint(expr=m.x[0] / m.x[1] + pyo.log(m.x[2]) >= 0)
    m.o.set_value(m.x[0] * m.x[1] * m.x[2] + m.x[0] ** 2 / m.x[2] + pyo.exp(m.x[1]))
    program = compile_model(m)
    assert program.A.toarray() == pytest.approx(np.array([[1.5, 0.0, 0.0], [1 / 1.5, 0.0, 0.0]]))
    assert (program.row_upper[0], program.row_lower[1]) == pytest.approx((6.0, -np.log(2.0)))
    for first in (0.0, 1.0, 3.5):
        x = np.array([first, 1.5, 2.0])
        assert program.objective(x) == pytest.approx(3 * first + first**2 / 2 + np.exp(1.5))


# --- columns


def test_columns_come_in_the_order_of_declaration_through_active_blocks():
    m = array_model()
    m.y = pyo.Var(domain=pyo.Binary)
    m.b = pyo.Block([1, 2])
    for i in m.b:
        m.b[i].z = pyo.Var(["q", "p"], domain=pyo.NonNegativeReals)
    m.b[1].deactivate()
    m.w = pyo.Var([1, 2, 3], dense=False)
    m.w[2].setlb(-1)
    program = compile_model(m)
    assert groups(program) == [("x", 0, 3), ("y", 3, 1), ("w", 4, 1), ("b[2].z", 5, 2)]
    assert program.lower.tolist() == [0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0]
    assert program.upper.tolist() == [4.0, 4.0, 4.0, 1.0, INF, INF, INF]
    assert program.integer.tolist() == [False, False, False, True, False, False, False]


@pytest.mark.parametrize("touch", [False, True])
def test_variables_declared_outside_the_block_become_columns_as_they_are_met(touch):
    m = pyo.ConcreteModel()
    m.x = ArrayVar(0.0, 4.0, n=3)
    m.y = pyo.Var([0, 1], bounds=(-1, 1))
    m.unused = pyo.Var()
    m.x[0].fix(2.0)
    m.y[0].fix(0.5)
    if touch:
        list(m.x.values())
    m.b = pyo.Block()
    m.b.z = pyo.Var(bounds=(0, 9))
    m.b.k = pyo.Constraint(expr=m.x[0] + m.b.z <= 5)
    m.b.l = pyo.Constraint(expr=m.y[0] + m.y[1] <= 1)
    m.b.c = ArrayConstraint(m.x, [[1.0, 2.0, 3.0]], 1.0)
    m.b.o = pyo.Objective(expr=m.x[1] * m.x[2] + m.x[0] ** 2 + m.y[1] * m.y[0])
    program = compile_model(m.b)
    assert is_untouched(m.x) is not touch
    assert groups(program) == [("b.z", 0, 1), ("x", 1, 3), ("y", 4, 2)]
    assert program.A.toarray().tolist() == [[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 0, 0]]
    assert program.lower.tolist() == [0.0, 2.0, 0.0, 0.0, 0.5, -1.0]
    assert program.upper.tolist() == [9.0, 2.0, 4.0, 4.0, 0.5, 1.0]
    assert program.row_upper.tolist() == [5.0, 1.0, INF]
    expected = np.zeros((6, 6))
    expected[1, 1], expected[3, 2], expected[5, 4] = 2.0, 1.0, 1.0
    assert program.Q.toarray().tolist() == expected.tolist()


def test_the_data_of_one_block_of_several_can_be_compiled():
    m = pyo.ConcreteModel()
    m.b = pyo.Block([1, 2])
    for i in m.b:
        m.b[i].x = ArrayVar(0.0, i, n=2)
        m.b[i].o = ArrayObjective(m.b[i].x, i)
    assert compile_model(m.b[2]).upper.tolist() == [2.0, 2.0]


@BOTH
def test_references_are_not_counted_twice(build):
    m = build()
    m.k = pyo.Constraint([0, 1], rule=lambda m, i: m.x[i] >= 1)
    m.p = pyo.Objective([0], rule=lambda m, i: m.x[1])
    m.o.deactivate()
    expected = compile_model(m)
    m.all = pyo.Reference(m.x[:])
    m.one = pyo.Reference(m.x[1])
    m.rows = pyo.Reference(m.k[:])
    m.costs = pyo.Reference(m.p[:])
    m.more = pyo.Constraint(expr=m.all[0] + m.one[None] <= 5)
    program = compile_model(m)
    assert groups(program) == groups(expected) == [("x", 0, 3)]
    assert program.A.toarray().tolist() == [*expected.A.toarray().tolist(), [1.0, 1.0, 0.0]]
    assert program.c.tolist() == [0.0, 1.0, 0.0]


def test_components_that_say_nothing_about_the_optimum_are_passed_over():
    m = model()
    m.I = pyo.Set(initialize=[1, 2])
    m.J = m.I * m.I
    m.R = pyo.RangeSet(3)
    m.p = pyo.Param(m.J, default=1.0)
    m.s = pyo.Suffix(direction=pyo.Suffix.IMPORT_EXPORT)
    m.flag = pyo.BooleanVar()
    m.e = pyo.Expression(expr=pyo.sin(m.x[0]))
    m.b = pyo.Block()
    assert compile_model(m).n_columns == 3


# --- values


def test_values_go_in_and_out_by_column():
    m = array_model()
    m.y = pyo.Var(["b", "a"])
    m.z = pyo.Var()
    program = compile_model(m)
    assert start_values(program) is None
    load_values(program, np.arange(6.0))
    assert [m.x[2].value, m.y["b"].value, m.y["a"].value, m.z.value] == [2.0, 3.0, 4.0, 5.0]
    np.testing.assert_array_equal(start_values(compile_model(m)), np.arange(6.0))
    m.y["a"].value = None
    assert start_values(program) is None
    assert is_untouched(m.x)


def test_a_start_is_read_only_where_every_variable_has_a_value():
    m = array_model()
    program = compile_model(m)
    for j in range(3):
        assert start_values(program) is None
        m.x[j].set_value(j / 2)
    np.testing.assert_array_equal(start_values(program), [0.0, 0.5, 1.0])
    assert is_untouched(m.x)


def test_an_abstract_model_is_refused():
    m = pyo.AbstractModel()
    m.x = pyo.Var()
    with pytest.raises(DataError, match="create_instance"):
        compile_model(m)


NAN, BIG = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("row", "cost", "words"),
    [
        (lambda x: NAN * x[1] + x[2] <= 1, None, r"^row: the coefficient of x\[1\] is nan; it must be finite"),
        (lambda x: x[1] - BIG * x[2] <= 1, None, r"^row: the coefficient of x\[2\] is -inf"),
        (lambda x: x[1] + NAN <= 1, None, "^row: the constant is nan"),
        (None, lambda x: x[1] + NAN * x[2], r"^cost: the coefficient of x\[2\] is nan"),
        (None, lambda x: x[2] + NAN * x[1] * x[2], r"^cost: the coefficient of x\[1\]\*x\[2\] is nan"),
    ],
)
def test_a_coefficient_that_is_not_finite_is_refused_with_its_component_and_variable(row, cost, words):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2], bounds=(0, 1))
    m.row = pyo.Constraint(expr=m.x[1] + m.x[2] <= 1 if row is None else row(m.x))
    m.cost = pyo.Objective(expr=m.x[1] if cost is None else cost(m.x))
    with pytest.raises(DataError, match=words):
        compile_model(m)
