"""What peers share: their class, a clock, and options and rows as several of them want them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from causalopt.modeling.program import Floats, Ints, ProblemClass, Program
from causalopt.solving.backend import Ability, Backend
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Reason, Solution, Termination

LINEAR = frozenset({ProblemClass.LP, ProblemClass.MILP})
CONVEX = LINEAR | {ProblemClass.CONVEX_QP}
OPTIMAL = Termination(Reason.OPTIMAL)
HIPO = {"solver": "hipo", "ipm_optimality_tolerance": 1e-10, "run_crossover": "off"}


class Peer(Backend):
    """What peers share: `needs` names the further package that has to be there."""

    abilities: ClassVar[frozenset[Ability]] = frozenset({Ability.TIME_LIMIT, Ability.THREADS, Ability.GAP})
    needs: ClassVar[str] = ""

    def is_installed(self) -> bool:
        """Return whether the packages are there, without importing them."""
        return all(importlib.util.find_spec(name) for name in (self.package, self.needs) if name)


class Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = perf_counter()

    def lap(self, phase: str) -> dict[str, float]:
        """Give the time since the last lap to a phase, and return all."""
        now = perf_counter()
        self.seconds[phase], self.last = now - self.last, now
        return self.seconds

    def lap_inside(self, solve: float) -> dict[str, float]:
        """Give the time since the last lap to the solver as far as it says so, and to loading, and return all."""
        self.lap("load")
        self.seconds |= {"load": max(self.seconds["load"] - solve, 0.0), "solve": solve}
        return self.seconds


def one_sided(program: Program) -> Iterator[tuple[Ints, str, Floats]]:
    """Yield rows with their sense and right-hand side: the equations, then the lower bounds, then the upper ones."""
    low, high = program.row_lower, program.row_upper
    equal = low == high
    for own, sense, right in (
        (equal, "==", low), (np.isfinite(low) & ~equal, ">=", low), (np.isfinite(high) & ~equal, "<=", high),
    ):  # fmt: skip
        rows = np.flatnonzero(own)
        if len(rows):
            yield rows, sense, right[rows]


def highs_options(options: SolveOptions) -> dict[str, Any]:
    """Return the options as HiGHS calls them."""
    limit = {} if options.time_limit is None else {"time_limit": float(options.time_limit)}
    return {"threads": options.threads or 0, "mip_rel_gap": float(options.gap), **limit}


def both_triangles(q: Any) -> Any:
    """Return a symmetric matrix, given its lower triangle."""
    return (q + sp.tril(q, -1).T).tocsc()


def unsolved(raw: str, seconds: dict[str, float], stopped: bool | None = None) -> Solution:
    """Return what a peer says that ended without an optimum; by default its words tell whether time was up."""
    stopped = "ime limit" in raw if stopped is None else stopped
    return Solution(Termination(Reason.NO_SOLUTION, Limit.TIME if stopped else Limit.NONE, raw), seconds=seconds)
