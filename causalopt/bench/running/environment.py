"""Where runs come from: versions, processor, memory, commit; and whether the machine is fit for measuring now."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

#: Other work than this share of the cores makes timings doubtful.
BUSY = 0.5

PACKAGES = ("causalopt", "numpy", "scipy", "pyomo", "pandas")
DISTRIBUTIONS = {"causalopt": "pycausalopt"}  # where they are not called like their package


def environment(solvers: Iterable[tuple[str, str, str]] = ()) -> dict[str, Any]:
    """Return the facts of this machine and installation.

    Parameters
    ----------
    solvers : iterable of (name, version, licence)
    """
    return {
        **machine(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(DISTRIBUTIONS.get(name, name)) for name in PACKAGES},
        "solvers": {name: {"version": version, "licence": licence} for name, version, licence in solvers},
        "commit": commit(),
    }


@functools.cache
def machine() -> dict[str, Any]:
    """Return what is fixed about the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def digest(facts: dict[str, Any]) -> str:
    """Return a short name for a set of facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@functools.cache
def commit() -> str:
    """Return the commit of the source tree, with a plus where files differ from it; empty outside of one."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return ""
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def load_average() -> float | None:
    """Return how many processes wanted to run during the last minute."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return None


def disturbances() -> list[str]:
    """Return, in words, what makes timings on this machine doubtful now."""
    found = []
    load, cores = load_average(), os.cpu_count() or 1
    if load is not None and load > BUSY * cores:
        found.append(f"other work keeps {load:.1f} of {cores} cores busy")
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor.is_file():
        name = governor.read_text().strip()
        if name != "performance":
            found.append(f"the processor's governor is {name!r}: its clock may change while runs are timed")
    return found
