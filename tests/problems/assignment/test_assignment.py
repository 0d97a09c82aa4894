import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from match_cases import matchings
from scipy.optimize import linear_sum_assignment

import causalopt as co
from causalopt.modeling.compile import compile_model
from causalopt.solving.backend import installed_backends
from causalopt.verifying.claims import Proof

PATHS = ["hungarian", "network-simplex"]
SOLVERS = [b.name for b in installed_backends() if b.name in ("highs", "scip", "gurobi", "cplex")]


@pytest.fixture
def cost():
    return pd.DataFrame(
        [[4.0, 1.5, 3.0, np.inf], [2.0, 0.0, 5.0, 9.0], [3.0, 2.0, np.inf, 1.0]],
        index=pd.Index(["ann", "bob", "cy"], name="worker"),
        columns=pd.Index(["w", "x", "y", "z"], name="job"),
    )


def best_by_size(cost, maximize):
    """The best total of all matchings by their number of pairs."""
    allowed = np.isfinite(cost)
    best = {}
    for pairs in matchings(allowed):
        total = sum(cost[i, j] for i, j in pairs)
        known = best.get(len(pairs), total)
        best[len(pairs)] = max(known, total) if maximize else min(known, total)
    return best


# ---- oracle ----


@pytest.mark.parametrize("seed", range(60))
def test_every_cardinality_agrees_with_enumeration_and_is_certified(seed):
    rng = np.random.default_rng(seed)
    r, c = rng.integers(1, 6, 2)
    allowed = rng.random((r, c)) < rng.choice([0.4, 0.7, 1.0])
    allowed[0, 0] = True
    maximize = bool(rng.integers(2))
    values = rng.integers(-5, 9, (r, c)).astype(float) if seed % 2 else rng.normal(size=(r, c))
    cost = np.where(allowed, values, -np.inf if maximize else np.inf)
    best = best_by_size(cost, maximize)
    largest = max(best)
    expected = {n: best.get(n) for n in range(min(r, c) + 1)} | {
        "full": best.get(min(r, c)),
        "largest": best[largest],
        "any": (max if maximize else min)(best.values()),
    }
    for cardinality, total in expected.items():
        problem = co.AssignmentProblem(cost, cardinality=cardinality, maximize=maximize)
        for solver in [*PATHS, "highs"]:
            if total is None:
                with pytest.raises(co.InfeasibleError, match=f"the largest n is {largest}"):
                    co.solve(problem, solver)
                continue
            result = co.solve(problem, solver)
            assert result.total == pytest.approx(total, abs=1e-7)
            assert result.is_optimal and result.verification.proof is Proof.CERTIFIED
            certificate = result.certificate()
            assert certificate["bound"] == pytest.approx(total, abs=1e-6)
            assert certificate["largest contradiction"] <= 1e-6


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_gives_the_same_assignment(cost, solver):
    result = co.solve(co.AssignmentProblem(cost), solver)
    assert result.pairs.to_numpy().tolist() == [["ann", "y", 3.0], ["bob", "x", 0.0], ["cy", "z", 1.0]]
    assert result.is_optimal


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), exponent=st.integers(-6, 6), shift=st.integers(-1000, 1000))
def test_units_order_and_a_constant_do_not_matter(seed, exponent, shift):
    rng = np.random.default_rng(seed)
    r, c = sorted(rng.integers(2, 12, 2))
    cost = rng.normal(size=(r, c))
    base = co.solve(co.AssignmentProblem(cost)).total
    order_r, order_c = rng.permutation(r), rng.permutation(c)
    moved = (cost[np.ix_(order_r, order_c)] + shift) * 10.0**exponent
    result = co.solve(co.AssignmentProblem(moved))
    assert result.total / 10.0**exponent - r * shift == pytest.approx(base, abs=1e-8 * (1 + abs(shift) * r))
    assert result.verification.proof is Proof.CERTIFIED


def test_a_large_dense_matrix_agrees_with_scipy_and_is_certified():
    cost = np.random.default_rng(0).random((300, 350))
    result = co.solve(co.AssignmentProblem(cost))
    rows, columns = linear_sum_assignment(cost)
    assert result.solver == "hungarian"
    assert result.total == pytest.approx(cost[rows, columns].sum(), rel=1e-12)
    assert result.verification.proof is Proof.CERTIFIED and result.gap < 1e-9
    assert len(result.unmatched[0]) == 0 and len(result.unmatched[1]) == 50


