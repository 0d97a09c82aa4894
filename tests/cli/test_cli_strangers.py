"""Files as people have them: what can be read is read, and the rest is refused in words that say what to do."""

import json

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt.console.codes import Exit
from causalopt.console.reading import value_of

BALANCE = ["--treatment", "treat", "--covariates", "age", "--json"]


def said(result):
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return " ".join(result.stderr.split())


def weights(result):
    assert result.exit_code == 0, result.output
    return [row["weight"] for row in json.loads(result.stdout)["weights"]]


# ---- what can be read ----


def test_byte_order_marks_decimal_commas_semicolons_spaces_and_trailing_separators(run, study, folder):
    plain = weights(run("balance", "study.csv", *BALANCE))
    study.to_csv("bom.csv", index=False, encoding="utf-8-sig")
    assert weights(run("balance", "bom.csv", "--index", "id", *BALANCE)) == plain  # id is the first name
    assert weights(run("balance", "-", "--index", "id", *BALANCE, input=(folder / "bom.csv").read_text())) == plain
    study.to_csv("euro.csv", index=False, sep=";", decimal=",")
    assert weights(run("balance", "euro.csv", "--separator", ";", "--decimal", ",", *BALANCE)) == plain
    study.rename(columns={"age": " age "}).to_csv("spaces.csv", index=False)
    assert weights(run("balance", "spaces.csv", *BALANCE)) == plain
    lines = (folder / "study.csv").read_text().splitlines()
    (folder / "trailing.csv").write_text("\n".join([lines[0], *(f"{line}," for line in lines[1:])]))
    assert weights(run("balance", "trailing.csv", *BALANCE)) == plain


def test_names_that_are_several_words_or_hold_a_comma(run, study):
    frame = study.rename(columns={"age": "age, years", "educ": "years of school"})
    frame.to_csv("odd.csv", index=False)
    words = ["balance", "odd.csv", "--treatment", "treat", "--json"]
    plain = weights(run("balance", "study.csv", "--treatment", "treat", "--covariates", "age,educ", "--json"))
    assert weights(run(*words, "--covariates", "age, years", "--covariates", "years of school")) == plain
    assert weights(run(*words[:2], "--formula", "treat ~ `age, years` + `years of school`", "--json")) == plain
    out = said(run(*words[:2], "--formula", "treat ~ years of school"))
    assert "Names that are not one word stand in backticks: `years of school`." in out and "school - 1" not in out
    robust = ["robust-z", "odd.csv", "--treatment", "treat", "--outcome", "wage", "--json", "--pairs", "5"]
    found = json.loads(run(*robust, "--exact", "years of school").stdout)
    expected = co.robust_z_test(frame, outcome="wage", treatment="treat", exact=["years of school"], pairs=5)
    assert found["max"]["z"] == expected.z_max


def test_truth_values_are_written_as_in_the_file():
    column = pd.Series([True, False], name="t")
    assert value_of("true", column) is True and value_of("FALSE", column) is False and value_of("True", column) is True
    with pytest.raises(co.DataError, match="Unknown value of column 't' 'yes'"):
        value_of("yes", column)


# ---- what is refused ----


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,treat\n1,0,5\n2,1,6\n", "has more values than column names. A value that holds ',' must stand in quotes"),
        ("age,treat\n1,0\n2,1,6\n", "has 3 values in line 3, and 2 before it."),
        ("age,treat\n1,0,5\n2,1\n", "has more values than column names"),
        ("age;treat\n1,5;0\n2,5;1\n", "say --separator ';'"),
        ("age;treat\n1;0\n", "Say --separator ';' (or another)"),
        ("age, age ,treat\n1,2,0\n", "has two columns named 'age'; rename one"),
        ('age,treat\n"1,5",0\n"2,5",1\n', "If these are decimal commas, say --decimal ,;"),
        ("age,treat\n2020-01-05,0\n2020-01-06,1\n", "These are dates: make them numbers first, such as days since"),
        ("age,treat\n100000000000000000000,0\n2,1\n", "whole numbers of more than 18 digits. Divide them"),
        ("age,treat\n1e200,0\n2,1\n", "numbers as large as 1e+200, whose squares are too large"),
        ("age,treat\n7,0\n7,1\n", "Covariate 'age' is 7 in every row: there is nothing to balance"),
        ("age,treat\n7,0\n8,0\n", "Treatment 'treat' is 0 in every row"),
        ("age,treat\n7,no\n8,no\n9,yes\n", "Which of 'no' and 'yes' is treated? Say --treated yes."),
    ],
)  # fmt: skip
def test_files_that_are_refused(run, folder, text, message):
    (folder / "odd.csv").write_text(text)
    out = run("balance", "odd.csv", *BALANCE[:-1])
    assert out.exit_code == Exit.INPUT and message.lower() in said(out).lower(), said(out)


