"""The robust McNemar test: binary outcomes, over all matchings with n discordant pairs.

Morucci, Noor-E-Alam and Rudin (2022), A robust approach to quantifying uncertainty in matching problems of causal
inference, INFORMS Journal on Data Science 1:156-171; cited as [RT].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse import csgraph

from causalopt.errors import DataError, InfeasibleError, OptionError
from causalopt.modeling.program import Bools, Floats, Ints, ProblemClass, Program
from causalopt.problems.robust.z.problem import SIDES, _index_of, read_outcome, read_pairs
from causalopt.problems.robust.z.result import check_level, p_value
from causalopt.solving.options import SolveOptions, unknown_name
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result
from causalopt.study.match_graph import MatchGraph, as_match_graph
from causalopt.study.reading import refuse_rows
from causalopt.verifying.claims import Solution

if TYPE_CHECKING:
    from causalopt.solving.lane import Lane


class RobustMcNemarProblem(Problem):
    """The extremes of McNemar's statistic over every way to form n discordant pairs of good matches.

    With B pairs in which only the treated unit has the outcome, C in which only the control has it, and B + C = n,

        Z = (B - C - 1) / sqrt n                                                                     ([RT] section 3)

    A treated unit with the outcome can only be in a pair of the first kind, one without it only in the second, and so
    for controls: the two graphs share no unit. With nu+ and nu- the sizes of their largest matchings, B takes every
    value from max(0, n - nu-) to min(n, nu+), so that two maximum matchings give the exact extremes.

    Parameters
    ----------
    treated_outcome, control_outcome : Series or arrays
        0 or 1 (or False and True) for each unit.
    matches : MatchGraph, matrix, or DataFrame of pairs
        As in `RobustZProblem`.
    pairs : int or "largest"
        The number of discordant pairs; "largest" is nu+ + nu-.

    Raises
    ------
    DataError
        For outcomes other than 0 and 1. More discordant pairs than there can be are an `InfeasibleError` of `solve`.

    Examples
    --------
    >>> import numpy as np, causalopt as co
    >>> result = co.solve(co.RobustMcNemarProblem([1, 1, 0], [0, 0, 1], np.ones((3, 3)), pairs=2))
    >>> round(result.z_min, 4), round(result.z_max, 4)
    (-0.7071, 0.7071)
    """

    _formulations: Mapping[str, Formulation] = {
        "ilp": Formulation(ProblemClass.MILP, exact=True, source="[RT] section 3: max or min B - C with B + C = n"),
    }

    def __init__(
        self, treated_outcome: Any, control_outcome: Any, matches: Any, *, pairs: int | str = "largest"
    ) -> None:
        began = perf_counter()
        self.graph: MatchGraph = as_match_graph(matches, _index_of(treated_outcome), _index_of(control_outcome))
        self.treated_outcome = _binary(treated_outcome, self.graph.treated, "treated")
        self.control_outcome = _binary(control_outcome, self.graph.control, "control")
        y_t, y_c = self.treated_outcome[self.graph.i], self.control_outcome[self.graph.j]
        #: Positions of the discordant pairs in the graph, and 1 or -1 for either kind.
        self.discordant: Ints = np.flatnonzero(y_t != y_c)
        self.sign: Floats = np.where(y_t, 1.0, -1.0)[self.discordant]
        largest = len(self.matched[0]) + len(self.matched[1])
        self.n = largest if pairs == "largest" else read_pairs(pairs, self.graph, least=1)
        if largest == 0:
            raise DataError("No good match is discordant: every pair has the same outcome twice.")
        self.data_seconds = perf_counter() - began

    @cached_property
    def matched(self) -> tuple[Ints, Ints]:
        """Positions in the graph of the pairs of a largest matching of either kind."""
        shape = len(self.graph.treated), len(self.graph.control)
        found = []
        for sign in (1.0, -1.0):
            own = self.discordant[self.sign == sign]
            i, j = self.graph.i[own], self.graph.j[own]
            matrix = sp.csr_matrix((np.ones(len(own), dtype=bool), (i, j)), shape=shape)
            partner = csgraph.maximum_bipartite_matching(matrix, perm_type="column")
            found.append(own[partner[i] == j])
        return found[0], found[1]

    @cached_property
    def proven(self) -> bool:
        """Whether covers of the same sizes prove that both matchings are largest (Koenig 1931)."""
        graph, kinds = self.graph, zip((1.0, -1.0), self.matched, strict=True)
        return all(is_largest(graph.i, graph.j, self.discordant[self.sign == sign], used) for sign, used in kinds)

    def build(self, formulation: str | None = None, *, side: str = "max") -> Any:
        """Return the integer program of a side ("max" or "min") as a Pyomo model: max (min) B - C with n pairs.

        Parameters
        ----------
        formulation : str, optional
            One of `formulations`; the first by default.
        side : str
            "max" or "min": which end of B.

        Raises
        ------
        OptionError
            For an unknown side or formulation.
        """
        import pyomo.environ as pyo

        from causalopt.modeling.costs import ArrayObjective

        self.formulation_name(formulation)
        if side not in SIDES:
            raise OptionError(unknown_name("side", str(side), SIDES))
        model = pyo.ConcreteModel()
        cost, _ = self._components(model, "ilp")
        model.objective = ArrayObjective(**cost, sense=pyo.maximize if side == "max" else pyo.minimize)
        return model

    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        import pyomo.environ as pyo

        from causalopt.modeling.components import ArrayConstraint, ArrayVar

        graph, m = self.graph, len(self.discordant)
        r, c = len(graph.treated), len(graph.control)
        i, j = graph.i[self.discordant], graph.j[self.discordant]
        ends = np.concatenate([i, r + j, np.full(m, r + c)])
        matrix = sp.csr_matrix((np.ones(3 * m), (ends, np.tile(np.arange(m), 3))), shape=(r + c + 1, m))
        block.pairs = ArrayVar(0.0, 1.0, integer=True, n=m)
        block.usage = ArrayConstraint(block.pairs, matrix[:-1], upper=1.0)
        block.count = ArrayConstraint(block.pairs, matrix[-1:], float(self.n), float(self.n))
        return {"x": block.pairs, "linear": self.sign}, pyo.maximize

    def fast_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return `matching`, which answers both sides at once (see `answer`)."""
        return {"matching": partial(_refuse)}

    def takes_several_programs(self, formulation: str) -> bool:
        """Return True: each side takes a program of its own."""
        return True

    def answer(self, lane: Lane) -> RobustMcNemarResult:
        """Find both extremes, by two matchings or by two integer programs."""
        return _search(self, lane)

    def result(self, result: Result, program: Program) -> Result:
        """Return a result of one side's program as it is."""
        return result

    def infeasible(self, result: Result) -> InfeasibleError:
        """Return the error for more discordant pairs than there can be."""
        from causalopt.study.too_few_pairs import too_few_pairs

        plus, minus = map(len, self.matched)
        own = MatchGraph(
            self.graph.treated, self.graph.control, self.graph.i[self.discordant], self.graph.j[self.discordant]
        )
        return too_few_pairs(
            self.n,
            own,
            f"There are no {self.n:,} discordant pairs: the largest n is {plus + minus:,} ({plus:,} with the outcome "
            f"in the treated unit alone, {minus:,} with it in the control alone).{{blocks}} Partners of a unit are its "
            "good matches with the other outcome. See the error's explanation.",
        )


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RobustMcNemarResult(Result):
    """The extremes of McNemar's statistic over all matchings with n discordant pairs.

    Attributes
    ----------
    problem : RobustMcNemarProblem
    most, least : int arrays
        Positions in the match graph of the pairs with the most and the least B.
    """

    problem: RobustMcNemarProblem
    most: Ints
    least: Ints

    @property
    def n(self) -> int:
        """Number of discordant pairs."""
        return self.problem.n

    def counts(self, used: Ints) -> tuple[int, int]:
        """Return B and C of some pairs.

        Parameters
        ----------
        used : int array
            Positions of the pairs used.
        """
        b = int(self.problem.treated_outcome[self.problem.graph.i[used]].sum())
        return b, len(used) - b

    @property
    def b_range(self) -> tuple[int, int]:
        """The least and the most pairs in which only the treated unit has the outcome."""
        return self.counts(self.least)[0], self.counts(self.most)[0]

    @property
    def z_max(self) -> float:
        """The largest Z."""
        return _mcnemar(*self.counts(self.most))

    @property
    def z_min(self) -> float:
        """The least Z."""
        return _mcnemar(*self.counts(self.least))

    @property
    def p_interval(self) -> tuple[float, float]:
        """The least and the largest one-sided p-value, 1 - Phi(Z)."""
        return p_value(self.z_max), p_value(self.z_min)

    def decision(self, level: float = 0.05) -> str:
        """Return what the matchings decide at a level: "reject", "do not reject", or "depends on the pairing".

        Parameters
        ----------
        level : float
            Significance level.
        """
        low, high = self.p_interval
        if high <= check_level(level):
            return "reject"
        return "do not reject" if low > level else "depends on the pairing"

    def alpha_robust(self, level: float = 0.05) -> bool:
        """Whether the p-values of any two matchings differ by no more than the level.

        Parameters
        ----------
        level : float
            Significance level.
        """
        low, high = self.p_interval
        return high - low <= check_level(level)

    def absolute_robust(self, level: float = 0.05) -> bool:
        """Whether every matching leads to the same decision at the level.

        Parameters
        ----------
        level : float
            Significance level.
        """
        return self.decision(level) != "depends on the pairing"

    def pairs(self, side: str = "max") -> pd.DataFrame:
        """Return the discordant pairs of a side, "max" or "min": labels and outcomes.

        Parameters
        ----------
        side : str
            "max" or "min": which end of B.

        Raises
        ------
        OptionError
            For an unknown side.
        """
        if side not in SIDES:
            raise OptionError(unknown_name("side", str(side), SIDES))
        used, graph = self.most if side == "max" else self.least, self.problem.graph
        i, j = graph.i[used], graph.j[used]
        return pd.DataFrame(
            {
                "treated": graph.treated[i],
                "control": graph.control[j],
                "treated outcome": self.problem.treated_outcome[i].astype(int),
                "control outcome": self.problem.control_outcome[j].astype(int),
            }
        )

    def facts(self) -> dict[str, str]:
        """Return the facts of the solve, with those of the test first."""
        low, high = self.p_interval
        own = {
            "discordant pairs": f"{self.n:,}",
            "B": "{} to {}".format(*self.b_range),
            "Z": f"{self.z_min:.6g} to {self.z_max:.6g}",
            "p-values": f"{low:.3g} to {high:.3g}",
            "decision at .05": self.decision(0.05),
        }
        return own | super().facts()


