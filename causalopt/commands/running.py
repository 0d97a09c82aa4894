"""Running a solve from the command line: with a sign of life, and an end by Ctrl-C that keeps what was found."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from causalopt.commands.arguments import Solving
from causalopt.commands.wording import in_options
from causalopt.errors import CausaloptWarning
from causalopt.solving.options import SolveOptions

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
        elif (note := in_options(str(message))) not in notes:
            notes.append(note)

    with warnings.catch_warnings():
        warnings.simplefilter("always", CausaloptWarning)
        warnings.showwarning = keep
        yield notes


def arguments_of(solving: Solving, problem: Any) -> dict[str, Any]:
    """Return the arguments of `causalopt.solve` for a problem.

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
        **isolation(solving, problem),
    }


def isolation(solving: Solving, problem: Any) -> dict[str, Any]:
    """Return whether a solve of a problem runs in a process of its own, and the limit of its memory."""
    name = problem.formulation_name(solving.formulation)
    here = solving.solver in {*problem.fast_paths(name), *problem.named_paths(name)}
    apart = not here or solving.memory_limit is not None
    return {"isolate": apart, "memory_limit": solving.memory_limit}


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
        return solve_problem(problem, **arguments_of(solving, problem))
