import dataclasses
import itertools
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from match_cases import bike, concrete, eshop, extremes, problem_of, random_study, same

import causalopt as co
from causalopt.modeling.compile import compile_model
from causalopt.solving.backend import installed_backends
from causalopt.verifying.claims import Proof

INSTALLED = [b.name for b in installed_backends()]
EXACT_SOLVERS = ["parametric", *[name for name in ("highs", "scip", "gurobi", "cplex") if name in INSTALLED]]
MIQP_SOLVERS = [name for name in ("scip", "gurobi", "cplex") if name in INSTALLED]

#: Exact extremes, by case and n: largest, least.
REFERENCE = [
    (concrete, 20, 45.0152, 0.1237),
    (concrete, 24, 35.7593, 1.1292),
    (concrete, 30, 24.0619, 2.4919),
    (concrete, 38, 15.4221, 4.1518),
    (concrete, 44, 9.2054, 5.4980),
    (bike, 50, 8.7819, -26.2435),
    (bike, 88, 0.1245, -9.9233),
    (bike, 94, -1.6176, -7.0907),
]


# ---- published numbers ----


@pytest.mark.parametrize("solver", EXACT_SOLVERS)
@pytest.mark.parametrize(("case", "n", "largest", "least"), REFERENCE)
def test_reference_rows(shared_data, solver, case, n, largest, least):
    result = co.solve(problem_of(case, shared_data).with_pairs(n), solver)
    assert result.z_max == pytest.approx(largest, abs=5e-5)
    assert result.z_min == pytest.approx(least, abs=5e-5)
    assert result.is_optimal and result.gap <= 1e-6
    if solver == "parametric":
        assert result.is_exact and result.verification.proof is Proof.CERTIFIED


@pytest.mark.parametrize("solver", [name for name in EXACT_SOLVERS if name != "cplex"])
def test_eshop(shared_data, solver):
    problem = problem_of(eshop, shared_data)
    assert problem.graph.n_pairs == 367_329 and problem.network.size == 1_310
    result = co.solve(problem.with_pairs(3800), solver)
    assert result.z_min == pytest.approx(-34.3448, abs=5e-5)
    assert result.z_max == pytest.approx(137.5578, abs=5e-5)
    assert result.gap <= 1e-6 and result.decision() == "depends on the pairing"
    largest = co.solve(problem.with_pairs("largest"), solver)
    assert largest.n == 4_732
    assert (largest.z_min, largest.z_max) == pytest.approx((2.2122, 36.1028), abs=5e-5)
    assert largest.decision() == "reject"


@pytest.mark.skipif("cplex" not in INSTALLED, reason="cplex is not installed")
def test_a_licence_that_is_too_small_is_named(shared_data):
    with pytest.raises(co.LicenseError, match=r"1,000 variables, the model has 1,310.*highs"):
        co.solve(problem_of(eshop, shared_data).with_pairs(3800), "cplex")


@pytest.mark.parametrize("solver", MIQP_SOLVERS)
@pytest.mark.parametrize(("n", "surrogate"), [(20, 13.3430), (22, 13.5547), (26, 15.2719)])
def test_the_surrogate_is_not_z(shared_data, solver, n, surrogate):
    problem = problem_of(concrete, shared_data).with_pairs(n)
    result = co.solve(problem, solver, formulation="qip")
    assert result.z_max == pytest.approx(surrogate, abs=5e-5)
    assert result.maximum.kind == "heuristic" and "surrogate, case 1" in result.maximum.note
    exact = co.solve(problem)
    assert result.z_max < 0.5 * exact.z_max and result.z_min >= exact.z_min - 1e-9
    lost = result.price(exact)
    assert lost.loc["max", "lost"] == pytest.approx(exact.z_max - surrogate, abs=1e-3)


@pytest.mark.skipif("gurobi" not in INSTALLED, reason="gurobi is not installed")
def test_bike_fits_gurobis_licence_by_tangents_only(shared_data):
    problem = problem_of(bike, shared_data).with_pairs(94)
    with pytest.raises(co.LicenseError, match="200 variables once anything is quadratic"):
        co.solve(problem.build("fractional", ratio=0.1), "gurobi")
    assert co.solve(problem, "gurobi").z_max == pytest.approx(-1.6176, abs=5e-5)


