import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from match_cases import ESHOP_KEYS, bike, concrete, eshop

import causalopt as co


def graph_of(case, folder):
    df, arguments = case(folder)
    arguments.pop("outcome")
    return co.match_graph(df, **arguments)


# ---- published counts ----


def test_concrete_has_146_pairs(shared_data):
    graph = graph_of(concrete, shared_data)
    assert (len(graph.treated), len(graph.control), graph.n_pairs, graph.largest) == (464, 566, 146, 44)
    assert (len(np.unique(graph.i)), len(np.unique(graph.j))) == (68, 60)


def test_bike_has_326_pairs_once_rounded(shared_data):
    graph = graph_of(bike, shared_data)
    assert (len(graph.treated), len(graph.control), graph.n_pairs, graph.largest) == (247, 463, 326, 94)


def test_eshop_has_367329_pairs_in_722_strata(shared_data):
    graph = graph_of(eshop, shared_data)
    assert (len(graph.treated), len(graph.control), graph.n_pairs, graph.largest) == (34_532, 27_377, 367_329, 4_732)
    components = graph.components()
    assert len(components) == 722
    assert components["pairs"].max() == 46_995
    assert components["largest matching"].sum() == 4_732


@pytest.mark.parametrize(
    ("left_out", "pairs"),
    [("month", 1_686_604), ("model photography", 379_230), ("page", 406_698)],
)
def test_eshop_without_one_of_its_keys(shared_data, left_out, pairs):
    df, arguments = eshop(shared_data)
    keys = [key for key in ESHOP_KEYS if key != left_out]
    graph = co.match_graph(df, "location", keys, treated=1, control=arguments["control"])
    assert graph.n_pairs == pairs


# ---- oracles ----


def all_pairs(df, exact, calipers, decimals=None):
    treated, control = df[df["t"] == 1], df[df["t"] == 0]
    allowed = np.ones((len(treated), len(control)), dtype=bool)
    for name in exact:
        allowed &= treated[name].to_numpy()[:, None] == control[name].to_numpy()
    for name, caliper in calipers.items():
        a, b = treated[name].to_numpy(float), control[name].to_numpy(float)
        if decimals is not None:
            a, b = np.round(a, decimals), np.round(b, decimals)
        allowed &= np.abs(a[:, None] - b) <= caliper
    return allowed


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    exact=st.sampled_from([(), ("a",), ("a", "b")]),
    caliper_names=st.sampled_from([(), ("x",), ("x", "z")]),
    decimals=st.sampled_from([None, 0, 1]),
)
def test_the_graph_is_that_of_all_comparisons(seed, exact, caliper_names, decimals):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    df = pd.DataFrame(
        {
            "t": np.append(rng.integers(0, 2, n), [0, 1]),
            "a": rng.choice(["p", "q", "r"], n + 2),
            "b": rng.integers(-2, 2, n + 2),
            "x": np.round(rng.normal(size=n + 2), int(rng.integers(1, 12))),
            "z": rng.integers(0, 4, n + 2),
        },
        index=rng.permutation(n + 2),
    )
    calipers = {name: float(rng.choice([0.0, 0.3, 1.0])) for name in caliper_names}
    graph = co.match_graph(df, "t", exact, calipers, decimals)
    allowed = all_pairs(df, exact, calipers, decimals)
    assert (graph.matrix.toarray() == allowed).all()
    assert graph.treated.equals(df.index[df["t"] == 1]) and graph.control.equals(df.index[df["t"] == 0])
    assert (np.diff(graph.i * len(graph.control) + graph.j) > 0).all()


def test_windows_larger_than_a_chunk_lose_no_pair(monkeypatch):
    import causalopt.study.match_graph as matching

    rng = np.random.default_rng(3)
    df = pd.DataFrame({"t": rng.integers(0, 2, 300), "x": rng.normal(size=300), "z": rng.normal(size=300)})
    calipers = {"x": 0.5, "z": 0.7}
    monkeypatch.setattr(matching, "CHUNK", 50)
    assert (co.match_graph(df, "t", calipers=calipers).matrix.toarray() == all_pairs(df, (), calipers)).all()


@pytest.mark.parametrize(("treated", "control", "within"), [(0.3, 0.2, 1), (0.4, 0.3, 0)])
def test_a_caliper_is_plain_floating_point(treated, control, within):
    df = pd.DataFrame({"t": [1, 0], "x": [treated, control]})
    assert co.match_graph(df, "t", calipers={"x": 0.1}).n_pairs == within
    assert co.match_graph(df, "t", calipers={"x": 0.1 + 1e-12}).n_pairs == 1


def test_largest_matching_is_a_matching_of_allowed_pairs(shared_data):
    graph = graph_of(bike, shared_data)
    pairs = graph.largest_matching()
    assert len(pairs) == 94 and not pairs["treated"].duplicated().any() and not pairs["control"].duplicated().any()
    allowed = set(zip(graph.treated[graph.i], graph.control[graph.j], strict=True))
    assert set(zip(pairs["treated"], pairs["control"], strict=True)) <= allowed


def test_degrees_count_units_by_possible_partners():
    graph = co.MatchGraph.from_matrix([[1, 1, 0], [0, 1, 0], [0, 0, 0]])
    table = graph.degrees()
    assert table.loc[0].tolist() == [1, 1] and table.loc[1].tolist() == [1, 1] and table.loc[2].tolist() == [1, 1]
    assert table.sum().tolist() == [3, 3]
    assert "3 treated and 3 control" in graph.summary() and "largest matching 2" in graph.summary()


