import os
from pathlib import Path

import pytest
from without import hide, names

#: Doctests are looked for in every module of the tests, and two of one name cannot both be imported.
collect_ignore_glob = ["conftest.py"]


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data that lies beside the repository, or CAUSALOPT_DATA."""
    folder = Path(os.environ.get("CAUSALOPT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}: set CAUSALOPT_DATA to the folder of real data")
    return folder


def pytest_addoption(parser):
    parser.addoption("--without", default="", metavar="PROBLEM", help="hide a problem's folder, and run what is left")


def pytest_configure(config):
    if config.getoption("--without"):
        hide(config.getoption("--without"))


def pytest_ignore_collect(collection_path, config):
    """Leave out test files that name the hidden problem."""
    hidden = config.getoption("--without")
    if hidden and collection_path.suffix == ".py" and names(hidden, collection_path.read_text()):
        return True
    return None
