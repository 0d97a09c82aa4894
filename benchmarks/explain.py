"""Why tolerances cannot be met: one live linear program, against a program of its own for each question.

Run: python -m benchmarks.explain [--rows 8000] [--covariates 20]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from rich.console import Console
from rich.table import Table

import causalopt as co
from causalopt.modeling.program import Floats, Program
from causalopt.problems.balance.elastic import Elastic, Part, parts
from causalopt.solving.elastic import least_relaxation


def problem(rows: int, covariates: int, shifted: int, by: float, upper: float) -> co.BalanceProblem:
    """Return a study whose treated are too far from the controls in some covariates, for a tolerance of 0.01."""
    rng = np.random.default_rng(0)
    treated = np.repeat([0, 1], [rows, rows // 8])
    x = rng.normal(size=(len(treated), covariates))
    x[:, :shifted] += by * treated[:, None]
    return co.BalanceProblem(x, treated, tolerance=0.01, upper=upper)


def live(part: Part) -> tuple[Floats, Floats]:
    """Return the smallest extra tolerance of each covariate alone, and the bounds on the weights that would do."""
    with Elastic(part) as asked:
        alone = [asked.alone(k) for k in range(len(part.tolerance))]
        return np.array(alone), np.array([asked.bound(side) for side in sides(part)])


def from_scratch(part: Part) -> tuple[Floats, Floats]:
    """Return the same by a linear program for each, in which the bounds on the weights are rows."""
    (block,) = part.whole_blocks()
    p, n = len(part.tolerance), block.data.shape[1]
    own = {"lower": part.study.lower, "upper": part.study.upper}
    program = Program.from_arrays(np.zeros(n), block.data, block.lower, block.upper, *own.values())
    give = sp.csr_matrix((block.factor, (np.arange(p), np.arange(p))), shape=(program.n_rows, p))
    alone = []
    for k in range(p):
        found = least_relaxation(program, give, upper=np.where(np.arange(p) == k, np.inf, 0.0), solver="highs")
        alone.append(np.inf if found is None else found.extra[k])
    bounds = []
    for side in sides(part):
        open_side = -np.inf if side == "lower" else np.inf
        wide = Program.from_arrays(
            np.zeros(n),
            sp.vstack([program.A, sp.eye_array(n)], format="csr"),
            np.concatenate([block.lower, np.full(n, own["lower"] if side == "lower" else -np.inf)]),
            np.concatenate([block.upper, np.full(n, own["upper"] if side == "upper" else np.inf)]),
            **(own | {side: open_side}),
        )
        found = least_relaxation(wide, np.repeat([0.0, 1.0], [program.n_rows, n])[:, None], solver="highs")
        sign = -1.0 if side == "lower" else 1.0
        bounds.append(open_side if found is None else own[side] + sign * found.total)
    return np.array(alone), np.array(bounds)


def sides(part: Part) -> list[str]:
    """Return which bounds on the weights there are to give way."""
    return [side for side in ("upper", "lower") if np.isfinite(getattr(part.study, side))]


def seconds(run: Callable[[Part], tuple[Floats, Floats]], part: Part) -> tuple[float, tuple[Floats, Floats]]:
    start = time.perf_counter()
    answer = run(part)
    return time.perf_counter() - start, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8000, help="units that are weighted")
    parser.add_argument("--covariates", type=int, default=20)
    arguments = parser.parse_args()
    table = Table(title=f"{arguments.rows:,} units, {arguments.covariates} covariates: seconds for the explanation")
    for name in ("instance", "a program each", "one live program", "ratio", "alone that do", "largest difference"):
        table.add_column(name, justify="left" if name == "instance" else "right")
    for shifted, by, upper in ((1, 3.2, np.inf), (5, 2.2, np.inf), (arguments.covariates, 1.5, np.inf), (1, 3.2, 5.0)):
        (part,) = parts(problem(arguments.rows, arguments.covariates, shifted, by, upper).study, "highs")
        after, new = seconds(live, part)
        before, old = seconds(from_scratch, part)
        a, b = np.concatenate(new), np.concatenate(old)
        assert (np.isfinite(a) == np.isfinite(b)).all()
        both = np.isfinite(a)
        difference = float(np.abs(a[both] - b[both]).max(initial=0.0))
        what = f"{shifted} shifted by {by:g} sd" + (f", upper={upper:g}" if np.isfinite(upper) else "")
        table.add_row(
            what, f"{before:.2f}", f"{after:.2f}", f"{before / after:.0f}", f"{np.isfinite(new[0]).sum()}",
            f"{difference:.0e}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
