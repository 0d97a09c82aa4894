"""A solver's answer beside what verification made of it: whether it will do, which is better, and its last digits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.options import SolveOptions
from causalopt.solving.trying.reduce import reduce
from causalopt.solving.trying.scaling import SOLVERS_TOLERANCE, Scaling
from causalopt.verifying.claims import Limit, Proof, Reason, Solution, Tolerances, Verification
from causalopt.verifying.polish import polished_pair
from causalopt.verifying.verify import objective_scale, verify

#: By how much of its size the objective may change where an answer is polished.
LAST_DIGITS = 1e-4


@dataclasses.dataclass(frozen=True)
class Trial:
    """A solver's answer, what verification made of it, and in words what was tried before."""

    solution: Solution
    verified: Solution
    check: Verification
    notes: tuple[str, ...] = ()

    @property
    def is_optimal(self) -> bool:
        """Whether the answer passed, and is optimal."""
        return self.check.passed and self.verified.termination.reason is Reason.OPTIMAL

    def is_settled(self, *, changed: bool, opened: bool, spread: bool) -> bool:
        """Whether nothing is to be gained from other units.

        A claim of infeasible or unbounded that no multipliers prove says nothing of the program in its own units, where
        it has others. Where costs are of very different sizes, the largest say little of how small a gap has to be.
        """
        termination = self.verified.termination
        if not self.check.passed:
            return False
        if termination.reason in (Reason.INFEASIBLE, Reason.UNBOUNDED):
            return self.check.proof is Proof.CERTIFIED or not changed
        if termination.reason is Reason.OPTIMAL:
            return not spread or is_close(self.check)
        if opened and termination.limit is Limit.TIME:
            return False  # it had half of the time
        return termination.limit is not Limit.NONE and (termination.has_solution or not opened)


def verified_or_polished(
    program: Program, solution: Solution, options: SolveOptions, tolerances: Tolerances | None
) -> Trial:
    """Verify an answer; where it is not proven optimal, polish it and look whether that is."""
    trial = Trial(solution, *verify(program, solution, gap=options.gap, tolerances=tolerances))
    check, value = trial.check, trial.check.objective
    # Only what is right but for its last digits is mended: no wrong claim, and no point that a limit left.
    only_the_proof_fails = check.passed or check.proof is Proof.CERTIFIED
    stopped = solution.termination.limit is not Limit.NONE
    if value is None or solution.x is None or not only_the_proof_fails or stopped:
        return trial
    if trial.is_optimal and is_close(check):
        return trial
    dearest = float(np.abs(program.c).max(initial=0.0))  # times what a solver leaves a column beyond its bound
    room = LAST_DIGITS * objective_scale(program, solution.x, value)[0] + SOLVERS_TOLERANCE * dearest
    for closer in closer_to_optimal(program, solution):
        again = Trial(closer, *verify(program, closer, gap=options.gap, tolerances=tolerances))
        if not again.is_optimal or abs((again.check.objective or 0.0) - value) > room:
            continue
        if not trial.is_optimal or _distance(again.check) < _distance(trial.check):
            return again
    return trial


def _distance(check: Verification) -> float:
    assert check.bound is not None and check.objective is not None
    return abs(check.bound - check.objective)


def is_close(check: Verification) -> bool:
    """Whether a proven objective is near its bound beside its own size, not only beside that of the costs."""
    return check.bound is None or _distance(check) <= 1e-6 * abs(check.objective or 0.0)


def closer_to_optimal(program: Program, solution: Solution) -> Iterator[Solution]:
    """Yield an LP's or convex QP's solution polished in moderate units, with its multipliers, where that succeeds."""
    if program.problem_class not in (ProblemClass.LP, ProblemClass.CONVEX_QP):
        return
    if solution.x is None or solution.x.shape != (program.n_columns,) or not np.isfinite(solution.x).all():
        return
    for scaling in (Scaling.MODERATE, Scaling.MODERATE_OPEN):
        reduced, restore = reduce(program, scaling)
        near = restore.start(solution.x)
        found = None if near is None else polished_pair(reduced, near)
        if found is not None:
            x, row_dual = found
            closer = restore(solution.replace(x=x, row_dual=row_dual, objective=reduced.objective(x), bound=None))
            termination = dataclasses.replace(solution.termination, reason=Reason.FEASIBLE)
            yield closer.replace(termination=termination)


def usefulness(trial: Trial) -> tuple[bool, float]:
    """Return what orders answers: whether one passed and says something, and how small its gap is."""
    gap, check = trial.check.gap, trial.check
    says_something = trial.verified.termination.has_solution or check.proof is Proof.CERTIFIED
    return check.passed and says_something, -np.inf if gap is None else -gap


def better(first: Trial, second: Trial) -> Trial:
    """Return the more useful of two answers; of a solution that was refused and the claim of none, the refusal."""
    useful = max(first, second, key=usefulness)
    if useful.check.passed and not usefulness(useful)[0]:
        return next((t for t in (first, second) if t.solution.termination.has_solution), second)
    return useful
