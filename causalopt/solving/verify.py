"""Every claim recomputed from the program's arrays, never taken from the solver."""

from __future__ import annotations

import dataclasses
import enum
from itertools import chain
from typing import Any

import numpy as np

from causalopt.modeling.program import INFINITE, Floats, ProblemClass, Program, symmetric_product
from causalopt.solving.branching import proven_bound
from causalopt.solving.certificate import (
    complementary,
    directions,
    dual_bound,
    farkas_margin,
    improving_ray,
    phase_one,
    recovered_multipliers,
)
from causalopt.solving.result import Reason, Solution, Termination
from causalopt.solving.units import column_units, in_units


@dataclasses.dataclass(frozen=True)
class Tolerances:
    """How far a claim may be from its recomputation. All are relative to the size of the terms compared.

    Attributes
    ----------
    feasibility : float
        Largest violation of a row or bound, relative to its terms.
    integrality : float
        Largest distance of an integer variable from a whole number (absolute).
    objective : float
        Difference between claimed and recomputed objective, or bound and objective on the wrong side.
    optimality : float
        Duality gap and dual residual up to which an LP or convex QP counts as solved, if `gap` asks for no less.

    Examples
    --------
    >>> import causalopt as co
    >>> program = co.Program.from_arrays([1.0], lower=2.0)
    >>> co.solve(program, "highs", tolerances=Tolerances(feasibility=1e-9)).objective
    2.0
    """

    feasibility: float = 1e-6
    integrality: float = 1e-5
    objective: float = 1e-6
    optimality: float = 1e-6


class Proof(enum.StrEnum):
    """What stands behind a bound or a claim of infeasibility."""

    CERTIFIED = "certified by causalopt"
    """Recomputed here from multipliers, by weak duality."""
    CLAIMED = "claimed by the solver"
    """The solver's word; a branch-and-bound tree cannot be recomputed from its answer."""
    NONE = "not proven"
    """Nobody claims a bound."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """What recomputation found, beside what was claimed.

    Attributes
    ----------
    row_violation, bound_violation : float
        Largest violation of a row, of a column's bounds (absolute).
    scaled_violation : float
        The larger of both, relative to the size of the terms.
    integrality_violation : float
    objective, claimed_objective : float or None
    bound, claimed_bound : float or None
        `bound` is certified where `proof` says so.
    gap : float or None
        |objective - bound| relative to the objective.
    dual_residual : float or None
    proof : Proof
    problems : tuple of str
        In words, every claim that did not survive. Empty for a verified answer.
    """

    row_violation: float = 0.0
    bound_violation: float = 0.0
    scaled_violation: float = 0.0
    integrality_violation: float = 0.0
    objective: float | None = None
    claimed_objective: float | None = None
    bound: float | None = None
    claimed_bound: float | None = None
    gap: float | None = None
    dual_residual: float | None = None
    proof: Proof = Proof.NONE
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every claim survived."""
        return not self.problems

    def __str__(self) -> str:
        if self.problems:
            return "REFUSED: " + "; ".join(self.problems)
        if self.objective is None:
            return f"no solution to check; the status is {self.proof}"
        gap = "" if self.gap is None else f", gap {self.gap:.1e}"
        integrality = "" if self.integrality_violation == 0 else f", integrality {self.integrality_violation:.1e}"
        return f"feasible to {self.scaled_violation:.1e}{integrality}, objective recomputed, bound {self.proof}{gap}"


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
        return solution, _verify_without_solution(program, solution)
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
    problems = []
    row, column, scaled = scaled_violations(program, x)
    if scaled > tolerances.feasibility:
        problems.append(f"a constraint is violated by {max(row, column):.3g} ({scaled:.1e} of its terms)")
    whole = x[program.integer]
    integrality = float(np.abs(whole - np.round(whole)).max()) if len(whole) else 0.0
    if integrality > tolerances.integrality:
        problems.append(f"an integer variable is {integrality:.3g} away from a whole number")
    elif integrality > 0 and not problems:
        problems += _wrong_when_rounded(program, x, tolerances)
    value = program.objective(x)
    scale, rounding = objective_scale(program, x, value)
    if (
        solution.objective is not None
        and not abs(solution.objective - value) <= tolerances.objective * scale + rounding
    ):
        problems.append(f"the claimed objective is {solution.objective:.10g}, recomputed it is {value:.10g}")
    direction = -1.0 if program.maximize else 1.0  # direction * (bound - objective) <= 0 for a true bound
    claimed = solution.bound if solution.bound is not None and np.isfinite(solution.bound) else None
    if claimed is not None and direction * (claimed - value) > tolerances.objective * scale + rounding:
        problems.append(f"the claimed bound {claimed:.10g} is on the wrong side of the objective {value:.10g}")
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
        problems=tuple(problems),
    )
    target = max(gap, tolerances.optimality)
    multipliers = solution.row_dual
    if check.passed:
        check, multipliers = _prove(program, solution, x, check, scale, rounding, target, tolerances.optimality)
    relative = None if check.bound is None else abs(check.bound - value) / scale
    if relative is not None and abs((check.bound or 0.0) - value) <= rounding:
        relative = 0.0
    check = dataclasses.replace(check, gap=relative)
    return solution.replace(row_dual=multipliers, termination=settle_termination(termination, check, target)), check


