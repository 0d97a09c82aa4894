"""Norms, several groups, tolerances between groups, the frontier, standard errors and bounds."""

import signal

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

import causalopt as co
from causalopt import basis
from causalopt.problems.balance import bias as diagnostics
from causalopt.problems.balance import frontier as balance_frontier

NAMES = ["age", "income", "female"]


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(3)
    n = 300
    x = pd.DataFrame(
        {"age": rng.normal(40, 10, n), "income": rng.lognormal(3, 0.6, n), "female": rng.integers(0, 2, n)}
    )
    score = x["age"] / 10 + rng.normal(0, 2, n)
    arm = np.select([score > 5, score > 3.5], ["high", "low"], "none")
    return x.assign(t=(score > 4.4).astype(int), arm=arm, y=x["age"] + 2 * (score > 4.4) + rng.normal(0, 1, n))


# ---- norms ----


@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_the_other_norms_agree_with_a_linear_program_written_by_hand(study, norm):
    result = co.balance(study, treatment="t", covariates=NAMES, tolerance=0.01, norm=norm)
    control, treated = study[study["t"] == 0], study[study["t"] == 1]
    r = len(control)
    b = control[NAMES].to_numpy() / r
    d = 0.01 * treated[NAMES].std(ddof=1).to_numpy()
    target = treated[NAMES].mean().to_numpy()
    extra = r if norm == "l1" else 1
    spread = np.eye(r) if norm == "l1" else np.ones((r, 1))
    a = np.vstack(
        [
            np.hstack([b.T, np.zeros((3, extra))]),
            np.hstack([-b.T, np.zeros((3, extra))]),
            np.hstack([np.eye(r), -spread]),
            np.hstack([-np.eye(r), -spread]),
        ]
    )
    sides = np.concatenate([target + d, d - target, np.ones(r), -np.ones(r)])
    answer = linprog(
        np.append(np.zeros(r), np.ones(extra)),
        A_ub=a,
        b_ub=sides,
        A_eq=np.append(np.ones(r), np.zeros(extra))[None],
        b_eq=[r],
    )
    assert result.objective == pytest.approx(answer.fun, rel=1e-7)
    assert result.balance_table()["smd after"].abs().max() <= 0.01 + 1e-8
    deviation = (result.weights[study["t"] == 0] - 1).abs()
    assert (deviation.sum() if norm == "l1" else deviation.max()) == pytest.approx(answer.fun, rel=1e-6)


@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_duals_of_the_other_norms_are_derivatives(study, norm):
    def cost(tolerance):
        result = co.balance(study, treatment="t", covariates=NAMES, tolerance=tolerance, norm=norm)
        deviation = (result.weights[study["t"] == 0] - 1).abs()
        return float(deviation.mean() if norm == "l1" else deviation.max())

    tolerance = {"age": 0.05, "income": 0.04, "female": 0.03}
    duals = co.balance(study, treatment="t", covariates=NAMES, tolerance=tolerance, norm=norm).duals
    for _, row in duals.iterrows():
        name = row["covariate"]
        step = 1e-6
        slope = (
            cost(tolerance | {name: tolerance[name] - step}) - cost(tolerance | {name: tolerance[name] + step})
        ) / (2 * step)
        assert row["dual"] == pytest.approx(slope, abs=1e-4 + 1e-3 * abs(slope))


# ---- several groups ----


def test_three_groups_are_weighted_to_the_full_sample_and_contrasted_by_name(study):
    result = co.balance(study, treatment="arm", covariates=NAMES, estimand="ATE", tolerance=0.02)
    table = result.balance_table()
    assert table.shape[0] == 9 and (table["smd after"].abs() <= 0.02 + 1e-8).all()
    means = {
        arm: np.average(study.loc[study["arm"] == arm, "y"], weights=result.weights[study["arm"] == arm])
        for arm in ("high", "low", "none")
    }
    for kind in ("fixed", "regression"):
        estimate = result.estimate("y", contrast=("high", "none"), variance=kind)
        assert estimate.estimate == pytest.approx(means["high"] - means["none"])
    with pytest.raises(co.DataError, match="say which two to compare"):
        result.estimate("y")
    with pytest.raises(co.DataError, match="contrast names 'hgih'"):
        result.estimate("y", contrast=("hgih", "none"))


