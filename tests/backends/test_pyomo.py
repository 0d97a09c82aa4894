"""Pyomo's own solvers, with Pyomo models themselves: those that compile, and those that no Program holds."""

from __future__ import annotations

import pickle

import numpy as np
import pyomo.environ as pyo
import pytest
from causalopt_pyomo import PyomoBackend

import causalopt as co
from causalopt.errors import (
    DataError,
    LicenseError,
    OptionError,
    SolverFailure,
    SolverNotAvailable,
    UnsupportedProblem,
    VerificationError,
)
from causalopt.solving.backend import Ability, get_backend
from causalopt.solving.models import model_variables, verify_model
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Proof, Reason, Solution, Termination


@pytest.fixture(params=["scip_direct", "gurobi", "cplex_direct"])
def nonlinear(request):
    """A solver that takes quadratic constraints."""
    if not PyomoBackend(request.param).is_installed():
        pytest.skip(f"Pyomo finds no {request.param} here")
    return f"pyomo:{request.param}"


def disc(sense=pyo.minimize):
    """The unit disc, and the farthest point of it in the direction (1, 1)."""
    m = pyo.ConcreteModel()
    m.x, m.y, m.unused = pyo.Var(bounds=(-2, 2)), pyo.Var(bounds=(-2, 2)), pyo.Var(bounds=(3, 4))
    m.round = pyo.Constraint(expr=m.x**2 + m.y**2 <= 1)
    m.o = pyo.Objective(expr=(m.x + m.y) * (1 if sense == pyo.maximize else -1), sense=sense)
    return m


def cover():
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(0, None)), pyo.Var(bounds=(0, None))
    m.a, m.b = pyo.Constraint(expr=m.x + m.y >= 4), pyo.Constraint(expr=m.x + 3 * m.y >= 6)
    m.o = pyo.Objective(expr=2 * m.x + 3 * m.y)
    return m


# --- models that compile: verified against their Program


def test_a_model_that_compiles_is_certified_and_its_values_are_written():
    m = cover()
    result = co.solve(m, "pyomo:highs")
    assert result.objective == pytest.approx(9) and result.verification.proof is Proof.CERTIFIED
    assert (m.x.value, m.y.value) == pytest.approx((3, 1))
    assert result.solver == "pyomo:highs" and "pyomo 6.10" in result.solver_version


def test_array_components_and_blocks_are_handed_over_and_read_back():
    m = pyo.ConcreteModel()
    m.part = pyo.Block()
    m.part.w = co.ArrayVar(0.0, np.inf, n=4)
    m.part.total = co.ArrayConstraint(m.part.w, np.ones((1, 4)), 1.0, 1.0)
    m.o = co.ArrayObjective(m.part.w, 0.0, np.array([1.0, 2.0, 4.0, 8.0]))
    weights = 1 / np.array([1, 2, 4, 8])
    result = co.solve(m, "pyomo:scip_direct")
    assert [m.part.w[i].value for i in range(4)] == pytest.approx(weights / weights.sum(), abs=1e-6)
    assert result.is_optimal and result.verification.proof is Proof.CERTIFIED


def test_infeasible_and_unbounded_are_settled():
    m = cover()
    m.c = pyo.Constraint(expr=m.x + m.y <= 1)
    assert co.solve(m, "pyomo:highs").status.reason is Reason.INFEASIBLE
    m = cover()
    m.o.set_value(-m.x)
    before = len(list(m.component_objects(pyo.Objective)))
    assert co.solve(m, "pyomo:highs").status.reason is Reason.UNBOUNDED
    assert len(list(m.component_objects(pyo.Objective))) == before and m.o.active and m.x.value is None


def test_a_program_without_a_model_becomes_one():
    program = co.Program.from_arrays([2, 3], [[1, 1], [1, 3], [0, 0]], [4, 6, -1], maximize=False)
    assert co.solve(program, "pyomo:highs").objective == pytest.approx(9)
    rng = np.random.default_rng(0)
    problem = co.BalanceProblem(rng.normal(size=(60, 3)), np.arange(60) < 20, tolerance=0.1)
    reference = co.solve(problem, "dual-newton")
    for solver in ("pyomo:highs", "pyomo:scip_direct"):
        assert co.solve(problem, solver).objective == pytest.approx(reference.objective, rel=1e-6)


