"""Every metric beside a second implementation in plain Python, written from its definition."""

import json
import math
import random
import statistics
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

from causalopt.bench import Run, Status, Store
from causalopt.bench.report import choice, figures, growth, metrics

SOLVERS = {"highs": "solver", "scip": "solver", "gurobi": "solver", "dual-newton": "fast path", "greedy": "heuristic"}
PHASES = ("data", "build", "compile", "load", "solve", "extract", "verify")


def random_runs(seed):
    rng = random.Random(seed)
    runs = []
    for k in range(12):
        optimum = rng.uniform(-50, 50)
        maximize = k % 2
        for solver, kind in SOLVERS.items():
            for repetition in range(3):
                status = rng.choices(
                    ["ok", "limit with incumbent", "limit without incumbent", "crashed", "unsupported", "wrong"],
                    [12, 1, 1, 1, 1, 1],
                )[0]
                if kind == "heuristic":
                    status = "unproven"
                loss = rng.uniform(0.01, 5) if status in ("limit with incumbent", "unproven") else 0.0
                has = status in ("ok", "limit with incumbent", "unproven")
                value = optimum - loss if maximize else optimum + loss
                runs.append(
                    Run(
                        suite="s", instance=f"i{k}", problem=f"p{k % 2}", formulation="f", solver=solver, kind=kind,
                        repetition=repetition, status=status, size=float(10 * 2 ** (k // 2)), maximize=maximize,
                        reason={"ok": "optimal", "limit with incumbent": "feasible", "unproven": "feasible"}.get(
                            status, "no solution"
                        ),
                        objective=value if has else None, scale=max(abs(value), 1.0) if has else None,
                        bound=optimum if status == "ok" else None, fingerprint=f"h{k}", time_limit=7.0,
                        answers=json.dumps({"ATT": 2 * value} if has else {}),
                        expected=json.dumps({"ATT": [2 * optimum, 1e-9]}),
                        **{phase: rng.lognormvariate(-4, 1.5) for phase in PHASES},
                        worker=0.5, wall=0.5 + rng.uniform(0.1, 0.4),
                        base_memory=rng.randrange(10**7, 10**8), peak_memory=rng.randrange(10**8, 10**9),
                    )
                )  # fmt: skip
    return runs


@pytest.fixture(scope="module", params=[0, 1, 2])
def both(request, tmp_path_factory):
    """The same runs as plain objects and, by way of a store, as the table that metrics read."""
    runs = random_runs(request.param)
    with Store(tmp_path_factory.mktemp("metrics") / "runs.sqlite", create=True) as store:
        store.connection.execute("PRAGMA synchronous = OFF")  # a test's rows need not survive a power cut
        for run in runs:
            store.record(run)
        return runs, metrics.judged(store.frame())


def seconds(run):
    return run.load + run.solve + run.extract if run.status == "ok" else run.time_limit


def attempted(run):
    return run.status not in ("unsupported", "too large for the licence", "instance failed")


def medians(runs):
    found = defaultdict(list)
    for run in runs:
        if attempted(run) and run.kind != "heuristic":
            found[run.instance, run.solver].append(seconds(run))
    return {key: statistics.median(values) for key, values in found.items()}


def test_rates(both):
    runs, table = both
    rates = metrics.rates(table)
    for solver in SOLVERS:
        own = [r for r in runs if r.solver == solver]
        tried = [r for r in own if attempted(r)]
        claims = [r for r in own if r.status in ("ok", "wrong", "unproven", "limit with incumbent")]
        wrong = [r for r in claims if r.status == "wrong"]
        provable = [r for r in tried if not (r.status == "unproven" and (r.kind == "heuristic" or not r.exact))]
        settled = sum(r.status == "ok" for r in provable) / len(provable) if provable else math.nan
        assert rates.loc[solver, "success"] == pytest.approx(settled, nan_ok=True)
        assert rates.loc[solver, "correct"] == pytest.approx(1 - len(wrong) / len(claims))
        assert rates.loc[solver, "attempted"] == len(tried) and rates.loc[solver, "runs"] == 36
        assert sum(rates.loc[solver, str(s)] for s in Status) == 36


def test_shifted_means(both):
    runs, table = both
    means = metrics.shifted_means(table)
    assert list(means.columns[1:4]) == ["shift 0.001 s", "shift 0.01 s", "shift 1 s"]
    middle = medians(runs)
    best = {i: min(v for (j, _), v in middle.items() if j == i) for i, _ in middle}
    for solver in ("highs", "scip", "gurobi", "dual-newton"):
        own = {i: v for (i, s), v in middle.items() if s == solver}
        for shift in (0.001, 0.01, 1.0):
            product = math.prod(v + shift for v in own.values())
            assert means.loc[solver, f"shift {shift:g} s"] == pytest.approx(product ** (1 / len(own)) - shift)
        ratio = math.prod((v + 0.001) / (best[i] + 0.001) for i, v in own.items()) ** (1 / len(own))
        assert means.loc[solver, "to best"] == pytest.approx(ratio)
    assert "greedy" not in means.index


def test_profiles(both):
    runs, table = both
    profiles = metrics.profiles(table)
    middle = medians(runs)
    tried, won = defaultdict(int), defaultdict(int)
    for run in runs:
        if attempted(run):
            tried[run.instance, run.solver] += 1
            won[run.instance, run.solver] += run.status == "ok"
    times = {key: v for key, v in middle.items() if won[key] / tried[key] > 0.5}
    items = {i for i, _ in times}
    best = {i: min(v for (j, _), v in times.items() if j == i) for i in items}
    for solver in profiles.columns:
        for tau in [*profiles.index[::3], 1.0, profiles.index[-1]]:
            inside = sum(times.get((i, solver), math.inf) <= tau * best[i] * (1 + 1e-12) for i in items)
            assert profiles.loc[tau, solver] == pytest.approx(inside / len(items))
    assert profiles.index[0] == 1.0 and profiles.diff().min().min() >= 0


def test_time_split(both):
    runs, table = both
    split = metrics.time_split(table)
    for solver in split.index:
        own = [r for r in runs if r.solver == solver and r.status == "ok"]
        totals = [sum(getattr(r, p) for p in PHASES) for r in own]
        for phase in PHASES:
            share = statistics.fmean(getattr(r, phase) / t for r, t in zip(own, totals, strict=True))
            assert split.loc[solver, phase] == pytest.approx(share)
        assert split.loc[solver, "total (s)"] == pytest.approx(statistics.fmean(totals))


def test_spread_memory_and_overhead(both):
    runs, table = both
    spread, memory, overhead = metrics.spread(table), metrics.memory(table), metrics.overhead(table)
    for instance, solver in [("i0", "highs"), ("i5", "scip"), ("i7", "dual-newton")]:
        own = [r for r in runs if (r.instance, r.solver) == (instance, solver) and attempted(r)]
        row = spread.loc[("s", instance, "f", solver)]
        values = sorted(map(seconds, own))
        assert row["median"] == pytest.approx(statistics.median(values)) and row["repetitions"] == len(own)
        if len(values) == 3:  # quartiles of three by linear interpolation
            assert row["lower quartile"] == pytest.approx((values[0] + values[1]) / 2)
            assert row["upper quartile"] == pytest.approx((values[1] + values[2]) / 2)
        peak = statistics.median(r.peak_memory for r in own) / 2**20
        mine = statistics.median(r.peak_memory - r.base_memory for r in own) / 2**20
        assert memory.loc[("s", instance, "f", solver)].tolist() == pytest.approx([peak, mine])
    for solver in SOLVERS:
        beside = [r.wall - r.worker for r in runs if r.solver == solver and attempted(r)]
        assert overhead.loc[solver].tolist() == pytest.approx([statistics.median(beside), max(beside)])


def test_price_of_heuristics(both):
    runs, table = both
    prices = metrics.price_of_heuristics(table).set_index("instance")
    assert len(prices)
    for instance, row in prices.iterrows():
        sure = [r for r in runs if r.instance == instance and r.status == "ok"]
        rough = [r for r in runs if r.instance == instance and r.kind == "heuristic"]
        optimum, value = sure[0].objective, statistics.median(r.objective for r in rough)
        fastest = min(statistics.median(seconds(r) for r in sure if r.solver == s) for s in {r.solver for r in sure})
        own = statistics.median(r.load + r.solve + r.extract for r in rough)
        assert row["loss"] == pytest.approx(abs(value - optimum) / abs(optimum))
        assert row["time saved"] == pytest.approx(fastest / own)


def test_price_of_heuristics_in_answers_where_there_is_no_objective(tmp_path):
    runs = [
        Run(suite="s", instance="i", solver=solver, kind=kind, status=status, reason=reason, solve=seconds,
            answers=json.dumps({"Z max": z}))
        for solver, kind, status, reason, seconds, z in [
            ("exact", "fast path", "ok", "optimal", 0.5, 40.0),
            ("greedy", "heuristic", "unproven", "feasible", 0.1, 10.0),
        ]
    ]  # fmt: skip
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        for run in runs:
            store.record(run)
        (row,) = metrics.price_of_heuristics(metrics.judged(store.frame())).to_dict("records")
    assert (row["what"], row["loss"], row["time saved"]) == ("Z max", 0.75, pytest.approx(5.0))


def test_agreement_and_reproduction(both):
    runs, table = both
    agreement = metrics.agreement(table)
    assert (agreement["relative difference"] < 1e-12).all() and set(agreement["what"]) == {"objective", "ATT"}
    reproduction = metrics.reproduction(table)
    assert reproduction["agrees"].all()
    by_hand = {r.instance: 2 * r.objective for r in runs if r.status == "ok"}
    assert reproduction.set_index("instance")["found"].to_dict() == pytest.approx(by_hand)
    off = table.copy()
    first = off.index[off["success"]][0]
    value = json.loads(off.loc[first, "answers"])["ATT"]
    off.loc[first, "answers"] = json.dumps({"ATT": value * 1.5})
    off.loc[first, "objective"] *= 1.5
    assert (~metrics.reproduction(off)["agrees"].astype(bool)).sum() == 1
    differences = metrics.agreement(off).groupby("what")["relative difference"].max()
    assert differences["ATT"] == pytest.approx(1 / 3)


def test_a_published_surrogate_is_reproduced_by_what_solvers_found_for_it(tmp_path):
    common = {"suite": "s", "reason": "feasible", "expected": json.dumps({"Z": [1.0, 0.1]})}
    runs = [
        Run(instance="a", solver="scip", status="unproven", exact=0, answers='{"Z": 1.05}', **common),
        Run(instance="a", solver="greedy", kind="heuristic", status="unproven", exact=0, answers='{"Z": 9}', **common),
        Run(instance="b", solver="scip", status="unproven", exact=0, answers='{"Z": 9}', **common),
        Run(instance="b", solver="highs", status="ok", exact=1, answers='{"Z": 0.8}', **common),
    ]
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        for run in runs:
            store.record(run)
        found = metrics.reproduction(metrics.judged(store.frame())).set_index("instance")
    assert found["found"].to_dict() == {"a": 1.05, "b": 0.8} and found["agrees"].to_dict() == {"a": True, "b": False}


def test_growth(both):
    runs, table = both
    exponents = growth.exponents(table).set_index(["problem", "solver"])
    checked = 0
    for (problem, solver), row in exponents.iterrows():
        own = [r for r in runs if (r.problem, r.solver) == (problem, solver) and attempted(r)]
        sizes = {}
        for size in sorted({r.size for r in own}):
            group = [r for r in own if r.size == size]
            if all(r.status == "ok" for r in group):
                sizes[size] = statistics.median(map(seconds, group))
        assert row["sizes"] == len(sizes)
        failed = {r.size for r in own} - set(sizes)
        assert (row["failed from"] == min(failed)) if failed else math.isnan(row["failed from"])
        if len(sizes) < 3:
            assert math.isnan(row["exponent"])
            continue
        x, y = [math.log(s) for s in sizes], [math.log(v) for v in sizes.values()]
        n, mx, my = len(x), statistics.fmean(x), statistics.fmean(y)
        sxx = sum((a - mx) ** 2 for a in x)
        slope = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sxx
        rest = sum((b - my - slope * (a - mx)) ** 2 for a, b in zip(x, y, strict=True))
        error = math.sqrt(rest / (n - 2) / sxx)
        quantile = {1: 12.7062047, 2: 4.30265273, 3: 3.18244631, 4: 2.77644511}[n - 2]  # table of Student's t, .975
        assert row["exponent"] == pytest.approx(slope)
        assert row["lower"] == pytest.approx(slope - quantile * error, rel=1e-6)
        assert row["upper"] == pytest.approx(slope + quantile * error, rel=1e-6)
        checked += 1
    assert checked


@pytest.mark.parametrize(
    ("path", "solver", "expected"),
    [
        ([1, 1, 1, 1], [0.1, 1, 10, 100], 10.0),  # equal at 10, faster beyond
        ([1, 1, 1, 1], [2, 3, 4, 5], 1.0),  # always faster
        ([9, 9, 9, 9], [1, 2, 3, 4], math.nan),  # never
        ([1, 1, 1, 1], [2, 0.5, 0.5, 2], 10**2.5),  # what counts is from where it stays faster
        ([1, 1, 1, 1], [0.01, 0.01, 0.1, 10], 10**2.5),  # halfway on logarithmic axes
    ],
)
def test_break_even(path, solver, expected):
    frame = pd.DataFrame({"path": path, "solver": solver}, index=[1.0, 10.0, 100.0, 1000.0], dtype=float)
    assert growth.crossing(frame) == pytest.approx(expected, nan_ok=True)


def test_break_even_of_runs(both):
    runs, table = both
    found = growth.break_even(table)
    assert set(found["fast path"]) == {"dual-newton"} and set(found["solver"]) == {"highs", "scip", "gurobi"}
    for _, row in found.iterrows():
        middle = defaultdict(dict)
        for r in runs:
            if r.problem == row["problem"] and attempted(r):
                middle[r.size].setdefault(r.solver, []).append(seconds(r))
        largest = max(s for s, v in middle.items() if {"dual-newton", row["solver"]} <= set(v))
        at_end = middle[largest]
        ratio = statistics.median(at_end[row["solver"]]) / statistics.median(at_end["dual-newton"])
        assert row["times faster there"] == pytest.approx(ratio)
        assert math.isnan(row["from size"]) == (ratio <= 1)


def test_a_range_of_sizes_ends_where_nobody_settled(tmp_path):
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        for size in (10, 20, 30, 40, 50):
            for solver, took in (("highs", 1.0), ("scip", 2.0)):
                settled = solver == "highs" or size == 10
                status = "limit without incumbent" if size == 30 else "ok" if settled else "crashed"
                store.record(
                    Run(
                        suite="s", instance=f"i{size}", problem="p", formulation="f", solver=solver, kind="solver",
                        size=float(size), status=status, reason="optimal", solve=took, time_limit=9.0,
                    )
                )  # fmt: skip
        table = choice.by_size(metrics.judged(store.frame()))
    assert table[["from size", "to size", "fastest"]].values.tolist() == [[10, 20, "highs"], [40, 50, "highs"]]
    assert table["seconds"].tolist() == [1.0, 1.0] and table["next"].tolist() == ["", ""]


def test_peers(tmp_path):
    common = {"suite": "s", "instance": "i", "status": "ok", "solve": 1.0, "verify": 9.0, "data": 3.0}
    runs = [
        Run(solver="highs", kind="solver", load=0.5, build=0.25, **common),
        Run(solver="raw", kind="peer", load=0.25, **common),
        Run(solver="slow", kind="peer", load=5.0, build=1.0, **common),
    ]
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        for run in runs:
            store.record(run)
        found = metrics.beside_peers(metrics.judged(store.frame())).set_index("solver")
    assert found["seconds"].to_dict() == {"highs": 1.75, "raw": 1.25, "slow": 7.0}
    assert found["to fastest peer"].to_dict() == pytest.approx({"highs": 1.4, "raw": 1.0, "slow": 5.6})


# ---- what refutes what ----


def test_verified_solutions_refute_claims_of_the_same_program_only(tmp_path):
    def row(solver, reason, objective, bound=None, fingerprint="h", maximize=0, **more):
        has = objective is not None
        return Run(
            suite="s", instance="i", solver=solver, status="ok" if reason != "feasible" else "limit with incumbent",
            reason=reason, objective=objective, bound=bound, scale=1.0 if has else None, fingerprint=fingerprint,
            maximize=maximize, **more,
        )  # fmt: skip

    with Store(tmp_path / "runs.sqlite", create=True) as store:
        for run in [
            row("best", "feasible", 1.0, bound=0.0),
            row("lazy", "optimal", 1.5, bound=1.5),
            row("bold", "feasible", 2.0, bound=1.1),
            row("blind", "infeasible", None),
            row("right", "optimal", 1.0 + 1e-7, bound=1.0),
            row("rough", "optimal", 1.005, bound=0.9, gap_asked=0.01),
            row("elsewhere", "optimal", 1.5, fingerprint="g"),
            row("up", "optimal", 1.5, fingerprint="m", maximize=1),
            row("down", "optimal", 1.0, fingerprint="m", maximize=1),
        ]:
            store.record(run)
        found = metrics.judged(store.frame()).set_index("solver")["status"]
    assert set(found.index[found == "wrong"]) == {"lazy", "bold", "blind", "down"}


def test_empty_and_lonely_stores_give_tables(tmp_path):
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        assert all(len(t) == 0 for t in figures.tables(metrics.judged(store.frame())).values())
        store.record(Run(suite="s", instance="i", solver="highs", status="crashed", time_limit=3.0))
        tables = figures.tables(metrics.judged(store.frame()))
    (rates,) = tables["Success and correctness"].frame.to_dict("records")
    assert rates["solver"] == "highs" and rates["success"] == 0 and math.isnan(rates["correct"])
    assert tables["Shifted geometric means"].frame["shift 1 s"].tolist() == pytest.approx([3.0])


def test_a_median_of_repetitions_charges_each_failure_its_limit(tmp_path):
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        for k, status in enumerate(["ok", "crashed", "crashed"]):
            store.record(
                Run(suite="s", instance="i", formulation="f", solver="highs", repetition=k, status=status, solve=1.0,
                    time_limit=9.0)
            )  # fmt: skip
        judged = metrics.judged(store.frame())
    assert metrics.times(judged).loc[("s", "i", "f"), "highs"] == 9.0
    assert not np.any(metrics.solved(judged).to_numpy(dtype=bool))
