"""The searches of the robust Z test's formulations, on any backend: one side at a time, each program verified.

Differences carry the side's sign (1 for the largest Z, -1 for the least), so that a side's extreme is its largest Z.
Either S > 0 is possible ("large" |Z|), or every S < 0 ("small" |Z|).
"""

from __future__ import annotations

import abc
import dataclasses
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np

from causalopt import modeling
from causalopt.errors import SolverFailure
from causalopt.messages import argument
from causalopt.modeling.program import Floats, Ints, Program
from causalopt.problems.robust.data import sign_of, too_many_pairs
from causalopt.problems.robust.z.data import PairStudy
from causalopt.problems.robust.z.models import Matchings, Window
from causalopt.problems.robust.z.paths.hull import (
    EXACT,
    Line,
    Point,
    Relaxation,
    hull_minimum,
    largest,
    relative_gap,
    z_of,
    z_of_ratio,
)
from causalopt.problems.robust.z.paths.network import statistic
from causalopt.problems.robust.z.paths.parametric import Extreme
from causalopt.solving.lane import Lane
from causalopt.solving.result import Result
from causalopt.verifying.claims import Limit, Proof, Reason

#: [ROBZ] section 4: the bisection's range of gamma.
GAMMAS = (-4.0, 4.0)

#: Width of the last interval of the bisection.
GAMMA_WIDTH = 1e-5

#: Values of b in the first grid of `ilp-grid`, and cells in all for one side.
FIRST_GRID = 8
MOST_GRID = 32

#: Dinkelbach steps before a search gives up; three are common.
MOST_STEPS = 50

#: Values of S and Z nearer to zero than this, per pair and relative to the largest difference, are zero.
ZERO = 1e-12


