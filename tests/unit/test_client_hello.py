"""securesocket.client_hello: what real clients say first, whole, in pieces and damaged, and what no client
may say."""

from securesocket.client_hello import ClientHelloReader, parse
from securesocket.errors import HandshakeError
from support import ON_MICROPYTHON, raises, vector

TLS12, TLS13 = 0x0303, 0x0304
NAME = "device-17.example"
# (recorded hello, server_name, alpn, version), from tests/vectors/hellos/README.md
HELLOS = (
    ("openssl", NAME, (), TLS13),
    ("openssl12", NAME, (b"mqtt", b"x-coap"), TLS12),
    ("noname", None, (), TLS12),
    ("gnutls", NAME, (), TLS13),
    ("curl", NAME, (b"h2", b"http/1.1"), TLS13),
    ("micropython", NAME, (), TLS12),
    # mbedTLS sends whatever it was given as host.
    ("address", None, (), TLS12),
    ("grease", NAME, (b"h2", b"http/1.1"), TLS13),
)
STRIDE = 2 if ON_MICROPYTHON else 1

UNEXPECTED_MESSAGE, RECORD_OVERFLOW, ILLEGAL_PARAMETER, DECODE_ERROR = 10, 22, 47, 50
PROTOCOL_VERSION, UNRECOGNIZED_NAME = 70, 112


def hello(name):
    return vector("hellos/%s.bin" % name)


def fed(data, size=None):
    """A reader that got all of `data`, in pieces of `size` bytes."""
    reader = ClientHelloReader()
    size = size or len(data)
    for at in range(0, len(data), size):
        reader.receive(data[at : at + size])
    return reader


def fields(reader):
    return reader.server_name, reader.alpn, reader.version


def number(value, width=2):
    return bytes([value >> 8 * at & 255 for at in range(width - 1, -1, -1)])


def counted(width, content):
    return number(len(content), width) + content


def extension(kind, content=b""):
    return number(kind) + counted(2, content)


def record(content, kind=22, version=b"\3\1"):
    return bytes((kind,)) + version + counted(2, content)


def message(body, kind=1):
    return bytes((kind,)) + counted(3, body)


def body(
    *extensions,
    version=b"\3\3",
    session=b"\0",
    cookie=b"",
    suites=b"\0\2\xc0\x2b",
    compression=b"\1\0",
    block=None,
):
    block = counted(2, b"".join(extensions)) if block is None else block
    return version + bytes(32) + session + cookie + suites + compression + block


def made(*extensions, **parts):
    """A whole ClientHello in one record."""
    return record(message(body(*extensions, **parts)))


def named(name, kind=0):
    return extension(0, counted(2, bytes((kind,)) + counted(2, name)))


def refused(data, alert, code="protocol"):
    """Feeds it whole and byte by byte: the same error each time, for ever, and never a whole ClientHello."""
    texts = []
    for size in (len(data), 1):
        reader = ClientHelloReader()
        try:
            for at in range(0, len(data), size):
                assert reader.wanted > 0
                reader.receive(data[at : at + size])
        except HandshakeError as error:
            assert error.code == code and error.alert == alert, (repr(error), error.alert)
            assert error.stage == "ClientHello"
            assert reader.wanted > 0 and fields(reader) == (None, (), 0)
            assert raises(HandshakeError, code, reader.receive, b"") is error
            assert len(str(error)) < 200
            texts.append(str(error))
        else:
            raise AssertionError("taken: %s" % data.hex())
    return texts[0]


# What is read


def test_each_client_is_read_for_its_name_protocols_and_version():
    for name, server_name, alpn, version in HELLOS:
        data = hello(name)
        reader = fed(data)
        assert reader.wanted == 0, name
        assert fields(reader) == (server_name, alpn, version), name
        assert reader.data == data and reader.fragmented is False


def test_a_reader_asks_for_a_header_and_then_for_what_it_announces():
    for name, server_name, _, _ in HELLOS:
        data = hello(name)
        reader = ClientHelloReader()
        asked = []
        pos = 0
        while reader.wanted:
            asked.append(reader.wanted)
            piece = data[pos : pos + reader.wanted]
            assert len(piece) == reader.wanted
            pos += len(piece)
            reader.receive(memoryview(piece))
        assert asked == [5, len(data) - 5] and pos == len(data)
        assert reader.server_name == server_name


