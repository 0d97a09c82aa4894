"""`causalopt bootstrap`: the causal bootstrap of a randomized experiment."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console

from causalopt.console import showing
from causalopt.console.arguments import (
    STUDY,
    Outcome,
    Reading,
    Solving,
    Treated,
    Treatment,
    Writing,
    check_choice,
    command,
    names,
    number,
    option,
)
from causalopt.console.codes import Exit, code_of
from causalopt.console.loading import Later
from causalopt.console.reading import columns_named, refuse_text, require, value_of
from causalopt.console.running import Run, arguments_of, as_asked
from causalopt.console.waiting import sign_of_life
from causalopt.console.wording import in_options
from causalopt.console.writing import write_picture, write_table
from causalopt.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

bootstraps = Later("causalopt.problems.copula.bootstrap.bootstrap")
designs = Later("causalopt.problems.copula.bootstrap.asked")

DESIGNS = ("complete", "bernoulli", "pairs", "stratified", "cluster")


@dataclasses.dataclass(kw_only=True)
class Question:
    """What was randomized how, and what is estimated by which method."""

    outcome: Outcome
    treatment: Treatment
    design: Annotated[
        str,
        option(
            "How treatment was assigned: complete (a fixed number of all units), bernoulli (--probability), pairs, "
            "stratified, or cluster (--groups).",
            panel=STUDY,
        ),
    ]
    groups: Annotated[
        str | None, option("Column of the pairs, strata or clusters of the design.", panel=STUDY, metavar="COLUMN")
    ] = None
    probability: Annotated[
        str | None, option("For bernoulli: the probability of treatment, or a column of them.", panel=STUDY)
    ] = None
    treated: Treated = None
    estimator: Annotated[
        str,
        option("difference-in-means, horvitz-thompson, hajek, residualised or least-squares.", panel=STUDY),
    ] = "difference-in-means"
    covariates: Annotated[
        list[str] | None,
        option("Columns for residualised and least-squares; with commas, or repeated.", panel=STUDY, metavar="COLUMNS"),
    ] = None
    method: Annotated[
        str,
        option(
            "How missing outcomes are imputed: optimal (the worst case), isotone, sampling, conservative, or all.",
            panel=STUDY,
        ),
    ] = "optimal"
    level: Annotated[float, option("Confidence of the interval.", panel=STUDY)] = 0.95
    draws: Annotated[int, option("Redrawn treatments.", panel=STUDY)] = 2000
    studentise: Annotated[bool, option("Add an interval of studentised errors.", "--studentise", panel=STUDY)] = False
    slack: Annotated[str, option("How far marginals may differ: smallest, theory, or a number.", panel=STUDY)] = (
        "smallest"
    )
    strata: Annotated[
        str | None, option("Column within whose values marginals are compared.", panel=STUDY, metavar="COLUMN")
    ] = None

    @property
    def solves(self) -> bool:
        """Whether the method solves a program."""
        return self.method in ("optimal", "all")


@command("bootstrap", calls={"causal_bootstrap": "causalopt bootstrap"})
def bootstrap(*, asked: Question, reading: Reading, solving: Solving, writing: Writing) -> int:
    """Estimate the effect of a randomized treatment in DATA, with intervals from redrawing the treatment.

    Example: causalopt bootstrap trial.csv --outcome y --treatment t --design pairs --groups pair
    """
    run = Run("bootstrap", reading, solving, writing)
    check_choice(asked.design, DESIGNS, "--design")
    frame = _read(run, asked)
    treated = value_of(asked.treated, frame[asked.treatment])
    design = designs.design_of(frame, asked.design, asked.groups, asked.probability, asked.treatment, treated)
    if not asked.solves:
        _refuse_model(run, f"method {asked.method!r} solves no program.")
    study = _study(asked, frame) | {"treated": treated}
    with run.noting():
        settings = arguments_of(solving) if asked.solves else {"solver": solving.solver, "seed": solving.seed}
        with sign_of_life("imputing and redrawing (Ctrl-C stops, and keeps what a solver has found)"):
            data = frame[asked.outcome], frame[asked.treatment], design
            answer = bootstraps.causal_bootstrap(*data, **study, **settings)
        copula = None if answer.copula is None else as_asked(answer.copula, solving)
        if copula is None:
            _refuse_model(run, "no worst case was found: " + "; ".join(answer.notes.values()))
        table = _imputed(answer) if "output" in run.files else frame
        picture = write_picture(answer.plot)
        run.write(copula and copula.problem, copula, output=write_table(table), plot=picture)
    code = Exit.PROVEN if copula is None or answer.method != "optimal" else code_of(copula)
    return run.show(answer, lambda: _fields(answer), lambda console: _show(console, answer), result=copula, code=code)


def _refuse_model(run: Run, why: str) -> None:
    for name in ("capsule", "export"):
        run.files.refuse(name, why)


def _read(run: Run, asked: Question) -> pd.DataFrame:
    """Return the rows that are used."""
    frame = run.read()
    columns = names(asked.covariates, frame.columns)
    outcome, treatment, *more = columns_named(frame, asked, "outcome", "treatment", "groups", "strata")
    require(frame, columns, "--covariates")
    more += [name for name in (asked.probability,) if name is not None and name in frame]
    pairs = asked.groups if asked.design == "pairs" else None
    frame = run.complete(frame, [treatment, outcome, *columns, *more], [treatment], together=pairs)
    refuse_text(frame, [outcome, *columns], categories=False)
    return frame


def _study(asked: Question, frame: pd.DataFrame) -> dict[str, Any]:
    """Return the arguments of `causal_bootstrap` that say what is estimated, and how."""
    columns, slack = names(asked.covariates, frame.columns), asked.slack
    return {
        "estimator": asked.estimator,
        "covariates": frame[columns].to_numpy(dtype=float) if columns else None,
        "slack": slack if slack in ("smallest", "theory") else number(slack, "--slack (or smallest, or theory)"),
        "strata": None if asked.strata is None else frame[asked.strata],
    } | {name: getattr(asked, name) for name in ("method", "level", "draws", "studentise")}


def _imputed(answer: Any) -> Any:
    if answer.method not in answer.imputed:
        raise OptionError(f"--output is not available here: method {answer.method!r} imputes no outcomes.")
    return answer.imputed[answer.method]


def _fields(answer: Any) -> dict[str, Any]:
    names_of_fields = ("estimate", "lower", "upper", "level", "method", "estimator", "design", "table")
    notes = {name: in_options(note) for name, note in answer.notes.items()}
    return {name: getattr(answer, name) for name in names_of_fields} | {"notes": notes}


def _show(console: Console, answer: Any) -> None:
    facts = {
        "effect": f"{answer.estimate:.6g} ({answer.estimator}, {answer.design})",
        "interval": f"{answer.lower:.6g} to {answer.upper:.6g} ({answer.level:.0%}, {answer.method})",
    }
    showing.show_facts(facts, console)
    kinds = ("quantile", "normal", "studentised")
    ends = [f"{kind} {end}" for kind in kinds for end in ("lower", "upper") if f"{kind} {end}" in answer.table]
    showing.show_table(console, answer.table[["standard error", *ends]], "By method")
    for name, note in answer.notes.items():
        console.print(f"{name}: {in_options(note)}", markup=False, highlight=False)
    if answer.copula is not None:
        console.print("\n[bold]The worst case[/]")
        showing.print_result(answer.copula, console)
