"""Every command against the Python API: the same numbers, in the JSON and in the files."""

import json

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt.console.codes import Exit
from causalopt.console.reading import exact_numbers
from causalopt.solving.capsules.capsule import Capsule


def answer(result, code=0):
    assert result.exit_code == code, result.output
    found = json.loads(result.stdout)
    assert found["exit_code"] == code and found["schema"] == 1
    return found


# ---- balance ----


def test_balance_equals_the_python_call(run, study):
    found = answer(
        run("balance", "study.csv", "--treatment", "treat", "--covariates", "age,educ", "--tolerance", "age=0.01",
            "--tolerance", "0.05", "--outcome", "wage", "--json", "--output", "w.csv", "--index", "id")
    )  # fmt: skip
    df = study.set_index("id")
    tolerance = {"age": 0.01, "default": 0.05}
    expected = co.balance(df, treatment="treat", covariates=["age", "educ"], tolerance=tolerance)
    assert [w["row"] for w in found["weights"]] == list(df.index)
    assert [w["weight"] for w in found["weights"]] == expected.weights.tolist()
    assert found["objective"] == expected.objective
    assert found["estimate"]["estimate"] == expected.estimate("wage").estimate
    written = pd.read_csv("w.csv", index_col="id", **exact_numbers())
    assert (
        written["weight"].tolist() == expected.weights.tolist() and written["treat"].tolist() == study["treat"].tolist()
    )
    table = expected.balance_table()
    assert [row["smd after"] for row in found["balance"]] == table["smd after"].tolist()


def test_balance_by_formula_keeps_every_level_of_a_factor_and_drops_the_intercept(run, study):
    words = ["--tolerance", "0.03", "--tolerance", "race=0.2", "--json"]
    formula = "treat ~ age + educ + I(age**2) + C(race)"
    found = answer(run("balance", "study.csv", "--formula", formula, *words))
    by_hand = study.assign(race=study["race"].astype("category"))
    by_hand["I(age ** 2)"] = study["age"] ** 2
    expected = co.balance(
        by_hand, treatment="treat", covariates=["age", "educ", "I(age ** 2)", "race"],
        tolerance={"race": 0.2, "default": 0.03},
    )  # fmt: skip
    assert [row["covariate"] for row in found["balance"]] == expected.balance_table().index.tolist()
    np.testing.assert_allclose([w["weight"] for w in found["weights"]], expected.weights, rtol=1e-12)
    text = answer(run("balance", "study.csv", "--formula", "treat ~ age + educ + I(age**2) + race", *words))
    assert text["weights"] == found["weights"]
    named = run("balance", "study.csv", "--treatment", "treat", "--covariates", "age", "--categories", "race", "--json")
    expected = co.balance(by_hand, treatment="treat", covariates=["age", "race"])
    assert [w["weight"] for w in answer(named)["weights"]] == expected.weights.tolist()


def test_balance_products_with_factors_are_one_column_a_level(run, study):
    found = answer(run("balance", "study.csv", "--formula", "treat ~ age + C(race):age", "--json"))
    assert [row["covariate"] for row in found["balance"]] == [
        "age", "C(race)[black]:age", "C(race)[other]:age", "C(race)[white]:age"
    ]  # fmt: skip


def test_balance_arguments_reach_the_problem(run, study):
    found = answer(
        run("balance", "study.csv", "--treatment", "treat", "--covariates", "age", "--covariates", "educ", "--estimand",
            "ATE", "--tolerance", "0.1", "--scale", "educ=raw", "--moments", "2", "--interactions", "--quantiles", ".5",
            "--upper", "4", "--norm", "l1", "--solver", "highs", "--between", "0.15", "--outcome", "wage",
            "--contrast", "1,0", "--level", "0.9", "--json")
    )  # fmt: skip
    expected = co.balance(
        study, treatment="treat", covariates=["age", "educ"], estimand="ATE", tolerance=0.1,
        scale={"educ": "raw", "default": "target"}, upper=4.0, norm="l1", solver="highs", between=0.15,
        basis=[co.basis.moments(2), co.basis.interactions(), co.basis.quantiles([0.5])],
    )  # fmt: skip
    assert found["objective"] == pytest.approx(expected.objective, rel=1e-9)
    assert found["solver"]["name"] == "highs" and found["formulation"] == "l1"
    assert found["estimate"]["level"] == 0.9