def test_pieces_of_any_size_give_the_same():
    for name, server_name, alpn, version in HELLOS:
        data = hello(name)
        for size in (1, 2, 3, 5, 7, 64, 255):
            reader = fed(data, size)
            assert reader.wanted == 0 and reader.data == data
            assert fields(reader) == (server_name, alpn, version), (name, size)


def test_a_prefix_is_never_whole_and_never_refused():
    for name, _, _, _ in HELLOS:
        data = hello(name)
        reader = ClientHelloReader()
        for at in range(len(data)):
            left = reader.wanted
            assert left == (5 if at < 5 else len(data)) - at and fields(reader) == (None, (), 0)
            reader.receive(data[at : at + 1])
        assert reader.wanted == 0


def test_an_empty_piece_changes_nothing():
    reader = ClientHelloReader()
    reader.receive(b"")
    assert reader.wanted == 5
    reader.receive(hello("openssl")[:9])
    wanted = reader.wanted
    reader.receive(b"")
    assert reader.wanted == wanted


def test_a_hello_over_several_records_is_joined_and_replayed_as_it_came():
    for name, server_name, alpn, version in HELLOS:
        content = hello(name)[5:]
        for size in (1, 3, 4, 5, 100, len(content) - 1):
            data = b"".join([record(content[at : at + size]) for at in range(0, len(content), size)])
            for piece in (1, None):
                reader = fed(data, piece)
                assert reader.wanted == 0 and reader.fragmented is True
                assert reader.data == data
                assert fields(reader) == (server_name, alpn, version), (name, size)


def test_it_never_asks_for_a_byte_of_the_next_record():
    content = hello("openssl")[5:]
    data = record(content[:50]) + record(content[50:])
    later = record(b"early")
    reader = ClientHelloReader()
    pos = 0
    while reader.wanted:
        piece = (data + later)[pos : pos + reader.wanted]
        pos += len(piece)
        reader.receive(piece)
    assert pos == len(data) and reader.data == data


def test_parse_reads_a_body_wherever_it_lies_in_any_buffer():
    data = b"before" + hello("curl")[9:] + b"behind"
    expected = (NAME, (b"h2", b"http/1.1"), TLS13, None)
    for buffer in (data, bytearray(data), memoryview(data)):
        assert parse(buffer, 6, len(data) - 6) == expected


def test_a_client_of_dtls_is_read_with_its_cookie():
    for name, cookie in (("dtls", b""), ("dtls_cookie", bytes(range(20)))):
        data = hello(name)
        # 13 bytes of record header, 12 of message header (RFC 6347 4.2.2)
        assert parse(data, 25, len(data), True) == (NAME, (), 0xFEFD, cookie)


def test_each_byte_of_dtls_is_needed():
    data = hello("dtls_cookie")
    # Behind the compression methods it could end: extensions may be missing altogether.
    bare = data.index(b"\1\0", 25 + 35 + 21) + 2
    for stop in range(25, len(data)):
        if stop == bare:
            assert parse(data, 25, stop, True) == (None, (), 0xFEFD, bytes(range(20)))
        else:
            assert raises(HandshakeError, "protocol", parse, data, 25, stop, True).alert == DECODE_ERROR
    assert (
        raises(HandshakeError, "protocol", parse, data + b"\0", 25, len(data) + 1, True).alert == DECODE_ERROR
    )


# What is taken, at the limits


def test_hello_without_extensions():
    for block in (b"", b"\0\0"):
        assert fields(fed(made(block=block))) == (None, (), TLS12)


def test_names_at_the_limits():
    label = b"a" * 63
    longest = label + b"." + label + b"." + label + b"." + b"b" * 63
    assert len(longest) == 255
    for name in (b"a", b"x-1_y.Example", b"xn--mnchen-3ya.de", label + b".x", longest, b"1.2.3.4a"):
        assert fed(made(named(name))).server_name == name.decode().lower()
    for name in (b"192.168.4.1", b"::1", b"FE80::1", b"::ffff:1.2.3.4", b"127.1"):
        assert fed(made(named(name))).server_name is None, name


