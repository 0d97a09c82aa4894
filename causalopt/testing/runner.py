"""Run the conformance cases on backends, and say what passed."""

from __future__ import annotations

import dataclasses
import enum
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from time import perf_counter

import numpy as np

from causalopt.errors import CausaloptError, CausaloptWarning, OptionError, SolverNotAvailable
from causalopt.modeling.program import Floats
from causalopt.solving.attempts import solve_program
from causalopt.solving.backend import Ability, Backend, backend_names, get_backend, load_backend
from causalopt.solving.options import SolveOptions, unknown_name
from causalopt.solving.result import Result
from causalopt.testing import behaviour, integer, linear, nonconvex, quadratic, scaling, wide
from causalopt.testing.case import FAMILIES, Case
from causalopt.testing.contract import Recorder
from causalopt.verifying.claims import Limit, Reason

#: Seconds after which a case that states no limit of its own has failed.
PATIENCE = 60.0

#: How far objectives (relative) and solutions (relative to one) may be from the known ones.
OBJECTIVE_TOLERANCE, SOLUTION_TOLERANCE = 2e-6, 1e-4


class Status(enum.StrEnum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    EXCLUDED = "excluded"
    """The backend states that it cannot do this, and why."""
    NOT_APPLICABLE = "not applicable"
    """The backend does not claim what the case needs."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one case on one backend.

    Attributes
    ----------
    case : Case
    status : Status
    detail : str
        What is wrong, or why the case does not apply or is excluded.
    seconds : float
        Wall clock.
    """

    case: Case
    status: Status
    detail: str = ""
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Report:
    """All cases on one backend.

    Attributes
    ----------
    backend, version, license : str
    outcomes : tuple of Outcome
        One a case, in the order of the cases.
    """

    backend: str
    version: str
    license: str
    outcomes: tuple[Outcome, ...]

    def __bool__(self) -> bool:
        """Return whether no case failed."""
        return not self.failures

    @property
    def failures(self) -> list[Outcome]:
        """The outcomes that failed."""
        return [outcome for outcome in self.outcomes if outcome.status is Status.FAILED]

    def count(self, status: Status, family: str | None = None) -> int:
        """Return how many cases (of one family) have a status.

        Parameters
        ----------
        status : Status
            What is counted.
        family : str, optional
            One of `FAMILIES`; all by default.
        """
        return sum(o.status is status and family in (None, o.case.family) for o in self.outcomes)


@cache
def all_cases() -> tuple[Case, ...]:
    """Return every case, ordered by family.

    Examples
    --------
    >>> len(all_cases()) >= 80
    True
    """
    cases = [
        case for module in (linear, integer, quadratic, nonconvex, scaling, wide, behaviour) for case in module.cases()
    ]
    return tuple(sorted(cases, key=lambda case: FAMILIES.index(case.family)))


def run(
    backend: str | Backend, *, exclude: Mapping[str, str] | None = None, cases: Iterable[Case] | None = None
) -> Report:
    """Run the cases on one backend.

    Parameters
    ----------
    backend : str or Backend
        A registered name, or an object.
    exclude : mapping, optional
        Case name -> why the solver cannot do it; added to the backend's own `exclude`.
    cases : iterable of Case, optional
        All by default.

    Returns
    -------
    Report
        False where a case failed.

    Raises
    ------
    OptionError
        Where `exclude` names a case that does not exist, or gives no reason.

    Examples
    --------
    >>> report = run("highs", cases=[case for case in all_cases() if case.family == "ranges"])
    >>> bool(report), report.count(Status.FAILED)
    (True, 0)
    """
    if isinstance(backend, str):
        backend = get_backend(backend)
    excluded = {**backend.exclude, **(exclude or {})}
    names = {case.name for case in all_cases()}
    for name, why in excluded.items():
        if name not in names:
            raise OptionError(unknown_name("conformance case", name, names))
        if not why.strip():
            raise OptionError(f"The case {name!r} is excluded without a reason.")
    outcomes = [_outcome(backend, case, excluded.get(case.name)) for case in (all_cases() if cases is None else cases)]
    return Report(backend.name, backend.version(), str(backend.license()), tuple(outcomes))


def run_all(
    *, exclude: Mapping[str, Mapping[str, str]] | None = None, left_out: Mapping[str, str] | None = None
) -> list[Report]:
    """Run the cases on every registered backend whose solver is installed.

    Parameters
    ----------
    exclude : mapping, optional
        Backend name -> case name -> why.
    left_out : mapping, optional
        Backend name -> why it is not run. One that is registered and installed cannot be missing otherwise.

    Returns
    -------
    list of Report
        One a backend; false where a case failed.

    Examples
    --------
    >>> from causalopt.solving.backend import backend_names
    >>> reports = run_all(left_out={name: "not shown" for name in runnable() if name != "highs"})
    >>> [report.backend for report in reports], all(reports)
    (['highs'], True)
    """
    return [run(name, exclude=(exclude or {}).get(name)) for name in runnable(left_out)]


def runnable(left_out: Mapping[str, str] | None = None) -> list[str]:
    """Return the names of all backends to run: those of one solver each, and the tested variants of the others.

    Parameters
    ----------
    left_out : mapping, optional
        Backend name -> why it is not run.

    Examples
    --------
    >>> "highs" in runnable()
    True
    """
    names = [name for name in backend_names() if name not in broken() and load_backend(name).is_installed()]
    variants = {name: [f"{name}:{v}" for v in load_backend(name).tested_variants] for name in names}
    every = [variant for name in names for variant in variants[name] or [name]]
    return [name for name in every if name not in (left_out or {})]


def broken() -> dict[str, str]:
    """Return the backends that are registered but cannot be loaded, with the reason: they are not run.

    Examples
    --------
    >>> broken()
    {}
    """
    found = {}
    for name in backend_names():
        try:
            load_backend(name)
        except SolverNotAvailable as error:
            found[name] = str(error)
    return found


def missing(ran: Sequence[str], left_out: Mapping[str, str] | None = None) -> list[str]:
    """Return the backends that are registered and installed, but neither ran nor were left out with a reason.

    Parameters
    ----------
    ran : sequence of str
        Names of the backends that ran.
    left_out : mapping, optional
        Backend name -> why it is not run.

    Examples
    --------
    >>> missing(runnable())
    []
    """
    families = {name.partition(":")[0] for name in (*ran, *(left_out or {}), *broken())}
    return [name for name in backend_names() if name not in families and load_backend(name).is_installed()]


def _outcome(backend: Backend, case: Case, why_excluded: str | None) -> Outcome:
    obstacle = case.obstacle(backend)
    if obstacle is not None:
        return Outcome(case, Status.NOT_APPLICABLE, obstacle)
    if why_excluded is not None:
        return Outcome(case, Status.EXCLUDED, why_excluded)
    start = perf_counter()
    problems = _problems(backend, case)
    status = Status.FAILED if problems else Status.PASSED
    return Outcome(case, status, "; ".join(problems), perf_counter() - start)


def _problems(backend: Backend, case: Case) -> list[str]:
    """Return, in words, what is wrong with a backend's answer to a case."""
    recorder = Recorder(backend)
    meant = ""
    options = dict(case.options)
    if case.misspell:
        meant, wrong = _misspelled(backend)
        options["solver_options"] = {wrong: 1}
    if case.raises is None and "time_limit" not in options and Ability.TIME_LIMIT in backend.abilities:
        options["time_limit"] = PATIENCE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CausaloptWarning)
            result = solve_program(case.program, recorder, SolveOptions(**options))
    except CausaloptError as error:
        if case.raises is None:
            return [f"{type(error).__name__}: {error}"]
        words = meant or case.words
        if not isinstance(error, case.raises):
            return [f"{type(error).__name__} was raised in place of {case.raises.__name__}: {error}"]
        return [] if words in str(error) else [f"the message does not name {words!r}: {error}"]
    except Exception as error:  # whatever a backend raises that is not an error of causalopt's
        return [f"{type(error).__name__} escaped, which is none of causalopt's errors: {error}"]
    if case.raises is not None:
        return [f"{case.raises.__name__} was not raised"]
    problems = _wrong_when_stopped(case, result) if case.limit is not Limit.NONE else _wrong(case, result)
    if not problems and case.row_dual is not None:
        problems = _wrong_multipliers(backend, case)
    return problems + recorder.problems


