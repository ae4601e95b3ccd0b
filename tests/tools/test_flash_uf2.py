"""UF2 images: what must not be flashed onto a Pico is refused before a byte is written."""

import struct
import zlib

import pytest

from plugins.uf2 import FACTS, RP2350, blocks, content, image
from securesocket_cli import flash_uf2
from securesocket_cli.errors import CommandError

GOOD = image()


def refused(data, facts=FACTS, beside=None):
    with pytest.raises(CommandError) as caught:
        flash_uf2.check(data, facts, beside)
    return caught.value.message


def changed(number, at, value):
    """GOOD with a word of one block's header replaced."""
    data = bytearray(GOOD)
    struct.pack_into("<I", data, number * flash_uf2.BLOCK + at, value)
    return bytes(data)


def test_a_good_image_gives_its_content():
    assert flash_uf2.check(GOOD, FACTS, content()) == content()


def test_an_image_up_to_the_last_byte_of_the_firmwares_flash():
    limit = FACTS["romfs_offset"]
    assert len(flash_uf2.check(image(limit), FACTS)) == limit
    text = refused(image(limit + flash_uf2.PAYLOAD))
    assert f"expected less than {flash_uf2.FLASH_BASE + limit:#x}: the ROMFS and the file system" in text


@pytest.mark.parametrize("at", range(0, len(GOOD), flash_uf2.BLOCK))
def test_truncated_at_a_block(at):
    assert "truncated" in refused(GOOD[:at]) if at == 0 else "blocks are missing" in refused(GOOD[:at])


@pytest.mark.parametrize("at", [1, 31, 511, 513, len(GOOD) - 1])
def test_truncated_inside_a_block(at):
    assert f"found {at} bytes" in refused(GOOD[:at])


def test_a_flipped_bit_anywhere():
    """Every bit of two blocks and a sample of the others; the payload against the firmware.bin beside it."""
    bits = [*range(2 * flash_uf2.BLOCK * 8), *range(2 * flash_uf2.BLOCK * 8, len(GOOD) * 8, 97)]
    for bit in bits:
        data = bytearray(GOOD)
        data[bit // 8] ^= 1 << bit % 8
        refused(bytes(data), beside=content())


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (0, 0, "no UF2 magic numbers"),
        (4, 0, "no UF2 magic numbers"),
        (508, 0, "no UF2 magic numbers"),
        (8, 0, "found flags 0x0, expected 0x2000"),
        (8, 0x2001, "found flags 0x2001"),
        (12, 0x10000000, "without hole or overlap"),
        (12, 0x10000300, "without hole or overlap"),
        (12, 0x10000201, "without hole or overlap"),
        (12, 0x100E0000, "the ROMFS and the file system"),
        (12, 0x10100000, "the ROMFS and the file system"),
        (12, 0x20000000, "the ROMFS and the file system"),
        (12, 0, "without hole or overlap"),
        (16, 476, "found 476 bytes of payload, expected 256"),
        (20, 7, "found number 7 of"),
        (24, 1, "blocks are missing"),
        (28, 0xE48BFF59, "found family 0xe48bff59, expected 0xe48bff56, that of the RP2040"),
        (300, 1, "behind the payload"),
    ],
)
def test_a_field_of_a_block(at, value, says):
    text = refused(changed(2, at, value))
    assert text.startswith("block 2 of the UF2: ") and says in text


def test_blocks_in_another_order():
    first, second, *rest = blocks(GOOD)
    assert "block 0" in refused(b"".join([second, first, *rest]))


def test_a_boot_loader_whose_checksum_does_not_hold():
    damaged = bytearray(GOOD)
    damaged[32 + 100] ^= 1
    assert "second-stage boot loader does not hold" in refused(bytes(damaged))


def test_another_firmware_beside_it():
    assert "found other bytes than in the firmware.bin" in refused(GOOD, beside=content()[:-1] + b"x")


@pytest.mark.parametrize("data", [b"", b"x", bytes(512), b"\x7fELF" * 128, zlib.compress(GOOD)])
def test_what_is_no_uf2(data):
    refused(data)


def test_rp2350_has_no_second_stage_and_may_have_a_block_for_its_erratum():
    plain = image(family=RP2350["family"], boot2=False)
    absolute = struct.pack(
        "<8I", *flash_uf2._MAGIC, 0xA000, 0x10FFFF00, 256, 0, 2, 0xE48BFF57
    ) + b"\xef" * 476 + struct.pack("<I", 0x0AB16F30)  # fmt: skip
    assert flash_uf2.check(plain, RP2350) == flash_uf2.check(absolute + plain, RP2350)
    refused(plain + absolute, RP2350)
    refused(absolute + GOOD, FACTS)
