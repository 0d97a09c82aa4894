"""Pictures of the causal bootstrap: intervals and redrawn estimates by method."""

from __future__ import annotations

from typing import Any

import numpy as np

from causalopt.plotting.style import INK, MAIN, MUTED, SECOND, canvas, head, label, locate, name_rows, text_size, tidy
from causalopt.problems.copula.bootstrap.result import BootstrapResult
from causalopt.solving.answer import draws

#: Bins of the histogram of the widest method.
BINS = 60


#: Kind of interval -> how far below the middle of its row it is drawn, and how.
_INTERVALS: dict[str, tuple[float, dict[str, Any]]] = {
    "normal": (0.0, {"linewidth": 1.4}),
    "quantile": (0.0, {"linewidth": 8.0, "alpha": 0.5}),
    "studentised": (0.27, {"linewidth": 2.0, "linestyle": (0, (1, 1))}),
}


def intervals_plot(result: BootstrapResult, ax: Any = None) -> Any:
    """Draw the intervals of all methods: by quantiles thick, by normal approximation thin, studentised dotted."""
    ax = canvas(ax, 1.9 + 0.42 * len(result.table))
    names, legend = list(result.table.index), []
    for kind, (offset, style) in _INTERVALS.items():
        if f"{kind} lower" not in result.table:
            continue
        ends = result.table[[f"{kind} lower", f"{kind} upper"]].to_numpy()
        for row in np.flatnonzero(np.isfinite(ends).all(axis=1)):
            colour = _colour(result, names[row])
            ax.plot(ends[row], [row + offset] * 2, color=colour, solid_capstyle="butt", label=kind, **style)
        if np.isfinite(ends).any():
            legend.append(ax.plot([], [], color=INK, solid_capstyle="butt", label=kind, **style)[0])
    for height, name in enumerate(names):
        proven = _is_proven(result, name)
        ax.plot(
            result.estimate, height, marker="o", linestyle="none", color=_colour(result, name),
            markersize=3.6 if proven else 5.5, markerfacecolor=None if proven else "white",
        )  # fmt: skip
        if not proven:
            hollow = {"marker": "o", "linestyle": "none", "color": INK, "markerfacecolor": "white"}
            legend.append(ax.plot([], [], label="hollow: worst case not proven", **hollow)[0])
    ax.axvline(0.0, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    tidy(ax, "x")
    ax.set_ylim(len(names) - 0.5, -0.5)
    width = name_rows(ax, range(len(names)), names)
    locate(ax, width)
    label(ax, x=f"effect, with {result.level:.0%} intervals", width=width)
    head(ax, "Intervals by method", handles=legend, width=width)
    return ax


def distributions_plot(result: BootstrapResult, ax: Any = None) -> Any:
    """Draw how redrawn estimates differ from the effect that was imputed, a row a method, each as high as the others.

    Lines across a row mark the quantiles that make the interval.
    """
    names = list(result.table.index)
    ax = canvas(ax, 1.9 + 0.62 * len(names))
    drawn = [result.errors[name] for name in names if name in result.errors]
    low, high = (min(map(np.min, drawn)), max(map(np.max, drawn))) if drawn else (-1.0, 1.0)
    for height, name in enumerate(names):
        base = height + 0.4
        ax.axhline(base, color=MUTED, linewidth=0.6)
        if name not in result.errors:
            ax.annotate(
                "nothing is redrawn", (0.5, height), xycoords=("axes fraction", "data"), ha="center",
                va="center", color=MUTED, fontsize=text_size(ax),
                bbox={"boxstyle": "square,pad=0.2", "facecolor": "white", "edgecolor": "none"},
            )  # fmt: skip
            continue
        errors = result.errors[name]
        width = min((high - low) / BINS, max(float(np.ptp(errors)) / 12, (high - low) / 600)) or 1.0
        edges = errors.min() + width * np.arange(int(np.ceil(np.ptp(errors) / width)) + 2)
        counts = np.histogram(errors, edges)[0]
        ax.stairs(
            base - 0.8 * counts / counts.max(), edges, baseline=base, fill=True, color=_colour(result, name),
            alpha=0.75, label=name,
        )  # fmt: skip
        tail = 0.5 - result.level / 2
        ax.vlines(np.quantile(errors, [tail, 1 - tail]), base - 0.8, base, color=INK, linewidth=1.3)
    ax.axvline(0.0, color=INK, linewidth=0.8, linestyle=(0, (4, 2)))
    tidy(ax, "x")
    ax.set_ylim(len(names) - 0.5, -0.5)
    shown = [name if _is_proven(result, name) else f"{name} (not proven)" for name in names]
    room = name_rows(ax, np.arange(len(names)) + 0.1, shown)
    locate(ax, room)
    label(ax, x=f"redrawn estimate minus imputed effect (lines: {result.level:.0%})", width=room)
    head(ax, "Redrawn estimates by method", handles=[], width=room)
    return ax


draws(BootstrapResult, {"intervals": intervals_plot, "distributions": distributions_plot})


def _colour(result: BootstrapResult, name: str) -> str:
    return MAIN.colour if name == result.method else SECOND.colour


def _is_proven(result: BootstrapResult, name: str) -> bool:
    """Return whether the interval is what its method says: the worst case may be proven only to a gap."""
    return name != "optimal" or result.copula is None or result.copula.is_optimal
