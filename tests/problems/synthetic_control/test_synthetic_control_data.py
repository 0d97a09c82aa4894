import datetime as dt

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt.problems.synthetic_control.panel import read_panel


@pytest.fixture
def panel():
    rng = np.random.default_rng(3)
    return pd.DataFrame(rng.normal(size=(8, 5)).cumsum(axis=0), index=range(1990, 1998), columns=list("abcde"))


@pytest.fixture
def long(panel):
    return panel.rename_axis("year").reset_index().melt(id_vars="year", var_name="state", value_name="sales")


NAMES = {"unit": "state", "time": "year", "outcome": "sales"}


def refuses(outcomes, treated="a", when=1995, *, saying, error=co.DataError, **arguments):
    with pytest.raises(error) as caught:
        co.SyntheticControlProblem(outcomes, treated, when, **arguments)
    text = str(caught.value)
    for part in [saying] if isinstance(saying, str) else saying:
        assert part in text, text


# ---- the panel ----


def test_unbalanced_panels_name_units_and_times(long):
    holes = long[
        ~((long["state"] == "c") & long["year"].isin([1992, 1994])) & ~((long["state"] == "e") & (long["year"] == 1990))
    ]
    refuses(holes, **NAMES, saying=["unbalanced", "'c' in 1992, 1994", "'e' in 1990"])


def test_many_holes_are_counted_rather_than_listed(long):
    holes = long[~((long["state"] == "c") & (long["year"] < 1997))]
    refuses(holes, **NAMES, saying=["'c' in 1990, 1991, 1992, 1993, 1994, ... (7 times)"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_missing_and_infinite_outcomes_name_units_and_times(panel, long, value):
    panel.loc[1993, "b"] = value
    refuses(panel, saying=["missing or infinite", "'b' in 1993"])
    long.loc[(long["state"] == "d") & (long["year"] == 1996), "sales"] = value
    refuses(long, **NAMES, saying=["missing or infinite", "'d' in 1996"])


def test_repeated_cells_name_units_and_times(panel, long):
    refuses(pd.concat([long, long.iloc[[3]]]), **NAMES, saying=["more than once", "'a' in 1993"])
    refuses(pd.concat([panel, panel.iloc[[2]]]), saying=["time (row) 1992", "more than once"])
    refuses(pd.concat([panel, panel["b"]], axis=1), saying=["unit (column) 'b'", "more than once"])


def test_outcomes_that_are_no_numbers_are_named(panel, long):
    refuses(panel.assign(c="many"), saying=["unit 'c'", "not numeric", "'many'"])
    refuses(long.assign(sales="many"), **NAMES, saying=["'sales'", "not numeric"])


def test_missing_columns_and_half_named_ones_are_named(long):
    refuses(long, unit="stat", time="year", outcome="sales", saying=["'stat'", "'state'"])
    refuses(long, unit="state", time="year", saying=["three columns", "outcome="])
    refuses([[1, 2], [3, 4]], saying="list")


def test_missing_units_and_times_are_counted(long):
    refuses(long.assign(state=long["state"].where(long["state"] != "e")), **NAMES, saying="unit is missing in 8 row(s)")
    refuses(long.assign(year=long["year"].where(long["year"] != 1990)), **NAMES, saying="time is missing in 5 row(s)")


def test_times_of_mixed_types_are_refused(panel):
    panel.index = [1990, 1991, 1992, "1993", 1994, 1995, 1996, 1997]
    refuses(panel, saying="cannot be put in order")


@pytest.mark.parametrize("dtype", ["str", "string", object, "category", np.int64])
@pytest.mark.parametrize("order", ["by unit", "by time", "shuffled", "a time not in order"])
def test_every_order_of_the_rows_is_read_alike(dtype, order):
    rng = np.random.default_rng(0)
    names = ["u", "a", "z", "k"] if dtype is not np.int64 else [7, 3, 9, 1]
    long = pd.DataFrame({"unit": np.repeat(names, 6), "time": np.tile(np.arange(1990, 1996), 4)})
    long["y"] = rng.normal(size=24)
    cells = {(u, t): y for u, t, y in long.itertuples(index=False)}
    long["unit"] = long["unit"].astype(dtype)
    if order == "by time":
        long = long.sort_values("time", kind="stable")
    elif order == "shuffled":
        long = long.sample(frac=1.0, random_state=1)
    elif order == "a time not in order":  # of one unit only
        long = long.iloc[[*range(8), 9, 8, *range(10, 24)]]
    panel = read_panel(long, "unit", "time", "y")
    assert sorted(panel.units) == sorted(names)
    assert panel.times.tolist() == list(range(1990, 1996))
    read = {(u, t): panel.values[i, j] for j, u in enumerate(panel.units) for i, t in enumerate(panel.times)}
    assert read == cells


@pytest.mark.parametrize("dtype", ["str", "string"])
@pytest.mark.parametrize("missing", [slice(3, 6), slice(0, 3), slice(4, 5)])
def test_missing_units_are_counted_in_a_panel_in_order_too(dtype, missing):
    long = pd.DataFrame({"unit": np.repeat(["a", "b", "c"], 3), "time": np.tile([1, 2, 3], 3), "y": np.arange(9.0)})
    long["unit"] = long["unit"].astype(dtype)
    long.iloc[missing, 0] = None
    count = len(range(9)[missing])
    with pytest.raises(co.DataError, match=rf"unit is missing in {count} row\(s\)"):
        read_panel(long, "unit", "time", "y")


def test_a_unit_named_for_two_blocks_of_times_is_refused():
    long = pd.DataFrame({"unit": ["a"] * 3 + ["b"] * 3 + ["a"] * 3, "time": [1, 2, 3] * 3, "y": np.arange(9.0)})
    with pytest.raises(co.DataError, match=r"3 unit\(s\) and time\(s\) occur more than once.*'a' in 1"):
        read_panel(long, "unit", "time", "y")


def test_an_empty_panel_is_refused(panel):
    refuses(panel.iloc[:0], saying="no rows")


# ---- who is treated, and when ----


def test_a_treated_unit_that_is_not_there_is_named(panel):
    refuses(panel, "Calfornia", saying=["'Calfornia'", "treated unit"])
    refuses(panel, ["a", "z"], saying="'z'")
    refuses(panel, [], saying="No treated unit")
    refuses(panel, ["a", "a"], saying="twice")


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (1998, ["1998 is after the last time", "1990 to 1997"]),
        (1990, ["1990 leaves no time before", "1990 to 1997"]),
        (1800, ["1800 leaves no time before"]),
        (1991, ["Only one time (1990)", "1991"]),
        ("1995", ["'1995'", "cannot be compared", "1990"]),
    ],
)
def test_treatment_times_outside_the_data_say_what_the_data_are(panel, when, words):
    refuses(panel, when=when, saying=words)