def test_greedy_as_published(shared_data):
    problem = problem_of(concrete, shared_data).with_pairs(20)
    result = co.solve(problem, "greedy")
    table = result.price()
    assert table.loc["max", "share"] == pytest.approx(0.73, abs=0.005)  # up to 73% too low
    assert (table["best is"] == "exact").all()
    assert not result.is_optimal and result.gap is None and result.maximum.kind == "heuristic"
    wrong = co.solve(problem_of(bike, shared_data).with_pairs(85), "greedy")
    assert wrong.z_max < 0 < co.solve(wrong.problem).z_max  # the wrong sign
    stuck = co.solve(problem.with_pairs(44), "greedy")
    assert "ran out of pairs" in stuck.maximum.note and len(stuck.maximum.pairs) == 44


# ---- oracle: enumeration of 500 random studies ----


@pytest.mark.parametrize("start", range(0, 500, 50))
def test_parametric_equals_enumeration_and_greedy_never_beats_it(start):
    compared = infinite = 0
    for seed in range(start, start + 50):
        df, caliper, allowed = random_study(seed)
        y_t, y_c = df["y"][df["t"] == 1], df["y"][df["t"] == 0]
        graph = co.match_graph(df, "t", ["key"], {"x": caliper})
        assert (graph.matrix.toarray() == allowed).all()
        unit, origin = (1.0, 0.1, 1 / 3, 1e6)[seed % 4], (0.0, 1e4 / 3)[seed % 3 == 0]  # which bring rounding errors
        for n, (least, largest) in extremes(y_t.to_numpy(), y_c.to_numpy(), allowed).items():
            problem = co.RobustZProblem(y_t * unit + origin, y_c * unit + origin, graph, pairs=n)
            result = co.solve(problem, "parametric")
            assert same(result.z_max, largest) and same(result.z_min, least), (seed, n)
            assert result.is_exact and result.verification.proof is Proof.CERTIFIED
            greedy = co.solve(problem, "greedy")
            assert greedy.z_max <= largest or same(greedy.z_max, largest)
            assert greedy.z_min >= least or same(greedy.z_min, least)
            compared += 1
            infinite += np.isinf([least, largest]).any()
    assert compared >= 60 and infinite >= 5


