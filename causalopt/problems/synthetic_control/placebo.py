"""Placebo tests of synthetic controls, in space and in time, and what each donor contributes.

Abadie, Diamond and Hainmueller (2010), JASA 105:493-505, section 3.4, and (2015), American Journal of Political
Science 59:495-510, section 4; cited as [ADH].
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import numbers
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import CausaloptWarning, DataError, OptionError
from causalopt.messages import argument
from causalopt.modeling.program import Floats
from causalopt.problems.synthetic_control.apart import call_apart
from causalopt.problems.synthetic_control.data import Study
from causalopt.problems.synthetic_control.fit import COUNTS
from causalopt.problems.synthetic_control.panel import label_index
from causalopt.solving.dispatch import solve
from causalopt.study.times import time_name

#: A root mean squared error below this part of the outcomes' size is a perfect fit: what is left is rounding.
PERFECT = 1e-9


@dataclasses.dataclass(frozen=True, eq=False)
class SpacePlacebo:
    """Each donor in the part of the treated unit.

    Attributes
    ----------
    table : DataFrame
        By unit, treated units first: `att`, `pre rmspe`, `post rmspe`, `rmspe ratio`, `unique` (whether the weights
        are) and `role` ("treated", "placebo", or "poor fit" for placebos that do not count).
    gaps : DataFrame (times x units)
    p_value : float, or Series by treated unit
        Share of the treated unit and the placebos that count whose ratio of errors, after over before the treatment,
        is at least that of the treated unit ([ADH] 2015 section 4.2). With J placebos it cannot be below 1/(J + 1).
    """

    table: pd.DataFrame
    gaps: pd.DataFrame
    p_value: Any

    def __str__(self) -> str:
        count = int((self.table["role"] == "placebo").sum())
        values = self.p_value if isinstance(self.p_value, pd.Series) else pd.Series([self.p_value])
        least = np.isclose(values, 1 / (1 + count))
        shown = ", ".join(
            f"{value:.4g}" + (" (the least possible)" if at_least else "")
            for value, at_least in zip(values, least, strict=True)
        )
        return f"p = {shown} by the ratio of errors after over before the treatment, {count} placebos"


@dataclasses.dataclass(frozen=True, eq=False)
class TimePlacebo:
    """The treated unit as if treated earlier, on data from before the treatment alone.

    Attributes
    ----------
    table : DataFrame
        By placebo time (and treated unit, where there are several): `att` from then until the treatment, `pre rmspe`,
        `post rmspe`, `rmspe ratio`.
    gaps : DataFrame
        By time; one column by placebo time (and treated unit).
    """

    table: pd.DataFrame
    gaps: pd.DataFrame


@dataclasses.dataclass(frozen=True, eq=False)
class LeaveOneOut:
    """The treated unit without each donor that has a weight.

    Attributes
    ----------
    table : DataFrame
        By donor left out, after a first row "(none)": `att`, `pre rmspe`, and `weight`, what the donor had (of several
        treated units the largest).
    gaps : DataFrame
        By time; one column by donor left out (mean over the treated units).
    """

    table: pd.DataFrame
    gaps: pd.DataFrame

    @property
    def att_range(self) -> tuple[float, float]:
        """Smallest and largest effect of all rows."""
        return float(self.table["att"].min()), float(self.table["att"].max())


@dataclasses.dataclass(frozen=True)
class _Refit:
    """What a refit leaves behind, by fit."""

    gaps: Floats
    n_pre: int
    unique: bool
    size: float

    def measures(self) -> dict[str, Floats]:
        pre = np.sqrt((self.gaps[: self.n_pre] ** 2).mean(axis=0))
        post = np.sqrt((self.gaps[self.n_pre :] ** 2).mean(axis=0))
        perfect = pre <= PERFECT * self.size
        ratio = np.where(perfect & (post <= PERFECT * self.size), 0.0, np.inf)
        np.divide(post, pre, out=ratio, where=~perfect)
        att = self.gaps[self.n_pre :].mean(axis=0)
        return {"att": att, "pre rmspe": pre, "post rmspe": post, "rmspe ratio": ratio}


def _read(result: Any) -> _Refit:
    study: Study = result.problem.study
    size = float(np.abs(study.panel.values).max())
    return _Refit(result._gap_values, study.n_pre, result.weights_are_unique, size)


def _refits(variant: Callable[..., Any], solver: str, changes: Sequence[Mapping[str, Any]]) -> list[_Refit]:
    """Solve a problem's variants; in a process of its own where there are several."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausaloptWarning)  # weights that are not unique are in the table
        return [_read(solve(variant(**change), solver)) for change in changes]


