"""Robust Z tests: the three real match graphs, and generated ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from causalopt.bench.running.real import data_file, part_of_causalopt
from causalopt.bench.running.suite import Case

#: Exact extremes by data and n: (largest, least), to the digits that are known.
CONCRETE = {20: (45.0152, 0.1237), 24: (35.7593, 1.1292), 30: (24.0619, 2.4919), 38: (15.4221, 4.1518),
            44: (9.2054, 5.4980)}  # fmt: skip
BIKE = {50: (8.7819, -26.2435), 88: (0.1245, -9.9233), 94: (-1.6176, -7.0907)}
ESHOP = {3800: (137.5578, -34.3448)}


def published(exact: dict[int, tuple[float, float]], n: int) -> dict[str, tuple[float, float]]:
    """Return what is expected of an n: the exact extremes."""
    return {"Z max": (exact[n][0], 6e-5), "Z min": (exact[n][1], 6e-5)}


def _answer(result: Any) -> dict[str, float]:
    return {"Z max": result.z_max, "Z min": result.z_min}


def _problem(treated: Any, control: Any, graph: Any, n: int) -> Case:
    robust_z = part_of_causalopt("causalopt.problems.robust.z.problem", "RobustZProblem")
    return Case(robust_z(treated, control, graph, pairs=n), answer=_answer)


def concrete(n: int) -> Case:
    """Return the concrete data: fly ash or none, 146 pairs."""
    import pandas as pd

    match_graph = part_of_causalopt("causalopt.study.match_graph", "match_graph")
    df = pd.read_csv(data_file("concrete", "concrete.csv"))
    df = df[(df["fly_ash"] >= 24.5) | (df["fly_ash"] == 0)]
    df = df.assign(treated=(df["fly_ash"] > 0).astype(int))
    calipers = {"cement": 30, "slag": 30, "water": 30, "superplasticizer": 20, "coarse_aggregate": 50,
                "fine_aggregate": 50, "age_days": 5}  # fmt: skip
    graph = match_graph(df, "treated", calipers=calipers)
    y = df["strength_mpa"]
    return _problem(y[df["treated"] == 1], y[df["treated"] == 0], graph, n)


def bike(n: int) -> Case:
    """Return the bike sharing data: misty or clear days, 326 pairs."""
    import pandas as pd

    match_graph = part_of_causalopt("causalopt.study.match_graph", "match_graph")
    df = pd.read_csv(data_file("bike_sharing", "day.csv"))
    df = df[df["weathersit"].isin([1, 2])]
    df = df.assign(
        treated=(df["weathersit"] == 2).astype(int),
        temp=(df["temp"] * 41).round(1),
        windspeed=(df["windspeed"] * 67).round(1),
        hum=(df["hum"] * 100).round(1),
    )
    calipers = {"temp": 2, "windspeed": 6, "hum": 6}
    graph = match_graph(df, "treated", exact=["season", "yr", "workingday"], calipers=calipers)
    return _problem(df["cnt"][df["treated"] == 1], df["cnt"][df["treated"] == 0], graph, n)


def eshop(n: int) -> Case:
    """Return the e-shop clickstream: top left or bottom left, 367,329 pairs in 722 strata."""
    import pandas as pd

    match_graph = part_of_causalopt("causalopt.study.match_graph", "match_graph")
    df = pd.read_csv(data_file("eshop_clickstream", "e-shop clothing 2008.csv.gz"), sep=";")
    df = df[df["location"].isin([1, 4])]
    df = df.assign(treated=(df["location"] == 1).astype(int))
    keys = ["month", "order", "country", "page 1 (main category)", "colour", "model photography", "page"]
    graph = match_graph(df, "treated", exact=keys)
    return _problem(df["price"][df["treated"] == 1], df["price"][df["treated"] == 0], graph, n)


def generated(units: int, seed: int = 0) -> Case:
    """Return two groups of equal size with one covariate, matched within a caliper; n is half the units."""
    import pandas as pd

    match_graph = part_of_causalopt("causalopt.study.match_graph", "match_graph")
    rng = np.random.default_rng(seed)
    treated = np.repeat([1, 0], units)
    x = np.round(rng.normal(size=2 * units), 3)
    y = np.round(x + 0.3 * treated + rng.normal(size=2 * units), 2)
    df = pd.DataFrame({"treated": treated, "x": x, "y": y})
    graph = match_graph(df, "treated", calipers={"x": 4.0 / units})
    return _problem(df["y"][df["treated"] == 1], df["y"][df["treated"] == 0], graph, units // 2)
