"""The study of Kang and Schafer (2007) as in Zubizarreta (2015), tables 3 and 4, with baselines and coverage.

A mean is to be estimated from those who respond. U are the covariates that outcome and response depend on linearly, X
what is observed of them in the second table. 1000 data sets of n = 1000.

Run: python -m benchmarks.kang_schafer [--sets 1000] [--store FILE] [--workers 2]
"""

from __future__ import annotations

import argparse
import csv
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

# Many small problems: threads inside a worker only get in each other's way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table

TRUTH = 210.0
CHUNK = 25
FIELDS = ("set", "covariates", "weights", "cv", "estimator", "estimate", "kind", "error")
PUBLISHED = {("U", "sbw .1"): (0.3515, 3.52), ("U", "sbw .01"): (0.5011, 1.24), ("X", "sbw .01"): (0.5272, 1.79)}


def draw(seed: int, n: int = 1000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw U, X, whether each unit responds, and the outcome of all."""
    rng = np.random.default_rng([20150, seed])
    u = rng.normal(size=(n, 4))
    y = TRUTH + u @ [27.4, 13.7, 13.7, 13.7] + rng.normal(size=n)
    responds = rng.random(n) < 1 / (1 + np.exp(u[:, 0] - 0.5 * u[:, 1] + 0.25 * u[:, 2] + 0.1 * u[:, 3]))
    x = np.column_stack(
        [
            np.exp(u[:, 0] / 2),
            u[:, 1] / (1 + np.exp(u[:, 0])) + 10,
            (u[:, 0] * u[:, 2] / 25 + 0.6) ** 3,
            (u[:, 1] + u[:, 3] + 20) ** 2,
        ]
    )
    return u, x, responds.astype(float), y


def one_set(seed: int) -> list[tuple[object, ...]]:
    """Weigh one data set in every way, and estimate with every estimator."""
    import causalopt as co
    from causalopt.problems.factorial import propensity as ps

    u, x, responds, y = draw(seed)
    one = responds == 1
    rows: list[tuple[object, ...]] = []
    for name, covariates in (("U", u), ("X", x)):
        ways = {"logit": 1 / ps.logit_scores(covariates, responds)[one]}
        ways["trimmed logit"] = ps.trimmed(ways["logit"])
        ways["CBPS"] = 1 / ps.cbps_scores(covariates, responds)[one]
        everyone = pd.DataFrame(covariates, columns=list("abcd"))
        answers = {}
        for label, tolerance in (("sbw .1", 0.1), ("sbw .01", 0.01)):
            problem = co.BalanceProblem(
                everyone[one].reset_index(drop=True),
                estimand="population",
                target=everyone,
                tolerance=tolerance,
            )
            answers[label] = co.solve(problem)
            ways[label] = answers[label].weights.to_numpy() * (len(y) / one.sum())
        for label, w in ways.items():
            cv = float(w.std(ddof=1) / w.mean())
            estimates = {
                "Horvitz-Thompson": ps.horvitz_thompson(y[one], w, len(y)),
                "ratio": ps.ratio(y[one], w),
                "WLS": ps.weighted_least_squares(covariates, responds, y[one], w),
                "doubly robust": ps.doubly_robust(covariates, responds, y[one], w),
            }
            rows += [(seed, name, label, cv, kind, value, "", np.nan) for kind, value in estimates.items()]
        for label, result in answers.items():
            for kind in ("fixed", "regression"):
                estimate = result.estimate(y[one], variance=kind)
                rows.append((seed, name, label, np.nan, "interval", estimate.estimate, kind, estimate.standard_error))
            if seed < 50:
                estimate = result.estimate(y[one], variance="bootstrap", replications=40, seed=seed)
                error = estimate.standard_error
                rows.append((seed, name, label, np.nan, "interval", estimate.estimate, "bootstrap", error))
    return rows


def many_sets(seeds: list[int]) -> list[tuple[object, ...]]:
    return [row for seed in seeds for row in one_set(seed)]


def run(sets: int, store: Path, workers: int) -> pd.DataFrame:
    """Run what is not in the store yet; a data set's rows are written together, so a kill at any time loses little."""
    if store.exists():
        known = pd.read_csv(store)
        complete = known.groupby("set").size()
        done = set(complete.index[complete >= 48])
        known[known["set"].isin(done)].to_csv(store, index=False)  # rows cut short by a kill are done again
    else:
        done = set()
        store.parent.mkdir(parents=True, exist_ok=True)
        store.write_text(",".join(FIELDS) + "\n")
    todo = [seed for seed in range(sets) if seed not in done]
    chunks = [todo[k : k + CHUNK] for k in range(0, len(todo), CHUNK)]
    with ProcessPoolExecutor(workers) as pool, store.open("a", newline="") as file:
        writer = csv.writer(file)
        jobs = [pool.submit(many_sets, chunk) for chunk in chunks]
        for job in track(as_completed(jobs), total=len(jobs), description="Kang-Schafer", disable=not jobs):
            writer.writerows(job.result())
            file.flush()
    table = pd.read_csv(store)
    return table[table["set"] < sets]


def report(table: pd.DataFrame, console: Console) -> None:
    points = table[table["kind"].isna()]
    for number, name in (("3", "U"), ("4", "X")):
        own = points[points["covariates"] == name]
        shown = Table(
            title=f"Table {number}: covariates {name}, {own['set'].nunique()} data sets", title_justify="left"
        )
        for column in ("weights", "CV", "published", "estimator", "bias", "RMSE", "published "):
            shown.add_column(column, justify="left" if column in ("weights", "estimator") else "right")
        for (label, estimator), group in own.groupby(["weights", "estimator"], sort=False):
            error = group["estimate"] - TRUTH
            first = estimator == "Horvitz-Thompson"
            published = PUBLISHED.get((name, label))
            shown.add_row(
                label if first else "",
                f"{group['cv'].mean():.4f} +- {group['cv'].std() / np.sqrt(len(group)):.4f}" if first else "",
                f"{published[0]:.4f}" if first and published else "",
                estimator,
                f"{error.mean():.2f}",
                f"{np.sqrt((error**2).mean()):.2f}",
                f"{published[1]:.2f}" if published and estimator == "ratio" else "",
                end_section=estimator == "doubly robust",
            )
        console.print(shown)
    intervals = table[table["estimator"] == "interval"]
    shown = Table(title="Coverage of 95% intervals, and mean standard error beside the true one", title_justify="left")
    for column in ("covariates", "weights", "standard error", "coverage", "mean", "true", "data sets"):
        shown.add_column(column)
    for (name, label, kind), group in intervals.groupby(["covariates", "weights", "kind"], sort=False):
        error = group["estimate"] - TRUTH
        covered = (error.abs() <= 1.959964 * group["error"]).mean()
        everyone = intervals[(intervals["covariates"] == name) & (intervals["weights"] == label)]
        true = everyone.drop_duplicates("set")["estimate"].std()
        shown.add_row(
            name, label, kind, f"{covered:.3f}", f"{group['error'].mean():.2f}", f"{true:.2f}", str(len(group))
        )
    console.print(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--store", type=Path, default=Path("benchmarks/results/kang_schafer.csv"))
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    report(run(given.sets, given.store, given.workers), Console())


if __name__ == "__main__":
    main()
