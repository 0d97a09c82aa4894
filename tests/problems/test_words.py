"""What explanations claim in words is true, by enumeration and by following their advice."""

import dataclasses
import re

import numpy as np
from match_cases import extremes

import causalopt as co
from causalopt.problems.robust_z_curve import curve
from causalopt.problems.robust_z_result import p_value
from causalopt.solving.verify import Proof


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
