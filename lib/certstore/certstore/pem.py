"""PEM text to DER (RFC 7468): several blocks, text between them, any line ends.

Inside the armour only base64 and white space are accepted, and only the one base64 text that
encodes those bytes. Blocks of other labels are stepped over without decoding them. The label
"NEW CERTIFICATE REQUEST" of older tools is read as "CERTIFICATE REQUEST" (RFC 7468 7).
"""

import binascii

from .compat import const
from .errors import FormatError

_BEGIN = b"-----BEGIN "
_END = b"-----END "
_DASHES = b"-----"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CHUNK = const(48)
# RFC 7468 names no limit. 48 KB of DER is three times the longest Certificate message we accept.
_MAX_ARMOUR = const(65536)
_MAX_LABEL = const(64)
# How much of a file's labels an error repeats.
_MAX_FOUND = const(128)
_REQUEST = "CERTIFICATE REQUEST"


def is_pem(data):
    """Whether `data` (str or bytes-like) has a PEM block; DER is told apart without a copy."""
    if not isinstance(data, str) and len(data) > 1 and data[0] == 0x30 and data[1] > 127:
        return False
    return _as_bytes(data).find(_BEGIN) >= 0


def blocks(data, label=None):
    """Yield (label, DER bytes) of every block, or of those with this label, in order.

    data: str or bytes-like. Raises FormatError "pem-armour", "pem-base64", "pem-size", and
    "key-encrypted" for a block with an RFC 1421 Proc-Type header.
    """
    data = _as_bytes(data)
    label = _canonical(label)
    for name, start, stop in _armours(data):
        if label is None or name == label:
            yield name, _body(data, start, stop)


def decode(data, label="CERTIFICATE"):
    """The DER bytes of all blocks with this label, in order; FormatError "pem-none" if none."""
    found = [der for _, der in blocks(data, label)]
    if not found:
        raise _none(data, label)
    return found


def first(data, labels):
    """(label, DER bytes) of the first block with one of these labels; FormatError "pem-none" if none."""
    data = _as_bytes(data)
    for name, start, stop in _armours(data):
        if name in labels:
            return name, _body(data, start, stop)
    raise _none(data, labels[0])


def ders(data):
    """The DER of the certificates in `data`: of every PEM block, or the bytes themselves if there is none."""
    return decode(data) if is_pem(data) else [data]


def encode(der, label="CERTIFICATE"):
    """PEM text of one block, in lines of 64 characters."""
    lines = ["-----BEGIN %s-----" % label]
    for at in range(0, len(der), _CHUNK):
        lines.append(str(binascii.b2a_base64(der[at : at + _CHUNK]), "ascii").rstrip())
    lines.append("-----END %s-----\n" % label)
    return "\n".join(lines)


def _as_bytes(data):
    # Only bytes can be searched on MicroPython: memoryview and bytearray have no find there.
    if isinstance(data, bytes):
        return data
    return data.encode() if isinstance(data, str) else bytes(data)


def _armours(data):
    # Label, first and last byte between the armour, of every block.
    pos = 0
    while True:
        begin = _marker(data, _BEGIN, pos, len(data))
        stray = _marker(data, _END, pos, len(data) if begin < 0 else begin)
        if stray >= 0:
            raise FormatError("pem-armour", "END without BEGIN at byte %d" % stray)
        if begin < 0:
            return
        name, start = _label(data, begin + len(_BEGIN))
        stop = _marker(data, _END, start, len(data))
        if stop < 0:
            raise FormatError("pem-armour", "BEGIN without END at byte %d" % begin)
        inner = _marker(data, _BEGIN, start, stop)
        if inner >= 0:
            raise FormatError("pem-armour", "BEGIN without END at byte %d" % begin)
        closing, pos = _label(data, stop + len(_END))
        if closing != name:
            raise FormatError("pem-armour", "END of another label at byte %d" % stop)
        yield _canonical(name), start, stop


def _canonical(label):
    return _REQUEST if label == "NEW " + _REQUEST else label


def _none(data, expected):
    seen = []
    for name, _, _ in _armours(_as_bytes(data)):
        if name not in seen:
            seen.append(name)
    found = ", ".join(seen) if seen else "no PEM block"
    if len(found) > _MAX_FOUND:
        found = found[: _MAX_FOUND - 3] + "..."
    return FormatError("pem-none", found, expected)


def _marker(data, marker, start, stop):
    # The next marker with nothing but blanks before it on its line, or -1.
    at = data.find(marker, start, stop)
    while at >= 0:
        before = at - 1
        while before >= 0 and data[before] in b" \t":
            before -= 1
        if before < 0 or data[before] in b"\r\n" or (before == 2 and data[:3] == _BYTE_ORDER_MARK):
            return at
        at = data.find(marker, at + 1, stop)
    return -1


def _label(data, start):
    stop = data.find(_DASHES, start, start + _MAX_LABEL + len(_DASHES))
    if stop < 0:
        raise FormatError("pem-armour", "label without end at byte %d" % start)
    for i in range(start, stop):
        if not 32 <= data[i] < 127:
            raise FormatError("pem-armour", "label without end at byte %d" % start)
    return str(data[start:stop], "ascii"), stop + len(_DASHES)


def _body(data, start, stop):
    if stop - start > _MAX_ARMOUR:
        raise FormatError("pem-size", "%d characters" % (stop - start), "at most %d" % _MAX_ARMOUR)
    armour = data[start:stop]
    if b"Proc-Type:" in armour:
        raise FormatError("key-encrypted")
    text = b"".join(armour.split())
    try:
        der = binascii.a2b_base64(text)
    except ValueError:
        der = b""
    # Decoders skip what is not base64; what encodes back to the same text held nothing else.
    if not der or binascii.b2a_base64(der)[:-1] != text:
        raise FormatError("pem-base64", "block at byte %d" % start)
    return der
