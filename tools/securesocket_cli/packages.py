"""The packages that mip installs and the firmware freezes: what the manifests in lib/ list.

lib/<package>/manifest.py, in micropython-lib's form, is the source of all of it. package.json beside it, for
an installation without an index, is made from it: python -m securesocket_cli.packages
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from .errors import CommandError

LIB = Path(__file__).resolve().parents[2] / "lib"
# What is installed where nothing is named.
DEFAULT = ("securesocket-full",)


@dataclass
class Package:
    """What a manifest says. requires: names of packages; files: {destination: source}, its own only."""

    name: str
    version: str = ""
    description: str = ""
    requires: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)


def names():
    """The names of all packages."""
    return sorted(path.parent.name for path in LIB.glob("*/manifest.py"))


def read(name):
    """The Package of this name. Raises CommandError."""
    folder = LIB / name
    if "/" in name or not (folder / "manifest.py").is_file():
        raise CommandError(f'no package "{name}"; there are {", ".join(names()) or f"none in {LIB}"}')
    found = Package(name)

    def metadata(version, description):
        found.version, found.description = version, description

    def package(path, files=None, base_path=".", opt=None):
        base = (folder / base_path).resolve()
        listed = files or [file.relative_to(base / path).as_posix() for file in (base / path).rglob("*.py")]
        for file in listed:
            found.files[f"{path}/{file}"] = base / path / file

    said = {"metadata": metadata, "require": found.requires.append, "package": package}
    exec(compile((folder / "manifest.py").read_text(), str(folder / "manifest.py"), "exec"), said)
    return found


def closure(wanted):
    """The Packages of these names and of all that they require, those first."""
    found = {}

    def add(name):
        if name not in found:
            package = read(name)
            for required in package.requires:
                add(required)
            found[name] = package

    for name in wanted:
        add(name)
    return list(found.values())


def files(wanted=DEFAULT):
    """{destination on the device, as "certstore/blob.py": source} of packages and all that they require."""
    return {to: source for package in closure(wanted) for to, source in package.files.items()}


def listing(name):
    """The content of lib/<name>/package.json: all files, relative to it, and no dependencies, since mip looks
    for those in its index."""
    urls = []
    for to, source in sorted(files([name]).items()):
        path = source.relative_to(LIB)
        urls.append([to, "/".join(path.parts[1:]) if path.parts[0] == name else f"../{path.as_posix()}"])
    lines = ",\n".join("    " + json.dumps(url) for url in urls)
    return '{\n  "urls": [\n%s\n  ],\n  "deps": [],\n  "version": "%s"\n}\n' % (lines, read(name).version)


if __name__ == "__main__":
    for each in names():
        (LIB / each / "package.json").write_text(listing(each))
