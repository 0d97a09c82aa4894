"""`causalopt solvers`: which solvers are here and work, under which licence, and what is known against them."""

from __future__ import annotations

from typing import Annotated, Any

from rich.console import Console
from rich.table import Table

from causalopt.console import showing
from causalopt.console.arguments import command, option
from causalopt.console.codes import Exit
from causalopt.console.loading import Later
from causalopt.errors import CausaloptError
from causalopt.installation import shared_name
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.options import SolveOptions

attempts = Later("causalopt.solving.attempts")
backends = Later("causalopt.solving.backend")
catalogue = Later("causalopt.solving.catalogue")


@command("solvers")
def solvers(as_json: Annotated[bool, option("Print JSON for other programs.", "--json")] = False) -> int:
    """Show which solvers are installed and work, under which licence, and what is known against them.

    Each installed solver solves one tiny program. Exit code 5: none works.
    """
    rows = [{"solver": str(name), **row} for name, row in catalogue.solvers().to_dict("index").items()]
    for row in rows:
        row["works"], row["note"] = _try(row["solver"]) if row["installed"] else (False, "")
    code = Exit.PROVEN if any(row["works"] for row in rows) else Exit.NO_SOLVER
    if as_json:
        facts = {"command": "solvers", "schema": showing.SCHEMA, "exit_code": code, "solvers": rows}
        showing.print_json(facts | {"installation": shared_name()})
    else:
        _show(rows, Console())
    return code


def _try(name: str) -> tuple[bool, str]:
    """Solve min x, x >= 1; for a family of solvers, by those that are installed."""
    program = Program.from_arrays([1.0], [[1.0]], row_lower=1.0)
    family = backends.load_backend(name).tested_variants
    works, failed = [], []
    for candidate in [f"{name}:{variant}" for variant in family] or [name]:
        try:
            if attempts.solve_program(program, backends.get_backend(candidate), SolveOptions()).is_optimal:
                works.append(candidate)
        except CausaloptError as error:
            failed.append(f"{candidate} fails: {error}")
    if family and works:
        return True, f"write {name}:NAME, such as {' or '.join(works)}"
    return bool(works), "; ".join(failed)


def _show(rows: list[dict[str, Any]], console: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("solver", "works", "version", "licence", "takes"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "solver")
    for row in rows:
        state = "yes" if row["works"] else "NO" if row["installed"] else "not installed"
        table.add_row(row["solver"], state, row["version"], row["licence"], _short(row["classes"]))
    console.print(table, highlight=False)
    for row in rows:
        notes = [
            f"licence limits: {row['limits']}" if row["limits"] else "",
            f"licence expires: {row['expires']}" if row["expires"] else "",
            row["note"],
            row["advisories"],
        ]
        if any(notes):
            showing.show_facts({row["solver"]: "\n".join(f"- {note}" for note in notes if note)}, console)
    if amiss := shared_name():
        showing.show_facts({"causalopt": f"- {amiss}"}, console)
    console.print("\n'auto' takes an exact fast path of the problem, else the first open-source solver that takes it.")


def _short(classes: str) -> str:
    """Name the classes a solver takes in few words: all, or which."""
    taken = set(classes.split(", ")) if classes else set()
    return "every class" if taken == set(ProblemClass) else classes
