"""One direction of a TLS connection as names and sizes of its messages, read as the bytes pass (RFC 5246 6.2,
7.4)."""

from certstore.compat import const

from .messages import alert_name, message_name

# RFC 5246 6.2.1 ContentType
_CHANGE_CIPHER_SPEC = const(20)
_ALERT = const(21)
_HANDSHAKE = const(22)
_APPLICATION_DATA = const(23)

_RECORD_HEADER = const(5)
_MESSAGE_HEADER = const(4)
_PLAIN_ALERT = const(2)
_MAJOR_VERSION = const(3)


class MessageReader:
    """Names what passes in one direction. Pure; raises nothing for what the bytes are: what it does not know
    is "unknown" with its number.

    receive() ends on each message: name, or None where the bytes ended first; size: of a handshake message
    with its header of 4 bytes, of anything else the record's payload. total: bytes so far; largest: payload
    of the largest record begun so far. lost: these are no records, so nothing more is named.
    """

    name = None
    size = 0
    total = 0
    largest = 0
    lost = False
    _kind = 0
    _header_have = 0
    _record_size = 0
    _record_left = 0
    _message_have = 0
    _message_type = 0
    _message_left = 0
    _message_size = 0
    _last = 0
    _encrypted = False
    _finished = False

    def receive(self, data, pos, end):
        """Reads data[pos:end] until it is used up or a message has ended; returns the new position."""
        start = pos
        self.name = None
        while pos < end and self.name is None:
            if self.lost:
                pos = end
            elif self._header_have < _RECORD_HEADER:
                self._header(data[pos])
                pos += 1
            else:
                stop = min(end, pos + self._record_left)
                at = pos
                if self._kind == _HANDSHAKE and not self._encrypted:
                    pos = self._messages(data, pos, stop)
                else:
                    pos = stop
                    self._last = data[stop - 1]
                self._record_left -= pos - at
                if self._record_left == 0:
                    self._end_record()
        self.total += pos - start
        return pos

    def _header(self, byte):
        have = self._header_have
        self._header_have = have + 1
        if have == 0:
            self._kind = byte
            self._record_size = 0
        elif have == 1:
            if byte != _MAJOR_VERSION:
                self.lost = True
                self._tell(None, self._kind, 0)
        elif have > 2:
            self._record_size = self._record_size << 8 | byte
            if have == _RECORD_HEADER - 1:
                self._record_left = size = self._record_size
                if size > self.largest:
                    self.largest = size
                if size == 0:
                    self._end_record()

    def _end_record(self):
        self._header_have = 0
        kind = self._kind
        size = self._record_size
        if kind == _HANDSHAKE:
            if self._encrypted:
                # Its type is not to be seen; the first one can only be this.
                self._tell("Handshake" if self._finished else "Finished", 0, size)
                self._finished = True
        elif kind == _CHANGE_CIPHER_SPEC:
            self._encrypted = True
            self._tell("ChangeCipherSpec", 0, size)
        elif kind == _ALERT:
            if self._encrypted or size != _PLAIN_ALERT:
                self._tell("Alert", 0, size)
            else:
                name = alert_name(self._last)
                self._tell(("Alert unknown " if name.isdigit() else "Alert ") + name, 0, size)
        else:
            self._tell("ApplicationData" if kind == _APPLICATION_DATA else None, kind, size)

    def _messages(self, data, pos, stop):
        while pos < stop and self.name is None:
            have = self._message_have
            if have < _MESSAGE_HEADER:
                byte = data[pos]
                pos += 1
                if have == 0:
                    self._message_type = byte
                    self._message_left = 0
                else:
                    self._message_left = self._message_left << 8 | byte
                self._message_have = have + 1
                self._message_size = self._message_left + _MESSAGE_HEADER
            else:
                used = min(stop - pos, self._message_left)
                pos += used
                self._message_left -= used
            if self._message_have == _MESSAGE_HEADER and self._message_left == 0:
                self._message_have = 0
                name = message_name(self._message_type)
                self._tell(None if name.isdigit() else name, self._message_type, self._message_size)
        return pos

    def _tell(self, name, number, size):
        self.name = name or "unknown %d" % number
        self.size = size
