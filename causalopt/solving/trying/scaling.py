"""In what units a program is handed to a solver, whose tolerances are absolute, and the way back.

Columns, rows and objectives in very large or small units are rescaled by powers of two; numbers so large that they
mean "no limit" leave. How much of that is safe depends on what stands behind an answer, so that there are several ways
(`Scaling`), tried in turn until an answer holds in the caller's own units.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.sparse as sp

from causalopt.modeling.program import Floats, ProblemClass, Program
from causalopt.verifying.claims import Solution
from causalopt.verifying.units import GOOD_SCALE, column_units, in_units, power_of_two

Step = Callable[[Solution], Solution]

#: How far beyond a bound solvers leave a column.
SOLVERS_TOLERANCE = 1e-6

#: Bounds and sides of this size, in moderate units, are rarely reached: the optimum is looked for without them first.
FAR = 1e6


class Scaling(enum.StrEnum):
    """In what units a program is solved; those that a solver's tolerances are in."""

    MODERATE = "in moderate units"
    """Columns, rows and objective are brought to about one. For programs whose bound is recomputed from multipliers."""
    MODERATE_OPEN = "in moderate units, without far bounds"
    """The same without the bounds and sides that are far away."""
    FAR = "in units of far bounds"
    """The same with columns that have far bounds measured by them: where the optimum is there."""
    SHRINKING_OPEN = "in units that only shrink, without far bounds"
    """Only what makes a solver's tolerances mean less than the caller's: the solver's word on a bound then holds."""
    SHRINKING = "in units that only shrink"
    """The same with the bounds and sides that are far away."""
    NONE = "in the model's own units"

    @property
    def only_shrinks(self) -> bool:
        """Whether a solver's tolerances can only mean less than in the program's own units."""
        return self in (Scaling.SHRINKING_OPEN, Scaling.SHRINKING)

    @classmethod
    def order(cls, problem_class: ProblemClass) -> tuple[Scaling, ...]:
        """Return which to try in turn for a class of programs.

        Parameters
        ----------
        problem_class : ProblemClass
            Moderate units come first where a bound can be recomputed, last where it is the solver's word.
        """
        certifiable = problem_class in (ProblemClass.LP, ProblemClass.CONVEX_QP)
        return (
            (cls.MODERATE, cls.MODERATE_OPEN, cls.FAR, cls.NONE, cls.SHRINKING_OPEN)
            if certifiable
            else (cls.SHRINKING_OPEN, cls.SHRINKING, cls.NONE, cls.MODERATE)
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Scaled:
    """A program in other units.

    Attributes
    ----------
    program : Program
    steps : tuple of callables
        What maps its solutions back, in the order in which the units were changed.
    unit : (n,) array or None
        The units that columns are measured in.
    rescaled, opened : bool
        Whether anything is in other units; whether far bounds or sides are out.
    """

    program: Program
    steps: tuple[Step, ...] = ()
    unit: Floats | None = None
    rescaled: bool = False
    opened: bool = False


def in_units_of(program: Program, scaling: Scaling) -> Scaled:
    """Return a program as a scaling has it.

    Parameters
    ----------
    program : Program
    scaling : Scaling

    Examples
    --------
    >>> program = Program.from_arrays([1.0], [[1.0]], row_lower=3.0, upper=1e9)
    >>> scaled = in_units_of(program, Scaling.MODERATE_OPEN)
    >>> scaled.program.upper, scaled.rescaled, scaled.opened
    (array([inf]), False, True)
    """
    if scaling is Scaling.NONE:
        return Scaled(program)
    most = 1.0 if scaling.only_shrinks else np.inf
    steps: list[Step] = []
    unit = column_units(program)
    unit = None if unit is None else np.minimum(unit, most)
    if scaling is Scaling.FAR:
        unit = _with_far_boxes(program, unit)
    if unit is not None and (unit != 1.0).any():
        steps.append(partial(_in_old_units, program, unit))
        program = in_units(program, unit)
    for rescale in (_rescale_rows, _rescale_objective):
        program, step = rescale(program, most)
        steps += [] if step is None else [step]
    opened = _far_sides_open(program) if scaling in (Scaling.MODERATE_OPEN, Scaling.SHRINKING_OPEN) else program
    return Scaled(opened, tuple(steps), unit, rescaled=bool(steps), opened=opened is not program)


def _with_far_boxes(program: Program, unit: Floats | None) -> Floats | None:
    """Return units with those of columns in far boxes enlarged to the box: an optimum was not found within it."""
    box = np.maximum(np.abs(program.lower), np.abs(program.upper))
    known = np.ones(program.n_columns) if unit is None else unit
    far = np.isfinite(box) & (box >= FAR * known) & ~program.integer
    return np.where(far, power_of_two(np.where(far, box, 1.0)), known) if far.any() else unit


def _far_sides_open(program: Program) -> Program:
    """Return the program without the bounds and sides that are far away, as large numbers that mean "no limit" are.

    The optimum of this relaxation is that of the program where it is within them, and verification looks whether it
    is. A solver's arithmetic suffers from such numbers: a row between -1e17 and 5 has a slack of 17 digits.
    """
    if program.problem_class in (ProblemClass.NONCONVEX_QP, ProblemClass.NONCONVEX_MIQP):
        return program  # whose optimum is often at bounds, and whose relaxation has none
    size = np.where(program.row_sizes > 0, program.row_sizes, 1.0)
    changes = {}
    for name, far, none in (
        ("lower", program.lower <= -FAR, -np.inf),
        ("upper", program.upper >= FAR, np.inf),
        ("row_lower", program.row_lower <= -FAR * size, -np.inf),
        ("row_upper", program.row_upper >= FAR * size, np.inf),
    ):
        values = getattr(program, name)
        far &= values != none
        if name in ("lower", "upper"):
            # A solver that branches on products needs the boxes of columns in one.
            far &= ~program.integer & (program.problem_class is not ProblemClass.CONVEX_MIQP)
        if far.any():
            changes[name] = np.where(far, none, values)
    return program.replace(**changes) if changes else program


def _in_old_units(own: Program, unit: Floats, solution: Solution) -> Solution:
    """Return to the columns' own units; what is beyond a bound by no more than a solver's tolerance is put on it."""
    if solution.x is None:
        return solution
    x = solution.x * unit
    beyond = np.maximum(own.lower - x, x - own.upper)
    near = (beyond > 0) & (beyond <= SOLVERS_TOLERANCE * unit)
    if not near.any():
        return solution.replace(x=x)
    inside = np.where(near, np.clip(x, own.lower, own.upper), x)
    objective = solution.objective
    if objective is not None:
        objective += own.objective(inside) - own.objective(x)
    return solution.replace(x=inside, objective=objective)


def _rescale_rows(program: Program, most: float) -> tuple[Program, Step | None]:
    """Bring rows to about one, but for those that are larger than that where units may be at most `most`."""
    if program.A.nnz == 0 or (
        np.abs(program.A.data).min() >= GOOD_SCALE[0] and np.abs(program.A.data).max() <= GOOD_SCALE[1]
    ):
        return program, None
    largest = abs(program.A).max(axis=1).toarray().ravel()
    bad = (largest > 0) & ((largest < GOOD_SCALE[0]) | ((largest > GOOD_SCALE[1]) & (most > 1.0)))
    if not bad.any():
        return program, None
    factor = np.ones(program.n_rows)
    factor[bad] = 1.0 / power_of_two(largest[bad])
    reduced = program.replace(
        A=sp.csr_matrix(sp.diags_array(factor) @ program.A),
        row_lower=program.row_lower * factor,
        row_upper=program.row_upper * factor,
    )

    def restore(solution: Solution) -> Solution:
        def back(multipliers: Floats | None) -> Floats | None:
            return None if multipliers is None else multipliers * factor

        return solution.replace(row_dual=back(solution.row_dual), farkas=back(solution.farkas))

    return reduced, restore


def _rescale_objective(program: Program, most: float) -> tuple[Program, Step | None]:
    costs = np.abs(program.c if program.Q is None else np.concatenate([program.c, program.Q.data]))
    largest, smallest = float(costs.max(initial=0.0)), float(costs[costs > 0].min(initial=np.inf))
    if most <= 1.0:
        # A solver takes costs below its tolerances for zero: the smallest is what has to be of moderate size.
        aim = smallest if GOOD_SCALE[0] * smallest * 1e10 > largest else largest * 1e-7
        needed = largest > 0 and not (GOOD_SCALE[0] <= aim <= GOOD_SCALE[1])
    else:
        aim, needed = largest, largest > 0 and not (GOOD_SCALE[0] <= largest <= GOOD_SCALE[1])
    if not needed:
        return program, None
    factor = 1.0 / float(power_of_two(np.array([aim]))[0])
    reduced = program.replace(
        c=program.c * factor,
        Q=None if program.Q is None else program.Q * factor,
        constant=program.constant * factor,
    )

    def restore(solution: Solution) -> Solution:
        return solution.replace(
            objective=None if solution.objective is None else solution.objective / factor,
            bound=None if solution.bound is None else solution.bound / factor,
            row_dual=None if solution.row_dual is None else solution.row_dual / factor,
        )

    return reduced, restore