@pytest.mark.parametrize("cardinality", ["full", 900])
def test_a_large_sparse_graph_is_solved_sparsely_and_certified(cardinality):
    matrix = sp.random(1500, 1500, 0.004, random_state=1, format="csr") + sp.eye(1500, format="csr")
    problem = co.AssignmentProblem(matrix, cardinality=cardinality)
    result = co.solve(problem)
    assert result.method == ("sparse" if cardinality == "full" else "flow")
    assert result.verification.proof is Proof.CERTIFIED
    if cardinality == 900:
        assert co.solve(problem, "highs").total == pytest.approx(result.total, rel=1e-9)


def test_components_are_split():
    blocks = sp.block_diag([np.random.default_rng(k).random((4, 4)) for k in range(6)], format="csr")
    result = co.solve(co.AssignmentProblem(blocks))
    apart = sum(co.solve(co.AssignmentProblem(blocks[4 * k : 4 * k + 4, 4 * k : 4 * k + 4])).total for k in range(6))
    assert result.total == pytest.approx(apart)


# ---- duals ----


@pytest.mark.parametrize("solver", ["hungarian", "highs"])
def test_duals_are_derivatives_of_the_total(solver):
    rng = np.random.default_rng(3)
    cost = rng.normal(size=(5, 8))
    result = co.solve(co.AssignmentProblem(cost, cardinality=4), solver)
    rows, columns, count = result.duals
    fewer = co.solve(co.AssignmentProblem(cost, cardinality=3)).total
    more = co.solve(co.AssignmentProblem(cost, cardinality=5)).total
    assert result.total - fewer <= count + 1e-9 and count <= more - result.total + 1e-9
    for k in result.unmatched[1]:
        assert columns[k] == pytest.approx(0, abs=1e-9)
    without = co.solve(co.AssignmentProblem(np.delete(cost, 0, axis=1), cardinality=4)).total
    assert without >= result.total - columns[0] - 1e-9
    assert rows.index.equals(pd.RangeIndex(5)) and len(columns) == 8


# ---- shapes of input ----


def test_labels_in_are_labels_out(cost):
    result = co.solve(co.AssignmentProblem(cost))
    assert list(result.pairs.columns) == ["worker", "job", "cost"]
    assert dict(zip(result.pairs["worker"], result.pairs["job"], strict=True)) == {"ann": "y", "bob": "x", "cy": "z"}
    assert result.total == 4.0
    assert result.unmatched[1].tolist() == ["w"]
    assert "3 of 10 allowed" in result.summary()


def test_all_shapes_of_the_same_input_agree(cost):
    long = cost.stack().rename("cost").reset_index()
    long = long[np.isfinite(long["cost"])]
    i, j = np.nonzero(np.isfinite(cost))
    sparse = sp.coo_matrix((cost.to_numpy()[i, j], (i, j)), shape=cost.shape)  # its stored zero is a cost
    problems = [
        co.AssignmentProblem(cost),
        co.AssignmentProblem(cost.to_numpy()),
        co.AssignmentProblem(long),
        co.AssignmentProblem(long["cost"], pairs=long[["worker", "job"]]),
        co.AssignmentProblem(sparse),
        co.AssignmentProblem(cost.fillna(0).replace(np.inf, 7.0).to_numpy(), pairs=np.isfinite(cost).to_numpy()),
        co.AssignmentProblem(cost.replace(np.inf, 7.0), pairs=long[["worker", "job"]]),
    ]
    assert {co.solve(problem).total for problem in problems} == {4.0}


def test_costs_of_a_match_graph():
    df = pd.DataFrame({"t": [1, 1, 0, 0], "x": [1.0, 2.0, 1.5, 2.5]}, index=list("abcd"))
    graph = co.match_graph(df, "t", calipers={"x": 1.0})
    distance = np.abs(df.loc[graph.treated[graph.i], "x"].to_numpy() - df.loc[graph.control[graph.j], "x"].to_numpy())
    result = co.solve(co.AssignmentProblem(distance, pairs=graph))
    assert result.total == 1.0 and list(result.pairs.columns) == ["treated", "control", "cost"]


# ---- the model ----


@pytest.mark.parametrize("cardinality", ["full", "any", "largest", 2])
@pytest.mark.parametrize("maximize", [False, True])
def test_the_direct_program_is_the_compiled_model(cost, cardinality, maximize):
    values = cost.replace(np.inf, -np.inf) if maximize else cost
    problem = co.AssignmentProblem(values, cardinality=cardinality, maximize=maximize)
    direct, compiled = problem.direct_program("lp"), compile_model(problem.build())
    assert (direct.A != compiled.A).nnz == 0 and direct.maximize == compiled.maximize
    for name in ("c", "row_lower", "row_upper", "lower", "upper", "integer"):
        np.testing.assert_array_equal(getattr(direct, name), getattr(compiled, name))


