"""What other tolerances or bounds would give balancing weights: one live linear program, asked again and again.

Let the rows of a problem be  l <= M u <= h  with  lower <= u <= upper, in standard deviations, and row q as wide as f_q
times its tolerance. The elastic program lets every row with a tolerance give way:

    min  sum_q c_q (s_q + t_q)   s.t.   l <= M u + s - t <= h,   lower <= u <= upper,   s, t >= 0.

It always has a solution (u = 1 is within the bounds and meets the sums of weights), and its optimum is zero where there
are weights. Every question is the same program with other costs or bounds, so that a solver which keeps its basis from
one to the next needs few steps for each.

*Jointly*: with c_q = 1 / f_q the optimum is the least total extra tolerance.

*One tolerance alone*, q: what is the smallest one that works with all others as they are? First c_q = 0, and one for
the others. If the optimum is positive, the others cannot be met whatever the tolerance is, and none works. If it is
zero, the others are held where they are (at zero, up to rounding), and the least s_q + t_q is looked for from there.
It cannot be read off the covariate's own values by sorting: the rows of the others tie the weights together, and each
answer is the optimum of a linear program with as many rows as covariates.

*A bound on the weights*, b, in place of `upper` (or `lower`): let v(b) be the optimum with c = 1. As the optimum of a
linear program in its right-hand side, v is convex and piecewise linear, and it never rises as the bound gives way.
Its slope is the sum of the reduced costs of the columns at that bound. A tangent lies below a convex function, so
that Newton's step from a bound that is too tight, b - v(b) / v'(b), never passes the first bound that works; and it
leaves the piece it stands on for good, of which there are finitely many. It ends at the root. Where the slope
vanishes before v does, no bound works.
"""

from __future__ import annotations

import dataclasses
import warnings
from types import TracebackType

import numpy as np
import scipy.sparse as sp

from causalopt.errors import CausaloptWarning, SolverFailure
from causalopt.modeling.program import Bools, Floats, Program
from causalopt.problems.balance.data import BalanceStudy
from causalopt.problems.balance.rows import RowBlock, dense_rows, group_block
from causalopt.solving.elastic import elastic_backend
from causalopt.solving.result import Result
from causalopt.solving.session import Session

#: What rows give way by, in standard deviations of a mean, that counts as nothing.
NONE = 1e-9

#: What rows give way by at which Newton's search for a bound ends: rounding leaves no less.
ROUNDING = 1e-12

#: A bound of more than this many times the average weight counts as none.
LARGEST_BOUND = 1e9

