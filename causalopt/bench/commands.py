"""The command line of the harness: `causalopt bench list | run | report | compare | export | merge | instances`.

What a command needs comes from `causalopt.bench`, which loads it then: `causalopt --help` waits for none of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from causalopt import bench
from causalopt.errors import CausaloptError, OptionError

app = typer.Typer(help="Benchmarks: run suites of instances, and report what they say.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
STORE = Path("benchmarks.sqlite")
StorePath = Annotated[Path, typer.Option(help="The file of runs.")]


@contextmanager
def _errors() -> Iterator[None]:
    """Show our own errors as one line, and end with code 2."""
    try:
        yield
    except CausaloptError as error:
        Console(stderr=True).print(f"[bold red]{type(error).__name__}[/]:", end=" ")
        Console(stderr=True).print(str(error), markup=False, highlight=False)
        raise typer.Exit(2) from None


@app.command("list")
def list_suites(
    suite: Annotated[str | None, typer.Argument(help="Show the instances of this suite.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the suites, or the instances of one."""
    with _errors():
        if suite is None:
            suites = [bench.load_suite(name) for name in bench.suite_names()]
            if not suites:
                raise OptionError(
                    "No suites are here: they are in the folder benchmarks/suites of the source. Set "
                    "CAUSALOPT_SUITES to that folder, or to one with suites of your own."
                )
            rows: list[dict[str, Any]] = [
                {"suite": s.name, "instances": len(s.instances), "time limit": s.time_limit, "what": s.description}
                for s in suites
            ]
        else:
            rows = [
                {
                    "instance": i.name,
                    "problem": i.problem,
                    "formulations": ", ".join(str(f or "default") for f in i.formulations),
                    "size": i.size,
                    "paths": ", ".join(i.paths),
                }
                for i in bench.load_suite(suite).instances
            ]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table()
    for name in rows[0] if rows else ():
        table.add_column(name)
    for row in rows:
        table.add_row(*("" if v is None else f"{v:,g}" if isinstance(v, float | int) else v for v in row.values()))
    Console().print(table)


@app.command("run")
def run_suite(
    suite: Annotated[str, typer.Argument(help="A suite's name, or the path of its module.")],
    store: StorePath = STORE,
    solver: Annotated[list[str] | None, typer.Option(help="Only this solver; may be repeated.")] = None,
    instance: Annotated[list[str] | None, typer.Option(help="Only this instance; may be repeated.")] = None,
    repetitions: Annotated[int | None, typer.Option(help="Instead of the suite's.", min=1)] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds, instead of the suite's.", min=0.01)] = None,
    memory_limit: Annotated[float | None, typer.Option(help="GiB, instead of the suite's.", min=0.05)] = None,
    as_json: AsJson = False,
) -> None:
    """Run a suite; what the store holds already is not run again."""
    console = Console(stderr=True)
    with _errors(), _progress(console) as report:
        summary = bench.run(
            suite,
            store,
            solvers=solver,
            instances=instance,
            repetitions=repetitions,
            time_limit=time_limit,
            memory_limit=memory_limit,
            report=report,
        )
    for note in summary.warnings:
        console.print(f"[yellow]Timings are doubtful:[/] {note}.")
    for name, reason in summary.skipped.items():
        console.print(f"left out: {name}: {reason}", markup=False, highlight=False)
    if as_json:
        print(json.dumps({**vars(summary), "statuses": dict(summary.statuses), "store": str(store)}, indent=1))
    else:
        counts = ", ".join(f"{count} {status}" for status, count in summary.statuses.most_common()) or "nothing to do"
        known = f"; {summary.known} were there before" if summary.known else ""
        console.print(f"{summary.recorded} runs recorded in {store} ({counts}){known}.", markup=False, highlight=False)
    if summary.interrupted:
        console.print("Interrupted. Run the same command again to go on.")
        raise typer.Exit(130)


