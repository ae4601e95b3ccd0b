"""securesocket.dtls_records: datagrams that are whole, cut, in pieces, doubled, out of order, and forged."""

from securesocket.dtls_records import (
    FOUND_CERTIFICATE,
    FOUND_NOTHING,
    FOUND_OVERSIZE,
    FlightReader,
    Splitter,
    client_hello,
    in_clear,
    is_sound,
    record_end,
)
from support import ON_MICROPYTHON

HELLO, SERVER_HELLO, VERIFY, CERTIFICATE, DONE = 1, 2, 3, 11, 14
STRIDE = 7 if ON_MICROPYTHON else 1


def big(number, size):
    return bytes(number >> 8 * (size - 1 - at) & 0xFF for at in range(size))


def record(content, kind=22, epoch=0, sequence=0, version=b"\xfe\xfd"):
    return bytes((kind,)) + version + big(epoch, 2) + big(sequence, 6) + big(len(content), 2) + content


def fragment(kind, body, start=0, stop=None, sequence=0, length=None):
    stop = len(body) if stop is None else stop
    length = len(body) if length is None else length
    piece = body[start:stop]
    return bytes((kind,)) + big(length, 3) + big(sequence, 2) + big(start, 3) + big(len(piece), 3) + piece


def body(size, seed=1):
    return bytes((at * 7 + seed + (at >> 8)) & 0xFF for at in range(size))


def read(reader, data):
    """What the reader found in this record, with a copy of the message."""
    assert record_end(data, 0, len(data)) == len(data) and is_sound(data, 0, len(data))
    reader.receive(data, 0, len(data))
    if reader.message is None:
        return reader.found, None
    return reader.found, bytes(memoryview(reader.message)[reader.start : reader.stop])


def hello(cookie=b"", session=b"", random=bytes(range(32)), **how):
    content = b"\xfe\xfd" + random + bytes((len(session),)) + session + bytes((len(cookie),)) + cookie
    content += b"\0\2\xc0\x2b\1\0"
    return record(fragment(HELLO, content), **how)


# ---- records


def test_a_record_ends_where_it_says():
    data = record(b"abc", kind=23) + record(b"d", kind=21)
    assert record_end(data, 0, len(data)) == 16
    assert record_end(data, 16, len(data)) == 30 == len(data)


def test_no_record():
    good = record(b"abc", kind=23)
    for at, value in ((0, 19), (0, 24), (0, 25), (1, 3), (2, 0xFC), (2, 0xFE), (12, 4), (11, 1)):
        bad = bytearray(good)
        bad[at] = value
        assert record_end(bad, 0, len(bad)) == -1, (at, value)
    for size in range(len(good)):
        assert record_end(good, 0, size) == -1, size
    # An empty payload.
    assert record_end(record(b"", kind=23) + b"xxxx", 0, 17) == -1


def test_epochs():
    assert in_clear(record(b"a"), 0)
    assert not in_clear(record(b"a", epoch=1), 0)
    assert not in_clear(record(b"a", epoch=256), 0)


def test_sound_records():
    whole = fragment(DONE, b"") + fragment(SERVER_HELLO, body(70))
    for content, kind in (
        (b"\1", 20),
        (b"\2\50", 21),
        (whole, 22),
        (fragment(CERTIFICATE, body(90), 5, 20), 22),
    ):
        data = record(content, kind=kind)
        assert is_sound(data, 0, len(data)), (kind, content)


def test_malformed_records():
    """Each of them ends a handshake of mbedTLS."""
    good = fragment(CERTIFICATE, body(90), 5, 20)
    beyond = fragment(CERTIFICATE, body(90), 5, 20, length=19)
    for content, kind in (
        (b"\2", 20), (b"\1\1", 20), (b"\2", 21), (b"\2\50\2\50", 21), (b"\2\50\0", 21), (b"data", 23),
        (good[:-1], 22), (good + b"x", 22), (good[:11], 22), (beyond, 22), (good + beyond, 22),
    ):  # fmt: skip
        data = record(content, kind=kind)
        assert not is_sound(data, 0, len(data)), (kind, content)


# ---- ClientHello


def test_client_hello():
    random = bytes(range(32))
    assert client_hello(hello()) == (random, 0)
    assert client_hello(hello(bytes(32))) == (random, 32)
    assert client_hello(hello(bytes(255), bytes(32))) == (random, 255)
    assert client_hello(hello(version=b"\xfe\xff")) == (random, 0)
    assert client_hello(bytearray(hello(sequence=7))) == (random, 0)


