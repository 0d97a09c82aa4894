"""Mixed-integer linear programs with known answers."""

from __future__ import annotations

import numpy as np

from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.testing.case import Case, family, infeasible, optimal, unbounded

INF = np.inf
make = Program.from_arrays


def cases() -> list[Case]:
    """Return the mixed-integer linear cases."""
    return [
        *family("mixed-integer", ProblemClass.MILP, *_plain()),
        *family("big-M", ProblemClass.MILP, *_big_m()),
        *family("unbounded", ProblemClass.MILP, *_unbounded()),
        *family("infeasible", ProblemClass.MILP, *_infeasible()),
        *family("free rows", ProblemClass.MILP, *_rows()),
        *family("ranges", ProblemClass.MILP, *_ranges()),
        *family("equality systems", ProblemClass.MILP, *_equalities()),
        *family("empty rows and columns", ProblemClass.MILP, *_empty()),
        *family("fixed variables", ProblemClass.MILP, *_fixed()),
        *family("maximise", ProblemClass.MILP, *_maximised()),
    ]


def market_split(rows: int, columns: int, *, slack: bool) -> tuple[Program, Floats]:
    """Return a market split problem (Cornuéjols and Dawande 1999) with a solution that was put there.

    Which half of the items has, in every one of `rows` attributes, the sum that a given half has? With `slack` the
    deviations are minimised (zero is possible, and the bound is zero from the start); without, the sums have to be
    met exactly. Four rows and thirty columns already take branch and bound minutes.
    """
    rng = np.random.default_rng(5)
    weights = rng.integers(1, 100, (rows, columns)).astype(float)
    planted = rng.permutation(np.arange(columns) % 2).astype(float)
    target = weights @ planted
    if not slack:
        return make(np.zeros(columns), weights, target, target, 0, 1, integer=True), planted
    matrix = np.hstack([weights, np.eye(rows), -np.eye(rows)])
    cost = np.concatenate([np.zeros(columns), np.ones(2 * rows)])
    upper = np.concatenate([np.ones(columns), np.full(2 * rows, INF)])
    program = make(cost, matrix, target, target, 0, upper, integer=np.arange(columns + 2 * rows) < columns)
    return program, np.concatenate([planted, np.zeros(2 * rows)])


def cycle_cover(n: int) -> Program:
    """Return the vertex cover of a cycle of n."""
    rows = np.eye(n) + np.roll(np.eye(n), 1, axis=1)
    return make(np.ones(n), rows, row_lower=1, upper=1, integer=True)


def bin_packing(sizes: list[float], capacity: float) -> Program:
    """Return the packing of items into as many bins as there are items: the assignments, then which bins are used."""
    n = len(sizes)
    each = np.hstack([np.kron(np.eye(n), np.ones(n)), np.zeros((n, n))])
    fits = np.hstack([np.kron(np.array(sizes), np.eye(n)), -capacity * np.eye(n)])
    cost = np.concatenate([np.zeros(n * n), np.ones(n)])
    low = np.concatenate([np.ones(n), np.full(n, -INF)])
    return make(cost, np.vstack([each, fits]), low, np.concatenate([np.ones(n), np.zeros(n)]), 0, 1, integer=True)


