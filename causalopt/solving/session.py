"""Re-solves of one program with changed numbers, on a live model of the solver where it has one."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from causalopt import modeling
from causalopt.errors import CausaloptError, DataError, SolverNotAvailable, warn
from causalopt.modeling.program import Floats, Program
from causalopt.solving.attempts import solve_program, verified_result
from causalopt.solving.backend import CHANGEABLE, Backend, LiveModel
from causalopt.solving.choice import choose_backend
from causalopt.solving.options import SolveOptions
from causalopt.solving.problem import Problem
from causalopt.solving.result import Ledger, Result
from causalopt.verifying.claims import Limit, Reason, Tolerances
from causalopt.verifying.verify import verify


class Session:
    """Solve a program again and again with other costs, bounds or right-hand sides; verified each time.

    Parameters
    ----------
    program : Program
    solver : str or Backend
        A backend's name, "auto", or a backend object.
    **options
        As in `solve`: time_limit, gap, threads, seed, options, tolerances.

    Attributes
    ----------
    memory : str
        What the solver keeps between solves ("simplex basis", "model"), empty where each solve starts afresh.

    Raises
    ------
    DataError
        For a change of the wrong shape, or a session that is closed.

    Examples
    --------
    >>> from causalopt import Program
    >>> program = Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], row_lower=1.0)
    >>> with Session(program, "highs") as session:
    ...     first = session.solve()
    ...     second = session.solve(c=[3.0, 2.0])
    ...     kept = session.memory
    >>> first.objective, second.objective, kept
    (1.0, 2.0, 'simplex basis')
    """

    def __init__(self, program: Program, solver: str | Backend = "auto", **options: Any) -> None:
        self.tolerances: Tolerances | None = options.pop("tolerances", None)
        solver_options = options.pop("options", None) or {}
        try:
            self.options = SolveOptions(**options, solver_options=solver_options)
        except TypeError as error:
            raise DataError(f"A session takes the options of solve(): {error}.") from None
        self.backend, self.reason = choose_backend(program, solver)
        self.backend.check_can_solve(program)
        self.program = program
        self._live: LiveModel | None = self.backend.session(program, self.options)
        self._open_state = True
        if self._live is None:
            warn(f"{self.backend.name} keeps nothing between solves of a {program.problem_class}: each starts afresh.")

    @property
    def memory(self) -> str:
        """What the solver keeps from one solve to the next."""
        return "" if self._live is None else self._live.memory

    def solve(self, **changes: npt.ArrayLike) -> Result:
        """Change some of c, lower, upper, row_lower and row_upper (full arrays or scalars), and solve.

        Changes stay for the next solve. Where the live model's answer does not survive verification, the program is
        solved afresh, and the result's warnings say so.

        Parameters
        ----------
        **changes : arrays
            New `c`, `lower`, `upper`, `row_lower` or `row_upper`, whole arrays or scalars; what is not
            named stays.

        Returns
        -------
        Result
            Verified, as from `causalopt.solve`.

        Raises
        ------
        DataError
            Where the session is closed, or an array has another shape or name.
        """
        if not self._open_state:
            raise DataError("This session is closed; open a new one.")
        ledger = Ledger()
        with ledger.phase("compile"):
            self.program = self._changed(changes)
        if self._live is None:
            return solve_program(self.program, self.backend, self.options, self.tolerances, ledger, self.reason)
        note = "the live model failed"
        try:
            with ledger.phase("load"):
                self._live.change(self.program, frozenset(changes))
            solution = self._live.solve(self.program, self.options)
            for phase, value in solution.seconds.items():
                ledger.add(phase, value)
            with ledger.phase("verify"):
                verified, check = verify(self.program, solution, gap=self.options.gap, tolerances=self.tolerances)
            settled = solution.termination.reason not in (Reason.NO_SOLUTION, Reason.ERROR)
            if check.passed and (settled or solution.termination.limit is not Limit.NONE):
                return verified_result(verified, check, ledger, self.backend, self.reason)
            note = str(check) if not check.passed else solution.termination.raw
        except CausaloptError as error:
            note = str(error)
        except MemoryError:
            raise
        except Exception as error:  # a third party's live model may raise anything
            note = f"{type(error).__name__}: {error}"
        result = solve_program(self.program, self.backend, self.options, self.tolerances, ledger, self.reason)
        return result.replace(
            warnings=(*result.warnings, f"Solved afresh, since the live model's answer failed: {note}")
        )

    def _changed(self, changes: dict[str, npt.ArrayLike]) -> Program:
        arrays: dict[str, Floats] = {}
        for name, values in changes.items():
            if name not in CHANGEABLE:
                raise DataError(f"A session can change {', '.join(CHANGEABLE)}; not {name!r}.")
            old = getattr(self.program, name)
            new = np.asarray(values, dtype=float)
            if new.ndim and new.shape != old.shape:
                raise DataError(f"{name} has shape {new.shape}; the program needs {old.shape}.")
            if np.isnan(new).any():
                raise DataError(f"{name} holds NaN (missing values). Give a number for each.")
            if name == "c" and not np.isfinite(new).all():
                raise DataError(f"{name} holds values that are not finite.")
            arrays[name] = np.array(np.broadcast_to(new, old.shape))
        return self.program.replace(**arrays).with_far_numbers_open()

    def close(self) -> None:
        """Release the solver's model; closing twice is harmless."""
        if self._live is not None:
            self._live.close()
        self._live, self._open_state = None, False

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def session(
    problem_or_model: Any, solver: str | Backend = "auto", *, formulation: str | None = None, **options: Any
) -> Session:
    """Open a session on a problem, a Pyomo model or a program; see `Session`.

    Parameters
    ----------
    problem_or_model : Problem, Pyomo model or Program
        What is solved again and again.
    solver : str or Backend
        A backend, or "auto". Fast paths keep no session.
    formulation : str, optional
        One of the problem's formulations.
    **options : optional
        Fields of `SolveOptions`.

    Raises
    ------
    SolverNotAvailable
        Where the solver is a fast path, which keeps no session, or is not installed.

    Examples
    --------
    >>> import causalopt as co
    >>> program = co.Program.from_arrays([1.0, 2.0], [[1.0, 1.0]], row_lower=1.0)
    >>> with co.session(program, "highs") as live:
    ...     [live.solve(row_lower=float(demand)).objective for demand in (1, 2, 3)]
    [1.0, 2.0, 3.0]
    """
    if isinstance(problem_or_model, Program):
        return Session(problem_or_model, solver, **options)
    model = problem_or_model
    if isinstance(model, Problem):
        name = model.formulation_name(formulation)
        if solver in (*model.fast_paths(name), *model.named_paths(name)):
            raise SolverNotAvailable(
                f"{solver} is a fast path, and fast paths keep no session: solve the problem with each change, or name "
                "a solver."
            )
        model = model.build(formulation)
    return Session(modeling.compile_model(model), solver, **options)
