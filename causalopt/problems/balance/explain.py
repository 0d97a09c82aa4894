"""Balancing weights in plain words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from causalopt.problems.balance.result import BalanceResult
from causalopt.problems.balance.tolerance import TightestTolerance
from causalopt.solving.answer import explains
from causalopt.solving.explain import Words, explanation
from causalopt.solving.words import listing, plural, wrapped
from causalopt.study.estimates import LEAST_SIZE, SMALL_SIZE, effective_size

TARGETS = {
    "ATT": "the treated",
    "ATC": "the untreated",
    "ATE": "the whole sample",
    "population": "the target population",
}
LEAST = {
    "l2": "the variance of the weights",
    "l1": "the mean absolute deviation of the weights",
    "linf": "the largest deviation of a weight",
}
#: The same where weights stay near others than equal ones.
NEAREST = {
    "l2": "the mean squared deviation of the weights",
    "l1": "the mean absolute deviation of the weights",
    "linf": "the largest deviation of a weight",
}


@explains(BalanceResult)
def words(result: BalanceResult) -> str:
    """Return what balancing weights say of themselves."""
    study = result.study
    groups = listing([f"{plural(g.size, 'unit')} (group {g.label})" for g in study.groups])
    solved = (
        f"Weights on {groups} were chosen so that the means of {plural(len(study.names), 'covariate function')} come "
        f"within their tolerances of {TARGETS[study.estimand]}, and {_least(result)} is least."
    )
    return explanation(
        result, Words(solved, (_sizes(result), _balance(result)), (_binding(result), _prices(result)), _silent(result))
    )


def _least(result: BalanceResult) -> str:
    given, norm = result.study.given, result.study.norm
    sampled, based = given.sampling_weights is not None, given.base_weights is not None
    if not (sampled or based):
        return LEAST[norm]
    text = f"{NEAREST[norm]} from the {'base' if based else 'sampling'} weights"
    return text + (", each square divided by the sampling weight," if sampled and norm == "l2" else "")


def _sizes(result: BalanceResult) -> str:
    sizes, table = result.effective_sample_size, result.study.groups
    kept = listing([f"{sizes[g.label]:,.1f} of {g.size:,} (group {g.label})" for g in table])
    none = sum(int((np.abs(result._of(g)) <= 1e-7).sum()) for g in table)
    text = (
        f"Effective sample size: {kept}. So many equally weighted units would give a mean as precise, where outcomes "
        "vary alike; the rest is the price of balance."
    )
    return text + (f" {plural(none, 'unit')} got no weight." if none else "") + _small(result)


def _small(result: BalanceResult) -> str:
    w, codes = result.weights.to_numpy(), result.study.codes
    sizes = {label: effective_size(w[codes == k]) for k, label in enumerate(result.study.levels)}
    small = [f"{size:.3g} (group {label})" for label, size in sizes.items() if size < SMALL_SIZE]
    if not small:
        return ""
    return (
        f" An effective sample size of {listing(small)} is small: the standard errors of estimates are themselves "
        f"uncertain, and normal intervals too short; below {LEAST_SIZE:g} there are none."
    )


def _balance(result: BalanceResult) -> str:
    table = result.balance_table()
    text = (
        f"The largest difference from the target was {table['smd before'].abs().max():.3g} before weighting and is "
        f"{table['smd after'].abs().max():.3g} after, in the unit of the tolerances."
    )
    if result.study.dropped:
        text += f" Exact balance of {listing(result.study.dropped)} follows from that of the others."
    return text


def _binding(result: BalanceResult) -> str:
    table = result.balance_table()
    active = table[table["active"]]
    if not len(active):
        return "No tolerance binds: all could be tighter without changing a weight."
    names = [str(key if isinstance(key, str) else f"{key[1]} (group {key[0]})") for key in active.index]
    return (
        f"{len(active):,} of {len(table):,} tolerances bind: {listing(names)}. The weighted means of these are as far "
        "from the target as they may be."
    )


def _prices(result: BalanceResult) -> str:
    duals = result.duals
    dear = duals[duals["price of 0.01"] > 1e-9]
    if not len(dear):
        return ""
    shown = [f"{row['covariate']}{_whose(row)} {row['price of 0.01']:.3g}" for _, row in dear.head(3).iterrows()]
    text = (
        "What 0.01 more tolerance would save, as a part of the cost of the weights and to first order: "
        f"{listing(shown)}."
    )
    free = len(duals) - len(dear)
    if free:
        text += f" {plural(free, 'tolerance')} cost nothing: those covariates are the cheapest to tighten."
    return text


def _whose(row: pd.Series) -> str:
    return f" (group {row['group']})" if "group" in row else ""


def _silent(result: BalanceResult) -> str:
    text = (
        "What it does not say: whether covariates that are not in the list are balanced, measured or not. The "
        "weights were chosen without any outcome; an effect estimated with them holds only if treatment is as good as "
        "random given the covariates."
    )
    if result.study.lower < 0:
        text += " Negative weights were allowed: they extrapolate beyond the units that are there."
    return text


@explains(TightestTolerance)
def tightest_words(found: TightestTolerance) -> str:
    """Return what was chosen, how exactly, and that no outcome was looked at."""
    low, high = found.bracket
    kept = ", ".join(f"{v:,.1f}" for v in found.effective_sample_size)
    wanted = ", ".join(f"{v:,.1f}" for v in found.wanted)
    what = (
        f"a tolerance of {found.tolerance:.4g} for every covariate"
        if found.vary == "common"
        else f"{found.tolerance:.4g} times the tolerances given"
    )
    how = (
        "Nothing is tighter."
        if high == 0
        else f"Anything at or below {low:.6g} is too tight; the answer is exact to the difference."
    )
    return wrapped(
        [
            f"The tightest tolerance that keeps an effective sample size of {wanted} is {what}: it keeps {kept}. {how} "
            f"{len(found.table):,} tolerances were tried. No outcome was looked at."
        ]
    )
