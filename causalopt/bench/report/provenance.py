"""Where the figures come from, what they cannot tell, and how to make them again; all of it from the store."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from causalopt.bench.report import metrics
from causalopt.bench.report.words import listed, seconds, share, significant
from causalopt.bench.running.environment import BUSY
from causalopt.bench.running.suite import load_suite, suite_names
from causalopt.bench.store.status import Status
from causalopt.solving.catalogue import ADVISORIES
from causalopt.solving.words import plural

#: A median whose quartiles are further apart than this share of it is called uncertain.
WIDE = 0.25

#: Medians below this many seconds are near what a clock and a busy machine can tell.
SHORT = 1e-3

#: Commands are broken into lines of this length.
LONGEST_LINE = 96

#: Where packages of contestants come from: the name to install, by the contestant's.
PACKAGES = {
    "highs": "highspy", "scip": "pyscipopt", "gurobi": "gurobipy", "cplex": "cplex", "pyomo": "pyomo",
    "scipy": "scipy", "cvxpy": "cvxpy", "linopy": "linopy", "cpsat": "ortools",
}  # fmt: skip


def suites(runs: pd.DataFrame) -> pd.DataFrame:
    """Return for each suite when it ran, how much, and under which limits."""
    rows = []
    for suite, own in runs.groupby("suite"):
        days = sorted({str(started)[:10] for started in own["started"] if started})
        rows.append(
            {
                "suite": suite,
                "runs": len(own),
                "items": len(own.drop_duplicates(metrics.ITEM)),
                "contestants": own["solver"].nunique(),
                "dates (UTC)": " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "",
                "repetitions": int(own["repetition"].max()) + 1,
                "time limit": _values(own["time_limit"], seconds),
                "memory limit": _values(own["memory_limit"].dropna(), lambda gib: f"{gib:g} GiB"),
                "threads": _values(own["threads"], str),
                "gap asked": _values(own["gap_asked"], "{:g}".format),
            }
        )
    return pd.DataFrame(rows)


def _values(column: pd.Series, write: Any) -> str:
    return ", ".join(write(value) for value in sorted(column.unique().tolist()))


def environments(runs: pd.DataFrame, known: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the machines and installations of the runs."""
    counts: dict[tuple[str, ...], int] = {}
    for (name, commit), own in runs.groupby(["environment", "commit"]):
        facts = known.get(name, {})
        memory = facts.get("memory_gib")
        row = (
            str(facts.get("processor", "not recorded")),
            _whole(facts.get("cores")),
            f"{memory:g} GiB" if isinstance(memory, int | float) else "",
            str(facts.get("system", "")),
            str(facts.get("python", "")),
            ", ".join(f"{n} {v}" for n, v in sorted(dict(facts.get("packages", {})).items())),
            str(commit),
        )
        counts[row] = counts.get(row, 0) + len(own)
    columns = ["processor", "cores", "memory", "system", "Python", "packages", "commit"]
    table = pd.DataFrame(list(counts), columns=columns, dtype=object)
    table.insert(0, "machine", [str(k + 1) for k in range(len(table))])
    return table.assign(runs=list(counts.values()))


def _whole(value: Any) -> str:
    return f"{value:d}" if isinstance(value, int) else ""


def contestants(runs: pd.DataFrame) -> pd.DataFrame:
    """Return who took part, of which version and under which licence."""
    grouped = runs.groupby(["solver", "kind", "solver_version", "license"])
    table = grouped.size().rename("runs").reset_index()
    return table.rename(columns={"solver_version": "version", "license": "licence"})


def advisories(runs: pd.DataFrame) -> pd.DataFrame:
    """Return what is known to be wrong with the versions of the store, and whose versions these are."""
    rows = []
    pairs = runs[["solver", "solver_version"]].drop_duplicates().sort_values(["solver", "solver_version"])
    for name, version in pairs.itertuples(index=False):
        for advisory in ADVISORIES:
            if version and advisory.solver == backend_of(name) and advisory.applies(version):
                rows.append((name, version, advisory.text, advisory.source))
    return pd.DataFrame(rows, columns=["solver", "version", "what is known", "known from"])


