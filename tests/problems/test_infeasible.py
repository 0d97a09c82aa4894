"""Every problem says, in its own terms, why it has no solution and what would give it one."""

import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from match_cases import matchings

import causalopt as co
from causalopt.algorithms import dual_newton
from causalopt.problems.balance.elastic import Elastic, parts
from causalopt.problems.balance.infeasible import collinear
from causalopt.problems.factorial.infeasible import smallest_extra
from causalopt.solving.elastic import least_relaxation
from causalopt.solving.words import rounded_down, rounded_up
from causalopt.study.match_graph import MatchGraph
from causalopt.study.too_few_pairs import blocking_table, deficient_units
from causalopt.verifying.feasibility import scaled_violations


def explained(problem, solver="auto", **options):
    with pytest.raises(co.InfeasibleError) as caught:
        co.solve(problem, solver, **options)
    return caught.value


# ---- balance ----


def shifted(seed=0, n=40, p=3, by=2.0):
    rng = np.random.default_rng(seed)
    t = np.repeat([0, 1], [n - 10, 10])
    x = pd.DataFrame(rng.normal(size=(n, p)) + by * t[:, None] * (np.arange(p) == 0), columns=list("abc"[:p]))
    return x, t


def has_weights(x, t, tolerance, **arguments):
    """Whether there are weights, by a linear program without costs: independent of the explanation's."""
    problem = co.BalanceProblem(x, t, tolerance=tolerance, norm="linf", **arguments)
    try:
        return co.solve(problem, "highs").is_optimal
    except (co.InfeasibleError, co.VerificationError):  # at the edge, a claim of either may not survive
        return False


def bisected(possible, low, high, steps=24):
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if possible(middle) else (middle, high)
    return high


@pytest.mark.parametrize("solver", ["dual-newton", "highs", "scip"])
def test_the_smallest_tolerances_and_bounds_are_those_of_bisection(solver):
    x, t = shifted()
    given = {"a": 0.05, "b": 0.02, "c": 0.03}
    error = explained(co.BalanceProblem(x, t, tolerance=given, upper=3.0), solver)
    table = error.explanation
    assert list(table.index) == ["a", "b", "c"]
    for name in given:
        alone = table.loc[name, "smallest alone"]
        if not has_weights(x, t, given | {name: 50.0}, upper=3.0):
            assert np.isinf(alone)
            continue
        found = bisected(lambda d, name=name: has_weights(x, t, given | {name: d}, upper=3.0), given[name], 9.0)
        assert alone == pytest.approx(found, abs=1e-5)
    bounds = table.attrs["bounds on weights"]
    if has_weights(x, t, given, upper=1e6):
        upper = bisected(lambda u: has_weights(x, t, given, upper=u), 3.0, 30.0)
        assert bounds["upper"] == pytest.approx(upper, rel=1e-4)
        assert f"upper={rounded_up(bounds['upper'], 4)} in place of 3" in str(error)
    assert has_weights(x, t, table["smallest jointly"].to_dict(), upper=3.0)


def test_a_lower_bound_that_would_do_is_named_and_does():
    x, t = shifted(by=4.0)
    error = explained(co.BalanceProblem(x, t, tolerance=0.05))
    lower = error.explanation.attrs["bounds on weights"]["lower"]
    assert lower < 0 and f"lower={rounded_down(lower, 4)} in place of 0 (negative weights extrapolate)" in str(error)
    assert has_weights(x, t, 0.05, lower=lower) and not has_weights(x, t, 0.05, lower=lower + 1e-3)


@pytest.mark.parametrize("solver", ["dual-newton", "highs"])
def test_exact_balance_that_contradicts_itself_names_the_covariates(solver):
    rng = np.random.default_rng(1)
    x = pd.DataFrame({"a": rng.integers(0, 2, 60) * 1.0, "c": rng.normal(size=60)})
    x["b"] = 1 - x["a"]
    arguments = {"estimand": "population", "scale": "raw", "target": {"a": 0.4, "b": 0.7, "c": 0.0}}
    problem = co.BalanceProblem(x, tolerance=0.0, **arguments)
    assert collinear(problem.study) == [("a", "b")]
    error = explained(problem, solver)
    assert "Exact balance of a, b contradicts itself" in str(error)
    table = error.explanation
    # What is named is more than what works by a millionth part, so that it works where solvers round differently.
    assert table.loc["a", "smallest alone"] == pytest.approx(0.1, rel=2e-6)
    assert table.loc["b", "smallest alone"] == pytest.approx(0.1, rel=2e-6)
    assert np.isinf(table.loc["c", "smallest alone"])
    fine = co.BalanceProblem(x, tolerance=0.0, **(arguments | {"target": {"a": 0.4, "b": 0.6, "c": 0.0}}))
    assert collinear(fine.study) == [] and co.solve(fine, solver).is_optimal