@contextmanager
def _progress(console: Console) -> Iterator[Any]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
    with Progress(TextColumn("{task.description}"), *columns, console=console, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("starting", total=None, left="")

        def report(run: Any, done: int, total: int, left: str) -> None:
            bar.update(task, completed=done, total=total, left=left, description=f"{run.instance} {run.solver}")

        yield report


@app.command("report")
def report_store(
    store: StorePath = STORE,
    suite: Annotated[str | None, typer.Option(help="Only the runs of this suite.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page, with plots and every table, to this file.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every table, not the main ones only.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a README.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the runs of a store say, and which solver to choose."""
    with _errors():
        with bench.Store(store) as opened:
            figures = bench.gather(opened, suite)
        if html is not None:
            size = bench.write_page(figures, html)
            Console(stderr=True).print(f"{html} written, {size / 2**20:.1f} MiB.", markup=False, highlight=False)
    if as_json:
        print(bench.to_json({title: table.frame for title, table in figures.tables.items()}, figures))
    elif markdown:
        print(bench.to_markdown(figures, everything))
    elif html is None:
        bench.to_terminal(figures, Console(), everything)


@app.command("compare")
def compare_stores(
    a: Annotated[Path, typer.Argument(help="The store from before.")],
    b: Annotated[Path, typer.Argument(help="The store from after.")],
    level: Annotated[float, typer.Option(help="Confidence.", min=0.5, max=0.9999)] = 0.95,
    smallest: Annotated[float, typer.Option(help="Smallest share of change that counts.", min=0.0)] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Show what became faster, slower or wrong. Exit code 1: something became worse; 2: nothing can be compared."""
    with _errors():
        with bench.Store(a) as first, bench.Store(b) as second:
            found = bench.compare(first.frame(), second.frame(), level=level, smallest=smallest)
    tables = {"Solvers, after / before": found.solvers, "Items": found.items, "Statuses that changed": found.statuses}
    tables = {title: t.reset_index() if t.index.names != [None] else t for title, t in tables.items()}
    if as_json:
        print(bench.to_json(tables))
    else:
        console = Console()
        tables["Items"] = tables["Items"][tables["Items"]["verdict"] != "no change shown"]
        for title, frame in tables.items():
            bench.draw(bench.Table(title, frame), console)
        for sentence in found.worse:
            console.print(f"worse: {sentence}", markup=False, highlight=False)
        if found.exit_code == 0:
            console.print(f"Nothing became worse, as far as these runs can show at {level:.0%} confidence.")
        if found.exit_code == 2:
            console.print("The stores have no item in common.")
    raise typer.Exit(found.exit_code)


@app.command("export")
def export_runs(
    path: Annotated[Path, typer.Argument(help="A file that ends in .csv or .parquet.")],
    store: StorePath = STORE,
    suite: Annotated[str | None, typer.Option(help="Only the runs of this suite.")] = None,
) -> None:
    """Write the runs of a store to a CSV or Parquet file."""
    with _errors(), bench.Store(store) as opened:
        count = opened.export(path, suite)
    print(f"{count} runs written to {path}")


@app.command("merge")
def merge_stores(
    into: Annotated[Path, typer.Argument(help="The store that grows; made if there is none.")],
    others: Annotated[list[Path], typer.Argument(help="The stores whose runs it gets.")],
) -> None:
    """Put the runs of several stores, of other machines say, into one; what is there already is not doubled."""
    with _errors(), bench.Store(into, create=True) as opened:
        for other in others:
            print(f"{opened.merge(other)} new runs from {other}")


@app.command("instances")
def export_instances(
    suite: Annotated[str, typer.Argument(help="A suite's name, or the path of its module.")],
    folder: Annotated[Path, typer.Argument(help="Where the files go.")],
    instance: Annotated[list[str] | None, typer.Option(help="Only this instance; may be repeated.")] = None,
    formats: Annotated[str, typer.Option(help="Which of lp, mps and nl, with commas between.")] = "lp,mps,nl",
    store: Annotated[Path | None, typer.Option(help="A store whose optima and bounds go into the manifest.")] = None,
) -> None:
    """Write the programs of a suite as LP, MPS and NL files, with a manifest of known optima and bounds."""
    with _errors():
        manifest = bench.write_instances(suite, folder, instances=instance, formats=formats.split(","), store=store)
    print(f"{len(manifest['programs'])} programs written to {folder}; see manifest.json")
    for name, reason in manifest["skipped"].items():
        print(f"left out: {name}: {reason}")
