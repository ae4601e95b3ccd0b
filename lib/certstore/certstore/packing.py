"""Certificates of trust anchors to what `packed` lays out again."""

from binascii import unhexlify

from . import packed
from .certificate import Certificate
from .compat import const
from .dates import date
from .layout import RECORD_CHECK
from .words import FRAMES, LENGTHS, STARTS, TEXT

_MAX_RUN = const(96)
# An INTEGER of one byte ends here.
_MAX_PATH_LENGTH = const(127)
# Of a name or a key: laying out in one buffer was proven up to here.
_MAX_PART = const(2048)

# id-ce: nameConstraints and extKeyUsage limit what an anchor may vouch for, which a packed one cannot tell.
_LIMITING = (b"\x55\x1d\x1e", b"\x55\x1d\x25")
# Of the critical extensions a packed anchor has these: basicConstraints and keyUsage.
_KEPT = (b"\x55\x1d\x13", b"\x55\x1d\x0f")


def pack(certificate):
    """The packed content of a Certificate, bytes, or None if it must be kept whole.

    Packed is what may issue, has neither nameConstraints nor extKeyUsage nor a critical extension besides
    basicConstraints and keyUsage, and comes back with the same subject, key, validity, pathLen and usage.
    """
    if not certificate.may_issue:
        return None
    for kind, critical in certificate.extensions():
        if kind in _LIMITING or (critical and kind not in _KEPT):
            return None
    path_length = certificate.path_length
    if path_length is None:
        path_length = packed.NO_PATH_LENGTH
    elif path_length > _MAX_PATH_LENGTH:
        return None
    usage = certificate.key_usage or 0
    name = bytes(certificate.subject)
    info = bytes(certificate.public_key_info)
    if usage > 255 or len(name) > _MAX_PART or len(info) > _MAX_PART:
        return None
    form, key = _pack_key(info)
    content = b"".join(
        (
            bytes((form, path_length, _reversed(usage))),
            _pack_time(certificate.not_before),
            _pack_time(certificate.not_after),
            len(name).to_bytes(2, "little"),
            _pack_name(name),
            key,
        )
    )
    return content if _comes_back(content, certificate) else None


def _comes_back(content, certificate):
    # Laid out as from a file: the record, with its checksum, at the end of the buffer that it goes into.
    size = packed.laid_out_size(content, 0, len(content))
    stop = size - RECORD_CHECK
    start = stop - len(content)
    if start <= 0:
        return False
    out = memoryview(bytearray(size))
    out[start:stop] = content
    made = Certificate(packed.lay_out(out, start, stop, out))
    return (
        made.subject == certificate.subject
        and made.public_key_info == certificate.public_key_info
        and made.not_before == certificate.not_before
        and made.not_after == certificate.not_after
        and made.path_length == certificate.path_length
        and made.key_usage == certificate.key_usage
    )


def _reversed(usage):
    # Bit n of `key_usage` is bit 7 - n in DER.
    out = 0
    for i in range(8):
        if usage >> i & 1:
            out |= 0x80 >> i
    return out


def _pack_key(info):
    for index, (before, size, after) in enumerate(packed.FORMS):
        if len(info) == len(before) + size + len(after) and info.startswith(before) and info.endswith(after):
            # The zero before a modulus is in `before`: what follows must have needed it.
            if not after or info[len(before)] > 127:
                return index + 1, info[len(before) : len(before) + size]
    return packed.WHOLE_KEY, info + len(info).to_bytes(2, "little")


def _pack_time(seconds):
    return unhexlify("%04d%02d%02d%02d%02d%02d" % date(seconds))


def _pack_name(name):
    out = bytearray()
    run = bytearray()
    at = value_end = 0
    while at < len(name):
        word, size = _longest_word(name, at)
        # A word may be a frame with a value; no frame begins inside a value.
        row = _attribute(name, at) if at >= value_end and size < packed.FRAME_SIZE else -1
        if row >= 0:
            run = _flush(out, run)
            size = name[at + packed.FRAME_SIZE - 1]
            out += bytes((row, size))
            at += packed.FRAME_SIZE
            value_end = at + size
            continue
        if word >= 0:
            run = _flush(out, run)
            out.append(packed.FIRST_WORD + word)
            at += size
            continue
        run.append(name[at])
        at += 1
        if len(run) == _MAX_RUN:
            run = _flush(out, run)
    _flush(out, run)
    return bytes(out)


def _flush(out, run):
    if run:
        out.append(packed.FIRST_RUN + len(run) - 1)
        out += run
    return bytearray()


def _attribute(name, at):
    # The row of ATTRIBUTES whose frame stands here, or -1.
    start = at + packed.FRAME_SIZE
    if start > len(name) or name[start - 1] > packed.MAX_VALUE or start + name[start - 1] > len(name):
        return -1
    frame = bytearray(name[at:start])
    frame[1] = frame[3] = frame[10] = 0
    size = name[start - 1]
    if name[at + 1] != size + 9 or name[at + 3] != size + 7:
        return -1
    for row in range(0, len(FRAMES), packed.FRAME_SIZE):
        if frame == FRAMES[row : row + packed.FRAME_SIZE]:
            return row // packed.FRAME_SIZE
    return -1


def _longest_word(name, at):
    best = -1
    longest = 0
    for word in range(len(LENGTHS)):
        size = LENGTHS[word]
        if size > longest:
            start = STARTS[2 * word] << 8 | STARTS[2 * word + 1]
            if name[at : at + size] == TEXT[start : start + size]:
                best = word
                longest = size
    return best, longest
