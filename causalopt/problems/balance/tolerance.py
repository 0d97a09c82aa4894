"""Tolerances chosen by what balance costs in effective sample size; outcomes are never looked at.

For one group of r units with weights u of mean one, let V(d) be the least sum of (u_i - 1)^2 over the weights within
tolerances d. Whoever meets tighter tolerances meets looser ones, so V never rises as d grows; and the average of the
best weights for d and d' meets the average tolerance, so V is convex in d. With  sum u_i^2 = V + r  the effective
sample size is  r^2 / (r + V),  which therefore never falls as d grows: the tightest tolerance that keeps a given
effective sample size is the root of a convex, falling function. Its tangent at a point that is too tight (from the
multipliers) and its chord to a point that is loose enough enclose the root from either side.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, InfeasibleError, OptionError
from causalopt.modeling.program import Floats
from causalopt.problems.balance.frontier import Sweep
from causalopt.problems.balance.problem import BalanceProblem
from causalopt.problems.balance.result import BalanceResult
from causalopt.solving.answer import Answer
from causalopt.solving.dispatch import solve
from causalopt.solving.options import unknown_name
from causalopt.solving.result import Result
from causalopt.verifying.claims import Reason, Termination

#: Steps of the search after which its bracket is returned as it is.
MOST_STEPS = 60


@dataclasses.dataclass(frozen=True, eq=False)
class TightestTolerance(Answer):
    """The tightest tolerance that keeps an effective sample size, found without outcomes.

    Attributes
    ----------
    tolerance : float
        The common tolerance of every covariate, or the factor on the tolerances given (see `vary`); it keeps the size.
    bracket : (float, float)
        The tightest tolerance that keeps the size is above the first, where the size was found too small or no weights
        exist, and at most the second, which is `tolerance`.
    wanted : Series
        The effective sample size to keep, by group.
    result : BalanceResult
        The weights at `tolerance`.
    table : DataFrame
        Every tolerance tried: `tolerance`, `status`, and the effective sample size of each group.
    vary : str
    """

    tolerance: float
    bracket: tuple[float, float]
    wanted: pd.Series
    result: BalanceResult
    table: pd.DataFrame
    vary: str

    @property
    def effective_sample_size(self) -> pd.Series:
        """The effective sample size that is kept, by group."""
        return self.result.effective_sample_size

    @property
    def tolerances(self) -> dict[str, float]:
        """The tolerances by covariate function, as `tolerance=` takes them."""
        return dict(zip(self.result.problem.names, map(float, self.result.problem.tolerance), strict=True))

    def __str__(self) -> str:
        return self.explain()


def tightest_tolerance(
    problem: BalanceProblem,
    effective_sample_size: float,
    *,
    vary: str = "common",
    precision: float = 1e-3,
    solver: str = "auto",
) -> TightestTolerance:
    """Return the tightest tolerance whose least-variance weights keep an effective sample size.

    Parameters
    ----------
    problem : BalanceProblem
        Its tolerances are the start for `vary="multiplier"`, and replaced for `vary="common"`.
    effective_sample_size : float
        (sum w)^2 / sum w^2 to keep in every weighted group: a share of the group's size up to 1, a number of units
        above.
    vary : {"common", "multiplier"}
        One tolerance for every covariate function, in the units of `scale`; or one factor on the given tolerances, of
        which those that are zero stay exact.
    precision : float
        Width of the bracket, relative to the tolerance.
    solver : str
        As in `BalanceProblem.frontier`.

    Returns
    -------
    TightestTolerance

    Notes
    -----
    No outcome is an argument, and none is looked at: the choice is part of the design (Rubin 2008, Annals of Applied
    Statistics 2:808).

    The search is exact because the effective sample size never falls as the tolerance grows. Proof: weights within
    tighter tolerances are within looser ones, so that the least sum of (u - 1)^2 = sum u^2 - r never rises, and the
    effective sample size is r^2 / sum u^2. With sampling or base weights, the L1 or Linf norm, or tolerances between
    groups, what is minimised is not sum u^2 of a group; the argument fails, and such problems are refused.

    Raises
    ------
    DataError
        For such problems, and a size that is not a positive number.
    OptionError
        For an unknown `vary`, and a precision that is not between 0 and 1.
    InfeasibleError
        Where not even the loosest tolerances keep the size: more units than the group has, or covariates that are to
        be balanced exactly; the explanation has the price of each.

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> rng = np.random.default_rng(0)
    >>> x = pd.DataFrame({"age": rng.normal(40, 10, 200), "female": rng.integers(0, 2, 200)})
    >>> treated = (x["age"] + rng.normal(0, 15, 200) > 45).astype(int)
    >>> found = co.tightest_tolerance(co.BalanceProblem(x, treated), 0.8)
    >>> print(found)
    The tightest tolerance that keeps an effective sample size of 93.6 is a
    tolerance of 0.1535 for every covariate: it keeps 93.6. Anything at or below
    0.15332 is too tight; the answer is exact to the difference. 6 tolerances were
    tried. No outcome was looked at.
    """
    if vary not in ("common", "multiplier"):
        raise OptionError(unknown_name("vary", str(vary), ("common", "multiplier")))
    if not 0 < precision < 1:
        raise OptionError(f"precision is {precision!r}; it must be between 0 and 1.")
    search = _Search(problem, wanted_sizes(problem, effective_sample_size), vary, solver)
    low, high = search.bracket(search.loosest(), precision)
    result = solve(problem.with_tolerance(search.tolerances(high)), solver)
    table = pd.DataFrame(search.tried, columns=["tolerance", "status", *search.wanted.index]).sort_values("tolerance")
    return TightestTolerance(high, (low, high), search.wanted, result, table.reset_index(drop=True), vary)


class _Search:
    """The root of a convex, falling function, enclosed by its tangents and chords."""

    def __init__(self, problem: BalanceProblem, wanted: pd.Series, vary: str, solver: str) -> None:
        self.problem, self.wanted, self.vary = problem, wanted, vary
        self.direction = np.ones(len(problem.names)) if vary == "common" else problem.tolerance
        self.sizes = np.array([group.size for group in problem.groups], dtype=float)
        self.most = self.sizes**2 / wanted.to_numpy() - self.sizes  # of sum (u - 1)^2
        self.sweep = Sweep(problem, solver)
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
                f"{self._sizes(sizes)}. Give them tolerances (vary='common'), or keep less. The explanation has the "
                "price of each.",
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


def tightening_prices(result: BalanceResult) -> pd.DataFrame:
    """Return what it would cost, at least, to halve each tolerance: the cheapest covariates to tighten first.

    Of each covariate function, the largest `imbalance` over the groups (in the tolerance's unit) and its `tolerance`;
    and `share lost`: by how much, to first order, the effective sample size would fall, as a share of the group's size
    (the largest over the groups). From the multipliers: a lower bound of what is lost, since the least variance is
    convex in the tolerances. No outcome is looked at.

    Parameters
    ----------
    result : BalanceResult

    Returns
    -------
    DataFrame
        By covariate function, the cheapest first.

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> rng = np.random.default_rng(0)
    >>> x = pd.DataFrame({"age": rng.normal(40, 10, 200), "female": rng.integers(0, 2, 200)})
    >>> treated = (x["age"] + rng.normal(0, 15, 200) > 45).astype(int)
    >>> result = co.solve(co.BalanceProblem(x, treated, tolerance=0.1))
    >>> co.tightening_prices(result).index.tolist()
    ['female', 'age']
    """
    problem = result.problem
    check_groups(problem)
    imbalance = np.zeros(len(problem.names))
    for group in problem.groups:
        imbalance = np.maximum(imbalance, np.abs(group.rows[:-1] @ result._of(group) / group.size / group.unit))
    lost = _shares_lost(result).max(axis=0)
    index = pd.Index(problem.names, name="covariate")
    table = pd.DataFrame({"tolerance": problem.tolerance, "imbalance": imbalance, "share lost": lost}, index=index)
    return table.sort_values("share lost", kind="stable")


def _shares_lost(result: BalanceResult) -> Floats:
    """Return the least share of its size that each group loses (rows) where each tolerance is halved (columns)."""
    problem = result.problem
    size = np.array([group.size for group in problem.groups])[:, None]
    square = np.array([float((result._of(group) ** 2).sum()) for group in problem.groups])[:, None] / size
    after = square + result.multipliers(by_covariate=True) * problem.tolerance / 2 / size
    return np.asarray(np.maximum(1 / square - 1 / after, 0.0))


def tighten(
    problem: BalanceProblem, steps: int | None = None, *, effective_sample_size: float = 0.0, solver: str = "auto"
) -> pd.DataFrame:
    """Halve the tolerances of the cheapest covariates first, and return what each step costs.

    The path goes in rounds. In each, every tolerance is halved once: at each step the one that is cheapest to halve by
    `tightening_prices` at the weights reached so far (in the order of the covariates among equal prices, such as those
    of tolerances that do not bind). No outcome is looked at.

    Parameters
    ----------
    problem : BalanceProblem
    steps : int, optional
        How many; one for each covariate function, a whole round, unless given.
    effective_sample_size : float
        Steps that leave less in any group are not taken: a share of its size up to 1, a number of units above.
    solver : str
        As in `BalanceProblem.frontier`.

    Returns
    -------
    DataFrame
        By step (0 is the problem as given): the `covariate` and its new `tolerance`; `status`: "optimal", or
        "infeasible" or "too costly" for a step that is not taken (the covariate keeps its tolerance, and is left alone
        from then on); the `share` that the effective sample size is of the group's size (the smallest over the
        groups), and `share at most`, what the multipliers allow. `attrs["tolerances"]` has the tolerances at the end.

    Raises
    ------
    DataError
        As in `tightest_tolerance`.
    InfeasibleError
        Where the tolerances given cannot be met, to begin with.

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> rng = np.random.default_rng(0)
    >>> x = pd.DataFrame({"age": rng.normal(40, 10, 200), "female": rng.integers(0, 2, 200)})
    >>> treated = (x["age"] + rng.normal(0, 15, 200) > 45).astype(int)
    >>> path = co.tighten(co.BalanceProblem(x, treated, tolerance=0.2), 3)
    >>> path.attrs["tolerances"]
    {'age': 0.1, 'female': 0.05}
    """
    check_groups(problem)
    wanted = wanted_sizes(problem, effective_sample_size) if effective_sample_size else None
    sweep = Sweep(problem, solver)
    tolerance = problem.tolerance.copy()
    halved = np.where(tolerance > 0, 0, np.inf)  # how often; infinite for those left alone
    result = sweep.at(tolerance)
    if result is None:
        raise problem.infeasible(Result(status=Termination(Reason.INFEASIBLE), solver=solver))
    rows: list[tuple[Any, ...]] = [("", np.nan, "optimal", np.nan, _shares(result).min())]
    for _ in range(len(problem.names) if steps is None else steps):
        lost = _shares_lost(result)
        prices = lost.max(axis=0)
        open_ones = np.flatnonzero(np.isfinite(halved))
        if not len(open_ones):
            break
        p = int(min(open_ones, key=lambda k: (halved[k], max(prices[k] - 1e-9, 0.0), k)))
        trial = tolerance.copy()
        trial[p] /= 2
        answer = sweep.at(trial)
        costly = (
            answer is not None and wanted is not None and (answer.effective_sample_size < wanted * (1 - 1e-9)).any()
        )
        status = "infeasible" if answer is None else "too costly" if costly else "optimal"
        share = np.nan if answer is None else _shares(answer).min()
        at_most = float((_shares(result) - lost[:, p]).min())
        rows.append((problem.names[p], trial[p], status, at_most, share))
        if answer is None or costly:
            halved[p] = np.inf
            continue
        halved[p] += 1
        tolerance, result = trial, answer
    names = ["covariate", "tolerance", "status", "share at most", "share"]
    table = pd.DataFrame(rows, columns=names).rename_axis("step")
    table.attrs["tolerances"] = dict(zip(problem.names, tolerance.tolist(), strict=True))
    return table


def _shares(result: BalanceResult) -> Floats:
    """Return the share that the effective sample size is of each group's size."""
    sizes = np.array([group.size for group in result.problem.groups])
    return np.asarray(result.effective_sample_size.to_numpy() / sizes)


