import numpy as np
import pandas as pd
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

import causalopt as co
from causalopt.solving.backend import backend_names, installed_backends
from causalopt.solving.options import SolveOptions
from causalopt.verifying.certificate import dual_bound
from causalopt.verifying.claims import Proof

INSTALLED = [backend.name for backend in installed_backends()]


def solver_params(*names):
    return [
        pytest.param(name, marks=pytest.mark.skipif(name not in INSTALLED, reason=f"{name} is not installed"))
        for name in names
    ]


BACKENDS = pytest.mark.parametrize("backend", solver_params("highs", "scip", "gurobi", "cplex"))
EVERY = pytest.mark.parametrize("solver", ["active-set", *solver_params("highs", "scip", "gurobi", "cplex")])
GERMANY = {"unit": "country", "time": "year", "outcome": "gdp"}
CALIFORNIA = {"unit": "state", "time": "year", "outcome": "cigsale"}

#: Every kind of weights, with a penalty in units of a panel whose outcomes are near one.
KINDS = {
    "simplex": {},
    "simplex with intercept": {"weights": "simplex", "intercept": True},
    "elastic-net": {"lam": 0.02, "alpha": 0.5},
    "elastic-net without intercept": {"weights": "elastic-net", "lam": 0.02, "alpha": 0.5, "intercept": False},
    "lasso": {"weights": "elastic-net", "lam": 0.02, "alpha": 1.0},
    "unsquared": {"weights": "elastic-net", "lam": 0.02, "alpha": 0.5, "l2": "unsquared"},
    "ridge": {"lam": 0.1},
    "penalized": {"lam": 0.3},
    "did": {},
    "free": {"weights": {}},
    "sum to one": {"weights": {"sum_to_one": True}},
    "sum to one, penalty": {"weights": {"sum_to_one": True, "no_intercept": True}, "lam": 0.05, "alpha": 0.6},
    "nonnegative": {"weights": {"nonnegative": True}},
    "nonnegative, penalty": {"weights": {"nonnegative": True}, "lam": 0.05, "alpha": 0.6},
    "equal": {"weights": {"equal": True}},
    "equal, penalty": {"weights": {"equal": True}, "lam": 0.05, "alpha": 0.6},
    "equal, nonnegative": {"weights": {"equal": True, "nonnegative": True, "no_intercept": True}},
    "mean of donors": {"weights": {"no_intercept": True, "sum_to_one": True, "equal": True}},
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def problem_of(kind, outcomes, treated, when, scale=1.0, **more):
    arguments = {"weights": kind} | KINDS[kind] | more
    if "lam" in arguments and arguments["weights"] != "penalized":
        # lam has the unit of the outcome squared; of the norm unsquared likewise, since weights have none
        arguments["lam"] = arguments["lam"] * scale**2
    return co.SyntheticControlProblem(outcomes, treated, when, **arguments)


@pytest.fixture(scope="module")
def germany(shared_data):
    return pd.read_csv(shared_data / "germany" / "repgermany.csv")


@pytest.fixture(scope="module")
def smoking(shared_data):
    return pd.read_csv(shared_data / "prop99" / "smoking.csv")


@pytest.fixture
def panel():
    """Eight units over 14 times, of one common factor and own noise; unit "a" is treated since time 10."""
    rng = np.random.default_rng(3)
    level = 1 + rng.normal(size=14).cumsum() / 4
    values = np.outer(level, rng.uniform(0.5, 1.5, 8)) + rng.normal(size=(14, 8)) / 8
    return pd.DataFrame(values, index=range(14), columns=list("abcdefgh"))


# ---- published numbers ----


@EVERY
def test_germany_simplex_reproduces_the_reference(germany, solver):
    result = co.synthetic_control(germany, treated="West Germany", treatment_time=1990, solver=solver, **GERMANY)
    weights = result.weights[result.weights.abs() > 1e-6].round(4).to_dict()
    assert weights == {
        "Austria": 0.3232, "USA": 0.3426, "Switzerland": 0.1079, "Greece": 0.0988, "Italy": 0.0612,
        "France": 0.0385, "Norway": 0.0277,
    }  # fmt: skip
    assert result.fit["ssr"].iloc[0] == pytest.approx(111061.058, abs=1e-3)
    assert result.att == pytest.approx(-1297.48, abs=5e-3)
    assert result.is_optimal and result.verification.proof is Proof.CERTIFIED and result.gap < 1e-9
    assert result.weights_are_unique


@EVERY
def test_germany_elastic_net_reproduces_the_reference(germany, solver):
    result = co.synthetic_control(
        germany, treated="West Germany", treatment_time=1990, weights="elastic-net", lam=2517.62, alpha=0.5,
        solver=solver, **GERMANY,
    )  # fmt: skip
    assert result.intercept == pytest.approx(296.99, abs=5e-3)
    weights = result.weights.round(2)
    assert weights[weights != 0].to_dict() == {
        "Austria": 0.27, "Belgium": 0.03, "France": 0.05, "Greece": 0.13, "Italy": 0.28, "Netherlands": 0.01,
        "New Zealand": -0.04, "Norway": 0.09, "Spain": -0.06, "Switzerland": 0.01, "USA": 0.25,
    }  # fmt: skip
    assert result.is_optimal and result.verification.proof is Proof.CERTIFIED and result.gap < 1e-9


@EVERY
def test_germany_elastic_net_with_the_norm_unsquared(germany, solver):
    result = co.synthetic_control(
        germany, treated="West Germany", treatment_time=1990, weights="elastic-net", lam=2517.62, alpha=0.5,
        l2="unsquared", solver=solver, **GERMANY,
    )  # fmt: skip
    assert result.intercept == pytest.approx(296.97, abs=5e-3)


@EVERY
def test_california_reproduces_the_reference(smoking, solver):
    result = co.synthetic_control(smoking, treated="California", treatment_time=1989, solver=solver, **CALIFORNIA)
    weights = result.weights.nlargest(4).round(4).to_dict()
    assert weights == {"Utah": 0.3939, "Montana": 0.2318, "Nevada": 0.2049, "Connecticut": 0.1091}
    assert result.fit["ssr"].iloc[0] == pytest.approx(52.13, abs=5e-3)
    assert result.att == pytest.approx(-19.5136, abs=5e-5)
    assert result.is_optimal and result.verification.proof is Proof.CERTIFIED and result.gap < 1e-9


def test_the_three_sources_of_california_agree(smoking, shared_data):
    other = pd.read_csv(shared_data / "prop99" / "california_prop99_synthdid.csv", sep=";")
    matrix = np.loadtxt(shared_data / "prop99" / "MLAB_data.txt")
    wide = pd.DataFrame(matrix[8:], index=range(1970, 2001))
    results = [
        co.synthetic_control(smoking, treated="California", treatment_time=1989, **CALIFORNIA),
        co.synthetic_control(
            other, unit="State", time="Year", outcome="PacksPerCapita", treated="California", treatment_time=1989
        ),
        co.solve(co.SyntheticControlProblem(wide, wide.columns[-1], 1989)),
    ]
    for result in results[1:]:
        assert result.att == pytest.approx(results[0].att, abs=1e-6)
        np.testing.assert_allclose(sorted(result.weights), sorted(results[0].weights), atol=1e-7)


# ---- the fast path against every solver ----


@BACKENDS
@EVERY_KIND
def test_the_fast_path_equals_every_solver(panel, kind, backend):
    problem = problem_of(kind, panel, "a", 10)
    fast = co.solve(problem, "active-set")
    other = co.solve(problem, backend)
    assert abs(other.objective - fast.objective) <= 1e-8 * max(1.0, fast.objective)
    np.testing.assert_allclose(other.weights, fast.weights, atol=1e-6)
    assert other.loss == pytest.approx(fast.loss, rel=1e-8)
    assert other.intercept == pytest.approx(fast.intercept, abs=1e-6)
    assert fast.is_optimal and fast.verification.proof is Proof.CERTIFIED and fast.gap < 1e-9


@EVERY_KIND
@pytest.mark.parametrize("treated", ["a", ["a", "b"]])
def test_the_fast_path_brings_the_multipliers_that_prove_it(panel, kind, treated):
    problem = problem_of(kind, panel, treated, 10)
    program = problem.direct_program("residual")
    solution = problem.fast_paths("residual")["active-set"](program, SolveOptions())
    bound, residual = dual_bound(program, solution.x, solution.row_dual)
    assert residual < 1e-10
    assert bound == pytest.approx(program.objective(solution.x), rel=1e-9, abs=1e-9)


@BACKENDS
def test_solvers_are_near_before_they_are_polished_too(germany, backend):
    problem = co.SyntheticControlProblem(germany, "West Germany", 1990, **GERMANY)
    exact = co.solve(problem, "active-set")
    raw = co.solve(problem.build(), backend)
    np.testing.assert_allclose(raw.x[:16], exact.weights, atol=1e-5)
    assert raw.objective == pytest.approx(exact.objective, rel=1e-5)


def test_a_rough_answer_is_polished_and_says_so(panel):
    problem = problem_of("simplex", panel, "a", 10)
    program = co.compile_model(problem.build())
    exact = co.solve(problem)
    rough = co.solve(program, "highs")
    x = rough.x.copy()
    x[: len(problem.donors)] = 0.999 * x[: len(problem.donors)] + 0.001 / len(problem.donors)
    import dataclasses

    answer = problem.result(dataclasses.replace(rough, x=x, gap=1e-4, solver="somebody", method="guess"), program)
    np.testing.assert_allclose(answer.weights, exact.weights, atol=1e-12)
    assert answer.method == "guess, polished" and answer.gap < 1e-9


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(sorted(KINDS)))
def test_random_panels_of_every_kind_are_solved_and_certified(seed, kind):
    rng = np.random.default_rng(seed)
    units, times = int(rng.integers(3, 12)), int(rng.integers(8, 25))
    outcomes = pd.DataFrame(rng.normal(size=(times, units)).cumsum(axis=0) + rng.normal(0, 10))
    problem = problem_of(kind, outcomes, 0, int(rng.integers(4, times)))
    program = problem.direct_program("residual")
    fast = co.solve(program, "highs")
    from causalopt.problems.synthetic_control.model import solve_active_set

    exact = solve_active_set(problem.fits, program)
    assert exact.objective <= fast.objective + 1e-7 * max(1.0, abs(fast.objective))


