import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import causalopt as co
from causalopt.bench.nursery import Nursery
from causalopt.errors import SolverFailure
from causalopt.solving.backend import get_backend
from causalopt.solving.isolate import IsolatedBackend
from causalopt.solving.options import SolveOptions

KNAPSACK = co.Program.from_arrays([-3.0, -4.0, -5.0], [[2.0, 3.0, 4.0]], -np.inf, 5.0, 0.0, 1.0, integer=True)


@pytest.fixture
def nursery():
    made = Nursery()
    yield made
    made.socket.close()
    made.process.wait(timeout=10)


def libraries(pid):
    return {Path(line.split()[-1]).name for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "/" in line}


def test_each_solve_has_a_worker_of_its_own_and_the_nursery_stays_without_solver(nursery):
    workers = []

    def start(messages):
        workers.append(nursery.start(messages))
        return workers[-1]

    for name in ("highs", "scip", "highs"):
        answer = IsolatedBackend(get_backend(name), None, start).solve(KNAPSACK, SolveOptions())
        assert answer.objective == pytest.approx(-7.0)
    assert len({worker.pid for worker in workers} | {os.getpid(), nursery.process.pid}) == 5
    assert all(worker.returncode in (0, -signal.SIGKILL) for worker in workers)  # killed, if slow to end by itself
    assert not [name for name in libraries(nursery.process.pid) if "highs_core" in name or name.startswith("scip")]


def test_a_nursery_that_has_ended_is_a_failure_in_words(nursery):
    read_end, write_end = os.pipe()
    worker = nursery.start(write_end)
    worker.stdin.close()  # no job: the worker ends
    assert worker.wait() != 0
    os.kill(nursery.process.pid, signal.SIGKILL)
    nursery.process.wait()
    with pytest.raises(SolverFailure, match="starts workers has ended"):
        nursery.start(write_end)
    os.close(read_end)
    os.close(write_end)


def test_a_worker_is_killed_when_nobody_waits_for_it_any_more(nursery):
    read_end, write_end = os.pipe()
    worker = nursery.start(write_end)  # it waits for its job
    os.close(worker._status)  # as when the process that asked has died
    for _ in range(100):
        if not Path(f"/proc/{worker.pid}").exists():
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{worker.pid}").exists() and nursery.process.poll() is None
    os.close(read_end)
    os.close(write_end)


def test_it_ends_with_the_last_who_could_ask_and_its_worker_with_it(nursery):
    read_end, write_end = os.pipe()
    worker = nursery.start(write_end)
    nursery.socket.close()
    worker.stdin.close()  # as when the process that asked has died
    for _ in range(100):
        if nursery.process.poll() is not None:
            break
        time.sleep(0.1)
    assert nursery.process.poll() == 0 and not Path(f"/proc/{worker.pid}").exists()
    os.close(read_end)
    os.close(write_end)
