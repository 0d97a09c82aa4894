"""What a robust McNemar test answers: both extremes with their pairs, and the verdicts."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from causalopt.modeling.program import Ints
from causalopt.problems.robust.data import sign_of
from causalopt.problems.robust.mcnemar.data import DiscordantStudy
from causalopt.problems.robust.verdicts import LEVEL, Verdicts, p_value
from causalopt.solving.result import Result


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RobustMcNemarResult(Verdicts, Result):
    """The extremes of McNemar's statistic over all matchings with n discordant pairs.

    Attributes
    ----------
    problem : RobustMcNemarProblem
    most, least : int arrays
        Positions in the match graph of the pairs with the most and the least B.
    study : DiscordantStudy
        The data of the problem.
    """

    problem: Any
    most: Ints
    least: Ints
    study: DiscordantStudy

    @property
    def n(self) -> int:
        """Number of discordant pairs."""
        return self.study.n

    def counts(self, used: Ints) -> tuple[int, int]:
        """Return B and C of some pairs.

        Parameters
        ----------
        used : int array
            Positions of the pairs used.
        """
        return self.study.counts(used)

    @property
    def b_range(self) -> tuple[int, int]:
        """The least and the most pairs in which only the treated unit has the outcome."""
        return self.counts(self.least)[0], self.counts(self.most)[0]

    @property
    def z_max(self) -> float:
        """The largest Z."""
        return _mcnemar(*self.counts(self.most))

    @property
    def z_min(self) -> float:
        """The least Z."""
        return _mcnemar(*self.counts(self.least))

    @property
    def p_interval(self) -> tuple[float, float]:
        """The least and the largest one-sided p-value, 1 - Phi(Z)."""
        return p_value(self.z_max), p_value(self.z_min)

    def pairs(self, side: str = "max") -> pd.DataFrame:
        """Return the discordant pairs of a side, "max" or "min": labels and outcomes.

        Parameters
        ----------
        side : str
            "max" or "min": which end of B.

        Raises
        ------
        OptionError
            For an unknown side.
        """
        used, study = self.most if sign_of(side) > 0 else self.least, self.study
        i, j = study.graph.i[used], study.graph.j[used]
        return pd.DataFrame(
            {
                "treated": study.graph.treated[i],
                "control": study.graph.control[j],
                "treated outcome": study.treated_outcome[i].astype(int),
                "control outcome": study.control_outcome[j].astype(int),
            }
        )

    def facts(self) -> dict[str, str]:
        """Return the facts of the solve, with those of the test first."""
        low, high = self.p_interval
        own = {
            "discordant pairs": f"{self.n:,}",
            "B": "{} to {}".format(*self.b_range),
            "Z": f"{self.z_min:.6g} to {self.z_max:.6g}",
            "p-values": f"{low:.3g} to {high:.3g}",
            "decision at .05": self.decision(LEVEL),
        }
        return own | super().facts()


def _mcnemar(b: int, c: int) -> float:
    return (b - c - 1) / float(np.sqrt(b + c))
