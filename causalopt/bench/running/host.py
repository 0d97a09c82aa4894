"""The processes between the runner and the workers: a host for each block of runs.

A host comes from a nursery that has loaded what problems need. It makes the instance, builds and compiles its program,
and runs the contestants one after the other: a solver in a worker from the other nursery, a fast path in a fork of the
host. It ends when the runner does, because the pipe of its job then closes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from multiprocessing.connection import Connection
from time import perf_counter
from types import SimpleNamespace
from typing import Any, BinaryIO

from causalopt import modeling
from causalopt.bench.running.block import Block
from causalopt.bench.running.checks import checked, fingerprint, stopped, verify_again
from causalopt.bench.running.contestants import Contestant
from causalopt.bench.running.environment import load_average
from causalopt.bench.running.forks import in_a_fork
from causalopt.bench.running.lane import Lane, Outcome, measured, smallest_program
from causalopt.bench.running.nursery import NurseryEnded, Worker
from causalopt.bench.running.suite import Case, SkipInstance, load_suite
from causalopt.bench.store.status import Status
from causalopt.errors import OptionError, SolverFailure
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.attempts import run_fast_path, solve_program
from causalopt.solving.backend import Backend, _entry_points, backend_names
from causalopt.solving.isolate import IsolatedBackend
from causalopt.solving.lane import Lane as SeveralPrograms
from causalopt.solving.options import SolveOptions
from causalopt.solving.problem import Problem
from causalopt.solving.result import Ledger, Result
from causalopt.verifying.claims import Limit, Reason, Termination
from causalopt.verifying.verify import objective_scale

#: Seconds of a first, untimed run of a fast path up to which a second one is made and timed.
WARM_UP = 1.0


def work(messages: int, nursery: int) -> None:
    """Run as a host: a block comes from the standard input, messages go to a pipe, workers come from a socket."""
    job = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # for an instance that starts processes of its own
    sys.path[:] = pickle.load(job)
    block = pickle.load(job)
    threading.Thread(target=_end_with, args=(job,), daemon=True).start()
    with suppress(BrokenPipeError):  # the runner has gone, and so does this
        serve(block, Connection(messages), partial(Worker, socket.socket(fileno=nursery)))


def _end_with(stream: BinaryIO) -> None:
    stream.read()  # returns when the runner closes it, or has ended
    os._exit(1)


def serve(block: Block, messages: Connection, start_worker: Callable[[int], Any]) -> None:
    """Make the instance of a block and run its contestants."""
    try:
        made = Made(block, start_worker)
    except SkipInstance as skip:
        messages.send(("skip", str(skip)))
        return
    except Exception as error:  # a generator may raise anything; only this instance fails
        messages.send(("failed", f"{type(error).__name__}: {error}"))
        return
    messages.send(("made", None))
    for contestant in block.contestants:
        began = perf_counter()
        facts: dict[str, Any] = {
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "load_average": load_average(),
            "kind": made.kind(contestant),
        }
        try:
            outcome = made.run(contestant)
        except NurseryEnded as error:
            messages.send(("lost", str(error)))  # and end: the next host gets a new nursery
            return
        facts |= made.facts | made.row(outcome, contestant)
        facts["wall"] = perf_counter() - began
        messages.send(("run", facts))


class Made:
    """An instance that was made, with its program."""

    def __init__(self, block: Block, start_worker: Callable[[int], Any] | None = None) -> None:
        self.block, self.limits, self.start_worker = block, block.limits, start_worker
        instance = load_suite(block.suite).instance(block.instance)
        case = instance.make()
        self.case = case if isinstance(case, Case) else Case(case)
        self.problem = self.case.problem
        self.fast: Mapping[str, Any] = {}
        self.named: Mapping[str, Any] = {}
        self.exact, self.tangents, self.formulation = True, False, block.formulation or ""
        self.seconds: dict[str, float] = {}
        self.search: Any = None
        ledger = Ledger()
        if isinstance(self.problem, Problem):
            self._look_at_problem(ledger)
        self.facts: dict[str, Any] = {"formulation": self.formulation, "exact": int(self.exact)}
        self.problem_class: ProblemClass | None = None
        if self.search is None:
            self._look_at_program(ledger)
        else:
            self.facts["problem_class"] = str(self.problem._formulations[self.formulation].problem_class)
        self.seconds = ledger.seconds

    def _look_at_problem(self, ledger: Ledger) -> None:
        self.formulation = self.problem.formulation_name(self.block.formulation)
        self.fast = self.problem.fast_paths(self.formulation)
        self.named = self.problem.named_paths(self.formulation)
        self.exact = self.problem._formulations[self.formulation].exact
        self.tangents = self.problem.by_tangents(self.formulation)
        self.search = self.problem.answer if self.problem.takes_several_programs(self.formulation) else None
        ledger.add("data", self.problem.data_seconds)

    def _look_at_program(self, ledger: Ledger) -> None:
        self.program = self._compile(ledger)
        with ledger.phase("compile"):  # the lane would check convexity; it is done here once for all
            self.problem_class = self.program.problem_class
        nonconvex = self.problem_class in (ProblemClass.NONCONVEX_QP, ProblemClass.NONCONVEX_MIQP)
        self.program = self.program.replace(convex=not nonconvex, columns=(), rows=())
        self.facts |= {
            "problem_class": str(self.problem_class),
            "fingerprint": fingerprint(self.program),
            "n_columns": self.program.n_columns,
            "n_rows": self.program.n_rows,
            "n_nonzeros": int(self.program.A.nnz + (0 if self.program.Q is None else self.program.Q.nnz)),
            "maximize": int(self.program.maximize),
            "known_optimum": self.case.optimum,
        }

    def _compile(self, ledger: Ledger) -> Program:
        if isinstance(self.problem, Program):
            return self.problem
        model = self.problem
        if isinstance(self.problem, Problem):
            with ledger.phase("build"):
                model = self.problem.build(self.formulation)
        with ledger.phase("compile"):
            return modeling.compile_model(model)

    def kind(self, contestant: Contestant) -> str:
        """Return what sort of contestant this is."""
        if contestant.backend is not None:
            return "peer" if contestant.peer else "solver"
        return "fast path" if contestant.name in self.fast else "heuristic"

    # ---- one run ----

    def run(self, contestant: Contestant) -> Outcome:
        """Run a contestant in a process of its own, and look at its answer once more from here."""
        if self.search is not None:
            return self._run_search(contestant)
        if contestant.backend is None:
            path = self.fast.get(contestant.name) or self.named.get(contestant.name)
            if path is None:
                known = ", ".join({**self.fast, **self.named}) or "none"
                text = f"{contestant.name} is no path of {self.formulation!r}; there are: {known}"
                return Outcome(status=Status.UNSUPPORTED, detail=text)
            outcome = self._run_path(contestant.name, path)
        else:
            outcome = self._run_backend(contestant)
        return checked(self.program, outcome, self.case.optimum, self.limits.gap)

    def _run_search(self, contestant: Contestant) -> Outcome:
        """Run an answer that takes several programs in a fork of this process; each program is verified there."""
        if contestant.peer:
            return Outcome(status=Status.UNSUPPORTED, detail="the answer takes several programs, a peer solves one")
        if contestant.backend is None and contestant.name not in {**self.fast, **self.named}:
            return Outcome(status=Status.UNSUPPORTED, detail=f"{contestant.name} is no path of {self.formulation!r}")
        options = self._options().replace(time_limit=self.limits.time_limit)

        def work() -> Outcome:
            answers: dict[str, float] = {}
            backend = contestant.backend
            if backend is not None:
                register(contestant.name, backend)
                measured(lambda: solve_program(smallest_program(ProblemClass.LP), backend, SolveOptions()))  # warm-up

            def once() -> Result:
                lane = SeveralPrograms(contestant.name, self.formulation, options, None, Ledger())
                result: Result = self.search(lane)
                if self.case.answer is not None:
                    answers.update({name: float(value) for name, value in self.case.answer(result).items()})
                return result

            return measured(once).replace(x=None, row_dual=None, answers=answers)

        return in_a_fork(work, self.limits.time_limit + self.limits.grace, self.limits.memory_limit)

    def _options(self) -> SolveOptions:
        return SolveOptions(gap=self.limits.gap, threads=self.limits.threads)

    def _run_backend(self, contestant: Contestant) -> Outcome:
        assert contestant.backend is not None
        if self.problem_class not in contestant.backend.classes and not self.tangents:
            return Outcome(status=Status.UNSUPPORTED, detail=f"takes no {self.problem_class}")
        lane = Lane(contestant.backend, self.limits.time_limit, tangents=self.tangents, peer=contestant.peer)
        hard = self.limits.time_limit + self.limits.grace
        options = self._options().replace(time_limit=hard, isolate=True, memory_limit=self.limits.memory_limit)
        try:
            answer = IsolatedBackend(lane, self.limits.memory_limit, self.start_worker).solve(self.program, options)
        except OptionError as error:  # the program alone is larger than the memory limit
            return Outcome(status=Status.OUT_OF_MEMORY, detail=str(error))
        except NurseryEnded:  # not the solver's failure: no outcome
            raise
        except SolverFailure as error:
            killed = "signal SIGKILL" in str(error)  # not by us: by the system, for want of memory
            return Outcome(status=Status.OUT_OF_MEMORY if killed else Status.CRASHED, detail=str(error))
        outcome = getattr(answer, "outcome", None)
        return outcome if isinstance(outcome, Outcome) else stopped(self.program, answer, self.limits.gap)

    def _run_path(self, name: str, path: Any) -> Outcome:
        """Run a fast path in a fork of this process: it needs the problem, which is here already."""
        options = self._options().replace(time_limit=self.limits.time_limit)

        def once() -> Result:
            return run_fast_path(self.program, name, path, options, None, Ledger(), "")

        def work() -> Outcome:
            outcome = measured(once)
            return measured(once) if outcome.worker < WARM_UP else outcome

        return in_a_fork(work, 2 * self.limits.time_limit + self.limits.grace, self.limits.memory_limit)

    # ---- its row ----

    def row(self, outcome: Outcome, contestant: Contestant) -> dict[str, Any]:
        """Return what a run adds to the facts about its instance."""
        row = {f.name: getattr(outcome, f.name) for f in dataclasses.fields(Outcome) if f.name not in _NOT_STORED}
        row["status"] = str(outcome.status)
        if outcome.x is not None and outcome.objective is not None:
            row["scale"] = objective_scale(self.program, outcome.x, outcome.objective)[0]
        for phase, value in outcome.seconds.items():
            row[phase] = value
        if not contestant.peer:
            for phase, value in self.seconds.items():
                row[phase] = row.get(phase, 0.0) + value
        try:
            row["answers"] = json.dumps(self._answers(outcome, contestant))
        except Exception as error:  # a study's answer that cannot be had is no reason to lose the run
            row["detail"] = f"{outcome.detail}; its answer failed: {type(error).__name__}: {error}".strip("; ")
        return row

    def _answers(self, outcome: Outcome, contestant: Contestant) -> dict[str, float]:
        if outcome.answers is not None:
            return outcome.answers
        if self.case.answer is None or outcome.x is None or outcome.status is Status.WRONG:
            return {}
        result = Result(
            status=Termination(Reason(outcome.reason), Limit(outcome.stopped_by or "none")),
            objective=outcome.objective,
            bound=outcome.bound,
            gap=outcome.gap,
            x=outcome.x,
            row_dual=outcome.row_dual,
            verification=verify_again(self.program, outcome, self.limits.gap),
            solver=contestant.name,
            formulation=self.formulation,
            method=outcome.method,
        )
        answers = self.case.answer(self.problem.result(result, self.program))
        return {name: float(value) for name, value in answers.items()}


_NOT_STORED = ("x", "row_dual", "seconds", "status", "answers")


def register(name: str, backend: Backend) -> None:
    """Make a backend known to this process under a name, as an entry point would."""
    entry: Any = SimpleNamespace(load=lambda: lambda: backend)
    if name not in backend_names() and ":" not in name:
        _entry_points()[name] = entry
