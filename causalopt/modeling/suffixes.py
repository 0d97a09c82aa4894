"""Multipliers of constraints, written where Pyomo's users look for them."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from causalopt.modeling.program import Floats, Program


def load_duals(model: Any, program: Program, row_dual: Floats | None) -> None:
    """Fill the suffix `dual` of a model, if it declares one that imports, with a multiplier for each constraint.

    They are derivatives of the objective with respect to the side of lower <= body <= upper that binds, as Pyomo holds
    the constraint, under either sense. Without multipliers the suffix is left
    empty, so that none of an earlier solve stays.
    """
    suffix = model.component("dual")
    if suffix is None or suffix.ctype is not pyo.Suffix or not suffix.import_enabled():
        return
    suffix.clear()
    if row_dual is None:
        return
    for group, start, size in program.rows:
        items = list(group.values()) if group.is_indexed() else [group]
        for item, value in zip(items, row_dual[start : start + size].tolist(), strict=True):
            suffix[item] = value
