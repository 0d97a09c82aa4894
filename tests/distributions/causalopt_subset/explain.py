"""The subset in plain words: `causalopt` finds this module beside that of the result's class."""

import causalopt as co
from causalopt.solving.explain import Words, explanation
from causalopt_subset.problem import SubsetResult


@co.explains(SubsetResult)
def words(result: SubsetResult) -> str:
    """Return what a subset says of itself."""
    kept = f"{len(result.kept):,} of {len(result.labels):,} controls are kept."
    return explanation(result, Words("The largest balanced subset of controls was sought.", (kept,)))
