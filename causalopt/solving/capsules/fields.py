"""What a capsule's file says of a program, its options and a claim: fields of its JSON, and arrays."""

from __future__ import annotations

import dataclasses
import platform
from typing import Any

import numpy as np
import scipy
import scipy.sparse as sp

from causalopt.errors import OptionError
from causalopt.modeling.program import Program
from causalopt.solving.options import SolveOptions
from causalopt.verifying.claims import Limit, Reason, Termination
from causalopt.version import __version__

#: Arrays of a program that are stored as they are.
DENSE = ("c", "row_lower", "row_upper", "lower", "upper", "integer")
MATRICES = ("A", "Q")
PARTS = ("data", "indices", "indptr")

#: Options that are stored; the others are callbacks, or arrays.
OPTIONS = ("time_limit", "gap", "threads", "seed", "log", "solver_options", "isolate", "memory_limit")


@dataclasses.dataclass(frozen=True, eq=False)
class Claim:
    """What was claimed when the capsule was made, as numbers.

    Attributes
    ----------
    status : Termination
    objective, bound : float or None
    x, row_dual : array or None
    verification : str
        What recomputation found at the time, in words.
    """

    status: Termination
    objective: float | None
    bound: float | None
    x: Any = None
    row_dual: Any = None
    verification: str = ""


# ---- writing ----


def platform_here() -> dict[str, str]:
    """Return versions of what computes here, and the machine."""
    return {
        "causalopt": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
    }


def arrays_of(program: Program, options: SolveOptions, claim: Claim) -> dict[str, Any]:
    """Return the arrays of the file by name."""
    arrays = {f"program/{name}": getattr(program, name) for name in DENSE}
    for name in MATRICES:
        matrix = getattr(program, name)
        if matrix is not None:
            arrays |= {f"program/{name}/{part}": getattr(matrix, part) for part in PARTS}
    optional = {"claim/x": claim.x, "claim/row_dual": claim.row_dual, "options/start": options.start}
    return arrays | {name: np.asarray(values) for name, values in optional.items() if values is not None}


def fields_of(program: Program, options: SolveOptions, claim: Claim) -> dict[str, Any]:
    """Return the fields of the file that are no arrays."""
    status = claim.status
    return {
        "program": {
            "constant": _number(program.constant),
            "maximize": program.maximize,
            "convex": program.convex,
            "A": list(program.A.shape),
            "Q": None if program.Q is None else list(program.Q.shape),
        },
        "options": {
            "time_limit": _number(options.time_limit),
            "gap": _number(options.gap),
            "threads": None if options.threads is None else int(options.threads),
            "seed": int(options.seed),
            "log": bool(options.log),
            "solver_options": {name: _option(name, value) for name, value in options.solver_options.items()},
            "isolate": bool(options.isolate),
            "memory_limit": _number(options.memory_limit),
        },
        "claim": {
            "reason": str(status.reason),
            "limit": str(status.limit),
            "raw": status.raw,
            "objective": _number(claim.objective),
            "bound": _number(claim.bound),
            "verification": claim.verification,
        },
    }


def _number(value: float | None) -> float | str | None:
    """Return a number as JSON holds it: infinities and NaN as words."""
    return None if value is None else float(value) if np.isfinite(float(value)) else str(float(value))


def _option(name: str, value: Any) -> str | int | float | bool:
    """Return a solver's option as JSON holds it; NumPy's numbers are numbers."""
    plain = value.item() if isinstance(value, np.generic) else value
    if not isinstance(plain, str | int | float | bool) or (isinstance(plain, float) and not np.isfinite(plain)):
        raise OptionError(
            f"Solver option {name!r} is {value!r}: a capsule holds finite numbers, texts and truth values."
        )
    return plain


# ---- reading ----


def read_program(description: dict[str, Any], arrays: dict[str, Any]) -> Program:
    """Return the program of a description and its arrays."""
    fields: dict[str, Any] = {name: arrays[f"program/{name}"] for name in DENSE}
    for name, kind in (("A", sp.csr_matrix), ("Q", sp.csc_matrix)):
        if description[name] is not None:
            parts = tuple(arrays[f"program/{name}/{part}"] for part in PARTS)
            matrix = fields[name] = kind(parts, shape=tuple(description[name]), copy=False)
            matrix.data, matrix.indices, matrix.indptr = parts  # SciPy may have made the indices narrower
    program = Program(
        **fields,
        constant=_float(description["constant"]),  # type: ignore[arg-type]
        maximize=bool(description["maximize"]),
        convex=description["convex"],
    )
    n, m = program.n_columns, program.n_rows
    lengths = dict.fromkeys(("c", "lower", "upper", "integer"), n) | dict.fromkeys(("row_lower", "row_upper"), m)
    wrong = [name for name, length in lengths.items() if getattr(program, name).shape != (length,)]
    if wrong or program.A.shape[1] != n or (program.Q is not None and program.Q.shape != (n, n)):
        raise ValueError(f"the shapes of its arrays contradict each other ({', '.join(wrong) or 'A or Q'})")
    program.check()
    return program


def read_options(description: dict[str, Any], arrays: dict[str, Any]) -> SolveOptions:
    """Return the options of a description and its arrays."""
    limits = {name: _float(description[name]) for name in ("time_limit", "memory_limit")}
    return SolveOptions(**{**description, **limits}, start=arrays.get("options/start"))


def read_claim(description: dict[str, Any], arrays: dict[str, Any]) -> Claim:
    """Return the claim of a description and its arrays."""
    return Claim(
        Termination(Reason(description["reason"]), Limit(description["limit"]), description["raw"]),
        _float(description["objective"]),
        _float(description["bound"]),
        arrays.get("claim/x"),
        arrays.get("claim/row_dual"),
        description["verification"],
    )


def _float(value: float | str | None) -> float | None:
    return None if value is None else float(value)