def test_dates_are_shown_as_dates(panel):
    panel.index = pd.date_range("2020-01-01", periods=8, freq="MS")
    refuses(panel, when=pd.Timestamp("2021-05-01"), saying=["2021-05-01 is after", "2020-01-01 to 2020-08-01"])


# ---- donors ----


def test_no_donors(panel):
    refuses(panel[["a"]], saying="no donors")
    refuses(panel, donors=[], saying="no donors")
    refuses(panel, list("abcde"), saying="no donors")


def test_a_donor_that_is_treated_unknown_or_named_twice(panel):
    refuses(panel, donors=["a", "b"], saying=["'a' is treated", "donors="])
    refuses(panel, donors=["b", "bb"], saying=["donor", "'bb'"])
    refuses(panel, donors=["b", "b"], saying="twice")


def test_a_donor_that_is_a_copy_of_the_treated_unit(panel):
    refuses(panel.assign(c=panel["a"]), saying=["'c'", "same outcome as treated unit 'a'"])
    only_before = panel.assign(c=panel["a"].where(panel.index < 1995, panel["c"]))
    assert co.solve(co.SyntheticControlProblem(only_before, "a", 1995)).weights["c"] == pytest.approx(1)


def test_constant_donors_are_named_with_their_value(panel):
    refuses(panel.assign(c=0.0, d=7.5), saying=["2 donor(s)", "'c' (0)", "'d' (7.5)", "donors="])
    kept = co.solve(co.SyntheticControlProblem(panel.assign(c=0.0), "a", 1995, donors=["b", "d", "e"]))
    assert list(kept.weights.index) == ["b", "d", "e"]