def test_protocols_at_the_limits():
    names = [b"p" * 255] + [bytes((at,)) for at in range(31)]
    block = b"".join([counted(1, name) for name in names])
    assert fed(made(extension(16, counted(2, block)))).alpn == tuple(names)


def test_versions():
    for versions, expected in (
        (b"\3\4\3\3", TLS13),
        (b"\3\3\3\4", TLS13),
        (b"\x1a\x1a\3\3", TLS12),
        (b"\xfa\xfa\3\2\3\1", 0x0302),
    ):
        assert fed(made(extension(43, counted(1, versions)))).version == expected
    assert fed(made(version=b"\3\1")).version == 0x0301
    data = body(extension(43, counted(1, b"\xfe\xff\xfe\xfd\xfe\xfc")), version=b"\xfe\xfd", cookie=b"\0")
    assert parse(data, 0, len(data), True)[2] == 0xFEFC


def test_sizes_at_the_limits():
    assert fed(made(session=counted(1, bytes(32)))).wanted == 0
    assert fed(made(compression=b"\3\1\2\0")).wanted == 0
    assert fed(made(*[extension(1000 + at) for at in range(64)])).wanted == 0
    room = 16384 - len(made()) + 5 - 4
    largest = made(extension(21, bytes(room)))
    assert len(largest) == 16384 + 5
    assert fed(largest).wanted == 0 and fed(largest, 1000).data == largest


# What is refused: (why, bytes, alert)

