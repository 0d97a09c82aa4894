"""Instances of the subset problem; `causalopt bench run subset` finds the suite here."""

import numpy as np
import pandas as pd

from causalopt.bench import Instance, Suite
from causalopt_subset.problem import SubsetProblem


def small(n: int) -> SubsetProblem:
    """Return n controls with two covariates."""
    controls = pd.DataFrame(np.random.default_rng(3).normal(size=(n, 2)), columns=["age", "income"])
    return SubsetProblem(controls, target=[0.5, 0.0], tolerance=0.1)


SUITE = Suite(
    name="subset",
    description="The largest balanced subset of controls.",
    solvers=["highs"],
    repetitions=1,
    time_limit=20.0,
    instances=[Instance(f"subset-{n}", lambda n=n: small(n), "subset", size=n) for n in (14, 30)],
)
