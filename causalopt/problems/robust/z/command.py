"""`causalopt robust-z`: the robust Z test, for one number of pairs, several, or the whole curve."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console

from causalopt.console import showing
from causalopt.console.arguments import (
    STUDY,
    Outcome,
    Reading,
    Solving,
    Treated,
    Treatment,
    Writing,
    command,
    mapping,
    names,
    number,
    option,
    value_or_mapping,
    whole_number,
)
from causalopt.console.codes import Exit, left_out
from causalopt.console.loading import Later
from causalopt.console.reading import columns_named, refuse_text, require, value_of
from causalopt.console.running import Run, arguments_of
from causalopt.console.waiting import sign_of_life
from causalopt.console.writing import write_picture, write_table
from causalopt.errors import DataError, InfeasibleError, OptionError

if TYPE_CHECKING:
    import pandas as pd

problems = Later("causalopt.problems.robust.z.problem")
results = Later("causalopt.problems.robust.z.result")
curves = Later("causalopt.problems.robust.z.curve")
graphs = Later("causalopt.study.match_graph")
reasons = Later("causalopt.study.too_few_pairs")

MANY_PROGRAMS = (
    "the answer takes several programs, none of which says it alone. --output has its pairs, from which anybody "
    "recomputes it; RobustZProblem.build in Python gives each of the programs."
)


@dataclasses.dataclass(kw_only=True)
class Question:
    """Which pairs are good matches, and how many are asked for."""

    outcome: Outcome
    treatment: Treatment
    exact: Annotated[
        list[str] | None,
        option(
            "Columns in which both units of a pair must agree; with commas, or repeated.",
            panel=STUDY,
            metavar="COLUMNS",
        ),
    ] = None
    caliper: Annotated[
        list[str] | None,
        option(
            "Largest difference of a pair in a column, as age=5; may be repeated.", panel=STUDY, metavar="NAME=NUMBER"
        ),
    ] = None
    rounding: Annotated[
        list[str] | None,
        option(
            "Decimals to which caliper columns are rounded first: a number for all, or age=0.",
            panel=STUDY,
            metavar="[NAME=]NUMBER",
        ),
    ] = None
    treated: Treated = None
    control: Annotated[
        str | None, option("Which value counts as control; rows of other values are left out.", panel=STUDY)
    ] = None
    pairs: Annotated[
        str,
        option(
            "How many pairs: a number, several with commas, largest, or curve (from 2 to the largest).", panel=STUDY
        ),
    ] = "largest"
    level: Annotated[float, option("Level of the test.", panel=STUDY)] = 0.05


@command("robust-z", calipers="--caliper")
def robust_z(*, asked: Question, reading: Reading, solving: Solving, writing: Writing) -> int:
    """Test for a positive effect over every way to pair good matches in DATA.

    There is no --capsule and no --export here: both extremes are proven by many programs, none of which says it alone.
    --output has the pairs, from which anybody recomputes Z; RobustZProblem.build in Python gives each program.

    Example: causalopt robust-z study.csv --outcome y --treatment t --exact site --caliper age=5
    """
    run = Run("robust-z", reading, solving, writing)
    for name in ("capsule", "export"):
        run.files.refuse(name, MANY_PROGRAMS)
    results.check_level(asked.level)
    pairs = _pairs(asked.pairs)
    several = isinstance(pairs, list) or pairs == "curve"
    if not several:
        run.files.refuse("plot", "the picture is of several numbers of pairs; say --pairs curve.")
    study = _read(run, asked)
    with run.noting():
        try:
            problem = _problem(asked, study, pairs)
            answer = _curve_of(problem, pairs, solving) if several else run.solve(problem)
        except InfeasibleError as error:
            raise reasons.with_conditions(error, **study) from None
        if not several:
            run.write(output=write_table(_both(answer)))
    if several:
        return _end_with_curve(run, answer, asked.level)
    return run.show(answer, lambda: _fields(answer, asked.level), lambda console: _show(console, answer, asked.level))


def _read(run: Run, asked: Question) -> dict[str, Any]:
    """Return the rows that are used and the conditions of good matches among them, as `match_graph` takes them."""
    frame = run.read()
    outcome, treatment = columns_named(frame, asked, "outcome", "treatment")
    calipers, keys = mapping(asked.caliper, "--caliper", number), names(asked.exact, frame.columns)
    require(frame, keys, "--exact")
    require(frame, calipers, "--caliper")
    if outcome in (treatment, *keys, *calipers):
        raise DataError(f"The outcome {outcome!r} is also the treatment or a matching covariate; take it out of them.")
    frame = run.complete(frame, [treatment, outcome, *keys, *calipers], [treatment])
    refuse_text(frame, [outcome], categories=False)
    rounding = value_or_mapping(asked.rounding, "--rounding", whole_number, None) if asked.rounding else None
    values = {name: value_of(getattr(asked, name), frame[treatment]) for name in ("treated", "control")}
    return {"df": frame, "treatment": treatment, "exact": keys, "calipers": calipers, "rounding": rounding} | values


def _problem(asked: Question, study: dict[str, Any], pairs: Any) -> Any:
    """Return the problem, for the first of several numbers of pairs."""
    with sign_of_life("looking for good matches"):
        graph = graphs.match_graph(**study)
    first = pairs[0] if isinstance(pairs, list) else "largest" if pairs == "curve" else pairs
    values = study["df"][asked.outcome]
    return problems.RobustZProblem(values.loc[graph.treated], values.loc[graph.control], graph, pairs=first)


def _curve_of(problem: Any, pairs: Any, solving: Solving) -> Any:
    settings = arguments_of(solving)
    return curves.curve(problem, None if pairs == "curve" else pairs, settings.pop("solver"), **settings)


def _pairs(text: str) -> Any:
    words = names([text])
    if text in ("largest", "curve"):
        return text
    if not words:
        raise OptionError("--pairs names no number of pairs.")
    found = sorted({whole_number(word, "--pairs") for word in words})
    return found if len(words) > 1 else found[0]


def _both(answer: Any) -> pd.DataFrame:
    import pandas as pd

    sides = {"max": answer.maximum.pairs, "min": answer.minimum.pairs}
    both: pd.DataFrame = pd.concat(sides, names=["side", "pair"]).reset_index("pair", drop=True)
    return both


def _fields(answer: Any, level: float) -> dict[str, Any]:
    sides = {}
    for side in (answer.maximum, answer.minimum):
        sides[side.side] = {
            "z": side.z,
            "bound": side.bound,
            "kind": side.kind,
            "proof": str(side.proof),
            "p": side.p_value,
            "pairs": side.pairs,
        }
    return {
        "n": answer.n,
        "largest_n": answer.problem.graph.largest,
        "level": level,
        "decision": answer.decision(level),
        "alpha_robust": answer.alpha_robust(level),
        "absolute_robust": answer.absolute_robust(level),
        **sides,
    }


def _show(console: Console, answer: Any, level: float) -> None:
    showing.print_result(answer, console)
    showing.show_table(console, answer.verdicts(level), f"Verdicts at level {level:g}: {answer.decision(level)}")


def _end_with_curve(run: Run, found: Any, level: float) -> int:
    """Write and show a curve, and return the exit code."""
    table = found.table.join(found.verdicts(level))
    exact = bool(((table["min is"] == "exact") & (table["max is"] == "exact")).all())
    code = Exit.PROVEN if exact and not left_out(run.notes) else Exit.UNPROVEN
    run.write(output=write_table(table), plot=write_picture(lambda: found.plot(level=level)))

    def show(console: Console) -> None:
        console.print(found.summary(level), markup=False, highlight=False)
        columns = table[["z_min", "z_max", "p_low", "p_high", "decision"]]
        showing.show_table(console, columns, "Curve", spread=True)

    return run.show(found, lambda: {"level": level, "curve": table, "all_exact": exact}, show, code=code)
