"""The blob of a store, read where it lies: its header, both indexes, its records.

Checked when a store is opened: magic, the header's own checksum, version, total length, layout.
Checked by `certificate`: bounds, and the record's checksum, which covers its index entry too.
Checked by `verify`: the SHA-256 over everything behind the header, every record as above, and that
both indexes are in order and name every record once.
Not checked: who built the store. A checksum is not a signature. docs/store-format.md has the format.
"""

import binascii
import os

from . import packed
from .compat import const
from .errors import CorruptStore, NotFound, StoreError, part

# Those of `layout`, as private constants: they cost a device no heap. A test holds them equal.
_ANCHOR = const(1)
_AT_BUILD_TIME = const(36)
_AT_COUNT = const(16)
_AT_DIGEST = const(44)
_AT_HEADER_CHECK = const(92)
_AT_HEADER_LENGTH = const(9)
_AT_IDENTITIES = const(24)
_AT_IDENTITY_COUNT = const(11)
_AT_LARGEST = const(20)
_AT_LENGTH = const(4)
_AT_RESERVED = const(28)
_AT_RESERVED_TOO = const(76)
_AT_SKI_WIDTH = const(10)
_AT_TOTAL = const(12)
_AT_VERSION = const(8)
_ENTRY_EXTRA = const(8)
_ENTRY_HEAD = const(5)
_GOOD_CRC = const(0x2144DF1C)
_HEADER_LENGTH = const(96)
_JOURNAL = ".new"
_JOURNAL_MARK = b"complete"
_MAGIC = b"\x89SKI\r\n\x1a\n"
_MAX_COUNT = const(0xFFFF)
_MAX_LAID_OUT = const(0x2000)
_MAX_SKI_WIDTH = const(64)
_MAX_TOTAL = const(0xFFFFFF)
_MIN_SKI_WIDTH = const(20)
_NOTHING = const(4)
_PACKED = const(3)
_RECORD_CHECK = const(4)
_RECORD_HEAD = const(1)
_REMOVED = const(128)
_SUBJECT_ENTRY = const(2)
_VERSION = const(1)

_ENOENT = const(2)
_ENODEV = const(19)
_ENOTDIR = const(20)


