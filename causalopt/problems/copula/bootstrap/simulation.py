"""Coverage, width and power of intervals in simulated experiments on known outcomes: the tables of [COP] section 7.

A cell of the study is a design (complete randomization, or pairs of neighbours in size), with or without predictions of
the outcome, and an effect. In each run the treatment is drawn, the outcomes of the untaken treatment are hidden, and
every method gives its interval. Batches of runs go to several processes; finished ones are kept in a file, from which
an interrupted study resumes. Cells share their random numbers.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from causalopt.errors import DataError, VerificationError
from causalopt.modeling.program import Bools, Floats
from causalopt.problems.copula.bootstrap.methods import conservative_variance, impute_isotone, sampling_errors
from causalopt.problems.copula.paths import rearrangement
from causalopt.problems.copula.problem import CopulaProblem
from causalopt.solving.dispatch import solve
from causalopt.study.designs.design import CompleteRandomization, Design
from causalopt.study.designs.estimators import DifferenceInMeans
from causalopt.study.designs.grouped import MatchedPairs

METHODS = ("true", "conservative", "isotone", "optimal", "sampling")

#: Runs of a batch: what is lost when a study is interrupted.
BATCH = 100

#: Largest relative difference between the closed form and the verified answer of the same problem.
AGREEMENT = 1e-9


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row of a table.

    Attributes
    ----------
    design : {"complete", "pairs"}
    predicted : bool
        Whether outcomes are residuals of a prediction.
    effect : {"none", "additive", "multiplicative"}
    size : float
        Share of the mean outcome that an additive effect adds, or of its own outcome that a multiplicative one does.
    """

    design: str
    predicted: bool
    effect: str
    size: float = 0.0

    @property
    def key(self) -> str:
        """The cell as words."""
        return f"{self.design}|{'predicted' if self.predicted else 'plain'}|{self.effect}|{self.size:g}"


def tables(sizes: Sequence[float] = (0.025, 0.05, 0.1)) -> dict[str, list[Cell]]:
    """Return the cells of four tables: no effect (without, with the covariate), additive, multiplicative effects."""
    both = ("complete", "pairs")
    return {
        "1: no effect, no covariate": [Cell(d, False, "none") for d in both],
        "2: no effect, with the covariate": [Cell(d, True, "none") for d in both],
        "3: additive effects": [Cell(d, p, "additive", s) for p in (False, True) for d in both for s in sizes],
        "4: multiplicative effects": [
            Cell(d, p, "multiplicative", s) for p in (False, True) for d in both for s in sizes
        ],
    }