@pytest.mark.parametrize("start", range(0, 500, 100))
def test_fractional_on_highs_equals_enumeration(start):
    for seed in range(start, start + 100):
        df, caliper, allowed = random_study(seed)
        y_t, y_c = df["y"][df["t"] == 1], df["y"][df["t"] == 0]
        best = extremes(y_t.to_numpy(), y_c.to_numpy(), allowed)
        if not best:
            continue
        n = max(best) if seed % 2 else sorted(best)[len(best) // 2]
        graph = co.match_graph(df, "t", ["key"], {"x": caliper})
        result = co.solve(co.RobustZProblem(y_t, y_c, graph, pairs=n), "highs", formulation="fractional")
        assert same(result.z_max, best[n][1]) and same(result.z_min, best[n][0]), (seed, n)
        assert result.gap <= 1e-6


@pytest.mark.parametrize("solver", ["highs", *MIQP_SOLVERS])
def test_published_formulations_never_beat_the_exact_extremes(solver):
    for seed in range(8):
        df, caliper, allowed = random_study(seed)
        y_t, y_c = df["y"][df["t"] == 1], df["y"][df["t"] == 0]
        best = extremes(y_t.to_numpy(), y_c.to_numpy(), allowed)
        if not best:
            continue
        n = max(best)
        problem = co.RobustZProblem(y_t, y_c, co.match_graph(df, "t", ["key"], {"x": caliper}), pairs=n)
        for formulation in ["ilp-grid"] if solver == "highs" else ["qip", "feasibility", "ilp-grid"]:
            result = co.solve(problem, solver, formulation=formulation)
            least, largest = best[n]
            assert result.z_max <= largest or same(result.z_max, largest)
            assert result.z_min >= least or same(result.z_min, least)
            assert result.maximum.bound >= largest - 1e-6 * min(1e6, max(1.0, abs(largest)))
            assert result.minimum.bound <= least + 1e-6 * min(1e6, max(1.0, abs(least)))


@pytest.mark.skipif("scip" not in INSTALLED, reason="scip is not installed")
def test_feasibility_finds_the_extreme_within_its_range(shared_data):
    problem = problem_of(bike, shared_data).with_pairs(94)
    result = co.solve(problem, "scip", formulation="feasibility")
    assert result.z_max == pytest.approx(-1.6176, abs=1e-4) and result.maximum.gap <= 1e-5
    assert result.minimum.kind == "heuristic" and "goes no further" in result.minimum.note
    assert result.z_min >= -7.0907 - 1e-4


def test_ilp_grid_brackets_the_extremes(shared_data):
    result = co.solve(problem_of(concrete, shared_data).with_pairs(44), "highs", formulation="ilp-grid")
    assert result.z_max <= 9.2054 + 5e-5 <= result.maximum.bound + 1e-4
    assert result.minimum.bound - 1e-4 <= 5.4980 <= result.z_min + 5e-5
    assert "claimed by the solver" in str(result.maximum)


# ---- invariances ----


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), exponent=st.integers(-6, 6))
def test_order_units_and_labels_do_not_matter(seed, exponent):
    rng = np.random.default_rng(seed)
    t, c = rng.integers(4, 12, 2)
    y_t, y_c, allowed = rng.normal(size=t), rng.normal(size=c), rng.random((t, c)) < 0.6
    allowed[0, 0] = allowed[1, 1] = True
    first = co.solve(co.RobustZProblem(y_t, y_c, allowed, pairs=2))
    order_t, order_c = rng.permutation(t), rng.permutation(c)
    moved = co.RobustZProblem(
        pd.Series(y_t[order_t] * 10.0**exponent, index=[f"t{k}" for k in order_t]),
        pd.Series(y_c[order_c] * 10.0**exponent, index=[f"c{k}" for k in order_c]),
        allowed[np.ix_(order_t, order_c)],
        pairs=2,
    )
    second = co.solve(moved)
    assert second.z_max == pytest.approx(first.z_max, rel=1e-6)
    assert second.z_min == pytest.approx(first.z_min, rel=1e-6)
    assert set(second.maximum.pairs["treated"]) <= {f"t{k}" for k in range(t)}


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_exchanging_the_groups_turns_the_interval_round(seed):
    rng = np.random.default_rng(seed)
    y_t, y_c, allowed = rng.normal(1, 1, 9), rng.normal(size=8), rng.random((9, 8)) < 0.7
    graph = co.MatchGraph.from_matrix(allowed)
    n = max(graph.largest - 1, 2)
    first = co.solve(co.RobustZProblem(y_t, y_c, allowed, pairs=n))
    second = co.solve(co.RobustZProblem(y_c, y_t, allowed.T, pairs=n))
    assert (second.z_min, second.z_max) == pytest.approx((-first.z_max, -first.z_min), rel=1e-9)


def test_all_shapes_of_matches_agree(shared_data):
    problem = problem_of(concrete, shared_data).with_pairs(30)
    graph, y_t, y_c = problem.graph, problem.treated_outcome, problem.control_outcome
    expected = co.solve(problem).z_max
    pairs = pd.DataFrame({"treated": graph.treated[graph.i], "control": graph.control[graph.j]})
    series_t, series_c = pd.Series(y_t, index=graph.treated), pd.Series(y_c, index=graph.control)
    frame = pd.DataFrame(graph.matrix.toarray(), index=graph.treated, columns=graph.control)
    shuffled = series_t.sample(frac=1, random_state=0)
    for treated, control, matches in [
        (y_t, y_c, graph.matrix),
        (y_t, y_c, graph.matrix.toarray()),
        (y_t, y_c, sp.coo_matrix(graph.matrix)),
        (series_t, series_c, pairs),
        (shuffled, series_c, frame),  # a labelled matrix is matched by label
        (shuffled, series_c, graph),
    ]:
        assert co.solve(co.RobustZProblem(treated, control, matches, pairs=30)).z_max == pytest.approx(expected)


