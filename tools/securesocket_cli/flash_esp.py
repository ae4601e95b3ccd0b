"""ESP32 images, checked before a byte is written, and cut into what is flashed and what is left alone.

firmware.bin, as MicroPython's port makes it, is one file from the boot loader's address on: boot loader,
partition table at 0x8000, application. Between them lie partitions with a device's own data (nvs), which a
write of the whole file would erase: only the three parts are written.

Verified, in this order: boot loader and application by esptool's own reader (magic, segments, checksum),
their SHA-256, their chip; the table's MD5 and entries, that they do not overlap and fit the flash; that the
application fits its partition, and is not followed by anything.
"""

import hashlib
import struct
from typing import NamedTuple

from certstore import names

from .errors import CommandError

# ESP-IDF, "Partition Tables": entries of 32 bytes, the last one with the MD5 of those before it, then 0xff.
TABLE_ADDRESS = 0x8000
TABLE_BYTES = 0xC00
_ENTRY = struct.Struct("<2sBBII16sI")
_ENTRY_MAGIC = b"\xaa\x50"
_MD5_MAGIC = b"\xeb\xeb"
_AT_MD5 = 16
_ERASED = 0xFF
_APP = 0
_SECTOR = 0x1000


class Partition(NamedTuple):
    name: str
    kind: int
    subtype: int
    address: int
    size: int

    @property
    def end(self):
        return self.address + self.size


class Part(NamedTuple):
    """What is written: a name for people, its address in flash, its bytes."""

    name: str
    address: int
    data: bytes


def check(data, facts):
    """[Part] of a firmware.bin. facts: the board's row of the table. CommandError if it must not be
    flashed."""
    base = _loader(facts["chip"]).BOOTLOADER_FLASH_OFFSET
    table = data[TABLE_ADDRESS - base : TABLE_ADDRESS - base + TABLE_BYTES]
    partitions = read_table(table)
    _fit(partitions, facts["flash_bytes"])
    boot = _image("the boot loader", data, facts["chip"])
    if base + len(boot) > TABLE_ADDRESS:
        raise CommandError(
            f"found a boot loader of {len(boot)} bytes, expected at most {TABLE_ADDRESS - base}"
        )
    app = next((partition for partition in partitions if partition.kind == _APP), None)
    if app is None:
        raise CommandError("found no application in the partition table, expected one")
    rest = data[app.address - base :]
    code = _image("the application", rest, facts["chip"])
    if len(code) > app.size:
        raise CommandError(
            f"found an application of {len(code)} bytes, expected at most {app.size}, its "
            f"partition {app.name}"
        )
    if any(byte != _ERASED for byte in rest[len(code) :]):
        raise CommandError(f"found {len(rest) - len(code)} bytes behind the application, expected nothing")
    return [
        Part("boot loader", base, boot),
        Part("partition table", TABLE_ADDRESS, table),
        Part("application", app.address, code),
    ]


def _loader(chip):
    from esptool.targets import CHIP_DEFS

    return CHIP_DEFS[chip]


def _image(what, data, chip):
    """The bytes of the image that data begins with."""
    from esptool.bin_image import LoadFirmwareImage
    from esptool.util import FatalError

    try:
        image = LoadFirmwareImage(chip, data)
    # What esptool raises for bytes that are cut off or are none of an image.
    except (FatalError, RuntimeError, struct.error, IndexError, TypeError) as error:
        raise CommandError(
            f"{what} cannot be read: {names.escape(str(error))}: truncated or damaged"
        ) from error
    expected = _loader(chip).IMAGE_CHIP_ID
    if image.chip_id != expected:
        raise CommandError(
            f"{what}: found chip number {image.chip_id}, expected {expected}, that of the {chip}"
        )
    if image.checksum != image.calculate_checksum():
        raise CommandError(f"{what}: its checksum does not hold: it is damaged")
    if not image.append_digest:
        raise CommandError(f"{what}: found no SHA-256 in it, expected one")
    if image.stored_digest != image.calc_digest:
        raise CommandError(f"{what}: its SHA-256 does not hold: it is truncated or damaged")
    return data[: image.data_length + len(image.stored_digest)]


def read_table(data):
    """[Partition] of a partition table; [] for an erased one. CommandError if it is none."""
    found = []
    for at in range(0, len(data) - _ENTRY.size + 1, _ENTRY.size):
        entry = data[at : at + _ENTRY.size]
        if entry[:2] == _MD5_MAGIC:
            if entry[_AT_MD5:] != hashlib.md5(data[:at], usedforsecurity=False).digest():
                raise CommandError("the partition table's MD5 does not hold: it is damaged")
            return found
        if not found and all(byte == _ERASED for byte in data):
            return found
        magic, kind, subtype, address, size, name, _flags = _ENTRY.unpack(entry)
        if magic != _ENTRY_MAGIC:
            break
        text = names.escape(name.rstrip(b"\0").decode("ascii", "replace"))
        found.append(Partition(text, kind, subtype, address, size))
    raise CommandError("the partition table has no MD5 at its end: it is truncated or damaged")


def _fit(partitions, flash_bytes):
    before = Partition("partition table", 1, 0, TABLE_ADDRESS, _SECTOR)
    for partition in sorted(partitions, key=lambda each: each.address):
        if partition.address < before.end:
            raise CommandError(
                f"found partition {partition.name} at {partition.address:#x}, expected it at "
                f"{before.end:#x} or "
                f"behind: {before.name} is there"
            )
        if partition.end > flash_bytes:
            raise CommandError(
                f"found partition {partition.name} up to {partition.end:#x}, expected at most "
                f"{flash_bytes:#x}: the "
                "board's flash ends there"
            )
        before = partition


def moved(ours, theirs):
    """Names of the board's partitions with data that ours has not in the same place: what flashing would
    lose."""
    kept = {partition[1:] for partition in ours}
    return [each.name for each in theirs if each.kind != _APP and each[1:] not in kept]


def end_of(partitions):
    """Where the file system begins that has no partition: MicroPython makes one of what follows the last."""
    return max((partition.end for partition in partitions), default=0)
