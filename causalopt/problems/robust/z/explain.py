"""Robust Z tests and their curves in plain words."""

from __future__ import annotations

from causalopt.problems.robust.verdicts import DEPENDS, LEVEL, check_level, decision_words, silent_words
from causalopt.problems.robust.z.curve import RobustZCurve
from causalopt.problems.robust.z.result import RobustZResult, RobustZSide
from causalopt.solving.answer import explains
from causalopt.solving.explain import Words, explanation
from causalopt.solving.words import plural, wrapped
from causalopt.verifying.claims import Proof


@explains(RobustZResult)
def words(result: RobustZResult) -> str:
    """Return what a robust Z test says of itself."""
    graph = result.study.graph
    solved = (
        f"The largest and the least Z were sought over every way to form {plural(result.n, 'pair')} among "
        f"{plural(graph.n_pairs, 'good match', 'good matches')} of {len(graph.treated):,} treated and "
        f"{len(graph.control):,} control units."
    )
    low, high = result.p_interval
    answer = (
        f"Z goes from {result.z_min:.6g} to {result.z_max:.6g} with the choice of pairs, and the one-sided p-value "
        f"from {low:.3g} to {high:.3g}. {decision_words(result.decision(LEVEL), _decided(result))}"
    )
    proven = f"{_side('largest', result.maximum)} {_side('least', result.minimum)} causalopt recomputed both matchings."
    binds = f"At most {graph.largest:,} pairs can be formed at once. Other numbers of pairs give another range."
    if result.formulation and not result.problem._formulations[result.formulation].exact:
        proven += f" The formulation {result.formulation!r} optimises a stand-in for Z, not Z itself."
    return explanation(result, Words(solved, (answer,), (binds,), silent_words(), proven))


@explains(RobustZCurve)
def curve_words(curve: RobustZCurve, level: float = LEVEL) -> str:
    """Return what a curve of robust Z says of itself, of a test at a level."""
    level = check_level(level)
    graph, table = curve.problem.graph, curve.table
    solved = (
        f"The largest and the least Z were sought over every way to pair {len(graph.treated):,} treated with "
        f"{len(graph.control):,} control units, for {plural(len(table), 'number')} of pairs from {table.index[0]:,} to "
        f"{table.index[-1]:,}."
    )
    decision = curve.verdicts(level)["decision"]
    counts = decision.value_counts()
    unproven = int(((table["min is"] != "exact") | (table["max is"] != "exact")).sum())
    found = " found" if unproven else ""
    meaning = {
        "reject": f"every pairing{found} rejects 'no effect'",
        "do not reject": f"no pairing{found} rejects 'no effect'",
        DEPENDS: "the decision depends on the pairing",
    }
    said = [
        f"for {plural(int(counts[word]), 'number')} of pairs {text}" for word, text in meaning.items() if word in counts
    ]
    answer = f"At level {level:g}: {'; '.join(said)}."
    proven = "All extremes are exact: no matching goes beyond them."
    if unproven:
        proven = (
            f"For {plural(unproven, 'number')} of pairs an extreme is not exact: another matching may go beyond it, so "
            "that a decision which holds for the pairings found may not hold for all. The table says which."
        )
    return wrapped([solved, answer, proven, silent_words()])


def _side(which: str, side: RobustZSide) -> str:
    if side.kind == "heuristic":
        return f"The {which} Z is heuristic: a matching attains it, but another may go beyond it."
    whose = "certified by causalopt" if side.proof is Proof.CERTIFIED else "claimed by the solver"
    if side.is_exact:
        return f"The {which} Z is exact, {whose}: no matching goes beyond it."
    return f"The {which} Z is known {side.kind}, {whose}: no matching goes beyond {side.bound:.6g}."


def _decided(result: RobustZResult) -> Proof:
    """Return what stands behind a decision that holds for both pairings found."""
    if not result.verdicts(LEVEL).loc["absolute-robust", "proven"]:
        return Proof.NONE
    sides = {result.maximum.proof, result.minimum.proof}
    return Proof.CERTIFIED if sides == {Proof.CERTIFIED} else Proof.CLAIMED
