import numpy as np
import pandas as pd
import pytest
from copula_cases import DESIGNS, enumerated_variance, random_problem
from hypothesis import given, settings
from hypothesis import strategies as st

import causalopt as co
from causalopt.problems.copula.slack import smallest_deviation, validity_probability
from causalopt.solving.backend import installed_backends
from causalopt.verifying.claims import Proof

INSTALLED = {backend.name for backend in installed_backends()}
LINEAR = ("mccormick", "rlt", "rlt-dense")
# Solver and formulations. HiGHS takes no nonconvex program; it takes `convex` by tangents.
COMBINATIONS = {
    "highs": (*LINEAR, "convex"),
    "scip": (*LINEAR, "convex", "quadratic"),
    "gurobi": (*LINEAR, "convex", "quadratic"),
    "cplex": (*LINEAR, "convex", "quadratic"),
}
# CPLEX 22.2 claims wrong optima of nonconvex MIQPs unless it makes their binary products linear first.
OPTIONS = {("cplex", "quadratic"): {"preprocessing.qtolin": 1}}


@pytest.fixture(scope="module")
def gdp(shared_data):
    """2019 GDP of the 50 largest economies of 2018, in that order."""
    df = pd.read_csv(shared_data / "imf_weo" / "gdp_2017_2019.csv", index_col="country").dropna()
    return df.sort_values("gdp_2018", ascending=False).head(50)


def study(gdp, design, seed=1):
    y = gdp["gdp_2019"]
    z = pd.Series(design.sample(1, n=len(y), seed=seed)[0].astype(int), index=y.index)
    return y, z


# ---- every formulation and solver against enumeration ----


def agree_with_enumeration(seed, largest, solvers):
    problem, y, z, name = random_problem(seed, largest)
    best, feasible = enumerated_variance(problem, y, z, name)
    assert feasible > 0
    scale = max(best, 1e-3 * np.diag(problem.objective.matrix).max() * y.var())
    for solver in solvers:
        for formulation in COMBINATIONS[solver]:
            options = OPTIONS.get((solver, formulation))
            try:
                result = co.solve(problem, solver, formulation=formulation, options=options)
            except co.LicenseError:
                assert solver in ("gurobi", "cplex")
                continue
            what = (seed, DESIGNS[seed % len(DESIGNS)], name, solver, formulation)
            assert abs(result.variance - best) <= 1e-7 * scale, what
            assert result.is_optimal or (result.gap is not None and result.gap < 1e-4), what
    found = co.solve(problem, "alternating", formulation="convex")
    assert found.variance <= best + 1e-9 * scale
    if found.is_optimal:
        assert found.verification.proof is Proof.CERTIFIED
        assert found.variance >= best - 2e-6 * scale
    assert found.bound >= best - 1e-9 * scale
    if problem.fast_paths("rlt"):
        exact = co.solve(problem, "rearrangement")
        assert abs(exact.variance - best) <= 1e-9 * scale


@pytest.mark.parametrize("seed", range(24))
def test_formulations_equal_enumeration(seed):
    agree_with_enumeration(seed, 6, ["highs"])


@pytest.mark.parametrize("solver", ["scip", "gurobi", "cplex"])
@pytest.mark.parametrize("seed", range(0, 16))
def test_formulations_equal_enumeration_on_other_solvers(seed, solver):
    if solver not in INSTALLED:
        pytest.skip(f"{solver} is not installed")
    agree_with_enumeration(seed, 6, [solver])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(300))
def test_formulations_equal_enumeration_on_300_designs(seed):
    agree_with_enumeration(seed, 8, [name for name in COMBINATIONS if name in INSTALLED])


