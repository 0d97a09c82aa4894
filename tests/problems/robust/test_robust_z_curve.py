import os
import signal

import numpy as np
import pandas as pd
import pytest
from match_cases import bike, concrete, eshop, problem_of

import causalopt as co
from causalopt.problems.robust.z import curve as robust_z_curve


@pytest.fixture(scope="module")
def curve(shared_data):
    df, arguments = concrete(shared_data)
    return co.robust_z_test(df, **arguments, pairs="curve")


def test_the_whole_curve_has_the_reference_rows(curve):
    table = curve.table
    assert table.index.tolist() == list(range(2, 45))
    assert table.loc[[20, 24, 30, 38, 44], "z_max"].tolist() == pytest.approx(
        [45.0152, 35.7593, 24.0619, 15.4221, 9.2054], abs=5e-5
    )
    assert table.loc[[20, 24, 30, 38, 44], "z_min"].tolist() == pytest.approx(
        [0.1237, 1.1292, 2.4919, 4.1518, 5.4980], abs=5e-5
    )
    assert (table[["min is", "max is"]] == "exact").all(axis=None)


def test_warm_and_cold_solves_agree(curve):
    for n in (2, 3, 19, 31, 44):
        cold = curve.at(n)
        assert cold.n == n
        assert (cold.z_min, cold.z_max) == pytest.approx(tuple(curve.table.loc[n, ["z_min", "z_max"]]), rel=1e-9)


def test_p_values_and_verdicts_follow_from_z(curve):
    from scipy.stats import norm

    table, verdicts = curve.table, curve.verdicts(0.05)
    np.testing.assert_allclose(table["p_low"], norm.sf(table["z_max"]), atol=1e-12)
    np.testing.assert_allclose(table["p_high"], norm.sf(table["z_min"]), atol=1e-12)
    cut = norm.isf(0.05)
    assert (verdicts["decision"] == "reject").equals(table["z_min"] >= cut)
    assert verdicts.loc[26, "decision"] == "depends on the pairing" and verdicts.loc[27, "decision"] == "reject"
    assert verdicts["absolute-robust"].tolist() == (verdicts["decision"] != "depends on the pairing").tolist()
    assert verdicts["alpha-robust"].equals(table["p_high"] - table["p_low"] <= 0.05)
    assert "reject: n = 27 to 44" in curve.summary() and "all extremes are exact" in curve.summary()


def test_bike_needs_81_pairs_to_agree_and_then_does_not_reject(shared_data):
    df, arguments = bike(shared_data)
    curve = co.robust_z_test(df, **arguments, pairs=range(50, 95))
    decision = curve.verdicts()["decision"]
    assert set(decision.loc[:80]) == {"depends on the pairing"} and set(decision.loc[81:]) == {"do not reject"}
    assert curve.table.loc[94, ["z_min", "z_max"]].tolist() == pytest.approx([-7.0907, -1.6176], abs=5e-5)


def test_eshop_rejects_for_every_pairing_only_near_the_largest_n(shared_data):
    df, arguments = eshop(shared_data)
    curve = co.robust_z_test(df, **arguments, pairs=[3800, 4700, 4732])
    assert curve.verdicts()["decision"].tolist() == ["depends on the pairing", "depends on the pairing", "reject"]
    assert curve.table.loc[3800, "p_high"] > 0.999  # the source says that both p-values are zero from here on
    problem = problem_of(eshop, shared_data)
    least = problem.search_pairs()
    assert co.solve(problem.with_pairs(least)).decision() == "reject"
    assert co.solve(problem.with_pairs(least - 1)).decision() == "depends on the pairing"


def test_one_number_of_pairs_gives_a_result(shared_data):
    df, arguments = concrete(shared_data)
    largest = co.robust_z_test(df, **arguments)
    assert isinstance(largest, co.RobustZResult) and largest.n == 44
    assert co.robust_z_test(df, **arguments, pairs=30, solver="highs").z_max == pytest.approx(24.0619, abs=5e-5)
    some = co.robust_z_test(df, **arguments, pairs=[30, 20, 30], solver="greedy")
    assert some.table.index.tolist() == [20, 30] and (some.table["max is"] == "heuristic").all()
    assert "some extremes are not exact" in some.summary()


def test_text_labels_stay_with_their_units():
    df = pd.DataFrame(
        {"t": [1, 1, 0, 0], "y": [5.0, 7.0, 1.0, 2.0], "site": list("abab")}, index=["ann", "bob", "cy", "dee"]
    )
    pairs = co.robust_z_test(df, outcome="y", treatment="t", exact=["site"]).maximum.pairs
    assert pairs[["treated", "control"]].to_numpy().tolist() == [["ann", "cy"], ["bob", "dee"]]


