"""Host names and IP addresses: compared with those of certificates (RFC 9525), and as text."""

import binascii


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


def format_ip(address):
    """4 or 16 bytes as text, an IPv6 address as RFC 5952 writes it; any other length as #hex."""
    if len(address) == 4:
        return ".".join([str(byte) for byte in address])
    if len(address) != 16:
        return "#" + binascii.hexlify(address).decode()
    groups = [address[i] << 8 | address[i + 1] for i in range(0, 16, 2)]
    best = longest = 0
    for i in range(8):
        run = 0
        while i + run < 8 and groups[i + run] == 0:
            run += 1
        if run > longest:
            best, longest = i, run
    text = ["%x" % group for group in groups]
    if longest < 2:
        return ":".join(text)
    return ":".join(text[:best]) + "::" + ":".join(text[best + longest :])
