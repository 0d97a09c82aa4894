"""The conformance suite that every backend has to pass: product code, for backends of other distributions too.

    from causalopt.testing import run

    def test_conformance():
        report = run("mysolver", exclude={"nonconvex-clique": "no products of variables"})
        assert report, [(o.case.name, o.detail) for o in report.failures]

`python -m causalopt.testing mysolver` prints the same as a table.
"""

from causalopt.testing.case import FAMILIES, Case
from causalopt.testing.contract import breaches
from causalopt.testing.runner import Outcome, Report, Status, all_cases, missing, run, run_all, runnable

__all__ = [
    "FAMILIES",
    "Case",
    "Outcome",
    "Report",
    "Status",
    "all_cases",
    "breaches",
    "missing",
    "run",
    "run_all",
    "runnable",
]
