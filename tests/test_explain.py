"""Every result explains itself in plain words, whose numbers are those of the result."""

import importlib
import inspect
import pkgutil
import re

import numpy as np
import pandas as pd
import pytest

import causalopt
import causalopt as co
from causalopt.problems.copula.bootstrap.result import BootstrapResult
from causalopt.solving.answer import words_of
from causalopt.solving.attempts import as_result
from causalopt.solving.result import Ledger, Result
from causalopt.solving.words import listing, plural, rounded_down
from causalopt.verifying.claims import Limit, Proof, Reason, Solution, Termination, Verification
from causalopt.verifying.verify import verify

RNG = np.random.default_rng(9)
Z = pd.DataFrame(RNG.integers(0, 2, (200, 2)), columns=["a", "b"])
X = pd.DataFrame({"u": RNG.normal(size=200) + Z["a"], "v": RNG.normal(size=200)})
Y = np.array([1.0, 2.0, 4.0, 3.0, 5.0, 9.0])
TREATED = np.array([1, 0, 1, 0, 0, 1])
OUTCOMES = pd.DataFrame(RNG.normal(size=(12, 6)).cumsum(0), columns=list("abcdef"))
COST = RNG.random((5, 7))
PAIRS = co.RobustZProblem(RNG.normal(size=8) + 1, RNG.normal(size=9), np.ones((8, 9)), pairs=5)


def balance(**arguments):
    return co.solve(co.BalanceProblem(X, Z["a"], **arguments))


CASES = {
    "Result": lambda: co.solve(co.Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], row_lower=1.5), "highs"),
    "BalanceResult": lambda: balance(tolerance=0.01),
    "FactorialResult": lambda: co.solve(co.FactorialBalanceProblem(X, Z, tolerance={"u": 0.01, "v": 0.05})),
    "AssignmentResult": lambda: co.solve(co.AssignmentProblem(COST, cardinality=3)),
    "RobustZResult": lambda: co.solve(PAIRS),
    "RobustMcNemarResult": lambda: co.solve(
        co.RobustMcNemarProblem([1, 1, 0, 1], [0, 0, 1, 0], np.ones((4, 4)), pairs=3)
    ),
    "CopulaResult": lambda: co.solve(co.CopulaProblem(Y, TREATED, co.MatchedPairs([0, 0, 1, 1, 2, 2]))),
    "SyntheticControlResult": lambda: co.solve(co.SyntheticControlProblem(OUTCOMES, "a", 9)),
    "BootstrapResult": lambda: co.causal_bootstrap(Y, TREATED, co.CompleteRandomization(3), draws=100),
}


def numbers_of(name, result):
    """Numbers that the words must hold, each taken from the result anew."""
    if name == "Result":
        return [f"{result.objective:.6g}", f"{len(result.x):,} variables", f"{len(result.row_dual):,} constraints"]
    if name == "BalanceResult":
        table = result.balance_table()
        price = result.duals.iloc[0]
        return [
            f"{result.effective_sample_size.iloc[0]:,.1f} of {(Z['a'] == 0).sum()}",
            f"{table['smd before'].abs().max():.3g} before weighting",
            f"{table['smd after'].abs().max():.3g} after",
            f"{int(table['active'].sum())} of {len(table)} tolerances bind",
            f"{price['covariate']} {price['price of 0.01']:.3g}",
        ]
    if name == "FactorialResult":
        cells = result.cells()
        return [
            f"{cells['effective sample size'].min():,.1f} of",
            f"{int(cells['zero weights'].sum())} weights are zero",
            f"{result.balance_table()['smd after'].abs().max():.3g} after",
            "4 of 4 treatment cells",
        ]
    if name == "AssignmentResult":
        return [
            f"3 pairs cost {result.total:.6g} in total",
            "2 rows and 4 columns are in no pair",
            f"adds at least {rounded_down(result.duals[2], 4)} to the total: the price of a pair",
        ]
    if name == "RobustZResult":
        low, high = result.p_interval
        return [f"from {result.z_min:.6g} to {result.z_max:.6g}", f"from {low:.3g} to {high:.3g}", "At most 8 pairs"]
    if name == "RobustMcNemarResult":
        low, high = result.p_interval
        return [
            "number from {} to {}".format(*result.b_range),
            f"from {result.z_min:.6g} to {result.z_max:.6g}",
            f"from {low:.3g} to {high:.3g}",
        ]
    if name == "CopulaResult":
        return [
            f"{result.estimate:.6g}",
            f"variance is {result.variance:.6g}, a standard error of {result.standard_error:.6g}",
            f"slack of {result.problem.slack:.6g}",
        ]
    if name == "SyntheticControlResult":
        label = result.weights.idxmax()
        return [
            f"is {result.att:.6g}",
            f"{result.fit['pre rmspe'].iloc[0]:.6g}",
            f"{label} ({result.weights.max():.3f})",
            f"{int((result.weights > 1e-6).sum())} of 5 donors",
        ]
    if name == "BootstrapResult":
        return [
            f"{result.estimate:.6g}",
            f"from {result.lower:.6g} to {result.upper:.6g}",
            f"{result.variance:.6g}",
            f"{plural(len(result.table), 'method')}",
        ]
    raise AssertionError(f"no numbers are known for {name}")


