"""The page: each of its figures beside a second computation from the SQLite rows, hostile stores, and bad places."""

import json
import os
import random
import re
import stat

import bench_recomputed as again
import pytest
from typer.testing import CliRunner

from causalopt.bench import Run, Store, charts, gather, page
from causalopt.cli import app
from causalopt.errors import DataError

pytest.importorskip("jinja2", reason="the page needs jinja2: pip install causalopt[report]")
plotly = pytest.importorskip("plotly", reason="the page needs plotly: pip install causalopt[report]")

#: Name -> kind, licence, and how its runs end.
FIELD = {
    "highs": ("solver", "open source", {"ok": 12, "limit with incumbent": 1, "crashed": 1}),
    "scip": ("solver", "open source", {"ok": 9, "limit without incumbent": 3, "out of memory": 1, "error": 1}),
    "gurobi": ("solver", "restricted", {"ok": 8, "too large for the licence": 4, "wrong": 1}),
    "cplex": ("solver", "restricted", {"ok": 8, "too large for the licence": 4, "unsupported": 2, "lies": 2}),
    "dual-newton": ("fast path", "open source", {"ok": 12, "limit with incumbent": 1}),
    "greedy": ("heuristic", "open source", {"unproven": 1}),
    "raw:highs": ("peer", "open source", {"ok": 6, "unsupported": 1}),
}
PHASES = ("data", "build", "compile", "load", "solve", "extract", "verify")


