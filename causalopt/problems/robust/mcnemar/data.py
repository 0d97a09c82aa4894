"""What the robust McNemar test reads of the caller's data, once: the discordant pairs, and their largest matchings."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse import csgraph

from causalopt.errors import DataError, InfeasibleError
from causalopt.modeling.program import Bools, Floats, Ints
from causalopt.problems.robust.data import read_pairs, read_units
from causalopt.study.match_graph import MatchGraph
from causalopt.study.reading import refuse_rows
from causalopt.study.too_few_pairs import too_few_pairs


@dataclasses.dataclass(frozen=True, eq=False)
class DiscordantStudy:
    """Good matches of units with and without the outcome, and a number of discordant pairs.

    Attributes
    ----------
    graph : MatchGraph
    treated_outcome, control_outcome : bool arrays
        In the order of the graph's labels.
    discordant : int array
        Positions of the discordant pairs in the graph.
    sign : array
        1 where only the treated unit of a discordant pair has the outcome, -1 where only the control has it.
    matched : two int arrays
        Positions in the graph of the pairs of a largest matching of either kind.
    n : int
    """

    graph: MatchGraph
    treated_outcome: Bools
    control_outcome: Bools
    discordant: Ints
    sign: Floats
    matched: tuple[Ints, Ints]
    n: int

    @cached_property
    def proven(self) -> bool:
        """Whether covers of the same sizes prove that both matchings are largest (Koenig 1931)."""
        graph, kinds = self.graph, zip((1.0, -1.0), self.matched, strict=True)
        return all(is_largest(graph.i, graph.j, self.discordant[self.sign == sign], used) for sign, used in kinds)

    @property
    def ends(self) -> tuple[Ints, Ints]:
        """Positions of the two units of each discordant pair."""
        return self.graph.i[self.discordant], self.graph.j[self.discordant]

    def counts(self, used: Ints) -> tuple[int, int]:
        """Return B and C of some pairs."""
        b = int(self.treated_outcome[self.graph.i[used]].sum())
        return b, len(used) - b

    def too_many_pairs(self) -> InfeasibleError:
        """Return the error for more discordant pairs than there can be."""
        plus, minus = map(len, self.matched)
        return too_few_pairs(
            self.n,
            MatchGraph(self.graph.treated, self.graph.control, *self.ends),
            f"There are no {self.n:,} discordant pairs: the largest n is {plus + minus:,} ({plus:,} with the outcome "
            f"in the treated unit alone, {minus:,} with it in the control alone).{{blocks}} Partners of a unit are its "
            "good matches with the other outcome. See the error's explanation.",
        )


def read_discordant(treated_outcome: Any, control_outcome: Any, matches: Any, pairs: int | str) -> DiscordantStudy:
    """Read the data of `RobustMcNemarProblem`.

    Raises
    ------
    DataError
        For outcomes other than 0 and 1, and where no good match is discordant.
    """
    graph, treated, control = read_units(treated_outcome, control_outcome, matches)
    with_t, with_c = _binary(treated, graph.treated, "treated"), _binary(control, graph.control, "control")
    y_t, y_c = with_t[graph.i], with_c[graph.j]
    discordant = np.flatnonzero(y_t != y_c)
    sign = np.where(y_t, 1.0, -1.0)[discordant]
    plus, minus = (_largest(graph, discordant[sign == kind]) for kind in (1.0, -1.0))
    largest = len(plus) + len(minus)
    n = largest if pairs == "largest" else read_pairs(pairs, graph, least=1)
    if largest == 0:
        raise DataError("No good match is discordant: every pair has the same outcome twice.")
    return DiscordantStudy(graph, with_t, with_c, discordant, sign, (plus, minus), n)


def _binary(values: Floats, labels: pd.Index, group: str) -> Bools:
    refuse_rows((values != 0) & (values != 1), labels, f"The {group} outcome is neither 0 nor 1")
    has_it: Bools = values == 1
    return has_it


def _largest(graph: MatchGraph, own: Ints) -> Ints:
    """Return which of some pairs of a graph make a largest matching."""
    i, j = graph.i[own], graph.j[own]
    shape = len(graph.treated), len(graph.control)
    matrix = sp.csr_matrix((np.ones(len(own), dtype=bool), (i, j)), shape=shape)
    partner = csgraph.maximum_bipartite_matching(matrix, perm_type="column")
    used: Ints = own[partner[i] == j]
    return used


def is_largest(i: Ints, j: Ints, allowed: Ints, used: Ints) -> bool:
    """Return whether a cover proves a matching largest: as many units as it has pairs, on which every pair leans.

    The cover is the rows that no alternating path from an unused row reaches, and the columns that one does.
    """
    rows, columns = i[allowed], j[allowed]
    partner = np.full(int(columns.max(initial=-1)) + 1, -1)
    partner[j[used]] = i[used]
    reached_row = np.zeros(int(rows.max(initial=-1)) + 1, dtype=bool)
    reached_row[rows] = True
    reached_row[i[used]] = False
    reached_column = np.zeros(len(partner), dtype=bool)
    while True:
        new = np.unique(columns[reached_row[rows] & ~reached_column[columns]])
        if len(new) == 0:
            break
        reached_column[new] = True
        back = partner[new]
        reached_row[back[back >= 0]] = True
    cover = len(np.unique(rows[~reached_row[rows]])) + int(reached_column.sum())
    leans = ~reached_row[rows] | reached_column[columns]
    return bool(leans.all() and cover == len(used))
