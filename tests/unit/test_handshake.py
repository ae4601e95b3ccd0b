"""securesocket.handshake: what real servers say, whole, in pieces, with trailing bytes and damaged."""

import securesocket.handshake as handshake
from securesocket.handshake import HandshakeReader, is_tls13, next_certificate
from securesocket.messages import alert_name, message_name
from support import ON_MICROPYTHON, vector

# (flight, certificates in it, body of the Certificate message where it lies in one record)
FLIGHTS = (
    ("openssl_ec", 2, (79, 968)),
    ("openssl_rsa", 2, (79, 1776)),
    ("gnutls_ec", 2, (109, 998)),
    ("coalesced_ec", 2, (74, 963)),
    ("fragmented_ec", 2, None),
    ("client_auth_ec", 2, (79, 968)),
)
STRIDE = 7 if ON_MICROPYTHON else 1
# Events, in the numbers that securesocket.handshake has as private constants.
NONE, SERVER_HELLO, CERTIFICATE, ALERT, FINISHED, NOT_TLS, OVERSIZE = range(7)


def flight(name):
    return vector("flights/%s.bin" % name)


def read(reader, pieces):
    """All events of these pieces, with a copy of each message."""
    events = []
    for piece in pieces:
        pos = 0
        while pos < len(piece):
            pos = reader.receive(piece, pos, len(piece))
            if reader.event != NONE:
                message = None
                if reader.message is not None:
                    message = bytes(memoryview(reader.message)[reader.start : reader.stop])
                events.append((reader.event, message))
    return events


def certificates(body):
    found = []
    pos = 3
    while pos < len(body):
        end = next_certificate(body, pos, len(body))
        assert end > pos
        found.append(body[pos + 3 : end])
        pos = end
    return found


def test_each_server_says_hello_then_shows_its_certificates():
    for name, count, place in FLIGHTS:
        reader = HandshakeReader()
        data = flight(name)
        events = read(reader, (data,))
        assert [event for event, _ in events] == [SERVER_HELLO, CERTIFICATE], name
        body = events[1][1]
        assert len(certificates(body)) == count, name
        if place is not None:
            assert body == data[place[0] : place[1]], name
        assert reader.fragmented is False
        assert message_name(reader.last) == "ServerHelloDone"


def test_a_message_in_one_piece_is_read_where_it_lies():
    data = bytearray(flight("openssl_ec"))
    reader = HandshakeReader()
    pos = reader.receive(data, 0, len(data))
    reader.receive(data, pos, len(data))
    assert reader.event == CERTIFICATE
    assert reader.message is data and (reader.start, reader.stop) == (79, 968)


def test_pieces_of_any_size_give_the_same_events():
    for name, _, _ in FLIGHTS:
        data = flight(name)
        whole = read(HandshakeReader(), (data,))
        for size in (1, 2, 3, 5, 64, 255):
            pieces = [data[at : at + size] for at in range(0, len(data), size)]
            assert read(HandshakeReader(), pieces) == whole, (name, size)


def test_a_cut_at_any_byte_changes_nothing():
    data = flight("coalesced_ec")
    whole = read(HandshakeReader(), (data,))
    for at in range(1, len(data), STRIDE):
        assert read(HandshakeReader(), (data[:at], data[at:])) == whole, at


def test_a_message_over_several_records_is_joined_and_said_to_be_fragmented():
    data = flight("fragmented_ec")
    reader = HandshakeReader()
    pos = 0
    while reader.event != CERTIFICATE:
        pos = reader.receive(data, pos, len(data))
    assert reader.fragmented is True
    assert len(certificates(bytes(reader.message))) == 2


def test_nothing_of_a_message_is_shown_before_its_last_byte():
    data = flight("openssl_ec")
    assert [event for event, _ in read(HandshakeReader(), (data[:967],))] == [SERVER_HELLO]
    assert [event for event, _ in read(HandshakeReader(), (data[:968],))][1:] == [CERTIFICATE]


def test_finished_is_the_first_handshake_record_after_change_cipher_spec():
    reader = HandshakeReader()
    tail = b"\x14\x03\x03\x00\x01\x01" + b"\x16\x03\x03\x00\x05\x0b\x00\x00\x01\x00"
    events = read(reader, (flight("openssl_ec"), tail))
    assert [event for event, _ in events][2:] == [FINISHED]
    assert reader.encrypted and message_name(reader.last) == "Finished"