class Search(abc.ABC):
    """What the searches of all formulations share: one side's programs, solved in the lane."""

    def __init__(self, study: PairStudy, lane: Lane, side: str) -> None:
        self.study, self.lane = study, lane
        self.matchings = Matchings(study.network, study.n, sign_of(side))
        self.delta: Floats = self.matchings.delta
        self.square: Floats = self.delta * self.delta
        self.n = study.n
        self.before = lane.programs
        self.nodes = 0
        self.stopped = ""
        self.lp: Program | None = None
        self.best: Ints | None = None

    def run(self) -> Extreme:
        """Search the side; where time or user stop a program without a solution, return the best matching so far.

        If no program of the side has had a solution yet, that is a part of the largest matching of the graph. An
        interrupt before any program of either side had one has nothing to keep.
        """
        try:
            return self.searched()
        except SolverFailure:
            if perf_counter() < self.lane.deadline:
                raise
            self.stopped = str(Limit.TIME)
        except KeyboardInterrupt:
            if self.lane.last is None:
                raise
            self.lane.interrupted = True
            self.stopped = str(Limit.INTERRUPT)
        if self.best is None:
            i, j = self.study.graph.largest_units
            self.best = self.study.network.flow_of(i[: self.n], j[: self.n])
        return self.found(self.best, np.inf, Proof.NONE)

    @abc.abstractmethod
    def searched(self) -> Extreme:
        """Search the side to its end."""

    def note(self, flow: Ints) -> None:
        """Remember a matching if it is the best so far."""
        if self.best is None or statistic(self.delta, flow)[0] > statistic(self.delta, self.best)[0]:
            self.best = flow

    def found(self, flow: Ints, bound: float, proof: Proof, note: str = "") -> Extreme:
        """Return what was found, with the effort so far."""
        z = statistic(self.delta, flow)[0]
        if bound == np.inf and z < np.inf:
            proof = Proof.NONE
        programs = self.lane.programs - self.before
        return Extreme(flow, z, bound, proof, programs, self.nodes, self.stopped, note)

    def compiled(self, formulation: str, matchings: Matchings | None = None, **parameters: Any) -> Program:
        """Build and compile one program of a formulation."""
        compile_model = modeling.compile_model  # first, so that loading Pyomo is not charged to a phase
        with self.lane.ledger.phase("build"):
            model = (matchings or self.matchings).model(formulation, parameters)
        with self.lane.ledger.phase("compile"):
            return compile_model(model)

    def solved(
        self, program: Program, *, tangents: bool = False, always: bool = False, gap: float | None = None
    ) -> Result | None:
        """Solve a program; None where it is infeasible."""
        result = self.lane.solve(program, tangents=tangents, always=always, gap=gap)
        if result.status.reason is Reason.INFEASIBLE:
            return None
        if result.x is None:
            raise SolverFailure(
                f"{result.solver} ended without a solution ({result.status}). "
                f"Allow more time ({argument('time_limit', assigned=True)}), or use another solver or formulation."
            )
        if result.status.limit is not Limit.NONE and not result.is_optimal:
            self.stopped = str(result.status.limit)
        return result

    def flow(self, result: Result) -> Ints:
        """Return the whole numbers of pairs in a solution."""
        flow = self.whole(result)
        if flow is None:
            raise SolverFailure(f"{result.solver} returned fractions of pairs as whole numbers; use another solver.")
        return flow

    def whole(self, result: Result) -> Ints | None:
        """Return the numbers of pairs in a solution, None where they are not whole."""
        assert result.x is not None
        x = result.x[: len(self.delta)]
        rounded: Ints = np.round(x).astype(np.int64)
        if np.abs(x - rounded).max(initial=0.0) > 1e-4:
            return None
        self.note(rounded)
        return rounded

    def point(self, flow: Ints, sign: float = 1.0) -> Point:
        """Return a matching with its S, times a sign, and V."""
        return Point(sign * float(self.delta @ flow), float(self.square @ flow), flow)

    def ask(self, alpha: float, beta: float, sign: float = 1.0) -> Line | None:
        """Solve the LP  max alpha S - beta V  on the lane's backend; its bound is certified by verification."""
        if self.lp is None:
            self.lp = self.compiled("fractional", weights=(1.0, 0.0))
        unit = max(abs(alpha), abs(beta))
        alpha, beta = alpha / unit, beta / unit
        weights = sign * alpha * self.delta - beta * self.square
        result = self.solved(self.lp.replace(c=weights))
        if result is None:
            return None
        bound = result.bound if result.bound is not None else np.inf
        flow = self.whole(result)
        if flow is None:  # a point between vertices: the solver is asked for whole numbers, the LP's bound stays
            again = self.solved(self.lp.replace(c=weights, integer=np.ones(len(weights), dtype=bool)))
            flow = self.flow(result if again is None else again)
        return Line(alpha, beta, bound, self.point(flow, sign))

    def mirrored(self, alpha: float, beta: float) -> Line | None:
        """Ask with the sign of S turned, so that it is positive where |Z| is to be small."""
        return self.ask(alpha, beta, -1.0)

    def largest_sum(self) -> Line:
        """Return the matching of the largest S, whose sign says which |Z| the side is about."""
        line = self.ask(1.0, 0.0)
        if line is None:
            raise too_many_pairs(self.n, self.study.graph)
        return line