def test_balance_to_a_target_population(run, study, folder):
    study.head(100).to_csv("target.csv", index=False)
    words = ["--covariates", "age", "--categories", "race", "--estimand", "population", "--target", "target.csv"]
    found = answer(run("balance", "study.csv", *words, "--json"))
    frame = study.assign(race=study["race"].astype("category"))[["age", "race"]]
    expected = co.solve(co.BalanceProblem(frame, estimand="population", target=frame.head(100)))
    assert [w["weight"] for w in found["weights"]] == expected.weights.tolist()


def test_parquet_in_and_out(run, study):
    pytest.importorskip("pyarrow")
    study.assign(race=study["race"].astype("category")).to_parquet("study.parquet")
    words = ["--treatment", "treat", "--covariates", "age,race"]
    found = answer(run("balance", "study.parquet", *words, "--json", "--output", "w.parquet"))
    written = pd.read_parquet("w.parquet")
    assert written["weight"].tolist() == [w["weight"] for w in found["weights"]]
    assert written["row"].tolist() == list(range(1, 301))


def test_csv_from_standard_input_and_other_separators(run, study):
    words = ["--treatment", "treat", "--covariates", "age,educ", "--json"]
    plain = answer(run("balance", "study.csv", *words))
    piped = answer(run("balance", "-", *words, input=study.to_csv(index=False)))
    study.to_csv("semi.csv", index=False, sep=";")
    semicolons = answer(run("balance", "semi.csv", "--separator", ";", *words))
    tabs = answer(run("balance", "-", "--separator", r"\t", *words, input=study.to_csv(index=False, sep="\t")))
    assert plain["weights"] == piped["weights"] == semicolons["weights"] == tabs["weights"]


# ---- the other problems ----


def test_robust_z_equals_the_python_call(run, study):
    words = [
        "--outcome",
        "wage",
        "--treatment",
        "treat",
        "--exact",
        "race,site",
        "--caliper",
        "age=2",
        "--rounding",
        "1",
    ]
    arguments = dict(outcome="wage", treatment="treat", exact=["race", "site"], calipers={"age": 2}, rounding=1)
    found = answer(run("robust-z", "study.csv", *words, "--json", "--output", "pairs.csv"))
    expected = co.robust_z_test(study.set_axis(range(1, 301)), **arguments)
    assert (found["max"]["z"], found["min"]["z"], found["n"]) == (expected.z_max, expected.z_min, expected.n)
    assert found["decision"] == expected.decision() and found["max"]["proof"] == "certified by causalopt"
    written = pd.read_csv("pairs.csv", **exact_numbers())
    pairs = expected.maximum.pairs
    own = written[written["side"] == "max"]
    assert (
        own["treated"].tolist() == pairs["treated"].tolist()
        and own["difference"].tolist() == pairs["difference"].tolist()
    )
    pytest.importorskip("matplotlib")
    curve = answer(run("robust-z", "study.csv", *words, "--pairs", "curve", "--json", "--plot", "c.png"))
    by_hand = co.robust_z_test(study, **arguments, pairs="curve").table
    assert [row["n"] for row in curve["curve"]] == by_hand.index.tolist()
    numbers = [float(row["z_max"]) for row in curve["curve"]]  # infinities are words in JSON
    assert numbers == by_hand["z_max"].tolist()
    assert open("c.png", "rb").read(4) == b"\x89PNG"
    few = answer(run("robust-z", "study.csv", *words, "--pairs", "5,3", "--json"))
    assert [row["n"] for row in few["curve"]] == [3, 5]


