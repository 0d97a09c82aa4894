"""The causal bootstrap: intervals for an effect whose uncertainty comes from the randomization, not from sampling.

Imbens and Menzel (2021), A causal bootstrap, Annals of Statistics 49:1460-1488, cited as [CB]; for any known design
Brennan et al. (2025), arXiv:2410.21464, cited as [COP].
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, OptionError
from causalopt.modeling.program import Bools, Floats
from causalopt.problems.copula.bootstrap.methods import (
    METHODS,
    conservative_variance,
    impute_isotone,
    quantile_interval,
    sampling_errors,
)
from causalopt.problems.copula.bootstrap.result import BootstrapResult
from causalopt.solving.options import refuse_unknown_arguments, unknown_name
from causalopt.study.designs.design import LARGEST_COVARIANCE, Design
from causalopt.study.designs.estimators import Estimator, as_estimator
from causalopt.study.designs.simulated import KnownCovariance
from causalopt.study.estimates import normal_estimate, require_level

if TYPE_CHECKING:
    from causalopt.problems.copula.result import CopulaResult


@dataclasses.dataclass(eq=False)
class _Study:
    """What every method needs."""

    y: Floats
    z: Bools
    index: pd.Index
    labelled: bool
    design: Design
    estimator: Estimator
    level: float
    draws: int
    seed: int
    studentise: bool

    def __post_init__(self) -> None:
        self.p = self.design.probabilities(len(self.y))
        self.estimate = self.estimator.estimate(self.y, self.z, self.p)
        self.residual = self.estimator.residuals(self.y, self.z)
        known = isinstance(self.design, KnownCovariance)
        self.redrawn = None if known else self.design.sample(self.draws, n=len(self.y), seed=self.seed)

    def errors(self, y1: Floats, y0: Floats) -> Floats | None:
        """Return estimates under redrawn treatments minus the effect, both of imputed outcomes."""
        if self.redrawn is None:
            return None
        return self.estimator.draws(y1, y0, self.redrawn, self.p) - float((y1 - y0).mean())

    def row(self, variance: float, errors: Floats | None) -> dict[str, float]:
        """Return a row of the comparison table."""
        normal = normal_estimate(self.estimate, variance, self.level, "")
        low, high = (np.nan, np.nan) if errors is None else quantile_interval(self.estimate, errors, self.level)
        return {
            "variance": variance,
            "standard error": normal.standard_error,
            "normal lower": normal.lower,
            "normal upper": normal.upper,
            "quantile lower": low,
            "quantile upper": high,
            "width": high - low if errors is not None else normal.upper - normal.lower,
        }

    def studentised(self, y1: Floats, y0: Floats) -> tuple[float, float]:
        """Return the interval from errors divided by their own conservative standard errors ([CB] section 3.3)."""
        if self.redrawn is None:
            raise DataError("A studentised interval needs a design that can be sampled.")
        z = self.redrawn
        predicted = self.estimator.prediction(len(y1))
        e1, e0 = (y1, y0) if predicted is None else (y1 - predicted[0], y0 - predicted[1])
        spread = np.sqrt(conservative_variance(self.design, np.where(z, e1, e0), z))
        errors = self.estimator.draws(y1, y0, z, self.p) - float((y1 - y0).mean())
        if len(errors) != len(spread) or not (spread > 0).all():
            raise DataError(
                "A studentised interval is not defined: some redrawn data have no variance, or no estimate."
            )
        own = float(np.sqrt(conservative_variance(self.design, self.residual, self.z)))
        low, high = quantile_interval(0.0, errors / spread, self.level)
        return self.estimate + own * low, self.estimate + own * high


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
    from causalopt.problems.copula.data import read_study, refuse_labels
    from causalopt.solving.dispatch import solve

    refuse_unknown_arguments(causal_bootstrap, solving, solve, {"confidence": "Did you mean 'level'?"})
    if isinstance(data, pd.DataFrame):
        outcome, treatment, covariates, predictions, strata = (
            _columns(data, names) for names in (outcome, treatment, covariates, predictions, strata)
        )
        if isinstance(predictions, pd.DataFrame):
            predictions = tuple(predictions[name] for name in predictions)
    elif data is not None:
        if outcome is not None:
            raise DataError("The outcomes are given twice: as the first argument, and as outcome=.")
        outcome = data
    for name, value in (("outcome", outcome), ("treatment", treatment), ("design", design)):
        if value is None:
            raise DataError(f"causal_bootstrap needs {name}=, whether it is given a DataFrame or arrays.")

    if method not in (*METHODS, "all"):
        raise OptionError(unknown_name("method", str(method), (*METHODS, "all")))
    if not (isinstance(draws, int | np.integer) and draws >= 100):
        raise DataError(f"draws is {draws!r}; quantiles need a whole number of at least 100.")
    require_level(level)
    if not isinstance(design, Design):
        raise DataError(f"design is {type(design).__name__}; give one of causalopt's designs.")
    y, z, index, _ = read_study(outcome, treatment, treated)
    chosen = as_estimator(estimator, covariates, predictions)
    refuse_labels(outcome, design, chosen)
    design.units(len(y))
    design.refuse(z)
    study = _Study(y, z, index, isinstance(outcome, pd.Series), design, chosen, level, int(draws), seed, studentise)
    answers = _Answers(
        study,
        {"slack": slack, "strata": strata, "support": support, "seed": seed},
        {"solver": solver, "formulation": formulation, "time_limit": time_limit, "seed": seed, **solving},
    )
    for name in METHODS if method == "all" else (method,):
        try:
            getattr(answers, name)()
        except DataError as error:
            if method != "all":
                raise
            answers.notes[name] = str(error)
    if not answers.rows:
        raise DataError("No method applies: " + "; ".join(f"{name}: {why}" for name, why in answers.notes.items()))
    return BootstrapResult(
        estimate=study.estimate,
        level=level,
        method=method if method != "all" else next(iter(answers.rows)),
        estimator=str(chosen),
        design=str(design),
        table=pd.DataFrame(answers.rows).T.rename_axis("method"),
        imputed=answers.imputed,
        errors=answers.errors,
        copula=answers.copula,
        notes=answers.notes,
    )


def _columns(frame: pd.DataFrame, names: Any) -> Any:
    """Return the column of a name, or a DataFrame of the columns of a list of names; None for None."""
    from causalopt.study.reading import require_columns

    if names is None:
        return None
    several = list(names) if isinstance(names, list | tuple) else None
    require_columns(frame, [names] if several is None else several)
    return frame[names if several is None else several]


@dataclasses.dataclass(eq=False)
class _Answers:
    """The answers of the methods, one after another."""

    study: _Study
    of_problem: dict[str, Any]
    of_solve: dict[str, Any]
    rows: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    imputed: dict[str, pd.DataFrame] = dataclasses.field(default_factory=dict)
    errors: dict[str, Floats] = dataclasses.field(default_factory=dict)
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    copula: CopulaResult | None = None

    def optimal(self) -> None:
        """Impute by the worst-case copula; where it is not proven, the bound stands for its variance."""
        from causalopt.problems.copula.problem import CopulaProblem
        from causalopt.solving.dispatch import solve

        study = self.study
        y: Any = pd.Series(study.y, index=study.index) if study.labelled else study.y
        z = pd.Series(study.z.astype(int), index=study.index)
        problem = CopulaProblem(y, z, study.design, estimator=study.estimator, **self.of_problem)
        copula: CopulaResult = solve(problem, **self.of_solve)
        variance = copula.variance
        if not copula.is_optimal:
            bounded = np.isfinite(copula.variance_bound)
            variance = copula.variance_bound if bounded else variance
            gap = "of unknown size" if copula.gap is None else f"of {copula.gap:.2g}"
            self.notes["optimal"] = (
                f"the worst copula is proven only to a gap {gap}: the interval is the normal one, with "
                f"{'the bound' if bounded else 'the copula found'}; the quantiles use the copula found"
            )
        self.copula = copula
        self._add("optimal", variance, copula.imputed)
        if not copula.is_optimal:
            row = self.rows["optimal"]
            row["width"] = row["normal upper"] - row["normal lower"]

    def isotone(self) -> None:
        """Impute by rank."""
        study = self.study
        y1, y0 = _isotone(study)
        outcomes = pd.DataFrame(
            {"treated": study.z, "outcome 1": y1, "outcome 0": y0, "imputed": np.where(study.z, 0, 1)},
            index=study.index,
        )
        self._add("isotone", _variance(study, y1, y0), outcomes)

    def sampling(self) -> None:
        """Draw units again."""
        study = self.study
        errors = sampling_errors(study.estimator, study.y, study.z, study.p, study.draws, study.seed)
        self.errors["sampling"] = errors
        self.rows["sampling"] = study.row(float(errors.var()), errors)

    def conservative(self) -> None:
        """Estimate a variance that is too large on average."""
        study = self.study
        if study.estimator.name not in ("difference-in-means", "horvitz-thompson", "hajek", "doubly-robust"):
            raise DataError(f"No conservative variance is known for the estimator {study.estimator}.")
        variance = float(conservative_variance(study.design, study.residual, study.z))
        self.rows["conservative"] = study.row(variance, None)

    def _add(self, name: str, variance: float, outcomes: pd.DataFrame) -> None:
        y1, y0 = (outcomes[f"outcome {arm}"].to_numpy(dtype=float) for arm in (1, 0))
        drawn = self.study.errors(y1, y0)
        self.rows[name] = self.study.row(variance, drawn)
        if self.study.studentise:
            low, high = self.study.studentised(y1, y0)
            self.rows[name] |= {"studentised lower": low, "studentised upper": high}
        self.imputed[name] = outcomes
        if drawn is not None:
            self.errors[name] = drawn


def _isotone(study: _Study) -> tuple[Floats, Floats]:
    """Impute by rank; residuals where outcomes are predicted."""
    e1, e0 = impute_isotone(study.residual, study.z)
    predicted = study.estimator.prediction(len(study.y))
    if predicted is None:
        return e1, e0
    return np.where(study.z, study.y, e1 + predicted[0]), np.where(study.z, e0 + predicted[1], study.y)


def _variance(study: _Study, y1: Floats, y0: Floats) -> float:
    n = len(y1)
    if n > LARGEST_COVARIANCE:
        errors = study.errors(y1, y0)
        assert errors is not None
        return float(errors.var())
    predicted = study.estimator.prediction(n)
    if predicted is not None:
        y1, y0 = y1 - predicted[0], y0 - predicted[1]
    return max(study.estimator.form(study.design, n, seed=study.seed).value(y1, y0), 0.0)
