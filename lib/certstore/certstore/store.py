"""The store: trust anchors in one blob that is read where it lies. docs/store-format.md has the format.

Checked when a store is opened: magic, the header's own checksum, version, total length, layout.
Checked by `certificate`: bounds, the record's checksum, its SKI against the index.
Checked by `verify`: the SHA-256 over everything behind the header, every record as above, and that
both indexes are in order and name every record once, each under the hash and SKI it has.
Not checked: who built the store. A checksum is not a signature.
"""

import binascii
import hashlib

from .compat import const
from .errors import CorruptStore, NotFound, StoreError

# As in PNG: a byte above 127, both line ends and Ctrl-Z show a copy in text mode at once.
MAGIC = b"\x89SKI\r\n\x1a\n"
VERSION = const(1)

# Header: offsets of its fields; integers are little-endian.
_AT_VERSION = const(8)
_AT_HEADER_LENGTH = const(9)
_AT_SKI_WIDTH = const(10)
_AT_TOTAL = const(12)
_AT_COUNT = const(16)
_AT_SKI_INDEX = const(20)
_AT_SUBJECT_INDEX = const(24)
_AT_RECORDS = const(28)
_AT_LARGEST = const(32)
_AT_BUILD_TIME = const(36)
_AT_DIGEST = const(44)
_AT_RESERVED = const(76)
_AT_HEADER_CHECK = const(92)
HEADER_LENGTH = const(96)

# SKIs are 20 bytes nearly always; no hash in use makes one longer than 64.
MIN_SKI_WIDTH = const(20)
MAX_SKI_WIDTH = const(64)
MAX_COUNT = const(65535)
# All offsets stay below 2**30, a small int on 32-bit boards.
MAX_TOTAL = const(0x3FFFFFFF)

# An entry of the SKI index: SKI padded with zeros; its length, 1 byte; length of the content, 3
# bytes; offset of the record, 4 bytes.
SKI_ENTRY_EXTRA = const(8)
# An entry of the subject index: subject hash, 4 bytes; record number, 2 bytes.
SUBJECT_ENTRY = const(6)
# A record: kind, length of the SKI, 2 zeros, subject hash; then SKI, content, checksum.
_RECORD_HEAD = const(8)
_RECORD_CHECK = const(4)

# Kinds of records: a certificate that may issue others, and one that stands for itself only.
ANCHOR = const(1)
EXACT = const(2)

# CRC-32 over anything followed by its own CRC-32, little-endian. Below 2**30, so that comparing a
# good record's makes no big int on 32-bit boards.
_GOOD_CRC = const(0x2144DF1C)

_ENOENT = const(2)
_CHUNK = const(512)


