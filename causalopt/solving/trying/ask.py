"""A backend's answer, or an error of causalopt's that names the backend."""

from __future__ import annotations

from causalopt.errors import CausaloptError, SolverFailure
from causalopt.modeling.program import Program
from causalopt.solving.backend import Backend
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Solution


def ask(backend: Backend, program: Program, options: SolveOptions, method: str) -> Solution:
    """Return the claims of a backend about a program, as `Backend.solve`.

    Raises
    ------
    SolverFailure
        Where the backend raises what is no error of causalopt's, or returns no `Solution`.
    """
    try:
        solution = backend.solve(program, options, method)
    except (CausaloptError, MemoryError):
        raise
    except Exception as error:  # a third party's code may raise anything
        raise SolverFailure(f"The backend {backend.name!r} failed: {type(error).__name__}: {error}") from error
    if not isinstance(solution, Solution):
        raise SolverFailure(f"The backend {backend.name!r} returned {type(solution).__name__}, not a Solution.")
    return solution
