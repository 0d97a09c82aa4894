"""The robust McNemar test as a problem: what the caller builds, attaches and solves."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from causalopt import modeling
from causalopt.errors import InfeasibleError
from causalopt.modeling.program import Ints, ProblemClass, Program
from causalopt.problems.robust.mcnemar.data import DiscordantStudy, read_discordant
from causalopt.problems.robust.mcnemar.result import RobustMcNemarResult
from causalopt.problems.robust.mcnemar.search import PATH, add_pairs, model_of, search
from causalopt.problems.robust.running import whole_problem_path
from causalopt.solving.attempts import FastPath
from causalopt.solving.lane import Lane
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result


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
        self.study: DiscordantStudy = read_discordant(treated_outcome, control_outcome, matches, pairs)
        self.graph, self.n = self.study.graph, self.study.n
        self.treated_outcome, self.control_outcome = self.study.treated_outcome, self.study.control_outcome
        #: Positions of the discordant pairs in the graph, and 1 or -1 for either kind.
        self.discordant, self.sign = self.study.discordant, self.study.sign
        self.data_seconds = perf_counter() - began

    @property
    def matched(self) -> tuple[Ints, Ints]:
        """Positions in the graph of the pairs of a largest matching of either kind."""
        return self.study.matched

    @property
    def proven(self) -> bool:
        """Whether covers of the same sizes prove that both matchings are largest (Koenig 1931)."""
        return self.study.proven

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
        self.formulation_name(formulation)
        return model_of(self.study, side)

    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        return add_pairs(block, self.study), modeling.pyo.maximize

    def fast_paths(self, formulation: str) -> dict[str, FastPath]:
        """Return `matching`, which answers both sides at once (see `answer`)."""
        return whole_problem_path(PATH, type(self).__name__)

    def takes_several_programs(self, formulation: str) -> bool:
        """Return True: each side takes a program of its own."""
        return True

    def answer(self, lane: Lane) -> RobustMcNemarResult:
        """Return both extremes, found by two matchings or by two integer programs."""
        return RobustMcNemarResult(**search(self.study, lane), problem=self)

    def result(self, result: Result, program: Program) -> Result:
        """Return a result of one side's program as it is."""
        return result

    def infeasible(self, result: Result) -> InfeasibleError:
        """Return the error for more discordant pairs than there can be."""
        return self.study.too_many_pairs()
