"""Claims that there is no solution, or no best one: proved or refuted on the program's own rows."""

from __future__ import annotations

import numpy as np

from causalopt.modeling.matrices import symmetric_product
from causalopt.modeling.program import INFINITE, Floats, ProblemClass, Program
from causalopt.verifying.certificate import directions, farkas_margin, improving_ray, phase_one
from causalopt.verifying.claims import Proof, Reason, Solution, Verification
from causalopt.verifying.feasibility import is_feasible
from causalopt.verifying.units import column_units, in_units


def verify_without_solution(program: Program, solution: Solution) -> Verification:
    """Return what recomputation makes of a claim of infeasible or unbounded; nothing is claimed by other endings."""
    reason = solution.termination.reason
    if reason not in (Reason.INFEASIBLE, Reason.UNBOUNDED):
        return Verification()
    multipliers = usable(solution.farkas, program.n_rows)
    if reason is Reason.INFEASIBLE and multipliers is not None and farkas_margin(program, multipliers) > 1e-9:
        return Verification(proof=Proof.CERTIFIED)
    if reason is Reason.INFEASIBLE and (program.lower <= program.upper).all():
        return _look_for_a_point(program)
    if reason is Reason.UNBOUNDED and _is_bounded(program):
        problem = "unbounded was claimed, but every column with a cost has finite bounds where its cost improves"
        return Verification(problems=(problem,))
    if reason is Reason.UNBOUNDED and program.problem_class in (ProblemClass.LP, ProblemClass.CONVEX_QP):
        return _look_for_a_ray(program)
    return Verification(proof=Proof.CLAIMED)


def improves_for_ever(directions: Program, x: Floats) -> bool:
    """Whether a direction can be gone for ever, and improves the objective on the way; both recomputed.

    Parameters
    ----------
    directions : Program
        See `causalopt.verifying.certificate.directions`.
    x : (n,) array
        The direction.
    """
    gain = directions.objective(x) * (1.0 if directions.maximize else -1.0)
    terms = float(np.abs(directions.c) @ np.abs(x))
    if directions.Q is not None:
        terms += float(np.abs(x) @ symmetric_product(abs(directions.Q), np.abs(x)))
    return is_feasible(directions, x) and gain > 1e-6 * terms


def _look_for_a_ray(program: Program) -> Verification:
    """Prove a claim of unbounded by a point and a direction that improves for ever, or refute it: there is none."""
    unit = column_units(program)
    unit = np.ones(program.n_columns) if unit is None else unit
    measured = in_units(program, unit) if (unit != 1.0).any() else program
    ray = improving_ray(measured)
    if ray is None:
        return Verification(proof=Proof.CLAIMED)
    if not ray.any():
        return Verification(problems=("unbounded was claimed, but no direction improves for ever",))
    own = ray * unit
    if not improves_for_ever(directions(program), own / np.abs(own).max()):
        return Verification(proof=Proof.CLAIMED)
    found = phase_one(measured)
    x = np.zeros(program.n_columns) if found is None else found[0] * unit
    proven = is_feasible(program, np.clip(x, program.lower, program.upper))
    return Verification(proof=Proof.CERTIFIED if proven else Proof.CLAIMED)


def _is_bounded(program: Program) -> bool:
    """Whether bounds of columns alone keep the objective from improving for ever."""
    cost = -program.c if program.maximize else program.c
    quadratic = np.zeros(program.n_columns, dtype=bool)
    if program.Q is not None:
        entries = program.Q.tocoo()
        quadratic[entries.row[entries.data != 0]] = quadratic[entries.col[entries.data != 0]] = True
    down, up = program.lower > -INFINITE, program.upper < INFINITE
    return bool(np.all((down | ~(quadratic | (cost > 0))) & (up | ~(quadratic | (cost < 0)))))


def _look_for_a_point(program: Program) -> Verification:
    """Prove a claim of infeasibility that came without multipliers, or refute it by a point; on the rows themselves."""
    unit = column_units(program)
    unit = np.ones(program.n_columns) if unit is None else unit
    found = phase_one(in_units(program, unit) if (unit != 1.0).any() else program)
    if found is None:
        return Verification(proof=Proof.CLAIMED)
    x, multipliers = found
    if farkas_margin(program, multipliers) > 1e-9:
        return Verification(proof=Proof.CERTIFIED)
    if is_feasible(program, np.clip(x * unit, program.lower, program.upper)):
        return Verification(problems=("infeasible was claimed, but a point satisfies all rows and bounds",))
    return Verification(proof=Proof.CLAIMED)


def usable(multipliers: Floats | None, n_rows: int) -> Floats | None:
    """Return a backend's multipliers, or None unless there is a finite one for each row."""
    if multipliers is None or np.shape(multipliers) != (n_rows,) or not np.isfinite(multipliers).all():
        return None
    return multipliers
