"""Linear programs with known answers."""

from __future__ import annotations

import numpy as np

from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.backend import Ability
from causalopt.testing.case import Case, family, infeasible, optimal, unbounded
from causalopt.testing.multipliers import duals

INF = np.inf
make = Program.from_arrays


def cases() -> list[Case]:
    """Return the linear cases."""
    return [
        *family("linear programs", ProblemClass.LP, *_plain()),
        *family("degenerate", ProblemClass.LP, *_degenerate()),
        *family("unbounded", ProblemClass.LP, *_unbounded()),
        *family("infeasible", ProblemClass.LP, *_infeasible()),
        *family("free rows", ProblemClass.LP, *_free_rows()),
        *family("ranges", ProblemClass.LP, *_ranges()),
        *family("equality systems", ProblemClass.LP, *_equalities()),
        *family("duals", ProblemClass.LP, *duals(), abilities=frozenset({Ability.DUALS})),
        *family("empty rows and columns", ProblemClass.LP, *_empty()),
        *family("fixed variables", ProblemClass.LP, *_fixed()),
        *family("maximise", ProblemClass.LP, *_maximised()),
    ]


def assignment(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the costs (i - j)^2 and the rows of an assignment of n to n."""
    i, j = np.divmod(np.arange(n * n), n)
    rows = np.zeros((2 * n, n * n))
    rows[i, np.arange(n * n)] = rows[n + j, np.arange(n * n)] = 1.0
    return (i - j) ** 2.0, rows


def klee_minty(n: int) -> Program:
    """Return the cube of Klee and Minty (1972), where simplex by largest coefficient visits every vertex."""
    matrix = np.array([[2.0 ** (i - j + 1) if j < i else float(i == j) for j in range(n)] for i in range(n)])
    return make(-(2.0 ** np.arange(n - 1, -1, -1)), matrix, row_upper=5.0 ** np.arange(1, n + 1))


def _plain() -> list[dict[str, object]]:
    cost, rows = assignment(5)
    distances = np.vstack([np.hstack([s * np.ones((3, 1)), np.eye(3)]) for s in (1, -1)])
    conserved = [[1, 0, -1, -1, 0], [0, 1, 1, 0, -1]]  # the arcs s-a, s-b, a-b, a-t, b-t
    circle = [[1, 0, 1], [-1, 0, 1], [0, 1, 1], [0, -1, 1]]
    return [
        optimal(
            "lp-products",
            make([-3, -5], [[1, 0], [0, 2], [3, 2]], row_upper=[4, 12, 18]),
            -36,
            "vertices by hand: (2, 6) [Hillier and Lieberman, ch. 3]",
            x=[2, 6],
        ),
        optimal(
            "lp-cover",
            make([2, 3], [[1, 1], [1, 3]], row_lower=[4, 6]),
            9,
            "vertices by hand: (0, 4) costs 12, (6, 0) costs 12, (3, 1) costs 9",
            x=[3, 1],
        ),
        optimal(
            "lp-assignment",
            make(cost, rows, 1.0, 1.0),
            0,
            "no cost is negative, and only the identity costs nothing",
            x=np.eye(5).ravel(),
        ),
        optimal(
            "lp-fractional-knapsack",
            make([-60, -100, -120], [[10, 20, 30]], row_upper=50, upper=1),
            -240,
            "Dantzig's rule: fill by value per weight, the last item to two thirds",
            x=[1, 1, 2 / 3],
        ),
        optimal(
            "lp-simplex",
            make([4, 2, 7, 1, 5], np.ones((1, 5)), 1, 1),
            1,
            "over the simplex: the smallest cost",
            x=[0, 0, 0, 1, 0],
        ),
        optimal(
            "lp-distance",
            make([0, 1], [[-1, 1], [1, 1]], row_lower=[-3, 3], lower=-INF, upper=[1, INF]),
            2,
            "|x - 3| over x <= 1",
            x=[1, 2],
        ),
        optimal(
            "lp-median",
            make([0, 1, 1, 1], distances, row_lower=[1, 2, 10, -1, -2, -10], lower=[-INF, 0, 0, 0]),
            9,
            "the median 2 of 1, 2, 10 minimises the sum of distances",
            x=[2, 1, 0, 8],
        ),
        optimal("lp-klee-minty", klee_minty(6), -(5.0**6), "[Klee and Minty 1972]: 5^n at the last vertex"),
        optimal(
            "lp-maximum-flow",
            make([-1, -1, 0, 0, 0], conserved, 0, 0, upper=[3, 2, 1, 2, 3]),
            -5,
            "the cut at the source holds 5, and 2 + 3 reach the sink",
        ),
        optimal("lp-constant", make([1, 0], [[1, 1]], row_lower=1, lower=[1, 0], constant=7), 8, "x = 1, and 7 more"),
        optimal(
            "lp-without-rows",
            make([1, -1], lower=[1, -2], upper=[5, 3]),
            -2,
            "each column at its better bound",
            x=[1, 3],
        ),
        optimal(
            "lp-inscribed-circle",
            make([0, 0, -1], circle, row_upper=[2, 0, 2, 0], lower=[-INF, -INF, 0]),
            -1,
            "the largest circle in the square [0, 2]^2",
            x=[1, 1, 1],
        ),
        optimal(
            "lp-negative-columns",
            make([1, 1], [[1, 2]], row_lower=-9, lower=-5, upper=-1),
            -7,
            "along x + 2y = -9 the cost is -9 - y, so that y is as large as x >= -5 lets it be",
            x=[-5, -2],
        ),
        optimal("lp-no-cost", make([0, 0], [[1, 1]], 1, 1), 0, "any feasible point will do"),
    ]


def _degenerate() -> list[dict[str, object]]:
    _, rows = assignment(4)
    return [
        optimal(
            "degenerate-vertex",
            make([-1, -1], [[1, 1], [1, 2], [2, 1], [1, 0.5], [3, 2]], row_upper=[2, 3, 3, 1.5, 5], upper=1),
            -2,
            "seven constraints meet in (1, 1)",
            x=[1, 1],
        ),
        optimal(
            "degenerate-beale",
            make(
                [-0.75, 150, -0.02, 6],
                [[0.25, -60, -0.04, 9], [0.5, -90, -0.02, 3], [0, 0, 1, 0]],
                row_upper=[0, 0, 1],
            ),
            -0.05,
            "[Beale 1955]: simplex by largest coefficient runs in circles at the origin",
            x=[0.04, 0, 1, 0],
        ),
        optimal("degenerate-many-optima", make([1, 1], [[1, 1]], row_lower=1), 1, "a whole edge is optimal"),
        optimal(
            "degenerate-repeated-equalities",
            make([1, -1], [[1, 1], [2, 2], [-1, -1]], [2, 4, -2], [2, 4, -2]),
            -2,
            "three times the same equality",
            x=[0, 2],
        ),
        optimal("degenerate-assignment", make(np.ones(16), rows, 1.0, 1.0), 4, "every assignment of 4 to 4 costs 4"),
        optimal(
            "degenerate-at-the-origin",
            make([1, 2, 3], [[1, -1, 0], [0, 1, -1], [1, 0, -1]], row_lower=0),
            0,
            "costs are positive and the origin is feasible",
            x=[0, 0, 0],
        ),
    ]


def _unbounded() -> list[dict[str, object]]:
    return [
        unbounded("unbounded-ray", make([-1, 0], [[1, -1]], row_upper=1), "both grow together for ever"),
        unbounded(
            "unbounded-free-column",
            make([1, 0], [[1, 1]], row_upper=4, lower=[-INF, 0]),
            "x falls for ever",
        ),
        unbounded("unbounded-equality", make([-1, -1], [[1, -1]], 0, 0), "x = y grows for ever"),
        unbounded("unbounded-without-rows", make([-1, 1]), "x grows for ever"),
        unbounded(
            "unbounded-maximise",
            make([1, 1], [[1, -2]], row_upper=2, maximize=True),
            "both grow together for ever",
        ),
    ]


def _infeasible() -> list[dict[str, object]]:
    cycle = [[1, -1, 0], [0, 1, -1], [-1, 0, 1]]
    return [
        infeasible(
            "infeasible-rows",
            make([1, 1], [[1, 1], [1, 2]], [5, -INF], [INF, 4]),
            "x + y >= 5 makes x + 2y at least 5",
        ),
        infeasible(
            "infeasible-box", make([1, 1], [[1, 1]], row_lower=3, upper=1), "two unit intervals sum to 2 at most"
        ),
        infeasible(
            "infeasible-equalities", make([1, 1], [[1, 1], [2, 2]], [1, 3], [1, 3]), "1 = x + y = 3/2 cannot be"
        ),
        infeasible("infeasible-bounds", make([1, 1], [[1, 1]], row_lower=0, lower=[2, 0], upper=[1, 5]), "2 <= x <= 1"),
        infeasible(
            "infeasible-single-column-rows",
            make([1, 1], [[1, 0], [1, 0]], [3, -INF], [INF, 1]),
            "x >= 3 and x <= 1",
        ),
        infeasible("infeasible-empty-row", make([1, 1], [[0, 0], [1, 1]], [1, 0], [INF, 4]), "0 >= 1"),
        infeasible(
            "infeasible-cycle",
            make([0, 0, 0], cycle, row_lower=1, lower=-INF),
            "the three differences sum to zero, not to 3 or more",
        ),
        infeasible(
            "infeasible-not-unbounded",
            make([-1, -1], [[1, -1], [1, -1]], [-INF, 2], [1, INF]),
            "its dual is infeasible too: x - y <= 1 and x - y >= 2",
        ),
        infeasible(
            "infeasible-maximise",
            make([1, 2], [[1, 1]], row_upper=-1, maximize=True),
            "a sum of two that are not negative",
        ),
    ]


def _free_rows() -> list[dict[str, object]]:
    return [
        optimal(
            "free-row",
            make([2, 3], [[1, 1], [5, -7], [1, 3]], [4, -INF, 6], INF),
            9,
            "the row in the middle says nothing: as lp-cover",
            x=[3, 1],
        ),
        optimal(
            "free-rows-only",
            make([1, -1], [[1, 1], [1, -1]], -INF, INF, upper=3),
            -3,
            "no row says anything",
            x=[0, 3],
        ),
    ]


def _ranges() -> list[dict[str, object]]:
    return [
        optimal("range-at-its-lower-side", make([1, 2], [[1, 1]], 1, 3), 1, "x does it more cheaply", x=[1, 0]),
        optimal(
            "range-at-its-upper-side", make([-1, -2], [[1, 1]], 1, 3, upper=[INF, 1]), -4, "y first, then x", x=[2, 1]
        ),
        optimal(
            "range-below-zero",
            make([1, 1], [[1, 1], [1, -1]], [-3, -1], [-2, 1], lower=-INF),
            -3,
            "the sum is at least -3",
        ),
        optimal(
            "range-of-one-point", make([1, 3], [[1, 1], [1, 2]], 2, [2, 9]), 2, "x + y = 2, and y costs more", x=[2, 0]
        ),
    ]


def _equalities() -> list[dict[str, object]]:
    return [
        optimal(
            "equalities-square",
            make([1, 10, 100], [[1, 1, 1], [2, -1, 1], [1, 2, -1]], [6, 3, 2], [6, 3, 2], lower=-INF),
            321,
            "one solution: (1, 2, 3)",
            x=[1, 2, 3],
        ),
        optimal(
            "equalities-flow",
            make([1, 1, 5], [[1, 0, 1], [-1, 1, 0]], [1, 0], [1, 0]),
            2,
            "one unit over two arcs of cost 1, not over one of cost 5",
            x=[1, 1, 0],
        ),
        optimal(
            "equalities-and-free-columns",
            make([0, 0, 1], [[1, 1, 0], [1, -1, -1]], [4, 0], [4, 0], lower=[-INF, 1, 0]),
            0,
            "x = y = 2 leaves nothing over",
            x=[2, 2, 0],
        ),
    ]


def _empty() -> list[dict[str, object]]:
    return [
        optimal(
            "empty-row",
            make([2, 3], [[1, 1], [0, 0], [1, 3]], [4, -1, 6], [INF, 2, INF]),
            9,
            "-1 <= 0 <= 2 holds",
            x=[3, 1],
        ),
        optimal(
            "empty-column",
            make([1, -2, 0], [[1, 0, 0]], row_lower=1, upper=[INF, 3, 1]),
            -5,
            "a column in no row goes to its better bound",
        ),
        optimal(
            "empty-free-column",
            make([1, 0], [[1, 0]], row_lower=1, lower=[0, -INF]),
            1,
            "a free column in no row and without cost",
        ),
        unbounded(
            "empty-column-unbounded",
            make([1, -1], [[1, 0]], row_lower=1),
            "a column in no row whose cost falls for ever",
        ),
        optimal("no-columns", make([], np.zeros((1, 0)), -1, 1, constant=3), 3, "nothing but the constant"),
        infeasible("no-columns-infeasible", make([], np.zeros((1, 0)), 1, 2), "1 <= 0"),
    ]


def _fixed() -> list[dict[str, object]]:
    return [
        optimal(
            "fixed-column",
            make([2, 3, 1], [[1, 1, 1]], row_lower=5, lower=[0, 0, 2], upper=[INF, INF, 2]),
            8,
            "two of five are there: 2 * 3 + 2",
            x=[3, 0, 2],
        ),
        optimal("fixed-all", make([1, 2], [[1, 1]], 3, 3, lower=[1, 2], upper=[1, 2]), 5, "one point", x=[1, 2]),
        infeasible(
            "fixed-against-a-row", make([1, 2], [[1, 1]], 4, 4, lower=[1, 2], upper=[1, 2]), "the one point sums to 3"
        ),
    ]


def _maximised() -> list[dict[str, object]]:
    return [
        optimal(
            "maximise-products",
            make([3, 5], [[1, 0], [0, 2], [3, 2]], row_upper=[4, 12, 18], constant=-6, maximize=True),
            30,
            "lp-products turned round, with a constant",
            x=[2, 6],
        ),
        optimal(
            "maximise-a-negative",
            make([-2, -3], [[1, 1], [1, 3]], row_lower=[4, 6], maximize=True),
            -9,
            "lp-cover turned round",
            x=[3, 1],
        ),
    ]
