"""Operations on variables, rows and objectives: looking at them and changing them."""

from __future__ import annotations

import pyomo.environ as pyo
from operations import operation
from pyomo.contrib.latex_printer import latex_printer
from pyomo.core.expr.visitor import identify_variables
from pyomo.repn import generate_standard_repn
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
from pyomo.util.model_size import build_model_size_report
from twins import COST, N, linear_terms, names, printed, program_in, solve, values, written

# --- looking


@operation()
def lengths(m):
    return len(m.x), len(m.c), len(m.o)


@operation()
def membership(m):
    return 3 in m.c, 3 in m.x, 99 in m.c, 99 in m.x, -1 in m.x, "a" in m.x, None in m.o


@operation()
def body_and_bounds_of_each_row(m):
    kinds = [type(c.expr).__name__ for c in m.c.values()]
    return kinds, [(linear_terms(c.body), c.lb, c.ub, c.equality, c.has_lb(), c.has_ub()) for c in m.c.values()]


@operation()
def bounds_and_domain_of_each_variable(m):
    return [(v.bounds, v.domain.name, v.is_continuous(), v.fixed, v.value, v.stale) for v in m.x.values()]


@operation(integer=True)
def bounds_and_domain_of_each_binary_variable(m):
    return [(v.bounds, v.domain.name, v.is_binary(), v.is_integer()) for v in m.x.values()]


@operation(error=KeyError)
def a_row_that_does_not_exist(m):
    return m.c[99]


@operation(error=KeyError)
def a_variable_that_does_not_exist(m):
    return m.x[N]


@operation(error=KeyError)
def a_negative_index(m):
    return m.x[-1]


@operation()
def an_index_that_is_a_whole_float(m):
    return m.x[3.0].name, m.x[3] is m.x[3.0]


@operation()
def iteration_over_variables(m):
    return list(m.x), list(m.x.keys()), names(m.x.values()), [(i, v.name) for i, v in m.x.items()]


@operation()
def iteration_over_rows(m):
    return list(m.c), names(m.c.values()), [(i, c.name) for i, c in m.c.items()]


@operation()
def component_objects(m):
    found = names(m.component_objects(pyo.Constraint))
    return found, m.c.active, m.c.ctype is pyo.Constraint, m.c.dim(), m.c.is_reference(), m.c.index_set().data()


@operation()
def component_data_objects(m):
    rows = names(m.component_data_objects(pyo.Constraint, active=True, descend_into=True))
    return rows, names(m.component_data_objects(pyo.Var)), names(m.component_data_objects(pyo.Objective))


@operation()
def sorted_component_data_objects(m):
    return names(m.component_data_objects(pyo.Constraint, active=True, sort=True))


@operation()
def component_map(m):
    found = pyo.ComponentMap((c, i) for i, c in m.c.items())
    return found[m.c[2]], m.c[2] in found, len(found)


@operation()
def find_component(m):
    return m.find_component("c[2]") is m.c[2], m.find_component("x[3]") is m.x[3], m.find_component("o") is m.o


@operation()
def component_uid(m):
    return str(pyo.ComponentUID(m.c[2])), pyo.ComponentUID(m.c[2]).find_component_on(m) is m.c[2]


@operation()
def references(m):
    m.r = pyo.Reference(m.x[:])
    m.rc = pyo.Reference(m.c[:])
    return len(m.r), len(m.rc), m.r[3] is m.x[3], m.rc[2] is m.c[2], m.r.is_reference()


@operation()
def slices(m):
    return len(list(m.c[:].body)), names(m.x[...]), names(m.c[:])


@operation()
def id_index_map(m):
    return sorted(m.x.id_index_map().values())


@operation()
def to_dense_data(m):
    m.x.to_dense_data()
    return len(m.x), names(m.x.values())


@operation()
def pretty_printing(m):
    return len(printed(m.pprint)), printed(m.x.pprint)


@operation()
def displaying(m):
    m.x.set_values({i: 0.25 for i in range(N)})
    return printed(m.display)


@operation()
def model_size_report(m):
    return dict(build_model_size_report(m).overall)


@operation()
def latex(m):
    return len(latex_printer(m)) > 100


@operation()
def sums_over_all_variables(m):
    m.x.set_values({i: i / N for i in range(N)})
    forms = pyo.sum_product(m.x), pyo.quicksum(m.x.values()), sum(m.x[i] for i in m.x)
    return [linear_terms(form) for form in forms]


@operation()
def identified_variables(m):
    return sorted(names(identify_variables(m.o.expr))), sorted(names(identify_variables(m.o)))


