import numpy as np
import pytest
from scipy.optimize import linprog

from causalopt.algorithms.flow_simplex import FlowSession


def random_network(rng):
    r, c = rng.integers(1, 8, 2)
    allowed = rng.random((r, c)) < max(rng.random(), 0.15)
    allowed[rng.integers(r), rng.integers(c)] = True
    suppliers, receivers = np.nonzero(allowed)
    return rng.integers(1, 4, r), rng.integers(1, 4, c), suppliers, receivers


def random_weights(rng, m):
    if rng.random() < 0.5:
        return rng.integers(-4, 5, m).astype(float)  # ties
    return rng.normal(size=m) * 10.0 ** rng.integers(-3, 4)


def usage(supply, capacity, suppliers, receivers):
    rows = np.zeros((len(supply) + len(capacity), len(suppliers)))
    rows[suppliers, np.arange(len(suppliers))] = 1
    rows[len(supply) + receivers, np.arange(len(suppliers))] = 1
    return rows


@pytest.mark.parametrize("seed", range(60))
def test_warm_solves_agree_with_linear_programs(seed):
    rng = np.random.default_rng(seed)
    supply, capacity, i, j = random_network(rng)
    rows, most = usage(supply, capacity, i, j), np.concatenate([supply, capacity])
    limit = None if seed % 3 else rng.integers(0, 3, len(i))
    upper = np.full(len(i), np.inf) if limit is None else limit
    bounds = np.column_stack([np.zeros(len(i)), upper])
    largest = round(-linprog(-np.ones(len(i)), A_ub=rows, b_ub=most, bounds=bounds).fun)
    session = FlowSession(supply, capacity, i, j, limit)
    for _ in range(8):  # other weights, other numbers of pairs, up and down, too many at times
        weights = random_weights(rng, len(i))
        n = int(rng.integers(0, min(supply.sum(), capacity.sum()) + 1))
        flow = session.solve(weights, n)
        found = min(n, largest)
        assert n - flow.shortfall == flow.x.sum() == found
        assert (flow.x >= 0).all() and (flow.x <= upper).all() and (rows @ flow.x <= most).all()
        best = -linprog(-weights, rows, most, np.ones((1, len(i))), [found], bounds).fun
        scale = max(1.0, np.abs(weights).sum())
        assert weights @ flow.x == pytest.approx(best, abs=1e-7 * scale)
        if flow.shortfall == 0:
            reduced = weights - flow.supplier[i] - flow.receiver[j] - flow.count
            priced = np.maximum(reduced, 0.0)
            bound = supply @ flow.supplier + capacity @ flow.receiver + n * flow.count
            bound += priced[priced > 0] @ upper[priced > 0] if limit is not None else 0.0
            assert bound == pytest.approx(best, abs=1e-9 * scale)
            assert flow.supplier.min() >= 0 and flow.receiver.min() >= 0
            if limit is None:
                assert reduced.max() <= 1e-9 * scale


def test_blands_rule_alone_reaches_the_optimum(monkeypatch):
    import causalopt.algorithms.flow_simplex as module

    monkeypatch.setattr(module, "PATIENCE", -1)
    rng = np.random.default_rng(5)
    for _ in range(20):
        supply, capacity, i, j = random_network(rng)
        n = int(min(supply.sum(), capacity.sum()))
        weights = random_weights(rng, len(i))
        slow = FlowSession(supply, capacity, i, j).solve(weights, n)
        monkeypatch.setattr(module, "PATIENCE", 3)
        quick = FlowSession(supply, capacity, i, j).solve(weights, n)
        monkeypatch.setattr(module, "PATIENCE", -1)
        assert slow.shortfall == quick.shortfall
        assert weights @ slow.x == pytest.approx(weights @ quick.x)


def test_pricing_in_blocks_finds_the_same(monkeypatch):
    import causalopt.algorithms.flow_simplex as module

    rng = np.random.default_rng(8)
    i, j = np.nonzero(rng.random((40, 40)) < 0.5)
    ones = np.ones(40, dtype=np.int64)
    weights = rng.normal(size=len(i))
    whole = FlowSession(ones, ones, i, j).solve(weights, 30)
    monkeypatch.setattr(module, "BLOCK", 97)
    monkeypatch.setattr(module, "CANDIDATES", 5)
    blocks = FlowSession(ones, ones, i, j).solve(weights, 30)
    assert weights @ blocks.x == pytest.approx(weights @ whole.x, abs=1e-10)


def test_solving_again_from_the_optimum_takes_no_pivot():
    rng = np.random.default_rng(2)
    i, j = np.nonzero(rng.random((20, 20)) < 0.5)
    ones = np.ones(20, dtype=np.int64)
    session = FlowSession(ones, ones, i, j)
    weights = rng.normal(size=len(i))
    assert session.solve(weights, 12).pivots > 0
    assert session.solve(weights, 12).pivots == 0
    assert session.solve(weights, 13).pivots < FlowSession(ones, ones, i, j).solve(weights, 13).pivots


def test_a_new_session_begins_with_the_heaviest_pairs():
    """Where greed is right, what is left are pivots that move no flow; in any case fewer than from nothing."""
    i, j = (a.ravel() for a in np.meshgrid(np.arange(40), np.arange(40), indexing="ij"))
    ones = np.ones(40, dtype=np.int64)
    rng = np.random.default_rng(0)
    for n in (10, 30, 40):
        weights = rng.normal(size=len(i))
        fresh, empty = FlowSession(ones, ones, i, j), FlowSession(ones, ones, i, j)
        empty._fresh = False
        first, second = fresh.solve(weights, n), empty.solve(weights, n)
        assert weights @ first.x == pytest.approx(weights @ second.x)
        assert first.pivots < second.pivots
    diagonal = np.where(i == j, 10.0 + i, rng.random(len(i)))
    flow = FlowSession(ones, ones, i, j).solve(diagonal, 25)
    assert (i[flow.x > 0] == j[flow.x > 0]).all() and i[flow.x > 0].min() == 15
