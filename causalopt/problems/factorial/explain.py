"""Factorial balancing weights in plain words."""

from __future__ import annotations

import numpy as np

from causalopt.problems.factorial.result import FactorialResult
from causalopt.solving.answer import explains
from causalopt.solving.explain import Words, explanation
from causalopt.solving.words import listing, plural


@explains(FactorialResult)
def words(result: FactorialResult) -> str:
    """Return what factorial weights say of themselves."""
    study = result.study
    factors, known = study.factors, study.known
    sets = "one set of weights for each effect" if study.separate else "one set of weights"
    solved = (
        f"{plural(len(result.weights), 'row')} were weighted as if {plural(factors.size, 'factor')} had been "
        f"randomized: {sets}, of least variance, balances {plural(len(study.names), 'covariate function')} on both "
        f"sides of {plural(len(known), 'effect')} ({listing(known)}). The outcome model: {study.model_words()}."
    )
    cells = result.cells()
    at = cells["effective sample size"].idxmin()
    answer = (
        f"{len(factors.observed):,} of {2**factors.size:,} treatment cells are observed. The weakest cell has an "
        f"effective sample size of {cells.loc[at, 'effective sample size']:,.1f} of {int(cells.loc[at, 'rows']):,} "
        "rows: its mean is known as well as from so many equally weighted rows."
    )
    zero = int(cells["zero weights"].sum())
    answer += f" {plural(zero, 'weight')} are zero." if zero else ""
    table = result.balance_table()
    balance = (
        f"The largest imbalance was {table['smd before'].abs().max():.3g} before weighting and is "
        f"{table['smd after'].abs().max():.3g} after."
        if len(table)
        else ""
    )
    unknown = f" Not identified by the observed cells, and left out: {listing(study.lost)}." if study.lost else ""
    silent = (
        "What it does not say: whether covariates outside the list are balanced, or whether the outcome model is "
        f"right: effects of terms that it leaves out go into the estimates.{unknown} The "
        "weights were chosen without any outcome."
    )
    return explanation(result, Words(solved, (answer, balance), (_binding(result),), silent))


def _binding(result: FactorialResult) -> str:
    if result.row_dual is None:
        return ""
    labels = result.study.row_labels()
    half = np.concatenate([s.half for s in result.study.sets])
    price = np.abs(result.row_dual) * (half > 0)
    order = np.argsort(-price, kind="stable")
    binding = [k for k in order if price[k] > 1e-9]
    if not (half > 0).any():
        return f"All {len(half):,} balance conditions are exact: none has a tolerance that could be tighter or looser."
    if not binding:
        return "No tolerance binds: all could be tighter without changing a weight."
    names = [f"{labels.loc[k, 'function']} ({labels.loc[k, 'effect']}{labels.loc[k, 'side']})" for k in binding]
    return (
        f"{len(binding):,} of {int((half > 0).sum()):,} tolerances bind, dearest first: {listing(names)}. A looser "
        "tolerance of these would make the weights less variable."
    )
