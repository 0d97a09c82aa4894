"""Ctrl-C on a real, hard MILP in a real process; and what a terminal shows meanwhile."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import causalopt as co
from causalopt.solving.capsules.capsule import Capsule, Claim
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Reason, Solution, Termination

COMMAND = [sys.executable, "-m", "causalopt.cli"]


@pytest.fixture
def hard(folder):
    """A market split problem: no solver proves it within minutes, and any slack is an incumbent."""
    rng = np.random.default_rng(7)
    m, n = 5, 40
    rows = rng.integers(0, 100, (m, n)).astype(float)
    half = np.floor(rows.sum(axis=1) / 2)
    program = co.Program.from_arrays(
        np.concatenate([np.zeros(n), np.ones(2 * m)]),
        np.hstack([rows, np.eye(m), -np.eye(m)]),
        half,
        half,
        0.0,
        np.concatenate([np.ones(n), np.full(2 * m, np.inf)]),
        integer=np.arange(n + 2 * m) < n,
    )
    x = np.concatenate([np.zeros(n), half, np.zeros(m)])
    claim = Claim(Termination(Reason.FEASIBLE, Limit.TIME), float(half.sum()), 0.0, x)
    Capsule(program, SolveOptions(time_limit=300.0), claim, "highs").save(folder / "hard.capsule")
    return program


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return ") Z " not in file.read()
    except OSError:
        return False


def interrupted(words, wait, **more):
    """Start a command, send it SIGINT once `wait(process)` is done, and return it, its output and its children."""
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **more
    )
    try:
        wait(process)
        children = children_of(process.pid)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process, out, err, children


def until_solving(seconds):
    """Wait until the solver's own process has run for so long."""

    def wait(process):
        deadline = time.monotonic() + 60
        while not children_of(process.pid):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(seconds)

    return wait


def test_ctrl_c_returns_the_verified_incumbent_with_its_gap(hard):
    process, out, _, children = interrupted(["replay", "hard.capsule", "--json"], until_solving(5.0))
    found = json.loads(out)
    assert process.returncode == found["exit_code"] == 4
    assert found["status"]["reason"] == "feasible" and found["status"]["limit"] == "interrupt"
    assert found["verification"]["passed"] and found["verification"]["objective"] == found["objective"]
    assert 0 <= found["objective"] < 1000 and found["bound"] <= found["objective"] and found["gap"] > 0
    assert any("interrupt limit with a gap of" in note for note in found["warnings"])
    assert len(children) == 1 and not is_alive(children[0])


def test_ctrl_c_before_there_is_a_solution_says_so(hard):
    process, out, err, _ = interrupted(["replay", "hard.capsule"], until_solving(0.0))
    assert process.returncode == 130 and "Stopped before there was a solution to keep" in " ".join(err.split())
    assert out == "" and "Traceback" not in err


@pytest.mark.slow
def test_ctrl_c_keeps_the_answer_of_a_problem_and_writes_it(trial, folder):
    import pandas as pd

    words = ["bootstrap", "trial.csv", "--outcome", "y", "--treatment", "t", "--design", "pairs", "--groups", "pair",
             "--formulation", "mccormick", "--solver", "highs"]  # fmt: skip
    for seconds in (3.0, 12.0, 48.0):  # until the solver has a first solution; without one, nothing is written
        process, out, _, _ = interrupted([*words, "--json", "--output", "o.csv"], until_solving(seconds))
        if process.returncode != 130:
            break
        assert not (folder / "o.csv").exists()
    found = json.loads(out)
    assert process.returncode == 4 and found["status"]["limit"] == "interrupt" and found["gap"] > 0
    assert len(pd.read_csv("o.csv")) == len(trial)


def test_one_ctrl_c_ends_a_program_of_several_parts(hard, folder):
    """The part at hand has an incumbent, the other none: there is nothing to keep, and no second Ctrl-C is needed."""
    import scipy.sparse as sp

    twice = hard.replace(
        A=sp.block_diag([hard.A, hard.A], format="csr"),
        columns=(),
        rows=(),
        **{name: np.tile(getattr(hard, name), 2)
           for name in ("c", "row_lower", "row_upper", "lower", "upper", "integer")},
    )  # fmt: skip
    claim = Claim(Termination(Reason.NO_SOLUTION, Limit.TIME), None, None, None)
    Capsule(twice, SolveOptions(time_limit=300.0), claim, "highs").save(folder / "parts.capsule")
    process, out, err, children = interrupted(["replay", "parts.capsule"], until_solving(5.0))
    assert process.returncode == 130 and "Stopped before there was a solution to keep" in " ".join(err.split())
    assert out == "" and len(children) == 1 and not is_alive(children[0])


ROBUST = ["robust-z", "study.csv", "--outcome", "wage", "--treatment", "treat", "--exact", "race", "--formulation",
          "ilp-grid", "--solver", "highs", "--json"]  # takes minutes  # fmt: skip


@pytest.mark.parametrize("pairs", ["30", "30,31"])
def test_one_ctrl_c_ends_a_robust_test_by_a_solver_with_what_it_found(study, pairs):
    process, out, err, children = interrupted([*ROBUST, "--pairs", pairs], until_solving(8.0))
    found = json.loads(out)
    assert process.returncode == found["exit_code"] == 4, err
    assert not any(is_alive(child) for child in children)
    if "," in pairs:
        assert [row["n"] for row in found["curve"]] == [30] and not found["all_exact"]
        assert any("Interrupted: 1 of 2 numbers of pairs are solved" in note for note in found["warnings"])
        return
    assert found["status"]["reason"] == "feasible" and found["status"]["limit"] == "interrupt"
    data = {row: value for row, value in zip(range(1, 301), study["wage"], strict=True)}
    for side in ("max", "min"):
        pairs_found = found[side]["pairs"]
        d = np.array([data[pair["treated"]] - data[pair["control"]] for pair in pairs_found])
        assert len(d) == 30 and len({pair["treated"] for pair in pairs_found}) == 30
        assert found[side]["z"] == pytest.approx(np.sqrt(30) * d.mean() / d.std())
    assert any("stopped at its interrupt limit" in note for note in found["warnings"])