class CertStore:
    """A store in bytes-like memory (frozen bytes, a mapped file) or in an ordinary file.

    source: bytes-like, or a path. Of a file, the header is read and nothing per certificate kept;
    where the port maps files (ROMFS) the file is read in place. Raises CorruptStore, StoreError.

    Certificates are numbered 0 to len(store) - 1 in the order of their SKIs. `find`, `at_ski`,
    `find_subject` and `at_subject` allocate nothing. `verified` tells whether `verify` has passed.
    """

    def __init__(self, source):
        self._file = None
        self.verified = False
        if isinstance(source, str):
            source = self._open(source)
        self._window = None if source is None else memoryview(source)
        try:
            self._read_header()
        except StoreError:
            self.close()
            raise
        if self._file is not None:
            # Everything a look-up reads passes through these few bytes.
            self._window = bytearray(self._ski_entry)
            self._ski_view = memoryview(self._window)
            self._subject_view = self._ski_view[:SUBJECT_ENTRY]
            self._head_view = self._ski_view[:_RECORD_HEAD]
        else:
            self._ski_view = self._subject_view = self._head_view = None

    def _open(self, path):
        try:
            file = open(path, "rb")
        except OSError as error:
            code = "store-missing" if error.errno == _ENOENT else "store-file"
            found = "%s (errno %s)" % (path, error.errno)
            raise StoreError(code, found)
        try:
            return memoryview(file)
        except TypeError:
            self._file = file
            return None

    def close(self):
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _length(self):
        if self._file is None:
            return len(self._window)
        return self._file.seek(0, 2)

    def _load(self, at, view):
        # Makes the bytes from `at` on readable in _window; returns where they begin there.
        if self._file is None:
            return at
        self._read(at, view)
        return 0

    def _read(self, at, view):
        try:
            self._file.seek(at)
            count = self._file.readinto(view)
        except OSError as error:
            raise StoreError("store-file", "errno %s" % error.errno)
        if count != len(view):
            raise CorruptStore("store-truncated", "%s of %d bytes at %d" % (count, len(view), at))

    def _copy(self, at, size):
        # `size` bytes from `at` on: a view of memory, or read into a fresh buffer.
        if self._file is None:
            return self._window[at : at + size]
        view = memoryview(bytearray(size))
        self._read(at, view)
        return view

    def _read_header(self):
        actual = self._length()
        start = self._copy(0, min(actual, _AT_HEADER_LENGTH + 1))
        if start[: len(MAGIC)] != MAGIC:
            raise CorruptStore("store-magic")
        if actual <= _AT_HEADER_LENGTH:
            raise CorruptStore("store-truncated", "%d bytes" % actual)
        # Whatever a later version adds, these two fields and the checksum at the end stay in place.
        length = start[_AT_HEADER_LENGTH]
        if actual < length:
            raise CorruptStore("store-truncated", "%d bytes" % actual, "a header of %d" % length)
        header = self._copy(0, length)
        if binascii.crc32(header) != _GOOD_CRC:
            raise CorruptStore("store-header")
        self.version = header[_AT_VERSION]
        if self.version > VERSION:
            raise StoreError("store-version", "version %d" % self.version, "up to %d" % VERSION)
        if length != HEADER_LENGTH or self.version == 0:
            raise CorruptStore("store-header")
        self.size = _u32(header, _AT_TOTAL)
        if self.size != actual:
            raise CorruptStore("store-truncated", "%d bytes" % actual, "%d" % self.size)
        self._read_layout(header)

    def _read_layout(self, header):
        self._width = header[_AT_SKI_WIDTH]
        self._ski_entry = self._width + SKI_ENTRY_EXTRA
        self._count = _u32(header, _AT_COUNT)
        self._subject_index = HEADER_LENGTH + self._count * self._ski_entry
        self._records = self._subject_index + self._count * SUBJECT_ENTRY
        self.largest = _u32(header, _AT_LARGEST)
        self.build_time = int.from_bytes(bytes(header[_AT_BUILD_TIME:_AT_DIGEST]), "little")
        self.digest = bytes(header[_AT_DIGEST:_AT_RESERVED])
        sound = (
            MIN_SKI_WIDTH <= self._width <= MAX_SKI_WIDTH
            and self._count <= MAX_COUNT
            and self.size <= MAX_TOTAL
            and self.largest <= self.size
            and _u32(header, _AT_SKI_INDEX) == HEADER_LENGTH
            and _u32(header, _AT_SUBJECT_INDEX) == self._subject_index
            and _u32(header, _AT_RECORDS) == self._records
            and self._records <= self.size
            and header[_AT_SKI_WIDTH + 1] == 0
        )
        if not sound or any(header[_AT_RESERVED:_AT_HEADER_CHECK]):
            raise CorruptStore("store-header")

    def __len__(self):
        return self._count

    def find(self, ski):
        """The number of the first certificate with this SKI (bytes-like), or -1.

        Others with the same SKI follow it: `at_ski` of the next numbers tells. A -1 of a store that
        is not `verified` may mean a damaged index: `verify` before reporting it.
        """
        low = 0
        high = self._count
        while low < high:
            middle = (low + high) >> 1
            if self._compare_ski(middle, ski) < 0:
                low = middle + 1
            else:
                high = middle
        return self.at_ski(low, ski)

    def at_ski(self, number, ski):
        """`number` if that certificate exists and has this SKI, else -1."""
        if 0 <= number < self._count and self._compare_ski(number, ski) == 0:
            return number
        return -1

    def _compare_ski(self, number, ski):
        # Below, equal to or above 0 as the entry's SKI is to `ski`: by bytes, then by length.
        base = self._load(HEADER_LENGTH + number * self._ski_entry, self._ski_view)
        window = self._window
        width = self._width
        size = len(ski)
        for i in range(width):
            difference = window[base + i] - (ski[i] if i < size else 0)
            if difference:
                return difference
        return window[base + width] - size

    def find_subject(self, hash4):
        """The position in the subject index of the first entry with this `subject_hash`, or -1.

        `at_subject` turns it, and the positions after it, into numbers of certificates.
        """
        low = 0
        high = self._count
        while low < high:
            middle = (low + high) >> 1
            if self._compare_subject(middle, hash4) < 0:
                low = middle + 1
            else:
                high = middle
        if low < self._count and self._compare_subject(low, hash4) == 0:
            return low
        return -1

    def at_subject(self, position, hash4):
        """The certificate at a position of the subject index, or -1 if its hash is another.

        Equal hashes do not make equal names: compare those with `names.same_name`.
        """
        if not 0 <= position < self._count or self._compare_subject(position, hash4):
            return -1
        base = self._load(self._subject_index + position * SUBJECT_ENTRY, self._subject_view)
        number = self._window[base + 4] | self._window[base + 5] << 8
        if number >= self._count:
            raise CorruptStore("store-index", "subject entry %d" % position)
        self._locate(number)
        base = self._load(self._offset, self._head_view)
        for i in range(4):
            if self._window[base + 4 + i] != hash4[i]:
                raise CorruptStore("store-index", "subject entry %d" % position)
        return number

    def _compare_subject(self, position, hash4):
        base = self._load(self._subject_index + position * SUBJECT_ENTRY, self._subject_view)
        window = self._window
        for i in range(4):
            difference = window[base + i] - hash4[i]
            if difference:
                return difference
        return 0

    def _locate(self, number):
        # Finds a record through the SKI index: _entry is where its entry begins in _window, _offset
        # and _record_size are the record's, _ski_size and _content_size those of its parts.
        if not 0 <= number < self._count:
            raise NotFound("not-found", "number %d" % number, "0 to %d" % (self._count - 1))
        base = self._load(HEADER_LENGTH + number * self._ski_entry, self._ski_view)
        window = self._window
        at = base + self._width
        self._entry = base
        self._ski_size = window[at]
        self._content_size = window[at + 1] | window[at + 2] << 8 | window[at + 3] << 16
        self._record_size = _RECORD_HEAD + self._ski_size + self._content_size + _RECORD_CHECK
        self._offset = _u32(window, at + 4)
        if (
            self._ski_size > self._width
            or self._record_size > self.largest
            or not self._records <= self._offset <= self.size - self._record_size
        ):
            raise CorruptStore("store-index", "SKI entry %d" % number)

    def ski(self, number):
        """The SKI of a certificate, bytes."""
        self._locate(number)
        return bytes(self._window[self._entry : self._entry + self._ski_size])

    def kind(self, number):
        """ANCHOR for a certificate that may issue others, EXACT for one that stands for itself only."""
        return self._record(number, None)[0]

    def certificate(self, number, into=None):
        """The DER of a certificate, checked: a view of the source, or of what was read from a file.

        into: for file sources, a buffer of at least `largest` bytes to read into instead of a fresh
        one. Raises CorruptStore "store-record" or "store-index", StoreError "store-version" for a
        kind of record that this code does not know, NotFound for no such number.
        """
        record = self._record(number, into)
        start = _RECORD_HEAD + self._ski_size
        return record[start : start + self._content_size]

    def _record(self, number, into):
        self._locate(number)
        if self._file is None or into is None:
            record = self._copy(self._offset, self._record_size)
        else:
            if len(into) < self._record_size:
                raise ValueError("into: %d bytes needed" % self._record_size)
            record = memoryview(into)[: self._record_size]
            self._read(self._offset, record)
        if binascii.crc32(record) != _GOOD_CRC:
            raise CorruptStore("store-record", "record %d" % number)
        if not ANCHOR <= record[0] <= EXACT or record[2] or record[3]:
            raise StoreError("store-version", "record %d of kind %d" % (number, record[0]))
        if record[1] != self._ski_size:
            raise CorruptStore("store-index", "SKI entry %d" % number)
        for i in range(self._width):
            expected = record[_RECORD_HEAD + i] if i < self._ski_size else 0
            if self._window[self._entry + i] != expected:
                raise CorruptStore("store-index", "SKI entry %d" % number)
        return record

    def verify(self):
        """Check the whole store, in time proportional to its size; sets `verified`. Raises as it finds."""
        self.verified = False
        self._verify_digest()
        self._verify_records()
        self._verify_subjects()
        self.verified = True

    def _verify_digest(self):
        digest = hashlib.sha256()
        if self._file is None:
            digest.update(self._window[HEADER_LENGTH:])
        else:
            buffer = bytearray(_CHUNK)
            for at in range(HEADER_LENGTH, self.size, _CHUNK):
                view = memoryview(buffer)[: min(_CHUNK, self.size - at)]
                self._read(at, view)
                digest.update(view)
        if digest.digest() != self.digest:
            raise CorruptStore("store-check")

    def _verify_records(self):
        into = None if self._file is None else bytearray(self.largest)
        expected = self._records
        largest = 0
        before = b""
        for number in range(self._count):
            self._record(number, into)
            if self._offset != expected:
                raise CorruptStore("store-index", "SKI entry %d" % number)
            expected += self._record_size
            largest = max(largest, self._record_size)
            if number and self._compare_ski(number, before) < 0:
                raise CorruptStore("store-index", "SKI entry %d" % number)
            before = self.ski(number)
        if expected != self.size or largest != self.largest:
            raise CorruptStore("store-header")

    def _verify_subjects(self):
        # Ascending pairs of (hash, number), each with the hash of its record: every record once.
        before = b""
        last = -1
        for position in range(self._count):
            base = self._load(self._subject_index + position * SUBJECT_ENTRY, self._subject_view)
            hash4 = bytes(self._window[base : base + 4])
            number = self.at_subject(position, hash4)
            if (hash4, number) <= (before, last):
                raise CorruptStore("store-index", "subject entry %d" % position)
            before = hash4
            last = number


def _u32(buf, at):
    return buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16 | buf[at + 3] << 24
