"""Suites: which instances, which solvers, which limits. A suite is a module that defines `SUITE`."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from causalopt.console.discovery import suites
from causalopt.errors import CausaloptError, OptionError
from causalopt.solving.options import unknown_name


class SkipInstance(CausaloptError):
    """An instance cannot be made here, and nothing is wrong: its data or its problem is not installed."""


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """What a generator returns where there is more to say than the problem itself.

    Attributes
    ----------
    problem : Problem, Program or Pyomo model
    optimum : float or None
        The optimal objective of the program, planted or proven.
    answer : callable or None
        From a result of the problem to the study's own answers, as a dict of numbers.
    """

    problem: Any
    optimum: float | None = None
    answer: Callable[[Any], Mapping[str, float]] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Instance:
    """One set of data, and how it is to be solved.

    Attributes
    ----------
    name : str
        Unique within the suite.
    make : callable without arguments
        Returns a `Case`, or a problem, program or model alone. Called in a process of its own.
    problem : str
        The family, for tables and growth by size.
    formulations : sequence of str or None
        None stands for the problem's own choice.
    size : float or None
        The number by which instances of the family grow.
    seed : int or None
        What the generator's random numbers start from.
    solvers : sequence of str or None
        Instead of the suite's.
    paths : sequence of str
        Fast paths and heuristics that run beside the solvers.
    expected : mapping
        The study's answers as published: {name: (value, largest difference)}.
    time_limit : float or None
        Instead of the suite's.
    only : mapping from formulation to sequence of str
        Solvers and paths for that formulation, instead of all.
    """

    name: str
    make: Callable[[], Any]
    problem: str
    formulations: Sequence[str | None] = (None,)
    size: float | None = None
    seed: int | None = None
    solvers: Sequence[str] | None = None
    paths: Sequence[str] = ()
    expected: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    time_limit: float | None = None
    only: Mapping[str | None, Sequence[str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Suite:
    """Instances, solvers and limits.

    Attributes
    ----------
    name, description : str
    instances : sequence of Instance
    solvers : sequence of str
        Backends and peers; the word "installed" stands for every installed backend.
    time_limit : float
        Seconds of wall clock for the solver; `grace` seconds later its process is killed.
    memory_limit : float
        GiB that the process of a run may hold.
    repetitions : int
    threads : int
    gap : float
        Relative gap at which a mixed-integer solve may stop, equal for all solvers.
    grace : float
        Seconds between the time limit and the kill.
    making_limit : float
        Seconds in which an instance has to be made.
    path : Path or None
        The module that the suite was read from.
    """

    name: str
    description: str
    instances: Sequence[Instance]
    solvers: Sequence[str] = ("installed",)
    time_limit: float = 60.0
    memory_limit: float = 4.0
    repetitions: int = 3
    threads: int = 1
    gap: float = 1e-6
    grace: float = 5.0
    making_limit: float = 300.0
    path: Path | None = None

    def __post_init__(self) -> None:
        names = [instance.name for instance in self.instances]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise OptionError(f"Suite {self.name!r} has several instances of the name {doubled[0]!r}.")

    def replace(self, **changes: Any) -> Suite:
        """Return a copy with some fields changed.

        Parameters
        ----------
        **changes : keyword arguments
            Fields by name, with their new values.
        """
        return dataclasses.replace(self, **changes)

    def instance(self, name: str) -> Instance:
        """Return the instance of this name.

        Parameters
        ----------
        name : str
            An instance of the suite.

        Raises
        ------
        OptionError
            Where there is none; the nearest names are offered.
        """
        for instance in self.instances:
            if instance.name == name:
                return instance
        raise OptionError(unknown_name("instance", name, [i.name for i in self.instances]))


def suite_folder() -> Path:
    """Return the folder of suites: CAUSALOPT_SUITES, or that of the source tree."""
    named = os.environ.get("CAUSALOPT_SUITES")
    return Path(named) if named else Path(__file__).parents[3] / "benchmarks" / "suites"


def suite_names() -> list[str]:
    """Return the names of the suites in the folder, and of problems of other distributions that bring instances.

    Examples
    --------
    >>> "smoke" in suite_names()
    True
    """
    return sorted({*(p.stem for p in suite_folder().glob("*.py") if not p.stem.startswith("_")), *suites()})


def load_suite(name: str | Path) -> Suite:
    """Return a suite by its name, or by the path of its module.

    Parameters
    ----------
    name : str or Path
        One of `suite_names()`, or the path of a module that defines `SUITE`.

    Raises
    ------
    OptionError
        Where there is none (the nearest names are offered), or the module defines no `SUITE`.

    Examples
    --------
    >>> load_suite("smoke").name
    'smoke'
    """
    path = Path(name)
    if path.suffix != ".py":
        path = suite_folder() / f"{name}.py"
        path = path if path.is_file() else suites().get(str(name), path)
        if not path.is_file() and not suite_names():
            raise OptionError(
                f"There are no suites in {suite_folder()}: they come with the source tree. "
                "Set CAUSALOPT_SUITES to a folder of suites, or give the path of one."
            )
        if not path.is_file():
            raise OptionError(unknown_name("suite", str(name), suite_names()))
    if not path.is_file():
        raise OptionError(f"There is no suite at {path}.")
    module_name = f"causalopt_suite_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    suite = getattr(module, "SUITE", None)
    if not isinstance(suite, Suite):
        raise OptionError(f"{path} defines no SUITE, which has to be a causalopt.bench.Suite.")
    return suite.replace(path=path.resolve())
