"""Stores in which everything happens, and stores whose every word is hostile."""

import json
import random

from causalopt.bench import Run, Store

#: Name -> kind, licence, and how its runs end.
FIELD = {
    "highs": ("solver", "open source", {"ok": 12, "limit with incumbent": 1, "crashed": 1}),
    "scip": ("solver", "open source", {"ok": 9, "limit without incumbent": 3, "out of memory": 1, "error": 1}),
    "gurobi": ("solver", "restricted", {"ok": 8, "too large for the licence": 4, "wrong": 1}),
    "cplex": ("solver", "restricted", {"ok": 8, "too large for the licence": 4, "unsupported": 2, "lies": 2}),
    "dual-newton": ("fast path", "open source", {"ok": 12, "limit with incumbent": 1}),
    "greedy": ("heuristic", "open source", {"unproven": 1}),
    "raw:highs": ("peer", "open source", {"ok": 6, "unsupported": 1}),
}
PHASES = ("data", "build", "compile", "load", "solve", "extract", "verify")


def fill(path, seed, instances=18, repetitions=3):
    """A store in which everything happens: failures, refusals, lies, gaps, two suites, several sizes and seconds."""
    rng = random.Random(seed)
    with Store(path, create=True) as store:
        store.connection.execute("PRAGMA synchronous = OFF")  # a test's rows need not survive a power cut
        facts = {"processor": "a <b>&processor", "cores": 2, "memory_gib": 8.0, "packages": {"numpy": "2.0"}}
        store.record_environment("e", facts)
        for k in range(instances):
            optimum, maximize = rng.choice([-1, 1]) * rng.uniform(5, 50), k % 2
            for solver, (kind, license, ends) in FIELD.items():
                for repetition in range(repetitions):
                    end = rng.choices(list(ends), list(ends.values()))[0]
                    status = "ok" if end == "lies" else end
                    loss = rng.uniform(0.5, 3) if end in ("lies", "limit with incumbent", "unproven") else 0.0
                    has = status in ("ok", "limit with incumbent", "unproven")
                    value = optimum - loss if maximize else optimum + loss
                    store.record(
                        Run(
                            suite="one" if k % 3 else "two", instance=f"i{k}", problem=f"p{k % 2}",
                            formulation=f"f{k % 2}",
                            solver=solver, kind=kind, license=license, repetition=repetition, status=status,
                            size=float(10 * 2 ** (k // 2)), maximize=maximize, solver_version="1.14.0",
                            reason={"ok": "optimal", "limit with incumbent": "feasible", "unproven": "feasible"}.get(
                                status, "no solution"
                            ),
                            proof=rng.choice(["certified by causalopt", "claimed by the solver"]),
                            objective=value if has else None, scale=abs(value) if has else None,
                            bound=(value if end == "lies" else optimum) if has and kind != "heuristic" else None,
                            gap=(loss / abs(value) if end != "lies" else 0.0) if has and kind != "heuristic" else None,
                            fingerprint=f"h{k}", time_limit=7.0, memory_limit=2.0, gap_asked=1e-6, n_columns=10 * k + 1,
                            answers=json.dumps({"ATT": 2 * value} if has else {}), environment="e", machine="m",
                            expected=json.dumps({"ATT": [2 * optimum, 1e-9]}), commit="abc",
                            detail=f"{status} & <done>",
                            **{phase: rng.lognormvariate(-5, 2.0) for phase in PHASES},
                            worker=0.5, wall=0.5 + rng.uniform(0.1, 0.4), load_average=rng.uniform(0.5, 4.0),
                            base_memory=rng.randrange(10**7, 10**8), peak_memory=rng.randrange(10**8, 10**9),
                            started=f"2026-11-{1 + k % 20:02d}T10:00:00+00:00",
                        )
                    )  # fmt: skip
    return path


HOSTILE = [
    "<script>alert(1)</script>", "{{7*7}}", "{% raw %}", "\"'><img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "</style>", "<!--", "]]>", "Ünïcödé \u202e\u2028 \U0001f600", "n" * 400, "a b" * 200, "%{y}<b>x</b>", "nan",
    "\x1b[31mred", "",
]  # fmt: skip


def hostile(path):
    with Store(path, create=True) as store:
        store.connection.execute("PRAGMA synchronous = OFF")  # a test's rows need not survive a power cut
        for k, name in enumerate(HOSTILE):
            words = dict.fromkeys(
                ["suite", "problem", "formulation", "license", "solver_version", "detail", "commit", "started",
                 "environment", "machine"], name,
            )  # fmt: skip
            for size in (1.0, 2.0, 4.0):
                run = Run(
                    **words, instance=f"{name}{size}", solver=f"s{k}{name}", status="ok" if k % 2 else "wrong",
                    size=size, reason="optimal", solve=0.1 * size, objective=1.0, scale=1.0,
                    bound=1.0, fingerprint=f"{k} {size}",
                    answers=json.dumps({name: 1.0}), expected=json.dumps({name: [1.0, 0.1]}), time_limit=9.0,
                    peak_memory=10**8, base_memory=10**7,
                )  # fmt: skip
                store.record(run)
            facts = {"processor": name, "packages": {name: name}, "cores": 1, "memory_gib": 1.0}
            store.record_environment(name, facts)
    return path
