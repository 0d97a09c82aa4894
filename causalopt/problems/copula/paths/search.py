"""The copula problem's fast paths: closed forms, and a local search with a proven bound."""

from __future__ import annotations

from functools import partial
from time import perf_counter

import numpy as np

from causalopt.errors import UnsupportedProblem
from causalopt.modeling.program import Floats, Ints, Program
from causalopt.problems.copula.data import Study
from causalopt.problems.copula.model import CopulaModel
from causalopt.problems.copula.paths import rearrangement
from causalopt.problems.copula.paths.alternating import STARTS, local_search
from causalopt.problems.copula.paths.branching import OneHot, branch_and_bound
from causalopt.problems.copula.paths.relaxation import solve_relaxation
from causalopt.problems.copula.rows import Columns
from causalopt.problems.copula.slack import Group
from causalopt.solving.options import SolveOptions
from causalopt.study.designs.design import Bernoulli, CompleteRandomization
from causalopt.study.designs.estimators import HorvitzThompson
from causalopt.study.designs.grouped import MatchedPairs
from causalopt.verifying.claims import Limit, Reason, Solution, Termination
from causalopt.verifying.tree import BranchProof

#: Seconds for which `alternating` branches to prove its answer, unless a time limit says otherwise.
BRANCHING_SECONDS = 20.0

# ---- closed forms ----


def obstacle(study: Study) -> str | None:
    """Return why no closed form applies, in words, or None where one does."""
    if study.conditional:
        return "marginals are conditional on strata"
    n = len(study)
    design, estimator = study.design, study.estimator
    if isinstance(design, Bernoulli):
        if not isinstance(estimator, HorvitzThompson):
            return f"independent assignment has one for Horvitz-Thompson estimators, not {estimator}"
        return None if all(g.equal for g in study.groups) else "treatment probabilities differ between units"
    if not isinstance(design, CompleteRandomization | MatchedPairs):
        return f"{design} has none: complete randomization, matched pairs and independent assignment do"
    coefficients = estimator.linear(design, n)
    if coefficients is None or np.ptp(np.concatenate(coefficients)) > 1e-12 * np.abs(coefficients[0]).max():
        if isinstance(design, CompleteRandomization) and 2 * design.n_treated != n:
            return "the arms are of unequal size; use the formulation 'convex'"
        return f"{estimator} does not weigh all units equally"
    if not all(np.array_equal(*g.bounds(study.slack)) for g in study.groups):
        return f"marginals may differ, by a slack of {study.slack:g}; at zero slack there is one"
    return None


def rearrange(model: CopulaModel, formulation: str, program: Program, options: SolveOptions) -> Solution:
    """Solve by a closed form.

    Raises
    ------
    UnsupportedProblem
        Where none applies; the message says why.
    """
    study = model.study
    why = obstacle(study)
    if why is not None:
        raise UnsupportedProblem(f"No closed form: {why}. A solver, or 'alternating', takes this problem.")
    columns = model.columns
    choice = np.empty(columns.n, dtype=np.int64)
    duals = None
    y = study.residual
    if isinstance(study.design, Bernoulli):
        duals = _independent(columns, choice)
    elif isinstance(study.design, CompleteRandomization):
        for group in study.groups:
            numbers = _handed_out(group, study.slack)
            choice[group.members] = rearrangement.complete(y[group.members], numbers, np.arange(len(group.values)))
    else:
        assert isinstance(study.design, MatchedPairs)
        pairs = study.design.positions
        treated, control = pairs[study.treated[pairs]], pairs[~study.treated[pairs]]
        by_arm = {group.arm: _handed_out(group, study.slack) for group in study.groups}
        choice[treated], choice[control] = rearrangement.matched_pairs(y[treated] - y[control], by_arm[0], by_arm[1])
    x = model.point(formulation, choice)
    if program.Q is None:  # few columns are not zero: a product over all would cost more than the algorithm
        chosen = np.flatnonzero(x)
        value = float(program.c[chosen] @ x[chosen]) + program.constant
    else:
        value = program.objective(x)
    if duals is not None:
        duals = np.append(duals, np.zeros(program.n_rows - len(duals)))
    return Solution(Termination(Reason.OPTIMAL, raw="closed form"), x=x, objective=value, bound=value, row_dual=duals)


