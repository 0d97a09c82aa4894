"""What the robust Z test reads of the caller's data, once."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from causalopt.errors import DataError
from causalopt.modeling.program import Floats
from causalopt.problems.robust.data import read_pairs, read_units
from causalopt.problems.robust.z.paths.network import PairNetwork, difference, largest_outcome
from causalopt.study.match_graph import MatchGraph


@dataclasses.dataclass(frozen=True, eq=False)
class PairStudy:
    """Good matches, the outcomes of their units, and a number of pairs.

    Attributes
    ----------
    graph : MatchGraph
    treated_outcome, control_outcome : arrays
        In the order of the graph's labels.
    differences : array
        Outcome of the treated minus that of the control, for each pair of the graph.
    network : PairNetwork
        The same pairs, with interchangeable units merged.
    n : int
    """

    graph: MatchGraph
    treated_outcome: Floats
    control_outcome: Floats
    differences: Floats
    network: PairNetwork
    n: int


def read_study(treated_outcome: Any, control_outcome: Any, matches: Any, pairs: int | str) -> PairStudy:
    """Read the data of `RobustZProblem`.

    Raises
    ------
    DataError
        See there.
    """
    graph, y_t, y_c = read_units(treated_outcome, control_outcome, matches)
    network = PairNetwork.merged(graph.i, graph.j, y_t, y_c)
    if not np.isfinite(network.delta).all():
        raise DataError("The outcomes are so large that their differences overflow; divide them by a constant.")
    n = read_pairs(pairs, graph)
    differences = difference(y_t[graph.i], y_c[graph.j], largest_outcome(y_t, y_c))
    return PairStudy(graph, y_t, y_c, differences, network, n)
