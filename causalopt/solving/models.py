"""Solving Pyomo models themselves, also those that a `Program` cannot hold, and checking the answers on the model.

A model that compiles is verified against its `Program` as any other. For one that does not (quadratic constraints,
nonlinear terms, SOS, logic), constraints, bounds, integrality and the objective are evaluated at the point that came
back; its bound stays the solver's claim.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.base.var import IndexedVar
from pyomo.core.expr.numeric_expr import SumExpression
from pyomo.core.expr.visitor import identify_variables

from causalopt.errors import DataError, SolverFailure, UnsupportedProblem, warn
from causalopt.modeling.compile import compile_model
from causalopt.modeling.program import INFINITE, Floats, ProblemClass, Program
from causalopt.modeling.suffixes import load_duals
from causalopt.solving.attempts import far_number_notes, limit_notes, refusal, unused_options, verified_result
from causalopt.solving.backend import Backend
from causalopt.solving.options import SolveOptions
from causalopt.solving.result import Ledger, Result
from causalopt.solving.trying.ladder import solve_in_any_units
from causalopt.solving.trying.trials import Trial, verified_or_polished
from causalopt.verifying.claims import Limit, Proof, Reason, Solution, Termination, Tolerances, Verification
from causalopt.verifying.verify import false_claims, off_whole, settle_termination

#: Component types that can be evaluated at a point, or hold no condition on it.
_CHECKED = {
    "Set", "SetOf", "RangeSet", "Param", "Expression", "Suffix", "Block", "BuildAction", "BuildCheck",
    "ExternalFunction", "Var", "BooleanVar", "Objective", "Constraint", "SOSConstraint", "Reference",
}  # fmt: skip


def solve_model(
    model: Any,
    backend: Backend,
    start: Any,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
    reason: str,
) -> Result:
    """Hand a Pyomo model to a backend that takes models, verify the answer, and write it into the variables.

    Returns
    -------
    Result
        Its `x` is in the order of the program's columns where the model compiles, else in that of
        `model_variables`.

    Raises
    ------
    UnsupportedProblem
        Where the model is of a class that the solver does not take, or holds what cannot be checked.
    VerificationError
        Where the answer did not survive recomputation.
    """
    with ledger.phase("compile"):
        try:
            program = compile_model(model)
        except UnsupportedProblem:
            refuse_unchecked(model)
            program = None
    if program is not None:
        backend.check_can_solve(program)
    variables = model_variables(model) if program is None else program_variables(program)
    if start is True:
        values = np.array([np.nan if variable.value is None else variable.value for variable in variables], dtype=float)
        start = None if np.isnan(values).any() else values
    options = options.replace(start=start)
    options = options.replace(start=options.check_start(len(variables)))
    shown = unused_options(backend, options)
    if options.isolate:
        shown.append(f"{backend.name} got the Pyomo model itself, in this process: isolate had no effect.")
    trial = _answer(model, program, variables, backend, options, tolerances, ledger)
    verified, check = trial.verified, trial.check
    if not check.passed:
        raise refusal(f"{backend.name} ({backend.version()})", trial.solution, check)
    shown += limit_notes(backend, verified, check)
    for note in shown:
        warn(note)
    shown += [*(far_number_notes(program) if program is not None else []), *trial.notes]
    if verified.x is not None:
        write_values(variables, verified.x)
    if program is not None:
        load_duals(model, program, verified.row_dual)
    return verified_result(verified, check, ledger, backend, reason, shown)


def _answer(
    model: Any,
    program: Program | None,
    variables: Sequence[Any],
    backend: Backend,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
) -> Trial:
    """Hand over the model itself; its program where that answer does not hold, or has numbers read as infinite."""
    notes: tuple[str, ...] = ()
    if program is None or not program.far_numbers:
        with _far_numbers_open(model) if program is None else nullcontext():
            method = "" if program is None else backend.methods(program, options)[0]
            solution = settle_model(backend, model, variables, options, method)
        for phase, seconds in solution.seconds.items():
            ledger.add(phase, seconds)
        with ledger.phase("verify"):
            if program is None:
                return Trial(
                    solution, *verify_model(model, variables, solution, gap=options.gap, tolerances=tolerances)
                )
            trial = verified_or_polished(program, solution, options, tolerances)
        convex = program.problem_class in (ProblemClass.LP, ProblemClass.CONVEX_QP)
        unproven = convex and trial.verified.termination == dataclasses.replace(
            trial.verified.termination, reason=Reason.FEASIBLE, limit=Limit.NONE
        )
        if trial.check.passed and not unproven:
            return trial
        notes = (f"{backend.name}: {trial.check}; solved again, as arrays.",)
        try:
            again = solve_in_any_units(program, backend, options, tolerances, ledger)
        except SolverFailure:
            return trial
    else:
        again = solve_in_any_units(program, backend, options, tolerances, ledger)
    return dataclasses.replace(again, notes=notes + again.notes)


@contextmanager
def _far_numbers_open(model: Any) -> Iterator[None]:
    """Take bounds and sides of 1e20 or more out of a model for a while: each solver reads such numbers its own way."""

    def is_far(value: Any) -> bool:
        return value is not None and abs(value) >= INFINITE

    undo: list[Callable[[], None]] = []
    try:
        for variable in model.component_data_objects(pyo.Var, active=True):
            if is_far(variable.lb) or is_far(variable.ub):
                before = (variable.domain, variable.lower, variable.upper)
                undo.append(partial(_set_bounds, variable, *before))
                low, high = (None if is_far(bound) else bound for bound in (variable.lb, variable.ub))
                variable.setlb(low)
                variable.setub(high)
        for constraint in model.component_data_objects(pyo.Constraint, active=True):
            lower, body, upper = constraint.to_bounded_expression(evaluate_bounds=True)
            if is_far(lower) or is_far(upper):
                undo.append(partial(constraint.set_value, constraint.expr))
                low, high = (None if is_far(side) else side for side in (lower, upper))
                if low is None and high is None:
                    undo.append(constraint.activate)
                    constraint.deactivate()
                else:
                    constraint.set_value((low, body, high))
        yield
    finally:
        for step in reversed(undo):
            step()


def _set_bounds(variable: Any, domain: Any, lower: Any, upper: Any) -> None:
    variable.domain = domain
    variable.setlb(lower)
    variable.setub(upper)


def model_variables(model: Any) -> list[Any]:
    """Return the variables of a model's active blocks, and those that its constraints and objective bring along."""
    found = {id(variable): variable for variable in model.component_data_objects(pyo.Var, active=True)}
    bodies = [constraint.body for constraint in model.component_data_objects(pyo.Constraint, active=True)]
    for body in [*bodies, active_objective(model).expr]:
        for variable in identify_variables(body, include_fixed=True):
            found.setdefault(id(variable), variable)
    return list(found.values())