def flat(text):
    return re.sub(r"\s+", " ", text)


def result_classes():
    """All classes of the package that are results: subclasses of Result, and those that are called one."""
    found = {Result}
    for module in pkgutil.walk_packages(causalopt.__path__, "causalopt."):
        if module.name.startswith(("causalopt.bench", "causalopt.testing")) or module.name.endswith("__main__"):
            continue
        for _, item in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if item.__module__.startswith("causalopt") and (
                issubclass(item, Result) or item.__name__.endswith("Result")
            ):
                found.add(item)
    return sorted(found, key=lambda item: item.__name__)


@pytest.mark.parametrize("kind", result_classes(), ids=lambda kind: kind.__name__)
def test_every_result_class_has_words_of_its_own_whose_numbers_are_those_of_the_result(kind):
    assert kind is Result or words_of(kind) is not words_of(Result), f"{kind.__name__} does not explain itself"
    result = CASES[kind.__name__]()
    assert type(result) is kind
    text = result.explain()
    assert text == result.explain()
    assert max(map(len, text.splitlines())) <= 80
    assert all(part.strip() for part in text.split("\n\n")) and len(text.split("\n\n")) >= 3
    for number in numbers_of(kind.__name__, result):
        assert number in flat(text), number
    if kind is not BootstrapResult:
        assert result.solver in text and result.solver_reason in flat(text)
    assert "does not say" in flat(text)


# ---- what is proven ----


def stated(reason, proof=None, *, limit=Limit.NONE, raw="", gap=None):
    check = None if proof is None else Verification(proof=proof, objective=2.0)
    return flat(
        Result(
            status=Termination(reason, limit, raw),
            solver="planted",
            objective=2.0,
            bound=None if gap is None else 2.0 * (1 - gap),
            gap=gap,
            verification=check,
        ).explain()
    )


def test_what_is_known_of_an_answer_has_a_word_of_its_own():
    certified = stated(Reason.OPTIMAL, Proof.CERTIFIED, gap=1e-9)
    claimed = stated(Reason.OPTIMAL, Proof.CLAIMED, gap=1e-9)
    stopped = stated(Reason.FEASIBLE, Proof.CLAIMED, limit=Limit.TIME, gap=0.123)
    unknown = stated(Reason.FEASIBLE, Proof.NONE, limit=Limit.NODES)
    heuristic = stated(Reason.FEASIBLE, Proof.NONE, raw="heuristic")
    proven = stated(Reason.INFEASIBLE, Proof.CERTIFIED)
    said = stated(Reason.INFEASIBLE, Proof.CLAIMED)
    unbounded = stated(Reason.UNBOUNDED, Proof.CLAIMED)
    nothing = stated(Reason.NO_SOLUTION, Proof.NONE, limit=Limit.TIME)
    failed = stated(Reason.ERROR, raw="out of luck")
    every = [certified, claimed, stopped, unknown, heuristic, proven, said, unbounded, nothing, failed]
    assert len(set(every)) == len(every)
    assert "best answer, certified by causalopt" in certified and "claimed" not in certified
    assert "as claimed by planted" in claimed and "certified" not in claimed and "word of planted" in claimed
    assert "not proven the best, since the time limit stopped" in stopped and "better by at most 0.25" in stopped
    assert "nodes limit" in unknown and "nothing says how much better" in unknown
    assert "heuristic" in heuristic and "best answer" not in heuristic
    assert "causalopt proved it" in proven and "word of planted" in said
    assert all("explain_infeasibility" in text for text in (proven, said))
    assert "no limit" in unbounded and "since the time limit" in nothing and "out of luck" in failed
    for text in (stopped, unknown, heuristic, proven, said, unbounded, nothing, failed):
        assert "This is the best answer" not in text
    assert "not verified" in stated(Reason.OPTIMAL)
    assert "certified by causalopt" in stated(Reason.FEASIBLE, Proof.CERTIFIED, gap=0.2)
    assert "agree to nine digits" in stated(Reason.OPTIMAL, Proof.CERTIFIED, gap=0.0)


def test_how_much_better_another_answer_could_be_is_told_in_the_unit_of_the_objective():
    program = co.Program.from_arrays([1.0], [[1.0]], row_lower=5.0, upper=9.0, integer=True, constant=-4.999)
    claim = Solution(Termination(Reason.FEASIBLE, Limit.TIME), x=np.array([5.0]), objective=0.001, bound=-0.9)
    result = as_result(*verify(program, claim), Ledger(), solver="s", solver_version="", license="", reason="")
    assert result.bound == pytest.approx(-0.9) and "better by at most 0.91." in flat(result.explain())  # 0.901


