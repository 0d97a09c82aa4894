"""OR-Tools CP-SAT against HiGHS. It cannot share a process with highspy, so it solves in one of its own."""

import importlib.util
import itertools
import pickle
import subprocess
import sys

import numpy as np
import planted_suite
import pytest

import causalopt as co
from causalopt.bench import Store, load_suite, run
from causalopt.bench.running.cpsat import CpSat, whole
from causalopt.solving.options import SolveOptions
from causalopt.verifying.verify import verify

needs_ortools = pytest.mark.skipif(
    importlib.util.find_spec("ortools") is None, reason="OR-Tools is not installed: pip install 'pycausalopt[cpsat]'"
)

#: Reads pickled programs, and writes pickled solutions, or the errors instead.
CHILD = """
import pickle, sys
from causalopt.bench.running.cpsat import CpSat
from causalopt.errors import CausaloptError
from causalopt.solving.options import SolveOptions
answers = []
for program in pickle.load(sys.stdin.buffer):
    try:
        answers.append(CpSat().solve(program, SolveOptions(threads=1, time_limit=60.0, gap=0.0)))
    except CausaloptError as error:
        answers.append(error)
assert "highspy" not in sys.modules and "ortools" in sys.modules
pickle.dump(answers, sys.stdout.buffer)
"""


