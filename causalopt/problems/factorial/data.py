"""What a factorial balance problem is given, read once: factors, functions, effects, and the rows that they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from causalopt.basis import Column, Term, expand
from causalopt.errors import DataError, InfeasibleError, warn
from causalopt.messages import Message, argument
from causalopt.modeling.program import Floats
from causalopt.problems.factorial.design import (
    Effect,
    Factors,
    OutcomeModel,
    identify,
    largest_orders,
    read_effects,
    read_factors,
    read_model,
    tell_terms,
    terms_to_drop,
)
from causalopt.problems.factorial.rows import Functions, WeightSet, make_set, row_table
from causalopt.study.labels import refuse_other_labels, row_labels
from causalopt.study.moments import mean_and_sd, refuse_constant, share_among_levels
from causalopt.study.reading import as_frame, read_covariates, refuse_negative, spread_by_name

#: Keys of a tolerance mapping that stand for families of rows.
FAMILIES = ("factors", "interactions")

#: Most nonzeros of the program's matrix (12 bytes each).
MOST_NONZEROS = 300_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class FactorialStudy:
    """A factorial study as it was read, with the rows that balance it.

    Attributes
    ----------
    index : Index
        The labels of the rows.
    factors : Factors
    functions : Functions
        Of the covariates.
    means, spread : (S,) arrays
        Of the functions, and what they were divided by: a unit of the tolerance.
    effects : list
        The effects asked for, as tuples of factor positions.
    model : OutcomeModel
    separate : bool
        Whether each effect has weights of its own.
    """

    index: pd.Index
    factors: Factors
    functions: Functions
    means: Floats
    spread: Floats
    effects: list[Effect]
    model: OutcomeModel
    separate: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The functions of the covariates."""
        return self.functions.names

    @cached_property
    def contrasts(self) -> dict[Effect, Floats | None]:
        """g~ on the observed cells by effect; None where the effect is not identified."""
        return identify(self.effects, self.model.factor_terms, self.factors)

    @property
    def estimated(self) -> dict[Effect, Floats]:
        """The contrasts g~ of the effects that are identified."""
        return {effect: weight for effect, weight in self.contrasts.items() if weight is not None}

    @property
    def labels(self) -> list[str]:
        """The labels of the effects asked for."""
        return [self.factors.label(effect) for effect in self.effects]

    @property
    def known(self) -> list[str]:
        """The labels of the effects that are identified."""
        return [self.factors.label(effect) for effect in self.estimated]

    @property
    def lost(self) -> list[str]:
        """The labels of the others."""
        return [self.factors.label(effect) for effect, weight in self.contrasts.items() if weight is None]

    @cached_property
    def sets(self) -> tuple[WeightSet, ...]:
        """The constraints of each set of weights: one for all effects, or one for each."""
        parts = [{effect: weight} for effect, weight in self.estimated.items()] if self.separate else [self.estimated]
        sets: list[WeightSet] = []
        nonzeros = 0
        for part in parts:
            start = sets[-1].start + sets[-1].size if sets else 0
            sets.append(make_set(part, self.model, self.factors, self.functions, start))
            nonzeros += sets[-1].rows.nonzeros()
            if nonzeros > MOST_NONZEROS:
                raise DataError(
                    f"{len(self.estimated)} effects make {sum(len(s.labels) for s in sets):,} constraints with "
                    f"{nonzeros:,} nonzeros, about {nonzeros * 12 / 2**30:.1f} GiB, in the first {len(sets)} of "
                    f"{len(parts)} set(s) of weights; at most {MOST_NONZEROS:,} are taken. Ask for fewer effects, "
                    f"balance fewer functions, balance exactly ({argument('tolerance', 0)} needs fewer rows), or take "
                    "a sample of rows."
                )
        return tuple(sets)

    @property
    def everything(self) -> WeightSet:
        """One set for all effects, whose cells and members the estimators without weights use."""
        if len(self.sets) == 1:
            return self.sets[0]
        return make_set(self.estimated, self.model, self.factors, self.functions, 0)

    @property
    def dropped(self) -> list[str]:
        """Functions whose balance, somewhere, follows from that of the others on these data, and is left to them."""
        return list(dict.fromkeys(label.function for s in self.sets for label in s.dropped))

    def row_labels(self) -> pd.DataFrame:
        """Return set, effect, side, function and family of each row of the program."""
        rows = [(k, label.effect, label.side, label.function, label.family) for k, label in row_table(self.sets)]
        return pd.DataFrame(rows, columns=["set", "effect", "side", "function", "family"])

    def needs(self) -> dict[Effect, str]:
        """Return what would identify each effect that is not identified, in words with named parts."""
        lost = [effect for effect, weight in self.contrasts.items() if weight is None]
        order = max(map(len, self.model.factor_terms))
        by_order = {} if self.model.name == "list of terms" else largest_orders(lost, self.factors, order)
        return {
            effect: argument("model_order", by_order[effect]) if effect in by_order else self._needs(effect)
            for effect in lost
        }

    def _needs(self, effect: Effect) -> str:
        dropped = terms_to_drop(effect, self.model.factor_terms, self.factors)
        if dropped:
            return f"an outcome model without {tell_terms(dropped, self.factors)}"
        return (
            "observations in other cells: no outcome model with this effect identifies it"
            if dropped == []
            else "observations in other cells, or a list of fewer terms"
        )

    def identification(self) -> pd.DataFrame:
        """Return, by effect, whether the observed cells identify it, how many its estimate uses, and what it needs."""
        needs = self.needs()
        rows = [
            (weight is not None, 0 if weight is None else np.count_nonzero(weight), str(Message(needs.get(effect, ""))))
            for effect, weight in self.contrasts.items()
        ]
        index = pd.Index(self.labels, name="effect")
        return pd.DataFrame(rows, columns=["identified", "cells", "needs"], index=index)

    def model_words(self) -> str:
        """Return the outcome model in words."""
        order = max(map(len, self.model.factor_terms))
        all_terms = len(self.model.factor_terms) == 2**self.factors.size
        reach = "all interactions of factors" if all_terms else f"interactions of factors up to order {order}"
        return f"{self.model.name}, {reach}"

    def tell_unidentified(self) -> None:
        """Warn of effects that the observed cells do not identify; raise `InfeasibleError` where all are such."""
        lost = self.lost
        if not lost:
            return
        cells = self.factors.missing
        shown = "; ".join(f"({self.factors.cell_label(int(cell))})" for cell in cells[:3])
        where = (
            f"{len(cells):,} of {2**self.factors.size:,} treatment cells hold no rows: {shown}"
            f"{'; ...' if len(cells) > 3 else ''}. Under the outcome model ({self.model_words()})"
        )
        advice = [f"{self.factors.label(effect)} needs {words}" for effect, words in list(self.needs().items())[:4]]
        told = "; ".join([*advice, "..."] if len(lost) > 4 else advice)
        if len(lost) == len(self.effects):
            raise InfeasibleError(
                f"{where} they leave none of the effects identified: {told}. See the error's explanation.",
                self.identification(),
            )
        warn(f"{where} not identified, and left out: {', '.join(lost)}. {told[0].upper()}{told[1:]}.")


