"""The program behind an answer, and the capsule that replays it."""

from __future__ import annotations

from typing import Any

from causalopt.console.arguments import Solving
from causalopt.console.missing import Dropped
from causalopt.console.running import solve_options


def program_of(problem: Any, answer: Any) -> Any:
    """Return the program that was solved."""
    from causalopt.solving.capsule import Capsule

    return Capsule.of(problem, answer).program


def save_capsule(problem: Any, answer: Any, solving: Solving, path: Any, *dropped: Dropped | None) -> None:
    """Write what was solved, how, the answer, and what of the data was left out."""
    from causalopt.solving.capsule import Capsule

    note = " ".join(str(each) for each in dropped if each is not None)
    Capsule.of(problem, answer, solve_options(solving), note=note).save(path)
