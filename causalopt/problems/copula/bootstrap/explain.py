"""Bootstrap intervals in plain words."""

from __future__ import annotations

from causalopt.problems.copula.bootstrap.result import BootstrapResult
from causalopt.solving.answer import explains
from causalopt.solving.words import listing, plural, wrapped
from causalopt.verifying.claims import Proof


@explains(BootstrapResult)
def words(result: BootstrapResult) -> str:
    """Return the paragraphs of a bootstrap result, wrapped at 80 columns."""
    names = [str(name) for name in result.table.index]
    solved = (
        f"The effect is {result.estimate:.6g} ({result.estimator}; {result.design}), and its {result.level:.0%} "
        f"interval by the method {result.method!r} goes from {result.lower:.6g} to {result.upper:.6g}."
    )
    compared = (
        f"{plural(len(names), 'method')}: {listing(names, 8)}. Under {result.method!r} the variance of "
        f"the estimate is {result.variance:.6g}."
    )
    proof = ""
    if result.copula is not None:
        worst = result.copula
        proof = "The method 'optimal' rests on the outcomes under which the estimate varies most, " + (
            "the worst found, not proven to be the worst case."
            if not worst.is_optimal
            else "proven to be the worst case: certified by causalopt."
            if worst.verification is not None and worst.verification.proof is Proof.CERTIFIED
            else f"the worst case as claimed by {worst.solver}."
        )
    notes = " ".join(f"{name}: {note}" for name, note in result.notes.items())
    silent = (
        "What it does not say: the intervals speak of the randomization alone, for the units of this experiment; not "
        "of sampling from a larger population."
    )
    return wrapped([solved, compared, proof, f"Mind: {notes}" if notes else "", silent])
