"""Figures from a store's runs, and from nothing else: rates, means, profiles, time split, memory, agreement.

All functions take the table of `Store.frame` (first passed through `judged`) and return tables. An *item* is one
formulation of one instance, with its limits. A solver's time on an item is the median over its repetitions, where a
repetition that failed is charged its time limit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt.bench.store.status import NOT_ATTEMPTED, Status

ITEM = ["suite", "instance", "formulation"]
SOLVER_PHASES = ("load", "solve", "extract")
PHASES = ("data", "build", "compile", "load", "solve", "extract", "verify")

#: Relative difference up to which two objectives or answers count as equal.
DISAGREEMENT = 1e-5

#: Answers smaller than this are compared as if they were this large.
SMALLEST = 1e-6


def judged(runs: pd.DataFrame, tolerance: float = DISAGREEMENT) -> pd.DataFrame:
    """Return the runs with claims refuted that another run's verified solution contradicts.

    A verified solution of a program refutes each claim of optimality or of a bound that it beats, and each claim that
    there is no solution. Two programs are the same where their fingerprints are.

    Adds the columns `success` (status ok, after this), `attempted`, `claimed` (a claim that could be wrong was made),
    `ended` (a success, or the verified answer of a heuristic, or of a formulation whose optimum need not be that of the
    problem: neither can prove more) and `seconds` (load, solve and extract; the limit where the run did not end so).
    """
    runs = runs.copy()
    refuted = _refuted(runs, tolerance)
    for position, text in refuted.items():
        runs.loc[position, "status"] = str(Status.WRONG)
        runs.loc[position, "detail"] = text
    runs["success"] = runs["status"] == Status.OK
    runs["attempted"] = ~runs["status"].isin([str(s) for s in NOT_ATTEMPTED])
    with_claim = [Status.OK, Status.WRONG, Status.UNPROVEN, Status.LIMIT_WITH_INCUMBENT]
    runs["claimed"] = runs["status"].isin([str(s) for s in with_claim])
    taken = runs[list(SOLVER_PHASES)].sum(axis=1)
    unprovable = (runs["kind"] == "heuristic") | (runs["exact"] == 0)
    runs["ended"] = runs["success"] | (unprovable & (runs["status"] == Status.UNPROVEN))
    runs["seconds"] = np.where(runs["ended"], taken, runs["time_limit"])
    return runs


def _refuted(runs: pd.DataFrame, tolerance: float) -> dict[Any, str]:
    real = runs[(runs["fingerprint"] != "") & (runs["status"] != Status.WRONG)]
    sign = np.where(real["maximize"] == 1, -1.0, 1.0)
    value = (sign * real["objective"]).rename("value")
    groups = real["fingerprint"]
    best = value.groupby(groups).transform("min")  # missing where nobody has a solution: refutes nothing
    scale = np.maximum(best.abs(), real["scale"].groupby(groups).transform("max"))
    allowed = np.maximum(tolerance, 1.01 * real["gap_asked"]) * scale
    solved = value.dropna()
    witness = real["solver"].reindex(solved.groupby(groups).idxmin())
    witness.index = groups.reindex(witness.index)
    infeasible = (real["reason"] == "infeasible") & best.notna()
    beaten = (real["reason"] == "optimal") & (value - best > allowed)
    excluded = sign * real["bound"] - best > allowed
    found = {}
    for position in real.index[infeasible | beaten | excluded]:
        row = real.loc[position]
        objective = float(best[position]) * (-1.0 if row["maximize"] else 1.0)
        words = f"{witness[row['fingerprint']]} found a verified solution with objective {objective:.10g}"
        if infeasible[position]:
            found[position] = f"infeasible was claimed, but {words}"
        elif beaten[position]:
            found[position] = f"optimal was claimed at {row['objective']:.10g}, but {words}"
        else:
            found[position] = f"the bound {row['bound']:.10g} was claimed, but {words}"
    return found


def rates(runs: pd.DataFrame) -> pd.DataFrame:
    """Return by solver: how often it was asked, attempted and succeeded, and how many of its claims were right.

    `success` is the share of attempted runs that were settled and verified, of those that could be: what heuristics,
    and formulations that are heuristic, end with is counted as unproven only. `correct` is, of those that claimed
    anything, the share whose claim survived. Each status is counted beside them.
    """
    rows = {}
    for solver, own in runs.groupby("solver"):
        attempted, claimed = own[own["attempted"]], own[own["claimed"]]
        wrong = (claimed["status"] == Status.WRONG).sum()
        rows[solver] = {
            "runs": len(own),
            "attempted": len(attempted),
            "success": attempted.loc[attempted["success"] | ~attempted["ended"], "success"].mean(),
            "correct": 1.0 - wrong / len(claimed) if len(claimed) else np.nan,
            **{str(s): int((own["status"] == s).sum()) for s in Status},
        }
    return pd.DataFrame(rows).T.rename_axis("solver")


def times(runs: pd.DataFrame, column: str = "seconds") -> pd.DataFrame:
    """Return the median seconds by item (rows) and solver (columns); missing where it was not attempted."""
    own = runs[runs["attempted"] & (runs["kind"] != "heuristic")]
    table = own.groupby([*ITEM, "solver"])[column].median().unstack("solver")
    return table.sort_index()


def solved(runs: pd.DataFrame) -> pd.DataFrame:
    """Return by item and solver whether more than half of the repetitions succeeded; missing where not attempted."""
    own = runs[runs["attempted"] & (runs["kind"] != "heuristic")]
    share = own.groupby([*ITEM, "solver"])["success"].mean().unstack("solver").sort_index()
    return share.gt(0.5).where(share.notna())


def spread(runs: pd.DataFrame) -> pd.DataFrame:
    """Return by item and solver: repetitions, median seconds, and the quartiles as the spread."""
    own = runs[runs["attempted"]]
    grouped = own.groupby([*ITEM, "solver"])["seconds"]
    return pd.DataFrame(
        {
            "repetitions": grouped.size(),
            "lower quartile": grouped.quantile(0.25),
            "median": grouped.median(),
            "upper quartile": grouped.quantile(0.75),
        }
    )


def shifted_means(runs: pd.DataFrame, shifts: Sequence[float] = (0.001, 0.01, 1.0)) -> pd.DataFrame:
    """Return shifted geometric means of the seconds,  exp(mean log(t + s)) - s, with failures charged the limit.

    `to best` is the geometric mean of (t + s) / (fastest + s) for s of 1 ms, over the items that the solver attempted:
    it compares solvers whose licences or classes let them attempt different items.
    """
    table = times(runs)
    best = table.min(axis=1)
    rows = {}
    for solver in table.columns:
        own = table[solver].dropna()
        row: dict[str, float] = {"items": len(own)}
        for shift in shifts:
            row[f"shift {shift:g} s"] = shifted_mean(own.to_numpy(), shift)
        ratio = (own + shifts[0]) / (best[own.index] + shifts[0])
        row["to best"] = float(np.exp(np.log(ratio).mean())) if len(own) else np.nan
        rows[solver] = row
    return pd.DataFrame(rows).T.rename_axis("solver")


def shifted_mean(seconds: Any, shift: float) -> float:
    """Return exp(mean(log(t + shift))) - shift.

    Examples
    --------
    >>> round(shifted_mean([1.0, 4.0], 0.0), 9)
    2.0
    """
    values = np.asarray(seconds, dtype=float)
    return float(np.exp(np.log(values + shift).mean()) - shift) if len(values) else np.nan


def profiles(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the performance profiles of Dolan and More (2002): by ratio to the fastest, the share of items solved.

    An item counts where any solver solved it; one that a solver did not attempt counts as not solved by it.

    Returns
    -------
    DataFrame
        Columns are solvers, rows the ratios at which any profile steps.
    """
    table = times(runs).where(solved(runs).fillna(False).astype(bool))
    table = table.dropna(how="all")
    if table.empty:
        return pd.DataFrame(columns=times(runs).columns)
    table = table.clip(lower=1e-6)  # the clock's resolution: nothing is infinitely faster
    ratios = table.div(table.min(axis=1), axis=0)
    steps = np.unique(ratios.to_numpy()[np.isfinite(ratios.to_numpy())])
    inside = {s: np.searchsorted(np.sort(ratios[s].dropna().to_numpy()), steps, side="right") for s in ratios.columns}
    return pd.DataFrame(inside, index=pd.Index(steps, name="ratio")) / len(ratios)


