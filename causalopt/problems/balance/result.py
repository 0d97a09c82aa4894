"""What a balance problem answers: weights, balance, duals and estimates."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError
from causalopt.modeling.program import Floats
from causalopt.solving.result import Result
from causalopt.solving.words import listing
from causalopt.study.reading import read_outcome

if TYPE_CHECKING:
    from causalopt.problems.balance.problem import BalanceProblem
    from causalopt.problems.balance.range import EstimateRange
    from causalopt.problems.balance.rows import Group
    from causalopt.solving.words import Words
    from causalopt.study.estimates import Estimate

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
        from causalopt.study.estimates import effective_size

        return self._by_group([effective_size(self._of(g)) for g in self.problem.groups], "effective sample size")

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
            unit, spread = group.unit, problem._moments.spread
            rows = group.rows[:-1]
            before = rows @ (np.broadcast_to(group.spread, group.size) / group.size)
            after = rows @ self._of(group) / group.size
            difference = after / unit
            slack = problem.tolerance - np.abs(difference)
            parts.append(
                pd.DataFrame(
                    {
                        "target": problem.target,
                        "mean before": problem.target + before * spread,
                        "mean after": problem.target + after * spread,
                        "smd before": before / unit,
                        "smd after": difference,
                        "tolerance": problem.tolerance,
                        "active": slack <= ACTIVE * np.maximum(problem.tolerance, 1e-6),
                    },
                    index=pd.MultiIndex.from_product([[group.label], problem.names], names=["group", "covariate"]),
                )
            )
        table = pd.concat(parts)
        return table.droplevel("group") if len(parts) == 1 else table

    def between_table(self) -> pd.DataFrame:
        """Return the differences of weighted means between pairs of groups, in the mean of their units.

        Empty unless the problem was given `between`.
        """
        problem = self.problem
        assert self.x is not None
        rows = []
        for block in problem.blocks[len(problem.groups) :]:
            w = self.x[block.start : block.start + block.data.shape[1]]
            difference = np.zeros(len(problem.names))
            difference[block.kept] = block.data @ w / block.factor[block.kept]
            for p, name in enumerate(problem.names):
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
        problem = self.problem
        frames = []
        row = 0
        for block in problem.blocks:
            multipliers = np.zeros(len(problem.names) + 1)
            if self.row_dual is not None:
                multipliers[block.kept] = self.row_dual[row : row + len(block.kept)]
            row += len(block.kept)
            y = multipliers[:-1] * block.factor  # change of the objective per unit of tolerance
            pair = isinstance(block.label, tuple) and len(problem.blocks) > len(problem.groups)
            members = [g for g in problem.groups if (g.label in block.label if pair else g.label == block.label)]
            per_objective, cost = self._cost(members)
            dual = np.abs(y) * per_objective
            frames.append(
                pd.DataFrame(
                    {
                        "group": " - ".join(map(str, block.label)) if pair else block.label,
                        "covariate": problem.names,
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
        problem, row = self.problem, 0
        falls = np.zeros((len(problem.groups), len(problem.names)))
        for k in range(len(problem.groups)):
            block = problem.blocks[k]
            own = np.zeros(len(problem.names) + 1)
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
        if self.problem.norm == "l1":
            return 1.0 / size, float(sum(np.abs(d).sum() for d in deviation)) / size
        if self.problem.norm == "linf":
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
        from causalopt.problems.balance.estimate import estimate

        return estimate(self, self._outcome(outcome), level, variance, contrast, replications, seed)

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
        from causalopt.problems.balance.range import estimate_range

        return estimate_range(self, outcome, eta, contrast=contrast, solver=solver)

    def plot(self, kind: str = "love", ax: Any = None, **options: Any) -> Any:
        """Draw a picture of the weights.

        Parameters
        ----------
        kind : {"love", "weights", "duals", "range"}
            "love": each covariate's distance from its target, before and after weighting (option `most`, rows at most).
            "weights": their distribution, with effective sample sizes. "duals": what 0.01 more tolerance would save,
            dearest covariates first (option `most`). "range": the estimate over all weights that are nearly as good
            (options `outcome`, needed; `eta`, how much worse they may be, a list; `contrast`).
        ax : matplotlib Axes, optional
            Those of a new figure unless given.
        **options
            Those of the kind, as named above.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        OptionError
            For an unknown kind or option.
        DataError
            Without matplotlib (``pip install 'pycausalopt[plot]'``).
        """
        from causalopt.plotting.style import draw
        from causalopt.problems.balance.plot import PICTURES

        return draw(PICTURES, self, kind, ax, options)

    def _contrast(self, contrast: tuple[Any, Any] | None) -> tuple[int, int | None]:
        """Return the numbers of the two groups to compare; None for the second where there is but one group."""
        problem = self.problem
        if contrast is not None:
            if not (isinstance(contrast, tuple | list) and len(contrast) == 2):
                raise DataError(
                    f"contrast is {contrast!r}; it must be a pair of the groups {problem.levels}: "
                    "contrast=(first, second)."
                )
            for label in contrast:
                if label not in problem.levels:
                    raise DataError(f"contrast names {label!r}, but the groups are {problem.levels}.")
            if contrast[0] == contrast[1]:
                raise DataError(f"contrast compares {contrast[0]!r} with itself; name two of {problem.levels}.")
            return problem.levels.index(contrast[0]), problem.levels.index(contrast[1])
        if len(problem.levels) == 1:
            return 0, None
        if problem._treated_code is None or len(problem.levels) > 2:
            others = [label for k, label in enumerate(problem.levels) if k != problem._treated_code]
            pairs = list(itertools.combinations(problem.levels, 2))
            if problem._treated_code is not None:
                pairs = [(problem.levels[problem._treated_code], label) for label in others]
            shown = listing([f"contrast={pair!r}" for pair in pairs])
            raise DataError(f"The groups are {problem.levels}: say which two to compare, such as {shown}.")
        return problem._treated_code, 1 - problem._treated_code

    def _difference(self, y: Floats, contrast: tuple[Any, Any] | None = None) -> float:
        """Return the difference of weighted means alone."""
        first, second = self._contrast(contrast)
        w, codes = self.weights.to_numpy(), self.problem._codes
        means = [float(np.average(y[codes == k], weights=w[codes == k])) for k in (first, second) if k is not None]
        return means[0] - (means[1] if second is not None else 0.0)

    def _outcome(self, outcome: Any) -> Floats:
        if isinstance(outcome, str) and outcome in self.problem.names:
            raise DataError(
                f"The outcome {outcome!r} is among the covariates that were balanced: its difference is what the "
                "tolerance left of it. Take it out of the covariates."
            )
        return read_outcome(outcome, self.weights.index, self.data)

    def words(self) -> Words:
        """Return what the result says of itself in `explain`."""
        from causalopt.problems.balance.explain import words

        return words(self)

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
