"""How the robust Z test finds its two extremes, verifies them from the data, and puts the result together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from causalopt.errors import OptionError, SolverNotAvailable
from causalopt.problems.robust.z.formulations import Bisection, Found, Fractional, Grid, Search, Surrogate
from causalopt.problems.robust.z.paths.greedy import greedy
from causalopt.problems.robust.z.paths.network import statistic
from causalopt.problems.robust.z.paths.parametric import Extreme, extreme
from causalopt.problems.robust.z.paths.side import Known, Side
from causalopt.problems.robust.z.paths.small import Effort
from causalopt.problems.robust.z.problem import too_many_pairs
from causalopt.problems.robust.z.result import PairVerification, RobustZResult, RobustZSide, verified_pairs
from causalopt.solving.backend import backend_names, installed_backends
from causalopt.solving.lane import Lane
from causalopt.solving.options import SolveOptions, not_isolated, unknown_name
from causalopt.solving.result import Ledger, Result
from causalopt.verifying.claims import Limit, Proof, Reason, Termination
from causalopt.version import __version__

if TYPE_CHECKING:
    import pandas as pd

    from causalopt.problems.robust.z.problem import RobustZProblem

PATHS = ("parametric", "greedy")


def search(problem: RobustZProblem, lane: Lane) -> RobustZResult:
    """Find both extremes with the solver or fast path asked for."""
    if problem.n > problem.graph.largest:
        raise too_many_pairs(problem.n, problem.graph)
    solver = lane.for_several_programs()
    if solver == "auto" and lane.formulation == "fractional":
        solver = "parametric"
    if solver in PATHS:
        return _by_path(problem, lane, solver)
    if solver != "auto" and ":" not in solver and solver not in backend_names():
        raise SolverNotAvailable(unknown_name("solver", solver, [*backend_names(), *PATHS]))
    searches: dict[str, type[Search]] = {
        "fractional": Fractional,
        "qip": Surrogate,
        "feasibility": Bisection,
        "ilp-grid": Grid,
    }
    both = [searches[lane.formulation](problem, lane, side).run() for side in ("max", "min")]
    assert lane.last is not None
    return assemble(problem, lane, both, lane.last, lane.formulation)


def solve_parametric(
    problem: RobustZProblem, solver: str, time_limit: float | None, known: Sequence[Known]
) -> RobustZResult:
    """Solve by `parametric` with what is known of either side of the same network from other n."""
    options = SolveOptions(time_limit=time_limit)
    return _by_path(problem, Lane(solver, "fractional", options, None, Ledger()), "parametric", known)


def _by_path(problem: RobustZProblem, lane: Lane, path: str, known: Sequence[Known] | None = None) -> RobustZResult:
    if lane.options.solver_options:
        raise OptionError(
            f"{path} takes no solver options: {', '.join(map(str, lane.options.solver_options))}. "
            "They are for solvers: name one, such as solver='highs'."
        )
    if path == "parametric" and lane.formulation != "fractional":
        raise OptionError(f"parametric solves the formulation 'fractional', not {lane.formulation!r}.")
    if lane.options.isolate:
        lane.warn(not_isolated(path))
    reason = "it was asked for" if lane.solver == path else f"{path} is an exact algorithm for this problem"
    with lane.ledger.phase("solve"):
        if path == "greedy":
            both = [_greedy_side(problem, sign) for sign in (1, -1)]
        else:
            sides: Sequence[Known | None] = known or (None, None)
            effort = Effort(gap=lane.options.gap, deadline=lane.deadline)
            both = [parametric_side(problem, sign, effort, sides[k]) for k, sign in enumerate((1, -1))]
    last = Result(
        status=Termination(Reason.OPTIMAL),
        solver=path,
        solver_version=__version__,
        license="open source",
        solver_reason=reason,
    )
    return assemble(problem, lane, both, last, "" if path == "greedy" else "fractional")


def assemble(problem: RobustZProblem, lane: Lane, both: list[Found], last: Result, formulation: str) -> RobustZResult:
    """Verify both matchings from the data, and return the result."""
    sides = []
    with lane.ledger.phase("verify"):
        for name, sign, found in (("max", 1.0, both[0]), ("min", -1.0, both[1])):
            z, i, j = verified_pairs(problem, name, found.flow, sign * found.z)
            bound = sign * max(found.bound, sign * z)  # a bound is never inside of what was found, but for rounding
            sides.append(
                RobustZSide(name, z, bound, found.proof, i, j, problem, found.programs, found.nodes, _note(found))
            )
    maximum, minimum = sides
    stopped = next((found.stopped for found in both if found.stopped), "")
    gap = max(maximum.gap, minimum.gap)
    heuristic = "heuristic" in (maximum.kind, minimum.kind)
    limit = Limit(stopped) if stopped else Limit.NONE
    reason = Reason.OPTIMAL if gap <= lane.options.gap else Reason.FEASIBLE
    if stopped and reason is Reason.FEASIBLE:
        lane.warn(f"{last.solver} stopped at its {stopped} limit with a gap of {gap:.2g}.")
    check = PairVerification(
        checked=f"both matchings recomputed from the data: {problem.n:,} allowed pairs each, no unit twice, Z as found",
        proof=_weaker(maximum.proof, minimum.proof),
        gap=None if heuristic else gap,
    )
    fields = last.fields() | {
        "status": Termination(reason, limit, "heuristic" if heuristic else ""),
        "objective": None,
        "bound": None,
        "gap": None if heuristic else gap,
        "x": None,
        "row_dual": None,
        "verification": check,
        "timing": lane.ledger.close(),
        "formulation": formulation,
        "log": lane.log,
        "warnings": tuple(lane.warnings),
    }
    return RobustZResult(**fields, maximum=maximum, minimum=minimum, problem=problem)


def _note(found: Found) -> str:
    if np.isinf(found.z):
        return "; ".join(filter(None, ["all differences equal: the spread is zero", found.note]))
    return found.note


def _weaker(first: Proof, second: Proof) -> Proof:
    return max(first, second, key=[Proof.CERTIFIED, Proof.CLAIMED, Proof.NONE].index)


# ---- fast paths ----


def parametric_side(problem: RobustZProblem, sign: int, effort: Effort, known: Known | None = None) -> Found:
    """Return the exact extreme of one side."""
    found = extreme(Side(problem.network, problem.n, sign, known), effort)
    if found is None:
        raise too_many_pairs(problem.n, problem.graph)
    return from_extreme(found)


def from_extreme(found: Extreme) -> Found:
    """Return what `parametric` found in the terms of all searches."""
    return Found(
        found.flow, found.z, found.bound, Proof.CERTIFIED, found.evaluations, found.nodes, stopped=found.stopped
    )


def _greedy_side(problem: RobustZProblem, sign: int) -> Found:
    found = greedy(problem.network, problem.n, sign)
    if found is None:
        raise too_many_pairs(problem.n, problem.graph)
    flow, alone = found
    note = "" if alone else "the greedy list ran out of pairs: an assignment of the extreme sum stands in"
    return Found(flow, sign * statistic(problem.network.delta, flow)[0], np.inf, Proof.NONE, note=note)


def able_solvers(problem: RobustZProblem, formulation: str) -> pd.DataFrame:
    """Return what can answer the problem by a formulation: paths, and solvers of all of its programs."""
    import pandas as pd

    from causalopt.modeling.compile import compile_model
    from causalopt.modeling.program import ProblemClass

    rows = []
    if formulation == "fractional":
        rows.append({"solver": "parametric", "can solve": True, "note": "exact fast path"})
        rows.append({"solver": "greedy", "can solve": True, "note": "heuristic"})
    program = compile_model(problem.build(formulation))
    quadratic = formulation in ("qip", "feasibility")
    classes = {ProblemClass.LP, ProblemClass.MILP} | ({ProblemClass.NONCONVEX_MIQP} if quadratic else set())
    for backend in installed_backends():
        lacking = sorted(str(name) for name in classes - backend.classes)
        note = f"does not solve a {lacking[0]}" if lacking else ""
        note = note or backend.license().obstacle(program.n_columns + 1, program.n_rows, quadratic) or ""
        rows.append({"solver": backend.name, "can solve": not note, "note": note})
    return pd.DataFrame(rows).set_index("solver")