@EVERY_KIND
@pytest.mark.parametrize("treated", ["a", ["a", "b"]])
def test_the_direct_program_is_what_the_model_compiles_to(panel, kind, treated):
    problem = problem_of(kind, panel, treated, 10)
    direct = problem.direct_program("residual")
    model = problem.build()
    compiled = co.compile_model(model)
    for block in model.component_objects((pyo.Var, pyo.Constraint)):
        len(list(block.values()))  # touched: compiled as ordinary Pyomo from here on
    ordinary = co.compile_model(model)
    for other in (compiled, ordinary):
        for name in ("c", "row_lower", "row_upper", "lower", "upper", "integer"):
            np.testing.assert_array_equal(getattr(direct, name), getattr(other, name), err_msg=name)
        assert direct.A.shape == other.A.shape and abs(direct.A - other.A).max() == 0
        assert abs(direct.Q - other.Q).max() == 0
        assert direct.problem_class is other.problem_class is co.ProblemClass.CONVEX_QP


# ---- oracles ----


def test_difference_in_differences_by_hand(panel):
    result = co.solve(problem_of("did", panel, "a", 10))
    donors = panel.drop(columns="a").mean(axis=1)
    gap = panel["a"] - donors
    assert result.att == pytest.approx(gap.loc[10:].mean() - gap.loc[:9].mean())
    assert result.intercept == pytest.approx(gap.loc[:9].mean())
    np.testing.assert_allclose(result.weights, 1 / 7)


