"""Balancing weights for the effects of several two-level factors in an observational study.

[FACT] = Yu and Ding, Balancing weights for causal inference in observational factorial studies (arXiv 2310.04660).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from causalopt import modeling
from causalopt.algorithms.parts import solve_parts
from causalopt.basis import Term
from causalopt.errors import DataError, InfeasibleError
from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.problems.factorial.data import read_study
from causalopt.problems.factorial.design import Effect
from causalopt.problems.factorial.infeasible import estimability, explain_infeasible
from causalopt.problems.factorial.result import FactorialResult
from causalopt.problems.factorial.rows import WeightSet
from causalopt.solving.dispatch import solve
from causalopt.solving.options import SolveOptions, refuse_unknown_arguments, unknown_name
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result
from causalopt.study.reading import require_columns, require_position, row_position
from causalopt.verifying.claims import Solution

FORMULATIONS = {
    "qp": Formulation(
        ProblemClass.CONVEX_QP, exact=True, source="[FACT] balance of covariates and factors, minimum variance"
    ),
}


class FactorialBalanceProblem(Problem):
    """Weights of minimum variance under which an observational study looks like a factorial experiment.

    For K factors with levels -1 and +1, cells z, effects kappa (sets of factors) with contrast g_z = product of z_k
    over the set, g^+ = max(g, 0), g^- = max(-g, 0), and A^+, A^- their values at each unit's own cell, weights w >= 0
    of least sum of squares satisfy for each effect and side

        sum_i w_i A_i q(X_i, Z_i)  =  2^-(K-1) sum_z g^side_z sum_i q(X_i, z)

    for every term q = h_s(x) g_J(z) of the outcome model ([FACT]). The effect is then (1/N) sum_i w_i (A^+ - A^-) Y_i:
    the change of the mean outcome when the product of its factors moves from -1 to +1.

    Parameters
    ----------
    covariates : DataFrame (n x P), (n, P) array, or None
        Numbers; a categorical column is balanced level by level. None balances the factors alone.
    factors : DataFrame (n x K) or (n, K) array
        Two-level factors: 0/1, -1/+1, bool, or categories with two levels (the second one is +1). At most 12.
    effects : "main", int, or list
        Which effects: those of single factors, all up to an order, or a list such as ["a", "a:b"].
    outcome_model : {"additive", "heterogeneous"} or list of terms
        What the expected outcome may be, with any coefficients. "additive": functions of the covariates plus any
        function of the cell. "heterogeneous": also the product of each function with each factor. A list names terms
        of factors and their products with a covariate, such as ["a", "b", "a:b", "a:age"]; the covariates and the
        intercept are always there, and "a:age" brings "a" along.
    model_order : int, optional
        Highest order of the interactions among factors in the "additive" or "heterogeneous" model; all by default.
        With treatment cells missing, a smaller model is what makes effects estimable.
    basis : sequence of terms, optional
        Further functions of the covariates: see `causalopt.basis`.
    tolerance : float or mapping
        Largest imbalance of a covariate function on a side of an effect, in its standard deviations in the whole
        sample (the levels of a category share one); zero balances exactly. In a mapping, keys are covariates or
        functions, "default", "interactions" (products with factors; as their function unless given) and "factors"
        (the factors themselves, in units of their -1/+1 contrasts; exact unless given).
    separate : bool
        One set of weights for each effect, in place of one for all.
    high : mapping from factor to value, optional
        Which value counts as +1; needed for text.

    Attributes
    ----------
    factors : Factors
    effects : list
        The effects asked for, as tuples of factor positions.
    model : OutcomeModel
    contrasts : dict from effect to (C,) array or None
        g~ on the observed cells; None where the effect is not identified.
    sets : tuple of WeightSet
    study : FactorialStudy
        All that was read.

    Raises
    ------
    DataError
        For a factor with one level or more than two, duplicated or collinear factors, unknown names in effects, model
        and tolerance, more effects than cells, missing values, constant covariates, and programs out of reach.
    InfeasibleError
        Where missing treatment cells leave no effect identified; its `explanation` says what would.

    Warns
    -----
    CausaloptWarning
        Where missing cells leave some effects unidentified; the others are estimated.

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> rng = np.random.default_rng(0)
    >>> x = pd.DataFrame({"age": rng.normal(size=400)})
    >>> z = pd.DataFrame({k: (x["age"] + rng.logistic(size=400) > 0) * 1 for k in ("drug", "diet")})
    >>> result = co.solve(co.FactorialBalanceProblem(x, z, effects=2))
    >>> y = x["age"] + 2 * z["drug"] + z["drug"] * z["diet"]
    >>> result.estimate(y)["estimate"].round(6).to_dict()  # 2 + 1/2, 1/2 and 1/2
    {'drug': 2.5, 'diet': 0.5, 'drug:diet': 0.5}
    """

    def __init__(
        self,
        covariates: Any,
        factors: Any,
        *,
        effects: Any = "main",
        outcome_model: Any = "additive",
        model_order: int | None = None,
        basis: Sequence[Term] = (),
        tolerance: float | Mapping[str, float] = 0.0,
        separate: bool = False,
        high: Mapping[str, Any] | None = None,
    ) -> None:
        began = perf_counter()
        self._formulations = FORMULATIONS
        model = outcome_model, model_order
        self.study = study = read_study(covariates, factors, high, basis, tolerance, effects, model, separate)
        self.factors, self.effects, self.model = study.factors, study.effects, study.model
        self.contrasts, self.sets, self.separate = study.contrasts, study.sets, study.separate
        self.data_seconds = perf_counter() - began

    # ---- data ----

    @property
    def estimated(self) -> dict[Effect, Floats]:
        """The contrasts g~ of the effects that are identified."""
        return self.study.estimated

    @property
    def dropped(self) -> list[str]:
        """Functions whose balance, somewhere, follows from that of the others on these data, and is left to them."""
        return self.study.dropped

    def identification(self) -> pd.DataFrame:
        """Return, by effect, whether the observed cells identify it under the outcome model, and what else would.

        Columns: `identified`; `cells`, how many observed cells its estimate uses; `needs`, the largest smaller outcome
        model that identifies it, where it is not.
        """
        return self.study.identification()

    def estimability(self) -> pd.DataFrame:
        """Return, by effect, whether it is identified and whether nonnegative weights of its own exist.

        The columns of `identification`, and `smallest tolerance`: the least tolerance of the covariates for which the
        effect alone has weights, found by a linear program (zero where it has some as asked), and `estimable`.
        """
        return estimability(self.study)

    def model_words(self) -> str:
        """Return the outcome model in words."""
        return self.study.model_words()

    # ---- model ----

    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        n = sum(s.size for s in self.sets)
        base = np.concatenate([np.full(s.size, s.base) for s in self.sets])
        block.weights = modeling.ArrayVar(0.0, np.inf, n=n)
        matrices = [s.rows.csr() for s in self.sets]
        matrix = matrices[0] if len(matrices) == 1 else sp.block_diag(matrices, format="csr")
        target = np.concatenate([s.target for s in self.sets])
        half = np.concatenate([s.half for s in self.sets])
        block.balance = modeling.ArrayConstraint(block.weights, matrix, target - half, target + half)
        cost = {
            "x": block.weights,
            "linear": -base,
            "quadratic": np.ones(n),
            "constant": 0.5 * float(base.sum()),
            "convex": True,
        }
        return cost, modeling.pyo.minimize

    def index(self, label: Any, effect: str | None = None) -> int:
        """Return the position among the model's weights of a row label (and effect, where weights are separate).

        Parameters
        ----------
        label : label
            A label of the caller's data.
        effect : str, optional
            Whose weights, where each effect has its own.

        Raises
        ------
        DataError
            Where the row is in a cell that no estimate uses, or the effect has no weights of its own.
        """
        chosen = self._set_of(effect)
        found = np.flatnonzero(chosen.members == row_position(self.study.index, label))
        if not len(found):
            raise DataError(f"Row {label!r} is in a treatment cell that no estimate uses.")
        return chosen.start + int(found[0])

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
        last = self.sets[-1]
        require_position(i, last.start + last.size)
        chosen = next(s for s in self.sets if i < s.start + s.size)
        return self.study.index[chosen.members[i - chosen.start]]

    def _set_of(self, effect: str | None) -> WeightSet:
        if not self.separate:
            return self.sets[0]
        labels = self.study.known
        if effect not in labels:
            raise DataError(unknown_name("effect", str(effect), labels))
        return self.sets[labels.index(str(effect))]

    def row_labels(self) -> pd.DataFrame:
        """Return set, effect, side, function and family of each row of the model's `balance` constraint.

        Rows in family "factors" are those of the intercept: the sum of weights of a cell, or the balance of the
        factors; "covariates" and "interactions" balance functions and their products with factors. Exact rows that
        follow from others are not there; where a few of many cells are missing, rows of one function hold only what
        they add to those before them.
        """
        return self.study.row_labels()

    # ---- fast path ----

    def fast_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return `dual-newton`, exact for this problem."""
        return {"dual-newton": self._dual_newton}

    def _dual_newton(self, program: Program, options: SolveOptions) -> Solution:
        return solve_parts(
            program,
            [(slice(s.start, s.start + s.size), s.separable(), None if s.base else s.absorbing) for s in self.sets],
        )

    # ---- answer ----

    def result(self, result: Result, program: Program) -> FactorialResult:
        """Return the weights with their labels, on the scale where each side of an effect sums to N."""
        assert result.x is not None
        parts = []
        for s in self.sets:
            weights = np.zeros(len(self.study.index))
            weights[s.members] = 2.0 * result.x[s.start : s.start + s.size]
            parts.append(weights)
        weights = (
            pd.DataFrame(
                np.column_stack(parts), index=self.study.index, columns=pd.Index(self.study.known, name="effect")
            )
            if self.separate
            else pd.Series(parts[0], index=self.study.index, name="weight")
        )
        return FactorialResult(**result.fields(), problem=self, weights=weights)

    def infeasible(self, result: Result) -> InfeasibleError:
        """Return the error that says which effects have weights, and which tolerances or models would do."""
        return explain_infeasible(self.study, result.solver)


