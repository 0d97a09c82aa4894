"""Assignments by networkx's network simplex: slow, in whole numbers, and independent of everything else here.

It is meant as a check. Costs are multiplied by a power of two and rounded; where they are whole numbers, or short
binary fractions, nothing is lost, and else the answer is optimal but for a relative 1e-9 or so.
"""

from __future__ import annotations

import numpy as np

from causalopt.errors import UnsupportedProblem
from causalopt.problems.assignment.hungarian import Answer, Assignment

#: Pairs beyond which networkx takes minutes.
MOST_PAIRS = 50_000

#: Largest cost in whole numbers, a power of two.
LARGEST = 30


def solve(problem: Assignment) -> Answer:
    """Find the pairs of least total cost as a flow of least cost.

    Raises
    ------
    UnsupportedProblem
        For more than 50,000 pairs.

    Examples
    --------
    >>> import numpy as np
    >>> i, j = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> solve(Assignment(2, 2, i, j, np.array([1.0, 2.0, 0.0, 5.0]), -1)).used
    array([1, 2])
    """
    import networkx as nx

    if len(problem.i) > MOST_PAIRS:
        raise UnsupportedProblem(
            f"network-simplex is a check for up to {MOST_PAIRS:,} pairs; these are {len(problem.i):,}. Use hungarian."
        )
    r, c, n = problem.n_rows, problem.n_columns, problem.count
    largest = float(np.abs(problem.cost).max(initial=0.0)) or 1.0
    factor = 2.0 ** (LARGEST - np.ceil(np.log2(largest)))
    whole = np.round(problem.cost * factor).astype(np.int64).tolist()
    pairs = min(r, c) if n == -1 else n
    graph = nx.DiGraph()
    graph.add_node("source", demand=-(pairs or 0))
    graph.add_node("sink", demand=pairs or 0)
    graph.add_edges_from((("source", ("row", k)) for k in range(r)), capacity=1, weight=0)
    graph.add_edges_from(((("column", k), "sink") for k in range(c)), capacity=1, weight=0)
    if n is None:  # as many as pay: a circulation
        graph.add_edge("sink", "source", weight=0, capacity=min(r, c))
    for i, j, cost in zip(problem.i.tolist(), problem.j.tolist(), whole, strict=True):
        graph.add_edge(("row", i), ("column", j), capacity=1, weight=cost)
    try:
        _, flow = nx.network_simplex(graph)
    except nx.NetworkXUnfeasible:
        return Answer(None, "")
    ends = zip(problem.i.tolist(), problem.j.tolist(), strict=True)
    used = [k for k, (i, j) in enumerate(ends) if flow[("row", i)][("column", j)] > 0]
    return Answer(np.array(used, dtype=np.int64), "")