def test_fixed_variables_stay_and_a_start_is_read_from_the_model():
    m = cover()
    m.y.fix(2.0)
    m.x.value = 2.0
    result = co.solve(m, "pyomo:highs", start=None)
    assert result.objective == pytest.approx(10) and m.y.value == 2.0
    with pytest.warns(co.CausaloptWarning, match="cannot use start"):
        co.solve(m, "pyomo:highs", start=True)


def test_maximisation_has_its_bound_above():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 9), domain=pyo.Integers)
    m.c = pyo.Constraint(expr=2 * m.x <= 7)
    m.o = pyo.Objective(expr=m.x, sense=pyo.maximize)
    result = co.solve(m, "pyomo:highs")
    assert result.objective == pytest.approx(3) and result.bound == pytest.approx(3)


# --- models that no Program holds


def test_a_quadratic_constraint_is_checked_on_the_model_and_its_bound_is_claimed(nonlinear):
    m = disc()
    result = co.solve(m, nonlinear)
    assert result.objective == pytest.approx(-(2**0.5), abs=2e-6)
    assert result.is_optimal and result.verification.proof is Proof.CLAIMED
    assert "claimed by the solver" in str(result.verification)
    assert (m.x.value, m.y.value) == pytest.approx((0.5**0.5,) * 2, abs=1e-3)
    assert 3 <= m.unused.value <= 4
    assert [v.name for v in model_variables(m)] == ["x", "y", "unused"] and result.x.shape == (3,)


def test_a_nonlinear_term_and_maximisation():
    m = disc(pyo.maximize)
    m.z = pyo.Var(bounds=(0, 5))
    m.e = pyo.Constraint(expr=pyo.exp(m.z) <= 1 + m.x)
    m.o.set_value(m.x + m.z)
    result = co.solve(m, "pyomo:scip_direct")
    assert result.objective == pytest.approx(1 + np.log(2), abs=1e-5) and result.bound >= result.objective - 1e-6


def test_sos_conditions_are_checked():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2, 3], bounds=(0, 1))
    m.s = pyo.SOSConstraint(var=m.x, sos=1)
    m.o = pyo.Objective(expr=m.x[1] + 2 * m.x[2] + 3 * m.x[3], sense=pyo.maximize)
    result = co.solve(m, "pyomo:scip_direct")
    assert result.objective == pytest.approx(3)
    two = Solution(Termination(Reason.FEASIBLE, raw="claimed"), x=np.array([0.0, 1.0, 1.0]), objective=5.0)
    _, check = verify_model(m, model_variables(m), two)
    assert any("s is violated by 1" in problem for problem in check.problems)


def test_infeasible_and_unbounded_models_without_a_program(nonlinear):
    m = disc()
    m.c = pyo.Constraint(expr=m.x + m.y >= 2)
    assert co.solve(m, nonlinear).status.reason is Reason.INFEASIBLE
    m = disc()
    m.free = pyo.Var()
    m.o.set_value(m.free)
    assert co.solve(m, nonlinear).status.reason is Reason.UNBOUNDED


@pytest.mark.parametrize(
    ("x", "claims", "words"),
    [
        ([0.8, 0.8, 3.0], {}, "round is violated by 0.28"),
        ([0.5, 0.5, 5.0], {}, "unused is outside its bounds by 1"),
        ([0.5, 0.5, 3.0], {"objective": -1.1}, "claimed objective is -1.1, recomputed it is -1"),
        ([0.5, 0.5, 3.0], {"bound": -0.9}, "bound -0.9 is on the wrong side"),
        ([0.5, np.nan, 3.0], {"objective": None}, "not finite"),
        ([0.5, 0.5], {}, "missing"),
    ],
)
def test_each_lie_about_a_model_is_found(x, claims, words):
    m = disc()
    solution = Solution(
        Termination(Reason.OPTIMAL, raw="optimal"), x=np.array(x), **{"objective": -sum(x[:2]), **claims}
    )
    _, check = verify_model(m, model_variables(m), solution)
    assert not check.passed and words in "; ".join(check.problems)
    assert m.x.value is None