def test_components_of_two_strata():
    graph = co.MatchGraph.from_matrix([[1, 1, 0], [1, 0, 0], [0, 0, 1]])
    table = graph.components()
    assert table["pairs"].tolist() == [3, 1]
    assert table["largest matching"].tolist() == [2, 1]
    assert table[["treated", "control"]].iloc[0].tolist() == [2, 2]


def test_a_matrix_and_its_pairs_are_the_same_graph():
    matrix = np.array([[0, 1, 1], [1, 0, 0]])
    dense = co.MatchGraph.from_matrix(matrix, ["a", "b"], ["x", "y", "z"])
    sparse = co.MatchGraph.from_matrix(sp.coo_matrix(matrix), ["a", "b"], ["x", "y", "z"])
    labelled = co.MatchGraph.from_matrix(pd.DataFrame(matrix, index=["a", "b"], columns=["x", "y", "z"]))
    table = pd.DataFrame({"treated": ["b", "a", "a"], "control": ["x", "z", "y"]})
    listed = co.MatchGraph.from_pairs(table, ["a", "b"], ["x", "y", "z"])
    for graph in (sparse, labelled, listed):
        assert graph.i.tolist() == dense.i.tolist() and graph.j.tolist() == dense.j.tolist()
        assert graph.treated.equals(dense.treated) and graph.control.equals(dense.control)


# ---- bad input ----


@pytest.fixture
def df():
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {"t": [1, 1, 0, 0, 0], "site": list("ababb"), "age": rng.normal(40, 5, 5), "name": list("vwxyz")},
        index=[f"unit{k}" for k in range(5)],
    )


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, {"treatment": "tt"}, "Unknown column 'tt'"),
        ({}, {"exact": ["sit"]}, "Unknown column 'sit'.*'site'"),
        ({}, {"exact": ["t"]}, "'t' is also a matching covariate"),
        ({}, {"calipers": {"age": -1}}, "caliper for 'age' is -1"),
        ({}, {"calipers": {"age": "wide"}}, "caliper for 'age' is 'wide'"),
        ({}, {"calipers": {"age": True}}, "caliper for 'age' is True"),
        ({}, {"calipers": {"name": 2}}, "'name' is not numeric"),
        ({}, {"calipers": {"age": 1}, "rounding": 0.5}, "rounding for 'age' is 0.5"),
        ({"age": [40, np.nan, 1, 2, 3]}, {"calipers": {"age": 1}}, "'age' has missing or infinite.*'unit1'"),
        ({"age": [40, 1, np.inf, 2, 3]}, {"calipers": {"age": 1}}, "'age' has missing or infinite.*'unit2'"),
        ({"site": ["a", None, "a", "b", "b"]}, {"exact": ["site"]}, "'site' has missing values.*'unit1'"),
        ({"t": [1, None, 0, 0, 0]}, {}, "'t' has missing values.*'unit1'"),
        ({"t": 1}, {}, "'t' is 1 in every row"),
        ({"t": [0, 1, 2, 0, 1]}, {}, "takes 3 values.*treated=, control="),
        ({"t": list("xxyyy")}, {}, "Which of 'x' and 'y' is treated"),
        ({}, {"treated": 7}, "treated=7 is not a value"),
        ({}, {"treated": 1, "control": 1}, "both 1"),
    ],
)
def test_bad_input_is_named(df, change, arguments, message):
    arguments = {"treatment": "t"} | arguments
    with pytest.raises(co.DataError, match=message):
        co.match_graph(df.assign(**change), **arguments)


def test_missing_covariates_of_rows_that_are_left_out_do_no_harm(df):
    df = df.assign(t=[1, 2, 0, 0, 2], age=[40, np.nan, 41, 60, np.inf])
    graph = co.match_graph(df, "t", calipers={"age": 2}, treated=1, control=0)
    assert graph.n_pairs == 1


def test_duplicated_labels_are_named(df):
    with pytest.raises(co.DataError, match="'unit0' occurs more than once"):
        co.match_graph(pd.concat([df, df.iloc[:1]]), "t")
    with pytest.raises(co.DataError, match="treated label 'a' occurs more than once"):
        co.MatchGraph.from_matrix(np.eye(2), ["a", "a"])


def test_too_many_pairs_are_refused(monkeypatch):
    import causalopt.study.match_graph as matching

    monkeypatch.setattr(matching, "MOST_PAIRS", 100)
    df = pd.DataFrame({"t": np.arange(30) % 2})
    with pytest.raises(co.DataError, match="more than 100 pairs"):
        co.match_graph(df, "t")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"treated": ["a"], "x": ["b"]}, "columns 'treated' and 'control'"),
        ({"treated": ["a", None], "control": ["x", "x"]}, "'treated' of the pairs has missing"),
        ({"treated": ["a", "a"], "control": ["x", "x"]}, "list a pair twice"),
        ({"treated": ["a", "q"], "control": ["x", "x"]}, "treated units that do not exist.*'q'"),
    ],
)
def test_bad_pairs_are_named(pairs, message):
    with pytest.raises(co.DataError, match=message):
        co.MatchGraph.from_pairs(pd.DataFrame(pairs), ["a", "b"], ["x"])


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones(3), "its shape is \\(3,\\)"),
        (np.array([["a"]]), "of type <U1"),
        (np.array([[np.nan]]), "missing values"),
        (np.ones((3, 1)), "3 treated units, but 1 are given"),
    ],
)
def test_bad_matrices_are_named(matrix, message):
    with pytest.raises(co.DataError, match=message):
        co.MatchGraph.from_matrix(matrix, ["a"], ["x"])
