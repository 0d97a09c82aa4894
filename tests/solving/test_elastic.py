import itertools

import numpy as np
import pyomo.environ as pyo
import pytest
import scipy.sparse as sp

import causalopt as co
from causalopt.errors import InfeasibleError
from causalopt.solving.backend import installed_backends
from causalopt.solving.elastic import elastic_backend, elastic_program, least_relaxation, widened
from causalopt.verifying.claims import Proof
from causalopt.verifying.feasibility import is_feasible

SOLVERS = [b.name for b in installed_backends() if b.name in ("highs", "scip", "gurobi", "cplex")]


def violations(program, x):
    activity = program.A @ x
    return np.maximum(np.maximum(program.row_lower - activity, activity - program.row_upper), 0.0)


def grid_program(seed):
    """Whole numbers from 0 to 3, and rows that no point of the grid may meet."""
    rng = np.random.default_rng(seed)
    matrix = rng.integers(-3, 4, (4, 3)).astype(float)
    matrix[:, 0] = np.where((matrix == 0).all(axis=1), 1.0, matrix[:, 0])
    middle = rng.uniform(-8, 8, 4)
    half = rng.choice([0.0, 0.3, np.inf], 4, p=[0.5, 0.3, 0.2])
    lower = np.where(np.isfinite(half), middle - half, middle)
    return co.Program.from_arrays([1.0, 0.0, 2.0], matrix, lower, middle + half, 0.0, 3.0, integer=True)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_least_change_of_intervals_is_that_at_their_ends(solver):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        at_least, at_most = rng.normal(1, 1, 4), rng.normal(-1, 1, 3)
        rows = np.ones((7, 1))
        program = co.Program.from_arrays(
            [0.0],
            rows,
            np.append(at_least, [-np.inf] * 3),
            np.append([np.inf] * 4, at_most),
            -np.inf,
            np.inf,
        )
        ends = np.concatenate([at_least, at_most])  # convex and piecewise linear: least at an end
        best = min(np.maximum(at_least - x, 0).sum() + np.maximum(x - at_most, 0).sum() for x in ends)
        found = least_relaxation(program, sp.eye_array(7), solver=solver)
        assert found.total == pytest.approx(best, abs=1e-7) and found.is_least
        assert found.result.solver == solver and found.result.verification.proof is Proof.CERTIFIED
        common = least_relaxation(program, np.ones((7, 1)), solver=solver)
        assert common.total == pytest.approx(max((at_least.max() - at_most.min()) / 2, 0.0), abs=1e-7)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_least_change_with_whole_numbers_equals_enumeration(solver):
    integrality_matters = 0
    for seed in range(12):
        program = grid_program(seed)
        size = abs(program.A).max(axis=1).toarray().ravel()
        best = min(
            (violations(program, np.array(x, float)) / size).sum() for x in itertools.product(range(4), repeat=3)
        )
        found = co.explain_infeasibility(program, solver)
        assert found.total == pytest.approx(best, abs=1e-6)
        assert found.without_integrality <= found.total + 1e-7
        assert bool(found) == (best > 1e-9)
        assert found.table["gives way by"].sum() == pytest.approx(violations(program, found.x).sum(), abs=1e-6)
        integrality_matters += found.without_integrality < found.total - 1e-6
    assert integrality_matters


def test_whole_numbers_that_stand_in_the_way_are_said_to():
    program = co.Program.from_arrays([0.0], [[2.0]], 1.0, 1.0, 0.0, 3.0, integer=True)
    found = co.explain_infeasibility(program)
    assert found.without_integrality == 0 and found.total == pytest.approx(0.5)
    assert "whole numbers that stand in the way" in found.words and found.proof is Proof.CLAIMED
    assert found.table.loc[0, "gives way by"] == pytest.approx(1.0)


