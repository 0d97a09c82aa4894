"""Factors, effects and outcome models of a factorial study, and which effects the observed cells identify.

Notation of [FACT] = Yu and Ding, Balancing weights for causal inference in observational factorial studies
(arXiv 2310.04660): a cell is one combination z in {-1,+1}^K, an effect is a nonempty set of factors, and its contrast
is g_z = product of z_k over the set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from scipy.linalg import lstsq

from causalopt.algorithms.rank import Span
from causalopt.errors import DataError
from causalopt.messages import argument, in_python
from causalopt.modeling.program import Floats, Ints
from causalopt.problems.factorial.factors import factors_frame, read_factor
from causalopt.solving.options import unknown_name

Effect = tuple[int, ...]
"""A set of factors, by ascending position; the empty one stands for the intercept."""

#: Most factors of one study.
MOST_FACTORS = 12

#: Number of factors up to which the largest model that identifies an effect is searched term by term.
MOST_SEARCHED = 8

#: Largest relative residual of an equation that counts as solved, in the rank decisions on contrasts.
RANK_TOLERANCE = 1e-8


@dataclasses.dataclass(frozen=True, eq=False)
class Factors:
    """Two-level factors and their cells.

    Attributes
    ----------
    names : tuple of str
    levels : tuple of (low, high) pairs
        The values that stand for -1 and +1.
    codes : (n,) int array
        Each row's cell: a binary number, the first factor its leading digit, high levels its ones.
    observed : (C,) int array
        The cells that hold rows, ascending.
    """

    names: tuple[str, ...]
    levels: tuple[tuple[Any, Any], ...]
    codes: Ints
    observed: Ints

    @property
    def size(self) -> int:
        """Number of factors, K."""
        return len(self.names)

    @property
    def missing(self) -> Ints:
        """The cells that hold no row."""
        return np.setdiff1d(np.arange(2**self.size), self.observed)

    def signs(self, cells: Ints) -> Floats:
        """Return z of each cell: a (len(cells), K) array of -1 and +1."""
        bits = (cells[:, None] >> np.arange(self.size - 1, -1, -1)) & 1
        return np.asarray(2.0 * bits - 1.0, dtype=np.float64)

    def contrast(self, cells: Ints, effect: Effect) -> Floats:
        """Return g_z of an effect in each of the cells; one where the effect is empty."""
        product = np.ones(len(cells))
        for k in effect:
            product *= 2.0 * ((cells >> (self.size - 1 - k)) & 1) - 1.0
        return product

    def label(self, effect: Effect) -> str:
        """Return the name of an effect, such as "a" or "a:b"."""
        return ":".join(self.names[k] for k in effect) if effect else "1"

    def cell_label(self, cell: int) -> str:
        """Return a cell in words, such as "a=1, b=0"."""
        bits = [(cell >> (self.size - 1 - k)) & 1 for k in range(self.size)]
        return ", ".join(f"{name}={self.levels[k][bits[k]]}" for k, name in enumerate(self.names))

    def cell_index(self, cells: Ints) -> pd.MultiIndex:
        """Return cells as an index with one level a factor, in the factors' own values."""
        high = self.signs(cells) > 0
        columns = [[self.levels[k][int(b)] for b in high[:, k]] for k in range(self.size)]
        return pd.MultiIndex.from_arrays(columns, names=self.names)


