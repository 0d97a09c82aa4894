import itertools
import json

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt.problems.copula.bootstrap import methods, simulation

RNG = np.random.default_rng(8)
PAIRS = np.repeat(np.arange(15), 2)
BASE = RNG.normal(size=15)[PAIRS] * 3 + RNG.normal(size=30)
DESIGN = co.MatchedPairs(PAIRS)
Z = DESIGN.sample(1, seed=2)[0]
Y = pd.Series(BASE + 0.8 * Z, index=[f"u{i}" for i in range(30)])
TREATED = pd.Series(Z.astype(int), index=Y.index)


def test_every_method_and_their_order():
    result = co.causal_bootstrap(Y, TREATED, DESIGN, method="all", studentise=True)
    table = result.table
    assert list(table.index) == ["optimal", "isotone", "sampling", "conservative"]
    assert result.estimate == pytest.approx(Y[Z].mean() - Y[~Z].mean())
    assert result.variance == result.copula.variance == table["variance"].max() or result.method == "optimal"
    assert table.loc["optimal", "variance"] >= table.loc["isotone", "variance"] - 1e-12
    assert (table["normal lower"] < result.estimate).all() and (table["normal upper"] > result.estimate).all()
    assert np.isnan(table.loc["conservative", "quantile lower"])
    assert result.interval() == result.interval("quantile", "optimal")
    assert result.interval("studentised")[0] < result.estimate < result.interval("studentised")[1]
    for part in ("optimal", "sampling", "MatchedPairs", "95%"):
        assert part in result.summary()
    assert list(result.imputed["optimal"].index) == list(Y.index)


def test_imputed_outcomes_redrawn_by_hand_give_the_interval():
    result = co.causal_bootstrap(Y, TREATED, DESIGN, draws=500, seed=3, level=0.9)
    imputed = result.imputed["optimal"]
    y1, y0 = imputed["outcome 1"].to_numpy(), imputed["outcome 0"].to_numpy()
    estimates = np.array([y1[z].mean() - y0[~z].mean() for z in DESIGN.sample(500, seed=3)])
    low, high = np.quantile(estimates - (y1 - y0).mean(), [0.05, 0.95])
    assert (result.lower, result.upper) == pytest.approx((result.estimate - high, result.estimate - low))
    np.testing.assert_array_equal(np.where(Z, y1, y0), Y)


def test_the_normal_interval_uses_the_variance_as_it_is():
    design = co.CompleteRandomization(3)
    y, z = np.array([1.0, 2.0, 4.0, 3.0, 5.0, 9.0]), np.array([1, 0, 1, 0, 0, 1])
    result = co.causal_bootstrap(y, z, design, draws=100)
    imputed = result.imputed["optimal"]
    y1, y0 = imputed["outcome 1"].to_numpy(), imputed["outcome 0"].to_numpy()
    estimates = [y1[list(c)].mean() - np.delete(y0, list(c)).mean() for c in itertools.combinations(range(6), 3)]
    assert result.variance == pytest.approx(np.var(estimates))
    low, high = result.interval("normal")
    assert high - low == pytest.approx(2 * 1.959964 * np.std(estimates), rel=1e-6)


def test_isotone_matches_ranks():
    y, z = np.array([5.0, 1.0, 3.0, 20.0, 10.0, 30.0]), np.array([1, 1, 1, 0, 0, 0], bool)
    y1, y0 = methods.impute_isotone(y, z)
    assert y0[:3].tolist() == [30.0, 10.0, 20.0] and y1[3:].tolist() == [3.0, 1.0, 5.0]
    unequal = methods.impute_isotone(np.arange(6.0), np.array([1, 1, 0, 0, 0, 0], bool))
    assert unequal[0][2:].tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", ["complete", "stratified", "pairs"])
