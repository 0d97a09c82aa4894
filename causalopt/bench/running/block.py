"""What a host is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from causalopt.bench.running.contestants import Contestant


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a run may use."""

    time_limit: float
    memory_limit: float
    grace: float
    threads: int
    gap: float


@dataclasses.dataclass(frozen=True)
class Block:
    """Runs of one formulation of one instance, in the order in which they are to be made."""

    suite: Path
    instance: str
    formulation: str | None
    limits: Limits
    contestants: tuple[Contestant, ...]
