"""What every problem offers: formulations, a Pyomo model, and the way back from arrays to the study's terms."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from causalopt.errors import DataError, InfeasibleError, OptionError
from causalopt.modeling.program import ProblemClass, Program
from causalopt.solving.options import SolveOptions, unknown_name
from causalopt.solving.result import Result
from causalopt.verifying.claims import Solution

if TYPE_CHECKING:
    import pandas as pd

    from causalopt.solving.several import Lane


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
        Whether solvers of MILPs may stand in for those of convex MIQPs, by tangents (`causalopt.solving.tangents`).
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
        import pyomo.environ as pyo

        from causalopt.modeling.costs import ArrayObjective

        model = pyo.ConcreteModel()
        cost, sense = self._components(model, self.formulation_name(formulation))
        model.objective = ArrayObjective(**cost, sense=sense)
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
        from causalopt.modeling.costs import ArrayCost

        self._require_block(block)
        cost, _ = self._components(block, self.formulation_name(formulation))
        block.cost = ArrayCost(**cost)

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

    def fast_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
        """Return the exact hand-written algorithms that solve this formulation, the preferred one first.

        Parameters
        ----------
        formulation : str
            One of `formulations`.
        """
        return {}

    def search(self, formulation: str) -> Callable[[Lane], Result] | None:
        """Return the procedure for an answer that takes several programs; None where one program answers.

        Parameters
        ----------
        formulation : str
            One of `formulations`.
        """
        return None

    def named_paths(self, formulation: str) -> dict[str, Callable[[Program, SolveOptions], Solution]]:
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
            partial(_blocking_rows, self, result.solver, result.formulation or None),
        )

    def solvers(self, formulation: str | None = None) -> pd.DataFrame:
        """Return what can solve the problem here: installed solvers and fast paths, and what stands in the way.

        Parameters
        ----------
        formulation : str, optional
            One of `formulations`; the first by default.
        """
        import pandas as pd

        from causalopt.modeling.compile import compile_model
        from causalopt.solving.backend import installed_backends

        name = self.formulation_name(formulation)
        program = compile_model(self.build(name))
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


def _blocking_rows(problem: Problem, solver: str, formulation: str | None) -> pd.DataFrame:
    from causalopt.solving.infeasibility import explain_infeasibility

    return explain_infeasibility(problem, solver, formulation=formulation).table
