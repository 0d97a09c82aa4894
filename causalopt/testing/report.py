"""What the suite found, for people: a table on the terminal, and the tables of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from causalopt.modeling.program import ProblemClass
from causalopt.solving.backend import Ability, backend_names, load_backend
from causalopt.solving.catalogue import ADVISORIES
from causalopt.testing.case import FAMILIES
from causalopt.testing.runner import Report, Status, all_cases


def show(console: Console, report: Report) -> None:
    """Print one backend's report: a row a family, then every failure and exclusion."""
    title = f"{report.backend} {report.version} ({report.license} licence)"
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("family", "passed", "failed", "excluded", "not applicable", "seconds"):
        table.add_column(name, justify="left" if name == "family" else "right")
    for family in FAMILIES:
        table.add_row(family, *_counts(report, family))
    table.add_section()
    table.add_row("all", *_counts(report, None))
    console.print(table)
    for status, style in ((Status.FAILED, "bold red"), (Status.EXCLUDED, "yellow")):
        for outcome in report.outcomes:
            if outcome.status is status:
                console.print(f"[{style}]{status}[/] {outcome.case.name}: ", end="")
                console.print(outcome.detail, markup=False, highlight=False)


def _counts(report: Report, family: str | None) -> list[str]:
    seconds = sum(o.seconds for o in report.outcomes if family in (None, o.case.family))
    failed = report.count(Status.FAILED, family)
    return [
        str(report.count(Status.PASSED, family)),
        f"[bold red]{failed}[/]" if failed else "",
        str(report.count(Status.EXCLUDED, family) or ""),
        str(report.count(Status.NOT_APPLICABLE, family) or ""),
        f"{seconds:.2f}",
    ]


def conformance_markdown(reports: Sequence[Report]) -> str:
    """Return the support table: for each family and backend, how many of the cases that apply passed."""
    lines = [
        "| family | cases | " + " | ".join(f"{r.backend} {r.version}" for r in reports) + " |",
        "|---|---:|" + "---:|" * len(reports),
    ]
    for family in FAMILIES:
        count = sum(case.family == family for case in all_cases())
        lines.append(f"| {family} | {count} | " + " | ".join(_cell(r, family) for r in reports) + " |")
    lines.append(f"| **all** | {len(all_cases())} | " + " | ".join(_cell(r, None) for r in reports) + " |")
    found = [
        f"- `{r.backend}` leaves out `{o.case.name}`: {o.detail}."
        for r in reports
        for o in r.outcomes
        if o.status is Status.EXCLUDED
    ]
    found += [
        f"- `{r.backend}` FAILS `{o.case.name}`: {o.detail}" for r in reports for o in r.outcomes if o in r.failures
    ]
    return "\n".join([*lines, "", *found]) if found else "\n".join(lines)


def _cell(report: Report, family: str | None) -> str:
    passed = report.count(Status.PASSED, family)
    applicable = passed + report.count(Status.FAILED, family) + report.count(Status.EXCLUDED, family)
    return f"{passed} of {applicable}" if applicable else "-"


def support_markdown() -> str:
    """Return which classes and abilities each registered backend states; the same on every machine."""
    backends = [load_backend(name) for name in backend_names()]
    rows: list[tuple[str, Any]] = [(str(c), lambda b, c=c: c in b.classes) for c in ProblemClass]
    rows += [(str(a), lambda b, a=a: a in b.abilities) for a in Ability]
    lines = ["| | " + " | ".join(b.name for b in backends) + " |", "|---|" + ":-:|" * len(backends)]
    lines += [f"| {name} | " + " | ".join("yes" if has(b) else "" for b in backends) + " |" for name, has in rows]
    return "\n".join(lines)


def advisories_markdown() -> str:
    """Return the known wrong answers by solver and version."""
    lines = ["| solver | versions | what is wrong | source |", "|---|---|---|---|"]
    for a in ADVISORIES:
        versions = f"{a.since} to before {a.fixed}" if a.fixed else f"from {a.since}"
        lines.append(f"| {a.solver} | {versions} | {a.text} | {a.source} |")
    return "\n".join(lines)


def write_between_marks(path: Path, name: str, content: str) -> None:
    """Replace what stands between the marks of this name in a Markdown file."""
    text = path.read_text()
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    if begin not in text or end not in text:
        raise ValueError(f"{path} has no marks {begin} and {end}.")
    before, rest = text.split(begin, 1)
    path.write_text(f"{before}{begin}\n{content}\n{end}{rest.split(end, 1)[1]}")
