"""DER written, element by element, and object identifiers as text (ITU-T X.690); `der` reads."""

from .errors import FormatError


def encode(tag, *parts):
    """One element: identifier octet, shortest length, then the parts one after another."""
    length = 0
    for part in parts:
        length += len(part)
    if length < 128:
        header = bytes((tag, length))
    elif length < 256:
        header = bytes((tag, 0x81, length))
    elif length < 65536:
        header = bytes((tag, 0x82, length >> 8, length & 255))
    else:
        header = bytes((tag, 0x83, length >> 16, length >> 8 & 255, length & 255))
    out = bytearray(len(header) + length)
    out[: len(header)] = header
    at = len(header)
    for part in parts:
        out[at : at + len(part)] = part
        at += len(part)
    return bytes(out)


def dotted(content):
    """The content of an OBJECT IDENTIFIER as text: "2.5.4.3" (X.690 8.19)."""
    if len(content) == 0 or content[len(content) - 1] > 127:
        raise FormatError("der-value", None, "an OBJECT IDENTIFIER")
    arcs = []
    arc = 0
    starts = True
    for byte in content:
        if starts and byte == 0x80:
            raise FormatError("der-value", None, "an OBJECT IDENTIFIER")
        arc = arc << 7 | byte & 127
        starts = byte < 128
        if starts:
            if not arcs:
                arcs.append(str(min(arc // 40, 2)))
                arc -= 40 * min(arc // 40, 2)
            arcs.append(str(arc))
            arc = 0
    return ".".join(arcs)
