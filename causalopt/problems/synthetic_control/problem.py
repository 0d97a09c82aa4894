"""Synthetic control and its relatives: weights on donors that reproduce the treated unit before the treatment.

Abadie, Diamond and Hainmueller (2010), JASA 105:493-505, and (2015), American Journal of Political Science
59:495-510, cited as [ADH]; Doudchenko and Imbens (2016), NBER working paper 22791, cited as [DI]; Abadie and L'Hour
(2021), JASA 116:1817-1834, cited as [AL].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import pandas as pd

from causalopt.errors import DataError
from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.problems.synthetic_control.data import Study
from causalopt.problems.synthetic_control.fits import fits_of
from causalopt.problems.synthetic_control.model import add_components, direct_program, polish, solve_active_set
from causalopt.problems.synthetic_control.panel import Panel, read_panel
from causalopt.problems.synthetic_control.predictors import predictors_from_columns
from causalopt.problems.synthetic_control.result import SyntheticControlResult
from causalopt.solving.dispatch import solve
from causalopt.solving.options import SolveOptions, refuse_unknown_arguments, unknown_name
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result
from causalopt.study.reading import require_position
from causalopt.verifying.claims import Solution

#: The gap of a solver's answer above which it is polished.
POLISH_ABOVE = 1e-9

FORMULATIONS = {
    "residual": Formulation(
        ProblemClass.CONVEX_QP, exact=True, source="[ADH] 2010 section 2.3, [DI] section 5, [AL] equation 5"
    ),
}


class SyntheticControlProblem(Problem):
    """Weights on donors whose combination follows the treated unit before the treatment.

    With y the treated unit's outcomes at the T0 times before the treatment and Y those of J donors, weights "simplex"
    solve

        min ||y - Y w||^2   s.t.   w >= 0,   1'w = 1

    ([ADH] 2010 section 2.3), and "elastic-net" and "ridge" (alpha = 0), with an intercept mu,

        min ||y - mu - Y w||^2 / (2 T0) + lam (alpha |w|_1 + (1 - alpha)/2 ||w||^2)

    ([DI] section 5, with the residuals averaged). "penalized" adds lam sum_j w_j ||y - Y_j||^2 to "simplex" ([AL]
    equation 5), and "did" gives every donor the weight 1/J beside an intercept (difference in differences).

    Parameters
    ----------
    outcomes : DataFrame or Series
        Wide: one row per time, one column per unit. Or long, with the columns named by `unit`, `time` and `outcome`.
        Or a Series indexed by (unit, time). Every unit at every time, in any unit of measurement.
    treated : label or sequence of labels
        The treated unit, or several that are treated since the same time: one fit each.
    treatment_time : object
        The first time under treatment.
    weights : {"simplex", "elastic-net", "penalized", "ridge", "did"} or mapping
        Or any subset of the four constraints of [DI], such as
        ``{"no_intercept": True, "sum_to_one": True, "nonnegative": True, "equal": False}``; what is not named does not
        hold.
    intercept : bool, optional
        Overrides whether there is an intercept.
    donors : sequence of labels, optional
        All units that are not treated, unless given.
    lam, alpha : float or sequence of floats, optional
        The penalty, in the user's units. Of several values, or where none is given, those are taken with which donors
        in the part of the treated unit are predicted best after the treatment time (squared error, see
        `penalty_choice`). With a mapping as `weights` there is a penalty only where `lam` is given.
    l2 : {"squared", "unsquared"}
        Whether the L2 norm in the penalty is squared.
    predictors : DataFrame (units x K), optional
        Fit these instead of the outcomes: min sum_k v_k (x_k - sum_j w_j X_jk)^2, each divided by its standard
        deviation over the units.
    v : mapping or sequence of K numbers, or "search", optional
        Importance of the predictors, equal unless given; they are made to sum to one. "search" looks for those whose
        weights fit the outcomes before the treatment best ([ADH] 2010 section 2.3): a heuristic, see `importance`.
    pooled : bool
        Fit the average of the treated units instead of each.
    unit, time, outcome : str, optional
        Columns of a long DataFrame.

    Attributes
    ----------
    penalty_choice : PenaltyChoice or None
        Errors of the donors over the grid of lam and alpha, where these were chosen.
    importance : list of Importance
        By fit, the weights v of the predictors, and how they were found.

    Raises
    ------
    DataError
        For an unbalanced panel (units and times are named), missing or infinite outcomes, a treated unit or donor that
        is not there, a treatment time outside the data or with fewer than two times before it, no donors, a donor that
        is the treated unit or a copy of it, and donors that never change.
    OptionError
        For an unknown kind of weights, or arguments that contradict each other.

    Notes
    -----
    The model has `weights` (with an L1 penalty and free signs their positive parts, and `negative`), `residual`, and
    `intercept` where there is one, fit by fit. Residuals and intercept are in an internal unit, the root mean square
    residual of the best fit: solvers then see the same program whatever the outcome's units, and their tolerances are
    relative. So is `objective` of the result; `loss` has it in the user's units.

    Examples
    --------
    >>> import pandas as pd, causalopt as co
    >>> outcomes = pd.DataFrame({"a": [1.0, 2, 4, 9], "b": [0.0, 1, 1, 1], "c": [2.0, 3, 7, 7]})
    >>> result = co.solve(co.SyntheticControlProblem(outcomes, "a", 3))
    >>> result.weights.round(6).to_dict(), round(result.att, 6)
    ({'b': 0.5, 'c': 0.5}, 5.0)
    """

    def __init__(
        self,
        outcomes: Any,
        treated: Any,
        treatment_time: Any,
        *,
        weights: str | Mapping[str, bool] = "simplex",
        intercept: bool | None = None,
        donors: Sequence[Any] | None = None,
        lam: float | Sequence[float] | None = None,
        alpha: float | Sequence[float] | None = None,
        l2: str = "squared",
        predictors: pd.DataFrame | None = None,
        v: Mapping[str, float] | Sequence[float] | str | None = None,
        pooled: bool = False,
        unit: str | None = None,
        time: str | None = None,
        outcome: str | None = None,
    ) -> None:
        began = perf_counter()
        panel = read_panel(outcomes, unit, time, outcome, treated)
        study = Study(panel, treated, treatment_time, donors, weights, intercept, lam, alpha, l2, predictors, v, pooled)
        self._take(study, began)

    @classmethod
    def _of(cls, study: Study) -> SyntheticControlProblem:
        problem = cls.__new__(cls)
        problem._take(study, perf_counter())
        return problem

    def _take(self, study: Study, began: float) -> None:
        self._formulations = FORMULATIONS
        self.study, self.design, self.predictors = study, study.design, study.known
        self.kind, self.constraints = study.kind, study.constraints
        self.fits, self.importance, self.penalty, self.penalty_choice = fits_of(study)
        self.data_seconds = perf_counter() - began

    # ---- data ----

    @property
    def panel(self) -> Panel:
        """The outcomes."""
        return self.study.panel

    @property
    def treated(self) -> list[Any]:
        """Labels of the treated units."""
        return self.design.treated

    @property
    def donors(self) -> list[Any]:
        """Labels of the donors, in the order of the weights."""
        return self.design.donors

    @property
    def labels(self) -> list[Any]:
        """Labels of the fits: the treated units, or one for their average."""
        return self.study.labels

    @property
    def donor_values(self) -> Floats:
        """Outcomes of the donors at all times, (T, J)."""
        return self.study.donor_values

    @property
    def treated_values(self) -> Floats:
        """Outcomes of what is fitted at all times, (T, number of fits)."""
        return self.study.treated_values

    def variant(self, **changes: Any) -> SyntheticControlProblem:
        """Return the problem with other arguments; a penalty that was chosen stays as it is.

        `outcomes`, `treated`, `treatment_time` and `donors` may be among them.

        Parameters
        ----------
        **changes : keyword arguments
            Arguments of the constructor, with their new values.
        """
        study = self.study
        asked: dict[str, Any] = {
            "panel": dataclasses.replace(study.panel, checked=True),
            "treated": self.treated,
            "treatment_time": self.design.treatment_time,
            "donors": self.donors,
        }
        if self.penalty_choice is not None:
            asked["lam"] = self.penalty.lam
            asked |= {} if self.penalty.pairwise or self.kind == "ridge" else {"alpha": self.penalty.alpha}
        asked |= changes
        unit, time, outcome = (asked.pop(name, None) for name in ("unit", "time", "outcome"))
        if "outcomes" in asked:
            asked["panel"] = read_panel(asked.pop("outcomes"), unit, time, outcome, asked["treated"])
        return self._of(dataclasses.replace(study, **asked))

    # ---- model ----

    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        return add_components(self.fits, block)

    def direct_program(self, formulation: str) -> Program:
        """Return what `build` compiles to, as arrays at once."""
        return direct_program(self.fits)

    def index(self, label: Any, fit: Any = None) -> int:
        """Return the position of a donor among the model's weights, in the fit of a treated unit (the first).

        Parameters
        ----------
        label : label
            A donor.
        fit : label, optional
            The treated unit, where there are several.

        Raises
        ------
        DataError
            For a unit that is not there.
        """
        for what, name, known in (("treated unit", fit, self.labels), ("donor", label, self.donors)):
            if name is not None and name not in known:
                raise DataError(unknown_name(what, str(name), map(str, known)))
        k = 0 if fit is None else self.labels.index(fit)
        return k * len(self.donors) + self.donors.index(label)

    def label(self, i: int) -> tuple[Any, Any]:
        """Return the fit and the donor of weight number `i` of the model.

        Parameters
        ----------
        i : int
            Position among the model's variables, from 0.

        Raises
        ------
        DataError
            Where there is no such variable.
        """
        require_position(i, len(self.labels) * len(self.donors))
        k, j = divmod(i, len(self.donors))
        return self.labels[k], self.donors[j]

    def fast_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return `active-set`, exact for every kind of weights."""
        return {"active-set": partial(solve_active_set, self.fits)}

    # ---- answers ----

    def result(self, result: Result, program: Program) -> SyntheticControlResult:
        """Return weights, gaps and effects with their labels.

        An answer whose gap is not yet as small as rounding allows is polished: `active-set` goes on from its weights,
        and what comes out is verified again. `method` then says so. So is one that is within the solver's tolerances
        of an objective near zero, but far from the best fit relative to that: with donors on very different scales.
        """
        if result.solver not in self.fast_paths(result.formulation) and self._is_rough(result):
            result = polish(self.fits, result, program)
        return SyntheticControlResult.of(self, result, program)

    def _is_rough(self, result: Result) -> bool:
        if result.gap is None or result.objective is None or result.gap > POLISH_ABOVE:
            return True
        if any(fit.best is None for fit in self.fits):
            return False
        best = sum(fit.value(fit.minimise()) for fit in self.fits)
        return result.objective - best > POLISH_ABOVE * best


