"""A process that has imported what is needed, and forks a worker for each job: in milliseconds, not in half a second.

The harness has two. One holds NumPy, SciPy and the lane, no solver and no data; each of its workers makes one solve, as
lean as a new process. The other holds Pyomo and pandas, and its workers are the hosts, one for each block of runs. A
worker ends when its parent does; the nursery ends with the last process that holds its socket.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import FileIO
from subprocess import DEVNULL, Popen, TimeoutExpired
from typing import Any, BinaryIO

from causalopt.errors import SolverFailure
from causalopt.solving.isolate import be_killed_with_parent

#: What a worker of a nursery of solvers calls, and what is loaded before the first fork: no solver, each loads its own.
SOLVE = "causalopt.solving.isolate:work"
PRELOADED = ("scipy.sparse.csgraph", "scipy.optimize", "causalopt.bench.running.lane")

#: Where NumPy's libraries look for the number of threads that they may start.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

ENDED = "The process that starts workers has ended"


class NurseryEnded(SolverFailure):
    """The process that starts workers has ended: no solver's fault, and no run's result."""


class Nursery:
    """The other processes' end: starts workers, one at a time, that call a job ("module:function") with their files."""

    def __init__(
        self,
        threads: int | None = None,
        job: str = SOLVE,
        preloaded: Sequence[str] = PRELOADED,
        stdout: int | None = DEVNULL,
    ) -> None:
        self.socket, theirs = socket.socketpair()
        code = "from causalopt.bench.running.nursery import serve; serve()"
        counts = dict.fromkeys(THREADS if threads else (), str(threads))
        self.process = Popen(
            [sys.executable, "-c", code, str(theirs.fileno()), job, *preloaded],
            stdin=DEVNULL,
            stdout=stdout,
            pass_fds=[theirs.fileno()],
            env={**os.environ, **counts, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for the runner, which decides
        )
        theirs.close()

    def start(self, messages: int) -> Worker:
        """Return a new worker, which writes its messages to a pipe of this number; see `isolate.IsolatedBackend`."""
        return Worker(self.socket, messages)

    def has_ended(self) -> bool:
        """Return whether no worker can be started any more: it says nothing, so that only its end can be read."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def close(self) -> None:
        """Let it end, since nobody will ask; only its own parent may."""
        self.socket.close()
        try:
            self.process.wait(timeout=2.0)
        except TimeoutExpired:
            self.process.kill()  # and its worker with it
            self.process.wait()


class Worker:
    """A worker, as far as it is used like a `subprocess.Popen`.

    It gets the pipe for its messages, and `more` open files. What it says in need is read from `stderr`, or, if nobody
    listens, goes where this process says such things.
    """

    def __init__(self, nursery: socket.socket, messages: int, *more: int, listen: bool = True) -> None:
        stdin, ours_in = os.pipe()
        ours_err, stderr = os.pipe() if listen else (-1, os.dup(2))
        ours_status, status = os.pipe()
        self.stdin: BinaryIO = os.fdopen(ours_in, "wb")
        self.stderr: BinaryIO | None = os.fdopen(ours_err, "rb") if listen else None
        self._status = FileIO(ours_status)  # without a buffer, so that `select` sees all that is left
        self.returncode: int | None = None
        try:
            try:
                socket.send_fds(nursery, [b"fork"], [stdin, stderr, messages, *more, status])
            finally:
                for end in (stdin, stderr, status):
                    os.close(end)
            self.pid = self._number()
        except BaseException as error:
            self.close()
            if isinstance(error, ConnectionError | EOFError):
                raise NurseryEnded(ENDED) from None
            raise

    def _number(self) -> int:
        """Return the next number that the nursery says of this worker: a line, or nothing if the nursery ended."""
        line = self._status.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return int(line)

    def fileno(self) -> int:
        """Return the number of the pipe from which something can be read as soon as the worker has ended."""
        return self._status.fileno()

    def poll(self) -> int | None:
        """Return the exit code, or None while the worker runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            with suppress(NurseryEnded):  # the worker ends with it
                self.wait()
        return self.returncode

    def wait(self) -> int:
        """Wait for the worker's end and return its exit code, negative for a signal.

        Raises
        ------
        NurseryEnded
            Once, where the worker ended with the nursery, so that its exit code says nothing of the solver.
        """
        if self.returncode is None:
            try:
                self.returncode = self._number()
            except EOFError:
                self.returncode = -signal.SIGKILL
                raise NurseryEnded(ENDED) from None
            finally:
                self._status.close()
        return self.returncode

    def close(self) -> None:
        """Close all pipes; a worker that still runs is killed for it by the nursery."""
        for stream in (self.stdin, self.stderr, self._status):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def serve() -> None:
    """Run as the nursery: the arguments are the number of its socket, the job of its workers, and what to load."""
    number, job, *preloaded = sys.argv[1:]
    for name in preloaded:
        importlib.import_module(name)
    module, _, function = job.partition(":")
    work = getattr(importlib.import_module(module), function)
    gc.freeze()  # so that a worker's garbage collector leaves the shared pages alone
    with socket.socket(fileno=int(number)) as requests:
        while True:
            asked, ends, _, _ = socket.recv_fds(requests, 4, 5)
            if not asked:
                return
            *theirs, status = ends
            child = os.fork()
            if child == 0:
                _become_worker(work, requests, status, *theirs)
            for end in theirs:
                os.close(end)
            with suppress(BrokenPipeError):  # whoever asked has gone, and so does the worker
                os.write(status, b"%d\n" % child)
            code = _wait_for(child, status)
            with suppress(BrokenPipeError):
                os.write(status, b"%d\n" % code)
            os.close(status)


def _wait_for(child: int, status: int) -> int:
    """Wait for a worker's end and return its exit code; kill it when nobody reads the pipe of its status any more."""
    ended = os.pidfd_open(child)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(status, 0)  # a reader that has gone is always reported
    if ended not in dict(poll.poll()):
        os.kill(child, signal.SIGKILL)
    os.close(ended)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _become_worker(
    work: Callable[..., Any], requests: socket.socket, status: int, stdin: int, stderr: int, *files: int
) -> None:
    try:
        os.setsid()
        be_killed_with_parent()
        os.dup2(stdin, 0)
        os.dup2(stderr, 2)
        for end in (requests.detach(), stdin, stderr, status):
            os.close(end)
        work(*files)
    except BaseException:  # a fork must never return into the nursery's loop
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