def test_a_tolerance_alone_takes_account_of_exact_rows_that_follow_from_others():
    x, t = shifted(by=4.0)
    x["twice"] = 2 * x["a"]
    table = explained(co.BalanceProblem(x, t, tolerance=0.0)).explanation
    assert np.isinf(table.loc["a", "smallest alone"]) and np.isinf(table.loc["twice", "smallest alone"])
    assert (table.loc[["a", "twice"], "smallest jointly"] > 0).all()


def test_tolerances_between_groups_are_explained_by_pair():
    rng = np.random.default_rng(2)
    x = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})
    t = np.repeat([0, 1, 2], 20)
    x.loc[t == 1, "a"] += 4
    arguments = {"estimand": "ATE", "tolerance": 5.0}
    table = explained(co.BalanceProblem(x, t, between=0.01, **arguments)).explanation
    pair = table.xs("a", level="covariate")["smallest jointly"]
    assert pair.loc[[(0, 1)]].item() > 0.01 and table.index.names == ["group", "covariate"]
    largest = max(pair[key] for key in pair.index if isinstance(key, tuple))
    assert co.solve(co.BalanceProblem(x, t, between={"a": largest * 1.001, "b": 0.01}, **arguments)).is_optimal


def test_a_large_problem_is_explained_only_when_asked(monkeypatch):
    from causalopt.problems.balance import infeasible as balance_explain

    monkeypatch.setattr(balance_explain, "PROMPT_ENTRIES", 10)
    x, t = shifted(by=4.0)
    solved = []
    monkeypatch.setattr(
        balance_explain, "Elastic", lambda part, real=balance_explain.Elastic: solved.append(1) or real(part)
    )
    error = explained(co.BalanceProblem(x, t, tolerance=0.01))
    assert not solved and "computed when you look at it" in str(error)
    assert error.explanation.loc["a", "smallest alone"] > 0.01 and solved


def test_the_elastic_program_agrees_with_the_certificates_of_dual_newton():
    for seed in range(6):
        x, t = shifted(seed, by=1.5 + 0.5 * seed)
        problem = co.BalanceProblem(x, t, tolerance=0.02)
        with Elastic(parts(problem.study)[0]) as live:
            total = live.jointly().sum()
        answer = dual_newton.solve(problem.separable()[0][1])
        assert (total > 1e-7) == (answer.termination.reason.value == "infeasible")


def from_scratch(part, elastic, side=None):
    """Return the least extra tolerance of some, or of one bound on the weights, by a linear program of its own."""
    problem, p = part.study, len(part.study.names)
    blocks = part.whole_blocks()
    rows, lower, upper, give = [], [], [], []
    for k, block in enumerate(blocks):
        for row, q, low, high in zip(block.data, block.kept, block.lower, block.upper, strict=True):
            wide = np.zeros(problem.n_weights)
            wide[block.start : block.start + len(row)] = row
            rows.append(wide), lower.append(low), upper.append(high)
            give.append(np.zeros(len(part.tolerance)))
            if q < p:
                give[-1][k * p + q] = block.factor[q] * elastic[k * p + q]
    own = {"lower": problem.lower, "upper": problem.upper}
    if side is None:
        program = co.Program.from_arrays(np.zeros(problem.n_weights), rows, lower, upper, *own.values())
        found = least_relaxation(program, np.array(give), upper=np.where(elastic, np.inf, 0.0), solver="highs")
        return None if found is None else found.extra
    n, inside = problem.n_weights, np.concatenate([np.arange(b.start, b.start + b.data.shape[1]) for b in blocks])
    one = np.eye(n)[np.unique(inside)]
    at = np.full(len(one), own[side])
    free = np.full(len(one), np.inf)
    low, high = (at, free) if side == "lower" else (-free, at)
    own[side] = -np.inf if side == "lower" else np.inf
    program = co.Program.from_arrays(
        np.zeros(n), np.vstack([rows, one]), [*lower, *low], [*upper, *high], *own.values()
    )
    found = least_relaxation(program, np.repeat([0.0, 1.0], [len(rows), len(one)])[:, None], solver="highs")
    return None if found is None else found.total


