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
from collections.abc import Callable
from itertools import combinations, pairwise
from itertools import count as counter
from time import perf_counter

import numpy as np

from causalopt.fastpaths.network_simplex_flow import FlowSession
from causalopt.fastpaths.parametric_network import PairNetwork, statistic
from causalopt.modeling.program import Floats, Ints, Program
from causalopt.solving.certificate import dual_bound

#: Relative difference of Z up to which two values are the same: what is left of double precision.
EXACT = 1e-9

#: Nodes of branch and bound spent on closing a gap that is smaller than the one asked for.
EASY_NODES = 200

#: Nodes of branch and bound in all.
MOST_NODES = 20_000


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """One matching: its flow, and S and V in the side's sign and scale."""

    s: float
    v: float
    flow: Ints

    @property
    def ratio(self) -> float:
        """R = S^2 / V, zero where both are."""
        return self.s * self.s / self.v if self.v > 0 else 0.0


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """A supporting line alpha S - beta V <= bound of the hull, and a matching found on it."""

    alpha: float
    beta: float
    bound: float
    point: Point
    also: tuple[Point, ...] = ()

    @property
    def points(self) -> tuple[Point, ...]:
        """All matchings known to lie on the line."""
        return (self.point, *self.also)


Ask = Callable[[float, float], Line | None]
"""Solve  max alpha S - beta V  over the matchings; None where there is none."""


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


def relative_gap(z: float, bound: float) -> float:
    """Return |bound - z| / max(1, |z|), zero where they are equal (infinite values included)."""
    if z == bound:
        return 0.0
    return abs(bound - z) / max(1.0, abs(z)) if np.isfinite(z) and np.isfinite(bound) else np.inf


class Side:
    """One side of the statistic over the matchings of a network, by warm-started flows.

    Parameters
    ----------
    network : PairNetwork
    n : int
        Number of pairs.
    sign : int
        1 for the largest Z, -1 for the least.
    session : FlowSession, optional
        A live session of the same network, from another n or side.
    """

    def __init__(self, network: PairNetwork, n: int, sign: int, session: FlowSession | None = None) -> None:
        self.network, self.n, self.sign = network, n, sign
        self.scale = float(np.abs(network.delta).max(initial=0.0)) or 1.0
        self.delta: Floats = sign * network.delta / self.scale
        self.square: Floats = self.delta * self.delta
        self.session = session or FlowSession(network.supply, network.capacity, network.suppliers, network.receivers)
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
    multipliers = np.concatenate([answer.supplier, answer.receiver, [answer.count]])
    bound, _ = dual_bound(program.replace(c=weights), flow.astype(float), multipliers)
    return Line(alpha, beta, bound, side.point(flow))


# ---- the side where |Z| is to be large ----


def z_of(s: float, v: float, n: int) -> float:
    """Return Z of a point of the plane: infinite on and beyond the parabola n V = S^2, which no matching passes."""
    if s <= 0:
        return 0.0 if s == 0 else -z_of(-s, v, n)
    spread = v - s * s / n
    return s / float(np.sqrt(spread)) if spread > 1e-13 * v else np.inf


def largest(ask: Ask, z: Callable[[Point], float], n: int, tolerance: float = EXACT) -> tuple[Point, float] | None:
    """Return the matching of largest Z and a bound on Z, where some S > 0.

    Where no S is positive, the matching of largest S is returned with a bound of zero; None where there is no
    matching of n pairs.
    """
    first = ask(1.0, 0.0)
    if first is None:
        return None
    best = first.point
    if best.s <= 1e-14 * n:
        return best, 0.0
    lines = [first]
    value = z(best)
    while np.isfinite(value):  # climb: the gradient of R at the best vertex leads to a better one, or none
        line = ask(2.0 * best.v, best.s)
        assert line is not None
        lines.append(line)
        found = z(line.point)
        if not found > value * (1 + 1e-12):
            break
        best, value = line.point, found
    if not np.isfinite(value):
        return best, value
    last = ask(0.0, 1.0)
    assert last is not None
    lines.append(last)
    best = max((line.point for line in lines), key=z)
    value = z(best)
    lines.sort(key=lambda line: float(np.arctan2(line.beta, line.alpha)))
    bound = value
    stack = list(pairwise(lines))
    while stack:
        first, last = stack.pop()
        corner = _corner(first, last)
        if corner is None:
            continue
        level = z_of(*corner, n)
        if level <= value * (1 + tolerance):
            bound = max(bound, level)
            continue
        left, right = _ends(first, last)
        line = ask(left.v - right.v, left.s - right.s)
        assert line is not None
        on_line = line.alpha * left.s - line.beta * left.v
        rounding = 1e-11 * max(1.0, abs(line.alpha * left.s) + abs(line.beta * left.v))
        if line.alpha * line.point.s - line.beta * line.point.v <= on_line + rounding:  # nothing beyond the edge
            if line.bound > on_line + rounding:  # but the multipliers are too weak to prove it
                bound = max(bound, level)
                continue
            line = dataclasses.replace(line, also=(left, right))
        found = z(line.point)
        if found > value:
            best, value = line.point, found
            if not np.isfinite(value):
                return best, value
        stack += [(first, line), (line, last)]
    return best, max(bound, value)