def time_split(runs: pd.DataFrame) -> pd.DataFrame:
    """Return by solver the mean share of each phase in the whole, over runs that succeeded, and the mean total."""
    own = runs[runs["success"]]
    total = own[list(PHASES)].sum(axis=1)
    shares = own[list(PHASES)].div(total.where(total > 0), axis=0)
    table = shares.groupby(own["solver"]).mean()
    table["total (s)"] = total.groupby(own["solver"]).mean()
    return table


def memory(runs: pd.DataFrame) -> pd.DataFrame:
    """Return by item and solver the median peak memory of its process in MiB, and what of it came with the solve."""
    own = runs[runs["attempted"] & runs["peak_memory"].notna()]
    mib = pd.DataFrame(
        {
            **{name: own[name] for name in [*ITEM, "solver"]},
            "peak": own["peak_memory"] / 2**20,
            "of the solve": (own["peak_memory"] - own["base_memory"]) / 2**20,
        }
    )
    return mib.groupby([*ITEM, "solver"])[["peak", "of the solve"]].median()


def overhead(runs: pd.DataFrame) -> pd.DataFrame:
    """Return by solver the median and the largest seconds that the harness took beside the run itself."""
    own = runs[runs["attempted"] & (runs["wall"] > 0)]
    beside = own["wall"] - own["worker"]
    table = beside.groupby(own["solver"]).agg(["median", "max"])
    return table.rename(columns={"median": "median (s)", "max": "largest (s)"})


