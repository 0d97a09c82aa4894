"""Balancing weights: minimum variance subject to covariate balance (stable balancing weights).

Zubizarreta (2015), Stable weights that balance covariates for estimation with incomplete outcome data, JASA
110:910-922; cited as [SBW].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from causalopt.algorithms.dual_newton import SeparableQP
from causalopt.algorithms.parts import solve_parts
from causalopt.basis import Term
from causalopt.errors import DataError, InfeasibleError
from causalopt.modeling.program import Floats, Ints, ProblemClass, Program
from causalopt.problems.balance.data import BalanceStudy, Given, read_study
from causalopt.problems.balance.frontier import Frontier, solve_frontier
from causalopt.problems.balance.infeasible import explain_infeasible
from causalopt.problems.balance.model import add_components, separable
from causalopt.problems.balance.result import BalanceResult
from causalopt.solving.dispatch import solve
from causalopt.solving.options import SolveOptions, refuse_unknown_arguments
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result
from causalopt.study.reading import require_columns, require_position, row_position
from causalopt.verifying.claims import Solution

FORMULATIONS = {
    "l2": Formulation(ProblemClass.CONVEX_QP, exact=True, source="[SBW] section 2.2, equation (1)"),
    "l1": Formulation(ProblemClass.LP, exact=True, source="[SBW] section 2.2, with the L1 norm (remark on norms)"),
    "linf": Formulation(ProblemClass.LP, exact=True, source="[SBW] section 2.2, with the Linf norm (remark on norms)"),
}


class BalanceProblem(Problem):
    """Weights of minimum variance that balance covariates within tolerances.

    For each group to be weighted, with r units, weights w = u / r solve

        min sum_i (u_i - b_i)^2 / (2 s_i)   s.t.   |mean(u B_p) - t_p| <= d_p,   mean(u) = 1,   lower <= u <= upper

    ([SBW] section 2.2, in the units u of mean one that keep every coefficient near one).

    Parameters
    ----------
    covariates : DataFrame (n x P) or (n, P) array
        Numbers; a categorical column is balanced level by level.
    treatment : Series or array of length n, or None
        Two values (more for estimands "ATE" and "population"). None, with estimand "population", weights all rows.
    estimand : {"ATT", "ATC", "ATE", "population"}
        ATT weights the controls to the treated, ATC the treated to the controls, ATE every group to the full
        sample, "population" every group to `target`.
    tolerance : float or mapping from covariate to float
        Largest difference of a weighted mean from its target, in units of `scale`. In a mapping, the key "default"
        stands for covariates that are not named.
    scale : {"target", "treated", "group", "pooled", "raw"} or mapping from covariate to one of these
        The unit of the tolerance: the standard deviation in the target population, the treated group, the group
        that is weighted, the root mean of the groups' variances, or the covariate's own units. The levels of a
        factor share one (the root mean of their variances). In a mapping, "default" works as in `tolerance`.
    target : mapping or Series of means, or DataFrame, optional
        The population for estimand "population": the means, or its rows.
    basis : sequence of terms, optional
        Further functions to balance: see `causalopt.basis`.
    sampling_weights : (n,) array, optional
        Survey weights: they enter the target's means, and weights stay near them.
    base_weights : (n,) array, optional
        Weights to stay near; the sampling weights unless given.
    lower, upper : float
        Bounds on the weights, as multiples of their average within a group.
    treated : object, optional
        Which treatment value counts as treated; needed where the values do not order themselves, and for the ATT of
        one of several groups.
    norm : {"l2", "l1", "linf"}
        What is minimised: the variance of the weights, their mean absolute deviation from the base weights, or the
        largest deviation.
    between : float or mapping from covariate to float, optional
        Largest difference between the weighted means of any two groups (optweight's `tols`, where `tolerance` is its
        `targets.tols`); `tolerance` may then be infinite. Needs several groups that are weighted.

    Raises
    ------
    DataError
        For missing, infinite, non-numeric or constant covariates, a treatment that is not two-valued, an unknown
        name in `tolerance` or `scale`, a negative tolerance, duplicated labels, and bounds that no weights of mean
        one satisfy; the message names columns and rows.

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> rng = np.random.default_rng(0)
    >>> x = pd.DataFrame({"age": rng.normal(40, 10, 200), "female": rng.integers(0, 2, 200)})
    >>> treated = (x["age"] + rng.normal(0, 15, 200) > 45).astype(int)
    >>> result = co.solve(co.BalanceProblem(x, treated, tolerance=0.01), "highs")
    >>> bool((result.balance_table()["smd after"].abs() <= 0.01 + 1e-6).all())
    True
    """

    def __init__(
        self,
        covariates: Any,
        treatment: Any = None,
        *,
        estimand: str = "ATT",
        tolerance: float | Mapping[str, float] = 0.02,
        scale: str | Mapping[str, str] = "target",
        target: Any = None,
        basis: Sequence[Term] = (),
        sampling_weights: Any = None,
        base_weights: Any = None,
        lower: float = 0.0,
        upper: float = np.inf,
        treated: Any = None,
        norm: str = "l2",
        between: float | Mapping[str, float] | None = None,
    ) -> None:
        began = perf_counter()
        given = Given(
            covariates=covariates,
            treatment=treatment,
            estimand=estimand,
            tolerance=tolerance,
            scale=scale,
            target=target,
            basis=basis,
            sampling_weights=sampling_weights,
            base_weights=base_weights,
            lower=lower,
            upper=upper,
            treated=treated,
            norm=norm,
            between=between,
        )
        self._take(read_study(given))
        self.data_seconds = perf_counter() - began

    def _take(self, study: BalanceStudy) -> None:
        self.study = study
        self._formulations = {"qp" if study.norm == "l2" else study.norm: FORMULATIONS[study.norm]}
        self.estimand, self.norm, self.lower, self.upper = study.estimand, study.norm, study.lower, study.upper
        self.names, self.levels, self.target, self.scale = study.names, study.levels, study.target, study.scale
        self.tolerance, self.between = study.tolerance, study.between
        self.groups, self.blocks = study.groups, study.blocks

    @classmethod
    def _of(cls, study: BalanceStudy) -> Self:
        """Return the problem of a study."""
        problem = cls.__new__(cls)
        problem._take(study)
        return problem

    # ---- data ----

    def resampled(self, rows: Ints, rng: np.random.Generator) -> BalanceProblem:
        """Return the same problem on a sample of its rows (and, where the target is a DataFrame, of the target's).

        Parameters
        ----------
        rows : int array
            Positions of the rows of the sample; a row may occur more than once.
        rng : numpy Generator
            Draws the rows of the target, where it is a DataFrame.
        """
        began = perf_counter()
        other = self._of(self.study.resampled(rows, rng))
        other.data_seconds = perf_counter() - began
        return other

    def with_tolerance(self, tolerance: Floats) -> BalanceProblem:
        """Return the same problem with other tolerances (P values), sharing all other data.

        Parameters
        ----------
        tolerance : (P,) array
            One value a function, in the unit of the scale.
        """
        other = self._of(self.study.with_tolerance(tolerance))
        other.data_seconds = self.data_seconds
        return other

    @property
    def n_weights(self) -> int:
        """Number of weights in the model."""
        return self.study.n_weights

    @property
    def dropped(self) -> list[str]:
        """Covariate functions whose exact balance follows from that of the others, and that are left to them."""
        return self.study.dropped

    # ---- model ----

    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        return add_components(block, self.study)

    def index(self, label: Any) -> int:
        """Return the position of a row label among the model's weights.

        Parameters
        ----------
        label : label
            A label of the caller's data.

        Raises
        ------
        DataError
            Where no unit that is weighted has this label.
        """
        position = row_position(self.study.index, label)
        for group in self.groups:
            k = int(np.searchsorted(group.members, position))
            if k < group.size and group.members[k] == position:
                return group.start + k
        raise DataError(f"Row {label!r} is not in a group that is weighted under {self.estimand}.")

    def label(self, i: int) -> Any:
        """Return the row label of weight number `i` of the model.

        Parameters
        ----------
        i : int
            Position among the model's variables, from 0.

        Raises
        ------
        DataError
            Where there is no such variable.
        """
        require_position(i, self.n_weights)
        group = next(group for group in self.groups if i < group.stop)
        return self.study.index[group.members[i - group.start]]

    def row_labels(self) -> pd.DataFrame:
        """Return group and covariate of each row of the model's `balance` constraint."""
        names = [*self.names, "(sum of weights)"]
        rows = [(b.label, names[p]) for b in self.blocks for p in b.kept]
        return pd.DataFrame(rows, columns=["group", "covariate"])

    # ---- fast path ----

    def fast_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return `dual-newton`, exact for the variance of the weights."""
        return {"dual-newton": self._dual_newton} if self.norm == "l2" else {}

    def _dual_newton(self, program: Program, options: SolveOptions) -> Solution:
        return solve_parts(program, [(columns, qp, None) for columns, qp in self.separable()])

    def separable(self) -> list[tuple[slice, SeparableQP]]:
        """Return the independent parts of the problem, by columns, in the form that `dual-newton` takes.

        Groups are apart unless `between` ties them together.
        """
        return separable(self.study)

    # ---- answers ----

    def result(self, result: Result, program: Program) -> BalanceResult:
        """Return the weights with their labels."""
        assert result.x is not None
        study = self.study
        weights = np.ones(len(study.index)) if study.sampling is None else np.asarray(study.sampling).copy()
        for code in range(len(study.levels)):
            members = study.codes == code
            weights[members] /= weights[members].mean()
        for group in study.groups:
            weights[group.members] = result.x[group.start : group.start + group.size]
        series = pd.Series(weights, index=study.index, name="weight")
        return BalanceResult(**result.fields(), problem=self, weights=series)

    def infeasible(self, result: Result) -> InfeasibleError:
        """Return the error that lists, by covariate, the smallest tolerances that would work."""
        return explain_infeasible(self.study, result.solver)

    def frontier(
        self, tolerances: npt.ArrayLike, *, outcome: Any = None, solver: str = "auto", progress: bool = False
    ) -> Frontier:
        """Solve for a range of tolerances: what balance costs in variance, and how much the estimate depends on it.

        Parameters
        ----------
        tolerances : (k,) array
            Each replaces the tolerance of every covariate, in the units of `scale`.
        outcome : (n,) Series or array, optional
            To estimate the effect at each tolerance. Choose the tolerance before looking at it.
        solver : str
            "dual-newton" (and "auto") starts each solve from its neighbour's multipliers.
        progress : bool
            Show a progress bar.

        Returns
        -------
        Frontier
            Tolerances that cannot be met are marked infeasible. An interrupt (Ctrl-C) returns what was solved.
        """
        return solve_frontier(self.study, self._of, tolerances, outcome, solver, progress)

    @cached_property
    def treatment(self) -> pd.Series:
        """The treatment, as read."""
        return pd.Series([self.levels[c] for c in self.study.codes], index=self.study.index, name="treatment")


def balance(
    df: pd.DataFrame,
    *,
    treatment: str | None = None,
    covariates: Sequence[str],
    estimand: str = "ATT",
    tolerance: float | Mapping[str, float] = 0.02,
    scale: str | Mapping[str, str] = "target",
    solver: str = "auto",
    time_limit: float | None = None,
    options: Mapping[str, Any] | None = None,
    **problem: Any,
) -> BalanceResult:
    """Weigh the rows of a DataFrame so that covariates are balanced, in one call.

    Parameters
    ----------
    df : DataFrame
    treatment : str
        Name of the treatment column; None weights all rows to `target`.
    covariates : sequence of str
        Names of the columns to balance.
    estimand, tolerance, scale, **problem
        As in `BalanceProblem`; there, `sampling_weights` and `base_weights` may be names of columns.
    solver, time_limit, options
        As in `solve`.

    Returns
    -------
    BalanceResult

    Raises
    ------
    DataError
        Where columns are missing, or the data cannot be used.
    OptionError
        For an argument that does not exist; the message names the nearest.

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> rng = np.random.default_rng(1)
    >>> df = pd.DataFrame({"t": np.repeat([0, 1], [300, 100]), "x": rng.normal(size=400)})
    >>> df["y"] = df["x"] + 2 * df["t"]
    >>> result = co.balance(df, treatment="t", covariates=["x"], tolerance=0)
    >>> round(result.estimate("y").estimate, 6)
    2.0
    """
    after = (
        'Weights are chosen without outcomes: balance first, then result.estimate("y") for the outcome in column "y".'
    )
    refuse_unknown_arguments(balance, problem, BalanceProblem, {"outcome": after, "y": after})
    names = [covariates] if isinstance(covariates, str) else list(covariates)
    named = [key for key in ("sampling_weights", "base_weights") if isinstance(problem.get(key), str)]
    require_columns(df, [*names, *([treatment] if treatment is not None else []), *(problem[key] for key in named)])
    if treatment is not None and treatment in names:
        raise DataError(f"The treatment {treatment!r} is also among the covariates; take it out of them.")
    problem |= {key: df[problem[key]] for key in named}
    instance = BalanceProblem(
        df[names],
        None if treatment is None else df[treatment],
        estimand=estimand,
        tolerance=tolerance,
        scale=scale,
        **problem,
    )
    result: BalanceResult = solve(instance, solver, time_limit=time_limit, options=options)
    return dataclasses.replace(result, data=df)
