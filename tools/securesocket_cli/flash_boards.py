"""What is known of each board: boards/boards.toml of the checkout, and where its firmware is built."""

import dataclasses
import pathlib
import tomllib

from certstore import names

from .errors import CommandError, about

_ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = _ROOT / "boards" / "boards.toml"
_FIRMWARE = _ROOT / "build" / "firmware"


@dataclasses.dataclass(frozen=True)
class Board:
    """name: as in the table, or with -VARIANT; facts: its row."""

    name: str
    facts: dict

    @property
    def image(self):
        return _FIRMWARE / self.name / self.facts["artifact"]


def board(name):
    """The Board of this name. CommandError if there is none, or no table: not in a checkout."""
    with about(TABLE):
        rows = tomllib.loads(TABLE.read_text())
    base, _, variant = name.partition("-")
    if base not in rows or (variant and variant not in rows[base].get("variants", {})):
        raise CommandError(f"no board {names.escape(name)}; there are {', '.join(rows)}")
    return Board(name, rows[base])


def read_image(board, path=None):
    """The bytes of a firmware; by default what `make firmware` has built."""
    if path is None:
        path = board.image
        if not path.is_file():
            raise CommandError(
                f"{path}: no such file; remedy: make firmware BOARD={board.name}, or --image FILE"
            )
    with about(path):
        return pathlib.Path(path).read_bytes()
