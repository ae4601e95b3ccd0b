"""Host names and IP addresses, compared with those of certificates (RFC 9525)."""

from .compat import const
from .subjects import Attributes

_SEQUENCE = const(0x30)
_SAN = const(17)
_DNS_NAME = const(0x82)
_IP_ADDRESS = const(0x87)
_COMMON_NAME = b"\x55\x04\x03"


def covers(certificate, host):
    """Whether a Certificate is for `host`, a DNS name or an IP address as text (RFC 9525).

    As mbedTLS decides it: alternative names if there are any, else the common names; ASCII
    case aside; a "*" stands for the whole first label. Stricter in one point: for an IP address
    only iPAddress names count, or an equal common name.
    """
    address = parse_ip(host)
    names = alternative_names(certificate, _DNS_NAME if address is None else _IP_ADDRESS)
    if names is None:
        names = common_names(certificate.subject)
    elif address is not None:
        return address in names
    for name in names:
        if matches(name, host, wildcard=address is None):
            return True
    return False


def common_names(name):
    """The contents of every commonName, first to last, for comparing with a host name."""
    walk = Attributes(name)
    values = []
    while walk.step():
        if walk.type() == _COMMON_NAME:
            values.append(walk.content())
    return values


def alternative_names(certificate, tag):
    """The contents of all GeneralNames with this tag (RFC 5280 4.2.1.6); None without the extension."""
    walk = certificate.extension(_SAN)
    if walk is None:
        return None
    walk.only(_SEQUENCE)
    found = []
    while walk.next():
        if walk.tag == tag:
            found.append(walk.content())
    return found


def matches(pattern, host, wildcard=True):
    """Whether a certificate's DNS name covers `host` (RFC 9525 6.3), as mbedTLS compares them.

    pattern: bytes-like; host: str. ASCII case aside; with `wildcard`, a first label "*" stands for
    one whole label that is not empty.
    """
    host = host.encode()
    if not host:
        return False
    if _equal(pattern, 0, host, 0):
        return True
    if not wildcard or len(pattern) < 3 or pattern[0] != 0x2A or pattern[1] != 0x2E:
        return False
    dot = host.find(b".")
    return dot > 0 and _equal(pattern, 1, host, dot)


def _equal(a, start_a, b, start_b):
    length = len(a) - start_a
    if length != len(b) - start_b:
        return False
    for i in range(length):
        x = a[start_a + i]
        y = b[start_b + i]
        if x != y and not (x ^ y == 32 and 97 <= x | 32 <= 122):
            return False
    return True


def parse_ip(text):
    """The 4 or 16 bytes of an IPv4 or IPv6 address (RFC 4291 2.2), or None if it is none."""
    if ":" not in text:
        return _parse_ipv4(text)
    head, gap, tail = text.partition("::")
    left = _parse_groups(head, not gap)
    right = _parse_groups(tail, True)
    if left is None or right is None:
        return None
    missing = 16 - len(left) - len(right)
    if missing < 2 if gap else missing:
        return None
    return left + bytes(missing) + right


def _parse_ipv4(text):
    parts = text.split(".")
    if len(parts) != 4:
        return None
    out = bytearray()
    for part in parts:
        # A leading zero would be octal to some readers (RFC 6943 3.1.1).
        if not _all_in(part, "0123456789") or len(part) > 3 or (part[0] == "0" and len(part) > 1):
            return None
        if int(part) > 255:
            return None
        out.append(int(part))
    return bytes(out)


def _parse_groups(text, is_last):
    # The groups on one side of "::"; an IPv4 address may end the whole address.
    out = b""
    if not text:
        return out
    groups = text.split(":")
    for i in range(len(groups)):
        group = groups[i]
        if "." in group and is_last and i == len(groups) - 1:
            piece = _parse_ipv4(group)
            if piece is None:
                return None
        elif len(group) <= 4 and _all_in(group, "0123456789abcdefABCDEF"):
            piece = int(group, 16).to_bytes(2, "big")
        else:
            return None
        out += piece
    return out


def _all_in(text, alphabet):
    for character in text:
        if character not in alphabet:
            return False
    return len(text) > 0
