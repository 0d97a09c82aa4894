"""Convex quadratic programs with known answers."""

from __future__ import annotations

import numpy as np

from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.backend import Ability
from causalopt.testing.case import Case, family, infeasible, optimal, unbounded

INF = np.inf
make = Program.from_arrays
QP = ProblemClass.CONVEX_QP


def cases() -> list[Case]:
    """Return the cases of convex quadratic programs."""
    return [
        *family("convex quadratic", QP, *_convex()),
        *family("semidefinite quadratic", QP, *_semidefinite()),
        *family("duals", QP, *_duals(), abilities=frozenset({Ability.DUALS})),
        *family("unbounded", QP, *_unbounded()),
        *family("infeasible", QP, *_infeasible()),
        *family("free rows", QP, *_free_rows()),
        *family("ranges", QP, *_ranges()),
        *family("equality systems", QP, *_equalities()),
        *family("empty rows and columns", QP, *_empty()),
        *family("fixed variables", QP, *_fixed()),
        *family("maximise", QP, *_maximised()),
    ]


def squared_distance(point: list[float], *args: object, **more: object) -> Program:
    """Return the program that minimises half the squared distance from a point."""
    a = np.array(point, dtype=float)
    return make(-a, *args, Q=np.eye(len(a)), constant=0.5 * float(a @ a), **more)  # type: ignore[arg-type]


def least_squares(matrix: list[list[float]], right: list[float], **more: object) -> Program:
    """Return the program that minimises half the squared length of Bx - b."""
    B, b = np.array(matrix, dtype=float), np.array(right, dtype=float)
    return make(-B.T @ b, Q=B.T @ B, constant=0.5 * float(b @ b), **more)  # type: ignore[arg-type]


def differences(n: int) -> np.ndarray:
    """Return the Hessian of half the sum of squared differences of neighbours."""
    D = np.diff(np.eye(n), axis=0)
    return D.T @ D


def _convex() -> list[dict[str, object]]:
    return [
        optimal(
            "qp-without-constraints",
            make([-1, 0], Q=[[2, 1], [1, 2]], lower=-INF),
            -1 / 3,
            "-c'Q^-1 c/2",
            x=[2 / 3, -1 / 3],
        ),
        optimal(
            "qp-onto-the-simplex",
            squared_distance([1, 0.5, -1], np.ones((1, 3)), 1, 1),
            0.5625,
            "projection by threshold: what exceeds 1/4",
            x=[0.75, 0.25, 0],
        ),
        optimal("qp-onto-a-box", squared_distance([-1, 0.5, 2], upper=1), 1, "each column clipped", x=[0, 0.5, 1]),
        optimal(
            "qp-least-variance",
            make([0, 0, 0], np.ones((1, 3)), 1, 1, Q=np.diag([1.0, 2, 4])),
            2 / 7,
            "weights in inverse proportion to the variances",
            x=[4 / 7, 2 / 7, 1 / 7],
        ),
        optimal(
            "qp-line-through-points",
            least_squares([[1, 0], [1, 1], [1, 2]], [6, 0, 0], lower=-INF),
            3,
            "normal equations by hand: 5 - 3t leaves 1, -2, 1",
            x=[5, -3],
        ),
        optimal(
            "qp-nearly-singular",
            make([-1, -1], Q=[[1, -0.9], [-0.9, 1]], lower=-INF),
            -10,
            "Q(10, 10) = (1, 1)",
            x=[10, 10],
        ),
        optimal(
            "qp-balance-of-three",
            squared_distance([1, 1, 1], [[1, 1, 1], [-1, 0, 1]], [3, 1.5], [3, 1.5]),
            0.5625,
            "weights 1 + 3x/4 move the mean of (-1, 0, 1) to 1/2",
            x=[0.25, 1, 1.75],
        ),
        optimal(
            "qp-row-and-bound",
            squared_distance([3, 3], [[1, 1]], row_upper=4, upper=[1.5, INF]),
            1.25,
            "x stops at 1.5, and the row leaves 2.5",
            x=[1.5, 2.5],
        ),
        optimal(
            "qp-constraints-without-effect",
            squared_distance([1, 2], [[1, 1], [1, -1]], [-INF, -5], [10, 5], upper=9),
            0,
            "the point itself is feasible",
            x=[1, 2],
        ),
        optimal(
            "qp-dense",
            make(-np.ones(6), Q=np.eye(6) + np.ones((6, 6)), lower=-INF),
            -3 / 7,
            "by symmetry 7x = 1",
            x=np.full(6, 1 / 7),
        ),
        optimal(
            "qp-cost-beside-squares",
            make([1, 1, -2], [[1, 1, 1]], 1, 1, Q=np.diag([1.0, 0, 0]), lower=[-INF, 0, 0]),
            -6.5,
            "3x + x^2/2 + 3y - 2 with z = 1 - x - y",
            x=[-3, 0, 4],
        ),
    ]


