"""Balancing weights: minimum variance subject to covariate balance (stable balancing weights).

Zubizarreta (2015), Stable weights that balance covariates for estimation with incomplete outcome data, JASA
110:910-922; cited as [SBW].
"""

from __future__ import annotations

import copy
import dataclasses
import numbers
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from causalopt.algorithms.dual_newton import SeparableQP
from causalopt.algorithms.parts import solve_parts
from causalopt.basis import Column, Term
from causalopt.errors import DataError, InfeasibleError
from causalopt.modeling.program import Floats, Ints, ProblemClass, Program
from causalopt.problems.balance.data import expand_with_target, mean_one, read_tolerances
from causalopt.problems.balance.frontier import Frontier
from causalopt.problems.balance.result import BalanceResult
from causalopt.problems.balance.rows import Group, RowBlock, between_blocks, dense_rows, group_block
from causalopt.solving.options import SolveOptions, refuse_unknown_arguments, unknown_name
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result
from causalopt.study.moments import Moments, refuse_constant
from causalopt.study.reading import (
    as_frame,
    read_treatment,
    read_weights,
    require_columns,
    require_position,
    row_position,
    spread_by_name,
    treated_code,
)
from causalopt.verifying.claims import Solution

ESTIMANDS = ("ATT", "ATC", "ATE", "population")
SCALES = ("target", "treated", "group", "pooled", "raw")
NORMS = {
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
        frame = as_frame(covariates)
        if estimand not in ESTIMANDS:
            raise DataError(unknown_name("estimand", str(estimand), ESTIMANDS))
        for name, bound in (("lower", lower), ("upper", upper)):
            if not isinstance(bound, numbers.Real) or isinstance(bound, bool):
                raise DataError(f"{name} is {bound!r}; it must be a number, a multiple of the average weight.")
        if not lower <= 1 <= upper:
            raise DataError(
                f"Weights between {lower} and {upper} times their average cannot average to one: "
                "lower= must be at most 1 and upper= at least 1."
            )
        if norm not in NORMS:
            raise DataError(unknown_name("norm", str(norm), NORMS))
        self._formulations = {norm if norm != "l2" else "qp": NORMS[norm]}
        self.estimand, self.norm = estimand, norm
        self.lower, self.upper = float(lower), float(upper)
        self._frame, self._index = frame, frame.index
        self._given: dict[str, Any] = {
            "treatment": treatment,
            "estimand": estimand,
            "tolerance": tolerance,
            "scale": scale,
            "target": target,
            "basis": basis,
            "sampling_weights": sampling_weights,
            "base_weights": base_weights,
            "lower": lower,
            "upper": upper,
            "treated": treated,
            "norm": norm,
            "between": between,
        }
        columns, reference = expand_with_target(frame, basis, target, estimand)
        self.names = [column.name for column in columns]
        codes, self.levels = read_treatment(treatment, frame.index, estimand, treated)
        treated_position = treated_code(self.levels, treated, estimand)
        sampling = read_weights(sampling_weights, frame.index, "sampling_weights")
        base = sampling if base_weights is None else read_weights(base_weights, frame.index, "base_weights")
        self._codes, self._treated_code, self._sampling = codes, treated_position, sampling
        moments = Moments(columns, codes, len(self.levels), treated_position, estimand, sampling, reference)
        refuse_constant(columns, moments.spread)
        self.target = moments.target
        self.scale = spread_by_name(scale, columns, "scale", "target")
        for unit in self.scale:
            if unit not in SCALES:
                raise DataError(unknown_name("scale", str(unit), SCALES))
        given = spread_by_name(tolerance, columns, "tolerance")
        self.tolerance = read_tolerances(given, self.names, may_be_infinite=between is not None)
        self._moments = moments
        self.groups = self._make_groups(columns, moments, sampling, base)
        self.between = None
        if between is not None:
            if len(self.groups) < 2:
                raise DataError(f"between= needs several groups that are weighted; {estimand} weights one.")
            self.between = read_tolerances(spread_by_name(between, columns, "between"), self.names, False)
        self.blocks = self._make_blocks()
        self.data_seconds = perf_counter() - began

    # ---- data ----

    def _make_groups(self, columns: Sequence[Column], moments: Moments, sampling: Any, base: Any) -> tuple[Group, ...]:
        groups = []
        start = 0
        for code in moments.weighted:
            members = np.flatnonzero(self._codes == code)
            rows = np.empty((len(columns) + 1, len(members)))
            everyone = len(members) == len(self._codes)
            for p, column in enumerate(columns):
                values = column.values if everyone else column.values[members]
                np.subtract(values, moments.target[p], out=rows[p])
                rows[p] /= moments.spread[p]
            rows[-1] = 1.0
            unit = moments.units(self.scale, columns, code) / moments.spread
            own = mean_one(base, members), mean_one(sampling, members)
            groups.append(Group(self.levels[code], members, rows, *own, unit, start))
            start += len(members)
        return tuple(groups)

    def _make_blocks(self) -> tuple[RowBlock, ...]:
        blocks = [group_block(group, self.tolerance) for group in self.groups]
        return (*blocks, *(between_blocks(self.groups, self.between) if self.between is not None else ()))

    def resampled(self, rows: Ints, rng: np.random.Generator) -> BalanceProblem:
        """Return the same problem on a sample of its rows (and, where the target is a DataFrame, of the target's).

        Parameters
        ----------
        rows : int array
            Positions of the rows of the sample; a row may occur more than once.
        rng : numpy Generator
            Draws the rows of the target, where it is a DataFrame.
        """
        given = dict(self._given)
        for name in ("treatment", "sampling_weights", "base_weights"):
            if given[name] is not None:
                given[name] = np.asarray(given[name])[rows]
        if isinstance(given["target"], pd.DataFrame):
            given["target"] = given["target"].iloc[rng.integers(0, len(given["target"]), len(given["target"]))]
        frame = self._frame.iloc[rows].reset_index(drop=True)
        return BalanceProblem(frame, given.pop("treatment"), **given)

    def with_tolerance(self, tolerance: Floats) -> BalanceProblem:
        """Return the same problem with other tolerances (P values), sharing all other data.

        Parameters
        ----------
        tolerance : (P,) array
            One value a function, in the unit of the scale.
        """
        other = copy.copy(self)
        other.tolerance = tolerance
        other._given = self._given | {"tolerance": dict(zip(self.names, tolerance.tolist(), strict=True))}
        other.blocks = other._make_blocks()
        return other

    @property
    def n_weights(self) -> int:
        """Number of weights in the model."""
        return self.groups[-1].stop

    @property
    def dropped(self) -> list[str]:
        """Covariate functions whose exact balance follows from that of the others, and that are left to them."""
        names = []
        for block in self.blocks[: len(self.groups)]:
            for p, name in enumerate(self.names):
                if p not in block.kept and np.isfinite(block.tolerance[p]) and name not in names:
                    names.append(name)
        return names

    # ---- model ----

    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        import pyomo.environ as pyo

        from causalopt.modeling.components import ArrayConstraint, ArrayVar

        n = self.n_weights
        block.weights = ArrayVar(self.lower, self.upper, n=n)
        lower, upper = np.concatenate([b.lower for b in self.blocks]), np.concatenate([b.upper for b in self.blocks])
        block.balance = ArrayConstraint(block.weights, dense_rows(self.blocks, n), lower, upper)
        base = np.concatenate([np.broadcast_to(g.base, g.size) for g in self.groups])
        if self.norm == "l2":
            spread = np.concatenate([np.broadcast_to(g.spread, g.size) for g in self.groups])
            cost = {
                "x": block.weights,
                "linear": -base / spread,
                "quadratic": 1.0 / spread,
                "constant": 0.5 * float((base * base / spread).sum()),
                "convex": True,
            }
            return cost, pyo.minimize
        identity = sp.eye_array(n, format="csr")
        if self.norm == "l1":  # u = base + above - below
            block.above, block.below = ArrayVar(0.0, np.inf, n=n), ArrayVar(0.0, np.inf, n=n)
            parts = [block.weights, block.above, block.below]
            block.deviation = ArrayConstraint(parts, sp.hstack([identity, -identity, identity]), base, base)
            return {"x": parts, "linear": np.repeat([0.0, 1.0, 1.0], n)}, pyo.minimize
        block.largest = ArrayVar(0.0, np.inf, n=len(self.groups))  # |u - base| <= largest, by group
        own = np.concatenate([np.full(g.size, k) for k, g in enumerate(self.groups)])
        mine = sp.csr_array((np.ones(n), (np.arange(n), own)), shape=(n, len(self.groups)))
        parts = [block.weights, block.largest]
        block.above = ArrayConstraint(parts, sp.hstack([identity, -mine]), -np.inf, base)
        block.below = ArrayConstraint(parts, sp.hstack([identity, mine]), base, np.inf)
        return {"x": parts, "linear": np.append(np.zeros(n), np.ones(len(self.groups)))}, pyo.minimize

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
        position = row_position(self._index, label)
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
        return self._index[group.members[i - group.start]]

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
        if self.between is None:
            return [
                (slice(g.start, g.stop), self._separable([b], b.data, [g]))
                for g, b in zip(self.groups, self.blocks, strict=True)
            ]
        data = np.zeros((sum(len(b.data) for b in self.blocks), self.n_weights))
        row = 0
        for block in self.blocks:
            data[row : row + len(block.data), block.start : block.start + block.data.shape[1]] = block.data
            row += len(block.data)
        return [(slice(0, self.n_weights), self._separable(self.blocks, data, self.groups))]

    def _separable(self, blocks: Sequence[RowBlock], data: Floats, groups: Sequence[Group]) -> SeparableQP:
        lower, upper = np.concatenate([b.lower for b in blocks]), np.concatenate([b.upper for b in blocks])

        def together(name: str) -> Floats | float:
            values = [getattr(g, name) for g in groups]
            if all(np.isscalar(v) and v == values[0] for v in values):
                return float(values[0])
            return np.concatenate([np.broadcast_to(v, g.size) for v, g in zip(values, groups, strict=True)])

        return SeparableQP(
            rows=data,
            target=0.5 * (lower + upper),
            tolerance=0.5 * (upper - lower),
            base=together("base"),
            spread=together("spread"),
            lower=self.lower,
            upper=self.upper,
        )

    # ---- answers ----

    def result(self, result: Result, program: Program) -> BalanceResult:
        """Return the weights with their labels."""
        assert result.x is not None
        weights = np.ones(len(self._index)) if self._sampling is None else np.asarray(self._sampling).copy()
        for code in range(len(self.levels)):
            members = self._codes == code
            weights[members] /= weights[members].mean()
        for group in self.groups:
            weights[group.members] = result.x[group.start : group.start + group.size]
        return BalanceResult(
            **result.fields(), problem=self, weights=pd.Series(weights, index=self._index, name="weight")
        )

    def infeasible(self, result: Result) -> InfeasibleError:
        """Return the error that lists, by covariate, the smallest tolerances that would work."""
        from causalopt.problems.balance.infeasible import explain_infeasible

        return explain_infeasible(self, result.solver)

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
        from causalopt.problems.balance.frontier import solve_frontier

        return solve_frontier(self, tolerances, outcome, solver, progress)

    @cached_property
    def treatment(self) -> pd.Series:
        """The treatment, as read."""
        return pd.Series([self.levels[c] for c in self._codes], index=self._index, name="treatment")


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
    asked = [*names, *([treatment] if treatment is not None else [])]
    for key in ("sampling_weights", "base_weights"):
        if isinstance(problem.get(key), str):
            asked.append(problem[key])
    require_columns(df, asked)
    if treatment is not None and treatment in names:
        raise DataError(f"The treatment {treatment!r} is also among the covariates; take it out of them.")
    for key in ("sampling_weights", "base_weights"):
        if isinstance(problem.get(key), str):
            problem[key] = df[problem[key]]
    from causalopt.solving.dispatch import solve

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
