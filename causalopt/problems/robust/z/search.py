"""How the robust Z test finds its two extremes, verifies them from the data, and puts the result together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt import modeling
from causalopt.errors import OptionError
from causalopt.messages import argument
from causalopt.modeling.program import ProblemClass
from causalopt.problems.robust.data import SIDES, too_many_pairs
from causalopt.problems.robust.running import fields_of, path_result, require_solver
from causalopt.problems.robust.verdicts import PairVerification
from causalopt.problems.robust.z.data import PairStudy
from causalopt.problems.robust.z.formulations import Bisection, Fractional, Grid, Search, Surrogate
from causalopt.problems.robust.z.models import Matchings
from causalopt.problems.robust.z.paths.greedy import greedy
from causalopt.problems.robust.z.paths.network import statistic
from causalopt.problems.robust.z.paths.parametric import Extreme, extreme
from causalopt.problems.robust.z.paths.side import Known, Side
from causalopt.problems.robust.z.paths.small import Effort
from causalopt.problems.robust.z.result import RobustZSide, verified_pairs
from causalopt.solving.backend import installed_backends
from causalopt.solving.lane import Lane
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Ledger, Result
from causalopt.verifying.claims import Limit, Proof, Reason, Termination

PATHS = ("parametric", "greedy")

SEARCHES: dict[str, type[Search]] = {
    "fractional": Fractional,
    "qip": Surrogate,
    "feasibility": Bisection,
    "ilp-grid": Grid,
}


def search(study: PairStudy, lane: Lane) -> dict[str, Any]:
    """Find both extremes with the solver or fast path asked for; return the fields of the result."""
    if study.n > study.graph.largest:
        raise too_many_pairs(study.n, study.graph)
    solver = lane.for_several_programs()
    if solver == "auto" and lane.formulation == "fractional":
        solver = "parametric"
    if solver in PATHS:
        return _by_path(study, lane, solver)
    require_solver(solver, PATHS)
    both = [SEARCHES[lane.formulation](study, lane, side).run() for side in SIDES]
    assert lane.last is not None
    return _assembled(study, lane, both, lane.last, lane.formulation)


def search_on(study: PairStudy, solver: str, time_limit: float | None, known: Sequence[Known]) -> dict[str, Any]:
    """Find both extremes by `parametric`, with what is known of either side of the same network from other n."""
    options = SolveOptions(time_limit=time_limit)
    return _by_path(study, Lane(solver, "fractional", options, None, Ledger()), "parametric", known)


def _by_path(study: PairStudy, lane: Lane, path: str, known: Sequence[Known | None] = (None, None)) -> dict[str, Any]:
    last = path_result(lane, path, f" They are for solvers: name one, such as {argument('solver', 'highs')}.")
    if path == "parametric" and lane.formulation != "fractional":
        raise OptionError(f"parametric solves the formulation 'fractional', not {lane.formulation!r}.")
    with lane.ledger.phase("solve"):
        if path == "greedy":
            both = [_greedy_side(study, sign) for sign in SIDES.values()]
        else:
            effort = Effort(gap=lane.options.gap, deadline=lane.deadline)
            both = [_parametric_side(study, sign, effort, k) for sign, k in zip(SIDES.values(), known, strict=True)]
    return _assembled(study, lane, both, last, "" if path == "greedy" else "fractional")


def _assembled(study: PairStudy, lane: Lane, both: list[Extreme], last: Result, formulation: str) -> dict[str, Any]:
    """Verify both matchings from the data, and return the fields of the result."""
    with lane.ledger.phase("verify"):
        maximum, minimum = (_side(study, name, found) for name, found in zip(SIDES, both, strict=True))
    stopped = next((found.stopped for found in both if found.stopped), "")
    gap = max(maximum.gap, minimum.gap)
    heuristic = "heuristic" in (maximum.kind, minimum.kind)
    reason = Reason.OPTIMAL if gap <= lane.options.gap else Reason.FEASIBLE
    if stopped and reason is Reason.FEASIBLE:
        lane.warn(f"{last.solver} stopped at its {stopped} limit with a gap of {gap:.2g}.")
    check = PairVerification(
        checked=f"both matchings recomputed from the data: {study.n:,} allowed pairs each, no unit twice, Z as found",
        proof=max(maximum.proof, minimum.proof, key=[Proof.CERTIFIED, Proof.CLAIMED, Proof.NONE].index),
        gap=None if heuristic else gap,
    )
    status = Termination(reason, Limit(stopped) if stopped else Limit.NONE, "heuristic" if heuristic else "")
    own = {"status": status, "maximum": maximum, "minimum": minimum}
    return fields_of(lane, last, check, formulation) | own


def _side(study: PairStudy, name: str, found: Extreme) -> RobustZSide:
    """Return what was found of a side, verified and in the data's sign."""
    sign = float(SIDES[name])
    z, i, j = verified_pairs(study, name, found.flow, sign * found.z)
    bound = sign * max(found.bound, sign * z)  # a bound is never inside of what was found, but for rounding
    notes = ["all differences equal: the spread is zero"] if np.isinf(found.z) else []
    note = "; ".join([*notes, *filter(None, [found.note])])
    return RobustZSide(name, z, bound, found.proof, i, j, study, found.evaluations, found.nodes, note)


# ---- fast paths ----


def _parametric_side(study: PairStudy, sign: int, effort: Effort, known: Known | None) -> Extreme:
    found = extreme(Side(study.network, study.n, sign, known), effort)
    if found is None:
        raise too_many_pairs(study.n, study.graph)
    return found


def _greedy_side(study: PairStudy, sign: int) -> Extreme:
    found = greedy(study.network, study.n, sign)
    if found is None:
        raise too_many_pairs(study.n, study.graph)
    flow, alone = found
    note = "" if alone else "the greedy list ran out of pairs: an assignment of the extreme sum stands in"
    return Extreme(flow, sign * statistic(study.network.delta, flow)[0], np.inf, Proof.NONE, note=note)


def able_solvers(study: PairStudy, formulation: str) -> pd.DataFrame:
    """Return what can answer the problem by a formulation: paths, and solvers of all of its programs."""
    rows = []
    if formulation == "fractional":
        rows.append({"solver": "parametric", "can solve": True, "note": "exact fast path"})
        rows.append({"solver": "greedy", "can solve": True, "note": "heuristic"})
    program = modeling.compile_model(Matchings(study.network, study.n, SIDES["max"]).model(formulation, {}))
    quadratic = formulation in ("qip", "feasibility")
    classes = {ProblemClass.LP, ProblemClass.MILP} | ({ProblemClass.NONCONVEX_MIQP} if quadratic else set())
    for backend in installed_backends():
        lacking = sorted(str(name) for name in classes - backend.classes)
        note = f"does not solve a {lacking[0]}" if lacking else ""
        note = note or backend.license().obstacle(program.n_columns + 1, program.n_rows, quadratic) or ""
        rows.append({"solver": backend.name, "can solve": not note, "note": note})
    return pd.DataFrame(rows).set_index("solver")
