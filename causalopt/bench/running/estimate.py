"""How long a benchmark will still take: from what was seen, and never more sure than that."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from time import perf_counter

Place = tuple[str, str, str, float]
"""Instance, formulation, solver, and the most seconds that the run may take."""


class Estimate:
    """The time left: what is known of each remaining run, and beside it the most that the limits allow.

    A run is expected to take as long as the same contestant took on the same instance; if that is not known, as its
    median on others; else as the median of all.

    Parameters
    ----------
    seen : iterable of (instance, formulation, solver, seconds)
    todo : iterable of Place

    Examples
    --------
    >>> estimate = Estimate([("a", "", "highs", 2.0)], [("a", "", "highs", 10.0), ("a", "", "scip", 10.0)])
    >>> estimate.expected(), estimate.most()
    (4.0, 20.0)
    """

    def __init__(self, seen: Iterable[tuple[str, str, str, float]], todo: Iterable[Place]) -> None:
        self.seen: dict[tuple[str, str, str], list[float]] = {}
        for instance, formulation, solver, seconds in seen:
            self.seen.setdefault((instance, formulation, solver), []).append(seconds)
        self.todo = Counter(todo)
        self.text, self.written = "", -1.0

    @property
    def left(self) -> int:
        """How many runs are left."""
        return self.todo.total()

    def done(self, place: Place, seconds: float | None) -> None:
        """Take note that a run has ended, None for one that was left out."""
        self.todo[place] -= 1
        if self.todo[place] <= 0:
            del self.todo[place]
        if seconds is not None:
            self.seen.setdefault(place[:3], []).append(seconds)

    def expected(self) -> float | None:
        """Return the seconds left as far as can be known, None before anything was seen."""
        if not self.seen:
            return None
        by_solver: dict[str, list[float]] = {}
        for (_, _, solver), seconds in self.seen.items():
            by_solver.setdefault(solver, []).append(statistics.fmean(seconds))
        usual = {solver: statistics.median(values) for solver, values in by_solver.items()}
        otherwise = statistics.median(usual.values())
        total = 0.0
        for place, count in self.todo.items():
            own = self.seen.get(place[:3])
            total += count * min(statistics.fmean(own) if own else usual.get(place[2], otherwise), place[3])
        return total

    def most(self) -> float:
        """Return the seconds left if every run goes to its limit."""
        return float(sum(count * place[3] for place, count in self.todo.items()))

    def words(self) -> str:
        """Return the time left in words; computed at most once a second."""
        now = perf_counter()
        if now - self.written > 1.0 or not self.todo:
            expected = self.expected()
            most = duration(self.most())
            self.text = f"at most {most} left" if expected is None else f"about {duration(expected)}, at most {most}"
            self.written = now
        return self.text


def duration(seconds: float) -> str:
    """Write a duration for people: 45 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