def test_no_client_hello():
    good = hello(bytes(32), bytes(32))
    assert client_hello(good) is not None
    for size in range(len(good)):
        assert client_hello(good[:size]) is None, size
    assert client_hello(good + b"\0") is None
    assert client_hello(good + good) is None
    for at, value in (
        (0, 23), (1, 3), (4, 1), (12, good[12] - 1), (13, 2), (16, good[16] - 1), (16, good[16] + 1),
        (21, 1), (24, good[24] - 1), (59, 33), (59, 255), (92, 255),
    ):  # fmt: skip
        bad = bytearray(good)
        bad[at] = value
        assert client_hello(bad) is None, (at, value)


# ---- the server's flight


def test_certificates_that_lie_whole_in_a_record():
    reader = FlightReader()
    assert read(reader, record(fragment(SERVER_HELLO, body(70)))) == (FOUND_NOTHING, None)
    certificates = body(900)
    many = fragment(CERTIFICATE, certificates, sequence=1) + fragment(DONE, b"", sequence=2)
    data = record(many)
    reader.receive(data, 0, len(data))
    assert reader.found == FOUND_CERTIFICATE and reader.last == DONE
    assert reader.message is data and data[reader.start : reader.stop] == certificates
    # The flight once more.
    assert read(reader, record(many, sequence=9)) == (FOUND_NOTHING, None)


ORDERS = (
    ((0, 300), (300, 600), (600, 900)),
    ((600, 900), (300, 600), (0, 300)),
    ((0, 300), (600, 900), (300, 600)),
    ((0, 300), (0, 300), (300, 600), (300, 600), (600, 900)),
    ((0, 400), (200, 700), (100, 300), (650, 900)),
    ((0, 1), (899, 900), (1, 899)),
    ((100, 200), (300, 400), (500, 600), (0, 900)),
    ((100, 200), (300, 400), (50, 450), (0, 60), (440, 900)),
)


def test_certificates_in_fragments():
    certificates = body(900)
    for order in ORDERS:
        reader = FlightReader()
        read(reader, record(fragment(SERVER_HELLO, body(70))))
        for number, (start, stop) in enumerate(order):
            found = read(reader, record(fragment(CERTIFICATE, certificates, start, stop, 1), sequence=number))
            last = number == len(order) - 1
            assert found == ((FOUND_CERTIFICATE, certificates) if last else (FOUND_NOTHING, None)), order


def test_certificates_before_the_server_hello():
    certificates = body(500)
    reader = FlightReader()
    read(reader, record(fragment(CERTIFICATE, certificates, 200, 500, 2)))
    read(reader, record(fragment(SERVER_HELLO, body(70), sequence=1)))
    assert read(reader, record(fragment(CERTIFICATE, certificates, 0, 200, 2))) == (
        FOUND_CERTIFICATE,
        certificates,
    )


def test_a_forged_message_of_another_number_is_forgotten():
    certificates = body(500)
    reader = FlightReader()
    read(reader, record(fragment(CERTIFICATE, body(700, 9), 0, 100, 5)))
    read(reader, record(fragment(SERVER_HELLO, body(70), sequence=1)))
    assert read(reader, record(fragment(CERTIFICATE, body(700, 9), 0, 700, 5))) == (FOUND_NOTHING, None)
    read(reader, record(fragment(CERTIFICATE, certificates, 0, 200, 2)))
    # Another length is no fragment of it.
    assert read(reader, record(fragment(CERTIFICATE, body(700), 200, 500, 2)))[0] == FOUND_NOTHING
    assert read(reader, record(fragment(CERTIFICATE, certificates, 200, 500, 2))) == (
        FOUND_CERTIFICATE,
        certificates,
    )


def test_bytes_that_come_twice():
    """The latter count, as for mbedTLS: both have to see the same certificates."""
    reader = FlightReader()
    read(reader, record(fragment(SERVER_HELLO, body(70))))
    read(reader, record(fragment(CERTIFICATE, body(300, 1), 0, 200, 1)))
    read(reader, record(fragment(CERTIFICATE, body(300, 2), 100, 200, 1)))
    found, message = read(reader, record(fragment(CERTIFICATE, body(300, 1), 200, 300, 1)))
    assert found == FOUND_CERTIFICATE
    assert message == body(300, 1)[:100] + body(300, 2)[100:200] + body(300, 1)[200:]


def test_too_large_a_message():
    for length, found in ((16384, FOUND_NOTHING), (16385, FOUND_OVERSIZE), (0xFFFFFF, FOUND_OVERSIZE)):
        reader = FlightReader()
        data = record(fragment(CERTIFICATE, body(100), 0, 100, 1, length))
        assert read(reader, data) == (found, None), length


