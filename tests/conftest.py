import os
from pathlib import Path

import pytest

#: Doctests are looked for in every module of the tests, and two of one name cannot both be imported.
collect_ignore_glob = ["conftest.py"]


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real data that lies beside the repository, or CAUSALOPT_DATA."""
    folder = Path(os.environ.get("CAUSALOPT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}: set CAUSALOPT_DATA to the folder of real data")
    return folder