# ---- answers ----


@pytest.mark.parametrize("solver", ["parametric", "greedy", "highs"])
def test_both_matchings_stand_up_to_recomputation(shared_data, solver):
    problem = problem_of(bike, shared_data).with_pairs(60)
    result = co.solve(problem, solver)
    allowed = set(zip(problem.graph.treated[problem.graph.i], problem.graph.control[problem.graph.j], strict=True))
    for side, z in ((result.maximum, result.z_max), (result.minimum, result.z_min)):
        pairs = side.pairs
        assert len(pairs) == 60 and not pairs["treated"].duplicated().any() and not pairs["control"].duplicated().any()
        assert set(zip(pairs["treated"], pairs["control"], strict=True)) <= allowed
        d = pairs["difference"].to_numpy()
        assert z == pytest.approx((d.mean() * np.sqrt(60)) / d.std(ddof=0), rel=1e-9)
        np.testing.assert_array_equal(d, pairs["treated outcome"] - pairs["control outcome"])
    from scipy.stats import norm

    assert result.p_interval == pytest.approx((norm.sf(result.z_max), norm.sf(result.z_min)))


def test_the_interval_shrinks_to_one_point_where_there_is_one_matching():
    result = co.solve(co.RobustZProblem([3.0, 5.0], [1.0, 2.0], np.eye(2), pairs=2))
    assert result.z_min == result.z_max == pytest.approx(7.0710678)
    assert result.alpha_robust(1e-9) and result.absolute_robust() and result.decision() == "reject"


def test_verdicts_and_what_is_proven(shared_data):
    largest = co.solve(problem_of(concrete, shared_data).with_pairs(44))
    assert largest.decision() == "reject" and largest.verdicts()["proven"].all() and largest.verdicts()["verdict"].all()
    middle = co.solve(problem_of(concrete, shared_data).with_pairs(20))
    assert middle.decision() == "depends on the pairing"
    assert not middle.alpha_robust() and not middle.absolute_robust() and middle.verdicts()["proven"].all()
    assert middle.alpha_robust(0.46)
    greedy = co.solve(problem_of(concrete, shared_data).with_pairs(44), "greedy")
    assert greedy.absolute_robust() and not greedy.verdicts().loc["absolute-robust", "proven"]
    disagreeing = co.solve(problem_of(concrete, shared_data).with_pairs(20), "greedy")
    assert disagreeing.verdicts().loc["absolute-robust"].tolist() == [False, True]


def test_allowable_gap_is_the_way_to_the_threshold(shared_data):
    table = co.solve(problem_of(bike, shared_data).with_pairs(94)).allowable_gap()
    assert table.loc["max", "allowable"] == pytest.approx(1.6449 + 1.6176, abs=1e-4)
    assert table.loc["min", "allowable"] == np.inf and table["decides"].all()
    greedy = co.solve(problem_of(bike, shared_data).with_pairs(94), "greedy").allowable_gap()
    assert not greedy.loc["max", "decides"] and greedy.loc["min", "decides"]


def test_search_for_the_number_of_pairs(shared_data):
    problem = problem_of(bike, shared_data)
    n = problem.search_pairs(0.05)
    assert n == 81
    assert co.solve(problem.with_pairs(n)).absolute_robust()
    assert not co.solve(problem.with_pairs(n - 1)).absolute_robust()
    never = co.RobustZProblem([1.0, 2.0, 3.0], [0.0, 1.0, 2.5], np.ones((3, 3)), pairs=3)
    assert co.solve(never).decision() == "depends on the pairing" and never.search_pairs() is None