def test_att_of_one_of_several_groups_needs_its_name(study):
    with pytest.raises(co.DataError, match="treated="):
        co.balance(study, treatment="arm", covariates=NAMES)
    result = co.balance(study, treatment="arm", covariates=NAMES, treated="high", tolerance=0.05)
    assert list(result.effective_sample_size.index) == ["low", "none"]
    assert (result.weights[study["arm"] == "high"] == 1).all()


@pytest.mark.parametrize("solver", ["dual-newton", "highs"])
def test_groups_are_held_near_each_other_without_a_target(study, solver):
    result = co.balance(
        study,
        treatment="arm",
        covariates=NAMES,
        estimand="ATE",
        tolerance=np.inf,
        between=0.03,
        scale="pooled",
        solver=solver,
    )
    table = result.between_table()
    assert len(table) == 9 and (table["difference"].abs() <= 0.03 + 1e-7).all() and table["active"].any()
    weighted = {
        arm: np.average(study.loc[study["arm"] == arm, "age"], weights=result.weights[study["arm"] == arm])
        for arm in ("high", "none")
    }
    unit = np.sqrt(study.groupby("arm")["age"].var().mean())
    assert table.loc[("high", "none", "age"), "difference"] == pytest.approx(
        (weighted["high"] - weighted["none"]) / unit, abs=1e-9
    )
    assert result.verification.proof.startswith("certified")


def test_both_kinds_of_tolerance_hold_together_and_loosening_one_never_costs(study):
    def cost(tolerance, between):
        result = co.balance(
            study, treatment="arm", covariates=NAMES, estimand="ATE", tolerance=tolerance, between=between
        )
        assert (result.balance_table()["smd after"].abs() <= tolerance + 1e-7).all()
        assert (result.between_table()["difference"].abs() <= between + 1e-7).all()
        return result.objective

    tight, loose = cost(0.05, 0.02), cost(0.05, 0.08)
    assert tight > loose
    assert loose == pytest.approx(
        co.balance(study, treatment="arm", covariates=NAMES, estimand="ATE", tolerance=0.05, between=0.2).objective,
        rel=0.2,
    )


def test_between_needs_several_groups_and_a_finite_tolerance(study):
    with pytest.raises(co.DataError, match="several groups"):
        co.balance(study, treatment="t", covariates=NAMES, between=0.1)
    with pytest.raises(co.DataError, match="inf; it must be a number"):
        co.balance(study, treatment="t", covariates=NAMES, tolerance=np.inf)


# ---- frontier ----


@pytest.mark.parametrize("solver", ["auto", "highs"])
def test_the_frontier_is_what_single_solves_give(study, solver):
    problem = co.BalanceProblem(study[NAMES], study["t"])
    tolerances = [0.2, 0.05, 0.01, 0.0]
    frontier = problem.frontier(tolerances, outcome=study["y"], solver=solver)
    for tolerance in tolerances:
        single = co.solve(co.BalanceProblem(study[NAMES], study["t"], tolerance=tolerance))
        row = frontier.table.loc[(tolerance, 0)]
        assert row["cv"] == pytest.approx(single.cv.loc[0], abs=1e-6)
        assert row["estimate"] == pytest.approx(single.estimate(study["y"]).estimate, abs=1e-5)
        prices = frontier.prices.loc[(tolerance, 0)]
        expected = single.duals.set_index("covariate")["dual"]
        np.testing.assert_allclose(prices[NAMES], expected[NAMES], atol=1e-4)
    assert frontier.table["cv"].is_monotonic_decreasing


