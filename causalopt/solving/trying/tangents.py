"""Convex MIQPs on solvers that take only MILPs: outer approximation by tangents, with a proven gap.

For a program whose quadratic part is separable (a diagonal Q: one curved column at a time),

    min  c'x + sum_j q_j x_j^2 / 2,      q_j > 0,

each square is replaced by a column t_j >= p x_j - p^2/2 for a growing set of points p (Kelley 1960; Duran and Grossmann
1986). Every MILP is a relaxation, whose bound holds for the program, and whose solution is feasible for it; tangents at
that solution are added until both meet.
"""

from __future__ import annotations

import dataclasses
import warnings
from time import perf_counter

import numpy as np
import scipy.sparse as sp

from causalopt.errors import CausaloptWarning, SolverFailure, warn
from causalopt.modeling.program import Floats, Ints, ProblemClass, Program
from causalopt.solving.attempts import limit_notes, refusal, solve_program, unused_options, verified_result
from causalopt.solving.backend import Backend
from causalopt.solving.isolate import IsolatedBackend
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Ledger, Result
from causalopt.solving.trying.ask import ask
from causalopt.verifying.claims import Limit, Reason, Solution, Termination, Tolerances
from causalopt.verifying.feasibility import scaled_violations
from causalopt.verifying.verify import objective_scale, verify

#: MILPs solved before the loop gives up.
MOST_ROUNDS = 200

#: Points nearer to zero than this are zero: solvers drop coefficients so small, and a tangent anywhere is valid.
SMALLEST_POINT = 1e-7

#: Largest cost of the MILPs: solvers prune within absolute tolerances, which are to be small beside the objective.
LARGEST_COST = 4096.0

#: Points around the relaxation's solution at which tangents start, relative to the range of the column.
FIRST_POINTS = (0.0, -1e-3, 1e-3, -1e-2, 1e-2, -1e-1, 1e-1)


def curved_columns(program: Program) -> Ints | None:
    """Return the columns that Q holds, or None unless Q is diagonal and convex in the program's sense."""
    sign = -1.0 if program.maximize else 1.0
    if program.curvature is None or (sign * program.curvature < 0).any():
        return None
    return np.flatnonzero(program.curvature)


def can_approximate(program: Program, backend: Backend) -> bool:
    """Return whether a backend can solve this convex MIQP by tangents."""
    return (
        program.problem_class is ProblemClass.CONVEX_MIQP
        and ProblemClass.MILP in backend.classes
        and curved_columns(program) is not None
    )


def needs_tangents(program: Program, backend: Backend) -> bool:
    """Return whether a backend can solve this program by tangents, and not otherwise."""
    return program.problem_class not in backend.classes and can_approximate(program, backend)


@dataclasses.dataclass(eq=False)
class _Master:
    """The MILP over the program's columns and one column  t_j  for each square, with its tangents so far."""

    program: Program
    curved: Ints

    def __post_init__(self) -> None:
        self.points: list[tuple[Ints, Floats]] = []
        costs = np.append(self.program.c, self.program.Q.diagonal())
        self.factor = 2.0 ** np.round(np.log2(LARGEST_COST / np.abs(costs).max()))

    def add(self, which: Ints, points: Floats) -> None:
        """Add tangents at points of the curved columns with these numbers."""
        self.points.append((which, np.where(np.abs(points) < SMALLEST_POINT, 0.0, points)))

    def milp(self) -> Program:
        """Return the MILP, with its objective multiplied by `factor`."""
        program, curved = self.program, self.curved
        n, k = program.n_columns, len(curved)
        which = np.concatenate([w for w, _ in self.points])
        points = np.concatenate([p for _, p in self.points])
        rows = np.arange(len(points))
        tangents = sp.csr_matrix(
            (np.concatenate([-points, np.ones(len(points))]), (np.tile(rows, 2), np.append(curved[which], n + which))),
            shape=(len(points), n + k),
        )
        tangents.eliminate_zeros()
        curvature = np.asarray(program.Q.diagonal()[curved])
        return Program(
            c=self.factor * np.append(program.c, curvature),
            A=sp.vstack([sp.hstack([program.A, sp.csr_matrix((program.n_rows, k))]), tangents], format="csr"),
            row_lower=np.append(program.row_lower, -0.5 * points**2),
            row_upper=np.append(program.row_upper, np.full(len(points), np.inf)),
            lower=np.append(program.lower, np.zeros(k)),
            upper=np.append(program.upper, np.full(k, np.inf)),
            integer=np.append(program.integer, np.zeros(k, dtype=bool)),
            constant=self.factor * program.constant,
            maximize=program.maximize,
        )


