"""The order of the harness's folders, all imports counted."""

from test_layers import IMPORTS

#: From low to high. What stands in `causalopt.bench` itself is above: the command line.
ORDER = ("store", "running", "report", "")


def height(module):
    folder = module.removeprefix("causalopt.bench.").rpartition(".")[0]
    return ORDER.index(folder or (module.rpartition(".")[2] if module.rpartition(".")[2] in ORDER else ""))


def test_no_folder_of_the_harness_imports_from_a_higher_one():
    own = {name: found for name, found in IMPORTS.items() if name.startswith("causalopt.bench.")}
    assert {height(name) for name in own} == {0, 1, 2, 3}
    upward = {
        (name, target)
        for name, found in own.items()
        for target in set().union(*found.values())
        if target.startswith("causalopt.bench.") and height(target) > height(name)
    }
    assert upward == set()


def test_the_harness_names_no_problem():
    named = {name for name, found in IMPORTS.items() if name.startswith("causalopt.bench")
             for target in set().union(*found.values()) if target.startswith("causalopt.problems")}  # fmt: skip
    assert named == set()
