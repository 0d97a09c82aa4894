"""What is amiss with the installation where another project's distribution brings a package of our name.

The distribution of this package is `pycausalopt`; `causalopt` on the package index is another project's. Both write
`causalopt/__init__.py`: who is installed last is what `import causalopt` finds, and who is uninstalled takes it along.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

from causalopt.errors import CausaloptWarning

OURS, OTHER = "pycausalopt", "causalopt"

REPAIR = f"pip uninstall {OTHER}, then pip install --force-reinstall --no-deps {OURS} (or its checkout)"


def shared_name() -> str:
    """Return in one line that another installed distribution brings a package of our name; "" where none does.

    A source tree that is not installed has no distribution, and nothing is said of it.
    """
    found = list(_installed())
    others = [version for name, version, folder in found if name == OTHER and _brings_the_package(folder)]
    if not others or all(name != OURS for name, _, _ in found):
        return ""
    return (
        f"The distribution '{OTHER}' {others[0]} is installed beside '{OURS}', and files of one take the place of the "
        f"other's: {REPAIR}."
    )


def replaced(package: ModuleType) -> str:
    """Return in one line that the package found is not ours, or has lost its first file; "" where nothing is amiss.

    Parameters
    ----------
    package : module
        The package `causalopt`, as a module below it finds it. Modules that the other project does not have stay ours.
    """
    if "_PUBLIC" in vars(package):
        return ""
    amiss = "is another distribution's" if getattr(package, "__file__", None) else "is missing"
    return f"The file causalopt/__init__.py {amiss}: {REPAIR}."


def warn_of_shared_name() -> None:
    """Warn where another distribution brings a package of our name; the package calls it when it is imported."""
    if said := shared_name():
        warnings.warn(said, CausaloptWarning, stacklevel=3)  # who imports causalopt


def _installed() -> Iterator[tuple[str, str, str]]:
    """Yield name, version and folder of metadata of every distribution of the two names.

    Names of folders are read, since `importlib.metadata` takes longer to load than all of `import causalopt`.
    """
    for place in sys.path:
        try:
            names = os.listdir(place or os.curdir)
        except (OSError, TypeError, ValueError):  # an archive, or nothing there
            continue
        for folder in names:
            if folder.startswith((f"{OURS}-", f"{OTHER}-")) and folder.endswith(".dist-info"):
                name, _, version = folder.removesuffix(".dist-info").partition("-")
                if "-" not in version:  # else a distribution whose name is longer
                    yield name, version, os.path.join(place, folder)


def _brings_the_package(metadata: str) -> bool:
    """Return whether a distribution holds the package's first file: one installed from its source tree does not."""
    try:
        with open(os.path.join(metadata, "RECORD"), encoding="utf-8", errors="replace") as record:
            return any(line.startswith(f"{OTHER}/__init__.py,") for line in record)
    except OSError:
        return True
