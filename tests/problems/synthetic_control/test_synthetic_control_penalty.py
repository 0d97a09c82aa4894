"""The penalty chosen by donors in the treated unit's part, and the importance of predictors."""

import numpy as np
import pandas as pd
import pytest

import causalopt as co

GERMANY = {"unit": "country", "time": "year", "outcome": "gdp", "treated": "West Germany", "treatment_time": 1990}
CALIFORNIA = {"unit": "state", "time": "year", "outcome": "cigsale", "treated": "California", "treatment_time": 1989}
ADH_2010 = [
    "lnincome", "age15to24", "retprice", ("beer", range(1984, 1989)), ("cigsale", 1988), ("cigsale", 1980),
    ("cigsale", 1975),
]  # fmt: skip


@pytest.fixture(scope="module")
def germany(shared_data):
    return pd.read_csv(shared_data / "germany" / "repgermany.csv")


@pytest.fixture(scope="module")
def smoking(shared_data):
    return pd.read_csv(shared_data / "prop99" / "smoking.csv")


@pytest.fixture
def panel():
    rng = np.random.default_rng(3)
    common = rng.normal(size=(18, 2)).cumsum(axis=0)
    return pd.DataFrame(common @ rng.normal(size=(2, 7)) + rng.normal(size=(18, 7)) / 3, columns=list("abcdefg"))


# ---- the choice of the penalty ----


@pytest.mark.parametrize(
    ("weights", "grid"),
    [
        ("elastic-net", {"lam": [0.01, 0.1, 1.0], "alpha": [0.2, 0.8]}),
        ("ridge", {"lam": [0.01, 0.1, 1.0]}),
        ("penalized", {"lam": [0.01, 0.1, 1.0]}),
        ({"sum_to_one": True}, {"lam": [0.01, 0.1, 1.0], "alpha": [0.2, 0.8]}),
    ],
    ids=str,
)
def test_the_choice_is_that_of_one_solve_after_the_other(panel, weights, grid):
    """Each donor treated, each penalty given, solved through the whole lane on a solver; squared errors averaged."""
    problem = co.SyntheticControlProblem(panel, "a", 12, weights=weights, **grid)
    choice = problem.penalty_choice
    errors = {}
    for alpha in grid.get("alpha", [0.0]):
        for lam in grid["lam"]:
            more = {"alpha": alpha} if "alpha" in grid else {}
            for donor in "bcdefg":
                others = [label for label in "bcdefg" if label != donor]
                own = co.SyntheticControlProblem(panel, donor, 12, weights=weights, donors=others, lam=lam, **more)
                gaps = co.solve(own, "highs").gaps.loc[12:]
                errors[alpha, lam, donor] = float((gaps**2).mean())
    expected = pd.Series(errors).unstack()
    np.testing.assert_allclose(choice.table[list("bcdefg")] ** 2, expected, rtol=1e-6)
    np.testing.assert_allclose(choice.table["all donors"] ** 2, expected.mean(axis=1), rtol=1e-6)
    assert (choice.penalty.alpha, choice.penalty.lam) == expected.mean(axis=1).idxmin()


def test_the_treated_unit_takes_no_part_in_the_choice(panel):
    grid = {"lam": [0.01, 0.1, 1.0], "alpha": 0.5}
    first = co.SyntheticControlProblem(panel, "a", 12, weights="elastic-net", **grid)
    other = panel.assign(a=np.random.default_rng(0).normal(size=18))
    second = co.SyntheticControlProblem(other, "a", 12, weights="elastic-net", **grid)
    np.testing.assert_array_equal(first.penalty_choice.errors, second.penalty_choice.errors)


def test_the_largest_of_equally_good_penalties_is_taken(panel):
    problem = co.SyntheticControlProblem(panel, "a", 12, weights="elastic-net", lam=[1e6, 1e7], alpha=0.5)
    assert problem.penalty.lam == 1e7 and (co.solve(_quiet(problem)).weights == 0).all()


