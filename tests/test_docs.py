"""Every Python block of the README and the docs runs; a text block right after one is what it prints."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\s*This prints\s*\n+```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [p for p in PAGES if BLOCK.search(p.read_text())], ids=lambda p: p.name)
def test_code_of_the_page_runs_and_prints_what_it_says(page, monkeypatch, request):
    text = page.read_text()
    if "datasets" in text or "causaldata" in text:
        pytest.importorskip("causaldata", reason="the page's data comes with causaldata")
    if "CAUSALOPT_DATA" in text:
        monkeypatch.setenv("CAUSALOPT_DATA", str(request.getfixturevalue("shared_data")))
    if "plot" in text:
        pytest.importorskip("matplotlib", reason="the page draws")
        monkeypatch.setenv("MPLBACKEND", "Agg")
    namespace = {}
    for match in BLOCK.finditer(text):
        printed = io.StringIO()
        line = text[: match.start()].count("\n") + 2
        with redirect_stdout(printed):
            exec(compile("\n" * (line - 1) + match[1], str(page), "exec"), namespace)
        if match[2] is not None:
            assert printed.getvalue().split() == match[2].split()


def test_links_within_the_repository_lead_somewhere():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
