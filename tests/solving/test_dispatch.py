"""solve(): what it takes, whom it chooses, what it refuses, and what its result says."""

from __future__ import annotations

import importlib.metadata
import sys
import time
import types

import numpy as np
import pyomo.environ as pyo
import pytest
from causalopt_highs import HighsBackend
from liars import Liar, only_feasible

from causalopt.errors import (
    CausaloptWarning,
    DataError,
    InfeasibleError,
    LicenseError,
    OptionError,
    SolverFailure,
    SolverNotAvailable,
    VerificationError,
)
from causalopt.modeling.components import ArrayConstraint, ArrayVar, is_untouched
from causalopt.modeling.costs import ArrayObjective
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving import backend as registry
from causalopt.solving.attempts import solve_program
from causalopt.solving.backend import ENTRY_POINTS, Ability, License
from causalopt.solving.choice import choose_backend
from causalopt.solving.dispatch import solve
from causalopt.solving.options import SolveOptions
from causalopt.solving.problem import Formulation, Problem
from causalopt.solving.result import Result, TimeLedger
from causalopt.verifying.claims import Limit, Proof, Reason, Solution, Termination

LP = Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], 1.0)
QP = Program.from_arrays([-4.0, 0.0], [[1.0, 1.0]], 1.0, Q=[[2.0, 1.0], [1.0, 2.0]])


def plain_model():
    """max 3a + 2b + 2 with a + b <= 4, a + 3b <= 6, a <= 3, both whole: 13 at (3, 1)."""
    m = pyo.ConcreteModel()
    m.a = pyo.Var(bounds=(0, 3), domain=pyo.Integers)
    m.b = pyo.Var(bounds=(0, None), domain=pyo.NonNegativeIntegers)
    m.limit = pyo.Constraint(expr=m.a + m.b <= 4)
    m.other = pyo.Constraint(expr=m.a + 3 * m.b <= 6)
    m.worth = pyo.Objective(expr=3 * m.a + 2 * m.b + 2, sense=pyo.maximize)
    return m


def array_model(n=6, total=4.5):
    """The point of a simplex that is nearest to 0, 1, ..., n - 1."""
    m = pyo.ConcreteModel()
    m.x = ArrayVar(np.zeros(n), np.inf)
    m.sum = ArrayConstraint(m.x, np.ones((1, n)), total, total)
    target = np.arange(n, dtype=float)
    m.cost = ArrayObjective(m.x, -target, np.ones(n), float(target @ target) / 2.0)
    return m


def simplex_projection(target, total):
    """Sort and shift: the closed form."""
    ordered = np.sort(target)[::-1]
    shift = (np.cumsum(ordered) - total) / np.arange(1, len(target) + 1)
    last = np.flatnonzero(ordered > shift)[-1]
    return np.maximum(target - shift[last], 0.0)


# --- what it takes


def test_a_program_is_solved_and_checked():
    result = solve(LP, "highs")
    assert type(result) is Result
    assert result.x == pytest.approx([1.0, 0.0])
    assert (result.objective, result.bound, result.gap) == (1.0, 1.0, 0.0)
    assert result.row_dual == pytest.approx([1.0])
    assert (result.solver, result.solver_version, result.license) == (
        "highs",
        importlib.metadata.version("highspy"),
        "open source",
    )
    assert result.verification.passed


def test_a_plain_pyomo_model_is_solved_and_its_values_are_written_back():
    m = plain_model()
    result = solve(m, "highs")
    assert result.is_optimal
    assert result.objective == pytest.approx(13.0)
    assert (m.a.value, m.b.value) == (pytest.approx(3.0), pytest.approx(1.0))
    assert pyo.value(m.worth) == pytest.approx(result.objective)


def test_a_model_of_array_components_gets_its_values_without_being_touched():
    m = array_model()
    result = solve(m, "highs")
    expected = simplex_projection(np.arange(6.0), 4.5)
    assert is_untouched(m.x)
    assert [m.x[i].value for i in range(6)] == pytest.approx(expected, abs=1e-5)
    assert result.objective == pytest.approx(((expected - np.arange(6.0)) ** 2).sum() / 2.0, abs=1e-6)
    assert result.verification.proof is Proof.CERTIFIED