def test_doubly_robust_and_conditional_marginals_equal_enumeration():
    rng = np.random.default_rng(3)
    n = 8
    y, m, z = rng.normal(size=n).round(2), rng.normal(size=n).round(2), np.array([1, 0, 0, 1, 1, 0, 0, 1])
    strata = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    design = co.Bernoulli(0.5)
    problem = co.CopulaProblem(y, z, design, estimator="doubly-robust", predictions=m, strata=strata, slack=0)
    e = y - m
    assignments, probability = design.enumerate(n)
    best = 0.0
    from itertools import permutations, product

    arms = [[np.flatnonzero((z == a) & (strata == s)) for s in (0, 1)] for a in (0, 1)]
    for orders in product(*(permutations(range(2)) for _ in range(4))):
        e1, e0 = e.copy(), e.copy()
        for s in (0, 1):
            e1[arms[0][s]] = e[arms[1][s]][list(orders[s])]
            e0[arms[1][s]] = e[arms[0][s]][list(orders[2 + s])]
        tau = np.where(assignments, e1, -e0).sum(axis=1) * 2 / n
        best = max(best, probability @ tau**2 - (probability @ tau) ** 2)
    for formulation in ("rlt", "convex", "mccormick"):
        assert co.solve(problem, "highs", formulation=formulation).variance == pytest.approx(best, rel=1e-9)
    result = co.solve(problem, "highs")
    treated = result.imputed["treated"]
    np.testing.assert_allclose(result.imputed["outcome 1"][treated], y[treated])
    imputed = (result.imputed["outcome 0"] - m)[treated & (strata == 1)]
    np.testing.assert_allclose(np.sort(imputed), np.sort(e[(z == 0) & (strata == 1)]))


def test_a_support_of_the_user_is_used():
    y, z = np.array([1.0, 2.0, 4.0, 7.0]), np.array([1, 1, 0, 0])
    design = co.CompleteRandomization(2)
    narrow = co.solve(co.CopulaProblem(y, z, design, slack=1), "highs")
    wide = co.solve(co.CopulaProblem(y, z, design, slack=1, support={1: [1, 2, 50]}), "highs")
    assert wide.variance > narrow.variance
    assert (wide.imputed.loc[z == 0, "outcome 1"] == 50).any()
    assert wide.imputed.loc[z == 1, "outcome 0"].isin([4, 7]).all()


# ---- the source's sizes ----


