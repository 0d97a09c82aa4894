"""Predictors of a synthetic control, and how much each counts: given, or searched for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, OptionError
from causalopt.messages import argument
from causalopt.modeling.program import Floats
from causalopt.problems.synthetic_control.fit import Constraints, Fit, scaled
from causalopt.solving.options import unknown_name
from causalopt.study.reading import refuse_rows, require_columns
from causalopt.study.times import read_time, refuse_words, time_name

#: The least importance that a search gives a predictor: below it the weights would no longer depend on it, and often
#: no longer be unique.
LEAST_IMPORTANCE = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class Predictors:
    """Predictors by unit, each divided by its standard deviation over treated units and donors.

    Attributes
    ----------
    names : list of str
    frame : DataFrame (units x K)
        In the user's units.
    spread : (K,) array
    """

    names: list[str]
    frame: pd.DataFrame
    spread: Floats

    def of(self, units: Sequence[Any]) -> Floats:
        """Return the standardised predictors of some units, (K, number of units)."""
        return np.asarray(self.frame.loc[list(units)].to_numpy(dtype=float).T / self.spread[:, None])

    def treated(self, units: Sequence[Any], pooled: bool) -> Floats:
        """Return the standardised predictors of what is fitted, (K, number of fits)."""
        own = self.of(units)
        return np.asarray(own.mean(axis=1, keepdims=True)) if pooled else own


@dataclasses.dataclass(frozen=True, eq=False)
class Importance:
    """How much each predictor counts.

    Attributes
    ----------
    values : (K,) array
        v, summing to one.
    names : list of str
    method : str
        "equal", "given" or "search".
    loss : float or None
        After a search: root mean squared error of the outcomes before the treatment.
    bound : float or None
        What no choice of v can beat: the error of the weights fitted to the outcomes themselves. A search that meets
        it has found the best v; else the best lies between.
    """

    values: Floats
    names: list[str]
    method: str
    loss: float | None = None
    bound: float | None = None

    def to_series(self) -> pd.Series:
        """Return v by predictor."""
        return pd.Series(self.values, index=pd.Index(self.names, name="predictor"), name="importance")


def read_predictors(predictors: pd.DataFrame, treated: list[Any], donors: list[Any]) -> Predictors:
    """Check the predictors of treated units and donors.

    Raises
    ------
    DataError
        For units without a row, and predictors that are not numbers, missing, infinite or constant.
    """
    name = argument("predictors")
    if not isinstance(predictors, pd.DataFrame) or not len(predictors.columns):
        raise DataError(f"{name} must be a DataFrame with one row per unit and at least one column.")
    if predictors.index.has_duplicates or predictors.columns.has_duplicates:
        raise DataError(f"{name} has a row (unit) or column label twice.")
    units = [*treated, *donors]
    missing = [label for label in units if label not in predictors.index]
    if missing:
        raise DataError(f"{name} has no row for {', '.join(map(repr, missing[:5]))} ({len(missing)} unit(s)).")
    frame = predictors.loc[units]
    for column in frame.columns:
        _require_numbers(column, frame[column])
        values = frame[column].to_numpy(dtype=float)
        refuse_rows(~np.isfinite(values), frame.index, f"Predictor {column!r} is missing or infinite")
        if np.ptp(values) == 0:
            raise DataError(f"Predictor {column!r} is {values[0]:g} for every unit: it tells none apart. Leave it out.")
    spread = frame.to_numpy(dtype=float).std(axis=0, ddof=1)
    return Predictors([str(column) for column in frame.columns], frame, spread)


def _require_numbers(name: Any, values: pd.Series) -> None:
    if values.dtype.kind not in "fiub":
        raise DataError(f"Predictor {name!r} is not numeric (its type is {values.dtype}).")


def predictors_from_columns(
    df: pd.DataFrame, unit: str, time: str, treatment_time: Any, wanted: Sequence[Any]
) -> pd.DataFrame:
    """Average columns of a long DataFrame by unit: a name over all times before the treatment, a pair over its times.

    Examples
    --------
    >>> df = pd.DataFrame({"u": ["a", "a", "b", "b"], "t": [1, 2, 1, 2], "x": [1.0, 3.0, 5.0, 7.0]})
    >>> predictors_from_columns(df, "u", "t", 3, ["x", ("x", 2)])
         x  x 2
    u
    a  2.0  3.0
    b  6.0  7.0
    """
    if isinstance(wanted, str):
        raise OptionError(f"{argument('predictors', wanted)}: give a list of columns.")
    averages: dict[str, pd.Series] = {}
    for item in wanted:
        column, times = (item, None) if isinstance(item, str) else item
        require_columns(df, (column, unit, time))
        known = df[time].dropna().drop_duplicates()
        refuse_words(known, time)
        treatment_time = read_time(treatment_time, known)
        if times is None:
            key, rows = column, df[time] < treatment_time
        else:
            several = list(times) if isinstance(times, Sequence | range | np.ndarray | pd.Index) else [times]
            if isinstance(times, str):
                several = [times]
            absent = [t for t in several if not (df[time] == t).any()]
            if absent:
                raise DataError(f"Predictor {column!r} asks for time {time_name(absent[0])}, which is not in the data.")
            late = [t for t in several if not t < treatment_time]
            if late:
                raise DataError(
                    f"Predictor {column!r} asks for time {time_name(late[0])}, which is not before the treatment "
                    f"({time_name(treatment_time)}): what the treatment may have changed does not predict what would "
                    "have been without it. Take times before."
                )
            key = f"{column} {several[0]}" + (f" to {several[-1]}" if len(several) > 1 else "")
            rows = df[time].isin(several)
        _require_numbers(column, df[column])
        if key in averages:
            raise DataError(f"Predictor {key!r} is named twice.")
        averages[key] = df[rows].groupby(unit, sort=False)[column].mean()
    return pd.DataFrame(averages)


def read_importance(v: Any, names: list[str]) -> Importance:
    """Return the importance of the predictors as given, or equal."""
    if v is None:
        return Importance(np.full(len(names), 1.0 / len(names)), names, "equal")
    if isinstance(v, Mapping):
        for name in v:
            if name not in names:
                raise DataError(unknown_name("predictor in v", str(name), names))
        v = [v.get(name, 0.0) for name in names]
    values = np.asarray(v, dtype=float)
    if values.shape != (len(names),) or not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise DataError(
            f"{argument('v')} must hold {len(names)} numbers, zero or positive and not all zero, one for each "
            "predictor."
        )
    return Importance(values / values.sum(), names, "given")


def predictor_fit(label: Any, own: Floats, donors: Floats, v: Floats, constraints: Constraints) -> Fit:
    """Return the fit of standardised predictors: residuals are multiplied by the square roots of their importance."""
    root = np.sqrt(v)
    return scaled(label, own * root, donors * root[:, None], constraints)


def search_importance(
    v: str, names: list[str], own: Floats, donors: Floats, target: Floats, rows: Floats, constraints: Constraints
) -> Importance:
    """Look for the v whose weights fit the outcomes before the treatment best ([ADH] 2010 section 2.3).

    Nelder and Mead's simplex method on log v (each v at least `LEAST_IMPORTANCE`) from three starts: equal importance,
    the sums of squared coefficients of the outcomes regressed on the predictors, and those of each predictor alone. The
    error is neither convex nor smooth in v, so this is a heuristic; `bound` says how much better any v could be.
    """
    from scipy.optimize import minimize

    if v != "search":
        raise OptionError(f"{argument('v')} is {v!r}; give numbers, or 'search'.")
    outcome = scaled(None, target, rows, constraints)
    best_fit = outcome.minimise()
    bound = np.sqrt(2 * outcome.value(best_fit) / len(target)) * outcome.unit
    memory: dict[str, Floats | None] = {"start": None}

    def weights(log_v: Floats) -> Floats:
        fit = predictor_fit(None, own, donors, _shares(log_v), constraints)
        found = memory["start"] = fit.minimise(start=memory["start"]).weights
        return found

    def error(log_v: Floats) -> float:
        gap = target - rows @ weights(log_v)
        return float(np.sqrt(gap @ gap / len(gap)))

    found = []
    for start in _starts(own, donors, target, rows):
        log_v = np.log(np.maximum(start / start.sum(), LEAST_IMPORTANCE))
        for _ in range(2):  # the second time from a fresh simplex
            answer = minimize(error, log_v, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-10 * bound})
            log_v = answer.x
        found.append((float(answer.fun), log_v))
    _, log_v = min(found, key=lambda pair: pair[0])
    memory["start"] = None
    return Importance(_shares(log_v), names, "search", error(log_v), float(bound))


def _shares(log_v: Floats) -> Floats:
    shares = np.exp(log_v - log_v.max())
    shares = np.maximum(shares / shares.sum(), LEAST_IMPORTANCE)
    return np.asarray(shares / shares.sum())


def _starts(own: Floats, donors: Floats, target: Floats, rows: Floats) -> list[Floats]:
    k = len(own)
    x = np.column_stack([own[:, None], donors]).T
    y = np.column_stack([target, rows]).T
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    together = np.linalg.lstsq(x, y, rcond=None)[0]
    alone = (x.T @ y) / np.einsum("ij,ij->j", x, x)[:, None]
    return [np.ones(k), (together**2).sum(axis=1), (alone**2).sum(axis=1)]