# ---- pictures ----


@pytest.fixture
def pyplot(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pytest.importorskip("matplotlib", reason="the pictures need matplotlib")
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")


def test_the_picture_shows_both_envelopes_and_thresholds(curve, pyplot):
    axes = curve.plot(level=0.05)
    assert len(axes) == 2
    z_lines = {line.get_label(): line for line in axes[0].get_lines()}
    shown = z_lines["largest Z"].get_ydata()
    finite = np.isfinite(curve.table["z_max"].to_numpy())
    np.testing.assert_array_equal(shown[finite], curve.table["z_max"].to_numpy()[finite])
    np.testing.assert_array_equal(z_lines["least Z"].get_ydata(), curve.table["z_min"])
    for axis, threshold in zip(axes, (1.6449, 0.05), strict=True):
        level = [line.get_ydata()[0] for line in axis.get_lines() if len(line.get_xdata()) == 2]
        assert any(height == pytest.approx(threshold, abs=1e-4) for height in level)
    assert any(text.get_text() == "infinite" for text in axes[0].texts)
    np.testing.assert_array_equal(axes[1].get_lines()[0].get_ydata(), curve.table["p_low"])


def test_pictures_draw_into_given_axes_and_refuse_a_wrong_number(curve, pyplot):
    _, axes = pyplot.subplots(1, 2)
    drawn = curve.plot(ax=axes)
    assert drawn[0] is axes[0] and drawn[1] is axes[1]
    with pytest.raises(co.DataError, match=r"2 Axes.*1 were given"):
        curve.plot(ax=pyplot.subplots()[1])


def test_a_curve_of_one_point_can_be_drawn(shared_data, pyplot):
    df, arguments = concrete(shared_data)
    axes = co.robust_z_test(df, **arguments, pairs=[30]).plot()
    assert axes[0].get_lines()[0].get_marker() == "o"


# ---- progress, interruption ----


def test_a_progress_bar_is_shown_where_it_is_wanted(shared_data, capfd):
    df, arguments = concrete(shared_data)
    co.robust_z_test(df, **arguments, pairs=range(40, 45), progress=True)
    assert "robust Z" in capfd.readouterr().err
    co.robust_z_test(df, **arguments, pairs=range(40, 45))
    assert capfd.readouterr().err == ""


def test_an_interrupted_curve_keeps_what_was_solved(shared_data, monkeypatch):
    problem = problem_of(concrete, shared_data)
    solve_one = robust_z_curve._solver_of_curve(problem, "auto", {})

    def interrupted(n):
        if n == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return solve_one(n)

    monkeypatch.setattr(robust_z_curve, "_solver_of_curve", lambda *arguments: interrupted)
    with pytest.warns(co.CausaloptWarning, match="5 of 43 numbers of pairs are solved"):
        curve = robust_z_curve.curve(problem)
    assert curve.table.index.tolist() == [2, 3, 4, 5, 6]


# ---- bad input ----


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"outcome": "strenght_mpa"}, co.DataError, "'strenght_mpa'.*'strength_mpa'"),
        ({"outcome": "ash"}, co.DataError, "'ash' is also the treatment"),
        ({"outcome": "cement"}, co.DataError, "'cement' is also the treatment or a matching covariate"),
        ({"treatment": "asch"}, co.DataError, "'asch'.*'ash'"),
        ({"pairs": 1}, co.DataError, "at least 2"),
        ({"pairs": []}, co.DataError, "names no number of pairs"),
        ({"pairs": [3, 1]}, co.DataError, "pairs is 1"),
        ({"pairs": [3, "four"]}, co.DataError, "whole number"),
        ({"pairs": range(40, 50)}, co.InfeasibleError, "49 pairs cannot be formed: the largest n is 44"),
        ({"pairs": 45}, co.InfeasibleError, "the largest n is 44"),
        ({"pairs": "curve", "calipers": {"fly_ash": 1}}, co.InfeasibleError, "largest n is 0"),
    ],
)  # fmt: skip
def test_bad_input_is_named(shared_data, change, error, message):
    df, arguments = concrete(shared_data)
    with pytest.raises(error, match=message):
        co.robust_z_test(df, **(arguments | change))


def test_missing_outcomes_are_named(shared_data):
    df, arguments = concrete(shared_data)
    label = df.index[df["ash"] == 1][3]
    df = df.assign(strength_mpa=df["strength_mpa"].where(df.index != label))
    with pytest.raises(co.DataError, match=f"treated outcome has missing or infinite values.*{label}"):
        co.robust_z_test(df, **arguments)
