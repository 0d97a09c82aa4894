"""Why there are no more pairs: units that together have too few partners (Hall 1935, Koenig 1931).

Let the largest matching leave some units of a side out. Those that alternating paths reach from them are a set R whose
partners N(R) are all paired with members of R: no matching can use more than |N(R)| of R. Since |R| - |N(R)| is exactly
how many units the largest matching leaves out, R proves that it is the largest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, InfeasibleError
from causalopt.modeling.program import Bools, Ints
from causalopt.solving.words import plural
from causalopt.study.labels import listed
from causalopt.study.match_graph import MatchGraph, connected, match_graph

#: What the columns of the explanation say.
LEGEND = {
    "units": "how many compete for the same partners",
    "partners": "how many partners they have among them",
    "left out": "how many of them no matching can use",
}


def deficient_units(graph: MatchGraph, side: str = "treated") -> tuple[Bools, Bools]:
    """Return which units of a side are in the deficient set R, and which of the other side are its partners N(R).

    Parameters
    ----------
    graph : MatchGraph
    side : {"treated", "control"}
        Whose units are too many for their partners.

    Examples
    --------
    >>> import numpy as np
    >>> graph = MatchGraph.from_matrix(np.array([[1, 0], [1, 0], [0, 1]]))
    >>> deficient, partners = deficient_units(graph)
    >>> deficient.tolist(), partners.tolist()
    ([True, True, False], [True, False])
    """
    i, j, own, other = _ends(graph, side)
    used_i, used_j = graph.largest_units if side == "treated" else graph.largest_units[::-1]
    partner = np.full(other, -1)
    partner[used_j] = used_i
    reached = np.ones(own, dtype=bool)
    reached[used_i] = False
    frontier = reached.copy()
    partners = np.zeros(other, dtype=bool)
    while frontier.any():
        new = np.zeros(other, dtype=bool)
        new[j[frontier[i]]] = True
        new &= ~partners
        partners |= new
        frontier = np.zeros(own, dtype=bool)
        frontier[partner[new]] = True  # every one has a partner: else the matching could grow
        frontier &= ~reached
        reached |= frontier
    return reached, partners


def blocking_table(graph: MatchGraph, side: str = "treated") -> pd.DataFrame:
    """Return what blocks further pairs: sets of units that compete for too few partners.

    A row is a connected part of the deficient set. Columns: `units`, how many of the side compete; `partners`, how many
    units of the other side they have among them; `left out`, how many of them no matching can use; and the labels of
    both, the first few of them. Units without any partner are one row, the first.
    """
    i, j, own, other = _ends(graph, side)
    deficient, partners = deficient_units(graph, side)
    inside = deficient[i]
    component = connected(i[inside], j[inside], own, other)
    alone = deficient & (np.bincount(i, minlength=own) == 0)
    mine, theirs = (graph.treated, graph.control) if side == "treated" else (graph.control, graph.treated)
    members = np.flatnonzero(deficient & ~alone)
    rows = [_row(mine[alone], theirs[:0])] if alone.any() else []
    if len(members):
        numbers, place = np.unique(component[members], return_inverse=True)
        joined = np.flatnonzero(partners)
        at = np.searchsorted(numbers, component[own + joined])
        sets = [
            (members[a], joined[b])
            for a, b in zip(_grouped(place, len(numbers)), _grouped(at, len(numbers)), strict=True)
        ]
        sets.sort(key=lambda pair: (len(pair[1]) - len(pair[0]), int(pair[0][0])))
        rows += [_row(mine[a], theirs[b]) for a, b in sets if len(a) > len(b)]
    names = ["units", "partners", "left out", side, f"{'control' if side == 'treated' else 'treated'} partners"]
    return pd.DataFrame(rows, columns=names)


def too_few_pairs(
    asked: int, graph: MatchGraph, message: str, side: str = "treated", names: tuple[str, str] = ("treated", "control")
) -> InfeasibleError:
    """Return the error for more pairs than there can be: a message, what blocks in a sentence, and the table.

    The sets that block come from the largest matching that is there already: a pass over the pairs. Their table is made
    when it is looked at.
    """
    mine, theirs = names if side == "treated" else names[::-1]
    deficient, partners = deficient_units(graph, side)
    i, _, own, _ = _ends(graph, side)
    alone = int((np.bincount(i, minlength=own) == 0).sum())
    units, few = int(deficient.sum()), int(partners.sum())
    text = f" All {own:,} {mine} units are in it." if own > 1 else f" The one {mine} unit is in it."
    if units and units == alone:
        text = f" Left out: {plural(alone, f'{mine} unit')} without any partner."
    elif units:
        text = (
            f" {units:,} {mine} units have only {plural(few, f'{theirs} unit')} as partners among them"
            + (f" ({alone:,} of them have none)" if alone else "")
            + f", so that at least {units - few:,} stay out."
        )
    return InfeasibleError(message.replace("{blocks}", text), partial(_explanation, graph, side, asked))


def with_conditions(
    error: InfeasibleError,
    df: pd.DataFrame,
    treatment: str,
    exact: Sequence[str],
    calipers: Mapping[str, float],
    **options: Any,
) -> InfeasibleError:
    """Return the error for too few pairs with the exact keys and calipers that block, in `attrs["conditions"]`.

    That table has, for each condition left out alone, the largest n (missing where the graph is then too large) and how
    many treated units are still without a partner. It takes a match graph for each, when it is looked at.
    """
    return InfeasibleError(
        error.message, partial(_add_conditions, error, df, treatment, list(exact), calipers, options)
    )


def _add_conditions(
    error: InfeasibleError,
    df: pd.DataFrame,
    treatment: str,
    exact: list[str],
    calipers: Mapping[str, float],
    options: Mapping[str, Any],
) -> pd.DataFrame:
    rows = []
    for name in [*exact, *calipers]:
        keys = [key for key in exact if key != name]
        widths = {key: width for key, width in calipers.items() if key != name}
        kind = "exact key" if name in exact else f"caliper {calipers[name]:g}"
        try:
            graph = match_graph(df, treatment, keys, widths, **options)
        except DataError:  # more pairs than are taken
            rows.append((name, kind, np.nan, np.nan))
            continue
        rows.append((name, kind, graph.largest, len(graph.treated) - len(np.unique(graph.i))))
    table: pd.DataFrame = error.explanation
    names = ["left out", "condition", "largest n", "treated without a partner"]
    table.attrs["conditions"] = pd.DataFrame(rows, columns=names).set_index("left out")
    return table


def _explanation(graph: MatchGraph, side: str, asked: int) -> pd.DataFrame:
    table = blocking_table(graph, side)
    table.attrs.update(asked=asked, largest=graph.largest, legend=LEGEND)
    return table


def _ends(graph: MatchGraph, side: str) -> tuple[Ints, Ints, int, int]:
    if side == "treated":
        return graph.i, graph.j, len(graph.treated), len(graph.control)
    return graph.j, graph.i, len(graph.control), len(graph.treated)


def _grouped(numbers: Ints, count: int) -> list[Ints]:
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.cumsum(np.bincount(numbers, minlength=count))[:-1])


def _row(units: pd.Index, partners: pd.Index) -> tuple[Any, ...]:
    return len(units), len(partners), len(units) - len(partners), listed(units), listed(partners)