@operation()
def polynomial_degrees(m):
    return m.o.polynomial_degree(), m.c[0].body.polynomial_degree(), m.o.is_fixed(), m.o.is_constant()


@operation(quadratic=False)
def polynomial_degree_of_a_linear_objective(m):
    return m.o.polynomial_degree(), linear_terms(m.o.expr)


@operation()
def standard_repn(m):
    repn = generate_standard_repn(m.o.expr)
    quadratic = {tuple(sorted(names(pair))): q for pair, q in zip(repn.quadratic_vars, repn.quadratic_coefs)}  # noqa: B905
    linear = dict(zip(names(repn.linear_vars), repn.linear_coefs, strict=True))
    return repn.constant, linear, dict(sorted(quadratic.items()))


@operation(quadratic=False)
def standard_form(m):
    form = LinearStandardFormCompiler().write(m)
    return form.A.shape, form.A.sum(), form.c.toarray().ravel().tolist(), names(form.columns), list(form.rhs)


# --- changing variables


@operation()
def fix_one(m):
    m.x[3].fix(0.5)
    return solve(m), values(m), solve(m)


@operation()
def fix_and_unfix_one(m):
    m.x[3].fix(0.5)
    m.x[3].unfix()
    return solve(m), values(m)


@operation()
def fix_all(m):
    m.x.fix(0.25)
    return [v.fixed for v in m.x.values()], pyo.value(m.o), [pyo.value(c.body) for c in m.c.values()]


@operation()
def unfix_all(m):
    m.x[3].fix(0.5)
    m.x.unfix()
    return [v.fixed for v in m.x.values()], solve(m), values(m)


@operation()
def upper_bound_of_one(m):
    m.x[3].setub(0.2)
    m.x[4].ub = 0.3
    return solve(m), values(m), m.x[3].bounds, m.x[4].bounds, m.x[5].bounds


@operation()
def lower_bound_of_one(m):
    m.x[3].setlb(0.2)
    m.x[4].lb = None
    return solve(m), values(m), m.x[3].bounds, m.x[4].bounds, m.x[5].bounds


@operation()
def upper_bound_of_all(m):
    m.x.setub(0.5)
    return solve(m), values(m), [v.ub for v in m.x.values()]


@operation()
def lower_bound_of_all(m):
    m.x.setlb(0.1)
    return solve(m), values(m), [v.lb for v in m.x.values()]


@operation(quadratic=False)
def domain_of_one(m):
    m.x[3].domain = pyo.Binary
    m.o.set_value(m.x[0] + 0.4 * m.x[3])
    m.c[0].set_value(m.x[0] + m.x[1] + 2 * m.x[3] >= 1.5)
    return solve(m), m.x[3].value, [v.is_binary() for v in m.x.values()]


@operation()
def domain_of_all(m):
    m.x.domain = pyo.Binary
    return [v.is_binary() for v in m.x.values()], len([v for v in m.component_data_objects(pyo.Var) if v.is_binary()])


@operation()
def values_given_by_dictionary(m):
    m.x.set_values({i: 0.25 for i in range(N)})
    return pyo.value(m.c[2].body), m.c[9].slack(), pyo.value(m.o), m.o()


@operation()
def values_read_before_a_solve(m):
    return m.x.get_values(), m.x.extract_values()


@operation()
def values_read_after_a_solve(m):
    solve(m)
    return {i: round(v, 4) for i, v in m.x.extract_values().items()}


@operation()
def stale_flags(m):
    m.x[2].set_value(0.5)
    before = [v.stale for v in m.x.values()]
    m.x.flag_as_stale()
    return before, [v.stale for v in m.x.values()]


@operation()
def deletion_of_a_variable_that_no_row_holds(m):
    m.y = pyo.Var([0])
    m.c.deactivate()
    m.o.set_value(m.x[1])
    del m.x[0]
    return len(m.x), 0 in m.x, list(m.x.keys()), solve(m)


# --- changing rows


@operation(quadratic=False)
def deactivate_all_rows(m):
    m.c.deactivate()
    m.o.sense = pyo.maximize
    return solve(m), values(m), m.c.active


@operation()
def what_is_active_after_all_rows_are_deactivated(m):
    m.c.deactivate()
    return names(m.component_data_objects(pyo.Constraint, active=True)), [c.active for c in m.c.values()]


@operation()
def deactivate_and_activate_all_rows(m):
    m.c.deactivate()
    m.c.activate()
    return solve(m), values(m), m.c.active


