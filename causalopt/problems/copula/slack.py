"""How far the marginals of observed and imputed outcomes may differ: the smallest slack, and that of the theory."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from causalopt.errors import DataError, SolverFailure
from causalopt.messages import argument
from causalopt.modeling.program import Floats, Ints, Program
from causalopt.solving.attempts import solve_program
from causalopt.solving.choice import choose_backend
from causalopt.solving.options import SolveOptions
from causalopt.study.designs.design import Bernoulli, CompleteRandomization, Design
from causalopt.study.designs.grouped import Cluster, MatchedPairs, Stratified
from causalopt.study.designs.simulated import Rerandomized

#: Bounds on counts are rounded to whole numbers with this tolerance.
COUNT_TOLERANCE = 1e-7


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Units that lack the same potential outcome (of one stratum), and the support that they share.

    The marginal constraints are  |target_k - sum_i weights_i X_ik| <= slack * unit  for every value k.

    Attributes
    ----------
    arm : int
        Which outcome is missing: 1 for untreated units, 0 for treated ones.
    stratum : object
        None where marginals are not conditional.
    members : (r,) int array
        Positions of the units in the data.
    values : (K,) array
        The support, ascending.
    target : (K,) array
        What the observed units say of each value.
    weights : (r,) array
    unit : float
    """

    arm: int
    stratum: Any
    members: Ints
    values: Floats
    target: Floats
    weights: Floats
    unit: float

    @property
    def size(self) -> int:
        """Number of units."""
        return len(self.members)

    @property
    def equal(self) -> bool:
        """Whether all units weigh the same, so that the constraints are about counts."""
        return bool(np.ptp(self.weights) <= 1e-12 * self.weights[0])

    def bounds(self, slack: float) -> tuple[Floats, Floats]:
        """Return the bounds of  sum_i weights_i X_ik  at this slack; rounded inward to whole counts where they can."""
        half = slack * self.unit
        low, high = self.target - half, self.target + half
        if not self.equal:
            room = 1e-9 * self.unit
            return low - room, high + room
        w = float(self.weights[0])
        least = np.maximum(np.ceil(low / w - COUNT_TOLERANCE), 0.0)
        most = np.minimum(np.floor(high / w + COUNT_TOLERANCE), float(self.size))
        return w * least, w * most

    def feasible(self, slack: float) -> bool:
        """Return whether some imputation meets the constraints; where weights are unequal, whether none is excluded."""
        low, high = self.bounds(slack)
        total = float(self.weights.sum())
        room = 1e-9 * max(total, 1.0)
        return bool((low <= high).all() and low.sum() <= total + room and high.sum() >= total - room)

    @cached_property
    def smallest_slack(self) -> tuple[float, Ints]:
        """The smallest slack that is feasible, and the count of each value (or the choices) that needs it.

        Equal weights: whole counts m_k of sum r that minimise max_k |target_k / w - m_k|; with targets that sum to r
        these are the integer parts, plus one for the largest remainders. Unequal weights: a small MILP.
        """
        if not self.equal:
            return _smallest_by_milp(self)
        w = float(self.weights[0])
        wanted = self.target / w
        deviation = smallest_deviation(wanted, self.size)
        counts = counts_within(wanted, self.size, deviation)
        return float(np.abs(wanted - counts).max()) * w / self.unit, counts


def smallest_deviation(wanted: Floats, total: int) -> float:
    """Return the smallest d such that whole counts of this total lie within d of the wanted numbers.

    Examples
    --------
    >>> import numpy as np
    >>> round(smallest_deviation(np.array([1.5, 1.5, 1.0]), 4), 9)
    0.5
    """
    low, high = 0.0, float(np.abs(wanted).max(initial=0.0)) + total

    def possible(d: float) -> bool:
        least = np.maximum(np.ceil(wanted - d), 0.0)
        most = np.floor(wanted + d)
        return bool((least <= most).all() and least.sum() <= total <= most.sum())

    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if possible(middle) else (middle, high)
        if high - low <= 1e-13 * max(1.0, high):
            break
    return high


def counts_within(wanted: Floats, total: int, deviation: float) -> Ints:
    """Return whole counts of this total that lie within a deviation of the wanted numbers, nearest ones first."""
    room = deviation + 1e-10 * max(1.0, deviation)
    least = np.maximum(np.ceil(wanted - room), 0.0).astype(np.int64)
    most = np.floor(wanted + room).astype(np.int64)
    counts = np.clip(np.floor(wanted).astype(np.int64), least, most)
    while counts.sum() != total:
        step = 1 if counts.sum() < total else -1
        movable = (counts + step <= most) & (counts + step >= least)
        distance = np.where(movable, np.abs(wanted - counts - step), np.inf)
        counts[int(np.argmin(distance))] += step
    return counts


