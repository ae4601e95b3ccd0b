"""UF2 images for the RP2040 and RP2350, checked before a byte is written. From the UF2 specification
(Microsoft) and the bootroms' own rules (RP2040 datasheet 2.8.4.2, RP2350 datasheet 5.5.2).

Verified, in this order: whole blocks; each block's magic numbers, flags, family, payload, number and count;
addresses in the firmware's part of the flash, aligned, ascending, from its start and without a hole; zeros
behind the payload; on the RP2040 the checksum of the second-stage boot loader; and, if a firmware.bin was
built beside the image, that both have the same bytes.
Not verified: the payload of an image that has no firmware.bin beside it. UF2 has no checksum.
"""

import struct

from .errors import CommandError

BLOCK = 512
PAYLOAD = 256
FLASH_BASE = 0x10000000
_MAGIC = (0x0A324655, 0x9E5D5157)
_MAGIC_END = 0x0AB16F30
_HEADER = struct.Struct("<8I")
_AT_END = BLOCK - 4
_FAMILY_PRESENT = 0x2000
_EXTENSIONS = 0x8000
# What picotool puts before an RP2350's image for the chip's erratum E10: a block that is not for the flash.
_ABSOLUTE_FAMILY = 0xE48BFF57
_ABSOLUTE_ADDRESS = 0x10FFFF00
# The RP2040's bootrom starts the first 252 bytes of flash only if the next 4 are their CRC-32/MPEG-2.
_BOOT2 = 252
_CRC_POLYNOMIAL = 0x04C11DB7


def check(data, facts, beside=None):
    """The bytes that a UF2 image puts at the start of the flash. facts: the board's row of the table; beside:
    the firmware.bin that it was made from, if it is there. CommandError if the image must not be flashed."""
    if not data or len(data) % BLOCK:
        raise CommandError(
            f"found {len(data)} bytes, expected a UF2 of whole blocks of {BLOCK}: it is truncated"
        )
    blocks = [data[at : at + BLOCK] for at in range(0, len(data), BLOCK)]
    if facts["chip"] == "rp2350" and _is_absolute(blocks[0]):
        del blocks[0]
    limit = min(facts["romfs_offset"], facts["filesystem_offset"])
    image = bytearray()
    for number, block in enumerate(blocks):
        try:
            image += _payload(block, number, len(blocks), len(image), limit, facts)
        except ValueError as error:
            raise CommandError(f"block {number} of the UF2: {error}") from None
    image = bytes(image)
    if facts["chip"] == "rp2040" and _crc(image[:_BOOT2]) != int.from_bytes(image[_BOOT2:PAYLOAD], "little"):
        raise CommandError("the checksum of the second-stage boot loader does not hold: the image is damaged")
    if beside is not None and image.rstrip(b"\0") != beside.rstrip(b"\0"):
        raise CommandError(
            "found other bytes than in the firmware.bin beside it; remedy: make firmware again"
        )
    return image


def _payload(block, number, count, at, limit, facts):
    *magic, flags, address, size, found_number, found_count, family = _HEADER.unpack_from(block)
    end = int.from_bytes(block[_AT_END:], "little")
    expect(tuple(magic) == _MAGIC and end == _MAGIC_END, "found no UF2 magic numbers, expected them")
    # The bootroms take no notice of what is not for the main flash, and know no other flag.
    expect(flags == _FAMILY_PRESENT, f"found flags {flags:#x}, expected {_FAMILY_PRESENT:#x}")
    expect(
        family == facts["family"],
        f"found family {family:#010x}, expected {facts['family']:#010x}, that of the "
        f"{facts['chip'].upper()}: "
        "it is for another chip",
    )
    expect(size == PAYLOAD, f"found {size} bytes of payload, expected {PAYLOAD}")
    expect(
        (found_number, found_count) == (number, count),
        f"found number {found_number} of {found_count}, expected {number} of {count}: blocks are missing",
    )
    expect(
        address + PAYLOAD <= FLASH_BASE + limit,
        f"found address {address:#x}, expected less than {FLASH_BASE + limit:#x}: the ROMFS and "
        "the file system "
        "begin there",
    )
    expected = FLASH_BASE + at
    expect(
        address == expected, f"found address {address:#x}, expected {expected:#x}, without hole or overlap"
    )
    head = _HEADER.size
    expect(not any(block[head + PAYLOAD : _AT_END]), "found bytes behind the payload, expected zeros")
    return block[head : head + PAYLOAD]


def expect(holds, message):
    if not holds:
        raise ValueError(message)


def _is_absolute(block):
    magic, second, flags, address, size, number, count, family = _HEADER.unpack_from(block)
    return (magic, second) == _MAGIC and (flags, address, size, number, count, family) == (
        _FAMILY_PRESENT | _EXTENSIONS,
        _ABSOLUTE_ADDRESS,
        PAYLOAD,
        0,
        2,
        _ABSOLUTE_FAMILY,
    )


def _crc(data):
    """CRC-32/MPEG-2: zlib's, not reflected and not inverted at the end."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1) ^ (_CRC_POLYNOMIAL if value & 0x80000000 else 0)
            value &= 0xFFFFFFFF
    return value
