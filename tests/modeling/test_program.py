"""The arrays of a program: its class, its convexity, its components, and the values of its objective."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from causalopt.errors import DataError
from causalopt.modeling import matrices
from causalopt.modeling.matrices import is_positive_semidefinite, symmetric_product
from causalopt.modeling.program import ProblemClass, Program

NAN, INF = float("nan"), float("inf")
seeds = st.integers(0, 2**32 - 1)
quick = settings(deadline=None, derandomize=True)


def semidefinite(q, **kwargs):
    return is_positive_semidefinite(sp.tril(sp.csc_matrix(q), format="csc"), **kwargs)


def gram(rng, n, rank):
    b = rng.standard_normal((rank, n)) * 10.0 ** rng.uniform(-2, 2)
    q = b.T @ b
    return (q + q.T) / 2


# --- class

CONVEX = np.array([[2.0, 1.0], [1.0, 2.0]])
SADDLE = np.array([[1.0, 2.0], [2.0, 1.0]])


@pytest.mark.parametrize(
    ("q", "integer", "maximize", "expected"),
    [
        (None, False, False, ProblemClass.LP),
        (None, True, False, ProblemClass.MILP),
        (None, [True, False], True, ProblemClass.MILP),
        (np.zeros((2, 2)), False, False, ProblemClass.LP),
        (sp.csc_matrix((np.zeros(2), ([0, 1], [0, 1])), shape=(2, 2)), False, False, ProblemClass.LP),
        (CONVEX, False, False, ProblemClass.CONVEX_QP),
        (CONVEX, [False, True], False, ProblemClass.CONVEX_MIQP),
        (CONVEX, False, True, ProblemClass.NONCONVEX_QP),
        (-CONVEX, False, True, ProblemClass.CONVEX_QP),
        (-CONVEX, True, True, ProblemClass.CONVEX_MIQP),
        (-CONVEX, False, False, ProblemClass.NONCONVEX_QP),
        (SADDLE, False, False, ProblemClass.NONCONVEX_QP),
        (SADDLE, False, True, ProblemClass.NONCONVEX_QP),
        (SADDLE, True, False, ProblemClass.NONCONVEX_MIQP),
        (np.diag([1.0, 0.0]), False, False, ProblemClass.CONVEX_QP),
        (np.diag([1.0, -1e-3]), False, False, ProblemClass.NONCONVEX_QP),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), False, False, ProblemClass.NONCONVEX_QP),
    ],
)
def test_the_class_follows_from_the_arrays(q, integer, maximize, expected):
    program = Program.from_arrays([1.0, 2.0], Q=q, integer=integer, maximize=maximize)
    assert program.problem_class is expected
    assert str(program.problem_class) == expected.value
    assert program.describe().startswith(expected.value)


@pytest.mark.parametrize(("convex", "expected"), [(True, ProblemClass.CONVEX_QP), (False, ProblemClass.NONCONVEX_QP)])
def test_a_convexity_that_is_stated_is_not_checked(convex, expected):
    assert Program.from_arrays([1.0, 2.0], Q=SADDLE, convex=convex).problem_class is expected
    assert Program.from_arrays([1.0, 2.0], Q=CONVEX, convex=convex).problem_class is expected


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [
        ([], ProblemClass.NONCONVEX_QP),
        ([0], ProblemClass.CONVEX_QP),
        ([1], ProblemClass.NONCONVEX_QP),
        ([0, 2], ProblemClass.LP),
        ([0, 1, 2], ProblemClass.LP),
    ],
)
def test_fixed_columns_do_not_count_for_convexity(fixed, expected):
    q = np.array([[-1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    upper = np.full(3, 5.0)
    upper[fixed] = 1.0
    program = Program.from_arrays(np.zeros(3), Q=q, lower=1.0, upper=upper)
    assert program.problem_class is expected
    free = np.setdiff1d(np.arange(3), fixed)
    np.testing.assert_array_equal(program.free_hessian().toarray(), np.tril(q)[np.ix_(free, free)])
    assert Program.from_arrays(np.zeros(3)).free_hessian() is None


# --- convexity


@given(seed=seeds, n=st.integers(2, 30), shape=st.sampled_from(["thin", "square", "tall"]))
@settings(quick, max_examples=60)
def test_a_gram_matrix_is_semidefinite_and_no_longer_so_once_it_is_bent_down(seed, n, shape):
    rng = np.random.default_rng(seed)
    q = gram(rng, n, {"thin": max(1, n // 3), "square": n, "tall": 2 * n}[shape])
    assert semidefinite(q)
    size = np.abs(q).max()
    weights, vectors = np.linalg.eigh(q)
    down = q - (weights[0] + 1e-6 * size) * np.outer(vectors[:, 0], vectors[:, 0])
    down = (down + down.T) / 2
    assert np.linalg.eigvalsh(down)[0] < -1e-7 * size
    assert not semidefinite(down)
    assert not semidefinite(-q)


@given(seed=seeds, n=st.integers(1, 8), scale=st.integers(-6, 6))
@settings(quick, max_examples=200)
def test_the_answer_is_that_of_the_eigenvalues_at_any_scale_and_in_any_order(seed, n, scale):
    rng = np.random.default_rng(seed)
    q = rng.integers(-2, 4, size=(n, n)) * (rng.uniform(size=(n, n)) < 0.5)
    q = np.tril(q) + np.tril(q, -1).T + np.diag(rng.integers(0, 4, size=n))
    smallest = np.linalg.eigvalsh(q)[0]
    if -1e-6 < smallest < -1e-12:
        return
    expected = smallest >= -1e-12 * max(1, np.abs(q).max())
    assert semidefinite(q * 10.0**scale) is bool(expected)
    order = rng.permutation(n)
    assert semidefinite(q[np.ix_(order, order)]) is bool(expected)


def test_the_smallest_eigenvalue_may_be_as_low_as_the_tolerance_says():
    q = np.ones((4, 4)) + np.diag([0.0, 0.0, 0.0, 3.0])
    v = np.array([1.0, -1.0, 0.0, 0.0]) / np.sqrt(2)
    for lowest, expected in ((-0.5e-9, True), (-4e-9 * 2, False)):
        assert semidefinite(q + lowest * 4 * np.outer(v, v)) is expected
    assert semidefinite(q - 0.1 * np.outer(v, v), tolerance=0.1)
    assert not semidefinite(q - 0.1 * np.outer(v, v), tolerance=0.01)


@pytest.mark.parametrize(
    ("diagonal", "expected"),
    [([1.0, 2.0], True), ([1.0, 0.0], True), ([0.0, 0.0], True), ([1.0, -1e-12], True), ([1.0, -1e-6], False)],
)
def test_a_diagonal_matrix_is_judged_by_its_entries(diagonal, expected):
    assert semidefinite(np.diag(diagonal)) is expected
    assert is_positive_semidefinite(sp.csc_matrix(np.diag(diagonal))) is expected


def test_a_diagonally_dominant_matrix_needs_no_factorisation(monkeypatch):
    monkeypatch.setattr(matrices, "_is_positive_definite", None)
    laplacian = nx.laplacian_matrix(nx.gnm_random_graph(60, 150, seed=1)).astype(float)
    assert semidefinite(laplacian)


BIG = 1300  # larger than what is judged by eigenvalues


def banded(rng, n, rows=None):
    """Return a sparse Gram matrix of connected columns; with fewer rows than columns it is singular."""
    rows = n if rows is None else rows
    bands = [rng.uniform(0.5, 2.0, size=rows) for _ in range(4)]
    b = sp.diags_array(bands, offsets=[0, 1, 2, 3], shape=(rows, n))
    return (b.T @ b).tocsc()


@pytest.fixture
def factorised(monkeypatch):
    """Record the sizes of the matrices that are factorised."""
    sizes = []
    splu = sp.linalg.splu

    def recording(matrix, **kwargs):
        sizes.append(matrix.shape[0])
        return splu(matrix, **kwargs)

    monkeypatch.setattr(sp.linalg, "splu", recording)
    return sizes


@pytest.mark.parametrize("rows", [BIG, BIG - 3], ids=["definite", "semidefinite"])
def test_a_large_sparse_gram_matrix_is_semidefinite_by_its_factors(rows, factorised):
    rng = np.random.default_rng(rows)
    q = banded(rng, BIG, rows)
    assert semidefinite(q)
    order = rng.permutation(BIG)
    assert semidefinite(q[order][:, order])
    assert factorised == [BIG, BIG]


@pytest.mark.parametrize("where", [0, 1, BIG // 2, BIG - 1])
def test_a_large_sparse_matrix_that_is_slightly_indefinite_is_found_out(where, factorised):
    differences = sp.diags_array(
        [np.ones(BIG - 2), np.full(BIG - 2, -2.0), np.ones(BIG - 2)], offsets=[0, 1, 2], shape=(BIG - 2, BIG)
    )
    q = (differences.T @ differences).tocsc()
    assert semidefinite(q)
    dent = np.zeros(BIG)
    dent[where] = 1e-3
    bent = (q - sp.diags_array(dent)).tocsc()
    level = np.ones(BIG)  # q vanishes on it
    assert level @ bent @ level < -0.999e-3
    assert not semidefinite(bent)
    assert factorised == [BIG, BIG]


def test_a_large_dense_matrix_of_low_rank_is_judged_by_its_factors(factorised):
    rng = np.random.default_rng(5)
    n = 1050
    b = rng.standard_normal((n, 4))
    q = b @ b.T
    q = (q + q.T) / 2
    assert semidefinite(q)
    w = rng.standard_normal(n)
    w -= b @ np.linalg.lstsq(b, w, rcond=None)[0]
    w /= np.linalg.norm(w)
    bent = q - 1e-5 * np.outer(w, w)
    assert not semidefinite((bent + bent.T) / 2)
    assert factorised == [n, n]


def test_a_factorisation_that_has_to_pivot_falls_back_on_the_smallest_eigenvalue(factorised, monkeypatch):
    called = []
    eigsh = sp.linalg.eigsh
    monkeypatch.setattr(sp.linalg, "eigsh", lambda *a, **k: called.append(True) or eigsh(*a, **k))
    path = sp.diags_array([np.ones(BIG - 1), np.zeros(BIG), np.ones(BIG - 1)], offsets=[-1, 0, 1])
    assert not semidefinite(path, tolerance=0.0)
    assert called
    assert factorised == [BIG]


@pytest.mark.parametrize("bad", [None, "large", "small"])
def test_every_block_of_a_block_diagonal_matrix_is_checked(bad, factorised):
    rng = np.random.default_rng(3)
    blocks = [banded(rng, BIG, BIG - 3), banded(rng, 40, 37), sp.csc_matrix([[0.0]]), sp.csc_matrix([[3.0]])]
    blocks += [banded(rng, BIG + 50)]
    if bad == "large":
        blocks[0] = blocks[0] - 1e-6 * sp.eye_array(BIG)
    elif bad == "small":
        blocks[1] = blocks[1] - 1e-6 * sp.eye_array(40)
    q = sp.block_diag(blocks, format="csc")
    order = rng.permutation(q.shape[0])
    assert semidefinite(q[order][:, order]) is (bad is None)
    if bad is None:
        assert sorted(factorised) == [BIG, BIG + 50]


def test_a_large_nonconvex_program_is_convex_when_it_is_maximised_upside_down():
    rng = np.random.default_rng(8)
    q = banded(rng, BIG, BIG - 3)
    assert Program.from_arrays(np.zeros(BIG), Q=q).problem_class is ProblemClass.CONVEX_QP
    assert Program.from_arrays(np.zeros(BIG), Q=q, maximize=True).problem_class is ProblemClass.NONCONVEX_QP
    assert Program.from_arrays(np.zeros(BIG), Q=-q, maximize=True).problem_class is ProblemClass.CONVEX_QP


# --- components


def random_program(rng, n, m, quadratic):
    a = rng.integers(-2, 3, size=(m, n)) * (rng.uniform(size=(m, n)) < 0.15)
    q = None
    if quadratic:
        q = rng.integers(-2, 3, size=(n, n)) * (rng.uniform(size=(n, n)) < 0.08)
        q = q + q.T
    return Program.from_arrays(rng.standard_normal(n), a if m else None, Q=q), a, q


@given(seed=seeds, n=st.integers(1, 15), m=st.integers(0, 8), quadratic=st.booleans())
@settings(quick, max_examples=200)
def test_components_are_those_of_the_graph_of_columns(seed, n, m, quadratic):
    program, a, q = random_program(np.random.default_rng(seed), n, m, quadratic)
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    for row in a:
        columns = np.flatnonzero(row).tolist()
        nx.add_path(graph, columns)
    if q is not None:
        graph.add_edges_from(zip(*map(np.ndarray.tolist, np.nonzero(q)), strict=True))
    numbers = program.components()
    found = {frozenset(np.flatnonzero(numbers == k).tolist()) for k in range(numbers.max() + 1)}
    assert found == {frozenset(part) for part in nx.connected_components(graph)}
    assert numbers.shape == (n,)


def test_one_row_over_all_columns_makes_one_component():
    assert Program.from_arrays(np.zeros(4), [[0, 1, 0, 0], [1, -1, 1, 1]]).components().tolist() == [0, 0, 0, 0]


def test_a_row_that_lists_one_column_repeatedly_does_not_connect_others():
    a = sp.csr_matrix((np.ones(2), np.array([0, 0]), np.array([0, 2])), shape=(1, 2))
    program = Program.from_arrays(np.zeros(2), a)
    assert program.components().tolist() == [0, 1]
    assert program.A.toarray().tolist() == [[2.0, 0.0]]
    assert a.nnz == 2  # what was given is as it was


# --- objective and gradient


@given(seed=seeds, n=st.integers(1, 8), kind=st.sampled_from(["none", "diagonal", "full", "strictly lower"]))
@settings(quick, max_examples=100)
def test_objective_and_gradient_are_those_of_the_dense_formulas(seed, n, kind):
    rng = np.random.default_rng(seed)
    q = np.zeros((n, n))
    if kind == "diagonal":
        q = np.diag(rng.standard_normal(n))
    elif kind != "none":
        q = rng.standard_normal((n, n)) * (rng.uniform(size=(n, n)) < 0.6)
        q = q + q.T
    if kind == "strictly lower":
        np.fill_diagonal(q, 0.0)
    c, x, constant = rng.standard_normal(n), rng.standard_normal(n), float(rng.standard_normal())
    program = Program.from_arrays(c, Q=None if kind == "none" else q, constant=constant)
    assert program.objective(x) == pytest.approx(0.5 * x @ q @ x + c @ x + constant)
    assert program.gradient(x) == pytest.approx(q @ x + c)
    assert symmetric_product(sp.tril(q, format="csc"), x) == pytest.approx(q @ x)
    step = 1e-6
    numeric = [(program.objective(x + step * e) - program.objective(x - step * e)) / (2 * step) for e in np.eye(n)]
    assert program.gradient(x) == pytest.approx(np.array(numeric), abs=1e-6)


# --- making a program


@pytest.mark.parametrize("limit", [1 << 16, 3])
@pytest.mark.parametrize("seed", range(5))
def test_products_and_sizes_of_rows_are_those_of_the_dense_matrix(seed, limit, monkeypatch):
    monkeypatch.setattr("causalopt.modeling.program.FEW_NONZEROS", limit)
    rng = np.random.default_rng(seed)
    m, n = rng.integers(0, 7, 2) if seed else (3, 4)
    dense = rng.normal(size=(m, n)) * (rng.random((m, n)) < (0.5 if seed else 0.0))
    program = Program.from_arrays(np.zeros(n), dense)
    y = rng.normal(size=m)
    product = program.transposed_product(y)
    assert product.dtype == float
    np.testing.assert_allclose(product, dense.T @ y, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(program.row_sizes, np.abs(dense).max(axis=1, initial=0.0))


def test_scalars_stand_for_equal_values_and_the_defaults_are_nonnegative_columns():
    program = Program.from_arrays([1, 2], [[1, 1], [0, 2]], row_lower=1, integer=[0, 1])
    assert (program.n_columns, program.n_rows) == (2, 2)
    assert program.row_lower.tolist() == [1.0, 1.0]
    assert program.row_upper.tolist() == [INF, INF]
    assert (program.lower.tolist(), program.upper.tolist()) == ([0.0, 0.0], [INF, INF])
    assert program.integer.tolist() == [False, True]
    assert {a.dtype for a in (program.c, program.A, program.row_lower, program.lower)} == {np.dtype(float)}
    assert (program.constant, program.maximize, program.Q) == (0.0, False, None)


def test_the_bounds_of_a_program_are_copies():
    upper = np.array([1.0, 2.0])
    program = Program.from_arrays([1.0, 2.0], upper=upper)
    upper[0] = 7.0
    assert program.upper.tolist() == [1.0, 2.0]


def test_a_program_without_rows_has_an_empty_matrix():
    program = Program.from_arrays([1.0, 2.0, 3.0])
    assert program.A.shape == (0, 3)
    assert program.components().tolist() == [0, 1, 2]
    assert program.row_lower.shape == (0,)


def test_q_is_kept_as_its_lower_triangle():
    program = Program.from_arrays([0.0, 0.0], Q=SADDLE)
    assert program.Q.toarray().tolist() == [[1.0, 0.0], [2.0, 1.0]]
    assert program.Q.format == "csc"


def test_replace_changes_a_copy():
    program = Program.from_arrays([1.0, 2.0])
    other = program.replace(c=np.array([3.0, 4.0]), maximize=True)
    assert (program.c.tolist(), program.maximize) == ([1.0, 2.0], False)
    assert (other.c.tolist(), other.maximize) == ([3.0, 4.0], True)
    with pytest.raises(AttributeError):
        program.maximize = True


def test_a_description_says_class_and_size():
    program = Program.from_arrays(np.ones(1200), np.ones((2, 1200)), integer=True, Q=sp.eye_array(1200))
    expected = "convex MIQP, 1,200 columns, 2 rows, 2,400 nonzeros, 1,200 quadratic terms, 1,200 integer"
    assert program.describe() == expected


INVALID = {
    "A has other columns": ({"A": [[1.0, 2.0, 3.0]]}, "A has 3 columns, but the cost has 2"),
    "A holds NaN": ({"A": [[1.0, NAN]]}, "A holds a value that is not finite"),
    "A holds infinity": ({"A": [[INF, 1.0]]}, "A holds a value that is not finite"),
    "A holds both infinities": ({"A": [[INF, -INF]]}, "A holds a value that is not finite"),
    "c is a matrix": ({"c": [[1.0, 2.0]]}, r"c has shape \(1, 2\)"),
    "c holds NaN": ({"c": [NAN, 1.0]}, "c holds a value that is not finite"),
    "c holds infinity": ({"c": [1.0, -INF]}, "c holds a value that is not finite"),
    "constant is NaN": ({"constant": NAN}, "constant of the objective is not finite"),
    "Q has another size": ({"Q": np.eye(3)}, r"Q has shape \(3, 3\); \(2, 2\) is needed"),
    "Q is not symmetric": ({"Q": [[1.0, 1.0], [0.0, 1.0]]}, "Q must be symmetric"),
    "Q holds NaN": ({"Q": [[NAN, 0.0], [0.0, 1.0]]}, "Q holds NaN in row 0, column 0"),
    "Q holds infinity": ({"Q": [[INF, 0.0], [0.0, 1.0]]}, "Q holds a value that is not finite in row 0, column 0"),
    "lower has another length": ({"lower": [0.0, 0.0, 0.0]}, r"lower has shape \(3,\); one value or 2 are needed"),
    "upper is a matrix": ({"upper": [[1.0, 1.0]]}, r"upper has shape \(1, 2\)"),
    "integer has another length": ({"integer": [True]}, r"integer has shape \(1,\)"),
    "lower holds NaN": ({"lower": [NAN, 0.0]}, "lower holds NaN"),
    "upper holds NaN": ({"upper": NAN}, "upper holds NaN"),
    "row_lower holds NaN": ({"A": [[1.0, 1.0]], "row_lower": [NAN]}, "row_lower holds NaN"),
    "row_upper has another length": ({"A": [[1.0, 1.0]], "row_upper": [1.0, 1.0]}, r"row_upper has shape \(2,\)"),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_arrays_are_refused_with_a_message_that_says_which(case):
    arguments, message = INVALID[case]
    with pytest.raises(DataError, match=message):
        Program.from_arrays(**{"c": [1.0, 2.0], **arguments})


def test_large_finite_values_are_accepted_though_their_sum_overflows():
    program = Program.from_arrays([1e308, 1e308])
    program.check()
    assert program.c.tolist() == [1e308, 1e308]
