"""The plots of the page as plotly's own data: what is drawn is in the store, and every name in it is plain text.

A contestant has one colour, one marker and one dash on all plots, so that lines can be told apart in grey too.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt.bench.report import growth, metrics
from causalopt.bench.report.words import printable, seconds, significant

#: Colours that differ in lightness as well as in hue, on white.
COLOURS = (
    "#0b3c6f", "#d1660d", "#1a8f5a", "#8d1f5c", "#3f8fd2",
    "#6b5b00", "#e0559b", "#222222", "#8a6bd1", "#00787a",
)  # fmt: skip
MARKERS = (
    "circle", "square", "diamond", "triangle-up", "pentagon", "triangle-down", "star", "hexagon", "cross", "bowtie",
)  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

#: Phases of the lane from dark to light, each with a pattern of its own.
PHASE_COLOURS = ("#08306b", "#225ea8", "#41b6c4", "#7a4419", "#fe9929", "#fee391", "#9e9e9e")
PHASE_PATTERNS = ("", "/", "", "x", "", ".", "\\")

#: Seconds below the clock's resolution are drawn here.
SMALLEST = 1e-6

#: The longest name in a legend.
LONGEST = 28


@dataclasses.dataclass(frozen=True)
class Chart:
    """One plot: its words, and data and layout for plotly."""

    title: str
    says: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]


def plain(text: object) -> str:
    """Return text that plotly draws as it is: plotly reads HTML in names and labels."""
    words = printable(str(text))
    return html.escape(words if len(words) <= LONGEST else words[: LONGEST - 1] + "…", quote=False)


def styles(solvers: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the look of each contestant's line."""
    return {
        solver: {
            "line": {
                "color": COLOURS[k % len(COLOURS)],
                "dash": DASHES[(k + k // len(MARKERS)) % len(DASHES)],
                "width": 2,
            },
            "marker": {"color": COLOURS[k % len(COLOURS)], "symbol": MARKERS[k % len(MARKERS)], "size": 8},
        }
        for k, solver in enumerate(solvers)
    }


def everyone(runs: pd.DataFrame) -> list[str]:
    """Return all contestants, solvers first, since these are on most plots."""
    kinds = runs.groupby("solver")["kind"].first()
    order = {"solver": 0, "fast path": 1, "peer": 2, "heuristic": 3}
    return sorted(kinds.index, key=lambda solver: (order.get(kinds[solver], 4), solver))


def profile(runs: pd.DataFrame, looks: Mapping[str, dict[str, Any]]) -> Chart | None:
    """Return the performance profiles of all exact methods and peers; a step is a marker."""
    table = metrics.profiles(runs)
    if table.empty:
        return None
    ratios = table.index.to_numpy(float)
    data = []
    for solver in (s for s in looks if s in table.columns):
        shares = table[solver].to_numpy(float)
        steps = np.flatnonzero(np.diff(shares, prepend=-1.0))  # the first ratio, and wherever the share grows
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": plain(solver),
                "x": [*ratios[steps].tolist(), float(ratios[-1]) * 1.15],
                "y": [*shares[steps].tolist(), float(shares[-1])],
                **looks[solver],
                "marker": {**looks[solver]["marker"], "size": 6, "opacity": [1.0] * len(steps) + [0.0]},
                "line": {**looks[solver]["line"], "shape": "hv"},
                "hovertemplate": "%{fullData.name}<br>within %{x:.3g} of the fastest: %{y:.1%}<extra></extra>",
            }
        )
    layout = _layout("ratio to the fastest", "share of items settled", height=460)
    ticks = [1, 2, 5, 10, 100, 1000, 10_000, 100_000, 1_000_000]
    layout["xaxis"] |= {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:,}" for tick in ticks]}
    layout["yaxis"] |= {"range": [-0.03, 1.03], "tickformat": ".0%"}
    return Chart("Performance profiles", "Further up and further left is better.", data, layout)


