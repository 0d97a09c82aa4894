"""run(): every contestant on every instance, each in a process of its own, each result in the store at once."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import perf_counter
from typing import Any, Self

from causalopt.bench.running import contestants as field_of
from causalopt.bench.running.block import Block, Limits
from causalopt.bench.running.environment import digest, disturbances, environment, machine
from causalopt.bench.running.estimate import Estimate
from causalopt.bench.running.nursery import Nursery, NurseryEnded, Worker
from causalopt.bench.running.suite import Instance, Suite, load_suite
from causalopt.bench.store.record import Run, run_key
from causalopt.bench.store.sqlite import Store
from causalopt.bench.store.status import Status
from causalopt.errors import OptionError, SolverFailure, SolverNotAvailable
from causalopt.solving.backend import Backend, backend_names
from causalopt.solving.isolate import GIB, resident_bytes
from causalopt.solving.options import unknown_name

#: Loaded by the nursery of hosts before it forks, so that no run pays for it.
PRELOADED = ("pandas", "pyomo.environ", "scipy.optimize", "scipy.sparse.csgraph", "causalopt.modeling.compile")

Report = Callable[[Run, int, int, str], None]
"""Called after each record with the run, how many are done, how many there are, and the time left in words."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One run that is to be made."""

    instance: Instance
    asked: str | None
    solver: str
    repetition: int


@dataclasses.dataclass
class Summary:
    """What a call of `run` did.

    Attributes
    ----------
    recorded, known : int
        Runs made now, and runs that the store had before.
    statuses : Counter
        Of the runs made now.
    skipped : dict
        Instances that could not be made here, solvers that are not installed, and runs that were lost, which the next
        call makes: name -> reason.
    warnings : list of str
        What makes timings doubtful.
    seconds : float
    interrupted : bool
    """

    recorded: int = 0
    known: int = 0
    statuses: Counter[str] = dataclasses.field(default_factory=Counter)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False


def run(
    suite: str | Path | Suite,
    store: str | Path,
    *,
    solvers: Sequence[str] | None = None,
    instances: Sequence[str] | None = None,
    repetitions: int | None = None,
    time_limit: float | None = None,
    memory_limit: float | None = None,
    contestants: Mapping[str, Backend] | None = None,
    shuffle: int = 0,
    report: Report | None = None,
) -> Summary:
    """Run a suite; what the store holds already is not run again.

    Parameters
    ----------
    suite : str, Path or Suite
        A name, the path of a module, or a suite that `load_suite` returned.
    store : str or Path
        The file of runs; made if there is none.
    solvers, instances : sequence of str, optional
        Only these.
    repetitions, time_limit, memory_limit : optional
        Instead of the suite's; seconds and GiB.
    contestants : mapping, optional
        Further backends by name, which take part in every instance.
    shuffle : int
        Seed of the order. Repetitions are rounds: each visits all instances in a new order, and the contestants of an
        instance in a new order, so that a disturbance of the machine hits all alike.
    report : callable, optional

    Returns
    -------
    Summary

    Raises
    ------
    OptionError
        For an unknown suite, solver or instance; the nearest names are offered.
    SolverNotAvailable
        Where none of the solvers is installed.
    StoreError
        Where the store cannot be written; what was recorded stays.

    Examples
    --------
    >>> import tempfile
    >>> only = {"instances": ["balance-planted-150"], "solvers": ["dual-newton"], "repetitions": 1}
    >>> run("smoke", tempfile.mkdtemp() + "/runs.sqlite", **only).statuses
    Counter({'ok': 1})
    """
    suite = suite if isinstance(suite, Suite) else load_suite(suite)
    if suite.path is None:
        raise OptionError("A suite has to come from a module, which processes can load again: use load_suite(path).")
    changes = {"repetitions": repetitions, "time_limit": time_limit, "memory_limit": memory_limit}
    suite = suite.replace(**{name: value for name, value in changes.items() if value is not None})
    chosen = list(suite.instances) if instances is None else [suite.instance(name) for name in instances]
    tasks, names = plan(suite, chosen, solvers, list(contestants or ()), shuffle)
    paths = {path for instance in suite.instances for path in instance.paths}
    field = field_of.gather(names, paths, contestants)
    if not any(c.backend is not None or c.name in paths for c in field.contestants.values()):
        reasons = " ".join(field.absent.values()) or "pip install highspy brings one."
        raise SolverNotAvailable(f"None of the suite's solvers can run here. {reasons}")
    with Store(store, create=True) as opened:
        return _Runner(suite, opened, field, report).run(tasks)


