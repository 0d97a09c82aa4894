"""The causal bootstrap: intervals for an effect whose uncertainty comes from the randomization, not from sampling.

Imbens and Menzel (2021), A causal bootstrap, Annals of Statistics 49:1460-1488, cited as [CB]; for any known design
Brennan et al. (2025), arXiv:2410.21464, cited as [COP].
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, OptionError
from causalopt.messages import Message, argument, call
from causalopt.modeling.program import Bools, Floats
from causalopt.problems.copula.bootstrap.methods import (
    METHODS,
    conservative_variance,
    impute_isotone,
    quantile_interval,
    sampling_errors,
)
from causalopt.problems.copula.bootstrap.result import BootstrapResult
from causalopt.problems.copula.data import Experiment, Study
from causalopt.problems.copula.problem import CopulaProblem
from causalopt.problems.copula.result import CopulaResult, imputed_frame
from causalopt.solving.dispatch import solve
from causalopt.solving.options import refuse_unknown_arguments, unknown_name
from causalopt.study.designs.design import LARGEST_COVARIANCE, Design
from causalopt.study.designs.estimators import Estimator, as_estimator
from causalopt.study.designs.simulated import KnownCovariance
from causalopt.study.estimates import normal_estimate, require_level
from causalopt.study.reading import require_columns


@dataclasses.dataclass(frozen=True, eq=False)
class _Redrawn:
    """An experiment whose treatment is drawn again: what every method needs."""

    experiment: Experiment
    level: float
    draws: int
    seed: int
    studentise: bool

    @cached_property
    def treated(self) -> Bools | None:
        """Redrawn treatments, one draw a row; None for a design that cannot be sampled."""
        design = self.experiment.design
        if isinstance(design, KnownCovariance):
            return None
        return design.sample(self.draws, n=len(self.experiment), seed=self.seed)

    def errors(self, y1: Floats, y0: Floats) -> Floats | None:
        """Return estimates under redrawn treatments minus the effect, both of imputed outcomes."""
        if self.treated is None:
            return None
        drawn = self.experiment.estimator.draws(y1, y0, self.treated, self.experiment.probabilities)
        return drawn - float((y1 - y0).mean())

    def row(self, variance: float, errors: Floats | None) -> dict[str, float]:
        """Return a row of the comparison table."""
        estimate = self.experiment.estimate
        normal = normal_estimate(estimate, variance, self.level, "")
        low, high = (np.nan, np.nan) if errors is None else quantile_interval(estimate, errors, self.level)
        return {
            "variance": variance,
            "standard error": normal.standard_error,
            "normal lower": normal.lower,
            "normal upper": normal.upper,
            "quantile lower": low,
            "quantile upper": high,
            "width": high - low if errors is not None else normal.upper - normal.lower,
        }

    def studentised(self, y1: Floats, y0: Floats, errors: Floats | None) -> tuple[float, float]:
        """Return the interval from errors divided by their own conservative standard errors ([CB] section 3.3)."""
        z, seen = self.treated, self.experiment
        if z is None or errors is None:
            raise DataError("A studentised interval needs a design that can be sampled.")
        e1, e0 = _residuals(seen, y1, y0)
        spread = np.sqrt(conservative_variance(seen.design, np.where(z, e1, e0), z))
        if len(errors) != len(spread) or not (spread > 0).all():
            raise DataError(
                "A studentised interval is not defined: some redrawn data have no variance, or no estimate."
            )
        own = float(np.sqrt(conservative_variance(seen.design, seen.residual, seen.treated)))
        low, high = quantile_interval(0.0, errors / spread, self.level)
        return seen.estimate + own * low, seen.estimate + own * high


def _residuals(experiment: Experiment, y1: Floats, y0: Floats) -> tuple[Floats, Floats]:
    """Return both outcomes minus their predictions, where the estimator has some."""
    predicted = experiment.estimator.prediction(len(y1))
    return (y1, y0) if predicted is None else (y1 - predicted[0], y0 - predicted[1])


def causal_bootstrap(
    data: Any = None,
    treatment: Any = None,
    design: Design | None = None,
    *,
    outcome: Any = None,
    estimator: str | Estimator = "difference-in-means",
    covariates: Any = None,
    predictions: Any = None,
    method: str = "optimal",
    level: float = 0.95,
    draws: int = 2_000,
    studentise: bool = False,
    slack: float | str | None = None,
    strata: Any = None,
    support: Any = None,
    treated: Any = None,
    solver: str = "auto",
    formulation: str | None = None,
    time_limit: float | None = 60.0,
    seed: int = 0,
    **solving: Any,
) -> BootstrapResult:
    """Estimate an effect, with intervals from redrawing the treatment rather than the units.

    The missing outcomes are imputed, the treatment is redrawn from the design, and the estimate is computed again, many
    times ([COP] algorithm 1). Which imputation matters: "optimal" takes the worst case that the data allow.

    Parameters
    ----------
    data : DataFrame, Series or array
        A DataFrame, of which `outcome`, `treatment`, `covariates`, `predictions` and `strata` then name columns; or
        the outcomes themselves, and the others are arrays or Series too.
    treatment, design, outcome, estimator, covariates, predictions, slack, strata, support, treated
        As in `CopulaProblem`.
    method : {"optimal", "isotone", "sampling", "conservative", "all"}
        "optimal": the copula of largest variance. "isotone": ranks of both arms matched, right for complete
        randomization with equal arms, and a baseline elsewhere. "sampling": the ordinary bootstrap of units, which
        ignores the design. "conservative": Neyman's variance, or that of pairs. "all": every one that applies.
    level : float
        Confidence level.
    draws : int
        Redrawn treatments (or resampled data sets).
    studentise : bool
        Add an interval from errors divided by their own conservative standard errors, for "optimal" and "isotone".
    solver, formulation, time_limit
        As in `solve`, for "optimal". Where no exact algorithm applies (estimators that adjust for covariates, designs
        by rerandomization or clusters), a proof for more than some 20 units can take hours. At the limit the normal
        interval uses the bound instead, which holds whatever the worst case is, and a warning says so. None waits for
        the proof.
    seed : int
    **solving
        Further arguments of `solve`, for "optimal": `gap`, `threads`, `isolate`, `options` and others.

    Returns
    -------
    BootstrapResult

    Raises
    ------
    OptionError
        For a name that does not exist.
    DataError
        For bad data (see `CopulaProblem`), and where the method asked for does not apply.
    UnsupportedProblem
        Where "optimal" is asked for more units than any formulation takes.

    Examples
    --------
    >>> import numpy as np, causalopt as co
    >>> rng = np.random.default_rng(0)
    >>> pairs = np.repeat(np.arange(20), 2)
    >>> base = rng.normal(size=20)[pairs] + 0.3 * rng.normal(size=40)
    >>> design = co.MatchedPairs(pairs)
    >>> z = design.sample(1)[0].astype(int)
    >>> result = co.causal_bootstrap(base + 0.5 * z, z, design, method="all")
    >>> list(result.table.index)
    ['optimal', 'isotone', 'sampling', 'conservative']
    >>> bool(result.table.loc["isotone", "width"] < result.table.loc["optimal", "width"])
    True

    The same from the columns of a table:

    >>> import pandas as pd
    >>> df = pd.DataFrame({"y": base + 0.5 * z, "t": z, "pair": pairs})
    >>> again = co.causal_bootstrap(df, outcome="y", treatment="t", design=co.MatchedPairs(df["pair"]))
    >>> again.upper == result.upper
    True
    """
    refuse_unknown_arguments(causal_bootstrap, solving, solve, {"confidence": "Did you mean 'level'?"})
    outcome, treatment, covariates, predictions, strata = _columns_of(
        data, outcome, treatment, covariates, predictions, strata
    )
    _refuse_missing(outcome=outcome, treatment=treatment, design=design)
    design = _refuse_settings(method, draws, level, design)
    chosen = as_estimator(estimator, covariates, predictions)
    experiment = Experiment.read(outcome, treatment, design, chosen, treated)
    return _Answers(
        _Redrawn(experiment, level, int(draws), seed, studentise),
        {"slack": slack, "strata": strata, "support": support, "seed": seed},
        {"solver": solver, "formulation": formulation, "time_limit": time_limit, "seed": seed, **solving},
    ).result(method)


def _columns_of(data: Any, *named: Any) -> tuple[Any, ...]:
    """Return outcome, treatment, covariates, predictions and strata: as given, or the columns that they name."""
    if isinstance(data, pd.DataFrame):
        outcome, treatment, covariates, predictions, strata = (_columns(data, names) for names in named)
        if isinstance(predictions, pd.DataFrame):
            predictions = tuple(predictions[name] for name in predictions)
        return outcome, treatment, covariates, predictions, strata
    if data is None:
        return named
    if named[0] is not None:
        raise DataError(
            f"The outcomes are given twice: as the first argument, and as {argument('outcome', assigned=True)}."
        )
    return data, *named[1:]


def _columns(frame: pd.DataFrame, names: Any) -> Any:
    """Return the column of a name, or a DataFrame of the columns of a list of names; None for None."""
    if names is None:
        return None
    several = list(names) if isinstance(names, list | tuple) else None
    require_columns(frame, [names] if several is None else several)
    return frame[names if several is None else several]


def _refuse_missing(**needed: Any) -> None:
    for name, value in needed.items():
        if value is None:
            raise DataError(
                f"{call('causal_bootstrap', 'causal_bootstrap')} needs {argument(name, assigned=True)}, whether it is "
                "given a DataFrame or arrays."
            )


def _refuse_settings(method: str, draws: Any, level: float, design: Any) -> Design:
    """Raise for what cannot be; return the design, which is one."""
    if method not in (*METHODS, "all"):
        raise OptionError(unknown_name("method", str(method), (*METHODS, "all")))
    if not (isinstance(draws, int | np.integer) and draws >= 100):
        raise DataError(f"{argument('draws')} is {draws!r}; quantiles need a whole number of at least 100.")
    require_level(level)
    if not isinstance(design, Design):
        raise DataError(f"{argument('design')} is {type(design).__name__}; give one of causalopt's designs.")
    return design


@dataclasses.dataclass(eq=False)
class _Answers:
    """The answers of the methods, one after another."""

    redrawn: _Redrawn
    of_problem: dict[str, Any]
    of_solve: dict[str, Any]
    rows: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    imputed: dict[str, pd.DataFrame] = dataclasses.field(default_factory=dict)
    errors: dict[str, Floats] = dataclasses.field(default_factory=dict)
    notes: dict[str, Message] = dataclasses.field(default_factory=dict)
    copula: CopulaResult | None = None

    def result(self, method: str) -> BootstrapResult:
        """Run one method, or all that apply."""
        experiment = self.redrawn.experiment
        estimate = experiment.estimate  # before the methods, all of which need it
        run = dict(zip(METHODS, (self._optimal, self._isotone, self._sampling, self._conservative), strict=True))
        for name in METHODS if method == "all" else (method,):
            try:
                run[name]()
            except DataError as error:
                if method != "all":
                    raise
                self.notes[name] = error.message
        if not self.rows:
            why = "; ".join(f"{name}: {note.marked}" for name, note in self.notes.items())
            raise DataError(f"No method applies: {why}")
        return BootstrapResult(
            estimate=estimate,
            level=self.redrawn.level,
            method=method if method != "all" else next(iter(self.rows)),
            estimator=str(experiment.estimator),
            design=str(experiment.design),
            table=pd.DataFrame(self.rows).T.rename_axis("method"),
            imputed=self.imputed,
            errors=self.errors,
            copula=self.copula,
            notes=self.notes,
        )

    def _optimal(self) -> None:
        """Impute by the worst-case copula; where it is not proven, the bound stands for its variance."""
        problem = CopulaProblem._of(Study.of(self.redrawn.experiment, **self.of_problem))
        copula: CopulaResult = solve(problem, **self.of_solve)
        variance = copula.variance
        if not copula.is_optimal:
            bounded = np.isfinite(copula.variance_bound)
            variance = copula.variance_bound if bounded else variance
            gap = "of unknown size" if copula.gap is None else f"of {copula.gap:.2g}"
            self.notes["optimal"] = Message(
                f"the worst copula is proven only to a gap {gap}: the interval is the normal one, with "
                f"{'the bound' if bounded else 'the copula found'}; the quantiles use the copula found"
            )
        self.copula = copula
        self._add("optimal", variance, copula.imputed)
        if not copula.is_optimal:
            row = self.rows["optimal"]
            row["width"] = row["normal upper"] - row["normal lower"]

    def _isotone(self) -> None:
        """Impute by rank; residuals where outcomes are predicted."""
        seen = self.redrawn.experiment
        z, y, predicted = seen.treated, seen.outcome, seen.estimator.prediction(len(seen))
        y1, y0 = impute_isotone(seen.residual, z)
        if predicted is not None:
            y1, y0 = np.where(z, y, y1 + predicted[0]), np.where(z, y0 + predicted[1], y)
        self._add("isotone", _variance(self.redrawn, y1, y0), imputed_frame(seen, y1, y0))

    def _sampling(self) -> None:
        """Draw units again."""
        redrawn, seen = self.redrawn, self.redrawn.experiment
        errors = sampling_errors(
            seen.estimator, seen.outcome, seen.treated, seen.probabilities, redrawn.draws, redrawn.seed
        )
        self.errors["sampling"] = errors
        self.rows["sampling"] = redrawn.row(float(errors.var()), errors)

    def _conservative(self) -> None:
        """Estimate a variance that is too large on average."""
        seen = self.redrawn.experiment
        if seen.estimator.name not in ("difference-in-means", "horvitz-thompson", "hajek", "doubly-robust"):
            raise DataError(f"No conservative variance is known for the estimator {seen.estimator}.")
        variance = float(conservative_variance(seen.design, seen.residual, seen.treated))
        self.rows["conservative"] = self.redrawn.row(variance, None)

    def _add(self, name: str, variance: float, outcomes: pd.DataFrame) -> None:
        redrawn = self.redrawn
        y1, y0 = (outcomes[f"outcome {arm}"].to_numpy(dtype=float) for arm in (1, 0))
        drawn = redrawn.errors(y1, y0)
        self.rows[name] = redrawn.row(variance, drawn)
        if redrawn.studentise:
            low, high = redrawn.studentised(y1, y0, drawn)
            self.rows[name] |= {"studentised lower": low, "studentised upper": high}
        self.imputed[name] = outcomes
        if drawn is not None:
            self.errors[name] = drawn


def _variance(redrawn: _Redrawn, y1: Floats, y0: Floats) -> float:
    seen, n = redrawn.experiment, len(y1)
    if n > LARGEST_COVARIANCE:
        errors = redrawn.errors(y1, y0)
        assert errors is not None
        return float(errors.var())
    form = seen.estimator.form(seen.design, n, seed=redrawn.seed)
    return max(form.value(*_residuals(seen, y1, y0)), 0.0)