def test_the_widened_program_is_feasible_and_a_little_less_is_not():
    rng = np.random.default_rng(3)
    program = co.Program.from_arrays(np.zeros(5), rng.normal(size=(12, 5)), rng.normal(size=12) + 1, np.inf, -1.0, 1.0)
    give = sp.csr_matrix(rng.uniform(0.5, 2.0, (12, 3)) * (rng.random((12, 3)) < 0.7))
    give = give + sp.csr_matrix(np.ones((12, 1)) * [[0.1, 0, 0]])
    found = least_relaxation(program, give, np.array([1.0, 2.0, 0.5]))
    assert found.total > 0 and is_feasible(widened(program, give, found.extra), found.x)
    assert co.solve(widened(program, give, found.extra * 1.0001 + 1e-9), "highs").is_optimal
    again = elastic_program(program, give, np.array([1.0, 2.0, 0.5]))
    budget = sp.csr_matrix(np.append(np.zeros(again.n_columns - 3), [1.0, 2.0, 0.5])[None, :])
    short = again.replace(
        A=sp.vstack([again.A, budget], format="csr"),
        row_lower=np.append(again.row_lower, -np.inf),
        row_upper=np.append(again.row_upper, found.total * 0.999),
    )
    assert co.solve(short, "highs").status.reason.value == "infeasible"


def test_changes_that_do_not_help_are_no_relaxation():
    program = co.Program.from_arrays([0.0], [[1.0], [1.0]], [3.0, -np.inf], [np.inf, 1.0], -np.inf, np.inf)
    assert least_relaxation(program, np.array([[1.0], [0.0]])).total == pytest.approx(2.0)
    assert least_relaxation(program, np.zeros((2, 1))) is None
    assert least_relaxation(program, np.eye(2), upper=[0.0, np.inf]).extra == pytest.approx([0.0, 2.0])
    assert least_relaxation(program, np.eye(2), upper=0.5) is None


def test_a_solver_that_is_a_fast_path_or_does_not_take_the_program_is_stood_in_for():
    program = grid_program(0)
    assert elastic_backend(program, "dual-newton").name == elastic_backend(program, "auto").name
    assert elastic_backend(program, "highs").name == "highs"


# ---- models ----


def test_constraints_are_named_as_in_the_model():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(["a", "b"], bounds=(0, 4))
    m.inner = pyo.Block()
    m.inner.total = pyo.Constraint(expr=m.x["a"] + m.x["b"] <= 5)
    m.demand = pyo.Constraint(["a", "b"], rule=lambda m, k: m.x[k] >= {"a": 7, "b": 1}[k])
    m.cost = pyo.Objective(expr=m.x["a"] ** 2, sense=pyo.maximize)
    found = co.explain_infeasibility(m)
    assert found.table.values.tolist() == [["demand", "a", "lower", 7.0, pytest.approx(4.0), pytest.approx(3.0)]]
    assert found and "demand" in str(found) and "certified by causalopt" in found.words
    m.demand["a"].deactivate()
    fine = co.explain_infeasibility(m)
    assert not fine and fine.total == 0 and str(fine) == "All constraints can be met: nothing has to give way."


def test_a_model_needs_no_objective_and_any_number_of_them_plays_no_part():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(["a", "b"], bounds=(0, 4))
    m.demand = pyo.Constraint(["a", "b"], rule=lambda m, k: m.x[k] >= {"a": 7, "b": 1}[k])
    expected = [["demand", "a", "lower", 7.0, pytest.approx(4.0), pytest.approx(3.0)]]
    assert co.explain_infeasibility(m).table.values.tolist() == expected
    m.first = pyo.Objective(expr=m.x["a"])
    m.second = pyo.Objective(expr=pyo.exp(m.x["b"]), sense=pyo.maximize)
    assert co.explain_infeasibility(m).table.values.tolist() == expected
    problem = co.BalanceProblem(np.arange(12.0).reshape(6, 2) % 5, [0, 1] * 3, tolerance=9.0)
    m = pyo.ConcreteModel()
    problem.attach(m)  # a cost, but no objective
    assert not co.explain_infeasibility(m)
    m.cap = pyo.Constraint(expr=m.weights[0] + m.weights[1] + m.weights[2] <= 1)
    found = co.explain_infeasibility(m)
    assert found.total == pytest.approx(2.0) and set(found.table["constraint"]) <= {"cap", "balance"}


