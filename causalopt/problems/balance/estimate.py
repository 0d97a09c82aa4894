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

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from causalopt.errors import CausaloptError, DataError, OptionError, warn
from causalopt.modeling.program import Floats
from causalopt.solving.options import unknown_name
from causalopt.study.estimates import (
    LEAST_SIZE,
    SMALL_SIZE,
    Estimate,
    effective_size,
    normal_estimate,
    require_level,
    weighted_mean,
)

if TYPE_CHECKING:
    from causalopt.problems.balance.result import BalanceResult

KINDS = ("fixed", "regression", "bootstrap")

#: Part of the bootstrap samples that may be without solution before the bootstrap is refused.
MOST_FAILED = 0.1


def estimate(
    result: BalanceResult,
    y: Floats,
    level: float,
    variance: str,
    contrast: tuple[Any, Any] | None,
    replications: int,
    seed: int,
) -> Estimate:
    """Estimate a difference of weighted means with its standard error; see `BalanceResult.estimate`."""
    if variance not in KINDS:
        raise OptionError(unknown_name("variance", str(variance), KINDS))
    require_level(level)
    pair = result._contrast(contrast)
    value = result._difference(y, contrast)
    small = _small_groups(result, pair, value)
    what = result.problem.estimand if pair[1] is not None else "weighted mean"
    if variance == "fixed":
        w, codes = result.weights.to_numpy(), result.problem._codes
        parts = [weighted_mean(y[codes == k], w[codes == k])[1] for k in pair if k is not None]
        method = f"{what}; linearised standard error, weights taken as fixed{small}"
        return normal_estimate(value, sum(parts), level, method)
    if variance == "regression":
        method = f"{what}; regression-adjusted standard error{small}"
        return normal_estimate(value, _regression_variance(result, y, pair, value), level, method)
    error, failed = _bootstrap_error(result, y, contrast, replications, seed)
    note = f", {failed} without solution" if failed else ""
    return normal_estimate(value, error**2, level, f"{what}; bootstrap of {replications} samples{note}{small}")


def _small_groups(result: BalanceResult, pair: tuple[int, int | None], value: float) -> str:
    """Refuse groups that are too small for a variance; warn of those that are small, and return words on them."""
    w, codes = result.weights.to_numpy(), result.problem._codes
    sizes = {result.problem.levels[k]: effective_size(w[codes == k]) for k in pair if k is not None}
    for label, size in sizes.items():
        if size < LEAST_SIZE * (1 - 1e-9):
            raise DataError(
                f"Group {label!r} has an effective size of {size:.3g}: how much outcomes vary within it cannot be told "
                f"from so few, so that no standard error can be given. The difference alone is {value:.6g}. Take more "
                "units, loosen the tolerances where the weights rest on a few, or see estimate_range(...)."
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


def _regression_variance(result: BalanceResult, y: Floats, pair: tuple[int, int | None], value: float) -> float:
    problem = result.problem
    w, codes = result.weights.to_numpy(), problem._codes
    weighted = {problem.levels.index(group.label): group for group in problem.groups}
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
    if problem.estimand in ("ATT", "ATC"):
        focal = next(k for k in range(len(problem.levels)) if k not in weighted)
        members = np.flatnonzero(codes == focal)
        rows, own = _functions(result, members), w[members]
        if focal in pair:
            other = next(k for k in pair if k is not None and k in weighted)
            sign = 1.0 if focal == first else -1.0
            influence = sign * (y[members] - fits[other] @ rows) - value
        else:  # two groups weighted to a third
            assert second is not None
            influence = (fits[first] - fits[second]) @ rows
            influence = influence - np.average(influence, weights=own)
    else:
        rows, own = _target_functions(result)
        influence = fits[first] @ rows - (fits[second] @ rows if second is not None else 0.0)
        influence = influence - np.average(influence, weights=own)
    spread = own * influence
    return residual_part + float(spread @ spread) / float(own.sum()) ** 2


def _functions(result: BalanceResult, members: Any) -> Floats:
    """Return the balanced functions and a constant for any units, in the units of the groups' rows."""
    moments = result.problem._moments
    rows = np.array([c.values[members] for c in moments.columns])
    rows -= moments.target[:, None]
    rows /= moments.spread[:, None]
    return np.vstack([rows, np.ones(rows.shape[1])])


def _target_functions(result: BalanceResult) -> tuple[Floats, Floats]:
    problem = result.problem
    moments = problem._moments
    if isinstance(moments.reference, np.ndarray):
        raise DataError("variance='regression' needs the target's rows: give target= as a DataFrame, not as means.")
    if moments.reference is None:
        everyone = np.arange(len(problem._codes))
        own = np.ones(len(everyone)) if problem._sampling is None else problem._sampling
        return _functions(result, everyone), own
    rows = (np.array(moments.reference) - moments.target[:, None]) / moments.spread[:, None]
    return np.vstack([rows, np.ones(rows.shape[1])]), np.ones(rows.shape[1])


def _bootstrap_error(
    result: BalanceResult, y: Floats, contrast: tuple[Any, Any] | None, replications: int, seed: int
) -> tuple[float, int]:
    from causalopt.solving.dispatch import solve

    if not isinstance(replications, numbers.Integral) or replications < 20:
        raise OptionError(f"replications is {replications!r}; a standard error needs a whole number of at least 20.")
    rng = np.random.default_rng(seed)
    problem = result.problem
    groups = [np.flatnonzero(problem._codes == k) for k in range(len(problem.levels))]
    values, failed = [], 0
    for _ in range(replications):
        rows = np.concatenate([rng.choice(members, len(members)) for members in groups])
        try:
            again = solve(problem.resampled(rows, rng))
        except CausaloptError:  # tolerances out of reach, or a covariate without variance, in this sample
            failed += 1
            if failed > MOST_FAILED * replications:
                raise DataError(
                    f"More than {MOST_FAILED:.0%} of the bootstrap samples have no weights within the tolerances; "
                    "loosen them, or use variance='regression'."
                ) from None
            continue
        values.append(again._difference(y[rows], contrast))
    return float(np.std(values, ddof=1)), failed
