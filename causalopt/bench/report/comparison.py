"""compare(): what became faster, slower or wrong between two stores, and how sure that is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from causalopt.bench.report.metrics import ITEM, SOLVER_PHASES, judged
from causalopt.bench.store.status import Status

#: Resamples of the bootstrap over items.
RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two stores side by side.

    Attributes
    ----------
    solvers : DataFrame
        By solver: items in common, geometric mean of (seconds in B) / (seconds in A) with its interval by a bootstrap
        over items, and a verdict in words.
    items : DataFrame
        By item and solver: the ratio with its interval from the repetitions (Welch's t on logarithms), Holm's
        adjusted p-value, the verdict.
    statuses : DataFrame
        Every item and solver whose worst status changed.
    level, smallest : float
        Of the intervals, and the smallest relative change that matters.
    only_a, only_b : int
        Items and solvers that are in one store only.
    """

    solvers: pd.DataFrame
    items: pd.DataFrame
    statuses: pd.DataFrame
    level: float
    smallest: float
    only_a: int
    only_b: int

    @property
    def worse(self) -> list[str]:
        """What became worse, in sentences; empty where nothing did."""
        found = [
            f"{row.solver} on {row.instance} ({row.formulation}): {row.before} before, {row.after} now"
            for row in self.statuses.itertuples()
            if row.worse
        ]
        slower = self.solvers[self.solvers["verdict"] == "slower"]
        found += [
            f"{solver} is {row.ratio:.2f} times as slow ({row.lower:.2f} to {row.upper:.2f}) over {row['items']} items"
            for solver, row in slower.iterrows()
        ]
        item = self.items[self.items["verdict"] == "slower"]
        found += [
            f"{row.solver} on {row.instance} ({row.formulation}) takes {row.ratio:.2f} times as long "
            f"({row.lower:.2f} to {row.upper:.2f})"
            for row in item.itertuples()
        ]
        return found

    @property
    def exit_code(self) -> int:
        """0 where nothing became worse, 1 where something did, 2 where the stores have nothing in common."""
        if self.items.empty and self.statuses.empty and not len(self.solvers):
            return 2
        return 1 if self.worse else 0


#: From best to worst; a change to the right is a change to the worse.
ORDER = [
    Status.OK,
    Status.UNPROVEN,
    Status.LIMIT_WITH_INCUMBENT,
    Status.LIMIT_WITHOUT_INCUMBENT,
    Status.OUT_OF_MEMORY,
    Status.ERROR,
    Status.CRASHED,
    Status.WRONG,
]


def compare(a: pd.DataFrame, b: pd.DataFrame, *, level: float = 0.95, smallest: float = 0.05) -> Comparison:
    """Compare the runs of two stores, `Store.frame()` each.

    Parameters
    ----------
    a, b : DataFrame
        Before and after.
    level : float
        Of the intervals.
    smallest : float
        Changes of less than this share are not called faster or slower, however sure they are.

    Returns
    -------
    Comparison
        What became better and worse: statuses, single items, and solvers over all items.

    Examples
    --------
    >>> import tempfile
    >>> from causalopt.bench import Store, run
    >>> path = tempfile.mkdtemp() + "/runs.sqlite"
    >>> only = {"instances": ["balance-planted-150"], "solvers": ["dual-newton"], "repetitions": 1}
    >>> summary = run("smoke", path, **only)
    >>> with Store(path) as store:
    ...     runs = store.frame()
    >>> compare(runs, runs).worse
    []
    """
    before, after = judged(a), judged(b)
    key = [*ITEM, "solver"]
    worst_a, worst_b = _worst(before, key), _worst(after, key)
    common = worst_a.index.intersection(worst_b.index)
    changed = pd.DataFrame({"before": worst_a[common], "after": worst_b[common]})
    changed = changed[changed["before"] != changed["after"]]
    rank = {str(status): k for k, status in enumerate(ORDER)}
    changed["worse"] = [
        rank.get(x, -1) < rank.get(y, -1) for x, y in zip(changed["before"], changed["after"], strict=True)
    ]
    items = _by_item(before, after, key, common, level, smallest)
    return Comparison(
        solvers=_by_solver(items, level, smallest),
        items=items,
        statuses=changed.reset_index(),
        level=level,
        smallest=smallest,
        only_a=len(worst_a) - len(common),
        only_b=len(worst_b) - len(common),
    )