def test_constraints_and_variables_that_contradict_themselves_are_named_with_their_numbers():
    m = pyo.ConcreteModel()
    m.least = pyo.Param(["a", "b"], initialize={"a": 5.25, "b": 1.0}, mutable=True)
    m.x = pyo.Var(["a", "b"], bounds=(0, 40))
    m.band = pyo.Constraint(["a", "b"], rule=lambda m, k: (m.least[k], m.x[k], 3))
    m.total = pyo.Constraint(expr=2 * m.x["a"] + m.x["b"] <= 60)
    found = co.explain_infeasibility(m)
    assert "band[a] contradicts itself: its lower bound 5.25 exceeds its upper bound 3." in found.words
    assert "band[b]" not in found.words and "allow more time" not in found.words
    assert found.total == pytest.approx(2.25) and found.proof is Proof.CERTIFIED
    assert set(found.table["constraint"]) == {"band"} and set(found.table["index"]) == {"a"}
    assert found.table["gives way by"].sum() == pytest.approx(2.25)
    m.x["b"].setlb(50)
    m.n = pyo.Var(bounds=(0.2, 0.7), within=pyo.Integers)
    words = co.explain_infeasibility(m).words
    assert "x[b] contradicts itself: its lower bound 50 exceeds its upper bound 40." in words
    assert "n contradicts itself: no whole number lies between its bounds 0.2 and 0.7." in words


def test_a_row_of_a_program_that_contradicts_itself_gives_way_on_either_side():
    program = co.Program.from_arrays([0.0], [[2.0], [1.0]], [3.0, -np.inf], [1.0, 0.0], -np.inf, np.inf)
    found = co.explain_infeasibility(program, "highs")
    # At x = 0 only 2x >= 3 gives way, by 3 over its coefficient 2; every x up to 0.5 costs as much.
    assert found.total == pytest.approx(1.5)
    assert "row[0] contradicts itself: its lower bound 3 exceeds its upper bound 1." in found.words
    wide = {"row_lower": program.row_lower.copy(), "row_upper": program.row_upper.copy()}
    for _, row in found.table.iterrows():
        assert row["asked"] == wide["row_" + row["side"]][row["index"]]
        wide["row_" + row["side"]][row["index"]] = row["needed"]
    assert co.solve(program.replace(**wide), "highs").is_optimal


def test_many_contradictions_are_counted():
    program = co.Program.from_arrays(np.zeros(6), np.eye(6), 2.0, 1.0)
    words = co.explain_infeasibility(program).words
    assert words.count("contradicts itself") == 3 and "So do 3 more." in words


@pytest.mark.parametrize("lower, upper", [(np.inf, np.inf), (-np.inf, -np.inf)])
def test_a_row_that_asks_for_infinity_is_refused_by_name(lower, upper):
    with pytest.raises(co.DataError, match=r"Row 1 has to be at (least|most) -?inf"):
        co.Program.from_arrays([0.0], [[1.0], [1.0]], [0.0, lower], [1.0, upper])
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.far = pyo.Constraint(expr=m.x >= 1e21 if lower > 0 else m.x <= -1e21)
    m.o = pyo.Objective(expr=m.x)
    with pytest.raises(co.DataError, match=r"far has to be at (least|most) -?1e\+21"):
        co.explain_infeasibility(m)