def test_ctrl_c_ends_a_computation_that_python_does_not_hear_of():
    script = (
        "import hashlib\n"
        "from causalopt.console.exits import failures\n"
        "with failures(False):\n"
        "    print('begun', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 400_000_000)\n"  # minutes, and signals wait for its end
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130 and "Stopped before there was a solution to keep" in " ".join(err.split())


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_while_an_explanation_is_sought_leaves_the_message(as_json):
    script = (
        "import hashlib, causalopt as co\n"
        "from causalopt.console.exits import failures\n"
        "def search():\n"
        "    print('begun', file=open('/dev/stderr', 'w'), flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 400_000_000)\n"
        f"with failures({as_json}):\n"
        "    raise co.InfeasibleError('No weights meet these.', search)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    seen = []
    try:
        while "begun" not in (line := process.stderr.readline()):
            seen.append(line)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 3
    if as_json:
        found = json.loads(out)
        assert found["exit_code"] == 3 and found["error"]["message"] == "No weights meet these."
        assert found["error"]["explanation"] is None
    else:
        assert "InfeasibleError: No weights meet these." in "".join(seen) + err


def test_a_solver_that_auto_turns_to_after_a_fast_path_runs_apart(run, study, monkeypatch):
    from causalopt.problems.balance import problem as balance
    from causalopt.solving.isolate import IsolatedBackend

    words = ["balance", "study.csv", "--treatment", "treat", "--covariates", "age", "--json"]
    usual = json.loads(run(*words).stdout)
    assert usual["solver"]["name"] == "dual-newton" and usual["warnings"] == []
    apart = []
    solve = IsolatedBackend.solve
    monkeypatch.setattr(IsolatedBackend, "solve", lambda self, *a: apart.append(self.name) or solve(self, *a))
    gave_up = Solution(Termination(Reason.NO_SOLUTION, Limit.ITERATIONS))
    monkeypatch.setattr(balance, "solve_parts", lambda *_: gave_up)
    found = json.loads(run(*words).stdout)
    assert apart == ["highs"] == [found["solver"]["name"]]
    assert found["objective"] == pytest.approx(usual["objective"])
    named = run(*words, "--solver", "dual-newton")
    assert named.exit_code == 7 and apart == ["highs"]


@pytest.mark.parametrize("command", ["synth", "balance", "factorial"])
def test_ctrl_c_after_the_answer_keeps_it(run, study, panel, factorial, folder, monkeypatch, command):
    from causalopt.problems.balance.result import BalanceResult
    from causalopt.problems.factorial.result import FactorialResult
    from causalopt.problems.synthetic_control.result import SyntheticControlResult

    words, kind, method, fields = {
        "synth": (["panel.csv", "--unit", "state", "--time", "year", "--outcome", "sales", "--treated", "A",
                   "--treatment-time", "2006", "--placebo", "space"],
                  SyntheticControlResult, "placebo_in_space", ("att", "weights")),
        "balance": (["study.csv", "--treatment", "treat", "--covariates", "age", "--outcome", "wage", "--variance",
                     "bootstrap"], BalanceResult, "estimate", ("weights", "objective")),
        "factorial": (["factorial.csv", "--factors", "quit,idle", "--covariates", "age", "--outcome", "kg"],
                      FactorialResult, "estimate", ("weights", "objective")),
    }[command]  # fmt: skip
    whole = json.loads(run(command, *words, "--json").stdout)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, method, interrupt)
    out = run(command, *words, "--json", "--output", "o.csv")
    found = json.loads(out.stdout)
    assert out.exit_code == found["exit_code"] == 4 and (folder / "o.csv").exists()
    assert all(found[name] == whole[name] for name in fields)
    assert found["placebo" if command == "synth" else "estimates" if command == "factorial" else "estimate"] is None
    assert any(note.startswith("Interrupted by Ctrl-C: the ") for note in found["warnings"])
    people = run(command, *words)
    assert people.exit_code == 4 and "was left out" in people.stderr and "status" in people.stdout


def test_standard_input_of_a_real_process(study):
    words = ["balance", "-", "--treatment", "treat", "--covariates", "age", "--json"]
    with open("study.csv") as source:
        done = subprocess.run([*COMMAND, *words], stdin=source, capture_output=True, text=True, check=True)
    expected = co.balance(study, treatment="treat", covariates=["age"])
    assert [w["weight"] for w in json.loads(done.stdout)["weights"]] == expected.weights.tolist()
    assert done.stderr == ""


def test_the_sign_of_life_is_for_terminals_only(hard):
    words = [*COMMAND, "replay", "hard.capsule", "--time-limit", "3"]
    plain = subprocess.run(words, capture_output=True, text=True)
    assert plain.returncode == 4 and "solving" not in plain.stderr and "\x1b" not in plain.stdout + plain.stderr
    controller, terminal = pty.openpty()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=terminal, env=os.environ | {"TERM": "xterm"})
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(controller, 4096)
        except OSError:  # the other end is closed
            break
    os.close(controller)
    assert process.wait() == 4
    assert b"solving (Ctrl-C keeps the best solution so far)" in shown
    assert re.search(rb"0:00:0[123]", shown)