def test_a_treated_unit_may_be_constant(panel):
    result = co.solve(co.SyntheticControlProblem(panel.assign(a=0.0), "a", 1995))
    assert result.weights.sum() == pytest.approx(1)


def test_one_donor_is_enough_for_a_fit_though_not_for_placebos(panel):
    result = co.solve(co.SyntheticControlProblem(panel, "a", 1995, donors=["b"]))
    assert result.weights.to_dict() == {"b": 1.0}
    for call in (result.placebo_in_space, result.leave_one_out):
        with pytest.raises(co.DataError, match="donor"):
            call()


# ---- arguments ----


def test_unknown_weights_and_constraints_are_named(panel):
    refuses(panel, weights="simplx", error=co.OptionError, saying=["'simplx'", "'simplex'"])
    refuses(panel, weights={"sum_to_1": True}, error=co.OptionError, saying=["'sum_to_1'", "'sum_to_one'"])
    refuses(panel, weights="did", intercept=False, error=co.OptionError, saying="has an intercept")
    refuses(panel, weights={"no_intercept": True}, intercept=True, error=co.OptionError, saying="contradicts")


def test_penalties_that_mean_nothing_are_refused(panel):
    refuses(panel, lam=1.0, error=co.OptionError, saying=["'simplex' has no penalty", "penalized"])
    refuses(panel, weights={}, alpha=0.5, error=co.OptionError, saying="no penalty")
    refuses(panel, weights="ridge", lam=1.0, alpha=0.5, error=co.OptionError, saying="no alpha")
    refuses(panel, weights="penalized", lam=1.0, l2="unsquared", error=co.OptionError, saying="no L2 norm")
    refuses(panel, weights="ridge", lam=1.0, l2="cubed", error=co.OptionError, saying="'cubed'")
    fixed = {"sum_to_one": True, "equal": True}
    refuses(panel, weights=fixed, lam=1.0, alpha=0.5, error=co.OptionError, saying="fixed")


@pytest.mark.parametrize("lam", [-1.0, np.nan, np.inf, "much", True])
def test_bad_penalties_are_shown(panel, lam):
    refuses(panel, weights="elastic-net", lam=lam, alpha=0.5, saying=["lam is", repr(lam)])


def test_alpha_lies_between_zero_and_one(panel):
    refuses(panel, weights="elastic-net", lam=1.0, alpha=1.5, saying=["alpha is 1.5", "between 0 and 1"])
    refuses(panel, weights="elastic-net", lam=[], saying="lam is empty")


def test_choosing_a_penalty_takes_two_donors(panel):
    refuses(panel, weights="ridge", donors=["b"], saying="two donors")


# ---- predictors ----


def test_predictors_are_checked_with_names(panel):
    x = pd.DataFrame({"income": [1.0, 2, 3, 4, 5], "age": [3.0, 1, 4, 1, 5]}, index=list("abcde"))
    refuses(panel, predictors=x.drop(index="c"), saying=["no row for 'c'"])
    refuses(panel, predictors=x.assign(age="old"), saying=["'age'", "not numeric"])
    refuses(panel, predictors=x.assign(age=2.0), saying=["'age' is 2 for every unit"])
    holes = x.copy()
    holes.loc["d", "income"] = np.nan
    refuses(panel, predictors=holes, saying=["'income'", "'d'"])
    refuses(panel, predictors=x, v=[1.0], saying="v must hold 2 numbers")
    refuses(panel, predictors=x, v={"incme": 1.0}, saying=["'incme'", "'income'"])
    refuses(panel, predictors=x, v=[-1.0, 2.0], saying="zero or positive")
    refuses(panel, predictors=x, v="serch", error=co.OptionError, saying="'search'")
    refuses(panel, v="search", error=co.OptionError, saying="predictors=")
    refuses(panel, predictors=x, weights="ridge", error=co.OptionError, saying="no intercept")
    refuses(panel, predictors=x, v="search", weights="penalized", error=co.OptionError, saying="give lam=")


