"""Decisions of robust tests in words."""

from __future__ import annotations

from causalopt.verifying.claims import Proof

#: The level at which decisions are told.
LEVEL = 0.05


def decision_words(decision: str, proof: Proof) -> str:
    """Return the decision at level .05 in a sentence, with what stands behind it."""
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


def silent_words() -> str:
    """Return what no robust test says."""
    return (
        "What it does not say: whether the good matches are alike in what was not measured, or how large the effect "
        "is. The range is one of choices of the analyst, not of sampling."
    )
