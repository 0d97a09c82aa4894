"""The algorithms behind the copula's fast paths, each against enumeration or a second method."""

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import causalopt as co
from causalopt.problems.copula.diagonal import _centre, tuned_diagonal
from causalopt.problems.copula.paths import alternating, rearrangement, relaxation
from causalopt.problems.copula.paths.branching import OneHot, branch_and_bound
from causalopt.problems.copula.rows import factor, scaled_diagonal
from causalopt.solving.backend import Ability, get_backend
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Ledger
from causalopt.solving.trying.tangents import solve_by_tangents, solve_program_by_tangents
from causalopt.verifying.claims import Proof, Reason, Solution, Termination
from causalopt.verifying.tree import BranchProof, ProofNode, proven_bound
from causalopt.verifying.verify import verify


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), ties=st.booleans())
def test_matched_pairs_beat_every_other_imputation(seed, ties):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 5))
    treated, control = (rng.integers(0, 3, size=n) * 1.0 if ties else rng.normal(size=n) for _ in range(2))
    low, high = np.sort(control), np.sort(treated)
    v, u = rearrangement.matched_pairs(treated - control, np.arange(n), np.arange(n))
    ours = ((treated + low[v] - control - high[u]) ** 2).sum()
    best = max(
        ((treated + low[list(a)] - control - high[list(b)]) ** 2).sum()
        for a in itertools.permutations(range(n))
        for b in itertools.permutations(range(n))
    )
    assert ours == pytest.approx(best)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_transport_is_the_best_choice_within_the_counts_and_its_duals_prove_it(seed):
    rng = np.random.default_rng(seed)
    r, k = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    gain = rng.normal(size=(r, k))
    counts = np.bincount(rng.integers(0, k, size=r), minlength=k)
    lower, upper = np.maximum(counts - rng.integers(0, 2, size=k), 0.0), counts + rng.integers(0, 2, size=k) * 1.0
    choice, unit_dual, value_dual = rearrangement.transport(gain, lower, upper)
    used = np.bincount(choice, minlength=k)
    assert (used >= lower).all() and (used <= upper).all()
    best = max(
        gain[np.arange(r), list(c)].sum()
        for c in itertools.product(range(k), repeat=r)
        if (np.bincount(c, minlength=k) >= lower).all() and (np.bincount(c, minlength=k) <= upper).all()
    )
    assert gain[np.arange(r), choice].sum() == pytest.approx(best)
    sides = np.where(value_dual > 0, upper, lower)
    bound = unit_dual.sum() + value_dual @ sides + np.maximum(gain - unit_dual[:, None] - value_dual, 0).sum()
    assert bound == pytest.approx(best, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_local_search_stays_within_bounds_and_reaches_local_optima(seed):
    rng = np.random.default_rng(seed)
    n, k = 6, 3
    factor_ = rng.normal(size=(n, n))
    matrix, linear = factor_ @ factor_.T, rng.normal(size=n)
    values = np.sort(rng.normal(size=k))
    weights = np.ones(n) if seed % 2 else rng.uniform(1, 2, size=n)
    first = rng.integers(0, k, size=n)
    block = alternating.Block(np.arange(n), values, weights, np.zeros(k), np.zeros(k))
    sums = block.sums(first)
    block = alternating.Block(np.arange(n), values, weights, sums - 1.2, sums + 1.2)
    (choice,), value = alternating.search(matrix, linear, [block], [first], starts=30, seed=1)
    assert (block.sums(choice) <= block.upper + 1e-9).all() and (block.sums(choice) >= block.lower - 1e-9).all()
    best = -np.inf
    for c in itertools.product(range(k), repeat=n):
        c = np.array(c)
        if (block.sums(c) <= block.upper + 1e-9).all() and (block.sums(c) >= block.lower - 1e-9).all():
            u = values[c]
            best = max(best, u @ matrix @ u + 2 * linear @ u)
    u = values[choice]
    assert value == pytest.approx(u @ matrix @ u + 2 * linear @ u)
    assert value <= best + 1e-9
    again, same = alternating.search(matrix, linear, [block], [first], starts=30, seed=1)
    assert same == value and (again[0] == choice).all()
    for i in range(n):  # no single change that is allowed helps
        for v in range(k):
            moved = choice.copy()
            moved[i] = v
            if (block.sums(moved) <= block.upper + 1e-9).all() and (block.sums(moved) >= block.lower - 1e-9).all():
                w = values[moved]
                assert w @ matrix @ w + 2 * linear @ w <= value + 1e-8 * max(1, abs(value))


def one_hot_program(seed, n=4, k=3):
    """max c'x - |Bx|^2 over one-hot x, and its optimum by enumeration."""
    rng = np.random.default_rng(seed)
    b, c = rng.normal(size=(2, n * k)), rng.normal(size=n * k)
    rows = np.kron(np.eye(n), np.ones((1, k)))
    program = co.Program.from_arrays(
        np.append(c, np.zeros(2)),
        sp.block_array([[sp.csr_matrix(rows), None], [sp.csr_matrix(b), -sp.eye(2)]]),
        np.append(np.ones(n), np.zeros(2)),
        np.append(np.ones(n), np.zeros(2)),
        np.append(np.zeros(n * k), [-99.0, -99.0]),
        np.append(np.ones(n * k), [99.0, 99.0]),
        integer=np.arange(n * k + 2) < n * k,
        Q=sp.diags_array(np.append(np.zeros(n * k), [-2.0, -2.0])),
        constant=5.0,
        maximize=True,
    )
    best, point = -np.inf, None
    for choice in itertools.product(range(k), repeat=n):
        x = np.zeros(n * k)
        x[np.arange(n) * k + np.array(choice)] = 1
        value = c @ x - ((b @ x) ** 2).sum() + 5
        if value > best:
            best, point = value, np.append(x, b @ x)
    return program, best, point


@pytest.mark.parametrize("seed", range(8))
def test_tangents_solve_convex_integer_programs(seed):
    program, best, _ = one_hot_program(seed)
    assert program.problem_class is co.ProblemClass.CONVEX_MIQP
    solution = solve_by_tangents(program, SolveOptions(), backend=get_backend("highs"))
    verified, check = verify(program, solution)
    assert check.passed and verified.termination.reason is Reason.OPTIMAL
    assert check.objective == pytest.approx(best, rel=1e-7, abs=1e-7)


def test_tangents_find_infeasibility():
    program, _, _ = one_hot_program(0)
    impossible = program.replace(row_lower=np.append([2.0], program.row_lower[1:]), row_upper=program.row_upper + 1)
    impossible = impossible.replace(upper=np.append(np.zeros(3), program.upper[3:]))
    solution = solve_by_tangents(impossible, SolveOptions(), backend=get_backend("highs"))
    assert solution.termination.reason is Reason.INFEASIBLE


def test_tangents_say_which_options_had_no_effect():
    class Bare(type(get_backend("highs"))):
        abilities = frozenset(Ability) - {Ability.SEED, Ability.THREADS, Ability.START, Ability.TIME_LIMIT}

    program, best, _ = one_hot_program(0)
    options = SolveOptions(seed=3, threads=4, time_limit=60.0)  # the loop keeps the time by itself
    with pytest.warns(co.CausaloptWarning, match="cannot use") as caught:
        result = solve_program_by_tangents(program, Bare(), options, None, Ledger(), "it was asked for")
    words = [f"highs cannot use {name}; it had no effect." for name in ("seed", "threads")]
    assert [str(w.message) for w in caught] == words and result.warnings == tuple(words)
    assert result.objective == pytest.approx(best, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("seed", range(8))
def test_branching_proves_the_optimum(seed):
    program, best, _ = one_hot_program(seed, n=5)
    backend = get_backend("highs")
    n, k = 5, 3
    unit = np.repeat(np.arange(n), k)
    options = OneHot(unit, np.tile(np.arange(3.0), n), np.ones(n))

    def relax(box):
        return backend.solve(box, SolveOptions(), backend.methods(box, SolveOptions())[0])

    def improve(x):
        rounded = np.zeros(n * k)
        rounded[np.arange(n) * k + x[: n * k].reshape(n, k).argmax(axis=1)] = 1
        return np.append(rounded, program.A[n:, : n * k] @ rounded)

    start = improve(np.ones(program.n_columns))
    x, proof, _ = branch_and_bound(program, relax, options, start, improve, gap=1e-6, time_limit=30)
    assert program.objective(x) == pytest.approx(best, abs=1e-6)
    assert best - 1e-9 <= proven_bound(program, proof) <= best + 2e-6
    claimed = Solution(Termination(Reason.FEASIBLE), x=x, objective=program.objective(x), proof=proof)
    verified, check = verify(program, claimed)
    assert check.proof is Proof.CERTIFIED and verified.termination.reason is Reason.OPTIMAL


@pytest.mark.parametrize("seed", range(5))
def test_a_false_proof_proves_nothing_false(seed):
    program, best, _ = one_hot_program(seed)
    rng = np.random.default_rng(seed)
    cutoff = -(best - 5) - 1.0  # a cutoff that the optimum does not reach: minimising, without the constant
    noise = tuple(rng.normal(size=program.n_rows) for _ in range(3))
    tree = ProofNode(noise, 0, np.array([1]), (ProofNode(noise[:1]), ProofNode(noise[1:])))
    assert proven_bound(program, BranchProof(cutoff, tree)) >= best - 1e-9
    missing = ProofNode((), 0, np.array([1]), (ProofNode(noise[:1]),))
    assert proven_bound(program, BranchProof(cutoff, missing)) == np.inf  # half a split is no split
    wrong_row = ProofNode((), 4, np.array([1]), (ProofNode(()), ProofNode(())))
    assert proven_bound(program, BranchProof(cutoff, wrong_row)) == np.inf
    foreign = ProofNode((), 0, np.array([5]), (ProofNode(()), ProofNode(())))
    assert proven_bound(program, BranchProof(cutoff, foreign)) == np.inf
    assert proven_bound(program, BranchProof(cutoff, ProofNode((np.full(program.n_rows, np.nan),)))) == np.inf


def test_diagonals_dominate():
    rng = np.random.default_rng(0)
    for size in (3, 7):
        a = rng.normal(size=(size, size))
        matrix = sp.block_diag([a @ a.T, np.array([[2.0]])]).toarray()
        d = scaled_diagonal(matrix)
        assert np.linalg.eigvalsh(np.diag(d) - matrix)[0] >= -1e-9 * d.max()
        values, vectors = factor(matrix, d)
        np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, np.diag(d) - matrix, atol=1e-9 * d.max())


def test_tuning_tightens_the_relaxation_and_keeps_the_diagonal_dominant():
    rng = np.random.default_rng(1)
    x = rng.normal(size=12)
    design = co.Rerandomized(co.CompleteRandomization(6), co.MahalanobisBalance(x, 0.1))
    problem = co.CopulaProblem(2 * x + rng.normal(size=12), design.sample(1, n=12, seed=1)[0].astype(int), design)
    matrix = problem.objective.matrix
    first = scaled_diagonal(matrix)
    incumbent = problem.objective.value(problem.columns.missing(problem.heuristic))
    tuned = tuned_diagonal(matrix, first, lambda d: relaxation.relax(problem.columns, d), incumbent)
    assert np.linalg.eigvalsh(np.diag(tuned) - matrix)[0] >= -1e-9 * tuned.max()
    loose, tight = relaxation.relax(problem.columns, first)[0], relaxation.relax(problem.columns, tuned)[0]
    assert incumbent <= tight * (1 + 1e-9) and tight - incumbent < 0.5 * (loose - incumbent)
    assert (tuned_diagonal(matrix, first, lambda d: None, incumbent) == first).all()


@pytest.mark.parametrize("maximize", [False, True])
def test_relaxations_need_no_vertex_and_their_multipliers_prove_the_bound(maximize, monkeypatch):
    monkeypatch.setattr(relaxation, "LARGE_RELAXATION", 0)
    rng = np.random.default_rng(2)
    program = co.Program.from_arrays(
        rng.normal(size=30), sp.csr_matrix(rng.uniform(size=(8, 30))), 3.0, 5.0, 0.0, 1.0, maximize=maximize
    )
    found = relaxation.solve_relaxation(program, SolveOptions())
    vertex = get_backend("highs").solve(program, SolveOptions(), "simplex")
    assert found.objective == pytest.approx(vertex.objective, rel=1e-6)
    np.testing.assert_allclose(found.row_dual, vertex.row_dual, atol=1e-5)


def test_a_diagonal_at_the_edge_stays_where_it_is():
    singular = np.ones(2)  # D - M is zero
    cuts = np.array([[0.1, 0.1]]), np.array([0.0])
    assert (_centre(np.eye(2), *cuts, singular, 6.0, 0.1) == singular).all()