def test_predictors_from_columns_name_what_is_missing(long):
    arguments = {"treated": "a", "treatment_time": 1995} | NAMES
    with pytest.raises(co.DataError, match="'incme'"):
        co.synthetic_control(long, predictors=["incme"], **arguments)
    with pytest.raises(co.DataError, match="1985"):
        co.synthetic_control(long, predictors=[("sales", 1985)], **arguments)
    with pytest.raises(co.DataError, match="named twice"):
        co.synthetic_control(long, predictors=["sales", "sales"], **arguments)
    with pytest.raises(co.DataError, match="asks for time 1995, which is not before the treatment"):
        co.synthetic_control(long, predictors=[("sales", [1994, 1995])], **arguments)


# ---- results ----


def test_questions_that_a_result_cannot_answer(panel):
    result = co.solve(co.SyntheticControlProblem(panel, "a", 1995))
    with pytest.raises(co.OptionError, match="predictors="):
        result.predictor_balance()
    with pytest.raises(co.DataError, match=r"eta is -0\.1"):
        result.att_range(-0.1)
    with pytest.raises(co.OptionError, match=r"'pth'.*'path'"):
        result.plot("pth")
    with pytest.raises(co.OptionError, match="workers"):
        result.placebo_in_space(workers=0)
    with pytest.raises(co.OptionError, match="max_fit_ratio"):
        result.placebo_in_space(max_fit_ratio=-1)
    with pytest.raises(co.DataError, match="1995"):
        result.placebo_in_time([1995])
    with pytest.raises(co.OptionError, match="options: log_x"):
        co.solve(result.problem, "active-set", options={"log_x": 1})
    with pytest.raises(co.SolverNotAvailable, match="active-set"):
        co.solve(result.problem, "active-sets")


# ---- times in words ----

MONTHS = [f"{month:02d}/{year}" for year, month in [(2019, m) for m in (10, 11, 12)] + [(2020, m) for m in range(1, 6)]]


def by_shape(panel, shape):
    """Return the panel wide, long, or as a Series, and the names that go with it."""
    if shape == "wide":
        return panel, {}
    series = panel.T.stack()
    if shape == "series":
        return series, {}
    return series.rename_axis(["state", "year"]).rename("sales").reset_index(), NAMES


