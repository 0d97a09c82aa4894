import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalopt as co
from causalopt import basis
from causalopt.verifying.claims import Proof

CONTINUOUS = ["age", "educ", "re74", "re75"]
BINARY = ["black", "hispan", "white", "nodegree", "married"]
SBW = ["age", "educ", "black", "hispan", "married", "nodegree", "re74", "re75"]
BOTH = pytest.mark.parametrize("solver", ["highs", "dual-newton"])


@pytest.fixture(scope="module")
def lalonde(shared_data):
    df = pd.read_csv(shared_data / "lalonde" / "lalonde_614.csv")
    return df.assign(black=(df["race"] == "black").astype(float))


@pytest.fixture
def study():
    rng = np.random.default_rng(7)
    n = 240
    x = pd.DataFrame(
        {"age": rng.normal(40, 10, n), "income": rng.lognormal(3, 0.7, n), "female": rng.integers(0, 2, n)},
        index=[f"unit{i}" for i in range(n)],
    )
    t = (x["age"] / 10 + rng.normal(0, 2, n) > 4.6).astype(int)
    y = x["age"] * 0.5 + 3 * t + rng.normal(0, 1, n)
    return x.assign(t=t, y=y)


COVARIATES = ["age", "income", "female"]


# ---- published numbers ----


@BOTH
def test_lalonde_reproduces_optweight(lalonde, solver):
    scale = {name: "treated" for name in CONTINUOUS} | {"default": "raw"}
    result = co.balance(
        lalonde, treatment="treat", covariates=CONTINUOUS + BINARY, tolerance=0.01, scale=scale, solver=solver
    )
    w = result.weights[lalonde["treat"] == 0].to_numpy()
    assert result.effective_sample_size.loc[0] == pytest.approx(113.896, abs=5e-4)
    assert np.sqrt(np.mean((w - 1) ** 2)) == pytest.approx(1.6633, abs=5e-5)
    assert w.max() == pytest.approx(5.5885, abs=5e-5)
    assert (w < 1e-5).sum() == 231
    assert result.estimate("re78").estimate == pytest.approx(1239.864, abs=5e-3)
    assert result.is_optimal and result.verification.proof is Proof.CERTIFIED


@BOTH
def test_lalonde_reproduces_sbw_with_its_duals(lalonde, solver):
    result = co.balance(lalonde, treatment="treat", covariates=SBW, tolerance=0.02, scale="group", solver=solver)
    w = result.weights[lalonde["treat"] == 0].to_numpy()
    assert result.cv.loc[0] == pytest.approx(1.65323, abs=5e-6)
    assert result.variance.loc[0] == pytest.approx(0.00635619, abs=5e-9)
    assert result.effective_sample_size.loc[0] == pytest.approx(115.112, abs=5e-4)
    assert result.estimate("re78").estimate == pytest.approx(1291.295, abs=5e-3)
    assert (w < 1e-5).sum() == 231
    duals = result.duals.set_index("covariate")["dual"]
    assert duals[["black", "educ", "re74"]].tolist() == pytest.approx([3.3630, 1.4042, 1.3519], abs=5e-5)
    assert result.duals["covariate"].iloc[0] == "black"


def test_nsw_with_survey_controls_comes_near_the_experiment(shared_data):
    experiment = pd.read_csv(shared_data / "lalonde" / "nsw_dw.csv")
    survey = pd.read_csv(shared_data / "lalonde" / "cps_controls.csv.gz")
    df = pd.concat([experiment[experiment["treat"] == 1], survey], ignore_index=True)
    df = df.assign(no74=(df["re74"] == 0) * 1, no75=(df["re75"] == 0) * 1)
    covariates = ["age", "education", "black", "hispanic", "married", "nodegree", "re74", "re75", "no74", "no75"]
    results = {
        solver: co.balance(
            df,
            treatment="treat",
            covariates=covariates,
            basis=[basis.moments(2)],
            tolerance=0.01,
            scale="treated",
            solver=solver,
        )
        for solver in ("highs", "dual-newton")
    }
    estimate = results["highs"].estimate("re78")
    assert abs(estimate.estimate - 1794.34) < 0.25 * estimate.standard_error
    raw = df.groupby("treat")["re78"].mean().diff().iloc[-1]
    assert raw < -8000  # what weighting has to undo
    assert results["dual-newton"].estimate("re78").estimate == pytest.approx(estimate.estimate, abs=1e-2)


# ---- oracles ----


