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
from causalopt.console.codes import Exit
from causalopt.console.discovery import load_modules
from causalopt.console.wording import Option, in_options, speaking_of
from causalopt.messages import Message, argument, call, in_python
from causalopt.solving.words import wrapped

COMMANDS = [function for module in load_modules("command") for function in arguments.commands_of(module)]
RENAMED = {"basis", "calipers", "v"}
PYTHON_ONLY = {"support", "predictions", "isolate"}
KNOWN = {name for f in COMMANDS for name in arguments._spread(f)[0].parameters} | RENAMED | PYTHON_ONLY

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


CALLS = {"placebo_in_space": "--placebo space", "leave_one_out": "--placebo leave-one-out"}


@pytest.mark.parametrize(
    ("message", "python", "here"),
    [
        (f"Say {argument('treated', 'yes')}.", "Say treated='yes'.", "Say --treated yes."),
        (f"Say {argument('treated', 'not yet')}.", "Say treated='not yet'.", "Say --treated 'not yet'."),
        (f"Say {argument('treated', True)}.", "Say treated=True.", "Say treated=True (in Python)."),
        (f"Say {argument('treated', np.int64(1))}.", "Say treated=1.", "Say --treated 1."),
        (f"Take {argument('pairs', 1234)} or fewer ({argument('pairs', 'largest')}), or",
         "Take pairs=1234 or fewer (pairs='largest'), or", "Take --pairs 1234 or fewer (--pairs largest), or"),
        (f"{argument('upper', 2.75)} in place of inf", "upper=2.75 in place of inf", "--upper 2.75 in place of inf"),
        (f"{argument('upper', np.inf)} has none", "upper=inf has none", "--upper inf has none"),
        (f"Use {argument('scale', {'age': 'raw'})} or 'pooled'", "Use scale={'age': 'raw'} or 'pooled'",
         "Use --scale age=raw or 'pooled'"),
        (f"Use {argument('scale', {'my age': 'raw'})}", "Use scale={'my age': 'raw'}", "Use --scale 'my age=raw'"),
        (f"{argument('separate', True)} (each effect", "separate=True (each effect", "--separate (each effect"),
        (f"{argument('effects', ['a', 'a:b'])} with {argument('separate', True)}",
         "effects=['a', 'a:b'] with separate=True", "--effects a,a:b with --separate"),
        (f"{argument('contrast', ('a', 'b'))}.", "contrast=('a', 'b').", "--contrast a,b."),
        (f"{argument('intercept', False)} contradicts", "intercept=False contradicts", "--no-intercept contradicts"),
        (f"give {argument('lam', assigned=True)}, or {argument('v', assigned=True)} as numbers",
         "give lam=, or v= as numbers", "give --lam, or --importance as numbers"),
        (f"{argument('time_limit')} is -1.0; it must be positive{in_python(', or None')}.",
         "time_limit is -1.0; it must be positive, or None.", "--time-limit is -1.0; it must be positive."),
        (f"{argument('pairs')} is 1; at least 2 are needed", "pairs is 1; at least 2 are needed",
         "--pairs is 1; at least 2 are needed"),
        ("Only 3 pairs are there", "Only 3 pairs are there", "Only 3 pairs are there"),
        (f"lower {argument('model_order')}, or", "lower model_order, or", "lower --model-order, or"),
        (f"{argument('lam')} is empty: give one, {in_python('or None', 'or leave it out')} to have a range tried.",
         "lam is empty: give one, or None to have a range tried.",
         "--lam is empty: give one, or leave it out to have a range tried."),
        (f"Give a coarser {argument('support', assigned=True)} (such as", "Give a coarser support= (such as",
         "Give a coarser support= (in Python) (such as"),
        (f"{argument('weights', {'no_intercept': True})}", "weights={'no_intercept': True}",
         "weights={'no_intercept': True} (in Python)"),
        (f"{argument('start')} must be 3 values", "start must be 3 values", "start must be 3 values"),
        (f"such as {in_python(f'df[{chr(39)}age{chr(39)}]', repr('age'))} > 3.", "such as df['age'] > 3.",
         "such as 'age' > 3."),
        (f"{call('placebo_in_space')} and {call('leave_one_out')}, not {call('att_range')}",
         "placebo_in_space() and leave_one_out(), not att_range()",
         "--placebo space and --placebo leave-one-out, not att_range()"),
    ],
)  # fmt: skip
def test_python_in_options(message, python, here):
    message = Message(message)
    with speaking_of(OPTIONS, CALLS):
        assert in_options(message) == here
    assert in_options(message) == message == python  # outside of a command nothing is rewritten


