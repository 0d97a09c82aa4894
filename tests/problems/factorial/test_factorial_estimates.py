"""Estimates of factorial effects: formulas written out densely, coverage, baselines, and the published simulation."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from benchmarks.factorial import PUBLISHED, TRUTH, draw_study, one_replication
from causalopt.problems.factorial.estimate import logit_scores


def make_study(n=500, k=3, p=2, seed=0):
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.normal(size=(n, p)), columns=[f"x{j}" for j in range(p)])
    score = 0.7 * x.to_numpy() @ rng.uniform(-1, 1, (p, k)) + rng.logistic(size=(n, k))
    z = pd.DataFrame((score > 0) * 1, columns=list("abc")[:k])
    y = 1 + x["x0"] + z["a"] * (1 + x["x1"]) - z["b"] + rng.normal(size=n) * (1 + z["a"])
    return x.join(z).assign(y=y)


@pytest.fixture(scope="module")
def df():
    return make_study()


def solve(df, **options):
    return co.factorial_balance(df, factors=list("abc"), covariates=["x0", "x1"], **options)


def dense_terms(df, heterogeneous):
    """Return q(X_i, Z_i) and the function that gives q(X_i, z), written out."""
    x = df[["x0", "x1"]].to_numpy()

    def terms(z):
        columns = [np.ones(len(x))]
        columns += [np.prod(z[:, list(j)], axis=1) for m in (1, 2, 3) for j in combinations(range(3), m)]
        columns += list(x.T)
        if heterogeneous:
            columns += [z[:, k] * x[:, s] for k in range(3) for s in range(2)]
        return np.column_stack(columns)

    return terms(2.0 * df[list("abc")].to_numpy() - 1), terms


def unit_effects(df, terms, coefficients, effect):
    total = np.zeros(len(df))
    for cell in np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).T.reshape(-1, 3):
        g = np.prod([cell["abc".index(name)] for name in effect.split(":")])
        total += g * (terms(np.tile(cell, (len(df), 1))) @ coefficients)
    return total / 4


@pytest.mark.parametrize("model", ["additive", "heterogeneous"])
def test_estimates_and_variances_are_those_of_their_formulas(df, model):
    result = solve(df, effects=2, outcome_model=model)
    q, terms = dense_terms(df, model == "heterogeneous")
    w, y, n = result.weights.to_numpy(), df["y"].to_numpy(), len(df)
    inverse = np.linalg.inv(q.T @ (w[:, None] * q))
    b = inverse @ q.T @ (w * y)
    hat = q @ inverse @ (q * w[:, None]).T  # residuals are (I - hat) y
    expected = ((np.eye(n) - hat) ** 2).sum(axis=1)  # their variances under errors of variance one
    plain, adjusted = result.estimate("y", variance="plain"), result.estimate("y")
    for effect in plain.index:
        signed = w * (2 * df[effect.split(":")] - 1).prod(axis=1).to_numpy()
        tau = signed @ y / n
        m = unit_effects(df, terms, b, effect)
        for table, scale in ((plain, 1.0), (adjusted, expected)):
            variance = ((signed * (y - q @ b)) ** 2 / scale).sum() / n**2 + ((m - m.mean()) ** 2).sum() / n**2
            assert table.loc[effect, "estimate"] == pytest.approx(tau, abs=1e-9)
            assert table.loc[effect, "standard error"] == pytest.approx(np.sqrt(variance), rel=1e-8)
        assert adjusted.loc[effect, "lower"] < tau < adjusted.loc[effect, "upper"]
        assert m.mean() == pytest.approx(tau, abs=1e-8)  # exact balance: weighting is that regression
    assert adjusted.attrs["method"].startswith("balancing weights")


@pytest.mark.parametrize("model, estimator", [("additive", "additive"), ("heterogeneous", "interactions")])
def test_regression_baseline_is_least_squares_averaged_over_the_units(df, model, estimator):
    q, terms = dense_terms(df, model == "heterogeneous")
    y, n = df["y"].to_numpy(), len(df)
    inverse = np.linalg.inv(q.T @ q)
    b = inverse @ q.T @ y
    residual = (y - q @ b) / np.sqrt(1 - np.einsum("ij,jk,ik->i", q, inverse, q))
    table = solve(df, effects=2).compare("y").loc[f"regression, {estimator}"]
    for effect in table.index:
        m = unit_effects(df, terms, b, effect)
        gradient = np.array([unit_effects(df, terms, unit, effect).mean() for unit in np.eye(q.shape[1])])
        variance = ((residual * (q @ inverse @ gradient)) ** 2).sum() + ((m - m.mean()) ** 2).sum() / n**2
        assert table.loc[effect, "estimate"] == pytest.approx(m.mean(), abs=1e-9)
        assert table.loc[effect, "standard error"] == pytest.approx(np.sqrt(variance), rel=1e-8)
    if model == "additive":  # twice the coefficient of the factor
        assert table.loc["a", "estimate"] == pytest.approx(2 * b[1], abs=1e-9)


def test_inverse_probability_baseline_is_a_difference_of_normalised_cell_means(df):
    x, z = df[["x0", "x1"]].to_numpy(), df[list("abc")].to_numpy()
    probability = np.ones(len(df))
    for k in range(3):
        p = logit_scores(np.column_stack([x, z[:, :k]]), z[:, k].astype(float))
        probability *= np.where(z[:, k] == 1, p, 1 - p)
    means = {
        cell: np.average(group["y"], weights=1 / probability[group.index]) for cell, group in df.groupby(list("abc"))
    }
    table = solve(df, effects=2).compare("y")
    for effect, row in table.loc["inverse probability"].iterrows():
        at = ["abc".index(name) for name in effect.split(":")]
        expected = sum(np.prod([2 * cell[k] - 1 for k in at]) * mean for cell, mean in means.items()) / 4
        assert row["estimate"] == pytest.approx(expected, abs=1e-6)
    raw = df.groupby(list("abc"))["y"].mean()
    expected = (raw.xs(1, level="a").sum() - raw.xs(0, level="a").sum()) / 4
    assert table.loc[("unweighted", "a"), "estimate"] == pytest.approx(expected)
    assert list(table.index.get_level_values("estimator").unique()) == [
        "balancing weights",
        "unweighted",
        "inverse probability",
        "regression, additive",
        "regression, interactions",
    ]


def test_separated_factors_leave_the_other_estimators(df):
    result = solve(df.assign(x0=df["x0"] + 100 * df["a"]), tolerance=2)
    with pytest.warns(co.CausaloptWarning, match="factor 'a' has no maximum"):
        table = result.compare("y")
    assert table.loc["inverse probability", "estimate"].isna().all()
    assert table.loc["regression, additive", "estimate"].notna().all()


def test_the_bootstrap_agrees_with_the_formula_and_repeats_itself(df):
    result = solve(df, effects=2)
    formula = result.estimate("y")
    first = result.estimate("y", variance="bootstrap", draws=300, seed=1)
    np.testing.assert_allclose(first["standard error"], formula["standard error"], rtol=0.2)
    pd.testing.assert_frame_equal(first, result.estimate("y", variance="bootstrap", draws=300, seed=1))
    np.testing.assert_allclose(first["estimate"], formula["estimate"], atol=1e-12)
    other = result.estimate("y", variance="bootstrap", draws=300, seed=2)
    assert not np.allclose(other["standard error"], first["standard error"], rtol=1e-6)
    loose = solve(df, tolerance=0.02, separate=True).estimate("y", variance="bootstrap", draws=50)
    np.testing.assert_allclose(loose["standard error"], formula["standard error"].iloc[:3], rtol=0.4)


def test_a_bootstrap_without_weights_is_refused():
    rng = np.random.default_rng(2)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        df = pd.DataFrame(rng.normal(size=(40, 6)), columns=[f"x{j}" for j in range(6)])
        df["a"] = (df["x0"] + rng.logistic(size=40) > 0) * 1
        try:
            result = co.factorial_balance(df, factors=["a"], covariates=[f"x{j}" for j in range(6)])
        except co.InfeasibleError:
            continue
        try:
            result.estimate(df["x0"], variance="bootstrap", draws=60)
        except co.DataError as error:
            assert "resamples have no weights" in str(error) and "tolerance" in str(error)
            return
    pytest.fail("every bootstrap had weights")


def test_outcomes_and_options_that_make_no_sense_are_refused(df):
    result = solve(df)
    for wrong, match in [
        ({"outcome": "why"}, "Unknown column 'why'"),
        ({"outcome": df["y"].where(df.index != 4)}, "missing or infinite values.*4"),
        ({"outcome": df["y"].iloc[:-1]}, "different row labels"),
        ({"outcome": np.ones(3)}, "must hold 500 values"),
        ({"outcome": "y", "variance": "robust"}, "Unknown variance 'robust'"),
        ({"outcome": "y", "variance": "bootstrap", "draws": 1}, "draws=1"),
        ({"outcome": "y", "level": 95}, "level is 95"),
    ]:
        with pytest.raises(co.DataError, match=match):
            result.estimate(**wrong)
    with pytest.raises(co.DataError, match="No data is attached"):
        co.solve(result.problem).estimate("y")
    with pytest.raises(co.DataError, match="needs outcome="):
        result.plot("effects")
    with pytest.raises(co.OptionError, match=r"'efects'.*'effects'"):
        result.plot("efects")
    with pytest.raises(co.OptionError, match="'outcome'"):
        result.plot("balance", outcome="y")


def test_plots_draw_every_effect_and_every_imbalance(df):
    matplotlib = pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    matplotlib.use("Agg")
    result = solve(df, effects=2, outcome_model="heterogeneous", tolerance=0.01)
    table, ax = result.estimate("y"), result.plot("effects", outcome="y")
    assert [t.get_text() for t in ax.get_yticklabels()] == list(table.index)
    points = ax.get_lines()[1]
    np.testing.assert_allclose(points.get_xdata(), table["estimate"])
    np.testing.assert_allclose(points.get_ydata(), np.arange(len(table))[::-1])
    balance = result.balance_table()
    ax = result.plot("balance")
    before, after = ax.get_lines()[:2]
    np.testing.assert_allclose(before.get_xdata(), balance["smd before"].abs())
    np.testing.assert_allclose(after.get_xdata(), balance["smd after"].abs())
    _, given = matplotlib.pyplot.subplots()
    assert result.plot("effects", outcome=df["y"], ax=given) is given
    matplotlib.pyplot.close("all")


# ---- simulation ----


def test_the_simulation_design_has_the_published_truth():
    rng = np.random.default_rng(0)
    n = 400_000
    x, z, outcomes = draw_study(rng, n, 0.0)
    mean = x.mean(axis=0)
    np.testing.assert_allclose(mean, [0.1, 0.1, 0.1, 0, 0], atol=0.01)
    effects = [np.ones(3), mean[:3], [np.minimum(1, x[:, 0]).mean() + mean[1], mean[0], mean[1]]]
    np.testing.assert_allclose(effects, TRUTH, atol=0.01)
    noise = outcomes[0] - 2 * x.sum(axis=1) - z.sum(axis=1)
    assert abs(noise.mean()) < 0.01 and noise.std() == pytest.approx(1, abs=0.01)


def test_a_short_run_of_the_simulation_is_near_the_published_errors_and_covers():
    estimates, covered = [], []
    for seed in range(120):
        rows = one_replication(500, 0.0, seed)
        estimates.append([[r["estimate"] for r in rows if r["model"] == m] for m in ("additive", "heterogeneous")])
        covered.append([[r["covered"] for r in rows if r["model"] == m] for m in ("additive", "heterogeneous")])
    error = np.array(estimates).reshape(120, 2, 3, 3) - TRUTH
    rmse = np.sqrt((error**2).mean(axis=0))
    published = np.array([PUBLISHED["additive"], PUBLISHED["heterogeneous"]])
    # Each figure's own sampling error with 120 replications is about 6.5%.
    assert np.abs(rmse / published - 1).max() < 0.45
    assert np.sqrt((rmse**2).mean()) == pytest.approx(np.sqrt((published**2).mean()), rel=0.1)
    assert 0.92 < np.mean(covered) < 0.98


@pytest.mark.slow
def test_coverage_of_each_variance_estimator():
    from causalopt.problems.factorial.estimate import weighted_effects

    hits = {True: [], False: []}
    for seed in range(1000):
        x, z, outcomes = draw_study(np.random.default_rng([7, seed]), 500, 0.0)
        problem = co.FactorialBalanceProblem(x, pd.DataFrame(z, columns=list("abc")), outcome_model="heterogeneous")
        result = co.solve(problem)
        s = problem.sets[0]
        for y, truth in zip(outcomes[:2], TRUTH[:2], strict=True):
            sample = result._sample(s, y, problem.model)
            for adjust, hit in hits.items():
                answers = weighted_effects(sample, result._of(s), adjust=adjust).values()
                hit.append([abs(e - t) <= 1.96 * np.sqrt(v) for (e, v), t in zip(answers, truth, strict=True)])
    assert 0.94 <= np.mean(hits[True]) <= 0.96
    assert np.mean(hits[False]) < np.mean(hits[True]) - 0.01
