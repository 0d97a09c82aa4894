"""Every claim recomputed from the program's arrays, never taken from the solver."""

from __future__ import annotations

import dataclasses
from itertools import chain

import numpy as np

from causalopt.modeling.matrices import symmetric_product
from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.verifying.certificate import complementary, dual_bound, recovered_multipliers
from causalopt.verifying.claims import Proof, Reason, Solution, Termination, Tolerances, Verification
from causalopt.verifying.feasibility import scaled_violations
from causalopt.verifying.no_solution import usable, verify_without_solution
from causalopt.verifying.tree import proven_bound
from causalopt.verifying.units import column_units, in_units

#: Where rounding may change the objective by more than this part of it, its terms cancel, and little of it is known.
KNOWN = 1e-3


def objective_scale(program: Program, x: Floats, value: float) -> tuple[float, float]:
    """Return the scale for relative differences of objectives near `value`, and the rounding error of its terms."""
    coefficient = float(np.abs(program.c).max(initial=0.0))
    terms = float(np.abs(program.c) @ np.abs(x)) + abs(program.constant)
    if program.Q is not None and program.Q.nnz:
        coefficient = max(coefficient, float(np.abs(program.Q.data).max()))
        size = np.abs(x)
        if program.curvature is not None:
            terms += 0.5 * float(np.abs(program.curvature) @ np.square(size))
        else:
            terms += 0.5 * float(size @ symmetric_product(abs(program.Q), size))
    return max(abs(value), min(1.0, coefficient) or 1.0), 1e-14 * terms


def verify(
    program: Program, solution: Solution, *, gap: float = 1e-6, tolerances: Tolerances | None = None
) -> tuple[Solution, Verification]:
    """Recompute every claim of `solution` from `program`.

    Returns
    -------
    solution : Solution
        The solver's, but its termination promoted from FEASIBLE to OPTIMAL where our own bound meets the objective,
        and demoted from OPTIMAL to FEASIBLE where the claimed bound is farther away than the gap asked for, or no
        bound can be had. Its multipliers are those that prove the bound, if any do.
    verification : Verification
        With `problems` where a claim did not survive.
    """
    tolerances = tolerances or Tolerances()
    if not solution.termination.has_solution:
        return solution, verify_without_solution(program, solution)
    x = solution.x
    if x is None or x.shape != (program.n_columns,) or not np.isfinite(x).all():
        return solution, Verification(problems=(f"a solution was claimed, but {_unusable(x, program.n_columns)}",))
    verified, check = _verify_point(program, solution, x, gap, tolerances)
    unit = column_units(program)
    if unit is None or not check.passed:
        return verified, check
    # Where columns are in millionths or millions, tolerances may mean little in their own units: both have to hold.
    also, in_moderate_units = _verify_point(in_units(program, unit), solution, x / unit, gap, tolerances)
    if _says_less(also, in_moderate_units, verified, check):
        return also, dataclasses.replace(
            in_moderate_units, row_violation=check.row_violation, bound_violation=check.bound_violation
        )
    return verified, check


def _says_less(a: Solution, a_check: Verification, b: Solution, b_check: Verification) -> bool:
    """Whether one verdict on a solution promises less than another."""

    def promise(solution: Solution, check: Verification) -> tuple[bool, bool, bool, float, float]:
        optimal = solution.termination.reason is Reason.OPTIMAL
        gap = np.inf if check.gap is None else check.gap
        return check.passed, optimal, check.proof is Proof.CERTIFIED, -gap, -check.scaled_violation

    return promise(a, a_check) < promise(b, b_check)


def _unusable(x: Floats | None, n: int) -> str:
    if x is None:
        return "its values are missing"
    if x.shape != (n,):
        return f"its values have shape {x.shape}, where the program has {n} columns"
    return "some of its values are not finite"


def _verify_point(
    program: Program, solution: Solution, x: Floats, gap: float, tolerances: Tolerances
) -> tuple[Solution, Verification]:
    termination = solution.termination
    row, column, scaled = scaled_violations(program, x)
    problems = []
    if scaled > tolerances.feasibility:
        problems.append(f"a constraint is violated by {max(row, column):.3g} ({scaled:.1e} of its terms)")
    integrality, fractions = off_whole(x[program.integer], tolerances)
    problems += fractions
    if integrality > 0 and not problems:
        problems += _wrong_when_rounded(program, x, tolerances)
    value = program.objective(x)
    scale, rounding = objective_scale(program, x, value)
    claimed, false = false_claims(solution, value, program.maximize, tolerances.objective * scale + rounding)
    check = Verification(
        row_violation=row,
        bound_violation=column,
        scaled_violation=scaled,
        integrality_violation=integrality,
        objective=value,
        claimed_objective=solution.objective,
        bound=claimed,
        claimed_bound=claimed,
        proof=Proof.NONE if claimed is None else Proof.CLAIMED,
        problems=(*problems, *false),
    )
    target = max(gap, tolerances.optimality)
    multipliers = solution.row_dual
    if check.passed:
        check, multipliers = _prove(program, solution, x, check, scale, rounding, target, tolerances.optimality)
    relative = None if check.bound is None else abs(check.bound - value) / scale
    if relative is not None and abs((check.bound or 0.0) - value) <= rounding <= KNOWN * scale:
        relative = 0.0
    check = dataclasses.replace(check, gap=relative)
    return solution.replace(row_dual=multipliers, termination=settle_termination(termination, check, target)), check


def off_whole(values: Floats, tolerances: Tolerances) -> tuple[float, list[str]]:
    """Return how far integer variables are from whole numbers, and in words that it is too far."""
    distance = float(np.abs(values - np.round(values)).max(initial=0.0))
    too_far = distance > tolerances.integrality
    return distance, [f"an integer variable is {distance:.3g} away from a whole number"] if too_far else []


