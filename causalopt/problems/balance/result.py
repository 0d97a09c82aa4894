"""What a balance problem answers: weights, balance, duals and estimates."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError
from causalopt.modeling.program import Floats, Ints
from causalopt.problems.balance.data import BalanceStudy
from causalopt.problems.balance.estimate import Bootstrap, compared, difference, estimate
from causalopt.problems.balance.range import EstimateRange, estimate_range
from causalopt.problems.balance.rows import Group
from causalopt.solving.dispatch import solve
from causalopt.solving.result import Result
from causalopt.study.estimates import Estimate, effective_size
from causalopt.study.reading import read_outcome

#: A balance constraint closer than this to its tolerance (relative to it) counts as active.
ACTIVE = 1e-4


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
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
    problem: Any
    data: pd.DataFrame | None = None

    @property
    def study(self) -> BalanceStudy:
        """The problem's data, as read."""
        study: BalanceStudy = self.problem.study
        return study

    def _of(self, group: Group) -> Floats:
        weights: Floats = self.weights.to_numpy()[group.members]
        return weights

    def _by_group(self, values: list[float], name: str) -> pd.Series:
        labels = pd.Index([g.label for g in self.study.groups], name="group")
        return pd.Series(values, index=labels, name=name)

    @property
    def effective_sample_size(self) -> pd.Series:
        """(sum w)^2 / sum w^2 of each weighted group (Kish 1965)."""
        return self._by_group([effective_size(self._of(g)) for g in self.study.groups], "effective sample size")

    @property
    def cv(self) -> pd.Series:
        """Coefficient of variation of the weights of each weighted group, with ddof 1 as in R's sbw."""
        return self._by_group([float(self._of(g).std(ddof=1) / self._of(g).mean()) for g in self.study.groups], "cv")

    @property
    def variance(self) -> pd.Series:
        """Sum of (w - 1/r)^2 with weights that sum to one, of each weighted group: the objective of [SBW]."""
        values = []
        for group in self.study.groups:
            w = self._of(group) / group.size
            values.append(float(((w - 1 / group.size) ** 2).sum()))
        return self._by_group(values, "variance of weights")

    def balance_table(self) -> pd.DataFrame:
        """Return means before and after weighting by group and covariate, in the covariates' own units.

        Columns `smd before`, `smd after` and `tolerance` are in the unit of `scale`; `active` says whether the
        tolerance binds.
        """
        study = self.study
        parts = []
        for group in study.groups:
            unit, spread = group.unit, study.moments.spread
            rows = group.rows[:-1]
            before = rows @ (np.broadcast_to(group.spread, group.size) / group.size)
            after = rows @ self._of(group) / group.size
            difference = after / unit
            slack = study.tolerance - np.abs(difference)
            parts.append(
                pd.DataFrame(
                    {
                        "target": study.target,
                        "mean before": study.target + before * spread,
                        "mean after": study.target + after * spread,
                        "smd before": before / unit,
                        "smd after": difference,
                        "tolerance": study.tolerance,
                        "active": slack <= ACTIVE * np.maximum(study.tolerance, 1e-6),
                    },
                    index=pd.MultiIndex.from_product([[group.label], study.names], names=["group", "covariate"]),
                )
            )
        table = pd.concat(parts)
        return table.droplevel("group") if len(parts) == 1 else table

    def between_table(self) -> pd.DataFrame:
        """Return the differences of weighted means between pairs of groups, in the mean of their units.

        Empty unless the problem was given `between`.
        """
        study = self.study
        assert self.x is not None
        rows = []
        for block in study.blocks[len(study.groups) :]:
            w = self.x[block.start : block.start + block.data.shape[1]]
            difference = np.zeros(len(study.names))
            difference[block.kept] = block.data @ w / block.factor[block.kept]
            for p, name in enumerate(study.names):
                active = abs(difference[p]) >= block.tolerance[p] - ACTIVE * max(block.tolerance[p], 1e-6)
                rows.append((*block.label, name, difference[p], block.tolerance[p], active))
        names = ["first", "second", "covariate", "difference", "tolerance", "active"]
        return pd.DataFrame(rows, columns=names).set_index(names[:3])

    @property
    def duals(self) -> pd.DataFrame:
        """What each tolerance costs, dearest first.

        Columns: `covariate`, `side` ("above" where the weighted mean is held down, "below" where it is held up),
        `tolerance`, `dual`, and `price of 0.01`: the part of the cost of the weights that 0.01 more tolerance would
        save, to first order ([SBW] section 4.2 and figure 1). The cost is the squared coefficient of variation
        (population form) of the group's weights; under norm "l1" their mean absolute deviation from the base weights,
        under "linf" the largest. `dual` is its decrease per unit of tolerance (for variance -2 |lambda_p| under the
        objective |u|^2 / 2r). With several groups a column `group` says whose; a pair stands for the tolerance between
        two, whose cost is that over both.
        """
        study = self.study
        frames = []
        row = 0
        for block in study.blocks:
            multipliers = np.zeros(len(study.names) + 1)
            if self.row_dual is not None:
                multipliers[block.kept] = self.row_dual[row : row + len(block.kept)]
            row += len(block.kept)
            y = multipliers[:-1] * block.factor  # change of the objective per unit of tolerance
            pair = isinstance(block.label, tuple) and len(study.blocks) > len(study.groups)
            members = [g for g in study.groups if (g.label in block.label if pair else g.label == block.label)]
            per_objective, cost = self._cost(members)
            dual = np.abs(y) * per_objective
            frames.append(
                pd.DataFrame(
                    {
                        "group": " - ".join(map(str, block.label)) if pair else block.label,
                        "covariate": study.names,
                        "side": np.where(y < 0, "above", np.where(y > 0, "below", "")),
                        "tolerance": block.tolerance,
                        "dual": dual,
                        "price of 0.01": 0.01 * dual / cost if cost > 0 else 0.0 * dual,
                    }
                )
            )
        table = pd.concat(frames).sort_values("dual", ascending=False, kind="stable", ignore_index=True)
        return table.drop(columns="group") if len(frames) == 1 else table

    def multipliers(self, direction: Floats | None = None, *, by_covariate: bool = False) -> Floats:
        """Return what sum (u - 1)^2 of each group falls by, per unit of its tolerances ([SBW] section 4.2).

        Parameters
        ----------
        direction : (P,) array, optional
            By how much each tolerance grows; one unit each unless given.
        by_covariate : bool
            Return an array of (groups, P) instead of the sums over the covariates.
        """
        study, row = self.study, 0
        falls = np.zeros((len(study.groups), len(study.names)))
        for k in range(len(study.groups)):
            block = study.blocks[k]
            own = np.zeros(len(study.names) + 1)
            if self.row_dual is not None:
                own[block.kept] = self.row_dual[row : row + len(block.kept)]
            row += len(block.kept)
            falls[k] = 2.0 * np.abs(own[:-1]) * block.factor
        falls = falls if direction is None else falls * direction
        return falls if by_covariate else falls.sum(axis=1)

    def _cost(self, groups: list[Group]) -> tuple[float, float]:
        """Return the cost per unit of the model's objective, and the cost of these groups' weights."""
        size = sum(group.size for group in groups)
        deviation = [self._of(group) - group.base for group in groups]
        if self.study.norm == "l1":
            return 1.0 / size, float(sum(np.abs(d).sum() for d in deviation)) / size
        if self.study.norm == "linf":
            return 1.0, float(sum(np.abs(d).max() for d in deviation))
        squares = sum(float((d * d / g.spread).sum()) for d, g in zip(deviation, groups, strict=True))
        return 2.0 / size, squares / size

    def estimate(
        self,
        outcome: Any,
        level: float = 0.95,
        *,
        variance: str = "fixed",
        contrast: tuple[Any, Any] | None = None,
        replications: int = 200,
        seed: int = 0,
    ) -> Estimate:
        """Estimate the effect: the difference of weighted means, treated minus control.

        Parameters
        ----------
        outcome : str, Series or array
            A column of the data given to `causalopt.balance`, or n values. Without treatment groups, the weighted
            mean itself is estimated.
        level : float
            Of the normal interval.
        variance : {"fixed", "regression", "bootstrap"}
            "fixed" takes the weights as fixed: linearised, as in weighted least squares. "regression" takes out what
            the balanced functions explain, and adds the sampling variance of the target; it needs the target's rows.
            "bootstrap" resamples units within groups and weights each sample anew. See `causalopt.study.estimates`.
        contrast : pair of treatment values, optional
            First minus second; needed where no group is the treated one.
        replications, seed : int
            Of the bootstrap.

        Returns
        -------
        Estimate

        Raises
        ------
        DataError
            For an outcome or contrast that cannot be used, and where a group that is compared has an effective size
            below 2, from which no standard error can be told.

        Warns
        -----
        CausaloptWarning
            Where a group that is compared has an effective size below 10: normal intervals are then too short.
        """
        y = self._outcome(outcome)

        def again(rows: Ints, rng: np.random.Generator) -> float:
            result: BalanceResult = solve(self.problem.resampled(rows, rng))
            return result._difference(y[rows], contrast)

        bootstrap = Bootstrap(again, replications, seed)
        return estimate(self.study, self.weights.to_numpy(), y, level, variance, contrast, bootstrap)

    def estimate_range(
        self, outcome: Any, eta: float, *, contrast: tuple[Any, Any] | None = None, solver: str | None = None
    ) -> EstimateRange:
        """Return the range of the estimate over all weights whose objective is within (1 + eta) of the best.

        See `causalopt.problems.balance.range.estimate_range`.

        Parameters
        ----------
        outcome : str or (n,) array
            Column of the data frame, or values in its order.
        eta : float
            By what part the objective may be worse than the best.
        contrast : pair, optional
            The groups that are compared, as in `estimate`.
        solver : str, optional
            Who solves the programs; that of this result by default.
        """
        return estimate_range(self, outcome, eta, contrast=contrast, solver=solver)

    def _contrast(self, contrast: tuple[Any, Any] | None) -> tuple[int, int | None]:
        return compared(self.study, contrast)

    def _difference(self, y: Floats, contrast: tuple[Any, Any] | None = None) -> float:
        """Return the difference of weighted means alone."""
        return difference(self.study, self.weights.to_numpy(), y, self._contrast(contrast))

    def _outcome(self, outcome: Any) -> Floats:
        if isinstance(outcome, str) and outcome in self.study.names:
            raise DataError(
                f"The outcome {outcome!r} is among the covariates that were balanced: its difference is what the "
                "tolerance left of it. Take it out of the covariates."
            )
        return read_outcome(outcome, self.weights.index, self.data)

    def facts(self) -> dict[str, str]:
        """Return the facts of the solve, with those of the weights first."""
        sizes = self.effective_sample_size
        table = self.balance_table()
        own = {
            "estimand": self.study.estimand,
            "weighted units": ", ".join(
                f"{g.size:,}" + (f" (group {g.label})" if len(sizes) > 1 else "") for g in self.study.groups
            ),
            "effective sample size": ", ".join(f"{value:,.1f}" for value in sizes),
            "largest imbalance": (
                f"{table['smd before'].abs().max():.3g} before, {table['smd after'].abs().max():.3g} after"
            ),
            "zero weights": ", ".join(f"{int((self._of(g) <= 1e-7).sum()):,}" for g in self.study.groups),
        }
        if self.study.dropped:
            own["implied by others"] = ", ".join(self.study.dropped)
        return own | super().facts()