def backend_of(name: str) -> str:
    """Return the solver behind a contestant: raw:highs is highs, pyomo:cbc is pyomo."""
    head, _, tail = name.partition(":")
    return tail if head == "raw" else head


def limitations(runs: pd.DataFrame, known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what these figures cannot tell, in sentences with their own numbers."""
    return [*_general(runs), *_pooled(runs), *_doubtful(runs, known), *_missing(runs)]


def _general(runs: pd.DataFrame) -> Iterator[str]:
    machines, threads = runs["machine"].nunique(), _values(runs["threads"], str)
    if machines == 1:
        yield "One machine: ratios between solvers may differ on another, and seconds will."
    yield f"Threads: {threads} for every contestant. Solvers that gain from more threads are not shown at their best."
    yield (
        "Settings: each solver runs as causalopt calls it, with the same gap and otherwise its defaults. Nothing was "
        "tuned to an instance, and a tuned solver may be faster."
    )
    yield (
        "Instances are those of causal inference named here. They say nothing about these solvers on other problems."
    )
    yield (
        "A failed run is charged its time limit, so means depend on the limits, and profiles on who takes part: to "
        "remove a contestant can change the order of the others."
    )
    claimed = runs[runs["success"] & (runs["proof"] == "claimed by the solver")]
    yield (
        f"Optimality of {len(claimed):,} of {plural(int(runs['success'].sum()), 'run')} that were settled rests on the "
        "solver's own bound, as in every branch and bound. The solution was verified, and no other contestant beat it."
    )
    for (solver, license), own in runs[~runs["license"].isin(["open source", "full", ""])].groupby(
        ["solver", "license"]
    ):
        refused = int((own["status"] == Status.LICENSE).sum())
        yield (
            f"{solver} ran under a {license} licence, which refused {refused:,} of {plural(len(own), 'run')}. Its "
            "rates and means are over what it was let attempt; in profiles, what it refused counts as not settled."
        )


def _pooled(runs: pd.DataFrame) -> Iterator[str]:
    machines = runs["machine"].nunique()
    if machines > 1:
        yield f"Runs of {machines} machines are in this store, and medians mix them. Report each machine's store apart."
    versions = runs.groupby("solver")["solver_version"].unique()
    for solver, found in versions[versions.map(len) > 1].items():
        yield f"Runs of {solver} {listed(sorted(found))} are in this store, and its figures mix them."
    commits = sorted(set(runs["commit"]) - {""})
    if len(commits) > 1:
        yield f"Runs of {len(commits)} commits of causalopt are in this store, and figures mix them: {listed(commits)}."
    changed = [commit for commit in commits if commit.endswith("+")]
    if changed:
        yield f"Files differed from the commit where it is followed by a plus: {listed(changed)}."


def _doubtful(runs: pd.DataFrame, known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    cores = runs["environment"].map({name: facts.get("cores") or 1 for name, facts in known.items()})
    cores = pd.to_numeric(cores).fillna(1)
    other = runs["load_average"] - runs["threads"]
    busy = other > BUSY * cores
    if busy.any():
        yield (
            f"Doubtful timings: {int(busy.sum()):,} of {plural(len(runs), 'run')} began while other work kept more "
            f"than {share(BUSY)} of the cores busy (load average, less the run's own threads; at most "
            f"{significant(float(other[busy].max()), 2)} of {significant(float(cores[other[busy].idxmax()]))} cores)."
        )
    unknown = int(runs["load_average"].isna().sum())
    if unknown:
        yield f"Whether the machine was busy is not recorded for {plural(unknown, 'run')}."
    settled = runs[runs["success"]]
    grouped = settled.groupby([*metrics.ITEM, "solver"])["seconds"]
    count, middle = grouped.size(), grouped.median()
    wide = (grouped.quantile(0.75) - grouped.quantile(0.25)) > WIDE * middle
    if len(count):
        yield (
            f"Spread: of {plural(len(count), 'median')} of settled runs, {int(wide.sum()):,} have quartiles further "
            f"apart than {share(WIDE)} of the median, {int((count < 3).sum()):,} rest on fewer than three repetitions "
            f"(where quartiles say little), and {int((middle < SHORT).sum()):,} are below {seconds(SHORT)}."
        )


def _missing(runs: pd.DataFrame) -> Iterator[str]:
    failed = runs[runs["status"] == Status.INSTANCE]
    if len(failed):
        yield f"Instances that could not be made: {listed(sorted(failed['instance'].unique()), 20)}."
    for suite, own in runs.groupby("suite"):
        absent = not_run(str(suite), set(own["instance"]))
        if absent is None:
            yield f"The definition of the suite {suite} is not here, so that instances without a run cannot be named."
        elif absent:
            yield (
                f"Without a run, of the suite {suite} as it is defined here: {listed(absent, 20)}. They were left out "
                "on purpose, or their data was not there."
            )


def not_run(suite: str, instances: set[str]) -> list[str] | None:
    """Return the suite's instances that are not among these, None where no suite of this name is installed.

    The name comes from a store, which may be anybody's: it never becomes a path.
    """
    if suite not in suite_names():
        return None
    return [instance.name for instance in load_suite(suite).instances if instance.name not in instances]


def commands(runs: pd.DataFrame, known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the commands that make these runs again, with the versions, limits and contestants of the store."""
    lines = []
    commits = sorted({c.rstrip("+") for c in runs["commit"]} - {""})
    lines += [f"git checkout {shlex.quote(commit)}" for commit in commits[-1:]]
    pins: dict[str, str] = {}
    for name in runs["environment"].unique():
        pins |= {k: v for k, v in dict(known.get(name, {}).get("packages", {})).items() if k != "causalopt"}
    for row in runs[["solver", "solver_version"]].drop_duplicates().itertuples():
        package = PACKAGES.get(backend_of(row.solver))
        if package and row.solver_version and not row.solver.startswith("pyomo:"):
            pins[package] = row.solver_version
    lines.append("pip install -e '.[all,bench]'")
    if pins:
        lines.append("pip install " + " ".join(shlex.quote(f"{name}=={v}") for name, v in sorted(pins.items())))
    for suite, own in runs.groupby("suite"):
        lines.append(run_command(str(suite), own))
    return [*lines, "causalopt bench report --store new.sqlite --html report.html"]


def run_command(suite: str, own: pd.DataFrame) -> str:
    """Return the command that runs a suite as these runs were."""
    words = [("--store", "new.sqlite"), ("--repetitions", str(int(own["repetition"].max()) + 1))]
    limits = own["time_limit"].unique()
    if len(limits) == 1 and limits[0] > 0:  # else instances have limits of their own, which the suite knows
        words.append(("--time-limit", f"{limits[0]:g}"))
    memory = own["memory_limit"].dropna().unique()
    if len(memory) == 1:
        words.append(("--memory-limit", f"{memory[0]:g}"))
    words += [("--solver", solver) for solver in sorted(own["solver"].unique())]
    if not_run(suite, set(own["instance"])):
        words += [("--instance", instance) for instance in dict.fromkeys(own["instance"])]
    lines = [f"causalopt bench run {shlex.quote(suite)}"]
    for pair in words:
        text = shlex.join(pair)
        if len(lines[-1]) + len(text) > LONGEST_LINE:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {text}"
    return "\n".join(lines)


def lead(runs: pd.DataFrame, known: Mapping[str, Mapping[str, Any]]) -> str:
    """Return in one sentence what was run, when and on what."""
    days = sorted({str(started)[:10] for started in runs["started"] if started})
    when = " to ".join(dict.fromkeys([days[0], days[-1]])) if days else "on dates that were not recorded"
    machines = {
        f"{f['processor']}, {f['cores']} cores, {f['memory_gib']} GiB"
        if {"processor", "cores", "memory_gib"} <= set(f)
        else "a machine that was not recorded"
        for f in (known.get(name, {}) for name in runs["environment"].unique())
    }
    return (
        f"{plural(len(runs), 'run')} by {plural(runs['solver'].nunique(), 'contestant')} on "
        f"{plural(len(runs.drop_duplicates(metrics.ITEM)), 'item')} of {plural(runs['suite'].nunique(), 'suite')} "
        f"({listed(sorted(runs['suite'].unique()))}), {when}, on {listed(sorted(machines), 3)}."
    )
