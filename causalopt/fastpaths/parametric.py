"""Exact extremes of the robust Z statistic by parametric assignment.

For the matchings of exactly n pairs, with S the sum of the differences and V the sum of their squares,
Z = S / sqrt(V - S^2 / n) grows with R = S^2 / V on either side of S = 0. Everything below is about one *side*: the
differences are multiplied by its sign, so that its extreme is the largest Z.

- Where some S > 0, R is convex in (S, V), so that its largest value is at a vertex of the planar hull of all (S, V),
  the optimum of  max alpha S - beta V  for some alpha, beta >= 0. Vertices are enumerated by the recursion of
  Eisner and Severance (1976, Journal of the ACM 23:619); a stretch of the hull is left out where the corner of the
  supporting lines at its ends has no larger Z than the best vertex.
- Where every S < 0, R is to be least: its minimum over the hull bounds it (one supporting line at the minimum, by
  convexity), and branch and bound on single arcs closes what is left between the hull and the best matching.

Every bound is recomputed from the multipliers of its linear program by weak duality (`causalopt.solving.certificate`).
"""

from __future__ import annotations

import dataclasses
import heapq
from itertools import count as counter
from time import perf_counter

import numpy as np

from causalopt.fastpaths.network_simplex_flow import Flow, FlowSession
from causalopt.fastpaths.parametric_cover import Bounds, Cover
from causalopt.fastpaths.parametric_hull import (
    EXACT,
    Ask,
    Line,
    Point,
    Relaxation,
    hull_minimum,
    relative_gap,
    z_of_ratio,
)
from causalopt.fastpaths.parametric_network import PairNetwork, statistic
from causalopt.modeling.program import Floats, Ints, Program
from causalopt.solving.certificate import dual_bound

#: Nodes of branch and bound spent on closing a gap that is smaller than the one asked for.
EASY_NODES = 200

#: Nodes of branch and bound in all.
MOST_NODES = 20_000


@dataclasses.dataclass(frozen=True, eq=False)
class Extreme:
    """The largest Z of a side.

    Attributes
    ----------
    flow : int array
        The matching that attains `z`.
    z : float
        In the side's sign: the least Z of the data is minus that of the other side.
    bound : float
        No matching has a larger Z.
    proven : bool
        Whether the bound comes from certified linear programs alone, or leans on a solver's word.
    evaluations, nodes : int
        Linear programs solved; nodes of branch and bound.
    stopped : str
        Which limit stopped the search, in words; empty where it ran to its end.
    """

    flow: Ints
    z: float
    bound: float
    proven: bool = True
    evaluations: int = 0
    nodes: int = 0
    stopped: str = ""

    @property
    def gap(self) -> float:
        """|bound - z| relative to |z|, or to one where |z| is smaller."""
        return relative_gap(self.z, self.bound)

    @property
    def is_exact(self) -> bool:
        """Whether bound and value agree but for rounding."""
        return self.gap <= EXACT


class Known:
    """What is known of a side of a network from other numbers of pairs: a live basis, bounds, a good direction.

    Attributes
    ----------
    session : FlowSession
    bounds : Bounds
        Of assignments of all pairs.
    m : float
        V / S of the best matching of the last n where some S > 0; NaN before.
    largest_mean : float
        The largest mean of n pairs, which no larger n exceeds.
    n : int
        The last n.
    """

    def __init__(self, network: PairNetwork) -> None:
        self.session = FlowSession(network.supply, network.capacity, network.suppliers, network.receivers)
        self.bounds = Bounds.none(0)
        self.m = np.nan
        self.largest_mean = np.inf
        self.n = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Around:
    """The matching whose differences are nearest to a number m, and what its multipliers prove.

    Attributes
    ----------
    f, b : float
        No matching has a smaller sum (d - m)^2, or a larger 2 m S - V.
    count : float
        What a further pair adds to b at most.
    point : Point
    """

    f: float
    b: float
    count: float
    point: Point


