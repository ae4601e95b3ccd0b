"""Packed trust anchors, laid out as the certificates that mbedTLS takes for them.

Of a root, verification uses the name, the key, the validity and two extensions; its signature and
the rest prove nothing (RFC 5280 6.1.1 d). A packed anchor is the former; laid out it is a version 3
certificate with issuer = subject, critical basicConstraints and keyUsage as they were, and an empty
signature. Version 1 would be shorter and wrong: mbedTLS does not check CA and pathLen there.
`packing` makes them; docs/store-format.md has the bytes.
"""

from binascii import hexlify

from .compat import const
from .errors import CorruptStore, StoreError
from .words import FRAMES, LENGTHS, STARTS, TEXT

# The head: form of the key, pathLen, key usage; first and last second of validity; length of the DER
# Name. Then the name in tokens, and the key.
_AT_TIMES = const(3)
_AT_NOT_AFTER = const(10)
_AT_NAME_SIZE = const(17)
HEAD = const(19)

NO_PATH_LENGTH = const(255)
_MAX_LAID_OUT = const(8192)

# Tokens of names: the frame of an attribute, followed by the length of its value; a run of 1 to 96
# bytes as they are; a word of the dictionary.
FIRST_RUN = const(0x20)
FIRST_WORD = const(0x80)
FRAME_SIZE = const(11)
# The lengths in a frame have one byte.
MAX_VALUE = const(118)

# Forms of keys, from 1: what stands before the modulus or the coordinates in a SubjectPublicKeyInfo,
# their size, and what stands behind. Form 0 is a whole one, followed by its length in 2 bytes.
WHOLE_KEY = const(0)
# Literal, so that they stay in flash: what is composed when a module is imported lies on the heap.
FORMS = (
    (  # RSA 2048
        b"\x30\x82\x01\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
        b"\x01\x05\x00\x03\x82\x01\x0f\x00\x30\x82\x01\x0a\x02\x82\x01\x01\x00",
        256,
        b"\x02\x03\x01\x00\x01",
    ),
    (  # RSA 3072
        b"\x30\x82\x01\xa2\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
        b"\x01\x05\x00\x03\x82\x01\x8f\x00\x30\x82\x01\x8a\x02\x82\x01\x81\x00",
        384,
        b"\x02\x03\x01\x00\x01",
    ),
    (  # RSA 4096
        b"\x30\x82\x02\x22\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
        b"\x01\x05\x00\x03\x82\x02\x0f\x00\x30\x82\x02\x0a\x02\x82\x02\x01\x00",
        512,
        b"\x02\x03\x01\x00\x01",
    ),
    (  # P-256
        b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
        b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04",
        64,
        b"",
    ),
    (  # P-384
        b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00\x04",
        96,
        b"",
    ),
    (  # P-521
        b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02"
        b"\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00\x04",
        132,
        b"",
    ),
)

# version 3, serial number 1, ecdsa-with-SHA256: an algorithm that mbedTLS knows, for a signature of no
# bytes that nobody checks.
_START = b"\xa0\x03\x02\x01\x02\x02\x01\x01\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"
_START_SIZE = const(20)
_END = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x03\x01\x00"
_END_SIZE = const(15)
_CONSTRAINTS = b"\x30\x0f\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x05\x30\x03\x01\x01\xff"
_PATH_LENGTH = b"\x30\x12\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x08\x30\x06\x01\x01\xff\x02\x01"
_USAGE = b"\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02"
_CONSTRAINTS_SIZE = const(17)
_PATH_LENGTH_SIZE = const(20)
_USAGE_SIZE = const(16)
_USUAL = (
    b"\xa3\x23\x30\x21\x30\x0f\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x05\x30\x03"
    b"\x01\x01\xff\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x01\x06"
)


def laid_out_size(record, start, stop):
    """Bytes that `lay_out` makes of the packed anchor at record[start:stop]."""
    return _size(_tbs_size(record, start, stop))


def lay_out(record, start, stop, into=None):
    """The certificate of the packed anchor at record[start:stop], as a memoryview.

    into: a memoryview that it is written to the start of, instead of a fresh one; the one that the record
    lies in will do, if the record and 4 more bytes end where that ends. Raises ValueError for one that is
    too small, CorruptStore for what no builder makes, StoreError "store-version" for a form of key or a
    word that this code does not know.
    """
    tbs = _tbs_size(record, start, stop)
    size = _size(tbs)
    out = memoryview(bytearray(size)) if into is None else into
    if len(out) < size:
        raise ValueError("into: %d bytes needed" % size)
    # Read before anything is written: the record may lie in `out`.
    form = record[start]
    name_size = _name_size(record, start)
    validity = _validity(record, start)
    extensions = _extensions(record[start + 1], record[start + 2])
    key_at, key_size = _key(record, start, stop)
    at = _put_header(out, _put_header(out, 0, tbs + _header_size(tbs) + _END_SIZE), tbs)
    name = at + _START_SIZE
    out[at:name] = _START
    at = name + name_size
    _put_name(out, name, at, record, start + HEAD, key_at)
    out[at] = 0x30
    out[at + 1] = len(validity)
    at = _put(out, at + 2, validity)
    out[at : at + name_size] = out[name : name + name_size]
    at += name_size
    if form == WHOLE_KEY:
        at = _put(out, at, record[key_at : key_at + key_size])
    else:
        before, _, after = FORMS[form - 1]
        at = _put(out, at, before)
        out[at : at + key_size] = record[key_at : key_at + key_size]
        at = _put(out, at + key_size, after)
    at = _put(out, at, extensions)
    out[at:size] = _END
    return out[:size]


