"""Pictures of factorial effects and of their balance; matplotlib is loaded here only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError

#: Most rows of a picture that still has a readable label each.
MOST_LABELS = 60
BEFORE, AFTER = "#b8b8b8", "#1f5a99"


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
    """Draw the largest imbalance of each side of each effect over functions, before and after weighting.

    One line a function and, within it, a point for each effect and side.
    """
    if not len(table):
        raise DataError("There is nothing to draw: the problem has no covariates, and a single factor.")
    functions = list(dict.fromkeys(table.index.get_level_values("function")))
    if len(functions) > MOST_LABELS:
        worst = table["smd before"].abs().groupby(level="function").max().nlargest(MOST_LABELS).index
        functions = [name for name in functions if name in set(worst)]
    ax = _axes(ax, 1.5 + 0.26 * len(functions))
    height = {name: len(functions) - 1 - k for k, name in enumerate(functions)}
    shown = table[table.index.get_level_values("function").isin(functions)]
    y = np.array([height[name] for name in shown.index.get_level_values("function")], dtype=float)
    ax.plot(shown["smd before"].abs(), y, "o", color=BEFORE, markersize=6, label="before weighting", alpha=0.8)
    ax.plot(shown["smd after"].abs(), y, "o", color=AFTER, markersize=4, label="after weighting")
    ax.set_yticks(list(height.values()), list(height))
    ax.set_ylim(-0.6, len(functions) - 0.4)
    ax.set_xlim(left=-0.02 * max(float(shown["smd before"].abs().max()), 1e-3))
    effects = table.index.get_level_values("effect").nunique()
    ax.set_xlabel(f"absolute standardised difference\n(a point for each side of {effects} effect(s))")
    ax.legend(frameon=False, loc="best")
    _plain(ax)
    return ax


def _plain(ax: Any) -> None:
    ax.grid(axis="x", color="#e6e6e6")
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)
