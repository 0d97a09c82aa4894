"""What the library says reaches the terminal in terms of the command's options, never of Python."""

import ast
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt.console import arguments
from causalopt.console.exits import Exit
from causalopt.console.wording import PYTHON_ONLY, Option, in_options, speaking_of
from causalopt.problems.balance import command as balance
from causalopt.problems.copula.bootstrap import command as bootstrap
from causalopt.problems.factorial import command as factorial
from causalopt.problems.robust.z import command as robust_z
from causalopt.problems.synthetic_control import command as synth

COMMANDS = (balance.balance, bootstrap.bootstrap, factorial.factorial, robust_z.robust_z, synth.synth)
RENAMED = {"basis", "calipers", "v"}
KNOWN = {name for f in COMMANDS for name in arguments._spread(f)[0].parameters} | RENAMED | set(PYTHON_ONLY)

#: Python in a message: an argument with its equals sign, a call, a data frame, None.
PYTHON = re.compile(rf"(?<![\w'\"-])(?:{'|'.join(KNOWN)})=|\w\(\)|\bdf\b|\bpd\.|\bco\.|\bNone\b|\bTrue\b|\bFalse\b")


def said(result):
    return " ".join(result.stderr.split())


OPTIONS = {
    "treated": Option("--treated"),
    "pairs": Option("--pairs"),
    "scale": Option("--scale", "pairs"),
    "separate": Option("--separate", "flag"),
    "intercept": Option("--intercept", "yes or no"),
    "contrast": Option("--contrast"),
    "effects": Option("--effects"),
    "model_order": Option("--model-order"),
    "time_limit": Option("--time-limit"),
    "weights": Option("--weights"),
    "upper": Option("--upper"),
    "lam": Option("--lam"),
    "v": Option("--importance", "pairs"),
}


@pytest.mark.parametrize(
    ("python", "here"),
    [
        ("Say treated='yes'.", "Say --treated yes."),
        ("Say treated='not yet'.", "Say --treated 'not yet'."),
        ("Say treated=True.", "Say treated=True (in Python)."),
        ("Say treated=1.", "Say --treated 1."),
        ("Take pairs=1,234 or fewer (pairs='largest'), or", "Take --pairs 1234 or fewer (--pairs largest), or"),
        ("upper=2.75 in place of inf", "--upper 2.75 in place of inf"),
        ("Use scale={'age': 'raw'} or 'pooled'", "Use --scale age=raw or 'pooled'"),
        ("Use scale={'my age': 'raw'}", "Use --scale 'my age=raw'"),
        ("separate=True (each effect", "--separate (each effect"),
        ("effects=['a', 'a:b'] with separate=True", "--effects a,a:b with --separate"),
        ("contrast=(first, second).", "--contrast first,second."),
        ("intercept=False contradicts", "--no-intercept contradicts"),
        ("give lam=, or v= as numbers", "give --lam, or --importance as numbers"),
        ("Say model_order=1 or 2", "Say --model-order 1 or 2"),
        ("time_limit is -1.0; it must be positive, or None.", "--time-limit is -1.0; it must be positive."),
        ("pairs is 1; at least 2 are needed", "--pairs is 1; at least 2 are needed"),
        ("Only 3 pairs are there", "Only 3 pairs are there"),
        ("lower model_order, or", "lower --model-order, or"),
        ("lam is empty: give at least one value, or None to have a range tried.",
         "--lam is empty: give at least one value, or leave it out to have a range tried."),
        ("Column 'treated=1' and \"pairs=2\" stay", "Column 'treated=1' and \"pairs=2\" stay"),
        ("the panel's times and units' pairs='largest'", "the panel's times and units' --pairs largest"),
        ("age=0.01 stays, and numerics/upper=1 too", "age=0.01 stays, and numerics/upper=1 too"),
        ("Give a coarser support= (such as", "Give a coarser support= (in Python) (such as"),
        ("weights={'no_intercept': True}", "weights={'no_intercept': True} (in Python)"),
        ("such as df['age'] > 3.", "such as 'age' > 3."),
        ("placebo_in_space(), placebo_in_time() and leave_one_out()",
         "--placebo space, --placebo time and --placebo leave-one-out"),
    ],
)  # fmt: skip
def test_python_in_options(python, here):
    with speaking_of(OPTIONS):
        assert in_options(python) == here
    assert in_options(python) == python  # outside of a command nothing is rewritten


