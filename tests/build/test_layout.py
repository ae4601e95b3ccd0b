"""Numbers of the store's layout that modules have as private constants are those of certstore.layout."""

import ast

import pytest

from certstore import layout
from plugins.interpreters import ROOT

# Who has some of them.
MODULES = ("blob", "identities", "layers", "packed", "store", "trust", "verify")


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


# (who has some of another module's private constants, that module)
EVENTS = (("engine/tap.py", "handshake.py"), ("engine/stock.py", "trust.py"))


@pytest.mark.parametrize(("user", "owner"), EVENTS)
def test_private_constants_of_two_modules_are_equal(user, owner):
    folder = ROOT / "lib" / "securesocket" / "securesocket"
    known = dict(constants(folder / owner))
    shared = {name: value for name, value in constants(folder / user) if name in known}
    assert len(shared) >= 2
    assert shared == {name: known[name] for name in shared}
