"""Why a slack is too small: the arm, stratum and value whose marginal cannot be met by whole units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import InfeasibleError
from causalopt.messages import argument
from causalopt.modeling.program import Floats
from causalopt.problems.copula.slack import Group

#: What the columns of the explanation say.
LEGEND = {
    "smallest slack": "that this arm and stratum alone need",
    "blocks": "whether that is more than was asked for",
    "value": "the outcome that is farthest off where the slack is smallest",
    "wants, gets": "how many units should have that outcome, and how many can",
}


def slack_table(groups: Sequence[Group], slack: float) -> pd.DataFrame:
    """Return, by arm and stratum, the smallest slack and the value that needs it.

    Columns: `missing outcome of arm` and `stratum`; `units` whose outcome is imputed; `smallest slack` of this arm and
    stratum alone; `blocks`, whether that is more than asked for; and, of the imputation that needs the least, the
    `value` that is farthest off, how many units should have it as the observed ones do (`wants`), and how many it can
    have (`gets`); where units weigh differently, both are sums of weights.
    """
    rows = []
    for group in groups:
        least, choice = group.smallest_slack
        wanted, found = _counts(group, choice)
        worst = int(np.abs(wanted - found).argmax())
        blocks = least > slack * (1 + 1e-9) + 1e-12
        value = float(group.values[worst])
        rows.append((group.arm, group.stratum, group.size, least, blocks, value, wanted[worst], found[worst]))
    names = ["missing outcome of arm", "stratum", "units", "smallest slack", "blocks", "value", "wants", "gets"]
    table = pd.DataFrame(rows, columns=names)
    table.attrs |= {"legend": LEGEND, "least": ["smallest slack"]}
    return table


def _counts(group: Group, choice: Any) -> tuple[Floats, Floats]:
    """Return what the observed units ask of each value, and what the imputation of the least slack gives it."""
    if group.equal:
        return group.target / float(group.weights[0]), np.asarray(choice, dtype=float)
    given = np.bincount(choice, weights=group.weights, minlength=len(group.values))
    return group.target, np.asarray(given, dtype=float)


def too_small(groups: Sequence[Group], slack: float) -> InfeasibleError:
    """Return the error for a slack below the smallest feasible one.

    It costs no more than the smallest slack itself: counting, or a small integer program for each arm and stratum whose
    units weigh differently.
    """
    table = slack_table(groups, slack)
    least = float(table["smallest slack"].max())
    row = table.loc[table["smallest slack"].idxmax()]
    where = f"outcome {row['missing outcome of arm']}" + ("" if row["stratum"] is None else f" in {row['stratum']!r}")
    why = (
        f" The {row['units']:,} units that lack {where} decide: the value {row['value']:.6g} should have "
        f"{row['wants']:.4g} of them and can have {row['gets']:.4g}."
        if groups[int(table["smallest slack"].idxmax())].equal
        else f" The {row['units']:,} units that lack {where} decide, at the value {row['value']:.6g}."
    )
    return InfeasibleError(
        f"No imputation keeps the marginals within a slack of {slack:g}: the smallest feasible slack is "
        f"{least:.10g}.{why} Use {argument('slack', 'smallest')}, or a number of at least that.",
        table,
    )
