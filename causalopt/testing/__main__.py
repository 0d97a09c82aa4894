"""`python -m causalopt.testing [solver ...]`: run the conformance cases and print a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from causalopt.errors import CausaloptError
from causalopt.testing.runner import Report, Status, run, runnable, summary_rows


def show(console: Console, reports: list[Report]) -> None:
    """Print what passed by family, and every failure and exclusion by name."""
    table = Table(title="Conformance: passed of those that apply", title_justify="left")
    table.add_column("family")
    table.add_column("cases", justify="right")
    for report in reports:
        table.add_column(f"{report.backend} {report.version}", justify="right")
    for row in summary_rows(reports):
        cells = [row[report.backend] for report in reports]
        shown = [f"{passed}/{asked}" if asked else "" for passed, asked, _, _ in cells]
        table.add_row(row["family"], str(row["cases"]), *shown)
    console.print(table)
    for report in reports:
        for outcome in report.outcomes:
            if outcome.status in (Status.FAILED, Status.EXCLUDED):
                console.print(
                    f"{report.backend}: {outcome.case.name} {outcome.status}: {outcome.detail}", highlight=False
                )


def markdown(reports: list[Report]) -> str:
    """Return the support tables for the documentation."""
    head = ["family", "cases", *(f"{r.backend} {r.version}" for r in reports)]
    lines = [
        "# Conformance",
        "",
        "Written by `python -m causalopt.testing --markdown docs/conformance.md`: of the cases that apply to a solver",
        "(its classes and abilities), how many its backend passes. A blank means that none applies.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    for row in summary_rows(reports):
        cells = [row[report.backend] for report in reports]
        shown = [f"{passed}/{asked}" if asked else "" for passed, asked, _, _ in cells]
        lines.append("| " + " | ".join([row["family"], str(row["cases"]), *shown]) + " |")
    left_out = [
        f"- {report.backend}, `{outcome.case.name}`: {outcome.detail}"
        for report in reports
        for outcome in report.outcomes
        if outcome.status is Status.EXCLUDED
    ]
    if left_out:
        lines += ["", "Cases that a backend says it cannot do:", "", *left_out]
    return "\n".join(lines) + "\n"


def main(
    solvers: Annotated[list[str] | None, typer.Argument(help="Backends; all installed ones by default.")] = None,
    markdown_file: Annotated[Path | None, typer.Option("--markdown", help="Write the tables to a page.")] = None,
) -> None:
    """Run the conformance cases; the exit code is 1 where one failed."""
    console = Console()
    try:
        reports = [run(name) for name in solvers or runnable()]
    except CausaloptError as error:
        console.print(f"[bold red]{type(error).__name__}[/]: {error}", highlight=False)
        raise typer.Exit(2) from None
    show(console, reports)
    if markdown_file is not None:
        markdown_file.write_text(markdown(reports))
    if not all(reports):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