def test_exact_balance_without_bounds_is_one_linear_system(study):
    result = co.balance(study, treatment="t", covariates=COVARIATES, tolerance=0, lower=-np.inf)
    control = study[study["t"] == 0]
    target = study.loc[study["t"] == 1, COVARIATES].mean().to_numpy()
    rows = np.column_stack([np.ones(len(control)), control[COVARIATES]])
    r = len(control)
    moments = rows.T @ rows
    expected = 1 + rows @ np.linalg.solve(moments, r * np.append(1, target) - rows.sum(axis=0))
    np.testing.assert_allclose(result.weights[study["t"] == 0], expected, atol=1e-8)


@BOTH
@pytest.mark.parametrize("estimand", ["ATT", "ATC", "ATE"])
def test_duals_are_derivatives_of_the_squared_cv(study, estimand, solver):
    def squared_cv(tolerances):
        result = co.balance(
            study, treatment="t", covariates=COVARIATES, estimand=estimand, tolerance=tolerances, solver=solver
        )
        return {g: float(result.weights.to_numpy()[study["t"] == g].var()) for g in result.effective_sample_size.index}

    tolerances = {"age": 0.05, "income": 0.03, "female": 0.02}
    result = co.balance(
        study, treatment="t", covariates=COVARIATES, estimand=estimand, tolerance=tolerances, solver=solver
    )
    duals = result.duals
    if "group" not in duals:
        duals = duals.assign(group=result.effective_sample_size.index[0])
    step = 1e-4
    for name in COVARIATES:
        up = squared_cv(tolerances | {name: tolerances[name] + step})
        down = squared_cv(tolerances | {name: tolerances[name] - step})
        for _, row in duals[duals["covariate"] == name].iterrows():
            slope = (down[row["group"]] - up[row["group"]]) / (2 * step)
            assert row["dual"] == pytest.approx(slope, abs=2e-4 + 1e-3 * abs(slope))


@BOTH
def test_weights_have_mean_one_and_meet_every_tolerance(study, solver):
    result = co.balance(study, treatment="t", covariates=COVARIATES, estimand="ATE", tolerance=0.03, solver=solver)
    table = result.balance_table()
    assert (table["smd after"].abs() <= 0.03 + 1e-7).all()
    for group in (0, 1):
        assert result.weights[study["t"] == group].mean() == pytest.approx(1, abs=1e-9)
    recomputed = np.average(study.loc[study["t"] == 1, "age"], weights=result.weights[study["t"] == 1])
    assert table.loc[(1, "age"), "mean after"] == pytest.approx(recomputed, rel=1e-9)


def test_repeating_units_equals_sampling_weights(study):
    copies = pd.Series(np.where(np.arange(len(study)) % 3 == 0, 3, 1), index=study.index)
    repeated = study.loc[study.index.repeat(copies)].reset_index(drop=True)
    weighted = co.BalanceProblem(study[COVARIATES], study["t"], sampling_weights=copies, tolerance=0.02, scale="raw")
    plain = co.BalanceProblem(repeated[COVARIATES], repeated["t"], tolerance=0.02, scale="raw")
    first, second = co.solve(weighted, "highs"), co.solve(plain, "highs")
    total = second.weights.groupby(np.repeat(np.arange(len(study)), copies)).sum()
    control = (study["t"] == 0).to_numpy()
    ours = first.weights.to_numpy()[control]
    theirs = total.to_numpy()[control]
    np.testing.assert_allclose(ours / ours.sum(), theirs / theirs.sum(), atol=1e-8)
    assert first.estimate(study["y"]).estimate == pytest.approx(second.estimate(repeated["y"]).estimate, abs=1e-7)


def test_atc_is_att_with_the_groups_exchanged(study):
    first = co.balance(study, treatment="t", covariates=COVARIATES, estimand="ATC")
    second = co.balance(study.assign(t=1 - study["t"]), treatment="t", covariates=COVARIATES, estimand="ATT")
    np.testing.assert_allclose(first.weights, second.weights, atol=1e-9)
    assert first.estimate("y").estimate == pytest.approx(-second.estimate("y").estimate)


def test_population_means_and_population_rows_agree(study):
    sample, population = study.iloc[:150], study.iloc[100:]
    means = population[COVARIATES].mean()
    by_means = co.balance(
        sample, covariates=COVARIATES, estimand="population", target=means, tolerance=0.01, scale="group"
    )
    by_rows = co.balance(
        sample, covariates=COVARIATES, estimand="population", target=population, tolerance=0.01, scale="group"
    )
    np.testing.assert_allclose(by_means.weights, by_rows.weights, atol=1e-8)
    assert (by_means.balance_table()["smd after"].abs() <= 0.01 + 1e-8).all()
    mean = by_means.estimate("y")
    assert mean.estimate == pytest.approx(np.average(sample["y"], weights=by_means.weights))


