"""The packages that a device gets, and where their files are."""

import pathlib

from .errors import CommandError

_LIBRARY = pathlib.Path(__file__).resolve().parents[2] / "lib"
DEFAULT = ("certstore", "securesocket")


def files(names):
    """{destination: source} of packages, as {"certstore/blob.py": Path}. CommandError for an unknown name."""
    found = {}
    for name in names:
        if not (_LIBRARY / name / name).is_dir():
            raise CommandError(f"no package {name}; there are {', '.join(DEFAULT)}")
        for path in sorted((_LIBRARY / name).glob("*/**/*.py")):
            found[path.relative_to(_LIBRARY / name).as_posix()] = path
    return found
