"""A bipartite graph of counts: its flows of n pairs, and the bounds that their multipliers prove."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np

from causalopt.algorithms.flow_simplex import Flow, FlowSession
from causalopt.modeling.program import Floats, Ints

#: Rounding of a sum, relative to the sum of its terms' sizes.
ROUNDING = 4 * float(np.finfo(float).eps)


@dataclasses.dataclass(frozen=True, eq=False)
class FlowGraph:
    """Suppliers and receivers with their counts, and the arcs between them.

    Attributes
    ----------
    supply, capacity : int arrays
        Most pairs of each supplier and of each receiver.
    suppliers, receivers : (m,) int arrays
        The ends of each arc.
    most : (m,) int array, optional
        Most pairs on each arc, where it is not the smaller count of its ends.
    """

    supply: Ints
    capacity: Ints
    suppliers: Ints
    receivers: Ints
    most: Ints | None = None

    @cached_property
    def limit(self) -> Ints:
        """Most pairs that each arc can carry."""
        ends = np.minimum(self.supply[self.suppliers], self.capacity[self.receivers])
        return ends if self.most is None else np.minimum(ends, self.most)

    def session(self) -> FlowSession:
        """Return a session of the flow problem."""
        return FlowSession(self.supply, self.capacity, self.suppliers, self.receivers, self.most)

    def has(self, n: int) -> bool:
        """Say whether the counts allow n pairs; the arcs may not."""
        return min(int(self.supply.sum()), int(self.capacity.sum())) >= n

    def proven(self, weights: Floats, n: int, flow: Flow) -> tuple[float, Floats]:
        """Return a bound on the weight of n pairs, by weak duality, and what each arc takes from it.

        For multipliers u, v >= 0 of the counts a, b, and mu of n, with reduced weights r_ij = w_ij - u_i - v_j - mu,

            sum w_ij x_ij  <=  sum a_i u_i + sum b_j v_j + n mu + sum max(r_ij, 0) limit_ij,

        whatever the multipliers are. An arc with r < 0 lowers the bound by -r for each pair on it, and one with r > 0
        by r for each pair that it lacks.

        Parameters
        ----------
        weights : (m,) array
        n : int
        flow : Flow
            Whose multipliers are used; it need not be optimal.

        Returns
        -------
        bound : float
        reduced : (m,) array

        Examples
        --------
        >>> import numpy as np
        >>> graph = FlowGraph(np.array([1, 1]), np.array([1, 1]), np.array([0, 0, 1]), np.array([0, 1, 0]))
        >>> weights = np.array([3.0, 1.0, 1.0])
        >>> graph.proven(weights, 2, graph.session().solve(weights, 2))[0]
        2.0
        """
        reduced = weights - flow.supplier[self.suppliers]
        reduced -= flow.receiver[self.receivers]
        reduced -= flow.count
        bound = self.supply @ flow.supplier + self.capacity @ flow.receiver + n * flow.count
        return float(bound + self.limit @ np.maximum(reduced, 0.0)), reduced

    def rounding(self, n: int, flow: Flow) -> float:
        """Return how far rounding may have taken the bound of `proven` down."""
        ends = self.supply @ flow.supplier + self.capacity @ flow.receiver  # no multiplier of an end is negative
        return float(ROUNDING * (ends + n * abs(flow.count)))

    def restricted(self, arcs: Ints, lower: Ints | None = None, upper: Ints | None = None) -> FlowGraph | None:
        """Return the graph of some arcs alone, and of the ends that they join.

        Parameters
        ----------
        arcs : int array
        lower, upper : (m,) int arrays, optional
            Pairs on each arc that are settled, and are taken off its ends; and the most that are allowed, settled ones
            included.

        Returns
        -------
        FlowGraph, or None where more pairs are settled than an end has
        """
        supply, capacity, most = self.supply, self.capacity, None
        if lower is not None and upper is not None:
            supply = supply - np.bincount(self.suppliers, lower, len(supply)).astype(np.int64)
            capacity = capacity - np.bincount(self.receivers, lower, len(capacity)).astype(np.int64)
            if supply.min(initial=0) < 0 or capacity.min(initial=0) < 0:
                return None
            most = (upper - lower)[arcs]
            if (most >= np.minimum(supply[self.suppliers[arcs]], capacity[self.receivers[arcs]])).all():
                most = None
        used_i, suppliers = np.unique(self.suppliers[arcs], return_inverse=True)
        used_j, receivers = np.unique(self.receivers[arcs], return_inverse=True)
        return FlowGraph(supply[used_i], capacity[used_j], suppliers, receivers, most)
