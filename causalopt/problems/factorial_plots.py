"""Pictures of factorial effects and of their balance; matplotlib is loaded here only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError

#: Most rows of a picture that still has a readable label each.
MOST_LABELS = 60
BEFORE, AFTER = "#b0b0b0", "#1f5a99"
SIGN = {"+": "+", "-": "\N{MINUS SIGN}"}


def _axes(ax: Any, height: float, width: float = 6.4) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise DataError("Pictures need matplotlib: pip install causalopt[plot].") from None
    if ax is not None:
        return ax
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def plot_effects(table: pd.DataFrame, ax: Any = None, outcome: str | None = None) -> Any:
    """Draw estimates with their intervals, one line an effect; those that are not identified are marked as such."""
    n = len(table)
    ax = _axes(ax, 1.3 + 0.36 * n)
    y = np.arange(n)[::-1]
    known = table["estimate"].notna().to_numpy()
    ax.axvline(0.0, color="black", linewidth=0.8)
    ax.hlines(y[known], table["lower"][known], table["upper"][known], color=AFTER, linewidth=2)
    ax.plot(table["estimate"][known], y[known], "o", color=AFTER, markersize=6)
    for k in np.flatnonzero(~known):
        ax.annotate("not identified", (0.0, y[k]), (5, 0), textcoords="offset points", va="center", color="gray")
    ax.set_yticks(y, [str(label) for label in table.index])
    ax.set_ylim(-0.6, n - 0.4)
    level = table.attrs.get("level", 0.95)
    ax.set_xlabel(f"effect{f' on {outcome}' if outcome else ''}, with {level:.0%} interval")
    _plain(ax)
    return ax


def plot_balance(table: pd.DataFrame, ax: Any = None) -> Any:
    """Draw the imbalance of every function before and after weighting, one line for each side of an effect.

    Of more sides than have room, those that were least balanced before are shown.
    """
    if not len(table):
        raise DataError("There is nothing to draw: the problem has no covariates, and a single factor.")
    sides = table["smd before"].abs().groupby(level=["effect", "side"], sort=False).max()
    shown = sides.index if len(sides) <= MOST_LABELS else sides[sides >= sides.nlargest(MOST_LABELS).min()].index
    n = len(shown)
    ax = _axes(ax, 1.4 + 0.26 * n)
    height = {key: n - 1 - k for k, key in enumerate(shown)}
    part = table[table.index.droplevel("function").isin(shown)]
    y = np.array([height[effect, side] for effect, side, _ in part.index], dtype=float)
    ax.plot(part["smd before"].abs(), y, "o", color=BEFORE, markersize=6, alpha=0.7, label="before weighting")
    ax.plot(part["smd after"].abs(), y, "o", color=AFTER, markersize=4, label="after weighting")
    ax.set_yticks(list(height.values()), [f"{effect}  {SIGN[side]}" for effect, side in height])
    ax.set_ylim(-0.6, n - 0.4)
    ax.set_xlim(left=-0.02 * max(float(part["smd before"].abs().max()), 1e-3))
    functions = table.index.get_level_values("function").nunique()
    ax.set_xlabel(f"absolute standardised difference from the target, of {functions} function(s)")
    ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    _plain(ax)
    return ax


def _plain(ax: Any) -> None:
    ax.grid(axis="x", color="#e6e6e6")
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)
