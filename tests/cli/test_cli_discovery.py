"""Commands are found in the folders of problems, ours and those of other distributions."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from causalopt.console import discovery
from causalopt.console.arguments import commands_of

COMMAND = '''
from causalopt.console.arguments import command

@command("guess")
def guess() -> int:
    """Guess the effect."""
    return 0
'''


@pytest.fixture
def another(tmp_path, monkeypatch):
    """A distribution with a problem of its own, in a folder below its package."""
    folder = tmp_path / "guesswork" / "deep"
    folder.mkdir(parents=True)
    for path in (folder, folder.parent):
        (path / "__init__.py").write_text("")
    (folder / "command.py").write_text(COMMAND)
    (tmp_path / "halfwork").mkdir()
    (tmp_path / "halfwork" / "__init__.py").write_text("")
    (tmp_path / "halfwork" / "command.py").write_text("raise RuntimeError('half of it\\nis missing')")
    monkeypatch.syspath_prepend(tmp_path)

    def say(**packages):
        points = [EntryPoint(name, package, discovery.GROUP) for name, package in packages.items()]
        monkeypatch.setattr(discovery, "entry_points", lambda group: [p for p in points if p.group == group])

    yield say
    for name in [name for name in sys.modules if name.startswith(("guesswork", "halfwork"))]:
        del sys.modules[name]


def test_commands_of_other_distributions_come_after_ours(another, capsys):
    another(guesses="guesswork")
    *ours, theirs = discovery.load_modules("command")
    assert theirs.__name__ == "guesswork.deep.command"
    assert [function.declared.name for function in commands_of(theirs)] == ["guess"]
    assert {function.declared.name for module in ours for function in commands_of(module)} == {
        "balance", "demo", "bootstrap", "factorial", "robust-z", "synth"
    }  # fmt: skip
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("package", ["halfwork", "nowhere", "nowhere.at.all"])
def test_a_broken_package_is_one_line_of_warning(another, capsys, package):
    another(broken=package, guesses="guesswork")
    *_, theirs = discovery.load_modules("command")
    assert theirs.__name__ == "guesswork.deep.command"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Warning: the problem 'broken' of another distribution ({package}) is left out: ")


def test_finding_commands_loads_no_problem():
    code = "import sys, causalopt.cli; print([m for m in ('pandas', 'pyomo') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