def texts(path):
    """The string literals of a module but for docstrings; what is put into them stands as {}."""
    tree = ast.parse(path.read_text())
    inner = {id(v) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for v in node.values}
    inner |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value


#: Arguments in messages that no command leads to: of designs, of an index, of plots, and of other problems.
UNREACHED = {"n", "drop", "ax", "cardinality", "vary", "no_intercept", "l2"}


def test_every_argument_that_a_message_names_is_an_option():
    package = Path(inspect.getfile(co)).parent
    folders = [package / name for name in ("problems", "study", "plotting", "solving", "algorithms")]
    modules = [path for folder in folders for path in folder.rglob("*.py")] + list(package.glob("*.py"))
    modules = [path for path in modules if path.name not in ("command.py", "instances.py")]
    named = {}
    for path in modules:
        for text in texts(path):
            if " " in text and len(text) > 20 and path.name != "cli.py":
                for found in re.finditer(r"(?<![\w./'\"-])([a-z]\w*)=(?!=)", text):
                    named.setdefault(found[1], []).append((path.name, text))
    assert {"treated", "pairs", "tolerance", "lam", "time_limit"} <= set(named)
    assert set(named) - KNOWN == UNREACHED, {name: named[name] for name in set(named) - KNOWN - UNREACHED}


# ---- the commands, with input that the library refuses ----


@pytest.fixture
def messy(study):
    """The study with its treatment in words, and a covariate that does not vary."""
    study.assign(treat=np.where(study["treat"] == 1, "yes", "no"), same=3.0).to_csv("messy.csv", index=False)


BALANCE = ["balance", "study.csv", "--treatment", "treat", "--covariates", "age,educ"]
WORDS = ["balance", "messy.csv", "--treatment", "treat", "--covariates"]
ROBUST = ["robust-z", "study.csv", "--outcome", "wage", "--treatment", "treat", "--exact", "race"]
TRIAL = ["bootstrap", "trial.csv", "--outcome", "y", "--treatment", "t", "--design"]
PANEL = ["synth", "panel.csv", "--unit", "state", "--time", "year", "--outcome", "sales"]
SYNTH = [*PANEL, "--treated", "A", "--treatment-time", "2006"]
FACTORIAL = ["factorial", "factorial.csv", "--factors", "quit,idle", "--covariates", "age"]

