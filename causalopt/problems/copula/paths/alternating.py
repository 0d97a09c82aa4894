"""Worst-case copulas by local search: linearise, sort, exchange, change; from many seeded starts.

The variance  u'Mu + 2 g'u  of the missing values u is convex, so that moving to a maximiser of its linearisation never
lowers it. With the counts of each value fixed that maximiser is found by two sorts within each group. Exchanges of two
units' values, and changes of one unit's value within the bounds of the counts, escape some local optima. The answer is
a heuristic: how far it can be from the best is for a bound to say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from time import perf_counter

import numpy as np

from causalopt.modeling.program import Bools, Floats, Ints
from causalopt.problems.copula.infeasible import too_small
from causalopt.problems.copula.rows import Columns
from causalopt.problems.copula.slack import Group, counts_within, smallest_deviation
from causalopt.solving.options import SolveOptions

#: A move must improve the variance by this share of its size.
LEAST_GAIN = 1e-12

#: Random starts.
STARTS = 100


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Units that share a support and bounds on  sum_i weights_i [value of unit i is k].

    Attributes
    ----------
    members : (r,) int array
    values : (K,) array
    weights : (r,) array
    lower, upper : (K,) arrays
    """

    members: Ints
    values: Floats
    weights: Floats
    lower: Floats
    upper: Floats

    @property
    def equal(self) -> bool:
        """Whether all units weigh the same."""
        return bool(np.ptp(self.weights) <= 1e-12 * self.weights[0])

    def sums(self, choice: Ints) -> Floats:
        """Return the weighted counts of the values."""
        return np.asarray(np.bincount(choice, weights=self.weights, minlength=len(self.values)), dtype=float)


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
        blocks.append(Block(group.members, group.values - shift, group.weights, low, high))
        first.append(_first_choice(columns, group))
    choices, _ = search(
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


def search(
    matrix: Floats,
    linear: Floats,
    blocks: Sequence[Block],
    first: Sequence[Ints],
    *,
    starts: int = 100,
    seed: int = 0,
    time_limit: float | None = None,
    guides: Sequence[Floats] = (),
) -> tuple[list[Ints], float]:
    """Maximise  u'Mu + 2 g'u  over imputations within the bounds.

    Parameters
    ----------
    matrix : (n, n) array
        M, positive semidefinite.
    linear : (n,) array
        g.
    blocks : sequence of Block
        They share no units, and each unit's missing value is in one of them.
    first : sequence of int arrays
        For each block the value number of each unit, within the bounds.
    starts, seed : int
    time_limit : float, optional
        Seconds after which no new start is made.
    guides : sequence of (n,) arrays
        Directions whose order the first starts follow, before random ones.

    Returns
    -------
    choices : list of int arrays
        For each block the value number of each unit.
    value : float
    """
    rng = np.random.default_rng(seed)
    began = perf_counter()
    best: tuple[float, list[Ints]] | None = None
    sortable = all(block.equal for block in blocks)
    for start in range(max(starts, 1)):
        choices = [choice.copy() for choice in first]
        if start > 0:
            for block, choice in zip(blocks, choices, strict=True):
                if block.equal:
                    if start <= len(guides):
                        _follow(block, choice, guides[start - 1])
                    else:
                        rng.shuffle(choice)
        value = _climb(matrix, linear, blocks, choices, sortable)
        if best is None or value > best[0]:
            best = value, choices
        if time_limit is not None and perf_counter() - began > time_limit:
            break
    assert best is not None
    return best[1], best[0]


def _follow(block: Block, choice: Ints, direction: Floats) -> None:
    """Give the block's largest values to the units with the largest direction, counts as they are."""
    choice[np.argsort(direction[block.members], kind="stable")] = np.sort(choice)


def _climb(matrix: Floats, linear: Floats, blocks: Sequence[Block], choices: list[Ints], sortable: bool) -> float:
    u = np.empty(len(linear))
    for block, choice in zip(blocks, choices, strict=True):
        u[block.members] = block.values[choice]

    def value_of(u: Floats) -> float:
        return float(u @ matrix @ u + 2 * linear @ u)

    value = value_of(u)
    scale = max(abs(value), float(np.diag(matrix) @ (u * u)), 1e-300)
    while True:
        gradient = matrix @ u + linear
        if sortable:
            moved = [choice.copy() for choice in choices]
            trial = np.empty_like(u)
            for block, choice in zip(blocks, moved, strict=True):
                _follow(block, choice, gradient)
                trial[block.members] = block.values[choice]
            reached = value_of(trial)
            if reached > value + LEAST_GAIN * scale:
                choices[:] = moved
                u, value = trial, reached
                continue
        gain = 0.0
        for block, choice in zip(blocks, choices, strict=True):
            gain += _best_exchange(matrix, linear, block, choice, u, scale)
            gain += _best_change(matrix, linear, block, choice, u, scale)
        if gain <= 0:
            return value_of(u)
        value = value_of(u)


def _best_exchange(matrix: Floats, linear: Floats, block: Block, choice: Ints, u: Floats, scale: float) -> float:
    """Exchange the values of the two units of a block that gain most from it; return the gain."""
    who = block.members
    gradient = 2 * (matrix[who] @ u + linear[who])
    step = u[who][None, :] - u[who][:, None]  # unit i would move by step[i, j], unit j back by as much
    diagonal = matrix[who, who]
    curvature = diagonal[:, None] + diagonal[None, :] - 2 * matrix[np.ix_(who, who)]
    gain = (gradient[:, None] - gradient[None, :]) * step + curvature * step * step
    if not block.equal:
        gain[~_exchangeable(block, choice)] = 0.0
    i, j = divmod(int(np.argmax(gain)), len(who))
    if gain[i, j] <= LEAST_GAIN * scale:
        return 0.0
    choice[i], choice[j] = choice[j], choice[i]
    u[who[[i, j]]] = block.values[choice[[i, j]]]
    return float(gain[i, j])


def _exchangeable(block: Block, choice: Ints) -> Bools:
    """Return which pairs of units can exchange values within the bounds, where units weigh differently."""
    sums = block.sums(choice)
    more = block.weights[:, None] - block.weights[None, :]  # what the value of unit j gains when unit i takes it
    room = 1e-9 * block.weights.max()
    high, low = block.upper[choice] - sums[choice] + room, sums[choice] - block.lower[choice] + room
    fits = (more <= high[None, :]) & (-more <= low[None, :]) & (-more <= high[:, None]) & (more <= low[:, None])
    return np.asarray(fits & (choice[:, None] != choice[None, :]))


def _best_change(matrix: Floats, linear: Floats, block: Block, choice: Ints, u: Floats, scale: float) -> float:
    """Give one unit of a block another value, where the bounds allow it and most is gained; return the gain."""
    sums = block.sums(choice)
    room = 1e-9 * block.weights.max()
    w = block.weights[:, None]
    can_enter = sums[None, :] + w <= block.upper[None, :] + room
    can_leave = sums[choice] - block.weights >= block.lower[choice] - room
    allowed = can_enter & can_leave[:, None]
    if not allowed.any():
        return 0.0
    who = block.members
    gradient = 2 * (matrix[who] @ u + linear[who])
    step = block.values[None, :] - u[who][:, None]
    gain = np.where(allowed, gradient[:, None] * step + matrix[who, who][:, None] * step * step, 0.0)
    i, k = divmod(int(np.argmax(gain)), len(block.values))
    if gain[i, k] <= LEAST_GAIN * scale:
        return 0.0
    choice[i] = k
    u[who[i]] = block.values[k]
    return float(gain[i, k])
