"""Units in which a program's columns are of moderate size.

Solvers hold bounds and rows to absolute tolerances, and so does verification where nothing says what size a column
is of. A column in millionths (values of 1e6) or in millions (values of 1e-6) breaks both. Measured in other units,
powers of two so that nothing is rounded, the program is the same one.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.modeling.program import Bools, Floats, Program

#: Sizes outside this range are brought to about one.
GOOD_SCALE = (1e-3, 1e4)


def power_of_two(values: Floats) -> Floats:
    """Return the power of two nearest to each positive value."""
    return np.asarray(2.0 ** np.round(np.log2(values)))


def column_units(program: Program) -> Floats | None:
    """Return the unit to measure each column in, a power of two, or None where all are of moderate size.

    What tells the unit of a continuous column: its largest entry over the rows (each relative to the largest entry
    of the row) and the right-hand sides; for columns in no row, a box of two finite bounds, else the curvature; and a
    box that leaves no room for more. Rows with integer columns are not asked, since there a large entry often means
    "any amount" (big M). Integer columns keep their unit.
    """
    if not _looks_odd(program):
        return None
    continuous = ~program.integer
    rows = _rows_without_integers(program)
    unit, size = _units_by_rows(rows, program.n_columns)
    in_rows = np.zeros(program.n_columns, dtype=bool)
    in_rows[rows.indices] = True
    if not program.integer.any():
        unit *= _common_unit(program, rows, unit, size)
    box = _box(program)
    if program.Q is not None and program.Q.nnz:
        unit = _units_by_curvature(program, unit, in_rows | ~continuous, box)
    alone = ~in_rows & np.isfinite(box) & (box > 0)
    unit[alone] = box[alone]
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
    if ((box > 0) & (box < low) | np.isfinite(box) & (box > high)).any():
        return True
    if program.A.nnz == 0:
        return False
    largest, starts = program.row_sizes, program.A.indptr
    size = np.where(largest > 0, largest, 1.0)
    typical = float((_right_sides(program) / (size * np.maximum(starts[1:] - starts[:-1], 1))).max())
    if 0 < typical < low or typical > high or size.max() > high or size.min() < low:
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


def _right_sides(program: Program) -> Floats:
    """Return the size of each row's smaller finite side, zero for none."""
    smaller = np.minimum(np.abs(program.row_lower), np.abs(program.row_upper))
    return np.where(np.isfinite(smaller), smaller, 0.0)


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


def _common_unit(program: Program, rows: Any, unit: Floats, size: Floats) -> float:
    """Return the size that the right-hand sides give to all columns together, one where they say nothing."""
    counts = np.maximum(np.diff(rows.indptr), 1)
    typical = _right_sides(program) / size / counts
    typical = typical[(typical > 0) & (np.diff(rows.indptr) > 0)]
    return float(np.exp(np.log(typical).mean())) if len(typical) else 1.0


def _units_by_curvature(program: Program, unit: Floats, known: Bools, box: Floats) -> Floats:
    """Return units for the columns that are in no row, from the entries of Q beside those of known columns."""
    unknown = ~known & ~np.isfinite(box)
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