def test_summary_says_what_is_exact_and_what_heuristic(shared_data):
    problem = problem_of(concrete, shared_data).with_pairs(30)
    text = co.solve(problem).summary()
    for part in ("30 of at most 44", "24.0619 (exact, certified by causalopt)", "parametric", "no unit twice"):
        assert part in text
    assert "heuristic" in co.solve(problem, "greedy").summary()
    assert "claimed by the solver" in co.solve(problem, "highs").summary()


def test_a_limit_returns_what_was_found_with_a_valid_bound(shared_data):
    problem = problem_of(concrete, shared_data).with_pairs(30)
    with pytest.warns(co.CausaloptWarning, match="time limit"):
        result = co.solve(problem, "parametric", time_limit=1e-9)
    assert not result.is_optimal and str(result.status) == "feasible (time limit)"
    assert result.z_max <= 24.0619 + 5e-5 and result.maximum.bound >= 24.0619 - 5e-5


@pytest.mark.parametrize("limit", [1e-6, 0.01])
@pytest.mark.parametrize("formulation", ["fractional", "ilp-grid"])
def test_a_limit_on_a_solver_returns_the_best_so_far(shared_data, formulation, limit):
    problem = problem_of(concrete, shared_data).with_pairs(30)
    with pytest.warns(co.CausaloptWarning, match="time limit"):
        result = co.solve(problem, "highs", formulation=formulation, time_limit=limit)
    assert not result.is_optimal and str(result.status) == "feasible (time limit)"
    assert 2.4919 - 5e-5 <= result.z_min <= result.z_max <= 24.0619 + 5e-5
    assert result.maximum.bound >= 24.0619 - 5e-5 and result.minimum.bound <= 2.4919 + 5e-5


def test_a_wrong_matching_is_refused(shared_data):
    from causalopt.problems.robust.z.result import verified_pairs

    problem = problem_of(concrete, shared_data).with_pairs(30)
    flow = np.zeros(problem.network.size, dtype=np.int64)
    result = co.solve(problem)
    with pytest.raises(co.VerificationError, match="has 0 pairs, not 30"):
        verified_pairs(problem.study, "max", flow, 1.0)
    graph = problem.graph
    key = {pair: k for k, pair in enumerate(zip(graph.i.tolist(), graph.j.tolist(), strict=True))}
    assert all(pair in key for pair in zip(result.maximum.i.tolist(), result.maximum.j.tolist(), strict=True))
    good = problem.network.flow_of(result.maximum.i, result.maximum.j)
    assert verified_pairs(problem.study, "max", good, result.z_max)[0] == pytest.approx(result.z_max)
    with pytest.raises(co.VerificationError, match=r"its Z is 24\.06"):
        verified_pairs(problem.study, "max", good, result.z_max + 0.1)
    swapped = dataclasses.replace(problem.network, control=np.roll(problem.network.control, 1))
    with pytest.raises(co.VerificationError, match="may not be paired"):
        verified_pairs(dataclasses.replace(problem.study, network=swapped), "max", good, result.z_max)


# ---- degenerate cases ----


@pytest.mark.parametrize("solver", ["parametric", "highs"])
def test_equal_differences_make_z_infinite_and_that_is_said(solver):
    result = co.solve(co.RobustZProblem([1.1, 2.2, 3.3], [0.1, 1.2, 2.3], np.ones((3, 3)), pairs=3), solver)
    assert result.z_max == np.inf and result.p_interval[0] == 0.0
    assert "the spread is zero" in str(result.maximum)


@pytest.mark.parametrize("solver", ["parametric", "highs"])
def test_no_difference_at_all_makes_z_zero(solver):
    result = co.solve(co.RobustZProblem([2.5, 2.5], [2.5, 2.5, 2.5], np.ones((2, 3)), pairs=2), solver)
    assert (result.z_min, result.z_max) == (0.0, 0.0) and result.decision() == "do not reject"
    assert result.is_optimal


def test_ties_and_a_largest_sum_of_zero():
    result = co.solve(co.RobustZProblem([1.0, 1.0, 0.0], [1.0, 1.0, 1.0], np.ones((3, 3)), pairs=2))
    assert result.z_max == 0.0 and result.maximum.is_exact and result.z_min < 0


