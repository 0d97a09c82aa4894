"""Tolerances chosen by effective sample size: against bisection with another solver, and closed forms."""

import inspect

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt.problems.balance.search import wanted_sizes


def study(seed=0, n=150, p=3, strength=1.0):
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.normal(size=(n, p)), columns=list("abcd"[:p]))
    t = (strength * x["a"] + rng.logistic(size=n) > 0.5).astype(int)
    return x, t


def size_at(x, t, tolerance, **arguments):
    """Smallest share of effective sample size, by a solver that shares no code with the search."""
    try:
        result = co.solve(co.BalanceProblem(x, t, tolerance=tolerance, **arguments), "highs")
    except (co.InfeasibleError, co.VerificationError):
        return 0.0
    sizes = [group.size for group in result.problem.groups]
    return float((result.effective_sample_size.to_numpy() / sizes).min())


def bisected(possible, low, high, steps=18):
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (low, middle) if possible(middle) else (middle, high)
    return high


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("estimand", ["ATT", "ATE"])
def test_the_tightest_tolerance_is_that_of_bisection_with_another_solver(seed, estimand):
    x, t = study(seed, strength=1.5)
    for share in (0.7, 0.95):
        found = co.tightest_tolerance(co.BalanceProblem(x, t, estimand=estimand), share, precision=1e-5)
        if found.tolerance == 0:
            assert size_at(x, t, 0.0, estimand=estimand) >= share * (1 - 1e-7)
            continue
        best = bisected(lambda d, s=share: size_at(x, t, d, estimand=estimand) >= s, 0.0, 4.0)
        assert found.tolerance == pytest.approx(best, abs=1e-4)
        low, high = found.bracket
        assert low < high == found.tolerance and high - low <= 1e-5 * high
        assert size_at(x, t, high, estimand=estimand) >= share * (1 - 1e-6)
        assert size_at(x, t, low * (1 - 1e-4), estimand=estimand) < share
        assert (found.effective_sample_size >= found.wanted * (1 - 1e-7)).all()


def test_two_units_have_a_closed_form():
    """Weights 1 + v and 1 - v on the values -1 and 1, target m: the mean is -v, and sum u^2 = 2 + 2 v^2."""
    x = pd.DataFrame({"x": [-1.0, 1.0]})
    problem = co.BalanceProblem(x, estimand="population", target={"x": 0.6}, scale="raw")
    for size in (1.9, 1.6, 1.5):
        found = co.tightest_tolerance(problem, size, precision=1e-9)
        v = np.sqrt(2 / size - 1)  # size = 2 / (1 + v^2)
        assert found.tolerance == pytest.approx(0.6 - v, abs=1e-7)
    assert co.tightest_tolerance(problem, 2 / 1.36 - 1e-9).tolerance == 0.0  # exact balance keeps so much


def test_where_exact_balance_is_out_of_reach_the_smallest_feasible_tolerance_is_found():
    x, t = study(1)
    x.loc[t == 1, "a"] += 6
    found = co.tightest_tolerance(co.BalanceProblem(x, t), 1.0001, precision=1e-4)
    with pytest.raises(co.InfeasibleError) as caught:
        co.solve(co.BalanceProblem(x, t, tolerance=found.bracket[0] * 0.999))
    assert len(caught.value.explanation)
    assert found.result.is_optimal and "infeasible" in set(found.table["status"])


def test_a_factor_on_given_tolerances_keeps_their_ratios_and_exact_ones():
    x, t = study(2, strength=1.5)
    problem = co.BalanceProblem(x, t, tolerance={"a": 0.1, "b": 0.05, "c": 0.0})
    found = co.tightest_tolerance(problem, 0.8, vary="multiplier", precision=1e-5)
    assert found.tolerances["a"] == pytest.approx(2 * found.tolerances["b"]) and found.tolerances["c"] == 0.0
    best = bisected(lambda k: size_at(x, t, {"a": 0.1 * k, "b": 0.05 * k, "c": 0.0}) >= 0.8, 0.0, 30.0, 22)
    assert found.tolerance == pytest.approx(best, abs=1e-3)
    with pytest.raises(co.InfeasibleError, match=r"exact balance of a, b, c alone leaves [\d.]+") as caught:
        co.tightest_tolerance(co.BalanceProblem(x, t, tolerance=0.0), 0.999, vary="multiplier")
    assert caught.value.explanation["dual"].iloc[0] > 0
    apart = x.assign(a=x["a"] + 9 * t)
    with pytest.raises(co.InfeasibleError, match="a 0 ->"):
        co.tightest_tolerance(co.BalanceProblem(apart, t, tolerance=0.0), 0.5, vary="multiplier")