class Side:
    """One side of the statistic over the matchings of a network, by warm-started flows.

    Parameters
    ----------
    network : PairNetwork
    n : int
        Number of pairs.
    sign : int
        1 for the largest Z, -1 for the least.
    known : Known, optional
        What is known of this side from another n.
    """

    def __init__(self, network: PairNetwork, n: int, sign: int, known: Known | None = None) -> None:
        self.network, self.n, self.sign = network, n, sign
        self.delta: Floats = sign * network.delta / network.scale
        self.square: Floats = self.delta * self.delta
        self.known = known or Known(network)
        self.session = self.known.session
        self.program = network.program(n)
        self.evaluations = 0

    def mirrored(self) -> Side:
        """Return the same matchings under the other sign, on the same session."""
        other = Side.__new__(Side)
        other.__dict__ = self.__dict__ | {"sign": -self.sign, "delta": -self.delta}
        return other

    def point(self, flow: Ints) -> Point:
        """Return a matching with its S and V."""
        return Point(float(self.delta @ flow), float(self.square @ flow), flow)

    def z(self, point: Point) -> float:
        """Return the Z of a matching, in the side's sign."""
        return statistic(self.delta, point.flow)[0]

    def ask(self, alpha: float, beta: float) -> Line | None:
        """Solve  max alpha S - beta V, with a bound that is proved from the multipliers."""
        return _evaluate(self, self.session, self.program, alpha, beta)

    def within(self, lower: Ints, upper: Ints) -> Ask:
        """Return the same question with bounds on the arcs."""
        network = self.network
        supply = network.supply - np.bincount(network.suppliers, lower, len(network.supply)).astype(np.int64)
        capacity = network.capacity - np.bincount(network.receivers, lower, len(network.capacity)).astype(np.int64)
        if supply.min(initial=0) < 0 or capacity.min(initial=0) < 0 or int(lower.sum()) > self.n:
            return lambda alpha, beta: None
        session = FlowSession(supply, capacity, network.suppliers, network.receivers, upper - lower)
        program = self.program.replace(lower=lower.astype(float), upper=upper.astype(float))
        return lambda alpha, beta: _evaluate(self, session, program, alpha, beta, lower)

    def nearest(self, numbers: Floats) -> Floats:
        """Return, for each number m, a lower bound on sum (d - m)^2, each unit taking the nearest of its differences."""
        return self.network.nearest.least_squares(self.sign * numbers, self.n)

    def around(self, m: float, near: bool, arcs: Ints | None = None) -> Around | None:
        """Find the n pairs whose differences are nearest to a number; None where there are not n.

        Parameters
        ----------
        m : float
        near : bool
            Weigh by (d - m)^2, which keeps the digits of differences near m, or by 2 m d - d^2, for a distant m.
        arcs : int array, optional
            The only pairs that may be used; all by default.
        """
        network, session, program, delta = self.network, self.session, self.program, self.delta
        if arcs is not None:
            network, delta = network.restricted(arcs), delta[arcs]
            if min(network.supply.sum(), network.capacity.sum()) < self.n:
                return None
            session = FlowSession(network.supply, network.capacity, network.suppliers, network.receivers)
            program = network.program(self.n)
        self.evaluations += 1
        unit = 1.0 if near else 2.0 * m
        weights = -np.square(delta - m) if near else (2.0 * m * delta - delta * delta) / unit
        answer = session.solve(weights, self.n)
        if answer.shortfall:
            return None
        bound = _proven(program, weights, answer) * unit
        whole = self.n * m * m
        f, b, count = (-bound, whole + bound, answer.count + m * m) if near else (whole - bound, bound, answer.count * unit)
        flow = answer.x
        if arcs is not None:
            flow = np.zeros(self.network.size, dtype=np.int64)
            flow[arcs] = answer.x
        return Around(f, b, count, self.point(flow))


def _proven(program: Program, weights: Floats, answer: Flow) -> float:
    """Return the bound that the multipliers of a flow prove."""
    multipliers = np.concatenate([answer.supplier, answer.receiver, [answer.count]])
    return dual_bound(program.replace(c=weights), answer.x.astype(float), multipliers)[0]


def _evaluate(
    side: Side, session: FlowSession, program: Program, alpha: float, beta: float, lower: Ints | None = None
) -> Line | None:
    """Solve one weighted assignment, in units in which the larger of alpha and beta is one."""
    side.evaluations += 1
    unit = max(abs(alpha), abs(beta))
    alpha, beta = alpha / unit, beta / unit
    weights = alpha * side.delta - beta * side.square
    taken = 0 if lower is None else int(lower.sum())
    answer = session.solve(weights, side.n - taken)
    if answer.shortfall:
        return None
    flow = answer.x if lower is None else answer.x + lower
    return Line(alpha, beta, _proven(program, weights, answer), side.point(flow))


@dataclasses.dataclass(frozen=True)
class Effort:
    """How far branch and bound goes: the gap to reach, and what it may cost.

    Attributes
    ----------
    gap : float
        Relative gap of Z that must be reached, at the price of up to `nodes` nodes; a smaller one, down to rounding,
        is looked for up to `easy_nodes`.
    deadline : float
        In seconds of `time.perf_counter`.
    """

    gap: float = 1e-6
    easy_nodes: int = EASY_NODES
    nodes: int = MOST_NODES
    deadline: float = np.inf