REFUSED = [
    ([*WORDS, "age"], "Which of 'no' and 'yes' is treated? Say --treated yes."),
    ([*WORDS, "age,same", "--treated", "yes"], "Leave it out"),
    ([*BALANCE, "--tolerance", "0", "--upper", "1.01"], "--upper 2.692 in place of 1.01"),
    ([*BALANCE, "--estimand", "population"], "--estimand population needs --target"),
    ([*BALANCE, "--target", "study.csv"], "--target goes with --estimand population, not ATT"),
    ([*BALANCE, "--between", "0.1"], "--between needs several groups"),
    ([*BALANCE, "--time-limit", "-1"], "--time-limit is -1.0; it must be a positive number of seconds."),
    ([*BALANCE, "--gap", "-1"], "--gap is -1.0"),
    ([*BALANCE, "--threads", "0"], "--threads is 0; it must be a positive whole number."),
    ([*BALANCE, "--seed", "-1"], "--seed is -1"),
    ([*BALANCE, "--memory-limit", "-1"], "--memory-limit is -1.0; it must be a positive number of GiB."),
    ([*BALANCE, "--quantiles", "2"], "--quantiles: probabilities must lie strictly between 0 and 1"),
    ([*BALANCE, "--moments", "1"], "--moments: order is 1"),
    ([*BALANCE, "--outcome", "wage", "--level", "2"], "--level is 2.0; it must lie between 0 and 1"),
    ([*BALANCE, "--solver-option", "presolve=off"], "They are for solvers: name one, such as --solver highs."),
    ([*BALANCE, "--solver", "highs:x"], "write --solver highs, without ':x'"),
    ([*BALANCE, "--sampling-weights", "nought"], "--sampling-weights must be positive; they are not in 300 row(s)"),
    ([*ROBUST, "--pairs", "1"], "--pairs is 1; at least 2 are needed"),
    ([*ROBUST, "--pairs", "299"], "or fewer (--pairs largest)"),
    ([*ROBUST[:4], "--treatment", "site", "--exact", "race"], "Which of 'n' and 's' is treated? Say --treated s."),
    ([*ROBUST[:4], "--treatment", "site", "--exact", "race", "--treated", "n", "--control", "n"],
     "--treated and --control are both 'n'."),
    ([*SYNTH, "--weights", "penalized", "--predictors", "income,sales@2003", "--importance", "search"],
     "--lam cannot be chosen while --importance is searched: give --lam, or --importance as numbers."),
    ([*ROBUST, "--caliper", "site=1"], "match it exactly: --exact site."),
    ([*ROBUST, "--level", "2"], "--level is 2.0; it must be between 0 and 1."),
    ([*TRIAL, "complete", "--estimator", "residualised"], "--estimator residualised needs --covariates."),
    ([*TRIAL, "complete", "--estimator", "doubly-robust"], "needs predictions= (in Python)"),
    ([*TRIAL, "complete", "--covariates", "pair"], "--estimator difference-in-means uses no covariates"),
    ([*TRIAL, "complete", "--draws", "3"], "--draws is 3; quantiles need a whole number of at least 100."),
    ([*TRIAL, "complete", "--level", "7"], "--level is 7.0"),
    ([*TRIAL, "complete", "--slack", "-1"], "--slack is -1.0; it must be zero"),
    (["bootstrap", "uneven.csv", *TRIAL[2:], "complete", "--slack", "0"], "Use --slack smallest, or a number"),
    ([*SYNTH, "--lam", "1"], "--weights simplex has no penalty, so --lam and --alpha mean nothing"),
    ([*SYNTH, "--weights", "ridge", "--alpha", "1"], "--weights ridge has no alpha"),
    ([*SYNTH, "--weights", "ridge", "--lam", ","], "--lam is empty"),
    ([*SYNTH, "--weights", "did", "--no-intercept"], "Difference in differences has an intercept."),
    ([*SYNTH, "--importance", "income=1"], "--importance weighs predictors: give --predictors too."),
    ([*SYNTH, "--weights", "did", "--predictors", "income"], "--predictors goes with weights that have no intercept"),
    ([*SYNTH, "--predictors", "income", "--importance", "income=-1"], "--importance must hold 1 numbers"),
    ([*SYNTH, "--eta", "-1"], "--eta is -1.0"),
    ([*SYNTH, "--donors", "A"], "take it out of --donors."),
    ([*SYNTH, "--donors", "B", "--donors", "B"], "A donor is named twice (--donors)."),
    ([*PANEL, "--treated", "A", "--treated", "A", "--treatment-time", "2006"], "named twice (--treated)"),
    ([*PANEL, "--treated", "A", "--treatment-time", "1990"], "--treatment-time 1990 leaves no time before"),
    ([*PANEL, "--treated", "A", "--treatment-time", "2001"], "lies before --treatment-time 2001"),
    ([*FACTORIAL, "--effects", "3"], "--effects 3: with 2 factor(s) the highest order lies between 1 and 2."),
    ([*FACTORIAL, "--effects", "quit,quit"], "--effects names 'quit' twice"),
    ([*FACTORIAL, "--model-order", "9"], "--model-order 9: with 2 factor(s) it is a whole number between 1 and 2."),
    ([*FACTORIAL, "--effects", "quit:idle", "--model-order", "1"], "Say --model-order 2 or more"),
    ([*FACTORIAL, "--outcome", "kg", "--draws", "1", "--variance", "bootstrap"], "--draws 1: a variance needs"),
    (["factorial", "factorial.csv", "--factors", "quit,idle", "--quantiles", "0.5"],
     "--moments, --interactions or --quantiles makes functions of covariates"),
    (["factorial", "factorial.csv", "--factors", "quit,race"], "Say --high race=w"),
    (["factorial", "study.csv", "--factors", "treat,educ", "--covariates", "age"],
     "Make two levels of them first, such as up to 8 and above."),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(words[:1] + words[-2:]) for words, _ in REFUSED])
