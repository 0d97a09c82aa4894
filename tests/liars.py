"""Backends that solve with HiGHS and then lie about the answer, each in one way."""

from __future__ import annotations

import numpy as np
from causalopt_highs import HighsBackend

from causalopt.modeling.program import Program
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Reason, Termination


class Liar(HighsBackend):
    """Tells its lie with the methods in `lies_with`, all of them by default."""

    def __init__(self, lie, lies_with=None):
        self.lie = lie
        self.lies_with = lies_with

    def solve(self, program, options, method=""):
        truth = super().solve(program, options, method)
        if not truth.termination.has_solution or (self.lies_with and method not in self.lies_with):
            return truth
        return self.lie(program, truth)


def claiming(program, truth, x, **more):
    """The truth with another point, whose objective is stated correctly."""
    return truth.replace(x=x, objective=program.objective(x), **more)


def wrong_objective(program: Program, truth):
    return truth.replace(objective=truth.objective + 1e-3 * max(1.0, abs(truth.objective)))


def infeasible_point(program: Program, truth):
    """A step downhill from the optimum: what is better than the optimum cannot be feasible."""
    gradient = program.gradient(truth.x) * (-1.0 if program.maximize else 1.0)
    return claiming(program, truth, truth.x - 1e-3 * np.sign(gradient))


def forgotten_integrality(program: Program, truth):
    relaxed = HighsBackend().solve(program.replace(integer=np.zeros_like(program.integer)), SolveOptions())
    return relaxed.replace(bound=relaxed.objective)


def worst_point(program: Program):
    gradient = program.gradient(np.zeros(program.n_columns))
    worst = program.replace(c=gradient, Q=None, maximize=not program.maximize)
    return HighsBackend().solve(worst, SolveOptions()).x


def optimal_at_a_limit(program: Program, truth):
    """A feasible point far from the optimum, called optimal; the bound beside it is honest."""
    stopped = Termination(Reason.OPTIMAL, Limit.TIME, "Time limit reached")
    honest = truth.objective if truth.bound is None else truth.bound
    return claiming(program, truth, worst_point(program), bound=honest, termination=stopped)


def infeasible(program: Program, truth):
    return truth.replace(termination=Termination(Reason.INFEASIBLE, raw="Infeasible"), x=None, objective=None)


def unbounded(program: Program, truth):
    return truth.replace(termination=Termination(Reason.UNBOUNDED, raw="Unbounded"), x=None, objective=None)


def only_feasible(program: Program, truth):
    """What HiPO says where it ends without a verdict: a feasible point, not the optimum."""
    unknown = Termination(Reason.FEASIBLE, raw="Unknown")
    return claiming(program, truth, worst_point(program), termination=unknown, row_dual=None, bound=None)
