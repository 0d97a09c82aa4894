"""What is known of Pyomo's solvers, for the backend that calls them."""

from __future__ import annotations

import dataclasses
from typing import Any

from causalopt.modeling.program import ProblemClass

LINEAR = frozenset({ProblemClass.LP, ProblemClass.MILP})
CONTINUOUS = frozenset({ProblemClass.LP, ProblemClass.CONVEX_QP, ProblemClass.NONCONVEX_QP})


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of one of Pyomo's solvers.

    `engine` is the causalopt backend of the same solver, `gap`, `threads` and `seed` are its names for these options,
    `time` that of the time limit where Pyomo's interface drops the one it is given. `local` says that its "optimal" and
    "infeasible" hold near a point only.
    """

    classes: frozenset[ProblemClass] = frozenset(ProblemClass)
    engine: str = ""
    gap: str = ""
    threads: str = ""
    seed: str = ""
    time: str = ""
    local: bool = False
    log: bool = True
    open_source: bool = False
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    exclude: dict[str, str] = dataclasses.field(default_factory=dict)


_HIGHS = Known(  # another number of threads is refused from the second solve of a process on
    LINEAR | {ProblemClass.CONVEX_QP},
    engine="highs",
    gap="mip_rel_gap",
    seed="random_seed",
    open_source=True,
    options={"mip_feasibility_tolerance": 1e-9},
)
_SCIP = Known(
    engine="scip",
    gap="limits/gap",
    seed="randomization/randomseedshift",
    open_source=True,
    log=False,  # Pyomo reads what SCIP prints through a pipe, and waits for ever once that is full
    # below 1e-7 SCIP prints a line for each LP that it solves again with tolerances of a thousandth
    options={"numerics/feastol": 1e-7, "display/verblevel": 0},
    exclude=dict.fromkeys(
        ("qp-dense", "maximise-concave-qp"), "the epigraph of the cost, not scaled, does not close the gap in a minute"
    ),
)
_GUROBI = Known(
    engine="gurobi",
    gap="MIPGap",
    threads="Threads",
    seed="Seed",
    time="TimeLimit",
    options={"FeasibilityTol": 1e-9, "OptimalityTol": 1e-9, "IntFeasTol": 1e-9, "BarConvTol": 1e-10},
)
_CPLEX = Known(  # a nonconvex objective needs optimalitytarget=3, which would slow down all others
    LINEAR | {ProblemClass.CONVEX_QP, ProblemClass.CONVEX_MIQP},
    engine="cplex",
    gap="mip_tolerances_mipgap",
    threads="threads",
    seed="randomseed",
    time="timelimit",
    options={
        "simplex_tolerances_feasibility": 1e-9,
        "mip_tolerances_integrality": 1e-9,
        "barrier_convergetol": 1e-10,
        "barrier_qcpconvergetol": 1e-9,
    },
)
_LOCAL = Known(CONTINUOUS, local=True)
_IPOPT = Known(
    CONTINUOUS, time="max_cpu_time", local=True, open_source=True, options={"tol": 1e-9, "bound_relax_factor": 0.0}
)
SOLVERS = {
    "highs": _HIGHS,
    "appsi_highs": dataclasses.replace(_HIGHS, classes=LINEAR),
    "cbc": Known(LINEAR, gap="ratioGap", threads="threads", seed="randomCbcSeed", open_source=True),
    "glpk": Known(LINEAR, gap="mipgap", seed="seed", open_source=True),
    "scip": _SCIP,
    "scip_direct": _SCIP,
    "gurobi": _GUROBI,
    "gurobi_direct": _GUROBI,
    "gurobi_direct_v2": _GUROBI,
    "gurobi_direct_minlp": _GUROBI,
    "appsi_gurobi": _GUROBI,
    "cplex_direct": _CPLEX,
    "ipopt": _IPOPT,
    "ipopt_v2": _IPOPT,
    "cyipopt": _IPOPT,
    **dict.fromkeys(("conopt", "snopt", "minos", "loqo", "knitro", "knitro_direct", "knitroampl"), _LOCAL),
}
