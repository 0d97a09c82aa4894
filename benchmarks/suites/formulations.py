"""The same problem written in every way, the source's own form included."""

from functools import partial

from causalopt.bench import Instance, Suite
from causalopt.problems.balance import instances as balance
from causalopt.problems.copula import instances as copula
from causalopt.problems.robust.z import instances as robust_z

COPULA = ("rlt", "convex", "mccormick", "rlt-dense", "quadratic")
ROBUST = ("fractional", "qip", "feasibility", "ilp-grid")
SOLVERS = ("highs", "scip", "gurobi")

SUITE = Suite(
    name="formulations",
    description="mccormick, rlt, convex, quadratic; fractional, qip, feasibility, ilp-grid side by side.",
    time_limit=60.0,
    memory_limit=6.0,
    repetitions=3,
    instances=[
        *(
            Instance(
                f"concrete-{n}", partial(robust_z.concrete, n), "robust Z", formulations=ROBUST, size=n,
                only={name: SOLVERS for name in ROBUST}, expected=robust_z.published(robust_z.CONCRETE, n),
            )
            for n in (20, 30, 44)
        ),
        *(
            Instance(
                f"gdp-pairs-{n}", partial(copula.matched_pairs, n), "copula, pairs", formulations=COPULA, size=n,
            )
            for n in (10, 20)
        ),
        *(
            Instance(
                f"gdp-complete-{n}", partial(copula.complete, n, n // 2), "copula, complete", formulations=COPULA,
                size=n,
            )
            for n in (8, 12, 16)
        ),
        Instance("balance-planted-150", partial(balance.planted, 150, 5, 1), "balance", size=150, seed=1),
    ],
)  # fmt: skip
