"""Options that several commands share, written once: a parameter that is one of these classes becomes its options."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from causalopt.commands.exits import EPILOG, failures
from causalopt.errors import OptionError

DATA = "Data"
SOLVING = "Solving"
OUTPUT = "Output"


def option(text: str, *names: str, panel: str | None = None, **more: Any) -> Any:
    """Return a typer option with help; unless said otherwise, what it takes is a VALUE."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


@dataclasses.dataclass
class Reading:
    """How the data is read."""

    data: Annotated[
        str,
        typer.Argument(help="A CSV or Parquet file, a row a unit; - reads CSV from standard input.", metavar="DATA"),
    ]
    separator: Annotated[str, option("What separates the columns of a CSV.", panel=DATA)] = ","
    index: Annotated[
        str | None, option("Column of row labels. Rows are numbered from 1 unless given.", panel=DATA, metavar="COLUMN")
    ] = None


@dataclasses.dataclass
class Solving:
    """Who solves, and for how long."""

    solver: Annotated[
        str,
        option("A solver ('causalopt solvers' lists them), a fast path of the problem, or auto.", panel=SOLVING),
    ] = "auto"
    formulation: Annotated[
        str | None,
        option("How the problem is written as a program; the docs of each problem list them.", panel=SOLVING),
    ] = None
    time_limit: Annotated[
        float | None, option("Seconds for the solver. The best solution so far is kept.", panel=SOLVING)
    ] = None
    gap: Annotated[float, option("Relative gap at which an integer solve may stop.", panel=SOLVING)] = 1e-6
    threads: Annotated[int | None, option("Threads that the solver may use.", panel=SOLVING)] = None
    seed: Annotated[int, option("Seed of everything random.", panel=SOLVING)] = 0
    memory_limit: Annotated[float | None, option("GiB that the solver's process may hold.", panel=SOLVING)] = None
    solver_option: Annotated[
        list[str] | None,
        option(
            "An option in the solver's own name, as name=value; may be repeated.", panel=SOLVING, metavar="NAME=VALUE"
        ),
    ] = None

    @property
    def options(self) -> dict[str, Any]:
        """The solver's own options."""
        return mapping(self.solver_option, "--solver-option", any_value)


@dataclasses.dataclass
class Writing:
    """What is written where."""

    json: Annotated[bool, option("Print JSON for other programs, in full precision.", "--json", panel=OUTPUT)] = False
    explain: Annotated[
        bool,
        option("Explain the answer in plain words, with what it does not say.", "--explain", panel=OUTPUT),
    ] = False
    output: Annotated[
        Path | None, option("Write the answer by row to a .csv or .parquet file.", panel=OUTPUT, metavar="FILE")
    ] = None
    plot: Annotated[Path | None, option("Save the picture as .png, .pdf or .svg.", panel=OUTPUT, metavar="FILE")] = None
    capsule: Annotated[
        Path | None,
        option(
            "Write the solve to a file that 'causalopt replay' solves again anywhere.", panel=OUTPUT, metavar="FILE"
        ),
    ] = None
    export: Annotated[
        Path | None, option("Write the model as an .lp, .mps or .nl file.", panel=OUTPUT, metavar="FILE")
    ] = None
    force: Annotated[bool, option("Replace files that exist.", "--force", panel=OUTPUT)] = False


SHARED = (Reading, Solving, Writing)


def command(app: typer.Typer, name: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a command. It returns its exit code; its errors become messages.

    Where an argument is of one of the classes in `SHARED`, their fields are options of the command.
    """

    def register(function: Callable[..., int]) -> Callable[..., int]:
        spread = _shared(function)

        @functools.wraps(function)
        def run(**given: Any) -> None:
            as_json = bool(given.get("json") or given.get("as_json"))
            groups = {
                group: kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)})
                for group, kind in spread.items()
            }
            with failures(as_json):
                code = function(**groups, **given)
            raise typer.Exit(code)

        run.__signature__ = _signature(function, spread)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in run.__signature__.parameters.values()}  # type: ignore[attr-defined]
        app.command(name, epilog=EPILOG)(run)
        return function

    return register


def _shared(function: Callable[..., int]) -> dict[str, type]:
    hints = get_type_hints(function)
    return {name: kind for name, kind in hints.items() if kind in SHARED}


def _signature(function: Callable[..., int], spread: dict[str, type]) -> inspect.Signature:
    """Return the command's own parameters, then those of its shared groups."""
    hints = get_type_hints(function, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        parameter.replace(annotation=hints[name], kind=keyword)
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in spread
    ]
    for kind in spread.values():
        hints = get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
            parameters.append(inspect.Parameter(field.name, keyword, default=default, annotation=hints[field.name]))
    return inspect.Signature(parameters)


# ---- lists and pairs in an option ----


def names(given: Iterable[str] | None) -> list[str]:
    """Split repeated and comma-separated names.

    Examples
    --------
    >>> names(["age, educ", "black"])
    ['age', 'educ', 'black']
    """
    return [part.strip() for word in given or () for part in word.split(",") if part.strip()]


def number(text: str, option_name: str) -> float:
    """Read a number; 'inf' is one."""
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"{option_name}: {text!r} is not a number.") from None


def whole_number(text: str, option_name: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise OptionError(f"{option_name}: {text!r} is not a whole number.") from None


def any_value(text: str, option_name: str = "") -> Any:
    """Read a value as Python would: a whole number, a number, true or false, else text.

    Examples
    --------
    >>> [any_value(text) for text in ("1", "0.5", "true", "north")]
    [1, 0.5, True, 'north']
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def mapping(given: Iterable[str] | None, option_name: str, read: Callable[[str, str], Any]) -> dict[str, Any]:
    """Read repeated name=value; the last equals sign divides, since names may hold one."""
    pairs = {}
    for word in given or ():
        name, equals, value = word.rpartition("=")
        if not equals or not name.strip():
            raise OptionError(f"{option_name}: {word!r} is not of the form name=value.")
        pairs[name.strip()] = read(value.strip(), option_name)
    return pairs


def value_or_mapping(
    given: Iterable[str] | None, option_name: str, read: Callable[[str, str], Any], default: Any
) -> Any:
    """Read one value for all, or name=value for some: a plain value among these is the default of the others."""
    words = list(given or ())
    plain = [word for word in words if "=" not in word]
    if len(plain) > 1:
        raise OptionError(f"{option_name} has two plain values, {plain[0]} and {plain[1]}; one is for all others.")
    value = read(plain[0], option_name) if plain else default
    pairs = mapping([word for word in words if "=" in word], option_name, read)
    return {"default": value} | pairs if pairs else value