class Fractional(Search):
    """The hull of (S, V) by LPs; where |Z| is to be small, Dinkelbach's MIQPs close what the hull leaves open."""

    def searched(self) -> Extreme:
        """Search the hull, and what it leaves open."""
        found = largest(
            self.ask, lambda point: statistic(self.delta, point.flow)[0], self.n, deadline=self.lane.deadline
        )
        if found is None:
            raise too_many_pairs(self.n, self.study.graph)
        best, bound, ended = found
        if not ended:
            self.stopped = "time"
        if best.s >= -ZERO * self.n:
            return self.found(best.flow, bound, Proof.CERTIFIED)
        return self.small()

    def small(self) -> Extreme:
        """Minimise R = S^2 / V where every S < 0, by Dinkelbach's iteration from the hull's best vertex."""
        relaxation = hull_minimum(self.mirrored)
        assert relaxation is not None
        best = min(relaxation.points, key=lambda point: point.ratio)
        floor = relaxation.ratio
        for _ in range(MOST_STEPS):
            z, limit = -z_of_ratio(best.ratio, self.n), -z_of_ratio(floor, self.n)
            if limit <= z or relative_gap(z, limit) <= EXACT:
                return self.found(best.flow, max(z, limit), Proof.CERTIFIED)
            try:
                point, bound = self.improved(best, relaxation)
            except (SolverFailure, KeyboardInterrupt) as stop:
                interrupted = isinstance(stop, KeyboardInterrupt)
                if not interrupted and perf_counter() < self.lane.deadline:
                    raise
                self.lane.interrupted |= interrupted
                self.stopped = str(Limit.INTERRUPT if interrupted else Limit.TIME)  # the hull's bound still holds
                return self.found(best.flow, limit, Proof.CERTIFIED)
            if point.ratio >= best.ratio * (1 - 1e-12) or self.stopped:
                best = min(best, point, key=lambda p: p.ratio)
                return self.found(best.flow, -z_of_ratio(max(floor, bound), self.n), Proof.CLAIMED)
            best = point
        raise SolverFailure(f"{self.lane.solver} found no end in {MOST_STEPS} Dinkelbach steps; use another solver.")

    def improved(self, best: Point, relaxation: Relaxation) -> tuple[Point, float]:
        """Solve  min S^2 - r V  for the r of the best matching so far; return what it found, and a bound on R.

        Where R < r, S^2 < r V; and with (s, v) the point of the hull where R is least, 2 (s/v) S - (s/v)^2 V is at
        least that R. Together they confine S to a short interval, in which few tangents are nearly exact, and which
        is stretched so that the solver's tolerances are small in it.
        """
        ratio, floor = best.ratio, relaxation.ratio
        (a, b), t = relaxation.ends, relaxation.share
        slope = ((1 - t) * a.s + t * b.s) / ((1 - t) * a.v + t * b.v)
        # S^2 <= r V <= r (2 slope S - floor) / slope^2
        middle = ratio / slope
        half = float(np.sqrt(max(middle * middle - ratio * floor / slope**2, 0.0)))
        half = max(half * (1 + 1e-6), 1e-4 * middle)
        least_s = relaxation.points[0].s  # the hull's search starts at the least S
        low, high = max(middle - half, least_s * (1 - 1e-9)), middle + half
        least_v = low * low / ratio  # V is no less where R is below r
        unit = (ratio - floor) * least_v
        mirrored = dataclasses.replace(self.matchings, sign=-self.matchings.sign)
        window = Window(low, high, middle, half, unit)
        program = self.compiled("fractional", mirrored, ratio=ratio, window=window)
        result = self.solved(program, tangents=True, always=True)
        if result is None:  # no S in the interval: R is never below r
            return best, ratio
        self.nodes += 1
        point = self.point(self.flow(result), -1.0)
        below = -np.inf if result.bound is None else min(result.bound, 0.0) * unit
        return point, ratio + below / least_v


class Surrogate(Search):
    """[ROBZ] tables 1, 2 and 5: the optimum of S^2 - V or V - S^2, which is not that of Z."""

    def searched(self) -> Extreme:
        """Solve the case that the sign of the largest S calls for."""
        top = self.largest_sum().point.s
        case = 1 if top > ZERO * self.n else 3 if top >= -ZERO * self.n else 2
        program = self.compiled("qip", case=case)
        result = self.solved(program, tangents=case != 1)
        if result is None:
            raise SolverFailure(f"{self.lane.solver} finds no matching in case {case}, though there is one.")
        what = "optimum" if result.is_optimal else "incumbent"
        return self.found(self.flow(result), np.inf, Proof.NONE, f"{what} of the surrogate, case {case}")


