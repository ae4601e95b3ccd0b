"""The boards, and their firmware: python3 tools/build/boards.py BOARD[-VARIANT]

makes build/firmware/BOARD[-VARIANT]/ with the artifact, firmware.elf and sizes.json.
`--check` before the name only says whether there is such a board.
"""

import hashlib
import os
import tomllib
from dataclasses import dataclass

import esp32
import rp2
from common import BUILD, ROOT, BuildError, main, say

BOARDS = ROOT / "boards"
PORTS = {"rp2": rp2, "esp32": esp32}


@dataclass(frozen=True)
class Board:
    """One board, or one of its variants. board["chip"] is a fact of boards.toml."""

    name: str
    variant: str | None
    facts: dict

    def __getitem__(self, fact):
        return self.facts[fact]

    @property
    def full_name(self):
        return f"{self.name}-{self.variant}" if self.variant else self.name

    @property
    def folder(self):
        return BOARDS / self["port"] / self.name

    @property
    def submodules(self):
        """Of MicroPython, those that Debian does not have."""
        added = self["variants"][self.variant]["submodules"] if self.variant else []
        return (*self["submodules"], *added)


def boards():
    """{name: {fact: value}} of boards/boards.toml, where each fact is explained."""
    return tomllib.loads((BOARDS / "boards.toml").read_text())


def names():
    """Every name that `find` knows: boards, and boards with a variant."""
    return [
        full
        for name, facts in boards().items()
        for full in (name, *(f"{name}-{variant}" for variant in facts.get("variants", ())))
    ]


def find(full_name):
    """The Board of that name, as PICO_SECURE or PICO_SECURE-W5500."""
    if full_name not in names():
        what = f"no board {full_name}" if full_name else "BOARD=… is missing"
        raise BuildError(f"{what}: make firmware BOARD=… takes {', '.join(names())}")
    name, _, variant = full_name.partition("-")
    return Board(name, variant or None, boards()[name])


def configuration(board):
    """Digest of what a port's makefiles do not follow: the board's files, and mbedTLS's configuration."""
    folders = (BOARDS, ROOT / "firmware" / "mbedtls")
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    total = hashlib.sha256(board.full_name.encode())
    for path in files:
        if path.suffix != ".md":
            total.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def build(*words):
    check_only = words[:1] == ("--check",)
    board = find("".join(words[check_only : check_only + 1]))
    if check_only:
        return
    output = BUILD / "firmware" / board.full_name
    sizes = PORTS[board["port"]].build(board, output, configuration(board))
    artifact = output / board["artifact"]
    # It is newer than what make compares it with, even if nothing in it changed.
    os.utime(artifact)
    flash, ram = sizes["flash_bytes"], sizes["ram_bytes"]
    say(f"{artifact.relative_to(ROOT)}: {flash} bytes of flash, {ram} of static RAM")


if __name__ == "__main__":
    main(build)
