"""What a backend is, what it can do, under which licence, and how installed ones are found.

A backend is a plugin: one module with one subclass of `Backend`, and one line under the entry points
`causalopt.backends`. The project's own backends are found exactly as a third party's are.
"""

from __future__ import annotations

import abc
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, ClassVar

from causalopt.errors import LicenseError, OptionError, SolverNotAvailable, UnsupportedProblem
from causalopt.messages import argument
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.abilities import CHANGEABLE as CHANGEABLE
from causalopt.solving.abilities import OPEN_SOURCE as OPEN_SOURCE
from causalopt.solving.abilities import OPTION_ABILITIES as OPTION_ABILITIES
from causalopt.solving.abilities import Ability, License, LiveModel
from causalopt.solving.options import SolveOptions, unknown_name
from causalopt.solving.trying import reduce as reduction
from causalopt.verifying.claims import Solution

__all__ = [
    "Ability", "Backend", "License", "LiveModel", "backend_names", "get_backend", "installed_backends", "load_backend",
    "unknown_solver",
]  # fmt: skip

ENTRY_POINTS = "causalopt.backends"


class Backend(abc.ABC):
    """A solver behind arrays. Subclass it, state the class variables, and write `solve`.

    Attributes
    ----------
    name : str
        What users write in `solver=`.
    package : str
        The module that the solver is imported from; `distribution` is its name for pip.
    classes : frozenset of ProblemClass
    abilities : frozenset of Ability
    open_source : bool
        Only open-source solvers are chosen by `solver="auto"`.
    tested_variants : tuple of str
        For a backend of several solvers, which users name after a colon (`pyomo:cbc`): those that the conformance
        suite runs. Empty for a backend of one solver.
    takes_models : bool
        Whether it solves Pyomo models themselves (`solve_model`), also those that a `Program` cannot hold.
    exclude : mapping
        Conformance cases (`causalopt.testing`) that the solver cannot pass, with the reason.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    distribution: ClassVar[str]
    classes: ClassVar[frozenset[ProblemClass]]
    abilities: ClassVar[frozenset[Ability]]
    open_source: ClassVar[bool] = True
    tested_variants: ClassVar[tuple[str, ...]] = ()
    takes_models: ClassVar[bool] = False
    exclude: ClassVar[Mapping[str, str]] = {}

    def is_installed(self) -> bool:
        """Return whether the solver's package is there, without importing it."""
        return importlib.util.find_spec(self.package) is not None

    def how_to_install(self) -> str:
        """Return what is missing, as the rest of a sentence, and how to get it."""
        return f"needs the package {self.distribution}, which is not installed: pip install {self.distribution}."

    def version(self) -> str:
        """Return the version of the installed solver package."""
        return importlib.metadata.version(self.distribution)

    def license(self) -> License:
        """Return what the licence found on this machine allows."""
        return OPEN_SOURCE

    def option_names(self) -> frozenset[str] | None:
        """Return the names of the solver's own options, or None where it cannot list them."""
        return None

    def variant(self, name: str) -> Backend:
        """Return the backend of the solver that the user named after a colon.

        Parameters
        ----------
        name : str
            What stands after the colon.

        Raises
        ------
        SolverNotAvailable
            Where the backend is one solver, or does not know the name.
        """
        raise SolverNotAvailable(
            f"{self.name!r} is one solver: write {argument('solver', self.name)}, without {':' + name!r}."
        )

    def size(self, program: Program) -> tuple[int, int]:
        """Return how many columns and rows the solver's own model will have, as its licence counts them.

        Parameters
        ----------
        program : Program
            What is to be solved.
        """
        return program.n_columns, program.n_rows

    def methods(self, program: Program, options: SolveOptions) -> tuple[str, ...]:
        """Return the algorithms to try, in order: the next one is tried where verification refuses an answer.

        Parameters
        ----------
        program : Program
            What is to be solved.
        options : SolveOptions
            What the user asks of the solve.
        """
        return ("",)

    @abc.abstractmethod
    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve the program and return the solver's claims as arrays.

        Parameters
        ----------
        program : Program
            What to solve.
        options : SolveOptions
            What the user asks of the solve.
        method : str
            One of `methods`.

        Returns
        -------
        Solution
            The solver's claims, as arrays in the program's order.

        Raises
        ------
        OptionError
            For a solver option that does not exist, or a value that the solver refuses.
        SolverFailure
            Where the solver stops with an error of its own.
        """

    def solve_model(self, model: Any, variables: Sequence[Any], options: SolveOptions, method: str = "") -> Solution:
        """Solve a Pyomo model itself and return claims, `x` in the order of `variables`; where `takes_models`.

        Parameters
        ----------
        model : Pyomo model
            What to solve.
        variables : sequence of Pyomo variables
            The order of `x` in the answer.
        options : SolveOptions
            What the user asks of the solve.
        method : str
            One of `methods`, for a model that compiles.

        Returns
        -------
        Solution
            The solver's claims; `x` in the order of `variables`.

        Raises
        ------
        UnsupportedProblem
            Where the backend solves programs only.
        """
        raise UnsupportedProblem(f"{self.name} solves programs, not Pyomo models.")

    def session(self, program: Program, options: SolveOptions) -> LiveModel | None:
        """Return a live model of the program, or None where each solve would start afresh.

        Parameters
        ----------
        program : Program
            The first program of the session.
        options : SolveOptions
            What the user asks of the solve.
        """
        return None

    def advisories(self) -> list[str]:
        """Return what is amiss with the solver's installation on this machine, for `causalopt.solvers()`."""
        return []

    def check_can_solve(self, program: Program) -> None:
        """Raise where the class or size of the program is beyond this backend.

        Parameters
        ----------
        program : Program
            What is to be solved.

        Raises
        ------
        UnsupportedProblem
            Where it does not take the class.
        LicenseError
            Where the licence does not cover the size.
        """
        problem_class = program.problem_class
        if problem_class not in self.classes:
            able = [b.name for b in installed_backends() if problem_class in b.classes]
            raise UnsupportedProblem(
                f"{self.name} does not solve a {problem_class}. "
                + (f"Installed solvers that do: {', '.join(able)}." if able else "No installed solver does.")
            )
        obstacle = self.obstacle(program)
        if obstacle:
            fitting = [b.name for b in installed_backends() if b.name != self.name and b.fits(program)]
            raise LicenseError(
                f"{self.name} cannot take this model ({program.describe()}): {obstacle}. "
                + (f"Installed solvers that take it: {', '.join(fitting)}." if fitting else "No installed solver does.")
            )

    def fits(self, program: Program) -> bool:
        """Return whether class and size of the program are within this backend's reach.

        Parameters
        ----------
        program : Program
            What is to be solved.
        """
        return program.problem_class in self.classes and self.obstacle(program) is None

    def obstacle(self, program: Program) -> str | None:
        """Return, in words, which limit of the licence a program breaks, or None where it fits.

        What counts is what will be loaded: where the program as it stands is too large, it is reduced and split into
        its unconnected parts, as `solve` does, and each part has to fit.

        Parameters
        ----------
        program : Program
            What is to be solved.
        """
        license = self.license()

        def measured(part: Program) -> str | None:
            return license.obstacle(*self.size(part), part.Q is not None and part.Q.nnz > 0)

        obstacle = measured(program)
        if obstacle is None or license.kind == "none":
            return obstacle
        reduced, _ = reduction.reduce(program)
        parts = (reduction.part(reduced, columns, rows) for columns, rows in reduction.parts(reduced))
        return next((found for found in map(measured, parts) if found), None)


