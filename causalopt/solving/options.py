"""One set of options for every solver."""

from __future__ import annotations

import dataclasses
import inspect
import numbers
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from causalopt.errors import DataError, OptionError
from causalopt.messages import Message, argument, in_python
from causalopt.modeling.program import Floats

OR_NONE = in_python(", or None")

#: What the note is about that a fast path was not isolated.
NOT_ISOLATED = "not isolated"


def not_isolated(path: str) -> Message:
    """Return the note that a fast path was not isolated.

    Parameters
    ----------
    path : str
        Its name.

    Examples
    --------
    >>> print(not_isolated("hungarian"))
    hungarian ran in this process: isolate is for solvers, and had no effect.
    """
    return Message(
        f"{path} ran in this process: {argument('isolate')} is for solvers, and had no effect.", NOT_ISOLATED
    )


@dataclasses.dataclass(frozen=True, eq=False)
class SolveOptions:
    """What the user asks of a solve, in words that every backend understands.

    Attributes
    ----------
    time_limit : float or None
        Seconds of wall clock for the solver.
    gap : float
        Relative gap between incumbent and bound at which a mixed-integer solve may stop.
    threads : int or None
        Threads the solver may use; None leaves the solver's default.
    seed : int
    start : (n,) array or None
        A solution to start from, one value per column.
    log : bool
        Whether to keep the solver's log on the result.
    solver_options : mapping
        Options in the solver's own names, passed on as they are. An unknown name is an error.
    isolate : bool
        Solve in a process of its own.
    memory_limit : float or None
        GiB that this process may hold.
    on_incumbent : callable or None
        Called with values, objective and bound of each better solution, by backends that have the ability.
    on_log : callable or None
        Called with each line of the log as it is written, by backends that have the ability.
    crossover : bool
        Whether the answer to a linear program must be a vertex. Without, backends may leave their interior-point method
        where it has converged, which is faster for large programs; its multipliers prove as much.
    """

    time_limit: float | None = None
    gap: float = 1e-6
    threads: int | None = None
    seed: int = 0
    start: Floats | None = None
    log: bool = False
    solver_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    isolate: bool = False
    memory_limit: float | None = None
    on_incumbent: Callable[[Floats, float, float], None] | None = None
    on_log: Callable[[str], None] | None = None
    crossover: bool = True

    def __post_init__(self) -> None:
        if self.time_limit is not None and not (_is_number(self.time_limit) and self.time_limit > 0):
            raise OptionError(
                f"{argument('time_limit')} is {self.time_limit!r}; it must be a positive number of seconds{OR_NONE}."
            )
        if not (_is_number(self.gap) and 0 <= self.gap < np.inf):
            raise OptionError(f"{argument('gap')} is {self.gap!r}; it must be zero or positive.")
        if self.memory_limit is not None and not (_is_number(self.memory_limit) and self.memory_limit > 0):
            raise OptionError(
                f"{argument('memory_limit')} is {self.memory_limit!r}; it must be a positive number of GiB{OR_NONE}."
            )
        if self.memory_limit is not None and not self.isolate:
            raise OptionError(
                f"{argument('memory_limit')} is for a process of its own: it needs {argument('isolate', True)}."
            )
        if self.threads is not None and not (_is_number(self.threads, numbers.Integral) and self.threads >= 1):
            raise OptionError(
                f"{argument('threads')} is {self.threads!r}; it must be a positive whole number{OR_NONE}."
            )
        if not (_is_number(self.seed, numbers.Integral) and self.seed >= 0):
            raise OptionError(f"{argument('seed')} is {self.seed!r}; it must be zero or a positive whole number.")

    def check_start(self, n: int) -> Floats | None:
        """Return the start as n finite floats, or None where there is none.

        Parameters
        ----------
        n : int
            Number of columns of the program.

        Raises
        ------
        DataError
            Where it is not n finite values.
        """
        if self.start is None:
            return None
        wanted = f"start must be {n} finite values, one per column of the program"
        try:
            start = np.asarray(self.start, dtype=float)
        except (TypeError, ValueError) as error:
            raise DataError(f"{wanted}: {error}.") from error
        if start.shape != (n,) or not np.isfinite(start).all():
            raise DataError(f"{wanted}; its shape is {start.shape}.")
        return start

    def replace(self, **changes: Any) -> SolveOptions:
        """Return a copy with some fields changed.

        Parameters
        ----------
        **changes : keyword arguments
            Fields by name, with their new values.
        """
        return dataclasses.replace(self, **changes)


def _is_number(value: Any, kind: type = numbers.Real) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Word the message for a name that does not exist: the nearest ones that do, or all.

    Parameters
    ----------
    what : str
        What kind of name it is, in words.
    name : str
        What was given.
    known : iterable of str
        The names that exist.

    Examples
    --------
    >>> unknown_name("solver", "hihgs", ["highs", "scip"])
    "Unknown solver 'hihgs'. Did you mean 'highs'?"
    """
    known = sorted(known)
    by_lower = {word.lower(): word for word in known}
    near = [by_lower[word] for word in get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)]
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Known: {', '.join(known[:40])}."
    return f"Unknown {what} {name!r}. {hint}"


def refuse_unknown_arguments(
    function: Callable[..., Any], given: Mapping[str, Any], taker: Callable[..., Any], instead: Mapping[str, str]
) -> None:
    """Raise `OptionError` for an argument that a function cannot pass on, naming the nearest that it takes.

    Parameters
    ----------
    function : callable
        What the user called.
    given : mapping
        The further arguments that it was given, `**given`.
    taker : callable
        What takes them, by keyword alone.
    instead : mapping from argument to words
        What to do next, for names that people try and that are nothing like the right one.

    Raises
    ------
    OptionError
        Where there is one; the message names the function, the argument and the nearest.

    Examples
    --------
    >>> def taker(*, colour="red"): ...
    >>> def paint(wall, **more):
    ...     refuse_unknown_arguments(paint, more, taker, {})
    >>> paint("north", color="blue")
    Traceback (most recent call last):
    causalopt.errors.OptionError: Unknown argument of paint() 'color'. Did you mean 'colour'?
    """
    if not given:
        return
    parameters = inspect.signature(taker).parameters.values()
    taken = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    own = inspect.signature(function).parameters.values()
    known = taken | {p.name for p in own if p.kind is not inspect.Parameter.VAR_KEYWORD}
    for name in given:
        if name not in taken:
            what = f"argument of {function.__name__}()"
            raise OptionError(
                f"Unknown {what} {name!r}. {instead[name]}" if name in instead else unknown_name(what, name, known)
            )