def program_variables(program: Program) -> list[Any]:
    """Return the Pyomo variables that a program's columns were compiled from, in their order."""
    variables: list[Any] = []
    for component, _, _ in program.columns:
        variables += component.values() if isinstance(component, IndexedVar) else [component]
    return variables


def write_values(variables: Sequence[Any], x: Floats) -> None:
    """Write a verified answer into the variables."""
    for variable, value in zip(variables, x.tolist(), strict=True):
        variable.set_value(value, skip_validation=True)


def active_objective(model: Any) -> Any:
    """Return the model's one active objective.

    Raises
    ------
    DataError
        Where there is none, or more than one.
    """
    objectives = list(model.component_data_objects(pyo.Objective, active=True))
    if len(objectives) != 1:
        raise DataError(f"The model has {len(objectives)} active objectives; exactly one is needed.")
    return objectives[0]


def refuse_unchecked(model: Any) -> None:
    """Raise where the model holds conditions that cannot be evaluated at a point.

    Raises
    ------
    UnsupportedProblem
    """
    for component in model.component_objects(active=True, descend_into=True):
        if component.ctype.__name__ not in _CHECKED:
            raise UnsupportedProblem(
                f"{component.name} is a {component.ctype.__name__}, which no answer can be checked against. Transform "
                "the model to constraints first, for example with pyo.TransformationFactory('gdp.bigm')."
            )


def settle_model(
    backend: Backend, model: Any, variables: Sequence[Any], options: SolveOptions, method: str = ""
) -> Solution:
    """Solve a model; where the solver says "infeasible or unbounded", a solve without objective decides."""
    solution = backend.solve_model(model, variables, options, method)
    raw = solution.termination.raw
    if solution.termination.reason is not Reason.NO_SOLUTION or "nbounded" not in raw:
        return solution
    objective = active_objective(model)
    name = next(f"feasibility_{k}" for k in range(10**6) if not hasattr(model, f"feasibility_{k}"))
    objective.deactivate()
    model.add_component(name, pyo.Objective(expr=0.0))
    try:
        second = backend.solve_model(model, variables, options.replace(start=None))
    finally:
        model.del_component(name)
        objective.activate()
    raw = f"{raw}, settled by a solve without objective"
    if second.termination.has_solution:
        return Solution(Termination(Reason.UNBOUNDED, raw=raw), seconds=solution.seconds, log=solution.log)
    if second.termination.reason is Reason.INFEASIBLE:
        return Solution(Termination(Reason.INFEASIBLE, raw=raw), seconds=solution.seconds, log=solution.log)
    return solution