def test_another_encoding_and_marks_that_cannot_be(run, study, folder):
    (folder / "latin.csv").write_bytes("âge,treat\n1,0\n2,1\n".encode("latin-1"))
    assert "latin.csv is not in UTF-8: save it in that encoding first" in said(
        run("balance", "latin.csv", *BALANCE[:-1])
    )
    both = said(run("balance", "study.csv", "--decimal", ",", *BALANCE[:-1]))
    assert "--decimal is ',' and --separator ','; they must be two different characters" in both


def test_labels_of_rows_are_there_and_differ(run, study):
    study.assign(id=study["educ"] / 2).to_csv("study.csv", index=False)
    twice = said(run("balance", "study.csv", "--index", "id", *BALANCE[:-1]))
    assert f"--index id: the label {study['educ'].tolist()[study['educ'].duplicated().argmax()] / 2}" in twice
    study.assign(id=study["id"].where(study.index != 4)).to_csv("study.csv", index=False)
    assert "--index id: row 5 has no label" in said(run("balance", "study.csv", "--index", "id", *BALANCE[:-1]))


def test_the_treatment_must_be_named(run, study):
    out = said(run("balance", "study.csv", "--covariates", "age"))
    assert "Name the column of the treatment, --treatment" in out


def test_one_treated_unit(run, study):
    one = study.assign(treat=(study.index == 7).astype(int))
    one.to_csv("one.csv", index=False)
    out = said(run("balance", "one.csv", *BALANCE[:-1]))
    assert "Use --scale age=raw or 'pooled'" in out
    assert run("balance", "one.csv", *BALANCE[:-1], "--scale", "pooled").exit_code == 0
    pairs = run("robust-z", "one.csv", "--treatment", "treat", "--outcome", "wage", "--exact", "site")
    assert pairs.exit_code == Exit.INFEASIBLE and "The one treated unit is in it." in said(pairs)
    assert "Explanation" not in pairs.stderr  # no set of units blocks


SYNTH = ["synth", "panel.csv", "--unit", "state", "--time", "year", "--outcome", "sales", "--treated", "A"]


def test_times_in_words_are_in_the_order_of_their_letters_or_refused(run, panel):
    numbers = json.loads(run(*SYNTH, "--treatment-time", "2006", "--json").stdout)
    days = panel.assign(year=panel["year"].astype(str) + "-01-01")
    days.to_csv("panel.csv", index=False)
    for when in ("2006-01-01", "2006"):
        assert json.loads(run(*SYNTH, "--treatment-time", when, "--json").stdout)["att"] == numbers["att"]
    for when in ("9", "January 2006", "06"):
        assert f"--treatment-time '{when}' is not written as the times are" in said(
            run(*SYNTH, "--treatment-time", when)
        )
    late = said(run(*SYNTH, "--treatment-time", "2006", "--predictors", "income@soon"))
    assert "--predictors 'soon' is not written as the times are" in late
    for form in ("01.02.{}", "1-{}"):
        panel.assign(year=[form.format(year) for year in panel["year"]]).to_csv("panel.csv", index=False)
        out = said(run(*SYNTH, "--treatment-time", form.format(2006)))
        assert "whose order is not that of their letters. Write them with the year first" in out
    words = np.where(panel["year"] % 2, "Jan ", "Feb ") + panel["year"].astype(str)
    panel.assign(year=words).to_csv("panel.csv", index=False)
    out = said(run(*SYNTH, "--treatment-time", "Feb 2006"))
    assert "such as 2019-09-01 or 2019-Q3, or as numbers." in out and "column 'year'" in out
    panel.assign(year=panel["year"].astype(str) + np.where(panel["year"] > 2003, "-1", "-01")).to_csv(
        "panel.csv", index=False
    )
    assert "whose order is not that of their letters" in said(run(*SYNTH, "--treatment-time", "2006"))


