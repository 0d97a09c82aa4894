"""One side of the robust Z statistic: the assignments that its search asks for, and the bounds that they prove."""

from __future__ import annotations

import dataclasses

import numpy as np

from causalopt.algorithms.flow_graph import FlowGraph
from causalopt.algorithms.flow_simplex import FlowSession
from causalopt.modeling.program import Floats, Ints
from causalopt.problems.robust.z.paths.bounds import Bounds
from causalopt.problems.robust.z.paths.hull import Line, Point
from causalopt.problems.robust.z.paths.network import PairNetwork, statistic


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
        self.session = network.graph.session()
        self.bounds = Bounds.none(0)
        self.m = np.nan
        self.largest_mean = np.inf
        self.n = 0

    def remember(self, n: int, best: Point, largest_mean: float, bounds: Bounds) -> None:
        """Keep what was found for n pairs, some S > 0."""
        self.n, self.m, self.largest_mean, self.bounds = n, best.v / best.s, largest_mean, bounds


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
        What is known of this side from another n, and is to be known of the next.
    """

    def __init__(self, network: PairNetwork, n: int, sign: int, known: Known | None = None) -> None:
        self.network, self.n, self.sign = network, n, sign
        self.delta: Floats = sign * network.delta / network.scale
        self.square: Floats = self.delta * self.delta
        self.known = known or Known(network)
        self.is_one_of_many = known is not None
        self.evaluations = 0

    def mirrored(self) -> Side:
        """Return the same matchings under the other sign, on the same session."""
        return Side(self.network, self.n, -self.sign, self.known)

    def point(self, flow: Ints) -> Point:
        """Return a matching with its S and V."""
        return Point(float(self.delta @ flow), float(self.square @ flow), flow)

    def z(self, point: Point) -> float:
        """Return the Z of a matching, in the side's sign."""
        return statistic(self.delta, point.flow)[0]

    def ask(self, alpha: float, beta: float) -> Line | None:
        """Solve  max alpha S - beta V, with a bound that is proved from the multipliers."""
        return Part(self).ask(alpha, beta)

    def nearest(self, numbers: Floats) -> Floats:
        """Return, for each number m, a lower bound on sum (d - m)^2 by the nearest differences of each unit."""
        return self.network.nearest.least_squares(self.sign * numbers, self.n)

    def around(self, m: float, arcs: Ints | None = None) -> Around | None:
        """Find the n pairs whose differences are nearest to a number; None where there are not n.

        Parameters
        ----------
        m : float
        arcs : int array, optional
            The only pairs that may be used; all by default.
        """
        n, graph, session, delta = self.n, self.network.graph, self.known.session, self.delta
        if arcs is not None:
            part = graph.restricted(arcs)
            if part is None or not part.has(n):
                return None
            graph, session, delta = part, part.session(), delta[arcs]
        self.evaluations += 1
        # Differences are below 2. (d - m)^2 keeps the digits of those near m, and 2 m d - d^2 those far from a large m.
        near = abs(m) <= 4.0
        unit = 1.0 if near else 2.0 * m
        weights = -np.square(delta - m) if near else (2.0 * m * delta - delta * delta) / unit
        answer = session.solve(weights, n)
        if answer.shortfall:
            return None
        flow = answer.x
        if arcs is not None:
            flow = np.zeros(self.network.size, dtype=np.int64)
            flow[arcs] = answer.x
        bound = (graph.proven(weights, n, answer)[0] + graph.rounding(n, answer)) * unit
        count = answer.count * unit
        if near:
            return Around(-bound, n * m * m + bound, count + m * m, self.point(flow))
        return Around(n * m * m - bound, bound, count, self.point(flow))


class Part:
    """The matchings of a side between bounds on the arcs, and what assignments prove of them.

    Parameters
    ----------
    side : Side
    lower, upper : int arrays, optional
        By default all matchings, on the side's session.

    Attributes
    ----------
    arcs : int array
        The arcs that are not settled.
    proofs : list of (Line, array)
        Every line that was asked for, with the reduced weights of the arcs (see `FlowGraph.proven`).
    """

    def __init__(self, side: Side, lower: Ints | None = None, upper: Ints | None = None) -> None:
        self.side, network = side, side.network
        self.proofs: list[tuple[Line, Floats]] = []
        self.session: FlowSession | None = side.known.session
        self.graph: FlowGraph | None = network.graph
        self.settled = np.zeros(network.size, dtype=np.int64) if lower is None else lower
        self.arcs = np.arange(network.size)
        if lower is not None and upper is not None:
            self.arcs = np.flatnonzero(upper > lower)
            self.graph = network.graph.restricted(self.arcs, lower, upper)
            self.session = None
        self.free = side.n - int(self.settled.sum())

    def ask(self, alpha: float, beta: float) -> Line | None:
        """Solve  max alpha S - beta V, in units in which the larger of alpha and beta is one; None if there is none."""
        side, graph = self.side, self.graph
        if graph is None or self.free < 0 or not graph.has(self.free):
            return None
        side.evaluations += 1
        self.session = self.session or graph.session()
        unit = max(abs(alpha), abs(beta))
        alpha, beta = alpha / unit, beta / unit
        weights = alpha * side.delta - beta * side.square
        answer = self.session.solve(weights[self.arcs], self.free)
        if answer.shortfall:
            return None
        flow = self.settled.copy()
        flow[self.arcs] += answer.x
        bound, reduced = graph.proven(weights[self.arcs], self.free, answer)
        bound += graph.rounding(self.free, answer)
        line = Line(alpha, beta, bound + float(weights @ self.settled), side.point(flow))
        self.proofs.append((line, reduced))
        return line
