"""Linear programs with known multipliers."""

from __future__ import annotations

import numpy as np

from causalopt.modeling.program import Program
from causalopt.testing.case import optimal

INF = np.inf
make = Program.from_arrays


def duals() -> list[dict[str, object]]:
    """Return the cases with the multipliers that are expected."""
    cover = [[1, 1], [1, 3]]
    return [
        optimal(
            "dual-lower-sides",
            make([2, 3], cover, row_lower=[4, 6]),
            9,
            "y1 + y2 = 2 and y1 + 3 y2 = 3",
            x=[3, 1],
            row_dual=[1.5, 0.5],
        ),
        optimal(
            "dual-upper-sides",
            make([-1, -1], [[1, 2], [3, 1]], row_upper=[4, 6]),
            -2.8,
            "y1 + 3 y2 = -1 and 2 y1 + y2 = -1: raising an upper side lets the cost fall",
            x=[1.6, 1.2],
            row_dual=[-0.4, -0.2],
        ),
        optimal(
            "dual-equality-negative",
            make([1, 2], [[1, -1]], -1, -1),
            2,
            "y = x + 1: the cost is 3x - 2b at b = -1",
            x=[0, 1],
            row_dual=[-2],
        ),
        optimal(
            "dual-equality-positive",
            make([1, 2], [[1, 1]], 3, 3),
            3,
            "one more costs 1",
            x=[3, 0],
            row_dual=[1],
        ),
        optimal(
            "dual-maximise-upper-side",
            make([3, 2], [[1, 1], [1, 3]], row_upper=[4, 7], upper=[3, INF], maximize=True),
            11,
            "one more on the first row brings 2, on the second nothing",
            x=[3, 1],
            row_dual=[2, 0],
        ),
        optimal(
            "dual-maximise-lower-sides",
            make([-2, -3], cover, row_lower=[4, 6], maximize=True),
            -9,
            "dual-lower-sides with the objective negated",
            x=[3, 1],
            row_dual=[-1.5, -0.5],
        ),
        optimal("dual-range-lower-side", make([1, 2], [[1, 1]], 1, 3), 1, "one more costs 1", x=[1, 0], row_dual=[1]),
        optimal(
            "dual-range-upper-side",
            make([-1, -2], [[1, 1]], 1, 3, upper=[INF, 1]),
            -4,
            "one more, in x, saves 1",
            x=[2, 1],
            row_dual=[-1],
        ),
        optimal(
            "dual-range-maximise",
            make([1, 2], [[1, 1]], 1, 3, upper=[INF, 1], maximize=True),
            4,
            "one more, in x, brings 1",
            x=[2, 1],
            row_dual=[1],
        ),
        optimal(
            "dual-inactive",
            make([1, 1], [[1, 1], [1, -1]], [2, -5], [INF, 9], upper=[5, 1]),
            2,
            "the second row does not bind; the cost is that of the first",
            row_dual=[1, 0],
        ),
    ]
