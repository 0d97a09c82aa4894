"""A plain Pyomo model and its array-backed twin, and how the tests compare what the two give."""

from __future__ import annotations

import io
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import highspy
import numpy as np
import pyomo.environ as pyo
import pytest
import scipy.sparse as sp
from pyomo.contrib.solver.common.factory import SolverFactory
from pyomo.core.expr.visitor import identify_variables

from causalopt.modeling.components import ArrayConstraint, ArrayVar
from causalopt.modeling.costs import ArrayObjective

# An assignment problem of 4 x 4 with three side constraints: one ranged, one from above, one from below.
SIDE = 4
N = SIDE * SIDE
COST = np.random.default_rng(7).uniform(size=N).round(6)
CONSTANT = 0.75


def _matrix() -> Any:
    cells = np.arange(N)
    rows = np.concatenate([cells // SIDE, SIDE + cells % SIDE])
    assignment = sp.csr_matrix((np.ones(2 * N), (rows, np.concatenate([cells, cells]))), shape=(2 * SIDE, N))
    side = np.zeros((3, N))
    side[0, :5] = [1.0, 2.0, 0.5, 1.0, 3.0]
    side[1, [0, 5, 10, 15]] = 1.0
    side[2, 6:9] = [1.5, -1.0, 2.0]
    return sp.vstack([assignment, sp.csr_matrix(side)], format="csr")


A = _matrix()
M = A.shape[0]
ROW_LOWER = np.concatenate([np.ones(2 * SIDE), [0.25, -np.inf, 0.1]])
ROW_UPPER = np.concatenate([np.ones(2 * SIDE), [5.0, 3.5, np.inf]])
Q = sp.lil_matrix((N, N))
Q.setdiag(np.linspace(0.1, 0.4, N))
Q[0, 5] = Q[5, 0] = 0.05
Q[2, 7] = Q[7, 2] = -0.1
Q = Q.tocsr()


def plain(*, quadratic: bool = True, integer: bool = False) -> Any:
    """Build the model element by element."""
    m = pyo.ConcreteModel(name="twin")
    m.x = pyo.Var(pyo.RangeSet(0, N - 1), bounds=(0, 1), domain=pyo.Binary if integer else pyo.Reals)
    m.c = pyo.Constraint(pyo.RangeSet(0, M - 1), rule={i: _row(m, i) for i in range(M)})
    cost = pyo.quicksum(COST[j] * m.x[j] for j in range(N)) + CONSTANT
    if quadratic:
        lower = sp.tril(Q, format="csc").tocoo()
        terms = zip(lower.row.tolist(), lower.col.tolist(), lower.data.tolist(), strict=True)
        cost += pyo.quicksum(0.5 * q * m.x[i] ** 2 if i == j else q * m.x[i] * m.x[j] for i, j, q in terms)
    m.o = pyo.Objective(expr=cost)
    return m


def _row(m: Any, i: int) -> Any:
    entries = slice(A.indptr[i], A.indptr[i + 1])
    body = sum(a * m.x[j] for a, j in zip(A.data[entries].tolist(), A.indices[entries].tolist(), strict=True))
    bounds = [None if np.isinf(b) else float(b) for b in (ROW_LOWER[i], ROW_UPPER[i])]
    return body == bounds[0] if bounds[0] == bounds[1] else (bounds[0], body, bounds[1])


def arrays(*, quadratic: bool = True, integer: bool = False) -> Any:
    """Build the model from arrays."""
    m = pyo.ConcreteModel(name="twin")
    m.x = ArrayVar(0.0, 1.0, integer=integer, n=N)
    m.c = ArrayConstraint(m.x, A, ROW_LOWER, ROW_UPPER)
    m.o = ArrayObjective(m.x, COST, Q if quadratic else None, CONSTANT)
    return m


def assert_same(actual: Any, expected: Any, tolerance: float = 1e-6) -> None:
    """Compare nested results, floats up to a tolerance."""
    if isinstance(expected, Mapping):
        assert list(actual) == list(expected)
        assert_same(list(actual.values()), list(expected.values()), tolerance)
    elif isinstance(expected, list | tuple):
        assert len(actual) == len(expected), (actual, expected)
        for a, b in zip(actual, expected, strict=True):
            assert_same(a, b, tolerance)
    elif isinstance(expected, int | float) and not isinstance(expected, bool):
        assert not isinstance(actual, bool)
        assert actual == pytest.approx(expected, rel=tolerance, abs=tolerance)
    else:
        assert type(actual) is type(expected), (actual, expected)
        assert actual == expected


def values(m: Any) -> list[float]:
    """Return the values of `m.x` with so few digits that two solves of one strictly convex model agree."""
    return [round(v.value, 4) + 0.0 for v in m.x.values()]


def solve(m: Any, name: str = "highs") -> tuple[float, float]:
    """Solve by one of Pyomo's interfaces and return the objective, as reported and as recomputed."""
    result = SolverFactory(name).solve(m)
    objective = next(m.component_data_objects(pyo.Objective, active=True))
    return float(result.incumbent_objective), float(pyo.value(objective))


def solve_legacy(m: Any, name: str) -> float:
    """Solve by one of Pyomo's older interfaces."""
    pyo.SolverFactory(name).solve(m)
    return float(pyo.value(next(m.component_data_objects(pyo.Objective, active=True))))


def written(m: Any, extension: str) -> str:
    """Return the file that Pyomo writes of a model."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"model{extension}"
        m.write(str(path), io_options={} if extension == ".nl" else {"symbolic_solver_labels": True})
        return path.read_text()


def tokens(text: str) -> list[list[Any]]:
    """Split a file into lines of numbers and words."""
    return [[_number(word) for word in line.split("#")[0].split()] for line in text.splitlines()]


def _number(word: str) -> Any:
    try:
        return float(word)
    except ValueError:
        return word


def program_in(text: str, extension: str) -> dict[str, Any]:
    """Read an LP or MPS file with HiGHS and return the program by the names of its rows and columns."""
    highs = highspy.Highs()
    highs.silent()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"model{extension}"
        path.write_text(text)
        assert highs.readModel(str(path)) == highspy.HighsStatus.kOk
    lp, hessian = highs.getLp(), highs.getModel().hessian_
    n, m = lp.num_col_, lp.num_row_
    columns, rows = list(lp.col_names_), list(lp.row_names_)
    matrix = sp.csc_matrix((lp.a_matrix_.value_, lp.a_matrix_.index_, lp.a_matrix_.start_), shape=(m, n)).tocoo()
    q = sp.csc_matrix((n, n))
    if hessian.dim_:
        q = sp.csc_matrix((hessian.value_, hessian.index_, hessian.start_), shape=(n, n))
    q = q.tocoo()
    kinds = [str(kind) for kind in lp.integrality_] or ["continuous"] * n

    def entries(coo: Any, names: Callable[[int, int], tuple[str, str]]) -> dict[tuple[str, str], float]:
        found = zip(coo.row, coo.col, coo.data, strict=True)
        return dict(sorted((names(i, j), float(a)) for i, j, a in found if a != 0))

    return {
        "sense": str(lp.sense_),
        "offset": float(lp.offset_),
        "columns": dict(
            sorted(zip(columns, zip(lp.col_cost_, lp.col_lower_, lp.col_upper_, kinds, strict=True), strict=True))
        ),
        "rows": dict(sorted(zip(rows, zip(lp.row_lower_, lp.row_upper_, strict=True), strict=True))),
        "matrix": entries(matrix, lambda i, j: (rows[i], columns[j])),
        "hessian": entries(q, lambda i, j: tuple(sorted((columns[i], columns[j])))),
    }


def names(data: Iterable[Any]) -> list[str]:
    """Return the names of Pyomo data objects."""
    return [item.name for item in data]


def printed(write: Callable[..., Any], **kwargs: Any) -> list[list[Any]]:
    """Return what `write(ostream=...)` prints, as lines of numbers and words."""
    stream = io.StringIO()
    write(ostream=stream, **kwargs)
    return tokens(stream.getvalue())


def linear_terms(expression: Any) -> dict[str, float]:
    """Return the coefficients of a linear expression, by name, read off at unit points."""
    found = list(identify_variables(expression))
    saved = [v.value for v in found]
    for v in found:
        v.set_value(0.0, skip_validation=True)
    constant = float(pyo.value(expression))
    terms = {"": constant}
    for v in found:
        v.set_value(1.0, skip_validation=True)
        terms[v.name] = float(pyo.value(expression)) - constant
        v.set_value(0.0, skip_validation=True)
    for v, value in zip(found, saved, strict=True):
        v.set_value(value, skip_validation=True)
    return dict(sorted(terms.items()))
