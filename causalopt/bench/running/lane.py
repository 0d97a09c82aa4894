"""What runs inside a worker: warm-up, then one solve through the whole lane, and how it ended in one word.

A worker imports this module, NumPy, SciPy's sparse matrices and its solver, nothing else.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

import numpy as np

from causalopt.bench.store.status import Status
from causalopt.errors import (
    CausaloptError,
    CausaloptWarning,
    LicenseError,
    UnsupportedProblem,
    VerificationError,
)
from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.solving.attempts import solve_program, verified_result
from causalopt.solving.backend import Ability, Backend, License
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Ledger, Result
from causalopt.solving.trying.tangents import needs_tangents, solve_program_by_tangents
from causalopt.verifying.claims import Limit, Reason, Solution, Termination
from causalopt.verifying.verify import verify


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """How one run ended, as its row in the store says, and the solution for whoever wants to look at it again.

    `answers` are the study's own, where only the process of the run could compute them.
    """

    status: Status
    reason: str = ""
    stopped_by: str = ""
    method: str = ""
    detail: str = ""
    x: Floats | None = None
    row_dual: Floats | None = None
    objective: float | None = None
    bound: float | None = None
    gap: float | None = None
    claimed_objective: float | None = None
    claimed_bound: float | None = None
    proof: str = ""
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    answers: dict[str, float] | None = None
    worker: float = 0.0
    base_memory: int | None = None
    peak_memory: int | None = None

    def replace(self, **changes: Any) -> Outcome:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True, eq=False)
class LaneAnswer(Solution):
    """A solution that carries its outcome through `causalopt.solving.isolate`."""

    outcome: Outcome | None = None


class Lane(Backend):
    """The lane from program to verified result, in the place of a backend, so that a child process can run it.

    Parameters
    ----------
    inner : Backend
    time_limit : float
        Seconds for the solver itself.
    tangents : bool
        Whether solvers of MILPs may solve the program by tangents.
    peer : bool
        Call the backend directly: neither the lane's reductions nor its fallbacks; only the answer is verified.
    """

    name: ClassVar[str] = "lane"
    package: ClassVar[str] = "causalopt"
    distribution: ClassVar[str] = "pycausalopt"
    classes: ClassVar[frozenset[ProblemClass]] = frozenset(ProblemClass)
    abilities: ClassVar[frozenset[Ability]] = frozenset()

    def __init__(self, inner: Backend, time_limit: float, *, tangents: bool = False, peer: bool = False) -> None:
        self.inner, self.time_limit, self.tangents, self.peer = inner, time_limit, tangents, peer

    def license(self) -> License:
        """Return the licence of the solver inside."""
        return self.inner.license()

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Warm up, solve, verify."""
        with suppress(Exception), warnings.catch_warnings():  # what is wrong will show again, in the run itself
            warnings.simplefilter("ignore", CausaloptWarning)
            self._result(smallest_program(program.problem_class), SolveOptions(threads=options.threads))
        options = options.replace(time_limit=self.time_limit, isolate=False, memory_limit=None, log=False, on_log=None)
        outcome = measured(lambda: self._result(program, options))
        return LaneAnswer(Termination(Reason.NO_SOLUTION), outcome=outcome)

    def _result(self, program: Program, options: SolveOptions) -> Result:
        if self.peer:
            return _peer_result(program, self.inner, options)
        if self.tangents and needs_tangents(program, self.inner):
            return solve_program_by_tangents(program, self.inner, options, None, Ledger(), "")
        return solve_program(program, self.inner, options)


def smallest_program(problem_class: ProblemClass) -> Program:
    """Return a program of two variables, of a class no harder than the one given, for the warm-up."""
    quadratic = np.eye(2) if "QP" in problem_class else None
    integer = problem_class in (ProblemClass.MILP, ProblemClass.CONVEX_MIQP, ProblemClass.NONCONVEX_MIQP)
    return Program.from_arrays([-1.0, -2.0], [[1.0, 1.0]], -np.inf, 1.5, 0.0, 1.0, integer=integer, Q=quadratic)


def _peer_result(program: Program, backend: Backend, options: SolveOptions) -> Result:
    backend.check_can_solve(program)
    ledger = Ledger()
    solution = backend.solve(program, options)
    for phase, value in solution.seconds.items():
        ledger.add(phase, value)
    verified, check = verify(program, solution, gap=options.gap)  # not a part of the peer's work: not in its ledger
    if not check.passed:
        raise VerificationError(f"{backend.name}: {check}", str(solution.termination), check)
    return verified_result(verified, check, ledger, backend, "")


def measured(run: Callable[[], Result]) -> Outcome:
    """Run something in this process and say how it ended, what it took and how much memory it held."""
    reset_peak_memory()
    base = memory("VmRSS")
    start = perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CausaloptWarning)
            outcome = describe(run())
    except VerificationError as error:
        outcome = Outcome(status=Status.WRONG, detail=str(error), **_claims(error))
    except LicenseError as error:
        outcome = Outcome(status=Status.LICENSE, detail=str(error))
    except UnsupportedProblem as error:
        outcome = Outcome(status=Status.UNSUPPORTED, detail=str(error))
    except MemoryError:
        outcome = Outcome(status=Status.OUT_OF_MEMORY, detail="the system refused memory")
    except CausaloptError as error:
        outcome = Outcome(status=Status.ERROR, detail=str(error))
    except Exception as error:  # a solver package may raise anything, and one run must not end the others
        outcome = Outcome(status=Status.ERROR, detail=f"{type(error).__name__}: {error}")
    worker = perf_counter() - start
    return outcome.replace(worker=worker, base_memory=base, peak_memory=memory("VmHWM"))


def _claims(error: VerificationError) -> dict[str, Any]:
    check = error.verification
    if check is None:
        return {}
    return {"claimed_objective": check.claimed_objective, "claimed_bound": check.claimed_bound}


def describe(result: Result) -> Outcome:
    """Return the outcome of a result of the lane."""
    check = result.verification
    timing = result.timing
    return Outcome(
        status=status_of(result.status),
        reason=str(result.status.reason),
        stopped_by=str(result.status.limit),
        method=result.method,
        detail="; ".join(result.warnings) or result.status.raw,
        x=result.x,
        row_dual=result.row_dual,
        objective=result.objective,
        bound=result.bound,
        gap=result.gap,
        claimed_objective=None if check is None else check.claimed_objective,
        claimed_bound=None if check is None else check.claimed_bound,
        proof="" if check is None else str(check.proof),
        seconds={phase: getattr(timing, phase) for phase in timing.phases()},
    )


def status_of(termination: Termination) -> Status:
    """Return the word for how a verified solve ended."""
    reason, limit = termination.reason, termination.limit
    if reason in (Reason.OPTIMAL, Reason.INFEASIBLE, Reason.UNBOUNDED):
        return Status.OK
    if limit is Limit.MEMORY:
        return Status.OUT_OF_MEMORY
    if reason is Reason.FEASIBLE:
        return Status.UNPROVEN if limit is Limit.NONE else Status.LIMIT_WITH_INCUMBENT
    return Status.ERROR if limit is Limit.NONE else Status.LIMIT_WITHOUT_INCUMBENT


def memory(field: str) -> int | None:
    """Return a figure of /proc/self/status in bytes: VmRSS is what this process holds, VmHWM the most it held."""
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def reset_peak_memory() -> None:
    """Let the peak start from now, where the system can: a forked process inherits its parent's."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