def _misspelled(backend: Backend) -> tuple[str, str]:
    """Return one of the backend's options, and its name with a letter missing that is no other option's name."""
    names = backend.option_names() or frozenset()
    for name in sorted(names, key=lambda word: (-len(word), word)):
        wrong = name[:-2] + name[-1]
        if wrong not in names:
            return name, wrong
    return "", "misspelled"


def _wrong(case: Case, result: Result) -> list[str]:
    if result.status.reason is not case.reason:
        return [f"{case.reason} is right, but the status is {result.status} ({result.status.raw})"]
    if case.objective is None:
        return []
    problems = []
    value, gap = result.objective, float(case.options.get("gap", 0.0))
    assert value is not None
    scale = max(abs(case.objective), case.unit)
    direction = -1.0 if case.program.maximize else 1.0
    worse = direction * (value - case.objective)
    if not -OBJECTIVE_TOLERANCE * scale <= worse <= OBJECTIVE_TOLERANCE * scale + gap * abs(value):
        problems.append(f"the objective is {value:.10g}, not {case.objective:.10g}")
    if case.x is not None and not _close(result.x, case.x):
        problems.append(f"x is {result.x}, not {case.x}")
    return problems


def _close(x: Floats | None, known: Floats) -> bool:
    if x is None:
        return False
    unit = np.maximum(np.abs(known), min(1.0, float(np.abs(known).max(initial=0.0)) or 1.0))
    return bool((np.abs(x - known) <= SOLUTION_TOLERANCE * unit).all())