def factorial_balance(
    df: pd.DataFrame,
    *,
    factors: Sequence[str],
    covariates: Sequence[str] = (),
    effects: Any = "main",
    outcome_model: Any = "additive",
    tolerance: float | Mapping[str, float] = 0.0,
    solver: str = "auto",
    time_limit: float | None = None,
    options: Mapping[str, Any] | None = None,
    **problem: Any,
) -> FactorialResult:
    """Weigh the rows of a DataFrame as if its factors had been randomized together, in one call.

    Parameters
    ----------
    df : DataFrame
    factors : sequence of str
        Names of the two-level columns whose effects are asked for.
    covariates : sequence of str
        Names of the columns to balance.
    effects, outcome_model, tolerance, **problem
        As in `FactorialBalanceProblem`.
    solver, time_limit, options
        As in `solve`.

    Returns
    -------
    FactorialResult

    Raises
    ------
    DataError
        Where columns are missing, or the data cannot be used.

    Examples
    --------
    >>> import numpy as np, pandas as pd, causalopt as co
    >>> rng = np.random.default_rng(1)
    >>> df = pd.DataFrame({"x": rng.normal(size=300), "b": rng.integers(0, 2, 300)})
    >>> df["a"] = df["x"] + rng.normal(size=300) > 0
    >>> df["y"] = 3 * df["x"] + df["a"] - df["b"]
    >>> result = co.factorial_balance(df, factors=["a", "b"], covariates=["x"])
    >>> result.estimate("y")["estimate"].round(6).tolist()
    [1.0, -1.0]
    """
    after = (
        'Weights are chosen without outcomes: balance first, then result.estimate("y") for the outcome in column "y".'
    )
    refuse_unknown_arguments(factorial_balance, problem, FactorialBalanceProblem, {"outcome": after, "y": after})
    chosen = {"factors": _listed(factors), "covariates": _listed(covariates)}
    require_columns(df, [name for names in chosen.values() for name in names])
    instance = FactorialBalanceProblem(
        df[chosen["covariates"]],
        df[chosen["factors"]],
        effects=effects,
        outcome_model=outcome_model,
        tolerance=tolerance,
        **problem,
    )
    result: FactorialResult = solve(instance, solver, time_limit=time_limit, options=options)
    return dataclasses.replace(result, data=df)


def _listed(names: Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