class _Search:
    """The loop over MILPs: the best point and bound so far, and how it ended."""

    def __init__(
        self, program: Program, options: SolveOptions, backend: Backend, tolerances: Tolerances | None, curved: Ints
    ) -> None:
        self.began = perf_counter()
        self.program, self.options, self.backend, self.tolerances = program, options, backend, tolerances
        self.curved, self.master = curved, _Master(program, curved)
        self.relaxed = _relaxation(program, backend, options)
        _first_tangents(self.master, None if self.relaxed is None else self.relaxed.x)
        self.direction = -1.0 if program.maximize else 1.0
        start = options.start
        self.best: Floats | None = None if start is None or not _feasible(program, start) else start
        self.value = np.inf if self.best is None else self.direction * program.objective(self.best)
        self.bound, self.rounds, self.log = -np.inf, 0, ""
        self.seen: set[bytes] = set()
        self.reason, self.limit = Reason.FEASIBLE, Limit.NONE

    def run(self) -> Solution:
        """Solve MILPs until bound and best point meet, and return what is known."""
        for self.rounds in range(1, MOST_ROUNDS + 1):
            result = self._solved()
            if result is None:
                break
            if result.status.reason is Reason.INFEASIBLE:
                return Solution(result.status, method=f"tangents, round {self.rounds}", log=self.log)
            if self._is_over(result):
                break
        else:
            self.limit = Limit.ITERATIONS
        return self._solution()

    def _solved(self) -> Result | None:
        """Solve the MILP of this round; None where time is up, or Ctrl-C ends it with something to keep."""
        time_limit = self.options.time_limit
        left = None if time_limit is None else time_limit - (perf_counter() - self.began)
        if left is not None and left <= 0:
            self.limit = Limit.TIME
            return None
        start = None if self.best is None else np.append(self.best, 0.5 * self.best[self.curved] ** 2)
        asked = self.options.replace(gap=self.options.gap / 4, time_limit=left, start=start)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CausaloptWarning)  # the whole loop says what it did not reach
                result = solve_program(self.master.milp(), self.backend, asked, self.tolerances)
        except KeyboardInterrupt:
            if self.best is None:
                raise
            self.limit = Limit.INTERRUPT
            return None
        self.log += result.log
        if result.bound is not None:
            self.bound = max(self.bound, self.direction * result.bound / self.master.factor)
        return result

    def _is_over(self, result: Result) -> bool:
        """Take a MILP's answer, and return whether there is nothing to add to the next."""
        program, curved = self.program, self.curved
        if result.x is None:
            self.reason = Reason.FEASIBLE if self.best is not None else Reason.NO_SOLUTION
            self.limit = result.status.limit
            return True
        x = result.x[: program.n_columns]
        reached = self.direction * program.objective(x)
        if reached < self.value:
            self.best, self.value = x, reached
        assert self.best is not None
        scale, rounding = objective_scale(program, self.best, self.value)
        if self.value - self.bound <= self.options.gap * scale + rounding:
            self.reason = Reason.OPTIMAL
            return True
        if result.status.limit is not Limit.NONE:
            self.limit = result.status.limit
            return True
        missing = np.flatnonzero(0.5 * x[curved] ** 2 - result.x[program.n_columns :] > 1e-12)
        key = x[curved].tobytes()
        if len(missing) == 0 or key in self.seen:
            return True  # the MILP's own tolerance is what is left
        self.seen.add(key)
        self.master.add(missing, x[curved][missing])
        return False

    def _solution(self) -> Solution:
        if self.best is None and self.reason is Reason.FEASIBLE:
            self.reason = Reason.NO_SOLUTION
        if self.reason is Reason.NO_SOLUTION and self.limit is Limit.NONE:
            raise SolverFailure(f"{self.backend.name} ended a MILP of the outer approximation without a solution.")
        return Solution(
            Termination(self.reason, self.limit, f"outer approximation, {self.rounds} MILPs"),
            x=self.best,
            objective=None if self.best is None else self.direction * self.value,
            bound=self.direction * self.bound if np.isfinite(self.bound) else None,
            row_dual=None if self.relaxed is None else self.relaxed.row_dual,
            method=f"tangents, {self.rounds} MILPs",
            seconds={"solve": perf_counter() - self.began},
            log=self.log,
        )


