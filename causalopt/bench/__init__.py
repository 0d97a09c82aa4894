"""The benchmark harness: suites, runner, store, metrics, comparison.

    causalopt bench list | run | report | compare | export | merge

The same from Python: `run`, `Store`, `load_suite`, `causalopt.bench.metrics`, `compare`, `gather`, `write_page`.
"""

from __future__ import annotations

import importlib
from typing import Any

#: Names load on first use, so that a worker process imports nothing that it does not need.
_PUBLIC = {
    "Case": "causalopt.bench.suite",
    "Instance": "causalopt.bench.suite",
    "Run": "causalopt.bench.store",
    "SkipInstance": "causalopt.bench.suite",
    "Status": "causalopt.bench.status",
    "Store": "causalopt.bench.store",
    "StoreError": "causalopt.bench.store",
    "Suite": "causalopt.bench.suite",
    "compare": "causalopt.bench.comparison",
    "gather": "causalopt.bench.figures",
    "load_suite": "causalopt.bench.suite",
    "run": "causalopt.bench.runner",
    "suite_names": "causalopt.bench.suite",
    "write_page": "causalopt.bench.page",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'causalopt.bench' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
