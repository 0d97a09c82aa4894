"""What functions of the covariates are made cannot depend on the order of the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import causalopt as co

TERMS = {
    "moments": co.basis.moments(2),
    "quantiles": co.basis.quantiles((0.7,)),
    "piecewise": co.basis.piecewise(2, degree=0),
}


def study(late):
    """Return a covariate of zeros and ones with few other values: in the first rows, or late ones."""
    rng = np.random.default_rng(12)
    kids = np.r_[rng.integers(0, 2, 1_500), rng.integers(0, 3, 4_500)].astype(float)
    df = pd.DataFrame({"kids": kids, "t": (rng.random(6_000) < 0.2 + 0.3 * (kids == 2)).astype(int)})
    df["two"] = (df["kids"] == 2) * 1.0
    return df.sort_values("kids", ascending=late, kind="stable")


@pytest.mark.parametrize("name", TERMS)
def test_the_functions_are_the_same_in_any_order_of_rows(name):
    names = [
        co.BalanceProblem(df[["kids"]], df["t"], basis=[TERMS[name]], tolerance=0.1).names
        for df in (study(True), study(False), study(True).sample(frac=1.0, random_state=1))
    ]
    assert names[0] == names[1] == names[2] and len(names[0]) > 1


def test_a_value_that_comes_late_is_balanced():
    for late in (True, False):
        result = co.balance(study(late), treatment="t", covariates=["kids"], basis=[TERMS["moments"]], tolerance=0)
        assert result.estimate("two").estimate == pytest.approx(0.0, abs=1e-9)


def test_two_values_have_no_powers_wherever_they_stand():
    df = pd.DataFrame({"x": [3.0] * 2_000 + [7.0], "t": [0, 1] * 1_000 + [1]})
    assert co.BalanceProblem(df[["x"]], df["t"], basis=[co.basis.moments(3)], tolerance=0.1).names == ["x"]
