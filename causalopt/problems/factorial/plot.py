"""Pictures of factorial effects, of their balance and of the treatment cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.plotting.style import (
    INK,
    MAIN,
    MUTED,
    SECOND,
    canvas,
    head,
    label,
    locate,
    name_rows,
    row_height,
    rows_that_fit,
    text_size,
    tidy,
)
from causalopt.problems.factorial.result import FactorialResult
from causalopt.solving.answer import draws

#: Most rows of a picture that still has a readable label each.
MOST_LABELS = 60
SIGN = {"+": "+", "-": "\N{MINUS SIGN}"}


def effects_plot(
    result: FactorialResult,
    ax: Any = None,
    *,
    outcome: Any = None,
    level: float = 0.95,
    variance: str = "adjusted",
    draws: int = 400,
    seed: int = 0,
) -> Any:
    """Draw estimates with their intervals, one row an effect; those that are not identified are marked as such."""
    if outcome is None:
        raise DataError(f"plot('effects') needs {argument('outcome', assigned=True)}: a column's name, or values.")
    table = result.estimate(outcome, level=level, variance=variance, draws=draws, seed=seed)
    total = len(table)
    ax = canvas(ax, row_height(min(total, MOST_LABELS)))
    n = rows_that_fit(ax, min(total, MOST_LABELS))
    table = table.head(n)
    y = np.arange(n)[::-1]
    known = table["estimate"].notna().to_numpy()
    ax.axvline(0.0, color=INK, linewidth=0.8)
    ax.hlines(y[known], table["lower"][known], table["upper"][known], color=MAIN.colour, linewidth=2)
    ax.plot(
        table["estimate"][known], y[known], marker=MAIN.marker, linestyle="none", color=MAIN.colour, markersize=6
    )  # fmt: skip
    tidy(ax, "x")
    for k in np.flatnonzero(~known):
        ax.annotate(
            "not identified", (0.0, y[k]), (5, 0), textcoords="offset points", va="center", color=MUTED,
            fontsize=min(text_size(ax), 9.0),
        )  # fmt: skip
    width = name_rows(ax, y, list(table.index))
    ax.set_ylim(-0.6, n - 0.4)
    locate(ax, width)
    name = outcome if isinstance(outcome, str) else getattr(outcome, "name", None)
    label(ax, x=f"effect{f' on {name}' if name else ''}, with {level:.0%} interval", width=width)
    few = f", the first {n} of {total}" if n < total else ""
    head(ax, f"Effects{few}", width=width)
    return ax


def balance_plot(result: FactorialResult, ax: Any = None) -> Any:
    """Draw the imbalance of every function before and after weighting, one row for each side of an effect.

    Of more sides than have room, those that were least balanced before are shown.
    """
    table = result.balance_table()
    if not len(table):
        raise DataError("There is nothing to draw: the problem has no covariates, and a single factor.")
    sides = table["smd before"].abs().groupby(level=["effect", "side"], sort=False).max()
    ax = canvas(ax, row_height(min(len(sides), MOST_LABELS)))
    n = rows_that_fit(ax, min(len(sides), MOST_LABELS))
    keep = np.sort(np.argsort(-sides.to_numpy(), kind="stable")[:n])
    shown = sides.index[keep]
    height = {key: n - 1 - k for k, key in enumerate(shown)}
    part = table[table.index.droplevel("function").isin(shown)]
    y = np.array([height[effect, side] for effect, side, _ in part.index], dtype=float)
    many = len(part) > 20_000
    ax.plot(
        part["smd before"].abs(), y, marker="o", linestyle="none", markersize=6, markerfacecolor="none",
        markeredgecolor=SECOND.colour, markeredgewidth=1.1, label="before weighting", rasterized=many,
    )  # fmt: skip
    ax.plot(
        part["smd after"].abs(), y, marker="s", linestyle="none", markersize=4, color=MAIN.colour,
        label="after weighting", rasterized=many,
    )  # fmt: skip
    tidy(ax, "x")
    width = name_rows(ax, list(height.values()), [f"{effect}  {SIGN[side]}" for effect, side in height])
    ax.set_ylim(-0.6, n - 0.4)
    ax.set_xlim(left=-0.03 * max(float(part["smd before"].abs().max()), 1e-3))
    locate(ax, width)
    functions = table.index.get_level_values("function").nunique()
    label(ax, x=f"absolute standardised difference from the target, of {functions} function(s)", width=width)
    few = f", {n} least balanced of {len(sides)} sides" if n < len(sides) else ""
    head(ax, f"Balance of each side of each effect{few}", width=width)
    return ax


def cells_plot(result: FactorialResult, ax: Any = None) -> Any:
    """Draw how many rows each treatment cell has, and how many they are worth after weighting.

    Of more cells than have room, those of the smallest effective sample size are shown.
    """
    cells = result.cells()
    total = len(cells)
    ax = canvas(ax, row_height(min(total, MOST_LABELS)))
    n = rows_that_fit(ax, min(total, MOST_LABELS))
    keep = np.sort(np.argsort(cells["effective sample size"].to_numpy(), kind="stable")[:n])
    cells = cells.iloc[keep]
    y = np.arange(n)[::-1]
    ax.barh(y, cells["rows"], height=0.72, facecolor="white", edgecolor=MUTED, linewidth=1.0, label="rows")
    ax.barh(y, cells["effective sample size"], height=0.44, color=MAIN.colour, label="effective sample size")
    tidy(ax, "x")
    width = name_rows(ax, y, _cell_names(cells.index))
    ax.set_ylim(-0.6, n - 0.4)
    ax.set_xlim(left=0.0)
    locate(ax, width)
    label(ax, x="rows", width=width)
    names = [str(name) for name in cells.index.names if name != "effect"]
    few = f", the {n} smallest of {total}" if n < total else ""
    head(ax, f"Treatment cells ({', '.join(names)}){few}", width=width)
    return ax


def _cell_names(index: pd.Index) -> list[str]:
    return [" ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in index]


draws(FactorialResult, {"balance": balance_plot, "effects": effects_plot, "cells": cells_plot})
