"""Factorial balancing weights: the constraints against their definition, missing cells, solvers, and bad input."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import causalopt as co
from causalopt import basis
from causalopt.problems.factorial.cell_rows import CellRows
from causalopt.problems.factorial.design import contrasts, identify, read_factors, terms_to_drop, up_to_order
from causalopt.problems.factorial.infeasible import smallest_extra
from causalopt.solving.backend import get_backend, installed_backends
from causalopt.solving.words import rounded_up

NAMES = list("abcd")


def make_study(n=400, k=3, p=2, seed=0, strength=0.6):
    """Confounded factors with every cell well filled."""
    rng = np.random.default_rng(seed)
    x = pd.DataFrame(rng.normal(size=(n, p)), columns=[f"x{j}" for j in range(p)])
    score = x.to_numpy() @ rng.uniform(-strength, strength, (p, k)) + rng.logistic(size=(n, k))
    z = pd.DataFrame((score > 0).astype(int), columns=NAMES[:k])
    return x, z


@pytest.fixture(scope="module")
def study():
    return make_study()


# ---- the definition, written out as in MATH section 2 ----


def definition(x, z, effects, model, order=None, pairs=()):
    """Return A and b of  A w = b  with one row for every effect, side and term, straight from the definition."""
    n, k = z.shape
    signs = 2.0 * z.to_numpy() - 1.0
    cells = list(product([-1.0, 1.0], repeat=k))
    h = [np.ones(n), *x.to_numpy().T]
    all_terms = [j for m in range((order or k) + 1) for j in combinations(range(k), m)]
    terms = [(0, j) for j in all_terms] + [(s, ()) for s in range(1, len(h))]
    if model == "heterogeneous":
        terms += [(s, (j,)) for s in range(1, len(h)) for j in range(k)]
    terms += list(pairs)

    def g(effect, cell):
        return np.prod([cell[j] for j in effect])

    rows, target = [], []
    for effect in effects:
        for side in (1.0, -1.0):
            own = np.array([max(side * g(effect, row), 0.0) for row in signs])
            for s, term in terms:
                at_unit = np.array([g(term, row) for row in signs])
                rows.append(own * h[s] * at_unit)
                total = sum(max(side * g(effect, cell), 0.0) * g(term, cell) for cell in cells)
                target.append(2.0 ** -(k - 1) * total * h[s].sum())
    return np.array(rows), np.array(target)


CASES = [
    (2, "main", "additive", None),
    (2, 2, "heterogeneous", None),
    (3, "main", "additive", None),
    (3, "main", "heterogeneous", None),
    (3, 2, "additive", 2),
    (3, 3, "heterogeneous", None),
    (3, ["a", "b:c"], "heterogeneous", 2),
    (4, 2, "additive", 2),
]


@pytest.mark.parametrize("k, effects, model, order", CASES)
def test_weights_meet_every_constraint_of_the_definition(k, effects, model, order):
    x, z = make_study(n=700, k=k, seed=k, strength=0.3)
    problem = co.FactorialBalanceProblem(x, z, effects=effects, outcome_model=model, model_order=order)
    matrix, target = definition(x, z, problem.effects, model, order)
    w = co.solve(problem).weights.to_numpy()
    assert w.min() >= 0
    assert np.abs(matrix @ w - target).max() < 1e-8 * len(x)


@pytest.mark.parametrize("k, effects, model, order", CASES)
def test_reduced_rows_span_exactly_the_constraints_of_the_definition(k, effects, model, order):
    x, z = make_study(n=300, k=k, seed=k)
    problem = co.FactorialBalanceProblem(x, z, effects=effects, outcome_model=model, model_order=order)
    matrix, target = definition(x, z, problem.effects, model, order)
    program = co.compile_model(problem.build())
    ours = np.zeros((program.n_rows, len(x)))
    ours[:, problem.sets[0].members] = program.A.toarray() / 2  # in w = 2u
    reduced = np.column_stack([ours, program.row_lower])
    full = np.column_stack([matrix, target]) / np.linalg.norm(matrix, axis=1, keepdims=True)
    rank = np.linalg.matrix_rank(full, tol=1e-8)
    assert program.n_rows == rank == np.linalg.matrix_rank(reduced, tol=1e-8)
    assert np.linalg.matrix_rank(np.vstack([full, reduced]), tol=1e-8) == rank
    assert len(matrix) > rank  # there was something to reduce


def test_a_list_of_terms_is_the_definition_with_those_terms(study):
    x, z = study
    problem = co.FactorialBalanceProblem(x, z, effects=["a", "b"], outcome_model=["a", "b", "a:b", "b:x1", ("c", "x0")])
    assert [problem.factors.label(t) for t in problem.model.factor_terms] == ["1", "a", "b", "c", "a:b"]
    w = co.solve(problem).weights.to_numpy()
    matrix, target = definition(x, z, [(0,), (1,)], "additive", 1, [(0, (0, 1)), (2, (1,)), (1, (2,))])
    assert np.abs(matrix @ w - target).max() < 1e-8 * len(x)
    free, _ = definition(x, z, [(0,), (1,)], "none", 1, [(1, (0,))])
    assert problem.sets[0].rows.shape[0] == np.linalg.matrix_rank(matrix)
    assert np.linalg.matrix_rank(np.vstack([matrix, free])) > np.linalg.matrix_rank(matrix)


def test_every_cell_sums_to_its_share(study):
    x, z = study
    for model in ("additive", "heterogeneous"):
        result = co.solve(co.FactorialBalanceProblem(x, z, outcome_model=model))
        sums = result.weights.groupby([z[name] for name in z]).sum()
        np.testing.assert_allclose(sums, len(x) / 2**2, rtol=1e-9)
        np.testing.assert_allclose(result.cells()["weight"], 1.0, rtol=1e-9)


def test_a_randomized_factorial_without_covariates_has_exactly_equal_weights():
    z = pd.DataFrame(np.repeat(list(product([0, 1], repeat=3)), 5, axis=0), columns=list("abc")).sample(
        frac=1, random_state=1
    )
    for effects in ("main", 2, 3, ["a:c"]):
        result = co.factorial_balance(z, factors=list("abc"), effects=effects)
        assert (result.weights == 2.0).all()
    assert (co.factorial_balance(z, factors=list("abc"), separate=True).weights == 2.0).all(axis=None)


def test_without_covariates_weights_are_inverse_cell_sizes(study):
    _, z = study
    result = co.solve(co.FactorialBalanceProblem(None, z))
    sizes = z.assign(one=1).groupby(list(z))["one"].transform("sum")
    np.testing.assert_allclose(result.weights, len(z) / (2**2 * sizes), rtol=1e-10)


def test_weights_that_stay_positive_solve_one_linear_system():
    x, z = make_study(n=900, seed=5, strength=0.1)
    problem = co.FactorialBalanceProblem(x, z, effects=2, outcome_model="heterogeneous")
    matrix, target = definition(x, z, problem.effects, "heterogeneous")
    expected = 2.0 + np.linalg.pinv(matrix, rcond=1e-10) @ (target - 2.0 * matrix.sum(axis=1))
    assert expected.min() > 0  # so that the bounds do not matter
    np.testing.assert_allclose(co.solve(problem).weights, expected, atol=1e-8)


@pytest.mark.parametrize("solver", ["highs", "scip", "gurobi", "cplex"])
@pytest.mark.parametrize("model, tolerance", [("additive", 0.0), ("heterogeneous", 0.0), ("heterogeneous", 0.02)])
def test_solvers_and_dual_newton_agree_on_one_program(solver, model, tolerance):
    if solver not in [b.name for b in installed_backends()]:
        pytest.skip(f"{solver} is not installed here")
    x, z = make_study(n=190, seed=3)
    problem = co.FactorialBalanceProblem(x, z, outcome_model=model, tolerance=tolerance)
    program = co.compile_model(problem.build())
    obstacle = get_backend(solver).license().obstacle(program.n_columns, program.n_rows, True)
    if obstacle:
        pytest.skip(f"{solver}: {obstacle}")
    ours = co.solve(problem, "dual-newton")
    theirs = co.solve(program, solver, time_limit=60)
    assert theirs.is_optimal
    assert theirs.objective == pytest.approx(ours.objective, rel=1e-6)
    np.testing.assert_allclose(theirs.x, ours.x, atol=2e-5)  # an interior point ends this far inside the bounds
    y = x["x0"] + z["a"] + np.sin(np.arange(len(x)))
    other = problem.result(theirs, program).estimate(y)
    np.testing.assert_allclose(other["estimate"], ours.estimate(y)["estimate"], atol=1e-6)


# ---- structured rows ----


def test_structured_rows_equal_the_matrix_they_stand_for():
    rng = np.random.default_rng(0)
    starts = np.array([0, 4, 4, 9, 15])  # one cell without units
    c = rng.normal(size=(7, 4)) * (rng.random((7, 4)) < 0.6)
    function = rng.integers(0, 3, 7)
    functions = rng.normal(size=(3, 15))
    rows = CellRows.from_cell_functions(c, function, functions, starts)
    dense = np.repeat(c, np.diff(starts), axis=1) * functions[function]
    u, y, inside, w = rng.normal(size=15), rng.normal(size=7), rng.random(15) < 0.5, rng.random(15)
    matrix = rng.normal(size=(7, 7))
    np.testing.assert_allclose(rows @ u, dense @ u)
    np.testing.assert_allclose(y @ rows, y @ dense)
    np.testing.assert_allclose(rows.csr().toarray(), dense)
    np.testing.assert_allclose(rows.gram(inside), dense[:, inside] @ dense[:, inside].T)
    np.testing.assert_allclose(rows.gram(weights=w), (dense * w) @ dense.T)
    np.testing.assert_allclose(rows.quadratic(matrix), np.einsum("ri,rs,si->i", dense, matrix, dense))
    np.testing.assert_allclose(rows.take(np.array([5, 2])).csr().toarray(), dense[[5, 2]])
    assert (rows.max(axis=1) >= dense.max(axis=1) - 1e-15).all() and (rows.min(axis=1) <= dense.min(axis=1)).all()
    assert rows.nonzeros() == np.count_nonzero(np.repeat(c, np.diff(starts), axis=1))


# ---- tolerances ----


def test_tolerances_hold_on_every_side_and_cost_less_variance(study):
    x, z = study
    exact = co.solve(co.FactorialBalanceProblem(x, z, effects=2))
    loose = co.solve(co.FactorialBalanceProblem(x, z, effects=2, tolerance=0.03))
    assert loose.objective < exact.objective * (1 - 1e-3)
    table = loose.balance_table()
    assert table["smd after"].abs().max() <= 0.03 + 1e-8
    covariates = table[table["family"] == "covariates"]["smd after"].abs()
    assert covariates.max() == pytest.approx(0.03, abs=1e-7)  # some binds
    signs = 2 * z - 1
    for (effect, side, function), row in table.iterrows():
        inside = signs[effect.split(":")].prod(axis=1) == (1 if side == "+" else -1)
        values = signs[function] if function in z else x[function]
        assert row["mean after"] == pytest.approx(np.average(values[inside], weights=loose.weights[inside]), abs=1e-9)
        assert row["mean before"] == pytest.approx(values[inside].mean(), abs=1e-9)
        if function in x:
            assert row["target"] == pytest.approx(values.mean())
            assert row["smd after"] == pytest.approx((row["mean after"] - row["target"]) / values.std(), abs=1e-9)


def test_balance_table_of_interactions_agrees_with_its_definition(study):
    x, z = study
    result = co.solve(co.FactorialBalanceProblem(x, z, outcome_model="heterogeneous", tolerance={"default": 0.02}))
    signs, standardised = 2 * z - 1, (x - x.mean()) / x.std()
    for effect, side in product("abc", (1, -1)):
        w = result.weights * (signs[effect] == side)
        for factor, name in product("abc", x):
            expected = np.average(signs[factor] * standardised[name], weights=w)
            row = result.balance_table().loc[(effect, "+" if side == 1 else "-", f"{factor}:{name}")]
            assert row["smd after"] == pytest.approx(expected, abs=1e-9) and row["tolerance"] == 0.02
            assert abs(expected) <= 0.02 + 1e-8


def test_tolerances_by_family_and_covariate(study):
    x, z = study
    given = {"x0": 0.05, "default": 0.0, "interactions": 0.1, "factors": 0.02}
    problem = co.FactorialBalanceProblem(x, z, outcome_model="heterogeneous", tolerance=given)
    table = co.solve(problem).balance_table().reset_index()
    largest = table.assign(off=table["smd after"].abs()).groupby("function")["off"].max()
    assert largest["x0"] == pytest.approx(0.05, abs=1e-6) and largest["x1"] < 1e-9
    assert 0 < largest["a"] <= 0.02 + 1e-9
    inner = table[table["family"] == "interactions"]["smd after"].abs().max()
    assert 0.02 < inner <= 0.1 + 1e-8
    exact = co.solve(co.FactorialBalanceProblem(x, z, outcome_model="heterogeneous"))
    assert co.solve(problem).objective < exact.objective


# ---- what weights achieve ----


def test_effects_are_exact_where_the_outcome_model_holds(study):
    x, z = study
    rng = np.random.default_rng(1)
    by_cell = rng.normal(size=(2, 2, 2))
    y = by_cell[z["a"], z["b"], z["c"]] + 3 * x["x0"] - x["x1"]
    table = co.solve(co.FactorialBalanceProblem(x, z, effects=3)).estimate(y)
    for effect, value in table["estimate"].items():
        sign = np.ones((2, 2, 2))
        for name in effect.split(":"):
            sign = sign * np.array([-1, 1]).reshape([2 if name == other else 1 for other in "abc"])
        assert value == pytest.approx((sign * by_cell).sum() / 4, abs=1e-8)


def test_heterogeneous_effects_need_the_heterogeneous_model(study):
    x, z = study
    y = x["x0"] * (2 * z["a"] - 1) + x["x1"] * z["b"] + z["c"]
    truth = [2 * x["x0"].mean(), x["x1"].mean(), 1.0]
    exact = co.solve(co.FactorialBalanceProblem(x, z, outcome_model="heterogeneous")).estimate(y)["estimate"]
    np.testing.assert_allclose(exact, truth, atol=1e-8)
    additive = co.solve(co.FactorialBalanceProblem(x, z)).estimate(y)["estimate"]
    assert np.abs(additive - truth).max() > 1e-3


def test_separate_weights_are_those_of_each_effect_alone(study):
    x, z = study
    together = co.solve(co.FactorialBalanceProblem(x, z, effects=2, separate=True))
    assert list(together.weights) == ["a", "b", "c", "a:b", "a:c", "b:c"]
    y = x["x0"] + z["a"] * z["b"] + np.random.default_rng(0).normal(size=len(x))
    for effect in together.weights:
        alone = co.solve(co.FactorialBalanceProblem(x, z, effects=[effect]))
        np.testing.assert_allclose(together.weights[effect], alone.weights, atol=1e-9)
        first, second = together.estimate(y).loc[effect], alone.estimate(y).loc[effect]
        np.testing.assert_allclose(first, second, rtol=1e-8)
    joint = co.solve(co.FactorialBalanceProblem(x, z, effects=2))
    assert (together.weights.var() < joint.weights.var() + 1e-12).all()
    assert set(together.cells().index.get_level_values("effect")) == set(together.weights)
    highs = co.solve(co.FactorialBalanceProblem(x, z, effects=2, separate=True), "highs")
    np.testing.assert_allclose(highs.weights, together.weights, atol=1e-6)


def test_codings_of_factors_are_the_same_factor(study):
    x, z = study
    plain = co.solve(co.FactorialBalanceProblem(x, z)).weights
    text = z["b"].map({0: "none", 1: "daily"})
    coded = pd.DataFrame(
        {
            "a": 2 * z["a"] - 1,
            "b": pd.Categorical(text, categories=["none", "daily", "never seen"]),
            "c": z["c"].astype(bool),
        }
    )
    np.testing.assert_array_equal(co.solve(co.FactorialBalanceProblem(x, coded)).weights, plain)
    named = co.FactorialBalanceProblem(x, z.assign(b=text), high={"b": "daily"})
    np.testing.assert_array_equal(co.solve(named).weights, plain)
    assert named.factors.cell_label(7) == "a=1, b=daily, c=1"


def test_turning_a_factor_around_turns_its_effects_around(study):
    x, z = study
    y = x["x0"] + z["a"] + z["a"] * z["c"] + np.sin(np.arange(len(x)))
    first = co.solve(co.FactorialBalanceProblem(x, z, effects=2)).estimate(y)
    turned = co.solve(co.FactorialBalanceProblem(x, z, effects=2, high={"a": 0})).estimate(y)
    for effect in first.index:
        sign = -1 if "a" in effect else 1
        assert turned.loc[effect, "estimate"] == pytest.approx(sign * first.loc[effect, "estimate"], abs=1e-9)
        assert turned.loc[effect, "standard error"] == pytest.approx(first.loc[effect, "standard error"], rel=1e-7)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), exponent=st.integers(-6, 6), shift=st.floats(-1e3, 1e3))
def test_row_order_units_and_factor_order_do_not_matter(seed, exponent, shift):
    rng = np.random.default_rng(seed)
    x, z = make_study(n=160, seed=seed, strength=0.3)
    order = rng.permutation(len(x))
    try:
        first = co.solve(co.FactorialBalanceProblem(x, z, effects=["a", "b:c"], tolerance=0.05))
    except co.CausaloptError:
        return  # a study without weights, or with an empty cell
    moved = x.assign(x0=(x["x0"] + shift) * 10.0**exponent).iloc[order]
    names = [str(name) for name in rng.permutation(list(z))]
    second = co.solve(co.FactorialBalanceProblem(moved, z.iloc[order][names], effects=["c:b", "a"], tolerance=0.05))
    np.testing.assert_allclose(first.weights, second.weights.loc[x.index], atol=1e-6)


def test_collinear_and_categorical_covariates_are_reduced_and_balanced(study):
    x, z = study
    city = pd.Series(np.resize(["north", "south", "west"], len(x))).astype("category")
    more = x.assign(city=city, twice=2 * x["x0"] + 1)
    for solver in ("dual-newton", "highs"):
        result = co.solve(co.FactorialBalanceProblem(more, z), solver)
        assert set(result.problem.dropped) == {"city[west]", "twice"}
        assert result.balance_table()["smd after"].abs().max() < 1e-7
    alike = co.solve(co.FactorialBalanceProblem(more.drop(columns="twice"), z))
    np.testing.assert_allclose(result.weights, alike.weights, atol=1e-6)


def test_a_covariate_that_does_not_vary_where_it_should_is_explained_not_dropped(study):
    x, z = study
    by_cell = x.assign(both=z["a"] * z["b"] * 2.0 + z["c"])
    with pytest.raises(co.DataError, match=r"'both' has a single value in each treatment cell.*function of the fact"):
        co.FactorialBalanceProblem(by_cell, z)
    for solver in ("dual-newton", "highs"):
        with pytest.raises(co.InfeasibleError, match="No nonnegative weights balance a, b, c") as caught:
            co.solve(co.FactorialBalanceProblem(x.assign(half=x["x0"] * z["a"] + z["a"]), z), solver)
        assert caught.value.explanation["estimable"].to_dict() == {"a": False, "b": True, "c": True}


def test_basis_functions_are_balanced_and_can_be_named_in_the_model(study):
    x, z = study
    problem = co.FactorialBalanceProblem(x, z, basis=[basis.moments(2)], outcome_model=["a", "b", "c", "a:x0^2"])
    table = co.solve(problem).balance_table()
    assert {"x0^2", "x1^2", "a:x0^2"} <= set(table.index.get_level_values("function"))
    assert table["smd after"].abs().max() < 1e-8


# ---- missing cells ----


def as_factors(cells, k):
    """Return factors with one row in each of these cells."""
    bits = (np.array(cells)[:, None] >> np.arange(k - 1, -1, -1)) & 1
    return read_factors(pd.DataFrame(bits, columns=NAMES[:k]))[0]


def some_cells(k):
    """Yield sets of observed cells in which no factor is constant and no two go together."""
    rng = np.random.default_rng(k)
    every = [c for m in range(2, 2**k + 1) for c in combinations(range(2**k), m)]
    chosen = every if len(every) <= 300 else [every[i] for i in rng.choice(len(every), 300, replace=False)]
    for cells in chosen:
        try:
            yield as_factors(cells, k)
        except co.DataError:
            continue


@pytest.mark.parametrize("k", [2, 3, 4])
def test_identification_agrees_with_rank_computations(k):
    checked = {True: 0, False: 0}
    for factors in some_cells(k):
        for order in range(1, k + 1):
            terms = up_to_order(k, order)
            matrix = contrasts(terms, factors)  # F_obs'
            rank = np.linalg.matrix_rank(matrix)
            whole = np.array([factors.contrast(np.arange(2**k), term) for term in terms])  # F'
            found = identify(terms[1:], terms, factors)
            for effect, weight in found.items():
                wanted = whole @ factors.contrast(np.arange(2**k), effect)
                solvable = np.linalg.matrix_rank(np.column_stack([matrix, wanted])) == rank
                assert (weight is not None) == solvable
                checked[bool(solvable)] += 1
                if weight is not None:
                    np.testing.assert_allclose(matrix @ weight, wanted, atol=1e-8)
    assert min(checked.values()) > 20 or k == 2


def test_one_missing_cell_and_pairwise_interactions_leave_all_six_effects_identified():
    for missing in range(8):
        factors = as_factors([c for c in range(8) if c != missing], 3)
        assert all(w is not None for w in identify(up_to_order(3, 2)[1:], up_to_order(3, 2), factors).values())
        assert all(w is None for w in identify(up_to_order(3, 3)[1:], up_to_order(3, 3), factors).values())


def test_terms_to_drop_are_the_fewest_from_the_top():
    terms = up_to_order(3, 3)
    for factors in some_cells(3):
        for effect in terms[1:]:
            dropped = terms_to_drop(effect, terms, factors)
            if dropped is None:
                others = [()]
                assert identify([effect], [*others, effect], factors)[effect] is None
                continue
            rest = [t for t in terms if t not in dropped]
            assert identify([effect], rest, factors)[effect] is not None
            for term in dropped:  # none could have stayed
                assert identify([effect], [*rest, term], factors)[effect] is None


@pytest.fixture(scope="module")
def holed():
    """Two of eight cells are empty: (1, 1, 1) and (0, 0, 0)."""
    x, z = make_study(n=600, seed=11, strength=0.4)
    kept = ~z.sum(axis=1).isin([0, 3])
    return x[kept], z[kept]


def test_effects_are_exact_with_missing_cells_where_the_model_holds():
    x, z = make_study(n=500, seed=2)
    kept = z.sum(axis=1) < 3
    x, z = x[kept], z[kept]
    y = 2 * x["x0"] + 1.5 * z["a"] - z["b"] + z["a"] * z["b"] + 0.5 * z["b"] * z["c"]
    result = co.solve(co.FactorialBalanceProblem(x, z, effects=2, model_order=2))
    truth = {"a": 2.0, "b": -0.25, "c": 0.25, "a:b": 0.5, "a:c": 0.0, "b:c": 0.25}
    table = result.estimate(y)
    assert table["estimate"].to_dict() == pytest.approx(truth, abs=1e-8)
    other = co.solve(result.problem, "highs")
    assert other.objective == pytest.approx(result.objective, rel=1e-6)
    np.testing.assert_allclose(other.weights, result.weights, atol=1e-3)
    assert result.problem.estimability()["estimable"].all()


def test_definition_with_missing_cells(holed):
    x, z = holed
    problem = co.FactorialBalanceProblem(x, z, effects="main", outcome_model="heterogeneous", model_order=1)
    result = co.solve(problem)
    w, signs = result.weights.to_numpy(), 2.0 * z.to_numpy() - 1.0
    cells = problem.factors.signs(problem.factors.observed)
    h = [np.ones(len(x)), *x.to_numpy().T]
    for weight in problem.contrasts.values():
        by_unit = weight[np.searchsorted(problem.factors.observed, problem.factors.codes)]
        for side, s, term in product((1, -1), range(3), [(), (0,), (1,), (2,)]):
            here, there = np.maximum(side * by_unit, 0), np.maximum(side * weight, 0)
            target = there @ np.prod(cells[:, list(term)], axis=1) * h[s].sum() / 4
            assert (w * here * h[s] * np.prod(signs[:, list(term)], axis=1)).sum() == pytest.approx(
                target, abs=1e-7 * len(x)
            )


def test_cells_that_no_estimate_uses_have_weight_zero():
    x, z = make_study(n=300, k=2, seed=4)
    kept = ~((z["a"] == 1) & (z["b"] == 1))
    x, z = x[kept], z[kept]
    result = co.solve(co.FactorialBalanceProblem(x, z, effects=["a"], model_order=1))
    unused = (z["a"] == 0) & (z["b"] == 1)
    assert (result.weights[unused] == 0).all() and (result.weights[~unused] > 0).any()
    y = 2 * x["x0"] + 3 * z["a"] + 5 * z["b"]
    assert result.estimate(y).loc["a", "estimate"] == pytest.approx(3.0, abs=1e-8)
    for solver in ("highs", "dual-newton"):
        np.testing.assert_allclose(co.solve(result.problem, solver).weights, result.weights, atol=1e-6)
    with pytest.raises(co.DataError, match="no estimate uses"):
        result.problem.index(z.index[unused][0])


def test_nothing_identified_is_explained_with_the_model_that_would_do(holed):
    x, z = holed
    with pytest.raises(co.InfeasibleError, match=r"2 of 8 .*a=0, b=0, c=0.*a needs model_order=") as caught:
        co.FactorialBalanceProblem(x, z)
    table = caught.value.explanation
    assert not table["identified"].any() and table["needs"].str.startswith("model_order=").all()
    for order in (1, 2):
        known = [name for name, need in table["needs"].items() if int(need[-1]) >= order]
        if known:
            assert co.solve(co.FactorialBalanceProblem(x, z, effects=known, model_order=order)).is_optimal
        others = [name for name in table.index if name not in known]
        if others:
            with pytest.raises(co.InfeasibleError):
                co.FactorialBalanceProblem(x, z, effects=others, model_order=order)


def test_some_effects_identified_are_estimated_and_the_others_named():
    x, z = make_study(n=600, seed=6)
    kept = (z["a"] == z["b"]) | (z["c"] == 0)  # cells (0,1,1) and (1,0,1) are missing
    x, z = x[kept], z[kept]
    terms = ["a", "b", "c", "a:c", "b:c"]
    with pytest.warns(co.CausaloptWarning, match=r"2 of 8 .*left out: .*without") as caught:
        problem = co.FactorialBalanceProblem(x, z, effects=["a", "c", "a:c"], outcome_model=[*terms, "a:b"])
    assert len(caught) == 1
    table = problem.identification()
    assert 0 < table["identified"].sum() < 3
    result = co.solve(problem)
    estimates = result.estimate(x["x0"] * 1.0)
    assert (estimates["estimate"].notna() == table["identified"]).all()
    assert list(estimates.index) == ["a", "c", "a:c"]
    lost = table.index[~table["identified"]][0]
    assert lost in result.facts()["not identified"]
    for name, row in problem.estimability().iterrows():
        assert row["estimable"] == (row["identified"] and row["extra tolerance"] == 0), name


def test_a_half_fraction_identifies_main_effects_and_says_that_pairs_are_aliased():
    x, z = make_study(n=400, seed=8)
    half = z.sum(axis=1) % 2 == 1  # a * b * c is constant
    x, z = x[half], z[half]
    result = co.solve(co.FactorialBalanceProblem(x, z, model_order=1))
    y = x["x0"] + z @ [1.0, 2.0, 3.0]
    np.testing.assert_allclose(result.estimate(y)["estimate"], [1, 2, 3], atol=1e-8)
    with pytest.raises(co.InfeasibleError, match="needs model_order=1"):
        co.FactorialBalanceProblem(x, z, model_order=2)
    with pytest.raises(co.InfeasibleError, match="a:b needs an outcome model without c"):
        co.FactorialBalanceProblem(x, z, effects=["a:b"], model_order=2)


# ---- no nonnegative weights ----


@pytest.fixture(scope="module")
def apart():
    """Factor a hardly overlaps in x0."""
    x, z = make_study(n=300, seed=9, strength=0.2)
    return x.assign(x0=x["x0"] + 4.5 * z["a"]), z


@pytest.mark.parametrize("solver", ["dual-newton", "highs"])
def test_infeasible_balance_is_explained_by_effect_and_tolerance(apart, solver):
    x, z = apart
    with pytest.raises(co.InfeasibleError, match=r"a tolerance [\d.]+ standard deviations larger") as caught:
        co.solve(co.FactorialBalanceProblem(x, z), solver)
    table = caught.value.explanation
    assert not table.loc["a", "estimable"] and table["identified"].all()
    extra = smallest_extra(co.FactorialBalanceProblem(x, z).study, co.FactorialBalanceProblem(x, z).estimated)
    assert f"a tolerance {rounded_up(extra, 3)} standard" in str(caught.value)
    assert co.solve(co.FactorialBalanceProblem(x, z, tolerance=extra * 1.001), solver).is_optimal
    with pytest.raises(co.InfeasibleError):
        co.solve(co.FactorialBalanceProblem(x, z, tolerance=extra * 0.999), solver)


def test_the_linear_program_and_dual_newton_agree_on_which_effects_have_weights():
    seen = set()
    for seed in range(6):
        x, z = make_study(n=60, k=2, p=3, seed=seed, strength=1.5)
        problem = co.FactorialBalanceProblem(x, z, effects=2, outcome_model="heterogeneous")
        for effect, row in problem.estimability().iterrows():
            try:
                found = co.solve(
                    co.FactorialBalanceProblem(x, z, effects=[effect], outcome_model="heterogeneous"), "dual-newton"
                ).is_optimal
            except co.InfeasibleError:
                found = False
            assert found == row["estimable"]
            seen.add(found)
    assert seen == {True, False}


def test_a_smaller_model_that_has_weights_is_named():
    x, z = make_study(n=60, k=2, p=3, seed=1, strength=1.5)
    for seed in range(30):
        x, z = make_study(n=60, k=2, p=3, seed=seed, strength=1.2)
        try:
            co.solve(co.FactorialBalanceProblem(x, z, outcome_model="heterogeneous"))
        except co.InfeasibleError as error:
            if "outcome_model='additive'" in str(error):
                assert co.solve(co.FactorialBalanceProblem(x, z)).is_optimal
                return
    pytest.fail("no study was found whose additive model alone has weights")


# ---- embedding ----


def test_the_model_can_be_embedded_and_extended(study):
    import pyomo.environ as pyo

    x, z = study
    problem = co.FactorialBalanceProblem(x, z)
    m = pyo.ConcreteModel()
    m.block = pyo.Block()
    problem.attach(m.block)
    m.total = pyo.Objective(expr=m.block.cost)
    i = problem.index(7)
    assert problem.label(i) == 7
    m.cap = pyo.Constraint(expr=m.block.weights[i] <= 0.2)
    assert co.solve(m, "highs").is_optimal
    assert m.block.weights[i].value <= 0.2 + 1e-7
    labels = problem.row_labels()
    assert len(labels) == len(m.block.balance) and set(labels["family"]) == {"factors", "covariates"}
    assert labels.loc[0, "function"] == "a=0, b=0, c=0"
    assert problem.formulations.loc["qp", "exact"] == "exact"
    assert problem.solvers().loc["dual-newton", "can solve"]


def test_summary_says_what_was_solved(study):
    x, z = study
    text = co.solve(co.FactorialBalanceProblem(x, z)).summary()
    for part in ("a, b, c", "additive", "8 of 8 observed", "dual-newton", "certified by causalopt"):
        assert part in text


# ---- bad input ----


def bad(study, match, error=co.DataError, **changes):
    x, z = study
    arguments = {"covariates": x, "factors": z} | changes
    with pytest.raises(error, match=match):
        co.FactorialBalanceProblem(arguments.pop("covariates"), arguments.pop("factors"), **arguments)


def test_a_factor_with_one_level_or_three_is_named(study):
    _, z = study
    bad(study, "Factor 'b' is 1 in every row.*Leave it out", factors=z.assign(b=1))
    bad(study, "'b' must take two values; it takes 3: 0, 1, 2", factors=z.assign(b=np.arange(len(z)) % 3))
    bad(study, "high level of factor 'b'.*Say high=", factors=z.assign(b=np.where(z["b"] == 1, "yes", "no")))
    bad(study, "high names 3 for factor 'b'", high={"b": 3})
    bad(study, "'bb'", high={"bb": 1})


def test_missing_values_of_factors_and_covariates_name_rows(study):
    x, z = study
    bad(study, "Factor 'a' has missing values.* 3", factors=z.assign(a=z["a"].where(z.index != 3)))
    bad(study, "'x0'.*missing.* 5", covariates=x.assign(x0=x["x0"].where(x.index != 5)))


def test_an_outcome_model_that_names_unknown_factors_is_refused(study):
    bad(study, "Unknown factor or covariate in the outcome model 'd'", outcome_model=["a", "b", "c", "d"])
    bad(study, "'x9'.*'x0'", outcome_model=["a", "b", "c", "a:x9"])
    bad(study, "two functions of the covariates, 'x0' and 'x1'.*basis", outcome_model=["a", "b", "c", "x0:x1"])
    bad(study, "'aditive'.*'additive'", outcome_model="aditive")
    bad(study, "model_order goes with", outcome_model=["a"], model_order=2)
    bad(study, "model_order=4.*between 1 and 3", model_order=4)
    bad(study, "names a factor twice", outcome_model=["a:a"])


def test_effects_that_make_no_sense_are_refused(study):
    bad(study, "Unknown factor in effects 'd'", effects=["a", "d"])
    bad(study, "'a:b' twice", effects=["a:b", ("b", "a")])
    bad(study, "effects='mian'", effects="mian")
    bad(study, "between 1 and 3", effects=4)
    bad(study, "empty list", effects=[])
    bad(study, "no term 'a:b'.*model_order=2", effects=["a:b"], model_order=1)
    bad(study, "no term 'b'.*Add 'b'", effects=["a", "b"], outcome_model=["a"])


def test_more_effects_than_cells_are_refused(study):
    x, z = study
    kept = ((z["a"] == 0) | (z["b"] == 0)) & ((z["c"] == 0) | (z["b"] == 0))
    cells = z[kept].drop_duplicates()
    assert len(cells) == 5
    bad((x[kept], z[kept]), "6 effects are asked for, but 5 of the 8.*at most 4.*effects='main'", effects=2)


def test_duplicated_columns_are_named(study):
    x, z = study
    bad(study, "'a' more than once", factors=z[["a", "a"]])
    bad(study, "'x0' more than once", covariates=x[["x0", "x0"]])
    bad(study, "'a' and 'd' always go together", factors=z.assign(d=z["a"]))
    bad(study, "'a' and 'd' always go together", factors=z.assign(d=1 - z["a"]))
    bad(study, "'a' is also among the covariates", covariates=x.assign(a=z["a"]))
    bad(study, "3.* occurs more than once", factors=z.rename(index={4: 3}))


def test_constant_covariates_and_wrong_shapes_are_refused(study):
    x, z = study
    bad(study, "'x0' is 1 in every row", covariates=x.assign(x0=1.0))
    bad(study, "factors have 400 rows, the covariates 399", covariates=x.iloc[:-1])
    bad(study, "different row labels", covariates=x.set_axis(x.index + 1))
    bad(study, "two-dimensional", factors=z["a"].to_numpy())
    bad(study, "no covariates are given", covariates=None, basis=[basis.moments(2)])


def test_bad_tolerances_are_named(study):
    bad(study, "'x0' is -1", tolerance={"x0": -1})
    bad(study, "'interactions' is nan", tolerance={"interactions": np.nan})
    bad(study, "'x5'.*'x0'", tolerance={"x5": 0.1})


def test_too_many_factors_for_the_rows_are_refused_with_the_size_and_advice():
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(500, 2)), columns=["x0", "x1"])
    z = pd.DataFrame(rng.integers(0, 2, (500, 13)), columns=[f"z{k}" for k in range(13)])
    bad((x, z), "13 factors make 8192 treatment cells|13 factors make 8,192 treatment cells; at most 12")
    bad((x, z.iloc[:, :12]), r"12 factors make 4,096 .* 500 rows fill only \d+.*model_order=1 or 2")
    problem = co.FactorialBalanceProblem(x, z.iloc[:, :12], model_order=1)
    y = x["x0"] + z["z3"]
    result = co.solve(problem)
    assert result.estimate(y)["estimate"].round(6).to_dict() == {f"z{k}": float(k == 3) for k in range(12)}


def test_programs_out_of_reach_are_refused_before_they_are_built():
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(600, 30)), columns=[f"x{j}" for j in range(30)])
    z = pd.DataFrame(rng.integers(0, 2, (600, 10)), columns=[f"z{k}" for k in range(10)])
    bad(
        (x, z),
        r"make up to [\d,]+ constraints; at most 10,000.*model_order",
        effects=2,
        model_order=2,
        tolerance=0.1,
        outcome_model="heterogeneous",
    )
    every = pd.DataFrame(list(product([0, 1], repeat=10)), columns=list(z))
    bad((None, every), r"223,300 constraints over 1,024 cells before reduction", effects=3, model_order=5)


def test_ten_factors_are_solved():
    rng = np.random.default_rng(0)
    n = 6000
    x = pd.DataFrame(rng.normal(size=(n, 2)), columns=["x0", "x1"])
    z = pd.DataFrame((rng.logistic(size=(n, 10)) + 0.2 * x[["x0"]].to_numpy() > 0) * 1, columns=list("abcdefghij"))
    problem = co.FactorialBalanceProblem(x, z, model_order=2)
    y = 3 * x["x0"] + z["a"] + z["b"] * z["c"]
    estimates = co.solve(problem).estimate(y)["estimate"]
    expected = dict.fromkeys("abcdefghij", 0.0) | {"a": 1.0, "b": 0.5, "c": 0.5}
    assert estimates.to_dict() == pytest.approx(expected, abs=1e-7)


def test_unknown_columns_of_a_frame_are_named(study):
    x, z = study
    df = x.join(z)
    with pytest.raises(co.DataError, match=r"'x00'.*'x0'"):
        co.factorial_balance(df, factors=["a"], covariates=["x00"])
    with pytest.raises(co.DataError, match="'aa'"):
        co.factorial_balance(df, factors=["aa"], covariates=["x0"])
