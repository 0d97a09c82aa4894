"""Factorial balancing weights: the published simulation."""

from __future__ import annotations

from typing import Any

import numpy as np

from causalopt.bench.running.real import part_of_causalopt
from causalopt.bench.running.suite import Case

#: Logit coefficients of the three factors.
BETAS = np.array([[1, 2, 0, 3, 4], [3, 4, 4, 0, 2], [4, 0, 3, 2, 1]]) / 4.0


def simulation(n: int, seed: int = 0, outcome_model: str = "additive") -> Case:
    """Return one data set of the simulation: five covariates, three confounded factors."""
    import pandas as pd

    problem = part_of_causalopt("causalopt.problems.factorial.problem", "FactorialBalanceProblem")
    rng = np.random.default_rng(seed)
    x = rng.normal(loc=[0.1, 0.1, 0.1, 0.0, 0.0], size=(n, 5))
    z = (rng.random((n, 3)) < 1 / (1 + np.exp(-x @ BETAS.T))).astype(int)
    y = 2 * x.sum(axis=1) + z.sum(axis=1) + rng.normal(size=n)
    covariates = pd.DataFrame(x, columns=[f"x{j}" for j in range(1, 6)])
    factors = pd.DataFrame(z, columns=["z1", "z2", "z3"])

    def answer(result: Any) -> dict[str, float]:
        w = result.weights.to_numpy()
        signs = 2 * z - 1
        return {f"effect of z{k + 1}": float((w * signs[:, k]) @ y) / n for k in range(3)}

    return Case(problem(covariates, factors, outcome_model=outcome_model), answer=answer)
