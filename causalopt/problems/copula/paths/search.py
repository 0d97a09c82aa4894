"""The copula problem's fast paths: closed forms, and a local search with a proven bound."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from causalopt.errors import InfeasibleError, SolverFailure, SolverNotAvailable, UnsupportedProblem
from causalopt.modeling.program import Floats, Ints, Program
from causalopt.problems.copula.paths import alternating, rearrangement
from causalopt.problems.copula.paths.branching import OneHot, branch_and_bound
from causalopt.problems.copula.rows import Columns, project
from causalopt.problems.copula.slack import Group, counts_within, smallest_deviation
from causalopt.solving.backend import Backend
from causalopt.solving.choice import choose_backend
from causalopt.solving.options import SolveOptions
from causalopt.study.designs.design import Bernoulli, CompleteRandomization
from causalopt.study.designs.estimators import HorvitzThompson
from causalopt.study.designs.grouped import MatchedPairs
from causalopt.verifying.claims import Limit, Reason, Solution, Termination
from causalopt.verifying.tree import BranchProof

if TYPE_CHECKING:
    from causalopt.problems.copula.problem import CopulaProblem

#: Random starts of the local search.
STARTS = 100

#: Seconds for which `alternating` branches to prove its answer, unless a time limit says otherwise.
BRANCHING_SECONDS = 20.0

#: Linear relaxations with more columns than this are solved by an interior-point method without crossover.
LARGE_RELAXATION = 5_000


# ---- closed forms ----


def obstacle(problem: CopulaProblem) -> str | None:
    """Return why no closed form applies, in words, or None where one does."""
    if problem.conditional:
        return "marginals are conditional on strata"
    n = len(problem.outcome)
    design, estimator = problem.design, problem.estimator
    if isinstance(design, Bernoulli):
        if not isinstance(estimator, HorvitzThompson):
            return f"independent assignment has one for Horvitz-Thompson estimators, not {estimator}"
        return None if all(g.equal for g in problem.groups) else "treatment probabilities differ between units"
    if not isinstance(design, CompleteRandomization | MatchedPairs):
        return f"{design} has none: complete randomization, matched pairs and independent assignment do"
    coefficients = estimator.linear(design, n)
    if coefficients is None or np.ptp(np.concatenate(coefficients)) > 1e-12 * np.abs(coefficients[0]).max():
        if isinstance(design, CompleteRandomization) and 2 * design.n_treated != n:
            return "the arms are of unequal size; use the formulation 'convex'"
        return f"{estimator} does not weigh all units equally"
    if not all(np.array_equal(*g.bounds(problem.slack)) for g in problem.groups):
        return f"marginals may differ, by a slack of {problem.slack:g}; at zero slack there is one"
    return None


def rearrange(problem: CopulaProblem, formulation: str, program: Program, options: SolveOptions) -> Solution:
    """Solve by a closed form.

    Raises
    ------
    UnsupportedProblem
        Where none applies; the message says why.
    """
    why = obstacle(problem)
    if why is not None:
        raise UnsupportedProblem(f"No closed form: {why}. A solver, or 'alternating', takes this problem.")
    columns = problem.columns
    choice = np.empty(columns.n, dtype=np.int64)
    duals = None
    y = problem.residual
    if isinstance(problem.design, Bernoulli):
        duals = _independent(columns, choice)
    elif isinstance(problem.design, CompleteRandomization):
        for group in problem.groups:
            numbers = _handed_out(group, problem.slack)
            choice[group.members] = rearrangement.complete(y[group.members], numbers, np.arange(len(group.values)))
    else:
        assert isinstance(problem.design, MatchedPairs)
        pairs = problem.design.positions
        first_treated = problem.treated[pairs[:, 0]]
        treated = np.where(first_treated, pairs[:, 0], pairs[:, 1])
        control = np.where(first_treated, pairs[:, 1], pairs[:, 0])
        by_arm = {group.arm: _handed_out(group, problem.slack) for group in problem.groups}
        choice[treated], choice[control] = rearrangement.matched_pairs(y[treated] - y[control], by_arm[0], by_arm[1])
    x = problem.point(formulation, choice)
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
    first = 0
    for group in columns.groups:
        k, w = len(group.values), float(group.weights[0])
        gain = columns.linear[first : first + k * group.size].reshape(group.size, k)
        low, high = (np.round(b / w) for b in group.bounds(columns.slack))
        scale = float(np.abs(gain).max()) or 1.0
        picked, unit_dual, value_dual = rearrangement.transport(gain / scale, low, high)
        choice[group.members] = picked
        once[group.members] = unit_dual * scale
        marginal.append(value_dual * scale / w)
        first += k * group.size
    return np.concatenate([once, *marginal])


# ---- local search ----


def _first_choice(columns: Columns, group: Group) -> Ints:
    """Return some imputation of a group within its bounds."""
    if group.equal:
        wanted = group.target / group.weights[0]
        counts = counts_within(wanted, group.size, smallest_deviation(wanted, group.size))
        return np.repeat(np.arange(len(counts)), counts)
    needed, choice = group.smallest_slack()
    if needed > columns.slack * (1 + 1e-9) + 1e-12:
        raise InfeasibleError(
            f"No imputation keeps the marginals within a slack of {columns.slack:g}: the smallest feasible slack is "
            f"{needed:.10g}."
        )
    return choice


def local_search(
    columns: Columns, options: SolveOptions, guides: tuple[Floats, ...] = (), starts: int = STARTS
) -> Ints:
    """Return a good imputation by `alternating`: each unit's value number."""
    blocks, first = [], []
    shift = columns.objective.shift
    for group in columns.groups:
        low, high = group.bounds(columns.slack)
        blocks.append(alternating.Block(group.members, group.values - shift, group.weights, low, high))
        first.append(_first_choice(columns, group))
    choices, _ = alternating.search(
        columns.objective.matrix,
        columns.objective.linear,
        blocks,
        first,
        starts=starts,
        seed=options.seed,
        time_limit=options.time_limit,
        guides=guides,
    )
    choice = np.empty(columns.n, dtype=np.int64)
    for group, own in zip(columns.groups, choices, strict=True):
        choice[group.members] = own
    return choice


