"""What the lane costs beside the solver's own work, and what the fast path saves.

Run: make bench   (or: python -m benchmarks.lane)
"""

from __future__ import annotations

import gc
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from rich.console import Console
from rich.table import Table


def median_seconds(run: Callable[[], object], repeat: int) -> float:
    times = []
    for _ in range(repeat):
        gc.collect()
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def interleaved(first: Callable[[], object], second: Callable[[], object], repeat: int) -> tuple[float, float, float]:
    """Return both medians and the median ratio of neighbouring runs, which load on the machine hardly moves."""
    pairs = []
    for k in range(repeat):
        order = [(0, first), (1, second)] if k % 2 == 0 else [(1, second), (0, first)]
        times = [0.0, 0.0]
        for which, run in order:
            gc.collect()
            start = time.perf_counter()
            run()
            times[which] = time.perf_counter() - start
        pairs.append(times)
    medians = [statistics.median(p[i] for p in pairs) for i in (0, 1)]
    return medians[0], medians[1], statistics.median(a / b for a, b in pairs)


# ---- the same arrays for everybody ----


def assignment_arrays(n: int) -> tuple[np.ndarray, sp.csr_matrix]:
    rng = np.random.default_rng(0)
    cells = np.arange(n * n)
    rows = np.column_stack([cells // n, n + cells % n]).ravel()
    matrix = sp.csc_matrix((np.ones(2 * n * n), rows, np.arange(0, 2 * n * n + 1, 2)), shape=(2 * n, n * n)).tocsr()
    return rng.random(n * n), matrix


def balance_data(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, p))
    x[:, : p // 2] = np.exp(x[:, : p // 2] / 2)
    treated = rng.random(n) < 1 / (1 + np.exp(2 + x[:, :4] @ [-1, 0.5, -0.25, -0.1]))
    return x, treated


def raw_highs(program: object, options: dict[str, object]) -> np.ndarray:
    """Do what a careful user of highspy would write by hand for these arrays."""
    import highspy

    h = highspy.Highs()
    h.setOptionValue("output_flag", False)
    for name, value in options.items():
        h.setOptionValue(name, value)
    p = program
    none = np.zeros(0, dtype=np.int32)
    q = (none, none, np.zeros(0)) if p.Q is None else (p.Q.indptr[:-1], p.Q.indices, p.Q.data)
    h.passModel(
        p.n_columns, p.n_rows, p.A.nnz, len(q[2]), 2, 1, 1, p.constant, p.c, p.lower, p.upper, p.row_lower,
        p.row_upper, p.A.indptr[:-1], p.A.indices, p.A.data, *q, np.zeros(p.n_columns, dtype=np.int32),
    )  # fmt: skip
    h.run()
    assert h.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return np.array(h.getSolution().col_value)


# ---- the measurements ----


def assignment_lp(repeat: int) -> list[object]:
    import pyomo.environ as pyo

    import causalopt as co

    cost, matrix = assignment_arrays(600)

    def ours() -> object:
        m = pyo.ConcreteModel()
        m.x = co.ArrayVar(0.0, 1.0, n=len(cost))
        m.match = co.ArrayConstraint(m.x, matrix, 1.0, 1.0)
        m.o = co.ArrayObjective(m.x, cost)
        return co.solve(m, "highs")

    program = co.Program.from_arrays(cost, matrix, 1.0, 1.0, 0.0, 1.0)
    a, b, ratio = interleaved(ours, lambda: raw_highs(program, {"solver": "simplex"}), repeat)
    return [
        "assignment LP 600 x 600, whole call",
        f"{a:.2f} s",
        f"highspy by hand {b:.2f} s",
        f"{ratio:.3f}",
        "<= 1.15",
    ]


def balance_qp(repeat: int) -> list[object]:
    import causalopt as co

    x, treated = balance_data(140_000, 20)
    problem = co.BalanceProblem(x, treated, tolerance=0.01)
    program = co.compile_model(problem.build())
    options = {"solver": "hipo", "ipm_optimality_tolerance": 1e-10, "run_crossover": "off"}
    a, b, ratio = interleaved(lambda: co.solve(problem, "highs"), lambda: raw_highs(program, options), repeat)
    name = f"balance QP {program.n_columns:,} x 20, whole call"
    return [name, f"{a:.2f} s", f"highspy by hand {b:.2f} s", f"{ratio:.3f}", "<= 1.15"]


def build_and_compile(repeat: int) -> list[list[object]]:
    import pyomo.environ as pyo

    import causalopt as co

    cost, matrix = assignment_arrays(600)

    def ours() -> object:
        m = pyo.ConcreteModel()
        m.x = co.ArrayVar(0.0, 1.0, n=len(cost))
        m.match = co.ArrayConstraint(m.x, matrix, 1.0, 1.0)
        m.o = co.ArrayObjective(m.x, cost)
        return co.compile_model(m)

    def plain() -> object:
        from pyomo.core.expr import LinearExpression

        m = pyo.ConcreteModel()
        m.x = pyo.Var(range(len(cost)), bounds=(0, 1))
        pointers, columns = matrix.indptr.tolist(), matrix.indices.tolist()

        def row(m: object, i: int) -> object:
            own = columns[pointers[i] : pointers[i + 1]]
            return LinearExpression(linear_coefs=[1.0] * len(own), linear_vars=[m.x[j] for j in own]) == 1

        m.match = pyo.Constraint(range(matrix.shape[0]), rule=row)
        m.o = pyo.Objective(expr=LinearExpression(linear_coefs=cost.tolist(), linear_vars=[m.x[j] for j in m.x]))
        return m

    fast = median_seconds(ours, 7)
    slow = median_seconds(plain, repeat)
    rows = [["build + compile, 360,000 columns", f"{fast * 1e3:.0f} ms", f"plain Pyomo, build {slow:.2f} s",
             f"{slow / fast:.0f} x", ">= 50 x"]]  # fmt: skip
    try:
        import linopy
        import pandas as pd
    except ImportError:
        return [*rows, ["", "", "linopy is not installed", "", ""]]

    def peer() -> object:
        n = 600
        m = linopy.Model()
        i, j = pd.RangeIndex(n, name="i"), pd.RangeIndex(n, name="j")
        x = m.add_variables(lower=0, upper=1, coords=[i, j], name="x")
        m.add_constraints(x.sum("j") == 1, name="rows")
        m.add_constraints(x.sum("i") == 1, name="columns")
        import xarray as xr

        m.add_objective((xr.DataArray(cost.reshape(n, n), coords=[i, j]) * x).sum())
        return m.matrices.A

    other = median_seconds(peer, repeat)
    rows.append(["", "", f"linopy {other:.2f} s", f"{other / fast:.0f} x", "> 1 x"])
    return rows


def dual_newton_against_highs(repeat: int) -> list[object]:
    import causalopt as co

    x, treated = balance_data(140_000, 20)

    def run(solver: str) -> Callable[[], object]:
        return lambda: co.solve(co.BalanceProblem(x, treated, tolerance=0.01), solver)

    a, b, ratio = interleaved(run("highs"), run("dual-newton"), repeat)
    name = f"dual-newton, {(~treated).sum():,} x 20, data to result"
    return [name, f"{b * 1e3:.0f} ms", f"HiGHS HiPO {a:.2f} s", f"{ratio:.1f} x", ">= 10 x"]


MILLION = """
import resource, time
import pandas as pd, pyomo.environ
import causalopt as co
from benchmarks.lane import balance_data
x, treated = balance_data(1_385_000, 20)
df = pd.DataFrame(x, columns=[f"x{j}" for j in range(20)]); matrix = x.nbytes; del x
co.solve(co.BalanceProblem(df.iloc[:1000], treated[:1000]), "dual-newton")
def now(): return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
before = now() - matrix
open("/proc/self/clear_refs", "w").write("5")
start = time.perf_counter()
result = co.solve(co.BalanceProblem(df, treated, tolerance=0.01), "dual-newton")
seconds = time.perf_counter() - start
high = int([l for l in open("/proc/self/status") if l.startswith("VmHWM")][0].split()[1]) * 1024
print((~treated).sum(), seconds, (high - before) / matrix)
"""


def million() -> list[object]:
    """Run in a process of its own, whose peak memory is reset once the data is there. The peak includes the data."""
    out = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=True).stdout.split()
    size, seconds, ratio = int(out[0]), float(out[1]), float(out[2])
    return [f"dual-newton, {size:,} x 20, data to result", f"{seconds:.2f} s",
            f"peak memory {ratio:.2f} x the covariates", "", "< 1.5 s, < 3 x"]  # fmt: skip


def main() -> None:
    console = Console()
    table = Table(title="The lane", title_justify="left")
    for name in ("what", "causalopt", "beside", "ratio", "to reach"):
        table.add_column(name)
    for row in (assignment_lp(5), balance_qp(5), *build_and_compile(3), dual_newton_against_highs(5), million()):
        table.add_row(*map(str, row))
        console.print(f"[dim]{row[0] or row[2]}[/]")
    console.print(table)
    console.print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