@pytest.mark.parametrize("solver", ["parametric", "greedy", "highs"])
def test_too_many_pairs_name_the_largest_n(shared_data, solver):
    problem = problem_of(concrete, shared_data).with_pairs(45)
    with pytest.raises(co.InfeasibleError, match="the largest n is 44") as caught:
        co.solve(problem, solver)
    table = caught.value.explanation
    assert (table.attrs["asked"], table.attrs["largest"]) == (45, 44) and set(table.attrs["legend"]) <= set(table)
    assert table["left out"].sum() == len(problem.graph.treated) - 44


def test_a_graph_without_pairs():
    problem = co.RobustZProblem([1.0, 2.0], [1.0, 2.0], np.zeros((2, 2)), pairs=2)
    with pytest.raises(co.InfeasibleError, match=r"largest n is 0.*Loosen"):
        co.solve(problem)
    with pytest.raises(co.InfeasibleError, match="largest n is 0"):
        co.RobustZProblem([1.0, 2.0], [1.0, 2.0], np.zeros((2, 2)), pairs="largest")


# ---- models ----


@pytest.mark.parametrize("side", ["max", "min"])
@pytest.mark.parametrize(
    ("formulation", "parameters"),
    [
        ("fractional", {"weights": (1.0, 0.3)}),
        ("fractional", {"ratio": 0.5}),
        ("qip", {"case": 1}),
        ("qip", {"case": 2}),
        ("qip", {"case": 3}),
        ("feasibility", {"gamma": 1.5}),
        ("feasibility", {"gamma": -1.5}),
        ("ilp-grid", {"limit": 2.0}),
        ("ilp-grid", {"limit": 2.0, "above": True}),
    ],
)
def test_every_program_is_the_formula_both_as_arrays_and_as_pyomo(shared_data, formulation, parameters, side):
    problem = problem_of(concrete, shared_data).with_pairs(20)
    program = compile_model(problem.build(formulation, side=side, **parameters))
    touched = problem.build(formulation, side=side, **parameters)
    list(touched.pairs.values()), list(touched.usage.values()), list(touched.count.values())
    again = compile_model(touched)
    np.testing.assert_allclose(again.c, program.c)
    assert abs(again.A - program.A).max() < 1e-15
    answer = co.solve(problem)
    flow = problem.network.flow_of(answer.maximum.i, answer.maximum.j).astype(float)
    d = (1 if side == "max" else -1) * problem.network.delta / np.abs(problem.network.delta).max()
    s, v = d @ flow, d**2 @ flow
    x = flow if program.n_columns == len(flow) else np.append(flow, s)
    gamma = parameters.get("gamma", 0.0)
    factor = 20 * gamma**2 / (20 + gamma**2)
    expected = {
        "fractional": s - 0.3 * v if "weights" in parameters else s * s - 0.5 * v,
        "qip": s * s - v if parameters.get("case") == 1 else v - s * s,
        "feasibility": s * s - factor * v if gamma > 0 else factor * v - s * s,
        "ilp-grid": s,
    }[formulation]
    assert program.objective(x) == pytest.approx(expected)
    assert program.maximize is not ("ratio" in parameters)


def test_gamma_is_possible_where_the_program_says_so(shared_data):
    if "scip" not in INSTALLED:
        pytest.skip("scip is not installed")
    problem = problem_of(bike, shared_data).with_pairs(88)  # the largest Z is .1245
    for gamma, possible in ((0.12, True), (0.13, False)):
        result = co.solve(problem.build("feasibility", gamma=gamma), "scip")
        assert (result.objective >= 0) is possible


def test_the_model_can_be_embedded(shared_data):
    import pyomo.environ as pyo

    problem = problem_of(concrete, shared_data).with_pairs(20)
    m = pyo.ConcreteModel()
    m.test = pyo.Block()
    problem.attach(m.test, "fractional", weights=(1.0, 0.0))
    m.few = pyo.Constraint(expr=m.test.pairs[0] == 0)
    m.goal = pyo.Objective(expr=m.test.cost, sense=pyo.maximize)
    result = co.solve(m, "highs")
    free = co.solve(problem.build("fractional", weights=(1.0, 0.0)), "highs")
    assert result.is_optimal and result.objective <= free.objective + 1e-9
    assert m.test.pairs[0].value == 0 and sum(v.value for v in m.test.pairs.values()) == pytest.approx(20)


