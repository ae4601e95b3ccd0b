"""certstore.hosts: DNS names as mbedTLS compares them, and IP addresses."""

from certstore import details, hosts

# (name in the certificate, host, whether it matches)
NAMES = (
    (b"example.com", "example.com", True),
    (b"Example.COM", "eXample.com", True),
    (b"example.com", "example.co", False),
    (b"example.com", "example.com.", False),
    (b"example.com", "", False),
    (b"", "", False),
    (b"example.com", "a.example.com", False),
    (b"*.example.com", "a.example.com", True),
    (b"*.EXAMPLE.com", "A.example.COM", True),
    (b"*.example.com", "a.b.example.com", False),
    (b"*.example.com", "example.com", False),
    (b"*.example.com", ".example.com", False),
    (b"*.example.com", "*.example.com", True),
    (b"a*.example.com", "ab.example.com", False),
    (b"a.*.com", "a.b.com", False),
    (b"*", "example", False),
    (b"*.", "a.", False),
    (b"*.com", "example.com", True),
    (b"example.com\0.evil", "example.com", False),
    (b"example.com", "example.com\0.evil", False),
    # 0x40 and 0x60, 0x5B and 0x7B differ by the bit of case but are no letters.
    (b"@[", "`{", False),
    (b"a_b", "A_B", True),
)


def test_names():
    for name, host, expected in NAMES:
        assert hosts.matches(name, host) is expected, (name, host)
        assert hosts.matches(memoryview(name), host) is expected, (name, host)


def test_without_wildcard():
    assert hosts.matches(b"192.0.2.7", "192.0.2.7", False)
    assert not hosts.matches(b"*.0.2.7", "192.0.2.7", False)


# (text, bytes in hex or None)
ADDRESSES = (
    ("192.0.2.7", "c0000207"),
    ("255.255.255.255", "ffffffff"),
    ("0.0.0.0", "00000000"),
    ("192.0.2.256", None),
    ("192.0.2", None),
    ("192.0.2.", None),
    ("192.0.2.7.1", None),
    ("192.0.2.07", None),
    ("192.0.2.-7", None),
    ("192.0.2.+7", None),
    ("192.0.2.1_0", None),
    ("192.0.2.0001", None),
    ("example.com", None),
    ("", None),
    ("::", "00" * 16),
    ("::1", "00" * 15 + "01"),
    ("1::", "0001" + "00" * 14),
    ("2001:db8::7", "20010db8" + "00" * 11 + "07"),
    ("2001:DB8:0:0:0:0:0:7", "20010db8" + "00" * 11 + "07"),
    ("::ffff:192.0.2.7", "00" * 10 + "ffffc0000207"),
    ("1:2:3:4:5:6:192.0.2.7", "000100020003000400050006c0000207"),
    ("1:2:3:4:5:6:7::", "00010002000300040005000600070000"),
    ("1:2:3:4:5:6:7:8", "00010002000300040005000600070008"),
    ("1:2:3:4:5:6:7:8::", None),
    ("1:2:3:4::5:6:7:8", None),
    ("1:2:3:4:5:6:7", None),
    ("1:2:3:4:5:6:7:8:9", None),
    ("1::2::3", None),
    (":::", None),
    (":1", None),
    ("1:", None),
    ("12345::", None),
    ("g::", None),
    ("192.0.2.7::", None),
    ("::192.0.2.7:1", None),
    ("fe80::1%eth0", None),
    ("::-1", None),
)


def test_parse_ip():
    for text, expected in ADDRESSES:
        found = hosts.parse_ip(text)
        assert found == (None if expected is None else bytes.fromhex(expected)), text


# (bytes in hex, text as RFC 5952 writes it)
TEXTS = (
    ("c0000207", "192.0.2.7"),
    ("00" * 16, "::"),
    ("00" * 15 + "01", "::1"),
    ("0001" + "00" * 14, "1::"),
    ("20010db8" + "00" * 11 + "07", "2001:db8::7"),
    ("20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"),
    ("20010000000000010000000000000001", "2001:0:0:1::1"),
    ("20010db8000000000001000000000001", "2001:db8::1:0:0:1"),
    ("00010002000300040005000600070008", "1:2:3:4:5:6:7:8"),
    ("", "#"),
    ("c00002", "#c00002"),
)


def test_format_ip():
    for data, expected in TEXTS:
        data = bytes.fromhex(data)
        assert details.format_ip(data) == expected
        assert details.format_ip(memoryview(data)) == expected
        if len(data) in (4, 16):
            assert hosts.parse_ip(expected) == data
