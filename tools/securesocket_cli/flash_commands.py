"""`securesocket flash`: what the user typed to calls, and what happens to text."""

import pathlib
import sys
import tempfile
import time

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from certstore import names

from . import flash_drive, flash_esp, flash_uf2
from .errors import CommandError
from .flash_boards import board as find_board
from .flash_boards import read_image
from .store_output import say, say_table
from .table import Command, console
from .transport import mpremote, need_mpremote, need_port, program

_ESP_VENDORS = {
    0x303A: "Espressif",
    0x10C4: "Silicon Labs CP210x",
    0x1A86: "WCH CH34x",
    0x0403: "FTDI",
}
# As an image has it and as sys.version says it: "MicroPython v1.26.1 on 2026-11-21".
_VERSION = "MicroPython v"
_RETURN_S = 30
_ESPTOOL_S = 600


def flash(board, port, image, repartition, dry_run):
    known = find_board(board)
    data = read_image(known, image)
    _FLASHERS[known.facts["port"]](known, port, image, data, repartition, dry_run)


# ---- rp2: a drive, to which the image is copied


def _flash_rp2(board, port, image, data, _, dry_run):
    beside = pathlib.Path(image or board.image).with_suffix(".bin")
    content = flash_uf2.check(data, board.facts, beside.read_bytes() if beside.is_file() else None)
    start, end = flash_uf2.FLASH_BASE, flash_uf2.FLASH_BASE + len(content)
    _show([("application", start, end)])
    if port is not None:
        need_mpremote()
        need_port(port)
        _same_chip(port, board)
    if dry_run:
        say(_rp2_steps(board, port))
        return
    if port is not None and not flash_drive.drives(flash_drive.mounted()):
        mpremote(["connect", port, "bootloader"])
        drive = flash_drive.wait(board.facts["chip"])
    else:
        drive = flash_drive.choose(flash_drive.drives(flash_drive.mounted()), board.facts["chip"])
    with _progress("flashing", len(data)) as advance:
        flash_drive.copy(drive, data, advance)
    flash_drive.gone(drive)
    say(f"{drive.path}: {len(data)} bytes, and the board has restarted")
    if port is not None:
        _verify(port, content)


def _rp2_steps(board, port):
    how = f"send {names.escape(port)} to its boot loader, " if port else ""
    return f"would {how}copy it to the drive {flash_drive.BOARD_ID[board.facts['chip']]}; nothing was written"


def _same_chip(port, board):
    """The board at this port runs MicroPython on the chip that the image is for."""
    said = mpremote(["connect", port, "exec", "import sys; print(sys.implementation._machine)"]).strip()
    found = said.rpartition(" with ")[2]
    if found.lower().replace("-", "") != board.facts["chip"]:
        raise CommandError(
            f"{names.escape(port)}: found {names.escape(said)}, expected a board with "
            f"{board.facts['chip'].upper()}"
        )


def _verify(port, content):
    """The board runs the version that is in the image."""
    end = time.monotonic() + _RETURN_S
    while True:
        try:
            said = mpremote(["connect", port, "exec", "import sys; print(sys.version)"]).strip()
            break
        except CommandError as error:
            # USB takes a moment to come back.
            if time.monotonic() > end:
                raise CommandError(
                    f"{error.message}; the image is written, its start was not seen"
                ) from error
            time.sleep(1)
    version = _VERSION + said.partition(_VERSION)[2]
    if version == _VERSION or version.encode() not in content:
        raise CommandError(
            f"{names.escape(port)}: found {names.escape(said)}, expected the version in the "
            "image; remedy: flash again"
        )
    say(f"{port}: runs {names.escape(version)}")


# ---- esp32: esptool


def _flash_esp32(board, port, _image, data, repartition, dry_run):
    parts = flash_esp.check(data, board.facts)
    _show([(part.name, part.address, part.address + len(part.data)) for part in parts])
    if dry_run:
        where = names.escape(port) if port else "the one port of an ESP32"
        say(f"would write what differs to {where}, and verify all three; nothing was written")
        return
    if port is None:
        port = esp_port()
    need_port(port)
    chip = board.facts["chip"]
    with tempfile.TemporaryDirectory() as folder:
        words = []
        for number, part in enumerate(parts):
            path = pathlib.Path(folder) / f"{number}.bin"
            path.write_bytes(part.data)
            words += [hex(part.address), str(path)]
        if not repartition:
            _keep(chip, port, parts, pathlib.Path(folder) / "table.bin")
        # Written and compared by MD5; what is there already is not erased.
        esptool(chip, port, "no-reset", ["write-flash", "--skip-flashed", *words], shown=sys.stdout.isatty())
        esptool(chip, port, "hard-reset", ["verify-flash", *words])
    say(f"{names.escape(port)}: {sum(len(part.data) for part in parts)} bytes, as they are here")