def test_matched_pairs_of_50_countries(gdp):
    design = co.MatchedPairs(np.arange(50) // 2)
    y, z = study(gdp, design)
    problem = co.CopulaProblem(y, z, design)
    closed = co.solve(problem)
    assert closed.solver == "rearrangement" and closed.formulation == "rlt" and closed.is_optimal
    exact = co.solve(problem, "highs")
    assert exact.is_optimal and exact.method.startswith("mip")
    assert closed.variance == pytest.approx(exact.variance, rel=1e-9)
    bounded = co.solve(problem, "alternating")
    assert bounded.verification.proof is Proof.CERTIFIED and bounded.is_optimal
    assert bounded.variance == pytest.approx(exact.variance, rel=1e-9)
    assert list(closed.imputed.index) == list(y.index)
    for arm, name in ((1, "outcome 1"), (0, "outcome 0")):
        seen = closed.imputed["treated"] == bool(arm)
        np.testing.assert_allclose(np.sort(closed.imputed.loc[~seen, name]), np.sort(y[seen]))


@pytest.mark.parametrize(("treated", "slack"), [(25, None), (20, 0.05), (20, None)])
def test_complete_randomization_of_50_countries_by_tangents(gdp, treated, slack):
    design = co.CompleteRandomization(treated)
    y, z = study(gdp, design)
    problem = co.CopulaProblem(y, z, design, slack=slack)
    result = co.solve(problem, "highs")
    assert result.formulation == "convex" and result.is_optimal and "tangents" in result.method
    assert result.interval().lower < result.estimate < result.interval().upper
    local = co.solve(problem, "alternating", time_limit=1)
    assert local.variance <= result.variance * (1 + 1e-9) and local.bound >= result.variance * (1 - 1e-9)
    if treated == 25:
        closed = co.solve(problem)
        assert closed.solver == "rearrangement"
        assert closed.variance == pytest.approx(result.variance, rel=1e-9)
        y1, y0 = closed.imputed["outcome 1"], closed.imputed["outcome 0"]
        by_outcome = pd.DataFrame({"1": y1.rank(method="first"), "0": y0.rank(method="first")})
        for arm in (True, False):  # isotone within each arm
            part = by_outcome[closed.imputed["treated"] == arm].sort_values("1")
            assert part["0"].is_monotonic_increasing


@pytest.mark.parametrize("seed", [1, 4])
def test_rerandomization_is_proven_by_branching(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=12)
    y = 2 * x + rng.normal(size=12)
    design = co.Rerandomized(co.CompleteRandomization(6), co.MahalanobisBalance(x, 0.1))
    problem = co.CopulaProblem(y, design.sample(1, n=12, seed=seed)[0].astype(int), design)
    ours = co.solve(problem, "alternating")
    theirs = co.solve(problem, "highs")
    assert ours.is_optimal and ours.verification.proof is Proof.CERTIFIED and ours.gap < 1e-6
    assert ours.variance == pytest.approx(theirs.variance, rel=1e-6)
    dense = co.solve(problem, "alternating", formulation="rlt-dense")
    assert dense.verification.proof is Proof.CERTIFIED
    assert dense.bound >= theirs.variance * (1 - 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_rerandomization_of_30_units_is_proven(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=30)
    y = np.exp(x + rng.normal(size=30))
    design = co.Rerandomized(co.CompleteRandomization(15), co.MahalanobisBalance(x, 0.1))
    problem = co.CopulaProblem(y, design.sample(1, n=30, seed=seed)[0].astype(int), design)
    result = co.solve(problem, "alternating", time_limit=120)
    assert result.is_optimal and result.verification.proof is Proof.CERTIFIED and result.gap < 1e-6
    assert "simulated from 20,000" in result.summary()


# ---- slack ----


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_smallest_slack_of_counts_is_the_published_rounding(seed):
    rng = np.random.default_rng(seed)
    n1, n0 = rng.integers(2, 12, size=2)
    y = rng.integers(0, 5, size=n1 + n0).astype(float)
    z = np.arange(n1 + n0) < n1
    problem = co.CopulaProblem(y, z.astype(int), co.CompleteRandomization(int(n1)))
    expected = 0.0
    for seen in (z, ~z):
        share = np.unique(y[seen], return_counts=True)[1] / seen.sum()
        others = int((~seen).sum())
        counts = np.floor(share * others + 1e-9)
        remainder = np.argsort(-(share * others - counts), kind="stable")
        counts[remainder[: int(others - counts.sum())]] += 1
        expected = max(expected, np.abs(share - counts / others).max())
    assert problem.slack == pytest.approx(expected, abs=1e-12)
    assert problem.slack <= 1 / min(n1, n0) + 1e-12  # lemma 1 of the source
    if problem.slack > 1e-9:
        with pytest.raises(co.InfeasibleError, match="smallest feasible slack"):
            co.CopulaProblem(y, z.astype(int), co.CompleteRandomization(int(n1)), slack=problem.slack * 0.99)


def test_smallest_slack_with_unequal_probabilities_is_the_smallest_of_all_imputations():
    rng = np.random.default_rng(0)
    p = np.array([0.3, 0.45, 0.6, 0.5, 0.35, 0.7])
    y, z = rng.integers(0, 3, size=6).astype(float), np.array([1, 0, 1, 0, 0, 1], bool)
    problem = co.CopulaProblem(y, z.astype(int), co.Bernoulli(p), estimator="horvitz-thompson")
    from itertools import product

    smallest = np.inf
    for missing in product(*(np.unique(y[z]) if not z[i] else np.unique(y[~z]) for i in range(6))):
        worst = 0.0
        for arm in (True, False):
            values = np.where(z == arm, y, missing)
            for k in np.unique(y[z == arm]):
                worst = max(worst, abs(((values == k) * (z / p - (~z) / (1 - p))).sum()) / 6)
        smallest = min(smallest, worst)
    assert problem.slack == pytest.approx(smallest, abs=1e-9)
    with pytest.raises(co.InfeasibleError, match=f"smallest feasible slack is {smallest:.4f}"[:-2]):
        co.solve(
            co.CopulaProblem(y, z.astype(int), co.Bernoulli(p), estimator="horvitz-thompson", slack=smallest * 0.9),
            "highs",
        )


def test_more_slack_never_lowers_the_variance(gdp):
    design = co.CompleteRandomization(12)
    y, z = study(gdp.head(24), design)
    variances = [co.solve(co.CopulaProblem(y, z, design, slack=s), "highs").variance for s in (0, 0.05, 0.1, 0.2)]
    assert (np.diff(variances) >= -1e-9 * variances[0]).all() and variances[-1] > variances[0]


def test_smallest_deviation_finds_whole_counts():
    assert smallest_deviation(np.array([2.0, 3.0]), 5) <= 1e-9
    assert smallest_deviation(np.array([0.5, 0.5, 4.0]), 5) == pytest.approx(0.5)
    assert smallest_deviation(np.array([0.0, 0.0]), 3) == pytest.approx(2.0)


def test_the_theory_is_of_use_for_large_experiments_only():
    complete = co.CompleteRandomization
    assert validity_probability(complete(25), 0.57, 50) == 0
    assert validity_probability(complete(25), 0.58, 50) > 0
    assert validity_probability(complete(5000), 0.1, 10_000) > 0.999
    assert validity_probability(complete(5000), 0.1, 10_000, delta=0.02) < validity_probability(
        complete(5000), 0.1, 10_000
    )
    assert validity_probability(complete(5000), 0.1, 10_000, delta=0.06) == 0
    problem = co.CopulaProblem(np.arange(20.0), np.arange(20) % 2, complete(10), slack="theory")
    assert problem.validity_probability() == pytest.approx(0.95)
    with pytest.raises(co.DataError, match="No probability bound is known"):
        validity_probability(co.KnownCovariance(np.eye(4) / 4, 0.5), 0.5)


def test_the_probability_bound_holds_in_simulation():
    rng = np.random.default_rng(0)
    n, slack = 60, 0.62
    y1, y0 = rng.integers(0, 2, size=n), rng.integers(0, 2, size=n)
    z = co.Bernoulli(0.5).sample(4_000, n=n, seed=1)
    xi = z / 0.5 - (~z) / 0.5
    holds = np.ones(len(z), dtype=bool)
    for values in (y1, y0):
        for k in (0, 1):
            holds &= np.abs(xi @ (values == k)) <= slack * n
    assert holds.mean() >= validity_probability(co.Bernoulli(0.5), slack, n) > 0


# ---- invariances ----


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), exponent=st.integers(-6, 6), shift=st.floats(-1e3, 1e3))
def test_units_order_and_level_do_not_matter(seed, exponent, shift):
    rng = np.random.default_rng(seed)
    y = pd.Series(rng.normal(size=10), index=list("abcdefghij"))
    z = pd.Series(rng.permutation(np.arange(10) % 2), index=y.index)
    design = co.CompleteRandomization(5)
    first = co.solve(co.CopulaProblem(y, z, design, slack=0.2), "highs")
    order = rng.permutation(10)
    scale = 10.0**exponent
    second = co.solve(
        co.CopulaProblem((y * scale + shift * scale).iloc[order], z.iloc[order], design, slack=0.2), "highs"
    )
    assert second.variance == pytest.approx(first.variance * scale**2, rel=1e-6)