def solve_by_tangents(
    program: Program, options: SolveOptions, *, backend: Backend, tolerances: Tolerances | None = None
) -> Solution:
    """Solve a convex MIQP with a diagonal Q by MILPs on a backend, each of them verified.

    Returns
    -------
    Solution
        Its bound is that of the best MILP; its multipliers are those of the continuous relaxation, which certify the
        bound where the relaxation is tight.
    """
    curved = curved_columns(program)
    assert curved is not None
    return _Search(program, options, backend, tolerances, curved).run()


def solve_program_by_tangents(
    program: Program,
    backend: Backend,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
    reason: str,
) -> Result:
    """Solve a convex MIQP by tangents and verify the answer, as `solve_program` does without them."""
    options = options.replace(start=options.check_start(program.n_columns))
    with ledger.phase("solve"):
        solution = solve_by_tangents(program, options, backend=backend, tolerances=tolerances)
    with ledger.phase("verify"):
        verified, check = verify(program, solution, gap=options.gap, tolerances=tolerances)
    if not check.passed:
        raise refusal(f"{backend.name} {backend.version()} by tangents", solution, check)
    for_the_loop = options.replace(start=None, time_limit=None)  # which uses these two itself, on every backend
    notes = unused_options(backend, for_the_loop) + limit_notes(backend, verified, check)
    for note in notes:
        warn(note)
    if program.problem_class not in backend.classes:
        reason += f"; it takes no {program.problem_class}, so that tangents stand in for the squares"
    return verified_result(verified, check, ledger, backend, reason, notes)


def _relaxation(program: Program, backend: Backend, options: SolveOptions) -> Solution | None:
    """Solve the continuous relaxation where the backend can: its answer is a hint, and checked where it is used."""
    relaxed = program.replace(integer=np.zeros(program.n_columns, dtype=bool), convex=True)
    if relaxed.problem_class not in backend.classes:
        return None
    runner = IsolatedBackend(backend, options.memory_limit) if options.isolate else backend
    try:
        solution = ask(runner, relaxed, options.replace(start=None), backend.methods(relaxed, options)[0])
    except SolverFailure:
        return None
    if solution.x is None or not np.isfinite(solution.x).all():
        return None
    return solution


def _first_tangents(master: _Master, x: Floats | None) -> None:
    program, curved = master.program, master.curved
    centre = np.zeros(len(curved)) if x is None else x[curved]
    low, high = program.lower[curved], program.upper[curved]
    width = np.where(np.isfinite(high - low), high - low, 1.0 + np.abs(centre))
    everyone = np.arange(len(curved))
    for share in FIRST_POINTS:
        master.add(everyone, centre + share * width)


def _feasible(program: Program, x: Floats) -> bool:
    whole = x[program.integer]
    return bool(scaled_violations(program, x)[2] <= 1e-9 and (np.abs(whole - np.round(whole)) <= 1e-9).all())
