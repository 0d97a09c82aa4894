"""Standard errors for estimates from balancing weights.

Three kinds, compared by their coverage in the Kang-Schafer study (`benchmarks/kang_schafer.py`):

- "fixed": the weights are taken as given; the linearised variance of each weighted mean. Conservative where covariates
  explain the outcome, since balance removes that part of the variation. It ignores the sampling of the target.
- "regression": with m(X) the weighted regression of the outcome on the balanced functions within each group, the
  variance of the influence function, sum w^2 (y - m)^2 for the weighted group plus that of what the target population
  contributes, (m(X_i) - mean) / n or (y_i - m(X_i) - effect) / n. Balanced weights equal a regression-adjusted
  estimator up to the tolerances (Chattopadhyay, Hase and Zubizarreta 2020, Statistics in Medicine 39:3227), hence the
  influence function of the augmented estimator (Robins, Rotnitzky and Zhao 1994).
- "bootstrap": units are resampled within groups (Efron 1979), and each sample gets weights of its own.
"""

from __future__ import annotations

import dataclasses
import itertools
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from causalopt.errors import CausaloptError, DataError, OptionError, warn
from causalopt.messages import argument, call
from causalopt.modeling.program import Floats, Ints
from causalopt.problems.balance.data import BalanceStudy
from causalopt.solving.options import unknown_name
from causalopt.solving.words import listing
from causalopt.study.estimates import (
    LEAST_SIZE,
    SMALL_SIZE,
    Estimate,
    effective_size,
    normal_estimate,
    require_level,
    weighted_mean,
)

KINDS = ("fixed", "regression", "bootstrap")

#: Part of the bootstrap samples that may be without solution before the bootstrap is refused.
MOST_FAILED = 0.1


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """How the estimate is found again on samples of the rows.

    Attributes
    ----------
    again : callable
        Of the positions of a sample's rows and a generator: the estimate with weights of its own.
    replications, seed : int
    """

    again: Callable[[Ints, np.random.Generator], float]
    replications: int
    seed: int


def compared(study: BalanceStudy, contrast: tuple[Any, Any] | None) -> tuple[int, int | None]:
    """Return the numbers of the two groups to compare; None for the second where there is but one group."""
    if contrast is not None:
        if not (isinstance(contrast, tuple | list) and len(contrast) == 2):
            raise DataError(
                f"{argument('contrast')} is {contrast!r}; it must be a pair of the groups {study.levels}: "
                f"{argument('contrast', assigned=True)}(first, second)."
            )
        for label in contrast:
            if label not in study.levels:
                raise DataError(f"{argument('contrast')} names {label!r}, but the groups are {study.levels}.")
        if contrast[0] == contrast[1]:
            raise DataError(f"{argument('contrast')} compares {contrast[0]!r} with itself; name two of {study.levels}.")
        return study.levels.index(contrast[0]), study.levels.index(contrast[1])
    if len(study.levels) == 1:
        return 0, None
    if study.treated_code is None or len(study.levels) > 2:
        others = [label for k, label in enumerate(study.levels) if k != study.treated_code]
        pairs = list(itertools.combinations(study.levels, 2))
        if study.treated_code is not None:
            pairs = [(study.levels[study.treated_code], label) for label in others]
        shown = listing([argument("contrast", pair) for pair in pairs])
        raise DataError(f"The groups are {study.levels}: say which two to compare, such as {shown}.")
    return study.treated_code, 1 - study.treated_code


def difference(study: BalanceStudy, weights: Floats, y: Floats, pair: tuple[int, int | None]) -> float:
    """Return the difference of two groups' weighted means; the mean itself where there is but one group."""
    means = [
        float(np.average(y[own], weights=weights[own])) for own in (study.codes == k for k in pair if k is not None)
    ]
    return means[0] - (means[1] if len(means) > 1 else 0.0)


def estimate(
    study: BalanceStudy,
    weights: Floats,
    y: Floats,
    level: float,
    variance: str,
    contrast: tuple[Any, Any] | None,
    bootstrap: Bootstrap,
) -> Estimate:
    """Estimate a difference of weighted means with its standard error; see `BalanceResult.estimate`."""
    if variance not in KINDS:
        raise OptionError(unknown_name("variance", str(variance), KINDS))
    require_level(level)
    pair = compared(study, contrast)
    value = difference(study, weights, y, pair)
    small = _small_groups(study, weights, pair, value)
    what = study.estimand if pair[1] is not None else "weighted mean"
    if variance == "fixed":
        members = [study.codes == k for k in pair if k is not None]
        parts = [weighted_mean(y[own], weights[own])[1] for own in members]
        method = f"{what}; linearised standard error, weights taken as fixed{small}"
        return normal_estimate(value, sum(parts), level, method)
    if variance == "regression":
        method = f"{what}; regression-adjusted standard error{small}"
        return normal_estimate(value, _regression_variance(study, weights, y, pair, value), level, method)
    error, failed = _bootstrap_error(study, bootstrap)
    note = f", {failed} without solution" if failed else ""
    return normal_estimate(
        value, error**2, level, f"{what}; bootstrap of {bootstrap.replications} samples{note}{small}"
    )