def test_array_constraints_and_those_added_by_the_user_are_named_by_position():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    problem = co.BalanceProblem(x, rng.permutation(np.repeat([0, 1], 30)), tolerance=0.1)
    m = pyo.ConcreteModel()
    m.study = pyo.Block()
    problem.attach(m.study)
    m.cap = pyo.Constraint(expr=sum(m.study.weights[i] for i in range(25)) <= 2)
    m.floor = pyo.Constraint(expr=sum(m.study.weights[i] for i in range(20)) >= 9)
    m.cost = pyo.Objective(expr=m.study.cost)
    assert co.solve(m, "highs").status.reason.value == "infeasible"
    found = co.explain_infeasibility(m, "highs")
    assert set(found.table["constraint"]) <= {"cap", "floor", "study.balance"}
    assert found.total == pytest.approx(7.0)
    widened_model = {"cap": 2.0, "floor": 9.0}
    for _, row in found.table.iterrows():
        widened_model[row["constraint"]] = row["needed"]
    m.del_component(m.cap), m.del_component(m.floor)
    m.cap = pyo.Constraint(expr=sum(m.study.weights[i] for i in range(25)) <= widened_model["cap"] + 1e-6)
    m.floor = pyo.Constraint(expr=sum(m.study.weights[i] for i in range(20)) >= widened_model["floor"] - 1e-6)
    assert co.solve(m, "highs").is_optimal


def test_bounds_that_contradict_themselves_are_listed_and_the_advice_does():
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2], bounds=(3, 1))
    m.n = pyo.Var(bounds=(0.2, 0.7), within=pyo.Integers)
    m.c = pyo.Constraint(expr=m.x[1] + m.x[2] + m.n >= 0)
    m.o = pyo.Objective(expr=m.n)
    found = co.explain_infeasibility(m)
    assert {(r["constraint"], r["index"]) for _, r in found.table.iterrows()} == {("x", 1), ("x", 2), ("n", "")}
    assert found.total == pytest.approx(2 + 2 + 0.2) and found.without_integrality == pytest.approx(4)
    assert "No point meets all constraints and bounds of variables" in found.words
    for _, row in found.table.iterrows():
        variable = m.n if row["constraint"] == "n" else m.x[row["index"]]
        assert row["asked"] == (variable.lb if row["side"] == "lower" else variable.ub)
        (variable.setlb if row["side"] == "lower" else variable.setub)(row["needed"])
    assert co.solve(m, "highs").is_optimal


def test_bounds_that_contradict_themselves_give_way_least_by_enumeration():
    """Bounds count as rows of one coefficient: in whole numbers, and crossed for numbers of any kind."""
    both_sides = rows_too = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        matrix = rng.integers(-2, 3, (2, 3)).astype(float)
        matrix[:, 0] = np.where((matrix == 0).all(axis=1), 1.0, matrix[:, 0])
        row_lower, row_upper = np.array([rng.integers(2, 9), -np.inf]), np.array([np.inf, rng.integers(-9, 3)])
        lower = np.array([rng.choice([0.4, 1.2, 4.0]), rng.choice([0.3, 3.0]), 0.0])
        upper = np.array([rng.choice([0.6, 1.9, 1.0]), rng.choice([0.8, 1.0]), 3.0])
        program = co.Program.from_arrays([0.0] * 3, matrix, row_lower, row_upper, lower, upper, integer=True)
        size = abs(matrix).max(axis=1)
        crossed = np.array([*(np.ceil(lower[:2]) > np.floor(upper[:2])), False])
        if not crossed.any():
            continue
        best = np.inf
        for x in itertools.product(range(-8, 13), range(-8, 13), range(4)):
            out = np.maximum(lower - x, 0) + np.maximum(np.array(x) - upper, 0)
            if not out[~crossed].any():
                best = min(best, out.sum() + (violations(program, np.array(x, float)) / size).sum())
        found = co.explain_infeasibility(program, "highs")
        assert found.total == pytest.approx(best, abs=1e-6) and found.proof is Proof.CLAIMED
        wide = {"lower": lower.copy(), "upper": upper.copy(), "row_lower": row_lower, "row_upper": row_upper}
        for _, row in found.table.iterrows():
            wide[("" if row["constraint"] == "column" else "row_") + row["side"]][int(row["index"])] = row["needed"]
        assert co.solve(program.replace(**wide), "highs").is_optimal
        both_sides += found.table[found.table["constraint"] == "column"].duplicated(["index"]).any()
        rows_too += (found.table["constraint"] == "row").any()
    assert both_sides and rows_too


