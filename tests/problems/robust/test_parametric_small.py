"""The least |Z| where every sum is positive: the hull between two sums, what is settled, and the search."""

from itertools import combinations

import numpy as np
import pytest
from parametric_oracles import curve_extremes, enumerated, random_network

from causalopt.problems.robust.z.paths.hull import Line, Point, hull_minimum, line_minimum
from causalopt.problems.robust.z.paths.network import PairNetwork
from causalopt.problems.robust.z.paths.parametric import extreme
from causalopt.problems.robust.z.paths.side import Part, Side
from causalopt.problems.robust.z.paths.small import Effort, Node, smallest


def positive(seed, n=None, **kinds):
    """A side with every S > 0, its pairs, and its matchings of n pairs as flows."""
    rng = np.random.default_rng(seed)
    network, i, j, _ = random_network(rng, shift=rng.choice([4.0, 8.0, 20.0]), **kinds)
    n = n or int(rng.integers(2, 4))
    flows = np.array([network.flow_of(i[row], j[row]) for row in enumerated(i, j, n)])
    side = Side(network, n, 1)
    flows = flows[:0] if len(flows) and (flows @ side.delta).min() <= 0 else flows
    return side, flows


# ---- the hull ----


@pytest.mark.parametrize("seed", range(60))
def test_the_hull_between_two_sums_bounds_the_least_ratio_there(seed):
    rng = np.random.default_rng(seed)
    s = rng.uniform(1, 8, 40)
    v = s * s / 10 + rng.exponential(size=40)
    points = [Point(s[k], v[k], np.array([k])) for k in range(40)]

    def ask(alpha, beta):
        best = max(points, key=lambda p: alpha * p.s - beta * p.v)
        return Line(alpha, beta, alpha * best.s - beta * best.v, best)

    between = tuple(sorted(rng.uniform(0.5, 9, 2)))
    relaxation = hull_minimum(ask, between=between)
    inside = [p for p in points if between[0] <= p.s <= between[1]]
    mixed = [np.inf]
    for a, b in combinations(points, 2):  # the least R is on an edge of the hull, and an edge joins two points
        for t in np.linspace(0, 1, 51):
            if between[0] <= (x := (1 - t) * a.s + t * b.s) <= between[1]:
                mixed.append(x * x / ((1 - t) * a.v + t * b.v))
    if relaxation is None:
        assert min(mixed) == np.inf
        return
    assert relaxation.ratio <= min([*mixed, *(p.ratio for p in inside)]) * (1 + 1e-9)
    assert relaxation.ratio >= min(mixed) * (1 - 0.1)


def test_the_least_ratio_below_a_line():
    for a, c, h in ((1.0, 0.5, -0.4), (1.0, 2.0, 0.3), (-1.0, 1.0, 20.0)):
        line = Line(-a, -c, h, Point(1.0, 1.0, np.zeros(1)))
        for between in ((0.5, 9.0), (2.0, 3.0), (0.1, 0.2)):
            s = np.linspace(*between, 20_001)
            v = (h + a * s) / c
            ratio = np.where(v > 0, s * s / np.where(v > 0, v, 1.0), np.inf)
            assert line_minimum(line, between) == pytest.approx(ratio.min(), rel=1e-6)
    assert line_minimum(Line(-1.0, -1.0, 0.0, Point(1.0, 1.0, np.zeros(1)))) == 0.0


# ---- what is settled ----


def holds(node, flow, side):
    """Whether a flow is in a node."""
    low, high = node.between
    s = side.delta @ flow
    return (node.lower <= flow).all() and (flow <= node.upper).all() and low - 1e-9 <= s <= high + 1e-9


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_no_better_matching_is_settled_away(start):
    compared = shrunk = 0
    for seed in range(start, start + 20):
        side, flows = positive(seed, levels=(None, 5)[seed % 2])
        if len(flows) == 0:
            continue
        rng = np.random.default_rng(seed)
        ratios = (flows @ side.delta) ** 2 / (flows @ side.square)
        least = float(np.quantile(ratios, rng.uniform(0, 0.3)))
        node = Node(np.zeros(side.network.size, dtype=np.int64), side.network.limit)
        for _ in range(3):  # the whole, and parts of parts
            part = Part(side, node.lower, node.upper)
            if hull_minimum(part.ask, between=node.between) is None:
                break
            rest = node.reduced(part, least)
            for flow in flows[ratios < least * (1 - 1e-9)]:
                assert not holds(node, flow, side) or (rest is not None and holds(rest, flow, side))
                compared += 1
            if rest is None:
                break
            shrunk += rest.open_arcs < node.open_arcs
            arc = int(rng.integers(side.network.size))
            low, high = rest.between
            children = (*rest.branched(arc, int(rest.lower[arc])), *rest.split(0.5 * (low + min(high, 4 * low + 1))))
            node = children[rng.integers(4)]
            if (node.lower > node.upper).any():
                break
            left = node.reduced(part, least)  # by what was asked for the parent
            for flow in flows[ratios < least * (1 - 1e-9)]:
                assert not holds(node, flow, side) or (left is not None and holds(left, flow, side))
            if left is None:
                break
            node = left
    assert compared >= 20 and shrunk >= 3


