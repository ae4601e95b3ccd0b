"""The firmware's file, read and checked before a machine is made of it.

Verified, in this order: the file is there; whole blocks with UF2's three magic numbers; the RP2040's family;
every block of the file present once; every payload within the flash. Source: the UF2 specification,
https://github.com/microsoft/uf2
"""

import struct
from pathlib import Path

from emulator.errors import ImageError

BLOCK_BYTES = 512
MAGIC = (0x0A324655, 0x9E5D5157)
MAGIC_END = 0x0AB16F30
HAS_FAMILY = 0x2000
RP2040 = 0xE48BFF56
FLASH_START = 0x10000000
FLASH_BYTES = 2 * 1024 * 1024
REMEDY = "run `make firmware BOARD=PICO_SECURE`"


def check(path):
    """Raise ImageError unless the file is a whole image for the RP2040."""
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: no such file; {REMEDY}")
    data = path.read_bytes()
    if not data or len(data) % BLOCK_BYTES:
        raise ImageError(f"{path}: {len(data)} bytes are no whole blocks of {BLOCK_BYTES}; {REMEDY}")
    total = len(data) // BLOCK_BYTES
    seen = set()
    for at in range(0, len(data), BLOCK_BYTES):
        first, second, flags, address, size, number, count, family = struct.unpack_from("<8I", data, at)
        (last,) = struct.unpack_from("<I", data, at + BLOCK_BYTES - 4)
        where = f"{path}, block {at // BLOCK_BYTES}"
        if (first, second) != MAGIC or last != MAGIC_END:
            raise ImageError(f"{where}: not a block of a UF2 file; {REMEDY}")
        if not flags & HAS_FAMILY or family != RP2040:
            raise ImageError(
                f"{where}: for family {family:#010x}, expected {RP2040:#010x} (RP2040); {REMEDY}"
            )
        if not FLASH_START <= address <= FLASH_START + FLASH_BYTES - size:
            raise ImageError(f"{where}: address {address:#010x} is outside the flash of 2 MB; {REMEDY}")
        if count != total:
            raise ImageError(f"{path}: {total} blocks of {count}: the file is not whole; {REMEDY}")
        seen.add(number)
    if len(seen) != total:
        raise ImageError(f"{path}: {len(seen)} different blocks of {total}; {REMEDY}")
