"""A good imputation of a copula problem's columns, by `alternating` from a first one within the bounds."""

from __future__ import annotations

import numpy as np

from causalopt.modeling.program import Floats, Ints
from causalopt.problems.copula.infeasible import too_small
from causalopt.problems.copula.paths import alternating
from causalopt.problems.copula.rows import Columns
from causalopt.problems.copula.slack import Group, counts_within, smallest_deviation
from causalopt.solving.options import SolveOptions

#: Random starts of the local search.
STARTS = 100


def local_search(
    columns: Columns, options: SolveOptions, guides: tuple[Floats, ...] = (), starts: int = STARTS
) -> Ints:
    """Return a good imputation by `alternating`: each unit's value number.

    Raises
    ------
    InfeasibleError
        Where no imputation keeps the marginals within the slack.
    """
    blocks, first = [], []
    shift = columns.objective.shift
    for group in columns.groups:
        low, high = group.bounds(columns.slack)
        blocks.append(alternating.Block(group.members, group.values - shift, group.weights, low, high))
        first.append(_first_choice(columns, group))
    choices, _ = alternating.search(
        columns.objective.matrix,
        columns.objective.linear,
        blocks,
        first,
        starts=starts,
        seed=options.seed,
        time_limit=options.time_limit,
        guides=guides,
    )
    choice = np.empty(columns.n, dtype=np.int64)
    for group, own in zip(columns.groups, choices, strict=True):
        choice[group.members] = own
    return choice


def _first_choice(columns: Columns, group: Group) -> Ints:
    """Return some imputation of a group within its bounds."""
    if group.equal:
        wanted = group.target / group.weights[0]
        counts = counts_within(wanted, group.size, smallest_deviation(wanted, group.size))
        return np.repeat(np.arange(len(counts)), counts)
    needed, choice = group.smallest_slack
    if needed > columns.slack * (1 + 1e-9) + 1e-12:
        raise too_small(columns.groups, columns.slack)
    return choice