def test_exchanging_the_arms_changes_only_the_sign():
    rng = np.random.default_rng(4)
    y, z = rng.normal(size=10), rng.permutation(np.arange(10) % 2)
    first = co.solve(co.CopulaProblem(y, z, co.MatchedPairs(pairs_for(z))))
    second = co.solve(co.CopulaProblem(y, 1 - z, co.MatchedPairs(pairs_for(z))))
    assert first.estimate == pytest.approx(-second.estimate)
    assert first.variance == pytest.approx(second.variance)


def pairs_for(z):
    labels = np.empty(len(z), dtype=int)
    labels[z == 1], labels[z == 0] = np.arange((z == 1).sum()), np.arange((z == 0).sum())
    return labels


# ---- embedding, labels, tables ----


def test_the_model_can_be_extended():
    import pyomo.environ as pyo

    y = pd.Series([1.0, 2.0, 4.0, 3.0, 5.0, 9.0], index=list("abcdef"))
    z = pd.Series([1, 0, 1, 0, 0, 1], index=y.index)
    problem = co.CopulaProblem(y, z, co.CompleteRandomization(3))
    free = co.solve(problem, "highs", formulation="rlt")
    m = pyo.ConcreteModel()
    m.copula = pyo.Block()
    problem.attach(m.copula, "rlt")
    m.largest = pyo.Objective(expr=m.copula.cost, sense=pyo.maximize)
    assert co.solve(m, "highs").objective == pytest.approx(free.variance)
    i = problem.index("b", free.imputed.loc["b", "outcome 1"])
    assert problem.label(i) == ("b", free.imputed.loc["b", "outcome 1"])
    m.forbidden = pyo.Constraint(expr=m.copula.choice[i] == 0)
    assert co.solve(m, "highs").objective < free.variance
    with pytest.raises(co.DataError, match="not in the support of row 'b'"):
        problem.index("b", 77.0)


