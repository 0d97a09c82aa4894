"""The largest subset of controls whose means are close to targets, as a program over zeros and ones."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pandas as pd

import causalopt as co
from causalopt import modeling


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class SubsetResult(co.Result):
    """A largest balanced subset."""

    labels: pd.Index

    @property
    def kept(self) -> pd.Index:
        """Labels of the controls that are kept."""
        return self.labels[self.x > 0.5]


class SubsetProblem(co.Problem):
    """The largest subset of controls whose means are within a tolerance of the targets."""

    _formulations: ClassVar = {
        "subset": co.Formulation(co.ProblemClass.MILP, exact=True, source="Zubizarreta, Paredes and Rosenbaum 2014")
    }

    def __init__(self, controls: pd.DataFrame, target, tolerance: float) -> None:
        values = controls.to_numpy(dtype=float)
        missing = ~np.isfinite(values).all(axis=0)
        if missing.any():
            raise co.DataError(f"Covariate {controls.columns[missing][0]!r} has missing values: leave those rows out.")
        self.labels, self.off, self.tolerance = controls.index, values - np.asarray(target, dtype=float), tolerance

    def _components(self, block, formulation):
        block.keep = co.ArrayVar(0.0, 1.0, n=len(self.off), integer=True)
        block.above = co.ArrayConstraint(block.keep, (self.off - self.tolerance).T, upper=0.0)
        block.below = co.ArrayConstraint(block.keep, (self.off + self.tolerance).T, lower=0.0)
        block.some = co.ArrayConstraint(block.keep, np.ones((1, len(self.off))), lower=1.0)
        return {"x": block.keep, "linear": 1.0}, modeling.pyo.maximize

    def result(self, result, program):
        """Put the labels back on a verified answer."""
        return SubsetResult(**result.fields(), labels=self.labels)

    def infeasible(self, result):
        """Say in the study's terms what is wrong, and what to do."""
        return co.InfeasibleError(
            f"No subset has means within {self.tolerance:g} of the targets: allow a larger tolerance."
        )