def _size(tbs):
    size = tbs + _header_size(tbs) + _END_SIZE
    size += _header_size(size)
    if size > _MAX_LAID_OUT:
        raise _damaged()
    return size


def _extensions(path_length, usage):
    if path_length == NO_PATH_LENGTH:
        if usage == 0x06:
            # Two of three roots: keyCertSign and cRLSign.
            return _USUAL
        made = _CONSTRAINTS
    else:
        made = _PATH_LENGTH + bytes((path_length,))
    if usage:
        unused = 0
        while not usage >> unused & 1:
            unused += 1
        made += _USAGE + bytes((unused, usage))
    return bytes((0xA3, len(made) + 2, 0x30, len(made))) + made


def _tbs_size(record, start, stop):
    # The content of TBSCertificate. Refuses lengths that point outside: the rest is within bounds then.
    path_length = record[start + 1]
    if NO_PATH_LENGTH != path_length > 127:
        raise _damaged()
    key_at, size = _key(record, start, stop)
    if key_at < start + HEAD:
        raise _damaged()
    form = record[start]
    if form != WHOLE_KEY:
        before, _, after = FORMS[form - 1]
        size += len(before) + len(after)
    size += 2 * _name_size(record, start)
    size += 30 if _is_short(record, start + _AT_TIMES) else 32
    if not _is_short(record, start + _AT_NOT_AFTER):
        size += 2
    size += _CONSTRAINTS_SIZE if path_length == NO_PATH_LENGTH else _PATH_LENGTH_SIZE
    if record[start + 2]:
        size += _USAGE_SIZE
    # Headers of Validity (2) and of the extensions (4).
    return size + _START_SIZE + 6


def _key(record, start, stop):
    # Where the key begins in the record, and its size.
    form = record[start]
    if form == WHOLE_KEY:
        size = record[stop - 2] | record[stop - 1] << 8
        return stop - 2 - size, size
    if form > len(FORMS):
        raise StoreError("store-version", "a key of form %d" % form, "up to %d" % len(FORMS))
    size = FORMS[form - 1][1]
    return stop - size, size


def _put(out, at, part):
    stop = at + len(part)
    out[at:stop] = part
    return stop


def _header_size(size):
    return 2 if size < 128 else 3 if size < 256 else 4


def _put_header(out, at, size):
    out[at] = 0x30
    if size < 128:
        out[at + 1] = size
        return at + 2
    if size < 256:
        out[at + 1] = 0x81
        out[at + 2] = size
        return at + 3
    out[at + 1] = 0x82
    out[at + 2] = size >> 8
    out[at + 3] = size & 255
    return at + 4


def _name_size(record, start):
    return record[start + _AT_NAME_SIZE] | record[start + _AT_NAME_SIZE + 1] << 8


def _put_name(out, at, end, record, pos, stop):
    # Writes the DER Name of the tokens record[pos:stop] to out[at:end].
    text = TEXT
    starts = STARTS
    lengths = LENGTHS
    words = len(lengths)
    while pos < stop:
        token = record[pos]
        pos += 1
        if token >= FIRST_WORD:
            token -= FIRST_WORD
            if token >= words:
                raise StoreError("store-version", "word %d" % token, "up to %d" % (words - 1))
            word = starts[2 * token] << 8 | starts[2 * token + 1]
            size = lengths[token]
            next_at = at + size
            if next_at > end:
                raise _damaged()
            out[at:next_at] = text[word : word + size]
            at = next_at
        elif token >= FIRST_RUN:
            size = token - (FIRST_RUN - 1)
            next_at = at + size
            if next_at > end or pos + size > stop:
                raise _damaged()
            out[at:next_at] = record[pos : pos + size]
            at = next_at
            pos += size
        else:
            next_at = at + FRAME_SIZE
            frame = token * FRAME_SIZE
            size = record[pos] if pos < stop else 255
            pos += 1
            if next_at > end or frame >= len(FRAMES) or size > MAX_VALUE:
                raise _damaged()
            out[at:next_at] = FRAMES[frame : frame + FRAME_SIZE]
            out[at + 1] = size + 9
            out[at + 3] = size + 7
            out[next_at - 1] = size
            at = next_at
    if at != end:
        raise _damaged()


def _is_short(record, at):
    # Whether the year is one of 1950 to 2049, which have two digits (RFC 5280 4.1.2.5).
    return record[at] == 0x20 and record[at + 1] < 0x50 or record[at] == 0x19 and record[at + 1] >= 0x50


def _validity(record, start):
    # Two times of 14 digits, YYYYMMDDHHMMSS, each digit in 4 bits.
    digits = hexlify(record[start + _AT_TIMES : start + _AT_NAME_SIZE])
    first = b"\x17\x0d" + digits[2:14] if _is_short(record, start + _AT_TIMES) else b"\x18\x0f" + digits[:14]
    if _is_short(record, start + _AT_NOT_AFTER):
        return first + b"Z\x17\x0d" + digits[16:] + b"Z"
    return first + b"Z\x18\x0f" + digits[14:] + b"Z"


def _damaged():
    return CorruptStore("store-record", "a packed anchor that no builder makes")
