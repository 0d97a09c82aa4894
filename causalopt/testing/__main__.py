"""`python -m causalopt.testing [solver ...]`: run the conformance cases and print a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from causalopt.errors import CausaloptError
from causalopt.testing.report import markdown, show
from causalopt.testing.runner import broken, missing, run, runnable


def main(
    solvers: Annotated[list[str] | None, typer.Argument(help="Backends; all installed ones by default.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the tables to a page.")] = None,
) -> None:
    """Run the conformance cases; the exit code is 1 where one failed."""
    console = Console()
    names = solvers or runnable()
    try:
        reports = [run(name) for name in names]
    except CausaloptError as error:
        console.print(f"[bold red]{type(error).__name__}[/]: {error}", highlight=False)
        raise typer.Exit(2) from None
    show(console, reports)
    if forgotten := missing(names):
        console.print(f"[yellow]not run[/] {', '.join(forgotten)}")
    for name, why in broken().items():
        console.print(f"[yellow]skipped[/] {name}: {escape(why)}", highlight=False)
    if markdown_file is not None:
        markdown_file.write_text(markdown(reports))
    if not all(reports):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
