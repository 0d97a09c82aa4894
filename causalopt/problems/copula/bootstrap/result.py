"""What the causal bootstrap answers: an effect, and intervals by method."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from causalopt.errors import DataError
from causalopt.modeling.program import Floats
from causalopt.problems.copula.result import CopulaResult
from causalopt.solving.answer import Answer
from causalopt.solving.options import unknown_name


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class BootstrapResult(Answer):
    """An estimated effect with intervals for the uncertainty of the randomization.

    Attributes
    ----------
    estimate, level : float
    method : str
        The method whose interval `lower` and `upper` are.
    estimator, design : str
    table : DataFrame
        By method: variance, standard error, and the ends of the intervals by normal approximation and by quantiles
        (missing where there are none), and the `width` of the one that `interval` returns.
    imputed : mapping from method to DataFrame
        Both outcomes of every unit.
    errors : mapping from method to array
        Redrawn estimates minus the effect that was imputed.
    copula : CopulaResult or None
        The worst case, with its proof, for the method "optimal".
    notes : mapping from method to str
        Why a method is missing, or less than it should be.
    """

    estimate: float
    level: float
    method: str
    estimator: str
    design: str
    table: pd.DataFrame
    imputed: Mapping[str, pd.DataFrame]
    errors: Mapping[str, Floats]
    copula: CopulaResult | None = None
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def interval(self, kind: str | None = None, method: str | None = None) -> tuple[float, float]:
        """Return the ends of an interval.

        Parameters
        ----------
        kind : {"quantile", "normal", "studentised"}, optional
            By quantiles, unless said otherwise; the normal one where there are none, and where the worst case is not
            proven: quantiles are those of the copula found, while the normal interval takes the proven bound.
        method : str, optional
            One of those in `table`; that of the result unless given.

        Raises
        ------
        DataError
            Where the method or kind of interval was not computed.
        """
        name = self.method if method is None else method
        if name not in self.table.index:
            raise DataError(
                self.notes[name] if name in self.notes else unknown_name("method", name, map(str, self.table.index))
            )
        row = self.table.loc[name]
        if kind is None:
            drawn = np.isfinite(row["quantile lower"]) and name not in self.notes
            kind = "quantile" if drawn else "normal"
        if f"{kind} lower" not in row or not np.isfinite(row[f"{kind} lower"]):
            raise DataError(f"Method {name!r} has no {kind} interval.")
        return float(row[f"{kind} lower"]), float(row[f"{kind} upper"])

    @property
    def lower(self) -> float:
        """Lower end of the interval."""
        return self.interval()[0]

    @property
    def upper(self) -> float:
        """Upper end of the interval."""
        return self.interval()[1]

    @property
    def variance(self) -> float:
        """V*, the variance of the estimate under the method of the result."""
        return float(self.table.loc[self.method, "variance"])

    def __repr__(self) -> str:
        """Return the summary: what a prompt or a notebook shows."""
        return f"{type(self).__name__}\n{self.summary()}"

    def summary(self) -> str:
        """Return the result in a few lines of plain text."""
        lines = [
            f"effect      {self.estimate:.6g} ({self.estimator}, {self.design})",
            f"interval    {self.lower:.6g} to {self.upper:.6g} ({self.level:.0%}, {self.method})",
            "",
            self.table.to_string(float_format=lambda value: f"{value:.5g}", na_rep=""),
        ]
        lines += [f"{name}: {note}" for name, note in self.notes.items()]
        return "\n".join(lines)