@pytest.mark.parametrize("formulation", ["rlt", "convex", "mccormick", "rlt-dense", "quadratic"])
def test_the_point_of_an_imputation_needs_no_model(formulation):
    y, z = np.arange(8.0) ** 2, np.arange(8) % 2
    problem = co.CopulaProblem(y, z, co.CompleteRandomization(4))
    choice = problem.heuristic
    x = problem.point(formulation, choice)  # nothing was built before
    program = co.compile_model(problem.build(formulation))
    assert x.shape == (program.n_columns,)
    rows = program.A @ x
    assert (rows >= program.row_lower - 1e-9).all() and (rows <= program.row_upper + 1e-9).all()
    assert program.objective(x) == pytest.approx(problem.objective.value(problem.columns.missing(choice)))


def test_problem_lists_formulations_sizes_and_solvers():
    problem = co.CopulaProblem(np.arange(8.0), np.arange(8) % 2, co.CompleteRandomization(4))
    assert list(problem.formulations.index) == ["rlt", "convex", "mccormick", "rlt-dense", "quadratic"]
    assert (problem.formulations["exact"] == "exact").all()
    sizes = problem.sizes()
    for name in problem.formulations.index:
        model = problem.build(name)
        program = co.compile_model(model)
        assert program.n_columns == sizes.loc[name, "columns"], name
        assert program.n_rows <= sizes.loc[name, "rows"], name
        stored = program.A.nnz + (0 if program.Q is None else program.Q.nnz)
        assert stored <= sizes.loc[name, "nonzeros"] + program.n_columns, name
    assert problem.solvers("rlt").loc["rearrangement", "can solve"]
    assert problem.solvers("convex").loc["highs"].tolist() == [True, "by tangents"]
    assert not problem.solvers("quadratic").loc["highs", "can solve"]


def test_result_tells_variance_interval_and_copula():
    y, z = np.array([1.0, 2.0, 4.0, 3.0, 5.0, 9.0]), np.array([1, 0, 1, 0, 0, 1])
    result = co.solve(co.CopulaProblem(y, z, co.MatchedPairs([0, 0, 1, 1, 2, 2])), "highs")
    assert result.estimate == pytest.approx(y[z == 1].mean() - y[z == 0].mean())
    interval = result.interval(0.9)
    assert interval.standard_error == pytest.approx(np.sqrt(result.variance))
    assert interval.upper - interval.lower == pytest.approx(2 * 1.6448536 * result.standard_error)
    assert result.copula().to_numpy().sum() == 6
    text = result.summary()
    for part in ("MatchedPairs", "difference-in-means", "smallest feasible", "largest variance"):
        assert part in text


# ---- refusals ----


def test_rearrangement_refuses_what_it_does_not_solve():
    y, z = np.arange(8.0), np.arange(8) % 2
    cases = [
        (co.CopulaProblem(y, z, co.CompleteRandomization(4), slack=0.25), "marginals may differ"),
        (co.CopulaProblem(y, z, co.CompleteRandomization(4), strata=[0] * 4 + [1] * 4), "conditional on strata"),
        (co.CopulaProblem(y, np.r_[1, 1, 0, 0, 0, 0, 1, 0], co.CompleteRandomization(3)), "arms are of unequal size"),
        (co.CopulaProblem(y, z, co.Bernoulli(0.5)), "Horvitz-Thompson"),
        (co.CopulaProblem(y, z, co.Bernoulli(np.linspace(0.3, 0.6, 8)), estimator="horvitz-thompson"), "probabilities"),
        (co.CopulaProblem(y, z, co.Cluster(np.arange(8), 4)), "Cluster has none"),
        (
            co.CopulaProblem(y, z, co.CompleteRandomization(4), estimator="least-squares", covariates=y**2),
            "does not weigh all units equally",
        ),
    ]
    for problem, message in cases:
        assert problem.fast_paths("rlt") == {}
        with pytest.raises(co.UnsupportedProblem, match=message):
            co.solve(problem, "rearrangement")


def test_too_large_formulations_are_refused_with_those_that_fit():
    rng = np.random.default_rng(0)
    problem = co.CopulaProblem(rng.normal(size=120), np.arange(120) % 2, co.CompleteRandomization(60))
    with pytest.raises(
        co.UnsupportedProblem, match=r"'rlt'.*too large.*Formulations that fit: 'convex' \(7,201 columns"
    ):
        co.solve(problem, "highs", formulation="rlt")


