"""The emulated Pico that tests/tools shares, with a store in its ROMFS."""

import pytest

from emulator import files
from emulator.client import Emulator
from plugins.interpreters import ROOT


@pytest.fixture(scope="session")
def romfs(tmp_path_factory):
    """The image that the Pico's ROMFS region holds: Mozilla's store."""
    path = tmp_path_factory.mktemp("pico") / "romfs.bin"
    path.write_bytes(files.romfs({"roots.bin": (ROOT / "build" / "store" / "roots.bin").read_bytes()}))
    return path


@pytest.fixture(scope="session")
def pico(romfs):
    with Emulator(romfs=romfs) as pico:
        yield pico
