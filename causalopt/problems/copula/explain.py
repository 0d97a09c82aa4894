"""Worst-case variances in plain words."""

from __future__ import annotations

from causalopt.errors import DataError
from causalopt.problems.copula.data import Study
from causalopt.problems.copula.result import CopulaResult
from causalopt.problems.copula.slack import validity_probability
from causalopt.solving.answer import explains
from causalopt.solving.explain import Words, explanation
from causalopt.solving.words import plural


@explains(CopulaResult)
def words(result: CopulaResult) -> str:
    """Return what a worst-case variance says of itself."""
    study = result.problem.study
    treated = int(study.treated.sum())
    solved = (
        f"Of every way to fill in the missing outcome of {plural(len(study), 'unit')} ({treated:,} "
        f"treated), one was sought under which the estimator ({study.estimator}) varies most under the "
        f"design ({study.design})."
    )
    answer = (
        f"The estimate is {result.estimate:.6g}. Its largest variance is {result.variance:.6g}, a standard error of "
        f"{result.standard_error:.6g}."
    )
    if not result.is_optimal:
        answer += (
            f" No imputation exceeds a variance of {result.variance_bound:.6g}; interval() uses that bound."
            if result.bound is not None
            else " Nothing says how much larger the variance could be."
        )
    if not study.objective.exact:
        answer += f" The covariance of the design was simulated from {study.objective.draws:,} assignments."
    smallest = study.smallest_slack
    where = "that is the smallest feasible" if study.slack <= smallest else f"the smallest feasible is {smallest:.6g}"
    binds = (
        f"What binds is the slack of {study.slack:.6g} ({where}): by how much the imputed outcomes of an arm may be "
        "distributed otherwise than its observed ones. A larger slack can only raise the variance."
    )
    silent = (
        "What it does not say: what the missing outcomes are, which nobody knows; or how much of the variance they "
        f"cause. The true outcomes satisfy the constraints with probability at least {_probability(study)}."
    )
    return explanation(result, Words(solved, (answer,), (binds,), silent))


def _probability(study: Study) -> str:
    try:
        least = validity_probability(study.design, study.slack, len(study))
        return f"{least:.3g} (a bound of use for large experiments only)"
    except DataError:  # no bound is known for the design
        return "0: no bound is known for this design"
