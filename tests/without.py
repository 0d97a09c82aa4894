"""Hide a problem's folder from imports, and tell which test files name it."""

from __future__ import annotations

import pkgutil
import re
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

PROBLEMS = sorted(
    path.parent.name for path in (Path(__file__).parents[1] / "causalopt" / "problems").glob("*/__init__.py")
)

#: Words by which commands, tests and helpers name a problem, beside its folder and public names.
ALSO = {
    "assignment": ["hungarian"],
    "balance": ["nsw", "lalonde", "bias", "frontier"],
    "copula": ["bootstrap"],
    "robust": ["robust-z", "mcnemar"],
    "synthetic_control": ["synth", "panel", "germany", "prop99"],
}


class _Hidden(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname, path=None, target=None):
        """Refuse the package and all in it."""
        if fullname == self.package or fullname.startswith(self.package + "."):
            raise ModuleNotFoundError(f"{fullname} is hidden", name=fullname)


def hide(problem):
    """Let no module of a problem be found or imported from now on."""
    sys.meta_path.insert(0, _Hidden(f"causalopt.problems.{problem}"))
    listed = pkgutil.iter_modules

    def others(path=None, prefix=""):
        return (module for module in listed(path, prefix) if not (module.ispkg and module.name == problem))

    pkgutil.iter_modules = others


def names(problem, text):
    """Return whether a text names a problem."""
    import causalopt

    package = f"causalopt.problems.{problem}"
    public = [name for name, module in causalopt._PUBLIC.items() if module.startswith(package)]
    words = [problem, problem.replace("_", "-"), *public, *ALSO.get(problem, [])]
    return re.search(rf"(?i)(?<![a-z])({'|'.join(map(re.escape, words))})", text) is not None