def test_array_components_and_ordinary_ones_are_solved_together():
    m = array_model()
    m.extra = pyo.Var(bounds=(0, 10))
    m.link = pyo.Constraint(expr=m.extra == m.x[5] + 1)
    m.cap = pyo.Constraint(expr=m.extra <= 2)
    solve(m, "highs")
    expected = np.append(simplex_projection(np.arange(5.0), 3.5), 1.0)
    assert [v.value for v in m.x.values()] == pytest.approx(expected, abs=1e-5)
    assert m.extra.value == pytest.approx(2.0)


def test_a_block_is_solved_on_its_own():
    m = pyo.ConcreteModel()
    m.part = pyo.Block()
    m.part.x = pyo.Var(bounds=(1, 4))
    m.part.o = pyo.Objective(expr=m.part.x)
    m.rest = pyo.Var()
    assert solve(m.part, "highs").objective == pytest.approx(1.0)
    assert m.part.x.value == pytest.approx(1.0)
    assert m.rest.value is None


def test_a_model_without_solution_keeps_the_values_it_had():
    m = plain_model()
    m.a.set_value(2)
    m.closed = pyo.Constraint(expr=m.a + m.b >= 5)
    result = solve(m, "highs")
    assert result.status.reason is Reason.INFEASIBLE
    assert (m.a.value, m.b.value) == (2, None)


def test_the_values_of_the_model_can_be_the_start():
    m = plain_model()
    m.a.set_value(2)
    m.b.set_value(1)
    starts = []

    class Watching(HighsBackend):
        def solve(self, program, options, method=""):
            starts.append(options.start)
            return super().solve(program, options, method)

    with pytest.MonkeyPatch.context() as patch:
        register(patch, watching=Watching)
        solve(m, "watching", start=True)
        solve(plain_model(), "watching", start=True)  # no values: no start
        solve(LP, "watching", start=[0.5, 0.5])
    assert starts[0].tolist() == [2.0, 1.0]
    assert starts[1] is None
    assert starts[2].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("thing", [3, "model", None, [1.0, 2.0], np.eye(2), object()])
def test_anything_else_is_refused(thing):
    with pytest.raises(DataError, match=r"takes a causalopt problem, a Pyomo model or a Program, not \w+"):
        solve(thing)


# --- whom it chooses


def register(monkeypatch, keep=True, **backends):
    """Register backends for the time of a test, as a third party's package would."""
    entries = dict(registry._entry_points()) if keep else {}
    for name, cls in backends.items():
        module = f"plugin_of_{name}_{id(cls)}"
        plugin = types.ModuleType(module)
        plugin.backend = type(cls.__name__, (cls,), {"name": name})
        monkeypatch.setitem(sys.modules, module, plugin)
        entries[name] = importlib.metadata.EntryPoint(name, f"{module}:backend", ENTRY_POINTS)
    monkeypatch.setattr(registry, "_entry_points", lambda: entries)
    registry.load_backend.cache_clear()


@pytest.fixture
def plugins(monkeypatch):
    yield lambda keep=True, **backends: register(monkeypatch, keep, **backends)
    registry.load_backend.cache_clear()


class Absent(HighsBackend):
    package = "a_package_that_nobody_has"
    distribution = "nobodys-solver"


class Proprietary(HighsBackend):
    open_source = False


class Small(HighsBackend):
    open_source = False

    def license(self):
        return License("restricted", max_columns=1)


class Bare(HighsBackend):
    abilities = frozenset()


class LinearOnly(HighsBackend):
    classes = frozenset({ProblemClass.LP})


def test_auto_takes_an_open_source_solver_and_says_why():
    for program, words in ((LP, "LP"), (QP, "convex QP")):
        result = solve(program)
        assert registry.get_backend(result.solver).open_source
        assert result.solver_reason == (
            f"{result.solver} is the first installed open-source solver that takes a {words}"
        )
    assert solve(LP, "highs").solver_reason == "it was asked for"


