"""How a solve ended, what a backend returned, and what the user gets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from causalopt.messages import Message
from causalopt.modeling.program import Floats
from causalopt.solving.answer import Answer
from causalopt.verifying.claims import Limit as Limit
from causalopt.verifying.claims import Reason as Reason
from causalopt.verifying.claims import Solution as Solution
from causalopt.verifying.claims import Termination as Termination
from causalopt.verifying.claims import Verification

if TYPE_CHECKING:
    import pandas as pd


class Ledger:
    """Adds up wall-clock seconds by phase while a solve runs."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, phase: str, seconds: float) -> None:
        """Charge seconds to a phase.

        Parameters
        ----------
        phase : str
            One of `TimeLedger.phases()`.
        seconds : float
            Wall clock.
        """
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge the time spent inside to a phase.

        Parameters
        ----------
        name : str
            One of `TimeLedger.phases()`.

        Returns
        -------
        context manager
            Time inside it counts.
        """
        start = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - start)

    def close(self) -> TimeLedger:
        """Return the finished ledger."""
        return TimeLedger(**{name: self.seconds.get(name, 0.0) for name in TimeLedger.phases()})


@dataclasses.dataclass(frozen=True)
class TimeLedger:
    """Wall-clock seconds by phase of a solve.

    `data` reads and checks the input, `build` makes the Pyomo model, `compile` the program's arrays, `load` hands
    them to the solver, `solve` is the solver's own work (or the fast path's), `extract` reads its answer, and
    `verify` recomputes it.

    Attributes
    ----------
    data, build, compile, load, solve, extract, verify : float
        Seconds.
    """

    data: float = 0.0
    build: float = 0.0
    compile: float = 0.0
    load: float = 0.0
    solve: float = 0.0
    extract: float = 0.0
    verify: float = 0.0

    @classmethod
    def phases(cls) -> tuple[str, ...]:
        """Return the names of the phases, in order."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @property
    def total(self) -> float:
        """Return the sum over the phases."""
        return float(sum(dataclasses.astuple(self)))

    def __str__(self) -> str:
        parts = [f"{name} {seconds(getattr(self, name))}" for name in self.phases() if getattr(self, name) >= 5e-7]
        return ", ".join(parts) + f"; total {seconds(self.total)}"


def seconds(value: float) -> str:
    """Write a duration for people: 1.23 s, 45.6 ms, 789 us.

    Parameters
    ----------
    value : float
        Seconds.

    Returns
    -------
    str
        Three digits and the unit.

    Examples
    --------
    >>> seconds(1.234), seconds(0.0456), seconds(0.000789)
    ('1.23 s', '45.6 ms', '789 us')
    """
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if value * factor >= 1.0:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.0f} us"


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Result(Answer):
    """A verified answer.

    Attributes
    ----------
    status : Termination
        How the solve ended. An answer counts as optimal only where verification does not contradict it.
    x : (n,) array or None
        The solution, one value per column of the program.
    objective : float or None
        Recomputed from `x`, not the solver's figure.
    bound : float or None
        The best value that any solution could have; certified where `verification` says so, else the solver's claim.
    gap : float or None
        |objective - bound| / max(|objective|, its scale), None without both.
    verification : Verification or None
        What was recomputed from the data, beside what was claimed.
    timing : TimeLedger
    solver, solver_version, license, formulation, method : str
    solver_reason : str
        In a sentence, why this solver answered.
    row_dual : (m,) array or None
        Derivative of the objective with respect to each right-hand side.
    log : str
    peak_memory : int or None
        Bytes that the solver's process held, where it had one of its own.
    warnings : tuple of str
    """

    status: Termination
    objective: float | None = None
    bound: float | None = None
    gap: float | None = None
    x: Floats | None = None
    row_dual: Floats | None = None
    verification: Verification | None = None
    timing: TimeLedger = TimeLedger()
    solver: str = ""
    solver_version: str = ""
    license: str = ""
    formulation: str = ""
    method: str = ""
    solver_reason: str = ""
    log: str = ""
    peak_memory: int | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Keep the parts of warnings that have names."""
        object.__setattr__(self, "warnings", tuple(map(Message, self.warnings)))

    def __bool__(self) -> bool:
        """Return whether there is a solution."""
        return self.status.has_solution

    def __repr__(self) -> str:
        """Return the summary: what a prompt or a notebook shows."""
        return f"{type(self).__name__}\n{self.summary()}"

    @property
    def is_optimal(self) -> bool:
        """Whether the answer is optimal within the gap asked for."""
        return self.status.reason is Reason.OPTIMAL

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed.

        Parameters
        ----------
        **changes : keyword arguments
            Fields by name, with their new values.
        """
        return dataclasses.replace(self, **changes)

    def facts(self) -> dict[str, str]:
        """Return what `summary` and `to_frame` show of the solve, as words."""
        solver = " ".join(part for part in (self.solver, self.solver_version) if part)
        rows = {
            "status": str(self.status),
            "objective": "" if self.objective is None else f"{self.objective:.10g}",
            "bound": "" if self.bound is None else f"{self.bound:.10g}",
            "gap": "" if self.gap is None else f"{self.gap:.2g}",
            "solver": solver + (f", {self.method}" if self.method else ""),
            "why this solver": self.solver_reason,
            "formulation": self.formulation,
            "verification": "" if self.verification is None else str(self.verification),
            "time": str(self.timing),
        }
        return {name: text for name, text in rows.items() if text}

    def summary(self) -> str:
        """Return the result in a few lines of plain text."""
        facts = self.facts()
        width = max(map(len, facts))
        return "\n".join(f"{name:<{width}}  {text}" for name, text in facts.items())

    def to_frame(self) -> pd.DataFrame:
        """Return the facts of the solve as a table."""
        import pandas as pd

        return pd.DataFrame({"value": self.facts()}).rename_axis("fact")

    def fields(self) -> dict[str, Any]:
        """Return the fields by name, for building a result of a more specific kind."""
        return {name: getattr(self, name) for name in Result.__dataclass_fields__}
