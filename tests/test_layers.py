"""Who imports whom: the order of the folders, read off the sources.

`python -m tests.test_layers` prints the figures.
"""

import ast
import collections
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).parents[1]

#: From low to high, as CONTRIBUTING.md says it. At module level nobody imports from a higher layer.
LAYERS = (
    {"messages", "version"},
    {"errors", "installation"},
    {"modeling"},
    {"verifying"},
    {"solving"},
    {"basis", "datasets", "algorithms"},
    {"study"},
    {"plotting"},
    {"console"},
    {"bench", "testing"},
    {"problems"},
    {"cli"},
)
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}

#: What may import from a higher layer inside a function: who solves a problem, or is handed one, on the way.
UPWARD_INSIDE_FUNCTIONS = {("console", "problems")}

#: The same in one line, for people.
ORDER = (
    "errors", "modeling", "verifying", "solving", "algorithms", "study", "plotting", "console", "bench", "problems"
)  # fmt: skip

SOLVERS = {"highspy", "pyscipopt", "gurobipy", "cplex", "ortools"}


def sources(folder):
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(folder.rglob("*.py"))
    }


PACKAGE = {("causalopt." + name).removesuffix(".__init__"): path for name, path in sources(ROOT / "causalopt").items()}


def imports_of(path, name):
    """Return the absolute modules imported at module level, inside functions, and for type checkers only."""
    found = {"module": set(), "function": set(), "types": set()}

    def visit(node, where):
        for child in ast.iter_child_nodes(node):
            inside = "function" if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) else where
            if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                visit(ast.Module(child.body, []), "types")
                visit(ast.Module(child.orelse, []), where)
                continue
            if isinstance(child, ast.Import):
                found[where] |= {alias.name for alias in child.names}
            elif isinstance(child, ast.ImportFrom):
                assert not child.level, f"{name} imports relatively; write the module's whole name"
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    found[where].add(whole if whole in PACKAGE else child.module)
            visit(child, inside)

    visit(ast.parse(path.read_text()), "module")
    return found


IMPORTS = {name: imports_of(path, name) for name, path in PACKAGE.items()}


def unit(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def upward(where):
    """Return the imports from a lower layer to a higher one, or to the package itself, which loads any of them."""
    return sorted(
        (module, target)
        for module, imported in IMPORTS.items()
        if module != "causalopt"
        for target in imported[where]
        if target.split(".")[0] == "causalopt" and HEIGHT.get(unit(target), len(LAYERS)) > HEIGHT[unit(module)]
    )


def test_every_folder_and_module_has_its_place():
    assert {unit(module) for module in PACKAGE} - {""} == set(HEIGHT)


def test_imports_are_read_where_they_stand(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nimport causalopt.errors\nfrom causalopt.verifying import verify\n"
        "if TYPE_CHECKING:\n    from causalopt.problems import balance\nelse:\n    import causalopt.basis\n"
        "class A:\n    from causalopt.solving.result import Result\n    def f(self):\n        import causalopt as co\n"
        "        g = lambda: __import__('x')\n"
    )
    found = imports_of(path, "some")
    ours = {where: {name for name in names if name.startswith("causalopt")} for where, names in found.items()}
    assert ours["function"] == {"causalopt"}
    assert ours["module"] == {
        "causalopt.errors",
        "causalopt.verifying.verify",
        "causalopt.basis",
        "causalopt.solving.result",
    }


def test_at_module_level_nothing_imports_from_a_higher_layer():
    assert upward("module") == []


def test_at_module_level_no_problem_imports_another():
    crossing = {
        (module, target)
        for module, imported in IMPORTS.items()
        for target in imported["module"]
        if unit(module) == unit(target) == "problems" and module.split(".")[2:3] != target.split(".")[2:3]
    }
    assert crossing == set()


def test_inside_functions_only_those_named_import_from_a_higher_layer():
    found = {(unit(module), unit(target)) for module, target in upward("function") if unit(target)}
    assert found == UPWARD_INSIDE_FUNCTIONS


def test_no_circle_of_imports_at_module_level():
    waiting = {
        module: {target for target in imported["module"] if target in PACKAGE and target != module}
        for module, imported in IMPORTS.items()
    }
    loaded = set()
    while waiting:
        ready = {module for module, needs in waiting.items() if needs <= loaded}
        assert ready, f"in a circle, or behind one: {sorted(waiting)}"
        loaded |= ready
        waiting = {module: needs for module, needs in waiting.items() if module not in ready}


def test_the_core_imports_no_solver_and_no_backend():
    reached = collections.defaultdict(set)
    for module, imported in IMPORTS.items():
        if unit(module) != "bench":  # which compares with solvers' own interfaces
            for target in imported["module"] | imported["function"]:
                reached[target.split(".")[0]].add(module)
    assert not {name: who for name, who in reached.items() if name in SOLVERS or name.startswith("causalopt_")}


def test_a_backend_imports_nothing_above_solving():
    for name, path in sources(ROOT / "backends").items():
        found = imports_of(path, name)
        for target in found["module"] | found["function"]:
            if target.split(".")[0] == "causalopt":
                assert HEIGHT.get(unit(target), len(LAYERS)) <= HEIGHT["solving"], (name, target)


def test_the_order_is_that_of_the_contributing_guide():
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text().split())
    order = " < ".join(f"`{name}`" for name in ORDER)
    assert order in text
    assert [HEIGHT[name] for name in ORDER] == sorted(HEIGHT[name] for name in ORDER)


def figures():
    """Return what HOUSE asks of the imports, by name: counted over all of them."""
    graph = nx.DiGraph(
        (module, target)
        for module, imported in IMPORTS.items()
        for target in set().union(*imported.values())
        if target in PACKAGE and target != module and module != "causalopt"
    )
    rings = [ring for ring in nx.strongly_connected_components(graph) if len(ring) > 1]
    ours = {
        where: sum(target.startswith("causalopt") for imported in IMPORTS.values() for target in imported[where])
        for where in ("function", "types")
    }
    folders = collections.Counter(path.parent for path in PACKAGE.values())
    return {
        "circles of imports, all counted": len(rings),
        "modules in the largest circle": max(map(len, rings), default=0),
        "upward imports at module level": len(upward("module")),
        "upward imports inside functions": len(upward("function")),
        "own imports inside functions": ours["function"],
        "own imports for type checkers": ours["types"],
        "most files in a folder": max(folders.values()),
        "files over 400 lines": sum(len(path.read_text().splitlines()) > 400 for path in PACKAGE.values()),
        "lines": sum(len(path.read_text().splitlines()) for path in PACKAGE.values()),
    }


if __name__ == "__main__":
    for name, value in figures().items():
        print(f"{value:7,}  {name}")
