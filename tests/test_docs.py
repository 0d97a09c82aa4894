"""Every Python block of every page runs; a text block right after one is what it prints. Generated pages are fresh."""

import io
import re
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
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
    if "plot" in text:
        import matplotlib.pyplot as plt

        plt.close("all")


def test_links_within_the_repository_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_pages_and_instances_with_data_of_others_lead_to_where_it_comes_from():
    told = (ROOT / "docs" / "data.md").read_text()
    for page in PAGES:
        files = re.findall(r'\b(?:data|folder) / "([^"]+)" / "([^"]+)"', page.read_text())
        if files and page.name != "data.md":
            assert "](data.md)" in page.read_text(), f"{page.name} does not say where its data comes from"
        for file in files:
            assert f"`{'/'.join(file)}`" in told, f"docs/data.md does not tell of {'/'.join(file)} in {page.name}"
    for module in (ROOT / "causalopt" / "bench" / "instances").glob("*.py"):
        for file in re.findall(r'data_file\("([^"]+)", "([^"]+)"\)', module.read_text()):
            assert f"`{'/'.join(file)}`" in told, f"docs/data.md does not tell of {'/'.join(file)}"


def families(page):
    """Return family and number of cases of each row of the first table."""
    rows = (line.split("|")[1:3] for line in page.partition("## Left out")[0].splitlines() if line.startswith("| "))
    return [(name.strip(), count.strip()) for name, count in rows]


def test_the_support_tables_are_those_of_the_installed_suite():
    from causalopt.testing.report import markdown

    page, fresh = (ROOT / "docs" / "conformance.md").read_text(), markdown([])
    hint = "run `python -m causalopt.testing --markdown docs/conformance.md`"
    assert families(page) == families(fresh), hint
    supported = "## What each backend takes and can do"
    assert page.partition(supported)[2] == fresh.partition(supported)[2], hint


def test_cases_that_the_support_tables_leave_out_exist_and_are_those_of_the_backends():
    from causalopt.solving.backend import get_backend
    from causalopt.testing import runnable

    section = (ROOT / "docs" / "conformance.md").read_text().partition("## Left out")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| (\S+) \| `(.+?)` \|", section, re.MULTILINE))
    installed = set(runnable())
    assert {(solver, case) for solver, case in listed if solver in installed} == {
        (solver, case) for solver in installed for case in get_backend(solver).exclude
    }


def test_the_backend_of_the_page_is_found_by_its_entry_point(tmp_path):
    text = (ROOT / "docs" / "writing_a_backend.md").read_text()
    (tmp_path / "causalopt_scipy.py").write_text(BLOCK.search(text)[1])
    project = tomllib.loads(re.search(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1])["project"]
    info = tmp_path / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    (group, entries), *_ = project["entry-points"].items()
    (info / "entry_points.txt").write_text(f"[{group}]\n" + "".join(f"{n} = {v}\n" for n, v in entries.items()))
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import causalopt as co
program = co.Program.from_arrays([3.0, 2.0], [[1.0, 1.0]], row_upper=1.5, upper=1.0, integer=True, maximize=True)
result = co.solve(program, "scipy-milp")
print(result.status, result.objective, co.solvers().loc["scipy-milp", "classes"])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["optimal", "3.0", "LP,", "MILP"]


def test_the_backend_of_the_page_has_the_name_of_no_peer():
    from causalopt.bench.running.peers import PEERS

    text = (ROOT / "docs" / "writing_a_backend.md").read_text()
    names = re.findall(r'^    name = "(.+?)"', text, re.MULTILINE)
    assert len(names) == 1
    assert names[0] not in PEERS
