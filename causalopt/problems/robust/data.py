"""What robust tests read of the caller's data: outcomes, the pairs that may be formed, and how many are to be."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, InfeasibleError, OptionError
from causalopt.messages import argument
from causalopt.modeling.program import Floats
from causalopt.solving.options import unknown_name
from causalopt.study.match_graph import MatchGraph, as_match_graph
from causalopt.study.reading import read_numbers, refuse_rows
from causalopt.study.too_few_pairs import too_few_pairs

#: The two extremes of a statistic, and the sign that makes either the largest.
SIDES = {"max": 1, "min": -1}


def sign_of(side: str) -> int:
    """Return the sign of a side.

    Raises
    ------
    OptionError
        For an unknown side.
    """
    if side not in SIDES:
        raise OptionError(unknown_name("side", str(side), SIDES))
    return SIDES[side]


def read_units(treated_outcome: Any, control_outcome: Any, matches: Any) -> tuple[MatchGraph, Floats, Floats]:
    """Return the match graph, and the outcomes of either group in the order of its labels.

    Raises
    ------
    DataError
        Where units have no outcome, or one that is missing, infinite or not a number.
    """
    graph = as_match_graph(matches, _index_of(treated_outcome), _index_of(control_outcome))
    treated = _read_outcome(treated_outcome, graph.treated, "treated")
    return graph, treated, _read_outcome(control_outcome, graph.control, "control")


def _index_of(outcome: Any) -> pd.Index:
    return outcome.index if isinstance(outcome, pd.Series) else pd.RangeIndex(np.size(outcome))


def _read_outcome(outcome: Any, labels: pd.Index, group: str) -> Floats:
    name = f"The {group} outcome"
    if isinstance(outcome, pd.Series):
        repeated = outcome.index[outcome.index.duplicated()]
        if len(repeated):
            raise DataError(f"{name} has the label {repeated[0]!r} more than once.")
        if not outcome.index.equals(labels):
            unknown = ~labels.isin(outcome.index)
            refuse_rows(unknown, labels, f"{name} is missing for units of the match graph,")
            outcome = outcome.loc[labels]
    values = read_numbers(outcome, name)
    if values.shape != (len(labels),):
        raise DataError(f"{name} must hold {len(labels)} values, one a {group} unit; its shape is {values.shape}.")
    refuse_rows(~np.isfinite(values), labels, f"{name} has missing or infinite values")
    return values


def read_pairs(pairs: Any, graph: MatchGraph, least: int = 2) -> int:
    """Return n, the number of pairs.

    Raises
    ------
    DataError
        For anything but "largest" or a whole number of at least `least`.
    InfeasibleError
        For "largest" in a graph of fewer.
    """
    if isinstance(pairs, str) and pairs == "largest":
        if graph.largest < least:
            raise too_many_pairs(least, graph)
        return graph.largest
    if not isinstance(pairs, numbers.Integral) or isinstance(pairs, bool):
        raise DataError(f"{argument('pairs')} is {pairs!r}; it must be a whole number, or 'largest'.")
    if pairs < least:
        raise DataError(
            f"{argument('pairs')} is {pairs}; at least {least} are needed"
            + (": the spread of a single pair is zero, and Z is not defined." if least == 2 else ".")
        )
    return int(pairs)


def too_many_pairs(n: int, graph: MatchGraph) -> InfeasibleError:
    """Return the error for more pairs than the graph has: the largest n, and the units with too few partners."""
    largest = graph.largest
    what_next = (
        f"Take {argument('pairs', largest)} or fewer ({argument('pairs', 'largest')}), or loosen the calipers and "
        "exact keys of these units."
        if largest >= 2
        else "Loosen the calipers and exact keys."
    )
    return too_few_pairs(
        n,
        graph,
        f"{n:,} pairs cannot be formed: the largest n is {largest:,}, the size of the largest matching.{{blocks}} "
        f"{what_next} See the error's explanation.",
    )
