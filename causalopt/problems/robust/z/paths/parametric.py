"""Exact extremes of the robust Z statistic by parametric assignment.

For the matchings of exactly n pairs, with S the sum of the differences and V the sum of their squares,
Z = S / sqrt(V - S^2 / n) grows with R = S^2 / V on either side of S = 0. Everything below is about one *side*: the
differences are multiplied by its sign, so that its extreme is the largest Z.

- Where some S > 0, the differences of the best matching deviate least from a common mean, relative to it. Every mean
  is covered by a bound on the spread, from the nearest differences of each unit where they suffice, and else from an
  assignment (`cover`). In the plane of S and V this walks round the hull of the matchings, on whose vertices
  R is largest, but only where it comes near the best one.
- Where every S < 0, R is to be least: its minimum over the hull bounds it, and branch and bound closes what is left
  between the hull and the best matching (`small`).

Every bound is recomputed from the multipliers of its linear program by weak duality (`FlowGraph.proven`), or is a sum
of least squares over units.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from causalopt.modeling.program import Ints
from causalopt.problems.robust.z.paths.bounds import Bounds
from causalopt.problems.robust.z.paths.cover import Cover
from causalopt.problems.robust.z.paths.hull import EXACT, Point, relative_gap, z_of_ratio
from causalopt.problems.robust.z.paths.side import Side
from causalopt.problems.robust.z.paths.small import Effort, smallest
from causalopt.verifying.claims import Proof


@dataclasses.dataclass(frozen=True, eq=False)
class Extreme:
    """The largest Z of a side, as far as a search found it.

    Attributes
    ----------
    flow : int array
        The matching that attains `z`.
    z : float
        In the side's sign: the least Z of the data is minus that of the other side.
    bound : float
        No matching has a larger Z; infinite where nothing is proven.
    proof : Proof
        Whether the bound comes from certified linear programs alone, or leans on a solver's word.
    evaluations, nodes : int
        Programs solved; nodes of branch and bound.
    stopped : str
        Which limit stopped the search, in words; empty where it ran to its end.
    note : str
    """

    flow: Ints
    z: float
    bound: float
    proof: Proof = Proof.CERTIFIED
    evaluations: int = 0
    nodes: int = 0
    stopped: str = ""
    note: str = ""

    @property
    def gap(self) -> float:
        """|bound - z| relative to |z|, or to one where |z| is smaller."""
        return relative_gap(self.z, self.bound)

    @property
    def is_exact(self) -> bool:
        """Whether bound and value agree but for rounding."""
        return self.gap <= EXACT


#: Rounding of a bound on R = S^2 / V, relative to n.
RATIO_ROUNDING = 4e-15


def extreme(side: Side, effort: Effort | None = None) -> Extreme | None:
    """Return the largest Z of a side, exact or within a certified gap; None where there are not n pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from causalopt.problems.robust.z.paths.network import PairNetwork
    >>> i, j = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> network = PairNetwork.merged(i, j, np.array([0.0, 1.0]), np.array([10.0, 13.0]))
    >>> round(extreme(Side(network, 2, -1)).z, 4)  # Z = -15.5563: exact, where a greedy search finds -7.7782
    15.5563
    """
    before = side.evaluations
    effort = effort or Effort()
    start = beginning(side)
    if start is None:
        return None
    best, largest_mean, bounds = start
    if best.s > 1e-14 * side.n:
        cover = Cover(side, best, largest_mean, bounds, effort.deadline)
        best, bound, ended = cover.run()
        side.known.remember(side.n, best, largest_mean, cover.bounds)
        stopped = "" if ended else "time"
        return Extreme(best.flow, side.z(best), bound, evaluations=side.evaluations - before, stopped=stopped)
    side.known.m = np.nan  # nor will more pairs have a positive sum
    if best.s >= -1e-14 * side.n:
        return Extreme(best.flow, 0.0, 0.0, evaluations=side.evaluations - before)
    mirror = side.mirrored()
    point, ratio, nodes, stopped = smallest(mirror, effort)
    evaluations = side.evaluations - before + mirror.evaluations
    # R comes near n where differences are nearly equal, and Z is then a matter of the last digits of n - R.
    ratio = side.n if np.ptp(side.delta) == 0 else min(ratio, side.n) - RATIO_ROUNDING * side.n
    z, limit = -mirror.z(point), -z_of_ratio(ratio, side.n)
    return Extreme(point.flow, z, max(z, limit), Proof.CERTIFIED, evaluations, nodes, stopped)


def beginning(side: Side) -> tuple[Point, float, Bounds] | None:
    """Return a matching, a bound on the mean, and other bounds; the matching of largest S where that is not positive.

    None where there is no matching.
    """
    known = side.known
    # Taking pairs away would subtract large terms from each other.
    bounds = known.bounds.moved(side.n) if side.n >= known.n else Bounds.none(side.n)
    if np.isfinite(known.m) and side.n >= known.n:
        found = side.around(known.m)
        if found is None:
            return None
        if found.point.s > 1e-14 * side.n:
            return found.point, known.largest_mean, bounds.with_line(known.m, found.f, found.b, found.count)
    line = side.ask(1.0, 0.0)
    return None if line is None else (line.point, line.bound / side.n, bounds)
