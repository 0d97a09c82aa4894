"""The figures of a store for a terminal, for a README, and for other programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

#: How a table says what it means, in a sentence below its title.
NOTES = {
    "Success and correctness": "success: settled and verified, of those attempted; correct: claims that survived.",
    "Shifted geometric means (s)": "Failures are charged the time limit. 'to best': ratio to the fastest on each item.",
    "Performance profiles": "Share of items solved within this multiple of the fastest time.",
    "Growth with size": "Exponent b of seconds = a size^b, with its 95% interval.",
    "Break-even of fast paths": "The size from which the fast path stays faster.",
    "Agreement": "Optima and answers that differ between solvers by more than one part in a million.",
    "Beside peers": "Seconds from the program's arrays to the answer, and their ratio to the fastest peer.",
    "Price of heuristics": "Loss relative to the proven optimum, beside the time saved.",
    "Overhead of the harness": "Seconds beside the run itself.",
}

#: Profiles are shown at these ratios only.
SHOWN_RATIOS = (1.0, 1.5, 2.0, 5.0, 10.0, 100.0, 1000.0)

#: Relative differences up to this are agreement.
SHOWN_DIFFERENCE = 1e-6


def shown(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the tables that have something to say, as people read them: no index, no empty columns."""
    found = {}
    for title, table in tables.items():
        if title == "Performance profiles" and len(table):
            steps = table.index.to_numpy(float)
            positions = [max(int((steps <= ratio * (1 + 1e-12)).sum()) - 1, 0) for ratio in SHOWN_RATIOS]
            table = table.iloc[positions].set_axis(pd.Index(SHOWN_RATIOS, name="ratio"))
        if table.index.names != [None]:
            table = table.reset_index()
        if title == "Success and correctness":
            table = table[[c for c in table.columns if table[c].dtype == object or c in _KEPT or (table[c] != 0).any()]]
        if title == "Agreement":
            table = table[table["relative difference"] > SHOWN_DIFFERENCE]
        if title == "Growth with size":
            table = table[table["exponent"].notna() | table["failed from"].notna()]
        if len(table):
            found[title] = table
    return found


_KEPT = ("runs", "attempted", "success", "correct")


def cell(value: Any) -> str:
    """Write one value: numbers to four digits, yes and no for truth, nothing for what is missing."""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else "NO"
    if isinstance(value, int) or type(value).__name__.startswith("int"):
        return f"{value:,}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "" if math.isnan(value) else f"{value:g}"
        return f"{value:,.0f}" if value == round(value) and 1 < abs(value) < 1e15 else f"{value:.4g}"
    return str(value)


def to_terminal(tables: Mapping[str, pd.DataFrame], console: Console) -> None:
    """Print the tables; text from stores is shown as it is, never as markup."""
    from rich.text import Text

    for title, table in shown(tables).items():
        drawn = Table(title=title, title_justify="left", title_style="bold", caption=NOTES.get(title))
        for name in table.columns:
            drawn.add_column(Text(str(name)), justify="right" if table[name].dtype.kind in "fi" else "left")
        for row in table.itertuples(index=False):
            drawn.add_row(*(Text(cell(value)) for value in row))
        console.print(drawn)


def to_markdown(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the tables as Markdown."""
    parts = []
    for title, table in shown(tables).items():
        parts.append(f"## {title}\n")
        if title in NOTES:
            parts.append(f"{NOTES[title]}\n")
        parts.append("| " + " | ".join(_escaped(str(name)) for name in table.columns) + " |")
        parts.append("|" + "".join(" ---: |" if table[c].dtype.kind in "fi" else " --- |" for c in table.columns))
        parts += ["| " + " | ".join(_escaped(cell(v)) for v in row) + " |" for row in table.itertuples(index=False)]
        parts.append("")
    return "\n".join(parts)


def _escaped(text: str) -> str:
    for character in "\\|<>*_`[]":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


def to_json(tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the tables as JSON: {title: [{column: value}]}, numbers in full, missing ones null."""
    plain = {}
    for title, table in tables.items():
        full = table.reset_index() if table.index.names != [None] else table
        plain[title] = json.loads(full.to_json(orient="records", double_precision=15))
    return json.dumps(plain, indent=1)
