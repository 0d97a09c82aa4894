"""What an estimator of the average effect is: a linear function of the outcomes, with a variance under a design.

Every estimator is  tau = constant + sum_i c_i(Z) Y_i,  with Y_i the observed outcome. With theta = (Y(1), Y(0)),

    Var(tau) = theta' H theta,      H = Cov_Z(c o Z, c o (1 - Z)),

by enumeration or simulation. An estimator that is linear in treatment, tau = sum_i Z_i a_i + b with
a_i = alpha_i Y_i(1) + beta_i Y_i(0), has H = [alpha, beta] Sigma [alpha, beta] in closed form.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import numpy as np

from causalopt.errors import DataError
from causalopt.modeling.program import Bools, Floats
from causalopt.study.designs.design import BLOCK, ENUMERATION_LIMIT, Design, refuse_large
from causalopt.study.designs.simulated import SIMULATION_DRAWS


@dataclasses.dataclass(frozen=True, eq=False)
class QuadraticForm:
    """The variance of an estimator as a quadratic form in the potential outcomes (or residuals) theta = (Y(1), Y(0)).

    Attributes
    ----------
    matrix : (2n, 2n) array
        H.
    exact : bool
        False where it was simulated.
    draws : int
        How many assignments it was simulated from, or 0.
    """

    matrix: Floats
    exact: bool
    draws: int = 0

    def value(self, y1: Floats, y0: Floats) -> float:
        """Return theta' H theta.

        Parameters
        ----------
        y1, y0 : (n,) arrays
            Potential outcomes with and without the treatment.
        """
        theta = np.concatenate([y1, y0])
        return float(theta @ self.matrix @ theta)


class Estimator(abc.ABC):
    """An estimator  constant + sum_i c_i(Z) Y_i  of the average effect.

    Attributes
    ----------
    name : str
    """

    name: str = ""

    #: Row labels of what the estimator was given as a Series or DataFrame; they must be those of the outcomes.
    _labels: Any = None

    @abc.abstractmethod
    def weights(self, z: Bools, p: Floats) -> Floats:
        """Return c(Z), signs included, for assignments given as the rows of an (m, n) array; NaN where undefined.

        Parameters
        ----------
        z : (m, n) bool array
            Assignments, one a row.
        p : (n,) array
            Treatment probabilities.
        """

    def linear(self, design: Design, n: int) -> tuple[Floats, Floats] | None:
        """Return alpha and beta where the estimator is linear in treatment under this design, else None.

        Parameters
        ----------
        design : Design
            How treatment was assigned.
        n : int
            Number of units.
        """
        return None

    def prediction(self, n: int) -> tuple[Floats, Floats] | None:
        """Return predictions of Y(1) and Y(0) that are subtracted from the outcomes, or None.

        Parameters
        ----------
        n : int
            Number of units.
        """
        return None

    @property
    def counts(self) -> bool:
        """Whether marginals are compared by the sizes of both groups, rather than by treatment probabilities."""
        return False

    def residuals(self, y: Floats, z: Bools) -> Floats:
        """Return the observed outcomes minus their predictions, where there are predictions.

        Parameters
        ----------
        y : (n,) array
            Observed outcomes.
        z : (n,) bool array
            An assignment: true where a unit is treated.
        """
        predicted = self.prediction(len(y))
        return y if predicted is None else y - np.where(z, *predicted)

    def constant(self, n: int) -> float:
        """Return the part of the estimate that depends on predictions alone.

        Parameters
        ----------
        n : int
            Number of units.
        """
        predicted = self.prediction(n)
        return 0.0 if predicted is None else float((predicted[0] - predicted[1]).mean())

    def estimate(self, y: Floats, z: Bools, p: Floats) -> float:
        """Return the estimate from the observed outcomes.

        Parameters
        ----------
        y : (n,) array
            Observed outcomes.
        z : (n,) bool array
            An assignment: true where a unit is treated.
        p : (n,) array
            Treatment probabilities.

        Raises
        ------
        DataError
            Where it is not defined for this treatment, because a group is empty.
        """
        value = float(self.weights(z[None, :], p)[0] @ self.residuals(y, z)) + self.constant(len(y))
        if not np.isfinite(value):
            raise DataError(f"{self.name} is not defined: the treated or the untreated group is empty.")
        return value

    def draws(self, y1: Floats, y0: Floats, z: Bools, p: Floats) -> Floats:
        """Return the estimates from both potential outcomes under each assignment (row of z).

        Assignments for which the estimator is not defined are left out.

        Parameters
        ----------
        y1, y0 : (n,) arrays
            Potential outcomes with and without the treatment.
        z : (m, n) bool array
            Assignments, one a row.
        p : (n,) array
            Treatment probabilities.
        """
        predicted = self.prediction(len(y1))
        if predicted is not None:
            y1, y0 = y1 - predicted[0], y0 - predicted[1]
        values = []
        step = max(1, BLOCK // (4 * len(y1)))
        for start in range(0, len(z), step):
            block = z[start : start + step]
            values.append((self.weights(block, p) * np.where(block, y1, y0)).sum(axis=1))
        tau = np.concatenate(values)
        return np.asarray(tau[np.isfinite(tau)] + self.constant(len(y1)))

    def form(self, design: Design, n: int, *, draws: int = SIMULATION_DRAWS, seed: int = 0) -> QuadraticForm:
        """Return the variance of the estimator as a quadratic form.

        Exact where the estimator is linear in treatment and the design's covariance exact, or where the design can be
        enumerated; else simulated from `draws` assignments. Assignments for which the estimator is not defined (a
        group is empty) are left out: the variance is conditional on the others.

        Parameters
        ----------
        design : Design
            How treatment was assigned.
        n : int
            Number of units.
        draws : int
            How many assignments to simulate from, where that is needed.
        seed : int
            The same seed gives the same draws.
        """
        refuse_large(n)
        coefficients = self.linear(design, n)
        if coefficients is not None:
            moments = design.moments(n)
            alpha, beta = coefficients
            scale = np.concatenate([alpha, beta])
            return QuadraticForm(
                scale[:, None] * np.tile(moments.covariance, (2, 2)) * scale, moments.error is None, moments.draws
            )
        count = design.count(n)
        exact = count is not None and count <= ENUMERATION_LIMIT
        if exact:
            z, probability = design.enumerate(n)
        else:
            z = design.sample(draws, n=n, seed=seed)
            probability = np.full(len(z), 1.0 / len(z))
        return QuadraticForm(_covariance(self, z, probability, design.probabilities(n)), exact, 0 if exact else len(z))

    def __str__(self) -> str:
        return self.name


def _covariance(estimator: Estimator, z: Bools, probability: Floats, p: Floats) -> Floats:
    """Return the covariance of (c o Z, c o (1 - Z)) over weighted assignments."""
    n = z.shape[1]
    first, second, total = np.zeros(2 * n), np.zeros((2 * n, 2 * n)), 0.0
    step = max(1, BLOCK // (4 * n))
    for start in range(0, len(z), step):
        block = z[start : start + step]
        c = estimator.weights(block, p)
        defined = np.isfinite(c).all(axis=1)
        w = probability[start : start + step][defined]
        halves = np.concatenate([np.where(block, c, 0.0), np.where(block, 0.0, c)], axis=1)[defined]
        weighted = halves * w[:, None]
        first += weighted.sum(axis=0)
        second += weighted.T @ halves
        total += float(w.sum())
    if total == 0:
        raise DataError(
            f"{estimator.name} is not defined under any assignment of this design: a group is always empty."
        )
    first /= total
    matrix = second / total - np.outer(first, first)
    return np.asarray((matrix + matrix.T) / 2)