@operation()
def one_row_activated_after_all_were_deactivated(m):
    m.c.deactivate()
    m.c[2].activate()
    return m.c.active, [c.active for c in m.c.values()], solve(m)


@operation()
def deactivate_one_row(m):
    m.c[0].deactivate()
    return solve(m), values(m), m.c.active


@operation()
def delete_one_row(m):
    del m.c[0]
    return len(m.c), 0 in m.c, solve(m), sorted(m.c.keys())


@operation()
def replace_one_row(m):
    m.c[0] = m.x[0] + m.x[1] <= 0.5
    return solve(m), values(m)


@operation()
def set_value_of_one_row(m):
    m.c[0].set_value(m.x[0] + m.x[1] <= 0.5)
    return solve(m), values(m)


@operation(error=KeyError)
def add_a_row_outside_the_index_set(m):
    m.c.add(99, m.x[0] >= 0.3)


@operation()
def add_a_row_over_another(m):
    m.c.add(0, m.x[0] >= 0.3)
    return solve(m), values(m), len(m.c)


@operation()
def clear_the_rows(m):
    m.c.clear()
    return len(m.c), solve(m), values(m)


@operation()
def clear_the_objective(m):
    m.o.clear()
    return len(m.o), names(m.component_data_objects(pyo.Objective))


@operation()
def copy_after_clearing_the_objective(m):
    m.o.clear()
    k = m.clone()
    k.o.set_value(k.x[0])
    return len(m.o), len(k.o), len(printed(m.pprint)), linear_terms(k.o.expr)


@operation()
def set_the_objective_after_clearing_it(m):
    m.o.clear()
    m.o.set_value(m.x[0] + m.x[5])
    return linear_terms(m.o.expr)


@operation(quadratic=False)
def delete_the_rows(m):
    m.del_component(m.c)
    m.o.sense = pyo.maximize
    return solve(m), values(m)


@operation()
def rows_added_again_under_another_name(m):
    c = m.c
    m.del_component(c)
    m.add_component("k", c)
    return c.name, solve(m), values(m), sorted(program_in(written(m, ".lp"), ".lp")["rows"])


@operation()
def components_moved_to_another_model(m):
    other = pyo.ConcreteModel()
    x, c = m.x, m.c
    m.del_component(c)
    m.del_component(x)
    other.add_component("x", x)
    other.add_component("c", c)
    other.o = pyo.Objective(expr=pyo.quicksum(COST[i] * x[i] for i in x))
    return solve(other), values(other), c.model() is other


@operation(error=RuntimeError)
def a_component_of_one_model_given_to_another(m):
    other = pyo.ConcreteModel()
    other.x = m.x


@operation()
def an_ordinary_constraint_over_some_variables(m):
    m.extra = pyo.Constraint(expr=m.x[0] + m.x[3] <= 0.4)
    m.more = pyo.ConstraintList()
    m.more.add(m.x[5] == m.x[6])
    return solve(m), values(m)


# --- changing the objective


@operation()
def properties_of_the_objective(m):
    return m.o.sense, m.o.active, m.o.is_indexed(), m.o.is_minimizing(), m.o.ctype is pyo.Objective, m.o.name


@operation(quadratic=False)
def sense_of_the_objective(m):
    m.o.sense = pyo.maximize
    return solve(m), values(m), m.o.sense, m.o.is_minimizing()


@operation(quadratic=False)
def set_sense_of_the_objective(m):
    m.o.set_sense(pyo.maximize)
    return solve(m), values(m)


@operation(error=ValueError)
def a_sense_that_does_not_exist(m):
    m.o.sense = "up"


@operation()
def another_objective_instead(m):
    m.o.deactivate()
    m.p = pyo.Objective(expr=m.x[0])
    return m.o.active, solve(m)


@operation()
def set_value_of_the_objective(m):
    m.o.set_value(m.x[0] + m.x[5])
    return solve(m)


@operation()
def assign_the_expression_of_the_objective(m):
    m.o.expr = m.x[0] + m.x[5]
    return solve(m)


@operation()
def cost_of_one_variable(m):
    m.o.expr += 2 * m.x[3]
    return solve(m), values(m)


@operation()
def the_objective_within_a_constraint(m):
    m.k = pyo.Constraint(expr=m.o <= 5)
    return m.k.body.polynomial_degree()


@operation(quadratic=False)
def a_linear_objective_within_a_constraint(m):
    m.k = pyo.Constraint(expr=m.o.expr >= 2)
    m.p = pyo.Objective(expr=m.x[0])
    m.o.deactivate()
    return solve(m)
