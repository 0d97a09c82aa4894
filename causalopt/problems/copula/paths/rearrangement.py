"""Worst-case copulas in closed form, by the rearrangement inequality (Hardy, Littlewood and Polya 1934)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from causalopt.modeling.program import Floats, Ints


def complete(outcome: Floats, choices: Ints, ascending: Ints) -> Ints:
    """Return the isotone copula: the unit with the r-th smallest outcome gets the r-th smallest of the given values.

    It maximises the variance of the difference in means under complete randomization with equal arms, where both
    marginals are matched exactly (Aronow, Green and Lee 2014): the variance is that of Y(1) + Y(0) up to a factor.

    Parameters
    ----------
    outcome : (r,) array
        Observed outcomes of the units of one arm.
    choices : (r,) int array
        Value numbers to hand out, as often as each is to be used.
    ascending : (K,) int array
        Rank of each value number.
    """
    result = np.empty(len(outcome), dtype=np.int64)
    result[np.argsort(outcome, kind="stable")] = choices[np.argsort(ascending[choices], kind="stable")]
    return result


def matched_pairs(difference: Floats, for_treated: Ints, for_control: Ints) -> tuple[Ints, Ints]:
    """Return the worst-case copula of matched pairs with exactly matched marginals.

    With d the observed difference (treated minus untreated) of a pair, v the imputed untreated outcome of its treated
    unit and u the imputed treated outcome of its untreated unit, the variance is proportional to  sum (d + v - u)^2.
    The sums of squares are fixed; each of the three cross terms d v, -d u and -v u is largest where v ascends and u
    descends with d, by the rearrangement inequality.

    Parameters
    ----------
    difference : (P,) array
        d of each pair.
    for_treated, for_control : (P,) int arrays
        Value numbers to hand out as v and u, ascending.

    Returns
    -------
    v, u : (P,) int arrays
        Value numbers by pair.
    """
    order = np.argsort(difference, kind="stable")
    v, u = np.empty(len(order), dtype=np.int64), np.empty(len(order), dtype=np.int64)
    v[order] = for_treated
    u[order] = for_control[::-1]
    return v, u


def transport(gain: Floats, lower: Floats, upper: Floats) -> tuple[Ints, Floats, Floats]:
    """Choose one value a unit, each value within bounds on its count, so that the total gain is largest.

    A transportation problem: with whole bounds its linear program has whole vertices.

    Parameters
    ----------
    gain : (r, K) array
    lower, upper : (K,) arrays of whole numbers

    Returns
    -------
    choice : (r,) int array
    unit_dual : (r,) array
        Derivative of the largest gain with respect to each unit's row (one value a unit).
    value_dual : (K,) array
        The same for the bound of each value that binds.
    """
    r, k = gain.shape
    once = sp.kron(sp.eye(r), np.ones((1, k)), format="csr")
    counts = sp.kron(np.ones((1, r)), sp.eye(k), format="csr")
    answer = linprog(
        -gain.ravel(),
        A_ub=sp.vstack([counts, -counts]),
        b_ub=np.concatenate([upper, -lower]),
        A_eq=once,
        b_eq=np.ones(r),
        bounds=(0, 1),
        method="highs-ds",
    )
    if answer.status != 0:
        raise ArithmeticError(f"the transportation problem was not solved: {answer.message}")
    choice = np.asarray(answer.x).reshape(r, k).argmax(axis=1)
    above, below = answer.ineqlin.marginals[:k], answer.ineqlin.marginals[k:]
    return choice, -answer.eqlin.marginals, -above + below
