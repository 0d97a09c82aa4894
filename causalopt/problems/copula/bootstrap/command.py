"""`causalopt bootstrap`: the causal bootstrap of a randomized experiment."""

from __future__ import annotations

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
    names,
    number,
    option,
)
from causalopt.console.capsules import program_of, save_capsule
from causalopt.console.exits import Exit
from causalopt.console.missing import complete, fields_of
from causalopt.console.reading import read_data, refuse_text, require, value_of
from causalopt.console.running import arguments_of, as_asked, caught_warnings, sign_of_life
from causalopt.console.wording import in_options
from causalopt.console.writing import Files, check_choice, write_model, write_picture, write_table
from causalopt.errors import DataError, OptionError

if TYPE_CHECKING:
    import pandas as pd

    from causalopt.problems.copula.bootstrap.result import BootstrapResult

DESIGNS = ("complete", "bernoulli", "pairs", "stratified", "cluster")


def bootstrap(
    *,
    outcome: Outcome,
    treatment: Treatment,
    design: Annotated[
        str,
        option(
            "How treatment was assigned: complete (a fixed number of all units), bernoulli (--probability), pairs, "
            "stratified, or cluster (--groups).",
            panel=STUDY,
        ),
    ],
    groups: Annotated[
        str | None, option("Column of the pairs, strata or clusters of the design.", panel=STUDY, metavar="COLUMN")
    ] = None,
    probability: Annotated[
        str | None, option("For bernoulli: the probability of treatment, or a column of them.", panel=STUDY)
    ] = None,
    treated: Treated = None,
    estimator: Annotated[
        str,
        option("difference-in-means, horvitz-thompson, hajek, residualised or least-squares.", panel=STUDY),
    ] = "difference-in-means",
    covariates: Annotated[
        list[str] | None,
        option("Columns for residualised and least-squares; with commas, or repeated.", panel=STUDY, metavar="COLUMNS"),
    ] = None,
    method: Annotated[
        str,
        option(
            "How missing outcomes are imputed: optimal (the worst case), isotone, sampling, conservative, or all.",
            panel=STUDY,
        ),
    ] = "optimal",
    level: Annotated[float, option("Confidence of the interval.", panel=STUDY)] = 0.95,
    draws: Annotated[int, option("Redrawn treatments.", panel=STUDY)] = 2000,
    studentise: Annotated[bool, option("Add an interval of studentised errors.", "--studentise", panel=STUDY)] = False,
    slack: Annotated[
        str, option("How far marginals may differ: smallest, theory, or a number.", panel=STUDY)
    ] = "smallest",
    strata: Annotated[
        str | None, option("Column within whose values marginals are compared.", panel=STUDY, metavar="COLUMN")
    ] = None,
    reading: Reading,
    solving: Solving,
    writing: Writing,
) -> int:
    """Estimate the effect of a randomized treatment in DATA, with intervals from redrawing the treatment.

    Example: causalopt bootstrap trial.csv --outcome y --treatment t --design pairs --groups pair
    """
    from causalopt.problems.copula.bootstrap.bootstrap import causal_bootstrap
    from causalopt.problems.copula.problem import CopulaProblem

    files = Files.of(writing)
    check_choice(design, DESIGNS, "--design")
    frame = read_data(reading)
    columns = names(covariates, frame.columns)
    for name, label in ((outcome, "--outcome"), (treatment, "--treatment"), (groups, "--groups"), (strata, "--strata")):
        if name is not None:
            require(frame, [name], label)
    require(frame, columns, "--covariates")
    further = [name for name in (groups, strata, probability) if name is not None and name in frame]
    used = [treatment, outcome, *columns, *further]
    pairs = groups if design == "pairs" else None
    frame, dropped = complete(frame, used, reading.missing, [treatment], together=pairs)
    refuse_text(frame, [outcome, *columns], categories=False)
    value = value_of(treated, frame[treatment])
    chosen = _design(frame, design, groups, probability, treatment, value)
    if method not in ("optimal", "all"):
        for name in ("capsule", "export"):
            files.refuse(name, f"method {method!r} solves no program.")
    study: dict[str, Any] = {
        "estimator": estimator,
        "covariates": frame[columns].to_numpy(dtype=float) if columns else None,
        "slack": slack if slack in ("smallest", "theory") else number(slack, "--slack (or smallest, or theory)"),
        "strata": None if strata is None else frame[strata],
        "treated": value,
    }
    with caught_warnings(dropped) as notes:
        data = frame[outcome], frame[treatment], chosen
        asked: dict[str, Any] = {"solver": solving.solver, "seed": solving.seed}
        if method in ("optimal", "all"):
            asked = arguments_of(solving)
        with sign_of_life("imputing and redrawing (Ctrl-C stops, and keeps what a solver has found)"):
            of_bootstrap = {"method": method, "level": level, "draws": draws, "studentise": studentise}
            answer: BootstrapResult = causal_bootstrap(*data, **(study | of_bootstrap | asked))
        copula = None if answer.copula is None else as_asked(answer.copula, solving)
        if copula is None:
            for name in ("capsule", "export"):
                files.refuse(name, "no worst case was found: " + "; ".join(answer.notes.values()))
        problem: CopulaProblem | None = None if copula is None else copula.problem
        written = files.write(
            output=write_table(_imputed(answer) if "output" in files else frame),
            plot=write_picture(answer.plot),
            capsule=lambda path: save_capsule(problem, copula, solving, path, dropped),
            export=write_model(lambda: program_of(problem, copula)),
        )
    code = Exit.PROVEN if copula is None or answer.method != "optimal" else showing.code_of(copula)
    if writing.json:
        worst = {} if copula is None else showing.result_json("bootstrap", copula, notes)
        showing.print_json(
            {"command": "bootstrap", "schema": showing.SCHEMA, "warnings": notes}
            | worst
            | showing.explanation(answer, writing.explain)
            | {
                "exit_code": code,
                "estimate": answer.estimate,
                "lower": answer.lower,
                "upper": answer.upper,
                "level": answer.level,
                "method": answer.method,
                "estimator": answer.estimator,
                "design": answer.design,
                "table": answer.table,
                "notes": {name: in_options(note) for name, note in answer.notes.items()},
                "dropped": fields_of(dropped),
                "written": written,
            }
        )
    else:
        _show(answer)
        showing.show_explanation(answer, writing.explain)
        showing.show_notes(notes, written)
    return code


