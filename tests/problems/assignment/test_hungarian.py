import numpy as np
import pytest

from causalopt.errors import UnsupportedProblem
from causalopt.problems.assignment import hungarian, network_simplex
from causalopt.problems.assignment.hungarian import Assignment


def random_assignment(seed, count):
    rng = np.random.default_rng(seed)
    r, c = rng.integers(1, 12, 2)
    allowed = rng.random((r, c)) < rng.choice([0.3, 0.7, 1.0])
    i, j = np.nonzero(allowed)
    cost = rng.integers(-5, 10, len(i)).astype(float) if seed % 2 else rng.normal(size=len(i))
    return Assignment(int(r), int(c), i, j, cost, count if count in (-1, None) else int(min(r, c) * count))


def total(problem, used):
    return problem.cost[used].sum()


@pytest.mark.parametrize("count", [-1, None, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(40))
def test_dense_sparse_and_flow_agree_with_networkx(seed, count, monkeypatch):
    problem = random_assignment(seed, count)
    reference = network_simplex.solve(problem).used
    answers = [hungarian.solve(problem).used]
    monkeypatch.setattr(hungarian, "_is_dense", lambda piece: False)
    monkeypatch.setattr(hungarian, "DENSE_ENOUGH", 2.0)
    answers.append(hungarian.solve(problem).used)
    for used in answers:
        assert (used is None) == (reference is None)
        if used is not None:
            assert total(problem, used) == pytest.approx(total(problem, reference), abs=1e-8)
            assert len(set(problem.i[used])) == len(set(problem.j[used])) == len(used)


@pytest.mark.parametrize("count", [-1, None, 0.5])
@pytest.mark.parametrize("seed", range(40))
def test_potentials_prove_the_answer_and_only_the_answer(seed, count):
    problem = random_assignment(seed, count)
    used = hungarian.solve(problem).used
    if used is None:
        return
    proof = hungarian.potentials(problem, used)
    slack = problem.cost - proof.row[problem.i] - proof.column[problem.j] - proof.count
    assert slack.min(initial=0.0) >= -1e-9
    bound = proof.row.sum() + proof.column.sum() + proof.count * len(used)
    assert bound == pytest.approx(total(problem, used), abs=1e-9)
    if count != -1 or problem.n_columns > problem.n_rows:
        assert proof.column.max(initial=0.0) <= 0
    turned = Assignment(problem.n_rows, problem.n_columns, problem.i, problem.j, -problem.cost, problem.count)
    dearest = hungarian.solve(turned).used
    if total(problem, dearest) > total(problem, used) + 1e-6:
        assert hungarian.potentials(problem, dearest) is None


def test_stored_zeros_are_costs():
    problem = Assignment(120, 120, *np.nonzero(np.eye(120)), np.zeros(120), -1)
    assert not hungarian._is_dense(problem)
    assert len(hungarian.solve(problem).used) == 120
    chain = np.eye(120, dtype=bool) | np.eye(120, k=1, dtype=bool)
    i, j = np.nonzero(chain)
    answer = hungarian.solve(Assignment(120, 120, i, j, np.zeros(len(i)), -1))
    assert answer.method == "sparse" and len(answer.used) == 120


def test_networkx_refuses_what_would_take_minutes(monkeypatch):
    monkeypatch.setattr(network_simplex, "MOST_PAIRS", 10)
    with pytest.raises(UnsupportedProblem, match="up to 10 pairs; these are 16"):
        network_simplex.solve(Assignment(4, 4, *np.nonzero(np.ones((4, 4))), np.ones(16), -1))