def test_conservative_variances_are_neyman_s_and_too_large_on_average(kind):
    rng = np.random.default_rng(1)
    y1, y0 = rng.normal(size=8), rng.normal(size=8)
    design = {
        "complete": co.CompleteRandomization(4),
        "stratified": co.Stratified(np.repeat([0, 1], 4), 2),
        "pairs": co.MatchedPairs(np.repeat(np.arange(4), 2)),
    }[kind]
    z, probability = design.enumerate(8)
    y = np.where(z, y1, y0)
    values = methods.conservative_variance(design, y, z)
    by_hand = {
        "complete": lambda y, z: y[z].var(ddof=1) / 4 + y[~z].var(ddof=1) / 4,
        "stratified": lambda y, z: sum(
            (y[s][z[s]].var(ddof=1) / 2 + y[s][~z[s]].var(ddof=1) / 2) / 4 for s in (slice(0, 4), slice(4, 8))
        ),
        "pairs": lambda y, z: np.var((np.where(z, y, -y)).reshape(4, 2).sum(axis=1), ddof=1) / 4,
    }[kind]
    np.testing.assert_allclose(values, [by_hand(*row) for row in zip(y, z, strict=True)])
    truth = np.var((np.where(z, y1, -y0)).sum(axis=1) / 4)
    assert probability @ values >= truth - 1e-12


@pytest.mark.parametrize(
    ("estimator", "extra"),
    [
        ("horvitz-thompson", {}),
        ("hajek", {}),
        ("doubly-robust", {"predictions": BASE[:14] + 0.1}),
        ("residualised", {"covariates": np.arange(14.0)}),
        ("least-squares", {"covariates": np.arange(14.0)}),
    ],
)
def test_other_estimators_and_a_design_without_closed_form(estimator, extra):
    base = BASE[:14]
    design = co.Rerandomized(co.CompleteRandomization(7), co.MahalanobisBalance(np.arange(14.0), 0.5))
    z = design.sample(1, n=14)[0]
    result = co.causal_bootstrap(
        base + z, z.astype(int), design, estimator=estimator, method="all", draws=300, time_limit=20, **extra
    )
    assert "conservative" in result.notes and {"optimal", "isotone", "sampling"} <= set(result.table.index)
    assert result.table.loc["optimal", "variance"] >= result.table.loc["isotone", "variance"] * (1 - 1e-9)
    if estimator == "doubly-robust":
        imputed = result.imputed["isotone"]
        np.testing.assert_allclose(np.where(z, imputed["outcome 1"], imputed["outcome 0"]), base + z)


def test_a_known_covariance_gives_normal_intervals_only():
    design = co.KnownCovariance(DESIGN.covariance(), 0.5)
    result = co.causal_bootstrap(Y, TREATED, design, solver="highs", formulation="rlt")
    reference = co.causal_bootstrap(Y, TREATED, DESIGN)
    assert result.variance == pytest.approx(reference.variance, rel=1e-9)
    assert result.interval() == result.interval("normal")
    with pytest.raises(co.DataError, match="has no quantile interval"):
        result.interval("quantile")