def _keep(chip, port, parts, path):
    """CommandError if the board's own partitions are others: its data would be somewhere else."""
    words = ["read-flash", hex(flash_esp.TABLE_ADDRESS), hex(flash_esp.TABLE_BYTES), str(path)]
    esptool(chip, port, "no-reset", words)
    refuse_moved(flash_esp.read_table(parts[1].data), path.read_bytes())


def refuse_moved(ours, table):
    """CommandError if flashing `ours` loses data of a board that has this partition table."""
    try:
        theirs = flash_esp.read_table(table)
    except CommandError:
        theirs = []  # no table that a boot loader would start from: no data to lose
    lost = flash_esp.moved(ours, theirs)
    if theirs and flash_esp.end_of(ours) != flash_esp.end_of(theirs):
        lost.append("the file system")
    if lost:
        raise CommandError(
            f"found other partitions on the board, expected those of the image: "
            f"{', '.join(dict.fromkeys(lost))} "
            "would be lost; remedy: copy away what you need, then --repartition; nothing was written"
        )


def esp_port():
    """The one serial port that may be an ESP32's. CommandError if there is none, or several."""
    from serial.tools import list_ports

    found = sorted(port.device for port in list_ports.comports() if port.vid in _ESP_VENDORS)
    if not found:
        raise CommandError(
            "found no serial port of an ESP32, expected one; remedy: connect it, or name its PORT"
        )
    if len(found) > 1:
        raise CommandError(f"found {', '.join(found)}, expected one port of an ESP32; remedy: name its PORT")
    return found[0]


def esptool(chip, port, after, words, shown=False):
    """Run esptool. CommandError with its last line if it fails."""
    options = ["--chip", chip, "--port", port, "--after", after]
    status, output, said = program("esptool", [*options, *words], shown, _ESPTOOL_S)
    if status:
        said = (output + "\n" + said).strip().splitlines()
        fatal = [line for line in said if "rror" in line] or said or [f"exit status {status}"]
        raise CommandError(
            f"esptool: {names.escape(fatal[-1])}; the chip's own boot loader is in ROM and still there; "
            "remedy: flash again"
        )


# ---- both


def _show(parts):
    rows = [(f"{start:#x}", f"{end:#x}", str(end - start), name) for name, start, end in parts]
    say_table(("from", "to", "bytes", "part"), rows)


def _progress(what, total):
    """A context manager that gives a function to call with each number of bytes; a bar, on a terminal
    only."""
    return _Bar(what, total)


class _Bar:
    def __init__(self, what, total):
        self._bar = Progress(
            TextColumn(what),
            BarColumn(),
            DownloadColumn(),
            console=console(),
            disable=not sys.stdout.isatty(),
        )
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self):
        self._bar.start()
        return lambda count: self._bar.advance(self._task, count)

    def __exit__(self, *_):
        self._bar.stop()


_FLASHERS = {"rp2": _flash_rp2, "esp32": _flash_esp32}

COMMANDS = (
    Command(
        None,
        "flash",
        flash,
        "Flash firmware onto a board: the image is checked before a byte is written.\n\n"
        "BOARD is a name of boards/boards.toml. A Pico is found as the drive of its boot "
        "loader, or sent there "
        "through its PORT; an ESP32 by its PORT, or if it is the only one. The file system and "
        "what a device has "
        "stored stay.",
        (
            click.argument("board"),
            click.argument("port", required=False),
            click.option("--image", metavar="FILE", help="The firmware; else what make firmware has built."),
            click.option(
                "--repartition",
                is_flag=True,
                help="Onto an ESP32 with other partitions, whose files are lost.",
            ),
            click.option("--dry-run", is_flag=True, help="Check the image, and print what would be written."),
        ),
    ),
)
