"""The model of a balance problem as Pyomo components, and its parts in the form that `dual-newton` takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt import modeling
from causalopt.algorithms.dual_newton import SeparableQP
from causalopt.modeling.program import Floats
from causalopt.problems.balance.data import BalanceStudy
from causalopt.problems.balance.rows import Group, RowBlock, dense_rows


def add_components(block: Any, study: BalanceStudy) -> tuple[dict[str, Any], Any]:
    """Add weights and rows to a Pyomo block; return the arguments of the cost, and its sense."""
    n, blocks = study.n_weights, study.blocks
    block.weights = modeling.ArrayVar(study.lower, study.upper, n=n)
    lower, upper = np.concatenate([b.lower for b in blocks]), np.concatenate([b.upper for b in blocks])
    block.balance = modeling.ArrayConstraint(block.weights, dense_rows(blocks, n), lower, upper)
    base = np.concatenate([np.broadcast_to(g.base, g.size) for g in study.groups])
    if study.norm != "l2":
        add = _mean_deviation if study.norm == "l1" else _largest_deviation
        return add(block, study, base), modeling.pyo.minimize
    spread = np.concatenate([np.broadcast_to(g.spread, g.size) for g in study.groups])
    cost = {
        "x": block.weights,
        "linear": -base / spread,
        "quadratic": 1.0 / spread,
        "constant": 0.5 * float((base * base / spread).sum()),
        "convex": True,
    }
    return cost, modeling.pyo.minimize


def _mean_deviation(block: Any, study: BalanceStudy, base: Floats) -> dict[str, Any]:
    """Add u = base + above - below, for the L1 norm."""
    n = study.n_weights
    identity = sp.eye_array(n, format="csr")
    block.above, block.below = modeling.ArrayVar(0.0, np.inf, n=n), modeling.ArrayVar(0.0, np.inf, n=n)
    parts = [block.weights, block.above, block.below]
    block.deviation = modeling.ArrayConstraint(parts, sp.hstack([identity, -identity, identity]), base, base)
    return {"x": parts, "linear": np.repeat([0.0, 1.0, 1.0], n)}


def _largest_deviation(block: Any, study: BalanceStudy, base: Floats) -> dict[str, Any]:
    """Add |u - base| <= largest, by group, for the Linf norm."""
    n, count = study.n_weights, len(study.groups)
    identity = sp.eye_array(n, format="csr")
    block.largest = modeling.ArrayVar(0.0, np.inf, n=count)
    own = np.concatenate([np.full(g.size, k) for k, g in enumerate(study.groups)])
    mine = sp.csr_array((np.ones(n), (np.arange(n), own)), shape=(n, count))
    parts = [block.weights, block.largest]
    block.above = modeling.ArrayConstraint(parts, sp.hstack([identity, -mine]), -np.inf, base)
    block.below = modeling.ArrayConstraint(parts, sp.hstack([identity, mine]), base, np.inf)
    return {"x": parts, "linear": np.append(np.zeros(n), np.ones(count))}


def separable(study: BalanceStudy) -> list[tuple[slice, SeparableQP]]:
    """Return the independent parts of the problem, by columns, in the form that `dual-newton` takes.

    Groups are apart unless `between` ties them together.
    """
    if study.between is None:
        pairs = zip(study.groups, study.blocks, strict=True)
        return [(slice(g.start, g.stop), _part(study, [b], b.data, [g])) for g, b in pairs]
    data = np.zeros((sum(len(b.data) for b in study.blocks), study.n_weights))
    row = 0
    for block in study.blocks:
        data[row : row + len(block.data), block.start : block.start + block.data.shape[1]] = block.data
        row += len(block.data)
    return [(slice(0, study.n_weights), _part(study, study.blocks, data, study.groups))]


def _part(study: BalanceStudy, blocks: Sequence[RowBlock], data: Floats, groups: Sequence[Group]) -> SeparableQP:
    lower, upper = np.concatenate([b.lower for b in blocks]), np.concatenate([b.upper for b in blocks])

    def together(name: str) -> Floats | float:
        values = [getattr(g, name) for g in groups]
        if all(np.isscalar(v) and v == values[0] for v in values):
            return float(values[0])
        return np.concatenate([np.broadcast_to(v, g.size) for v, g in zip(values, groups, strict=True)])

    return SeparableQP(
        rows=data,
        target=0.5 * (lower + upper),
        tolerance=0.5 * (upper - lower),
        base=together("base"),
        spread=together("spread"),
        lower=study.lower,
        upper=study.upper,
    )
