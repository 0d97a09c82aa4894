"""Continuous relaxations of the copula problem: hints for the local search, and multipliers for bounds."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from causalopt.errors import SolverFailure, SolverNotAvailable
from causalopt.modeling.program import Floats, Program
from causalopt.problems.copula.rows import Columns, project
from causalopt.solving.choice import choose_backend
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Solution

#: Linear relaxations with more columns than this need not end at a vertex: crossover would take most of the time.
LARGE_RELAXATION = 5_000


def solve_relaxation(program: Program, options: SolveOptions) -> Solution | None:
    """Solve the continuous relaxation of a program; None where that fails.

    The answer is a hint, and its multipliers are checked where they are used: nothing is verified here.
    """
    if program.integer.any():
        integer = np.zeros(program.n_columns, dtype=bool)
        program = program.replace(integer=integer, convex=True if program.Q is not None else None)
    vertex = program.Q is not None or program.n_columns <= LARGE_RELAXATION
    asked = options.replace(start=None, solver_options={}, crossover=vertex)
    try:
        backend, _ = choose_backend(program, "auto")
        return backend.solve(program, asked, backend.methods(program, asked)[0])
    except (SolverFailure, SolverNotAvailable):
        return None


def relax(columns: Columns, diagonal: Floats) -> tuple[float, Floats, Floats] | None:
    """Return the value of the relaxation of `convex` for a diagonal, and the means of v and v^2 by unit."""
    projection = project(columns, diagonal)
    rank = projection.rows.shape[0]
    nx = columns.count
    spread = diagonal - np.diag(columns.objective.matrix)
    lower, upper = columns.bounds
    square = columns.value**2
    scale = max(projection.scale, 1e-300)
    program = Program(
        c=np.append(-(columns.linear + spread[columns.unit] * square) / scale, np.zeros(rank)),
        A=sp.block_array(
            [[columns.once, None], [columns.marginals, None], [projection.rows, -sp.eye(rank)]], format="csr"
        ),
        row_lower=np.concatenate([np.ones(columns.n), lower, np.zeros(rank)]),
        row_upper=np.concatenate([np.ones(columns.n), upper, np.zeros(rank)]),
        lower=np.append(np.zeros(nx), projection.lower - 1.0),
        upper=np.append(np.ones(nx), projection.upper + 1.0),
        integer=np.zeros(nx + rank, dtype=bool),
        Q=sp.diags_array(np.append(np.zeros(nx), np.full(rank, 2.0)), format="csc"),
        convex=True,
    )
    program.Q.eliminate_zeros()
    solution = solve_relaxation(program, SolveOptions())
    if solution is None or solution.x is None or not np.isfinite(solution.x).all():
        return None
    x = np.clip(solution.x[:nx], 0.0, 1.0)
    x /= columns.by_unit(x)[columns.unit]
    mean, second = columns.by_unit(columns.value * x), columns.by_unit(square * x)
    objective = columns.objective
    value = float(mean @ objective.matrix @ mean + 2 * objective.linear @ mean + diagonal @ (second - mean**2))
    return value + objective.constant, mean, second
