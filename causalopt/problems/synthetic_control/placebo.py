"""Placebo tests of synthetic controls, in space and in time, and what each donor contributes.

Abadie, Diamond and Hainmueller (2010), JASA 105:493-505, section 3.4, and (2015), American Journal of Political
Science 59:495-510, section 4; cited as [ADH].
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import numbers
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalopt.errors import CausaloptError, CausaloptWarning, DataError, OptionError, SolverFailure
from causalopt.modeling.program import Floats

if TYPE_CHECKING:
    from causalopt.problems.synthetic_control.problem import SyntheticControlProblem
    from causalopt.problems.synthetic_control.result import SyntheticControlResult

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


def _read(result: SyntheticControlResult) -> _Refit:
    values = result.problem.panel.values
    return _Refit(
        result._gap_values, result.problem.design.n_pre, result.weights_are_unique, float(np.abs(values).max())
    )


def _refit(problem: SyntheticControlProblem, solver: str, changes: Mapping[str, Any]) -> _Refit:
    from causalopt.solving.dispatch import solve

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausaloptWarning)  # weights that are not unique are in the table
        return _read(solve(problem.variant(**changes), solver))


def _refit_all(result: SyntheticControlResult, changes: Sequence[Mapping[str, Any]], workers: int) -> list[_Refit]:
    """Refit with each set of changes, in this process or in several."""
    if not (isinstance(workers, int) and workers >= 1):
        raise OptionError(f"workers is {workers!r}; it must be a positive whole number.")
    problem, solver = result.problem, result.solver
    if workers == 1 or len(changes) < 2:
        return [_refit(problem, solver, change) for change in changes]
    from concurrent.futures import ThreadPoolExecutor

    count = min(workers, len(changes))
    with ThreadPoolExecutor(count) as threads:  # each thread waits for a process of its own
        parts = list(threads.map(lambda k: _in_process((problem, solver, changes[k::count])), range(count)))
    refits: list[Any] = [None] * len(changes)
    for k, part in enumerate(parts):
        refits[k::count] = part
    return refits


#: What a process runs: it reads one pickled job and writes one pickled answer. (multiprocessing would run the caller's
#: main module again, which a script without a main guard does not survive.)
_CHILD = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from causalopt.problems.synthetic_control.placebo import _answer; _answer()"
)


def _in_process(job: tuple[Any, ...]) -> list[_Refit]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], input=pickle.dumps(list(sys.path)) + pickle.dumps(job), capture_output=True
    )
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise SolverFailure(f"A process of the placebo run ended with code {done.returncode}: {' '.join(words[-1:])}")
    answer = pickle.loads(done.stdout)
    if isinstance(answer, Exception):
        raise answer
    return list(answer)


def _answer() -> None:
    """Do the job that is on standard input; run in a process of its own."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a solver prints must not mix with the answer
    problem, solver, changes = pickle.load(sys.stdin.buffer)
    answer: Any
    try:
        answer = [_refit(problem, solver, change) for change in changes]
    except CausaloptError as error:
        answer = error
    with out:
        pickle.dump(answer, out)


