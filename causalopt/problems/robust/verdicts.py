"""What robust tests decide at a level, from the least and the largest p-value of all pairings."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

import numpy as np

from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.verifying.claims import Proof, Verification

#: The level at which decisions are told.
LEVEL = 0.05

#: The decision where some pairings reject and others do not.
DEPENDS = "depends on the pairing"


def p_value(z: float) -> float:
    """Return the one-sided p-value 1 - Phi(z)."""
    from scipy.special import ndtr

    return float(ndtr(-z))


def threshold(level: float) -> float:
    """Return the Z above which the test rejects at a level."""
    from scipy.special import ndtri

    return float(-ndtri(level))


def check_level(level: float) -> float:
    """Return a level that is strictly between 0 and 1, or raise `DataError`."""
    if isinstance(level, bool) or not isinstance(level, int | float | np.number) or not 0 < level < 1:
        raise DataError(f"{argument('level')} is {level!r}; it must be between 0 and 1.")
    return float(level)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What p-values between two ends decide at a level; the ends are numbers, or arrays of one shape.

    Attributes
    ----------
    low, high : float or array
        The least and the largest p-value.
    level : float
    """

    low: Any
    high: Any
    level: float

    def __post_init__(self) -> None:
        check_level(self.level)

    @property
    def decision(self) -> Any:
        """The decision in words, an array of them: "reject", "do not reject", or "depends on the pairing"."""
        cases = [np.asarray(self.high <= self.level), np.asarray(self.low > self.level)]
        return np.select(cases, ["reject", "do not reject"], DEPENDS)

    @property
    def alpha_robust(self) -> Any:
        """Whether the p-values differ by no more than the level."""
        return self.high - self.low <= self.level

    @property
    def absolute_robust(self) -> Any:
        """Whether the decision depends on no pairing."""
        return self.decision != DEPENDS


class Verdicts(abc.ABC):
    """A test that decides by the least and the largest p-value of all pairings."""

    @property
    @abc.abstractmethod
    def p_interval(self) -> tuple[float, float]:
        """The least and the largest one-sided p-value."""

    def decision(self, level: float = LEVEL) -> str:
        """Return what the matchings decide at a level: "reject", "do not reject", or "depends on the pairing".

        Parameters
        ----------
        level : float
            Significance level.
        """
        return str(Verdict(*self.p_interval, level).decision)

    def alpha_robust(self, level: float = LEVEL) -> bool:
        """Whether the p-values of any two matchings differ by no more than the level ([ROBZ] section 2).

        Parameters
        ----------
        level : float
            Significance level.
        """
        return bool(Verdict(*self.p_interval, level).alpha_robust)

    def absolute_robust(self, level: float = LEVEL) -> bool:
        """Whether every matching leads to the same decision at the level.

        Parameters
        ----------
        level : float
            Significance level.
        """
        return bool(Verdict(*self.p_interval, level).absolute_robust)


@dataclasses.dataclass(frozen=True)
class PairVerification(Verification):
    """What was recomputed of the two matchings from the data, unit by unit."""

    checked: str = ""

    def __str__(self) -> str:
        return self.checked if self.passed else super().__str__()


def decision_words(decision: str, proof: Proof) -> str:
    """Return the decision at level .05 in a sentence, with what stands behind it."""
    if decision == DEPENDS:
        return "At level .05 the decision depends on the pairing: some pairs reject 'no effect', others do not."
    verb = "rejects" if decision == "reject" else "does not reject"
    if proof is Proof.CERTIFIED:
        return f"Whatever the pairs, the test {verb} 'no effect' at level .05."
    stands = "claimed by the solver" if proof is Proof.CLAIMED else "not proven"
    return (
        f"With either of the two sets of pairs found, the test {verb} 'no effect' at level .05; that it does so "
        f"whatever the pairs is {stands}."
    )


def silent_words() -> str:
    """Return what no robust test says."""
    return (
        "What it does not say: whether the good matches are alike in what was not measured, or how large the effect "
        "is. The range is one of choices of the analyst, not of sampling."
    )