def test_no_python_in_what_is_refused(run, study, messy, trial, panel, factorial, folder, words, message):
    trial.drop(index=[0]).to_csv("uneven.csv", index=False)
    study.assign(nought=0.0).to_csv("study.csv", index=False)
    out = run(*words)
    assert out.exit_code in (Exit.INPUT, Exit.INFEASIBLE, Exit.NO_SOLVER), out.output
    assert message in said(out), said(out)
    assert not PYTHON.search(re.sub(r"\w+=(\{[^{}]*\})? \(in Python\)", "", said(out))), said(out)
    if words[0] != "balance" or "--memory-limit" not in words:
        as_json = json.loads(run(*words, "--json").stdout)["error"]["message"]
        assert message in as_json and as_json in said(out)


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (SYNTH, ["--placebo space, --placebo time and --placebo leave-one-out show"]),
        ([*SYNTH, "--weights", "ridge"], ["--placebo space"]),
        (BALANCE, []),
        (ROBUST, []),
        ([*ROBUST, "--pairs", "2,3"], []),
        ([*TRIAL, "pairs", "--groups", "pair", "--method", "all"], []),
        (FACTORIAL, []),
    ],
)
def test_no_python_in_explanations_and_warnings(run, study, trial, panel, factorial, words, messages):
    people = run(*words, "--explain")
    told = json.loads(run(*words, "--explain", "--json").stdout)
    text = " ".join(told["explanation"].split())
    assert people.exit_code == 0 and all(message in text for message in messages)
    assert max(map(len, told["explanation"].splitlines())) <= 80
    for each in (text, said(people), " ".join(people.stdout.split()), *told["warnings"]):
        assert not PYTHON.search(each), PYTHON.search(each)


def test_warnings_of_weights_that_are_not_unique_name_the_option(run, panel):
    rows = panel[panel["year"] >= 2004].copy()
    rows.to_csv("panel.csv", index=False)
    out = run(*PANEL, "--treated", "A", "--treatment-time", "2006", "--weights", "ridge", "--lam", "0.1,0.2")
    assert out.exit_code == 0 and "give a wider range (--lam)" in said(out)


# ---- numbers in the table of an infeasible problem ----


def test_shown_tolerances_work_as_they_are_shown(run, study):
    words = [*BALANCE, "--categories", "race", "--tolerance", "0.001", "--upper", "2"]
    out = run(*words)
    assert out.exit_code == Exit.INFEASIBLE
    shown = dict(re.findall(r"^(\S+) +[\d.]+ +\S+ +([\d.]+) *$", out.stderr, re.MULTILINE))
    assert set(shown) == {"age", "educ", "race[black]", "race[other]", "race[white]"}
    looser = [word for name, value in shown.items() for word in ("--tolerance", f"{name}={value}")]
    assert run(*words[:-4], *looser, "--upper", "2").exit_code == 0
    for name, value in shown.items():  # and none may be smaller in its last digit, where it is larger than asked for
        if float(value) > 0.001:
            last = float(value) - 10.0 ** -len(value.partition(".")[2])
            tighter = [word for n, v in shown.items() for word in ("--tolerance", f"{n}={last if n == name else v}")]
            assert run(*words[:-4], *tighter, "--upper", "2").exit_code == Exit.INFEASIBLE
    assert re.search(r"--upper [\d.]+", said(out))[0].split()[1] not in ("2", "inf")
    enough = re.search(r"--upper ([\d.]+)", said(out))[1]
    assert run(*words[:-1], enough).exit_code == 0
    assert "smallest alone the smallest that works where the tolerance of this covariate alone is loosened" in said(out)
    assert "inf: no value of it does" in said(out)


def test_a_smallest_tolerance_alone_works_alone(run, study):
    words = [*BALANCE, "--tolerance", "0", "--tolerance", "educ=0.2", "--upper", "2.4"]
    out = run(*words)
    (value,) = re.findall(r"^age +0 +(\S+)", out.stderr, re.MULTILINE)
    assert out.exit_code == Exit.INFEASIBLE and value != "inf"
    assert run(*words, "--tolerance", f"age={value}").exit_code == 0


def test_other_explanations_have_legends_too(run, study, trial, factorial):
    pairs = said(run(*ROBUST, "--caliper", "age=1", "--pairs", "299"))
    assert "left out how many of them no matching can use" in pairs and "Conditions" in pairs
    trial.drop(index=[0]).to_csv("trial.csv", index=False)
    slack = said(run(*TRIAL, "complete", "--slack", "0"))
    assert "wants, gets how many units should have that outcome" in slack
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    pd.DataFrame({"a": (x > 0).astype(int), "b": rng.integers(0, 2, 60), "x": x}).to_csv("apart.csv", index=False)
    factors = run("factorial", "apart.csv", "--factors", "a,b", "--covariates", "x")
    assert factors.exit_code == Exit.INFEASIBLE
    assert "... alone by how many this tolerance must be larger" in said(factors)
