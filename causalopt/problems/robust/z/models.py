"""The models of the robust Z test: matchings of n pairs, and objectives in S and V.

Differences are divided by the largest of them, so that S = sum d x and V = sum d^2 x are of moderate size; Z does not
depend on the unit. Interchangeable units are merged: columns are whole numbers of pairs.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt import modeling
from causalopt.errors import OptionError
from causalopt.messages import argument
from causalopt.modeling.program import Floats
from causalopt.problems.robust.z.paths.network import PairNetwork

#: The arguments of a cost, and the sense of the objective.
Goal = tuple[dict[str, Any], Any]


@dataclasses.dataclass(frozen=True)
class Window:
    """The values of S that a program allows, and the units in which it sees them.

    Centre, width and unit make small differences large enough for a solver's tolerances: S is centre + width * total,
    with the total in a column of its own, and the cost is divided by the unit.
    """

    lower: float = -np.inf
    upper: float = np.inf
    centre: float = 0.0
    width: float = 1.0
    unit: float = 1.0


ANY, POSITIVE, NEGATIVE, ZERO = Window(), Window(lower=0.0), Window(upper=0.0), Window(lower=0.0, upper=0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Matchings:
    """The matchings of n pairs of a network, and its differences with the sign of a side."""

    network: PairNetwork
    n: int
    sign: int

    @cached_property
    def delta(self) -> Floats:
        """Differences, with the side's sign, in units of the largest."""
        scale = float(np.abs(self.network.delta).max(initial=0.0)) or 1.0
        delta: Floats = self.sign * self.network.delta / scale
        return delta

    def model(self, formulation: str, parameters: Mapping[str, Any]) -> Any:
        """Return a program of a formulation as a Pyomo model."""
        model = modeling.pyo.ConcreteModel()
        cost, sense = self.program(model, formulation, parameters)
        model.objective = modeling.ArrayObjective(**cost, sense=sense)
        return model

    def program(self, block: Any, formulation: str, parameters: Mapping[str, Any]) -> Goal:
        """Add the variables and rows of a program to a block; return its cost and sense.

        Raises
        ------
        OptionError
            For parameters that the formulation does not have.
        """
        makers: dict[str, Callable[..., Goal]] = {
            "fractional": self._fractional,
            "qip": self._qip,
            "feasibility": self._feasibility,
            "ilp-grid": self._grid,
        }
        maker = makers[formulation]
        known = [name for name in inspect.signature(maker).parameters if name != "block"]
        for name in parameters:
            if name not in known:
                raise OptionError(
                    f"The formulation {formulation!r} has no parameter like that: {name!r}; it has {', '.join(known)}."
                )
        return maker(block, **parameters)

    def _fractional(
        self,
        block: Any,
        *,
        weights: tuple[float, float] | None = None,
        ratio: float | None = None,
        window: Window = ANY,
    ) -> Goal:
        if weights is None:
            return self._squared(block, 1.0 if ratio is None else ratio, window), modeling.pyo.minimize
        (alpha, beta), delta = weights, self.delta  # over continuous pairs: the vertices are whole numbers
        cost = {"x": self._add(block, integer=False), "linear": alpha * delta - beta * delta * delta}
        return cost, modeling.pyo.maximize

    def _qip(self, block: Any, *, case: int = 1) -> Goal:
        if case not in (1, 2, 3):
            raise OptionError(f"{argument('case')} is {case!r}; [ROBZ] has the cases 1, 2 and 3.")
        cost = self._squared(block, 1.0, {1: POSITIVE, 2: NEGATIVE, 3: ZERO}[case])
        return cost if case == 1 else _opposite(cost), modeling.pyo.maximize

    def _feasibility(self, block: Any, *, gamma: float = 1.0) -> Goal:
        factor = self.n * gamma**2 / (self.n + gamma**2)
        cost = self._squared(block, factor, POSITIVE if gamma >= 0 else NEGATIVE)
        return cost if gamma >= 0 else _opposite(cost), modeling.pyo.maximize

    def _grid(self, block: Any, *, limit: float = np.inf, above: bool = False) -> Goal:
        pairs, delta = self._add(block, integer=True), self.delta
        low, high = (limit, np.inf) if above else (-np.inf, limit)
        block.spread = modeling.ArrayConstraint(pairs, sp.csr_matrix((delta * delta)[None, :]), low, high)
        return {"x": pairs, "linear": delta}, modeling.pyo.maximize

    def _add(self, block: Any, *, integer: bool) -> Any:
        """Add `pairs` (how many of each kind), `usage` (each unit at most once) and `count` (exactly n) to a block."""
        network = self.network
        usage = np.concatenate([network.supply, network.capacity]).astype(float)
        block.pairs = modeling.ArrayVar(0.0, network.limit.astype(float), integer=integer)
        block.usage = modeling.ArrayConstraint(block.pairs, network.matrix[:-1], upper=usage)
        block.count = modeling.ArrayConstraint(block.pairs, network.matrix[-1:], float(self.n), float(self.n))
        return block.pairs

    def _squared(self, block: Any, factor: float, window: Window) -> dict[str, Any]:
        """Return the cost  (S^2 - factor V) / unit."""
        pairs, delta = self._add(block, integer=True), self.delta
        centre, width, unit = window.centre, window.width, window.unit
        block.total = modeling.ArrayVar((window.lower - centre) / width, (window.upper - centre) / width, n=1)
        row = sp.csr_matrix(np.append(delta, -width)[None, :])
        block.sum = modeling.ArrayConstraint((pairs, block.total), row, centre, centre)
        quadratic = np.zeros(len(delta) + 1)
        quadratic[-1] = 2.0 * width * width / unit
        return {
            "x": (pairs, block.total),
            "linear": np.append(-factor * delta * delta, 2.0 * centre * width) / unit,
            "quadratic": quadratic,
            "constant": centre * centre / unit,
        }


def _opposite(cost: dict[str, Any]) -> dict[str, Any]:
    """Return the negative of a cost."""
    return cost | {name: -cost[name] for name in ("linear", "quadratic", "constant")}