@cache
def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)}


@cache
def load_backend(name: str) -> Backend:
    """Return a registered backend, whether its solver is installed or not.

    Parameters
    ----------
    name : str
        One of `backend_names()`.

    Raises
    ------
    SolverNotAvailable
        Where the backend's own module cannot be loaded.

    Examples
    --------
    >>> load_backend("highs").name
    'highs'
    """
    entry = _entry_points()[name]
    try:
        backend: Backend = entry.load()()
    except Exception as error:  # a third party's module may raise anything when it is imported
        raise SolverNotAvailable(
            f"The backend {name!r} is registered as {entry.value}, but cannot be loaded: {_in_words(error)}. "
            "Install its distribution again, or remove it."
        ) from error
    return backend


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: {error}"


def backend_names() -> list[str]:
    """Return the names of all registered backends, installed or not.

    Examples
    --------
    >>> "highs" in backend_names()
    True
    """
    return sorted(_entry_points())


def installed_backends() -> list[Backend]:
    """Return the backends of one solver each that is installed, open-source ones first.

    Backends that cannot be loaded are left out; `causalopt.solvers()` shows them.

    Examples
    --------
    >>> installed_backends()[0].open_source
    True
    """
    backends = []
    for name in _entry_points():
        with suppress(SolverNotAvailable):
            backends.append(load_backend(name))
    single = (b for b in backends if not b.tested_variants and b.is_installed())
    return sorted(single, key=lambda b: (not b.open_source, b.name))