@BOTH
def test_base_weights_that_are_balanced_already_are_kept(study, solver):
    once = co.balance(study, treatment="t", covariates=COVARIATES, tolerance=0.01)
    again = co.balance(
        study, treatment="t", covariates=COVARIATES, tolerance=0.02, base_weights=once.weights + 1e-12, solver=solver
    )
    np.testing.assert_allclose(again.weights[study["t"] == 0], once.weights[study["t"] == 0], atol=1e-5)


@BOTH
def test_bounds_on_weights_hold(study, solver):
    result = co.balance(study, treatment="t", covariates=COVARIATES, lower=0.2, upper=3.0, solver=solver)
    w = result.weights[study["t"] == 0]
    assert w.min() >= 0.2 - 1e-7 and w.max() <= 3.0 + 1e-7
    assert w.min() == pytest.approx(0.2, abs=1e-6)


@BOTH
def test_a_covariate_in_huge_units_just_works(study, solver):
    scaled = study.assign(income=study["income"] * 1e8 + 1e9)
    first = co.balance(study, treatment="t", covariates=COVARIATES, solver=solver)
    second = co.balance(scaled, treatment="t", covariates=COVARIATES, solver=solver)
    np.testing.assert_allclose(first.weights, second.weights, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), exponent=st.integers(-6, 6), shift=st.floats(-1e3, 1e3))
def test_row_order_and_units_do_not_matter(seed, exponent, shift):
    rng = np.random.default_rng(seed)
    n = 80
    x = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    t = pd.Series(rng.permutation(np.arange(n) % 2))
    order = rng.permutation(n)
    first = co.solve(co.BalanceProblem(x, t, tolerance=0.05))
    moved = x.assign(a=x["a"] * 10.0**exponent + shift * 10.0**exponent).iloc[order]
    second = co.solve(co.BalanceProblem(moved, t.iloc[order], tolerance=0.05))
    np.testing.assert_allclose(first.weights, second.weights.loc[x.index], atol=1e-6)


# ---- factors, basis, dependence ----


def test_exact_balance_on_all_levels_of_a_factor_drops_one_and_balances_it(study):
    city = pd.Series(np.resize(["north", "south", "west"], len(study)), index=study.index).astype("category")
    df = study.assign(city=city)
    result = co.balance(df, treatment="t", covariates=["age", "city"], tolerance=0, solver="highs")
    assert result.problem.dropped == ["city[west]"]
    assert result.balance_table()["smd after"].abs().max() < 1e-8


def test_levels_of_a_factor_share_one_unit(study):
    city = pd.Series(np.resize(["a", "a", "a", "a", "b", "c"], len(study)), index=study.index).astype("category")
    problem = co.BalanceProblem(study.assign(city=city)[["age", "city"]], study["t"], scale="pooled")
    units = problem.groups[0].unit * problem.study.moments.spread
    np.testing.assert_allclose(units[1:], units[1], rtol=1e-14)
    levels = study.assign(city=city).groupby("t")["city"].value_counts(normalize=True).unstack()
    size = study.groupby("t").size()
    variances = (levels * (1 - levels)).mul(size / (size - 1), axis=0).mean()
    assert units[1] == pytest.approx(np.sqrt(variances.mean()))


def test_duplicated_covariates_balanced_exactly_are_no_false_infeasibility(study):
    df = study.assign(twice=2 * study["age"] + 1, mix=study["age"] - 3 * study["income"])
    for solver in ("highs", "dual-newton"):
        result = co.balance(df, treatment="t", covariates=[*COVARIATES, "twice", "mix"], tolerance=0, solver=solver)
        assert result.problem.dropped == ["twice", "mix"]
        assert result.balance_table()["smd after"].abs().max() < 1e-7


def test_every_basis_term_is_balanced_and_named(study):
    terms = [
        basis.moments(3, ["age"]),
        basis.interactions(["age", "female"]),
        basis.quantiles([0.25, 0.5], ["income"]),
        basis.two_way_marginals([("age", "female")], bins=3),
        basis.piecewise(3, 1, ["age"]),
    ]
    result = co.balance(study, treatment="t", covariates=COVARIATES, basis=terms, tolerance=0.2)
    names = result.balance_table().index
    for part in ("age^2", "age^3", "age x female", "income <= ", "age in bin 1 & female=0", "age in ["):
        assert any(part in name for name in names), part
    assert (result.balance_table()["smd after"].abs() <= 0.2 + 1e-7).all()


