"""Which constraints of a model must give way, and how far, in the names of the model."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from causalopt import modeling
from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Bools, Ints, Program
from causalopt.solving.elastic import Relaxation, least_relaxation
from causalopt.verifying.claims import Proof

#: A row that gives way by less than this, relative to its largest coefficient, is not listed.
LISTED = 1e-7

#: Bounds of integer variables are rounded inwards by no more than this.
WHOLE = 1e-9

#: Of what contradicts itself, as many are told in words.
SHOWN = 3

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


def blocking_rows(program: Program, solver: str = "auto", *, time_limit: float | None = 60.0) -> Infeasibility:
    """Return which rows of a program must give way, and how far; see `causalopt.explain_infeasibility`."""
    crossed, empty = np.flatnonzero(program.row_lower > program.row_upper), np.flatnonzero(_crossed(program))
    contradictions = [_self_contradiction(program, i) for i in [*crossed.tolist(), *(program.n_rows + empty).tolist()]]
    open_rows, owner = _with_sides_apart(program, crossed, empty)
    size = np.asarray(abs(open_rows.A).max(axis=1).toarray()).ravel() if open_rows.n_rows else np.empty(0)
    size = np.where(size > 0, size, 1.0)
    found = least_relaxation(open_rows, sp.diags_array(size, format="csr"), solver=solver, time_limit=time_limit)
    if found is None:
        more = argument("time_limit", assigned=True)
        raise DataError(f"No change that would do was found: allow more time ({more}), or use another solver.")
    activity = open_rows.A @ found.x
    rows = []
    for side, bound, by in (
        ("lower", open_rows.row_lower, open_rows.row_lower - activity),
        ("upper", open_rows.row_upper, activity - open_rows.row_upper),
    ):
        for i in np.flatnonzero((found.extra > LISTED) & (by > LISTED * size)).tolist():
            rows.append((*_name(program, int(owner[i])), side, float(bound[i]), float(activity[i]), float(by[i])))
    table = pd.DataFrame(rows, columns=COLUMNS)
    proof = found.result.verification.proof if found.result.verification and found.is_least else Proof.NONE
    what = "constraints and bounds of variables" if len(empty) else "constraints"
    words = _words(table, found, proof, what, contradictions)
    return Infeasibility(table, found.total, found.without_integrality, proof, found.result.solver, found.x, words)


def _crossed(program: Program) -> Bools:
    """Return which columns have bounds that no value meets: crossed, or without a whole number between them."""
    lower, upper = program.lower, program.upper
    return np.asarray(
        (lower > upper) | (program.integer & (np.ceil(lower - WHOLE) > np.floor(upper + WHOLE))), dtype=bool
    )


def _with_sides_apart(program: Program, crossed: Ints, empty: Ints) -> tuple[Program, Ints]:
    """Return the program with each side of some rows, and of the bounds of some columns, a row that can give way.

    The second tells the row of the original that each row stands for, or, from the number of its rows on, the column.
    """
    k = len(empty)
    if not k + len(crossed):
        return program, np.arange(program.n_rows)
    lower, upper, row_upper = program.lower.copy(), program.upper.copy(), program.row_upper
    identity = sp.csr_matrix((np.ones(k), (np.arange(k), empty)), shape=(k, program.n_columns))
    below, above = np.full(len(crossed) + k, -np.inf), np.full(k, np.inf)
    lows = np.concatenate([program.row_lower, lower[empty], below])
    highs = np.concatenate([row_upper, above, row_upper[crossed], upper[empty]])
    highs[crossed] = np.inf
    lower[empty], upper[empty] = -np.inf, np.inf
    apart = program.replace(
        A=sp.vstack([program.A, identity, program.A[crossed], identity], format="csr"),
        row_lower=lows,
        row_upper=highs,
        lower=lower,
        upper=upper,
        rows=(),
        columns=(),
    )
    columns = program.n_rows + empty
    return apart, np.concatenate([np.arange(program.n_rows), columns, crossed, columns])


def _name(program: Program, position: int) -> tuple[str, Any]:
    """Return the name and index, in the model, of a row, or of a column, which are counted from the rows on."""
    is_row = position < program.n_rows
    groups: Sequence[tuple[Any, int, int]] = program.rows if is_row else program.columns
    position -= 0 if is_row else program.n_rows
    for component, first, count in groups:
        if first <= position < first + count:
            if modeling.is_untouched(component):
                return component.name, position - first
            if hasattr(component, "parent_component") and component.parent_component() is not component:
                return component.parent_component().name, component.index()
            indexed = hasattr(component, "is_indexed") and component.is_indexed()
            return component.name, list(component.keys())[position - first] if indexed else ""
    return "row" if is_row else "column", position


def _called(program: Program, position: int) -> str:
    name, index = _name(program, position)
    return name if index == "" else f"{name}[{index}]"


def _self_contradiction(program: Program, position: int) -> str:
    """Return in a sentence why no value meets both sides of a row, or of the bounds of a column."""
    column, name = position - program.n_rows, _called(program, position)
    if column < 0:
        low, high = program.row_lower[position], program.row_upper[position]
    else:
        low, high = program.lower[column], program.upper[column]
    if low > high:
        return f"{name} contradicts itself: its lower bound {low:.10g} exceeds its upper bound {high:.10g}."
    return f"{name} contradicts itself: no whole number lies between its bounds {low:.10g} and {high:.10g}."


def _words(table: pd.DataFrame, found: Relaxation, proof: Proof, what: str, contradictions: Sequence[str]) -> str:
    if not len(table):
        return "All constraints can be met: nothing has to give way."
    listed = ", ".join(table["constraint"].unique()[:4]) + (", ..." if table["constraint"].nunique() > 4 else "")
    shown = [f"No point meets all {what}.", *contradictions[:SHOWN]]
    if len(contradictions) > SHOWN:
        shown.append(f"So do {len(contradictions) - SHOWN:,} more.")
    text = f"{' '.join(shown)} What gives way in the least total change, {found.total:.4g}: {listed}."
    if found.without_integrality <= LISTED:
        text += " It is whole numbers that stand in the way: with fractions, every constraint could be met as it is."
    elif found.without_integrality < found.total * (1 - 1e-6):
        text += f" Without whole numbers {found.without_integrality:.4g} would do."
    if proof is Proof.NONE:
        return text + " A limit stopped the search: it would do, but a smaller change may do as well."
    return text + f" That no smaller change does is {proof}."
