import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

import causalopt as co
from causalopt.problems.synthetic_control import active_set
from causalopt.problems.synthetic_control.active_set import LeastSquares


def random_problem(seed):
    """Problems of every kind: short and long, with a sum, linear costs, ridge, dependent and repeated columns."""
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(1, 12)), int(rng.integers(1, 15))
    matrix = rng.normal(size=(m, n)) * 10.0 ** rng.integers(-2, 3)
    if n > 3 and rng.random() < 0.4:
        matrix[:, 1] = matrix[:, 0]
        matrix[:, 2] = 0.5 * matrix[:, 0] + 0.5 * matrix[:, 3]
    if rng.random() < 0.3:
        matrix = matrix.round(0)
    scale = float(np.abs(matrix).max()) or 1.0
    target = rng.normal(size=m) * scale
    linear = np.zeros(n) if rng.random() < 0.4 else rng.normal(size=n) * scale**2
    row = np.ones(n) if rng.random() < 0.6 else None
    if row is None:
        linear = np.abs(linear)  # else it may have no minimum
    problem = LeastSquares(matrix, target, linear, row=row)
    return problem.with_ridge(scale**2 * rng.random()) if rng.random() < 0.3 else problem


def largest_violation(problem, x):
    """How far x is from the optimality conditions, relative to the terms that they are sums of."""
    gradient = problem.matrix.T @ (problem.matrix @ x - problem.target) + problem.linear
    size = np.abs(problem.matrix).T @ (np.abs(problem.matrix) @ np.abs(x) + np.abs(problem.target))
    size = float((size + np.abs(problem.linear)).max()) or 1.0
    multiplier = 0.0
    if problem.row is not None:
        assert problem.row @ x == pytest.approx(problem.total, rel=1e-12)
        multiplier = float(gradient @ x) / problem.total
    reduced = gradient - multiplier * (problem.row if problem.row is not None else 0.0)
    assert x.min() >= 0
    return max(-float(reduced.min()), float(np.abs(reduced[x > 0]).max(initial=0.0))) / size


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_optimality_conditions_hold_to_rounding(seed):
    problem = random_problem(seed)
    found = active_set.solve(problem)
    assert found.optimal and found.ray is None
    assert largest_violation(problem, found.x) < 1e-11


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_solver_finds_less(seed):
    problem = random_problem(seed)
    found = active_set.solve(problem)
    size = float(np.abs(problem.matrix).max()) ** 2 or 1.0
    program = co.Program.from_arrays(
        (problem.linear - problem.matrix.T @ problem.target) / size,
        None if problem.row is None else problem.row[None, :],
        problem.total,
        problem.total,
        Q=problem.matrix.T @ problem.matrix / size,
        constant=0.5 * float(problem.target @ problem.target) / size,
        convex=True,
    )
    other = co.solve(program, "highs")
    assert problem.value(found.x) / size <= other.objective + 1e-7 * max(1.0, abs(other.objective))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_any_start_ends_at_the_same_value(seed):
    problem = random_problem(seed)
    rng = np.random.default_rng(seed)
    cold = active_set.solve(problem)
    value = problem.value(cold.x)
    for start in (rng.random(len(cold.x)), cold.x, -np.ones(len(cold.x))):
        warm = active_set.solve(problem, start=start)
        assert warm.optimal
        assert problem.value(warm.x) == pytest.approx(
            value, rel=1e-9, abs=1e-11 * float(problem.target @ problem.target)
        )


def test_agrees_with_the_compiled_nonnegative_least_squares():
    rng = np.random.default_rng(5)
    matrix, target = rng.normal(size=(30, 20)), rng.normal(size=30)
    expected, norm = nnls(matrix, target)
    problem = LeastSquares(matrix, target, np.zeros(20))
    found = active_set.solve(problem)
    np.testing.assert_allclose(found.x, expected, atol=1e-12)
    assert np.sqrt(2 * problem.value(found.x)) == pytest.approx(norm, rel=1e-13)


def test_a_start_from_the_answer_takes_one_solve():
    rng = np.random.default_rng(6)
    problem = LeastSquares(rng.normal(size=(30, 20)), rng.normal(size=30), np.zeros(20), row=np.ones(20))
    first = active_set.solve(problem)
    again = active_set.solve(problem, start=first.x)
    assert first.iterations > 3 and again.iterations == 1
    np.testing.assert_allclose(again.x, first.x, atol=1e-14)


