"""Datagrams of DTLS 1.2: records and fragments of handshake messages, read and split (RFC 6347 4.1, 4.2).

Pure: bytes in, facts out; no socket, no clock. Until a handshake is over nothing of this is authenticated,
and anybody can send it: what is malformed is dropped and counted (RFC 6347 4.1.2.7), and mbedTLS remains the
one that checks the handshake.
"""

from certstore.compat import const

from .handshake import MAX_CERTIFICATE_MESSAGE

# RFC 5246 6.2.1 ContentType
_CHANGE_CIPHER_SPEC = const(20)
_ALERT = const(21)
_HANDSHAKE = const(22)
_APPLICATION_DATA = const(23)

# RFC 5246 7.4 HandshakeType
_CLIENT_HELLO = const(1)
_SERVER_HELLO = const(2)
_CERTIFICATE = const(11)

# type 1, version 2, epoch 2, sequence number 6, length 2
_RECORD_HEADER = const(13)
_EPOCH = const(3)
_SEQUENCE = const(5)
_LENGTH = const(11)
# type 1, length 3, message_seq 2, fragment_offset 3, fragment_length 3
_FRAGMENT_HEADER = const(12)
# Of a datagram with a ClientHello: client_version, then random, then the length of session_id.
_CLIENT_RANDOM = const(27)
_SESSION_ID = const(59)
_RANDOM_BYTES = const(32)

# What FlightReader finds.
FOUND_NOTHING = const(0)
FOUND_CERTIFICATE = const(1)
FOUND_OVERSIZE = const(2)
_FOUND_NOTHING = const(0)
_FOUND_CERTIFICATE = const(1)
_FOUND_OVERSIZE = const(2)

# Pieces of a message that are not next to one another. The longest message in the shortest fragments, every
# second one lost, has fewer.
_MAX_SPANS = const(40)


def record_end(data, pos, end):
    """Where the record at data[pos:end] ends, or -1 where there is none (RFC 6347 4.1)."""
    if (
        pos + _RECORD_HEADER >= end
        or data[pos + 1] != 0xFE
        # DTLS 1.2; of 1.0 in the first messages, before the version is agreed.
        or (data[pos + 2] != 0xFD and data[pos + 2] != 0xFF)
        or not _CHANGE_CIPHER_SPEC <= data[pos] <= _APPLICATION_DATA
    ):
        return -1
    stop = pos + _RECORD_HEADER + (data[pos + _LENGTH] << 8 | data[pos + _LENGTH + 1])
    return stop if pos + _RECORD_HEADER < stop <= end else -1


def in_clear(data, pos):
    """Whether the record at pos is of epoch 0, that is neither encrypted nor authenticated."""
    return data[pos + _EPOCH] == 0 and data[pos + _EPOCH + 1] == 0


def _three(data, pos):
    return data[pos] << 16 | data[pos + 1] << 8 | data[pos + 2]


def is_sound(data, pos, stop):
    """Whether the record at data[pos:stop], of epoch 0, has the form of its kind.

    mbedTLS gives up a handshake for a record that has not; nobody shall be able to end it with one datagram.
    """
    kind = data[pos]
    pos += _RECORD_HEADER
    if kind == _CHANGE_CIPHER_SPEC:
        return stop - pos == 1 and data[pos] == 1
    if kind == _ALERT:
        return stop - pos == 2
    if kind != _HANDSHAKE:
        # Application data in the clear.
        return False
    while pos < stop:
        if pos + _FRAGMENT_HEADER > stop:
            return False
        size = _three(data, pos + 9)
        if _three(data, pos + 6) + size > _three(data, pos + 1):
            return False
        pos += _FRAGMENT_HEADER + size
    return pos == stop


def client_hello(data):
    """(random, bytes of the cookie) of a datagram that is one whole ClientHello and nothing else, or None.

    What a server reads of those it does not know, before it spends any memory (RFC 6347 4.2.1)."""
    end = len(data)
    if (
        end <= _SESSION_ID
        or data[0] != _HANDSHAKE
        or record_end(data, 0, end) != end
        or not in_clear(data, 0)
        or data[_RECORD_HEADER] != _CLIENT_HELLO
        # A ClientHello in fragments cannot be answered without state.
        or _three(data, _RECORD_HEADER + 6) != 0
        or _three(data, _RECORD_HEADER + 1) != end - _RECORD_HEADER - _FRAGMENT_HEADER
        or _three(data, _RECORD_HEADER + 9) != end - _RECORD_HEADER - _FRAGMENT_HEADER
    ):
        return None
    pos = _SESSION_ID + 1 + data[_SESSION_ID]
    # Behind the cookie there are cipher suites and a compression method.
    if data[_SESSION_ID] > _RANDOM_BYTES or pos >= end or pos + 1 + data[pos] + 6 > end:
        return None
    return bytes(data[_CLIENT_RANDOM:_SESSION_ID]), data[pos]


