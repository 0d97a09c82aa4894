"""Running a solve from the command line: with a sign of life, and an end by Ctrl-C that keeps what was found."""

from __future__ import annotations

import dataclasses
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console

from causalopt.console.arguments import Solving
from causalopt.console.showing import INTERRUPTED
from causalopt.console.wording import in_options
from causalopt.errors import CausaloptWarning, warn
from causalopt.solving.options import NOT_ISOLATED, SolveOptions

T = TypeVar("T")

#: Seconds before a sign of life appears.
PATIENCE = 1.0


@contextmanager
def sign_of_life(what: str) -> Iterator[None]:
    """Show a spinner on standard error once something takes over a second; nothing where that is not a terminal."""
    console = Console(stderr=True)
    if not sys.stderr.isatty() or not console.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True)
    bar.add_task(what)
    timer = threading.Timer(PATIENCE, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


@contextmanager
def caught_warnings(*known: Any) -> Iterator[list[str]]:
    """Collect causalopt's warnings as texts, after what is known already; others go their own way."""
    notes = [str(note) for note in known if note is not None]
    show = warnings.showwarning

    def keep(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, CausaloptWarning):
            show(message, category, *rest, **more)
        elif not str(message).endswith(NOT_ISOLATED) and (note := in_options(str(message))) not in notes:
            notes.append(note)

    with warnings.catch_warnings():
        warnings.simplefilter("always", CausaloptWarning)
        warnings.showwarning = keep
        yield notes


def arguments_of(solving: Solving) -> dict[str, Any]:
    """Return the arguments of `causalopt.solve`.

    A solver runs in a process of its own, so that Ctrl-C keeps its best solution, also where "auto" turns to it after
    a fast path. Fast paths run here.
    """
    return {
        "solver": solving.solver,
        "formulation": solving.formulation,
        "time_limit": solving.time_limit,
        "gap": solving.gap,
        "threads": solving.threads,
        "seed": solving.seed,
        "options": solving.options,
        "isolate": True,
        "memory_limit": solving.memory_limit,
    }


def solve_options(solving: Solving) -> SolveOptions:
    """Return what was asked of the solver, for a capsule."""
    return SolveOptions(
        time_limit=solving.time_limit,
        gap=solving.gap,
        threads=solving.threads,
        seed=solving.seed,
        solver_options=solving.options,
        isolate=solving.memory_limit is not None,
        memory_limit=solving.memory_limit,
    )


def solve(problem: Any, solving: Solving) -> Any:
    """Solve a problem as the command line asks."""
    from causalopt.solving.dispatch import solve as solve_problem

    with sign_of_life("solving (Ctrl-C stops, and keeps what a solver has found)"):
        return as_asked(solve_problem(problem, **arguments_of(solving)), solving)


def as_asked(result: Any, solving: Solving) -> Any:
    """Return a result without the note that a fast path ran here: nobody asked for anything else, but for a limit."""
    others = tuple(note for note in result.warnings if not note.endswith(NOT_ISOLATED))
    if len(others) < len(result.warnings) and solving.memory_limit is not None:
        warn(f"{result.solver} ran without the limit of --memory-limit, which is for solvers.")
    return dataclasses.replace(result, warnings=others)


def unless_stopped(what: str, compute: Callable[[], T], answer: Any, notes: list[str]) -> T | None:
    """Return what is computed after an answer, or None, with a note, where Ctrl-C stops it or stopped the answer."""
    from causalopt.verifying.claims import Limit

    if answer.status.limit is not Limit.INTERRUPT:
        try:
            with sign_of_life(f"{what} (Ctrl-C leaves it out)"):
                return compute()
        except KeyboardInterrupt:
            pass  # the answer itself is here, and is kept
    notes.append(f"{INTERRUPTED} by Ctrl-C: {what} was left out.")
    return None
