"""Which solver for which problem and size: computed from runs, and said in sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from causalopt.bench.report import growth
from causalopt.bench.report.answers import WORDS, certainty
from causalopt.bench.report.metrics import ITEM
from causalopt.bench.report.words import listed, seconds, share, significant
from causalopt.bench.store.status import Status
from causalopt.solving.words import plural

FAMILY = ["suite", "problem"]

#: What is added to seconds before their logarithms are averaged, as in `metrics.shifted_means`.
SHIFT = 0.001


def own_methods(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the attempted runs of exact formulations by solvers and fast paths: what one can choose among."""
    return runs[runs["attempted"] & (runs["exact"] == 1) & runs["kind"].isin(["solver", "fast path"])]


def standings(runs: pd.DataFrame) -> pd.DataFrame:
    """Return by problem and contestant how many items it settled, of how many, and its shifted mean seconds (1 ms).

    Best first: who settles most, and of those who is fastest. An item is settled where more than half of the
    repetitions are, and `answer` is the least sure of what settled. Means of contestants that attempted different
    items cannot be compared; `settled` says so first.
    """
    columns = [*FAMILY, "solver", "kind", "license", "settled", "attempted", "items", "seconds", "answer"]
    own = own_methods(runs)
    if own.empty:
        return pd.DataFrame(columns=columns)
    per_item = own.groupby([*FAMILY, *ITEM[1:], "solver"]).agg(
        kind=("kind", "first"), license=("license", "first"), share=("success", "mean"), seconds=("seconds", "median")
    )
    per_item["settled"] = per_item["share"] > 0.5
    per_item["log"] = np.log(per_item["seconds"] + SHIFT)
    table = per_item.groupby([*FAMILY, "solver"]).agg(
        kind=("kind", "first"), license=("license", "first"), settled=("settled", "sum"), attempted=("log", "size"),
        log=("log", "mean"),
    ).reset_index()  # fmt: skip
    table["seconds"] = np.exp(table["log"]) - SHIFT
    whole = own.drop_duplicates([*FAMILY, *ITEM[1:]]).groupby(FAMILY).size().rename("items")
    table = table.merge(whole.reset_index(), on=FAMILY)
    done = own[own["success"]]
    rank = certainty(done).map({word: k for k, word in enumerate(WORDS)}).rename("answer")
    weakest = rank.groupby([done[name] for name in (*FAMILY, "solver")]).max().map(dict(enumerate(WORDS)))
    table = table.merge(weakest.reset_index(), on=[*FAMILY, "solver"], how="left")
    return table.sort_values([*FAMILY, "settled", "seconds"], ascending=[True, True, False, True])[columns]


def by_problem(runs: pd.DataFrame) -> pd.DataFrame:
    """Return for each problem who is fastest of those who settle most, at what time, and whose claims were wrong."""
    table, wrong = standings(runs), runs[runs["status"] == Status.WRONG]
    rows = []
    for key, group in table.groupby(FAMILY, sort=False):
        sizes = runs[(runs["suite"] == key[0]) & (runs["problem"] == key[1])]["size"]
        best = group.iloc[0]
        solvers = group[group["kind"] == "solver"]
        free = solvers[solvers["license"] == "open source"]
        liars = wrong[(wrong["suite"] == key[0]) & (wrong["problem"] == key[1])]["solver"].unique()
        rows.append(
            {
                **dict(zip(FAMILY, key, strict=True)),
                "items": int(best["items"]),
                "sizes": extent(sizes),
                **_place("fastest", best),
                "kind": best["kind"] if best["settled"] else "",
                **_place("fastest solver", solvers.iloc[0] if len(solvers) else None),
                **_place("fastest open-source solver", free.iloc[0] if len(free) else None),
                "wrong answers by": listed(liars) or "none",
            }
        )
    return pd.DataFrame(rows, columns=list(rows[0]) if rows else [*FAMILY, "wrong answers by", "items"])


def _place(title: str, row: pd.Series | None) -> dict[str, object]:
    known = row is not None and row["settled"] > 0
    return {
        title: row["solver"] if row is not None and known else "none settled",
        f"settled ({title})": float(row["settled"]) if row is not None and known else 0.0,
        f"seconds ({title})": float(row["seconds"]) if row is not None and known else np.nan,
        f"answer ({title})": row["answer"] if row is not None and known else "none",
    }


def extent(sizes: pd.Series) -> str:
    """Return the smallest and the largest of some sizes."""
    known = sizes.dropna()
    if known.empty:
        return ""
    low, high = significant(float(known.min()), 6), significant(float(known.max()), 6)
    return low if low == high else f"{low} to {high}"