class FlightReader:
    """Follows the server's flight, and finds its certificates in it.

    Feed it each sound record of epoch 0 with receive(). Messages come whole or in fragments, in any order,
    twice, and overlapping (RFC 6347 4.2.3); only the Certificate message is put together, once, no later than
    mbedTLS has it, and from no more than MAX_CERTIFICATE_MESSAGE bytes.

    found: what the last receive() ended on; message, start, stop: where the Certificate message's body is
    (valid until the next receive); last: HandshakeType of the latest message or -1; alert: AlertDescription
    or -1; encrypted: ChangeCipherSpec has passed. fragmented: what mbedTLS before 3.6.3 cannot join with
    TLS; with DTLS every version can.
    """

    found = _FOUND_NOTHING
    last = -1
    alert = -1
    encrypted = False
    fragmented = False
    message = None
    start = 0
    stop = 0
    _complete = False
    # message_seq of ServerHello: the Certificate message is the next one.
    _hello = -1
    _sequence = -1
    _collected = None
    _spans = None

    def receive(self, data, pos, stop):
        """Reads the record at data[pos:stop], which is_sound."""
        self.found = _FOUND_NOTHING
        self.message = None
        kind = data[pos]
        pos += _RECORD_HEADER
        if kind == _CHANGE_CIPHER_SPEC:
            self.encrypted = True
        elif kind == _ALERT:
            self.alert = data[pos + 1]
        else:
            while pos < stop:
                size = _three(data, pos + 9)
                self._fragment(data, pos, size)
                pos += _FRAGMENT_HEADER + size

    def _fragment(self, data, pos, size):
        kind = data[pos]
        self.last = kind
        sequence = data[pos + 4] << 8 | data[pos + 5]
        if kind == _SERVER_HELLO and self._hello < 0:
            self._hello = sequence
            if self._sequence != sequence + 1:
                # What was collected is no Certificate message of this handshake.
                self._collected = None
        if kind != _CERTIFICATE or self._complete or (self._hello >= 0 and sequence != self._hello + 1):
            return
        length = _three(data, pos + 1)
        offset = _three(data, pos + 6)
        pos += _FRAGMENT_HEADER
        if length > MAX_CERTIFICATE_MESSAGE:
            self.found = _FOUND_OVERSIZE
        elif size == length:
            self._finish(data, pos, pos + size)
        elif size:
            if self._collected is None:
                self._collected = bytearray(length)
                self._sequence = sequence
                self._spans = []
            if sequence == self._sequence and length == len(self._collected):
                if self._covers(offset, offset + size):
                    # As mbedTLS does: of bytes that come twice, the latter count.
                    self._collected[offset : offset + size] = memoryview(data)[pos : pos + size]
                    if self._spans[0] == (0, length):
                        self._finish(self._collected, 0, length)

    def _finish(self, data, start, stop):
        self.message, self.start, self.stop = data, start, stop
        self.found = _FOUND_CERTIFICATE
        self._complete = True
        self._collected = self._spans = None

    def _covers(self, start, stop):
        """Notes that these bytes are there; False: they are in too many pieces."""
        apart = []
        for span in self._spans:
            if span[1] < start or span[0] > stop:
                apart.append(span)
            else:
                start = min(start, span[0])
                stop = max(stop, span[1])
        if len(apart) == _MAX_SPANS:
            return False
        apart.append((start, stop))
        apart.sort()
        self._spans = apart
        return True


class Splitter:
    """Makes of what mbedTLS sends datagrams of at most `mtu` bytes (RFC 6347 4.1.1.1, 4.2.3).

    mbedTLS packs a flight into datagrams as large as its buffer. They are cut between records; a handshake
    record of epoch 0 that is larger still becomes several, each with a part of its message. Those records
    need numbers, so all later ones of epoch 0 move up: this is allowed, for nothing authenticates them.
    A ClientHello leaves whole: servers answer it without keeping state.
    """

    _shift = 0

    def __init__(self, mtu):
        self.mtu = mtu

    def split(self, data):
        """Returns a list of datagrams."""
        end = len(data)
        if end <= self.mtu and not self._shift:
            return (data,)
        view = memoryview(data)
        datagrams = []
        pos = 0
        while pos < end:
            stop = record_end(data, pos, end)
            if stop < 0:
                # Nothing that mbedTLS sends.
                stop = end
            clear = in_clear(data, pos)
            if (
                stop - pos <= self.mtu
                or not clear
                or data[pos] != _HANDSHAKE
                or data[pos + _RECORD_HEADER] == _CLIENT_HELLO
            ):
                record = bytearray(view[pos:stop])
                if clear and self._shift:
                    self._renumber(record)
                self._add(datagrams, record)
            else:
                self._split_message(view, pos, stop, datagrams)
            pos = stop
        return datagrams

    def _add(self, datagrams, record):
        if datagrams and len(datagrams[-1]) + len(record) <= self.mtu:
            datagrams[-1].extend(record)
        else:
            datagrams.append(record)

    def _split_message(self, view, pos, stop, datagrams):
        body = pos + _RECORD_HEADER + _FRAGMENT_HEADER
        # mbedTLS may have sent a part already.
        offset = _three(view, body - 6)
        room = self.mtu - _RECORD_HEADER - _FRAGMENT_HEADER
        at = body
        while at < stop:
            size = min(room, stop - at)
            record = bytearray(view[pos:body])
            _put(record, _LENGTH, 2, _FRAGMENT_HEADER + size)
            _put(record, _RECORD_HEADER + 6, 3, offset + at - body)
            _put(record, _RECORD_HEADER + 9, 3, size)
            record.extend(view[at : at + size])
            if at > body:
                self._shift += 1
            self._renumber(record)
            self._add(datagrams, record)
            at += size

    def _renumber(self, record):
        # 48 bits, in two parts: no large integers.
        low = (record[_SEQUENCE + 3] << 16 | record[_SEQUENCE + 4] << 8 | record[_SEQUENCE + 5]) + self._shift
        high = _three(record, _SEQUENCE) + (low >> 24)
        _put(record, _SEQUENCE, 3, high & 0xFFFFFF)
        _put(record, _SEQUENCE + 3, 3, low & 0xFFFFFF)


def _put(data, pos, count, value):
    while count:
        count -= 1
        data[pos + count] = value & 0xFF
        value >>= 8
