"""What a balance problem is given, read once: covariates and targets over one basis, groups, weights and tolerances."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from causalopt.basis import Column, Term, expand
from causalopt.errors import DataError
from causalopt.messages import argument
from causalopt.modeling.program import Floats, Ints
from causalopt.problems.balance.rows import Group, RowBlock, between_blocks, group_block
from causalopt.solving.options import unknown_name
from causalopt.study.moments import Moments, refuse_constant
from causalopt.study.reading import (
    as_frame,
    read_covariates,
    read_treatment,
    read_weights,
    spread_by_name,
    treated_code,
)

ESTIMANDS = ("ATT", "ATC", "ATE", "population")
SCALES = ("target", "treated", "group", "pooled", "raw")
NORMS = ("l2", "l1", "linf")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Given:
    """The arguments of a `BalanceProblem`, as they are given."""

    covariates: Any
    treatment: Any
    estimand: str
    tolerance: float | Mapping[str, float]
    scale: str | Mapping[str, str]
    target: Any
    basis: Sequence[Term]
    sampling_weights: Any
    base_weights: Any
    lower: float
    upper: float
    treated: Any
    norm: str
    between: float | Mapping[str, float] | None


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class BalanceStudy:
    """A balance problem's data, read and checked.

    Attributes
    ----------
    given : Given
        What they were read from.
    index : Index
        The rows' labels.
    codes : (n,) int array
        Each row's treatment group, by its number in `levels`.
    levels : list
        The treatment values.
    treated_code : int or None
        Which of them is the treated group.
    sampling : (n,) array or None
        Survey weights.
    moments : Moments
        The covariate functions, their targets and spreads.
    names : list of str
        Of the P covariate functions.
    scale : list of str
        The unit of each tolerance.
    tolerance : (P,) array
    between : (P,) array or None
        Largest differences between two groups.
    groups : tuple of Group
        The groups that are weighted.
    blocks : tuple of RowBlock
        The rows of the program: one block a group, then one a pair of groups under `between`.
    """

    given: Given
    index: pd.Index
    codes: Ints
    levels: list[Any]
    treated_code: int | None
    sampling: Floats | None
    moments: Moments
    names: list[str]
    scale: list[str]
    tolerance: Floats
    between: Floats | None
    groups: tuple[Group, ...]
    blocks: tuple[RowBlock, ...]

    @property
    def estimand(self) -> str:
        """Whom the groups are weighted to."""
        return self.given.estimand

    @property
    def norm(self) -> str:
        """What is minimised of the weights."""
        return self.given.norm

    @property
    def lower(self) -> float:
        """The least weight, as a multiple of the average."""
        return float(self.given.lower)

    @property
    def upper(self) -> float:
        """The greatest weight, as a multiple of the average."""
        return float(self.given.upper)

    @property
    def target(self) -> Floats:
        """The target's means."""
        return self.moments.target

    @property
    def n_weights(self) -> int:
        """Number of weights in the model."""
        return self.groups[-1].stop

    @property
    def dropped(self) -> list[str]:
        """Covariate functions whose exact balance follows from that of the others, and that are left to them."""
        names = []
        for block in self.blocks[: len(self.groups)]:
            for p, name in enumerate(self.names):
                if p not in block.kept and np.isfinite(block.tolerance[p]) and name not in names:
                    names.append(name)
        return names

    def with_tolerance(self, tolerance: Floats) -> BalanceStudy:
        """Return the same study with other tolerances (P values), sharing all other data."""
        by_name = dict(zip(self.names, tolerance.tolist(), strict=True))
        given = dataclasses.replace(self.given, tolerance=by_name)
        blocks = _blocks(self.groups, tolerance, self.between)
        return dataclasses.replace(self, given=given, tolerance=tolerance, blocks=blocks)

    def resampled(self, rows: Ints, rng: np.random.Generator) -> BalanceStudy:
        """Return the study of a sample of the rows, and of rows of the target, where it is a DataFrame."""
        given = self.given
        own = {name: getattr(given, name) for name in ("treatment", "sampling_weights", "base_weights")}
        changes: dict[str, Any] = {name: np.asarray(values)[rows] for name, values in own.items() if values is not None}
        if isinstance(given.target, pd.DataFrame):
            changes["target"] = given.target.iloc[rng.integers(0, len(given.target), len(given.target))]
        frame = given.covariates.iloc[rows].reset_index(drop=True)
        return read_study(dataclasses.replace(given, covariates=frame, **changes))


def read_study(given: Given) -> BalanceStudy:
    """Read and check what a balance problem is given.

    Raises
    ------
    DataError
        As `BalanceProblem` says.
    """
    given = dataclasses.replace(given, covariates=as_frame(given.covariates))
    _refuse_arguments(given)
    index, estimand = given.covariates.index, given.estimand
    columns, reference = expand_with_target(given.covariates, given.basis, given.target, estimand)
    names = [column.name for column in columns]
    codes, levels = read_treatment(given.treatment, index, estimand, given.treated)
    treated = treated_code(levels, given.treated, estimand)
    sampling = read_weights(given.sampling_weights, index, "sampling_weights")
    base = sampling if given.base_weights is None else read_weights(given.base_weights, index, "base_weights")
    moments = Moments(columns, codes, len(levels), treated, estimand, sampling, reference)
    refuse_constant(columns, moments.spread)
    scale = spread_by_name(given.scale, columns, "scale", "target")
    for unit in scale:
        if unit not in SCALES:
            raise DataError(unknown_name("scale", str(unit), SCALES))
    may_be_infinite = given.between is not None
    tolerance = read_tolerances(spread_by_name(given.tolerance, columns, "tolerance"), names, may_be_infinite)
    groups = _groups(moments, levels, scale, base)
    between = None
    if given.between is not None:
        if len(groups) < 2:
            needs = argument("between", assigned=True)
            raise DataError(f"{needs} needs several groups that are weighted; {estimand} weights one.")
        between = read_tolerances(spread_by_name(given.between, columns, "between"), names, False)
    return BalanceStudy(
        given=given,
        index=index,
        codes=codes,
        levels=levels,
        treated_code=treated,
        sampling=sampling,
        moments=moments,
        names=names,
        scale=scale,
        tolerance=tolerance,
        between=between,
        groups=groups,
        blocks=_blocks(groups, tolerance, between),
    )


