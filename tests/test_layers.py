"""Who imports whom: the order of the folders, read off the sources.

`python -m tests.test_layers` prints the figures.
"""

import ast
import collections
from pathlib import Path
from typing import NamedTuple

import networkx as nx

ROOT = Path(__file__).parents[1]

#: From low to high, as CONTRIBUTING.md says it. Nobody imports from a higher one.
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

#: The same in one line, for people.
ORDER = (
    "errors", "modeling", "verifying", "solving", "algorithms", "study", "plotting", "console", "bench", "problems"
)  # fmt: skip

#: Own imports that wait until they are needed: what loads Pyomo, and what a command alone needs.
MOST_INSIDE_FUNCTIONS = 30
MOST_FOR_TYPE_CHECKERS = 10

SOLVERS = {"highspy", "pyscipopt", "gurobipy", "cplex", "ortools"}


def sources(folder):
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(folder.rglob("*.py"))
    }


PACKAGE = {("causalopt." + name).removesuffix(".__init__"): path for name, path in sources(ROOT / "causalopt").items()}


#: The sources that are counted.
FILES = [*PACKAGE.values(), *sources(ROOT / "backends").values()]


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
            if isinstance(child, ast.Call) and ast.unparse(child.func) == "Later":  # loads what it names, later
                found["function"] |= {arg.value for arg in child.args if isinstance(arg, ast.Constant)}
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
        "later = Later('causalopt.study.reading')\n"
    )
    found = imports_of(path, "some")
    ours = {where: {name for name in names if name.startswith("causalopt")} for where, names in found.items()}
    assert ours["function"] == {"causalopt", "causalopt.study.reading"}
    assert ours["module"] == {
        "causalopt.errors",
        "causalopt.verifying.verify",
        "causalopt.basis",
        "causalopt.solving.result",
    }


def test_nothing_imports_from_a_higher_layer():
    assert [upward(where) for where in ("module", "function", "types")] == [[], [], []]


def test_no_problem_imports_another():
    assert between_problems() == set()


def test_nothing_outside_problems_imports_a_problem():
    assert not {
        (module, target)
        for module, imported in IMPORTS.items()
        for target in set().union(*imported.values())
        if unit(target) == "problems" != unit(module)
    }


def test_imports_run_in_no_circle():
    assert rings() == []


def test_imports_inside_functions_and_for_type_checkers_are_few():
    assert own_imports("function") <= MOST_INSIDE_FUNCTIONS
    assert own_imports("types") <= MOST_FOR_TYPE_CHECKERS


def test_folders_files_and_functions_are_small():
    assert max(files_by_folder().values()) <= 20
    assert {path.name: n for path in FILES if (n := len(path.read_text().splitlines())) > 400} == {}
    assert [f for f in functions() if f.lines > (110 if f.is_command else 40)] == []


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


def between_problems():
    """Return the imports from one problem's folder to another's."""
    return {
        (module, target)
        for module, imported in IMPORTS.items()
        for target in set().union(*imported.values())
        if unit(module) == unit(target) == "problems" and module.split(".")[2:3] != target.split(".")[2:3]
    }


def rings():
    """Return the circles of imports of every kind, as sorted lists of modules."""
    graph = nx.DiGraph(
        (module, target)
        for module, imported in IMPORTS.items()
        for target in set().union(*imported.values())
        if target in PACKAGE and target != module and module != "causalopt"
    )
    return [sorted(ring) for ring in nx.strongly_connected_components(graph) if len(ring) > 1]


def own_imports(where):
    """Return how many imports of ours stand inside functions, or for type checkers only."""
    return sum(target.startswith("causalopt") for imported in IMPORTS.values() for target in imported[where])


def files_by_folder():
    return collections.Counter(path.parent for path in PACKAGE.values())


class Function(NamedTuple):
    """A function, and the lines that it takes without its docstring."""

    module: str
    name: str
    lines: int
    is_command: bool


def functions():
    """Yield the functions of the package and of the backends, but for test cases of the conformance suite."""
    for path in FILES:
        if path.parent.name == "testing":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                doc = node.body[0] if ast.get_docstring(node) is not None else None
                lines = node.end_lineno - node.lineno + 1 - (doc.end_lineno - doc.lineno + 1 if doc else 0)
                yield Function(path.stem, node.name, lines, path.name == "command.py" and not node.name.startswith("_"))


def figures():
    """Return what the house asks for, by name."""
    circles, longest = rings(), sorted(functions(), key=lambda f: f.lines)
    return {
        "circles of imports, all counted": len(circles),
        "modules in the largest circle": max(map(len, circles), default=0),
        "upward imports": sum(len(upward(where)) for where in ("module", "function", "types")),
        "imports between two problems": len(between_problems()),
        "own imports inside functions": own_imports("function"),
        "own imports for type checkers": own_imports("types"),
        "most files in a folder": max(files_by_folder().values()),
        "files over 400 lines": sum(len(path.read_text().splitlines()) > 400 for path in FILES),
        "functions over 40 lines": sum(f.lines > 40 and not f.is_command for f in longest),
        "commands over 110 lines": sum(f.lines > 110 and f.is_command for f in longest),
        "lines of causalopt and backends": sum(len(path.read_text().splitlines()) for path in FILES),
    }


if __name__ == "__main__":
    for name, value in figures().items():
        print(f"{value:7,}  {name}")
