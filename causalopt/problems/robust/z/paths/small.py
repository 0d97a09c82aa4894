"""The least |Z| where every sum is positive: branch and bound over the sums and the pairs.

R = S^2 / V is to be least. Its minimum over the hull of all (S, V) is a bound, attained by a mixture of two matchings.
What is better than the best matching lies between the hull and the parabola  S^2 = R V  through it, so that

- each supporting line bounds the sums S of what is better;
- a pair whose reduced weight takes the line's bound below the parabola is in no better matching, or in every one. Where
  pairs are few, most of them fall away: with S bounded from above, a pair of large difference has no room.

A part whose sums are of many sizes is divided by S, else by a pair that the mixture uses in part.
"""

from __future__ import annotations

import dataclasses
import heapq
from itertools import count as counter
from time import perf_counter

import numpy as np

from causalopt.modeling.program import Floats, Ints
from causalopt.problems.robust.z.paths.hull import (
    EXACT,
    Line,
    Point,
    Relaxation,
    hull_minimum,
    relative_gap,
    z_of_ratio,
)
from causalopt.problems.robust.z.paths.side import Part, Side

#: Nodes of branch and bound spent on closing a gap that is smaller than the one asked for.
EASY_NODES = 200

#: Nodes of branch and bound in all.
MOST_NODES = 20_000

#: Rounding of a sum of weights of about one.
ROUNDING = 1e-12

#: A node is looked at again where no more than this share of its arcs is left.
AGAIN = 0.7

