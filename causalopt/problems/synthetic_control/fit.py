"""One fit of a synthetic control: its data in internal units, its constraints and penalties, its exact solution."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from causalopt.errors import DataError, OptionError
from causalopt.messages import argument
from causalopt.modeling.program import Floats, Ints
from causalopt.problems.synthetic_control import active_set
from causalopt.solving.options import unknown_name

#: The internal unit is the root mean square residual of the best fit, but no smaller than this part of the data's.
LEAST_UNIT = 1e-4

#: A weight of less than this in absolute value counts for none.
COUNTS = 1e-6


@dataclasses.dataclass(frozen=True)
class Constraints:
    """The four constraints of Doudchenko and Imbens (2016, section 2), any subset of which may hold.

    Attributes
    ----------
    no_intercept, sum_to_one, nonnegative, equal : bool
    """

    no_intercept: bool = False
    sum_to_one: bool = False
    nonnegative: bool = False
    equal: bool = False

    @property
    def fixed(self) -> bool:
        """Whether the constraints leave no choice of weights."""
        return self.sum_to_one and self.equal


KINDS: dict[str, Constraints] = {
    "simplex": Constraints(no_intercept=True, sum_to_one=True, nonnegative=True),
    "elastic-net": Constraints(),
    "penalized": Constraints(no_intercept=True, sum_to_one=True, nonnegative=True),
    "ridge": Constraints(),
    "did": Constraints(sum_to_one=True, nonnegative=True, equal=True),
}


def read_constraints(weights: str | Mapping[str, bool], intercept: bool | None) -> tuple[str, Constraints]:
    """Return the name of the kind of weights ("custom" for a mapping) and its constraints."""
    if isinstance(weights, Mapping):
        known = [field.name for field in dataclasses.fields(Constraints)]
        for key in weights:
            if key not in known:
                raise OptionError(unknown_name("constraint on the weights", str(key), known))
        if intercept is not None and weights.get("no_intercept", not intercept) == intercept:
            raise OptionError(
                f"{argument('intercept', intercept)} contradicts no_intercept={weights['no_intercept']} in "
                f"{argument('weights', assigned=True)}."
            )
        constraints = Constraints(**{key: bool(value) for key, value in weights.items()})
        kind = "custom"
    else:
        if weights not in KINDS:
            raise OptionError(unknown_name("kind of weights", str(weights), KINDS))
        kind, constraints = weights, KINDS[weights]
    if intercept is not None:
        if kind == "did" and not intercept:
            raise OptionError(
                "Difference in differences has an intercept. For a plain mean of the donors use "
                f"{argument('weights', {'no_intercept': True, 'sum_to_one': True, 'equal': True})}."
            )
        constraints = dataclasses.replace(constraints, no_intercept=not intercept)
    return kind, constraints


@dataclasses.dataclass(frozen=True)
class Penalty:
    """What is added to the squared residuals.

    Attributes
    ----------
    lam : float
    alpha : float
        Share of |w|_1; the rest goes to the L2 norm.
    l2 : str
        "squared": (1 - alpha)/2 ||w||^2; "unsquared": (1 - alpha)/2 ||w||.
    pairwise : bool
        Instead of both: lam times sum_j w_j ||y - Y_j||^2 (Abadie and L'Hour 2021, equation 5).
    """

    lam: float = 0.0
    alpha: float = 0.0
    l2: str = "squared"
    pairwise: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """A solution of one fit, in internal units.

    Attributes
    ----------
    weights : (J,) array
    intercept : float
    residual : (m,) array
    optimal : bool
    iterations : int
    active : int array or None
        The variables of `Fit.least_squares` that can be other than zero at some solution, where that is known.
    ray : (J,) array or None
        A direction of the weights in which the objective falls without end.
    unique : bool
        Whether it is certain that no other weights are as good.
    """

    weights: Floats
    intercept: float
    residual: Floats
    optimal: bool = True
    iterations: int = 0
    active: Ints | None = None
    ray: Floats | None = None
    unique: bool = False

    def scaled(self, ratio: float) -> Point:
        """Return the point in an internal unit that is shorter by `ratio`."""
        return dataclasses.replace(self, intercept=self.intercept * ratio, residual=self.residual * ratio)


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """min ||target - mu - rows w||^2/2 + linear'w + l1 |w|_1 + l2 ||w||^2/2  under constraints on w.

    Attributes
    ----------
    label : object
        What is fitted: a treated unit, or "average" of several.
    rows, target : (m, J), (m,) arrays
        In internal units. With weights that sum to one, differences from the treated unit (its target is then zero);
        with an intercept, centred.
    constraints : Constraints
    linear : (J,) array
    l1, l2 : float
    unit : float
        Length of the internal unit in the user's.
    row_shift, target_shift : (J,) array, float
        What centring took away, in the user's units.
    factor, constant : float
        The stated objective, in the user's units, is factor times the internal one plus constant.
    best : Point or None
        Its solution, where it is known.
    """

    label: Any
    rows: Floats
    target: Floats
    constraints: Constraints
    linear: Floats
    l1: float
    l2: float
    unit: float
    row_shift: Floats
    target_shift: float
    factor: float
    constant: float = 0.0
    best: Point | None = None

    @property
    def split(self) -> bool:
        """Whether the weights are split in positive and negative parts, for an L1 penalty."""
        return self.l1 > 0 and not self.constraints.nonnegative and not self.constraints.fixed

    @property
    def n_donors(self) -> int:
        """Number of donors."""
        return int(self.rows.shape[1])

    def intercept(self, weights: Floats, internal: float) -> float:
        """Return the intercept in the user's units."""
        if self.constraints.no_intercept:
            return 0.0
        return float(self.unit * internal + self.target_shift - self.row_shift @ weights)

    def with_unit(self, unit: float) -> Fit:
        """Return the same fit in another internal unit."""
        ratio = self.unit / unit
        return dataclasses.replace(
            self,
            rows=self.rows * ratio,
            target=self.target * ratio,
            linear=self.linear * ratio**2,
            l1=self.l1 * ratio**2,
            l2=self.l2 * ratio**2,
            unit=unit,
            factor=self.factor / ratio**2,
            best=None if self.best is None else self.best.scaled(ratio),
        )

    def at(self, weights: Floats, intercept: float, *more: Any) -> Point:
        """Return a point with its residual."""
        return Point(weights, intercept, self.target - intercept - self.rows @ weights, *more)

    def value(self, point: Point) -> float:
        """Return the objective at a point, in internal units."""
        w = point.weights
        smooth = 0.5 * float(point.residual @ point.residual) + 0.5 * self.l2 * float(w @ w)
        return smooth + float(self.linear @ w) + self.l1 * float(np.abs(w).sum())

    def least_squares(self, linear: Floats | None = None) -> active_set.LeastSquares | None:
        """Return the fit as `active_set` takes it: in w, in its positive and negative parts, or in one common weight.

        None where the weights are fixed. `linear` replaces the fit's own linear cost.
        """
        constraints, n = self.constraints, self.n_donors
        if constraints.fixed:
            return None
        cost = self.linear if linear is None else linear
        matrix, row, l1, l2 = self.rows, np.ones(n), self.l1, self.l2
        if constraints.equal:
            matrix, cost, l1, l2 = matrix.sum(axis=1)[:, None], np.array([cost.sum()]), l1 * n, l2 * n
        if self.split:
            matrix, cost, row = np.hstack([matrix, -matrix]), np.concatenate([cost, -cost]), np.concatenate([row, -row])
        return active_set.LeastSquares(
            matrix,
            self.target,
            cost + l1,
            row=row if constraints.sum_to_one else None,
            nonnegative=constraints.nonnegative or self.split,
        ).with_ridge(l2)

    def weights_of(self, x: Floats) -> Floats:
        """Return the weights from the variables of `least_squares`."""
        if self.split:
            x = x[: len(x) // 2] - x[len(x) // 2 :]
        return np.repeat(x, self.n_donors) if self.constraints.equal else x

    def variables_of(self, weights: Floats) -> Floats:
        """Return the variables of `least_squares` from weights."""
        x = weights[:1] if self.constraints.equal else weights
        return np.concatenate([np.maximum(x, 0.0), np.maximum(-x, 0.0)]) if self.split else x

    def minimise(self, linear: Floats | None = None, intercept_cost: float = 0.0, start: Floats | None = None) -> Point:
        """Solve the fit exactly, with its linear cost replaced and a cost on the intercept added where given.

        Nothing is left to do where the fit's own solution is known already.
        """
        if self.best is not None and intercept_cost == 0 and (linear is None or np.array_equal(linear, self.linear)):
            return self.best
        problem = self.least_squares(linear)
        m = len(self.target)
        mu = -intercept_cost / m  # rows and target are centred wherever there is an intercept
        if problem is None:
            return self.at(np.full(self.n_donors, 1.0 / self.n_donors), mu)
        known = None if start is None else self.variables_of(start)
        if known is None:
            known = _quick_start(problem)
        found = active_set.solve(problem, start=known)
        ray = None if found.ray is None else self.weights_of(found.ray)
        more = (found.optimal, found.iterations, found.active, ray, found.unique)
        return self.at(self.weights_of(found.x), mu, *more)


def _quick_start(problem: active_set.LeastSquares) -> Floats | None:
    """Return a start from SciPy's compiled nonnegative least squares, or None where it does not apply.

    With c = 0 and weights that sum to one, D = M - b 1' has the same objective, and min ||D x||^2 + (1'x - 1)^2 over
    x >= 0 has a multiple of the answer for its minimiser: for x = t w the best t leaves ||Dw||^2 / (1 + ||Dw||^2).
    """
    if not problem.nonnegative or problem.row is None or problem.linear.any() or not (problem.row == 1).all():
        return None
    from scipy.optimize import nnls

    m, n = problem.matrix.shape
    stacked, unit = np.ones((m + 1, n)), np.zeros(m + 1)
    difference, unit[m] = stacked[:m], 1.0
    np.subtract(problem.matrix, (problem.target / problem.total)[:, None], out=difference)
    size = np.sqrt(np.einsum("ij,ij->j", difference, difference).min())
    if not size > 0:
        return None
    difference /= size
    try:
        found, _ = nnls(stacked, unit)
    except RuntimeError:  # out of iterations: the exact method starts from a vertex instead
        return None
    return np.asarray(found)


def scaled(label: Any, target: Floats, rows: Floats, constraints: Constraints) -> Fit:
    """Return the unpenalised fit of data in the user's units, in the unit of their root mean square."""
    m, n = rows.shape
    target_shift, row_shift = 0.0, np.zeros(n)
    if constraints.sum_to_one:
        rows, target = rows - target[:, None], np.zeros(m)
    if not constraints.no_intercept:
        target_shift, row_shift = float(target.mean()), rows.mean(axis=0)
        rows, target = rows - row_shift, target - target_shift
    squares = float(np.einsum("ij,ij->", rows, rows) + target @ target)
    unit = float(np.sqrt(squares / (rows.size + m)))
    unit = unit if unit > 0 else 1.0
    rows, target, factor = rows / unit, target / unit, 2.0 * unit**2
    return Fit(label, rows, target, constraints, np.zeros(n), 0.0, 0.0, unit, row_shift, target_shift, factor)


def penalised(fit: Fit, penalty: Penalty) -> Fit:
    """Add a penalty, given in the user's units, to a fit without one."""
    m = len(fit.target)
    if penalty.pairwise:
        apart = fit.rows - fit.target[:, None]
        return dataclasses.replace(fit, linear=0.5 * penalty.lam * np.einsum("ij,ij->j", apart, apart))
    strength = m * penalty.lam / fit.unit**2
    fit = dataclasses.replace(fit, l1=strength * penalty.alpha, factor=fit.unit**2 / m)
    if penalty.l2 == "squared":
        return dataclasses.replace(fit, l2=strength * (1.0 - penalty.alpha))
    return _unsquared(fit, strength * (1.0 - penalty.alpha) / 2.0)


def _unsquared(fit: Fit, slope: float) -> Fit:
    """Replace the penalty  slope ||w||  by the squared one with the same solution.

    ||w|| = min over s > 0 of (||w||^2 / s + s) / 2, jointly convex in w and s; so at s = ||w(s)|| the solution with
    l2 = slope / s is that of the penalty on the norm. s = ||w(s)|| has one root: ||w|| falls as l2 grows.
    """
    from scipy.optimize import brentq

    last: list[Floats | None] = [None]

    def length(l2: float) -> float:
        weights = last[0] = dataclasses.replace(fit, l2=l2).minimise(start=last[0]).weights
        return float(np.linalg.norm(weights))

    if slope == 0:
        return fit
    free = length(0.0)
    if free == 0:
        return fit
    low, high = slope / free, slope / free
    while high * length(high) < slope:  # l2 ||w(l2)|| grows with l2 towards the slope at which all weights are zero
        high *= 4.0
        if high > 1e12 * low:
            return dataclasses.replace(fit, l2=high)
    root = brentq(lambda log: np.log(np.exp(log) * length(np.exp(log)) / slope), np.log(low), np.log(high), xtol=1e-14)
    l2 = float(np.exp(root))
    return dataclasses.replace(fit, l2=l2, constant=fit.factor * slope**2 / l2 / 2.0)


def in_unit_of_residual(fit: Fit) -> Fit:
    """Return the fit in the unit of its best root mean square residual, so that solvers' tolerances are relative."""
    best = fit.minimise()
    if best.ray is not None or not best.optimal:
        return fit
    size = float(np.sqrt(max(2.0 * fit.value(best) / len(fit.target), LEAST_UNIT**2)))
    return dataclasses.replace(fit, best=best).with_unit(fit.unit * size)


def check_penalty_number(name: str, value: Any, upper: float = np.inf) -> float:
    """Return a penalty's number, or raise `DataError`."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not (number and 0 <= value <= upper and np.isfinite(value)):
        limit = "zero or positive" if upper == np.inf else f"between 0 and {upper:g}"
        raise DataError(f"{argument(name)} is {value!r}; it must be a number, {limit}.")
    return float(value)
