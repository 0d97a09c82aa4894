"""Small programs with the numbers of other people's models, and their optima in exact fractions.

Wide but finite boxes, right sides that stand for "no limit" or are left over from rounding, big M, penalties,
epigraphs, columns and rows in units of their own: in one program or another there is every size from 1e-18 to 1e30.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from exact import INFEASIBLE, UNBOUNDED, optimum

from causalopt import Program

INF = np.inf
KINDS = ("LP", "MILP", "convex QP", "convex MIQP")


@dataclasses.dataclass(frozen=True)
class Instance:
    """A program, what was done to it, its exact optimum, and the size that its objective is of."""

    name: str
    program: Program
    value: Fraction | str
    unit: float

    def wrong(self, value: float) -> bool:
        """Whether an objective is another than the optimum by more than a millionth part, and what rounding allows."""
        if isinstance(self.value, str):
            return True
        return abs(float(Fraction(value) - self.value)) > 2e-6 * max(abs(float(self.value)), self.unit)


@dataclasses.dataclass
class _Draft:
    """A program being written, with dense arrays."""

    c: np.ndarray
    A: np.ndarray
    row_lower: np.ndarray
    row_upper: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    integer: np.ndarray
    Q: np.ndarray | None
    maximize: bool
    unit: float = 1.0

    def program(self) -> Program:
        return Program.from_arrays(
            self.c, self.A, self.row_lower, self.row_upper, self.lower, self.upper,
            integer=self.integer, Q=self.Q, maximize=self.maximize,
        )  # fmt: skip

    def with_room(self) -> _Draft:
        """Return the program with each right side further out by what rounding may have done to it."""
        room = 1e-10 * np.maximum(
            np.abs(self.A).max(axis=1), np.where(np.isfinite(self.row_lower), np.abs(self.row_lower), 0)
        )
        return dataclasses.replace(self, row_lower=self.row_lower - room, row_upper=self.row_upper + room)

    def add_column(self, cost, lower, upper, entries=()):
        """Add a continuous column with entries in some rows."""
        self.c = np.append(self.c, cost)
        column = np.zeros((len(self.A), 1))
        for row, value in entries:
            column[row] = value
        self.A = np.hstack([self.A, column])
        self.lower, self.upper = np.append(self.lower, lower), np.append(self.upper, upper)
        self.integer = np.append(self.integer, False)
        if self.Q is not None:
            self.Q = np.pad(self.Q, (0, 1))

    def add_row(self, coefficients, low, high):
        self.A = np.vstack([self.A, coefficients])
        self.row_lower, self.row_upper = np.append(self.row_lower, low), np.append(self.row_upper, high)


def instances(count: int, seed: int = 0) -> Iterator[Instance]:
    """Yield that many instances, the kinds in turn."""
    for k in range(count):
        yield instance(KINDS[k % len(KINDS)], seed + k)


def instance(kind: str, seed: int) -> Instance:
    """Return one instance; numbers that are not decisive (an optimum that rounding alone decides) are drawn again."""
    for draw in range(100):
        rng = np.random.default_rng([seed, draw, KINDS.index(kind)])
        draft = _base(kind, rng)
        twists = [_TWISTS[k] for k in rng.choice(len(_TWISTS), size=rng.integers(1, 4), replace=False)]
        applied = [twist.__name__.strip("_") for twist in twists if twist(draft, rng)]
        last = [twist.__name__.strip("_") for twist in _UNITS if rng.random() < 0.25 and twist(draft, rng)]
        if not applied and not last:
            continue
        value, beside = optimum(draft.program()), optimum(draft.with_room().program())
        if value == INFEASIBLE and (beside != INFEASIBLE or rng.random() < 0.8):
            continue
        made = Instance(f"{kind} {seed} ({', '.join(applied + last)})", draft.program(), value, draft.unit)
        if value not in (INFEASIBLE, UNBOUNDED) and (isinstance(beside, str) or made.wrong(float(beside))):
            continue
        return made
    raise AssertionError("no instance in a hundred draws")


def _base(kind: str, rng: np.random.Generator) -> _Draft:
    """A small program in whole numbers with a point inside."""
    n, m = int(rng.integers(2, 4)), int(rng.integers(1, 4))
    A = rng.integers(-6, 7, (m, n)).astype(float)
    A[np.arange(m), rng.integers(0, n, m)] = rng.integers(1, 7, m)
    inside = rng.integers(0, 3, n)
    middle, slack = A @ inside, rng.integers(0, 9, m)
    form = rng.integers(0, 4, m)  # <=, >=, range, equality
    integer = np.zeros(n, dtype=bool)
    if kind in ("MILP", "convex MIQP"):
        integer[: int(rng.integers(1, n + 1))] = True
    quadratic = None
    if "Q" in kind:
        root = rng.integers(-2, 3, (n, n)).astype(float)
        quadratic = (
            root.T @ root + np.diag(rng.integers(1, 3, n)) if rng.random() < 0.6 else np.diag(rng.integers(1, 5, n))
        )
    maximize = bool(rng.random() < 0.3)
    return _Draft(
        c=rng.integers(-9, 10, n).astype(float),
        A=A,
        row_lower=np.where(form == 0, -INF, middle - np.where(form == 3, 0, slack)),
        row_upper=np.where(form == 1, INF, middle + np.where(form == 3, 0, slack)),
        lower=np.zeros(n),
        upper=np.where(integer, rng.integers(2, 5, n), np.where(rng.random(n) < 0.7, rng.integers(4, 11, n), INF)),
        integer=integer,
        Q=None if quadratic is None else np.asarray(quadratic, dtype=float) * (-1 if maximize else 1),
        maximize=maximize,
    )


def _wide_box(d: _Draft, rng) -> bool:
    """Bounds that are finite and far away, one size for all or one for each."""
    columns = np.flatnonzero(~d.integer & (rng.random(len(d.c)) < 0.8))
    sizes = 10.0 ** (
        rng.uniform(3, 19, len(columns)) if rng.random() < 0.5 else np.full(len(columns), rng.integers(3, 31))
    )
    d.upper[columns] = sizes
    if rng.random() < 0.5:
        d.lower[columns] = -sizes
    return len(columns) > 0


def _no_limit(d: _Draft, rng) -> bool:
    """A right side that means "no limit"."""
    open_side = np.flatnonzero(np.isinf(d.row_upper))
    size = 10.0 ** rng.integers(9, 31)
    d.row_upper[open_side] = size
    open_side = np.flatnonzero(np.isinf(d.row_lower))
    d.row_lower[open_side] = -(10.0 ** rng.integers(9, 31))
    d.add_row(rng.integers(0, 3, len(d.c)), -INF, size)
    return True


def _left_over(d: _Draft, rng) -> bool:
    """A right side of rounding size, where zero was meant."""
    k = int(rng.integers(0, len(d.c)))
    row = np.zeros(len(d.c))
    row[k], row[(k + 1) % len(d.c)] = float(rng.integers(1, 4)), -float(rng.integers(1, 4))
    noise = 10.0 ** rng.uniform(-18, -13)
    if rng.random() < 0.5:
        d.add_row(row, -INF, noise)
    else:
        d.add_row(row, -noise, INF)
    return True


def _makespan(d: _Draft, rng) -> bool:
    """The largest of some sums, by a column in a wide box that is above all of them."""
    box = 10.0 ** rng.integers(3, 13)
    sign = -1.0 if d.maximize else 1.0
    d.add_column(sign * float(rng.integers(1, 20)), 0.0 if sign > 0 else -box, box if sign > 0 else 0.0)
    for _ in range(2):
        row = np.append(rng.integers(1, 60, len(d.c) - 1).astype(float), -1.0)
        if d.maximize:
            row[-1] = 1.0
        d.add_row(row, -INF, 0.0)
    return True


def _epigraph(d: _Draft, rng) -> bool:
    """A column that estimates a cost from below, with cuts, in a box of nine digits or more."""
    box = 10.0 ** rng.integers(5, 19)
    n = len(d.c)
    d.add_column(-1.0 if d.maximize else 1.0, -box, box)
    for _ in range(int(rng.integers(1, 4))):
        cut = np.append(rng.integers(-9, 10, n).astype(float), 1.0)
        if d.maximize:
            d.add_row(np.append(-cut[:-1], 1.0) * 1.0, -INF, float(rng.integers(-50, 200)))
            d.A[-1, -1] = 1.0
            d.c[-1] = 1.0
        else:
            d.add_row(cut, float(rng.integers(-50, 200)), INF)
    return True


def _big_m(d: _Draft, rng) -> bool:
    """A column that may be used where a binary is one, behind a large number."""
    if not d.integer.any():
        return False
    free = np.flatnonzero(~d.integer)
    if len(free) == 0:
        sign = -1.0 if d.maximize else 1.0
        d.add_column(-sign * float(rng.integers(1, 9)), 0.0, float(rng.integers(3, 30)))
        free = np.array([len(d.c) - 1])
    row = np.zeros(len(d.c))
    row[free[0]], row[np.flatnonzero(d.integer)[0]] = 1.0, -(10.0 ** rng.integers(2, 9))
    d.add_row(row, -INF, 0.0)
    d.c[np.flatnonzero(d.integer)[0]] = float(rng.integers(1, 30)) * (-1.0 if d.maximize else 1.0)
    return True


def _penalty(d: _Draft, rng) -> bool:
    """A slack that costs very much."""
    row = int(rng.integers(0, len(d.A)))
    price = (10.0 ** rng.integers(3, 10)) * (-1.0 if d.maximize else 1.0)
    d.add_column(price, 0.0, INF, [(row, 1.0 if np.isfinite(d.row_lower[row]) else -1.0)])
    return True


def _small_cost(d: _Draft, rng) -> bool:
    """One cost that is far smaller than the others, which breaks ties."""
    d.c[int(rng.integers(0, len(d.c)))] = 10.0 ** rng.integers(-12, -3)
    return True


_TWISTS = (_wide_box, _no_limit, _left_over, _makespan, _epigraph, _big_m, _penalty, _small_cost)


def _column_units(d: _Draft, rng) -> bool:
    """Continuous columns in units of their own."""
    powers = rng.integers(-6, 7) if rng.random() < 0.5 else rng.integers(-5, 6, len(d.c))
    unit = np.where(d.integer, 1.0, 10.0**powers)
    d.c, d.A, d.lower, d.upper = d.c * unit, d.A * unit, d.lower / unit, d.upper / unit
    if d.Q is not None:
        d.Q = d.Q * unit * unit[:, None]
    return True


def _row_units(d: _Draft, rng) -> bool:
    """Rows in units of their own."""
    unit = 10.0 ** rng.integers(-6, 7, len(d.A))
    d.A, d.row_lower, d.row_upper = d.A * unit[:, None], d.row_lower * unit, d.row_upper * unit
    return True


def _objective_unit(d: _Draft, rng) -> bool:
    """An objective in a unit of its own."""
    unit = 10.0 ** rng.integers(-12, 13)
    d.c, d.Q, d.unit = d.c * unit, None if d.Q is None else d.Q * unit, d.unit * unit
    return True


_UNITS = (_column_units, _row_units, _objective_unit)