def test_auto_takes_the_first_that_fits_and_never_a_proprietary_one(plugins):
    plugins(keep=False, alpha=Proprietary, beta=Absent, gamma=LinearOnly, delta=HighsBackend)
    assert choose_backend(LP, "auto")[0].name == "delta"
    plugins(keep=False, alpha=Proprietary, gamma=LinearOnly)
    assert choose_backend(LP, "auto")[0].name == "gamma"
    with pytest.raises(
        SolverNotAvailable, match=r"open-source solver takes this convex QP\. Ask by name for one of: alp"
    ):
        choose_backend(QP, "auto")
    assert solve(QP, "alpha").is_optimal
    plugins(keep=False, gamma=LinearOnly)
    with pytest.raises(SolverNotAvailable, match="pip install pyscipopt brings one"):
        choose_backend(QP, "auto")


@pytest.mark.parametrize(("name", "near"), [("hihgs", "highs"), ("HiGHS", "highs"), ("highspy", "highs")])
def test_an_unknown_solver_is_an_error_with_suggestions(name, near):
    with pytest.raises(SolverNotAvailable, match=f"Unknown solver {name!r}. .*{near!r}"):
        solve(LP, name)


def test_a_solver_like_no_other_is_an_error_that_lists_the_known():
    with pytest.raises(SolverNotAvailable, match=r"Unknown solver 'zzz'. Known: .*highs"):
        solve(LP, "zzz")


def test_a_solver_that_is_not_installed_is_an_error_that_says_what_is(plugins):
    plugins(ghost=Absent)
    with pytest.raises(
        SolverNotAvailable, match=r"needs the package nobodys-solver.*pip install nobodys-solver"
    ) as error:
        solve(LP, "ghost")
    installed = str(error.value).split("Installed solvers: ")[1]
    assert "highs" in installed
    assert "ghost" not in installed


def test_a_licence_that_is_too_small_is_an_error_that_names_what_fits(plugins):
    plugins(small=Small)
    with pytest.raises(LicenseError, match=r"the restricted licence allows 1 variables, the model has 2.*highs"):
        solve(LP, "small")


def test_an_option_that_the_solver_cannot_use_is_said_once(plugins):
    plugins(bare=Bare)
    with pytest.warns(CausaloptWarning, match="bare cannot use") as caught:
        result = solve(LP, "bare", start=[1.0, 0.0], seed=3, threads=2, time_limit=60.0)
    assert result.is_optimal
    words = [str(w.message) for w in caught]
    assert words == [f"bare cannot use {n}; it had no effect." for n in ("start", "seed", "threads", "time_limit")]
    assert list(result.warnings) == words
    assert solve(LP, "bare", threads=1, seed=0).warnings == ()


# --- what it refuses


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("time_limit", [-1.0, 0, np.nan, "3", True]),
        ("gap", [-1e-9, np.nan, np.inf, None, "small"]),
        ("threads", [0, -1, 1.5, "2", True]),
        ("seed", [-1, 0.5, np.nan, "a", None]),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(option, values):
    for value in values:
        with pytest.raises(OptionError, match=f"{option} is .*; it must be"):
            solve(LP, "highs", **{option: value})


def test_options_may_be_numpy_numbers():
    result = solve(
        LP, "highs", time_limit=np.float32(60), gap=np.float32(0.5), threads=np.int64(1), seed=np.int32(3)
    )  # fmt: skip
    assert result.is_optimal


def test_an_option_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="timelimit"):
        solve(LP, "highs", timelimit=3)
    with pytest.raises(OptionError, match="Did you mean 'time_limit'"):
        solve(LP, "highs", options={"timelimit": 3})


def test_only_problems_have_formulations():
    for thing in (LP, plain_model()):
        with pytest.raises(OptionError, match="only problems have formulations"):
            solve(thing, "highs", formulation="standard")


