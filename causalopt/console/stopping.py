"""Ctrl-C ends a command within about a second, also while a library computes and lets Python hear of nothing.

Python raises KeyboardInterrupt only between its own steps. A thread of this module sees the signal at once; where the
main thread has not heard of it a second later, it says the last words that it was given, and ends the process.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

#: Seconds that a library's computation has after Ctrl-C.
PATIENCE = 0.8

#: Seconds between looks at whether it was heard.
STEP = 0.02

#: Files that are not complete yet, and must not stay where the process ends by force.
unfinished: set[Path] = set()


class LastWords:
    """What is said, and the exit code, where the process ends by force.

    Parameters
    ----------
    say : callable
        Says it, and returns the exit code.
    """

    def __init__(self, say: Callable[[], int]) -> None:
        self.say = say


@contextmanager
def ending_soon(words: LastWords) -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt in here, and end the process where that is not heard of in time."""
    if threading.current_thread() is not threading.main_thread():  # signals are not for other threads
        yield
        return
    heard = _Heard()
    read_end, write_end = socket.socketpair()
    write_end.setblocking(False)
    handler = signal.signal(signal.SIGINT, heard.hear)
    before = signal.set_wakeup_fd(write_end.fileno(), warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(read_end, heard, words), daemon=True)
    watch.start()
    try:
        yield
    finally:
        heard.last = float("inf")  # nobody computes any more
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGINT, handler)
        write_end.close()
        watch.join()
        read_end.close()


class _Heard:
    """When the main thread last heard of Ctrl-C."""

    def __init__(self) -> None:
        self.last = float("-inf")

    def hear(self, number: int, frame: Any) -> None:
        self.last = max(self.last, monotonic())
        signal.default_int_handler(number, frame)


def _watch(read_end: socket.socket, heard: _Heard, words: LastWords) -> None:
    """Wait for the signal of Ctrl-C until the other end closes."""
    while number := read_end.recv(1):
        if number[0] != signal.SIGINT:
            continue
        since = monotonic() - STEP  # the main thread may have heard before this one
        while heard.last < since and monotonic() < since + PATIENCE:
            sleep(STEP)
        if heard.last < since:
            _end(words)


def _end(words: LastWords) -> None:
    code = words.say()
    for path in unfinished:
        path.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
