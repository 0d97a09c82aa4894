"""The largest |Z|: nearest differences, what bounds cover, and the search, against enumeration and the hull."""

from itertools import pairwise

import numpy as np
import pytest
from parametric_oracles import curve_extremes, enumerated, random_network

from causalopt.algorithms.flow_graph import FlowGraph
from causalopt.problems.robust.z.paths.bounds import Bounds, gaps
from causalopt.problems.robust.z.paths.hull import largest
from causalopt.problems.robust.z.paths.nearest import NearestDifferences
from causalopt.problems.robust.z.paths.network import PairNetwork, statistic
from causalopt.problems.robust.z.paths.parametric import extreme
from causalopt.problems.robust.z.paths.side import Known, Side
from causalopt.verifying.certificate import dual_bound

# ---- bounds ----


@pytest.mark.parametrize("seed", range(20))
def test_nearest_differences_bound_every_matching_from_below(seed):
    rng = np.random.default_rng(seed)
    network, i, j, d = random_network(rng)
    numbers = np.concatenate([rng.uniform(d.min() - 1, d.max() + 1, 8), rng.choice(d, 3)])
    for n in range(1, 4):
        matchings = enumerated(i, j, n)
        if len(matchings) == 0:
            continue
        nearest = NearestDifferences(
            network.suppliers, network.receivers, network.supply, network.capacity, network.delta
        )
        bound = nearest.least_squares(numbers, n)
        truth = np.square(d[matchings][:, :, None] - numbers).sum(axis=1).min(axis=0)
        assert (bound <= truth + 1e-9).all()
        if n == 1:
            np.testing.assert_allclose(bound, truth, atol=1e-12)


def test_nearest_differences_use_a_group_as_often_as_it_has_units():
    two, one = np.array([2]), np.array([1, 1])
    nearest = NearestDifferences(np.array([0, 0]), np.array([0, 1]), two, one, np.array([1.0, 5.0]))
    np.testing.assert_allclose(nearest.least_squares(np.array([0.0]), 2), [26.0])  # each control has one pair
    np.testing.assert_array_equal(nearest.least_squares(np.array([0.0]), 3), [np.inf])


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_of_multipliers_is_that_of_the_certificate(seed):
    rng = np.random.default_rng(seed)
    network, i, j, _ = random_network(rng)
    weights = rng.normal(size=network.size)
    session = network.graph.session()
    n = 2
    answer = session.solve(weights, n)
    if answer.shortfall:
        return
    for flow in (answer, session.solve(rng.normal(size=network.size), n)):  # multipliers that fit, and others
        bound, reduced = network.graph.proven(weights, n, flow)
        multipliers = np.concatenate([flow.supplier, flow.receiver, [flow.count]])
        certified = dual_bound(network.program(n, weights), flow.x.astype(float), multipliers)[0]
        assert bound == pytest.approx(certified, rel=1e-12, abs=1e-12)
        assert bound >= weights @ answer.x - 1e-9
    bound, reduced = network.graph.proven(weights, n, answer)
    assert bound == pytest.approx(weights @ answer.x, abs=1e-9)
    for matching in enumerated(i, j, n):  # what each arc takes from the bound
        x = network.flow_of(i[matching], j[matching])
        lost = np.where(reduced < 0, -reduced * x, reduced * (network.limit - x)).sum()
        assert weights @ x <= bound - lost + 1e-9


def test_a_part_of_a_graph_has_the_settled_pairs_taken_off():
    graph = FlowGraph(np.array([2, 1]), np.array([1, 2]), np.array([0, 0, 1]), np.array([0, 1, 1]))
    lower, upper = np.array([0, 1, 0]), np.array([1, 1, 1])
    part = graph.restricted(np.array([0, 2]), lower, upper)
    assert part.supply.tolist() == [1, 1] and part.capacity.tolist() == [1, 1]
    assert part.session().solve(np.array([1.0, 1.0]), 2).x.tolist() == [1, 1]
    assert graph.restricted(np.array([0]), np.array([0, 0, 2]), np.array([1, 0, 2])) is None


@pytest.mark.parametrize("seed", range(30))
def test_no_matching_of_a_covered_mean_has_a_larger_z(seed):
    rng = np.random.default_rng(seed)
    _, i, j, d = random_network(rng)
    n = 3
    matchings = enumerated(i, j, n)
    if len(matchings) == 0:
        return
    means = d[matchings].mean(axis=1)
    z = np.array([statistic(d, np.bincount(row, minlength=len(d)))[0] for row in matchings])
    m = rng.uniform(0, 2 * np.abs(d).max(), 6)
    f = np.square(d[matchings][:, :, None] - m).sum(axis=1).min(axis=0)
    bounds = Bounds.none(n).with_f(m, f)
    for level in (0.3, 1.0, 3.0, 20.0):  # below and above sqrt n: either form
        for low, high in zip(*bounds.covered(level), strict=True):
            inside = (means > low) & (means < high) & (means > 0)
            assert (z[inside] <= level * (1 + 1e-9)).all()
    start, stop = 0.2 * means.max(), 0.7 * means.max()
    inside = (means >= start) & (means <= stop)
    if means.max() > 0 and inside.any():
        assert z[inside].max() <= bounds.most(start, stop) * (1 + 1e-9)


def test_covered_means_end_where_the_line_crosses_the_curve():
    n, z, m, f = 5, 4.0, 1.3, 8.0
    for level in (z, 0.5 * z):
        bounds = Bounds.none(n).with_f(np.array([m]), np.array([f]))
        for mean in (ends[0] for ends in bounds.covered(level)):
            assert f - n * (mean - m) ** 2 == pytest.approx((n * mean / level) ** 2)