def verify_model(
    model: Any,
    variables: Sequence[Any],
    solution: Solution,
    *,
    gap: float = 1e-6,
    tolerances: Tolerances | None = None,
) -> tuple[Solution, Verification]:
    """Evaluate a model at the point that a solver returned; the counterpart of `verify` for what no Program holds.

    Returns
    -------
    solution : Solution
        Its termination demoted from OPTIMAL to FEASIBLE where no bound within the gap is claimed.
    verification : Verification
        Never certified: a bound here is what the solver says.
    """
    tolerances = tolerances or Tolerances()
    if not solution.termination.has_solution:
        claimed = solution.termination.reason in (Reason.INFEASIBLE, Reason.UNBOUNDED)
        return solution, Verification(proof=Proof.CLAIMED if claimed else Proof.NONE)
    x = solution.x
    if x is None or x.shape != (len(variables),) or not np.isfinite(x).all():
        return solution, Verification(problems=("a solution was claimed, but its values are missing or not finite",))
    before = [(variable.value, variable.stale) for variable in variables]
    try:
        write_values(variables, x)
        check = _evaluated(model, variables, x, solution, tolerances)
    finally:
        for variable, (value, stale) in zip(variables, before, strict=True):
            variable.set_value(value, skip_validation=True)
            variable.stale = stale
    termination = settle_termination(solution.termination, check, max(gap, tolerances.optimality))
    return solution.replace(termination=termination, row_dual=None, farkas=None), check


def _evaluated(
    model: Any, variables: Sequence[Any], x: Floats, solution: Solution, tolerances: Tolerances
) -> Verification:
    problems: list[str] = []
    row, scaled = 0.0, 0.0
    for name, violation, size in _violations(model):
        row = max(row, violation)
        if violation / size > max(scaled, tolerances.feasibility):
            problems = [f"{name} is violated by {violation:.3g} ({violation / size:.1e} of its terms)"]
        scaled = max(scaled, violation / size)
    low = np.array([-np.inf if variable.lb is None else variable.lb for variable in variables])
    high = np.array([np.inf if variable.ub is None else variable.ub for variable in variables])
    outside = np.maximum(np.maximum(low - x, x - high), 0.0)
    bound_scale = np.maximum(1.0, np.minimum(np.abs(low), np.abs(high)))
    worst = int(np.argmax(outside / bound_scale)) if len(x) else 0
    if len(x) and outside[worst] / bound_scale[worst] > tolerances.feasibility:
        problems.append(f"{variables[worst].name} is outside its bounds by {outside[worst]:.3g}")
    whole = np.array([not variable.is_continuous() for variable in variables], dtype=bool)
    integrality, fractions = off_whole(x[whole], tolerances)
    objective = active_objective(model)
    value = float(pyo.value(objective))
    scale = max(abs(value), 1.0)
    bound, false = false_claims(solution, value, objective.sense == pyo.maximize, tolerances.objective * scale)
    return Verification(
        row_violation=row,
        bound_violation=float(outside.max(initial=0.0)),
        scaled_violation=max(scaled, float((outside / bound_scale).max(initial=0.0))),
        integrality_violation=integrality,
        objective=value,
        claimed_objective=solution.objective,
        bound=bound,
        claimed_bound=bound,
        gap=None if bound is None else abs(bound - value) / scale,
        proof=Proof.NONE if bound is None else Proof.CLAIMED,
        problems=(*problems, *fractions, *false),
    )


def _violations(model: Any) -> Iterator[tuple[str, float, float]]:
    """Yield name, violation, and the size of its terms, of each active constraint."""
    for constraint in model.component_data_objects(pyo.Constraint, active=True):
        lower, body, upper = constraint.to_bounded_expression(evaluate_bounds=True)
        value = float(pyo.value(body))
        bound = lower if lower is not None and (upper is None or value < lower) else upper
        violation = max(0.0, (lower or 0.0) - value if lower is not None else 0.0)
        violation = max(violation, value - upper if upper is not None else 0.0)
        terms = [abs(float(pyo.value(term))) for term in body.args] if isinstance(body, SumExpression) else []
        yield constraint.name, violation if np.isfinite(value) else np.inf, max(1.0, abs(bound or 0.0), *terms, 0.0)
    for constraint in model.component_data_objects(pyo.SOSConstraint, active=True):
        ordered = sorted(constraint.get_items(), key=lambda item: item[1])
        size = np.abs([float(pyo.value(variable)) for variable, _ in ordered])
        width = constraint.level  # that many neighbours may be nonzero
        windows = [np.delete(size, slice(k, k + width)).max(initial=0.0) for k in range(max(1, len(size) - width + 1))]
        yield constraint.name, float(min(windows)), 1.0
