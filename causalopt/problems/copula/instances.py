"""Worst-case copulas: countries' GDP under three designs, and generated experiments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from causalopt.bench.running.real import data_file
from causalopt.bench.running.suite import Case
from causalopt.problems.copula.problem import CopulaProblem
from causalopt.study.designs.design import CompleteRandomization
from causalopt.study.designs.grouped import MatchedPairs


def _answer(result: Any) -> dict[str, float]:
    return {"standard error": result.standard_error, "width": 2 * 1.959963984540054 * result.standard_error}


def _case(y: Any, z: Any, design: Any, **more: Any) -> Case:
    return Case(CopulaProblem(y, z, design, **more), answer=_answer)


def _gdp(n: int) -> Any:
    df = pd.read_csv(data_file("imf_weo", "gdp_2017_2019.csv"), index_col="country").dropna()
    return df.sort_values("gdp_2018", ascending=False).head(n)["gdp_2019"]


def _outcomes(n: int, seed: int | None) -> Any:
    return _gdp(n) if seed is None else np.round(np.random.default_rng(seed).lognormal(1.0, 1.0, n), 3)


def matched_pairs(n: int, seed: int | None = None, assignment: int = 1) -> Case:
    """Return n units in pairs of neighbours by size; countries unless a seed for outcomes is given."""
    y = _outcomes(n, seed)
    if seed is not None:
        y = np.sort(y)[::-1]
    first = np.random.default_rng(assignment).integers(0, 2, n // 2)
    z = np.column_stack([first, 1 - first]).ravel()
    return _case(y, z, MatchedPairs(np.repeat(np.arange(n // 2), 2)))


def complete(n: int, treated: int, seed: int | None = None, slack: float | None = None, assignment: int = 1) -> Case:
    """Return n units of which a given number is treated, completely at random."""
    z = np.zeros(n, dtype=int)
    z[np.random.default_rng(assignment).permutation(n)[:treated]] = 1
    return _case(_outcomes(n, seed), z, CompleteRandomization(treated), slack=slack)
