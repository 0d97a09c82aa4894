import numpy as np
import pytest

import causalopt as co
from causalopt.study.designs import design as d
from causalopt.study.designs import grouped as dg
from causalopt.study.designs import simulated as ds

X = np.array([0.3, -1.0, 2.0, 0.7, 1.1, -0.4])
ENUMERABLE = {
    "complete": d.CompleteRandomization(2),
    "bernoulli": d.Bernoulli([0.2, 0.5, 0.4, 0.9, 0.6, 0.3]),
    "stratified": dg.Stratified(["a", "b", "a", "b", "b", "b"], {"a": 1, "b": 3}),
    "pairs": dg.MatchedPairs(["x", "y", "y", "z", "x", "z"]),
    "pairs by position": dg.MatchedPairs(np.array([[0, 4], [1, 2], [3, 5]])),
    "cluster": dg.Cluster([0, 0, 1, 2, 2, 3], 2),
    "rerandomized": ds.Rerandomized(d.CompleteRandomization(3), ds.MahalanobisBalance(X, 1.0)),
}


@pytest.mark.parametrize("name", ENUMERABLE)
def test_moments_are_those_of_the_enumeration(name):
    design = ENUMERABLE[name]
    z, probability = design.enumerate(6)
    assert len(np.unique(z, axis=0)) == len(z) == design.count(6)
    assert probability.sum() == pytest.approx(1)
    mean = probability @ z
    np.testing.assert_allclose(design.probabilities(6), mean, atol=1e-12)
    np.testing.assert_allclose(design.covariance(6), (z - mean).T @ (probability[:, None] * (z - mean)), atol=1e-12)
    sizes = set(z.sum(axis=1))
    assert design.fixed_size(6) == (sizes.pop() if len(sizes) == 1 else None)


@pytest.mark.parametrize("name", ENUMERABLE)
def test_samples_are_possible_seeded_and_of_the_right_frequency(name):
    design = ENUMERABLE[name]
    z, probability = design.enumerate(6)
    drawn = design.sample(20_000, n=6, seed=3)
    assert drawn.dtype == bool and drawn.shape == (20_000, 6)
    np.testing.assert_array_equal(drawn, design.sample(20_000, n=6, seed=3))
    assert (drawn != design.sample(20_000, n=6, seed=4)).any()
    code = 1 << np.arange(6)
    counts = dict(zip(*np.unique(drawn @ code, return_counts=True), strict=True))
    assert set(counts) <= set((z @ code).tolist())
    for row, p in zip(z @ code, probability, strict=True):
        assert counts.get(row, 0) / 20_000 == pytest.approx(p, abs=5 * np.sqrt(p / 20_000))


@pytest.mark.parametrize("name", ENUMERABLE)
def test_exactly_the_impossible_assignments_are_refused(name):
    design = ENUMERABLE[name]
    possible = {row.tobytes() for row in design.enumerate(6)[0]}
    for z in d.Bernoulli(0.5).enumerate(6)[0]:
        assert (design.obstacle(z) is None) == (z.tobytes() in possible)


def test_a_simulated_covariance_comes_with_its_standard_error():
    truth = d.CompleteRandomization(4)
    design = ds.SampledDesign(lambda rng, m: rng.permuted(np.tile(np.arange(8) < 4, (m, 1)), axis=1), draws=5_000)
    moments = design.moments(8)
    assert moments.draws == 5_000
    z = (moments.covariance - truth.covariance(8)) / np.maximum(moments.error, 1e-9)
    off = ~np.eye(8, dtype=bool)
    assert np.abs(z[off]).max() < 5 and 0.5 < z[off].std() < 1.6


def test_rerandomization_beyond_enumeration_is_simulated():
    x = np.random.default_rng(0).normal(size=30)
    design = ds.Rerandomized(d.CompleteRandomization(15), ds.MahalanobisBalance(x, 0.1), draws=4_000)
    assert design.count(30) is None
    moments = design.moments(30)
    assert moments.error is not None and moments.error.max() < 0.01
    imbalance = lambda sigma: x @ sigma @ x  # noqa: E731
    assert imbalance(moments.covariance) < 0.1 * imbalance(d.CompleteRandomization(15).covariance(30))
    assert 0.15 < design.acceptance_rate(30) < 0.35