def by_size(runs: pd.DataFrame) -> pd.DataFrame:
    """Return for each formulation the ranges of size in which one method is fastest, of those measured.

    A range ends before a measured size that no method settled in all its runs.
    `times the next` is how much longer the next best took at the largest size of the range, `next` is who that was.
    """
    own = own_methods(runs)
    own = own[own["size"].notna()]
    grouped = own.groupby([*growth.FAMILY, "size", "solver"])
    cells = pd.DataFrame(
        {"seconds": grouped["seconds"].median(), "all": grouped["success"].all(), "kind": grouped["kind"].first()}
    )
    cells = cells.reset_index().sort_values([*growth.FAMILY, "size", "seconds"])
    rows: list[dict[str, object]] = []
    last: dict[str, object] = {}
    for key, measured in cells.groupby([*growth.FAMILY, "size"]):
        group = measured[measured["all"]]
        if group.empty:
            last = {}
            continue
        best, rest = group.iloc[0], group.iloc[1:]
        family = dict(zip(growth.FAMILY, key[:3], strict=True))
        size = float(key[3])
        goes_on = all(last.get(k) == v for k, v in family.items()) and last.get("fastest") == best["solver"]
        rows.append(
            {
                **family,
                "from size": last["from size"] if goes_on else size,
                "to size": size,
                "fastest": best["solver"],
                "kind": best["kind"],
                "seconds": float(best["seconds"]),
                "next": rest.iloc[0]["solver"] if len(rest) else "",
                "times the next": rest.iloc[0]["seconds"] / max(best["seconds"], 1e-6) if len(rest) else np.nan,
            }
        )
        last = rows[-1]
        if goes_on:
            del rows[-2]
    columns = [*growth.FAMILY, "from size", "to size", "fastest", "kind", "seconds", "next", "times the next"]
    return pd.DataFrame(rows, columns=columns)


def licences(runs: pd.DataFrame) -> pd.DataFrame:
    """Return for each contestant without an open-source licence what it refused, who else settled that, and its speed.

    `to fastest open-source` is the geometric mean of its seconds over those of the fastest open-source solver, over
    the items that both settled: below one it is the faster.
    """
    own = runs[(runs["kind"] == "solver") & (runs["exact"] == 1)]
    per_item = own.assign(refused=own["status"] == Status.LICENSE).groupby([*ITEM, "solver"]).agg(
        license=("license", "first"), share=("success", "mean"), seconds=("seconds", "median"),
        attempted=("attempted", "any"), refused=("refused", "any"),
    ).reset_index()  # fmt: skip
    free = per_item[(per_item["license"] == "open source") & (per_item["share"] > 0.5)]
    fastest = free.groupby(ITEM)["seconds"].min()
    rows = []
    for (solver, license), group in per_item[per_item["license"] != "open source"].groupby(["solver", "license"]):
        keys = pd.MultiIndex.from_frame(group[ITEM])
        beside = fastest.reindex(keys).to_numpy()
        both = (group["share"] > 0.5).to_numpy() & ~np.isnan(beside)
        refused = group["refused"].to_numpy()
        ratio = group["seconds"].to_numpy()[both].clip(min=1e-6) / beside[both].clip(min=1e-6)
        settled = refused & ~np.isnan(beside)
        rows.append(
            {
                "solver": solver,
                "licence": license,
                "items": len(group),
                "refused as too large": int(refused.sum()),
                "of these settled by open source": int(settled.sum()),
                "slowest of these": float(beside[settled].max()) if settled.any() else np.nan,
                "items compared": int(both.sum()),
                "to fastest open-source": float(np.exp(np.log(ratio).mean())) if both.any() else np.nan,
            }
        )
    return pd.DataFrame(rows, columns=LICENCE_COLUMNS)


LICENCE_COLUMNS = [
    "solver", "licence", "items", "refused as too large", "of these settled by open source", "slowest of these",
    "items compared", "to fastest open-source",
]  # fmt: skip


Sentence = tuple[str, str]
"""What a sentence is about, and the sentence."""


def sentences(runs: pd.DataFrame) -> list[Sentence]:
    """Return what the figures mean to somebody who has to choose, each sentence from figures of these runs."""
    return [*_right(runs), *_problems(runs), *_licences(runs)]


