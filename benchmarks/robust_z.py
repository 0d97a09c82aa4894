"""The robust Z test: exact extremes beside the published ones, what they cost, and the price of greed.

Run: python -m benchmarks.robust_z            (the data are those of CAUSALOPT_DATA; a minute or two)
     python -m benchmarks.robust_z --curves   (the whole curves)
     python -m benchmarks.robust_z --dense    (few pairs of many: 300 units in three strata)
     python -m benchmarks.robust_z --solvers  (every formulation on every solver)
     python -m benchmarks.robust_z --large    (e-shop with outcomes that are all different: nothing to merge; minutes)
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

import causalopt as co
from benchmarks.lane import median_seconds
from causalopt.problems.robust.z.result import RobustZSide
from causalopt.solving.backend import installed_backends

DATA = Path(os.environ.get("CAUSALOPT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

CALIPERS = {"cement": 30, "slag": 30, "water": 30, "superplasticizer": 20, "coarse_aggregate": 50,
            "fine_aggregate": 50, "age_days": 5}  # fmt: skip
KEYS = ["month", "order", "country", "page 1 (main category)", "colour", "model photography", "page"]


def concrete() -> tuple[pd.DataFrame, dict[str, object]]:
    df = pd.read_csv(DATA / "concrete" / "concrete.csv")
    df = df[(df["fly_ash"] == 0) | (df["fly_ash"] >= 24.5)]
    df = df.assign(ash=(df["fly_ash"] > 0).astype(int))
    return df, {"outcome": "strength_mpa", "treatment": "ash", "calipers": CALIPERS}


def bike() -> tuple[pd.DataFrame, dict[str, object]]:
    df = pd.read_csv(DATA / "bike_sharing" / "day.csv")
    df = df.assign(temperature=df["temp"] * 41, wind=df["windspeed"] * 67, humidity=df["hum"] * 100)
    return df, {
        "outcome": "cnt", "treatment": "weathersit", "treated": 2, "control": 1, "rounding": 1,
        "exact": ["season", "yr", "workingday"], "calipers": {"temperature": 2, "wind": 6, "humidity": 6},
    }  # fmt: skip


def eshop() -> tuple[pd.DataFrame, dict[str, object]]:
    df = pd.read_csv(DATA / "eshop_clickstream" / "e-shop clothing 2008.csv.gz", sep=";")
    return df, {"outcome": "price", "treatment": "location", "treated": 1, "control": 4, "exact": KEYS}


CASES = {"concrete": (concrete, (20, 24, 30, 38, 44)), "bike": (bike, (50, 70, 85, 88, 94)),
         "e-shop": (eshop, (3800, 4650, 4732))}  # fmt: skip


def problem_of(name: str) -> co.RobustZProblem:
    df, arguments = CASES[name][0]()
    arguments = dict(arguments)
    outcome = df[arguments.pop("outcome")]
    graph = co.match_graph(df, **arguments)
    return co.RobustZProblem(outcome, outcome, graph, pairs=2)


# ---- answers ----


def answers() -> Table:
    table = Table(title="Exact extremes, and what greed finds", title_justify="left")
    for name in (
        "data",
        "n",
        "least Z",
        "largest Z",
        "greedy least",
        "greedy largest",
        "largest too low by",
        "decision",
    ):
        table.add_column(name, justify="left" if name in ("data", "decision") else "right")
    for name, (_, numbers) in CASES.items():
        problem = problem_of(name)
        for n in numbers:
            one = problem.with_pairs(n)
            exact, greedy = co.solve(one), co.solve(one, "greedy")
            assert exact.is_exact
            share = greedy.price(exact).loc["max", "share"]
            table.add_row(
                name, f"{n:,}", f"{exact.z_min:.4f}", f"{exact.z_max:.4f}", f"{greedy.z_min:.4f}",
                f"{greedy.z_max:.4f}", f"{share:.0%}", exact.decision(),
            )  # fmt: skip
    return table


def surrogates() -> Table:
    table = Table(title="Concrete: the surrogate S^2 - V is not Z", title_justify="left")
    for name in ("n", "solver", "largest Z at the surrogate's optimum", "exact"):
        table.add_column(name, justify="right")
    able = [b.name for b in installed_backends() if b.name in ("scip", "gurobi", "cplex")]
    problem = problem_of("concrete")
    for n in (20, 22, 26):
        exact = co.solve(problem.with_pairs(n)).z_max
        for solver in able:
            found = co.solve(problem.with_pairs(n), solver, formulation="qip").z_max
            table.add_row(str(n), solver, f"{found:.4f}", f"{exact:.4f}")
    return table


# ---- speed ----


def speeds(repeat: int = 5) -> Table:
    table = Table(title="Both sides of Z, exact: DataFrame to result", title_justify="left")
    for name in ("data", "n", "parametric", "of which matching", "HiGHS on fractional", "to reach (parametric)"):
        table.add_column(name, justify="left" if name == "data" else "right")
    goals = {"concrete": "0.15 s (one n)", "bike": "0.15 s (one n)"}
    for name, (case, numbers) in CASES.items():
        df, arguments = case()
        graph = {key: value for key, value in arguments.items() if key != "outcome"}
        for n in numbers:
            whole = median_seconds(partial(co.robust_z_test, df, **arguments, pairs=n), repeat)
            matching = median_seconds(partial(co.match_graph, df, **graph), repeat)
            lane = median_seconds(partial(co.robust_z_test, df, **arguments, pairs=n, solver="highs"), 3)
            goal = goals.get(name, "3 s" if n < 4732 else "2 s")
            table.add_row(name, f"{n:,}", f"{whole:.3f} s", f"{matching:.3f} s", f"{lane:.2f} s", goal)
    return table


def curves() -> Table:
    table = Table(title="Whole curves, exact, every n", title_justify="left")
    for name in ("data", "numbers of pairs", "parametric", "of the processor", "a number of pairs", "to reach"):
        table.add_column(name, justify="left" if name == "data" else "right")
    for name, goal in (("concrete", "5 s"), ("bike", "20 s")):
        df, arguments = CASES[name][0]()
        began, worked = time.perf_counter(), time.process_time()
        curve = co.robust_z_test(df, **arguments, pairs="curve")
        seconds, work = time.perf_counter() - began, time.process_time() - worked
        table.add_row(
            name, str(len(curve.table)), f"{seconds:.2f} s", f"{work:.2f} s",
            f"{1e3 * seconds / len(curve.table):.0f} ms", goal,
        )  # fmt: skip
    return table


def dense(shift: float) -> co.RobustZProblem:
    """Return 300 units in three strata with outcomes that are all different: some 7,000 pairs."""
    rng = np.random.default_rng(0)
    treated, key = rng.random(300) < 0.5, rng.integers(0, 3, 300)
    df = pd.DataFrame({"treated": treated.astype(int), "key": key, "y": 10 * rng.normal(size=300) + shift * treated})
    return co.RobustZProblem(df["y"], df["y"], co.match_graph(df, "treated", exact=["key"]), pairs=2)


def few_of_many() -> Table:
    """Solve for a few of thousands of pairs, with differences of both signs, and with positive ones only.

    Seconds are those of the processor.
    """
    table = Table(title="Few of many pairs: 300 units, one exact key, three strata", title_justify="left")
    for name in ("differences", "pairs", "n", "seconds", "programs", "nodes", "least Z", "largest Z"):
        table.add_column(name, justify="left" if name == "differences" else "right")
    for name, shift in (("of both signs", 5.0), ("positive", 100.0)):
        problem = dense(shift)
        for n in (2, 3, 5, 10, 20, 40, 80, problem.graph.largest):
            one = problem.with_pairs(n)
            began = time.process_time()
            result = co.solve(one, time_limit=60)
            seconds = time.process_time() - began
            table.add_row(
                name, f"{problem.network.size:,}", str(n), f"{seconds:.2f}",
                f"{result.maximum.programs + result.minimum.programs:,}",
                str(result.maximum.nodes + result.minimum.nodes), _value(result.minimum), _value(result.maximum),
            )  # fmt: skip
    return table


def _value(side: RobustZSide) -> str:
    return f"{side.z:.6g}" if side.is_exact else f"{side.z:.6g} ({side.kind})"


MEMORY = """
import resource, time
from benchmarks.robust_z import eshop
import causalopt as co
df, arguments = eshop()
began = time.perf_counter()
result = co.robust_z_test(df, **arguments, pairs={n})
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(seconds, peak, result.z_min, result.z_max, result.is_exact)
"""


def memory() -> Table:
    """Run e-shop in processes of their own; the peak includes Python, pandas and the data."""
    table = Table(title="e-shop in a fresh process", title_justify="left")
    for name in ("n", "DataFrame to result", "peak memory", "least Z", "largest Z", "exact", "to reach"):
        table.add_column(name, justify="right")
    for n, goal in ((4732, "2 s, 1 GiB"), (3800, "3 s, 1 GiB")):
        code = MEMORY.replace("{n}", str(n))
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        seconds, peak, least, largest = map(float, out[:4])
        table.add_row(f"{n:,}", f"{seconds:.2f} s", f"{peak:.2f} GiB", f"{least:.4f}", f"{largest:.4f}", out[4], goal)
    return table


def solvers() -> Table:
    table = Table(title="Concrete, n = 30, by formulation and solver", title_justify="left")
    for name in ("formulation", "solver", "seconds", "programs", "least Z", "largest Z"):
        table.add_column(name, justify="right" if name in ("seconds", "programs") else "left")
    problem = problem_of("concrete").with_pairs(30)
    names = [b.name for b in installed_backends() if b.name in ("highs", "scip", "gurobi", "cplex")]
    runs = [("fractional", "parametric"), ("", "greedy")]
    runs += [(formulation, name) for formulation in problem.formulations.index for name in names]
    for formulation, name in runs:
        began = time.perf_counter()
        try:
            result = co.solve(problem, name, formulation=formulation or None)
        except co.UnsupportedProblem as error:
            table.add_row(formulation, name, "", "", str(error).split(".")[0], "")
            continue
        seconds = time.perf_counter() - began
        programs = result.maximum.programs + result.minimum.programs
        table.add_row(formulation, name, f"{seconds:.2f}", str(programs), str(result.minimum), str(result.maximum))
    return table


def large() -> Table:
    """Add noise to every price: 367,329 different differences, none of which can be merged."""
    table = Table(title="e-shop with 367,329 different differences", title_justify="left")
    for name in ("n", "arcs", "seconds", "programs", "least Z", "largest Z", "gap"):
        table.add_column(name, justify="right")
    df, arguments = eshop()
    noise = np.random.default_rng(0).normal(size=len(df))
    began = time.perf_counter()
    result = co.robust_z_test(df.assign(price=df["price"] + noise), **arguments, pairs=3800)
    seconds = time.perf_counter() - began
    programs = result.maximum.programs + result.minimum.programs
    table.add_row(
        "3,800", f"{result.problem.network.size:,}", f"{seconds:.0f}", str(programs), f"{result.z_min:.4f}",
        f"{result.z_max:.4f}", f"{result.gap:.1e}",
    )  # fmt: skip
    return table


def main(arguments: list[str]) -> None:
    console = Console()
    extra = {"--curves": [curves], "--dense": [few_of_many], "--solvers": [solvers], "--large": [large]}
    for name in arguments:
        if name not in extra:
            raise SystemExit(f"Unknown option {name!r}: {', '.join(extra)}.")
    tables = [table for name in arguments for table in extra[name]] or [answers, surrogates, speeds, memory]
    for make in tables:
        console.print(make())


if __name__ == "__main__":
    main(sys.argv[1:])