# ---- the search ----


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_the_least_ratio_equals_enumeration(start):
    compared = 0
    for seed in range(start, start + 20):
        side, flows = positive(seed, levels=(None, 3, None)[seed % 3])
        if len(flows):
            point, bound, _, stopped = smallest(side, Effort())
            truth = ((flows @ side.delta) ** 2 / (flows @ side.square)).min()
            assert not stopped and point.ratio == pytest.approx(truth, rel=1e-9)
            assert truth * (1 - 1e-8) <= bound <= truth * (1 + 1e-12)
            compared += 1
    assert compared >= 10


def test_mid_size_problems_equal_a_mixed_integer_program():
    """min S^2 - r V at the r that was found is zero, on HiGHS with the pairs' own constraints (Dinkelbach)."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    for seed in range(2):
        rng = np.random.default_rng(seed)
        network, *_ = random_network(rng, 12, 14, 0.5, shift=(3.0, 6.0)[seed % 2])
        for n in (2, 3, 9):
            side = Side(network, n, 1)
            if side.ask(-1.0, 0.0).point.s <= 0:
                continue
            point, bound, _, _ = smallest(side, Effort(gap=1e-12, easy_nodes=10_000))
            assert bound == pytest.approx(point.ratio, rel=1e-8)
            # S^2 >= 2 t S - t^2 for every t: with S between its least and its largest, a fine fan of tangents.
            r, m = point.ratio, network.size
            low, high = side.ask(-1.0, 0.0).point.s, side.ask(1.0, 0.0).point.s
            tangents = np.linspace(low, high, 200)
            rows = np.hstack([2 * tangents[:, None] * side.delta, -np.ones((200, 1))])
            usage = np.hstack([network.matrix.toarray(), np.zeros((network.matrix.shape[0], 1))])
            ends = np.append(np.concatenate([network.supply, network.capacity]), n)
            answer = milp(
                np.append(-r * side.square, 1.0),
                integrality=np.append(np.ones(m), 0),
                bounds=Bounds(np.append(np.zeros(m), -np.inf), np.append(network.limit, np.inf)),
                constraints=[
                    LinearConstraint(usage, np.append(np.full(len(ends) - 1, -np.inf), n), ends),
                    LinearConstraint(rows, -np.inf, tangents**2),
                ],
                options={"mip_rel_gap": 0.0},
            )
            coarse = ((high - low) / 199) ** 2 / 4  # what the tangents are below S^2 at most
            assert answer.status == 0
            assert -coarse - 1e-6 <= answer.fun <= 1e-6


@pytest.mark.parametrize("shift", [20.0, 200.0])
def test_few_pairs_of_many_need_few_nodes(shift):
    """300 units in three strata; the old search left a gap of a fifth after 2,000 nodes at n = 2."""
    rng = np.random.default_rng(0)
    treated, key = rng.random(300) < 0.5, rng.integers(0, 3, 300)
    y = rng.normal(size=300) * 4
    i, j = (key[treated][:, None] == key[~treated]).nonzero()
    network = PairNetwork.merged(i, j, y[treated] + shift, y[~treated])
    for n in (2, 3, 5, 40):
        found = extreme(Side(network, n, -1))
        assert found.is_exact and found.z < 0 and found.nodes <= 150
    d = network.delta
    best = np.inf
    for k in np.argsort(d)[-40:]:  # n = 2: R falls with the ratio of the two differences
        apart = (network.suppliers != network.suppliers[k]) & (network.receivers != network.receivers[k])
        low = d[apart].min()
        best = min(best, (d[k] + low) ** 2 / (d[k] ** 2 + low**2))
    assert -extreme(Side(network, 2, -1)).z == pytest.approx(np.sqrt(2 * best / (2 - best)), rel=1e-9)


def test_every_difference_equal_is_told_from_nearly():
    for levels in (1, 2):
        rng = np.random.default_rng(levels)
        network, i, j, d = random_network(rng, 5, 5, 1.0, levels=levels, shift=3.0)
        for n, truth in curve_extremes(i, j, d).items():
            found = extreme(Side(network, n, -1))
            assert found.z == truth[-1] or found.z == pytest.approx(truth[-1], rel=1e-9)
