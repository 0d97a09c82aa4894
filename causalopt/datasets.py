"""Real data for examples, from packages that ship it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from causalopt.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

#: Difference of mean 1978 earnings in the randomized experiment, treated minus control (Dehejia and Wahba 1999).
NSW_EXPERIMENTAL_BENCHMARK = 1794.34


def nsw_with_cps_controls() -> pd.DataFrame:
    """Return the 185 treated of the National Supported Work experiment with 15,992 controls from a population survey.

    LaLonde (1986) asked whether observational methods recover the experiment's answer; this is the sample of Dehejia
    and Wahba (1999). Columns: treat, age, educ (years), black, hisp, marr, nodegree (0/1), re74, re75, re78 (real
    earnings in 1982 US$; re78 is the outcome), and no74, no75 (no earnings in that year, 0/1).

    Raises
    ------
    DataError
        Where the package causaldata, which ships the data, is not installed.

    Examples
    --------
    >>> df = nsw_with_cps_controls()
    >>> df["treat"].value_counts().to_dict()
    {0: 15992, 1: 185}
    """
    import pandas as pd

    try:
        import causaldata
    except ImportError:
        raise DataError("This data comes with the package causaldata: pip install 'pycausalopt[demo]'.") from None
    experiment = causaldata.nsw_mixtape.load_pandas().data
    survey = causaldata.cps_mixtape.load_pandas().data
    df = pd.concat([experiment[experiment["treat"] == 1], survey], ignore_index=True).drop(columns="data_id")
    df["treat"] = df["treat"].astype(int)
    for year in ("74", "75"):
        df[f"no{year}"] = (df[f"re{year}"] == 0).astype(int)
    return df
