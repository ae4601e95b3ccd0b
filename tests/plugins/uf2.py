"""UF2 images for tests, as MicroPython's uf2conv.py writes them."""

import struct

FACTS = {
    "port": "rp2",
    "chip": "rp2040",
    "artifact": "firmware.uf2",
    "family": 0xE48BFF56,
    "flash_bytes": 0x200000,
    "romfs_offset": 0xE0000,
    "filesystem_offset": 0x100000,
}
RP2350 = FACTS | {"chip": "rp2350", "family": 0xE48BFF59}
VERSION = b"MicroPython v1.26.1 on 2026-11-21"


def content(size=4096, boot2=True):
    """The bytes of a firmware, with a version in it."""
    body = bytes(at * 7 % 251 + 1 for at in range(size))
    body = body[: size - len(VERSION)] + VERSION
    return body[:252] + struct.pack("<I", crc(body[:252])) + body[256:] if boot2 else body


def crc(data):
    """CRC-32/MPEG-2, bit by bit from the left."""
    value = int.from_bytes(data, "big") ^ (0xFFFFFFFF << (8 * len(data) - 32))
    value <<= 32
    for shift in reversed(range(8 * len(data))):
        if value >> (shift + 32) & 1:
            value ^= 0x104C11DB7 << shift
    return value


def image(size=4096, family=FACTS["family"], boot2=True):
    data = content(size, boot2)
    pieces = [data[at : at + 256] for at in range(0, len(data), 256)]
    made = b""
    for number, piece in enumerate(pieces):
        address = 0x10000000 + 256 * number
        head = (0x0A324655, 0x9E5D5157, 0x2000, address, 256, number, len(pieces), family)
        made += struct.pack("<8I", *head) + piece.ljust(476, b"\0") + struct.pack("<I", 0x0AB16F30)
    return made


def blocks(data):
    return [data[at : at + 512] for at in range(0, len(data), 512)]
