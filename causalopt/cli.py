"""The command line: one command a question, and `causalopt solvers`, `replay`, `export`, `demo` and `bench`.

Each problem's command stands in its folder, the others in `causalopt.console`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from causalopt.bench.commands import app as bench_app
from causalopt.console import replay, showing, solvers
from causalopt.console.arguments import command
from causalopt.console.exits import Exit
from causalopt.installation import replaced
from causalopt.problems.balance import command as balance
from causalopt.problems.copula.bootstrap import command as bootstrap
from causalopt.problems.factorial import command as factorial
from causalopt.problems.robust.z import command as robust_z
from causalopt.problems.synthetic_control import command as synth

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    help="Optimization for causal inference; every answer is verified from the data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

FUNCTIONS = "--moments, --interactions or --quantiles"

command(app, "balance", basis=FUNCTIONS)(balance.balance)
command(app, "robust-z", calipers="--caliper")(robust_z.robust_z)
command(app, "bootstrap")(bootstrap.bootstrap)
command(app, "synth", v="--importance")(synth.synth)
command(app, "factorial", basis=FUNCTIONS)(factorial.factorial)
command(app, "replay")(replay.replay)
command(app, "export")(replay.export)
command(app, "solvers")(solvers.solvers)
app.add_typer(bench_app, name="bench")


def _show_version(wanted: bool) -> None:
    if wanted:
        _refuse_another_package()
        from causalopt import __version__

        print(f"causalopt {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Keep the commands apart from the application's own help."""
    _refuse_another_package()


def _refuse_another_package() -> None:
    """End with one line where the package is another distribution's, or half of it is gone."""
    if amiss := replaced(sys.modules["causalopt"]):
        print(amiss, file=sys.stderr)
        raise typer.Exit(Exit.INPUT)


def show(console: Console, frame: pd.DataFrame, title: str, digits: int = 3) -> None:
    """Print a DataFrame as a table."""
    table = Table(title=title, title_justify="left", title_style="bold")
    names = [str(name) for name in frame.index.names if name is not None]
    for name in names:
        table.add_column(name)
    for column in frame.columns:
        numeric = frame[column].dtype.kind in "fi"
        table.add_column(str(column), justify="right" if numeric else "left")
    for key, row in frame.iterrows():
        labels = (key if isinstance(key, tuple) else (key,)) if names else ()
        table.add_row(*map(str, labels), *(_cell(value, digits) for value in row))
    console.print(table)


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "yes" if value else ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.{digits}f}"
    return str(value)


def demo(
    solver: Annotated[str, typer.Option(help="Solver or fast path; see 'causalopt solvers'.")] = "highs",
    tolerance: Annotated[float, typer.Option(help="Largest imbalance, in standard deviations of the treated.")] = 0.01,
) -> int:
    """Estimate the effect of a job training programme from survey controls, and compare with the experiment."""
    from causalopt import basis
    from causalopt.datasets import NSW_EXPERIMENTAL_BENCHMARK, nsw_with_cps_controls
    from causalopt.problems.balance.problem import balance as weigh
    from causalopt.solving.catalogue import solvers as catalogue
    from causalopt.solving.result import seconds

    console = Console()
    show(console, catalogue()[["installed", "version", "licence", "classes"]], "Solvers")
    df = nsw_with_cps_controls()
    covariates = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75", "no74", "no75"]
    result = weigh(
        df,
        treatment="treat",
        covariates=covariates,
        basis=[basis.moments(2)],
        tolerance=tolerance,
        scale="treated",
        solver=solver,
    )
    treated = int(df["treat"].sum())
    console.print(
        f"\n{treated} people were trained; {len(df) - treated:,} survey respondents were not. Weights make the "
        f"untrained resemble the trained to within {tolerance:g} standard deviations.\n"
    )
    show(
        console,
        result.balance_table()[["target", "mean before", "mean after", "smd before", "smd after", "active"]],
        "Means of the untrained, before and after weighting",
    )
    raw = df.loc[df["treat"] == 1, "re78"].mean() - df.loc[df["treat"] == 0, "re78"].mean()
    estimate = result.estimate("re78")
    answers = Table(title="Effect of the training on 1978 earnings (US$)", title_justify="left", title_style="bold")
    answers.add_column("")
    answers.add_column("estimate", justify="right")
    answers.add_column("95% interval", justify="right")
    answers.add_row("difference of means, unweighted", f"{raw:,.2f}", "")
    answers.add_row(
        "with balancing weights", f"{estimate.estimate:,.2f}", f"{estimate.lower:,.0f} to {estimate.upper:,.0f}"
    )
    answers.add_row("the randomized experiment", f"{NSW_EXPERIMENTAL_BENCHMARK:,.2f}", "")
    console.print(answers)
    size = float(result.effective_sample_size.iloc[0])
    console.print(f"effective sample size  {size:,.1f} of {len(df) - treated:,} untrained")
    console.print(f"verification           {result.verification}", highlight=False)
    console.print(f"solver                 {result.facts()['solver']}: {result.solver_reason}", highlight=False)
    console.print(f"time                   {result.timing}\n", highlight=False)
    dearest = result.duals.head(5)[["covariate", "side", "tolerance", "price of 0.01"]].set_index("covariate")
    dearest["price of 0.01"] = [f"{100 * price:.2f}% of the variance" for price in dearest["price of 0.01"]]
    show(console, dearest, "Dearest covariates: what 0.01 more tolerance would save")
    console.print(f"(the whole solve took {seconds(result.timing.total)})")
    return showing.code_of(result)


command(app, "demo")(demo)


if __name__ == "__main__":
    app()
