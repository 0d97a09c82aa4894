"""Which effects have nonnegative weights, and which tolerances or smaller models would give the others some."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from causalopt.errors import CausaloptError, InfeasibleError
from causalopt.modeling.program import Floats, Program
from causalopt.problems.factorial_design import Effect, OutcomeModel, identify, read_model
from causalopt.problems.factorial_rows import WeightSet, make_set

if TYPE_CHECKING:
    from causalopt.problems.factorial import FactorialBalanceProblem

#: Nonzeros of a linear program above which only the joint one is solved.
MOST_ENTRIES = 5_000_000

#: Extra tolerance that counts as none.
ZERO = 1e-8


def elastic_program(problem: FactorialBalanceProblem, effects: dict[Effect, Floats], model: OutcomeModel) -> Program:
    """Return the LP of the least e >= 0 such that all functions within e beyond their tolerances have weights.

    Its rows are those of every effect, side and term, none left to others, so that e means what a tolerance means.
    """
    functions = problem.functions
    ones = np.ones(len(functions.names))
    loose = dataclasses.replace(functions, tolerance=ones, interaction_tolerance=ones)
    s: WeightSet = make_set(effects, model, problem.factors, loose, 0)
    asked = np.zeros(len(s.labels))
    for k, label in enumerate(s.labels):
        if label.position:
            own = functions.tolerance if label.family == "covariates" else functions.interaction_tolerance
            asked[k] = own[label.position - 1]
    is_function = np.array([label.position > 0 for label in s.labels])
    half = np.where(is_function, s.half * asked, s.half)  # of tolerance one for functions
    matrix = s.rows.csr()
    per_unit = sp.csr_matrix(s.half[is_function][:, None])
    rows = sp.block_array(
        [
            [matrix[~is_function], None],
            [matrix[is_function], -per_unit],
            [matrix[is_function], per_unit],
        ],
        format="csr",
    )
    none = np.full(int(is_function.sum()), np.inf)
    free, fixed = s.target[is_function], s.target[~is_function]
    extra, same = half[is_function], half[~is_function]
    return Program.from_arrays(
        np.append(np.zeros(s.size), 1.0),
        rows,
        np.concatenate([fixed - same, -none, free - extra]),
        np.concatenate([fixed + same, free + extra, none]),
    )


def smallest_extra(
    problem: FactorialBalanceProblem, effects: dict[Effect, Floats], model: OutcomeModel | None = None
) -> float:
    """Return the least tolerance, beyond what is asked for, with which these effects have weights; NaN if unknown."""
    from causalopt.solving.attempts import solve_program
    from causalopt.solving.dispatch import choose_backend
    from causalopt.solving.options import SolveOptions

    if not problem.names:
        return 0.0
    program = elastic_program(problem, effects, model or problem.model)
    backend, _ = choose_backend(program, "auto")
    result = solve_program(program, backend, SolveOptions())
    if result.x is None:
        return np.nan
    extra = float(result.x[-1])
    return 0.0 if extra <= ZERO else extra


def estimability(problem: FactorialBalanceProblem) -> pd.DataFrame:
    """Return the table of `FactorialBalanceProblem.estimability`."""
    table = problem.identification()
    extra = []
    for effect, weight in problem.contrasts.items():
        extra.append(np.nan if weight is None else smallest_extra(problem, {effect: weight}))
    table["extra tolerance"] = extra
    table["estimable"] = table["identified"] & (table["extra tolerance"] == 0)
    return table


def explain_infeasible(problem: FactorialBalanceProblem) -> InfeasibleError:
    """Return the error for effects without weights, with what would give them some."""
    try:
        return _explain(problem)
    except CausaloptError as error:
        return InfeasibleError(
            f"No nonnegative weights balance all effects as asked, and no solver could explain why: {error}"
        )


def _explain(problem: FactorialBalanceProblem) -> InfeasibleError:
    small = sum(s.rows.nonzeros() for s in problem.sets) <= MOST_ENTRIES
    table = estimability(problem) if small else problem.identification()
    ways = []
    joint = max(smallest_extra(problem, dict(s.effects)) for s in problem.sets)
    if np.isnan(joint):
        ways.append("no tolerance of the covariates would do: the factors themselves cannot be balanced")
    elif joint > 0:
        ways.append(f"a tolerance {joint:.3g} standard deviations larger than asked for (for all functions)")
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
        f"({problem.model_words()}). What would do: {'; '.join(ways)}. See the error's explanation by effect; fewer "
        "covariate functions or rows with better overlap help too.",
        table,
    )


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
