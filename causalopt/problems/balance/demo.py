"""`causalopt demo`: the effect of a job training programme, by balancing weights and by the experiment."""

from __future__ import annotations

from typing import Annotated, Any

from rich.console import Console
from rich.table import Table

from causalopt import basis, datasets
from causalopt.console.arguments import command, option
from causalopt.console.codes import code_of
from causalopt.console.loading import Later
from causalopt.console.showing import show_grid
from causalopt.solving.result import seconds

catalogue = Later("causalopt.solving.catalogue")
problems = Later("causalopt.problems.balance.problem")

COVARIATES = ["age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75", "no74", "no75"]


@command("demo")
def demo(
    solver: Annotated[str, option("Solver or fast path; see 'causalopt solvers'.")] = "highs",
    tolerance: Annotated[float, option("Largest imbalance, in standard deviations of the treated.")] = 0.01,
) -> int:
    """Estimate the effect of a job training programme from survey controls, and compare with the experiment."""
    console = Console()
    show_grid(console, catalogue.solvers()[["installed", "version", "licence", "classes"]], "Solvers")
    df = datasets.nsw_with_cps_controls()
    result = problems.balance(
        df,
        treatment="treat",
        covariates=COVARIATES,
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
    show_grid(
        console,
        result.balance_table()[["target", "mean before", "mean after", "smd before", "smd after", "active"]],
        "Means of the untrained, before and after weighting",
    )
    raw = df.loc[df["treat"] == 1, "re78"].mean() - df.loc[df["treat"] == 0, "re78"].mean()
    _show_answers(console, result, raw)
    _show_solve(console, result, len(df) - treated)
    return code_of(result)


def _show_answers(console: Console, result: Any, raw: float) -> None:
    """Print the three estimates."""
    estimate = result.estimate("re78")
    answers = Table(title="Effect of the training on 1978 earnings (US$)", title_justify="left", title_style="bold")
    answers.add_column("")
    answers.add_column("estimate", justify="right")
    answers.add_column("95% interval", justify="right")
    answers.add_row("difference of means, unweighted", f"{raw:,.2f}", "")
    answers.add_row(
        "with balancing weights", f"{estimate.estimate:,.2f}", f"{estimate.lower:,.0f} to {estimate.upper:,.0f}"
    )
    answers.add_row("the randomized experiment", f"{datasets.NSW_EXPERIMENTAL_BENCHMARK:,.2f}", "")
    console.print(answers)


def _show_solve(console: Console, result: Any, untrained: int) -> None:
    """Print how the weights were found, and what they cost."""
    size = float(result.effective_sample_size.iloc[0])
    console.print(f"effective sample size  {size:,.1f} of {untrained:,} untrained")
    console.print(f"verification           {result.verification}", highlight=False)
    console.print(f"solver                 {result.facts()['solver']}: {result.solver_reason}", highlight=False)
    console.print(f"time                   {result.timing}\n", highlight=False)
    dearest = result.duals.head(5)[["covariate", "side", "tolerance", "price of 0.01"]].set_index("covariate")
    dearest["price of 0.01"] = [f"{100 * price:.2f}% of the variance" for price in dearest["price of 0.01"]]
    show_grid(console, dearest, "Dearest covariates: what 0.01 more tolerance would save")
    console.print(f"(the whole solve took {seconds(result.timing.total)})")