def _wrong_when_rounded(program: Program, x: Floats, tolerances: Tolerances) -> list[str]:
    """Look whether rows survive the rounding of almost whole values: behind a big M they may not."""
    rounded = np.where(program.integer, np.round(x), x)
    row, _, scaled = scaled_violations(program, rounded)
    if scaled <= max(tolerances.feasibility, tolerances.integrality):
        return []
    return [f"a constraint is violated by {row:.3g} once almost whole values are rounded"]


def _verify_without_solution(program: Program, solution: Solution) -> Verification:
    reason = solution.termination.reason
    if reason not in (Reason.INFEASIBLE, Reason.UNBOUNDED):
        return Verification()
    multipliers = _usable(solution.farkas, program.n_rows)
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
        See `causalopt.solving.certificate.directions`.
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


def _usable(multipliers: Floats | None, n_rows: int) -> Floats | None:
    """Return a backend's multipliers, or None unless there is a finite one for each row."""
    if multipliers is None or np.shape(multipliers) != (n_rows,) or not np.isfinite(multipliers).all():
        return None
    return multipliers


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

    def proven(bound: float, residual: float) -> bool:
        return abs(bound - value) <= target * scale + rounding and residual <= largest_residual

    def distance(candidate: tuple[float, float]) -> float:
        return abs(candidate[0] - value) if np.isfinite(candidate[0]) else np.inf

    candidates = recovered_multipliers(program, x)
    proof = _usable(solution.row_dual, program.n_rows)
    if proof is not None:
        candidates = chain([proof], (complementary(program, x, y) for y in [proof]), candidates)
    best: tuple[float, float] | None = None
    direction = -1.0 if program.maximize else 1.0
    for multipliers in candidates:
        candidate = dual_bound(program, x, multipliers)
        if direction * (candidate[0] - value) > target * scale + rounding:
            # No point is as good as this one claims to be: it gains by being beyond a row or bound.
            best, proof = candidate, multipliers
            break
        if best is None or proven(*candidate) or distance(candidate) < distance(best):
            best, proof = candidate, multipliers
        if proven(*best):
            break
    if best is None:
        return check, None
    bound, residual = best
    certified = dataclasses.replace(check, bound=bound, dual_residual=residual, proof=Proof.CERTIFIED)
    if proven(bound, residual):
        return certified, proof
    if solution.termination.reason is Reason.OPTIMAL:
        gap = abs(bound - value) / scale
        problem = f"optimal was claimed, but multipliers leave a gap of {gap:.1e} and a dual residual of {residual:.1e}"
        return dataclasses.replace(certified, problems=(*check.problems, problem)), proof
    # Of two bounds keep the one that says more; a certified one is not worth having where it says nothing.
    weaker = check.bound is not None and direction * (check.bound - bound) > 0
    return (check, proof) if weaker or residual > largest_residual or not np.isfinite(bound) else (certified, proof)


def _prove_by_relaxation(
    program: Program, solution: Solution, x: Floats, check: Verification, rounding: float, largest_residual: float
) -> Verification:
    """Certify the bound of an integer program where multipliers of its continuous relaxation prove as much.

    A relaxation's bound that is weaker than the claimed one, as most are, leaves the claim as it is.
    """
    multipliers = _usable(solution.row_dual, program.n_rows)
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
