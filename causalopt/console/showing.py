"""Results for people (at most as wide as the terminal) and for programs (JSON in full precision)."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from causalopt.console.wording import in_options
from causalopt.solving.result import Result
from causalopt.solving.words import rounded_up
from causalopt.version import __version__

if TYPE_CHECKING:
    import pandas as pd

#: Version of the JSON that commands print.
SCHEMA = 1

#: Most rows of a table that is printed; files and JSON have all.
MOST_ROWS = 20

#: Length up to which a row's label is kept in one line.
LONG_LABEL = 24


# ---- for people ----


def print_result(result: Result, console: Console | None = None) -> None:
    """Print the facts of a result, a line each; long ones are folded beside their names."""
    show_facts(result.facts(), console or Console())


def show_explanation(answer: Any, wanted: bool) -> None:
    """Print a result in plain words, where they are wanted."""
    if wanted:
        console = Console()
        console.print(f"\n{in_options(answer.explain())}", markup=False, highlight=False)


def explanation(answer: Any, wanted: bool) -> dict[str, str]:
    """Return a result in plain words as a field of JSON, where they are wanted."""
    return {"explanation": in_options(answer.explain())} if wanted else {}


def show_facts(facts: Mapping[str, str], console: Console) -> None:
    """Print names and texts in two columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in facts.items():
        table.add_row(name, escape(text))
    console.print(table, highlight=False)


def show_table(console: Console, frame: pd.DataFrame, title: str, digits: int = 4, *, spread: bool = False) -> None:
    """Print a table, or so many of its rows as have room: the first ones, or some spread over all.

    Of columns that `attrs["least"]` names, numbers are rounded up: a smaller one would not do.
    """
    least = frame.attrs.get("least", ())
    shown = frame.head(MOST_ROWS)
    if spread and len(frame) > MOST_ROWS:
        last = len(frame) - 1
        shown = frame.iloc[[round(k * last / (MOST_ROWS - 1)) for k in range(MOST_ROWS)]]
    more = f" ({len(shown)} of {len(frame):,} rows)" if len(frame) > len(shown) else ""
    table = Table(box=None, padding=(0, 2, 0, 0))
    labelled = [name for name in frame.index.names if name is not None]
    for name in labelled:
        longest = max((len(str(label)) for label in shown.index.get_level_values(name)), default=0)
        table.add_column(escape(str(name)), overflow="fold", no_wrap=longest <= LONG_LABEL)
    for column in frame.columns:
        numeric = frame[column].dtype.kind in "fiu"
        table.add_column(escape(str(column)), justify="right" if numeric else "left", overflow="fold")
    write = [cell_up if column in least else cell for column in frame.columns]
    for key, *row in shown.itertuples(name=None):
        labels = (key if isinstance(key, tuple) else (key,)) if labelled else ()
        cells = (write_one(value, digits) for write_one, value in zip(write, row, strict=True))
        table.add_row(*(escape(str(label)) for label in labels), *map(escape, cells))
    console.print(f"\n[bold]{escape(title + more)}[/]", highlight=False)
    console.print(table, highlight=False)


def cell(value: Any, digits: int = 4) -> str:
    """Write a value for people."""
    if value is None or value != value:
        return ""
    if type(value).__name__ in ("bool", "bool_"):
        return "yes" if value else "no"
    if isinstance(value, float):
        if 1000 <= abs(value) < 1e15:
            return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:,.1f}"
        return f"{value:.{digits}g}"
    return str(value)


def cell_up(value: Any, digits: int = 4) -> str:
    """Write a number for people, rounded up; what is no number as ever."""
    return rounded_up(value, digits) if isinstance(value, float) and math.isfinite(value) else cell(value, digits)


def show_grid(console: Console, frame: pd.DataFrame, title: str, digits: int = 3) -> None:
    """Print a whole table in boxes."""
    table = Table(title=title, title_justify="left", title_style="bold")
    names = [str(name) for name in frame.index.names if name is not None]
    for name in names:
        table.add_column(name)
    for column in frame.columns:
        numeric = frame[column].dtype.kind in "fi"
        table.add_column(str(column), justify="right" if numeric else "left")
    for key, row in frame.iterrows():
        labels = (key if isinstance(key, tuple) else (key,)) if names else ()
        table.add_row(*map(str, labels), *(_boxed(value, digits) for value in row))
    console.print(table)


def _boxed(value: Any, digits: int) -> str:
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.{digits}f}"
    return str(value)


def show_error_table(frame: pd.DataFrame, console: Console) -> None:
    """Print the table that explains an error, what its columns say, and the tables that belong to it."""
    if len(frame):
        show_table(console, frame, "Explanation")
        console.print()
        show_facts(frame.attrs.get("legend", {}), console)
    for name, more in frame.attrs.items():
        if hasattr(more, "columns") and len(more):
            show_table(console, more, name.capitalize())


def show_notes(notes: Sequence[str], written: Sequence[Any]) -> None:
    """Print warnings and the names of the files written, on standard error."""
    console = Console(stderr=True)
    for note in notes:
        console.print(Text.assemble(("Warning:", "bold yellow"), " ", note))
    for path in written:
        console.print(f"written: {path}", markup=False, highlight=False)


# ---- for programs ----


def as_json_value(value: Any) -> Any:
    """Return a value as JSON holds it: tables as lists of rows, NaN as null, infinities as "inf" and "-inf"."""
    if value is None or isinstance(value, str | bool):
        return value
    if hasattr(value, "columns"):
        return [as_json_value(dict(row)) for row in _rows(value)]
    if hasattr(value, "to_frame"):
        return as_json_value(value.to_frame())
    if isinstance(value, Mapping):
        return {str(key): as_json_value(item) for key, item in value.items()}
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return as_json_value(value.item())
    if isinstance(value, float):
        return None if math.isnan(value) else value if math.isfinite(value) else str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, list | tuple) or hasattr(value, "tolist"):
        return [as_json_value(item) for item in value]
    return str(value)


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    named = any(name is not None for name in frame.index.names)
    rows: list[dict[str, Any]] = (frame.reset_index() if named else frame).to_dict("records")
    return rows


def result_json(command: str, result: Result | None, notes: Sequence[str]) -> dict[str, Any]:
    """Return the fields that the JSON of every answer has; of one that is no result of a solve, the few that it has."""
    if result is None:
        return {"command": command, "schema": SCHEMA, "warnings": notes}
    check = result.verification
    verification = {} if check is None else dataclasses.asdict(check) | {"passed": check.passed, "words": str(check)}
    return {
        "command": command,
        "schema": SCHEMA,
        "causalopt": __version__,
        "status": {name: str(getattr(result.status, name)) for name in ("reason", "limit", "raw")},
        "objective": result.objective,
        "bound": result.bound,
        "gap": result.gap,
        "solver": {
            "name": result.solver,
            "version": result.solver_version,
            "method": result.method,
            "licence": result.license,
            "reason": result.solver_reason,
        },
        "formulation": result.formulation,
        "verification": verification,
        "seconds": dataclasses.asdict(result.timing) | {"total": result.timing.total},
        "warnings": list(dict.fromkeys((*notes, *map(in_options, result.warnings)))),
    }


def print_json(fields: Mapping[str, Any]) -> None:
    """Print JSON."""
    print(json.dumps(as_json_value(fields), indent=1, allow_nan=False))
