"""What the one-call functions say of arguments that they do not have."""

import numpy as np
import pandas as pd
import pytest

import causalopt as co


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
