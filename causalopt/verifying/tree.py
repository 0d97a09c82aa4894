"""Bounds proven by branching: a tree of multipliers that anybody can recompute.

Each node of the tree stands for a box of the columns. Its multipliers give, by weak duality, a bound on the objective
over the box and reduced costs; a 0/1 column whose other value would push that bound past the cutoff is fixed. A node
either ends there or splits on a one-hot row,  sum_{j in R} x_j = 1,  into  x_S = 0  and  x_{R - S} = 0.  Every solution
is then no better than the cutoff or in the box of a leaf, so that the weaker of the cutoff and the leaves' bounds holds
for the program: whatever the multipliers are, the bound is valid.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from causalopt.modeling.program import Floats, Ints, Program
from causalopt.verifying.certificate import feasible_multipliers


@dataclasses.dataclass(frozen=True, eq=False)
class ProofNode:
    """A box of the columns: multipliers that bound it, and how it is split.

    Attributes
    ----------
    multipliers : tuple of (m,) arrays
        In the minimising sense; each is used in turn to bound the box and to fix columns.
    row : int
        The one-hot row that is split, or -1 for a leaf.
    columns : int array
        S: columns of that row which are zero in the first child; the row's others are zero in the second.
    children : tuple of two nodes, or empty
    """

    multipliers: tuple[Floats, ...]
    row: int = -1
    columns: Ints = dataclasses.field(default_factory=lambda: np.empty(0, dtype=np.int64))
    children: tuple[ProofNode, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class BranchProof:
    """A bound by branching.

    Attributes
    ----------
    cutoff : float
        In the minimising sense, without the program's constant: solutions no better than it are left out.
    root : ProofNode
    """

    cutoff: float
    root: ProofNode


def separable_costs(program: Program) -> tuple[Floats, Floats] | None:
    """Return linear and diagonal quadratic costs of the minimising form, or None where Q is not separable or convex."""
    sign = -1.0 if program.maximize else 1.0
    curvature = np.zeros(program.n_columns)
    if program.Q is not None:
        curvature = sign * program.Q.diagonal()
        if program.Q.nnz != np.count_nonzero(curvature) or curvature.min() < 0:
            return None
    return sign * program.c, curvature


def bound_box(
    program: Program, costs: tuple[Floats, Floats], y: Floats, lower: Floats, upper: Floats
) -> tuple[float, Floats]:
    """Return the bound that multipliers prove over a box, without the constant, and the reduced costs.

    min over the box of  c'x + x'diag(q)x/2 - y'(Ax)  plus the rows' sides, all in the minimising sense.
    """
    c, curvature = costs
    y = feasible_multipliers(program, y)
    sides = np.where(y > 0, program.row_lower, np.where(y < 0, program.row_upper, 0.0))
    reduced = c - program.transposed_product(y)
    at = np.where(reduced > 0, lower, upper)
    curved = curvature > 0
    at[curved] = np.clip(-reduced[curved] / curvature[curved], lower[curved], upper[curved])
    at[(reduced == 0) & ~curved] = 0.0
    if not np.isfinite(at).all():
        return -np.inf, reduced
    return float(y @ sides + reduced @ at + 0.5 * curvature @ (at * at)), reduced


def fix_by_cost(
    program: Program, bound: float, reduced: Floats, cutoff: float, lower: Floats, upper: Floats
) -> tuple[Floats, Floats]:
    """Return the box without the 0/1 columns' values whose reduced cost takes the bound to the cutoff."""
    free = program.integer & (lower == 0) & (upper == 1)
    room = cutoff - bound
    return np.where(free & (-reduced >= room), 1.0, lower), np.where(free & (reduced >= room), 0.0, upper)


def halves(program: Program, row: int, columns: Ints) -> tuple[Ints, Ints]:
    """Return S and R - S for a split of a one-hot row, or raise `ValueError` where the row is not one."""
    span = slice(program.A.indptr[row], program.A.indptr[row + 1])
    members = program.A.indices[span]
    one_hot = (
        (program.A.data[span] == 1).all()
        and program.row_lower[row] == program.row_upper[row] == 1
        and program.integer[members].all()
        and (program.lower[members] >= 0).all()
        and np.isin(columns, members).all()
    )
    if not one_hot:
        raise ValueError(f"row {row} is not one-hot, or does not hold the columns that it is split by")
    return np.asarray(columns), np.setdiff1d(members, columns)


def proven_bound(program: Program, proof: BranchProof) -> float:
    """Return the bound that a tree proves, in the program's own sense; infinitely weak where the tree is unusable."""
    sign = -1.0 if program.maximize else 1.0
    costs = separable_costs(program)
    if costs is None:
        return -sign * np.inf
    worst = proof.cutoff
    stack = [(proof.root, program.lower, program.upper)]
    while stack:
        node, lower, upper = stack.pop()
        best = -np.inf
        for y in node.multipliers:
            if y.shape != (program.n_rows,) or not np.isfinite(y).all():
                return -sign * np.inf
            bound, reduced = bound_box(program, costs, y, lower, upper)
            best = max(best, bound)
            if bound >= proof.cutoff:
                break
            lower, upper = fix_by_cost(program, bound, reduced, proof.cutoff, lower, upper)
        if best >= proof.cutoff:
            continue
        if not node.children:
            worst = min(worst, best)
            continue
        if len(node.children) != 2:  # half a split is no split
            return -sign * np.inf
        try:
            parts = halves(program, node.row, node.columns)
        except ValueError:
            return -sign * np.inf
        for child, zero in zip(node.children, parts, strict=True):
            smaller = upper.copy()
            smaller[zero] = 0.0
            stack.append((child, lower, smaller))
    return sign * worst + program.constant
