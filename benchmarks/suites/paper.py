"""The tables of the papers, as far as one data set tells them: the answer beside the published one.

The simulation of Kang and Schafer with its 1000 data sets is `python -m benchmarks.kang_schafer`.
"""

from functools import partial

from causalopt.bench import Instance, Suite
from causalopt.problems.balance import instances as balance
from causalopt.problems.copula import instances as copula
from causalopt.problems.factorial import instances as factorial
from causalopt.problems.robust.z import instances as robust_z
from causalopt.problems.synthetic_control import instances as synthetic_control

ROBUST = ("highs", "scip", "gurobi", "parametric", "greedy")

#: Optimum of the surrogate of the published quadratic program, largest side, concrete.
SURROGATE = {20: 13.3430, 22: 13.5547, 26: 15.2719}

SUITE = Suite(
    name="paper",
    description="The data sets and tables of the papers, with the published answers.",
    time_limit=60.0,
    memory_limit=6.0,
    repetitions=3,
    instances=[
        Instance(
            "lalonde-optweight", partial(balance.lalonde, "optweight"), "balance", size=429, paths=["dual-newton"],
            expected=balance.OPTWEIGHT,
        ),
        Instance(
            "lalonde-sbw", partial(balance.lalonde, "sbw"), "balance", size=429, paths=["dual-newton"],
            expected=balance.SBW_PACKAGE,
        ),
        Instance(
            "nsw-cps", balance.nsw_with_survey_controls, "balance", size=15992, paths=["dual-newton"],
            solvers=["highs", "scip", "cplex", "gurobi"],
        ),
        *(
            Instance(
                f"concrete-{n}", partial(robust_z.concrete, n), "robust Z", formulations=["fractional"], size=n,
                paths=["parametric", "greedy"], only={"fractional": ROBUST},
                expected=robust_z.published(robust_z.CONCRETE, n),
            )
            for n in robust_z.CONCRETE
        ),
        *(
            Instance(
                f"concrete-surrogate-{n}", partial(robust_z.concrete, n), "robust Z", formulations=["qip"], size=n,
                only={"qip": ("highs", "scip", "gurobi")}, expected={"Z max": (SURROGATE[n], 6e-5)},
            )
            for n in SURROGATE
        ),
        *(
            Instance(
                f"bike-{n}", partial(robust_z.bike, n), "robust Z", formulations=["fractional"], size=n,
                paths=["parametric", "greedy"], only={"fractional": ROBUST},
                expected=robust_z.published(robust_z.BIKE, n),
            )
            for n in robust_z.BIKE
        ),
        Instance(
            "eshop-3800", partial(robust_z.eshop, 3800), "robust Z", formulations=["fractional"], size=3800,
            paths=["parametric"], only={"fractional": ["highs", "parametric"]},
            expected=robust_z.published(robust_z.ESHOP, 3800),
        ),
        Instance(
            "gdp-pairs-50", partial(copula.matched_pairs, 50), "copula", formulations=["rlt"], size=50,
            paths=["rearrangement", "alternating"],
        ),
        Instance(
            "gdp-complete-50", partial(copula.complete, 50, 25), "copula", formulations=["convex"], size=50,
            paths=["rearrangement", "alternating"],
        ),
        Instance(
            "gdp-complete-20-of-50", partial(copula.complete, 50, 20, None, 0.05), "copula", formulations=["convex"],
            size=50, paths=["alternating"],
        ),
        *(
            Instance(
                f"factorial-{model}-500", partial(factorial.simulation, 500, 1, model), "factorial", size=500, seed=1,
                paths=["dual-newton"],
            )
            for model in ("additive", "heterogeneous")
        ),
        Instance(
            "germany", synthetic_control.germany, "synthetic control", size=16, paths=["active-set"],
            expected=synthetic_control.GERMANY,
        ),
        Instance(
            "germany-elastic-net",
            partial(synthetic_control.germany, "elastic-net", lam=2517.62, alpha=0.5), "synthetic control", size=16,
            paths=["active-set"], expected=synthetic_control.ELASTIC_NET,
        ),
        Instance(
            "california", synthetic_control.california, "synthetic control", size=38, paths=["active-set"],
            expected=synthetic_control.CALIFORNIA,
        ),
    ],
)  # fmt: skip
