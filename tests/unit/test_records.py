"""securesocket.records: the messages of real flights by name and size, whole, in pieces, with trailing bytes,
and what is no TLS at all."""

from securesocket.messages import alert_name, message_name
from securesocket.records import MessageReader
from support import ON_MICROPYTHON, vector

STRIDE = 7 if ON_MICROPYTHON else 1

FLIGHT = ("ServerHello", "Certificate", "ServerKeyExchange", "ServerHelloDone")
# flight, its messages
FLIGHTS = (
    ("openssl_ec", FLIGHT),
    ("openssl_rsa", FLIGHT),
    ("gnutls_ec", FLIGHT),
    ("coalesced_ec", FLIGHT),
    ("fragmented_ec", FLIGHT),
    ("client_auth_ec", FLIGHT[:3] + ("CertificateRequest",) + FLIGHT[3:]),
)


def flight(name):
    return vector("flights/%s.bin" % name)


def record(kind, content):
    return bytes((kind, 3, 3, len(content) >> 8, len(content) & 255)) + content


def message(kind, body=b""):
    return bytes((kind, 0, len(body) >> 8, len(body) & 255)) + body


def read(reader, pieces):
    """[(name, size)] of these pieces."""
    found = []
    for piece in pieces:
        pos = 0
        while pos < len(piece):
            before = pos
            pos = reader.receive(piece, pos, len(piece))
            assert before < pos <= len(piece)
            if reader.name is not None:
                found.append((reader.name, reader.size))
    return found


def told(data):
    """What is read of `data`, which must be the same in pieces of any size."""
    reader = MessageReader()
    whole = read(reader, (data,))
    assert reader.total == len(data)
    for size in (1, 2, 3, 5, 64):
        again = MessageReader()
        assert read(again, [data[at : at + size] for at in range(0, len(data), size)]) == whole, size
        assert (again.total, again.largest) == (reader.total, reader.largest)
    return whole


def test_each_flight_is_named():
    for name, wanted in FLIGHTS:
        found = told(flight(name))
        assert tuple(one for one, _ in found) == wanted, name
        assert [size for _, size in found] == message_sizes(flight(name)), name


def message_sizes(data):
    """By another way: the plain bytes of all records, cut at the lengths that they hold."""
    plain = b""
    at = 0
    while at < len(data):
        size = data[at + 3] << 8 | data[at + 4]
        plain += data[at + 5 : at + 5 + size]
        at += 5 + size
    sizes = []
    at = 0
    while at < len(plain):
        size = 4 + (plain[at + 1] << 16 | plain[at + 2] << 8 | plain[at + 3])
        sizes.append(size)
        at += size
    return sizes


def test_a_cut_at_any_byte_changes_nothing():
    for name in ("coalesced_ec", "fragmented_ec"):
        data = flight(name)
        whole = read(MessageReader(), (data,))
        for at in range(1, len(data), STRIDE):
            assert read(MessageReader(), (data[:at], data[at:])) == whole, (name, at)


def test_a_message_is_named_with_its_last_byte_and_not_before():
    data = record(22, message(11, b"c" * 20))
    assert read(MessageReader(), (data[:-1],)) == []
    reader = MessageReader()
    read(reader, (data[:-1],))
    assert read(reader, (data[-1:],)) == [("Certificate", 24)]


def test_what_follows_in_the_same_piece_is_read_next():
    data = record(22, message(2, b"h" * 70)) + record(22, message(14)) + b"\x16\x03"
    reader = MessageReader()
    pos = reader.receive(data, 0, len(data))
    assert (reader.name, pos) == ("ServerHello", 5 + 74)
    pos = reader.receive(data, pos, len(data))
    assert (reader.name, pos) == ("ServerHelloDone", 5 + 74 + 9)
    pos = reader.receive(data, pos, len(data))
    assert (reader.name, pos) == (None, len(data))
    assert reader.total == len(data)