def beside_peers(runs: pd.DataFrame) -> pd.DataFrame:
    """Return by item what the lane takes beside peers that do the same work without causalopt.

    Peers start from the program's arrays. `seconds` is everything but reading the data and the verification, which
    peers do not have (`verify` is beside it); `to fastest peer` is its ratio to the fastest peer on the item. Only
    runs that succeeded enter.
    """
    own = runs[runs["success"]]
    own = own.assign(seconds=own[[p for p in PHASES if p not in ("data", "verify")]].sum(axis=1))
    table = own.groupby([*ITEM, "solver", "kind"])[["seconds", "verify"]].median().reset_index()
    peers = table["kind"] == "peer"
    table["verify"] = table["verify"].where(~peers)
    fastest = table[peers].groupby(ITEM)["seconds"].min().rename("fastest").reset_index()
    table = table.merge(fastest, on=ITEM)  # items that no peer settled are left out
    table["to fastest peer"] = table["seconds"] / table["fastest"].clip(lower=1e-6)
    return table.drop(columns="fastest")


def agreement(runs: pd.DataFrame) -> pd.DataFrame:
    """Return how far apart solvers are that all say optimal: in the objective, and in the study's own answers.

    Objectives are compared within a program, answers across all exact formulations of an instance.

    Returns
    -------
    DataFrame
        A row for each program and each answer: how many solvers, smallest, largest, relative difference.
    """
    sure = runs[runs["success"] & (runs["reason"] == "optimal")]
    by_solver = sure[sure["objective"].notna()].groupby([*ITEM, "solver"])["objective"].median().reset_index()
    objectives = by_solver.rename(columns={"objective": "value"}).assign(what="objective")
    answers = _answers(sure[sure["exact"] == 1]).rename(columns={"answer": "what"}).assign(formulation="")
    both = pd.concat([objectives, answers[[*ITEM, "solver", "what", "value"]]], ignore_index=True)
    found = both.groupby([*ITEM, "what"], sort=False)["value"].agg(["size", "min", "max"]).reset_index()
    found.columns = pd.Index([*ITEM, "what", "values", "smallest", "largest"])
    scale = found[["smallest", "largest"]].abs().max(axis=1).clip(lower=SMALLEST)
    found["relative difference"] = (found["largest"] - found["smallest"]) / scale
    return found