def wanted_sizes(problem: BalanceProblem, size: float) -> pd.Series:
    """Return the effective sample size to keep in each group."""
    check_groups(problem)
    number = isinstance(size, int | float | np.number) and not isinstance(size, bool)
    if not (number and 0 < size < np.inf):
        raise DataError(f"effective_sample_size is {size!r}; it must be a share up to 1, or a number of units.")
    wanted = []
    for group in problem.groups:
        own = float(size) * group.size if size <= 1 else float(size)
        if own > group.size:
            raise InfeasibleError(
                f"No weights have an effective sample size of {own:,.1f} in group {group.label}: it has "
                f"{group.size:,} units, and equal weights keep them all.",
                pd.DataFrame({"asked": [own], "largest": [float(group.size)]}, index=[group.label]),
            )
        wanted.append(own)
    return pd.Series(wanted, index=pd.Index([g.label for g in problem.groups], name="group"), name="wanted")


def check_groups(problem: BalanceProblem) -> None:
    """Raise `DataError` where the effective sample size need not fall as tolerances do."""
    plain = all(np.isscalar(g.base) and np.isscalar(g.spread) for g in problem.groups)
    if problem.norm != "l2":
        why = f"norm {problem.norm!r} does not minimise the variance of the weights"
    elif problem.between is not None:
        why = "between= ties the groups together, so that one may gain while another loses"
    elif not plain:
        why = "with sampling or base weights it is the distance to these that is minimised"
    else:
        return
    raise DataError(
        f"The effective sample size need not fall as the tolerances do: {why}. Use frontier(), or try tolerances."
    )
