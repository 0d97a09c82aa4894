"""What `causalopt bootstrap` is asked, in the terms of an experiment: its design, as large as the data says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from causalopt.console.reading import refuse_text, require
from causalopt.errors import DataError, OptionError
from causalopt.study.designs.design import Bernoulli, CompleteRandomization
from causalopt.study.designs.grouped import Cluster, MatchedPairs, Stratified
from causalopt.study.reading import read_treatment, shown_label, treated_code


def design_of(
    frame: pd.DataFrame, kind: str, groups: str | None, probability: str | None, treatment: str, treated: Any
) -> Any:
    """Return the design, with as many treated units or clusters as the data has."""
    if (groups is None) == (kind in ("pairs", "stratified", "cluster")):
        raise OptionError(
            f"--design {kind} needs --groups, the column of its {'clusters' if kind == 'cluster' else kind}."
            if groups is None
            else f"--groups has no meaning for --design {kind}."
        )
    if (probability is None) == (kind == "bernoulli"):
        raise OptionError(
            "--design bernoulli needs --probability, a number or a column."
            if probability is None
            else f"--probability has no meaning for --design {kind}."
        )
    if kind == "bernoulli":
        return _bernoulli(frame, str(probability))
    codes, levels = read_treatment(frame[treatment], frame.index, "ATT", treated)
    z = codes == treated_code(levels, treated, "ATT")
    return CompleteRandomization(int(z.sum())) if kind == "complete" else _grouped(frame[str(groups)], kind, z)


def _bernoulli(frame: pd.DataFrame, probability: str) -> Bernoulli:
    if probability in frame.columns:
        refuse_text(frame, [probability], categories=False)
        return Bernoulli(frame[probability].to_numpy(dtype=float))
    try:
        share = float(probability)
    except ValueError:
        require(frame, [probability], "--probability")
    if not 0 < share < 1:
        raise OptionError(f"--probability is {share:g}; it must lie strictly between 0 and 1.")
    return Bernoulli(share)


def _grouped(column: pd.Series, kind: str, z: np.ndarray[Any, Any]) -> Any:
    """Return the design of pairs, strata or clusters in a column, of which z says who is treated."""
    if kind == "pairs":
        return MatchedPairs(column.to_numpy())
    of_group = pd.Series(z, index=column.index).groupby(column)
    if kind == "stratified":
        return Stratified(column.to_numpy(), {key: int(count) for key, count in of_group.sum().items()})
    mixed = of_group.nunique() > 1
    if mixed.any():
        raise DataError(
            f"--design cluster: {column.name} {shown_label(mixed.index[mixed][0])} has treated and untreated units, "
            "but clusters are treated as a whole. --design stratified is for treatment within groups."
        )
    return Cluster(column.to_numpy(), int(column[z].nunique()))
