"""What a robust Z test answers: both extremes with their pairs, what is proven, and the verdicts."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from causalopt.errors import VerificationError
from causalopt.modeling.program import Ints
from causalopt.problems.robust.verdicts import LEVEL, Verdict, Verdicts, threshold
from causalopt.problems.robust.verdicts import check_level as check_level
from causalopt.problems.robust.verdicts import p_value as p_value
from causalopt.problems.robust.z.data import PairStudy
from causalopt.problems.robust.z.paths.hull import EXACT, relative_gap
from causalopt.problems.robust.z.paths.network import statistic
from causalopt.solving.dispatch import solve
from causalopt.solving.result import Result
from causalopt.verifying.claims import Proof


@dataclasses.dataclass(frozen=True, eq=False)
class RobustZSide:
    """One extreme of Z.

    Attributes
    ----------
    side : str
        "max" or "min".
    z : float
        The Z of the matching found, recomputed from its pairs; infinite where all its differences are equal.
    bound : float
        No matching has a Z beyond it; infinite where nothing is proven.
    proof : Proof
        What stands behind the bound.
    i, j : int arrays
        Positions of the units of the pairs in the match graph.
    programs, nodes : int
        Programs solved, and nodes of branch and bound.
    note : str
    study : PairStudy
        The data of the problem.
    """

    side: str
    z: float
    bound: float
    proof: Proof
    i: Ints
    j: Ints
    study: PairStudy = dataclasses.field(repr=False)
    programs: int = 0
    nodes: int = 0
    note: str = ""

    @property
    def gap(self) -> float:
        """|bound - z| / max(1, |z|)."""
        return relative_gap(self.z, self.bound)

    @property
    def kind(self) -> str:
        """Whether the value is "exact" (but for rounding), "within a gap of ..." or "heuristic"."""
        if self.proof is Proof.NONE or not np.isfinite(self.gap):
            return "heuristic"
        return "exact" if self.gap <= EXACT else f"within a gap of {self.gap:.1g}"

    @property
    def is_exact(self) -> bool:
        """Whether no matching has a Z beyond this one, but for rounding."""
        return self.kind == "exact"

    @property
    def p_value(self) -> float:
        """One-sided p-value 1 - Phi(Z)."""
        return p_value(self.z)

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The matching: labels and outcomes of each pair, and their difference."""
        graph = self.study.graph
        y_t, y_c = self.study.treated_outcome[self.i], self.study.control_outcome[self.j]
        return pd.DataFrame(
            {
                "treated": graph.treated[self.i],
                "control": graph.control[self.j],
                "treated outcome": y_t,
                "control outcome": y_c,
                "difference": y_t - y_c,
            }
        )

    def __str__(self) -> str:
        proof = "" if self.proof is Proof.NONE else f", {self.proof}"
        return f"{self.z:.6g} ({self.kind}{proof}{'; ' + self.note if self.note else ''})"


