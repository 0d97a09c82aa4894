"""Tables 1 to 4 of the causal-bootstrap paper on the 50 largest economies: coverage, median width and power.

Run: python -m benchmarks.copula_tables [RUNS] [FILE]     (FILE keeps finished batches: run again to resume)
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pandas as pd
from rich.console import Console

from causalopt.console.showing import show_grid as show
from causalopt.problems.copula.bootstrap.simulation import simulate, tables

#: Growth that turns 2018 GDP into a prediction of 2019 GDP; fitted to the paper's row, see REFERENCE.md.
GROWTH = 1.0725

#: Median widths of the paper: (design, covariate) -> method -> width.
PUBLISHED = {
    ("complete", False): {"true": 3574, "conservative": 3991, "isotone": 3348, "optimal": 3348, "sampling": 3967},
    ("pairs", False): {"true": 762, "conservative": 1152, "isotone": 44, "optimal": 2233, "sampling": 4110},
    ("complete", True): {"true": 142, "optimal": 133},
    ("pairs", True): {"true": 46, "optimal": 102},
}


def economies() -> pd.DataFrame:
    folder = Path(os.environ.get("CAUSALOPT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    df = pd.read_csv(folder / "imf_weo" / "gdp_2017_2019.csv", index_col="country").dropna()
    return df.sort_values("gdp_2018", ascending=False).head(50)


def main(runs: int = 1_000, path: str | None = None) -> None:
    console = Console(width=120)
    df = economies()
    began = time.perf_counter()
    table = simulate(df["gdp_2019"], GROWTH * df["gdp_2018"], runs=runs, path=path)
    elapsed = time.perf_counter() - began
    for name, cells in tables().items():
        keys = {(c.design, c.predicted, c.effect, c.size) for c in cells}
        part = table[[key[:4] in keys for key in table.index]].drop(columns="runs")
        show(console, part, f"Table {name}")
    for (design, covariate), widths in PUBLISHED.items():
        for method, width in widths.items():
            ours = table.loc[(design, covariate, "none", 0.0, method), "median width"]
            console.print(
                f"{design:9} {'with' if covariate else 'no':4} covariate {method:13} {ours:9.1f}   published {width:5} "
                f"{100 * (ours / width - 1):+.1f}%"
            )
    console.print(f"{runs:,} runs a row, {len(table) // 5} rows, {elapsed:.0f} s on {os.cpu_count()} processors")


if __name__ == "__main__":
    main(*(int(a) if a.isdigit() else a for a in sys.argv[1:]))