def test_a_message_in_too_many_pieces_is_not_kept():
    reader = FlightReader()
    read(reader, record(fragment(SERVER_HELLO, body(70))))
    certificates = body(400)
    for start in range(0, 400, 2):
        read(reader, record(fragment(CERTIFICATE, certificates, start, start + 1, 1)))
    assert len(reader._spans) == 40
    # What is missing may still come.
    assert read(reader, record(fragment(CERTIFICATE, certificates, sequence=1))) == (
        FOUND_CERTIFICATE,
        certificates,
    )


def test_empty_fragments_and_messages():
    reader = FlightReader()
    assert read(reader, record(fragment(CERTIFICATE, body(100), 50, 50, 1))) == (FOUND_NOTHING, None)
    assert read(reader, record(fragment(CERTIFICATE, b"", sequence=1))) == (FOUND_CERTIFICATE, b"")


def test_what_a_refusal_says():
    reader = FlightReader()
    assert (reader.last, reader.alert, reader.encrypted, reader.fragmented) == (-1, -1, False, False)
    read(reader, record(b"\2\50", kind=21))
    read(reader, record(b"\1", kind=20))
    assert (reader.last, reader.alert, reader.encrypted) == (-1, 40, True)


# ---- what is sent


def fragments(datagrams):
    """[(sequence number, content type, payload)] of all records."""
    found = []
    for data in datagrams:
        pos = 0
        while pos < len(data):
            stop = record_end(data, pos, len(data))
            assert stop > 0
            number = 0
            for at in range(5, 11):
                number = number << 8 | data[pos + at]
            found.append((number, data[pos], bytes(data[pos + 13 : stop])))
            pos = stop
    return found


def joined(found, kind):
    """The body of the message of this kind."""
    whole = {}
    length = None
    for _, content, payload in found:
        if content == 22 and payload[0] == kind:
            length = payload[1] << 16 | payload[2] << 8 | payload[3]
            start = payload[6] << 16 | payload[7] << 8 | payload[8]
            assert payload[9] << 16 | payload[10] << 8 | payload[11] == len(payload) - 12
            for at, byte in enumerate(payload[12:]):
                whole[start + at] = byte
    return bytes(whole[at] for at in range(length))


def flight():
    return (
        record(fragment(SERVER_HELLO, body(70), sequence=1), sequence=1)
        + record(fragment(CERTIFICATE, body(1500), sequence=2), sequence=2)
        + record(fragment(12, body(140), sequence=3), sequence=3)
        + record(fragment(DONE, b"", sequence=4), sequence=4)
    )


def test_a_flight_that_fits_leaves_as_it_is():
    data = flight()
    assert Splitter(len(data)).split(data) == (data,)


def test_a_flight_is_split():
    data = flight()
    for mtu in range(256, len(data), 5 * STRIDE):
        datagrams = Splitter(mtu).split(data)
        assert len(datagrams) > 1 and max(len(each) for each in datagrams) <= mtu
        found = fragments(datagrams)
        numbers = [number for number, _, _ in found]
        assert numbers == list(range(1, len(found) + 1)), mtu
        assert joined(found, CERTIFICATE) == body(1500)
        assert joined(found, SERVER_HELLO) == body(70) and joined(found, 12) == body(140)
        # No more than one datagram beyond what is needed.
        assert len(datagrams) <= (len(data) + 25 * len(found)) // mtu + 2, mtu


def test_later_records_move_up_and_encrypted_ones_stay():
    splitter = Splitter(300)
    more = len(fragments(splitter.split(flight()))) - 4
    assert more > 0
    later = record(b"\1", kind=20, sequence=5) + record(body(40), epoch=1, sequence=0)
    (datagram,) = splitter.split(later)
    assert [number for number, _, _ in fragments([datagram])] == [5 + more, 0]
    # mbedTLS sends the flight once more, with new numbers.
    again = fragments(splitter.split(flight()))
    assert again[0][0] == 1 + more


def test_a_message_of_which_mbedtls_has_sent_a_part():
    content = body(2000)
    first = record(fragment(CERTIFICATE, content, 0, 900, 2), sequence=2)
    second = record(fragment(CERTIFICATE, content, 900, 2000, 2), sequence=3)
    splitter = Splitter(400)
    found = fragments(splitter.split(first)) + fragments(splitter.split(second))
    assert joined(found, CERTIFICATE) == content
    assert [number for number, _, _ in found] == list(range(2, 2 + len(found)))


def test_numbers_of_48_bits():
    splitter = Splitter(256)
    data = record(fragment(CERTIFICATE, body(600)), sequence=0x00FFFFFE)
    assert [number for number, _, _ in fragments(splitter.split(data))] == [0xFFFFFE, 0xFFFFFF, 0x1000000]


def test_a_client_hello_leaves_whole():
    data = hello(bytes(255))
    assert [bytes(each) for each in Splitter(256).split(data)] == [data]