def test_bounds_move_with_the_number_of_pairs():
    rng = np.random.default_rng(3)
    network, *_ = random_network(rng, 12, 12, 0.6)
    sides = {n: Side(network, n, 1) for n in range(2, 8)}
    m = 0.4
    around = {n: side.around(m) for n, side in sides.items()}
    bounds = Bounds.none(4).with_line(m, around[4].f, around[4].b, around[4].count)
    for n in (2, 3, 4, 5, 7):
        moved = bounds.moved(n)
        assert moved.f[0] <= around[n].f + 1e-9 and moved.b[0] >= around[n].b - 1e-9
        assert moved.f[0] == pytest.approx(n * m * m - moved.b[0])
    assert len(bounds.with_f(np.array([1.0]), np.array([1.0])).moved(5).m) == 1  # others hold for their n alone


def test_gaps_are_what_intervals_leave_open():
    start, stop = gaps(np.array([np.inf, -1.0, 3.0]), np.array([-np.inf, 2.0, 5.0]), 0.0, 10.0)
    assert list(zip(start, stop, strict=True)) == [(2.0, 3.0), (5.0, 10.0)]


# ---- the search ----


def test_the_search_equals_the_enumeration_of_the_vertices_of_the_hull():
    """The algorithm of Eisner and Severance, which the formulation `fractional` uses, on graphs beyond enumeration."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        network, *_ = random_network(rng, 25, 30, (0.2, 0.6, 1.0)[seed % 3])
        for n in (4, 12, 20):
            for sign in (1, -1):
                side = Side(network, n, sign)
                point, bound, ended = largest(side.ask, side.z, n)
                if point.s > 0:
                    found = extreme(Side(network, n, sign))
                    assert ended and found.is_exact
                    assert found.z == pytest.approx(side.z(point), rel=1e-9)
                    assert found.bound >= found.z and bound >= found.z * (1 - 1e-9)


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_whole_curves_equal_enumeration_in_any_order(start):
    compared = 0
    for seed in range(start, start + 20):
        rng = np.random.default_rng(seed)
        network, i, j, d = random_network(rng, levels=(None, 4, None, 2)[seed % 4], shift=(0.0, 1.0, 15.0)[seed % 3])
        truth = curve_extremes(i, j, d)
        order = list(truth) if seed % 2 else list(rng.permutation(list(truth)))
        known = {1: Known(network), -1: Known(network)}
        for n in order:
            for sign in (1, -1):
                found = extreme(Side(network, int(n), sign, known[sign]))
                expected = truth[n][sign]
                assert found.z == expected or found.z == pytest.approx(expected, rel=1e-9), (seed, n, sign)
                assert found.is_exact
                assert found.bound >= expected or found.bound == pytest.approx(expected, rel=1e-12)
                compared += 1
    assert compared >= 40


def test_nearly_equal_differences_keep_their_digits():
    """All differences are 10 but for a part in a million, so that S^2 and n V agree in twelve digits."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        y_t, y_c = 10 + 1e-5 * rng.normal(size=4), 1e-5 * rng.normal(size=5)
        i, j = (a.ravel() for a in np.meshgrid(np.arange(4), np.arange(5), indexing="ij"))
        network = PairNetwork.merged(i, j, y_t, y_c)
        d = y_t[i] - y_c[j]
        for n in (2, 3, 4):
            z = max(statistic(d, np.bincount(row, minlength=len(d)))[0] for row in enumerated(i, j, n))
            found = extreme(Side(network, n, 1))
            assert found.is_exact and found.z == pytest.approx(z, rel=1e-8)


def dense(seed=0, shift=0.5):
    """300 units in three strata with outcomes that are all different: 7,000 pairs."""
    rng = np.random.default_rng(seed)
    treated, key = rng.random(300) < 0.5, rng.integers(0, 3, 300)
    y = rng.normal(size=300) * 10 + shift * treated
    allowed = (key[treated][:, None] == key[~treated]).nonzero()
    return PairNetwork.merged(*allowed, y[treated], y[~treated])


def test_few_pairs_of_many_need_few_assignments():
    """The hull has thousands of vertices here; with two pairs the answer is that of all pairs of pairs."""
    network = dense()
    assert network.size > 6000
    for sign in (1, -1):
        found = extreme(Side(network, 2, sign))
        assert found.is_exact and found.evaluations <= 30
        order = np.argsort(network.delta)
        d, i, j = sign * network.delta[order], network.suppliers[order], network.receivers[order]
        best = 0.0
        for step in range(1, 60):  # of two differences the nearer is the better, and few neighbours share a unit
            apart = (i[step:] != i[:-step]) & (j[step:] != j[:-step])
            total, between = d[step:] + d[:-step], np.abs(d[step:] - d[:-step])
            best = max(best, float((np.sqrt(2) * total / between)[apart & (total > 0)].max()))
        assert found.z == pytest.approx(best, rel=1e-7)
        assert extreme(Side(network, 40, sign)).evaluations <= 120


def test_a_curve_needs_few_assignments_for_each_number_of_pairs():
    network = dense(shift=3.0)
    known = Known(network)
    warm = [extreme(Side(network, n, 1, known)) for n in range(90, 100)]
    cold = [extreme(Side(network, n, 1)) for n in range(90, 100)]
    for first, second in pairwise(warm):
        assert first.z > second.z
    for first, second in zip(warm, cold, strict=True):
        assert first.z == pytest.approx(second.z, rel=1e-9) and first.is_exact
    assert sum(found.evaluations for found in warm[1:]) < 0.5 * sum(found.evaluations for found in cold[1:])