def test_unknown_covariate_in_the_basis_is_named(study):
    with pytest.raises(co.DataError, match=r"'aeg'.*'age'"):
        co.balance(study, treatment="t", covariates=COVARIATES, basis=[basis.moments(2, ["aeg"])])


# ---- embedding ----


def test_the_model_can_be_embedded_and_extended(study):
    import pyomo.environ as pyo

    problem = co.BalanceProblem(study[COVARIATES], study["t"])
    m = pyo.ConcreteModel()
    m.first, m.second = pyo.Block(), pyo.Block()
    problem.attach(m.first)
    problem.attach(m.second)
    m.total = pyo.Objective(expr=m.first.cost + 2 * m.second.cost)
    i = problem.index(study.index[study["t"] == 0][3])
    m.cap = pyo.Constraint(expr=m.second.weights[i] <= 0.1)
    result = co.solve(m, "highs")
    alone = co.solve(problem, "highs")
    assert result.is_optimal
    np.testing.assert_allclose(
        [m.first.weights[k].value for k in range(5)], alone.weights[study["t"] == 0].iloc[:5], atol=1e-6
    )
    assert m.second.weights[i].value <= 0.1 + 1e-7
    assert problem.label(i) == study.index[study["t"] == 0][3]


def test_problem_lists_formulations_and_solvers(study):
    problem = co.BalanceProblem(study[COVARIATES], study["t"])
    assert problem.formulations.loc["qp", "exact"] == "exact"
    able = problem.solvers()
    assert able.loc["dual-newton", "can solve"] and able.loc["highs", "can solve"]
    assert len(problem.row_labels()) == len(COVARIATES) + 1


# ---- answers ----


def test_estimate_has_the_linearised_standard_error_of_weighted_least_squares(study):
    result = co.balance(study, treatment="t", covariates=COVARIATES)
    estimate = result.estimate("y")
    w, y = result.weights.to_numpy(), study["y"].to_numpy()
    design = np.column_stack([np.ones(len(y)), study["t"]])
    bread = np.linalg.inv(design.T @ (w[:, None] * design))
    coefficient = bread @ design.T @ (w * y)
    scores = design * (w * (y - design @ coefficient))[:, None]
    robust = np.sqrt((bread @ scores.T @ scores @ bread)[1, 1])
    assert estimate.estimate == pytest.approx(coefficient[1])
    assert estimate.standard_error == pytest.approx(robust)
    assert estimate.lower < estimate.estimate < estimate.upper


def test_summary_and_frame_say_what_was_solved(study):
    result = co.balance(study, treatment="t", covariates=COVARIATES)
    text = result.summary()
    for part in ("ATT", "dual-newton", "certified by causalopt", "effective sample size", "total"):
        assert part in text
    assert result.to_frame().loc["status", "value"] == "optimal"
    assert list(result.weights.index) == list(study.index)
    assert (result.weights[study["t"] == 1] == 1).all()


# ---- infeasible tolerances ----


@BOTH
def test_infeasible_tolerances_are_explained_by_covariate(study, solver):
    df = study.assign(age=np.where(study["t"] == 1, study["age"] + 40, study["age"]))
    with pytest.raises(co.InfeasibleError, match=r"age 0\.01 ->") as caught:
        co.balance(df, treatment="t", covariates=COVARIATES, tolerance=0.01, solver=solver)
    table = caught.value.explanation
    assert table.loc["age", "smallest alone"] > 0.01 and np.isinf(table.loc["income", "smallest alone"])
    enough = table.loc["age", "smallest alone"]
    feasible = co.balance(df, treatment="t", covariates=COVARIATES, tolerance={"age": enough * 1.001, "default": 0.01})
    assert feasible.is_optimal
    with pytest.raises(co.InfeasibleError):
        co.balance(df, treatment="t", covariates=COVARIATES, tolerance={"age": enough * 0.999, "default": 0.01})
    jointly = (table["smallest jointly"] * (1 + 1e-6) + 1e-9).to_dict()
    assert co.balance(df, treatment="t", covariates=COVARIATES, tolerance=jointly).is_optimal


# ---- bad input ----


def bad(study, match, error=co.DataError, **changes):
    arguments = {"treatment": "t", "covariates": COVARIATES} | changes
    with pytest.raises(error, match=match):
        co.balance(arguments.pop("df", study), **arguments)


def test_missing_values_name_column_and_rows(study):
    bad(study, "'age'.*missing.*1 row.*'unit3'", df=study.assign(age=study["age"].where(study.index != "unit3")))


def test_infinite_values_name_column_and_rows(study):
    bad(
        study,
        "'income'.*infinite.*'unit5'",
        df=study.assign(income=study["income"].where(study.index != "unit5", np.inf)),
    )


