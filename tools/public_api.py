"""`python -m tools.public_api`: write the public interface down, so that every change of it shows as a difference.

Two files are written: `tests/public_api.txt`, the public names with their signatures, and `causalopt/__init__.pyi`,
which tells type checkers and editors where the names come from that `causalopt/__init__.py` loads on first use.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import causalopt

ROOT = Path(__file__).parents[1]
LISTING, STUB = ROOT / "tests" / "public_api.txt", ROOT / "causalopt" / "__init__.pyi"

#: Modules that are public beside `causalopt` itself, for analysts and for writers of backends and problems.
MODULES = (
    "causalopt.basis",
    "causalopt.datasets",
    "causalopt.study.designs.estimators",
    "causalopt.solving.problem",
    "causalopt.solving.backend",
    "causalopt.solving.options",
    "causalopt.solving.result",
    "causalopt.verifying.claims",
    "causalopt.testing",
    "causalopt.bench",
)


def public_objects() -> dict[str, Any]:
    """Return every public function, class and constant by its dotted name, in the order of the listing."""
    found = {f"causalopt.{name}": getattr(causalopt, name) for name in sorted(causalopt.__all__)}
    for name in MODULES:
        module = importlib.import_module(name)
        found |= {f"{name}.{member}": value for member, value in _members_of_module(module)}
    return found


def _members_of_module(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield what a module shows: its `__all__`, or the functions and classes that it defines itself."""
    for name in sorted(getattr(module, "__all__", vars(module))):
        value = getattr(module, name)
        own = getattr(value, "__module__", None) == module.__name__ and (
            inspect.isroutine(value) or inspect.isclass(value)
        )
        if hasattr(module, "__all__") or (own and not name.startswith("_")):
            yield name, value


def public_members(owner: type) -> dict[str, Any]:
    """Return a class's public attributes that causalopt defines, inherited ones included, without plain fields."""
    found: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        if base.__module__.startswith(("causalopt", "tools", "tests")):
            found |= {name: value for name, value in vars(base).items() if not name.startswith("_")}
    fields = {field.name for field in dataclasses.fields(owner)} if dataclasses.is_dataclass(owner) else set()
    return {name: value for name, value in sorted(found.items()) if name not in fields}


class _AsWritten:
    """An annotation that is shown as it stands in the source, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def signature(value: Any) -> str:
    """Return a callable's signature as it stands in the source."""
    try:
        found = inspect.signature(value)
    except ValueError:  # the constructor of a built-in class, which errors inherit
        return "(...)"

    def as_written(annotation: Any) -> Any:
        return _AsWritten(annotation) if isinstance(annotation, str) else annotation

    parameters = [p.replace(annotation=as_written(p.annotation)) for p in found.parameters.values()]
    return str(found.replace(parameters=parameters, return_annotation=as_written(found.return_annotation)))


def _lines_of(name: str, value: Any) -> Iterator[str]:
    if not inspect.isclass(value):
        yield f"{name}{signature(value)}" if callable(value) else f"{name}: {type(value).__name__}"
        return
    bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
    head = f"class {name}" + (f"({bases})" if bases else "")
    if issubclass(value, enum.Enum):
        yield head
        yield from (f"    {member.name} = {member.value!r}" for member in value)
        return
    yield f"{head}: {signature(value)}"
    for member, attribute in public_members(value).items():
        if isinstance(attribute, (property, cached_property)):
            yield f"    {member}: property"
        elif isinstance(attribute, (classmethod, staticmethod)):
            yield f"    {member}{signature(attribute.__func__)}"
        elif inspect.isfunction(attribute):
            yield f"    {member}{signature(attribute)}"
        else:
            yield f"    {member}: {type(attribute).__name__}"


def listing() -> str:
    """Return the public interface as text: one line a name, the members of classes indented below."""
    lines = ["# Written by `python -m tools.public_api`. A difference here is a change of the public interface."]
    for name, value in public_objects().items():
        if name != "causalopt.__version__":
            lines += _lines_of(name, value)
    return "\n".join(lines) + "\n"


def stub() -> str:
    """Return the stub of `causalopt/__init__.py`, one import a public name."""
    imports = [
        *(f"from causalopt import {module} as {module}" for module in causalopt._MODULES),
        *(f"from {module} import {name} as {name}" for name, module in causalopt._PUBLIC.items()),
    ]
    order = sorted(imports, key=lambda line: (line.split()[1], line.split()[3]))
    return "\n".join(
        [
            '"""Written by `python -m tools.public_api` from `causalopt/__init__.py`."""',
            "",
            *order,
            "",
            "__version__: str",
            "__all__: list[str]",
            "",
        ]
    )


def main() -> None:
    """Write both files."""
    for path, text in ((LISTING, listing()), (STUB, stub())):
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
