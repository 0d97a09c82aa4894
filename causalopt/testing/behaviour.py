"""Starts, limits and options: what a backend does with what it is told beside the program."""

from __future__ import annotations

import numpy as np

from causalopt.errors import DataError, OptionError
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.backend import Ability
from causalopt.testing.case import Case, family, optimal
from causalopt.testing.integer import market_split
from causalopt.verifying.claims import Limit

make = Program.from_arrays

#: Seconds that no solver needs for an honest stop, and too few for a market split.
SHORT = 0.5


def cases() -> list[Case]:
    """Return the cases on starts, limits and options."""
    return [
        *family("starts", ProblemClass.MILP, *_starts()),
        *family("limits", ProblemClass.MILP, *_limits()),
        *family("options", ProblemClass.MILP, *_options()),
    ]


def _knapsack() -> Program:
    return make([-4, -2, -1, -10, -2], [[12, 2, 1, 4, 1]], row_upper=15, upper=1, integer=True)


def _starts() -> list[dict[str, object]]:
    split, planted = market_split(5, 40, slack=True)
    start, limit = frozenset({Ability.START}), frozenset({Ability.START, Ability.TIME_LIMIT})
    best = [0, 1, 1, 1, 1]
    qp = make([-1, -1, -1], [[1, 1, 1], [-1, 0, 1]], [3, 1.5], [3, 1.5], Q=np.eye(3), constant=1.5)
    return [
        optimal(
            "start-is-used",
            split,
            0,
            "the start is a solution that was put there; no solver finds one in this time",
            abilities=limit,
            options={"start": planted, "time_limit": 5.0},
        ),
        optimal(
            "start-at-the-optimum", _knapsack(), -15, "milp-knapsack", x=best, abilities=start, options={"start": best}
        ),
        optimal(
            "start-below-the-optimum",
            _knapsack(),
            -15,
            "a feasible start that is not the best",
            x=best,
            abilities=start,
            options={"start": [0, 0, 0, 1, 0]},
        ),
        optimal(
            "start-that-is-infeasible",
            _knapsack(),
            -15,
            "a start that breaks the row must do no harm",
            x=best,
            abilities=start,
            options={"start": [1, 1, 1, 1, 1]},
        ),
        optimal(
            "start-that-is-fractional",
            _knapsack(),
            -15,
            "a start that is not whole must do no harm",
            x=best,
            abilities=start,
            options={"start": [0.25, 1, 1, 1, 1]},
        ),
        optimal(
            "start-of-an-lp",
            make([2, 3], [[1, 1], [1, 3]], row_lower=[4, 6]),
            9,
            "lp-cover from one of its vertices",
            x=[3, 1],
            abilities=start,
            options={"start": [0.0, 4.0]},
            problem_class=ProblemClass.LP,
        ),
        optimal(
            "start-of-a-qp",
            qp,
            0.5625,
            "qp-balance-of-three from a feasible point",
            x=[0.25, 1, 1.75],
            abilities=start,
            options={"start": [0.75, 0.0, 2.25]},
            problem_class=ProblemClass.CONVEX_QP,
        ),
        {
            "name": "start-of-the-wrong-length",
            "program": _knapsack(),
            "why": "four values for five columns",
            "options": {"start": [0.0, 1.0, 1.0, 1.0]},
            "raises": DataError,
            "words": "start",
        },
    ]


def _limits() -> list[dict[str, object]]:
    able = frozenset({Ability.TIME_LIMIT})
    split, _ = market_split(5, 40, slack=True)
    exact, _ = market_split(5, 40, slack=False)
    return [
        {
            "name": "time-limit-with-an-incumbent",
            "program": split,
            "why": "a market split: any half is feasible, the best one, of value zero, is hidden",
            "objective": 0.0,
            "abilities": able,
            "options": {"time_limit": SHORT},
            "limit": Limit.TIME,
        },
        {
            "name": "time-limit-without-an-incumbent",
            "program": exact,
            "why": "a market split whose sums have to be met: a solution was put there, but is not found",
            "objective": 0.0,
            "abilities": able,
            "options": {"time_limit": SHORT},
            "limit": Limit.TIME,
        },
        optimal(
            "time-limit-that-is-not-reached",
            _knapsack(),
            -15,
            "a limit far away changes nothing",
            x=[0, 1, 1, 1, 1],
            abilities=able,
            options={"time_limit": 100.0},
        ),
        optimal(
            "gap-of-one-half",
            make([-60, -100, -120, -59, -99, -121], [[10, 20, 30, 10, 20, 30]], row_upper=75, upper=1, integer=True),
            -340,
            "of 75 at most 70 can be filled, best by both small items, the better middle and the better large one",
            abilities=frozenset({Ability.GAP}),
            options={"gap": 0.5},
        ),
    ]


def _options() -> list[dict[str, object]]:
    best = [0, 1, 1, 1, 1]
    return [
        {
            "name": "option-unknown",
            "program": _knapsack(),
            "why": "no solver has an option of this name",
            "options": {"solver_options": {"no such option of any solver": 1}},
            "raises": OptionError,
            "words": "no such option of any solver",
        },
        {
            "name": "option-misspelled",
            "program": _knapsack(),
            "why": "the message names the option that was meant",
            "misspell": True,
            "raises": OptionError,
        },
        {
            "name": "option-name-is-no-word",
            "program": _knapsack(),
            "why": "a number is no name",
            "options": {"solver_options": {7: 1}},
            "raises": OptionError,
            "words": "7",
        },
        optimal(
            "option-seed",
            _knapsack(),
            -15,
            "a seed changes the path, not the answer",
            x=best,
            abilities=frozenset({Ability.SEED}),
            options={"seed": 7},
        ),
        optimal(
            "option-one-thread",
            _knapsack(),
            -15,
            "threads change the time, not the answer",
            x=best,
            abilities=frozenset({Ability.THREADS}),
            options={"threads": 1},
        ),
        optimal(
            "option-two-threads",
            _knapsack(),
            -15,
            "threads change the time, not the answer",
            x=best,
            abilities=frozenset({Ability.THREADS}),
            options={"threads": 2},
        ),
        optimal(
            "option-log",
            _knapsack(),
            -15,
            "the log comes back with the answer",
            x=best,
            abilities=frozenset({Ability.LOG}),
            options={"log": True},
        ),
        optimal(
            "option-log-of-an-lp",
            make([2, 3], [[1, 1], [1, 3]], row_lower=[4, 6]),
            9,
            "the log comes back with the answer",
            x=[3, 1],
            abilities=frozenset({Ability.LOG}),
            options={"log": True},
            problem_class=ProblemClass.LP,
        ),
    ]
