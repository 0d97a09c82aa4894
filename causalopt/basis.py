"""Functions of covariates to balance: moments, interactions, quantile indicators, marginals, piecewise polynomials.

A basis is a list of terms; each term turns named covariates into further named columns. The covariates themselves
are always balanced first. Cut points are computed on all rows given (never on outcomes).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Floats
from causalopt.solving.options import unknown_name


@dataclasses.dataclass(frozen=True, eq=False)
class Column:
    """One function to balance: its name, the covariates it is made of, the factor it is a level of, its values.

    Attributes
    ----------
    name : str
    sources : tuple of str
        The covariates that it is made of.
    values : (n,) array
    factor : str or None
        The factor that it is a level of.
    """

    name: str
    sources: tuple[str, ...]
    values: Floats
    factor: str | None = None


Term = Callable[[Mapping[str, Column]], Iterable[Column]]
"""A term takes the covariates' columns by name and yields new columns."""


def _numeric(columns: Mapping[str, Column], names: Sequence[str] | None) -> list[Column]:
    """Return the columns asked for, or all that take more than two values."""
    if names is None:
        return [c for c in columns.values() if c.factor is None and not _is_binary(c.values)]
    for name in names:
        if name not in columns:
            raise DataError(unknown_name("covariate in the basis", name, columns))
    return [columns[name] for name in names]


def _is_binary(values: Floats) -> bool:
    return bool(((values == values.min()) | (values == values.max())).all())


def _standardised(values: Floats) -> Floats:
    """Centre and scale, so that powers and products are well conditioned."""
    spread = values.std()
    standardised: Floats = (values - values.mean()) / (spread if spread > 0 else 1.0)
    return standardised


def moments(order: int = 2, names: Sequence[str] | None = None) -> Term:
    """Powers 2 to `order` of the standardised covariates (all with more than two values, unless named).

    Parameters
    ----------
    order : int
        Highest power, at least 2.
    names : sequence of str, optional
        Covariates; by default all with more than two values.

    Returns
    -------
    Term
        To be put in the list `basis`.

    Raises
    ------
    DataError
        For an order below 2.

    Examples
    --------
    >>> import numpy as np
    >>> columns = {"age": Column("age", ("age",), np.array([20.0, 30.0, 40.0]))}
    >>> [c.name for c in moments(3)(columns)]
    ['age^2', 'age^3']
    """
    if order < 2:
        raise DataError(
            f"{argument('moments')}: order is {order}; the covariates themselves are balanced already, so 2 is the "
            "least."
        )

    def term(columns: Mapping[str, Column]) -> Iterable[Column]:
        for column in _numeric(columns, names):
            z = _standardised(column.values)
            for power in range(2, order + 1):
                yield Column(f"{column.name}^{power}", column.sources, z**power)

    return term


def interactions(names: Sequence[str] | None = None) -> Term:
    """Products of pairs of (standardised) covariates; levels of one factor are not multiplied with each other.

    Parameters
    ----------
    names : sequence of str, optional
        Covariates; all by default.

    Returns
    -------
    Term
        To be put in the list `basis`.

    Examples
    --------
    >>> import numpy as np
    >>> values = {"a": np.array([0.0, 1.0, 2.0]), "b": np.array([1.0, 0.0, 1.0])}
    >>> [c.name for c in interactions()({name: Column(name, (name,), v) for name, v in values.items()})]
    ['a x b']
    """

    def term(columns: Mapping[str, Column]) -> Iterable[Column]:
        chosen = list(columns.values()) if names is None else _numeric(columns, names)
        for a, b in combinations(chosen, 2):
            if a.factor is not None and a.factor == b.factor:
                continue
            product = _standardised(a.values) * _standardised(b.values)
            yield Column(f"{a.name} x {b.name}", (*a.sources, *b.sources), product)

    return term


def quantiles(probabilities: npt.ArrayLike = (0.25, 0.5, 0.75), names: Sequence[str] | None = None) -> Term:
    """Mark being at or below quantiles: balancing these indicators balances the marginal distributions.

    Parameters
    ----------
    probabilities : array of float
        Strictly between 0 and 1.
    names : sequence of str, optional
        Covariates; by default all with more than two values.

    Returns
    -------
    Term
        To be put in the list `basis`.

    Raises
    ------
    DataError
        For probabilities that are not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> columns = {"age": Column("age", ("age",), np.arange(20.0, 60.0))}
    >>> [(c.name, float(c.values.mean())) for c in quantiles([0.5])(columns)]
    [('age <= 39.5', 0.5)]
    """
    levels = np.atleast_1d(np.asarray(probabilities, dtype=float))
    if not ((levels > 0) & (levels < 1)).all():
        raise DataError(
            f"{argument('quantiles')}: probabilities must lie strictly between 0 and 1, not {levels.tolist()}."
        )

    def term(columns: Mapping[str, Column]) -> Iterable[Column]:
        for column in _numeric(columns, names):
            cuts = np.unique(np.quantile(column.values, levels))
            for cut in cuts[cuts < column.values.max()]:
                yield Column(f"{column.name} <= {cut:.6g}", column.sources, (column.values <= cut).astype(float))

    return term