def test_formulations_and_solvers_are_listed(shared_data):
    problem = problem_of(concrete, shared_data).with_pairs(20)
    table = problem.formulations
    assert table["exact"].to_dict() == {
        "fractional": "exact",
        "qip": "heuristic",
        "feasibility": "heuristic",
        "ilp-grid": "heuristic",
    }
    assert problem.solvers().loc[["parametric", "highs"], "can solve"].all()
    assert "nonconvex" in problem.solvers("qip").loc["highs", "note"]


# ---- bad input ----


@pytest.fixture
def study():
    labels = [f"t{k}" for k in range(3)]
    return pd.Series([1.0, 2.0, 3.0], index=labels), pd.Series([0.5, 1.0], index=["c0", "c1"]), np.ones((3, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pairs": 1}, "pairs is 1; at least 2.*spread of a single pair"),
        ({"pairs": 2.5}, "pairs is 2.5"),
        ({"pairs": True}, "pairs is True"),
        ({"pairs": "most"}, "'most'.*'largest'"),
        ({"treated": pd.Series([1.0, np.nan, 3.0], index=["t0", "t1", "t2"])}, "treated outcome has missing.*'t1'"),
        ({"control": pd.Series([np.inf, 1.0], index=["c0", "c1"])}, "control outcome has missing or infinite.*'c0'"),
        ({"control": ["a", "b"]}, "control outcome is not numeric"),
        ({"control": ["1", "2"]}, "control outcome is not numeric"),
        ({"treated": [1.0, 2.0]}, "3 treated units, but 2 are given"),
        ({"treated": pd.Series([1.0, 2, 3], index=["a", "a", "b"])}, "'a' occurs more than once"),
        ({"control": [1.7e308, 0.0], "treated": [-1.7e308, 0.0, 1.0]}, "overflow"),
        ({"matches": np.ones(3)}, "must be a matrix"),
    ],
)
def test_bad_input_is_named(study, change, message):
    treated, control, matches = study
    arguments = {"treated": treated, "control": control, "matches": matches, "pairs": 2} | change
    with pytest.raises(co.DataError, match=message), np.errstate(over="ignore"):
        co.RobustZProblem(arguments["treated"], arguments["control"], arguments["matches"], pairs=arguments["pairs"])


def test_units_of_the_graph_without_an_outcome_are_named(study):
    treated, control, matches = study
    graph = co.MatchGraph.from_matrix(matches, [*treated.index[:2], "other"], control.index)
    with pytest.raises(co.DataError, match=r"treated outcome is missing.*'other'"):
        co.RobustZProblem(treated, control, graph, pairs=2)


def test_wrong_words_are_met_with_the_right_ones(study):
    problem = co.RobustZProblem(*study, pairs=2)
    with pytest.raises(co.SolverNotAvailable, match=r"'parametrik'.*'parametric'"):
        co.solve(problem, "parametrik")
    with pytest.raises(co.OptionError, match=r"'fractal'.*'fractional'"):
        co.solve(problem, formulation="fractal")
    with pytest.raises(co.OptionError, match="'maximum'"):
        problem.build("qip", side="maximum")
    with pytest.raises(co.OptionError, match="case is 4"):
        problem.build("qip", case=4)
    with pytest.raises(co.OptionError, match="no parameter like that"):
        problem.build("qip", gamma=2)
    with pytest.raises(co.OptionError, match="parametric solves the formulation 'fractional'"):
        co.solve(problem, "parametric", formulation="qip")
    with pytest.raises(co.OptionError, match="takes no solver options: speed"):
        co.solve(problem, "parametric", options={"speed": 1})
    with pytest.raises(co.OptionError, match="start has no meaning"):
        co.solve(problem, start=np.zeros(3))
    with pytest.raises(co.UnsupportedProblem, match="nonconvex MIQP"):
        co.solve(problem, "highs", formulation="qip")
    with pytest.raises(co.DataError, match="level is 5"):
        co.solve(problem).decision(5)
    with pytest.warns(co.CausaloptWarning, match="ran in this process"):
        co.solve(problem, isolate=True)


