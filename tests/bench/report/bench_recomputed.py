"""The tables of the page a second time: from the rows of the SQLite file, in plain Python, by their definitions.

Nothing here comes from causalopt: what it says has to be found on the page by reading its HTML.
"""

import json
import math
import sqlite3
import statistics
from collections import defaultdict

PHASES = ("data", "build", "compile", "load", "solve", "extract", "verify")
NOT_ATTEMPTED = ("unsupported", "too large for the licence", "instance failed")
STATUSES = (
    "ok", "unproven", "limit with incumbent", "limit without incumbent", "out of memory", "crashed", "wrong", "error",
    *NOT_ATTEMPTED[:1], *NOT_ATTEMPTED[1:],
)  # fmt: skip
WORDS = (
    "exact, certified", "exact, claimed", "infeasible, certified", "infeasible, claimed", "unbounded, certified",
    "unbounded, claimed", "within a gap, certified", "within a gap, claimed", "heuristic formulation", "heuristic",
    "feasible, not proven", "none", "wrong", "not attempted",
)  # fmt: skip


# ---- reading ----


def rows_of(path, suite=None):
    """The judged runs of a store: claims that a better verified solution refutes are wrong."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    rows = [dict(row) for row in connection.execute("SELECT * FROM runs ORDER BY rowid")]
    connection.close()
    programs = defaultdict(list)
    for row in rows:
        if row["fingerprint"] and row["status"] != "wrong":
            programs[row["fingerprint"]].append(row)
    refuted = []
    for group in programs.values():
        sign = -1 if group[0]["maximize"] else 1
        values = [sign * row["objective"] for row in group if row["objective"] is not None]
        if not values:
            continue
        best = min(values)
        scale = max([abs(best), *(row["scale"] for row in group if row["scale"] is not None)])
        for row in group:
            allowed = max(1e-5, 1.01 * row["gap_asked"]) * scale
            beaten = (
                row["reason"] == "optimal" and row["objective"] is not None and sign * row["objective"] - best > allowed
            )
            excluded = row["bound"] is not None and sign * row["bound"] - best > allowed
            if row["reason"] == "infeasible" or beaten or excluded:
                refuted.append(row)
    for row in refuted:
        row["status"] = "wrong"
    for row in rows:
        row["taken"] = row["load"] + row["solve"] + row["extract"]
        row["done"] = row["status"] == "ok" or (
            (row["kind"] == "heuristic" or not row["exact"]) and row["status"] == "unproven"
        )
        row["seconds"] = row["taken"] if row["done"] else row["time_limit"]
        row["attempted"] = row["status"] not in NOT_ATTEMPTED
        row["item"] = (row["suite"], row["instance"], row["formulation"])
        row["word"] = word(row)
    return [row for row in rows if suite in (None, row["suite"])]


def word(row):
    proof = "certified" if row["proof"] == "certified by causalopt" else "claimed"
    status, gap = row["status"], row["gap"]
    if status == "wrong":
        return "wrong"
    if status in NOT_ATTEMPTED:
        return "not attempted"
    if status == "ok" and row["reason"] in ("infeasible", "unbounded"):
        return f"{row['reason']}, {proof}"
    incumbent = status in ("unproven", "limit with incumbent")
    bounded = incumbent and row["bound"] is not None and gap is not None
    if (status == "ok" or bounded) and not row["exact"]:
        return "heuristic formulation"
    if bounded or (status == "ok" and gap is not None and gap > 1e-6):
        return f"within a gap, {proof}"
    if status == "ok":
        return f"exact, {proof}"
    if incumbent:
        return "heuristic" if row["kind"] == "heuristic" else "feasible, not proven"
    return "none"


def groups(rows, *keys):
    found = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in keys)].append(row)
    return dict(sorted(found.items()))


def quantile(values, share):
    values, place = sorted(values), share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def geometric(values):
    return math.exp(statistics.fmean(map(math.log, values)))


# ---- tables: title -> (columns that name a row, {key: {column: value}}) ----


def tables(rows):
    attempted = [row for row in rows if row["attempted"]]
    exact_methods = [row for row in attempted if row["kind"] != "heuristic"]
    ok = [row for row in rows if row["status"] == "ok"]
    solver = ("solver",)
    item = ("suite", "instance", "formulation")
    return {
        "Success and correctness": (solver, rates(rows)),
        "Shifted geometric means": (solver, means(exact_methods)),
        "Performance profiles": (solver, profiles(exact_methods)),
        "Shares of time": (solver, split(ok)),
        "Times by item": ((*item, "solver"), items(attempted)),
        "Memory": (solver, memory(attempted)),
        "Overhead of the harness": (solver, overhead(attempted)),
        "Wrong answers": ((*item, "solver"), wrong(rows)),
        "Published figures": (("suite", "instance", "answer"), published(rows)),
        "Agreement": ((*item, "what"), agreement(ok)),
        "Price of heuristics": ((*item, "heuristic", "what"), prices(rows)),
        "Beside peers": ((*item, "solver"), peers(ok)),
        "Growth with size": (("suite", "problem", "formulation", "solver"), growth(exact_methods)),
        "Break-even of fast paths": (("suite", "problem", "formulation", "fast path", "solver"), break_even(attempted)),
        "Best by problem": (("suite", "problem"), best(rows)),
        "Fastest by size": (("suite", "problem", "formulation", "from size"), by_size(rows)),
        "Licences": (solver, licences(rows)),
        "Not settled": ((*item, "solver", "status"), unsettled(rows)),
        "Contestants": (("solver", "version"), contestants(rows)),
        "What was run": (("suite",), suites(rows)),
    }


def share(truths):
    truths = list(truths)
    return sum(truths) / len(truths) if truths else None


def rates(rows):
    found = {}
    for (solver,), own in groups(rows, "solver").items():
        tried = [r for r in own if r["attempted"]]
        claims = [r for r in own if r["status"] in ("ok", "wrong", "unproven", "limit with incumbent")]
        found[(solver,)] = {
            "kind": own[0]["kind"],
            "runs": len(own),
            "attempted": len(tried),
            "success": share(r["status"] == "ok" for r in tried if r["status"] == "ok" or not r["done"]),
            "correct": sum(r["status"] != "wrong" for r in claims) / len(claims) if claims else None,
            **{s: sum(r["status"] == s for r in own) for s in STATUSES if any(r["status"] == s for r in rows)},
        }
    return found


def medians(rows):
    return {key: statistics.median(r["seconds"] for r in own) for key, own in groups(rows, "item", "solver").items()}


def means(rows):
    middle = medians(rows)
    fastest = defaultdict(lambda: math.inf)
    for (item, _), value in middle.items():
        fastest[item] = min(fastest[item], value)
    found = {}
    for solver in sorted({s for _, s in middle}):
        own = {item: value for (item, s), value in middle.items() if s == solver}
        found[(solver,)] = {
            "items": len(own),
            **{f"shift {s:g} s": geometric([v + s for v in own.values()]) - s for s in (0.001, 0.01, 1.0)},
            "to best": geometric([(v + 0.001) / (fastest[i] + 0.001) for i, v in own.items()]),
        }
    return found


def settled_times(rows):
    found = {}
    for (item, solver), own in groups(rows, "item", "solver").items():
        if sum(r["status"] == "ok" for r in own) > len(own) / 2:
            found[item, solver] = max(statistics.median(r["seconds"] for r in own), 1e-6)
    return found


def profiles(rows, ratios=(1.0, 1.5, 2.0, 5.0, 10.0, 100.0, 1000.0)):
    times = settled_times(rows)
    names = {i for i, _ in times}
    fastest = {i: min(v for (j, _), v in times.items() if j == i) for i in names}
    return {
        (solver,): {
            f"within {t:g}": sum(times.get((i, solver), math.inf) <= t * fastest[i] * (1 + 1e-12) for i in names)
            / len(names)
            for t in ratios
        }
        for solver in sorted({r["solver"] for r in rows})
    }


def split(ok):
    found = {}
    for (solver,), own in groups(ok, "solver").items():
        totals = [sum(r[p] for p in PHASES) for r in own]
        shares = {p: statistics.fmean(r[p] / t for r, t in zip(own, totals, strict=True)) for p in PHASES}
        found[(solver,)] = {**shares, "total (s)": statistics.fmean(totals)}
    return found


def items(attempted):
    found = {}
    for (item, solver), own in groups(attempted, "item", "solver").items():
        values = [r["seconds"] for r in own]
        gaps = [r["gap"] for r in own if r["gap"] is not None]
        found[(*item, solver)] = {
            "answer": WORDS[max(WORDS.index(r["word"]) for r in own)],
            "median": statistics.median(values),
            "lower quartile": quantile(values, 0.25),
            "upper quartile": quantile(values, 0.75),
            "settled": sum(r["status"] == "ok" for r in own),
            "repetitions": len(own),
            "gap": max(gaps) if gaps else None,
            "kind": own[0]["kind"],
            "problem": own[0]["problem"],
            "size": own[0]["size"],
            "peak memory": statistics.median(r["peak_memory"] for r in own) / 2**20,
        }
    return found


def memory(attempted):
    peaks, mine = defaultdict(list), defaultdict(list)
    for (_, solver), own in groups(attempted, "item", "solver").items():
        peaks[solver].append(statistics.median(r["peak_memory"] for r in own) / 2**20)
        mine[solver].append(statistics.median(r["peak_memory"] - r["base_memory"] for r in own) / 2**20)
    return {
        (s,): {
            "items": len(peaks[s]),
            "median peak": statistics.median(peaks[s]),
            "largest peak": max(peaks[s]),
            "median of the solve": statistics.median(mine[s]),
            "largest of the solve": max(mine[s]),
        }
        for s in peaks
    }


def overhead(attempted):
    found = {}
    for (solver,), own in groups(attempted, "solver").items():
        beside = [r["wall"] - r["worker"] for r in own if r["wall"] > 0]
        found[(solver,)] = {"median (s)": statistics.median(beside), "largest (s)": max(beside)}
    return found


def wrong(rows):
    own = groups([r for r in rows if r["status"] == "wrong"], "item", "solver")
    return {(*item, solver): {"runs": len(group)} for (item, solver), group in own.items()}


def published(rows):
    """All instances here have exact formulations that were settled."""
    found = {}
    sure = [r for r in rows if r["status"] == "ok" and r["exact"]]
    for (suite, instance), own in groups(sure, "suite", "instance").items():
        for name, (value, allowed) in json.loads(own[0]["expected"]).items():
            answers = [json.loads(r["answers"]).get(name) for r in own]
            worst = max((a for a in answers if a is not None), key=lambda a: abs(a - value))
            agrees = "yes" if abs(worst - value) <= allowed else "NO"
            found[suite, instance, name] = {"published": value, "allowed": allowed, "found": worst, "agrees": agrees}
    return found


def agreement(ok):
    values = defaultdict(list)
    sure = [r for r in ok if r["reason"] == "optimal"]
    for (item, _), own in groups(sure, "item", "solver").items():
        values[(*item, "objective")].append(statistics.median(r["objective"] for r in own))
    for row in sure:
        for name, value in json.loads(row["answers"]).items() if row["exact"] else ():
            values[(row["suite"], row["instance"], "", name)].append(value)
    return {
        key: {
            "values": len(v),
            "smallest": min(v),
            "largest": max(v),
            "relative difference": (max(v) - min(v)) / max(abs(min(v)), abs(max(v)), 1e-6),
        }
        for key, v in values.items()
    }


def prices(rows):
    found = {}
    proven = [r for r in rows if r["status"] == "ok" and r["reason"] == "optimal" and r["kind"] != "heuristic"]
    sure = groups(proven, "item")
    rough = [r for r in rows if r["kind"] == "heuristic" and r["status"] in ("ok", "unproven")]
    for (item, heuristic), own in groups(rough, "item", "solver").items():
        if (item,) not in sure:
            continue
        exact = sure[(item,)]
        optimum = statistics.median(r["objective"] for r in exact)
        value = statistics.median(r["objective"] for r in own)
        fastest = min(statistics.median(r["seconds"] for r in g) for g in groups(exact, "solver").values())
        found[(*item, heuristic, "objective")] = {
            "optimum": optimum,
            "value": value,
            "loss": abs(value - optimum) / abs(optimum),
            "time saved": fastest / statistics.median(r["taken"] for r in own),
        }
    return found


def peers(ok):
    found = {}
    for (item,), own in groups(ok, "item").items():
        whole, kinds = {}, {}
        for (solver,), mine in groups(own, "solver").items():
            whole[solver] = statistics.median(sum(r[p] for p in PHASES if p not in ("data", "verify")) for r in mine)
            kinds[solver] = mine[0]["kind"]
        if "peer" in kinds.values():
            fastest = min(v for s, v in whole.items() if kinds[s] == "peer")
            for s, v in whole.items():
                found[(*item, s)] = {"seconds": v, "kind": kinds[s], "to fastest peer": v / fastest}
    return found


def growth(rows):
    found = {}
    for key, own in groups(rows, "suite", "problem", "formulation", "solver").items():
        sizes = groups(own, "size")
        good = {s: statistics.median(r["seconds"] for r in g) for (s,), g in sizes.items() if all(r["done"] for r in g)}
        failed = [s for (s,) in sizes if s not in good]
        x, y = [math.log(s) for s in good], [math.log(v) for v in good.values()]
        slope = None
        if len(good) >= 3:
            mx, my = statistics.fmean(x), statistics.fmean(y)
            slope = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)
        found[key] = {"sizes": len(good), "failed from": min(failed, default=None), "exponent": slope}
    return found


def break_even(attempted):
    found = {}
    for key, own in groups(attempted, "suite", "problem", "formulation").items():
        times = {k: statistics.median(r["seconds"] for r in g) for k, g in groups(own, "solver", "size").items()}
        kinds = {r["solver"]: r["kind"] for r in own}
        for path in (s for s, k in kinds.items() if k == "fast path"):
            for solver in (s for s, k in kinds.items() if k == "solver"):
                sizes = sorted({s for n, s in times if n == path} & {s for n, s in times if n == solver})
                if sizes:
                    ratio = times[solver, sizes[-1]] / times[path, sizes[-1]]
                    start = _from(sizes, [math.log(times[solver, s] / times[path, s]) for s in sizes])
                    found[(*key, path, solver)] = {
                        "sizes": len(sizes), "largest size": sizes[-1], "times faster there": ratio, "from size": start,
                    }  # fmt: skip
    return found


def _from(sizes, lead):
    if lead[-1] <= 0:
        return None
    start = sizes[0]
    for k in range(len(sizes) - 1):
        if lead[k] <= 0 < lead[k + 1]:
            share = -lead[k] / (lead[k + 1] - lead[k])
            start = math.exp(math.log(sizes[k]) + share * math.log(sizes[k + 1] / sizes[k]))
    return start


def standings(rows):
    """By problem: contestants with what they settled, of how many, in what shifted mean; best first."""
    own = [r for r in rows if r["attempted"] and r["exact"] and r["kind"] in ("solver", "fast path")]
    found = {}
    for key, group in groups(own, "suite", "problem").items():
        table = []
        for (solver,), mine in groups(group, "solver").items():
            by_item = groups(mine, "item").values()
            settled = sum(sum(r["status"] == "ok" for r in g) > len(g) / 2 for g in by_item)
            mean = geometric([statistics.median(r["seconds"] for r in g) + 0.001 for g in by_item]) - 0.001
            table.append((-settled, mean, solver, mine[0]["kind"], mine[0]["license"]))
        found[key] = (sorted(table), len({r["item"] for r in group}))
    return found


def best(rows):
    found = {}
    for key, (table, count) in standings(rows).items():
        liars = {r["solver"] for r in rows if r["status"] == "wrong" and (r["suite"], r["problem"]) == key}
        solvers = [t for t in table if t[3] == "solver"]
        row = {"items": count}
        for title, place in (
            ("fastest", table), ("fastest solver", solvers),
            ("fastest open-source solver", [t for t in solvers if t[4] == "open source"]),
        ):  # fmt: skip
            row[title] = place[0][1] if place and place[0][0] else None
            if place and place[0][0]:
                runs = [r for r in rows if (r["suite"], r["problem"], r["solver"]) == (*key, place[0][2])]
                sure = [WORDS.index(r["word"]) for r in runs if r["status"] == "ok" and r["exact"]]
                row[f"name of {title}"] = (place[0][2], f"({-place[0][0]}/{count})\n{WORDS[max(sure)]}")
        row["liars"] = liars
        found[key] = row
    return found


def by_size(rows):
    own = [r for r in rows if r["attempted"] and r["exact"] and r["kind"] in ("solver", "fast path")]
    found = {}
    for key, group in groups(own, "suite", "problem", "formulation").items():
        last = None
        for (size,), cell in groups(group, "size").items():
            ranked = sorted(
                (statistics.median(r["seconds"] for r in g), s)
                for (s,), g in groups(cell, "solver").items()
                if all(r["status"] == "ok" for r in g)
            )
            if not ranked:
                last = None
                continue
            start = last[0] if last and last[1] == ranked[0][1] else size
            last = (start, ranked[0][1])
            found[(*key, start)] = {
                "to size": size, "fastest": ranked[0][1], "seconds": ranked[0][0],
                "next": ranked[1][1] if len(ranked) > 1 else "",
                "times the next": ranked[1][0] / ranked[0][0] if len(ranked) > 1 else None,
            }  # fmt: skip
    return found


def licences(rows):
    own = [r for r in rows if r["kind"] == "solver" and r["exact"]]
    cells = groups(own, "item", "solver")
    free = defaultdict(lambda: math.inf)
    won = {k: sum(r["status"] == "ok" for r in g) > len(g) / 2 for k, g in cells.items()}
    middle = {k: statistics.median(r["seconds"] for r in g) for k, g in cells.items()}
    for (item, solver), group in cells.items():
        if group[0]["license"] == "open source" and won[item, solver]:
            free[item] = min(free[item], middle[item, solver])
    found = {}
    for solver in sorted({s for _, s in cells}):
        mine = {i: g for (i, s), g in cells.items() if s == solver}
        if next(iter(mine.values()))[0]["license"] == "open source":
            continue
        refused = [i for i, g in mine.items() if any(r["status"] == NOT_ATTEMPTED[1] for r in g)]
        settled = [free[i] for i in refused if free[i] < math.inf]
        both = [middle[i, solver] / free[i] for i in mine if won[i, solver] and free[i] < math.inf]
        found[(solver,)] = {
            "items": len(mine),
            "refused as too large": len(refused),
            "of these settled by open source": len(settled),
            "slowest of these": max(settled, default=None),
            "items compared": len(both),
            "to fastest open-source": geometric(both) if both else None,
        }
    return found


def unsettled(rows):
    own = [r for r in rows if not r["done"]]
    return {(*i, s, status): {"runs": len(g)} for (i, s, status), g in groups(own, "item", "solver", "status").items()}


def contestants(rows):
    own = groups(rows, "solver", "solver_version")
    return {k: {"runs": len(g), "licence": g[0]["license"], "kind": g[0]["kind"]} for k, g in own.items()}


def suites(rows):
    return {
        key: {
            "runs": len(own),
            "items": len({r["item"] for r in own}),
            "contestants": len({r["solver"] for r in own}),
            "repetitions": len({r["repetition"] for r in own}),
        }
        for key, own in groups(rows, "suite").items()
    }
