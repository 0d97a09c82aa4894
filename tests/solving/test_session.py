import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import causalopt as co
from causalopt.solving.backend import installed_backends
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Reason


def assignment(n, seed=0):
    cells = np.arange(n * n)
    rows = np.column_stack([cells // n, n + cells % n]).ravel()
    matrix = sp.csc_matrix((np.ones(2 * n * n), rows, np.arange(0, 2 * n * n + 1, 2)), shape=(2 * n, n * n))
    return co.Program.from_arrays(np.random.default_rng(seed).random(n * n), matrix, 1.0, 1.0, 0.0, 1.0)


LIVE = [b.name for b in installed_backends() if b.session(assignment(3), SolveOptions()) is not None]


@pytest.mark.parametrize("solver", LIVE)
def test_new_costs_bounds_and_sides_give_what_a_cold_solve_gives(solver):
    program = assignment(8)
    rng = np.random.default_rng(1)
    changes = [
        {"c": rng.random(64)},
        {"upper": np.where(rng.random(64) < 0.1, 0.0, 1.0)},
        {"row_lower": 0.9, "row_upper": 1.1},
        {"c": rng.random(64), "lower": 0.0, "upper": 1.0},
        {},
    ]
    current = program
    with co.session(program, solver) as session:
        assert session.memory
        for change in changes:
            current = current.replace(**{k: np.broadcast_to(v, getattr(current, k).shape) for k, v in change.items()})
            warm, cold = session.solve(**change), co.solve(current, solver)
            assert warm.status.reason is cold.status.reason is Reason.OPTIMAL
            assert warm.objective == pytest.approx(cold.objective, abs=1e-8)
            assert warm.verification.passed and not warm.warnings


@pytest.mark.parametrize("solver", LIVE)
def test_infeasible_and_feasible_again(solver):
    program = assignment(4)
    with co.session(program, solver) as session:
        assert session.solve().is_optimal
        assert session.solve(upper=0.1).status.reason is Reason.INFEASIBLE
        assert session.solve(upper=1.0).is_optimal


def test_a_warm_sweep_takes_fewer_iterations_than_cold_solves(monkeypatch):
    import causalopt_highs

    counts = []
    original = causalopt_highs._extract

    def counted(*arguments):
        solution = original(*arguments)
        counts.append(solution.iterations)
        return solution

    monkeypatch.setattr(causalopt_highs, "_extract", counted)
    program = assignment(40)
    direction = np.random.default_rng(2).random(program.n_columns)
    with co.session(program, "highs") as session:
        for k in range(10):
            session.solve(c=program.c + 0.002 * k * direction)
    warm = sum(counts[1:])
    counts.clear()
    for k in range(1, 10):
        co.solve(program.replace(c=program.c + 0.002 * k * direction), "highs", options={"presolve": "off"})
    assert warm < 0.5 * sum(counts)


def test_a_program_without_live_model_says_so_and_still_solves():
    program = co.Program.from_arrays([-1.0, -1.0], [[1.0, 1.0]], -np.inf, 1.5, 0, 1, integer=True)
    with pytest.warns(co.CausaloptWarning, match="starts afresh"):
        session = co.session(program, "highs")
    assert session.memory == ""
    assert session.solve().objective == -1
    assert session.solve(row_upper=2.0).objective == -2
    session.close()


def test_a_closed_session_is_refused():
    session = co.session(assignment(3), "highs")
    session.close()
    session.close()
    with pytest.raises(co.DataError, match="closed"):
        session.solve()


def test_changes_of_wrong_name_shape_or_value_are_refused_and_change_nothing():
    program = assignment(3)
    with co.session(program, "highs") as session:
        before = session.solve().objective
        with pytest.raises(co.DataError, match=r"row_upper has shape \(5,\); the program needs \(6,\)"):
            session.solve(row_upper=np.ones(5))
        with pytest.raises(co.DataError, match="can change c, lower"):
            session.solve(Q=np.ones(9))
        with pytest.raises(co.DataError, match="c holds values that are not finite"):
            session.solve(c=np.full(9, np.inf))
        for name in ("c", "lower", "row_upper"):
            with pytest.raises(co.DataError, match=f"{name} holds NaN"):
                session.solve(**{name: np.nan})
        assert session.solve().objective == before


def test_an_answer_of_the_live_model_that_fails_verification_is_solved_afresh(monkeypatch):
    import causalopt_highs

    with co.session(assignment(4), "highs") as session:
        truth = session.solve().objective
        original = causalopt_highs._LiveHighs.solve

        def lies(self, program, options):
            return original(self, program, options).replace(objective=-1.0)

        monkeypatch.setattr(causalopt_highs._LiveHighs, "solve", lies)
        result = session.solve()
    assert result.objective == pytest.approx(truth)
    assert any("Solved afresh" in note and "claimed objective" in note for note in result.warnings)


def test_a_time_limit_is_for_each_solve_not_for_the_session():
    program = assignment(60)
    rng = np.random.default_rng(3)
    with co.session(program, "highs", time_limit=5.0) as session:
        for _ in range(3):
            assert session.solve(c=rng.random(program.n_columns)).is_optimal


def test_sessions_open_on_models_and_problems_too():
    import pyomo.environ as pyo

    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(0, 1))
    m.o = pyo.Objective(expr=-m.x)
    with co.session(m, "highs") as session:
        assert session.solve(upper=3.0).objective == -3
    rng = np.random.default_rng(0)
    problem = co.BalanceProblem(rng.normal(size=(60, 2)), np.arange(60) % 2, norm="l1")
    with co.session(problem, "highs") as session:
        assert session.solve().is_optimal


def test_a_fast_path_keeps_no_session():
    data = pd.DataFrame({"x": [0.0, 1.0, 2.0, 1.0, 1.5]})
    problem = co.BalanceProblem(data, pd.Series([0, 0, 0, 1, 1]), tolerance=0.1)
    with pytest.raises(co.SolverNotAvailable, match="dual-newton is a fast path, and fast paths keep no session"):
        co.session(problem, "dual-newton")
    with pytest.warns(co.CausaloptWarning, match="keeps nothing"), co.session(problem, "highs") as session:
        assert session.solve().is_optimal


def test_a_live_model_that_raises_an_error_of_its_own_is_solved_afresh(monkeypatch):
    import causalopt_highs

    def broken(*args):
        raise ValueError("torn")

    monkeypatch.setattr(causalopt_highs._LiveHighs, "solve", broken)
    with co.session(assignment(3), "highs") as session:
        result = session.solve()
    assert result.is_optimal
    assert "ValueError: torn" in result.warnings[-1]
