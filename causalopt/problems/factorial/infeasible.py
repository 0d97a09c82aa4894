"""Which effects have nonnegative weights, and which tolerances or smaller models would give the others some."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from causalopt.errors import CausaloptError, InfeasibleError
from causalopt.messages import argument
from causalopt.modeling.program import Floats, Program
from causalopt.problems.factorial.data import FactorialStudy
from causalopt.problems.factorial.design import Effect, OutcomeModel, identify, read_model
from causalopt.problems.factorial.rows import WeightSet, make_set
from causalopt.solving.elastic import least_relaxation, with_margin
from causalopt.solving.words import rounded_up

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


def constraints(study: FactorialStudy, effects: dict[Effect, Floats], model: OutcomeModel) -> tuple[Program, Any]:
    """Return the constraints on the weights for some effects, and by how much tolerance widens each row.

    The rows are those of every effect, side and term, none left to others, so that an extra tolerance means what a
    tolerance means. The second is a (rows, functions) matrix: a standard deviation of each function in every row's
    unit; rows of the factors themselves are not widened.
    """
    functions = study.functions
    ones = np.ones(len(functions.names))
    loose = dataclasses.replace(functions, tolerance=ones, interaction_tolerance=ones)
    s: WeightSet = make_set(effects, model, study.factors, loose, 0)
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
    study: FactorialStudy,
    effects: dict[Effect, Floats],
    model: OutcomeModel | None = None,
    *,
    solver: str = "auto",
    function: int | None = None,
) -> float:
    """Return the least tolerance, beyond what is asked for, with which these effects have weights; NaN without one.

    Of all covariate functions alike, or of one alone; with a margin of a millionth, so that it works when used.
    """
    if not study.names:
        return 0.0
    program, give = constraints(study, effects, model or study.model)
    chosen = np.ones(len(study.names)) if function is None else np.eye(len(study.names))[function]
    found = least_relaxation(program, sp.csr_matrix((give @ chosen)[:, None]), solver=solver)
    if found is None:
        return np.nan
    return 0.0 if found.total <= ZERO else with_margin(found.total, SMALL)


def estimability(study: FactorialStudy) -> pd.DataFrame:
    """Return the table of `FactorialBalanceProblem.estimability`."""
    table = study.identification()
    table["extra tolerance"] = [
        np.nan if weight is None else smallest_extra(study, {effect: weight})
        for effect, weight in study.contrasts.items()
    ]
    table["estimable"] = table["identified"] & (table["extra tolerance"] == 0)
    return table


def explain_infeasible(study: FactorialStudy, solver: str = "auto") -> InfeasibleError:
    """Return the error for effects without weights, with what would give them some.

    Its `explanation` has by effect the columns of `estimability` and, for each covariate function, the extra tolerance
    that would do if it alone had more: infinite where none does. `attrs["all effects"]` has the same for the effects
    together. It takes a linear program for each effect and function, when it is looked at; the message takes one for
    each effect and two or three more. Beyond five million numbers only the joint one is solved.
    """
    try:
        return _explain(study, solver)
    except CausaloptError as error:
        return InfeasibleError(
            "No nonnegative weights balance all effects as asked, and no solver could explain why: "
            + error.message.marked
        )


def _explain(study: FactorialStudy, solver: str) -> InfeasibleError:
    small = sum(s.rows.nonzeros() for s in study.sets) <= MOST_ENTRIES
    table = estimability(study) if small else study.identification()
    ways = []
    joint = max(smallest_extra(study, dict(s.effects), solver=solver) for s in study.sets)
    if np.isnan(joint):
        ways.append("no tolerance of the covariates would do: the factors themselves cannot be balanced")
    elif joint > 0:
        ways.append(f"a tolerance {rounded_up(joint, 3)} standard deviations larger than asked for (for all functions)")
    else:
        ways.append("any slightly larger tolerance (the weights are missing by no more than rounding)")
    if small:
        estimable = table.index[table["estimable"]].tolist()
        if estimable and len(study.sets) == 1 and len(study.estimated) > 1:
            if len(estimable) == len(study.estimated):
                ways.append(f"{argument('separate', True)} (each effect has weights of its own)")
            else:
                ways.append(
                    f"{argument('effects', estimable)} with {argument('separate', True)} "
                    "(these have weights of their own)"
                )
        ways += _smaller_models(study)
    return InfeasibleError(
        f"No nonnegative weights balance {', '.join(study.known)} under the outcome model "
        f"({study.model_words()}). What would do: {'; '.join(ways)}. See the error's explanation by effect and "
        "covariate; fewer covariate functions or rows with better overlap help too.",
        partial(_by_function, study, table, solver) if small and study.names else table,
    )


def _by_function(study: FactorialStudy, table: pd.DataFrame, solver: str) -> pd.DataFrame:
    """Add to the table by effect what each function alone would need, and in `attrs` for effects that share weights."""

    def alone(effects: dict[Effect, Floats], p: int) -> float:
        extra = smallest_extra(study, effects, solver=solver, function=p)
        return np.inf if np.isnan(extra) else extra

    table, shared = table.copy(), {}
    for p, name in enumerate(study.names):
        extra = []
        for effect, weight in study.contrasts.items():
            fine = table.loc[study.factors.label(effect), "estimable"]
            extra.append(np.nan if weight is None else 0.0 if fine else alone({effect: weight}, p))
        table[f"{name} alone"] = extra
        shared[name] = max(alone(dict(s.effects), p) for s in study.sets)
    table.attrs |= {"all effects": shared, "legend": LEGEND}
    table.attrs["least"] = ["extra tolerance", *(f"{name} alone" for name in study.names)]
    return table


def _smaller_models(study: FactorialStudy) -> list[str]:
    """Return the smaller outcome models, largest first, under which all effects have weights: at most two."""
    highest = max(map(len, study.model.factor_terms))
    least = max(map(len, study.estimated))
    kinds = ["heterogeneous", "additive"] if study.model.name == "heterogeneous" else ["additive"]
    found: list[str] = []
    for kind in kinds:
        for order in range(highest, least - 1, -1):
            if kind == study.model.name and order == highest:
                continue
            model = read_model(kind, order, study.factors, study.names)
            weights = identify(list(study.estimated), model.factor_terms, study.factors)
            effects = {effect: weight for effect, weight in weights.items() if weight is not None}
            if len(effects) == len(weights) and smallest_extra(study, effects, model) == 0:
                smaller = f" with {argument('model_order', order)}" if order < highest else ""
                found.append(argument("outcome_model", kind) + smaller)
                break
    return found