@pytest.mark.parametrize(
    "text",
    [
        "Column 'treated=1' and \"pairs=2\" stay",
        "The column base_weights, the file treated=3.csv and pairs=1 of it stay, and placebo_in_space(), or None",
        "time_limit begins this message, and is a column",
        "age=0.01 stays, and numerics/upper=1 too",
    ],
)
def test_what_is_no_part_stays(text):
    with speaking_of(OPTIONS, CALLS):
        assert in_options(text) == in_options(Message(text)) == text


def test_explanations_are_wrapped_in_their_own_words():
    python = wrapped(["One " * 30 + f"{call('placebo_in_space')}.", "", f"Say {argument('treated', 'yes')}."])
    with speaking_of(OPTIONS, CALLS):
        said = in_options(python)
    first, second = said.split("\n\n")
    assert first.split() == ["One"] * 30 + ["--placebo", "space."] and second == "Say --treated yes."
    assert max(map(len, said.splitlines())) <= 80 and "placebo_in_space()" in python


def test_names_of_the_users_own_pass_untouched(run, study):
    study.assign(base_weights=1.0).to_csv("treated=3.csv", index=False)
    column = said(run("balance", "treated=3.csv", "--treatment", "treat", "--covariates", "age,base_weights"))
    assert "Covariate 'base_weights' is 1 in every row" in column and "--base-weights" not in column
    file = said(run("replay", "treated=3.csv"))
    assert "treated=3.csv is not a capsule" in file
    path = Path("solver='scip'.csv")
    path.write_bytes(Path("treated=3.csv").read_bytes())
    assert f"{path} is not a capsule" in said(run("replay", path))


@pytest.mark.parametrize("name", ["base_weights", "treated=3", "base_weights is 1", "att_range()", "pairs='largest'"])
def test_names_of_the_users_own_pass_untouched_in_every_place(name):
    message = Message(f"{name} stands beside {argument('treated', name)}, and so does {name}, in {name}")
    with speaking_of(OPTIONS, CALLS):
        here = in_options(message)
    value = OPTIONS["treated"].with_value(name)
    assert here == f"{name} stands beside {value}, and so does {name}, in {name}"


def is_part(node, kinds=("argument", "call", "in_python")):
    return isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in kinds


def texts(path):
    """The string literals of a module but for docstrings and parts; what is put into them stands as {}."""
    tree = ast.parse(path.read_text())
    inner = {id(v) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for v in node.values}
    inner |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner |= {id(value) for node in ast.walk(tree) if is_part(node) for value in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value


def parts(path):
    """The names that a module gives to `argument`, with a value or an equals sign."""
    for node in ast.walk(ast.parse(path.read_text())):
        if is_part(node, ("argument",)) and (len(node.args) > 1 or node.keywords):
            if isinstance(node.args[0], ast.Constant):
                yield node.args[0].value


#: Arguments in messages that no command leads to: of designs, of an index, of plots, and of other problems.
UNREACHED = {"n", "drop", "ax", "cardinality", "vary", "no_intercept", "l2"}

PACKAGE = Path(inspect.getfile(co)).parent
MODULES = [
    path
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).parts[0] not in ("bench", "testing", "console")
    and path.name not in ("command.py", "asked.py", "demo.py", "instances.py")
]


def test_every_argument_that_a_message_names_is_an_option():
    named = {name for path in MODULES for name in parts(path)}
    assert {"solver", "time_limit", "isolate"} <= named
    assert named - KNOWN <= UNREACHED


def test_a_message_names_an_argument_by_a_part():
    written = re.compile(rf"(?<![\w./'\"-])(?:{'|'.join(KNOWN)})=(?!=)")
    left = {
        (path.name, text)
        for path in MODULES
        for text in texts(path)
        if " " in text and len(text) > 20 and written.search(text)
    }
    assert left == set()


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
