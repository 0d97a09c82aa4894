"""Messages with named parts: what Python says, what others say, and what nobody rewords."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from causalopt.errors import CausaloptWarning, DataError, InfeasibleError, warn
from causalopt.messages import Message, argument, call, in_python


def option(part):
    return f"<{part.kind} {part.name} {part.value}>"


TEXT = " ".join(
    [
        f"Say {argument('treated', np.int64(3))}, or {argument('scale', {'age': 'raw'})};",
        f"{argument('donors', assigned=True)} and {argument('base_weights')} too",
        f"now{in_python(', or None', ' or nothing')}.",
        f"See {call('att_range')}.",
    ]
)


def test_python_reads_a_message_as_python_writes_arguments():
    assert (
        Message(TEXT)
        == "Say treated=3, or scale={'age': 'raw'}; donors= and base_weights too now, or None. See att_range()."
    )


def test_others_word_the_parts_and_nothing_else():
    message = Message(f"The column 'base_weights' of treated=3.csv: {argument('base_weights')}.")
    assert message.worded(option) == "The column 'base_weights' of treated=3.csv: <argument base_weights >."
    assert Message(TEXT).worded(option) == (
        "Say <argument treated 3>, or <argument scale {'age': 'raw'}>; <argument donors > and <argument base_weights > "
        "too now<python  or nothing >. See <call att_range >."
    )


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), Message])
def test_copies_keep_parts_and_topic(again):
    message = Message(TEXT, topic="a limit")
    assert again(message).marked == message.marked and again(message).topic == "a limit"


@pytest.mark.parametrize("kind", [DataError, InfeasibleError, CausaloptWarning])
def test_errors_and_warnings_keep_their_parts_across_processes(kind):
    error = pickle.loads(pickle.dumps(kind(TEXT)))
    assert str(error) == Message(TEXT) and error.message.worded(option) == Message(TEXT).worded(option)


def test_marks_in_values_of_the_users_own_do_no_harm():
    message = Message(argument("treated", "a\ue000b\ue001c\ue002d"))
    assert message == "treated='a\\ue000b\\ue001c\\ue002d'" and message.worded(lambda part: "x") == "x"
    theirs = "column \ue000 and \ue000a\ue001b\ue002"  # as of fonts with icons
    assert Message(theirs) == Message(theirs).worded(lambda part: "x") == theirs


def test_a_warning_points_at_the_users_line_however_deep_it_is_found():
    with pytest.warns(CausaloptWarning, match="deep") as caught:
        warn("deep")
    assert caught[0].filename == __file__
