"""Pictures of a synthetic control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalopt.errors import OptionError
from causalopt.problems.synthetic_control_data import time_name
from causalopt.solving.options import unknown_name

if TYPE_CHECKING:
    from causalopt.inference.placebo import SpacePlacebo
    from causalopt.problems.synthetic_control_result import SyntheticControlResult

#: Colours that stay apart in print and for the colour-blind (Okabe and Ito 2008).
TREATED, SYNTHETIC, FAINT = "#000000", "#0072B2", "#B8B8B8"

#: Donors shown in the picture of the weights.
MOST_BARS = 15


def plot(result: SyntheticControlResult, kind: str, ax: Any = None, **options: Any) -> Any:
    """Draw a picture of a result; see `SyntheticControlResult.plot`.

    Parameters
    ----------
    result : SyntheticControlResult
    kind : {"path", "gap", "placebo", "weights"}
    ax : matplotlib Axes, optional
    **options
        `fit`, the treated unit that "path", "gap" and "weights" show (the first); and `placebo`, a `SpacePlacebo` that
        is there already, for "placebo".
    """
    pictures = {"path": _path, "gap": _gap, "placebo": _placebo, "weights": _weights}
    if kind not in pictures:
        raise OptionError(unknown_name("kind of plot", str(kind), pictures))
    allowed = {"placebo"} if kind == "placebo" else {"fit"}
    for name in options:
        if name not in allowed:
            raise OptionError(unknown_name(f"option of the plot {kind!r}", name, allowed))
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise OptionError("Plots need matplotlib: pip install causalopt[plot].") from None
    if ax is None:
        _, ax = plt.subplots(figsize=(7.0, 4.2), layout="constrained")
    pictures[kind](result, ax, **options)
    return ax


def _fit_number(result: SyntheticControlResult, fit: Any) -> int:
    labels = result.problem.labels
    if fit is None:
        return 0
    if fit not in labels:
        raise OptionError(unknown_name("treated unit", str(fit), map(str, labels)))
    return int(labels.index(fit))


def _times(result: SyntheticControlResult) -> Any:
    times = result.problem.panel.times
    return times.to_timestamp() if isinstance(times, pd.PeriodIndex) else times


def _mark_treatment(result: SyntheticControlResult, ax: Any) -> None:
    times, n_pre = _times(result), result.problem.design.n_pre
    ax.axvline(times[n_pre], color="#666666", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    if all(isinstance(t, int | np.integer) or (isinstance(t, float) and t.is_integer()) for t in times):
        ax.xaxis.get_major_locator().set_params(integer=True)
    ax.margins(x=0.02)
    ax.spines[["top", "right"]].set_visible(False)
    note = f"treated since {time_name(result.problem.panel.times[n_pre])}"
    ax.annotate(
        note, (times[n_pre], 1.0), xycoords=("data", "axes fraction"), xytext=(-4, -2), textcoords="offset points",
        ha="right", va="top", fontsize="small", color="#444444", annotation_clip=False,
    )  # fmt: skip


def _path(result: SyntheticControlResult, ax: Any, fit: Any = None) -> None:
    k = _fit_number(result, fit)
    times = _times(result)
    label = result.problem.labels[k]
    ax.plot(times, result.problem.treated_values[:, k], color=TREATED, label=str(label))
    ax.plot(times, result._synthetic[:, k], color=SYNTHETIC, linestyle="--", label=f"synthetic {label}")
    ax.set_ylabel("outcome")
    _room_above(ax)
    _mark_treatment(result, ax)
    ax.legend(frameon=False, loc="best", fontsize="small")


def _gap(result: SyntheticControlResult, ax: Any, fit: Any = None) -> None:
    k = _fit_number(result, fit)
    ax.axhline(0.0, color="#666666", linewidth=0.8)
    ax.plot(_times(result), result._gap_values[:, k], color=TREATED)
    ax.set_ylabel(f"{result.problem.labels[k]}: actual minus synthetic")
    _room_above(ax)
    _mark_treatment(result, ax)


def _placebo(result: SyntheticControlResult, ax: Any, placebo: SpacePlacebo | None = None) -> None:
    placebo = result.placebo_in_space() if placebo is None else placebo
    times, table = _times(result), placebo.table
    counted = [label for label in table.index[table["role"] == "placebo"]]
    for number, label in enumerate(counted):
        name = f"{len(counted)} placebos" if number == 0 else None
        ax.plot(times, placebo.gaps[label], color=FAINT, linewidth=0.8, label=name, zorder=1.5)
    ax.axhline(0.0, color="#666666", linewidth=0.8)
    values = placebo.p_value if isinstance(placebo.p_value, pd.Series) else [placebo.p_value]
    for number, (label, p) in enumerate(zip(table.index[table["role"] == "treated"], values, strict=True)):
        color = TREATED if number == 0 else f"C{number - 1}"
        ax.plot(times, placebo.gaps[label], color=color, linewidth=1.8, label=f"{label} (p = {p:.3g})", zorder=3)
    ax.set_ylabel("actual minus synthetic")
    _room_above(ax)
    _mark_treatment(result, ax)
    ax.legend(frameon=False, loc="best", fontsize="small")


def _weights(result: SyntheticControlResult, ax: Any, fit: Any = None) -> None:
    k = _fit_number(result, fit)
    weights = result.weight_table.iloc[:, k]
    order = weights.abs().sort_values(ascending=False, kind="stable").index
    shown = weights[order]
    shown = shown[shown.abs() > 1e-6][:MOST_BARS][::-1]
    places = np.arange(len(shown))
    ax.barh(places, shown.to_numpy(), color=SYNTHETIC, height=0.65)
    ax.set_yticks(places, [str(label) for label in shown.index])
    if not result.weights_are_unique:
        ranges = (
            result.weight_ranges
            if len(result.problem.labels) == 1
            else result.weight_ranges.loc[result.problem.labels[k]]
        )
        ends = ranges.loc[shown.index].to_numpy()
        ax.hlines(places, ends[:, 0], ends[:, 1], color=TREATED, linewidth=1.2, label="as good a fit")
        ax.legend(frameon=False, loc="lower right", fontsize="small")
    ax.axvline(0.0, color="#666666", linewidth=0.8)
    ax.set_xlabel(f"weight in synthetic {result.problem.labels[k]}")
    ax.spines[["top", "right"]].set_visible(False)
    left_out = int((weights.abs() > 1e-6).sum()) - len(shown)
    if left_out:
        ax.set_title(f"{len(shown)} largest of {len(shown) + left_out}", fontsize="small", loc="right")


def _room_above(ax: Any) -> None:
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.08 * (high - low))
