"""No wrong optimum on models with other people's numbers: every answer beside an optimum in exact fractions."""

from __future__ import annotations

import warnings
from collections import Counter
from fractions import Fraction
from functools import cache

import numpy as np
import pyomo.environ as pyo
import pytest
from exact import INFEASIBLE, UNBOUNDED, optimum
from scipy.io import loadmat
from scipy.optimize import linprog
from wide_numbers import KINDS, instance, instances

import causalopt as co
from causalopt.errors import CausaloptError, UnsupportedProblem
from causalopt.solving.trying.trials import Trial
from causalopt.verifying.claims import Limit, Reason, Solution, Termination
from causalopt.verifying.verify import verify

SOLVERS = ("highs", "scip", "gurobi", "cplex", "pyomo:highs")


def verdict(made, solver, limit=20.0):
    """Return "right", "wrong", or in a word why there is no answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = co.solve(made.program, solver, time_limit=limit)
        except UnsupportedProblem:
            return "unsupported"
        except CausaloptError as error:
            return type(error).__name__
    reason = result.status.reason
    if reason is Reason.OPTIMAL:
        return "wrong" if made.wrong(result.objective) else "right"
    if reason in (Reason.INFEASIBLE, Reason.UNBOUNDED):
        return "right" if made.value == str(reason) else "wrong"
    if reason is Reason.FEASIBLE and not isinstance(made.value, str) and result.bound is not None:
        sign = -1 if made.program.maximize else 1
        if sign * (Fraction(result.bound) - made.value) > 0 and made.wrong(result.bound):
            return "wrong"  # a bound on the wrong side
    return "unproven"


def judged(solver, made):
    """Return how often each verdict was given, and what was not right."""
    counts, other = Counter(), []
    for program in made:
        word = verdict(program, solver)
        counts[word] += word != "unsupported"
        if word not in ("right", "unsupported"):
            other.append(f"{word}: {program.name}, exactly {program.value}")
    return counts, other


@cache
def a_slice():
    """The instances that every run looks at; their exact optima take longer than the solves."""
    return list(instances(40, seed=20_000))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_slice_of_the_study_has_no_wrong_answer(solver):
    counts, other = judged(solver, a_slice())
    assert counts["wrong"] == 0, other
    assert counts["right"] + counts["unproven"] >= 0.95 * counts.total(), other


@pytest.mark.slow
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_study_of_2000_has_no_wrong_answer_and_few_refusals(solver):
    counts, other = judged(solver, instances(2000, seed=0))
    print(f"\n{solver}: {dict(counts)}")
    print("\n".join(other))
    assert counts["wrong"] == 0, other
    assert counts["right"] + counts["unproven"] >= 0.99 * counts.total(), other
    assert counts["unproven"] <= 0.01 * counts.total(), other


@pytest.mark.parametrize("seed", range(12))
def test_exact_optima_are_those_of_a_second_route(seed):
    """The oracle beside SciPy where numbers are tame."""
    rng = np.random.default_rng(seed)
    n, m = 3, 2
    A, inside = rng.integers(-5, 6, (m, n)).astype(float), rng.integers(0, 4, n)
    right, c = A @ inside + rng.integers(0, 5, m), rng.integers(-9, 10, n).astype(float)
    whole = rng.random(n) < 0.5
    program = co.Program.from_arrays(c, A, row_upper=right, upper=5, integer=whole)
    answer = linprog(c, A, right, bounds=(0, 5), integrality=whole.astype(int))
    assert float(optimum(program)) == pytest.approx(answer.fun, abs=1e-9)


def test_exact_statuses_by_hand():
    assert optimum(co.Program.from_arrays([1.0], [[1.0]], 2.0, upper=1.0)) == INFEASIBLE
    assert optimum(co.Program.from_arrays([-1.0, 1e-9], [[1.0, -1.0]], 0.0)) == UNBOUNDED
    assert optimum(co.Program.from_arrays([-1.0], upper=1e30)) == UNBOUNDED
    program = co.Program.from_arrays([-6, -2], Q=[[2, 1], [1, 2]], constant=10, lower=-1e9, upper=1e9)
    assert optimum(program) == Fraction(2, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_instances_are_the_same_for_the_same_seed_and_hold_what_they_say(kind):
    one, two = instance(kind, 3), instance(kind, 3)
    assert one.name == two.name and one.value == two.value
    np.testing.assert_array_equal(one.program.upper, two.program.upper)
    sizes = np.concatenate([np.abs(i.program.upper) for i in instances(40)])
    assert (sizes[np.isfinite(sizes)] >= 1e6).any()


def makespan(box):
    """Two machines, four jobs: the best split is 82 + 55 beside 54 + 97, of 8 by hand."""
    times = [82, 54, 55, 97]
    m = pyo.ConcreteModel()
    m.C, m.y = pyo.Var(bounds=(0, box)), pyo.Var(range(4), domain=pyo.Binary)
    m.a = pyo.Constraint(expr=sum(t * m.y[j] for j, t in enumerate(times)) <= m.C)
    m.b = pyo.Constraint(expr=sum(t * (1 - m.y[j]) for j, t in enumerate(times)) <= m.C)
    m.o = pyo.Objective(expr=m.C)
    return m


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("box", [1e4, 1e6, 1e8, 1e10, 1e20])
def test_a_makespan_in_a_wide_box(solver, box):
    m = makespan(box)
    assert co.solve(m, solver).objective == pytest.approx(151) == m.C.value


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("box", [None, 1e4, 1e5, 1e8, 1e20])
def test_a_quadratic_in_a_wide_box(solver, box):
    m = pyo.ConcreteModel()
    m.x = pyo.Var([1, 2], bounds=(None if box is None else -box, box))
    m.o = pyo.Objective(expr=(m.x[1] - 3) ** 2 + (m.x[2] - 1) ** 2 + m.x[1] * m.x[2])
    assert co.solve(m, solver).objective == pytest.approx(2 / 3, abs=1e-6)
    assert (m.x[1].value, m.x[2].value) == pytest.approx((10 / 3, -2 / 3), abs=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("limit", [1e18, 1e20, 1e30])
@pytest.mark.parametrize("whole", [False, True])
def test_no_limit_as_a_number_is_none(solver, limit, whole):
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(0, limit)), pyo.Var(bounds=(0, 3), domain=pyo.Integers if whole else pyo.Reals)
    m.c = pyo.Constraint(expr=m.x - m.y <= 5)
    m.unlimited = pyo.Constraint(expr=m.x + m.y <= limit)
    m.o = pyo.Objective(expr=m.x, sense=pyo.maximize)
    result = co.solve(m, solver)
    assert result.objective == pytest.approx(8)
    said = any("2 finite bounds or right sides of 1e+20 or more were read as infinite" in w for w in result.warnings)
    assert said == (limit >= 1e20)
    assert m.x.ub == limit and pyo.value(m.unlimited.upper) == limit  # the model is as it was


def test_no_limit_as_a_number_is_none_in_models_that_do_not_compile():
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(0, 1e30)), pyo.Var(bounds=(0, 3))
    m.c = pyo.Constraint(expr=m.x - m.y**2 <= 5)
    m.d = pyo.Constraint(expr=(-1e30, m.x + m.y, 1e30))
    m.e = pyo.Constraint(expr=(-1e30, m.x - 2 * m.y, 1e3))
    m.o = pyo.Objective(expr=m.x, sense=pyo.maximize)
    assert co.solve(m, "pyomo:gurobi").objective == pytest.approx(14, rel=1e-5)
    assert m.x.ub == 1e30 and m.d.active and pyo.value(m.d.upper) == 1e30 and pyo.value(m.e.lower) == -1e30


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_asks_for_infinity_is_refused_by_name(solver):
    for make_it in (lambda m: m.x.setlb(1e25), lambda m: m.x.fix(1e25)):
        m = pyo.ConcreteModel()
        m.x = pyo.Var()
        m.o = pyo.Objective(expr=m.x)
        make_it(m)
        with pytest.raises(co.DataError, match=r"x has to be at least 1e\+25, and numbers of 1e\+20 or more"):
            co.solve(m, solver)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("box", [1e4, 1e9])
def test_benders_with_an_estimate_in_a_wide_box_ends_at_the_optimum_of_the_whole(solver, box):
    fixed, cost, demand, capacity = (
        [12, 20, 15],
        [[3, 7, 4], [6, 2, 5], [8, 4, 3], [5, 6, 9]],
        [5, 8, 6, 4],
        [14, 18, 12],
    )
    sites, places = range(3), range(4)
    sub = pyo.ConcreteModel()
    sub.y = pyo.Var(sites, bounds=(0, 1))
    sub.x, sub.s = pyo.Var(places, sites, bounds=(0, None)), pyo.Var(places, bounds=(0, None))
    sub.dual = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    sub.d = pyo.Constraint(places, rule=lambda m, i: sum(m.x[i, j] for j in sites) + m.s[i] >= demand[i])
    sub.cp = pyo.Constraint(sites, rule=lambda m, j: sum(m.x[i, j] for i in places) <= capacity[j] * m.y[j])
    sub.o = pyo.Objective(
        expr=sum(cost[i][j] * sub.x[i, j] for i in places for j in sites) + 40 * sum(sub.s[i] for i in places)
    )
    master = pyo.ConcreteModel()
    master.y, master.t = pyo.Var(sites, domain=pyo.Binary), pyo.Var(bounds=(-box, box))
    master.cuts = pyo.ConstraintList()
    master.o = pyo.Objective(expr=sum(fixed[j] * master.y[j] for j in sites) + master.t)
    best = np.inf
    for _ in range(30):
        lower = co.solve(master, solver).objective
        for j in sites:
            sub.y[j].fix(round(master.y[j].value))
        value = co.solve(sub, "highs").objective
        best = min(best, value + sum(fixed[j] * sub.y[j].value for j in sites))
        if best - lower <= 1e-6 * abs(best):
            break
        prices = [sub.dual[sub.cp[j]] * capacity[j] for j in sites]
        master.cuts.add(master.t >= value + sum(prices[j] * (master.y[j] - sub.y[j].value) for j in sites))
    assert lower == pytest.approx(107) == best


@pytest.mark.parametrize(
    ("name", "optimum"),
    [("QBEACONF", 164712.0601), ("QBORE3D", 3100.2008), ("QGROW7", -42798713.87), ("QFORPLAN", 7456631461)],
)
def test_quadratic_programs_of_maros_and_meszaros(shared_data, name, optimum):
    """Optima as published; the files write infinity as 1e20, and hold right sides that rounding left of zero."""
    data = loadmat(shared_data / "maros_meszaros" / f"{name}.mat")
    low, high = data["l"].ravel(), data["u"].ravel()
    program = co.Program.from_arrays(
        data["q"].ravel(), data["A"], low, high, -np.inf, Q=data["P"], constant=float(data["r"].item())
    )
    result = co.solve(program, "highs")
    assert result.is_optimal and result.verification.proof == "certified by causalopt"
    assert result.objective == pytest.approx(optimum, rel=1e-7)


def stopped(limit):
    program = co.Program.from_arrays([1.0], upper=9e9, integer=True)
    solution = Solution(Termination(Reason.FEASIBLE, limit), x=np.array([3.0]), objective=3.0)
    return Trial(solution, *verify(program, solution))


@pytest.mark.parametrize("limit", [Limit.TIME, Limit.NODES, Limit.MEMORY, Limit.INTERRUPT])
def test_an_attempt_that_had_half_of_the_time_leaves_the_rest_to_the_next_and_no_other_limit_does(limit):
    trial = stopped(limit)
    assert trial.is_settled(changed=True, opened=False, spread=False)
    assert trial.is_settled(changed=True, opened=True, spread=False) == (limit is not Limit.TIME)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_objective_of_which_rounding_leaves_no_digit_is_not_taken_for_its_bound(solver):
    """Values of 1e17 meet x - y = 1 to rounding, and cost 0 where the optimum is 1: no digit of that is known."""
    program = co.Program.from_arrays(
        [15.0, 1.0, -1.0],
        [[0.0, 1.0, -1.0], [3.0, 0.0, 0.0], [-1e5, 1.0, 0.0]],
        [1.0, -4.0, -np.inf],
        [1.0, np.inf, 0.0],
        [0.0, -1e17, -1e17],
        [3.0, 1e17, 1e17],
        integer=[True, False, False],
    )
    assert co.solve(program, solver).objective == 1.0
