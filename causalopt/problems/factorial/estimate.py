"""Estimates of factorial effects: by balancing weights, inverse probabilities and regression.

[FACT] = Yu and Ding, Balancing weights for causal inference in observational factorial studies (arXiv 2310.04660).
An effect has a contrast g~ on the observed cells; it is the average over the N units of

    m_i = 2^-(K-1) sum_z g~_z E[Y_i(z) | X_i].

Everything here takes units sorted by cell and the outcome model's terms q(x, z) as `CellRows`, so that no matrix of
terms by units is formed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import pandas as pd

from causalopt.algorithms import dual_newton
from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Floats, Ints
from causalopt.problems.factorial.cell_rows import CellRows, group_by_cell
from causalopt.problems.factorial.propensity import logit_scores
from causalopt.problems.factorial.rows import WeightSet
from causalopt.study.estimates import normal_estimate

#: Relative size of the eigenvalues of a regression's moment matrix that count as zero.
SINGULAR = 1e-11


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """What the estimators need of a study, its units sorted by cell.

    Attributes
    ----------
    outcome : (n,) array
        Of the units in the cells that take part.
    terms : CellRows
        The outcome model's terms q at those units.
    everyone : (S + 1, N) array
        The functions h_0 = 1, h_1, ..., of all units, whose average the effects refer to.
    contrasts : mapping from label to (C,) array
        g~ by cell.
    factors : int
        K.
    """

    outcome: Floats
    terms: CellRows
    everyone: Floats
    contrasts: Mapping[str, Floats]
    factors: int

    @property
    def share(self) -> float:
        """2^-(K-1), the factor in front of a contrast."""
        return 2.0 ** (1 - self.factors)

    def by_unit(self, contrast: Floats) -> Floats:
        """Return each unit's value of a contrast."""
        return np.repeat(contrast, np.diff(self.terms.starts))

    def averaged(self, coefficients: Floats, contrast: Floats) -> Floats:
        """Return m_i of all units for coefficients of the terms."""
        effect = self.terms.by_cell(coefficients) @ contrast
        return np.asarray(self.share * (effect @ self.everyone))


def estimate_table(
    answers: Mapping[str, tuple[float, float]], effects: Sequence[str], level: float, method: str
) -> pd.DataFrame:
    """Return estimates and variances of effects as a tidy table with normal intervals.

    Columns: `estimate`, `standard error`, `lower`, `upper`, `p`; missing values where the answer or its variance is.
    """
    records = []
    for value, variance in answers.values():
        e = normal_estimate(value, variance, level, method)
        records.append((e.estimate, e.standard_error, e.lower, e.upper, e.p_value))
    columns = ["estimate", "standard error", "lower", "upper", "p"]
    table = pd.DataFrame(records, columns=columns, index=pd.Index(answers), dtype=float)
    table = table.reindex(pd.Index(effects, name="effect"))
    table.attrs = {"level": level, "method": method}
    return table


# ---- balancing weights ----


