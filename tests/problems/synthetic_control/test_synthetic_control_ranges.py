"""How much of the answer the data decide: unique weights, ranges over equally good and over nearly as good ones."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import causalopt as co
from causalopt.problems.balance.range import estimate_range
from causalopt.problems.synthetic_control.fit import Constraints, in_unit_of_residual, scaled
from causalopt.problems.synthetic_control.range import optimal_face
from causalopt.solving.backend import installed_backends
from causalopt.solving.extremes import extremes

NOT_UNIQUE = pytest.warns(co.CausaloptWarning, match="not unique")
SOLVERS = [
    "active-set",
    *(backend.name for backend in installed_backends() if backend.name in ("highs", "cplex", "gurobi")),
]


def walk(times, units, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(times, units)).cumsum(axis=0), columns=[f"u{j}" for j in range(units)])


def many_donors(seed=5):
    """Three times before the treatment and 24 donors around the treated unit: a perfect fit in many ways."""
    rng = np.random.default_rng(seed)
    outcomes = pd.DataFrame(rng.normal(size=(6, 25)).round(1) + 20)
    outcomes[0] = [20.0, 20, 20, 22, 22, 22]
    return outcomes


# ---- equally good weights ----


@pytest.mark.parametrize("solver", SOLVERS)
def test_many_perfect_fits_are_said_and_ranged(solver):
    outcomes = many_donors()
    with NOT_UNIQUE as caught:
        result = co.solve(co.SyntheticControlProblem(outcomes, 0, 3), solver)
    assert not result.weights_are_unique and "NOT UNIQUE" in result.summary()
    donors = outcomes.drop(columns=0).to_numpy()
    rows, target = np.vstack([donors[:3], np.ones(24)]), [20.0, 20, 20, 1]
    assert result.loss < 1e-10
    for j, label in enumerate(result.weights.index):
        ends = [linprog(sign * np.eye(24)[j], A_eq=rows, b_eq=target).fun * sign for sign in (1, -1)]
        np.testing.assert_allclose(result.weight_ranges.loc[label], ends, atol=1e-6)
    effect = [22 - sign * linprog(sign * donors[3:].mean(axis=0), A_eq=rows, b_eq=target).fun for sign in (-1, 1)]
    span = result.att_range()
    np.testing.assert_allclose([span.lower, span.upper], effect, atol=1e-6)
    assert span.lower - 1e-6 <= result.att <= span.upper + 1e-6
    assert f"{span.lower:.6g}" in str(caught[0].message)
    wider = result.att_range(0.5)  # of nothing, half more is nothing
    np.testing.assert_allclose([wider.lower, wider.upper], effect, atol=1e-6)


def test_two_equal_donors_share_a_weight_and_leave_the_effect():
    outcomes = walk(20, 5)
    outcomes["u0"] = 0.5 * outcomes["u1"] + 0.3 * outcomes["u2"] + 0.2 * outcomes["u3"] + walk(20, 1, 8)["u0"] / 20
    outcomes["twin"] = outcomes["u1"]
    alone = co.solve(co.SyntheticControlProblem(outcomes.drop(columns="twin"), "u0", 15))
    assert alone.weights_are_unique and alone.weights["u1"] > 0.05
    with NOT_UNIQUE as caught:
        both = co.solve(co.SyntheticControlProblem(outcomes, "u0", 15))
    assert "effect is" in str(caught[0].message)
    np.testing.assert_allclose(both.weight_ranges.loc["u1"], [0, alone.weights["u1"]], atol=1e-9)
    np.testing.assert_allclose(both.weight_ranges.loc["twin"], [0, alone.weights["u1"]], atol=1e-9)
    others = ["u2", "u3", "u4"]
    np.testing.assert_allclose(both.weight_ranges.loc[others, "lower"], alone.weights[others], atol=1e-9)
    np.testing.assert_allclose(both.weight_ranges.loc[others, "upper"], alone.weights[others], atol=1e-9)
    span = both.att_range()
    assert span.lower == pytest.approx(alone.att) and span.upper == pytest.approx(alone.att)


def test_twins_with_different_futures_make_the_effect_a_range():
    outcomes = walk(20, 5)
    outcomes["u0"] = 0.5 * outcomes["u1"] + 0.3 * outcomes["u2"] + 0.2 * outcomes["u3"] + walk(20, 1, 8)["u0"] / 20
    outcomes["twin"] = outcomes["u1"]
    outcomes.loc[15:, "twin"] += 10
    alone = co.solve(co.SyntheticControlProblem(outcomes.drop(columns="twin"), "u0", 15))
    with NOT_UNIQUE:
        both = co.solve(co.SyntheticControlProblem(outcomes, "u0", 15))
    span = both.att_range()
    assert span.upper == pytest.approx(alone.att)
    assert span.lower == pytest.approx(alone.att - 10 * alone.weights["u1"])


def test_free_weights_beyond_the_times_have_no_limits():
    outcomes = walk(9, 12)
    with NOT_UNIQUE:
        result = co.solve(co.SyntheticControlProblem(outcomes, "u0", 6, weights={}))
    assert np.isneginf(result.weight_ranges["lower"]).all() and np.isposinf(result.weight_ranges["upper"]).all()
    for span in (result.att_range(), result.att_range(0.1)):
        assert (span.lower, span.upper) == (-np.inf, np.inf)


def test_an_l2_penalty_always_decides():
    result = co.solve(co.SyntheticControlProblem(walk(9, 12), "u0", 6, weights="ridge", lam=0.1))
    assert result.weights_are_unique
    span = result.att_range()
    assert span.lower == span.upper == pytest.approx(result.att)
    np.testing.assert_array_equal(result.weight_ranges["lower"], result.weights)


def test_the_lasso_ranges_over_equal_donors_of_the_same_sign():
    outcomes = walk(20, 4)
    outcomes["twin"] = outcomes["u1"]
    with NOT_UNIQUE:
        both = co.solve(co.SyntheticControlProblem(outcomes, "u0", 15, weights="elastic-net", lam=0.01, alpha=1.0))
    alone = co.solve(
        co.SyntheticControlProblem(outcomes.drop(columns="twin"), "u0", 15, weights="elastic-net", lam=0.01, alpha=1.0)
    )
    ends = sorted([0.0, alone.weights["u1"]])
    np.testing.assert_allclose(both.weight_ranges.loc["twin"], ends, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_unique_weights_are_those_that_no_linear_program_can_move(seed):
    rng = np.random.default_rng(seed)
    times, units = int(rng.integers(2, 8)), int(rng.integers(3, 12))
    outcomes = pd.DataFrame(rng.normal(size=(times + 1, units)).round(1))
    outcomes.iloc[-1] = rng.normal(size=units)
    outcomes.iloc[:times, 0] += rng.normal() / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", co.CausaloptWarning)
        result = co.solve(co.SyntheticControlProblem(outcomes, 0, times))
    donors = outcomes.drop(columns=0).to_numpy()[:times]
    rows = np.vstack([donors, np.ones(units - 1)])
    w = result.weights.to_numpy()
    spread = 0.0
    for sign in (1, -1):
        for j in range(units - 1):
            for within in (1e-9, 1e-8, 1e-7):  # now and then the nearer ones are too narrow for the solver
                answer = linprog(sign * np.eye(units - 1)[j], A_ub=np.vstack([rows, -rows]),
                                 b_ub=np.concatenate([rows @ w + within, within - rows @ w]))  # fmt: skip
                if answer.fun is not None:
                    break
            spread = max(spread, abs(sign * answer.fun - w[j]) * (1e-9 / within))
    assert result.weights_are_unique == (spread < 1e-4)  # donors may be nearly parallel


# ---- nearly as good weights ----


def by_directions(outcomes, when, eta):
    """Effects on the boundary of the near-optimal weights of three donors, in 200,000 directions from the best."""
    pre, after = outcomes.loc[: when - 1], outcomes.loc[when:].mean()
    donors = pre.drop(columns="u0").to_numpy()
    best = co.solve(co.SyntheticControlProblem(outcomes, "u0", when))
    w = best.weights.to_numpy()
    angle = np.linspace(0, 2 * np.pi, 200_001)
    plane = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])
    move = np.column_stack([np.cos(angle), np.sin(angle)]) @ plane
    with np.errstate(divide="ignore", invalid="ignore"):
        edge = np.where(move < -1e-15, -w / move, np.inf).min(axis=1)
    change = move @ donors.T
    residual = pre["u0"].to_numpy() - donors @ w
    a, b, c = (change**2).sum(axis=1), -2 * change @ residual, -eta * best.loss
    length = np.minimum((-b + np.sqrt(b**2 - 4 * a * c)) / (2 * a), np.maximum(edge, 0))
    effect = after["u0"] - (w + length[:, None] * move) @ after.drop("u0").to_numpy()
    return effect.min(), effect.max()


@pytest.mark.parametrize("eta", [0.001, 0.1, 1.0, 20.0, 1e6])
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_range_is_what_a_search_of_all_directions_finds(seed, eta):
    outcomes = walk(24, 4, seed)
    result = co.solve(co.SyntheticControlProblem(outcomes, "u0", 16))
    span, (low, high) = result.att_range(eta), by_directions(outcomes, 16, eta)
    width = span.upper - span.lower
    # The search misses corners by a part of its step; what it finds is within the budget, so never beyond the range.
    assert -1e-9 * width <= low - span.lower <= 1e-3 * width
    assert -1e-9 * width <= span.upper - high <= 1e-3 * width
    assert 0 <= span.gap <= 1e-6 * width


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"intercept": True},
        {"weights": "elastic-net", "lam": 0.05, "alpha": 0.5},
        {"weights": "elastic-net", "lam": 0.05, "alpha": 1.0},
        {"weights": "ridge", "lam": 0.05},
        {"weights": "penalized", "lam": 0.1},
        {"weights": "did"},
        {"weights": {"sum_to_one": True}},
        {"weights": {"nonnegative": True, "no_intercept": True}},
        {"weights": {"equal": True}},
    ],
    ids=str,
)
def test_no_weights_within_the_budget_go_beyond_the_range(arguments, solver):
    """Random weights, mixed with the best until they are within the budget, stay inside; some come near the ends."""
    outcomes = walk(24, 6, 4)
    problem = co.SyntheticControlProblem(outcomes, "u0", 16, **arguments)
    result, eta = co.solve(problem, solver), 0.2
    span = result.att_range(eta)
    assert span.gap <= 1e-5 * (span.upper - span.lower)
    names = list(result.weights.index)
    y, donors = outcomes["u0"].loc[:15].to_numpy(), outcomes[names].loc[:15].to_numpy()
    best, mu = result.weights.to_numpy(), result.intercept
    budget = (1 + eta) * result.loss
    lam, alpha = problem.penalty.lam, problem.penalty.alpha

    def loss(w, m):  # of many weights at once
        residual = y - m[:, None] - w @ donors.T
        ssr = (residual**2).sum(axis=1)
        if problem.penalty.pairwise:
            return ssr + lam * w @ ((donors - y[:, None]) ** 2).sum(axis=0)
        if problem.kind in ("elastic-net", "ridge"):
            return ssr / 32 + lam * (alpha * np.abs(w).sum(axis=1) + (1 - alpha) / 2 * (w**2).sum(axis=1))
        return ssr

    assert loss(best[None, :], np.array([mu]))[0] == pytest.approx(result.loss, rel=1e-6)
    rng, n, constraints = np.random.default_rng(0), 2000, problem.constraints
    w = rng.dirichlet(np.full(5, 0.3), n) if constraints.nonnegative else best + rng.normal(size=(n, 5))
    if constraints.nonnegative and not constraints.sum_to_one:
        w = w * rng.uniform(0, 2, (n, 1))
    if constraints.equal:
        w = np.full((n, 5), 0.2) if constraints.sum_to_one else np.repeat(rng.normal(size=(n, 1)), 5, axis=1)
    if constraints.sum_to_one and not constraints.nonnegative:
        w = w - (w.sum(axis=1, keepdims=True) - 1) / 5
    m = np.zeros(n) if constraints.no_intercept else mu + rng.normal(size=n)
    low, high = np.zeros(n), np.ones(n)
    for _ in range(50):
        share = (low + high) / 2
        inside = loss(best + share[:, None] * (w - best), mu + share * (m - mu)) <= budget
        low, high = np.where(inside, share, low), np.where(inside, high, share)
    w, m = best + low[:, None] * (w - best), mu + low * (m - mu)
    after = outcomes.loc[16:].mean()
    found = after["u0"] - m - w @ after[names].to_numpy()
    assert span.lower - 1e-6 <= min(found) and max(found) <= span.upper + 1e-6
    assert max(found) - min(found) > 0.4 * (span.upper - span.lower)


def test_the_range_grows_with_eta_up_to_that_of_all_weights():
    outcomes = walk(24, 7, 2)
    result = co.solve(co.SyntheticControlProblem(outcomes, "u0", 16))
    previous = result.att_range(0.0)
    for eta in (1e-6, 0.01, 0.3, 5.0, 1e8):
        span = result.att_range(eta)
        assert span.lower <= previous.lower + 1e-9 and span.upper >= previous.upper - 1e-9
        previous = span
    after = outcomes.loc[16:].mean()
    assert previous.lower == pytest.approx(after["u0"] - after.drop("u0").max())
    assert previous.upper == pytest.approx(after["u0"] - after.drop("u0").min())


def test_a_tiny_eta_has_the_width_that_curvature_says():
    """Near the optimum the range has half width sqrt(2 eta f h'K h): with free weights K is the inverse Hessian."""
    outcomes = walk(30, 4, 6)
    result = co.solve(co.SyntheticControlProblem(outcomes, "u0", 24, weights={"no_intercept": True}))
    donors = outcomes.drop(columns="u0")
    gram, after = donors.loc[:23].T @ donors.loc[:23], donors.loc[24:].mean()
    for eta in (1e-6, 0.5):
        half = np.sqrt(eta * result.loss * after @ np.linalg.solve(gram, after))
        span = result.att_range(eta)
        assert span.upper - result.att == pytest.approx(half, rel=1e-5)
        assert result.att - span.lower == pytest.approx(half, rel=1e-5)


def test_several_treated_units_each_keep_within_their_own_budget():
    outcomes = walk(24, 8, 9)
    both = co.solve(co.SyntheticControlProblem(outcomes, ["u0", "u1"], 16)).att_range(0.2)
    donors = [f"u{j}" for j in range(2, 8)]
    spans = [
        co.solve(co.SyntheticControlProblem(outcomes, label, 16, donors=donors)).att_range(0.2)
        for label in ("u0", "u1")
    ]
    assert both.lower == pytest.approx(np.mean([span.lower for span in spans]))
    assert both.upper == pytest.approx(np.mean([span.upper for span in spans]))


def test_the_unsquared_norm_has_no_near_optimal_range():
    problem = co.SyntheticControlProblem(
        walk(24, 6), "u0", 16, weights="elastic-net", lam=0.1, alpha=0.5, l2="unsquared"
    )
    result = co.solve(problem)
    assert result.att_range().lower == pytest.approx(result.att)
    with pytest.raises(co.OptionError, match="unsquared"):
        result.att_range(0.1)


def test_germany_and_both_solvers(shared_data):
    df = pd.read_csv(shared_data / "germany" / "repgermany.csv")
    arguments = {"unit": "country", "time": "year", "outcome": "gdp", "treated": "West Germany", "treatment_time": 1990}
    fast, slow = (co.synthetic_control(df, solver=solver, **arguments) for solver in ("active-set", "highs"))
    for eta in (0.01, 0.1, 0.5):
        a, b, c = fast.att_range(eta), slow.att_range(eta), fast.att_range(eta, solver="highs")
        width = a.upper - a.lower
        for other in (b, c):
            np.testing.assert_allclose([other.lower, other.upper], [a.lower, a.upper], atol=1e-5 * width)
        assert a.upper < 0  # the effect keeps its sign


# ---- balancing weights ----


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(7)
    n = 160
    x = pd.DataFrame({"age": rng.normal(40, 10, n), "income": rng.lognormal(3, 0.7, n)})
    t = (x["age"] / 10 + rng.normal(0, 2, n) > 4.6).astype(int)
    return x.assign(t=t, y=x["age"] * 0.5 + x["income"] ** 1.5 / 20 + 3 * t + rng.normal(0, 1, n))


@pytest.mark.parametrize("solver", ["dual-newton", "highs"])
@pytest.mark.parametrize("estimand", ["ATT", "ATC", "ATE"])
@pytest.mark.parametrize("eta", [0.01, 0.3])
def test_balance_ranges_agree_with_a_second_formulation(study, solver, estimand, eta):
    result = co.balance(
        study, treatment="t", covariates=["age", "income"], estimand=estimand, tolerance=0.05, solver=solver
    )
    span = result.estimate_range("y", eta)
    middle = result.estimate("y").estimate
    assert span.lower < middle < span.upper and span.gap < 1e-5 * (span.upper - span.lower)
    other = result.estimate_range("y", eta, solver="highs" if solver == "dual-newton" else "dual-newton")
    width = span.upper - span.lower
    np.testing.assert_allclose([other.lower, other.upper], [span.lower, span.upper], atol=1e-5 * width)


def test_balance_range_without_bounds_has_a_closed_form(study):
    """With exact balance and free signs the near-optimal weights are an ellipsoid in the null space of the balance."""
    result = co.balance(study, treatment="t", covariates=["age", "income"], tolerance=0, lower=-np.inf)
    control = study[study["t"] == 0]
    rows = np.column_stack([np.ones(len(control)), control[["age", "income"]]])
    y, r, eta = control["y"].to_numpy(), len(control), 0.2
    rest = y - rows @ np.linalg.lstsq(rows, y, rcond=None)[0]
    u = result.weights[study["t"] == 0].to_numpy()
    half = np.sqrt(eta * ((u - 1) ** 2).sum()) * np.linalg.norm(rest) / r
    span = result.estimate_range("y", eta)
    middle = result.estimate("y").estimate
    assert span.upper - middle == pytest.approx(half, rel=1e-5) and middle - span.lower == pytest.approx(half, rel=1e-5)


def test_balance_range_at_zero_is_a_point_under_the_l2_norm(study):
    result = co.balance(study, treatment="t", covariates=["age", "income"])
    span = result.estimate_range("y", 0)
    assert span.lower == span.upper == pytest.approx(result.estimate("y").estimate)
    with pytest.raises(co.DataError, match="eta is -1"):
        result.estimate_range("y", -1)


@pytest.mark.parametrize("norm", ["l1", "linf"])
@pytest.mark.parametrize("eta", [0.0, 0.1])
def test_balance_range_under_linear_norms_is_a_pair_of_linear_programs(study, norm, eta):
    result = co.balance(study, treatment="t", covariates=["age", "income"], tolerance=0.02, norm=norm, solver="highs")
    span = estimate_range(result, "y", eta)
    control = (study["t"] == 0).to_numpy()
    x, y = study.loc[control, ["age", "income"]].to_numpy(), study.loc[control, "y"].to_numpy()
    treated = study[~control]
    r, target, slack = (
        len(y),
        treated[["age", "income"]].mean().to_numpy(),
        0.02 * treated[["age", "income"]].std().to_numpy(),
    )
    best = np.abs(result.weights[control] - 1).sum() if norm == "l1" else np.abs(result.weights[control] - 1).max()
    extra = r if norm == "l1" else 1  # u, then |u - 1| by unit or at most
    spread = np.eye(r) if norm == "l1" else np.ones((r, 1))
    none = np.zeros((2, extra))
    above = np.vstack([
        np.hstack([x.T / r, none]), np.hstack([-x.T / r, none]), np.hstack([np.eye(r), -spread]),
        np.hstack([-np.eye(r), -spread]), np.append(np.zeros(r), np.ones(extra))[None, :],
    ])  # fmt: skip
    limit = np.concatenate([target + slack, slack - target, np.ones(r), -np.ones(r), [(1 + eta) * best * (1 + 1e-9)]])
    ends = []
    for sign in (-1, 1):
        cost = np.append(sign * y / r, np.zeros(extra))
        answer = linprog(cost, A_ub=above, b_ub=limit, A_eq=np.append(np.ones(r), np.zeros(extra))[None, :], b_eq=[r])
        ends.append(treated["y"].mean() - sign * answer.fun)
    np.testing.assert_allclose([span.lower, span.upper], ends, rtol=1e-5, atol=1e-5)
    assert span.gap <= 1e-6


def test_a_population_mean_has_a_range_too(study):
    result = co.balance(
        study, covariates=["age"], estimand="population", target={"age": 44.0}, tolerance=0.0, scale="group"
    )
    span = result.estimate_range("y", 0.2)
    assert span.lower < result.estimate("y").estimate < span.upper


def test_extremes_of_an_unbounded_function_are_infinite():
    program = co.Program.from_arrays([0.0, 1.0], [[0.0, 1.0]], 1.0)
    low, high = extremes(program, np.array([1.0, 0.0]), np.array([0.0, 1.0]), 0.1, lambda p: co.solve(p, "highs"))
    assert low.value == 0 and high.value == np.inf and high.x is None


@pytest.mark.parametrize("seed", range(60))
def test_weights_called_unique_at_once_are_so_on_a_closer_look(seed):
    rng = np.random.default_rng(seed)
    m, n = rng.integers(2, 7), rng.integers(2, 9)
    rows = rng.integers(-2, 3, size=(m, n)).astype(float)  # many ties and dependent donors
    target = rng.integers(-2, 3, size=m).astype(float)
    constraints = Constraints(no_intercept=bool(seed % 2), sum_to_one=bool(seed % 3), nonnegative=True)
    fit = in_unit_of_residual(scaled("a", target, rows, constraints))
    assert fit.best is not None
    closer = optimal_face(dataclasses.replace(fit, best=dataclasses.replace(fit.best, unique=False)))
    assert closer is not None
    if fit.best.unique:
        assert closer.is_point
        assert optimal_face(fit) is None
    else:  # and the quick look misses no clear case
        assert not closer.is_point or len(closer.columns) > np.count_nonzero(closer.x)


def test_the_range_of_a_perfect_fit_is_its_effect():
    outcomes = pd.DataFrame({"a": [1.0, 2, 3, 9], "b": [0.0, 2, 1, 1], "c": [2.0, 2, 5, 7]})  # a = (b + c) / 2 at first
    result = co.solve(co.SyntheticControlProblem(outcomes, "a", 3))
    assert result.weights_are_unique and result.att == pytest.approx(5.0)
    for eta in (0.0, 0.1):
        span = result.att_range(eta)
        assert (span.lower, span.upper) == pytest.approx((5.0, 5.0), abs=1e-9)


@pytest.mark.parametrize("donors", [1, 3])
def test_donors_at_zero_since_the_treatment_leave_the_effect_alone(donors):
    rng = np.random.default_rng(2)
    outcomes = pd.DataFrame(rng.normal(size=(8, donors + 1)))
    outcomes.iloc[6:, 1:] = [[1.0] * donors, [-1.0] * donors]  # their mean is zero
    result = co.solve(co.SyntheticControlProblem(outcomes, 0, 6))
    for eta in (0.0, 0.1):
        span = result.att_range(eta)
        assert (span.lower, span.upper) == pytest.approx((outcomes.iloc[6:, 0].mean(),) * 2, abs=1e-9)


def test_the_range_of_the_effect_holds_the_effect_whatever_the_rounding():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        outcomes = pd.DataFrame(1000.0 + 1e-6 * rng.normal(size=(6, 9)))
        problem = co.SyntheticControlProblem(outcomes, [0, 1, 2], 3, intercept=True, pooled=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", co.CausaloptWarning)
            result = co.solve(problem)
        span = result.att_range(0.0)
        assert span.lower <= result.att + 1e-12 and result.att <= span.upper + 1e-12
