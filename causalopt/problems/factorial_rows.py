"""The rows of a factorial balance problem: functions of the cell times functions of the covariates.

Every constraint of [FACT] has the form  sum_i u_i c(Z_i) h_s(X_i) = target  with a function c of the treatment cell and
a function h_s of the covariates (h_0 = 1). For fixed s the constraints are linear in c, and so are their targets: they
say the same as those of any basis of the span of the c, and cannot contradict each other. That is how they are
rank-reduced, exactly, before any covariate is looked at.

It also makes them cheap. A matrix of m rows by n units need not be formed: within one cell the rows are combinations of
the h_s, so a product with the matrix costs n times the number of functions, whatever m is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.errors import DataError
from causalopt.fastpaths.dual_newton import SeparableQP
from causalopt.modeling.program import Bools, Floats, Ints
from causalopt.problems.factorial_design import RANK_TOLERANCE, Effect, Factors, OutcomeModel, group_by_cell

SIDES = ("+", "-")

#: Most numbers that the candidates for the rows' cell functions may take.
MOST_CANDIDATES = 200_000_000

#: Condition number of cell functions up to which rows are left as they are.
WELL_CONDITIONED = 50.0

#: Most cells of a row that is written cell by cell.
MOST_RANGES = 64

#: Most rows of one set of weights: their inner products are held as a matrix.
MOST_ROWS = 10_000


class CellRows:
    """The matrix with entries c_r(cell of i) h_{s(r)}(i), never formed.

    Parameters
    ----------
    row, cell, value : (k,) arrays
        The nonzeros of the cell functions c: c_row(cell) = value.
    function : (m,) int array
        s(r): which function each row takes.
    functions : (S + 1, n) array
        The values h_s, units sorted by cell.
    starts : (C + 1,) int array
        Where each cell's units begin.
    """

    __array_ufunc__ = None  # so that  array @ rows  comes here

    def __init__(self, row: Ints, cell: Ints, value: Floats, function: Ints, functions: Floats, starts: Ints) -> None:
        order = np.argsort(cell, kind="stable")
        self.row, self.cell, self.value = row[order], cell[order], value[order]
        self.function, self.functions, self.starts = function, functions, starts
        self.shape = (len(function), functions.shape[1])
        self._pointers = np.searchsorted(self.cell, np.arange(len(starts)))

    @classmethod
    def from_cell_functions(cls, c: Floats, function: Ints, functions: Floats, starts: Ints) -> CellRows:
        """Make the rows of an (m, C) array of cell functions."""
        row, cell = np.nonzero(c)
        return cls(row, cell, c[row, cell], function, functions, starts)

    def _cells(self) -> Iterator[tuple[int, slice, slice]]:
        """Yield each cell with units: its number, the slice of its units, the slice of its nonzeros."""
        for z in range(len(self.starts) - 1):
            units = slice(int(self.starts[z]), int(self.starts[z + 1]))
            if units.start < units.stop:
                yield z, units, slice(int(self._pointers[z]), int(self._pointers[z + 1]))

    def by_cell(self, y: Floats) -> Floats:
        """Return the coefficients of the functions, cell by cell, of a combination of the rows: an (S + 1, C) array."""
        n_cells = len(self.starts) - 1
        where = self.function[self.row] * n_cells + self.cell
        count = len(self.functions) * n_cells
        sums: Floats = np.bincount(where, self.value * y[self.row], minlength=count).astype(float)
        return sums.reshape(-1, n_cells)

    def __rmatmul__(self, y: Floats) -> Floats:
        theta = self.by_cell(y)
        out = np.empty(self.shape[1])
        for z, units, _ in self._cells():
            np.dot(theta[:, z], self.functions[:, units], out=out[units])
        return out

    def __matmul__(self, u: Floats) -> Floats:
        sums = np.zeros((len(self.functions), len(self.starts) - 1))
        for z, units, _ in self._cells():
            sums[:, z] = self.functions[:, units] @ u[units]
        terms = self.value * sums[self.function[self.row], self.cell]
        totals: Floats = np.bincount(self.row, terms, minlength=self.shape[0]).astype(float)
        return totals

    def gram(self, inside: Bools | None = None, weights: Floats | None = None) -> Floats:
        """Return the matrix of the rows' (weighted) inner products, over the units that are `inside`."""
        count = len(self.functions)
        moments = np.zeros((count, count, len(self.starts) - 1))
        for z, units, _ in self._cells():
            block = self.functions[:, units]
            if inside is not None and not inside[units].all():
                block = block[:, inside[units]]
            moments[:, :, z] = (block if weights is None else block * weights[units]) @ block.T
        total = np.empty((self.shape[0], self.shape[0]))
        for k, (s, rows, c) in enumerate(self._by_function):
            for t, others, d in self._by_function[: k + 1]:
                product = _weighted_product(c, moments[s, t], d)
                total[np.ix_(rows, others)] = product
                total[np.ix_(others, rows)] = product.T
        return total

    @cached_property
    def _by_function(self) -> list[tuple[int, Ints, Any]]:
        """Return each function's rows and their cell functions, sparse where they are nearly all zero."""
        whole = sp.csr_matrix((self.value, (self.row, self.cell)), shape=(self.shape[0], len(self.starts) - 1))
        parts = []
        for s in np.unique(self.function):
            rows = np.flatnonzero(self.function == s)
            c = whole[rows]
            parts.append((int(s), rows, c if c.nnz < 0.1 * c.shape[0] * c.shape[1] else c.toarray()))
        return parts

    def quadratic(self, matrix: Floats) -> Floats:
        """Return q'(matrix)q for each column q."""
        out = np.empty(self.shape[1])
        for _, units, own in self._cells():
            rows = self.row[own]
            spread = np.zeros((len(self.functions), len(rows)))
            spread[self.function[rows], np.arange(len(rows))] = self.value[own]
            local = spread @ matrix[np.ix_(rows, rows)] @ spread.T
            block = self.functions[:, units]
            out[units] = np.einsum("sn,sn->n", block, local @ block)
        return out

    def min(self, axis: int = 1) -> Floats:
        """Return each row's smallest entry (zero, or less, where cells are left out)."""
        return -self._largest(-1.0)

    def max(self, axis: int = 1) -> Floats:
        """Return each row's largest entry (zero, or more, where cells are left out)."""
        return self._largest(1.0)

    def _largest(self, sign: float) -> Floats:
        out = np.zeros(self.shape[0])
        for _, units, own in self._cells():
            high = self.functions[:, units].max(axis=1)[self.function[self.row[own]]]
            low = self.functions[:, units].min(axis=1)[self.function[self.row[own]]]
            value = sign * self.value[own]
            out[self.row[own]] = np.maximum(out[self.row[own]], np.maximum(value * high, value * low))
        return out

    def take(self, rows: Ints) -> CellRows:
        """Return some of the rows."""
        number = np.full(self.shape[0], -1)
        number[rows] = np.arange(len(rows))
        kept = number[self.row] >= 0
        return CellRows(
            number[self.row[kept]], self.cell[kept], self.value[kept], self.function[rows], self.functions, self.starts
        )

    def nonzeros(self) -> int:
        """Return how many entries the matrix has, those of the cells that a row leaves out not counted."""
        return int(np.diff(self.starts)[self.cell].sum())

    def csr(self) -> Any:
        """Return the matrix itself."""
        order = np.argsort(self.row, kind="stable")  # cells ascend within each row
        sizes = np.diff(self.starts)[self.cell]
        total = int(sizes.sum())
        data, indices = np.empty(total), np.empty(total, dtype=np.int32)
        filled = 0
        for r, own in enumerate(np.split(order, np.searchsorted(self.row[order], np.arange(1, self.shape[0])))):
            for values, chosen, units in self._pieces(own):
                part = slice(filled, filled + len(units))
                np.multiply(self.functions[self.function[r], chosen], values, out=data[part])
                indices[part] = units
                filled = part.stop
        lengths = np.bincount(self.row, sizes, minlength=self.shape[0]).astype(np.int64)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        matrix = sp.csr_matrix((data, indices, indptr.astype(np.int32)), shape=self.shape)
        matrix.has_canonical_format = True
        return matrix

    def _pieces(self, own: Ints) -> Iterator[tuple[Any, Any, Any]]:
        """Yield the coefficients of one row, given by its nonzeros, and their units: by cell, or all at once."""
        if len(own) > MOST_RANGES:
            by_cell = np.zeros(len(self.starts) - 1)
            by_cell[self.cell[own]] = self.value[own]
            by_unit = np.repeat(by_cell, np.diff(self.starts))
            units = np.flatnonzero(by_unit)
            yield by_unit[units], units, units
            return
        for k in own:
            start, stop = (int(self.starts[self.cell[k] + j]) for j in (0, 1))
            yield self.value[k], slice(start, stop), np.arange(start, stop, dtype=np.int32)