BODIES = (
    ("nothing", b"", DECODE_ERROR),
    ("one byte less than the shortest", body(block=b"")[:-1], DECODE_ERROR),
    ("SSL 2.0 inside", body(version=b"\2\0"), PROTOCOL_VERSION),
    ("DTLS inside", body(version=b"\xfe\xfd"), PROTOCOL_VERSION),
    ("session_id too long", body(session=counted(1, bytes(33))), DECODE_ERROR),
    ("session_id up to the end", body(block=b"")[:34] + b"\x20" + bytes(32), DECODE_ERROR),
    ("no cipher suite", body(extension(23), suites=b"\0\0"), DECODE_ERROR),
    ("half a cipher suite", body(suites=b"\0\3\xc0\x2b\0"), DECODE_ERROR),
    ("cipher suites up to the end", body(suites=b"\0\4\xc0\x2b", block=b""), DECODE_ERROR),
    ("cipher suites too long", body(suites=b"\xff\xfe\xc0\x2b"), DECODE_ERROR),
    ("no compression method", body(compression=b"\0"), DECODE_ERROR),
    ("no null compression", body(compression=b"\2\1\2"), ILLEGAL_PARAMETER),
    ("compression too long", body(compression=b"\2\0", block=b""), DECODE_ERROR),
    ("extensions of one byte", body(block=b"\0"), DECODE_ERROR),
    ("extensions too short", body(block=b"\0\0" + extension(23)), DECODE_ERROR),
    ("extensions too long", body(block=b"\0\5" + extension(23)), DECODE_ERROR),
    ("half an extension header", body(extension(23), b"\0\x17\0"), DECODE_ERROR),
    ("extension too long", body(b"\0\x17\0\1"), DECODE_ERROR),
    ("extension far too long", body(b"\0\x17\xff\xff"), DECODE_ERROR),
    ("the same extension twice", body(extension(23), extension(5), extension(23)), ILLEGAL_PARAMETER),
    ("server_name twice", body(named(b"a.example"), named(b"b.example")), ILLEGAL_PARAMETER),
    ("65 extensions", body(*[extension(1000 + at) for at in range(65)]), ILLEGAL_PARAMETER),
    ("an empty server_name", body(extension(0)), DECODE_ERROR),
    ("an empty list of names", body(extension(0, b"\0\0")), DECODE_ERROR),
    ("an empty host_name", body(named(b"")), DECODE_ERROR),
    ("a name of another type", body(named(b"a.example", 1)), DECODE_ERROR),
    ("a host_name too long", body(extension(0, b"\0\x04\0\0\x02a")), DECODE_ERROR),
    ("a host_name too short", body(extension(0, b"\0\x05\0\0\x01ab")), DECODE_ERROR),
    ("a list too long", body(extension(0, b"\0\x05\0\0\x01a")), DECODE_ERROR),
    ("a list too short", body(extension(0, b"\0\x03\0\0\x01a")), DECODE_ERROR),
    ("two names", body(extension(0, counted(2, b"\0\0\1a\0\0\1b"))), DECODE_ERROR),
    ("256 bytes of name", body(named(b"a" * 50 + b"." + b"b" * 205)), UNRECOGNIZED_NAME),
    ("a label of 64 bytes", body(named(b"a" * 64 + b".example")), UNRECOGNIZED_NAME),
    ("a dot in front", body(named(b".example")), UNRECOGNIZED_NAME),
    ("a dot at the end", body(named(b"a.example.")), UNRECOGNIZED_NAME),
    ("two dots", body(named(b"a..example")), UNRECOGNIZED_NAME),
    ("a NUL", body(named(b"a.example\0.evil")), UNRECOGNIZED_NAME),
    ("a line end", body(named(b"a.example\n")), UNRECOGNIZED_NAME),
    ("a blank", body(named(b"a b")), UNRECOGNIZED_NAME),
    ("a wildcard", body(named(b"*.example")), UNRECOGNIZED_NAME),
    ("a path", body(named(b"../secret")), UNRECOGNIZED_NAME),
    ("a port", body(named(b"a.example:443")), UNRECOGNIZED_NAME),
    ("UTF-8", body(named(b"m\xc3\xbcnchen.de")), UNRECOGNIZED_NAME),
    ("ALPN of nothing", body(extension(16)), DECODE_ERROR),
    ("ALPN without names", body(extension(16, b"\0\0")), DECODE_ERROR),
    ("ALPN with an empty name", body(extension(16, b"\0\3\0\1a")), DECODE_ERROR),
    ("ALPN with a name cut off", body(extension(16, b"\0\3\3h2")), DECODE_ERROR),
    ("ALPN list too short", body(extension(16, b"\0\2\2h2")), DECODE_ERROR),
    ("33 protocols", body(extension(16, counted(2, b"\1a" * 33))), ILLEGAL_PARAMETER),
    ("supported_versions of nothing", body(extension(43)), DECODE_ERROR),
    ("an empty supported_versions", body(extension(43, b"\0")), DECODE_ERROR),
    ("half a version", body(extension(43, b"\3\3\3\3")), DECODE_ERROR),
    ("supported_versions too short", body(extension(43, b"\2\3\3\3\4")), DECODE_ERROR),
    ("no version of TLS", body(extension(43, b"\2\x1a\x1a")), PROTOCOL_VERSION),
)

