"""What a factorial balance problem is given: covariates and tolerances, and what factors cannot bear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt.basis import Column, Term, expand
from causalopt.errors import DataError
from causalopt.modeling.program import Floats
from causalopt.problems.factorial.design import Effect, Factors, OutcomeModel
from causalopt.problems.factorial.rows import Functions
from causalopt.study.labels import refuse_other_labels, row_labels
from causalopt.study.moments import mean_and_sd, refuse_constant
from causalopt.study.reading import as_frame, read_covariates, spread_by_name

#: Keys of a tolerance mapping that stand for families of rows.
FAMILIES = ("factors", "interactions")


def read_columns(covariates: Any, factors: Factors, index: pd.Index, basis: Sequence[Term]) -> list[Column]:
    """Return the functions of the covariates to balance, none of them a factor."""
    if covariates is None or (isinstance(covariates, pd.DataFrame) and not len(covariates.columns)):
        if basis:
            raise DataError("basis= makes functions of covariates, but no covariates are given.")
        return []
    frame = as_frame(covariates)
    if len(frame) != len(index):
        raise DataError(f"The factors have {len(index)} rows, the covariates {len(frame)}.")
    refuse_other_labels(row_labels(covariates), index, "Covariates", "factors")
    columns = expand(read_covariates(frame), basis)
    for column in columns:
        if column.name in factors.names or any(source in factors.names for source in column.sources):
            name = column.name if column.name in factors.names else column.sources[0]
            raise DataError(f"Factor {name!r} is also among the covariates; take it out of them.")
    return columns


def refuse_functions_of_factors(columns: Sequence[Column], factors: Factors) -> None:
    """Raise `DataError` naming the first covariate that does not vary within any treatment cell."""
    cell = np.searchsorted(factors.observed, factors.codes)
    size = np.bincount(cell)
    if size.max() == 1:
        return
    for column in columns:
        centred = column.values - column.values.mean()
        within = centred - (np.bincount(cell, centred) / size)[cell]
        if 0 < centred @ centred and within @ within <= 1e-20 * (centred @ centred) * len(cell):
            raise DataError(
                f"Covariate {column.name!r} has a single value in each treatment cell: it is a function of the "
                "factors, so no weights can give it the same mean on both sides. Leave it out, or make it a factor."
            )


def read_functions(
    columns: Sequence[Column], tolerance: float | Mapping[str, float], n: int
) -> tuple[Functions, Floats, Floats]:
    """Centre and scale the functions; return them with their means and the tolerances' units."""
    moments = [mean_and_sd(column.values, None) for column in columns]
    means, sds = (np.array([m[k] for m in moments]) for k in (0, 1))
    refuse_constant(columns, sds)
    unit = sds.copy()
    for factor in {c.factor for c in columns if c.factor is not None}:
        levels = [p for p, c in enumerate(columns) if c.factor == factor]
        unit[levels] = np.sqrt(np.mean(unit[levels] ** 2))
    values = np.empty((len(columns), n))
    for p, column in enumerate(columns):
        np.subtract(column.values, means[p], out=values[p])
        values[p] /= unit[p]
    families: dict[str, float] = {}
    if isinstance(tolerance, Mapping):
        families = {key: tolerance[key] for key in FAMILIES if key in tolerance}
        tolerance = {key: value for key, value in tolerance.items() if key not in FAMILIES}
    names = tuple(column.name for column in columns)
    own = spread_by_name(tolerance, columns, "tolerance", 0.0)
    for name, value in [*zip(names, own, strict=True), *families.items()]:
        usable = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not (usable and np.isfinite(value) and value >= 0):
            raise DataError(f"The tolerance for {name!r} is {value!r}; it must be a number, zero or positive.")
    own_values = np.array(own, dtype=float)
    interactions = np.full(len(names), float(families["interactions"])) if "interactions" in families else own_values
    functions = Functions(names, values, own_values, interactions, float(families.get("factors", 0.0)))
    return functions, means, unit


def refuse_effects_outside(effects: Sequence[Effect], model: OutcomeModel, factors: Factors) -> None:
    """Raise `DataError` naming an effect that the outcome model says is zero."""
    outside = [effect for effect in effects if effect not in model.factor_terms]
    if outside:
        advice = (
            f"Add {factors.label(outside[0])!r} to its terms"
            if model.name == "list of terms"
            else f"Say model_order={max(map(len, outside))} or more"
        )
        raise DataError(
            f"The outcome model has no term {factors.label(outside[0])!r}: it says that this effect is zero. "
            f"{advice}, or do not ask for the effect."
        )


def refuse_more_cells_than_rows(model: OutcomeModel, factors: Factors, n: int) -> None:
    """Raise `DataError` where the model needs every cell, and there are fewer rows than cells."""
    cells = 2**factors.size
    if len(model.factor_terms) == cells and n < cells:
        raise DataError(
            f"{factors.size} factors make {cells:,} treatment cells, but {n:,} rows fill only "
            f"{len(factors.observed):,} of them, and an outcome model with all {cells:,} interactions of the factors "
            "needs every cell. Say model_order=1 or 2 (interactions of at most two factors), or leave out factors."
        )
