"""How the robust McNemar test finds its extremes: by two maximum matchings, or by two integer programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from causalopt import modeling
from causalopt.errors import OptionError, SolverFailure, SolverNotAvailable, VerificationError
from causalopt.modeling.program import Ints
from causalopt.problems.robust.mcnemar import RobustMcNemarResult
from causalopt.problems.robust.z.result import PairVerification
from causalopt.solving.backend import backend_names
from causalopt.solving.options import not_isolated, unknown_name
from causalopt.solving.result import Result
from causalopt.verifying.claims import Proof, Reason, Termination
from causalopt.version import __version__

if TYPE_CHECKING:
    from causalopt.problems.robust.mcnemar import RobustMcNemarProblem
    from causalopt.solving.lane import Lane


def by_matching(problem: RobustMcNemarProblem, lane: Lane) -> RobustMcNemarResult:
    """Take as many pairs of one kind as there are, and fill up with the other."""
    if lane.options.solver_options:
        raise OptionError(f"matching takes no solver options: {', '.join(map(str, lane.options.solver_options))}.")
    if lane.options.isolate:
        lane.warn(not_isolated("matching"))
    with lane.ledger.phase("solve"):
        plus, minus = problem.matched
        if problem.n > len(plus) + len(minus):
            raise problem.infeasible(Result(status=Termination(Reason.INFEASIBLE)))
        b_most, b_least = min(problem.n, len(plus)), max(0, problem.n - len(minus))
        most, least = (np.concatenate([plus[:b], minus[: problem.n - b]]) for b in (b_most, b_least))
    reason = "it was asked for" if lane.solver == "matching" else "matching is an exact algorithm for this problem"
    last = Result(
        status=Termination(Reason.OPTIMAL),
        solver="matching",
        solver_version=__version__,
        license="open source",
        solver_reason=reason,
    )
    return _assembled(problem, lane, most, least, last, Proof.CERTIFIED if problem.proven else Proof.CLAIMED)


def by_programs(problem: RobustMcNemarProblem, lane: Lane) -> RobustMcNemarResult:
    """Solve an integer program for each side on a backend."""
    solver = lane.for_several_programs()
    if ":" not in solver and solver not in backend_names():
        raise SolverNotAvailable(unknown_name("solver", solver, [*backend_names(), "matching"]))
    compile_model = modeling.compile_model  # first, so that loading Pyomo is not charged to a phase
    used = []
    for side in ("max", "min"):
        with lane.ledger.phase("build"):
            model = problem.build(side=side)
        with lane.ledger.phase("compile"):
            program = compile_model(model)
        result = lane.solve(program)
        if result.status.reason is Reason.INFEASIBLE:
            raise problem.infeasible(result)
        if result.x is None:
            raise SolverFailure(f"{result.solver} ended without a solution ({result.status}); allow more time.")
        used.append(problem.discordant[result.x > 0.5])
    assert lane.last is not None
    return _assembled(problem, lane, used[0], used[1], lane.last, Proof.CLAIMED)


def _assembled(
    problem: RobustMcNemarProblem, lane: Lane, most: Ints, least: Ints, last: Result, proof: Proof
) -> RobustMcNemarResult:
    """Verify both matchings from the data, and return the result."""
    graph = problem.graph
    with lane.ledger.phase("verify"):
        for used in (most, least):
            i, j = graph.i[used], graph.j[used]
            sound = len(used) == problem.n and len(np.unique(i)) == len(i) and len(np.unique(j)) == len(j)
            if not sound or (problem.treated_outcome[i] == problem.control_outcome[j]).any():
                raise VerificationError("The pairs found are not n discordant pairs with each unit at most once.")
    fields = last.fields() | {
        "objective": None,
        "bound": None,
        "gap": None,
        "x": None,
        "row_dual": None,
        "timing": lane.ledger.close(),
        "formulation": lane.formulation,
        "verification": PairVerification(
            checked=f"both sets recomputed from the data: {problem.n:,} discordant pairs each, no unit twice",
            proof=proof,
        ),
        "log": lane.log,
        "warnings": tuple(lane.warnings),
    }
    return RobustMcNemarResult(**fields, problem=problem, most=most, least=least)
