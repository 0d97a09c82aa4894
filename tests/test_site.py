"""The built documentation in a browser: nothing is fetched from elsewhere, and nothing is wider than the screen."""

import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tools.docs_hooks import fetched_from_elsewhere

ROOT = Path(__file__).parents[1]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

#: What sticks out of the page to the right, and is not inside something that scrolls.
TOO_WIDE = """() => {
  const limit = document.documentElement.clientWidth;
  const scrolls = e => { for (; e; e = e.parentElement) {
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX) && e.tagName != "HTML") return true; }
    return false; };
  return [...document.querySelectorAll("main article *")]
    .filter(e => e.getBoundingClientRect().right > limit + 1 && !scrolls(e))
    .map(e => e.tagName + ": " + e.textContent.trim().slice(0, 60)).slice(0, 5); }"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="the site needs the extra docs")
    pytest.importorskip("mkdocstrings", reason="the site needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Keep the log off the terminal."""


@pytest.fixture(scope="module")
def address(site):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_public_name_is_in_the_reference_once(site):
    import causalopt as co

    pages = [page.read_text() for page in (site / "api").glob("*.html")]
    for name in set(co.__all__) - {"__version__"}:
        assert sum(f'id="causalopt.{name}"' in page for page in pages) == 1, name


def test_pages_fit_the_screen_fetch_nothing_and_are_found(site, address):
    playwright = pytest.importorskip("playwright.sync_api", reason="the test needs playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        fetched, errors = [], []
        page.on("request", lambda request: fetched.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        for path in pages:
            if path.name == "benchmark_report.html":  # no page of the site's own making: see tests/bench
                continue
            page.goto(f"{address}/{path.relative_to(site).as_posix()}")
            assert page.locator("article h1").count() == 1, path.name
            for width in (1280, 390):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.querySelector('.md-main').scrollWidth") <= width, (
                    f"{path.name} at {width}"
                )
                assert page.evaluate(TOO_WIDE) == [], f"{path.name} at {width}"
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{address}/index.html")
        page.locator("input[name=query]").fill("worst-case copula")
        page.locator(".md-search-result__item a").first.wait_for()
        assert "copula" in page.locator(".md-search-result__item a").first.get_attribute("href")
        assert [url for url in fetched if not url.startswith((address, "data:", "blob:"))] == []
        assert errors == []
        browser.close()


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ('<script src="https://cdn.example/x.js"></script>', ["https://cdn.example/x.js"]),
        ('<link rel="stylesheet" href="//fonts.example/css">', ["//fonts.example/css"]),
        ("@import url(https://a.example/b.css);", ["https://a.example/b.css"]),
        ("body { background: url('https://a.example/b.png') }", ["https://a.example/b.png"]),
        (
            '<a href="https://doi.example/1">a paper</a> <img src="assets/x.png"> <link rel="canonical" href="https://x">',
            [],
        ),
    ],
)
def test_what_a_browser_would_fetch_is_found(text, addresses):
    assert fetched_from_elsewhere(text) == addresses