def test_a_backend_finds_the_same_and_the_size_never_falls_as_the_tolerance_grows():
    x, t = study(3, strength=1.5)
    ours = co.tightest_tolerance(co.BalanceProblem(x, t), 0.8, precision=1e-4)
    theirs = co.tightest_tolerance(co.BalanceProblem(x, t), 0.8, precision=1e-4, solver="highs")
    assert ours.tolerance == pytest.approx(theirs.tolerance, rel=2e-4) and theirs.result.solver == "highs"
    for found in (ours, theirs):
        sizes = found.table.loc[found.table["status"] == "optimal"].iloc[:, 2]
        assert sizes.is_monotonic_increasing and found.table["tolerance"].is_monotonic_increasing


def test_the_multipliers_are_the_slope_of_the_variance():
    x, t = study(4)
    problem = co.BalanceProblem(x, t, tolerance=0.05)
    at = [co.solve(problem.with_tolerance(np.full(3, d))) for d in (0.05, 0.0501)]
    values = [float(((r._of(r.problem.groups[0]) - 1) ** 2).sum()) for r in at]
    assert at[0].multipliers()[0] == pytest.approx((values[0] - values[1]) / 0.0001, rel=0.02)
    assert at[0].multipliers(by_covariate=True).sum() == pytest.approx(at[0].multipliers()[0])


def test_it_says_what_was_found_and_that_no_outcome_was_looked_at():
    x, t = study()
    found = co.tightest_tolerance(co.BalanceProblem(x, t), 60)
    text = " ".join(found.explain().split())
    assert "No outcome was looked at" in text and f"{found.tolerance:.4g} for every covariate" in text
    assert "size of 60.0" in text and max(map(len, str(found).splitlines())) <= 80
    for function in (co.tightest_tolerance, co.tighten, co.tightening_prices):
        assert "outcome" not in inspect.signature(function).parameters
        assert "outcome is looked at" in " ".join(function.__doc__.split()) or "none is looked at" in function.__doc__
    loose = co.tightest_tolerance(co.BalanceProblem(x, t), 0.05)
    assert loose.bracket == (0.0, 0.0) and "Nothing is tighter" in loose.explain()


def test_the_result_resamples_at_its_own_tolerances():
    x, t = study(strength=1.5)
    found = co.tightest_tolerance(co.BalanceProblem(x, t, tolerance=0.5), 0.8)
    again = found.result.problem.resampled(np.arange(len(x)), np.random.default_rng(0))
    np.testing.assert_allclose(again.tolerance, found.tolerance)


@pytest.mark.parametrize(
    ("arguments", "size", "error", "message"),
    [
        ({}, 0, co.DataError, "must be a share"),
        ({}, True, co.DataError, "must be a share"),
        ({}, 1e6, co.InfeasibleError, "equal weights keep them all"),
        ({"norm": "l1"}, 0.5, co.DataError, "norm 'l1'"),
        ({"base_weights": np.linspace(1, 2, 150)}, 0.5, co.DataError, "sampling or base weights"),
        ({"estimand": "ATE", "between": 0.1}, 0.5, co.DataError, "ties the groups together"),
    ],
)
def test_what_the_proof_does_not_cover_is_refused(arguments, size, error, message):
    x, t = study()
    with pytest.raises(error, match=message):
        co.tightest_tolerance(co.BalanceProblem(x, t, **arguments), size)


@pytest.mark.parametrize(("options", "match"), [({"vary": "all"}, "Unknown vary"), ({"precision": 0.0}, "precision")])
def test_unknown_options_are_errors(options, match):
    x, t = study()
    with pytest.raises(co.OptionError, match=match):
        co.tightest_tolerance(co.BalanceProblem(x, t), 0.5, **options)


def test_groups_get_the_share_of_their_own_size():
    x, t = study()
    wanted = wanted_sizes(co.BalanceProblem(x, t, estimand="ATE").study, 0.5)
    assert wanted.to_dict() == {0: (t == 0).sum() / 2, 1: (t == 1).sum() / 2}


# ---- step by step ----


