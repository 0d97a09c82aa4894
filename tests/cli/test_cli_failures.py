"""What goes wrong: exit codes, messages that say what to do, and nothing written."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer

import causalopt as co
from causalopt.cli import app
from causalopt.console.arguments import any_value, mapping, names, value_or_mapping
from causalopt.console.codes import Exit
from causalopt.console.reading import value_of

ROBUST = ["robust-z", "study.csv", "--outcome", "wage", "--treatment", "treat"]
BOOTSTRAP = ["bootstrap", "study.csv", "--outcome", "wage", "--treatment", "treat", "--design"]
FORMULA = ["balance", "study.csv", "--formula"]
BALANCE = ["balance", "study.csv", "--treatment", "treat", "--covariates", "age,educ"]


def said(result):
    """The message in one line."""
    return " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["balance", "stdy.csv", "--covariates", "age"], "no file stdy.csv (did you mean study.csv?)"),
        (["balance", "no/study.csv"], "there is no folder no"),
        (["balance", "study.xlsx"], "has .xlsx: a .csv (or .csv.gz) or .parquet file"),
        (["balance", "study.csv", "--treatment", "treet", "--covariates", "age"],
         "--treatment: Unknown column 'treet'. Did you mean 'treat'"),
        (["balance", "study.csv", "--treatment", "treat", "--covariates", "age,edu"],
         "--covariates: Unknown column 'edu'. Did you mean 'educ'"),
        ([*BALANCE, "--outcome", "wages"], "--outcome: Unknown column 'wages'. Did you mean 'wage'"),
        ([*BALANCE, "--covariates", "race"], "Column 'race' is not numeric in 300 row(s): 1, 2, 3, 4, 5, ...;"),
        ([*BALANCE, "--covariates", "race"], "say --categories race"),
        ([*BALANCE, "--covariates", "treat"], "also among the covariates"),
        (["balance", "study.csv", "--treatment", "treat"], "Name the columns to balance, --covariates age,educ"),
        ([*BALANCE, "--estimand", "ATX"], "Unknown estimand 'ATX'. Did you mean 'ATT'"),
        ([*BALANCE, "--tolerance", "small"], "--tolerance: 'small' is not a number"),
        ([*BALANCE, "--tolerance", "ag=0.1"], "Unknown covariate in tolerance 'ag'. Did you mean 'age'"),
        ([*BALANCE, "--tolerance", "0.1", "--tolerance", "0.2"], "two plain values, 0.1 and 0.2"),
        ([*BALANCE, "--scale", "meters"], "Unknown scale 'meters'"),
        ([*BALANCE, "--treated", "2"], "Unknown value of column 'treat' '2'. Known: 0, 1"),
        ([*BALANCE, "--variance", "robust"], "Unknown value of --variance 'robust'"),
        ([*BALANCE, "--formula", "treat ~ age"], "--formula names treatment and covariates"),
        ([*BALANCE, "--index", "race"], "occurs more than once"),
        ([*BALANCE, "--solver-option", "x"], "'x' is not of the form name=value"),
        ([*BALANCE, "--solver", "highs", "--solver-option", "mip_rel_gapp=1"], "mip_rel_gapp"),
        ([*BALANCE, "--time-limit", "-1"], "--time-limit is -1.0"),
        ([*BALANCE, "--contrast", "1"], "must name two groups"),
        ([*FORMULA, "treat + site ~ age"], "one treatment stands left of ~, not 2"),
        ([*FORMULA, "age + educ"], "is not of the form 'treatment ~ covariates'"),
        ([*FORMULA, "treat ~ agee + educ"], "--formula: Unknown column or function 'agee'. Did you mean 'age'"),
        ([*FORMULA, "treat ~ age + ("], "--formula cannot be used: "),
        ([*FORMULA, "treat ~ nosuch(age)"], "Unknown column or function 'nosuch'"),
        ([*FORMULA, "treat ~ age + treat"], "also among the covariates"),
        ([*FORMULA, "treat ~ educ + C(educ)"], "two terms of 'educ + C(educ)' give a covariate named 'educ'"),
        ([*FORMULA, "treat ~ race + age + C(race)"], "give a covariate named 'race'"),
        ([*ROBUST, "--pairs", "many"],
         "--pairs: 'many' is not a whole number"),
        ([*ROBUST, "--plot", "x.png"], "say --pairs curve"),
        ([*ROBUST, "--capsule", "x.capsule"],
         "--capsule is not available here: the answer takes several programs"),
        ([*ROBUST, "--caliper", "age"], "name=value"),
        ([*ROBUST, "--exact", "rac"], "Did you mean 'race'"),
        ([*BOOTSTRAP, "pair"],
         "Unknown value of --design 'pair'. Did you mean 'pairs'"),
        ([*BOOTSTRAP, "pairs"], "needs --groups"),
        ([*BOOTSTRAP, "bernoulli"],
         "needs --probability"),
        ([*BOOTSTRAP, "complete", "--slack", "few"],
         "'few' is not a number"),
        ([*BOOTSTRAP, "complete", "--method",
          "sampling", "--capsule", "x"], "solves no program"),
        ([*BOOTSTRAP, "complete", "--method",
          "sampling", "--output", "x.csv"], "imputes no outcomes"),
        (["synth", "study.csv", "--unit", "id", "--time", "age", "--outcome", "wage", "--treated", "p00",
          "--treatment-time", "40"], "Unknown value of column 'id' 'p00'"),
        (["synth", "study.csv", "--unit", "id", "--time", "age", "--outcome", "wage", "--treated", "p000",
          "--treatment-time", "then"], "--treatment-time: 'then' is not a number"),
        (["factorial", "study.csv", "--covariates", "age"], "Name the factors"),
        (["factorial", "study.csv", "--factors", "treat,age", "--covariates", "educ"],
         "Factor 'age' must take two values"),
        (["replay", "study.csv"], "study.csv is not a capsule"),
        (["export", "study.csv", "x.lp"], "study.csv is not a capsule"),
        (["export", "study.csv", "x.txt"], "the name must end in .lp or .mps or .nl"),
    ],
)  # fmt: skip
def test_bad_input_is_exit_1_with_what_to_do(run, study, folder, words, message):
    out = run(*words)
    assert out.exit_code == Exit.INPUT, out.output
    assert message in said(out) and "Traceback" not in out.output
    assert not out.stdout
    assert [path.name for path in folder.iterdir()] == ["study.csv"]


def test_missing_values_and_text_among_numbers_name_their_rows(run, study):
    study.assign(age=study["age"].where(study.index != 16)).to_csv("study.csv", index=False)
    assert "Column 'age' has missing values in 1 row: 17. --missing drop leaves" in said(run(*BALANCE))
    by_label = said(run(*BALANCE, "--index", "id"))
    assert "in 1 row: 'p016'." in by_label
    formula = said(run("balance", "study.csv", "--formula", "treat ~ I(age**2)"))
    assert "Column 'age' has missing values in 1 row: 17." in formula
    study["age"] = study["age"].astype(str)
    study.loc[4, "age"] = "forty"
    study.to_csv("study.csv", index=False)
    assert "Column 'age' is not numeric in 1 row(s): 5; the first holds 'forty'." in said(run(*BALANCE))


def test_numbers_that_are_stored_as_text_are_refused_with_their_type(run, study):
    pytest.importorskip("pyarrow")
    study.assign(age=study["age"].astype(str)).to_parquet("text.parquet")
    out = run("balance", "text.parquet", "--treatment", "treat", "--covariates", "age")
    assert out.exit_code == Exit.INPUT and "Column 'age' is not numeric: its type is str" in said(out)


def test_files_that_hold_no_table(run, folder):
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("age,treat\n")
    (folder / "twice.csv").write_text("age,age\n1,2\n")
    (folder / "semi.csv").write_text("age;treat\n1;2\n")
    words = ["--treatment", "treat", "--covariates", "age"]
    for name, message in {
        "empty.csv": "cannot be read as CSV: No columns",
        "header.csv": "has no rows below its header",
        "twice.csv": "has two columns named 'age'",
        "semi.csv": "Say --separator ';'",
    }.items():
        out = run("balance", name, *words)
        assert out.exit_code == Exit.INPUT and message in said(out)
    piped = run("balance", "-", *words, input="")
    assert piped.exit_code == Exit.INPUT and "Standard input cannot be read as CSV" in said(piped)


def test_parquet_without_pyarrow(run, study, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "pyarrow" else found(name, *a))
    out = run(*BALANCE, "--output", "w.parquet")
    assert out.exit_code == Exit.INPUT and "pip install 'pycausalopt[parquet]'" in said(out)


# ---- outputs ----


def test_an_existing_output_is_kept_unless_forced(run, study, folder):
    (folder / "w.csv").write_text("mine")
    out = run(*BALANCE, "--output", "w.csv", "--capsule", "new.capsule")
    assert out.exit_code == Exit.INPUT and "w.csv exists already; --force replaces it" in said(out)
    assert (folder / "w.csv").read_text() == "mine" and not (folder / "new.capsule").exists()
    assert run(*BALANCE, "--output", "w.csv", "--force").exit_code == 0
    assert (folder / "w.csv").read_text().startswith("row,treat,weight\n1,")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "w.txt"], "must end in .csv or .parquet"),
        (["--plot", "p.jpg"], "must end in .png or .pdf or .svg"),
        (["--export", "m.gms"], "must end in .lp or .mps or .nl"),
        (["--output", "there/w.csv"], "there is no folder there"),
        (["--capsule", "."], "is a folder"),
        (["--output", "w.csv", "--capsule", "w.csv"], "the same file name"),
    ],
)
def test_outputs_are_checked_before_anything_is_solved(run, study, folder, words, message, monkeypatch):
    monkeypatch.setattr("causalopt.console.running.solve", lambda *_: pytest.fail("it solved"))
    out = run(*BALANCE, *words)
    assert out.exit_code == Exit.INPUT and message in said(out)
    assert [path.name for path in folder.iterdir()] == ["study.csv"]


def test_where_one_file_fails_none_appears(run, study, folder, monkeypatch):
    def fail(problem, answer):
        raise co.DataError("no model today")

    monkeypatch.setattr("causalopt.console.running.program_of", fail)
    (folder / "w.csv").write_text("mine")
    out = run(*BALANCE, "--output", "w.csv", "--force", "--capsule", "c.capsule", "--export", "m.lp")
    assert out.exit_code == Exit.INPUT and "no model today" in said(out)
    assert sorted(path.name for path in folder.iterdir()) == ["study.csv", "w.csv"]
    assert (folder / "w.csv").read_text() == "mine"


# ---- the other codes ----


def test_infeasible_is_exit_3_and_shows_the_explanation(run, study, folder):
    words = [*BALANCE, "--tolerance", "0", "--upper", "1.01", "--output", "w.csv"]
    out = run(*words)
    assert out.exit_code == Exit.INFEASIBLE and "No weights meet these tolerances" in said(out)
    assert "smallest jointly" in said(out) and not (folder / "w.csv").exists()
    found = json.loads(run(*words, "--json").stdout)
    assert found["exit_code"] == 3 and found["error"]["type"] == "InfeasibleError"
    assert {row["covariate"] for row in found["error"]["explanation"]} == {"age", "educ"}
    pairs = run("robust-z", "study.csv", "--outcome", "wage", "--treatment", "treat", "--exact", "id", "--pairs", "3")
    assert pairs.exit_code == Exit.INFEASIBLE and "largest n is 0" in said(pairs)


@pytest.mark.parametrize("error", [co.SolverFailure("the solver stopped"), KeyboardInterrupt()])
def test_an_explanation_that_cannot_be_found_leaves_the_message(run, study, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("causalopt.problems.balance.infeasible.explanation", fail)
    words = [*BALANCE, "--tolerance", "0", "--upper", "1.01"]
    out = run(*words)
    assert out.exit_code == Exit.INFEASIBLE and "InfeasibleError: No weights meet these tolerances" in said(out)
    assert "Explanation" not in said(out)
    found = json.loads(run(*words, "--json").stdout)
    assert found["exit_code"] == 3 and found["error"]["type"] == "InfeasibleError"
    assert found["error"]["explanation"] is None


def test_no_solver_is_exit_5(run, study):
    out = run(*BALANCE, "--solver", "hihgs")
    assert out.exit_code == Exit.NO_SOLVER and "Did you mean 'highs'" in said(out)
    other_class = run(*BALANCE, "--solver", "pyomo:cbc")
    assert other_class.exit_code == Exit.NO_SOLVER
    found = json.loads(run(*BALANCE, "--solver", "hihgs", "--json").stdout)
    assert found["error"]["type"] == "SolverNotAvailable" and found["exit_code"] == 5


def test_a_licence_that_is_too_small_is_exit_5(run, folder):
    if not co.solvers().loc["cplex", "installed"] or co.solvers().loc["cplex", "licence"] != "restricted":
        pytest.skip("needs the restricted licence of CPLEX")
    rng = np.random.default_rng(0)
    pd.DataFrame({"x": rng.normal(size=2500), "t": np.arange(2500) % 2}).to_csv("big.csv", index=False)
    out = run("balance", "big.csv", "--treatment", "t", "--covariates", "x", "--solver", "cplex")
    assert out.exit_code == Exit.NO_SOLVER and "the restricted licence allows 1,000 variables" in said(out)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (co.VerificationError("it lied"), Exit.REFUTED),
        (co.SolverFailure("it ended without a solution"), Exit.NO_ANSWER),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
    ],
)
def test_refuted_failed_and_interrupted(run, study, folder, monkeypatch, error, code):
    def fail(*_):
        raise error

    monkeypatch.setattr("causalopt.console.running.solve", fail)
    out = run(*BALANCE, "--output", "w.csv")
    assert out.exit_code == code and not (folder / "w.csv").exists()
    as_json = run(*BALANCE, "--json")
    assert as_json.exit_code == code and json.loads(as_json.stdout)["error"]["type"] == type(error).__name__


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), Exit.INTERRUPTED), (co.SolverFailure("it stopped"), Exit.NO_ANSWER)]
)
def test_what_ends_a_command_after_its_files_names_them(run, study, folder, monkeypatch, error, code):
    def fail(*_):
        raise error

    monkeypatch.setattr("causalopt.console.showing.show_explanation", fail)
    monkeypatch.setattr("causalopt.console.showing.explanation", fail)
    words = [*BALANCE, "--explain", "--force", "--output", "w.csv", "--capsule", "c.capsule"]
    for more in ([], ["--json"]):
        out = run(*words, *more)
        text = " ".join(out.output.split())
        assert out.exit_code == code and "topped. Written before that: w.csv, c.capsule." in text
        assert "nothing was written" not in text
    assert {path.name for path in folder.iterdir()} == {"study.csv", "w.csv", "c.capsule"}
    without = run(*BALANCE, "--explain")
    assert without.exit_code == code and "Written before" not in said(without)


HARD = ["bootstrap", "trial.csv", "--outcome", "y", "--treatment", "t", "--design", "pairs", "--groups", "pair",
        "--formulation", "mccormick", "--solver", "highs"]  # not proven in minutes  # fmt: skip


@pytest.mark.slow
def test_a_limit_with_an_incumbent_is_exit_4_and_its_answer_is_written(run, trial, folder):
    for seconds in (3, 12, 48):  # until the solver has a first solution; without one, nothing is written
        out = run(*HARD, "--json", "--output", "o.csv", "--time-limit", seconds)
        if out.exit_code != Exit.NO_ANSWER:
            break
        assert not (folder / "o.csv").exists() and "Allow more time" in out.stdout
    found = json.loads(out.stdout)
    assert out.exit_code == found["exit_code"] == Exit.UNPROVEN, out.output
    assert found["status"] == {"reason": "feasible", "limit": "time", "raw": found["status"]["raw"]}
    assert found["gap"] > 0 and any("time limit" in note for note in found["warnings"])
    assert len(pd.read_csv("o.csv")) == len(trial)


def test_wrong_usage_is_exit_2(run, study):
    assert run("balance").exit_code == Exit.USAGE
    assert run(*BALANCE, "--nonsense").exit_code == Exit.USAGE
    assert run(*BALANCE, "--level", "high").exit_code == Exit.USAGE
    assert run("nonsense").exit_code == Exit.USAGE


# ---- help, and plain output ----


def commands():
    group = typer.main.get_command(app)
    return {name: command for name, command in group.commands.items() if name != "bench"}


@pytest.mark.parametrize("name", commands())
def test_every_option_has_help_and_every_command_its_codes(run, name):
    command = commands()[name]
    assert command.help and all(getattr(p, "help", None) for p in command.params), name
    out = run(name, "--help")
    assert out.exit_code == 0 and max(map(len, out.stdout.splitlines())) <= 80
    assert "Exit codes" in out.stdout
    assert all(p.metavar is not None for p in command.params if p.name != "help")  # else typer shows types of Python


def test_codes_in_help_docs_and_code_are_the_same():
    from causalopt.console.codes import EPILOG

    codes = {str(int(code)) for code in Exit}
    assert set(re.findall(r"[:;] (\d+) ", EPILOG)) == codes
    page = (Path(__file__).parents[2] / "docs" / "command_line.md").read_text()
    assert set(re.findall(r"^\| (\d+) \|", page, re.MULTILINE)) == codes


def test_output_that_is_not_a_terminal_has_no_control_characters(run, study):
    for words in ([*BALANCE, "--outcome", "wage"], [*BALANCE, "--solver", "higs"], ["solvers"], ["--help"]):
        out = run(*words)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", out.stdout + out.stderr)
        assert max(map(len, (out.stdout + out.stderr).splitlines())) <= 80


def test_markup_in_names_is_shown_as_it_is(run, study):
    study.rename(columns={"age": "[red]age[/]"}).to_csv("odd.csv", index=False)
    out = run("balance", "odd.csv", "--treatment", "treat", "--covariates", "[red]age[/]")
    assert out.exit_code == 0 and "[red]age[/]" in out.stdout


def test_a_value_is_the_text_itself_before_another_writing_of_its_number():
    assert value_of("1", pd.Series(["01", "1", "a"])) == "1"
    assert value_of("1", pd.Series(["a", "01"])) == "01" and value_of("1", pd.Series([0.0, 1.0, np.nan])) == 1.0
    with pytest.raises(co.DataError, match=r"'1' may be '01' or '1\.0' in column 't'; write it as it stands there"):
        value_of("1", pd.Series(["01", "1.0"], name="t"))


def test_words_of_options():
    assert names(["a, b", "c", ",d,"]) == ["a", "b", "c", "d"]
    assert mapping(["a=b=1"], "--x", lambda text, _: text) == {"a=b": "1"}
    assert value_or_mapping(None, "--x", lambda text, _: float(text), 3.0) == 3.0
    assert value_or_mapping(["a=1", "2"], "--x", lambda text, _: float(text), 3.0) == {"default": 2.0, "a": 1.0}
    assert any_value("1e3") == 1000.0 and any_value("False") is False