def test_only_the_bytes_that_are_named_are_read():
    """A partial write: what lies behind it in the buffer has not passed."""
    data = record(22, message(16, b"k" * 66)) + record(20, b"\1")
    reader = MessageReader()
    assert reader.receive(data, 0, 10) == 10 and reader.name is None
    assert reader.total == 10
    reader.receive(data, 10, 75)
    assert (reader.name, reader.size) == ("ClientKeyExchange", 70)


CLIENT = (
    record(22, message(11, b"c" * 300) + message(16, b"k" * 66)) + record(22, message(15, b"s" * 75))
    + record(20, b"\1") + record(22, b"f" * 40) + record(23, b"d" * 29) + record(21, b"a" * 26)
    + record(22, b"r" * 40)
)  # fmt: skip


def test_after_change_cipher_spec_records_are_known_by_their_kind():
    assert told(CLIENT) == [
        ("Certificate", 304),
        ("ClientKeyExchange", 70),
        ("CertificateVerify", 79),
        ("ChangeCipherSpec", 1),
        ("Finished", 40),
        ("ApplicationData", 29),
        ("Alert", 26),
        ("Handshake", 40),
    ]


def test_tickets_and_stapled_answers_are_named():
    data = record(22, message(22, b"o" * 500) + message(0) + message(4, b"t" * 200))
    assert told(data) == [("CertificateStatus", 504), ("HelloRequest", 4), ("NewSessionTicket", 204)]


def test_alerts_have_their_names():
    assert told(record(21, b"\2\x2a")) == [("Alert bad_certificate", 2)]
    assert told(record(21, b"\1\0")) == [("Alert close_notify", 2)]
    assert told(record(21, b"\2\xc8")) == [("Alert unknown 200", 2)]
    # Two alerts in one record, or a half of one: none that has a name.
    assert told(record(21, b"\2\x2a\2\x2a")) == [("Alert", 4)]
    assert told(record(21, b"\2")) == [("Alert", 1)]


def test_empty_records_are_no_messages():
    assert told(record(22, b"") * 3 + record(23, b"")) == [("ApplicationData", 0)]
    assert told(record(22, message(2, b"hello")[:6]) + record(22, b"") + record(22, b"llo")) == [
        ("ServerHello", 9)
    ]


def test_the_largest_record_is_known():
    reader = MessageReader()
    read(reader, (record(22, message(2, b"h" * 70)), record(22, message(14)), b"\x17\x03\x03\x40\x00"))
    assert reader.largest == 16384


def test_what_is_unknown_has_its_number():
    assert told(record(22, message(99, b"?" * 5))) == [("unknown 99", 9)]
    assert told(record(24, b"beat")) == [("unknown 24", 4)]
    assert told(record(0, b"")) == [("unknown 0", 0)]


def test_what_is_no_record_is_told_once_and_then_only_counted():
    for data, number in ((b"HTTP/1.1 400 Bad Request\r\n\r\n", 72), (b"SSH-2.0-x\r\n", 83), (bytes(100), 0)):
        reader = MessageReader()
        assert told(data) == [("unknown %d" % number, 0)]
        assert read(reader, (data, data)) == [("unknown %d" % number, 0)]
        assert reader.lost and reader.total == 2 * len(data)


def test_an_endless_message_is_never_named():
    data = record(22, b"\x0b\xff\xff\xff" + bytes(500)) + record(22, bytes(500))
    assert told(data) == []


def test_no_bytes_raise_anything():
    """Each byte of a flight changed in three ways, and every prefix: named or not, all are counted."""
    data = flight("client_auth_ec")[:400] + CLIENT
    for at in range(0, len(data), STRIDE):
        for value in (0, 255, data[at] ^ 1):
            changed = bytearray(data)
            changed[at] = value
            reader = MessageReader()
            read(reader, (changed,))
            assert reader.total == len(data)
        reader = MessageReader()
        read(reader, (data[:at],))
        assert reader.total == at


def test_names_are_those_of_the_table():
    assert message_name(20) == "Finished" and message_name(99) == "99"
    assert alert_name(48) == "unknown_ca" and alert_name(200) == "200"
