"""Pictures of a synthetic control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import OptionError
from causalopt.plotting.ranges import draw_range
from causalopt.plotting.style import (
    FAINT,
    INK,
    MAIN,
    MUTED,
    SECOND,
    SERIES,
    canvas,
    head,
    label,
    locate,
    name_rows,
    row_height,
    rows_that_fit,
    short_names,
    text_size,
    text_width,
    tidy,
)
from causalopt.problems.synthetic_control.fit import COUNTS
from causalopt.problems.synthetic_control.placebo import SpacePlacebo
from causalopt.problems.synthetic_control.result import SyntheticControlResult
from causalopt.solving.answer import draws
from causalopt.solving.options import unknown_name
from causalopt.study.times import time_name

#: A range without limit is drawn so many times as far as the farthest bar or end shown, and has an arrow there.
BEYOND = 1.15

#: Donors shown in the picture of the weights.
MOST_BARS = 15

#: More placebos than this are drawn as an image in files that hold lines (PDF, SVG).
MANY_LINES = 200


def path_plot(result: SyntheticControlResult, ax: Any = None, *, fit: Any = None) -> Any:
    """Draw the outcome of a treated unit (`fit`, the first unless given) and of its synthetic control."""
    k = _fit_number(result, fit)
    ax = canvas(ax)
    times = _times(result)
    ax.plot(times, result._study.treated_values[:, k], color=INK, linewidth=1.8, label="actual")
    ax.plot(
        times, result._synthetic[:, k], color=SECOND.colour, linestyle=SECOND.dash, linewidth=1.8, label="synthetic"
    )
    label(ax, y="outcome")
    return _finish(result, ax, f"{result._study.labels[k]} and its synthetic control")


def gap_plot(result: SyntheticControlResult, ax: Any = None, *, fit: Any = None) -> Any:
    """Draw actual minus synthetic outcome of a treated unit (`fit`, the first unless given)."""
    k = _fit_number(result, fit)
    ax = canvas(ax)
    ax.axhline(0.0, color=MUTED, linewidth=0.8)
    ax.plot(_times(result), result._gap_values[:, k], color=INK, linewidth=1.8)
    label(ax, y="actual minus synthetic")
    return _finish(result, ax, f"{result._study.labels[k]}: gap")


def placebo_plot(result: SyntheticControlResult, ax: Any = None, *, placebo: SpacePlacebo | None = None) -> Any:
    """Draw the gaps of the treated and of each donor as if treated (`placebo`, where it is there already)."""
    ax = canvas(ax)
    from matplotlib.collections import LineCollection

    placebo = result.placebo_in_space() if placebo is None else placebo
    times, table = _times(result), placebo.table
    roles, gaps = table["role"].to_numpy(), placebo.gaps.to_numpy()
    counted = np.flatnonzero(roles == "placebo")
    ax.axhline(0.0, color=MUTED, linewidth=0.8)
    values = placebo.p_value if isinstance(placebo.p_value, pd.Series) else [placebo.p_value]
    for k, p in enumerate(values):  # the treated come first
        mark = SERIES[k % len(SERIES)]
        colour, dash = (INK, "-") if k == 0 else (mark.colour, mark.dash)
        ax.plot(
            times, gaps[:, k], color=colour, linestyle=dash, linewidth=2.2, zorder=3,
            label=f"{table.index[k]} (p = {p:.3g})",
        )  # fmt: skip
    if len(counted):
        along = np.asarray(ax.convert_xunits(times), dtype=float)
        lines = [np.column_stack([along, gaps[:, j]]) for j in counted]
        faint = LineCollection(
            lines, colors=FAINT, linewidths=0.8, zorder=1.5, label=f"{len(counted)} placebos",
            rasterized=len(counted) > MANY_LINES,
        )  # fmt: skip
        ax.add_collection(faint)
        ax.autoscale_view()
    label(ax, y="actual minus synthetic")
    left_out = int((roles == "poor fit").sum())
    return _finish(result, ax, "Each donor as if treated" + (f" ({left_out} of poor fit left out)" if left_out else ""))


def weights_plot(result: SyntheticControlResult, ax: Any = None, *, fit: Any = None) -> Any:
    """Draw the largest weights of a fit, and their ranges where other weights fit as well."""
    k = _fit_number(result, fit)
    weights, ends = result.weight_table.iloc[:, k].to_numpy(), None
    largest = np.abs(weights)
    if not result.weights_are_unique:
        n = len(weights)
        ends = result.weight_ranges.to_numpy()[k * n : (k + 1) * n]
        largest = np.abs(ends).max(axis=1)
    counting = np.flatnonzero(largest > COUNTS)
    ax = canvas(ax, row_height(max(2, min(len(counting), MOST_BARS))))
    wanted = rows_that_fit(ax, min(len(counting), MOST_BARS))
    order = np.lexsort([-np.abs(weights[counting]), -largest[counting]])
    shown = counting[order][:wanted][::-1]
    places = np.arange(len(shown))
    ax.barh(places, weights[shown], color=MAIN.colour, height=0.65)
    if ends is not None:
        _draw_ranges(ax, places, weights[shown], ends[shown])
    ax.axvline(0.0, color=MUTED, linewidth=0.8)
    tidy(ax, "x")
    width = name_rows(ax, places, [result._study.design.donors[j] for j in shown])
    locate(ax, width)
    label(ax, x="weight", width=width)
    more = f" ({len(shown)} largest of {len(counting)})" if len(counting) > len(shown) else ""
    head(ax, f"{result._study.labels[k]}: donors{more}", width=width)
    return ax


def _draw_ranges(ax: Any, places: Any, weights: Any, ends: Any) -> None:
    """Draw the range of each weight; one without limit goes beyond all that is drawn, and ends in an arrow."""
    seen = np.abs(np.column_stack([weights, ends]))
    far = BEYOND * seen[np.isfinite(seen)].max(initial=COUNTS)
    low, high = ends.clip(-far, far).T
    ax.hlines(places, low, high, color=SECOND.colour, linewidth=2.0, label="weights that fit exactly as well")
    text: str | None = "without limit"
    for side, marker, drawn in ((ends[:, 0], "<", low), (ends[:, 1], ">", high)):
        endless = np.isinf(side)
        if endless.any():
            ax.plot(drawn[endless], places[endless], color=SECOND.colour, marker=marker, linestyle="none", label=text)
            text = None


def range_plot(
    result: SyntheticControlResult, ax: Any = None, *, eta: Sequence[float] = (0.0, 0.02, 0.05, 0.1, 0.2)
) -> Any:
    """Draw the range of the effect over all weights that fit nearly as well."""
    ax = canvas(ax)
    spans = [result.att_range(value) for value in eta]
    return draw_range(ax, spans, result.att, "error of the fit, above the least (%)", "effect (mean gap)")


draws(
    SyntheticControlResult,
    {
        "path": path_plot,
        "gap": gap_plot,
        "placebo": placebo_plot,
        "weights": weights_plot,
        "range": range_plot,
    },
)


def _fit_number(result: SyntheticControlResult, fit: Any) -> int:
    labels = result._study.labels
    if fit is None:
        return 0
    if fit not in labels:
        raise OptionError(unknown_name("treated unit", str(fit), map(str, labels)))
    return int(labels.index(fit))


def _is_number(time: Any) -> bool:
    return isinstance(time, int | float | np.number) and not isinstance(time, bool)


def _times(result: SyntheticControlResult) -> Any:
    """Return the times as dates or numbers; those that are neither as their positions."""
    times = result._study.panel.times
    if isinstance(times, pd.PeriodIndex):
        return times.to_timestamp()
    if isinstance(times, pd.DatetimeIndex) or all(map(_is_number, times)):
        return times
    return np.arange(len(times))


def _finish(result: SyntheticControlResult, ax: Any, title: str) -> Any:
    """Mark the treatment time, and give the picture its title, ticks and legend."""
    study = result._study
    times, first = _times(result), study.panel.times[study.n_pre]
    ax.axvline(
        times[study.n_pre], color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)), zorder=1,
        label=f"treated since {time_name(first)}",
    )  # fmt: skip
    tidy(ax)
    ax.margins(x=0.02)
    _time_ticks(ax, times, study.panel.times)
    head(ax, title)
    return ax


def _time_ticks(ax: Any, times: Any, names: pd.Index) -> None:
    """Set ticks on whole times, as many as have room."""
    from matplotlib import dates, ticker

    width = ax.bbox.width / ax.figure.dpi
    if isinstance(times, pd.DatetimeIndex):
        locator = dates.AutoDateLocator(minticks=2, maxticks=int(np.clip(width / 0.6, 5, 7)))
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
    elif isinstance(times, pd.Index):
        whole = all(time == round(time) for time in times)
        widest = max(text_width(time_name(time), text_size(ax)) for time in (times[0], times[-1]))
        most = int(np.clip(width / (1.5 * max(widest, 0.2)), 2, 8))
        ax.xaxis.set_major_locator(ticker.MaxNLocator(most, steps=[1, 2, 5, 10], integer=whole))
        if whole:
            ax.xaxis.set_major_formatter("{x:.0f}")
    else:
        size = text_size(ax)
        shown = short_names(map(time_name, names), 0.3 * width, size)
        widest = max(text_width(name, size) for name in shown)
        every = max(1, -(-len(names) // max(1, int(width / (1.2 * widest)))))
        ax.set_xticks(np.arange(0, len(names), every), shown[::every], parse_math=False)