def test_a_hundred_thousand_units_are_refused_before_memory_is_touched():
    import tracemalloc

    n = 100_000
    y, z = np.arange(n, dtype=float), np.arange(n) % 2
    tracemalloc.start()
    problem = co.CopulaProblem(y, z, co.CompleteRandomization(n // 2))
    for formulation in (None, "mccormick", "rlt", "rlt-dense", "convex", "quadratic"):
        with pytest.raises(co.UnsupportedProblem, match="No formulation fits 100,000 units"):
            co.solve(problem, "highs", formulation=formulation)
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()


Y, Z = np.arange(6.0), np.array([1, 0, 1, 0, 1, 0])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: co.CopulaProblem(np.r_[Y[:5], np.inf], Z, co.CompleteRandomization(3)), co.DataError, r"row\(s\): 5"),
        (lambda: co.CopulaProblem(np.r_[np.nan, Y[1:]], Z, co.CompleteRandomization(3)), co.DataError, r"row\(s\): 0"),
        (lambda: co.CopulaProblem(["a"] * 6, Z, co.CompleteRandomization(3)), co.DataError, "not numeric"),
        (lambda: co.CopulaProblem(Y, Z[:4], co.CompleteRandomization(3)), co.DataError, "4 values for 6 rows"),
        (lambda: co.CopulaProblem(Y, np.ones(6), co.CompleteRandomization(3)), co.DataError, "other group is empty"),
        (lambda: co.CopulaProblem(Y, Z, co.CompleteRandomization(2)), co.DataError, "3 units are treated"),
        (lambda: co.CopulaProblem(Y, Z, co.MatchedPairs([0, 1, 0, 1, 2, 2])), co.DataError, "pair 0 has 2 treated"),
        (lambda: co.CopulaProblem(Y, Z, co.MatchedPairs([0, 0, 1, 1])), co.DataError, "for 4 units, but there are 6"),
        (lambda: co.CopulaProblem(Y, Z, co.CompleteRandomization(6)), co.DataError, "one group is empty"),
        (lambda: co.CopulaProblem(Y, Z, co.Bernoulli(1.0)), co.DataError, "strictly between 0 and 1"),
        (lambda: co.CopulaProblem(Y, Z, "complete"), co.DataError, "give one of causalopt's designs"),
        (lambda: co.CopulaProblem(Y, Z, co.CompleteRandomization(3), slack=-1), co.DataError, "slack is -1"),
        (lambda: co.CopulaProblem(Y, Z, co.CompleteRandomization(3), slack="tiny"), co.DataError, "slack is 'tiny'"),
        (
            lambda: co.CopulaProblem(Y, Z, co.CompleteRandomization(3), support=[0, 1, 2, 3]),
            co.DataError,
            r"support of Y\(0\) excludes 1 observed value\(s\), such as 5",
        ),
        (
            lambda: co.CopulaProblem(Y, Z, co.CompleteRandomization(3), support={2: [1]}),
            co.DataError,
            "arm 2; the arms are 0 and 1",
        ),
        (
            lambda: co.CopulaProblem(Y, Z, co.CompleteRandomization(3), strata=[0, 1, 0, 1, 0, 1]),
            co.DataError,
            "Stratum 0 has no untreated unit|Stratum 1 has no treated unit",
        ),
        (
            lambda: co.CopulaProblem(Y, np.r_[1, 1, 0, 0, 0, 0], co.CompleteRandomization(2), slack=0.01),
            co.InfeasibleError,
            "smallest feasible slack is 0.25",
        ),
        (
            lambda: co.CopulaProblem(Y, Z, co.KnownCovariance(np.eye(6) / 4, 0.5), estimator="hajek").objective,
            co.DataError,
            "does not say how to draw",
        ),
        (
            lambda: co.solve(co.CopulaProblem(Y, Z, co.CompleteRandomization(3)), formulation="rtl"),
            co.OptionError,
            "Did you mean 'rlt'",
        ),
        (
            lambda: co.solve(co.CopulaProblem(Y, Z, co.CompleteRandomization(3)), "alternatin"),
            co.SolverNotAvailable,
            "Did you mean 'alternating'",
        ),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
