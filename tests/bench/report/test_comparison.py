import math
import random
import statistics

import pytest

from causalopt.bench import Run, Store, compare


def store_of(folder, name, runs):
    with Store(folder / name, create=True) as store:
        store.connection.execute("PRAGMA synchronous = OFF")  # a test's rows need not survive a power cut
        for run in runs:
            store.record(run)
        return store.frame()


def runs_of(factor, noise=0.03, repetitions=6, items=8, seed=0, statuses=None, solver="highs"):
    rng = random.Random(seed)
    return [
        Run(
            suite="s", instance=f"i{k}", formulation="f", solver=solver, repetition=r, reason="optimal",
            status=(statuses or {}).get(k, "ok"), time_limit=9.0,
            solve=0.1 * (k + 1) * factor * rng.lognormvariate(0, noise),
        )
        for k in range(items)
        for r in range(repetitions)
    ]  # fmt: skip


def test_a_real_slowdown_is_found_with_its_size_and_exit_code(tmp_path):
    a, b = store_of(tmp_path, "a", runs_of(1.0)), store_of(tmp_path, "b", runs_of(1.5, seed=1))
    found = compare(a, b)
    row = found.solvers.loc["highs"]
    assert row["verdict"] == "slower" and row["lower"] < 1.5 < row["upper"] and row["items"] == 8
    assert set(found.items["verdict"]) == {"slower"} and found.exit_code == 1
    assert any("highs is 1." in sentence and "times as slow" in sentence for sentence in found.worse)
    back = compare(b, a)
    assert back.solvers.loc["highs", "verdict"] == "faster" and back.exit_code == 0 and not back.worse


def test_noise_is_not_called_a_change(tmp_path):
    wrong = 0
    for seed in range(20):
        a = store_of(tmp_path, f"a{seed}", runs_of(1.0, 0.3, 3, seed=2 * seed))
        b = store_of(tmp_path, f"b{seed}", runs_of(1.0, 0.3, 3, seed=2 * seed + 1))
        wrong += compare(a, b).exit_code
    assert wrong <= 4  # at 95%: five in a hundred would be one


def test_a_sure_but_tiny_change_is_no_regression(tmp_path):
    a, b = store_of(tmp_path, "a", runs_of(1.0, 0.001)), store_of(tmp_path, "b", runs_of(1.02, 0.001, seed=1))
    assert compare(a, b).exit_code == 0
    assert compare(a, b, smallest=0.01).exit_code == 1


def test_one_repetition_says_nothing_about_an_item(tmp_path):
    a, b = store_of(tmp_path, "a", runs_of(1.0, repetitions=1)), store_of(tmp_path, "b", runs_of(9.0, repetitions=1))
    found = compare(a, b)
    assert set(found.items["verdict"]) == {"no change shown"} and found.items["upper"].eq(math.inf).all()
    assert found.solvers.loc["highs", "verdict"] == "slower"  # over eight items it does


@pytest.mark.parametrize(("before", "after", "code"), [("ok", "wrong", 1), ("wrong", "ok", 0), ("ok", "crashed", 1)])
def test_a_change_of_status_is_told(tmp_path, before, after, code):
    a = store_of(tmp_path, "a", runs_of(1.0, statuses={3: before}))
    b = store_of(tmp_path, "b", runs_of(1.0, statuses={3: after}))
    found = compare(a, b)
    (row,) = found.statuses.to_dict("records")
    assert (row["instance"], row["before"], row["after"], row["worse"]) == ("i3", before, after, bool(code))
    assert found.exit_code == code
    assert len(found.items) == 7  # times of wrong answers are not compared


def test_stores_without_a_common_item_cannot_be_compared(tmp_path):
    a, b = store_of(tmp_path, "a", runs_of(1.0)), store_of(tmp_path, "b", runs_of(1.0, solver="scip"))
    found = compare(a, b)
    assert found.exit_code == 2 and (found.only_a, found.only_b) == (8, 8)


def test_ratio_interval_and_adjusted_p_by_hand(tmp_path):
    a, b = runs_of(1.0, items=3, repetitions=4), runs_of(1.2, items=3, repetitions=4, seed=5)
    found = compare(store_of(tmp_path, "a", a), store_of(tmp_path, "b", b)).items.set_index("instance")
    for k in range(3):
        x = [math.log(r.solve) for r in a if r.instance == f"i{k}"]
        y = [math.log(r.solve) for r in b if r.instance == f"i{k}"]
        row = found.loc[f"i{k}"]
        assert row["ratio"] == pytest.approx(math.exp(statistics.median(y) - statistics.median(x)))
        vx, vy = statistics.variance(x) / 4, statistics.variance(y) / 4
        difference, error = statistics.fmean(y) - statistics.fmean(x), math.sqrt(vx + vy)
        freedom = (vx + vy) ** 2 / (vx**2 / 3 + vy**2 / 3)
        middle = (math.log(row["lower"]) + math.log(row["upper"])) / 2
        assert middle == pytest.approx(difference)
        quantile = (math.log(row["upper"]) - math.log(row["lower"])) / 2 / error
        assert t_probability(quantile, freedom) == pytest.approx(0.975, abs=1e-6)
        assert row["p"] == pytest.approx(2 * (1 - t_probability(abs(difference) / error, freedom)), abs=1e-6)
    p = sorted(found["p"])
    by_hand = [min(1, 3 * p[0]), 0, 0]
    by_hand[1] = max(by_hand[0], min(1, 2 * p[1]))
    by_hand[2] = max(by_hand[1], p[2])
    assert sorted(found["adjusted p"]) == pytest.approx(by_hand)


def t_probability(t, freedom, steps=20_000):
    """Student's t by Simpson's rule."""
    constant = math.gamma((freedom + 1) / 2) / math.sqrt(freedom * math.pi) / math.gamma(freedom / 2)
    h = t / steps
    f = [(1 + (k * h) ** 2 / freedom) ** (-(freedom + 1) / 2) for k in range(steps + 1)]
    return 0.5 + constant * h / 3 * (f[0] + f[-1] + 4 * sum(f[1:-1:2]) + 2 * sum(f[2:-1:2]))
