"""Another project's distribution has the name of this package: what importing and the commands say then."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

import causalopt
from causalopt import installation

ROOT = Path(__file__).parents[1]
BACKENDS = ROOT / "backends"

#: What the other project's package begins with, as far as it matters.
THEIRS = "from causalopt.other import optimum as optimum\n"


#: Ways to name the other project's distribution where ours is meant.
CONFUSED = re.compile(
    r"pip install [^`\n]*(?<![\w/.-])causalopt\b|(?:version|distribution|requires)\(.causalopt.\)|(?<!\w)causalopt\["
)


def test_the_project_has_the_name_that_the_messages_say():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == installation.OURS
    assert project["optional-dependencies"]["all"][0].startswith(f"{installation.OURS}[")


def test_no_page_and_no_message_has_the_other_project_installed():
    places = [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]
    for folder in ("causalopt", "backends", "docs", "benchmarks", "tools"):
        places += [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md", ".toml")]
    confused = [(path.name, said[0]) for path in places if (said := CONFUSED.search(path.read_text()))]
    assert confused == []
    for wrong in (
        "pip install causalopt",
        "pip install -U 'causalopt[plot]'",
        'version("causalopt")',
        '"causalopt[plot]"',
    ):
        assert CONFUSED.search(wrong)


def install(folder, name, version, files=(), entries=""):
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in (*files, f"{info.name}/METADATA")))
    if entries:
        (info / "entry_points.txt").write_text(entries)


def ours(folder):
    install(folder, "pycausalopt", causalopt.__version__, ["causalopt/__init__.py"])


def theirs(folder, version="0.0.1"):
    install(folder, "causalopt", version, ["causalopt/__init__.py", "causalopt/other.py"])


def python(code, *path, flags=()):
    """Run code where these folders come first; without the `site` module no file.pth brings the checkout along."""
    places = [*map(str, path), *(place for place in sys.path if place and Path(place).name == "site-packages")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    command = [sys.executable, "-S", "-P", *flags, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=path[0])


def test_importing_beside_the_other_distribution_warns_once_in_one_line(tmp_path):
    ours(tmp_path), theirs(tmp_path)
    out = python("import causalopt\nimport causalopt.errors, causalopt_highs", tmp_path, ROOT, BACKENDS)
    assert out.returncode == 0
    said = [line for line in out.stderr.splitlines() if "Warning" in line]
    assert len(said) == 1 and len(out.stderr.splitlines()) <= 2, out.stderr
    for part in (
        "<string>:1: CausaloptWarning",  # the line that imports
        "'causalopt' 0.0.1",
        "'pycausalopt'",
        "pip uninstall causalopt, then pip install --force-reinstall --no-deps pycausalopt",
    ):
        assert part in said[0]
    assert python("import causalopt", tmp_path, ROOT, BACKENDS, flags=["-W", "error"]).returncode == 1


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second")])
    return tmp_path


def test_the_two_may_be_in_different_folders(path):
    ours(path / "first"), theirs(path / "second", "2.5")
    assert "'causalopt' 2.5" in installation.shared_name()


@pytest.mark.parametrize("who", ["nobody", "ours", "theirs"])
def test_one_alone_is_not_amiss(path, who):
    {"nobody": lambda folder: None, "ours": ours, "theirs": theirs}[who](path / "first")
    assert installation.shared_name() == ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        installation.warn_of_shared_name()


def test_names_that_begin_alike_and_a_source_tree_of_the_former_name_are_not_the_other_project(path):
    ours(path / "first")
    install(path / "first", "causalopt-scipy", "1.0", ["causalopt_scipy.py"])
    install(path / "first", "causalopt_scipy", "1.0", ["causalopt_scipy.py"])
    install(path / "second", "causalopt", "0.1.0", ["_causalopt.pth", "../../../bin/causalopt"])
    assert installation.shared_name() == ""


def test_a_backend_named_after_ours_is_not_ours(path):
    install(path / "first", "pycausalopt-scipy", "1.0", ["causalopt_scipy.py"])
    theirs(path / "first")
    assert installation.shared_name() == ""


def test_what_has_no_list_of_files_counts_by_its_name(path):
    ours(path / "first"), theirs(path / "first")
    (path / "first" / "causalopt-0.0.1.dist-info" / "RECORD").unlink()
    assert "pip uninstall causalopt" in installation.shared_name()


def test_places_that_are_no_folders_are_passed_over(path, monkeypatch):
    (path / "archive.zip").write_bytes(b"")
    ours(path / "first"), theirs(path / "first")
    monkeypatch.setattr(sys, "path", [str(path / "archive.zip"), "nowhere", None, "a\0b", "", *sys.path])
    assert "pip uninstall causalopt" in installation.shared_name()


def test_importing_loads_no_metadata_machinery():
    out = python("import sys; before = set(sys.modules); import causalopt; print(*set(sys.modules) - before)", ROOT)
    assert "causalopt.installation" in out.stdout.split()
    assert not {"importlib.metadata", "email", "zipfile", "pathlib"} & set(out.stdout.split())


@pytest.fixture
def mixed(tmp_path):
    """A folder that holds both, the other project's installed last."""
    package = tmp_path / "causalopt"
    shutil.copytree(ROOT / "causalopt", package, ignore=shutil.ignore_patterns("__pycache__"))
    for module in BACKENDS.glob("*.py"):
        shutil.copy(module, tmp_path)
    ours(tmp_path), theirs(tmp_path)
    (package / "__init__.py").write_text(THEIRS)
    (package / "other.py").write_text("def optimum():\n    return 1\n")
    return tmp_path


COMMAND = "import sys; from causalopt.cli import app; sys.argv = ['causalopt', *{}]; app()"


@pytest.mark.parametrize("words", [["solvers"], ["--version"], ["balance", "x.csv", "--treatment", "t"]])
def test_a_command_whose_package_the_other_project_replaced_says_what_to_do(mixed, words):
    out = python(COMMAND.format(words), mixed)
    assert out.returncode == 1 and out.stdout == ""
    (line,) = out.stderr.splitlines()
    assert "causalopt/__init__.py is another distribution's: pip uninstall causalopt, then pip install" in line


def test_a_command_whose_package_went_with_the_other_project_says_what_to_do(mixed):
    (mixed / "causalopt" / "__init__.py").unlink()
    shutil.rmtree(mixed / "causalopt-0.0.1.dist-info")
    out = python(COMMAND.format(["solvers"]), mixed)
    assert out.returncode == 1 and out.stdout == ""
    assert "causalopt/__init__.py is missing: " in out.stderr and "--no-deps pycausalopt" in out.stderr


def test_the_command_on_solvers_says_it_too(tmp_path):
    entry = "[causalopt.backends]\nhighs = causalopt_highs:HighsBackend\n"
    install(tmp_path, "pycausalopt", causalopt.__version__, ["causalopt/__init__.py"], entry)
    theirs(tmp_path)
    out = python(COMMAND.format(["solvers"]), tmp_path, ROOT, BACKENDS)
    assert out.returncode == 0 and "pip uninstall causalopt" in " ".join(out.stdout.split())
    out = python(COMMAND.format(["solvers", "--json"]), tmp_path, ROOT, BACKENDS)
    assert "installed beside 'pycausalopt'" in json.loads(out.stdout)["installation"]
