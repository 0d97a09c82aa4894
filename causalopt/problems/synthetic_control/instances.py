"""Synthetic controls: German reunification, Proposition 99, and generated panels."""

from __future__ import annotations

from typing import Any

import numpy as np

from causalopt.bench.running.real import data_file, part_of_causalopt
from causalopt.bench.running.suite import Case

GERMANY = {
    "Austria": (0.3232, 6e-5), "USA": (0.3426, 6e-5), "Switzerland": (0.1079, 6e-5), "Greece": (0.0988, 6e-5),
    "Italy": (0.0612, 6e-5), "France": (0.0385, 6e-5), "Norway": (0.0277, 6e-5), "SSR": (111061.058, 1e-3),
    "ATT": (-1297.48, 6e-3),
}  # fmt: skip
ELASTIC_NET = {
    "intercept": (297.0, 0.06), "Austria": (0.27, 0.006), "Belgium": (0.03, 0.006), "France": (0.05, 0.006),
    "Greece": (0.13, 0.006), "Italy": (0.28, 0.006), "Netherlands": (0.01, 0.006), "New Zealand": (-0.04, 0.006),
    "Norway": (0.09, 0.006), "Spain": (-0.06, 0.006), "Switzerland": (0.01, 0.006), "USA": (0.25, 0.006),
}  # fmt: skip
CALIFORNIA = {
    "Utah": (0.3939, 6e-5), "Montana": (0.2318, 6e-5), "Nevada": (0.2049, 6e-5), "Connecticut": (0.1091, 6e-5),
    "SSR": (52.13, 6e-3), "ATT": (-19.5136, 6e-5),
}  # fmt: skip


def _answer(result: Any) -> dict[str, float]:
    published = {*GERMANY, *ELASTIC_NET, *CALIFORNIA}
    named = {str(name): float(value) for name, value in result.weights.items() if name in published}
    found = {"ATT": result.att, "SSR": result.fit["ssr"].iloc[0], **named}
    if result.intercept is not None:
        found["intercept"] = float(result.intercept)
    return found


def _problem(*arguments: Any, **more: Any) -> Case:
    problem = part_of_causalopt("causalopt.problems.synthetic_control.problem", "SyntheticControlProblem")
    return Case(problem(*arguments, **more), answer=_answer)


def germany(weights: str = "simplex", **more: Any) -> Case:
    """Return West Germany's GDP before reunification, sixteen donors."""
    import pandas as pd

    df = pd.read_csv(data_file("germany", "repgermany.csv"))
    return _problem(df, "West Germany", 1990, unit="country", time="year", outcome="gdp", weights=weights, **more)


def california() -> Case:
    """Return California's cigarette sales before Proposition 99, 38 donors."""
    import pandas as pd

    df = pd.read_csv(data_file("prop99", "smoking.csv"))
    return _problem(df, "California", 1989, unit="state", time="year", outcome="cigsale")


def generated(donors: int, times: int = 40, seed: int = 0) -> Case:
    """Return a panel of two common factors and own noise."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    factors = 1 + rng.normal(size=(times, 2)).cumsum(axis=0) / 4
    values = 5 + factors @ rng.uniform(0.2, 1.5, (2, donors + 1)) + rng.normal(size=(times, donors + 1)) / 8
    panel = pd.DataFrame(values, columns=[f"u{j}" for j in range(donors + 1)])
    case = _problem(panel, "u0", times - 10)
    return Case(case.problem, answer=lambda result: {"ATT": result.att})
