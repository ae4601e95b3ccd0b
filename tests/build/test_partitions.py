"""Partition tables: what ESP-IDF would refuse is refused, with its line."""

import pytest

import partitions
from common import BuildError

FLASH_BYTES = 0x400000
GOOD = "nvs, data, nvs, 0x9000, 0x6000\nfactory, app, factory, 0x10000, 1M,\n"


def test_units_comments_and_the_empty_flags():
    table = partitions.parse(
        "# Name, Type\n\n" + GOOD + "romfs,data,0x8f,0x110000,128K, # here\n", FLASH_BYTES
    )
    assert [(p.name, p.offset, p.end) for p in table] == [
        ("nvs", 0x9000, 0xF000),
        ("factory", 0x10000, 0x110000),
        ("romfs", 0x110000, 0x130000),
    ]


ROWS = (
    # the line after GOOD, what is said
    ("romfs, data, 0x8f, 0x10f000, 0x1000", "inside what ends at 0x110000"),
    ("romfs, data, 0x8f, 0x3ff000, 0x2000", "ends at 0x401000, the flash at 0x400000"),
    ("romfs, data, 0x8f, 0x110800, 0x1000", "begins at a multiple of 0x1000"),
    ("romfs, data, 0x8f, 0x110000, 0x1001", "whole sectors"),
    ("romfs, data, 0x8f, 0x110000, 0", "whole sectors"),
    ("ota_0, app, ota_0, 0x111000, 0x1000", "begins at a multiple of 0x10000"),
    ("nvs, data, nvs, 0x110000, 0x1000", "a second nvs"),
    ("n" * 16 + ", data, nvs, 0x110000, 0x1000", "expected 1 to 15 bytes"),
    ("romfs, rom, 0x8f, 0x110000, 0x1000", "type 'rom', expected app or data"),
    ("romfs, data, 0x8f, 0x110000", "expected name, type, subtype, offset, size"),
    ("romfs, data, 0x8f, 0x110000, 0x1000, encrypted", "no flags"),
    ("romfs, data, 0x8f, , 0x1000", "invalid literal"),
)


@pytest.mark.parametrize(("line", "said"), ROWS, ids=[said for _, said in ROWS])
def test_a_bad_line_is_named(line, said):
    with pytest.raises(BuildError, match=rf"^partition table, line 3: .*{said}"):
        partitions.parse(GOOD + line + "\n", FLASH_BYTES)


@pytest.mark.parametrize(("line", "fits"), [("0x3ff000, 0x1000", True), ("0x3ff000, 0x2000", False)])
def test_the_last_sector_can_be_used(line, fits):
    text = f"{GOOD}romfs, data, 0x8f, {line}\n"
    if fits:
        assert partitions.parse(text, FLASH_BYTES)[-1].end == FLASH_BYTES
    else:
        with pytest.raises(BuildError, match="the flash at"):
            partitions.parse(text, FLASH_BYTES)


def test_the_table_itself_is_not_overwritten():
    with pytest.raises(BuildError, match="line 1: nvs begins at 0x8000, inside what ends at 0x9000"):
        partitions.parse("nvs, data, nvs, 0x8000, 0x1000", FLASH_BYTES)
