"""Robust McNemar tests in plain words."""

from __future__ import annotations

from causalopt.problems.robust.mcnemar.result import RobustMcNemarResult
from causalopt.problems.robust.verdicts import LEVEL, decision_words, silent_words
from causalopt.solving.answer import explains
from causalopt.solving.explain import Words, explanation
from causalopt.solving.words import plural
from causalopt.verifying.claims import Proof


@explains(RobustMcNemarResult)
def mcnemar_words(result: RobustMcNemarResult) -> str:
    """Return what a robust McNemar test says of itself."""
    graph = result.study.graph
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
        f"{decision_words(result.decision(LEVEL), proof)}"
    )
    proven = {
        Proof.CERTIFIED: "Both extremes are exact, certified by causalopt: covers of the same size prove that the "
        "matchings behind them are the largest.",
        Proof.CLAIMED: f"Both sets of pairs were checked; that nothing goes beyond them is claimed by {result.solver}.",
        Proof.NONE: "Nothing proves that no pairs go beyond these.",
    }[proof]
    return explanation(result, Words(solved, (answer,), (), silent_words(), proven))
