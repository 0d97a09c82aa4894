"""What a synthetic-control problem answers: weights, gaps, effects, and how much of it the data decide."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import OptionError, warn
from causalopt.messages import Message, argument, call
from causalopt.modeling.program import Floats, Program
from causalopt.problems.synthetic_control import placebo
from causalopt.problems.synthetic_control.data import Study
from causalopt.problems.synthetic_control.fit import COUNTS, Fit, check_penalty_number
from causalopt.problems.synthetic_control.model import Layout
from causalopt.problems.synthetic_control.panel import label_index
from causalopt.problems.synthetic_control.placebo import LeaveOneOut, SpacePlacebo, TimePlacebo
from causalopt.problems.synthetic_control.range import Effect, OptimalFace, optimal_face
from causalopt.solving.result import Result
from causalopt.study.estimates import EstimateRange
from causalopt.study.times import time_name

EffectRange = EstimateRange


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SyntheticControlResult(Result):
    """A synthetic control, or one for each of several treated units.

    Attributes
    ----------
    problem : SyntheticControlProblem
    program : Program
    """

    problem: Any
    program: Program

    @property
    def _study(self) -> Study:
        study: Study = self.problem.study
        return study

    @property
    def _fits(self) -> list[Fit]:
        fits: list[Fit] = self.problem.fits
        return fits

    @classmethod
    def of(cls, problem: Any, result: Result, program: Program) -> SyntheticControlResult:
        """Return a verified answer with labels; warn where the weights are not unique.

        Parameters
        ----------
        problem : SyntheticControlProblem
            What was solved.
        result : Result
            The verified answer, in the program's order.
        program : Program
            What was solved.
        """
        answer = cls(**result.fields(), problem=problem, program=program)
        notes = answer._notes()
        for note in notes:
            warn(note)
        return dataclasses.replace(answer, warnings=(*answer.warnings, *notes)) if notes else answer

    def _notes(self) -> list[Message]:
        notes = []
        if not self.weights_are_unique:
            span = self.att_range(0.0)
            spread = (
                f"the effect is {span.lower:.6g} with all of them"
                if span.upper - span.lower <= 1e-9 * max(abs(span.upper), abs(span.lower))
                else f"the effect goes from {span.lower:.6g} to {span.upper:.6g}"
            )
            ranges = call("att_range", "weight_ranges and att_range()")
            note = (
                f"The weights are not unique: other weights fit the treated unit exactly as well, and {spread}. See "
                f"{ranges}; more times before the treatment, fewer donors, or a penalty decide."
            )
            notes.append(Message(note))
        choice = self.problem.penalty_choice
        if choice is not None and choice.at_edge:
            wider = f"give a wider range ({argument('lam', assigned=True)})"
            note = f"The chosen lam ({choice.penalty.lam:.4g}) is at the edge of those tried; {wider}."
            notes.append(Message(note))
        return notes

    # ---- weights and paths ----

    @cached_property
    def _points(self) -> list[tuple[Floats, float]]:
        """Weights and internal intercept of each fit."""
        assert self.x is not None
        layout = Layout.of(self._fits)
        return [layout.read(self.x, k) for k in range(layout.n_fits)]

    @cached_property
    def _weight_values(self) -> Floats:
        return np.array([weights for weights, _ in self._points]).T

    @cached_property
    def _intercept_values(self) -> Floats:
        pairs = zip(self._fits, self._points, strict=True)
        return np.array([fit.intercept(weights, internal) for fit, (weights, internal) in pairs])

    @property
    def _fit_index(self) -> pd.Index:
        return label_index(self._study.labels, "fit")

    @cached_property
    def weight_table(self) -> pd.DataFrame:
        """Weights by donor, with a column for each treated unit."""
        donors = label_index(self._study.design.donors, "donor")
        return pd.DataFrame(self._weight_values, index=donors, columns=self._fit_index)

    @cached_property
    def intercepts(self) -> pd.Series:
        """Intercepts by treated unit, in the outcome's units."""
        return pd.Series(self._intercept_values, index=self._fit_index, name="intercept")

    @property
    def _single(self) -> bool:
        return len(self._study.labels) == 1

    @property
    def _heavy(self) -> pd.Series:
        """By donor that counts, the largest of its weights in absolute value, the heaviest first."""
        heavy = self.weight_table.abs().max(axis=1).sort_values(ascending=False, kind="stable")
        return heavy[heavy > COUNTS]

    @property
    def weights(self) -> Any:
        """Weights by donor: a Series, or a DataFrame with a column for each treated unit."""
        if not self._single:
            return self.weight_table
        return pd.Series(self._weight_values[:, 0], label_index(self._study.design.donors, "donor"), name="weight")

    @property
    def intercept(self) -> Any:
        """The intercept in the outcome's units (zero where there is none), or a Series by treated unit."""
        return float(self._intercept_values[0]) if self._single else self.intercepts

    @cached_property
    def _synthetic(self) -> Floats:
        return np.asarray(self._study.donor_values @ self._weight_values + self._intercept_values)

    @cached_property
    def _gap_values(self) -> Floats:
        return np.asarray(self._study.treated_values - self._synthetic)

    def _by_time(self, values: Floats) -> Any:
        times = self._study.panel.times
        if self._single:
            return pd.Series(values[:, 0], index=times, name=self._study.labels[0])
        return pd.DataFrame(values, index=times, columns=self._fit_index)

    @property
    def synthetic(self) -> Any:
        """The synthetic control's outcome at every time: a Series, or a DataFrame by treated unit."""
        return self._by_time(self._synthetic)

    @property
    def gaps(self) -> Any:
        """Actual minus synthetic outcome at every time: a Series, or a DataFrame by treated unit."""
        return self._by_time(self._gap_values)

    @property
    def att_by_unit(self) -> pd.Series:
        """Mean gap since the treatment time, by treated unit."""
        values = self._gap_values[self._study.n_pre :].mean(axis=0)
        return pd.Series(values, index=self._fit_index, name="att")

    @property
    def att(self) -> float:
        """Mean gap since the treatment time, over all treated units."""
        return float(self._gap_values[self._study.n_pre :].mean())

    @property
    def fit(self) -> pd.DataFrame:
        """Fit by treated unit.

        Columns: `ssr` and `pre rmspe` (before the treatment), `post rmspe` (since), `rmspe ratio`, and `loss`: the
        stated objective in the user's units, penalty included.
        """
        n_pre, gaps = self._study.n_pre, self._gap_values
        ssr = np.einsum("tk,tk->k", gaps[:n_pre], gaps[:n_pre])
        pre, post = np.sqrt(ssr / n_pre), np.sqrt((gaps[n_pre:] ** 2).mean(axis=0))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = post / pre
        columns = {"ssr": ssr, "pre rmspe": pre, "post rmspe": post, "rmspe ratio": ratio, "loss": self._losses()}
        return pd.DataFrame(columns, index=self._fit_index)

    def _losses(self) -> list[float]:
        pairs = zip(self._fits, self._points, strict=True)
        return [fit.factor * fit.value(fit.at(*point)) + fit.constant for fit, point in pairs]

    @property
    def loss(self) -> float:
        """The stated objective in the user's units, summed over the treated units."""
        return float(sum(self._losses()))

    def predictor_balance(self) -> pd.DataFrame:
        """Return predictors of the treated, the synthetic control and the donors' mean, with their importance.

        Raises
        ------
        OptionError
            Where the fit is to the outcomes.
        """
        study, known = self._study, self._study.known
        if known is None:
            given = argument("predictors", assigned=True)
            raise OptionError(f"This fit is to the outcomes, not to {given}; look at `gaps` and `fit` instead.")
        parts = []
        donors = known.frame.loc[study.design.donors].to_numpy(dtype=float)
        own = known.treated(study.design.treated, study.averages) * known.spread[:, None]
        for k in range(len(study.labels)):
            columns = {
                "treated": own[:, k],
                "synthetic": donors.T @ self._weight_values[:, k],
                "donor mean": donors.mean(axis=0),
                "importance": self.problem.importance[k].values,
            }
            parts.append(pd.DataFrame(columns, index=pd.Index(known.names, name="predictor")))
        return parts[0] if self._single else pd.concat(parts, keys=self._fit_index)

    # ---- what the data decide ----

    @cached_property
    def _faces(self) -> list[OptimalFace | None]:
        return [optimal_face(fit) for fit in self._fits]

    @property
    def weights_are_unique(self) -> bool:
        """Whether no other weights have the same objective."""
        return all(face is None or face.is_point for face in self._faces)

    @cached_property
    def weight_ranges(self) -> pd.DataFrame:
        """Smallest and largest value of each weight over all weights with the best objective.

        Columns `lower` and `upper`; by donor, or by fit and donor. Equal where the weights are unique.
        """
        parts = []
        for k, face in enumerate(self._faces):
            own = self._weight_values[:, k]
            ends = np.column_stack([own, own])
            if face is not None and not face.is_point:
                ends[:] = 0.0
                for j in face.support:
                    ends[j] = face.range(np.eye(1, len(own), j)[0])
            parts.append(
                pd.DataFrame(ends, index=label_index(self._study.design.donors, "donor"), columns=["lower", "upper"])
            )
        return parts[0] if self._single else pd.concat(parts, keys=self._fit_index)

    def att_range(self, eta: float = 0.0, solver: str | None = None) -> EffectRange:
        """Return the range of the effect over all weights whose objective is within (1 + eta) of the best.

        Parameters
        ----------
        eta : float
            Zero: over all optimal weights, by two linear programs on the optimal face (the range is a point where the
            weights are unique). Positive: by a Lagrangian search along the model with the effect added to its cost
            (see `causalopt.solving.extremes`), exact up to the reported gap, which is proved by duality.
        solver : str, optional
            What solves the steps; the solver of this result unless given.

        Returns
        -------
        EffectRange
            Of several treated units each keeps within its own (1 + eta), and the mean effect is reported.

        Raises
        ------
        OptionError
            With an unsquared norm.

        Examples
        --------
        >>> import pandas as pd, causalopt as co
        >>> outcomes = pd.DataFrame({"a": [1.0, 2, 4, 9], "b": [0.0, 1, 1, 1], "c": [2.0, 3.5, 7, 7]})
        >>> result = co.solve(co.SyntheticControlProblem(outcomes, "a", 3))
        >>> print(result.att_range(0.1))
        5.01622 to 5.14595 over all weights within 0.1 of the best fit
        """
        study, eta = self._study, check_penalty_number("eta", eta)
        if eta > 0 and study.l2 == "unsquared" and self.problem.penalty.alpha < 1:
            squared = f"Near-optimal weights are not available with {argument('l2', 'unsquared')}: use 'squared'."
            raise OptionError(squared)
        ends = []
        for k, fit in enumerate(self._fits):
            effect = Effect(study, k, fit, self._faces[k], self._weight_values[:, k])
            near = (*effect.over_optimal(), 0.0) if eta == 0 else effect.over_near_optimal(eta, solver or self.solver)
            ends.append(near)
        low, high, gap = np.mean(ends, axis=0)
        return EffectRange(float(low), float(high), eta, float(gap), "the best fit")

    # ---- inference and robustness ----

    def placebo_in_space(self, *, max_fit_ratio: float | None = None, workers: int = 1) -> SpacePlacebo:
        """Refit with each donor in the part of the treated unit (`causalopt.problems.synthetic_control.placebo`).

        Parameters
        ----------
        max_fit_ratio : float, optional
            Leave placebos out whose error before the treatment is more than so many times that of the
            treated unit.
        workers : int
            Processes to spread the fits over.

        Returns
        -------
        SpacePlacebo
            The p-value, and effects and errors by unit.
        """
        return placebo.in_space(self, max_fit_ratio=max_fit_ratio, workers=workers)

    def placebo_in_time(self, times: Any = None, *, workers: int = 1) -> TimePlacebo:
        """Refit as if treated earlier; see `causalopt.problems.synthetic_control.placebo.in_time`.

        Parameters
        ----------
        times : sequence or single time, optional
            Earlier treatment times to pretend; dates also as text.
        workers : int
            Processes to spread the fits over.

        Returns
        -------
        TimePlacebo
            Effects and errors by placebo time.
        """
        return placebo.in_time(self, times, workers=workers)

    def leave_one_out(self, *, workers: int = 1) -> LeaveOneOut:
        """Refit without each donor that counts; see `causalopt.problems.synthetic_control.placebo.leave_one_out`.

        Parameters
        ----------
        workers : int
            Processes to spread the fits over.

        Returns
        -------
        LeaveOneOut
            Effects without each donor, and their range.
        """
        return placebo.leave_one_out(self, workers=workers)

    def facts(self) -> dict[str, str]:
        """Return the facts of the solve, with those of the synthetic control first."""
        study, fit, penalty = self._study, self.fit, self.problem.penalty
        n_pre, times = study.n_pre, list(map(time_name, study.panel.times))
        heavy = self._heavy
        own = {
            "treated": ", ".join(map(str, study.labels)) + f", since {time_name(study.design.treatment_time)}",
            "times": f"{n_pre} before ({times[0]} to {times[n_pre - 1]}), {len(times) - n_pre} since",
            "weights": f"{study.kind}, {len(study.design.donors)} donors, {len(heavy)} with weight"
            + ("" if self.weights_are_unique else ", NOT UNIQUE"),
            "largest": ", ".join(
                f"{label} " + " / ".join(f"{v:.4f}" for v in self.weight_table.loc[label]) for label in heavy.index[:6]
            ),
            "pre-treatment rmspe": ", ".join(f"{value:.6g}" for value in fit["pre rmspe"]),
            "effect (mean gap)": f"{self.att:.6g}",
        }
        if not study.constraints.no_intercept:
            own["intercept"] = ", ".join(f"{value:.6g}" for value in self.intercepts)
        if penalty.lam:
            chosen = " (chosen by donors in the treated's part)" if self.problem.penalty_choice is not None else ""
            own["penalty"] = f"lam {penalty.lam:.6g}, alpha {penalty.alpha:g}{chosen}"
        return own | super().facts()