def _refuse_arguments(given: Given) -> None:
    """Raise `DataError` for an unknown estimand or norm, and for bounds that no weights satisfy."""
    if given.estimand not in ESTIMANDS:
        raise DataError(unknown_name("estimand", str(given.estimand), ESTIMANDS))
    for name, bound in (("lower", given.lower), ("upper", given.upper)):
        if not isinstance(bound, numbers.Real) or isinstance(bound, bool):
            raise DataError(f"{argument(name)} is {bound!r}; it must be a number, a multiple of the average weight.")
    if not given.lower <= 1 <= given.upper:
        raise DataError(
            f"Weights between {given.lower} and {given.upper} times their average cannot average to one: "
            f"{argument('lower', assigned=True)} must be at most 1 and {argument('upper', assigned=True)} at least 1."
        )
    if given.norm not in NORMS:
        raise DataError(unknown_name("norm", str(given.norm), NORMS))


def _groups(moments: Moments, levels: Sequence[Any], scale: Sequence[str], base: Floats | None) -> tuple[Group, ...]:
    """Return the groups that are weighted, with their rows as deviations from the target."""
    groups: list[Group] = []
    columns, codes = moments.columns, moments.codes
    for code in moments.weighted:
        members = np.flatnonzero(codes == code)
        rows = np.empty((len(columns) + 1, len(members)))
        everyone = len(members) == len(codes)
        for p, column in enumerate(columns):
            values = column.values if everyone else column.values[members]
            np.subtract(values, moments.target[p], out=rows[p])
            rows[p] /= moments.spread[p]
        rows[-1] = 1.0
        unit = moments.units(scale, columns, code) / moments.spread
        own = mean_one(base, members), mean_one(moments.sampling, members)
        groups.append(Group(levels[code], members, rows, *own, unit, groups[-1].stop if groups else 0))
    return tuple(groups)


def _blocks(groups: Sequence[Group], tolerance: Floats, between: Floats | None) -> tuple[RowBlock, ...]:
    blocks = [group_block(group, tolerance) for group in groups]
    return (*blocks, *(between_blocks(groups, between) if between is not None else ()))


def expand_with_target(
    frame: pd.DataFrame, basis: Sequence[Term], target: Any, estimand: str
) -> tuple[list[Column], Floats | list[Floats] | None]:
    """Expand the basis; on data and target rows together, where the target is a DataFrame, so that cut points agree."""
    if (target is not None) != (estimand == "population"):
        population, needed = argument("estimand", "population"), argument("target", assigned=True)
        raise DataError(
            f"{population} needs {needed}: a mapping of means, or a DataFrame."
            if target is None
            else f"{needed} goes with {population}, not {estimand!r}."
        )
    if not isinstance(target, pd.DataFrame):
        columns = expand(read_covariates(frame), basis)
        return columns, None if target is None else _target_means(target, [c.name for c in columns])
    missing = [name for name in frame.columns if name not in target.columns]
    if missing:
        raise DataError(f"The target has no column {missing[0]!r}.")
    stacked = pd.concat([frame, target[list(frame.columns)]], ignore_index=True)
    read_covariates(target[list(frame.columns)], "target")  # errors with the target's own row labels
    n = len(frame)
    columns = expand(read_covariates(stacked), basis)
    rows = [Column(c.name, c.sources, c.values[:n], c.factor) for c in columns]
    return rows, [c.values[n:] for c in columns]


def _target_means(target: Any, names: Sequence[str]) -> Floats:
    means = {str(key): value for key, value in dict(target).items()}
    for name in means:
        if name not in names:
            raise DataError(unknown_name("covariate in the target", name, names))
    missing = [name for name in names if name not in means]
    if missing:
        raise DataError(f"The target gives no mean for {', '.join(map(repr, missing))}.")
    values = np.array([float(means[name]) for name in names])
    if not np.isfinite(values).all():
        raise DataError(f"The target mean of {names[int(np.flatnonzero(~np.isfinite(values))[0])]!r} is not finite.")
    return values


def mean_one(weights: Floats | None, members: Ints) -> Floats | float:
    """Return the weights of some rows divided by their mean; one where there are none."""
    if weights is None:
        return 1.0
    own = weights[members]
    return np.asarray(own / own.mean())


def read_tolerances(values: Sequence[Any], names: Sequence[str], may_be_infinite: bool) -> Floats:
    """Return tolerances as numbers; raise `DataError`, with the name, for one that is none."""
    for value, name in zip(values, names, strict=True):
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not (number and value >= 0 and (np.isfinite(value) or may_be_infinite)):
            raise DataError(f"The tolerance for {name!r} is {value!r}; it must be a number, zero or positive.")
    return np.array(values, dtype=float)
