"""What the one-call functions say of arguments that they do not have."""

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt import basis


def balance(**more):
    return co.balance(pd.DataFrame({"t": [0, 0, 1, 1], "x": [1.0, 4, 2, 3]}), treatment="t", covariates=["x"], **more)


def synthetic_control(**more):
    units = {"unit": list("aaabbbccc"), "time": [1, 2, 3] * 3, "y": np.arange(9.0) ** 2}
    names = {"unit": "unit", "time": "time", "outcome": "y"}
    return co.synthetic_control(pd.DataFrame(units), **names, treated="a", treatment_time=3, **more)


def factorial_balance(**more):
    df = pd.DataFrame({"a": [0, 0, 1, 1] * 2, "b": [0, 1] * 4, "x": np.arange(8.0)})
    return co.factorial_balance(df, factors=["a", "b"], covariates=["x"], tolerance=9.0, **more)


def causal_bootstrap(**more):
    z = np.repeat([0, 1], 5)
    return co.causal_bootstrap(np.arange(10.0), z, co.CompleteRandomization(5), draws=100, **more)


@pytest.mark.parametrize(
    ("call", "argument", "next_step"),
    [
        (balance, "tolerence", "Did you mean 'tolerance'"),
        (balance, "sampling_weight", "Did you mean 'sampling_weights'"),
        (balance, "outcome", 'balance first, then result.estimate("y")'),
        (factorial_balance, "outcome", 'balance first, then result.estimate("y")'),
        (factorial_balance, "model_ordr", "Did you mean 'model_order'"),
        (synthetic_control, "weigths", "Did you mean 'weights'"),
        (synthetic_control, "outcomes", "Did you mean 'outcome'"),
        (causal_bootstrap, "confidence", "Did you mean 'level'?"),
        (causal_bootstrap, "thread", "Did you mean 'threads'"),
    ],
)
def test_an_unknown_argument_is_named_with_the_function_and_the_nearest(call, argument, next_step):
    with pytest.raises(co.OptionError) as error:
        call(**{argument: 0.9})
    assert str(error.value).startswith(f"Unknown argument of {call.__name__}() {argument!r}. ")
    assert next_step in str(error.value)


def test_further_arguments_are_passed_on():
    assert balance(upper=5.0, norm="l1").problem.upper == 5.0
    assert synthetic_control(weights="did", donors=["c"]).weights.to_dict() == {"c": 1.0}
    assert factorial_balance(separate=True).problem.separate
    with pytest.raises(co.OptionError, match="gap is -1"):
        causal_bootstrap(gap=-1.0)


def bootstrap_problem():
    return co.CopulaProblem(np.arange(6.0), np.repeat([0, 1], 3), co.CompleteRandomization(3))


def robust_z(**more):
    df = pd.DataFrame({"t": [0, 0, 1, 1], "age": [1.0, 4, 2, 3], "y": [1.0, 2, 4, 8]})
    return co.robust_z_test(df, outcome="y", treatment="t", **more)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: balance(basis=["moments"]), r"basis holds 'moments', .*basis=\[causalopt\.basis\.moments\(\)"),
        (lambda: balance(basis="moments"), "basis holds 'moments'"),
        (lambda: balance(upper="5"), "upper is '5'; it must be a number"),
        (lambda: balance(lower=None), "lower is None; it must be a number"),
        (lambda: robust_z(calipers=["age"]), r"calipers is \['age'\]; .*calipers=\{'age': 5\}"),
        (lambda: robust_z(calipers=2), r"calipers is 2; .*calipers=\{'age': 5\}"),
        (lambda: balance().problem.index("nobody"), "no row 'nobody'; its rows are 0, 1, 2, ..."),
        (lambda: balance().problem.index([1]), r"no row \[1\]"),
        (lambda: balance().problem.label("x"), "no weight number 'x': they are numbered from 0 to 1"),
        (lambda: balance().problem.label(-1), "no weight number -1"),
        (lambda: balance().problem.label(2), "no weight number 2"),
        (lambda: factorial_balance().problem.index("nobody"), "no row 'nobody'"),
        (lambda: factorial_balance().problem.label(8), "no weight number 8: they are numbered from 0 to 7"),
        (lambda: bootstrap_problem().index("nobody", 1.0), "no row 'nobody'"),
        (lambda: bootstrap_problem().label("x"), "no choice number 'x'"),
        (lambda: synthetic_control().problem.index("bb"), "Unknown donor 'bb'. Did you mean 'b'?"),
        (lambda: synthetic_control().problem.index("b", "aa"), "Unknown treated unit 'aa'. Did you mean 'a'?"),
        (lambda: synthetic_control().problem.label(2), "no weight number 2: they are numbered from 0 to 1"),
        (lambda: co.AssignmentProblem(np.eye(2)).label(4), "no pair number 4"),
        (lambda: balance().problem.attach(3), "Pyomo block or model, not to this int"),
        (lambda: co.RobustZProblem(np.arange(3), np.ones(3), np.ones((3, 3)), pairs=2).attach(3), "not to this int"),
    ],
)
def test_what_cannot_be_used_is_named_in_words(call, message):
    with pytest.raises(co.DataError, match=message):
        call()


def test_a_single_term_stands_for_a_list_of_one():
    one, several = (
        balance(basis=terms, scale="raw", tolerance=9.0).problem.names for terms in (basis.moments(), [basis.moments()])
    )
    assert one == several == ["x", "x^2"]


def test_labels_and_positions_of_weights_lead_to_each_other():
    problem = balance().problem
    assert [problem.index(problem.label(i)) for i in range(2)] == [0, 1]
    problem = factorial_balance().problem
    assert [problem.index(problem.label(np.int64(i))) for i in range(8)] == list(range(8))


def test_a_capsule_says_where_it_cannot_be_written(tmp_path):
    result = balance()
    capsule = co.Capsule.of(result.problem, result)
    with pytest.raises(co.DataError, match=r"cannot be written to .*/none/x\.capsule: there is no folder .*/none\."):
        capsule.save(tmp_path / "none" / "x.capsule")
    (tmp_path / "x.capsule").mkdir()
    with pytest.raises(co.DataError, match=r"cannot be written to .*/x\.capsule: [A-Z]"):
        capsule.save(tmp_path / "x.capsule")
    assert [path.name for path in tmp_path.iterdir()] == ["x.capsule"]


def monthly():
    months = pd.date_range("2019-01-31", periods=14, freq="ME")
    outcomes = pd.DataFrame(np.random.default_rng(1).normal(size=(14, 6)).cumsum(axis=0), index=months)
    return months, co.solve(co.SyntheticControlProblem(outcomes, 0, "2019-12-31"))


def test_placebo_times_are_dates_in_any_form_or_a_single_one():
    months, result = monthly()
    wanted = result.placebo_in_time([months[7]]).table
    for times in (["2019-08-31"], "2019-08-31", months[7], np.datetime64("2019-08-31"), [months[7].date()]):
        pd.testing.assert_frame_equal(result.placebo_in_time(times).table, wanted, check_index_type=False)
    with pytest.raises(co.DataError, match="placebo time 2020-01-31 must lie before the treatment: after 2019-01-31"):
        result.placebo_in_time("2020-01-31")
    for wrong in ("nonsense", 5):
        with pytest.raises(co.DataError, match=f"placebo time {wrong!r} cannot be compared"):
            result.placebo_in_time([wrong])
    with pytest.raises(co.DataError, match="No placebo time"):
        result.placebo_in_time([])
