"""Pictures of a synthetic control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalopt.errors import OptionError
from causalopt.problems.synthetic_control_data import time_name
from causalopt.solving.options import unknown_name

if TYPE_CHECKING:
    from causalopt.inference.placebo import SpacePlacebo
    from causalopt.problems.synthetic_control_result import SyntheticControlResult

#: Colours that stay apart in print and for the colour-blind (Okabe and Ito 2008).
TREATED, SYNTHETIC, FAINT = "#000000", "#0072B2", "#B8B8B8"

#: A weight of less than this in absolute value has no bar.
COUNTS = 1e-6

#: A range without limit is drawn this far.
UNLIMITED = 2.0

#: Donors shown in the picture of the weights.
MOST_BARS = 15


def plot(result: SyntheticControlResult, kind: str, ax: Any = None, **options: Any) -> Any:
    """Draw a picture of a result; see `SyntheticControlResult.plot`.

    Parameters
    ----------
    result : SyntheticControlResult
    kind : {"path", "gap", "placebo", "weights"}
    ax : matplotlib Axes, optional
    **options
        `fit`, the treated unit that "path", "gap" and "weights" show (the first); and `placebo`, a `SpacePlacebo` that
        is there already, for "placebo".
    """
    pictures = {"path": _path, "gap": _gap, "placebo": _placebo, "weights": _weights}
    if kind not in pictures:
        raise OptionError(unknown_name("kind of plot", str(kind), pictures))
    allowed = {"placebo"} if kind == "placebo" else {"fit"}
    for name in options:
        if name not in allowed:
            raise OptionError(unknown_name(f"option of the plot {kind!r}", name, allowed))
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise OptionError("Plots need matplotlib: pip install causalopt[plot].") from None
    if ax is None:
        _, ax = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
    pictures[kind](result, ax, **options)
    return ax


def _fit_number(result: SyntheticControlResult, fit: Any) -> int:
    labels = result.problem.labels
    if fit is None:
        return 0
    if fit not in labels:
        raise OptionError(unknown_name("treated unit", str(fit), map(str, labels)))
    return int(labels.index(fit))


def _times(result: SyntheticControlResult) -> Any:
    times = result.problem.panel.times
    return times.to_timestamp() if isinstance(times, pd.PeriodIndex) else times


def _finish(result: SyntheticControlResult, ax: Any, title: str) -> None:
    """Mark the treatment time, and give the picture its title, ticks and legend."""
    from matplotlib import dates, ticker

    problem = result.problem
    times, first = _times(result), problem.panel.times[problem.design.n_pre]
    label = f"treated since {time_name(first)}"
    ax.axvline(
        times[problem.design.n_pre], color="#666666", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1, label=label
    )
    if isinstance(times, pd.DatetimeIndex):
        locator = dates.AutoDateLocator(minticks=3, maxticks=7)
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    elif all(isinstance(t, int | float | np.number) for t in times):
        ax.xaxis.set_major_locator(
            ticker.MaxNLocator("auto", steps=[1, 2, 5, 10], integer=all(t == round(t) for t in times))
        )
    ax.margins(x=0.02)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(title, fontsize="medium", loc="left")
    ax.legend(loc="best", fontsize="small", framealpha=0.8, edgecolor="none")


def _path(result: SyntheticControlResult, ax: Any, fit: Any = None) -> None:
    k = _fit_number(result, fit)
    times = _times(result)
    ax.plot(times, result.problem.treated_values[:, k], color=TREATED, label="actual")
    ax.plot(times, result._synthetic[:, k], color=SYNTHETIC, linestyle="--", label="synthetic")
    ax.set_ylabel("outcome")
    _finish(result, ax, str(result.problem.labels[k]))


def _gap(result: SyntheticControlResult, ax: Any, fit: Any = None) -> None:
    k = _fit_number(result, fit)
    ax.axhline(0.0, color="#666666", linewidth=0.8)
    ax.plot(_times(result), result._gap_values[:, k], color=TREATED)
    ax.set_ylabel("actual minus synthetic")
    _finish(result, ax, str(result.problem.labels[k]))


def _placebo(result: SyntheticControlResult, ax: Any, placebo: SpacePlacebo | None = None) -> None:
    placebo = result.placebo_in_space() if placebo is None else placebo
    times, table = _times(result), placebo.table
    roles, gaps = table["role"].to_numpy(), placebo.gaps.to_numpy()
    counted = np.flatnonzero(roles == "placebo")
    for j in counted:
        name = f"{len(counted)} placebos" if j == counted[0] else None
        ax.plot(times, gaps[:, j], color=FAINT, linewidth=0.8, label=name, zorder=1.5)
    ax.axhline(0.0, color="#666666", linewidth=0.8)
    values = placebo.p_value if isinstance(placebo.p_value, pd.Series) else [placebo.p_value]
    for k, p in enumerate(values):  # the treated come first
        color = TREATED if k == 0 else f"C{k - 1}"
        ax.plot(times, gaps[:, k], color=color, linewidth=1.8, label=f"{table.index[k]} (p = {p:.3g})", zorder=3)
    ax.set_ylabel("actual minus synthetic")
    _finish(result, ax, "Each donor as if treated")


def _weights(result: SyntheticControlResult, ax: Any, fit: Any = None) -> None:
    k = _fit_number(result, fit)
    weights, ends = result.weight_table.iloc[:, k].to_numpy(), None
    largest = np.abs(weights)
    if not result.weights_are_unique:
        n = len(weights)
        ends = result.weight_ranges.to_numpy()[k * n : (k + 1) * n].clip(-UNLIMITED, UNLIMITED)
        largest = np.abs(ends).max(axis=1)
    counting = np.flatnonzero(largest > COUNTS)
    shown = counting[np.argsort(-largest[counting], kind="stable")][:MOST_BARS][::-1]
    places = np.arange(len(shown))
    ax.barh(places, weights[shown], color=SYNTHETIC, height=0.65)
    ax.set_yticks(places, [str(result.problem.donors[j]) for j in shown])
    if ends is not None:
        ax.hlines(places, ends[shown, 0], ends[shown, 1], color=TREATED, linewidth=1.2)
    ax.axvline(0.0, color="#666666", linewidth=0.8)
    ax.set_xlabel("weight" if ends is None else "weight (lines: equally good weights)")
    ax.spines[["top", "right"]].set_visible(False)
    more = f" ({len(shown)} largest of {len(counting)})" if len(counting) > len(shown) else ""
    ax.set_title(f"{result.problem.labels[k]}{more}", fontsize="medium", loc="left")
