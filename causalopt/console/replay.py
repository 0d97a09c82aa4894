"""`causalopt replay` and `causalopt export`: a capsule solved again, or written as a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from causalopt.console import showing
from causalopt.console.arguments import command, option
from causalopt.console.codes import Exit
from causalopt.console.loading import Later
from causalopt.console.running import caught_warnings
from causalopt.console.waiting import sign_of_life
from causalopt.console.writing import Files, write_model

capsules = Later("causalopt.solving.capsules.capsule")

CapsulePath = Annotated[Path, typer.Argument(help="A file that --capsule wrote.", metavar="CAPSULE")]


@command("replay")
def replay(
    path: CapsulePath,
    solver: Annotated[str | None, option("A solver in place of the recorded one.")] = None,
    time_limit: Annotated[float | None, option("Seconds, in place of the recorded limit.")] = None,
    as_json: Annotated[bool, option("Print JSON for other programs.", "--json")] = False,
) -> int:
    """Solve a capsule again, and compare with the recorded claim.

    Exit code 0: the replay agrees; 4: it does not contradict the record, and did not reach the same; 6: they
    contradict each other, or the record does not survive recomputation.
    """
    capsule = capsules.Capsule.load(path)
    notes: list[str] = []
    with caught_warnings(notes), sign_of_life("solving (Ctrl-C keeps the best solution so far)"):
        again = capsule.replay(solver, time_limit=time_limit, isolate=True)
    code = Exit.REFUTED if again.contradictions else Exit.PROVEN if again.agrees else Exit.UNPROVEN
    if as_json:
        claim = capsule.claim
        showing.print_json(
            showing.result_json("replay", again.result, notes)
            | {
                "exit_code": code,
                "agrees": again.agrees,
                "verdict": again.verdict,
                "contradictions": again.contradictions,
                "recorded": {
                    "status": {name: str(getattr(claim.status, name)) for name in ("reason", "limit", "raw")},
                    "objective": claim.objective,
                    "bound": claim.bound,
                    "solver": capsule.solver,
                    "version": capsule.solver_version,
                    "passed": again.recorded.passed,
                    "verification": str(again.recorded),
                    "platform": capsule.platform,
                },
                "program": capsule.program.describe(),
                "note": capsule.note,
            }
        )
    else:
        _show(capsule, again)
        showing.show_notes(notes, [])
    return code


def _show(capsule: Any, again: Any) -> None:
    console = Console()
    of = " of a ".join(part for part in (capsule.formulation, capsule.problem) if part)
    facts = {"program": f"{capsule.program.describe()}{f' ({of})' if of else ''}", "note": capsule.note}
    showing.show_facts({name: text for name, text in facts.items() if text}, console)
    table = again.to_frame()
    for column in table.columns:
        table[column] = [f"{value:.10g}" if isinstance(value, float) else value for value in table[column]]
    showing.show_table(console, table, "Recorded, and now")
    console.print()
    console.print(f"The replay {again.verdict}.", markup=False, highlight=False)


@command("export")
def export(
    path: CapsulePath,
    files: Annotated[list[Path], typer.Argument(help="Files to write: .lp, .mps or .nl.", metavar="FILE...")],
    force: Annotated[bool, option("Replace files that exist.", "--force")] = False,
) -> int:
    """Write the program of a capsule as LP, MPS or NL files, for any solver. Variable j is column j of the program.

    To write a model straight from data, give --export to the command that solves it.
    """
    checked = [Files(force, export=file) for file in files]
    program = capsules.Capsule.load(path).program
    for each in checked:
        showing.show_notes([], each.write(export=write_model(lambda: program)))
    return Exit.PROVEN