def plan(
    suite: Suite, instances: Sequence[Instance], solvers: Sequence[str] | None, extra: Sequence[str], shuffle: int
) -> tuple[list[Task], list[str]]:
    """Return the runs of a suite in the order in which they are to be made, and the names of all contestants."""
    wanted: dict[tuple[str, str | None], list[str]] = {}
    for instance in instances:
        for asked in instance.formulations:
            wanted[instance.name, asked] = [*field_of.names_of(suite, instance, asked), *extra]
    everyone = list(dict.fromkeys(name for names in wanted.values() for name in names))
    if solvers is not None:
        backends = backend_names()
        for name in solvers:
            if name not in everyone and name.partition(":")[0] not in backends and name not in field_of.peer_names():
                known = {*everyone, *backends, *field_of.peer_names()}
                raise OptionError(unknown_name("solver", name, known))
        added = [name for name in solvers if name not in everyone]  # not the suite's, but asked for
        wanted = {key: [n for n in [*names, *added] if n in solvers] for key, names in wanted.items()}
        everyone = [name for name in [*everyone, *added] if name in solvers]
    order = random.Random(shuffle)
    tasks = []
    for repetition in range(suite.repetitions):
        blocks = [(instance, asked) for instance in instances for asked in instance.formulations]
        order.shuffle(blocks)
        for instance, asked in blocks:
            names = list(wanted[instance.name, asked])
            order.shuffle(names)
            tasks += [Task(instance, asked, name, repetition) for name in names]
    return tasks, everyone


class _Runner:
    def __init__(self, suite: Suite, store: Store, field: field_of.Field, report: Report | None) -> None:
        self.suite, self.store, self.field, self.report = suite, store, field, report
        self.summary = Summary(skipped=dict(field.absent), warnings=disturbances())
        versions = [(c.name, c.version, c.license) for c in field.contestants.values()]
        facts = environment(versions)
        self.where = {"machine": digest(machine()), "environment": digest(facts), "commit": facts["commit"]}
        store.record_environment(self.where["environment"], facts)

    def run(self, tasks: Sequence[Task]) -> Summary:
        began = perf_counter()
        known = self.store.keys()
        present = [task for task in tasks if task.solver in self.field.contestants]
        todo = [task for task in present if run_key(**self._asked(task)) not in known]
        self.summary.known = len(present) - len(todo)
        self.estimate = Estimate(self.store.seconds(), [self._place(task) for task in todo])
        self.total = len(todo)
        try:
            with Launcher(self.suite.threads) as launcher:
                for block in _blocks(todo):
                    self._run_block(launcher, block)
        except KeyboardInterrupt:
            self.summary.interrupted = True
        except NurseryEnded:
            raise SolverFailure(
                "The process that starts the runs has ended by itself. Run again: what was recorded is safe."
            ) from None
        self.summary.seconds = perf_counter() - began
        return self.summary

    def _limit(self, instance: Instance) -> float:
        return float(self.suite.time_limit if instance.time_limit is None else instance.time_limit)

    def _place(self, task: Task) -> tuple[str, str, str, float]:
        return task.instance.name, task.asked or "", task.solver, self._limit(task.instance) + self.suite.grace

    def _asked(self, task: Task) -> dict[str, Any]:
        contestant = self.field.contestants[task.solver]
        return {
            "suite": self.suite.name,
            "instance": task.instance.name,
            "asked": task.asked or "",
            "solver": task.solver,
            "solver_version": contestant.version,
            "repetition": task.repetition,
            "time_limit": self._limit(task.instance),
            "memory_limit": float(self.suite.memory_limit),
            "threads": self.suite.threads,
            "gap_asked": float(self.suite.gap),
            "machine": self.where["machine"],
        }

    def _record(self, task: Task, facts: Mapping[str, Any]) -> None:
        instance = task.instance
        fixed = {
            **self._asked(task),
            **self.where,
            "problem": instance.problem,
            "license": self.field.contestants[task.solver].license,
            "size": None if instance.size is None else float(instance.size),
            "seed": instance.seed,
            "expected": json.dumps({name: list(pair) for name, pair in instance.expected.items()}),
        }
        run = Run(**{**facts, **fixed})
        if self.store.record(run):
            self.summary.recorded += 1
            self.summary.statuses[run.status] += 1
        self.estimate.done(self._place(task), run.wall)
        if self.report is not None:
            self.report(run, self.total - self.estimate.left, self.total, self.estimate.words())

    def _run_block(self, launcher: Launcher, tasks: list[Task]) -> None:
        """Run the contestants of one instance; where their host dies, the next one goes on after the one it died of."""
        first = tasks[0]
        limits = Limits(
            time_limit=self._limit(first.instance),
            memory_limit=self.suite.memory_limit,
            grace=self.suite.grace,
            threads=self.suite.threads,
            gap=self.suite.gap,
        )
        assert self.suite.path is not None
        position = 0
        while position < len(tasks):
            rest = tasks[position:]
            contestants = tuple(self.field.contestants[task.solver] for task in rest)
            block = Block(self.suite.path, first.instance.name, first.asked, limits, contestants)
            done, failure = self._serve(launcher, block, rest)
            position += done
            if failure is None:
                continue
            status, detail, how_many = failure
            for task in tasks[position : position + how_many]:
                self._record(task, {"status": str(status), "detail": detail})
            position += how_many

    def _serve(self, launcher: Launcher, block: Block, tasks: list[Task]) -> tuple[int, tuple[Status, str, int] | None]:
        """Return how many runs are done with, and what went wrong with how many of the next ones."""
        done, made, lost, trouble = 0, False, False, ""
        with closing(launcher.serve(block, self.suite.making_limit)) as messages:
            for kind, content in messages:
                if kind == "run":
                    self._record(tasks[done], content)
                    done += 1
                elif kind == "skip":
                    self._leave_out(block.instance, content, tasks)
                    done = len(tasks)
                elif kind == "lost":
                    why = f"{content}: nothing was recorded, run again to make it."
                    self._leave_out(f"{block.instance} with {tasks[done].solver}", why, [tasks[done]])
                    done, lost = done + 1, True
                made = made or kind == "made"
                if kind in ("failed", "killed"):
                    trouble = content
        if lost or done == len(tasks):
            return done, None
        trouble = trouble or f"the process of the instance ended with exit code {content}"
        return done, (Status.CRASHED, trouble, 1) if made else (Status.INSTANCE, trouble, len(tasks))

    def _leave_out(self, name: str, why: str, tasks: Sequence[Task]) -> None:
        self.summary.skipped[name] = why
        for task in tasks:
            self.estimate.done(self._place(task), None)


