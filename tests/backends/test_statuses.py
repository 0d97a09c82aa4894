"""Every status that a solver can end with is mapped, one by one."""

from __future__ import annotations

import re

import pytest

from causalopt.verifying.claims import Reason

#: CPLEX's statuses of what causalopt never calls: relaxing, conflicts, populating, Benders, several objectives.
NEVER = re.compile("relaxed|conflict|populate|benders|multiobj|unknown")


def test_all_of_gurobis_are_mapped():
    gurobipy = pytest.importorskip("gurobipy", reason="gurobipy is not installed")
    from causalopt_gurobi import _TERMINATIONS

    assert {name for name in dir(gurobipy.GRB.Status) if name.isupper()} == set(_TERMINATIONS)


def test_all_of_cplexes_that_can_come_up_are_mapped():
    cplex = pytest.importorskip("cplex", reason="cplex is not installed")
    from causalopt_cplex import _TERMINATIONS

    with cplex.Cplex() as model:
        names = {n: word for word, n in vars(type(model.solution.status)).items() if isinstance(n, int)}
    assert len(names) > 60
    assert not [word for n, word in names.items() if n not in _TERMINATIONS and not NEVER.search(word)]
    for n, word in names.items():
        if n in _TERMINATIONS:
            proven = _TERMINATIONS[n].reason in (Reason.OPTIMAL, Reason.INFEASIBLE)
            assert proven == (word in {
                "optimal", "infeasible", "MIP_optimal", "optimal_tolerance", "MIP_infeasible"
            })  # fmt: skip


def test_all_of_scips_are_mapped():
    pyscipopt = pytest.importorskip("pyscipopt", reason="pyscipopt is not installed")
    from causalopt_scip import _TERMINATIONS

    names = {name.lower() for name in dir(pyscipopt.SCIP_STATUS) if name.isupper()}
    assert len(names) > 12 and names <= set(_TERMINATIONS)


def test_all_of_pyomos_are_mapped():
    from causalopt_pyomo import _TERMINATIONS
    from pyomo.opt import TerminationCondition

    assert {str(condition) for condition in TerminationCondition} == set(_TERMINATIONS)


@pytest.mark.parametrize("module", ["gurobi", "cplex", "scip", "pyomo"])
def test_nothing_but_a_proof_is_mapped_to_one(module):
    pytest.importorskip({"gurobi": "gurobipy", "scip": "pyscipopt"}.get(module, module))
    terminations = __import__(f"causalopt_{module}")._TERMINATIONS
    for name, termination in terminations.items():
        assert termination.reason is not Reason.UNBOUNDED, name  # that needs a feasible point too
        if termination.reason in (Reason.OPTIMAL, Reason.INFEASIBLE):
            assert termination.limit.value == "none", name