def _refit_all(result: Any, changes: Sequence[Mapping[str, Any]], workers: int) -> list[_Refit]:
    """Refit with each set of changes, in this process or in several."""
    if not (isinstance(workers, int) and workers >= 1):
        raise OptionError(f"{argument('workers')} is {workers!r}; it must be a positive whole number.")
    variant, solver = result.problem.variant, result.solver
    count = min(workers, len(changes))
    if count < 2:
        return _refits(variant, solver, changes)
    refits: list[Any] = [None] * len(changes)
    for k, part in enumerate(call_apart(_refits, [(variant, solver, changes[k::count]) for k in range(count)])):
        refits[k::count] = part
    return refits


def _tables(refits: Sequence[_Refit], index: pd.Index, times: pd.Index) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return effects and errors, with a row for each fit of each refit, and gaps, with a column for each."""
    measures = [refit.measures() for refit in refits]
    table = pd.DataFrame({key: np.concatenate([m[key] for m in measures]) for key in measures[0]}, index=index)
    return table, pd.DataFrame(np.column_stack([refit.gaps for refit in refits]), index=times, columns=index)


def in_space(
    result: Any,
    *,
    max_fit_ratio: float | None = None,
    workers: int = 1,
    draws: int = 500,
    seed: int = 0,
) -> SpacePlacebo:
    """Refit with each donor in the part of the treated unit, predicted from the other donors.

    The treated units are never donors. A penalty that was chosen stays; a search for v is made anew for each donor.

    Parameters
    ----------
    result : SyntheticControlResult
    max_fit_ratio : float, optional
        Leave placebos out of the test whose root mean squared error before the treatment is more than this times that
        of the treated unit ([ADH] 2010 section 3.4); they stay in the table.
    workers : int
        Processes. One is fastest with `active-set`, which takes milliseconds a donor.
    draws, seed : int
        For an average of k treated units (pooled=True) the placebos are averages of k donors: all sets of k, or this
        many drawn at random.

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> outcomes = pd.DataFrame(np.random.default_rng(1).normal(size=(12, 9)).cumsum(axis=0))
    >>> outcomes.loc[8:, 0] += 25
    >>> placebo = co.solve(co.SyntheticControlProblem(outcomes, 0, 8)).placebo_in_space()
    >>> round(placebo.p_value, 4), len(placebo.table)
    (0.1111, 9)
    """
    study: Study = result.problem.study
    sets, names = _pretended(study, draws, seed)
    changes = [
        {"treated": members, "donors": [label for label in study.design.donors if label not in members]}
        for members in sets
    ]
    refits = [_read(result), *_refit_all(result, changes, workers)]
    table, gaps = _tables(refits, label_index([*study.labels, *names], "unit"), study.panel.times)
    n = len(study.labels)
    table["unique"] = [refits[0].unique] * n + [refit.unique for refit in refits[1:]]
    table["role"] = ["treated"] * n + ["placebo"] * len(sets)
    if max_fit_ratio is not None:
        if not max_fit_ratio > 0:
            raise OptionError(f"{argument('max_fit_ratio')} is {max_fit_ratio!r}; it must be positive.")
        worst = float(table["pre rmspe"].iloc[:n].max()) * max_fit_ratio
        table.loc[(table["role"] == "placebo") & (table["pre rmspe"] > worst), "role"] = "poor fit"
    return SpacePlacebo(table, gaps, _p_value(table, n))


def _pretended(study: Study, draws: int, seed: int) -> tuple[list[list[Any]], list[Any]]:
    """Return the sets of donors that play the part of the treated, and their names."""
    donors, group = study.design.donors, len(study.design.treated) if study.averages else 1
    if len(donors) < 2:
        raise DataError("Placebos take at least two donors, of which each is predicted from the others.")
    if group == 1:
        return [[label] for label in donors], list(donors)
    if len(donors) <= group:
        raise DataError(f"Placebos of averages of {group} units take more than {group} donors.")
    sets = _sets_of(donors, group, draws, seed)
    return sets, [" + ".join(map(str, members)) for members in sets]


def _p_value(table: pd.DataFrame, n: int) -> Any:
    """Return the p-value of the treated unit; of several, the first n of the table, a Series."""
    ratios = table.loc[table["role"] == "placebo", "rmspe ratio"].to_numpy()
    p = [(1 + int((ratios >= own).sum())) / (1 + len(ratios)) for own in table["rmspe ratio"].iloc[:n]]
    return p[0] if n == 1 else pd.Series(p, index=table.index[:n], name="p value")


def _sets_of(donors: Sequence[Any], size: int, draws: int, seed: int) -> list[list[Any]]:
    if math.comb(len(donors), size) <= draws:
        return [list(members) for members in itertools.combinations(donors, size)]
    rng = np.random.default_rng(seed)
    chosen: dict[tuple[int, ...], None] = {}
    while len(chosen) < draws:
        chosen[tuple(sorted(rng.choice(len(donors), size, replace=False).tolist()))] = None
    return [[donors[i] for i in members] for members in chosen]


def _as_time(time: Any, before: pd.Index) -> Any:
    """Return a time as the panel has it: a date that is given as text becomes one."""
    try:
        if isinstance(before, pd.DatetimeIndex):
            if isinstance(time, numbers.Number):
                raise TypeError
            time = pd.Timestamp(time)
        elif isinstance(before, pd.PeriodIndex):
            time = pd.Period(time, freq=before.freq)
        before[0] < time  # noqa: B015
    except (TypeError, ValueError):
        raise DataError(
            f"The placebo time {time!r} cannot be compared with the panel's times, {before[0]!r} to {before[-1]!r}."
        ) from None
    return time


def in_time(result: Any, times: Any = None, *, workers: int = 1) -> TimePlacebo:
    """Refit as if treated earlier, on the times before the treatment alone ([ADH] 2015 section 4.1).

    Each placebo time has at least two times before it; they are those of the later half before the treatment unless
    given.

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> outcomes = pd.DataFrame(np.random.default_rng(1).normal(size=(12, 9)).cumsum(axis=0))
    >>> result = co.solve(co.SyntheticControlProblem(outcomes, 0, 8))
    >>> result.placebo_in_time([6]).table.index.tolist()
    [6]
    """
    study: Study = result.problem.study
    n_pre, before = study.n_pre, study.panel.times[: study.n_pre]
    if n_pre < 3:
        raise DataError("A placebo in time takes at least three times before the treatment.")
    chosen = list(before[max(2, n_pre // 2) :])
    if times is not None:
        chosen = [_as_time(time, before) for time in ([times] if pd.api.types.is_scalar(times) else times)]
    if not chosen:
        raise DataError("No placebo time is named: give at least one before the treatment.")
    for time in chosen:
        if not before[0] < time <= before[-1]:
            raise DataError(
                f"The placebo time {time_name(time)} must lie before the treatment: after {time_name(before[0])}, "
                f"up to {time_name(before[-1])}."
            )
    panel = dataclasses.replace(study.panel, values=study.panel.values[:n_pre], times=before, checked=True)
    refits = _refit_all(result, [{"outcomes": panel, "treatment_time": time} for time in chosen], workers)
    index = pd.Index(chosen, name="time")
    if len(study.labels) > 1:
        index = pd.MultiIndex.from_product([chosen, label_index(study.labels, "unit")], names=["time", "unit"])
    return TimePlacebo(*_tables(refits, index, before))


def leave_one_out(result: Any, *, workers: int = 1) -> LeaveOneOut:
    """Refit without each donor that has a weight ([ADH] 2015 section 4.3).

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> outcomes = pd.DataFrame(np.random.default_rng(1).normal(size=(12, 9)).cumsum(axis=0))
    >>> result = co.solve(co.SyntheticControlProblem(outcomes, 0, 8))
    >>> table = result.leave_one_out().table
    >>> bool((table["pre rmspe"] >= table.loc["(none)", "pre rmspe"] - 1e-9).all())
    True
    """
    study: Study = result.problem.study
    donors = study.design.donors
    if len(donors) < 2:
        raise DataError("There is one donor: nothing is left without it.")
    heaviest = result.weight_table.abs().max(axis=1).to_numpy()
    places = np.flatnonzero(heaviest > COUNTS)
    left_out = [donors[j] for j in places]
    changes = [{"donors": [label for label in donors if label != out]} for out in left_out]
    refits = [_read(result), *_refit_all(result, changes, workers)]
    index = label_index(["(none)", *left_out], "left out")
    att = [float(refit.gaps[refit.n_pre :].mean()) for refit in refits]
    error = [float(np.sqrt((refit.gaps[: refit.n_pre] ** 2).mean())) for refit in refits]
    weight = [np.nan, *heaviest[places]]
    table = pd.DataFrame({"att": att, "pre rmspe": error, "weight": weight}, index=index)
    gaps = np.column_stack([refit.gaps.mean(axis=1) for refit in refits])
    return LeaveOneOut(table, pd.DataFrame(gaps, index=study.panel.times, columns=index))