def test_an_integer_variable_of_a_model_has_to_be_whole():
    m = disc()
    m.x.domain = pyo.Integers
    solution = Solution(Termination(Reason.OPTIMAL, raw="optimal"), x=np.array([0.5, 0.5, 3.0]), objective=-1.0)
    assert "0.5 away from a whole number" in "; ".join(verify_model(m, model_variables(m), solution)[1].problems)


def test_optimal_without_a_bound_is_called_feasible():
    m = disc()
    claim = Solution(Termination(Reason.OPTIMAL, raw="optimal"), x=np.array([0.6, 0.8, 3.0]), objective=-1.4)
    verified, check = verify_model(m, model_variables(m), claim)
    assert check.passed and check.proof is Proof.NONE and verified.termination.reason is Reason.FEASIBLE
    verified, _ = verify_model(m, model_variables(m), claim.replace(bound=-1.4))
    assert verified.termination.reason is Reason.OPTIMAL  # what is claimed, and called so


class Lying:
    """What Pyomo's factory returns for a solver of this project's tests that answers (0.9, 0.9)."""

    def __init__(self, value):
        self.options, self.value = {}, value

    def warm_start_capable(self):
        return False

    def version(self):
        return (1, 0)

    def solve(self, model, **_):
        from pyomo.opt import SolverResults, SolverStatus, TerminationCondition

        results = SolverResults()
        results.solver.status, results.solver.termination_condition = SolverStatus.ok, TerminationCondition.optimal
        results.problem.lower_bound = results.problem.upper_bound = self.value
        results.solution.add()
        model.x.set_value(0.9)
        model.y.set_value(0.9)
        results._smap = None
        return results


def test_a_lying_solver_is_refused_and_the_model_keeps_its_values(monkeypatch):
    backend = PyomoBackend("scip_direct")
    monkeypatch.setattr(backend, "_make", lambda: Lying(-1.8))
    monkeypatch.setattr("pyomo.core.base.PyomoModel.ModelSolutions.load_from", lambda *_, **__: None)
    monkeypatch.setattr("causalopt.solving.dispatch.get_backend", lambda name: backend)
    m = disc()
    m.x.value = 0.25
    with pytest.raises(VerificationError, match=r"round is violated by 0\.62"):
        co.solve(m, "pyomo:scip_direct")
    assert m.x.value == 0.25 and m.y.value is None


# --- what is refused before solving


def test_what_cannot_be_checked_is_refused():
    m = disc()
    m.left, m.right = pyo.Block(), pyo.Block()
    from pyomo.gdp import Disjunct, Disjunction

    m.d1, m.d2 = Disjunct(), Disjunct()
    m.d1.c, m.d2.c = pyo.Constraint(expr=m.x >= 1), pyo.Constraint(expr=m.x <= -1)
    m.d = Disjunction(expr=[m.d1, m.d2])
    with pytest.raises(UnsupportedProblem, match=r"gdp\.bigm"):
        co.solve(m, "pyomo:scip_direct")
    pyo.TransformationFactory("gdp.bigm").apply_to(m)
    assert co.solve(m, "pyomo:scip_direct").objective == pytest.approx(-1, abs=1e-4)  # the disc is flat there


def test_a_class_that_the_solver_does_not_take_is_refused_by_name():
    with pytest.raises(UnsupportedProblem, match="does not take this model"):
        co.solve(disc(), "pyomo:highs")
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1, 1))
    m.o = pyo.Objective(expr=-(m.x**2))
    with pytest.raises(UnsupportedProblem, match="nonconvex QP"):  # HiGHS itself would answer 0
        co.solve(m, "pyomo:highs")


