"""The greedy search for extremes of the robust Z statistic: a heuristic, fast and sometimes far off.

Islam, Morshed and Noor-E-Alam (2022), A computational framework for solving nonlinear binary optimization problems in
robust causal inference, INFORMS Journal on Computing 34:3023, algorithms 1 to 4. The pairs are sorted by difference,
and for the largest Z the largest differences, for the least Z the least, are taken as long as both units are free. It
departs from the source where that slips: pairs of difference zero stay in the list; the loop ends at n pairs; where
the list ends before n pairs are found, an assignment of exactly n pairs with the largest (least) sum stands in (the
source's case 3, with its sign and its number of pairs put right), and Z is computed from the pairs. It is not exact
under exact matching either, other than proposition 4.3 says: two treated (0, 1) and two controls (10, 13) give -7.78
greedily, and -15.56 at best.
"""

from __future__ import annotations

import numpy as np

from causalopt.algorithms.flow_simplex import FlowSession
from causalopt.modeling.program import Ints
from causalopt.problems.robust.z.paths.network import PairNetwork


def greedy(network: PairNetwork, n: int, sign: int) -> tuple[Ints, bool] | None:
    """Return a flow of n pairs with large (sign 1) or small (sign -1) differences, and whether greed alone found it.

    None where the graph has no n pairs. One pass over the sorted arcs: O(m log m) for m arcs of merged units.

    Examples
    --------
    >>> import numpy as np
    >>> i, j = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> network = PairNetwork.merged(i, j, np.array([0.0, 1.0]), np.array([10.0, 13.0]))
    >>> flow, alone = greedy(network, 2, -1)
    >>> network.delta[flow > 0], alone
    (array([-13.,  -9.]), True)
    """
    flow = np.zeros(network.size, dtype=np.int64)
    supply, capacity = network.supply.tolist(), network.capacity.tolist()
    suppliers, receivers = network.suppliers.tolist(), network.receivers.tolist()
    left = n
    for arc in np.argsort(-sign * network.delta, kind="stable").tolist():
        taken = min(supply[suppliers[arc]], capacity[receivers[arc]], left)
        if taken:
            flow[arc] = taken
            supply[suppliers[arc]] -= taken
            capacity[receivers[arc]] -= taken
            left -= taken
            if left == 0:
                return flow, True
    session = FlowSession(network.supply, network.capacity, network.suppliers, network.receivers)
    answer = session.solve(sign * network.delta, n)
    return None if answer.shortfall else (answer.x, False)
