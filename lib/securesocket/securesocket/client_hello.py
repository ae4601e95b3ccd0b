"""A TLS ClientHello, read by a server before its engine is started (RFC 5246 7.4.1.2, RFC 8446 4.1.2).

Pure: bytes in, fields out; no socket, no clock. The engine gets the very same bytes afterwards and checks
the handshake itself; here are found the server's name, which chooses an identity, and what must not reach an
engine at all.

Verified, in this order: records of type handshake with major version 3 and 1 to 16384 bytes; one message, a
ClientHello, of at most 16 KB, which ends where a record ends; the length of every field and extension; a null
compression method; no extension twice; server_name, ALPN and supported_versions down to their last byte.
Not verified: anything inside other extensions, the order of extensions, whether a cipher suite is known.
"""

from certstore.compat import const

# RFC 5246 6.2.1 ContentType; 20, 21 and 23 are what else a TLS client sends.
_CHANGE_CIPHER_SPEC = const(20)
_HANDSHAKE = const(22)
_APPLICATION_DATA = const(23)
# RFC 5246 7.4 HandshakeType
_HS_CLIENT_HELLO = const(1)
# RFC 5246 6.2.1, RFC 6347 4.1: the first byte of every ProtocolVersion
_MAJOR_VERSION = const(3)
_MAJOR_VERSION_DTLS = const(254)

_RECORD_HEADER = const(5)
_MESSAGE_HEADER = const(4)
# RFC 5246 6.2.1: TLSPlaintext.length
_MAX_RECORD = const(16384)
# The message with its header: as much as one record holds, and as mbedTLS has room for
# (MBEDTLS_SSL_IN_CONTENT_LEN). The records' headers together have room for one message in a single record.
_MAX_CLIENT_HELLO = const(16384)
# RFC 5246 7.4.1.2: client_version, random, empty session_id, one cipher suite, one compression method
_MIN_BODY = const(41)
_VERSION_AND_RANDOM = const(34)
# RFC 5246 7.4.1.2: SessionID
_MAX_SESSION_ID = const(32)
# About as many as IANA has assigned; browsers send less than 20. What has been seen is kept on the heap.
_MAX_EXTENSIONS = const(64)
# RFC 7301 sets no limit; browsers offer two. The names are kept on the heap.
_MAX_PROTOCOLS = const(32)
# RFC 1035 2.3.4
_MAX_HOST_NAME = const(255)
_MAX_LABEL = const(63)

# RFC 6066 3, RFC 7301 3.1, RFC 8446 4.2.1
_SERVER_NAME = const(0)
_ALPN = const(16)
_SUPPORTED_VERSIONS = const(43)
# RFC 6066 3: NameType
_HOST_NAME = const(0)

# RFC 5246 7.2, RFC 6066 9: AlertDescription
_UNEXPECTED_MESSAGE = const(10)
_RECORD_OVERFLOW = const(22)
_ILLEGAL_PARAMETER = const(47)
_DECODE_ERROR = const(50)
_PROTOCOL_VERSION = const(70)
_UNRECOGNIZED_NAME = const(112)

# RFC 1123 2.1, and the underscore that names in private networks have. `lstrip` compares in C.
_NAME_BYTES = b"abcdefghijklmnopqrstuvwxyz-.0123456789_"
_DIGITS = b"0123456789"
_IPV6_BYTES = b"0123456789abcdef:."


