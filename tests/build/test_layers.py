"""Imports in lib/ point downwards only: the layers of the design, read from the import graph."""

import ast
from graphlib import TopologicalSorter

import pytest

from plugins.interpreters import ROOT
from securesocket_cli import packages

# From the bottom. Within a layer modules may import each other, in one direction.
X509 = "certstore.*"  # every module of certstore that is not named
LAYERS = (
    {"certstore.compat", "certstore.errors"},
    {X509},
    {"certstore.blob", "certstore.verify"},
    {"certstore.journal", "certstore.writer"},
    {"certstore.store", "certstore.anchors", "certstore.mozilla"},
    {"certstore.update", "certstore.identities"},
    {"certstore.replace", "certstore.layers"},
    {"certstore"},
    {"securesocket.datagram_errors", "securesocket.errors", "securesocket.sentences"},
    {"securesocket.heap_table_32", "securesocket.heap_table_64"},
    {
        "securesocket.client_hello",
        "securesocket.handshake",
        "securesocket.identity",
        "securesocket.path",
        "securesocket.trust",
    },
    {"securesocket.reading", "securesocket.messages", "securesocket.client_hello"},
    {"securesocket.records", "securesocket.dtls_records"},
    {"securesocket.report", "securesocket.verdict", "securesocket.wording"},
    {"securesocket.engine", "securesocket.engine.stock", "securesocket.engine.tap"},
    {"securesocket.stores"},
    {"securesocket.clock"},
    {"securesocket.guide"},
    {"securesocket.context"},
    {"securesocket.budget", "securesocket.options", "securesocket.stream", "securesocket.trace"},
    {"securesocket.socket"},
    {"securesocket.aio", "securesocket.again", "securesocket.wrapping"},
    {"securesocket.engine.serving", "securesocket.server_budget", "securesocket.server_verdict"},
    {"securesocket.accepted"},
    {"securesocket.server_context"},
    {"securesocket.pair", "securesocket.server"},
    {"securesocket.server_aio"},
    {"securesocket.engine.datagrams"},
    {"securesocket.engine.datagram_peers", "securesocket.datagram"},
    {"securesocket.datagram_aio", "securesocket.datagram_server"},
    {"securesocket"},
)

# (importer, imported): why an import may point upwards. Each is made inside a function. What `part` loads is
# optional, and may be anywhere.
UPWARDS = {
    ("securesocket.context", "securesocket.stream"): "wrap_socket makes the stream",
    ("securesocket.guide", "securesocket"): "its version",
}

# Who imports by a computed name, and what it is.
COMPUTED = {
    "certstore.errors": "what `part` is asked for",
    "securesocket.stores": "the module of a store",
}

