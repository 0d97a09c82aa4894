"""Why tolerances cannot be met, and the smallest that can: elastic programs in terms of covariates and bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from causalopt.errors import CausaloptError, InfeasibleError
from causalopt.modeling.program import Bools, Floats, Program
from causalopt.problems.balance_rows import RowBlock, dense_rows, group_block
from causalopt.solving.elastic import Relaxation, least_relaxation, with_margin
from causalopt.solving.words import rounded_down, rounded_up

if TYPE_CHECKING:
    from causalopt.problems.balance import BalanceProblem

#: Entries of the covariate matrix up to which the message names tolerances; above, only the explanation does.
PROMPT_ENTRIES = 300_000

#: Entries up to which the message also names bounds on the weights.
PROMPT_BOUNDS = 50_000

#: Entries above which the explanation has what works jointly alone: one linear program instead of one a covariate.
MOST_ENTRIES = 500_000

#: What the columns of the explanation say.
LEGEND = {
    "tolerance": "as asked for",
    "smallest alone": "the smallest that works where it alone is loosened and all others stay; inf: no value of it "
    "does, since others stand in the way too; empty: not looked for",
    "smallest jointly": "one set of tolerances that works together, of the least total increase; empty: none does, "
    "since the bounds on the weights stand in the way",
}

#: Columns whose numbers would not do if they were any smaller.
LEAST = ["smallest alone", "smallest jointly"]

#: Extra tolerance that counts as none.
NONE = 1e-9

#: A tolerance below which the margin of the smallest that works is that of this one.
SMALL = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Blocks that share weights (all of them where tolerances are between groups), and who is to solve for them."""

    problem: BalanceProblem
    blocks: tuple[RowBlock, ...]
    solver: str

    @property
    def tolerance(self) -> Floats:
        """The tolerances asked for, block by block."""
        return np.concatenate([block.tolerance for block in self.blocks])

    def loosened(self, elastic: Bools) -> tuple[RowBlock, ...]:
        """Return the blocks with the rows that matter where some tolerances are elastic.

        An exact row that follows from the other exact ones is left out of the model; where these may give way, it is
        a condition of its own.
        """
        p, groups, blocks = len(self.problem.names), {g.label: g for g in self.problem.groups}, []
        for k, block in enumerate(self.blocks):
            own = elastic[k * p : (k + 1) * p] & (block.tolerance == 0)
            if block.label not in groups or not own.any():  # differences between two groups are kept as they are
                blocks.append(block)
                continue
            loose = group_block(groups[block.label], np.where(own, 1.0, block.tolerance))
            half = np.append(np.where(own, 0.0, block.tolerance) * block.factor, 0.0)[loose.kept]
            centre = 0.5 * (loose.lower + loose.upper)
            blocks.append(
                dataclasses.replace(loose, lower=centre - half, upper=centre + half, tolerance=block.tolerance)
            )
        return tuple(blocks)

    def extra(self, elastic: Bools) -> Relaxation | None:
        """Return the least total extra tolerance, in the covariates' units, over those that may be larger."""
        p = len(self.problem.names)
        blocks = self.loosened(elastic)
        factor = np.concatenate([np.append(b.factor, 0.0)[b.kept] for b in blocks])  # the sum of weights stays exact
        which = np.concatenate([np.where(b.kept < p, b.kept, 0) + k * p for k, b in enumerate(blocks)])
        factor = np.where(elastic[which], factor, 0.0)
        rows = np.flatnonzero(factor)
        give = sp.csr_matrix((factor[rows], (rows, which[rows])), shape=(len(which), len(elastic)))
        upper = np.where(elastic, np.inf, 0.0)
        return least_relaxation(self.program(blocks), give, upper=upper, solver=self.solver)

    def program(self, blocks: Sequence[RowBlock]) -> Program:
        """Return the constraints on the weights, without a cost."""
        n = self.problem.n_weights
        lower, upper = np.concatenate([b.lower for b in blocks]), np.concatenate([b.upper for b in blocks])
        return Program.from_arrays(
            np.zeros(n), dense_rows(blocks, n), lower, upper, self.problem.lower, self.problem.upper
        )

    def bound(self, side: str) -> float:
        """Return the bound on the weights that would do at the tolerances asked for; infinite where none does."""
        problem, n = self.problem, self.problem.n_weights
        program = self.program(self.blocks)
        members = np.unique(np.concatenate([np.arange(b.start, b.start + b.data.shape[1]) for b in self.blocks]))
        identity = sp.csr_matrix((np.ones(len(members)), (np.arange(len(members)), members)), shape=(len(members), n))
        at = problem.lower if side == "lower" else problem.upper
        open_side = np.full(len(members), np.inf)
        low, high = (
            (np.full(len(members), at), open_side) if side == "lower" else (-open_side, np.full(len(members), at))
        )
        wide = program.replace(
            A=sp.vstack([program.A, identity], format="csr"),
            row_lower=np.concatenate([program.row_lower, low]),
            row_upper=np.concatenate([program.row_upper, high]),
            **{side: np.full(n, -np.inf if side == "lower" else np.inf)},
        )
        give = sp.csr_matrix(np.concatenate([np.zeros(program.n_rows), np.ones(len(members))])[:, None])
        found = least_relaxation(wide, give, solver=self.solver)
        if found is None:
            return np.inf if side == "upper" else -np.inf
        return with_margin(at + found.total, 1.0) if side == "upper" else -with_margin(found.total - at, 1.0)


