"""The models of the robust Z test: matchings of n pairs, and objectives in S and V.

Differences are divided by the largest of them, so that S = sum d x and V = sum d^2 x are of moderate size; Z does not
depend on the unit. Interchangeable units are merged: columns are whole numbers of pairs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.modeling.program import Floats
from causalopt.problems.robust.z.paths.network import PairNetwork


@dataclasses.dataclass(frozen=True, eq=False)
class Matchings:
    """The matchings of n pairs of a network, and its differences with the sign of a side."""

    network: PairNetwork
    n: int
    sign: int

    @property
    def delta(self) -> Floats:
        """Differences, with the side's sign, in units of the largest."""
        scale = float(np.abs(self.network.delta).max(initial=0.0)) or 1.0
        delta: Floats = self.sign * self.network.delta / scale
        return delta

    def add(self, block: Any, *, integer: bool) -> Any:
        """Add `pairs` (how many of each kind), `usage` (each unit at most once) and `count` (exactly n) to a block."""
        from causalopt.modeling.components import ArrayConstraint, ArrayVar

        network = self.network
        rows = network.matrix
        usage = np.concatenate([network.supply, network.capacity]).astype(float)
        block.pairs = ArrayVar(0.0, network.limit.astype(float), integer=integer)
        block.usage = ArrayConstraint(block.pairs, rows[:-1], upper=usage)
        block.count = ArrayConstraint(block.pairs, rows[-1:], float(self.n), float(self.n))
        return block.pairs

    def weighted(self, block: Any, alpha: float, beta: float) -> dict[str, Any]:
        """Return the cost  alpha S - beta V, over continuous pairs: the vertices are whole numbers."""
        delta = self.delta
        return {"x": self.add(block, integer=False), "linear": alpha * delta - beta * delta * delta}

    def squared(
        self,
        block: Any,
        factor: float,
        *,
        lower: float = -np.inf,
        upper: float = np.inf,
        centre: float = 0.0,
        width: float = 1.0,
        unit: float = 1.0,
    ) -> dict[str, Any]:
        """Return the cost  (S^2 - factor V) / unit, with S = centre + width * total in a column of its own.

        Centre, width and unit make small differences large enough for a solver's tolerances.
        """
        from causalopt.modeling.components import ArrayConstraint, ArrayVar

        pairs = self.add(block, integer=True)
        delta = self.delta
        m = len(delta)
        block.total = ArrayVar((lower - centre) / width, (upper - centre) / width, n=1)
        row = sp.csr_matrix(np.append(delta, -width)[None, :])
        block.sum = ArrayConstraint((pairs, block.total), row, centre, centre)
        quadratic = np.zeros(m + 1)
        quadratic[-1] = 2.0 * width * width / unit
        linear = np.append(-factor * delta * delta, 2.0 * centre * width) / unit
        return {
            "x": (pairs, block.total),
            "linear": linear,
            "quadratic": quadratic,
            "constant": centre * centre / unit,
        }

    def limited(self, block: Any, limit: float, *, above: bool) -> dict[str, Any]:
        """Return the cost S over matchings with V at most (or at least) a limit."""
        from causalopt.modeling.components import ArrayConstraint

        pairs = self.add(block, integer=True)
        delta = self.delta
        row = sp.csr_matrix((delta * delta)[None, :])
        low, high = (limit, np.inf) if above else (-np.inf, limit)
        block.spread = ArrayConstraint(pairs, row, low, high)
        return {"x": pairs, "linear": delta}


def opposite(cost: dict[str, Any]) -> dict[str, Any]:
    """Return the negative of a cost."""
    negated = cost | {"linear": -np.asarray(cost["linear"]), "constant": -cost.get("constant", 0.0)}
    if cost.get("quadratic") is not None:
        negated["quadratic"] = -np.asarray(cost["quadratic"])
    return negated
