import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalopt as co
from causalopt.algorithms import dual_newton
from causalopt.verifying.claims import Proof, Reason
from causalopt.verifying.verify import verify


def random_qp(seed, feasible=True):
    rng = np.random.default_rng(seed)
    m, r = int(rng.integers(1, 8)), int(rng.integers(10, 60))
    rows = rng.normal(size=(m + 1, r)) * 10.0 ** rng.integers(-1, 2, size=(m + 1, 1))
    rows[-1] = 1.0
    lower = rng.choice([0.0, 0.1, -0.5])
    upper = rng.choice([np.inf, 4.0])
    inside = np.clip(rng.exponential(size=r), lower, upper)
    inside *= r / inside.sum()
    inside = np.clip(inside, lower, upper)
    target = rows @ inside
    if not feasible:
        target[0] = rows[0].max() * r * (1.0 + rng.random()) + 1.0
    tolerance = np.append(rng.choice([0.0, 0.05, 0.5], size=m) * r * 0.1, 0.0)
    if not feasible:
        tolerance[0] = 0.0
    spread = rng.choice([1.0, 0.0]) or rng.uniform(0.5, 2.0, r)
    base = 1.0 if rng.random() < 0.5 else rng.uniform(0.5, 1.5, r)
    return dual_newton.SeparableQP(rows, target, tolerance, base, spread, lower, upper)


def as_program(qp):
    r = qp.rows.shape[1]
    base, spread = np.broadcast_to(qp.base, r), np.broadcast_to(qp.spread, r)
    return co.Program.from_arrays(
        -base / spread,
        qp.rows,
        qp.target - qp.tolerance,
        qp.target + qp.tolerance,
        qp.lower,
        qp.upper,
        Q=np.diag(1.0 / spread),
        constant=0.5 * float((base**2 / spread).sum()),
    )


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_agrees_with_highs_on_random_programs_and_is_certified(seed):
    qp = random_qp(seed)
    program = as_program(qp)
    solution = dual_newton.solve(qp)
    verified, check = verify(program, solution)
    assert check.passed and check.proof is Proof.CERTIFIED
    assert verified.termination.reason is Reason.OPTIMAL
    other = co.solve(program, "highs")
    assert solution.objective == pytest.approx(other.objective, rel=1e-6, abs=1e-7)
    np.testing.assert_allclose(solution.x, other.x, atol=1e-4)


@pytest.mark.parametrize("seed", [7199, 8521, 14325])
def test_exact_rows_among_loose_ones_are_no_trouble_where_the_active_set_method_goes_in_circles(seed):
    solution = dual_newton.solve(random_qp(seed))
    assert solution.termination.reason is Reason.OPTIMAL and solution.iterations < 30


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_infeasible_programs_come_with_a_certificate(seed):
    qp = random_qp(seed, feasible=False)
    if not np.isfinite(qp.upper) and qp.lower < 0:
        qp = dual_newton.SeparableQP(qp.rows, qp.target, qp.tolerance, qp.base, qp.spread, 0.0, qp.upper)
    solution = dual_newton.solve(qp)
    assert solution.termination.reason is Reason.INFEASIBLE
    _, check = verify(as_program(qp), solution)
    assert check.proof is Proof.CERTIFIED


def test_without_rows_that_bind_the_base_weights_come_back():
    rows = np.vstack([np.linspace(-1, 1, 50), np.ones(50)])
    solution = dual_newton.solve(dual_newton.SeparableQP(rows, np.array([0.0, 50.0]), np.array([5.0, 0.0])))
    np.testing.assert_array_equal(solution.x, np.ones(50))
    assert solution.objective == 0 and solution.iterations == 0


def test_a_start_from_the_answer_takes_no_step():
    qp = random_qp(11)
    first = dual_newton.solve(qp)
    again = dual_newton.solve(qp, start=first.row_dual)
    assert again.iterations == 0
    np.testing.assert_allclose(again.x, first.x, atol=1e-9)


def test_redundant_rows_with_tolerances_do_not_stall_it():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6, 400))
    rows = np.vstack([x, x[0] + x[1], x[2] - x[3], 2 * x[4], np.ones(400)])
    tolerance = np.append(np.full(9, 0.4), 0.0)
    target = np.append(np.full(9, 20.0), 400.0)
    qp = dual_newton.SeparableQP(rows, target, tolerance)
    solution = dual_newton.solve(qp)
    verified, check = verify(as_program(qp), solution)
    if solution.termination.reason is Reason.INFEASIBLE:
        assert check.proof is Proof.CERTIFIED
    else:
        assert verified.termination.reason is Reason.OPTIMAL and check.passed
        assert solution.iterations < 60