def _handed_out(group: Group, slack: float) -> Ints:
    counts = np.round(group.bounds(slack)[0] / group.weights[0]).astype(np.int64)
    return np.repeat(np.arange(len(counts)), counts)


def _independent(columns: Columns, choice: Ints) -> Floats:
    """Solve the transportation problem of each arm; return multipliers of the program's first rows."""
    once, marginal = np.zeros(columns.n), []
    for group, span in columns.spans:
        w = float(group.weights[0])
        gain = columns.linear[span].reshape(group.size, -1)
        low, high = (np.round(b / w) for b in group.bounds(columns.slack))
        scale = float(np.abs(gain).max()) or 1.0
        picked, unit_dual, value_dual = rearrangement.transport(gain / scale, low, high)
        choice[group.members] = picked
        once[group.members] = unit_dual * scale
        marginal.append(value_dual * scale / w)
    return np.concatenate([once, *marginal])


# ---- local search ----


def alternate(model: CopulaModel, formulation: str, program: Program, options: SolveOptions) -> Solution:
    """Search locally from many starts, and bound the answer by the formulation's continuous relaxation.

    The solution is claimed to be feasible, not optimal. The multipliers of the relaxation let verification prove the
    bound, and promote the answer where the two meet.
    """
    began = perf_counter()
    columns = model.columns
    relaxed = None if formulation == "quadratic" else solve_relaxation(program, options)
    guides: tuple[Floats, ...] = ()
    if relaxed is not None and relaxed.x is not None:
        guides = _guides(columns, relaxed.x)
    left = None if options.time_limit is None else max(options.time_limit - (perf_counter() - began), 0.1)
    choice = local_search(columns, options.replace(time_limit=left), guides)
    x = model.point(formulation, choice)
    proof, nodes = None, None
    if formulation == "convex" and relaxed is not None:
        left = BRANCHING_SECONDS if options.time_limit is None else options.time_limit - (perf_counter() - began)
        x, proof, nodes = _branch(model, program, x, options, left)
    late = options.time_limit is not None and perf_counter() - began >= options.time_limit
    return Solution(
        Termination(Reason.FEASIBLE, Limit.TIME if late else Limit.NONE, f"local search, {STARTS} starts"),
        x=x,
        objective=program.objective(x),
        row_dual=None if relaxed is None else relaxed.row_dual,
        proof=proof,
        method="local search, bound by the relaxation" + (f" and {nodes} branchings" if nodes else ""),
        nodes=nodes,
    )


def _branch(
    model: CopulaModel, program: Program, x: Floats, options: SolveOptions, seconds: float
) -> tuple[Floats, BranchProof | None, int]:
    """Close the gap by branching on the units' values, over relaxations of `convex`."""
    columns = model.columns

    def improve(point: Floats) -> Floats:
        return model.point("convex", local_search(columns, options, _guides(columns, point), starts=3))

    value = abs(program.objective(x))
    return branch_and_bound(
        program,
        partial(solve_relaxation, options=SolveOptions(threads=options.threads)),
        OneHot(columns.unit, columns.value, model.projection.diagonal),
        x,
        improve,
        gap=0.5 * max(options.gap, 1e-9) * value,
        time_limit=seconds,
    )


def _guides(columns: Columns, point: Floats) -> tuple[Floats, ...]:
    """Return where the local search is to start from, by a solution of a relaxation."""
    mean = columns.by_unit(columns.value * point[: columns.count])
    return columns.objective.matrix @ mean + columns.objective.linear, mean