# Only these may import the module.
RESERVED = {
    "tls": {"securesocket.engine.stock"},
    "ssl": set(),
    "_securesocket": {"securesocket.engine.native"},
}

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules():
    """{dotted name: path} of every module in lib/."""
    found = {}
    for path in sorted((ROOT / "lib").glob("*/*/**/*.py")):
        parts = path.relative_to(ROOT / "lib").with_suffix("").parts[1:]
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(name, path, known):
    """What a module imports, at its top or inside functions; of our own the module, not the attribute."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in known else base
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "__import__":
            computed = not isinstance(node.args[0], ast.Constant)
            assert not computed or name in COMPUTED, f"{path}:{node.lineno}: an import that nobody can read"
            yield name if computed else node.args[0].value


MODULES = modules()
GRAPH = {name: set(imports(name, path, MODULES)) - {name} for name, path in MODULES.items()}


def parts(path):
    """Yields (module, package or None, line) of what a module loads with certstore.errors.part; None for a
    name that is computed."""
    tree = ast.parse(path.read_text())
    known = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            value = node.value.args[0] if isinstance(node.value, ast.Call) and node.value.args else node.value
            known[getattr(node.targets[0], "id", None)] = getattr(value, "value", None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "part":
            words = [known.get(word.id) if isinstance(word, ast.Name) else getattr(word, "value", None)
                     for word in node.args]  # fmt: skip
            yield words[0], words[1] if len(words) > 1 else None, node.lineno


# {module: the package that has it}
PACKAGE = {
    to.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name
    for name in packages.names()
    for to in packages.read(name).files
}


def level(name):
    return LEVEL.get(name, LEVEL[X509] if name.startswith("certstore.") else None)


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_downwards(name):
    assert level(name) is not None, f"{name} is in no layer: add it to LAYERS"
    for imported in GRAPH[name] & MODULES.keys():
        if (name, imported) not in UPWARDS:
            assert level(imported) <= level(name), f"{name} imports {imported}, which is above it"


@pytest.mark.parametrize("package", packages.names())
def test_a_package_imports_nothing_that_it_does_not_bring(package):
    """The core above all: with nothing else installed every import in it finds its module."""
    brought = {each.name for each in packages.closure([package])}
    for name, own in PACKAGE.items():
        if own == package:
            for imported in GRAPH[name] & MODULES.keys():
                assert PACKAGE[imported] in brought, f"{name} imports {imported}, of {PACKAGE[imported]}"


@pytest.mark.parametrize("name", MODULES)
def test_an_optional_part_is_loaded_from_the_package_that_is_named(name):
    for module, package, line in parts(MODULES[name]):
        if module is None:
            assert name in ("certstore.errors", "securesocket"), f"{name}:{line}: a part that nobody can read"
        else:
            assert module in MODULES, f"{name}:{line}: there is no {module}"
            brings = packages.files([package]) if package else packages.files()
            assert f"{module.replace('.', '/')}.py" in brings, f"{name}:{line}: {package} has no {module}"


def test_the_public_names_are_in_the_packages_that_are_named():
    public = ast.parse(MODULES["securesocket"].read_text())
    (lines,) = (ast.literal_eval(node.value) for node in public.body
                if isinstance(node, ast.Assign) and node.targets[0].id == "_PUBLIC")  # fmt: skip
    for line in lines.split("\n"):
        module, package, *names = line.split()
        package = "securesocket" if package == "-" else f"securesocket-{package}"
        assert f"securesocket/{module}.py" in packages.files([package]), module
        assert names, line


def test_optional_parts_are_seen():
    found = {module for path in MODULES.values() for module, _, _ in parts(path)}
    assert {
        "certstore.update",
        "certstore.identities",
        "securesocket.options",
        "securesocket.wording",
    } <= found


def test_no_circles():
    graph = {name: GRAPH[name] & MODULES.keys() for name in MODULES}
    for importer, imported in UPWARDS:
        assert imported in graph[importer], f"{importer} no longer imports {imported}: delete the exception"
        graph[importer] -= {imported}
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("reserved", RESERVED)
def test_reserved_module_has_its_one_importer(reserved):
    importers = {name for name, imported in GRAPH.items() if reserved in imported}
    assert importers <= RESERVED[reserved]


def test_certstore_touches_no_device():
    """The pure package: what it imports exists on CPython, or is asked for inside a `try`."""
    allowed = {"binascii", "gc", "hashlib", "time", "struct", "io", "os", "micropython"}
    # AES: MicroPython's, and on a host that of a library; in one place.
    aes = {"cryptolib", "cryptography.hazmat.primitives.ciphers"}
    for name in MODULES:
        if name.split(".")[0] == "certstore":
            more = aes if name == "certstore.ciphers" else {"sys"} if name == "certstore.errors" else set()
            assert GRAPH[name] - MODULES.keys() - allowed - more == set(), name


def test_every_layer_has_its_modules():
    missing = LEVEL.keys() - MODULES.keys() - {X509}
    assert not missing, f"in LAYERS, but not in lib/: {missing}"


FORMS = """
import os
from .. import b
from ..c import attribute
from x.y import z
def f():
    import late
    __import__("later")
"""


def test_the_reader_of_imports_sees_every_form(tmp_path):
    path = tmp_path / "e.py"
    path.write_text(FORMS)
    found = set(imports("a.d.e", path, {"a.b", "a.c"}))
    assert found == {"os", "a.b", "a.c", "x.y", "late", "later"}