def test_tolerances_out_of_reach_are_marked_infeasible(study):
    apart = study.assign(age=np.where(study["t"] == 1, study["age"] + 45, study["age"]))
    frontier = co.BalanceProblem(apart[NAMES], apart["t"]).frontier([0.01, 6.0])
    assert frontier.table.loc[(0.01, 0), "status"] == "infeasible"
    assert np.isnan(frontier.table.loc[(0.01, 0), "cv"])
    assert frontier.table.loc[(6.0, 0), "status"] == "optimal"


def test_an_interrupted_frontier_returns_what_was_solved(study, monkeypatch):
    original = balance_frontier._DualNewton.__call__
    solved = []

    def interrupted(self, program, problem):
        if len(solved) == 3:
            signal.raise_signal(signal.SIGINT)
        solved.append(1)
        return original(self, program, problem)

    monkeypatch.setattr(balance_frontier._DualNewton, "__call__", interrupted)
    with pytest.warns(co.CausaloptWarning, match="Interrupted"):
        frontier = co.BalanceProblem(study[NAMES], study["t"]).frontier(np.linspace(0.1, 0.01, 10))
    assert len(frontier.table) == 3


def test_a_frontier_of_no_or_negative_tolerances_is_refused(study):
    problem = co.BalanceProblem(study[NAMES], study["t"])
    for bad in ([], [-0.1], [np.nan]):
        with pytest.raises(co.DataError, match="zero or positive"):
            problem.frontier(bad)


def test_pictures_are_axes_with_labels(study, monkeypatch):
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    import matplotlib.pyplot as plt

    from causalopt.problems.balance import plot as plots

    result = co.balance(study, treatment="t", covariates=NAMES)
    love = plots.love_plot(result)
    assert [text.get_text() for text in love.get_yticklabels()] != [] and love.get_xlabel()
    assert plots.weight_plot(result).get_xlabel() and plots.dual_plot(result).get_xlabel()
    panels = result.problem.frontier([0.1, 0.05], outcome=study["y"]).plot()
    assert [" ".join(axes.get_ylabel().split()) for axes in panels] == [
        "coefficient of variation",
        "effective sample size",
        "estimate",
    ]
    plt.close("all")


# ---- standard errors ----


def test_regression_error_is_smaller_where_covariates_explain_the_outcome_and_near_the_bootstrap(study):
    result = co.balance(study, treatment="t", covariates=NAMES, tolerance=0.001)
    fixed, regression = (result.estimate("y", variance=kind).standard_error for kind in ("fixed", "regression"))
    bootstrap = result.estimate("y", variance="bootstrap", replications=60).standard_error
    assert regression < 0.5 * fixed
    assert bootstrap == pytest.approx(regression, rel=0.5)
    assert "bootstrap of 60 samples" in result.estimate("y", variance="bootstrap", replications=60).method


def test_regression_error_needs_the_rows_of_the_target(study):
    result = co.balance(
        study, covariates=NAMES, estimand="population", target=study[NAMES].mean() * 1.01, scale="group"
    )
    with pytest.raises(co.DataError, match="DataFrame"):
        result.estimate("y", variance="regression")
    with pytest.raises(co.OptionError, match="'bootstrp'"):
        result.estimate("y", variance="bootstrp")
    with pytest.raises(co.OptionError, match="at least 20"):
        result.estimate("y", variance="bootstrap", replications=3)


def test_intervals_cover_about_as_often_as_they_say():
    truth, covered, runs = 5.0, 0, 200
    rng = np.random.default_rng(8)
    for _ in range(runs):
        x = rng.normal(size=(300, 2))
        responds = rng.random(300) < 1 / (1 + np.exp(x[:, 0]))
        y = truth + x @ [2.0, 1.0] + rng.normal(size=300)
        everyone = pd.DataFrame(x, columns=list("ab"))
        sample = everyone[responds].reset_index(drop=True)
        problem = co.BalanceProblem(sample, estimand="population", target=everyone, tolerance=0.001)
        estimate = co.solve(problem).estimate(y[responds], variance="regression")
        covered += estimate.lower <= truth <= estimate.upper
    assert 0.90 <= covered / runs <= 0.985


