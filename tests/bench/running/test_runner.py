import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import bench_planted as planted
import pytest

import causalopt as co
from causalopt.bench import Store, load_suite, run, suite_names
from causalopt.bench.report.metrics import judged

#: contestant -> instance -> how it has to end
ENDS = {
    "highs": {"knapsack": "ok", "transport": "ok", "balance": "ok"},
    "wrong point": {"knapsack": "wrong", "transport": "wrong", "balance": "wrong"},
    "wrong objective": {"knapsack": "wrong", "transport": "wrong", "balance": "wrong"},
    "false bound": {"knapsack": "wrong"},
    "says infeasible": {"knapsack": "wrong", "transport": "wrong"},
    "crashes": {"knapsack": "crashed"},
    "hangs": {"knapsack": "limit without incumbent"},
    "hangs with incumbent": {"knapsack": "limit with incumbent"},
    "eats": {"knapsack": "out of memory"},
    "raises": {"knapsack": "error"},
    "too small": {"knapsack": "too large for the licence"},
    "dual-newton": {"balance": "ok"},
}
CONTESTANTS = {
    "wrong point": planted.WrongPoint(),
    "wrong objective": planted.WrongObjective(),
    "false bound": planted.LazyWithFalseBound(),
    "says infeasible": planted.SaysInfeasible(),
    "crashes": planted.Crashes(),
    "hangs": planted.Hangs(),
    "hangs with incumbent": planted.HangsWithIncumbent(),
    "eats": planted.Eats(),
    "raises": planted.Raises(),
    "too small": planted.TooSmall(),
}


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """The planted suite with all that misbehave, on the instances that matter."""
    path = tmp_path_factory.mktemp("bench") / "runs.sqlite"
    seen = []
    report = lambda *call: seen.append(call)  # noqa: E731
    run(planted.SUITE, path, instances=["knapsack"], contestants=CONTESTANTS, report=report)
    few = {name: CONTESTANTS[name] for name in ("wrong point", "wrong objective", "says infeasible")}
    others = ["transport", "raises", "absent", "dies", "sleeps"]
    summary = run(planted.SUITE, path, instances=others, contestants=few, solvers=["highs", *few])
    few.pop("says infeasible")
    run(planted.SUITE, path, instances=["balance"], contestants=few)
    with Store(path) as store:
        return store.frame(), summary, seen, path


def test_every_way_to_end_is_told_apart(everything):
    runs = everything[0].set_index(["solver", "instance"])["status"]
    found = {s: {i: runs.get((s, i)) for i in expected} for s, expected in ENDS.items()}
    assert found == ENDS


def test_failing_generators_fail_alone(everything):
    runs, summary, _, _ = everything
    broken = runs[runs["problem"] == "broken"].groupby("instance")[["status", "detail"]].first()
    assert set(broken["status"]) == {"instance failed"}
    assert "ValueError: the generator [bold]failed[/bold]" in broken.loc["raises", "detail"]
    assert "exit code 3" in broken.loc["dies", "detail"]
    assert "took more than 1.5 s" in broken.loc["sleeps", "detail"]
    assert summary.skipped == {"absent": "its data is on another planet"}
    assert "absent" not in broken.index


def test_rows_say_what_was_run_and_what_it_cost(everything):
    runs, _, seen, path = everything
    row = runs[(runs["solver"] == "highs") & (runs["instance"] == "balance")].iloc[0]
    assert row["formulation"] == "qp" and row["kind"] == "solver" and row["proof"] == "certified by causalopt"
    assert row["objective"] == pytest.approx(row["known_optimum"], rel=1e-7)
    assert 0 < row["solve"] < row["worker"] < row["wall"]
    assert row["build"] > 0 and row["verify"] > 0 and row["threads"] == 1
    assert 20e6 < row["base_memory"] <= row["peak_memory"] < 0.3 * 2**30
    assert json.loads(row["answers"])["ESS"] > 1
    assert runs[runs["solver"] == "dual-newton"]["kind"].tolist() == ["fast path"]
    with Store(path) as store:
        facts = store.environments()[row["environment"]]
    assert facts["solvers"]["highs"]["version"] == row["solver_version"] and facts["cores"] >= 1
    assert [call[1] for call in seen] == list(range(1, len(seen) + 1)) and seen[0][2] == len(seen)
    assert "left" in seen[0][3] or "about" in seen[0][3]


