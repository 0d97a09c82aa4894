"""What the lane costs beside the solvers' own interfaces and beside other modelling packages, on the same program."""

from functools import partial

from causalopt.bench import Instance, Suite
from causalopt.problems.assignment import instances as assignment
from causalopt.problems.balance import instances as balance

SUITE = Suite(
    name="overhead",
    description="Beside raw highspy, gurobipy, cplex, PySCIPOpt, Pyomo's interfaces, linopy, cvxpy and SciPy.",
    solvers=[
        "highs", "raw:highs", "linopy", "cvxpy", "scipy", "pyomo:highs", "scip", "raw:scip", "gurobi", "raw:gurobi",
        "cplex", "raw:cplex",
    ],
    time_limit=60.0,
    memory_limit=8.0,
    repetitions=5,
    instances=[
        Instance("balance-planted-150", partial(balance.planted, 150, 5, 1), "balance", size=150, seed=1),
        Instance("balance-2048", partial(balance.generated, 2_343, 20), "balance", size=2_048, seed=0),
        Instance("balance-17000", partial(balance.generated, 20_000, 20), "balance", size=17_000, seed=0),
        Instance("assignment-25", partial(assignment.program, 25), "assignment LP", size=25, seed=0),
        Instance("assignment-100", partial(assignment.program, 100), "assignment LP", size=100, seed=0),
        Instance("assignment-300", partial(assignment.program, 300), "assignment LP", size=300, seed=0),
    ],
)  # fmt: skip
