"""Synthetic control: answers beside the published ones, and speed beside cvxpy with Clarabel.

Run: python -m benchmarks.synthetic_control   (cvxpy and clarabel are optional; the data are those of CAUSALOPT_DATA)
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

import causalopt as co
from benchmarks.lane import interleaved, median_seconds
from causalopt.solving.backend import installed_backends

DATA = Path(os.environ.get("CAUSALOPT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
GERMANY = {"unit": "country", "time": "year", "outcome": "gdp", "treated": "West Germany", "treatment_time": 1990}
CALIFORNIA = {"unit": "state", "time": "year", "outcome": "cigsale", "treated": "California", "treatment_time": 1989}
LAM, ALPHA = 2517.62, 0.5


def germany() -> pd.DataFrame:
    return pd.read_csv(DATA / "germany" / "repgermany.csv")


def smoking() -> pd.DataFrame:
    return pd.read_csv(DATA / "prop99" / "smoking.csv")


def panel(times: int, donors: int) -> pd.DataFrame:
    """Five common factors and noise; unit "u0" is the treated one."""
    rng = np.random.default_rng(0)
    factors, loadings = rng.normal(size=(times, 5)).cumsum(axis=0), rng.gamma(2.0, size=(5, donors + 1))
    values = 50 + factors @ loadings + rng.normal(size=(times, donors + 1))
    return pd.DataFrame(values, columns=[f"u{j}" for j in range(donors + 1)])


# ---- answers ----


def answers() -> Table:
    table = Table(title="Answers by solver", title_justify="left")
    columns = (
        "solver",
        "Germany SSR",
        "effect",
        "net: intercept",
        "unsquared",
        "California SSR",
        "effect",
        "worst gap",
    )
    for name in columns:
        table.add_column(name, justify="left" if name == "solver" else "right")
    table.add_row("published", "111061.058", "-1297.48", "296.99", "296.97", "52.13", "-19.5136", "")
    west, west_data, golden = GERMANY, germany(), smoking()
    net = {"weights": "elastic-net", "lam": LAM, "alpha": ALPHA}
    for solver in ["active-set", *(backend.name for backend in installed_backends())]:
        a = co.synthetic_control(west_data, solver=solver, **west)
        b = co.synthetic_control(west_data, solver=solver, **net, **west)
        c = co.synthetic_control(west_data, solver=solver, l2="unsquared", **net, **west)
        d = co.synthetic_control(golden, solver=solver, **CALIFORNIA)
        table.add_row(
            solver, f"{a.loss:.3f}", f"{a.att:.2f}", f"{b.intercept:.2f}", f"{c.intercept:.2f}", f"{d.loss:.2f}",
            f"{d.att:.4f}", f"{max(r.gap for r in (a, b, c, d)):.0e}",
        )  # fmt: skip
    return table


def units() -> Table:
    """How far weights move when all outcomes are multiplied by 1e-6 or 1e6."""
    table = Table(title="Largest change of a weight when outcomes are rescaled", title_justify="left")
    for name in ("solver", "x 1e-6", "x 1e6", "to reach"):
        table.add_column(name)
    data = [(germany(), GERMANY), (smoking(), CALIFORNIA)]
    for solver in ["active-set", *(backend.name for backend in installed_backends())]:
        moved = []
        for factor in (1e-6, 1e6):
            worst = 0.0
            for df, names in data:
                for more in ({}, {"weights": "elastic-net", "alpha": ALPHA, "lam": LAM}):
                    own = more | ({"lam": more["lam"] * factor**2} if more else {})
                    scaled = df.assign(**{names["outcome"]: df[names["outcome"]] * factor})
                    first = co.synthetic_control(df, solver=solver, **names, **more)
                    second = co.synthetic_control(scaled, solver=solver, **names, **own)
                    worst = max(worst, float((first.weights - second.weights).abs().max()))
            moved.append(f"{worst:.0e}")
        table.add_row(solver, *moved, "<= 1e-6")
    return table


# ---- speed ----


def whole_jobs() -> Table:
    table = Table(title="Whole jobs", title_justify="left")
    for name in ("job", "seconds", "to reach"):
        table.add_column(name)
    df, golden = germany(), smoking()
    seconds = median_seconds(lambda: co.synthetic_control(df, weights="elastic-net", **GERMANY), 3)
    table.add_row("penalty choice and fit, Germany: 16 donors x 20 lam x 3 alpha", f"{seconds:.2f}", "< 3")
    result = co.synthetic_control(golden, **CALIFORNIA)
    table.add_row("placebo run, 38 donors of California, active-set",
                  f"{median_seconds(result.placebo_in_space, 3):.2f}", "< 5")  # fmt: skip
    for backend in installed_backends():
        own = co.synthetic_control(golden, solver=backend.name, **CALIFORNIA)
        began = time.perf_counter()
        own.placebo_in_space()
        table.add_row(f"the same on {backend.name}", f"{time.perf_counter() - began:.2f}", "< 5")
    table.add_row("effect range within 10% of the best fit, California",
                  f"{median_seconds(lambda: result.att_range(0.1), 3):.3f}", "")  # fmt: skip
    return table


def by_cvxpy(outcomes: pd.DataFrame, treated: str, when: int, net: bool) -> object:
    """Do what a careful user of cvxpy would, from the wide panel to weights and gaps."""
    import cvxpy as cp

    before = outcomes.loc[outcomes.index < when]
    y, donors = before[treated].to_numpy(), before.drop(columns=treated).to_numpy()
    w = cp.Variable(donors.shape[1])
    if net:
        mu = cp.Variable()
        size = LAM * (ALPHA * cp.norm1(w) + (1 - ALPHA) / 2 * cp.sum_squares(w))
        problem = cp.Problem(cp.Minimize(cp.sum_squares(y - mu - donors @ w) / (2 * len(y)) + size))
    else:
        problem = cp.Problem(cp.Minimize(cp.sum_squares(y - donors @ w)), [w >= 0, cp.sum(w) == 1])
    problem.solve(solver=cp.CLARABEL)
    weights = pd.Series(w.value, index=outcomes.columns.drop(treated))
    return weights, outcomes[treated] - outcomes.drop(columns=treated) @ weights


def in_a_loop(run: Callable[[], object], repeat: int) -> float:
    """Return the median of calls one after another, when caches hold the code (as in a study of many fits)."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def beside_cvxpy(repeat: int) -> Table | None:
    try:
        import clarabel  # noqa: F401
        import cvxpy  # noqa: F401
    except ImportError:
        return None
    table = Table(title="One fit, data to weights and gaps, beside cvxpy with Clarabel", title_justify="left")
    for name in ("fit", "alone: causalopt", "cvxpy", "ratio", "in a loop: causalopt", "cvxpy", "ratio", "to reach"):
        table.add_column(name)

    def long(
        df: pd.DataFrame, names: dict[str, object], net: bool
    ) -> tuple[Callable[[], object], Callable[[], object]]:
        more = {"weights": "elastic-net", "lam": LAM, "alpha": ALPHA} if net else {}

        def ours() -> object:
            result = co.synthetic_control(df, **names, **more)
            return result.weights, result.gaps

        def theirs() -> object:
            wide = df.pivot(index=names["time"], columns=names["unit"], values=names["outcome"])
            return by_cvxpy(wide, str(names["treated"]), int(str(names["treatment_time"])), net)

        return ours, theirs

    def simulated(times: int, donors: int) -> tuple[Callable[[], object], Callable[[], object]]:
        outcomes = panel(times + times // 5, donors)

        def ours() -> object:
            result = co.solve(co.SyntheticControlProblem(outcomes, "u0", times))
            return result.weights, result.gaps

        return ours, lambda: by_cvxpy(outcomes, "u0", times, False)

    cases = {
        "Germany, simplex: 30 x 16": long(germany(), GERMANY, False),
        "Germany, elastic net: 30 x 16": long(germany(), GERMANY, True),
        "California, simplex: 19 x 38": long(smoking(), CALIFORNIA, False),
        "simulated: 100 x 200": simulated(100, 200),
        "simulated: 200 x 500": simulated(200, 500),
        "simulated: 200 x 1,000": simulated(200, 1000),
    }
    for name, (ours, theirs) in cases.items():
        ours(), theirs()
        slow, fast, ratio = interleaved(theirs, ours, repeat)
        looped = [in_a_loop(run, 4 * repeat) for run in (theirs, ours)]
        table.add_row(
            name, f"{fast * 1e3:.2f} ms", f"{slow * 1e3:.1f} ms", f"{ratio:.1f} x", f"{looped[1] * 1e3:.2f} ms",
            f"{looped[0] * 1e3:.1f} ms", f"{looped[0] / looped[1]:.1f} x", ">= 10 x",
        )  # fmt: skip
    return table


def main() -> None:
    console = Console(width=134)
    for part in (answers, units, whole_jobs):
        console.print(part())
    peers = beside_cvxpy(15)
    console.print("cvxpy or clarabel is not installed: pip install cvxpy clarabel." if peers is None else peers)


if __name__ == "__main__":
    main()