def alternate(problem: CopulaProblem, formulation: str, program: Program, options: SolveOptions) -> Solution:
    """Search locally from many starts, and bound the answer by the formulation's continuous relaxation.

    The solution is claimed to be feasible, not optimal. The multipliers of the relaxation let verification prove the
    bound, and promote the answer where the two meet.
    """
    began = perf_counter()
    columns = problem.columns
    relaxed = None if formulation == "quadratic" else _relaxation(program, options)
    guides: tuple[Floats, ...] = ()
    if relaxed is not None and relaxed.x is not None:
        mean = _by_unit(columns, columns.value * relaxed.x[: columns.count])
        guides = (columns.objective.matrix @ mean + columns.objective.linear, mean)
    left = None if options.time_limit is None else max(options.time_limit - (perf_counter() - began), 0.1)
    choice = problem.local_search(options.replace(time_limit=left), guides)
    x = problem.point(formulation, choice)
    proof, nodes = None, None
    if formulation == "convex" and relaxed is not None:
        left = BRANCHING_SECONDS if options.time_limit is None else options.time_limit - (perf_counter() - began)
        x, proof, nodes = _branch(problem, program, x, options, left)
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
    problem: CopulaProblem, program: Program, x: Floats, options: SolveOptions, seconds: float
) -> tuple[Floats, BranchProof | None, int]:
    """Close the gap by branching on the units' values, over relaxations of `convex`."""
    columns = problem.columns
    spread = problem.projection.diagonal

    def relaxed(box: Program) -> Solution | None:
        try:
            return _solve_continuous(box, choose_backend(box, "auto")[0], SolveOptions(threads=options.threads))
        except (SolverFailure, SolverNotAvailable):
            return None

    def improve(point: Floats) -> Floats:
        mean = _by_unit(columns, columns.value * point[: columns.count])
        guides = (columns.objective.matrix @ mean + columns.objective.linear, mean)
        return problem.point("convex", local_search(columns, options, guides, starts=3))

    value = abs(program.objective(x))
    return branch_and_bound(
        program,
        relaxed,
        OneHot(columns.unit, columns.value, spread),
        x,
        improve,
        gap=0.5 * max(options.gap, 1e-9) * value,
        time_limit=seconds,
    )


