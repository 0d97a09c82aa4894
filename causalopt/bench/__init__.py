"""The benchmark harness: what runs are kept in, how they are made, and what they say.

`store` < `running` < `report` < `commands`: a file imports from its own folder, or from a lower one.

    causalopt bench list | run | report | compare | export | merge

The same from Python: `run`, `Store`, `load_suite`, `causalopt.bench.metrics`, `compare`, `gather`, `write_page`.
"""

from __future__ import annotations

import importlib
from typing import Any

#: Names load on first use, so that a worker process imports nothing that it does not need.
_PUBLIC = {
    "Case": "causalopt.bench.running.suite",
    "Instance": "causalopt.bench.running.suite",
    "Run": "causalopt.bench.store.record",
    "SkipInstance": "causalopt.bench.running.suite",
    "Status": "causalopt.bench.store.status",
    "Store": "causalopt.bench.store.sqlite",
    "StoreError": "causalopt.bench.store.sqlite",
    "Suite": "causalopt.bench.running.suite",
    "compare": "causalopt.bench.report.comparison",
    "gather": "causalopt.bench.report.figures",
    "load_suite": "causalopt.bench.running.suite",
    "run": "causalopt.bench.running.runner",
    "suite_names": "causalopt.bench.running.suite",
    "write_page": "causalopt.bench.report.page",
}

#: What the command line shows figures and writes files with, loaded in the same way.
_SHOWING = {
    "Table": "causalopt.bench.report.figures",
    "draw": "causalopt.bench.report.text",
    "to_json": "causalopt.bench.report.text",
    "to_markdown": "causalopt.bench.report.text",
    "to_terminal": "causalopt.bench.report.text",
    "write_instances": "causalopt.bench.report.export",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name == "metrics":  # the one module that is documented under a name of its own
        return importlib.import_module("causalopt.bench.report.metrics")
    home = _PUBLIC.get(name) or _SHOWING.get(name)
    if home is None:
        raise AttributeError(f"module 'causalopt.bench' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
