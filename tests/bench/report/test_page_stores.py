"""The page as a file: its size, places that cannot be written, and stores that are not as one would like."""

import os
import stat

import pytest
from bench_page import Page
from bench_stores import fill, hostile
from typer.testing import CliRunner

from causalopt.bench import Run, Store, gather
from causalopt.bench.report import page
from causalopt.cli import app
from causalopt.errors import DataError

pytest.importorskip("jinja2", reason="the page needs jinja2: pip install 'pycausalopt[report]'")
pytest.importorskip("plotly", reason="the page needs plotly: pip install 'pycausalopt[report]'")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """A page as an HTML parser reads it, and its figures."""
    with Store(fill(tmp_path_factory.mktemp("page") / "runs.sqlite", 2)) as store:
        figures = gather(store)
    return Page(page.render(figures)), figures


def call(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_the_page_needs_nothing_else_and_is_the_same_each_time(both):
    shown, figures = both
    text = page.render(figures)
    assert text == page.render(figures) and len(text.encode()) < 3e6
    for tag, attributes in shown.tags:
        assert tag not in ("iframe", "object", "embed", "img"), tag
        assert not attributes.get("src"), attributes
        assert attributes.get("href", "#").startswith(("#", "data:,")), attributes
    assert "default-src 'none'" in text


def test_a_page_stays_under_six_megabytes_by_showing_fewer_rows(tmp_path, monkeypatch):
    path = fill(tmp_path / "runs.sqlite", 8, instances=30, repetitions=1)
    with Store(path) as store:
        figures = gather(store)
    whole = page.render(figures)
    monkeypatch.setattr(page, "LARGEST", len(whole.encode()) - 10_000)
    monkeypatch.setattr(page, "MOST_ROWS", (5000, 100, 20))
    less = Page(page.render(figures))
    assert len(less.tables["Times by item"]) == 100 and "The first 100 of" in less.all_text
    assert len(Page(whole).tables["Times by item"]) > 150 and "The first" not in Page(whole).all_text


def test_a_folder_that_is_not_there_and_one_that_cannot_be_written(tmp_path):
    path = fill(tmp_path / "runs.sqlite", 9, instances=2)
    gone = call("report", "--store", path, "--html", tmp_path / "none" / "page.html")
    assert gone.exit_code == 2 and "Make the folder first" in " ".join(gone.stderr.split())
    assert not (tmp_path / "none").exists()
    (tmp_path / "folder").mkdir()
    taken = call("report", "--store", path, "--html", tmp_path / "folder")
    assert taken.exit_code == 2 and "cannot be written" in " ".join(taken.stderr.split())
    assert [p.name for p in tmp_path.iterdir() if "part" in p.name] == []
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if not os.access(locked, os.W_OK):
        refused = call("report", "--store", path, "--html", locked / "page.html")
        assert refused.exit_code == 2 and "Permission denied" in refused.stderr


def test_a_page_of_before_stays_whole_where_the_disk_is_full(tmp_path, monkeypatch):
    path = fill(tmp_path / "runs.sqlite", 9, instances=2)
    before = tmp_path / "page.html"
    before.write_text("before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page.os, "replace", full)
    refused = call("report", "--store", path, "--html", before)
    assert refused.exit_code == 2 and "No space left" in refused.stderr
    assert before.read_text() == "before" and [p for p in tmp_path.iterdir() if p.suffix == ".part"] == []


def test_a_written_page_can_be_read_by_others(tmp_path):
    path = fill(tmp_path / "runs.sqlite", 9, instances=2)
    assert call("report", "--store", path, "--html", tmp_path / "page.html").exit_code == 0
    (tmp_path / "other").write_text("")
    assert (tmp_path / "page.html").stat().st_mode == (tmp_path / "other").stat().st_mode


# ---- stores that are not as one would like ----


def test_an_empty_store_is_an_error_and_writes_nothing(tmp_path):
    path = tmp_path / "runs.sqlite"
    Store(path, create=True).close()
    refused = call("report", "--store", path, "--html", tmp_path / "page.html")
    assert refused.exit_code == 2 and "holds no runs yet" in " ".join(refused.stderr.split())
    assert not (tmp_path / "page.html").exists()
    with Store(path) as store, pytest.raises(DataError, match="no runs yet"):
        gather(store)


def test_one_solver_alone(tmp_path):
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        store.record(Run(suite="s", instance="i", problem="p", solver="highs", status="ok", reason="optimal", solve=0.5,
                         objective=1.0, bound=1.0, scale=1.0, fingerprint="h", license="open source"))  # fmt: skip
        figures = gather(store)
    shown = Page(page.render(figures))
    assert shown.tables["Best by problem"][0]["fastest"] == ("highs\n500 ms (1/1)\nexact, claimed", 0.5)
    assert dict(figures.advice)["p"] == "The solver highs settled the one item, 500 ms."
    assert "Every solver that ran is open source." in shown.all_text


def test_a_store_in_which_everything_failed(tmp_path):
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        for k, status in enumerate(["crashed", "limit without incumbent", "instance failed", "out of memory", "error"]):
            store.record(Run(suite="s", instance=f"i{k}", problem="p", size=k + 1.0, solver="highs", status=status,
                             time_limit=3.0, detail="it broke"))  # fmt: skip
        figures = gather(store)
    shown = Page(page.render(figures))
    assert "Nothing was claimed" in figures.advice[0][1]
    assert shown.tables["Best by problem"][0]["fastest"][0] == "none settled"
    assert len(shown.tables["Not settled"]) == 5 and "Nobody settled any item" in shown.all_text
    assert "Instances that could not be made: i2." in shown.all_text


def test_a_store_in_which_no_run_was_attempted(tmp_path):
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        store.record(Run(suite="s", instance="i", problem="p", solver="gurobi", status="too large for the licence",
                         license="restricted", time_limit=3.0))  # fmt: skip
        figures = gather(store)
    shown = Page(page.render(figures))
    assert "No exact method attempted anything." in shown.all_text
    assert "Refused 1 of 1 item as too large" in figures.advice[1][1]


def test_hostile_text_is_shown_and_never_run(tmp_path):
    path = hostile(tmp_path / "runs.sqlite")
    done = call("report", "--store", path, "--html", tmp_path / "page.html")
    assert done.exit_code == 0, (done.stderr, done.exception)
    text = (tmp_path / "page.html").read_text()
    shown = Page(text)
    scripts = [attributes for tag, attributes in shown.tags if tag == "script"]
    assert len(scripts) == len(shown.json) + 2  # plotly and ours
    assert {tag for tag, _ in shown.tags} & {"img", "b"} == {"b"} and not any(
        "onerror" in named for _, named in shown.tags
    )
    assert (
        "<script>alert" not in text
        and "<img" not in text
        and "49" not in [row["instance"][0] for row in shown.tables["Agreement"]]
    )
    names = {row["solver"][0] for row in shown.tables["Success and correctness"]}
    assert {"s0<script>alert(1)</script>", "s1{{7*7}}", "s3\"'><img src=x onerror=alert(1)>", "s9" + "n" * 400} <= names
    for chart in shown.json:
        for trace in chart["data"]:
            assert "<" not in trace["name"] and len(trace["name"]) < 200
    for form in ((), ("--all",), ("--markdown", "--all"), ("--json",)):
        printed = call("report", "--store", path, *form)
        assert printed.exit_code == 0 and "\x1b" not in printed.stdout and "\u202e" not in printed.stdout


def test_a_suite_named_like_a_path_is_not_run(tmp_path, monkeypatch):
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        for name in (str(trap), "../trap", str(trap.with_suffix(""))):
            store.record(Run(suite=name, instance="i", solver="highs", status="ok"))
        gather(store)
    assert not (tmp_path / "sprung").exists()


def test_commands_quote_what_a_shell_would_read(tmp_path):
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        store.record(
            Run(suite="s; rm -rf ~", instance="i", solver="$(boom)", status="ok", commit="`id`", time_limit=2.0)
        )
        text = "\n".join(gather(store).commands)
    assert "'s; rm -rf ~'" in text and "'$(boom)'" in text and "'`id`'" in text and "--time-limit 2" in text


def test_commands_name_versions_limits_and_contestants(both):
    _, figures = both
    text = "\n".join(figures.commands)
    for part in ("git checkout abc", "highspy==1.14.0", "numpy==2.0", "--repetitions 3", "--time-limit 7",
                 "--memory-limit 2", "--solver dual-newton", "--solver raw:highs", "bench run one",
                 "bench run two"):  # fmt: skip
        assert part in text, part
    assert max(map(len, text.splitlines())) < 120