def test_a_heuristic_is_an_answer_without_proof(run, study):
    words = ["--outcome", "wage", "--treatment", "treat", "--exact", "race", "--pairs", "10", "--solver", "greedy"]
    found = answer(run("robust-z", "study.csv", *words, "--json"), Exit.UNPROVEN)
    assert found["max"]["kind"] == "heuristic" and found["max"]["bound"] == "inf"


@pytest.mark.parametrize(
    ("words", "design"),
    [
        (["pairs", "--groups", "pair"], lambda df: co.MatchedPairs(df["pair"].to_numpy())),
        (["complete"], lambda df: co.CompleteRandomization(10)),
        (["bernoulli", "--probability", "0.5"], lambda df: co.Bernoulli(0.5)),
        (["stratified", "--groups", "pair"], lambda df: co.Stratified(df["pair"].to_numpy(), 1)),
    ],
)
def test_bootstrap_equals_the_python_call(run, trial, words, design):
    call = ["bootstrap", "trial.csv", "--outcome", "y", "--treatment", "t", "--method", "isotone", "--design", *words]
    found = answer(run(*call, "--draws", "500", "--seed", "3", "--json", "--output", "o.csv"))
    expected = co.causal_bootstrap(trial["y"], trial["t"], design(trial), method="isotone", draws=500, seed=3)
    assert (found["lower"], found["upper"]) == (expected.lower, expected.upper)
    written = pd.read_csv("o.csv", **exact_numbers())
    assert written["outcome 1"].tolist() == expected.imputed["isotone"]["outcome 1"].tolist()


def test_bootstrap_of_the_worst_case_and_of_clusters(run, trial):
    call = ["bootstrap", "trial.csv", "--outcome", "y", "--treatment", "t", "--json"]
    found = answer(run(*call, "--design", "pairs", "--groups", "pair"))
    expected = co.causal_bootstrap(trial["y"], trial["t"], co.MatchedPairs(trial["pair"].to_numpy()))
    assert found["objective"] == expected.copula.objective and found["table"][0]["variance"] == expected.variance
    assert found["solver"]["name"] == "rearrangement"
    trial.assign(c=2 * trial["pair"] + trial["t"]).to_csv("c.csv", index=False)
    found = answer(run("bootstrap", "c.csv", *call[2:], "--design", "cluster", "--groups", "c", "--method", "sampling"))
    assert found["design"] == "Cluster" and found["estimate"] == pytest.approx(expected.estimate)


def test_synth_equals_the_python_call(run, panel):
    call = ["synth", "panel.csv", "--unit", "state", "--time", "year", "--outcome", "sales", "--treated", "A"]
    names = dict(unit="state", time="year", outcome="sales", treated="A", treatment_time=2006)
    found = answer(
        run(*call, "--treatment-time", "2006", "--json", "--output", "gaps.csv", "--weights-output", "w.csv",
            "--placebo", "space", "--eta", "0.1")
    )  # fmt: skip
    expected = co.synthetic_control(panel, **names)
    assert found["att"] == expected.att
    written = pd.read_csv("gaps.csv", **exact_numbers())
    assert written["gap"].tolist() == expected.gaps.tolist() and written["time"].tolist() == list(range(2000, 2008))
    weights = pd.read_csv("w.csv", index_col="donor", **exact_numbers())["A"]
    assert weights.to_dict() == expected.weights.to_dict()
    assert found["placebo_p"] == expected.placebo_in_space().p_value
    assert found["att_range"][0] <= found["att"] <= found["att_range"][1]
    found = answer(
        run(*call, "--treatment-time", "2006", "--without", "E", "--weights", "elastic-net", "--lam", "0.1,1",
            "--alpha", "0.5", "--json")
    )  # fmt: skip
    with pytest.warns(co.CausaloptWarning, match="at the edge"):
        expected = co.synthetic_control(
            panel, **names, donors=list("BCD"), weights="elastic-net", lam=[0.1, 1.0], alpha=0.5
        )
    assert found["att"] == expected.att and any("at the edge" in note for note in found["warnings"])
    found = answer(
        run(*call, "--treatment-time", "2006", "--predictors", "income,sales@2002:2003,sales@2005", "--json")
    )
    expected = co.synthetic_control(panel, **names, predictors=["income", ("sales", [2002, 2003]), ("sales", 2005)])
    assert found["att"] == expected.att