class ClientHelloReader:
    """Give receive() what `wanted` asks for, until that is 0.

    wanted: bytes to read next: the rest of a record's header, or of what it announces; 0 when the ClientHello
    is whole. Never asks for a byte behind the record in which the ClientHello ends.
    data: bytearray of everything received, record headers included, to be replayed to the engine.
    fragmented: the message is in more than one record.
    Known once `wanted` is 0: server_name: text in lower case, or None; alpn: tuple of bytes, as offered;
    version: the highest ProtocolVersion offered, a number as 0x0303.
    """

    wanted = _RECORD_HEADER
    server_name = None
    alpn = ()
    version = 0
    fragmented = False
    _due = _RECORD_HEADER
    _in_record = False
    _message = None
    _error = None

    def __init__(self):
        self.data = bytearray()

    def receive(self, piece):
        """Takes the next bytes, usually as many as are wanted. Raises HandshakeError, and the same one ever
        after: "not-tls", or "protocol"; its `alert` is the AlertDescription to answer with, None where the
        peer would not understand one."""
        if self._error is not None:
            raise self._error
        try:
            self._receive(piece)
        except Exception as error:
            self._error = error
            raise

    def _receive(self, piece):
        data = self.data
        data.extend(piece)
        have = len(data)
        due = self._due
        while due <= have:
            if not self._in_record:
                self._in_record = True
                due += _record_size(data, due - _RECORD_HEADER)
                self._start = self._due
            elif self._end_record(data, self._start, due):
                if due < have:
                    raise _early(have - due)
                self.wanted = 0
                return
            else:
                self._in_record = False
                due += _RECORD_HEADER
            self._due = due
        self.wanted = due - have

    def _end_record(self, data, start, stop):
        # Whether the message has ended too.
        if self._message is not None:
            self._message.extend(data[start:stop])
            data, start, stop = self._message, 0, len(self._message)
        if data[start] != _HS_CLIENT_HELLO:
            raise _refusal(_UNEXPECTED_MESSAGE, "handshake message %d" % data[start], "a ClientHello (1)")
        have = stop - start
        size = _MESSAGE_HEADER
        if have >= _MESSAGE_HEADER:
            size += data[start + 1] << 16 | data[start + 2] << 8 | data[start + 3]
            if size > _MAX_CLIENT_HELLO:
                raise _too_large(size)
            if have > size:
                raise _early(have - size)
            if have == size:
                fields = parse(data, start + _MESSAGE_HEADER, stop)
                self.server_name, self.alpn, self.version, _ = fields
                self._message = None
                return True
        if self._message is None:
            self._message = bytearray(data[start:stop])
            self.fragmented = True
        return False


def parse(data, start, stop, datagram=False):
    """The body of a ClientHello at data[start:stop], without the message's header: (server_name, alpn,
    version, cookie), the first three as ClientHelloReader has them. datagram: a DTLS one (RFC 6347 4.2.1),
    whose cookie is bytes; None otherwise. Raises HandshakeError "protocol".

    An IP address as server_name, which RFC 6066 3 forbids, counts as no name: mbedTLS's clients send the host
    that they were given, whatever it is, and an address chooses no identity.
    """
    if stop - start < _MIN_BODY:
        raise _cut("ClientHello")
    major = _MAJOR_VERSION_DTLS if datagram else _MAJOR_VERSION
    if data[start] != major:
        raise _refusal(_PROTOCOL_VERSION, "version %d.%d" % (data[start], data[start + 1]), "%d.x" % major)
    version = data[start] << 8 | data[start + 1]
    pos = start + _VERSION_AND_RANDOM
    size = data[pos]
    if size > _MAX_SESSION_ID:
        raise _refusal(_DECODE_ERROR, "a session_id of %d bytes" % size, "at most 32")
    pos += 1 + size
    cookie = None
    if datagram:
        if pos >= stop or pos + 1 + data[pos] > stop:
            raise _cut("cookie")
        end = pos + 1 + data[pos]
        cookie = bytes(data[pos + 1 : end])
        pos = end
    if stop - pos < 2:
        raise _cut("cipher_suites")
    size = data[pos] << 8 | data[pos + 1]
    pos += 2 + size
    # Behind them there is at least the length of what follows.
    if size == 0 or size & 1 or pos >= stop:
        raise _cut("cipher_suites")
    end = pos + 1 + data[pos]
    pos += 1
    if pos == end or end > stop:
        raise _cut("compression_methods")
    while data[pos] != 0:
        pos += 1
        if pos == end:
            raise _refusal(_ILLEGAL_PARAMETER, "compression methods without null", "null (0)")
    name = None
    alpn = ()
    if end < stop:
        pos = end + 2
        if pos > stop or pos + (data[end] << 8 | data[end + 1]) != stop:
            raise _cut("extensions")
        seen = set()
        add = seen.add
        while pos < stop:
            if pos + 4 > stop:
                raise _cut("extensions")
            kind = data[pos] << 8 | data[pos + 1]
            end = pos + 4 + (data[pos + 2] << 8 | data[pos + 3])
            if end > stop:
                raise _cut("extension %d" % kind)
            if kind in seen:
                raise _refusal(_ILLEGAL_PARAMETER, "extension %d twice" % kind, "each type once")
            add(kind)
            if kind == _SERVER_NAME:
                name = _server_name(data, pos + 4, end)
            elif kind == _ALPN:
                alpn = _protocols(data, pos + 4, end)
            elif kind == _SUPPORTED_VERSIONS:
                version = _highest(data, pos + 4, end, major)
            pos = end
            if len(seen) == _MAX_EXTENSIONS and pos < stop:
                raise _refusal(_ILLEGAL_PARAMETER, "more than 64 extensions", "at most 64")
    return name, alpn, version, cookie