def test_encrypted_records_are_not_taken_for_messages():
    reader = HandshakeReader()
    tail = b"\x14\x03\x03\x00\x01\x01" + b"\x15\x03\x03\x00\x02\x02\x28"
    assert [event for event, _ in read(reader, (tail,))] == []
    assert reader.alert == -1


def test_an_alert_is_named_by_its_last_byte_in_any_pieces():
    data = flight("alert")
    for pieces in ((data,), [data[at : at + 1] for at in range(len(data))]):
        reader = HandshakeReader()
        assert read(reader, pieces) == [(ALERT, None)]
        assert alert_name(reader.alert) == "handshake_failure"


def test_a_plain_http_answer_is_not_tls():
    assert read(HandshakeReader(), (b"HTTP/1.0 400",))[0][0] == NOT_TLS


def test_an_unknown_record_type_is_not_tls():
    assert read(HandshakeReader(), (b"\x18\x03\x03\x00\x01",))[0][0] == NOT_TLS
    assert read(HandshakeReader(), (b"\x13\x03\x03\x00\x01",))[0][0] == NOT_TLS
    assert read(HandshakeReader(), (b"\x16\x02\x03\x00\x01",))[0][0] == NOT_TLS


def certificate_header(size):
    return b"\x16\x03\x03\x40\x00\x0b" + bytes((size >> 16, size >> 8 & 255, size & 255))


def test_a_certificate_message_may_be_as_large_as_a_record_and_no_larger():
    limit = handshake.MAX_CERTIFICATE_MESSAGE
    assert read(HandshakeReader(), (certificate_header(limit),)) == []
    assert read(HandshakeReader(), (certificate_header(limit + 1),))[0][0] == OVERSIZE


def test_a_server_hello_has_a_limit_of_its_own():
    assert read(HandshakeReader(), (b"\x16\x03\x03\x10\x00\x02\x00\x04\x00",)) == []
    assert read(HandshakeReader(), (b"\x16\x03\x03\x10\x00\x02\x00\x04\x01",))[0][0] == OVERSIZE


def test_an_empty_message_and_an_empty_record_are_passed_over():
    data = b"\x16\x03\x03\x00\x00" + b"\x16\x03\x03\x00\x04\x00\x00\x00\x00" + flight("openssl_ec")
    assert read(HandshakeReader(), (data,)) == read(HandshakeReader(), (flight("openssl_ec"),))


def test_tls13_shows_in_the_server_hello():
    for name, expected in (("tls13", True), ("openssl_ec", False), ("gnutls_ec", False)):
        reader = HandshakeReader()
        reader.receive(flight(name), 0, len(flight(name)))
        assert reader.event == SERVER_HELLO
        assert is_tls13(reader.message, reader.start, reader.stop) is expected, name


def test_a_cut_server_hello_is_no_tls13_and_no_exception():
    data = flight("tls13")
    for stop in range(9, len(data)):
        assert is_tls13(data, 9, stop) is (stop == len(data)) or stop > 60
    for stop in range(9, 55):
        assert is_tls13(data, 9, stop) is False


def test_next_certificate_refuses_lengths_that_do_not_fit():
    assert next_certificate(b"\0\0\2ab", 0, 5) == 5
    assert next_certificate(b"\0\0\2ab", 0, 4) == -1
    assert next_certificate(b"\0\0\0", 0, 3) == -1
    assert next_certificate(b"\0\0", 0, 2) == -1
    assert next_certificate(b"\xff\xff\xffab", 0, 5) == -1


def test_any_damage_gives_events_or_none_and_never_an_exception():
    for name, _, _ in FLIGHTS[:1] if ON_MICROPYTHON else FLIGHTS:
        data = bytearray(flight(name))
        for at in range(0, len(data), STRIDE):
            old = data[at]
            for value in (0, 0x7F, 0x80, 0xFF, old ^ 1):
                data[at] = value
                reader = HandshakeReader()
                read(reader, (data,))
                assert reader.stop <= len(data)
            data[at] = old


def test_every_alert_and_message_has_a_name_and_unknown_ones_a_number():
    assert alert_name(48) == "unknown_ca" and alert_name(250) == "250"
    assert message_name(11) == "Certificate" and message_name(99) == "99"