def read_study(
    covariates: Any,
    factors: Any,
    high: Mapping[str, Any] | None,
    basis: Sequence[Term],
    tolerance: float | Mapping[str, float],
    effects: Any,
    outcome_model: tuple[Any, int | None],
    separate: bool,
) -> FactorialStudy:
    """Return the study of what `FactorialBalanceProblem` was given, or raise its errors."""
    known, index = read_factors(factors, high)
    columns = read_columns(covariates, known, index, basis)
    refuse_functions_of_factors(columns, known)
    functions, means, spread = read_functions(columns, tolerance, len(index))
    chosen = read_effects(effects, known)
    model = read_model(*outcome_model, known, functions.names)
    study = FactorialStudy(index, known, functions, means, spread, chosen, model, bool(separate))
    refuse_effects_outside(chosen, model, known)
    refuse_more_cells_than_rows(model, known, len(index))
    study.tell_unidentified()
    return study


def read_columns(covariates: Any, factors: Factors, index: pd.Index, basis: Sequence[Term]) -> list[Column]:
    """Return the functions of the covariates to balance, none of them a factor."""
    if covariates is None or (isinstance(covariates, pd.DataFrame) and not len(covariates.columns)):
        if basis:
            raise DataError(
                f"{argument('basis', assigned=True)} makes functions of covariates, but no covariates are given."
            )
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
    share_among_levels(unit, columns)
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
        refuse_negative(value, f"The tolerance for {name!r}", finite=True)
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
            else f"Say {argument('model_order', max(map(len, outside)))} or more"
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
            f"needs every cell. Say {argument('model_order', 1)} or 2 (interactions of at most two factors), or leave "
            "out factors."
        )
