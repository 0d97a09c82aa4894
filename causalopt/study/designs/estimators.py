"""Estimators of the average effect as linear functions of the observed outcomes.

What they have in common, and their variance under a design, is in `Estimator`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from causalopt.errors import DataError, OptionError
from causalopt.messages import argument
from causalopt.modeling.program import Bools, Floats
from causalopt.solving.options import unknown_name
from causalopt.study.designs.design import Design, settle
from causalopt.study.designs.estimation import Estimator, QuadraticForm
from causalopt.study.labels import refuse_other_labels, row_labels

__all__ = [
    "DifferenceInMeans",
    "DoublyRobust",
    "Estimator",
    "Hajek",
    "HorvitzThompson",
    "LeastSquares",
    "QuadraticForm",
    "Residualised",
    "as_estimator",
]


def _sizes(z: Bools) -> tuple[Floats, Floats]:
    """Return the sizes of both groups, as columns; NaN where one is empty."""
    treated = z.sum(axis=1, keepdims=True).astype(float)
    treated[(treated == 0) | (treated == z.shape[1])] = np.nan
    return treated, z.shape[1] - treated


@dataclasses.dataclass(frozen=True, eq=False)
class DifferenceInMeans(Estimator):
    """Mean of the treated minus mean of the untreated.

    Linear in treatment where the design fixes the number of treated units; else (under Bernoulli assignment, say) its
    variance is found by enumeration or simulation, given that neither group is empty.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.array([True, False, False])
    >>> DifferenceInMeans().estimate(np.array([3.0, 1.0, 2.0]), z, np.full(3, 1 / 3))
    1.5
    """

    name = "difference-in-means"

    def weights(self, z: Bools, p: Floats) -> Floats:
        """Return c(Z) = Z / N1 - (1 - Z) / N0."""
        treated, control = _sizes(z)
        return np.where(z, 1.0 / treated, -1.0 / control)

    def linear(self, design: Design, n: int) -> tuple[Floats, Floats] | None:
        """Return 1/N1 and 1/N0 where the design fixes them."""
        treated = design.fixed_size(n)
        return None if treated is None else (np.full(n, 1.0 / treated), np.full(n, 1.0 / (n - treated)))

    @property
    def counts(self) -> bool:
        """Marginals are compared by the sizes of both groups."""
        return True


@dataclasses.dataclass(frozen=True, eq=False)
class HorvitzThompson(Estimator):
    """Outcomes weighted by one over the known probability of their treatment (Horvitz and Thompson 1952).

    Examples
    --------
    >>> import numpy as np
    >>> z = np.array([True, False])
    >>> HorvitzThompson().estimate(np.array([3.0, 1.0]), z, np.array([0.5, 0.5]))
    2.0
    """

    name = "horvitz-thompson"

    def weights(self, z: Bools, p: Floats) -> Floats:
        """Return c(Z) = Z / (N P) - (1 - Z) / (N (1 - P))."""
        n = z.shape[1]
        return np.asarray(np.where(z, 1.0 / (n * p), -1.0 / (n * (1 - p))))

    def linear(self, design: Design, n: int) -> tuple[Floats, Floats]:
        """Return 1/(N P) and 1/(N (1 - P))."""
        p = design.probabilities(n)
        return 1.0 / (n * p), 1.0 / (n * (1 - p))


@dataclasses.dataclass(frozen=True, eq=False)
class Hajek(Estimator):
    """Horvitz-Thompson with weights that sum to one in each group (Hajek 1971).

    Linear in treatment, and the difference in means, where all probabilities are equal and the design fixes the number
    of treated units.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.array([True, True, False])
    >>> Hajek().estimate(np.array([3.0, 6.0, 1.0]), z, np.array([0.5, 0.25, 0.5]))
    4.0
    """

    name = "hajek"

    def weights(self, z: Bools, p: Floats) -> Floats:
        """Return c(Z), normalised in each group."""
        up, down = z / p, (~z) / (1 - p)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(up / up.sum(axis=1, keepdims=True) - down / down.sum(axis=1, keepdims=True))

    def linear(self, design: Design, n: int) -> tuple[Floats, Floats] | None:
        """Return those of the difference in means where the two are the same."""
        p = design.probabilities(n)
        return DifferenceInMeans().linear(design, n) if np.ptp(p) <= 1e-12 else None


@dataclasses.dataclass(frozen=True, eq=False)
class DoublyRobust(HorvitzThompson):
    """Horvitz-Thompson on the residuals of out-of-sample predictions, plus the mean predicted effect.

    Unbiased whatever the predictions, provided that they do not use the outcomes of this experiment. The copula is that
    of the residuals.

    Parameters
    ----------
    treated, control : (n,) arrays
        Predictions of Y(1) and Y(0); `control` is that of `treated` unless given. A Series keeps its row labels,
        which must then be those of the outcomes.

    Examples
    --------
    >>> import numpy as np
    >>> z = np.array([True, False])
    >>> DoublyRobust(np.array([2.0, 1.0])).estimate(np.array([3.0, 1.0]), z, np.array([0.5, 0.5]))
    1.0
    """

    treated: Any
    control: Any = None

    name = "doubly-robust"

    def __post_init__(self) -> None:
        treated = _finite(self.treated, "The prediction of Y(1)")
        control = treated if self.control is None else _finite(self.control, "The prediction of Y(0)")
        if treated.shape != control.shape:
            raise DataError(f"{len(treated)} predictions of Y(1), but {len(control)} of Y(0).")
        labels = [found for found in map(row_labels, (self.treated, self.control)) if found is not None]
        if labels:
            refuse_other_labels(labels[0], labels[-1], "The predictions of Y(1)", "those of Y(0)")
            settle(self, _labels=labels[0])
        settle(self, treated=treated, control=control)

    def prediction(self, n: int) -> tuple[Floats, Floats]:
        """Return the predictions of Y(1) and Y(0).

        Raises
        ------
        DataError
            Where there are not n predictions.
        """
        if len(self.treated) != n:
            raise DataError(f"There are {len(self.treated)} predictions for {n} units.")
        return self.treated, self.control


def _finite(values: Any, what: str, dimensions: int = 1) -> Floats:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"{what} is not numeric.") from None
    if array.ndim != dimensions:
        raise DataError(f"{what} has shape {array.shape}; {dimensions} dimension(s) are needed.")
    if not np.isfinite(array).all():
        raise DataError(f"{what} has missing or infinite values (unit {int(np.argwhere(~np.isfinite(array))[0][0])}).")
    return array


def _covariates(values: Any) -> Floats:
    array = np.asarray(values, dtype=float) if np.ndim(values) == 2 else _finite(values, "The covariate")[:, None]
    array = _finite(array, "The covariates", 2)
    constant = np.flatnonzero(np.ptp(array, axis=0) == 0)
    if len(constant):
        raise DataError(f"Covariate {int(constant[0])} is the same for every unit: leave it out.")
    centred = array - array.mean(axis=0)
    if np.linalg.matrix_rank(centred) < centred.shape[1]:
        raise DataError("Some covariates are linear combinations of others: leave those out.")
    return np.asarray(centred)


@dataclasses.dataclass(frozen=True, eq=False)
class Residualised(Estimator):
    """The regression estimator of the causal-bootstrap paper (its equation 7.6): not least squares.

    With W centred, q = W'W and a = N1 N0 / N it is the difference in means minus (W'Z) (sum_i W_i Y_i) / (a q), the
    outcomes being adjusted by their own regression on W. (The inverse in its derivation drops (W'Z)^2, so that it
    differs from `LeastSquares`.) Several covariates enter through (W'W)^-1.

    Parameters
    ----------
    covariates : (n,) or (n, d) array
        A Series or DataFrame keeps its row labels, which must then be those of the outcomes.

    Examples
    --------
    >>> import numpy as np
    >>> x, z = np.array([0.0, 1.0, 2.0, 3.0]), np.array([True, False, False, True])
    >>> round(Residualised(x).estimate(5 + 2 * x + 7 * z, z, np.full(4, 0.5)), 9)
    7.0
    """

    covariates: Any

    name = "residualised"

    def __post_init__(self) -> None:
        settle(self, _labels=row_labels(self.covariates), covariates=_covariates(self.covariates))

    def weights(self, z: Bools, p: Floats) -> Floats:
        """Return c(Z) = Z / N1 - (1 - Z) / N0 - W (W'W)^-1 W'Z / a."""
        w = self._matching(z)
        treated, control = _sizes(z)
        slope = np.linalg.solve(w.T @ w, (z @ w).T).T
        adjustment = (slope @ w.T) / (treated * control / z.shape[1])
        return np.asarray(np.where(z, 1.0 / treated, -1.0 / control) - adjustment)

    def _matching(self, z: Bools) -> Floats:
        w: Floats = self.covariates
        if len(w) != z.shape[1]:
            raise DataError(f"There are covariates of {len(w)} units, but {z.shape[1]} units.")
        return w


@dataclasses.dataclass(frozen=True, eq=False)
class LeastSquares(Residualised):
    """The coefficient of treatment in least squares of the outcome on a constant, treatment and covariates.

    Parameters
    ----------
    covariates : (n,) or (n, d) array
        A Series or DataFrame keeps its row labels, which must then be those of the outcomes.

    Examples
    --------
    >>> import numpy as np
    >>> x, z = np.array([0.0, 1.0, 2.0, 3.0]), np.array([True, False, False, True])
    >>> round(LeastSquares(x).estimate(5 + 2 * x + 7 * z, z, np.full(4, 0.5)), 9)
    7.0
    """

    name = "least-squares"

    def weights(self, z: Bools, p: Floats) -> Floats:
        """Return c(Z) = r / (r'r) with r the residual of Z on a constant and the covariates."""
        w = self._matching(z)
        centred = z - z.mean(axis=1, keepdims=True)
        residual = centred - np.linalg.solve(w.T @ w, (centred @ w).T).T @ w.T
        squared = (residual**2).sum(axis=1, keepdims=True)
        return np.asarray(residual / np.where(squared > 1e-12, squared, np.nan))


ESTIMATORS = ("difference-in-means", "horvitz-thompson", "hajek", "doubly-robust", "residualised", "least-squares")


def as_estimator(estimator: Any, covariates: Any = None, predictions: Any = None) -> Estimator:
    """Return the estimator of a name, with the covariates or predictions that it needs, or an estimator as it is.

    Parameters
    ----------
    estimator : str or Estimator
        A name, or an object that is returned as it is.
    covariates : (n,) or (n, d) array, optional
        For the estimators that adjust for covariates.
    predictions : array or pair of arrays, optional
        Predictions of Y(1) and Y(0), for the doubly robust estimator.

    Raises
    ------
    OptionError
        Where the name is unknown.
    DataError
        Where covariates or predictions are missing, or given to an estimator that uses none.

    Examples
    --------
    >>> as_estimator("hajek")
    Hajek()
    """
    if isinstance(estimator, Estimator):
        if covariates is not None or predictions is not None:
            raise DataError("Give covariates or predictions to the estimator itself, or name the estimator.")
        return estimator
    if estimator not in ESTIMATORS:
        raise OptionError(unknown_name("estimator", str(estimator), ESTIMATORS))
    named = argument("estimator", estimator)
    adjusts = estimator in ("residualised", "least-squares")
    if adjusts and covariates is None:
        raise DataError(f"{named} needs {argument('covariates', assigned=True)}.")
    if covariates is not None and not adjusts:
        raise DataError(f"{named} uses no covariates; 'residualised' and 'least-squares' do.")
    if predictions is not None and estimator != "doubly-robust":
        raise DataError(f"{named} uses no predictions; 'doubly-robust' does.")
    if adjusts:
        return Residualised(covariates) if estimator == "residualised" else LeastSquares(covariates)
    if estimator == "doubly-robust":
        if predictions is None:
            raise DataError(
                f"{named} needs {argument('predictions', assigned=True)}: an array, or a pair of arrays for Y(1) and "
                "Y(0), made without the outcomes of this experiment."
            )
        return DoublyRobust(*predictions) if isinstance(predictions, tuple) else DoublyRobust(predictions)
    plain = {kind.name: kind for kind in (DifferenceInMeans, HorvitzThompson, Hajek)}
    return plain[estimator]()
