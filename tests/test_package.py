import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

import causalopt as co
from causalopt.cli import app

HEAVY = {"pandas", "pyomo", "scipy", "highspy", "pyscipopt", "gurobipy", "cplex", "networkx", "matplotlib"}


def modules_after(statement):
    code = f"import sys; {statement}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(out.stdout.split())


def test_import_loads_no_solver_pandas_or_pyomo():
    assert not modules_after("import causalopt") & HEAVY


def test_using_a_public_name_loads_no_solver():
    solvers = {"highspy", "pyscipopt", "gurobipy", "cplex"}
    assert not modules_after("import causalopt as co; co.BalanceProblem, co.solve, co.Program") & solvers


def test_listing_solvers_imports_none_of_the_open_ones():
    assert not modules_after("import causalopt as co; co.solvers()") & {"highspy", "pyscipopt"}


def test_a_backend_module_imports_neither_pyomo_nor_pandas():
    assert not modules_after("import causalopt_highs") & {"pyomo", "pandas"}


def test_every_public_name_loads():
    for name in co.__all__:
        assert getattr(co, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = co.nonsense


def test_version_is_that_of_the_distribution():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["version"] == co.__version__


def test_demo_prints_estimate_verification_and_dearest_covariates():
    pytest.importorskip("causaldata", reason="the demo's data comes with causaldata")
    out = CliRunner().invoke(app, ["demo"])
    assert out.exit_code == 0
    for part in ("1,794.34", "certified by causalopt", "effective sample size", "Dearest covariates", "highs"):
        assert part in out.output.replace("\n", " ")


def test_demo_with_an_unknown_solver_says_what_exists():
    out = CliRunner().invoke(app, ["demo", "--solver", "hihgs"])
    assert out.exit_code == 5
    assert "Did you mean 'highs'" in out.output


def test_solvers_command_lists_versions():
    out = CliRunner().invoke(app, ["solvers"])
    assert out.exit_code == 0 and "highs" in out.output


def test_a_backend_that_cannot_be_loaded_is_shown_and_breaks_nothing_else(monkeypatch):
    from importlib.metadata import EntryPoint

    from causalopt.solving import backend

    broken = EntryPoint("haunted", "causalopt_haunted:HauntedBackend", backend.ENTRY_POINTS)
    known = {**backend._entry_points(), "haunted": broken}
    monkeypatch.setattr(backend, "_entry_points", lambda: known)
    backend.load_backend.cache_clear()
    table = co.solvers()
    assert not table.loc["haunted", "installed"]
    assert "cannot be loaded: No module named 'causalopt_haunted'" in table.loc["haunted", "advisories"]
    assert "haunted" not in [b.name for b in backend.installed_backends()]
    assert co.solve(co.Program.from_arrays([1.0]), "highs").is_optimal
    with pytest.raises(co.SolverNotAvailable, match="cannot be loaded"):
        co.solve(co.Program.from_arrays([1.0]), "haunted")
    backend.load_backend.cache_clear()


def test_the_version_is_an_option():
    out = CliRunner().invoke(app, ["--version"])
    assert out.exit_code == 0 and out.output.strip() == f"causalopt {co.__version__}"


def test_demo_without_its_data_says_which_extra_brings_it(monkeypatch):
    import causalopt.datasets

    def missing():
        raise co.DataError("This data comes with the package causaldata: pip install 'pycausalopt[demo]'.")

    monkeypatch.setattr(causalopt.datasets, "nsw_with_cps_controls", missing)
    out = CliRunner().invoke(app, ["demo"])
    assert out.exit_code == 1 and "'pycausalopt[demo]'" in out.output