def _relaxation(program: Program, options: SolveOptions) -> Solution | None:
    """Solve the continuous relaxation; its answer is a hint, and its multipliers are checked where they are used."""
    integer = np.zeros(program.n_columns, dtype=bool)
    relaxed = program.replace(integer=integer, convex=True if program.Q is not None else None)
    try:
        backend, _ = choose_backend(relaxed, "auto")
        return _solve_continuous(relaxed, backend, options)
    except (SolverFailure, SolverNotAvailable):
        return None


def _solve_continuous(program: Program, backend: Backend, options: SolveOptions) -> Solution:
    if program.maximize:  # HiGHS without crossover returns multipliers of a maximisation with the wrong sign
        negated = program.replace(
            c=-program.c, Q=None if program.Q is None else -program.Q, constant=-program.constant, maximize=False
        )
        answer = _solve_continuous(negated, backend, options)
        return answer.replace(
            objective=None if answer.objective is None else -answer.objective,
            row_dual=None if answer.row_dual is None else -answer.row_dual,
        )
    asked = options.replace(start=None, solver_options={})
    if backend.name == "highs" and program.Q is None and program.n_columns > LARGE_RELAXATION:
        asked = asked.replace(
            solver_options={"solver": "hipo", "run_crossover": "off", "ipm_optimality_tolerance": 1e-9}
        )
    return backend.solve(program, asked, backend.methods(program, asked)[0])


def _by_unit(columns: Columns, values: Floats) -> Floats:
    """Add up values of columns by unit."""
    return np.asarray(np.bincount(columns.unit, weights=values, minlength=columns.n), dtype=float)


def relax(columns: Columns, diagonal: Floats) -> tuple[float, Floats, Floats] | None:
    """Return the value of the relaxation of `convex` for a diagonal, and the means of v and v^2 by unit."""
    projection = project(columns, diagonal)
    rank = projection.rows.shape[0]
    nx = columns.count
    spread = diagonal - np.diag(columns.objective.matrix)
    lower, upper = columns.bounds
    square = columns.value**2
    scale = max(projection.scale, 1e-300)
    program = Program(
        c=np.append(-(columns.linear + spread[columns.unit] * square) / scale, np.zeros(rank)),
        A=sp.block_array(
            [[columns.once, None], [columns.marginals, None], [projection.rows, -sp.eye(rank)]], format="csr"
        ),
        row_lower=np.concatenate([np.ones(columns.n), lower, np.zeros(rank)]),
        row_upper=np.concatenate([np.ones(columns.n), upper, np.zeros(rank)]),
        lower=np.append(np.zeros(nx), projection.lower - 1.0),
        upper=np.append(np.ones(nx), projection.upper + 1.0),
        integer=np.zeros(nx + rank, dtype=bool),
        Q=sp.diags_array(np.append(np.zeros(nx), np.full(rank, 2.0)), format="csc"),
        convex=True,
    )
    program.Q.eliminate_zeros()
    try:
        backend, _ = choose_backend(program, "auto")
        solution = _solve_continuous(program, backend, SolveOptions())
    except (SolverFailure, SolverNotAvailable):
        return None
    if solution.x is None or not np.isfinite(solution.x).all():
        return None
    x = np.clip(solution.x[:nx], 0.0, 1.0)
    x /= _by_unit(columns, x)[columns.unit]
    mean, second = _by_unit(columns, columns.value * x), _by_unit(columns, square * x)
    objective = columns.objective
    value = float(mean @ objective.matrix @ mean + 2 * objective.linear @ mean + diagonal @ (second - mean**2))
    return value + objective.constant, mean, second


__all__ = ["alternate", "local_search", "obstacle", "rearrange", "relax"]
