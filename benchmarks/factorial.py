"""The simulation of Yu and Ding (arXiv 2310.04660): errors of factorial effects by balancing weights and its rivals.

Run: python -m benchmarks.factorial   (about three minutes on two cores; started again, it goes on where it stopped)

Covariates X ~ N((.1, .1, .1, 0, 0), S) with unit variances and correlation rho; three factors by logits in X; outcomes
Y1 (additive), Y2 (effects linear in X) and Y3 (nonlinear). Replication r draws from the generator seeded with (N, rho,
r), so that its answer does not depend on who computes it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

LOGITS = np.array(
    [[1 / 4, 2 / 4, 0, 3 / 4, 1], [3 / 4, 1 / 4, 1, 0, 2 / 4], [1, 0, 3 / 4, 2 / 4, 1 / 4]],
)
TRUTH = np.array([[1, 1, 1], [0.1, 0.1, 0.1], [0.0996, 0.1, 0.1]])
#: Root mean squared errors at N = 500, rho = 0: outcome by factor.
PUBLISHED = {
    "additive": [[0.129, 0.148, 0.126], [0.182, 0.190, 0.158], [0.170, 0.186, 0.196]],
    "heterogeneous": [[0.134, 0.148, 0.131], [0.158, 0.153, 0.151], [0.166, 0.158, 0.174]],
}
MODELS = ("additive", "heterogeneous")
SIZES, CORRELATIONS = (500, 1000), (0.0, 0.2)


def draw_study(rng: np.random.Generator, n: int, rho: float) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return covariates (n, 5), factors (n, 3) in {0, 1} and the three outcomes."""
    covariance = np.full((5, 5), rho) + (1 - rho) * np.eye(5)
    x = rng.multivariate_normal([0.1, 0.1, 0.1, 0, 0], covariance, n)
    z = (rng.random((n, 3)) < 1 / (1 + np.exp(-x @ LOGITS.T))).astype(float)
    e = rng.normal(size=(3, n))
    first = 2 * x.sum(axis=1) + z.sum(axis=1) + e[0]
    second = 2 * x.sum(axis=1) + (x[:, :3] * z).sum(axis=1) + e[1]
    by_factor = np.column_stack([np.minimum(1, x[:, 0]) + x[:, 1], x[:, 0], x[:, 1]])
    third = np.sin(x[:, 0]) + np.cos(x[:, 1]) + (by_factor * z).sum(axis=1) + e[2]
    return x, z, [first, second, third]


def one_replication(n: int, rho: float, replication: int, rivals: bool = False) -> list[dict[str, Any]]:
    """Return, by model (or rival), outcome and factor, the estimate and whether its interval covers the truth."""
    import causalopt as co

    x, z, outcomes = draw_study(np.random.default_rng([n, int(100 * rho), replication]), n, rho)
    factors = pd.DataFrame(z, columns=["z1", "z2", "z3"])
    rows: list[dict[str, Any]] = []

    def record(name: str, outcome: int, table: pd.DataFrame) -> None:
        for k, (_, row) in enumerate(table.iterrows()):
            covered = bool(row["lower"] <= TRUTH[outcome, k] <= row["upper"])
            rows.append(
                {"model": name, "outcome": outcome, "factor": k, "estimate": row["estimate"], "covered": covered}
            )

    for model in MODELS:
        try:
            result = co.solve(co.FactorialBalanceProblem(x, factors, outcome_model=model))
        except co.InfeasibleError:
            rows.append({"model": model, "outcome": -1, "factor": -1, "estimate": np.nan, "covered": False})
            continue
        for outcome, y in enumerate(outcomes):
            if rivals and model == MODELS[-1]:
                both = result.compare(y)
                for name in both.index.get_level_values("estimator").unique():
                    record(model if name == "balancing weights" else name, outcome, both.loc[name])
            else:
                record(model, outcome, result.estimate(y))
    return rows