# --- problems


class Nearest(Problem):
    """The simplex projection as a problem, with a fast path that can be told to err."""

    _formulations = {  # noqa: RUF012
        "standard": Formulation(ProblemClass.CONVEX_QP, True, "a test"),
        "solvers only": Formulation(ProblemClass.CONVEX_QP, True, "a test"),
    }
    data_seconds = 0.125

    def __init__(self, total=4.5, error=0.0):
        self.total, self.error = total, error

    def _components(self, block, formulation):
        block.x = ArrayVar(np.zeros(6), 10.0)
        block.sum = ArrayConstraint(block.x, np.ones((1, 6)), self.total, self.total)
        target = np.arange(6.0)
        return {"x": block.x, "linear": -target, "quadratic": np.ones(6), "constant": target @ target / 2}, pyo.minimize

    def sort_and_shift(self, program, options):
        x = simplex_projection(np.arange(6.0), self.total) + self.error
        return Solution(Termination(Reason.OPTIMAL), x=x, objective=program.objective(x))

    def fast_paths(self, formulation):
        return {"sort": self.sort_and_shift} if formulation == "standard" else {}

    def result(self, result, program):
        return result


def test_a_problem_takes_its_fast_path_and_says_so():
    result = solve(Nearest())
    assert (result.solver, result.formulation) == ("sort", "standard")
    assert result.solver_reason == "sort is an exact algorithm for this problem"
    assert result.is_optimal
    assert result.verification.proof is Proof.CERTIFIED
    assert result.timing.data == 0.125
    assert solve(Nearest(), "sort").solver_reason == "it was asked for"


def test_a_problem_takes_the_solver_and_formulation_that_are_named():
    by_solver = solve(Nearest(), "highs")
    assert (by_solver.solver, by_solver.formulation) == ("highs", "standard")
    assert by_solver.x == pytest.approx(solve(Nearest()).x, abs=1e-5)
    other = solve(Nearest(), formulation="solvers only")
    assert registry.get_backend(other.solver).open_source
    assert other.formulation == "solvers only"


def test_an_unknown_formulation_is_an_error_with_suggestions():
    with pytest.raises(OptionError, match=r"Unknown formulation 'standart'\. Did you mean 'standard'"):
        solve(Nearest(), formulation="standart")


def test_an_unknown_solver_of_a_problem_is_an_error_that_knows_the_fast_paths():
    with pytest.raises(SolverNotAvailable, match=r"Unknown solver 'sortt'\. Did you mean 'sort'"):
        solve(Nearest(), "sortt")


def test_a_fast_path_that_errs_is_caught():
    for error in (1e-3, -1e-3, np.nan):
        with pytest.raises(VerificationError, match="sort claimed optimal"):
            solve(Nearest(error=error), "sort")


@pytest.mark.parametrize("error", [1e-3, -1e-3, np.nan])
def test_where_nobody_asked_for_a_fast_path_that_errs_a_solver_answers_and_says_so(error):
    result = solve(Nearest(error=error), time_limit=60.0)
    assert result.x == pytest.approx(simplex_projection(np.arange(6.0), 4.5), abs=1e-5)
    assert registry.get_backend(result.solver).open_source
    assert result.warnings[0].startswith("A solver answers, since sort did not: sort claimed optimal")


def test_a_fast_path_takes_no_solver_options():
    with pytest.raises(OptionError, match="sort takes no solver options: presolve"):
        solve(Nearest(), "sort", options={"presolve": "off"})


def test_a_start_of_the_wrong_shape_is_refused_by_fast_paths_and_solvers():
    for solver in ("sort", "highs"):
        with pytest.raises(DataError, match="start must be 6 finite values"):
            solve(Nearest(), solver, start=[1.0, 2.0])


def test_a_problem_without_solution_is_an_error():
    with pytest.raises(InfeasibleError, match="No solution satisfies the constraints"):
        solve(Nearest(total=1000.0), "highs")