@pytest.mark.parametrize("kind", ["fixed", "regression", "bootstrap"])
def test_one_treated_unit_has_no_standard_error(kind):
    rng = np.random.default_rng(1)
    df = pd.DataFrame({"x": rng.normal(size=800), "t": 0, "y": rng.normal(size=800)})
    df.loc[df["x"].abs().idxmin(), "t"] = 1
    result = co.balance(df, treatment="t", covariates=["x"], scale="group")
    difference = result._difference(df["y"].to_numpy())
    with pytest.raises(co.DataError, match=f"Group 1 has an effective size of 1: .*alone is {difference:.6g}"):
        result.estimate("y", variance=kind)


def test_weights_that_rest_on_one_unit_have_no_standard_error():
    df = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0, 60.0], "y": [1.0, 5.0, 2.0, 4.0, 3.0]})
    result = co.balance(df, covariates=["x"], estimand="population", target={"x": 59.0}, tolerance=0, scale="group")
    assert result.effective_sample_size["all"] < 1.1
    with pytest.raises(co.DataError, match="Group 'all' has an effective size of 1"):
        result.estimate("y")


@pytest.mark.parametrize("kind", ["fixed", "regression", "bootstrap"])
def test_a_few_treated_units_give_an_estimate_with_a_warning(kind):
    rng = np.random.default_rng(1)
    df = pd.DataFrame({"x": rng.normal(size=200), "t": np.repeat([1, 0], [3, 197]), "y": rng.normal(size=200)})
    result = co.balance(df, treatment="t", covariates=["x"], tolerance=0.1, scale="group")
    with pytest.warns(co.CausaloptWarning, match="Group 1 has an effective size of 3: .*too short") as caught:
        estimate = result.estimate("y", variance=kind, replications=20)
    assert caught[0].filename == __file__
    assert "group 1 has an effective size of 3: " in str(estimate) and "group 0" not in str(estimate)
    assert "sample size of 3 (group 1) is small" in " ".join(str(result.explain()).split())


def test_a_group_that_is_not_compared_may_be_small(study):
    few = pd.concat([study[study["arm"] != "low"], study[study["arm"] == "low"].iloc[:4]])
    result = co.balance(few, treatment="arm", covariates=NAMES, treated="high", tolerance=2.0)
    result.estimate("y", contrast=("high", "none"))
    with pytest.warns(co.CausaloptWarning, match="Group 'low' has an effective size of"):
        result.estimate("y", contrast=("high", "low"))


def test_two_groups_weighted_to_a_third_have_the_regression_error_of_a_population(study):
    result = co.balance(study, treatment="arm", covariates=NAMES, treated="high", tolerance=0.05)
    ours = result.estimate("y", contrast=("low", "none"), variance="regression")
    high = study["arm"] == "high"
    rest = study[~high]
    other = co.balance(
        rest, treatment="arm", covariates=NAMES, estimand="population", target=study[high], tolerance=0.05
    ).estimate("y", contrast=("low", "none"), variance="regression")
    assert ours.estimate == pytest.approx(other.estimate, rel=1e-6)
    assert ours.standard_error == pytest.approx(other.standard_error, rel=1e-6)


def test_contrasts_that_cannot_be_are_refused_and_those_that_can_are_named(study):
    result = co.balance(study, treatment="arm", covariates=NAMES, treated="high", tolerance=0.05)
    with pytest.raises(co.DataError, match=r"contrast=\('high', 'low'\) and contrast=\('high', 'none'\)\.$"):
        result.estimate("y")
    with pytest.raises(co.DataError, match="'low' with itself"):
        result.estimate("y", contrast=("low", "low"))
    for wrong in ("low", ("low",), 3):
        with pytest.raises(co.DataError, match="must be a pair of the groups"):
            result.estimate("y", contrast=wrong)


