"""What verification refuses, promotes and demotes; and what comes of a solver that lies."""

from __future__ import annotations

import numpy as np
import pytest
from liars import Liar, forgotten_integrality, infeasible_point, optimal_at_a_limit, worst_point, wrong_objective
from planted import KINDS, best_by_enumeration, planted

from causalopt.errors import CausaloptWarning, VerificationError
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.attempts import solve_program
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Proof, Reason, Solution, Termination, Tolerances
from causalopt.verifying.verify import verify

UNITS = [1e-6, 1e-3, 1.0, 1e3, 1e6]
SENSES = [pytest.param(False, id="minimise"), pytest.param(True, id="maximise")]
OPTIMAL, FEASIBLE = Termination(Reason.OPTIMAL), Termination(Reason.FEASIBLE)

KNAPSACK = Program.from_arrays(
    [5.0, 4.0, 3.0],
    [[2.0, 3.0, 1.0], [4.0, 1.0, 2.0], [3.0, 4.0, 2.0]],
    row_upper=[5.5, 11.0, 8.5],
    upper=3.0,
    integer=True,
    maximize=True,
)
BEST = np.array([2.0, 0.0, 1.0])
LINEAR = Program.from_arrays([1.0, 2.0, 3.0], [[1.0, 1.0, 1.0], [1.0, -1.0, 0.0]], [2.0, -np.inf], [np.inf, 1.0], 0, 4)
QUADRATIC = LINEAR.replace(Q=Program.from_arrays([0.0] * 3, Q=[[2.0, 0.5, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]).Q)
EXAMPLES = {"LP": LINEAR, "MILP": KNAPSACK, "convex QP": QUADRATIC}


def claim(program, x, termination=OPTIMAL, **more):
    x = np.asarray(x, dtype=float)
    return Solution(termination, x=x, **{"objective": program.objective(x), **more})


def one_row(row, lower=-np.inf, upper=np.inf, n=2):
    return Program.from_arrays(np.ones(n), [row], lower, upper, -np.inf, np.inf)


def refusal(program, solution, **more):
    verified, check = verify(program, solution, **more)
    assert verified.termination == solution.termination
    assert str(check).startswith("REFUSED")
    return "; ".join(check.problems)


# --- what is refused


@pytest.mark.parametrize("unit", UNITS)
def test_a_violated_row_is_refused_in_any_units(unit):
    program = one_row(unit * np.array([1.0, 1.0]), upper=2.0 * unit)
    assert "violated" in refusal(program, claim(program, [1.0, 1.0001], FEASIBLE))
    assert "violated" in refusal(
        one_row(unit * np.array([1.0, 1.0]), lower=2.0 * unit), claim(program, [1, 0.9999], FEASIBLE)
    )
    _, check = verify(program, claim(program, [1.0, 1.0 + 1e-8], FEASIBLE))
    assert check.passed
    assert check.row_violation == pytest.approx(1e-8 * unit, rel=1e-3)


@pytest.mark.parametrize("unit", UNITS)
def test_a_violated_row_with_a_bound_of_zero_is_refused_in_any_units(unit):
    program = one_row(unit * np.array([1.0, -1.0]), upper=0.0)
    assert "violated" in refusal(program, claim(program, [1.0001, 1.0], FEASIBLE))
    assert verify(program, claim(program, [1.0 + 1e-8, 1.0], FEASIBLE))[1].passed


def test_a_row_of_large_terms_is_held_to_the_size_of_its_terms():
    program = one_row([1.0, -1.0], upper=1.0)
    large = np.array([1e9 + 1.5, 1e9])
    assert verify(program, claim(program, large, FEASIBLE))[1].passed
    assert "violated" in refusal(program, claim(program, [2.5, 1.0], FEASIBLE))


def test_a_row_without_entries_is_checked_too():
    program = one_row([0.0, 0.0], lower=0.5)
    assert "violated by 0.5" in refusal(program, claim(program, [0.0, 0.0], FEASIBLE))


@pytest.mark.parametrize(("bounds", "bad", "good"), [((0.0, 1.0), -1e-4, -1e-8), ((0.0, 1e6), 1e6 + 10, 1e6 + 0.1)])
def test_a_violated_bound_is_refused_relative_to_its_size(bounds, bad, good):
    program = Program.from_arrays([1.0], lower=bounds[0], upper=bounds[1])
    assert "violated" in refusal(program, claim(program, [bad], FEASIBLE))
    assert verify(program, claim(program, [good], FEASIBLE))[1].passed


def test_a_fraction_is_refused_where_a_whole_number_is_due_and_only_there():
    program = KNAPSACK.replace(integer=np.array([True, False, False]))
    assert "0.25 away from a whole number" in refusal(program, claim(program, [1.25, 0.0, 0.0], FEASIBLE))
    assert verify(program, claim(program, [1.0, 0.25, 0.25], FEASIBLE))[1].passed
    assert verify(program, claim(program, [1.000001, 0.25, 0.25], FEASIBLE))[1].passed


@pytest.mark.parametrize("unit", UNITS)
def test_a_wrong_objective_is_refused_in_any_units(unit):
    program = LINEAR.replace(c=unit * LINEAR.c)
    x = np.array([1.5, 0.5, 0.0])
    assert "claimed objective" in refusal(program, claim(program, x, FEASIBLE, objective=2.5001 * unit))
    assert "claimed objective" in refusal(program, claim(program, x, FEASIBLE, objective=np.nan))
    assert verify(program, claim(program, x, FEASIBLE, objective=2.5000001 * unit))[1].passed
    assert verify(program, claim(program, x, FEASIBLE, objective=None))[1].objective == pytest.approx(2.5 * unit)


@pytest.mark.parametrize("maximize", SENSES)
def test_a_bound_on_the_wrong_side_of_the_objective_is_refused(maximize):
    program = KNAPSACK.replace(maximize=maximize)
    wrong, right = (9.9, 10.1) if maximize else (10.1, 9.9)
    x = [2.0, 0.0, 0.0]
    assert "wrong side" in refusal(program, claim(program, x, FEASIBLE, bound=wrong))
    _, check = verify(program, claim(program, x, FEASIBLE, bound=right))
    assert check.passed
    assert (check.bound, check.gap, check.proof) == (right, pytest.approx(0.01), Proof.CLAIMED)


@pytest.mark.parametrize("bound", [None, np.nan, np.inf, -np.inf])
def test_a_bound_that_says_nothing_is_no_bound(bound):
    verified, check = verify(KNAPSACK, claim(KNAPSACK, BEST, bound=bound))
    assert (check.bound, check.gap, check.proof) == (None, None, Proof.NONE)
    assert verified.termination.reason is Reason.FEASIBLE


@pytest.mark.parametrize("termination", [OPTIMAL, FEASIBLE])
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (None, "its values are missing"),
        (np.array([np.nan, 0.0, 0.0]), "some of its values are not finite"),
        (np.array([np.inf, 0.0, 0.0]), "some of its values are not finite"),
        *(
            (x, f"its values have shape {x.shape}, where the program has 3 columns")
            for x in (np.zeros(2), np.zeros(4), np.zeros((3, 1)), np.empty(0), np.array(0.0))
        ),
    ],
)
def test_a_solution_that_is_missing_misshapen_or_not_finite_is_refused(x, words, termination):
    for program in EXAMPLES.values():
        assert words in refusal(program, Solution(termination, x=x, objective=0.0))


