"""What is given with row labels is never taken by position when its labels are others, or in another order."""

import numpy as np
import pandas as pd
import pytest

import causalopt as co
from causalopt.study.designs.estimators import DoublyRobust, LeastSquares, Residualised

LABELS = [f"u{k}" for k in range(8)]
RNG = np.random.default_rng(4)
DATA = pd.DataFrame(
    {
        "y": RNG.normal(size=8).round(2),
        "t": [1, 0] * 4,
        "pair": [0, 0, 1, 1, 2, 2, 3, 3],
        "stratum": ["a"] * 4 + ["b"] * 4,
        "p": np.linspace(0.3, 0.6, 8),
        "x": RNG.normal(size=8),
        "w": RNG.normal(size=8),
        "one": np.arange(8),
    },
    index=LABELS,
)

#: The same units in another order; and others. Both give designs that can produce the treatment.
SHUFFLED = DATA.iloc[::-1]
OTHERS = DATA.set_axis([*LABELS[:-1], "u9"])

DESIGNS = {
    "pairs": lambda df: co.MatchedPairs(df["pair"]),
    "strata": lambda df: co.Stratified(df["stratum"], 2),
    "clusters": lambda df: co.Cluster(df["one"], 4),
    "probabilities": lambda df: co.Bernoulli(df["p"]),
    "rerandomized": lambda df: co.Rerandomized(co.MatchedPairs(df["pair"]), lambda z: np.ones(len(z), dtype=bool)),
}
STUDIES = {
    "copula": co.CopulaProblem,
    "bootstrap": lambda y, t, design, **more: co.causal_bootstrap(y, t, design, method="isotone", draws=100, **more),
}
ORDER = r"have the same row labels in another order: use \.loc\[\.\.\.\]"
DIFFERENT = r"have different row labels \('u7' is among those of the outcome alone\); align them first"


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("design", DESIGNS)
def test_a_design_with_other_labels_than_the_outcome_is_refused(study, design):
    run, make = STUDIES[study], DESIGNS[design]
    run(DATA["y"], DATA["t"], make(DATA))
    for frame, said in ((SHUFFLED, ORDER), (OTHERS, DIFFERENT)):
        with pytest.raises(co.DataError, match=f"The design and the outcome {said}"):
            run(DATA["y"], DATA["t"], make(frame))
    run(DATA["y"], DATA["t"], make(SHUFFLED.loc[DATA.index]))


def test_columns_of_a_table_are_compared_with_the_design_too():
    call = {"outcome": "y", "treatment": "t", "method": "isotone", "draws": 100}
    co.causal_bootstrap(DATA, design=co.MatchedPairs(DATA["pair"]), **call)
    with pytest.raises(co.DataError, match=f"The design and the outcome {ORDER}"):
        co.causal_bootstrap(DATA.sample(frac=1.0, random_state=0), design=co.MatchedPairs(DATA["pair"]), **call)


@pytest.mark.parametrize("design", DESIGNS)
def test_arrays_go_by_position(design):
    made = DESIGNS[design](OTHERS)
    y, t = DATA["y"].to_numpy(), DATA["t"].to_numpy()
    labelled = co.causal_bootstrap(DATA["y"], DATA["t"], DESIGNS[design](DATA), draws=100)
    assert co.causal_bootstrap(y, t, made, draws=100).interval() == labelled.interval()
    co.CopulaProblem(y, t, made)


