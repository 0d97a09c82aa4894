"""From a Pyomo model to the arrays of one `Program`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.core.base.var import IndexedVar
from pyomo.core.expr.numeric_expr import DivisionExpression, NegationExpression, ProductExpression, SumExpression

from causalopt.errors import DataError, UnsupportedProblem
from causalopt.messages import argument
from causalopt.modeling.components import ArrayConstraint, ArrayVar, is_untouched, store_values
from causalopt.modeling.costs import ArrayCost, ArrayObjective
from causalopt.modeling.expressions import Columns, Representation
from causalopt.modeling.matrices import canonical
from causalopt.modeling.program import Floats, Program

_PASSIVE = {
    "Set",
    "Param",
    "Expression",
    "Suffix",
    "Block",
    "RangeSet",
    "SetOf",
    "BuildAction",
    "BuildCheck",
    "ExternalFunction",
    "Var",
    "Constraint",
    "Objective",
    "BooleanVar",
    "Reference",
}


def compile_model(model: Any, *, objective: bool = True) -> Program:
    """Compile the active part of a Pyomo model (or block) to a `Program`.

    Untouched array-backed components are concatenated as arrays; everything else goes through Pyomo's standard
    representation. Both ways give the same numbers. Fixed variables stay columns, with equal bounds.

    Parameters
    ----------
    model : pyomo.environ.ConcreteModel or Block
    objective : bool
        Whether to compile the objective; without, every cost is zero and the model need not have one.

    Returns
    -------
    Program
        Its `columns` and `rows` lead back to the model's components.

    Raises
    ------
    UnsupportedProblem
        Where the model holds what a `Program` cannot (nonlinear terms, quadratic constraints, SOS, disjunctions).
    DataError
        Where the model has no active objective, or more than one, uses a fixed variable without value, or asks a
        variable or constraint to be 1e20 or more.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> m = pyo.ConcreteModel()
    >>> m.x = pyo.Var([1, 2], bounds=(0, 1))
    >>> m.c = pyo.Constraint(expr=m.x[1] + 2 * m.x[2] <= 2)
    >>> m.o = pyo.Objective(expr=m.x[1] ** 2 + m.x[2], sense=pyo.maximize)
    >>> program = compile_model(m)
    >>> program.A.toarray()
    array([[1., 2.]])
    >>> program.problem_class
    <ProblemClass.NONCONVEX_QP: 'nonconvex QP'>
    """
    if not model.is_constructed():
        raise DataError("The model is abstract: create an instance first (model.create_instance()).")
    _refuse_unsupported(model)
    goal = _active_objective(model) if objective else None
    columns = Columns(model)
    representation = Representation(columns)
    rows = _Rows(columns, representation)
    for constraint in model.component_objects(pyo.Constraint, active=True, descend_into=True):
        if not constraint.is_reference():
            rows.add(constraint)
    cost = _Cost(columns, representation)
    if goal is not None:
        cost.add_objective(goal)
    # Only now are all columns known: a constraint may use variables that are declared elsewhere.
    lower, upper, integer = columns.arrays()
    matrix, row_lower, row_upper = rows.arrays()
    linear, quadratic = cost.arrays()
    maximize = goal is not None and goal.sense == pyo.maximize
    program = Program(
        c=linear,
        A=matrix,
        row_lower=row_lower,
        row_upper=row_upper,
        lower=lower,
        upper=upper,
        integer=integer,
        Q=quadratic,
        constant=cost.constant,
        maximize=maximize,
        convex=cost.convex(maximize=maximize),
        columns=tuple(columns.groups),
        rows=tuple(rows.groups),
    )
    program.check()
    return program.with_far_numbers_open()


def load_values(program: Program, x: Floats) -> None:
    """Write a solution back into the Pyomo variables that `program` was compiled from."""
    for variable, start, count in program.columns:
        if isinstance(variable, IndexedVar):
            store_values(variable, x[start : start + count])
        else:
            variable.set_value(float(x[start]), skip_validation=True)


def start_values(program: Program) -> Floats | None:
    """Read the values that the Pyomo variables hold now, or None unless all of them have one."""
    x = np.full(program.n_columns, np.nan)
    for variable, start, count in program.columns:
        if is_untouched(variable):
            if variable._arrays["value"] is not None:
                x[start : start + count] = variable._arrays["value"]
            made: Iterable[tuple[int, Any]] = variable._made.items()
        elif isinstance(variable, IndexedVar):
            made = enumerate(variable.values())
        else:
            made = [(0, variable)]
        for i, item in made:
            x[start + i] = np.nan if item.value is None else item.value
    return None if np.isnan(x).any() or not program.columns else x


def _refuse_unsupported(model: Any) -> None:
    for component in model.component_objects(active=True, descend_into=True):
        kind = component.ctype.__name__
        if kind not in _PASSIVE:
            raise UnsupportedProblem(
                f"{component.name} is a {kind}, which is beyond a mixed-integer quadratic program. "
                "Transform it first (for disjunctions: TransformationFactory('gdp.bigm')), "
                f"or use {argument('solver', 'pyomo:NAME')} with a solver that takes it."
            )


def _active_objective(model: Any) -> Any:
    found: list[Any] = []
    for objective in model.component_objects(pyo.Objective, active=True, descend_into=True):
        if is_untouched(objective):
            found.append(objective)
        elif not objective.is_reference():
            found += [o for o in objective.values() if o.active]
    if len(found) != 1:
        names = ", ".join(o.name for o in found) or "none"
        raise DataError(f"A model needs exactly one active objective; this one has {len(found)} ({names}).")
    return found[0]


class _Rows:
    def __init__(self, columns: Columns, representation: Representation) -> None:
        self.columns = columns
        self.representation = representation
        self.groups: list[tuple[Any, int, int]] = []
        self.count = 0
        self.parts: list[tuple[Any, Any, Any, Floats, Floats]] = []

    def add(self, constraint: Any) -> None:
        if is_untouched(constraint):
            self._add_arrays(constraint)
        else:
            self._add_ordinary(constraint)

    def _add_arrays(self, constraint: Any) -> None:
        arrays = constraint._arrays
        matrix = arrays["matrix"]
        columns = self.columns.span(arrays["x"], matrix.shape[1], constraint.name)
        indices = matrix.indices
        if not isinstance(columns, slice):
            indices = columns[indices]
        elif columns.start:
            indices = indices + indices.dtype.type(columns.start)
        self._append(constraint, matrix.indptr, indices, matrix.data, arrays["lower"], arrays["upper"])

    def _append(self, group: Any, indptr: Any, indices: Any, data: Any, lower: Floats, upper: Floats) -> None:
        size = len(lower)
        self.groups.append((group, self.count, size))
        self.parts.append((indptr, indices, data, lower, upper))
        self.count += size

    def _add_ordinary(self, constraint: Any) -> None:
        for item in constraint.values():
            if not item.active:
                continue
            try:
                lower, body, upper = item.to_bounded_expression(evaluate_bounds=True)
            except ValueError as error:
                raise DataError(str(error)) from error
            constant, linear, _ = self.representation.read(body, item.name, degree=1)
            indices = np.fromiter(linear.keys(), dtype=np.int64, count=len(linear))
            data = np.fromiter(linear.values(), dtype=float, count=len(linear))
            low = -np.inf if lower is None else lower - constant
            high = np.inf if upper is None else upper - constant
            self._append(item, np.array([0, len(linear)]), indices, data, np.array([low]), np.array([high]))

    def arrays(self) -> tuple[Any, Floats, Floats]:
        shape = (self.count, self.columns.count)
        if not self.parts:
            return sp.csr_matrix(shape), np.empty(0), np.empty(0)
        if len(self.parts) == 1:
            indptr, indices, data, lower, upper = self.parts[0]
        else:
            offsets = np.cumsum([0] + [p[0][-1] for p in self.parts])
            indptr = np.concatenate([[0], *[p[0][1:] + o for p, o in zip(self.parts, offsets, strict=False)]])
            indices, data, lower, upper = (np.concatenate([p[k] for p in self.parts]) for k in range(1, 5))
        matrix = canonical(sp.csr_matrix((data, indices, indptr), shape=shape))
        return matrix, lower.astype(float), upper.astype(float)


class _Cost:
    """The objective: array-backed costs (times numbers) as arrays, the rest by its representation."""

    def __init__(self, columns: Columns, representation: Representation) -> None:
        self.columns = columns
        self.representation = representation
        self.constant = 0.0
        self.linear: list[tuple[Any, Any]] = []
        self.quadratic: list[tuple[Any, Any, float]] = []  # columns, lower triangle over them, factor
        self.proofs: list[tuple[float, bool | None]] = []  # of each quadratic part: its factor, and whether convex

    def add_objective(self, objective: Any) -> None:
        if is_untouched(objective):
            self._add_arrays(objective, 1.0)
            return
        try:
            terms = list(_terms(objective.expr, 1.0))
        except (ValueError, ArithmeticError) as error:  # a factor without value, or a division by zero
            raise DataError(f"{objective.name}: {error}") from error
        remainder = []
        for factor, term in terms:
            if isinstance(term, ArrayCost) and is_untouched(term):
                self._add_arrays(term, factor)
            else:
                remainder.append(factor * term)
        self._add_expression(sum(remainder), objective.name)

    def _add_arrays(self, cost: ArrayObjective | ArrayCost, factor: float) -> None:
        arrays = cost._arrays
        columns = self.columns.span(arrays["x"], len(arrays["linear"]), cost.name)
        self.constant += factor * arrays["constant"]
        self.linear.append((columns, arrays["linear"] if factor == 1.0 else factor * arrays["linear"]))
        if arrays["quadratic"] is not None:
            self.quadratic.append((columns, arrays["quadratic"], factor))
            self.proofs.append((factor, arrays["convex"]))

    def _add_expression(self, expression: Any, name: str) -> None:
        constant, linear, quadratic = self.representation.read(expression, name, degree=2)
        self.constant += constant
        self.linear.append((np.array(list(linear), dtype=np.int64), np.array(list(linear.values()), dtype=float)))
        if quadratic:
            i, j = np.array(list(quadratic), dtype=np.int64).T
            values = np.array(list(quadratic.values()), dtype=float)
            values[i == j] *= 2.0  # the program's cost is x'Qx/2
            columns, positions = np.unique(np.concatenate([i, j]), return_inverse=True)
            first, second = np.split(positions, 2)
            shape = (len(columns), len(columns))
            matrix = sp.csc_matrix((values, (np.maximum(first, second), np.minimum(first, second))), shape=shape)
            self.quadratic.append((columns, matrix, 1.0))
            self.proofs.append((1.0, None))

    def arrays(self) -> tuple[Floats, Any]:
        n = self.columns.count
        linear = np.zeros(n)
        for columns, values in self.linear:
            linear[columns] += values  # columns of one part are distinct
        if not self.quadratic:
            return linear, None
        columns, matrix, factor = self.quadratic[0]
        if len(self.quadratic) == 1 and isinstance(columns, slice) and columns == slice(0, n):
            lower_triangle = matrix * factor
        else:
            parts = [self._coordinates(*part) for part in self.quadratic]
            i, j, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            lower_triangle = sp.csc_matrix((values, (np.maximum(i, j), np.minimum(i, j))), shape=(n, n))
        lower_triangle.eliminate_zeros()
        return linear, lower_triangle if lower_triangle.nnz else None

    def _coordinates(self, columns: Any, matrix: Any, factor: float) -> tuple[Any, Any, Floats]:
        if isinstance(columns, slice):
            columns = np.arange(columns.start, columns.stop)
        entries = matrix.tocoo()
        return columns[entries.row], columns[entries.col], factor * entries.data

    def convex(self, maximize: bool) -> bool | None:
        if not self.proofs or any(proof is None for _, proof in self.proofs):
            return None
        sign = -1.0 if maximize else 1.0
        if all(proof and sign * factor >= 0 for factor, proof in self.proofs):
            return True
        return None


def _terms(expression: Any, factor: float) -> Iterable[tuple[float, Any]]:
    """Split an expression into (number, term) along its sums, negations and multiplications by numbers."""
    kind = expression.__class__
    if isinstance(expression, SumExpression) and any(_holds_cost(a) for a in expression.args):
        for argument in expression.args:
            yield from _terms(argument, factor)
    elif kind is NegationExpression:
        yield from _terms(expression.args[0], -factor)
    elif kind is ProductExpression and not _is_variable(expression.args[0]):
        yield from _terms(expression.args[1], factor * pyo.value(expression.args[0]))
    elif kind is ProductExpression and not _is_variable(expression.args[1]):
        yield from _terms(expression.args[0], factor * pyo.value(expression.args[1]))
    elif kind is DivisionExpression and not _is_variable(expression.args[1]):
        yield from _terms(expression.args[0], factor / pyo.value(expression.args[1]))
    elif isinstance(expression, ArrayCost) or not getattr(expression, "is_named_expression_type", bool)():
        yield factor, expression
    else:  # a named expression: look inside
        inner = expression.expr
        yield from [(factor, inner)] if not _holds_cost(inner) else _terms(inner, factor)


def _is_variable(argument: Any) -> bool:
    return bool(getattr(argument, "is_potentially_variable", bool)())


def _holds_cost(expression: Any) -> bool:
    """Whether an untouched cost is reachable along sums, negations, products and named expressions."""
    if isinstance(expression, ArrayCost):
        return is_untouched(expression)
    if isinstance(expression, SumExpression | NegationExpression | ProductExpression | DivisionExpression):
        return any(_holds_cost(a) for a in expression.args)
    if getattr(expression, "is_named_expression_type", bool)():
        return _holds_cost(expression.expr)
    return False


__all__ = ["ArrayConstraint", "ArrayCost", "ArrayObjective", "ArrayVar", "compile_model", "load_values", "start_values"]
