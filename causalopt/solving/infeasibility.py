"""Which constraints of a model must give way, and how far, in the names of the model."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from causalopt.errors import DataError
from causalopt.modeling.program import Bools, Ints, Program
from causalopt.solving.elastic import Relaxation, least_relaxation
from causalopt.solving.verify import Proof

#: A row that gives way by less than this, relative to its largest coefficient, is not listed.
LISTED = 1e-7

#: Bounds of integer variables are rounded inwards by no more than this.
WHOLE = 1e-9

COLUMNS = ["constraint", "index", "side", "asked", "needed", "gives way by"]


@dataclasses.dataclass(frozen=True, eq=False)
class Infeasibility:
    """Why no point meets the constraints of a model, and the least change under which one does.

    Attributes
    ----------
    table : DataFrame
        A row for each side of a constraint that gives way: `constraint`, `index` (empty where it has none), `side`
        ("lower" or "upper"), `asked` (the bound as it is), `needed` (the bound that would do, together with the others
        listed) and `gives way by`. Empty where all constraints can be met.
    total : float
        Sum of what gives way, each row's divided by its largest coefficient, so that units do not matter.
    without_integrality : float
        The least total where no variable need be whole; NaN where a limit stopped its search.
    proof : Proof
        What stands behind "least": certified by causalopt for continuous programs, the solver's claim for integer
        ones, not proven where a limit stopped it.
    solver : str
    x : (n,) array or None
        A point that meets the widened constraints, in the order of the program's columns.
    words : str
    """

    table: pd.DataFrame
    total: float
    without_integrality: float
    proof: Proof
    solver: str
    x: Any
    words: str

    def __bool__(self) -> bool:
        """Return whether there is an infeasibility."""
        return bool(len(self.table))

    def __str__(self) -> str:
        words = textwrap.fill(self.words, 80)
        return f"{words}\n\n{self.table.to_string(index=False)}" if len(self.table) else words


def explain_infeasibility(
    problem_or_model: Any, solver: str = "auto", *, formulation: str | None = None, time_limit: float | None = 60.0
) -> Infeasibility:
    """Return which constraints of a model must give way until it can be met, and how far.

    Parameters
    ----------
    problem_or_model : Problem, pyomo.environ.ConcreteModel, Block or Program
        A model with constraints of your own, for example. Its objective plays no part.
    solver : str
        Any backend; where it does not take linear programs of this size, an open-source one stands in.
    formulation : str, optional
        Of a problem.
    time_limit : float, optional
        Seconds for the solver: twice this at most for an integer program, which takes a continuous program first.

    Returns
    -------
    Infeasibility

    Notes
    -----
    The least total change is found by a linear program with one more variable and two more rows a constraint (see
    `causalopt.solving.elastic`): it takes about as long as to find a feasible point, and nothing is computed before
    you ask. There may be other changes of the same total. Bounds of variables give way only where they contradict
    themselves: crossed, or without a whole number between them. These are then constraints like the others.

    Raises
    ------
    UnsupportedProblem
        For a model that does not compile: its nonlinear part is named.
    DataError
        Where no change was found within the time limit.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> m = pyo.ConcreteModel()
    >>> m.x = pyo.Var()
    >>> m.budget = pyo.Constraint(expr=m.x <= 5)
    >>> m.demand = pyo.Constraint(["a", "b"], rule=lambda m, k: m.x >= 7)
    >>> m.cost = pyo.Objective(expr=m.x)
    >>> print(explain_infeasibility(m))
    No point meets all constraints. What gives way in the least total change, 2:
    budget. That no smaller change does is certified by causalopt.
    <BLANKLINE>
    constraint index  side  asked  needed  gives way by
        budget       upper    5.0     7.0           2.0
    """
    program = _program_of(problem_or_model, formulation)
    crossed = np.flatnonzero(_crossed(program))
    open_rows = _with_bounds_as_rows(program, crossed)
    size = np.asarray(abs(open_rows.A).max(axis=1).toarray()).ravel() if open_rows.n_rows else np.empty(0)
    size = np.where(size > 0, size, 1.0)
    found = least_relaxation(open_rows, sp.diags_array(size, format="csr"), solver=solver, time_limit=time_limit)
    if found is None:
        raise DataError("No change that would do was found: allow more time (time_limit=), or use another solver.")
    activity = open_rows.A @ found.x
    rows = []
    for side, bound, by in (
        ("lower", open_rows.row_lower, open_rows.row_lower - activity),
        ("upper", open_rows.row_upper, activity - open_rows.row_upper),
    ):
        for i in np.flatnonzero((found.extra > LISTED) & (by > LISTED * size)).tolist():
            name = (
                _name(program.rows, i, "row")
                if i < program.n_rows
                else _name(program.columns, int(crossed[(i - program.n_rows) % len(crossed)]), "column")
            )
            rows.append((*name, side, float(bound[i]), float(activity[i]), float(by[i])))
    table = pd.DataFrame(rows, columns=COLUMNS)
    proof = found.result.verification.proof if found.result.verification and found.is_least else Proof.NONE
    words = _words(table, found, proof, "constraints and bounds of variables" if len(crossed) else "constraints")
    return Infeasibility(table, found.total, found.without_integrality, proof, found.result.solver, found.x, words)


def _program_of(source: Any, formulation: str | None) -> Program:
    if isinstance(source, Program):
        return source
    from causalopt.modeling.compile import compile_model

    return compile_model(source.build(formulation) if hasattr(source, "fast_paths") else source)


def _crossed(program: Program) -> Bools:
    """Return which columns have bounds that no value meets: crossed, or without a whole number between them."""
    lower, upper = program.lower, program.upper
    return np.asarray(
        (lower > upper) | (program.integer & (np.ceil(lower - WHOLE) > np.floor(upper + WHOLE))), dtype=bool
    )


def _with_bounds_as_rows(program: Program, columns: Ints) -> Program:
    """Return the program with the bounds of some columns as rows, each side one of its own, which can give way."""
    k, infinite = len(columns), np.full(len(columns), np.inf)
    if not k:
        return program
    lower, upper = program.lower.copy(), program.upper.copy()
    identity = sp.csr_matrix((np.ones(k), (np.arange(k), columns)), shape=(k, program.n_columns))
    matrix = sp.vstack([program.A, identity, identity], format="csr")
    row_lower = np.concatenate([program.row_lower, lower[columns], -infinite])
    row_upper = np.concatenate([program.row_upper, infinite, upper[columns]])
    lower[columns], upper[columns] = -np.inf, np.inf
    return program.replace(
        A=matrix, row_lower=row_lower, row_upper=row_upper, lower=lower, upper=upper, rows=(), columns=()
    )


def _name(groups: Sequence[tuple[Any, int, int]], position: int, otherwise: str) -> tuple[str, Any]:
    """Return the name and index, in the model, of a row or column."""
    from causalopt.modeling.components import is_untouched

    for component, first, count in groups:
        if first <= position < first + count:
            if is_untouched(component):
                return component.name, position - first
            if hasattr(component, "parent_component") and component.parent_component() is not component:
                return component.parent_component().name, component.index()
            indexed = hasattr(component, "is_indexed") and component.is_indexed()
            return component.name, list(component.keys())[position - first] if indexed else ""
    return otherwise, position


def _words(table: pd.DataFrame, found: Relaxation, proof: Proof, what: str) -> str:
    if not len(table):
        return "All constraints can be met: nothing has to give way."
    listed = ", ".join(table["constraint"].unique()[:4]) + (", ..." if table["constraint"].nunique() > 4 else "")
    text = f"No point meets all {what}. What gives way in the least total change, {found.total:.4g}: {listed}."
    if found.without_integrality <= LISTED:
        text += " It is whole numbers that stand in the way: with fractions, every constraint could be met as it is."
    elif found.without_integrality < found.total * (1 - 1e-6):
        text += f" Without whole numbers {found.without_integrality:.4g} would do."
    if proof is Proof.NONE:
        return text + " A limit stopped the search: it would do, but a smaller change may do as well."
    return text + f" That no smaller change does is {proof}."
