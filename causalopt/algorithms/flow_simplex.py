"""Exactly n pairs of greatest weight in a bipartite graph of counts, by a warm-started network simplex.

The program, for suppliers i (treated units, or groups of a_i equal ones) and receivers j (controls, b_j):

    max  sum_ij w_ij x_ij   s.t.   sum_j x_ij <= a_i,   sum_i x_ij <= b_j,   sum_ij x_ij = n,   x >= 0 integer.

It is a network (arcs hub -> i, i -> j, j -> hub) with one side constraint, the count. A basis is a spanning tree of
the network and one further arc, the *link*, whose cycle through the tree changes the count. Potentials are affine in
the multiplier mu of the count, p_i = a_i + mu b_i with b_i in {0, 1}; the link's reduced cost is zero, which gives mu.
Exchanging the link therefore moves one number, and every other pivot rehangs part of one component of the graph:
strata never touch each other. Flows stay whole numbers throughout, and the multipliers prove the answer.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from causalopt.modeling.program import Floats, Ints

#: Arcs priced at once, and candidates kept of them.
BLOCK = 16384
CANDIDATES = 48

#: A reduced cost smaller than this, relative to the largest weight, is zero.
TOLERANCE = 1e-12

#: Degenerate pivots in a row, per node, after which Bland's rule takes over until a pivot makes progress.
PATIENCE = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Flow:
    """An optimal flow with the multipliers that prove it.

    Attributes
    ----------
    x : (m,) int array
        Pairs used of each kind.
    shortfall : int
        How many of the n pairs could not be had: where positive, n minus it is the size of the largest matching.
    supplier, receiver : arrays
        Multipliers of the a_i and the b_j, zero or positive.
    count : float
        Multiplier of the number of pairs.
    pivots : int
    """

    x: Ints
    shortfall: int
    supplier: Floats
    receiver: Floats
    count: float
    pivots: int


class FlowSession:
    """The flow problem of one graph, re-solved under other weights and other n from the last basis.

    Parameters
    ----------
    supply : (r,) int array
        a_i, positive.
    capacity : (c,) int array
        b_j, positive.
    suppliers, receivers : (m,) int arrays
        The ends i and j of each arc.
    limit : (m,) int array, optional
        Most pairs on each arc, where the ends' counts alone do not say so.

    Examples
    --------
    >>> import numpy as np
    >>> session = FlowSession(np.array([1, 1]), np.array([1, 1]), np.array([0, 0, 1]), np.array([0, 1, 0]))
    >>> session.solve(np.array([3.0, 1.0, 1.0]), 1).x
    array([1, 0, 0])
    >>> session.solve(np.array([3.0, 1.0, 1.0]), 2).x
    array([0, 1, 1])
    """

    def __init__(
        self, supply: Ints, capacity: Ints, suppliers: Ints, receivers: Ints, limit: Ints | None = None
    ) -> None:
        r, c, m = len(supply), len(capacity), len(suppliers)
        self.n_suppliers, self.n_receivers, self.n_pairs = r, c, m
        self.hub = r + c
        # Arcs: the pairs, then hub -> i, then j -> hub, and last the artificial one, which stands for missing pairs.
        self._artificial = m + r + c
        source = np.concatenate([suppliers, np.full(r, self.hub), r + np.arange(c), [self.hub]])
        target = np.concatenate([r + np.asarray(receivers), np.arange(r), np.full(c, self.hub), [self.hub]])
        self._source_array, self._target_array = source.astype(np.intp), target.astype(np.intp)
        self._source: list[int] = source.tolist()
        self._target: list[int] = target.tolist()
        self._counts = np.zeros(len(source))  # coefficient of each arc in the count
        self._counts[m : m + r] = 1.0
        # Without limits the ends' counts limit the arcs; a row of its own for each would only spoil the multipliers.
        most = np.full(m, int(min(supply.sum(), capacity.sum())) + 1) if limit is None else limit
        limits = np.concatenate([most, supply, capacity, [0]])
        self._limit: list[int] = limits.astype(np.int64).tolist()
        self._cursor = 0
        self._n = 0
        self._cost = np.zeros(len(source))
        self._base = np.zeros(r + c + 1)  # a_i
        self._slope = np.concatenate([np.ones(r), np.zeros(c + 1)])  # b_i
        self._mu = 0.0
        self._fresh = True
        self._restart(0)

    def solve(self, weights: Floats, n: int) -> Flow:
        """Return the heaviest flow of n pairs; where there are not as many, the heaviest of as many as there are."""
        self._set_count(n)
        scale = float(np.abs(weights).max(initial=0.0)) or 1.0
        self._cost[: self.n_pairs] = weights
        self._cost[: self.n_pairs] /= -scale
        # Dearer than any alternating path is worth, so that a missing pair is never preferred to a found one.
        self._cost[self._artificial] = 2.0 * (min(self.n_suppliers, self.n_receivers) + 2)
        if self._fresh:
            self._fresh = False
            self._take_greedily(weights)
        pivots = 0
        while True:
            self._refresh()
            more = self._improve()
            pivots += more
            if more == 0:
                return self._answer(scale, pivots)

    def _set_count(self, n: int) -> None:
        """Put the difference to the last n on the artificial arc, from which pivots remove it."""
        arc = self._artificial
        sign = int(self._counts[arc])
        missing = n - self._n + sign * self._flow[arc]
        self._n = n
        if self._state[arc] != 0:
            self._counts[arc] = 1.0 if missing >= 0 else -1.0
            self._state[arc] = -1.0 if missing else 1.0
        elif missing * sign < 0:
            self._restart(n)
            return
        self._flow[arc] = self._limit[arc] = abs(missing)

    def _restart(self, n: int) -> None:
        """Take the basis in which all hangs by the hub, and n pairs are missing."""
        m, hub = self.n_pairs, self.hub
        size = len(self._source)
        self._flow: list[int] = [0] * size
        self._state = np.ones(size)  # nonbasic at zero: 1; nonbasic at its limit: -1; basic: 0
        self._state[m:] = 0.0
        self._parent = [hub] * (hub + 1)
        self._parent_arc = [m + i for i in range(hub)] + [-1]
        self._tree: list[set[int]] = [{m + i} for i in range(hub)] + [set()]
        self._link = self._artificial
        self._fresh = True
        self._counts[self._artificial] = 1.0
        self._flow[self._artificial] = self._limit[self._artificial] = n

    def _take_greedily(self, weights: Floats) -> None:
        """Take the heaviest pairs first, as many as there is room for, off the artificial arc of a new basis.

        Each arc that is taken uses up one of its ends, or itself. An end that is used up no longer hangs by the hub but
        by that arc, under the other end, which still hangs by the hub.
        """
        m, artificial = self.n_pairs, self._artificial
        flow, limit, source, target = self._flow, self._limit, self._source, self._target
        left = flow[artificial]
        for arc in np.argsort(-weights, kind="stable").tolist():
            if left == 0:
                break
            i, j = source[arc], target[arc]
            room_i, room_j = limit[m + i] - flow[m + i], limit[m + j] - flow[m + j]
            taken = min(room_i, room_j, limit[arc])
            if taken <= 0:
                continue
            if taken > left:
                break
            flow[arc] = taken
            flow[m + i] += taken
            flow[m + j] += taken
            left -= taken
            if taken < min(room_i, room_j):
                self._state[arc] = -1.0
                continue
            used, other = (i, j) if room_i <= room_j else (j, i)
            self._state[arc] = 0.0
            self._state[m + used] = -1.0
            self._tree[used].discard(m + used)
            self._tree[used].add(arc)
            self._tree[other].add(arc)
            self._parent[used], self._parent_arc[used] = other, arc
        flow[artificial] = limit[artificial] = left

    # ---- potentials ----

    def _refresh(self) -> None:
        """Recompute all potentials from the tree, by doubling the length of the paths to the hub that are summed."""
        parent = np.array(self._parent, dtype=np.intp)
        arc = np.array(self._parent_arc, dtype=np.intp)
        arc[self.hub] = 0
        downward = self._target_array[arc] == np.arange(self.hub + 1)
        sign = np.where(downward, 1.0, -1.0)
        sign[self.hub] = 0.0
        base, slope = sign * self._cost[arc], sign * self._counts[arc]
        while (parent != self.hub).any():
            base, slope = base + base[parent], slope + slope[parent]
            parent = parent[parent]
        self._base, self._slope = base, slope
        self._set_multiplier()

    def _kappa(self, arc: int) -> float:
        """Return by how much the count changes with the flow on an arc's cycle."""
        return float(self._counts[arc] + self._slope[self._source[arc]] - self._slope[self._target[arc]])

    def _set_multiplier(self) -> None:
        u, v = self._source[self._link], self._target[self._link]
        rest = self._cost[self._link] + self._base[u] - self._base[v]
        self._mu = -float(rest) / self._kappa(self._link)

    def _violations(self, part: slice) -> Floats:
        """Return the reduced costs of some arcs, negative where the arc would improve the flow."""
        potential = self._base + self._mu * self._slope
        reduced: Floats = self._counts[part] * self._mu
        reduced += self._cost[part]
        reduced += potential[self._source_array[part]]
        reduced -= potential[self._target_array[part]]
        reduced *= self._state[part]
        return reduced

    def _reduced_of(self, source: Ints, target: Ints, cost: Floats, counts: Floats) -> Floats:
        """Return the reduced costs of a few arcs, without touching the other nodes."""
        base, slope = self._base, self._slope
        reduced: Floats = cost + base[source] - base[target]
        reduced += self._mu * (counts + slope[source] - slope[target])
        return reduced

    # ---- pivots ----

    def _improve(self) -> int:
        """Pivot until no arc improves; return the number of pivots."""
        pivots = stalled = 0
        patience = PATIENCE * (self.hub + 1)
        while True:
            if stalled > patience:  # Bland's rule: the first arc, which cannot cycle
                eligible = np.flatnonzero(self._violations(slice(None)) < -TOLERANCE)
                if len(eligible) == 0:
                    return pivots
                stalled = stalled + 1 if self._pivot(int(eligible[0]), bland=True) == 0 else 0
                pivots += 1
                continue
            candidates, best = self._candidates()
            if len(candidates) == 0:
                return pivots
            ends = self._source_array[candidates], self._target_array[candidates]
            costs = self._cost[candidates], self._counts[candidates]
            for _ in range(len(candidates)):
                stalled = stalled + 1 if self._pivot(best) == 0 else 0
                pivots += 1
                violation = self._reduced_of(*ends, *costs) * self._state[candidates]
                k = int(np.argmin(violation))
                if violation[k] >= -TOLERANCE or stalled > patience:
                    break
                best = int(candidates[k])

    def _candidates(self) -> tuple[Ints, int]:
        """Return the arcs of the next block that would improve most, and the best; none where no block has any."""
        size = len(self._source)
        start = self._cursor
        for _ in range(-(-size // BLOCK)):
            part = slice(start, min(start + BLOCK, size))
            violation = self._violations(part)
            self._cursor = start = part.stop % size
            if len(violation) > 4 * CANDIDATES:
                found = np.argpartition(violation, CANDIDATES)[:CANDIDATES]
                found = found[violation[found] < -TOLERANCE]
            else:
                found = np.flatnonzero(violation < -TOLERANCE)
            if len(found):
                return part.start + found, int(part.start + found[np.argmin(violation[found])])
        return np.zeros(0, dtype=np.intp), -1

    def _to_hub(self, node: int, change: dict[int, int], factor: int) -> None:
        """Add the arcs from a node up to the hub to a cycle, each with the sign of its direction."""
        hub, parent, parent_arc, source = self.hub, self._parent, self._parent_arc, self._source
        while node != hub:
            arc = parent_arc[node]
            sign = factor if source[arc] == node else -factor
            change[arc] = change.get(arc, 0) + sign
            node = parent[node]

    def _pivot(self, entering: int, bland: bool = False) -> int:
        """Bring an arc into the basis, and return by how much its flow changed."""
        direction = int(self._state[entering])
        change = {entering: direction}
        self._to_hub(self._target[entering], change, direction)
        self._to_hub(self._source[entering], change, -direction)
        kappa = self._kappa(entering)
        link = self._link
        if kappa != 0:
            factor = -direction * round(kappa / self._kappa(link))
            change[link] = change.get(link, 0) + factor
            self._to_hub(self._target[link], change, factor)
            self._to_hub(self._source[link], change, -factor)
        flow, limit = self._flow, self._limit
        step, leaving = limit[entering], entering
        for arc, by in change.items():
            if by:
                room = (limit[arc] - flow[arc]) if by > 0 else flow[arc]
                if room < step or (bland and room == step and arc < leaving):
                    step, leaving = room, arc
        if step:
            for arc, by in change.items():
                flow[arc] += by * step
        if leaving == entering:
            self._state[entering] = -direction
            if entering == self._artificial:
                limit[entering] = 0
            return step
        at_limit = change[leaving] > 0
        self._state[entering] = 0.0
        self._state[leaving] = -1.0 if at_limit and limit[leaving] > 0 else 1.0
        if leaving == link:
            self._link = entering
        else:
            self._exchange(leaving, entering)
        if leaving == self._artificial:
            limit[leaving] = flow[leaving] = 0
        self._set_multiplier()
        return step

    def _exchange(self, leaving: int, entering: int) -> None:
        """Take an arc out of the tree and hang what it held by the entering arc, or by the link."""
        source, target, tree = self._source, self._target, self._tree
        parent, parent_arc = self._parent, self._parent_arc
        top = source[leaving] if parent_arc[source[leaving]] == leaving else target[leaving]
        tree[source[leaving]].discard(leaving)
        tree[target[leaving]].discard(leaving)
        inside = {top}
        stack = [top]
        while stack:
            node = stack.pop()
            for arc in tree[node]:
                other = target[arc] if source[arc] == node else source[arc]
                if other not in inside:
                    inside.add(other)
                    stack.append(other)
        hanger = entering
        if (source[entering] in inside) == (target[entering] in inside):
            hanger, self._link = self._link, entering
        node, outside, sign = source[hanger], target[hanger], -1.0
        if node not in inside:
            node, outside, sign = outside, node, 1.0
        tree[source[hanger]].add(hanger)
        tree[target[hanger]].add(hanger)
        # All that hangs moves by the same amounts.
        moved = np.fromiter(inside, dtype=np.intp, count=len(inside))
        base, slope = self._base, self._slope
        base[moved] += base[outside] + sign * self._cost[hanger] - base[node]
        slope[moved] += slope[outside] + sign * self._counts[hanger] - slope[node]
        above, arc = outside, hanger  # and only the path from the new root to the old one turns round
        while True:
            old_above, old_arc = parent[node], parent_arc[node]
            parent[node], parent_arc[node] = above, arc
            if node == top:
                return
            node, above, arc = old_above, node, old_arc

    def _moderate(self) -> None:
        """Where the artificial arc is the link, without flow, take the largest multiplier of the count that will do.

        Its own cost would do too, but multipliers of that size drown the others in rounding.
        """
        if self._link != self._artificial or self._flow[self._artificial] or self._counts[self._artificial] < 0:
            return
        kappa = self._counts + self._slope[self._source_array] - self._slope[self._target_array]
        pull = kappa * self._state  # the violation of each arc grows by this with the multiplier
        arcs = np.flatnonzero(pull < -0.5)
        arcs = arcs[arcs != self._artificial]
        if len(arcs) == 0:
            return
        rest = self._cost[arcs] + self._base[self._source_array[arcs]] - self._base[self._target_array[arcs]]
        # state * (rest + kappa mu) >= 0 and state * kappa < 0: mu is at most -rest / kappa
        self._mu = max(self._mu, float((-rest / kappa[arcs]).min()))

    def _answer(self, scale: float, pivots: int) -> Flow:
        self._moderate()
        m, r = self.n_pairs, self.n_suppliers
        potential = self._base + self._mu * self._slope
        count = self._mu
        artificial = self._flow[self._artificial]
        return Flow(
            x=np.array(self._flow[:m], dtype=np.int64),
            shortfall=artificial if self._counts[self._artificial] > 0 else 0,
            supplier=np.maximum(potential[:r] - count, 0.0) * scale,
            receiver=np.maximum(-potential[r : self.hub], 0.0) * scale,
            count=count * scale,
            pivots=pivots,
        )
