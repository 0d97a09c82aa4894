"""A result in plain words: short paragraphs that say what was solved, by whom, what is proven, and what is not said.

Every number in them is one that the result carries.
"""

from __future__ import annotations

import dataclasses

from causalopt.messages import Message
from causalopt.solving.answer import explains
from causalopt.solving.result import Result
from causalopt.solving.words import AGREE, rounded_up, wrapped
from causalopt.verifying.claims import Limit, Proof, Reason

#: A relative gap up to which an optimal answer is called the best, without more words.
BEST = 1e-6

#: The raw status of answers that were found without a proof.
HEURISTIC = "heuristic"


@dataclasses.dataclass(frozen=True)
class Words:
    """What a problem's own result says of itself.

    Attributes
    ----------
    solved : str
        What was solved: the problem and its sizes.
    answer : tuple of str
        Paragraphs on what was found.
    binds : tuple of str
        Paragraphs on what binds, and what it would cost or save to change it.
    silent : str
        What the answer does not say.
    proven : str
        In place of the general words on what is proven, where a problem knows better.
    """

    solved: str
    answer: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    silent: str = ""
    proven: str = ""


def explanation(result: Result, words: Words) -> str:
    """Return the paragraphs of a result, wrapped at 80 columns."""
    has_answer = result.status.has_solution
    parts = [
        words.solved,
        who(result),
        *(words.answer if has_answer else ()),
        words.proven if words.proven and has_answer else proof_words(result),
        *(words.binds if has_answer else ()),
        warning_words(result.warnings),
        words.silent if has_answer else "",
    ]
    return wrapped(parts)


def who(result: Result) -> str:
    """Return by whom a result was found, how, and why by them."""
    how = f", by the formulation {result.formulation!r}" if result.formulation else ""
    how += f" (method: {result.method})" if result.method else ""
    why = f" Why: {result.solver_reason}." if result.solver_reason else ""
    return f"{result.solver or 'An unnamed solver'} answered{how}.{why}"


def proof_words(result: Result) -> str:
    """Return what is known of the answer, who says so, and how far from the best it could be."""
    status, check = result.status, result.verification
    if not status.has_solution:
        return _without_answer(result)
    proof = check.proof if check is not None else Proof.NONE
    solver = result.solver or "the solver"
    checked = (
        "Nobody checked it: it was not verified."
        if check is None
        else "causalopt recomputed it from the data: it meets the constraints, and its objective is as stated."
    )
    known = proof is not Proof.NONE and None not in (result.gap, result.bound, result.objective)
    far = _distance(result.objective, result.bound) if known else ""
    if status.raw == HEURISTIC:
        return f"This answer is heuristic: nothing says how near the best it is. {checked}"
    if status.reason is Reason.OPTIMAL:
        return _optimal(result, proof, checked, far)
    if not known:
        return (
            f"This is an answer, but not proven the best{_stopped(status.limit)}: nothing says how much better another "
            f"could be. {checked}"
        )
    whose = "certified by causalopt" if proof is Proof.CERTIFIED else f"claimed by {solver}"
    return f"This is an answer, but not proven the best{_stopped(status.limit)}. {checked}{far} That bound is {whose}."


def _without_answer(result: Result) -> str:
    status, check, solver = result.status, result.verification, result.solver or "the solver"
    if status.reason is Reason.INFEASIBLE:
        return _infeasible(solver, check.proof if check is not None else Proof.NONE)
    if status.reason is Reason.UNBOUNDED:
        return (
            f"The objective has no limit: {solver} found directions along which it improves for ever. A bound or "
            "constraint is missing."
        )
    if status.reason is Reason.NO_SOLUTION:
        return f"There is no answer{_stopped(status.limit)}. Whether one exists is not known."
    return f"There is no answer: the solver failed ({status.raw or 'it did not say how'})."


def _optimal(result: Result, proof: Proof, checked: str, far: str) -> str:
    solver = result.solver or "the solver"
    best = "best answer" if result.gap is None or result.gap <= BEST else "best answer within the gap asked for"
    better = "better" if best == "best answer" else "better by more"
    if proof is Proof.CERTIFIED:
        proven = f"This is the {best}, certified by causalopt: a bound recomputed from the data proves it."
        return f"{proven} {checked}{far}"
    if proof is Proof.CLAIMED:
        return (
            f"This is the {best}, as claimed by {solver}. {checked} That no answer is {better} was not recomputed: "
            f"it is the word of {solver}.{far}"
        )
    return f"This is stated to be the best answer; nothing on the result proves it. {checked}"


def _distance(objective: float | None, bound: float | None) -> str:
    """Return how much better another answer could be."""
    assert objective is not None and bound is not None
    distance = abs(bound - objective)
    if distance <= AGREE * abs(objective):
        return " Bound and objective agree to nine digits."
    return f" Another answer could have an objective better by at most {rounded_up(distance, 2)}."


def _stopped(limit: Limit) -> str:
    return "" if limit is Limit.NONE else f", since the {limit} limit stopped the solve"


def _infeasible(solver: str, proof: Proof) -> str:
    whose = (
        "causalopt proved it by multipliers of the constraints"
        if proof is Proof.CERTIFIED
        else f"that is the word of {solver}"
    )
    return (
        f"No point satisfies the constraints: {whose}. causalopt.explain_infeasibility(model) says which constraints "
        "must give way, and how far."
    )


def warning_words(notes: tuple[str, ...]) -> str:
    """Return the warnings in a paragraph."""
    marked = [Message(note).marked for note in notes]
    return f"Mind: {' '.join(note if note.endswith('.') else note + '.' for note in marked)}" if notes else ""


@explains(Result)
def words(result: Result) -> str:
    """Return what the answer to a model says of itself."""
    size = "" if result.x is None else f" with {len(result.x):,} variables"
    size += "" if result.row_dual is None else f" and {len(result.row_dual):,} constraints"
    value = "" if result.objective is None else f"The objective is {result.objective:.6g}."
    prices = ""
    if result.row_dual is not None:
        dear = int((abs(result.row_dual) > 1e-9).sum())
        prices = f"Of the constraints {dear:,} have a price: changing their right-hand side changes the objective."
    silent = "It is the answer to the model as it was given; whether that is the right model it does not say."
    return explanation(result, Words(f"A model{size} was solved.", (value,), (prices,), silent))
