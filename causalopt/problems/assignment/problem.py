"""Assignments: pairs of least (or largest) total cost, each row and each column used at most once.

Kuhn (1955), The Hungarian method for the assignment problem, Naval Research Logistics Quarterly 2:83-97.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from causalopt import modeling
from causalopt.errors import DataError, InfeasibleError, VerificationError
from causalopt.messages import argument
from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.problems.assignment import hungarian, network_simplex
from causalopt.problems.assignment.data import read_study
from causalopt.problems.assignment.result import AssignmentResult
from causalopt.solving.options import SolveOptions
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result
from causalopt.study.reading import require_position
from causalopt.study.too_few_pairs import too_few_pairs
from causalopt.verifying.claims import Reason, Solution, Termination


class AssignmentProblem(Problem):
    """Choose pairs of a row and a column, each used at most once, of least or largest total cost.

        min or max  sum_p c_p a_p    s.t.   sum of a_p over the pairs of each row and each column <= 1,   0 <= a <= 1

    and as many pairs as `cardinality` says. The constraints' matrix is totally unimodular, so that the LP answers in
    whole pairs.

    Parameters
    ----------
    cost : matrix, array of length m, or DataFrame of pairs
        A matrix (dense, sparse, or DataFrame with labels) has a row and a column a unit. In a dense one, infinite cells
        (inf for a minimum, -inf for a maximum) are pairs that are not allowed; in a sparse one, all cells that are not
        stored (stored zeros are costs). A DataFrame of pairs has three columns: row label, column label, and "cost".
        An array gives the costs of `pairs`.
    pairs : DataFrame with two columns, MatchGraph, or matrix of true and false, optional
        The pairs allowed: by label for an array of costs, or a mask for a matrix of costs.
    cardinality : int, "full", "largest" or "any", optional
        How many pairs: exactly so many; "full" (the default) uses every unit of the smaller side, as
        `scipy.optimize.linear_sum_assignment` does; "largest" takes as many as can be formed; "any" as many as pay.
    maximize : bool

    Raises
    ------
    DataError
        For missing costs, labels that occur twice, pairs listed twice, or shapes that do not fit. Too few pairs for the
        cardinality are an `InfeasibleError` of `solve`, which names the largest number.

    Examples
    --------
    >>> import numpy as np, causalopt as co
    >>> cost = np.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, np.inf]])
    >>> result = co.solve(co.AssignmentProblem(cost))
    >>> result.total
    6.0
    >>> result.pairs[["row", "column"]].to_numpy().tolist()
    [[0, 2], [1, 1], [2, 0]]
    >>> co.solve(co.AssignmentProblem(cost, cardinality=2), "highs").total
    3.0
    """

    _formulations: Mapping[str, Formulation] = {
        "lp": Formulation(
            ProblemClass.LP, exact=True, source="Kuhn 1955; total unimodularity, Hoffman and Kruskal 1956"
        ),
    }

    def __init__(
        self,
        cost: Any,
        pairs: Any = None,
        cardinality: int | str | None = None,
        maximize: bool = False,
    ) -> None:
        began = perf_counter()
        self.study = study = read_study(cost, pairs, cardinality, maximize)
        self.graph, self.cost, self.names = study.graph, study.cost, study.names
        self.maximize, self.cardinality = study.maximize, study.cardinality
        self.data_seconds = perf_counter() - began

    @property
    def n_rows(self) -> int:
        """Number of rows of the cost matrix."""
        return self.study.n_rows

    @property
    def n_columns(self) -> int:
        """Number of its columns."""
        return self.study.n_columns

    @property
    def n_pairs(self) -> int | None:
        """How many pairs are to be formed, None for as many as pay."""
        return self.study.n_pairs

    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        block.pairs = modeling.ArrayVar(0.0, 1.0, n=self.graph.n_pairs)
        block.usage = modeling.ArrayConstraint(block.pairs, *self.study.rows())
        sense = modeling.pyo.maximize if self.maximize else modeling.pyo.minimize
        return {"x": block.pairs, "linear": self.cost}, sense

    def direct_program(self, formulation: str) -> Program:
        """Return the arrays that `build` compiles to."""
        return Program.from_arrays(self.cost, *self.study.rows(), 0.0, 1.0, maximize=self.maximize)

    def index(self, row: Any, column: Any) -> int:
        """Return the position of a pair, given by labels, among the model's variables.

        Parameters
        ----------
        row, column : labels
            A pair that is allowed.

        Raises
        ------
        DataError
            Where a label does not exist, or the pair is not allowed.
        """
        for label, index, side in ((row, self.graph.treated, "row"), (column, self.graph.control, "column")):
            if label not in index:
                raise DataError(f"There is no {side} {label!r}.")
        i, j = self.graph.treated.get_loc(row), self.graph.control.get_loc(column)
        key = self.graph.i * self.n_columns + self.graph.j
        k = int(np.searchsorted(key, i * self.n_columns + j))
        if k == len(key) or key[k] != i * self.n_columns + j:
            raise DataError(f"The pair of {row!r} and {column!r} is not allowed.")
        return k

    def label(self, position: int) -> tuple[Any, Any]:
        """Return the row and column labels of a variable of the model.

        Parameters
        ----------
        position : int
            Position among the model's variables, from 0.

        Raises
        ------
        DataError
            Where there is no such variable.
        """
        require_position(position, self.graph.n_pairs, "pair")
        return self.graph.treated[self.graph.i[position]], self.graph.control[self.graph.j[position]]

    # ---- fast paths ----

    @property
    def minimisation(self) -> hungarian.Assignment:
        """The problem as the fast paths take it: a minimum, with positions for labels."""
        count = {"full": -1, "any": None}.get(str(self.cardinality), self.n_pairs)
        cost = -self.cost if self.maximize else self.cost
        return hungarian.Assignment(self.n_rows, self.n_columns, self.graph.i, self.graph.j, cost, count)

    def fast_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return `hungarian`, and `network-simplex`, an independent check in whole numbers."""
        return {
            "hungarian": partial(_solve, self, hungarian.solve),
            "network-simplex": partial(_solve, self, network_simplex.solve),
        }

    # ---- answers ----

    def result(self, result: Result, program: Program) -> AssignmentResult:
        """Return the pairs with their labels; a solver's point between optimal vertices is moved to one of them."""
        assert result.x is not None
        x = result.x
        whole = np.round(x)
        if np.abs(x - whole).max(initial=0.0) > 1e-6:
            whole = self._vertex(x)
        return AssignmentResult(**result.fields(), problem=self, used=np.flatnonzero(whole > 0.5))

    def _vertex(self, x: Floats) -> Floats:
        """Return an optimal set of pairs among those that an optimal point uses: it is a mixture of such sets."""
        support = np.flatnonzero(x > 1e-9)
        whole = self.minimisation
        piece = hungarian.Assignment(
            whole.n_rows, whole.n_columns, whole.i[support], whole.j[support], whole.cost[support], whole.count
        )
        used = hungarian.solve(piece).used
        assert used is not None
        vertex = np.zeros(len(x))
        vertex[support[used]] = 1.0
        moved, there = float(self.cost @ vertex), float(self.cost @ x)
        if abs(moved - there) > 1e-6 * max(1.0, float(np.abs(self.cost) @ x)):
            raise VerificationError(
                f"The pairs of the solver's point cost {moved:.10g}, the point itself {there:.10g}."
            )
        return vertex

    def infeasible(self, result: Result) -> InfeasibleError:
        """Return the error that names the largest number of pairs, and the units that have too few partners."""
        largest, graph = self.graph.largest, self.graph
        asked = self.n_pairs or 0
        rows_first = self.n_rows <= self.n_columns
        alone = ""
        if self.cardinality == "full":
            own, labels = (graph.i, graph.treated) if rows_first else (graph.j, graph.control)
            idle = np.flatnonzero(np.bincount(own, minlength=len(labels)) == 0)
            if len(idle):
                side = "row" if rows_first else "column"
                alone = f" No pair is allowed for {side} {labels[idle[0]]!r}" + (
                    f" and {len(idle) - 1} more." if len(idle) > 1 else "."
                )
        return too_few_pairs(
            asked,
            graph,
            f"There are no {asked:,} pairs: the largest n is {largest:,}.{alone}{{blocks}} Take "
            f"{argument('cardinality', largest)} or fewer ({argument('cardinality', 'largest')}), or allow more pairs. "
            "See the error's explanation.",
            "treated" if rows_first else "control",
            ("row", "column"),
        )


def _solve(
    problem: AssignmentProblem,
    algorithm: Callable[[hungarian.Assignment], hungarian.Answer],
    program: Program,
    options: SolveOptions,
) -> Solution:
    instance = problem.minimisation
    answer = algorithm(instance)
    if answer.used is None:
        return Solution(Termination(Reason.INFEASIBLE, raw="too few pairs"), method=answer.method)
    x = np.zeros(program.n_columns)
    x[answer.used] = 1.0
    proof = hungarian.potentials(instance, answer.used)
    dual = None
    if proof is not None:
        dual = np.concatenate([proof.row, proof.column, [proof.count] if problem.study.is_counted else []])
        dual = -dual if problem.maximize else dual
    objective = program.objective(x)
    return Solution(
        Termination(Reason.OPTIMAL), x=x, objective=objective, bound=objective, row_dual=dual, method=answer.method
    )
