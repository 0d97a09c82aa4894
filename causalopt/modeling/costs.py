"""Objectives and expressions of Pyomo that are arrays until somebody looks at them.

Untouched, a cost is its arrays; once touched, it is an ordinary Pyomo objective or expression, as with the components
of `causalopt.modeling.components`. What is read first here is not a dictionary of data but the expression, `_args_`.
"""

# mypy: ignore-errors
# Members are grafted onto subclasses of untyped Pyomo classes, which no checker can follow.

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.common.enums import ObjectiveSense
from pyomo.common.gc_manager import PauseGC
from pyomo.core.base.expression import ScalarExpression
from pyomo.core.base.objective import ObjectiveData, ScalarObjective
from pyomo.core.expr import LinearExpression

from causalopt.modeling.components import Untouched, array_backed, column_variables, elements, graft, vector
from causalopt.modeling.matrices import lower_triangle

C = TypeVar("C", bound=type)


class _LazyExpression:
    """What `ArrayObjective` and `ArrayCost` share: `_args_`, the expression, is made on its first read."""

    __slots__ = ()

    def construct(self, data: Any = None) -> None:
        """Mark the component as constructed; there is nothing to build."""
        self._constructed = True

    def __len__(self) -> int:
        return 1

    @property
    def _args_(self) -> Any:
        if "_made" not in self.__dict__:
            return (None,)
        self._touch()
        return self._args_

    @_args_.setter
    def _args_(self, value: Any) -> None:
        if "_made" in self.__dict__:
            self._become({None: self})
            self._args_ = value

    def _become(self, data: Any) -> None:
        Untouched._become(self, data)  # type: ignore[arg-type]
        self._args_ = (None,)  # the slot is empty while untouched

    def _touch(self) -> None:
        arrays = self._arrays
        with PauseGC():
            linear = arrays["linear"]
            variables = elements(arrays["x"], len(linear), self.name)
            nonzero = np.flatnonzero(linear).tolist()
            expression = LinearExpression(
                constant=arrays["constant"],
                linear_coefs=linear[nonzero].tolist(),
                linear_vars=[variables[j] for j in nonzero],
            )
            if arrays["quadratic"] is not None:
                q = arrays["quadratic"].tocoo()
                terms = zip(q.row.tolist(), q.col.tolist(), q.data.tolist(), strict=True)
                expression = expression + pyo.quicksum(
                    0.5 * a * variables[i] ** 2 if i == j else a * variables[i] * variables[j] for i, j, a in terms
                )
        self._become({None: self})
        self.set_value(expression)

    def __getstate__(self) -> Any:  # the slot _args_ is empty while untouched
        slots = self.__auto_slots__
        state = [None if name == "_args_" else getattr(self, name) for name in slots.slots]
        for i, mapper in slots.slot_mappers.items():
            state[i] = mapper(True, state[i])
        fields = dict(self.__dict__)
        for key, mapper in slots.field_mappers.items():
            if key in fields:
                fields[key] = mapper(True, fields[key])
        return [*state, fields]


def _lazy_expression(cls: C) -> C:
    graft(cls, _LazyExpression)
    return cls


def _cost_arrays(x: Any, linear: npt.ArrayLike, quadratic: Any, constant: float, convex: bool | None) -> dict[str, Any]:
    variables = column_variables(x)
    n = sum(len(variable) for variable in variables)
    if quadratic is not None and not sp.issparse(quadratic) and np.ndim(quadratic) == 1:
        diagonal = vector(quadratic, n, "quadratic")
        quadratic = sp.csc_matrix((diagonal, np.arange(n, dtype=np.int32), np.arange(n + 1, dtype=np.int32)))
    elif quadratic is not None:
        quadratic = lower_triangle(quadratic, n, "quadratic")
    return {
        "x": variables,
        "linear": vector(linear, n, "linear"),
        "quadratic": quadratic,
        "constant": float(constant),
        "convex": convex,
    }


@array_backed
@_lazy_expression
class ArrayObjective(ScalarObjective):
    """The objective `x'Qx/2 + c'x + k`, held as arrays.

    Parameters
    ----------
    x : ArrayVar or sequence of ArrayVar
    linear : float or (n,) array
        c, over the concatenation of the variables.
    quadratic : (n, n) symmetric sparse matrix or (n,) array, optional
        Q in full (both triangles), or its diagonal where it is diagonal.
    constant : float
    sense : pyomo.environ.minimize or pyomo.environ.maximize
    convex : bool, optional
        True where the caller has proved Q positive semidefinite, False where it is known not to be; None has it
        checked at compilation.
    **kwargs
        Passed on to Pyomo (`name`, `doc`).

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> from causalopt.modeling.components import ArrayVar
    >>> m = pyo.ConcreteModel()
    >>> m.x = ArrayVar(0.0, 1.0, n=2)
    >>> m.cost = ArrayObjective(m.x, [1.0, 2.0], sense=pyo.maximize)
    >>> print(m.cost.expr)
    x[0] + 2.0*x[1]
    """

    _ordinary = ScalarObjective

    def __init__(
        self,
        x: Any,
        linear: npt.ArrayLike = 0.0,
        quadratic: Any = None,
        constant: float = 0.0,
        *,
        sense: Any = pyo.minimize,
        convex: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(sense=sense, **kwargs)
        self._arrays = _cost_arrays(x, linear, quadratic, constant, convex)
        self._sense = ObjectiveSense(sense)
        self._made: dict[Any, Any] = {}

    @property
    def sense(self) -> Any:
        """Whether the objective is minimised or maximised."""
        return ObjectiveData.sense.fget(self)

    @sense.setter
    def sense(self, sense: Any) -> None:
        ObjectiveData.set_sense(self, sense)

    def set_sense(self, sense: Any) -> None:
        """Set whether the objective is minimised or maximised.

        Parameters
        ----------
        sense : pyomo ObjectiveSense
            `pyo.minimize` or `pyo.maximize`.
        """
        ObjectiveData.set_sense(self, sense)


@array_backed
@_lazy_expression
class ArrayCost(ScalarExpression):
    """The expression `x'Qx/2 + c'x + k`, held as arrays, for use in the caller's own objective.

    `compile_model` recognises it there (also added to other terms and multiplied by numbers) without touching it.

    Parameters
    ----------
    x : ArrayVar or sequence of ArrayVar
    linear : float or (n,) array
        c, over the concatenation of the variables.
    quadratic : (n, n) symmetric sparse matrix or (n,) array, optional
        Q in full (both triangles), or its diagonal where it is diagonal.
    constant : float
    convex : bool, optional
        What the caller has proved of Q; None has it checked at compilation.
    **kwargs
        Passed on to Pyomo (`name`, `doc`).

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> from causalopt.modeling.components import ArrayVar
    >>> m = pyo.ConcreteModel()
    >>> m.x = ArrayVar(0.0, 1.0, n=2)
    >>> m.cost = ArrayCost(m.x, [1.0, 2.0])
    >>> m.total = pyo.Objective(expr=3 * m.cost + m.x[0])
    """

    _ordinary = ScalarExpression

    def __init__(
        self,
        x: Any,
        linear: npt.ArrayLike = 0.0,
        quadratic: Any = None,
        constant: float = 0.0,
        *,
        convex: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._arrays = _cost_arrays(x, linear, quadratic, constant, convex)
        self._made: dict[Any, Any] = {}
