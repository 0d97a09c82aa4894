"""`python -m tools.check_wheel DIST`: install the wheel of a folder in an environment of its own, and look at it there.

The folder holds one wheel and one source distribution. What they hold is compared with the source tree; then the wheel
is installed, with the extra `demo`, outside the checkout, where everything is imported and `causalopt demo` is run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Runs in the new environment: the distribution has its name, every module loads, the backends are found, and nothing
#: comes from the checkout.
LOOK = """
import importlib, importlib.metadata, pkgutil, sys
import causalopt
assert importlib.metadata.version("pycausalopt") == causalopt.__version__
assert importlib.metadata.packages_distributions()["causalopt"] == ["pycausalopt"]
optional = {"cvxpy", "linopy", "ortools", "polars", "matplotlib", "plotly", "jinja2", "pyarrow", "clarabel"}
for module in pkgutil.walk_packages(causalopt.__path__, "causalopt."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            if error.name and error.name.partition(".")[0] not in optional:
                raise
for name in causalopt.__all__:
    getattr(causalopt, name)
from causalopt.solving.backend import backend_names, load_backend
print(*(load_backend(name).name for name in backend_names()))
assert all(root not in path for path in sys.path for root in sys.argv[1:]), sys.path
"""


def expected_files() -> set[str]:
    """Return what the wheel must hold: all of the package, data files included, and every backend."""
    package = (path for path in (ROOT / "causalopt").rglob("*") if path.is_file())
    kept = {path.relative_to(ROOT).as_posix() for path in package if path.suffix not in (".pyc", ".sqlite")}
    return kept | {path.name for path in (ROOT / "backends").glob("*.py")}


def check_contents(wheel: Path, source: Path) -> None:
    """Compare the names in wheel and source distribution with the source tree."""
    held = set(zipfile.ZipFile(wheel).namelist())
    inside = {name for name in held if ".dist-info/" not in name}
    if missing := expected_files() - inside:
        raise SystemExit(f"{wheel.name} lacks {sorted(missing)}")
    if surplus := inside - expected_files():
        raise SystemExit(f"{wheel.name} holds what does not belong there: {sorted(surplus)}")
    for name in ("causalopt/py.typed", "causalopt/__init__.pyi"):
        if name not in inside:
            raise SystemExit(f"{wheel.name} lacks {name}")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    if missing := {"pyproject.toml", "README.md", "LICENSE", "causalopt/py.typed"} - names:
        raise SystemExit(f"{source.name} lacks {sorted(missing)}")


def check_installed(wheel: Path) -> None:
    """Install the wheel outside the checkout; import everything there, and run the demo."""
    entries = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["causalopt.backends"]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        venv.create(home / "venv", with_pip=True)
        scripts = home / "venv" / ("Scripts" if os.name == "nt" else "bin")

        def call(*command: str) -> str:
            done = subprocess.run(
                [str(scripts / command[0]), *command[1:]], cwd=home, env=clean, capture_output=True, text=True
            )
            if done.returncode:
                raise SystemExit(f"{' '.join(command[:3])} failed:\n{done.stdout}\n{done.stderr}")
            return done.stdout

        call("python", "-m", "pip", "install", "-q", "--disable-pip-version-check", f"{wheel}[demo]")
        found = call("python", "-c", LOOK, str(ROOT)).split()
        if found != sorted(entries):
            raise SystemExit(f"the installed wheel has the backends {found}, not {sorted(entries)}")
        if "certified by causalopt" not in call("causalopt", "demo").replace("\n", " "):
            raise SystemExit("the demo of the installed wheel does not say that its answer is certified")


def main() -> None:
    """Check the one wheel and the one source distribution of the folder given."""
    dist = Path(sys.argv[1]).resolve()
    (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    check_contents(wheel, source)
    check_installed(wheel)
    print(f"{wheel.name}: complete, and runs from an environment of its own")


if __name__ == "__main__":
    main()