def _server_name(data, pos, end):
    # ServerNameList with one host_name: list length, type, name length, name.
    size = end - pos - 5
    if (
        size < 1
        or data[pos] << 8 | data[pos + 1] != size + 3
        or data[pos + 2] != _HOST_NAME
        or data[pos + 3] << 8 | data[pos + 4] != size
    ):
        raise _refusal(_DECODE_ERROR, "a malformed server_name", "one host_name")
    if size > _MAX_HOST_NAME:
        raise _refusal(_UNRECOGNIZED_NAME, "a host_name of %d bytes" % size, "at most 255")
    name = bytes(data[pos + 5 : end]).lower()
    odd = name.lstrip(_NAME_BYTES)
    if odd:
        if b":" in name and not name.lstrip(_IPV6_BYTES):
            return None
        raise _refusal(_UNRECOGNIZED_NAME, "byte 0x%02x in a host_name" % odd[0], "a DNS name")
    labels = name.split(b".")
    if not labels[-1].lstrip(_DIGITS) and labels[-1]:
        return None
    for label in labels:
        if not 0 < len(label) <= _MAX_LABEL:
            found = "a host_name with a label of %d bytes" % len(label)
            raise _refusal(_UNRECOGNIZED_NAME, found, "labels of 1 to 63, no dot at the end")
    return name.decode()


def _protocols(data, pos, end):
    # ProtocolNameList: list length, then names of 1 to 255 bytes, each behind its length.
    names = []
    if end - pos < 4 or data[pos] << 8 | data[pos + 1] != end - pos - 2:
        raise _cut("ALPN")
    pos += 2
    while pos < end:
        start = pos + 1
        pos = start + data[pos]
        if pos == start or pos > end:
            raise _cut("ALPN")
        if len(names) == _MAX_PROTOCOLS:
            raise _refusal(_ILLEGAL_PARAMETER, "more than 32 protocols (ALPN)", "at most 32")
        names.append(bytes(data[start:pos]))
    return tuple(names)


def _highest(data, pos, end, major):
    # supported_versions: list length, then numbers; those of other majors are reserved (RFC 8701) or unknown.
    if end - pos < 3 or data[pos] != end - pos - 1 or data[pos] & 1:
        raise _cut("supported_versions")
    highest = -1
    for at in range(pos + 1, end, 2):
        if data[at] == major:
            minor = data[at + 1]
            # DTLS counts its versions downwards (RFC 6347 4.1).
            if highest < 0 or (minor < highest if major == _MAJOR_VERSION_DTLS else minor > highest):
                highest = minor
    if highest < 0:
        raise _refusal(_PROTOCOL_VERSION, "supported_versions without one", "%d.x" % major)
    return major << 8 | highest


def _record_size(data, at):
    """Bytes that the record header at `at` announces, if it may be part of a ClientHello."""
    kind = data[at]
    size = data[at + 3] << 8 | data[at + 4]
    if data[at + 1] != _MAJOR_VERSION or not _CHANGE_CIPHER_SPEC <= kind <= _APPLICATION_DATA:
        header = bytes(data[at : at + _RECORD_HEADER])
        # RFC 5246 E.2: two bytes of length with the highest bit set, CLIENT-HELLO, version
        if at == 0 and kind >= 128 and data[2] == _HS_CLIENT_HELLO and data[3] in (0, _MAJOR_VERSION):
            raise _refusal(_PROTOCOL_VERSION, "an SSL 2.0 CLIENT-HELLO", "TLS", "not-tls")
        raise _refusal(None, "the bytes %r" % header, None, "not-tls")
    if kind != _HANDSHAKE:
        raise _refusal(_UNEXPECTED_MESSAGE, "a record of type %d" % kind, "a ClientHello")
    if size == 0:
        raise _refusal(_UNEXPECTED_MESSAGE, "an empty record", "1 to 16384 bytes")
    if size > _MAX_RECORD:
        raise _refusal(_RECORD_OVERFLOW, "a record of %d bytes" % size, "1 to 16384")
    if at + size > _MAX_CLIENT_HELLO:
        raise _too_large(at + size)
    return size


def _too_large(size):
    return _refusal(_ILLEGAL_PARAMETER, "a ClientHello of %d bytes or more" % size, "at most 16384")


def _early(count):
    return _refusal(_UNEXPECTED_MESSAGE, "%d bytes behind the ClientHello" % count, "none before ServerHello")


def _cut(field):
    return _refusal(_DECODE_ERROR, "%s with lengths that do not fit" % field)


def _refusal(alert, found, expected=None, code="protocol"):
    from .errors import HandshakeError

    return HandshakeError(code, found, expected, alert=alert, direction=alert and "sent", stage="ClientHello")
