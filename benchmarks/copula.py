"""What the copula's formulations cost: the paper's on CP-SAT and HiGHS against rlt, closed forms, and proven gaps.

Run: python -m benchmarks.copula [sizes | side-by-side | rerandomized] [SECONDS]    (all, and 60 s a solve, unless said)

CP-SAT runs in a process of its own (it must not share one with highspy), where OR-Tools is installed.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import time
import warnings

import numpy as np
from rich.console import Console
from rich.table import Table

import causalopt as co
from benchmarks.copula_tables import economies

#: Decimal places of outcomes that CP-SAT, which counts in whole numbers, is given.
DIGITS = 1

CP_SAT = """
import json, sys, time
from ortools.sat.python import cp_model
data = json.load(sys.stdin)
model = cp_model.CpModel()
treated, control = data["treated"], data["control"]
n = len(treated)
low, high = sorted(control), sorted(treated)
x = [[model.new_bool_var("") for _ in low] for _ in range(n)]
w = [[model.new_bool_var("") for _ in high] for _ in range(n)]
for rows in (x, w):
    for i in range(n):
        model.add_exactly_one(rows[i])
        model.add_exactly_one(row[i] for row in rows)
terms = []
for p in range(n):
    d = treated[p] - control[p]
    for k, v in enumerate(low):
        terms.append((v * v + 2 * d * v) * x[p][k])
    for l, u in enumerate(high):
        terms.append((u * u - 2 * d * u) * w[p][l])
    for k, v in enumerate(low):
        for l, u in enumerate(high):
            y = model.new_bool_var("")
            model.add(y <= x[p][k])
            model.add(y <= w[p][l])
            model.add(y >= x[p][k] + w[p][l] - 1)
            terms.append(-2 * v * u * y)
constant = sum((t - c) ** 2 for t, c in zip(treated, control))
model.maximize(sum(terms) + constant)
solver = cp_model.CpSolver()
solver.parameters.max_time_in_seconds = data["seconds"]
solver.parameters.num_workers = data["workers"]
began = time.perf_counter()
status = solver.solve(model)
print(json.dumps({"status": solver.status_name(status), "objective": solver.objective_value,
                  "bound": solver.best_objective_bound, "seconds": time.perf_counter() - began}))