def _design(
    frame: pd.DataFrame, kind: str, groups: str | None, probability: str | None, treatment: str, treated: Any
) -> Any:
    """Return the design, with as many treated units or clusters as the data has."""
    import pandas as pd

    from causalopt.study.designs.design import Bernoulli, CompleteRandomization
    from causalopt.study.designs.grouped import Cluster, MatchedPairs, Stratified
    from causalopt.study.reading import read_treatment, shown_label, treated_code

    if (groups is None) == (kind in ("pairs", "stratified", "cluster")):
        raise OptionError(
            f"--design {kind} needs --groups, the column of its {'clusters' if kind == 'cluster' else kind}."
            if groups is None
            else f"--groups has no meaning for --design {kind}."
        )
    if (probability is None) == (kind == "bernoulli"):
        raise OptionError(
            "--design bernoulli needs --probability, a number or a column."
            if probability is None
            else f"--probability has no meaning for --design {kind}."
        )
    if kind == "bernoulli":
        if probability in frame.columns:
            refuse_text(frame, [str(probability)], categories=False)
            return Bernoulli(frame[probability].to_numpy(dtype=float))
        try:
            share = float(str(probability))
        except ValueError:
            require(frame, [str(probability)], "--probability")
        if not 0 < share < 1:
            raise OptionError(f"--probability is {share:g}; it must lie strictly between 0 and 1.")
        return Bernoulli(share)
    codes, levels = read_treatment(frame[treatment], frame.index, "ATT", treated)
    z = codes == treated_code(levels, treated, "ATT")
    if kind == "complete":
        return CompleteRandomization(int(z.sum()))
    column = frame[str(groups)]
    if kind == "pairs":
        return MatchedPairs(column.to_numpy())
    by_group = z if kind == "stratified" else None
    if by_group is not None:
        counts = column.to_frame().assign(z=z).groupby(str(groups))["z"].sum()
        return Stratified(column.to_numpy(), {key: int(count) for key, count in counts.items()})
    mixed = pd.Series(z, index=column.index).groupby(column).nunique() > 1
    if mixed.any():
        raise DataError(
            f"--design cluster: {groups} {shown_label(mixed.index[mixed][0])} has treated and untreated units, but "
            "clusters are treated as a whole. --design stratified is for treatment within groups."
        )
    return Cluster(column.to_numpy(), int(column[z].nunique()))


def _imputed(answer: BootstrapResult) -> Any:
    if answer.method not in answer.imputed:
        raise OptionError(f"--output is not available here: method {answer.method!r} imputes no outcomes.")
    return answer.imputed[answer.method]


def _show(answer: BootstrapResult) -> None:
    console = Console()
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
