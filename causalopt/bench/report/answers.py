"""What each answer is worth, in words that stay apart, and everything there is to say about one item."""

from __future__ import annotations

import numpy as np
import pandas as pd

from causalopt.bench.report.metrics import ITEM, spread
from causalopt.bench.store.status import NOT_ATTEMPTED, Status
from causalopt.verifying.claims import Proof

#: From the surest to the least sure.
WORDS = (
    "exact, certified",
    "exact, claimed",
    "infeasible, certified",
    "infeasible, claimed",
    "unbounded, certified",
    "unbounded, claimed",
    "within a gap, certified",
    "within a gap, claimed",
    "heuristic formulation",
    "heuristic",
    "feasible, not proven",
    "none",
    "wrong",
    "not attempted",
)

MEANINGS = {
    "exact": "an optimum of an exact formulation of the problem",
    "within a gap": "a verified solution whose bound leaves a relative gap of more than one in a million",
    "heuristic": "a verified solution of a method that proves nothing",
    "heuristic formulation": "an optimum of a formulation whose optimum need not be that of the problem",
    "certified": "the bound was recomputed from the program's arrays",
    "claimed": "the solution was verified, the bound is the solver's word",
}

#: Relative gaps up to this are an optimum.
SMALLEST_GAP = 1e-6


def certainty(runs: pd.DataFrame) -> pd.Series:
    """Return for each run one of `WORDS`; takes the table of `metrics.judged`."""
    status, exact = runs["status"], runs["exact"] == 1
    ok = status == Status.OK
    proof = pd.Series(np.where(runs["proof"] == Proof.CERTIFIED, "certified", "claimed"), index=runs.index)
    incumbent = status.isin([str(Status.UNPROVEN), str(Status.LIMIT_WITH_INCUMBENT)])
    bounded = incumbent & runs["bound"].notna() & runs["gap"].notna()
    loose = ok & (runs["gap"] > SMALLEST_GAP)
    chosen = [
        (status == Status.WRONG, "wrong"),
        (status.isin([str(s) for s in NOT_ATTEMPTED]), "not attempted"),
        (ok & runs["reason"].isin(["infeasible", "unbounded"]), runs["reason"] + ", " + proof),
        ((ok | bounded) & ~exact, "heuristic formulation"),
        (loose | bounded, "within a gap, " + proof),
        (ok, "exact, " + proof),
        (incumbent & (runs["kind"] == "heuristic"), "heuristic"),
        (incumbent, "feasible, not proven"),
    ]
    return pd.Series(
        np.select([c for c, _ in chosen], [np.asarray(w, dtype=object) for _, w in chosen], "none"), index=runs.index
    )


def items(runs: pd.DataFrame) -> pd.DataFrame:
    """Return by item and solver what came of it: the least sure answer of all repetitions, times, gap and memory."""
    own = runs[runs["attempted"]]
    rank = certainty(own).map({word: k for k, word in enumerate(WORDS)})
    keys = [*ITEM, "solver"]
    grouped = own.assign(rank=rank, peak=own["peak_memory"] / 2**20).groupby(keys)
    facts = pd.DataFrame(
        {
            "problem": grouped["problem"].first(),
            "size": grouped["size"].first(),
            "columns": grouped["n_columns"].first(),
            "kind": grouped["kind"].first(),
            "answer": grouped["rank"].max().map(dict(enumerate(WORDS))).astype(object),
            "gap": grouped["gap"].max(),
            "settled": grouped["success"].sum(),
            "peak memory": grouped["peak"].median(),
        }
    )
    table = facts.join(spread(runs)).reset_index()
    times = ["median", "lower quartile", "upper quartile"]
    rest = ["settled", "repetitions", "gap", "kind", "problem", "size", "columns", "peak memory"]
    return table[[*ITEM, "solver", "answer", *times, *rest]]


def unsettled(runs: pd.DataFrame) -> pd.DataFrame:
    """Return every item and solver with runs that settled nothing, and what the first of them said."""
    own = runs[~runs["ended"]]
    grouped = own.groupby([*ITEM, "solver", "kind", "status"])
    return pd.DataFrame({"runs": grouped.size(), "what it said": grouped["detail"].first()}).reset_index()
