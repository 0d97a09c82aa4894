"""The figures as one HTML page that needs nothing but itself: plots, sortable tables, no request to anywhere."""

from __future__ import annotations

import base64
import functools
import gzip
import json
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from causalopt.bench.report import charts
from causalopt.bench.report.answers import MEANINGS
from causalopt.bench.report.figures import Figures, Table, is_number, without_idle, without_suite
from causalopt.bench.report.text import HEADINGS, place
from causalopt.bench.report.words import printable, written
from causalopt.bench.store.sqlite import StoreError
from causalopt.errors import DataError

#: Tables with as many rows as this get a field that filters them.
FILTERED = 12

#: Longer words may be broken anywhere.
LONGEST_WORD = 30

#: Bytes that a page may have, and how many rows of a table it shows, tried in this order until it fits.
LARGEST = 6_000_000
MOST_ROWS = (5000, 2000, 800, 300, 100, 30)

TEMPLATES = Path(__file__).parent / "templates"


def write_page(figures: Figures, path: str | Path) -> int:
    """Write the page of figures to a file; return its size in bytes.

    The page is written beside its place and moved there whole, so that a page of before stays until then.

    Parameters
    ----------
    figures : Figures
        As `causalopt.bench.report.figures.gather` returns them.
    path : str or Path

    Returns
    -------
    int
        Size of the file in bytes.

    Raises
    ------
    StoreError
        Where the file cannot be written.
    DataError
        Where jinja2 or plotly is not installed.

    Examples
    --------
    >>> from causalopt.bench import Store, gather, write_page
    >>> with Store("benchmarks.sqlite") as store:  # doctest: +SKIP
    ...     write_page(gather(store), "report.html")
    """
    path = Path(path)
    page = render(figures).encode()
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
    except OSError as error:
        raise _cannot(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(page)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except OSError as error:
        raise _cannot(path, error) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)
    return len(page)


def _cannot(path: Path, error: OSError) -> StoreError:
    advice = "Make the folder first, or name another file." if not path.parent.is_dir() else "Name another file."
    return StoreError(f"{path} cannot be written: {error.strerror or error}. {advice}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def render(figures: Figures) -> str:
    """Return the page of figures as HTML; the same figures give the same page."""
    try:
        import jinja2

        plotly = _plotly()
    except ImportError as error:
        raise DataError(f"The page needs the package {error.name}: pip install 'pycausalopt[report]'.") from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    solvers = charts.everyone(figures.runs)
    looks = charts.styles(solvers)
    template = environment.get_template("report.html")
    parts = {
        "figures": figures,
        "profile": charts.profile(figures.runs, looks),
        "scaling": charts.scaling(figures.runs, looks),
        "split": charts.split(figures.runs, solvers),
        "meanings": MEANINGS,
        "filtered": FILTERED,
        "printable": printable,
        "identifier": identifier,
        "as_json": as_json,
        "style": (TEMPLATES / "report.css").read_text(),
        "script": (TEMPLATES / "report.js").read_text(),
        "plotly": plotly,
    }
    for most in MOST_ROWS:
        views = {title: view(table, most) for title, table in figures.tables.items()}
        text: str = template.render(view=views, **parts)
        if len(text.encode()) <= LARGEST:
            break
    return text


@functools.cache
def _plotly() -> str:
    """Return plotly's script, packed."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


def view(table: Table, most: int = MOST_ROWS[0]) -> dict[str, Any]:
    """Return a table as the template shows it: headings, and at most so many rows of cells with numbers for sorting."""
    frame = without_suite(without_idle(table).frame)[:most]
    if table.title == "Best by problem":
        frame = _best(table, frame)
    columns = [
        _cells(frame[name], table.units.get(str(name), "")) if is_number(frame[name]) else [*map(_text, frame[name])]
        for name in frame
    ]
    return {
        "title": table.title,
        "note": table.note,
        "cut": f"The first {most:,} of {len(table):,} rows; all are in the JSON report." if len(table) > most else "",
        "headings": [
            {"name": name, "shown": HEADINGS.get(str(name), str(name)), "number": is_number(frame[name])}
            for name in frame
        ],
        "rows": list(zip(*columns, strict=True)),
    }


Cell = tuple[str, str, str]
"""What is shown, the number that stands behind it (empty for text), and how it is set."""


def _cells(column: pd.Series, unit: str) -> list[Cell]:
    return [(written(value, unit), _number(value), "") for value in column.tolist()]


def _number(value: float) -> str:
    return "" if value != value else f"{value:.6g}"


def _text(value: Any) -> Cell:
    if isinstance(value, tuple):
        return value
    text = written(value)
    return text, "", "long" if max(map(len, text.split()), default=0) > LONGEST_WORD else ""


def _best(table: Table, frame: pd.DataFrame) -> pd.DataFrame:
    rows = table.frame[: len(frame)].to_dict("records")
    kept = frame[[c for c in ("suite", "problem") if c in frame]].copy()
    for title in ("fastest", "fastest solver", "fastest open-source solver"):
        kept[title] = [(place(row, title), _number(row[f"seconds ({title})"]), "place") for row in rows]
    more = ["wrong answers by", "items", *(["sizes"] if "sizes" in frame else [])]
    return pd.concat([kept, frame[more]], axis=1)


def identifier(title: str) -> str:
    """Return a title as the name of an anchor; titles are the program's own, never from a store."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def as_json(chart: charts.Chart) -> Any:
    """Return a chart as JSON that can stand in a script element: no character of it can end the element."""
    from markupsafe import Markup

    text = json.dumps({"data": chart.data, "layout": chart.layout}, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # escaped above, by the rules of JSON rather than of HTML
