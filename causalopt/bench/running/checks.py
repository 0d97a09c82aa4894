"""A worker's answer looked at once more, by a process that no solver has touched."""

from __future__ import annotations

import hashlib

from causalopt.bench.running.lane import Outcome
from causalopt.bench.store.status import Status
from causalopt.modeling.program import Program
from causalopt.solving.trying import reduce as reduction
from causalopt.verifying.claims import Limit, Proof, Reason, Solution, Termination, Verification
from causalopt.verifying.feasibility import is_feasible
from causalopt.verifying.verify import objective_scale, verify

#: Relative difference from a known optimum that counts as one.
DISAGREEMENT = 1e-5


def stopped(program: Program, answer: Solution, gap: float) -> Outcome:
    """Return the outcome of a worker that was killed; its incumbent is one of the reduced program."""
    termination = answer.termination
    status = Status.OUT_OF_MEMORY if termination.limit is Limit.MEMORY else Status.LIMIT_WITHOUT_INCUMBENT
    bare = Outcome(
        status=status,
        reason=str(Reason.NO_SOLUTION),
        stopped_by=str(termination.limit),
        detail=termination.raw,
        seconds=dict(answer.seconds),
        worker=answer.seconds.get("solve", 0.0),
        peak_memory=answer.peak_memory,
    )
    if answer.x is None:
        return bare
    reduced, restore = reduction.reduce(program)
    if len(answer.x) != reduced.n_columns:  # of one part among several: no solution of the whole
        return bare
    whole, check = verify(program, restore(answer), gap=gap)
    if not check.passed:
        return bare.replace(detail=f"{termination.raw}; its incumbent was refused: {'; '.join(check.problems)}")
    return bare.replace(
        status=status if status is Status.OUT_OF_MEMORY else Status.LIMIT_WITH_INCUMBENT,
        reason=str(Reason.FEASIBLE),
        x=whole.x,
        objective=check.objective,
        bound=check.bound,
        gap=check.gap,
        proof=str(check.proof),
    )


def checked(program: Program, outcome: Outcome, known: float | None, gap: float) -> Outcome:
    """Refuse an answer that is not what it says, or that contradicts a known optimum."""
    if outcome.status in (Status.WRONG, Status.CRASHED, Status.UNSUPPORTED, Status.LICENSE):
        return outcome
    if outcome.reason in (Reason.INFEASIBLE, Reason.UNBOUNDED) and known is not None:
        text = f"{outcome.reason} was claimed, but a solution with objective {known:.10g} is known"
        return outcome.replace(status=Status.WRONG, detail=text)
    if outcome.x is None or outcome.objective is None:
        return outcome
    value = program.objective(outcome.x)
    scale, rounding = objective_scale(program, outcome.x, value)
    if not is_feasible(program, outcome.x) or abs(value - outcome.objective) > 1e-6 * scale + rounding:
        return outcome.replace(status=Status.WRONG, detail="the answer did not survive the way out of its process")
    if known is None:
        return outcome
    sign = -1.0 if program.maximize else 1.0
    allowed = max(DISAGREEMENT, 1.01 * gap) * max(scale, abs(known)) + rounding
    if outcome.reason == Reason.OPTIMAL and sign * (value - known) > allowed:
        text = f"optimal was claimed at {value:.10g}, but the known optimum is {known:.10g}"
        return outcome.replace(status=Status.WRONG, detail=text)
    if outcome.bound is not None and sign * (outcome.bound - known) > allowed:
        text = f"the bound {outcome.bound:.10g} excludes the known optimum {known:.10g}"
        return outcome.replace(status=Status.WRONG, detail=text)
    return outcome


def verify_again(program: Program, outcome: Outcome, gap: float) -> Verification:
    """Return the verification of an outcome's solution, as a result carries it."""
    solution = Solution(
        Termination(Reason(outcome.reason)),
        x=outcome.x,
        objective=outcome.objective,
        bound=None if outcome.proof == Proof.CERTIFIED else outcome.bound,
        row_dual=outcome.row_dual,
    )
    return verify(program, solution, gap=gap)[1]


def fingerprint(program: Program) -> str:
    """Return a hash of the program's arrays."""
    digest = hashlib.sha256(f"{program.maximize} {program.constant!r}".encode())
    for array in (program.c, program.row_lower, program.row_upper, program.lower, program.upper, program.integer):
        digest.update(array.tobytes())
    for matrix in (program.A, program.Q):
        if matrix is not None:
            for array in (matrix.data, matrix.indices.astype("int64"), matrix.indptr.astype("int64")):
                digest.update(array.tobytes())
    return digest.hexdigest()[:16]