class Blob:
    """A store as `CertStore` opens it; whoever reads one sees that class."""

    verified = False
    _file = None
    _unfinished = False

    def open(self, source):
        """Read the header of the bytes or the file that this store is from now on."""
        self.close_file()
        self.verified = False
        if isinstance(source, str):
            source = self._open_file(source)
        self.window = None if source is None else memoryview(source)
        try:
            self._read_header()
        except StoreError:
            self.close_file()
            raise
        if self._file is not None:
            # Everything a look-up reads passes through these few bytes.
            self.window = bytearray(self._entry_size)
        # Where the entry that was compared last begins in `window`; the record that was located last.
        self.found_at = self._offset = self._stop = 0

    def _open_file(self, path):
        self._unfinished = False
        if is_file(path + _JOURNAL):
            # An update that power was lost in. Where it cannot be finished, it is read where it is.
            self._unfinished = not _journal().settle(path)
            if self._unfinished:
                path += _JOURNAL
        try:
            file = open(path, "rb")
        except OSError as error:
            code = "store-missing" if error.errno == _ENOENT else "store-file"
            raise StoreError(code, "%s (errno %s)" % (path, error.errno))
        try:
            return memoryview(file)
        except TypeError:
            self._file = file
            return None

    def close_file(self):
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _load(self, at, needed):
        # Makes `needed` bytes from `at` on readable in `window`; returns where they begin there.
        if self._file is None:
            return at
        count = self._fill(at, self.window)
        if count < needed:
            raise CorruptStore("store-truncated", "%s of %d bytes at %d" % (count, needed, at))
        return 0

    def _fill(self, at, view):
        # How many bytes of the file, from `at` on, went into the buffer.
        try:
            self._file.seek(at)
            return self._file.readinto(view)
        except (OSError, ValueError) as error:
            # ValueError: a file that was closed, on some ports.
            raise StoreError("store-file", str(error))

    def read(self, at, view):
        """Copy the bytes from `at` on into a memoryview."""
        if self._file is None:
            view[:] = self.window[at : at + len(view)]
            return
        count = self._fill(at, view)
        if count != len(view):
            raise CorruptStore("store-truncated", "%s of %d bytes at %d" % (count, len(view), at))

    def copy(self, at, size):
        """`size` bytes from `at` on: a view of memory, or of a fresh buffer that was read into."""
        if self._file is None:
            return self.window[at : at + size]
        view = memoryview(bytearray(size))
        self.read(at, view)
        return view

    def _read_header(self):
        try:
            actual = len(self.window) if self._file is None else self._file.seek(0, 2)
        except OSError as error:
            raise StoreError("store-file", "errno %s" % error.errno)
        if self._unfinished:
            actual -= len(_JOURNAL_MARK)
        start = self.copy(0, min(actual, _AT_HEADER_LENGTH + 1))
        if start[: len(_MAGIC)] != _MAGIC:
            raise CorruptStore("store-magic")
        if actual <= _AT_HEADER_LENGTH:
            raise CorruptStore("store-truncated", "%d bytes" % actual)
        # Whatever a later version adds, these two fields and the checksum at the end stay in place.
        length = start[_AT_HEADER_LENGTH]
        if actual < length:
            raise CorruptStore("store-truncated", "%d bytes" % actual, "a header of %d" % length)
        header = self.copy(0, length)
        if binascii.crc32(header) != _GOOD_CRC:
            raise CorruptStore("store-header")
        if header[_AT_VERSION] > _VERSION:
            raise StoreError("store-version", "version %d" % header[_AT_VERSION], "up to %d" % _VERSION)
        if length != _HEADER_LENGTH or header[_AT_VERSION] == 0:
            raise CorruptStore("store-header")
        self.size = _u32(header, _AT_TOTAL)
        if self.size != actual:
            raise CorruptStore("store-truncated", "%d bytes" % actual, "%d" % self.size)
        self._count = _u32(header, _AT_COUNT)
        self._entry_size = header[_AT_SKI_WIDTH] + _ENTRY_EXTRA
        self.largest = _u32(header, _AT_LARGEST)
        self.identity_count = header[_AT_IDENTITY_COUNT]
        self.identities_at = _u32(header, _AT_IDENTITIES)
        if (
            not _MIN_SKI_WIDTH <= header[_AT_SKI_WIDTH] <= _MAX_SKI_WIDTH
            or self._count > _MAX_COUNT
            or self.size > _MAX_TOTAL
            or self.largest > self.size + _MAX_LAID_OUT
            or not self.records_at <= self.identities_at <= self.size
            or any(header[_AT_RESERVED:_AT_BUILD_TIME])
            or any(header[_AT_RESERVED_TOO:_AT_HEADER_CHECK])
        ):
            raise CorruptStore("store-header")

    @property
    def build_time(self):
        """The earliest time that a device with this store believes, in s since 1970."""
        return int.from_bytes(bytes(self.copy(_AT_BUILD_TIME, _AT_DIGEST - _AT_BUILD_TIME)), "little")

    @property
    def digest(self):
        """The SHA-256 of everything behind the header, as the header has it."""
        return bytes(self.copy(_AT_DIGEST, _AT_RESERVED_TOO - _AT_DIGEST))

    @property
    def records_at(self):
        """Where the records begin, behind both indexes."""
        return _HEADER_LENGTH + self._count * (self._entry_size + _SUBJECT_ENTRY)

    def __len__(self):
        """How many entries there are: certificates, and those that hide others."""
        return self._count

    def numbers(self):
        """Yields the number of every certificate."""
        for number in range(self._count):
            if not self.is_removed(number):
                yield number

    def is_removed(self, number):
        """Whether this entry is no certificate, but hides those with its SKI in a store below (`layers`)."""
        base = self._load(self._at(number), _ENTRY_HEAD)
        return self.window[base + _AT_LENGTH] >= _REMOVED

    def find(self, ski, after=-1):
        """The number of the first certificate with this SKI (bytes-like) above number `after`, or -1.

        A -1 of a store that is not `verified` may mean a damaged index: `verify` before reporting it.
        """
        number = self.find_ski(ski, 0, len(ski), after)
        while number >= 0 and self.window[self.found_at + _AT_LENGTH] >= _REMOVED:
            number = self.find_ski(ski, 0, len(ski), number)
        return number

    def find_ski(self, buf, start, size, after=-1):
        """As `find` for the SKI buf[start : start + size], but also finds what hides the certificates of a
        store below."""
        low = 0
        high = self._count
        while low < high:
            middle = (low + high) >> 1
            if middle <= after or self._compare_ski(middle, buf, start, size) < 0:
                low = middle + 1
            else:
                high = middle
        if low < self._count and self._compare_ski(low, buf, start, size) == 0:
            return low
        return -1

    def _compare_ski(self, number, buf, start, size):
        # Below, equal to or above 0 as the entry's SKI is to the wanted one: by bytes, then by length.
        self.found_at = base = self._load(_HEADER_LENGTH + number * self._entry_size, self._entry_size)
        window = self.window
        for i in range(self._entry_size - _ENTRY_EXTRA):
            difference = window[base + _ENTRY_HEAD + i] - (buf[start + i] if i < size else 0)
            if difference:
                return difference
        return (window[base + _AT_LENGTH] & 0x7F) - size

    def by_subject(self):
        """Yields the number of every entry in the order of their subject hashes."""
        for position in range(self._count):
            yield self.at_position(position)

    def find_subject(self, hash4, after=-1):
        """The number of the first certificate with this `names.subject_hash` above `after`, or -1.

        Equal hashes do not make equal names: compare those with `names.same_name`. -1 as of `find`.
        """
        number = self._find_subject(hash4, after)
        while number >= 0 and self.window[self.found_at + _AT_LENGTH] >= _REMOVED:
            number = self._find_subject(hash4, number)
        return number

    def _find_subject(self, hash4, after):
        low = 0
        high = self._count
        while low < high:
            middle = (low + high) >> 1
            number = self.at_position(middle)
            difference = self._compare_hash(number, hash4)
            if difference < 0 or (difference == 0 and number <= after):
                low = middle + 1
            else:
                high = middle
        if low < self._count:
            number = self.at_position(low)
            if self._compare_hash(number, hash4) == 0:
                return number
        return -1

    def at_position(self, position):
        """The number that the subject index has at this position."""
        at = _HEADER_LENGTH + self._count * self._entry_size + position * _SUBJECT_ENTRY
        base = self._load(at, _SUBJECT_ENTRY)
        number = self.window[base] | self.window[base + 1] << 8
        if number >= self._count:
            raise CorruptStore("store-index", "subject entry %d" % position)
        return number

    def _compare_hash(self, number, hash4):
        self.found_at = base = self._load(_HEADER_LENGTH + number * self._entry_size, _ENTRY_HEAD)
        for i in range(4):
            difference = self.window[base + i] - hash4[i]
            if difference:
                return difference
        return 0

    def _at(self, number):
        if not 0 <= number < self._count:
            raise NotFound("not-found", "number %d" % number, "0 to %d" % (self._count - 1))
        return _HEADER_LENGTH + number * self._entry_size

    def _locate(self, number):
        # Finds the record: window[_offset:_stop] in memory, or the same of the file.
        at = self._at(number) + self._entry_size - 3
        base = self._load(at, 3)
        self._offset = _u24(self.window, base)
        if number + 1 < self._count:
            base = self._load(at + self._entry_size, 3)
            self._stop = _u24(self.window, base)
        else:
            self._stop = self.identities_at
        if (
            self._stop - self._offset < _RECORD_HEAD + _RECORD_CHECK
            or self._offset < self.records_at
            or self._stop > self.identities_at
        ):
            raise CorruptStore("store-index", "SKI entry %d" % number)

    def extent(self, number):
        """Where a record begins and ends."""
        self._locate(number)
        return self._offset, self._stop

    def ski(self, number):
        """The SKI of a certificate, bytes."""
        return bytes(self.entry(number)[_ENTRY_HEAD:])

    def entry(self, number):
        """What a record's checksum covers of its index entry: subject hash, length of the SKI, SKI; bytes."""
        base = self._load(self._at(number), self._entry_size)
        size = self.window[base + _AT_LENGTH] & 0x7F
        stop = base + _ENTRY_HEAD + size
        # A longer SKI, or one that is not padded with zeros, would not be found.
        if size > self._entry_size - _ENTRY_EXTRA or any(self.window[stop : base + self._entry_size - 3]):
            raise CorruptStore("store-index", "SKI entry %d" % number)
        return bytes(self.window[base:stop])

    def record(self, number):
        """A record with its checksum, checked: a memoryview of the source, or of a fresh buffer."""
        self._locate(number)
        return self._checked(number, self.copy(self._offset, self._stop - self._offset))

    def _checked(self, number, record):
        entry = self.entry(number)
        if binascii.crc32(record, binascii.crc32(entry)) != _GOOD_CRC:
            raise CorruptStore("store-record", "record %d" % number)
        if not _ANCHOR <= record[0] <= _NOTHING:
            raise StoreError("store-version", "record %d of kind %d" % (number, record[0]))
        if (entry[_AT_LENGTH] >= _REMOVED) != (record[0] == _NOTHING):
            raise CorruptStore("store-record", "record %d of kind %d" % (number, record[0]))
        return record

    def kind(self, number):
        """ANCHOR for a certificate that may issue others, EXACT for one that stands for itself only."""
        kind = self.record(number)[0]
        if kind == _NOTHING:
            raise NotFound("not-found", "number %d" % number)
        return _ANCHOR if kind == _PACKED else kind

    def is_packed(self, number):
        """Whether `certificate` lays this one out: an anchor, without the signature it once had."""
        return self.record(number)[0] == _PACKED

    def certificate(self, number, into=None):
        """The DER of a certificate, checked, as a memoryview.

        A packed anchor is laid out: version 3, issuer = subject, an empty signature (`packed`); its bytes
        are not those of the CA's own certificate. into: a buffer of at least `largest` bytes to use instead
        of a fresh one; where memory holds a certificate whole, the view is of that memory. Raises
        CorruptStore, StoreError "store-version" for a kind of record that this code does not know, NotFound.
        """
        self._locate(number)
        size = self._stop - self._offset
        if into is not None:
            into = memoryview(into)
        if self._file is None or into is None:
            record = self.copy(self._offset, size)
        else:
            if len(into) < size:
                raise self._too_small(into)
            # At the end: a packed anchor is laid out over itself.
            record = into[len(into) - size :]
            self.read(self._offset, record)
        kind = self._checked(number, record)[0]
        if kind == _NOTHING:
            raise NotFound("not-found", "number %d" % number)
        if kind != _PACKED:
            return record[_RECORD_HEAD : size - _RECORD_CHECK]
        try:
            return packed.lay_out(record, _RECORD_HEAD, size - _RECORD_CHECK, into)
        except ValueError:
            raise self._too_small(into)

    def _too_small(self, into):
        if len(into) < self.largest:
            return ValueError("into: %d bytes needed" % self.largest)
        return CorruptStore("store-header", "a largest certificate of %d bytes" % self.largest)

    def verify(self):
        """Check the whole store, in time proportional to its size; sets `verified`. Raises as it finds."""
        from .verify import verify

        self.verified = False
        verify(self)
        self.verified = True


def is_store(path):
    """Whether there is a file at this path, or an update that counts as it (`journal`)."""
    if is_file(path):
        return True
    if not is_file(path + _JOURNAL):
        return False
    return _journal().counts(path + _JOURNAL)


def _journal():
    # Whether an update counts decides what is trusted: without its reader there is no store here.
    return part("certstore.journal", "certstore-edit")


def is_file(path):
    """Whether there is something at this path."""
    try:
        os.stat(path)
        return True
    except OSError as error:
        if error.errno not in (_ENOENT, _ENODEV, _ENOTDIR):
            raise StoreError("store-file", "%s (errno %s)" % (path, error.errno))
        return False


def _u24(buf, at):
    return buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16


def _u32(buf, at):
    return buf[at] | buf[at + 1] << 8 | buf[at + 2] << 16 | buf[at + 3] << 24
