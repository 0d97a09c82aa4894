"""All figures of a store, gathered once: the terminal, Markdown, JSON and the HTML page show these and no others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from causalopt.bench.report import answers, choice, growth, metrics, provenance
from causalopt.bench.store.sqlite import Store
from causalopt.bench.store.status import Status
from causalopt.errors import DataError
from causalopt.solving.options import unknown_name


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """One table of figures.

    Attributes
    ----------
    title : str
    frame : DataFrame
        Without an index; numbers in full.
    note : str
        What it means, in a sentence or two.
    units : mapping
        Column -> unit of `causalopt.bench.report.words.WRITERS`.
    main : bool
        Whether the short report shows it.
    """

    title: str
    frame: pd.DataFrame
    note: str = ""
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    main: bool = False

    def __len__(self) -> int:
        return len(self.frame)


@dataclasses.dataclass(frozen=True, eq=False)
class Figures:
    """Everything that a report shows.

    Attributes
    ----------
    lead : str
        What was run, in a sentence.
    advice : list of (topic, sentence)
        What it means to somebody who chooses a solver.
    tables : dict of Table
        By title.
    limitations, commands : list of str
        What the figures cannot tell; what makes them again.
    runs : DataFrame
        As `metrics.judged` returned them, for plots.
    """

    lead: str
    advice: list[choice.Sentence]
    tables: dict[str, Table]
    limitations: list[str]
    commands: list[str]
    runs: pd.DataFrame


def gather(store: Store, suite: str | None = None) -> Figures:
    """Return the figures of a store, or of one suite in it.

    Parameters
    ----------
    store : Store
    suite : str, optional

    Raises
    ------
    DataError
        Where the store holds no runs, or none of this suite; the nearest names are offered.

    Examples
    --------
    >>> import tempfile
    >>> from causalopt.bench import Run, Store
    >>> with Store(tempfile.mkdtemp() + "/runs.sqlite", create=True) as store:
    ...     _ = store.record(Run(suite="mine", instance="toy", solver="highs", status="ok", reason="optimal"))
    ...     figures = gather(store)
    >>> float(figures.tables["Success and correctness"].frame["success"].iloc[0])
    1.0
    """
    if not len(store):
        raise DataError(f"{store.path} holds no runs yet. 'causalopt bench run smoke' makes some.")
    if suite is not None and suite not in store.suites():
        raise DataError(unknown_name("suite in this store", suite, store.suites()))
    known = store.environments()
    runs = metrics.judged(store.frame(suite))
    return Figures(
        lead=provenance.lead(runs, known),
        advice=choice.sentences(runs),
        tables=tables(runs, known),
        limitations=provenance.limitations(runs, known),
        commands=provenance.commands(runs, known),
        runs=runs,
    )


def tables(runs: pd.DataFrame, environments: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Table]:
    """Return all tables of runs that `metrics.judged` has seen, by title; some may have no rows."""
    return {
        title: Table(
            title=title,
            frame=frame.reset_index(drop=True).infer_objects(),
            note=NOTES.get(title, ""),
            units={**UNITS, **OWN_UNITS.get(title, {})},
            main=title in MAIN,
        )
        for title, frame in _frames(runs, environments or {}).items()
    }


def _frames(runs: pd.DataFrame, known: Mapping[str, Mapping[str, Any]]) -> dict[str, pd.DataFrame]:
    kinds = runs.groupby("solver")["kind"].agg(lambda kind: " or ".join(sorted(set(kind))))

    def by_solver(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.rename_axis("solver").reset_index()
        frame.insert(1, "kind", frame["solver"].map(kinds).astype(object))
        return frame

    return {
        "Best by problem": choice.by_problem(runs),
        "Success and correctness": by_solver(metrics.rates(runs)),
        "Shifted geometric means": by_solver(metrics.shifted_means(runs)),
        "Wrong answers": metrics.wrong(runs),
        "Fastest by size": choice.by_size(runs),
        "Published figures": metrics.reproduction(runs),
        "Licences": choice.licences(runs),
        "Performance profiles": by_solver(at_ratios(metrics.profiles(runs))),
        "Growth with size": growth.exponents(runs),
        "Break-even of fast paths": growth.break_even(runs),
        "Shares of time": by_solver(metrics.time_split(runs)),
        "Times by item": answers.items(runs),
        "Agreement": metrics.agreement(runs).sort_values("relative difference", ascending=False, kind="stable"),
        "Price of heuristics": metrics.price_of_heuristics(runs),
        "Beside peers": metrics.beside_peers(runs),
        "Memory": by_solver(memory(runs)),
        "Overhead of the harness": by_solver(metrics.overhead(runs)),
        "Not settled": answers.unsettled(runs),
        "Advisories": provenance.advisories(runs),
        "What was run": provenance.suites(runs),
        "Contestants": provenance.contestants(runs),
        "Machines": provenance.environments(runs, known),
    }


def at_ratios(profiles: pd.DataFrame) -> pd.DataFrame:
    """Return by solver the share solved within each of the ratios that tables show."""
    if profiles.empty:
        return pd.DataFrame(columns=[f"within {ratio:g}" for ratio in SHOWN_RATIOS], dtype=float)
    steps = profiles.index.to_numpy(float)
    positions = [max(int((steps <= ratio * (1 + 1e-12)).sum()) - 1, 0) for ratio in SHOWN_RATIOS]
    return profiles.iloc[positions].set_axis([f"within {ratio:g}" for ratio in SHOWN_RATIOS]).T


def memory(runs: pd.DataFrame) -> pd.DataFrame:
    """Return by solver the median and the largest over items of what its process held, and of what the solve added."""
    by_item = metrics.memory(runs)
    grouped = by_item.groupby("solver")
    return pd.DataFrame(
        {
            "items": grouped.size(),
            "median peak": grouped["peak"].median(),
            "largest peak": grouped["peak"].max(),
            "median of the solve": grouped["of the solve"].median(),
            "largest of the solve": grouped["of the solve"].max(),
        }
    )


#: Profiles are shown in tables at these ratios only.
SHOWN_RATIOS = (1.0, 1.5, 2.0, 5.0, 10.0, 100.0, 1000.0)

#: Relative differences up to this are agreement.
SMALLEST_DIFFERENCE = 1e-6

MAIN = ("Best by problem", "Success and correctness", "Shifted geometric means", "Wrong answers", "Published figures")

#: What a table means, in a sentence or two.
NOTES = {
    "Best by problem": "Of the exact methods that settle most items of a problem, the one of the smallest shifted "
    "geometric mean (shift 1 ms); beside it the best solver, and the best that is open source. In brackets: items "
    "settled and verified, of all; below: what its least sure answer is worth.",
    "Success and correctness": "success: settled and verified, of those attempted that could be; heuristics, and "
    "heuristic formulations, prove nothing. correct: claims that survived, of all claims. Unsupported classes and "
    "licences that are too small count as not attempted.",
    "Shifted geometric means": "exp(mean log(t + s)) - s over the items attempted; failures are charged the limit. "
    "'to best' is the ratio to the fastest on the same items. Exact methods and peers; heuristics are apart.",
    "Performance profiles": "Share of items settled within this multiple of the fastest time (Dolan and Moré 2002), of "
    "items that anybody settled. Heuristics are apart.",
    "Wrong answers": "Claims refuted by recomputation, by a known optimum, or by another's verified solution.",
    "Published figures": "The worst of all runs beside what was published, and the difference that is allowed.",
    "Fastest by size": "Exact methods that settled every run at that size. 'times the next' is at the largest size.",
    "Licences": "What contestants without an open-source licence refused, and how fast they were on the rest.",
    "Growth with size": "Exponent b of seconds = a size^b where all runs succeeded, with its 95% interval.",
    "Break-even of fast paths": "The size from which the fast path stays faster; empty where it is slower at the end.",
    "Shares of time": "Mean share of each phase in the whole, over runs that were settled, and the mean total.",
    "Times by item": "Median and quartiles over repetitions of load, solve and extract. 'answer' is the least sure of "
    "all repetitions; failures are charged the time limit.",
    "Agreement": "Objectives of one program, and answers across exact formulations, of all who say optimal.",
    "Price of heuristics": "Loss relative to the optimum that an exact method proved, beside the time saved.",
    "Beside peers": "Seconds from the program's arrays to the answer, and their ratio to the fastest peer. Peers do "
    "the same work by the solver's own interface, without verification.",
    "Memory": "What the process of a run held at most, and what of it came with the solve; over items.",
    "Overhead of the harness": "Seconds beside the run itself: the start of its process above all.",
    "Not settled": "Runs that ended without a settled and verified answer, and what the first of them said.",
    "Advisories": "What is known to be wrong with the versions that ran.",
}

UNITS = {
    **dict.fromkeys(
        ["seconds", "median", "lower quartile", "upper quartile", "total (s)", "median (s)", "largest (s)", "verify"],
        "seconds",
    ),
    **dict.fromkeys(["shift 0.001 s", "shift 0.01 s", "shift 1 s", "slowest of these"], "seconds"),
    **{f"seconds ({name})": "seconds" for name in ("fastest", "fastest solver", "fastest open-source solver")},
    **dict.fromkeys(["success", "correct", "loss", *(f"within {ratio:g}" for ratio in SHOWN_RATIOS)], "share"),
    **dict.fromkeys(["to best", "to fastest peer", "time saved", "times faster there", "times the next"], "times"),
    **dict.fromkeys(["exponent", "lower", "upper", "to fastest open-source", "from size"], "times"),
    **dict.fromkeys(["peak memory", "median peak", "largest peak"], "MiB"),
    **dict.fromkeys(["median of the solve", "largest of the solve"], "MiB"),
    **dict.fromkeys(["gap", "relative difference"], "difference"),
    **dict.fromkeys(["runs", "attempted", "items", "settled", "repetitions", "sizes", "columns", "values"], "count"),
    **dict.fromkeys(["contestants", "items compared", "refused as too large"], "count"),
    **dict.fromkeys(["of these settled by open source", *map(str, Status)], "count"),
}

OWN_UNITS: dict[str, dict[str, str]] = {
    "Shares of time": dict.fromkeys(metrics.PHASES, "share"),
    "Fastest by size": {"from size": "number"},
    "Price of heuristics": {"loss": "difference"},
}


def without_suite(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave the suite out of a table where there is one only."""
    one = "suite" in frame and len(frame.columns) > 1 and frame["suite"].nunique() <= 1 and "contestants" not in frame
    return frame.drop(columns="suite") if one else frame


def without_idle(table: Table) -> Table:
    """Leave out counts of statuses that never came, and columns without any value."""
    frame = table.frame
    idle = [
        c
        for c in frame.columns
        if (c in set(map(str, Status)) and not (frame[c] != 0).any())
        or (frame[c].isna() | (frame[c].astype(object) == "")).all()
    ]
    return dataclasses.replace(table, frame=frame.drop(columns=idle)) if len(frame) else table


def is_number(column: pd.Series) -> bool:
    """Return whether a column holds numbers."""
    return column.dtype.kind in "fiu" and not np.issubdtype(column.dtype, np.bool_)
