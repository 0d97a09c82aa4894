"""Assignments of least cost by SciPy's shortest augmenting paths, split into connected components, with multipliers.

Each component is solved densely (`linear_sum_assignment`) or sparsely (`min_weight_full_bipartite_matching`). Exactly n
pairs are found with dummy rows and columns, which take the units that stay out; where that matrix would be too large,
the flow simplex of `network_simplex_flow` finds them. SciPy returns no multipliers: shortest paths in the residual
graph give them afterwards, and so prove the answer.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csgraph

from causalopt.algorithms.flow_simplex import FlowSession
from causalopt.modeling.program import Floats, Ints
from causalopt.study.match_graph import connected

#: Cells of a dense matrix beyond which a component is solved sparsely.
MOST_CELLS = 25_000_000

#: Share of cells below which a component of some size is solved sparsely.
DENSE_ENOUGH = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Assignment:
    """A bipartite graph with costs, to be minimised.

    Attributes
    ----------
    n_rows, n_columns : int
    i, j : (m,) int arrays
        Ends of each pair that is allowed, no pair twice.
    cost : (m,) array
    count : int or None
        How many pairs: a number; -1 for every row and column of the smaller side; None for as many as pay.
    """

    n_rows: int
    n_columns: int
    i: Ints
    j: Ints
    cost: Floats
    count: int | None


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """The pairs used (as positions in the graph's list), and which method found them; None where there are too few."""

    used: Ints | None
    method: str


def solve(problem: Assignment) -> Answer:
    """Find the pairs of least total cost.

    Examples
    --------
    >>> import numpy as np
    >>> i, j = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> solve(Assignment(2, 2, i, j, np.array([1.0, 2.0, 0.0, 5.0]), -1)).used
    array([1, 2])
    >>> solve(Assignment(2, 2, i, j, np.array([1.0, 2.0, 0.0, 5.0]), 1)).used
    array([2])
    """
    if problem.count is not None and problem.count >= 0:
        return _exactly(problem)
    used, methods = [], set()
    if problem.count == -1:
        need = min(problem.n_rows, problem.n_columns)
        side = problem.i if problem.n_rows <= problem.n_columns else problem.j
        if len(np.unique(side)) < need:
            return Answer(None, "")
    for members in _components(problem):
        piece = _part(problem, members)
        found, method = _full(piece, problem) if problem.count == -1 else _paying(piece)
        methods.add(method)
        if found is None:
            return Answer(None, method)
        used.append(members[found])
    together = np.sort(np.concatenate(used)) if used else np.zeros(0, dtype=np.int64)
    return Answer(together, " and ".join(sorted(methods)))


def _components(problem: Assignment) -> list[Ints]:
    """Return the positions of the pairs of each connected component."""
    own = connected(problem.i, problem.j, problem.n_rows, problem.n_columns)[problem.i]
    order = np.argsort(own, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(own[order])) + 1) if len(order) else []


def _part(problem: Assignment, members: Ints) -> Assignment:
    rows, i = np.unique(problem.i[members], return_inverse=True)
    columns, j = np.unique(problem.j[members], return_inverse=True)
    return Assignment(len(rows), len(columns), i, j, problem.cost[members], problem.count)


def _is_dense(problem: Assignment) -> bool:
    cells = problem.n_rows * problem.n_columns
    return cells <= 10_000 or (cells <= MOST_CELLS and len(problem.i) >= DENSE_ENOUGH * cells)


def _full(piece: Assignment, whole: Assignment) -> tuple[Ints | None, str]:
    """Use every row of a component (or column, or both), as the smaller side of the whole graph asks."""
    r, c = piece.n_rows, piece.n_columns
    if (whole.n_rows <= whole.n_columns and r > c) or (whole.n_columns <= whole.n_rows and c > r):
        return None, "components"
    if _is_dense(piece):
        return _dense(piece, piece.cost, np.inf), "dense"
    # SciPy drops explicit zeros: all costs are moved by one constant, which every full matching pays equally often.
    shift = 1.0 + float(np.abs(piece.cost).max()) - float(piece.cost.min())
    matrix = sp.csr_matrix((piece.cost + shift, (piece.i, piece.j)), shape=(r, c))
    try:
        rows, columns = csgraph.min_weight_full_bipartite_matching(matrix)
    except ValueError:  # no full matching
        return None, "sparse"
    return _positions(piece, rows, columns), "sparse"


def _paying(piece: Assignment) -> tuple[Ints | None, str]:
    """Use the pairs of negative cost that are worth most together; no pair at all costs nothing."""
    found = _dense(piece, np.minimum(piece.cost, 0.0), 0.0)
    assert found is not None
    return found[piece.cost[found] < 0], "dense"


def _dense(piece: Assignment, cost: Floats, elsewhere: float) -> Ints | None:
    matrix = np.full((piece.n_rows, piece.n_columns), elsewhere)
    matrix[piece.i, piece.j] = cost
    try:
        rows, columns = linear_sum_assignment(matrix)
    except ValueError:  # no full matching
        return None
    return _positions(piece, rows, columns)


def _positions(piece: Assignment, rows: Ints, columns: Ints) -> Ints:
    """Return where the allowed ones of some pairs stand in the list of pairs."""
    key = piece.i * piece.n_columns + piece.j
    order = np.argsort(key, kind="stable")
    wanted = rows.astype(np.int64) * piece.n_columns + columns
    place = np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)
    found = order[place]
    allowed: Ints = found[key[found] == wanted]
    return allowed


