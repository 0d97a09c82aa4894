"""A program written as an LP, MPS or NL file by Pyomo's writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from causalopt.modeling.program import Program


def write(program: Program, path: Path) -> Path:
    """Write a program; the ending of the name says the format."""
    model = as_model(program)
    model.write(str(path), format={"lp": "cpxlp"}.get(path.suffix[1:], path.suffix[1:]))
    return path


def as_model(program: Program) -> Any:
    """Return the program as an ordinary Pyomo model with variables x[0], x[1], ... and rows r[0], r[1], ..."""
    import pyomo.environ as pyo
    from pyomo.core.expr import LinearExpression

    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(program.n_columns))
    variables = [m.x[j] for j in range(program.n_columns)]
    for j, variable in enumerate(variables):
        variable.setlb(_finite(program.lower[j]))
        variable.setub(_finite(program.upper[j]))
        if program.integer[j]:
            variable.domain = pyo.Integers
    matrix = program.A

    def row(m: Any, i: int) -> Any:
        own = slice(matrix.indptr[i], matrix.indptr[i + 1])
        low, high = _finite(program.row_lower[i]), _finite(program.row_upper[i])
        if own.start == own.stop or (low is None and high is None):
            empty = (low is None or low <= 0) and (high is None or high >= 0)
            return pyo.Constraint.Skip if empty or own.start != own.stop else pyo.Constraint.Infeasible
        body = LinearExpression(
            linear_coefs=matrix.data[own].tolist(), linear_vars=[variables[j] for j in matrix.indices[own]]
        )
        return body == low if low is not None and low == high else pyo.inequality(low, body, high)

    m.r = pyo.Constraint(range(program.n_rows), rule=row)
    cost: Any = LinearExpression(constant=program.constant, linear_coefs=program.c.tolist(), linear_vars=variables)
    if program.Q is not None and program.Q.nnz:
        entries = program.Q.tocoo()
        half = np.where(entries.row == entries.col, 0.5, 1.0) * entries.data
        cost = cost + pyo.quicksum(
            v * variables[i] * variables[j]
            for v, i, j in zip(half.tolist(), entries.row.tolist(), entries.col.tolist(), strict=True)
        )
    m.o = pyo.Objective(expr=cost, sense=pyo.maximize if program.maximize else pyo.minimize)
    return m


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
