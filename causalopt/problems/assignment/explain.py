"""Assignments in plain words."""

from __future__ import annotations

import numpy as np

from causalopt.problems.assignment.result import AssignmentResult
from causalopt.solving.answer import explains
from causalopt.solving.explain import Words, explanation
from causalopt.solving.words import listing, plural, rounded_down, rounded_up


@explains(AssignmentResult)
def words(result: AssignmentResult) -> str:
    """Return what an assignment says of itself."""
    study = result.study
    rows, columns = result.unmatched
    least = "largest" if study.maximize else "least"
    solved = (
        f"Pairs of {least} total cost were chosen among {plural(study.graph.n_pairs, 'allowed pair')} of "
        f"{plural(study.n_rows, 'row')} and {plural(study.n_columns, 'column')}, each used at most once."
    )
    answer = (
        f"{plural(len(result.used), 'pair')} cost {result.total:.6g} in total. {plural(len(rows), 'row')} and "
        f"{plural(len(columns), 'column')} are in no pair."
    )
    silent = (
        "What it does not say: that the pairs are good ones, or that they are the only ones of this cost. Costs are "
        "taken as given."
    )
    return explanation(result, Words(solved, (answer,), (_potentials(result),), silent))


def _potentials(result: AssignmentResult) -> str:
    duals = result.duals
    if duals is None:
        return ""
    row, column, count = duals
    parts = []
    for name, potential in zip(result.study.names, (row, column), strict=True):
        if len(potential):
            at = int(np.argmax(np.abs(potential.to_numpy())))
            parts.append(f"{name} {potential.index[at]} ({potential.iloc[at]:.4g})")
    counted, maximize = result.study.is_counted, result.study.maximize
    text = (
        f"A price stands behind each unit: no allowed pair costs {'more' if maximize else 'less'} than the prices of "
        f"its two units{' and that of a pair' if counted else ''} together, and the pairs chosen cost just that. The "
        f"largest: {listing(parts)}."
    )
    if not counted:
        return text
    bound = f"at most {rounded_up(count, 4)}" if maximize else f"at least {rounded_down(count, 4)}"
    return f"{text} One more pair, where there is one, adds {bound} to the total: the price of a pair."
