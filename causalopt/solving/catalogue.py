"""The solvers of this machine as a table, with advisories on versions that gave wrong answers."""

from __future__ import annotations

import dataclasses
import importlib.util
from datetime import date
from typing import TYPE_CHECKING

from causalopt.errors import SolverNotAvailable
from causalopt.solving.backend import Backend, License, backend_names, load_backend

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Advisory:
    """What is known to be wrong with a range of versions: from `since` up to, not including, `fixed`."""

    solver: str
    since: str
    fixed: str | None
    text: str


ADVISORIES = (
    Advisory("highs", "1.14.0", "1.14.1", "MIP presolve returns wrong answers; use 1.15.1 or later"),
    Advisory("highs", "0", "1.14.0", "entries above the diagonal of a Hessian are ignored; use 1.15.1 or later"),
    Advisory("gurobi", "12.0", "13.0", "the licence inside this wheel expired on 2026-11-23; use 13.0.3 or later"),
)


def _parts(version: str) -> tuple[int, ...]:
    digits = ["".join(c for c in part if c.isdigit()) for part in version.split(".")]
    return tuple(int(d) for d in digits if d)


def advisories(solver: str, version: str, license: License | None = None, today: date | None = None) -> list[str]:
    """Return the warnings that apply to a version of a solver and its licence."""
    found = [
        a.text
        for a in ADVISORIES
        if a.solver == solver
        and _parts(a.since) <= _parts(version)
        and (a.fixed is None or _parts(version) < _parts(a.fixed))
    ]
    if solver == "highs" and importlib.util.find_spec("highspy_extras") is None:
        found.append("highspy-extras is missing: without HiPO, convex QPs are slow (pip install highspy-extras)")
    if license is not None and license.expires and license.expires < (today or date.today()).isoformat():
        found.append(f"the licence expired on {license.expires}")
    return found


def solvers() -> pd.DataFrame:
    """Return a table of all registered solvers: installed, version, licence, limits, classes, abilities, advisories.

    Examples
    --------
    >>> table = solvers()
    >>> bool(table.loc["highs", "installed"])
    True
    """
    import pandas as pd

    return pd.DataFrame([_row(name) for name in backend_names()]).set_index("solver")


def _row(name: str) -> dict[str, object]:
    try:
        backend = load_backend(name)
    except SolverNotAvailable as error:
        empty = dict.fromkeys(("version", "licence", "limits", "expires", "classes", "abilities"), "")
        return {"solver": name, "installed": False, **empty, "advisories": str(error)}
    return _facts(backend)


def _facts(backend: Backend) -> dict[str, object]:
    installed = backend.is_installed()
    version = backend.version() if installed else ""
    license = backend.license() if installed else None
    return {
        "solver": backend.name,
        "installed": installed,
        "version": version,
        "licence": str(license) if license else "",
        "limits": license.limits() if license else "",
        "expires": (license.expires or "") if license else "",
        "classes": ", ".join(sorted(backend.classes)),
        "abilities": ", ".join(sorted(backend.abilities)),
        "advisories": "; ".join(advisories(backend.name, version, license)) if installed else "",
    }