def _job(task: tuple[int, float, int]) -> tuple[tuple[int, float, int], list[dict[str, Any]]]:
    return task, one_replication(*task, rivals=True)


def run(replications: int, workers: int, store: Path) -> pd.DataFrame:
    """Run what is not yet in `store`, a file with a line of JSON for each replication, and return all of it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    done: dict[tuple[int, float, int], list[dict[str, Any]]] = {}
    if store.exists():
        for line in store.read_text().splitlines():
            try:
                n, rho, replication, rows = json.loads(line)
            except ValueError:  # the line that was being written when the run stopped
                continue
            done[n, rho, replication] = rows
    wanted = [(n, rho, r) for r in range(replications) for n in SIZES for rho in CORRELATIONS]
    tasks = [task for task in wanted if task not in done]
    columns = (TextColumn("replications"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    store.parent.mkdir(parents=True, exist_ok=True)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # for the workers, which are processes of their own: two on two cores
    spawn = multiprocessing.get_context("spawn")
    with Progress(*columns) as progress, store.open("a") as file, ProcessPoolExecutor(workers, spawn) as pool:
        bar = progress.add_task("", total=len(wanted), completed=len(wanted) - len(tasks))
        for task, rows in pool.map(_job, tasks, chunksize=8):
            done[task] = rows
            file.write(json.dumps([*task, rows]) + "\n")
            file.flush()
            progress.advance(bar)
    records = [{"n": task[0], "rho": task[1], **row} for task in wanted for row in done[task]]
    return pd.DataFrame(records)


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """Return bias, root mean squared error and coverage by N, rho, estimator, outcome and factor."""
    solved = frame[frame["outcome"] >= 0].copy()
    solved["error"] = solved["estimate"] - TRUTH[solved["outcome"], solved["factor"]]
    groups = solved.groupby(["n", "rho", "model", "outcome", "factor"], sort=False)
    return pd.DataFrame(
        {
            "bias": groups["error"].mean(),
            "rmse": groups["error"].apply(lambda e: float(np.sqrt((e**2).mean()))),
            "coverage": groups["covered"].mean(),
            "replications": groups.size(),
        }
    )


def report(frame: pd.DataFrame) -> str:
    """Return the tables, and beside the published figures how far ours are from them."""
    table = summarise(frame)
    lines = []
    for (n, rho), part in table.groupby(level=["n", "rho"]):
        lines.append(f"\nN = {n}, rho = {rho:g}, {int(part['replications'].max())} replications")
        lines.append(f"{'':26}{'RMSE of factors 1, 2, 3 on Y1':>31}{'Y2':>19}{'Y3':>19}{'coverage Y1  Y2  Y3':>23}")
        for name, own in part.groupby(level="model", sort=False):
            rmse = own["rmse"].to_numpy().reshape(3, 3)
            cover = own["coverage"].to_numpy().reshape(3, 3).mean(axis=1)
            cells = "  ".join(" ".join(f"{value:.3f}" for value in row) for row in rmse)
            lines.append(f"{name:<38}{cells}    {'  '.join(f'{c:.3f}' for c in cover)}")
            if (n, rho) == (500, 0.0) and name in PUBLISHED:
                published = np.array(PUBLISHED[str(name)])
                cells = "  ".join(" ".join(f"{value:.3f}" for value in row) for row in published)
                lines.append(f"{'  published':<38}{cells}    largest difference {abs(rmse / published - 1).max():.1%}")
    infeasible = frame[frame["outcome"] < 0].groupby(["n", "rho", "model"]).size()
    lines.append(f"\nreplications without weights: {infeasible.to_dict() or 'none'}")
    return "\n".join(lines)


def main() -> None:
    """Run the simulation and print its tables."""
    import time

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--store", type=Path, default=Path("build") / "factorial.jsonl")
    given = parser.parse_args()
    began = time.perf_counter()
    frame = run(given.replications, given.workers, given.store)
    print(report(frame))
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
