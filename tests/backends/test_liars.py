"""Backends that solve with SCIP and then lie, each in one way, on every problem class: each is caught."""

from __future__ import annotations

import numpy as np
import pytest

import causalopt as co
from causalopt.errors import SolverFailure, VerificationError
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.attempts import solve_program
from causalopt.solving.backend import get_backend
from causalopt.solving.options import SolveOptions
from causalopt.testing import Status, all_cases, run
from causalopt.verifying.claims import Limit, Reason, Termination

ScipBackend = type(get_backend("scip"))
ROWS, LOW, HIGH = [[1.0, 2.0, 1.0], [2.0, 1.0, 3.0]], [2.3, 1.1], [7.7, 9.4]
SQUARES = np.array([[2.0, 0.5, 0.0], [0.5, 3.0, 0.5], [0.0, 0.5, 2.0]])
SADDLE = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def example(problem_class: ProblemClass, maximize: bool) -> Program:
    integer = problem_class in (ProblemClass.MILP, ProblemClass.CONVEX_MIQP, ProblemClass.NONCONVEX_MIQP)
    q = None
    if problem_class in (ProblemClass.CONVEX_QP, ProblemClass.CONVEX_MIQP):
        q = SQUARES
    elif problem_class in (ProblemClass.NONCONVEX_QP, ProblemClass.NONCONVEX_MIQP):
        q = SADDLE
    sign = -1.0 if maximize else 1.0
    return Program.from_arrays(
        sign * np.array([1.3, 0.7, 1.9]),
        ROWS,
        LOW,
        HIGH,
        0,
        4,
        Q=None if q is None else sign * q,
        integer=[integer, integer, False],
        maximize=maximize,
    )


def wrong_objective(program, truth):
    return truth.replace(objective=truth.objective + 1e-3 * max(1.0, abs(truth.objective)))


def infeasible_point(program, truth):
    x = np.zeros(3)  # both rows ask for more
    return truth.replace(x=x, objective=program.objective(x), bound=program.objective(x))


def fractional_point(program, truth):
    relaxed = ScipBackend().solve(program.replace(integer=np.zeros(3, dtype=bool)), SolveOptions())
    x = relaxed.x
    if np.abs(x[:2] - x[:2].round()).max() < 1e-3:
        x = x + np.array([0.3, -0.15, 0.0])
    return truth.replace(x=x, objective=program.objective(x), bound=program.objective(x))


def optimal_at_a_limit(program, truth):
    """A feasible point far from the optimum, called optimal; the bound beside it is honest, or there is none."""
    x = np.array([1.0, 2.0, 1.0])
    stopped = Termination(Reason.OPTIMAL, Limit.TIME, "timelimit")
    return truth.replace(x=x, objective=program.objective(x), bound=truth.bound, termination=stopped, row_dual=None)


class Liar(ScipBackend):
    def __init__(self, lie):
        self.lie = lie

    def solve(self, program, options, method=""):
        truth = super().solve(program, options, method)
        return self.lie(program, truth) if truth.termination.has_solution else truth


CLASSES = pytest.mark.parametrize("problem_class", list(ProblemClass), ids=str)
SENSES = pytest.mark.parametrize("maximize", [False, True], ids=["minimise", "maximise"])


@CLASSES
@SENSES
def test_the_examples_are_what_they_say_and_are_solved_without_a_lie(problem_class, maximize):
    program = example(problem_class, maximize)
    assert program.problem_class is problem_class
    assert solve_program(program, get_backend("scip"), SolveOptions()).is_optimal
    x = np.array([1.0, 2.0, 1.0])
    assert ((program.A @ x >= program.row_lower) & (program.A @ x <= program.row_upper)).all()


@CLASSES
@SENSES
@pytest.mark.parametrize("lie", [wrong_objective, infeasible_point], ids=lambda lie: lie.__name__)
def test_a_lie_about_the_point_is_refused(problem_class, maximize, lie):
    with pytest.raises(VerificationError) as caught:
        solve_program(example(problem_class, maximize), Liar(lie), SolveOptions())
    said = {"wrong_objective": "claimed objective", "infeasible_point": "violated"}[lie.__name__]
    assert said in str(caught.value) and caught.value.verification.problems


@SENSES
@pytest.mark.parametrize("problem_class", [c for c in ProblemClass if "MI" in c.name], ids=str)
def test_a_fractional_point_is_refused(problem_class, maximize):
    with pytest.raises(VerificationError, match=r"away from a whole number|violated"):
        solve_program(example(problem_class, maximize), Liar(fractional_point), SolveOptions())


@CLASSES
@SENSES
def test_optimal_at_a_limit_is_refused_or_called_feasible_with_its_gap(problem_class, maximize):
    program = example(problem_class, maximize)
    best = solve_program(program, get_backend("scip"), SolveOptions()).objective
    if problem_class in (ProblemClass.LP, ProblemClass.CONVEX_QP):  # multipliers show that the point is not optimal
        with pytest.raises(VerificationError, match="optimal was claimed"):
            solve_program(program, Liar(optimal_at_a_limit), SolveOptions())
        return
    with pytest.warns(co.CausaloptWarning, match="time limit"):
        result = solve_program(program, Liar(optimal_at_a_limit), SolveOptions())
    assert result.status.reason is Reason.FEASIBLE and result.status.limit is Limit.TIME
    assert result.gap > 0.1 and abs(result.objective - best) > 0.1 * abs(best)


@pytest.mark.parametrize("lie", [wrong_objective, infeasible_point, fractional_point, optimal_at_a_limit])
def test_the_conformance_suite_fails_every_liar(lie):
    known = [case for case in all_cases() if case.objective is not None and case.family != "wide numbers"]
    cases = [case for case in known if case.program.n_columns == 3 and not case.name.startswith("scaled-qp")]
    honest = run("scip", cases=cases)
    assert honest and honest.count(Status.PASSED) > 15

    class Mistaken(Liar):  # the points of the lies above are for three columns
        def solve(self, program, options, method=""):
            try:
                return super().solve(program, options, method)
            except (ValueError, IndexError):
                return ScipBackend().solve(program, options, method)

    assert len(run(Mistaken(lie), cases=cases).failures) > len(cases) / 3


def test_a_solver_that_raises_is_a_failure_with_its_words():
    class Crashing(ScipBackend):
        def solve(self, program, options, method=""):
            raise SolverFailure("out of luck")

    with pytest.raises(SolverFailure, match="out of luck"):
        solve_program(example(ProblemClass.LP, False), Crashing(), SolveOptions())
