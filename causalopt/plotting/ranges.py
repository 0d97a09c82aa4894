"""The picture of how far an effect may move among answers that are nearly as good as the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.plotting.style import BAND, INK, MAIN, MUTED, head, label, locate, notice, tidy
from causalopt.study.estimates import EstimateRange

#: A gap of more than this part of the range is drawn.
SEEN = 1e-3


def draw_range(ax: Any, spans: Sequence[EstimateRange], best: float, x: str, y: str) -> Any:
    """Draw the ends of the range against eta, and the effect of the best answer.

    A range that is proven only within a gap has the wider limits too, as dotted lines.
    """
    if not len(spans):
        example = argument("eta", [0.05, 0.1])
        raise DataError(f"{argument('eta')} is empty; give how much worse the weights may be, such as {example}.")
    eta, low, high, gap = np.array(sorted((100 * s.eta, s.lower, s.upper, s.gap) for s in spans)).T
    finite = np.isfinite(low) & np.isfinite(high)
    ax.fill_between(eta[finite], low[finite], high[finite], color=BAND, linewidth=0)
    for values, name in ((high, "ends of the range"), (low, None)):
        ax.plot(
            eta[finite], values[finite], color=MAIN.colour, marker=MAIN.marker, markersize=4.5, label=name
        )  # fmt: skip
    if (gap[finite] > SEEN * np.maximum((high - low)[finite], 1e-300)).any():
        for values, text in ((high + gap, "not proven beyond the line: up to here"), (low - gap, None)):
            ax.plot(eta[finite], values[finite], color=MUTED, linestyle=":", linewidth=1.5, label=text)
    name = f"best weights: {best:.5g}".replace("-", "\N{MINUS SIGN}")
    ax.axhline(best, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), label=name)
    if not finite.any():
        notice(ax, "The range is without limit: other weights that are as good give any effect.")
    elif low[finite].min() <= 0 <= high[finite].max():
        ax.axhline(0.0, color=MUTED, linewidth=0.8, zorder=1)
    tidy(ax)
    ax.set_xlim(left=0.0, right=1.04 * max(float(eta.max()), 1e-9))
    locate(ax)
    label(ax, x=x, y=y)
    head(ax, "Effects of weights that are nearly as good")
    return ax