"""


def matched_pairs(n: int) -> co.CopulaProblem:
    y = economies()["gdp_2019"].head(n).round(DIGITS)
    design = co.MatchedPairs(np.arange(n) // 2)
    return co.CopulaProblem(y, design.sample(1, seed=1)[0].astype(int), design)


def rerandomized(n: int, seed: int = 0) -> co.CopulaProblem:
    df = economies().head(n)
    accept = co.MahalanobisBalance(np.log(df["gdp_2018"].to_numpy()), 0.1)
    design = co.Rerandomized(co.CompleteRandomization(n // 2), accept)
    return co.CopulaProblem(df["gdp_2019"], design.sample(1, n=n, seed=seed)[0].astype(int), design)


def timed(problem: co.CopulaProblem, solver: str, formulation: str | None, seconds: float) -> list[str]:
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", co.CausaloptWarning)
        try:
            result = co.solve(problem, solver, formulation=formulation, time_limit=seconds)
        except co.CausaloptError as error:
            return [f"{time.perf_counter() - began:.2f}", "", "", f"{type(error).__name__}: {str(error)[:60]}"]
    gap = "" if result.gap is None else f"{result.gap:.1e}"
    proof = str(result.verification.proof)
    return [f"{time.perf_counter() - began:.2f}", f"{result.variance:.6g}", gap, f"{result.status}, bound {proof}"]


def cp_sat(problem: co.CopulaProblem, seconds: float) -> list[str]:
    y, z, pairs = problem.outcome, problem.treated, problem.design.positions
    first = z[pairs[:, 0]]
    whole = np.round(y * 10**DIGITS).astype(int)
    data = {
        "treated": whole[np.where(first, pairs[:, 0], pairs[:, 1])].tolist(),
        "control": whole[np.where(first, pairs[:, 1], pairs[:, 0])].tolist(),
        "seconds": seconds,
        "workers": multiprocessing.cpu_count(),
    }
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CP_SAT], input=json.dumps(data), capture_output=True, text=True)
    elapsed = f"{time.perf_counter() - began:.2f}"
    if done.returncode:
        return [elapsed, "", "", (done.stderr.strip().splitlines() or ["failed"])[-1][:70]]
    answer = json.loads(done.stdout)
    unit = (10**DIGITS * len(y)) ** 2  # (2/N)^2 / 4, in outcomes times ten
    if answer["status"] not in ("OPTIMAL", "FEASIBLE"):
        return [elapsed, "", "", answer["status"].lower()]
    gap = abs(answer["bound"] - answer["objective"]) / abs(answer["objective"])
    return [elapsed, f"{answer['objective'] / unit:.6g}", f"{gap:.1e}", f"{answer['status'].lower()}, claimed"]


def side_by_side(console: Console, seconds: float) -> None:
    table = Table(title=f"Matched pairs: the paper's formulation against rlt ({seconds:.0f} s allowed)")
    for name in ("N", "solver", "formulation", "seconds", "variance", "gap", "status"):
        table.add_column(name)
    for n in (10, 20, 50):
        table.add_row(str(n), "CP-SAT", "mccormick", *cp_sat(matched_pairs(n), seconds))
        for solver, formulation in (("highs", "mccormick"), ("highs", "rlt"), ("rearrangement", "rlt")):
            table.add_row(str(n), solver, formulation, *timed(matched_pairs(n), solver, formulation, seconds))
    console.print(table)
    problem = matched_pairs(50)
    program = co.compile_model(problem.build("rlt"))
    from causalopt.solving.options import SolveOptions

    path = problem.fast_paths("rlt")["rearrangement"]
    times = []
    for _ in range(50):
        began = time.perf_counter()
        path(program, SolveOptions())
        times.append(time.perf_counter() - began)
    console.print(f"rearrangement, N = 50, the algorithm and its point: {1e3 * np.median(times):.2f} ms")


def complete(console: Console, seconds: float) -> None:
    table = Table(title="Complete randomization of 50 economies")
    for name in ("treated", "slack", "solver", "seconds", "variance", "gap", "status"):
        table.add_column(name)
    for treated, slack in ((25, None), (20, 0.05)):
        y = economies()["gdp_2019"]
        design = co.CompleteRandomization(treated)
        z = design.sample(1, n=50, seed=1)[0].astype(int)
        for solver in ("highs", "scip"):
            problem = co.CopulaProblem(y, z, design, slack=slack)
            table.add_row(str(treated), f"{problem.slack:g}", solver, *timed(problem, solver, "convex", seconds))
    console.print(table)


def proven(console: Console, seconds: float) -> None:
    table = Table(title="Rerandomized designs: local search, proven by relaxations of `convex` and branching")
    for name in ("N", "solver", "formulation", "seconds", "variance", "gap", "status"):
        table.add_column(name)
    for n in (20, 30, 50):
        for solver in ("alternating", "highs"):
            table.add_row(str(n), solver, "convex", *timed(rerandomized(n), solver, "convex", seconds))
    for formulation in ("rlt", "rlt-dense"):
        table.add_row("12", "alternating", formulation, *timed(rerandomized(12), "alternating", formulation, seconds))
    console.print(table)


def main(what: str = "all", seconds: float = 60.0) -> None:
    console = Console(width=130)
    if what in ("all", "side-by-side"):
        side_by_side(console, seconds)
    if what in ("all", "sizes"):
        complete(console, seconds)
    if what in ("all", "rerandomized"):
        proven(console, seconds)


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(float, sys.argv[2:3]))
