"""What robust tests share in being answered: paths that answer whole problems, and one result for many programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from causalopt.errors import OptionError, SolverNotAvailable
from causalopt.modeling.program import Program
from causalopt.problems.robust.verdicts import PairVerification
from causalopt.solving.attempts import FastPath
from causalopt.solving.backend import backend_names
from causalopt.solving.lane import Lane
from causalopt.solving.options import SolveOptions, not_isolated, unknown_name
from causalopt.solving.result import Result
from causalopt.verifying.claims import Reason, Solution, Termination
from causalopt.version import __version__


def whole_problem_path(name: str, kind: str) -> dict[str, FastPath]:
    """Return a path that answers problems of a kind: it is known by its name, and solves none of their programs."""

    def refuse(program: Program, options: SolveOptions) -> Solution:
        raise OptionError(f"{name} answers a {kind}, not one of its programs: co.solve(problem, {name!r}).")

    return {name: refuse}


def require_solver(solver: str, paths: Sequence[str]) -> None:
    """Raise `SolverNotAvailable` for what is neither "auto", nor a backend."""
    if solver != "auto" and ":" not in solver and solver not in backend_names():
        raise SolverNotAvailable(unknown_name("solver", solver, [*backend_names(), *paths]))


def path_result(lane: Lane, path: str, advice: str = "") -> Result:
    """Return the facts of a path that answers both sides, after looking at the options.

    Raises
    ------
    OptionError
        For options of solvers; the advice is added.
    """
    if lane.options.solver_options:
        raise OptionError(
            f"{path} takes no solver options: {', '.join(map(str, lane.options.solver_options))}.{advice}"
        )
    if lane.options.isolate:
        lane.warn(not_isolated(path))
    return Result(
        status=Termination(Reason.OPTIMAL),
        solver=path,
        solver_version=__version__,
        license="open source",
        solver_reason="it was asked for" if lane.solver == path else f"{path} is an exact algorithm for this problem",
    )


def fields_of(lane: Lane, last: Result, verification: PairVerification, formulation: str) -> dict[str, Any]:
    """Return the fields of a result that many programs stand behind, from the last of them."""
    return last.fields() | {
        "objective": None,
        "bound": None,
        "gap": verification.gap,
        "x": None,
        "row_dual": None,
        "verification": verification,
        "timing": lane.ledger.close(),
        "formulation": formulation,
        "log": lane.log,
        "warnings": tuple(lane.warnings),
    }
