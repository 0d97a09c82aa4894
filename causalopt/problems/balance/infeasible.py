"""Why tolerances cannot be met, and the smallest that can, in terms of covariates and bounds on the weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from causalopt.algorithms.rank import dependent_rows
from causalopt.errors import CausaloptError, InfeasibleError
from causalopt.messages import argument, in_python
from causalopt.modeling.program import Bools, Floats, Ints
from causalopt.problems.balance.data import BalanceStudy
from causalopt.problems.balance.elastic import Elastic, Part, parts
from causalopt.solving.elastic import with_margin
from causalopt.solving.words import rounded_down, rounded_up

#: Entries of the covariate matrix up to which the message names what would do; above, only the explanation does.
PROMPT_ENTRIES = 300_000

#: Entries above which the explanation has what works jointly alone: one linear program instead of one a covariate.
MOST_ENTRIES = 2_000_000

#: What the columns of the explanation say.
LEGEND = {
    "tolerance": "as asked for",
    "smallest alone": "the smallest that works where the tolerance of this covariate alone is loosened, in all groups, "
    "and all others stay; inf: no value of it does, since others stand in the way too; empty: not looked for",
    "smallest jointly": "one set of tolerances that works together, of the least total increase",
}

#: Columns whose numbers would not do if they were any smaller.
LEAST = ["smallest alone", "smallest jointly"]

#: A tolerance below which the margin of the smallest that works is that of this one.
SMALL = 0.01


def explain_infeasible(study: BalanceStudy, solver: str = "auto") -> InfeasibleError:
    """Return the error for tolerances that cannot be met, with a table of those that can.

    Its `explanation` has, by group and covariate: `tolerance` (asked for), `smallest alone` (the smallest that works
    with all others as asked; infinite where no value does), and `smallest jointly` (a set that works together, of
    the least total increase). Its `attrs["bounds on weights"]` has the bounds on the weights that would do in place of
    looser tolerances, "upper" and "lower", each alone. All have a margin of a millionth, so that they work when used.
    `attrs["legend"]` says what the columns are, `attrs["least"]` which of them are to be rounded up where fewer digits
    are shown.

    All are answers of one live linear program about as large as the problem, see `causalopt.problems.balance.elastic`.
    The message takes the joint one and the bounds (up to 300,000 numbers; beyond, it leaves that to the explanation).
    The explanation takes one more for each covariate, when it is looked at; on more than two million numbers the joint
    one alone.
    """
    found = parts(study, solver)
    table = partial(explanation, found)
    words = _contradictions(study)
    entries = sum(block.data.size for block in study.blocks)
    if entries > PROMPT_ENTRIES:
        return InfeasibleError(
            f"No weights meet these tolerances.{words} See the error's explanation"
            f"{in_python(', which is computed when you look at it,')} for the smallest that work.",
            table,
        )
    try:
        tables, bounds = zip(*(_answers(part, alone=False) for part in found), strict=True)
    except CausaloptError as error:
        return InfeasibleError(
            f"The tolerances cannot be met, and no solver could explain why: {error.message.marked}", table
        )
    jointly = pd.concat(tables)
    words += _bound_words(study, _together(bounds))
    short = jointly[jointly["smallest jointly"] > jointly["tolerance"]]
    if not len(short):
        return InfeasibleError(
            "The tolerances cannot be met, by a margin too small to explain: loosen them slightly.", table
        )
    listed = "; ".join(
        f"{_shown(key, study)} {row['tolerance']:.4g} -> {rounded_up(row['smallest jointly'], 4)}"
        for key, row in short.head(6).iterrows()
    )
    return InfeasibleError(
        f"No weights meet these tolerances. The least total increase that works: {listed}"
        f"{', ...' if len(short) > 6 else ''}.{words} See the error's explanation for each covariate alone. Leaving "
        "out units without overlap, or a coarser basis, help too.",
        table,
    )


def explanation(found: Sequence[Part]) -> pd.DataFrame:
    """Return the table of `explain_infeasible`."""
    small = sum(part.entries for part in found) <= MOST_ENTRIES
    tables, bounds = zip(*(_answers(part, alone=small, bounds=small) for part in found), strict=True)
    if small and len(tables) > 1:
        _of_all_groups(tables)
    # Groups that have weights as they are need no other tolerances.
    short = [table for table in tables if (table["smallest jointly"] > table["tolerance"]).any()]
    whole = pd.concat(short or tables)
    whole = whole.droplevel("group") if len(found[0].study.blocks) == 1 else whole
    whole.attrs |= {"legend": LEGEND, "least": LEAST}
    if small:
        whole.attrs["bounds on weights"] = _together(bounds)
    return whole


def _answers(part: Part, *, alone: bool, bounds: bool = True) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return, for one part, the table of tolerances and the bounds on the weights that would do."""
    tolerance = part.tolerance
    with Elastic(part) as live:
        extra = live.jointly()
        labels = [(block.label, name) for block in part.blocks for name in part.study.names]
        index = pd.MultiIndex.from_tuples(labels, names=["group", "covariate"])
        table = pd.DataFrame({"tolerance": tolerance, "smallest jointly": _wider(tolerance, extra)}, index=index)
        table.insert(1, "smallest alone", np.full(len(table), np.nan))
        if alone and extra.any():
            asked = np.flatnonzero(np.isfinite(tolerance) & _is_one_row(part))
            own = np.array([live.alone(k) for k in asked.tolist()])
            table.iloc[asked, 1] = _wider(tolerance[asked], own)
        sides = [side for side in ("upper", "lower") if bounds and np.isfinite(getattr(part.study, side))]
        return table, {side: _usable(live.bound(side), side, getattr(part.study, side)) for side in sides}