def test_every_false_claim_is_named():
    problems = refusal(KNAPSACK, claim(KNAPSACK, [2.5, 1.0, 1.0], objective=99.0, bound=5.0))
    assert problems.count(";") == 3
    for words in ("violated", "whole number", "claimed objective", "wrong side"):
        assert words in problems


def test_tolerances_can_be_chosen():
    program = one_row([1.0, 1.0], upper=2.0)
    x = [1.0, 1.0 + 1e-4]
    assert not verify(program, claim(program, x, FEASIBLE))[1].passed
    assert verify(program, claim(program, x, FEASIBLE), tolerances=Tolerances(feasibility=1e-3))[1].passed


# --- what is promoted, demoted, or refused for want of proof


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("maximize", SENSES)
def test_an_optimal_point_that_was_only_called_feasible_is_promoted_with_a_proof(kind, maximize):
    rng = np.random.default_rng(20)
    for _ in range(20):
        instance = planted(rng, kind, maximize=maximize, repeat=1)
        stopped = Termination(Reason.FEASIBLE, Limit.TIME, "Time limit reached")
        for duals in (None, instance.row_dual):
            solution = claim(instance.program, instance.x, stopped, row_dual=duals)
            verified, check = verify(instance.program, solution)
            assert verified.termination == Termination(Reason.OPTIMAL, Limit.TIME, "Time limit reached")
            assert check.proof is Proof.CERTIFIED
            assert check.bound == pytest.approx(instance.optimum, abs=2e-6)
            assert verified.row_dual is not None


def test_an_integer_program_is_never_promoted():
    verified, check = verify(KNAPSACK, claim(KNAPSACK, BEST, FEASIBLE, bound=13.0))
    assert check.gap == 0.0
    assert verified.termination.reason is Reason.FEASIBLE


def test_a_nonconvex_program_is_never_promoted():
    program = Program.from_arrays([0.0, 0.0], lower=-1.0, upper=1.0, Q=[[0.0, 1.0], [1.0, 0.0]])
    assert program.problem_class is ProblemClass.NONCONVEX_QP
    verified, check = verify(program, claim(program, [0.0, 0.0], FEASIBLE))  # stationary, but -1 is possible
    assert (verified.termination.reason, check.proof) == (Reason.FEASIBLE, Proof.NONE)


