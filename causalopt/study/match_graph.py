"""Who may be paired with whom: the bipartite graph of good matches, and its largest matching.

A treated and a control unit may be paired where they agree on every exact key and differ by no more than a caliper in
every caliper covariate. Pairs are found by sorting and windowing within the exact keys; no matrix of all treated by
all controls is ever made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse import csgraph

from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Floats, Ints
from causalopt.study.match_keys import caliper_column, check_columns, strata, treated_and_control
from causalopt.study.reading import refuse_rows

#: Pairs beyond which a graph is refused: 100 million take 1.6 GB.
MOST_PAIRS = 100_000_000

#: Candidate pairs tested at once.
CHUNK = 1 << 20


def connected(i: Ints, j: Ints, rows: int, columns: int) -> Ints:
    """Return the number of the connected component of each row, then of each column, that pairs (i, j) join."""
    ones = np.ones(len(i), dtype=np.int8)
    graph = sp.csr_matrix((ones, (i, rows + j)), shape=(rows + columns, rows + columns))
    numbers: Ints = csgraph.connected_components(graph, directed=False)[1]
    return numbers


@dataclasses.dataclass(frozen=True, eq=False)
class MatchGraph:
    """The pairs that may be formed.

    Attributes
    ----------
    treated, control : pandas.Index
        Labels of all units of either group, with or without a match.
    i, j : (m,) int arrays
        Positions in `treated` and `control` of the two units of each pair, sorted by i, then j; no pair twice.

    Examples
    --------
    >>> import pandas as pd
    >>> graph = MatchGraph.from_pairs(pd.DataFrame({"treated": ["a", "a", "b"], "control": ["x", "y", "x"]}))
    >>> graph.n_pairs, graph.largest
    (3, 2)
    """

    treated: pd.Index
    control: pd.Index
    i: Ints
    j: Ints

    @classmethod
    def from_matrix(cls, matrix: Any, treated: Any = None, control: Any = None) -> MatchGraph:
        """Make a graph from a (treated x control) matrix, dense or sparse, whose nonzero entries are the pairs.

        Parameters
        ----------
        matrix : (r, c) bool matrix
            Dense or sparse: true where a pair is allowed.
        treated, control : sequence, optional
            Labels of the rows and columns; those of a DataFrame, else positions, by default.

        Raises
        ------
        DataError
            For a matrix that is not two-dimensional, or holds missing values, or does not fit the labels.
        """
        if isinstance(matrix, pd.DataFrame):
            treated = matrix.index if treated is None else treated
            control = matrix.columns if control is None else control
            matrix = matrix.to_numpy()
        if not sp.issparse(matrix):
            matrix = np.asarray(matrix)
            if matrix.ndim != 2:
                raise DataError(f"The matches must be a matrix of treated by control; its shape is {matrix.shape}.")
        values = matrix.data if sp.issparse(matrix) else matrix
        if values.dtype.kind not in "bifu":
            raise DataError(f"The matches hold values of type {values.dtype}; a matrix of true and false is needed.")
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise DataError("The matches hold missing values; put False where a pair is not allowed.")
        treated = _labels(treated, matrix.shape[0], "treated")
        control = _labels(control, matrix.shape[1], "control")
        if sp.issparse(matrix):
            entries = sp.csr_matrix(matrix != 0).tocoo()
            return cls._sorted(treated, control, entries.row, entries.col)
        i, j = np.nonzero(matrix)
        return cls(treated, control, i.astype(np.int64), j.astype(np.int64))

    @classmethod
    def from_pairs(cls, pairs: pd.DataFrame, treated: Any = None, control: Any = None) -> MatchGraph:
        """Make a graph from a DataFrame of labels with columns `treated` and `control`, a row a pair.

        Parameters
        ----------
        pairs : DataFrame
            Columns `treated` and `control`: the labels of each pair.
        treated, control : sequence, optional
            All labels, also of units in no pair; by default those that occur.

        Raises
        ------
        DataError
            Where a column is missing, a label is missing or unknown, or a pair is listed twice.
        """
        for name in ("treated", "control"):
            if name not in pairs.columns:
                raise DataError(f"The pairs need columns 'treated' and 'control'; they have {list(pairs.columns)}.")
            refuse_rows(pairs[name].isna().to_numpy(), pairs.index, f"Column {name!r} of the pairs has missing labels")
        positions = []
        indices = []
        for name, given in (("treated", treated), ("control", control)):
            index = pd.Index(pairs[name].unique()) if given is None else _labels(given, None, name)
            position = index.get_indexer(pairs[name])
            refuse_rows(position < 0, pairs[name].to_numpy(), f"The pairs name {name} units that do not exist,")
            positions.append(position)
            indices.append(index)
        twice = pairs.duplicated(["treated", "control"]).to_numpy()
        refuse_rows(twice, pairs.index, "The pairs list a pair twice")
        return cls._sorted(indices[0], indices[1], *positions)

    @classmethod
    def _sorted(cls, treated: pd.Index, control: pd.Index, i: Any, j: Any) -> MatchGraph:
        i, j = np.asarray(i, dtype=np.int64), np.asarray(j, dtype=np.int64)
        order = np.argsort(i * len(control) + j, kind="stable")
        return cls(treated, control, i[order], j[order])

    @property
    def n_pairs(self) -> int:
        """Number of pairs that may be formed."""
        return len(self.i)

    @property
    def matrix(self) -> Any:
        """The graph as a sparse boolean matrix, treated by control."""
        shape = (len(self.treated), len(self.control))
        start = np.searchsorted(self.i, np.arange(shape[0] + 1))
        return sp.csr_matrix((np.ones(self.n_pairs, dtype=bool), self.j, start), shape=shape)

    @cached_property
    def largest_units(self) -> tuple[Ints, Ints]:
        """Positions of the treated and control units of one matching of the largest size."""
        partner = csgraph.maximum_bipartite_matching(self.matrix, perm_type="column")
        i = np.flatnonzero(partner >= 0)
        return i, partner[i].astype(np.int64)

    @property
    def largest(self) -> int:
        """Size of the largest matching: the most pairs that can be formed at once."""
        return len(self.largest_units[0])

    def largest_matching(self) -> pd.DataFrame:
        """Return one matching of the largest size, with columns `treated` and `control`."""
        i, j = self.largest_units
        return pd.DataFrame({"treated": self.treated[i], "control": self.control[j]})

    @cached_property
    def component(self) -> Ints:
        """For each pair, the number (0, 1, ...) of the connected component that it belongs to."""
        labels = connected(self.i, self.j, len(self.treated), len(self.control))
        numbers: Ints = np.unique(labels[self.i], return_inverse=True)[1].astype(np.int64)
        return numbers

    def components(self) -> pd.DataFrame:
        """Return the connected components, those with the most pairs first.

        Columns: `treated` and `control` (units), `pairs`, and `largest matching`.
        """
        number = self.component
        count = int(number.max(initial=-1)) + 1
        first_t = np.unique(self.i, return_index=True)[1]
        first_c = np.unique(self.j, return_index=True)[1]
        matched_i, _ = self.largest_units
        of_treated = np.full(len(self.treated), -1)
        of_treated[self.i] = number
        table = pd.DataFrame(
            {
                "treated": np.bincount(number[first_t], minlength=count),
                "control": np.bincount(number[first_c], minlength=count),
                "pairs": np.bincount(number, minlength=count),
                "largest matching": np.bincount(of_treated[matched_i], minlength=count),
            },
            index=pd.RangeIndex(count, name="component"),
        )
        return table.sort_values("pairs", ascending=False, kind="stable")

    def degrees(self) -> pd.DataFrame:
        """Return how many units of either group have how many possible partners (0, 1, 2, ...)."""
        ends = {"treated": (self.i, self.treated), "control": (self.j, self.control)}
        counts = {name: pd.Series(np.bincount(np.bincount(i, minlength=len(all_)))) for name, (i, all_) in ends.items()}
        table = pd.DataFrame(counts).fillna(0).astype(int).rename_axis("possible partners")
        return table[(table > 0).any(axis=1)]

    def summary(self) -> str:
        """Return the graph in a line of plain text."""
        return (
            f"{len(self.treated):,} treated and {len(self.control):,} control units, of which "
            f"{len(np.unique(self.i)):,} and {len(np.unique(self.j)):,} have a match; {self.n_pairs:,} pairs, "
            f"largest matching {self.largest:,}"
        )


def match_graph(
    df: pd.DataFrame,
    treatment: str,
    exact: Sequence[str] = (),
    calipers: Mapping[str, float] | None = None,
    rounding: int | Mapping[str, int] | None = None,
    *,
    treated: Any = None,
    control: Any = None,
) -> MatchGraph:
    """Find all pairs of a treated and a control unit that agree on exact keys and lie within calipers.

    Parameters
    ----------
    df : DataFrame
        A row a unit; its index labels the units.
    treatment : str
        Name of the treatment column. Of two numbers the larger is treated.
    exact : sequence of str
        Columns in which both units of a pair must have the same value.
    calipers : mapping from column to float
        Largest absolute difference in each of these columns; |treated - control| <= caliper as plain floating-point
        numbers, so that 0.4 - 0.3 is not within 0.1 (use a caliper a little larger where that matters).
    rounding : int or mapping from column to int, optional
        Round caliper columns to so many decimals first.
    treated, control : object, optional
        Which values of the treatment count as treated and as control. With both, rows of other values are left out.

    Returns
    -------
    MatchGraph

    Raises
    ------
    DataError
        For unknown, missing or non-numeric columns, negative calipers, or a treatment that is not two-valued; the
        message names columns and rows.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"t": [1, 1, 0, 0], "site": ["a", "b", "a", "b"], "age": [30, 40, 33, 52]})
    >>> match_graph(df, "t", exact=["site"], calipers={"age": 5}).n_pairs
    1
    """
    exact = [exact] if isinstance(exact, str) else list(exact)
    calipers = read_calipers(calipers)
    check_columns(df, treatment, exact, calipers)
    is_treated, is_control = treated_and_control(df[treatment], treated, control)
    rows_t, rows_c = np.flatnonzero(is_treated), np.flatnonzero(is_control)
    stratum = strata(df, exact, is_treated | is_control)
    values = {name: caliper_column(df, name, rounding, is_treated | is_control) for name in calipers}
    windows = [_Window.of(values[name], stratum, rows_t, rows_c, float(caliper)) for name, caliper in calipers.items()]
    order = rows_c[np.argsort(stratum[rows_c], kind="stable")]
    window = min(windows, key=lambda w: w.total) if windows else _Window.whole(stratum, rows_t, order)
    position = np.zeros(len(df), dtype=np.int64)
    position[rows_c] = np.arange(len(rows_c))
    pairs = [(np.zeros(0, dtype=np.int64),) * 2]
    found = 0
    for k, candidate in window.chunks():
        keep = np.ones(len(k), dtype=bool)
        for name, caliper in calipers.items():
            x = values[name]
            keep &= np.abs(x[rows_t[k]] - x[candidate]) <= caliper
        pairs.append((k[keep], position[candidate[keep]]))
        found += len(pairs[-1][0])
        if found > MOST_PAIRS:
            raise DataError(
                f"The match graph has more than {MOST_PAIRS:,} pairs; use further exact keys or smaller calipers."
            )
    i, j = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    return MatchGraph._sorted(df.index[rows_t], df.index[rows_c], i, j)


@dataclasses.dataclass(frozen=True, eq=False)
class _Window:
    """For each treated unit, the stretch [low, high) of the sorted controls that holds its possible partners."""

    order: Ints
    low: Ints
    high: Ints

    @property
    def total(self) -> int:
        return int((self.high - self.low).sum())

    @classmethod
    def whole(cls, stratum: Ints, rows_t: Ints, order: Ints) -> _Window:
        sorted_stratum = stratum[order]
        low = np.searchsorted(sorted_stratum, stratum[rows_t], side="left")
        return cls(order, low, np.searchsorted(sorted_stratum, stratum[rows_t], side="right"))

    @classmethod
    def of(cls, x: Floats, stratum: Ints, rows_t: Ints, rows_c: Ints, caliper: float) -> _Window:
        """Window on one covariate, a little wider than the caliper: the test itself is made on the candidates."""
        margin = 1e-12 * (np.abs(x[rows_t]) + caliper)
        low_value, high_value = x[rows_t] - caliper - margin, x[rows_t] + caliper + margin
        distinct, rank = np.unique(x[rows_c], return_inverse=True)
        width = len(distinct) + 1
        key = stratum[rows_c] * width + rank
        sorting = np.argsort(key, kind="stable")
        key = key[sorting]
        base = stratum[rows_t] * width
        low = np.searchsorted(key, base + np.searchsorted(distinct, low_value, side="left"), side="left")
        high = np.searchsorted(key, base + np.searchsorted(distinct, high_value, side="right"), side="left")
        return cls(rows_c[sorting], low, np.maximum(low, high))

    def chunks(self) -> Iterator[tuple[Ints, Ints]]:
        """Yield (treated number, control row) of the candidate pairs, a bounded number at a time."""
        length = self.high - self.low
        ends = np.cumsum(length)
        start = 0
        while start < len(length):
            before = int(ends[start - 1]) if start else 0
            stop = max(int(np.searchsorted(ends, before + CHUNK, side="right")), start + 1)
            own = length[start:stop]
            k = np.repeat(np.arange(start, stop), own)
            first = np.repeat(self.low[start:stop] - (ends[start:stop] - own - before), own)
            yield k, self.order[first + np.arange(len(k))]
            start = stop


def as_match_graph(matches: Any, treated: Any, control: Any) -> MatchGraph:
    """Read matches given as a `MatchGraph`, a matrix (dense, sparse, DataFrame) or a DataFrame of pairs."""
    if isinstance(matches, MatchGraph):
        return matches
    if isinstance(matches, pd.DataFrame) and {"treated", "control"} <= set(matches.columns):
        return MatchGraph.from_pairs(matches, treated, control)
    if isinstance(matches, pd.DataFrame):  # it has labels of its own
        return MatchGraph.from_matrix(matches)
    return MatchGraph.from_matrix(matches, treated, control)


# ---- reading the data ----


def _labels(labels: Any, size: int | None, what: str) -> pd.Index:
    if labels is None:
        return pd.RangeIndex(size or 0)
    index = labels if isinstance(labels, pd.Index) else pd.Index(labels)
    if size is not None and len(index) != size:
        raise DataError(f"The matches have {size} {what} units, but {len(index)} are given.")
    repeated = index[index.duplicated()]
    if len(repeated):
        raise DataError(f"The {what} label {repeated[0]!r} occurs more than once; units could not be told apart.")
    return index


def read_calipers(calipers: Any) -> dict[Any, Any]:
    """Return the calipers by column; raise `DataError` where they are not by column."""
    if calipers is not None and not isinstance(calipers, Mapping | pd.Series):
        column = next(iter(calipers), None) if isinstance(calipers, list | tuple) else calipers
        example = argument("calipers", {column if isinstance(column, str) else "age": 5})
        raise DataError(
            f"{argument('calipers')} is {calipers!r}; each column needs its largest difference, such as {example}."
        )
    return {} if calipers is None else dict(calipers)
