"""Units in which a program's columns are of moderate size.

Solvers hold bounds and rows to absolute tolerances. A column in millionths (values of 1e6) or in millions (values of
1e-6) breaks them. Measured in other units, powers of two so that nothing is rounded, the program is the same one.

A unit multiplies what a solver tolerates, and no solver says what it tolerated. So units are hints that may help a
solver and never loosen what is accepted: an answer has to hold in the caller's own units too (`verify`); whatever only
limits a column from above (a box, the right side of "at most") may shrink its unit and never enlarge it, since such a
limit may be far away; and a program whose bound is the solver's word alone, as that of a branch-and-bound tree is, is
first solved in units that only shrink.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.modeling.program import Bools, Floats, Program

#: Sizes outside this range are brought to about one.
GOOD_SCALE = (1e-3, 1e4)

#: A right side that is smaller than this part of its row is what rounding left of a zero.
ROUNDING_SIZE = 1e-9


def power_of_two(values: Floats) -> Floats:
    """Return the power of two nearest to each positive value."""
    return np.asarray(2.0 ** np.round(np.log2(values)))


def column_units(program: Program) -> Floats | None:
    """Return the unit to measure each column in, a power of two, or None where all are of moderate size.

    What tells the unit of a continuous column: its largest entry over the rows (each relative to the largest entry
    of the row) and the right-hand sides that zero violates; for columns in no row, the curvature. A box, and a right
    side that zero satisfies, may only shrink it. Rows with integer columns are not asked, since there a large entry
    often means "any amount" (big M). Integer columns keep their unit.
    """
    if not _looks_odd(program):
        return None
    continuous = ~program.integer
    rows = _rows_without_integers(program)
    unit, size = _units_by_rows(rows, program.n_columns)
    known = np.zeros(program.n_columns, dtype=bool)
    known[rows.indices] = True
    if not program.integer.any():
        unit *= _common_unit(program, rows, size)
    if program.Q is not None and program.Q.nnz:
        unit = _units_by_curvature(program, unit, known | ~continuous)
    box = _box(program)
    small = (box > 0) & (box < GOOD_SCALE[0] * unit)
    unit[small] = box[small]
    odd = continuous & ((unit < GOOD_SCALE[0]) | (unit > GOOD_SCALE[1]))
    # All or none: units are relative to each other.
    return power_of_two(np.where(continuous, unit, 1.0)) if odd.any() else None


def in_units(program: Program, unit: Floats) -> Program:
    """Return the program with each column measured in `unit`: its solution is that of `program` divided by `unit`."""
    scale = sp.diags_array(unit)
    return program.replace(
        c=program.c * unit,
        A=sp.csr_matrix(program.A @ scale),
        lower=program.lower / unit,
        upper=program.upper / unit,
        Q=None if program.Q is None else sp.csc_matrix(scale @ program.Q @ scale),
    )


def _looks_odd(program: Program) -> bool:
    """Whether some number suggests a column of unusual size; without copies of the matrix, since every solve asks."""
    low, high = GOOD_SCALE
    if program.Q is not None and program.Q.nnz:
        entries = np.abs(program.Q.data)
        if entries.max() > high**2 or entries.min() < low**2:
            return True
    box = _box(program)
    if ((box > 0) & (box < low)).any():
        return True
    if program.A.nnz == 0:
        return False
    largest, starts = program.row_sizes, program.A.indptr
    size = np.where(largest > 0, largest, 1.0)
    if size.max() > high or size.min() < low:
        return True
    asked, allowed = _right_sides(program, size, starts[1:] - starts[:-1])
    typical = asked if len(asked) else allowed
    if len(typical) and (typical.max() < low or (len(asked) and typical.max() > high)):
        return True
    return _some_column_is_small(program.A, largest)


def _some_column_is_small(matrix: Any, largest: Floats, block: int = 1 << 20) -> bool:
    """Return whether a column's entries are all small beside the largest of their rows."""
    limit = GOOD_SCALE[0] * largest
    held, moderate = np.zeros((2, matrix.shape[1]), dtype=bool)
    lengths = matrix.indptr[1:] - matrix.indptr[:-1]
    if matrix.nnz <= block:
        size = np.abs(matrix.data)
        large = size >= np.repeat(limit, lengths)
        if large.all():
            return False
        held[matrix.indices[size > 0]] = True
        moderate[matrix.indices[(size > 0) & large]] = True
        return bool((held & ~moderate).any())
    # Rows in blocks of bounded size, the longest row first: one that holds every column is often enough.
    longest = len(lengths) - 1 - int(np.argmax(lengths[::-1]))  # of several the last: builders put sums there
    stops = np.flatnonzero(np.diff(matrix.indptr // block)) + 1
    for first, stop in [(longest, longest + 1), *pairwise([0, *stops.tolist(), matrix.shape[0]])]:
        part = slice(int(matrix.indptr[first]), int(matrix.indptr[stop]))
        columns, size = matrix.indices[part], np.abs(matrix.data[part])
        held[columns[size > 0]] = True
        moderate[columns[(size > 0) & (size >= np.repeat(limit[first:stop], lengths[first:stop]))]] = True
        if moderate.all():
            return False
    return bool((held & ~moderate).any())


def _box(program: Program) -> Floats:
    """Return the largest absolute value that each column may have."""
    return np.maximum(np.abs(program.lower), np.abs(program.upper))


def _right_sides(program: Program, size: Floats, counts: Any) -> tuple[Floats, Floats]:
    """Return how large the rows ask their columns to be, and how large they allow them to be, where they say so.

    Both relative to the largest entry `size` and the number of entries of the row. Sides that zero violates ask for
    something; others allow something; both without those of rounding size, and each row with its smaller side.
    """
    low, high = program.row_lower, program.row_upper
    per_entry = size * np.maximum(counts, 1)
    asked = np.maximum(low, -high) / per_entry
    allowed = np.minimum(np.where(low < 0, -low, np.inf), np.where(high > 0, high, np.inf)) / per_entry
    return (
        asked[(asked > ROUNDING_SIZE) & np.isfinite(asked)],
        allowed[(allowed > ROUNDING_SIZE) & np.isfinite(allowed) & ~(asked > ROUNDING_SIZE)],
    )


def _rows_without_integers(program: Program) -> Any:
    """Return |A| with the rows that hold an integer column, and zero entries, left empty."""
    size = abs(program.A).tocsr()
    if program.integer.any() and size.nnz:
        held = np.repeat(np.arange(program.n_rows), np.diff(size.indptr))
        mixed = np.zeros(program.n_rows, dtype=bool)
        mixed[held[program.integer[size.indices]]] = True
        size = sp.csr_matrix(sp.diags_array((~mixed).astype(float)) @ size)
    size.eliminate_zeros()
    return size


def _units_by_rows(rows: Any, n: int) -> tuple[Floats, Floats]:
    """Return units that make the largest entry of each column one, where rows are relative to their largest entry."""
    unit = np.ones(n)
    size = np.ones(rows.shape[0])
    if rows.nnz == 0:
        return unit, size
    for _ in range(3):
        largest = (rows @ sp.diags_array(unit)).max(axis=1).toarray().ravel()
        size = np.where(largest > 0, largest, 1.0)
        column = (sp.diags_array(1.0 / size) @ rows).max(axis=0).toarray().ravel()
        unit = np.where(column > 0, 1.0 / np.where(column > 0, column, 1.0), 1.0)
    return unit, size


def _common_unit(program: Program, rows: Any, size: Floats) -> float:
    """Return the size that the right-hand sides give to all columns together, one where they say nothing."""
    counts = np.diff(rows.indptr)
    asked, allowed = _right_sides(program, np.where(counts > 0, size, np.inf), counts)
    if len(asked):
        return float(np.exp(np.log(asked).mean()))
    return min(1.0, float(np.exp(np.log(allowed).mean()))) if len(allowed) else 1.0


def _units_by_curvature(program: Program, unit: Floats, known: Bools) -> Floats:
    """Return units for the columns that are in no row, from the entries of Q beside those of known columns."""
    unknown = ~known
    if not unknown.any():
        return unit
    strict = sp.tril(program.Q, -1)
    full = abs(program.Q + strict.T).tocsr()
    unit = unit.copy()
    for _ in range(5):
        entry = unit * (full @ sp.diags_array(unit)).max(axis=1).toarray().ravel()
        anchors = entry[known & (entry > 0)]
        asked = unknown & (entry > 0)
        if not asked.any():
            break
        common = float(anchors.max()) if len(anchors) else float(np.exp(np.log(entry[asked]).mean()))
        unit[asked] /= np.sqrt(entry[asked] / common)
    return unit
