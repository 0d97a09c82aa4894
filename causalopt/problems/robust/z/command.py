"""`causalopt robust-z`: the robust Z test, for one number of pairs, several, or the whole curve."""

from __future__ import annotations

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
    mapping,
    names,
    number,
    option,
    value_or_mapping,
    whole_number,
)
from causalopt.console.exits import Exit
from causalopt.console.missing import Dropped, complete, fields_of
from causalopt.console.reading import read_data, refuse_text, require, value_of
from causalopt.console.running import arguments_of, caught_warnings, sign_of_life, solve
from causalopt.console.writing import Files, write_picture, write_table
from causalopt.errors import DataError, InfeasibleError, OptionError

if TYPE_CHECKING:
    import pandas as pd

    from causalopt.problems.robust.z.curve import RobustZCurve
    from causalopt.problems.robust.z.result import RobustZResult

MANY_PROGRAMS = (
    "the answer takes several programs, none of which says it alone. --output has its pairs, from which anybody "
    "recomputes it; RobustZProblem.build in Python gives each of the programs."
)


def robust_z(
    *,
    outcome: Outcome,
    treatment: Treatment,
    exact: Annotated[
        list[str] | None,
        option(
            "Columns in which both units of a pair must agree; with commas, or repeated.",
            panel=STUDY,
            metavar="COLUMNS",
        ),
    ] = None,
    caliper: Annotated[
        list[str] | None,
        option(
            "Largest difference of a pair in a column, as age=5; may be repeated.", panel=STUDY, metavar="NAME=NUMBER"
        ),
    ] = None,
    rounding: Annotated[
        list[str] | None,
        option(
            "Decimals to which caliper columns are rounded first: a number for all, or age=0.",
            panel=STUDY,
            metavar="[NAME=]NUMBER",
        ),
    ] = None,
    treated: Treated = None,
    control: Annotated[
        str | None, option("Which value counts as control; rows of other values are left out.", panel=STUDY)
    ] = None,
    pairs: Annotated[
        str,
        option(
            "How many pairs: a number, several with commas, largest, or curve (from 2 to the largest).", panel=STUDY
        ),
    ] = "largest",
    level: Annotated[float, option("Level of the test.", panel=STUDY)] = 0.05,
    reading: Reading,
    solving: Solving,
    writing: Writing,
) -> int:
    """Test for a positive effect over every way to pair good matches in DATA.

    There is no --capsule and no --export here: both extremes are proven by many programs, none of which says it alone.
    --output has the pairs, from which anybody recomputes Z; RobustZProblem.build in Python gives each program.

    Example: causalopt robust-z study.csv --outcome y --treatment t --exact site --caliper age=5
    """
    from causalopt.problems.robust.z.result import check_level

    files = Files.of(writing)
    for name in ("capsule", "export"):
        files.refuse(name, MANY_PROGRAMS)
    check_level(level)
    numbers = _pairs(pairs)
    if not isinstance(numbers, list) and numbers != "curve":
        files.refuse("plot", "the picture is of several numbers of pairs; say --pairs curve.")
    frame = read_data(reading)
    require(frame, [outcome], "--outcome")
    require(frame, [treatment], "--treatment")
    calipers, keys = mapping(caliper, "--caliper", number), names(exact, frame.columns)
    require(frame, keys, "--exact")
    require(frame, calipers, "--caliper")
    if outcome in (treatment, *keys, *calipers):
        raise DataError(f"The outcome {outcome!r} is also the treatment or a matching covariate; take it out of them.")
    frame, dropped = complete(frame, [treatment, outcome, *keys, *calipers], reading.missing, [treatment])
    refuse_text(frame, [outcome], categories=False)
    with caught_warnings(dropped) as notes:
        from causalopt.problems.robust.z.curve import curve
        from causalopt.problems.robust.z.problem import RobustZProblem
        from causalopt.study.match_graph import match_graph
        from causalopt.study.too_few_pairs import with_conditions

        chosen: dict[str, Any] = {
            "rounding": value_or_mapping(rounding, "--rounding", whole_number, None) if rounding else None,
            "treated": value_of(treated, frame[treatment]),
            "control": value_of(control, frame[treatment]),
        }
        with sign_of_life("looking for good matches"):
            graph = match_graph(frame, treatment, keys, calipers, **chosen)
        first = numbers[0] if isinstance(numbers, list) else "largest" if numbers == "curve" else numbers
        values = frame[outcome]
        try:
            problem = RobustZProblem(values.loc[graph.treated], values.loc[graph.control], graph, pairs=first)
            if numbers == "curve" or isinstance(numbers, list):
                settings = arguments_of(solving)
                found = curve(problem, None if numbers == "curve" else numbers, settings.pop("solver"), **settings)
            else:
                answer: RobustZResult = solve(problem, solving)
        except InfeasibleError as error:
            raise with_conditions(error, frame, treatment, keys, calipers, **chosen) from None
        if numbers == "curve" or isinstance(numbers, list):
            interrupted = any(note.startswith(showing.INTERRUPTED) for note in notes)
            return _curve(found, level, files, writing, notes, interrupted, dropped)
        written = files.write(output=write_table(_both(answer)))
    if writing.json:
        showing.print_json(
            showing.result_json("robust-z", answer, notes)
            | showing.explanation(answer, writing.explain)
            | _fields(answer, level)
            | {"dropped": fields_of(dropped), "written": written}
        )
    else:
        console = Console()
        showing.print_result(answer, console)
        showing.show_table(console, answer.verdicts(level), f"Verdicts at level {level:g}: {answer.decision(level)}")
        showing.show_explanation(answer, writing.explain)
        showing.show_notes(notes, written)
    return showing.code_of(answer)


def _pairs(text: str) -> Any:
    words = names([text])
    if text in ("largest", "curve"):
        return text
    if not words:
        raise OptionError("--pairs names no number of pairs.")
    found = sorted({whole_number(word, "--pairs") for word in words})
    return found if len(words) > 1 else found[0]


def _both(answer: RobustZResult) -> pd.DataFrame:
    import pandas as pd

    sides = {"max": answer.maximum.pairs, "min": answer.minimum.pairs}
    both: pd.DataFrame = pd.concat(sides, names=["side", "pair"]).reset_index("pair", drop=True)
    return both


def _fields(answer: RobustZResult, level: float) -> dict[str, Any]:
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


def _curve(
    found: RobustZCurve,
    level: float,
    files: Files,
    writing: Writing,
    notes: list[str],
    interrupted: bool,
    dropped: Dropped | None,
) -> int:
    table = found.table.join(found.verdicts(level))
    exact = bool(((table["min is"] == "exact") & (table["max is"] == "exact")).all())
    code = Exit.PROVEN if exact and not interrupted else Exit.UNPROVEN
    written = files.write(output=write_table(table), plot=write_picture(lambda: found.plot(level=level)))
    if writing.json:
        fields = {"command": "robust-z", "schema": showing.SCHEMA, "exit_code": code, "level": level, "curve": table}
        fields |= showing.explanation(found, writing.explain)
        showing.print_json(
            fields | {"all_exact": exact, "warnings": notes, "dropped": fields_of(dropped), "written": written}
        )
    else:
        console = Console()
        console.print(found.summary(level), markup=False, highlight=False)
        columns = table[["z_min", "z_max", "p_low", "p_high", "decision"]]
        showing.show_table(console, columns, "Curve", spread=True)
        showing.show_explanation(found, writing.explain)
        showing.show_notes(notes, written)
    return code
