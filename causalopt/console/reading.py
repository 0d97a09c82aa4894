"""Reading the data of a command: a CSV or Parquet file or standard input, columns by name, and formulas."""

from __future__ import annotations

import importlib.util
import io
import re
import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causalopt.console.arguments import Functions, Reading, check_choice, names
from causalopt.console.loading import Later
from causalopt.console.missing import POLICIES
from causalopt.errors import DataError, OptionError
from causalopt.solving.options import unknown_name

if TYPE_CHECKING:
    import pandas as pd

#: Endings of names that are read as CSV.
CSV = (".csv", ".tsv", ".txt", ".gz", ".bz2", ".xz", ".zip")

labels = Later("causalopt.study.reading")

#: Numbers whose squares and sums of squares are far from overflow.
LARGEST = 1e100


def read_data(reading: Reading) -> pd.DataFrame:
    """Read the data; rows are labelled 1, 2, ... unless a column labels them.

    Raises
    ------
    DataError
        For a file that is missing or unreadable, of another format, empty, or with repeated column names.
    """
    check_choice(reading.missing, POLICIES, "--missing")
    frame = _read(reading)
    if not len(frame):
        raise DataError(f"{_name(reading)} has no rows below its header.")
    frame.index = type(frame.index)(range(1, len(frame) + 1), name="row")
    if reading.index is not None:
        require(frame, [reading.index], "--index")
        unnamed = frame.index[frame[reading.index].isna()]
        if len(unnamed):
            raise DataError(f"--index {reading.index}: row {unnamed[0]} has no label; give it one.")
        frame = frame.set_index(reading.index)
        twice = frame.index[frame.index.duplicated()]
        if len(twice):
            raise DataError(
                f"--index {reading.index}: the label {labels.shown_label(twice[0])} occurs more than once. Take a "
                "column that has another label in each row, or leave --index out."
            )
    return frame


def _read(reading: Reading) -> pd.DataFrame:
    path = Path(reading.data)
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    if reading.data != "-":
        if not is_parquet and path.suffix.lower() not in CSV:
            ending = path.suffix or "no ending"
            raise DataError(f"{reading.data} has {ending}: a .csv (or .csv.gz) or .parquet file is read, or - (CSV).")
        if not path.is_file():
            raise DataError(f"There is no file {reading.data}{_nearest(path)}.")
    if is_parquet:
        return _read_parquet(path)
    header, frame = _read_csv(reading, _separator(reading))
    _refuse_repeated(header.iloc[0].str.strip(), _name(reading))
    frame.columns = frame.columns.str.strip()
    if len(frame.columns) == 1 and any(mark in str(frame.columns[0]) for mark in ";\t,|"):
        raise DataError(
            f"{_name(reading)} has one column, named {frame.columns[0]!r}: is it separated by something else? Say "
            "--separator ';' (or another)."
        )
    return frame


def _separator(reading: Reading) -> str:
    if len(reading.separator) != 1 and reading.separator != "\\t":
        raise OptionError(f"--separator is {reading.separator!r}; it must be one character, or \\t.")
    if len(reading.decimal) != 1 or reading.decimal == reading.separator:
        raise OptionError(
            f"--decimal is {reading.decimal!r} and --separator {reading.separator!r}; they must be two different "
            "characters. Files with decimal commas mostly have --separator ';'."
        )
    return "\t" if reading.separator == "\\t" else reading.separator


