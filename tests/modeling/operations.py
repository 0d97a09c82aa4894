"""The register of operations that `test_component_operations` runs on a plain model and on its array-backed twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Operation(NamedTuple):
    """What to run, on which model, and the error that it is expected to raise."""

    run: Callable[[Any], Any]
    model: dict[str, bool]
    error: type[Exception] | None


OPERATIONS: dict[str, Operation] = {}


def operation(
    *, quadratic: bool = True, integer: bool = False, error: type[Exception] | None = None
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a function of a model under its name."""

    def register(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
        assert run.__name__ not in OPERATIONS, f"two operations are called {run.__name__}"
        OPERATIONS[run.__name__] = Operation(run, {"quadratic": quadratic, "integer": integer}, error)
        return run

    return register
