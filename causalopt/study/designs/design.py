"""Randomization designs: treatment probabilities, their covariance, sampling in bulk, and enumeration.

A design is the known distribution of the treatment vector Z. Where the covariance of Z has a closed form it is exact;
elsewhere it is found by enumeration where the design is small, else simulated, with its standard error.
"""

from __future__ import annotations

import abc
import dataclasses
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from causalopt.errors import DataError
from causalopt.messages import argument, call
from causalopt.modeling.program import Bools, Floats
from causalopt.study.labels import row_labels

#: Designs with at most this many assignments are enumerated where they have no closed form.
ENUMERATION_LIMIT = 200_000

#: Largest number of units for which an n x n covariance is formed.
LARGEST_COVARIANCE = 2_000

#: Entries of a block of draws that are worked on at once: bounds the memory of a simulation.
BLOCK = 1 << 24


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Probabilities and covariance of a treatment vector.

    Attributes
    ----------
    probabilities : (n,) array
        P_i = P(Z_i = 1).
    covariance : (n, n) array
        Sigma = Cov(Z).
    error : (n, n) array or None
        Standard error of each entry of a simulated covariance; None where it is exact.
    draws : int
        How many assignments it was simulated from, or 0.
    """

    probabilities: Floats
    covariance: Floats
    error: Floats | None = None
    draws: int = 0


class Design(abc.ABC):
    """The known distribution of a 0/1 treatment vector.

    Methods take the number of units `n`, which designs that list their units need not be told.
    """

    #: Number of units where the design itself says it.
    _n: int | None = None

    #: Row labels of the units where the design was given a Series; they must be those of the outcomes.
    _labels: Any = None

    def units(self, n: int | None = None) -> int:
        """Return the number of units.

        Parameters
        ----------
        n : int, optional
            Number of units; needed where the design does not say it.

        Raises
        ------
        DataError
            Where it is not known, or contradicts the design.
        """
        if n is None and self._n is None:
            raise DataError(f"{self} fits any number of units: say {argument('n', assigned=True)}.")
        if n is not None and self._n is not None and n != self._n:
            raise DataError(f"The design is for {self._n} units, but there are {n}.")
        size = int(self._n if n is None else n)  # type: ignore[arg-type]
        self._check(size)
        return size

    def _check(self, n: int) -> None:
        """Raise `DataError` where the design is impossible with n units."""
        if n < 1:
            raise DataError(f"A design needs units; there are {n}.")

    @abc.abstractmethod
    def probabilities(self, n: int | None = None) -> Floats:
        """Return P(Z_i = 1) of every unit, as an (n,) array.

        Parameters
        ----------
        n : int, optional
            Number of units; needed where the design does not say it.
        """

    @abc.abstractmethod
    def moments(self, n: int | None = None) -> Moments:
        """Return probabilities and covariance, with standard errors where they are simulated.

        Parameters
        ----------
        n : int, optional
            Number of units; needed where the design does not say it.
        """

    def covariance(self, n: int | None = None) -> Floats:
        """Return Cov(Z), an (n, n) array.

        Parameters
        ----------
        n : int, optional
            Number of units; needed where the design does not say it.
        """
        return self.moments(n).covariance

    @abc.abstractmethod
    def sample(self, draws: int, *, n: int | None = None, seed: int = 0) -> Bools:
        """Return `draws` assignments as a (draws, n) bool array; the same seed gives the same ones.

        Parameters
        ----------
        draws : int
            How many assignments.
        n : int, optional
            Number of units; needed where the design does not say it.
        seed : int
            The same seed gives the same draws.
        """

    def count(self, n: int | None = None) -> int | None:
        """Return how many assignments the design can produce, or None where it cannot say.

        Parameters
        ----------
        n : int, optional
            Number of units; needed where the design does not say it.
        """
        return None

    def enumerate(self, n: int | None = None) -> tuple[Bools, Floats]:
        """Return all assignments, as an (m, n) bool array, and their probabilities.

        Parameters
        ----------
        n : int, optional
            Number of units; needed where the design does not say it.

        Raises
        ------
        DataError
            Where they are too many, or the design cannot list them.
        """
        size = self.units(n)
        count = self.count(size)
        if count is None or count > ENUMERATION_LIMIT:
            many = "an unknown number of" if count is None else f"{count:,}"
            raise DataError(
                f"{self} has {many} assignments of {size} units; at most {ENUMERATION_LIMIT:,} are enumerated. "
                "Sample from it instead."
            )
        return self._enumerate(size)

    def _enumerate(self, n: int) -> tuple[Bools, Floats]:
        raise NotImplementedError

    def fixed_size(self, n: int | None = None) -> int | None:
        """Return the number of treated units where every assignment has the same, else None.

        Parameters
        ----------
        n : int, optional
            Number of units; needed where the design does not say it.
        """
        return None

    def obstacle(self, z: Bools) -> str | None:
        """Return why the design cannot produce this assignment, in words, or None where it can.

        Parameters
        ----------
        z : (n,) bool array
            An assignment: true where a unit is treated.
        """
        return None

    def refuse(self, z: Bools) -> None:
        """Raise `DataError` where the design cannot produce this assignment.

        Parameters
        ----------
        z : (n,) bool array
            An assignment: true where a unit is treated.
        """
        why = self.obstacle(z)
        if why:
            raise DataError(
                f"The design cannot produce this treatment: {why}. Check that rows are in the order of the design, "
                "and that it is the design that was used."
            )

    def __str__(self) -> str:
        return type(self).__name__


def settle(frozen: Any, **values: Any) -> None:
    """Set attributes of a frozen dataclass as it is made."""
    for name, value in values.items():
        object.__setattr__(frozen, name, value)


def whole(value: Any, what: str) -> int:
    """Return a whole number, or raise `DataError` naming what is not one."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise DataError(f"{what} is {value!r}; a whole number is needed.")
    return int(value)