def fill(path, seed, instances=18, repetitions=3):
    """A store in which everything happens: failures, refusals, lies, gaps, two suites, several sizes and seconds."""
    rng = random.Random(seed)
    with Store(path, create=True) as store:
        facts = {"processor": "a <b>&processor", "cores": 2, "memory_gib": 8.0, "packages": {"numpy": "2.0"}}
        store.record_environment("e", facts)
        for k in range(instances):
            optimum, maximize = rng.choice([-1, 1]) * rng.uniform(5, 50), k % 2
            for solver, (kind, license, ends) in FIELD.items():
                for repetition in range(repetitions):
                    end = rng.choices(list(ends), list(ends.values()))[0]
                    status = "ok" if end == "lies" else end
                    loss = rng.uniform(0.5, 3) if end in ("lies", "limit with incumbent", "unproven") else 0.0
                    has = status in ("ok", "limit with incumbent", "unproven")
                    value = optimum - loss if maximize else optimum + loss
                    store.record(
                        Run(
                            suite="one" if k % 3 else "two", instance=f"i{k}", problem=f"p{k % 2}",
                            formulation=f"f{k % 2}",
                            solver=solver, kind=kind, license=license, repetition=repetition, status=status,
                            size=float(10 * 2 ** (k // 2)), maximize=maximize, solver_version="1.14.0",
                            reason={"ok": "optimal", "limit with incumbent": "feasible", "unproven": "feasible"}.get(
                                status, "no solution"
                            ),
                            proof=rng.choice(["certified by causalopt", "claimed by the solver"]),
                            objective=value if has else None, scale=abs(value) if has else None,
                            bound=(value if end == "lies" else optimum) if has and kind != "heuristic" else None,
                            gap=(loss / abs(value) if end != "lies" else 0.0) if has and kind != "heuristic" else None,
                            fingerprint=f"h{k}", time_limit=7.0, memory_limit=2.0, gap_asked=1e-6, n_columns=10 * k + 1,
                            answers=json.dumps({"ATT": 2 * value} if has else {}), environment="e", machine="m",
                            expected=json.dumps({"ATT": [2 * optimum, 1e-9]}), commit="abc",
                            detail=f"{status} & <done>",
                            **{phase: rng.lognormvariate(-5, 2.0) for phase in PHASES},
                            worker=0.5, wall=0.5 + rng.uniform(0.1, 0.4), load_average=rng.uniform(0.5, 4.0),
                            base_memory=rng.randrange(10**7, 10**8), peak_memory=rng.randrange(10**8, 10**9),
                            started=f"2026-11-{1 + k % 20:02d}T10:00:00+00:00",
                        )
                    )  # fmt: skip
    return path


@pytest.fixture(scope="module", params=[0, 1])
def both(request, tmp_path_factory):
    """The page of a store, read by an HTML parser, and the judged rows of its SQLite file in plain Python."""
    path = fill(tmp_path_factory.mktemp("page") / "runs.sqlite", request.param)
    with Store(path) as store:
        figures = gather(store)
    return again.Page(page.render(figures)), again.rows_of(path), figures


def call(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def as_key(text, number):
    return text if number is None else number


# ---- figures ----

TITLES = list(again.tables([]))


@pytest.mark.parametrize("title", [t for t in TITLES if t not in ("Best by problem", "Wrong answers")])
def test_every_number_of_a_table_is_found_again(both, title):
    shown, rows, _ = both
    keys, expected = again.tables(rows)[title]
    table = shown.tables[title]
    assert len(table) == len(expected) > 0
    found = {tuple(as_key(*row[key]) if key in row else "" for key in keys): row for row in table}
    assert set(found) == set(expected)
    compared = 0
    for key, values in expected.items():
        for column, value in values.items():
            text, number = found[key].get(column, ("", None))
            if isinstance(value, str):
                assert text == value, (key, column)
            elif value is None:
                assert (text, number) == ("", None), (key, column)
            else:
                assert number == pytest.approx(value, rel=1e-5, abs=1e-9), (key, column)
                assert again.read(text) == pytest.approx(value, rel=6e-3, abs=1e-3 if "%" in text else 1e-9), (
                    key,
                    text,
                )
                compared += 1
    assert compared


def test_who_is_best_is_found_again(both):
    shown, rows, _ = both
    _, expected = again.tables(rows)["Best by problem"]
    assert len(shown.tables["Best by problem"]) == len(expected) > 0
    for row in shown.tables["Best by problem"]:
        values = expected[row["suite"][0], row["problem"][0]]
        assert row["items"][1] == values["items"]
        named = row["wrong answers by"][0]
        assert set(re.findall(r"[\w:-]+", named)) - {"and"} == (values["liars"] or {"none"})
        for title in ("fastest", "fastest solver", "fastest open-source solver"):
            text, number = row[title]
            if values[title] is None:
                assert text == "none settled"
                continue
            name, settled = values[f"name of {title}"]
            assert text.startswith(f"{name}\n") and text.endswith(settled)
            assert number == pytest.approx(values[title], rel=1e-5)


def test_wrong_answers_are_found_again(both):
    shown, rows, _ = both
    _, expected = again.tables(rows)["Wrong answers"]
    found = {}
    for row in shown.tables["Wrong answers"]:  # a row for each reason
        key = tuple(row[name][0] for name in ("suite", "instance", "formulation", "solver"))
        found[key] = found.get(key, 0) + row["runs"][1]
    assert found == {key: values["runs"] for key, values in expected.items()} != {}


def test_plots_show_the_same_figures(both):
    shown, rows, _ = both
    tried = [r for r in rows if r["attempted"]]
    profile, *others = shown.json
    times = again.settled_times([r for r in tried if r["kind"] != "heuristic"])
    names = {i for i, _ in times}
    fastest = {i: min(v for (j, _), v in times.items() if j == i) for i in names}
    assert profile["layout"]["xaxis"]["type"] == "log"
    assert {trace["name"] for trace in profile["data"]} == {s for s, (kind, *_) in FIELD.items() if kind != "heuristic"}
    for trace in profile["data"]:
        for x, y in zip(trace["x"], trace["y"], strict=True):
            inside = sum(times.get((i, trace["name"]), 1e99) <= x * fastest[i] * (1 + 1e-12) for i in names)
            assert y == pytest.approx(inside / len(names))
    *scaling, split = others
    assert len(scaling) == 4  # two problems in two suites
    for chart in scaling:
        assert chart["layout"]["xaxis"]["type"] == chart["layout"]["yaxis"]["type"] == "log"
    shares = again.split([r for r in rows if r["status"] == "ok"])
    assert [trace["name"] for trace in split["data"]] == list(PHASES)
    for trace in split["data"]:
        for solver, share in zip(trace["y"], trace["x"], strict=True):
            assert share == pytest.approx(shares[(solver,)][trace["name"]])


def test_scaling_points_are_found_again_problem_by_problem(both):
    shown, rows, figures = both
    looks = charts.styles(charts.everyone(figures.runs))
    own = [r for r in rows if r["attempted"]]
    families = again.groups(own, "suite", "problem", "formulation")
    drawn = charts.scaling(figures.runs, looks)
    assert [{"data": c.data, "layout": c.layout} for c in drawn] == shown.json[1:-1]
    assert [c.title for c in drawn] == [f"{p}, {f}, suite {s}" for s, p, f in families]
    points = 0
    for chart, family in zip(drawn, families.values(), strict=True):
        found = {
            (t["name"], x): (y, t["marker"]["symbol"]) for t in chart.data for x, y in zip(t["x"], t["y"], strict=True)
        }
        cells = again.groups(family, "solver", "size")
        assert set(found) == set(cells)
        for key, group in cells.items():
            y, symbol = found[key]
            assert y == pytest.approx(max(again.statistics.median(r["seconds"] for r in group), 1e-6))
            assert (symbol == "x-open") == (2 * sum(r["done"] for r in group) <= len(group))
            points += 1
    assert points > 50


def test_plots_are_what_plotly_takes(both):
    *_, figures = both
    from plotly import graph_objects

    looks = charts.styles(charts.everyone(figures.runs))
    for chart in [
        charts.profile(figures.runs, looks),
        *charts.scaling(figures.runs, looks),
        charts.split(figures.runs, [*looks]),
    ]:
        graph_objects.Figure(
            data=chart.data, layout=chart.layout
        )  # raises for a name or value that plotly does not know


def test_lines_differ_without_colour(both):
    *_, figures = both
    looks = charts.styles(charts.everyone(figures.runs))
    assert len({(look["marker"]["symbol"], look["line"]["dash"]) for look in looks.values()}) == len(looks)
    many = charts.styles([str(k) for k in range(25)])
    assert len({(look["marker"]["symbol"], look["line"]["dash"]) for look in many.values()}) == 25


def test_words_count_what_the_rows_say(both):
    shown, rows, figures = both
    claims = [r for r in rows if r["status"] in ("ok", "wrong", "unproven", "limit with incumbent")]
    wrong = [r for r in claims if r["status"] == "wrong"]
    assert wrong and f"{len(wrong)} of {len(claims)} claims did not survive" in shown.all_text
    assert f"{len(rows)} runs by 7 contestants on 18 items of 2 suites (one and two)" in shown.all_text
    settled = [r for r in rows if r["status"] == "ok"]
    claimed = [r for r in settled if r["proof"] == "claimed by the solver"]
    assert f"Optimality of {len(claimed)} of {len(settled)} runs that were settled" in shown.all_text
    busy = [r for r in rows if r["load_average"] - 1 > 1.0]
    assert f"Doubtful timings: {len(busy)} of {len(rows)} runs" in shown.all_text
    refused = {solver: values for (solver,), values in again.licences(rows).items()}
    for solver, values in refused.items():
        text = f"Refused {values['refused as too large']} of {values['items']} items as too large for the licence"
        assert text in dict(figures.advice)[f"{solver}, restricted licence"]


def test_advisories_are_those_of_the_versions_in_the_store(both):
    shown, *_ = both
    named = {(row["solver"][0], row["version"][0]): row["what is known"][0] for row in shown.tables["Advisories"]}
    assert "MIP presolve" in named["highs", "1.14.0"]  # the version here is another
    assert "MIP presolve" in named["raw:highs", "1.14.0"]


def test_terminal_markdown_json_and_page_have_the_same_figures(tmp_path):
    path = fill(tmp_path / "runs.sqlite", 5)
    data = json.loads(call("report", "--store", path, "--json").stdout)
    assert call("report", "--store", path, "--html", tmp_path / "page.html").exit_code == 0
    shown = again.Page((tmp_path / "page.html").read_text())
    terminal = call("report", "--store", path, "--all").stdout
    markdown = call("report", "--store", path, "--all", "--markdown").stdout
    for row, of_page in zip(data["Shifted geometric means"], shown.tables["Shifted geometric means"], strict=True):
        assert row["solver"] == of_page["solver"][0]
        for column in ("shift 0.001 s", "shift 1 s", "to best"):
            assert of_page[column][1] == pytest.approx(row[column], rel=1e-5)
            assert of_page[column][0] in terminal and of_page[column][0] in markdown
    assert data["Known limitations"] and all(
        " ".join(s.split()) in " ".join(terminal.split()) for s in data["Known limitations"]
    )


def test_the_terminal_is_readable_in_80_columns(tmp_path):
    path = fill(tmp_path / "runs.sqlite", 6)
    for arguments in ((), ("--all",)):
        lines = call("report", "--store", path, *arguments).stdout.splitlines()
        assert max(map(len, lines)) <= 80
        text = "\n".join(lines)
        assert "…" not in text and "dual-newton" in text and "raw:highs" in text
    short, whole = (len(call("report", "--store", path, *more).stdout) for more in ((), ("--all",)))
    assert 3 * short < whole


def test_one_suite_of_several(tmp_path):
    path = fill(tmp_path / "runs.sqlite", 7)
    assert call("report", "--store", path, "--suite", "one", "--html", tmp_path / "one.html").exit_code == 0
    shown = again.Page((tmp_path / "one.html").read_text())
    _, expected = again.tables(again.rows_of(path, "one"))["Success and correctness"]
    for row in shown.tables["Success and correctness"]:
        assert row["runs"][1] == expected[(row["solver"][0],)]["runs"]
    assert "suite" not in shown.tables["Times by item"][0]


# ---- the file ----


def test_the_page_needs_nothing_else_and_is_the_same_each_time(both):
    shown, _, figures = both
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
    less = again.Page(page.render(figures))
    assert len(less.tables["Times by item"]) == 100 and "The first 100 of" in less.all_text
    assert len(again.Page(whole).tables["Times by item"]) > 150 and "The first" not in again.Page(whole).all_text


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
    shown = again.Page(page.render(figures))
    assert shown.tables["Best by problem"][0]["fastest"] == ("highs\n500 ms (1/1)", 0.5)
    assert dict(figures.advice)["p"] == "The solver highs settled the one item, 500 ms."
    assert "Every solver that ran is open source." in shown.all_text


def test_a_store_in_which_everything_failed(tmp_path):
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        for k, status in enumerate(["crashed", "limit without incumbent", "instance failed", "out of memory", "error"]):
            store.record(Run(suite="s", instance=f"i{k}", problem="p", size=k + 1.0, solver="highs", status=status,
                             time_limit=3.0, detail="it broke"))  # fmt: skip
        figures = gather(store)
    shown = again.Page(page.render(figures))
    assert "Nothing was claimed" in figures.advice[0][1]
    assert shown.tables["Best by problem"][0]["fastest"][0] == "none settled"
    assert len(shown.tables["Not settled"]) == 5 and "Nobody settled any item" in shown.all_text
    assert "Instances that could not be made: i2." in shown.all_text


def test_a_store_in_which_no_run_was_attempted(tmp_path):
    with Store(tmp_path / "runs.sqlite", create=True) as store:
        store.record(Run(suite="s", instance="i", problem="p", solver="gurobi", status="too large for the licence",
                         license="restricted", time_limit=3.0))  # fmt: skip
        figures = gather(store)
    shown = again.Page(page.render(figures))
    assert "No exact method attempted anything." in shown.all_text
    assert "Refused 1 of 1 item as too large" in figures.advice[1][1]


HOSTILE = [
    "<script>alert(1)</script>", "{{7*7}}", "{% raw %}", "\"'><img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "</style>", "<!--", "]]>", "Ünïcödé \u202e\u2028 \U0001f600", "n" * 400, "a b" * 200, "%{y}<b>x</b>", "nan",
    "\x1b[31mred", "",
]  # fmt: skip


def hostile(path):
    with Store(path, create=True) as store:
        for k, name in enumerate(HOSTILE):
            words = dict.fromkeys(
                ["suite", "problem", "formulation", "license", "solver_version", "detail", "commit", "started",
                 "environment", "machine"], name,
            )  # fmt: skip
            for size in (1.0, 2.0, 4.0):
                run = Run(
                    **words, instance=f"{name}{size}", solver=f"s{k}{name}", status="ok" if k % 2 else "wrong",
                    size=size, reason="optimal", solve=0.1 * size, objective=1.0, scale=1.0,
                    bound=1.0, fingerprint=f"{k} {size}",
                    answers=json.dumps({name: 1.0}), expected=json.dumps({name: [1.0, 0.1]}), time_limit=9.0,
                    peak_memory=10**8, base_memory=10**7,
                )  # fmt: skip
                store.record(run)
            facts = {"processor": name, "packages": {name: name}, "cores": 1, "memory_gib": 1.0}
            store.record_environment(name, facts)
    return path


def test_hostile_text_is_shown_and_never_run(tmp_path):
    path = hostile(tmp_path / "runs.sqlite")
    done = call("report", "--store", path, "--html", tmp_path / "page.html")
    assert done.exit_code == 0, (done.stderr, done.exception)
    text = (tmp_path / "page.html").read_text()
    shown = again.Page(text)
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
    *_, figures = both
    text = "\n".join(figures.commands)
    for part in ("git checkout abc", "highspy==1.14.0", "numpy==2.0", "--repetitions 3", "--time-limit 7",
                 "--memory-limit 2", "--solver dual-newton", "--solver raw:highs", "bench run one",
                 "bench run two"):  # fmt: skip
        assert part in text, part
    assert max(map(len, text.splitlines())) < 120