def _is_one_row(part: Part) -> Bools:
    """Return which tolerances of a part stand for one row: those between groups, or of groups, are often several."""
    own = {group.label for group in part.study.groups}
    of_group = np.array([block.label in own for block in part.blocks])
    alone = np.where(of_group, of_group.sum() == 1, (~of_group).sum() == 1)
    return np.repeat(alone, len(part.study.names))


def _of_all_groups(tables: Sequence[pd.DataFrame]) -> None:
    """Let `smallest alone` be what works in every group: the user has one tolerance for all of them."""
    needed = [table["smallest alone"].fillna(table["tolerance"]).to_numpy() for table in tables]
    most = np.max(needed, axis=0)
    for table in tables:
        table["smallest alone"] = np.where(np.isfinite(table["tolerance"]), most, np.nan)


def _wider(tolerance: Floats, extra: Floats) -> Floats:
    """Return the tolerances that work, with a margin where they are wider than asked for."""
    return np.array([with_margin(t + e, SMALL) if e > 0 else t for t, e in zip(tolerance, extra, strict=True)])


def _usable(bound: float, side: str, asked: float) -> float:
    """Return a bound with a margin to the side that works, unless it is the one asked for."""
    if bound == asked:
        return bound
    return with_margin(bound, 1.0) if side == "upper" else -with_margin(-bound, 1.0)


def _together(bounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the bounds on the weights that do for all parts."""
    most = {"upper": max, "lower": min}
    return {side: most[side](own[side] for own in bounds) for side in bounds[0]}


class _Written(str):
    """A number as it is written."""

    __repr__ = str.__str__


def _bound_words(study: BalanceStudy, needed: dict[str, float]) -> str:
    ways = []
    if needed.get("upper", study.upper) < np.inf:
        ways.append(f"{argument('upper', _Written(rounded_up(needed['upper'], 4)))} in place of {study.upper:g}")
    if -np.inf < needed.get("lower", -np.inf):
        ways.append(f"{argument('lower', _Written(rounded_down(needed['lower'], 4)))} in place of {study.lower:g}")
        ways[-1] += " (negative weights extrapolate)" if needed["lower"] < 0 else ""
    if not ways:
        return " With the tolerances as they are, no other bound on the weights would do alone."
    return f" With the tolerances as they are, another bound on the weights would do: {', or '.join(ways)}."


def collinear(study: BalanceStudy) -> list[tuple[str, ...]]:
    """Return sets of covariate functions whose exact balance contradicts itself, whatever the weights.

    Of functions that a combination makes constant over a group (the levels of a category, say), the weighted means
    have one value of it; targets that have another cannot be met.
    """
    found: list[tuple[str, ...]] = []
    for group, block in zip(study.groups, study.blocks, strict=False):
        exact = np.flatnonzero(block.tolerance == 0)
        rows = np.vstack([np.ones(group.size), group.rows[exact]])

        def follows(p: int, kept: Ints, coefficients: Floats, exact: Ints = exact) -> bool:
            if abs(coefficients[0]) > 1e-7:  # the combination has a constant, which is the first row
                used = [*kept[1:][np.abs(coefficients[1:]) > 1e-7], p]
                names = tuple(study.names[exact[q - 1]] for q in used)
                if names not in found:
                    found.append(names)
            return True

        dependent_rows(rows @ rows.T / group.size, follows, known=1, tolerance=1e-10)
    return found


def _contradictions(study: BalanceStudy) -> str:
    found = collinear(study)
    if not found:
        return ""
    if len(found[0]) == 1:
        return (
            f" {found[0][0]} has one value in a whole group, away from its target: no weights move its mean. Give it a "
            "tolerance, or leave it out."
        )
    return (
        f" Exact balance of {', '.join(found[0][:6])}{', ...' if len(found[0]) > 6 else ''} contradicts itself: a "
        "combination of them is the same for every unit of a group, and their targets ask for another value of it. "
        "Leave one out, or give them tolerances."
    )


def _shown(key: tuple[object, str], study: BalanceStudy) -> str:
    if len(study.blocks) == 1:
        return key[1]
    group = " - ".join(map(str, key[0])) if isinstance(key[0], tuple) else key[0]
    return f"{key[1]} (group {group})"
