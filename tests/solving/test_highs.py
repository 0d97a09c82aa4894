"""HiGHS behind arrays: its statuses, multipliers, options and methods."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import causalopt_highs
import numpy as np
import pytest
from causalopt_highs import HighsBackend
from liars import Liar, infeasible, only_feasible, optimal_at_a_limit, unbounded, wrong_objective
from planted import best_by_enumeration, planted

import causalopt as co
from causalopt.errors import (
    CausaloptWarning,
    DataError,
    OptionError,
    SolverFailure,
    UnsupportedProblem,
    VerificationError,
)
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.attempts import solve_program
from causalopt.solving.backend import installed_backends
from causalopt.solving.options import SolveOptions
from causalopt.solving.trying.reduce import reduce
from causalopt.verifying.claims import Limit, Proof, Reason, Termination

HIGHS = HighsBackend()
INF = np.inf
LP_METHODS, QP_METHODS = ("simplex", "ipx"), ("hipo", "hipo tight", "active set")
each_sense = pytest.mark.parametrize("maximize", [False, True], ids=["minimise", "maximise"])


def run(program, method=None, **options):
    solver_options = options.pop("options", {})
    chosen = SolveOptions(**options, solver_options=solver_options)
    return HIGHS.solve(program, chosen, method or HIGHS.methods(program, chosen)[0])


def lane(program, **options):
    solver_options = options.pop("options", {})
    return solve_program(program, HIGHS, SolveOptions(**options, solver_options=solver_options))


def market_split(rows=5, slack=False):
    """Cornuejols and Dawande (1998): tiny, and out of reach of branch and bound. With slack, any point is feasible."""
    rng = np.random.default_rng(0)
    n = 10 * (rows - 1)
    A = rng.integers(0, 100, (rows, n)).astype(float)
    half = A.sum(axis=1) // 2
    if not slack:
        return Program.from_arrays(np.ones(n), A, half, half, 0.0, 1.0, integer=True)
    return Program.from_arrays(
        np.concatenate([np.zeros(n), np.ones(2 * rows)]),
        np.hstack([A, np.eye(rows), -np.eye(rows)]),
        half,
        half,
        0.0,
        np.concatenate([np.ones(n), np.full(2 * rows, INF)]),
        integer=np.arange(n + 2 * rows) < n,
    )


def knapsacks(n=40, rows=8):
    rng = np.random.default_rng(0)
    A = rng.integers(5, 40, (rows, n)).astype(float)
    worth = rng.integers(10, 50, n).astype(float)
    return Program.from_arrays(worth, A, -INF, A.sum(axis=1) // 3, 0.0, 1.0, integer=True, maximize=True)


def random_qp(n, m, seed=0):
    rng = np.random.default_rng(seed)
    G = rng.normal(size=(n, n))
    return Program.from_arrays(rng.normal(size=n), rng.normal(size=(m, n)), -1.0, 1.0, -1.0, 1.0, Q=G @ G.T)


LP = Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], 1.0)
MILP = LP.replace(integer=np.ones(2, dtype=bool))
QP = Program.from_arrays([-4.0, 0.0], [[1.0, 1.0]], 1.0, Q=[[2.0, 1.0], [1.0, 2.0]])
BASES = {"LP": LP, "MILP": MILP, "convex QP": QP}

# --- statuses


@pytest.mark.parametrize(("name", "optimum"), [("LP", 1.0), ("MILP", 1.0), ("convex QP", -4.0)])
def test_optimal(name, optimum):
    program = BASES[name]
    assert program.problem_class == name
    result = lane(program)
    assert result.is_optimal
    assert result.objective == pytest.approx(optimum, abs=1e-8)
    assert result.bound == pytest.approx(optimum, abs=1e-7)
    assert result.verification.proof is (Proof.CLAIMED if name == "MILP" else Proof.CERTIFIED)


@pytest.mark.parametrize("name", BASES)
def test_infeasible(name):
    program = BASES[name].replace(
        A=Program.from_arrays([0.0, 0.0], [[1.0, 1.0], [1.0, 2.0]]).A,
        row_lower=np.array([3.0, -INF]),
        row_upper=np.array([INF, 2.0]),
    )
    result = lane(program)
    assert result.status.reason is Reason.INFEASIBLE
    assert not result
    assert (result.x, result.objective, result.bound, result.gap) == (None, None, None, None)


def test_an_integer_program_whose_relaxation_is_feasible_is_infeasible():
    program = Program.from_arrays([1.0, 1.0], [[2.0, 2.0]], 1.0, 1.0, 0.0, 5.0, integer=True)
    assert best_by_enumeration(program) is None
    assert lane(program).status.reason is Reason.INFEASIBLE


UNBOUNDED = {
    "LP": Program.from_arrays([-1.0, -2.0], [[1.0, -2.0]], -5.0),
    "MILP": Program.from_arrays([-1.0, -1.0], [[1.0, -1.0]], -1.0, 1.0, integer=True),
    "one direction without curvature": Program.from_arrays([-1.0, -1.0], [[1.0, 1.0]], 0.0, Q=np.diag([1.0, 0.0])),
    "a hidden direction without curvature": Program.from_arrays(
        [-1.0, -2.0], [[1.0, 2.0]], -5.0, INF, -INF, INF, Q=[[1.0, 1.0], [1.0, 1.0]]
    ),
}


@pytest.mark.parametrize("name", UNBOUNDED)
@each_sense
def test_unbounded(name, maximize):
    program = UNBOUNDED[name]
    if maximize:
        program = program.replace(c=-program.c, Q=None if program.Q is None else -program.Q, maximize=True)
    result = lane(program)
    assert result.status.reason is Reason.UNBOUNDED
    assert not result
    assert result.x is None


SAY_SO = {"allow_unbounded_or_infeasible": True}


def test_infeasible_or_unbounded_is_settled_as_unbounded_where_a_point_exists():
    unbounded = Program.from_arrays([-1.0, -1.0], [[1.0, -1.0]], 0.0, 1.0)
    undecided = run(unbounded, options=SAY_SO)
    assert undecided.termination.reason is Reason.NO_SOLUTION
    assert undecided.termination.raw == "Primal infeasible or unbounded"
    result = lane(unbounded, options=SAY_SO)
    assert result.status.reason is Reason.UNBOUNDED
    assert "settled" in result.status.raw


def test_infeasible_or_unbounded_is_settled_as_infeasible_where_no_point_exists():
    A = [[1.0, -1.0, 0.0, 0.0], [-1.0, 1.0, 0.5, 0.0], [0.0, 0.0, 1.0, -1.0], [0.3, -0.3, -1.0, 1.0]]
    program = Program.from_arrays([-1.0, -1.0, -1.0, -1.0], A, [1.0, 1.0, 1.0, 1.0], INF)
    # rows 3 and 4 give x0 - x1 >= 6.7, rows 1 and 2 leave room: feasible and unbounded until row 5 closes it
    closed = Program.from_arrays(program.c, [*A, [-1.0, 1.0, 0.0, 0.0]], [*program.row_lower, -3.0], INF)
    assert lane(program, options=SAY_SO).status.reason is Reason.UNBOUNDED
    assert lane(closed, options=SAY_SO | {"presolve": "off"}).status.reason is Reason.INFEASIBLE


@each_sense
def test_an_infeasible_qp_is_infeasible_whichever_method_runs(maximize):
    program = random_qp(5, 3)
    A = np.vstack([program.A.toarray(), program.A.toarray()[:2].sum(axis=0)])  # at most 2, and now at least 3
    sign = -1.0 if maximize else 1.0
    program = program.replace(
        c=sign * program.c,
        Q=sign * program.Q,
        A=Program.from_arrays(program.c, A).A,
        row_lower=np.append(program.row_lower, 3.0),
        row_upper=np.append(program.row_upper, INF),
        maximize=maximize,
    )
    assert lane(program).status.reason is Reason.INFEASIBLE
    for method in QP_METHODS:
        assert not run(program, method).termination.has_solution


def test_a_qp_that_one_method_wrongly_calls_infeasible_is_given_to_the_next():
    result = solve_program(QP, Liar(infeasible, lies_with=["hipo"]), SolveOptions())
    assert result.is_optimal
    assert result.method == "hipo tight"
    assert "settled by a solve without objective: it is not" in result.warnings[0]


def test_a_qp_that_one_method_wrongly_calls_unbounded_is_given_to_the_next():
    result = solve_program(QP, Liar(unbounded, lies_with=["hipo"]), SolveOptions())
    assert result.is_optimal
    assert result.method == "hipo tight"
    assert "settled by a solve without objective: it is not" in result.warnings[0]


def test_the_active_set_ends_where_it_goes_in_circles():
    # HiGHS 1.15.1 without a limit never ends on these three.
    rng = np.random.default_rng(51)
    instances = [planted(rng, ("diagonal", "dense")[i % 2], boxed=True, m=2) for i in range(235)]
    for i in (134, 226, 234):
        solution = run(reduce(instances[i].program)[0], "active set", time_limit=60.0)
        assert solution.termination.limit is not Limit.TIME


def test_a_time_limit_without_incumbent_has_no_solution():
    with pytest.warns(CausaloptWarning, match="stopped at its time limit without a solution"):
        result = lane(market_split(), time_limit=0.2)
    assert (result.status.reason, result.status.limit) == (Reason.NO_SOLUTION, Limit.TIME)
    assert not result
    assert result.x is None
    assert "not proven" in str(result.verification)


def test_a_time_limit_with_an_incumbent_keeps_it_with_its_gap():
    program = market_split(slack=True)
    start = np.concatenate([np.zeros(program.n_columns - 10), program.row_lower, np.zeros(5)])
    with pytest.warns(CausaloptWarning, match="stopped at its time limit with a gap of"):
        result = lane(program, time_limit=0.3, start=start)
    assert (result.status.reason, result.status.limit) == (Reason.FEASIBLE, Limit.TIME)
    assert program.objective(result.x) == pytest.approx(result.objective)
    assert 0.0 <= result.bound < result.objective <= program.objective(start)
    assert result.gap == pytest.approx((result.objective - result.bound) / result.objective)


def test_a_node_limit_stops_with_the_incumbent():
    with pytest.warns(CausaloptWarning, match="stopped at its nodes limit"):
        result = lane(market_split(slack=True), options={"mip_max_nodes": 1})
    assert (result.status.reason, result.status.limit) == (Reason.FEASIBLE, Limit.NODES)


def test_an_iteration_limit_before_the_first_feasible_point_has_no_solution():
    rng = np.random.default_rng(0)
    program = Program.from_arrays(rng.normal(size=60), rng.normal(size=(30, 60)), -1.0, 1.0, -1.0, 1.0)
    program = program.replace(row_lower=np.full(30, 0.5))
    assert lane(program).is_optimal
    with pytest.warns(CausaloptWarning, match="iterations limit"):
        result = lane(program, options={"simplex_iteration_limit": 1, "presolve": "off"})
    assert (result.status.reason, result.status.limit) == (Reason.NO_SOLUTION, Limit.ITERATIONS)


def test_a_zero_vector_reported_at_a_limit_is_no_incumbent():
    rng = np.random.default_rng(0)
    n = 50  # balancing weights that add up to one: zero is not among them, and HiPO calls it feasible
    A = np.vstack([np.ones(n), rng.normal(size=(20, n))])
    ends = np.concatenate([[0.0], np.full(20, 0.01)])
    target = np.concatenate([[1.0], np.zeros(20)])
    program = Program.from_arrays(np.zeros(n), A, target - ends, target + ends, 0.0, 1.0, Q=np.eye(n))
    for method in QP_METHODS:
        solution = run(program, method, time_limit=1e-9)
        assert solution.termination.limit is Limit.TIME
        if solution.termination.has_solution:
            assert (np.abs(A @ solution.x - target) <= ends + 1e-6).all()


def test_an_incumbent_at_the_optimum_is_optimal_although_a_limit_stopped_the_solver():
    def stopped(program, truth):
        return truth.replace(termination=Termination(Reason.FEASIBLE, Limit.ITERATIONS), row_dual=None)

    result = solve_program(QP, Liar(stopped), SolveOptions())
    assert (result.status.reason, result.status.limit) == (Reason.OPTIMAL, Limit.ITERATIONS)
    assert result.verification.proof is Proof.CERTIFIED


# --- trivial programs


def test_a_program_without_columns_is_its_constant():
    result = lane(Program.from_arrays([], constant=2.5))
    assert (result.is_optimal, result.objective, result.bound, len(result.x)) == (True, 2.5, 2.5, 0)
    rows = Program.from_arrays([], np.zeros((2, 0)), [-1.0, 0.0], [0.0, INF])
    assert lane(rows).is_optimal
    assert lane(rows.replace(row_lower=np.array([-1.0, 0.5]))).status.reason is Reason.INFEASIBLE


@pytest.mark.parametrize(("integer", "Q"), [(False, None), (True, None), (False, np.eye(2))])
def test_a_program_without_rows_is_its_bounds(integer, Q):
    program = Program.from_arrays([-3.0, 1.0], lower=[0.0, 0.25], upper=[2.0, 4.0], integer=integer, Q=Q, constant=1.0)
    result = lane(program)
    assert result.is_optimal
    assert result.x == pytest.approx([2.0, 1.0 if integer else 0.25], abs=1e-6)


@pytest.mark.parametrize("name", BASES)
def test_crossing_bounds_are_infeasible(name):
    program = BASES[name]
    assert lane(program.replace(lower=np.array([2.0, 0.0]), upper=np.array([1.0, 9.0]))).status.reason is (
        Reason.INFEASIBLE
    )
    assert lane(program.replace(row_upper=np.array([0.5]))).status.reason is Reason.INFEASIBLE


def test_an_objective_of_zero_is_solved():
    for program in BASES.values():
        result = lane(program.replace(c=np.zeros(2), Q=None))
        assert (result.is_optimal, result.objective, result.gap) == (True, 0.0, 0.0)


def test_rows_of_one_entry_give_the_same_answer_as_bounds():
    bounds = QP.replace(lower=np.array([0.5, 0.25]), upper=np.array([1.25, 3.0]))
    rows = Program.from_arrays(
        QP.c,
        [[1.0, 1.0], [2.0, 0.0], [0.0, -1.0]],
        [1.0, 1.0, -3.0],
        [INF, 2.5, -0.25],
        -INF,
        INF,
        Q=[[2.0, 1.0], [1.0, 2.0]],
    )
    expected = lane(bounds)
    result = lane(rows)
    assert result.x == pytest.approx(expected.x, abs=1e-7)
    assert result.objective == pytest.approx(expected.objective, abs=1e-7)
    # x0 is at its upper bound, made by row 2: its multiplier is the gradient, by the chain rule halved
    assert result.row_dual[1] == pytest.approx(QP.gradient(expected.x)[0] / 2.0, abs=1e-6)


# --- multipliers


def slope(program, row, method, step):
    """The central finite difference of the optimal value in the right-hand side of one row."""
    values = []
    for sign in (1.0, -1.0):
        lower, upper = program.row_lower.copy(), program.row_upper.copy()
        lower[row] += sign * step
        upper[row] += sign * step
        values.append(run(program.replace(row_lower=lower, row_upper=upper), method).objective)
    return (values[0] - values[1]) / (2.0 * step)


def nondegenerate(kind, maximize):
    rng = np.random.default_rng(50)
    n, m = 7, 5
    A, x = rng.normal(size=(m, n)), rng.random(n)
    G = rng.normal(size=(n, n))
    sign = -1.0 if maximize else 1.0
    lower = A @ x - np.array([0.0, 0.1, 0.1, 0.5, INF])
    upper = A @ x + np.array([0.0, 0.1, INF, 0.5, 0.1])
    Q = None if kind == "LP" else sign * (G @ G.T)
    return Program.from_arrays(sign * rng.normal(size=n), A, lower, upper, 0.0, 1.0, Q=Q, maximize=maximize)


@pytest.mark.parametrize(("kind", "method"), [("LP", m) for m in LP_METHODS] + [("QP", m) for m in QP_METHODS])
@each_sense
def test_multipliers_are_the_slopes_of_the_optimal_value(kind, method, maximize):
    program = nondegenerate(kind, maximize)
    exact = "simplex" if kind == "LP" else "hipo tight"
    slopes = np.array([slope(program, row, exact, 1e-3) for row in range(program.n_rows)])
    assert np.abs(slopes).max() > 0.1
    solution = run(program, method)
    assert solution.method == method
    np.testing.assert_allclose(solution.row_dual, slopes, atol=2e-5)
    np.testing.assert_allclose(lane(program).row_dual, slopes, atol=2e-5)


def test_integer_programs_have_no_multipliers():
    assert run(MILP).row_dual is None
    assert lane(MILP).row_dual is None


# --- problem classes


@each_sense
def test_every_method_finds_the_planted_optimum(maximize):
    rng = np.random.default_rng(51)
    for kind, methods in (("linear", LP_METHODS), ("diagonal", QP_METHODS), ("dense", QP_METHODS)):
        found = dict.fromkeys(methods, 0)
        for method, _ in itertools.product(methods, range(8)):
            instance = planted(rng, kind, maximize=maximize, boxed=True, m=2)
            reduced, _ = reduce(instance.program)  # HiPO stumbles over empty and open rows
            solution = run(reduced, method)
            found[method] += solution.objective == pytest.approx(instance.optimum, abs=1e-4)
        assert min(found.values()) >= 7  # none is perfect


def test_hipo_solves_a_concave_maximum_with_mixed_terms():
    # HiPO 1.15.1 negates only the diagonal of a maximised Hessian, unless it is given the minimum.
    program = Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], -INF, 1.0, -INF, INF, Q=[[-2, 1], [1, -2]], maximize=True)
    solution = run(program, "hipo")
    assert (solution.method, solution.termination.reason) == ("hipo", Reason.OPTIMAL)
    assert solution.x == pytest.approx([1 / 3, 2 / 3], abs=1e-7)
    assert solution.objective == pytest.approx(4 / 3, abs=1e-8)
    assert solution.row_dual == pytest.approx([1.0], abs=1e-6)
    assert lane(program).method == "hipo"


def able(problem_class):
    return [b.name for b in installed_backends() if problem_class in b.classes]


@pytest.mark.parametrize(
    ("change", "problem_class"),
    [
        ({"Q": [[0.0, 1.0], [1.0, 0.0]]}, ProblemClass.NONCONVEX_QP),
        ({"Q": -np.eye(2)}, ProblemClass.NONCONVEX_QP),
        ({"Q": np.eye(2), "maximize": True}, ProblemClass.NONCONVEX_QP),
        ({"Q": np.eye(2), "integer": True}, ProblemClass.CONVEX_MIQP),
        ({"Q": -np.eye(2), "integer": True}, ProblemClass.NONCONVEX_MIQP),
    ],
)
def test_what_highs_cannot_solve_is_refused_with_the_solvers_that_can(change, problem_class):
    program = Program.from_arrays([0.0, 0.0], lower=-1.0, upper=1.0, **change)
    assert program.problem_class is problem_class
    names = able(problem_class)
    others = f"Installed solvers that do: {', '.join(names)}." if names else "No installed solver does."
    with pytest.raises(UnsupportedProblem, match=f"highs does not solve a {problem_class}. {others}"):
        lane(program)


# --- options


@pytest.mark.parametrize(
    ("name", "near"), [("mip_relgap", "mip_rel_gap"), ("pre_solve", "presolve"), ("timelimit", "time_limit")]
)
def test_a_misspelled_option_is_an_error_that_names_the_right_one(name, near):
    with pytest.raises(OptionError, match=f"Unknown HiGHS option {name!r}. Did you mean .*{near!r}"):
        lane(LP, options={name: 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("presolve", "maybe"),
        ("presolve", True),
        ("solver", "hypo"),
        ("simplex_strategy", 99),
        ("mip_rel_gap", -1.0),
        ("mip_rel_gap", "small"),
        ("mip_max_nodes", 1.5),
        ("primal_feasibility_tolerance", None),
        ("primal_feasibility_tolerance", [1e-7]),
        ("threads", {}),
    ],
)
def test_a_value_that_highs_refuses_is_an_error(name, value):
    with pytest.raises(OptionError, match=f"HiGHS refuses .* for its option {name!r}"):
        lane(LP, options={name: value})


def test_an_option_name_that_is_not_a_word_is_an_error():
    with pytest.raises(OptionError, match="Unknown HiGHS option '7'"):
        lane(LP, options={7: 1})


def test_an_unknown_method_is_an_error_that_names_the_known_ones():
    with pytest.raises(OptionError, match=r"Unknown HiGHS method 'simplx'. Did you mean 'simplex'"):
        HIGHS.solve(LP, SolveOptions(), "simplx")


def test_options_in_the_solvers_own_names_take_effect():
    program = nondegenerate("LP", False)
    assert lane(program).method == "simplex"
    assert lane(program, options={"solver": "ipx"}).method == ""
    log = lane(program, options={"solver": "ipx", "presolve": "off"}, log=True).log
    assert "IPX" in log
    log = lane(program, options={"solver": "simplex", "presolve": "off"}, log=True).log
    assert "IPX" not in log


def test_a_start_is_used():
    program = market_split(slack=True)
    start = np.concatenate([np.zeros(program.n_columns - 10), program.row_lower, np.zeros(5)])
    nothing_else = {"mip_max_nodes": 0, "presolve": "off", "mip_heuristic_effort": 0.0}
    with_start = run(program, "mip", start=start, options=nothing_else)
    assert with_start.termination.reason is Reason.FEASIBLE
    assert with_start.objective == pytest.approx(program.objective(start))
    assert run(program, "mip", options=nothing_else).termination.reason is Reason.NO_SOLUTION


@pytest.mark.parametrize("start", [np.zeros(3), np.zeros(1), np.zeros((2, 1)), [0.0, np.nan], ["a", "b"], 0.0])
def test_a_start_of_the_wrong_shape_is_refused(start):
    apart = Program.from_arrays([-1.0, -1.0], None, 0.0, 1.5, integer=[True, False])
    for program in (*BASES.values(), apart):
        with pytest.raises(DataError, match="start must be 2 finite values, one per column"):
            lane(program, start=start)


def test_the_number_of_threads_can_change_within_one_process():
    program = knapsacks(n=25, rows=4)
    logs = []
    for threads in (1, 2, 1):
        result = lane(program, threads=threads, log=True, options={"parallel": "on"})
        assert result.is_optimal
        logs.append(result.log)
    assert "Thread count 2" in logs[1]
    assert "Thread count 1" in logs[0]
    assert "Thread count 1" in logs[2]


def test_a_seed_changes_the_path_and_the_same_seed_repeats_it():
    program = knapsacks()
    runs = [run(program, "mip", seed=seed, threads=1) for seed in (1, 2, 3, 4, 1)]
    iterations = [solution.iterations for solution in runs]
    assert len(set(iterations)) > 1
    assert iterations[0] == iterations[-1]
    assert len({round(solution.objective, 6) for solution in runs}) == 1


def test_a_log_is_kept_where_it_is_asked_for_and_never_printed(capfd):
    for program in BASES.values():
        assert lane(program).log == ""
        assert "HiGHS" in lane(program, log=True).log
    assert capfd.readouterr().out == ""


def test_the_gap_is_respected():
    program = knapsacks()
    wide, narrow = lane(program, gap=0.4), lane(program)
    assert wide.is_optimal
    assert 0.01 < wide.gap <= 0.4
    assert wide.objective < narrow.objective
    assert narrow.is_optimal
    assert narrow.gap <= 1e-6
    assert run(program, "mip", gap=0.4).iterations < run(program, "mip").iterations


def test_an_integer_answer_outside_the_gap_asked_for_is_only_feasible():
    result = lane(knapsacks(), options={"mip_rel_gap": 0.4})
    assert result.status.reason is Reason.FEASIBLE
    assert result.gap > 0.01


def test_coefficients_that_highs_would_drop_are_a_failure():
    program = Program.from_arrays([1.0, 1.0], [[1.0, 1e-12], [1.0, 1.0]], 1.0)
    with pytest.raises(SolverFailure, match="changed or refused the model"):
        lane(program)


def test_small_curvature_is_not_dropped():
    # HiGHS drops Hessian entries of 1e-9 and less by default, without a warning.
    program = Program.from_arrays([-1.0, 0.0], lower=[0.0, 1000.0], Q=np.diag([1.0, 1e-10]))
    for method in QP_METHODS:
        assert run(program, method).objective == pytest.approx(-0.5 + 0.5e-10 * 1000.0**2, abs=1e-6)


# --- methods


def test_hipo_really_runs_on_convex_qps():
    result = lane(random_qp(30, 10), log=True)
    assert result.is_optimal
    assert result.method == "hipo"
    assert "hipo" in result.log.lower()


@pytest.fixture
def without_hipo():
    causalopt_highs.has_hipo.cache_clear()
    yield
    causalopt_highs.has_hipo.cache_clear()


@pytest.mark.parametrize("extras", ["missing", "1.14.2"])
def test_without_fitting_highspy_extras_the_active_set_takes_its_place(monkeypatch, without_hipo, extras):
    import highspy

    real = causalopt_highs.importlib

    def find_spec(name):
        return None if name == "highspy_extras" and extras == "missing" else real.util.find_spec(name)

    def version(name):
        if name == "highspy-extras" and extras == "missing":
            raise real.metadata.PackageNotFoundError
        return extras if name == "highspy-extras" else real.metadata.version(name)

    class Refuses(highspy.Highs):
        def setOptionValue(self, name, value):
            return highspy.HighsStatus.kError if value == "hipo" else super().setOptionValue(name, value)

    metadata = types.SimpleNamespace(version=version, PackageNotFoundError=real.metadata.PackageNotFoundError)
    hidden = types.SimpleNamespace(util=types.SimpleNamespace(find_spec=find_spec), metadata=metadata)
    monkeypatch.setattr(causalopt_highs, "importlib", hidden)
    monkeypatch.setattr(HighsBackend, "version", lambda self: "1.15.1")
    if extras != "missing":
        monkeypatch.setattr(highspy, "Highs", Refuses)
    (advice,) = HIGHS.advisories()
    assert advice.startswith(f"highspy-extras is {extras}: without HiPO")
    assert HIGHS.methods(QP, SolveOptions()) == ("active set",)
    result = lane(QP)
    assert result.is_optimal
    assert result.method == "active set"


def test_the_methods_follow_the_problem_class_unless_the_user_chose_one():
    assert HIGHS.methods(LP, SolveOptions()) == LP_METHODS
    assert HIGHS.methods(QP, SolveOptions()) == QP_METHODS
    assert HIGHS.methods(MILP, SolveOptions())[0] == "mip"
    for program in BASES.values():
        assert HIGHS.methods(program, SolveOptions(solver_options={"solver": "ipx"})) == ("",)


def test_hipo_is_not_claimed_where_another_method_ran():
    assert run(QP, "hipo", options={"solver": "qpasm"}).method == ""
    assert run(QP, "active set").method == "active set"


@pytest.mark.parametrize(
    ("name", "lie"), [*((name, wrong_objective) for name in BASES), ("LP", only_feasible), ("convex QP", only_feasible)]
)
def test_a_method_whose_answer_is_refused_or_unproven_hands_over_to_the_next(name, lie):
    program = BASES[name].replace(upper=np.array([3.0, 3.0]))
    first, second = HIGHS.methods(program, SolveOptions())[:2]
    result = solve_program(program, Liar(lie, lies_with=[first]), SolveOptions())
    assert result.is_optimal
    assert result.method == second
    assert result.objective == pytest.approx(lane(program).objective, abs=1e-7)
    assert len(result.warnings) == 1
    assert f"highs ({first})" in result.warnings[0]
    assert "tried again" in result.warnings[0]


def test_where_every_method_fails_the_best_of_the_honest_answers_is_kept():
    program = QP.replace(upper=np.array([3.0, 3.0]))

    def lie(program, truth):
        return wrong_objective(program, truth) if truth.method == "hipo" else only_feasible(program, truth)

    result = solve_program(program, Liar(lie), SolveOptions())
    assert result.status.reason is Reason.FEASIBLE
    assert len(result.warnings) == 3
    assert not result.warnings[-1].endswith("tried again.")
    with pytest.raises(VerificationError):
        solve_program(program, Liar(optimal_at_a_limit), SolveOptions())


def test_a_method_that_crashes_hands_over_to_the_next():
    class Fragile(HighsBackend):
        def solve(self, program, options, method=""):
            if method == "hipo":
                raise SolverFailure("it fell over")
            return super().solve(program, options, method)

    result = solve_program(QP, Fragile(), SolveOptions())
    assert result.method == "hipo tight"
    assert "it fell over" in result.warnings[0]


# --- Ctrl-C


def equal_sums(n=55, m=5):
    """A program without a known quick proof, for which any whole point is an incumbent."""
    A = np.random.default_rng(0).integers(0, 100, (m, n)).astype(float)
    cost = np.repeat([0.0, 1.0], [n, m])
    side = A.sum(axis=1) // 2
    return Program.from_arrays(
        cost, np.hstack([A, np.eye(m)]), side, side, 0, np.where(cost, 1e3, 1), integer=cost == 0
    )


@pytest.fixture
def ctrl_c():
    """Press Ctrl-C after some seconds; a handler that is left behind would be seen."""
    timers = []

    def press(seconds):
        timers.append(threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)))
        timers[-1].start()

    yield press
    for timer in timers:
        timer.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_returns_the_incumbent_of_an_integer_program(ctrl_c):
    ctrl_c(1.0)
    start = time.perf_counter()
    with pytest.warns(CausaloptWarning, match="stopped at its interrupt limit with a gap of"):
        result = co.solve(equal_sums(), "highs", time_limit=30.0)
    assert time.perf_counter() - start < 15.0
    assert (result.status.reason, result.status.limit) == (Reason.FEASIBLE, Limit.INTERRUPT)
    assert result.verification.passed
    assert result.objective > 0.0


@pytest.mark.parametrize("options", [{}, {"solver": "ipx"}], ids=["simplex", "interior point"])
def test_an_interrupt_ends_the_solve_of_a_linear_program(ctrl_c, options):
    rng = np.random.default_rng(1)
    n = 1500
    program = Program.from_arrays(-1.0 - rng.random(n), rng.random((n, n)), row_upper=float(n), upper=10.0)
    ctrl_c(1.0)
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        co.solve(program, "highs", options=options)
    assert time.perf_counter() - start < 60.0


def test_an_interrupt_that_the_solver_did_not_hear_in_time_is_not_lost():
    program = Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], 1.5, integer=True)
    pressed = []

    def press(line):
        if not pressed and "resolve" in line:
            pressed.append(line)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(program, log=True, on_log=press)
    assert pressed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_whoever_handles_the_signal_keeps_it(ctrl_c):
    heard = []
    before = signal.signal(signal.SIGINT, lambda *args: heard.append(args))
    try:
        ctrl_c(0.3)
        with pytest.warns(CausaloptWarning, match="time limit"):
            result = co.solve(equal_sums(), "highs", time_limit=2.0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard
    assert result.status.limit is Limit.TIME


def test_another_thread_solves_without_a_handler():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(co.solve, Program.from_arrays([1.0], lower=2.0), "highs").result().objective == 2.0
