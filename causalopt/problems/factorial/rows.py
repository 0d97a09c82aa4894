"""The rows of a factorial balance problem: functions of the cell times functions of the covariates.

Which functions of the cell they take is chosen in `causalopt.problems.factorial.cells`; the matrix that they make is
`causalopt.problems.factorial.cell_rows.CellRows`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from causalopt.algorithms.rank import Span, dependent_rows
from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Bools, Floats, Ints
from causalopt.problems.factorial.cell_rows import CellQP, CellRows, group_by_cell
from causalopt.problems.factorial.cells import Choice, Label, choose_cell_functions, is_saturated
from causalopt.problems.factorial.design import Effect, Factors, OutcomeModel

#: Most numbers that the candidates for the rows' cell functions may take.
MOST_CANDIDATES = 200_000_000

#: Most rows of one set of weights: their inner products are held as a matrix.
MOST_ROWS = 10_000


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
    chosen = [(0, choice) for choice in intercept] + _function_rows(own, model, factors, cells, functions)
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
    advice = (
        f"Ask for fewer effects, lower {argument('model_order')}, take {argument('outcome_model', 'additive')}, or "
        "balance fewer functions."
    )
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
) -> tuple[list[Choice], Floats, bool]:
    """Return the rows of h_0 = 1, multipliers that combine them to a positive row, and whether they fix sum u.

    Where the factors' terms span all functions of the cell, these rows say that the weights of each cell that takes
    part sum to N / 2^(K-1), and that is how they are written.
    """
    if tolerance == 0 and is_saturated(model.factor_terms, factors, cells):
        return _cell_rows(factors, cells), np.ones(len(cells)), True
    both = np.abs(np.array(list(effects.values()))).sum(axis=0)
    total = Choice(both / both.max(), ("(all)", "", ()), 0.0, True)
    is_exact = {term: tolerance == 0 or not term for term in model.factor_terms}
    rows = choose_cell_functions(effects, model.factor_terms, factors, cells, is_exact, [total])
    if sum(row.exact for row in rows) == len(cells):
        return _cell_rows(factors, cells), np.ones(len(cells)), True
    span = Span(len(cells))
    for row in rows:
        if row.exact:
            span.add(row.c)
    return rows, np.append(1.0, np.zeros(len(rows) - 1)), span.holds(np.ones(len(cells)))


def _function_rows(
    effects: Mapping[Effect, Floats], model: OutcomeModel, factors: Factors, cells: Ints, functions: Functions
) -> list[tuple[int, Choice]]:
    """Return the rows of each function of the covariates with its number, from 1; they are chosen once a kind."""
    chosen: list[tuple[int, Choice]] = []
    known: dict[Any, list[Choice]] = {}
    for s, name in enumerate(functions.names):
        terms = model.function_terms[name]
        exact = (functions.tolerance[s] == 0, functions.interaction_tolerance[s] == 0)
        if (terms, exact) not in known:
            is_exact = {term: bool(exact[1] if term else exact[0]) for term in terms}
            known[terms, exact] = choose_cell_functions(effects, terms, factors, cells, is_exact)
        chosen += [(s + 1, choice) for choice in known[terms, exact]]
    return chosen


def _cell_rows(factors: Factors, cells: Ints) -> list[Choice]:
    """Return rows that fix the sum of weights of each cell."""
    unit = np.eye(len(cells))
    return [Choice(unit[k], ("(cell)", "", factors.cell_label(int(cell))), 0.0, True) for k, cell in enumerate(cells)]


def _tolerance(functions: Functions, s: int, choice: Choice) -> float:
    if choice.exact:
        return 0.0
    if s == 0:
        return functions.factor_tolerance
    return float((functions.interaction_tolerance if choice.label[2] else functions.tolerance)[s - 1])


def _label(s: int, choice: Choice, factors: Factors, functions: Functions) -> Label:
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

    The first `known` exact rows are independent by construction. A row that depends on others by the inner products,
    which its residual confirms, but whose target is not that of the combination stays, and makes the problem
    infeasible, as it is.
    """
    order = np.flatnonzero(exact)
    known = int(exact[:known].sum())
    if len(order) <= known:
        return np.arange(rows.shape[0])
    gram = rows.gram()[np.ix_(order, order)]
    size = np.sqrt(np.maximum(gram.diagonal(), 1e-300))
    root = float(np.sqrt(rows.shape[1]))

    def follows(k: int, kept: Ints, coefficients: Floats) -> bool:
        combination = np.zeros(rows.shape[0])
        combination[order[kept]] = coefficients / size[k]
        combination[order[k]] = -1.0 / size[k]
        residual = float(np.linalg.norm(combination @ rows))
        largest = float(np.abs(coefficients * size[kept]).max(initial=0.0)) / size[k]
        difference = abs(float(combination @ target))
        return residual <= 1e-9 * max(1.0, largest) and difference <= 1e-8 * root

    return np.setdiff1d(np.arange(rows.shape[0]), order[dependent_rows(gram, follows, known=known)])


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