def _read_csv(reading: Reading, separator: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the header as it stands, and the table."""
    import pandas as pd

    try:
        source: Any = io.StringIO(sys.stdin.read()) if reading.data == "-" else Path(reading.data)
        header = pd.read_csv(source, sep=separator, header=None, nrows=1, dtype=str)
        if reading.data == "-":
            source.seek(0)
        # Without index_col, values that the header has no name for would move all others one column to the right.
        settings: dict[str, Any] = {"sep": separator, "decimal": reading.decimal, "index_col": False}
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return header, pd.read_csv(source, low_memory=False, **settings, **exact_numbers())
    except UnicodeDecodeError:
        raise DataError(
            f"{_name(reading)} is not in UTF-8: save it in that encoding first (in a spreadsheet: 'CSV UTF-8')."
        ) from None
    except (pd.errors.ParserWarning, pd.errors.ParserError) as error:
        raise DataError(f"{_name(reading)} has {_ragged(str(error), separator)}") from None
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise DataError(f"{_name(reading)} cannot be read as CSV: {str(error).strip().rstrip('.')}.") from None


def _ragged(message: str, separator: str) -> str:
    """Return in words what pandas says of rows that are longer than others, and what to do."""
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    what = (
        f"{found[3]} values in line {found[2]}, and {found[1]} before it" if found else "more values than column names"
    )
    return (
        f'{what}. A value that holds {separator!r} must stand in quotes, as "a{separator}b". Or is something else '
        "between the columns? Say --separator ';' then (and --decimal ',' for decimal commas)."
    )


def exact_numbers() -> dict[str, Any]:
    """Return what makes pandas read decimals to the last bit, as it does by itself since 3.1."""
    import pandas as pd

    version = tuple(int(part) for part in pd.__version__.split(".")[:2])
    return {} if version >= (3, 1) else {"float_precision": "round_trip"}


def _name(reading: Reading) -> str:
    return "Standard input" if reading.data == "-" else reading.data


def _refuse_repeated(header: pd.Series, source: str) -> None:
    twice = header[header.duplicated() & header.notna()]
    if len(twice):
        raise DataError(f"{source} has two columns named {twice.iloc[0]!r}; rename one.")


def _nearest(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f": there is no folder {folder}"
    near = get_close_matches(path.name, [other.name for other in folder.iterdir()], n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    require_parquet()
    try:
        return pd.read_parquet(path).reset_index(drop=True)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}.") from None


def require_parquet() -> None:
    """Raise `DataError` where pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError("Parquet files need pyarrow: pip install 'pycausalopt[parquet]'. CSV needs nothing.")


def require(frame: pd.DataFrame, wanted: Iterable[str], option_name: str) -> None:
    """Raise `DataError` naming the first column that is not there, and the nearest ones that are."""
    for name in wanted:
        if name not in frame.columns:
            raise DataError(f"{option_name}: {unknown_name('column', name, map(str, frame.columns))}")


def columns_named(frame: pd.DataFrame, asked: Any, *options: str) -> list[str]:
    """Return the columns that options of a command name, those that are given, after checking that they are there."""
    found = {name: getattr(asked, name) for name in options if getattr(asked, name) is not None}
    for name, column in found.items():
        require(frame, [column], f"--{name.replace('_', '-')}")
    return list(found.values())


def as_factors(frame: pd.DataFrame, wanted: Iterable[str]) -> pd.DataFrame:
    """Return the frame with columns turned into factors, which are balanced level by level."""
    wanted = list(wanted)
    require(frame, wanted, "--categories")
    return frame.assign(**{name: frame[name].astype("category") for name in wanted})


def covariates_of(frame: pd.DataFrame, functions: Functions) -> pd.DataFrame:
    """Return the columns that are to be balanced: numbers, and factors."""
    columns = functions.columns(frame.columns)
    require(frame, columns, "--covariates")
    prepared = as_factors(frame, names(functions.categories, frame.columns))
    refuse_text(prepared, columns)
    return prepared[columns]


def refuse_text(frame: pd.DataFrame, wanted: Iterable[str], categories: bool = True) -> None:
    """Raise `DataError` for columns that are not numbers: mistakes or, where the command takes these, categories."""
    import pandas as pd

    for name in wanted:
        series = frame[name]
        if isinstance(series.dtype, pd.CategoricalDtype):
            continue
        if pd.api.types.is_numeric_dtype(series.dtype):
            largest = series.abs().where(series.abs() < float("inf")).max()
            if largest > LARGEST:
                raise DataError(
                    f"Column {name!r} holds numbers as large as {largest:.3g}, whose squares are too large to compute "
                    "with. Divide it by a constant."
                )
            continue
        advice = f" Correct the values{f'; or, if it is a category, say --categories {name}' if categories else ''}."
        bad = series[pd.to_numeric(series.astype(str), errors="coerce").isna() & series.notna()]
        if len(bad) and bad.astype(str).str.match(r"\s*\d{4}-\d\d?-\d\d?").all():
            advice = " These are dates: make them numbers first, such as days since the first of them."
        elif len(bad) and bad.astype(str).str.fullmatch(r"\s*-?\d+,\d+\s*").all():
            advice = " If these are decimal commas, say --decimal ,; if commas group thousands, take them out."
        if not len(bad) and series.dropna().map(type).eq(int).all():
            raise DataError(f"Column {name!r} holds whole numbers of more than 18 digits. Divide them by a constant.")
        if not len(bad):
            raise DataError(f"Column {name!r} is not numeric: its type is {series.dtype}.{advice}")
        rows = ", ".join(map(str, bad.index[:5])) + (", ..." if len(bad) > 5 else "")
        raise DataError(
            f"Column {name!r} is not numeric in {len(bad):,} row(s): {rows}; the first holds {str(bad.iloc[0])!r}."
            f"{advice}"
        )


def value_of(text: str | None, column: pd.Series) -> Any:
    """Return the value of a column that a word on the command line stands for."""
    if text is None:
        return None
    found = list(column.dropna().unique())
    # "1" is the text "1" where there is one, and only else another writing of that number, such as 1.0 or "01".
    meant = [value for value in found if str(value) == text] or [v for v in found if _same(v, text)]
    if len(meant) == 1:
        return meant[0].item() if hasattr(meant[0], "item") else meant[0]
    if meant:
        several = " or ".join(repr(str(value)) for value in meant)
        raise DataError(f"{text!r} may be {several} in column {str(column.name)!r}; write it as it stands there.")
    message = unknown_name(f"value of column {str(column.name)!r}", text, map(str, found))
    if "," in text and {part.strip() for part in text.split(",")} <= set(map(str, found)):
        message += " To name several, repeat the option."
    raise DataError(message)


def _same(value: Any, text: str) -> bool:
    """Return whether a word is another writing of a number or truth value."""
    if str(value) in ("True", "False"):
        return str(value).lower() == text.lower()
    try:
        return bool(float(value) == float(text))
    except (TypeError, ValueError):
        return False


# ---- formulas ----


def split_formula(formula: str) -> tuple[list[str], str]:
    """Return the names left of the tilde and what is right of it.

    Examples
    --------
    >>> split_formula("quit + active ~ age + C(race)")
    (['quit', 'active'], 'age + C(race)')
    """
    left, tilde, right = formula.partition("~")
    names = [name.strip().strip("`") for name in left.split("+") if name.strip()]
    if not tilde or not names or not right.strip():
        raise OptionError(f"--formula {formula!r} is not of the form 'treatment ~ covariates'.")
    return names, right.strip()


def formula_columns(frame: pd.DataFrame, right: str) -> list[str]:
    """Return the columns that a formula's right-hand side is made of.

    Raises
    ------
    OptionError
        For a formula that cannot be parsed.
    DataError
        For columns that do not exist.
    """
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    try:
        columns = sorted(map(str, Formula(f"{right} - 1").required_variables))
    except FormulaicError as error:
        raise OptionError(_unusable(error, right, frame)) from None
    for name in columns:
        if name not in frame.columns:
            raise DataError(f"--formula: {unknown_name('column or function', name, map(str, frame.columns))}")
    return columns


def expand_formula(frame: pd.DataFrame, right: str) -> pd.DataFrame:
    """Return the covariates that a formula's right-hand side stands for, without an intercept.

    A single factor, `C(race)` or a text column, stays one column (a category), so that its levels share one unit of
    tolerance and none is left out; products with factors become one column a level. There must be no missing values.

    Raises
    ------
    OptionError
        For a formula that cannot be evaluated, or two of whose terms have the same name.
    """
    import pandas as pd
    from formulaic import Formula, model_matrix
    from formulaic.errors import FormulaicError

    try:
        formula = Formula(f"{right} - 1")
        matrix = model_matrix(formula, frame, ensure_full_rank=False, na_action="ignore", context={})
    except FormulaicError as error:
        raise OptionError(_unusable(error, right, frame)) from None
    parts: dict[str, Any] = {}
    spec = matrix.model_spec
    values = pd.DataFrame(matrix)
    for term, place in spec.term_slices.items():
        own = values.iloc[:, place]
        factor = next(iter(term.factors)) if len(term.factors) == 1 else None
        if factor is not None and factor in spec.factor_contrasts:
            levels = list(spec.factor_contrasts[factor].levels)
            name = re.sub(r"^C\((\w+)\)$", r"\1", str(factor))
            codes = own.to_numpy(dtype=float).argmax(axis=1)
            new: dict[str, Any] = {name: pd.Categorical.from_codes(codes, categories=levels)}
        else:
            new = {str(name): own[name].to_numpy(dtype=float) for name in own.columns}
        twice = next((name for name in new if name in parts), None)
        if twice is not None:
            raise OptionError(
                f"--formula: two terms of {right!r} give a covariate named {twice!r}. Leave one out, or copy "
                "its column under another name."
            )
        parts |= new
    if not parts:
        raise OptionError(f"--formula: there are no covariates in {right!r}.")
    return pd.DataFrame(parts, index=frame.index)


def _unusable(error: Exception, right: str, frame: pd.DataFrame) -> str:
    """Return a message of formulaic in one line, without its colours and marks, and what to do about names."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)).split()).removesuffix(" - 1")
    odd = [name for name in map(str, frame.columns) if name in right and not name.isidentifier()]
    advice = f" Names that are not one word stand in backticks: `{odd[0]}`." if odd else ""
    return f"--formula cannot be used: {text.rstrip('.')}.{advice}"