def _quiet(problem):
    return problem.variant()  # the chosen penalty as a number: no choice to warn of


def test_a_choice_at_the_edge_is_said(panel):
    problem = co.SyntheticControlProblem(panel, "a", 12, weights="elastic-net", lam=[1e6, 1e7], alpha=0.5)
    with pytest.warns(co.CausaloptWarning, match="edge"):
        result = co.solve(problem)
    assert any("edge" in note for note in result.warnings)


def test_germany_over_the_whole_grid(germany):
    result = co.synthetic_control(germany, weights="elastic-net", **GERMANY)
    choice = result.problem.penalty_choice
    assert choice.errors.shape == (3, 20, 16) and not choice.at_edge
    assert "West Germany" not in choice.table.columns
    best = choice.table["all donors"].idxmin()
    assert (
        best == (choice.penalty.alpha, choice.penalty.lam) == (result.problem.penalty.alpha, result.problem.penalty.lam)
    )
    # some entries again, by the lane
    for alpha, lam in [best, (0.9, choice.lams[3]), (0.5, choice.lams[-1])]:
        for donor in ("Austria", "Norway"):
            others = [label for label in result.problem.donors if label != donor]
            own = result.problem.variant(treated=donor, donors=others, lam=lam, alpha=alpha)
            gaps = co.solve(own, "highs").gaps.loc[1990:]
            assert choice.table.loc[(alpha, lam), donor] == pytest.approx(np.sqrt((gaps**2).mean()), rel=1e-7)
    assert "chosen" in result.summary()


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_choice_does_not_depend_on_units(panel, factor):
    first = co.SyntheticControlProblem(panel, "a", 12, weights="elastic-net")
    second = co.SyntheticControlProblem(panel * factor, "a", 12, weights="elastic-net")
    assert second.penalty.alpha == first.penalty.alpha
    assert second.penalty.lam == pytest.approx(first.penalty.lam * factor**2)
    np.testing.assert_allclose(second.penalty_choice.table, first.penalty_choice.table * factor, rtol=1e-8)


# ---- predictors ----


def test_predictors_by_hand(panel):
    x = pd.DataFrame({"income": [3.0, 1, 2, 4, 5, 2, 6], "age": [30.0, 20, 50, 30, 60, 10, 40]}, index=list("abcdefg"))
    v = {"income": 3.0, "age": 1.0}
    with pytest.warns(co.CausaloptWarning, match="not unique"):
        result = co.solve(co.SyntheticControlProblem(panel, "a", 12, predictors=x, v=v))
    assert result.loss < 1e-12  # inside the hull of the donors
    balance = result.predictor_balance()
    np.testing.assert_allclose(balance["treated"], x.loc["a"])
    np.testing.assert_allclose(balance["synthetic"], x.loc["a"], rtol=1e-6)
    np.testing.assert_allclose(balance["donor mean"], x.drop(index="a").mean())
    assert balance["importance"].tolist() == [0.75, 0.25]


def test_importance_shifts_the_fit_to_what_counts(panel):
    x = pd.DataFrame({"income": [9.0, 1, 2, 4, 5, 2, 6], "age": [3.0, 20, 50, 30, 60, 10, 40]}, index=list("abcdefg"))
    z = x / x.std()
    for share in (0.0, 0.2, 0.7, 1.0):
        result = co.solve(co.SyntheticControlProblem(panel, "a", 12, predictors=x, v=[share, 1 - share]), "highs")
        w = result.weights
        distance = [share, 1 - share] @ (z.loc["a"] - z.drop(index="a").T @ w) ** 2
        assert result.loss == pytest.approx(distance, rel=1e-7)
        slope = -2 * z.drop(index="a") @ ([share, 1 - share] * (z.loc["a"] - z.drop(index="a").T @ w))
        assert (slope - slope[w > 1e-6].mean()).min() > -1e-5 and np.ptp(slope[w > 1e-4]) < 1e-5


