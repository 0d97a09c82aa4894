import hashlib
import json

import bench_planted as planted
import numpy as np
import pytest
from typer.testing import CliRunner

from causalopt.bench import Run, Store, suite_names
from causalopt.bench.running.peers import PEERS
from causalopt.cli import app
from causalopt.modeling.program import Program
from causalopt.problems.assignment import instances as assignment
from causalopt.problems.balance import instances as balance
from causalopt.solving.options import SolveOptions
from causalopt.verifying.verify import verify


def call(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


@pytest.fixture
def filled(tmp_path):
    path = tmp_path / "runs.sqlite"
    with Store(path, create=True) as store:
        for k in range(3):
            store.record(
                Run(suite="s", instance="[red]<b>|evil|</b>", solver="highs", status="ok", reason="optimal",
                    repetition=k, solve=0.5, time_limit=9.0, objective=1.0, scale=1.0, fingerprint="h")
            )  # fmt: skip
        store.record(Run(suite="s", instance="j", solver="scip", status="wrong", detail="[x] | y", time_limit=9.0))
    return path


def test_list_shows_suites_and_instances():
    rows = json.loads(call("list", "--json").stdout)
    assert {row["suite"] for row in rows} == set(suite_names()) >= {"smoke", "paper", "scale"}
    assert "lalonde-sbw" in call("list", "smoke").stdout
    refused = call("list", "smokke")
    assert refused.exit_code == 2 and "'smoke'" in refused.stderr


def test_report_in_three_forms(filled):
    tables = json.loads(call("report", "--store", filled, "--json").stdout)
    (highs, scip) = tables["Success and correctness"]
    assert (highs["solver"], highs["success"], highs["ok"]) == ("highs", 1.0, 3)
    assert (scip["correct"], scip["wrong"]) == (0.0, 1)
    terminal = call("report", "--store", filled).stdout
    assert "Success and correctness" in terminal
    assert "[red]<b>|evil|" in call("report", "--store", filled, "--all").stdout  # the rest is on the next line
    markdown = call("report", "--store", filled, "--markdown").stdout
    assert "## Wrong answers" in markdown and r"\[x\] \| y" in markdown and "<b>" not in markdown.replace("\\<b\\>", "")


def test_report_refuses_what_is_not_there(filled, tmp_path):
    assert "no store at" in call("report", "--store", tmp_path / "none").stderr
    unknown = call("report", "--store", filled, "--suite", "t")
    assert unknown.exit_code == 2 and "Unknown suite in this store" in unknown.stderr
    Store(tmp_path / "empty.sqlite", create=True).close()
    assert "no runs yet" in " ".join(call("report", "--store", tmp_path / "empty.sqlite").stderr.split())


def test_compare_export_and_merge(filled, tmp_path):
    same = call("compare", filled, filled)
    assert same.exit_code == 0 and "Nothing became worse" in same.stdout
    assert json.loads(call("compare", filled, filled, "--json").stdout)["Solvers, after / before"][0]["ratio"] == 1.0
    Store(tmp_path / "empty.sqlite", create=True).close()
    assert call("compare", filled, tmp_path / "empty.sqlite").exit_code == 2
    assert "4 runs written" in call("export", tmp_path / "runs.csv", "--store", filled).stdout
    assert "4 new runs" in call("merge", tmp_path / "all.sqlite", filled).stdout
    assert "0 new runs" in call("merge", tmp_path / "all.sqlite", filled).stdout


def test_run_from_the_command_line(tmp_path):
    path = tmp_path / "runs.sqlite"
    done = call("run", planted.SUITE, "--store", path, "--instance", "transport", "--instance", "absent", "--json")
    assert done.exit_code == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["statuses"] == {"ok": 1} and summary["skipped"] == {"absent": "its data is on another planet"}
    wrong = call("run", planted.SUITE, "--store", path, "--solver", "higs")
    assert wrong.exit_code == 2 and "'highs'" in wrong.stderr


# ---- instances as files ----


def test_written_instances_have_the_same_optimum_for_another_reader(tmp_path):
    import highspy

    wanted = ("knapsack", "knapsack-unknown", "transport", "balance", "raises", "absent")
    named = [word for name in wanted for word in ("--instance", name)]
    done = call("instances", planted.SUITE, tmp_path / "out", "--formats", "lp,mps,nl", *named)
    assert done.exit_code == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    programs = {program["instance"]: program for program in manifest["programs"]}
    assert set(programs) == {"knapsack", "knapsack-unknown", "transport", "balance"}
    assert "its data is on another planet" in manifest["skipped"]["absent"]
    assert "ValueError" in manifest["skipped"]["raises"]
    assert {name: programs[name]["optimum_source"] for name in ("knapsack", "knapsack-unknown")} == {
        "knapsack": "planted", "knapsack-unknown": None,
    }  # fmt: skip
    read = 0
    for program in programs.values():
        for name, checksum in program["files"].items():
            path = tmp_path / "out" / name
            assert hashlib.sha256(path.read_bytes()).hexdigest() == checksum
            if name.endswith(".nl") or program["optimum"] is None:
                continue
            h = highspy.Highs()
            h.setOptionValue("output_flag", False)
            assert h.readModel(str(path)) == highspy.HighsStatus.kOk
            h.run()
            value = h.getInfo().objective_function_value
            assert value == pytest.approx(program["optimum"], rel=1e-5), name
            read += 1
    assert read == 6


def test_nl_files_hold_the_same_program(tmp_path):
    from causalopt.modeling.files import write_program

    program = balance.planted(30, 2, 1).problem
    from causalopt import compile_model

    compiled = compile_model(program.build())
    text = write_program(compiled, tmp_path / "x.nl").read_text().splitlines()
    assert text[0].startswith("g3") and text[1].split()[:2] == [str(compiled.n_columns), str(compiled.n_rows)]


def test_a_stores_optima_go_into_the_manifest(tmp_path):
    from causalopt.bench import run
    from causalopt.bench.report.export import write_instances

    path = tmp_path / "runs.sqlite"
    run(planted.SUITE, path, instances=["knapsack-unknown"], contestants={"lazy": planted.LazyWithFalseBound()})
    manifest = write_instances(planted.SUITE, tmp_path, instances=["knapsack-unknown"], formats=["lp"], store=path)
    assert manifest["programs"][0]["optimum"] == 13.0  # the liar's 0 was refuted
    assert manifest["programs"][0]["optimum_source"] == "proven by a solver, verified"


def test_an_unknown_format_is_refused(tmp_path):
    refused = call("instances", planted.SUITE, tmp_path, "--formats", "lpp")
    assert refused.exit_code == 2 and "'lp'" in refused.stderr


# ---- peers ----

PROGRAMS = {
    "LP": lambda: assignment.program(6, 1),
    "MILP": lambda: Program.from_arrays(
        [6.0, 5, 4, 3, 7], [[5.0, 4, 3, 2, 6], [1, 1, 1, 1, 1]], [-np.inf, 2], [10.0, 3], 0, 1, integer=True,
        maximize=True, constant=2.5,
    ),
    "ranges": lambda: Program.from_arrays(
        [1.0, -2, 3], [[1.0, 1, 0], [0, 1, 1], [1, 0, 1]], [1.0, -2, -np.inf], [4.0, 2, 5], [-3, -np.inf, 0],
        [np.inf, 3, 2],
    ),
    "QP": lambda: Program.from_arrays(
        [-1.0, -2, 0], [[1.0, 1, 1]], 1.0, 2.0, 0.0, 1.5, Q=np.diag([1.0, 2, 3]), constant=1.0
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PROGRAMS)
@pytest.mark.parametrize("name", [n for n in PEERS if n != "cpsat"])  # cpsat needs a process without highspy
def test_peers_agree_with_highs_and_survive_verification(name, kind):
    peer = PEERS[name]()
    if not peer.is_installed():
        pytest.skip(f"{name} {peer.how_to_install()}")
    made = PROGRAMS[kind]()
    program = getattr(made, "problem", made)
    if program.problem_class not in peer.classes:
        pytest.skip(f"{name} takes no {program.problem_class}")
    import causalopt as co

    solution, check = verify(program, peer.solve(program, SolveOptions(threads=1, time_limit=20.0)))
    assert check.passed, check
    assert check.objective == pytest.approx(co.solve(program, "highs").objective, rel=1e-6)
    assert solution.seconds["solve"] > 0