@pytest.mark.parametrize("level", ["0.9", 1.0, None, float("nan")])
def test_a_level_that_is_none_is_refused(study, level):
    result = co.balance(study, treatment="t", covariates=NAMES)
    for kind in ("fixed", "bootstrap"):
        with pytest.raises(co.DataError, match=r"level is .*between 0 and 1"):
            result.estimate("y", level, variance=kind)
    with pytest.raises(co.OptionError, match="replications is 'x'"):
        result.estimate("y", variance="bootstrap", replications="x")


@pytest.mark.parametrize(
    ("given", "least"),
    [
        ({}, "and the variance of the weights is least."),
        (
            {"sampling_weights": "s"},
            "and the mean squared deviation of the weights from the sampling weights, each square divided by the "
            "sampling weight, is least.",
        ),
        ({"base_weights": "s"}, "and the mean squared deviation of the weights from the base weights is least."),
        (
            {"sampling_weights": "s", "norm": "l1"},
            "mean absolute deviation of the weights from the sampling weights is",
        ),
    ],
)
def test_what_is_least_is_said_and_is_the_objective(study, given, least):
    df = study.assign(s=np.linspace(0.5, 2.0, len(study)))
    result = co.balance(df, treatment="t", covariates=NAMES, **given)
    assert least in " ".join(str(result.explain()).split())
    control = df["t"] == 0
    u, s = result.weights[control], df.loc[control, "s"] / df.loc[control, "s"].mean()
    if given.get("norm") == "l1":
        cost = (u - s).abs().sum()
    else:
        squares = (u - (s if given else 1.0)) ** 2
        cost = (squares / s if "sampling_weights" in given else squares).sum() / 2
    assert result.objective == pytest.approx(cost, rel=1e-6)


def test_an_outcome_that_is_missing_asks_to_balance_again(study):
    result = co.balance(study, treatment="t", covariates=NAMES)
    with pytest.raises(co.DataError, match=r"in 1 row\(s\): 3\. Impute them, or drop these rows and balance again"):
        result.estimate(study["y"].where(study.index != 3))


# ---- bounds ----


def test_bias_never_exceeds_the_bound_of_linear_outcomes(study):
    result = co.balance(study, treatment="t", covariates=NAMES, tolerance=0.05)
    rng = np.random.default_rng(1)
    control = study["t"] == 0
    for _ in range(50):
        beta = rng.normal(size=3) / [10, 20, 0.5]
        signal_ = study[NAMES].to_numpy() @ beta
        bias = np.average(signal_[control], weights=result.weights[control]) - signal_[~control].mean()
        named = dict(zip(NAMES, beta, strict=True))
        assert abs(bias) <= diagnostics.bias_bound(result, named, achieved=True) + 1e-9
        assert diagnostics.bias_bound(result, named, achieved=True) <= diagnostics.bias_bound(result, named) + 1e-7
    assert diagnostics.bias_bound(result, 2.0) == pytest.approx(2.0 * 0.15)


def test_the_bound_is_attained_by_the_worst_signs(study):
    result = co.balance(study, treatment="t", covariates=NAMES, tolerance=0.01)
    table = result.balance_table()
    control = study["t"] == 0
    units = study.loc[~control, NAMES].std(ddof=1)
    beta = np.sign(table["smd after"]) / units
    signal_ = study[NAMES] @ beta
    bias = np.average(signal_[control], weights=result.weights[control]) - signal_[~control].mean()
    assert bias == pytest.approx(diagnostics.bias_bound(result, beta.to_dict(), achieved=True))