def scaling(runs: pd.DataFrame, looks: Mapping[str, dict[str, Any]]) -> list[Chart]:
    """Return for each formulation with three sizes or more the median seconds by size, a line a contestant.

    Sizes at which more than half of a contestant's runs failed are open crosses at the time limit; what a licence did
    not allow is not there.
    """
    own = runs[runs["size"].notna() & runs["attempted"]]
    charts = []
    several = runs["suite"].nunique() > 1
    for (suite, problem, formulation), group in own.groupby(growth.FAMILY):
        if group["size"].nunique() < 3:
            continue
        grouped = group.groupby(["solver", "size"])
        cells = pd.DataFrame({"seconds": grouped["seconds"].median(), "done": grouped["ended"].mean() > 0.5})
        data, failures = [], False
        for solver in (s for s in looks if s in cells.index.get_level_values("solver")):
            mine = cells.loc[solver].sort_index()
            good, bad = mine[mine["done"]], mine[~mine["done"]]
            data.append(_points(solver, good, {"mode": "lines+markers", **looks[solver]}, ""))
            if len(bad):
                failures = True
                mark = {"color": looks[solver]["marker"]["color"], "symbol": "x-open", "size": 11}
                failed = {"mode": "markers", "marker": mark, "showlegend": not len(good)}
                data.append(_points(solver, bad, failed, "failed or stopped, at the limit of "))
        name = ", ".join(filter(None, [problem, formulation, f"suite {suite}" if several else ""]))
        layout = _layout("size", "load, solve and extract", height=400)
        layout["xaxis"] |= _size_axis(cells.index.get_level_values("size"))
        layout["yaxis"] |= _seconds_axis(cells["seconds"])
        says = "Open crosses at the time limit: failed or stopped." if failures else "Nobody failed where it ran."
        charts.append(Chart(name, says, data, layout))
    return charts


def _points(solver: str, cells: pd.DataFrame, look: dict[str, Any], words: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": plain(solver),
        "legendgroup": plain(solver),
        "x": cells.index.tolist(),
        "y": cells["seconds"].clip(lower=SMALLEST).tolist(),
        "text": [words + seconds(value) for value in cells["seconds"]],
        "hovertemplate": "%{fullData.name}<br>size %{x:,}: %{text}<extra></extra>",
        **look,
    }


def split(runs: pd.DataFrame, solvers: Sequence[str]) -> Chart | None:
    """Return the mean share of each phase as stacked bars, a bar a contestant."""
    table = metrics.time_split(runs)
    if table.empty:
        return None
    rows = [solver for solver in reversed(solvers) if solver in table.index]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": phase,
            "y": [plain(solver) for solver in rows],
            "x": table.loc[rows, phase].tolist(),
            "marker": {
                "color": colour,
                "line": {"color": "#ffffff", "width": 1},
                "pattern": {"shape": pattern, "bgcolor": colour, "fgcolor": "#ffffff", "size": 6, "solidity": 0.25},
            },
            "hovertemplate": "%{y}<br>%{fullData.name}: %{x:.1%}<extra></extra>",
        }
        for phase, colour, pattern in zip(metrics.PHASES, PHASE_COLOURS, PHASE_PATTERNS, strict=True)
    ]
    layout = _layout("share of the whole", "", height=150 + 26 * len(rows))
    layout["xaxis"] |= {"range": [0, 1], "tickformat": ".0%"}
    layout["yaxis"] |= {"type": "category", "showgrid": False}
    layout |= {"barmode": "stack", "legend": {**layout["legend"], "traceorder": "normal"}}
    return Chart("Shares of time", "Phases of the lane, in their order from the left.", data, layout)


def _layout(x: str, y: str, height: int) -> dict[str, Any]:
    axis = {"gridcolor": "#d9d9d9", "linecolor": "#555555", "zeroline": False, "showline": True, "ticks": "outside"}
    return {
        "height": height,
        "margin": {"l": 20, "r": 14, "t": 14, "b": 50},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#1d2330"},
        "xaxis": {**axis, "title": {"text": x}},
        "yaxis": {**axis, "title": {"text": y, "standoff": 8}, "automargin": True},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "showlegend": True,
        "hovermode": "closest",
    }


def _size_axis(sizes: pd.Index) -> dict[str, Any]:
    known = sorted({float(size) for size in sizes})
    if known[0] <= 0:
        return {"type": "linear"}
    return {
        "type": "log",
        "tickvals": known,
        "ticktext": [significant(size, 4) for size in known],
    }


def _seconds_axis(values: pd.Series) -> dict[str, Any]:
    low = np.floor(np.log10(max(float(values.min()), SMALLEST)))
    high = np.ceil(np.log10(max(float(values.max()), 10 * SMALLEST)))
    powers = [10.0**k for k in range(int(low), int(high) + 1)]
    return {"type": "log", "tickvals": powers, "ticktext": [_power(p) for p in powers]}


def _power(value: float) -> str:
    return f"{value:,.0f} s" if value >= 1 else seconds(value)
