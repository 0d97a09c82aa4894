"""solve() and explain_infeasibility(): one lane for problems, Pyomo models and programs, and every solver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from causalopt import modeling
from causalopt.errors import DataError, OptionError
from causalopt.messages import argument
from causalopt.modeling.program import Program
from causalopt.solving.attempts import solve_program
from causalopt.solving.backend import Backend, get_backend
from causalopt.solving.choice import choose_backend
from causalopt.solving.infeasibility import Infeasibility, blocking_rows
from causalopt.solving.lane import Lane
from causalopt.solving.options import SolveOptions
from causalopt.solving.problem import Problem
from causalopt.solving.result import Ledger, Result
from causalopt.verifying.claims import Tolerances


def solve(
    problem_or_model: Any,
    solver: str | Backend = "auto",
    *,
    formulation: str | None = None,
    time_limit: float | None = None,
    gap: float = 1e-6,
    threads: int | None = None,
    seed: int = 0,
    start: Any = None,
    isolate: bool = False,
    memory_limit: float | None = None,
    log: bool = False,
    options: Mapping[str, Any] | None = None,
    tolerances: Tolerances | None = None,
) -> Any:
    """Solve a problem, a Pyomo model or a program, and verify the answer from the data.

    Parameters
    ----------
    problem_or_model : Problem, pyomo.environ.ConcreteModel, Block or Program
    solver : str or Backend
        A backend ("highs", "scip", "gurobi", "cplex"), a fast path of the problem ("dual-newton", ...), or "auto":
        an exact fast path where one applies, else the first installed open-source backend that takes the program.
        A backend of your own need not be registered: give the object.
    formulation : str, optional
        One of `problem.formulations`; None takes the first.
    time_limit : float, optional
        Seconds for the solver. A limit returns the incumbent with its gap, and warns.
    gap : float
        Relative gap at which a mixed-integer solve may stop.
    threads : int, optional
    seed : int
    start : (n,) array, or True, optional
        A solution to start from; True takes the values that the Pyomo variables hold.
    isolate : bool
        Solve in a process of its own: limits are hard, a crash of the solver is an error rather than the end of this
        process, and incumbents survive both.
    memory_limit : float, optional
        GiB that the solver's process may hold; needs `isolate`.
    log : bool
        Keep the solver's log on the result.
    options : mapping, optional
        Options in the solver's own names.
    tolerances : Tolerances, optional
        What verification accepts.

    Returns
    -------
    Result
        For a `Problem`, its own kind of result. For a model, the values are also written into its variables, and the
        multipliers into a suffix `dual` that imports, where it declares one. For models and
        programs, infeasible and unbounded are statuses of the result.

    Raises
    ------
    OptionError, DataError
        For a name or value that does not exist, or what is neither problem, model nor program.
    InfeasibleError
        For a `Problem` without solution, with an explanation in the study's terms.
    SolverNotAvailable, UnsupportedProblem, LicenseError
        Where the solver does not exist, cannot solve this class, or its licence is too small.
    VerificationError
        Where an answer did not survive recomputation.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> m = pyo.ConcreteModel()
    >>> m.x = pyo.Var(bounds=(0, 4))
    >>> m.o = pyo.Objective(expr=(m.x - 1) ** 2)
    >>> result = solve(m, "highs")
    >>> round(m.x.value, 6), result.status.reason
    (1.0, <Reason.OPTIMAL: 'optimal'>)
    """
    if not isinstance(solver, str):
        solver = get_backend(solver)
    ledger = Ledger()
    chosen = SolveOptions(
        time_limit=time_limit,
        gap=gap,
        threads=threads,
        seed=seed,
        log=log,
        solver_options=dict(options or {}),
        isolate=isolate,
        memory_limit=memory_limit,
    )
    if isinstance(problem_or_model, Problem):
        problem = problem_or_model
        ledger.add("data", problem.data_seconds)
        chosen = chosen if start is None else chosen.replace(start=start)
        return problem.answer(Lane(solver, problem.formulation_name(formulation), chosen, tolerances, ledger))
    if formulation is not None:
        raise OptionError(f"{argument('formulation')} is {formulation!r}, but only problems have formulations.")
    return _solve_model(problem_or_model, solver, start, chosen, tolerances, ledger)


def _solve_model(
    model: Any,
    solver: str | Backend,
    start: Any,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
) -> Result:
    if isinstance(model, Program):
        return _solve_program(model, solver, start, options, tolerances, ledger)
    if not hasattr(model, "component_objects"):
        raise DataError(f"solve() takes a causalopt problem, a Pyomo model or a Program, not {type(model).__name__}.")
    compile_model = modeling.compile_model  # first, so that loading Pyomo is not charged to a phase
    if (isinstance(solver, Backend) or ":" in solver) and (backend := get_backend(solver)).takes_models:
        from causalopt.solving.models import solve_model  # which loads Pyomo

        return solve_model(model, backend, start, options, tolerances, ledger, "it was asked for")
    with ledger.phase("compile"):
        program = compile_model(model)
        if start is True:
            start = modeling.start_values(program)
    result = _solve_program(program, solver, start, options, tolerances, ledger)
    if result.x is not None:
        modeling.load_values(program, result.x)
    modeling.load_duals(model, program, result.row_dual)
    return result


def _solve_program(
    program: Program,
    solver: str | Backend,
    start: Any,
    options: SolveOptions,
    tolerances: Tolerances | None,
    ledger: Ledger,
) -> Result:
    options = options.replace(start=None if start is True else start)
    backend, reason = choose_backend(program, solver)
    return solve_program(program, backend, options, tolerances, ledger, reason)


def explain_infeasibility(
    problem_or_model: Any, solver: str = "auto", *, formulation: str | None = None, time_limit: float | None = 60.0
) -> Infeasibility:
    """Return which constraints of a model must give way until it can be met, and how far.

    Parameters
    ----------
    problem_or_model : Problem, pyomo.environ.ConcreteModel, Block or Program
        A model with constraints of your own, for example. Its objective plays no part: it may be of any kind, or
        missing.
    solver : str
        Any backend; where it does not take linear programs of this size, an open-source one stands in.
    formulation : str, optional
        Of a problem.
    time_limit : float, optional
        Seconds for the solver: twice this at most for an integer program, which takes a continuous program first.

    Returns
    -------
    Infeasibility

    Notes
    -----
    The least total change is found by a linear program with one more variable and two more rows a constraint (see
    `causalopt.solving.elastic`): it takes about as long as to find a feasible point, and nothing is computed before
    you ask. There may be other changes of the same total. Bounds of variables give way only where they contradict
    themselves: crossed, or without a whole number between them. These are then constraints like the others. A
    constraint or variable that contradicts itself is named in the words, with its two numbers.

    Raises
    ------
    UnsupportedProblem
        For a model that does not compile: its nonlinear part is named.
    DataError
        Where no change was found within the time limit, and for a constraint that asks for 1e20 or more.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> m = pyo.ConcreteModel()
    >>> m.x = pyo.Var()
    >>> m.budget = pyo.Constraint(expr=m.x <= 5)
    >>> m.demand = pyo.Constraint(["a", "b"], rule=lambda m, k: m.x >= 7)
    >>> m.cost = pyo.Objective(expr=m.x)
    >>> print(explain_infeasibility(m))
    No point meets all constraints. What gives way in the least total change, 2:
    budget. That no smaller change does is certified by causalopt.
    <BLANKLINE>
    constraint index  side  asked  needed  gives way by
        budget       upper    5.0     7.0           2.0
    """
    if isinstance(problem_or_model, Program):
        program = problem_or_model
    else:
        is_problem = isinstance(problem_or_model, Problem)
        model = problem_or_model.build(formulation) if is_problem else problem_or_model
        program = modeling.compile_model(model, objective=False)
    return blocking_rows(program, solver, time_limit=time_limit)
