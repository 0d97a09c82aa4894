"""A look at every problem, small: whether each solver takes it and is right, and roughly how fast."""

from functools import partial

from causalopt.bench.instances import balance
from causalopt.bench.suite import Instance, Suite

SUITE = Suite(
    name="smoke",
    description="Every problem once or twice, small; planted and published optima.",
    time_limit=5.0,
    memory_limit=2.0,
    repetitions=2,
    instances=[
        Instance(
            "lalonde-sbw", partial(balance.lalonde, "sbw"), "balance", size=429, paths=["dual-newton"],
            expected=balance.SBW_PACKAGE,
        ),
        Instance(
            "balance-planted-300", partial(balance.planted, 300, 5, 1), "balance", size=300, seed=1,
            paths=["dual-newton"],
        ),
    ],
)  # fmt: skip
