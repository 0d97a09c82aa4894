"""Tolerances chosen by what balance costs in effective sample size; outcomes are never looked at.

`causalopt.problems.balance.search` has the search, and why it is exact.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import OptionError
from causalopt.messages import argument
from causalopt.modeling.program import Floats
from causalopt.problems.balance.frontier import Sweep
from causalopt.problems.balance.problem import BalanceProblem
from causalopt.problems.balance.result import BalanceResult
from causalopt.problems.balance.search import Search, check_groups, wanted_sizes
from causalopt.solving.answer import Answer
from causalopt.solving.dispatch import solve
from causalopt.solving.options import unknown_name
from causalopt.solving.result import Result
from causalopt.verifying.claims import Reason, Termination


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
        return dict(zip(self.result.study.names, map(float, self.result.study.tolerance), strict=True))

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
        raise OptionError(f"{argument('precision')} is {precision!r}; it must be between 0 and 1.")
    search = Search(problem, wanted_sizes(problem.study, effective_sample_size), vary, solver)
    low, high = search.bracket(search.loosest(), precision)
    result = solve(problem.with_tolerance(search.tolerances(high)), solver)
    table = pd.DataFrame(search.tried, columns=["tolerance", "status", *search.wanted.index]).sort_values("tolerance")
    return TightestTolerance(high, (low, high), search.wanted, result, table.reset_index(drop=True), vary)


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
    study = result.study
    check_groups(study)
    imbalance = np.zeros(len(study.names))
    for group in study.groups:
        imbalance = np.maximum(imbalance, np.abs(group.rows[:-1] @ result._of(group) / group.size / group.unit))
    lost = _shares_lost(result).max(axis=0)
    index = pd.Index(study.names, name="covariate")
    table = pd.DataFrame({"tolerance": study.tolerance, "imbalance": imbalance, "share lost": lost}, index=index)
    return table.sort_values("share lost", kind="stable")


def _shares_lost(result: BalanceResult) -> Floats:
    """Return the least share of its size that each group loses (rows) where each tolerance is halved (columns)."""
    study = result.study
    size = np.array([group.size for group in study.groups])[:, None]
    square = np.array([float((result._of(group) ** 2).sum()) for group in study.groups])[:, None] / size
    after = square + result.multipliers(by_covariate=True) * study.tolerance / 2 / size
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
    check_groups(problem.study)
    wanted = wanted_sizes(problem.study, effective_sample_size) if effective_sample_size else None
    sweep = Sweep(problem.study, problem._of, solver)
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
    sizes = np.array([group.size for group in result.study.groups])
    return np.asarray(result.effective_sample_size.to_numpy() / sizes)
