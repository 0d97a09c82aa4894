import numpy as np
import pytest

from causalopt.algorithms.rank import Span, dependent_rows, with_products


def rows_with_dependent_ones(seed, m=40, r=300):
    """Return rows of very different lengths, and which of them are combinations of earlier ones."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(m, r))
    dependent = np.sort(rng.choice(np.arange(3, m), 12, replace=False))
    for p in dependent:
        others = rng.choice(p, 3, replace=False)
        rows[p] = rng.normal(size=3) @ rows[others]
    return rows * 10.0 ** rng.integers(-3, 4, size=(m, 1)), dependent


@pytest.mark.parametrize("seed", range(5))
def test_the_first_of_rows_that_say_the_same_stay(seed):
    rows, dependent = rows_with_dependent_ones(seed)
    assert dependent_rows(rows @ rows.T).tolist() == dependent.tolist()
    span = Span(rows.shape[1])
    assert [p for p, row in enumerate(rows) if not span.add(row)] == dependent.tolist()
    assert span.size == np.linalg.matrix_rank(rows / np.linalg.norm(rows, axis=1)[:, None])


@pytest.mark.parametrize("seed", range(5))
def test_coefficients_give_the_row_back(seed):
    rows, dependent = rows_with_dependent_ones(seed)
    seen = []

    def follows(p, kept, coefficients):
        left = rows[p] - coefficients @ rows[kept]
        assert np.linalg.norm(left) <= 1e-9 * np.linalg.norm(rows[p])
        seen.append(p)
        return True

    assert dependent_rows(rows @ rows.T, follows).tolist() == dependent.tolist() == seen


def test_a_row_that_does_not_follow_is_kept_and_others_may_follow_from_it():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2, 50))
    near = rows[0] + 1e-5 * rows[1]
    rows = np.array([rows[0], near, near])
    gram = rows @ rows.T
    assert dependent_rows(gram).tolist() == [1, 2]

    def follows(p, kept, coefficients):
        return np.linalg.norm(rows[p] - coefficients @ rows[kept]) <= 1e-9 * np.linalg.norm(rows[p])

    assert dependent_rows(gram, follows).tolist() == [2]


def test_rows_that_are_known_are_not_asked_for_and_rows_of_zeros_follow_from_nothing():
    rows = np.array([[1.0, 0.0], [0.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    asked = []
    assert dependent_rows(rows @ rows.T, lambda p, *_: asked.append(p) or True, known=1).tolist() == [1, 2]
    assert asked == [1, 2]


def test_vectors_with_given_inner_products():
    rows = np.random.default_rng(1).normal(size=(6, 3))
    vectors = with_products(rows @ rows.T)
    assert vectors.shape == (6, 3)
    np.testing.assert_allclose(vectors @ vectors.T, rows @ rows.T, atol=1e-12)


def test_what_is_in_a_span():
    span = Span(4)
    assert span.holds(np.zeros(4)) and not span.holds(np.ones(4))
    for k in range(3):
        assert span.add(np.eye(4)[k] + np.ones(4))
    assert span.holds(np.array([1.0, -1.0, 0.0, 0.0])) and not span.holds(np.eye(4)[3])
    left = span.residual(np.eye(4)[3])
    assert np.abs([left @ (np.eye(4)[k] + 1) for k in range(3)]).max() < 1e-15
