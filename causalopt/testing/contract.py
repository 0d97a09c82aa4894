"""What every claim of a backend has to look like, whatever the program: the contract of `Backend.solve`."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np

from causalopt.modeling.program import Program
from causalopt.solving.backend import Ability, Backend, License
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Reason, Solution


class Recorder(Backend):
    """A backend that passes everything on, and notes where an answer breaks the contract.

    Attributes
    ----------
    problems : list of str
    """

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.problems: list[str] = []
        for attribute in ("name", "package", "distribution", "classes", "abilities", "open_source"):
            setattr(self, attribute, getattr(inner, attribute))

    def version(self) -> str:
        """Return the version of the solver inside."""
        return self.inner.version()

    def license(self) -> License:
        """Return the licence of the solver inside."""
        return self.inner.license()

    def option_names(self) -> frozenset[str] | None:
        """Return the option names of the solver inside."""
        return self.inner.option_names()

    def size(self, program: Program) -> tuple[int, int]:
        """Return the size as the solver inside counts it."""
        return self.inner.size(program)

    def methods(self, program: Program, options: SolveOptions) -> tuple[str, ...]:
        """Return the methods of the solver inside."""
        return self.inner.methods(program, options)

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve, and look at the answer."""
        start = perf_counter()
        solution = self.inner.solve(program, options, method)
        self.problems += breaches(self.inner, program, options, solution, perf_counter() - start)
        return solution


def breaches(
    backend: Backend, program: Program, options: SolveOptions, solution: Any, seconds: float | None = None
) -> list[str]:
    """Return, in words, where a solution breaks the contract of `Backend.solve`.

    Parameters
    ----------
    backend : Backend
        Who answered.
    program : Program
        What was to be solved.
    options : SolveOptions
        What was asked of the solve.
    solution : object
        What came back.
    seconds : float, optional
        Wall clock that the call took.

    Examples
    --------
    >>> from causalopt.solving.backend import get_backend
    >>> highs, program = get_backend("highs"), Program.from_arrays([1.0], lower=2.0)
    >>> breaches(highs, program, SolveOptions(), highs.solve(program, SolveOptions()))
    []
    >>> breaches(highs, program, SolveOptions(), None)
    ['solve returned a NoneType, not a Solution']
    """
    if not isinstance(solution, Solution):
        return [f"solve returned a {type(solution).__name__}, not a Solution"]
    found = [*_of_termination(solution), *_of_arrays(backend, program, solution)]
    for name in ("objective", "bound"):
        value = getattr(solution, name)
        if value is not None and not (isinstance(value, float) and np.isfinite(value)):
            found.append(f"{name} is {value!r}: a finite float or None is needed")
    if not isinstance(solution.log, str):
        found.append(f"log is a {type(solution.log).__name__}, not a string")
    elif options.log and Ability.LOG in backend.abilities and not solution.log.strip():
        found.append("a log was asked for, but is empty")
    elif not options.log and solution.log:
        found.append("a log came back that nobody asked for")
    if set(solution.seconds) != {"load", "solve", "extract"}:
        found.append(f"seconds has the phases {sorted(solution.seconds)}; load, solve and extract are needed")
    elif min(solution.seconds.values()) < 0 or (
        seconds is not None and sum(solution.seconds.values()) > seconds + 1e-3
    ):
        found.append("the seconds of the phases are negative, or more than the wall clock")
    return found


def _of_termination(solution: Solution) -> list[str]:
    termination = solution.termination
    found = []
    if not termination.raw.strip():
        found.append("the solver's own word for the status is missing (termination.raw)")
    if (
        termination.reason in (Reason.OPTIMAL, Reason.INFEASIBLE, Reason.UNBOUNDED)
        and termination.limit is not Limit.NONE
    ):
        found.append(f"{termination.reason} is claimed, and yet the {termination.limit} limit")
    if termination.has_solution != (solution.x is not None):
        found.append(f"the status is {termination}, but a point is {'missing' if solution.x is None else 'there'}")
    return found


def _of_arrays(backend: Backend, program: Program, solution: Solution) -> list[str]:
    found = []
    for name, size in (("x", program.n_columns), ("row_dual", program.n_rows), ("farkas", program.n_rows)):
        array = getattr(solution, name)
        if array is None:
            continue
        if not isinstance(array, np.ndarray) or array.dtype != np.float64 or array.shape != (size,):
            found.append(f"{name} is no float array of length {size}")
        elif not np.isfinite(array).all():
            found.append(f"{name} holds values that are not finite")
    if solution.row_dual is not None and Ability.DUALS not in backend.abilities:
        found.append("multipliers came back from a backend that does not state the ability")
    if solution.row_dual is not None and program.integer.any():
        found.append("multipliers of a mixed-integer program mean nothing")
    return found
