"""Balance QPs: the LaLonde studies, generated studies of any size, and ones whose optimum is known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from causalopt import basis
from causalopt.bench.running.real import data_file
from causalopt.bench.running.suite import Case
from causalopt.modeling.program import Bools, Floats
from causalopt.problems.balance.problem import BalanceProblem

CONTINUOUS = ["age", "educ", "re74", "re75"]
BINARY = ["black", "hispan", "white", "nodegree", "married"]
SBW = ["age", "educ", "black", "hispan", "married", "nodegree", "re74", "re75"]

#: Published by the R packages: (value, largest difference).
OPTWEIGHT = {
    "ESS": (113.896, 5e-4),
    "L2": (1.6633, 5e-5),
    "largest weight": (5.5885, 5e-5),
    "zero weights": (231.0, 0.0),
    "ATT": (1239.864, 5e-3),
}
SBW_PACKAGE = {
    "CV": (1.65323, 5e-6),
    "sum of squares": (0.00635619, 5e-9),
    "ESS": (115.112, 5e-4),
    "ATT": (1291.295, 5e-3),
    "zero weights": (231.0, 0.0),
}


def study(n: int, p: int, seed: int) -> tuple[Floats, Bools]:
    """Draw covariates, half of them skewed, and a treatment that depends on them: about one unit in eight."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    x[:, : p // 2] = np.exp(x[:, : p // 2] / 2)
    treated = rng.random(n) < 1 / (1 + np.exp(2 + x[:, :4] @ [-1, 0.5, -0.25, -0.1]))
    return x, treated


def generated(n: int, p: int, seed: int = 0, tolerance: float = 0.01) -> Case:
    """Return the ATT weights of a generated study of n units."""
    x, treated = study(n, p, seed)
    outcome = x.sum(axis=1) + 2.0 * treated + np.random.default_rng([seed, 1]).normal(size=n)

    def answer(result: Any) -> dict[str, float]:
        weights = result.weights.to_numpy()
        contrast = outcome[treated].mean() - np.average(outcome[~treated], weights=weights[~treated])
        return {"ATT": contrast, "ESS": result.effective_sample_size.iloc[0]}

    return Case(BalanceProblem(x, treated, tolerance=tolerance), answer=answer)


def planted(n: int, p: int, seed: int = 0) -> Case:
    """Return a balance QP whose optimal weights were chosen first.

    With exact balance the weights w_i = max(0, a + b'x_i) are optimal for the means that they have themselves, because
    a and b are multipliers that prove it.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    score = x @ rng.normal(size=p) / np.sqrt(p)
    low, high = -float(np.abs(score).max()) - 1.0, float(np.abs(score).max()) + 2.0
    for _ in range(200):  # the mean of the weights grows with a: find where it is one
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.maximum(0.0, middle + score).mean() < 1.0 else (low, middle)
    weights = np.maximum(0.0, 0.5 * (low + high) + score)
    target = {f"x{j}": float(np.average(x[:, j], weights=weights)) for j in range(p)}
    frame = pd.DataFrame(x, columns=list(target))
    problem = BalanceProblem(frame, estimand="population", target=target, tolerance=0.0, scale="raw")
    return Case(problem, optimum=0.5 * float(((weights - 1.0) ** 2).sum()), answer=_size)


def _size(result: Any) -> dict[str, float]:
    return {"ESS": float(result.effective_sample_size.iloc[0])}


def lalonde(convention: str) -> Case:
    """Return the ATT of the 614 rows of LaLonde's study, as optweight or as sbw computes it."""
    df = pd.read_csv(data_file("lalonde", "lalonde_614.csv"))
    for level in ("black", "hispan", "white"):
        if level not in df:
            df[level] = (df["race"] == level).astype(float)
    if convention == "optweight":
        scale = {name: "treated" for name in CONTINUOUS} | {"default": "raw"}
        problem = BalanceProblem(df[CONTINUOUS + BINARY], df["treat"], tolerance=0.01, scale=scale)
    else:
        problem = BalanceProblem(df[SBW], df["treat"], tolerance=0.02, scale="group")
    control, outcome = (df["treat"] == 0).to_numpy(), df["re78"].to_numpy()

    def answer(result: Any) -> dict[str, float]:
        w = result.weights.to_numpy()[control]
        return {
            "ESS": w.sum() ** 2 / (w @ w),
            "L2": np.sqrt(np.mean((w - 1) ** 2)),
            "CV": w.std(ddof=1) / w.mean(),
            "sum of squares": (((w - 1) / len(w)) ** 2).sum(),
            "largest weight": w.max(),
            "zero weights": (w < 1e-5).sum(),
            "ATT": outcome[~control].mean() - np.average(outcome[control], weights=w),
        }

    return Case(problem, answer=answer)


def nsw_with_survey_controls(tolerance: float = 0.01) -> Case:
    """Return the ATT of the trained of the experiment against 15,992 controls from a population survey."""
    experiment = pd.read_csv(data_file("lalonde", "nsw_dw.csv"))
    survey = pd.read_csv(data_file("lalonde", "cps_controls.csv.gz"))
    df = pd.concat([experiment[experiment["treat"] == 1], survey], ignore_index=True)
    df = df.assign(no74=(df["re74"] == 0) * 1, no75=(df["re75"] == 0) * 1)
    names = ["age", "education", "black", "hispanic", "married", "nodegree", "re74", "re75", "no74", "no75"]
    problem = BalanceProblem(df[names], df["treat"], basis=[basis.moments(2)], tolerance=tolerance, scale="treated")
    outcome = df["re78"].to_numpy()
    control = (df["treat"] == 0).to_numpy()

    def answer(result: Any) -> dict[str, float]:
        w = result.weights.to_numpy()[control]
        return {"ATT": outcome[~control].mean() - np.average(outcome[control], weights=w)}

    return Case(problem, answer=answer)
