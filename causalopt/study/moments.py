"""Targets of balance, and the units that tolerances are stated in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from causalopt.basis import Column
from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Floats, Ints

#: A standard deviation below this, relative to the largest value, is rounding of a constant.
CONSTANT = 1e-14


class Moments:
    """Target means, internal scale and standard deviations of the covariate functions."""

    def __init__(
        self,
        columns: Sequence[Column],
        codes: Ints,
        n_levels: int,
        treated_code: int | None,
        estimand: str,
        sampling: Floats | None,
        reference: Floats | list[Floats] | None,
    ) -> None:
        self.columns, self.codes, self.treated_code = columns, codes, treated_code
        self.sampling, self.reference, self.estimand = sampling, reference, estimand
        self.n_levels = n_levels
        if estimand == "ATT":
            self.population: int | None = treated_code
            self.weighted = [c for c in range(n_levels) if c != treated_code]
        elif estimand == "ATC":
            assert treated_code is not None
            self.population = 1 - treated_code
            self.weighted = [treated_code]
        else:
            self.population = None
            self.weighted = list(range(n_levels))
        self._known: dict[tuple[int, int | None], tuple[float, float]] = {}
        whole = [self._mean_and_sd(c.values, None) for c in columns]
        self.spread = np.array([sd for _, sd in whole])
        if isinstance(reference, np.ndarray):
            self.target = reference
        elif reference is not None:
            self.target = np.array([values.mean() for values in reference])
        elif self.population is None:
            self.target = np.array([mean for mean, _ in whole])
        else:
            self.target = np.array([self._mean_and_sd(c.values, self.population)[0] for c in columns])

    def _mean_and_sd(self, values: Floats, code: int | None) -> tuple[float, float]:
        key = (id(values), code)
        if key not in self._known:
            weights = self.sampling
            if code is not None:
                members = self.codes == code
                values = values[members]
                weights = None if weights is None else weights[members]
            self._known[key] = mean_and_sd(values, weights)
        return self._known[key]

    def sd_of(self, column: Column, unit: str, code: int) -> float:
        """Return the length of one named unit for a column, seen from the group with this code."""
        values = column.values
        if unit == "raw":
            return 1.0
        if unit == "target":
            if isinstance(self.reference, np.ndarray):
                raise DataError(
                    f"{argument('scale', 'target')} needs the target's standard deviations, but only its means were "
                    f"given. Use {argument('scale', 'group')}, 'pooled' or 'raw', or give the target as a DataFrame."
                )
            if self.reference is not None:
                return mean_and_sd(self.reference[[c.name for c in self.columns].index(column.name)], None)[1]
            return self._mean_and_sd(values, self.population)[1]
        if unit == "group":
            return self._mean_and_sd(values, code)[1]
        if unit == "treated":
            if self.treated_code is None:
                raise DataError(f"{argument('scale', 'treated')} needs a two-valued treatment.")
            return self._mean_and_sd(values, self.treated_code)[1]
        sds = [self._mean_and_sd(values, k)[1] for k in range(self.n_levels)]
        return float(np.sqrt(np.mean(np.square(sds))))

    def units(self, scales: Sequence[str], columns: Sequence[Column], code: int) -> Floats:
        """Return the length of the tolerance's unit by column, for the group with this code."""
        units = np.array([self.sd_of(c, unit, code) for c, unit in zip(columns, scales, strict=True)])
        share_among_levels(units, columns)
        for p, column in enumerate(columns):
            noise = 0.0 if scales[p] == "raw" else CONSTANT * float(np.abs(column.values).max())
            if not units[p] > noise:
                raise DataError(
                    f"Covariate {column.name!r} does not vary in the population that {argument('scale', scales[p])} "
                    "refers to, so a tolerance in its standard deviations means nothing. Use "
                    f"{argument('scale', {column.name: 'raw'})} or 'pooled', or leave it out."
                )
        return units


def share_among_levels(units: Floats, columns: Sequence[Column]) -> None:
    """Give the levels of each category one unit, the root mean square of theirs."""
    for factor in {c.factor for c in columns if c.factor is not None}:
        levels = [p for p, c in enumerate(columns) if c.factor == factor]
        units[levels] = np.sqrt(np.mean(units[levels] ** 2))


def mean_and_sd(values: Floats, weights: Floats | None) -> tuple[float, float]:
    """Return mean and sample standard deviation (ddof 1, and its analogue under reliability weights)."""
    if weights is None:
        mean = float(values.mean())
        freedom = float(max(len(values) - 1, 1))
    else:
        total = float(weights.sum())
        mean = float(weights @ values) / total
        freedom = total - float(weights @ weights) / total
    d = values - mean
    with np.errstate(over="ignore"):
        squares = float(d @ d if weights is None else (weights * d) @ d)
    if 1e-280 < squares < 1e280 or not d.any():
        return mean, float(np.sqrt(squares / freedom)) if freedom > 0 else 0.0
    largest = float(np.abs(d).max())  # squares of such values overflow or vanish
    d /= largest
    squares = float(d @ d if weights is None else (weights * d) @ d)
    return mean, largest * float(np.sqrt(squares / freedom)) if freedom > 0 else 0.0


def refuse_constant(columns: Sequence[Column], spread: Floats) -> None:
    """Raise `DataError` naming the first covariate without variance."""
    for column, sd in zip(columns, spread, strict=True):
        if not np.isfinite(sd):
            raise DataError(f"Covariate {column.name!r} spans more than numbers can hold. Rescale it.")
        if sd <= CONSTANT * float(np.abs(column.values).max()):
            raise DataError(
                f"Covariate {column.name!r} is {column.values[0]:g} in every row: there is nothing to balance. "
                "Leave it out."
            )
