"""What the suite found, for people: a table on the terminal, and the support tables of the documentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from causalopt.modeling.program import ProblemClass
from causalopt.solving.backend import Ability, Backend, backend_names, load_backend
from causalopt.solving.catalogue import ADVISORIES
from causalopt.testing.case import FAMILIES
from causalopt.testing.runner import Report, Status, all_cases


def show(console: Console, reports: Sequence[Report]) -> None:
    """Print what passed by family, then every failure and exclusion by name."""
    table = Table(title="Conformance: passed of those that apply", title_justify="left")
    table.add_column("family")
    table.add_column("cases", justify="right")
    for report in reports:
        table.add_column(f"{report.backend} {report.version}", justify="right")
    for family in FAMILIES:
        table.add_row(*_row(family, reports))
    table.add_section()
    table.add_row(*_row(None, reports))
    table.add_row("seconds", "", *(f"{sum(o.seconds for o in report.outcomes):.1f}" for report in reports))
    console.print(table)
    for report in reports:
        for outcome in report.outcomes:
            if outcome.status in (Status.FAILED, Status.EXCLUDED):
                style = "bold red" if outcome.status is Status.FAILED else "yellow"
                console.print(f"[{style}]{outcome.status}[/] {report.backend}, {outcome.case.name}: ", end="")
                console.print(outcome.detail, markup=False, highlight=False)


def _row(family: str | None, reports: Sequence[Report]) -> list[str]:
    """Return family (None for all), number of cases, and passed/applicable by report; a blank where none applies."""
    count = sum(family in (None, case.family) for case in all_cases())
    cells = []
    for report in reports:
        passed = report.count(Status.PASSED, family)
        asked = passed + report.count(Status.FAILED, family) + report.count(Status.EXCLUDED, family)
        cells.append(f"{passed}/{asked}" if asked else "")
    return [family or "all", str(count), *cells]


def markdown(reports: Sequence[Report]) -> str:
    """Return the page of the documentation: what passed, what is left out and supported, what is known to be wrong."""
    head = ["family", "cases", *(f"{r.backend} {r.version}" for r in reports)]
    left_out = [
        [f"{report.backend}", f"`{outcome.case.name}`", outcome.detail]
        for report in reports
        for outcome in report.outcomes
        if outcome.status is Status.EXCLUDED
    ]
    known = [
        [a.solver, f"{a.since} to before {a.fixed}" if a.fixed else f"{a.since} on", a.text, a.source]
        for a in ADVISORIES
    ]
    return "\n".join(
        [
            "# Conformance",
            "",
            "Written by `python -m causalopt.testing --markdown docs/conformance.md`: of the cases that apply to a",
            "solver (its classes and abilities), how many its backend passes. A blank means that none applies.",
            "",
            *_table(head, [_row(family, reports) for family in (*FAMILIES, None)]),
            "",
            "## Left out by a backend",
            "",
            *_table(["backend", "case", "why"], left_out),
            "",
            "## What each backend takes and can do",
            "",
            "`pyomo` stands for what is true of all of Pyomo's solvers; each adds what is known of it.",
            "",
            *_supported(),
            "",
            "## Versions with known wrong answers and traps",
            "",
            *_table(["solver", "versions", "what is wrong", "known from"], known),
            "",
        ]
    )


def _supported() -> list[str]:
    backends = [load_backend(name) for name in backend_names()]
    supported: list[tuple[str, Callable[[Backend], bool]]] = [
        *((str(c), lambda b, c=c: c in b.classes) for c in ProblemClass),
        *((str(a), lambda b, a=a: a in b.abilities) for a in Ability),
    ]
    rows = [[name, *("yes" if has(b) else "" for b in backends)] for name, has in supported]
    return _table(["", *(b.name for b in backends)], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)]
