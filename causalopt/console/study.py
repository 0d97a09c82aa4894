"""What is compared, and what is balanced: named column by column, or by a formula."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from causalopt.console.arguments import Functions
from causalopt.console.reading import covariates_of, expand_formula, formula_columns, require, split_formula
from causalopt.errors import DataError, OptionError

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Study:
    """The columns of a study that is balanced.

    Attributes
    ----------
    chosen : tuple of str
        Treatment or factors.
    columns : tuple of str
        What the covariates are made of.
    functions : Functions
    right : str or None
        Of a formula, what stands right of ~.
    """

    chosen: tuple[str, ...]
    columns: tuple[str, ...]
    functions: Functions
    right: str | None = None

    @classmethod
    def read(
        cls, frame: pd.DataFrame, formula: str | None, chosen: list[str], functions: Functions, option: str
    ) -> Study:
        """Find the columns, named by `option` and those of the functions, or by a formula.

        Raises
        ------
        OptionError, DataError
            Where both name them, neither does, a column does not exist, or one stands on both sides.
        """
        columns = functions.columns(frame.columns)
        if formula is None:
            if not columns and option == "--treatment":
                raise OptionError("Name the columns to balance, --covariates age,educ, or give a --formula.")
            require(frame, chosen, option)
            require(frame, columns, "--covariates")
            study = cls(tuple(chosen), tuple(columns), functions)
        else:
            if chosen or columns:
                raise OptionError(
                    f"--formula names {option[2:]} and covariates: leave out {option}, --covariates and --categories."
                )
            left, right = split_formula(formula)
            require(frame, left, "--formula")
            study = cls(tuple(left), tuple(formula_columns(frame, right)), functions, right)
        what = "treatment" if option == "--treatment" else "factor"
        for name in study.chosen:
            if name in study.columns:
                raise DataError(f"The {what} {name!r} is also among the covariates; take it out of them.")
        return study

    def covariates(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the covariates of a frame with these columns."""
        return covariates_of(frame, self.functions) if self.right is None else expand_formula(frame, self.right)
