"""`causalopt subset`: the largest subset of rows whose means are close to targets."""

from __future__ import annotations

from typing import Annotated, Any

from causalopt.console import showing
from causalopt.console.arguments import STUDY, Reading, Solving, Writing, command, option
from causalopt.console.reading import require
from causalopt.console.running import Run
from causalopt.console.writing import write_picture, write_table
from causalopt_subset.problem import SubsetProblem


@command("subset")
def subset(
    *,
    target: Annotated[list[str], option("A covariate and its target, as NAME=NUMBER; repeated.", panel=STUDY)],
    tolerance: Annotated[float, option("How far a mean may be from its target.", panel=STUDY)] = 0.1,
    reading: Reading,
    solving: Solving,
    writing: Writing,
) -> int:
    """Keep as many rows of DATA as possible, with means close to targets.

    Example: causalopt subset controls.csv --target age=0.5 --target income=0
    """
    run = Run("subset", reading, solving, writing)
    goals = {name: float(value) for name, _, value in (text.partition("=") for text in target)}
    frame = run.read()
    require(frame, goals, "--target")
    frame = run.complete(frame, goals)
    with run.noting():
        problem = SubsetProblem(frame[list(goals)], list(goals.values()), tolerance)
        answer = run.solve(problem)
        run.write(problem, answer, output=write_table(frame.loc[answer.kept]), plot=write_picture(answer.plot))
    return run.show(answer, lambda: {"kept": list(answer.kept)}, lambda console: _show(console, answer))


def _show(console: Any, answer: Any) -> None:
    showing.print_result(answer, console)
    console.print(f"kept {len(answer.kept):,} of {len(answer.labels):,}", highlight=False)
