"""How near the differences of n pairs can be to a number, if each unit takes the best of its pairs.

A bound without a linear program: of the units of one group, each is in at most one pair, so that the squares of the
distances from a number m of the differences of n pairs sum to no less than the n smallest of the units' smallest.
"""

from __future__ import annotations

import numpy as np

from causalopt.modeling.program import Floats, Ints

#: Distances held in memory at once.
MOST_DISTANCES = 2_000_000


class NearestDifferences:
    """For each unit of either group, its differences in order, to look up the nearest to any number.

    Parameters
    ----------
    suppliers, receivers : (m,) int arrays
        The two groups of each arc.
    supply, capacity : int arrays
        Number of units in each group.
    delta : (m,) array
        Differences.

    Examples
    --------
    >>> import numpy as np
    >>> two, ones = np.array([0, 0, 1, 1]), np.ones(2, dtype=int)
    >>> nearest = NearestDifferences(two, np.array([0, 1, 0, 1]), ones, ones, np.array([1.0, 4.0, 3.0, 6.0]))
    >>> nearest.least_squares(np.array([3.0, 4.5]), 2)  # 3 and 4 are nearest to 3 (and would share no unit)
    array([1. , 2.5])
    """

    def __init__(self, suppliers: Ints, receivers: Ints, supply: Ints, capacity: Ints, delta: Floats) -> None:
        self.values, rank = np.unique(delta, return_inverse=True)
        self.ends = [_Ends(suppliers, supply, delta, rank), _Ends(receivers, capacity, delta, rank)]
        self.units = len(supply) + len(capacity)

    def least_squares(self, numbers: Floats, n: int) -> Floats:
        """Return, for each number m, a lower bound on the sum of (difference - m)^2 over any n pairs.

        Parameters
        ----------
        numbers : (k,) array
        n : int

        Returns
        -------
        (k,) array
            Infinite where a group has fewer than n units with pairs.
        """
        least = np.zeros(len(numbers))
        step = max(1, MOST_DISTANCES // max(self.units, 1))
        for start in range(0, len(numbers), step):
            part = slice(start, start + step)
            rank = np.searchsorted(self.values, numbers[part])
            for ends in self.ends:
                np.maximum(least[part], ends.least_squares(numbers[part], rank, n), out=least[part])
        return least


class _Ends:
    """The differences of each unit of one group in order.

    Looked up by rank: unit and rank together are one whole number, and no difference is rounded.
    """

    def __init__(self, unit: Ints, count: Ints, delta: Floats, rank: Ints) -> None:
        order = np.lexsort((delta, unit))
        self.delta = delta[order]
        self.width = int(rank.max(initial=0)) + 2
        self.place = unit[order] * self.width + rank[order]
        bounds = np.searchsorted(unit[order], np.arange(len(count) + 1))
        self.start, self.stop = bounds[:-1, None], bounds[1:, None]
        self.count = count
        self.single = bool((count == 1).all())

    def least_squares(self, numbers: Floats, rank: Ints, n: int) -> Floats:
        if int(self.count.sum()) < n:
            return np.full(len(numbers), np.inf)
        above = np.searchsorted(self.place, np.arange(len(self.count))[:, None] * self.width + rank)
        last = len(self.delta) - 1
        up = np.where(above < self.stop, self.delta[np.minimum(above, last)] - numbers, np.inf)
        down = np.where(above > self.start, numbers - self.delta[np.maximum(above - 1, 0)], np.inf)
        squares: Floats = np.square(np.minimum(up, down))
        if self.single:
            least: Floats = np.partition(squares, n - 1, axis=0)[:n].sum(axis=0)
            return least
        order = np.argsort(squares, axis=0)
        count = self.count[order]
        taken = np.clip(n - (np.cumsum(count, axis=0) - count), 0, count)
        squares = np.where(taken > 0, np.take_along_axis(squares, order, axis=0), 0.0)
        return np.asarray((taken * squares).sum(axis=0))
