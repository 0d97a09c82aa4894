"""Programs with other people's numbers: wide boxes, "no limit" as a number, what rounding left of zero."""

from __future__ import annotations

import numpy as np

from causalopt.modeling.program import ProblemClass, Program
from causalopt.testing.case import Case, family, infeasible, optimal, unbounded

INF = np.inf
make = Program.from_arrays

#: Sizes of boxes that are finite and never reached.
BOXES = (1e4, 1e6, 1e8, 1e10, 1e13)

#: Right sides that stand for "no limit".
NO_LIMITS = (1e12, 1e18, 1e20, 1e30)


def cases() -> list[Case]:
    """Return the cases with wide numbers."""
    return [
        *family("wide numbers", ProblemClass.LP, *_linear()),
        *family("wide numbers", ProblemClass.MILP, *_integer()),
        *family("wide numbers", ProblemClass.CONVEX_QP, *_quadratic()),
        *family("wide numbers", ProblemClass.CONVEX_MIQP, *_mixed()),
    ]


def makespan(times: list[float], box: float) -> Program:
    """Return the schedule of jobs on two machines: the longer of both sums, by a column between zero and `box`."""
    n, total = len(times), sum(times)
    rows = [[*times, -1.0], [*(-t for t in times), -1.0]]
    return make([0] * n + [1], rows, row_upper=[0, -total], upper=[1] * n + [box], integer=[True] * n + [False])


def _linear() -> list[dict[str, object]]:
    found = [
        optimal(
            f"wide-no-limit-of-{limit:g}",
            make([1, 0], [[1, -1], [1, 1]], row_upper=[5, limit], upper=[INF, 3], maximize=True),
            8,
            "by hand: y = 3, x = 8; the other row says nothing",
            x=[8, 3],
        )
        for limit in NO_LIMITS
    ]
    found += [
        optimal(
            f"wide-range-from-{limit:g}",
            make([3, 2], [[1, 1], [1, -1]], [4, -limit], [limit, 1], upper=limit),
            8,
            "by hand: y = 4, at two a piece",
            x=[0, 4],
        )
        for limit in NO_LIMITS
    ]
    return [
        *found,
        optimal(
            "wide-left-over",
            make([1, 1], [[1, -1], [1, 1]], [1e-17, 2], INF),
            2,
            "by hand; 1e-17 is what rounding left of zero",
        ),
        optimal(
            "wide-box-reached",
            make([1, 0], [[1, -1]], row_upper=0, upper=[INF, 1e9], maximize=True),
            1e9,
            "by hand: x = y, at the box",
            x=[1e9, 1e9],
            unit=1e9,
        ),
        optimal(
            "wide-penalty",
            make([2, 1e8], [[1, 1]], row_lower=3, upper=[10, 1e12]),
            6,
            "by hand: the slack costs fifty million times as much",
            x=[3, 0],
        ),
        infeasible(
            "wide-infeasible",
            make([1, 0], [[1, 1], [1, 1]], [-1e18, -INF], [1e18, 2], lower=[3, 0], upper=1e12),
            "by hand: x is at least 3, and x + y at most 2",
        ),
        unbounded(
            "wide-unbounded-at-a-small-price",
            make([-1e-8, 1], [[1, 1]], row_lower=1),
            "by hand: x costs -1e-8 a unit, and nothing limits it",
        ),
    ]


def _integer() -> list[dict[str, object]]:
    found = [
        optimal(f"wide-makespan-{name}-in-{box:g}", makespan(times, box), value, why)
        for box in BOXES
        for name, times, value, why in (
            ("of-four", [82.0, 54.0, 55.0, 97.0], 151, "of 8 splits 54 + 97 and 82 + 55 are the nearest"),
            ("of-five", [7.0, 5.0, 4.0, 3.0, 3.0], 11, "7 + 4 and 5 + 3 + 3 are equal"),
        )
    ]
    cuts = [[40, 30, 0, 1], [0, 10, 45, 1]]
    found += [
        optimal(
            f"wide-epigraph-in-{box:g}",
            make([12, 20, 15, 1], cuts, row_lower=[60, 50], lower=[0, 0, 0, -box], upper=[1, 1, 1, box],
                 integer=[True, True, True, False]),
            42,
            "of 8 choices all three: 47 - 5",
            x=[1, 1, 1, -5],
        )
        for box in (1e6, 1e9, 1e15, 1e30)
    ]  # fmt: skip
    found += [
        optimal(
            f"wide-no-limit-of-{limit:g}-beside-whole",
            make([1, 0], [[1, -1], [1, 1]], row_upper=[5, limit], upper=[limit, 3], integer=[False, True],
                 maximize=True),
            8,
            "by hand: n = 3, x = 8",
            x=[8, 3],
        )
        for limit in NO_LIMITS
    ]  # fmt: skip
    found += [
        optimal(
            f"wide-big-m-of-{big:g}",
            make([5, -3], [[1, -big]], row_upper=0, upper=[4, 1], integer=[False, True], maximize=True),
            17,
            "by hand: x = 4 needs y = 1",
            x=[4, 1],
        )
        for big in (1e4, 1e6, 1e8)
    ]
    return [
        *found,
        optimal(
            "wide-penalty-beside-whole",
            make([3, 1e8], [[2, 1]], row_lower=5, upper=[4, INF], integer=[True, False]),
            9,
            "by hand: n = 3; with n = 2 the slack is 1",
            x=[3, 0],
        ),
        optimal(
            "wide-left-over-beside-whole",
            make([1, 1], [[1, -1], [2, 2]], [-1e-16, 3], INF, upper=5, integer=[True, False]),
            1.5,
            "by hand: n >= x, and n + x >= 1.5 at n = 1, x = 0.5",
            x=[1, 0.5],
        ),
    ]


def _quadratic() -> list[dict[str, object]]:
    found = [
        optimal(
            f"wide-box-of-{box:g}-around-a-quadratic",
            make([-6, -2], Q=[[2, 1], [1, 2]], constant=10, lower=-box, upper=box),
            2 / 3,
            "by hand: the gradient vanishes at (10/3, -2/3)",
            x=[10 / 3, -2 / 3],
        )
        for box in (*BOXES, 1e18, 1e20)
    ]
    found += [
        optimal(
            f"wide-range-from-{limit:g}-around-a-quadratic",
            make([0, 0], [[1, 1], [1, -1]], [2, -limit], [2, 1], Q=np.eye(2), lower=-limit, upper=limit),
            1,
            "by hand: x = y = 1",
            x=[1, 1],
        )
        for limit in NO_LIMITS
    ]
    return [
        *found,
        optimal(
            "wide-left-over-around-a-quadratic",
            make([0, 0], [[1, 1], [1, -1]], [2, -INF], [2, 1e-17], Q=np.eye(2)),
            1,
            "by hand: x = y = 1",
            x=[1, 1],
        ),
    ]


def _mixed() -> list[dict[str, object]]:
    return [
        optimal(
            f"wide-box-of-{box:g}-around-whole-squares",
            make([-5, -3.2], [[1, -1]], row_upper=1e17, Q=2 * np.eye(2), constant=8.81, lower=[-box, 0],
                 upper=[box, 5], integer=[False, True]),
            0.16,
            "by hand: (2.5 - x)^2 + (1.6 - n)^2 at x = 2.5, n = 2",
            x=[2.5, 2],
        )
        for box in BOXES
    ]  # fmt: skip