@pytest.mark.parametrize(("gap", "reason"), [(1e-6, Reason.FEASIBLE), (0.01, Reason.FEASIBLE), (0.1, Reason.OPTIMAL)])
def test_an_integer_program_is_optimal_only_within_the_gap_asked_for(gap, reason):
    verified, check = verify(KNAPSACK, claim(KNAPSACK, BEST, bound=13.5), gap=gap)
    assert check.passed
    assert verified.termination.reason is reason


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimality_that_multipliers_contradict_is_refused(kind):
    rng = np.random.default_rng(21)
    for _ in range(10):
        instance = planted(rng, kind, boxed=True, m=0)
        x = worst_point(instance.program)
        if abs(instance.program.objective(x) - instance.optimum) > 1e-3:
            assert "optimal was claimed" in refusal(instance.program, claim(instance.program, x))
            honest = claim(instance.program, x, FEASIBLE)
            assert verify(instance.program, honest)[0].termination.reason is Reason.FEASIBLE


def test_multipliers_that_prove_nothing_are_replaced_by_ones_that_do():
    instance = planted(np.random.default_rng(22), "dense", repeat=1)
    m = instance.program.n_rows
    bad_ones = [np.full(m, 7.0), -instance.row_dual, np.full(m, np.nan), np.zeros(m + 1), np.zeros(0)]
    for bad in bad_ones:
        verified, check = verify(instance.program, claim(instance.program, instance.x, row_dual=bad))
        assert check.passed
        assert verified.termination.reason is Reason.OPTIMAL
        assert verified.row_dual.shape == (m,)
        stationarity = instance.program.gradient(instance.x) - instance.program.A.T @ verified.row_dual
        inside = (instance.x > instance.program.lower + 1e-3) & (instance.x < instance.program.upper - 1e-3)
        assert np.abs(stationarity[inside]).max(initial=0.0) <= 1e-6


def test_a_wide_gap_does_not_excuse_multipliers_that_prove_nothing():
    unbounded = Program.from_arrays([1.0, -0.4], lower=[1.0, 0.0])
    assert "dual residual" in refusal(unbounded, claim(unbounded, [1.0, 0.0]), gap=0.5)


def test_a_solvers_bound_stays_where_it_says_more_than_ours():
    x = np.array([4.0, 4.0, 0.0])  # the tangent there is far below the parabola
    optimum = solve_program(QUADRATIC, Liar(lambda program, truth: truth), SolveOptions()).objective
    _, check = verify(QUADRATIC, claim(QUADRATIC, x, FEASIBLE, bound=optimum))
    assert (check.bound, check.proof) == (optimum, Proof.CLAIMED)
    _, check = verify(QUADRATIC, claim(QUADRATIC, x, FEASIBLE, bound=-1000.0))
    assert -1000.0 < check.bound < optimum - 1.0
    assert check.proof is Proof.CERTIFIED


@pytest.mark.parametrize(
    ("reason", "proof"),
    [
        (Reason.UNBOUNDED, Proof.CLAIMED),
        (Reason.NO_SOLUTION, Proof.NONE),
        (Reason.ERROR, Proof.NONE),
    ],
)
def test_without_a_solution_the_check_says_who_vouches_for_the_status(reason, proof):
    program = LINEAR.replace(lower=np.full(3, -np.inf), integer=np.array([True, False, False]))
    verified, check = verify(program, Solution(Termination(reason)))
    assert (check.proof, check.passed, verified.termination.reason) == (proof, True, reason)
    assert str(check) == f"no solution to check; the status is {proof}"


UNBOUNDED = Solution(Termination(Reason.UNBOUNDED))
INF = np.inf


