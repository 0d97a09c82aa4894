"""Branch and bound on one-hot choices, with every bound proven by multipliers (see `causalopt.verifying.tree`)."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable
from itertools import count
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from causalopt.modeling.program import Floats, Ints, Program
from causalopt.verifying.claims import Solution
from causalopt.verifying.tree import BranchProof, ProofNode, bound_box, fix_by_cost, halves, separable_costs

#: Nodes after which the tree is left as it is.
MOST_NODES = 50_000


@dataclasses.dataclass(eq=False)
class _Node:
    """A node under construction: its multipliers so far, and once it is split, its children."""

    lower: Floats
    upper: Floats
    multipliers: list[Floats]
    bound: float
    x: Floats | None = None
    row: int = -1
    columns: Ints | None = None
    children: list[_Node] = dataclasses.field(default_factory=list)

    def frozen(self) -> ProofNode:
        """Return the node for the proof."""
        if self.columns is None:
            return ProofNode(tuple(self.multipliers))
        return ProofNode(
            tuple(self.multipliers), self.row, self.columns, tuple(child.frozen() for child in self.children)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class OneHot:
    """The one-hot rows of a program, for branching.

    Attributes
    ----------
    unit : (k,) int array
        Row of each of the program's first k columns.
    value : (k,) array
        A number for each of these columns: rows are split where their mean lies.
    importance : (n,) array
        By row, what the variance of these numbers within the row costs the relaxation.
    """

    unit: Ints
    value: Floats
    importance: Floats


def branch_and_bound(
    program: Program,
    relax: Callable[[Program], Solution | None],
    one_hot: OneHot,
    incumbent: Floats,
    improve: Callable[[Floats], Floats],
    *,
    gap: float,
    time_limit: float,
) -> tuple[Floats, BranchProof, int]:
    """Close the gap between an incumbent and the bound of a program with a separable convex objective.

    Parameters
    ----------
    program : Program
    relax : callable
        Solves a continuous program; its multipliers (minimising sense) are checked, whatever they are.
    one_hot : OneHot
    incumbent : (n,) array
    improve : callable
        Makes a feasible point from a relaxation's solution.
    gap : float
        Absolute gap at which to stop.
    time_limit : float
        Seconds.

    Returns
    -------
    x : (n,) array
        The best point known.
    proof : BranchProof
    nodes : int
    """
    began = perf_counter()
    costs, minimising = _minimisation(program)
    sign = -1.0 if program.maximize else 1.0
    best, value = incumbent, sign * (program.objective(incumbent) - program.constant)
    root = _Node(program.lower, program.upper, [], -np.inf)
    tie = count()
    heap: list[tuple[float, int, _Node]] = []
    nodes = 0

    def visit(node: _Node) -> None:
        nonlocal best, value
        _solve_node(minimising, costs, node, relax, value - gap)
        if node.x is not None:
            candidate = improve(node.x)
            reached = sign * (program.objective(candidate) - program.constant)
            if reached < value:
                best, value = candidate, reached
        if node.bound < value - gap and node.x is not None and _choose_split(minimising, node, one_hot):
            heapq.heappush(heap, (node.bound, next(tie), node))

    visit(root)
    while heap and nodes < MOST_NODES and perf_counter() - began < time_limit:
        bound, _, node = heapq.heappop(heap)
        if bound < value - gap:
            nodes += 1
            for child in _split(program, node):
                visit(child)
    for _, _, node in heap:  # not split after all
        node.columns = None
    return best, BranchProof(value - gap, root.frozen()), nodes


def _split(program: Program, node: _Node) -> list[_Node]:
    """Return a node's two children."""
    assert node.columns is not None
    for zero in halves(program, node.row, node.columns):
        upper = node.upper.copy()
        upper[zero] = 0.0
        node.children.append(_Node(node.lower, upper, [node.multipliers[-1]], node.bound))
    return node.children


def _minimisation(program: Program) -> tuple[tuple[Floats, Floats], Program]:
    """Return the separable costs of a program, minimising, and the program with these."""
    costs = separable_costs(program)
    assert costs is not None
    linear, curvature = costs
    matrix = None
    if curvature.any():
        matrix = sp.diags_array(curvature, format="csc")
        matrix.eliminate_zeros()
    return costs, program.replace(c=linear, Q=matrix, constant=0.0, maximize=False, convex=True)


