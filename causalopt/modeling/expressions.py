"""Ordinary Pyomo variables and expressions as columns and coefficients of a program."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.common.collections import ComponentMap
from pyomo.core.base.var import IndexedVar, ScalarVar
from pyomo.repn.quadratic import QuadraticRepnVisitor

from causalopt.errors import DataError, UnsupportedProblem
from causalopt.messages import argument
from causalopt.modeling.components import check_columns, is_untouched
from causalopt.modeling.program import Floats


class Columns:
    """The columns of the program: first those declared on the model, then others as expressions mention them."""

    def __init__(self, model: Any) -> None:
        self.groups: list[tuple[Any, int, int]] = []
        self.count = 0
        self._start: ComponentMap = ComponentMap()
        self.position: dict[int, int] = {}  # id of an element -> its column
        self.var_map: dict[int, Any] = {}  # id of an element -> the element
        for variable in model.component_objects(pyo.Var, active=True, descend_into=True):
            if not variable.is_reference():
                self.start(variable)

    def start(self, variable: Any) -> int:
        """Return the first column of a variable component, which is added if it is new."""
        if variable in self._start:
            return int(self._start[variable])
        start = self.count
        self._start[variable] = start
        self._place(variable, start)
        size = len(variable)
        if isinstance(variable, IndexedVar | ScalarVar):
            self.groups.append((variable, start, size))
        self.count += size
        return start

    def _place(self, variable: Any, start: int) -> None:
        items = variable._made.items() if is_untouched(variable) else enumerate(variable.values())
        for i, item in items:
            self.position[id(item)] = start + i
            self.var_map[id(item)] = item

    def span(self, variables: Any, n: int, name: str) -> Any:
        """Return the columns of the concatenation of `n` array variables: a slice where they are consecutive."""
        check_columns(variables, n, name)
        starts = [(self.start(v), len(v)) for v in variables]
        first, last = starts[0][0], starts[-1][0] + starts[-1][1]
        if all(a[0] + a[1] == b[0] for a, b in pairwise(starts)):
            return slice(first, last)
        return np.concatenate([np.arange(s, s + n) for s, n in starts])

    def of(self, item: Any) -> int:
        """Return the column of one variable element; an element declared elsewhere brings its whole component."""
        column = self.position.get(id(item))
        if column is None:
            variable = item.parent_component()
            # The component may be known already: an array-backed cost in a constraint is touched as it is read.
            self._place(variable, self.start(variable))
            column = self.position[id(item)]
        return column

    def arrays(self) -> tuple[Floats, Floats, Any]:
        """Return lower and upper bounds of the columns, and which are integer."""
        lower, upper = np.empty(self.count), np.empty(self.count)
        integer = np.zeros(self.count, dtype=bool)
        for variable, start, size in self.groups:
            if is_untouched(variable):
                part = slice(start, start + size)
                arrays = variable._arrays
                lower[part], upper[part], integer[part] = arrays["lower"], arrays["upper"], arrays["integer"]
                items = variable._made.items()
            else:
                items = enumerate(variable.values())
            for i, item in items:
                column = start + i
                if item.fixed:
                    if item.value is None:
                        raise DataError(f"{item.name} is fixed, but has no value.")
                    lower[column] = upper[column] = item.value
                else:
                    low, high = item.bounds
                    lower[column] = -np.inf if low is None else low
                    upper[column] = np.inf if high is None else high
                integer[column] = item.is_integer()
                if not (item.is_integer() or item.is_continuous()):
                    raise UnsupportedProblem(
                        f"{item.name} has domain {item.domain}; only continuous and integer domains can be compiled."
                    )
        return lower, upper, integer


class Representation:
    """Linear and quadratic coefficients of ordinary Pyomo expressions, by column."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.visitor = self._visitor(columns.var_map)
        self.visitor.record_monomial = self._record_fixed_too

    def _visitor(self, known: dict[int, Any]) -> QuadraticRepnVisitor:
        return QuadraticRepnVisitor({}, var_recorder=_Recorder(self.columns, known))

    def _record_fixed_too(self, visitor: Any, result: Any, coefficient: Any, item: Any) -> None:
        # Pyomo takes a fixed variable for a constant unless the visitor knows it already.
        self.columns.of(item)
        visitor.before_child_dispatcher.record_monomial(visitor, result, coefficient, item)

    def read(
        self, expression: Any, name: str, degree: int
    ) -> tuple[float, dict[int, float], dict[tuple[int, int], float]]:
        """Return the constant, the linear and the quadratic coefficients of an expression of at most this degree."""
        try:
            return self._read(expression, name, degree)
        except ValueError as error:  # what Pyomo raises for a missing value, NaN, or a division by zero
            raise DataError(f"{name}: {error}") from error

    def _read(
        self, expression: Any, name: str, degree: int
    ) -> tuple[float, dict[int, float], dict[tuple[int, int], float]]:
        visitor = self.visitor
        repn = visitor.walk_expression(expression)
        if _degree(repn) > degree:  # a product with a fixed variable is of lower degree than it looks
            visitor = self._visitor({})
            repn = visitor.walk_expression(expression)
        if _degree(repn) > degree:
            what = "a nonlinear term" if repn.nonlinear is not None else "a quadratic term"
            where = "a constraint" if degree == 1 else "the objective"
            raise UnsupportedProblem(
                f"{name} holds {what}, which {where} of a quadratic program cannot have. "
                f"Use {argument('solver', 'pyomo:NAME')} with a solver that takes it."
            )
        of, var_map = self.columns.of, visitor.var_map
        linear = {of(var_map[i]): float(a) for i, a in repn.linear.items()}
        quadratic = {(of(var_map[i]), of(var_map[j])): float(a) for (i, j), a in (repn.quadratic or {}).items()}
        constant = float(repn.constant)
        if not all(map(isfinite, (constant, *linear.values(), *quadratic.values()))):
            raise ValueError(f"{self._not_finite(constant, linear, quadratic)}; it must be finite.")
        return constant, linear, quadratic

    def _not_finite(self, constant: float, linear: dict[int, float], quadratic: dict[tuple[int, int], float]) -> str:
        names = {column: self.columns.var_map[i].name for i, column in self.columns.position.items()}
        terms = {names[j]: a for j, a in linear.items()}
        terms |= {f"{names[i]}*{names[j]}": a for (i, j), a in quadratic.items()}
        bad = next((f"the coefficient of {term} is {a:g}" for term, a in terms.items() if not isfinite(a)), "")
        return bad or f"the constant is {constant:g}"


class _Recorder:
    """The variables that a visitor knows, ordered by their columns."""

    def __init__(self, columns: Columns, known: dict[int, Any]) -> None:
        self.columns = columns
        self.var_map = known
        self.var_order = columns.position

    def add(self, item: Any) -> None:
        """Make a variable known."""
        self.columns.of(item)
        self.var_map[id(item)] = item


def _degree(repn: Any) -> int:
    return 3 if repn.nonlinear is not None else 2 if repn.quadratic else 1
