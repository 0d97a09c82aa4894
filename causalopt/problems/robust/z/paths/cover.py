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

import dataclasses
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from causalopt.modeling.program import Bools, Floats
from causalopt.problems.robust.z.paths.hull import EXACT, Point

if TYPE_CHECKING:
    from causalopt.problems.robust.z.paths.side import Side

#: Means looked at first, and at once, by nearest differences.
GRID = 64
MOST_MEANS = 512

#: Bounds kept for the next n.
MOST_BOUNDS = 2000

#: Rounding of a mean, relative to it: intervals end so much earlier, and windows so much later.
ROUNDING = 1e-15

#: How far around a mean an assignment is to cover others, in standard deviations of the differences at the best Z.
REACH = 3.0

#: An assignment takes all pairs, from its last basis, where more than this share of them is in the window, where they
#: are not many, and for the sake of other n; but not where the window is so narrow that differences would lose their
#: digits.
FEW = 0.5
MANY = 1000
NARROW = 1e-2


@dataclasses.dataclass(frozen=True, eq=False)
class Bounds:
    """Lower bounds f on sum (d - m)^2 over the matchings of n pairs, each for the means between two ends.

    Attributes
    ----------
    m, f, b : (k,) arrays
        The number, the bound, and n m^2 - f, which is the more precise of the two where m is far off.
    first, last : (k,) arrays
        The means for which it holds.
    count : (k,) array
        What a further pair adds to b at most; NaN where that is not known.
    n : int
    """

    m: Floats
    f: Floats
    b: Floats
    first: Floats
    last: Floats
    count: Floats
    n: int

    @classmethod
    def none(cls, n: int) -> Bounds:
        """Return no bounds."""
        m, f, b, first, last, count = np.zeros((6, 0))
        return cls(m, f, b, first, last, count, n)

    def with_f(self, m: Floats, f: Floats, first: float = -np.inf, last: float = np.inf) -> Bounds:
        """Return these bounds and others, that hold for some means and for this n alone."""
        same = np.ones(len(m))
        return self._with(m, f, self.n * m * m - f, first * same, last * same, np.nan * same)

    def with_line(self, m: float, f: float, b: float, count: float) -> Bounds:
        """Return these bounds and one of an assignment of all pairs."""
        return self._with(*(np.array([value]) for value in (m, f, b, -np.inf, np.inf, count)))

    def _with(self, *more: Floats) -> Bounds:
        fields = (self.m, self.f, self.b, self.first, self.last, self.count)
        m, f, b, first, last, count = (np.append(old, new) for old, new in zip(fields, more, strict=True))
        return Bounds(m, f, b, first, last, count, self.n)

    def moved(self, n: int) -> Bounds:
        """Return what is left of these bounds for another n: by weak duality, b grows with n by its multiplier."""
        kept = np.flatnonzero(~np.isnan(self.count))[-MOST_BOUNDS:]
        m, count, more = self.m[kept], self.count[kept], n - self.n
        b = self.b[kept] + more * count
        f = self.f[kept] + more * (m * m - count)
        return Bounds(m, f, b, self.first[kept], self.last[kept], count, n)

    def covered(self, z: float) -> tuple[Floats, Floats]:
        """Return, for each bound, the ends of the means that have no Z above z; an empty interval where there are none.

        (1 + q) (mu - m / (1 + q))^2 is no more than  f / n - q m^2 / (1 + q) = m^2 / (1 + q) - b / n.
        """
        q = self.n / (z * z)
        square = self.f / self.n - q * self.m**2 / (1 + q) if q <= 1 else self.m**2 / (1 + q) - self.b / self.n
        some = square >= 0
        radius = np.sqrt(np.where(some, square, 0.0) / (1 + q))
        centre = self.m / (1 + q)
        radius -= ROUNDING * np.abs(centre)
        some &= radius > 0
        low = np.where(some, np.maximum(centre - radius, self.first), np.inf)
        return low, np.where(some, np.minimum(centre + radius, self.last), -np.inf)

    def most(self, first: float, last: float) -> float:
        """Return the largest Z that the bounds leave to means between two ends: for each bound it is at an end."""
        here = (self.first <= first) & (self.last >= last)
        mu = np.array([[first], [last]])
        spread = self.f[here] - self.n * (mu - self.m[here]) ** 2
        z = np.where(spread > 0, self.n * mu / np.sqrt(np.where(spread > 0, spread, 1.0)), np.inf)
        return float(z.max(axis=0).min(initial=np.inf))


def gaps(low: Floats, high: Floats, first: float, last: float) -> tuple[Floats, Floats]:
    """Return the ends of what intervals leave open between two numbers.

    Examples
    --------
    >>> import numpy as np
    >>> gaps(np.array([4.0, 1.0, 1.5]), np.array([5.0, 2.0, 3.0]), 0.0, 9.0)
    (array([0., 3., 5.]), array([1., 4., 9.]))
    """
    some = low < high
    low, high = low[some], high[some]
    order = np.argsort(low)
    start = np.maximum.accumulate(np.append(first, high[order]))
    stop = np.minimum(np.append(low[order], last), last)
    some = stop > start
    return start[some], stop[some]


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
