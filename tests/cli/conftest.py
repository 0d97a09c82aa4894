import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import causalopt as co
from causalopt.cli import app


@pytest.fixture
def run():
    """Call the command line in this process."""

    def call(*words, **more):
        return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "80"}, **more)

    return call


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def study(folder):
    """Covariates of three kinds, a treatment that depends on them, and an outcome, as study.csv."""
    rng = np.random.default_rng(5)
    n = 300
    df = pd.DataFrame(
        {
            "id": [f"p{i:03d}" for i in range(n)],
            "age": rng.normal(40, 10, n),
            "educ": rng.integers(8, 17, n),
            "race": rng.choice(["black", "white", "other"], n),
        }
    )
    df["treat"] = (df["age"] + 10 * (df["race"] == "black") + rng.normal(0, 15, n) > 45).astype(int)
    df["wage"] = 0.5 * df["age"] + 2 * df["treat"] + rng.normal(size=n)
    df["site"] = rng.choice(["n", "s"], n)
    df.to_csv(folder / "study.csv", index=False)
    return df


@pytest.fixture
def trial(folder):
    """A trial of 20 units in pairs, as trial.csv."""
    rng = np.random.default_rng(6)
    pair = np.repeat(np.arange(10), 2)
    z = co.MatchedPairs(pair).sample(1, seed=2)[0].astype(int)
    y = rng.normal(size=10)[pair] + 0.5 * rng.normal(size=20) + z
    df = pd.DataFrame({"pair": pair, "y": y, "t": z})
    df.to_csv(folder / "trial.csv", index=False)
    return df


@pytest.fixture
def panel(folder):
    """Five states over eight years, as panel.csv."""
    rng = np.random.default_rng(7)
    rows = [
        {"state": s, "year": 2000 + t, "sales": 10 + k + rng.normal() + t * (0.5 + 0.1 * k) - 3 * (k == 0 and t >= 6),
         "income": k + 0.1 * t}
        for k, s in enumerate("ABCDE") for t in range(8)
    ]  # fmt: skip
    df = pd.DataFrame(rows)
    df.to_csv(folder / "panel.csv", index=False)
    return df


@pytest.fixture
def factorial(folder):
    """Two factors that depend on covariates, as factorial.csv."""
    rng = np.random.default_rng(8)
    n = 400
    df = pd.DataFrame({"age": rng.normal(size=n), "race": rng.choice(["b", "w"], n)})
    for name in ("quit", "idle"):
        df[name] = (df["age"] + rng.logistic(size=n) > 0).astype(int)
    df["kg"] = df["age"] + 2 * df["quit"] - df["idle"] + rng.normal(size=n)
    df.to_csv(folder / "factorial.csv", index=False)
    return df
