"""Every command of docs/command_line.md runs, in the order of the page, and ends as the page says."""

import re
import shlex
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documented():
    for block in BLOCK.findall(PAGE.read_text()):
        for line in block.splitlines():
            assert line.startswith("$ causalopt "), line
            command, _, code = line.removeprefix("$ causalopt ").partition("  # exit code ")
            yield shlex.split(command), int(code or 0)


def test_every_documented_command_ends_as_the_page_says(run, study, trial, panel, factorial, folder):
    pytest.importorskip("matplotlib")
    study.assign(age=study["age"].where(study.index > 3)).to_csv("holes.csv", index=False)
    commands = list(documented())
    assert {words[0] for words, _ in commands} == {
        "solvers", "balance", "robust-z", "bootstrap", "synth", "factorial", "replay", "export"
    }  # fmt: skip
    for words, code in commands:
        out = run(*words)
        assert out.exit_code == code, (words, out.output)
        for option in ("--output", "--plot", "--capsule", "--weights-output"):
            if option in words and code == 0:
                path = folder / words[words.index(option) + 1]
                assert path.stat().st_size > 0
                if path.suffix != ".capsule":  # the page's later commands use that
                    path.unlink()


def test_json_fields_of_the_page_are_those_of_the_commands(run, study, panel, trial, factorial):
    import json

    page = PAGE.read_text().partition("## JSON")[2]
    calls = {
        "balance": ["study.csv", "--treatment", "treat", "--covariates", "age"],
        "robust-z": ["study.csv", "--outcome", "wage", "--treatment", "treat", "--exact", "race"],
        "bootstrap": ["trial.csv", "--outcome", "y", "--treatment", "t", "--design", "pairs", "--groups", "pair"],
        "synth": ["panel.csv", "--unit", "state", "--time", "year", "--outcome", "sales", "--treated", "A",
                  "--treatment-time", "2006"],
        "factorial": ["factorial.csv", "--factors", "quit,idle", "--covariates", "age"],
    }  # fmt: skip
    own = {name: set(re.findall(r"`(\w+)`", line)) for name, line in re.findall(r"^\| ([a-z-]+) \| (.*)$", page, re.M)}
    shared = set()
    for line in re.findall(r"^\| `.*$", page, re.MULTILINE):
        shared |= set(re.findall(r"`(\w+)`", line.split("|")[1]))
    for name, words in calls.items():
        found = set(json.loads(run(name, *words, "--json").stdout))
        assert shared <= found, (name, shared - found)
        assert found - shared <= own[name], (name, found - shared - own[name])
