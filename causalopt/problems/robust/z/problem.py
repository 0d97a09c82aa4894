"""The robust Z test: the largest and the least statistic over all matchings of n pairs.

Islam, Morshed and Noor-E-Alam (2022), A computational framework for solving nonlinear binary optimization problems in
robust causal inference, INFORMS Journal on Computing 34:3023-3041; cited as [ROBZ]. Morucci, Noor-E-Alam and Rudin
(2022), A robust approach to quantifying uncertainty in matching problems of causal inference, INFORMS Journal on Data
Science 1:156-171; cited as [RT].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import pandas as pd

from causalopt import modeling
from causalopt.errors import InfeasibleError
from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.problems.robust.data import read_pairs, sign_of, too_many_pairs
from causalopt.problems.robust.running import whole_problem_path
from causalopt.problems.robust.verdicts import LEVEL, check_level
from causalopt.problems.robust.z.data import PairStudy, read_study
from causalopt.problems.robust.z.models import Matchings
from causalopt.problems.robust.z.paths.side import Known
from causalopt.problems.robust.z.result import RobustZResult
from causalopt.problems.robust.z.search import able_solvers, search, search_on
from causalopt.solving.attempts import FastPath
from causalopt.solving.lane import Lane
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result


class RobustZProblem(Problem):
    """The extremes of the Z statistic over every way to form n pairs of good matches.

    With delta_p = treated minus control outcome of pair p, and each unit in at most one of exactly n pairs,

        Z = (S / sqrt n) / sqrt(V / n - (S / n)^2),     S = sum delta_p a_p,     V = sum delta_p^2 a_p.

    The test rejects "no effect" in favour of a positive effect where 1 - Phi(Z) is small. Z depends on who is paired
    with whom: a conclusion is robust where the largest and the least Z agree on it ([RT] section 2, [ROBZ] section 2).

    Parameters
    ----------
    treated_outcome, control_outcome : Series or arrays
        Outcomes of the units of either group. A Series is matched by label with the graph's units (or gives the
        labels, for matches without any); an array follows their order.
    matches : MatchGraph, matrix (treated by control; dense, sparse or DataFrame), or DataFrame of pairs
        The pairs that may be formed: see `match_graph`.
    pairs : int or "largest"
        n, at least 2; "largest" takes the size of the largest matching.

    Raises
    ------
    DataError
        For missing, infinite or non-numeric outcomes, labels or sizes that do not fit, or n below 2. That n is larger
        than the largest matching is an `InfeasibleError` of `solve`, which names the largest n.

    Examples
    --------
    >>> import numpy as np, causalopt as co
    >>> treated, control = np.array([5.0, 6.1, 9.3]), np.array([4.0, 4.5, 7.0])
    >>> result = co.solve(co.RobustZProblem(treated, control, np.ones((3, 3)), pairs=2))
    >>> round(result.z_min, 4), round(result.z_max, 4)
    (-0.4041, 31.1127)
    >>> result.maximum.kind, result.minimum.kind
    ('exact', 'exact')
    """

    _formulations: Mapping[str, Formulation] = {
        "fractional": Formulation(
            ProblemClass.CONVEX_MIQP,
            exact=True,
            source="S^2 / V by parametric LPs (hull of S and V) and, where |Z| is to be small, Dinkelbach's MIQPs",
            tangents=True,
        ),
        "qip": Formulation(
            ProblemClass.NONCONVEX_MIQP,
            exact=False,
            source="[ROBZ] tables 1, 2 and 5: S^2 - V or V - S^2, a surrogate whose optimum is not that of Z",
            tangents=True,
        ),
        "feasibility": Formulation(
            ProblemClass.NONCONVEX_MIQP,
            exact=False,
            source="[ROBZ] (14) to (20): is Z >= gamma possible? by bisection on gamma in [-4, 4]",
            tangents=True,
        ),
        "ilp-grid": Formulation(
            ProblemClass.MILP,
            exact=False,
            source="[RT] section 4: extreme S under V <= b (V >= b where |Z| is to be small) over a refining grid of b",
        ),
    }

    def __init__(self, treated_outcome: Any, control_outcome: Any, matches: Any, *, pairs: int | str) -> None:
        began = perf_counter()
        self._keep(read_study(treated_outcome, control_outcome, matches, pairs))
        self.data_seconds = perf_counter() - began

    @classmethod
    def _of(cls, study: PairStudy) -> RobustZProblem:
        problem = cls.__new__(cls)
        problem._keep(study)
        return problem

    def _keep(self, study: PairStudy) -> None:
        self.study = study
        self.graph, self.network, self.n = study.graph, study.network, study.n
        self.treated_outcome, self.control_outcome = study.treated_outcome, study.control_outcome

    def with_pairs(self, pairs: int | str) -> RobustZProblem:
        """Return the same problem for another number of pairs; the data is shared.

        Parameters
        ----------
        pairs : int or str
            As in the constructor.
        """
        return self._of(dataclasses.replace(self.study, n=read_pairs(pairs, self.graph)))

    @property
    def differences(self) -> Floats:
        """Outcome of the treated minus that of the control, for each pair of the graph."""
        return self.study.differences

    def matchings(self, side: str) -> Matchings:
        """Return the matchings of a side, "max" or "min", whose differences have the side's sign.

        Parameters
        ----------
        side : str
            "max" or "min": which extreme of Z.

        Raises
        ------
        OptionError
            For an unknown side.
        """
        return Matchings(self.network, self.n, sign_of(side))

    # ---- models ----

    def build(self, formulation: str | None = None, *, side: str = "max", **parameters: Any) -> Any:
        """Return one of the programs of a formulation as a Pyomo model.

        Parameters
        ----------
        formulation : str, optional
        side : {"max", "min"}
            Which extreme of Z; differences d are multiplied by -1 for "min", and divided by the largest.
        **parameters
            `fractional`: `weights=(alpha, beta)` for the LP  max alpha S - beta V, or `ratio=r` for the MIQP
            min S^2 - r V  (Dinkelbach; of all matchings with S > 0, R = S^2 / V below r is possible where its optimum
            is negative). `qip`: `case=1` (S >= 0, max S^2 - V), `case=2` (S <= 0, max V - S^2) or `case=3` (S = 0).
            `feasibility`: `gamma`; Z >= gamma is possible where the optimum is zero or positive. `ilp-grid`:
            `limit=b` on V, and `above=True` for V >= b.
        """
        name = self.formulation_name(formulation)
        return self.matchings(side).model(name, parameters)

    def attach(self, block: Any, formulation: str | None = None, *, side: str = "max", **parameters: Any) -> None:
        """Add one of the programs to a block of the caller's model, and its cost as `block.cost`; see `build`.

        Parameters
        ----------
        block : pyomo Block
            Where to add it.
        formulation : str, optional
            One of `formulations`; the first by default.
        side : str
            "max" or "min": which extreme of Z.
        **parameters : optional
            Parameters of the formulation, such as its grid.

        Raises
        ------
        DataError
            For what is no block.
        """
        self._require_block(block)
        name = self.formulation_name(formulation)
        cost, _ = self.matchings(side).program(block, name, parameters)
        block.cost = modeling.ArrayCost(**cost)

    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        return self.matchings("max").program(block, formulation, {})

    # ---- answers ----

    def fast_paths(self, formulation: str) -> dict[str, FastPath]:
        """Return `parametric`, which answers the whole problem rather than one of its programs (see `answer`)."""
        return whole_problem_path("parametric", "RobustZProblem") if formulation == "fractional" else {}

    def named_paths(self, formulation: str) -> dict[str, FastPath]:
        """Return `greedy`, a heuristic."""
        return whole_problem_path("greedy", "RobustZProblem")

    def takes_several_programs(self, formulation: str) -> bool:
        """Return True: each extreme takes programs of its own."""
        return True

    def answer(self, lane: Lane) -> Result:
        """Return both extremes, found with a solver or fast path."""
        return RobustZResult(**search(self.study, lane), problem=self)

    def result(self, result: Result, program: Program) -> Result:
        """Return a result of one program of a formulation as it is."""
        return result

    def solvers(self, formulation: str | None = None) -> pd.DataFrame:
        """Return what can answer the problem here, and what stands in the way."""
        return able_solvers(self.study, self.formulation_name(formulation))

    def infeasible(self, result: Result) -> InfeasibleError:
        """Return the error for an n that is larger than the largest matching."""
        return too_many_pairs(self.n, self.graph)

    def search_pairs(self, level: float = LEVEL) -> int | None:
        """Return the least n from which on, up to the largest, every matching leads to the same decision.

        [ROBZ] section 5.5, by bisection on exact extremes: it takes for granted that the decision stops depending on
        the matching once as n grows, which `robust_z_test(..., pairs="curve")` shows. None where it depends on the
        matching even at the largest n.

        Parameters
        ----------
        level : float
            Significance level.
        """
        level = check_level(level)
        low, high = 1, self.graph.largest  # robust at `high`; at `low` not, or not a number of pairs
        if high < 2:
            raise too_many_pairs(2, self.graph)
        solve_one = solver_in_turn(self, "parametric")
        if not solve_one(high).absolute_robust(level):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if solve_one(middle).absolute_robust(level):
                high = middle
            else:
                low = middle
        return high


def solver_in_turn(
    problem: RobustZProblem, solver: str, time_limit: float | None = None
) -> Callable[[int], RobustZResult]:
    """Return a function that solves for one number of pairs after another by `parametric`.

    Each starts from what is known of the last: basis, best matching and bounds.
    """
    known = [Known(problem.network) for _ in ("max", "min")]

    def solve_one(n: int) -> RobustZResult:
        other = problem.with_pairs(n)
        return RobustZResult(**search_on(other.study, solver, time_limit, known), problem=other)

    return solve_one
