"""The penalty of a synthetic control: reading it, and choosing it by donors in the part of the treated unit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, OptionError
from causalopt.modeling.program import Floats
from causalopt.problems.synthetic_control.data import label_index
from causalopt.problems.synthetic_control.fit import (
    Constraints,
    Fit,
    Penalty,
    check_penalty_number,
    penalised,
    scaled,
)
from causalopt.problems.synthetic_control.predictors import predictor_fit
from causalopt.solving.options import unknown_name

if TYPE_CHECKING:
    from causalopt.problems.synthetic_control.problem import SyntheticControlProblem

#: The shares of |w|_1 that are tried unless alpha is given.
ALPHAS = (0.1, 0.5, 0.9)

#: How many values of lam are tried unless some are given.
N_LAMS = 20

#: The least of them beside the largest.
LEAST_LAM = 1e-6

#: The range of lam for the pairwise penalty, which needs no units.
PAIRWISE_LAMS = (1e-4, 10.0)

L2_FORMS = ("squared", "unsquared")


@dataclasses.dataclass(frozen=True)
class PenaltyGrid:
    """The penalties to choose from.

    Attributes
    ----------
    lams : tuple of float, or None
        None stands for a range that fits the data.
    alphas : tuple of float
    l2 : str
    pairwise : bool
    """

    lams: tuple[float, ...] | None
    alphas: tuple[float, ...]
    l2: str
    pairwise: bool

    @property
    def is_choice(self) -> bool:
        """Whether there is more than one."""
        return self.lams is None or len(self.lams) * len(self.alphas) > 1

    @property
    def only(self) -> Penalty:
        """The penalty where there is one."""
        assert self.lams is not None
        return Penalty(self.lams[0], self.alphas[0], self.l2, self.pairwise)


def _numbers(name: str, given: Any, upper: float = np.inf) -> tuple[float, ...]:
    if isinstance(given, str | bytes) or not isinstance(given, Sequence | np.ndarray | pd.Series):
        given = [given]
    values = [check_penalty_number(name, value, upper) for value in given]
    if not values:
        raise DataError(f"{name} is empty: give at least one value, or None to have a range tried.")
    return tuple(sorted(set(values)))


def read_penalty(kind: str, constraints: Constraints, lam: Any, alpha: Any, l2: str) -> PenaltyGrid | None:
    """Return the grid of penalties that the arguments ask for, or None where there is no penalty.

    Raises
    ------
    OptionError
        Where the kind of weights has no such penalty.
    """
    if l2 not in L2_FORMS:
        raise OptionError(unknown_name("form of the L2 norm (l2=)", str(l2), L2_FORMS))
    plain = kind in ("simplex", "did") or (kind == "custom" and lam is None)
    if plain and (lam is not None or alpha is not None):
        raise OptionError(
            f"weights={kind!r} has no penalty, so lam= and alpha= mean nothing. Use 'elastic-net', 'ridge' or "
            "'penalized', or a mapping of constraints with lam=."
        )
    if kind in ("ridge", "penalized") and alpha is not None:
        raise OptionError(f"weights={kind!r} has no alpha; its penalty has lam alone.")
    if l2 != "squared" and (plain or kind == "penalized"):
        raise OptionError(f"weights={kind!r} has no L2 norm in a penalty, so l2={l2!r} means nothing.")
    if plain:
        return None
    if constraints.fixed:
        raise OptionError("Equal weights that sum to one are fixed: a penalty (lam=) would change nothing.")
    alphas = (0.0,) if kind in ("ridge", "penalized") else ALPHAS if alpha is None else _numbers("alpha", alpha, 1.0)
    return PenaltyGrid(None if lam is None else _numbers("lam", lam), alphas, l2, kind == "penalized")


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


def choose_penalty(grid: PenaltyGrid, problem: SyntheticControlProblem) -> PenaltyChoice:
    """Choose the penalty by the squared error after the treatment time of each donor, predicted from the others.

    The treated units take no part but for the range of lam. All lam of one donor and alpha are solved from the largest
    down, each from the weights of the one before.
    """
    if len(problem.donors) < 2:
        raise DataError(
            "Choosing lam takes at least two donors, of which each is predicted from the others: give lam=."
        )
    if isinstance(problem._arguments["v"], str):
        raise OptionError("lam cannot be chosen while v= is searched: give lam=, or v= as numbers.")
    lams = np.array(_automatic_lams(grid, problem) if grid.lams is None else grid.lams)
    errors = np.empty((len(grid.alphas), len(lams), len(problem.donors)))
    n_pre = problem.design.n_pre
    values = problem.donor_values
    for j in range(len(problem.donors)):
        others = np.delete(values[n_pre:], j, axis=1)
        fit = _pseudo_fit(problem, j)
        for a, alpha in enumerate(grid.alphas):
            start = None
            for k in range(len(lams) - 1, -1, -1):
                own = penalised(fit, Penalty(lams[k], alpha, grid.l2, grid.pairwise))
                point = own.minimise(start=start)
                start = point.weights
                gap = values[n_pre:, j] - own.intercept(start, point.intercept) - others @ start
                errors[a, k, j] = float(gap @ gap) / len(gap)
    mean = errors.mean(axis=2)
    best = np.argwhere(mean <= mean.min() * (1 + 1e-12))
    a, k = best[np.argmax(best[:, 1])]
    penalty = Penalty(float(lams[k]), float(grid.alphas[a]), grid.l2, grid.pairwise)
    return PenaltyChoice(penalty, lams, np.array(grid.alphas), errors, problem.donors)


def _pseudo_fit(problem: SyntheticControlProblem, j: int) -> Fit:
    """Return the fit of donor j by the other donors, without penalty."""
    label = problem.donors[j]
    if problem.predictors is None:
        values = problem.donor_values[: problem.design.n_pre]
        return scaled(label, values[:, j], np.delete(values, j, axis=1), problem.constraints)
    donors = problem.predictors.of(problem.donors)
    v = problem.importance[0].values
    return predictor_fit(label, donors[:, j], np.delete(donors, j, axis=1), v, problem.constraints)


def _automatic_lams(grid: PenaltyGrid, problem: SyntheticControlProblem) -> Floats:
    """Return values of lam from where the penalty decides all to where it hardly matters."""
    if grid.pairwise:
        return np.asarray(np.geomspace(*PAIRWISE_LAMS, N_LAMS))
    n_pre = problem.design.n_pre
    y, donors = problem.treated_values[:n_pre], problem.donor_values[:n_pre]
    y, donors = y - y.mean(axis=0), donors - donors.mean(axis=0)
    largest = max(grid.alphas)
    if largest > 0:  # from here on every weight is zero
        top = float(np.abs(donors.T @ y).max()) / n_pre / largest
    else:
        top = float(np.linalg.norm(donors, 2)) ** 2 / n_pre
    return np.asarray(top * np.geomspace(LEAST_LAM, 1.0, N_LAMS))
