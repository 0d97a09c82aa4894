"""A sign of life while something computes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

#: Seconds before a sign of life appears.
PATIENCE = 1.0


@contextmanager
def sign_of_life(what: str) -> Iterator[None]:
    """Show a spinner on standard error once something takes over a second; nothing where that is not a terminal."""
    console = Console(stderr=True)
    if not sys.stderr.isatty() or not console.is_terminal:
        yield
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True)
    bar.add_task(what)
    timer = threading.Timer(PATIENCE, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
