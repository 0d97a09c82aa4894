"""The page in a real browser: sorting, filtering, plots, width, print, and no request to anywhere."""

import json
import re
import shutil

import pytest
from bench_stores import fill, hostile

from causalopt.bench import Store, gather, write_page

pytest.importorskip("jinja2", reason="the page needs jinja2: pip install 'pycausalopt[report]'")
pytest.importorskip("plotly", reason="the page needs plotly: pip install 'pycausalopt[report]'")
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: install chromium, or google-chrome")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module", params=["ordinary", "hostile"])
def path(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    make = {"ordinary": lambda p: fill(p, 3), "hostile": hostile}[request.param]
    with Store(make(folder / "runs.sqlite")) as store:
        write_page(gather(store), folder / "page.html")
    return folder / "page.html"


@pytest.fixture(scope="module")
def opened(browser, path):
    """The page at 1280 pixels, what it asked for, and what it complained of."""
    requests, complaints = [], []
    view = browser.new_page(viewport={"width": 1280, "height": 800})
    view.on("request", lambda request: requests.append(request.url))
    view.on("console", lambda message: complaints.append(message.text))
    view.on("pageerror", lambda error: complaints.append(str(error)))
    view.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    load(view, path)
    yield view, requests, complaints
    view.close()


def load(view, path):
    view.goto(path.as_uri())
    view.wait_for_selector("html[data-plots]", timeout=120_000)


def column(view, table, name):
    """The cells that are to be seen in a column, from the top: numbers where they stand behind the text."""
    cells = view.evaluate(
        """([table, name]) => {
            const all = document.querySelector(`#table-${table} table`);
            const k = [...all.tHead.rows[0].cells].findIndex((cell) => cell.dataset.name === name);
            return [...all.tBodies[0].rows].filter((row) => row.getClientRects().length)
                .map((row) => [row.cells[k].textContent, row.cells[k].dataset.v ?? null]);
        }""",
        [table, name],
    )
    return [text if number is None else float(number) for text, number in cells]


def heading(view, table, name):
    return view.locator(f'#table-{table} th[data-name="{name}"]')


def test_it_asks_for_nothing_and_complains_of_nothing(opened, path):
    view, requests, complaints = opened
    assert view.evaluate("document.documentElement.dataset.plots") == "drawn"
    assert requests == [path.as_uri()] and complaints == []
    assert view.evaluate("performance.getEntriesByType('resource').length") == 0


def test_plots_are_drawn_with_a_trace_for_each_contestant(opened):
    view, *_ = opened
    charts = view.evaluate(
        """() => [...document.querySelectorAll("figure.chart")].map((chart) => ({
            traces: JSON.parse(chart.querySelector("script").textContent).data
                .filter((trace) => trace.x.length).length,
            drawn: chart.querySelectorAll(".scatterlayer .trace, .barlayer .trace").length,
            names: [...chart.querySelectorAll(".legendtext")].map((text) => text.textContent),
            svg: chart.querySelectorAll("svg.main-svg").length,
            height: chart.querySelector("svg.main-svg")?.getBoundingClientRect().height,
        }))"""
    )
    assert len(charts) >= 3
    for chart in charts:
        assert chart["svg"] and chart["height"] > 150 and chart["names"]
        assert chart["drawn"] == chart["traces"] > 0
    assert view.locator("figure.chart a, figure.chart b b").count() == 0


def test_sorting_by_click(opened):
    view, *_ = opened
    for table, name in (("times-by-item", "median"), ("success-and-correctness", "runs"), ("times-by-item", "solver")):
        before = column(view, table, name)
        heading(view, table, name).locator("[role=button]").click()
        assert heading(view, table, name).get_attribute("aria-sort") == "ascending"
        up = column(view, table, name)
        assert sorted(map(str, up)) == sorted(map(str, before))
        if name != "solver":
            assert up == sorted(before)
        heading(view, table, name).locator("[role=button]").click()
        assert heading(view, table, name).get_attribute("aria-sort") == "descending"
        down = column(view, table, name)
        assert down == (sorted(before, reverse=True) if name != "solver" else down) and down[0] == up[-1]


def test_sorting_by_keyboard(opened):
    view, *_ = opened
    button = heading(view, "times-by-item", "upper quartile").locator("[role=button]")
    button.focus()
    view.keyboard.press("Enter")
    assert column(view, "times-by-item", "upper quartile") == sorted(column(view, "times-by-item", "upper quartile"))
    view.keyboard.press("Space")
    down = column(view, "times-by-item", "upper quartile")
    assert down == sorted(down, reverse=True) and len(set(down)) > 2
    view.keyboard.press("Tab")  # on to the next heading
    assert view.evaluate("document.activeElement.closest('th')?.dataset.name") == "settled"
    assert view.locator("th[aria-sort]").filter(has=view.locator("[role=button]")).count() >= 1


def test_missing_values_come_last_both_ways(opened, path):
    view, *_ = opened
    if "hostile" in str(path.parent) or not view.locator('#table-times-by-item th[data-name="gap"]').count():
        pytest.skip("no gap is missing in this store")
    button = heading(view, "times-by-item", "gap").locator("[role=button]")
    for _ in range(2):
        button.click()
        cells = column(view, "times-by-item", "gap")
        missing = [cell == "" for cell in cells]
        assert any(missing) and missing == sorted(missing)


def test_filtering(opened):
    view, *_ = opened
    box = view.locator("#table-times-by-item .filter input")
    every = len(column(view, "times-by-item", "solver"))
    name = str(column(view, "times-by-item", "solver")[0])
    word = re.split(r"\s", name)[0][:20]
    box.fill(f"{word.upper()} I")
    left = column(view, "times-by-item", "solver")
    rows = view.evaluate("[...document.querySelectorAll('#table-times-by-item tbody tr')].map((r) => r.innerText)")
    assert 0 < len(left) < every or every == len(rows)
    assert view.locator("#table-times-by-item output").inner_text() == f"{len(left):,} of {every:,} rows"
    box.fill("nothing of this kind")
    assert column(view, "times-by-item", "solver") == []
    box.fill("")
    assert len(column(view, "times-by-item", "solver")) == every


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_never_scrolls_sideways(browser, path, width):
    view = browser.new_page(viewport={"width": width, "height": 800})
    load(view, path)
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    beyond = view.evaluate(
        """(width) => [...document.querySelectorAll("main > *, section > *, .table > *, figure, svg.main-svg")]
            .filter((e) => e.getBoundingClientRect().right > width + 1).map((e) => e.outerHTML.slice(0, 80))""",
        width,
    )
    assert beyond == []
    view.close()


def test_printing_shows_plots_and_whole_tables(browser, path, tmp_path):
    view = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
    load(view, path)
    view.emulate_media(media="print")
    cut = view.evaluate(
        """() => [...document.querySelectorAll(".wide")].map((e) => getComputedStyle(e))
            .filter((style) => style.overflowY !== "visible" || style.maxHeight !== "none").length"""
    )
    assert cut == 0
    printed = view.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    assert printed[:5] == b"%PDF-" and len(printed) > 50_000 and printed.count(b"/Type /Page\n") >= 3
    view.close()


def test_without_the_packed_library_the_tables_are_still_there(browser, path, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(re.sub(r'(id="plotly">).*?(</script>)', r"\1AAAA\2", path.read_text(), flags=re.S))
    view = browser.new_page()
    load(view, broken)
    assert view.evaluate("document.documentElement.dataset.plots") == "failed"
    assert "All figures are in the tables" in view.locator(".plot").first.inner_text()
    heading(view, "success-and-correctness", "runs").locator("[role=button]").click()
    assert heading(view, "success-and-correctness", "runs").get_attribute("aria-sort") == "ascending"
    view.close()


def test_figures_reach_the_reader_as_they_were_embedded(opened):
    view, *_ = opened
    embedded = json.loads(view.locator("figure.chart script").first.text_content())
    drawn = view.evaluate("document.querySelector('.plot').data.map((t) => [t.name, [...t.y]])")
    assert drawn == [[trace["name"], trace["y"]] for trace in embedded["data"]]