def test_a_problem_whose_solver_finds_nothing_in_time_is_an_error(plugins):
    class Late(HighsBackend):
        def solve(self, program, options, method=""):
            return Solution(Termination(Reason.NO_SOLUTION, Limit.TIME, "Time limit reached"))

    plugins(late=Late)
    with (
        pytest.warns(CausaloptWarning, match="time limit"),
        pytest.raises(SolverFailure, match=r"ended without a solution \(no solution \(time limit\)\)"),
    ):
        solve(Nearest(), "late")


# --- what the result says


def test_the_time_ledger_adds_up():
    start = time.perf_counter()
    result = solve(array_model(n=2000, total=50.0), "highs")
    wall = time.perf_counter() - start
    timing = result.timing
    phases = [getattr(timing, name) for name in TimeLedger.phases()]
    assert min(phases) >= 0.0
    assert timing.total == pytest.approx(sum(phases))
    assert 0.5 * wall <= timing.total <= wall
    for name in ("compile", "load", "solve", "extract", "verify"):
        assert getattr(timing, name) > 0.0
    assert (timing.data, timing.build) == (0.0, 0.0)
    assert "solve" in str(timing)
    assert "total" in str(timing)


def test_the_time_of_every_part_and_method_is_charged():
    class Slow(Liar):
        def solve(self, program, options, method=""):
            return super().solve(program, options, method).replace(seconds={"solve": 1.0})

    program = QP.replace(upper=np.array([3.0, 3.0]))
    assert solve_program(program, Slow(lambda program, truth: truth), SolveOptions()).timing.solve == 1.0
    assert solve_program(program, Slow(only_feasible, ["hipo"]), SolveOptions()).timing.solve == 2.0
    apart = Program.from_arrays(np.zeros(4), [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]], 1.0, Q=np.eye(4))
    assert solve_program(apart, Slow(lambda program, truth: truth), SolveOptions()).timing.solve == 2.0


def test_summary_and_table_show_status_figures_solver_and_verification():
    result = solve(LP, "highs")
    summary, table = result.summary(), result.to_frame()
    assert table.index.name == "fact"
    expected = {
        "status": "optimal",
        "objective": "1",
        "bound": "1",
        "gap": "0",
        "why this solver": "it was asked for",
        "verification": str(result.verification),
        "time": str(result.timing),
    }
    for fact, text in expected.items():
        assert table.loc[fact, "value"] == text
        assert any(line.startswith(fact) and line.endswith(text) for line in summary.splitlines())
    assert "certified by causalopt" in table.loc["verification", "value"]
    assert table.loc["solver", "value"] == f"highs {result.solver_version}, simplex"
    assert "formulation" not in table.index


def test_summary_of_a_program_without_solution_shows_no_figures():
    result = solve(LP.replace(upper=np.array([0.25, 0.25])), "highs")
    assert list(result.facts()) == ["status", "solver", "why this solver", "verification", "time"]
    assert "infeasible" in result.summary()
    assert "certified by causalopt" in result.summary()


@pytest.mark.parametrize(
    ("reason", "truth"),
    [
        (Reason.OPTIMAL, True),
        (Reason.FEASIBLE, True),
        (Reason.INFEASIBLE, False),
        (Reason.UNBOUNDED, False),
        (Reason.NO_SOLUTION, False),
        (Reason.ERROR, False),
    ],
)
def test_a_result_is_true_where_it_holds_a_solution(reason, truth):
    assert bool(Result(status=Termination(reason))) is truth
    assert Result(status=Termination(reason)).is_optimal is (reason is Reason.OPTIMAL)


