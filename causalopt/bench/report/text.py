"""The figures of a store for a terminal, for a README, and for other programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Drawn
from rich.text import Text

from causalopt.bench.report.figures import SMALLEST_DIFFERENCE, Figures, Table, is_number, without_idle, without_suite
from causalopt.bench.report.growth import FAMILY
from causalopt.bench.report.metrics import ITEM
from causalopt.bench.report.words import printable, written
from causalopt.bench.store.status import Status

#: Headings as they are shown, since cells have their unit.
HEADINGS = {
    "total (s)": "total",
    "median (s)": "median",
    "largest (s)": "largest",
    "shift 0.001 s": "shift 1 ms",
    "shift 0.01 s": "shift 10 ms",
    "solver_version": "version",
    "license": "licence",
}

#: Shorter ones for a terminal.
SHORT = {
    **HEADINGS,
    "lower quartile": "lower quart.",
    "upper quartile": "upper quart.",
    "repetitions": "reps",
    "relative difference": "relative diff.",
}

#: Words up to this length are not folded.
WORD = 16

#: Tables of many columns and few rows, which are shown on their side.
WIDE = ("What was run", "Machines")

#: What a narrow place has no room for.
LEFT_OUT = {
    "Times by item": ["problem", "size", "columns", "kind", "gap", "peak memory"],
    "Fastest by size": ["kind"],
    "Price of heuristics": ["optimum", "value"],
    "Not settled": ["kind"],
}

#: Columns that describe; where all rows say the same, it is said once below the table.
DESCRIPTIVE = ("suite", "formulation", "kind", "what", "heuristic", "settled", "repetitions", "runs")


def for_people(table: Table) -> Table:
    """Return a table as a narrow place shows it: what is the same in all rows is said once, words are put together."""
    table = without_idle(table)
    table = dataclasses.replace(table, frame=table.frame.drop(columns=LEFT_OUT.get(table.title, []), errors="ignore"))
    if table.title == "Best by problem":
        table = dataclasses.replace(table, frame=_best(table))
    if table.title == "Success and correctness":
        table = dataclasses.replace(table, frame=_ends(table.frame))
    if table.title == "Agreement":
        table = _disagreements(table)
    if table.title == "Growth with size":
        known = table.frame["exponent"].notna() if "exponent" in table.frame else table.frame["solver"].isna()
        table = dataclasses.replace(table, frame=table.frame[known | table.frame.get("failed from", known).notna()])
    frame, note = without_suite(table.frame), table.note
    for name in DESCRIPTIVE:
        if name in frame and len(frame) > 1 and len(frame.columns) > 2 and frame[name].nunique(dropna=False) == 1:
            note += f" All rows: {name} {written(frame[name].iloc[0], table.units.get(name, ''))}."
            frame = frame.drop(columns=name)
    if table.title in WIDE:
        return dataclasses.replace(table, frame=_sideways(frame, table.units), note="")
    return dataclasses.replace(
        table, frame=_together(_together(frame, ITEM, "item"), FAMILY, "problem"), note=note.strip()
    )


def place(row: Mapping[str, Any], title: str) -> str:
    """Write who is best, how fast, how many of the items it settled, and how sure its answers are."""
    if not row[f"settled ({title})"]:
        return "none settled"
    time = written(row[f"seconds ({title})"], "seconds")
    settled = f"{time} ({row[f'settled ({title})']:.0f}/{row['items']})"
    return f"{written(row[title])}\n{settled}\n{row[f'answer ({title})']}"


def _best(table: Table) -> pd.DataFrame:
    titles = ("fastest", "fastest solver", "fastest open-source solver")
    rows = table.frame.to_dict("records")
    kept = table.frame[[c for c in ("suite", "problem") if c in table.frame]].copy()
    for title in titles:
        kept[title] = [place(row, title) for row in rows]
    kept["wrong answers by"] = table.frame["wrong answers by"]
    return kept


def _ends(frame: pd.DataFrame) -> pd.DataFrame:
    names = [str(s) for s in Status if str(s) in frame]
    ends = [", ".join(f"{row[n]:,.0f} {n}" for n in names if row[n]) for row in frame.to_dict("records")]
    return frame.drop(columns=names).assign(**{"how runs ended": ends})


def _disagreements(table: Table) -> Table:
    apart = table.frame["relative difference"] > SMALLEST_DIFFERENCE
    alike = len(apart) - int(apart.sum())
    note = f"{table.note} {alike:,} of {len(apart):,} agree to one part in a million"
    note += "; the others:" if apart.any() else "."
    return dataclasses.replace(table, frame=table.frame[apart], note=note if len(apart) else table.note)


def _together(frame: pd.DataFrame, names: Sequence[str], title: str) -> pd.DataFrame:
    """Put the words that name an item, or a family of items, into one column."""
    parts = [name for name in names if name in frame]
    if names[1] not in parts or len(parts) == 1:
        return frame
    words = [frame[name].astype(str).map("({})".format if name == "formulation" else str) for name in parts]
    joined = [" ".join(word for word in row if word not in ("", "()")) for row in zip(*words, strict=True)]
    rest = frame.drop(columns=parts)
    rest.insert(0, title, pd.Series(joined, index=frame.index, dtype=object))
    return rest


def _sideways(frame: pd.DataFrame, units: Mapping[str, str]) -> pd.DataFrame:
    cells = {c: [written(v, units.get(str(c), "") if is_number(frame[c]) else "") for v in frame[c]] for c in frame}
    words = pd.DataFrame(cells, dtype=object)
    first = words.columns[0]
    return words.set_index(first).T.rename_axis(columns=None).rename_axis(str(first)).reset_index()


def to_terminal(figures: Figures, console: Console, everything: bool = False) -> None:
    """Print the figures; text from stores is shown as it is, never as markup.

    Parameters
    ----------
    figures : Figures
    console : rich.console.Console
    everything : bool
        All tables, not the main ones only.
    """
    console.print(Text(printable(figures.lead)))
    left = []
    for table in figures.tables.values():
        if everything or table.main:
            draw(table, console)
        elif len(table):
            left.append(table.title)
    console.print(Text("\nWhat this means if you choose a solver", style="bold"))
    for topic, sentence in figures.advice:
        console.print(Text.assemble("- ", (printable(topic), "bold"), ": ", printable(sentence)))
    if everything:
        console.print(Text("\nKnown limitations", style="bold"))
        for sentence in figures.limitations:
            console.print(Text(f"- {printable(sentence)}"))
    elif left:
        console.print(Text(f"\nAlso, with --all: {', '.join(left)}; known limitations. As a page: --html FILE."))


def draw(table: Table, console: Console) -> None:
    """Print one table, within the console's width: cells are folded, not cut."""
    people = for_people(table)
    if not len(table) or not (len(people) or table.title == "Agreement"):
        return
    console.print(Text(f"\n{table.title}", style="bold"))
    if len(people):
        cells = {name: _cells(people, name) for name in people.frame}
        drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        headings = {name: SHORT.get(str(name), str(name)) for name in people.frame}
        numbers = {name for name, column in people.frame.items() if is_number(column)}
        sizes = widths(headings, cells, numbers, console.width)
        for name, heading in headings.items():
            right = name in numbers
            drawn.add_column(
                Text(heading.replace(" ", "\n") if right else heading),
                justify="right" if right else "left", overflow="fold", width=sizes[name],
            )  # fmt: skip
        for row in zip(*cells.values(), strict=True):
            drawn.add_row(*map(Text, row))
        console.print(drawn)
    if people.note:
        console.print(Text(people.note, style="dim"))