def test_the_best_within_a_loose_gap_is_not_called_the_best():
    rng = np.random.default_rng(1)
    values, sizes = rng.integers(1, 30, 30), rng.integers(1, 30, (3, 30)).astype(float)
    program = co.Program.from_arrays(-1.0 * values, sizes, row_upper=sizes.sum(1) / 3, upper=1.0, integer=True)
    loose, best = co.solve(program, "highs", gap=0.5), co.solve(program, "highs", gap=0.0)
    assert loose.is_optimal and loose.objective > best.objective + 0.5  # there is a better one
    text = flat(loose.explain())
    assert "This is the best answer within the gap asked for" in text and "This is the best answer," not in text
    told = float(re.search(r"better by at most ([\d.e+]+)\. ?", text + " ")[1].rstrip("."))
    assert told >= loose.objective - loose.bound >= loose.objective - best.objective - 1e-6
    assert "This is the best answer," in flat(best.explain())
    for proof in (Proof.CERTIFIED, Proof.CLAIMED):
        assert "best answer within the gap asked for" in stated(Reason.OPTIMAL, proof, gap=1e-3)
        assert "This is the best answer," in stated(Reason.OPTIMAL, proof, gap=1e-7)


def test_real_solves_are_told_apart():
    assert "certified by causalopt" in flat(CASES["BalanceResult"]().explain())
    mip = co.solve(co.Program.from_arrays([-3.0, -4.0], [[2.0, 3.0]], row_upper=4.0, upper=1.0, integer=True), "highs")
    assert ("claimed by highs" in flat(mip.explain())) == (mip.verification.proof is Proof.CLAIMED)
    infeasible = co.solve(co.Program.from_arrays([1.0], [[1.0]], row_lower=2.0, upper=1.0), "highs")
    assert "causalopt proved it" in flat(infeasible.explain())
    greedy = co.solve(PAIRS, "greedy").explain()
    assert "heuristic" in greedy and "exact" not in flat(greedy)
    surrogate = co.RobustZProblem([2.0, 3, 5], [1.0, 1.5, 2], np.ones((3, 3)), pairs=2)
    assert "a stand-in for Z" in flat(co.solve(surrogate, "scip", formulation="qip").explain())


def test_warnings_are_passed_on():
    result = Result(status=Termination(Reason.OPTIMAL), solver="x", warnings=("It rained", "It poured."))
    assert "Mind: It rained. It poured." in flat(result.explain())


# ---- details of the problems ----


def test_balance_without_binding_tolerances_and_with_negative_weights_says_so():
    loose = flat(balance(tolerance=5.0).explain())
    assert "No tolerance binds" in loose and "would save" not in loose
    assert "extrapolate" in flat(balance(tolerance=0.01, lower=-1.0).explain())


def test_units_with_negative_weights_are_not_counted_as_without_weight():
    for lower, some in ((0.0, True), (-10.0, False)):
        x = pd.DataFrame({"u": X["u"] + 1.5 * Z["a"]})
        result = co.solve(co.BalanceProblem(x, Z["a"], tolerance=0.0, lower=lower))
        weights = result.weights.to_numpy()
        assert (weights < -1e-3).any() != some and (np.abs(weights) <= 1e-7).any() == some
        told = re.search(r"([\d,]+) units? got no weight", flat(result.explain()))
        assert (int(told[1]) if told else 0) == (np.abs(weights) <= 1e-7).sum()


def test_balance_of_several_groups_names_them():
    text = flat(balance(tolerance=0.01, estimand="ATE").explain())
    assert "(group 0)" in text and "(group 1)" in text and "the whole sample" in text


def test_factors_that_are_exact_or_not_identified_are_told():
    exact = flat(co.solve(co.FactorialBalanceProblem(X, Z)).explain())
    assert "conditions are exact" in exact
    z = pd.DataFrame(RNG.integers(0, 2, (600, 3)), columns=list("abc"))
    z = z[(z["a"] == z["b"]) | (z["c"] == 0)].reset_index(drop=True)  # two cells are missing
    x = pd.DataFrame({"u": RNG.normal(size=len(z))})
    with pytest.warns(co.CausaloptWarning, match="not identified"):
        problem = co.FactorialBalanceProblem(
            x, z, effects=["a", "c", "a:c"], outcome_model=["a", "b", "c", "a:c", "b:c", "a:b"]
        )
    lost = [name for name, row in problem.identification().iterrows() if not row["identified"]]
    assert lost and f"left out: {listing(lost)}" in flat(co.solve(problem).explain())


def test_a_synthetic_control_whose_weights_are_not_unique_says_so():
    few = pd.DataFrame({"a": [1.0, 2, 4], "b": [0.0, 1, 3], "c": [2.0, 3, 5], "d": [1.5, 2.5, 6], "e": [0.5, 1.5, 2]})
    with pytest.warns(co.CausaloptWarning):
        result = co.solve(co.SyntheticControlProblem(few, "a", 2))
    text = flat(result.explain())
    assert "Other weights fit exactly as well" in text and "Mind: The weights are not unique" in text


def test_lists_and_counts_read_like_sentences():
    assert listing(["a"]) == "a" and listing(["a", "b"]) == "a and b" and listing(["a", "b", "c"]) == "a, b and c"
    assert listing(list("abcdefg")) == "a, b, c, d, e and 2 more" and listing([]) == ""
    assert plural(1, "row") == "1 row" and plural(2000, "row") == "2,000 rows"
