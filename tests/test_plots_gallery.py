"""The page of pictures shows every kind, and its files are small and say nothing of the machine."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "pictures.md").read_text()
IMAGE = re.compile(r"!\[([^\]]+)\]\(pictures/([^)]+)\)")
FILES = sorted((ROOT / "docs" / "pictures").glob("*.png"))
CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"pHYs"}


def test_the_page_shows_every_file_once_with_words_for_those_who_cannot_see_it():
    shown = IMAGE.findall(PAGE)
    assert sorted(name for _, name in shown) == [file.name for file in FILES]
    assert all(len(words.split()) >= 4 for words, _ in shown)


def test_the_page_names_every_kind_of_every_result():
    pytest.importorskip("matplotlib", reason="the kinds are those of the pictures")
    import causalopt as co
    from causalopt.problems.balance.frontier import Frontier
    from causalopt.solving.answer import pictures_of

    owners = [
        co.BalanceResult, Frontier, co.RobustZCurve, co.BootstrapResult, co.FactorialResult, co.SyntheticControlResult
    ]  # fmt: skip
    for owner in owners:
        kinds = list(pictures_of(owner))
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{owner.__name__}`"))
        assert re.findall(r'"([^"]+)"', row) == kinds


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_files_are_small_and_without_metadata(file):
    data = file.read_bytes()
    assert len(data) < 60_000
    place, kinds = 8, set()
    while place < len(data):
        kinds.add(data[place + 4 : place + 8])
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    assert kinds <= CHUNKS


def test_images_on_the_pages_of_the_problems_have_words():
    for name in ("balance", "robust_z", "copula", "factorial", "synthetic_control"):
        assert IMAGE.search((ROOT / "docs" / f"{name}.md").read_text()), name