def hard_problems():
    """Yield problems without weights of every kind."""
    for seed in range(4):
        x, t = shifted(seed, by=1.5 + seed)
        yield co.BalanceProblem(x, t, tolerance=0.02)
        yield co.BalanceProblem(x, t, tolerance={"a": 0.0, "b": 0.05, "c": 0.3}, upper=2.0 + seed)
        yield co.BalanceProblem(x * [1e-3, 1.0, 50.0], t, tolerance=0.0, scale="raw", lower=0.2, upper=4.0)
        yield co.BalanceProblem(x, t, estimand="ATE", tolerance=0.01, upper=1.5)
        group = np.repeat([0, 1, 2], [15, 15, 10])
        yield co.BalanceProblem(x, group, estimand="ATE", tolerance=np.inf, between=0.001, upper=1.4)
        kinds = x.assign(kind=pd.Categorical(np.resize(list("uvvw"), len(x))))
        yield co.BalanceProblem(kinds, t, tolerance=0.0, upper=3.0)


def test_one_live_program_answers_as_a_program_of_its_own_for_each_question():
    kinds = {"none alone": 0, "one alone": 0, "no bound": 0, "a bound": 0}
    for problem in hard_problems():
        for part in parts(problem.study):
            tolerance = part.tolerance
            with Elastic(part) as live:
                jointly = live.jointly()
                assert jointly.sum() == pytest.approx(from_scratch(part, np.isfinite(tolerance)).sum(), abs=1e-9)
                if not jointly.any():
                    continue
                for k in np.flatnonzero(np.isfinite(tolerance)):
                    expected = from_scratch(part, np.arange(len(tolerance)) == k)
                    found = live.alone(k)
                    assert found == np.inf if expected is None else found == pytest.approx(expected[k], abs=1e-9)
                    kinds["none alone" if expected is None else "one alone"] += 1
                for side in ("lower", "upper"):
                    at = getattr(problem, side)
                    if not np.isfinite(at):
                        continue
                    extra = from_scratch(part, np.zeros(len(tolerance)), side)
                    found = live.bound(side)
                    expected = np.inf if extra is None else extra
                    assert abs(found - at) == pytest.approx(expected, rel=1e-9, abs=1e-9)
                    kinds["no bound" if extra is None else "a bound"] += 1
    assert min(kinds.values()) >= 4, kinds


@pytest.mark.parametrize("units", [[1e5, 1e-3, 1.0], [1e-6, 1.0, 1e6]], ids=str)
def test_what_would_do_does_not_depend_on_the_units_of_measurement(units):
    x, t = shifted(n=400, by=4.0)
    given = {"scale": "raw", "upper": 8.0}

    def answers(units):
        tolerance = dict(zip("abc", 0.02 * np.array(units), strict=True))
        with Elastic(parts(co.BalanceProblem(x * units, t, tolerance=tolerance, **given).study)[0]) as live:
            alone = [live.alone(k) / units[k] for k in range(3)]
            return [*alone, live.bound("upper"), live.bound("lower")]

    assert answers(units) == pytest.approx(answers([1.0, 1.0, 1.0]), rel=1e-9)


# ---- factorial ----


