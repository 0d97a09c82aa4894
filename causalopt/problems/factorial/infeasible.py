"""Which effects have nonnegative weights, and which tolerances or smaller models would give the others some."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from causalopt.errors import CausaloptError, InfeasibleError
from causalopt.modeling.program import Floats, Program
from causalopt.problems.factorial.design import Effect, OutcomeModel, identify, read_model
from causalopt.problems.factorial.rows import WeightSet, make_set
from causalopt.solving.elastic import least_relaxation, with_margin
from causalopt.solving.words import rounded_up

if TYPE_CHECKING:
    from causalopt.problems.factorial.problem import FactorialBalanceProblem

#: Nonzeros of a linear program above which only the joint one is solved.
MOST_ENTRIES = 5_000_000

#: What the columns of the explanation say.
LEGEND = {
    "extra tolerance": "by how many standard deviations all tolerances together must be larger for the effect to have "
    "weights of its own; empty: no tolerance does",
    "... alone": "by how many this tolerance must be larger where all others stay; inf: no value of it does",
    "estimable": "whether the effect has weights of its own at the tolerances asked for",
}

#: Extra tolerance that counts as none.
ZERO = 1e-8

#: An extra tolerance below which the margin of the smallest that works is that of this one.
SMALL = 0.01


def constraints(
    problem: FactorialBalanceProblem, effects: dict[Effect, Floats], model: OutcomeModel
) -> tuple[Program, Any]:
    """Return the constraints on the weights for some effects, and by how much tolerance widens each row.

    The rows are those of every effect, side and term, none left to others, so that an extra tolerance means what a
    tolerance means. The second is a (rows, functions) matrix: a standard deviation of each function in every row's
    unit; rows of the factors themselves are not widened.
    """
    functions = problem.functions
    ones = np.ones(len(functions.names))
    loose = dataclasses.replace(functions, tolerance=ones, interaction_tolerance=ones)
    s: WeightSet = make_set(effects, model, problem.factors, loose, 0)
    position = np.array([label.position for label in s.labels])
    asked = np.zeros(len(position))
    for k, label in enumerate(s.labels):
        if label.position:
            own = functions.tolerance if label.family == "covariates" else functions.interaction_tolerance
            asked[k] = own[label.position - 1]
    half = np.where(position > 0, s.half * asked, s.half)  # s.half is that of tolerance one for functions
    rows = np.flatnonzero(position)
    give = sp.csr_matrix((s.half[rows], (rows, position[rows] - 1)), shape=(len(position), len(functions.names)))
    return Program.from_arrays(np.zeros(s.size), s.rows.csr(), s.target - half, s.target + half), give


def smallest_extra(
    problem: FactorialBalanceProblem,
    effects: dict[Effect, Floats],
    model: OutcomeModel | None = None,
    *,
    solver: str = "auto",
    function: int | None = None,
) -> float:
    """Return the least tolerance, beyond what is asked for, with which these effects have weights; NaN without one.

    Of all covariate functions alike, or of one alone; with a margin of a millionth, so that it works when used.
    """
    if not problem.names:
        return 0.0
    program, give = constraints(problem, effects, model or problem.model)
    chosen = np.ones(len(problem.names)) if function is None else np.eye(len(problem.names))[function]
    found = least_relaxation(program, sp.csr_matrix((give @ chosen)[:, None]), solver=solver)
    if found is None:
        return np.nan
    return 0.0 if found.total <= ZERO else with_margin(found.total, SMALL)


def estimability(problem: FactorialBalanceProblem) -> pd.DataFrame:
    """Return the table of `FactorialBalanceProblem.estimability`."""
    table = problem.identification()
    extra = []
    for effect, weight in problem.contrasts.items():
        extra.append(np.nan if weight is None else smallest_extra(problem, {effect: weight}))
    table["extra tolerance"] = extra
    table["estimable"] = table["identified"] & (table["extra tolerance"] == 0)
    return table


def explain_infeasible(problem: FactorialBalanceProblem, solver: str = "auto") -> InfeasibleError:
    """Return the error for effects without weights, with what would give them some.

    Its `explanation` has by effect the columns of `estimability` and, for each covariate function, the extra tolerance
    that would do if it alone had more: infinite where none does. `attrs["all effects"]` has the same for the effects
    together. It takes a linear program for each effect and function, when it is looked at; the message takes one for
    each effect and two or three more. Beyond five million numbers only the joint one is solved.
    """
    try:
        return _explain(problem, solver)
    except CausaloptError as error:
        return InfeasibleError(
            f"No nonnegative weights balance all effects as asked, and no solver could explain why: {error}"
        )


def _explain(problem: FactorialBalanceProblem, solver: str) -> InfeasibleError:
    small = sum(s.rows.nonzeros() for s in problem.sets) <= MOST_ENTRIES
    table = estimability(problem) if small else problem.identification()
    ways = []
    joint = max(smallest_extra(problem, dict(s.effects), solver=solver) for s in problem.sets)
    if np.isnan(joint):
        ways.append("no tolerance of the covariates would do: the factors themselves cannot be balanced")
    elif joint > 0:
        ways.append(f"a tolerance {rounded_up(joint, 3)} standard deviations larger than asked for (for all functions)")
    else:
        ways.append("any slightly larger tolerance (the weights are missing by no more than rounding)")
    if small:
        estimable = table.index[table["estimable"]].tolist()
        if estimable and len(problem.sets) == 1 and len(problem.estimated) > 1:
            if len(estimable) == len(problem.estimated):
                ways.append("separate=True (each effect has weights of its own)")
            else:
                ways.append(f"effects={estimable} with separate=True (these have weights of their own)")
        ways += _smaller_models(problem)
    return InfeasibleError(
        f"No nonnegative weights balance {', '.join(_names(problem))} under the outcome model "
        f"({problem.model_words()}). What would do: {'; '.join(ways)}. See the error's explanation by effect and "
        "covariate; fewer covariate functions or rows with better overlap help too.",
        partial(_by_function, problem, table, solver) if small and problem.names else table,
    )


def _by_function(problem: FactorialBalanceProblem, table: pd.DataFrame, solver: str) -> pd.DataFrame:
    """Add to the table by effect what each function alone would need, and in `attrs` for effects that share weights."""

    def alone(effects: dict[Effect, Floats], p: int) -> float:
        extra = smallest_extra(problem, effects, solver=solver, function=p)
        return np.inf if np.isnan(extra) else extra

    table, shared = table.copy(), {}
    for p, name in enumerate(problem.names):
        extra = []
        for effect, weight in problem.contrasts.items():
            fine = table.loc[problem.factors.label(effect), "estimable"]
            extra.append(np.nan if weight is None else 0.0 if fine else alone({effect: weight}, p))
        table[f"{name} alone"] = extra
        shared[name] = max(alone(dict(s.effects), p) for s in problem.sets)
    table.attrs |= {"all effects": shared, "legend": LEGEND}
    table.attrs["least"] = ["extra tolerance", *(f"{name} alone" for name in problem.names)]
    return table


def _names(problem: FactorialBalanceProblem) -> list[str]:
    return [problem.factors.label(effect) for effect in problem.estimated]


def _smaller_models(problem: FactorialBalanceProblem) -> list[str]:
    """Return the smaller outcome models, largest first, under which all effects have weights: at most two."""
    highest = max(map(len, problem.model.factor_terms))
    least = max(map(len, problem.estimated))
    kinds = ["heterogeneous", "additive"] if problem.model.name == "heterogeneous" else ["additive"]
    found: list[str] = []
    for kind in kinds:
        for order in range(highest, least - 1, -1):
            if kind == problem.model.name and order == highest:
                continue
            model = read_model(kind, order, problem.factors, problem.names)
            weights = identify(list(problem.estimated), model.factor_terms, problem.factors)
            effects = {effect: weight for effect, weight in weights.items() if weight is not None}
            if len(effects) == len(weights) and smallest_extra(problem, effects, model) == 0:
                found.append(f"outcome_model={kind!r}" + (f" with model_order={order}" if order < highest else ""))
                break
    return found
