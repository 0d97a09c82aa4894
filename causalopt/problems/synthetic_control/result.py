"""What a synthetic-control problem answers: weights, gaps, effects, and how much of it the data decide."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalopt.errors import CausaloptWarning, OptionError
from causalopt.modeling.program import Floats, Program
from causalopt.problems.synthetic_control.data import label_index, time_name
from causalopt.problems.synthetic_control.fit import check_penalty_number
from causalopt.problems.synthetic_control.model import Layout, solve_active_set
from causalopt.problems.synthetic_control.range import OptimalFace, optimal_face
from causalopt.solving.result import Result

if TYPE_CHECKING:
    from causalopt.problems.synthetic_control.placebo import LeaveOneOut, SpacePlacebo, TimePlacebo
    from causalopt.problems.synthetic_control.problem import SyntheticControlProblem
    from causalopt.solving.words import Words

#: A weight of less than this in absolute value is not listed among the donors that count.
COUNTS = 1e-6


@dataclasses.dataclass(frozen=True)
class EffectRange:
    """The effects of all weights whose objective is within (1 + eta) of the best.

    Attributes
    ----------
    lower, upper : float
        The extremes; attained, up to the gap.
    eta : float
    gap : float
        How much wider the range could be, at most: proved by duality.
    """

    lower: float
    upper: float
    eta: float
    gap: float

    def __str__(self) -> str:
        return f"{self.lower:.6g} to {self.upper:.6g} over all weights within {self.eta:.4g} of the best fit"


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class SyntheticControlResult(Result):
    """A synthetic control, or one for each of several treated units.

    Attributes
    ----------
    problem : SyntheticControlProblem
    program : Program
    """

    problem: SyntheticControlProblem
    program: Program

    @classmethod
    def of(cls, problem: SyntheticControlProblem, result: Result, program: Program) -> SyntheticControlResult:
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
            warnings.warn(note, CausaloptWarning, stacklevel=5)
        return dataclasses.replace(answer, warnings=(*answer.warnings, *notes)) if notes else answer

    def _notes(self) -> list[str]:
        notes = []
        if not self.weights_are_unique:
            span = self.att_range(0.0)
            spread = (
                f"the effect is {span.lower:.6g} with all of them"
                if span.upper - span.lower <= 1e-9 * max(abs(span.upper), abs(span.lower))
                else f"the effect goes from {span.lower:.6g} to {span.upper:.6g}"
            )
            notes.append(
                f"The weights are not unique: other weights fit the treated unit exactly as well, and {spread}. See "
                "weight_ranges and att_range(); more times before the treatment, fewer donors, or a penalty decide."
            )
        choice = self.problem.penalty_choice
        if choice is not None and choice.at_edge:
            notes.append(
                f"The chosen lam ({choice.penalty.lam:.4g}) is at the edge of those tried; give a wider range (lam=)."
            )
        return notes

    # ---- weights and paths ----

    @cached_property
    def _points(self) -> list[tuple[Floats, float]]:
        """Weights and internal intercept of each fit."""
        assert self.x is not None
        layout = Layout.of(self.problem.fits)
        return [layout.read(self.x, k) for k in range(layout.n_fits)]

    @cached_property
    def _weight_values(self) -> Floats:
        return np.array([weights for weights, _ in self._points]).T

    @cached_property
    def _intercept_values(self) -> Floats:
        pairs = zip(self.problem.fits, self._points, strict=True)
        return np.array([fit.intercept(weights, internal) for fit, (weights, internal) in pairs])

    @property
    def _fit_index(self) -> pd.Index:
        return label_index(self.problem.labels, "fit")

    @cached_property
    def weight_table(self) -> pd.DataFrame:
        """Weights by donor, with a column for each treated unit."""
        donors = label_index(self.problem.donors, "donor")
        return pd.DataFrame(self._weight_values, index=donors, columns=self._fit_index)

    @cached_property
    def intercepts(self) -> pd.Series:
        """Intercepts by treated unit, in the outcome's units."""
        return pd.Series(self._intercept_values, index=self._fit_index, name="intercept")

    @property
    def _single(self) -> bool:
        return len(self.problem.labels) == 1

    @property
    def weights(self) -> Any:
        """Weights by donor: a Series, or a DataFrame with a column for each treated unit."""
        if not self._single:
            return self.weight_table
        return pd.Series(self._weight_values[:, 0], label_index(self.problem.donors, "donor"), name="weight")

    @property
    def intercept(self) -> Any:
        """The intercept in the outcome's units (zero where there is none), or a Series by treated unit."""
        return float(self._intercept_values[0]) if self._single else self.intercepts

    @cached_property
    def _synthetic(self) -> Floats:
        return np.asarray(self.problem.donor_values @ self._weight_values + self._intercept_values)

    @cached_property
    def _gap_values(self) -> Floats:
        return np.asarray(self.problem.treated_values - self._synthetic)

    def _by_time(self, values: Floats) -> Any:
        times = self.problem.panel.times
        if self._single:
            return pd.Series(values[:, 0], index=times, name=self.problem.labels[0])
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
        values = self._gap_values[self.problem.design.n_pre :].mean(axis=0)
        return pd.Series(values, index=self._fit_index, name="att")

    @property
    def att(self) -> float:
        """Mean gap since the treatment time, over all treated units."""
        return float(self._gap_values[self.problem.design.n_pre :].mean())

    @property
    def fit(self) -> pd.DataFrame:
        """Fit by treated unit.

        Columns: `ssr` and `pre rmspe` (before the treatment), `post rmspe` (since), `rmspe ratio`, and `loss`: the
        stated objective in the user's units, penalty included.
        """
        n_pre, gaps = self.problem.design.n_pre, self._gap_values
        ssr = np.einsum("tk,tk->k", gaps[:n_pre], gaps[:n_pre])
        pre, post = np.sqrt(ssr / n_pre), np.sqrt((gaps[n_pre:] ** 2).mean(axis=0))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = post / pre
        columns = {"ssr": ssr, "pre rmspe": pre, "post rmspe": post, "rmspe ratio": ratio, "loss": self._losses()}
        return pd.DataFrame(columns, index=self._fit_index)

    def _losses(self) -> list[float]:
        losses = []
        for fit, (w, mu) in zip(self.problem.fits, self._points, strict=True):
            residual = fit.target - mu - fit.rows @ w
            value = 0.5 * float(residual @ residual) + 0.5 * fit.l2 * float(w @ w) + float(fit.linear @ w)
            losses.append(fit.factor * (value + fit.l1 * float(np.abs(w).sum())) + fit.constant)
        return losses

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
        problem = self.problem
        if problem.predictors is None:
            raise OptionError("This fit is to the outcomes, not to predictors=; look at `gaps` and `fit` instead.")
        frame, parts = problem.predictors.frame, []
        donors = frame.loc[problem.donors].to_numpy(dtype=float)
        own = problem.predictors.treated(problem.design, problem.pooled) * problem.predictors.spread[:, None]
        for k in range(len(problem.labels)):
            columns = {
                "treated": own[:, k],
                "synthetic": donors.T @ self._weight_values[:, k],
                "donor mean": donors.mean(axis=0),
                "importance": problem.importance[k].values,
            }
            index = pd.Index(problem.predictors.names, name="predictor")
            parts.append(pd.DataFrame(columns, index=index))
        return parts[0] if self._single else pd.concat(parts, keys=self._fit_index)

    # ---- what the data decide ----

    @cached_property
    def _faces(self) -> list[OptimalFace | None]:
        return [optimal_face(fit) for fit in self.problem.fits]

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
                pd.DataFrame(ends, index=label_index(self.problem.donors, "donor"), columns=["lower", "upper"])
            )
        return parts[0] if self._single else pd.concat(parts, keys=self._fit_index)

    def _effect_of_weights(self, k: int) -> tuple[float, Floats]:
        """Return constant and slope of the effect as a function of the weights of fit k, at its best intercept."""
        problem, fit = self.problem, self.problem.fits[k]
        n_pre = problem.design.n_pre
        after = problem.donor_values[n_pre:].mean(axis=0)
        own = float(problem.treated_values[n_pre:, k].mean())
        return own - fit.target_shift, fit.row_shift - after

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
        eta = check_penalty_number("eta", eta)
        if eta == 0:
            ends = []
            for k in range(len(self.problem.fits)):
                ends.append((*self._on_optimal_face(k), 0.0))
        else:
            if self.problem.l2 == "unsquared" and self.problem.penalty.alpha < 1:
                raise OptionError("Near-optimal weights are not available with l2='unsquared': use 'squared'.")
            ends = [self._near_optimal(k, eta, solver or self.solver) for k in range(len(self.problem.fits))]
        low, high, gap = np.array(ends).mean(axis=0)
        return EffectRange(float(low), float(high), eta, float(gap))

    def _on_optimal_face(self, k: int) -> tuple[float, float]:
        """Return the range of the effect of fit k over its optimal weights."""
        constant, slope = self._effect_of_weights(k)
        face = self._faces[k]
        own = float(slope @ self._weight_values[:, k])
        low, high = (own, own) if face is None else face.range(slope)
        return constant + min(low, own), constant + max(high, own)  # rounding may leave the weights found just outside

    def _near_optimal(self, k: int, eta: float, solver: str) -> tuple[float, float, float]:
        from causalopt.modeling.compile import compile_model
        from causalopt.problems.synthetic_control.model import add_components
        from causalopt.solving.extremes import extremes

        fit = self.problem.fits[k]
        low, high = self._on_optimal_face(k)
        if np.isinf(low) or np.isinf(high):
            return -np.inf, np.inf, 0.0
        constant, _ = self._effect_of_weights(k)
        program = compile_model(_model_of(add_components, fit))
        layout = Layout.of([fit])
        # The effect at any intercept, not the best one: near-optimal intercepts differ too.
        cost = np.zeros(program.n_columns)
        after = self.problem.donor_values[self.problem.design.n_pre :].mean(axis=0)
        on_weights = fit.row_shift - after if layout.has_intercept else -after
        cost[layout.weights(0)] = on_weights
        if layout.split:
            cost[layout.negative(0)] = -on_weights
        cost[layout.intercept(0)] = -fit.unit
        # In a unit near one, so that the search starts where it should.
        size = float(np.abs(cost).max())
        if size == 0:  # donors whose mean outcome is zero since the treatment: no weights move the effect
            return low, high, 0.0
        step = _step_solver([fit], solver)
        best = step(program).x
        assert best is not None
        if program.objective(best) <= 1e-12 * len(fit.target):  # a perfect fit: nothing else is near it
            return low, high, 0.0
        ends = extremes(program, cost / size, best, eta, step)
        values = [constant + size * end.value for end in ends]
        gap = max(abs(end.value - end.limit) for end in ends) * size
        return values[0], values[1], gap

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
        from causalopt.problems.synthetic_control.placebo import in_space

        return in_space(self, max_fit_ratio=max_fit_ratio, workers=workers)

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
        from causalopt.problems.synthetic_control.placebo import in_time

        return in_time(self, times, workers=workers)

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
        from causalopt.problems.synthetic_control.placebo import leave_one_out

        return leave_one_out(self, workers=workers)

    def plot(self, kind: str = "path", ax: Any = None, **options: Any) -> Any:
        """Draw a picture of the synthetic control.

        Parameters
        ----------
        kind : {"path", "gap", "placebo", "weights", "range"}
            "path": outcomes of the treated unit and of the synthetic control. "gap": their difference. "weights": the
            largest weights, with ranges where they are not unique. These take the option `fit`, a treated unit (the
            first). "placebo": the gaps of all donors as if treated (option `placebo`, a `SpacePlacebo` that is there
            already). "range": the effect over all weights that fit nearly as well (option `eta`, a list).
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
            For an unknown kind, option or treated unit.
        DataError
            Without matplotlib (``pip install 'pycausalopt[plot]'``).
        """
        from causalopt.plotting.style import draw
        from causalopt.problems.synthetic_control.plot import PICTURES

        return draw(PICTURES, self, kind, ax, options)

    def words(self) -> Words:
        """Return what the result says of itself in `explain`."""
        from causalopt.problems.synthetic_control.explain import words

        return words(self)

    def facts(self) -> dict[str, str]:
        """Return the facts of the solve, with those of the synthetic control first."""
        problem, fit = self.problem, self.fit
        n_pre, times = problem.design.n_pre, list(map(time_name, problem.panel.times))
        heavy = self.weight_table.abs().max(axis=1).sort_values(ascending=False, kind="stable")
        heavy = heavy[heavy > COUNTS]
        own = {
            "treated": ", ".join(map(str, problem.labels)) + f", since {time_name(problem.design.treatment_time)}",
            "times": f"{n_pre} before ({times[0]} to {times[n_pre - 1]}), {len(times) - n_pre} since",
            "weights": f"{problem.kind}, {len(problem.donors)} donors, {len(heavy)} with weight"
            + ("" if self.weights_are_unique else ", NOT UNIQUE"),
            "largest": ", ".join(
                f"{label} " + " / ".join(f"{v:.4f}" for v in self.weight_table.loc[label]) for label in heavy.index[:6]
            ),
            "pre-treatment rmspe": ", ".join(f"{value:.6g}" for value in fit["pre rmspe"]),
            "effect (mean gap)": f"{self.att:.6g}",
        }
        if not problem.constraints.no_intercept:
            own["intercept"] = ", ".join(f"{value:.6g}" for value in self.intercepts)
        if problem.penalty.lam:
            chosen = " (chosen by donors in the treated's part)" if problem.penalty_choice is not None else ""
            own["penalty"] = f"lam {problem.penalty.lam:.6g}, alpha {problem.penalty.alpha:g}{chosen}"
        return own | super().facts()


def _model_of(add: Any, fit: Any) -> Any:
    import pyomo.environ as pyo

    from causalopt.modeling.costs import ArrayObjective

    model = pyo.ConcreteModel()
    cost, sense = add([fit], model)
    model.objective = ArrayObjective(**cost, sense=sense)
    return model


def _step_solver(fits: Sequence[Any], solver: str) -> Any:
    """Return what solves a program of these fits with other linear costs, and verifies."""
    from functools import partial

    from causalopt.solving.attempts import run_fast_path, solve_program
    from causalopt.solving.options import SolveOptions
    from causalopt.solving.result import Ledger

    if solver == "active-set":
        path = partial(solve_active_set, fits)
        return lambda program: run_fast_path(
            program, solver, path, SolveOptions(gap=1e-9), None, Ledger(), "it was asked for"
        )
    from causalopt.solving.backend import get_backend

    backend = get_backend(solver)
    return lambda program: solve_program(program, backend, SolveOptions())
