"""What the pictures share: colours, marks and sizes, and text that fits its place.

Series differ in lightness, marker and dash, so that they can be told apart in grey and by people who do not see all
colours. Text is measured before it is drawn: long names are shortened, labels and legends are wrapped to their room.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from causalopt.errors import DataError
from causalopt.messages import argument

#: Width of a picture of its own, in inches.
WIDTH = 5.2

#: Space above and below each of the axes of a picture of its own, in inches.
PAD = 0.07

#: Rows that a picture of its own shows unless asked for more; each still has a readable label.
MOST_ROWS = 40

#: No text is smaller, in points.
SMALLEST_TEXT = 5.5

#: Narrower axes have their text a sixth smaller, in inches.
NARROW = 3.0

INK, MUTED, FAINT, BAND = "#1a1a1a", "#5f5f5f", "#b8b8b8", "#dcdcdc"


@dataclasses.dataclass(frozen=True)
class Mark:
    """How a series is drawn."""

    colour: str
    marker: str
    dash: Any


#: Any two differ by at least 7 in lightness (CIE L*, of 100), the first four by 12; and all in marker and dash.
SERIES = (
    Mark("#0b3c6f", "o", "-"),
    Mark("#d55e00", "s", (0, (5, 1.6))),
    Mark("#56b4e9", "^", (0, (5, 1.5, 1, 1.5))),
    Mark("#86398f", "D", (0, (1, 1.2))),
    Mark("#1a1a1a", "v", (0, (8, 2, 1, 2, 1, 2))),
    Mark("#6aa657", "P", (0, (2.5, 1))),
)
MAIN, SECOND = SERIES[0], SERIES[1]


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
        raise DataError("Pictures need matplotlib: pip install 'pycausalopt[plot]'.") from None
    return plt


# ---- where it is drawn ----


def canvas(ax: Any, height: float = 3.6, width: float = WIDTH) -> Any:
    """Return the Axes given, or those of a new figure of this size in inches."""
    plt = pyplot()
    if ax is None:
        figure, ax = plt.subplots(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(h_pad=PAD)
        return ax
    return _checked(ax)


def panels(ax: Any, count: int, height: float) -> Any:
    """Return the Axes given as an array, or those of a new figure of panels below each other.

    Raises
    ------
    DataError
        Where as many Axes as panels are not given.
    """
    plt = pyplot()
    if ax is None:
        figure, ax = plt.subplots(
            count, 1, sharex=True, squeeze=False, figsize=(WIDTH, height * count), layout="constrained"
        )
        figure.get_layout_engine().set(h_pad=PAD)
    given = np.asarray(ax, dtype=object).ravel()
    if len(given) != count:
        raise DataError(f"The picture needs {count} Axes, one for each panel; {len(given)} were given.")
    for one in given:
        _checked(one)
    return given


def _checked(ax: Any) -> Any:
    from matplotlib.axes import Axes

    if not isinstance(ax, Axes):
        raise DataError(
            f"{argument('ax')} must be matplotlib Axes, such as plt.subplots()[1]; it is a {type(ax).__name__}."
        )
    return ax


def tidy(ax: Any, grid: str = "both") -> Any:
    """Take away what is not data, and set the size of all text of the axes."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.grid(False)
    ax.grid(axis=grid, color="#e4e4e4", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(axis="x", labelsize=text_size(ax))
    if grid != "x":
        ax.tick_params(axis="y", labelsize=text_size(ax))
    return ax


def notice(ax: Any, text: str) -> None:
    """Say in an empty picture why it is empty."""
    width = _inches(ax)[0]
    ax.text(
        0.5, 0.5, wrapped(text, 0.9 * width, text_size(ax)), transform=ax.transAxes, ha="center", va="center",
        color=MUTED, fontsize=text_size(ax), parse_math=False,
    )  # fmt: skip
    ax.set_xticks([])
    ax.set_yticks([])


# ---- text that fits ----


def text_size(ax: Any) -> float:
    """Return the size of text in points: that of the settings, and less on narrow axes."""
    from matplotlib import rcParams

    size = float(rcParams["font.size"])
    return size if _inches(ax)[0] >= NARROW else 0.83 * size


def text_width(text: str, size: float) -> float:
    """Return the width of a line of text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width: float = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0]
    return 1.05 * width / 72.0  # what is rendered is a little wider


def _room(ax: Any) -> float:
    """Return the width in inches beside a vertical axis with numbers, which take more of narrow axes."""
    width = _inches(ax)[0]
    return width if width >= NARROW else width - 0.3


def _inches(ax: Any) -> tuple[float, float]:
    """Return width and height of the axes in inches, before any layout."""
    dpi = ax.figure.dpi
    return float(ax.bbox.width / dpi), float(ax.bbox.height / dpi)


def wrapped(text: str, inches: float, size: float) -> str:
    """Break a text between words into lines of at most this width, of about the same length."""
    words = [(word, text_width(word, size)) for word in text.split()]
    space = text_width("n n", size) - text_width("nn", size)
    lines = _lines(words, inches, space)
    for part in (0.9, 0.8, 0.7, 0.6):
        shorter = _lines(words, part * inches, space)
        if len(shorter) > len(lines):
            break
        lines = shorter
    return "\n".join(lines)


def _lines(words: Sequence[tuple[str, float]], inches: float, space: float) -> list[str]:
    lines: list[list[str]] = []
    used = np.inf
    for word, width in words:
        if used + space + width <= inches:
            lines[-1].append(word)
            used += space + width
        else:
            lines.append([word])
            used = width
    return [" ".join(line) for line in lines]


def short_names(names: Iterable[Any], inches: float, size: float) -> list[str]:
    """Shorten names in their middle to a width; those that become alike are numbered."""
    whole = [" ".join(str(name).split()) for name in names]
    shown: list[str] = []
    for name in whole:
        keep, short = len(name), name
        while keep > 4 and text_width(short, size) > inches:
            keep -= 1
            head = (keep + 1) // 2
            short = f"{name[:head].rstrip()}…{name[len(name) - (keep - head) :].lstrip()}"
        shown.append(short)
    count: dict[str, int] = {}
    for place, (short, name) in enumerate(zip(shown, whole, strict=True)):
        count[short] = count.get(short, 0) + 1
        if count[short] > 1 and short != name:
            shown[place] = f"{short} ({count[short]})"
    return shown


def rows_that_fit(ax: Any, wanted: int) -> int:
    """Return how many rows with a label each the axes have room for."""
    # a third of the height of a row is for the space between rows, and for what stands above and below the axes
    return min(wanted, max(1, int(_inches(ax)[1] * 72 / (1.5 * SMALLEST_TEXT))))


def row_height(n: int) -> float:
    """Return the height of a picture of n rows with a label each, in inches."""
    return 1.5 + (0.27 if n <= 24 else 0.2) * max(n, 1)


def name_rows(ax: Any, places: npt.ArrayLike, names: Sequence[Any]) -> float:
    """Label rows by name, at most two fifths of the figure wide; return the width in inches left beside them."""
    width, height = _inches(ax)
    size = min(text_size(ax), max(SMALLEST_TEXT, 0.67 * height * 72 / max(len(names), 1)))
    margin = min(ax.bbox.x0 / ax.figure.dpi, 0.125 * ax.figure.bbox.width / ax.figure.dpi)
    shown = short_names(names, 0.42 * (width + margin), size)
    ax.set_yticks(places, shown, fontsize=size, parse_math=False)
    ax.tick_params(axis="y", length=0)
    widest = max((text_width(name, size) for name in shown), default=0.0)
    return float(max(1.0, width + margin - widest - 0.15))


def locate(ax: Any, width: float | None = None) -> None:
    """Let a linear horizontal axis of this width in inches have no more ticks than labels have room for."""
    from matplotlib.ticker import MaxNLocator

    if ax.get_xscale() == "linear":
        width = _inches(ax)[0] if width is None else width
        most = int(np.clip(width / (1.35 * text_width("+0.00", text_size(ax))), 2, 7))
        ax.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))


def label(ax: Any, x: str | None = None, y: str | None = None, *, width: float | None = None) -> None:
    """Label the axes, on as many lines as it takes; the width in inches is that of the axes unless given."""
    size = text_size(ax)
    if x is not None:
        ax.set_xlabel(wrapped(x, _room(ax) if width is None else width, size), fontsize=size, parse_math=False)
    if y is not None:
        ax.set_ylabel(wrapped(y, 0.98 * _inches(ax)[1], size), fontsize=size, parse_math=False)


def head(
    ax: Any, title: str | None = None, *, handles: Any = None, width: float | None = None, short: bool = False
) -> None:
    """Set the title, and between it and the axes a legend of all that has a label (or of the handles given).

    Labels are wrapped; where `short`, they are names, and shortened to two columns.
    """
    size = text_size(ax)
    width = _room(ax) if width is None else width
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    pad = 5.0
    if handles:
        handle, gap, spacing, between, edge = 1.9, 0.5, 0.3, 1.1, 0.3  # in units of the size of the text
        names = [str(one.get_label()) for one in handles]
        text_room = width - (handle + gap) * size / 72
        if short:
            names = short_names(names, (width - between * size / 72) / 2 - (handle + gap) * size / 72, size)
        labels = [wrapped(name, text_room, size) for name in names]
        widths = [(handle + gap) * size / 72 + max(text_width(s, size) for s in one.split("\n")) for one in labels]
        columns = _columns(widths, width, between * size / 72)
        legend = ax.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(columns), fontsize=size,
            frameon=False, borderaxespad=edge, borderpad=0.0, handlelength=handle, handletextpad=gap,
            labelspacing=spacing, columnspacing=between,
        )  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)
        lines = max(sum(labels[k].count("\n") + 1 for k in column) for column in columns)
        pad = size * (1.25 * lines + spacing * max(map(len, columns)) + 2 * edge) + 3
    if title:
        ax.set_title(
            wrapped(title, width, 1.17 * size), loc="left", fontsize=size, fontweight="bold", pad=pad, parse_math=False
        )


def _columns(widths: Sequence[float], width: float, between: float) -> list[npt.NDArray[np.int64]]:
    """Return the numbers of the entries in each column of a legend of at most this width."""
    for count in range(len(widths), 1, -1):
        columns = np.array_split(np.arange(len(widths)), count)  # as matplotlib does
        if sum(max(widths[k] for k in column) for column in columns) + (count - 1) * between <= width:
            return columns
    return [np.arange(len(widths))]
