"""Lower bounds on the spread of the matchings of n pairs around a number, and the means that they cover.

See `cover`, whose notation this is.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from causalopt.modeling.program import Floats

#: Bounds kept for the next n.
MOST_BOUNDS = 2000

#: Rounding of a mean, relative to it: intervals end so much earlier, and windows so much later.
ROUNDING = 1e-15


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