def synthetic_control(
    df: pd.DataFrame,
    *,
    unit: str,
    time: str,
    outcome: str,
    treated: Any,
    treatment_time: Any,
    predictors: Sequence[Any] | pd.DataFrame | None = None,
    solver: str = "auto",
    time_limit: float | None = None,
    options: Mapping[str, Any] | None = None,
    **problem: Any,
) -> SyntheticControlResult:
    """Compare a treated unit with its synthetic control, in one call from a long DataFrame.

    Parameters
    ----------
    df : DataFrame
        One row per unit and time.
    unit, time, outcome : str
        Names of columns.
    treated : label or sequence of labels
    treatment_time : object
        The first time under treatment.
    predictors : sequence, or DataFrame (units x K), optional
        Names of columns, averaged over the times before the treatment; or pairs (column, times) with one time or
        several. Missing values are left out of an average.
    solver, time_limit, options
        As in `solve`.
    **problem
        Further arguments of `SyntheticControlProblem`.

    Returns
    -------
    SyntheticControlResult
        With `weights`, `gaps`, `att`, `fit`, `placebo_in_space()`, `placebo_in_time()`, `leave_one_out()`,
        `att_range()` and `plot()`.

    Examples
    --------
    >>> import pandas as pd, causalopt as co
    >>> df = pd.DataFrame({
    ...     "state": ["a"] * 4 + ["b"] * 4 + ["c"] * 4, "year": [1, 2, 3, 4] * 3,
    ...     "sales": [1.0, 2, 4, 9, 0, 1, 1, 1, 2, 3, 7, 7]})
    >>> result = co.synthetic_control(
    ...     df, unit="state", time="year", outcome="sales", treated="a", treatment_time=4)
    >>> round(result.att, 6)
    5.0
    """
    refuse_unknown_arguments(synthetic_control, problem, SyntheticControlProblem, {})
    if predictors is not None and not isinstance(predictors, pd.DataFrame):
        predictors = predictors_from_columns(df, unit, time, treatment_time, predictors)
    instance = SyntheticControlProblem(
        df, treated, treatment_time, unit=unit, time=time, outcome=outcome, predictors=predictors, **problem
    )
    result: SyntheticControlResult = solve(instance, solver, time_limit=time_limit, options=options)
    return result