def _wrong_when_stopped(case: Case, result: Result) -> list[str]:
    """Look at the answer to a program that is too hard for the time: anything honest will do."""
    if result.is_optimal:
        return _wrong(case, result)
    if result.status.reason not in (Reason.FEASIBLE, Reason.NO_SOLUTION):
        return [f"the program has solutions, but the status is {result.status}"]
    problems = []
    if result.status.limit is not case.limit:
        problems.append(f"the {case.limit} limit stopped the solve, but the status is {result.status}")
    best = case.objective
    assert best is not None
    direction, slack = (-1.0 if case.program.maximize else 1.0), OBJECTIVE_TOLERANCE * max(abs(best), case.unit)
    if result.objective is not None and direction * (best - result.objective) > slack:
        problems.append(f"the objective {result.objective} is better than the best, {best}")
    if result.bound is not None and direction * (result.bound - best) > slack:
        problems.append(f"the bound {result.bound} excludes the best, {best}")
    return problems


def _wrong_multipliers(backend: Backend, case: Case) -> list[str]:
    """Ask the backend itself: verification would find multipliers without its help."""
    options = SolveOptions()
    for method in backend.methods(case.program, options):  # as the lane does, until one has an answer
        solution = backend.solve(case.program, options, method)
        if solution.termination.reason is Reason.OPTIMAL:
            break
    if solution.row_dual is None:
        return ["no multipliers came back, though the backend states the ability"]
    assert case.row_dual is not None
    if solution.row_dual.shape != case.row_dual.shape or not np.allclose(solution.row_dual, case.row_dual, atol=1e-4):
        return [f"the multipliers are {solution.row_dual}, not {case.row_dual}"]
    return []
