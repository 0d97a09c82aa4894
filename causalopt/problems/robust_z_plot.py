"""The picture of a robust Z curve: envelopes of Z and of p against the number of pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from causalopt.errors import DataError
from causalopt.modeling.program import Floats
from causalopt.problems.robust_z_result import threshold

if TYPE_CHECKING:
    from causalopt.problems.robust_z_curve import RobustZCurve

#: The axis of Z is linear up to this value, and logarithmic beyond.
LINEAR = 4.0


def draw(curve: RobustZCurve, axes: Any, level: float) -> Any:
    """Draw both panels; see `RobustZCurve.plot`."""
    import matplotlib.pyplot as plt

    if axes is None:
        _, axes = plt.subplots(2, 1, sharex=True, figsize=(6.4, 5.6), layout="constrained")
    axes = np.asarray(axes, dtype=object).ravel()
    if len(axes) != 2:
        raise DataError(f"The picture needs two Axes, one for Z and one for p; {len(axes)} were given.")
    table = curve.table
    n = table.index.to_numpy()
    least, largest = table["z_min"].to_numpy(), table["z_max"].to_numpy()
    _envelope(axes[0], n, least, largest)
    _scale_z(axes[0], n, least, largest)
    _envelope(axes[1], n, table["p_high"].to_numpy(), table["p_low"].to_numpy())
    cut = threshold(level)
    for ax, value, name in ((axes[0], cut, f"Z = {cut:.3g}"), (axes[1], level, f"p = {level:g}")):
        ax.axhline(value, color="black", linewidth=1, linestyle="--")
        ax.annotate(
            name, (1, value), xycoords=("axes fraction", "data"), xytext=(-3, 3), textcoords="offset points",
            ha="right", va="bottom", fontsize="small",
            bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
        )  # fmt: skip
    _mark_robust(axes, n, curve.verdicts(level)["absolute-robust"].to_numpy())
    axes[0].set_ylabel("Z")
    axes[1].set_ylabel("one-sided p")
    axes[1].set_ylim(-0.04, 1.04)
    axes[1].set_xlabel("number of pairs n")
    axes[0].legend(
        loc="lower left", bbox_to_anchor=(-0.08, 1), ncols=3, fontsize="small", frameon=False,
        borderaxespad=0.2, columnspacing=0.8, handlelength=1.6, handletextpad=0.4,
    )  # fmt: skip
    return axes


def _envelope(ax: Any, n: Any, of_least: Floats, of_largest: Floats) -> None:
    """Draw a band between two lines that differ in dash, so that it reads in grey."""
    marker = "o" if len(n) == 1 else None
    ax.fill_between(n, _drawn(of_least), _drawn(of_largest), color="0.87", linewidth=0)
    ax.plot(n, _finite(of_largest), color="tab:blue", marker=marker, label="largest Z")
    ax.plot(n, _finite(of_least), color="tab:orange", linestyle="-.", marker=marker, label="least Z")


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
    ticks = np.concatenate([-powers[::-1], [0.0], powers])
    ax.set_yticks(ticks[(ticks >= bottom) & (ticks <= top)])
    ax.yaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ax.axhline(0.0, color="0.6", linewidth=0.6)
    endless = [(np.isposinf(high) | np.isposinf(low), top, "^", "top"), (np.isneginf(low), bottom, "v", "bottom")]
    for where, end, marker, align in endless:
        if where.any():
            ax.plot(n[where], np.full(where.sum(), end), marker, color="0.3", markersize=3, clip_on=False)
            offset = (3, -3 if align == "top" else 3)
            ax.annotate(
                "infinite", (n[where].max(), end), xytext=offset, textcoords="offset points",
                ha="left", va=align, fontsize="small",
            )  # fmt: skip


def _mark_robust(axes: Any, n: Any, robust: Any) -> None:
    """Draw a bar at the foot of both panels over the n at which no decision depends on the pairing."""
    if not robust.any():
        return
    step = np.diff(n).min() / 2 if len(n) > 1 else 0.5
    for k, ax in enumerate(axes):
        runs = np.flatnonzero(np.diff(np.concatenate([[0], robust.astype(int), [0]])))
        for first, last in zip(runs[::2], runs[1::2], strict=True):
            label = "all agree" if k == 0 and first == runs[0] else None
            ax.axvspan(n[first] - step, n[last - 1] + step, 0, 0.025, color="tab:green", linewidth=0, label=label)
