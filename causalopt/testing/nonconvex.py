"""Quadratic programs that take a search, mixed-integer and nonconvex ones, with known answers."""

from __future__ import annotations

import numpy as np

from causalopt.modeling.program import ProblemClass, Program
from causalopt.testing.case import Case, family, infeasible, optimal, unbounded
from causalopt.testing.quadratic import squared_distance

INF = np.inf
make = Program.from_arrays
NONCONVEX_MIQP = ProblemClass.NONCONVEX_MIQP


def cases() -> list[Case]:
    """Return the mixed-integer and the nonconvex cases."""
    return [
        *family("mixed-integer quadratic", ProblemClass.CONVEX_MIQP, *_mixed_integer()),
        *family("nonconvex", ProblemClass.NONCONVEX_QP, *_nonconvex()),
    ]


def cycle(n: int) -> np.ndarray:
    """Return the adjacency matrix of a cycle of n."""
    return np.roll(np.eye(n), 1, axis=1) + np.roll(np.eye(n), -1, axis=1)


def _mixed_integer() -> list[dict[str, object]]:
    sums = np.outer([3, 1, 1, 2, 2, 1], [3, 1, 1, 2, 2, 1])
    return [
        optimal(
            "miqp-nearest-whole-point",
            squared_distance([1.6, 2.3], integer=True),
            0.125,
            "rounding: half of 0.16 + 0.09",
            x=[2, 2],
        ),
        optimal(
            "miqp-rounding-is-wrong",
            make([-5.1, -4.9], Q=[[10, 9], [9, 10]], upper=3, integer=True),
            -0.1,
            "the sixteen points by hand: (1, 0) gives 5 - 5.1, (0, 1) 5 - 4.9, (0, 0) nothing",
            x=[1, 0],
        ),
        optimal(
            "miqp-two-of-three",
            make(
                [-3, -2, -1, 0, 0, 0],
                np.vstack([np.hstack([np.eye(3), -10 * np.eye(3)]), [[0, 0, 0, 1, 1, 1]]]),
                row_upper=[0, 0, 0, 2],
                upper=[INF, INF, INF, 1, 1, 1],
                integer=[False] * 3 + [True] * 3,
                Q=np.diag([1.0, 1, 1, 0, 0, 0]),
                constant=7,
            ),
            0.5,
            "the nearest to (3, 2, 1) with two entries leaves out the smallest",
            x=[3, 2, 0, 1, 1, 0],
        ),
        optimal(
            "miqp-partition",
            make(-10 * np.array([3, 1, 1, 2, 2, 1]), Q=2 * sums, upper=1, integer=True, constant=25),
            0,
            "(sum of the chosen - 5)^2, and 3 + 2 = 5",
        ),
        optimal(
            "miqp-continuous-beside-whole",
            make([0, -2.5], [[1, 1]], 3, 3, Q=np.eye(2), lower=-INF, integer=[True, False]),
            -3.0,
            "x = 0 leaves y = 3: 4.5 - 7.5; x = 1 leaves 2.5 - 5 = -2.5",
            x=[0, 3],
        ),
        optimal(
            "miqp-maximise",
            make([3.2, 4.6], Q=-2 * np.eye(2), integer=True, maximize=True),
            7.6,
            "3.2x - x^2 is 2.2 at 1 and 2.4 at 2; 4.6y - y^2 is 5.2 at 2 and 4.8 at 3",
            x=[2, 2],
        ),
        infeasible(
            "miqp-infeasible",
            make([1, 1], [[2, 4]], 7, 7, upper=10, integer=True, Q=np.eye(2)),
            "2x + 4y is even, 7 is odd",
        ),
        unbounded(
            "miqp-unbounded",
            make([0, -1], [[1, -1]], row_upper=0, Q=np.diag([1.0, 0]), integer=True),
            "y grows for ever at x = 0",
        ),
    ]


def _nonconvex() -> list[dict[str, object]]:
    flip = np.array([[0.0, 1], [1, 0]])
    five = cycle(5)
    triangle = np.array([[0.0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0]])
    return [
        optimal("nonconvex-product", make([0, 0], Q=flip, lower=-1, upper=1), -1, "xy at (1, -1) or (-1, 1)"),
        optimal(
            "nonconvex-concave", make([0, 0], Q=-np.eye(2), lower=-1, upper=2), -4, "the farthest corner", x=[2, 2]
        ),
        optimal("nonconvex-saddle", make([0, 0], Q=np.diag([1.0, -1]), lower=-1, upper=1), -0.5, "x = 0, y = 1 or -1"),
        optimal(
            "nonconvex-two-minima",
            make([0.1], Q=[[-1.0]], lower=-1, upper=1),
            -0.6,
            "-1 gives -0.6; the other local minimum, 1, gives -0.4",
            x=[-1],
        ),
        optimal(
            "nonconvex-on-a-line",
            make([0, 0], [[1, 1]], 1, 1, Q=flip, lower=-1, upper=2),
            -2,
            "xy on x + y = 1 is least at an end",
        ),
        optimal(
            "nonconvex-clique",
            make(np.zeros(4), np.ones((1, 4)), 1, 1, Q=2 * triangle, maximize=True),
            2 / 3,
            "[Motzkin and Straus 1965]: 1 - 1/3, as the largest clique of a triangle with a tail is the triangle",
        ),
        optimal(
            "nonconvex-maximise-convex",
            make([0], Q=[[1.0]], lower=-1, upper=3, maximize=True),
            4.5,
            "the farther end",
            x=[3],
        ),
        unbounded(
            "nonconvex-unbounded",
            make([0, 0], [[1, -1]], row_upper=1, Q=np.diag([-1.0, 0])),
            "both grow together, and the cost falls with the square",
        ),
        infeasible(
            "nonconvex-infeasible",
            make([0, 0], [[1, 1], [1, 2]], [5, -INF], [INF, 4], Q=flip),
            "infeasible-rows with a product",
        ),
        optimal(
            "nonconvex-miqp-product",
            make([0, 0], [[1, 1]], row_upper=5, Q=-flip, integer=True),
            -6,
            "two whole numbers that sum to 5 at most: 2 times 3",
            problem_class=NONCONVEX_MIQP,
        ),
        optimal(
            "nonconvex-maximum-cut",
            make(np.full(5, 2.0), Q=-2 * five, upper=1, integer=True, maximize=True),
            4,
            "an odd cycle of five cannot be cut in all its edges, but in four",
            problem_class=NONCONVEX_MIQP,
        ),
    ]
