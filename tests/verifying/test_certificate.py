"""Bounds, multipliers and proofs of infeasibility, against programs whose optimum is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from planted import KINDS, feasible_point, planted
from scipy.optimize import linprog

from causalopt.modeling.program import Program
from causalopt.verifying.certificate import dual_bound, farkas_margin, feasible_multipliers, recovered_multipliers
from causalopt.verifying.claims import Proof, Reason, Solution, Termination
from causalopt.verifying.verify import verify

SENSES = [pytest.param(False, id="minimise"), pytest.param(True, id="maximise")]
each_kind = pytest.mark.parametrize("kind", KINDS)
each_sense = pytest.mark.parametrize("maximize", SENSES)


def overshoot(program, bound, optimum):
    """By how much a bound claims more than the optimum allows: positive is a false proof."""
    return optimum - bound if program.maximize else bound - optimum


# --- bounds


@each_kind
@each_sense
def test_no_multipliers_prove_more_than_the_optimum_over_a_box(kind, maximize):
    rng = np.random.default_rng(1)
    for _ in range(60):
        instance = planted(rng, kind, maximize=maximize, boxed=True)
        program = instance.program
        for size in (1e-3, 1.0, 1e3):
            y = rng.normal(scale=size, size=program.n_rows)
            anywhere = rng.normal(scale=3.0, size=program.n_columns)
            bound, residual = dual_bound(program, anywhere, y)
            assert residual == 0.0
            assert overshoot(program, bound, instance.optimum) <= 1e-10 * (1.0 + abs(bound))


@each_kind
@each_sense
def test_with_infinite_bounds_a_bound_is_valid_or_its_residual_says_that_it_is_not(kind, maximize):
    rng = np.random.default_rng(2)
    valid = 0
    for _ in range(300):
        instance = planted(rng, kind, maximize=maximize, n=3, m=3)
        program = instance.program
        y = instance.row_dual + rng.normal(size=program.n_rows) * (rng.random(program.n_rows) < 0.3)
        bound, residual = dual_bound(program, rng.normal(size=3), y)
        assert np.isfinite(bound)
        if residual <= 1e-9:
            valid += 1
            assert overshoot(program, bound, instance.optimum) <= 1e-7 * (1.0 + abs(bound))
    assert valid >= 30


@each_kind
@each_sense
def test_optimal_multipliers_prove_exactly_the_optimum(kind, maximize):
    rng = np.random.default_rng(3)
    for _ in range(60):
        instance = planted(rng, kind, maximize=maximize, repeat=2)
        bound, residual = dual_bound(instance.program, instance.x, instance.row_dual)
        assert bound == pytest.approx(instance.optimum, abs=1e-10)
        assert residual <= 1e-12


@each_sense
def test_the_bound_of_a_diagonal_program_is_the_exact_lagrangian_minimum(maximize):
    rng = np.random.default_rng(4)
    grid = np.linspace(-1.0, 2.0, 30001)
    for _ in range(10):
        q, c, a = rng.uniform(0.0, 2.0, 3) * [1, 1, 0], rng.normal(size=3), rng.normal(size=3)
        y = rng.exponential()
        sign = -1.0 if maximize else 1.0
        program = Program.from_arrays(
            sign * c, [a], 0.3, np.inf, -1.0, 2.0, Q=sign * np.diag(q), maximize=maximize, constant=0.7
        )
        lagrangian = y * 0.3 + sum(
            (0.5 * q[j] * grid**2 + (c[j] - y * a[j]) * grid).min() for j in range(3)
        )  # fmt: skip
        bound, _ = dual_bound(program, np.full(3, 9.9), sign * np.array([y]))
        assert bound == pytest.approx(sign * lagrangian + 0.7, abs=1e-7)


def test_multipliers_that_lean_on_an_open_side_count_for_nothing():
    program = Program.from_arrays([1.0], [[1.0], [1.0], [1.0]], [-np.inf, 0.0, 1.0], [1.0, np.inf, 1.0])
    assert feasible_multipliers(program, np.array([2.0, -3.0, -4.0])).tolist() == [0.0, 0.0, -4.0]
    assert feasible_multipliers(program, np.array([-2.0, 3.0, 4.0])).tolist() == [-2.0, 3.0, 4.0]


@pytest.mark.parametrize("unit", [1e-8, 1e-4, 1.0, 1e4, 1e8])
def test_the_residual_of_an_unbounded_program_is_large_in_any_units(unit):
    program = Program.from_arrays(unit * np.array([1.0, -0.25]), lower=[0.0, 0.0])
    _, residual = dual_bound(program, np.zeros(2), np.zeros(0))
    assert 0.25 <= residual <= 1.0


def test_a_wrong_sign_on_an_open_side_is_charged_with_a_step_from_the_point():
    program = Program.from_arrays([1.0, -0.25], lower=0.0)
    assert dual_bound(program, np.array([0.0, 3.0]), np.zeros(0))[0] == pytest.approx(-0.25 * (1.0 + 3.0))
    flipped = program.replace(c=-program.c, maximize=True)
    assert dual_bound(flipped, np.array([0.0, 3.0]), np.zeros(0))[0] == pytest.approx(0.25 * (1.0 + 3.0))


# --- multipliers from x alone


def last_proof(program, x):
    return [dual_bound(program, x, y) for y in recovered_multipliers(program, x)][-1]


@each_kind
@each_sense
def test_multipliers_recovered_from_an_optimal_point_alone_prove_it(kind, maximize):
    rng = np.random.default_rng(5)
    for _ in range(25):
        instance = planted(rng, kind, maximize=maximize, repeat=3)
        bound, residual = last_proof(instance.program, instance.x)
        assert bound == pytest.approx(instance.optimum, abs=1e-7)
        assert residual <= 1e-7


def test_the_quick_way_alone_proves_most_optimal_points():
    rng = np.random.default_rng(6)
    proved = 0
    for _ in range(40):
        instance = planted(rng, "diagonal", repeat=1)
        bound, residual = dual_bound(
            instance.program, instance.x, next(recovered_multipliers(instance.program, instance.x))
        )
        proved += abs(bound - instance.optimum) <= 1e-6 and residual <= 1e-6
    assert proved >= 36


@each_sense
def test_multipliers_are_recovered_at_a_vertex_where_many_more_rows_than_columns_meet(maximize):
    rng = np.random.default_rng(7)
    directions = rng.normal(size=(40, 3))
    sign = -1.0 if maximize else 1.0
    cost = directions[:4].T @ rng.exponential(size=4)  # in the cone of the first four
    program = Program.from_arrays(
        sign * cost, directions, 0.0, np.inf, -np.inf, np.inf, maximize=maximize
    )  # the vertex is the origin, whatever the cost
    feasible = linprog(sign * program.c, A_ub=-directions, b_ub=np.zeros(40), bounds=(None, None))
    assert feasible.fun == pytest.approx(0.0, abs=1e-9)
    bound, residual = last_proof(program, np.zeros(3))
    assert bound == pytest.approx(0.0, abs=1e-8)
    assert residual <= 1e-8


@each_kind
@each_sense
def test_recovered_multipliers_leave_a_gap_at_a_point_that_is_not_optimal(kind, maximize):
    rng = np.random.default_rng(8)
    tried = 0
    for _ in range(40):
        instance = planted(rng, kind, maximize=maximize)
        program = instance.program
        vertex = feasible_point(rng, program)
        if vertex is None:
            continue
        x = 0.7 * instance.x + 0.3 * vertex
        excess = abs(program.objective(x) - instance.optimum)
        if excess < 1e-2:
            continue
        tried += 1
        for y in recovered_multipliers(program, x):
            bound, residual = dual_bound(program, x, y)
            assert abs(program.objective(x) - bound) >= 0.99 * excess or residual > 1e-4
        claim = Solution(Termination(Reason.FEASIBLE), x=x, objective=program.objective(x))
        verified, check = verify(program, claim)
        assert check.passed
        assert verified.termination.reason is Reason.FEASIBLE
    assert tried >= 15


def test_nothing_is_recovered_for_a_program_too_large_to_try(monkeypatch):
    program = Program.from_arrays([1.0, 1.0], [[1.0, 1.0]], 1.0)
    assert list(recovered_multipliers(program, np.array([1.0, 0.0])))
    monkeypatch.setattr("causalopt.verifying.certificate.RECOVERY_LIMIT", 1)
    assert not list(recovered_multipliers(program, np.array([1.0, 0.0])))


# --- infeasibility


def random_rows(rng, n=3, m=4):
    """Rows and bounds at random: about half of these programs are infeasible."""
    A = rng.normal(size=(m, n)).round(2)
    middle = rng.normal(scale=2.0, size=m)
    half = rng.exponential(0.3, m) * rng.choice([0.0, 1.0, np.inf], m, p=[0.3, 0.6, 0.1])
    free = rng.random(n) < 0.3
    lower, upper = np.where(free, -np.inf, -rng.random(n)), np.where(free, np.inf, rng.random(n))
    return Program.from_arrays(np.zeros(n), A, middle - half, middle + half, lower, upper)


def phase_one(program):
    """The least total violation of the rows, and its multipliers, by linprog."""
    m, n = program.A.shape
    A = program.A.toarray()
    low, high = np.isfinite(program.row_lower), np.isfinite(program.row_upper)
    unit = np.eye(m)
    answer = linprog(
        np.concatenate([np.zeros(n), np.ones(2 * m)]),
        A_ub=np.vstack([-np.hstack([A, unit, -unit])[low], np.hstack([A, unit, -unit])[high]]),
        b_ub=np.concatenate([-program.row_lower[low], program.row_upper[high]]),
        bounds=[*zip(program.lower, program.upper, strict=True), *[(0.0, None)] * (2 * m)],
    )
    y = np.zeros(m)
    y[low] -= answer.ineqlin.marginals[: low.sum()]
    y[high] += answer.ineqlin.marginals[low.sum() :]
    return answer.fun, y


def test_a_positive_margin_means_that_linprog_finds_no_point_either():
    rng = np.random.default_rng(9)
    proofs = 0
    for _ in range(150):
        program = random_rows(rng)
        violation, y = phase_one(program)
        candidates = [y, y + rng.normal(scale=0.05, size=len(y)), *rng.normal(size=(20, len(y)))]
        margin = max(farkas_margin(program, candidate) for candidate in candidates)
        if margin > 1e-9:
            proofs += 1
            assert violation > 1e-9
    assert proofs >= 30


def test_the_multipliers_of_the_least_violation_prove_infeasibility():
    rng = np.random.default_rng(10)
    infeasible = 0
    for _ in range(100):
        program = random_rows(rng)
        violation, y = phase_one(program)
        if violation > 1e-6:
            infeasible += 1
            assert farkas_margin(program, y) > 1e-9
            assert farkas_margin(program, -y) <= 1e-9 or program.n_rows == 1
    assert infeasible >= 30


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_margin_does_not_depend_on_units(unit):
    program = Program.from_arrays([0.0, 0.0], unit * np.array([[1.0, 1.0]]), 3.0 * unit, np.inf, 0.0, 1.0)
    assert farkas_margin(program, np.array([5.0])) == pytest.approx(1.0 / 3.0)


def test_a_column_that_can_move_without_limit_defeats_the_proof():
    program = Program.from_arrays([0.0, 0.0], [[1.0, 1e-6]], 3.0, np.inf, 0.0, [1.0, np.inf])
    assert farkas_margin(program, np.array([1.0])) == -np.inf


def test_infeasibility_is_certified_by_true_multipliers_only(monkeypatch):
    monkeypatch.setattr("causalopt.verifying.no_solution.phase_one", lambda program: None)  # which would find true ones
    program = Program.from_arrays([0.0, 0.0], [[1.0, 1.0]], 3.0, np.inf, 0.0, 1.0)
    claim = Solution(Termination(Reason.INFEASIBLE))
    good, bad, misshapen, unknown = np.array([1.0]), np.array([-1.0]), np.ones(2), np.array([np.nan])
    assert verify(program, claim.replace(farkas=good))[1].proof is Proof.CERTIFIED
    for multipliers in (None, bad, misshapen, unknown):
        assert verify(program, claim.replace(farkas=multipliers))[1].proof is Proof.CLAIMED


@each_kind
def test_infeasibility_without_multipliers_is_certified_or_refuted(kind):
    rng = np.random.default_rng(61)
    claim = Solution(Termination(Reason.INFEASIBLE))
    for _ in range(15):
        feasible = planted(rng, kind, boxed=True, repeat=1).program
        assert "a point satisfies all rows" in "; ".join(verify(feasible, claim)[1].problems)
        weights = rng.normal(size=feasible.n_columns)
        reach = float(np.maximum(weights * feasible.lower, weights * feasible.upper).sum())
        impossible = feasible.replace(
            A=sp.vstack([feasible.A, weights[None, :]], format="csr"),
            row_lower=np.append(feasible.row_lower, reach + 0.01),
            row_upper=np.append(feasible.row_upper, np.inf),
        )
        assert verify(impossible, claim)[1].proof is Proof.CERTIFIED
        whole = impossible.replace(integer=np.ones(feasible.n_columns, dtype=bool))
        assert verify(whole, claim)[1].proof is Proof.CERTIFIED  # the relaxation is enough
    parity = Program.from_arrays([1.0, 1.0], [[2.0, 4.0]], 7.0, 7.0, upper=10.0, integer=True)
    assert verify(parity, claim)[1].proof is Proof.CLAIMED  # the relaxation has points