def _worst(runs: pd.DataFrame, key: Sequence[str]) -> pd.Series[str]:
    order = [*map(str, ORDER), *(str(s) for s in Status if s not in ORDER)]
    rank = runs["status"].map({name: k for k, name in enumerate(order)})
    worst = rank.groupby([runs[name] for name in key]).max()
    return worst.map(dict(enumerate(order)))


def _by_item(
    before: pd.DataFrame, after: pd.DataFrame, key: list[str], common: pd.Index, level: float, smallest: float
) -> pd.DataFrame:
    groups = [
        {name: _logarithms(group) for name, group in runs[runs["success"]].groupby(key)} for runs in (before, after)
    ]
    rows = []
    for name in common:
        if name not in groups[0] or name not in groups[1]:
            continue
        x, y = groups[0][name], groups[1][name]
        low, high, p = _welch(x, y, level)
        rows.append((*name, len(x), len(y), *np.exp([np.median(y) - np.median(x), low, high]), p))
    table = pd.DataFrame(rows, columns=[*key, "runs before", "runs after", "ratio", "lower", "upper", "p"])
    table["adjusted p"] = _holm(table["p"].to_numpy(float))
    sure = table["adjusted p"] < 1 - level
    slower, faster = sure & (table["ratio"] > 1 + smallest), sure & (table["ratio"] < 1 / (1 + smallest))
    table["verdict"] = np.select([slower, faster], ["slower", "faster"], "no change shown")
    return table


def _logarithms(runs: pd.DataFrame) -> np.ndarray:
    seconds = runs[list(SOLVER_PHASES)].sum(axis=1).to_numpy(float)
    return np.asarray(np.log(np.maximum(seconds, 1e-6)))


def _welch(x: np.ndarray, y: np.ndarray, level: float) -> tuple[float, float, float]:
    """Return the interval of mean(y) - mean(x), and the p-value of no difference; unbounded with one repetition."""
    if min(len(x), len(y)) < 2:
        return -np.inf, np.inf, 1.0
    if np.ptp(x) == 0 and np.ptp(y) == 0:
        difference = float(y.mean() - x.mean())
        return difference, difference, float(difference == 0)
    test = stats.ttest_ind(y, x, equal_var=False)
    interval = test.confidence_interval(level)
    return float(interval.low), float(interval.high), float(test.pvalue)


def _holm(p: np.ndarray) -> np.ndarray:
    """Return p-values adjusted for their number by the method of Holm (1979)."""
    order = np.argsort(p, kind="stable")
    scaled = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(scaled, 1.0)
    return adjusted


def _by_solver(items: pd.DataFrame, level: float, smallest: float) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = {}
    for solver, own in items.groupby("solver"):
        logs = np.log(own["ratio"].to_numpy(float))
        ratio = float(np.exp(logs.mean()))
        low, high = 0.0, np.inf
        if len(logs) >= 5:  # of fewer items a bootstrap says too little
            means = logs[rng.integers(0, len(logs), (RESAMPLES, len(logs)))].mean(axis=1)
            low, high = np.exp(np.quantile(means, [(1 - level) / 2, (1 + level) / 2]))
        verdict = "no change shown"
        if low > 1 and ratio > 1 + smallest:
            verdict = "slower"
        elif high < 1 and ratio < 1 / (1 + smallest):
            verdict = "faster"
        rows[solver] = {"items": len(own), "ratio": ratio, "lower": low, "upper": high, "verdict": verdict}
    return pd.DataFrame(rows.values(), index=pd.Index(list(rows), name="solver"), columns=[
        "items", "ratio", "lower", "upper", "verdict",
    ])  # fmt: skip