def test_no_objective_or_two_of_them():
    m = disc()
    m.o2 = pyo.Objective(expr=m.x)
    with pytest.raises(DataError, match="objective"):
        co.solve(m, "pyomo:scip_direct")
    m.o.deactivate()
    m.o2.deactivate()
    with pytest.raises(DataError, match="objective"):
        co.solve(m, "pyomo:scip_direct")


def test_names_of_solvers():
    with pytest.raises(SolverNotAvailable, match="Did you mean 'highs'"):
        co.solve(cover(), "pyomo:hihgs")
    with pytest.raises(SolverNotAvailable, match="stands for many solvers"):
        co.solve(cover(), "pyomo")
    missing = next(
        name for name in ("cbc", "glpk", "ipopt", "conopt", "minos") if not PyomoBackend(name).is_installed()
    )
    with pytest.raises(SolverNotAvailable, match=f"{missing} where Pyomo finds it"):
        co.solve(cover(), f"pyomo:{missing}")


def test_options_are_checked_where_the_names_are_known():
    with pytest.raises(OptionError, match=r"Did you mean.*mip_rel_gap"):
        co.solve(cover(), "pyomo:highs", options={"mip_rel_gapp": 0.1})
    with pytest.raises(OptionError, match="limits/nodes"):
        co.solve(cover(), "pyomo:scip_direct", options={"limits/nods": 1})
    assert co.solve(cover(), "pyomo:highs", options={"presolve": "off"}).is_optimal
    assert PyomoBackend("cbc").option_names() is None


def test_a_failure_carries_the_solvers_words():
    with pytest.raises(SolverFailure, match="pyomo:scip_direct failed"):
        co.solve(cover(), "pyomo:scip_direct", options={"limits/nodes": "many"})


# --- the rest of a backend's duties


def test_log_limit_and_seed(capfd):
    result = co.solve(cover(), "pyomo:highs", log=True, seed=3, time_limit=20)
    assert "HiGHS" in result.log and capfd.readouterr() == ("", "")
    assert Ability.LOG not in PyomoBackend("scip_direct").abilities


def test_a_time_limit_stops_every_solver_that_is_here(nonlinear):
    from causalopt.testing.integer import market_split

    program, _ = market_split(5, 40, slack=True)
    with pytest.warns(co.CausaloptWarning, match="time limit"):
        result = co.solve(program, nonlinear, time_limit=0.5)
    assert result.status.limit is Limit.TIME and result.timing.solve < 20


def test_local_solvers_prove_nothing():
    for name in ("ipopt", "conopt", "knitro"):
        backend = PyomoBackend(name)
        assert backend.known.local and co.ProblemClass.MILP not in backend.classes
    answer = type("Answer", (), {})()
    answer.solver = type("Part", (), {"termination_condition": "infeasible", "status": None})()
    answer.solution = []
    assert PyomoBackend("ipopt")._extract(None, [], answer).termination.reason is Reason.NO_SOLUTION
    assert PyomoBackend("cbc")._extract(None, [], answer).termination.reason is Reason.INFEASIBLE


def test_backends_can_be_sent_to_another_process():
    again = pickle.loads(pickle.dumps(get_backend("pyomo:highs")))
    program = co.Program.from_arrays([2, 3], [[1, 1], [1, 3]], row_lower=[4, 6])
    assert again.solve(program, SolveOptions()).objective == pytest.approx(9)
    assert co.solve(program, "pyomo:highs", isolate=True).objective == pytest.approx(9)


def test_isolation_does_not_apply_to_a_model_itself():
    with pytest.warns(co.CausaloptWarning, match="isolate had no effect"):
        assert co.solve(cover(), "pyomo:highs", isolate=True).objective == pytest.approx(9)


def test_the_licence_of_the_same_solver_counts():
    backend = PyomoBackend("gurobi")
    if not backend.is_installed() or backend.license().kind != "restricted":
        pytest.skip("Gurobi is not here with its restricted licence")
    program = co.Program.from_arrays(np.ones(201), np.ones((1, 201)), 1, Q=np.eye(201))
    with pytest.raises(LicenseError, match=r"pyomo:gurobi cannot take this model.*200 variables"):
        co.solve(program, "pyomo:gurobi")
