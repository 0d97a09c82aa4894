"""The published report is that of the published runs."""

import re
from pathlib import Path

from causalopt.bench import Store, gather, write_page

ROOT = Path(__file__).parents[3]


def published_figures():
    with Store(ROOT / "benchmarks" / "results" / "runs.sqlite") as store:
        return gather(store)


SCRIPT = re.compile(r"<script.*?</script>", re.DOTALL)


def test_the_published_page_says_what_the_published_runs_say(tmp_path):
    write_page(published_figures(), tmp_path / "page.html")
    made, published = (tmp_path / "page.html").read_text(), (ROOT / "docs" / "benchmark_report.html").read_text()
    # Plots are drawn by a script, whose text changes with the version of plotly; the tables below them do not.
    assert SCRIPT.sub("", made) == SCRIPT.sub("", published), "make bench-page writes the page anew"
    assert len(published) < 6_000_000


def test_every_published_figure_of_the_sources_is_reproduced():
    figures = published_figures()
    table = figures.tables["Published figures"].frame
    assert len(table) > 60 and table["agrees"].all()
    assert figures.tables["Wrong answers"].frame.empty