@pytest.mark.parametrize(
    ("c", "lower", "upper", "Q", "maximize"),
    [
        pytest.param([1.0, -1.0], [0.0, -INF], [INF, 0.0], None, False, id="the sides that improve"),
        pytest.param([1.0, -1.0], [-INF, 0.0], [0.0, INF], None, True, id="the other sides, maximised"),
        pytest.param([0.0, 1.0], [-INF, 0.0], [INF, INF], None, False, id="a free column without cost"),
        pytest.param([0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [[0.0, 1.0], [1.0, 0.0]], False, id="quadratic in a box"),
        pytest.param([1.0, 0.0], [0.0, -INF], [1.0, INF], [[2.0, 0.0], [0.0, 0.0]], True, id="quadratic in part"),
    ],
)
def test_a_claim_of_unbounded_is_refused_where_bounds_of_columns_refute_it(c, lower, upper, Q, maximize):
    program = Program.from_arrays(c, [[1.0, 1.0]], -INF, INF, lower, upper, Q=Q, maximize=maximize)
    assert "unbounded was claimed" in refusal(program, UNBOUNDED)
    for column in np.flatnonzero(program.c if Q is None else program.gradient(np.ones(2))):
        freed = program.replace(lower=np.where(np.arange(2) == column, -INF, program.lower))
        freed = freed.replace(upper=np.where(np.arange(2) == column, INF, freed.upper))
        assert verify(freed, UNBOUNDED)[1].proof is (Proof.CERTIFIED if Q is None else Proof.CLAIMED)


@pytest.mark.parametrize("price", [1.0, 1e-3])
@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_a_claim_of_unbounded_is_proven_by_a_point_and_a_direction_or_refuted_where_there_is_none(price, unit):
    rows = np.array([[1.0, -1.0], [1.0, 0.0]]) * unit
    program = Program.from_arrays([-price * unit, unit], rows, [-INF, 1.0], [4.0, INF])  # down x and y together
    assert "no direction improves" in refusal(program, UNBOUNDED)
    assert verify(program.replace(c=np.array([-unit, (1 - price) * unit])), UNBOUNDED)[1].proof is Proof.CERTIFIED
    nowhere = program.replace(c=np.array([-unit, 0.0]), row_lower=np.array([-INF, 1.0]), upper=np.full(2, 0.5 / unit))
    assert not verify(nowhere, UNBOUNDED)[1].passed


def test_a_bound_that_solvers_take_for_infinite_does_not_refute_a_claim_of_unbounded():
    assert verify(Program.from_arrays([-1.0], upper=1e20), UNBOUNDED)[1].passed
    assert not verify(Program.from_arrays([-1.0], upper=1e19), UNBOUNDED)[1].passed


# --- liars

LIES = {"wrong objective": wrong_objective, "infeasible point": infeasible_point, "at a limit": optimal_at_a_limit}
CAUGHT = [(example, lie) for example in EXAMPLES for lie in LIES if (example, lie) != ("MILP", "at a limit")]


def test_the_examples_are_solved_where_nobody_lies():
    for name, program in EXAMPLES.items():
        result = solve_program(program, Liar(lambda program, truth: truth), SolveOptions())
        assert program.problem_class == name
        assert result.is_optimal
    assert best_by_enumeration(KNAPSACK) == KNAPSACK.objective(BEST) == 13.0


@pytest.mark.parametrize(("example", "lie"), CAUGHT)
def test_a_liar_is_caught(example, lie):
    with pytest.raises(VerificationError, match="recomputed from the data") as caught:
        solve_program(EXAMPLES[example], Liar(LIES[lie]), SolveOptions())
    assert caught.value.verification.problems
    assert "optimal" in caught.value.claim


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_solver_that_calls_a_program_in_a_box_unbounded_is_caught(example):
    class SaysUnbounded(Liar):
        def solve(self, program, options, method=""):
            return UNBOUNDED

    with pytest.raises(VerificationError, match="unbounded was claimed"):
        solve_program(EXAMPLES[example], SaysUnbounded(None), SolveOptions())


def test_a_solver_that_forgets_integrality_is_caught():
    with pytest.raises(VerificationError, match="whole number"):
        solve_program(KNAPSACK, Liar(forgotten_integrality), SolveOptions())


def test_an_integer_optimum_claimed_at_a_limit_is_reported_as_what_its_honest_bound_allows():
    with pytest.warns(CausaloptWarning, match="stopped at its time limit with a gap of"):
        result = solve_program(KNAPSACK, Liar(optimal_at_a_limit), SolveOptions())
    assert (result.status.reason, result.status.limit) == (Reason.FEASIBLE, Limit.TIME)
    assert result.objective == 0.0
    assert result.bound == 13.0
    assert result.gap == pytest.approx(13.0)


def test_a_lie_about_the_linear_part_of_an_integer_program_is_not_called_optimal():
    apart = np.zeros((1, 3))
    program = Program.from_arrays(
        np.concatenate([KNAPSACK.c, LINEAR.c]),
        np.vstack([np.hstack([KNAPSACK.A.toarray(), np.zeros((3, 3))]), np.hstack([apart, [[1.0, 1.0, 1.0]]])]),
        row_upper=[5.5, 11.0, 8.5, 6.0],
        upper=4.0,
        integer=[True] * 3 + [False] * 3,
        maximize=True,
    )

    def lie(part, truth):
        return truth if part.integer.any() else optimal_at_a_limit(part, truth)

    assert solve_program(program, Liar(lambda part, truth: truth), SolveOptions()).is_optimal
    with pytest.warns(CausaloptWarning, match="time limit"):
        result = solve_program(program, Liar(lie), SolveOptions())
    assert result.status.reason is Reason.FEASIBLE
    assert result.objective == pytest.approx(13.0)
    assert result.bound == pytest.approx(13.0 + 4 * 3.0 + 2 * 2.0)
