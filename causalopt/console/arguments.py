"""Options that several commands share, written once: a parameter that is one of these classes becomes its options."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from causalopt import basis
from causalopt.console.codes import EPILOG
from causalopt.console.exits import failures
from causalopt.console.wording import Option, speaking_of
from causalopt.errors import OptionError
from causalopt.solving.options import unknown_name

STUDY = "Study"
ANSWER = "Estimate"
DATA = "Data"
SOLVING = "Solving"
OUTPUT = "Output"

#: What is called basis in Python.
FUNCTIONS = "--moments, --interactions or --quantiles"


def option(text: str, *names: str, panel: str | None = None, **more: Any) -> Any:
    """Return a typer option with help; unless said otherwise, its type says what it takes."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


# ---- options of one name and meaning in several commands ----

Outcome = Annotated[str, option("Column of the outcome.", panel=STUDY, metavar="COLUMN")]
Treatment = Annotated[str, option("Column of the treatment.", panel=STUDY, metavar="COLUMN")]
Treated = Annotated[str | None, option("Which value of the treatment counts as treated.", panel=STUDY)]
Level = Annotated[float, option("Confidence of the interval.", panel=ANSWER)]
EffectOn = Annotated[
    str | None,
    option("Column of the outcome, to estimate the effect with the weights.", panel=ANSWER, metavar="COLUMN"),
]


# ---- groups of options ----


@dataclasses.dataclass
class Functions:
    """Which covariates are balanced, and which functions of them."""

    covariates: Annotated[
        list[str] | None,
        option("Columns to balance, with commas between; may be repeated.", panel=STUDY, metavar="COLUMNS"),
    ] = None
    categories: Annotated[
        list[str] | None,
        option("Covariates that are categories, balanced level by level.", panel=STUDY, metavar="COLUMNS"),
    ] = None
    moments: Annotated[
        int | None, option("Balance powers up to this one too, of covariates with more than two values.", panel=STUDY)
    ] = None
    interactions: Annotated[
        bool, option("Balance products of pairs of covariates too.", "--interactions", panel=STUDY)
    ] = False
    quantiles: Annotated[str | None, option("Balance these quantiles too, such as 0.25,0.5,0.75.", panel=STUDY)] = None

    def columns(self, known: Iterable[str] = ()) -> list[str]:
        """Return the columns named, each once, in a file with these columns."""
        known = list(known)
        return list(dict.fromkeys((*names(self.covariates, known), *names(self.categories, known))))

    @property
    def basis(self) -> list[Any]:
        """What is balanced beside the covariates themselves."""
        terms: list[Any] = []
        if self.moments is not None:
            terms.append(basis.moments(self.moments))
        if self.interactions:
            terms.append(basis.interactions())
        if self.quantiles is not None:
            terms.append(basis.quantiles([number(word, "--quantiles") for word in names([self.quantiles])]))
        return terms


@dataclasses.dataclass
class Reading:
    """How the data is read."""

    data: Annotated[
        str,
        typer.Argument(help="A CSV or Parquet file, a row a unit; - reads CSV from standard input.", metavar="DATA"),
    ]
    separator: Annotated[str, option("What separates the columns of a CSV.", panel=DATA)] = ","
    decimal: Annotated[str, option("What stands before the decimals of a CSV's numbers.", panel=DATA)] = "."
    index: Annotated[
        str | None, option("Column of row labels. Rows are numbered from 1 unless given.", panel=DATA, metavar="COLUMN")
    ] = None
    missing: Annotated[
        str,
        option(
            "What to do where a column that is used has missing values: error, or drop, which leaves these rows out "
            "(of a panel: these donors) and says how many.",
            panel=DATA,
        ),
    ] = "error"


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


@dataclasses.dataclass(frozen=True)
class Declared:
    """What a function declares as a command, see `command`."""

    name: str
    calls: Mapping[str, str]
    renamed: Mapping[str, str]


