"""What a balance problem answers: weights, balance, duals and estimates."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError
from causalopt.inference.weighted import Estimate, weighted_difference, weighted_mean
from causalopt.modeling.program import Floats
from causalopt.problems.reading import refuse_rows
from causalopt.solving.options import unknown_name
from causalopt.solving.result import Result

if TYPE_CHECKING:
    from causalopt.problems.balance import BalanceProblem, Group

#: A balance constraint closer than this to its tolerance (relative to it) counts as active.
ACTIVE = 1e-4


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class BalanceResult(Result):
    """Balancing weights.

    Attributes
    ----------
    weights : Series
        Indexed as the data, of mean one within each treatment group. Under ATT the treated (under ATC the controls)
        keep their sampling weights, or one.
    problem : BalanceProblem
    data : DataFrame or None
        The frame given to `causalopt.balance`, for outcomes named by column.
    """

    weights: pd.Series
    problem: BalanceProblem
    data: pd.DataFrame | None = None

    def _of(self, group: Group) -> Floats:
        weights: Floats = self.weights.to_numpy()[group.members]
        return weights

    def _by_group(self, values: list[float], name: str) -> pd.Series:
        labels = pd.Index([g.label for g in self.problem.groups], name="group")
        return pd.Series(values, index=labels, name=name)

    @property
    def effective_sample_size(self) -> pd.Series:
        """(sum w)^2 / sum w^2 of each weighted group (Kish 1965)."""
        sizes = []
        for group in self.problem.groups:
            w = self._of(group)
            sizes.append(float(w.sum() ** 2 / (w @ w)))
        return self._by_group(sizes, "effective sample size")

    @property
    def cv(self) -> pd.Series:
        """Coefficient of variation of the weights of each weighted group, with ddof 1 as in R's sbw."""
        return self._by_group([float(self._of(g).std(ddof=1) / self._of(g).mean()) for g in self.problem.groups], "cv")

    @property
    def variance(self) -> pd.Series:
        """Sum of (w - 1/r)^2 with weights that sum to one, of each weighted group: the objective of [SBW]."""
        values = []
        for group in self.problem.groups:
            w = self._of(group) / group.size
            values.append(float(((w - 1 / group.size) ** 2).sum()))
        return self._by_group(values, "variance of weights")

    def balance_table(self) -> pd.DataFrame:
        """Return means before and after weighting by group and covariate, in the covariates' own units.

        Columns `smd before`, `smd after` and `tolerance` are in the unit of `scale`; `active` says whether the
        tolerance binds.
        """
        problem = self.problem
        parts = []
        for group in problem.groups:
            unit, spread = problem._unit_of(group), problem._moments.spread
            rows = group.rows[:-1]
            before = rows @ (np.broadcast_to(group.spread, group.size) / group.size)
            after = rows @ self._of(group) / group.size
            difference = after * spread / unit
            slack = problem.tolerance - np.abs(difference)
            parts.append(
                pd.DataFrame(
                    {
                        "target": problem.target,
                        "mean before": problem.target + before * spread,
                        "mean after": problem.target + after * spread,
                        "smd before": before * spread / unit,
                        "smd after": difference,
                        "tolerance": problem.tolerance,
                        "active": slack <= ACTIVE * np.maximum(problem.tolerance, 1e-6),
                    },
                    index=pd.MultiIndex.from_product([[group.label], problem.names], names=["group", "covariate"]),
                )
            )
        table = pd.concat(parts)
        return table.droplevel("group") if len(parts) == 1 else table

    @property
    def duals(self) -> pd.DataFrame:
        """What each tolerance costs, dearest first.

        Columns: `covariate`, `side` ("above" where the weighted mean is held down, "below" where it is held up),
        `tolerance`, `dual` (decrease of the squared coefficient of variation, population form, per unit of
        tolerance), and `price of 0.01`: the part of the variance of the weights that 0.01 more tolerance would save
        ([SBW] section 4.2 and figure 1). [MATH: d CV^2 / d d_p = -2 |lambda_p| under the objective |u|^2 / 2r.]
        """
        problem = self.problem
        frames = []
        row = 0
        for group in problem.groups:
            kept = problem.kept[group.start]
            multipliers = np.zeros(len(problem.names) + 1)
            if self.row_dual is not None:
                multipliers[kept] = self.row_dual[row : row + len(kept)]
            row += len(kept)
            y = multipliers[:-1] * problem._unit_of(group) / problem._moments.spread
            w = self._of(group)
            squared_cv = float(w.var() / w.mean() ** 2)
            dual = 2.0 * np.abs(y)
            frames.append(
                pd.DataFrame(
                    {
                        "group": group.label,
                        "covariate": problem.names,
                        "side": np.where(y < 0, "above", np.where(y > 0, "below", "")),
                        "tolerance": problem.tolerance,
                        "dual": dual,
                        "price of 0.01": 0.01 * dual / squared_cv if squared_cv > 0 else 0.0 * dual,
                    }
                )
            )
        table = pd.concat(frames).sort_values("dual", ascending=False, kind="stable", ignore_index=True)
        return table.drop(columns="group") if len(frames) == 1 else table

    def estimate(self, outcome: Any, level: float = 0.95) -> Estimate:
        """Estimate the effect: the difference of weighted means, treated minus control.

        Parameters
        ----------
        outcome : str, Series or array
            A column of the data given to `causalopt.balance`, or n values. Without treatment groups, the weighted
            mean itself is estimated; outcomes outside the weighted rows may then be missing.
        level : float
            Of the normal interval.

        Returns
        -------
        Estimate
            Its standard error takes the weights as fixed (linearised, see `causalopt.inference.weighted`).
        """
        y = self._outcome(outcome)
        problem = self.problem
        w = self.weights.to_numpy()
        source = "linearised standard error, weights taken as fixed"
        if len(problem.levels) == 1:
            mean, variance = weighted_mean(y, w)
            from causalopt.inference.weighted import normal_estimate

            return normal_estimate(mean, variance, level, f"weighted mean; {source}")
        if problem._treated_code is None:
            raise DataError(
                f"The treatment has the values {problem.levels}: say treated= to contrast two of two groups, or use "
                "`weights` with an estimator of your own."
            )
        one = problem._codes == problem._treated_code
        return weighted_difference([y[one], y[~one]], [w[one], w[~one]], level, f"{problem.estimand}; {source}")

    def _outcome(self, outcome: Any) -> Floats:
        name = "The outcome"
        if isinstance(outcome, str):
            if self.data is None:
                raise DataError(f"No data is attached to this result: give the values of {outcome!r} instead.")
            if outcome not in self.data.columns:
                raise DataError(unknown_name("column", outcome, map(str, self.data.columns)))
            name, outcome = f"The outcome {outcome!r}", self.data[outcome]
        if isinstance(outcome, pd.Series) and not outcome.index.equals(self.weights.index):
            raise DataError(f"{name} and the weights have different row labels; align them first.")
        try:
            y = np.asarray(outcome, dtype=float)
        except (TypeError, ValueError):
            raise DataError(f"{name} is not numeric.") from None
        if y.shape != (len(self.weights),):
            raise DataError(f"{name} must hold {len(self.weights)} values; its shape is {y.shape}.")
        refuse_rows(~np.isfinite(y), self.weights.index, f"{name} has missing or infinite values")
        return y

    def facts(self) -> dict[str, str]:
        """Return the facts of the solve, with those of the weights first."""
        sizes = self.effective_sample_size
        table = self.balance_table()
        own = {
            "estimand": self.problem.estimand,
            "weighted units": ", ".join(
                f"{g.size:,}" + (f" (group {g.label})" if len(sizes) > 1 else "") for g in self.problem.groups
            ),
            "effective sample size": ", ".join(f"{value:,.1f}" for value in sizes),
            "largest imbalance": (
                f"{table['smd before'].abs().max():.3g} before, {table['smd after'].abs().max():.3g} after"
            ),
            "zero weights": ", ".join(f"{int((self._of(g) <= 1e-7).sum()):,}" for g in self.problem.groups),
        }
        if self.problem.dropped:
            own["implied by others"] = ", ".join(self.problem.dropped)
        return own | super().facts()
