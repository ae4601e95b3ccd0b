"""The drive that an RP2040 or RP2350 is while its boot loader runs: found, written, and seen to go away."""

import os
import pathlib
import time
from typing import NamedTuple

import psutil

from certstore import names

from .errors import CommandError

_INFO = "INFO_UF2.TXT"
# Board-ID of the bootroms' INFO_UF2.TXT (RP2040 datasheet 2.8.4.2, RP2350 datasheet 5.5.1).
BOARD_ID = {"rp2040": "RPI-RP2", "rp2350": "RP2350"}
_HOW = (
    "hold BOOTSEL while you plug it in, or name its PORT; where drives are not mounted by themselves, "
    "mount it"
)
_CHUNK = 16 * 1024
_POLL_S = 0.2
APPEAR_S = 20
LEAVE_S = 20


class Drive(NamedTuple):
    """path: where it is mounted; board_id: of its chip."""

    path: pathlib.Path
    board_id: str

    def is_there(self):
        """Asked of the folder, not of the file: that may come from a cache."""
        try:
            return _INFO in os.listdir(self.path)
        except OSError:
            return False


def mounted():
    """The paths of what is mounted now."""
    # all: a folder in the place of a drive is none of the physical devices.
    return [partition.mountpoint for partition in psutil.disk_partitions(all=False)]


def drives(paths):
    """The Drives among the mounted paths."""
    found = []
    for path in map(pathlib.Path, paths):
        try:
            lines = (path / _INFO).read_text("ascii", "replace").splitlines()
        except OSError:
            continue  # no drive of a boot loader, or one that is just going
        ids = [line.partition(":")[2].strip() for line in lines if line.startswith("Board-ID:")]
        found += [Drive(path, board_id) for board_id in ids[:1]]
    return found


def choose(found, chip):
    """The one Drive of this chip. CommandError if there is none, another chip's only, or several."""
    expected = BOARD_ID[chip]
    fitting = [drive for drive in found if drive.board_id == expected]
    if len(fitting) > 1:
        places = ", ".join(str(drive.path) for drive in fitting)
        raise CommandError(f"found {len(fitting)} boards ({places}), expected one; remedy: unplug the others")
    if fitting:
        return fitting[0]
    if found:
        drive = found[0]
        raise CommandError(
            f"{drive.path}: found a board whose Board-ID is {names.escape(drive.board_id)}, "
            f"expected {expected}: "
            "it has another chip"
        )
    raise CommandError(f"found no drive of a {chip.upper()} in its boot loader, expected one; remedy: {_HOW}")


def wait(chip, look=lambda: mounted(), seconds=APPEAR_S):
    """choose(), for a board that is on its way into its boot loader."""
    end = time.monotonic() + seconds
    while not drives(look()) and time.monotonic() < end:
        time.sleep(_POLL_S)
    return choose(drives(look()), chip)


def copy(drive, data, progress):
    """Write a UF2 image. progress: called with the number of bytes after each piece.

    The board restarts by itself when it has the last block, perhaps before the system knows that it was
    written: what fails once all is handed over is looked at by `gone`. CommandError if it fails before.
    """
    written = 0
    try:
        with open(drive.path / "firmware.uf2", "wb", buffering=0) as file:
            while written < len(data):
                count = file.write(data[written : written + _CHUNK])
                written += count
                progress(count)
            os.fsync(file.fileno())
    except OSError as error:
        if written < len(data) or drive.is_there():
            raise CommandError(
                f"{drive.path}: {error.strerror} after {written} of {len(data)} bytes; the boot "
                "loader is in ROM "
                "and still there; remedy: hold BOOTSEL while you plug it in, and flash again"
            ) from error


def gone(drive, seconds=LEAVE_S):
    """Wait until the board has left its boot loader. CommandError if it stays: it did not take the image."""
    end = time.monotonic() + seconds
    while drive.is_there():
        if time.monotonic() > end:
            raise CommandError(
                f"{drive.path}: found the boot loader still there {seconds} s after the image "
                "was written, expected "
                "the board to restart; remedy: unplug it, hold BOOTSEL while you plug it in, and flash again"
            )
        time.sleep(_POLL_S)
