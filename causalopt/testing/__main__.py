"""Run the conformance suite from the command line: `python -m causalopt.testing gurobi`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from causalopt.errors import CausaloptError
from causalopt.testing.report import (
    advisories_markdown,
    conformance_markdown,
    show,
    support_markdown,
    write_between_marks,
)
from causalopt.testing.runner import missing, run, runnable


def main(
    backends: Annotated[
        list[str] | None, typer.Argument(help="Backends to run; all that are installed by default.")
    ] = None,
    docs: Annotated[
        Path | None, typer.Option(help="Folder of conformance.md and solvers.md, whose tables are written anew.")
    ] = None,
) -> None:
    """Solve small programs with known answers on each backend, and show what passed."""
    console = Console()
    names = backends or runnable()
    try:
        reports = []
        for name in names:
            reports.append(run(name))
            show(console, reports[-1])
    except CausaloptError as error:
        console.print(f"[bold red]{type(error).__name__}[/]: {error}", highlight=False)
        raise typer.Exit(2) from None
    forgotten = missing(names)
    if forgotten:
        console.print(f"[yellow]not run[/]: {', '.join(forgotten)}")
    if docs is not None:
        if forgotten:
            console.print("[bold red]The tables need every backend: name none, to run all.[/]")
            raise typer.Exit(2)
        write_between_marks(docs / "conformance.md", "conformance", conformance_markdown(reports))
        write_between_marks(docs / "solvers.md", "support", support_markdown())
        write_between_marks(docs / "solvers.md", "advisories", advisories_markdown())
    if not all(reports):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
