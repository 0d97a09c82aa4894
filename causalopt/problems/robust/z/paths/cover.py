"""The largest Z where some sum is positive: every mean that the differences may have is covered by a bound.

With mean mu and spread W = sum (d - mu)^2 of the differences d of n pairs, Z = n mu / sqrt W, and for any number m

    sum (d - m)^2 = W + n (mu - m)^2.

A lower bound f on the left side over all matchings therefore bounds the spread of those of mean mu, and *covers* the
means for which f - n (mu - m)^2 >= (n mu / z)^2: no matching of such a mean has a Z above z. That is an interval around
m / (1 + q), q = n / z^2. In the plane of sums S and V it is a supporting line, V >= 2 m S - b with b = n m^2 - f, and
an interval in which it lies above the curve of matchings with Z = z.

Bounds come from three places, cheapest first: those of another n, moved by the multiplier of the number of pairs;
units that take the nearest of their differences (`NearestDifferences`); and assignments, which also find matchings.
The better the best matching, the narrower is the window around a mean in which all differences of a better one lie,
so that an assignment often needs a few of the pairs only.
"""

from __future__ import annotations

from time import perf_counter

import numpy as np

from causalopt.modeling.program import Bools, Floats
from causalopt.problems.robust.z.paths.bounds import ROUNDING, Bounds, gaps
from causalopt.problems.robust.z.paths.hull import EXACT, Point
from causalopt.problems.robust.z.paths.side import Side

#: Means looked at first, and at once, by nearest differences.
GRID = 64
MOST_MEANS = 512

#: How far around a mean an assignment is to cover others, in standard deviations of the differences at the best Z.
REACH = 3.0

#: An assignment takes all pairs, from its last basis, where more than this share of them is in the window, where they
#: are not many, and for the sake of other n; but not where the window is so narrow that differences would lose their
#: digits.
FEW = 0.5
MANY = 1000
NARROW = 1e-2