def test_a_rerandomization_that_accepts_nothing_says_so(monkeypatch):
    never = ds.Rerandomized(d.CompleteRandomization(15), lambda z: np.zeros(len(z), bool))
    with pytest.raises(co.DataError, match=r"accepted none of .*Loosen"):
        never.sample(10, n=30)
    with pytest.raises(co.DataError, match=r"accepts none of the 20 assignments"):
        ds.Rerandomized(d.CompleteRandomization(3), lambda z: np.zeros(len(z), bool)).enumerate(6)
    rare = ds.Rerandomized(d.CompleteRandomization(15), lambda z: z[:, :10].all(axis=1))
    with pytest.warns(co.CausaloptWarning, match="accepts almost nothing"):
        assert rare.sample(15, n=30)[:, :10].all()
    monkeypatch.setattr(ds, "MOST_CANDIDATES", 10)
    with pytest.raises(co.DataError, match=r"and 50 were needed"):
        rare.sample(50, n=30)
    with pytest.raises(co.DataError, match="one boolean a row"):
        ds.Rerandomized(d.CompleteRandomization(3), lambda z: True).sample(5, n=6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: d.CompleteRandomization(6).probabilities(6), "one group is empty"),
        (lambda: d.CompleteRandomization(0).probabilities(6), "one group is empty"),
        (lambda: d.CompleteRandomization(2.5), "whole number"),
        (lambda: d.CompleteRandomization(2).probabilities(), "say n="),
        (lambda: d.Bernoulli([0.5, 1.0]), r"not strictly between 0 and 1: 1 \(unit 1\)"),
        (lambda: d.Bernoulli(0.0), "strictly between 0 and 1"),
        (lambda: d.Bernoulli([0.5, np.nan]), "strictly between 0 and 1"),
        (lambda: d.Bernoulli([0.5, 0.5]).covariance(3), "for 2 units, but there are 3"),
        (lambda: dg.Stratified(["a", "b", "b"], 1), "Stratum 'a' has 1 unit"),
        (lambda: dg.Stratified(["a", "a"], {"b": 1}), "no number for stratum 'a'"),
        (lambda: dg.Stratified(["a", "a"], {"a": 1, "c": 1}), "'c', which is not a stratum"),
        (lambda: dg.MatchedPairs(["a", "a", "b"]), r"Pair 'b' has 1 unit\(s\)"),
        (lambda: dg.MatchedPairs(np.array([[0, 1], [1, 2]])), "every position 0 to 3"),
        (lambda: dg.Cluster(["a", "a"], 1), "1 of 1 clusters"),
        (lambda: ds.KnownCovariance([[0.25, 0.5], [0.5, 0.25]], 0.5), "not positive semidefinite"),
        (lambda: ds.KnownCovariance([[0.25, 0.1], [0.2, 0.25]], 0.5), "not symmetric"),
        (lambda: ds.KnownCovariance(np.eye(2), 0.5), "coded -1/"),
        (lambda: ds.KnownCovariance(np.eye(2) / 4, 0.5).sample(3), "does not say how to draw"),
        (lambda: ds.SampledDesign(lambda rng, m: np.full((m, 3), 2)), "0 and 1"),
        (lambda: ds.SampledDesign(lambda rng, m: np.ones((m, 3), bool)).covariance(3), "same treatment in every"),
        (lambda: d.CompleteRandomization(50_000).covariance(100_000), "at most 2,000 units"),
        (lambda: d.CompleteRandomization(20).enumerate(40), "assignments of 40 units; at most"),
    ],
)
def test_bad_designs_say_what_is_wrong(make, message):
    with pytest.raises(co.DataError, match=message):
        make()


def test_known_covariance_finds_impossible_treatments():
    design = ds.KnownCovariance(dg.MatchedPairs([0, 0, 1, 1]).covariance(), 0.5)
    assert design.obstacle(np.array([True, False, True, False])) is None
    assert "no variance" in design.obstacle(np.array([True, True, False, False]))
    assert design.fixed_size() == 2
    assert ds.KnownCovariance(np.eye(3) / 4, 0.5).fixed_size() is None