ESTIMATORS = {
    "covariate": (lambda df: {"estimator": "residualised", "covariates": df["x"]}, "covariates"),
    "covariates": (lambda df: {"estimator": "least-squares", "covariates": df[["x", "w"]]}, "covariates"),
    "predictions": (lambda df: {"estimator": "doubly-robust", "predictions": df["x"]}, "predictions"),
    "two predictions": (lambda df: {"estimator": "doubly-robust", "predictions": (df["x"], df["w"])}, "predictions"),
    "an array and a Series": (
        lambda df: {"estimator": "doubly-robust", "predictions": (df["x"].to_numpy(), df["w"])}, "predictions"
    ),
    "residualised": (lambda df: {"estimator": Residualised(df["x"])}, "covariates"),
    "least squares": (lambda df: {"estimator": LeastSquares(df[["x", "w"]])}, "covariates"),
    "doubly robust": (lambda df: {"estimator": DoublyRobust(df["x"])}, "predictions"),
}  # fmt: skip


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_covariates_and_predictions_with_other_labels_are_refused(study, estimator):
    run, (make, what) = STUDIES[study], ESTIMATORS[estimator]
    design = co.CompleteRandomization(4)
    run(DATA["y"], DATA["t"], design, **make(DATA))
    run(DATA["y"].to_numpy(), DATA["t"].to_numpy(), design, **make(SHUFFLED))
    for frame, said in ((SHUFFLED, ORDER), (OTHERS, DIFFERENT)):
        with pytest.raises(co.DataError, match=f"The {what} and the outcome {said}"):
            run(DATA["y"], DATA["t"], design, **make(frame))


def test_predictions_of_both_arms_have_the_same_labels():
    with pytest.raises(co.DataError, match=rf"The predictions of Y\(1\) and those of Y\(0\) {ORDER}"):
        DoublyRobust(DATA["x"], SHUFFLED["w"])


@pytest.mark.parametrize(
    "call",
    [
        lambda df: co.CopulaProblem(DATA["y"], df["t"], co.CompleteRandomization(4)),
        lambda df: co.CopulaProblem(DATA["y"], DATA["t"], co.CompleteRandomization(4), strata=df["stratum"]),
        lambda df: co.BalanceProblem(DATA[["x"]], df["t"]),
        lambda df: co.BalanceProblem(DATA[["x"]], DATA["t"], base_weights=df["p"]),
        lambda df: co.solve(co.BalanceProblem(DATA[["x"]], DATA["t"], tolerance=5)).estimate(df["y"]),
    ],
)
def test_the_same_labels_in_another_order_are_told_from_others(call):
    with pytest.raises(co.DataError, match=ORDER):
        call(SHUFFLED)
    with pytest.raises(co.DataError, match=r"have different row labels \('u7' is"):
        call(OTHERS)


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("treated", [None, 1])
def test_three_arms_are_told_to_keep_two(study, treated):
    three = DATA["t"].where(DATA["one"] > 1, 2)
    with pytest.raises(co.DataError) as caught:
        STUDIES[study](DATA["y"], three, co.CompleteRandomization(4), treated=treated)
    said = str(caught.value)
    assert "Treatment 't' must take two values; it takes 3: 0, 1, 2. Keep the rows of two arms" in said
    assert "ATT" not in said and "treated=" not in said


@pytest.mark.parametrize("dtype", ["str", object, "string", "datetime64[ns]"])
@pytest.mark.parametrize("study", STUDIES)
def test_outcomes_in_words_are_refused_even_where_they_are_digits(study, dtype):
    words = pd.Series([str(k) for k in range(2001, 2009)], index=LABELS, name="y").astype(dtype)
    with pytest.raises(co.DataError, match=r"Outcome 'y' is not numeric \(it holds '2001.*pd.to_numeric"):
        STUDIES[study](words, DATA["t"], co.CompleteRandomization(4))
    result = co.solve(co.BalanceProblem(DATA[["x"]], DATA["t"], tolerance=5))
    with pytest.raises(co.DataError, match="is not numeric"):
        result.estimate(words)


def test_outcomes_of_any_numeric_type_are_taken():
    for dtype in (float, object, "Int64", "Float64", bool):
        y = DATA["one"].astype(dtype)
        assert np.isfinite(co.CopulaProblem(y, DATA["t"], co.CompleteRandomization(4)).outcome).all()