def test_factorial_tolerances_are_those_of_bisection_by_effect_and_function():
    rng = np.random.default_rng(9)
    z = pd.DataFrame(rng.integers(0, 2, (200, 2)), columns=["a", "b"])
    x = pd.DataFrame({"u": rng.normal(size=200) + 4.0 * z["a"], "v": rng.normal(size=200)})
    problem = co.FactorialBalanceProblem(x, z)
    table = explained(problem).explanation
    assert table.loc["b", "u alone"] == 0 and np.isinf(table.loc["a", "v alone"])

    def possible(d):
        try:
            return co.solve(co.FactorialBalanceProblem(x, z, effects=["a"], tolerance={"u": d}), "highs").is_optimal
        except co.InfeasibleError:
            return False

    assert table.loc["a", "u alone"] == pytest.approx(bisected(possible, 0.0, 5.0, 25), abs=1e-5)
    both = table.attrs["all effects"]
    assert both["u"] == pytest.approx(smallest_extra(problem.study, problem.estimated, function=0))
    assert np.isinf(both["v"])


# ---- matchings ----


def random_graph(seed):
    rng = np.random.default_rng(seed)
    r, c = rng.integers(2, 7, 2)
    return rng.random((r, c)) < rng.choice([0.15, 0.3, 0.5])


@pytest.mark.parametrize("side", ["treated", "control"])
def test_deficient_sets_have_the_largest_deficiency_of_all_sets(side):
    seen = 0
    for seed in range(120):
        allowed = random_graph(seed)
        graph = MatchGraph.from_matrix(allowed)
        links = allowed if side == "treated" else allowed.T
        largest = max(len(pairs) for pairs in matchings(allowed))
        assert graph.largest == largest
        deficiency = max(
            len(some) - int(links[list(some)].any(axis=0).sum())
            for k in range(len(links) + 1)
            for some in itertools.combinations(range(len(links)), k)
        )
        deficient, partners = deficient_units(graph, side)
        assert (links[deficient].any(axis=0) == partners).all()
        assert deficient.sum() - partners.sum() == deficiency == len(links) - largest
        table = blocking_table(graph, side)
        assert table["left out"].sum() == deficiency and (table["left out"] > 0).all()
        assert table["units"].sum() <= deficient.sum()
        seen += len(table) > 1
    assert seen > 5


@pytest.mark.parametrize("solver", ["hungarian", "highs"])
def test_an_assignment_names_the_units_that_compete_and_those_without_a_partner(solver):
    cost = pd.DataFrame(np.full((4, 5), np.inf), index=["ann", "bob", "cy", "di"], columns=list("vwxyz"))
    cost.loc["ann", "v"] = cost.loc["bob", "v"] = cost.loc["di", "w"] = cost.loc["di", "v"] = 1.0
    error = explained(co.AssignmentProblem(cost), solver)
    assert "3 row units have only 1 column unit as partners among them (1 of them have none)" in str(error)
    table = error.explanation
    assert table[["units", "partners", "left out", "treated", "control partners"]].values.tolist() == [
        [1, 0, 1, "cy", ""],
        [2, 1, 1, "ann, bob", "v"],
    ]
    assert (table.attrs["asked"], table.attrs["largest"]) == (4, 2)
    assert co.solve(co.AssignmentProblem(cost, cardinality=2), solver).total == 2.0


def test_the_side_that_must_be_used_up_is_the_one_explained():
    cost = pd.DataFrame(np.full((3, 2), np.inf), index=list("abc"), columns=["x", "y"])
    cost["x"] = 1.0
    error = explained(co.AssignmentProblem(cost))
    assert "Left out: 1 column unit without any partner" in str(error)
    assert error.explanation.loc[0, "control"] == "y"


def test_more_pairs_than_treated_units_say_that_all_are_in():
    error = explained(co.RobustZProblem([1.0, 2.0], [1.0, 2.0, 4.0], np.ones((2, 3)), pairs=3))
    assert "All 2 treated units are in it" in str(error) and len(error.explanation) == 0


@pytest.mark.parametrize("solver", ["parametric", "greedy", "highs"])
def test_a_robust_test_names_the_units_that_block(solver):
    allowed = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]])
    problem = co.RobustZProblem(
        pd.Series([1.0, 2, 3, 4], list("abcd")), pd.Series([1.0, 2, 3, 4], list("wxyz")),
        pd.DataFrame(allowed, index=list("abcd"), columns=list("wxyz")), pairs=3,
    )  # fmt: skip
    error = explained(problem, solver)
    assert "the largest n is 2" in str(error) and "3 treated units have only 1 control unit" in str(error)
    assert error.explanation["treated"].tolist() == ["d", "a, b"]