def widths(
    headings: Mapping[str, str], cells: Mapping[str, Sequence[str]], numbers: Set[str], room: int
) -> dict[str, int]:
    """Return the width of each column so that all fit: text is folded first, the widest most, and numbers last.

    Examples
    --------
    >>> widths({"a": "a", "b": "b"}, {"a": ["x" * 90], "b": ["1,234"]}, {"b"}, 80)
    {'a': 71, 'b': 5}
    """
    lines = {name: [line for cell in cells[name] for line in cell.split("\n")] for name in headings}
    words = {name: [w for text in (headings[name], *lines[name]) for w in text.split()] for name in headings}
    longest = {name: max(map(len, words[name]), default=1) for name in headings}
    found = {
        name: max([*map(cell_len, lines[name]), *map(len, headings[name].split() if name in numbers else [heading])])
        for name, heading in headings.items()
    }
    spare = room - 2 * len(headings) - sum(found.values())  # two spaces between columns
    for shrinking, least in (
        (set(headings) - numbers, {name: min(longest[name], WORD) for name in headings}),  # between words
        (set(headings) - numbers, dict.fromkeys(headings, 7)),  # within words
        (numbers, longest),  # between a number and its unit
    ):
        while spare < 0:
            name = max(shrinking, key=lambda n: (found[n] - least[n] > 0, found[n]), default=None)
            if name is None or found[name] <= least[name]:
                break
            found[name] -= 1
            spare += 1
    return found


def _cells(table: Table, name: str) -> list[str]:
    unit = table.units.get(name, "") if is_number(table.frame[name]) else ""
    return ["\n".join(written(v, unit) for v in _lines(value)) for value in table.frame[name]]


def _lines(value: Any) -> list[Any]:
    return value.split("\n") if isinstance(value, str) else [value]


def to_markdown(figures: Figures, everything: bool = False) -> str:
    """Return the figures as Markdown: the main tables, or all."""
    parts = [_escaped(figures.lead), ""]
    parts += [f"- **{_escaped(topic)}**: {_escaped(sentence)}" for topic, sentence in figures.advice] + [""]
    for table in figures.tables.values():
        people = for_people(table)
        if not len(people) or not (everything or table.main):
            continue
        parts.append(f"## {table.title}\n")
        if people.note:
            parts.append(f"{_escaped(people.note)}\n")
        parts.append("| " + " | ".join(_escaped(HEADINGS.get(str(n), str(n))) for n in people.frame) + " |")
        parts.append("|" + "".join(" ---: |" if is_number(c) else " --- |" for _, c in people.frame.items()))
        columns = [_cells(people, name) for name in people.frame]
        parts += ["| " + " | ".join(map(_escaped, row)) + " |" for row in zip(*columns, strict=True)]
        parts.append("")
    if everything:
        parts += ["## Known limitations\n", *(f"- {_escaped(sentence)}" for sentence in figures.limitations), ""]
    return "\n".join(parts)


def _escaped(text: str) -> str:
    text = printable(text.replace("\n", ", "))
    for character in "\\|<>*_`[]":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


def to_json(tables: Mapping[str, pd.DataFrame], figures: Figures | None = None) -> str:
    """Return tables as JSON: {title: [{column: value}]}, numbers in full, missing ones null."""
    plain: dict[str, Any] = {}
    if figures is not None:
        plain["About"] = figures.lead
        plain["Choosing a solver"] = [{"topic": topic, "sentence": text} for topic, text in figures.advice]
    for title, table in tables.items():
        plain[title] = json.loads(table.to_json(orient="records", double_precision=15))
    if figures is not None:
        plain["Known limitations"], plain["How to reproduce"] = figures.limitations, figures.commands
    return json.dumps(plain, indent=1)