def test_factorial_equals_the_python_call(run, factorial):
    words = ["--effects", "2", "--outcome", "kg", "--tolerance", "0.02", "--json"]
    chosen = dict(factors=["quit", "idle"], covariates=["age", "race"], effects=2, tolerance=0.02)
    call = ["factorial", "factorial.csv", "--factors", "quit,idle", "--covariates", "age", "--categories", "race"]
    found = answer(run(*call, *words, "--output", "w.csv"))
    frame = factorial.assign(race=factorial["race"].astype("category"))
    expected = co.factorial_balance(frame, **chosen)
    estimates = expected.estimate("kg")
    assert [row["estimate"] for row in found["estimates"]] == estimates["estimate"].tolist()
    assert pd.read_csv("w.csv", **exact_numbers())["weight"].tolist() == expected.weights.tolist()
    formula = answer(run("factorial", "factorial.csv", "--formula", "quit + idle ~ age + C(race)", *words))
    assert formula["weights"] == found["weights"]
    separate = answer(run(*call, *words, "--separate", "--high", "quit=0", "--outcome-model", "heterogeneous"))
    own = co.factorial_balance(frame, **chosen, separate=True, high={"quit": 0}, outcome_model="heterogeneous")
    assert [row["estimate"] for row in separate["estimates"]] == own.estimate("kg")["estimate"].tolist()


# ---- capsules, models, pictures ----


CALLS = {
    "balance": ("study", ["study.csv", "--treatment", "treat", "--covariates", "age,educ"]),
    "bootstrap": ("trial", ["trial.csv", "--outcome", "y", "--treatment", "t", "--design", "pairs", "--groups",
                            "pair"]),
    "synth": ("panel", ["panel.csv", "--unit", "state", "--time", "year", "--outcome", "sales", "--treated", "A",
                        "--treatment-time", "2006"]),
    "factorial": ("factorial", ["factorial.csv", "--factors", "quit,idle", "--covariates", "age"]),
}  # fmt: skip


ROBUST = ["study.csv", "--outcome", "wage", "--treatment", "treat", "--exact", "race,site", "--caliper", "age=2",
          "--rounding", "1"]  # fmt: skip
