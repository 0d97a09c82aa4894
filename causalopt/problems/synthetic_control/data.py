"""What a synthetic control is asked for, read once: the panel, who is treated since when, who may be a donor, and how.

Everything else takes the `Study` that is made here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from causalopt.errors import DataError, OptionError
from causalopt.messages import argument, call
from causalopt.modeling.program import Floats, Ints
from causalopt.problems.synthetic_control.fit import Constraints, read_constraints
from causalopt.problems.synthetic_control.panel import LISTS, SHOWN, Panel
from causalopt.problems.synthetic_control.penalty import PenaltyGrid, read_penalty
from causalopt.problems.synthetic_control.predictors import Predictors, read_predictors
from causalopt.solving.options import unknown_name
from causalopt.study.times import read_time, time_name

#: The label of the fit of the average of several treated units.
AVERAGE = "average of treated"


@dataclasses.dataclass(frozen=True, eq=False)
class Design:
    """Who is treated since when, and who may be a donor.

    Attributes
    ----------
    panel : Panel
    treated, donors : lists of labels
    treated_columns, donor_columns : int arrays
        Their columns in the panel.
    n_pre : int
        Number of times before the treatment; they are the first.
    treatment_time : object
    """

    panel: Panel
    treated: list[Any]
    donors: list[Any]
    treated_columns: Ints
    donor_columns: Ints
    n_pre: int
    treatment_time: Any


def read_design(panel: Panel, treated: Any, treatment_time: Any, donors: Sequence[Any] | None) -> Design:
    """Check treated units, treatment time and donors against the panel.

    Raises
    ------
    DataError
        For a treated unit or donor that is not in the panel, a treatment time outside of it, fewer than two times
        before the treatment, no donors, a donor that is the treated unit or equals it at every time, and donors that
        never change.
    """
    chosen = _treated_units(panel, treated)
    pool = _donors(panel, chosen, donors)
    treatment_time = read_time(treatment_time, panel.times)
    n_pre = _periods_before(panel.times, treatment_time)
    columns, donor_columns = panel.columns_of(chosen), panel.columns_of(pool)
    design = Design(panel, chosen, pool, columns, donor_columns, n_pre, treatment_time)
    if not panel.checked:
        _refuse_copies_and_constants(design)
    return design


def _refuse_copies_and_constants(design: Design) -> None:
    values = design.panel.values[:, design.donor_columns]
    leave_it_out = f"eave it out ({call('without', 'donors=')})."
    for label, column in zip(design.treated, design.treated_columns, strict=True):
        same = np.flatnonzero((values == design.panel.values[:, [column]]).all(axis=0))
        if len(same):
            raise DataError(
                f"Donor {design.donors[same[0]]!r} has the same outcome as treated unit {label!r} at every time: it is "
                f"a copy. L{leave_it_out}"
            )
    constant = np.flatnonzero((values == values[0]).all(axis=0))
    if len(constant):
        named = ", ".join(f"{design.donors[j]!r} ({values[0, j]:g})" for j in constant[:SHOWN])
        raise DataError(
            f"{len(constant)} donor(s) have the same outcome at every time: {named}. Such a series is usually a "
            f"placeholder for missing data; l{leave_it_out}"
        )


def _treated_units(panel: Panel, treated: Any) -> list[Any]:
    if panel.has(treated):
        return [treated]
    if isinstance(treated, str | bytes) or not isinstance(treated, LISTS):
        treated = [treated]
    labels = list(treated)
    if not labels:
        raise DataError(f"No treated unit is named ({argument('treated', assigned=True)}).")
    for label in labels:
        if not panel.has(label):
            raise DataError(unknown_name("treated unit", str(label), map(str, panel.units)))
    if len(set(labels)) < len(labels):
        raise DataError(f"A treated unit is named twice ({argument('treated', assigned=True)}).")
    return labels


def _donors(panel: Panel, treated: list[Any], donors: Sequence[Any] | None) -> list[Any]:
    apart, listed = set(treated), argument("donors", assigned=True)
    if donors is None:
        pool = [label for label in panel.units if label not in apart]
    else:
        pool = list(donors)
        for label in pool:
            if not panel.has(label):
                raise DataError(unknown_name("donor", str(label), map(str, panel.units)))
            if label in apart:
                raise DataError(f"Unit {label!r} is treated, so it cannot be a donor too; take it out of {listed}.")
        if len(set(pool)) < len(pool):
            raise DataError(f"A donor is named twice ({listed}).")
    if not pool:
        raise DataError("There are no donors: the panel needs at least one unit that is not treated.")
    return pool


def _periods_before(times: pd.Index, treatment_time: Any) -> int:
    first, last = times[0], times[-1]
    values = times.to_numpy() if isinstance(times.dtype, np.dtype) and times.dtype.kind in "iuf" else times
    before: npt.NDArray[np.bool_] = np.asarray(values < treatment_time)
    n_pre = int(before.sum())
    when = f"{argument('treatment_time')} {time_name(treatment_time)}"
    span = f"the panel goes from {time_name(first)} to {time_name(last)}"
    if n_pre == len(times):
        raise DataError(f"{when} is after the last time: {span}.")
    if n_pre == 0:
        raise DataError(f"{when} leaves no time before the treatment: {span}.")
    if n_pre == 1:
        raise DataError(f"Only one time ({time_name(first)}) lies before {when}: weights need at least two; {span}.")
    return n_pre


@dataclasses.dataclass(frozen=True, eq=False)
class Study:
    """What a synthetic control is asked for; `dataclasses.replace` asks for something else of the same.

    Attributes
    ----------
    panel : Panel
    treated, treatment_time, donors, weights, intercept, lam, alpha, l2, predictors, v, pooled
        The arguments of `SyntheticControlProblem`, as they were given.
    design : Design
    kind : str
        The name of the kind of weights.
    constraints : Constraints
    known : Predictors or None
        The predictors, standardised.
    grid : PenaltyGrid or None
        The penalties to choose from.
    """

    panel: Panel
    treated: Any
    treatment_time: Any
    donors: Sequence[Any] | None = None
    weights: str | Mapping[str, bool] = "simplex"
    intercept: bool | None = None
    lam: float | Sequence[float] | None = None
    alpha: float | Sequence[float] | None = None
    l2: str = "squared"
    predictors: pd.DataFrame | None = None
    v: Mapping[str, float] | Sequence[float] | str | None = None
    pooled: bool = False
    design: Design = dataclasses.field(init=False)
    kind: str = dataclasses.field(init=False)
    constraints: Constraints = dataclasses.field(init=False)
    known: Predictors | None = dataclasses.field(init=False)
    grid: PenaltyGrid | None = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        kind, constraints = read_constraints(self.weights, self.intercept)
        design = read_design(self.panel, self.treated, self.treatment_time, self.donors)
        known = self._read_predictors(kind, constraints, design)
        grid = read_penalty(kind, constraints, self.lam, self.alpha, self.l2)
        read = {"design": design, "kind": kind, "constraints": constraints, "known": known, "grid": grid}
        for name, value in read.items():
            object.__setattr__(self, name, value)

    def _read_predictors(self, kind: str, constraints: Constraints, design: Design) -> Predictors | None:
        given = argument("predictors", assigned=True)
        if self.predictors is None:
            if self.v is not None:
                raise OptionError(f"{argument('v', assigned=True)} weighs predictors: give {given} too.")
            return None
        if not constraints.no_intercept or kind not in ("simplex", "penalized", "custom"):
            raise OptionError(
                f"{given} goes with weights that have no intercept, such as 'simplex', not with {kind!r}."
            )
        return read_predictors(self.predictors, design.treated, design.donors)

    @property
    def n_pre(self) -> int:
        """Number of times before the treatment; they are the first."""
        return self.design.n_pre

    @property
    def averages(self) -> bool:
        """Whether the average of several treated units is fitted, not each."""
        return bool(self.pooled) and len(self.design.treated) > 1

    @property
    def labels(self) -> list[Any]:
        """Labels of the fits: the treated units, or one for their average."""
        return [AVERAGE] if self.averages else list(self.design.treated)

    @cached_property
    def donor_values(self) -> Floats:
        """Outcomes of the donors at all times, (T, J)."""
        return np.ascontiguousarray(self.panel.values[:, self.design.donor_columns])

    @cached_property
    def treated_values(self) -> Floats:
        """Outcomes of what is fitted at all times, (T, number of fits)."""
        values = self.panel.values[:, self.design.treated_columns]
        return values.mean(axis=1, keepdims=True) if self.averages else values
