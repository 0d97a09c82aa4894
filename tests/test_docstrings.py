"""Docstrings of the public interface are complete: every parameter, what is raised and returned, an example."""

import abc
import ast
import enum
import inspect
import textwrap

import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc

import causalopt as co
from tools.public_api import public_members, public_objects

CLASSES = {name: value for name, value in public_objects().items() if inspect.isclass(value)}
FUNCTIONS = {name: value for name, value in public_objects().items() if inspect.isroutine(value)}


def is_pyomos(owner, name):
    """Return whether a method is part of Pyomo's interface, which Pyomo documents."""
    return any(hasattr(base, name) for base in owner.__mro__ if base.__module__.startswith("pyomo"))


METHODS = {
    f"{name}.{member}": (owner, attribute)
    for name, owner in CLASSES.items()
    for member, value in public_members(owner).items()
    if inspect.isfunction(attribute := getattr(value, "__func__", value))
    and member in vars(owner)
    and not is_pyomos(owner, member)
}

#: Classes that nobody makes by hand: they come out of a call, which has the example.
MADE_ELSEWHERE = (
    co.Result, co.BootstrapResult, co.RobustZCurve, co.Infeasibility, co.TightestTolerance, enum.Enum, Exception
)  # fmt: skip


def documented(entries):
    return {name.strip().lstrip("*") for entry in entries for name in entry.name.split(",")}


def parameters(value):
    try:
        return set(inspect.signature(value).parameters) - {"self", "cls"}
    except ValueError:  # the constructor of a built-in class
        return set()


def raised(function):
    """Return the names of the exceptions that the body of a function makes and raises."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    made = (node.exc.func for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call))
    return {name.id for name in made if isinstance(name, ast.Name) and isinstance(getattr(co, name.id, None), type)}


def gaps(function, inherited=()):
    """Return, in words, what the docstring of a function leaves out, and what it invents."""
    if not inspect.getdoc(function):
        return ["no docstring"]
    found = []
    doc = FunctionDoc(function)
    stated, actual = documented([*doc["Parameters"], *doc["Other Parameters"]]), parameters(function)
    if invented := stated - actual:
        found.append(f"parameters that do not exist: {sorted(invented)}")
    if stated or not inherited:
        if missing := actual - stated:
            found.append(f"parameters not documented: {sorted(missing)}")
    elif missing := actual - set().union(*map(described, inherited)):
        found.append(f"parameters documented neither here nor where the method is inherited from: {sorted(missing)}")
    known = {name.strip() for entry in doc["Raises"] for name in (entry.type or entry.name).split(",")}
    if missing := raised(function) - known:
        found.append(f"raises not documented: {sorted(missing)}")
    silent = function.__annotations__.get("return") in (None, "None")
    first = " ".join(doc["Summary"]).partition(" ")[0].strip(",:")
    if not (silent or doc["Returns"] or doc["Yields"] or first in RETURNING):
        found.append(f"says neither in a section nor in its summary ({first} ...) what is returned")
    return found


#: First words of a summary that say what is returned.
RETURNING = ("Return", "Whether", "Yield", "Make", "Estimate", "Draw", "Open", "Word")


def described(function):
    doc = FunctionDoc(function)
    return documented([*doc["Parameters"], *doc["Other Parameters"]])


def overridden(owner, name):
    """Return the methods of this name that the bases of a class define, with a docstring."""
    methods = (vars(base).get(name) for base in owner.__mro__[1:])
    plain = (getattr(method, "__func__", method) for method in methods)
    return [method for method in plain if inspect.isfunction(method) and method.__doc__]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_documented_and_has_an_example(name):
    assert gaps(FUNCTIONS[name]) == []
    assert ">>>" in "\n".join(FunctionDoc(FUNCTIONS[name])["Examples"])


@pytest.mark.parametrize("name", METHODS)
def test_a_public_method_is_documented_where_it_is_or_where_it_comes_from(name):
    owner, method = METHODS[name]
    assert gaps(method, overridden(owner, method.__name__)) == []


@pytest.mark.parametrize("name", CLASSES)
def test_a_public_class_is_documented(name):
    owner = CLASSES[name]
    doc = ClassDoc(owner, config={"show_class_members": False})
    assert doc["Summary"]
    if not issubclass(owner, (enum.Enum, Exception)):
        families = [base for base in owner.__mro__ if base.__module__.startswith("causalopt") and base.__doc__]
        docs = [ClassDoc(base, config={"show_class_members": False}) for base in families]
        known = documented([entry for d in docs for entry in [*d["Parameters"], *d["Attributes"]]])
        in_words = {name for name in parameters(owner) if f"`{name}`" in owner.__doc__}
        assert parameters(owner) - known - in_words == set()
    by_hand = name.startswith("causalopt.") and name.count(".") == 1 and not issubclass(owner, MADE_ELSEWHERE)
    if by_hand and abc.ABC not in owner.__bases__:
        assert ">>>" in "\n".join(doc["Examples"])


def test_the_check_finds_what_is_missing_and_what_is_invented():
    def poor(a: int, b: int) -> int:
        """Add.

        Parameters
        ----------
        a, c : int
        """
        if a < 0:
            raise co.DataError("negative")
        raise DataError(str(b))  # noqa: F821

    assert gaps(poor) == [
        "parameters that do not exist: ['c']",
        "parameters not documented: ['b']",
        "raises not documented: ['DataError']",
        "says neither in a section nor in its summary (Add. ...) what is returned",
    ]
