"""Which backend solves a program, and why."""

from __future__ import annotations

from causalopt.errors import SolverNotAvailable
from causalopt.modeling.program import Program
from causalopt.solving.backend import Backend, get_backend, installed_backends
from causalopt.solving.trying.tangents import needs_tangents


def choose_backend(program: Program, solver: str | Backend, *, tangents: bool = False) -> tuple[Backend, str]:
    """Return the backend for a program, and in a sentence why.

    With `tangents` a solver of MILPs counts as one that takes convex MIQPs, see `causalopt.solving.trying.tangents`.
    """
    if solver != "auto":
        return get_backend(solver), "it was asked for"
    problem_class = program.problem_class
    for backend in installed_backends():
        if backend.open_source and (backend.fits(program) or (tangents and needs_tangents(program, backend))):
            return backend, f"{backend.name} is the first installed open-source solver that takes a {problem_class}"
    able = [b.name for b in installed_backends() if problem_class in b.classes]
    raise SolverNotAvailable(
        f"No installed open-source solver takes this {problem_class}. "
        + (f"Ask by name for one of: {', '.join(able)}." if able else "pip install pyscipopt brings one.")
    )
