import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt.problems.synthetic_control import apart, placebo

GERMANY = {"unit": "country", "time": "year", "outcome": "gdp", "treated": "West Germany", "treatment_time": 1990}
CALIFORNIA = {"unit": "state", "time": "year", "outcome": "cigsale", "treated": "California", "treatment_time": 1989}


@pytest.fixture(scope="module")
def california(shared_data):
    return co.synthetic_control(pd.read_csv(shared_data / "prop99" / "smoking.csv"), **CALIFORNIA)


@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(1)
    outcomes = pd.DataFrame(rng.normal(size=(16, 9)).cumsum(axis=0), columns=list("abcdefghi"))
    outcomes.loc[11:, "a"] += 25
    return outcomes


# ---- in space ----


def test_each_placebo_is_the_fit_of_that_donor_by_the_others(california):
    space = california.placebo_in_space()
    wide = pd.DataFrame(california.problem.panel.values, california.problem.panel.times, california.problem.panel.units)
    assert len(space.table) == 39 and space.table.index[0] == "California"
    assert (space.table["role"].iloc[1:] == "placebo").all()
    for donor in ("Nevada", "Texas", "Utah"):
        alone = co.solve(co.SyntheticControlProblem(wide.drop(columns="California"), donor, 1989), "highs")
        np.testing.assert_allclose(space.gaps[donor], alone.gaps, atol=1e-6)
        for column in ("pre rmspe", "post rmspe", "rmspe ratio"):
            assert space.table.loc[donor, column] == pytest.approx(alone.fit[column].iloc[0], rel=1e-6)
        assert space.table.loc[donor, "att"] == pytest.approx(alone.att, abs=1e-6)
    np.testing.assert_allclose(space.gaps["California"], california.gaps)


def test_the_p_value_is_the_share_of_ratios_at_least_as_large(california):
    space = california.placebo_in_space()
    ratio = space.table["rmspe ratio"]
    assert space.p_value == pytest.approx((ratio >= ratio["California"]).mean())
    # with outcomes alone as predictors, Missouri and Virginia are fitted so well that they come first
    assert list(ratio.nlargest(3).index) == ["Missouri", "Virginia", "California"]
    assert space.p_value == pytest.approx(3 / 39)
    assert "p = 0.07692" in str(space) and "38 placebos" in str(space)


def test_germany_has_the_largest_ratio(shared_data):
    df = pd.read_csv(shared_data / "germany" / "repgermany.csv")
    space = co.synthetic_control(df, **GERMANY).placebo_in_space()
    assert space.p_value == pytest.approx(1 / 17)  # [ADH] 2015 section 4.2 with predictors: 1/17 too


def test_placebos_that_fit_badly_can_be_left_out(california):
    everything = california.placebo_in_space()
    strict = california.placebo_in_space(max_fit_ratio=2)
    poor = everything.table["pre rmspe"] > 2 * everything.table.loc["California", "pre rmspe"]
    assert 0 < poor.sum() < 38 and (strict.table["role"] == "poor fit").equals(poor)
    ratio = strict.table.loc[strict.table["role"] != "poor fit", "rmspe ratio"]
    assert strict.p_value == pytest.approx((ratio >= ratio["California"]).mean())
    assert strict.gaps.shape == everything.gaps.shape


def test_the_p_value_is_the_rank_among_refits_without_the_treated_unit(panel):
    for label in panel.columns:
        result = co.solve(co.SyntheticControlProblem(panel, label, 11))
        others = [other for other in panel.columns if other != label]
        ratios = []
        for other in others:
            donors = [donor for donor in others if donor != other]
            ratios.append(
                co.solve(co.SyntheticControlProblem(panel, other, 11, donors=donors)).fit["rmspe ratio"].iloc[0]
            )
        own = result.fit["rmspe ratio"].iloc[0]
        p = result.placebo_in_space().p_value
        assert p == pytest.approx((1 + sum(ratio >= own for ratio in ratios)) / 9)
        assert (p == pytest.approx(1 / 9)) == (own > max(ratios))
    assert co.solve(co.SyntheticControlProblem(panel, "a", 11)).placebo_in_space().p_value == pytest.approx(1 / 9)


def test_several_treated_units_each_have_a_p_value_and_are_no_donors(panel):
    result = co.solve(co.SyntheticControlProblem(panel, ["a", "b"], 11))
    space = result.placebo_in_space()
    assert list(space.table.index) == list("abcdefghi") and list(space.table["role"][:3]) == [
        "treated",
        "treated",
        "placebo",
    ]
    assert list(space.p_value.index) == ["a", "b"]
    ratios = space.table["rmspe ratio"].iloc[2:]
    for label in "ab":
        assert space.p_value[label] == pytest.approx((1 + (ratios >= space.table.loc[label, "rmspe ratio"]).sum()) / 8)


