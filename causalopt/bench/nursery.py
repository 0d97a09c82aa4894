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
from typing import BinaryIO

from causalopt.errors import SolverFailure
from causalopt.solving.isolate import work

#: Loaded before the first fork. Solvers are not: each worker loads its own.
PRELOADED = ("scipy.sparse.csgraph", "scipy.optimize", "causalopt.bench.lane")


class Nursery:
    """The other processes' end: starts workers, one at a time."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        code = "from causalopt.bench.nursery import serve; serve()"
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


class Worker:
    """A worker, as far as it is used like a `subprocess.Popen`."""

    def __init__(self, nursery: socket.socket, messages: int) -> None:
        stdin, ours_in = os.pipe()
        ours_err, stderr = os.pipe()
        self._status, status = os.pipe()
        try:
            socket.send_fds(nursery, [b"fork"], [stdin, stderr, messages, status])
        except OSError as error:
            raise SolverFailure(f"The process that starts workers has ended ({error}).") from None
        finally:
            for end in (stdin, stderr, status):
                os.close(end)
        self.stdin: BinaryIO = os.fdopen(ours_in, "wb")
        self.stderr: BinaryIO = os.fdopen(ours_err, "rb")
        self.returncode: int | None = None
        words = os.read(self._status, 32)
        if not words:
            raise SolverFailure("The process that starts workers has ended.")
        self.pid = int(words)

    def poll(self) -> int | None:
        """Return the exit code, or None while the worker runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        """Wait for the worker's end and return its exit code, negative for a signal."""
        if self.returncode is None:
            words = os.read(self._status, 32)
            os.close(self._status)
            self.returncode = int(words) if words else -9
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
                os.write(status, str(child).encode())
            code = _wait_for(child, status)
            with suppress(BrokenPipeError):
                os.write(status, str(code).encode())
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