def is_largest(i: Ints, j: Ints, allowed: Ints, used: Ints) -> bool:
    """Return whether a cover proves a matching largest: as many units as it has pairs, on which every pair leans.

    The cover is the rows that no alternating path from an unused row reaches, and the columns that one does.
    """
    rows, columns = i[allowed], j[allowed]
    partner = np.full(int(columns.max(initial=-1)) + 1, -1)
    partner[j[used]] = i[used]
    reached_row = np.zeros(int(rows.max(initial=-1)) + 1, dtype=bool)
    reached_row[rows] = True
    reached_row[i[used]] = False
    reached_column = np.zeros(len(partner), dtype=bool)
    while True:
        new = np.unique(columns[reached_row[rows] & ~reached_column[columns]])
        if len(new) == 0:
            break
        reached_column[new] = True
        back = partner[new]
        reached_row[back[back >= 0]] = True
    cover = len(np.unique(rows[~reached_row[rows]])) + int(reached_column.sum())
    leans = ~reached_row[rows] | reached_column[columns]
    return bool(leans.all() and cover == len(used))


def _mcnemar(b: int, c: int) -> float:
    return (b - c - 1) / float(np.sqrt(b + c))


def _refuse(program: Program, options: SolveOptions) -> Solution:
    raise OptionError("matching answers a RobustMcNemarProblem, not one of its programs.")


def _binary(outcome: Any, labels: pd.Index, group: str) -> Bools:
    values = read_outcome(outcome, labels, group)
    refuse_rows((values != 0) & (values != 1), labels, f"The {group} outcome is neither 0 nor 1")
    has_it: Bools = values == 1
    return has_it


def _search(problem: RobustMcNemarProblem, lane: Lane) -> RobustMcNemarResult:
    from causalopt.problems.robust.mcnemar_search import by_matching, by_programs

    return (
        by_matching(problem, lane)
        if lane.for_several_programs() in ("auto", "matching")
        else by_programs(problem, lane)
    )