def test_bias_never_exceeds_the_bound_of_smooth_outcomes():
    rng = np.random.default_rng(4)
    x = pd.DataFrame({"x": rng.uniform(0, 1, 500)})
    t = (x["x"] + rng.normal(0, 0.4, 500) > 0.6).astype(int)
    problem = co.BalanceProblem(x, t, basis=[basis.piecewise(5, 1)], tolerance=0.0, scale="pooled")
    result = co.solve(problem)
    edges = np.quantile(x["x"], np.linspace(0, 1, 6))
    control = t == 0
    for frequency in (1.0, 3.0, 6.0, 10.0):
        outcome = np.sin(frequency * x["x"])
        bias = np.average(outcome[control], weights=result.weights[control]) - outcome[~control].mean()
        bound = diagnostics.smooth_bias_bound(0.0, derivative=frequency**2, width=np.diff(edges).max(), degree=1)
        assert abs(bias) <= bound + 1e-9


def test_bounds_refuse_what_makes_no_sense(study):
    result = co.balance(study, treatment="t", covariates=NAMES)
    with pytest.raises(co.DataError, match="'agee'"):
        diagnostics.bias_bound(result, {"agee": 1.0})
    with pytest.raises(co.DataError, match="degree"):
        diagnostics.smooth_bias_bound(0, 1, 1, degree=-1)
    with pytest.raises(co.DataError, match="negative"):
        diagnostics.smooth_bias_bound(0, -1, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: co.balance(d, treatment="t", covariates=["x"]),
        lambda d: co.robust_z_test(d, outcome="y", treatment="t", exact=["x"]),
        lambda d: co.factorial_balance(d, factors=["t"], covariates=["x"]),
        lambda d: co.match_graph(d, "t", ["x"]),
    ],
)
def test_data_that_is_no_dataframe_is_named(call):
    with pytest.raises(co.DataError, match=r"must be a pandas DataFrame, not dict: pd\.DataFrame"):
        call({"t": [0, 1], "x": [1.0, 2.0], "y": [0.0, 1.0]})


def test_row_labels_are_shown_as_they_are(study):
    twice = pd.concat([study, study])
    with pytest.raises(co.DataError, match=f"Row label {study.index[0]} occurs more than once"):
        co.balance(twice, treatment="t", covariates=NAMES)


def test_of_two_numbers_only_one_beside_zero_is_treated_without_being_named(study):
    coded = study.assign(t=study["t"].map({1: 1, 0: 2}))
    with pytest.raises(co.DataError, match="Which of 1 and 2 is treated"):
        co.balance(coded, treatment="t", covariates=NAMES)
    named = co.balance(coded, treatment="t", covariates=NAMES, treated=1, tolerance=0.05)
    plain = co.balance(study, treatment="t", covariates=NAMES, tolerance=0.05)
    np.testing.assert_allclose(named.weights, plain.weights, atol=1e-9)


def test_an_outcome_among_the_covariates_is_refused(study):
    result = co.balance(study, treatment="t", covariates=NAMES, tolerance=0.05)
    with pytest.raises(co.DataError, match=f"outcome '{NAMES[0]}' is among the covariates"):
        result.estimate(NAMES[0])


def test_a_column_is_named_not_given(study):
    with pytest.raises(co.DataError, match="Columns are named here, but a Series was given"):
        co.balance(study, treatment=study["t"], covariates=NAMES)


def test_a_prompt_shows_the_summary(study):
    result = co.balance(study, treatment="t", covariates=NAMES, tolerance=0.05)
    assert repr(result) == f"BalanceResult\n{result.summary()}"
    assert repr(co.solve(co.Program.from_arrays([1.0]), "highs")).startswith("Result\nstatus")


@pytest.mark.parametrize("value", [0.5, 0.1, 0.0395, 123.4])
def test_a_covariate_constant_in_a_group_has_no_unit_there(value):
    rng = np.random.default_rng(5)
    t = np.repeat([0, 1], 30)
    rare = np.where((t == 1) & (rng.random(60) < 0.2), value + 1, value)
    x = pd.DataFrame({"a": rng.normal(size=60), "rare": rare})
    with pytest.raises(co.DataError, match="'rare' does not vary"):
        co.BalanceProblem(x, t, tolerance=0.01, scale="group")