def _semidefinite() -> list[dict[str, object]]:
    ones = np.ones((2, 2))
    return [
        optimal("psd-rank-one", least_squares([[1, 1]], [2]), 0, "a whole edge sums to 2"),
        optimal("psd-rank-one-with-cost", make([-1, -1], Q=ones), -0.5, "s^2/2 - s of the sum s"),
        optimal(
            "psd-flat-to-a-bound",
            make([0, -1], Q=np.diag([1.0, 0]), lower=-INF, upper=[INF, 3]),
            -3,
            "the flat direction ends at 3",
            x=[0, 3],
        ),
        optimal(
            "psd-fewer-equations-than-columns",
            least_squares([[1, 2, 3, 4], [1, -1, 1, -1]], [10, 0]),
            0,
            "(1, 1, 1, 1) solves both equations",
        ),
        optimal(
            "psd-flat-on-a-line",
            make([0, 0], [[1, -1]], 1, 1, Q=ones, lower=-INF),
            0,
            "the sum may be zero",
            x=[0.5, -0.5],
        ),
        optimal(
            "psd-differences",
            make(np.zeros(6), [[1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]], [0, 1], [0, 1], Q=differences(6), lower=-INF),
            0.1,
            "equal steps between the ends",
            x=np.linspace(0, 1, 6),
        ),
    ]


def _duals() -> list[dict[str, object]]:
    two = np.eye(2)
    return [
        optimal(
            "dual-qp-equality",
            make(np.zeros(4), np.ones((1, 4)), 1, 1, Q=np.eye(4), lower=-INF),
            0.125,
            "b^2/8 has derivative b/4",
            x=np.full(4, 0.25),
            row_dual=[0.25],
        ),
        optimal(
            "dual-qp-lower-side",
            make([0, 0], [[1, 1]], row_lower=2, Q=two, lower=-INF),
            1,
            "b^2/4 has derivative b/2",
            x=[1, 1],
            row_dual=[1],
        ),
        optimal(
            "dual-qp-upper-side",
            squared_distance([3, 3], [[1, 1]], row_upper=4, lower=-INF),
            1,
            "(6 - b)^2/4 has derivative -(6 - b)/2",
            x=[2, 2],
            row_dual=[-1],
        ),
        optimal(
            "dual-qp-range",
            squared_distance([3, 3], [[1, 1]], 1, 4, lower=-INF),
            1,
            "dual-qp-upper-side with a lower side that does not bind",
            x=[2, 2],
            row_dual=[-1],
        ),
        optimal(
            "dual-qp-maximise",
            make([0, 0], [[1, 1]], row_lower=2, Q=-two, lower=-INF, maximize=True),
            -1,
            "dual-qp-lower-side negated",
            x=[1, 1],
            row_dual=[-1],
        ),
        optimal(
            "dual-qp-off-diagonal",
            make([0, 0], [[1, 1]], 1, 1, Q=[[2, 1], [1, 2]], lower=-INF),
            0.75,
            "Qx = (1.5, 1.5)",
            x=[0.5, 0.5],
            row_dual=[1.5],
        ),
        optimal(
            "dual-qp-off-diagonal-maximise",
            make([0, 0], [[1, 1]], 1, 1, Q=[[-2, -1], [-1, -2]], lower=-INF, maximize=True),
            -0.75,
            "dual-qp-off-diagonal negated",
            x=[0.5, 0.5],
            row_dual=[-1.5],
        ),
        optimal(
            "dual-qp-two-rows",
            make([0, 0, 0], [[1, 1, 0], [0, 1, 1]], 2, 2, Q=np.eye(3), lower=-INF),
            4 / 3,
            "AA'y = b by hand",
            x=[2 / 3, 4 / 3, 2 / 3],
            row_dual=[2 / 3, 2 / 3],
        ),
    ]


