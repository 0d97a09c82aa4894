"""What every problem offers: formulations, a Pyomo model, and the way back from arrays to the study's terms."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from causalopt import modeling
from causalopt.errors import DataError, InfeasibleError, LicenseError, OptionError, SolverFailure, VerificationError
from causalopt.messages import argument
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.attempts import FastPath, run_fast_path, solve_program
from causalopt.solving.backend import Backend, backend_names, installed_backends, unknown_solver
from causalopt.solving.choice import choose_backend
from causalopt.solving.infeasibility import blocking_rows
from causalopt.solving.lane import Lane
from causalopt.solving.options import unknown_name
from causalopt.solving.result import Ledger, Result
from causalopt.solving.trying.tangents import needs_tangents, solve_program_by_tangents
from causalopt.verifying.claims import Reason

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Formulation:
    """One way to write a problem as a model.

    Attributes
    ----------
    problem_class : ProblemClass
    exact : bool
        Whether its optimum is that of the problem; else it is a heuristic or a relaxation, as `source` says.
    source : str
        Paper, section and equation.
    tangents : bool
        Whether solvers of MILPs may stand in for those of convex MIQPs, by tangents
        (`causalopt.solving.trying.tangents`).

    Examples
    --------
    >>> import causalopt as co
    >>> co.Formulation(co.ProblemClass.MILP, exact=True, source="Somebody (2014), equation 3").exact
    True
    """

    problem_class: ProblemClass
    exact: bool
    source: str
    tangents: bool = False


class Problem(abc.ABC):
    """A problem with validated data, its labels, and one or more formulations."""

    #: name -> formulation; the first is the one used unless another is asked for.
    _formulations: Mapping[str, Formulation]

    #: Seconds that reading and checking the data took.
    data_seconds: float = 0.0

    @property
    def formulations(self) -> pd.DataFrame:
        """The formulations as a table: name, class, exact or not, source."""
        import pandas as pd

        rows = [
            {"class": str(f.problem_class), "exact": "exact" if f.exact else "heuristic", "source": f.source}
            for f in self._formulations.values()
        ]
        return pd.DataFrame(rows, index=pd.Index(self._formulations, name="formulation"))

    def formulation_name(self, name: str | None) -> str:
        """Return the name of a formulation that exists; None stands for the first.

        Parameters
        ----------
        name : str or None
            What the caller asked for.

        Raises
        ------
        OptionError
            Where the name is unknown.
        """
        if name is None:
            return next(iter(self._formulations))
        if name not in self._formulations:
            raise OptionError(unknown_name("formulation", name, self._formulations))
        return name

    def build(self, formulation: str | None = None) -> Any:
        """Return the problem as a Pyomo ConcreteModel with its objective.

        The components are array-backed, and ordinary Pyomo components from the first touch: add constraints, fix
        variables, write it to a file, or hand it to any Pyomo solver.

        Parameters
        ----------
        formulation : str, optional
            One of `formulations`; the first by default.
        """
        model = modeling.pyo.ConcreteModel()
        cost, sense = self._components(model, self.formulation_name(formulation))
        model.objective = modeling.ArrayObjective(**cost, sense=sense)
        return model

    def attach(self, block: Any, formulation: str | None = None) -> None:
        """Add the problem's variables and constraints to a block of the caller's model, and its cost as `block.cost`.

        No objective is added: use `block.cost` in one of your own. Several problems can live in one model.

        Parameters
        ----------
        block : pyomo Block
            Where to add them.
        formulation : str, optional
            One of `formulations`; the first by default.

        Raises
        ------
        DataError
            For what is no block.
        """
        self._require_block(block)
        cost, _ = self._components(block, self.formulation_name(formulation))
        block.cost = modeling.ArrayCost(**cost)

    @staticmethod
    def _require_block(block: Any) -> None:
        from pyomo.core.base.block import BlockData

        if not isinstance(block, BlockData):
            raise DataError(
                f"attach adds to a Pyomo block or model, not to this {type(block).__name__}: make one, "
                "m.part = pyo.Block(), and give m.part (of an indexed block, one element)."
            )

    @abc.abstractmethod
    def _components(self, block: Any, formulation: str) -> tuple[dict[str, Any], Any]:
        """Add variables and constraints to `block`; return the arguments of the cost and the sense."""

    def direct_program(self, formulation: str) -> Program | None:
        """Return the program that `build` compiles to, for problems that can write its arrays without a Pyomo model.

        Fast paths use it, for which the model would take longer than the solution; solvers get the compiled model.

        Parameters
        ----------
        formulation : str
            One of `formulations`.
        """
        return None

    def fast_paths(self, formulation: str) -> dict[str, FastPath]:
        """Return the exact hand-written algorithms that solve this formulation, the preferred one first.

        Parameters
        ----------
        formulation : str
            One of `formulations`.
        """
        return {}

    def named_paths(self, formulation: str) -> dict[str, FastPath]:
        """Return algorithms that run only when asked for by name: heuristics, and refusals that say why.

        Parameters
        ----------
        formulation : str
            One of `formulations`.
        """
        return {}

    def by_tangents(self, formulation: str) -> bool:
        """Return whether solvers of MILPs may solve this formulation by tangents.

        Parameters
        ----------
        formulation : str
            One of `formulations`.
        """
        return self._formulations[formulation].tangents

    def takes_several_programs(self, formulation: str) -> bool:
        """Return whether the answer takes several programs: `answer` then solves them.

        Parameters
        ----------
        formulation : str
            One of `formulations`.
        """
        return False

    def program(self, formulation: str, ledger: Ledger | None = None) -> Program:
        """Return the program of a formulation, compiled from its model.

        Parameters
        ----------
        formulation : str
            One of `formulations`.
        ledger : Ledger, optional
            What the time is charged to.
        """
        ledger = ledger or Ledger()
        compile_model = modeling.compile_model  # first, so that loading Pyomo is not charged to a phase
        with ledger.phase("build"):
            model = self.build(formulation)
        with ledger.phase("compile"):
            return compile_model(model)

    def answer(self, lane: Lane) -> Result:
        """Return the problem's own kind of result: here by one program, on a fast path or a backend.

        A problem whose answer takes several programs has a method of its own, and `takes_several_programs`.

        Parameters
        ----------
        lane : Lane
            The solver asked for, the formulation, options and clock.

        Raises
        ------
        SolverNotAvailable, UnsupportedProblem, LicenseError
            Where the solver does not exist, cannot solve this class, or its licence is too small.
        InfeasibleError
            Where there is no solution, with an explanation in the study's terms.
        SolverFailure
            Where the solver ended without a solution, and none is known not to exist.
        """
        name, ledger = lane.formulation, lane.ledger
        fast_paths, named_paths = self.fast_paths(name), self.named_paths(name)
        asked = lane.solver if isinstance(lane.solver, str) else ""
        path = next(iter(fast_paths), "") if asked == "auto" else asked
        program = None
        if path in fast_paths:
            with ledger.phase("build"):
                program = self.direct_program(name)
        if program is None:
            program = self.program(name, ledger)
        if asked and path not in {**fast_paths, **named_paths, "": None}:
            if asked not in backend_names() and ":" not in asked:
                raise unknown_solver(asked, [*backend_names(), *fast_paths, *named_paths])
            path = ""
        result, notes = (None, ()) if not path else self._by_path(program, path, lane)
        if result is None:
            result = self._by_backend(program, lane)
        result = result.replace(formulation=name, warnings=(*notes, *result.warnings))
        if result.status.reason is Reason.INFEASIBLE:
            raise self.infeasible(result)
        if not result:
            raise SolverFailure(
                f"{result.solver} ended without a solution ({result.status}). "
                f"Allow more time ({argument('time_limit', assigned=True)}), or use another solver or formulation."
            )
        return self.result(result, program)

    def _by_path(self, program: Program, path: str, lane: Lane) -> tuple[Result | None, tuple[str, ...]]:
        """Return the answer of a fast path, and what is to be said of it; None where it is for a solver to go on."""
        named = lane.solver == path
        algorithm = (self.named_paths(lane.formulation) | self.fast_paths(lane.formulation))[path]
        reason = "it was asked for" if named else f"{path} is an exact algorithm for this problem"
        try:
            result = run_fast_path(program, path, algorithm, lane.options, lane.tolerances, lane.ledger, reason)
        except (VerificationError, SolverFailure) as error:
            if named:
                raise
            return None, (f"A solver answers, since {path} did not: {error.message.marked}",)
        gave_up = result.status.reason is Reason.NO_SOLUTION and not named
        return (None, ()) if gave_up else (result, ())

    def _by_backend(self, program: Program, lane: Lane) -> Result:
        tangents = self.by_tangents(lane.formulation)
        backend, reason = choose_backend(program, lane.solver, tangents=tangents)
        solve_it = solve_program_by_tangents if tangents and needs_tangents(program, backend) else solve_program
        try:
            options = lane.options.replace(time_limit=lane.seconds_left)  # a fast path may have taken some of it
            return solve_it(program, backend, options, lane.tolerances, lane.ledger, reason)
        except LicenseError as error:
            more = self._alternatives(lane.formulation, backend)
            raise LicenseError(f"{error.message.marked} {more}".strip()) from None

    def _alternatives(self, formulation: str, backend: Backend) -> str:
        """Return, in words, what fits a licence that a formulation does not: other ways to write the problem."""
        others = [name for name in self._formulations if name != formulation and not self.takes_several_programs(name)]
        fitting = [name for name in others if backend.fits(self.program(name))]
        paths = list(self.fast_paths(formulation))
        parts = [
            f"Formulations that fit {backend.name}: {', '.join(fitting)}." if fitting else "",
            f"Fast paths, which need no licence: {', '.join(paths)}." if paths else "",
        ]
        return " ".join(part for part in parts if part)

    @abc.abstractmethod
    def result(self, result: Result, program: Program) -> Result:
        """Return the problem's own kind of result, with labels, from a verified answer.

        Parameters
        ----------
        result : Result
            The verified answer, in the program's order.
        program : Program
            What was solved.
        """

    def infeasible(self, result: Result) -> InfeasibleError:
        """Return the error for a problem without solution, with an explanation in the study's terms.

        A problem without terms of its own lists the constraints that must give way, once the explanation is looked at.

        Parameters
        ----------
        result : Result
            The answer that says so.
        """
        return InfeasibleError(
            f"No solution satisfies the constraints ({result.solver}: {result.status.raw}).",
            partial(self._blocking_rows, result),
        )

    def _blocking_rows(self, result: Result) -> pd.DataFrame:
        model = self.build(result.formulation or None)
        return blocking_rows(modeling.compile_model(model, objective=False), result.solver).table

    def solvers(self, formulation: str | None = None) -> pd.DataFrame:
        """Return what can solve the problem here: installed solvers and fast paths, and what stands in the way.

        Parameters
        ----------
        formulation : str, optional
            One of `formulations`; the first by default.
        """
        import pandas as pd

        name = self.formulation_name(formulation)
        program = modeling.compile_model(self.build(name))
        quadratic = program.Q is not None
        rows = [{"solver": path, "can solve": True, "note": "exact fast path"} for path in self.fast_paths(name)]
        for backend in installed_backends():
            note = ""
            if program.problem_class not in backend.classes:
                note = f"does not solve a {program.problem_class}"
            else:
                note = backend.license().obstacle(program.n_columns, program.n_rows, quadratic) or ""
            rows.append({"solver": backend.name, "can solve": not note, "note": note})
        return pd.DataFrame(rows).set_index("solver")