def test_text_columns_are_refused_with_advice(study):
    bad(study, "'city' of the covariates is not numeric.*astype", df=study.assign(city="x"), covariates=["age", "city"])


def test_treatment_with_three_values_is_refused(study):
    bad(study, "must take two values for ATT; it takes 3", df=study.assign(t=np.arange(len(study)) % 3))


def test_treatment_with_one_value_is_an_empty_group(study):
    bad(study, "other group is empty", df=study.assign(t=1))


def test_treatment_with_missing_values_names_rows(study):
    bad(study, "'t' has missing values.*'unit0'", df=study.assign(t=study["t"].where(study.index != "unit0")))


def test_text_treatment_needs_to_know_who_is_treated(study):
    df = study.assign(t=np.where(study["t"] == 1, "drug", "placebo"))
    bad(study, "Say treated=", df=df)
    assert co.balance(df, treatment="t", covariates=COVARIATES, treated="drug").is_optimal


def test_constant_covariate_is_named(study):
    bad(study, "'female' is 1 in every row", df=study.assign(female=1))


def test_covariate_constant_in_the_scaling_population_is_named(study):
    df = study.assign(female=np.where(study["t"] == 1, 1, study["female"]))
    bad(study, "'female' does not vary.*scale='target'", df=df)


def test_unknown_and_negative_tolerances_are_named(study):
    bad(study, "'agee' .*'age'|'agee'. Did you mean 'age'", tolerance={"agee": 0.1, "default": 0.1})
    bad(study, "'income' is -0.1", tolerance={"income": -0.1, "default": 0.1})
    bad(study, "names no value for 'female'", tolerance={"age": 0.1, "income": 0.1})


def test_unknown_scale_estimand_and_column_suggest_names(study):
    bad(study, "'poled'.*'pooled'", scale="poled")
    bad(study, "'AT'.*'ATT'", estimand="AT")
    bad(study, "'incom'.*'income'", covariates=["age", "incom"])


def test_duplicated_rows_and_columns_are_named(study):
    bad(study, "'unit0' occurs more than once", df=pd.concat([study, study.iloc[:1]]))
    bad(study, "'age' more than once", covariates=["age", "age"])


def test_bounds_that_cannot_average_to_one_are_refused(study):
    bad(study, "cannot average to one", lower=1.2)
    bad(study, "cannot average to one", upper=0.9)


def test_unknown_solver_and_option_are_refused(study):
    bad(study, "'hihgs'.*'highs'", error=co.SolverNotAvailable, solver="hihgs")
    bad(study, "time_limt.*time_limit", error=co.OptionError, solver="highs", options={"time_limt": 3})


def test_treatment_among_covariates_is_refused(study):
    bad(study, "also among the covariates", covariates=["age", "t"])


def test_outcome_with_missing_values_or_wrong_name_is_refused(study):
    result = co.balance(study, treatment="t", covariates=COVARIATES)
    with pytest.raises(co.DataError, match=r"Unknown column 'why'"):
        result.estimate("why")
    with pytest.raises(co.DataError, match=r"missing or infinite values.*'unit2'"):
        result.estimate(study["y"].where(study.index != "unit2"))


def test_target_without_a_mean_is_named(study):
    bad(
        study,
        "no mean for 'female'",
        treatment=None,
        estimand="population",
        target={"age": 40, "income": 20},
        scale="group",
    )
    bad(study, "needs target=", treatment=None, estimand="population")
    bad(study, "only its means", treatment=None, estimand="population", target=dict.fromkeys(COVARIATES, 1.0))


@pytest.mark.parametrize("factor", [1e300, 1e-290])
def test_units_at_the_ends_of_what_numbers_hold_do_not_matter(study, factor):
    first = co.balance(study, treatment="t", covariates=COVARIATES)
    second = co.balance(study.assign(age=study["age"] / 100 * factor), treatment="t", covariates=COVARIATES)
    np.testing.assert_allclose(first.weights, second.weights, atol=1e-8)


def test_a_large_offset_is_no_lack_of_variance(study):
    first = co.balance(study, treatment="t", covariates=COVARIATES)
    second = co.balance(study.assign(age=study["age"] + 2.0**33), treatment="t", covariates=COVARIATES)
    np.testing.assert_allclose(first.weights, second.weights, atol=1e-4)


def test_a_fast_path_says_that_it_is_not_isolated(study):
    with pytest.warns(co.CausaloptWarning, match="isolate is for solvers"):
        result = co.solve(co.BalanceProblem(study[COVARIATES], study["t"]), isolate=True)
    assert result.is_optimal and result.warnings
