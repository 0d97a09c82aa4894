import time

import numpy as np
import pytest

from causalopt.problems.robust.z.paths.greedy import greedy
from causalopt.problems.robust.z.paths.hull import Point, hull_minimum, largest, z_of
from causalopt.problems.robust.z.paths.network import PairNetwork, difference, statistic
from causalopt.problems.robust.z.paths.parametric import extreme
from causalopt.problems.robust.z.paths.side import Side
from causalopt.problems.robust.z.paths.small import Effort
from causalopt.verifying.claims import Proof


def network_of(rng, t, c, density=0.5, levels=None):
    allowed = rng.random((t, c)) < density
    i, j = np.nonzero(allowed)
    draw = rng.normal(size=t + c) * 10 if levels is None else rng.integers(0, levels, t + c).astype(float)
    return PairNetwork.merged(i, j, draw[:t], draw[t:]), i, j, draw[:t], draw[t:]


# ---- merging ----


@pytest.mark.parametrize("seed", range(40))
def test_merged_flows_stand_for_allowed_pairs_of_single_units(seed):
    rng = np.random.default_rng(seed)
    t, c = rng.integers(2, 15, 2)
    blocks = np.kron(rng.random((t, c)) < 0.5, np.ones((2, 2), dtype=bool))
    i, j = np.nonzero(blocks)
    if len(i) == 0:
        return
    y_t, y_c = rng.integers(0, 3, 2 * t).astype(float), rng.integers(0, 3, 2 * c).astype(float)
    network = PairNetwork.merged(i, j, y_t, y_c)
    assert network.size <= len(i)
    assert (network.supply[network.suppliers] * network.capacity[network.receivers]).sum() == len(i)
    flow = np.zeros(network.size, dtype=np.int64)
    left_t, left_c = network.supply.copy(), network.capacity.copy()
    for k in rng.permutation(network.size):
        most = min(left_t[network.suppliers[k]], left_c[network.receivers[k]])
        flow[k] = rng.integers(0, most + 1)
        left_t[network.suppliers[k]] -= flow[k]
        left_c[network.receivers[k]] -= flow[k]
    units_i, units_j = network.units(flow)
    assert len(units_i) == flow.sum() == len(set(units_i)) == len(set(units_j))
    assert blocks[units_i, units_j].all()
    np.testing.assert_array_equal(network.flow_of(units_i, units_j), flow)
    merged = np.repeat(network.delta, flow)
    np.testing.assert_array_equal(np.sort(y_t[units_i] - y_c[units_j]), np.sort(merged))


def test_units_with_equal_outcomes_but_other_partners_stay_apart():
    network = PairNetwork.merged(np.array([0, 0, 1]), np.array([0, 1, 1]), np.zeros(2), np.zeros(2))
    assert network.size == 3


def test_colliding_hashes_are_noticed(monkeypatch):
    import causalopt.problems.robust.z.paths.network as module

    class Careless:
        def integers(self, low, high, size, dtype):
            return np.zeros(size, dtype=dtype)

    monkeypatch.setattr(module.np.random, "default_rng", lambda seed: Careless())
    network = PairNetwork.merged(np.array([0, 0, 1]), np.array([0, 1, 1]), np.zeros(2), np.zeros(2))
    assert network.size == 3


def test_differences_are_free_of_rounding():
    tenths = difference(np.array([0.3, 0.2, 1.1]), np.array([0.2, 0.1, 1.0]), 1.1)
    assert len(set(tenths.tolist())) == 1
    thirds = difference(np.array([4, 5, 3]) / 3 + 1e3, np.array([2, 3, 1]) / 3 + 1e3, 1e3)
    assert len(set(thirds.tolist())) == 1
    assert difference(np.array([0.3]), np.array([0.1 + 0.2]), 0.3).tolist() == [0.0]


def test_differences_move_by_a_few_rounding_errors_at_most():
    whole = difference(np.array([2.0**50 + 3]), np.array([2.0**50]), 2.0**50)
    assert whole.tolist() == [3.0]
    rng = np.random.default_rng(0)
    for origin in (0.0, 1e9):  # near 1e9 a thousand doubles lie in a crowd within 1e-4
        y_t, y_c = origin + rng.normal(size=1000) * 1e-4, np.full(1000, origin)
        raw = y_t - y_c
        moved = np.abs(difference(y_t, y_c, origin + 1e-4) - raw)
        assert moved.max() <= 40 * np.finfo(float).eps * (origin + 1e-4)


# ---- the statistic ----


def test_statistic_is_the_formula_of_the_source():
    rng = np.random.default_rng(0)
    delta, flow = rng.normal(size=9), rng.integers(0, 4, 9)
    d = np.repeat(delta, flow)
    n = len(d)
    z, s, v = statistic(delta, flow)
    assert s == pytest.approx(d.sum()) and v == pytest.approx((d**2).sum())
    assert z == pytest.approx((s / np.sqrt(n)) / np.sqrt(v / n - (s / n) ** 2))
    assert z_of(s, v, n) == pytest.approx(z)


@pytest.mark.parametrize(
    ("delta", "expected"),
    [([2.0, 2.0], np.inf), ([-2.0, -2.0], -np.inf), ([0.0, 0.0], 0.0), ([1.0, -1.0], 0.0), ([0.1, 0.1, 0.1], np.inf)],
)
def test_zero_spread_and_zero_sum(delta, expected):
    assert statistic(np.array(delta), np.ones(len(delta), dtype=np.int64))[0] == expected


# ---- the hull ----


