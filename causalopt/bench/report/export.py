"""Instances as files that any solver reads, with a manifest of what is known about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from causalopt import modeling
from causalopt.bench.report.metrics import judged
from causalopt.bench.running.block import Block, Limits
from causalopt.bench.running.host import Made
from causalopt.bench.running.suite import Instance, SkipInstance, load_suite
from causalopt.bench.store.sqlite import Store
from causalopt.errors import OptionError
from causalopt.modeling.program import Program
from causalopt.solving.options import unknown_name

#: Format -> how it holds quadratic objectives.
FORMATS = {"lp": "objective in brackets, halved", "mps": "QUADOBJ section", "nl": "expression graph"}


def write_instances(
    suite: str | Path,
    folder: str | Path,
    *,
    instances: Sequence[str] | None = None,
    formats: Sequence[str] = ("lp", "mps", "nl"),
    store: str | Path | None = None,
) -> dict[str, Any]:
    """Write every program of a suite in each format, and `manifest.json` beside them.

    Instances are made in this process, one after the other, and answers that take several programs are left out.

    Parameters
    ----------
    suite : str or Path
    folder : str or Path
        Made if there is none.
    instances : sequence of str, optional
        Only these.
    formats : sequence of {"lp", "mps", "nl"}
    store : str or Path, optional
        Where proven optima and the best verified objectives and bounds are taken from, beside planted ones.

    Returns
    -------
    dict
        The manifest: for each program its files with checksums, class, size, known optimum and bound.

    Raises
    ------
    OptionError
        For an unknown suite, instance or format.
    """
    for name in formats:
        if name not in FORMATS:
            raise OptionError(unknown_name("format", name, FORMATS))
    loaded = load_suite(suite)
    assert loaded.path is not None
    chosen = loaded.instances if instances is None else [loaded.instance(name) for name in instances]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    known = _known(store)
    programs, skipped = [], {}
    limits = Limits(loaded.time_limit, loaded.memory_limit, loaded.grace, loaded.threads, loaded.gap)
    for instance in chosen:
        for asked in instance.formulations:
            try:
                made = Made(Block(loaded.path, instance.name, asked, limits, ()))
                if made.search is not None:
                    raise SkipInstance(f"{made.formulation} takes several programs")
            except SkipInstance as skip:
                skipped[instance.name] = str(skip)
                continue
            except Exception as error:  # a generator may raise anything; the others are written
                skipped[instance.name] = f"{type(error).__name__}: {error}"
                continue
            programs.append(_written(made, instance, folder, formats, known))
    manifest = {"suite": loaded.name, "formats": {n: FORMATS[n] for n in formats}, "programs": programs}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "skipped": skipped}, indent=1) + "\n")
    return {**manifest, "skipped": skipped}


def _written(
    made: Made, instance: Instance, folder: Path, formats: Sequence[str], known: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    stem = "-".join(part for part in (instance.name, made.formulation) if part).replace("/", "-")
    paths = [modeling.write_program(made.program, folder / f"{stem}.{name}") for name in formats]
    return {
        "instance": instance.name,
        "problem": instance.problem,
        "seed": instance.seed,
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths},
        **{name: value for name, value in made.facts.items() if name != "known_optimum"},
        "sense": "maximize" if made.program.maximize else "minimize",
        **_best(made.program, made.case.optimum, known.get(made.facts["fingerprint"], {})),
    }


def _known(store: str | Path | None) -> dict[str, dict[str, Any]]:
    """Return by fingerprint the best verified objective and the best bound that was not refuted."""
    if store is None:
        return {}
    with Store(store) as opened:
        runs = judged(opened.frame())
    found: dict[str, dict[str, Any]] = {}
    for fingerprint, group in runs[(runs["status"] != "wrong") & (runs["fingerprint"] != "")].groupby("fingerprint"):
        maximize = bool(group["maximize"].iloc[0])
        objective, bound = group["objective"].dropna(), group["bound"].dropna()
        proven = group[group["success"] & (group["reason"] == "optimal")]["objective"]
        found[str(fingerprint)] = {
            "optimum": None if proven.empty else float(proven.max() if maximize else proven.min()),
            "objective": None if objective.empty else float(objective.max() if maximize else objective.min()),
            "bound": None if bound.empty else float(bound.min() if maximize else bound.max()),
        }
    return found


def _best(program: Program, planted: float | None, known: dict[str, Any]) -> dict[str, Any]:
    optimum = planted if planted is not None else known.get("optimum")
    source = "planted" if planted is not None else "proven by a solver, verified" if optimum is not None else None
    return {
        "optimum": optimum,
        "optimum_source": source,
        "best_objective": optimum if optimum is not None else known.get("objective"),
        "best_bound": optimum if optimum is not None else known.get("bound"),
    }
