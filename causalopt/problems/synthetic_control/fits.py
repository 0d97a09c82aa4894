"""The fits of a study, one for each treated unit, and the penalty: given, or chosen by donors in their part."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, OptionError
from causalopt.messages import argument
from causalopt.modeling.program import Floats
from causalopt.problems.synthetic_control.data import Study
from causalopt.problems.synthetic_control.fit import Fit, Penalty, in_unit_of_residual, penalised, scaled
from causalopt.problems.synthetic_control.panel import label_index
from causalopt.problems.synthetic_control.penalty import PenaltyGrid
from causalopt.problems.synthetic_control.predictors import (
    Importance,
    predictor_fit,
    read_importance,
    search_importance,
)

#: How many values of lam are tried unless some are given.
N_LAMS = 20

#: The least of them beside the largest.
LEAST_LAM = 1e-6

#: The range of lam for the pairwise penalty, which needs no units.
PAIRWISE_LAMS = (1e-4, 10.0)


@dataclasses.dataclass(frozen=True, eq=False)
class PenaltyChoice:
    """What each penalty would have made of donors whose outcome after the treatment time is known.

    Attributes
    ----------
    penalty : Penalty
        The one of the smallest mean squared error; of equals, the largest lam.
    lams, alphas : (L,), (A,) arrays
    errors : (A, L, J) array
        Mean squared error after the treatment time of each donor, predicted from the others.
    donors : list of labels
    """

    penalty: Penalty
    lams: Floats
    alphas: Floats
    errors: Floats
    donors: list[Any]

    @cached_property
    def table(self) -> pd.DataFrame:
        """Root mean squared error by alpha and lam: `all donors`, and each."""
        index = pd.MultiIndex.from_product([self.alphas, self.lams], names=["alpha", "lam"])
        by_donor = self.errors.reshape(len(index), -1)
        table = pd.DataFrame(np.sqrt(by_donor), index=index, columns=label_index(self.donors, "donor"))
        table.insert(0, "all donors", np.sqrt(by_donor.mean(axis=1)))
        return table

    @property
    def at_edge(self) -> bool:
        """Whether the chosen lam is the smallest or largest that was tried."""
        return len(self.lams) > 1 and self.penalty.lam in (self.lams[0], self.lams[-1])


def fits_of(study: Study) -> tuple[list[Fit], list[Importance], Penalty, PenaltyChoice | None]:
    """Return the fits of a study, the importance of predictors in each, and the penalty and how it was chosen."""
    plain, importance = _plain_fits(study)
    grid, penalty, choice = study.grid, Penalty(), None
    if grid is not None:
        choice = choose_penalty(grid, study, importance) if grid.is_choice else None
        penalty = grid.only if choice is None else choice.penalty
        plain = [penalised(fit, penalty) for fit in plain]
    return [in_unit_of_residual(fit) for fit in plain], importance, penalty, choice


def _plain_fits(study: Study) -> tuple[list[Fit], list[Importance]]:
    """Return the fits without penalty, and the importance of the predictors in each."""
    rows, targets = study.donor_values[: study.n_pre], study.treated_values[: study.n_pre].T
    if study.known is None:
        return [scaled(*pair, rows, study.constraints) for pair in zip(study.labels, targets, strict=True)], []
    donors, names = study.known.of(study.design.donors), study.known.names
    fits, importance = [], []
    for label, target, own in zip(
        study.labels, targets, study.known.treated(study.design.treated, study.averages).T, strict=True
    ):
        found = (
            search_importance(study.v, names, own, donors, target, rows, study.constraints)
            if isinstance(study.v, str)
            else read_importance(study.v, names)
        )
        importance.append(found)
        fits.append(predictor_fit(label, own, donors, found.values, study.constraints))
    return fits, importance


def choose_penalty(grid: PenaltyGrid, study: Study, importance: list[Importance]) -> PenaltyChoice:
    """Choose the penalty by the squared error after the treatment time of each donor, predicted from the others.

    The treated units take no part but for the range of lam. All lam of one donor and alpha are solved from the largest
    down, each from the weights of the one before.
    """
    donors, lam, v = study.design.donors, argument("lam", assigned=True), argument("v", assigned=True)
    if len(donors) < 2:
        raise DataError(
            f"Choosing lam takes at least two donors, of which each is predicted from the others: give {lam}."
        )
    if isinstance(study.v, str):
        raise OptionError(f"{argument('lam')} cannot be chosen while {v} is searched: give {lam}, or {v} as numbers.")
    lams = np.array(_automatic_lams(grid, study) if grid.lams is None else grid.lams)
    errors = np.empty((len(grid.alphas), len(lams), len(donors)))
    after = study.donor_values[study.n_pre :]
    for j in range(len(donors)):
        others = np.delete(after, j, axis=1)
        fit = _pseudo_fit(study, importance, j)
        for a, alpha in enumerate(grid.alphas):
            start = None
            for k in range(len(lams) - 1, -1, -1):
                own = penalised(fit, Penalty(lams[k], alpha, grid.l2, grid.pairwise))
                point = own.minimise(start=start)
                start = point.weights
                gap = after[:, j] - own.intercept(start, point.intercept) - others @ start
                errors[a, k, j] = float(gap @ gap) / len(gap)
    mean = errors.mean(axis=2)
    best = np.argwhere(mean <= mean.min() * (1 + 1e-12))
    a, k = best[np.argmax(best[:, 1])]
    penalty = Penalty(float(lams[k]), float(grid.alphas[a]), grid.l2, grid.pairwise)
    return PenaltyChoice(penalty, lams, np.array(grid.alphas), errors, donors)


def _pseudo_fit(study: Study, importance: list[Importance], j: int) -> Fit:
    """Return the fit of donor j by the other donors, without penalty."""
    label = study.design.donors[j]
    if study.known is None:
        values = study.donor_values[: study.n_pre]
        return scaled(label, values[:, j], np.delete(values, j, axis=1), study.constraints)
    donors = study.known.of(study.design.donors)
    return predictor_fit(label, donors[:, j], np.delete(donors, j, axis=1), importance[0].values, study.constraints)


def _automatic_lams(grid: PenaltyGrid, study: Study) -> Floats:
    """Return values of lam from where the penalty decides all to where it hardly matters."""
    if grid.pairwise:
        return np.asarray(np.geomspace(*PAIRWISE_LAMS, N_LAMS))
    y, donors = study.treated_values[: study.n_pre], study.donor_values[: study.n_pre]
    y, donors = y - y.mean(axis=0), donors - donors.mean(axis=0)
    largest = max(grid.alphas)
    if largest > 0:  # from here on every weight is zero
        top = float(np.abs(donors.T @ y).max()) / study.n_pre / largest
    else:
        top = float(np.linalg.norm(donors, 2)) ** 2 / study.n_pre
    return np.asarray(top * np.geomspace(LEAST_LAM, 1.0, N_LAMS))
