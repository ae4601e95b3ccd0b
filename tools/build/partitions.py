"""Partition tables of ESP32 boards: the CSV that ESP-IDF takes, read strictly.

Rules: ESP-IDF Programming Guide 5.4, "Partition Tables". Not taken: offsets and sizes left empty,
which ESP-IDF computes; these tables say what lies where.
"""

from dataclasses import dataclass

from common import BuildError

TABLE_OFFSET = 0x8000  # CONFIG_PARTITION_TABLE_OFFSET
TABLE_BYTES = 0x1000
ALIGNMENT = {"app": 0x10000, "data": 0x1000}
NAME_BYTES = 15  # and a terminating 0
UNITS = {"K": 1024, "M": 1024 * 1024}
ROMFS_SUBTYPE = "0x8f"  # MicroPython's


@dataclass(frozen=True)
class Partition:
    name: str
    type: str
    subtype: str
    offset: int
    size: int

    @property
    def end(self):
        return self.offset + self.size


def number(text):
    """An offset or size: decimal, 0x…, or with K or M."""
    unit = UNITS.get(text[-1:].upper())
    return int(text[:-1], 0) * unit if unit else int(text, 0)


def parse(text, flash_bytes):
    """The partitions of a CSV in their order, or a BuildError that names the line."""
    found = []
    for line_number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if line:
            try:
                found.append(partition(line, found[-1].end if found else TABLE_OFFSET + TABLE_BYTES))
                check(found, flash_bytes)
            except ValueError as error:
                raise BuildError(f"partition table, line {line_number}: {error}") from None
    return found


def partition(line, after):
    fields = [field.strip() for field in line.split(",")]
    if len(fields) not in (5, 6) or any(fields[5:]):
        raise ValueError(f"found {line!r}, expected name, type, subtype, offset, size and no flags")
    name, kind, subtype = fields[:3]
    if kind not in ALIGNMENT:
        raise ValueError(f"type {kind!r}, expected {' or '.join(ALIGNMENT)}")
    made = Partition(name, kind, subtype, number(fields[3]), number(fields[4]))
    if made.offset < after:
        raise ValueError(f"{name} begins at {made.offset:#x}, inside what ends at {after:#x}")
    return made


def check(partitions, flash_bytes):
    """The last of `partitions`, against the flash and the names before it."""
    last = partitions[-1]
    if not 0 < len(last.name.encode()) <= NAME_BYTES:
        raise ValueError(f"name {last.name!r}, expected 1 to {NAME_BYTES} bytes")
    if last.name in {other.name for other in partitions[:-1]}:
        raise ValueError(f"a second {last.name}")
    unaligned = last.offset % ALIGNMENT[last.type] or last.size % ALIGNMENT["data"]
    if unaligned or last.size <= 0:
        raise ValueError(
            f"{last.name} at {last.offset:#x} of {last.size:#x} bytes: {last.type} begins at a "
            f"multiple of {ALIGNMENT[last.type]:#x} and takes whole sectors of {ALIGNMENT['data']:#x}"
        )
    if last.end > flash_bytes:
        raise ValueError(f"{last.name} ends at {last.end:#x}, the flash at {flash_bytes:#x}")