def choose(n: int, k: int) -> Bools:
    """Return all ways to treat k of n units, as a (comb(n, k), n) bool array."""
    chosen = np.fromiter((i for c in combinations(range(n), k) for i in c), dtype=np.int64, count=comb(n, k) * k)
    z = np.zeros((comb(n, k), n), dtype=bool)
    z[np.repeat(np.arange(len(z)), k), chosen] = True
    return z


def exchangeable_covariance(n: int, treated: int) -> Floats:
    """Return the covariance of complete randomization: p(1 - p) n/(n - 1) (I - 11'/n) with p = treated/n."""
    p = treated / n
    return np.asarray(p * (1 - p) * n / (n - 1) * (np.eye(n) - 1.0 / n))


def refuse_large(n: int) -> None:
    """Raise `DataError` where an n x n covariance would not be formed."""
    if n > LARGEST_COVARIANCE:
        raise DataError(
            f"The covariance of {n:,} units has {n:,} x {n:,} entries; at most {LARGEST_COVARIANCE:,} units are "
            f"handled. Use {argument('method', 'isotone')} or 'conservative' of "
            f"{call('causal_bootstrap', 'causal_bootstrap')}, which need none."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class CompleteRandomization(Design):
    """Treat `n_treated` of the units, all subsets being equally likely.

    Parameters
    ----------
    n_treated : int
        At least one, and fewer than the units.

    Examples
    --------
    >>> design = CompleteRandomization(2)
    >>> design.probabilities(4)
    array([0.5, 0.5, 0.5, 0.5])
    >>> design.count(4)
    6
    """

    n_treated: int

    def __post_init__(self) -> None:
        whole(self.n_treated, argument("n_treated"))

    def _check(self, n: int) -> None:
        if not 0 < self.n_treated < n:
            raise DataError(
                f"{self.n_treated} of {n} units are to be treated: one group is empty, and treatment probabilities "
                "must lie strictly between 0 and 1."
            )

    def probabilities(self, n: int | None = None) -> Floats:
        """Return P(Z_i = 1) of every unit, as an (n,) array."""
        size = self.units(n)
        return np.full(size, self.n_treated / size)

    def moments(self, n: int | None = None) -> Moments:
        """Return probabilities and covariance."""
        size = self.units(n)
        refuse_large(size)
        return Moments(self.probabilities(size), exchangeable_covariance(size, self.n_treated))

    def sample(self, draws: int, *, n: int | None = None, seed: int = 0) -> Bools:
        """Return `draws` assignments as a (draws, n) bool array."""
        size = self.units(n)
        return permuted(np.arange(size) < self.n_treated, draws, np.random.default_rng(seed))

    def count(self, n: int | None = None) -> int:
        """Return how many assignments the design can produce."""
        return comb(self.units(n), self.n_treated)

    def _enumerate(self, n: int) -> tuple[Bools, Floats]:
        z = choose(n, self.n_treated)
        return z, np.full(len(z), 1.0 / len(z))

    def fixed_size(self, n: int | None = None) -> int:
        """Return the number of treated units."""
        return self.n_treated

    def obstacle(self, z: Bools) -> str | None:
        """Return why the design cannot produce this assignment, or None."""
        if z.sum() != self.n_treated:
            return f"{int(z.sum())} units are treated, the design treats {self.n_treated}"
        return None


def permuted(row: Bools, draws: int, rng: np.random.Generator) -> Bools:
    """Return `draws` random permutations of a row."""
    z = np.empty((draws, len(row)), dtype=bool)
    step = max(1, BLOCK // max(len(row), 1))
    for start in range(0, draws, step):
        block = z[start : start + step]
        block[:] = row
        rng.permuted(block, axis=1, out=block)
    return z


@dataclasses.dataclass(frozen=True, eq=False)
class Bernoulli(Design):
    """Treat each unit independently with its own probability.

    Parameters
    ----------
    p : float or (n,) array
        Strictly between 0 and 1. A Series keeps its row labels, which must then be those of the outcomes.

    Examples
    --------
    >>> Bernoulli(0.5).covariance(2)
    array([[0.25, 0.  ],
           [0.  , 0.25]])
    """

    p: Any

    def __post_init__(self) -> None:
        values = read_probabilities(self.p)
        if values.ndim:
            settle(self, _n=len(values), _labels=row_labels(self.p))
        settle(self, p=values if values.ndim else float(values))

    def probabilities(self, n: int | None = None) -> Floats:
        """Return P(Z_i = 1) of every unit, as an (n,) array."""
        return np.broadcast_to(self.p, self.units(n)).astype(float)

    def moments(self, n: int | None = None) -> Moments:
        """Return probabilities and covariance."""
        p = self.probabilities(n)
        refuse_large(len(p))
        return Moments(p, np.diag(p * (1 - p)))

    def sample(self, draws: int, *, n: int | None = None, seed: int = 0) -> Bools:
        """Return `draws` assignments as a (draws, n) bool array."""
        p = self.probabilities(n)
        return np.asarray(np.random.default_rng(seed).random((draws, len(p))) < p)

    def count(self, n: int | None = None) -> int:
        """Return how many assignments the design can produce."""
        return 1 << self.units(n)

    def _enumerate(self, n: int) -> tuple[Bools, Floats]:
        z = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1 == 1
        p = self.probabilities(n)
        return z, np.where(z, p, 1 - p).prod(axis=1)


def read_probabilities(p: Any) -> Floats:
    """Return treatment probabilities as an array, or raise `DataError` naming those that are not between 0 and 1."""
    try:
        values = np.asarray(p, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"The treatment probabilities are not numbers: {p!r}.") from None
    if values.ndim > 1 or values.size == 0:
        raise DataError(f"The treatment probabilities have shape {values.shape}; one number, or one a unit, is needed.")
    bad = np.flatnonzero(~((values > 0) & (values < 1)))
    if len(bad):
        shown = ", ".join(f"{values.ravel()[i]:g} (unit {i})" for i in bad[:5])
        raise DataError(
            f"{len(bad)} treatment probabilities are not strictly between 0 and 1: {shown}. A unit whose treatment is "
            "certain says nothing about its other outcome: leave it out."
        )
    return values


def as_assignments(values: npt.ArrayLike, n: int | None, what: str) -> Bools:
    """Return assignments given by a caller's function as a (draws, n) bool array, or raise `DataError`."""
    array = np.asarray(values)
    if array.ndim != 2 or (n is not None and array.shape[1] != n):
        raise DataError(f"{what} must give a (draws, units) array; its shape is {array.shape}.")
    if array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise DataError(f"{what} must give treatments of 0 and 1.")
    return array.astype(bool, copy=False)
