"""Files that a command writes: all or none, each complete or not there, and none replaced without --force."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from causalopt import modeling
from causalopt.console.arguments import Writing
from causalopt.console.exits import remember_written
from causalopt.console.reading import require_parquet
from causalopt.console.stopping import unfinished
from causalopt.errors import OptionError
from causalopt.plotting.style import pyplot

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = {
    "output": (".csv", ".parquet"),
    "weights-output": (".csv", ".parquet"),
    "plot": (".png", ".pdf", ".svg"),
    "export": (".lp", ".mps", ".nl"),
    "capsule": (),
}


class Files:
    """The files of one command: checked before anything is solved, written once everything is known.

    Parameters
    ----------
    force : bool
        Whether files that exist may be replaced.
    **paths : Path or None
        By what they are for, one of `ENDINGS` (with `_` for `-`).

    Raises
    ------
    OptionError
        For an ending that says no known format, a folder that does not exist, a file that does, or one name twice.
    """

    def __init__(self, force: bool, **paths: Path | None) -> None:
        self.force = force
        self.paths = {name.replace("_", "-"): path for name, path in paths.items() if path is not None}
        for name, path in self.paths.items():
            self._check(name, path)
        if len(set(map(Path.absolute, self.paths.values()))) < len(self.paths):
            raise OptionError("Two outputs have the same file name.")

    @classmethod
    def of(cls, writing: Writing, **more: Path | None) -> Files:
        """Make the files of a command's shared options."""
        own = {name: getattr(writing, name) for name in ("output", "plot", "capsule", "export")}
        return cls(writing.force, **own, **more)

    def __contains__(self, name: str) -> bool:
        return name in self.paths

    def _check(self, name: str, path: Path) -> None:
        endings = ENDINGS[name]
        if endings and path.suffix.lower() not in endings:
            raise OptionError(f"--{name} {path}: the name must end in {' or '.join(endings)}, which says the format.")
        if path.suffix.lower() == ".parquet":
            require_parquet()
        if not path.absolute().parent.is_dir():
            raise OptionError(f"--{name} {path}: there is no folder {path.parent}. Make it first.")
        if path.is_dir():
            raise OptionError(f"--{name} {path} is a folder; name a file.")
        if path.exists() and not self.force:
            raise OptionError(f"--{name} {path} exists already; --force replaces it.")

    def refuse(self, name: str, why: str) -> None:
        """Raise `OptionError` where a file is asked for that this answer does not have."""
        if name in self.paths:
            raise OptionError(f"--{name} is not available here: {why}")

    def write(self, **writers: Callable[[Path], Any]) -> list[Path]:
        """Write the files that were asked for, by functions that take a path; all appear at the end, or none does."""
        made: dict[Path, Path] = {}
        try:
            for name, path in self.paths.items():
                temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
                made[temporary] = path
                unfinished.add(temporary)
                writers[name.replace("-", "_")](temporary)
            for name, path in self.paths.items():
                self._check(name, path)
            for temporary, path in made.items():
                temporary.replace(path)
                remember_written(path)
        except OSError as error:
            raise OptionError(f"{error.filename or 'A file'} cannot be written: {error.strerror or error}.") from None
        finally:
            for temporary in made:
                temporary.unlink(missing_ok=True)
                unfinished.discard(temporary)
        return list(self.paths.values())


def write_table(frame: pd.DataFrame) -> Callable[[Path], None]:
    """Return what writes a table as CSV or Parquet, in full precision."""

    def write(path: Path) -> None:
        if path.suffix.lower() == ".parquet":
            frame.reset_index().to_parquet(path, index=False)
        else:
            frame.to_csv(path)

    return write


def write_picture(draw: Callable[[], Any]) -> Callable[[Path], None]:
    """Return what saves a picture, given what draws it and returns its axes."""

    def write(path: Path) -> None:
        plt = pyplot()
        plt.switch_backend("Agg")
        figure = np.ravel(draw())[0].figure
        figure.savefig(path, format=path.suffix[1:].lower(), dpi=150)
        plt.close(figure)

    return write


def write_model(program: Callable[[], Any]) -> Callable[[Path], None]:
    """Return what writes a program as LP, MPS or NL."""

    def write(path: Path) -> None:
        modeling.write_program(program(), path)

    return write
