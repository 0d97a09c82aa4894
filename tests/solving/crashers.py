"""Backends that misbehave on purpose, in a module that a child process can import."""

import ctypes
import os
import signal
import time

import numpy as np
from causalopt_highs import HighsBackend

from causalopt.errors import SolverFailure
from causalopt.verifying.claims import Reason, Solution, Termination


class Crashes(HighsBackend):
    def solve(self, program, options, method=""):
        os.write(2, b"Assertion failed: the basis is haunted\n")
        os.abort()


class CrashesWithoutName(HighsBackend):
    """Dies of a real-time signal, which has a number and no name."""

    def solve(self, program, options, method=""):
        os.kill(os.getpid(), signal.SIGRTMIN + 6)
        time.sleep(60)


class TwoWords(SolverFailure):
    """An error that can be pickled and not be read again: its class wants two arguments and is given one."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")


class RaisesTwoWords(HighsBackend):
    def solve(self, program, options, method=""):
        raise TwoWords(3, "no")


class Hangs(HighsBackend):
    """Finds one solution, reports it, and never returns."""

    def solve(self, program, options, method=""):
        if options.on_incumbent is not None:
            x = np.zeros(program.n_columns)
            options.on_incumbent(x, program.objective(x), -100.0)
        while True:
            time.sleep(1)


class HangsWithNothing(HighsBackend):
    def solve(self, program, options, method=""):
        while True:
            time.sleep(1)


class HoldsTheLock(HighsBackend):
    """Keeps Python's lock, as a solver's wrapper may: no other thread of the process runs."""

    def solve(self, program, options, method=""):
        while True:
            ctypes.PyDLL(None).sleep(60)


class Eats(HighsBackend):
    def solve(self, program, options, method=""):
        eaten = []
        while True:
            eaten.append(np.ones(2**21))
            time.sleep(0.01)


class Answers(HighsBackend):
    def solve(self, program, options, method=""):
        return Solution(Termination(Reason.OPTIMAL, raw=str(os.getpid())), x=np.zeros(program.n_columns), objective=0.0)