def _plain() -> list[dict[str, object]]:
    return [
        optimal(
            "milp-knapsack",
            make([-4, -2, -1, -10, -2], [[12, 2, 1, 4, 1]], row_upper=15, upper=1, integer=True),
            -15,
            "all but the first item weigh 8 and bring 15; the first needs 12 of 15 and brings 4",
            x=[0, 1, 1, 1, 1],
        ),
        optimal(
            "milp-knapsack-against-greedy",
            make([-60, -100, -120], [[10, 20, 30]], row_upper=50, upper=1, integer=True),
            -220,
            "items 2 and 3 fill it; the best by weight, item 1, stays out",
            x=[0, 1, 1],
        ),
        optimal(
            "milp-rounding-is-wrong",
            make([-5, -8], [[1, 1], [5, 9]], row_upper=[6, 45], integer=True),
            -40,
            "[Bradley, Hax and Magnanti 1977, ch. 9]: (0, 5), far from the relaxation's (2.25, 3.75)",
            x=[0, 5],
        ),
        optimal("milp-cover-of-a-5-cycle", cycle_cover(5), 3, "(n + 1)/2 for an odd cycle; the relaxation says 2.5"),
        optimal("milp-cover-of-a-9-cycle", cycle_cover(9), 5, "(n + 1)/2 for an odd cycle; the relaxation says 4.5"),
        optimal("milp-bin-packing", bin_packing([2, 2, 2], 3), 3, "no two items of size 2 share a bin of 3"),
        optimal(
            "milp-coins",
            make([1, 1, 1, 1, 1], [[1, 5, 10, 21, 25]], 63, 63, integer=True),
            3,
            "three times 21; two coins make 50 at most, and the greedy way takes six",
            x=[0, 0, 0, 3, 0],
        ),
        optimal(
            "milp-negative-values",
            make([1, 0], [[1, 1]], row_lower=-3.5, lower=-INF, upper=[INF, 0], integer=[True, False]),
            -3,
            "the smallest whole number that is at least -3.5",
        ),
        optimal(
            "milp-two-warehouses",
            make(
                [10, 3, 1, 4],
                [[0, 0, 1, 1], [-5, 0, 1, 0], [0, -5, 0, 1]],
                [5, -INF, -INF],
                [5, 0, 0],
                upper=[1, 1, INF, INF],
                integer=[True, True, False, False],
            ),
            15,
            "opening the first costs 10 + 5, the second 3 + 20, both 13 + 5",
            x=[1, 0, 5, 0],
        ),
        optimal("milp-no-cost", make([0, 0], [[1, 1]], 3, 3, integer=True), 0, "any whole point will do"),
        optimal(
            "milp-continuous-beside-whole",
            make([1, 2], [[1, 1]], row_lower=20.1, lower=[0, 8], upper=20, integer=[True, False]),
            28.2,
            "x + 2y = 20.1 + y, and x = 12 leaves y = 8.1 [HiGHS issue 2957: version 1.14.0 says 29]",
            x=[12, 8.1],
        ),
        optimal(
            "milp-whole-beside-continuous",
            make([2, 3], [[1, 1]], row_lower=4.5, upper=10, integer=[False, True]),
            9,
            "each whole unit costs 1 more [HiGHS issue 3043: version 1.14.0 says 15]",
            x=[4.5, 0],
        ),
        optimal(
            "milp-absolute-value",
            make(
                [100, 0.01, 0],
                [[1, 0, 1], [0, -1, 1], [0, -1, -1], [0, 0, 1]],
                [3, -INF, -INF, 0.45],
                [3, 0, 0, 3],
                lower=[0, -INF, 0],
                integer=[False, False, True],
            ),
            0.03,
            "x = 3 closes the gap [HiGHS issue 3073: version 1.14.0 says 200.01]",
            x=[0, 3, 3],
        ),
    ]


def _big_m() -> list[dict[str, object]]:
    return [
        optimal(
            "big-m-fixed-charge",
            make([0, 2, 99999], [[1, 1, 0], [1, 0, -100]], [10, -INF], [10, 0], upper=[INF, INF, 1],
                 integer=[False, False, True]),
            20,
            "the charge is never worth it [HiGHS issue 2975: version 1.14.0 says 99999]",
            x=[0, 10, 0],
        ),
        optimal(
            "big-m-trickle",
            make([1, 10], [[1, -1e6]], row_upper=0, lower=[0.5, 0], upper=[1e6, 1], integer=[False, True]),
            10.5,
            "z = 5e-7 would let x flow without the charge, but it is not a whole number",
            x=[0.5, 1],
        ),
        optimal(
            "big-m-either-or",
            make(
                [0, 1, 0],
                [[-1, 1, 0], [1, 1, 0], [1, 0, -100], [1, 0, -8]],
                [-4, 4, -INF, 0],
                [INF, INF, 2, INF],
                upper=[100, INF, 1],
                integer=[False, False, True],
            ),
            2,
            "the distance of 4 from x <= 2 or x >= 8",
            x=[2, 2, 0],
        ),
        optimal(
            "big-m-two-jobs",
            make(
                [1, 1, 0],
                [[1, -1, 1000], [-1, 1, -1000]],
                [2, 3 - 1000],
                INF,
                upper=[INF, INF, 1],
                integer=[False, False, True],
            ),
            2,
            "two jobs of lengths 3 and 2 on one machine, the shorter first: starts sum to 0 + 2",
            x=[2, 0, 0],
        ),
        optimal(
            "big-m-unused",
            make([-1, 0.1], [[1, -1e5]], row_upper=3, upper=[7, 1], integer=[False, True]),
            -6.9,
            "four more units are worth the switch",
            x=[7, 1],
        ),
    ]  # fmt: skip


