"""Messages about a study's data name arguments as parts, so that a command can name its options."""

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt.study.match_graph import match_graph
from causalopt.study.moments import refuse_constant
from causalopt.study.reading import as_frame, read_covariates, read_numbers, read_weights, refuse_negative, treated_code


def as_options(part):
    """Word a part as a command does."""
    return {"argument": f"--{part.name} {part.value}".strip(), "call": part.text, "python": part.name}[part.kind]


def told(function, *given, **more):
    with pytest.raises(co.CausaloptError) as caught:
        function(*given, **more)
    return str(caught.value), caught.value.message.worded(as_options)


@pytest.mark.parametrize(
    ("act", "python", "command"),
    [
        (lambda: treated_code(["no", "yes"], None, "ATT"), "Say treated='yes'.", "Say --treated 'yes'."),
        (lambda: read_weights([1.0], pd.RangeIndex(2), "base_weights"), "base_weights must", "--base_weights must"),
        (lambda: as_frame([1.0]), "covariates must", "--covariates must"),
        (lambda: read_numbers(["a"], "It"), "numbers first, with pd.to_numeric.", "numbers first."),
        (lambda: read_covariates(pd.DataFrame({"x": ["a"]})), "pd.to_numeric(df['x'])", "pd.to_numeric('x')"),
        (lambda: co.basis.moments(1), "moments: order", "--moments: order"),
        (lambda: match_graph(pd.DataFrame({"t": [0, 1]}), "t", (), 5), "calipers={'age': 5}", "--calipers {'age': 5}"),
        (
            lambda: co.solve(co.AssignmentProblem(np.ones((2, 2)), cardinality=3)),
            "Take cardinality=2 or fewer (cardinality='largest')",
            "Take --cardinality 2 or fewer (--cardinality 'largest')",
        ),
        (
            lambda: co.FactorialBalanceProblem(None, pd.DataFrame({"a": [0, 0, 1] * 2, "b": [0, 1, 0] * 2})),
            "a needs model_order=1; b needs model_order=1.",
            "a needs --model_order 1; b needs --model_order 1.",
        ),
    ],
)
def test_messages_name_arguments_as_parts(act, python, command):
    text, words = told(act)
    assert python in text and command in words


def test_a_refusal_names_what_is_negative_or_no_number():
    for value in (-1.0, np.nan, True, "1"):
        assert f"The cap is {value!r}; it must be a number" in told(refuse_negative, value, "The cap")[0]
    assert "The cap is inf" in told(refuse_negative, np.inf, "The cap", finite=True)[0]
    refuse_negative(np.inf, "The cap")
    refuse_constant(read_covariates(pd.DataFrame({"x": [1.0, 2.0]})), np.array([0.5]))
