"""What passes on the wire before encryption starts, read as it goes by (RFC 5246 6.2, 7.4).

Pure: bytes in, events out; no socket, no clock, no judgement. mbedTLS remains the one that checks the
handshake; this reader only names what it saw and finds the server's certificates in it.
"""

from certstore.compat import const

# Events of HandshakeReader.receive. engine.tap has some as well: private constants cost no heap.
_NONE = const(0)
_SERVER_HELLO = const(1)
_CERTIFICATE = const(2)
_ALERT = const(3)
_FINISHED = const(4)
_NOT_TLS = const(5)
_OVERSIZE = const(6)

# RFC 5246 6.2.1 ContentType
_CHANGE_CIPHER_SPEC = const(20)
_ALERT_RECORD = const(21)
_HANDSHAKE = const(22)
_APPLICATION_DATA = const(23)

# RFC 5246 7.4 HandshakeType
_HS_SERVER_HELLO = const(2)
_HS_CERTIFICATE = const(11)

_RECORD_HEADER = const(5)
_MESSAGE_HEADER = const(4)

# A Certificate message as large as one record may be (RFC 5246 6.2.1); mbedTLS's buffer holds no more.
MAX_CERTIFICATE_MESSAGE = const(16384)
# mbedTLS stops at MBEDTLS_X509_MAX_INTERMEDIATE_CA (8) between leaf and root.
MAX_CERTIFICATES = const(10)
# A ServerHello is 2+32+1+32+2+1 bytes and its extensions; more than this is nobody's.
_MAX_SERVER_HELLO = const(1024)


class HandshakeReader:
    """Follows one direction of a TLS 1.2 handshake.

    Feed it every byte in order with receive(). A message that lies whole in the piece given is read in
    place; one that arrives in pieces is collected, and only ServerHello and Certificate are.

    event: what the last receive() ended on; message, start, stop: where that message's body is (valid
    until the next receive); last: HandshakeType last seen or -1; alert: AlertDescription or -1;
    fragmented: the message crossed a record boundary; encrypted: ChangeCipherSpec has passed.
    """

    # Defaults live in the class: at the moment of a handshake's peak every attribute counts.
    event = _NONE
    last = -1
    alert = -1
    encrypted = False
    fragmented = False
    message = None
    start = 0
    stop = 0
    _header_have = 0
    _record_left = 0
    _message_have = 0
    _message_left = 0
    _collected = None
    _collected_have = 0

    def __init__(self):
        self.header = bytearray(_RECORD_HEADER)

    def receive(self, data, pos, end):
        """Reads data[pos:end] until it is used up or an event is found; returns the new position."""
        self.event = _NONE
        self.message = None
        while pos < end and self.event == _NONE:
            if self._header_have < _RECORD_HEADER:
                self.header[self._header_have] = data[pos]
                self._header_have += 1
                pos += 1
                if self._header_have == _RECORD_HEADER:
                    self._begin_record()
                continue
            stop = min(end, pos + self._record_left)
            if self.header[0] == _HANDSHAKE and not self.encrypted:
                used = self._handshake(data, pos, stop) - pos
            else:
                if self.header[0] == _ALERT_RECORD and not self.encrypted and stop - pos == self._record_left:
                    # level, description: the last byte names the alert
                    self.alert = data[stop - 1]
                    self.event = _ALERT
                used = stop - pos
            pos += used
            self._record_left -= used
            if self._record_left == 0:
                self._end_record()
        return pos

    @property
    def is_between_records(self):
        """Whether the last record, and the last message, have ended."""
        return self._header_have == 0 and self._message_have == 0

    def _begin_record(self):
        header = self.header
        self._record_left = header[3] << 8 | header[4]
        if header[1] != 3 or not _CHANGE_CIPHER_SPEC <= header[0] <= _APPLICATION_DATA:
            self.event = _NOT_TLS
        elif self._message_have:
            self.fragmented = True
        if self._record_left == 0:
            self._end_record()

    def _end_record(self):
        self._header_have = 0
        if self.header[0] == _CHANGE_CIPHER_SPEC:
            self.encrypted = True
        elif self.header[0] == _HANDSHAKE and self.encrypted:
            self.last = 20
            self.event = _FINISHED

    def _handshake(self, data, pos, stop):
        while pos < stop:
            if self._message_have < _MESSAGE_HEADER:
                pos = self._begin_message(data, pos, stop)
                if self.event != _NONE:
                    return pos
                continue
            size = min(stop - pos, self._message_left)
            self._message_left -= size
            wanted = self.last == _HS_SERVER_HELLO or self.last == _HS_CERTIFICATE
            if wanted:
                if self._collected is None and self._message_left == 0:
                    self.message, self.start, self.stop = data, pos, pos + size
                else:
                    self._collect(data, pos, size)
                    self.message, self.start, self.stop = self._collected, 0, self._collected_have
            pos += size
            if self._message_left == 0:
                self._message_have = 0
                if wanted:
                    if self._collected is not None:
                        self._collected = None
                    self.event = _SERVER_HELLO if self.last == _HS_SERVER_HELLO else _CERTIFICATE
                    return pos
        return pos

    def _begin_message(self, data, pos, stop):
        while pos < stop and self._message_have < _MESSAGE_HEADER:
            if self._message_have == 0:
                self.last = data[pos]
                self._message_left = 0
                if self.fragmented:
                    self.fragmented = False
            else:
                self._message_left = self._message_left << 8 | data[pos]
            self._message_have += 1
            pos += 1
        if self._message_have == _MESSAGE_HEADER:
            limit = _MAX_SERVER_HELLO if self.last == _HS_SERVER_HELLO else MAX_CERTIFICATE_MESSAGE
            if self._message_left > limit:
                self.event = _OVERSIZE
            elif self._message_left == 0:
                self._message_have = 0
        return pos

    def _collect(self, data, pos, size):
        if self._collected is None:
            self._collected = bytearray(size + self._message_left)
            self._collected_have = 0
        have = self._collected_have
        self._collected[have : have + size] = memoryview(data)[pos : pos + size]
        self._collected_have = have + size


def is_tls13(data, start, stop):
    """Whether a ServerHello body at data[start:stop] selects TLS 1.3 (RFC 8446 4.1.3, 4.2.1)."""
    pos = start + 34
    if pos >= stop:
        return False
    pos += 1 + data[pos] + 3
    if pos + 2 > stop:
        return False
    pos += 2
    while pos + 4 <= stop:
        kind = data[pos] << 8 | data[pos + 1]
        size = data[pos + 2] << 8 | data[pos + 3]
        if kind == 43 and size == 2 and pos + 6 <= stop:
            return data[pos + 4] == 3 and data[pos + 5] >= 4
        pos += 4 + size
    return False


def next_certificate(data, pos, stop):
    """Where the certificate whose 3-byte length stands at pos ends (RFC 5246 7.4.2), or -1 if it is cut."""
    if pos + 3 > stop:
        return -1
    end = pos + 3 + (data[pos] << 16 | data[pos + 1] << 8 | data[pos + 2])
    return end if pos + 3 < end <= stop else -1
