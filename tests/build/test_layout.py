"""Numbers of the store's layout that modules have as private constants are those of certstore.layout."""

import ast

import pytest

from certstore import layout
from plugins.interpreters import ROOT

# Who has some of them.
MODULES = ("blob", "layers", "packed", "store", "trust")


def constants(path):
    """{name: value} of the plain constants at the top of a module."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = node.value
            if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "const":
                value = value.args[0]
            if isinstance(value, ast.Constant):
                yield node.targets[0].id, value.value


SHARED = [
    (path, name, value)
    for path in sorted((ROOT / "lib").glob("*/*/*.py"))
    if path.stem in MODULES
    for name, value in constants(path)
    if hasattr(layout, name.lstrip("_"))
]


@pytest.mark.parametrize(("path", "name", "value"), SHARED, ids=[f"{p.stem}-{n}" for p, n, _ in SHARED])
def test_a_private_constant_is_that_of_the_layout(path, name, value):
    assert value == getattr(layout, name.lstrip("_"))


def test_there_are_such_constants():
    assert {path.stem for path, _, _ in SHARED} == set(MODULES)
