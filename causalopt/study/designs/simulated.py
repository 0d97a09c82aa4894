"""Designs whose covariance has no closed form: rerandomization, any sampler, and a covariance given as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from causalopt.errors import DataError, warn
from causalopt.messages import argument
from causalopt.modeling.program import Bools, Floats
from causalopt.study.designs.design import (
    BLOCK,
    ENUMERATION_LIMIT,
    Design,
    Moments,
    as_assignments,
    read_probabilities,
    refuse_large,
    settle,
)

#: Assignments from which moments are simulated, unless a design says otherwise.
SIMULATION_DRAWS = 20_000

#: Candidates of a rerandomized design after which an acceptance rate below `LEAST_ACCEPTED` is reported.
PATIENCE = 100_000
LEAST_ACCEPTED = 1e-3

#: A rerandomized design gives up once its candidates outnumber the draws asked for by this factor.
MOST_CANDIDATES = 20_000


def moments_of(z: Bools, weights: Floats | None = None) -> Moments:
    """Return the moments of assignments: exact where `weights` are their probabilities, else those of a sample."""
    m, n = z.shape
    refuse_large(n)
    w = np.full(m, 1.0 / m) if weights is None else weights
    p = z.mean(axis=0) if weights is None else w @ z
    always = z.all(axis=0) | ~z.any(axis=0)
    if always.any():
        certain = np.flatnonzero(always)
        raise DataError(
            f"Units {certain[:5].tolist()} have the same treatment in every assignment: their probabilities are 0 or "
            "1, and nothing can be said of their other outcome. Leave them out."
        )
    sigma, fourth = np.zeros((n, n)), np.zeros((n, n))
    step = max(1, BLOCK // n)
    for start in range(0, m, step):
        centred = z[start : start + step] - p
        weighted = centred * w[start : start + step, None]
        sigma += weighted.T @ centred
        if weights is None:
            fourth += (weighted * centred).T @ (centred * centred)
    sigma = (sigma + sigma.T) / 2
    if weights is not None:
        return Moments(p, sigma)
    return Moments(p, sigma, np.sqrt(np.maximum(fourth - sigma**2, 0.0) / m), m)


class _Simulated(Design):
    """A design that is enumerated where it is small, and simulated elsewhere; moments are kept for reuse."""

    draws: int
    simulation_seed: int
    _cache: dict[int, Moments]

    def moments(self, n: int | None = None) -> Moments:
        """Return probabilities and covariance, with standard errors where they are simulated."""
        size = self.units(n)
        if size not in self._cache:
            refuse_large(size)
            count = self.count(size)
            if count is not None and count <= ENUMERATION_LIMIT:
                self._cache[size] = moments_of(*self.enumerate(size))
            else:
                self._cache[size] = moments_of(self.sample(self.draws, n=size, seed=self.simulation_seed))
        return self._cache[size]

    def probabilities(self, n: int | None = None) -> Floats:
        """Return P(Z_i = 1) of every unit, as an (n,) array."""
        return self.moments(n).probabilities


@dataclasses.dataclass(frozen=True, eq=False)
class Rerandomized(_Simulated):
    """Draw from a base design until an assignment is accepted.

    Parameters
    ----------
    base : Design
    accept : callable
        Takes an (m, n) bool array of assignments, one a row, and returns m booleans. See `MahalanobisBalance`.
    draws : int
        Accepted assignments from which the covariance is simulated where enumeration is out of reach.
    simulation_seed : int

    Raises
    ------
    DataError
        At the first use, where nothing is accepted; where almost nothing is, a warning tells the rate.

    Examples
    --------
    >>> import numpy as np
    >>> from causalopt.study.designs.design import CompleteRandomization
    >>> x = np.array([1.0, 2.0, 3.0, 6.0])
    >>> design = Rerandomized(CompleteRandomization(2), lambda z: abs(z @ x - (~z) @ x) <= 2)
    >>> design.enumerate(4)[0].astype(int)
    array([[1, 0, 0, 1],
           [0, 1, 1, 0]])
    """

    base: Design
    accept: Callable[[Bools], Any]
    draws: int = SIMULATION_DRAWS
    simulation_seed: int = 0
    _cache: dict[int, Moments] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.base, Design):
            raise DataError(f"{argument('base')} must be a design, not {type(self.base).__name__}.")
        settle(self, _n=self.base._n, _labels=self.base._labels)

    def _check(self, n: int) -> None:
        self.base.units(n)

    def accepts(self, z: Bools) -> Bools:
        """Return which of the assignments (rows) are accepted.

        Parameters
        ----------
        z : (m, n) bool array
            Assignments, one a row.

        Raises
        ------
        DataError
            Where the rule does not return one boolean a row.
        """
        accepted = np.asarray(self.accept(z))
        if accepted.shape != (len(z),):
            raise DataError(
                f"accept() was given {len(z)} assignments as rows and returned shape {accepted.shape}; it must return "
                "one boolean a row."
            )
        return accepted.astype(bool)

    def sample(self, draws: int, *, n: int | None = None, seed: int = 0) -> Bools:
        """Return `draws` assignments as a (draws, n) bool array.

        Raises
        ------
        DataError
            Where the rule accepts none, or fewer than were asked for.
        """
        size = self.units(n)
        found: list[Bools] = []
        accepted, tried, warned = 0, 0, False
        block = max(1_000, min(draws * 2, max(1, BLOCK // size)))
        seeds = np.random.SeedSequence(seed)
        while accepted < draws:
            candidates = self.base.sample(block, n=size, seed=int(seeds.spawn(1)[0].generate_state(1)[0]))
            kept = candidates[self.accepts(candidates)]
            found.append(kept)
            accepted += len(kept)
            tried += block
            if tried >= PATIENCE and accepted == 0:
                raise DataError(
                    f"The design accepted none of {tried:,} assignments drawn from {self.base}: accept() is too "
                    "strict, or never true. Loosen it."
                )
            if tried >= PATIENCE and accepted < LEAST_ACCEPTED * tried and not warned:
                warned = True
                warn(
                    f"The design accepts almost nothing: {accepted} of {tried:,} assignments drawn from {self.base}. "
                    "Sampling is slow, and the accepted assignments may be few; loosen accept()."
                )
            if tried > MOST_CANDIDATES * max(draws, 100):
                raise DataError(
                    f"The design accepted {accepted} of {tried:,} assignments drawn from {self.base}, and {draws} were "
                    "needed. Loosen accept(), or ask for fewer draws."
                )
        return np.concatenate(found)[:draws]

    def count(self, n: int | None = None) -> int | None:
        """Return how many assignments the design can produce, or None where the base's are too many to look at."""
        size = self.units(n)
        count = self.base.count(size)
        if count is None or count > ENUMERATION_LIMIT:
            return None
        return len(self._enumerate(size)[0])

    def _enumerate(self, n: int) -> tuple[Bools, Floats]:
        z, probability = self.base.enumerate(n)
        accepted = self.accepts(z)
        if not accepted.any():
            raise DataError(f"The design accepts none of the {len(z):,} assignments of {self.base}: loosen accept().")
        return z[accepted], probability[accepted] / probability[accepted].sum()

    def acceptance_rate(self, n: int | None = None, *, draws: int = SIMULATION_DRAWS, seed: int = 0) -> float:
        """Return the share of the base's assignments that are accepted, by enumeration or from `draws` of them.

        Parameters
        ----------
        n : int, optional
            Number of units; needed where the design does not say it.
        draws : int
            How many assignments of the base design are looked at.
        seed : int
            The same seed gives the same draws.
        """
        size = self.units(n)
        count = self.base.count(size)
        if count is not None and count <= ENUMERATION_LIMIT:
            z, probability = self.base.enumerate(size)
            return float(probability[self.accepts(z)].sum())
        return float(self.accepts(self.base.sample(draws, n=size, seed=seed)).mean())

    def fixed_size(self, n: int | None = None) -> int | None:
        """Return the number of treated units where every assignment has the same, else None."""
        return self.base.fixed_size(n)

    def obstacle(self, z: Bools) -> str | None:
        """Return why the design cannot produce this assignment, or None."""
        why = self.base.obstacle(z)
        if why is None and not self.accepts(z[None, :])[0]:
            why = "accept() rejects it"
        return why


