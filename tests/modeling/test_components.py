"""Array-backed components: what leaves them untouched, what touches them, and what they refuse."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pyomo.environ as pyo
import pytest
import scipy.sparse as sp
from pyomo.core.expr.visitor import identify_variables
from twins import COST, ROW_LOWER, ROW_UPPER, A, M, N, Q, arrays, linear_terms, plain, solve, values

from causalopt.errors import DataError
from causalopt.modeling.compile import compile_model, load_values, start_values
from causalopt.modeling.components import ArrayConstraint, ArrayVar, is_untouched
from causalopt.modeling.costs import ArrayCost, ArrayObjective

NAN = float("nan")


def untouched(m):
    return [name for name in ("x", "c", "o") if is_untouched(m.component(name))]


def dense(program):
    q = np.zeros((program.n_columns,) * 2) if program.Q is None else program.Q.toarray()
    full = [program.A.toarray(), program.c, q, program.lower, program.upper, program.integer]
    return [*full, program.row_lower, program.row_upper, program.constant, program.maximize]


def assert_same_program(actual, expected):
    for a, b in zip(dense(actual), dense(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


# --- what leaves components untouched

HARMLESS = {
    "length": lambda m: [len(m.x), len(m.c), len(m.o)],
    "membership": lambda m: [3 in m.x, 3 in m.c],
    "index set": lambda m: [m.x.index_set(), m.c.is_indexed()],
    "one variable": lambda m: [m.x[3], m.x[3].fix(1.0), m.x[4].setub(0.5)],
    "one variable by a numpy integer": lambda m: [m.x[np.int64(3)], m.x[np.intp(4)], m.x[np.uint8(5)]],
    "name": lambda m: [m.x.name, m.c.local_name, m.o.name, str(m.x)],
    "clone": lambda m: m.clone(),
    "deepcopy": lambda m: copy.deepcopy(m),
    "pickle": lambda m: pickle.dumps(m),
    "sense": lambda m: [m.o.sense, m.o.set_sense(pyo.maximize), m.o.is_minimizing()],
    "deactivate": lambda m: [m.c.deactivate(), m.c.activate(), m.o.deactivate(), m.o.activate()],
    "component_objects": lambda m: list(m.component_objects(active=True)),
    "find_component": lambda m: [m.find_component("x"), m.find_component("c"), m.find_component("x[3]")],
    "is_reference": lambda m: [m.x.is_reference(), m.c.is_reference()],
    "another constraint": lambda m: m.add_component("extra", pyo.Constraint(expr=m.x[0] + m.x[3] <= 1)),
    "another name": lambda m: [c := m.c, m.del_component(c), m.add_component("rows", c)],
    "compile": lambda m: compile_model(m),
    "compile and load": lambda m: load_values(compile_model(m), np.zeros(N)),
    "read the start": lambda m: start_values(compile_model(m)),
}


@pytest.mark.parametrize("use", HARMLESS)
def test_this_use_leaves_every_component_untouched(use):
    m = arrays()
    components = m.x, m.c, m.o
    HARMLESS[use](m)
    assert all(is_untouched(component) for component in components)


TOUCHING = {  # the components left untouched
    "iteration": (lambda m: list(m.x), ["c", "o"]),
    "values of variables": (lambda m: list(m.x.values()), ["c", "o"]),
    "fix all variables": (lambda m: m.x.fix(0.0), ["c", "o"]),
    "one row": (lambda m: m.c[0], ["o"]),
    "the expression of the objective": (lambda m: m.o.expr, ["c"]),
    "the value of the objective": (lambda m: pyo.value(m.o, exception=False), ["c"]),
}


@pytest.mark.parametrize("use", TOUCHING)
def test_this_use_touches_no_more_than_it_needs(use):
    run, left = TOUCHING[use]
    m = arrays()
    run(m)
    assert untouched(m) == left


def test_touching_makes_ordinary_pyomo_components():
    m = arrays()
    assert len(list(m.component_data_objects(pyo.Constraint))) == M
    assert m.o.expr is not None
    p = plain()
    assert [type(m.x), type(m.c), type(m.o)] == [type(p.x), type(p.c), type(p.o)]
    assert [type(m.x[0]), type(m.c[0])] == [type(p.x[0]), type(p.c[0])]
    assert "_arrays" not in vars(m.x)
    assert "_arrays" not in vars(m.c)


# --- single elements


def test_an_element_is_the_same_object_before_and_after_touching():
    m = arrays()
    one = m.x[3]
    one.fix(0.5)
    assert untouched(m) == ["x", "c", "o"]
    assert list(m.x.values())[3] is one
    assert m.x[3].fixed
    assert not is_untouched(m.x)


def test_a_numpy_integer_finds_the_same_element_as_an_int():
    m = arrays()
    assert m.x[np.int64(3)] is m.x[3]
    assert m.x[3].index() == 3
    assert type(m.x[np.int32(4)].index()) is int
    list(m.x.values())
    assert m.x[np.int64(3)] is m.x[3]
    assert m.c[np.int64(2)] is m.c[2]


@pytest.mark.parametrize("index", [-1, N, np.int64(N), "a", (0, 1), 2.5])
def test_an_index_that_does_not_exist_raises_key_error(index):
    for m in (arrays(), plain()):
        with pytest.raises(KeyError):
            m.x[index]


def test_changes_of_single_elements_reach_the_program_as_in_a_plain_model():
    found = []
    for build in (arrays, plain):
        m = build()
        m.x[3].setub(0.25)
        m.x[4].setlb(0.125)
        m.x[5].setlb(None)
        m.x[6].domain = pyo.NonNegativeIntegers
        m.x[7].fix(0.75)
        m.extra = pyo.Constraint(expr=m.x[0] + m.x[3] <= 0.4)
        found.append((m, compile_model(m)))
    (m, program), (_, expected) = found
    assert untouched(m) == ["x", "c", "o"]
    assert_same_program(program, expected)
    assert program.upper[3] == 0.25
    assert program.lower[5] == -np.inf
    assert program.lower[7] == program.upper[7] == 0.75
    assert program.integer.tolist() == [j == 6 for j in range(N)]


def test_a_cost_changed_on_one_element_reaches_the_program_as_in_a_plain_model():
    found = []
    for build in (arrays, plain):
        m = build()
        m.o.expr += 2 * m.x[3] - m.x[4] ** 2
        found.append(compile_model(m))
    assert_same_program(*found)
    assert found[0].c[3] == pytest.approx(COST[3] + 2)


def test_elements_deleted_and_added_again_keep_their_place():
    m = arrays(quadratic=False)
    expected = compile_model(m)
    del m.x[0]
    m.x.add(0)
    m.x[0].setlb(0.0)
    m.x[0].setub(1.0)
    assert list(m.x._data)[-1] == 0  # the dictionary has another order now
    load_values(compile_model(m), np.arange(float(N)))
    assert m.x.get_values() == {j: float(j) for j in range(N)}
    np.testing.assert_array_equal(start_values(compile_model(m)), np.arange(N))
    assert_same_program(compile_model(m), expected)
    assert linear_terms(m.c[0].body) == {"": 0.0, "x[0]": 1.0, "x[1]": 1.0, "x[2]": 1.0, "x[3]": 1.0}
    assert_same_program(compile_model(m), expected)


@pytest.mark.parametrize("use", [compile_model, lambda m: m.c[0], lambda m: m.o.expr])
def test_a_deleted_element_that_arrays_need_is_an_error(use):
    m = arrays()
    del m.x[0]
    with pytest.raises(DataError, match=rf"{N} columns, but its variables number {N - 1}"):
        use(m)


# --- values


def test_values_loaded_after_a_solve_are_read_through_elements_and_leave_the_component_untouched():
    m = arrays()
    m.x[3].setub(0.5)  # made before
    x = np.random.default_rng(0).uniform(size=N)
    load_values(compile_model(m), x)
    assert m.x[3].value == x[3]
    assert m.x[7].value == x[7]  # made now
    assert pyo.value(m.x[np.int64(8)]) == x[8]
    assert not m.x[3].stale
    assert not m.x[7].stale
    assert untouched(m) == ["x", "c", "o"]
    np.testing.assert_array_equal(start_values(compile_model(m)), x)
    assert list(m.x.get_values().values()) == x.tolist()
    assert not is_untouched(m.x)


def test_values_loaded_twice_are_the_second_ones():
    m = arrays()
    program = compile_model(m)
    load_values(program, np.zeros(N))
    assert m.x[2].value == 0.0
    load_values(program, np.full(N, 0.5))
    assert m.x[2].value == 0.5
    assert m.x[3].value == 0.5


def test_values_are_loaded_into_touched_and_ordinary_variables_by_position_and_not_by_index():
    m = pyo.ConcreteModel()
    m.x = ArrayVar(n=2)
    m.y = pyo.Var(["b", "a"])
    m.z = pyo.Var()
    m.w = pyo.VarList()
    m.w.add()
    m.w.add()
    m.o = ArrayObjective(m.x, 1.0)
    list(m.x.values())
    program = compile_model(m)
    assert start_values(program) is None
    load_values(program, np.arange(7.0))
    assert m.x.get_values() == {0: 0.0, 1: 1.0}
    assert m.y.get_values() == {"b": 2.0, "a": 3.0}
    assert m.z.value == 4.0
    assert m.w.get_values() == {1: 5.0, 2: 6.0}
    np.testing.assert_array_equal(start_values(program), np.arange(7.0))


def test_initial_values_are_those_of_the_elements():
    m = pyo.ConcreteModel()
    m.x = ArrayVar(n=3, initial=np.array([1.0, 2.0, 3.0]))
    m.o = ArrayObjective(m.x, 1.0)
    assert m.x[1].value == 2.0
    m.x[1].set_value(7.0)
    np.testing.assert_array_equal(start_values(compile_model(m)), [1.0, 7.0, 3.0])
    assert m.x.get_values() == {0: 1.0, 1: 7.0, 2: 3.0}
    assert pyo.value(m.o) == 11.0


def test_the_loaded_optimum_satisfies_pyomos_own_reading_of_the_model():
    m, p = arrays(), plain()
    solve(p)
    load_values(compile_model(m), np.array([v.value for v in p.x.values()]))
    assert pyo.value(m.o) == pytest.approx(pyo.value(p.o), abs=1e-9)
    for i in range(M):
        assert pyo.value(m.c[i].body) == pytest.approx(pyo.value(p.c[i].body), abs=1e-9)
        assert min(m.c[i].lslack(), m.c[i].uslack()) > -1e-6


# --- clones and pickles


@pytest.mark.parametrize("copied", [lambda m: m.clone(), lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_made_before_a_touch_is_untouched_and_independent(copied):
    m = arrays()
    m.x[3].fix(0.5)
    m.o.sense = pyo.maximize
    m.c.deactivate()
    k = copied(m)
    assert untouched(k) == untouched(m) == ["x", "c", "o"]
    assert k.x[3].fixed
    assert k.x[3] is not m.x[3]
    assert k.x[3].model() is k
    assert k.o.sense == pyo.maximize
    assert not k.c.active
    k.x[3].unfix()
    k.c.activate()
    list(k.c.values())
    assert untouched(k) == ["o"]
    assert untouched(m) == ["x", "c", "o"]
    assert m.x[3].fixed
    assert not m.c.active


@pytest.mark.parametrize("copied", [lambda m: m.clone(), lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_made_after_a_touch_compiles_to_the_same_program(copied):
    m = arrays()
    m.c[0].deactivate()
    m.x[3].fix(0.5)
    k = copied(m)
    assert untouched(k) == ["o"]
    assert_same_program(compile_model(k), compile_model(m))
    assert all(v.model() is k for v in identify_variables(k.o.expr))
    assert untouched(m) == ["o"]


def test_a_clone_of_a_block_keeps_the_variables_that_are_declared_outside_it():
    m = pyo.ConcreteModel()
    m.x = ArrayVar(0.0, 1.0, n=2)
    m.b = pyo.Block()
    m.b.c = ArrayConstraint(m.x, [[1.0, 2.0]], 1.0)
    m.b.cost = ArrayCost(m.x, [3.0, 4.0])
    m.b2 = m.b.clone()
    m.o = pyo.Objective(expr=m.b.cost + 2 * m.b2.cost)
    assert is_untouched(m.b2.c)
    program = compile_model(m)
    assert is_untouched(m.b2.cost)
    assert program.A.toarray().tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert program.c.tolist() == [9.0, 12.0]
    assert [v.name for v in identify_variables(m.b2.c[0].body)] == ["x[0]", "x[1]"]


@pytest.mark.parametrize("copied", [lambda m: m.clone(), lambda m: pickle.loads(pickle.dumps(m))])
def test_an_element_that_a_block_uses_before_its_variable_is_declared_is_copied_once(copied):
    m = pyo.ConcreteModel()
    m.b = pyo.Block()
    m.x = ArrayVar(0.0, 1.0, n=3)
    m.b.k = pyo.Constraint(expr=m.x[0] + m.x[2] <= 1)
    m.o = ArrayObjective(m.x, 1.0)
    k = copied(m)
    assert is_untouched(k.x)
    assert [v is k.x[i] for v, i in zip(identify_variables(k.b.k.body), (0, 2), strict=True)] == [True, True]
    assert k.x[0].parent_component() is k.x
    assert k.x[0] is not m.x[0]


@pytest.mark.parametrize("copied", [lambda m: m.clone(), lambda m: pickle.loads(pickle.dumps(m))])
def test_a_cost_is_copied_with_its_model(copied):
    m = arrays()
    m.del_component(m.o)
    m.cost = ArrayCost(m.x, COST, Q, 1.0)
    m.o = pyo.Objective(expr=2 * m.cost + m.x[0])
    k = copied(m)
    assert is_untouched(k.cost)
    assert_same_program(compile_model(k), compile_model(m))
    load_values(compile_model(k), np.ones(N))
    assert pyo.value(k.o) == pytest.approx(2 * (COST.sum() + Q.sum() / 2 + 1) + 1)
    assert not is_untouched(k.cost)
    assert is_untouched(m.cost)
    assert all(v.model() is k for v in identify_variables(k.cost))


# --- other ways to build a model


def test_an_abstract_model_makes_independent_instances():
    a = pyo.AbstractModel()
    a.x = ArrayVar(0.0, 1.0, n=N)
    a.c = ArrayConstraint(a.x, A, ROW_LOWER, ROW_UPPER)
    a.o = ArrayObjective(a.x, COST, Q, 0.75)
    with pytest.raises(DataError, match="abstract"):
        compile_model(a)
    one, two = a.create_instance(), a.create_instance()
    assert untouched(one) == untouched(two) == ["x", "c", "o"]
    one.x[0].fix(1.0)
    assert solve(two) == pytest.approx(solve(plain()))
    assert values(two) == values_of_the_solved_plain_model()
    assert_same_program(compile_model(a.create_instance()), compile_model(plain()))
    assert compile_model(one).lower[0] == 1.0


def values_of_the_solved_plain_model():
    p = plain()
    solve(p)
    return values(p)


def test_two_models_in_indexed_blocks_solve_together():
    found = []
    for build in (arrays, plain):
        m = pyo.ConcreteModel()
        m.b = pyo.Block([1, 2])
        for i in m.b:
            m.b[i].sub = build()
            m.b[i].sub.o.deactivate()
        m.link = pyo.Constraint(expr=m.b[1].sub.x[0] == 0.5 + m.b[2].sub.x[0] / 2)
        program = compiled_with_a_common_cost(m, build)
        found.append((program, solve(m), values(m.b[1].sub), values(m.b[2].sub)))
    assert_same_program(found[0][0], found[1][0])
    assert found[0][1] == pytest.approx(found[1][1])
    assert found[0][2:] == found[1][2:]
    assert found[0][0].n_columns == 2 * N
    assert found[0][0].n_rows == 2 * M + 1


def compiled_with_a_common_cost(m, build):
    if build is arrays:
        m.cost = pyo.Block()
        m.cost.first = ArrayCost(m.b[1].sub.x, COST, Q, 0.75)
        m.cost.second = ArrayCost(m.b[2].sub.x, COST, Q, 0.75)
        m.o = pyo.Objective(expr=m.cost.first + 3 * m.cost.second)
        program = compile_model(m)
        assert untouched(m.b[1].sub) == untouched(m.b[2].sub) == ["x", "c", "o"]
        return program
    m.o = pyo.Objective(expr=m.b[1].sub.o.expr + 3 * m.b[2].sub.o.expr)
    return compile_model(m)


def test_rows_over_several_variables_follow_the_order_in_which_they_are_given():
    m = pyo.ConcreteModel()
    for name in ("p", "q", "r", "s"):
        m.add_component(name, ArrayVar(0.0, 1.0, n=2 if name == "q" else 1))
    m.c = ArrayConstraint((m.p, m.r, m.q, m.s), [[1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 6.0, 0.0, 0.0, 7.0]], 1.0)
    m.d = ArrayConstraint([m.q, m.p], [[8.0, 0.0, 9.0]], 0.0, 1.0)
    m.o = ArrayObjective((m.s, m.q), [1.0, 2.0, 3.0], [[1.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 2.0]])
    expected = [[1.0, 3.0, 4.0, 2.0, 5.0], [0.0, 0.0, 0.0, 6.0, 7.0], [9.0, 8.0, 0.0, 0.0, 0.0]]
    program = compile_model(m)
    assert program.A.toarray().tolist() == expected
    assert program.c.tolist() == [0.0, 2.0, 3.0, 0.0, 1.0]
    assert program.Q.toarray()[4].tolist() == [0.0, 0.5, 0.0, 0.0, 1.0]
    assert linear_terms(m.c[0].body) == {"": 0, "p[0]": 1, "q[0]": 3, "q[1]": 4, "r[0]": 2, "s[0]": 5}
    assert linear_terms(m.d[0].body) == {"": 0, "p[0]": 9, "q[0]": 8}
    assert m.o.expr is not None
    assert_same_program(compile_model(m), program)


def test_a_model_without_variables_or_rows_compiles_and_can_be_touched():
    m = pyo.ConcreteModel()
    m.x = ArrayVar(n=0)
    m.c = ArrayConstraint(m.x, np.zeros((0, 0)))
    m.o = ArrayObjective(m.x, constant=2.0)
    program = compile_model(m)
    assert (program.n_columns, program.n_rows, program.constant) == (0, 0, 2.0)
    assert list(m.x.values()) == list(m.c.values()) == []
    assert pyo.value(m.o) == 2.0
    assert_same_program(compile_model(m), program)


def test_rows_without_entries_or_without_bounds_can_be_touched_and_solved():
    m = pyo.ConcreteModel()
    m.x = ArrayVar(0.0, 1.0, n=2)
    rows = [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0], [1.0, 2.0]]
    m.c = ArrayConstraint(m.x, rows, [-np.inf, -1.0, -np.inf, 1.0], [np.inf, 2.0, np.inf, np.inf])
    m.o = ArrayObjective(m.x, [1.0, 3.0])
    program = compile_model(m)
    assert program.A.toarray().tolist() == rows
    assert [(c.lb, c.ub) for c in m.c.values()] == [(None, None), (-1.0, 2.0), (None, None), (1.0, None)]
    assert_same_program(compile_model(m), program)
    assert solve(m) == pytest.approx((1.0, 1.0))


def test_an_infinite_bound_is_no_bound():
    m = pyo.ConcreteModel()
    m.x = ArrayVar([-np.inf, 0.0], [1.0, np.inf])
    assert [(v.lower is None, v.upper is None) for v in m.x.values()] == [(True, False), (False, True)]
    assert [v.bounds for v in m.x.values()] == [(None, 1.0), (0.0, None)]


def test_integers_between_zero_and_one_are_binary_and_others_integers():
    m = pyo.ConcreteModel()
    m.x = ArrayVar([0.0, 0.0, -1.0], [1.0, 2.0, 1.0], integer=[True, True, False])
    assert [m.x[i].domain.name for i in range(3)] == ["Binary", "Integers", "Reals"]


# --- arrays that are given


def test_coefficients_given_as_integers_become_floats():
    m = pyo.ConcreteModel()
    m.x = ArrayVar(0, 1, n=2)
    m.c = ArrayConstraint(m.x, np.array([[1, 2]]), 1)
    m.o = ArrayObjective(m.x, [1, 2], np.array([[2, 1], [1, 2]]))
    program = compile_model(m)
    assert {a.dtype for a in (program.A, program.c, program.Q, program.lower, program.row_upper)} == {np.dtype(float)}


def test_duplicate_and_unsorted_entries_are_summed_and_sorted_without_changing_the_matrix_given():
    given = sp.csr_matrix((np.array([5.0, 1.0, 2.0]), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2))
    m = pyo.ConcreteModel()
    m.x = ArrayVar(0.0, 1.0, n=2)
    m.y = ArrayVar(0.0, 1.0, n=2)
    m.c = ArrayConstraint(m.x, given)
    m.d = ArrayConstraint((m.y, m.x), sp.hstack([given, given], format="csr"))
    m.o = ArrayObjective(m.x)
    program = compile_model(m)
    assert program.A.has_canonical_format
    assert program.A.toarray().tolist() == [[1.0, 7.0, 0.0, 0.0], [1.0, 7.0, 1.0, 7.0]]
    assert given.data.tolist() == [5.0, 1.0, 2.0]
    assert given.indices.tolist() == [1, 0, 1]


def test_sorting_a_program_does_not_disturb_the_component_that_it_came_from():
    m = pyo.ConcreteModel()
    m.x = ArrayVar(0.0, 1.0, n=1)
    m.y = ArrayVar(0.0, 1.0, n=1)
    m.c = ArrayConstraint((m.y, m.x), [[1.0, 2.0]])
    m.o = ArrayObjective(m.x)
    compile_model(m).A.sort_indices()
    compile_model(m).A.sum_duplicates()
    assert compile_model(m).A.toarray().tolist() == [[2.0, 1.0]]
    assert linear_terms(m.c[0].body) == {"": 0, "x[0]": 2, "y[0]": 1}


def test_a_vector_is_the_diagonal_of_the_quadratic_cost():
    diagonal = np.array([1.0, 0.0, -3.0])
    programs = []
    for quadratic in (diagonal, np.diag(diagonal), sp.diags_array(diagonal)):
        m = pyo.ConcreteModel()
        m.x = ArrayVar(0.0, 1.0, n=3)
        m.o = ArrayObjective(m.x, 1.0, quadratic)
        programs.append(compile_model(m))
        assert m.o.expr is not None
        programs.append(compile_model(m))
        load_values(programs[0], np.zeros(3))
        load_values(compile_model(m), np.array([1.0, 2.0, 3.0]))
        assert pyo.value(m.o) == pytest.approx(6.0 + 0.5 - 13.5)
    for program in programs[1:]:
        assert_same_program(program, programs[0])


BAD = {
    "no size": (lambda x: ArrayVar(), "needs n="),
    "bounds of different lengths": (lambda x: ArrayVar(np.zeros(3), np.ones(2)), r"upper has shape \(2,\); 3 values"),
    "bounds in a matrix": (lambda x: ArrayVar(np.zeros((2, 3))), r"lower has shape \(2, 3\)"),
    "integer of another length": (lambda x: ArrayVar(n=3, integer=[True]), r"integer has shape \(1,\); 3 values"),
    "NaN bound": (lambda x: ArrayVar([0.0, NAN]), "lower holds NaN at position 1"),
    "NaN bound for all": (lambda x: ArrayVar(0.0, NAN, n=2), "upper holds NaN at position 0"),
    "NaN start": (lambda x: ArrayVar(n=2, initial=[0.0, NAN]), "initial holds NaN at position 1"),
    "start of another length": (lambda x: ArrayVar(n=2, initial=[0.0]), r"initial has shape \(1,\); 2 values"),
    "too few columns": (lambda x: ArrayConstraint(x, np.ones((2, 2))), "has 2 columns, but its variables number 3"),
    "columns of two variables": (lambda x: ArrayConstraint((x, ArrayVar(n=1)), np.ones((2, 3))), "variables number 4"),
    "one variable twice": (lambda x: ArrayConstraint((x, x), np.ones((2, 6))), "twice"),
    "NaN coefficient": (lambda x: ArrayConstraint(x, [[1, 2, 3], [4, NAN, 6]]), "NaN in row 1, column 1"),
    "row bounds of another length": (lambda x: ArrayConstraint(x, np.ones((2, 3)), np.zeros(3)), "2 values are needed"),
    "NaN row bound": (lambda x: ArrayConstraint(x, np.ones((2, 3)), 0.0, [1.0, NAN]), "upper holds NaN at position 1"),
    "too few costs": (lambda x: ArrayObjective(x, [1.0, 2.0]), r"linear has shape \(2,\); 3 values"),
    "NaN cost": (lambda x: ArrayCost(x, [1.0, NAN, 2.0]), "linear holds NaN at position 1"),
    "cost of one variable twice": (lambda x: ArrayCost((x, x)), "twice"),
    "Q of another size": (lambda x: ArrayObjective(x, 0.0, np.eye(2)), r"shape \(2, 2\); \(3, 3\) is needed"),
    "diagonal of another size": (lambda x: ArrayCost(x, 0.0, np.ones(2)), r"quadratic has shape \(2,\); 3 values"),
    "Q that is not symmetric": (lambda x: ArrayObjective(x, 0.0, np.triu(np.ones((3, 3)))), "must be symmetric"),
    "NaN in Q": (lambda x: ArrayCost(x, 0.0, np.diag([1.0, 2.0, NAN])), "NaN in row 2, column 2"),
    "NaN on the diagonal": (
        lambda x: ArrayObjective(x, 0.0, np.array([NAN, 1, 1])),
        "quadratic holds NaN at position 0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_refused_with_a_message_that_says_which(case):
    make, message = BAD[case]
    m = pyo.ConcreteModel()
    m.x = ArrayVar(0.0, 1.0, n=3)
    with pytest.raises(DataError, match=message):
        make(m.x)


@pytest.mark.parametrize(
    ("part", "change"),
    [("A", lambda m: ArrayConstraint(m.x, [[np.inf, 1.0]])), ("c", lambda m: ArrayCost(m.x, [np.inf, 1.0]))],
)
def test_an_infinite_coefficient_is_refused_when_the_model_is_compiled(part, change):
    m = pyo.ConcreteModel()
    m.x = ArrayVar(0.0, 1.0, n=2)
    m.k = change(m)
    m.o = pyo.Objective(expr=m.k if part == "c" else m.x[0])
    with pytest.raises(DataError, match=f"{part} holds a value that is not finite"):
        compile_model(m)