def test_near_dependent_columns_do_not_square_the_condition_number():
    """A polynomial basis of condition 1e9: normal equations would lose all digits of the residual's gradient."""
    t = np.linspace(0, 1, 60)
    matrix = np.vander(t, 12, increasing=True)
    truth = np.array([1, 0, 2, 0, 0, 3, 0, 0, 1, 0, 0, 2.0])
    assert np.linalg.cond(matrix) > 1e8
    found = active_set.solve(LeastSquares(matrix, matrix @ truth, np.zeros(12)))
    np.testing.assert_allclose(matrix @ found.x, matrix @ truth, atol=1e-13)
    np.testing.assert_allclose(found.x, truth, atol=1e-6)


def test_of_two_equal_columns_the_cheaper_gets_the_weight():
    column = np.array([1.0, 2.0, -1.0])
    problem = LeastSquares(np.column_stack([column, column]), column, np.array([0.2, 0.1]))
    found = active_set.solve(problem)
    assert found.optimal and found.x[0] == 0
    assert found.x[1] == pytest.approx(1 - 0.1 / 6)


def test_signed_rows_split_weights_that_sum_to_one():
    rng = np.random.default_rng(8)
    y = rng.normal(size=(10, 4))
    target = 2 * y[:, 0] - y[:, 1] + 0.1 * rng.normal(size=10)
    penalty = 0.7
    problem = LeastSquares(
        np.hstack([y, -y]), target, np.full(8, penalty), row=np.array([1.0] * 4 + [-1.0] * 4)
    ).with_ridge(1e-3)
    found = active_set.solve(problem)
    w = found.x[:4] - found.x[4:]
    assert found.optimal and w.sum() == pytest.approx(1, abs=1e-12) and w.min() < 0
    slope = y.T @ (y @ w - target) + 1e-3 * w + penalty * np.sign(w)
    assert np.ptp(slope[w != 0]) < 1e-12


def test_a_direction_without_end_is_returned():
    problem = LeastSquares(np.array([[1.0, -1.0]]), np.zeros(1), np.array([-1.0, 0.0]))
    found = active_set.solve(problem)
    assert not found.optimal and found.ray is not None
    assert found.ray.min() >= 0 and problem.matrix @ found.ray == pytest.approx(0) and problem.linear @ found.ray < 0
    free = active_set.solve(
        LeastSquares(np.array([[1.0, -1.0]]), np.zeros(1), np.array([-1.0, 0.0]), nonnegative=False)
    )
    assert free.ray is not None and np.array([-1.0, 0.0]) @ free.ray < 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), fixed_sum=st.booleans())
def test_without_signs_it_is_the_shortest_least_squares_solution(seed, fixed_sum):
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(2, 8)), int(rng.integers(2, 8))
    matrix, target = rng.normal(size=(m, n)), rng.normal(size=m)
    row = np.ones(n) if fixed_sum else None
    found = active_set.solve(LeastSquares(matrix, target, np.zeros(n), row=row, nonnegative=False))
    if fixed_sum:  # the optimality conditions as one linear system
        system = np.block([[matrix.T @ matrix, np.ones((n, 1))], [np.ones((1, n)), np.zeros((1, 1))]])
        expected = np.linalg.lstsq(system, np.append(matrix.T @ target, 1.0), rcond=1e-12)[0][:n]
        np.testing.assert_allclose(matrix @ found.x, matrix @ expected, atol=1e-7)
        assert found.x.sum() == pytest.approx(1)
    else:
        np.testing.assert_allclose(found.x, np.linalg.lstsq(matrix, target, rcond=1e-12)[0], atol=1e-9)


def test_active_columns_are_those_of_some_solution():
    y = np.array([[0.0, 0.0, 2.0, 5.0], [1.0, 1.0, 1.0, 5.0]])
    problem = LeastSquares(y, np.array([1.0, 0.5]), np.zeros(4), row=np.ones(4))
    found = active_set.solve(problem)
    assert np.count_nonzero(found.x) == 2  # a vertex: one of the two equal columns
    assert found.active.tolist() == [0, 1, 2]
