"""Claims of infeasible and unbounded, settled by further solves."""

from __future__ import annotations

import numpy as np

from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.backend import Backend
from causalopt.solving.options import SolveOptions
from causalopt.solving.trying.ask import ask
from causalopt.verifying.certificate import directions
from causalopt.verifying.claims import Limit, Reason, Solution, Termination
from causalopt.verifying.feasibility import is_feasible
from causalopt.verifying.no_solution import improves_for_ever

#: SCIP takes 1e20 for infinite, and calls a point out there the optimum of an unbounded nonconvex program.
FAR_OUT = 1e9


def settle(program: Program, backend: Backend, options: SolveOptions, solution: Solution) -> Solution:
    """Decide between infeasible and unbounded, where the solver could not, by further solves.

    The same constraints without objective are an LP or MILP. It also settles a QP that the solver calls infeasible,
    as HiPO has done to feasible ones, and an LP or convex QP that it calls unbounded, as the active-set method has
    done to bounded ones: a feasible one is unbounded exactly where some direction improves for ever. A nonconvex QP
    that the solver ends without a bound, or far out, is unbounded where some direction curves downwards for ever.
    """
    reason, raw = solution.termination.reason, solution.termination.raw
    quadratic = program.Q is not None and program.Q.nnz > 0
    convex = program.problem_class in (ProblemClass.LP, ProblemClass.CONVEX_QP)
    nonconvex = program.problem_class is ProblemClass.NONCONVEX_QP
    doubtful = (reason is Reason.INFEASIBLE and quadratic) or (reason is Reason.UNBOUNDED and convex)
    unproven = (quadratic and convex) or (nonconvex and solution.bound is None)
    far_out = nonconvex and solution.x is not None and bool(np.abs(solution.x).max(initial=0.0) >= FAR_OUT)
    undecided = reason is Reason.NO_SOLUTION or (reason is Reason.FEASIBLE and unproven) or far_out
    if not doubtful and not (undecided and solution.termination.limit is Limit.NONE):
        return solution
    feasibility = program.replace(c=np.zeros(program.n_columns), Q=None, constant=0.0, convex=True)
    if feasibility.problem_class not in backend.classes:
        return solution
    first = backend.methods(feasibility, options)[0]
    options = options.replace(start=None)
    second = ask(backend, feasibility, options, first)
    raw = f"{raw}, settled by a solve without objective"
    if second.termination.reason is Reason.INFEASIBLE:
        return second.replace(termination=Termination(Reason.INFEASIBLE, raw=raw))
    if second.x is None or not is_feasible(feasibility, second.x):  # the solver's word is not enough here either
        return solution
    unbounded = _says_unbounded(solution)
    if (convex or nonconvex) and (unbounded or solution.termination.has_solution):
        ways = directions(program)
        ray = ask(backend, ways, options, backend.methods(ways, options)[0])
        improves = ray.x is not None and improves_for_ever(ways, ray.x)
        unbounded = improves or (unbounded and nonconvex)  # a nonconvex program may fall without such a direction
    if unbounded:
        return second.replace(termination=Termination(Reason.UNBOUNDED, raw=raw), x=None, row_dual=None)
    if doubtful:
        return solution.replace(termination=Termination(Reason.NO_SOLUTION, raw=f"{raw}: it is not"))
    return solution


def _says_unbounded(solution: Solution) -> bool:
    return solution.termination.reason is Reason.UNBOUNDED or "unbounded" in solution.termination.raw.lower()