@dataclasses.dataclass(frozen=True)
class MahalanobisBalance:
    """Accept assignments whose covariate means differ by little between groups (Morgan and Rubin 2012, section 2).

    Parameters
    ----------
    covariates : (n,) or (n, d) array
    threshold : float
        Largest squared Mahalanobis distance  (difference of means)' [Cov(X) (1/N1 + 1/N0)]^-1 (difference of means).
        About chi-squared with d degrees of freedom under complete randomization.

    Examples
    --------
    >>> import numpy as np
    >>> accept = MahalanobisBalance(np.arange(6.0), 0.1)
    >>> accept(np.array([[True, False, False, True, True, False]] * 2))
    array([ True,  True])
    """

    covariates: Any
    threshold: float

    def __call__(self, z: Bools) -> Bools:
        """Return which assignments (rows) are within the threshold."""
        x = np.asarray(self.covariates, dtype=float)
        x = x[:, None] if x.ndim == 1 else x
        treated = z.sum(axis=1)
        control = z.shape[1] - treated
        with np.errstate(divide="ignore", invalid="ignore"):
            difference = (z @ x) / treated[:, None] - ((~z) @ x) / control[:, None]
            scale = 1.0 / treated + 1.0 / control
        inverse = np.linalg.pinv(np.atleast_2d(np.cov(x, rowvar=False)))
        distance = np.einsum("ri,ij,rj->r", difference, inverse, difference) / scale
        return np.asarray(distance <= self.threshold)