def test_a_limit_warns_keeps_the_incumbent_and_writes_it_into_the_model():
    rng = np.random.default_rng(0)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(40), domain=pyo.Binary)
    m.over = pyo.Var(range(5), bounds=(0, None))
    m.under = pyo.Var(range(5), bounds=(0, None))
    weight = rng.integers(0, 100, (5, 40))
    m.split = pyo.Constraint(
        range(5),
        rule=lambda m, i: (
            sum(int(weight[i, j]) * m.x[j] for j in range(40)) + m.over[i] - m.under[i] == int(weight[i].sum()) // 2
        ),
    )
    m.miss = pyo.Objective(expr=sum(m.over.values()) + sum(m.under.values()))
    with pytest.warns(CausaloptWarning, match="highs stopped at its nodes limit with a gap of") as caught:
        result = solve(m, "highs", options={"mip_max_nodes": 1})
    assert caught[0].filename == __file__
    assert result
    assert not result.is_optimal
    assert (result.status.reason, result.status.limit) == (Reason.FEASIBLE, Limit.NODES)
    assert str(result.status) == "feasible (nodes limit)"
    assert pyo.value(m.miss) == pytest.approx(result.objective)
    assert result.bound < result.objective
    assert result.gap == pytest.approx((result.objective - result.bound) / result.objective)
    assert result.verification.proof is Proof.CLAIMED
    assert any("nodes limit" in words for words in result.warnings)


def test_an_answer_that_is_optimal_warns_of_nothing(recwarn):
    for thing in (LP, QP, plain_model(), array_model()):
        result = solve(thing, "highs", time_limit=60.0)
        assert result.is_optimal
        assert result.warnings == ()
    assert not [w for w in recwarn if issubclass(w.category, CausaloptWarning)]


def test_a_solver_without_time_limits_may_say_so(plugins):
    assert Ability.TIME_LIMIT in HighsBackend.abilities
    plugins(bare=Bare)
    with pytest.warns(CausaloptWarning, match="bare cannot use time_limit"):
        assert solve(LP, "bare", time_limit=1.0).is_optimal


class Raises(HighsBackend):
    error: BaseException = ValueError("no such thing")

    def solve(self, program, options, method=""):
        raise self.error


class ReturnsNothing(HighsBackend):
    def solve(self, program, options, method=""):
        return None


def test_what_a_backend_raises_is_a_failure_that_names_it():
    backend = Raises()
    for program in (LP, QP):
        with pytest.raises(SolverFailure, match="'highs' failed: ValueError: no such thing") as caught:
            solve_program(program, backend, SolveOptions())
        assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(SolverFailure, match="'highs' returned NoneType, not a Solution"):
            solve_program(program, ReturnsNothing(), SolveOptions())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), OptionError("x"), LicenseError("y")])
def test_an_interrupt_and_errors_of_causalopts_own_pass_through_a_backend(error):
    backend = Raises()
    backend.error = error
    with pytest.raises(type(error)) as caught:
        solve_program(LP, backend, SolveOptions())
    assert caught.value is error


def test_a_backend_object_is_taken_as_it_is():
    m = plain_model()
    for thing, objective in ((LP, 1.0), (m, 13.0), (Nearest(), None)):
        result = solve(thing, HighsBackend())
        assert result.is_optimal
        assert result.solver == "highs"
        assert objective is None or result.objective == pytest.approx(objective)
    assert (m.a.value, m.b.value) == (3.0, 1.0)
    with pytest.raises(SolverNotAvailable, match="nobodys-solver"):
        solve(LP, Absent())


@pytest.mark.parametrize(
    ("solver", "words"),
    [
        (HighsBackend, r"the class HighsBackend; give an object of it: HighsBackend\(\)"),
        (None, "solver is None; it must be a name"),
        (3, "solver is 3; it must be a name"),
    ],
)
@pytest.mark.parametrize("make", [lambda: LP, plain_model, lambda: Nearest()], ids=["program", "model", "problem"])
def test_what_is_neither_a_name_nor_a_backend_is_refused(make, solver, words):
    with pytest.raises(OptionError, match=words):
        solve(make(), solver)


@pytest.mark.parametrize("name", ["cbc", "ipopt", "glpk"])
def test_a_solver_of_pyomos_is_named_as_it_is_to_be_written(name):
    with pytest.raises(SolverNotAvailable, match=f"Unknown solver '{name}'. Did you mean 'pyomo:{name}'"):
        solve(LP, name)