def _unbounded() -> list[dict[str, object]]:
    return [
        unbounded("unbounded-milp", make([-1, -1], [[1, -2]], 0, 0, integer=[True, False]), "x = 2y grows for ever"),
        unbounded("unbounded-milp-without-rows", make([1, 1], lower=[-INF, 0], integer=True), "x falls for ever"),
    ]


def _infeasible() -> list[dict[str, object]]:
    return [
        infeasible(
            "infeasible-parity", make([1, 1], [[2, 4]], 7, 7, upper=10, integer=True), "2x + 4y is even, 7 is odd"
        ),
        infeasible(
            "infeasible-no-whole-number",
            make([1, 1], [[1, 1]], row_lower=0, lower=[0.2, 0], upper=[0.8, 1], integer=[True, False]),
            "no whole number lies between 0.2 and 0.8",
        ),
        infeasible(
            "infeasible-milp-relaxation",
            make([1, 1], [[1, 1], [1, 2]], [5, -INF], [INF, 4], integer=True),
            "infeasible-rows, whole",
        ),
        infeasible(
            "infeasible-pigeons",
            make(
                np.zeros(12),
                np.vstack([np.kron(np.eye(4), np.ones(3)), np.kron(np.ones(4), np.eye(3))]),
                [1] * 4 + [-INF] * 3,
                [INF] * 4 + [1] * 3,
                upper=1,
                integer=True,
            ),
            "four pigeons in three holes",
        ),
    ]


def _rows() -> list[dict[str, object]]:
    return [
        optimal(
            "free-row-milp",
            make([-5, -8], [[1, 1], [3, -4], [5, 9]], -INF, [6, INF, 45], integer=True),
            -40,
            "the row in the middle says nothing: as milp-rounding-is-wrong",
            x=[0, 5],
        )
    ]


def _ranges() -> list[dict[str, object]]:
    return [
        optimal(
            "range-milp",
            make([3, 2], [[1, 1]], 2.5, 3.5, upper=[9, 2], integer=True),
            7,
            "the sum is 3, and at most two of them are cheap",
            x=[1, 2],
        )
    ]


def _equalities() -> list[dict[str, object]]:
    return [
        optimal(
            "equalities-diophantine",
            make([1, 1], [[3, 5]], 19, 19, integer=True),
            5,
            "3x + 5y = 19 has one solution that is not negative: (3, 2)",
            x=[3, 2],
        )
    ]


def _empty() -> list[dict[str, object]]:
    return [
        optimal(
            "empty-row-and-column-milp",
            make([-1, -3, 2], [[2, 0, 0], [0, 0, 0]], -INF, [5, 1], upper=[INF, 2.5, 1], integer=True),
            -8,
            "2x <= 5 leaves x = 2, the column in no row goes to 2, the third stays",
            x=[2, 2, 0],
        )
    ]


def _fixed() -> list[dict[str, object]]:
    return [
        optimal(
            "fixed-whole-column",
            make([-5, -8], [[1, 1], [5, 9]], row_upper=[6, 45], lower=[1, 0], upper=[1, INF], integer=True),
            -37,
            "x = 1 leaves 9y <= 40",
            x=[1, 4],
        ),
        infeasible(
            "fixed-at-a-half",
            make([1, 1], [[1, 1]], row_lower=1, lower=[0.5, 0], upper=[0.5, 9], integer=True),
            "a whole variable cannot be 0.5",
        ),
    ]


def _maximised() -> list[dict[str, object]]:
    return [
        optimal(
            "maximise-milp",
            make([5, 8], [[1, 1], [5, 9]], row_upper=[6, 45], integer=True, constant=2, maximize=True),
            42,
            "milp-rounding-is-wrong turned round, with a constant",
            x=[0, 5],
        )
    ]
