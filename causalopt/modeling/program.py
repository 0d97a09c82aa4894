"""The arrays of one mixed-integer quadratic program, and its class."""

from __future__ import annotations

import dataclasses
import enum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from causalopt.errors import DataError
from causalopt.modeling.matrices import Bools as Bools
from causalopt.modeling.matrices import Floats as Floats
from causalopt.modeling.matrices import Ints as Ints
from causalopt.modeling.matrices import canonical, is_positive_semidefinite, lower_triangle, symmetric_product

#: Up to this many nonzeros A'y is summed entry by entry, which is quicker than a transposed matrix.
FEW_NONZEROS = 1 << 16

#: A bound or side of this size or more is none: solvers disagree on what such numbers mean, from here on in silence.
INFINITE = 1e20


class ProblemClass(enum.StrEnum):
    """What a solver must be able to do to take a program."""

    LP = "LP"
    """Linear objective, continuous variables."""
    MILP = "MILP"
    """Linear objective, some integer variables."""
    CONVEX_QP = "convex QP"
    """Quadratic objective that is convex (when minimised), continuous variables."""
    CONVEX_MIQP = "convex MIQP"
    """Convex quadratic objective, some integer variables."""
    NONCONVEX_QP = "nonconvex QP"
    """Quadratic objective with a direction of negative curvature, continuous variables."""
    NONCONVEX_MIQP = "nonconvex MIQP"
    """Quadratic objective with a direction of negative curvature, some integer variables."""


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """min or max  x'Qx/2 + c'x + k   subject to  row_lower <= A x <= row_upper,  lower <= x <= upper,  some x integer.

    Attributes
    ----------
    c : (n,) array
        Linear cost.
    A : (m, n) CSR matrix
    row_lower, row_upper : (m,) arrays
        Row bounds, infinite where a side is open.
    lower, upper : (n,) arrays
        Column bounds. A fixed variable is a column with equal bounds.
    integer : (n,) bool array
    Q : (n, n) CSC lower triangle, or None
        The cost is x'Qx/2 with the full symmetric Q.
    constant : float
        k.
    maximize : bool
    convex : bool or None
        Whether the objective, in its minimising form, is convex on the free columns: True or False where it is
        proved, None where `problem_class` is to check it.
    columns, rows : tuples
        The way back to the Pyomo model: (component or data object, first position, how many).
    far_numbers : int
        How many finite bounds and sides were read as none, see `INFINITE`.

    Examples
    --------
    >>> program = Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], row_lower=1.0, integer=[True, False])
    >>> program.problem_class, program.n_columns, program.n_rows
    (<ProblemClass.MILP: 'MILP'>, 2, 1)
    """

    c: Floats
    A: Any
    row_lower: Floats
    row_upper: Floats
    lower: Floats
    upper: Floats
    integer: Bools
    Q: Any = None
    constant: float = 0.0
    maximize: bool = False
    convex: bool | None = None
    columns: tuple[tuple[Any, int, int], ...] = ()
    rows: tuple[tuple[Any, int, int], ...] = ()
    far_numbers: int = 0

    @classmethod
    def from_arrays(
        cls,
        c: npt.ArrayLike,
        A: Any = None,
        row_lower: npt.ArrayLike = -np.inf,
        row_upper: npt.ArrayLike = np.inf,
        lower: npt.ArrayLike = 0.0,
        upper: npt.ArrayLike = np.inf,
        *,
        integer: npt.ArrayLike = False,
        Q: Any = None,
        constant: float = 0.0,
        maximize: bool = False,
        convex: bool | None = None,
    ) -> Program:
        """Make a program from arrays; scalars stand for equal values, and `Q` is given in full (both triangles).

        Parameters
        ----------
        c : (n,) array
            Linear cost.
        A : (m, n) sparse or dense matrix, optional
            Rows; none by default.
        row_lower, row_upper : float or (m,) array
            Bounds of the rows; infinite by default.
        lower, upper : float or (n,) array
            Bounds of the variables; zero and infinity by default.
        integer : bool or (n,) bool array
            Which variables are whole numbers.
        Q : (n, n) matrix, optional
            Quadratic cost x'Qx/2, symmetric.
        constant : float
            Added to the objective.
        maximize : bool
            The sense.
        convex : bool, optional
            What the caller knows of Q; checked by default.

        Raises
        ------
        DataError
            Where a shape is wrong, a coefficient is not finite, Q is not symmetric, or a bound asks for 1e20 or more.

        Examples
        --------
        >>> program = Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], row_lower=1.0)
        >>> program.problem_class
        <ProblemClass.LP: 'LP'>
        """
        cost = np.atleast_1d(np.asarray(c, dtype=float))
        if cost.ndim != 1:
            raise DataError(f"c has shape {cost.shape}; a vector is needed.")
        n = len(cost)
        matrix = sp.csr_matrix((0, n)) if A is None else canonical(sp.csr_matrix(A, dtype=float))
        m = matrix.shape[0]
        if matrix.shape[1] != n:
            raise DataError(f"A has {matrix.shape[1]} columns, but the cost has {n}.")

        program = cls(
            c=cost,
            A=matrix,
            row_lower=_full("row_lower", row_lower, m),
            row_upper=_full("row_upper", row_upper, m),
            lower=_full("lower", lower, n),
            upper=_full("upper", upper, n),
            integer=_full("integer", integer, n, bool),
            Q=None if Q is None else lower_triangle(Q, n, "Q"),
            constant=float(constant),
            maximize=maximize,
            convex=convex,
        )
        program.check()
        return program.with_far_numbers_open()

    def with_far_numbers_open(self) -> Program:
        """Return the program with each bound and side of `INFINITE` or more in absolute value read as none.

        Raises
        ------
        DataError
            Where a column or row is asked to be that large: no solver can tell such a number from infinity.

        Examples
        --------
        >>> far = Program.from_arrays([1.0], upper=1e30)
        >>> far.upper, far.far_numbers
        (array([inf]), 1)
        """
        changes: dict[str, Any] = {}
        for kind in ("", "row_"):
            low, high = getattr(self, f"{kind}lower"), getattr(self, f"{kind}upper")
            if len(low) and (low.max() >= INFINITE or high.min() <= -INFINITE):
                raise DataError(self._asks_for_infinity(low, high, row=bool(kind)))
            for name, values, sign in ((f"{kind}lower", low, -1.0), (f"{kind}upper", high, 1.0)):
                far = values <= -INFINITE if sign < 0 else values >= INFINITE
                if np.count_nonzero(far) > np.count_nonzero(values == sign * np.inf):
                    changes[name] = np.where(far, sign * np.inf, values)
        count = sum(int((getattr(self, name) != values).sum()) for name, values in changes.items())
        return self.replace(**changes, far_numbers=count) if changes else self

    def _asks_for_infinity(self, low: Floats, high: Floats, *, row: bool) -> str:
        k = int(np.flatnonzero((low >= INFINITE) | (high <= -INFINITE))[0])
        asked = f"at least {low[k]:g}" if low[k] >= INFINITE else f"at most {high[k]:g}"
        return (
            f"{self._name(k, row=row)} has to be {asked}, and numbers of {INFINITE:g} or more count as infinite. "
            "Measure it in a larger unit, or leave the bound out."
        )

    def _name(self, position: int, *, row: bool) -> str:
        """Return what the model calls a row or column, its number where there is no model."""
        for item, first, size in self.rows if row else self.columns:
            if first <= position < first + size:
                elements = list(item.values()) if hasattr(item, "values") else [item]
                return str(elements[position - first].name if len(elements) == size else item.name)
        return f"{'Row' if row else 'Column'} {position}"

    def check(self) -> None:
        """Raise `DataError` where a coefficient is NaN or infinite.

        Raises
        ------
        DataError
            Where a coefficient is not finite, or a bound is missing.
        """
        coefficients = {"c": self.c, "A": self.A.data} | ({} if self.Q is None else {"Q": self.Q.data})
        for name, values in coefficients.items():
            with np.errstate(over="ignore", invalid="ignore"):
                total = float(values.sum())
            if not np.isfinite(total) and not bool(np.isfinite(values).all()):
                raise DataError(f"{name} holds a value that is not finite.")
        for name in ("row_lower", "row_upper", "lower", "upper"):
            if np.isnan(getattr(self, name)).any():
                raise DataError(f"{name} holds NaN.")
        if not np.isfinite(self.constant):
            raise DataError("The constant of the objective is not finite.")

    @property
    def n_columns(self) -> int:
        """Number of variables."""
        return len(self.c)

    @property
    def n_rows(self) -> int:
        """Number of constraint rows."""
        return int(self.A.shape[0])

    @cached_property
    def problem_class(self) -> ProblemClass:
        """The class of the program; a convexity that nobody proved is checked here.

        Fixed columns do not count: a product with a fixed variable is linear.
        """
        integer = bool(self.integer.any())
        q = self.free_hessian()
        if q is None or q.nnz == 0:
            return ProblemClass.MILP if integer else ProblemClass.LP
        convex = self.convex
        if convex is None:
            convex = is_positive_semidefinite(-q if self.maximize else q)
        if convex:
            return ProblemClass.CONVEX_MIQP if integer else ProblemClass.CONVEX_QP
        return ProblemClass.NONCONVEX_MIQP if integer else ProblemClass.NONCONVEX_QP

    def free_hessian(self) -> Any:
        """Return the lower triangle of Q over the columns that are not fixed, or None."""
        if self.Q is None:
            return None
        free = self.lower < self.upper
        return self.Q if free.all() else self.Q[free][:, free]

    @cached_property
    def curvature(self) -> Floats | None:
        """The diagonal of Q where Q has no other entries; None where it has, or where there is no Q."""
        if self.Q is None:
            return None
        diagonal: Floats = self.Q.diagonal()
        return diagonal if np.count_nonzero(diagonal) == self.Q.nnz else None

    @cached_property
    def row_sizes(self) -> Floats:
        """The largest absolute coefficient of each row, zero for an empty one."""
        data, starts = self.A.data, self.A.indptr
        filled = np.flatnonzero(starts[1:] > starts[:-1])
        sizes = np.zeros(self.n_rows)
        if len(filled):
            first = starts[filled]
            sizes[filled] = np.maximum(np.maximum.reduceat(data, first), -np.minimum.reduceat(data, first))
        return sizes

    def transposed_product(self, y: Floats) -> Floats:
        """Return A'y.

        Parameters
        ----------
        y : (m,) array
            One number per row.
        """
        if not 0 < self.A.nnz <= FEW_NONZEROS:
            return np.asarray(self.A.T @ y)
        terms = np.repeat(np.asarray(y, dtype=float), self.A.indptr[1:] - self.A.indptr[:-1])
        terms *= self.A.data
        return np.asarray(np.bincount(self.A.indices, weights=terms, minlength=self.n_columns), dtype=float)

    def hessian_product(self, x: Floats) -> Floats:
        """Return Qx.

        Parameters
        ----------
        x : (n,) array
            A point.
        """
        return symmetric_product(self.Q, x) if self.curvature is None else self.curvature * x

    def gradient(self, x: Floats) -> Floats:
        """Return Qx + c.

        Parameters
        ----------
        x : (n,) array
            A point.
        """
        return self.c if self.Q is None else self.c + self.hessian_product(x)

    def objective(self, x: Floats) -> float:
        """Return x'Qx/2 + c'x + k.

        Parameters
        ----------
        x : (n,) array
            A point.
        """
        value = float(self.c @ x) + self.constant
        if self.Q is not None:
            value += 0.5 * float(x @ self.hessian_product(x))
        return value

    def components(self) -> Ints:
        """Return, for each column, the number (0, 1, ...) of the connected component that it belongs to.

        Two columns are connected where a row or an entry of Q holds both.
        """
        from scipy.sparse import csgraph  # here, since it costs a worker process 0.1 s to load

        n, m = self.n_columns, self.n_rows
        if m and np.diff(self.A.indptr).max() == n:  # one row holds every column
            return np.zeros(n, dtype=np.int64)
        blocks = [[None, self.A.T], [self.A, None]] if m else [[sp.csr_matrix((n, n))]]
        if self.Q is not None:
            blocks[0][0] = self.Q
        _, labels = csgraph.connected_components(sp.block_array(blocks, format="csr"), directed=False)
        _, numbers = np.unique(labels[:n], return_inverse=True)
        return numbers.astype(np.int64)

    def replace(self, **changes: Any) -> Program:
        """Return a copy with some fields changed.

        Parameters
        ----------
        **changes : keyword arguments
            Fields by name, with their new values.
        """
        return dataclasses.replace(self, **changes)

    def describe(self) -> str:
        """Return class and size in a phrase, for messages."""
        parts = [f"{self.n_columns:,} columns", f"{self.n_rows:,} rows", f"{self.A.nnz:,} nonzeros"]
        if self.Q is not None and self.Q.nnz:
            parts.append(f"{self.Q.nnz:,} quadratic terms")
        if self.integer.any():
            parts.append(f"{int(self.integer.sum()):,} integer")
        return f"{self.problem_class}, " + ", ".join(parts)


def _full(name: str, values: npt.ArrayLike, size: int, dtype: Any = float) -> Any:
    array = np.array(values, dtype=dtype)
    if array.shape not in {(), (size,)}:
        raise DataError(f"{name} has shape {array.shape}; one value or {size} are needed.")
    return np.full(size, array) if array.ndim == 0 else array