def test_an_average_is_compared_with_averages_of_as_many_donors(panel):
    result = co.solve(co.SyntheticControlProblem(panel, ["a", "b"], 11, pooled=True))
    space = result.placebo_in_space()
    assert len(space.table) == 1 + math.comb(7, 2)
    own = co.solve(co.SyntheticControlProblem(panel, ["c", "d"], 11, donors=list("efghi"), pooled=True))
    np.testing.assert_allclose(space.gaps["c + d"], own.gaps)
    drawn = placebo.in_space(result, draws=5, seed=3)
    assert len(drawn.table) == 6 and drawn.table.index.is_unique
    assert drawn.table.index.equals(placebo.in_space(result, draws=5, seed=3).table.index)
    assert not drawn.table.index.equals(placebo.in_space(result, draws=5, seed=4).table.index)
    with pytest.raises(co.DataError, match="more than 2 donors"):
        co.solve(co.SyntheticControlProblem(panel[list("abcd")], ["a", "b"], 11, pooled=True)).placebo_in_space()


def test_perfect_fits_do_not_divide_by_rounding():
    rng = np.random.default_rng(5)
    outcomes = pd.DataFrame(rng.normal(size=(6, 25)).round(1) + 20)
    outcomes[0] = [20.0, 20, 20, 22, 22, 22]
    with pytest.warns(co.CausaloptWarning, match="not unique"):
        result = co.solve(co.SyntheticControlProblem(outcomes, 0, 3))
    space = result.placebo_in_space()
    assert np.isposinf(space.table["rmspe ratio"].iloc[0]) and not space.table["unique"].iloc[0]
    infinite = np.isposinf(space.table["rmspe ratio"])
    assert space.p_value == pytest.approx(infinite.mean()) and infinite.sum() > 1


def test_a_chosen_penalty_stays_in_placebos(panel):
    result = co.solve(
        co.SyntheticControlProblem(panel, "a", 11, weights="elastic-net", lam=[1e-6, 0.1, 1e6], alpha=0.5), "highs"
    )
    problem = result.problem
    lam = problem.penalty.lam
    own = co.SyntheticControlProblem(panel, "c", 11, weights="elastic-net", lam=lam, alpha=0.5, donors=list("bdefghi"))
    space = result.placebo_in_space()
    np.testing.assert_allclose(space.gaps["c"], co.solve(own).gaps, atol=1e-6)


@pytest.mark.parametrize("kind", ["simplex", "did"])
@pytest.mark.parametrize("solver", ["active-set", "highs"])
def test_solvers_and_units_do_not_change_the_test(panel, kind, solver):
    first = co.solve(co.SyntheticControlProblem(panel, "a", 11, weights=kind)).placebo_in_space()
    second = co.solve(co.SyntheticControlProblem(panel * 1e6, "a", 11, weights=kind), solver).placebo_in_space()
    assert first.p_value == second.p_value
    np.testing.assert_allclose(second.gaps, first.gaps * 1e6, atol=1e-1)


@pytest.mark.slow
def test_processes_give_what_one_process_gives(california):
    one, two = california.placebo_in_space(), california.placebo_in_space(workers=2)
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.gaps, two.gaps)


@pytest.mark.slow
def test_errors_come_back_from_processes(california, monkeypatch):
    problem = california.problem
    with pytest.raises(co.DataError, match="no donors"):
        apart.call_apart(placebo._refits, [(problem.variant, "active-set", [{"donors": []}])])
    monkeypatch.setattr(apart, "COMMAND", (sys.executable, "-c", "import sys; sys.exit('out of luck')"))
    with pytest.raises(co.SolverFailure, match="out of luck"):
        california.placebo_in_space(workers=2)


@pytest.mark.slow
def test_a_script_without_a_main_guard_can_use_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np, pandas as pd, causalopt as co\n"
        "outcomes = pd.DataFrame(np.random.default_rng(1).normal(size=(12, 5)).cumsum(axis=0))\n"
        "result = co.solve(co.SyntheticControlProblem(outcomes, 0, 8))\n"
        "print(len(result.placebo_in_space(workers=2).table))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("5\n", 0), done.stderr


# ---- in time ----


def test_a_placebo_in_time_knows_nothing_of_the_treatment(california):
    wide = pd.DataFrame(california.problem.panel.values, california.problem.panel.times, california.problem.panel.units)
    early = california.placebo_in_time([1980, 1985])
    for when in (1980, 1985):
        alone = co.solve(co.SyntheticControlProblem(wide.loc[:1988], "California", when))
        np.testing.assert_allclose(early.gaps[when], alone.gaps, atol=1e-12)
        assert early.table.loc[when, "att"] == pytest.approx(alone.att)
    changed = wide.copy()
    changed.loc[1989:] = np.random.default_rng(0).normal(size=changed.loc[1989:].shape)
    other = co.solve(co.SyntheticControlProblem(changed, "California", 1989)).placebo_in_time([1980, 1985])
    pd.testing.assert_frame_equal(other.gaps, early.gaps)


def test_placebo_times_are_the_later_half_unless_given(california):
    assert california.placebo_in_time().table.index.tolist() == list(range(1979, 1989))


def test_donors_that_only_change_later_are_no_trouble_in_time(panel):
    late = panel.assign(b=np.where(panel.index < 11, 0.0, panel["b"]))
    table = co.solve(co.SyntheticControlProblem(late, "a", 11)).placebo_in_time([8]).table
    assert np.isfinite(table.to_numpy()).all()


