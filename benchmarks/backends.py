"""Our whole call beside a hand-written one in gurobipy and cplex, on programs as large as their free licences take.

Run: python -m benchmarks.backends
"""

from __future__ import annotations

import importlib.util
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from rich.console import Console
from rich.table import Table

from benchmarks.lane import interleaved


def random_lp(rows: int, columns: int, seed: int = 0) -> tuple[np.ndarray, sp.csr_matrix, np.ndarray]:
    """Return cost, matrix and right-hand sides of a feasible, bounded LP: min c'x, Ax >= b, 0 <= x <= 10."""
    rng = np.random.default_rng(seed)
    matrix = sp.random_array((rows, columns), density=0.2, rng=rng, format="csr")
    return rng.random(columns) + 0.1, sp.csr_matrix(matrix), np.asarray(matrix @ rng.random(columns))


def by_gurobipy(cost: np.ndarray, matrix: sp.csr_matrix, right: np.ndarray) -> np.ndarray:
    """Do what a careful user of gurobipy would write by hand."""
    import gurobipy

    with gurobipy.Env(empty=True) as env:
        env.setParam("OutputFlag", 0)
        env.start()
        with gurobipy.Model(env=env) as model:
            for name in ("FeasibilityTol", "OptimalityTol"):
                model.setParam(name, 1e-9)
            x = model.addMVar(len(cost), ub=10.0)
            rows = model.addMConstr(matrix, x, ">", right)
            model.setMObjective(None, cost, 0.0, None, None, x, gurobipy.GRB.MINIMIZE)
            model.optimize()
            assert rows.Pi is not None
            return np.asarray(x.X)


def by_cplex(cost: np.ndarray, matrix: sp.csr_matrix, right: np.ndarray) -> np.ndarray:
    """Do what a careful user of the cplex package would write by hand."""
    import cplex

    with cplex.Cplex() as model:
        for listen in ("set_log_stream", "set_results_stream", "set_warning_stream"):
            getattr(model, listen)(None)
        model.parameters.simplex.tolerances.feasibility.set(1e-9)
        model.parameters.simplex.tolerances.optimality.set(1e-9)
        model.variables.add(obj=cost.tolist(), ub=[10.0] * len(cost))
        pointers, columns, values = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
        rows = [(columns[a:b], values[a:b]) for a, b in pairwise(pointers)]
        model.linear_constraints.add(lin_expr=rows, senses="G" * len(right), rhs=right.tolist())
        model.solve()
        assert model.solution.get_dual_values()
        return np.asarray(model.solution.get_values())


def main() -> None:
    import causalopt as co

    console = Console()
    table = Table(title="Whole call beside a hand-written one (to reach: at most 1.25)", title_justify="left")
    for name in ("solver", "program", "causalopt", "by hand", "ratio"):
        table.add_column(name)
    for solver, package, size, by_hand in (
        ("gurobi", "gurobipy", 2000, by_gurobipy),
        ("cplex", "cplex", 1000, by_cplex),
    ):
        if importlib.util.find_spec(package) is None:
            console.print(f"{package} is not installed: {solver} is left out.")
            continue
        arrays = random_lp(size, size)
        program = co.Program.from_arrays(arrays[0], arrays[1], arrays[2], np.inf, 0.0, 10.0)
        assert np.isclose(co.solve(program, solver).objective, float(arrays[0] @ by_hand(*arrays)), rtol=1e-7)
        ours, raw, ratio = interleaved(
            lambda program=program, solver=solver: co.solve(program, solver),
            lambda arrays=arrays, by_hand=by_hand: by_hand(*arrays),
            5,
        )
        table.add_row(solver, f"LP {size:,} x {size:,}, 20% dense", f"{ours:.2f} s", f"{raw:.2f} s", f"{ratio:.3f}")
    console.print(table)


if __name__ == "__main__":
    main()