def test_the_model_can_be_extended(cost):
    import pyomo.environ as pyo

    problem = co.AssignmentProblem(cost)
    model = problem.build()
    model.never = pyo.Constraint(expr=model.pairs[problem.index("cy", "z")] == 0)
    result = co.solve(model, "highs")
    assert result.objective == pytest.approx(6.0)
    assert problem.label(problem.index("bob", "x")) == ("bob", "x")
    with pytest.raises(co.DataError, match="'ann' and 'z' is not allowed"):
        problem.index("ann", "z")
    with pytest.raises(co.DataError, match="no row 'dan'"):
        problem.index("dan", "z")


def test_a_point_between_optimal_vertices_is_moved_to_one():
    problem = co.AssignmentProblem(np.ones((3, 3)))
    mixture = np.full(9, 1 / 3)
    vertex = problem._vertex(mixture)
    assert sorted(vertex.tolist()) == [0.0] * 6 + [1.0] * 3
    assert (vertex.reshape(3, 3).sum(axis=0) == 1).all() and (vertex.reshape(3, 3).sum(axis=1) == 1).all()


def test_solvers_and_formulations_are_listed(cost):
    problem = co.AssignmentProblem(cost)
    table = problem.solvers()
    assert table.loc["hungarian", "can solve"] and table.loc["network-simplex", "can solve"]
    assert problem.formulations.loc["lp", "exact"] == "exact"


# ---- bad input ----


@pytest.mark.parametrize(
    ("cost", "more", "message"),
    [
        ([[1.0, np.nan]], {}, "cost in row 0, column 1 is missing"),
        ([[1.0, -np.inf]], {}, "row 0, column 1 is -inf.*inf in a minimum"),
        ([[1.0, np.inf]], {"maximize": True}, "row 0, column 1 is inf.*-inf in a maximum"),
        ([["a"]], {}, "not numbers"),
        (np.zeros((0, 3)), {}, "empty"),
        (np.zeros((2, 2, 2)), {}, "must be a matrix"),
        ([1.0, 2.0], {}, "needs pairs="),
        ([[1.0]], {"cardinality": "most"}, "'full', 'largest' or 'any'"),
        ([[1.0]], {"cardinality": 1.5}, "cardinality is 1.5"),
        ([[1.0]], {"cardinality": True}, "cardinality is True"),
        ([[1.0]], {"cardinality": -1}, "cannot be negative"),
        ([[1.0, 2.0]], {"pairs": np.ones((2, 2))}, "2 by 2 units, but the costs are 1 by 2"),
        ([[1.0, np.inf]], {"pairs": np.ones((1, 2))}, "row 0 with column 1, for which there is no finite cost"),
    ],
)
def test_bad_costs_are_named(cost, more, message):
    with pytest.raises(co.DataError, match=message):
        co.AssignmentProblem(cost, **more)


def test_bad_tables_are_named():
    pairs = pd.DataFrame({"worker": ["a", "b"], "job": ["x", "x"], "cost": [1.0, np.nan]})
    with pytest.raises(co.DataError, match=r"missing or infinite in 1 row\(s\): 1"):
        co.AssignmentProblem(pairs)
    with pytest.raises(co.DataError, match="list a pair twice"):
        co.AssignmentProblem(pairs.assign(worker="a", cost=1.0))
    with pytest.raises(co.DataError, match="DataFrame of pairs already"):
        co.AssignmentProblem(pairs.assign(cost=1.0), pairs=pairs[["worker", "job"]])
    with pytest.raises(co.DataError, match="3 costs for 2 pairs"):
        co.AssignmentProblem([1.0, 2.0, 3.0], pairs=pairs[["worker", "job"]])
    with pytest.raises(co.DataError, match="different row labels"):
        co.AssignmentProblem(pd.Series([1.0, 2.0], index=[5, 6]), pairs=pairs[["worker", "job"]])


@pytest.mark.parametrize("solver", [*PATHS, "highs"])
def test_infeasible_assignments_name_the_largest_n_and_a_unit(cost, solver):
    bare = cost.copy()
    bare.loc["cy"] = np.inf
    with pytest.raises(co.InfeasibleError, match=r"no 3 pairs: the largest n is 2\. No pair is allowed for row 'cy'"):
        co.solve(co.AssignmentProblem(bare), solver)
    assert co.solve(co.AssignmentProblem(bare, cardinality="largest"), solver).total == 3.0
    with pytest.raises(co.InfeasibleError, match="largest n is 3"):
        co.solve(co.AssignmentProblem(cost, cardinality=4), solver)