def read_factors(factors: Any, high: Mapping[str, Any] | None = None) -> tuple[Factors, pd.Index]:
    """Read two-level factors from a DataFrame or (n, K) array: 0/1, -1/+1, bool, or categories with two levels.

    Raises
    ------
    DataError
        For a factor with one level or more than two, missing values, text, duplicated names, two factors that always
        go together, and more than `MOST_FACTORS` of them.
    """
    frame = factors_frame(factors)
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise DataError(f"The factors name column {str(repeated[0])!r} more than once. Name each factor once.")
    names = [str(name) for name in frame.columns]
    if not names:
        raise DataError("The factors have no columns: name at least one factor.")
    if len(names) > MOST_FACTORS:
        raise DataError(
            f"{len(names)} factors make {2 ** len(names):,} treatment cells; at most {MOST_FACTORS} factors "
            f"({2**MOST_FACTORS:,} cells) are taken. Leave out the factors that matter least, or treat them as "
            "covariates."
        )
    high = {} if high is None else {str(k): v for k, v in high.items()}
    for name in high:
        if name not in names:
            raise DataError(unknown_name("factor in high", name, names))
    codes = np.zeros(len(frame), dtype=np.int64)
    levels: list[tuple[Any, Any]] = []
    columns: list[Any] = []
    for name, label in zip(names, frame.columns, strict=True):
        pair, is_high = read_factor(frame[label], name, frame.index, high)
        for other, column in zip(names, columns, strict=False):
            if (column == is_high).all() or (column != is_high).all():
                raise DataError(
                    f"Factors {other!r} and {name!r} always go together: each value of one comes with a single value "
                    "of the other, so their effects cannot be told apart. Leave one of them out."
                )
        codes = 2 * codes + is_high
        levels.append(pair)
        columns.append(is_high)
    return Factors(tuple(names), tuple(levels), codes, np.unique(codes)), frame.index


# ---- effects ----


def read_effects(effects: Any, factors: Factors) -> list[Effect]:
    """Read "main", a highest order, or a list of names such as "a" and "a:b".

    Raises
    ------
    DataError
        For unknown factors, an effect named twice, an order that is not between 1 and K, and more effects than the
        observed cells can tell apart.
    """
    k = factors.size
    if isinstance(effects, str) and effects == "main":
        effects = 1
    if isinstance(effects, bool) or (isinstance(effects, str) and effects not in factors.names and ":" not in effects):
        raise DataError(
            f"{argument('effects', effects)}: give 'main', the highest order of interaction as a whole number, or a "
            f"list such as [{factors.names[0]!r}{f', {factors.label((0, 1))!r}' if k > 1 else ''}]."
        )
    if isinstance(effects, int | np.integer):
        if not 1 <= effects <= k:
            raise DataError(
                f"{argument('effects', effects)}: with {k} factor(s) the highest order lies between 1 and {k}."
            )
        count = sum(comb(k, order) for order in range(1, int(effects) + 1))
        _refuse_more_than_cells(count, factors)
        return up_to_order(k, int(effects))[1:]
    listed = [effects] if isinstance(effects, str) else list(effects)
    if not listed:
        raise DataError(
            f"{argument('effects')} is an empty list: name at least one effect, or say {argument('effects', 'main')}."
        )
    chosen: list[Effect] = []
    for item in listed:
        effect = read_effect(item, factors, "effects")
        if not effect:
            raise DataError(f"{argument('effects')} names the empty effect; each effect needs at least one factor.")
        if effect in chosen:
            raise DataError(f"{argument('effects')} names {factors.label(effect)!r} twice; name each effect once.")
        chosen.append(effect)
    _refuse_more_than_cells(len(chosen), factors)
    return chosen


def _refuse_more_than_cells(count: int, factors: Factors) -> None:
    cells = len(factors.observed)
    if count > cells - 1:
        raise DataError(
            f"{count} effects are asked for, but {cells} of the {2**factors.size} treatment cells hold rows, which "
            f"tell at most {cells - 1} effects apart under any outcome model. Ask for fewer effects "
            f"({argument('effects', 'main')} has {factors.size}), or leave out factors."
        )


def read_effect(item: Any, factors: Factors, where: str) -> Effect:
    """Read one effect, "a:b" or ("a", "b"), as a set of factors."""
    if isinstance(item, str) and item in factors.names:
        parts: Sequence[Any] = [item]
    else:
        parts = item.split(":") if isinstance(item, str) else list(item)
    positions = []
    for part in parts:
        if str(part) not in factors.names:
            raise DataError(unknown_name(f"factor in {where}", str(part), factors.names))
        positions.append(factors.names.index(str(part)))
    if len(set(positions)) < len(positions):
        raise DataError(
            f"{argument(where) if where.isidentifier() else where}: the effect {':'.join(map(str, parts))!r} names a "
            "factor twice."
        )
    return tuple(sorted(positions))


