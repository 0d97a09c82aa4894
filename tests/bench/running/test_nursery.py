import os
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import causalopt as co
from causalopt.bench.running.nursery import Nursery, NurseryEnded, Worker
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
    assert nursery.has_ended()
    with pytest.raises(NurseryEnded, match="starts workers has ended"):
        nursery.start(write_end)
    os.close(read_end)
    os.close(write_end)


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_a_start_that_fails_leaves_no_file_open(nursery):
    os.kill(nursery.process.pid, signal.SIGKILL)
    nursery.process.wait()
    before = open_files()
    for _ in range(3):
        with pytest.raises(NurseryEnded):
            IsolatedBackend(get_backend("highs"), None, nursery.start).solve(KNAPSACK, SolveOptions())
    assert open_files() == before


def test_a_nursery_that_ends_when_it_was_asked_leaves_no_file_open():
    ours, theirs = socket.socketpair()
    before = open_files()

    def end_when_asked():
        for end in socket.recv_fds(theirs, 4, 4)[1]:
            os.close(end)

    with ours, theirs:
        thread = threading.Thread(target=end_when_asked)
        thread.start()
        with pytest.raises(NurseryEnded):
            Worker(ours, 2)
        thread.join()
        assert open_files() == before


def test_a_worker_that_ends_with_its_nursery_tells_nothing_of_its_solver(nursery):
    before = open_files()

    def start(messages):
        worker = nursery.start(messages)
        os.kill(nursery.process.pid, signal.SIGKILL)
        nursery.process.wait()
        os.kill(worker.pid, signal.SIGKILL)
        return worker

    with pytest.raises(NurseryEnded):
        IsolatedBackend(get_backend("highs"), None, start).solve(KNAPSACK, SolveOptions())
    assert open_files() == before


def test_pid_and_exit_code_are_told_apart_however_late_they_are_read():
    ours, theirs = socket.socketpair()

    def say_both_at_once():
        *ends, status = socket.recv_fds(theirs, 4, 4)[1]
        os.write(status, b"4711\n-9\n")  # as when the worker ends before its pid is read
        for end in (*ends, status):
            os.close(end)

    with ours, theirs:
        thread = threading.Thread(target=say_both_at_once)
        thread.start()
        worker = Worker(ours, 2)
        thread.join()
    assert (worker.pid, worker.poll(), worker.wait()) == (4711, -9, -9)
    worker.stdin.close()
    worker.stderr.close()


def test_a_worker_is_killed_when_nobody_waits_for_it_any_more(nursery):
    read_end, write_end = os.pipe()
    worker = nursery.start(write_end)  # it waits for its job
    worker._status.close()  # as when the process that asked has died
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
