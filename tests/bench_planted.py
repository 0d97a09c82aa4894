"""Contestants that misbehave, in a module that a worker can import, and the path of the suite that they run on."""

import os
import signal
import time
from pathlib import Path

import numpy as np
from causalopt_highs import HighsBackend

from causalopt.verifying.claims import Limit, Reason, Termination

SUITE = Path(__file__).parent / "planted_suite.py"


class WrongPoint(HighsBackend):
    """Claims that a point downhill from the optimum is the optimum: it breaks a constraint or is no optimum."""

    def solve(self, program, options, method=""):
        truth = super().solve(program, options, method)
        if truth.x is None:
            return truth
        sign = 1.0 if program.maximize else -1.0
        x = truth.x + 1e-2 * sign * np.sign(program.gradient(truth.x) + 1e-300)
        x[program.integer] = np.round(x[program.integer]) + 1
        return truth.replace(x=x, objective=program.objective(x), termination=Termination(Reason.OPTIMAL))


class WrongObjective(HighsBackend):
    """States an objective that is not that of its point."""

    def solve(self, program, options, method=""):
        truth = super().solve(program, options, method)
        if truth.objective is None:
            return truth
        return truth.replace(objective=truth.objective + 1e-3 * max(1.0, abs(truth.objective)))


class LazyWithFalseBound(HighsBackend):
    """On integer programs: a feasible point that is not the best, with a bound that says it is.

    No verification of one answer can refute that; a known optimum or another solver's answer does.
    """

    def solve(self, program, options, method=""):
        x = np.zeros(program.n_columns)
        value = program.objective(x)
        truth = super().solve(program, options, method)
        return truth.replace(x=x, objective=value, bound=value, row_dual=None)


class SaysInfeasible(HighsBackend):
    def solve(self, program, options, method=""):
        truth = super().solve(program, options, method)
        return truth.replace(termination=Termination(Reason.INFEASIBLE, raw="Infeasible"), x=None, objective=None)


class Crashes(HighsBackend):
    def solve(self, program, options, method=""):
        os.write(2, b"the basis is haunted\n")
        os.abort()


class KillsTheNursery(HighsBackend):
    """Kills the process that started its own, as the system does for want of memory; only while a file is there."""

    def __init__(self, file):
        self.file = file

    def solve(self, program, options, method=""):
        if program.n_columns != 2 and self.file.exists():  # not the warm-up
            self.file.unlink()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return super().solve(program, options, method)


class Hangs(HighsBackend):
    def solve(self, program, options, method=""):
        if program.n_columns == 2:
            return super().solve(program, options, method)  # the warm-up
        while True:
            time.sleep(1)


class HangsWithIncumbent(Hangs):
    def solve(self, program, options, method=""):
        if options.on_incumbent is not None:
            x = np.zeros(program.n_columns)
            options.on_incumbent(x, program.objective(x), 1e3)
        return super().solve(program, options, method)


class StopsAtItsLimit(HighsBackend):
    def solve(self, program, options, method=""):
        truth = super().solve(program, options, method)
        return truth.replace(termination=Termination(Reason.NO_SOLUTION, Limit.TIME), x=None)


class Eats(HighsBackend):
    def solve(self, program, options, method=""):
        if program.n_columns == 2:
            return super().solve(program, options, method)
        eaten = []
        while True:
            eaten.append(np.ones(2**23))
            time.sleep(0.005)


class Raises(HighsBackend):
    def solve(self, program, options, method=""):
        raise RuntimeError("a solver package may raise anything")


class TooSmall(HighsBackend):
    """A licence for one variable."""

    open_source = False

    def license(self):
        from causalopt.solving.backend import License

        return License("restricted", max_columns=1)
