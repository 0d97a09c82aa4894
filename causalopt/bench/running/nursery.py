"""A process that has imported what every worker needs, and forks a worker for each solve.

It holds NumPy, SciPy and the lane, no solver and no data, so that a worker is as lean as a new process, but starts in
a few milliseconds instead of a third of a second. A worker ends when its parent does; the nursery ends with the last
process that holds its socket.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from io import FileIO
from typing import BinaryIO

from causalopt.errors import SolverFailure
from causalopt.solving.isolate import work

#: Loaded before the first fork. Solvers are not: each worker loads its own.
PRELOADED = ("scipy.sparse.csgraph", "scipy.optimize", "causalopt.bench.running.lane")


ENDED = "The process that starts workers has ended"


class NurseryEnded(SolverFailure):
    """The process that starts workers has ended: no solver's fault, and no run's result."""


class Nursery:
    """The other processes' end: starts workers, one at a time."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        code = "from causalopt.bench.running.nursery import serve; serve()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()

    def start(self, messages: int) -> Worker:
        """Return a new worker, which writes its messages to a pipe of this number; see `isolate.IsolatedBackend`."""
        return Worker(self.socket, messages)

    def has_ended(self) -> bool:
        """Return whether no worker can be started any more; only its own parent may ask."""
        return self.process.poll() is not None


class Worker:
    """A worker, as far as it is used like a `subprocess.Popen`."""

    def __init__(self, nursery: socket.socket, messages: int) -> None:
        stdin, ours_in = os.pipe()
        ours_err, stderr = os.pipe()
        ours_status, status = os.pipe()
        self.stdin: BinaryIO = os.fdopen(ours_in, "wb")
        self.stderr: BinaryIO = os.fdopen(ours_err, "rb")
        self._status = FileIO(ours_status)  # without a buffer, so that `select` sees all that is left
        self.returncode: int | None = None
        try:
            try:
                socket.send_fds(nursery, [b"fork"], [stdin, stderr, messages, status])
            finally:
                for end in (stdin, stderr, status):
                    os.close(end)
            self.pid = self._number()
        except BaseException as error:
            for stream in (self.stdin, self.stderr, self._status):
                stream.close()
            if isinstance(error, ConnectionError | EOFError):
                raise NurseryEnded(ENDED) from None
            raise

    def _number(self) -> int:
        """Return the next number that the nursery says of this worker: a line, or nothing if the nursery ended."""
        line = self._status.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return int(line)

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


def serve() -> None:
    """Run as the nursery: the argument is the number of its socket."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # so that a worker's garbage collector leaves the shared pages alone
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        while True:
            asked, ends, _, _ = socket.recv_fds(requests, 4, 4)
            if not asked:
                return
            stdin, stderr, messages, status = ends
            child = os.fork()
            if child == 0:
                _become_worker(requests, stdin, stderr, messages, status)
            for end in (stdin, stderr, messages):
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


def _become_worker(requests: socket.socket, stdin: int, stderr: int, messages: int, status: int) -> None:
    try:
        os.setsid()
        os.dup2(stdin, 0)
        os.dup2(stderr, 2)
        for end in (requests.detach(), stdin, stderr, status):
            os.close(end)
        work(messages)
    except BaseException:  # a fork must never return into the nursery's loop
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
