"""Parts of a program that share no variable and no row, each solved by `dual-newton`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from causalopt.algorithms import dual_newton
from causalopt.algorithms.dual_newton import SeparableQP
from causalopt.modeling.program import Floats, Program
from causalopt.solving.trying.reduce import join
from causalopt.verifying.claims import Solution


def solve_parts(program: Program, parts: Iterable[tuple[slice, SeparableQP, Floats | None]]) -> Solution:
    """Solve the parts of a program and put their solutions together.

    Parameters
    ----------
    program : Program
        Its rows are those of the parts, one part after the other.
    parts : iterable of (columns, SeparableQP, start)
        Multipliers to start from, or None.
    """
    pieces, solutions, row = [], [], 0
    for columns, qp, start in parts:
        solutions.append(dual_newton.solve(qp, start=start))
        pieces.append((np.arange(columns.start, columns.stop), np.arange(row, row + len(qp.target))))
        row += len(qp.target)
    if len(solutions) == 1:
        return solutions[0]
    return join(program.replace(constant=0.0), pieces, solutions)  # each part's objective includes its constant
