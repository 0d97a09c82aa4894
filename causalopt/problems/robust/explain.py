"""Robust tests over matchings in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from causalopt.solving.words import Words, plural, wrapped
from causalopt.verifying.claims import Proof

if TYPE_CHECKING:
    from causalopt.problems.robust.mcnemar import RobustMcNemarResult
    from causalopt.problems.robust.z.curve import RobustZCurve
    from causalopt.problems.robust.z.result import RobustZResult, RobustZSide

#: The level at which decisions are told.
LEVEL = 0.05


def robust_z_words(result: RobustZResult) -> Words:
    """Return what a robust Z test says of itself."""
    problem, graph = result.problem, result.problem.graph
    solved = (
        f"The largest and the least Z were sought over every way to form {plural(result.n, 'pair')} among "
        f"{plural(graph.n_pairs, 'good match', 'good matches')} of {len(graph.treated):,} treated and "
        f"{len(graph.control):,} control units."
    )
    low, high = result.p_interval
    answer = (
        f"Z goes from {result.z_min:.6g} to {result.z_max:.6g} with the choice of pairs, and the one-sided p-value "
        f"from {low:.3g} to {high:.3g}. {_decision(result.decision(LEVEL), _decided(result))}"
    )
    proven = f"{_side('largest', result.maximum)} {_side('least', result.minimum)} causalopt recomputed both matchings."
    binds = f"At most {graph.largest:,} pairs can be formed at once. Other numbers of pairs give another range."
    if result.formulation and not problem._formulations[result.formulation].exact:
        proven += f" The formulation {result.formulation!r} optimises a stand-in for Z, not Z itself."
    return Words(solved, (answer,), (binds,), _silent(), proven)


def curve_explanation(curve: RobustZCurve, level: float) -> str:
    """Return the paragraphs of a curve of robust Z, wrapped at 80 columns."""
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
        "depends on the pairing": "the decision depends on the pairing",
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
    return wrapped([solved, answer, proven, _silent()])


def _side(which: str, side: RobustZSide) -> str:
    if side.kind == "heuristic":
        return f"The {which} Z is heuristic: a matching attains it, but another may go beyond it."
    whose = "certified by causalopt" if side.proof is Proof.CERTIFIED else "claimed by the solver"
    if side.is_exact:
        return f"The {which} Z is exact, {whose}: no matching goes beyond it."
    return f"The {which} Z is known {side.kind}, {whose}: no matching goes beyond {side.bound:.6g}."


def mcnemar_words(result: RobustMcNemarResult) -> Words:
    """Return what a robust McNemar test says of itself."""
    graph = result.problem.graph
    solved = (
        f"The largest and the least McNemar statistic were sought over every way to form "
        f"{plural(result.n, 'discordant pair')} among {plural(graph.n_pairs, 'good match', 'good matches')} of "
        f"{len(graph.treated):,} treated and {len(graph.control):,} control units."
    )
    low, high = result.p_interval
    least, most = result.b_range
    proof = result.verification.proof if result.verification is not None else Proof.NONE
    answer = (
        f"Pairs in which only the treated unit has the outcome number from {least:,} to {most:,}, so that Z goes from "
        f"{result.z_min:.6g} to {result.z_max:.6g} and the one-sided p-value from {low:.3g} to {high:.3g}. "
        f"{_decision(result.decision(LEVEL), proof)}"
    )
    proven = {
        Proof.CERTIFIED: "Both extremes are exact, certified by causalopt: covers of the same size prove that the "
        "matchings behind them are the largest.",
        Proof.CLAIMED: f"Both sets of pairs were checked; that nothing goes beyond them is claimed by {result.solver}.",
        Proof.NONE: "Nothing proves that no pairs go beyond these.",
    }[proof]
    return Words(solved, (answer,), (), _silent(), proven)


def _decided(result: RobustZResult) -> Proof:
    """Return what stands behind a decision that holds for both pairings found."""
    if not result.verdicts(LEVEL).loc["absolute-robust", "proven"]:
        return Proof.NONE
    sides = {result.maximum.proof, result.minimum.proof}
    return Proof.CERTIFIED if sides == {Proof.CERTIFIED} else Proof.CLAIMED


def _decision(decision: str, proof: Proof) -> str:
    if decision == "depends on the pairing":
        return "At level .05 the decision depends on the pairing: some pairs reject 'no effect', others do not."
    verb = "rejects" if decision == "reject" else "does not reject"
    if proof is Proof.CERTIFIED:
        return f"Whatever the pairs, the test {verb} 'no effect' at level .05."
    stands = "claimed by the solver" if proof is Proof.CLAIMED else "not proven"
    return (
        f"With either of the two sets of pairs found, the test {verb} 'no effect' at level .05; that it does so "
        f"whatever the pairs is {stands}."
    )


def _silent() -> str:
    return (
        "What it does not say: whether the good matches are alike in what was not measured, or how large the effect "
        "is. The range is one of choices of the analyst, not of sampling."
    )