def _unbounded() -> list[dict[str, object]]:
    return [
        unbounded(
            "unbounded-flat-qp",
            make([0, -1], [[1, 1]], row_lower=1, Q=np.diag([1.0, 0]), lower=-INF),
            "y has a cost but no curvature",
        ),
        unbounded(
            "unbounded-flat-difference",
            make([-1, -1], Q=[[1, -1], [-1, 1]], lower=-INF),
            "along x = y there is no curvature",
        ),
    ]


def _infeasible() -> list[dict[str, object]]:
    return [
        infeasible(
            "infeasible-qp",
            make([1, 1], [[1, 1], [1, 2]], [5, -INF], [INF, 4], Q=np.eye(2)),
            "infeasible-rows with squares",
        ),
        infeasible(
            "infeasible-semidefinite-qp",
            make([-1, -1], [[1, -1], [1, -1]], [-INF, 2], [1, INF], Q=np.diag([1.0, 0])),
            "x - y <= 1 and x - y >= 2",
        ),
    ]


def _free_rows() -> list[dict[str, object]]:
    return [
        optimal(
            "free-row-qp",
            squared_distance([3, 3], [[1, 1], [2, -3]], -INF, [4, INF]),
            1,
            "the second row says nothing",
            x=[2, 2],
        )
    ]


def _ranges() -> list[dict[str, object]]:
    return [
        optimal(
            "range-qp",
            squared_distance([3, 3], [[1, 1], [1, -1]], [1, 1], [4, 2], lower=-INF),
            1.25,
            "the sum is 4 and the difference 1 at the point nearest to (3, 3)",
            x=[2.5, 1.5],
        ),
        optimal("range-qp-inside", squared_distance([1, 2], [[1, 1]], 1, 9), 0, "neither side binds", x=[1, 2]),
    ]


def _equalities() -> list[dict[str, object]]:
    return [
        optimal(
            "equalities-shortest-vector",
            make([0, 0, 0], [[1, 1, 0], [0, 1, 1]], 2, 2, Q=np.eye(3), lower=-INF),
            4 / 3,
            "x = A'(AA')^-1 b by hand",
            x=[2 / 3, 4 / 3, 2 / 3],
        ),
        optimal(
            "equalities-fix-all",
            make([0, 0], [[1, 1], [1, -1]], [3, 1], [3, 1], Q=[[2, 1], [1, 2]]),
            7,
            "one point: (2, 1)",
            x=[2, 1],
        ),
    ]


def _empty() -> list[dict[str, object]]:
    return [
        optimal(
            "empty-row-and-column-qp",
            make([-1, 2, 0], [[0, 0, 0], [1, 0, 0]], [-1, -INF], [1, 5], Q=np.diag([1.0, 0, 0]), upper=[INF, 4, 4]),
            -0.5,
            "x^2/2 - x in one column, a cost that stays at zero in another",
        )
    ]


def _fixed() -> list[dict[str, object]]:
    product = np.array([[0.0, 1], [1, 1]])
    return [
        optimal(
            "fixed-column-qp",
            make([0, 0], Q=[[2, 1], [1, 2]], lower=[2, -INF], upper=[2, INF]),
            3,
            "4 + 2y + y^2 is least at y = -1",
            x=[2, -1],
        ),
        optimal(
            "fixed-column-leaves-a-convex-qp",
            make([0, 0], Q=product, lower=[2, -INF], upper=[2, INF]),
            -2,
            "2y + y^2/2: the product with a fixed column is linear",
            x=[2, -2],
        ),
        optimal(
            "fixed-columns-leave-an-lp",
            make([1, 1], [[1, 1]], row_lower=3, Q=np.diag([1.0, 0]), lower=[1, 0], upper=[1, INF]),
            3.5,
            "1/2 + 1 + 2",
            x=[1, 2],
            problem_class=ProblemClass.LP,
        ),
    ]


def _maximised() -> list[dict[str, object]]:
    return [
        optimal(
            "maximise-concave-qp",
            make([1, 0], Q=[[-2, 1], [1, -2]], lower=-INF, maximize=True),
            1 / 3,
            "c'Q^-1 c/2 by hand",
            x=[2 / 3, 1 / 3],
        ),
        optimal(
            "maximise-concave-qp-with-a-row",
            make([3, 3], [[1, 1]], row_upper=4, Q=-np.eye(2), constant=-9, maximize=True),
            -1,
            "the point of x + y <= 4 nearest to (3, 3)",
            x=[2, 2],
        ),
    ]
