"""Operations on whole models: copies, files, suffixes, transformations and Pyomo's other tools."""

from __future__ import annotations

import copy
import io
import logging
import pickle

import pyomo.environ as pyo
from operations import operation
from pyomo.common.errors import PyomoException
from pyomo.contrib.fbbt.fbbt import fbbt
from pyomo.contrib.solver.common.factory import SolverFactory
from pyomo.core.expr.visitor import identify_variables
from pyomo.gdp import Disjunct, Disjunction
from pyomo.util.infeasible import log_infeasible_constraints
from twins import SIDE, M, N, program_in, solve, solve_legacy, tokens, values, written

# --- copies


@operation()
def a_clone_is_independent(m):
    k = m.clone()
    k.x[3].fix(0.5)
    k.c[0].deactivate()
    return solve(m), values(m), solve(k), values(k), m.x[3].fixed, m.c[0].active


@operation()
def a_clone_holds_its_own_variables(m):
    k = m.clone()
    used = [v for c in k.component_data_objects(pyo.Constraint) for v in identify_variables(c.body)]
    return len(used), all(v.model() is k for v in [*used, *identify_variables(k.o.expr)])


@operation()
def a_clone_after_a_change_of_one_row(m):
    m.c[0].deactivate()
    k = m.clone()
    return solve(k), solve(m), len(k.c), k.c[0].active


@operation()
def a_clone_after_a_change_of_one_variable(m):
    m.x[3].fix(0.5)
    m.k = pyo.Constraint(expr=m.x[3] + m.x[4] <= 0.75)
    k = m.clone()
    k.x[3].unfix()
    return solve(k), values(k), solve(m), values(m), k.x[3] is m.x[3]


@operation()
def pickled_and_read_back(m):
    k = pickle.loads(pickle.dumps(m))
    k.c[0].deactivate()
    return solve(k), values(k), solve(m)


@operation()
def pickled_after_a_change_of_one_variable(m):
    m.x[3].fix(0.5)
    m.k = pyo.Constraint(expr=m.x[3] + m.x[4] <= 0.75)
    k = pickle.loads(pickle.dumps(m))
    return solve(k), values(k), k.x[3].fixed, k.k.body.arg(0).model() is k


@operation()
def deep_copied(m):
    k = copy.deepcopy(m)
    return solve(k), values(k), k.x[0].model() is k


@operation()
def cloned_within_a_block(m):
    top = pyo.ConcreteModel()
    top.b = m
    top.b2 = top.b.clone()
    top.b2.o.deactivate()
    top.b2.x[0].fix(1)
    top.l = pyo.Constraint(expr=top.b.x[0] == top.b2.x[0])
    return solve(top), values(m), values(top.b2)


@operation()
def nested_in_blocks(m):
    top = pyo.ConcreteModel()
    top.b = pyo.Block()
    top.b.sub = m
    top.y = pyo.Var(bounds=(0, 1))
    top.link = pyo.Constraint(expr=m.x[0] + top.y <= 1)
    return solve(top), values(m), m.x[0].name, m.c[0].name


# --- files


@operation()
def lp_file(m):
    return program_in(written(m, ".lp"), ".lp")


@operation(quadratic=False, integer=True)
def lp_file_of_an_integer_program(m):
    return program_in(written(m, ".lp"), ".lp")


@operation()
def lp_file_after_changes(m):
    m.x[3].fix(0.5)
    m.x[4].setub(0.25)
    m.c[1].deactivate()
    return program_in(written(m, ".lp"), ".lp")


@operation()
def mps_file(m):
    return program_in(written(m, ".mps"), ".mps")


@operation(quadratic=False, integer=True)
def mps_file_of_an_integer_program(m):
    return program_in(written(m, ".mps"), ".mps")


@operation()
def nl_file(m):
    return tokens(written(m, ".nl"))


@operation(quadratic=False, integer=True)
def nl_file_of_an_integer_program(m):
    return tokens(written(m, ".nl"))


# --- suffixes


@operation(quadratic=False)
def duals_imported_through_a_suffix(m):
    m.dual = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    m.x.setub(None)  # else the bounds carry part of the duals
    m.x[0].fix(0.3)
    m.c[7].deactivate()  # the rows of an assignment are dependent
    solve_legacy(m, "appsi_highs")
    return {i: m.dual[m.c[i]] for i in range(M) if i != 7}


@operation(quadratic=False)
def duals_of_chosen_rows(m):
    m.x.setub(None)
    m.c[7].deactivate()
    result = SolverFactory("highs").solve(m)
    duals = result.solution_loader.get_duals([m.c[0], m.c[9]])
    return duals[m.c[0]], duals[m.c[9]], len(result.solution_loader.get_reduced_costs())