def weighted_effects(sample: Sample, weights: Floats, *, adjust: bool = True) -> dict[str, tuple[float, float]]:
    """Estimate effects by balancing weights, tau = N^-1 sum_i w_i g~(Z_i) Y_i, with their variances.

    The variance is that of [FACT]'s consistent estimator,

        N^-2 sum_i {w_i g~(Z_i) (Y_i - q_i'b)}^2  +  N^-2 sum_i (m_i - tau)^2,

    b the regression of the outcome on the model's terms q, weighted by w. Residuals of a regression are too small, and
    most so where weights are large. With `adjust` each squared residual is divided by what its expectation would be
    under errors of equal variance,

        v_i = 1 - 2 w_i q_i'G q_i + q_i'G (sum_j w_j^2 q_j q_j') G q_i,     G = (sum_j w_j q_j q_j')^-1,

    the correction HC2 of MacKinnon and White (1985), carried over to a weighted regression. It vanishes as N grows.

    Parameters
    ----------
    sample : Sample
    weights : (n,) array
        On the scale of [FACT]: each side of an effect sums to N.
    adjust : bool

    Returns
    -------
    dict of effect to (estimate, variance)
    """
    total = sample.everyone.shape[1]
    w, y, q = weights, sample.outcome, sample.terms
    inverse = _inverse(q.gram(weights=w))
    coefficients = inverse @ (q @ (w * y))
    residual = y - coefficients @ q
    if adjust:
        sandwich = inverse @ q.gram(weights=w * w) @ inverse
        expected = 1.0 - 2.0 * w * q.quadratic(inverse) + q.quadratic(sandwich)
        residual = residual / np.sqrt(np.maximum(expected, 1e-6))
    answers = {}
    for label, contrast in sample.contrasts.items():
        signed = w * sample.by_unit(contrast)
        estimate = float(signed @ y) / total
        errors = signed * residual
        spread = sample.averaged(coefficients, contrast)
        spread = spread - spread.mean()
        answers[label] = (estimate, (float(errors @ errors) + float(spread @ spread)) / total**2)
    return answers


def _inverse(moments: Floats) -> Floats:
    """Return the inverse of a moment matrix, or its pseudoinverse where terms are collinear."""
    size = np.sqrt(np.maximum(moments.diagonal(), 1e-300))
    inverse: Floats = np.linalg.pinv(moments / np.outer(size, size), rcond=SINGULAR, hermitian=True)
    inverse /= np.outer(size, size)
    return inverse