CONTENT = message(body())
# (why, bytes, alert, code)
RECORDS = (
    ("plain HTTP", b"GET / HTTP/1.1\r\n", None, "not-tls"),
    ("SSH", b"SSH-2.0-x\r\n", None, "not-tls"),
    ("zeros", bytes(16), None, "not-tls"),
    ("SSL 2.0 hello", b"\x80\x2e\1\3\1\0\x15\0\0\0\x10", PROTOCOL_VERSION, "not-tls"),
    ("heartbeat", record(CONTENT, 24), None, "not-tls"),
    ("record type 19", record(CONTENT, 19), None, "not-tls"),
    ("DTLS", record(CONTENT, version=b"\xfe\xfd"), None, "not-tls"),
    ("SSL 2.0's version", record(CONTENT, version=b"\2\0"), None, "not-tls"),
    ("ChangeCipherSpec", record(b"\1", 20), UNEXPECTED_MESSAGE, "protocol"),
    ("an alert", record(b"\1\0", 21), UNEXPECTED_MESSAGE, "protocol"),
    ("data", record(b"data", 23), UNEXPECTED_MESSAGE, "protocol"),
    ("an alert between", record(CONTENT[:20]) + record(b"\1\0", 21), UNEXPECTED_MESSAGE, "protocol"),
    ("text between", record(CONTENT[:20]) + b"GET / ", None, "not-tls"),
    ("an empty record", record(b""), UNEXPECTED_MESSAGE, "protocol"),
    ("an empty record between", record(CONTENT[:9]) + record(b""), UNEXPECTED_MESSAGE, "protocol"),
    ("16385 bytes", b"\x16\3\1\x40\1", RECORD_OVERFLOW, "protocol"),
    ("65535 bytes", b"\x16\3\1\xff\xff", RECORD_OVERFLOW, "protocol"),
    ("another message", record(message(body(), 2)), UNEXPECTED_MESSAGE, "protocol"),
    ("another message begun", record(b"\2"), UNEXPECTED_MESSAGE, "protocol"),
    ("a message of 16385 bytes", record(b"\1\0\x3f\xfd"), ILLEGAL_PARAMETER, "protocol"),
    ("a message of 16 MB", record(b"\1\xff\xff\xff"), ILLEGAL_PARAMETER, "protocol"),
    ("records of 16 KB in all", record(b"\1\0\x3f\xfc" + bytes(9000)) + record(bytes(7380))[:5],
     ILLEGAL_PARAMETER, "protocol"),
    ("a byte behind it in its record", record(CONTENT + b"\0"), UNEXPECTED_MESSAGE, "protocol"),
    ("two hellos in a record", record(CONTENT + CONTENT), UNEXPECTED_MESSAGE, "protocol"),
    ("a byte behind it in the next", record(CONTENT[:9]) + record(CONTENT[9:] + b"\0"), UNEXPECTED_MESSAGE,
     "protocol"),
)  # fmt: skip


def test_bodies_that_no_client_may_send():
    for why, data, alert in BODIES:
        try:
            refused(record(message(data)), alert)
            content = message(data)
            cut = len(content) // 2
            refused(record(content[:cut]) + record(content[cut:]), alert)
        except AssertionError:
            print(why)
            raise


def test_records_that_no_client_may_send():
    for why, data, alert, code in RECORDS:
        try:
            refused(data, alert, code)
        except AssertionError:
            print(why)
            raise


def test_a_whole_hello_with_more_behind_it_is_refused():
    data = hello("openssl")
    for tail in (b"\0", data, b"EHLO x\r\n"):
        reader = ClientHelloReader()
        error = raises(HandshakeError, "protocol", reader.receive, data + tail)
        assert error.alert == UNEXPECTED_MESSAGE and reader.wanted > 0


def test_what_was_seen_is_told_escaped_and_short():
    assert "b'GET /'" in refused(b"GET / HTTP/1.1\r\n", None, "not-tls")
    assert "\\x1b" in refused(b"\x1b[2Jx", None, "not-tls")
    assert "SSL 2.0" in refused(b"\x80\x2e\1\3\1", PROTOCOL_VERSION, "not-tls")
    assert "0x0a" in refused(made(named(b"a\nb")), UNRECOGNIZED_NAME)
    assert "extension 23 twice" in refused(made(extension(23), extension(23)), ILLEGAL_PARAMETER)


def test_any_damage_is_refused_by_name_or_read_or_not_whole():
    whole = taken = 0
    for name, _, _, _ in HELLOS[1:2] if ON_MICROPYTHON else HELLOS:
        data = bytearray(hello(name))
        for at in range(0, len(data), STRIDE):
            old = data[at]
            for value in (0, 1, 0x7F, 0x80, 0xFF, old ^ 1, old ^ 0x20):
                data[at] = value
                try:
                    reader = fed(bytes(data))
                except HandshakeError as error:
                    assert error.code in ("protocol", "not-tls")
                    assert error.alert in (10, 22, 47, 50, 70, 112, None)
                    continue
                taken += 1
                if reader.wanted == 0:
                    whole += 1
                    assert reader.data == data
                assert reader.wanted <= 16384
            data[at] = old
    # A length that became larger leaves the record unfinished.
    assert taken > whole > 0