def command(
    name: str, *, calls: Mapping[str, str] | None = None, **renamed: str
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Declare a function as a command. It returns its exit code; its errors become messages in terms of its options.

    The fields of a parameter that is a dataclass are options of the command. `calls` has what stands here for
    functions of the library, `renamed` the options of those arguments that have another name here.
    """

    def declare(function: Callable[..., int]) -> Callable[..., int]:
        function.declared = Declared(name, calls or {}, renamed)  # type: ignore[attr-defined]
        return function

    return declare


def commands_of(module: Any) -> list[Callable[..., int]]:
    """Return the functions of a module that are declared as commands, its own before those that it imports."""
    found = [value for value in vars(module).values() if inspect.isfunction(value) and hasattr(value, "declared")]
    return sorted(found, key=lambda function: function.__module__ != module.__name__)


def register(app: typer.Typer, function: Callable[..., int]) -> None:
    """Add to an application a function that is declared as a command."""
    declared: Declared = function.declared  # type: ignore[attr-defined]
    signature, groups = _spread(function)
    for parameter in signature.parameters.values():
        _say_what_it_takes(parameter)
    options = {p.name: _written(p) for p in signature.parameters.values()}
    options |= {argument: Option(written) for argument, written in declared.renamed.items()}

    @functools.wraps(function)
    def run(**given: Any) -> None:
        as_json = bool(given.get("json") or given.get("as_json"))
        for name, kind in groups.items():
            given[name] = _gathered(kind, given)
        with speaking_of(options, declared.calls), failures(as_json):
            code = function(**given)
        raise typer.Exit(code)

    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    app.command(declared.name, epilog=EPILOG)(run)


def _spread(function: Callable[..., int]) -> tuple[inspect.Signature, dict[str, Any]]:
    """Return a command's signature with the fields of its groups in their places, and the groups by name."""
    hints = get_type_hints(function, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            parameters += _parameters_of(groups[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
    return inspect.Signature(parameters), groups


def _parameters_of(group: Any) -> list[inspect.Parameter]:
    """Return the fields of a group, and of the groups that it holds, as parameters."""
    hints = get_type_hints(group, include_extras=True)
    found: list[inspect.Parameter] = []
    for field in dataclasses.fields(group):
        if dataclasses.is_dataclass(hints[field.name]):
            found += _parameters_of(hints[field.name])
            continue
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        kind = inspect.Parameter.KEYWORD_ONLY
        found.append(inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name]))
    return found


def _gathered(group: Any, given: dict[str, Any]) -> Any:
    """Return a group with what was given for its fields, which is taken out."""
    hints = get_type_hints(group)
    fields = [field.name for field in dataclasses.fields(group)]
    return group(
        **{f: _gathered(hints[f], given) if dataclasses.is_dataclass(hints[f]) else given.pop(f) for f in fields}
    )


def _say_what_it_takes(parameter: inspect.Parameter) -> None:
    """Name the value of an option in its help, where its declaration does not, in place of a type of Python."""
    kind, declared = get_args(parameter.annotation)
    if declared.metavar is None:
        kinds = {kind, *get_args(kind)}
        declared.metavar = (
            "" if bool in kinds else "NUMBER" if kinds & {int, float} else "FILE" if Path in kinds else "VALUE"
        )


def _written(parameter: inspect.Parameter) -> Option:
    """Return how an option is written, from its declaration."""
    kind, declared = get_args(parameter.annotation)
    if isinstance(declared, typer.models.ArgumentInfo):
        return Option(str(declared.metavar))
    given = [name for name in declared.param_decls or () if name.startswith("--")]
    written = given[0] if given else f"--{parameter.name.replace('_', '-')}"
    if bool in (kind, *get_args(kind)):
        return Option(written, "flag" if given else "yes or no")
    return Option(written, "pairs" if "=" in (declared.metavar or "") else "value")


# ---- what is given in an option: one of several, lists, pairs ----


def check_choice(value: str, known: Iterable[str], option_name: str) -> str:
    """Return a value that is one of those known, or raise `OptionError` with the nearest ones."""
    known = list(known)
    if value not in known:
        raise OptionError(unknown_name(f"value of {option_name}", value, known))
    return value


def names(given: Iterable[str] | None, known: Iterable[str] = ()) -> list[str]:
    """Split repeated and comma-separated names; a word that is a known name as it stands is one.

    Examples
    --------
    >>> names(["age, educ", "black"])
    ['age', 'educ', 'black']
    >>> names(["age", "income, 2019"], ["age", "income, 2019"])
    ['age', 'income, 2019']
    """
    known = set(known)
    parts = [part.strip() for word in given or () for part in ([word] if word.strip() in known else word.split(","))]
    return [part for part in parts if part]


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