#: A node is divided by its S where the largest is more than so many times the least.
WIDE = 1.2


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


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A part of the matchings: those between bounds on the arcs, with S between two numbers."""

    lower: Ints
    upper: Ints
    between: tuple[float, float] = (0.0, np.inf)

    @property
    def open_arcs(self) -> int:
        """Number of arcs that are not settled."""
        return int((self.upper > self.lower).sum())

    def reduced(self, part: Part, least: float) -> Node | None:
        """Return what is left of the node where R is below `least`, by every line that was asked for; None if nothing.

        Where R = S^2 / V is below r, a line  -a S + c V <= h  has values between  -a S + c S^2 / r  and h. That bounds
        S; and an arc carries no more pairs than lower h to the least of these values.
        """
        low, high = self.between
        for line, _ in part.proofs:
            low, high = _sums_below(line, least, low, high)
        if low > high or part.graph is None:
            return None
        lower, upper, arcs, limit = self.lower.copy(), self.upper.copy(), part.arcs, part.graph.limit
        settled = part.settled[arcs]
        for line, weights in part.proofs:
            slack = line.bound - _least_value(line, least, low, high)
            if slack < -ROUNDING * max(1.0, abs(line.bound)):
                return None
            slack += ROUNDING * max(1.0, abs(line.bound))
            with np.errstate(divide="ignore", over="ignore"):
                most = np.minimum(np.floor(slack / np.abs(weights)), limit).astype(np.int64)
            upper[arcs] = np.minimum(upper[arcs], settled + np.where(weights < 0, most, limit))
            lower[arcs] = np.maximum(lower[arcs], settled + np.where(weights > 0, limit - most, 0))
        return None if (lower > upper).any() else Node(lower, upper, (low, high))

    def split(self, at: float) -> tuple[Node, Node]:
        """Return the parts with S below and above a number."""
        low, high = self.between
        return Node(self.lower, self.upper, (low, at)), Node(self.lower, self.upper, (at, high))

    def branched(self, arc: int, pairs: int) -> tuple[Node, Node]:
        """Return the parts with at most so many pairs on an arc, and with more."""
        below, above = self.upper.copy(), self.lower.copy()
        below[arc], above[arc] = pairs, pairs + 1
        return Node(self.lower, below, self.between), Node(above, self.upper, self.between)


def _sums_below(line: Line, ratio: float, low: float, high: float) -> tuple[float, float]:
    """Return where between two numbers S may be if S^2 / V is below a ratio, by a line; low > high if nowhere."""
    a, c, h = -line.alpha, -line.beta, line.bound
    h += ROUNDING * max(1.0, abs(h))
    if c == 0:
        return (max(low, -h / a), high) if a > 0 else (low, min(high, -h / a))
    square = a * a + 4 * c * h / ratio
    if square < 0:
        return np.inf, -np.inf
    root = float(np.sqrt(square))
    return max(low, (a - root) * ratio / (2 * c)), min(high, (a + root) * ratio / (2 * c))


def _least_value(line: Line, ratio: float, low: float, high: float) -> float:
    """Return the least of  -a S + c S^2 / ratio  for S between two numbers."""
    a, c = -line.alpha, -line.beta
    s = (low if a < 0 else high) if c == 0 else min(max(low, a * ratio / (2 * c)), high)
    return -a * s + c * s * s / ratio


def smallest(side: Side, effort: Effort) -> tuple[Point, float, int, str]:
    """Return the matching of least R = S^2 / V, a lower bound on R, nodes, and which limit stopped the search.

    All matchings have S > 0. Branch and bound, best bound first; see the module.
    """
    tree = _Tree(side)
    stopped = ""
    while tree.heap and not tree.is_done(effort):
        if tree.nodes and (tree.nodes >= effort.nodes or perf_counter() > effort.deadline):
            stopped = "nodes" if tree.nodes >= effort.nodes else "time"
            break
        tree.look()
    assert tree.best is not None
    return tree.best, tree.bound, tree.nodes, stopped


class _Tree:
    """The nodes of branch and bound that are open, and the best matching so far."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.best: Point | None = None
        self.least = np.inf
        self.floor = np.inf  # the least bound of what is settled
        self.nodes = 0
        self.order = counter()
        self.heap: list[tuple[float, int, Node]] = []
        self.push(0.0, Node(np.zeros(side.network.size, dtype=np.int64), side.network.limit))

    @property
    def bound(self) -> float:
        """A lower bound on R."""
        return min([self.floor, self.least, *(entry[0] for entry in self.heap[:1])])

    def gap(self, bound: float) -> float:
        """Return the gap of Z that a bound on R leaves."""
        n = self.side.n
        return 0.0 if bound >= self.least else relative_gap(z_of_ratio(self.least, n), z_of_ratio(bound, n))

    def is_done(self, effort: Effort) -> bool:
        """Return whether the gap is as small as the effort asks for."""
        wanted = effort.gap if self.nodes >= effort.easy_nodes else EXACT
        return self.best is not None and self.gap(min(self.heap[0][0], self.floor)) <= wanted

    def push(self, bound: float, node: Node | None) -> None:
        if node is not None:
            heapq.heappush(self.heap, (bound, next(self.order), node))

    def note(self, point: Point) -> None:
        """Remember a matching if its R is smaller."""
        if point.ratio < self.least:
            self.best, self.least = point, point.ratio

    def look(self) -> None:
        """Take the node of the least bound, and settle, reduce or divide it."""
        bound, _, node = heapq.heappop(self.heap)
        part = Part(self.side) if self.nodes == 0 else Part(self.side, node.lower, node.upper)
        self.nodes += 1
        relaxation = hull_minimum(part.ask, self.least, node.between)
        if relaxation is None:
            return
        for point in relaxation.points:
            self.note(point)
        bound = max(bound, relaxation.ratio)
        if self.gap(bound) <= EXACT:
            self.floor = min(self.floor, bound)
            return
        rest = node.reduced(part, self.least)
        if rest is None:
            return
        if rest.open_arcs <= AGAIN * node.open_arcs:
            self.push(bound, rest)
            return
        children = _children(self.side, rest, relaxation)
        if children is None:  # the mixture is a matching itself
            self.note(self.side.point(np.round(relaxation.mixture).astype(np.int64)))
            self.floor = min(self.floor, bound)
            return
        for child in children:
            self.push(bound, child.reduced(part, self.least))


def _children(side: Side, node: Node, relaxation: Relaxation) -> tuple[Node, Node] | None:
    """Divide a node by its S where that is of many sizes, else by an arc that the mixture uses in part."""
    (first, last), mixture = relaxation.ends, relaxation.mixture
    low, high = node.between
    if high > WIDE * low:
        at = float(side.delta @ mixture)
        if not low + 0.25 * (high - low) < at < high - 0.25 * (high - low):
            at = 0.5 * (low + high)
        return node.split(at)
    part: Floats = np.abs(mixture - np.round(mixture))
    part[first.flow == last.flow] = 0.0
    if not part.max(initial=0.0) > 1e-9:
        return None
    arc = int(np.argmax(part * (np.abs(side.delta) + 1e-6)))
    return node.branched(arc, int(np.floor(mixture[arc])))
