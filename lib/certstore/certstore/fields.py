"""What is asked of a certificate that was given as a file: its validity, and whether it may issue others.

`certificate.Certificate` hands on to here.
"""

from .compat import const
from .der import Der
from .errors import FormatError
from .times import seconds

_BIT_STRING = const(0x03)
_SEQUENCE = const(0x30)
_KEY_USAGE = const(15)
# A bit of `key_usage`; `details` has them all.
_KEY_CERT_SIGN = const(32)


class Fields:
    """Properties of a Certificate."""

    def __init__(self, certificate):
        self._certificate = certificate

    @property
    def not_before(self):
        """First second of validity, in s since 1970 (RFC 5280 4.1.2.5)."""
        return self._validity(1)

    @property
    def not_after(self):
        """Last second of validity, in s since 1970 (RFC 5280 4.1.2.5)."""
        return self._validity(2)

    def _validity(self, index):
        return read_validity_and_subject(self._certificate.validity_and_subject)[index]

    @property
    def key_usage(self):
        """The key usage bits (RFC 5280 4.2.1.3), or None without the extension."""
        walk = self._certificate.extension(_KEY_USAGE)
        if walk is None:
            return None
        walk.expect(_BIT_STRING)
        walk.finish()
        content = walk.content()
        if not 1 <= len(content) <= 3 or content[0] > 7 or (len(content) == 1 and content[0]):
            raise FormatError("certificate", "key usage bits", "at most 9")
        usage = 0
        for i in range(8 * (len(content) - 1) - content[0]):
            if content[1 + i // 8] & 0x80 >> i % 8:
                usage |= 1 << i
        return usage

    @property
    def may_issue(self):
        """Whether it is a CA's certificate whose key usage, if it has one, lets it sign others."""
        if not self._certificate.is_ca:
            return False
        usage = self.key_usage
        return usage is None or usage & _KEY_CERT_SIGN != 0


def read_validity_and_subject(der):
    """(DER Name, notBefore, notAfter) of what `validity_and_subject` gave; times in s since 1970."""
    walk = Der(memoryview(der))
    walk.expect(_SEQUENCE)
    outer = walk.enter()
    first, last = _validity(walk)
    walk.leave(outer)
    walk.expect(_SEQUENCE)
    walk.finish()
    return walk.element(), first, last


def _validity(walk):
    # A cursor at the start of a Validity's content, bounded to it.
    walk.expect()
    first = seconds(walk)
    walk.expect()
    last = seconds(walk)
    walk.finish()
    return first, last