def test_units_of_predictors_do_not_matter(smoking):
    first = co.synthetic_control(smoking, predictors=ADH_2010, **CALIFORNIA)
    scaled = smoking.assign(beer=smoking["beer"] * 1e6, retprice=smoking["retprice"] / 1e6)
    second = co.synthetic_control(scaled, predictors=ADH_2010, **CALIFORNIA)
    np.testing.assert_allclose(second.weights, first.weights, atol=1e-9)


def test_predictors_of_california_are_those_of_the_authors(smoking, shared_data):
    """The authors' matrix: rows 2 to 8 are income, price, age, beer, and sales in 1988, 1980 and 1975."""
    matrix = np.loadtxt(shared_data / "prop99" / "MLAB_data.txt")
    problem = co.synthetic_control(smoking, predictors=ADH_2010, **CALIFORNIA).problem
    ours = problem.predictors.frame
    theirs = pd.DataFrame(matrix[1:8].T, columns=["lnincome", "retprice", "age", "beer", 1988, 1980, 1975])
    own = ours.loc["California", "cigsale 1988"]
    assert own == pytest.approx(theirs[1988].iloc[-1], abs=1e-6)
    for name, other in [("cigsale 1988", 1988), ("cigsale 1980", 1980), ("cigsale 1975", 1975)]:
        np.testing.assert_allclose(sorted(ours[name]), sorted(theirs[other]), atol=1e-6)
    np.testing.assert_allclose(sorted(ours["beer 1984 to 1988"]), sorted(theirs["beer"]), rtol=1e-5)


def test_the_search_beats_the_published_weights_within_its_bound(smoking):
    """[ADH] 2010 table 2: Utah .334, Nevada .234, Montana .199, Colorado .164, Connecticut .069."""
    result = co.synthetic_control(smoking, predictors=ADH_2010, v="search", **CALIFORNIA)
    found = result.problem.importance[0]
    assert found.method == "search" and found.values.sum() == pytest.approx(1) and found.values.min() > 0
    wide = smoking.pivot(index="year", columns="state", values="cigsale").loc[:1988]
    published = {"Utah": 0.334, "Nevada": 0.234, "Montana": 0.199, "Colorado": 0.164, "Connecticut": 0.069}
    theirs = wide["California"] - wide[list(published)] @ pd.Series(published)
    outcomes_alone = co.synthetic_control(smoking, **CALIFORNIA).fit["pre rmspe"].iloc[0]
    assert found.bound == pytest.approx(outcomes_alone)
    assert found.bound <= found.loss <= np.sqrt((theirs**2).mean())
    assert result.fit["pre rmspe"].iloc[0] == pytest.approx(found.loss, rel=1e-6)
    assert found.loss < 1.75
    assert set(result.weights.nlargest(3).index) == {"Utah", "Nevada", "Montana"}
    series = found.to_series()
    assert list(series.index)[:2] == ["lnincome", "age15to24"]
    given = co.synthetic_control(smoking, predictors=ADH_2010, v=series.to_dict(), **CALIFORNIA)
    np.testing.assert_allclose(given.weights, result.weights, atol=1e-6)


def test_pooled_predictors_are_averages(panel):
    x = pd.DataFrame({"income": [9.0, 5, 2, 4, 5, 2, 6], "age": [3.0, 2, 50, 30, 60, 10, 40]}, index=list("abcdefg"))
    result = co.solve(co.SyntheticControlProblem(panel, ["a", "b"], 12, predictors=x, pooled=True))
    assert result.predictor_balance().loc["income", "treated"] == pytest.approx(7)
    both = co.solve(co.SyntheticControlProblem(panel, ["a", "b"], 12, predictors=x))
    assert both.predictor_balance().loc[("b", "income"), "treated"] == pytest.approx(5)
