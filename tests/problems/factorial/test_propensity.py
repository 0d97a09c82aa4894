import numpy as np
import pytest
from scipy.optimize import minimize

import causalopt as co
from causalopt.problems.factorial import propensity as ps


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)) * [1.0, 100.0, 0.01] + [0, 500, 0]
    responds = (rng.random(400) < 1 / (1 + np.exp(-(x[:, 0] + (x[:, 1] - 500) / 200)))).astype(float)
    y = x[:, 0] + x[:, 1] / 100 + rng.normal(size=400)
    return x, responds, y


def test_logit_maximises_the_likelihood(sample):
    x, r, _ = sample
    z = (x - x.mean(axis=0)) / x.std(axis=0)

    def minus(b):
        eta = b[0] + z @ b[1:]
        return np.logaddexp(0, eta).sum() - r @ eta

    best = minimize(minus, np.zeros(4), tol=1e-12)
    p = ps.logit_scores(x, r)
    assert -(r @ np.log(p) + (1 - r) @ np.log1p(-p)) <= best.fun + 1e-8


def test_logit_of_separated_groups_is_refused():
    x = np.arange(20.0)[:, None]
    with pytest.raises(co.DataError, match="separate"):
        ps.logit_scores(x, (x[:, 0] > 9).astype(float))


def test_covariate_balancing_scores_balance_exactly(sample):
    x, r, _ = sample
    w = r / ps.cbps_scores(x, r)
    np.testing.assert_allclose(w @ x / w.sum(), x.mean(axis=0), rtol=1e-7, atol=1e-9)
    assert w.sum() == pytest.approx(len(r))


def test_covariate_balancing_scores_without_exact_balance_come_as_near_as_they_can():
    x = np.array([[0.0], [1.0], [2.0], [9.0]])
    r = np.array([1.0, 1.0, 1.0, 0.0])
    p = ps.cbps_scores(x, r)
    assert np.isfinite(p).all() and (p > 0).all() and (p <= 1).all()


def test_trimming_caps_the_largest():
    w = ps.trimmed(np.arange(101.0), 0.9)
    assert w.max() == 90 and (w[:90] == np.arange(90)).all()


def test_estimators_are_exact_for_linear_outcomes_where_they_should_be(sample):
    x, r, _ = sample
    y = 3 + x @ [1.0, 0.02, 5.0]
    one = r == 1
    w = 1 / ps.cbps_scores(x, r)[one]
    assert ps.horvitz_thompson(y[one], w, len(r)) == pytest.approx(y.mean())
    assert ps.ratio(y[one], w) == pytest.approx(y.mean())
    rough = np.ones(one.sum())
    assert ps.weighted_least_squares(x, r, y[one], rough) == pytest.approx(y.mean())
    assert ps.doubly_robust(x, r, y[one], rough) == pytest.approx(y.mean())
    assert ps.ratio(y[one], rough) != pytest.approx(y.mean(), rel=1e-3)
