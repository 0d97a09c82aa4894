"""What an assignment answers: the pairs, the units left out, and the potentials that prove it."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from causalopt.modeling.program import Ints
from causalopt.problems.assignment.data import AssignmentStudy
from causalopt.solving.result import Result


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class AssignmentResult(Result):
    """Pairs of least or largest total cost.

    Attributes
    ----------
    problem : AssignmentProblem
    used : int array
        The variables of the model that are one.
    """

    problem: Any
    used: Ints

    @property
    def study(self) -> AssignmentStudy:
        """What the problem was given."""
        study: AssignmentStudy = self.problem.study
        return study

    @property
    def total(self) -> float:
        """Total cost of the pairs."""
        return float(self.study.cost[self.used].sum())

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The pairs: labels of row and column (under their own names, where they have any), and `cost`."""
        graph = self.study.graph
        row, column = self.study.names
        return pd.DataFrame(
            {
                row: graph.treated[graph.i[self.used]],
                column: graph.control[graph.j[self.used]],
                "cost": self.study.cost[self.used],
            }
        )

    @property
    def unmatched(self) -> tuple[pd.Index, pd.Index]:
        """Labels of the rows and of the columns that are in no pair."""
        graph = self.study.graph
        rows = np.setdiff1d(np.arange(len(graph.treated)), graph.i[self.used])
        columns = np.setdiff1d(np.arange(len(graph.control)), graph.j[self.used])
        return graph.treated[rows], graph.control[columns]

    @property
    def duals(self) -> tuple[pd.Series, pd.Series, float] | None:
        """Potentials of rows and columns, and of the number of pairs; None where no multipliers prove the answer.

        Of every pair allowed, the cost is at least (in a maximum at most) row + column + count, with equality for the
        pairs used, and units that may stay out are not worth less than nothing: that is the certificate of optimality,
        and `certificate` recomputes it. One more pair therefore adds at least (at most) count to the total.
        """
        if self.row_dual is None:
            return None
        graph, r, c = self.study.graph, self.study.n_rows, self.study.n_columns
        count = float(self.row_dual[r + c]) if self.study.is_counted else 0.0
        rows, columns = self.row_dual[:r].copy(), self.row_dual[r : r + c]
        # A solver may price the bound a <= 1 of a pair used instead of its row's: the row takes that over.
        i, j = graph.i[self.used], graph.j[self.used]
        rows[i] = self.study.cost[self.used] - columns[j] - count
        names = self.study.names
        return (
            pd.Series(rows, index=graph.treated.rename(names[0]), name="dual"),
            pd.Series(columns, index=graph.control.rename(names[1]), name="dual"),
            count,
        )

    def certificate(self) -> pd.Series | None:
        """Return what the potentials prove: the bound they give, and by how much any pair contradicts them."""
        duals = self.duals
        if duals is None or self.row_dual is None:
            return None
        study, graph = self.study, self.study.graph
        row, column, count = (duals[0].to_numpy(), duals[1].to_numpy(), duals[2])
        sign = -1.0 if study.maximize else 1.0
        slack = sign * (study.cost - row[graph.i] - column[graph.j] - count)
        open_row = study.cardinality != "full" or study.n_rows > study.n_columns
        open_column = study.cardinality != "full" or study.n_columns > study.n_rows
        wrong = [-slack, sign * row if open_row else [], sign * column if open_column else []]
        bound = float(row.sum() + column.sum()) + (count * (study.n_pairs or 0) if study.is_counted else 0.0)
        contradiction = max(float(np.max(values, initial=0.0)) for values in wrong) + 0.0
        return pd.Series(
            {"total": self.total, "bound": bound, "largest contradiction": contradiction}, name="certificate"
        )

    def facts(self) -> dict[str, str]:
        """Return the facts of the solve, with those of the assignment first."""
        rows, columns = self.unmatched
        own = {
            "pairs": f"{len(self.used):,} of {self.study.graph.n_pairs:,} allowed",
            "total cost": f"{self.total:.10g}",
            "left out": f"{len(rows):,} rows, {len(columns):,} columns",
        }
        return own | super().facts()
