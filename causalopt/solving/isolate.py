"""A solve in a process of its own, with hard limits on time and memory; what it found survives its end.

The child imports NumPy, SciPy's sparse matrices and its solver, nothing else. It reads one pickled job from its
standard input and writes pickled messages to a pipe: log lines, incumbents, and the answer. It ends when its parent
does, because its standard input then closes. Nothing is written to disk.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import queue
import resource
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any, BinaryIO, ClassVar

from causalopt.errors import CausaloptError, OptionError, SolverFailure
from causalopt.messages import argument
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.backend import Ability, Backend, License
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Reason, Solution, Termination

#: Seconds beyond the time limit that a solver has for stopping by itself, before its process is killed.
GRACE = 1.0

#: Seconds that a busy machine may take to start the process, which do not count as the solver's.
START_UP = 60.0

#: Seconds between looks at the child's memory.
HEARTBEAT = 0.02

GIB = 2**30

#: Linux's number for prctl's request to get a signal when the parent ends.
_PR_SET_PDEATHSIG = 1


class IsolatedBackend(Backend):
    """A backend whose solves run in a process of their own.

    Parameters
    ----------
    inner : Backend
    memory_limit : float or None
        GiB that the process may hold.
    start : callable
        Starts a worker that writes its messages to the pipe of a given number, and returns it as a
        `subprocess.Popen`, or as something that can do the same.
    """

    name: ClassVar[str] = "isolated"
    package: ClassVar[str] = "causalopt"
    distribution: ClassVar[str] = "pycausalopt"
    classes: ClassVar[frozenset[ProblemClass]] = frozenset(ProblemClass)
    abilities: ClassVar[frozenset[Ability]] = frozenset()

    def __init__(
        self, inner: Backend, memory_limit: float | None = None, start: Callable[[int], Any] | None = None
    ) -> None:
        self.inner, self.memory_limit, self.start = inner, memory_limit, start or start_process
        for attribute in ("name", "package", "distribution", "classes", "abilities", "open_source"):
            setattr(self, attribute, getattr(inner, attribute))

    def version(self) -> str:
        """Return the version of the solver inside."""
        return self.inner.version()

    def license(self) -> License:
        """Return the licence of the solver inside."""
        return self.inner.license()

    def methods(self, program: Program, options: SolveOptions) -> tuple[str, ...]:
        """Return the methods of the solver inside."""
        return self.inner.methods(program, options)

    def solve(self, program: Program, options: SolveOptions, method: str = "") -> Solution:
        """Solve in a child process; see `Backend.solve`.

        Raises
        ------
        OptionError
            Where the memory limit is smaller than the program itself, or an option cannot be sent to a process.
        SolverFailure
            Where the process crashes, with the last lines that it wrote.
        """
        self._check_memory(program)
        start = perf_counter()
        child = _Child(self.inner, program, options, method, self.start)
        try:
            return child.wait(options, self.memory_limit, start)
        finally:
            child.end()

    def _check_memory(self, program: Program) -> None:
        size = program_bytes(program) / GIB
        if self.memory_limit is not None and size > self.memory_limit:
            raise OptionError(
                f"{argument('memory_limit')} is {self.memory_limit:.3g} GiB, but the program's own arrays take "
                f"{size:.3g} GiB."
            )


def program_bytes(program: Program) -> int:
    """Return the size of a program's arrays in bytes."""
    arrays = [program.c, program.row_lower, program.row_upper, program.lower, program.upper, program.integer]
    for matrix in (program.A, program.Q):
        if matrix is not None:
            arrays += [matrix.data, matrix.indices, matrix.indptr]
    return sum(array.nbytes for array in arrays)