def _design(cell: Cell, n: int) -> Design:
    if cell.design == "complete":
        return CompleteRandomization(n // 2)
    if cell.design == "pairs":
        return MatchedPairs(np.arange(n) // 2)
    raise DataError(f"Unknown design {cell.design!r}: 'complete' or 'pairs'.")


def worst_case(y: Floats, z: Bools, design: Design) -> tuple[Floats, Floats]:
    """Return both outcomes under the worst-case copula of complete randomization or matched pairs, equal arms."""
    y1, y0 = y.copy(), y.copy()
    low, high = np.sort(y[~z]), np.sort(y[z])
    numbers = np.arange(len(low))
    if isinstance(design, MatchedPairs):
        pairs = design.positions
        treated, control = pairs[z[pairs]], pairs[~z[pairs]]
        v, u = rearrangement.matched_pairs(y[treated] - y[control], numbers, numbers)
    else:
        treated, control = np.flatnonzero(z), np.flatnonzero(~z)
        v = rearrangement.complete(y[treated], numbers, numbers)
        u = rearrangement.complete(y[control], numbers, numbers)
    y0[treated], y1[control] = low[v], high[u]
    return y1, y0


@dataclasses.dataclass(frozen=True, eq=False)
class _Job:
    cell: Cell
    batch: int
    outcome: Floats
    prediction: Floats
    draws: int
    level: float
    seed: int


def potential_outcomes(cell: Cell, outcome: Floats, prediction: Floats) -> tuple[Floats, Floats]:
    """Return the true potential outcomes of a cell (minus the prediction, where it is used)."""
    y1 = outcome.copy()
    if cell.effect == "additive":
        y1 = outcome + cell.size * outcome.mean()
    elif cell.effect == "multiplicative":
        y1 = outcome * (1 + cell.size)
    elif cell.effect != "none":
        raise DataError(f"Unknown effect {cell.effect!r}: 'none', 'additive' or 'multiplicative'.")
    return (y1 - prediction, outcome - prediction) if cell.predicted else (y1, outcome.copy())


def _run(job: _Job) -> dict[str, Any]:
    y1, y0 = potential_outcomes(job.cell, job.outcome, job.prediction)
    n = len(y1)
    design = _design(job.cell, n)
    seeds = np.random.SeedSequence([job.seed, job.batch]).generate_state(3)
    redrawn = design.sample(job.draws, n=n, seed=int(seeds[0])).astype(float)
    actual = design.sample(BATCH, n=n, seed=int(seeds[1]))
    effect = float((y1 - y0).mean())
    tail = (1 - job.level) / 2

    def quantiles(a1: Floats, a0: Floats) -> Floats:
        errors = redrawn @ (a1 + a0) * (2 / n) - a0.sum() * (2 / n) - (a1 - a0).mean()
        return np.asarray(np.quantile(errors, [tail, 1 - tail]))

    truth = quantiles(y1, y0)
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    for number, z in enumerate(actual):
        y = np.where(z, y1, y0)
        estimate = float(y[z].mean() - y[~z].mean())
        worst = worst_case(y, z, design)
        if number == 0:
            _check(y, z, design, worst)
        half = float(norm.ppf(1 - tail)) * float(np.sqrt(conservative_variance(design, y, z)))
        resampled = sampling_errors(
            DifferenceInMeans(), y, z, design.probabilities(n), job.draws, int(seeds[2]) + number
        )
        found: dict[str, Any] = {
            "true": truth,
            "conservative": (-half, half),
            "isotone": quantiles(*impute_isotone(y, z)),
            "optimal": quantiles(*worst),
            "sampling": np.quantile(resampled, [tail, 1 - tail]),
        }
        for name, (low, high) in found.items():
            rows[name].append((estimate - high, estimate - low))
    return _record(job, effect, {name: np.array(values) for name, values in rows.items()})


def _record(job: _Job, effect: float, intervals: dict[str, Floats]) -> dict[str, Any]:
    return {
        "cell": job.cell.key,
        "batch": job.batch,
        "draws": job.draws,
        "level": job.level,
        "seed": job.seed,
        "widths": {name: np.round(v[:, 1] - v[:, 0], 9).tolist() for name, v in intervals.items()},
        "covers": {name: int(((v[:, 0] <= effect) & (effect <= v[:, 1])).sum()) for name, v in intervals.items()},
        "rejects": {name: int(((v[:, 0] > 0) | (v[:, 1] < 0)).sum()) for name, v in intervals.items()},
    }


def _check(y: Floats, z: Bools, design: Design, worst: tuple[Floats, Floats]) -> None:
    """Compare the closed form with the verified answer of the same problem: once a batch."""
    verified = solve(CopulaProblem(y, z.astype(int), design, slack=0.0))
    ours = DifferenceInMeans().form(design, len(y)).value(*worst)
    if abs(ours - verified.variance) > AGREEMENT * max(abs(verified.variance), 1e-300):
        raise VerificationError(f"The closed form gives a variance of {ours:.12g}, the lane {verified.variance:.12g}.")


def simulate(
    outcome: Any,
    prediction: Any,
    *,
    cells: Iterable[Cell] | None = None,
    runs: int = 1_000,
    draws: int = 1_000,
    level: float = 0.95,
    seed: int = 0,
    workers: int | None = None,
    path: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Simulate experiments and return coverage, median width and power of every method.

    Parameters
    ----------
    outcome : (n,) array
        Outcomes without treatment, in the order that makes neighbours pairs; n is even.
    prediction : (n,) array
        Out-of-sample predictions, for the cells that use them.
    cells : iterable of Cell, optional
        Those of `tables()` unless given.
    runs : int
        Experiments a cell, rounded up to whole batches of 100.
    draws : int
        Redrawn treatments an experiment.
    level : float
    seed : int
        The same seed gives the same table, whatever the number of workers.
    workers : int, optional
        Processes; as many as there are processors unless given.
    path : str or Path, optional
        File of finished batches, one JSON object a line. Those that are in it already are not run again.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        By design, covariate, effect, size and method: `runs`, `coverage`, `median width`, `power` (the share of
        intervals that exclude zero).
    """
    y, m = np.asarray(outcome, dtype=float), np.asarray(prediction, dtype=float)
    if y.ndim != 1 or y.shape != m.shape or len(y) % 2 or not (np.isfinite(y).all() and np.isfinite(m).all()):
        raise DataError("simulate() needs an even number of finite outcomes, and a prediction of each.")
    chosen = [cell for table in tables().values() for cell in table] if cells is None else list(cells)
    done = _read(path, draws, level, seed)
    jobs = [
        _Job(cell, batch, y, m, draws, level, seed)
        for batch in range(-(-runs // BATCH))
        for cell in chosen
        if (cell.key, batch) not in done
    ]
    for record in _completed(jobs, workers, progress):
        done[record["cell"], record["batch"]] = record
        if path is not None:
            with Path(path).open("a") as file:
                file.write(json.dumps(record) + "\n")
    return _table(chosen, done, -(-runs // BATCH))


def _read(path: str | Path | None, draws: int, level: float, seed: int) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the finished batches of the same study; a last line that an interruption cut off is left out."""
    done: dict[tuple[str, int], dict[str, Any]] = {}
    if path is None or not Path(path).exists():
        return done
    text = Path(path).read_text()
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if (record["draws"], record["level"], record["seed"]) == (draws, level, seed):
            done[record["cell"], record["batch"]] = record
    if text and not text.endswith("\n"):
        with Path(path).open("a") as file:
            file.write("\n")
    return done


def _completed(jobs: Sequence[_Job], workers: int | None, progress: bool) -> Iterable[dict[str, Any]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("batches of experiments"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not progress or not jobs) as bar:
        task = bar.add_task("", total=len(jobs))
        count = workers or os.cpu_count() or 1
        if count == 1 or len(jobs) <= 1:
            for job in jobs:
                yield _run(job)
                bar.advance(task)
            return
        with ProcessPoolExecutor(count) as pool:
            for future in as_completed([pool.submit(_run, job) for job in jobs]):
                yield future.result()
                bar.advance(task)


def _table(cells: Sequence[Cell], done: dict[tuple[str, int], dict[str, Any]], batches: int) -> pd.DataFrame:
    rows = []
    for cell in cells:
        records = [done[cell.key, batch] for batch in range(batches)]
        for name in METHODS:
            widths = np.concatenate([record["widths"][name] for record in records])
            rows.append(
                {
                    "design": cell.design,
                    "covariate": cell.predicted,
                    "effect": cell.effect,
                    "size": cell.size,
                    "method": name,
                    "runs": len(widths),
                    "coverage": sum(record["covers"][name] for record in records) / len(widths),
                    "median width": float(np.median(widths)),
                    "power": sum(record["rejects"][name] for record in records) / len(widths),
                }
            )
    return pd.DataFrame(rows).set_index(["design", "covariate", "effect", "size", "method"])