def in_space(
    result: SyntheticControlResult,
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
    from causalopt.problems.synthetic_control.data import label_index

    problem = result.problem
    if len(problem.donors) < 2:
        raise DataError("Placebos take at least two donors, of which each is predicted from the others.")
    group = len(problem.treated) if len(problem.labels) < len(problem.treated) else 1
    if group == 1:
        names: list[Any] = list(problem.donors)
        sets = [[label] for label in names]
    else:
        if len(problem.donors) <= group:
            raise DataError(f"Placebos of averages of {group} units take more than {group} donors.")
        sets = _sets_of(problem.donors, group, draws, seed)
        names = [" + ".join(map(str, members)) for members in sets]
    changes = [
        {"treated": members, "donors": [label for label in problem.donors if label not in members]} for members in sets
    ]
    refits = _refit_all(result, changes, workers)
    own = _read(result)
    measures = [own.measures(), *(refit.measures() for refit in refits)]
    index = label_index([*problem.labels, *names], "unit")
    columns: dict[str, Any] = {key: np.concatenate([m[key] for m in measures]) for key in measures[0]}
    n = len(problem.labels)
    columns["unique"] = [own.unique] * n + [refit.unique for refit in refits]
    table = pd.DataFrame(columns, index=index)
    table["role"] = ["treated"] * n + ["placebo"] * len(refits)
    if max_fit_ratio is not None:
        if not max_fit_ratio > 0:
            raise OptionError(f"max_fit_ratio is {max_fit_ratio!r}; it must be positive.")
        worst = float(table["pre rmspe"].iloc[:n].max()) * max_fit_ratio
        table.loc[(table["role"] == "placebo") & (table["pre rmspe"] > worst), "role"] = "poor fit"
    gaps = np.column_stack([own.gaps, *(refit.gaps for refit in refits)])
    ratios = table.loc[table["role"] == "placebo", "rmspe ratio"].to_numpy()
    p = [(1 + int((ratios >= own_ratio).sum())) / (1 + len(ratios)) for own_ratio in table["rmspe ratio"].iloc[:n]]
    p_value = p[0] if n == 1 else pd.Series(p, index=index[:n], name="p value")
    return SpacePlacebo(table, pd.DataFrame(gaps, index=problem.panel.times, columns=index), p_value)


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


def in_time(result: SyntheticControlResult, times: Any = None, *, workers: int = 1) -> TimePlacebo:
    """Refit as if treated earlier, on the times before the treatment alone ([ADH] 2015 section 4.1).

    Parameters
    ----------
    result : SyntheticControlResult
    times : sequence or single time, optional
        Placebo times, dates also as text, each with at least two times before it; those of the later half before the
        treatment unless given.
    workers : int

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> outcomes = pd.DataFrame(np.random.default_rng(1).normal(size=(12, 9)).cumsum(axis=0))
    >>> result = co.solve(co.SyntheticControlProblem(outcomes, 0, 8))
    >>> result.placebo_in_time([6]).table.index.tolist()
    [6]
    """
    from causalopt.problems.synthetic_control.data import label_index, time_name

    problem = result.problem
    n_pre = problem.design.n_pre
    before = problem.panel.times[:n_pre]
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
    panel = dataclasses.replace(problem.panel, values=problem.panel.values[:n_pre], times=before, checked=True)
    refits = _refit_all(result, [{"outcomes": panel, "treatment_time": time} for time in chosen], workers)
    single = len(problem.labels) == 1
    index = pd.Index(chosen, name="time")
    if not single:
        index = pd.MultiIndex.from_product([chosen, label_index(problem.labels, "unit")], names=["time", "unit"])
    measures = [refit.measures() for refit in refits]
    table = pd.DataFrame({key: np.concatenate([m[key] for m in measures]) for key in measures[0]}, index=index)
    gaps = np.column_stack([refit.gaps for refit in refits])
    return TimePlacebo(table, pd.DataFrame(gaps, index=before, columns=index))


def leave_one_out(result: SyntheticControlResult, *, workers: int = 1) -> LeaveOneOut:
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
    from causalopt.problems.synthetic_control.data import label_index
    from causalopt.problems.synthetic_control.result import COUNTS

    problem = result.problem
    if len(problem.donors) < 2:
        raise DataError("There is one donor: nothing is left without it.")
    heaviest = result.weight_table.abs().max(axis=1).to_numpy()
    places = np.flatnonzero(heaviest > COUNTS)
    left_out = [problem.donors[j] for j in places]
    changes = [{"donors": [label for label in problem.donors if label != out]} for out in left_out]
    refits = [_read(result), *_refit_all(result, changes, workers)]
    index = label_index(["(none)", *left_out], "left out")
    att = [float(refit.gaps[refit.n_pre :].mean()) for refit in refits]
    error = [float(np.sqrt((refit.gaps[: refit.n_pre] ** 2).mean())) for refit in refits]
    weight = [np.nan, *heaviest[places]]
    table = pd.DataFrame({"att": att, "pre rmspe": error, "weight": weight}, index=index)
    gaps = np.column_stack([refit.gaps.mean(axis=1) for refit in refits])
    return LeaveOneOut(table, pd.DataFrame(gaps, index=problem.panel.times, columns=index))
