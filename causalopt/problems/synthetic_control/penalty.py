"""Reading the penalty of a synthetic control, or those to choose from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, OptionError
from causalopt.messages import argument, in_python
from causalopt.problems.synthetic_control.fit import Constraints, Penalty, check_penalty_number
from causalopt.solving.options import unknown_name

#: The shares of |w|_1 that are tried unless alpha is given.
ALPHAS = (0.1, 0.5, 0.9)

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
        none = in_python("None", "leave it out")
        raise DataError(f"{argument(name)} is empty: give at least one value, or {none} to have a range tried.")
    return tuple(sorted(set(values)))


def read_penalty(kind: str, constraints: Constraints, lam: Any, alpha: Any, l2: str) -> PenaltyGrid | None:
    """Return the grid of penalties that the arguments ask for, or None where there is no penalty.

    Raises
    ------
    OptionError
        Where the kind of weights has no such penalty.
    """
    if l2 not in L2_FORMS:
        raise OptionError(unknown_name(f"form of the L2 norm ({argument('l2', assigned=True)})", str(l2), L2_FORMS))
    weights, given = argument("weights", kind), argument("lam", assigned=True)
    plain = kind in ("simplex", "did") or (kind == "custom" and lam is None)
    if plain and (lam is not None or alpha is not None):
        raise OptionError(
            f"{weights} has no penalty, so {given} and {argument('alpha', assigned=True)} mean nothing. Use "
            f"'elastic-net', 'ridge' or 'penalized', or a mapping of constraints with {given}."
        )
    if kind in ("ridge", "penalized") and alpha is not None:
        raise OptionError(f"{weights} has no alpha; its penalty has lam alone.")
    if l2 != "squared" and (plain or kind == "penalized"):
        raise OptionError(f"{weights} has no L2 norm in a penalty, so {argument('l2', l2)} means nothing.")
    if plain:
        return None
    if constraints.fixed:
        raise OptionError(f"Equal weights that sum to one are fixed: a penalty ({given}) would change nothing.")
    alphas = (0.0,) if kind in ("ridge", "penalized") else ALPHAS if alpha is None else _numbers("alpha", alpha, 1.0)
    return PenaltyGrid(None if lam is None else _numbers("lam", lam), alphas, l2, kind == "penalized")
