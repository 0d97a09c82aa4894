"""What a user meets at the solvers themselves: options, logs, limits, starts, better solutions, licences."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import causalopt as co
from causalopt.errors import LicenseError, OptionError, SolverFailure
from causalopt.solving.backend import Ability, License, get_backend, installed_backends
from causalopt.solving.options import SolveOptions
from causalopt.testing.integer import market_split
from causalopt.verifying.claims import Limit, Reason

INSTALLED = {b.name: b for b in installed_backends()}
SOLVERS = ["highs", "scip", "gurobi", "cplex"]
KNAPSACK = co.Program.from_arrays([-4, -2, -1, -10, -2], [[12, 2, 1, 4, 1]], row_upper=15, upper=1, integer=True)


@pytest.fixture(params=SOLVERS)
def backend(request):
    if request.param not in INSTALLED:
        pytest.skip(f"{request.param} is not installed here")
    return INSTALLED[request.param]


def need(name):
    if name not in INSTALLED:
        pytest.skip(f"{name} is not installed here")
    return INSTALLED[name]


# --- options

OPTIONS = {
    "highs": ("time_limitt", "time_limit", ("simplex_strategy", "dual"), ("simplex_iteration_limit", 10)),
    "scip": ("limits/timme", "limits/time", ("limits/nodes", 1.5), ("limits/nodes", 1000)),
    "gurobi": ("TimeLimmit", "TimeLimit", ("Threads", 1.5), ("Threads", 1)),
    "cplex": ("mip.tolerances.mipgab", "mip.tolerances.mipgap", ("threads", 1.5), ("threads", 1)),
}


def test_a_misspelled_option_is_an_error_that_names_the_right_one(backend):
    wrong, right, _, _ = OPTIONS[backend.name]
    with pytest.raises(OptionError, match=f"Did you mean.*{right}"):
        co.solve(KNAPSACK, backend.name, options={wrong: 1})


def test_a_value_that_the_solver_would_cut_off_or_refuse_is_an_error(backend):
    name, value = OPTIONS[backend.name][2]
    with pytest.raises(OptionError, match="refuses"):
        co.solve(KNAPSACK, backend.name, options={name: value})
    with pytest.raises(OptionError, match="refuses"):
        co.solve(KNAPSACK, backend.name, options={name: object()})


def test_an_option_that_exists_is_passed_on(backend):
    name, value = OPTIONS[backend.name][3]
    assert name in backend.option_names()
    assert co.solve(KNAPSACK, backend.name, options={name: value}).objective == -15


def test_a_method_that_does_not_exist_is_an_error(backend):
    with pytest.raises(OptionError, match=r"Unknown .* method"):
        backend.solve(KNAPSACK, SolveOptions(), "magic")


def test_every_method_that_is_offered_solves(backend):
    for program in (
        KNAPSACK,
        co.Program.from_arrays([2, 3], [[1, 1], [1, 3]], row_lower=[4, 6]),
        co.Program.from_arrays([-1, -1], [[1, 1]], row_upper=1, Q=np.eye(2)),
    ):
        for method in backend.methods(program, SolveOptions()):
            solution = backend.solve(program, SolveOptions(), method)
            assert solution.termination.has_solution, method
            assert solution.objective == pytest.approx(
                {5: -15, 2: 9 if program.Q is None else -0.75}[program.n_columns]
            )


# --- what is printed, and what is returned


@pytest.mark.parametrize("log", [False, True])
def test_nothing_is_printed_by_the_solver(backend, log, capfd):
    result = co.solve(KNAPSACK, backend.name, log=log)
    assert capfd.readouterr() == ("", "")
    assert bool(result.log.strip()) == log


def test_a_limit_returns_the_best_so_far_with_its_gap_and_reports_each_better_one(backend):
    program, _ = market_split(5, 40, slack=True)
    assert Ability.INCUMBENTS in backend.abilities
    seen = []

    def report(x, objective, bound):
        seen.append((program.objective(x), objective, bound))

    options = SolveOptions(time_limit=0.7, on_incumbent=report)
    solution = backend.solve(program, options, backend.methods(program, options)[0])
    assert solution.termination.reason is Reason.FEASIBLE and solution.termination.limit is Limit.TIME
    assert program.objective(solution.x) == pytest.approx(solution.objective)
    assert solution.bound is None or solution.bound <= 1e-9  # zero is possible
    assert len(seen) > 1 and min(value for value, _, _ in seen) == pytest.approx(solution.objective, abs=1e-6)
    for value, objective, bound in seen:
        assert value == pytest.approx(objective) and bound <= 1e-9


def test_a_limit_warns_and_is_not_called_optimal(backend):
    program, _ = market_split(5, 40, slack=True)
    with pytest.warns(co.CausaloptWarning, match="stopped at its time limit with a gap"):
        result = co.solve(program, backend.name, time_limit=0.3)
    assert result.status.reason is Reason.FEASIBLE and result.verification.passed


def test_only_scip_says_that_it_cannot_use_threads(backend):
    if Ability.THREADS in backend.abilities:
        assert co.solve(KNAPSACK, backend.name, threads=2).objective == -15
    else:
        with pytest.warns(co.CausaloptWarning, match="cannot use threads"):
            co.solve(KNAPSACK, backend.name, threads=2)


# --- sizes and licences


def test_gurobi_counts_a_row_with_two_sides_twice_or_as_a_column():
    gurobi = need("gurobi")
    ranges = np.vstack([np.eye(3), np.ones((1, 3))])
    linear = co.Program.from_arrays(np.ones(3), ranges, 1, [2, 2, 1, np.inf])
    assert gurobi.size(linear) == (5, 4)  # two slack columns
    assert gurobi.size(linear.replace(Q=co.Program.from_arrays(np.ones(3), Q=np.eye(3)).Q)) == (3, 6)
    wide = co.Program.from_arrays(np.ones(1999), np.ones((4, 1999)), 1, 2)
    assert gurobi.size(wide) == (1999, 8)  # columns are what is scarce


@pytest.mark.parametrize("rows", [1000, 1001])
def test_the_largest_quadratic_program_for_gurobi_solves_and_one_more_row_does_not(rows):
    gurobi = need("gurobi")
    if gurobi.license().kind != "restricted":
        pytest.skip("the licence here is not the restricted one")
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(rows, 200))
    program = co.Program.from_arrays(
        np.zeros(200), matrix, matrix.sum(axis=1) - 30, matrix.sum(axis=1) + 30, Q=np.eye(200)
    )
    assert gurobi.size(program) == (200, 2 * rows)
    if rows == 1000:
        assert co.solve(program, "gurobi").is_optimal
    else:
        with pytest.raises(LicenseError, match=r"2,000 constraint rows, the model has 2,002.*highs"):
            co.solve(program, "gurobi")
        with pytest.raises(LicenseError, match="refuses this model"):  # what would happen without asking first
            gurobi.solve(program, SolveOptions())


@pytest.mark.parametrize(("solver", "limit"), [("gurobi", 2000), ("cplex", 1000)])
def test_what_counts_is_the_program_that_is_loaded(solver, limit):
    if need(solver).license().kind != "restricted":
        pytest.skip("the licence here is not the restricted one")
    n = limit + 100
    bounds_as_rows = co.Program.from_arrays(-np.ones(limit // 2), np.vstack([np.eye(limit // 2)] * 3), row_upper=2)
    assert bounds_as_rows.n_rows > limit
    assert co.solve(bounds_as_rows, solver).objective == -limit
    half = n // 2
    blocks = np.zeros((2, n))
    blocks[0, :half], blocks[1, half:] = 1.0, 1.0
    whole = co.Program.from_arrays(np.arange(n) % half, blocks, 1, 1, integer=True, upper=1)
    assert co.solve(whole, solver).objective == 0  # two unconnected parts, each of which fits
    blocks[0] = 1.0
    with pytest.raises(LicenseError, match=f"allows {limit:,} variables, the model has {n:,}"):
        co.solve(co.Program.from_arrays(np.arange(n) % half, blocks, 1, 1, integer=True, upper=1), solver)


def test_a_balance_problem_beyond_the_licence_names_the_fast_path():
    if need("gurobi").license().kind != "restricted":
        pytest.skip("the licence here is not the restricted one")
    rng = np.random.default_rng(0)
    problem = co.BalanceProblem(rng.normal(size=(600, 3)), np.arange(600) < 200, tolerance=0.1)
    with pytest.raises(LicenseError, match=r"200 variables once anything is quadratic, the model has 400.*dual-newton"):
        co.solve(problem, "gurobi")


def test_a_licence_that_gurobi_refuses_is_no_licence(tmp_path):
    need("gurobi")
    (tmp_path / "gurobi.lic").write_text("TYPE=NONSENSE\n")
    code = (
        "import causalopt as co; from causalopt.solving.backend import get_backend; b = get_backend('gurobi'); "
        "print(b.license().kind, b.license().detail); co.solve(co.Program.from_arrays([1.0], lower=1.0), 'gurobi')"
    )
    env = {**__import__("os").environ, "GRB_LICENSE_FILE": str(tmp_path / "gurobi.lic")}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert out.stdout.startswith("none ") and len(out.stdout) > 10
    assert "LicenseError: gurobi cannot take this model" in out.stderr and "no usable licence" in out.stderr


def test_dates_and_kinds_of_the_licences_here(backend):
    found = backend.license()
    assert found.kind in ("open source", "restricted", "full")
    assert (found.kind == "open source") == backend.open_source
    if backend.name == "gurobi":
        assert found.expires is None or len(found.expires) == 10


def test_an_expired_licence_is_an_advisory():
    from datetime import date

    from causalopt.solving.catalogue import advisories

    expired = License("restricted", expires="2026-11-23")
    assert advisories("gurobi", "13.0.3", expired, today=date(2026, 11, 24)) == ["the licence expired on 2026-11-23"]
    assert advisories("gurobi", "13.0.3", expired, today=date(2026, 11, 23)) == []


@pytest.mark.parametrize(
    ("solver", "version", "words"),
    [
        ("highs", "1.14.0", "MIP presolve"),
        ("highs", "1.13.1", "Hessian"),
        ("highs", "1.15.1", None),
        ("gurobi", "12.0.3", "expired"),
        ("gurobi", "13.0.3", None),
        ("scip", "4.4.0", "suboptimal"),
        ("scip", "6.3.0", "feastol"),
        ("cplex", "22.1.2.0", "unbounded"),
        ("pyomo", "pyomo 6.10.1", "misspelled"),
        ("pyomo", "pyomo 6.9.5", None),
        ("highs", "1.15.0rc1", None),
    ],
)
def test_advisories_by_version(solver, version, words):
    from causalopt.solving.catalogue import ADVISORIES

    found = [a.text for a in ADVISORIES if a.solver == solver and a.applies(version)]
    assert all(a.source for a in ADVISORIES)
    assert not found if words is None else any(words in text for text in found)


# --- the solvers' own traps


def test_a_convex_program_whose_rounding_looks_nonconvex_to_cplex_is_solved_all_the_same():
    need("cplex")
    rng = np.random.default_rng(3)
    factor = rng.normal(size=(12, 2))
    q = factor @ factor.T
    q -= 1e-9 * np.abs(q).max() * 0.9 * np.eye(12)
    program = co.Program.from_arrays(-np.ones(12), np.ones((1, 12)), 1, 1, Q=(q + q.T) / 2)
    assert program.problem_class is co.ProblemClass.CONVEX_QP
    reference = co.solve(program.replace(Q=co.Program.from_arrays(np.ones(12), Q=factor @ factor.T).Q), "highs")
    assert co.solve(program, "cplex").objective == pytest.approx(reference.objective, abs=1e-6)


def test_cplex_says_why_it_refuses_a_nonconvex_program_without_the_global_method():
    with pytest.raises(SolverFailure, match="negative curvature"):
        need("cplex").solve(
            co.Program.from_arrays([0, 0], Q=[[0, 1], [1, 0]], lower=-1, upper=1), SolveOptions(), "careful"
        )


def test_gurobi_proves_infeasibility_with_multipliers():
    need("gurobi")
    program = co.Program.from_arrays([1, 1, 0], [[1, 1, 0], [1, 2, 1], [1, 0, -1]], [5, -np.inf, 0], [8, 4, 1])
    result = co.solve(program, "gurobi")
    assert result.status.reason is Reason.INFEASIBLE and result.verification.proof == "certified by causalopt"


@pytest.mark.parametrize("n", [150, 429])
def test_scips_point_is_certified_long_before_its_own_bound(n):
    need("scip")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2 * n, 10))
    x[:n] += 0.3
    problem = co.BalanceProblem(x, np.arange(2 * n) < n, tolerance=0.05)
    result = co.solve(problem, "scip", time_limit=30)
    assert result.is_optimal and result.verification.proof == "certified by causalopt"
    assert result.status.raw == "stopped at the first interior point"
    reference = co.solve(problem, "dual-newton")
    assert result.objective == pytest.approx(reference.objective, rel=1e-7)
    np.testing.assert_allclose(result.weights, reference.weights, atol=1e-6)


def test_get_backend_of_a_single_solver_takes_no_variant():
    with pytest.raises(co.SolverNotAvailable, match="one solver"):
        get_backend("highs:fast")