def up_to_order(k: int, order: int) -> list[Effect]:
    """Return all sets of at most `order` of k factors, the empty one first."""
    return [effect for m in range(order + 1) for effect in combinations(range(k), m)]


# ---- outcome models ----


@dataclasses.dataclass(frozen=True)
class OutcomeModel:
    """What the expected outcome may depend on: sums of g_J(z) h_s(x), with any coefficients.

    Attributes
    ----------
    name : str
    factor_terms : tuple of effects
        The J of the intercept h_0 = 1, the empty one among them.
    function_terms : mapping from function name to tuple of effects
        The J of each function of the covariates, the empty one first. Each J is also among `factor_terms`, so that
        the model does not depend on where a covariate has its zero.
    """

    name: str
    factor_terms: tuple[Effect, ...]
    function_terms: Mapping[str, tuple[Effect, ...]]


def read_model(model: Any, order: int | None, factors: Factors, functions: Sequence[str]) -> OutcomeModel:
    """Read "additive", "heterogeneous" or a list of terms.

    Raises
    ------
    DataError
        For a model or term that names an unknown factor or function.
    """
    k = factors.size
    if order is not None and (
        isinstance(order, bool) or not isinstance(order, int | np.integer) or not 1 <= order <= k
    ):
        raise DataError(
            f"{argument('model_order', order)}: with {k} factor(s) it is {in_python('None or ')}a whole number between "
            f"1 and {k}."
        )
    if isinstance(model, str) and model in ("additive", "heterogeneous"):
        terms = tuple(up_to_order(k, k if order is None else int(order)))
        own: tuple[Effect, ...] = ((),) if model == "additive" else ((), *((j,) for j in range(k)))
        return OutcomeModel(model, terms, dict.fromkeys(functions, own))
    if isinstance(model, str):
        raise DataError(
            unknown_name("outcome model", model, ("additive", "heterogeneous")) + " Or give a list of terms."
        )
    if order is not None:
        raise DataError(
            f"{argument('model_order')} goes with {argument('outcome_model')} 'additive' or 'heterogeneous'; a list of "
            "terms says it all."
        )
    factor_terms: dict[Effect, None] = {(): None}
    function_terms: dict[str, dict[Effect, None]] = {name: {(): None} for name in functions}
    for item in model:
        effect, function = _read_term(item, factors, functions)
        factor_terms[effect] = None
        if function is not None:
            function_terms[function][effect] = None
    ordered = sorted(factor_terms, key=lambda effect: (len(effect), effect))
    return OutcomeModel(
        "list of terms",
        tuple(ordered),
        {name: tuple(sorted(own, key=lambda effect: (len(effect), effect))) for name, own in function_terms.items()},
    )


def _read_term(item: Any, factors: Factors, functions: Sequence[str]) -> tuple[Effect, str | None]:
    """Read "a", "a:b", "a:age" or a tuple of such names: factors, and at most one function of the covariates."""
    if isinstance(item, str) and item in functions:
        return (), item
    parts = [str(part) for part in (item.split(":") if isinstance(item, str) else item)]
    function = None
    own = []
    for part in parts:
        if part in factors.names:
            own.append(part)
        elif part in functions:
            if function is not None:
                raise DataError(
                    f"The outcome model's term {':'.join(parts)!r} names two functions of the covariates, {function!r} "
                    f"and {part!r}; add their product to the basis, and name that."
                )
            function = part
        elif part != "1":
            raise DataError(
                unknown_name("factor or covariate in the outcome model", part, [*factors.names, *functions])
            )
    return read_effect(own, factors, "the outcome model"), function


# ---- which effects are identified ----


