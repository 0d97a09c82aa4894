"""Small random match graphs with their matchings by enumeration, and the real graphs of the robust tests."""

from functools import cache

import numpy as np
import pandas as pd

import causalopt as co

CONCRETE_CALIPERS = {
    "cement": 30,
    "slag": 30,
    "water": 30,
    "superplasticizer": 20,
    "coarse_aggregate": 50,
    "fine_aggregate": 50,
    "age_days": 5,
}
ESHOP_KEYS = ["month", "order", "country", "page 1 (main category)", "colour", "model photography", "page"]


def concrete(folder):
    df = pd.read_csv(folder / "concrete" / "concrete.csv")
    df = df[(df["fly_ash"] == 0) | (df["fly_ash"] >= 24.5)]
    return df.assign(ash=(df["fly_ash"] > 0).astype(int)), {
        "outcome": "strength_mpa",
        "treatment": "ash",
        "calipers": CONCRETE_CALIPERS,
    }


def bike(folder):
    df = pd.read_csv(folder / "bike_sharing" / "day.csv")
    df = df.assign(temperature=df["temp"] * 41, wind=df["windspeed"] * 67, humidity=df["hum"] * 100)
    return df, {
        "outcome": "cnt",
        "treatment": "weathersit",
        "treated": 2,
        "control": 1,
        "exact": ["season", "yr", "workingday"],
        "calipers": {"temperature": 2, "wind": 6, "humidity": 6},
        "rounding": 1,
    }


def eshop(folder):
    df = pd.read_csv(folder / "eshop_clickstream" / "e-shop clothing 2008.csv.gz", sep=";")
    return df, {"outcome": "price", "treatment": "location", "treated": 1, "control": 4, "exact": ESHOP_KEYS}


@cache
def problem_of(case, folder):
    df, arguments = case(folder)
    arguments = dict(arguments)
    outcome = df[arguments.pop("outcome")]
    graph = co.match_graph(df, **arguments)
    return co.RobustZProblem(outcome, outcome, graph, pairs=2)


def matchings(allowed):
    """All matchings of a boolean matrix, as tuples of (row, column)."""
    found = []

    def extend(row, columns, pairs):
        if row == len(allowed):
            found.append(pairs)
            return
        extend(row + 1, columns, pairs)
        for column in np.flatnonzero(allowed[row]).tolist():
            if column not in columns:
                extend(row + 1, columns | {column}, (*pairs, (row, column)))

    extend(0, frozenset(), ())
    return found


def extremes(treated, control, allowed):
    """Least and largest Z by n, over all matchings, from whole-numbered outcomes and so without rounding."""
    best = {}
    for pairs in matchings(allowed):
        n = len(pairs)
        if n < 2:
            continue
        d = [int(treated[i]) - int(control[j]) for i, j in pairs]
        s, spread = sum(d), n * sum(x * x for x in d) - sum(d) ** 2
        z = 0.0 if s == 0 else np.sign(s) * np.inf if spread == 0 else s / np.sqrt(spread / n)
        low, high = best.get(n, (np.inf, -np.inf))
        best[n] = min(low, z), max(high, z)
    return best


def random_study(seed):
    """A DataFrame of up to 6 + 6 units with an exact key, a caliper, ties, zeros and negative differences."""
    rng = np.random.default_rng(seed)
    t, c = rng.integers(2, 7, 2)
    span = int(rng.choice([1, 2, 5, 20, 1000]))
    shift = int(rng.choice([0, 0, span, 3 * span, -2 * span]))
    y = np.concatenate([rng.integers(-span, span + 1, t) + shift, rng.integers(-span, span + 1, c)])
    df = pd.DataFrame(
        {
            "t": np.repeat([1, 0], [t, c]),
            "key": rng.integers(0, rng.choice([1, 1, 2, 3]), t + c),
            "x": rng.integers(0, 6, t + c),
            "y": y,
        }
    )
    df.index = [f"u{k}" for k in rng.permutation(len(df))]
    caliper = int(rng.choice([1, 2, 5]))
    treated, control = df[df["t"] == 1], df[df["t"] == 0]
    allowed = (treated["key"].to_numpy()[:, None] == control["key"].to_numpy()) & (
        np.abs(treated["x"].to_numpy()[:, None] - control["x"].to_numpy()) <= caliper
    )
    return df, caliper, allowed


def same(z, expected):
    return z == expected or abs(z - expected) <= 1e-9 * max(1.0, abs(expected))
