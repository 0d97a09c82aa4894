"""A program as a Pyomo model, and written as an LP, MPS or NL file by Pyomo's writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo

from causalopt.errors import DataError
from causalopt.modeling.components import ArrayConstraint, ArrayVar
from causalopt.modeling.costs import ArrayObjective
from causalopt.modeling.program import Program


def write_program(program: Program, path: Path) -> Path:
    """Write a program; the ending of the name says the format."""
    as_model(program).write(str(path), format={"lp": "cpxlp"}.get(path.suffix[1:], path.suffix[1:]))
    return path


def as_model(program: Program, start: npt.ArrayLike | None = None) -> Any:
    """Return the program as a Pyomo model with variables x[0], x[1], ... and rows r[0], r[1], ..., free ones left out.

    Raises
    ------
    DataError
        Where a row without entries excludes zero: Pyomo has no such constraint.
    """
    empty = np.diff(program.A.indptr) == 0
    refused = empty & ((program.row_lower > 0) | (program.row_upper < 0))
    if refused.any():
        raise DataError(f"Row {int(np.argmax(refused))} has no entries and excludes zero: nothing can satisfy it.")
    kept = ~empty & (np.isfinite(program.row_lower) | np.isfinite(program.row_upper))
    quadratic = None
    if program.Q is not None:
        diagonal = program.Q.diagonal()
        quadratic = program.Q + program.Q.T
        quadratic.setdiag(diagonal)
    sense = pyo.maximize if program.maximize else pyo.minimize
    m = pyo.ConcreteModel()
    m.x = ArrayVar(program.lower, program.upper, integer=program.integer, initial=start)
    m.r = ArrayConstraint(m.x, program.A[kept], program.row_lower[kept], program.row_upper[kept])
    m.o = ArrayObjective(m.x, program.c, quadratic, program.constant, sense=sense, convex=program.convex)
    return m