def _small_groups(study: BalanceStudy, weights: Floats, pair: tuple[int, int | None], value: float) -> str:
    """Refuse groups that are too small for a variance; warn of those that are small, and return words on them."""
    sizes = {study.levels[k]: effective_size(weights[study.codes == k]) for k in pair if k is not None}
    for label, size in sizes.items():
        if size < LEAST_SIZE * (1 - 1e-9):
            raise DataError(
                f"Group {label!r} has an effective size of {size:.3g}: how much outcomes vary within it cannot be told "
                f"from so few, so that no standard error can be given. The difference alone is {value:.6g}. Take more "
                "units, loosen the tolerances where the weights rest on a few, or see "
                f"{call('estimate_range', 'estimate_range(...)')}."
            )
    small = [
        f"group {label!r} has an effective size of {size:.3g}" for label, size in sizes.items() if size < SMALL_SIZE
    ]
    if not small:
        return ""
    text = f"{' and '.join(small)}: the standard error is itself uncertain, and normal intervals are then too short"
    warn(f"{text[0].upper()}{text[1:]}.")
    return f"; {text}"


def _fit(rows: Floats, y: Floats, w: Floats) -> Floats:
    """Weighted least squares of y on the balanced functions and a constant; returns the coefficients."""
    root = np.sqrt(w)
    return np.asarray(np.linalg.lstsq((rows * root).T, y * root, rcond=None)[0], dtype=float)


def _regression_variance(
    study: BalanceStudy, w: Floats, y: Floats, pair: tuple[int, int | None], value: float
) -> float:
    weighted = {study.levels.index(group.label): group for group in study.groups}
    residual_part = 0.0
    fits = {}
    for k in pair:
        if k in weighted:
            group = weighted[k]
            own = w[group.members]
            fits[k] = _fit(group.rows, y[group.members], own)
            residual = own * (y[group.members] - fits[k] @ group.rows)
            residual_part += float(residual @ residual) / float(own.sum()) ** 2
    # What the target population contributes, unit by unit.
    first, second = pair
    if study.estimand in ("ATT", "ATC"):
        focal = next(k for k in range(len(study.levels)) if k not in weighted)
        members = np.flatnonzero(study.codes == focal)
        rows, own = _functions(study, members), w[members]
        if focal in pair:
            other = next(k for k in pair if k is not None and k in weighted)
            sign = 1.0 if focal == first else -1.0
            influence = sign * (y[members] - fits[other] @ rows) - value
        else:  # two groups weighted to a third
            assert second is not None
            influence = (fits[first] - fits[second]) @ rows
            influence = influence - np.average(influence, weights=own)
    else:
        rows, own = _target_functions(study)
        influence = fits[first] @ rows - (fits[second] @ rows if second is not None else 0.0)
        influence = influence - np.average(influence, weights=own)
    spread = own * influence
    return residual_part + float(spread @ spread) / float(own.sum()) ** 2


def _functions(study: BalanceStudy, members: Any) -> Floats:
    """Return the balanced functions and a constant for any units, in the units of the groups' rows."""
    moments = study.moments
    rows = np.array([c.values[members] for c in moments.columns])
    rows -= moments.target[:, None]
    rows /= moments.spread[:, None]
    return np.vstack([rows, np.ones(rows.shape[1])])


def _target_functions(study: BalanceStudy) -> tuple[Floats, Floats]:
    moments = study.moments
    if isinstance(moments.reference, np.ndarray):
        raise DataError(
            f"{argument('variance', 'regression')} needs the target's rows: give {argument('target', assigned=True)} "
            "as a DataFrame, not as means."
        )
    if moments.reference is None:
        everyone = np.arange(len(study.codes))
        own = np.ones(len(everyone)) if study.sampling is None else study.sampling
        return _functions(study, everyone), own
    rows = (np.array(moments.reference) - moments.target[:, None]) / moments.spread[:, None]
    return np.vstack([rows, np.ones(rows.shape[1])]), np.ones(rows.shape[1])


def _bootstrap_error(study: BalanceStudy, bootstrap: Bootstrap) -> tuple[float, int]:
    replications = bootstrap.replications
    if not isinstance(replications, numbers.Integral) or replications < 20:
        what = argument("replications")
        raise OptionError(f"{what} is {replications!r}; a standard error needs a whole number of at least 20.")
    rng = np.random.default_rng(bootstrap.seed)
    groups = [np.flatnonzero(study.codes == k) for k in range(len(study.levels))]
    values, failed = [], 0
    for _ in range(replications):
        rows = np.concatenate([rng.choice(members, len(members)) for members in groups])
        try:
            values.append(bootstrap.again(rows, rng))
        except CausaloptError:  # tolerances out of reach, or a covariate without variance, in this sample
            failed += 1
            if failed > MOST_FAILED * replications:
                raise DataError(
                    f"More than {MOST_FAILED:.0%} of the bootstrap samples have no weights within the tolerances; "
                    f"loosen them, or use {argument('variance', 'regression')}."
                ) from None
    return float(np.std(values, ddof=1)), failed
