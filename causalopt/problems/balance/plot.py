"""Pictures of balancing weights, their prices and their frontier (matplotlib, extra `plot`).

Each returns its Axes, and none is shown by itself. They are called by `BalanceResult.plot` and `Frontier.plot`. In a
figure of your own, `layout="constrained"` gives long names their room.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalopt.errors import DataError
from causalopt.messages import argument, call
from causalopt.plotting.ranges import draw_range
from causalopt.plotting.style import (
    BAND,
    FAINT,
    INK,
    MAIN,
    MOST_ROWS,
    MUTED,
    SECOND,
    SERIES,
    canvas,
    head,
    label,
    locate,
    name_rows,
    notice,
    panels,
    row_height,
    rows_that_fit,
    tidy,
)
from causalopt.problems.balance.frontier import Frontier
from causalopt.problems.balance.result import BalanceResult
from causalopt.solving.answer import draws

#: Bars of the histogram of the weights.
BINS = 40

#: Lines in the picture of a frontier's prices.
MOST_LINES = len(SERIES)


def love_plot(result: BalanceResult, ax: Any = None, *, most: int = MOST_ROWS) -> Any:
    """Draw each covariate's absolute standardised difference from its target, before and after weighting.

    Of several weighted groups the worst is shown. Of more than `most` covariates, or more than the Axes have room for,
    those that were least balanced before.
    """
    table = result.balance_table()
    groups = table.index.nlevels == 2
    columns = table[["smd before", "smd after", "tolerance"]].abs()
    if groups:
        columns = columns.groupby("covariate", sort=False).max()
    total = len(columns)
    ax = canvas(ax, row_height(min(total, most)))
    shown = rows_that_fit(ax, min(total, most))
    columns = columns.sort_values("smd before", kind="stable").tail(shown)
    before, after = columns["smd before"].to_numpy(), columns["smd after"].to_numpy()
    place = np.arange(shown)
    size = 6.0 if shown <= 24 else 4.5
    ax.hlines(place, after, before, color=FAINT, linewidth=1.2, zorder=1)
    ax.plot(
        before, place, marker="o", linestyle="none", markersize=size, markerfacecolor="white",
        markeredgecolor=SECOND.colour, markeredgewidth=1.4, label="before weighting", zorder=2,
    )  # fmt: skip
    ax.plot(
        after, place, marker="s", linestyle="none", markersize=size - 0.8, color=MAIN.colour,
        label="after weighting", zorder=3,
    )  # fmt: skip
    ax.plot(
        columns["tolerance"], place, "|", color=INK, markersize=1.7 * size, label="tolerance", zorder=4
    )  # fmt: skip
    ax.set_ylim(-0.7, shown - 0.3)
    ax.set_xlim(left=-0.03 * max(float(np.nanmax(np.concatenate([before, after, columns["tolerance"]]))), 1e-12))
    tidy(ax, "x")
    width = name_rows(ax, place, columns.index)
    locate(ax, width)
    scales = ", ".join(dict.fromkeys(map(str, result.study.scale)))
    worst = "; the worst of the groups" if groups else ""
    label(ax, x=f"absolute difference from the target in units of scale {scales!r}{worst}", width=width)
    few = f", {shown} least balanced of {total}" if shown < total else ""
    head(ax, f"Balance{few}{_unproven(result)}", width=width)
    return ax


def _unproven(result: BalanceResult) -> str:
    return "" if result.is_optimal else " (these weights are not proven to be the best)"


def weight_plot(result: BalanceResult, ax: Any = None) -> Any:
    """Draw the distribution of the weights of each weighted group, with its effective sample size."""
    ax = canvas(ax)
    sizes = result.effective_sample_size
    values = [result.weights.to_numpy()[g.members] for g in result.study.groups]
    low, high = min(0.0, *(float(v.min()) for v in values)), max(float(v.max()) for v in values)
    edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
    for k, (group, weights) in enumerate(zip(result.study.groups, values, strict=True)):
        mark = SERIES[k % len(SERIES)]
        name = f"group {group.label}: " if len(values) > 1 else ""
        text = f"{name}{group.size:,} units, effective {sizes[group.label]:,.1f}"
        none = int((np.abs(weights) <= 1e-7).sum())
        text += f", weight zero {none:,}" if none else ""
        counts = np.histogram(weights, edges)[0]
        if k == 0:
            ax.stairs(counts, edges, fill=True, color=mark.colour, alpha=0.6 if len(values) > 1 else 0.85, label=text)
        else:
            ax.stairs(counts, edges, color=mark.colour, linewidth=2.0, linestyle=mark.dash, label=text)
    ax.axvline(1.0, color=INK, linestyle=(0, (4, 2)), linewidth=1, label="weight one: no change")
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.7)
    tidy(ax)
    locate(ax)
    label(ax, x="weight (the average is one)", y="units (log scale)")
    head(ax, f"Weights{_unproven(result)}")
    return ax


def dual_plot(result: BalanceResult, ax: Any = None, *, most: int = 20) -> Any:
    """Draw what 0.01 more tolerance would save, dearest covariates first ([SBW] figure 1)."""
    duals = result.duals
    binding = duals[duals["dual"] > 0]
    wanted = min(len(binding), most)
    ax = canvas(ax, row_height(max(wanted, 3)))
    cost = {"l1": "absolute deviation of the weights", "linf": "largest deviation of the weights"}
    label_x = f"{cost.get(result.study.norm, 'variance of the weights')} saved by 0.01 more tolerance (%)"
    if result.row_dual is None or not wanted:
        why = "No tolerance binds: more tolerance would save nothing."
        if result.row_dual is None:
            why = f"{result.solver} returned no multipliers: prices are not known."
        notice(tidy(ax, "x"), why)
        label(ax, x=label_x)
        head(ax, "What tolerance costs")
        return ax
    shown = rows_that_fit(ax, wanted)
    dearest = binding.head(shown)[::-1]
    names = dearest["covariate"].astype(str)
    if "group" in dearest:
        names = dearest["group"].astype(str) + ": " + names
    place = np.arange(shown)
    ax.barh(place, 100 * dearest["price of 0.01"], height=0.7, color=MAIN.colour)
    ax.set_ylim(-0.7, shown - 0.3)
    ax.set_xlim(left=0.0)
    tidy(ax, "x")
    width = name_rows(ax, place, list(names))
    locate(ax, width)
    label(ax, x=label_x, width=width)
    few = f", the {shown} dearest shown" if shown < len(binding) else ""
    head(ax, f"What tolerance costs: {len(binding)} of {len(duals)} tolerances bind{few}", width=width)
    return ax


def range_plot(
    result: BalanceResult,
    ax: Any = None,
    *,
    outcome: Any = None,
    eta: Sequence[float] = (0.01, 0.05, 0.1, 0.2),
    contrast: tuple[Any, Any] | None = None,
) -> Any:
    """Draw the range of the estimate over all weights that are nearly as good as the best."""
    if outcome is None:
        picture = call("plot", "plot('range')")
        raise DataError(f"{picture} needs {argument('outcome', assigned=True)}: a column's name, or values.")
    estimate = result._difference(result._outcome(outcome), contrast)
    ax = canvas(ax)
    spans = [result.estimate_range(outcome, value, contrast=contrast) for value in eta]
    what = {"l1": "absolute deviation", "linf": "largest deviation"}.get(result.study.norm, "variance")
    name = outcome if isinstance(outcome, str) else getattr(outcome, "name", None)
    return draw_range(
        ax, spans, estimate, f"{what} of the weights, above the least (%)", f"estimate{f' on {name}' if name else ''}"
    )


draws(BalanceResult, {"love": love_plot, "weights": weight_plot, "duals": dual_plot, "range": range_plot})


# ---- the frontier ----


def frontier_plot(frontier: Frontier, ax: Any = None) -> Any:
    """Draw coefficient of variation, effective sample size and estimate against the tolerance ([SBW] figure 2).

    `ax` is as many Axes as there are panels: three where an outcome was given, else two.
    """
    columns = [column for column in _LABELS if column in frontier.table]
    axes = panels(ax, len(columns), 1.9)
    for k, (place, column) in enumerate(zip(axes, columns, strict=True)):
        _panel(frontier, place, column)
        if k == 0:
            head(place, "What balance costs")
        if k < len(columns) - 1:
            place.set_xlabel("")
    return axes


_LABELS = {
    "cv": "coefficient of variation",
    "effective sample size": "effective sample size",
    "estimate": "estimate",
}


def _one_panel(column: str, title: str) -> Any:
    def picture(frontier: Frontier, ax: Any = None) -> Any:
        if column not in frontier.table:
            give = call("frontier", "frontier(tolerances, outcome=...)")
            raise DataError(f"The frontier has no {column}: give an outcome, {give}.")
        ax = canvas(ax)
        _panel(frontier, ax, column)
        head(ax, title)
        return ax

    picture.__doc__ = f"Draw the {column} against the tolerance."
    return picture


def _panel(frontier: Frontier, ax: Any, column: str) -> None:
    table = frontier.table.reset_index()
    solved = table[table["status"] == "optimal"]
    groups = [(None, solved.drop_duplicates("tolerance"))]
    if column != "estimate":
        groups = list(solved.groupby("group", sort=False))
    for k, (name, own) in enumerate(groups):
        mark = SERIES[k % len(SERIES)]
        title = f"group {name}" if len(groups) > 1 else None
        ax.plot(
            own["tolerance"], own[column], marker=mark.marker, markersize=4.5, color=mark.colour, linestyle=mark.dash,
            label=title,
        )  # fmt: skip
    _tolerance_axis(frontier, ax)
    tidy(ax)
    locate(ax)
    label(ax, x="tolerance (in units of scale)", y=_LABELS[column])


def _tolerance_axis(frontier: Frontier, ax: Any) -> None:
    """Scale the axis of the tolerances, and shade those that no weights meet."""
    table = frontier.table.reset_index()
    tried = np.unique(table["tolerance"])
    failed = np.unique(table.loc[table["status"] == "infeasible", "tolerance"])
    if tried[0] > 0 and tried[-1] >= 30 * tried[0]:
        ax.set_xscale("log")
        left, right = tried[0] / 1.25, tried[-1] * 1.25
    else:
        left, right = min(0.0, tried[0]) - 0.03 * tried[-1], 1.03 * tried[-1]
    ax.set_xlim(left, right if right > left else left + 1.0)
    if len(failed):
        ax.axvspan(
            left, failed[-1], facecolor=BAND, edgecolor=MUTED, hatch="///", linewidth=0, zorder=0.5, label="infeasible"
        )
        ax.axvspan(left, failed[-1], fill=False, edgecolor=MUTED, linewidth=0.8, zorder=0.6)
    if len(failed) == len(tried):
        notice(ax, "No tolerance that was tried can be met.")


def price_plot(frontier: Frontier, ax: Any = None, *, most: int = MOST_LINES) -> Any:
    """Draw what each covariate's tolerance costs against the tolerance, for the dearest covariates."""
    if not 1 <= most <= MOST_LINES:
        raise DataError(f"{argument('most')} is {most!r}; as many as {MOST_LINES} lines can be told apart.")
    ax = canvas(ax)
    prices = frontier.prices
    wide = prices.unstack("group") if len(prices) else prices
    largest = wide.max().sort_values(ascending=False, kind="stable")
    binding = largest[largest > 0].index
    several = len(prices) and prices.index.get_level_values("group").nunique() > 1
    for mark, key in zip(SERIES, binding[:most], strict=False):
        covariate, group = key
        ax.plot(
            wide.index, wide[key], marker=mark.marker, markersize=4, color=mark.colour, linestyle=mark.dash,
            label=f"{group}: {covariate}" if several else str(covariate),
        )  # fmt: skip
    _tolerance_axis(frontier, ax)
    if not len(binding) and len(prices):
        notice(ax, "No tolerance binds: more tolerance would save nothing.")
    else:
        tidy(ax)
        locate(ax)
    label(ax, x="tolerance (in units of scale)", y="squared coefficient of variation saved per unit of tolerance")
    few = f", the {min(most, len(binding))} dearest of {len(binding)}" if len(binding) > most else ""
    head(ax, f"What each tolerance costs{few}", short=True)
    return ax


draws(
    Frontier,
    {
        "frontier": frontier_plot,
        "cv": _one_panel("cv", "What balance costs: variation of the weights"),
        "effective sample size": _one_panel("effective sample size", "What balance costs: effective sample size"),
        "estimate": _one_panel("estimate", "The estimate along the frontier"),
        "prices": price_plot,
    },
)
