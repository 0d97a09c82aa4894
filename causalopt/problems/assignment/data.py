"""Reading the costs of an assignment: a matrix, or pairs with labels."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Floats
from causalopt.study.labels import refuse_other_labels, row_labels
from causalopt.study.match_graph import MatchGraph
from causalopt.study.reading import refuse_rows

Names = tuple[str, str]

#: How many pairs, in words.
CARDINALITIES = ("full", "largest", "any")


@dataclasses.dataclass(frozen=True, eq=False)
class AssignmentStudy:
    """The pairs allowed, what they cost, and how many are to be formed.

    Attributes
    ----------
    graph : MatchGraph
        Its treated are the rows, its controls the columns.
    cost : (m,) array
        Of its pairs.
    names : pair of str
        What rows and columns are called.
    maximize : bool
    cardinality : int, "full", "largest" or "any"
    """

    graph: MatchGraph
    cost: Floats
    names: Names
    maximize: bool
    cardinality: int | str

    @property
    def n_rows(self) -> int:
        """Number of rows of the cost matrix."""
        return len(self.graph.treated)

    @property
    def n_columns(self) -> int:
        """Number of its columns."""
        return len(self.graph.control)

    @property
    def n_pairs(self) -> int | None:
        """How many pairs are to be formed, None for as many as pay."""
        if self.cardinality == "any":
            return None
        if self.cardinality == "full":
            return min(self.n_rows, self.n_columns)
        return self.graph.largest if self.cardinality == "largest" else int(self.cardinality)

    @property
    def is_counted(self) -> bool:
        """Whether the number of pairs is a row of its own."""
        return self.cardinality not in ("full", "any")

    def rows(self) -> tuple[Any, Floats, Floats]:
        """Return the matrix of the constraints, and their bounds."""
        graph, m, r, c = self.graph, self.graph.n_pairs, self.n_rows, self.n_columns
        ends = [graph.i, r + graph.j]
        lower, upper = np.full(r + c, -np.inf), np.ones(r + c)
        if self.cardinality == "full":  # the smaller side is used up
            if r <= c:
                lower[:r] = 1.0
            if c <= r:
                lower[r:] = 1.0
        if self.is_counted:
            ends.append(np.full(m, r + c))
            n = float(self.n_pairs or 0)
            lower, upper = np.append(lower, n), np.append(upper, n)
        columns = np.tile(np.arange(m), len(ends))
        matrix = sp.csr_matrix((np.ones(len(columns)), (np.concatenate(ends), columns)), shape=(len(lower), m))
        return matrix, lower, upper


def read_study(cost: Any, pairs: Any, cardinality: int | str | None, maximize: bool) -> AssignmentStudy:
    """Return the study of what `AssignmentProblem` was given, or raise its errors."""
    graph, values, names = read_costs(cost, pairs, maximize)
    number = "full" if cardinality is None else cardinality
    whole = isinstance(number, numbers.Integral) and not isinstance(number, bool)
    if not whole and not (isinstance(number, str) and number in CARDINALITIES):
        raise DataError(
            f"{argument('cardinality')} is {cardinality!r}; it must be a whole number, 'full', 'largest' or 'any'."
        )
    if whole and int(number) < 0:
        raise DataError(f"{argument('cardinality')} is {cardinality}; a number of pairs cannot be negative.")
    return AssignmentStudy(graph, values, names, bool(maximize), number)


def read_costs(cost: Any, pairs: Any, maximize: bool) -> tuple[MatchGraph, Floats, Names]:
    """Return the pairs allowed, their costs in the same order, and what rows and columns are called.

    Raises
    ------
    DataError
        Naming the cell, row or column at fault.
    """
    if isinstance(cost, pd.DataFrame) and len(cost.columns) == 3 and "cost" in cost.columns:
        if pairs is not None:
            raise DataError(
                f"The costs are a DataFrame of pairs already: leave {argument('pairs', assigned=True)} out."
            )
        row, column = (str(name) for name in cost.columns if name != "cost")
        table = cost.rename(columns={row: "treated", column: "control"})
        return _by_label(table, cost["cost"], (row, column))
    if isinstance(cost, pd.Series) or (not sp.issparse(cost) and np.ndim(cost) == 1):
        return _listed(cost, pairs)
    names: Names = ("row", "column")
    if isinstance(cost, pd.DataFrame):
        names = (str(cost.index.name or "row"), str(cost.columns.name or "column"))
    graph, values = _matrix(cost, maximize)
    if pairs is not None:
        graph, values = _masked(graph, values, pairs)
    return graph, values, names


def _matrix(cost: Any, maximize: bool) -> tuple[MatchGraph, Floats]:
    labels = (cost.index, cost.columns) if isinstance(cost, pd.DataFrame) else (None, None)
    if sp.issparse(cost):
        stored = sp.csr_matrix(cost, dtype=float)
        stored.sum_duplicates()
        stored.sort_indices()
        i = np.repeat(np.arange(stored.shape[0]), np.diff(stored.indptr)).astype(np.int64)
        j, values, shape = stored.indices.astype(np.int64), stored.data, stored.shape
    else:
        dense = _numbers(cost)
        if dense.ndim != 2:
            raise DataError(
                f"The costs must be a matrix, or come with {argument('pairs', assigned=True)}; their shape is "
                f"{dense.shape}."
            )
        shape = dense.shape
        allowed = ~(np.isneginf(dense) if maximize else np.isposinf(dense))
        i, j = (ends.astype(np.int64) for ends in np.nonzero(allowed))
        values = dense[i, j]
    if 0 in shape:
        raise DataError(f"The matrix of costs is empty: its shape is {tuple(shape)}.")
    full = MatchGraph.from_matrix(sp.csr_matrix(shape, dtype=bool), *labels)  # checks the labels
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        cell = f"row {full.treated[i[bad[0]]]!r}, column {full.control[j[bad[0]]]!r}"
        what = "missing" if np.isnan(values[bad[0]]) else f"{values[bad[0]]}"
        raise DataError(
            f"The cost in {cell} is {what} ({len(bad)} such cell(s)); pairs that are not allowed have "
            f"{'-inf in a maximum' if maximize else 'inf in a minimum'}, or are left out of a sparse matrix."
        )
    return MatchGraph(full.treated, full.control, i, j), np.asarray(values, dtype=float)


def _masked(graph: MatchGraph, cost: Floats, pairs: Any) -> tuple[MatchGraph, Floats]:
    """Keep the pairs that a mask or another graph over the same rows and columns allows."""
    if isinstance(pairs, MatchGraph):
        mask = pairs
    elif isinstance(pairs, pd.DataFrame) and len(pairs.columns) == 2:
        table = pairs.set_axis(["treated", "control"], axis=1)
        mask = MatchGraph.from_pairs(table, graph.treated, graph.control)
    else:
        mask = MatchGraph.from_matrix(pairs)
    if (len(mask.treated), len(mask.control)) != (len(graph.treated), len(graph.control)):
        raise DataError(
            f"{argument('pairs', assigned=True)} is for {len(mask.treated)} by {len(mask.control)} units, but the "
            f"costs are {len(graph.treated)} by {len(graph.control)}."
        )
    width = len(graph.control)
    key, wanted = graph.i * width + graph.j, mask.i * width + mask.j
    refuse = np.flatnonzero(~np.isin(wanted, key))
    if len(refuse):
        k = refuse[0]
        raise DataError(
            f"{argument('pairs', assigned=True)} allows row {graph.treated[mask.i[k]]!r} with column "
            f"{graph.control[mask.j[k]]!r}, for which there is no finite cost ({len(refuse)} such pair(s))."
        )
    keep = np.isin(key, wanted)
    return MatchGraph(graph.treated, graph.control, graph.i[keep], graph.j[keep]), cost[keep]


def _listed(cost: Any, pairs: Any) -> tuple[MatchGraph, Floats, Names]:
    """Read an array of costs, one a pair."""
    if isinstance(pairs, MatchGraph):
        values = _numbers(cost)
        if values.shape != (pairs.n_pairs,):
            raise DataError(f"There are {values.size} costs for {pairs.n_pairs} pairs.")
        refuse_rows(~np.isfinite(values), range(len(values)), "The costs are missing or infinite")
        return pairs, values, ("treated", "control")
    if not isinstance(pairs, pd.DataFrame) or len(pairs.columns) != 2:
        raise DataError(
            f"An array of costs needs {argument('pairs', assigned=True)}: a DataFrame of two columns (row and column "
            "labels)."
        )
    if len(cost) != len(pairs):
        raise DataError(f"There are {len(cost)} costs for {len(pairs)} pairs.")
    refuse_other_labels(row_labels(cost), pairs.index, "Costs", "pairs")
    row, column = map(str, pairs.columns)
    table = pairs.set_axis(["treated", "control"], axis=1)
    return _by_label(table, cost, (row, column))


def _by_label(table: pd.DataFrame, cost: Any, names: Names) -> tuple[MatchGraph, Floats, Names]:
    if len(table) == 0:
        raise DataError("There are no pairs.")
    values = _numbers(cost)
    refuse_rows(~np.isfinite(values), table.index, "The costs are missing or infinite")
    graph = MatchGraph.from_pairs(table)
    i = graph.treated.get_indexer(table["treated"])
    j = graph.control.get_indexer(table["control"])
    order = np.argsort(i.astype(np.int64) * len(graph.control) + j, kind="stable")
    return graph, values[order], names


def _numbers(values: Any) -> npt.NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError("The costs are not numbers.") from None
