"""Whatever is done to an ordinary Pyomo model can be done to its array-backed twin, with the same result.

Each operation is run on both, and what it returns is compared. An operation that is expected to raise says which
error, and must raise it on both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import operations_on_components
import operations_on_models
import pyomo.environ as pyo
import pytest
import scipy.sparse as sp
from operations import OPERATIONS
from twins import COST, A, M, N, Q, arrays, assert_same, plain, program_in, solve, solve_legacy, values, written

from causalopt.modeling.components import is_untouched

REFUSED = {name for name, operation in OPERATIONS.items() if operation.error is not None}


def test_the_operations_that_are_expected_to_raise_are_these():
    assert {
        "a_row_that_does_not_exist",
        "a_variable_that_does_not_exist",
        "a_negative_index",
        "add_a_row_outside_the_index_set",
        "a_component_of_one_model_given_to_another",
        "a_sense_that_does_not_exist",
        "a_quadratic_objective_given_to_appsi_highs",
    } == REFUSED
    modules = {operation.run.__module__ for operation in OPERATIONS.values()}
    assert modules == {operations_on_components.__name__, operations_on_models.__name__}


def test_the_plain_twin_holds_the_numbers_that_it_is_meant_to_hold():
    program = program_in(written(plain(), ".lp"), ".lp")
    assert [program["columns"][f"x({j})"][0] for j in range(N)] == pytest.approx(COST)
    lower = sp.tril(Q).tocoo()
    assert_same(sorted(program["hessian"].values()), sorted(lower.data))
    assert len(program["matrix"]) == A.nnz + 5  # the ranged row is written twice
    assert len(program["rows"]) == M + 1


def test_the_array_backed_twin_is_untouched_to_begin_with():
    m = arrays()
    assert is_untouched(m.x)
    assert is_untouched(m.c)
    assert is_untouched(m.o)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_does_to_arrays_what_it_does_to_a_plain_model(name):
    run, model, error = OPERATIONS[name]
    if error is None:
        assert_same(run(arrays(**model)), run(plain(**model)))
        return
    raised = []
    for build in (plain, arrays):
        with pytest.raises(error) as caught:
            run(build(**model))
        raised.append(caught.type)
    assert raised[0] is raised[1]


INTERFACES = {  # which of LP, MILP and QP each interface takes
    "highs": ("LP", "MILP", "QP"),
    "scip_direct": ("LP", "MILP", "QP"),
    "scip_persistent": ("LP", "MILP", "QP"),
    "gurobi_direct": ("LP", "MILP"),
    "gurobi_direct_minlp": ("LP", "MILP", "QP"),
    "gurobi_persistent": ("LP", "MILP", "QP"),
}
LEGACY_INTERFACES = {
    "appsi_highs": ("LP", "MILP"),
    "appsi_gurobi": ("LP", "MILP", "QP"),
    "appsi_cplex": ("LP", "MILP", "QP"),
    "gurobi_direct": ("LP", "MILP", "QP"),
    "gurobi_persistent": ("LP", "MILP", "QP"),
    "cplex_direct": ("LP", "MILP", "QP"),
    "cplex_persistent": ("LP", "MILP", "QP"),
}
PACKAGES = {"gurobi": "gurobipy", "cplex": "cplex", "scip": "pyscipopt", "highs": "highspy"}


def _require(interface: str) -> None:
    for word, package in PACKAGES.items():
        if word in interface:
            pytest.importorskip(package, reason=f"{package} is not installed")


def _model(kind: str, build: Callable[..., Any]) -> Any:
    return build(quadratic=kind == "QP", integer=kind == "MILP")


@pytest.mark.parametrize(("interface", "kind"), [(i, k) for i, kinds in INTERFACES.items() for k in kinds])
def test_a_solver_interface_of_pyomo_gives_the_same_answer(interface, kind):
    _require(interface)
    found = {}
    for build in (arrays, plain):
        m = _model(kind, build)
        found[build] = solve(m, interface), values(m)
    assert_same(found[arrays], found[plain], tolerance=1e-4)


@pytest.mark.parametrize(("interface", "kind"), [(i, k) for i, kinds in LEGACY_INTERFACES.items() for k in kinds])
def test_an_older_solver_interface_of_pyomo_gives_the_same_answer(interface, kind):
    _require(interface)
    found = {}
    for build in (arrays, plain):
        m = _model(kind, build)
        if "persistent" in interface:
            solver = pyo.SolverFactory(interface)
            solver.set_instance(m)
            solver.solve()
            found[build] = float(pyo.value(m.o)), values(m)
        else:
            found[build] = solve_legacy(m, interface), values(m)
    assert_same(found[arrays], found[plain], tolerance=1e-4)
