"""The command line: one command a question, and `causalopt solvers`, `replay`, `export`, `demo` and `bench`.

Each problem's commands stand in its folder, in `command.py`, and are found there; the others in `causalopt.console`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from causalopt.bench.commands import app as bench_app
from causalopt.console import replay, solvers
from causalopt.console.arguments import commands_of, register
from causalopt.console.codes import Exit
from causalopt.console.discovery import load_modules
from causalopt.installation import replaced
from causalopt.version import __version__

app = typer.Typer(
    help="Optimization for causal inference; every answer is verified from the data.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

for _module in (*load_modules("command"), replay, solvers):
    for _command in commands_of(_module):
        register(app, _command)
app.add_typer(bench_app, name="bench")


def _show_version(wanted: bool) -> None:
    if wanted:
        _refuse_another_package()
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


if __name__ == "__main__":
    app()
