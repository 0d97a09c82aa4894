"""The solvers of this machine as a table, with advisories on versions that gave wrong answers."""

from __future__ import annotations

import dataclasses
import re
from datetime import date
from typing import TYPE_CHECKING

from causalopt.errors import SolverNotAvailable
from causalopt.solving.backend import Backend, License, backend_names, load_backend

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Advisory:
    """What is known to be wrong with a range of versions.

    Attributes
    ----------
    solver : str
        A backend's name.
    since, fixed : str, str or None
        The first version that is affected, and the first that is not; None where there is none yet.
    text : str
    source : str
        Where that is known from.
    """

    solver: str
    since: str
    fixed: str | None
    text: str
    source: str

    def applies(self, version: str) -> bool:
        """Return whether a version is affected."""
        fixed = self.fixed is not None and _parts(version) >= _parts(self.fixed)
        return _parts(version) >= _parts(self.since) and not fixed


#: Wrong answers and traps by solver and version (of the Python package).
ADVISORIES = (
    Advisory(
        "highs",
        "1.14.0",
        "1.15.0",
        "MIP presolve calls wrong answers optimal; use 1.15.1 or later",
        "HiGHS issues 2957, 2975, 3043, 3073",
    ),
    Advisory(
        "highs",
        "0",
        "1.14.0",
        "entries above the diagonal of a Hessian are ignored; use 1.15.1 or later",
        "HiGHS release notes",
    ),
    Advisory(
        "gurobi",
        "12.0",
        "13.0",
        "the licence inside this wheel expired on 2026-11-23; use 13.0.3 or later",
        "the wheel's own message",
    ),
    Advisory(
        "scip", "0", "5.0.0", "has called suboptimal MIP solutions optimal; use 6.3.0 or later", "SCIP issues 74, 86"
    ),
    Advisory(
        "scip",
        "5.0.0",
        None,
        "wrong answers to MIPs at numerics/feastol=1e-9, which causalopt sets for quadratic costs only",
        "SCIP issues 132, 142",
    ),
    Advisory(
        "cplex",
        "0",
        None,
        "calls unbounded nonconvex QPs optimal, without a bound; causalopt settles them by a second solve",
        "conformance case nonconvex-unbounded",
    ),
    Advisory(
        "pyomo",
        "6.10",
        None,
        "its newer solver interfaces take misspelled options in silence, and its scip_direct waits for ever once the "
        "log is longer than a pipe; causalopt checks the names it knows and keeps that log off",
        "conformance cases option-misspelled, time-limit-with-an-incumbent",
    ),
)


def _parts(version: str) -> tuple[int, ...]:
    """Return the numbers of a version; a suffix like rc1 does not count."""
    return tuple(int(digits) for digits in re.findall(r"(?:^|[. ])(\d+)", version))


def advisories(solver: str, version: str, license: License | None = None, today: date | None = None) -> list[str]:
    """Return the warnings that apply to a version of a solver and its licence."""
    found = [advisory.text for advisory in ADVISORIES if advisory.solver == solver and advisory.applies(version)]
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
    known = [*backend.advisories(), *advisories(backend.name, version, license)] if installed else []
    return {
        "solver": backend.name,
        "installed": installed,
        "version": version,
        "licence": str(license) if license else "",
        "limits": license.limits() if license else "",
        "expires": (license.expires or "") if license else "",
        "classes": ", ".join(sorted(backend.classes)),
        "abilities": ", ".join(sorted(backend.abilities)),
        "advisories": "; ".join(known),
    }
