"""Whether a point is within rows, bounds and whole numbers, relative to the size of the terms."""

from __future__ import annotations

from typing import Any

import numpy as np

from causalopt.modeling.program import Floats, Program
from causalopt.verifying.claims import Tolerances


def scaled_violations(program: Program, x: Floats) -> tuple[float, float, float]:
    """Return the largest row violation, column violation, and the larger of both relative to their terms.

    A row's violation is divided by the largest of: its bound, its largest term, and its largest coefficient or one,
    whichever is smaller (so that rows in tiny units are held to tiny violations). A column's is divided by the larger
    of its bound and the distance between its bounds, or one where that is smaller.
    """
    row = column = scaled = 0.0
    if program.n_rows:
        activity = program.A @ x
        violation = np.maximum(program.row_lower - activity, activity - program.row_upper)
        bad = np.flatnonzero(violation > 0)
        row = float(violation[bad].max(initial=0.0))
        if row > 0:
            bound = np.where(activity[bad] < program.row_lower[bad], program.row_lower[bad], program.row_upper[bad])
            coefficient, terms = program.row_sizes[bad], _largest_terms(program.A, x, bad)
            coefficient = np.where(coefficient == 0, 1.0, np.minimum(coefficient, 1.0))
            with np.errstate(invalid="ignore"):
                relative = violation[bad] / np.maximum(np.maximum(coefficient, np.abs(bound)), terms)
            scaled = float(np.where(np.isnan(relative), np.inf, relative).max())  # a bound that is infinite
    violation = np.maximum(program.lower - x, x - program.upper)
    column = max(float(violation.max(initial=0.0)), 0.0)
    if column > 0:
        outside = violation > 0
        lower, upper = program.lower[outside], program.upper[outside]
        bound = np.where(x[outside] < lower, lower, upper)
        width = np.where((upper - lower > 0) & (upper - lower < 1), upper - lower, 1.0)
        scaled = max(scaled, float((violation[outside] / np.maximum(width, np.abs(bound))).max()))
    return row, column, scaled


def is_feasible(program: Program, x: Floats, tolerances: Tolerances | None = None) -> bool:
    """Return whether verification would accept a point as a solution, optimal or not."""
    tolerances = tolerances or Tolerances()
    if x.shape != (program.n_columns,) or not np.isfinite(x).all():
        return False
    whole = x[program.integer]
    return bool(
        scaled_violations(program, x)[2] <= tolerances.feasibility
        and np.abs(whole - np.round(whole)).max(initial=0.0) <= tolerances.integrality
    )


def _largest_terms(matrix: Any, x: Floats, rows: Any, block: int = 1 << 20) -> Floats:
    """Return the largest term of each of some rows, with temporary arrays of at most a block."""
    term, starts = np.zeros(len(rows)), matrix.indptr
    lengths = starts[rows + 1] - starts[rows]
    if matrix.nnz <= block:  # looking at all rows is quicker than taking some out
        size = np.abs(matrix.data * x[matrix.indices])
        first = starts[:-1][starts[1:] > starts[:-1]]
        filled = lengths > 0
        term[filled] = np.maximum.reduceat(size, first)[np.searchsorted(first, starts[rows[filled]])]
        return term
    long = np.flatnonzero(lengths > block)
    short = np.flatnonzero((lengths > 0) & (lengths <= block))
    for group in np.split(short, np.flatnonzero(np.diff(np.cumsum(lengths[short]) // block)) + 1) if len(short) else []:
        part = matrix[rows[group]]
        term[group] = np.maximum.reduceat(np.abs(part.data * x[part.indices]), part.indptr[:-1])
    for k in long:
        for start in range(starts[rows[k]], starts[rows[k] + 1], block):
            piece = slice(start, min(start + block, starts[rows[k] + 1]))
            term[k] = max(term[k], np.abs(matrix.data[piece] * x[matrix.indices[piece]]).max())
    return term