def _weighted_product(c: Any, weights: Floats, d: Any) -> Floats:
    """Return c diag(weights) d' for dense or sparse c and d."""
    if sp.issparse(c):
        product = (c.multiply(weights).tocsr()) @ d.T
        return np.asarray(product.toarray() if sp.issparse(product) else product)
    if sp.issparse(d):
        return _weighted_product(d, weights, c).T
    return np.asarray((c * weights) @ d.T)


@dataclasses.dataclass(frozen=True, eq=False)
class CellQP(SeparableQP):
    """A balance QP whose rows are `CellRows`.

    Attributes
    ----------
    absorbing_rows : (m,) array
        Multipliers whose combination of the rows is positive on every unit.
    """

    absorbing_rows: Floats | None = None

    def gram(self, u: Floats) -> Floats:
        """Return M M' over the columns that are strictly between their bounds."""
        total: Floats = self.rows.gram((u > self.lower) & (u < self.upper))  # type: ignore[attr-defined]
        return total

    def absorbing(self) -> Floats | None:
        """Return multipliers of a positive combination of the rows."""
        return self.absorbing_rows


# ---- which cell functions ----


class Span:
    """An orthonormal basis of a span of vectors that grows."""

    def __init__(self, length: int) -> None:
        self._basis = np.empty((0, length))

    def add(self, vector: Floats) -> bool:
        """Add a vector, and return whether it was outside the span."""
        size = float(np.linalg.norm(vector))
        left = self.residual(vector)
        length = float(np.linalg.norm(left))
        if length <= RANK_TOLERANCE * size:
            return False
        self._basis = np.vstack([self._basis, left / length])
        return True

    def residual(self, vector: Floats) -> Floats:
        """Return what is left of a vector outside the span."""
        for _ in range(2):
            vector = vector - self._basis.T @ (self._basis @ vector)
        return vector

    def holds(self, vector: Floats) -> bool:
        """Return whether a vector is in the span."""
        return float(np.linalg.norm(self.residual(vector))) <= RANK_TOLERANCE * float(np.linalg.norm(vector))


