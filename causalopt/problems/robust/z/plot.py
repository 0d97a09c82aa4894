"""Pictures of a robust Z curve: envelopes of Z and of p against the number of pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from causalopt.modeling.program import Bools, Floats
from causalopt.plotting.style import BAND, INK, MAIN, MUTED, SECOND, Mark, canvas, head, label, locate, panels, tidy
from causalopt.plotting.style import text_size as size_of
from causalopt.problems.robust.verdicts import check_level, threshold
from causalopt.problems.robust.z.curve import RobustZCurve
from causalopt.solving.answer import draws

#: The axis of Z is linear up to this value, and logarithmic beyond.
LINEAR = 4.0

#: Behind words that stand among lines.
BACKGROUND = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}

#: Hollow points on a line at most.
MOST_POINTS = 50

#: A curve of at most this many n has a point for each.
FEW = 12


def both_plot(curve: RobustZCurve, ax: Any = None, *, level: float = 0.05) -> Any:
    """Draw Z above and p below; `ax` is two Axes."""
    level = check_level(level)
    axes = panels(ax, 2, 2.6)
    _z_panel(curve, axes[0], level)
    _p_panel(curve, axes[1], level)
    head(axes[0], _title(curve))
    axes[0].set_xlabel("")
    return axes


def z_plot(curve: RobustZCurve, ax: Any = None, *, level: float = 0.05) -> Any:
    """Draw the least and the largest Z."""
    level = check_level(level)
    ax = canvas(ax)
    _z_panel(curve, ax, level)
    head(ax, _title(curve))
    return ax


def p_plot(curve: RobustZCurve, ax: Any = None, *, level: float = 0.05) -> Any:
    """Draw the p-values of the least and of the largest Z."""
    level = check_level(level)
    ax = canvas(ax)
    _p_panel(curve, ax, level)
    head(ax, _title(curve))
    return ax


draws(RobustZCurve, {"both": both_plot, "z": z_plot, "p": p_plot})


def _proven(curve: RobustZCurve) -> Bools:
    """Return at which n both extremes are exact."""
    proven: Bools = ((curve.table["min is"] == "exact") & (curve.table["max is"] == "exact")).to_numpy()
    return proven


def _title(curve: RobustZCurve) -> str:
    return f"Least and largest Z {'of all pairings' if _proven(curve).all() else 'found, not all proven'}"


def _z_panel(curve: RobustZCurve, ax: Any, level: float) -> None:
    table = curve.table
    n, least, largest = table.index.to_numpy(), table["z_min"].to_numpy(), table["z_max"].to_numpy()
    _envelope(curve, ax, least, largest)
    _scale_z(ax, n, least, largest)
    cut = threshold(level)
    _finish(curve, ax, level, cut, f"Z = {cut:.3g}", "Z (log scale beyond 4)")


def _p_panel(curve: RobustZCurve, ax: Any, level: float) -> None:
    _envelope(curve, ax, curve.table["p_high"].to_numpy(), curve.table["p_low"].to_numpy())
    ax.set_ylim(-0.04, 1.04)
    _finish(curve, ax, level, level, f"p = {level:g}", "one-sided p")


def _finish(curve: RobustZCurve, ax: Any, level: float, cut: float, name: str, y: str) -> None:
    """Draw the threshold of the decision, where all pairings agree on it, and the labels."""
    ax.axhline(cut, color=INK, linewidth=1, linestyle=(0, (4, 2)))
    ax.annotate(
        name, (1, cut), xycoords=("axes fraction", "data"), xytext=(-3, 3), textcoords="offset points",
        ha="right", va="bottom", fontsize=size_of(ax),
        bbox=BACKGROUND, zorder=1.9,
    )  # fmt: skip
    n, proven = curve.table.index.to_numpy(), _proven(curve)
    robust = curve.verdicts(level)["absolute-robust"].to_numpy()
    _mark_robust(ax, n, robust & proven, "every pairing decides alike", facecolor=INK)
    _mark_robust(
        ax, n, robust & ~proven, "the pairings found decide alike (not proven)", facecolor="white", edgecolor=INK,
        hatch="/////",
    )  # fmt: skip
    tidy(ax)
    locate(ax)
    label(ax, x="number of pairs n", y=y)


def _envelope(curve: RobustZCurve, ax: Any, of_least: Floats, of_largest: Floats) -> None:
    """Draw a band between two lines; points that are not proven are hollow."""
    n = curve.table.index.to_numpy()
    ax.fill_between(n, _drawn(of_least), _drawn(of_largest), color=BAND, linewidth=0)
    for values, column, name, mark in (
        (of_largest, "max is", "largest Z", MAIN),
        (of_least, "min is", "least Z", SECOND),
    ):
        proven = (curve.table[column] == "exact").to_numpy()
        points = {"marker": mark.marker, "markersize": 4.5} if len(n) <= FEW and proven.all() else {}
        ax.plot(n, _finite(values), color=mark.colour, linestyle=mark.dash, label=name, **points)
        if not proven.all():
            _points(ax, n, values, proven, mark)
    if not _proven(curve).all():
        ax.plot([], [], marker="o", linestyle="none", color=MUTED, markerfacecolor="white", label="hollow: not proven")


def _points(ax: Any, n: Any, values: Floats, proven: Bools, mark: Mark) -> None:
    open_ones = np.flatnonzero(~proven & np.isfinite(values))
    shown = open_ones[:: -(-len(open_ones) // MOST_POINTS) or 1]
    style: dict[str, Any] = {
        "marker": mark.marker, "markersize": 5, "linestyle": "none", "markeredgecolor": mark.colour, "zorder": 3,
    }  # fmt: skip
    ax.plot(n[shown], values[shown], markerfacecolor="white", **style)
    if len(n) <= FEW:
        ax.plot(n[proven], _finite(values[proven]), markerfacecolor=mark.colour, **style)


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, np.nan)


def _drawn(values: Floats) -> Floats:
    """Replace infinite values by ones far outside of the axis."""
    return np.nan_to_num(values, posinf=1e9, neginf=-1e9)


def _scale_z(ax: Any, n: Any, low: Floats, high: Floats) -> None:
    """Make the axis of Z linear near the threshold, and mark infinite values at its ends."""
    ax.set_yscale("symlog", linthresh=LINEAR, linscale=1.0)
    finite = np.concatenate([_finite(low), _finite(high), [0.0]])
    bottom, top = 1.5 * min(float(np.nanmin(finite)), -1.0), 1.5 * max(float(np.nanmax(finite)), 2.0)
    ax.set_ylim(bottom, top)
    powers = 10.0 ** np.arange(1, np.ceil(np.log10(max(top, -bottom))) + 1)
    powers = powers[:: 1 + len(powers) // 3]
    ticks = np.concatenate([-powers[::-1], [-2.0, 0.0, 2.0] if top < 40 and bottom > -40 else [0.0], powers])
    ax.set_yticks(ticks[(ticks >= bottom) & (ticks <= top)])
    ax.yaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.axhline(0.0, color=MUTED, linewidth=0.6)
    endless = [(np.isposinf(high) | np.isposinf(low), top, "^", "top"), (np.isneginf(low), bottom, "v", "bottom")]
    for where, end, marker, align in endless:
        if where.any():
            ax.plot(
                n[where], np.full(where.sum(), end), marker, color=MUTED, markersize=3.5, clip_on=False,
            )  # fmt: skip
            offset = (5, -3 if align == "top" else 3)
            ax.annotate(
                "infinite", (n[where].max(), end), xytext=offset, textcoords="offset points",
                ha="left", va=align, fontsize=size_of(ax), bbox=BACKGROUND, zorder=1.9,
            )  # fmt: skip


def _mark_robust(ax: Any, n: Any, robust: Any, name: str, **style: Any) -> None:
    """Draw a bar at the foot over the n at which no decision depends on the pairing."""
    if not robust.any():
        return
    step = np.diff(n).min() / 2 if len(n) > 1 else 0.5
    runs = np.flatnonzero(np.diff(np.concatenate([[0], robust.astype(int), [0]])))
    for first, last in zip(runs[::2], runs[1::2], strict=True):
        ax.axvspan(
            n[first] - step, n[last - 1] + step, 0, 0.035, linewidth=0.8, label=name if first == runs[0] else None,
            **style,
        )  # fmt: skip