def test_free_weights_are_ordinary_least_squares(panel):
    result = co.solve(problem_of("free", panel, "a", 10))
    rows = np.column_stack([np.ones(10), panel.drop(columns="a").loc[:9]])
    expected = np.linalg.lstsq(rows, panel["a"].loc[:9], rcond=None)[0]
    assert result.intercept == pytest.approx(expected[0], abs=1e-9)
    np.testing.assert_allclose(result.weights, expected[1:], atol=1e-9)


def test_ridge_has_a_closed_form(panel):
    result = co.solve(problem_of("ridge", panel, "a", 10))
    pre = panel.loc[:9]
    y, donors = pre["a"] - pre["a"].mean(), pre.drop(columns="a") - pre.drop(columns="a").mean()
    expected = np.linalg.solve(donors.T @ donors / 10 + 0.1 * np.eye(7), donors.T @ y / 10)
    np.testing.assert_allclose(result.weights, expected, atol=1e-12)
    assert result.intercept == pytest.approx(pre["a"].mean() - pre.drop(columns="a").mean() @ expected)
    residual = pre["a"] - result.intercept - pre.drop(columns="a") @ expected
    assert result.loss == pytest.approx(residual @ residual / 20 + 0.05 * expected @ expected)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("l2", ["squared", "unsquared"])
