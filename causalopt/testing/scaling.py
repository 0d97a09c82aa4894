"""Programs in unsuitable units: columns, rows and objectives in millionths and millions."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.testing.case import Case, family, infeasible, optimal

INF = np.inf
make = Program.from_arrays


def cases() -> list[Case]:
    """Return the badly scaled cases."""
    return [case for base in _bases() for case in _in_all_units(*base)]


def in_units(program: Program, columns: Floats, rows: Floats, objective: float) -> Program:
    """Return the program with x measured in `columns`, rows in 1/`rows`, and the objective in 1/`objective`.

    Where x solves the program, x / columns solves the one returned, with `objective` times the value.
    """
    scale, row_scale = sp.diags_array(columns), sp.diags_array(rows)
    return program.replace(
        c=program.c * columns * objective,
        A=sp.csr_matrix(row_scale @ program.A @ scale),
        row_lower=program.row_lower * rows,
        row_upper=program.row_upper * rows,
        lower=program.lower / columns,
        upper=program.upper / columns,
        Q=None if program.Q is None else sp.csc_matrix(scale @ program.Q @ scale) * objective,
        constant=program.constant * objective,
    )


def _bases() -> list[tuple[str, ProblemClass, Program, float, list[float] | None, str]]:
    cover = make([2, 3], [[1, 1], [1, 3]], row_lower=[4, 6])
    balance = make([-1, -1, -1], [[1, 1, 1], [-1, 0, 1]], [3, 1.5], [3, 1.5], Q=np.eye(3), constant=1.5)
    dense = make([0, 0], [[1, 1]], 1, 1, Q=[[2, 1], [1, 2]], lower=-INF)
    warehouses = make(
        [10, 3, 1, 4],
        [[0, 0, 1, 1], [-5, 0, 1, 0], [0, -5, 0, 1]],
        [5, -INF, -INF],
        [5, 0, 0],
        upper=[1, 1, INF, INF],
        integer=[True, True, False, False],
    )
    mixed = make([0, -2.5], [[1, 1]], 3, 3, Q=np.eye(2), lower=-INF, integer=[True, False])
    product = make([0, 0], Q=[[0, 1], [1, 0]], lower=-1, upper=[1, 1])
    return [
        ("lp", ProblemClass.LP, cover, 9, [3, 1], "lp-cover"),
        ("qp", ProblemClass.CONVEX_QP, balance, 0.5625, [0.25, 1, 1.75], "qp-balance-of-three"),
        ("dense-qp", ProblemClass.CONVEX_QP, dense, 0.75, [0.5, 0.5], "dual-qp-off-diagonal"),
        ("milp", ProblemClass.MILP, warehouses, 15, [1, 0, 5, 0], "milp-two-warehouses"),
        ("miqp", ProblemClass.CONVEX_MIQP, mixed, -3, [0, 3], "miqp-continuous-beside-whole"),
        ("nonconvex", ProblemClass.NONCONVEX_QP, product, -1, None, "nonconvex-product"),
    ]


def _in_all_units(
    name: str, problem_class: ProblemClass, program: Program, value: float, x: list[float] | None, origin: str
) -> list[Case]:
    n, m = program.n_columns, program.n_rows
    continuous = ~program.integer
    spread = np.where(continuous, 10.0 ** np.linspace(-6, 6, n), 1.0)
    one_column = np.where(continuous, 1.0, 1.0)
    one_column[-1] = 1e6
    units: dict[str, tuple[Floats, Floats, float]] = {
        "columns-in-millionths": (np.where(continuous, 1e-6, 1.0), np.ones(m), 1.0),
        "columns-in-millions": (np.where(continuous, 1e6, 1.0), np.ones(m), 1.0),
        "columns-spread": (spread, np.ones(m), 1.0),
        "one-column-in-millions": (one_column, np.ones(m), 1.0),
        "rows-in-millionths": (np.ones(n), np.full(m, 1e6), 1.0),
        "rows-in-millions": (np.ones(n), np.full(m, 1e-6), 1.0),
        "objective-in-millionths": (np.ones(n), np.ones(m), 1e6),
        "objective-in-millions": (np.ones(n), np.ones(m), 1e-6),
        "everything": (spread, 10.0 ** np.linspace(6, -6, max(m, 1))[:m], 1e-6),
    }
    found = []
    for unit, (columns, rows, objective) in units.items():
        if "rows" in unit and m == 0:
            continue
        fields: dict[str, Any] = optimal(
            f"scaled-{name}-{unit}",
            in_units(program, columns, rows, objective),
            value * objective,
            f"{origin} in other units",
            unit=min(1.0, objective),
        )
        if x is not None:
            fields["x"] = np.asarray(x, dtype=float) / columns
        found.append(fields)
    if name == "lp":
        beyond = make([1, 1], [[1, 1], [1, 2]], [5, -INF], [INF, 4])
        found += [
            infeasible(
                f"scaled-infeasible-{unit}",
                in_units(beyond, np.full(2, columns), np.full(2, rows), 1.0),
                "infeasible-rows in other units",
            )
            for unit, columns, rows in (
                ("columns-in-millions", 1e6, 1.0),
                ("columns-in-millionths", 1e-6, 1.0),
                ("rows-in-millions", 1.0, 1e-6),
                ("rows-in-millionths", 1.0, 1e6),
            )
        ]
    return family("badly scaled", problem_class, *found)