@dataclasses.dataclass(frozen=True, eq=False)
class SampledDesign(_Simulated):
    """Any design that can be sampled.

    Parameters
    ----------
    sampler : callable
        `sampler(rng, draws)` returns a (draws, n) array of 0 and 1, using the NumPy generator `rng`.
    draws : int
        Assignments from which probabilities and covariance are simulated.
    simulation_seed : int

    Examples
    --------
    >>> design = SampledDesign(lambda rng, draws: rng.random((draws, 3)) < 0.5)
    >>> design.moments(3).error.max() < 0.01
    np.True_
    """

    sampler: Callable[[np.random.Generator, int], Any]
    draws: int = SIMULATION_DRAWS
    simulation_seed: int = 0
    _cache: dict[int, Moments] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.sampler):
            raise DataError(
                f"{argument('sampler')} must be a function of (rng, draws) that returns a (draws, n) array of 0 and 1."
            )
        probe = as_assignments(self.sampler(np.random.default_rng(0), 1), None, "The sampler")
        settle(self, _n=probe.shape[1])

    def sample(self, draws: int, *, n: int | None = None, seed: int = 0) -> Bools:
        """Return `draws` assignments as a (draws, n) bool array.

        Raises
        ------
        DataError
            Where the sampler gives another number of assignments than it was asked for.
        """
        z = as_assignments(self.sampler(np.random.default_rng(seed), draws), self.units(n), "The sampler")
        if len(z) != draws:
            raise DataError(f"The sampler was asked for {draws} assignments and gave {len(z)}.")
        return z


@dataclasses.dataclass(frozen=True, eq=False)
class KnownCovariance(Design):
    """A design of which only probabilities and covariance are known: it cannot be sampled.

    It serves estimators that are linear in treatment, and normal intervals.

    Parameters
    ----------
    sigma : (n, n) array
        Cov(Z), positive semidefinite, with p(1 - p) on its diagonal (to within 5%, for one that was simulated).
    p : float or (n,) array
        Treatment probabilities.

    Examples
    --------
    >>> KnownCovariance([[0.25, -0.25], [-0.25, 0.25]], 0.5).fixed_size()
    1
    """

    sigma: Any
    p: Any

    def __post_init__(self) -> None:
        sigma = np.asarray(self.sigma, dtype=float)
        if sigma.ndim != 2 or sigma.shape[0] != sigma.shape[1] or sigma.size == 0:
            raise DataError(f"{argument('sigma')} has shape {sigma.shape}; a square matrix is needed, one row a unit.")
        if not np.isfinite(sigma).all():
            raise DataError(f"{argument('sigma')} holds a value that is not finite.")
        n = len(sigma)
        refuse_large(n)
        scale = float(np.abs(sigma).max())
        if np.abs(sigma - sigma.T).max() > 1e-8 * scale:
            raise DataError(f"{argument('sigma')} is not symmetric; a covariance is.")
        sigma = (sigma + sigma.T) / 2
        smallest = float(np.linalg.eigvalsh(sigma)[0])
        if smallest < -1e-8 * scale:
            raise DataError(
                f"{argument('sigma')} is not positive semidefinite (its smallest eigenvalue is {smallest:.3g}): no "
                "treatment vector has this covariance."
            )
        p = np.broadcast_to(read_probabilities(self.p), n).astype(float)
        off = np.abs(np.diag(sigma) - p * (1 - p)) > 0.05 * p * (1 - p)
        if off.any():
            i = int(np.flatnonzero(off)[0])
            raise DataError(
                f"The variance of unit {i} is {sigma[i, i]:.4g}, but a 0/1 treatment with probability {p[i]:.4g} has "
                f"{p[i] * (1 - p[i]):.4g}. A covariance of treatments coded -1/+1 must be divided by 4."
            )
        settle(self, sigma=sigma, p=p, _n=n)

    def probabilities(self, n: int | None = None) -> Floats:
        """Return P(Z_i = 1) of every unit, as an (n,) array."""
        self.units(n)
        return np.asarray(self.p)

    def moments(self, n: int | None = None) -> Moments:
        """Return probabilities and covariance."""
        return Moments(self.probabilities(n), self.sigma)

    def sample(self, draws: int, *, n: int | None = None, seed: int = 0) -> Bools:
        """Return nothing, but raise: a covariance does not say how to draw assignments.

        Raises
        ------
        DataError
            Always.
        """
        raise DataError(
            "Only the covariance of this design is known, and it does not say how to draw assignments. Use intervals "
            "by normal approximation and estimators that are linear in treatment, or give a SampledDesign."
        )

    def fixed_size(self, n: int | None = None) -> int | None:
        """Return the number of treated units where its variance is zero, else None."""
        if abs(float(self.sigma.sum())) > 1e-9 * float(np.abs(self.sigma).sum()):
            return None
        return round(float(np.sum(self.p)))

    def obstacle(self, z: Bools) -> str | None:
        """Return why the design cannot produce this assignment, or None: combinations without variance must agree."""
        values, vectors = np.linalg.eigh(self.sigma)
        null = vectors[:, values <= 1e-10 * values[-1]]
        if null.shape[1] and np.abs(null.T @ (z - self.p)).max() > 1e-6:
            return "a combination of treatments that has no variance under sigma differs from its mean"
        return None
