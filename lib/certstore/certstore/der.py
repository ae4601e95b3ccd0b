"""A bounded cursor over DER (ITU-T X.690, sections 8 and 10).

Accepted: definite lengths in their shortest form that the buffer holds, tag numbers below 31.
Not checked here: the values of any type, the order inside SET OF.
"""

from .compat import const
from .errors import FormatError

_HIGH_TAG = const(0x1F)
# Three length bytes reach 16 MB, more than any buffer here, and stay small ints on 32-bit boards.
_MAX_LENGTH_BYTES = const(3)


class Der:
    """A cursor over the elements of buf[start:end]; one cursor walks a whole tree.

    After `next` or `expect`, `tag` is the current element's identifier octet, `at` the offset of
    its first byte, and buf[start:stop] its content. `pos` is where the next element begins, `end`
    where this level ends. Stepping allocates nothing; every error names an offset in `buf`.
    """

    def __init__(self, buf, start=0, end=None):
        size = len(buf)
        if end is None:
            end = size
        elif end > size:
            raise _refusal("der-truncated", size)
        self.buf = buf
        self.pos = start
        self.end = end
        self.tag = 0
        self.at = self.start = self.stop = start

    def next(self):
        """Step to the next element of this level; False when none is left."""
        buf = self.buf
        at = self.pos
        end = self.end
        if at >= end:
            return False
        tag = buf[at]
        if tag & _HIGH_TAG == _HIGH_TAG:
            raise _refusal("der-tag", at, tag, "a tag number below 31")
        start = at + 2
        if start > end:
            raise _refusal("der-truncated", at)
        length = buf[at + 1]
        if length > 127:
            count = length & 127
            if not 0 < count <= _MAX_LENGTH_BYTES:
                raise _refusal("der-length", at)
            if start + count > end:
                raise _refusal("der-truncated", at)
            first = buf[start]
            length = 0
            for i in range(start, start + count):
                length = length << 8 | buf[i]
            if first == 0 or length < 128:
                raise _refusal("der-length", at)
            start += count
        if length > end - start:
            raise _refusal("der-truncated", at)
        self.tag = tag
        self.at = at
        self.start = start
        self.stop = self.pos = start + length
        return True

    def expect(self, tag=None):
        """Step to the next element, which must be there and, if given, have this identifier octet."""
        if not self.next():
            raise _refusal("der-truncated", self.pos, None, "one more element" if tag is None else _tag(tag))
        if tag is not None and self.tag != tag:
            raise _refusal("der-tag", self.at, self.tag, _tag(tag))

    def only(self, tag):
        """Go into the element with this identifier octet, which must be the one left at this level."""
        self.expect(tag)
        self.finish()
        return self.enter()

    def optional(self, tag):
        """Step to the next element if it has this identifier octet; tells whether it had."""
        if self.pos < self.end and self.buf[self.pos] == tag:
            return self.next()
        return False

    def enter(self, skip=0):
        """Go into the current element, past `skip` bytes of its content.

        Returns what `leave` needs to come back to the level above.
        """
        if skip > self.stop - self.start:
            raise _refusal("der-truncated", self.at)
        outer = self.end
        self.pos = self.start + skip
        self.end = self.stop
        return outer

    def leave(self, outer):
        """Return from `enter`; an element left unread is an error."""
        self.finish()
        self.end = outer

    def done(self):
        """Whether this level holds no further element."""
        return self.pos >= self.end

    def finish(self):
        """Demand that this level holds no further byte."""
        if self.pos != self.end:
            raise _refusal("der-trailing", self.pos)

    def content(self):
        """The current element's content: a view if `buf` is a memoryview, else a copy."""
        return self.buf[self.start : self.stop]

    def element(self):
        """The current element with its header: a view if `buf` is a memoryview, else a copy."""
        return self.buf[self.at : self.stop]

    def small(self):
        """The current INTEGER as an int of 0..8388607, in its shortest form (X.690 8.3.2)."""
        buf = self.buf
        start = self.start
        count = self.stop - start
        padded = count > 1 and buf[start] == 0 and buf[start + 1] < 128
        if not 1 <= count <= 3 or buf[start] > 127 or padded:
            raise _refusal("der-value", self.at, None, "an INTEGER of 0 to 8388607")
        value = 0
        for i in range(start, self.stop):
            value = value << 8 | buf[i]
        return value

    def boolean(self):
        """The current BOOLEAN; DER knows 0 and 255 only (X.690 11.1)."""
        value = self.buf[self.start] if self.stop - self.start == 1 else 1
        if value != 0 and value != 255:
            raise _refusal("der-value", self.at, None, "a BOOLEAN of 0 or 255")
        return value == 255


def _tag(tag):
    return "tag 0x%02x" % tag


def _refusal(code, offset, tag=None, expected=None):
    found = "byte %d" % offset if tag is None else "%s at byte %d" % (_tag(tag), offset)
    return FormatError(code, found, expected)
