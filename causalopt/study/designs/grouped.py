"""Designs in groups of units: strata, matched pairs, clusters."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from math import comb, prod
from typing import Any

import numpy as np

from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Bools, Floats, Ints
from causalopt.study.designs.design import (
    CompleteRandomization,
    Design,
    Moments,
    choose,
    exchangeable_covariance,
    permuted,
    refuse_large,
    settle,
    whole,
)
from causalopt.study.labels import plain, row_labels


class Blocks(Design):
    """Complete randomization within each of several groups of units, independently: the base of three designs."""

    _members: tuple[Ints, ...]
    _treated: tuple[int, ...]

    def probabilities(self, n: int | None = None) -> Floats:
        """Return P(Z_i = 1) of every unit, as an (n,) array."""
        p = np.empty(self.units(n))
        for members, treated in zip(self._members, self._treated, strict=True):
            p[members] = treated / len(members)
        return p

    def moments(self, n: int | None = None) -> Moments:
        """Return probabilities and covariance."""
        size = self.units(n)
        refuse_large(size)
        sigma = np.zeros((size, size))
        for members, treated in zip(self._members, self._treated, strict=True):
            sigma[np.ix_(members, members)] = exchangeable_covariance(len(members), treated)
        return Moments(self.probabilities(size), sigma)

    def sample(self, draws: int, *, n: int | None = None, seed: int = 0) -> Bools:
        """Return `draws` assignments as a (draws, n) bool array."""
        z = np.empty((draws, self.units(n)), dtype=bool)
        rng = np.random.default_rng(seed)
        for size, treated in {(len(m), k) for m, k in zip(self._members, self._treated, strict=True)}:
            alike = [m for m, k in zip(self._members, self._treated, strict=True) if (len(m), k) == (size, treated)]
            drawn = permuted(np.arange(size) < treated, draws * len(alike), rng)
            z[:, np.concatenate(alike)] = drawn.reshape(draws, len(alike) * size)
        return z

    def count(self, n: int | None = None) -> int:
        """Return how many assignments the design can produce."""
        self.units(n)
        return prod(comb(len(m), k) for m, k in zip(self._members, self._treated, strict=True))

    def _enumerate(self, n: int) -> tuple[Bools, Floats]:
        z = np.zeros((1, n), dtype=bool)
        for members, treated in zip(self._members, self._treated, strict=True):
            block = choose(len(members), treated)
            repeated = np.repeat(z, len(block), axis=0)
            repeated[:, members] = np.tile(block, (len(z), 1))
            z = repeated
        return z, np.full(len(z), 1.0 / len(z))

    def fixed_size(self, n: int | None = None) -> int:
        """Return the number of treated units."""
        return sum(self._treated)


def _groups(labels: Any, what: str) -> tuple[list[Any], tuple[Ints, ...]]:
    """Return the distinct labels in order of appearance, and the positions of each."""
    array = np.asarray(labels)
    if array.ndim != 1 or len(array) == 0:
        raise DataError(f"{argument(what)} must hold one label a unit; its shape is {array.shape}.")
    import pandas as pd

    codes, levels = pd.factorize(array)
    if (codes < 0).any():
        raise DataError(f"{argument(what)} is missing for unit {int(np.flatnonzero(codes < 0)[0])}.")
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    return [plain(level) for level in levels], tuple(members)


@dataclasses.dataclass(frozen=True, eq=False)
class Stratified(Blocks):
    """Complete randomization within strata, independently.

    Parameters
    ----------
    strata : (n,) labels
        A Series keeps its row labels, which must then be those of the outcomes.
    n_treated : int or mapping from stratum to int
        How many units of each stratum are treated.

    Examples
    --------
    >>> design = Stratified(["a", "a", "b", "b", "b"], {"a": 1, "b": 2})
    >>> design.probabilities().round(3)
    array([0.5  , 0.5  , 0.667, 0.667, 0.667])
    """

    strata: Any
    n_treated: int | Mapping[Any, int]

    def __post_init__(self) -> None:
        levels, members = _groups(self.strata, "strata")
        given = self.n_treated
        if isinstance(given, Mapping):
            missing = [level for level in levels if level not in given]
            if missing:
                raise DataError(f"{argument('n_treated')} names no number for stratum {missing[0]!r}.")
            unknown = [key for key in given if key not in levels]
            if unknown:
                raise DataError(f"{argument('n_treated')} names {unknown[0]!r}, which is not a stratum.")
        counts = [
            whole(given[s] if isinstance(given, Mapping) else given, f"{argument('n_treated')} of {s!r}")
            for s in levels
        ]
        for level, who, k in zip(levels, members, counts, strict=True):
            if not 0 < k < len(who):
                raise DataError(
                    f"Stratum {level!r} has {len(who)} unit(s), of which {k} are to be treated: each needs a treated "
                    "and an untreated one. Merge it with another."
                )
        settle(self, _members=members, _treated=tuple(counts), _n=sum(map(len, members)))
        settle(self, _levels=levels, _labels=row_labels(self.strata))

    def obstacle(self, z: Bools) -> str | None:
        """Return why the design cannot produce this assignment, or None."""
        for level, members, k in zip(self._levels, self._members, self._treated, strict=True):  # type: ignore[attr-defined]
            if z[members].sum() != k:
                return f"stratum {level!r} has {int(z[members].sum())} treated units, the design treats {k}"
        return None


@dataclasses.dataclass(frozen=True, eq=False)
class MatchedPairs(Blocks):
    """Treat one unit of each pair, with probability one half.

    Parameters
    ----------
    pairs : (n,) labels, or (n/2, 2) array of positions
        A label for each unit, every label occurring twice; or the positions of the two units of each pair. A Series
        keeps its row labels, which must then be those of the outcomes.

    Examples
    --------
    >>> MatchedPairs(["a", "a", "b", "b"]).covariance()
    array([[ 0.25, -0.25,  0.  ,  0.  ],
           [-0.25,  0.25,  0.  ,  0.  ],
           [ 0.  ,  0.  ,  0.25, -0.25],
           [ 0.  ,  0.  , -0.25,  0.25]])
    """

    pairs: Any

    def __post_init__(self) -> None:
        array = np.asarray(self.pairs)
        if array.ndim == 2 and array.shape[1] == 2 and np.issubdtype(array.dtype, np.integer):
            if not np.array_equal(np.sort(array, axis=None), np.arange(array.size)):
                raise DataError(
                    f"{argument('pairs')} must name every position 0 to {array.size - 1} exactly once; or give "
                    "one label a unit."
                )
            members: tuple[Ints, ...] = tuple(np.sort(array, axis=1))
            levels: list[Any] = list(range(len(array)))
        else:
            levels, members = _groups(self.pairs, "pairs")
        for level, who in zip(levels, members, strict=True):
            if len(who) != 2:
                raise DataError(f"Pair {level!r} has {len(who)} unit(s); a pair has two.")
        settle(self, _members=members, _treated=(1,) * len(members), _n=2 * len(members))
        settle(self, _levels=levels, _labels=row_labels(self.pairs) if array.ndim == 1 else None)

    @property
    def positions(self) -> Ints:
        """The positions of both units of each pair, as an (n/2, 2) array."""
        return np.array(self._members)

    def obstacle(self, z: Bools) -> str | None:
        """Return why the design cannot produce this assignment, or None."""
        treated = z[self.positions].sum(axis=1)
        wrong = np.flatnonzero(treated != 1)
        if len(wrong):
            level = self._levels[wrong[0]]  # type: ignore[attr-defined]
            return f"pair {level!r} has {int(treated[wrong[0]])} treated units, the design treats one of each pair"
        return None


@dataclasses.dataclass(frozen=True, eq=False)
class Cluster(Design):
    """Complete randomization of whole clusters: all units of a cluster get the same treatment.

    Parameters
    ----------
    clusters : (n,) labels
        A Series keeps its row labels, which must then be those of the outcomes.
    n_treated : int
        How many clusters are treated.

    Examples
    --------
    >>> Cluster(["a", "a", "b", "c"], 1).probabilities().round(3)
    array([0.333, 0.333, 0.333, 0.333])
    """

    clusters: Any
    n_treated: int

    def __post_init__(self) -> None:
        levels, members = _groups(self.clusters, "clusters")
        whole(self.n_treated, argument("n_treated"))
        if not 0 < self.n_treated < len(levels):
            raise DataError(
                f"{self.n_treated} of {len(levels)} clusters are to be treated: one group is empty, and treatment "
                "probabilities must lie strictly between 0 and 1."
            )
        codes = np.empty(sum(map(len, members)), dtype=np.int64)
        for c, who in enumerate(members):
            codes[who] = c
        settle(self, _codes=codes, _n=len(codes), _levels=levels, _labels=row_labels(self.clusters))

    @property
    def codes(self) -> Ints:
        """The number of each unit's cluster."""
        return self._codes  # type: ignore[attr-defined, no-any-return]

    @property
    def _between(self) -> CompleteRandomization:
        return CompleteRandomization(self.n_treated)

    @property
    def _size(self) -> int:
        return int(self.codes.max()) + 1

    def probabilities(self, n: int | None = None) -> Floats:
        """Return P(Z_i = 1) of every unit, as an (n,) array."""
        return np.full(self.units(n), self.n_treated / self._size)

    def moments(self, n: int | None = None) -> Moments:
        """Return probabilities and covariance."""
        refuse_large(self.units(n))
        sigma = exchangeable_covariance(self._size, self.n_treated)
        return Moments(self.probabilities(n), sigma[np.ix_(self.codes, self.codes)])

    def sample(self, draws: int, *, n: int | None = None, seed: int = 0) -> Bools:
        """Return `draws` assignments as a (draws, n) bool array."""
        self.units(n)
        return self._between.sample(draws, n=self._size, seed=seed)[:, self.codes]

    def count(self, n: int | None = None) -> int:
        """Return how many assignments the design can produce."""
        self.units(n)
        return self._between.count(self._size)

    def _enumerate(self, n: int) -> tuple[Bools, Floats]:
        z, probability = self._between.enumerate(self._size)
        return z[:, self.codes], probability

    def fixed_size(self, n: int | None = None) -> int | None:
        """Return the number of treated units where clusters are of equal size, else None."""
        sizes = np.bincount(self.codes)
        return int(self.n_treated * sizes[0]) if (sizes == sizes[0]).all() else None

    def obstacle(self, z: Bools) -> str | None:
        """Return why the design cannot produce this assignment, or None."""
        treated = np.bincount(self.codes, weights=z)
        mixed = np.flatnonzero((treated > 0) & (treated < np.bincount(self.codes)))
        if len(mixed):
            return f"cluster {self._levels[mixed[0]]!r} has treated and untreated units"  # type: ignore[attr-defined]
        if (treated > 0).sum() != self.n_treated:
            return f"{int((treated > 0).sum())} clusters are treated, the design treats {self.n_treated}"
        return None
