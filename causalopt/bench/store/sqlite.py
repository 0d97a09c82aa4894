"""One SQLite file of runs: a row a run, with where it came from; a run that was recorded is never lost or doubled.

Each run is one transaction in write-ahead mode, so that a kill at any moment leaves whole rows only. A row's `id` is a
hash of what was run (suite, instance, formulation, solver and its version, limits, repetition, machine) and of the
store where it was first recorded: running again skips what is there, and merging copies doubles nothing.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from causalopt.bench.store.record import FIELDS, KEY, Run, column, run_key
from causalopt.errors import CausaloptError

if TYPE_CHECKING:
    import pandas as pd

#: What SQLite keeps in the file's header: whose file this is, and of which schema.
APPLICATION = 0x63617573
SCHEMA = 1


class StoreError(CausaloptError):
    """The file of runs cannot be read or written; the message says why and what to do."""


class Store:
    """A file of runs.

    Parameters
    ----------
    path : str or Path
    create : bool
        Make the file if there is none; else a missing file is an error.

    Raises
    ------
    StoreError
        Where the file is missing, no store, of another schema, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> store = Store(tempfile.mkdtemp() + "/runs.sqlite", create=True)
    >>> run = Run(suite="smoke", instance="toy", solver="highs", status="ok")
    >>> store.record(run), store.record(run), len(store)
    (True, False, 1)
    >>> store.close()
    """

    def __init__(self, path: str | Path, *, create: bool = False) -> None:
        self.path = Path(path)
        if not create and not self.path.is_file():
            raise StoreError(f"There is no store at {self.path}. 'causalopt bench run' makes one.")
        with self._explained():
            self.connection = sqlite3.connect(self.path, timeout=30.0, isolation_level=None)
        try:
            self._open(create)
        except BaseException:
            self.connection.close()
            raise

    def _open(self, create: bool) -> None:
        with self._explained():
            application = self._number("PRAGMA application_id")
            schema = self._number("PRAGMA user_version")
            tables = self._number("SELECT count(*) FROM sqlite_master")
        if application != APPLICATION:
            if tables or not create:
                raise StoreError(f"{self.path} is not a store of benchmark runs. Name another file.")
            self._create()
        elif schema != SCHEMA:
            raise StoreError(
                f"{self.path} has schema {schema}, this version of causalopt reads and writes schema {SCHEMA}. "
                "Name another file, or use the version that wrote it."
            )
        with self._explained():
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = FULL")
            self.origin = str(self.connection.execute("SELECT origin FROM store").fetchone()[0])

    def _create(self) -> None:
        columns = ", ".join(map(column, FIELDS))
        with self._explained(), self._transaction():
            if self._number("SELECT count(*) FROM sqlite_master"):
                return  # another process was first
            self.connection.execute("CREATE TABLE store (origin TEXT NOT NULL)")
            self.connection.execute("INSERT INTO store VALUES (?)", (uuid.uuid4().hex,))
            self.connection.execute(f"CREATE TABLE runs (id TEXT PRIMARY KEY, origin TEXT NOT NULL, {columns})")
            self.connection.execute("CREATE TABLE environments (environment TEXT PRIMARY KEY, facts TEXT NOT NULL)")
            self.connection.execute(f"PRAGMA application_id = {APPLICATION}")
            self.connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def _number(self, query: str) -> int:
        return int(self.connection.execute(query).fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:  # SQLite itself rolls back on some errors, a full disk among them
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if "full" in text:
                advice = "Free some space and run again: what was recorded is safe, and only the rest will be run."
            elif "not a database" in text or "malformed" in text:
                advice = "It is not a store of benchmark runs, or it is damaged. Name another file."
            else:
                advice = "Check that the folder exists and can be written, or name another file."
            raise StoreError(f"{self.path}: {text}. {advice}") from error

    # ---- writing ----

    def record(self, run: Run) -> bool:
        """Write one run; return False where it was there already.

        Parameters
        ----------
        run : Run
            What to add.

        Returns
        -------
        bool
            Whether it was new.
        """
        identity = hashlib.sha256(f"{self.origin} {run.key}".encode()).hexdigest()[:32]
        values = [identity, self.origin, *dataclasses.astuple(run)]
        marks = ", ".join("?" * len(values))
        with self._explained(), self._transaction():
            done = self.connection.execute(f"INSERT OR IGNORE INTO runs VALUES ({marks})", values)
            return done.rowcount == 1

    def record_environment(self, environment: str, facts: Mapping[str, Any]) -> None:
        """Write where runs came from, under the name that their rows carry.

        Parameters
        ----------
        environment : str
            Its key, which runs refer to.
        facts : mapping
            What is known of the machine and the versions.
        """
        values = (environment, json.dumps(dict(facts), sort_keys=True))
        with self._explained(), self._transaction():
            self.connection.execute("INSERT OR IGNORE INTO environments VALUES (?, ?)", values)

    def merge(self, other: str | Path) -> int:
        """Add the runs of another store; return how many were new.

        Parameters
        ----------
        other : str or Path
            The store whose runs are added.

        Returns
        -------
        int
            Number of runs that were new.
        """
        with Store(other) as source:
            runs = source.connection.execute("SELECT * FROM runs").fetchall()
            environments = source.connection.execute("SELECT * FROM environments").fetchall()
        marks = ", ".join("?" * (len(FIELDS) + 2))
        before = len(self)
        with self._explained(), self._transaction():
            self.connection.executemany("INSERT OR IGNORE INTO environments VALUES (?, ?)", environments)
            self.connection.executemany(f"INSERT OR IGNORE INTO runs VALUES ({marks})", runs)
        return len(self) - before

    # ---- reading ----

    def __len__(self) -> int:
        return self._number("SELECT count(*) FROM runs")

    def keys(self) -> set[str]:
        """Return the keys of all runs that are recorded."""
        names = ", ".join(f'"{name}"' for name in KEY)
        rows = self.connection.execute(f"SELECT {names} FROM runs").fetchall()
        return {run_key(**dict(zip(KEY, row, strict=True))) for row in rows}

    def seconds(self) -> list[tuple[str, str, str, float]]:
        """Return instance, formulation as asked, solver and wall clock of all runs."""
        rows: list[tuple[str, str, str, float]]
        rows = self.connection.execute("SELECT instance, asked, solver, wall FROM runs").fetchall()
        return rows

    def frame(self, suite: str | None = None) -> pd.DataFrame:
        """Return all runs (of a suite) as a table, in the order of recording.

        Parameters
        ----------
        suite : str, optional
            Only runs of this suite.
        """
        import pandas as pd

        where, values = ("WHERE suite = ?", (suite,)) if suite is not None else ("", ())
        with self._explained():
            cursor = self.connection.execute(f"SELECT * FROM runs {where} ORDER BY rowid", values)
            names = [column[0] for column in cursor.description]
            table = pd.DataFrame(cursor.fetchall(), columns=names)
        for name, kind in FIELDS.items():
            if "str" not in kind:  # a column without a value comes as objects
                table[name] = pd.to_numeric(table[name])
        return table

    def environments(self) -> dict[str, dict[str, Any]]:
        """Return where runs came from: versions, processor, memory, system."""
        rows = self.connection.execute("SELECT environment, facts FROM environments").fetchall()
        return {name: json.loads(facts) for name, facts in rows}

    def suites(self) -> list[str]:
        """Return the names of the suites that have runs here."""
        return [row[0] for row in self.connection.execute("SELECT DISTINCT suite FROM runs ORDER BY suite")]

    # ---- for other programs ----

    def export(self, path: str | Path, suite: str | None = None) -> int:
        """Write the runs to a CSV or Parquet file, by the name's ending; return how many.

        Parameters
        ----------
        path : str or Path
            Where to write; `.csv` or `.parquet`.
        suite : str, optional
            Only runs of this suite.

        Returns
        -------
        int
            Number of runs written.

        Raises
        ------
        StoreError
            For another ending, a file that cannot be written, or Parquet without the package polars.
        """
        path = Path(path)
        table = self.frame(suite)
        try:
            if path.suffix == ".csv":
                table.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
            elif path.suffix == ".parquet":
                _write_parquet(table, path)
            else:
                raise StoreError(f"{path.name} ends in neither .csv nor .parquet: these are what can be written.")
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from error
        return len(table)

    def close(self) -> None:
        """Close the file; what write-ahead files hold goes into it."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    try:
        import polars
    except ImportError:
        raise StoreError(
            "Parquet needs the package polars: pip install 'pycausalopt[bench]'. CSV needs nothing."
        ) from None
    columns = {name: table[name].where(table[name].notna(), None).tolist() for name in table.columns}
    kinds = {"str": polars.String, "int": polars.Int64, "float": polars.Float64}
    schema = {name: kinds[FIELDS.get(name, "str").split(" | ")[0]] for name in table.columns}
    plain = {name: [_plain(v, schema[name] is polars.Int64) for v in values] for name, values in columns.items()}
    polars.DataFrame(plain, schema=schema).write_parquet(path)


def _plain(value: Any, whole: bool) -> Any:
    if value is None or value != value:
        return None
    return int(value) if whole else value
