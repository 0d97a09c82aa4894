"""The errors of causalopt: one small tree, and every message says what to do next."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

from causalopt.messages import Message

#: Frames of files in here are ours, not the user's.
_OURS = os.path.dirname(__file__)


class CausaloptError(Exception):
    """Base class of every error that causalopt raises on purpose.

    Attributes
    ----------
    message : causalopt.messages.Message
        What `str` says, with the parts that have names; for who words them otherwise.
    """

    def __init__(self, message: str = "", *more: Any) -> None:
        self.message = Message(message)
        super().__init__(self.message, *more)


class DataError(CausaloptError, ValueError):
    """The input data or an argument is unusable; the message names the column, rows or argument."""


class OptionError(CausaloptError, ValueError):
    """An option name or value is unknown; the message lists the ones that exist."""


class InfeasibleError(CausaloptError):
    """No solution satisfies the constraints; `explanation` says why in the study's terms.

    Attributes
    ----------
    explanation : pandas.DataFrame or str or None
        What blocks, and the smallest change that would make the problem feasible. What takes more than a moment to
        find is found when it is first looked at: the error is then given a function in place of the explanation.
    """

    def __init__(self, message: str, explanation: Any = None) -> None:
        super().__init__(message)
        self._explanation = explanation

    @property
    def explanation(self) -> Any:
        """Why, as a table or in words."""
        if callable(self._explanation):
            self._explanation = self._explanation()
        return self._explanation


class SolverNotAvailable(CausaloptError):
    """The solver asked for is unknown or not installed; the message lists what is."""


class LicenseError(CausaloptError):
    """The solver's licence does not cover this model; the message names the limit and what fits."""


class UnsupportedProblem(CausaloptError):
    """The backend cannot solve this class of problem; the message names what can."""


class SolverFailure(CausaloptError):
    """The solver stopped with an error of its own; the message carries its last words."""


class VerificationError(CausaloptError):
    """A solver's claim did not survive recomputation from the data.

    Attributes
    ----------
    claim : str
        What the solver said.
    verification : causalopt.verifying.claims.Verification
        What the recomputation found.
    """

    def __init__(self, message: str, claim: str = "", verification: Any = None) -> None:
        super().__init__(message)
        self.claim = claim
        self.verification = verification


class CausaloptWarning(UserWarning):
    """A result is usable, but less than was asked for: a limit stopped it, or an option had no effect.

    Importing causalopt gives one too, where another distribution has a package of that name.

    Attributes
    ----------
    message : causalopt.messages.Message
        What `str` says, with the parts that have names.
    """

    def __init__(self, message: str = "", *more: Any) -> None:
        self.message = Message(message)
        super().__init__(self.message, *more)


def warn(note: str) -> None:
    """Warn of something at the line of the user's that led to it, however deep in causalopt it is found.

    Parameters
    ----------
    note : str
        What is less than was asked for.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        level, frame = level + 1, frame.f_back
    warnings.warn(CausaloptWarning(note), stacklevel=level)
