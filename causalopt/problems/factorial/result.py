"""What a factorial balance problem answers: weights, balance by effect and side, and the effects."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, warn
from causalopt.modeling.program import Floats
from causalopt.problems.factorial.cell_rows import group_by_cell
from causalopt.problems.factorial.cells import SIDES
from causalopt.problems.factorial.data import FactorialStudy
from causalopt.problems.factorial.design import OutcomeModel
from causalopt.problems.factorial.estimate import (
    Sample,
    bootstrap_effects,
    cell_probabilities,
    estimate_table,
    inverse_probability_effects,
    regression_effects,
    weighted_effects,
)
from causalopt.problems.factorial.rows import WeightSet, model_terms
from causalopt.solving.options import unknown_name
from causalopt.solving.result import Result
from causalopt.study.labels import listed
from causalopt.study.reading import read_outcome

VARIANCES = ("adjusted", "plain", "bootstrap")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class FactorialResult(Result):
    """Weights under which the factors look randomized.

    Attributes
    ----------
    weights : Series, or DataFrame with a column an effect (where they are separate)
        Indexed as the data, on the scale of [FACT]: those of each side of an effect sum to N, so that they average to
        two. Zero in treatment cells that no estimate uses.
    problem : FactorialBalanceProblem
    data : DataFrame or None
        The frame given to `causalopt.factorial_balance`, for outcomes named by column.
    """

    weights: Any
    problem: Any
    data: pd.DataFrame | None = None

    @property
    def study(self) -> FactorialStudy:
        """What the problem was given."""
        study: FactorialStudy = self.problem.study
        return study

    def _of(self, s: WeightSet) -> Floats:
        """Return the weights of a set's members, cell after cell."""
        values: Floats = self.weights.to_numpy()[s.members]
        return values[:, self.study.sets.index(s)] if self.study.separate else values

    # ---- diagnostics ----

    def cells(self) -> pd.DataFrame:
        """Return, by treatment cell, how many rows it holds and what their weights are.

        Columns: `rows`; `weight`, the sum of the weights over N / 2^(K-1) (one in a balanced experiment); `effective
        sample size`, (sum w)^2 / sum w^2 (Kish 1965); `largest weight`; `zero weights`, how many. With separate weights
        there is a level `effect` in front.
        """
        study = self.study
        factors, total = study.factors, len(self.weights)
        members, starts = group_by_cell(factors.codes, factors.observed)
        parts = {}
        columns = self.weights if study.separate else self.weights.to_frame("")
        for name in columns.columns:
            w = columns[name].to_numpy()[members]
            sums, squares = np.add.reduceat(w, starts[:-1]), np.add.reduceat(w * w, starts[:-1])
            parts[name] = pd.DataFrame(
                {
                    "rows": np.diff(starts),
                    "weight": sums / (total / 2 ** (factors.size - 1)),
                    "effective sample size": np.divide(sums**2, squares, out=np.zeros_like(sums), where=squares > 0),
                    "largest weight": np.maximum.reduceat(w, starts[:-1]),
                    "zero weights": np.add.reduceat((w <= 1e-7).astype(int), starts[:-1]),
                },
                index=factors.cell_index(factors.observed),
            )
        return pd.concat(parts, names=["effect"]) if study.separate else parts[""]

    @property
    def effective_sample_size(self) -> pd.Series:
        """(sum w)^2 / sum w^2 by treatment cell (Kish 1965)."""
        return self.cells()["effective sample size"]

    def balance_table(self) -> pd.DataFrame:
        """Return the balance on each side of each effect, before and after weighting.

        The side "+" (or "-") of an effect holds the units whose contrast is positive (negative), each counted |g~|
        times. Rows in family "covariates" compare weighted means of functions of the covariates with those of all
        units; "interactions" their (centred and standardised) products with factors, and "factors" the contrasts of
        the other factors, with what they are over all cells. `smd before` and `smd after` are in the unit of the
        tolerance: the standard deviation in the whole sample, or the raw contrast of a factor.
        """
        return pd.concat([self._balance_of(s) for s in self.study.sets])

    def _balance_of(self, s: WeightSet) -> pd.DataFrame:
        study, factors = self.study, self.study.factors
        functions, model = study.functions, study.model
        values = s.rows.functions
        starts = s.rows.starts[:-1]
        after = np.add.reduceat(values * self._of(s), starts, axis=1)
        before = np.add.reduceat(values, starts, axis=1)
        shape = {term: factors.contrast(s.cells, term) for term in _shown_terms(model)}
        rows = []
        for effect, weight in s.effects.items():
            for side in SIDES:
                part = np.maximum(weight if side == "+" else -weight, 0.0)
                both = (before * part, after * part)
                key = (factors.label(effect), side)
                for k in range(factors.size):
                    if effect == (k,) or (k,) not in shape:
                        continue
                    goal = float(part @ shape[k,] / part.sum())
                    means = [float(m[0] @ shape[k,] / m[0].sum()) for m in both]
                    off = [m - goal for m in means]
                    rows.append((*key, factors.names[k], "factors", goal, *means, *off, functions.factor_tolerance))
                for p, name in enumerate(functions.names):
                    for term in model.function_terms[name]:
                        off = [float(m[p + 1] @ shape[term] / m[0].sum()) for m in both]
                        if term:
                            label, family, goal, means = f"{factors.label(term)}:{name}", "interactions", 0.0, off
                        else:
                            goal, unit = float(study.means[p]), float(study.spread[p])
                            label, family, means = name, "covariates", [goal + unit * d for d in off]
                        tolerance = (functions.interaction_tolerance if term else functions.tolerance)[p]
                        rows.append((*key, label, family, goal, *means, *off, tolerance))
        names = ["effect", "side", "function", "family", "target", "mean before", "mean after"]
        table = pd.DataFrame(rows, columns=[*names, "smd before", "smd after", "tolerance"])
        return table.set_index(["effect", "side", "function"])

    # ---- estimates ----

    def estimate(
        self, outcome: Any, *, level: float = 0.95, variance: str = "adjusted", draws: int = 400, seed: int = 0
    ) -> pd.DataFrame:
        """Estimate the effects: tau = (1/N) sum_i w_i (A^+ - A^-) Y_i.

        Parameters
        ----------
        outcome : str, Series or array
            A column of the data given to `causalopt.factorial_balance`, or a value for each row.
        level : float
            Of the normal intervals.
        variance : {"adjusted", "plain", "bootstrap"}
            "plain" is the consistent estimator of [FACT] from the residuals of a weighted regression on the outcome
            model; "adjusted" corrects it for their leverage, which matters in small samples (see
            `causalopt.problems.factorial.estimate.weighted_effects`); "bootstrap" resamples rows within treatment cells
            and finds new weights each time.
        draws, seed : int
            Of the bootstrap.

        Returns
        -------
        DataFrame
            By effect: `estimate`, `standard error`, `lower`, `upper`, `p`. Effects that the observed cells do not
            identify have missing values. `attrs["method"]` says where the standard errors come from.

        Raises
        ------
        DataError
            For an unknown kind of variance, or an outcome that is missing or does not fit.
        """
        if variance not in VARIANCES:
            raise DataError(unknown_name("variance", str(variance), VARIANCES))
        y = read_outcome(outcome, self.weights.index, self.data)
        answers: dict[str, tuple[float, float]] = {}
        for s in self.study.sets:
            sample = self._sample(s, y, self.study.model)
            if variance == "bootstrap":
                answers |= bootstrap_effects(sample, s, self._of(s), self.study.factors.codes, draws, seed)
            else:
                answers |= weighted_effects(sample, self._of(s), adjust=variance == "adjusted")
        method = {
            "adjusted": "[FACT] consistent variance, residuals corrected for leverage",
            "plain": "[FACT] consistent variance",
            "bootstrap": f"bootstrap within treatment cells, {draws} draws",
        }[variance]
        return self._table(answers, level, f"balancing weights; {method}")

    def compare(self, outcome: Any, *, level: float = 0.95) -> pd.DataFrame:
        """Return the effects by balancing weights beside those of other estimators.

        Index levels: `estimator` and `effect`. The others are: the difference of cell means as they are
        ("unweighted"); inverse probabilities of the cell, by a chain of logistic regressions ("inverse probability",
        normalised within cells); and least squares on the additive and the heterogeneous outcome model ("regression,
        additive" and "regression, interactions"), with the problem's own terms of the factors.

        Parameters
        ----------
        outcome : str or (n,) array
            Column of the data frame, or values in its order.
        level : float
            Confidence level.
        """
        study = self.study
        y = read_outcome(outcome, self.weights.index, self.data)
        everything = study.everything
        sample = self._sample(everything, y, study.model)
        tables = {
            "balancing weights": self.estimate(y, level=level),
            "unweighted": self._table(inverse_probability_effects(sample, np.ones(len(sample.outcome))), level, ""),
        }
        high = np.asarray(study.factors.signs(study.factors.codes) > 0, dtype=float)
        try:
            probability = cell_probabilities(self._everyone(), high, study.factors.names)[everything.members]
            answers = inverse_probability_effects(sample, probability)
        except DataError as error:
            warn(f"No estimates by inverse probabilities: {error.message.marked}")
            answers = {}
        tables["inverse probability"] = self._table(answers, level, "")
        singles = tuple(term for term in study.model.factor_terms if len(term) <= 1)
        for name, own in (("regression, additive", ((),)), ("regression, interactions", singles)):
            model = dataclasses.replace(study.model, function_terms=dict.fromkeys(study.names, own))
            tables[name] = self._table(regression_effects(self._sample(everything, y, model)), level, "")
        return pd.concat(tables, names=["estimator"])

    def _table(self, answers: Mapping[str, tuple[float, float]], level: float, method: str) -> pd.DataFrame:
        return estimate_table(answers, self.study.labels, level, method)

    def _everyone(self) -> Floats:
        values = self.study.functions.values
        return np.vstack([np.ones((1, len(self.weights))), values])

    def _sample(self, s: WeightSet, y: Floats, model: OutcomeModel) -> Sample:
        factors = self.study.factors
        return Sample(
            outcome=y[s.members],
            terms=model_terms(model, factors, s, self.study.names),
            everyone=self._everyone(),
            contrasts={factors.label(effect): weight for effect, weight in s.effects.items()},
            factors=factors.size,
        )

    # ---- words and pictures ----

    def facts(self) -> dict[str, str]:
        """Return the facts of the solve, with those of the study first."""
        study = self.study
        factors = study.factors
        cells = self.cells()
        table = self.balance_table()
        own = {
            "effects": listed(study.known, 8),
            "outcome model": study.model_words(),
            "treatment cells": f"{len(factors.observed):,} of {2**factors.size:,} observed, with "
            f"{int(cells['rows'].min()):,} to {int(cells['rows'].max()):,} rows",
            "effective sample size": f"{cells['effective sample size'].min():,.1f} (smallest cell) of "
            f"{int(cells['rows'].loc[cells['effective sample size'].idxmin()]):,} rows",
            "zero weights": f"{int(cells['zero weights'].sum()):,}",
        }
        if len(table):
            own["largest imbalance"] = (
                f"{table['smd before'].abs().max():.3g} before, {table['smd after'].abs().max():.3g} after"
            )
        if study.lost:
            own["not identified"] = ", ".join(study.lost)
        if study.dropped:
            own["implied by others"] = ", ".join(study.dropped)
        return own | super().facts()


def _shown_terms(model: OutcomeModel) -> set[tuple[int, ...]]:
    terms = {term for own in model.function_terms.values() for term in own}
    return terms | {term for term in model.factor_terms if len(term) <= 1}
