"""The folders of problems: ours, and those that other distributions name by the entry-point group `causalopt.problems`.

An entry point is `NAME = "package"`, the package of the problem's folder; what lies in it below is found as with ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

#: The package of our own problems.
OURS = "causalopt.problems"

#: The entry-point group of other distributions.
GROUP = "causalopt.problems"


def problem_packages() -> list[tuple[str, str]]:
    """Return the packages that hold problems, each with the name by which it is called: ours first."""
    return [("causalopt", OURS), *sorted((point.name, point.value) for point in entry_points(group=GROUP))]


def load_modules(leaf: str, warn: Callable[[str], None] | None = None) -> list[ModuleType]:
    """Import the modules of one name, such as "command", in all folders of problems.

    Parameters
    ----------
    leaf : str
        The name.
    warn : callable, optional
        Told in one line of another distribution's package that cannot be imported, which is left out. It writes to
        standard error unless given.
    """
    found = []
    for name, package in problem_packages():
        try:
            found += [importlib.import_module(each) for each in _names(package, leaf)]
        except Exception as error:  # a third party's package may raise anything
            if package == OURS:
                raise
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            line = f"Warning: the problem {name!r} of another distribution ({package}) is left out: {what}"
            (warn or _tell)(line)
    return found


def suites() -> dict[str, Path]:
    """Return the instances of problems of other distributions, by the problem's name: modules that define `SUITE`."""
    found = {}
    for name, package in problem_packages()[1:]:
        with suppress(ImportError):
            for module in _names(package, "instances"):
                spec = importlib.util.find_spec(module)
                if spec is not None and spec.origin is not None:
                    found[name] = Path(spec.origin)
    return found


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _names(package: str, leaf: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {package!r}")
    return list(_below(package, leaf, spec.submodule_search_locations or ()))


def _below(package: str, leaf: str, folders: Iterable[str]) -> Iterator[str]:
    """Find modules of a name in a package and those in it, without importing any."""
    for module in pkgutil.iter_modules(folders):
        name = f"{package}.{module.name}"
        if module.ispkg:
            yield from _below(name, leaf, [str(Path(folder) / module.name) for folder in folders])
        elif module.name == leaf:
            yield name
