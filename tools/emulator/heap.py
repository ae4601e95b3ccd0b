"""MicroPython's heap seen from outside: the garbage collector's allocation table in emulated memory.

The table has two bits a block of 16 bytes (py/gc.c): 0 is free, everything else is used. Where it lies is
read from the collector's own record in `mp_state_ctx`, whose address the ELF file tells.
"""

import re
import struct
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from emulator.errors import ImageError
from emulator.image import REMEDY

SRAM_START = 0x20000000
BLOCK_BYTES = 16
BLOCKS_A_BYTE = 4
WORD = 4
# The record lies near the start of mp_state_ctx, a structure of less than 2 KB on the rp2 port.
SEARCH_BYTES = 2048
USED_BLOCKS = bytes(sum(1 for shift in (0, 2, 4, 6) if byte >> shift & 3) for byte in range(256))
# One character a block, "\0" for free, so that runs can be found as text.
EXPANDED = [bytes(byte >> shift & 3 for shift in (0, 2, 4, 6)) for byte in range(256)]
FREE_RUN = re.compile(rb"\0+")


def symbols(elf, names):
    """{name: address} of an ELF file's symbols."""
    elf = Path(elf)
    if not elf.is_file():
        raise ImageError(f"{elf}: no such file; {REMEDY}")
    try:
        with elf.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            all_of_it = table.iter_symbols() if table else ()
            found = {one.name: one["st_value"] for one in all_of_it if one.name in names}
    except ELFError:
        found = {}  # of no ELF file every symbol is missing
    missing = set(names) - set(found)
    if missing:
        raise ImageError(f"{elf}: has no symbol {', '.join(sorted(missing))}; {REMEDY}")
    return found


class Heap:
    """The heap of a running machine. `used` and `largest_free` are in bytes."""

    def __init__(self, sram, elf):
        self._sram = sram
        found = symbols(elf, ("__GcHeapStart", "mp_state_ctx"))
        self._start = found["__GcHeapStart"]
        self._context = found["mp_state_ctx"] - SRAM_START
        self._table = None

    def _find(self):
        """The slice of the table in SRAM; None while MicroPython has not set up its heap."""
        for at in range(self._context, self._context + SEARCH_BYTES, WORD):
            if struct.unpack_from("<I", self._sram, at)[0] == self._start:
                words = struct.unpack_from("<5I", self._sram, at)
                size = words[1]
                # Also pool start and end, which follow (with or without a finaliser table between).
                for pool, end in (words[2:4], words[3:5]):
                    if size and end - pool == size * BLOCKS_A_BYTE * BLOCK_BYTES:
                        return slice(self._start - SRAM_START, self._start - SRAM_START + size)
        return None

    @property
    def ready(self):
        if self._table is None:
            self._table = self._find()
        return self._table is not None

    def table(self):
        return bytes(self._sram[self._table])

    def used(self):
        return sum(self.table().translate(USED_BLOCKS)) * BLOCK_BYTES

    def total(self):
        return (self._table.stop - self._table.start) * BLOCKS_A_BYTE * BLOCK_BYTES

    def largest_free(self):
        blocks = b"".join([EXPANDED[byte] for byte in self.table()])
        return max((len(run) for run in FREE_RUN.findall(blocks)), default=0) * BLOCK_BYTES


class Window:
    """The highest use of the heap between two moments, and how little was free in one piece then."""

    def __init__(self, heap, nanos):
        self._heap = heap
        self.start_ns = nanos
        self.before = self.peak = heap.used()
        self.largest_free = heap.largest_free()

    def sample(self):
        used = self._heap.used()
        if used > self.peak:
            self.peak = used
            self.largest_free = self._heap.largest_free()

    def close(self, nanos):
        self.sample()
        return {
            "emulated_ms": (nanos - self.start_ns) / 1e6,
            "heap_before_bytes": self.before,
            "heap_peak_bytes": self.peak,
            "largest_free_bytes": self.largest_free,
            "heap_after_bytes": self._heap.used(),
        }