def verified_pairs(study: PairStudy, side: str, flow: Ints, claimed: float) -> tuple[float, Ints, Ints]:
    """Return Z recomputed from the pairs that a flow stands for, and the pairs.

    Raises
    ------
    VerificationError
        Where the pairs are not n, not allowed, use a unit twice, or have another Z than claimed.
    """
    graph = study.graph
    i, j = study.network.units(flow)
    key = graph.i * len(graph.control) + graph.j
    wanted = i * len(graph.control) + j
    place = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    wrong = []
    if len(i) != study.n:
        wrong.append(f"it has {len(i)} pairs, not {study.n}")
    if not (key[place] == wanted).all():
        wrong.append("it pairs units that may not be paired")
    if len(np.unique(i)) != len(i) or len(np.unique(j)) != len(j):
        wrong.append("it uses a unit twice")
    z = statistic(study.differences[place], np.ones(len(i), dtype=np.int64))[0] if not wrong else np.nan
    if not wrong and not (z == claimed or abs(z - claimed) <= 1e-7 * max(1.0, abs(z))):
        wrong.append(f"its Z is {z:.10g}, not {claimed:.10g}")
    if wrong:
        raise VerificationError(f"The matching for the {side} of Z did not survive recomputation: {'; '.join(wrong)}.")
    return z, i, j


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RobustZResult(Verdicts, Result):
    """The extremes of Z over all matchings of n pairs.

    Attributes
    ----------
    maximum, minimum : RobustZSide
        Either extreme, with its pairs, its bound, and what stands behind it.
    problem : RobustZProblem
    """

    maximum: RobustZSide
    minimum: RobustZSide
    problem: Any

    @property
    def study(self) -> PairStudy:
        """The data of the problem."""
        return self.maximum.study

    @property
    def n(self) -> int:
        """Number of pairs."""
        return self.study.n

    @property
    def z_max(self) -> float:
        """The largest Z found; see `maximum` for what is proven of it."""
        return self.maximum.z

    @property
    def z_min(self) -> float:
        """The least Z found; see `minimum` for what is proven of it."""
        return self.minimum.z

    @property
    def p_interval(self) -> tuple[float, float]:
        """The least and the largest p-value: 1 - Phi of `z_max` and of `z_min`."""
        return self.maximum.p_value, self.minimum.p_value

    @property
    def is_exact(self) -> bool:
        """Whether both extremes are exact."""
        return self.maximum.is_exact and self.minimum.is_exact

    def verdicts(self, level: float = LEVEL) -> pd.DataFrame:
        """Return both verdicts on robustness, and whether they are proven.

        Two matchings that disagree prove that a conclusion is not robust. That it is robust needs bounds: it is proven
        where it would hold at the bounds of both extremes too.

        Parameters
        ----------
        level : float
            Significance level.
        """
        alpha, absolute = self.alpha_robust(level), self.absolute_robust(level)
        bounds = Verdict(p_value(self.maximum.bound), p_value(self.minimum.bound), level)
        rows = {
            "alpha-robust": (alpha, not alpha or bool(bounds.alpha_robust)),
            "absolute-robust": (absolute, not absolute or bool(bounds.absolute_robust)),
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=["verdict", "proven"]).rename_axis("robustness")

    def allowable_gap(self, level: float = LEVEL) -> pd.DataFrame:
        """Return how far each extreme may be from its true value before a decision at the level changes.

        [ROBZ] section 5.4: an extreme that lies on one side of the threshold with its proven bound decides as the
        true one does, however large its gap. Columns: `z`, `threshold`, `allowable` (distance of z to the threshold in
        the direction in which the true extreme may lie, infinite where it lies beyond already), `relative` (to |z|),
        `gap` (what is proven), and `decides` (whether the gap is within what is allowable).

        Parameters
        ----------
        level : float
            Significance level.
        """
        cut = threshold(check_level(level))
        rows = []
        for side, sign in ((self.maximum, 1.0), (self.minimum, -1.0)):
            allowed = sign * (cut - side.z) if sign * (cut - side.z) > 0 else np.inf
            distance = 0.0 if side.bound == side.z else abs(side.bound - side.z)
            relative = allowed / abs(side.z) if side.z != 0 else np.inf
            rows.append((side.z, cut, allowed, relative, distance, bool(allowed == np.inf or distance < allowed)))
        names = ["z", "threshold", "allowable", "relative", "gap", "decides"]
        return pd.DataFrame(rows, index=pd.Index(["max", "min"], name="side"), columns=names)

    def price(self, exact: RobustZResult | None = None) -> pd.DataFrame:
        """Return what a heuristic lost: its extremes beside the exact ones (the "price of greedy").

        Parameters
        ----------
        exact : RobustZResult, optional
            The exact answer of the same problem; found by `parametric` where it is not given.
        """
        other: RobustZResult = solve(self.problem, "parametric") if exact is None else exact
        rows = []
        for ours, best in ((self.maximum, other.maximum), (self.minimum, other.minimum)):
            lost = 0.0 if ours.z == best.z else abs(best.z - ours.z)
            share = lost / abs(best.z) if np.isfinite(best.z) and best.z != 0 else (0.0 if lost == 0 else np.inf)
            rows.append((ours.z, best.z, lost, share, best.kind))
        names = ["found", "best", "lost", "share", "best is"]
        return pd.DataFrame(rows, index=pd.Index(["max", "min"], name="side"), columns=names)

    def facts(self) -> dict[str, str]:
        """Return the facts of the solve, with those of the test first."""
        low, high = self.p_interval
        own = {
            "pairs": f"{self.n:,} of at most {self.study.graph.largest:,}",
            "largest Z": str(self.maximum),
            "least Z": str(self.minimum),
            "p-values": f"{low:.3g} to {high:.3g}",
            "decision at .05": self.decision(LEVEL),
        }
        return own | super().facts()