def identify(effects: Sequence[Effect], terms: Sequence[Effect], factors: Factors) -> dict[Effect, Floats | None]:
    """Return, by effect, g~ on the observed cells with F_obs' g~ = F' g, or None where it is not identified.

    F = [g_J(z)] holds the outcome model's contrasts in all cells and F_obs its observed rows ([FACT], missing treatment
    combinations). With all cells observed, g~ = g. Of several solutions the one of least norm is returned.

    Examples
    --------
    >>> import numpy as np
    >>> factors = Factors(("a", "b"), ((0, 1), (0, 1)), np.arange(3), np.arange(3))
    >>> identify([(0,)], [(), (0,), (1,)], factors)[0,]  # cell (1, 1) is missing; effects add up
    array([-2.,  0.,  2.])
    >>> identify([(0,)], [(), (0,), (1,), (0, 1)], factors)[0,] is None
    True
    """
    if len(factors.observed) == 2**factors.size:
        return {effect: factors.contrast(factors.observed, effect) for effect in effects}
    if len(terms) == 2**factors.size:  # a coefficient for each cell, and cells without rows
        return dict.fromkeys(effects)
    # F' g_kappa is 2^K times the unit vector of kappa, since contrasts are orthogonal over all cells.
    wanted = 2.0**factors.size * np.array([[float(term == effect) for effect in effects] for term in terms])
    matrix = contrasts(terms, factors)
    solutions = lstsq(matrix, wanted, lapack_driver="gelsy", cond=1e-10)[0]
    off = np.abs(matrix @ solutions - wanted).max(axis=0)
    answers: dict[Effect, Floats | None] = {}
    for k, effect in enumerate(effects):
        if off[k] > RANK_TOLERANCE * 2**factors.size or not wanted[:, k].any():
            answers[effect] = None
            continue
        weight = solutions[:, k]
        whole = np.round(weight)
        answers[effect] = np.where(np.abs(weight - whole) < RANK_TOLERANCE, whole, weight)
    return answers


def contrasts(terms: Iterable[Effect], factors: Factors) -> Floats:
    """Return F_obs': a (number of terms, observed cells) array of contrasts."""
    return np.array([factors.contrast(factors.observed, term) for term in terms])


def largest_orders(effects: Sequence[Effect], factors: Factors, below: int) -> dict[Effect, int]:
    """Return the largest order under `below` whose model, all interactions up to it, identifies each effect.

    Effects that no such model identifies are left out.
    """
    found: dict[Effect, int] = {}
    for order in range(below - 1, 0, -1):
        open_ones = [effect for effect in effects if effect not in found and len(effect) <= order]
        if open_ones:
            answers = identify(open_ones, up_to_order(factors.size, order), factors)
            found |= {effect: order for effect, weight in answers.items() if weight is not None}
    return found


def terms_to_drop(effect: Effect, terms: Sequence[Effect], factors: Factors) -> list[Effect] | None:
    """Return terms without which the effect is identified, chosen from the highest order down; None where none are.

    An effect is identified exactly where its contrast, on the observed cells, is no combination of those of the other
    terms. The others are taken in ascending order, and each is dropped that would make it one.
    """
    if factors.size > MOST_SEARCHED:
        return None
    own = factors.contrast(factors.observed, effect)
    span, left = Span(len(own)), own
    dropped = []
    for term in sorted(terms, key=lambda t: (len(t), t)):
        if term == effect:
            continue
        column = span.residual(factors.contrast(factors.observed, term))
        length = float(np.linalg.norm(column))
        if length <= RANK_TOLERANCE * np.sqrt(len(own)):
            continue
        column /= length
        trial = left - (column @ left) * column
        if np.linalg.norm(trial) <= 1e-6 * np.sqrt(len(own)):
            dropped.append(term)
            continue
        span.add(column)
        left = trial
    if () in dropped:
        return None
    return dropped


def tell_terms(terms: Sequence[Effect], factors: Factors, most: int = 4) -> str:
    """Return terms in words, the first few of them."""
    shown = ", ".join(factors.label(term) for term in terms[:most])
    return shown + (f" and {len(terms) - most} more" if len(terms) > most else "")