def test_several_treated_units_in_time(panel):
    early = co.solve(co.SyntheticControlProblem(panel, ["a", "b"], 11)).placebo_in_time([7, 9])
    assert early.table.index.tolist() == [(7, "a"), (7, "b"), (9, "a"), (9, "b")]
    alone = co.solve(co.SyntheticControlProblem(panel, "b", 11, donors=list("cdefghi"))).placebo_in_time([9])
    np.testing.assert_allclose(early.gaps[(9, "b")], alone.gaps[9])


# ---- leave one out ----


def test_leaving_out_is_fitting_without(california):
    out = california.leave_one_out()
    used = california.weights[california.weights > 1e-6]
    assert set(out.table.index) == {"(none)", *used.index}
    for donor in used.index:
        others = [label for label in california.problem.donors if label != donor]
        alone = co.solve(california.problem.variant(donors=others))
        assert out.table.loc[donor, "att"] == pytest.approx(alone.att)
        np.testing.assert_allclose(out.gaps[donor], alone.gaps)
        assert out.table.loc[donor, "weight"] == pytest.approx(used[donor])
    assert out.table.loc["(none)", "att"] == pytest.approx(california.att)
    assert (out.table["pre rmspe"] >= out.table.loc["(none)", "pre rmspe"]).all()
    assert out.att_range == (out.table["att"].min(), out.table["att"].max())


# ---- pictures ----


@pytest.fixture
def plt(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="pictures need matplotlib")
    yield pyplot
    pyplot.close("all")


def test_pictures_show_what_they_say(california, plt):
    path = california.plot("path")
    np.testing.assert_allclose(path.lines[0].get_ydata(), california.synthetic + california.gaps)
    np.testing.assert_allclose(path.lines[1].get_ydata(), california.synthetic)
    assert [text.get_text() for text in path.get_legend().get_texts()] == ["actual", "synthetic", "treated since 1989"]
    gap = california.plot("gap")
    np.testing.assert_allclose(gap.lines[1].get_ydata(), california.gaps)
    weights = california.plot("weights")
    bars = {
        label.get_text(): bar.get_width() for label, bar in zip(weights.get_yticklabels(), weights.patches, strict=True)
    }
    assert bars == pytest.approx(california.weights[california.weights > 1e-6].to_dict())
    space = california.placebo_in_space(max_fit_ratio=2)
    spaghetti = california.plot("placebo", placebo=space)
    count = int((space.table["role"] == "placebo").sum())
    assert f"{count} placebos" in [text.get_text() for text in spaghetti.get_legend().get_texts()]
    assert len(spaghetti.collections[0].get_segments()) == count
    _, ax = plt.subplots()
    assert california.plot("gap", ax=ax) is ax


def test_pictures_of_several_units_and_of_dates(panel, plt):
    panel = panel.set_axis(pd.period_range("2020Q1", periods=16, freq="Q"))
    result = co.solve(co.SyntheticControlProblem(panel, ["a", "b"], pd.Period("2022Q4", freq="Q")))
    second = result.plot("gap", fit="b")
    np.testing.assert_allclose(second.lines[1].get_ydata(), result.gaps["b"])
    assert second.get_title(loc="left") == "b: gap"
    assert "treated since 2022Q4" in [text.get_text() for text in second.get_legend().get_texts()]
    assert len(result.plot("placebo").get_legend().get_texts()) == 4
    with pytest.raises(co.OptionError, match="'z'"):
        result.plot("path", fit="z")
    with pytest.raises(co.OptionError, match="'ft'"):
        result.plot("path", ft="b")


def test_weights_that_are_not_unique_are_drawn_with_their_ranges(plt):
    rng = np.random.default_rng(5)
    outcomes = pd.DataFrame(rng.normal(size=(6, 25)).round(1) + 20)
    with pytest.warns(co.CausaloptWarning, match="not unique"):
        result = co.solve(co.SyntheticControlProblem(outcomes.assign(**{"x": 20.0 + (outcomes.index > 2)}), "x", 3))
    ax = result.plot("weights")
    assert len(ax.get_yticklabels()) == 15 and "15 largest of" in ax.get_title(loc="left")
    ends = np.array([segment[:, 0] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(np.sort(ends[:, 1]), np.sort(result.weight_ranges["upper"].nlargest(15)))


def test_a_p_value_that_cannot_be_smaller_says_so():
    outcomes = pd.DataFrame(np.random.default_rng(1).normal(size=(12, 9)).cumsum(axis=0))
    outcomes.loc[8:, 0] += 25
    least = co.solve(co.SyntheticControlProblem(outcomes, 0, 8)).placebo_in_space()
    assert least.p_value == pytest.approx(1 / 9) and str(least).startswith("p = 0.1111 (the least possible) by")
    outcomes.loc[8:, 3] += 250
    second = co.solve(co.SyntheticControlProblem(outcomes, 0, 8)).placebo_in_space()
    assert second.p_value > 1 / 9 and "least" not in str(second)