@dataclasses.dataclass(frozen=True)
class Label:
    """What a row balances: on one side of an effect (or in one cell), a function of factors and covariates.

    `position` is the number of the covariate function, zero for the intercept.
    """

    effect: str
    side: str
    function: str
    family: str
    position: int


@dataclasses.dataclass(frozen=True, eq=False)
class _Choice:
    """A row to be: its cell function, its label, and by how much a weighted mean may be off."""

    c: Floats
    label: tuple[str, str, Effect | str]  # effect, side, J (or the name of a cell)
    half: float  # per unit of tolerance; zero for exact rows
    exact: bool


def candidates(
    effects: Mapping[Effect, Floats], terms: Sequence[Effect], factors: Factors, cells: Ints
) -> Iterator[tuple[str, str, Effect, Floats, float]]:
    """Yield effect, side, J, the cell function g~^side g_J, and the side's share  sum g~^side / 2^K."""
    shape = {term: factors.contrast(cells, term) for term in terms}
    for effect, weight in effects.items():
        for side in SIDES:
            half = np.maximum(weight if side == "+" else -weight, 0.0)
            share = float(half.sum()) / 2**factors.size
            for term in terms:
                yield factors.label(effect), side, term, half * shape[term], share


def choose_cell_functions(
    effects: Mapping[Effect, Floats],
    terms: Sequence[Effect],
    factors: Factors,
    cells: Ints,
    is_exact: Mapping[Effect, bool],
    first: Sequence[_Choice] = (),
) -> list[_Choice]:
    """Choose rows for one function of the covariates: a basis of the exact ones, then the others that say more."""
    span = Span(len(cells))
    chosen = [choice for choice in first if span.add(choice.c)]
    loose: dict[bytes, _Choice] = {}
    for name, side, term, c, share in candidates(effects, terms, factors, cells):
        if not is_exact[term]:
            lead = c[np.flatnonzero(c)[0]] if c.any() else 1.0
            choice = _Choice(c, (name, side, term), share, exact=False)
            key = np.round(c * np.sign(lead), 9).tobytes()
            if key not in loose or loose[key].half > share:
                loose[key] = choice
        elif span.add(c):
            chosen.append(_Choice(c, (name, side, term), 0.0, exact=True))
    chosen = _well_conditioned(chosen)
    return chosen + [choice for choice in loose.values() if not span.holds(choice.c)]