@cache
def _variant(name: str) -> Backend:
    family, _, solver = name.partition(":")
    return load_backend(family).variant(solver)


def unknown_solver(name: str, known: Iterable[str]) -> SolverNotAvailable:
    """Return the error for a solver that nobody knows; where a family has one of this name, it says how to write it.

    Parameters
    ----------
    name : str
        What was given.
    known : iterable of str
        The names that exist.

    Examples
    --------
    >>> print(unknown_solver("cbc", ["highs", "scip"]))
    Unknown solver 'cbc'. Did you mean 'pyomo:cbc'?
    """
    for family in backend_names():
        with suppress(SolverNotAvailable):
            load_backend(family).variant(name)
            return SolverNotAvailable(f"Unknown solver {name!r}. Did you mean '{family}:{name}'?")
    return SolverNotAvailable(unknown_name("solver", name, known))


def get_backend(name: str | Backend) -> Backend:
    """Return the backend of this name; a colon separates a family from one of its solvers (`pyomo:cbc`).

    Parameters
    ----------
    name : str or Backend
        A registered name, with a solver after a colon where the backend has several (`pyomo:cbc`); a backend that
        nobody has registered, as an object, is taken as it is.

    Raises
    ------
    OptionError
        Where it is neither a name nor a backend.
    SolverNotAvailable
        Where the name is unknown or its solver is not installed; the message lists what is.

    Examples
    --------
    >>> get_backend("highs").package
    'highspy'
    """
    if isinstance(name, type) and issubclass(name, Backend):
        raise OptionError(
            f"{argument('solver')} is the class {name.__name__}; give an object of it: {name.__name__}()."
        )
    if not isinstance(name, (str, Backend)):
        raise OptionError(
            f"{argument('solver')} is {name!r}; it must be a name, such as 'highs' or 'auto', or a backend."
        )
    backend: Backend
    if isinstance(name, Backend):
        backend = name
        name = backend.name
    else:
        family, colon, _ = name.partition(":")
        if family not in _entry_points():
            raise unknown_solver(name, backend_names())
        backend = _variant(name) if colon else load_backend(name)
    if backend.tested_variants:
        raise SolverNotAvailable(f"{name!r} stands for many solvers: name one after a colon, as in '{name}:cbc'.")
    if not backend.is_installed():
        others = ", ".join(b.name for b in installed_backends()) or "none"
        raise SolverNotAvailable(f"Solver {name!r} {backend.how_to_install()} Installed solvers: {others}.")
    return backend
