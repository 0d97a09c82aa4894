"""Tiny instances with known optima, and generators that fail in every way."""

import os
import time
from functools import partial
from itertools import product

import numpy as np

from causalopt.bench.running.suite import Case, Instance, SkipInstance, Suite
from causalopt.modeling.program import Program
from causalopt.problems.balance import instances as balance


def knapsack(known=True):
    value, weight = np.array([6.0, 5, 4, 3, 7]), np.array([5.0, 4, 3, 2, 6])
    best = max(v @ value for v in map(np.array, product([0, 1], repeat=5)) if v @ weight <= 10)
    program = Program.from_arrays(value, [weight], -np.inf, 10.0, 0.0, 1.0, integer=True, maximize=True)
    return Case(program, optimum=float(best) if known else None)


def transport():
    cost = np.array([4.0, 2, 5, 3, 1, 6])
    rows = np.kron(np.eye(2), np.ones((1, 3)))
    both = np.vstack([rows, np.kron(np.ones((1, 2)), np.eye(3))])
    right = np.array([6.0, 4, 3, 5, 2])
    return Case(Program.from_arrays(cost, both, right, right, 0.0, np.inf), optimum=28.0)


def raises():
    raise ValueError("the generator [bold]failed[/bold]")


def absent():
    raise SkipInstance("its data is on another planet")


def dies():
    os._exit(3)


def sleeps():
    time.sleep(60)


SUITE = Suite(
    name="planted",
    description="Tiny instances with known optima.",
    solvers=["highs"],
    time_limit=0.5,
    memory_limit=0.3,
    repetitions=1,
    grace=1.5,
    making_limit=1.5,
    instances=[
        Instance("knapsack", knapsack, "knapsack", size=5),
        Instance("knapsack-unknown", partial(knapsack, False), "knapsack", size=5),
        Instance("transport", transport, "transport", size=6),
        Instance("balance", partial(balance.planted, 60, 3, 1), "balance", size=60, paths=["dual-newton"]),
        Instance("raises", raises, "broken"),
        Instance("absent", absent, "broken"),
        Instance("dies", dies, "broken"),
        Instance("sleeps", sleeps, "broken"),
    ],
)