def smallest(side: Side, effort: Effort) -> tuple[Point, float, int, str]:
    """Return the matching of least R = S^2 / V, a lower bound on R, nodes, and which limit stopped the search.

    All matchings have S > 0. Branch and bound, best bound first: a node is a set of bounds on arcs, bounded below by
    the hull of its matchings. The point of the hull where R is least is a mixture of two matchings; an arc that the
    mixture uses in part is branched on.
    """
    network, n = side.network, side.n
    order = counter()
    root = (np.zeros(network.size, dtype=np.int64), network.limit)
    best: Point | None = None
    least, floor = np.inf, np.inf
    heap: list[tuple[float, int, tuple[Ints, Ints]]] = [(0.0, next(order), root)]
    nodes = 0
    stopped = ""

    def gap(bound: float) -> float:
        """Return the gap of Z that a bound on R leaves."""
        value = z_of_ratio(least, n)
        return 0.0 if bound >= least else relative_gap(value, z_of_ratio(bound, n))

    while heap:
        left = gap(min(heap[0][0], floor)) if best is not None else np.inf
        if left <= (effort.gap if nodes >= effort.easy_nodes else EXACT):
            break
        if nodes and (nodes >= effort.nodes or perf_counter() > effort.deadline):
            stopped = "nodes" if nodes >= effort.nodes else "time"
            break
        bound, _, (lower, upper) = heapq.heappop(heap)
        ask = side.ask if nodes == 0 else side.within(lower, upper)
        nodes += 1
        relaxation = hull_minimum(ask, least)
        if relaxation is None:
            continue
        for point in relaxation.points:
            if point.ratio < least:
                best, least = point, point.ratio
        bound = max(bound, relaxation.ratio)
        if gap(bound) <= EXACT:
            floor = min(floor, bound)
            continue
        mixed = (1 - relaxation.share) * relaxation.ends[0].flow + relaxation.share * relaxation.ends[1].flow
        arc = _branching_arc(side, relaxation, mixed)
        if arc is None:  # the mixture is a matching itself
            mixture = side.point(np.round(mixed).astype(np.int64))
            if mixture.ratio < least:
                best, least = mixture, mixture.ratio
            floor = min(floor, bound)
            continue
        below, above = upper.copy(), lower.copy()
        below[arc] = int(np.floor(mixed[arc]))
        above[arc] = int(np.floor(mixed[arc])) + 1
        heapq.heappush(heap, (bound, next(order), (lower, below)))
        heapq.heappush(heap, (bound, next(order), (above, upper)))
    assert best is not None
    return best, min([floor, least, *(entry[0] for entry in heap[:1])]), nodes, stopped


def _branching_arc(side: Side, relaxation: Relaxation, mixture: Floats) -> int | None:
    """Return the arc that the mixture uses in part and where that matters most, None if there is none."""
    part: Floats = np.abs(mixture - np.round(mixture))
    part[relaxation.ends[0].flow == relaxation.ends[1].flow] = 0.0
    return int(np.argmax(part * (np.abs(side.delta) + 1e-6))) if part.max(initial=0.0) > 1e-9 else None


# ---- both ----


def extreme(side: Side, effort: Effort | None = None) -> Extreme | None:
    """Return the largest Z of a side, exact or within a certified gap; None where there are not n pairs.

    Examples
    --------
    >>> import numpy as np
    >>> i, j = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> network = PairNetwork.merged(i, j, np.array([0.0, 1.0]), np.array([10.0, 13.0]))
    >>> round(extreme(Side(network, 2, -1)).z, 4)  # Z = -15.5563: exact, where a greedy search finds -7.7782
    15.5563
    """
    before = side.evaluations
    effort = effort or Effort()
    start = beginning(side)
    if start is None:
        return None
    best, largest_mean = start
    if best.s > 1e-14 * side.n:
        best, bound, ended = Cover(side, best, largest_mean, effort.deadline).run()
        side.known.m, side.known.largest_mean, side.known.n = best.v / best.s, largest_mean, side.n
        stopped = "" if ended else "time"
        return Extreme(best.flow, side.z(best), bound, evaluations=side.evaluations - before, stopped=stopped)
    if best.s >= -1e-14 * side.n:
        return Extreme(best.flow, 0.0, 0.0, evaluations=side.evaluations - before)
    mirror = side.mirrored()
    mirror.evaluations = 0
    point, ratio, nodes, stopped = smallest(mirror, effort)
    evaluations = side.evaluations - before + mirror.evaluations
    z, limit = -mirror.z(point), -z_of_ratio(ratio, side.n)
    return Extreme(point.flow, z, max(z, limit), True, evaluations, nodes, stopped)


def beginning(side: Side) -> tuple[Point, float] | None:
    """Return a matching, of largest S where that is not positive, and a bound on the mean; None where there is none."""
    known = side.known
    if np.isfinite(known.m) and side.n >= known.n:
        found = side.around(known.m, True)
        if found is None:
            return None
        if found.point.s > 1e-14 * side.n:
            return found.point, known.largest_mean
    line = side.ask(1.0, 0.0)
    return None if line is None else (line.point, line.bound / side.n)