def test_hundred_thousand_units_by_baselines():
    n = 20_000
    y, z = np.random.default_rng(0).normal(size=n), np.arange(n) % 2
    for method in ("isotone", "conservative"):
        result = co.causal_bootstrap(y, z, co.CompleteRandomization(n // 2), method=method, draws=100)
        assert result.table.loc[method, "standard error"] == pytest.approx(2 / np.sqrt(n), rel=0.25)
    with pytest.raises(co.UnsupportedProblem, match="No formulation fits"):
        co.causal_bootstrap(y, z, co.CompleteRandomization(n // 2), draws=100)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "optimum"}, co.OptionError, "Did you mean 'optimal'"),
        ({"draws": 10}, co.DataError, "at least 100"),
        ({"level": 95}, co.DataError, "between 0 and 1"),
        ({"estimator": "least-squares"}, co.DataError, "needs covariates="),
        ({"design": co.CompleteRandomization(14)}, co.DataError, "15 units are treated"),
        ({"design": "pairs"}, co.DataError, "one of causalopt's designs"),
        ({"outcome": Y.where(Y.index != "u3")}, co.DataError, "missing or infinite values in 1 row.*u3"),
        ({"design": co.Bernoulli(0.5), "method": "conservative"}, co.DataError, "No conservative variance is known"),
        (
            {"method": "conservative", "estimator": "least-squares", "covariates": BASE},
            co.DataError,
            "for the estimator least-squares",
        ),
    ],
)
def test_bad_input(arguments, error, message):
    given = {"outcome": Y, "treatment": TREATED, "design": DESIGN} | arguments
    with pytest.raises(error, match=message):
        co.causal_bootstrap(given.pop("outcome"), given.pop("treatment"), given.pop("design"), **given)


def test_columns_of_a_table_are_read_as_the_arrays_would_be():
    df = pd.DataFrame({"gdp": Y, "treated": TREATED, "before": BASE, "after": BASE + 1.0})
    df["half"] = np.arange(len(Y)) % 2
    arguments = {"design": DESIGN, "draws": 200}
    by_name = {"outcome": "gdp", "treatment": "treated"} | arguments

    def same(named, given):
        first = co.causal_bootstrap(df, **by_name, **named)
        second = co.causal_bootstrap(df["gdp"], df["treated"], **arguments, **given)
        pd.testing.assert_frame_equal(first.table, second.table)
        assert next(iter(first.imputed.values())).index.equals(df.index)

    same({}, {})
    for names in ("before", ["before"], ["before", "half"]):
        given = df[[names] if isinstance(names, str) else names].to_numpy()
        adjusted = {"estimator": "least-squares", "method": "isotone"}
        same({**adjusted, "covariates": names}, {**adjusted, "covariates": given})
    both = {"estimator": "doubly-robust"}
    same({**both, "predictions": "before"}, {**both, "predictions": df["before"]})
    same({**both, "predictions": ("after", "before")}, {**both, "predictions": (df["after"], df["before"])})
    same({"strata": "half"}, {"strata": df["half"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outcome": "gpd"}, "Unknown column 'gpd'. Did you mean 'gdp'"),
        ({"treatment": "treatd"}, "Unknown column 'treatd'"),
        ({"covariates": ["gdp", "bfore"], "estimator": "least-squares"}, "Unknown column 'bfore'"),
        ({"predictions": 1.1 * Y, "estimator": "doubly-robust"}, "Columns are named here, but a Series was given"),
        ({"outcome": None}, "needs outcome="),
        ({"design": None}, "needs design="),
    ],
)
def test_columns_that_are_not_there_are_named(arguments, message):
    df = pd.DataFrame({"gdp": Y, "treated": TREATED})
    with pytest.raises(co.DataError, match=message):
        co.causal_bootstrap(df, **({"outcome": "gdp", "treatment": "treated", "design": DESIGN} | arguments))


def test_an_unproven_worst_case_gives_the_interval_of_its_bound():
    clusters = np.repeat(np.arange(6), 4)
    y = np.random.default_rng(0).normal(size=24)
    with pytest.warns(co.CausaloptWarning, match="time limit"):
        result = co.causal_bootstrap(y, clusters % 2, co.Cluster(clusters, 3), draws=200, time_limit=2.0)
    copula, row = result.copula, result.table.loc["optimal"]
    assert not copula.is_optimal and copula.variance_bound > copula.variance
    assert row["variance"] == copula.variance_bound
    half = 1.959963984540054 * np.sqrt(copula.variance_bound)
    assert (result.lower, result.upper) == pytest.approx((result.estimate - half, result.estimate + half))
    assert result.interval() == result.interval("normal") != result.interval("quantile")
    assert row["width"] == pytest.approx(2 * half)
    assert "normal one, with the bound" in result.notes["optimal"]


def test_outcomes_are_given_once():
    with pytest.raises(co.DataError, match="twice"):
        co.causal_bootstrap(Y, TREATED, DESIGN, outcome=Y)


def test_plot_draws_every_method():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    result = co.causal_bootstrap(Y, TREATED, DESIGN, method="all", draws=200)
    ax = result.plot()
    assert [label.get_text() for label in ax.get_yticklabels()] == list(result.table.index)
    thin = [line for line in ax.lines if line.get_label() == "normal" and len(line.get_xdata())]
    assert len(thin) == 4
    np.testing.assert_allclose(thin[0].get_xdata(), result.interval("normal", "optimal"))


# ---- the simulation study ----


@pytest.fixture(scope="module")
def economies(shared_data):
    df = pd.read_csv(shared_data / "imf_weo" / "gdp_2017_2019.csv", index_col="country").dropna()
    return df.sort_values("gdp_2018", ascending=False).head(50)


def test_simulation_reproduces_the_published_widths(economies, tmp_path):
    cells = [c for table in list(simulation.tables().values())[:2] for c in table]
    table = simulation.simulate(
        economies["gdp_2019"],
        1.0725 * economies["gdp_2018"],
        cells=cells,
        runs=300,
        workers=1,
        progress=False,
        path=tmp_path / "a",
    )
    published = {
        ("complete", False): (
            {"true": 3574, "conservative": 3991, "isotone": 3348, "optimal": 3348, "sampling": 3967},
            0.05,
        ),
        ("pairs", False): ({"true": 762, "conservative": 1152, "optimal": 2233, "sampling": 4110}, 0.05),
        ("complete", True): ({"true": 142, "optimal": 133}, 0.1),
        ("pairs", True): ({"true": 46, "optimal": 102}, 0.1),
    }
    for (design, covariate), (widths, tolerance) in published.items():
        for method, width in widths.items():
            ours = table.loc[(design, covariate, "none", 0.0, method), "median width"]
            assert ours == pytest.approx(width, rel=tolerance), (design, covariate, method)
    assert table.loc[("pairs", False, "none", 0.0, "optimal"), "coverage"] == 1
    assert table.loc[("pairs", False, "none", 0.0, "isotone"), "coverage"] < 0.1
    # The isotone widths of pairs have two modes of equal weight, 27 to 43 and 93 to 110: the published median of 44
    # lies between them, and a sample's median falls on either side.
    records = [json.loads(line) for line in (tmp_path / "a").read_text().splitlines()]
    isotone = np.concatenate([r["widths"]["isotone"] for r in records if r["cell"] == "pairs|plain|none|0"])
    assert 0.4 < (isotone < 44 * 1.05).mean() < 0.6 and ((isotone > 50) & (isotone < 85)).sum() == 0


def test_simulation_resumes_and_does_not_depend_on_workers(economies, tmp_path):
    y, m = economies["gdp_2019"].head(10), economies["gdp_2018"].head(10)
    cells = [simulation.Cell("pairs", False, "additive", 0.1), simulation.Cell("complete", True, "multiplicative", 0.1)]
    arguments = {"cells": cells, "runs": 200, "draws": 100, "progress": False}
    path = tmp_path / "study.jsonl"
    first = simulation.simulate(y, m, workers=1, path=path, **arguments)
    lines = path.read_text().splitlines()
    assert len(lines) == 4
    path.write_text("\n".join([*lines[:2], lines[2][:40]]))  # interrupted while the third was written
    again = simulation.simulate(y, m, workers=2, path=path, **arguments)
    pd.testing.assert_frame_equal(first, again)
    kept = [line for line in path.read_text().splitlines() if line.endswith("}")]
    assert len(kept) == 4 and {json.loads(line)["batch"] for line in kept} == {0, 1}
    with pytest.raises(co.DataError, match="even number"):
        simulation.simulate(y[:9], m[:9])


def test_closed_forms_of_the_simulation_are_those_of_the_lane():
    for design, z in ((DESIGN, Z), (co.CompleteRandomization(15), Z)):
        y1, y0 = simulation.worst_case(Y.to_numpy(), Z, design)
        result = co.solve(co.CopulaProblem(Y, z.astype(int), design), "rearrangement")
        ours = result.problem.estimator.form(design, 30).value(y1, y0)
        assert ours == pytest.approx(result.variance, rel=1e-10)
