"""What explanations claim in words is true, by enumeration and by following their advice."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from match_cases import extremes, matchings

import causalopt as co
from causalopt.problems.robust.z.curve import curve
from causalopt.problems.robust.z.result import p_value
from causalopt.solving.words import rounded_down, rounded_up
from causalopt.verifying.claims import Proof


def flat(text):
    return re.sub(r"\s+", " ", text)


# ---- robust tests ----


def test_whatever_the_pairs_is_said_only_where_it_is_proven_and_then_holds_for_every_matching():
    said, unproven, misled = 0, 0, 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        treated, control = rng.integers(1, 9, 5), rng.integers(-2, 7, 5)
        allowed = rng.random((5, 5)) < 0.5
        best = extremes(treated, control, allowed)
        if 3 not in best:
            continue
        p_low, p_high = p_value(best[3][1]), p_value(best[3][0])
        truth = "rejects" if p_high <= 0.05 else "does not reject" if p_low > 0.05 else "depends"
        problem = co.RobustZProblem(treated, control, allowed, pairs=3)
        for solver in ("parametric", "greedy"):
            result = co.solve(problem, solver)
            text = flat(result.explain())
            if "Whatever the pairs" in text:
                assert f"Whatever the pairs, the test {truth} 'no effect'" in text
                said += 1
            elif "whatever the pairs is not proven" in text:
                assert not result.verdicts().loc["absolute-robust", "proven"]
                unproven += 1
                misled += truth == "depends"
            else:
                assert truth == "depends" and "depends on the pairing" in text
    assert said and unproven and misled  # greedy alone would have said what is false


def test_claims_on_all_pairs_are_called_claims():
    result = co.solve(co.RobustMcNemarProblem([1, 1, 0, 1], [0, 0, 1, 0], np.ones((4, 4)), pairs=3))
    assert "Whatever the pairs" in flat(result.explain())
    for proof, words in ((Proof.CLAIMED, "claimed by the solver"), (Proof.NONE, "not proven")):
        check = dataclasses.replace(result.verification, proof=proof)
        text = flat(result.replace(verification=check).explain())
        assert "Whatever the pairs" not in text and f"whatever the pairs is {words}" in text
    result = co.solve(co.RobustZProblem([9.0, 8, 9, 7], [1.0, 2, 0, 1], np.ones((4, 4)), pairs=3), "parametric")
    assert "Whatever the pairs" in flat(result.explain())
    text = flat(result.replace(maximum=dataclasses.replace(result.maximum, proof=Proof.CLAIMED)).explain())
    assert "Whatever the pairs" not in text and "whatever the pairs is claimed by the solver" in text
    side = dataclasses.replace(result.minimum, proof=Proof.NONE, bound=-np.inf)
    assert "whatever the pairs is not proven" in flat(result.replace(minimum=side).explain())


def test_a_curve_that_is_not_exact_speaks_of_the_pairings_found():
    problem = co.RobustZProblem([9.0, 8, 9, 7], [1.0, 2, 0, 1], np.ones((4, 4)), pairs=2)
    exact, greedy = (flat(curve(problem, solver=name).explain()) for name in ("parametric", "greedy"))
    assert "every pairing rejects" in exact and "All extremes are exact" in exact
    assert "every pairing found rejects" in greedy and "every pairing rejects" not in greedy


# ---- assignments ----


def best_total(cost, n, maximize):
    """The best total of n pairs by enumeration; None where there are no n pairs."""
    totals = [sum(cost[i, j] for i, j in pairs) for pairs in matchings(np.isfinite(cost)) if len(pairs) == n]
    return (max if maximize else min)(totals) if totals else None


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("solver", ["hungarian", "highs"])
def test_what_is_said_of_prices_of_an_assignment_is_true(solver, maximize):
    strict = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        cost = rng.integers(-5, 20, (4, 5)) + rng.choice([0.0, 1 / 3, 1e-5], (4, 5))
        cost[rng.random((4, 5)) < 0.2] = -np.inf if maximize else np.inf
        n = int(rng.integers(1, 4))
        if best_total(cost, n, maximize) is None:
            continue
        result = co.solve(co.AssignmentProblem(cost, cardinality=n, maximize=maximize), solver)
        text = flat(result.explain())
        row, column, count = result.duals
        gap = cost - row.to_numpy()[:, None] - column.to_numpy()[None, :] - count
        gap = np.where(np.isfinite(gap), -gap if maximize else gap, 0.0)
        assert f"no allowed pair costs {'more' if maximize else 'less'} than" in text and gap.min() > -1e-6
        for _, pair in result.pairs.iterrows():
            assert row[pair.iloc[0]] + column[pair.iloc[1]] + count == pytest.approx(pair["cost"], abs=1e-6)
        word = "most" if maximize else "least"
        told = float(re.search(rf"One more pair, where there is one, adds at {word} (\S+) to", text)[1])
        more = best_total(cost, n + 1, maximize)
        if more is not None:
            change = more - best_total(cost, n, maximize)
            assert (change <= told + 1e-7) if maximize else (change >= told - 1e-7)
            strict += abs(change - told) > 0.01
    assert strict  # it is a bound, not the change


def test_without_a_number_of_pairs_prices_are_those_of_units_alone():
    cost = np.random.default_rng(1).integers(1, 9, (3, 4)).astype(float)
    text = flat(co.solve(co.AssignmentProblem(cost)).explain())
    assert "no allowed pair costs less than the prices of its two units together" in text
    assert "would change" not in text and "One more" not in text


def test_numbers_are_rounded_to_the_side_on_which_they_hold():
    rng = np.random.default_rng(0)
    for value in np.concatenate([rng.normal(size=300) * 10.0 ** rng.integers(-8, 9, 300), [0.0, 1.0, 999.96, -999.96]]):
        for digits in (2, 3, 4):
            up, down = float(rounded_up(value, digits)), float(rounded_down(value, digits))
            unit = 10.0 ** (np.floor(np.log10(abs(value))) - digits + 1) if value else 0.0
            noise = 1e-9 * abs(value)
            assert value - noise <= up <= value + 1.001 * unit and value - 1.001 * unit <= down <= value + noise
            assert f"{up:.{digits}g}" == rounded_up(value, digits)
    assert rounded_up(0.1 + 0.2, 2) == "0.3" and rounded_up(np.inf, 3) == "inf" and rounded_down(0.0, 3) == "0"


# ---- what would do ----


def refusal(problem, solver):
    try:
        co.solve(problem, solver)
    except co.InfeasibleError as error:
        return error
    return None


@pytest.mark.parametrize("solver", ["dual-newton", "highs"])
@pytest.mark.parametrize("estimand", ["ATT", "ATE"])
def test_tolerances_and_bounds_that_are_said_to_work_work_as_printed_and_as_in_the_table(solver, estimand):
    followed = {"printed": 0, "jointly": 0, "alone": 0, "upper": 0, "lower": 0}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = pd.DataFrame(rng.normal(size=(60, 2)) * [1.0, 300.0], columns=["a", "b"])
        t = (x["a"] + rng.choice([0.0, 1.0]) * rng.normal(size=60) > 0.3).astype(int)
        given = {
            "tolerance": {"a": 0.001, "b": rng.choice([0.0, 0.05])},
            "estimand": estimand,
            "upper": rng.choice([1.2, 3.0]),
        }
        error = refusal(co.BalanceProblem(x, t, **given), solver)
        if error is None:
            continue

        def works(given=given, x=x, t=t, **changes):
            return refusal(co.BalanceProblem(x, t, **(given | changes)), solver) is None

        table = error.explanation
        if table["smallest jointly"].notna().all():
            found = re.findall(r"([ab])(?: \(group \d\))? \S+ -> ([\d.e-]*\d)", str(error))
            printed = dict(given["tolerance"])
            for name, number in found:
                printed[name] = max(printed[name], float(number))
            followed["printed"] += bool(found)
            assert works(tolerance=printed), (seed, printed, str(error))
            followed["jointly"] += 1
            assert works(tolerance=table.groupby("covariate")["smallest jointly"].max().to_dict())
        alone = table.groupby("covariate")["smallest alone"].max()
        for name in alone.index[np.isfinite(alone)]:
            followed["alone"] += 1
            assert works(tolerance=given["tolerance"] | {name: alone[name]}), (seed, name)
        for side in ("upper", "lower"):
            number = re.search(rf"{side}=(-?[\d.e-]*\d) in place", str(error))
            if number:
                followed[side] += 1
                assert works(**{side: float(number[1])}), (seed, side, number[1])
                assert works(**{side: table.attrs["bounds on weights"][side]}), (seed, side)
    assert min(followed.values()) >= 2, followed


def test_extra_tolerances_of_factorial_effects_work_as_printed_and_as_in_the_table():
    followed = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        z = pd.DataFrame(rng.integers(0, 2, (80, 2)), columns=["p", "q"])
        x = pd.DataFrame({"u": rng.normal(size=80) + 2.2 * z["p"], "v": rng.normal(size=80) + 2 * z["q"]})
        error = refusal(co.FactorialBalanceProblem(x, z, tolerance=0.01), "auto")
        if error is None:
            continue
        printed = float(re.search(r"a tolerance ([\d.e-]*\d) standard deviations larger", str(error))[1])
        assert refusal(co.FactorialBalanceProblem(x, z, tolerance=0.01 + printed), "auto") is None, seed
        for effect, extra in error.explanation["extra tolerance"].items():
            problem = co.FactorialBalanceProblem(x, z, effects=[effect], tolerance=0.01 + extra)
            assert refusal(problem, "auto") is None, (seed, effect)
        followed += 1
    assert followed >= 4
