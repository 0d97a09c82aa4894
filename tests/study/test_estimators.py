import numpy as np
import pytest

import causalopt as co
from causalopt.study.designs import design as d
from causalopt.study.designs import estimation
from causalopt.study.designs import estimators as e
from causalopt.study.designs import grouped as dg
from causalopt.study.designs import simulated as ds

RNG = np.random.default_rng(5)
N = 8
X = RNG.normal(size=N)
DESIGNS = {
    "complete": d.CompleteRandomization(3),
    "bernoulli": d.Bernoulli(0.4),
    "unequal": d.Bernoulli(np.linspace(0.2, 0.7, N)),
    "stratified": dg.Stratified(list("aaabbbbb"), {"a": 1, "b": 3}),
    "pairs": dg.MatchedPairs(np.repeat(np.arange(4), 2)),
    "cluster": dg.Cluster([0, 0, 1, 1, 2, 3, 3, 3], 2),
    "rerandomized": ds.Rerandomized(d.CompleteRandomization(4), ds.MahalanobisBalance(X, 0.5)),
}
ESTIMATORS = {
    "difference-in-means": e.DifferenceInMeans(),
    "horvitz-thompson": e.HorvitzThompson(),
    "hajek": e.Hajek(),
    "doubly-robust": e.DoublyRobust(X, X + 1),
    "residualised": e.Residualised(X),
    "least-squares": e.LeastSquares(X),
}


def one_by_one(name, y, z, p):
    """Each estimator as its textbook formula, for one assignment."""
    n = len(y)
    t, c = y[z], y[~z]
    if name in ("difference-in-means", "residualised"):
        if not (len(t) and len(c)):
            return np.nan
        plain = t.mean() - c.mean()
        w = X - X.mean()
        return plain if name == "difference-in-means" else plain - w @ z * (w @ y) / (w @ w * len(t) * len(c) / n)
    if name == "horvitz-thompson":
        return (t / p[z]).sum() / n - (c / (1 - p[~z])).sum() / n
    if name == "hajek":
        return np.average(t, weights=1 / p[z]) - np.average(c, weights=1 / (1 - p[~z])) if len(t) and len(c) else np.nan
    if name == "doubly-robust":
        m1, m0 = X, X + 1
        return np.mean(m1 - m0 + z * (y - m1) / p - (1 - z) * (y - m0) / (1 - p))
    matrix = np.column_stack([np.ones(n), z, X])
    return np.linalg.lstsq(matrix, y, rcond=None)[0][1] if np.linalg.matrix_rank(matrix) == 3 else np.nan


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_variance_is_that_of_the_enumerated_estimates(name, design):
    estimator, design = ESTIMATORS[name], DESIGNS[design]
    rng = np.random.default_rng(1)
    y1, y0 = rng.normal(size=N), rng.normal(size=N)
    z, probability = design.enumerate(N)
    p = design.probabilities(N)
    values = np.array([one_by_one(name, np.where(row, y1, y0), row, p) for row in z])
    kept = np.isfinite(values)
    weight = probability[kept] / probability[kept].sum()
    mean = weight @ values[kept]
    expected = weight @ (values[kept] - mean) ** 2
    form = estimator.form(design, N)
    shift = (X, X + 1) if name == "doubly-robust" else (0, 0)
    assert form.exact
    assert form.value(y1 - shift[0], y0 - shift[1]) == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(estimator.draws(y1, y0, z, p), values[kept], atol=1e-10)
    row = z[kept][0]
    assert estimator.estimate(np.where(row, y1, y0), row, p) == pytest.approx(values[kept][0])


@pytest.mark.parametrize("name", ["hajek", "residualised", "least-squares", "difference-in-means"])
def test_simulated_variance_agrees_with_the_enumerated(name, monkeypatch):
    estimator, design = ESTIMATORS[name], DESIGNS["unequal"]
    rng = np.random.default_rng(2)
    y1, y0 = rng.normal(size=N), rng.normal(size=N)
    exact = estimator.form(design, N).value(y1, y0)
    monkeypatch.setattr(estimation, "ENUMERATION_LIMIT", 10)
    form = estimator.form(design, N, draws=60_000, seed=4)
    assert not form.exact and form.draws == 60_000
    assert form.value(y1, y0) == pytest.approx(exact, rel=0.06)


def test_least_squares_and_the_residualised_regression_differ():
    design = DESIGNS["complete"]
    y = np.arange(N) ** 2.0
    z = design.enumerate(N)[0][3]
    p = design.probabilities(N)
    assert abs(ESTIMATORS["residualised"].estimate(y, z, p) - ESTIMATORS["least-squares"].estimate(y, z, p)) > 1e-3


def test_unbiased_estimators_are_unbiased():
    rng = np.random.default_rng(3)
    y1, y0 = rng.normal(size=N), rng.normal(size=N)
    for name in ("horvitz-thompson", "doubly-robust"):
        z, probability = DESIGNS["unequal"].enumerate(N)
        values = ESTIMATORS[name].draws(y1, y0, z, DESIGNS["unequal"].probabilities(N))
        assert probability @ values == pytest.approx((y1 - y0).mean(), abs=1e-12)


def test_names_and_their_needs():
    assert isinstance(e.as_estimator("hajek"), e.Hajek)
    assert isinstance(e.as_estimator("doubly-robust", predictions=(X, X)), e.DoublyRobust)
    with pytest.raises(co.OptionError, match="Did you mean 'hajek'"):
        e.as_estimator("hayek")
    with pytest.raises(co.DataError, match="needs covariates="):
        e.as_estimator("least-squares")
    with pytest.raises(co.DataError, match="needs predictions="):
        e.as_estimator("doubly-robust")
    with pytest.raises(co.DataError, match="uses no covariates"):
        e.as_estimator("hajek", covariates=X)
    with pytest.raises(co.DataError, match="uses no predictions"):
        e.as_estimator("hajek", predictions=X)
    with pytest.raises(co.DataError, match="to the estimator itself"):
        e.as_estimator(e.Hajek(), covariates=X)


def test_bad_covariates_and_predictions_are_named():
    with pytest.raises(co.DataError, match="Covariate 0 is the same"):
        e.LeastSquares(np.ones(N))
    with pytest.raises(co.DataError, match="linear combinations"):
        e.LeastSquares(np.column_stack([X, 2 * X]))
    with pytest.raises(co.DataError, match=r"missing or infinite values \(unit 2\)"):
        e.DoublyRobust(np.array([1, 2, np.nan]))
    with pytest.raises(co.DataError, match="8 predictions for 5 units"):
        e.DoublyRobust(X).estimate(np.ones(5), np.array([1, 0, 0, 0, 1], bool), np.full(5, 0.5))
    with pytest.raises(co.DataError, match="group is empty"):
        e.DifferenceInMeans().estimate(np.ones(3), np.ones(3, bool), np.full(3, 0.5))