def plane(points):
    """An oracle over a list of points."""
    kept = [Point(float(s), float(v), np.array([k])) for k, (s, v) in enumerate(points)]

    def ask(alpha, beta):
        from causalopt.problems.robust.z.paths.hull import Line

        unit = max(abs(alpha), abs(beta))
        best = max(kept, key=lambda p: (alpha * p.s - beta * p.v) / unit)
        return Line(alpha / unit, beta / unit, (alpha * best.s - beta * best.v) / unit, best)

    return ask, kept


@pytest.mark.parametrize("seed", range(50))
def test_the_largest_z_of_a_cloud_of_points_is_found_at_a_vertex(seed):
    rng = np.random.default_rng(seed)
    n = 10
    s = rng.uniform(-5, 8, 60)
    ask, kept = plane(np.column_stack([s, s * s / n + rng.exponential(size=60)]))
    point, bound, ended = largest(ask, lambda p: z_of(p.s, p.v, n), n)
    best = max(z_of(p.s, p.v, n) for p in kept)
    assert z_of(point.s, point.v, n) == pytest.approx(best, rel=1e-9)
    assert ended and bound == pytest.approx(best, rel=1e-8) and bound >= best


@pytest.mark.parametrize("seed", range(50))
def test_the_hull_bounds_the_least_ratio_of_a_cloud(seed):
    rng = np.random.default_rng(seed)
    s = rng.uniform(1, 8, 40)
    ask, kept = plane(np.column_stack([s, s * s / 10 + rng.exponential(size=40)]))
    relaxation = hull_minimum(ask)
    corners, shares = np.array([[p.s, p.v] for p in kept]), np.linspace(0, 1, 101)[:, None, None, None]
    segments = (1 - shares) * corners[None, :, None] + shares * corners[None, None]
    least = (segments[..., 0] ** 2 / segments[..., 1]).min()
    assert relaxation.ratio <= least * (1 + 1e-9)
    assert relaxation.ratio >= least * (1 - 1e-2)
    assert relaxation.ratio <= min(p.ratio for p in relaxation.points)


# ---- limits and effort ----


def hard_side(seed=1):
    """Many units with irrational outcomes, all differences positive: a gap between hull and matchings."""
    rng = np.random.default_rng(seed)
    i, j = np.nonzero(rng.random((40, 40)) < 0.3)
    network = PairNetwork.merged(i, j, rng.normal(size=40) + 6, rng.normal(size=40))
    return Side(network, 30, -1)


def test_branch_and_bound_closes_the_gap_and_may_be_stopped():
    exact = extreme(hard_side(), Effort(gap=1e-12, easy_nodes=5000))
    assert exact.is_exact and exact.nodes > 1 and exact.proof is Proof.CERTIFIED
    stopped = extreme(hard_side(), Effort(gap=1e-12, easy_nodes=0, nodes=1))
    assert stopped.stopped == "nodes"
    assert stopped.z <= exact.z * (1 - 1e-12) or stopped.z == pytest.approx(exact.z)
    assert stopped.bound >= exact.z - 1e-9
    assert not stopped.is_exact


def test_a_deadline_in_the_past_still_returns_an_answer_with_a_valid_bound():
    rng = np.random.default_rng(4)
    network, *_ = network_of(rng, 30, 30)
    exact = extreme(Side(network, 15, 1))
    late = extreme(Side(network, 15, 1), Effort(deadline=time.perf_counter() - 1))
    assert late.stopped == "time" and late.bound >= exact.z >= late.z


def test_too_many_pairs_have_no_extreme():
    network = PairNetwork.merged(np.array([0, 1]), np.array([0, 0]), np.array([1.0, 2.0]), np.array([0.0]))
    assert extreme(Side(network, 2, 1)) is None
    assert greedy(network, 2, 1) is None


# ---- greedy ----


@pytest.mark.parametrize("seed", range(30))
def test_greedy_on_merged_units_is_greedy_on_single_units(seed):
    rng = np.random.default_rng(seed)
    i, j = np.nonzero(np.kron(rng.random((5, 5)) < 0.6, np.ones((3, 2), dtype=bool)))  # groups of equal units
    y_t, y_c = np.repeat(rng.normal(size=5), 3), np.repeat(rng.normal(size=5), 2)
    network = PairNetwork.merged(i, j, y_t, y_c)
    assert network.size < len(i)
    for sign in (1, -1):
        delta = y_t[i] - y_c[j]
        taken_i, taken_j, taken = set(), set(), []
        for k in np.argsort(-sign * delta, kind="stable"):
            if i[k] not in taken_i and j[k] not in taken_j:
                taken_i.add(i[k])
                taken_j.add(j[k])
                taken.append(delta[k])
        n = max(len(taken) - 2, 1)
        flow, alone = greedy(network, n, sign)
        assert alone and flow.sum() == n
        assert (network.delta @ flow) == pytest.approx(sum(taken[:n]))


def test_proposition_4_3_is_false():
    i, j = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    network = PairNetwork.merged(i, j, np.array([0.0, 1.0]), np.array([10.0, 13.0]))
    flow, _ = greedy(network, 2, -1)
    assert statistic(network.delta, flow)[0] == pytest.approx(-7.7782, abs=5e-5)
    assert -extreme(Side(network, 2, -1)).z == pytest.approx(-15.5563, abs=5e-5)


def test_where_greed_runs_out_of_pairs_an_assignment_stands_in():
    network = PairNetwork.merged(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([9.0, 1.0]), np.array([0.0, 5.0]))
    flow, alone = greedy(network, 2, 1)  # greed takes 9 - 0, after which nothing is left
    assert not alone and flow.sum() == 2
    assert sorted(network.delta[flow > 0].tolist()) == [1.0, 4.0]
