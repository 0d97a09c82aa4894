"""What every answer does by what was registered for its kind: it explains itself, and it is drawn.

A problem's folder keeps words in `explain.py` and pictures in `plot.py`, beside the module of the answer's class. They
are imported when first asked for, and register by `explains` and `draws`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from causalopt.errors import DataError, OptionError
from causalopt.solving.options import unknown_name

A = TypeVar("A", bound="Answer")

_WORDS: dict[type, Callable[..., str]] = {}
_PICTURES: dict[type, dict[str, Callable[..., Any]]] = {}


class Answer:
    """An answer that explains itself in plain words, and can be drawn.

    Examples
    --------
    >>> import causalopt as co
    >>> result = co.solve(co.Program.from_arrays([1.0], upper=4.0))
    >>> isinstance(result, co.Answer), result.explain().splitlines()[0]
    (True, 'A model with 1 variables and 0 constraints was solved.')
    """

    def explain(self, **options: Any) -> str:
        """Return the answer in plain words: what was solved, by whom, what is proven, and what it does not say.

        Parameters
        ----------
        **options
            Those of the kind of answer, such as the `level` of a test.

        Raises
        ------
        DataError
            Where nothing explains this kind of answer.
        """
        words = words_of(type(self))
        if words is None:
            raise DataError(f"Nothing explains a {type(self).__name__}; register words with causalopt.explains.")
        return words(self, **options)

    def plot(self, kind: str | None = None, ax: Any = None, **options: Any) -> Any:
        """Draw a picture of the answer.

        Parameters
        ----------
        kind : str, optional
            Which of the pictures of this kind of answer; the first unless given. An unknown name lists them.
        ax : matplotlib Axes, optional
            Those of a new figure unless given; of pictures with several panels, as many.
        **options
            Those of the picture.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        OptionError
            For an unknown kind or option.
        DataError
            Where the answer has no pictures, for data that a picture needs, and without matplotlib (extra `plot`).
        """
        pictures = pictures_of(type(self))
        if not pictures:
            raise DataError(f"A {type(self).__name__} has no pictures; register some with causalopt.draws.")
        kind = next(iter(pictures)) if kind is None else kind
        kinds = ", ".join(map(repr, pictures))
        if not isinstance(kind, str):
            raise OptionError(
                f"The first argument of plot is the kind of picture ({kinds}), not {type(kind).__name__}; Axes are "
                "given by name, ax=..."
            )
        if kind not in pictures:
            raise OptionError(f"Unknown kind of picture {kind!r}; {type(self).__name__} has {kinds}.")
        takes = [p.name for p in inspect.signature(pictures[kind]).parameters.values() if p.kind is p.KEYWORD_ONLY]
        for name in options:
            if not takes:
                raise OptionError(f"The picture {kind!r} takes no options; {name!r} is not one.")
            if name not in takes:
                raise OptionError(unknown_name(f"option of the picture {kind!r}", name, takes))
        return pictures[kind](self, ax, **options)


def explains(kind: type[A]) -> Callable[[Callable[..., str]], Callable[..., str]]:
    """Return a decorator that registers a function as that which explains answers of a kind.

    Parameters
    ----------
    kind : subclass of Answer

    Examples
    --------
    >>> import causalopt as co
    >>> class Coin(co.Answer):
    ...     pass
    >>> @co.explains(Coin)
    ... def words(coin):
    ...     return "A coin was tossed."
    >>> Coin().explain()
    'A coin was tossed.'
    """

    def register(words: Callable[..., str]) -> Callable[..., str]:
        _WORDS[kind] = words
        return words

    return register


def draws(kind: type[Answer], pictures: Mapping[str, Callable[..., Any]]) -> None:
    """Register the pictures of answers of a kind, by name; the first is drawn unless another is asked for.

    Parameters
    ----------
    kind : subclass of Answer
    pictures : mapping of functions
        Of the answer, Axes or None, and options by keyword; each returns its Axes.

    Examples
    --------
    >>> import causalopt as co
    >>> class Coin(co.Answer):
    ...     pass
    >>> co.draws(Coin, {"side": lambda coin, ax, *, size=1.0: f"a side of size {size}"})
    >>> Coin().plot("side", size=2.0)
    'a side of size 2.0'
    """
    _PICTURES[kind] = dict(pictures)


def words_of(kind: type[Answer]) -> Callable[..., str] | None:
    """Return the function that explains answers of a kind; None where there is none.

    Parameters
    ----------
    kind : subclass of Answer
    """
    found: Callable[..., str] | None = _registered(_WORDS, kind, "explain")
    return found


def pictures_of(kind: type[Answer]) -> Mapping[str, Callable[..., Any]]:
    """Return the pictures of answers of a kind, by name.

    Parameters
    ----------
    kind : subclass of Answer
    """
    found: Mapping[str, Callable[..., Any]] | None = _registered(_PICTURES, kind, "plot")
    return found or {}


def _registered(table: dict[type, Any], kind: type, module: str) -> Any:
    """Return what is registered for a class or the nearest of its bases, after importing the module beside each."""
    for base in kind.__mro__:
        if base not in table:
            beside = f"{base.__module__.rpartition('.')[0]}.{module}"
            if beside.startswith(".") or importlib.util.find_spec(beside) is None:
                continue
            importlib.import_module(beside)
        if base in table:
            return table[base]
    return None
