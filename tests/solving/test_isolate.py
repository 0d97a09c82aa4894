import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import causalopt as co
from causalopt.solving.attempts import solve_program
from causalopt.solving.isolate import IsolatedBackend
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Reason

sys.path.insert(0, str(Path(__file__).parent))
import crashers

KNAPSACK = co.Program.from_arrays([-3.0, -4.0, -5.0], [[2.0, 3.0, 4.0]], -np.inf, 5.0, 0.0, 1.0, integer=True)


def isolated(backend, **options):
    return solve_program(KNAPSACK, backend, SolveOptions(isolate=True, **options))


def children():
    """Process numbers of the children of this process, zombies too."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.append(int(status.parent.name))
    return found


@pytest.fixture(autouse=True)
def no_process_is_left():
    before = set(children())
    yield
    assert set(children()) <= before


def test_the_answer_is_that_of_a_solve_in_this_process():
    here, there = co.solve(KNAPSACK, "highs"), co.solve(KNAPSACK, "highs", isolate=True)
    assert here.objective == there.objective == -7
    np.testing.assert_allclose(here.x, there.x, atol=1e-9)
    assert there.peak_memory > 10 * 2**20
    assert here.peak_memory is None


def test_the_peak_of_memory_is_the_childs_and_not_what_its_parent_once_held():
    held = np.ones(2**27)  # 1 GiB
    del held
    result = co.solve(KNAPSACK, "highs", isolate=True)
    assert 10 * 2**20 < result.peak_memory < 2**29


def test_it_runs_in_a_process_of_its_own():
    result = isolated(crashers.Answers())
    assert int(result.status.raw) != os.getpid()


def test_a_crash_is_a_solver_failure_with_the_last_words():
    with pytest.raises(co.SolverFailure, match=r"SIGABRT(.|\n)*the basis is haunted"):
        isolated(crashers.Crashes())


def test_a_crash_by_a_signal_without_a_name_gives_its_number():
    with pytest.raises(co.SolverFailure, match=rf"crashed \(signal {signal.SIGRTMIN + 6}\)"):
        isolated(crashers.CrashesWithoutName())


def test_an_error_that_cannot_be_read_here_is_a_failure_and_no_wait():
    with pytest.raises(co.SolverFailure, match=r"cannot be read \(TypeError: .*'text'"):
        isolated(crashers.RaisesTwoWords(), time_limit=10.0)


def test_what_cannot_be_sent_is_refused_by_name_before_a_process_starts(monkeypatch):
    def never(messages):
        raise AssertionError("a process was started")

    monkeypatch.setattr("causalopt.solving.isolate.start_process", never)
    options = {"presolve": "on", "mip_rel_gap": lambda: 1}
    with pytest.raises(co.OptionError, match=r"solver option 'mip_rel_gap' cannot be sent .*without isolate"):
        co.solve(KNAPSACK, "highs", isolate=True, options=options, time_limit=10.0)

    class Local(crashers.Answers):
        pass

    with pytest.raises(co.OptionError, match="the backend 'highs' cannot be sent"):
        isolated(Local(), time_limit=10.0)


def test_a_program_that_cannot_be_sent_is_a_failure_and_no_wait():
    program = KNAPSACK.replace(convex=lambda: True)
    with pytest.raises(co.SolverFailure, match=r"program cannot be sent.*lambda"):
        IsolatedBackend(crashers.Answers()).solve(program, SolveOptions(isolate=True, time_limit=10.0))


def test_a_solver_that_hangs_is_killed_and_its_incumbent_kept():
    start = time.perf_counter()
    with pytest.warns(co.CausaloptWarning, match="time limit"):
        result = isolated(crashers.Hangs(), time_limit=0.5)
    assert time.perf_counter() - start < 10
    assert result.status.reason is Reason.FEASIBLE and result.status.limit is Limit.TIME
    assert result.objective == 0 and result.bound == -100
    np.testing.assert_array_equal(result.x, 0)


def test_a_solver_that_hangs_with_nothing_is_no_solution():
    with pytest.warns(co.CausaloptWarning, match="time limit"):
        result = isolated(crashers.HangsWithNothing(), time_limit=0.3)
    assert result.status.reason is Reason.NO_SOLUTION and not result


def test_a_solver_that_eats_memory_is_killed_at_the_limit():
    with pytest.warns(co.CausaloptWarning, match="memory limit"):
        result = isolated(crashers.Eats(), memory_limit=0.4, time_limit=60.0)
    assert result.status.limit is Limit.MEMORY and result.status.reason is Reason.NO_SOLUTION
    assert 0.4 * 2**30 < result.peak_memory < 0.8 * 2**30


def test_a_memory_limit_under_the_models_own_size_is_refused_with_the_number():
    program = co.Program.from_arrays(np.ones(200_000), np.ones((1, 200_000)), 1.0)
    with pytest.raises(co.OptionError, match=r"0.001 GiB, but the program's own arrays take 0\.00\d+ GiB"):
        co.solve(program, "highs", isolate=True, memory_limit=0.001)


def test_a_memory_limit_needs_isolation_and_must_be_positive():
    with pytest.raises(co.OptionError, match="needs isolate=True"):
        co.solve(KNAPSACK, "highs", memory_limit=1.0)
    with pytest.raises(co.OptionError, match="positive"):
        co.solve(KNAPSACK, "highs", isolate=True, memory_limit=-1.0)


def test_errors_of_the_backend_come_back_as_themselves():
    with pytest.raises(co.OptionError, match=r"mip_rel_gapp.*mip_rel_gap"):
        co.solve(KNAPSACK, "highs", isolate=True, options={"mip_rel_gapp": 1})


def test_the_log_comes_back_only_when_asked_for():
    assert "Knapsack" not in co.solve(KNAPSACK, "highs", isolate=True).log
    assert "HiGHS" in co.solve(KNAPSACK, "highs", isolate=True, log=True).log


def test_an_interrupt_returns_the_incumbent():
    with pytest.warns(co.CausaloptWarning, match="interrupt limit"):
        result = isolated(crashers.Hangs(), on_incumbent=lambda *found: signal.raise_signal(signal.SIGINT))
    assert result.status.limit is Limit.INTERRUPT and result.objective == 0


def test_an_interrupt_in_one_of_several_parts_ends_the_solve():
    """The part at hand has an incumbent, those that are left have none."""
    parts = KNAPSACK.replace(
        A=sp.block_diag([KNAPSACK.A, KNAPSACK.A], format="csr"),
        columns=(),
        rows=(),
        **{name: np.tile(getattr(KNAPSACK, name), 2)
           for name in ("c", "row_lower", "row_upper", "lower", "upper", "integer")},
    )  # fmt: skip
    options = SolveOptions(
        isolate=True, time_limit=20.0, on_incumbent=lambda *found: signal.raise_signal(signal.SIGINT)
    )
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        solve_program(parts, crashers.Hangs(), options)
    assert time.perf_counter() - start < 15


@pytest.mark.parametrize("backend", ["HangsWithNothing", "HoldsTheLock"])
def test_the_child_ends_when_its_parent_is_killed(tmp_path, backend):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            import crashers, causalopt as co, numpy as np
            from causalopt.solving.isolate import _Child
            from causalopt.solving.options import SolveOptions
            program = co.Program.from_arrays([1.0], [[1.0]], 0.5)
            child = _Child(crashers.{backend}(), program, SolveOptions(isolate=True), "")
            print(child.process.pid, flush=True)
            import time; time.sleep(60)
            """
        )
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    time.sleep(1.0)  # the child has read its job and waits
    assert Path(f"/proc/{child}").exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        status = Path(f"/proc/{child}/stat")
        if not status.exists() or ") Z " in status.read_text():
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the child outlived its parent")


def test_a_problem_can_be_solved_in_isolation():
    rng = np.random.default_rng(0)
    problem = co.BalanceProblem(rng.normal(size=(80, 3)), np.arange(80) % 2, tolerance=0.05)
    here, there = co.solve(problem, "highs"), co.solve(problem, "highs", isolate=True)
    np.testing.assert_allclose(here.weights, there.weights, atol=1e-9)