def test_elastic_net_meets_its_optimality_conditions_in_the_users_units(germany, alpha, l2):
    lam = 3e4
    result = co.synthetic_control(
        germany, treated="West Germany", treatment_time=1990, weights="elastic-net", lam=lam, alpha=alpha, l2=l2,
        **GERMANY,
    )  # fmt: skip
    wide = germany.pivot(index="year", columns="country", values="gdp").loc[:1989]
    y, donors = wide["West Germany"], wide[result.weights.index]
    w = result.weights.to_numpy()
    residual = (y - result.intercept - donors @ w).to_numpy()
    slope = -donors.to_numpy().T @ residual / 30
    shrink = w if l2 == "squared" else w / (2 * np.linalg.norm(w))
    slope += lam * (1 - alpha) * shrink
    size = lam * alpha
    assert abs(residual.sum()) < 1e-7
    assert np.abs(slope + size * np.sign(w))[w != 0].max() < 1e-6 * size
    assert np.abs(slope[w == 0]).max(initial=0) <= size * (1 + 1e-9)
    assert 0 < np.count_nonzero(w) <= 16
    length = w @ w if l2 == "squared" else np.linalg.norm(w)
    loss = residual @ residual / 60 + lam * (alpha * np.abs(w).sum() + (1 - alpha) / 2 * length)
    assert result.loss == pytest.approx(loss, rel=1e-9)


def test_so_large_a_penalty_leaves_the_mean_alone(panel):
    for l2 in ("squared", "unsquared"):
        problem = co.SyntheticControlProblem(panel, "a", 10, weights="elastic-net", lam=1e3, alpha=0.5, l2=l2)
        result = co.solve(problem)
        assert (result.weights == 0).all()
        assert result.intercept == pytest.approx(panel["a"].loc[:9].mean())


def test_penalized_goes_from_the_simplex_to_the_nearest_donor(panel):
    simplex = co.solve(problem_of("simplex", panel, "a", 10))
    none = co.solve(problem_of("penalized", panel, "a", 10, lam=0.0))
    np.testing.assert_allclose(none.weights, simplex.weights, atol=1e-12)
    large = co.solve(problem_of("penalized", panel, "a", 10, lam=1e6))
    distance = ((panel.loc[:9].drop(columns="a").sub(panel["a"].loc[:9], axis=0)) ** 2).sum()
    assert large.weights.idxmax() == distance.idxmin() and large.weights.max() == pytest.approx(1)
    middle = co.solve(problem_of("penalized", panel, "a", 10))
    fit = panel["a"].loc[:9] - panel.loc[:9].drop(columns="a") @ middle.weights
    assert middle.loss == pytest.approx(fit @ fit + 0.3 * distance @ middle.weights)