def _exactly(problem: Assignment) -> Answer:
    """Use exactly n pairs: R - n dummy columns take the rows that stay out, and C - n dummy rows the columns."""
    n, r, c = problem.count, problem.n_rows, problem.n_columns
    assert n is not None
    if n > min(r, c):
        return Answer(None, "")
    if n == 0:
        return Answer(np.zeros(0, dtype=np.int64), "dense")
    if (r + c - n) ** 2 <= MOST_CELLS and len(problem.i) >= DENSE_ENOUGH * r * c:
        matrix = np.full((r + c - n, r + c - n), np.inf)
        matrix[problem.i, problem.j] = problem.cost
        matrix[:r, c:] = 0.0
        matrix[r:, :c] = 0.0
        try:
            rows, columns = linear_sum_assignment(matrix)
        except ValueError:
            return Answer(None, "dense")
        real = (rows < r) & (columns < c)
        return Answer(np.sort(_positions(problem, rows[real], columns[real])), "dense, dummy units")
    rows, i = np.unique(problem.i, return_inverse=True)
    columns, j = np.unique(problem.j, return_inverse=True)
    ones = np.ones(len(rows), dtype=np.int64), np.ones(len(columns), dtype=np.int64)
    if len(rows) == 0:
        return Answer(None, "flow")
    flow = FlowSession(*ones, i, j).solve(-problem.cost, n)
    return Answer(None if flow.shortfall else np.flatnonzero(flow.x), "flow")


@dataclasses.dataclass(frozen=True, eq=False)
class Potentials:
    """Multipliers of an assignment: what one more unit of each row or column, or one more pair, would add to the cost.

    For every allowed pair, cost >= row + column + count, with equality for the pairs used; zero for units left out.
    """

    row: Floats
    column: Floats
    count: float


def potentials(problem: Assignment, used: Ints) -> Potentials | None:
    """Return multipliers that prove a set of pairs optimal, None where there are none (it is not optimal).

    Shortest paths from everywhere in the residual graph (Bellman and Ford), a whole pass over the pairs at a time.
    """
    paths = _ShortestPaths(problem, used)
    tolerance = 1e-13 * (float(np.abs(problem.cost).max(initial=0.0)) or 1.0)
    for _ in range(2 * (problem.n_rows + problem.n_columns) + 4):
        if paths.shorten() <= tolerance:
            return paths.potentials()
    return None


class _ShortestPaths:
    """Distances in the residual graph, which also has a source of all rows and a sink of all columns."""

    def __init__(self, problem: Assignment, used: Ints) -> None:
        r, c, i, j, cost = problem.n_rows, problem.n_columns, problem.i, problem.j, problem.cost
        by_column = np.argsort(j, kind="stable")
        self.starts = np.flatnonzero(np.diff(np.concatenate([[-1], j[by_column]])))
        self.present = j[by_column][self.starts]
        self.ends, self.cost = i[by_column], cost[by_column]
        self.row, self.column = np.zeros(r), np.zeros(c)
        self.source = self.sink = 0.0
        partner, price = np.full(c, -1), np.zeros(c)
        partner[j[used]], price[j[used]] = i[used], cost[used]
        self.matched, self.free_columns = np.flatnonzero(partner >= 0), partner < 0
        self.partner, self.price = partner[self.matched], price[self.matched]
        self.free_rows = np.ones(r, dtype=bool)
        self.free_rows[i[used]] = False
        self.full_rows, self.full_columns = problem.count == -1 and r <= c, problem.count == -1 and c <= r
        self.is_circulation = problem.count is None

    def shorten(self) -> float:
        """Take every step of the graph once, and return by how much a distance fell at most."""
        row, column = self.row, self.column
        before = row.copy(), column.copy(), self.source, self.sink
        if len(self.ends):
            reach = np.minimum.reduceat(row[self.ends] + self.cost, self.starts)
            column[self.present] = np.minimum(column[self.present], reach)
        row[self.partner] = np.minimum(row[self.partner], column[self.matched] - self.price)
        if not self.full_rows:  # source -> rows left out, rows used -> source
            row[self.free_rows] = np.minimum(row[self.free_rows], self.source)
            self.source = min(self.source, float(row[~self.free_rows].min(initial=np.inf)))
        if not self.full_columns:  # columns left out -> sink, sink -> columns used
            self.sink = min(self.sink, float(column[self.free_columns].min(initial=np.inf)))
            column[self.matched] = np.minimum(column[self.matched], self.sink)
        if self.is_circulation:
            self.source = self.sink = min(self.source, self.sink)
        return max(
            float((before[0] - row).max(initial=0.0)),
            float((before[1] - column).max(initial=0.0)),
            before[2] - self.source,
            before[3] - self.sink,
        )

    def potentials(self) -> Potentials:
        """Return the multipliers: cost >= column - row in distances; of units that may stay out, zero or less."""
        row, column, count = self.source - self.row, self.column - self.sink, self.sink - self.source
        if self.full_rows and self.full_columns:
            return Potentials(-self.row, self.column, 0.0)
        if self.full_rows:
            return Potentials(self.sink - self.row, np.minimum(column, 0.0), 0.0)
        if self.full_columns:
            return Potentials(np.minimum(row, 0.0), self.column - self.source, 0.0)
        return Potentials(np.minimum(row, 0.0), np.minimum(column, 0.0), count)
