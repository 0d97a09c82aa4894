"""The robust Z test: the largest and the least statistic over all matchings of n pairs.

Islam, Morshed and Noor-E-Alam (2022), A computational framework for solving nonlinear binary optimization problems in
robust causal inference, INFORMS Journal on Computing 34:3023-3041; cited as [ROBZ]. Morucci, Noor-E-Alam and Rudin
(2022), A robust approach to quantifying uncertainty in matching problems of causal inference, INFORMS Journal on Data
Science 1:156-171; cited as [RT].
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import DataError, InfeasibleError, OptionError
from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.problems.robust.z.models import Matchings, opposite
from causalopt.problems.robust.z.paths.network import PairNetwork
from causalopt.solving.lane import Lane
from causalopt.solving.options import SolveOptions, unknown_name
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result
from causalopt.study.match_graph import MatchGraph, as_match_graph
from causalopt.study.reading import read_numbers, refuse_rows
from causalopt.verifying.claims import Solution

SIDES = {"max": 1, "min": -1}


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
        graph = as_match_graph(matches, _index_of(treated_outcome), _index_of(control_outcome))
        self.graph: MatchGraph = graph
        self.treated_outcome = read_outcome(treated_outcome, graph.treated, "treated")
        self.control_outcome = read_outcome(control_outcome, graph.control, "control")
        self.network = PairNetwork.merged(graph.i, graph.j, self.treated_outcome, self.control_outcome)
        if not np.isfinite(self.network.delta).all():
            raise DataError("The outcomes are so large that their differences overflow; divide them by a constant.")
        self.n = read_pairs(pairs, graph)
        self.data_seconds = perf_counter() - began

    def with_pairs(self, pairs: int | str) -> RobustZProblem:
        """Return the same problem for another number of pairs; the data is shared.

        Parameters
        ----------
        pairs : int or str
            As in the constructor.
        """
        other = RobustZProblem.__new__(RobustZProblem)
        own = {"n": read_pairs(pairs, self.graph), "data_seconds": 0.0, "differences": self.differences}
        other.__dict__ = self.__dict__ | own
        return other

    @cached_property
    def differences(self) -> Floats:
        """Outcome of the treated minus that of the control, for each pair of the graph."""
        from causalopt.problems.robust.z.paths.network import difference, largest_outcome

        y_t, y_c = self.treated_outcome, self.control_outcome
        return difference(y_t[self.graph.i], y_c[self.graph.j], largest_outcome(y_t, y_c))

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
        if side not in SIDES:
            raise OptionError(unknown_name("side", str(side), SIDES))
        return Matchings(self.network, self.n, SIDES[side])

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
        import pyomo.environ as pyo

        from causalopt.modeling.costs import ArrayObjective

        model = pyo.ConcreteModel()
        cost, sense = self._program(model, self.formulation_name(formulation), side, parameters)
        model.objective = ArrayObjective(**cost, sense=sense)
        return model

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
        from causalopt.modeling.costs import ArrayCost

        self._require_block(block)
        cost, _ = self._program(block, self.formulation_name(formulation), side, parameters)
        block.cost = ArrayCost(**cost)

    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        return self._program(block, formulation, "max", {})

    def _program(
        self, block: Any, formulation: str, side: str, parameters: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Any]:
        makers: dict[str, Callable[..., tuple[dict[str, Any], Any]]] = {
            "fractional": self._fractional,
            "qip": self._qip,
            "feasibility": self._feasibility,
            "ilp-grid": self._grid,
        }
        try:
            return makers[formulation](block, self.matchings(side), **parameters)
        except TypeError as error:
            if "unexpected keyword" not in str(error):
                raise
            raise OptionError(f"The formulation {formulation!r} has no parameter like that: {error}.") from None

    def _fractional(
        self,
        block: Any,
        matchings: Matchings,
        *,
        weights: tuple[float, float] | None = None,
        ratio: float | None = None,
        **units: float,
    ) -> tuple[dict[str, Any], Any]:
        import pyomo.environ as pyo

        if weights is not None:
            return matchings.weighted(block, *weights), pyo.maximize
        return matchings.squared(block, 1.0 if ratio is None else ratio, **units), pyo.minimize

    def _qip(self, block: Any, matchings: Matchings, *, case: int = 1) -> tuple[dict[str, Any], Any]:
        import pyomo.environ as pyo

        if case == 1:
            return matchings.squared(block, 1.0, lower=0.0), pyo.maximize
        if case == 2:
            return opposite(matchings.squared(block, 1.0, upper=0.0)), pyo.maximize
        if case == 3:
            return opposite(matchings.squared(block, 1.0, lower=0.0, upper=0.0)), pyo.maximize
        raise OptionError(f"case is {case!r}; [ROBZ] has the cases 1, 2 and 3.")

    def _feasibility(self, block: Any, matchings: Matchings, *, gamma: float = 1.0) -> tuple[dict[str, Any], Any]:
        import pyomo.environ as pyo

        factor = self.n * gamma**2 / (self.n + gamma**2)
        if gamma >= 0:
            return matchings.squared(block, factor, lower=0.0), pyo.maximize
        return opposite(matchings.squared(block, factor, upper=0.0)), pyo.maximize

    def _grid(
        self, block: Any, matchings: Matchings, *, limit: float = np.inf, above: bool = False
    ) -> tuple[dict[str, Any], Any]:
        import pyomo.environ as pyo

        return matchings.limited(block, limit, above=above), pyo.maximize

    # ---- answers ----

    def fast_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return `parametric`, which answers the whole problem rather than one of its programs (see `answer`)."""
        return {"parametric": partial(_refuse, "parametric")} if formulation == "fractional" else {}

    def named_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return `greedy`, a heuristic."""
        return {"greedy": partial(_refuse, "greedy")}

    def takes_several_programs(self, formulation: str) -> bool:
        """Return True: each extreme takes programs of its own."""
        return True

    def answer(self, lane: Lane) -> Result:
        """Find both extremes with a solver or fast path."""
        from causalopt.problems.robust.z.search import search

        return search(self, lane)

    def result(self, result: Result, program: Program) -> Result:
        """Return a result of one program of a formulation as it is."""
        return result

    def solvers(self, formulation: str | None = None) -> pd.DataFrame:
        """Return what can answer the problem here, and what stands in the way."""
        from causalopt.problems.robust.z.search import able_solvers

        return able_solvers(self, self.formulation_name(formulation))

    def infeasible(self, result: Result) -> InfeasibleError:
        """Return the error for an n that is larger than the largest matching."""
        return too_many_pairs(self.n, self.graph)

    def search_pairs(self, level: float = 0.05) -> int | None:
        """Return the least n from which on, up to the largest, every matching leads to the same decision.

        [ROBZ] section 5.5, by bisection on exact extremes: it takes for granted that the decision stops depending on
        the matching once as n grows, which `robust_z_test(..., pairs="curve")` shows. None where it depends on the
        matching even at the largest n.

        Parameters
        ----------
        level : float
            Significance level.
        """
        from causalopt.problems.robust.z.curve import search_pairs

        found: int | None = search_pairs(self, level)
        return found


def too_many_pairs(n: int, graph: MatchGraph) -> InfeasibleError:
    """Return the error for more pairs than the graph has: the largest n, and the units with too few partners."""
    from causalopt.study.too_few_pairs import too_few_pairs

    largest = graph.largest
    what_next = (
        f"Take pairs={largest} or fewer (pairs='largest'), or loosen the calipers and exact keys of these units."
        if largest >= 2
        else "Loosen the calipers and exact keys."
    )
    return too_few_pairs(
        n,
        graph,
        f"{n:,} pairs cannot be formed: the largest n is {largest:,}, the size of the largest matching.{{blocks}} "
        f"{what_next} See the error's explanation.",
    )


# ---- reading the data ----


def _refuse(name: str, program: Program, options: SolveOptions) -> Solution:
    raise OptionError(f"{name} answers a RobustZProblem, not one of its programs: co.solve(problem, {name!r}).")


def _index_of(outcome: Any) -> pd.Index:
    return outcome.index if isinstance(outcome, pd.Series) else pd.RangeIndex(np.size(outcome))


def read_outcome(outcome: Any, labels: pd.Index, group: str) -> Floats:
    """Return the outcomes of a group in the order of its labels.

    Raises
    ------
    DataError
        Where units have no outcome, or one that is missing, infinite or not a number.
    """
    name = f"The {group} outcome"
    if isinstance(outcome, pd.Series):
        repeated = outcome.index[outcome.index.duplicated()]
        if len(repeated):
            raise DataError(f"{name} has the label {repeated[0]!r} more than once.")
        if not outcome.index.equals(labels):
            unknown = ~labels.isin(outcome.index)
            refuse_rows(unknown, labels, f"{name} is missing for units of the match graph,")
            outcome = outcome.loc[labels]
    values = read_numbers(outcome, name)
    if values.shape != (len(labels),):
        raise DataError(f"{name} must hold {len(labels)} values, one a {group} unit; its shape is {values.shape}.")
    refuse_rows(~np.isfinite(values), labels, f"{name} has missing or infinite values")
    return values


def read_pairs(pairs: Any, graph: MatchGraph, least: int = 2) -> int:
    """Return n, the number of pairs.

    Raises
    ------
    DataError
        For anything but "largest" or a whole number of at least `least`, and for "largest" in a graph of fewer.
    """
    if isinstance(pairs, str):
        if pairs != "largest":
            raise DataError(f"pairs is {pairs!r}; it must be a whole number, or 'largest'.")
        if graph.largest < least:
            raise too_many_pairs(least, graph)
        return graph.largest
    if not isinstance(pairs, numbers.Integral) or isinstance(pairs, bool):
        raise DataError(f"pairs is {pairs!r}; it must be a whole number, or 'largest'.")
    if pairs < least:
        raise DataError(
            f"pairs is {pairs}; at least {least} are needed"
            + (": the spread of a single pair is zero, and Z is not defined." if least == 2 else ".")
        )
    return int(pairs)
