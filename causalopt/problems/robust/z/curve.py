"""The robust Z test from a DataFrame, for one number of pairs or along the whole curve."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd

from causalopt.errors import DataError, InfeasibleError, warn
from causalopt.messages import Message, argument
from causalopt.problems.robust.data import read_pairs, too_many_pairs
from causalopt.problems.robust.verdicts import DEPENDS, LEVEL, Verdict
from causalopt.problems.robust.z.problem import RobustZProblem, solver_in_turn
from causalopt.problems.robust.z.result import RobustZResult
from causalopt.solving.answer import Answer
from causalopt.solving.dispatch import solve
from causalopt.study.match_graph import MatchGraph, match_graph, read_calipers
from causalopt.study.reading import require_columns
from causalopt.study.too_few_pairs import with_conditions
from causalopt.verifying.claims import Limit


def robust_z_test(
    df: pd.DataFrame,
    *,
    outcome: str,
    treatment: str,
    exact: Sequence[str] = (),
    calipers: Mapping[str, float] | None = None,
    pairs: int | str | Iterable[int] = "largest",
    rounding: int | Mapping[str, int] | None = None,
    treated: Any = None,
    control: Any = None,
    solver: str = "auto",
    formulation: str | None = None,
    time_limit: float | None = None,
    options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> RobustZResult | RobustZCurve:
    """Test for a positive effect over every way to pair good matches, in one call.

    Parameters
    ----------
    df : DataFrame
        A row a unit.
    outcome, treatment : str
        Names of columns.
    exact, calipers, rounding, treated, control
        Which pairs are good matches, as in `match_graph`.
    pairs : int, "largest", "curve" or iterable of int
        Number of pairs; the largest possible; all from 2 to the largest; or these.
    solver, formulation, time_limit, options
        As in `solve`; the time limit is for each number of pairs.
    progress : bool, optional
        Show a progress bar along a curve; by default where standard error is a terminal.

    Returns
    -------
    RobustZResult, or RobustZCurve for several numbers of pairs

    Raises
    ------
    DataError
        For unknown, missing or non-numeric columns, and n below 2.
    InfeasibleError
        For more pairs than the largest matching has; the message names the largest n, the explanation the units that
        compete for too few partners, and its `attrs["conditions"]` the largest n without each key and caliper.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"t": [1, 1, 1, 0, 0, 0], "site": list("aababb"), "y": [5.0, 6.1, 9.3, 4, 4.5, 7]})
    >>> result = robust_z_test(df, outcome="y", treatment="t", exact=["site"], pairs=2)
    >>> round(result.z_min, 4), round(result.z_max, 4)
    (2.1585, 31.1127)
    """
    require_columns(df, [outcome])
    calipers = read_calipers(calipers)
    if outcome in (treatment, *exact, *calipers):
        raise DataError(f"The outcome {outcome!r} is also the treatment or a matching covariate; take it out of them.")
    graph = match_graph(df, treatment, exact, calipers, rounding, treated=treated, control=control)
    settings: dict[str, Any] = {"formulation": formulation, "time_limit": time_limit, "options": options}
    try:
        return _test(df[outcome], graph, pairs, solver, progress, settings)
    except InfeasibleError as error:
        keys = [exact] if isinstance(exact, str) else list(exact)
        chosen = {"rounding": rounding, "treated": treated, "control": control}
        raise with_conditions(error, df, treatment, keys, calipers, **chosen) from None


def _test(
    column: pd.Series, graph: MatchGraph, pairs: Any, solver: str, progress: bool | None, settings: Mapping[str, Any]
) -> RobustZResult | RobustZCurve:
    numbers = _numbers(pairs, graph)
    first = numbers[0] if isinstance(numbers, list) else numbers
    problem = RobustZProblem(column.loc[graph.treated], column.loc[graph.control], graph, pairs=first)
    if isinstance(numbers, list):
        return curve(problem, numbers, solver, progress=progress, **settings)
    result: RobustZResult = solve(problem, solver, **settings)
    return result


def _numbers(pairs: Any, graph: MatchGraph) -> Any:
    """Return a list of numbers of pairs where several are asked for, else `pairs` as it is."""
    if isinstance(pairs, str) and pairs == "curve":
        if graph.largest < 2:
            raise too_many_pairs(2, graph)
        return list(range(2, graph.largest + 1))
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        return pairs
    numbers = sorted({read_pairs(n, graph) for n in pairs})
    if not numbers:
        raise DataError(f"{argument('pairs')} names no number of pairs.")
    if numbers[-1] > graph.largest:
        raise too_many_pairs(numbers[-1], graph)
    return numbers


def curve(
    problem: RobustZProblem,
    numbers: Sequence[int] | None = None,
    solver: str = "auto",
    *,
    progress: bool | None = None,
    **settings: Any,
) -> RobustZCurve:
    """Solve a problem for several numbers of pairs, smallest first; by default for all.

    `parametric` starts each from what is known of the last: basis, best matching and bounds. Interrupted, what was
    solved is returned, with a warning.
    """
    checked = _numbers("curve" if numbers is None else numbers, problem.graph)
    rows: list[dict[str, Any]] = []
    solve_one = _solver_of_curve(problem, solver, settings)
    with _progress_bar(len(checked), progress) as advance:
        try:
            for n in checked:
                result = solve_one(n)
                rows.append(_row(result))
                advance()
                if result.status.limit is Limit.INTERRUPT:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            if not rows:
                raise
            note = f"Interrupted: {len(rows)} of {len(checked)} numbers of pairs are solved."
            warn(Message(note, topic=Limit.INTERRUPT))
    table = pd.DataFrame(rows).set_index("n")
    return RobustZCurve(table=table, problem=problem, solver=solver, settings=dict(settings))


def _solver_of_curve(
    problem: RobustZProblem, solver: str, settings: Mapping[str, Any]
) -> Callable[[int], RobustZResult]:
    fast = solver in ("auto", "parametric") and settings.get("formulation") in (None, "fractional")
    if fast and not settings.get("options"):
        return solver_in_turn(problem, solver, settings.get("time_limit"))
    return lambda n: solve(problem.with_pairs(n), solver, **settings)


def _row(result: RobustZResult) -> dict[str, Any]:
    low, high = result.p_interval
    return {
        "n": result.n,
        "z_min": result.z_min,
        "z_max": result.z_max,
        "p_low": low,
        "p_high": high,
        "min is": result.minimum.kind,
        "max is": result.maximum.kind,
        "seconds": result.timing.total,
    }


@contextmanager
def _progress_bar(total: int, wanted: bool | None) -> Iterator[Callable[[], None]]:
    if not (sys.stderr.isatty() if wanted is None else wanted):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=console.is_terminal) as bar:
        task = bar.add_task("robust Z", total=total)
        yield lambda: bar.advance(task)


@dataclasses.dataclass(frozen=True, eq=False)
class RobustZCurve(Answer):
    """The extremes of Z for several numbers of pairs.

    Attributes
    ----------
    table : DataFrame
        Indexed by n: `z_min`, `z_max`, `p_low` (of the largest Z), `p_high` (of the least), how exact either is
        ("exact", "within a gap of ...", "heuristic"), and `seconds`.
    problem : RobustZProblem
    solver : str
    settings : dict
    """

    table: pd.DataFrame
    problem: RobustZProblem = dataclasses.field(repr=False)
    solver: str = "auto"
    settings: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def at(self, n: int) -> RobustZResult:
        """Return the result for one n, solved again, with its pairs.

        Parameters
        ----------
        n : int
            A number of pairs of the curve.
        """
        result: RobustZResult = solve(self.problem.with_pairs(n), self.solver, **self.settings)
        return result

    def verdicts(self, level: float = LEVEL) -> pd.DataFrame:
        """Return, for each n, the decision at a level and whether it is alpha-robust and absolute-robust.

        Parameters
        ----------
        level : float
            Significance level.
        """
        verdict = Verdict(self.table["p_low"], self.table["p_high"], level)
        columns = {
            "decision": verdict.decision,
            "alpha-robust": verdict.alpha_robust,
            "absolute-robust": verdict.absolute_robust,
        }
        return pd.DataFrame(columns, index=self.table.index)

    def summary(self, level: float = LEVEL) -> str:
        """Return the curve in a few lines: for which n the decision is what.

        Parameters
        ----------
        level : float
            Significance level.
        """
        decision = self.verdicts(level)["decision"]
        lines = [f"decision at {level:g} over n = {decision.index[0]:,} to {decision.index[-1]:,}"]
        for word in ("reject", DEPENDS, "do not reject"):
            n = decision.index[decision == word].tolist()
            if n:
                lines.append(f"{word}: {_ranges(n, decision.index.tolist())}")
        exact = ((self.table["min is"] == "exact") & (self.table["max is"] == "exact")).all()
        lines.append("all extremes are exact" if exact else "some extremes are not exact: see the table")
        return "\n".join(lines)


def _ranges(numbers: list[int], known: list[int]) -> str:
    """Write runs of neighbours among the numbers known as ranges: 2 to 17, 40."""
    place = {n: k for k, n in enumerate(known)}
    runs: list[list[int]] = []
    for n in numbers:
        if runs and place[n] == place[runs[-1][-1]] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return "n = " + ", ".join(f"{r[0]:,}" if len(r) == 1 else f"{r[0]:,} to {r[-1]:,}" for r in runs)