def solved(programs):
    """Return what CP-SAT answers to each program."""
    done = subprocess.run([sys.executable, "-c", CHILD], input=pickle.dumps(programs), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return pickle.loads(done.stdout)


def integer_program(seed):
    """A program with all that CP-SAT takes: ranges, equalities, decimals, bounds of either sign, both senses."""
    rng = np.random.default_rng(seed)
    n, m = 4, 3
    matrix = rng.integers(-40, 41, (m, n)) / rng.choice([1, 10, 100])
    matrix[rng.random((m, n)) < 0.3] = 0.0
    lower = rng.integers(-3, 2, n) - 0.25
    upper = np.floor(lower) + rng.integers(1, 5, n) + 0.25
    centre = matrix @ rng.integers(-1, 3, n)
    row_lower = np.where(rng.random(m) < 0.4, -np.inf, centre - np.abs(matrix).max())
    row_upper = np.where(rng.random(m) < 0.3, np.inf, centre + rng.integers(0, 2, m) * np.abs(matrix).max())
    return co.Program.from_arrays(
        rng.integers(-99, 100, n) / 4, matrix, row_lower, row_upper, lower, upper, integer=True,
        maximize=bool(rng.integers(2)), constant=float(rng.integers(-5, 6)),
    )  # fmt: skip


def enumerated(program):
    """Return the best objective over all whole points within the bounds, or None."""
    ranges = [range(int(np.ceil(a)), int(np.floor(b)) + 1) for a, b in zip(program.lower, program.upper, strict=True)]
    points = np.array(list(itertools.product(*ranges)), dtype=float)
    activity = points @ program.A.toarray().T
    inside = ((activity >= program.row_lower - 1e-9) & (activity <= program.row_upper + 1e-9)).all(axis=1)
    values = points[inside] @ program.c + program.constant
    return None if not len(values) else float(values.max() if program.maximize else values.min())


def assignment(n, seed):
    cost = np.random.default_rng(seed).integers(0, 1000, (n, n)) / 10
    rows = np.vstack([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
    return co.Program.from_arrays(cost.ravel(), rows, 1.0, 1.0, 0.0, 1.0, integer=True)


def robust_z(seed):
    """The whole-number formulation of a robust test; differences of up to eight make its coefficients whole."""
    rng = np.random.default_rng(seed)
    treated, control = np.append(rng.integers(0, 9, 6), 8.0), np.append(rng.integers(0, 9, 8), 0.0)
    allowed = rng.random((7, 9)) < 0.6
    allowed[-1, -1] = True  # a pair with the largest difference
    problem = co.RobustZProblem(treated, control, allowed, pairs=4)
    return co.compile_model(problem.build("ilp-grid"))


def mcnemar(seed):
    rng = np.random.default_rng(seed)
    problem = co.RobustMcNemarProblem(
        rng.integers(0, 2, 12), rng.integers(0, 2, 14), rng.random((12, 14)) < 0.5, pairs=4
    )
    return co.compile_model(problem.build("ilp"))


def whole_programs():
    """Return the programs whose points are few enough to try them all."""
    return [planted_suite.knapsack().problem, *(integer_program(seed) for seed in range(60))]


@needs_ortools
def test_answers_are_verified_and_equal_those_of_highs():
    programs = whole_programs() + [assignment(n, seed) for seed, n in enumerate((3, 6, 10))]
    programs += [make(seed) for make in (robust_z, mcnemar) for seed in range(4)]
    infeasible = 0
    for program, solution in zip(programs, solved(programs), strict=True):
        expected = co.solve(program, "highs")
        assert not isinstance(solution, Exception), solution
        assert solution.termination.reason is expected.status.reason
        verified, check = verify(program, solution, gap=0.0)
        assert check.passed, check
        if expected.x is None:
            infeasible += 1
            continue
        assert verified.objective == pytest.approx(expected.objective, rel=1e-9, abs=1e-9)
        assert verified.bound == pytest.approx(verified.objective, rel=1e-9, abs=1e-9)
        assert program.objective(verified.x) == pytest.approx(verified.objective, abs=1e-9)
    assert 10 < infeasible < 50


@needs_ortools
def test_answers_are_those_of_enumeration():
    programs = whole_programs()
    for program, solution in zip(programs, solved(programs), strict=True):
        assert solution.objective == pytest.approx(enumerated(program), abs=1e-9)
    assert any(enumerated(program) is None for program in programs)


@needs_ortools
def test_empty_rows_and_bounds_without_a_whole_number_are_no_trouble():
    def program(row_lower, row_upper, upper):
        matrix = [[1.0, 1.0], [0.0, 0.0]]
        return co.Program.from_arrays([1.0, 2.0], matrix, [1, row_lower], [2, row_upper], 0.2, [upper, 3], integer=True)

    fine, empty_row, no_value = solved([program(-1, 0, 3), program(1, 2, 3), program(-1, 0, 0.7)])
    assert fine.termination.reason.value == "optimal" and fine.objective == 3.0
    assert empty_row.termination.reason.value == no_value.termination.reason.value == "infeasible"


@needs_ortools
def test_the_harness_gives_it_a_process_of_its_own(tmp_path):
    suite = load_suite(planted_suite.__file__).replace(time_limit=20.0, memory_limit=4.0, making_limit=20.0)
    summary = run(suite, tmp_path / "runs.sqlite", instances=["knapsack"], solvers=["highs", "cpsat"])
    assert dict(summary.statuses) == {"ok": 2} and not summary.skipped
    with Store(tmp_path / "runs.sqlite") as store:
        runs = store.frame().set_index("solver")
    assert runs.loc["cpsat", "objective"] == runs.loc["highs", "objective"] == planted_suite.knapsack().optimum


@pytest.mark.parametrize("change", [{"integer": np.array([True, False])}, {"upper": np.array([1.0, np.inf])}])
def test_continuous_and_unbounded_variables_are_refused(change):
    program = co.Program.from_arrays([1.0, 1.0], [[1.0, 1.0]], 1.0, 2.0, 0.0, 1.0, integer=True).replace(**change)
    with pytest.raises(co.UnsupportedProblem, match="every variable is integer and bounded"):
        CpSat().solve(program, SolveOptions())


def test_coefficients_that_no_power_of_ten_makes_whole_are_refused_by_row():
    assert whole(np.array([0.125, -2.0]), "row 0")[0].tolist() == [125, -2000]
    for values in ([1 / 3], [1e-7], [1e-10], [1e15, 0.5], [1e7, 1e-3 / 3], [1e10, 0.123456]):
        with pytest.raises(co.UnsupportedProblem, match="row 4"):
            whole(np.array(values), "row 4")