def parts(problem: BalanceProblem, solver: str = "auto") -> list[Part]:
    """Return the parts of a problem whose weights are found apart."""
    if problem.between is None:
        return [Part(problem, (block,), solver) for block in problem.blocks]
    return [Part(problem, problem.blocks, solver)]


def explain_infeasible(problem: BalanceProblem, solver: str = "auto") -> InfeasibleError:
    """Return the error for tolerances that cannot be met, with a table of those that can.

    Its `explanation` has, by group and covariate: `tolerance` (asked for), `smallest alone` (the smallest that works
    with all others as asked; infinite where no value does), and `smallest jointly` (a set that works together, of
    the least total increase). Its `attrs["bounds on weights"]` has the bounds on the weights that would do in place of
    looser tolerances, "upper" and "lower", each alone. All have a margin of a millionth, so that they work when used.
    `attrs["legend"]` says what the columns are, `attrs["least"]` which of them are to be rounded up where fewer digits
    are shown.

    The message takes a linear program about as large as the problem (up to 300,000 numbers; beyond, it leaves that to
    the explanation) and, up to 50,000 numbers, one for each bound on the weights. The explanation takes
    one for each covariate and bound, when it is looked at; on more than half a million numbers the joint one alone.
    """
    found = parts(problem, solver)
    table = partial(explanation, found)
    words = _contradictions(problem)
    entries = sum(block.data.size for block in problem.blocks)
    if entries > PROMPT_ENTRIES:
        return InfeasibleError(
            f"No weights meet these tolerances.{words} See the error's explanation, which is computed when you look at "
            "it, for the smallest that work.",
            table,
        )
    try:
        jointly = pd.concat([_jointly(part) for part in found])
        words += _bound_words(found) if entries <= PROMPT_BOUNDS else ""
    except CausaloptError as error:
        return InfeasibleError(f"The tolerances cannot be met, and no solver could explain why: {error}", table)
    short = jointly[jointly["smallest jointly"] > jointly["tolerance"] * (1 + 1e-9) + NONE]
    if not len(short):
        if jointly["smallest jointly"].isna().any():
            return InfeasibleError(
                f"No tolerance would do: the bounds on the weights, or covariates that are to be balanced exactly, "
                f"contradict each other.{words} See the error's explanation.",
                table,
            )
        return InfeasibleError(
            "The tolerances cannot be met, by a margin too small to explain: loosen them slightly.", table
        )
    listed = "; ".join(
        f"{_shown(key, problem)} {row['tolerance']:.4g} -> {rounded_up(row['smallest jointly'], 4)}"
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
    tables = []
    for part in found:
        table = _jointly(part)
        if (table["smallest jointly"] <= table["tolerance"] + NONE).all():
            continue  # this group has weights
        small = sum(block.data.size for block in part.blocks) <= MOST_ENTRIES
        alone = np.full(len(table), np.nan)
        if small:
            tolerance = part.tolerance
            for k in np.flatnonzero(np.isfinite(tolerance)):
                own = part.extra(np.arange(len(tolerance)) == k)
                alone[k] = np.inf if own is None else _wider(tolerance[k], own.extra[k])
        table.insert(1, "smallest alone", alone)
        tables.append(table)
    whole = pd.concat(tables) if tables else pd.concat([_jointly(part) for part in found])
    whole = whole.droplevel("group") if len(found[0].problem.blocks) == 1 else whole
    whole.attrs |= {"legend": LEGEND, "least": LEAST}
    if sum(block.data.size for part in found for block in part.blocks) <= MOST_ENTRIES:
        whole.attrs["bounds on weights"] = _bounds(found)
    return whole


def _jointly(part: Part) -> pd.DataFrame:
    tolerance = part.tolerance
    found = part.extra(np.isfinite(tolerance))
    # Without a change that does, nothing works jointly: the bounds on the weights are what stands in the way.
    extra = np.full(len(tolerance), np.nan) if found is None else found.extra
    jointly = [_wider(*pair) for pair in zip(tolerance, extra, strict=True)]
    labels = [(block.label, name) for block in part.blocks for name in part.problem.names]
    index = pd.MultiIndex.from_tuples(labels, names=["group", "covariate"])
    return pd.DataFrame({"tolerance": tolerance, "smallest jointly": jointly}, index=index)


def _wider(tolerance: float, extra: float) -> float:
    """Return the tolerance that works, with a margin where it is wider than asked for."""
    return float(with_margin(tolerance + extra, SMALL) if extra > NONE else tolerance + extra)


def _bounds(found: Sequence[Part]) -> dict[str, float]:
    """Return the bounds on the weights that would do, each with the other as it is and the tolerances as asked for."""
    problem = found[0].problem
    needed = {}
    if np.isfinite(problem.upper):
        needed["upper"] = max(part.bound("upper") for part in found)
    if np.isfinite(problem.lower):
        needed["lower"] = min(part.bound("lower") for part in found)
    return needed


def _bound_words(found: Sequence[Part]) -> str:
    problem = found[0].problem
    needed = _bounds(found)
    ways = []
    if needed.get("upper", problem.upper) < np.inf:
        ways.append(f"upper={rounded_up(needed['upper'], 4)} in place of {problem.upper:g}")
    if -np.inf < needed.get("lower", -np.inf):
        ways.append(f"lower={rounded_down(needed['lower'], 4)} in place of {problem.lower:g}")
        ways[-1] += " (negative weights extrapolate)" if needed["lower"] < 0 else ""
    if not ways:
        return " With the tolerances as they are, no other bound on the weights would do alone."
    return f" With the tolerances as they are, another bound on the weights would do: {', or '.join(ways)}."


def collinear(problem: BalanceProblem) -> list[tuple[str, ...]]:
    """Return sets of covariate functions whose exact balance contradicts itself, whatever the weights.

    Of functions that a combination makes constant over a group (the levels of a category, say), the weighted means
    have one value of it; targets that have another cannot be met.
    """
    found: list[tuple[str, ...]] = []
    for group, block in zip(problem.groups, problem.blocks, strict=False):
        exact = np.flatnonzero(block.tolerance == 0)
        if len(exact) < 1:
            continue
        rows = group.rows[exact]
        gram = rows @ rows.T / group.size
        chosen: list[int] = []
        ones = rows.mean(axis=1)
        for p in range(len(exact)):
            # p = combination of the chosen rows plus a constant
            use = np.array(chosen, dtype=int)
            inner = np.block([[gram[np.ix_(use, use)], ones[use][:, None]], [ones[use][None, :], np.ones((1, 1))]])
            right = np.append(gram[use, p], ones[p])
            coefficients = np.linalg.lstsq(inner, right, rcond=None)[0]
            left = gram[p, p] - coefficients @ right
            if left > 1e-10 * max(gram[p, p], 1e-300):
                chosen.append(p)
            elif abs(coefficients[-1]) > 1e-7:
                used = [q for q, c in zip(chosen, coefficients[:-1], strict=True) if abs(c) > 1e-7]
                names = tuple(problem.names[exact[q]] for q in [*used, p])
                if names not in found:
                    found.append(names)
    return found


def _contradictions(problem: BalanceProblem) -> str:
    found = collinear(problem)
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


def _shown(key: tuple[object, str], problem: BalanceProblem) -> str:
    if len(problem.blocks) == 1:
        return key[1]
    group = " - ".join(map(str, key[0])) if isinstance(key[0], tuple) else key[0]
    return f"{key[1]} (group {group})"