def _solve_node(
    program: Program,
    costs: tuple[Floats, Floats],
    node: _Node,
    relax: Callable[[Program], Solution | None],
    cutoff: float,
) -> None:
    """Bound a node by its relaxation, fix columns by their reduced costs, and once more where that fixed many."""
    for y in node.multipliers:
        _use(program, costs, node, y, cutoff)
    for _ in range(3):
        if node.bound >= cutoff:
            node.x = None
            return
        open_before = int((node.upper > node.lower).sum())
        solution = _relax_box(program, node, relax)
        if solution is None or solution.row_dual is None:
            node.x = None
            empty = _infeasibility(program, costs, node, cutoff)
            if empty is not None:
                node.multipliers.append(empty)
                _use(program, costs, node, empty, cutoff)
            return
        node.multipliers.append(solution.row_dual)
        _use(program, costs, node, solution.row_dual, cutoff)
        node.x = solution.x
        if (node.upper > node.lower).sum() > 0.7 * open_before:
            return


def _use(program: Program, costs: tuple[Floats, Floats], node: _Node, y: Floats, cutoff: float) -> None:
    bound, reduced = bound_box(program, costs, y, node.lower, node.upper)
    node.bound = max(node.bound, bound)
    if bound < cutoff:
        node.lower, node.upper = fix_by_cost(program, bound, reduced, cutoff, node.lower, node.upper)


def _relax_box(program: Program, node: _Node, relax: Callable[[Program], Solution | None]) -> Solution | None:
    """Solve the relaxation over a node's box, without the columns that are zero in it."""
    kept = (node.upper != 0) | (node.lower != 0)
    matrix = program.A[:, kept]
    empty = np.diff(matrix.indptr) == 0
    if (empty & ((program.row_lower > 1e-9) | (program.row_upper < -1e-9))).any():
        return None
    rows = ~empty
    small = Program(
        c=program.c[kept],
        A=matrix[rows],
        row_lower=program.row_lower[rows],
        row_upper=program.row_upper[rows],
        lower=node.lower[kept],
        upper=node.upper[kept],
        integer=np.zeros(int(kept.sum()), dtype=bool),
        Q=None if program.Q is None else program.Q[kept][:, kept].tocsc(),
        convex=True,
    )
    answer = relax(small)
    if answer is None or answer.x is None or answer.row_dual is None or not np.isfinite(answer.x).all():
        return None
    x = np.zeros(program.n_columns)
    x[kept] = answer.x
    dual = np.zeros(program.n_rows)
    dual[rows] = answer.row_dual
    return answer.replace(x=x, row_dual=dual)


def _infeasibility(program: Program, costs: tuple[Floats, Floats], node: _Node, cutoff: float) -> Floats | None:
    """Return multipliers that take the bound of an empty box past the cutoff, or None where it is not empty."""
    m = program.n_rows
    n = program.n_columns
    finite_low, finite_high = np.isfinite(program.row_lower), np.isfinite(program.row_upper)
    both = sp.vstack([-program.A[finite_low], program.A[finite_high]], format="csr")
    side = np.concatenate([-program.row_lower[finite_low], program.row_upper[finite_high]])
    answer = linprog(
        np.append(np.zeros(n), np.ones(len(side))),
        A_ub=sp.hstack([both, -sp.eye(len(side))], format="csr"),
        b_ub=side,
        bounds=np.column_stack(
            [np.append(node.lower, np.zeros(len(side))), np.append(node.upper, np.full(len(side), np.inf))]
        ),
        method="highs",
    )
    if answer.status != 0 or answer.fun <= 1e-7:
        return None
    y = np.zeros(m)
    y[finite_low] -= answer.ineqlin.marginals[: finite_low.sum()]
    y[finite_high] += answer.ineqlin.marginals[finite_low.sum() :]
    base = node.multipliers[-1] if node.multipliers else np.zeros(m)
    for power in range(0, 13):
        trial = base + y * 10.0**power * max(1.0, float(np.abs(program.c).max())) / float(answer.fun)
        if bound_box(program, costs, trial, node.lower, node.upper)[0] >= cutoff:
            return np.asarray(trial)
    return None


def _choose_split(program: Program, node: _Node, one_hot: OneHot) -> bool:
    """Choose the row whose numbers vary most, at its mean; False where all choices are made."""
    assert node.x is not None
    k, n = len(one_hot.unit), len(one_hot.importance)
    x = np.clip(node.x[:k], 0.0, 1.0)
    mass = np.maximum(np.bincount(one_hot.unit, weights=x, minlength=n), 1e-12)
    mean = np.bincount(one_hot.unit, weights=x * one_hot.value, minlength=n) / mass
    spread = np.bincount(one_hot.unit, weights=x * (one_hot.value - mean[one_hot.unit]) ** 2, minlength=n)
    score = spread * one_hot.importance
    for row in np.argsort(-score):
        members = np.flatnonzero((one_hot.unit == row) & (node.upper[:k] > 0))
        below = one_hot.value[members] <= mean[row]
        if below.any() and not below.all():
            whole = np.flatnonzero(one_hot.unit == row)
            node.row, node.columns = int(row), whole[one_hot.value[whole] <= mean[row]]
            return True
    return False
