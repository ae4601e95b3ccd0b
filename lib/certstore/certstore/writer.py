"""The blob of a store, from the entries and records of others: of memory, of stores, or of both.

A source has a length, entry(number), record(number) and by_subject(), as a CertStore has them. What is
written is not held: a device can rewrite a store that is larger than its heap. The same entries make the
same bytes.
"""

import binascii
import hashlib

from . import layout, packed
from .errors import StoreError
from .verify import padded


class Entries:
    """A source in memory. rows: [(entry, record)], as `record` makes them."""

    def __init__(self, rows):
        rows.sort(key=_place)
        self._rows = rows
        self._by_hash = list(range(len(rows)))
        self._by_hash.sort(key=lambda number: rows[number][0][:4] + number.to_bytes(4, "big"))

    def __len__(self):
        return len(self._rows)

    def entry(self, number):
        return self._rows[number][0]

    def record(self, number):
        return self._rows[number][1]

    def by_subject(self):
        """Yields the numbers in the order of their subject hashes."""
        return iter(self._by_hash)


def record(hash4, ski, kind, content=b""):
    """(entry, record) of a store: what its checksum covers of the index, and what lies among the records."""
    if len(ski) > layout.MAX_SKI_WIDTH:
        raise StoreError("store-ski", "%d bytes" % len(ski))
    entry = hash4 + bytes((len(ski) | (layout.REMOVED if kind == layout.NOTHING else 0),)) + ski
    made = bytes((kind,)) + content
    check = binascii.crc32(made, binascii.crc32(entry)).to_bytes(4, "little")
    return entry, made + check


def _place(row):
    # By SKI, then by what tells records apart.
    entry, made = row
    return padded(entry) + entry[layout.AT_LENGTH : layout.ENTRY_HEAD] + bytes(made[-layout.RECORD_CHECK :])


class Writer:
    """Composes a blob from two sources, with a list of identities' records behind them.

    keep(entry): whether an entry of the first source goes in. `count` is how many go in, without those that
    were there twice; `added` how many of them the second source gave. write(put) calls put(bytes) for all
    that is behind the header, in order, and returns the header.
    """

    def __init__(self, first, second, build_time, identities=(), keep=None):
        self._sources = (first, second)
        self._build_time = build_time
        self._identities = identities
        # Per entry a small int, 4 bytes on a device: its number times 2, plus its source; and per source the
        # number that each entry gets, or -1.
        self._order = []
        self._numbers = ([-1] * len(first), [-1] * len(second))
        self.added = 0
        self._merge(keep)
        self.count = len(self._order)
        if self.count > layout.MAX_COUNT:
            raise StoreError("store-full", "%d" % self.count)
        if len(identities) > layout.MAX_IDENTITIES:
            raise StoreError("store-full", "%d identities" % len(identities))

    def _merge(self, keep):
        first, second = self._sources
        before = None
        a = b = 0
        while a < len(first) or b < len(second):
            left = _place((first.entry(a), first.record(a))) if a < len(first) else None
            right = _place((second.entry(b), second.record(b))) if b < len(second) else None
            which = int(left is None or (right is not None and right < left))
            number = b if which else a
            if which:
                b += 1
            else:
                a += 1
            place = right if which else left
            code = 2 * number + which
            if not which and keep is not None and not keep(first.entry(number)):
                continue
            if place == before and self._record(code) == self._record(self._order[-1]):
                continue
            before = place
            self._numbers[which][number] = len(self._order)
            self._order.append(code)
            self.added += which

    def _entry(self, code):
        return self._sources[code & 1].entry(code >> 1)

    def _record(self, code):
        return self._sources[code & 1].record(code >> 1)

    def write(self, put):
        order = self._order
        width = layout.MIN_SKI_WIDTH
        largest = 0
        total = 0
        for code in order:
            width = max(width, len(self._entry(code)) - layout.ENTRY_HEAD)
            made = self._record(code)
            total += len(made)
            largest = max(largest, buffer_size(made))
        offset = layout.HEADER_LENGTH + len(order) * (width + layout.ENTRY_EXTRA + layout.SUBJECT_ENTRY)
        identities_at = offset + total
        total = identities_at
        for made in self._identities:
            total += len(made)
        if total > layout.MAX_TOTAL:
            raise StoreError("store-size", "%d bytes" % total)
        digest = hashlib.sha256()

        def out(data):
            digest.update(data)
            put(data)

        for code in order:
            entry = self._entry(code)
            out(entry + bytes(width + layout.ENTRY_HEAD - len(entry)) + offset.to_bytes(3, "little"))
            offset += len(self._record(code))
        for number in self._by_subject():
            out(number.to_bytes(2, "little"))
        for code in order:
            out(self._record(code))
        for made in self._identities:
            out(made)
        return self._header(width, total, largest, identities_at, digest.digest())

    def _by_subject(self):
        # Yields the new numbers in the order of (hash, number): both sources have theirs in that order.
        streams = [self._new_numbers(which) for which in (0, 1)]
        heads = [next(stream, None) for stream in streams]
        while heads[0] or heads[1]:
            which = int(not heads[0] or (heads[1] is not None and heads[1] < heads[0]))
            place = heads[which]
            yield place[4] << 8 | place[5]
            heads[which] = next(streams[which], None)

    def _new_numbers(self, which):
        # Yields subject hash and new number, big-endian, of each entry that goes in.
        for number in self._sources[which].by_subject():
            new = self._numbers[which][number]
            if new >= 0:
                yield self._sources[which].entry(number)[:4] + new.to_bytes(2, "big")

    def _header(self, width, total, largest, identities_at, digest):
        header = layout.MAGIC + bytes((layout.VERSION, layout.HEADER_LENGTH, width, len(self._identities)))
        for field in (total, len(self._order), largest, identities_at):
            header += field.to_bytes(4, "little")
        header += bytes(layout.AT_BUILD_TIME - len(header)) + self._build_time.to_bytes(8, "little") + digest
        header += bytes(layout.AT_HEADER_CHECK - len(header))
        return header + binascii.crc32(header).to_bytes(4, "little")


def buffer_size(made):
    """What a buffer needs for the certificate of a record, and for the record itself."""
    if made[0] != layout.PACKED:
        return len(made)
    return max(len(made), packed.laid_out_size(made, layout.RECORD_HEAD, len(made) - layout.RECORD_CHECK))
