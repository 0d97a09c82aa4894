"""Every problem's folder can be hidden: nothing else needs it.

`pytest --without balance` runs all tests that do not name a problem while its folder cannot be imported.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from without import PROBLEMS

ROOT = Path(__file__).parents[1]

IMPORT_ALL = """
import sys
sys.path.insert(0, "tests")
from without import hide
hide({problem!r})
import importlib, pkgutil
import causalopt
for module in pkgutil.walk_packages(causalopt.__path__, "causalopt.", onerror=lambda name: None):
    if not module.name.startswith("causalopt.problems.{problem}") and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
missing = []
for name in causalopt.__all__:
    try:
        getattr(causalopt, name)
    except ImportError:
        missing.append(name)
import pyomo.environ as pyo
m = pyo.ConcreteModel()
m.x = pyo.Var(bounds=(0, 4))
m.o = pyo.Objective(expr=(m.x - 1) ** 2)
assert causalopt.solve(m).is_optimal
assert all(causalopt._PUBLIC[name].startswith("causalopt.problems.{problem}") for name in missing), missing
print(len(missing))
"""


@pytest.mark.parametrize("problem", PROBLEMS)
def test_all_else_is_imported_and_solves_without_one_problem(problem):
    out = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL.replace("{problem!r}", repr(problem)).replace("{problem}", problem)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    assert int(out.stdout) >= 2, "its own public names are hidden"


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_command_line_does_without_one_problem(problem):
    code = (
        f"import sys; sys.path.insert(0, 'tests'); from without import hide; hide({problem!r}); "
        "sys.argv = ['causalopt', '--help']; from causalopt.cli import app; app()"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert out.returncode == 0 and "replay" in out.stdout, out.stderr


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
def test_all_other_tests_pass_without_one_problem(problem):
    out = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "tests", "--without", problem, "-p", "no:cacheprovider"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert out.returncode == 0, out.stdout[-3000:]
