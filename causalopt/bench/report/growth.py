"""How time grows with size, and from which size a fast path beats a solver."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

FAMILY = ["suite", "problem", "formulation"]


def exponents(runs: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Return the exponents b of  seconds = a size^b,  by least squares on logarithms, with their intervals.

    Fitted to the median seconds of each size (over seeds and repetitions) where all runs ended well: sizes at which a
    solver stops are listed as `failed from`, they do not enter. Needs three sizes.
    """
    rows = []
    own = runs[runs["size"].notna() & runs["attempted"] & (runs["kind"] != "heuristic")]
    for key, group in own.groupby([*FAMILY, "solver"]):
        whole = group.groupby("size")["ended"].all()
        failed = whole.index[~whole]
        median = group.groupby("size")["seconds"].median()[whole]
        median = median[median > 0]
        row = (*key, len(median), median.index.max() if len(median) else np.nan)
        stop = float(failed.min()) if len(failed) else np.nan
        if len(median) < 3:
            rows.append((*row, stop, np.nan, np.nan, np.nan))
            continue
        fit = stats.linregress(np.log(median.index.to_numpy(float)), np.log(median.to_numpy()))
        half = float(stats.t.ppf(0.5 + level / 2, len(median) - 2) * fit.stderr)
        rows.append((*row, stop, fit.slope, fit.slope - half, fit.slope + half))
    columns = [*FAMILY, "solver", "sizes", "largest solved", "failed from", "exponent", "lower", "upper"]
    return pd.DataFrame(rows, columns=columns)


def break_even(runs: pd.DataFrame) -> pd.DataFrame:
    """Return for each pair of solver and fast path the size from which the fast path is faster, of those measured.

    `from size` is where the straight line between two neighbouring sizes, on logarithmic axes, crosses; it is the
    smallest size where the fast path is faster at all sizes, and missing where it is not faster at the largest.
    """
    rows = []
    own = runs[runs["size"].notna() & runs["attempted"]]
    for key, group in own.groupby(FAMILY):
        seconds = group.groupby(["solver", "size"])["seconds"].median()
        kinds = group.groupby("solver")["kind"].first()
        for path in kinds.index[kinds == "fast path"]:
            for solver in kinds.index[kinds == "solver"]:
                pair = pd.DataFrame({"path": seconds[path], "solver": seconds[solver]}).dropna()
                if pair.empty:
                    continue
                ratio = float(pair["solver"].iloc[-1] / max(pair["path"].iloc[-1], 1e-6))
                rows.append((*key, path, solver, len(pair), crossing(pair), pair.index.max(), ratio))
    columns = [*FAMILY, "fast path", "solver", "sizes", "from size", "largest size", "times faster there"]
    return pd.DataFrame(rows, columns=columns)


def crossing(pair: pd.DataFrame) -> float:
    """Return the size from which `path` stays faster than `solver`, nan where it is not faster at the end."""
    lead = np.log(pair["solver"].clip(lower=1e-6)) - np.log(pair["path"].clip(lower=1e-6))
    sizes = lead.index.to_numpy(float)
    values = lead.to_numpy()
    if values[-1] <= 0:
        return float("nan")
    behind = np.flatnonzero(values <= 0)
    if not len(behind):
        return float(sizes[0])
    k = behind[-1]
    share = -values[k] / (values[k + 1] - values[k])
    return float(np.exp(np.log(sizes[k]) + share * (np.log(sizes[k + 1]) - np.log(sizes[k]))))