def _right(runs: pd.DataFrame) -> Iterator[Sentence]:
    claimed = runs[runs["claimed"]]
    wrong = claimed[claimed["status"] == Status.WRONG]
    topic = "Who is right"
    if claimed.empty:
        yield topic, "Nothing was claimed: no run ended with a solution or a proof, so no method can be recommended."
        return
    total = len(claimed)
    if wrong.empty:
        yield (
            topic,
            f"None of {plural(total, 'claim')} by {plural(claimed['solver'].nunique(), 'contestant')} was refuted, "
            "neither by recomputation, nor by a known optimum, nor by another contestant's verified solution.",
        )
        return
    counts = wrong["solver"].value_counts()
    asked = claimed["solver"].value_counts()
    who = listed(f"{name} ({number:,} of {asked[name]:,})" for name, number in counts.items())
    text = f"{len(wrong):,} of {plural(total, 'claim')} did not survive. Refuted claims: {who}."
    right = sorted(set(claimed["solver"]) - set(wrong["solver"]))
    yield topic, text + (f" No claim by {listed(right)} was refuted." if right else "")


def _problems(runs: pd.DataFrame) -> Iterator[Sentence]:
    table = standings(runs)
    even = growth.break_even(own_methods(runs))
    several = table["suite"].nunique() > 1
    for (suite, problem), group in table.groupby(FAMILY, sort=False):
        topic = f"{problem}, suite {suite}" if several else str(problem)
        best = group.iloc[0]
        if not best["settled"]:
            yield topic, f"Nobody settled any of {plural(int(best['items']), 'item')} within the limits."
            continue
        text = f"The {best['kind']} {best['solver']} settled {_of(best)}, {_mean(best)}."
        others = group[(group["settled"] > 0) & (group["solver"] != best["solver"])]
        solvers, paths = others[others["kind"] == "solver"], others[others["kind"] == "fast path"]
        free = solvers[solvers["license"] == "open source"]
        leader = best
        if best["kind"] == "fast path" and len(solvers):
            leader = solvers.iloc[0]
            text += f" The best solver {_beside(leader, best)}."
        if leader["license"] != "open source" and len(free):
            text += f" The best open-source solver {_beside(free.iloc[0], best)}."
        if best["kind"] == "solver" and len(paths):
            text += f" The fast path {_beside(paths.iloc[0], best)}."
        rivals = [best["solver"], *(rows.iloc[0]["solver"] for rows in (solvers, paths) if len(rows))]
        same = (even["suite"] == suite) & (even["problem"] == problem) & (even["sizes"] > 1)
        pairs = even[same & even["fast path"].isin(rivals) & even["solver"].isin(rivals)]
        yield topic, text + "".join(f" {part}" for part in _break_even(pairs))


def _of(row: pd.Series) -> str:
    if row["settled"] == row["items"]:
        return "the one item" if row["items"] == 1 else f"all {int(row['items']):,} items"
    return f"{int(row['settled']):,} of {plural(int(row['items']), 'item')}"


def _mean(row: pd.Series) -> str:
    return ("mean " if row["attempted"] > 1 else "") + seconds(row["seconds"])


def _beside(row: pd.Series, best: pd.Series) -> str:
    text = f"is {row['solver']}, which settled {_of(row)}, {_mean(row)}"
    if row["attempted"] == best["attempted"] and min(row["seconds"], best["seconds"]) > 1e-6:
        text += f" ({significant(row['seconds'] / best['seconds'], 2)} times that)"
    return text


def _break_even(pairs: pd.DataFrame) -> Iterator[str]:
    for row in pairs.to_dict("records"):
        form = f"As {row['formulation']}: " if pairs["formulation"].nunique() > 1 else ""
        largest = significant(row["largest size"], 6)
        if np.isnan(row["from size"]):
            yield f"{form}{row['solver']} is the faster one at size {largest}."
        else:
            yield (
                f"{form}{row['fast path']} stays faster than {row['solver']} from size "
                f"{significant(row['from size'])} on, {significant(row['times faster there'], 2)} times at {largest}."
            )


def _licences(runs: pd.DataFrame) -> Iterator[Sentence]:
    for row in licences(runs).to_dict("records"):
        topic = f"{row['solver']}, {row['licence']} licence"
        refused, settled = row["refused as too large"], row["of these settled by open source"]
        text = f"Refused {refused or 'none'} of {plural(row['items'], 'item')} as too large for the licence"
        if refused and settled:
            text += (
                f"; open-source solvers settled {settled} of these, the slowest in {seconds(row['slowest of these'])}"
            )
        elif refused:
            text += "; no open-source solver settled any of these"
        text += "."
        if row["items compared"]:
            ratio = row["to fastest open-source"]
            text += (
                f" On {plural(row['items compared'], 'item')} that it and an open-source solver settled, its time is "
                f"{significant(ratio)} times that of the fastest open-source solver (geometric mean)."
            )
        yield topic, text
    refused = runs[runs["kind"] == "solver"].groupby("solver")["status"].agg(lambda s: (s == Status.UNSUPPORTED).mean())
    for solver, part in refused[refused > 0].items():
        yield str(solver), f"Does not take the class of {share(part)} of the runs that it was asked for."