# ---- Ctrl-C ----


def far_below():
    """Every Z is negative, and the largest is a mixture of two matchings until a MIQP closes the hull."""
    rng = np.random.default_rng(0)
    return co.RobustZProblem(rng.normal(size=6), rng.normal(size=7) + 6, rng.random((6, 7)) < 0.8, pairs=4)


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_an_interrupted_search_keeps_its_matchings_and_the_bound_that_holds(monkeypatch):
    from causalopt.problems.robust.z.formulations import Fractional
    from causalopt.verifying.claims import Limit, Reason

    truth = co.solve(far_below())
    monkeypatch.setattr(Fractional, "improved", interrupt)
    with pytest.warns(co.CausaloptWarning, match="interrupt limit"):
        result = co.solve(far_below(), "highs")
    assert (result.status.reason, result.status.limit) == (Reason.FEASIBLE, Limit.INTERRUPT)
    assert result.z_max <= truth.z_max + 1e-9 and truth.z_max <= result.maximum.bound + 1e-9 < 0
    assert str(result.maximum.proof) == "certified by causalopt"
    # the other side was not begun: any matching stands in, and nothing is said of it
    assert truth.z_min - 1e-9 <= result.z_min <= truth.z_max + 1e-9
    assert result.minimum.kind == "heuristic" and result.minimum.bound == -np.inf


def test_an_interrupt_before_anything_was_solved_is_one(monkeypatch):
    from causalopt.problems.robust.z.formulations import Fractional

    monkeypatch.setattr(Fractional, "searched", interrupt)
    with pytest.raises(KeyboardInterrupt):
        co.solve(far_below(), "highs")


def test_interrupted_tangents_keep_the_best_round(monkeypatch):
    from causalopt.solving.trying import tangents
    from causalopt.verifying.claims import Limit

    program = co.Program.from_arrays(
        [0.0, 0.0], [[1.0, 1.0]], 7.3, np.inf, 0.0, 20.0, Q=np.diag([2.0, 2.6]), integer=True
    )
    rounds = []
    solve_program = tangents.solve_program

    def first_only(*arguments):
        if rounds:
            raise KeyboardInterrupt
        rounds.append(1)
        return solve_program(*arguments)

    monkeypatch.setattr(tangents, "solve_program", first_only)
    backend = co.solving.backend.get_backend("highs")
    found = tangents.solve_by_tangents(program, co.solving.options.SolveOptions(), backend=backend)
    assert found.termination.limit is Limit.INTERRUPT and found.termination.reason.value == "feasible"
    assert found.x.sum() >= 7.3 and found.bound <= program.objective(found.x)


@pytest.mark.parametrize("seed", [3, 8, 17, 53, 101, 202])
@pytest.mark.parametrize("shift", [1e4, 1e6, 1e8, 1e9])
def test_no_matching_beats_the_bound_where_differences_are_nearly_equal(seed, shift):
    rng = np.random.default_rng(seed)
    treated, control = rng.normal(size=4) + shift, rng.normal(size=4)
    result = co.solve(co.RobustZProblem(treated, control, np.ones((4, 4)), pairs=3))
    least = np.inf
    for rows in itertools.combinations(range(4), 3):
        for columns in itertools.permutations(range(4), 3):
            d = [Fraction(treated[i]) - Fraction(control[j]) for i, j in zip(rows, columns, strict=True)]
            total = sum(d)
            least = min(least, float(total) / float(sum((x - total / 3) ** 2 for x in d)) ** 0.5)
    small = result.minimum
    assert small.bound <= least * (1 + 1e-9) <= small.z * (1 + 2e-9)
    assert small.kind != "exact" or small.z == pytest.approx(least, rel=1e-8)