class Bisection(Search):
    """[ROBZ] (14) to (20): bisection on gamma, a program each; matchings found on the way lift the lower end."""

    def searched(self) -> Extreme:
        """Halve the interval of gamma until it is short."""
        line = self.largest_sum()
        best = line.point.flow
        if abs(line.point.s) <= ZERO * self.n:
            return self.found(best, 0.0, Proof.CERTIFIED)
        low, high = statistic(self.delta, best)[0], GAMMAS[1]
        note = ""
        gamma = high
        if low < high:
            flow = self.possible(gamma)
            if flow is not None:
                best, low = self.better(best, flow)
        while low < high - GAMMA_WIDTH and not self.stopped:
            gamma = 0.5 * (max(low, GAMMAS[0]) + high)
            if low < GAMMAS[0]:
                gamma = GAMMAS[0]
            flow = self.possible(gamma)
            if flow is None:
                if gamma == GAMMAS[0]:
                    note, high = f"every Z is below {GAMMAS[0]:g}", gamma
                    break
                high = gamma
            else:
                best, low = self.better(best, flow)
        if self.stopped:
            return self.found(best, np.inf, Proof.NONE)
        if low >= GAMMAS[1]:
            return self.found(best, np.inf, Proof.NONE, f"some Z is {GAMMAS[1]:g} or more; the search goes no further")
        return self.found(best, high, Proof.CLAIMED, note)

    def better(self, best: Ints, flow: Ints) -> tuple[Ints, float]:
        """Return the flow of larger Z, and its Z."""
        flow = max(best, flow, key=lambda f: statistic(self.delta, f)[0])
        return flow, statistic(self.delta, flow)[0]

    def possible(self, gamma: float) -> Ints | None:
        """Return a matching with Z >= gamma, None where the program's bound says that there is none."""
        if gamma == 0:
            return None  # the largest S is negative, else the search had ended or begun above zero
        program = self.compiled("feasibility", gamma=gamma)
        result = self.solved(program, tangents=gamma < 0)
        if result is None:
            return None
        flow = self.flow(result)
        return flow if statistic(self.delta, flow)[0] >= gamma - 1e-12 else None


class Grid(Search):
    """[RT]: the extreme S under a limit on V, over a grid that is refined where a larger Z is still possible."""

    def searched(self) -> Extreme:
        """Bound S over a grid of limits on V, and refine the cell where the largest Z is still possible."""
        top = self.largest_sum().point
        if abs(top.s) <= ZERO * self.n:
            return self.found(top.flow, 0.0, Proof.CERTIFIED)
        self.large = top.s > 0
        least, most = self.ask(0.0, 1.0), self.ask(0.0, -1.0)
        assert least is not None and most is not None
        low = least.point.v
        high = top.v if self.large else most.point.v
        ends = np.linspace(low, high, FIRST_GRID + 1) if high > low else np.array([low, low])
        cells = [(a, b, self.extreme_sum(b if self.large else a)) for a, b in pairwise(ends.tolist())]
        for _ in range(MOST_GRID - FIRST_GRID):
            z = self.best_z()
            worst = max(cells, key=self.reach)
            if self.reach(worst) <= z + max(self.lane.options.gap, 1e-9) * max(1.0, abs(z)) or self.stopped:
                break
            cells.remove(worst)
            a, b, s = worst
            middle = 0.5 * (a + b)
            inner = self.extreme_sum(middle)
            cells += [(a, middle, inner), (middle, b, s)] if self.large else [(a, middle, s), (middle, b, inner)]
        z = self.best_z()
        bound = max(z, max(map(self.reach, cells)))
        assert self.best is not None
        return self.found(self.best, bound, Proof.CLAIMED, f"grid of {len(cells)} cells")

    def extreme_sum(self, limit: float) -> float:
        """Return a bound on S where V is within the limit: V <= b where |Z| is to be large, V >= b where small."""
        program = self.compiled("ilp-grid", limit=limit, above=not self.large)
        result = self.solved(program, gap=min(self.lane.options.gap, 1e-9))
        if result is None:
            return -np.inf
        point = self.point(self.flow(result))
        return point.s if result.bound is None else max(result.bound, point.s)

    def best_z(self) -> float:
        """Return the largest Z found so far."""
        return -np.inf if self.best is None else statistic(self.delta, self.best)[0]

    def reach(self, cell: tuple[float, float, float]) -> float:
        """Return the largest Z possible with V in a cell."""
        a, b, s = cell
        if s == -np.inf:
            return -np.inf
        return z_of(s, a if s > 0 else b, self.n)