EXPLAINED = {name: (name, *call) for name, call in CALLS.items()} | {
    "one n": ("robust-z", "study", [*ROBUST, "--pairs", "3"]),
    "curve": ("robust-z", "study", [*ROBUST, "--pairs", "2,3"]),
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_explanations_in_words_and_as_json(run, request, name):
    command, data, words = EXPLAINED[name]
    request.getfixturevalue(data)
    assert "explanation" not in answer(run(command, *words, "--json"))
    told = answer(run(command, *words, "--json", "--explain"))["explanation"]
    assert "What it does not say:" in told and all(len(line) <= 80 for line in told.splitlines())
    people = run(command, *words, "--explain").stdout
    assert told.split("\n\n")[0] in people and told.split("\n\n")[-1] in people


@pytest.mark.parametrize("name", CALLS)
def test_capsule_export_and_plot_of_every_problem(run, folder, request, name):
    pytest.importorskip("matplotlib")
    data, words = CALLS[name]
    request.getfixturevalue(data)
    made = run(name, *words, "--capsule", "a.capsule", "--export", "a.mps", "--plot", "a.svg", "--json")
    found = answer(made)
    assert found["written"] == ["a.svg", "a.capsule", "a.mps"] and not list(folder.glob(".*"))
    assert Capsule.load("a.capsule").claim.objective == found["objective"]
    again = answer(run("replay", "a.capsule", "--json"))
    assert again["agrees"] and again["recorded"]["objective"] == found["objective"]
    people = run("replay", "a.capsule", "--solver", "scip")
    assert people.exit_code == 0 and "agrees with the record" in people.stdout and "scip" in people.stdout
    assert run("export", "a.capsule", "b.lp", "b.nl", "b.mps").exit_code == 0
    assert (folder / "b.mps").read_bytes() == (folder / "a.mps").read_bytes()
    assert (folder / "b.nl").read_text().startswith("g3") and "<svg" in (folder / "a.svg").read_text()


def test_replay_codes(run, folder):
    import dataclasses

    program = co.Program.from_arrays([-3.0, -4.0, -5.0], [[2.0, 3.0, 4.0]], -np.inf, 5.0, 0.0, 1.0, integer=True)
    capsule = Capsule.of(program, co.solve(program, "highs"))
    wrong = dataclasses.replace(capsule.claim, x=np.array([1.0, 0.0, 0.0]), objective=-3.0, bound=-3.0)
    dataclasses.replace(capsule, claim=wrong).save("wrong.capsule")
    refuted = run("replay", "wrong.capsule", "--json")
    assert refuted.exit_code == Exit.REFUTED
    assert "beats the recorded bound" in json.loads(refuted.stdout)["contradictions"][0]
    weak = dataclasses.replace(capsule.claim, status=co.solve(program, "highs").status, bound=None)
    dataclasses.replace(capsule, claim=dataclasses.replace(weak, objective=None, x=None)).save("weak.capsule")
    assert run("replay", "weak.capsule").exit_code == Exit.REFUTED
    (folder / "cut.capsule").write_bytes(capsule.to_bytes()[:200])
    cut = run("replay", "cut.capsule")
    assert cut.exit_code == Exit.INPUT and "cut short" in cut.stderr
    assert run("replay", "wrong.capsule", "--solver", "higs").exit_code == Exit.NO_SOLVER


# ---- solvers ----


def test_solvers_in_words_and_as_json(run):
    found = answer(run("solvers", "--json"))
    rows = {row["solver"]: row for row in found["solvers"]}
    assert rows["highs"]["works"] and set(rows) == set(co.solvers().index)
    for name, row in co.solvers().iterrows():
        assert rows[name]["advisories"] == row["advisories"] and rows[name]["version"] == row["version"]
    text = run("solvers").stdout
    assert max(map(len, text.splitlines())) <= 80 and "highs" in text


def test_solvers_without_one_that_works_is_exit_5(run, monkeypatch):
    from causalopt.console import solvers

    monkeypatch.setattr(solvers, "_try", lambda name: (False, "fails: it is haunted"))
    out = run("solvers")
    assert out.exit_code == Exit.NO_SOLVER and "haunted" in out.stdout and "NO" in out.stdout


def test_a_memory_limit_says_where_it_has_no_effect(run, study, trial):
    words = ["balance", "study.csv", "--treatment", "treat", "--covariates", "age", "--json"]
    assert answer(run(*words))["warnings"] == []
    limited = answer(run(*words, "--memory-limit", "2"))
    assert limited["warnings"] == ["dual-newton ran without the limit of --memory-limit, which is for solvers."]
    assert answer(run(*words, "--memory-limit", "2", "--solver", "highs"))["warnings"] == []
    robust = ["robust-z", *ROBUST, "--pairs", "3", "--json", "--explain"]
    found = answer(run(*robust))
    assert found["warnings"] == [] and "isolate" not in found["explanation"]
    call = ["bootstrap", "trial.csv", "--outcome", "y", "--treatment", "t", "--design", "pairs", "--groups", "pair"]
    assert answer(run(*call, "--json"))["warnings"] == []
