"""Pyomo components that are arrays until somebody looks at them.

Building a model of 360,000 variables through Pyomo expressions takes seconds; these components take milliseconds,
because they hold NumPy and SciPy arrays and make Pyomo's own data objects only when asked for them. The rule that
keeps this correct: *untouched, a component is its arrays; once touched, it is an ordinary Pyomo component.*

The mechanism is one class property. Every operation of an indexed Pyomo component goes through its dictionary
`_data`. On an untouched component `_data` is a property whose first read fills the dictionary and changes the
object's class to the ordinary Pyomo class. No iterator, and no other operation, is overridden.

Single elements of an `ArrayVar` (`m.x[3]`) are made without touching the rest; whatever is done to them (bounds,
fixing, values) is overlaid on the arrays when the model is compiled.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.common.gc_manager import PauseGC
from pyomo.core.base.constraint import ConstraintData, IndexedConstraint
from pyomo.core.base.var import IndexedVar, VarData
from pyomo.core.expr import LinearExpression
from pyomo.core.staleflag import StaleFlagManager

from causalopt.errors import DataError
from causalopt.modeling.matrices import canonical

Floats = npt.NDArray[np.float64]
C = TypeVar("C", bound=type)


def vector(values: npt.ArrayLike, n: int, what: str) -> Floats:
    """Read `values` as n floats, a scalar standing for n equal ones, without copying an array that fits."""
    array = np.asarray(values, dtype=float)
    if array.ndim == 0:
        array = np.full(n, array)
    if array.shape != (n,):
        raise DataError(f"{what} has shape {array.shape}; {n} values are needed.")
    if np.isnan(array).any():
        raise DataError(f"{what} holds NaN at position {int(np.flatnonzero(np.isnan(array))[0])}.")
    return array


def _refuse_nan(matrix: Any, what: str) -> None:
    if np.isnan(matrix.data).any():
        entries = matrix.tocoo()
        first = int(np.flatnonzero(np.isnan(entries.data))[0])
        raise DataError(f"{what} holds NaN in row {entries.row[first]}, column {entries.col[first]}.")


class Untouched:
    """What every array-backed component shares.

    It is grafted on by `array_backed`, since a mixin base before a Pyomo class would forbid the change of class.
    """

    _ordinary: type
    __slots__ = ()

    @property
    def _data(self) -> Any:
        self._touch()
        return self._data

    @_data.setter
    def _data(self, value: Any) -> None:  # reached from __init__ (nothing made yet) and from clear()
        if "_made" in self.__dict__:
            self._become(value)

    def _become(self, data: Any) -> None:
        fields = self.__dict__
        self.__class__ = self._ordinary  # type: ignore[assignment]
        for key in ("_arrays", "_made"):
            fields.pop(key, None)
        fields["_data"] = data

    def is_reference(self) -> bool:
        """Return False: it refers to no other component."""
        return False

    def _create_objects_for_deepcopy(self, memo: dict[int, Any], component_list: list[Any]) -> Any:
        new = self.__class__.__new__(self.__class__)
        answer = memo.setdefault(id(self), new)
        if answer is new:
            component_list.append((self, new))
            made: dict[Any, Any] = {}
            memo[id(self._made)] = made
            for index, item in self._made.items():
                made[index] = item._create_objects_for_deepcopy(memo, component_list)
        return answer

    def __len__(self) -> int:
        return len(self._index_set)

    def __contains__(self, index: Any) -> bool:
        return index in self._index_set


def graft(cls: Any, source: type) -> None:
    """Copy the members of `source` that `cls` does not define itself."""
    for name, member in vars(source).items():
        if name not in vars(cls) and (not name.startswith("__") or name in {"__len__", "__contains__", "__getstate__"}):
            setattr(cls, name, member)


def array_backed(cls: C) -> C:
    """Make a Pyomo component class an array-backed one; `_ordinary` says what it becomes when it is touched."""
    graft(cls, Untouched)
    return cls


def is_untouched(component: Any) -> bool:
    """Whether `component` is array-backed and still nothing but its arrays (and single elements made from them)."""
    return "_made" in getattr(component, "__dict__", ())


@array_backed
class ArrayVar(IndexedVar):
    """`n` Pyomo variables, indexed 0..n-1, held as arrays.

    Parameters
    ----------
    lower, upper : float or (n,) array
        Bounds; use infinities for none. At least one of them, or `n`, tells how many variables there are.
    integer : bool or (n,) bool array
        Which variables are integer.
    n : int, optional
        The number of variables where both bounds are scalars.
    initial : (n,) array, optional
        Starting values.
    **kwargs
        Passed on to Pyomo (`name`, `doc`).

    Examples
    --------
    >>> import numpy as np, pyomo.environ as pyo
    >>> m = pyo.ConcreteModel()
    >>> m.x = ArrayVar(np.zeros(3), 1.0)
    >>> len(m.x), m.x[2].bounds
    (3, (0.0, 1.0))
    """

    _ordinary = IndexedVar

    def __init__(
        self,
        lower: npt.ArrayLike = -np.inf,
        upper: npt.ArrayLike = np.inf,
        *,
        integer: npt.ArrayLike = False,
        n: int | None = None,
        initial: npt.ArrayLike | None = None,
        **kwargs: Any,
    ) -> None:
        if n is None:
            sizes = [np.size(a) for a in (lower, upper, integer) if np.ndim(a)]
            if not sizes:
                raise DataError("ArrayVar needs n=, or bounds given as arrays.")
            n = sizes[0]
        mask = np.asarray(integer, dtype=bool)
        mask = np.full(n, mask) if mask.ndim == 0 else mask
        if mask.shape != (n,):
            raise DataError(f"integer has shape {mask.shape}; {n} values are needed.")
        super().__init__(pyo.RangeSet(0, n - 1), dense=True, **kwargs)
        self._arrays = {
            "lower": vector(lower, n, "lower"),
            "upper": vector(upper, n, "upper"),
            "integer": mask,
            "value": None if initial is None else vector(initial, n, "initial"),
        }
        self._made: dict[int, Any] = {}

    def construct(self, data: Any = None) -> None:
        """Mark the component as constructed; there is nothing to build.

        Parameters
        ----------
        data : object
            Not used; Pyomo passes it.
        """
        if not self._constructed:
            self._constructed = True
            for index_set in self._anonymous_sets or ():
                index_set.construct()

    def _make(self, i: int) -> Any:
        arrays = self._arrays
        item = self._made[i] = VarData(self)
        item._index = i
        lower, upper = float(arrays["lower"][i]), float(arrays["upper"][i])
        item._lb = None if lower == -np.inf else lower
        item._ub = None if upper == np.inf else upper
        if arrays["integer"][i]:
            item._domain = pyo.Binary if (lower, upper) == (0.0, 1.0) else pyo.Integers
        else:
            item._domain = pyo.Reals
        if arrays["value"] is not None:
            item._value = float(arrays["value"][i])
            item._stale = StaleFlagManager.get_flag(0)
        return item

    def __getitem__(self, index: Any) -> Any:
        try:
            return self._made[index]
        except (KeyError, TypeError):
            pass
        try:
            position = operator.index(index)  # NumPy integers too
        except TypeError:
            return super().__getitem__(index)
        if 0 <= position < len(self._arrays["lower"]):
            return self._made[position] if position in self._made else self._make(position)
        return super().__getitem__(index)

    def _touch(self) -> None:
        made = self._made
        with PauseGC():
            full = {i: made[i] if i in made else self._make(i) for i in range(len(self._arrays["lower"]))}
        self._become(full)


def store_values(variable: Any, values: Floats) -> None:
    """Give an indexed variable its values after a solve, as one array where it is an untouched `ArrayVar`."""
    if is_untouched(variable):
        variable._arrays = variable._arrays | {"value": values}
        items: Iterable[tuple[int, Any]] = variable._made.items()
    else:
        items = enumerate(variable.values())
    for i, item in items:
        item.set_value(float(values[i]), skip_validation=True)


def column_variables(x: Any) -> tuple[Any, ...]:
    """Return `x` as a tuple of variables, whose concatenation gives the columns of a matrix or cost."""
    variables = tuple(x) if isinstance(x, Sequence) else (x,)
    if len({id(variable) for variable in variables}) < len(variables):
        raise DataError("A variable is given twice among those of a matrix or cost.")
    return variables


def elements(variables: Sequence[Any], n: int, what: str) -> list[Any]:
    """Return the Pyomo variables that the columns of a matrix or cost stand for."""
    check_columns(variables, n, what)
    return [item for variable in variables for item in variable.values()]


def check_columns(variables: Sequence[Any], n: int, what: str) -> None:
    """Raise `DataError` unless the variables number `n` in all (elements may have been deleted since)."""
    total = sum(len(variable) for variable in variables)
    if n != total:
        raise DataError(f"{what} has {n} columns, but its variables number {total}.")


@array_backed
class ArrayConstraint(IndexedConstraint):
    """Rows `lower <= A x <= upper`, indexed 0..m-1, held as arrays.

    Parameters
    ----------
    x : ArrayVar or sequence of ArrayVar
        The variables; the columns of `A` are those of their concatenation.
    A : (m, n) sparse or dense matrix
    lower, upper : float or (m,) array
        Row bounds; equal ones make an equality, infinities leave a side open.
    **kwargs
        Passed on to Pyomo (`name`, `doc`).

    Examples
    --------
    >>> import numpy as np, pyomo.environ as pyo
    >>> m = pyo.ConcreteModel()
    >>> m.x = ArrayVar(0.0, 1.0, n=3)
    >>> m.row = ArrayConstraint(m.x, np.ones((1, 3)), 1.0, 2.0)
    >>> print(m.row[0].expr)
    1.0  <=  x[0] + x[1] + x[2]  <=  2.0
    """

    _ordinary = IndexedConstraint

    def __init__(
        self, x: Any, A: Any, lower: npt.ArrayLike = -np.inf, upper: npt.ArrayLike = np.inf, **kwargs: Any
    ) -> None:
        matrix = canonical(sp.csr_matrix(A, dtype=float))
        _refuse_nan(matrix, "The matrix")
        variables = column_variables(x)
        check_columns(variables, matrix.shape[1], "The matrix")
        m = matrix.shape[0]
        super().__init__(pyo.RangeSet(0, m - 1), **kwargs)
        self._arrays = {
            "x": variables,
            "matrix": matrix,
            "lower": vector(lower, m, "lower"),
            "upper": vector(upper, m, "upper"),
        }
        self._made: dict[int, Any] = {}

    construct = ArrayVar.construct

    def _touch(self) -> None:
        arrays = self._arrays
        matrix = arrays["matrix"]
        with PauseGC():
            variables = elements(arrays["x"], matrix.shape[1], self.name)
            pointers, columns, values = matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist()
            bounds = zip(arrays["lower"].tolist(), arrays["upper"].tolist(), strict=True)
            full = {}
            for i, (lower, upper) in enumerate(bounds):
                row = slice(pointers[i], pointers[i + 1])
                body = LinearExpression(linear_coefs=values[row], linear_vars=[variables[j] for j in columns[row]])
                item = full[i] = ConstraintData(component=self)
                item._index = i
                item._active = self._active
                if lower == upper:
                    item.set_value((lower, body))
                elif lower == -np.inf and upper == np.inf:  # Pyomo wants a free row to have bounds, infinite ones
                    item.set_value((lower, body, upper))
                else:
                    item.set_value((None if lower == -np.inf else lower, body, None if upper == np.inf else upper))
        self._become(full)

    def deactivate(self) -> None:
        """Deactivate all rows, without touching them."""
        self._active = False

    def activate(self) -> None:
        """Activate all rows, without touching them."""
        self._active = True
