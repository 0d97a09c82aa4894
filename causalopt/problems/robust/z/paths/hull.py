"""The planar hull of the sums S and V over all matchings of n pairs, as far as the robust Z statistic needs it.

All that is known of the matchings here is an oracle for  max alpha S - beta V. On the side where |Z| is to be large,
its largest value is at a vertex of the hull; where it is to be small, the hull bounds it. See `parametric`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import combinations, pairwise
from time import perf_counter

import numpy as np

from causalopt.modeling.program import Floats, Ints

#: Relative difference of Z up to which two values are the same: what is left of double precision.
EXACT = 1e-9


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


def relative_gap(z: float, bound: float) -> float:
    """Return |bound - z| / max(1, |z|), zero where they are equal (infinite values included)."""
    if z == bound:
        return 0.0
    return abs(bound - z) / max(1.0, abs(z)) if np.isfinite(z) and np.isfinite(bound) else np.inf


def z_of(s: float, v: float, n: int) -> float:
    """Return Z of a point of the plane: infinite on and beyond the parabola n V = S^2, which no matching passes."""
    if s <= 0:
        return 0.0 if s == 0 else -z_of(-s, v, n)
    spread = v - s * s / n
    return s / float(np.sqrt(spread)) if spread > 1e-13 * v else np.inf


def largest(
    ask: Ask, z: Callable[[Point], float], n: int, *, tolerance: float = EXACT, deadline: float = np.inf
) -> tuple[Point, float, bool] | None:
    """Return the matching of largest Z, a bound on Z, and whether the search ended in time, where some S > 0.

    Where no S is positive, the matching of largest S is returned with a bound of zero; None where there is no
    matching of n pairs. Past the deadline the bound is that of the corners still open.
    """
    first = ask(1.0, 0.0)
    if first is None:
        return None
    if first.point.s <= 1e-14 * n:
        return first.point, 0.0, True
    lines = _climb(ask, z, first)
    best = max((line.point for line in lines), key=z)
    value = z(best)
    if not np.isfinite(value):
        return best, value, True
    lines.append(_asked(ask, 0.0, 1.0))
    best = max((best, lines[-1].point), key=z)
    value = bound = z(best)
    lines.sort(key=lambda line: float(np.arctan2(line.beta, line.alpha)))
    late = False
    stack = list(pairwise(lines))
    while stack:
        first, last = stack.pop()
        corner = _corner(first, last)
        if corner is None:
            continue
        level = z_of(*corner, n)
        late = late or perf_counter() > deadline
        line = None if level <= value * (1 + tolerance) or late else _beyond(ask, first, last)
        if line is None:
            bound = max(bound, level)
            continue
        found = z(line.point)
        if found > value:
            best, value = line.point, found
            if not np.isfinite(value):
                return best, value, True
        stack += [(first, line), (line, last)]
    return best, max(bound, value), not late


def _asked(ask: Ask, alpha: float, beta: float) -> Line:
    line = ask(alpha, beta)
    assert line is not None
    return line


def _climb(ask: Ask, z: Callable[[Point], float], first: Line) -> list[Line]:
    """Return the lines met on the way up: the gradient of R at the best vertex leads to a better one, or none."""
    lines, best, value = [first], first.point, z(first.point)
    while np.isfinite(value):
        line = _asked(ask, 2.0 * best.v, best.s)
        lines.append(line)
        found = z(line.point)
        if not found > value * (1 + 1e-12):
            break
        best, value = line.point, found
    return lines


def _beyond(ask: Ask, first: Line, last: Line) -> Line | None:
    """Return the line through what lies beyond the edge that cuts a corner off, or the edge's own where nothing does.

    None where the multipliers are too weak to prove that nothing does.
    """
    left, right = _ends(first, last)
    line = _asked(ask, left.v - right.v, left.s - right.s)
    on_line = line.alpha * left.s - line.beta * left.v
    rounding = 1e-11 * max(1.0, abs(line.alpha * left.s) + abs(line.beta * left.v))
    if line.alpha * line.point.s - line.beta * line.point.v > on_line + rounding:
        return line
    return None if line.bound > on_line + rounding else dataclasses.replace(line, also=(left, right))


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


@dataclasses.dataclass(frozen=True, eq=False)
class Relaxation:
    """The least R over the hull of some matchings: a bound, where it is attained, and the matchings met on the way."""

    ratio: float
    ends: tuple[Point, Point]
    share: float
    points: tuple[Point, ...]

    @property
    def mixture(self) -> Floats:
        """The flow at which the least R is attained, a mixture of those of the ends."""
        mixture: Floats = (1 - self.share) * self.ends[0].flow + self.share * self.ends[1].flow
        return mixture


def hull_minimum(ask: Ask, cutoff: float = np.inf, between: tuple[float, float] = (0.0, np.inf)) -> Relaxation | None:
    """Minimise R = S^2 / V over the hull of the matchings, all with S > 0; stop at a bound of `cutoff`.

    R is convex and homogeneous, so that the supporting line with the gradient of R at any point bounds R everywhere.
    Where S is to be between two numbers and the least R is at one of them, it is the line of the edge of the hull there
    that bounds R.

    Returns
    -------
    Relaxation, or None where no matching has its S between the two numbers
    """
    low, high = between
    first = ask(-1.0, 0.0)
    if first is None or -first.bound > high:
        return None
    points = [first.point]
    if first.point.s < low:
        last = _asked(ask, 1.0, 0.0)
        if last.bound < low:
            return None
        points.append(last.point)
        low = min(low, last.point.s)
        between = (low, high)
    ratio, ends, share = _best_edge(points, between)
    while True:
        s = (1 - share) * ends[0].s + share * ends[1].s
        v = (1 - share) * ends[0].v + share * ends[1].v
        a, c = 2 * s / v, (s / v) ** 2
        ds, dv = ends[1].s - ends[0].s, ends[1].v - ends[0].v
        if 0 < share < 1:
            a, c = (dv, ds) if ds > 0 else (-dv, -ds)
        unit = max(abs(a), c)
        line = _asked(ask, -a / unit, -c / unit)
        bound = line_minimum(line, between)
        if bound >= ratio * (1 - 1e-12) or bound >= cutoff:
            return Relaxation(min(bound, ratio), ends, share, (*points, line.point))
        if any(p.s == line.point.s and p.v == line.point.v for p in points):
            return Relaxation(bound, ends, share, tuple(points))  # rounding: nothing new can be found
        points.append(line.point)
        better = _best_edge(points, between)
        if not better[0] < ratio:
            return Relaxation(bound, ends, share, tuple(points))
        ratio, ends, share = better


def line_minimum(line: Line, between: tuple[float, float] = (0.0, np.inf)) -> float:
    """Return the least R = S^2 / V for S > 0 between two numbers and V below a line; infinite if V > 0 is not possible.

    V <= (h + a S) / c for a line  -a S + c V <= h: R is at least c S^2 / (h + a S), which is least where S = -2 h / a
    if a > 0, and else grows with S.
    """
    a, c, h = -line.alpha, -line.beta, line.bound
    low, high = between
    s = min(max(low, -2 * h / a), high) if a > 0 else low
    if s <= 0:
        return 0.0
    v = (h + a * s) / c
    return s * s / v if v > 0 else np.inf


def _best_edge(points: list[Point], between: tuple[float, float]) -> tuple[float, tuple[Point, Point], float]:
    """Return the least R on the segments between points, where S is between two numbers; its ends and the share."""
    edges = [_edge_minimum(a, b, between) for a, b in combinations(points, 2)]
    return min([*(_edge_minimum(p, p, between) for p in points), *edges], key=lambda edge: edge[0])


def _edge_minimum(a: Point, b: Point, between: tuple[float, float]) -> tuple[float, tuple[Point, Point], float]:
    """Return the least R on the segment from a to b where S is between two numbers, its ends, and the share of b."""
    low, high = between
    ds, dv = b.s - a.s, b.v - a.v
    shares = [0.0, 1.0]
    if ds != 0:
        shares += [(low - a.s) / ds, (high - a.s) / ds]
    if ds * dv != 0:
        shares.append(a.s / ds - 2 * a.v / dv)  # where the derivative of (a.s + t ds)^2 / (a.v + t dv) is zero
    shares = [t for t in shares if 0 <= t <= 1 and low * (1 - 1e-12) <= a.s + t * ds <= high * (1 + 1e-12)]
    values = [(a.s + t * ds) ** 2 / (a.v + t * dv) for t in shares]
    k = int(np.argmin(values)) if values else 0
    return (values[k], (a, b), shares[k]) if values else (np.inf, (a, b), 0.0)


def z_of_ratio(ratio: float, n: int) -> float:
    """Return |Z| from R = S^2 / V; R = n means that all differences are equal."""
    return float(np.sqrt(n * ratio / (n - ratio))) if ratio < n * (1 - 1e-15) else np.inf
