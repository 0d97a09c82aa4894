"""The search for the tightest tolerance that keeps an effective sample size.

For one group of r units with weights u of mean one, let V(d) be the least sum of (u_i - 1)^2 over the weights within
tolerances d. Whoever meets tighter tolerances meets looser ones, so V never rises as d grows; and the average of the
best weights for d and d' meets the average tolerance, so V is convex in d. With  sum u_i^2 = V + r  the effective
sample size is  r^2 / (r + V),  which therefore never falls as d grows: the tightest tolerance that keeps a given
effective sample size is the root of a convex, falling function. Its tangent at a point that is too tight (from the
multipliers) and its chord to a point that is loose enough enclose the root from either side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, InfeasibleError
from causalopt.messages import argument, call
from causalopt.modeling.program import Floats
from causalopt.problems.balance.data import BalanceStudy
from causalopt.problems.balance.frontier import Sweep
from causalopt.problems.balance.problem import BalanceProblem
from causalopt.solving.result import Result
from causalopt.verifying.claims import Reason, Termination

#: Steps of the search after which its bracket is returned as it is.
MOST_STEPS = 60


class Search:
    """The root of a convex, falling function, enclosed by its tangents and chords."""

    def __init__(self, problem: BalanceProblem, wanted: pd.Series, vary: str, solver: str) -> None:
        self.problem, self.wanted, self.vary = problem, wanted, vary
        self.direction = np.ones(len(problem.names)) if vary == "common" else problem.tolerance
        self.sizes = np.array([group.size for group in problem.groups], dtype=float)
        self.most = self.sizes**2 / wanted.to_numpy() - self.sizes  # of sum (u - 1)^2
        self.sweep = Sweep(problem.study, problem._of, solver)
        self.tried: list[tuple[Any, ...]] = []

    def tolerances(self, d: float) -> Floats:
        """Return the tolerances at d; infinite ones stand for covariates left alone."""
        moved = self.direction > 0
        return np.where(moved, np.where(moved, self.direction, 1.0) * d, 0.0)

    def evaluate(self, d: float) -> tuple[Floats, Floats] | None:
        """Return sum (u - 1)^2 of each group at d, and its derivative; None where there are no weights."""
        answer = self.sweep.at(self.tolerances(d))
        if answer is None:
            self.tried.append((d, "infeasible", *np.full(len(self.sizes), np.nan)))
            return None
        self.tried.append((d, "optimal", *answer.effective_sample_size))
        values = np.array([float(((answer._of(g) - 1.0) ** 2).sum()) for g in self.problem.groups])
        return values, -answer.multipliers(self.direction)

    def loosest(self) -> float:
        """Return a tolerance that keeps the size: that which the weights without tolerances need."""
        free = self.sweep.at(self.tolerances(np.inf))
        if free is None:
            raise self.problem.with_tolerance(self.tolerances(np.inf)).infeasible(
                Result(status=Termination(Reason.INFEASIBLE))
            )
        sizes = free.effective_sample_size
        if (sizes < self.wanted * (1 - 1e-9)).any():
            exact = [name for name, d in zip(self.problem.names, self.direction, strict=True) if d == 0]
            raise InfeasibleError(
                f"Not even the loosest tolerances keep an effective sample size of {self._sizes(self.wanted)}: exact "
                f"balance of {', '.join(exact[:6])}{', ...' if len(exact) > 6 else ''} alone leaves "
                f"{self._sizes(sizes)}. Give them tolerances ({argument('vary', 'common')}), or keep less. The "
                "explanation has the price of each.",
                free.duals,
            )
        moved = self.direction > 0
        needed = [
            np.abs(g.rows[:-1] @ free._of(g) / g.size / g.unit)[moved] / self.direction[moved]
            for g in self.problem.groups
        ]
        return float(np.max(needed, initial=0.0)) * (1 + 1e-6)

    def _sizes(self, sizes: pd.Series) -> str:
        return ", ".join(f"{value:,.1f}" for value in sizes)

    def keeps(self, values: Floats) -> bool:
        """Return whether all groups keep their size."""
        return bool((values <= self.most * (1 + 1e-9) + 1e-9).all())

    def bracket(self, high: float, precision: float) -> tuple[float, float]:
        """Return a tolerance that is too tight, and one that is not, as near each other as asked for."""
        at_high = (np.zeros(len(self.sizes)), np.zeros(len(self.sizes)))
        low, at_low = 0.0, self.evaluate(0.0)
        if at_low is not None and self.keeps(at_low[0]):
            return 0.0, 0.0
        for step in range(MOST_STEPS):
            if high - low <= precision * high:
                break
            if at_low is None:  # no weights: nothing to go by but halves
                trial = (low + high) / 2 if low else high / 8
            elif step % 2:
                trial = self._chord(low, at_low[0], high, at_high[0])
            else:
                trial = self._tangent(low, *at_low)
            if not low < trial < high:
                trial = (low + high) / 2
            found = self.evaluate(trial)
            if found is not None and self.keeps(found[0]):
                high, at_high = trial, found
            else:
                low, at_low = trial, found
        return low, high

    def _tangent(self, low: float, values: Floats, slopes: Floats) -> float:
        """Return where the tangents of all groups have come down to what is allowed: never beyond the root."""
        short = values - self.most
        steps = np.divide(short, -slopes, out=np.zeros_like(short), where=(short > 0) & (slopes < 0))
        return low + float(steps.max())

    def _chord(self, low: float, values: Floats, high: float, others: Floats) -> float:
        """Return where the chords of all groups have come down to what is allowed: never short of the root."""
        short, fall = values - self.most, values - others
        share = np.divide(short, fall, out=np.zeros_like(short), where=(short > 0) & (fall > 0))
        return low + float(share.max()) * (high - low)


def wanted_sizes(study: BalanceStudy, size: float) -> pd.Series:
    """Return the effective sample size to keep in each group."""
    check_groups(study)
    number = isinstance(size, int | float | np.number) and not isinstance(size, bool)
    if not (number and 0 < size < np.inf):
        raise DataError(
            f"{argument('effective_sample_size')} is {size!r}; it must be a share up to 1, or a number of units."
        )
    wanted = []
    for group in study.groups:
        own = float(size) * group.size if size <= 1 else float(size)
        if own > group.size:
            raise InfeasibleError(
                f"No weights have an effective sample size of {own:,.1f} in group {group.label}: it has "
                f"{group.size:,} units, and equal weights keep them all.",
                pd.DataFrame({"asked": [own], "largest": [float(group.size)]}, index=[group.label]),
            )
        wanted.append(own)
    return pd.Series(wanted, index=pd.Index([g.label for g in study.groups], name="group"), name="wanted")


def check_groups(study: BalanceStudy) -> None:
    """Raise `DataError` where the effective sample size need not fall as tolerances do."""
    plain = all(np.isscalar(g.base) and np.isscalar(g.spread) for g in study.groups)
    if study.norm != "l2":
        why = f"norm {study.norm!r} does not minimise the variance of the weights"
    elif study.between is not None:
        why = f"{argument('between', assigned=True)} ties the groups together, so that one may gain while another loses"
    elif not plain:
        why = "with sampling or base weights it is the distance to these that is minimised"
    else:
        return
    raise DataError(
        f"The effective sample size need not fall as the tolerances do: {why}. Use {call('frontier')}, or try "
        "tolerances."
    )
