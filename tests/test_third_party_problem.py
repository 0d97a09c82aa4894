"""A problem of another distribution: its command, words, pictures and instances are found by one entry point."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SOURCE = Path(__file__).parent / "distributions"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder as pip leaves it: the package, and its metadata with the entry point."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(SOURCE / "causalopt_subset", folder / "causalopt_subset")
    info = folder / "causalopt_subset-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: causalopt-subset\nVersion: 1.0\n")
    shutil.copy(SOURCE / "entry_points.txt", info)
    controls = pd.DataFrame(np.random.default_rng(3).normal(size=(14, 2)), columns=["age", "income"])
    controls.to_csv(folder / "controls.csv", index=False)
    return folder


def run(folder, *arguments):
    paths = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=folder, env=os.environ | {"PYTHONPATH": paths}
    )


def test_its_command_answers_writes_and_explains(installed):
    targets = ["--target", "age=0.5", "--target", "income=0"]
    command = ["-m", "causalopt.cli", "subset", "controls.csv", *targets]
    out = run(installed, *command, "--json", "--output", "kept.csv", "--plot", "kept.png", "--capsule", "kept.capsule")
    assert out.returncode == 0, out.stderr
    answer = json.loads(out.stdout)
    assert answer["status"]["reason"] == "optimal"
    assert len(answer["kept"]) == 12 == len(pd.read_csv(installed / "kept.csv"))
    assert (installed / "kept.png").stat().st_size > 1000
    assert run(installed, "-m", "causalopt.cli", "replay", "kept.capsule").returncode == 0
    said = run(installed, *command, "--explain").stdout
    assert "12 of 14 controls are kept." in " ".join(said.split())
    assert "subset" in run(installed, "-m", "causalopt.cli", "--help").stdout


def test_its_instances_are_a_suite(installed):
    assert "subset" in run(installed, "-m", "causalopt.cli", "bench", "list").stdout
    out = run(installed, "-m", "causalopt.cli", "bench", "run", "subset", "--store", "runs.sqlite")
    assert out.returncode == 0, out.stdout + out.stderr
    code = "from causalopt.bench import Store; f = Store('runs.sqlite').frame(); print(*f['instance'], *f['status'])"
    assert run(installed, "-c", code).stdout.split() == ["subset-14", "subset-30", "ok", "ok"]


def test_it_is_solved_drawn_and_embedded_in_python(installed):
    code = """
import matplotlib; matplotlib.use("Agg")
import pandas as pd, causalopt as co, pyomo.environ as pyo
from causalopt_subset.problem import SubsetProblem
problem = SubsetProblem(pd.read_csv("controls.csv"), [0.5, 0.0], 0.1)
result = co.solve(problem, "scip")
assert result.objective == 12 and "12 of 14" in " ".join(result.explain().split())
assert result.plot("kept").get_ylabel() == "controls"
m = pyo.ConcreteModel(); m.part = pyo.Block(); problem.attach(m.part)
m.o = pyo.Objective(expr=m.part.cost, sense=pyo.maximize)
assert co.solve(m).objective == 12
try:
    co.solve(SubsetProblem(pd.read_csv("controls.csv"), [9.0, 9.0], 0.1))
except co.InfeasibleError as error:
    print(error)
"""
    out = run(installed, "-c", code)
    assert out.stdout == "No subset has means within 0.1 of the targets: allow a larger tolerance.\n", out.stderr


def test_where_its_package_is_broken_one_line_says_so(installed, tmp_path):
    shutil.copytree(installed, tmp_path, dirs_exist_ok=True)
    (tmp_path / "causalopt_subset" / "command.py").write_text("import not_there\n")
    out = run(tmp_path, "-m", "causalopt.cli", "--help")
    assert out.returncode == 0 and "balance" in out.stdout
    assert (
        out.stderr.count("\n") == 1 and "'subset' of another distribution (causalopt_subset) is left out" in out.stderr
    )