#: Newton's steps before the search gives up; ten are many.
MOST_STEPS = 200


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Blocks that share weights (all of them where tolerances are between groups), and who is to solve for them."""

    study: BalanceStudy
    blocks: tuple[RowBlock, ...]
    solver: str

    @property
    def tolerance(self) -> Floats:
        """The tolerances asked for, block by block."""
        return np.concatenate([block.tolerance for block in self.blocks])

    @property
    def entries(self) -> int:
        """Number of coefficients."""
        return sum(block.data.size for block in self.blocks)

    def whole_blocks(self) -> tuple[RowBlock, ...]:
        """Return the blocks with all their rows, also exact ones that follow from others: each can give way alone."""
        groups = {group.label: group for group in self.study.groups}
        return tuple(
            group_block(groups[block.label], block.tolerance, dependent=True) if block.label in groups else block
            for block in self.blocks
        )


def parts(study: BalanceStudy, solver: str = "auto") -> list[Part]:
    """Return the parts of a problem whose weights are found apart."""
    if study.between is None:
        return [Part(study, (block,), solver) for block in study.blocks]
    return [Part(study, study.blocks, solver)]


class Elastic:
    """The elastic program of one part, live; see the module.

    Parameters
    ----------
    part : Part

    Raises
    ------
    SolverFailure
        From every question that the solver does not answer by an optimum.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        blocks = part.whole_blocks()
        first = min(block.start for block in blocks)
        self.n_weights = max(block.start + block.data.shape[1] for block in blocks) - first
        n, p = self.n_weights, len(part.study.names)
        self.matrix = dense_rows([dataclasses.replace(b, start=b.start - first) for b in blocks], n)
        kept = np.concatenate([block.kept for block in blocks])
        position = np.concatenate([block.kept + k * p for k, block in enumerate(blocks)])
        rows = np.flatnonzero(kept < p)  # the sums of weights stay exact
        self.position = position[rows]  # of each row's tolerance among those of the part
        self.factor = np.concatenate([b.factor[b.kept[b.kept < p]] for b in blocks])
        k = len(rows)
        slack = sp.csr_matrix((np.ones(k), (rows, np.arange(k))), shape=(len(kept), k))
        bounds = part.study.lower, part.study.upper
        self.program = Program.from_arrays(
            np.concatenate([np.zeros(n), np.ones(2 * k)]),
            sp.hstack([self.matrix, slack, -slack], format="csr"),
            np.concatenate([b.lower for b in blocks]),
            np.concatenate([b.upper for b in blocks]),
            np.concatenate([np.full(n, bounds[0]), np.zeros(2 * k)]),
            np.concatenate([np.full(n, bounds[1]), np.full(2 * k, np.inf)]),
        )
        with warnings.catch_warnings():  # whether the solver keeps anything is no concern of whoever asks why
            warnings.simplefilter("ignore", CausaloptWarning)
            self.session = Session(self.program, elastic_backend(self.program, part.solver).name)

    def jointly(self) -> Floats:
        """Return the extra tolerances of the least total, in their own units, with which there are weights.

        Zero where there are weights without any.
        """
        prices = self.factor.max() / self.factor  # at least one, so that none is lost among rounding errors
        slacks = self._point(self._solve(c=np.concatenate([np.zeros(self.n_weights), prices, prices])))
        by = slacks[self.n_weights :].reshape(2, -1).sum(axis=0)
        extra = np.zeros(len(self.part.tolerance))
        extra[self.position] = np.where(by > NONE * self.n_weights, by, 0.0) / self.factor
        return extra

    def alone(self, position: int) -> float:
        """Return the least extra of one tolerance with which there are weights, infinite where none does."""
        own = np.append(np.zeros(self.n_weights, dtype=bool), np.tile(self.position == position, 2))
        first = self._solve(c=np.where(own, 0.0, self.program.c))
        if self._total(first) > NONE:
            return np.inf
        held = np.maximum(self._point(first), 0.0)
        held[: self.n_weights], held[own] = self.part.study.upper, np.inf
        second = self._solve(c=np.where(own, self.program.c, 0.0), upper=held)
        factor = float(self.factor[self.position == position][0])
        return float(max(self._total(second) * self.n_weights / factor, 0.0))

    def bound(self, side: str) -> float:
        """Return the bound on the weights, "lower" or "upper", that would do in place of its own; infinite if none."""
        at = float(getattr(self.part.study, side))
        for _ in range(MOST_STEPS):
            values = getattr(self.program, side).copy()
            values[: self.n_weights] = at
            result = self._solve(**{side: values})
            total = self._total(result)
            if total <= ROUNDING:
                return at
            slope = self._slope(result, side)
            with np.errstate(divide="ignore", over="ignore"):
                following = float(np.float64(at) - np.float64(total) / np.float64(slope))
            if abs(following) > LARGEST_BOUND:
                return at if total <= NONE else np.inf if side == "upper" else -np.inf
            if following == at:
                break
            at = following
        if total > NONE:
            raise SolverFailure(f"{result.solver} found no bound on the weights in {MOST_STEPS} steps.")
        return at

    def close(self) -> None:
        """Release the solver's model."""
        self.session.close()

    def __enter__(self) -> Elastic:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- the live program ----

    def _solve(self, **changes: Floats) -> Result:
        """Solve the first program with some changes, which do not stay for the next question."""
        base = {name: getattr(self.program, name) for name in ("c", "lower", "upper")}
        result = self.session.solve(**(base | changes))
        if not result.is_optimal:
            raise SolverFailure(f"{result.solver} left a linear program on the tolerances unsolved ({result.status}).")
        return result

    def _total(self, result: Result) -> float:
        """Return what rows give way by in all, in standard deviations."""
        assert result.objective is not None
        return float(result.objective / self.n_weights)

    def _point(self, result: Result) -> Floats:
        assert result.x is not None
        return result.x

    def _slope(self, result: Result, side: str) -> float:
        """Return by how much the total rises as a bound on all weights does."""
        if result.row_dual is None:
            raise SolverFailure(f"{result.solver} gave no multipliers, which the search for a bound needs.")
        reduced = -(self.matrix.T @ result.row_dual) / self.n_weights
        at_bound: Bools = reduced < 0 if side == "upper" else reduced > 0
        return float(reduced[at_bound].sum())
