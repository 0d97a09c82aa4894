"""Calls of a function in Python processes of their own.

multiprocessing would run the caller's main module again in each process, which a script without a main guard does not
survive. Here a process runs this module, reads one pickled call, and writes one pickled answer.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from causalopt.errors import CausaloptError, SolverFailure

#: What starts a process; no folder comes before those that are on this one's path.
COMMAND = (sys.executable, "-P", "-m", __name__)


def call_apart(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Return a module-level function's value for each tuple of arguments, all called at once in processes of their own.

    Raises
    ------
    CausaloptError
        Where the function raises one, or a process ends without an answer.
    """
    with ThreadPoolExecutor(len(calls)) as threads:  # each thread waits for a process
        return list(threads.map(partial(_ask, function), calls))


def _ask(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    done = subprocess.run(
        COMMAND, input=pickle.dumps((function, arguments)), capture_output=True, env={**os.environ, "PYTHONPATH": path}
    )
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise SolverFailure(f"A process of the placebo run ended with code {done.returncode}: {' '.join(words[-1:])}")
    answer = pickle.loads(done.stdout)
    if isinstance(answer, CausaloptError):
        raise answer
    return answer


def _answer() -> None:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a solver prints must not mix with the answer
    function, arguments = pickle.load(sys.stdin.buffer)
    try:
        answer = function(*arguments)
    except CausaloptError as error:
        answer = error
    with out:
        pickle.dump(answer, out)


if __name__ == "__main__":
    _answer()
