"""The page: each of its figures beside a second computation from the SQLite rows."""

import json
import re

import bench_recomputed as again
import pytest
from bench_page import Page, read
from bench_stores import FIELD, PHASES, fill
from typer.testing import CliRunner

from causalopt.bench import Store, gather
from causalopt.bench.report import charts, page
from causalopt.cli import app

pytest.importorskip("jinja2", reason="the page needs jinja2: pip install 'pycausalopt[report]'")
pytest.importorskip("plotly", reason="the page needs plotly: pip install 'pycausalopt[report]'")


@pytest.fixture(scope="module", params=[0, 1])
def both(request, tmp_path_factory):
    """The page of a store, read by an HTML parser, and the judged rows of its SQLite file in plain Python."""
    path = fill(tmp_path_factory.mktemp("page") / "runs.sqlite", request.param)
    with Store(path) as store:
        figures = gather(store)
    return Page(page.render(figures)), again.rows_of(path), figures


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
                assert read(text) == pytest.approx(value, rel=6e-3, abs=1e-3 if "%" in text else 1e-9), (
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
    shown = Page((tmp_path / "page.html").read_text())
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
    shown = Page((tmp_path / "one.html").read_text())
    _, expected = again.tables(again.rows_of(path, "one"))["Success and correctness"]
    for row in shown.tables["Success and correctness"]:
        assert row["runs"][1] == expected[(row["solver"][0],)]["runs"]
    assert "suite" not in shown.tables["Times by item"][0]