def test_dates_of_parquet_files_are_times(run, panel):
    pytest.importorskip("pyarrow")
    words = ["--treatment-time", "2006", "--predictors", "income,sales@2002:2003,sales@2005", "--json"]
    numbers = json.loads(run(*SYNTH, *words).stdout)
    panel.assign(year=pd.to_datetime(panel["year"].astype(str))).to_parquet("panel.parquet")
    call = [SYNTH[0], "panel.parquet", *SYNTH[2:], "--treatment-time", "2006-01-01"]
    dates = "income,sales@2002-01-01:2003-01-01,sales@2005-01-01"
    found = run(*call, "--predictors", dates, "--json")
    assert found.exit_code == 0 and json.loads(found.stdout)["att"] == numbers["att"]
    assert "--treatment-time 'soon' is no date" in said(run(*call[:-1], "soon"))


def test_panels_that_are_refused(run, panel):
    time = ["--treatment-time", "2006"]
    pd.concat([panel, panel.iloc[[3]]]).to_csv("panel.csv", index=False)
    assert "'A' in 2003. Keep one row of each, or their mean." in said(run(*SYNTH, *time))
    panel.assign(sales=panel["sales"].where(panel["state"] != "C", 7.0)).to_csv("panel.csv", index=False)
    assert "leave it out (--without)" in said(run(*SYNTH, *time))
    assert run(*SYNTH, *time, "--without", "C").exit_code == 0
    same = [*SYNTH[:4], "--time", "state", *SYNTH[6:], *time]
    assert "must name three different columns" in said(run(*same))
    assert "--without names a treated unit" in said(run(*SYNTH, *time, "--without", "A"))
    several = said(run(*SYNTH, *time, "--donors", "B,D"))
    assert "To name several, repeat the option." in several


def test_designs_that_cannot_be(run, trial):
    words = ["bootstrap", "trial.csv", "--outcome", "y", "--treatment", "t", "--design"]
    assert "--probability is 1.5; it must lie strictly between" in said(run(*words, "bernoulli", "--probability", 1.5))
    mixed = said(run(*words, "cluster", "--groups", "pair"))
    assert "--design cluster: pair 0 has treated and untreated units" in mixed


def test_the_picture_of_the_range(run, panel, folder):
    pytest.importorskip("matplotlib")
    out = run(*SYNTH, "--treatment-time", "2006", "--picture", "range", "--plot", "r.png")
    assert out.exit_code == 0 and (folder / "r.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("columns", [80, 120])
def test_lines_are_as_wide_as_the_terminal_and_no_wider(study, panel, columns):
    from typer.testing import CliRunner

    from causalopt.cli import app

    study.rename(columns={"age": "a name that is much longer than anybody would like a name of a column to be"}).to_csv(
        "long.csv", index=False
    )
    name = "a name that is much longer than anybody would like a name of a column to be"
    for words in (
        ["balance", "long.csv", "--treatment", "treat", "--covariates", name, "--outcome", "wage", "--explain"],
        ["balance", "long.csv", "--treatment", "treat", "--covariates", name, "--lower", "2"],
        ["balance", "long.csv", "--treatment", "treat", "--covariates", "agee"],
        [*SYNTH, "--treatment-time", "2006", "--placebo", "space"],
    ):  # fmt: skip
        out = CliRunner().invoke(app, words, env={"COLUMNS": str(columns)})
        assert max(map(len, (out.stdout + out.stderr).splitlines())) <= columns