def _blocks(tasks: Sequence[Task]) -> list[list[Task]]:
    blocks: list[list[Task]] = []
    for task in tasks:
        last = blocks[-1][0] if blocks else None
        if last and (last.instance, last.asked, last.repetition) == (task.instance, task.asked, task.repetition):
            blocks[-1].append(task)
        else:
            blocks.append([task])
    return blocks


class Launcher:
    """The nursery that hosts come from, and that of their workers."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.hosts = Nursery(threads, "causalopt.bench.running.host:work", PRELOADED, stdout=None)
        self.workers = Nursery(threads)

    def serve(self, block: Block, making_limit: float) -> Generator[tuple[str, Any]]:
        """Yield the messages of a host that serves a block, until it has ended; kill it where making passes a limit."""
        if self.workers.has_ended():  # it may have been killed by the system, for want of memory
            self.workers.close()
            self.workers = Nursery(self.threads)
        read_end, write_end = os.pipe()
        with Connection(read_end) as messages:
            try:
                host = Worker(self.hosts.socket, write_end, self.workers.socket.fileno(), listen=False)
            finally:
                os.close(write_end)
            with closing(host):
                with suppress(BrokenPipeError, EOFError, ProcessLookupError):  # it has ended
                    for part in (list(sys.path), block):
                        pickle.dump(part, host.stdin)
                    host.stdin.flush()
                    yield from self._messages(host, messages, making_limit, block.limits.memory_limit)
                yield "end", host.wait()

    def _messages(
        self, host: Worker, messages: Connection, making_limit: float, memory_limit: float
    ) -> Generator[tuple[str, Any]]:
        making, since = True, perf_counter()
        while messages in (ready := wait([messages, host.fileno()], 0.1)) or not ready:
            if ready:
                making = False
                yield messages.recv()
            elif making:
                slow = perf_counter() - since > making_limit
                if slow or resident_bytes(host.pid) > memory_limit * GIB:
                    os.killpg(host.pid, signal.SIGKILL)
                    making = False
                    what = f"took more than {making_limit:g} s" if slow else f"needed more than {memory_limit:g} GiB"
                    yield "killed", f"making the instance {what}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.hosts.close()  # and its host with it
        self.workers.close()
