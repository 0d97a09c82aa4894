import csv
import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest

from causalopt.bench import Run, Store, StoreError


def make(**changes):
    return Run(**{"suite": "s", "instance": "i", "solver": "highs", "status": "ok", "time_limit": 5.0, **changes})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.sqlite"


def test_values_come_back_as_they_were(path):
    run = make(
        objective=0.1 + 0.2, peak_memory=2**40, detail="'; DROP TABLE runs; -- \x00 é", n_rows=0, gap=None,
        answers=json.dumps({"ATT": 1.5}),
    )  # fmt: skip
    with Store(path, create=True) as store:
        assert store.record(run)
    with Store(path) as store:
        row = store.frame().iloc[0]
    for name in Run.__dataclass_fields__:
        value = getattr(run, name)
        assert row[name] == value if value is not None else row[name] != row[name], name


def test_the_same_run_is_recorded_once_and_any_other_too(path):
    others = [
        make(repetition=1), make(instance="j"), make(asked="qp"), make(solver="scip"), make(solver_version="2"),
        make(time_limit=6.0), make(memory_limit=1.0), make(threads=2), make(gap_asked=0.1), make(machine="m"),
        make(suite="t"),
    ]  # fmt: skip
    with Store(path, create=True) as store:
        assert store.record(make())
        assert not store.record(make(status="crashed", time_limit=5))
        assert all(store.record(run) for run in others)
        assert len(store) == 12
        assert store.keys() == {run.key for run in [make(), *others]}
        assert (store.frame()["status"] == "ok").all()


def test_several_writers_at_once_double_nothing(path):
    Store(path, create=True).close()

    def write(_):
        with Store(path) as store:
            return sum(store.record(make(repetition=k)) for k in range(25))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(write, range(4))) == 25
    with Store(path) as store:
        assert len(store) == 25


def test_merging_copies_doubles_nothing_and_other_stores_add(tmp_path, path):
    with Store(path, create=True) as a:
        a.record(make())
        a.record_environment("e", {"cores": 2})
    with Store(tmp_path / "b.sqlite", create=True) as b:
        b.record(make())  # the same work on another store: it was measured twice, and counts twice
        b.record(make(repetition=1))
    with Store(tmp_path / "all.sqlite", create=True) as whole:
        assert whole.merge(path) == 1
        assert whole.merge(path) == 0
        assert whole.merge(tmp_path / "b.sqlite") == 2
        assert len(whole) == 3 and whole.environments() == {"e": {"cores": 2}}
        assert whole.suites() == ["s"]


def test_export_to_csv_reads_back_with_another_reader(tmp_path, path):
    with Store(path, create=True) as store:
        store.record(make(detail='a "quoted", line\nand another', objective=1 / 3))
        assert store.export(tmp_path / "runs.csv") == 1
        with (tmp_path / "runs.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
    assert row["detail"] == 'a "quoted", line\nand another' and float(row["objective"]) == 1 / 3
    assert row["bound"] == "" and set(Run.__dataclass_fields__) < set(row)


def test_export_to_parquet_reads_back_with_another_reader(tmp_path, path):
    polars = pytest.importorskip("polars")
    with Store(path, create=True) as store:
        store.record(make(objective=1 / 3, n_rows=7))
        store.record(make(repetition=1))
        store.export(tmp_path / "runs.parquet")
    table = polars.read_parquet(tmp_path / "runs.parquet")
    assert table["objective"].to_list() == [1 / 3, None] and table["n_rows"].to_list() == [7, None]
    assert table["solver"].to_list() == ["highs", "highs"] and table.schema["n_rows"] == polars.Int64


# ---- bad input ----


def test_a_missing_store_is_not_made_by_reading(path):
    with pytest.raises(StoreError, match="no store at"):
        Store(path)
    assert not path.exists()


def test_another_schema_is_refused_and_left_alone(path):
    Store(path, create=True).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 7")
    for create in (False, True):
        with pytest.raises(StoreError, match="has schema 7, this version of causalopt reads and writes schema 1"):
            Store(path, create=create)


def test_files_that_are_no_store_are_refused_and_left_alone(path):
    path.write_text("my dissertation, the only copy\n" * 100)
    with pytest.raises(StoreError, match="not a store"):
        Store(path, create=True)
    assert path.read_text().startswith("my dissertation")
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE mine (x)")
    with pytest.raises(StoreError, match="not a store"):
        Store(path, create=True)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match="Check that the folder exists"):
        Store(tmp_path / "none" / "runs.sqlite", create=True)


def test_a_full_disk_keeps_what_was_recorded_and_goes_on_later(path):
    with Store(path, create=True) as store:
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages + 3}")  # SQLite then fails as on a full disk
        done = 0
        with pytest.raises(StoreError, match=r"full.*Free some space and run again"):
            for done in range(1000):
                store.record(make(repetition=done, detail="x" * 1000))
        assert 0 < done < 100
        assert len(store) == done
        store.connection.execute("PRAGMA max_page_count = 100000")
        assert store.record(make(repetition=done))
    with Store(path) as store:
        assert sorted(store.frame()["repetition"]) == list(range(done + 1))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_an_export_to_a_full_disk_is_an_error(tmp_path, path):
    (tmp_path / "full.csv").symlink_to("/dev/full")
    with Store(path, create=True) as store:
        store.record(make())
        with pytest.raises(StoreError, match="cannot be written: No space left"):
            store.export(tmp_path / "full.csv")


def test_an_unknown_ending_is_refused(tmp_path, path):
    with Store(path, create=True) as store, pytest.raises(StoreError, match=r"neither \.csv nor \.parquet"):
        store.export(tmp_path / "runs.xlsx")
