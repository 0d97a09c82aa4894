import numpy as np
import pandas as pd
import pytest
from match_cases import matchings

import causalopt as co
from causalopt.modeling.compile import compile_model
from causalopt.problems.robust.mcnemar.data import is_largest
from causalopt.solving.backend import installed_backends
from causalopt.verifying.claims import Proof

SOLVERS = [b.name for b in installed_backends() if b.name in ("highs", "scip", "gurobi", "cplex")]


def random_case(seed):
    rng = np.random.default_rng(seed)
    t, c = rng.integers(2, 7, 2)
    return rng.integers(0, 2, t), rng.integers(0, 2, c), rng.random((t, c)) < rng.choice([0.4, 0.8, 1.0])


def extremes(y_t, y_c, allowed):
    best = {}
    for pairs in matchings(allowed & (y_t[:, None] != y_c)):
        n = len(pairs)
        if n:
            b = sum(int(y_t[i]) for i, _ in pairs)
            z = (b - (n - b) - 1) / np.sqrt(n)
            low, high = best.get(n, (np.inf, -np.inf))
            best[n] = min(low, z), max(high, z)
    return best


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_two_matchings_and_integer_programs_equal_enumeration(start):
    for seed in range(start, start + 50):
        y_t, y_c, allowed = random_case(seed)
        best = extremes(y_t, y_c, allowed)
        for n in range(1, max(best, default=0) + 1):
            problem = co.RobustMcNemarProblem(y_t, y_c, allowed, pairs=n)
            for solver in ("matching", "highs") if n % 2 else ("matching",):
                result = co.solve(problem, solver)
                assert (result.z_min, result.z_max) == pytest.approx(best[n], abs=1e-12)
                assert solver == "highs" or result.verification.proof is Proof.CERTIFIED


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_agrees(solver):
    rng = np.random.default_rng(1)
    y_t, y_c, allowed = rng.integers(0, 2, 20), rng.integers(0, 2, 25), rng.random((20, 25)) < 0.2
    problem = co.RobustMcNemarProblem(y_t, y_c, allowed, pairs=9)
    exact, other = co.solve(problem), co.solve(problem, solver)
    assert exact.solver == "matching" and other.solver == solver
    assert (other.z_min, other.z_max) == (exact.z_min, exact.z_max)
    assert exact.b_range == (other.counts(other.least)[0], other.counts(other.most)[0])


def test_b_takes_every_value_between_its_ends():
    y_t, y_c = np.array([1] * 6 + [0] * 4), np.array([0] * 5 + [1] * 5)
    result = co.solve(co.RobustMcNemarProblem(y_t, y_c, np.ones((10, 10)), pairs=7))
    assert result.b_range == (3, 5)  # at most 5 of one kind, at most 4 of the other
    assert result.z_max == pytest.approx((5 - 2 - 1) / np.sqrt(7))
    pairs = result.pairs("max")
    assert (pairs["treated outcome"] != pairs["control outcome"]).all()
    assert pairs["treated outcome"].sum() == 5 and not pairs["treated"].duplicated().any()
    assert result.pairs("min")["treated outcome"].sum() == 3


def test_largest_takes_all_discordant_pairs_and_decides():
    y_t, y_c = np.ones(12), np.zeros(12)
    result = co.solve(co.RobustMcNemarProblem(y_t, y_c, np.ones((12, 12))))
    assert result.n == 12 and result.decision() == "reject" and result.absolute_robust() and result.alpha_robust()
    assert result.p_interval[0] == pytest.approx(0.000748, abs=1e-6)
    assert "no unit twice" in result.summary() and "12 to 12" in result.summary()


def test_a_cover_proves_the_largest_matching_and_nothing_smaller():
    i, j = np.array([0, 0, 1, 2]), np.array([0, 1, 0, 2])
    assert is_largest(i, j, np.arange(4), np.array([1, 2, 3]))
    assert not is_largest(i, j, np.arange(4), np.array([0, 3]))
    assert is_largest(i, j, np.array([], dtype=np.int64), np.array([], dtype=np.int64))


def test_the_models_of_both_sides():
    y_t, y_c, allowed = np.array([1, 1, 0]), np.array([0, 1, 1]), np.ones((3, 3))
    problem = co.RobustMcNemarProblem(y_t, y_c, allowed, pairs=2)
    largest, least = compile_model(problem.build(side="max")), compile_model(problem.build(side="min"))
    assert largest.maximize and not least.maximize and largest.integer.all()
    assert sorted(largest.c.tolist()) == [-1.0, -1.0, 1.0, 1.0]
    with pytest.raises(co.OptionError, match="'lowest'"):
        problem.build(side="lowest")


def test_labels_and_booleans():
    df = pd.DataFrame({"t": [1, 1, 0, 0], "y": [True, True, False, True]}, index=list("abcd"))
    graph = co.match_graph(df, "t")
    y = df["y"]
    result = co.solve(co.RobustMcNemarProblem(y[graph.treated], y[graph.control], graph))
    assert result.n == 1 and result.pairs()["control"].tolist() == ["c"]


@pytest.mark.parametrize("solver", ["matching", "highs"])
def test_too_many_discordant_pairs_name_the_largest_n(solver):
    problem = co.RobustMcNemarProblem([1, 0], [0, 0], np.ones((2, 2)), pairs=2)
    with pytest.raises(co.InfeasibleError, match=r"the largest n is 1 \(1 with"):
        co.solve(problem, solver)


def test_bad_input_is_named():
    ones = np.ones((2, 2))
    with pytest.raises(co.DataError, match=r"treated outcome is neither 0 nor 1 in 1 row\(s\): 1"):
        co.RobustMcNemarProblem([1, 2], [0, 0], ones)
    with pytest.raises(co.DataError, match="control outcome has missing"):
        co.RobustMcNemarProblem([1, 0], [0, np.nan], ones)
    with pytest.raises(co.DataError, match="No good match is discordant"):
        co.RobustMcNemarProblem([1, 1], [1, 1], ones)
    with pytest.raises(co.DataError, match="pairs is 0; at least 1"):
        co.RobustMcNemarProblem([1, 1], [0, 0], ones, pairs=0)
    problem = co.RobustMcNemarProblem([1, 0], [0, 0], ones)
    with pytest.raises(co.SolverNotAvailable, match=r"'matchin'.*'matching'"):
        co.solve(problem, "matchin")
    with pytest.raises(co.OptionError, match="takes no solver options"):
        co.solve(problem, options={"x": 1})
    with pytest.warns(co.CausaloptWarning, match="ran in this process"):
        co.solve(problem, isolate=True)
