"""Which functions of the treatment cell the rows of a factorial balance problem take.

Every constraint of [FACT] has the form  sum_i u_i c(Z_i) h_s(X_i) = target  with a function c of the treatment cell and
a function h_s of the covariates (h_0 = 1). For fixed s the constraints are linear in c, and so are their targets: they
say the same as those of any basis of the span of the c, and cannot contradict each other. That is how they are
rank-reduced, exactly, before any covariate is looked at.

[FACT] = Yu and Ding, Balancing weights for causal inference in observational factorial studies (arXiv 2310.04660).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from causalopt.algorithms.rank import Span
from causalopt.modeling.program import Floats, Ints
from causalopt.problems.factorial.design import RANK_TOLERANCE, Effect, Factors

SIDES = ("+", "-")

#: Condition number of cell functions up to which rows are left as they are.
WELL_CONDITIONED = 50.0


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
class Choice:
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
    first: Sequence[Choice] = (),
) -> list[Choice]:
    """Choose rows for one function of the covariates: a basis of the exact ones, then the others that say more."""
    span = Span(len(cells))
    chosen = [choice for choice in first if span.add(choice.c)]
    loose: dict[bytes, Choice] = {}
    for name, side, term, c, share in candidates(effects, terms, factors, cells):
        if not is_exact[term]:
            lead = c[np.flatnonzero(c)[0]] if c.any() else 1.0
            choice = Choice(c, (name, side, term), share, exact=False)
            key = np.round(c * np.sign(lead), 9).tobytes()
            if key not in loose or loose[key].half > share:
                loose[key] = choice
        elif span.add(c):
            chosen.append(Choice(c, (name, side, term), 0.0, exact=True))
    chosen = _well_conditioned(chosen)
    return chosen + [choice for choice in loose.values() if not span.holds(choice.c)]


def _well_conditioned(chosen: list[Choice]) -> list[Choice]:
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