def _well_conditioned(chosen: list[_Choice]) -> list[_Choice]:
    """Return exact rows of the same span, orthogonal in the cells if they were nearly dependent.

    With a few of many cells missing, the |g~| of all effects are nearly one, and their rows nearly the same. Each then
    holds only what it adds to those before it, on a scale of its own.
    """
    if len(chosen) < 2:
        return chosen
    c = np.array([choice.c for choice in chosen])
    if np.linalg.cond(c) <= WELL_CONDITIONED:
        return chosen
    directions, triangle = np.linalg.qr(c.T)
    directions *= np.sign(triangle.diagonal())
    directions /= np.abs(directions).max(axis=0)
    directions[np.abs(directions) < RANK_TOLERANCE] = 0.0
    return [dataclasses.replace(choice, c=directions[:, k]) for k, choice in enumerate(chosen)]


def is_saturated(terms: Sequence[Effect], factors: Factors, cells: Ints) -> bool:
    """Return whether the terms' contrasts span all functions on these cells."""
    if len(terms) == 2**factors.size:
        return True
    if len(terms) < len(cells):
        return False
    matrix = np.array([factors.contrast(cells, term) for term in terms])
    return bool(np.linalg.matrix_rank(matrix) == len(cells))


# ---- one set of weights ----


@dataclasses.dataclass(frozen=True, eq=False)
class WeightSet:
    """The constraints of one set of weights, in units u = w / 2 (whose mean is one where all cells are observed).

    Attributes
    ----------
    effects : mapping from effect to (C,) array
        g~ on the cells of `cells`.
    cells : (C,) int array
        The cells whose units take part.
    members : (n,) int array
        Those units: positions in the data, cell after cell.
    rows : CellRows
    target, half : (m,) arrays
        |rows @ u - target| <= half.
    labels : tuple of Label
    dropped : tuple of Label
        Rows that follow from others only on these data, and that are left to them.
    base : float
        1 where the sum of the weights is fixed, else 0: the cost is sum (u - base)^2 / 2.
    absorbing : (m,) array
        Multipliers that make a positive combination of the rows.
    start : int
        First column of the set in the program.
    """

    effects: Mapping[Effect, Floats]
    cells: Ints
    members: Ints
    rows: CellRows
    target: Floats
    half: Floats
    labels: tuple[Label, ...]
    dropped: tuple[Label, ...]
    base: float
    absorbing: Floats
    start: int

    @property
    def size(self) -> int:
        """Number of units that take part."""
        return len(self.members)

    def separable(self, rows: CellRows | None = None) -> CellQP:
        """Return the problem, or that of other rows with the same targets, in the form that `dual-newton` takes."""
        return CellQP(
            rows=self.rows if rows is None else rows,  # type: ignore[arg-type]
            target=self.target,
            tolerance=self.half,
            base=self.base,
            absorbing_rows=self.absorbing,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Functions:
    """Functions of the covariates, centred and scaled by their standard deviations in the whole sample.

    Attributes
    ----------
    names : tuple of str
    values : (S, n) array
    tolerance, interaction_tolerance : (S,) arrays
        For the functions themselves, and for their products with factors, in those standard deviations.
    factor_tolerance : float
        For the factors' own contrasts.
    """

    names: tuple[str, ...]
    values: Floats
    tolerance: Floats
    interaction_tolerance: Floats
    factor_tolerance: float


def make_set(
    effects: Mapping[Effect, Floats], model: OutcomeModel, factors: Factors, functions: Functions, start: int
) -> WeightSet:
    """Return the constraints for effects with contrasts g~ on the observed cells."""
    weights = np.array(list(effects.values()))
    used = np.flatnonzero((weights != 0).any(axis=0))
    cells = factors.observed[used]
    own = {effect: weight[used] for effect, weight in effects.items()}
    _refuse_too_many_rows(own, model, factors, functions, len(cells))
    members, starts = group_by_cell(factors.codes, cells)
    intercept, absorbing, is_total_fixed = _intercept_rows(own, model, factors, cells, functions.factor_tolerance)
    chosen: list[tuple[int, _Choice]] = [(0, choice) for choice in intercept]
    known: dict[Any, list[_Choice]] = {}
    for s, name in enumerate(functions.names):
        terms = model.function_terms[name]
        exact = (functions.tolerance[s] == 0, functions.interaction_tolerance[s] == 0)
        key = (terms, exact)
        if key not in known:
            known[key] = choose_cell_functions(
                own, terms, factors, cells, {term: bool(exact[1] if term else exact[0]) for term in terms}
            )
        chosen += [(s + 1, choice) for choice in known[key]]
    function = np.array([s for s, _ in chosen])
    total = len(factors.codes)
    c = np.array([choice.c for _, choice in chosen])
    target = np.where(function == 0, total * c.sum(axis=1) / 2**factors.size, 0.0)
    half = np.array([total * choice.half * _tolerance(functions, s, choice) for s, choice in chosen])
    labels = [_label(s, choice, factors, functions) for s, choice in chosen]
    values = np.vstack([np.ones((1, len(members))), functions.values[:, members]])
    rows = CellRows.from_cell_functions(c, function, values, starts)
    kept = independent(rows, target, np.array([choice.exact for _, choice in chosen]), len(intercept))
    multipliers = np.zeros(len(chosen))
    multipliers[: len(absorbing)] = absorbing
    out = np.setdiff1d(np.arange(len(chosen)), kept)
    return WeightSet(
        effects=own,
        cells=cells,
        members=members,
        rows=rows if not len(out) else rows.take(kept),
        target=target[kept],
        half=half[kept],
        labels=tuple(labels[k] for k in kept),
        dropped=tuple(labels[k] for k in out),
        base=1.0 if is_total_fixed else 0.0,
        absorbing=multipliers[kept],
        start=start,
    )


def _refuse_too_many_rows(
    effects: Mapping[Effect, Floats], model: OutcomeModel, factors: Factors, functions: Functions, cells: int
) -> None:
    """Raise `DataError` with the predicted size where it is out of reach, before anything is built."""
    sides = 2 * len(effects)
    predicted = min(sides * len(model.factor_terms), cells)
    for s, name in enumerate(functions.names):
        interactions = len(model.function_terms[name]) - 1
        exact = (functions.tolerance[s] == 0) + interactions * (functions.interaction_tolerance[s] == 0)
        predicted += min(sides * exact, cells) + sides * (1 + interactions - exact)
    advice = "Ask for fewer effects, lower model_order, take outcome_model='additive', or balance fewer functions."
    if predicted > MOST_ROWS:
        raise DataError(
            f"{len(effects)} effects of {factors.size} factors over {cells:,} cells, with {len(functions.names)} "
            f"functions of the covariates, make up to {predicted:,} constraints; at most {MOST_ROWS:,} are taken. "
            + advice
        )
    saturated = len(model.factor_terms) == 2**factors.size
    if not saturated and sides * len(model.factor_terms) * cells > MOST_CANDIDATES:
        raise DataError(
            f"{len(effects)} effects under an outcome model with {len(model.factor_terms):,} terms of the factors make "
            f"{sides * len(model.factor_terms):,} constraints over {cells:,} cells before reduction. " + advice
        )


def _intercept_rows(
    effects: Mapping[Effect, Floats], model: OutcomeModel, factors: Factors, cells: Ints, tolerance: float
) -> tuple[list[_Choice], Floats, bool]:
    """Return the rows of h_0 = 1, multipliers that combine them to a positive row, and whether they fix sum u.

    Where the factors' terms span all functions of the cell, these rows say that the weights of each cell that takes
    part sum to N / 2^(K-1), and that is how they are written.
    """
    if tolerance == 0 and is_saturated(model.factor_terms, factors, cells):
        return _cell_rows(factors, cells), np.ones(len(cells)), True
    both = np.abs(np.array(list(effects.values()))).sum(axis=0)
    total = _Choice(both / both.max(), ("(all)", "", ()), 0.0, True)
    is_exact = {term: tolerance == 0 or not term for term in model.factor_terms}
    rows = choose_cell_functions(effects, model.factor_terms, factors, cells, is_exact, [total])
    if sum(row.exact for row in rows) == len(cells):
        return _cell_rows(factors, cells), np.ones(len(cells)), True
    span = Span(len(cells))
    for row in rows:
        if row.exact:
            span.add(row.c)
    return rows, np.append(1.0, np.zeros(len(rows) - 1)), span.holds(np.ones(len(cells)))


def _cell_rows(factors: Factors, cells: Ints) -> list[_Choice]:
    """Return rows that fix the sum of weights of each cell."""
    unit = np.eye(len(cells))
    return [_Choice(unit[k], ("(cell)", "", factors.cell_label(int(cell))), 0.0, True) for k, cell in enumerate(cells)]


def _tolerance(functions: Functions, s: int, choice: _Choice) -> float:
    if choice.exact:
        return 0.0
    if s == 0:
        return functions.factor_tolerance
    return float((functions.interaction_tolerance if choice.label[2] else functions.tolerance)[s - 1])


def _label(s: int, choice: _Choice, factors: Factors, functions: Functions) -> Label:
    effect, side, term = choice.label
    if isinstance(term, str):
        return Label(effect, side, term, "factors", 0)
    if s == 0:
        return Label(effect, side, factors.label(term) if term else "(sum of weights)", "factors", 0)
    name = functions.names[s - 1]
    if not term:
        return Label(effect, side, name, "covariates", s)
    return Label(effect, side, f"{factors.label(term)}:{name}", "interactions", s)


def independent(rows: CellRows, target: Floats, exact: Bools, known: int) -> Ints:
    """Return the rows to keep: all with a tolerance, and a linearly independent subset of the exact ones.

    The first `known` exact rows are independent by construction. Dependence is found by elimination of the Gram matrix
    and confirmed by the residual; a dependent row whose target is not that of the combination stays, and makes the
    problem infeasible, as it is.
    """
    order = np.flatnonzero(exact)
    known = int(exact[:known].sum())
    if len(order) <= known:
        return np.arange(rows.shape[0])
    gram = rows.gram()[np.ix_(order, order)]
    size = np.sqrt(np.maximum(gram.diagonal(), 1e-300))
    gram /= np.outer(size, size)
    head = gram[:known, :known]
    left = gram[known:, known:] - gram[known:, :known] @ np.linalg.solve(head, gram[:known, known:])
    kept, doubtful = list(range(known)), []
    for k in range(len(left)):
        if left[k, k] <= 1e-7:
            doubtful.append(known + k)
            continue
        kept.append(known + k)
        column = left[k] / np.sqrt(left[k, k])
        left -= np.outer(column, column)
    if not doubtful:
        return np.arange(rows.shape[0])
    coefficients = np.linalg.solve(gram[np.ix_(kept, kept)], gram[np.ix_(kept, doubtful)])
    scaled = target[order] / size
    root = np.sqrt(rows.shape[1])
    out = []
    for j, k in enumerate(doubtful):
        combination = np.zeros(rows.shape[0])
        combination[order[kept]] = coefficients[:, j] / size[kept]
        combination[order[k]] = -1.0 / size[k]
        residual = float(np.linalg.norm(combination @ rows))
        difference = abs(float(coefficients[:, j] @ scaled[kept]) - float(scaled[k]))
        if residual <= 1e-9 * max(1.0, float(np.abs(coefficients[:, j]).max())) and difference <= 1e-8 * root:
            out.append(order[k])
    return np.setdiff1d(np.arange(rows.shape[0]), np.array(out, dtype=np.int64))


def row_table(sets: Iterable[WeightSet]) -> list[tuple[int, Label]]:
    """Return the number of the set and the label of each row of the program."""
    return [(k, label) for k, weight_set in enumerate(sets) for label in weight_set.labels]


def model_terms(model: OutcomeModel, factors: Factors, weight_set: WeightSet, names: Sequence[str]) -> CellRows:
    """Return the outcome model's terms q(x, z) at the units of a set, one row a term.

    Where the factors' terms span all functions of the cell, indicators of the cells stand for them.
    """
    cells = weight_set.cells
    saturated = is_saturated(model.factor_terms, factors, cells)
    shape = {term: factors.contrast(cells, term) for own in model.function_terms.values() for term in own}
    first = np.eye(len(cells)) if saturated else np.array([factors.contrast(cells, t) for t in model.factor_terms])
    others = [(s + 1, shape[term]) for s, name in enumerate(names) for term in model.function_terms[name]]
    c = np.vstack([first, *(contrast[None, :] for _, contrast in others)])
    function = np.concatenate([np.zeros(len(first), dtype=np.int64), np.array([s for s, _ in others], dtype=np.int64)])
    return CellRows.from_cell_functions(c, function, weight_set.rows.functions, weight_set.rows.starts)
