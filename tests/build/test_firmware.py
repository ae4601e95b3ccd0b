"""PICO_SECURE's image, as built: its size, its place in flash, the store in one piece."""

import json
import struct

import pytest

import boards
import rp2
from plugins.interpreters import ROOT

BOARD = boards.find("PICO_SECURE")
FOLDER = ROOT / "build" / "firmware" / "PICO_SECURE"

# UF2 specification: a block of 512 bytes begins with two magic numbers and ends with one.
UF2_BLOCK_BYTES = 512
UF2_MAGIC = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
UF2_FAMILY_PRESENT = 0x2000

# 704,000 is what all that exists so far may take; the finished firmware is to stay under 790,000.
FLASH_LIMIT_BYTES = 704_000


@pytest.fixture(scope="module")
def image():
    if not (FOLDER / "sizes.json").is_file():
        pytest.skip("not built: make firmware BOARD=PICO_SECURE")
    return (FOLDER / "firmware.bin").read_bytes()


def test_flash_is_within_its_limit(image):
    sizes = json.loads((FOLDER / "sizes.json").read_text())
    assert sizes["flash_bytes"] == len(image) <= FLASH_LIMIT_BYTES
    assert sizes["ram_bytes"] + sizes["heap_bytes"] == 256 * 1024  # RP2040 datasheet 2.6: the main banks


def test_sizes_are_those_of_the_elf_file(image):
    assert rp2.measure(FOLDER / "firmware.elf", FOLDER / "firmware.bin") == json.loads(
        (FOLDER / "sizes.json").read_text()
    )


def test_store_is_in_flash_in_one_piece_and_in_front_of_the_romfs(image):
    roots = (ROOT / "build" / "store" / "roots.bin").read_bytes()
    at = image.find(roots)
    assert 0 < at < at + len(roots) <= len(image) <= BOARD["romfs_offset"]
    assert image.find(roots, at + 1) < 0, "once"


def test_uf2_is_the_image(image):
    uf2 = (FOLDER / "firmware.uf2").read_bytes()
    assert len(uf2) % UF2_BLOCK_BYTES == 0
    data = bytearray()
    for number, at in enumerate(range(0, len(uf2), UF2_BLOCK_BYTES)):
        first, second, flags, address, count, index, total, family = struct.unpack_from("<8I", uf2, at)
        (last,) = struct.unpack_from("<I", uf2, at + UF2_BLOCK_BYTES - 4)
        assert (first, second, last) == UF2_MAGIC
        assert (index, total) == (number, len(uf2) // UF2_BLOCK_BYTES)
        assert flags & UF2_FAMILY_PRESENT and family == BOARD["family"]
        assert address == rp2.FLASH_ADDRESS + len(data)
        data += uf2[at + 32 : at + 32 + count]
    assert data[: len(image)] == image and not any(data[len(image) :])
