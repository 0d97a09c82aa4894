"""Random networks of pairs, and their matchings by enumeration."""

import numpy as np

from causalopt.problems.robust.z.paths.network import PairNetwork, difference, largest_outcome, statistic


def random_network(rng, t=None, c=None, density=None, levels=None, shift=0.0):
    """A network with its pairs (i, j) and their differences; with levels, outcomes are whole numbers with ties."""
    t, c = (int(rng.integers(3, 7)) if size is None else size for size in (t, c))
    allowed = rng.random((t, c)) < (rng.uniform(0.4, 1) if density is None else density)
    allowed[0, 0] = allowed[1, 1] = allowed[2, 2] = True
    i, j = np.nonzero(allowed)
    y = rng.normal(size=t + c) if levels is None else rng.integers(0, levels, t + c).astype(float)
    y_t, y_c = y[:t] + shift, y[t:]
    d = difference(y_t[i], y_c[j], largest_outcome(y_t, y_c))
    return PairNetwork.merged(i, j, y_t, y_c), i, j, d


def enumerated(i, j, n):
    """All sets of n pairs that share no unit, a row each."""
    rows = []

    def extend(first, used_i, used_j, chosen):
        if len(chosen) == n:
            rows.append(chosen)
            return
        for k in range(first, len(i)):
            if i[k] not in used_i and j[k] not in used_j:
                extend(k + 1, used_i | {i[k]}, used_j | {j[k]}, [*chosen, k])

    extend(0, frozenset(), frozenset(), [])
    return np.array(rows, dtype=int).reshape(-1, n)


def curve_extremes(i, j, d):
    """For each n from 2 to the largest, the largest Z of either sign, by enumeration."""
    extremes = {}
    for n in range(2, len(d) + 1):
        matchings = enumerated(i, j, n)
        if len(matchings) == 0:
            return extremes
        z = np.array([statistic(d, np.bincount(row, minlength=len(d)))[0] for row in matchings])
        extremes[n] = {1: z.max(), -1: -z.min()}
    return extremes