@pytest.mark.parametrize("stop", [("no solution", None), ("feasible", 0.0)], ids=["without a point", "with a point"])
def test_a_continuous_search_that_a_limit_stops_says_nothing_of_fractions(monkeypatch, stop):
    import dataclasses

    from causalopt.solving import elastic
    from causalopt.verifying.claims import Limit, Reason, Termination

    reason, objective = Reason(stop[0]), stop[1]

    solved = elastic.solve_program

    def stopped(program, *arguments, **options):
        result = solved(program, *arguments, **options)
        if program.integer.any():
            return result
        return dataclasses.replace(result, status=Termination(reason, Limit.TIME), x=None, objective=objective)

    rows = [[2.0], [1.0], [1.0]]
    program = co.Program.from_arrays([0.0], rows, [3.0, 5.0, -np.inf], [3.0, np.inf, 1.0], integer=True)
    assert co.explain_infeasibility(program, "highs").without_integrality > 1  # fractions do not help here
    monkeypatch.setattr(elastic, "solve_program", stopped)
    found = co.explain_infeasibility(program, "highs")
    assert np.isnan(found.without_integrality) and "fractions" not in found.words
    assert "Without whole numbers" not in found.words and found.total > 1


def test_a_search_that_a_limit_stops_does_not_claim_to_be_least(monkeypatch):
    import dataclasses

    from causalopt.solving import elastic
    from causalopt.verifying.claims import Limit, Reason, Termination

    solved = elastic.solve_program

    def stopped(*arguments, **options):
        result = solved(*arguments, **options)
        return dataclasses.replace(result, status=Termination(Reason.FEASIBLE, Limit.TIME))

    monkeypatch.setattr(elastic, "solve_program", stopped)
    found = co.explain_infeasibility(co.Program.from_arrays([0.0], [[1.0], [1.0]], [3.0, -np.inf], [np.inf, 1.0]))
    assert found.proof is Proof.NONE and "A limit stopped the search" in found.words


def test_a_nonlinear_model_is_refused_with_its_constraint():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.curve = pyo.Constraint(expr=m.x**3 >= 2)
    m.o = pyo.Objective(expr=m.x)
    with pytest.raises(co.UnsupportedProblem, match="curve"):
        co.explain_infeasibility(m)


def test_an_explanation_is_computed_when_first_looked_at_and_once():
    calls = []

    def why():
        calls.append(1)
        return "because"

    error = InfeasibleError("No.", why)
    assert not calls and str(error) == "No."
    assert error.explanation == error.explanation == "because" and len(calls) == 1
    assert InfeasibleError("No.", "plain").explanation == "plain" and InfeasibleError("No.").explanation is None


def test_a_point_that_does_not_meet_the_widened_rows_is_refused(monkeypatch):
    from causalopt.solving import elastic

    solved = elastic.solve_program

    def liar(*arguments, **options):
        result = solved(*arguments, **options)
        return result.replace(x=np.concatenate([result.x[:-2], 0.5 * result.x[-2:]]))

    monkeypatch.setattr(elastic, "solve_program", liar)
    program = co.Program.from_arrays([0.0], [[1.0], [1.0]], [3.0, -np.inf], [np.inf, 1.0])
    with pytest.raises(co.VerificationError, match="its point violates the widened rows"):
        co.explain_infeasibility(program)


def test_a_real_time_limit_gives_a_change_that_does_or_says_that_none_was_found():
    rng = np.random.default_rng(0)
    n, m = 60, 40
    matrix = rng.integers(1, 100, (m, n)).astype(float)
    target = np.floor(matrix.sum(axis=1) / 2) + 0.5
    program = co.Program.from_arrays(np.zeros(n), matrix, target, target, 0.0, 1.0, integer=True)
    try:
        found = co.explain_infeasibility(program, "highs", time_limit=0.5)
    except co.DataError as error:
        assert "allow more time" in str(error)
        return
    assert found.proof is Proof.NONE and "A limit stopped the search" in found.words
    assert found.without_integrality == pytest.approx(0, abs=1e-6)
    assert "whole numbers that stand in the way" in found.words
    assert found.table["gives way by"].sum() == pytest.approx(violations(program, found.x).sum(), abs=1e-4)