def test_each_step_halves_the_cheapest_and_costs_at_least_its_price():
    x, t = study(5, p=4, strength=1.2)
    problem = co.BalanceProblem(x, t, tolerance=0.3)
    path = co.tighten(problem, 12)
    tolerance = dict.fromkeys("abcd", 0.3)
    before = size_at(x, t, tolerance)
    assert path.loc[0, "share"] == pytest.approx(before, abs=1e-7)
    paid = 0
    for _, row in path.iloc[1:].iterrows():
        prices = co.tightening_prices(co.solve(co.BalanceProblem(x, t, tolerance=tolerance), "highs"))["share lost"]
        least = max(tolerance.values())
        assert tolerance[row["covariate"]] == least  # halved least often
        assert prices[row["covariate"]] <= prices[[n for n in tolerance if tolerance[n] == least]].min() + 1e-6
        assert row["tolerance"] == tolerance[row["covariate"]] / 2
        tolerance[row["covariate"]] /= 2
        after = size_at(x, t, tolerance)
        assert row["share"] == pytest.approx(after, abs=1e-6)
        assert row["share"] <= row["share at most"] + 1e-6 and after <= before + 1e-7
        paid += before - after > 1e-4
        before = after
    assert paid and path.attrs["tolerances"] == pytest.approx(tolerance)


def test_no_step_keeps_a_larger_share_than_the_path_said_at_most_with_several_groups():
    """Another group than that of the smallest share may be the one that loses most."""
    steps = crossed = 0
    for seed in range(8):
        x, t = study(seed, n=100, strength=1.0)
        x["c"] = np.exp(2 * x["c"])
        tolerance = dict.fromkeys("abc", 0.1)
        problem = co.BalanceProblem(x, t, tolerance=tolerance, estimand="ATE")
        path = co.tighten(problem, 4)
        for _, row in path.iloc[1:].iterrows():
            if row["status"] != "optimal":
                continue
            before = size_at(x, t, tolerance, estimand="ATE")
            lost = co.tightening_prices(co.solve(co.BalanceProblem(x, t, tolerance=tolerance, estimand="ATE")))
            lost = lost.loc[row["covariate"], "share lost"]
            tolerance[row["covariate"]] = row["tolerance"]
            after = size_at(x, t, tolerance, estimand="ATE")
            assert row["share"] == pytest.approx(after, abs=1e-6)
            assert after <= row["share at most"] + 1e-6 and row["share at most"] <= before + 1e-6
            steps += 1
            crossed += after > before - lost + 1e-6
    assert steps > 20 and crossed


def test_steps_that_cost_too_much_or_cannot_be_taken_are_not_taken():
    x, t = study(5, strength=1.2)
    path = co.tighten(co.BalanceProblem(x, t, tolerance=0.3), 40, effective_sample_size=0.6)
    assert {"too costly", "optimal"} == set(path["status"])
    assert 0.6 * (1 - 1e-6) <= size_at(x, t, path.attrs["tolerances"]) < path.loc[0, "share"]
    apart = x.assign(a=x["a"] + 5 * t)
    start = co.tightest_tolerance(co.BalanceProblem(apart, t), 1.0001).tolerances
    steps = co.tighten(co.BalanceProblem(apart, t, tolerance=start), 12)
    assert "infeasible" in set(steps["status"]) and steps.attrs["tolerances"]["a"] == start["a"]
    with pytest.raises(co.InfeasibleError):
        co.tighten(co.BalanceProblem(apart, t, tolerance=0.0))


def test_exact_tolerances_are_left_alone():
    x, t = study()
    path = co.tighten(co.BalanceProblem(x, t, tolerance=0.0))
    assert len(path) == 1 and set(path.attrs["tolerances"].values()) == {0.0}


@pytest.mark.slow
def test_a_hundred_thousand_units_take_a_few_single_solves():
    from time import perf_counter

    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(100_000, 20)))
    x.columns = [f"x{k}" for k in range(20)]
    t = (rng.random(100_000) < 1 / (1 + np.exp(-(x["x0"] + x["x1"])))).astype(int)
    problem = co.BalanceProblem(x, t)
    start = perf_counter()
    co.solve(problem)
    one = perf_counter() - start
    start = perf_counter()
    found = co.tightest_tolerance(problem, 0.6)
    assert perf_counter() - start < 25 * one and found.result.is_optimal
