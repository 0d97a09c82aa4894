"""OR-Tools CP-SAT as a contestant on integer programs with whole coefficients (extra `cpsat`).

It never shares a process with highspy: each breaks the other's import, and here every solve has its own process.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from causalopt.errors import SolverFailure, UnsupportedProblem
from causalopt.modeling.program import Floats, Ints, ProblemClass, Program
from causalopt.solving.backend import Ability, Backend
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Reason, Solution, Termination

#: Coefficients are multiplied by a power of ten up to this to become whole.
LARGEST_POWER = 6

#: What differs from a whole number by less, relative to its size or absolutely, is one.
WHOLE = 1e-9

#: CP-SAT's sums have to stay within 64 bits, with room for its own arithmetic.
LARGEST = 2**50


class CpSat(Backend):
    """CP-SAT on MILPs in which every variable is integer and bounded, and coefficients are whole when scaled."""

    name, package, distribution = "cpsat", "ortools", "ortools"
    classes = frozenset({ProblemClass.MILP})
    abilities: ClassVar[frozenset[Ability]] = frozenset(
        {Ability.TIME_LIMIT, Ability.THREADS, Ability.GAP, Ability.SEED}
    )

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve; see `Backend.solve`.

        Raises
        ------
        UnsupportedProblem
            For continuous or unbounded variables, and coefficients that no power of ten makes whole.
        """
        if not program.integer.all() or not np.isfinite([program.lower, program.upper]).all():
            raise UnsupportedProblem("cpsat takes programs in which every variable is integer and bounded.")
        cost, cost_scale = whole(program.c, "objective")
        from ortools.sat.python import cp_model

        start = perf_counter()
        lower, upper = np.ceil(program.lower - WHOLE), np.floor(program.upper + WHOLE)
        if (lower > upper).any():  # CP-SAT calls such a model invalid
            return Solution(Termination(Reason.INFEASIBLE, raw="bounds without a whole number between them"))
        model, x = _model(cp_model, program, lower, upper)
        (model.maximize if program.maximize else model.minimize)(cp_model.LinearExpr.weighted_sum(x, cost.tolist()))
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = options.threads or 0
        solver.parameters.relative_gap_limit = options.gap
        solver.parameters.random_seed = options.seed
        if options.time_limit is not None:
            solver.parameters.max_time_in_seconds = options.time_limit
        loaded = perf_counter()
        status = solver.solve(model)
        seconds = {"load": loaded - start, "solve": perf_counter() - loaded}
        words = solver.status_name(status)
        if status == cp_model.MODEL_INVALID:
            raise SolverFailure(f"CP-SAT refuses the model: {model.validate()}")
        if status == cp_model.INFEASIBLE:
            return Solution(Termination(Reason.INFEASIBLE, raw=words), seconds=seconds)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return Solution(Termination(Reason.NO_SOLUTION, Limit.TIME, words), seconds=seconds)
        point: Floats = np.array([float(solver.value(v)) for v in x])
        done = status == cp_model.OPTIMAL
        return Solution(
            Termination(Reason.OPTIMAL, raw=words) if done else Termination(Reason.FEASIBLE, Limit.TIME, words),
            x=point,
            objective=program.objective(point),
            bound=float(solver.best_objective_bound) / cost_scale + program.constant,
            seconds=seconds,
        )


def _model(cp_model: Any, program: Program, lower: Floats, upper: Floats) -> tuple[Any, list[Any]]:
    """Return a model of the rows, and its variables."""
    model = cp_model.CpModel()
    x = [model.new_int_var(int(low), int(high), "") for low, high in zip(lower, upper, strict=True)]
    a = program.A
    for i in range(program.n_rows):
        own = slice(a.indptr[i], a.indptr[i + 1])
        values, scale = whole(a.data[own], f"row {i}")
        low, high = program.row_lower[i] * scale, program.row_upper[i] * scale
        body = cp_model.LinearExpr.weighted_sum([x[j] for j in a.indices[own]], values.tolist())
        least = int(np.ceil(low - 1e-6)) if np.isfinite(low) else -LARGEST
        most = int(np.floor(high + 1e-6)) if np.isfinite(high) else LARGEST
        model.add_linear_constraint(body, least, most)
    return model, x


def whole(values: Floats, where: str) -> tuple[Ints, int]:
    """Return values times the smallest power of ten that makes them whole, and that power.

    Raises
    ------
    UnsupportedProblem
        Where none up to a million does, or the result is too large.

    Examples
    --------
    >>> whole(np.array([0.25, 3.0]), "row 0")
    (array([ 25, 300]), 100)
    """
    for power in range(LARGEST_POWER + 1):
        scaled = np.asarray(values, dtype=float) * 10**power
        rounded = np.round(scaled)
        is_whole = np.abs(scaled - rounded) <= WHOLE * np.maximum(1.0, np.abs(scaled))
        if (is_whole & ((rounded != 0) == (scaled != 0))).all():  # none so small that it would be lost
            if np.abs(rounded).sum() > LARGEST:
                break
            return rounded.astype(np.int64), 10**power
    raise UnsupportedProblem(f"cpsat needs whole coefficients: those of the {where} are not, at six decimals.")