def start_process(messages: int) -> subprocess.Popen[bytes]:
    """Start a new Python as a worker that writes its messages to the pipe of this number."""
    return subprocess.Popen(
        [sys.executable, "-c", "import sys; from causalopt.solving.isolate import work; work(int(sys.argv[1]))",
         str(messages)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=[messages],
        start_new_session=True,  # Ctrl-C is for the parent, which decides
    )  # fmt: skip


class _Child:
    """The parent's end of a solve in another process."""

    def __init__(
        self,
        backend: Backend,
        program: Program,
        options: SolveOptions,
        method: str,
        start: Callable[[int], Any] = start_process,
    ) -> None:
        self.options = options
        quiet = options.replace(on_incumbent=None, on_log=None, log=True)
        asked = _pickled(backend, quiet, method)  # before there is a child, which would wait for it
        # The child's output of any kind is shown only if it crashes.
        read_end, write_end = os.pipe()
        try:
            self.process = start(write_end)
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        self.messages: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.lines: deque[str] = deque(maxlen=40)
        self.incumbent: tuple[Any, float, float] | None = None
        self.threads = [
            threading.Thread(target=self._send, args=(asked, program.replace(columns=(), rows=())), daemon=True),
            threading.Thread(target=self._receive, args=(os.fdopen(read_end, "rb"),), daemon=True),
            threading.Thread(target=self._listen, daemon=True),
        ]
        for thread in self.threads:
            thread.start()

    def _send(self, asked: bytes, program: Program) -> None:
        assert self.process.stdin is not None
        try:
            pickle.dump(list(sys.path), self.process.stdin)  # first, since the job may need it to be read
            self.process.stdin.write(asked)
            pickle.dump(program, self.process.stdin, protocol=5)  # not copied before, since it may be large
            self.process.stdin.flush()  # but not closed: its end tells the child that its parent has gone
        except BrokenPipeError:
            pass  # the child has died: `_receive` sees that
        except Exception as error:  # the child would wait for the rest for ever
            self._fail(f"The program cannot be sent to the solver's process ({type(error).__name__}: {error}).")

    def _fail(self, why: str) -> None:
        self.messages.put(("error", SolverFailure(why)))

    def _receive(self, stream: BinaryIO) -> None:
        with stream:
            while True:
                try:
                    self.messages.put(pickle.load(stream))
                except (EOFError, pickle.UnpicklingError):
                    self.messages.put(("gone", None))
                    return
                except Exception as error:  # a message's own class may raise anything when it is read
                    self._fail(f"A message of the solver's process cannot be read ({type(error).__name__}: {error}).")
                    return

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.decode(errors="replace"))

    def wait(self, options: SolveOptions, memory_limit: float | None, start: float) -> Solution:
        """Return the child's answer, or what it had found when a limit or the user stopped it."""
        try:
            return self._wait(options, memory_limit, start)
        except KeyboardInterrupt:
            if self.incumbent is None:
                raise
            return self._stopped(Limit.INTERRUPT, "interrupted by the user", 0, start)

    def _wait(self, options: SolveOptions, memory_limit: float | None, start: float) -> Solution:
        limit = options.time_limit
        deadline = None if limit is None else start + START_UP + limit
        peak = 0
        while True:
            try:
                kind, content = self.messages.get(timeout=HEARTBEAT)
            except queue.Empty:
                kind, content = "", None
            if kind == "started" and limit is not None:
                deadline = perf_counter() + limit + GRACE
            elif kind == "log":
                self.lines.append(content)
                if options.on_log is not None:
                    options.on_log(content)
            elif kind == "incumbent":
                self.incumbent = content
                if options.on_incumbent is not None:
                    options.on_incumbent(*content)
            elif kind == "answer":
                solution: Solution = content
                log = solution.log if options.log else ""
                return solution.replace(log=log, peak_memory=max(solution.peak_memory or 0, peak))
            elif kind == "error":
                raise content
            elif kind == "gone":
                self._report_crash()
            peak = max(peak, resident_bytes(self.process.pid))
            if memory_limit is not None and peak > memory_limit * GIB:
                return self._stopped(Limit.MEMORY, f"killed at {peak / GIB:.2f} GiB", peak, start)
            if deadline is not None and perf_counter() > deadline:
                return self._stopped(Limit.TIME, f"killed {GRACE:g} s after its time limit", peak, start)

    def _stopped(self, limit: Limit, raw: str, peak: int, start: float) -> Solution:
        common: dict[str, Any] = {"seconds": {"solve": perf_counter() - start}, "peak_memory": peak}
        common["log"] = "".join(self.lines) if self.options.log else ""
        if self.incumbent is None:
            return Solution(Termination(Reason.NO_SOLUTION, limit, raw), **common)
        x, objective, bound = self.incumbent
        return Solution(Termination(Reason.FEASIBLE, limit, raw), x=x, objective=objective, bound=bound, **common)

    def _report_crash(self) -> None:
        code = self.process.wait()
        self.threads[2].join(timeout=1.0)
        how = f"signal {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        last = "".join(self.lines).strip() or "it wrote nothing"
        raise SolverFailure(f"The solver's process crashed ({how}). Its last words:\n{last}")

    def end(self) -> None:
        """Kill the child if it still runs, and close all pipes."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        for thread in self.threads:
            thread.join(timeout=1.0)


def _pickled(backend: Backend, options: SolveOptions, method: str) -> bytes:
    try:
        return pickle.dumps((backend, options, method), protocol=5)
    except Exception as error:  # an object may raise anything when it is pickled
        culprits = [
            f"solver option {name!r}" for name, value in options.solver_options.items() if not _can_be_sent(value)
        ]
        what = ", ".join(culprits) or f"the backend {backend.name!r}"
        raise OptionError(
            f"{argument('isolate', True)} sends the solver and its options to another process, and {what} cannot "
            "be sent "
            f"({type(error).__name__}: {error}). Leave it out, or solve without isolate."
        ) from None


def _can_be_sent(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # as above
        return False
    return True


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal between the first and the last has no name
        return str(number)


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds now; 0 where the system does not tell, or it has ended."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def work(messages: int) -> None:
    """Run as the child: read a job, solve it, and write messages to the pipe of this number."""
    pipe = os.fdopen(messages, "wb")
    lock = threading.Lock()

    def send(kind: str, content: Any) -> None:
        with lock:
            pickle.dump((kind, content), pipe, protocol=5)
            pipe.flush()

    sys.path[:] = pickle.load(sys.stdin.buffer)
    backend, options, method = pickle.load(sys.stdin.buffer)
    program = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    be_killed_with_parent()
    send("started", None)
    options = dataclasses.replace(
        options,
        on_log=lambda line: send("log", line),
        on_incumbent=lambda x, objective, bound: send("incumbent", (x, objective, bound)),
    )
    try:
        solution = backend.solve(program, options, method)
    except CausaloptError as error:
        send("error", error)
        return
    except MemoryError:
        send("error", SolverFailure("The solver's process ran out of memory."))
        return
    send("answer", solution.replace(peak_memory=_own_peak()))


def _own_peak() -> int:
    """Return the most memory that this process held, in bytes; the system's figure alone counts its parent's too."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):  # elsewhere than on Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # returns when the parent closes it, or has ended
    os._exit(1)


def be_killed_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends: a solver that holds Python's lock stops the thread above."""
    import ctypes

    with suppress(OSError, AttributeError):  # elsewhere the thread has to do
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
