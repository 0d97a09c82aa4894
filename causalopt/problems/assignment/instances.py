"""Assignment problems with a planted optimum, as LPs or by the problem of causalopt."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.bench.running.real import part_of_causalopt
from causalopt.bench.running.suite import Case
from causalopt.modeling.program import Floats, Program


def costs(n: int, seed: int = 0) -> tuple[Floats, float]:
    """Return costs u_i + v_j + r_ij with r >= 0, zero on one permutation, which u and v therefore prove optimal."""
    rng = np.random.default_rng(seed)
    u, v = rng.integers(0, 50, n), rng.integers(0, 50, n)
    rest = rng.integers(1, 100, (n, n))
    rest[np.arange(n), rng.permutation(n)] = 0
    return (u[:, None] + v[None, :] + rest).astype(float), float(u.sum() + v.sum())


def program(n: int, seed: int = 0) -> Case:
    """Return the LP of an n x n assignment as a bare program."""
    cost, optimum = costs(n, seed)
    cells = np.arange(n * n)
    rows = np.column_stack([cells // n, n + cells % n]).ravel()
    matrix = sp.csc_matrix((np.ones(2 * n * n), rows, np.arange(0, 2 * n * n + 1, 2)), shape=(2 * n, n * n))
    return Case(Program.from_arrays(cost.ravel(), matrix.tocsr(), 1.0, 1.0, 0.0, 1.0), optimum=optimum)


def problem(n: int, seed: int = 0, **more: Any) -> Case:
    """Return the assignment as a problem of causalopt, with its fast paths."""
    kind = part_of_causalopt("causalopt.problems.assignment.problem", "AssignmentProblem")
    cost, optimum = costs(n, seed)
    return Case(kind(cost, **more), optimum=optimum)
