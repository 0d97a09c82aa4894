"""How the robust McNemar test finds its extremes: by two maximum matchings, or by two integer programs."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt import modeling
from causalopt.errors import SolverFailure, VerificationError
from causalopt.modeling.program import Ints
from causalopt.problems.robust.data import SIDES, sign_of
from causalopt.problems.robust.mcnemar.data import DiscordantStudy
from causalopt.problems.robust.running import fields_of, path_result, require_solver
from causalopt.problems.robust.verdicts import PairVerification
from causalopt.solving.lane import Lane
from causalopt.solving.result import Result
from causalopt.verifying.claims import Proof, Reason

PATH = "matching"


def add_pairs(block: Any, study: DiscordantStudy) -> dict[str, Any]:
    """Add the choice of n discordant pairs to a block, and return the cost B - C."""
    m, (i, j) = len(study.discordant), study.ends
    r, c = len(study.graph.treated), len(study.graph.control)
    rows = np.concatenate([i, r + j, np.full(m, r + c)])
    matrix = sp.csr_matrix((np.ones(3 * m), (rows, np.tile(np.arange(m), 3))), shape=(r + c + 1, m))
    block.pairs = modeling.ArrayVar(0.0, 1.0, integer=True, n=m)
    block.usage = modeling.ArrayConstraint(block.pairs, matrix[:-1], upper=1.0)
    block.count = modeling.ArrayConstraint(block.pairs, matrix[-1:], float(study.n), float(study.n))
    return {"x": block.pairs, "linear": study.sign}


def model_of(study: DiscordantStudy, side: str) -> Any:
    """Return the integer program of a side."""
    sense = modeling.pyo.maximize if sign_of(side) > 0 else modeling.pyo.minimize
    model = modeling.pyo.ConcreteModel()
    model.objective = modeling.ArrayObjective(**add_pairs(model, study), sense=sense)
    return model


def search(study: DiscordantStudy, lane: Lane) -> dict[str, Any]:
    """Find both extremes with the solver or fast path asked for; return the fields of the result."""
    by_path = lane.for_several_programs() in ("auto", PATH)
    (most, least), last, proof = (_by_matching if by_path else _by_programs)(study, lane)
    with lane.ledger.phase("verify"):
        for used in (most, least):
            _verify(study, used)
    check = PairVerification(
        checked=f"both sets recomputed from the data: {study.n:,} discordant pairs each, no unit twice", proof=proof
    )
    return fields_of(lane, last, check, lane.formulation) | {"most": most, "least": least, "study": study}


def _by_matching(study: DiscordantStudy, lane: Lane) -> tuple[list[Ints], Result, Proof]:
    """Take as many pairs of one kind as there are, and fill up with the other."""
    last = path_result(lane, PATH)
    with lane.ledger.phase("solve"):
        plus, minus = study.matched
        if study.n > len(plus) + len(minus):
            raise study.too_many_pairs()
        ends = min(study.n, len(plus)), max(0, study.n - len(minus))
        both = [np.concatenate([plus[:b], minus[: study.n - b]]) for b in ends]
    return both, last, Proof.CERTIFIED if study.proven else Proof.CLAIMED


def _by_programs(study: DiscordantStudy, lane: Lane) -> tuple[list[Ints], Result, Proof]:
    """Solve an integer program for each side on a backend."""
    require_solver(lane.for_several_programs(), [PATH])
    compile_model = modeling.compile_model  # first, so that loading Pyomo is not charged to a phase
    both = []
    for side in SIDES:
        with lane.ledger.phase("build"):
            model = model_of(study, side)
        with lane.ledger.phase("compile"):
            program = compile_model(model)
        result = lane.solve(program)
        if result.status.reason is Reason.INFEASIBLE:
            raise study.too_many_pairs()
        if result.x is None:
            raise SolverFailure(f"{result.solver} ended without a solution ({result.status}); allow more time.")
        both.append(study.discordant[result.x > 0.5])
    return both, result, Proof.CLAIMED


def _verify(study: DiscordantStudy, used: Ints) -> None:
    """Raise `VerificationError` for what are not n discordant pairs."""
    i, j = study.graph.i[used], study.graph.j[used]
    sound = len(used) == study.n and len(np.unique(i)) == len(i) and len(np.unique(j)) == len(j)
    if not sound or (study.treated_outcome[i] == study.control_outcome[j]).any():
        raise VerificationError("The pairs found are not n discordant pairs with each unit at most once.")
