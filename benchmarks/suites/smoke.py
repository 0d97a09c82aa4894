"""A look at every problem, small: whether each solver takes it and is right, and roughly how fast."""

from functools import partial

from causalopt.bench import Instance, Suite
from causalopt.problems.assignment import instances as assignment
from causalopt.problems.balance import instances as balance
from causalopt.problems.copula import instances as copula
from causalopt.problems.factorial import instances as factorial
from causalopt.problems.robust.z import instances as robust_z
from causalopt.problems.synthetic_control import instances as synthetic_control

SUITE = Suite(
    name="smoke",
    description="Every problem once or twice, small; planted and published optima. Under 90 s.",
    time_limit=2.0,
    memory_limit=2.0,
    repetitions=2,
    instances=[
        Instance(
            "lalonde-sbw", partial(balance.lalonde, "sbw"), "balance", size=429, paths=["dual-newton"],
            expected=balance.SBW_PACKAGE,
        ),
        Instance(
            "balance-planted-150", partial(balance.planted, 150, 5, 1), "balance", size=150, seed=1,
            paths=["dual-newton"],
        ),
        Instance("assignment-planted-20", partial(assignment.program, 20, 1), "assignment LP", size=20, seed=1),
        Instance(
            "concrete-20", partial(robust_z.concrete, 20), "robust Z", formulations=["fractional"], size=20,
            paths=["parametric", "greedy"], only={"fractional": ["highs", "parametric", "greedy"]},
            expected=robust_z.published(robust_z.CONCRETE, 20),
        ),
        Instance(
            "gdp-pairs-20", partial(copula.matched_pairs, 20), "copula", formulations=["rlt"], size=20,
            paths=["rearrangement", "alternating"],
        ),
        Instance(
            "california", synthetic_control.california, "synthetic control", size=38, paths=["active-set"],
            expected=synthetic_control.CALIFORNIA,
        ),
        Instance(
            "factorial-200", partial(factorial.simulation, 200, 1), "factorial", size=200, seed=1,
            paths=["dual-newton"],
        ),
    ],
)  # fmt: skip
