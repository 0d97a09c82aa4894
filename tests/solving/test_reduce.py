"""Reformulations and their way back: the restored answer must hold for the program that was asked about."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from causalopt_highs import HighsBackend
from planted import KINDS, Planted, best_by_enumeration, full_hessian, planted, roughened, side_by_side_programs

from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.attempts import solve_program
from causalopt.solving.options import SolveOptions
from causalopt.solving.trying.reduce import MOST_PARTS, has_crossed_bounds, join, part, parts, reduce
from causalopt.verifying.certificate import dual_bound, farkas_margin, recovered_multipliers
from causalopt.verifying.claims import Limit, Proof, Reason, Solution, Termination
from causalopt.verifying.units import GOOD_SCALE
from causalopt.verifying.verify import objective_scale, verify

HIGHS = HighsBackend()
each_kind = pytest.mark.parametrize("kind", KINDS)
each_sense = pytest.mark.parametrize("maximize", [False, True], ids=["minimise", "maximise"])


def truth(instance):
    """The planted answer as a solver would return it."""
    return answer(instance.program, instance.x, instance.row_dual)


def answer(program, x, row_dual):
    return Solution(Termination(Reason.OPTIMAL), x=x, objective=program.objective(x), row_dual=np.array(row_dual))


def exact_answer(reduced, x):
    """What a perfect solver would return for the reduced program, whose optimal point is known."""
    return answer(reduced, x, list(recovered_multipliers(reduced, x))[-1])


def assert_proves(program, solution, optimum, tolerance=1e-6):
    """The solution is feasible and optimal, and its own multipliers, not recovered ones, prove it."""
    verified, check = verify(program, solution)
    assert check.passed, check
    assert verified.termination.reason is Reason.OPTIMAL
    bound, residual = dual_bound(program, solution.x, solution.row_dual)
    scale, rounding = objective_scale(program, solution.x, optimum)
    assert abs(solution.objective - optimum) <= tolerance * scale + rounding
    assert abs(bound - optimum) <= tolerance * scale + rounding
    assert residual <= tolerance


# --- all steps together


@each_kind
@each_sense
def test_the_restored_multipliers_of_a_rough_program_prove_its_optimum(kind, maximize):
    rng = np.random.default_rng(30 + maximize)
    for _ in range(25):
        instance = roughened(rng, planted(rng, kind, maximize=maximize, repeat=1))
        program = instance.program
        reduced, restore = reduce(program)
        assert reduced.n_rows < program.n_rows - 2
        restored = restore(exact_answer(reduced, restore.start(instance.x)))
        assert restored.row_dual.shape == (program.n_rows,)
        assert_proves(program, restored, instance.optimum)
        if kind == "linear":
            assert_proves(program, restore(HIGHS.solve(reduced, SolveOptions(), "simplex")), instance.optimum)


@each_kind
@each_sense
def test_rough_programs_are_solved_by_the_whole_lane(kind, maximize):
    rng = np.random.default_rng(32 + maximize)
    for _ in range(25):
        instance = roughened(rng, planted(rng, kind, maximize=maximize, repeat=2))
        result = solve_program(instance.program, HIGHS, SolveOptions())
        assert result.is_optimal
        assert result.verification.proof is Proof.CERTIFIED
        scale, _ = objective_scale(instance.program, result.x, instance.optimum)
        assert abs(result.objective - instance.optimum) <= 2e-6 * scale


def test_an_easy_program_is_left_as_it_is():
    program = Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], 1.0, Q=np.eye(2))
    reduced, restore = reduce(program)
    for name in ("c", "A", "row_lower", "row_upper", "lower", "upper", "Q", "constant", "maximize"):
        assert getattr(reduced, name) is getattr(program, name)
    solution = Solution(Termination(Reason.OPTIMAL), x=np.array([0.5, 0.5]))
    assert restore(solution) is solution


# --- rows of one entry


@each_sense
def test_the_row_that_makes_the_bound_gets_the_multiplier(maximize):
    sign = -1.0 if maximize else 1.0
    rows = np.array([[2.0, 0.0], [-4.0, 0.0], [0.0, -0.5], [1.0, 0.0], [0.0, 1.0]])  # 2x >= 2, -4x <= -8, y >= 6 ...
    program = Program.from_arrays(
        sign * np.array([3.0, 5.0]), rows, [2.0, -np.inf, -np.inf, 0.0, 1.0], [np.inf, -8.0, -3.0, 9.0, 7.0],
        maximize=maximize,
    )  # fmt: skip
    reduced, restore = reduce(program)
    assert reduced.n_rows == 0
    assert reduced.lower.tolist() == [2.0, 6.0]
    assert reduced.upper.tolist() == [9.0, 7.0]
    solution = restore(HIGHS.solve(reduced, SolveOptions(), "simplex"))
    assert solution.row_dual == pytest.approx(sign * np.array([0.0, -0.75, -10.0, 0.0, 0.0]))
    assert_proves(program, solution, sign * 36.0)


def test_a_bound_that_binds_before_the_row_does_keeps_the_multiplier_to_itself():
    program = Program.from_arrays([1.0], [[1.0]], 1.0, np.inf, lower=2.0)
    reduced, restore = reduce(program)
    solution = restore(HIGHS.solve(reduced, SolveOptions(), "simplex"))
    assert solution.row_dual.tolist() == [0.0]
    assert_proves(program, solution, 2.0)


@pytest.mark.parametrize("cost", [1.0, -1.0])
def test_rows_that_meet_but_for_rounding_fix_their_column_and_the_right_one_is_charged(cost):
    beyond = 1.0 + 1e-13
    program = Program.from_arrays([cost], [[1.0], [1.0]], [beyond, -np.inf], [np.inf, 1.0])
    reduced, restore = reduce(program)
    assert not has_crossed_bounds(reduced)
    assert reduced.lower == reduced.upper
    solution = restore(HIGHS.solve(reduced, SolveOptions(), "simplex"))
    assert solution.row_dual == pytest.approx([1.0, 0.0] if cost > 0 else [0.0, -1.0])
    assert_proves(program, solution, cost)


def test_rows_that_contradict_each_other_are_infeasible_without_a_solver():
    program = Program.from_arrays([1.0], [[2.0], [-1.0]], [4.0, -1.0], np.inf)  # x >= 2, x <= 1
    assert has_crossed_bounds(reduce(program)[0])
    result = solve_program(program, HIGHS, SolveOptions())
    assert result.status.reason is Reason.INFEASIBLE
    assert "contradict" in result.status.raw


# --- rows that say nothing


def test_empty_and_open_rows_leave_and_come_back_with_multiplier_zero():
    A = [[0.0, 0.0], [1.0, 1.0], [3.0, -1.0], [0.0, 0.0]]
    program = Program.from_arrays([1.0, 2.0], A, [-1.0, 1.0, -np.inf, -np.inf], [0.0, np.inf, np.inf, np.inf])
    reduced, restore = reduce(program)
    assert reduced.A.toarray().tolist() == [[1.0, 1.0]]
    solution = restore(HIGHS.solve(reduced, SolveOptions(), "simplex"))
    assert solution.row_dual.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert_proves(program, solution, 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_row_that_zero_violates_makes_the_program_infeasible(kind):
    Q = {"linear": None, "diagonal": np.eye(2), "dense": np.array([[2.0, 1.0], [1.0, 2.0]])}[kind]
    program = Program.from_arrays([1.0, 2.0], [[0.0, 0.0], [1.0, 1.0]], [0.5, 1.0], Q=Q)
    assert solve_program(program, HIGHS, SolveOptions()).status.reason is Reason.INFEASIBLE


def test_a_proof_of_infeasibility_finds_its_way_back():
    A = 1e6 * np.array([[0.0, 0.0], [1.0, 1.0], [1.0, -1.0]])
    program = Program.from_arrays([1.0, 2.0], A, [-1.0, 3e6, -np.inf], np.inf, upper=1.0)
    reduced, restore = reduce(program)
    assert farkas_margin(reduced, np.array([1.0])) > 0.1
    proof = restore(Solution(Termination(Reason.INFEASIBLE), farkas=np.array([1.0]))).farkas
    assert farkas_margin(program, proof) > 0.1


# --- whole numbers


def test_the_bounds_of_integer_columns_become_whole_numbers_but_for_rounding():
    program = Program.from_arrays(
        np.zeros(4), lower=[0.2, -0.7, 3.0 + 1e-12, 0.5], upper=[1.9, np.inf, 5.0 - 1e-12, 0.7], integer=[1, 1, 1, 0]
    )
    reduced, _ = reduce(program)
    assert reduced.lower.tolist() == [1.0, 0.0, 3.0, 0.5]
    assert reduced.upper.tolist() == [1.0, np.inf, 5.0, 0.7]


@each_sense
def test_integer_programs_with_fractional_bounds_agree_with_enumeration(maximize):
    # HiGHS 1.15.1 calls one in thirty of such programs infeasible, or something else optimal.
    rng = np.random.default_rng(34 + maximize)
    infeasible = 0
    for _ in range(60):
        n = rng.integers(2, 5)
        inside = rng.integers(0, 4, n)
        A = (rng.integers(-3, 4, (3, n)) * (rng.random((3, n)) < 0.6)).astype(float)
        row_lower = A @ inside - rng.choice([0.0, 0.5, np.inf], 3)
        row_upper = A @ inside + rng.choice([0.0, 0.5, np.inf], 3)
        if rng.random() < 0.2:
            row_lower, row_upper = np.minimum(row_lower, row_upper - 1.0), row_upper - 1.0
        single = np.diag(rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-2, 2, n))
        ends = np.sort(np.diag(single) * np.array([rng.uniform(-0.5, 1.5, n), np.full(n, 3.3)]), axis=0)
        unit = 10.0 ** rng.uniform(-6, 6, 3 + n)
        program = Program.from_arrays(
            (rng.normal(size=n) * 10.0 ** rng.uniform(-6, 6)).round(9),
            unit[:, None] * np.vstack([A, single]),
            unit * np.concatenate([row_lower, ends[0]]),
            unit * np.concatenate([row_upper, ends[1]]),
            0.0,
            3.0,
            integer=True,
            maximize=bool(maximize),
        )
        best = best_by_enumeration(program)
        result = solve_program(program, HIGHS, SolveOptions())
        if best is None:
            infeasible += 1
            assert result.status.reason is Reason.INFEASIBLE
        else:
            assert result.is_optimal
            assert result.objective == pytest.approx(best, rel=1e-6)
    assert infeasible >= 3


# --- fixed columns


@each_sense
def test_fixed_columns_leave_the_quadratic_form_and_with_them_their_curvature(maximize):
    sign = -1.0 if maximize else 1.0
    Q = np.array([[2.0, 3.0, 0.5], [3.0, -5.0, 1.0], [0.5, 1.0, 1.0]])  # indefinite through the second column only
    program = Program.from_arrays(
        sign * np.array([1.0, 2.0, 3.0]), [[1.0, 1.0, 1.0]], 3.0, np.inf, [-9.0, 2.0, -9.0], [9.0, 2.0, 9.0],
        Q=sign * Q, constant=0.25, maximize=maximize,
    )  # fmt: skip
    assert program.problem_class is ProblemClass.CONVEX_QP
    reduced, restore = reduce(program)
    assert not full_hessian(reduced)[1].any()
    rng = np.random.default_rng(36)
    for x in rng.normal(size=(5, 3)):
        x[1] = 2.0
        assert reduced.objective(x) == pytest.approx(program.objective(x), rel=1e-12)
    # By Lagrange: the free columns satisfy Q_ff x + c + q_f2 * 2 = y on the row x0 + x2 = 1.
    left = np.array([[2.0, 0.5, -1.0], [0.5, 1.0, -1.0], [1.0, 1.0, 0.0]])
    x0, x2, y = np.linalg.solve(left, [-1.0 - 6.0, -3.0 - 2.0, 1.0])
    assert y > 0
    x = np.array([x0, 2.0, x2])
    assert_proves(program, restore(answer(reduced, x, [sign * y])), program.objective(x))
    assert solve_program(program, HIGHS, SolveOptions()).x == pytest.approx(x, abs=1e-5)


def test_a_quadratic_form_of_fixed_columns_alone_leaves_a_linear_program():
    program = Program.from_arrays(
        [1.0, 1.0], [[1.0, 1.0]], 3.0, lower=[2.0, 0.0], upper=[2.0, np.inf], Q=np.diag([-4.0, 0])
    )
    assert program.problem_class is ProblemClass.LP
    result = solve_program(program, HIGHS, SolveOptions())
    assert result.objective == pytest.approx(-8.0 + 3.0)
    assert result.verification.proof is Proof.CERTIFIED


# --- units


@pytest.mark.parametrize("row", [1e-6, 1e6])
@pytest.mark.parametrize("money", [1e-6, 1e6])
@each_sense
def test_rows_and_objective_come_back_in_their_own_units(row, money, maximize):
    instance = planted(np.random.default_rng(37), "dense", maximize=maximize)
    easy = instance.program
    program = easy.replace(
        A=easy.A * row,
        row_lower=easy.row_lower * row,
        row_upper=easy.row_upper * row,
        c=easy.c * money,
        Q=easy.Q * money,
        constant=easy.constant * money,
    )
    reduced, restore = reduce(program)
    largest = abs(reduced.A).max(axis=1).toarray().ravel()
    assert ((largest >= GOOD_SCALE[0]) & (largest <= GOOD_SCALE[1]))[largest > 0].all()
    assert GOOD_SCALE[0] <= max(np.abs(reduced.c).max(), np.abs(reduced.Q.data).max()) <= GOOD_SCALE[1]
    mantissa, _ = np.frexp(reduced.c / program.c)
    assert (mantissa == 0.5).all()  # a power of two: no digit is lost
    restored = restore(exact_answer(reduced, restore.start(instance.x)))
    assert restored.objective == pytest.approx(instance.optimum * money, rel=1e-9)
    assert_proves(program, restored, instance.optimum * money)
    np.testing.assert_allclose(
        program.A.T @ restored.row_dual, money * (easy.A.T @ instance.row_dual), atol=1e-6 * money
    )
    bounded = Solution(Termination(Reason.FEASIBLE), bound=reduced.constant)
    assert restore(bounded).bound == pytest.approx(program.constant)


@each_kind
@each_sense
def test_columns_come_back_in_their_own_units(kind, maximize):
    rng = np.random.default_rng(42 + maximize)
    rescaled = 0
    for i in range(20):
        instance = planted(rng, kind, maximize=maximize, boxed=True)
        easy = instance.program
        far = 20 if i % 2 else 6
        unit = 2.0 ** rng.integers(-far, far, easy.n_columns)
        per_unit = sp.diags_array(1.0 / unit)
        program = easy.replace(
            c=easy.c / unit,
            A=sp.csr_matrix(easy.A @ per_unit),
            Q=None if easy.Q is None else sp.csc_matrix(per_unit @ easy.Q @ per_unit),
            lower=easy.lower * unit,
            upper=easy.upper * unit,
        )
        x = instance.x * unit
        reduced, restore = reduce(program)
        assert restore.start(None) is None
        moved = restore.start(x)
        np.testing.assert_array_equal(restore(answer(reduced, moved, np.zeros(reduced.n_rows))).x, x)
        rescaled += restore.unit is not None
        if far == 6:  # in units farther apart HiGHS fails, or is refused, now and then
            assert_proves(program, restore(exact_answer(reduced, moved)), instance.optimum)
            result = solve_program(program, HIGHS, SolveOptions(start=x))
            assert result.is_optimal
            assert result.objective == pytest.approx(instance.optimum, abs=1e-5)
    assert rescaled >= 8


# --- crossed bounds


@pytest.mark.parametrize(
    ("change", "crossed"),
    [
        ({"lower": np.array([1.1, 0.0])}, True),
        ({"lower": np.array([1.0 + 1e-12, 0.0])}, False),
        ({"lower": np.array([np.inf, 0.0])}, True),
        ({"upper": np.array([-np.inf, 1.0])}, True),
        ({"row_lower": np.array([2.5])}, True),
        ({"row_lower": np.array([2.0 + 1e-12])}, False),
        ({"row_lower": np.array([np.inf]), "row_upper": np.array([-np.inf])}, True),
    ],
)
def test_bounds_that_cross_are_infeasible_and_bounds_that_cross_by_rounding_are_one(change, crossed):
    program = Program.from_arrays([1.0, 2.0], [[1.0, 2.0]], -np.inf, 2.0, 0.0, 1.0).replace(**change)
    assert has_crossed_bounds(program) is crossed
    result = solve_program(program, HIGHS, SolveOptions())
    assert result.status.reason is (Reason.INFEASIBLE if crossed else Reason.OPTIMAL)


def test_a_row_in_tiny_units_crosses_by_little_and_is_still_infeasible():
    program = Program.from_arrays([1.0, 1.0], [[1e-10, 1e-10]], 2e-10, 1e-10)
    assert has_crossed_bounds(program)
    assert solve_program(program, HIGHS, SolveOptions()).status.reason is Reason.INFEASIBLE


# --- parts


@pytest.mark.parametrize("kinds", [("linear", "diagonal"), ("diagonal", "dense"), ("dense", "dense")])
@each_sense
def test_parts_are_found_solved_apart_and_joined(kinds, maximize):
    rng = np.random.default_rng(38 + maximize)
    for _ in range(10):
        two = [planted(rng, kind, maximize=maximize, boxed=True) for kind in kinds]
        whole = side_by_side_programs(*two)
        program = whole.program
        pieces = parts(program)
        if program.problem_class is ProblemClass.LP:
            continue
        assert sorted(np.concatenate([c for c, _ in pieces])) == list(range(program.n_columns))
        assert sorted(np.concatenate([r for _, r in pieces])) == list(range(program.n_rows))
        assert len(pieces) >= 2
        solutions = []
        for columns, rows in pieces:
            piece = part(program, columns, rows)
            assert piece.constant == 0.0
            outside = np.setdiff1d(np.arange(program.n_columns), columns)
            assert program.A[rows][:, outside].nnz == 0
            truth_of_part = truth(Planted(piece, whole.x[columns], whole.row_dual[rows]))
            assert_proves(piece, truth_of_part, truth_of_part.objective)
            solutions.append(truth_of_part.replace(bound=truth_of_part.objective, iterations=2, seconds={"solve": 1.0}))
        joined = join(program, pieces, solutions)
        assert_proves(program, joined, whole.optimum)
        np.testing.assert_allclose(joined.x, whole.x)
        np.testing.assert_allclose(joined.row_dual, whole.row_dual)
        assert joined.bound == pytest.approx(whole.optimum)
        assert (joined.iterations, joined.seconds) == (2 * len(pieces), {"solve": float(len(pieces))})
        assert solve_program(program, HIGHS, SolveOptions()).objective == pytest.approx(whole.optimum, abs=1e-5)


def integer_part():
    program = Program.from_arrays([-1.0, -2.0], [[2.0, 3.0]], -np.inf, 4.0, 0.0, 2.0, integer=True, constant=0.5)
    return Planted(program, np.array([0.0, 1.0]), np.zeros(1))


def test_an_integer_program_with_linear_parts_and_idle_columns_is_optimal_with_a_bound():
    rng = np.random.default_rng(40)
    for _ in range(5):
        linear = planted(rng, "linear", boxed=True)
        whole = side_by_side_programs(integer_part(), linear)
        program = whole.program
        assert best_by_enumeration(integer_part().program) == integer_part().optimum == -1.5
        result = solve_program(program, HIGHS, SolveOptions())
        assert result.is_optimal
        assert result.objective == pytest.approx(linear.optimum - 1.5, abs=1e-6)
        assert result.bound == pytest.approx(linear.optimum - 1.5, abs=1e-6)


def test_columns_without_rows_form_one_part_and_rows_without_entries_go_to_the_first():
    A = np.zeros((3, 5))
    A[1, [1, 3]] = 1.0
    program = Program.from_arrays(np.ones(5), A, -np.inf, 1.0, 0.0, 1.0, integer=[0, 1, 0, 0, 0])
    pieces = [(columns.tolist(), rows.tolist()) for columns, rows in parts(program)]
    assert pieces == [([1, 3], [0, 1, 2]), ([0, 2, 4], [])]


def test_quadratic_terms_connect_columns():
    Q = np.eye(4)
    Q[0, 3] = Q[3, 0] = 0.5
    program = Program.from_arrays(np.zeros(4), [[0.0, 1.0, 1.0, 0.0]], 1.0, Q=Q)
    assert sorted(columns.tolist() for columns, _ in parts(program)) == [[0, 3], [1, 2]]


def test_linear_programs_and_programs_of_very_many_parts_stay_whole():
    assert len(parts(Program.from_arrays(np.ones(4), np.eye(4), 1.0))) == 1
    n = 2 * (MOST_PARTS + 1)
    pairs = sp.kron(sp.eye_array(n // 2), np.ones((1, 2)))
    assert len(parts(Program.from_arrays(np.ones(n), pairs, 1.0, integer=True))) == 1
    assert len(parts(Program.from_arrays(np.ones(n - 2), pairs.tocsr()[:-1, :-2], 1.0, integer=True))) == MOST_PARTS


OPTIMAL, FEASIBLE, STOPPED, UNBOUNDED, INFEASIBLE = (
    Solution(Termination(Reason.OPTIMAL), np.zeros(1), 1.0, 1.0),
    Solution(Termination(Reason.FEASIBLE, Limit.TIME), np.zeros(1), 2.0, 1.0),
    Solution(Termination(Reason.NO_SOLUTION, Limit.TIME)),
    Solution(Termination(Reason.UNBOUNDED)),
    Solution(Termination(Reason.INFEASIBLE), farkas=np.ones(1)),
)


@pytest.mark.parametrize(
    ("first", "second", "reason", "limit"),
    [
        (OPTIMAL, OPTIMAL, Reason.OPTIMAL, Limit.NONE),
        (OPTIMAL, FEASIBLE, Reason.FEASIBLE, Limit.TIME),
        (FEASIBLE, UNBOUNDED, Reason.UNBOUNDED, Limit.TIME),
        (UNBOUNDED, STOPPED, Reason.NO_SOLUTION, Limit.TIME),
        (STOPPED, INFEASIBLE, Reason.INFEASIBLE, Limit.TIME),
    ],
)
def test_the_worst_part_decides_how_the_whole_ended(first, second, reason, limit):
    program = Program.from_arrays([1.0, 1.0], np.eye(2), 0.0, constant=10.0)
    pieces = [(np.array([k]), np.array([k])) for k in range(2)]
    for solutions in ([first, second], [second, first]):
        joined = join(program, pieces, solutions)
        assert (joined.termination.reason, joined.termination.limit) == (reason, limit)
        assert (joined.x is not None) == (reason in (Reason.OPTIMAL, Reason.FEASIBLE))
        if joined.x is not None:
            assert (joined.objective, joined.bound) == (first.objective + second.objective + 10.0, 12.0)
        if reason is Reason.INFEASIBLE:
            assert sorted(joined.farkas) == [0.0, 1.0]


def test_one_impossible_part_settles_the_whole():
    whole = side_by_side_programs(integer_part(), Planted(
        Program.from_arrays([1.0, 1.0], [[2.0, 2.0]], 1.0, 1.0, 0.0, 5.0, integer=True), np.zeros(2), np.zeros(1)
    ))  # fmt: skip
    assert len(parts(whole.program)) == 2
    assert solve_program(whole.program, HIGHS, SolveOptions()).status.reason is Reason.INFEASIBLE
