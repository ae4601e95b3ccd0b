"""X.501 names as RFC 4514 text that is safe to print; `subjects` compares them.

A name from a peer is the peer's text. What could move the cursor, reorder or hide characters is
escaped, and no text returned here is longer than its limit.
"""

import binascii

from .asn1 import dotted
from .compat import const
from .subjects import Attributes

# Names of attackers are as long as attackers like; a line of a terminal is not.
LIMIT = const(128)
_ELLIPSIS = "..."

_UTF8 = const(0x0C)
_TELETEX = const(0x14)
_UNIVERSAL = const(0x1C)
_BMP = const(0x1E)
# NumericString, PrintableString, IA5String, VisibleString: one ASCII character per byte.
_ASCII_TAGS = (0x12, 0x13, 0x16, 0x1A)
_OTHER_TEXT_TAGS = (_UTF8, _TELETEX, _UNIVERSAL, _BMP)

_COMMON_NAME = b"\x55\x04\x03"

# RFC 4514 section 3, and the two that certificates use all the time.
_SHORT_NAMES = (
    (b"\x55\x04\x03", "CN"),
    (b"\x55\x04\x0a", "O"),
    (b"\x55\x04\x0b", "OU"),
    (b"\x55\x04\x06", "C"),
    (b"\x55\x04\x07", "L"),
    (b"\x55\x04\x08", "ST"),
    (b"\x55\x04\x09", "STREET"),
    (b"\x55\x04\x05", "serialNumber"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "DC"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", "UID"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "emailAddress"),
)

# What RFC 4514 2.4 escapes with a backslash anywhere in a value.
_SPECIAL = b',+"\\<>;'

# First and last code point of what is never printed: C0 and C1 controls, soft hyphen, bidirectional
# controls, zero-width and filler characters, line separators, surrogates, annotations, tags.
_UNSAFE = (
    (0x00, 0x1F),
    (0x7F, 0x9F),
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xD800, 0xDFFF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0xFFFE, 0xFFFF),
    (0xE0000, 0xE0FFF),
)


def format_name(name, limit=LIMIT):
    """A DER Name as RFC 4514 text, most specific RDN first, safe to print, at most `limit` long.

    Attribute types without a short name and values that are no text appear as #hex (section 2.4).
    """
    walk = Attributes(name)
    rdns = []
    while walk.step():
        if not walk.merged:
            # An RDN takes two characters or more, so those before the last `limit` never show.
            if len(rdns) == limit:
                rdns.pop(0)
            rdns.append(walk.rdn)
    text = ""
    for i in range(len(rdns) - 1, -1, -1):
        walk.rewind(rdns[i])
        separator = "," if text else ""
        while len(text) <= limit and walk.step() and walk.rdn == rdns[i]:
            text += separator + _attribute_text(walk, limit)
            separator = "+"
    return _cut(text, limit)


def common_name(name, limit=LIMIT):
    """The most specific commonName of a DER Name, safe to print, or None."""
    walk = Attributes(name)
    tag = -1
    while walk.step():
        if walk.type() == _COMMON_NAME:
            tag = walk.tag
            value = walk.content()
    if tag < 0:
        return None
    return _cut(_joined(_points(tag, value), limit), limit)


def escape(text, limit=LIMIT):
    r"""Foreign text made safe to print: unsafe characters as \xx or \u{x}, at most `limit` long.

    text: str, or bytes-like in UTF-8, where each byte that is no UTF-8 becomes \xx.
    """
    points = map(ord, text) if isinstance(text, str) else _utf8_points(text)
    return _cut(_joined(points, limit), limit)


def _attribute_text(walk, limit):
    kind = walk.type()
    for known, short in _SHORT_NAMES:
        if kind == known:
            if walk.tag in _ASCII_TAGS or walk.tag in _OTHER_TEXT_TAGS:
                return short + "=" + _value_text(walk, limit)
            break
    else:
        short = dotted(kind)
    # Two characters per byte: more would be cut off anyway.
    shown = bytes(walk.buf[walk.at : min(walk.stop, walk.at + limit)])
    return short + "=#" + binascii.hexlify(shown).decode().upper()


def _value_text(walk, limit):
    text = ""
    point = -1
    for point in _points(walk.tag, walk.content()):
        if len(text) > limit:
            return text
        if 0 <= point < 128 and (point in _SPECIAL or (not text and point in b" #")):
            text += "\\" + chr(point)
        else:
            text += _spelled(point)
    if point == 0x20 and text != "\\ ":
        text = text[:-1] + "\\ "
    return text


def _joined(points, limit):
    text = ""
    for point in points:
        if len(text) > limit:
            break
        text += _spelled(point)
    return text


def _cut(text, limit):
    return text if len(text) <= limit else text[: limit - len(_ELLIPSIS)] + _ELLIPSIS


def _spelled(point):
    if point < 0:
        return "\\%02X" % (-1 - point)
    for first, last in _UNSAFE:
        if first <= point <= last:
            return "\\%02X" % point if point < 128 else "\\u{%X}" % point
    return chr(point)


def _points(tag, value):
    # Code points of a string type; a byte that its type does not allow is yielded as -1 - byte.
    if tag == _BMP:
        return _wide_points(value, 2)
    if tag == _UNIVERSAL:
        return _wide_points(value, 4)
    if tag == _TELETEX:
        # T.61 in theory; Latin-1 in every certificate that has it.
        return iter(value)
    if tag in _ASCII_TAGS:
        return (byte if byte < 128 else -1 - byte for byte in value)
    return _utf8_points(value)


def _wide_points(value, width):
    i = 0
    while i < len(value):
        point = int.from_bytes(bytes(value[i : i + width]), "big") if i + width <= len(value) else -1
        if 0 <= point <= 0x10FFFF:
            yield point
            i += width
        else:
            yield -1 - value[i]
            i += 1


def _utf8_points(value):
    # RFC 3629: no overlong forms, nothing above U+10FFFF; surrogates are left to _UNSAFE.
    i = 0
    size = len(value)
    while i < size:
        byte = value[i]
        i += 1
        if byte < 0x80:
            yield byte
            continue
        more = 1 if 0xC2 <= byte < 0xE0 else 2 if 0xE0 <= byte < 0xF0 else 3 if 0xF0 <= byte < 0xF5 else 0
        point = byte & (0x3F >> more)
        j = i
        while j < i + more and j < size and value[j] & 0xC0 == 0x80:
            point = point << 6 | value[j] & 0x3F
            j += 1
        lowest = 0x80 if more == 1 else 0x800 if more == 2 else 0x10000
        if more and j == i + more and lowest <= point <= 0x10FFFF:
            yield point
            i = j
        else:
            yield -1 - byte