def two_way_marginals(pairs: Iterable[tuple[str, str]], bins: int = 4) -> Term:
    """Mark the cells of two covariates' joint distribution; a covariate with many values is cut at quantiles.

    Parameters
    ----------
    pairs : iterable of pairs of str
        Two covariates each.
    bins : int
        Into how many quantile bins a covariate with more values than that is cut.

    Returns
    -------
    Term
        To be put in the list `basis`.

    Examples
    --------
    >>> import numpy as np
    >>> values = {"a": np.array([0.0, 0.0, 1.0, 1.0]), "b": np.array([0.0, 1.0, 0.0, 1.0])}
    >>> columns = {name: Column(name, (name,), v) for name, v in values.items()}
    >>> [c.name for c in two_way_marginals([("a", "b")])(columns)]
    ['a=0 & b=0', 'a=0 & b=1', 'a=1 & b=0', 'a=1 & b=1']
    """
    chosen = [tuple(pair) for pair in pairs]

    def cells(column: Column) -> list[tuple[str, npt.NDArray[np.bool_]]]:
        values = np.unique(column.values)
        if len(values) <= bins:
            return [(f"{column.name}={v:.6g}", column.values == v) for v in values]
        edges = np.unique(np.quantile(column.values, np.linspace(0, 1, bins + 1)))
        codes = np.clip(np.searchsorted(edges, column.values, side="left") - 1, 0, len(edges) - 2)
        return [(f"{column.name} in bin {k + 1}", codes == k) for k in range(len(edges) - 1)]

    def term(columns: Mapping[str, Column]) -> Iterable[Column]:
        for pair in chosen:
            first, second = _numeric(columns, pair)
            for name_a, in_a in cells(first):
                for name_b, in_b in cells(second):
                    both = (in_a & in_b).astype(float)
                    if 0 < both.sum() < len(both):
                        yield Column(f"{name_a} & {name_b}", pair, both)

    return term


def piecewise(pieces: int = 4, degree: int = 1, names: Sequence[str] | None = None) -> Term:
    """Polynomials on quantile intervals ([SBW] proposition 4.2): indicator and powers up to `degree` on each interval.

    Their balance bounds the bias for any outcome that is smooth in the covariate, by the length of the intervals.

    Parameters
    ----------
    pieces : int
        Number of intervals, at least 2.
    degree : int
        Highest power on each interval; 0 for indicators alone.
    names : sequence of str, optional
        Covariates; by default all with more than two values.

    Returns
    -------
    Term
        To be put in the list `basis`.

    Raises
    ------
    DataError
        For fewer than two pieces, or a negative degree.

    Examples
    --------
    >>> import numpy as np
    >>> columns = {"age": Column("age", ("age",), np.array([20.0, 30.0, 40.0, 50.0, 60.0]))}
    >>> [c.name for c in piecewise(2, degree=0)(columns)]
    ['age in [20, 40)', 'age in [40, 60]']
    """
    if pieces < 2 or degree < 0:
        raise DataError(f"piecewise: pieces must be at least 2 and degree at least 0, not {pieces} and {degree}.")

    def term(columns: Mapping[str, Column]) -> Iterable[Column]:
        for column in _numeric(columns, names):
            edges = np.unique(np.quantile(column.values, np.linspace(0, 1, pieces + 1)))
            for k, (low, high) in enumerate(pairwise(edges)):
                last = k == len(edges) - 2
                inside = (column.values >= low) & ((column.values <= high) if last else (column.values < high))
                local = np.where(inside, (column.values - low) / (high - low), 0.0)
                interval = f"{column.name} in [{low:.6g}, {high:.6g}{']' if last else ')'}"
                yield Column(interval, column.sources, inside.astype(float))
                for power in range(1, degree + 1):
                    yield Column(f"{interval} ^{power}", column.sources, local**power)

    return term


def expand(columns: Sequence[Column], basis: Iterable[Term]) -> list[Column]:
    """Return the covariates' columns followed by those of every term, each name once.

    Parameters
    ----------
    columns : sequence of Column
        The covariates.
    basis : iterable of Term
        What to add; a single term stands for a list of one.

    Raises
    ------
    DataError
        For what is no term.

    Examples
    --------
    >>> import numpy as np
    >>> age = Column("age", ("age",), np.array([20.0, 30.0, 40.0]))
    >>> [c.name for c in expand([age], [moments(2)])]
    ['age', 'age^2']
    """
    terms = list(basis) if isinstance(basis, Iterable) and not isinstance(basis, str) else [basis]
    for term in terms:
        if not callable(term):
            raise DataError(
                f"{argument('basis')} holds {term!r}, which is no term: {argument('basis', assigned=True)} takes a "
                "list of those that the functions of causalopt.basis make, such as "
                f"{argument('basis', assigned=True)}[causalopt.basis.moments(), causalopt.basis.interactions()]."
            )
    by_name = {column.name: column for column in columns}
    expanded = dict(by_name)
    for term in terms:
        for column in term(by_name):
            expanded.setdefault(column.name, column)
    return list(expanded.values())
