"""Pairs with equal units merged: the flow problem behind the robust Z test, and the way back to single units.

Treated units with the same outcome and the same possible partners are interchangeable, and so are controls. Merged,
they become one supplier or receiver with a count, and the pairs between them one arc that carries a whole number.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from causalopt.algorithms.flow_graph import FlowGraph
from causalopt.modeling.program import Bools, Floats, Ints, Program
from causalopt.problems.robust.z.paths.nearest import NearestDifferences

#: Differences nearer to each other than this, relative to the largest outcome, are equal but for rounding.
ROUNDING = 4 * float(np.finfo(float).eps)


@dataclasses.dataclass(frozen=True, eq=False)
class PairNetwork:
    """Groups of interchangeable units, and the arcs between groups whose units may be paired.

    Attributes
    ----------
    supply, capacity : int arrays
        Number of treated units in each group, and of controls.
    suppliers, receivers : (m,) int arrays
        The two groups of each arc.
    delta : (m,) array
        Outcome of the treated minus outcome of the control.
    treated, control : int arrays
        Positions of the units, sorted by group.
    """

    supply: Ints
    capacity: Ints
    suppliers: Ints
    receivers: Ints
    delta: Floats
    treated: Ints
    control: Ints

    @classmethod
    def merged(cls, i: Ints, j: Ints, outcome_treated: Floats, outcome_control: Floats) -> PairNetwork:
        """Merge the pairs (i, j) of units with these outcomes; units without a pair are left out."""
        group_i, group_j = _groups(i, j, outcome_treated), _groups(j, i, outcome_control)
        network = cls._of_groups(i, j, outcome_treated, outcome_control, group_i, group_j)
        # Groups are told apart by hashes of their partners. Two groups are completely joined, or not at all: this
        # proves that no two different sets of partners had the same hash.
        sizes = network.supply[network.suppliers] * network.capacity[network.receivers]
        if int(sizes.sum()) == len(i):
            return network
        single_i, single_j = np.unique(i, return_inverse=True)[1], np.unique(j, return_inverse=True)[1]
        return cls._of_groups(i, j, outcome_treated, outcome_control, single_i, single_j)

    @classmethod
    def _of_groups(
        cls, i: Ints, j: Ints, y_treated: Floats, y_control: Floats, group_i: Ints, group_j: Ints
    ) -> PairNetwork:
        """Make the network where pair k joins groups group_i[k] and group_j[k]."""
        treated, supply = _members(i, group_i)
        control, capacity = _members(j, group_j)
        arcs, first = np.unique(group_i * (len(capacity) + 1) + group_j, return_index=True)
        suppliers, receivers = np.divmod(arcs, len(capacity) + 1)
        delta = difference(y_treated[i[first]], y_control[j[first]], largest_outcome(y_treated, y_control))
        return cls(supply, capacity, suppliers, receivers, delta, treated, control)

    @property
    def size(self) -> int:
        """Number of arcs."""
        return len(self.delta)

    @cached_property
    def matrix(self) -> sp.csr_matrix:
        """The rows of the program: suppliers, receivers, and last the count of pairs."""
        m, r = self.size, len(self.supply)
        rows = np.concatenate([self.suppliers, r + self.receivers, np.full(m, r + len(self.capacity))])
        columns = np.tile(np.arange(m), 3)
        return sp.csr_matrix((np.ones(3 * m), (rows, columns)), shape=(r + len(self.capacity) + 1, m))

    def program(self, n: int, weights: Floats | float = 0.0) -> Program:
        """Return the LP of the heaviest n pairs; its optimal vertices are whole numbers."""
        usage = np.concatenate([self.supply, self.capacity]).astype(float)
        return Program.from_arrays(
            np.broadcast_to(np.asarray(weights, dtype=float), self.size),
            self.matrix,
            np.append(np.full(len(usage), -np.inf), float(n)),
            np.append(usage, float(n)),
            0.0,
            self.limit.astype(float),
            maximize=True,
        )

    @cached_property
    def limit(self) -> Ints:
        """Most pairs that each arc can carry."""
        return self.graph.limit

    @cached_property
    def scale(self) -> float:
        """The power of two next below the largest difference: divided by it, differences keep all of their digits."""
        largest = float(np.abs(self.delta).max(initial=0.0))
        return float(np.ldexp(1.0, int(np.frexp(largest)[1]) - 1)) if largest > 0 else 1.0

    @cached_property
    def nearest(self) -> NearestDifferences:
        """The differences of each unit, divided by the scale, to look up the nearest to any number."""
        delta = self.delta / self.scale
        return NearestDifferences(self.suppliers, self.receivers, self.supply, self.capacity, delta)

    @cached_property
    def graph(self) -> FlowGraph:
        """The counts and arcs alone."""
        return FlowGraph(self.supply, self.capacity, self.suppliers, self.receivers)

    def units(self, flow: Ints) -> tuple[Ints, Ints]:
        """Return the positions of the treated and control units of the pairs that a flow stands for."""
        order_i = np.argsort(self.suppliers, kind="stable")
        order_j = np.argsort(self.receivers, kind="stable")
        i = np.repeat(order_i, flow[order_i])  # the arc of each treated unit that is used, by group
        j = np.repeat(order_j, flow[order_j])
        i_unit = self.treated[_start(self.supply)[self.suppliers[i]] + _within(self.suppliers[i])]
        j_unit = self.control[_start(self.capacity)[self.receivers[j]] + _within(self.receivers[j])]
        # Both lists name each arc as often as it is used: brought into the order of the arcs they are the pairs.
        return i_unit[np.argsort(i, kind="stable")], j_unit[np.argsort(j, kind="stable")]

    def flow_of(self, i: Ints, j: Ints) -> Ints:
        """Return the flow that stands for pairs of these units, the inverse of `units`."""
        group_i, group_j = _of_unit(self.treated, self.supply), _of_unit(self.control, self.capacity)
        width = len(self.capacity) + 1
        arcs = np.searchsorted(self.suppliers * width + self.receivers, group_i[i] * width + group_j[j])
        flow: Ints = np.bincount(arcs, minlength=self.size).astype(np.int64)
        return flow


def statistic(delta: Floats, flow: Ints) -> tuple[float, float, float]:
    """Return Z, S and V of pairs with these differences, each counted `flow` times.

    Z = S / sqrt(V - S^2 / n). Where all differences are equal the spread is zero: Z is then infinite with the sign of
    S, and zero where S is zero too.

    Examples
    --------
    >>> import numpy as np
    >>> z, s, v = statistic(np.array([1.0, 3.0]), np.array([1, 1]))
    >>> round(z, 6), s, v
    (2.828427, 4.0, 10.0)
    """
    used = np.flatnonzero(flow)
    d, k = delta[used], flow[used].astype(float)
    n = float(k.sum())
    s, v = float(k @ d), float(k @ (d * d))
    if len(d) == 0 or abs(s) <= 1e-14 * float(k @ np.abs(d)):
        return 0.0, 0.0, v
    if d.max() == d.min():
        return float(np.copysign(np.inf, s)), s, v
    spread = float(k @ (d - s / n) ** 2)
    return s / float(np.sqrt(spread)), s, v


def largest_outcome(y_treated: Floats, y_control: Floats) -> float:
    """Return the largest outcome in absolute value, the scale of rounding errors."""
    return max(float(np.abs(y_treated).max(initial=0.0)), float(np.abs(y_control).max(initial=0.0)))


def difference(y_treated: Floats, y_control: Floats, scale: float) -> Floats:
    """Return differences of outcomes without their rounding errors, so that 0.3 - 0.2 equals 0.2 - 0.1.

    Values that differ by a few rounding errors of the largest outcome become the middle of their range, and values
    that near to zero become zero. No value moves by more than that; differences of whole numbers do not move at all.
    """
    delta: Floats = np.asarray(y_treated - y_control, dtype=float)
    tolerance = ROUNDING * scale
    exact = scale < 2.0**52 and _is_whole(y_treated) and _is_whole(y_control)
    if exact or len(delta) == 0 or tolerance == 0 or not np.isfinite(delta).all():
        return delta
    order = np.argsort(delta, kind="stable")
    ascending = delta[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(ascending) > tolerance]))
    lengths = np.diff(np.append(starts, len(ascending)))
    low, high = ascending[starts], ascending[starts + lengths - 1]
    middle = low + (high - low) / 2
    middle[np.abs(middle) <= tolerance] = 0.0
    few = np.repeat(high - low <= 8 * tolerance, lengths)  # else these are neighbours in a crowd, not one value
    equal = np.empty_like(delta)
    equal[order] = np.where(few, np.repeat(middle, lengths), ascending)
    return equal


def _is_whole(values: Floats) -> bool:
    return bool((values == np.round(values)).all())


def _groups(unit: Ints, partner: Ints, outcome: Floats) -> Ints:
    """Return, for each pair, the group of its unit: units of equal outcome with (in all likelihood) equal partners."""
    rng = np.random.default_rng(20120)
    marks = rng.integers(0, 2**63, size=int(partner.max(initial=-1)) + 1, dtype=np.int64).view(np.uint64)
    fingerprint = np.zeros(int(unit.max(initial=-1)) + 1, dtype=np.uint64)
    np.add.at(fingerprint, unit, marks[partner])
    present, position = np.unique(unit, return_inverse=True)
    value, mark = outcome[present] + 0.0, fingerprint[present]
    order = np.lexsort((mark, value))
    value, mark = value[order], mark[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (value[1:] != value[:-1]) | (mark[1:] != mark[:-1])
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(new) - 1
    return group[position]


def _members(unit: Ints, group: Ints) -> tuple[Ints, Ints]:
    """Return the units sorted by group, and the sizes of the groups."""
    present, first = np.unique(unit, return_index=True)
    of_unit = group[first]
    sizes = np.bincount(of_unit)
    return present[np.argsort(of_unit, kind="stable")], sizes.astype(np.int64)


def _of_unit(units: Ints, sizes: Ints) -> Ints:
    """Return the group of each unit, given the units sorted by group and the sizes of the groups."""
    group = np.full(int(units.max(initial=-1)) + 1, -1)
    group[units] = np.repeat(np.arange(len(sizes)), sizes)
    return group


def _start(sizes: Ints) -> Ints:
    return np.cumsum(sizes) - sizes


def _within(sorted_groups: Ints) -> Ints:
    """Return the numbers 0, 1, 2, ... of the members of each run of equal values."""
    new: Bools = np.ones(len(sorted_groups), dtype=bool)
    new[1:] = sorted_groups[1:] != sorted_groups[:-1]
    starts = np.flatnonzero(new)
    return np.arange(len(sorted_groups)) - np.repeat(starts, np.diff(np.append(starts, len(sorted_groups))))