def test_a_robust_test_from_a_frame_says_which_key_or_caliper_blocks():
    rng = np.random.default_rng(4)
    df = pd.DataFrame({"t": rng.integers(0, 2, 40), "site": rng.integers(0, 4, 40), "age": rng.normal(40, 9, 40)})
    df["y"] = rng.normal(size=40)
    given = {"exact": ["site"], "calipers": {"age": 3.0}}
    with pytest.raises(co.InfeasibleError) as caught:
        co.robust_z_test(df, outcome="y", treatment="t", pairs=15, **given)
    table = caught.value.explanation.attrs["conditions"]
    assert table["condition"].to_dict() == {"site": "exact key", "age": "caliper 3"}
    without = {"site": co.match_graph(df, "t", [], {"age": 3.0}), "age": co.match_graph(df, "t", ["site"])}
    for name, graph in without.items():
        assert table.loc[name, "largest n"] == graph.largest > co.match_graph(df, "t", **given).largest
        idle = (graph.degrees()["treated"].get(0, 0)) if 0 in graph.degrees().index else 0
        assert table.loc[name, "treated without a partner"] == idle


@pytest.mark.parametrize("solver", ["matching", "highs"])
def test_discordant_pairs_are_explained_in_the_graph_of_discordant_pairs(solver):
    allowed = np.ones((3, 3))
    problem = co.RobustMcNemarProblem([1, 1, 1], [0, 1, 1], allowed, pairs=2)
    error = explained(problem, solver)
    assert "the largest n is 1" in str(error) and "3 treated units have only 1 control unit" in str(error)
    assert error.explanation.loc[0, ["units", "partners", "left out"]].tolist() == [3, 1, 2]


# ---- copulas ----


def test_a_slack_names_the_smallest_one_with_arm_stratum_and_value():
    y = np.array([1.0, 2, 3, 7, 7, 7, 1, 1, 2])
    z = np.array([1, 1, 1, 0, 0, 0, 0, 1, 0])
    strata = np.array(list("ppppppqqq"))
    with pytest.raises(co.InfeasibleError) as caught:
        co.CopulaProblem(y, z, co.Stratified(strata, {"p": 3, "q": 1}), strata=strata, slack=0.01)
    table = caught.value.explanation
    for _, row in table.iterrows():
        inside = strata == row["stratum"]
        arm = int(row["missing outcome of arm"])
        seen, missing = y[inside & (z == arm)], int((inside & (z != arm)).sum())
        values = np.unique(seen)
        share = np.array([(seen == v).mean() for v in values])
        best = min(
            np.abs(share - np.array(counts) / missing).max()
            for counts in itertools.product(range(missing + 1), repeat=len(values))
            if sum(counts) == missing
        )
        assert row["smallest slack"] == pytest.approx(best) and row["units"] == missing
        assert row["blocks"] == (best > 0.01)
        at = int(np.flatnonzero(values == row["value"])[0])
        assert row["wants"] == pytest.approx(share[at] * missing)
        assert abs(row["wants"] - row["gets"]) / missing == pytest.approx(best)
    worst = table.loc[table["smallest slack"].idxmax()]
    assert f"the smallest feasible slack is {worst['smallest slack']:.10g}" in str(caught.value)
    assert f"outcome {worst['missing outcome of arm']} in {worst['stratum']!r}" in str(caught.value)
    least = table["smallest slack"].max()
    assert co.CopulaProblem(y, z, co.Stratified(strata, {"p": 3, "q": 1}), strata=strata, slack=least).slack == least


