"""How long the report of a store of 10,000 runs takes, and how large its page is.

Run: python -m benchmarks.report
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from pathlib import Path

from causalopt.bench import Run, Store, gather, write_page

#: Name -> kind and licence.
FIELD = {
    "highs": ("solver", "open source"),
    "scip": ("solver", "open source"),
    "gurobi": ("solver", "restricted"),
    "cplex": ("solver", "restricted"),
    "dual-newton": ("fast path", "open source"),
    "greedy": ("heuristic", "open source"),
    "raw:highs": ("peer", "open source"),
}
REPETITIONS = 3


def fill(path: Path, runs: int, seed: int = 0) -> None:
    """Make a store of random runs: ten problems, ten sizes each, one run in ten failed."""
    rng = random.Random(seed)
    with Store(path, create=True) as store:
        store.connection.execute("PRAGMA synchronous = OFF")
        for k in range(runs):
            place, repetition = divmod(k, REPETITIONS)
            item, who = divmod(place, len(FIELD))
            solver, (kind, license) = list(FIELD.items())[who]
            ok = rng.random() < 0.9 and kind != "heuristic"
            store.record(
                Run(
                    suite="random", instance=f"instance-{item}", problem=f"problem {item % 10}", formulation="qp",
                    solver=solver, kind=kind, license=license, solver_version="1.0", repetition=repetition,
                    status="ok" if ok else "unproven" if kind == "heuristic" else "limit without incumbent",
                    reason="optimal" if ok else "feasible", objective=1.0 + item, scale=1.0 + item, bound=1.0 + item,
                    gap=0.0, fingerprint=f"{item}", size=float(100 * 2 ** (item // 10 % 10)), time_limit=60.0,
                    load=rng.lognormvariate(-7, 1), solve=rng.lognormvariate(-4, 2), wall=1.0, worker=0.5,
                    base_memory=10**8, peak_memory=2 * 10**8, answers=json.dumps({"ATT": 1.0 + item}),
                    detail="stopped at its time limit", load_average=1.0, started="2026-01-01T00:00:00+00:00",
                )
            )  # fmt: skip


def main(runs: int = 10_000) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.sqlite"
        fill(path, runs)
        with Store(path) as store:
            start, busy = time.perf_counter(), time.process_time()
            figures = gather(store)
            gathered, busy_then = time.perf_counter(), time.process_time()
            size = write_page(figures, Path(folder) / "report.html")
            written, busy_last = time.perf_counter(), time.process_time()
    print(f"{runs:,} runs: figures {gathered - start:.1f} s ({busy_then - busy:.1f} s of processor time), ", end="")
    print(f"page {written - gathered:.1f} s ({busy_last - busy_then:.1f} s), {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
