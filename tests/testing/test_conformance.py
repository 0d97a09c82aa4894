import dataclasses

import pytest
from causalopt_highs import HighsBackend
from typer.testing import CliRunner

import causalopt as co
from causalopt.solving.backend import installed_backends
from causalopt.testing import FAMILIES, Status, all_cases, missing, run

SINGLE = [b.name for b in installed_backends()]


@pytest.mark.parametrize("solver", SINGLE)
def test_every_case_that_applies_passes(solver):
    report = run(solver)
    assert not [(o.case.name, o.detail) for o in report.failures]
    assert report.count(Status.PASSED) > 100
    assert report.count(Status.EXCLUDED) == 0


def test_there_are_many_cases_of_every_family_with_names_of_their_own():
    cases = all_cases()
    assert len(cases) >= 80 and len({case.name for case in cases}) == len(cases)
    assert {case.family for case in cases} == set(FAMILIES)
    assert all(case.why for case in cases)


def test_a_registered_backend_that_is_not_run_is_named():
    assert missing(SINGLE, left_out={"pyomo": "a family of solvers, run by name"}) == []
    assert missing([s for s in SINGLE if s != "highs"], left_out={"pyomo": "as above"}) == ["highs"]


class WrongObjective(HighsBackend):
    def solve(self, program, options, method=""):
        solution = super().solve(program, options, method)
        return solution if solution.objective is None else solution.replace(objective=solution.objective + 1.0)


class OutsideTheBounds(HighsBackend):
    def solve(self, program, options, method=""):
        solution = super().solve(program, options, method)
        return solution if solution.x is None else solution.replace(x=solution.x + 1e3)


class ForgetsTheStatus(HighsBackend):
    def solve(self, program, options, method=""):
        solution = super().solve(program, options, method)
        return solution.replace(termination=dataclasses.replace(solution.termination, raw=""))


@pytest.mark.parametrize("liar", [WrongObjective, OutsideTheBounds, ForgetsTheStatus])
def test_a_liar_fails(liar):
    report = run(liar())
    assert len(report.failures) > 50


def test_excluded_cases_need_a_reason_and_an_existing_name():
    name = all_cases()[0].name
    report = run("highs", exclude={name: "for a reason"}, cases=all_cases()[:3])
    assert report.count(Status.EXCLUDED) == 1
    with pytest.raises(co.OptionError, match="without a reason"):
        run("highs", exclude={name: " "})
    with pytest.raises(co.OptionError, match="Unknown conformance case"):
        run("highs", exclude={"no-such-case": "because"})


def test_the_command_prints_a_table_and_writes_the_page(tmp_path):
    import typer

    from causalopt.testing.__main__ import main

    app = typer.Typer()
    app.command()(main)
    page = tmp_path / "conformance.md"
    out = CliRunner().invoke(app, ["highs", "--markdown", str(page)])
    assert out.exit_code == 0 and "badly scaled" in out.output
    assert "| duals |" in page.read_text()
    assert CliRunner().invoke(app, ["hihgs"]).exit_code == 2


def test_a_backend_of_another_distribution_is_one_file_and_one_entry_point_line(tmp_path):
    import subprocess
    import sys
    import textwrap

    (tmp_path / "toy_backend.py").write_text(
        textwrap.dedent(
            """
            from causalopt_highs import HighsBackend

            class ToyBackend(HighsBackend):
                name = "toy"
            """
        )
    )
    info = tmp_path / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[causalopt.backends]\ntoy = toy_backend:ToyBackend\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import causalopt as co; "
        "from causalopt.testing import missing; "
        "print(co.solve(co.Program.from_arrays([1.0], lower=2.0), 'toy').objective, missing(['highs', 'scip', "
        "'gurobi', 'cplex', 'pyomo']))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split(maxsplit=1) == ["2.0", "['toy']\n"]


@pytest.mark.parametrize("solver", [name for name in SINGLE if name in ("gurobi", "cplex")])
def test_two_hundred_solves_in_one_process_leave_no_licence_behind(solver):
    program = co.Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], row_lower=1.0)
    assert all(co.solve(program, solver).objective == 1.0 for _ in range(200))


@pytest.mark.parametrize(("solver", "words"), [("gurobi", "2,000 variables"), ("cplex", "1,000 variables")])
def test_a_program_beyond_a_small_licence_names_limit_size_and_what_fits(solver, words):
    if solver not in SINGLE or co.solvers().loc[solver, "licence"] != "restricted":
        pytest.skip(f"{solver} is not here with its restricted licence")
    n = 2500
    program = co.Program.from_arrays([1.0] * n, [[1.0] * n], row_lower=1.0)
    with pytest.raises(co.LicenseError, match=rf"{words}.*{n:,}.*highs"):
        co.solve(program, solver)


def test_the_balance_qp_agrees_across_all_solvers():
    import numpy as np

    rng = np.random.default_rng(5)
    x = rng.normal(size=(230, 4))
    treated = np.arange(230) < 80
    x[treated] += 0.3
    problem = co.BalanceProblem(x, treated, tolerance=0.02)
    assert problem.groups[0].size == 150
    reference = co.solve(problem, "dual-newton")
    for solver in SINGLE:
        result = co.solve(problem, solver)
        assert result.is_optimal and result.verification.proof.startswith("certified")
        assert result.objective == pytest.approx(reference.objective, rel=1e-6)
        np.testing.assert_allclose(result.weights, reference.weights, atol=1e-6)


@pytest.mark.parametrize("error", [TypeError("half a backend"), ImportError("no module"), SyntaxError("torn")])
def test_a_plugin_that_cannot_be_loaded_is_skipped_with_a_line(monkeypatch, error):
    import typer

    from causalopt.solving import backend
    from causalopt.testing.__main__ import main
    from causalopt.testing.runner import runnable

    class Broken:
        name, value = "haunted", "causalopt_haunted:HauntedBackend"

        def load(self):
            raise error

    known = {**backend._entry_points(), "haunted": Broken()}
    monkeypatch.setattr(backend, "_entry_points", lambda: known)
    backend.load_backend.cache_clear()
    app = typer.Typer()
    app.command()(main)
    try:
        out = CliRunner().invoke(app, ["highs"])
        assert out.exit_code == 0, out.output
        assert "skipped haunted: The backend 'haunted' is registered as" in " ".join(out.output.split())
        assert str(error) in " ".join(out.output.split())
        assert "haunted" not in runnable()
        assert "haunted" not in missing(SINGLE)
    finally:
        backend.load_backend.cache_clear()