@pytest.mark.parametrize("shape", ["wide", "long", "series"])
@pytest.mark.parametrize(
    ("times", "when"),
    [
        (MONTHS, "03/2020"),
        ([month.replace("/", "") for month in MONTHS], "032020"),
        ([f"wk{k}" for k in range(4, 12)], "wk9"),
        ([str(k) for k in range(4, 12)], "9"),
        ([f"t-{k}" for k in range(8, 0, -1)], "t-3"),
        ([f"{word} 2019" for word in ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug")], "May 2019"),
        (["2019-9", *(f"2019-{k}" for k in (10, 11, 12)), *(f"2020-{k}" for k in range(1, 5))], "2020-1"),
    ],
)
def test_times_in_words_that_are_not_in_the_order_of_their_letters_are_refused(panel, times, when, shape):
    outcomes, names = by_shape(panel.set_axis(times), shape)
    said = ["whose order is not that of their letters", "year first", "pd.to_datetime", *(["'year'"] if names else [])]
    refuses(outcomes, when=when, saying=said, **names)
    if shape == "long":
        with pytest.raises(co.DataError, match="whose order is not that of their letters"):
            co.synthetic_control(outcomes, **names, treated="a", treatment_time=when, predictors=["sales"])


@pytest.mark.parametrize("shape", ["wide", "long", "series"])
@pytest.mark.parametrize(
    ("times", "when"),
    [
        ([f"2019-{k:02d}" for k in range(5, 13)], "2019-10"),
        ([f"{k}-01-01" for k in range(1990, 1998)], "1995"),
        ([f"{k}0101" for k in range(1990, 1998)], "19950101"),
        ([f"q{k:02d}" for k in range(6, 14)], "q11"),
        ([f"{k:02d}" for k in range(6, 14)], "11"),
    ],
)
def test_times_in_words_that_are_in_the_order_of_their_letters_are_taken(panel, times, when, shape):
    outcomes, names = by_shape(panel.set_axis(times).sample(frac=1.0, random_state=0), shape)
    problem = co.SyntheticControlProblem(outcomes, "a", when, **names)
    assert problem.panel.times.tolist() == times and problem.design.n_pre == 5
    refuses(
        outcomes, when="9", **names, saying=f"treatment_time '9' is not written as the times are, such as {times[4]!r}"
    )


def test_an_ordered_category_has_an_order_of_its_own(panel):
    times = [f"wk{k}" for k in range(4, 12)]
    panel.index = pd.CategoricalIndex(times, categories=times, ordered=True)
    assert co.SyntheticControlProblem(panel, "a", "wk9").design.n_pre == 5
    refuses(panel, when="week 9", saying="cannot be compared")


@pytest.mark.parametrize(
    "when", [dt.date(1995, 1, 1), dt.datetime(1995, 1, 1), "1995-01-01", np.datetime64("1995-01-01")]
)
@pytest.mark.parametrize("zone", [None, "Europe/Rome"])
def test_days_are_times_of_a_panel_of_dates(panel, when, zone):
    if (zone and not isinstance(when, str | dt.date)) or (zone and isinstance(when, dt.datetime)):
        pytest.skip("a time without a zone is not compared with one that has it")
    panel.index = pd.to_datetime([f"{year}-01-01" for year in panel.index]).tz_localize(zone)
    assert co.SyntheticControlProblem(panel, "a", when).design.n_pre == 5


@pytest.mark.parametrize(
    ("make", "when", "said"),
    [
        (lambda k: k, "1995", "is '1995', which cannot be compared with the panel's times, 1990 to 1997"),
        (lambda k: k, "1995", "such as treatment_time=1994."),
        (float, dt.date(1995, 1, 1), "is the date 1995-01-01, which cannot be compared"),
        (float, "1995", "such as treatment_time=1994."),
        (lambda k: pd.Timestamp(k, 1, 1), 1995, "compared with the panel's dates, 1990-01-01 to 1997-01-01"),
        (lambda k: pd.Timestamp(k, 1, 1), np.int64(1995), "is 1995, which cannot be compared"),
        (lambda k: pd.Timestamp(k, 1, 1), "soon", "such as treatment_time='1994-01-01'."),
        (lambda k: dt.date(k, 1, 1), "1995", "such as treatment_time=datetime.date(1994, 1, 1)."),
        (lambda k: pd.Period(str(k), "Y"), dt.date(1995, 1, 1), "such as treatment_time=pd.Period('1994', 'Y-DEC')."),
        (lambda k: f"{k}-01", 1995, "such as treatment_time='1994-01'."),
    ],
)  # fmt: skip
def test_a_treatment_time_of_another_kind_is_told_how_to_be_written(panel, make, when, said):
    panel.index = pd.Index([make(k) for k in panel.index])
    refuses(panel, when=when, saying=said)


def test_messages_write_dates_for_people(panel):
    panel.index = pd.to_datetime([f"{year}-01-01" for year in panel.index])
    refuses(pd.concat([panel, panel.iloc[[2]]]), when="1995-01-01", saying="time (row) 1992-01-01 occurs")
    long, names = by_shape(panel, "long")
    late = [("sales", pd.Timestamp("1996-01-01"))]
    with pytest.raises(co.DataError, match=r"time 1996-01-01, which is not before the treatment \(1995-01-01\)"):
        co.synthetic_control(long, **names, treated="a", treatment_time="1995-01-01", predictors=late)


# ---- words that fit the case ----


@pytest.mark.parametrize("dtype", [object, "str"])
def test_an_outcome_in_words_is_called_the_outcome(long, dtype):
    refuses(
        long.sample(frac=1.0, random_state=0).assign(sales=long["sales"].astype(str).astype(dtype)),
        **NAMES, saying="The outcome 'sales' is not numeric",
    )  # fmt: skip


def test_missing_values_of_a_treated_unit_are_not_told_to_drop_it(panel, long):
    stays = "A treated unit cannot be dropped: drop these times for all units, or choose another outcome."
    panel.loc[1993, ["a", "c"]] = np.nan
    refuses(panel, saying=f"missing or infinite: 'a' in 1993. {stays}")
    refuses(panel, ["b", "a"], saying=f"missing or infinite: 'a' in 1993. {stays}")
    refuses(panel, "b", saying="'a' in 1993; 'c' in 1993. Drop these units or these times first.")
    holes = long[~(long["state"].isin(["a", "c"]) & (long["year"] == 1992))]
    refuses(holes, **NAMES, saying=["unbalanced: 'a' in 1992 missing", stays])
