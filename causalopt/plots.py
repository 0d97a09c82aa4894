"""Pictures (matplotlib, extra `plot`): each returns its Axes, and none is shown by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from causalopt.errors import DataError

if TYPE_CHECKING:
    from causalopt.problems.balance_frontier import Frontier
    from causalopt.problems.balance_result import BalanceResult

#: Dark enough to be told apart in grey, and by people who do not see all colours.
COLOURS = ("#1b4f72", "#c0570a", "#4d7d32", "#7a3b8f", "#8a6d00", "#333333")
MARKERS = ("o", "s", "^", "D", "v", "P")


def pyplot() -> Any:
    """Return matplotlib.pyplot.

    Raises
    ------
    DataError
        Where matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise DataError("Pictures need matplotlib: pip install causalopt[plot].") from None
    return plt


def tidy(axes: Any) -> Any:
    """Take away what is not data."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def love_plot(result: BalanceResult, axes: Any = None) -> Any:
    """Draw each covariate's absolute standardised difference from its target, before and after weighting."""
    table = result.balance_table()
    if table.index.nlevels == 2:
        worst = table.groupby("covariate", sort=False)[["smd before", "smd after", "tolerance"]]
        table = worst.agg(lambda column: column.abs().max())
    before, after = table["smd before"].abs(), table["smd after"].abs()
    order = np.argsort(before.to_numpy())
    plt = pyplot()
    axes = axes or plt.subplots(figsize=(6.4, 1.2 + 0.28 * len(table)), layout="constrained")[1]
    place = np.arange(len(table))
    axes.hlines(place, after.iloc[order], before.iloc[order], color="0.8", linewidth=1.5, zorder=1)
    axes.scatter(
        before.iloc[order], place, marker="o", facecolor="white", edgecolor=COLOURS[1], label="before", zorder=2
    )
    axes.scatter(after.iloc[order], place, marker="s", color=COLOURS[0], label="after weighting", zorder=3)
    axes.plot(table["tolerance"].iloc[order], place, "|", color="0.2", markersize=11, label="tolerance", zorder=4)
    axes.set_yticks(place, table.index[order])
    axes.set_xlabel(f"distance from the target (in units of scale: {_named(result.problem.scale)})")
    axes.set_xlim(left=-0.02 * float(before.max()))
    axes.legend(frameon=False, loc="lower right")
    return tidy(axes)


def _named(scales: Any) -> str:
    return ", ".join(dict.fromkeys(scales))


def weight_plot(result: BalanceResult, axes: Any = None) -> Any:
    """Draw the distribution of the weights of each weighted group, with its effective sample size."""
    plt = pyplot()
    axes = axes or plt.subplots(figsize=(6.4, 3.6), layout="constrained")[1]
    sizes = result.effective_sample_size
    values = [result.weights.to_numpy()[g.members] for g in result.problem.groups]
    edges = np.linspace(0, max(float(v.max()) for v in values), 41)
    for k, (group, w) in enumerate(zip(result.problem.groups, values, strict=True)):
        label = f"group {group.label}: {group.size:,} units, effective {sizes[group.label]:,.1f}"
        style = {"histtype": "stepfilled", "alpha": 0.55} if k == 0 else {"histtype": "step", "linewidth": 1.8}
        axes.hist(w, bins=edges, color=COLOURS[k % len(COLOURS)], label=label, **style)
    axes.axvline(1.0, color="0.2", linestyle="--", linewidth=1)
    axes.set_yscale("log")
    axes.set_xlabel("weight (average 1)")
    axes.set_ylabel("units")
    axes.legend(frameon=False)
    return tidy(axes)


def dual_plot(result: BalanceResult, axes: Any = None, most: int = 20) -> Any:
    """Draw what 0.01 more tolerance would save, dearest covariates first ([SBW] figure 1)."""
    duals = result.duals.head(most)[::-1]
    plt = pyplot()
    axes = axes or plt.subplots(figsize=(6.4, 1.2 + 0.28 * len(duals)), layout="constrained")[1]
    names = duals["covariate"].astype(str)
    if "group" in duals:
        names = duals["group"].astype(str) + ": " + names
    axes.barh(np.arange(len(duals)), 100 * duals["price of 0.01"], color=COLOURS[0])
    axes.set_yticks(np.arange(len(duals)), names)
    axes.set_xlabel("variance of the weights saved by 0.01 more tolerance (%)")
    return tidy(axes)


def frontier_plot(frontier: Frontier, axes: Any = None) -> Any:
    """Draw coefficient of variation, effective sample size and estimate against the tolerance ([SBW] figure 2)."""
    panels = [("cv", "coefficient of variation"), ("effective sample size", "effective sample size")]
    if "estimate" in frontier.table:
        panels.append(("estimate", "estimate"))
    plt = pyplot()
    if axes is None:
        axes = plt.subplots(1, len(panels), figsize=(3.3 * len(panels), 3.1), layout="constrained")[1]
    axes = np.atleast_1d(axes)
    if len(axes) != len(panels):
        raise DataError(f"The frontier has {len(panels)} panels, but {len(axes)} axes were given.")
    table = frontier.table.reset_index()
    solved = table[table["status"] == "optimal"]
    for place, (column, label) in zip(axes, panels, strict=True):
        groups = [(None, solved.drop_duplicates("tolerance"))] if column == "estimate" else solved.groupby("group")
        for k, (name, own) in enumerate(groups):
            place.plot(own["tolerance"], own[column], marker=MARKERS[k], markersize=3, color=COLOURS[k], label=name)
        infeasible = table.loc[table["status"] == "infeasible", "tolerance"]
        if len(infeasible):
            place.axvspan(infeasible.min(), infeasible.max(), color="0.9", label="infeasible")
        place.set_xlabel("tolerance")
        place.set_ylabel(label)
        tidy(place)
    if solved["group"].nunique() > 1:
        axes[0].legend(frameon=False, title="group")
    return axes