def test_simplex_weights_can_be_had_by_enumeration_of_supports(panel):
    from itertools import combinations

    donors, y = panel.drop(columns="a").loc[:9].to_numpy(), panel["a"].loc[:9].to_numpy()
    best = np.inf
    for size in range(1, 8):
        for support in map(list, combinations(range(7), size)):
            own = donors[:, support]
            system = np.block([[own.T @ own, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
            w = np.linalg.lstsq(system, np.append(own.T @ y, 1.0), rcond=None)[0][:size]
            if w.min() >= -1e-12:
                best = min(best, float(((y - own @ w) ** 2).sum()))
    assert co.solve(problem_of("simplex", panel, "a", 10)).loss == pytest.approx(best, rel=1e-9)


def test_each_constraint_costs_fit(panel):
    names = ["no_intercept", "sum_to_one", "nonnegative", "equal"]
    loss = {}
    for code in range(16):
        held = frozenset(name for k, name in enumerate(names) if code >> k & 1)
        problem = co.SyntheticControlProblem(panel, "a", 10, weights=dict.fromkeys(held, True))
        loss[held] = co.solve(problem).loss
    for held, value in loss.items():
        for name in held:
            assert loss[held - {name}] <= value + 1e-12
    assert loss[frozenset(names[:3])] == pytest.approx(co.solve(problem_of("simplex", panel, "a", 10)).loss)
    assert loss[frozenset(names[1:])] == pytest.approx(co.solve(problem_of("did", panel, "a", 10)).loss)


# ---- invariances ----


@BACKENDS
@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("kind", ["simplex", "elastic-net"])
def test_the_outcomes_unit_does_not_matter_to_solvers(germany, smoking, backend, factor, kind):
    more = {} if kind == "simplex" else {"weights": kind, "alpha": 0.5}
    for df, names, treated, when, lam in [
        (germany, GERMANY, "West Germany", 1990, 2517.62),
        (smoking, CALIFORNIA, "California", 1989, 0.5),
    ]:
        scaled = df.assign(**{names["outcome"]: df[names["outcome"]] * factor})
        own = [{} if kind == "simplex" else {"lam": lam * size} for size in (1.0, factor**2)]
        first = co.synthetic_control(
            df, treated=treated, treatment_time=when, solver=backend, **names, **more, **own[0]
        )
        second = co.synthetic_control(
            scaled, treated=treated, treatment_time=when, solver=backend, **names, **more, **own[1]
        )
        np.testing.assert_allclose(second.weights, first.weights, atol=1e-6)
        assert second.att == pytest.approx(first.att * factor, rel=1e-6)


@EVERY_KIND
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_outcomes_unit_does_not_matter_to_the_fast_path(panel, kind, factor):
    first = co.solve(problem_of(kind, panel, "a", 10))
    second = co.solve(problem_of(kind, panel * factor, "a", 10, scale=factor))
    np.testing.assert_allclose(second.weights, first.weights, atol=1e-8)
    assert second.att == pytest.approx(first.att * factor, rel=1e-8)
    assert second.intercept == pytest.approx(first.intercept * factor, abs=1e-8 * factor)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["simplex", "elastic-net", "penalized", "sum to one"]))
def test_order_and_names_of_units_and_times_do_not_matter(seed, kind):
    rng = np.random.default_rng(seed)
    outcomes = pd.DataFrame(rng.normal(size=(16, 7)).cumsum(axis=0), columns=list("abcdefg"))
    first = co.solve(problem_of(kind, outcomes, "a", 12))
    shuffled = outcomes.sample(frac=1, random_state=seed).sample(frac=1, axis=1, random_state=seed)
    shuffled = shuffled.rename(
        columns=lambda name: (name, 1), index=lambda t: pd.Timestamp("2000-01-01") + t * pd.Timedelta("1D")
    )
    shuffled.columns = pd.Index([f"unit {name}" for name, _ in shuffled.columns])
    second = co.solve(problem_of(kind, shuffled, "unit a", pd.Timestamp("2000-01-13")))
    assert second.att == pytest.approx(first.att, abs=1e-9)
    np.testing.assert_allclose(second.weights[[f"unit {x}" for x in first.weights.index]], first.weights, atol=1e-9)


@EVERY
@pytest.mark.parametrize("factor", [1e3, 1e9])
def test_a_donor_on_another_scale_hides_no_bad_fit(panel, solver, factor):
    """Right, or refused in words; a solver's tolerances are absolute, and the good fit is tiny beside such a donor."""
    outcomes = panel.assign(h=panel["h"] * factor)
    # A multiple of h costs next to nothing of the sum, so it is a further donor without it. With D x the differences,
    # min ||D x||^2 + (1'x - 1)^2 over x >= 0 is a multiple of the answer.
    others = panel[list("bcdefg")].loc[:9].sub(panel["a"].loc[:9], axis=0).to_numpy()
    rows = np.vstack([np.column_stack([others, panel["h"].loc[:9]]), [1, 1, 1, 1, 1, 1, 0]])
    x = nnls(rows, np.append(np.zeros(10), 1.0))[0]
    expected = x[:6] / x[:6].sum()
    loss = float(((rows[:10] @ x / x[:6].sum()) ** 2).sum())
    try:
        result = co.solve(co.SyntheticControlProblem(outcomes, "a", 10), solver)
    except (co.SolverFailure, co.VerificationError):
        assert solver == "scip" or (solver != "active-set" and factor > 1e3)
        return
    assert result.loss == pytest.approx(loss, rel=2 / factor + 1e-8)
    np.testing.assert_allclose(result.weights[list("bcdefg")], expected, atol=2 / factor + 1e-7)


def test_a_common_path_does_not_matter_to_weights_that_sum_to_one(panel):
    moved = panel.add(100 * np.sin(np.arange(14)), axis=0)
    first, second = (co.solve(problem_of("simplex", x, "a", 10)) for x in (panel, moved))
    np.testing.assert_allclose(second.weights, first.weights, atol=1e-10)


def test_long_wide_and_indexed_outcomes_agree(panel):
    long = panel.rename_axis("t").reset_index().melt(id_vars="t", var_name="u", value_name="y")
    shuffled = long.sample(frac=1, random_state=0)
    by_index = shuffled.set_index(["u", "t"])["y"]
    problems = [
        co.SyntheticControlProblem(panel, "a", 10),
        co.SyntheticControlProblem(shuffled, "a", 10, unit="u", time="t", outcome="y"),
        co.SyntheticControlProblem(by_index, "a", 10),
        co.SyntheticControlProblem(panel.astype(object).convert_dtypes(), "a", 10),
    ]
    first, *others = (co.solve(problem) for problem in problems)
    for other in others:
        np.testing.assert_allclose(other.weights[first.weights.index], first.weights, atol=1e-12)
        np.testing.assert_allclose(other.gaps, first.gaps, atol=1e-12)
        assert list(other.gaps.index) == list(range(14))


# ---- several treated units ----


@EVERY
def test_several_treated_units_are_fitted_one_by_one(panel, solver):
    together = co.solve(co.SyntheticControlProblem(panel, ["a", "b", "c"], 10), solver)
    assert list(together.weights.columns) == ["a", "b", "c"] and list(together.weights.index) == list("defgh")
    for label in "abc":
        alone = co.solve(co.SyntheticControlProblem(panel, label, 10, donors=list("defgh")), "active-set")
        np.testing.assert_allclose(together.weights[label], alone.weights, atol=1e-7)
        assert together.att_by_unit[label] == pytest.approx(alone.att, abs=1e-7)
        assert together.fit.loc[label, "ssr"] == pytest.approx(alone.fit["ssr"].iloc[0], rel=1e-7)
    assert together.att == pytest.approx(together.att_by_unit.mean())
    assert together.loss == pytest.approx(together.fit["loss"].sum())


def test_pooled_is_the_fit_of_the_average(panel):
    pooled = co.solve(co.SyntheticControlProblem(panel, ["a", "b"], 10, pooled=True))
    average = panel.drop(columns=["a", "b"]).assign(both=panel[["a", "b"]].mean(axis=1))
    alone = co.solve(co.SyntheticControlProblem(average, "both", 10))
    np.testing.assert_allclose(pooled.weights, alone.weights, atol=1e-12)
    assert pooled.att == pytest.approx(alone.att)
    one = co.solve(co.SyntheticControlProblem(panel, "a", 10, pooled=True))
    assert one.problem.labels == ["a"]


# ---- the model ----


def test_the_model_takes_a_users_own_constraint(germany):
    problem = co.SyntheticControlProblem(germany, "West Germany", 1990, **GERMANY)
    free = co.solve(problem)
    model = problem.build()
    usa, austria = problem.index("USA"), problem.index("Austria")
    model.at_most = pyo.Constraint(expr=model.weights[usa] + model.weights[austria] <= 0.4)
    result = co.solve(model, "highs")
    assert result.objective > free.objective
    assert model.weights[usa].value + model.weights[austria].value == pytest.approx(0.4, abs=1e-7)
    assert problem.label(usa) == ("West Germany", "USA")
    values = [model.weights[j].value for j in range(16)]
    assert sum(values) == pytest.approx(1) and min(values) > -1e-8


def test_two_problems_live_in_one_model(panel):
    first, second = (co.SyntheticControlProblem(panel, label, 10, donors=list("cdefgh")) for label in "ab")
    model = pyo.ConcreteModel()
    model.first, model.second = pyo.Block(), pyo.Block()
    first.attach(model.first)
    second.attach(model.second)
    model.same = pyo.Constraint(range(6), rule=lambda m, j: m.first.weights[j] == m.second.weights[j])
    model.o = pyo.Objective(expr=first.fits[0].factor * model.first.cost + second.fits[0].factor * model.second.cost)
    result = co.solve(model, "highs")
    pooled = co.solve(co.SyntheticControlProblem(panel, ["a", "b"], 10, pooled=True))
    weights = np.array([model.first.weights[j].value for j in range(6)])
    np.testing.assert_allclose(weights, pooled.weights, atol=1e-6)  # the sum of squares splits into mean and rest
    assert result.is_optimal


def test_formulations_and_solvers_are_listed(panel):
    problem = co.SyntheticControlProblem(panel, "a", 10)
    assert problem.formulations.loc["residual", "exact"] == "exact"
    table = problem.solvers()
    assert table.index[0] == "active-set" and table["can solve"].all()
    assert set(table.index[1:]) <= set(backend_names())


# ---- what is reported ----


def test_paths_gaps_and_fit_are_consistent(panel):
    result = co.solve(co.SyntheticControlProblem(panel, "a", 10))
    np.testing.assert_allclose(result.synthetic + result.gaps, panel["a"])
    np.testing.assert_allclose(result.synthetic, panel.drop(columns="a") @ result.weights)
    fit = result.fit.loc["a"]
    assert fit["ssr"] == pytest.approx((result.gaps.loc[:9] ** 2).sum()) == pytest.approx(result.loss)
    assert fit["pre rmspe"] == pytest.approx(np.sqrt(fit["ssr"] / 10))
    assert fit["post rmspe"] == pytest.approx(np.sqrt((result.gaps.loc[10:] ** 2).mean()))
    assert fit["rmspe ratio"] == pytest.approx(fit["post rmspe"] / fit["pre rmspe"])
    assert result.att == pytest.approx(result.gaps.loc[10:].mean())
    text = result.summary()
    assert "10 before (0 to 9), 4 since" in text and "simplex, 7 donors" in text


def test_labels_in_are_labels_out():
    rng = np.random.default_rng(0)
    outcomes = pd.DataFrame(rng.normal(size=(9, 4)), columns=[(1, "x"), (2, "x"), (3, "y"), 7])
    outcomes.columns = pd.Index([(1, "x"), (2, "x"), (3, "y"), 7], tupleize_cols=False)
    outcomes.index = pd.period_range("2001Q1", periods=9, freq="Q")
    result = co.solve(co.SyntheticControlProblem(outcomes, (2, "x"), pd.Period("2002Q3", freq="Q")))
    assert list(result.weights.index) == [(1, "x"), (3, "y"), 7]
    assert result.gaps.index[6] == pd.Period("2002Q3", freq="Q")