@operation()
def suffix_of_a_whole_component(m):
    m.priority = pyo.Suffix(direction=pyo.Suffix.EXPORT)
    m.priority.set_value(m.c, 2.0)
    m.priority.set_value(m.x[3], 5.0)
    return len(m.priority), sorted(m.priority.values()), m.priority[m.c[1]], m.priority[m.x[3]]


@operation(quadratic=False)
def suffix_exported_to_an_nl_file(m):
    m.priority = pyo.Suffix(direction=pyo.Suffix.EXPORT)
    m.priority.set_value(m.c, 2.0)
    m.priority.set_value(m.x[3], 5.0)
    return tokens(written(m, ".nl"))


# --- transformations and other tools


@operation(quadratic=False)
def disjunction_by_big_m(m):
    top = pyo.ConcreteModel()
    top.m = m
    top.high, top.low = Disjunct(), Disjunct()
    top.high.k = pyo.Constraint(expr=m.x[0] >= 0.9)
    top.low.k = pyo.Constraint(expr=m.x[0] <= 0.1)
    top.either = Disjunction(expr=[top.high, top.low])
    pyo.TransformationFactory("gdp.bigm").apply_to(top)
    return solve(top)


@operation(quadratic=False)
def disjunction_by_hull(m):
    top = pyo.ConcreteModel()
    top.m = m
    top.high, top.low = Disjunct(), Disjunct()
    top.high.k = pyo.Constraint(expr=m.x[0] >= 0.9)
    top.low.k = pyo.Constraint(expr=m.x[0] <= 0.1)
    top.either = Disjunction(expr=[top.high, top.low])
    pyo.TransformationFactory("gdp.hull").apply_to(top)
    return solve(top)


@operation()
def detection_of_fixed_variables(m):
    m.x[2].setub(0.0)
    pyo.TransformationFactory("contrib.detect_fixed_vars").apply_to(m)
    return [v.fixed for v in m.x.values()], solve(m)


@operation()
def bound_tightening(m):
    m.c[0].set_value(m.x[0] + m.x[1] + m.x[2] + m.x[3] == 0)
    fbbt(m)
    return [v.bounds for v in m.x.values()]


@operation()
def report_of_infeasible_constraints(m):
    m.x.set_values({i: 0.0 for i in range(N)})
    stream = io.StringIO()
    logger = logging.getLogger("tests.infeasible")
    logger.handlers, logger.propagate = [logging.StreamHandler(stream)], False
    logger.setLevel(logging.INFO)
    log_infeasible_constraints(m, logger=logger)
    return stream.getvalue().splitlines()


@operation(quadratic=False, integer=True)
def relaxation_of_integer_variables(m):
    relax = pyo.TransformationFactory("core.relax_integer_vars")
    relax.apply_to(m)
    relaxed = [v.is_continuous() for v in m.x.values()], [v.bounds for v in m.x.values()], solve(m)
    relax.apply_to(m, undo=True)
    return relaxed, [v.is_binary() for v in m.x.values()]


@operation(quadratic=False, integer=True)
def relaxation_of_a_copy(m):
    k = pyo.TransformationFactory("core.relax_integer_vars").create_using(m)
    return solve(k), [v.is_binary() for v in m.x.values()]


@operation(integer=True)
def integer_variables_fixed(m):
    m.x.set_values({i: int(i % SIDE == i // SIDE) for i in range(N)})
    pyo.TransformationFactory("core.fix_integer_vars").apply_to(m)
    return [(v.fixed, v.value) for v in m.x.values()], pyo.value(m.o)


@operation()
def persistent_highs_follows_changes(m):
    solver = SolverFactory("highs")
    found = [solver.solve(m).incumbent_objective]
    m.x[3].fix(0.5)
    found.append(solver.solve(m).incumbent_objective)
    m.c[0].deactivate()
    found.append(solver.solve(m).incumbent_objective)
    m.x.setub(0.7)
    found.append(solver.solve(m).incumbent_objective)
    return [float(f) for f in found]


@operation(quadratic=False)
def solve_without_loading_the_solution(m):
    result = pyo.SolverFactory("appsi_highs").solve(m, load_solutions=False)
    return str(result.solver.termination_condition), [v.value for v in m.x.values()]


@operation(error=PyomoException)
def a_quadratic_objective_given_to_appsi_highs(m):
    solve_legacy(m, "appsi_highs")