class Cover:
    """The search for the largest Z of a side with some S > 0: means are covered until none is left.

    Parameters
    ----------
    side : Side
    best : Point
        A matching with S > 0.
    largest_mean : float
        No matching has a larger one.
    bounds : Bounds
        What is known already.
    deadline : float
    """

    def __init__(self, side: Side, best: Point, largest_mean: float, bounds: Bounds, deadline: float = np.inf) -> None:
        self.side, self.n = side, side.n
        self.best, self.z = best, side.z(best)
        self.last = largest_mean * (1 + 1e-12)
        self.least_difference = float(np.abs(side.delta[side.delta != 0]).min())
        self.bounds = bounds
        self.sampled = np.zeros(0)
        self.given_up: list[tuple[float, float]] = []
        self.deadline = deadline
        self.here = 0.0

    @property
    def level(self) -> float:
        """The Z above which nothing is left when all means are covered: that of the best matching, but for rounding."""
        return self.z + 0.5 * EXACT * max(1.0, self.z)

    def run(self) -> tuple[Point, float, bool]:
        """Return the matching of largest Z, a bound on Z, and whether the search ended in time."""
        if self.n > self.z * self.z:
            self.climb()
        self.sample(np.geomspace(self.first(), max(self.last, self.first()), GRID), *self.gaps())
        late = False
        start, stop = self.gaps()
        while np.isfinite(self.z) and len(start):
            late = perf_counter() > self.deadline
            if late:
                break
            if not self.sample(0.5 * (start + stop), *self.wide(start, stop)):
                self.look(*self.next(start, stop))
            start, stop = self.gaps()
        if not np.isfinite(self.z):
            return self.best, self.z, True
        open_gaps = [*self.given_up, *zip(start.tolist(), stop.tolist(), strict=True)]
        bound = max([self.level, *(self.bounds.most(*gap) for gap in open_gaps)])
        return self.best, bound, not late

    def note(self, point: Point) -> bool:
        """Remember a matching if its Z is larger; say whether it is."""
        z = self.side.z(point)
        if not z > self.z:
            return False
        better = z > self.z * (1 + 1e-12)
        self.best, self.z = point, z
        return better

    def first(self) -> float:
        """Return a number below which no matching of positive mean has a Z above the level.

        It would have V >= v for the least square v of a difference, and S^2 >= R V.
        """
        ratio = self.n * self.level**2 / (self.n + self.level**2)
        return self.least_difference * float(np.sqrt(ratio)) / self.n * (1 - 1e-12)

    def gaps(self) -> tuple[Floats, Floats]:
        """Return the ends of the means that are not covered."""
        low, high = self.bounds.covered(self.level)
        left = np.array(self.given_up).reshape(-1, 2)
        return gaps(np.append(low, left[:, 0]), np.append(high, left[:, 1]), self.first(), self.last)

    def climb(self) -> None:
        """Go from the best matching in the direction in which Z grows most, as long as that leads to a better one."""
        while np.isfinite(self.z) and self.assign(self.best.v / self.best.s):
            if perf_counter() > self.deadline:
                return

    # ---- nearest differences ----

    def wide(self, start: Floats, stop: Floats) -> tuple[Floats, Floats]:
        """Return the gaps in which nearest differences may cover something and have not been looked up."""
        q = self.n / self.level**2
        deviation = np.sqrt(q) * stop  # of the differences of a matching of that mean and the best Z
        known = np.sort(self.sampled) / (1 + q)
        fresh = np.searchsorted(known, start) == np.searchsorted(known, stop)
        chosen = np.flatnonzero(fresh & (stop - start > 0.01 * deviation))[:MOST_MEANS]
        return start[chosen], stop[chosen]

    def sample(self, means: Floats, start: Floats, stop: Floats) -> bool:
        """Look up the nearest differences at means in gaps; return whether that covers enough to go on with it."""
        q = self.n / self.level**2
        if q > 1 or len(start) == 0 or not np.isfinite(q):
            return False
        place = np.searchsorted(start, means, side="right") - 1
        numbers = means[(place >= 0) & (means < stop[place])] * (1 + q)
        if len(numbers) == 0:
            return False
        least = self.side.nearest(numbers)
        self.sampled = np.append(self.sampled, numbers)
        covers: Bools = least / self.n >= q * numbers**2 / (1 + q)
        self.bounds = self.bounds.with_f(numbers, least)
        return bool(covers.mean() > 0.3)

    # ---- assignments ----

    def next(self, start: Floats, stop: Floats) -> tuple[float, float, float]:
        """Return a mean to look at, and the ends of its gap: where nearest differences promise the largest Z.

        Where they promise nothing, it is the middle of the gap that is nearest to the last mean looked at.
        """
        q = self.n / self.level**2
        sampled = np.isnan(self.bounds.count) & (self.bounds.f > 0) & np.isinf(self.bounds.first)
        means = self.bounds.m[sampled] / (1 + q)
        place = np.searchsorted(start, means, side="right") - 1
        inside = np.flatnonzero((place >= 0) & (means < stop[place]))
        if len(inside):
            k = inside[np.argmax(means[inside] / np.sqrt(self.bounds.f[sampled][inside]))]
            gap, mean = place[k], float(means[k])
        else:
            middle = 0.5 * (start + stop)
            gap = np.argmin(np.abs(middle - self.here))
            mean = float(middle[gap])
        return mean, float(start[gap]), float(stop[gap])

    def look(self, mean: float, start: float, stop: float) -> None:
        """Cover a gap, or a part of it, by an assignment; give up what is near the mean where that proves nothing."""
        self.here = mean
        q = self.n / self.level**2
        m = mean * (1 + q)
        deviation = float(np.sqrt(q)) * mean
        first, last = max(mean - REACH * deviation, 0.0), mean + REACH * deviation
        # One difference off the mean by x has the others off by x together: W >= x^2 n / (n - 1).
        window = np.sqrt(self.n * (self.n - 1)) / self.z * (1 + 1e-9)
        delta = self.side.delta
        least, most = min(first * (1 - window), last * (1 - window)), last * (1 + window)
        arcs = np.flatnonzero((delta >= least - ROUNDING * last) & (delta <= most + ROUNDING * last))
        few = len(arcs) <= FEW * len(delta) and len(delta) > MANY and not self.side.is_one_of_many
        if few or window * last <= NARROW:
            found = self.side.around(m, arcs)
            f = np.inf if found is None else found.f
            self.bounds = self.bounds.with_f(np.array([m]), np.array([f]), first, last)
            better = found is not None and self.note(found.point)
        else:
            better = self.assign(m)
        low, high = self.bounds.covered(self.level)
        if not better and min(high[-1], stop) - max(low[-1], start) <= 1e-9 * min(stop - start, deviation):
            self.given_up.append((max(start, mean - 0.5 * deviation), min(stop, mean + 0.5 * deviation)))

    def assign(self, m: float) -> bool:
        """Solve an assignment of all pairs, keep its bound, and say whether it found a better matching."""
        found = self.side.around(m)
        assert found is not None
        self.bounds = self.bounds.with_line(m, found.f, found.b, found.count)
        return self.note(found.point)