def test_an_incumbent_survives_the_end_of_its_process(everything):
    runs = everything[0].set_index("solver")
    assert (
        runs.loc["hangs with incumbent", "objective"] == 0 and runs.loc["hangs with incumbent", "known_optimum"] == 13
    )


def test_memory_limit_holds(everything):
    runs = everything[0].set_index("solver")
    assert 0.3 * 2**30 < runs.loc["eats", "peak_memory"] < 0.8 * 2**30


def test_what_is_recorded_is_not_run_again(everything):
    path = everything[3]
    before = path.stat().st_mtime_ns
    summary = run(planted.SUITE, path, instances=["transport"], solvers=["highs"])
    assert (summary.recorded, summary.known) == (0, 1) and path.stat().st_mtime_ns >= before


def test_a_claim_that_only_another_solver_refutes_is_wrong(tmp_path):
    path = tmp_path / "runs.sqlite"
    liars = {"false bound": planted.LazyWithFalseBound(), "says infeasible": planted.SaysInfeasible()}
    run(planted.SUITE, path, instances=["knapsack-unknown"], contestants=liars)
    with Store(path) as store:
        runs = store.frame()
    alone = runs.set_index("solver")["status"].to_dict()
    assert alone == {"highs": "ok", "false bound": "ok", "says infeasible": "wrong"}  # a feasible point is soon found
    found = judged(runs).set_index("solver")
    assert found["status"].to_dict() == {"highs": "ok", "false bound": "wrong", "says infeasible": "wrong"}
    assert "highs found a verified solution with objective 13" in found.loc["false bound", "detail"]


def test_a_nursery_that_dies_is_no_failure_of_a_solver_and_the_next_run_has_a_new_one(tmp_path):
    path, file = tmp_path / "runs.sqlite", tmp_path / "kill"
    file.touch()
    contestants = {"kills": planted.KillsTheNursery(file), "after": planted.KillsTheNursery(tmp_path / "never")}

    def go():
        instances = ["knapsack", "transport"]
        return run(planted.SUITE, path, instances=instances, contestants=contestants, repetitions=2)

    first = go()
    assert first.recorded == 11 and first.statuses == {"ok": 11}
    (name,) = first.skipped
    assert name in ("knapsack with kills", "transport with kills")
    assert "starts workers has ended: nothing was recorded, run again" in first.skipped[name]
    second = go()
    assert (second.recorded, second.known, second.statuses, second.skipped) == (1, 11, {"ok": 1}, {})


def test_the_end_of_the_process_that_starts_hosts_is_said_in_words(tmp_path):
    module = tmp_path / "ends.py"
    module.write_text(
        "import os, signal, time\nfrom causalopt.bench import Instance, Suite\n"
        "def ends():\n    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(60)\n"
        "SUITE = Suite('ends', '', [Instance('ends', ends, 'broken')], solvers=['highs'], repetitions=1)\n"
    )
    with pytest.raises(co.SolverFailure, match=r"has ended by itself\. Run again: what was recorded is safe"):
        run(module, tmp_path / "runs.sqlite")


# ---- bad input ----


def test_unknown_names_offer_the_nearest(tmp_path):
    path = tmp_path / "runs.sqlite"
    with pytest.raises(co.OptionError, match=r"Unknown suite 'smok'.*'smoke'"):
        run("smok", path)
    with pytest.raises(co.OptionError, match=r"Unknown instance 'knapsak'.*'knapsack'"):
        run(planted.SUITE, path, instances=["knapsak"])
    with pytest.raises(co.OptionError, match=r"Unknown solver 'higs'.*'highs'"):
        run(planted.SUITE, path, solvers=["higs"])
    assert not path.exists()


def test_no_solver_installed_says_so(tmp_path, monkeypatch):
    from causalopt.bench.running import contestants
    from causalopt.errors import SolverNotAvailable

    def none(name):
        raise SolverNotAvailable(f"Solver {name!r} needs the package highspy, which is not installed.")

    monkeypatch.setattr(contestants, "get_backend", none)
    with pytest.raises(SolverNotAvailable, match=r"None of the suite's solvers can run here.*highspy"):
        run(planted.SUITE, tmp_path / "runs.sqlite", instances=["knapsack"])


