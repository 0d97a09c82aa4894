"""A function in a fork of this process, under hard limits on time and memory."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from time import perf_counter

from causalopt.bench.running.lane import Outcome
from causalopt.bench.store.status import Status
from causalopt.solving.isolate import GIB, HEARTBEAT, be_killed_with_parent, resident_bytes


def in_a_fork(work: Callable[[], Outcome], seconds: float, memory_limit: float) -> Outcome:
    """Run a function in a fork of this process under hard limits, and return its outcome."""
    read_end, write_end = os.pipe()
    start = perf_counter()
    child = os.fork()
    if child == 0:
        try:
            os.close(read_end)
            be_killed_with_parent()
            Connection(write_end).send(work())
        finally:
            os._exit(0)
    os.close(write_end)
    peak, answer = 0, None
    stopped = ""
    with Connection(read_end) as pipe:
        while not pipe.poll(HEARTBEAT):
            peak = max(peak, resident_bytes(child))
            stopped = "memory" if peak > memory_limit * GIB else "time" if perf_counter() - start > seconds else ""
            if stopped:
                break
        else:
            with suppress(EOFError, pickle.UnpicklingError):
                answer = pipe.recv()
    if answer is None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    _, code = os.waitpid(child, 0)
    if isinstance(answer, Outcome):
        return answer
    status = {"memory": Status.OUT_OF_MEMORY, "time": Status.LIMIT_WITHOUT_INCUMBENT, "": Status.CRASHED}[stopped]
    detail = f"killed at its {stopped} limit" if stopped else f"its process ended ({os.waitstatus_to_exitcode(code)})"
    return Outcome(
        status=status, stopped_by=stopped, detail=detail, peak_memory=peak or None, worker=perf_counter() - start
    )