def _ends(first: Line, last: Line) -> tuple[Point, Point]:
    """Return the matchings on two neighbouring lines that are nearest to their corner."""
    left = max(first.points, key=lambda p: -p.s)
    right = max(last.points, key=lambda p: p.s)
    return left, right


def _corner(first: Line, last: Line) -> tuple[float, float] | None:
    """Return where two neighbouring lines meet; None where a known matching is on both, or they are parallel."""
    left, right = _ends(first, last)
    if (left.s, left.v) == (right.s, right.v) or left.s <= right.s or left.v <= right.v:
        return None
    determinant = first.beta * last.alpha - first.alpha * last.beta
    if abs(determinant) < 1e-15:
        return None
    s = (first.beta * last.bound - last.beta * first.bound) / determinant
    v = (first.alpha * last.bound - last.alpha * first.bound) / determinant
    return s, v


# ---- the side where |Z| is to be small ----


@dataclasses.dataclass(frozen=True, eq=False)
class Relaxation:
    """The least R over the hull of some matchings: a bound, where it is attained, and the matchings met on the way."""

    ratio: float
    ends: tuple[Point, Point]
    share: float
    points: tuple[Point, ...]


def hull_minimum(ask: Ask, cutoff: float = np.inf) -> Relaxation | None:
    """Minimise R = S^2 / V over the hull of the matchings, all with S > 0; stop at a bound of `cutoff`.

    R is convex and homogeneous, so that the supporting line with the gradient of R at any point bounds R everywhere.
    """
    first = ask(-1.0, 0.0)
    if first is None:
        return None
    points = [first.point]
    ratio, ends, share = first.point.ratio, (first.point, first.point), 0.0
    while True:
        s = (1 - share) * ends[0].s + share * ends[1].s
        v = (1 - share) * ends[0].v + share * ends[1].v
        slope = s / v
        unit = max(2 * slope, slope * slope)
        line = ask(-2 * slope / unit, -slope * slope / unit)
        assert line is not None
        bound = -line.bound * unit
        if bound >= ratio * (1 - 1e-12) or bound >= cutoff:
            return Relaxation(min(bound, ratio), ends, share, (*points, line.point))
        if any(p.s == line.point.s and p.v == line.point.v for p in points):
            return Relaxation(bound, ends, share, tuple(points))  # rounding: nothing new can be found
        points.append(line.point)
        better = min((_edge_minimum(a, b) for a, b in combinations(points, 2)), key=lambda edge: edge[0])
        if not better[0] < ratio:
            return Relaxation(bound, ends, share, tuple(points))
        ratio, ends, share = better


def _edge_minimum(a: Point, b: Point) -> tuple[float, tuple[Point, Point], float]:
    """Return the least R on the segment from a to b, its ends, and the share of b."""
    ds, dv = b.s - a.s, b.v - a.v
    shares = [0.0, 1.0]
    if ds * dv != 0:
        stationary = a.s / ds - 2 * a.v / dv  # where the derivative of (a.s + t ds)^2 / (a.v + t dv) is zero
        if 0 < stationary < 1:
            shares.append(stationary)
    values = [(a.s + t * ds) ** 2 / (a.v + t * dv) for t in shares]
    k = int(np.argmin(values))
    return values[k], (a, b), shares[k]


def z_of_ratio(ratio: float, n: int) -> float:
    """Return |Z| from R = S^2 / V; R = n means that all differences are equal."""
    return float(np.sqrt(n * ratio / (n - ratio))) if ratio < n * (1 - 1e-15) else np.inf


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
    found = largest(side.ask, side.z, side.n)
    if found is None:
        return None
    best, bound = found
    if best.s > 1e-14 * side.n:
        return Extreme(best.flow, side.z(best), bound, evaluations=side.evaluations - before)
    if best.s >= -1e-14 * side.n:
        return Extreme(best.flow, 0.0, 0.0, evaluations=side.evaluations - before)
    mirror = side.mirrored()
    mirror.evaluations = 0
    point, ratio, nodes, stopped = smallest(mirror, effort or Effort())
    evaluations = side.evaluations - before + mirror.evaluations
    z, limit = -mirror.z(point), -z_of_ratio(ratio, side.n)
    return Extreme(point.flow, z, max(z, limit), True, evaluations, nodes, stopped)