def test_a_module_without_a_suite_is_refused(tmp_path):
    module = tmp_path / "empty.py"
    module.write_text("x = 1\n")
    with pytest.raises(co.OptionError, match="defines no SUITE"):
        load_suite(module)
    with pytest.raises(co.OptionError, match="There is no suite at"):
        load_suite(tmp_path / "none.py")


# ---- kills ----

SCRIPT = """
import sys
sys.path.insert(0, {here!r})
import bench_planted as planted
from causalopt.bench import run
def report(run, done, total, left):
    print(run.key, flush=True)
print("begin", flush=True)
run(planted.SUITE, sys.argv[1], instances=["balance", "knapsack"], solvers=["dual-newton", "highs"],
    repetitions=int(sys.argv[2]), report=report, shuffle=3)
"""


def kill_again_and_again(folder: Path, kills: int, seconds: float) -> None:
    """Kill a run at random moments; nothing that was announced may be missing, nothing may be there twice."""
    script, path = folder / "script.py", folder / "runs.sqlite"
    script.write_text(textwrap.dedent(SCRIPT.format(here=str(Path(planted.__file__).parent))))
    moments = random.Random(kills)
    announced: list[str] = []
    for _ in range(kills):
        # One process group of its own does not help: the harness has to end its children by itself.
        child = subprocess.Popen([sys.executable, str(script), str(path), "5000"], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "begin\n"
        time.sleep(moments.uniform(0, seconds))
        below = descendants(child.pid)
        os.kill(child.pid, signal.SIGKILL)
        announced += child.communicate()[0].split()
        end = time.monotonic() + 15
        while any(alive(pid) for pid in below):
            assert time.monotonic() < end, "processes of a killed run go on"
            time.sleep(0.05)
    with Store(path, create=True) as store:
        assert store.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        runs = store.frame()
        keys = [store_key(row) for row in runs.to_dict("records")]
    assert len(keys) == len(set(keys))
    assert len(announced) == len(set(announced))
    assert set(announced) <= set(keys)
    assert len(set(keys) - set(announced)) <= kills  # written, but killed before it was announced: one a kill
    rounds = int(runs["repetition"].max()) + 1 if len(runs) else 1
    subprocess.run([sys.executable, str(script), str(path), str(rounds)], check=True, stdout=subprocess.DEVNULL)
    with Store(path) as store:
        complete = store.frame()
    assert len(complete) == 3 * rounds
    assert complete.groupby(["instance", "solver", "repetition"]).size().eq(1).all()
    assert set(complete["status"]) == {"ok"}


def store_key(row):
    from causalopt.bench.store.record import KEY, run_key

    return run_key(**{name: row[name] for name in KEY})


def descendants(pid):
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                children = [int(word) for word in task.read_text().split()]
            except OSError:
                continue
            found += children
            todo += children
    return found


def alive(pid):
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_a_few_kills_lose_and_double_nothing(tmp_path):
    kill_again_and_again(tmp_path, 3, 4.0)


@pytest.mark.slow
def test_fifty_kills_lose_and_double_nothing(tmp_path):
    kill_again_and_again(tmp_path, 50, 6.0)


# ---- a liar in every suite ----


def caught(suite, instances, folder):
    path = folder / f"{suite.name}.sqlite"
    suite = suite.replace(grace=60.0)  # a refused method hands over to the next: time for all of them to lie
    liars = {"wrong point": planted.WrongPoint(), "wrong objective": planted.WrongObjective()}
    run(suite, path, instances=instances, solvers=list(liars), contestants=liars, repetitions=1, time_limit=5.0)
    with Store(path) as store:
        runs = store.frame()
    found = runs[~runs["status"].isin(["unsupported", "limit without incumbent", "instance failed"])]
    assert set(found["solver"]) == set(liars), runs[["instance", "status", "detail"]].to_string()
    assert set(found["status"]) == {"wrong"}, found[["instance", "solver", "status", "detail"]].to_string()


@pytest.mark.parametrize("name", suite_names())
def test_a_liar_is_caught_in_every_suite(name, tmp_path, shared_data):
    suite = load_suite(name)
    small = sorted((i for i in suite.instances if i.problem == "balance"), key=lambda i: i.size or 0)[:1]
    caught(suite, [i.name for i in small], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", suite_names())
def test_a_liar_is_caught_on_every_instance_of_every_suite(name, tmp_path, shared_data):
    suite = load_suite(name)
    caught(suite, [i.name for i in suite.instances if (i.size or 0) <= 20_000], tmp_path)
