"""What balance costs: tolerance against variance of the weights, effective sample size and estimate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from causalopt import modeling
from causalopt.algorithms import dual_newton
from causalopt.errors import DataError, SolverFailure, VerificationError, warn
from causalopt.messages import argument
from causalopt.modeling.program import Floats, Program
from causalopt.problems.balance.data import BalanceStudy
from causalopt.problems.balance.model import separable
from causalopt.problems.balance.result import BalanceResult
from causalopt.solving.answer import Answer
from causalopt.solving.dispatch import solve
from causalopt.solving.problem import Problem
from causalopt.solving.result import Result
from causalopt.solving.trying.reduce import join
from causalopt.verifying.claims import Reason, Solution, Termination
from causalopt.verifying.verify import verify

#: What makes the problem of a study.
Maker = Callable[[BalanceStudy], Problem]
Solver = Callable[[Program, BalanceStudy], Solution]


@dataclasses.dataclass(frozen=True, eq=False)
class Frontier(Answer):
    """The balance-variance frontier.

    Attributes
    ----------
    table : DataFrame
        By tolerance and group: `status` ("optimal" or "infeasible"), `cv` (ddof 1), `effective sample size`, and, where
        an outcome was given, `estimate` (the same for all groups of one tolerance).
    prices : DataFrame
        By tolerance and group, a column per covariate function: decrease of the squared coefficient of variation per
        unit of its tolerance ([SBW] figures 1 and 2).
    solver : str
    """

    table: pd.DataFrame
    prices: pd.DataFrame
    solver: str


def solve_frontier(
    study: BalanceStudy, make: Maker, tolerances: npt.ArrayLike, outcome: Any, solver: str, progress: bool
) -> Frontier:
    """Solve a balance problem for a range of tolerances; see `BalanceProblem.frontier`."""
    values = np.atleast_1d(np.asarray(tolerances, dtype=float))
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any() or len(values) == 0:
        raise DataError(f"{argument('tolerances')} must be a list of numbers, zero or positive.")
    if study.norm != "l2":
        raise DataError(f"The frontier is one of variance: {argument('norm')} must be 'l2', not {study.norm!r}.")
    sweep = Sweep(study, make, solver)
    y = None
    rows, prices = [], []
    for tolerance in _shown(np.sort(values)[::-1], progress):  # loose to tight: multipliers change little
        try:
            answer = sweep.at(np.full(len(study.names), float(tolerance)))
        except KeyboardInterrupt:
            warn(f"Interrupted at tolerance {tolerance:g}; the others are missing.")
            break
        if answer is None:
            for group in study.groups:
                rows.append((tolerance, group.label, "infeasible", np.nan, np.nan, np.nan))
            continue
        if outcome is not None and y is None:
            y = answer._outcome(outcome)
        estimate = np.nan if y is None else answer._difference(y)
        for group in study.groups:
            size, cv = answer.effective_sample_size[group.label], answer.cv[group.label]
            rows.append((tolerance, group.label, "optimal", cv, size, estimate))
        duals = answer.duals.assign(tolerance=tolerance)
        if "group" not in duals:
            duals["group"] = study.groups[0].label
        prices.append(duals)
    columns = ["tolerance", "group", "status", "cv", "effective sample size", "estimate"]
    table = pd.DataFrame(rows, columns=columns).set_index(["tolerance", "group"]).sort_index()
    wide = pd.DataFrame(columns=study.names)
    if prices:
        wide = pd.concat(prices).pivot(index=["tolerance", "group"], columns="covariate", values="dual")[study.names]
    return Frontier(table if outcome is not None else table.drop(columns="estimate"), wide, sweep.solver)


class Sweep:
    """Solves a problem at one set of tolerances after another, each from the last one's multipliers.

    Parameters
    ----------
    study : BalanceStudy
    make : callable
        The problem of a study, which builds the model and labels the answers.
    solver : str
        "dual-newton" (and "auto") starts each solve from the last; a backend starts afresh.
    """

    def __init__(self, study: BalanceStudy, make: Maker, solver: str) -> None:
        self.study, self.make = study, make
        self.solver = "dual-newton" if solver == "auto" else solver
        self._run: Solver = _DualNewton() if self.solver == "dual-newton" else _Cold(self.solver)
        self._program: Program | None = None
        self._kept: list[int] = []

    def at(self, tolerance: Floats) -> BalanceResult | None:
        """Return the verified weights at some tolerances (P values); None where there are none."""
        own = self.study.with_tolerance(tolerance)
        problem = self.make(own)
        kept = [len(block.kept) for block in own.blocks]
        if self._program is None or kept != self._kept:  # exact balance may drop dependent rows
            self._program, self._kept = modeling.compile_model(problem.build()), kept
        program = self._program.replace(
            row_lower=np.concatenate([b.lower for b in own.blocks]),
            row_upper=np.concatenate([b.upper for b in own.blocks]),
        )
        solution = self._run(program, own)
        if solution.x is None:
            return None
        answer = problem.result(
            Result(status=Termination(Reason.OPTIMAL), x=solution.x, row_dual=solution.row_dual), program
        )
        assert isinstance(answer, BalanceResult)
        return answer


def _shown(values: Floats, progress: bool) -> Iterator[float]:
    if not progress:
        yield from values
        return
    from rich.progress import track

    yield from track(values, description="tolerances")


class _DualNewton:
    """Solves a program by `dual-newton`, each from the last multipliers, and verifies it."""

    def __init__(self) -> None:
        self.multipliers: list[Floats | None] = []
        self.grams: list[dual_newton.Gram] = []

    def __call__(self, program: Program, study: BalanceStudy) -> Solution:
        parts = separable(study)
        same = len(self.grams) == len(parts) and all(
            gram.problem.rows is qp.rows for gram, (_, qp) in zip(self.grams, parts, strict=True)
        )
        if not same:  # the first tolerance, or one at which exact balance drops dependent rows
            self.grams = [dual_newton.Gram(qp) for _, qp in parts]
            self.multipliers = [None] * len(parts)
        pieces, solutions, row = [], [], 0
        for (columns, qp), start, gram in zip(parts, self.multipliers, self.grams, strict=True):
            solutions.append(dual_newton.solve(qp, start=start, gram=gram))
            pieces.append((np.arange(columns.start, columns.stop), np.arange(row, row + len(qp.target))))
            row += len(qp.target)
        self.multipliers = [s.row_dual for s in solutions]
        whole = solutions[0] if len(solutions) == 1 else join(program.replace(constant=0.0), pieces, solutions)
        verified, check = verify(program, whole)
        if not check.passed:
            raise VerificationError(f"dual-newton: {check}", verification=check)
        if verified.termination.reason is Reason.NO_SOLUTION:
            return _Cold("auto")(program, study)
        return verified


class _Cold:
    """Solves a program afresh on a backend."""

    def __init__(self, solver: str) -> None:
        self.solver = solver

    def __call__(self, program: Program, study: BalanceStudy) -> Solution:
        result = solve(program, self.solver)
        if not result and result.status.reason is not Reason.INFEASIBLE:
            raise SolverFailure(f"{self.solver} ended without a solution ({result.status}).")
        return Solution(result.status, x=result.x, row_dual=result.row_dual)