def _smallest_by_milp(group: Group) -> tuple[float, Ints]:
    """Minimise the slack over the imputations of a group whose units weigh differently."""
    classes, member = np.unique(group.weights, return_inverse=True)
    sizes = np.bincount(member).astype(float)
    k, c = len(group.values), len(classes)
    once = sp.kron(sp.eye(c), np.ones((1, k)))
    sums = sp.kron(classes / group.unit, sp.eye(k))
    one = np.ones((k, 1))
    zero = sp.csr_matrix((c, 1))
    matrix = sp.vstack([sp.hstack([once, zero]), sp.hstack([sums, one]), sp.hstack([sums, -one])]).tocsr()
    target = group.target / group.unit
    program = Program.from_arrays(
        np.append(np.zeros(c * k), 1.0),
        matrix,
        np.concatenate([sizes, target, np.full(k, -np.inf)]),
        np.concatenate([sizes, np.full(k, np.inf), target]),
        0.0,
        np.append(np.repeat(sizes, k), np.inf),
        integer=np.append(np.ones(c * k, dtype=bool), False),
    )
    backend, reason = choose_backend(program, "auto")
    result = solve_program(program, backend, SolveOptions(time_limit=60.0), reason=reason)
    if result.x is None:
        raise SolverFailure(
            f"The smallest slack was not found ({result.status}); give {argument('slack', assigned=True)} a number."
        )
    counts = np.round(result.x[:-1]).astype(np.int64).reshape(c, k)
    slack = float(np.abs(target - classes @ counts / group.unit).max())
    choice = np.empty(group.size, dtype=np.int64)
    for number in range(c):
        choice[member == number] = np.repeat(np.arange(k), counts[number])
    return slack, choice


def validity_probability(design: Design, slack: float, n: int | None = None, *, delta: float = 0.0) -> float:
    """Return a lower bound on the probability that the true outcomes satisfy the marginal constraints.

    With  xi_i = Z_i/P_i - (1 - Z_i)/(1 - P_i),  of range r_i = 1/(P_i (1 - P_i)),  the constraints ask of both arms and
    every value k that  |sum of xi_i over the units whose outcome is k| <= slack N.  By Hoeffding's inequality (for
    independent assignments, and within strata for fixed numbers of treated) a value of the units S fails with
    probability at most  2 exp(-2 slack^2 N^2 / sum_S r_i^2),  and where the exponent of all units together is at least
    one, these sum over the values of an arm to no more than  2 exp(-2 slack^2 N^2 / sum r_i^2).  The bound returned is

        1 - 8 exp(-2 slack^2 N^2 / sum_i r_i^2),

    clipped to [0, 1]: with equal P it is the causal-bootstrap paper's theorem 1 with a rigorous exponent (the theorem
    applies a bound for distribution functions to point masses). With `delta` > 0 (theorem 2: assignments that
    confounding may shift by up to `delta`, in the units of the slack) it needs slack >= 2 delta, uses slack / 2, and is
    1 - 16 exp(...), that is 8 exp(...) + 8 exp(...) below one.

    At N = 50 and P = 1/2 the bound says nothing below a slack of .58: it is of use for large experiments only.

    Parameters
    ----------
    design : Design
        Bernoulli, complete, stratified, matched pairs, cluster, or rerandomized from one of these (whose failure
        probability is at most that of the base over the acceptance rate).
    slack : float
    n : int, optional
        Number of units, for designs that do not say it.
    delta : float

    Raises
    ------
    DataError
        Where no bound is known for the design.

    Examples
    --------
    >>> from causalopt.study.designs.design import CompleteRandomization
    >>> validity_probability(CompleteRandomization(25), 0.57, 50)
    0.0
    >>> round(validity_probability(CompleteRandomization(500), 0.3, 1000), 4)
    0.9999
    """
    if not (slack >= 0 and delta >= 0):
        raise DataError(f"{argument('slack')} and delta must be zero or positive; they are {slack} and {delta}.")
    size = design.units(n)
    if isinstance(design, Rerandomized):
        failing = 1.0 - validity_probability(design.base, slack, size, delta=delta)
        rate = design.acceptance_rate(size)
        return float(np.clip(1.0 - failing / rate, 0.0, 1.0)) if rate > 0 else 0.0
    if not isinstance(design, Bernoulli | CompleteRandomization | Stratified | MatchedPairs | Cluster):
        raise DataError(f"No probability bound is known for {design}: give the slack as a number.")
    p = design.probabilities(size)
    width = 1.0 / (p * (1 - p))
    if isinstance(design, Cluster):
        width = np.asarray(np.bincount(design.codes, weights=width), dtype=float)
    effective = slack
    if delta > 0:
        effective = slack / 2 if slack >= 2 * delta else 0.0
    exponent = 2 * effective**2 * size**2 / float((width**2).sum())
    factor = 8.0 if delta == 0 else 16.0
    return float(np.clip(1.0 - factor * np.exp(-exponent), 0.0, 1.0))


def theory_slack(design: Design, n: int, *, probability: float = 0.95) -> float:
    """Return the smallest slack at which `validity_probability` reaches a probability."""
    low, high = 0.0, 1.0
    while validity_probability(design, high, n) < probability:
        high *= 2
        if high > 1e9:
            raise DataError(f"No slack makes the constraints hold with probability {probability} under {design}.")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if validity_probability(design, middle, n) >= probability else (middle, high)
    return high
