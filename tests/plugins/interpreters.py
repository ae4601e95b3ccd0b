"""The interpreters that tests run on: this CPython, and the builds in build/unix/."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ("stock", "stock32", "stock-1.25")
INTERPRETERS = ("cpython", *BUILDS)
HOST_PATHS = [ROOT / "lib" / "certstore", ROOT / "lib" / "securesocket"]


def binary(build):
    """The path of a build's MicroPython."""
    path = ROOT / "build" / "unix" / build / "micropython"
    if not path.is_file():
        pytest.fail(f"{path.relative_to(ROOT)} is missing: run `make build`", pytrace=False)
    return path


def environment(paths=(), **more):
    """An environment in which MicroPython sees the frozen modules, and `paths`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MICROPY", "PYTEST"))}
    env["MICROPYPATH"] = ":".join([".frozen", *map(str, paths)])
    return env | more


def command(interpreter, script, *words, paths=(), heapsize="16M"):
    """(argument list, environment) to run a script; on CPython the packages come from lib/."""
    if interpreter == "cpython":
        path = os.pathsep.join(map(str, [*HOST_PATHS, *paths]))
        return [sys.executable, str(script), *words], environment(PYTHONPATH=path)
    return [str(binary(interpreter)), "-X", f"heapsize={heapsize}", str(script), *words], environment(paths)