def bootstrap_effects(
    sample: Sample, weight_set: WeightSet, weights: Floats, codes: Ints, draws: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Estimate effects with variances over resamples of the rows, drawn within treatment cells, each weighted anew.

    Drawing within cells keeps the rows of each cell as many as they are, so that no resample loses one. A resample
    without weights is drawn again; more than one in five of them is an error.

    Parameters
    ----------
    sample : Sample
    weight_set : WeightSet
        The constraints that the weights satisfied.
    weights : (n,) array
    codes : (N,) int array
        The cell of each row of the data, in the order of `sample.everyone`.
    draws, seed : int
    """
    if draws < 2:
        raise DataError(f"{argument('draws', draws)}: a variance needs at least two, and a few hundred to be stable.")
    resampled = islice(_resampled(sample, weight_set, codes, draws, seed), draws)
    found = [
        [float(signed @ sample.by_unit(contrast)) for contrast in sample.contrasts.values()] for signed in resampled
    ]
    variances = np.var(np.array(found), axis=0, ddof=1)
    signed = weights * sample.outcome / len(codes)
    return {
        label: (float(signed @ sample.by_unit(contrast)), float(variances[k]))
        for k, (label, contrast) in enumerate(sample.contrasts.items())
    }


def _resampled(sample: Sample, weight_set: WeightSet, codes: Ints, draws: int, seed: int) -> Iterator[Floats]:
    """Yield w_i Y_i / N of the units of one resample after the other, with new weights."""
    rng = np.random.default_rng(seed)
    order, _ = group_by_cell(codes, np.unique(codes))
    bounds = np.searchsorted(codes[order], np.arange(codes.max() + 2))
    first, size = bounds[codes[order]], np.diff(bounds)[codes[order]]
    place = np.empty(len(codes), dtype=np.int64)
    place[order] = np.arange(len(codes))
    members = place[weight_set.members]  # where the set's units are among those sorted by cell
    outcome = np.zeros(len(codes))
    outcome[members] = sample.outcome
    functions = sample.everyone[:, order]
    start = dual_newton.solve(weight_set.separable(), start=None if weight_set.base else weight_set.absorbing).row_dual
    rows = weight_set.rows
    found = failures = 0
    while True:
        pick = first + (rng.random(len(codes)) * size).astype(np.int64)
        values = functions[:, pick]
        values[1:] -= values[1:].mean(axis=1, keepdims=True)
        drawn = CellRows(rows.row, rows.cell, rows.value, rows.function, values[:, members], rows.starts)
        solution = dual_newton.solve(weight_set.separable(drawn), start=start)
        if solution.x is not None:
            found += 1
            yield 2.0 * solution.x * outcome[pick][members] / len(codes)
            continue
        failures += 1
        if failures > max(10, draws // 5):
            raise DataError(
                f"{failures} of {failures + found} resamples have no weights, so the bootstrap would be of a different "
                f"study. Allow a tolerance, balance fewer functions, or use {argument('variance', 'adjusted')}."
            )


# ---- baselines ----


def regression_effects(sample: Sample) -> dict[str, tuple[float, float]]:
    """Estimate effects by least squares on the model's terms, averaged over the units (g-computation).

    With an additive model the effect of a single factor is twice its coefficient under -1/+1 coding. The variance is
    heteroskedasticity-robust (HC2), plus that of the average over units.
    """
    total = sample.everyone.shape[1]
    y, q = sample.outcome, sample.terms
    inverse = _inverse(q.gram())
    coefficients = inverse @ (q @ y)
    residual = (y - coefficients @ q) / np.sqrt(np.maximum(1.0 - q.quadratic(inverse), 1e-6))
    means = sample.everyone.mean(axis=1)
    answers = {}
    for label, contrast in sample.contrasts.items():
        at_mean = np.zeros(q.shape[0])  # the terms averaged over the units, and over cells by the contrast
        np.add.at(at_mean, q.row, q.value * means[q.function[q.row]] * contrast[q.cell] * sample.share)
        influence = ((inverse @ at_mean) @ q) * residual
        effects = sample.averaged(coefficients, contrast)
        spread = effects - effects.mean()
        variance = float(influence @ influence) + float(spread @ spread) / total**2
        answers[label] = (float(effects.mean()), variance)
    return answers


def inverse_probability_effects(sample: Sample, probability: Floats) -> dict[str, tuple[float, float]]:
    """Estimate effects by inverse probabilities of the treatment cell, normalised within cells (Hajek).

    Parameters
    ----------
    sample : Sample
    probability : (n,) array
        Of each unit's own cell given its covariates.

    Returns
    -------
    dict of effect to (estimate, variance)
        The variance takes the probabilities as known.
    """
    cell = np.repeat(np.arange(len(sample.terms.starts) - 1), np.diff(sample.terms.starts))
    w = 1.0 / probability
    sums = np.bincount(cell, w)
    means = np.bincount(cell, w * sample.outcome) / sums
    errors = (w * (sample.outcome - means[cell]) / sums[cell]) ** 2
    by_cell = np.bincount(cell, errors)
    return {
        label: (float(sample.share * (contrast @ means)), float(sample.share**2 * (contrast**2 @ by_cell)))
        for label, contrast in sample.contrasts.items()
    }


def cell_probabilities(functions: Floats, high: Floats, names: Sequence[str]) -> Floats:
    """Estimate the probability of each unit's own cell: logistic regressions in a chain.

    P(z | x) = product over k of P(z_k | x, z_1, ..., z_k-1), each factor by a logistic regression on the functions of
    the covariates and the factors before it.

    Parameters
    ----------
    functions : (S + 1, N) array
        With the constant first.
    high : (N, K) array of 0 and 1
    names : sequence of str
        The factors, for messages.

    Raises
    ------
    DataError
        Where the covariates separate a factor's levels, so that the likelihood has no maximum.
    """
    design = functions[1:].T
    probability = np.ones(len(high))
    for k, name in enumerate(names):
        try:
            p = logit_scores(design, high[:, k])
        except DataError as error:
            raise DataError(
                f"The logistic regression of factor {name!r} has no maximum: the covariates and the factors "
                "before it separate its levels. Inverse probabilities are no use here; drop the covariate that does it."
            ) from error
        probability *= np.where(high[:, k] == 1, p, 1.0 - p)
        design = np.column_stack([design, high[:, k]])
    return probability
