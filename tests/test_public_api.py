"""The public interface is written down; a change of it has to be written down too."""

import ast

import causalopt as co
from tools.public_api import LISTING, STUB, listing, stub

HINT = "the public interface changed: run `python -m tools.public_api`, and say in CHANGELOG.md what changed"


def test_the_listing_is_that_of_the_code():
    assert LISTING.read_text().splitlines() == listing().splitlines(), HINT


def test_the_stub_is_that_of_the_code():
    assert STUB.read_text() == stub(), HINT


def test_the_stub_names_everything_that_is_public_and_nothing_else():
    imported = {
        alias.asname for node in ast.parse(stub()).body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported - set(co._MODULES) | {"__version__"} == set(co.__all__)