def _answers(runs: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for row in runs.itertuples():
        for name, value in json.loads(row.answers).items():
            expected = json.loads(row.expected).get(name)
            rows.append((row.suite, row.instance, row.formulation, row.solver, row.kind, name, value, expected))
    columns = [*ITEM, "solver", "kind", "answer", "value", "expected"]
    return pd.DataFrame(rows, columns=columns)


def reproduction(runs: pd.DataFrame) -> pd.DataFrame:
    """Return each published figure beside what was found: the worst of all runs, and whether it agrees.

    Where an instance was solved by exact formulations and others, the exact ones count; where it has only others (a
    published surrogate), what solvers found for them.
    """
    unproven = (runs["status"] == Status.UNPROVEN) & (runs["kind"] == "solver")
    own = runs[runs["success"] | unproven]
    rank = 2 * own["exact"] + own["success"]
    found = _answers(own[rank == rank.groupby([own[name] for name in ITEM[:2]]).transform("max")])
    found = found[found["expected"].notna()]
    rows = []
    for (suite, instance, name), group in found.groupby(["suite", "instance", "answer"]):
        published, allowed = group["expected"].iloc[0]
        worst = group.loc[(group["value"] - published).abs().idxmax()]
        agrees = abs(worst["value"] - published) <= allowed
        rows.append((suite, instance, name, published, allowed, worst["value"], worst["solver"], bool(agrees)))
    columns = ["suite", "instance", "answer", "published", "allowed", "found", "by", "agrees"]
    return pd.DataFrame(rows, columns=columns)


def wrong(runs: pd.DataFrame) -> pd.DataFrame:
    """Return every wrong run with what was wrong, one row for each solver, item and reason."""
    own = runs[runs["status"] == Status.WRONG]
    return own.groupby([*ITEM, "solver", "solver_version", "detail"]).size().rename("runs").reset_index()


def price_of_heuristics(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what heuristics (greedy and the like) lose in quality, and what time they save, by item.

    `loss` is |value - optimum| / |optimum|: of the objective, or, where several programs give the answer, of each of
    the study's answers. The optimum is that of the exact methods that proved it. `time saved` is the seconds of the
    fastest of them divided by those of the heuristic.
    """
    heuristic = runs["kind"] == "heuristic"
    exact = runs[runs["success"] & (runs["reason"] == "optimal") & ~heuristic]
    rough = runs[heuristic & runs["status"].isin([Status.OK, Status.UNPROVEN])]
    columns = [*ITEM, "heuristic", "what", "optimum", "value", "loss", "fastest exact", "time saved"]
    seconds = exact.groupby([*ITEM, "solver"])["seconds"].median().reset_index()
    fastest = seconds.loc[seconds.groupby(ITEM)["seconds"].idxmin()].rename(columns={"solver": "fastest exact"})
    taken = rough.assign(taken=rough[list(SOLVER_PHASES)].sum(axis=1)).groupby([*ITEM, "solver"])["taken"].median()
    best = _values(exact, ITEM).rename(columns={"value": "optimum"})
    table = _values(rough, [*ITEM, "solver"]).merge(best, on=[*ITEM, "what"]).merge(fastest, on=ITEM)
    table = table.merge(taken.reset_index(), on=[*ITEM, "solver"]).rename(columns={"solver": "heuristic"})
    size = table["optimum"].abs()
    table["loss"] = (table["value"] - table["optimum"]).abs() / size.where(size > 0, 1.0)
    table["time saved"] = table["seconds"] / table["taken"].clip(lower=1e-6)
    return table[columns]


def _values(runs: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return the median objective by `key`, or without one the medians of the study's answers, in rows by `what`."""
    objectives = runs[runs["objective"].notna()].groupby(key)["objective"].median().reset_index()
    objectives = objectives.rename(columns={"objective": "value"}).assign(what="objective")
    answers = _answers(runs[runs["objective"].isna()]).rename(columns={"answer": "what"})
    medians = answers.groupby([*key, "what"])["value"].median().reset_index()
    both = pd.concat([objectives, medians], ignore_index=True)
    return both[[*key, "what", "value"]]
