"""A row of the file of runs: what was run, how it ended, what it cost."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run: what was asked, how it ended, what it cost. Times are in seconds, memory in bytes.

    Attributes
    ----------
    suite, instance, problem, formulation, solver : str
        `instance` names the data; `formulation` how it was written as a model (`asked`: as the suite names it, empty
        for the problem's own choice).
    repetition : int
    kind : str
        "solver", "fast path", "heuristic" or "peer".
    status : str
        Of `causalopt.bench.store.status.Status`.
    reason, stopped_by, method, detail, proof : str
        What is known, which limit ended it, the algorithm, the message, what stands behind the bound.
    solver_version, license : str
        As the solver reports them on the machine of the run.
    problem_class : str
    n_columns, n_rows, n_nonzeros : int or None
        Size of the program; `maximize` is its sense.
    time_limit, memory_limit, gap_asked, threads : float or int
        What the run was allowed.
    machine, environment, commit, started, load_average : str or float
        Where and when it ran, the key of its row in `environments`, and how busy the machine was.
    fingerprint : str
        Hash of the program's arrays: equal for equal programs on all machines.
    size : float
        The number by which instances of a family grow; `seed` is the generator's.
    exact : int
        Whether the formulation's optimum is that of the problem.
    objective, bound, gap : float or None
        Recomputed, as verified; `claimed_objective` and `claimed_bound` are the solver's words, and `scale` is what
        differences of objectives are relative to.
    known_optimum : float or None
        Of this program, planted or proven.
    data, build, compile, load, solve, extract, verify : float
        The lane's ledger.
    wall : float
        From asking for the run to its record, with everything; `worker` of it went by inside the lane.
    base_memory, peak_memory : int or None
        Of the run's process, right before and during the solve.
    answers, expected : str
        JSON: the study's own answers, and what the literature says: {name: [value, tolerance]}.
    """

    suite: str
    instance: str
    problem: str = ""
    formulation: str = ""
    asked: str = ""
    solver: str
    solver_version: str = ""
    license: str = ""
    kind: str = "solver"
    repetition: int = 0
    status: str
    reason: str = ""
    stopped_by: str = ""
    method: str = ""
    detail: str = ""
    problem_class: str = ""
    fingerprint: str = ""
    n_columns: int | None = None
    n_rows: int | None = None
    n_nonzeros: int | None = None
    size: float | None = None
    seed: int | None = None
    exact: int = 1
    maximize: int = 0
    objective: float | None = None
    scale: float | None = None
    bound: float | None = None
    gap: float | None = None
    claimed_objective: float | None = None
    claimed_bound: float | None = None
    proof: str = ""
    known_optimum: float | None = None
    answers: str = "{}"
    expected: str = "{}"
    data: float = 0.0
    build: float = 0.0
    compile: float = 0.0
    load: float = 0.0
    solve: float = 0.0
    extract: float = 0.0
    verify: float = 0.0
    wall: float = 0.0
    worker: float = 0.0
    base_memory: int | None = None
    peak_memory: int | None = None
    time_limit: float = 0.0
    memory_limit: float | None = None
    threads: int = 1
    gap_asked: float = 0.0
    machine: str = ""
    environment: str = ""
    commit: str = ""
    started: str = ""
    load_average: float | None = None

    @property
    def key(self) -> str:
        """What was run, whatever came of it."""
        return run_key(**{name: getattr(self, name) for name in KEY})


#: The fields that say what was run. Two runs that agree on them are the same run.
KEY = (
    "suite", "instance", "asked", "solver", "solver_version", "repetition", "time_limit", "memory_limit", "threads",
    "gap_asked", "machine",
)  # fmt: skip


def run_key(**fields: Any) -> str:
    """Return the hash of what is to be run, from the fields named in `KEY`."""
    words = json.dumps([_as_stored(name, fields[name]) for name in KEY])
    return hashlib.sha256(words.encode()).hexdigest()[:24]


def _as_stored(name: str, value: Any) -> Any:
    return float(value) if value is not None and FIELDS[name].startswith("float") else value


#: How SQLite keeps a field, by its annotation.
_TYPES = {"str": "TEXT NOT NULL", "int": "INTEGER NOT NULL", "float": "REAL NOT NULL"}
#: Field -> annotation.
FIELDS = {field.name: str(field.type) for field in dataclasses.fields(Run)}


def column(name: str) -> str:
    """Return how a field is declared as a column."""
    declared = FIELDS[name]
    kind = declared.split(" | ")[0]
    return f'"{name}" ' + (_TYPES[kind].split()[0] if "None" in declared else _TYPES[kind])