@pytest.mark.parametrize("solver", ["highs", "alternating"])
def test_a_slack_that_only_a_search_shows_to_be_too_small_is_explained_too(solver):
    """Where units weigh differently, the first check of the slack is only necessary."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(60):
        n = int(rng.integers(5, 9))
        y, z = rng.integers(0, 3, n) * 1.0, rng.permutation(np.arange(n) % 2)
        design = co.Bernoulli(rng.uniform(0.2, 0.8, n))
        least = co.CopulaProblem(y, z, design, estimator="horvitz-thompson").smallest_slack
        try:
            problem = co.CopulaProblem(y, z, design, estimator="horvitz-thompson", slack=least * 0.97)
        except co.InfeasibleError:
            continue
        error = explained(problem, solver, formulation="convex")
        table = error.explanation
        assert table["smallest slack"].max() == pytest.approx(least) and table["blocks"].any()
        assert f"{least:.10g}" in str(error)
        found += 1
        if found == 4:
            return
    pytest.fail("no slack passed the first check")


# ---- synthetic control ----


@pytest.mark.parametrize("which", list(itertools.product([False, True], repeat=4)))
def test_a_synthetic_control_always_has_weights_whatever_the_constraints(which):
    """Equal weights satisfy every combination, so that this problem alone cannot be infeasible."""
    names = ("no_intercept", "sum_to_one", "nonnegative", "equal")
    rng = np.random.default_rng(0)
    outcomes = pd.DataFrame(rng.normal(size=(8, 4)), columns=list("abcd"))
    problem = co.SyntheticControlProblem(outcomes, "a", 5, weights=dict(zip(names, which, strict=True)))
    program = problem.direct_program("residual")
    x = np.zeros(program.n_columns)
    x[:3] = 1 / 3
    residuals = np.arange(program.n_columns - 5, program.n_columns)
    x[residuals] = program.row_lower[:5] - (program.A @ x)[:5]
    assert scaled_violations(program, x)[2] < 1e-12
    assert not co.explain_infeasibility(problem)


# ---- every problem ----


def test_a_problem_without_terms_of_its_own_lists_its_rows():
    from causalopt.solving.problem import Problem

    rng = np.random.default_rng(0)
    problem = co.SyntheticControlProblem(pd.DataFrame(rng.normal(size=(8, 4)), columns=list("abcd")), "a", 5)
    error = Problem.infeasible(problem, co.Result(status=None, solver="highs").replace(status=_infeasible()))
    assert "No solution satisfies the constraints" in str(error) and len(error.explanation) == 0


def _infeasible():
    from causalopt.verifying.claims import Reason, Termination

    return Termination(Reason.INFEASIBLE, raw="claimed")


def test_errors_can_be_handed_to_another_process_before_they_are_looked_at():
    x, t = shifted(by=4.0)
    error = explained(co.BalanceProblem(x, t, tolerance=0.01))
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    pd.testing.assert_frame_equal(again.explanation, error.explanation)


def test_the_smallest_alone_works_as_the_one_tolerance_of_all_groups():
    """The user names one tolerance a covariate, though every group has a row of its own."""
    seen = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        t = rng.integers(0, 2, 40)
        x = pd.DataFrame(rng.normal(size=(40, 2)) + 1.6 * t[:, None] * np.array([1, 0.3]), columns=["a", "b"])
        x["b"] = np.where(rng.random(40) < 0.15, x["b"], 0) + 0.02 * t
        arguments = {"estimand": "ATE", "upper": 1.7}
        try:
            co.solve(co.BalanceProblem(x, t, tolerance=0.0, **arguments))
            continue
        except co.InfeasibleError as error:
            table = error.explanation
        for (_, name), row in table.iterrows():
            value = row["smallest alone"]
            assert np.isfinite(value) or np.isinf(value)
            tried = {name: value if np.isfinite(value) else 100.0, "default": 0.0}
            if np.isfinite(value):
                assert co.solve(co.BalanceProblem(x, t, tolerance=tried, **arguments)).is_optimal
                seen += 1
                tried[name] = 0.99 * value
            with pytest.raises(co.InfeasibleError):
                co.solve(co.BalanceProblem(x, t, tolerance=tried, **arguments))
    assert seen


def test_tolerances_that_stand_for_several_rows_of_one_part_are_not_looked_for():
    rng = np.random.default_rng(1)
    t = rng.integers(0, 2, 40)
    x = pd.DataFrame({"a": rng.normal(size=40) + 3 * t})
    error = explained(co.BalanceProblem(x, t, estimand="ATE", tolerance=0.0, between=0.5, upper=1.5))
    alone = error.explanation["smallest alone"]
    assert alone[[0, 1]].isna().all()  # the groups'; both follow from one number
    assert error.explanation.attrs["legend"]["smallest alone"].endswith("empty: not looked for")