def false_claims(solution: Solution, value: float, maximize: bool, room: float) -> tuple[float | None, list[str]]:
    """Return the bound that is claimed, None without one, and what contradicts the objective recomputed."""
    problems = []
    if solution.objective is not None and not abs(solution.objective - value) <= room:
        problems.append(f"the claimed objective is {solution.objective:.10g}, recomputed it is {value:.10g}")
    bound = solution.bound if solution.bound is not None and np.isfinite(solution.bound) else None
    if bound is not None and (value - bound if maximize else bound - value) > room:
        problems.append(f"the claimed bound {bound:.10g} is on the wrong side of the objective {value:.10g}")
    return bound, problems


def _wrong_when_rounded(program: Program, x: Floats, tolerances: Tolerances) -> list[str]:
    """Look whether rows survive the rounding of almost whole values: behind a big M they may not."""
    rounded = np.where(program.integer, np.round(x), x)
    row, _, scaled = scaled_violations(program, rounded)
    if scaled <= max(tolerances.feasibility, tolerances.integrality):
        return []
    return [f"a constraint is violated by {row:.3g} once almost whole values are rounded"]


def _prove(
    program: Program,
    solution: Solution,
    x: Floats,
    check: Verification,
    scale: float,
    rounding: float,
    target: float,
    largest_residual: float,
) -> tuple[Verification, Floats | None]:
    """For an LP or convex QP, replace the claimed bound by one that multipliers prove, or refuse the claim."""
    if program.problem_class in (ProblemClass.MILP, ProblemClass.CONVEX_MIQP):
        return _prove_by_relaxation(program, solution, x, check, rounding, largest_residual), None
    if program.problem_class not in (ProblemClass.LP, ProblemClass.CONVEX_QP):
        return check, None
    value = check.objective
    assert value is not None
    room = target * scale + rounding
    best = _best_multipliers(program, x, usable(solution.row_dual, program.n_rows), value, room, largest_residual)
    if best is None:
        return check, None
    bound, residual, proof = best
    direction = -1.0 if program.maximize else 1.0
    certified = dataclasses.replace(check, bound=bound, dual_residual=residual, proof=Proof.CERTIFIED)
    if abs(bound - value) <= room and residual <= largest_residual:
        return certified, proof
    if solution.termination.reason is Reason.OPTIMAL:
        gap = abs(bound - value) / scale
        problem = f"optimal was claimed, but multipliers leave a gap of {gap:.1e} and a dual residual of {residual:.1e}"
        return dataclasses.replace(certified, problems=(*check.problems, problem)), proof
    # Of two bounds keep the one that says more; a certified one is not worth having where it says nothing.
    weaker = check.bound is not None and direction * (check.bound - bound) > 0
    return (check, proof) if weaker or residual > largest_residual or not np.isfinite(bound) else (certified, proof)


def _best_multipliers(
    program: Program, x: Floats, given: Floats | None, value: float, room: float, largest_residual: float
) -> tuple[float, float, Floats] | None:
    """Return bound, dual residual and multipliers that say most of a point with this objective, None without any."""
    candidates = recovered_multipliers(program, x)
    if given is not None:
        candidates = chain([given], (complementary(program, x, y) for y in [given]), candidates)
    direction = -1.0 if program.maximize else 1.0
    best: tuple[float, float, Floats] | None = None
    for multipliers in candidates:
        bound, residual = dual_bound(program, x, multipliers)
        if direction * (bound - value) > room:
            # No point is as good as this one claims to be: it gains by being beyond a row or bound.
            return bound, residual, multipliers
        distance = abs(bound - value) if np.isfinite(bound) else np.inf
        if distance <= room and residual <= largest_residual:
            return bound, residual, multipliers
        if best is None or distance < (abs(best[0] - value) if np.isfinite(best[0]) else np.inf):
            best = bound, residual, multipliers
    return best


def _prove_by_relaxation(
    program: Program, solution: Solution, x: Floats, check: Verification, rounding: float, largest_residual: float
) -> Verification:
    """Certify the bound of an integer program where multipliers of its continuous relaxation prove as much.

    A relaxation's bound that is weaker than the claimed one, as most are, leaves the claim as it is.
    """
    multipliers = usable(solution.row_dual, program.n_rows)
    if solution.proof is not None:
        bound, residual = proven_bound(program, solution.proof), 0.0
    elif multipliers is not None:
        bound, residual = dual_bound(program, x, multipliers)
    else:
        return check
    if not np.isfinite(bound) or residual > largest_residual:
        return check
    direction = -1.0 if program.maximize else 1.0
    if check.bound is not None and direction * (check.bound - bound) > rounding:
        value = check.objective
        assert value is not None
        if abs(bound - value) > largest_residual * objective_scale(program, x, value)[0] + rounding:
            return check
    return dataclasses.replace(check, bound=bound, dual_residual=residual, proof=Proof.CERTIFIED)


def settle_termination(termination: Termination, check: Verification, target: float) -> Termination:
    """Promote a certified FEASIBLE to OPTIMAL, and demote an OPTIMAL without a bound within `target` to FEASIBLE."""
    if not check.passed:
        return termination
    met = check.gap is not None and check.gap <= target * (1 + 1e-6)
    if termination.reason is Reason.FEASIBLE and check.proof is Proof.CERTIFIED and met:
        return dataclasses.replace(termination, reason=Reason.OPTIMAL)
    if termination.reason is Reason.OPTIMAL and not met:
        return dataclasses.replace(termination, reason=Reason.FEASIBLE)
    return termination
