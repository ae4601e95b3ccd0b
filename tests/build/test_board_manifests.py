"""The manifest of every board freezes, with MicroPython's own tools and for the board's own processor."""

import re
import shutil
import subprocess
import sys

import pytest

import boards
from common import clean_environment
from plugins.interpreters import ROOT
from sources import source
from unix import micropython_version

LIBRARY = ("with_library.py", "without_library.py")


def compiler(tree):
    path = ROOT / "build" / "mpy-cross" / micropython_version(tree) / "mpy-cross"
    if not path.is_file():
        pytest.skip("mpy-cross is of a checkout, whose version is not told")
    return path


def library_with(tree, folder, *manifests):
    """A micropython-lib in `folder` that has, empty, every package which the manifests require."""
    for manifest in manifests:
        for name in re.findall(r'^require\("([\w.-]+)"', manifest.read_text(), re.M):
            package = folder / "micropython" / name
            package.mkdir(parents=True, exist_ok=True)
            (package / "manifest.py").write_text("metadata(version='0.0.0')\n")


def freeze(board, port_set, tmp_path):
    """{frozen file: its .mpy's bytes}, as makemanifest.py of the firmware's build makes them."""
    tree = source("stock")
    port = tree / "ports" / board["port"]
    library = tmp_path / "library"
    library_with(tree, library, port / "boards" / "manifest.py", board.folder.parent / "with_library.py")
    genhdr = ROOT / "build" / "unix" / "stock32" / "genhdr"
    shutil.copytree(genhdr, tmp_path / "genhdr", ignore=shutil.ignore_patterns("*.split", "qstr", "module*"))
    variables = {
        "BASE": board.folder / "manifest.py",
        "PORT_SET": port_set,
        "PORT_DIR": port,
        "BOARD_DIR": board.folder,
        "MPY_DIR": tree,
        "MPY_LIB_DIR": library,
    }
    done = subprocess.run(
        [
            *(sys.executable, tree / "tools" / "makemanifest.py", "-o", tmp_path / "frozen_content.c"),
            *(word for name, value in variables.items() for word in ("-v", f"{name}={value}")),
            *("-b", tmp_path, f"-f-march={board['mpy_arch']}", "--mpy-tool-flags=", ROOT / "manifest.py"),
        ],
        env=clean_environment() | {"MICROPY_MPYCROSS": str(compiler(tree))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    frozen = tmp_path / "frozen_mpy"
    return {path.relative_to(frozen).as_posix(): path.read_bytes() for path in frozen.rglob("*.mpy")}


@pytest.mark.parametrize("port_set", LIBRARY)
@pytest.mark.parametrize("name", boards.boards())
def test_manifest_freezes(name, port_set, tmp_path):
    frozen = freeze(boards.find(name), port_set, tmp_path)
    ours = {
        path.relative_to(package.parent).with_suffix(".mpy").as_posix()
        for package in (
            ROOT / "lib" / "certstore" / "certstore",
            ROOT / "lib" / "securesocket" / "securesocket",
        )
        for path in package.rglob("*.py")
    }
    assert ours | {"securesocket_roots.mpy", "_boot.mpy", "asyncio/core.mpy"} <= set(frozen)
    roots = (ROOT / "build" / "store" / "roots.bin").read_bytes()
    assert roots in frozen["securesocket_roots.mpy"], "the store is one constant, in one piece"


@pytest.mark.parametrize("name", boards.boards())
def test_architecture_is_one_of_mpy_cross(name, tmp_path):
    """Native code compiles for the board; for one that there is not, mpy-cross refuses."""
    script = tmp_path / "native.py"
    script.write_text("@micropython.native\ndef double(n):\n    return n + n\n")
    command = [compiler(source("stock")), "-o", tmp_path / "native.mpy", script]
    board = boards.find(name)
    assert subprocess.run([*command, f"-march={board['mpy_arch']}"]).returncode == 0
    assert subprocess.run([*command, "-march=none-such"], capture_output=True).returncode != 0
