"""--missing: what is refused and what is left out, against the same study without these rows."""

import json

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt.console.codes import Exit
from causalopt.console.missing import complete
from causalopt.solving.capsules.capsule import Capsule


def said(result):
    return " ".join(result.stderr.split())


def answer(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def gaps(study):
    """The study without the ages of rows 4, 17 and 41, the wages of 17 and 51, and the treatment of 6."""
    frame = study.copy()
    frame.loc[[3, 16, 40], "age"] = np.nan
    frame.loc[[16, 50], "wage"] = np.nan
    frame["treat"] = frame["treat"].astype(float)
    frame.loc[5, "treat"] = np.nan
    frame.to_csv("study.csv", index=False)
    return study.set_axis(range(1, 301)).drop(index=[4, 6, 17, 41, 51])


BALANCE = ["balance", "study.csv", "--treatment", "treat", "--covariates", "age,educ", "--outcome", "wage"]


def test_missing_values_are_refused_with_columns_counts_and_the_option(run, gaps):
    out = run(*BALANCE)
    assert out.exit_code == Exit.INPUT
    assert said(out) == (
        "DataError: Column 'treat' has missing values in 1 row: 6; column 'age' has missing values in 3 rows: 4, 17, "
        "41; column 'wage' has missing values in 2 rows: 17, 51. --missing drop leaves such rows out (5 of 300); or "
        "fill in the values first."
    )
    unused = run("balance", "study.csv", "--treatment", "site", "--treated", "n", "--covariates", "educ")
    assert unused.exit_code == 0  # nothing is missing in the columns that are used
    assert "Unknown value of --missing 'drip'. Did you mean 'drop'" in said(run(*BALANCE, "--missing", "drip"))


def test_balance_without_the_rows_is_the_study_without_them(run, gaps, folder, study):
    words = [*BALANCE, "--missing", "drop", "--json", "--capsule", "c.capsule", "--output", "w.csv"]
    found = answer(run(*words))
    expected = co.balance(gaps, treatment="treat", covariates=["age", "educ"])
    assert [w["weight"] for w in found["weights"]] == expected.weights.tolist()
    assert [w["row"] for w in found["weights"]] == gaps.index.tolist()
    assert found["estimate"]["estimate"] == expected.estimate("wage").estimate
    (dropped,) = found["dropped"]
    assert dropped["labels"] == [4, 6, 17, 41, 51] and dropped["total"] == 300
    assert dropped["by_column"] == {"treat": 1, "age": 3, "wage": 2}
    counts = study.loc[[3, 16, 40, 50], "treat"].value_counts()
    assert dropped["by_group"] == {f"treat {k}": n for k, n in counts.items()} | {"treat missing": 1}
    assert dropped["words"] in found["warnings"] and Capsule.load("c.capsule").note == dropped["words"]
    assert pd.read_csv("w.csv")["treat"].tolist() == gaps["treat"].tolist()
    replayed = run("replay", "c.capsule")
    assert "5 of 300 rows left out" in " ".join(replayed.stdout.split())
    assert answer(run("replay", "c.capsule", "--json"))["note"] == dropped["words"]
    people = run(*BALANCE, "--missing", "drop")
    assert "5 of 300 rows left out for missing values in 'treat' (1), 'age' (3) and 'wage' (2): " in said(people)


def test_formulas_and_targets(run, gaps, study):
    formula = ["balance", "study.csv", "--formula", "treat ~ I(age**2) + C(race)", "--missing", "drop", "--json"]
    left = study.set_axis(range(1, 301)).drop(index=[4, 6, 17, 41])
    frame = left.assign(race=left["race"].astype("category"), square=left["age"] ** 2)
    expected = co.balance(frame, treatment="treat", covariates=["square", "race"])
    np.testing.assert_allclose([w["weight"] for w in answer(run(*formula))["weights"]], expected.weights, rtol=1e-9)
    target = study.head(50).copy()
    target.loc[7, "age"] = np.nan
    target.to_csv("target.csv", index=False)
    words = ["balance", "study.csv", "--covariates", "age", "--estimand", "population", "--target", "target.csv"]
    found = answer(run(*words, "--missing", "drop", "--json"))
    rows = study.set_axis(range(1, 301)).drop(index=[4, 17, 41])[["age"]]
    problem = co.BalanceProblem(rows, estimand="population", target=target[["age"]].dropna())
    assert [w["weight"] for w in found["weights"]] == co.solve(problem).weights.tolist()
    assert [each["total"] for each in found["dropped"]] == [300, 50]
    study.to_csv("study.csv", index=False)
    assert "target.csv: Column 'age' has missing values in 1 row: 8." in said(run(*words))


def test_robust_z_and_factorial(run, gaps, factorial, folder):
    words = ["robust-z", "study.csv", "--outcome", "wage", "--treatment", "treat", "--exact", "race,site", "--caliper",
             "age=2", "--missing", "drop", "--json"]  # fmt: skip
    found = answer(run(*words))
    chosen = dict(outcome="wage", treatment="treat", exact=["race", "site"], calipers={"age": 2})
    expected = co.robust_z_test(gaps, **chosen)
    assert (found["max"]["z"], found["min"]["z"]) == (expected.z_max, expected.z_min)
    assert len(found["dropped"][0]["labels"]) == 5
    curve = answer(run(*words, "--pairs", "3,4"))
    assert curve["dropped"] == found["dropped"]
    holes = factorial.copy()
    holes.loc[[1, 2], "quit"] = np.nan
    holes.loc[9, "kg"] = np.nan
    holes.to_csv("factorial.csv", index=False)
    call = ["factorial", "factorial.csv", "--factors", "quit,idle", "--covariates", "age", "--outcome", "kg", "--json"]
    assert run(*call).exit_code == Exit.INPUT
    found = answer(run(*call, "--missing", "drop"))
    own = co.factorial_balance(factorial.drop(index=[1, 2, 9]), factors=["quit", "idle"], covariates=["age"])
    assert [row["estimate"] for row in found["estimates"]] == own.estimate("kg")["estimate"].tolist()
    assert sum(found["dropped"][0]["by_group"].values()) == 3


def test_of_matched_pairs_both_units_go(run, trial):
    holes = trial.copy()
    holes.loc[4, "y"] = np.nan
    holes.to_csv("trial.csv", index=False)
    words = ["bootstrap", "trial.csv", "--outcome", "y", "--treatment", "t", "--design", "pairs", "--groups", "pair",
             "--json", "--method", "isotone"]  # fmt: skip
    assert "column 'y' has missing values in 1 row: 5" in run(*words).stdout.lower()
    found = answer(run(*words, "--missing", "drop"))
    rest = trial.drop(index=[4, 5])
    expected = co.causal_bootstrap(rest["y"], rest["t"], co.MatchedPairs(rest["pair"].to_numpy()), method="isotone")
    assert (found["lower"], found["upper"]) == (expected.lower, expected.upper)
    assert found["dropped"][0]["labels"] == [5, 6]
    assert "1 row without a gap went with the other of the pair" in found["dropped"][0]["words"]
    words[6:10] = ["--design", "complete"]
    alone = answer(run(*words, "--missing", "drop"))
    assert alone["dropped"][0]["labels"] == [5] and alone["dropped"][0]["by_group"] == {f"t {trial['t'][4]}": 1}


SYNTH = ["synth", "panel.csv", "--unit", "state", "--time", "year", "--outcome", "sales", "--treatment-time", "2006"]


def test_of_a_panel_whole_donors_go_and_nothing_else(run, panel):
    holes = panel.copy()
    holes.loc[(holes["state"] == "B") & (holes["year"] == 2001), "sales"] = np.nan
    holes = holes[~((holes["state"] == "C") & holes["year"].isin([2004, 2005]))]  # rows that are not there
    holes.to_csv("panel.csv", index=False)
    refused = said(run(*SYNTH, "--treated", "A"))
    assert "Column 'sales' has missing values for 'B' in 2001 and 'C' in 2004, 2005." in refused
    assert "--missing drop leaves donors with gaps out" in refused
    found = answer(run(*SYNTH, "--treated", "A", "--missing", "drop", "--json"))
    kept = panel[panel["state"].isin(list("ADE"))]
    names = dict(unit="state", time="year", outcome="sales", treatment_time=2006)
    assert found["att"] == co.synthetic_control(kept, treated="A", **names).att
    assert found["dropped"][0]["labels"] == ["B", "C"] and found["dropped"][0]["what"] == "donor"
    named = answer(run(*SYNTH, "--treated", "A", "--missing", "drop", "--json", "--donors", "C", "--donors", "E"))
    assert [row["donor"] for row in named["weights"]] == ["E"]
    without = answer(run(*SYNTH, "--treated", "A", "--without", "B", "--without", "C", "--json"))
    assert without["att"] == found["att"] and without["dropped"] == []
    treated = run(*SYNTH, "--treated", "B", "--missing", "drop")
    assert treated.exit_code == Exit.INPUT
    assert "Treated unit 'B' has no value of 'sales' in 2001, and --missing drop leaves out donors" in said(treated)


def test_predictors_count_at_the_times_that_are_averaged(run, panel):
    holes = panel.copy()
    holes.loc[(holes["state"] == "B") & (holes["year"] == 2001), "income"] = np.nan
    holes.loc[holes["year"] == 2007, "income"] = np.nan  # after the treatment: not averaged
    holes.to_csv("panel.csv", index=False)
    names = dict(unit="state", time="year", outcome="sales", treatment_time=2006, treated="A")
    words = [*SYNTH, "--treated", "A", "--predictors"]
    assert "Column 'income' has missing values for 'B' in 2001." in said(run(*words, "income"))
    found = answer(run(*words, "income", "--missing", "drop", "--json"))
    kept = panel[panel["state"] != "B"]
    assert found["att"] == co.synthetic_control(kept, predictors=["income"], **names).att
    assert found["dropped"][0]["by_column"] == {"income": 1} and found["dropped"][0]["labels"] == ["B"]
    later = answer(run(*words, "income@2002:2005", "--json"))
    years = [("income", [2002, 2003, 2004, 2005])]
    assert later["att"] == co.synthetic_control(panel, predictors=years, **names).att and later["dropped"] == []


def test_where_nothing_would_be_left(run, study, panel):
    study.assign(age=np.nan).to_csv("study.csv", index=False)
    out = said(run(*BALANCE, "--missing", "drop"))
    assert "--missing drop leaves no rows: each has a missing value; column 'age' alone in 300 of 300" in out
    panel[(panel["state"] == "A") | (panel["year"] > 2000)].to_csv("panel.csv", index=False)
    assert "--missing drop leaves no donors" in said(run(*SYNTH, "--treated", "A", "--missing", "drop"))
    panel.assign(state=panel["state"].where(panel.index != 3)).to_csv("panel.csv", index=False)
    nowhere = said(run(*SYNTH, "--treated", "A", "--missing", "drop"))
    assert "--unit: column 'state' has missing values in 1 row: 4." in nowhere


def test_numbers_that_only_gaps_made_decimals_are_whole_again():
    frame = pd.DataFrame({"t": [0.0, 1.0, np.nan], "x": [1.0, 2.0, 3.0]})
    left, dropped = complete(frame, ["t", "x"], "drop", ["t"])
    assert left["t"].tolist() == [0, 1] and left["t"].dtype.kind == "i" and left["x"].dtype.kind == "f"
    assert dropped.by_group == {"t missing": 1}
    whole, nothing = complete(frame, ["x"], "error", ["t"])
    assert whole is frame and nothing is None
